/* SPDX-License-Identifier: MIT
 *
 * Messages become bytes of streams.
 *
 * The receives of all connections are one queue of equal buffers. Short messages are copied out, so that the buffer
 * goes back at once; the others are given to the program as they lie, and a new buffer takes their place. The queue is
 * filled whatever the program does: how much it may leave unread is bounded by the windows.
 */
#include "libos/rdma/sock.h"

#include "libos/runtime/handover.h"

#include <errno.h>
#include <stdlib.h>

#define COPY_OUT 1024u /* bytes up to which a message is copied; a small buffer holds them */

static_assert(COPY_OUT <= BUF_SMALL_SIZE, "the cheap kind of buffer");

/* --- the shared queue --------------------------------------------------------------------------------------------- */

int rdma_recv_init(struct rdma *r)
{
    uint32_t n = r->depth;
    r->receives = calloc(n + 1, sizeof(struct buf *));
    r->places = calloc(n, sizeof *r->places);
    r->again = calloc(n, sizeof *r->again);
    r->smalls = smalls_new(&r->small);
    if (!r->receives || !r->places || !r->again || !r->smalls) return -ENOMEM;
    for (uint32_t i = 0; i < n; i++) r->places[i] = n - i;
    r->place_count = n;
    return 0;
}

void rdma_recv_fini(struct rdma *r)
{
    for (uint32_t i = 1; r->receives && i <= r->depth; i++)
        if (r->receives[i]) buf_unref(r->receives[i]);
    smalls_close(r->smalls);
    free(r->receives);
    free(r->places);
    free(r->again);
}

/* Buffers for places that have none, the last ones. */
static unsigned fill(struct rdma *r, struct msgdev_request *q, struct msgdev_piece *pieces)
{
    unsigned n = 0;
    for (; n < MSGDEV_BURST && n < r->place_count; n++) {
        struct buf *b = buf_take(r->o.receive_size);
        void *cookie = b ? region_cookie(r->dev->registry, b->data) : NULL;
        if (unlikely(!cookie)) {
            if (b) buf_unref(b);
            r->no_buffer++;
            break;
        }
        uint32_t place = r->places[r->place_count - 1 - n];
        r->receives[place] = b;
        pieces[n] = (struct msgdev_piece){.p = b->data, .n = r->o.receive_size, .cookie = cookie};
        q[n] = (struct msgdev_request){.word = place, .pieces = &pieces[n], .piece_count = 1, .verb = MSGDEV_RECEIVE};
    }
    return n;
}

/* False: that is all for now. */
static bool post_new(struct rdma *r)
{
    struct msgdev_request q[MSGDEV_BURST];
    struct msgdev_piece pieces[MSGDEV_BURST];
    while (r->place_count) {
        unsigned n = fill(r, q, pieces);
        if (!n) return false;
        unsigned taken = r->dev->ops->post(r->dev, q, n);
        ASSERT(taken <= n);
        r->posted += taken;
        r->place_count -= taken;
        if (taken == n) continue;
        for (unsigned i = taken; i < n; i++) { /* they are the last places still, in this order */
            buf_unref(r->receives[q[i].word]);
            r->receives[q[i].word] = NULL;
        }
        r->receives_short++;
        return false;
    }
    return true;
}

static bool post_again(struct rdma *r)
{
    while (r->again_count) {
        unsigned n = r->again_count < MSGDEV_BURST ? r->again_count : MSGDEV_BURST;
        uint32_t *words = &r->again[r->again_count - n];
        unsigned taken = r->dev->ops->again(r->dev, words, n);
        ASSERT(taken <= n);
        r->posted += taken;
        r->again_count -= taken;
        if (likely(taken == n)) continue;
        memmove(words, words + taken, (n - taken) * sizeof *words);
        r->receives_short++;
        return false;
    }
    return true;
}

void rdma_recv_post(struct rdma *r)
{
    if (post_again(r) && unlikely(r->place_count)) post_new(r);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

/* We are done with a message of the peer: it may send another. */
static inline void consumed(struct rdma_conn *c)
{
    c->unread--;
    if (unlikely(++c->consumed >= c->tell_at)) rdma_send_mark(c);
}

/* The bytes behind the head, as a buffer of the program's: b, or a copy. NULL: no memory for one. */
static inline struct buf *payload(struct buf *b, uint32_t len)
{
    if (unlikely(len > COPY_OUT)) {
        b->len = WIRE_HEAD_SIZE + len;
        buf_trim_front(b, WIRE_HEAD_SIZE);
        return b;
    }
    struct buf *small = buf_take_exact(len); /* up to 832 bytes it is one of the heap's small objects */
    if (likely(small)) memcpy(buf_put_back(small, len), b->data + WIRE_HEAD_SIZE, len);
    return small;
}

/* True: b is the connection's. */
static bool data(struct rdma_conn *c, struct buf *b, uint32_t len)
{
    struct rdma *r = c->r;
    struct rdma_sock *s = c->sock;
    r->rx_bytes += len;
    if (unlikely(!rdma_conn_is_read(c))) {
        consumed(c);
        return false;
    }
    struct buf *given = payload(b, len);
    if (unlikely(!given)) {
        r->no_buffer++;
        rdma_conn_fail(c, ENOMEM);
        return false;
    }
    if (likely(s && s->st.pops.head)) {
        DASSERT(!c->rx);
        consumed(c);
        stream_give(ops_of(r), op_list_shift(&s->st.pops), given);
    } else {
        *c->rx_tail = given;
        c->rx_tail = &given->next;
    }
    return given == b;
}

static void fin(struct rdma_conn *c)
{
    rdma_recv_doubt(c);
    c->fin_received = true;
    rdma_prompt_end(c);
    c->fin_seen_due = true;
    rdma_send_mark(c);
    if (!c->sock) return;
    c->sock->st.flags |= STREAM_ENDED;
    if (!c->rx) stream_give_ends(ops_of(c->r), &c->sock->st);
}

/* What a peer may say when. */
static const char *objection(const struct rdma_conn *c, const struct wire_head *h)
{
    if (c->unread > c->window_in) return "more messages than its window has";
    if (h->kind == WIRE_DATA && c->fin_received) return "bytes behind the end";
    if (h->kind == WIRE_FIN && c->fin_received) return "a second end";
    if (h->kind == WIRE_FIN_SEEN && (!c->fin_sent || c->fin_confirmed)) return "an answer to no end";
    return NULL;
}

/* Any message; what is wrong with it ends the connection. */
__attribute__((noinline)) static bool other_message(struct rdma_conn *c, struct buf *b, uint32_t n)
{
    struct wire_head h;
    bool fine = n <= c->r->o.receive_size && wire_get_head(b->data, n, &h);
    const char *why = !fine ? "a message that is none" : objection(c, &h);
    if (!why && !rdma_send_granted(c, h.count)) why = "a count of more than was sent";
    if (why) {
        rdma_conn_protocol_error(c, why);
        return false;
    }
    if (h.flags & WIRE_STALLED) c->peer_stalled = true;
    if (h.kind == WIRE_DATA) return data(c, b, h.len);
    consumed(c);
    if (h.kind == WIRE_FIN) fin(c);
    if (h.kind == WIRE_FIN_SEEN) c->fin_confirmed = true;
    rdma_conn_settle(c);
    return false;
}

/* False: it cannot be. Nearly always nobody waits for it. */
static inline bool granted(struct rdma_conn *c, uint64_t count)
{
    if (unlikely(count - c->granted > c->sent - c->granted || c->stalled || c->fin_seen_due))
        return rdma_send_granted(c, count);
    c->granted = count;
    return true;
}

/* Whether its next message can be taken in one go: what is asked here of the connection is not asked there. Whoever
 * changes the answer calls rdma_recv_doubt(). */
static bool is_plain(const struct rdma_conn *c)
{
    return c->state == CONN_UP && !c->v && c->sock && !(c->sock->st.flags & STREAM_READ_SHUT) && !c->fin_received &&
           !c->fin_seen_due && !c->stalled && !c->is_silent;
}

bool rdma_recv_message(struct rdma_conn *c, struct buf *b, uint32_t n)
{
    uint64_t count;
    c->r->rx_messages++;
    c->is_silent = false;
    if (unlikely(c->state > CONN_UP)) return false; /* on our way out */
    c->unread++;
    c->is_plain = is_plain(c);
    /* Nearly all are bytes that nothing speaks against. */
    if (likely(n <= c->r->o.receive_size && wire_is_data(b->data, n, &count) && !c->fin_received &&
               c->unread <= c->window_in && granted(c, count)))
        return data(c, b, n - WIRE_HEAD_SIZE);
    return other_message(c, b, n);
}

/* --- the commonest message of all --------------------------------------------------------------------------------- */

#define COPY_FIRST 64u /* bytes at once: what lies behind a shorter message is copied, too, and not looked at */
static_assert(SMALLS_ROOM >= COPY_FIRST && WIRE_HEAD_SIZE + COPY_FIRST <= WIRE_RECEIVE_MIN, "there is something there");

/* Some bytes, on a connection where nothing else goes on, and somebody waits for them. False: it is another one, and
 * nothing has happened. */
static inline __attribute__((always_inline)) bool take_plain(struct rdma *r, struct op_table *ops,
                                                             const struct msgdev_completion *m, uint32_t **again)
{
    const uint32_t word = (uint32_t)m->word;
    const uint64_t len = m->len - WIRE_HEAD_SIZE; /* one register */
    struct rdma_conn *c = conn_of(m->of);
    if (unlikely(m->kind != MSGDEV_MESSAGE || !c->is_plain || len - 1 >= SMALLS_ROOM)) return false;
    ASSERT(word <= r->depth);
    const uint8_t *at = r->receives[word]->data;
    const uint64_t count = wire_count(at), granted = c->granted;
    if (unlikely(!wire_is_data_of(at, (uint32_t)len) || count - granted > c->sent - granted)) return false;
    c->granted = count; /* it says so whatever becomes of its bytes */
    struct op_list *pops = &c->sock->st.pops;
    struct op *op = pops->head;
    struct buf *b = op ? smalls_take(&r->small, (uint32_t)len) : NULL;
    if (unlikely(!b)) return false;
    uint8_t *to = b->data;
    DASSERT(!c->rx && !c->unread);
    op_list_behead(pops, op);
    stream_give_bytes(ops, op, b, to, (uint32_t)len);
    if (unlikely(++c->consumed >= c->tell_at)) rdma_send_mark(c);
    r->rx_bytes += len;
    memcpy(to, at + WIRE_HEAD_SIZE, COPY_FIRST);
    if (unlikely(len > COPY_FIRST)) memcpy(to + COPY_FIRST, at + WIRE_HEAD_SIZE + COPY_FIRST, len - COPY_FIRST);
    *(*again)++ = word;
    return true;
}

void rdma_recv_burst(struct rdma *r, struct msgdev_completion *m, unsigned n)
{
    struct op_table *ops = ops_of(r);
    uint32_t others = 0, *again = r->again + r->again_count;
    const struct msgdev_completion *const end = m + n;
    m[n].kind = ~MSGDEV_MESSAGE; /* so that only what is no message is asked whether it is the end */
    for (;; m++) {
        if (likely(take_plain(r, ops, m, &again))) {
            rdma_conn_debug(conn_of(m->of));
            continue;
        }
        if (m == end) break;
        others++;
        r->again_count = (uint32_t)(again - r->again);
        rdma_event(r, m);
        again = r->again + r->again_count;
    }
    r->again_count = (uint32_t)(again - r->again);
    r->posted -= n - others;
    r->rx_messages += n - others;
}

/* --- pops --------------------------------------------------------------------------------------------------------- */

static struct buf *shift(struct rdma_conn *c)
{
    struct buf *b = c->rx;
    c->rx = b->next;
    b->next = NULL;
    if (!c->rx) c->rx_tail = &c->rx;
    consumed(c);
    return b;
}

/* NULL: there is none, or no memory for it, and then the connection has failed. */
static struct buf *next(struct rdma_conn *c)
{
    if (likely(c->rx)) return shift(c);
    if (likely(!c->v) || !valkey_wire_readable(&c->v->w)) return NULL;
    struct buf *b = valkey_shift(c);
    if (likely(b)) return b;
    c->r->no_buffer++;
    valkey_drop(c);
    rdma_conn_fail(c, ENOMEM);
    return NULL;
}

static bool answer_pop(struct rdma_sock *s, struct op *op)
{
    struct buf *b = next(s->conn);
    if (b) {
        stream_give(ops_of(s->r), op, b);
        return true;
    }
    if (likely(!stream_is_at_end(&s->st))) return false;
    stream_give_end(ops_of(s->r), &s->st, op);
    return true;
}

int rdma_stream_pop(struct queue *q, struct op *op)
{
    struct rdma_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (unlikely(s->state != SOCK_CONNECTED)) return -ENOTCONN;
    if (!s->st.pops.head && answer_pop(s, op)) return 0;
    op_list_append(&s->st.pops, op);
    return 0;
}

void rdma_recv_give(struct rdma_sock *s)
{
    struct rdma_conn *c = s->conn;
    for (struct buf *b; s->st.pops.head && (b = next(c));) stream_give(ops_of(s->r), op_list_shift(&s->st.pops), b);
    if (!rdma_conn_is_readable(c) && stream_is_at_end(&s->st)) stream_give_ends(ops_of(s->r), &s->st);
}

/* What had come can still be popped; what comes from now on is thrown away, and the peer may go on sending. */
int rdma_stream_shutdown_read(struct rdma_sock *s)
{
    s->st.flags |= STREAM_READ_SHUT;
    rdma_recv_doubt(s->conn);
    rdma_recv_give(s);
    return 0;
}

void rdma_recv_drop(struct rdma_conn *c)
{
    if (c->v) valkey_drop(c);
    for (struct buf *b; (b = c->rx);) {
        c->rx = b->next;
        b->next = NULL;
        buf_unref(b);
    }
    c->rx_tail = &c->rx;
}
