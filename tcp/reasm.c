/* SPDX-License-Identifier: MIT
 *
 * Ranges of sequence space, in order, never touching:
 *
 *      RCV.NXT
 *         |      [ range 0 )    [ range 1 )         [ range 2     F )  F: the FIN, a number without a byte, always last
 *                 buf-buf-buf    buf                 buf-buf
 *
 * A segment is cut where held bytes begin and end; what is new becomes part of the one range that takes the place of
 * all it touches. So the number of ranges grows only by a segment that touches none, and REASM_RANGES_MAX bounds it.
 *
 * Memory held (CVE-2018-5390, and receivers whose buffers of 2 KiB each hold one byte): a piece that fills less than a
 * DENSE_PARTth of its storage is copied. A copy has room behind it (or in front, where bytes come in descending order)
 * in proportion to what its range holds, and neighbours go into that room. Invariant: of two neighbouring copies in a
 * range the second one's bytes do not fit behind the first one's. So the memory is at most a small multiple of the
 * bytes, and a constant for each range: memory_max().
 *
 * A segment costs one binary search, the ranges it swallows, one move of the array (at most 8 KiB), and copying of at
 * most COPY_ROOM_MAX bytes besides its own.
 *
 * Not here: what lies outside the window, which input trims before; and giving up ranges when memory is short (RFC 2018
 * 8 allows it).
 */
#include "tcp/reasm.h"

#include <string.h>

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "alloc/heap.h"

#define DENSE_PART    4
#define COPY_ROOM_MIN 256
#define COPY_ROOM_MAX 2048
#define RANGES_FIRST  4

struct reasm_range {
    tcp_seq start, end;      /* [start, end), the FIN's number included */
    struct buf *head, *tail; /* NULL: the FIN alone */
    uint32_t stamp;          /* r->clock when it changed last */
};

struct reasm {
    struct reasm_range *ranges;
    uint32_t count, room;
    uint32_t bytes; /* without FIN */
    uint32_t clock;
    bool has_fin;
    tcp_seq fin_at; /* the FIN's number */
};

/* Its address in buf.arg says that a buf is a copy of ours, with room that may be written. */
static const char copy_mark;

static inline bool is_copy(const struct buf *b) { return b->arg == &copy_mark; }
static inline size_t buf_memory(const struct buf *b)
{
    return b->cap + 2 * sizeof *b; /* storage's head and the view's */
}

struct reasm *reasm_new(void) { return heap_calloc(1, sizeof(struct reasm)); }

void reasm_free(struct reasm *r)
{
    if (!r) return;
    for (uint32_t i = 0; i < r->count; i++) buf_unref(r->ranges[i].head);
    heap_free(r->ranges);
    heap_free(r);
}

/* The first range that ends at s or behind it: count if there is none. */
static uint32_t find_first(const struct reasm *r, tcp_seq s)
{
    uint32_t low = 0, high = r->count;
    if (high && seq_before(r->ranges[high - 1].end, s)) return high;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (seq_before(r->ranges[mid].end, s)) low = mid + 1;
        else high = mid;
    }
    return low;
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

/* A copy of n bytes, with room in all; the bytes stand at the end of it if at_end. */
static struct buf *copy_new(const uint8_t *p, uint32_t n, uint32_t room, bool at_end)
{
    if (room < COPY_ROOM_MIN) room = COPY_ROOM_MIN;
    if (room > COPY_ROOM_MAX) room = COPY_ROOM_MAX;
    if (room < n) room = n;
    struct buf *c = buf_take_exact(room);
    if (!c) return NULL;
    buf_put_back(c, room);
    if (at_end) buf_trim_front(c, room - n);
    else buf_trim_back(c, room - n);
    memcpy(c->data, p, n);
    c->arg = (void *)(uintptr_t)&copy_mark;
    return c;
}

/* n bytes at `offset` of b as a buf of their own: a view, or a copy where a view would hold too much for too little.
 * `whole` bufs are b itself. */
static struct buf *piece_new(struct buf *b, uint32_t offset, uint32_t n, uint32_t room, bool at_end)
{
    if (buf_memory(b->store) > (size_t)n * DENSE_PART) return copy_new(b->data + offset, n, room, at_end);
    if (offset == 0 && n == b->len && b->refs == 1) return buf_ref(b);
    return buf_slice(b, offset, n);
}

struct cut { /* a segment: bytes [s, e), then the FIN if any */
    struct buf *b;
    tcp_seq seq; /* of b's first byte */
    tcp_seq s, e, data_end;
};

/* The uncovered parts of a segment, in order, as a chain; [i, j) are the ranges it touches. *bytes: how many. false:
 * out of memory. */
static bool pieces_make(const struct reasm *r, const struct cut *c, uint32_t i, uint32_t j, struct buf **out,
                        uint32_t *bytes)
{
    struct buf *first = NULL, **tail = &first;
    uint32_t held = 0, total = 0;
    for (uint32_t k = i; k < j; k++) held += r->ranges[k].end - r->ranges[k].start;
    tcp_seq pos = c->s;
    for (uint32_t k = i; k <= j; k++) {
        tcp_seq stop = k < j ? seq_min(r->ranges[k].start, c->data_end) : c->data_end;
        if (seq_before(pos, stop)) {
            bool at_end = k == i && k < j;
            struct buf *p = piece_new(c->b, pos - c->seq, stop - pos, held, at_end);
            if (!p) {
                buf_unref(first);
                return false;
            }
            *tail = p;
            tail = &p->next;
            total += stop - pos;
        }
        if (k < j) pos = seq_max(pos, r->ranges[k].end);
    }
    *out = first;
    *bytes = total;
    return true;
}

/* --- ranges ------------------------------------------------------------------------------------------------------- */

/* Puts the chain head..tail behind m's bytes. */
static void range_join(struct reasm_range *m, struct buf *head, struct buf *tail)
{
    if (!head) return;
    if (m->tail && m->tail == m->head && is_copy(m->tail) && is_copy(head) && m->tail->len <= buf_headroom(head)) {
        memcpy(buf_push_front(head, m->tail->len), m->tail->data, m->tail->len);
        buf_unref(m->tail);
        m->head = m->tail = NULL;
    }
    while (head && m->tail && is_copy(m->tail) && is_copy(head) && head->len <= buf_tailroom(m->tail)) {
        struct buf *next = head == tail ? NULL : head->next;
        memcpy(buf_put_back(m->tail, head->len), head->data, head->len);
        head->next = NULL;
        buf_unref(head);
        head = next;
    }
    if (!head) return;
    if (m->tail) m->tail->next = head;
    else m->head = head;
    m->tail = tail;
    tail->next = NULL;
}

static struct buf *piece_next(struct buf **pieces)
{
    struct buf *p = *pieces;
    *pieces = p->next;
    p->next = NULL;
    return p;
}

/* [i, j), at least one, become one range together with the pieces. */
static void ranges_merge(struct reasm *r, const struct cut *c, uint32_t i, uint32_t j, struct buf *pieces)
{
    struct reasm_range m = {seq_min(c->s, r->ranges[i].start), seq_max(c->e, r->ranges[j - 1].end), NULL, NULL,
                            ++r->clock};
    tcp_seq pos = c->s;
    for (uint32_t k = i; k < j; k++) {
        struct reasm_range *old = &r->ranges[k];
        if (seq_before(pos, seq_min(old->start, c->data_end))) {
            struct buf *p = piece_next(&pieces);
            range_join(&m, p, p);
        }
        range_join(&m, old->head, old->tail);
        pos = seq_max(pos, old->end);
    }
    if (pieces) {
        struct buf *p = piece_next(&pieces);
        range_join(&m, p, p);
    }
    ASSERT(!pieces);
    r->ranges[i] = m;
    memmove(&r->ranges[i + 1], &r->ranges[j], (r->count - j) * sizeof *r->ranges);
    r->count -= j - i - 1;
}

/* Room for one more. */
static bool ranges_grow(struct reasm *r)
{
    if (r->count < r->room) return true;
    if (r->room == REASM_RANGES_MAX) return false;
    uint32_t room = r->room ? r->room * 2 : RANGES_FIRST;
    struct reasm_range *more = heap_realloc(r->ranges, room * sizeof *more);
    if (!more) return false;
    r->ranges = more;
    r->room = room;
    return true;
}
static_assert((REASM_RANGES_MAX & (REASM_RANGES_MAX - 1)) == 0 && REASM_RANGES_MAX >= RANGES_FIRST,
              "doubling meets it");

static void range_add(struct reasm *r, const struct cut *c, uint32_t i, struct buf *piece)
{
    memmove(&r->ranges[i + 1], &r->ranges[i], (r->count - i) * sizeof *r->ranges);
    r->ranges[i] = (struct reasm_range){c->s, c->e, piece, piece, ++r->clock};
    r->count++;
}

/* --- the interface ------------------------------------------------------------------------------------------------ */

/* The common cases of a flow of small segments behind one hole, without a buf in between: room behind the range's
 * last copy. */
static bool append_in_place(struct reasm *r, const struct cut *c, uint32_t i)
{
    if (i + 1 != r->count || r->ranges[i].end != c->s || c->e != c->data_end) return false;
    struct reasm_range *last = &r->ranges[i];
    uint32_t n = c->e - c->s;
    if (!last->tail || !is_copy(last->tail) || buf_memory(c->b->store) <= (size_t)n * DENSE_PART) return false;
    void *at = buf_put_back(last->tail, n);
    if (!at) return false;
    memcpy(at, c->b->data + (c->s - c->seq), n);
    last->end = c->e;
    last->stamp = ++r->clock;
    r->bytes += n;
    return true;
}

/* The FIN's place is told once: a second one elsewhere, bytes behind it, and one in front of bytes that are here are
 * a peer's mistake (or somebody else's segment); the first word stands. */
static bool believe_fin(const struct reasm *r, bool fin, tcp_seq at)
{
    if (!fin) return false;
    if (r->has_fin) return at == r->fin_at;
    return r->count == 0 || seq_before_eq(r->ranges[r->count - 1].end, at);
}

static uint32_t insert(struct reasm *r, struct cut *c, bool fin, struct sack_block *dup)
{
    fin = believe_fin(r, fin, c->data_end);
    if (r->has_fin) c->data_end = seq_min(c->data_end, r->fin_at);
    c->e = c->data_end + fin;
    if (!seq_before(c->s, c->e)) return 0;

    uint32_t i = find_first(r, c->s), j = i;
    if (i < r->count && append_in_place(r, c, i)) return c->e - c->s;
    for (; j < r->count && seq_before_eq(r->ranges[j].start, c->e); j++) {
        tcp_seq low = seq_max(c->s, r->ranges[j].start), high = seq_min(c->e, r->ranges[j].end);
        if (seq_before(low, high) && dup->start == dup->end) *dup = (struct sack_block){low, high};
    }
    if (dup->start == c->s && dup->end == c->e && dup->start != dup->end) { /* all of it is here */
        r->ranges[seq_before(r->ranges[i].start, c->e) && seq_after_eq(r->ranges[i].end, c->e) ? i : i + 1].stamp =
            ++r->clock;
        return 0;
    }
    if (i == j && !ranges_grow(r)) return 0;
    struct buf *pieces;
    uint32_t bytes;
    if (!pieces_make(r, c, i, j, &pieces, &bytes)) return 0;
    uint32_t added = bytes + (fin && !r->has_fin);
    if (i == j) range_add(r, c, i, pieces);
    else ranges_merge(r, c, i, j, pieces);
    r->bytes += bytes;
    if (fin) {
        r->has_fin = true;
        r->fin_at = c->data_end;
    }
    return added;
}

uint32_t reasm_insert(struct reasm *r, tcp_seq seq, struct buf *b, bool fin, struct sack_block *dup)
{
    uint32_t len = b ? b->len : 0;
    DASSERT(!b || !b->next);
    DASSERT(len <= 1u << 30);
    *dup = (struct sack_block){seq, seq};
    struct cut c = {.b = b, .seq = seq, .s = seq, .data_end = seq + len};
    uint32_t added = insert(r, &c, fin, dup);
    buf_unref(b);
    return added;
}

/* What lies before rcv_nxt came another way. */
static void range_drop_front(struct reasm *r, struct reasm_range *g, tcp_seq rcv_nxt)
{
    uint32_t gone = rcv_nxt - g->start;
    g->head = buf_chain_drop(g->head, gone);
    if (!g->head) g->tail = NULL;
    g->start = rcv_nxt;
    r->bytes -= gone;
}

struct buf *reasm_take(struct reasm *r, tcp_seq rcv_nxt, uint32_t *n, bool *fin)
{
    *n = 0;
    *fin = false;
    uint32_t passed = 0;
    while (passed < r->count && seq_before_eq(r->ranges[passed].end, rcv_nxt)) {
        struct reasm_range *g = &r->ranges[passed++];
        bool has_fin = r->has_fin && g->end == r->fin_at + 1;
        r->bytes -= g->end - g->start - has_fin;
        if (has_fin) r->has_fin = false;
        buf_unref(g->head);
    }
    struct buf *head = NULL;
    if (passed < r->count && seq_before_eq(r->ranges[passed].start, rcv_nxt)) {
        struct reasm_range *g = &r->ranges[passed++];
        range_drop_front(r, g, rcv_nxt);
        *fin = r->has_fin && g->end == r->fin_at + 1;
        if (*fin) r->has_fin = false;
        *n = g->end - g->start - *fin;
        r->bytes -= *n;
        head = g->head;
        for (struct buf *b = head; b; b = b->next) {
            if (is_copy(b)) b->arg = NULL;
        }
    }
    if (passed) {
        r->count -= passed;
        memmove(r->ranges, r->ranges + passed, r->count * sizeof *r->ranges);
    }
    return head;
}

/* One pass keeps the youngest `max` (at most four) by insertion. */
unsigned reasm_sacks(const struct reasm *r, struct sack_block *out, unsigned max)
{
    uint32_t ages[SACK_BLOCKS_MAX];
    unsigned count = 0;
    if (max > SACK_BLOCKS_MAX) max = SACK_BLOCKS_MAX;
    if (!r || max == 0) return 0;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct reasm_range *g = &r->ranges[i];
        uint32_t age = r->clock - g->stamp;
        if (count == max && age >= ages[max - 1]) continue;
        unsigned at = count < max ? count++ : max - 1;
        for (; at > 0 && ages[at - 1] > age; at--) {
            ages[at] = ages[at - 1];
            out[at] = out[at - 1];
        }
        ages[at] = age;
        out[at] = (struct sack_block){g->start, g->end};
    }
    return count;
}

uint32_t reasm_bytes(const struct reasm *r) { return r ? r->bytes : 0; }
bool reasm_is_empty(const struct reasm *r) { return !r || r->count == 0; }

size_t reasm_memory(const struct reasm *r)
{
    if (!r) return 0;
    size_t n = sizeof *r + r->room * sizeof *r->ranges;
    for (uint32_t i = 0; i < r->count; i++) {
        for (const struct buf *b = r->ranges[i].head; b; b = b->next) n += buf_memory(b->store);
    }
    return n;
}

size_t reasm_memory_max(const struct reasm *r)
{
    return r ? sizeof *r + (size_t)8 * r->bytes + (size_t)1024 * (r->count + r->room) : 0;
}

static void range_check(const struct reasm *r, const struct reasm_range *g)
{
    bool fin = r->has_fin && g->end == r->fin_at + 1;
    uint32_t bytes = 0;
    ASSERT(seq_before(g->start, g->end));
    ASSERT(!g->head == !g->tail);
    for (const struct buf *b = g->head; b; b = b->next) {
        ASSERT(b->len > 0 && b->refs == 1);
        ASSERT(b->next || b == g->tail);
        ASSERT(!b->next || !is_copy(b) || !is_copy(b->next) || b->next->len > buf_tailroom(b));
        bytes += b->len;
    }
    ASSERT(bytes + fin == g->end - g->start);
}

void reasm_check(const struct reasm *r, tcp_seq rcv_nxt, tcp_seq window_end)
{
    if (!r) return;
    uint32_t bytes = 0;
    bool fin = false;
    tcp_seq last = rcv_nxt;
    ASSERT(r->count <= r->room && r->room <= REASM_RANGES_MAX);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct reasm_range *g = &r->ranges[i];
        ASSERT(seq_before(last, g->start)); /* a hole in between, or they were one */
        range_check(r, g);
        ASSERT(!fin);
        fin = r->has_fin && g->end == r->fin_at + 1;
        bytes += g->end - g->start - fin;
        last = g->end;
    }
    ASSERT(fin == r->has_fin);
    ASSERT(bytes == r->bytes);
    ASSERT(seq_before_eq(last - fin, window_end) || r->count == 0);
    ASSERT(reasm_memory(r) <= reasm_memory_max(r));
}
