/* SPDX-License-Identifier: MIT
 *
 * Bytes of streams, in and out, and how a stream ends.
 */
#include "libos/sim/world.h"

#include "libos/runtime/handover.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"
#include "alloc/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POP_BYTES_MAX 65536

/* --- out ---------------------------------------------------------------------------------------------------------- */

/* Copies n bytes out and lets go of what was copied whole. */
static void take_out(struct seg_ring *out, char *to, size_t n)
{
    while (n) {
        struct seg *s = seg_ring_at(out, 0);
        uint32_t k = s->n < n ? s->n : (uint32_t)n;
        memcpy(to, s->p, k);
        to += k;
        n -= k;
        s->p += k;
        s->n -= k;
        if (s->n) return;
        seg_release(s);
        seg_ring_shift(out);
    }
}

static void drop_out(struct sim_end *e)
{
    for (; e->out.count; seg_ring_shift(&e->out)) seg_release(seg_ring_at(&e->out, 0));
    e->sent = e->queued;
}

static void complete_pushes(struct sim_end *e)
{
    struct sim_sock *s = e->sock;
    if (!s || !s->st.pushes.head || s->st.pushes.head->arg > e->sent) return;
    stream_passed(&s->q.rt->ops, &s->st, e->sent);
    sim_host_wake(s->host);
}

static void rested(void *arg)
{
    struct sim_end *e = arg;
    struct sim_conn *c = e->conn;
    e->resting = false;
    sim_end_transmit(e);
    sim_conn_unref(c);
}

static void rest(struct sim_end *e, uint64_t ns)
{
    struct sim *s = e->conn->sim;
    e->resting = true;
    sim_conn_ref(e->conn);
    sim_events_add(&s->events, s->now + ns, rested, e);
}

void sim_end_transmit_later(struct sim_end *e)
{
    if (!e->resting) rest(e, 0);
}

/* Every fourth segment is as long as it may be. */
static uint32_t segment_bytes(struct sim_end *e, const struct sim_link *l)
{
    struct sim *s = e->conn->sim;
    uint64_t most = e->queued - e->sent;
    if (most > e->credit) most = e->credit;
    if (most > l->segment_max) most = l->segment_max;
    const uint64_t *gate = sim_gate_of(s, e->host, peer_of(e)->host);
    if (gate && most > *gate) most = *gate;
    return (uint32_t)(rng_below(&s->rng, 4) ? 1 + rng_below(&s->rng, most) : most);
}

static void transmit_segment(struct sim_end *e, const struct sim_link *l)
{
    struct sim *s = e->conn->sim;
    char small[2048];
    uint32_t n = segment_bytes(e, l);
    uint64_t *gate = sim_gate_of(s, e->host, peer_of(e)->host);
    if (gate) *gate -= n;
    char *bytes = n <= sizeof small ? small : malloc(n);
    ASSERT(bytes);
    take_out(&e->out, bytes, n);
    e->sent += n;
    e->credit -= n;
    s->stats.segments++;
    s->stats.bytes += n;
    sim_tell(s, "segment", e->conn->id, n);
    sim_note(s, hash_bytes(bytes, n, 0));
    sim_wire_send(peer_of(e), ITEM_DATA, bytes, n);
    if (bytes != small) free(bytes);
    complete_pushes(e);
}

void sim_end_transmit(struct sim_end *e)
{
    struct sim *s = e->conn->sim;
    if (!e->open) return;
    const struct sim_link *l = sim_link_of(s, e->host, peer_of(e)->host);
    const uint64_t *gate = sim_gate_of(s, e->host, peer_of(e)->host);
    while (!e->dead && e->queued > e->sent && e->credit && !e->resting && (!gate || *gate)) {
        transmit_segment(e, l);
        if (sim_chance(s, l->reset_ppm)) {
            sim_conn_break(e->conn);
            return;
        }
        if (sim_chance(s, l->pause_ppm)) rest(e, rng_below(&s->rng, l->pause_ns + 1));
    }
    if (e->dead || !e->shut || e->fin_sent || e->queued > e->sent) return;
    e->fin_sent = true;
    sim_wire_send(peer_of(e), ITEM_FIN, NULL, 0);
}

int sim_stream_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                    socklen_t size, unsigned flags)
{
    struct sim_sock *s = sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    if (s->state != SOCK_CONNECTED) return -ENOTCONN;
    struct sim_end *e = s->end;
    int err = stream_may_push(&s->st);
    if (err) return err;
    if (e->out.count + count > SIM_UNSENT_MAX) return -EBUSY;
    if (!seg_ring_reserve(&e->out, count)) return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        *seg_ring_at(&e->out, e->out.count++) = segs[i];
        e->queued += segs[i].n;
    }
    if (op) stream_await(&s->st, op, e->queued);
    sim_sock_dirty(s);
    sim_sock_check(s);
    return 0;
}

void sim_stream_flush(struct sim_sock *s)
{
    if (s->end && !s->end->dead) sim_end_transmit(s->end);
}

/* --- in ----------------------------------------------------------------------------------------------------------- */

/* The whole of what is there, or, every third time, some of it. */
static struct buf *take_in(struct sim_end *e)
{
    struct sim *s = e->conn->sim;
    size_t n = e->in_bytes < POP_BYTES_MAX ? e->in_bytes : POP_BYTES_MAX;
    if (n > 1 && !rng_below(&s->rng, 3)) n = 1 + rng_below(&s->rng, n);
    struct buf *b = buf_take(n);
    if (!b) return NULL;
    e->in_bytes -= n;
    sim_tell(s, "pop", e->conn->id, n);
    if (!e->dead) sim_wire_send(peer_of(e), ITEM_CREDIT, NULL, (uint32_t)n);
    while (n) {
        struct sim_item *it = e->in.head;
        uint32_t left = it->n - it->at_byte, k = left < n ? left : (uint32_t)n;
        memcpy(buf_put_back(b, k), it->bytes + it->at_byte, k);
        it->at_byte += k;
        n -= k;
        if (it->at_byte == it->n) free(sim_items_shift(&e->in));
    }
    return b;
}

void sim_stream_answer_pops(struct sim_sock *s)
{
    struct sim_end *e = s->end;
    struct op_table *ops = &s->q.rt->ops;
    bool at_end = stream_is_at_end(&s->st);
    if (s->st.pops.head && (e->in_bytes || at_end)) sim_host_wake(s->host);
    for (struct op *op; e->in_bytes && (op = op_list_shift(&s->st.pops));) {
        struct buf *b = take_in(e);
        if (b) stream_give(ops, op, b);
        else op_fail(ops, op, ENOMEM);
    }
    if (at_end && !e->in_bytes) stream_give_ends(ops, &s->st);
    sim_sock_check(s);
}

int sim_stream_pop(struct queue *q, struct op *op)
{
    struct sim_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (s->state != SOCK_CONNECTED) return -ENOTCONN;
    op_list_append(&s->st.pops, op);
    sim_stream_answer_pops(s);
    return 0;
}

static void drop_in(struct sim_end *e)
{
    sim_items_free(&e->in);
    e->in_bytes = 0;
}

/* --- what arrives ------------------------------------------------------------------------------------------------- */

static void refuse_more(struct sim_end *e)
{
    if (e->dead) return;
    e->dead = true;
    drop_out(e);
    sim_wire_send(peer_of(e), ITEM_RST, NULL, 0);
}

static void handshake_ends(struct sim_end *e)
{
    struct sim_sock *s = e->sock;
    e->open = true;
    if (e->closed || e->dead) { /* the program or a reset was faster */
        e->dead = false;
        refuse_more(e);
        return;
    }
    struct op *op = s->connecting;
    s->connecting = NULL;
    s->state = SOCK_CONNECTED;
    op_complete_plain(&s->q.rt->ops, op, 0);
    sim_host_wake(s->host);
}

/* Linux keeps what had arrived before a reset, other systems do not: both happen. */
static void reset_arrives(struct sim_end *e)
{
    struct sim *sim = e->conn->sim;
    struct sim_sock *s = e->sock;
    if (e->dead) return;
    e->dead = e->ended = true;
    if (rng_below(&sim->rng, 2)) drop_in(e);
    drop_out(e);
    if (!s) {
        if (!e->closed) e->error = ECONNRESET;
        return;
    }
    if (s->connecting) {
        op_fail(&s->q.rt->ops, s->connecting, ECONNRESET);
        s->connecting = NULL;
        s->state = SOCK_CONNECTED; /* pops and pushes say what became of it */
    }
    sim_host_wake(s->host);
    stream_fail(&s->q.rt->ops, &s->st, ECONNRESET, e->in_bytes);
    sim_stream_answer_pops(s);
}

static void data_arrives(struct sim_end *e, struct sim_item *it)
{
    if (e->dead || e->closed || e->ended) {
        if (e->closed) refuse_more(e);
        else if (!e->dead) sim_wire_send(peer_of(e), ITEM_CREDIT, NULL, it->n); /* SHUT_RD: it is read and forgotten */
        free(it);
        return;
    }
    e->in_bytes += it->n;
    sim_items_add(&e->in, it);
    if (e->sock) sim_stream_answer_pops(e->sock);
}

void sim_end_arrive(struct sim_end *e, struct sim_item *it)
{
    static const char *const names[] = {"open", "data", "credit", "fin", "rst"};
    enum item_kind kind = it->kind;
    uint32_t n = it->n;
    sim_tell(e->conn->sim, names[kind], e->conn->id, n);
    if (kind == ITEM_DATA) {
        data_arrives(e, it);
        return;
    }
    free(it);
    switch (kind) {
    case ITEM_OPEN: handshake_ends(e); break;
    case ITEM_CREDIT:
        e->credit += n;
        sim_end_transmit(e);
        break;
    case ITEM_FIN:
        e->ended = e->fin_came = true;
        if (!e->sock) break;
        e->sock->st.flags |= STREAM_ENDED;
        sim_stream_answer_pops(e->sock);
        break;
    default: reset_arrives(e); break;
    }
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* What is not sent yet must outlive the runtime whose buffers it lies in. */
static void keep_tail(struct sim_end *e)
{
    size_t n = e->queued - e->sent;
    if (!n) return;
    e->tail = malloc(n);
    ASSERT(e->tail);
    take_out(&e->out, e->tail, n);
    bool room = seg_ring_reserve(&e->out, (uint32_t)(n / UINT32_MAX + 1));
    ASSERT(room);
    for (size_t at = 0; at < n;) {
        uint32_t k = n - at < UINT32_MAX ? (uint32_t)(n - at) : UINT32_MAX;
        *seg_ring_at(&e->out, e->out.count++) = (struct seg){.p = e->tail + at, .n = k, .kind = SEG_NONE};
        at += k;
    }
}

void sim_end_close(struct sim_end *e, bool abort)
{
    e->sock = NULL;
    e->closed = true;
    sim_tell(e->conn->sim, "close", e->conn->id, e->queued - e->sent);
    if (!e->open) { /* the handshake's answer will be refused */
        drop_out(e);
        return;
    }
    if (e->dead || abort || e->in_bytes) {
        refuse_more(e);
        drop_out(e);
        drop_in(e);
        return;
    }
    keep_tail(e);
    e->shut = true;
    sim_end_transmit(e);
}
