/* SPDX-License-Identifier: MIT
 *
 * Bytes of a TLS queue, in and out.
 *
 * In. A pop that is waited for has the engine read what is there, as many records as fit into one buffer, so that a
 * pipeline of small ones is one pop. Only when the engine has read everything is the queue below asked for more, and
 * only for a pop that waits: who does not read is not read ahead for, and his peer stops as it does without TLS.
 *
 * Out. Plaintext lies where the program has it until there is room below; then it goes through the engine a record at a
 * time, straight into the buffer that is pushed. Small pieces are put together first, since a record costs 22 bytes and
 * a call of the cipher. What is pushed below has an operation of ours where somebody waits for it, or where more waits
 * behind it; without one it costs a copy into the cell of the socket below and nothing else.
 */
#include "libos/tls/parts.h"

#include "demi/ext.h"

#include <stdio.h>

#define POP_MAX    (4 * (uint32_t)BUF_LARGE_SIZE)
#define SMALL_MAX  (SEG_COPY_MAX - TLS_OVERHEAD) /* plaintext whose record is one push_copy() */
#define ROUNDS_MAX 64                            /* engine calls for one record: it never takes three */

static struct op *op_below(struct tls_queue *t, demi_opcode_t opcode)
{
    struct op_table *ops = tls_ops_of(t);
    struct op *op = op_new(ops, opcode, t->lower, t->lower->qd);
    if (!op) return NULL;
    int err = op_claim(ops, op, &t->below, 0);
    ASSERT(!err);
    return op;
}

/* --- results from below ------------------------------------------------------------------------------------------- */

static void take_pop(struct tls_queue *t, const demi_qresult_t *qr)
{
    struct buf *b = qr->qr_value.sga.sga_buf;
    t->popping = false;
    if (qr->qr_opcode == DEMI_OPC_FAILED) {
        t->read_error = (int)qr->qr_ret;
        return;
    }
    if (!b->len) {
        t->eof = true;
        buf_unref(b);
        return;
    }
    ASSERT(!t->in);
    t->in = b;
    t->in_at = 0;
    if (t->state == TLS_SHAKING) t->shaken += b->len;
}

static void take_push(struct tls_queue *t, const demi_qresult_t *qr, uint64_t end)
{
    ASSERT(t->pushes_below);
    t->pushes_below--;
    if (qr->qr_opcode == DEMI_OPC_FAILED) {
        if (!t->write_error) t->write_error = (int)qr->qr_ret;
    } else if (end > t->passed) {
        t->passed = end;
    }
}

/* Nothing leaves any more. What had come before, and what of it lies below, can still be read. */
static void stop_writing(struct tls_queue *t)
{
    tls_drop_out(t);
    op_fail_all(tls_ops_of(t), &t->st.pushes, t->write_error);
}

void tls_take_below(struct tls_queue *t)
{
    struct op_table *ops = tls_ops_of(t);
    for (struct op *op; (op = t->below.done.head);) {
        uint64_t end = (uint64_t)(uintptr_t)op->data;
        bool is_pop = op->opcode == DEMI_OPC_POP;
        demi_qresult_t qr;
        op_take(ops, op, &qr);
        if (is_pop) take_pop(t, &qr);
        else take_push(t, &qr, end);
    }
    stream_passed(ops, &t->st, t->passed);
    if (t->write_error) stop_writing(t);
}

bool tls_ask_below(struct tls_queue *t)
{
    if (t->read_error || t->eof || t->in) return true;
    if (t->popping) return false;
    struct op *op = op_below(t, DEMI_OPC_POP);
    int err = op ? t->lower->ops->pop(t->lower, op) : -ENOMEM;
    if (err && op) op_drop(tls_ops_of(t), op);
    if (err) {
        t->read_error = -err;
        return true;
    }
    t->popping = true;
    tls_take_below(t); /* it may be over already */
    return !t->popping;
}

/* --- the wire ----------------------------------------------------------------------------------------------------- */

static bool push_record(struct tls_queue *t, struct buf *b, bool wants_op, unsigned flags)
{
    struct op *op = NULL;
    if (wants_op) {
        op = op_below(t, DEMI_OPC_PUSH);
        if (!op) {
            buf_unref(b);
            t->write_error = ENOMEM;
            return false;
        }
        op->data = (void *)(uintptr_t)t->sealed;
    }
    struct seg s = {.p = (const char *)b->data, .n = b->len, .kind = SEG_BUF, .hold = b};
    if (op) t->pushes_below++;
    else flags |= DEMI_PUSH_NO_TOKEN;
    int err = t->lower->ops->push(t->lower, op, &s, 1, NULL, 0, flags);
    if (!err) return true;
    buf_unref(b);
    if (op) t->pushes_below--, op_drop(tls_ops_of(t), op);
    t->write_error = -err;
    return false;
}

/* Bytes of somebody else's, without an operation. */
static bool push_bytes(struct tls_queue *t, const uint8_t *p, uint32_t n)
{
    if (n <= SEG_COPY_MAX && t->lower->ops->push_copy) {
        int err = t->lower->ops->push_copy(t->lower, p, n);
        if (err) t->write_error = -err;
        return !err;
    }
    struct buf *b = buf_take(n);
    if (!b) {
        t->write_error = ENOMEM;
        return false;
    }
    memcpy(buf_put_back(b, n), p, n);
    return push_record(t, b, false, 0);
}

struct tls_wire tls_wire_open(struct tls_queue *t, uint8_t *out, uint32_t room)
{
    struct tls_wire w = {.out = out, .room = room};
    if (t->in) {
        w.in = t->in->data + t->in_at;
        w.in_len = t->in->len - t->in_at;
    }
    return w;
}

static void let_in_go(struct tls_queue *t, const struct tls_wire *w)
{
    if (!t->in) return;
    t->in_at = t->in->len - w->in_len;
    if (w->in_len) return;
    buf_unref(t->in);
    t->in = NULL;
}

void tls_wire_close(struct tls_queue *t, const struct tls_wire *w)
{
    let_in_go(t, w);
    if (w->out_len && !t->write_error) push_bytes(t, w->out, w->out_len);
}

/* --- in ----------------------------------------------------------------------------------------------------------- */

/* Plaintext is not longer than what it comes from, of which the engine may have the beginning. */
static uint32_t pop_size(const struct tls_queue *t)
{
    uint32_t n = t->in ? t->in->len - t->in_at : 0;
    if (t->pending || t->partial) n += BUF_LARGE_SIZE;
    return n < POP_MAX ? n : POP_MAX;
}

/* False: nothing more can be read now. */
static bool read_some(struct tls_queue *t)
{
    struct op_table *ops = tls_ops_of(t);
    uint32_t size = pop_size(t);
    struct buf *b = buf_take(size);
    if (!b) {
        op_fail(ops, op_list_shift(&t->st.pops), ENOMEM);
        return true;
    }
    size_t got = 0;
    struct tls_wire w = tls_wire_open(t, t->libos->record, sizeof t->libos->record);
    enum tls_step step = t->context->engine->read(t->session, &w, b->data, size, &got);
    t->answered += w.out_len;
    t->pending = w.pending;
    tls_wire_close(t, &w);
    if (step == TLS_DONE) {
        b->len = (uint32_t)got;
        t->libos->rx_bytes += got;
        t->partial = false;
        stream_give(ops, op_list_shift(&t->st.pops), b);
    } else {
        buf_unref(b);
        if (step == TLS_WANTS_INPUT) t->partial = true;
    }
    if (step == TLS_ENDED) t->st.flags |= STREAM_ENDED;
    if (step == TLS_BROKEN) tls_fail(t, EPROTO, t->context->engine->why(t->session));
    else if (t->answered > TLS_ANSWER_BYTES) tls_fail(t, EPROTO, "the peer has its keys changed too often");
    return t->state == TLS_OPEN;
}

/* No more bytes will come, and there was no close_notify: the peer, or somebody in between, has cut the stream. */
static void end_of_wire(struct tls_queue *t)
{
    if (t->read_shut) {
        t->st.flags |= STREAM_ENDED;
        return;
    }
    if (t->write_error) {
        tls_fail(t, t->write_error, "");
        return;
    }
    t->libos->cut++;
    tls_fail(t, ECONNABORTED, "the connection has ended without a close_notify: something may be missing");
}

void tls_receive(struct tls_queue *t)
{
    while (t->state == TLS_OPEN && t->st.pops.head && !stream_is_at_end(&t->st)) {
        if (tls_has_input(t)) {
            if (!read_some(t)) break;
        } else if (t->read_error) {
            tls_fail(t, t->read_error, "");
        } else if (t->eof) {
            end_of_wire(t);
        } else if (!tls_ask_below(t)) {
            break;
        }
    }
    if (stream_is_at_end(&t->st)) stream_give_ends(tls_ops_of(t), &t->st);
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

static inline size_t unsent_below(const struct tls_queue *t)
{
    return t->lower->ops->unsent ? t->lower->ops->unsent(t->lower) : 0;
}

void tls_drop_out(struct tls_queue *t)
{
    for (; t->out.count; seg_ring_shift(&t->out)) seg_release(seg_ring_at(&t->out, 0));
    seg_ring_free(&t->out);
    t->sealed = t->queued;
}

static void consume(struct tls_queue *t, uint32_t n)
{
    t->sealed += n;
    t->libos->tx_bytes += n;
    while (n) {
        struct seg *s = seg_ring_at(&t->out, 0);
        uint32_t k = s->n < n ? s->n : n;
        s->p += k;
        s->n -= k;
        n -= k;
        if (s->n) return;
        seg_release(s);
        seg_ring_shift(&t->out);
    }
}

/* What the next record holds: a piece as it lies, or several put together. */
static const char *next_plain(struct tls_queue *t, uint32_t *n_out)
{
    const struct seg *first = seg_ring_at(&t->out, 0);
    uint32_t n = first->n < TLS_RECORD_MAX ? first->n : TLS_RECORD_MAX;
    *n_out = n;
    if (n == TLS_RECORD_MAX || t->out.count == 1) return first->p;
    char *to = t->libos->plain;
    *n_out = 0;
    for (uint32_t i = 0; i < t->out.count && *n_out < TLS_RECORD_MAX; i++) {
        const struct seg *s = seg_ring_at(&t->out, i);
        uint32_t room = TLS_RECORD_MAX - *n_out, k = s->n < room ? s->n : room;
        memcpy(to + *n_out, s->p, k);
        *n_out += k;
    }
    return to;
}

/* One record of p into out, which has room for it. 0: it is broken. */
static uint32_t seal(struct tls_queue *t, const void *p, uint32_t n, uint8_t *out, uint32_t room)
{
    struct tls_wire w = {.out = out, .room = room};
    enum tls_step step = t->context->engine->write(t->session, &w, p, n);
    for (int i = 0; step == TLS_WANTS_ROOM && i < ROUNDS_MAX; i++) {
        /* What a handshake message of the engine's own left before it: that goes first. */
        if (!push_bytes(t, w.out, w.out_len)) return 0;
        w.out_len = 0;
        step = t->context->engine->write(t->session, &w, p, n);
    }
    if (step == TLS_DONE && w.out_len) return w.out_len;
    tls_fail(t, EPROTO, t->context->engine->why(t->session));
    return 0;
}

/* The peer's acknowledgement is waited for where somebody else waits for it, or for the room it makes. */
static unsigned flags_below(const struct tls_queue *t)
{
    return t->out.count || t->strict_end > t->passed ? 0 : DEMI_PUSH_HANDED_OVER;
}

static bool send_record(struct tls_queue *t)
{
    uint32_t n;
    const char *p = next_plain(t, &n);
    struct buf *b = buf_take(n + TLS_OVERHEAD);
    if (!b) {
        t->write_error = ENOMEM;
        return false;
    }
    uint32_t sealed = seal(t, p, n, b->data, n + TLS_OVERHEAD);
    if (!sealed) {
        buf_unref(b);
        return false;
    }
    b->len = sealed;
    consume(t, n);
    return push_record(t, b, t->out.count || t->st.pushes.head, flags_below(t));
}

bool tls_send_small(struct tls_queue *t, const void *p, uint32_t n)
{
    if (n > SMALL_MAX || t->out.count || t->state != TLS_OPEN || unsent_below(t) >= TLS_WINDOW) return false;
    uint32_t sealed = seal(t, p, n, t->libos->record, sizeof t->libos->record);
    t->queued += n;
    t->sealed += n;
    t->libos->tx_bytes += n;
    if (sealed) push_bytes(t, t->libos->record, sealed);
    return true;
}

void tls_send(struct tls_queue *t)
{
    while (t->state == TLS_OPEN && t->out.count && !t->write_error) {
        if (t->pushes_below && unsent_below(t) >= TLS_WINDOW) {
            t->libos->waits++;
            break;
        }
        if (!send_record(t)) break;
        tls_take_below(t);
    }
    if (t->fin_due && !t->out.count && t->state == TLS_OPEN) {
        t->fin_due = false;
        tls_send_end(t);
        if (t->lower->ops->shutdown) t->lower->ops->shutdown(t->lower, SHUT_WR);
    }
}

void tls_send_end(struct tls_queue *t)
{
    if (t->end_sent || t->state != TLS_OPEN || t->write_error) return;
    t->end_sent = true;
    struct tls_wire w = {.out = t->libos->record, .room = sizeof t->libos->record};
    t->context->engine->end(t->session, &w);
    if (w.out_len) push_bytes(t, w.out, w.out_len);
}
