/* SPDX-License-Identifier: MIT
 *
 * See reader.h. The window is read in pieces of WINDOW bytes, more where a record is longer, and never reaches over the
 * segment's end.
 */
#include "libos/log/reader.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"

#include <errno.h>

#define WINDOW (64u << 10)

static uint32_t capacity_of(const struct alog_reader *r) { return alog_capacity(&r->im->super); }

static void stand_at(struct alog_reader *r, const struct alog_segment *s)
{
    r->walk.at = r->walk.tail = s->index * capacity_of(r);
    r->walk.seq = s->first_seq - 1;
    r->walk.epoch = s->epoch;
    r->index = s->index;
}

void alog_reader_seek(struct alog_reader *r, uint64_t offset)
{
    r->skip_to = offset;
    r->is_guess = false;
    if (r->index != UINT64_MAX && offset == r->walk.at) return;
    const struct alog_segment *s = alog_segment_find(r->log, offset / capacity_of(r));
    r->index = UINT64_MAX;
    r->walk.at = r->walk.tail = offset;
    if (!s) return;
    stand_at(r, s);
    r->is_guess = offset != r->walk.at;
}

void alog_reader_init(struct alog_reader *r, const struct alog_image *im, const struct alog_log *log,
                      struct alog_store *store)
{
    *r = (struct alog_reader){.im = im, .log = log, .store = store, .index = UINT64_MAX, .limit = INT64_MAX};
    r->walk.seed = log->seed;
    r->walk.capacity = alog_capacity(&im->super);
    r->walk.record_max = alog_record_max(&im->super);
    alog_reader_seek(r, log->trim);
}

void alog_reader_fini(struct alog_reader *r)
{
    buf_unref(r->window);
    r->window = NULL;
    r->got = 0;
}

static int fill(struct alog_reader *r, uint64_t at, size_t n)
{
    const struct alog_segment *s = alog_segment_find(r->log, r->index);
    uint32_t capacity = capacity_of(r), number = s ? s->number : 0;
    if (!s) return -ESTALE; /* it was given back */
    if (!r->store->may_wait) return -EWOULDBLOCK;
    uint64_t from = at - at % capacity % ALOG_BLOCK, left = capacity - from % capacity;
    /* Blocks up to the limit are not written again; those behind it may be at any moment. */
    if (r->limit - from < left) left = (r->limit - from + ALOG_BLOCK - 1) / ALOG_BLOCK * ALOG_BLOCK;
    uint64_t want = (at - from + n + ALOG_BLOCK - 1) / ALOG_BLOCK * ALOG_BLOCK;
    if (want < WINDOW) want = WINDOW;
    if (want > left) want = left;
    if (!r->window || r->window->len < want) {
        buf_unref(r->window);
        r->window = alog_buf_new((uint32_t)want);
    }
    r->got = 0;
    if (!r->window) return -ENOMEM;
    for (uint64_t done = 0; done < want;) { /* the device's largest request at a time */
        uint64_t part = want - done < r->store->request_max ? want - done : r->store->request_max;
        struct buf *b = done ? buf_slice(r->window, done, part) : buf_ref(r->window);
        if (!b) return -ENOMEM;
        int err = alog_read_blocks(r->store, alog_place(&r->im->super, number, from + done), b, (uint32_t)part);
        buf_unref(b);
        if (err) return err;
        done += part;
    }
    r->from = from;
    r->got = (uint32_t)want;
    return 0;
}

int alog_reader_view(struct alog_reader *r, uint64_t at, size_t n, const uint8_t **p, size_t *got)
{
    uint64_t left = capacity_of(r) - at % capacity_of(r);
    if (n > left) n = left;
    if (!r->got || at < r->from || at + n > r->from + r->got) {
        int err = fill(r, at, n);
        if (err) return err;
    }
    *p = r->window->data + (at - r->from);
    *got = (size_t)(r->from + r->got - at);
    return 0;
}

/* Whether the log goes on in its next segment, with the number that is due. */
static bool continues_in(struct alog_reader *r, uint64_t index)
{
    const struct alog_segment *s = alog_segment_find(r->log, index);
    if (!s || s->first_seq != r->walk.seq + 1 || s->epoch < r->walk.epoch) return false;
    r->walk.at = r->walk.tail = index * capacity_of(r);
    r->walk.epoch = s->epoch;
    r->index = index;
    return true;
}

/* The offset that was asked for is most often a record's, and then nothing before it needs to be read. */
static int try_guess(struct alog_reader *r)
{
    struct alog_record rec;
    uint64_t at = r->skip_to, left = capacity_of(r) - at % capacity_of(r);
    size_t need = ALOG_HEAD, got;
    const uint8_t *p;
    enum alog_read what = ALOG_SHORT;
    bool may_be = at % 8 == 0 && left > ALOG_HEAD && ALOG_BLOCK - at % capacity_of(r) % ALOG_BLOCK >= ALOG_HEAD;
    while (may_be && what == ALOG_SHORT) {
        int err = alog_reader_view(r, at, need, &p, &got);
        if (err) return err;
        if (got < need) break;
        uint64_t most = left - ALOG_HEAD < r->walk.record_max ? left - ALOG_HEAD : r->walk.record_max;
        what = alog_record_read(&rec, r->walk.seed, at, p, got, (uint32_t)most);
        need = ALOG_HEAD + (size_t)rec.length;
    }
    if (what == ALOG_GOOD && rec.epoch >= r->walk.epoch && rec.seq > r->walk.seq) {
        r->walk.at = r->walk.tail = at;
        r->walk.seq = rec.seq - 1;
        r->walk.epoch = rec.epoch;
    }
    r->is_guess = false;
    return 0;
}

/* One step: 1, a record; 0, something else has moved; 2, the end. */
static int step(struct alog_reader *r, struct alog_record *out)
{
    size_t need = ALOG_HEAD, got, wanted;
    const uint8_t *p;
    for (;;) {
        wanted = need;
        int err = alog_reader_view(r, r->walk.at, need, &p, &got);
        if (err) return err;
        switch (alog_walk_step(&r->walk, p, got, out, &need)) {
        case ALOG_RECORD: return 1;
        case ALOG_SKIPPED: return 0;
        case ALOG_MORE:
            if (need > wanted) continue;
            if (alog_walk_reject(&r->walk) == ALOG_SKIPPED) return 0;
            return continues_in(r, r->index + 1) ? 0 : 2;
        default: return continues_in(r, r->index + 1) ? 0 : 2;
        }
    }
}

int alog_reader_next(struct alog_reader *r, uint64_t limit, struct alog_record *out)
{
    r->limit = limit;
    if (r->index == UINT64_MAX) { /* no segment was there when it was last asked for */
        uint64_t skip_to = r->skip_to;
        alog_reader_seek(r, r->walk.at);
        r->skip_to = skip_to;
        if (r->index == UINT64_MAX) return 0;
    }
    if (r->is_guess) {
        int err = try_guess(r);
        if (err) return err;
    }
    while (r->walk.at < limit) {
        if (r->walk.at / capacity_of(r) != r->index && !continues_in(r, r->walk.at / capacity_of(r))) return 0;
        int what = step(r, out);
        if (what < 0) return what;
        if (what == 2) return 0;
        if (what == 1 && out->offset >= r->skip_to) return 1;
    }
    return 0;
}
