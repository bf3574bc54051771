/* SPDX-License-Identifier: MIT
 *
 * Pushed bytes become messages, and messages are let go of. sock.h says how both are thought.
 *
 * A message is made in one of four ways, the first that fits:
 *
 *     inline    it is short: the device copies head and bytes when it takes the request, and nothing is held
 *     headroom  one segment, a copy of ours in a buffer: the head goes in front of the bytes, one piece
 *     copy      several short segments, or memory that the device does not know: into one buffer, one piece
 *     gather    the head from a buffer of its own, and the segments as they lie
 *
 * Of Valkey's framing a message is a write into the peer's buffer, without a head, and otherwise the same.
 *
 * Requests gather in the batch and leave at the end of the flush; what the device does not take stays in it and is
 * offered first next time. Connections take turns: ROUND_MESSAGES each, so that a large value does not keep the short
 * replies of others waiting.
 */
#include "libos/rdma/sock.h"

#include "alloc/heap.h"

#define ROUND_MESSAGES 16
#define REQUEST_WORD   ((uint64_t)1 << 32) /* a word is not 0 */
#define GATHER_COPY    2048u               /* bytes in several segments up to which copying costs less than gathering */

static_assert(GATHER_COPY <= BUF_SMALL_SIZE, "the cheap kind of buffer");

/* --- what is held ------------------------------------------------------------------------------------------------- */

static inline struct rdma_slot *slot_at(struct rdma_conn *c, uint32_t wr) { return &c->slots[wr & (c->depth - 1u)]; }

static inline void let_go_seg(struct seg *seg)
{
    if (seg->kind == SEG_OWN) buf_unref(seg->hold);
    else seg_release(seg);
}

static void pass_slot(struct rdma_conn *c, struct rdma_slot *slot)
{
    if (slot->hold) buf_unref(slot->hold);
    for (unsigned i = 0; i < slot->segs; i++) {
        let_go_seg(seg_ring_at(&c->out, 0));
        seg_ring_shift(&c->out);
    }
    DASSERT(c->cursor >= slot->segs);
    c->cursor -= slot->segs;
    c->passed += slot->bytes;
    *slot = (struct rdma_slot){0};
}

/* Lets go of what the device no longer needs, in the order of the requests. */
static void pass(struct rdma_conn *c)
{
    const uint64_t before = c->passed;
    while (c->wr_passed != c->wr_taken) {
        struct rdma_slot *slot = slot_at(c, c->wr_passed);
        if (!slot->copied && (int32_t)(c->wr_reported - c->wr_passed) <= 0) break;
        pass_slot(c, slot);
        c->wr_passed++;
    }
    if (c->passed != before && c->sock) stream_passed(ops_of(c->r), &c->sock->st, c->passed);
}

static inline uint32_t slots_free(const struct rdma_conn *c)
{
    /* A slot that was reported and has not passed cannot be: pass() goes up to what was reported. */
    return c->depth - (c->wr_built - c->wr_reported);
}

void rdma_send_reported(struct rdma_conn *c, uint32_t wr)
{
    if ((int32_t)(wr + 1 - c->wr_reported) <= 0 || (int32_t)(wr + 1 - c->wr_taken) > 0) return;
    c->wr_reported = wr + 1;
    pass(c);
    if (c->built != c->queued || c->fin_due || c->fin_seen_due) rdma_send_mark(c);
    if (likely(!c->fin_sent) || !c->v || c->wr_reported != c->wr_built) return;
    c->fin_confirmed = true; /* the peer's device has everything, and more than that nobody says in Valkey's framing */
    rdma_conn_settle(c);
}

/* --- credits ------------------------------------------------------------------------------------------------------ */

static inline uint64_t room(const struct rdma_conn *c) { return c->window_out - (c->sent - c->granted); }

bool rdma_send_granted(struct rdma_conn *c, uint64_t count)
{
    if (count > c->sent) return false;
    if (count <= c->granted) return true; /* an older one: the two ways overtake each other */
    c->granted = count;
    if (c->stalled && room(c) > 1) {
        c->stalled = false;
        list_remove(&c->waiting);
        rdma_send_mark(c);
    } else if (c->fin_seen_due) {
        rdma_send_mark(c);
    }
    return true;
}

unsigned rdma_send_look_at_words(struct rdma *r)
{
    unsigned found = 0;
    struct list again;
    list_init(&again);
    list_splice_back(&again, &r->waiting);
    for (struct list *l; (l = list_pop_front(&again));) {
        struct rdma_conn *c = list_entry(l, struct rdma_conn, waiting);
        list_push_back(&r->waiting, &c->waiting);
        uint64_t before = c->granted;
        if (!rdma_send_granted(c, word_read(&c->word))) rdma_conn_protocol_error(c, "a count of more than was sent");
        found += c->granted != before;
    }
    return found;
}

static void stall(struct rdma_conn *c)
{
    if (c->stalled) return;
    c->stalled = true;
    c->r->tx_stalled++;
    list_push_back(&c->r->waiting, &c->waiting);
}

/* How many of the peer's messages it has not heard of. */
static inline uint64_t owed(const struct rdma_conn *c) { return c->consumed - c->told; }
static inline bool owes_much(const struct rdma_conn *c) { return owed(c) >= c->window_in / 2; }

/* --- requests ----------------------------------------------------------------------------------------------------- */

static void take(struct rdma *r, unsigned n)
{
    struct rdma_batch *b = &r->batch;
    for (unsigned i = 0; i < n; i++) {
        struct rdma_conn *c = b->conn[i];
        c->wr_taken++;
        pass(c);
        rdma_conn_debug(c);
    }
}

/* Those that stay move to the front, with their pieces. */
static void keep(struct rdma_batch *b, unsigned from)
{
    unsigned n = 0;
    for (unsigned i = from; i < b->n; i++) {
        if (!b->conn[i]) continue;
        if (n != i) {
            memcpy(b->pieces[n], b->pieces[i], sizeof b->pieces[n]);
            memcpy(b->head[n], b->head[i], sizeof b->head[n]);
            for (unsigned k = 0; k < b->req[i].piece_count; k++)
                if (b->pieces[n][k].p == b->head[i]) b->pieces[n][k].p = b->head[n];
            b->req[n] = b->req[i];
            b->req[n].pieces = b->pieces[n];
            b->conn[n] = b->conn[i];
        }
        n++;
    }
    b->n = n;
}

/* False: the device is full. */
static bool submit(struct rdma *r)
{
    struct rdma_batch *b = &r->batch;
    while (b->n) {
        unsigned n = r->dev->ops->post(r->dev, b->req, b->n);
        ASSERT(n <= b->n);
        take(r, n);
        if (unlikely(n < b->n)) {
            keep(b, n);
            return false;
        }
        b->n = 0;
    }
    return true;
}

void rdma_send_forget(struct rdma_conn *c)
{
    struct rdma_batch *b = &c->r->batch;
    for (unsigned i = 0; i < b->n; i++)
        if (b->conn[i] == c) b->conn[i] = NULL;
    keep(b, 0);
}

/* The next request of the batch, in the connection's next slot. */
static struct msgdev_request *request_new(struct rdma_conn *c, uint8_t verb, struct msgdev_piece **pieces,
                                          uint8_t **head)
{
    struct rdma_batch *b = &c->r->batch;
    DASSERT(b->n < MSGDEV_BURST);
    DASSERT(slots_free(c));
    struct msgdev_request *q = &b->req[b->n];
    *pieces = b->pieces[b->n];
    *head = b->head[b->n];
    b->conn[b->n] = c;
    *q = (struct msgdev_request){.end = c->end, .word = REQUEST_WORD | c->wr_built, .verb = verb, .pieces = *pieces};
    return q;
}

/* It is as it goes. important: somebody waits for its being reported. */
static void request_add(struct rdma_conn *c, struct msgdev_request *q, bool important)
{
    c->wr_built++;
    if (important || c->wr_built - c->wr_signalled >= c->depth / 4u || slots_free(c) < 2) {
        q->flags |= MSGDEV_SIGNALLED;
        c->wr_signalled = c->wr_built;
    }
    c->r->batch.n++;
}

/* Head of a message. It takes a place at the peer, and tells it what we are done with. */
static void put_head(struct rdma_conn *c, uint8_t *at, uint8_t kind, uint32_t len, uint8_t flags)
{
    const struct wire_head h = {.kind = kind, .flags = flags, .len = len, .count = c->consumed};
    wire_put_head(at, &h);
    c->told = c->consumed;
    c->sent++;
    c->r->tx_messages++;
}

/* A message of n bytes that are yet to be written to where this says. NULL: no memory. */
static uint8_t *message_new(struct rdma_conn *c, uint32_t n, struct msgdev_request **out)
{
    struct rdma *r = c->r;
    struct msgdev_piece *pieces;
    uint8_t *at;
    struct msgdev_request *q = request_new(c, MSGDEV_SEND, &pieces, &at);
    struct rdma_slot *slot = slot_at(c, c->wr_built);
    DASSERT(n <= RDMA_HEAD_MAX);
    if (r->dev->caps.inline_max >= n) {
        pieces[0] = (struct msgdev_piece){.p = at, .n = n};
        q->flags = MSGDEV_INLINE;
        *slot = (struct rdma_slot){.copied = true};
    } else {
        struct buf *b = buf_take_exact(0);
        if (!b) return NULL;
        at = buf_push_front(b, n);
        pieces[0] = (struct msgdev_piece){.p = at, .n = n, .cookie = region_cookie(r->dev->registry, at)};
        *slot = (struct rdma_slot){.hold = b};
    }
    q->piece_count = 1;
    *out = q;
    return at;
}

/* A message without bytes. False: no memory. */
static bool build_plain(struct rdma_conn *c, uint8_t kind, bool important)
{
    struct msgdev_request *q;
    uint8_t *head = message_new(c, WIRE_HEAD_SIZE, &q);
    if (!head) return false;
    put_head(c, head, kind, 0, 0);
    request_add(c, q, important);
    return true;
}

/* The count alone, into the peer's word: takes no place at the peer, and is what keepalive asks with. */
static void build_count(struct rdma_conn *c, bool important)
{
    struct msgdev_piece *pieces;
    uint8_t *head;
    struct msgdev_request *q = request_new(c, MSGDEV_WRITE, &pieces, &head);
    struct rdma_slot *slot = slot_at(c, c->wr_built);
    bool copied = c->r->dev->caps.inline_max >= sizeof(uint64_t);
    uint8_t *at = copied ? head : c->word.out;
    store_be64(at, c->consumed);
    pieces[0] = (struct msgdev_piece){.p = at, .n = sizeof(uint64_t), .cookie = copied ? NULL : c->word.cookie};
    q->flags = copied ? MSGDEV_INLINE : 0;
    q->piece_count = 1;
    q->remote_addr = c->word_addr;
    q->remote_key = c->word_key;
    *slot = (struct rdma_slot){.copied = copied};
    c->told = c->consumed;
    c->r->counts_written++;
    request_add(c, q, important);
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

/* False: no memory; it is tried again. */
static bool build_data(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    struct msgdev_piece *pieces;
    uint8_t *head;
    const struct message_cut k = cut_next(c, r->dev->caps.pieces_max - 1u);
    struct msgdev_request *q = request_new(c, MSGDEV_SEND, &pieces, &head);
    struct rdma_slot *slot = slot_at(c, c->wr_built);
    DASSERT(k.bytes);
    *slot = (struct rdma_slot){.bytes = k.bytes, .segs = (uint16_t)k.whole};
    if (k.bytes + WIRE_HEAD_SIZE <= r->dev->caps.inline_max) {
        add_inline(c, &k, q, pieces, head);
        slot->copied = true;
        r->tx_inline++;
    } else {
        head = add_held(c, &k, q, pieces, slot);
        if (unlikely(!head)) return false;
    }
    advance(c, &k);
    bool more = c->built != c->queued || c->fin_due;
    put_head(c, head, WIRE_DATA, k.bytes, more && room(c) <= 2 ? WIRE_STALLED : 0);
    if (!slot->copied) c->wr_held = c->wr_built + 1;
    /* Somebody waits for what is held, be it by the messages before. */
    request_add(c, q, (k.whole || !more) && (int32_t)(c->wr_held - c->wr_signalled) > 0);
    return true;
}

/* --- of Valkey's framing ------------------------------------------------------------------------------------------ */

static bool build_word(struct rdma_conn *c)
{
    struct msgdev_request *q;
    uint8_t *at = message_new(c, VALKEY_MESSAGE_SIZE, &q);
    if (!at) return false;
    valkey_wire_say(&c->v->w, (uint64_t)(uintptr_t)c->v->base, c->v->lent.key, at);
    c->r->tx_messages++;
    request_add(c, q, false);
    return true;
}

/* A write of nothing, which takes no receive of the peer: its device answers it, behind all that went before. */
static void build_nothing(struct rdma_conn *c)
{
    struct msgdev_piece *pieces;
    uint8_t *at;
    struct msgdev_request *q = request_new(c, MSGDEV_WRITE, &pieces, &at);
    q->remote_addr = c->v->w.out_addr;
    q->remote_key = c->v->w.out_key;
    *slot_at(c, c->wr_built) = (struct rdma_slot){.copied = true};
    request_add(c, q, true);
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

/* Bytes, behind those that are in the peer's buffer. False: no memory. */
static bool build_written(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    struct valkey_wire *w = &c->v->w;
    struct msgdev_piece *pieces;
    uint8_t *at;
    uint32_t most = valkey_wire_room(w);
    c->room_out = most < VALKEY_WRITE_MAX ? most : VALKEY_WRITE_MAX;
    const struct message_cut k = cut_next(c, r->dev->caps.pieces_max);
    struct msgdev_request *q = request_new(c, MSGDEV_WRITE_IMM, &pieces, &at);
    struct rdma_slot *slot = slot_at(c, c->wr_built);
    DASSERT(k.bytes && k.bytes <= most);
    *slot = (struct rdma_slot){.bytes = k.bytes, .segs = (uint16_t)k.whole};
    if (k.bytes <= r->dev->caps.inline_max) {
        for (uint32_t i = 0; i < k.segs; i++) pieces[i].p = piece_of(c, &k, i, &pieces[i].n);
        q->piece_count = (uint16_t)k.segs;
        q->flags = MSGDEV_INLINE;
        slot->copied = true;
        r->tx_inline++;
    } else if (unlikely(!add_written(c, &k, q, pieces, slot))) {
        return false;
    }
    q->remote_addr = w->out_addr + w->out_at;
    q->remote_key = w->out_key;
    q->immediate = k.bytes;
    w->out_at += k.bytes;
    advance(c, &k);
    r->tx_messages++;
    bool more = c->built != c->queued || c->fin_due;
    if (!slot->copied) c->wr_held = c->wr_built + 1;
    request_add(c, q, (k.whole || !more) && (int32_t)(c->wr_held - c->wr_signalled) > 0);
    return true;
}

enum outcome { IDLE, AGAIN, LATER };

static enum outcome build_valkey(struct rdma_conn *c)
{
    struct valkey_wire *w = &c->v->w;
    if (valkey_wire_has_to_say(w)) return build_word(c) ? AGAIN : LATER;
    if (c->probe_due) {
        c->probe_due = false;
        c->probe_out = true;
    } else if (c->built != c->queued) {
        if (!valkey_wire_room(w)) return IDLE; /* valkey_received() */
        return build_written(c) ? AGAIN : LATER;
    } else if (c->fin_due) {
        c->fin_due = false;
        c->fin_sent = true;
    } else {
        return IDLE;
    }
    build_nothing(c);
    return AGAIN;
}

/* --- the next request --------------------------------------------------------------------------------------------- */

/* What the peer is to hear besides, or instead. */
static void build_counts(struct rdma_conn *c)
{
    if (c->probe_due) {
        c->probe_due = false;
        c->probe_out = true;
        build_count(c, true);
        return;
    }
    if (!owes_much(c)) return;
    if (c->peer_stalled && room(c) > 0 && build_plain(c, WIRE_COUNT, false)) {
        c->peer_stalled = false;
        c->r->count_messages++;
        return;
    }
    build_count(c, false);
}

/* One request, if there is one to be made. LATER: something else must happen first, which marks the connection. */
static enum outcome build_one(struct rdma_conn *c)
{
    if (!slots_free(c)) return IDLE; /* rdma_send_reported() */
    if (unlikely(c->v)) return build_valkey(c);
    if (c->fin_seen_due && room(c) > 0) {
        if (!build_plain(c, WIRE_FIN_SEEN, true)) return LATER;
        c->fin_seen_due = false;
        return AGAIN;
    }
    bool data = c->built != c->queued;
    if (data || c->fin_due) {
        if (room(c) <= 1) {
            stall(c);
        } else if (data) {
            return build_data(c) ? AGAIN : LATER;
        } else {
            if (!build_plain(c, WIRE_FIN, true)) return LATER;
            c->fin_due = false;
            c->fin_sent = true;
            return AGAIN;
        }
    }
    if (c->probe_due || owes_much(c)) {
        build_counts(c);
        return AGAIN;
    }
    return IDLE;
}

void rdma_send_mark(struct rdma_conn *c)
{
    if (c->state != CONN_UP) return;
    if (list_is_empty(&c->dirty)) list_push_back(&c->r->dirty, &c->dirty);
    runtime_need_flush(c->r->base.rt);
}

/* False: the device is full. */
static bool flush_conn(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    for (unsigned i = 0; i < ROUND_MESSAGES; i++) {
        if (r->batch.n == MSGDEV_BURST && !submit(r)) {
            list_push_front(&r->dirty, &c->dirty);
            return false;
        }
        enum outcome o = build_one(c);
        if (o == AGAIN) continue;
        if (o == LATER) {
            r->no_buffer++;
            list_push_back(&r->dirty, &c->dirty);
        }
        return true;
    }
    list_push_back(&r->dirty, &c->dirty);
    return true;
}

void rdma_send_flush(struct rdma *r)
{
    bool full = !submit(r);
    uint64_t no_buffer = r->no_buffer;
    while (!full && r->no_buffer == no_buffer) {
        struct list *l = list_pop_front(&r->dirty);
        if (!l) break;
        full = !flush_conn(list_entry(l, struct rdma_conn, dirty));
    }
    if (!full) full = !submit(r);
    r->stuck = full || r->no_buffer != no_buffer;
    if (r->stuck) runtime_need_flush(r->base.rt);
}

void rdma_send_drop(struct rdma_conn *c)
{
    for (uint32_t i = 0; i < c->depth; i++) {
        if (c->slots[i].hold) buf_unref(c->slots[i].hold);
        c->slots[i] = (struct rdma_slot){0};
    }
    for (; c->out.count; seg_ring_shift(&c->out)) let_go_seg(seg_ring_at(&c->out, 0));
    seg_ring_free(&c->out);
    c->cursor = c->cursor_off = 0;
    c->passed = c->built = c->queued;
    c->wr_passed = c->wr_reported = c->wr_taken = c->wr_built;
}
