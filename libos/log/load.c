/* SPDX-License-Identifier: MIT
 *
 * See image.h: superblock and segment heads, from a device and to it. What they say is believed after its checksum
 * only, and what a foreign or hostile device can make us allocate is bounded by ALOG_SEGMENTS_MAX.
 */
#include "libos/log/image.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "libos/log/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

__attribute__((format(printf, 3, 4))) static int say_why(struct alog_image *im, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(im->why, sizeof im->why, fmt, args);
    va_end(args);
    return -err;
}

static int choose_super(struct alog_image *im, const uint8_t *blocks)
{
    struct alog_super two[2];
    enum alog_read what[2];
    uint32_t version = 0;
    for (int i = 0; i < 2; i++) what[i] = alog_super_read(&two[i], blocks + i * ALOG_BLOCK, &version);
    if (what[0] == ALOG_GOOD && (what[1] != ALOG_GOOD || two[0].generation >= two[1].generation)) im->super = two[0];
    else if (what[1] == ALOG_GOOD) im->super = two[1];
    else if (what[0] == ALOG_OTHER || what[1] == ALOG_OTHER)
        return say_why(im, EPROTONOSUPPORT, "its format is version %u; this library knows version %u", version,
                       ALOG_VERSION);
    else if (what[0] == ALOG_BAD || what[1] == ALOG_BAD)
        return say_why(im, EUCLEAN, "both copies of the superblock are damaged");
    else if (what[0] == ALOG_ZERO && what[1] == ALOG_ZERO)
        return say_why(im, ENODATA, "it is empty: no logs are in it");
    else return say_why(im, EMEDIUMTYPE, "something else than logs is in it");
    return 0;
}

/* --- segments ----------------------------------------------------------------------------------------------------- */

struct head_list {
    struct alog_segment *at;
    uint32_t count, room;
};

static int list_head(struct head_list *l, const struct alog_segment_head *h)
{
    if (l->count == l->room) {
        uint32_t room = l->room ? l->room * 2 : 16;
        struct alog_segment *more = realloc(l->at, room * sizeof *more);
        if (!more) return -ENOMEM;
        l->at = more;
        l->room = room;
    }
    l->at[l->count++] = (struct alog_segment){
        .index = h->index, .first_seq = h->first_seq, .durable = h->durable, .number = h->number, .epoch = h->epoch};
    return 0;
}

static int slot_of(const struct alog_super *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->log_count; i++)
        if (s->logs[i].id == id) return (int)i;
    return -1;
}

/* A burst of heads from segment `first` on. */
static int read_heads(struct alog_image *im, struct alog_store *store, struct buf *b, uint32_t first, uint32_t n,
                      struct head_list lists[])
{
    struct blockdev_request r[BLOCKDEV_BURST];
    struct buf *parts[BLOCKDEV_BURST] = {0};
    int err = 0;
    for (uint32_t i = 0; i < n && !err; i++) {
        parts[i] = buf_slice(b, i * ALOG_BLOCK, ALOG_BLOCK);
        if (!parts[i]) err = -ENOMEM;
        r[i] = (struct blockdev_request){
            .verb = BLOCKDEV_READ, .at = alog_segment_at(&im->super, first + i), .buf = parts[i], .n = ALOG_BLOCK};
    }
    if (!err) err = store->run(store, r, n);
    for (uint32_t i = 0; i < n; i++) buf_unref(parts[i]);
    for (uint32_t i = 0; i < n && !err; i++) {
        struct alog_segment_head h;
        if (alog_segment_read(&h, &im->super, first + i, b->data + i * ALOG_BLOCK) != ALOG_GOOD) continue;
        int slot = slot_of(&im->super, h.id);
        if (slot >= 0) err = list_head(&lists[slot], &h);
    }
    return err;
}

static int by_index(const void *a, const void *b)
{
    const struct alog_segment *x = a, *y = b;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return x->epoch < y->epoch ? 1 : x->epoch > y->epoch ? -1 : 0; /* the newest first */
}

/* Of what was found the log's are those from its trim point on, of each index the newest, as far as none is missing. */
static void choose_segments(struct alog_image *im, struct alog_log *log, struct head_list *l)
{
    uint64_t first = log->trim / alog_capacity(&im->super);
    uint32_t n = 0, cut = im->super.logs[log->slot].cut_epoch;
    bool gap = false;
    if (l->count) qsort(l->at, l->count, sizeof *l->at, by_index);
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->at[i].epoch > cut && l->at[i].durable > log->durable) log->durable = l->at[i].durable;
        if (gap) continue;
        if (l->at[i].index < first || (n && l->at[i].index == l->at[n - 1].index)) continue;
        gap = l->at[i].index != first + n;
        if (!gap) l->at[n++] = l->at[i];
    }
    log->segments = l->at;
    log->segment_count = n;
    log->segment_room = l->room;
    l->at = NULL;
}

static int load_segments(struct alog_image *im, struct alog_store *store)
{
    struct head_list lists[ALOG_LOGS_MAX] = {{0}};
    const struct alog_super *s = &im->super;
    struct buf *b = alog_buf_new(BLOCKDEV_BURST * ALOG_BLOCK);
    int err = b ? 0 : -ENOMEM;
    for (uint32_t at = 0; at < s->segment_count && !err;) {
        uint32_t n = s->segment_count - at < BLOCKDEV_BURST ? s->segment_count - at : BLOCKDEV_BURST;
        while (n && alog_segment_at(s, at + n - 1) >= store->size) n--; /* a file that ends before has nothing there */
        if (!n) break;
        err = read_heads(im, store, b, at, n, lists);
        at += n;
    }
    buf_unref(b);
    for (uint32_t i = 0; i < s->log_count && !err; i++) choose_segments(im, im->logs[i], &lists[i]);
    for (uint32_t i = 0; i < ALOG_LOGS_MAX; i++) free(lists[i].at);
    return err;
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static int make_logs(struct alog_image *im)
{
    im->taken = calloc(im->super.segment_count, 1);
    if (!im->taken) return -ENOMEM;
    im->free_count = im->super.segment_count;
    for (uint32_t i = 0; i < im->super.log_count; i++) {
        struct alog_log *log = im->logs[i] = calloc(1, sizeof *log);
        if (!log) return -ENOMEM;
        log->slot = i;
        log->seed = alog_seed(im->super.uuid, im->super.logs[i].id);
        log->trim = log->trim_wanted = im->super.logs[i].trim;
        log->durable = log->written = log->end = im->super.logs[i].durable;
        list_init(&log->batches);
        list_init(&log->queues);
    }
    return 0;
}

int alog_image_load(struct alog_image *im, struct alog_store *store)
{
    memset(im, 0, sizeof *im);
    struct buf *b = alog_buf_new(2 * ALOG_BLOCK);
    if (!b) return -ENOMEM;
    int err = alog_read_blocks(store, 0, b, 2 * ALOG_BLOCK);
    if (!err) err = choose_super(im, b->data);
    buf_unref(b);
    if (err) return err;
    err = make_logs(im);
    if (!err) err = load_segments(im, store);
    if (err) alog_image_fini(im);
    return err;
}

int alog_super_store(struct alog_image *im, struct alog_store *store)
{
    struct buf *b = alog_buf_new(ALOG_BLOCK);
    if (!b) return -ENOMEM;
    im->super.generation++;
    alog_super_write(&im->super, b->data);
    int err = alog_write_blocks(store, im->super.generation % 2 * ALOG_BLOCK, b, ALOG_BLOCK);
    buf_unref(b);
    return err;
}

int alog_image_format(struct alog_image *im, struct alog_store *store, uint64_t size, uint32_t segment_bytes)
{
    memset(im, 0, sizeof *im);
    if (!alog_super_plan(&im->super, size, segment_bytes))
        return say_why(im, EINVAL, "%llu bytes are no two segments of %u to %u bytes each", (unsigned long long)size,
                       ALOG_SEGMENT_MIN, ALOG_SEGMENT_MAX);
    if (getrandom(im->super.uuid, sizeof im->super.uuid, 0) != sizeof im->super.uuid) return -EIO;
    int err = make_logs(im);
    for (int copy = 0; copy < 2 && !err; copy++) err = alog_super_store(im, store);
    if (!err) err = alog_flush(store);
    if (err) alog_image_fini(im);
    return err;
}
