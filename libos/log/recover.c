/* SPDX-License-Identifier: MIT
 *
 * See image.h: where a log ends.
 *
 *      trim        durable, as superblock and segment heads know it                  end
 *        |--- believed ---|--- read, record by record ---------------------------------|  ?  ?  ?
 *
 * The log ends at the first place that holds no record that could be the next. Whether that is the end or damage is
 * told by marks: each record carries up to where its log was durable when it was accepted. A mark beyond the place,
 * there or in any record behind it, says that what is missing had been acknowledged: damage. Without one it is the
 * torn tail of what nobody was promised.
 */
#include "libos/log/reader.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CLAIMS_MAX (256u << 20) /* bytes of records behind the end that are checked; whoever claims more is hostile */

/* what: is at that place, where a record should be. */
static int damaged(struct alog_image *im, struct alog_log *log, const char *what, uint64_t at, uint64_t mark)
{
    log->damaged = true;
    snprintf(im->why, sizeof im->why,
             "log \"%s\" is damaged: %s at offset %llu, although all was durable up to %llu (demi-log repair)",
             im->super.logs[log->slot].name, what, (unsigned long long)at, (unsigned long long)mark);
    return -EUCLEAN;
}

/* A record at that place, behind the end, that knows of more: *mark rises. */
static int look_at(struct alog_reader *r, uint64_t at, uint32_t cut, uint64_t *mark, uint64_t *spent)
{
    uint64_t left = r->walk.capacity - at % r->walk.capacity - ALOG_HEAD;
    uint32_t most = (uint32_t)(left < r->walk.record_max ? left : r->walk.record_max);
    struct alog_record rec;
    const uint8_t *p;
    size_t got;
    int err = alog_reader_view(r, at, ALOG_HEAD, &p, &got);
    if (err || got < ALOG_HEAD) return err;
    if (!alog_record_claims(&rec, p, most) || rec.epoch <= cut || rec.epoch > r->im->super.epoch) return 0;
    if (rec.durable <= *mark || rec.durable > at || *spent > CLAIMS_MAX) return 0;
    *spent += rec.length;
    size_t need = ALOG_HEAD + (size_t)rec.length;
    err = alog_reader_view(r, at, need, &p, &got);
    if (err || got < need) return err;
    if (alog_record_read(&rec, r->walk.seed, at, p, got, most) == ALOG_GOOD) *mark = rec.durable;
    return 0;
}

/* Behind the end: each block of its segment and of those that follow may begin a record. An unreadable one does not. */
static int later_marks(struct alog_reader *r, struct alog_log *log, uint32_t cut, uint64_t *mark)
{
    uint32_t capacity = r->walk.capacity;
    uint64_t end = r->walk.tail, spent = 0;
    for (uint32_t i = 0; i < log->segment_count; i++) {
        uint64_t begin = log->segments[i].index * capacity, at = begin;
        if (begin + capacity <= end) continue;
        if (at < end) at += (end - begin + ALOG_BLOCK - 1) / ALOG_BLOCK * ALOG_BLOCK;
        r->index = log->segments[i].index;
        r->got = 0;
        for (; at < begin + capacity; at += ALOG_BLOCK) {
            int err = look_at(r, at, cut, mark, &spent);
            if (err && err != -EIO) return err;
        }
    }
    return 0;
}

/* All segments from the trim point to the mark are there. */
static bool has_segments(const struct alog_image *im, const struct alog_log *log, uint64_t mark)
{
    uint32_t capacity = alog_capacity(&im->super);
    if (mark <= log->trim && !log->segment_count) return mark == 0;
    uint64_t last = (mark ? mark - 1 : 0) / capacity;
    if (last < log->trim / capacity) last = log->trim / capacity;
    return log->segment_count && alog_segment_find(log, last);
}

/* What lies behind the end is no log's: a new start of it will be. */
static void drop_later(struct alog_log *log, uint32_t capacity)
{
    uint64_t last = log->end ? (log->end - 1) / capacity : 0;
    while (log->segment_count > 1 && log->segments[log->segment_count - 1].index > last) {
        const struct alog_segment *s = &log->segments[log->segment_count - 1];
        if (s->first_seq == log->seq + 1 && s->index * (uint64_t)capacity == log->end) break;
        log->segment_count--;
    }
}

static void take_all(struct alog_image *im, const struct alog_log *log)
{
    for (uint32_t i = 0; i < log->segment_count; i++) {
        ASSERT(!im->taken[log->segments[i].number]);
        im->taken[log->segments[i].number] = 1;
        im->free_count--;
    }
}

int alog_find_end(struct alog_image *im, struct alog_log *log, struct alog_store *store)
{
    uint32_t capacity = alog_capacity(&im->super), cut = im->super.logs[log->slot].cut_epoch;
    uint64_t mark = log->durable; /* the highest that anything but records knows of */
    struct alog_reader r;
    struct alog_record rec;
    int err;
    log->end = log->written = log->trim;
    if (!log->segment_count && !mark) return 0;
    if (!has_segments(im, log, mark)) {
        take_all(im, log);
        return damaged(im, log, "no record",
                       log->segment_count ? (log->segments[log->segment_count - 1].index + 1) * capacity : log->trim,
                       mark);
    }
    alog_reader_init(&r, im, log, store);
    uint64_t start = mark ? (mark - 1) / capacity : 0;
    if (start < log->segments[0].index) start = log->segments[0].index;
    alog_reader_seek(&r, start * capacity);
    while ((err = alog_reader_next(&r, INT64_MAX, &rec)) > 0)
        if (rec.epoch > cut && rec.durable > mark) mark = rec.durable;
    log->end = log->written = r.walk.tail;
    log->seq = log->written_seq = r.walk.seq;
    /* An unreadable place below the mark is damage, as any other; but who reads of it tries again before he repairs. */
    bool unreadable = err == -EIO && mark > log->end;
    if (unreadable) err = 0;
    if (!err) err = later_marks(&r, log, cut, &mark);
    alog_reader_fini(&r);
    if (!err) drop_later(log, capacity);
    take_all(im, log);
    if (err) return err;
    if (mark > log->end) return damaged(im, log, unreadable ? "an I/O error" : "no record", log->end, mark);
    log->durable = mark;
    return 0;
}

/* --- what may not be durable ------------------------------------------------------------------------------------- */

#define PIECE (256u << 10)

static int copy_onto_itself(struct alog_store *store, struct buf *b, uint64_t at, uint64_t n)
{
    while (n) {
        uint32_t part = (uint32_t)(n < PIECE ? n : PIECE);
        if (part > store->request_max) part = store->request_max;
        int err = alog_read_blocks(store, at, b, part);
        if (!err) err = alog_write_blocks(store, at, b, part);
        if (err) return err;
        at += part;
        n -= part;
    }
    return 0;
}

int alog_rewrite_tail(struct alog_image *im, struct alog_log *log, struct alog_store *store)
{
    uint32_t capacity = alog_capacity(&im->super);
    struct buf *b = alog_buf_new(PIECE);
    int err = b ? 0 : -ENOMEM;
    for (uint32_t i = 0; i < log->segment_count && !err; i++) {
        const struct alog_segment *s = &log->segments[i];
        uint64_t begin = s->index * capacity, from = log->durable, to = log->end;
        if (from > begin && from >= begin + capacity) continue;
        uint64_t at = alog_segment_at(&im->super, s->number), upto = at + ALOG_BLOCK;
        if (from > begin) at += ALOG_BLOCK + (from - begin) / ALOG_BLOCK * ALOG_BLOCK;
        if (to > begin + capacity) to = begin + capacity;
        if (to > begin) upto += (to - begin + ALOG_BLOCK - 1) / ALOG_BLOCK * ALOG_BLOCK;
        if (upto > at) err = copy_onto_itself(store, b, at, upto - at);
    }
    buf_unref(b);
    return err;
}
