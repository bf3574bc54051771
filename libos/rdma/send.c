/* SPDX-License-Identifier: MIT
 *
 * Pushed bytes become messages. sock.h says how it is thought.
 *
 * A message is made in one of five ways, the first that fits:
 *
 *     cell      short pushes that were copied behind room for a head: they go as they lie, as one piece, inline. Where
 *               nothing else goes on, by a shorter way (prompt.c)
 *     inline    it is short: the device copies head and bytes when it takes the request, and nothing is held
 *     headroom  one segment, a copy of ours in a buffer: the head goes in front of the bytes, one piece
 *     copy      several short segments, or memory that the device does not know: into one buffer, one piece
 *     gather    the head from a buffer of its own, and the segments as they lie
 *
 * Of Valkey's framing a message is a write into the peer's buffer, without a head, and otherwise the same.
 */
#include "libos/rdma/out.h"

#include "alloc/heap.h"

#define GATHER_COPY 2048u /* bytes in several segments up to which copying costs less than gathering */

static_assert(GATHER_COPY <= BUF_SMALL_SIZE, "the cheap kind of buffer");

/* --- messages without bytes of the stream ------------------------------------------------------------------------- */

/* Head of a message. It takes a place at the peer, and tells it what we are done with. */
static void put_head(struct rdma_conn *c, uint8_t *at, uint8_t kind, uint32_t len, uint8_t flags)
{
    const struct wire_head h = {.kind = kind, .flags = flags, .len = len, .count = c->consumed};
    wire_put_head(at, &h);
    rdma_recv_told(c);
    c->sent++;
    c->r->tx_messages++;
}

static inline void put_data_head(struct rdma_conn *c, uint8_t *at, uint32_t len)
{
    wire_put_data(at, len, c->consumed);
    rdma_recv_told(c);
    c->sent++;
    c->r->tx_messages++;
}

/* A message of n bytes that are yet to be written to where this says. NULL: no memory. */
static uint8_t *message_new(struct rdma_conn *c, uint32_t n, struct msgdev_request **out)
{
    struct rdma *r = c->r;
    struct msgdev_piece *pieces;
    uint8_t *at;
    struct msgdev_request *q = rdma_request_new(c, MSGDEV_SEND, &pieces, &at);
    DASSERT(n <= RDMA_HEAD_MAX);
    if (r->dev->caps.inline_max >= n) {
        pieces[0] = (struct msgdev_piece){.p = at, .n = n};
        q->flags = MSGDEV_INLINE;
    } else {
        struct buf *b = buf_take_exact(0);
        if (!b) return NULL;
        at = buf_push_front(b, n);
        pieces[0] = (struct msgdev_piece){.p = at, .n = n, .cookie = region_cookie(r->dev->registry, at)};
        rdma_slot_set(c, (struct rdma_slot){.hold = b, .held = true});
    }
    q->piece_count = 1;
    *out = q;
    return at;
}

bool rdma_build_plain(struct rdma_conn *c, uint8_t kind, bool important)
{
    struct msgdev_request *q;
    uint8_t *head = message_new(c, WIRE_HEAD_SIZE, &q);
    if (!head) return false;
    put_head(c, head, kind, 0, 0);
    rdma_request_add(c, q, important);
    return true;
}

void rdma_build_count(struct rdma_conn *c, bool important)
{
    struct msgdev_piece *pieces;
    uint8_t *head;
    struct msgdev_request *q = rdma_request_new(c, MSGDEV_WRITE, &pieces, &head);
    bool copied = c->r->dev->caps.inline_max >= sizeof(uint64_t);
    uint8_t *at = copied ? head : c->word.out;
    store_be64(at, c->consumed);
    pieces[0] = (struct msgdev_piece){.p = at, .n = sizeof(uint64_t), .cookie = copied ? NULL : c->word.cookie};
    q->flags = copied ? MSGDEV_INLINE : 0;
    q->piece_count = 1;
    q->remote_addr = c->word_addr;
    q->remote_key = c->word_key;
    if (!copied) rdma_slot_set(c, (struct rdma_slot){.held = true});
    rdma_recv_told(c);
    c->r->counts_written++;
    rdma_request_add(c, q, important);
}

/* --- data --------------------------------------------------------------------------------------------------------- */

/* What the next message takes: whole segments, and a part of the last. */
struct message_cut {
    uint32_t segs;  /* it has bytes of */
    uint32_t whole; /* ... that end in it */
    uint32_t bytes;
    uint32_t rest_off; /* in the last one, where the message behind it begins; 0: in a new one */
};

static struct message_cut cut_next(const struct rdma_conn *c, uint32_t segs_max)
{
    struct message_cut k = {0};
    uint32_t off = c->cursor_off;
    for (uint32_t i = c->cursor; i < c->out.count && k.segs < segs_max && k.bytes < c->room_out; i++, off = 0) {
        const struct seg *seg = seg_ring_at(&c->out, i);
        uint32_t left = seg->n - off, space = c->room_out - k.bytes;
        k.segs++;
        if (left > space) {
            k.bytes += space;
            k.rest_off = off + space;
            return k;
        }
        k.bytes += left;
        k.whole++;
    }
    return k;
}

static inline const char *piece_of(const struct rdma_conn *c, const struct message_cut *k, uint32_t i, uint32_t *n)
{
    const struct seg *seg = seg_ring_at(&c->out, c->cursor + i);
    uint32_t from = i ? 0 : c->cursor_off;
    uint32_t to = i == k->segs - 1 && k->rest_off ? k->rest_off : seg->n;
    *n = to - from;
    return seg->p + from;
}

static void add_inline(struct rdma_conn *c, const struct message_cut *k, struct msgdev_request *q,
                       struct msgdev_piece *pieces, uint8_t *head)
{
    pieces[0] = (struct msgdev_piece){.p = head, .n = WIRE_HEAD_SIZE};
    for (uint32_t i = 0; i < k->segs; i++) pieces[i + 1].p = piece_of(c, k, i, &pieces[i + 1].n);
    q->piece_count = (uint16_t)(k->segs + 1);
    q->flags = MSGDEV_INLINE;
}

/* A segment that is a buffer of ours, whole and not begun: nobody else sees what lies in front of it. */
static uint8_t *headroom_of(const struct rdma_conn *c, const struct message_cut *k)
{
    const struct seg *seg = seg_ring_at(&c->out, c->cursor);
    if (k->segs != 1 || k->rest_off || c->cursor_off || (seg->kind != SEG_BUF && seg->kind != SEG_OWN)) return NULL;
    const struct buf *b = seg->hold;
    if (!buf_is_sole(b) || b->data != (const uint8_t *)seg->p || buf_headroom(b) < WIRE_HEAD_SIZE) return NULL;
    return b->data - WIRE_HEAD_SIZE;
}

static struct buf *copy_of(const struct rdma_conn *c, const struct message_cut *k)
{
    struct buf *b = buf_take(k->bytes);
    for (uint32_t i = 0; b && i < k->segs; i++) {
        uint32_t n;
        const char *p = piece_of(c, k, i, &n);
        memcpy(buf_put_back(b, n), p, n);
    }
    return b;
}

/* False: the device does not know some of it. */
static bool add_gathered(struct rdma_conn *c, const struct message_cut *k, struct msgdev_piece *to)
{
    for (uint32_t i = 0; i < k->segs; i++) {
        to[i].p = piece_of(c, k, i, &to[i].n);
        to[i].cookie = region_cookie(c->r->dev->registry, to[i].p);
        if (unlikely(!to[i].cookie)) return false;
    }
    return true;
}

/* It is built of these bytes. */
static void advance(struct rdma_conn *c, const struct message_cut *k)
{
    c->cursor += k->whole;
    c->cursor_off = k->rest_off;
    c->built += k->bytes;
    c->r->tx_bytes += k->bytes;
}

/* Not inline. Returns where the head goes, NULL: no memory. */
static uint8_t *add_held(struct rdma_conn *c, const struct message_cut *k, struct msgdev_request *q,
                         struct msgdev_piece *pieces, struct rdma_slot *slot)
{
    int device = c->r->dev->registry;
    uint8_t *head = headroom_of(c, k);
    if (head && (pieces[0].cookie = region_cookie(device, head))) {
        pieces[0].p = head;
        pieces[0].n = WIRE_HEAD_SIZE + k->bytes;
        q->piece_count = 1;
        return head;
    }
    bool gather = (k->segs == 1 || k->bytes > GATHER_COPY) && add_gathered(c, k, pieces + 1);
    struct buf *b = gather ? buf_take_exact(0) : copy_of(c, k);
    if (!b) return NULL;
    c->r->tx_copied += !gather;
    head = buf_push_front(b, WIRE_HEAD_SIZE);
    pieces[0] = (struct msgdev_piece){.p = head, .n = b->len, .cookie = region_cookie(device, head)};
    q->piece_count = (uint16_t)(gather ? k->segs + 1 : 1);
    slot->hold = b;
    return head;
}

/* What lies in the cell, which goes as it lies: the commonest message of all. */
static void build_cell(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    struct rdma_batch *b = &r->batch;
    struct rdma_cell *cell = c->cell;
    struct msgdev_piece *pieces = b->pieces[b->n];
    uint32_t n = c->cell_bytes;
    DASSERT(b->n < MSGDEV_BURST);
    pieces[0].p = cell->head;
    pieces[0].n = WIRE_HEAD_SIZE + n;
    b->conn[b->n] = c;
    b->cell[b->n] = cell;
    struct msgdev_request *q = &b->req[b->n];
    q->end = c->end; /* what belongs to writes is not looked at */
    q->word = REQUEST_WORD | c->wr_built;
    q->pieces = pieces;
    q->piece_count = 1;
    q->verb = MSGDEV_SEND;
    q->flags = MSGDEV_INLINE;
    c->cell_bytes = 0;
    r->tx_bytes += n;
    r->tx_inline++;
    if (unlikely(c->fin_due && rdma_room(c) <= 2)) put_head(c, cell->head, WIRE_DATA, n, WIRE_STALLED);
    else put_data_head(c, cell->head, n);
    rdma_request_add(c, q, (int32_t)(c->wr_held - c->wr_signalled) > 0);
}

bool rdma_build_data(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    struct msgdev_piece *pieces;
    uint8_t *head;
    if (likely(c->cell_bytes)) {
        build_cell(c);
        return true;
    }
    const struct message_cut k = cut_next(c, r->dev->caps.pieces_max - 1u);
    struct msgdev_request *q = rdma_request_new(c, MSGDEV_SEND, &pieces, &head);
    struct rdma_slot *slot = rdma_slot_at(c, c->wr_built);
    DASSERT(k.bytes);
    rdma_slot_set(c, (struct rdma_slot){.bytes = k.bytes, .segs = (uint16_t)k.whole, .held = true});
    if (k.bytes + WIRE_HEAD_SIZE <= r->dev->caps.inline_max) {
        add_inline(c, &k, q, pieces, head);
        slot->held = false;
        r->tx_inline++;
    } else {
        head = add_held(c, &k, q, pieces, slot);
        if (unlikely(!head)) return false;
    }
    advance(c, &k);
    bool more = c->built != c->queued || c->fin_due;
    put_head(c, head, WIRE_DATA, k.bytes, more && rdma_room(c) <= 2 ? WIRE_STALLED : 0);
    if (slot->held) c->wr_held = c->wr_built + 1;
    /* Somebody waits for what is held, be it by the messages before. */
    rdma_request_add(c, q, (k.whole || !more) && (int32_t)(c->wr_held - c->wr_signalled) > 0);
    return true;
}

/* --- of Valkey's framing ------------------------------------------------------------------------------------------ */

bool rdma_build_word(struct rdma_conn *c)
{
    struct msgdev_request *q;
    uint8_t *at = message_new(c, VALKEY_MESSAGE_SIZE, &q);
    if (!at) return false;
    valkey_wire_say(&c->v->w, (uint64_t)(uintptr_t)c->v->base, c->v->lent.key, at);
    c->r->tx_messages++;
    rdma_request_add(c, q, false);
    return true;
}

void rdma_build_nothing(struct rdma_conn *c)
{
    struct msgdev_piece *pieces;
    uint8_t *at;
    struct msgdev_request *q = rdma_request_new(c, MSGDEV_WRITE, &pieces, &at);
    q->remote_addr = c->v->w.out_addr;
    q->remote_key = c->v->w.out_key;
    rdma_request_add(c, q, true);
}

/* Not inline. False: no memory. */
static bool add_written(struct rdma_conn *c, const struct message_cut *k, struct msgdev_request *q,
                        struct msgdev_piece *pieces, struct rdma_slot *slot)
{
    q->piece_count = (uint16_t)k->segs;
    if ((k->segs == 1 || k->bytes > GATHER_COPY) && add_gathered(c, k, pieces)) return true;
    struct buf *b = copy_of(c, k);
    if (!b) return false;
    c->r->tx_copied++;
    pieces[0] = (struct msgdev_piece){.p = b->data, .n = b->len, .cookie = region_cookie(c->r->dev->registry, b->data)};
    q->piece_count = 1;
    slot->hold = b;
    return true;
}

/* It is a write behind those before it, of n bytes. */
static inline void aim(struct valkey_wire *w, struct msgdev_request *q, uint32_t n)
{
    q->remote_addr = w->out_addr + w->out_at;
    q->remote_key = w->out_key;
    q->immediate = n;
    w->out_at += n;
}

/* What lies in the cell, all of which fits. */
static void write_cell(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    struct msgdev_piece *pieces;
    uint8_t *at;
    uint32_t n = c->cell_bytes;
    struct msgdev_request *q = rdma_request_new(c, MSGDEV_WRITE_IMM, &pieces, &at);
    pieces[0] = (struct msgdev_piece){.p = c->cell->bytes, .n = n};
    q->piece_count = 1;
    q->flags = MSGDEV_INLINE;
    r->batch.cell[r->batch.n] = c->cell;
    c->cell_bytes = 0;
    r->tx_bytes += n;
    r->tx_inline++;
    r->tx_messages++;
    aim(&c->v->w, q, n);
    rdma_request_add(c, q, (int32_t)(c->wr_held - c->wr_signalled) > 0);
}

bool rdma_build_written(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    struct valkey_wire *w = &c->v->w;
    struct msgdev_piece *pieces;
    uint8_t *at;
    uint32_t most = valkey_wire_room(w);
    if (likely(c->cell_bytes)) {
        if (likely(c->cell_bytes <= most)) {
            write_cell(c);
            return true;
        }
        if (!rdma_cell_move(c)) return false;
    }
    c->room_out = most < VALKEY_WRITE_MAX ? most : VALKEY_WRITE_MAX;
    const struct message_cut k = cut_next(c, r->dev->caps.pieces_max);
    struct msgdev_request *q = rdma_request_new(c, MSGDEV_WRITE_IMM, &pieces, &at);
    struct rdma_slot *slot = rdma_slot_at(c, c->wr_built);
    DASSERT(k.bytes && k.bytes <= most);
    rdma_slot_set(c, (struct rdma_slot){.bytes = k.bytes, .segs = (uint16_t)k.whole, .held = true});
    if (k.bytes <= r->dev->caps.inline_max) {
        for (uint32_t i = 0; i < k.segs; i++) pieces[i].p = piece_of(c, &k, i, &pieces[i].n);
        q->piece_count = (uint16_t)k.segs;
        q->flags = MSGDEV_INLINE;
        slot->held = false;
        r->tx_inline++;
    } else if (unlikely(!add_written(c, &k, q, pieces, slot))) {
        return false;
    }
    aim(w, q, k.bytes);
    advance(c, &k);
    r->tx_messages++;
    bool more = c->built != c->queued || c->fin_due;
    if (slot->held) c->wr_held = c->wr_built + 1;
    rdma_request_add(c, q, (k.whole || !more) && (int32_t)(c->wr_held - c->wr_signalled) > 0);
    return true;
}
