/* SPDX-License-Identifier: MIT
 *
 * The send queue.
 *
 *      entry 0            entry 1              entry 2
 *     |--- acked ---|----------------|------------------------|      ring of {buf, p, seq, len}
 *                   ^ una            '--- one segment ---'            segments are cut across entries
 *
 * Two ways to make a frame of it:
 *   - in place: the segment is all of one entry whose buf nobody else holds. The headers go into its headroom, the
 *     device is given a reference, and the buf's view covers the headers until it lets go. The entry knows its payload
 *     by itself (p, len).
 *   - else a small buf for headers, and slices of the entries' bufs behind it: new views, because a chain belongs to
 *     its head and an entry's buf belongs to the queue. A retransmission while the device still holds the frame goes
 *     this way.
 *
 * Invariant: an entry's buf covers [p, p + len) with its view whenever somebody else holds it (refs > 1): it was pushed
 * so, or framed so; and it is not extended then. With refs == 1 the view is ours to set.
 *
 * Rings grow by doubling and are freed when they run empty and larger than SMALL_ROOM, so that an idle connection keeps
 * 96 bytes at most.
 */
#include "tcp/sndq.h"

#include "alloc/base/assert.h"
#include "alloc/heap.h"

#include <errno.h>
#include <string.h>

#define SMALL_ROOM 4

static inline struct sndq_entry *entry_at(const struct sndq *q, uint32_t i)
{
    return &q->slots[(q->head + i) & (q->room - 1)];
}

/* Room for n more. */
static int ring_grow(struct sndq *q, uint32_t n)
{
    uint32_t room = q->room ? q->room : SMALL_ROOM;
    while (room - q->count < n) {
        if (room > (1u << 24)) return -ENOMEM;
        room *= 2;
    }
    struct sndq_entry *slots = heap_alloc(room * sizeof *slots);
    if (!slots) return -ENOMEM;
    for (uint32_t i = 0; i < q->count; i++) slots[(q->head + i) & (room - 1)] = *entry_at(q, i);
    heap_free(q->slots);
    q->slots = slots;
    q->room = room;
    return 0;
}

static inline void append(struct sndq *q, tcp_seq seq, struct buf *b, bool open)
{
    *entry_at(q, q->count++) = (struct sndq_entry){.b = b, .p = b->data, .seq = seq, .len = b->len, .open = open};
    q->bytes += b->len;
}

int sndq_push(struct sndq *q, tcp_seq seq, struct buf *chain)
{
    uint32_t n = 0;
    for (struct buf *b = chain; b; b = b->next) n++;
    if (q->room - q->count < n && ring_grow(q, n)) return -ENOMEM;
    if (q->count) entry_at(q, q->count - 1)->open = 0;
    while (chain) {
        struct buf *b = chain;
        chain = b->next;
        if (b->next) b->next = NULL; /* written only where it is ours: one of a chain has one holder */
        if (unlikely(!b->len)) {
            buf_unref(b);
            continue;
        }
        append(q, seq, b, false);
        seq += b->len;
    }
    return 0;
}

int sndq_push_copy(struct sndq *q, tcp_seq seq, const void *p, uint32_t n)
{
    if (unlikely(!n)) return 0;
    if (q->count) {
        struct sndq_entry *last = entry_at(q, q->count - 1);
        struct buf *b = last->b;
        if (last->open && b->refs == 1) {
            b->data = last->p;
            b->len = last->len;
            uint8_t *at = buf_put_back(b, n);
            if (at) {
                memcpy(at, p, n);
                last->len += n;
                q->bytes += n;
                return 0;
            }
        }
        last->open = 0;
    }
    if (unlikely(q->count == q->room) && ring_grow(q, 1)) return -ENOMEM;
    struct buf *b = buf_take(n);
    if (unlikely(!b)) return -ENOMEM;
    memcpy(b->data, p, n);
    b->len = n;
    append(q, seq, b, true);
    return 0;
}

static void shrink(struct sndq *q)
{
    if (q->room <= SMALL_ROOM) return;
    heap_free(q->slots);
    q->slots = NULL;
    q->room = q->head = q->hint = 0;
}

void sndq_ack(struct sndq *q, tcp_seq una)
{
    while (q->count) {
        struct sndq_entry *e = entry_at(q, 0);
        uint32_t n = una - e->seq;
        if ((int32_t)n <= 0) return;
        if (n < e->len) {
            e->p += n;
            e->seq += n;
            e->len -= n;
            q->bytes -= n;
            return;
        }
        struct buf *b = e->b;
        q->bytes -= e->len;
        q->head++;
        q->count--;
        buf_unref(b);
    }
    shrink(q);
}

void sndq_free(struct sndq *q)
{
    for (; q->count; q->count--, q->head++) buf_unref(entry_at(q, 0)->b);
    heap_free(q->slots);
    *q = (struct sndq){0};
}

/* Index of the entry that holds seq. Bulk goes on where it was, or with the next. */
static uint32_t segment_find(struct sndq *q, tcp_seq seq)
{
    uint32_t hint = q->hint - q->head;
    for (uint32_t i = hint; i < q->count && i <= hint + 1; i++) {
        const struct sndq_entry *e = entry_at(q, i);
        if (seq - e->seq < e->len) return i;
    }
    uint32_t low = 0, high = q->count;
    while (high - low > 1) {
        uint32_t mid = (low + high) / 2;
        if (seq_before(seq, entry_at(q, mid)->seq)) high = mid;
        else low = mid;
    }
    return low;
}

static bool can_frame(const struct sndq_entry *e) { return buf_is_sole(e->b) && e->p - e->b->base >= BUF_HEADROOM; }

/* All of it in one new buf. */
static struct buf *copy_together(struct sndq *q, uint32_t i, uint32_t offset, uint32_t len)
{
    struct buf *b = buf_take(len);
    if (!b) return NULL;
    for (uint32_t n; len; len -= n, offset = 0) {
        const struct sndq_entry *e = entry_at(q, i++);
        n = e->len - offset < len ? e->len - offset : len;
        memcpy(b->data + b->len, e->p + offset, n);
        b->len += n;
    }
    return b;
}

static struct buf *slice_together(struct sndq *q, uint32_t i, uint32_t offset, uint32_t len)
{
    struct buf *head = buf_take_exact(0);
    if (unlikely(!head)) return NULL;
    struct buf **tail = &head->next;
    for (uint32_t n; len; len -= n, offset = 0) {
        struct sndq_entry *e = entry_at(q, i++);
        struct buf *b = e->b;
        n = e->len - offset < len ? e->len - offset : len;
        if (b->refs == 1) {
            b->data = e->p;
            b->len = e->len;
        }
        struct buf *s = buf_slice(b, (size_t)(e->p + offset - b->data), n);
        if (unlikely(!s)) {
            buf_unref(head);
            return NULL;
        }
        *tail = s;
        tail = &s->next;
    }
    return head;
}

struct buf *sndq_segment(struct sndq *q, tcp_seq seq, uint32_t len, unsigned segs_max)
{
    uint32_t i = segment_find(q, seq);
    DASSERT(i < q->count);
    struct sndq_entry *e = entry_at(q, i);
    q->hint = q->head + i;
    e->open = 0;
    if (likely(e->seq == seq && e->len == len) && can_frame(e)) {
        e->b->data = e->p;
        e->b->len = len;
        return buf_ref(e->b);
    }
    uint32_t offset = seq - e->seq, have = e->len - offset, bufs = 2;
    DASSERT(offset < e->len);
    for (uint32_t j = i; have < len; bufs++) {
        e = entry_at(q, ++j);
        have += e->len;
        e->open = 0; /* the view is ours to set only until somebody holds slices of what is behind it */
        q->hint = q->head + j;
    }
    return bufs > segs_max ? copy_together(q, i, offset, len) : slice_together(q, i, offset, len);
}

void sndq_check(const struct sndq *q, tcp_seq una, tcp_seq end)
{
    uint32_t bytes = 0;
    tcp_seq seq = una;
    ASSERT((q->room & (q->room - 1)) == 0);
    ASSERT(q->count <= q->room);
    ASSERT(!q->room == !q->slots);
    for (uint32_t i = 0; i < q->count; i++) {
        const struct sndq_entry *e = entry_at(q, i);
        ASSERT(e->seq == seq);
        ASSERT(e->len > 0);
        ASSERT(e->b->refs > 0);
        ASSERT(e->p >= e->b->base);
        ASSERT(e->p + e->len <= e->b->base + e->b->cap);
        ASSERT(!e->open || i == q->count - 1);
        seq += e->len;
        bytes += e->len;
    }
    ASSERT(bytes == q->bytes);
    ASSERT(seq == end);
}
