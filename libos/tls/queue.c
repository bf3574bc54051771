/* SPDX-License-Identifier: MIT
 *
 * The TLS queue as the program sees it: its calls, its ends, its life.
 *
 * Half-close. SHUT_WR sends what waits, then close_notify, then the stream's end; what the peer sends can still be
 * popped. A peer of TLS 1.2 may answer a close_notify by closing both directions (RFC 5246 7.2.1), and OpenSSL's does
 * not. The peer's close_notify ends pops and not pushes.
 *
 * Close. What was pushed still leaves: until then the queue lives on among libos->closing, without its program. A peer
 * that takes nothing for STALL_NS is given up, as by the queues below. A client then stays until the server has ended
 * its direction, too, LINGER_NS at most, and throws away what comes: a server of TLS 1.3 sends tickets on its own, and
 * bytes that arrive at a closed socket make a reset, which takes what we had sent out of the server's hands.
 */
#include "libos/tls/parts.h"

#include "alloc/heap.h"
#include "demi/ext.h"
#include "libos/runtime/handover.h"

#include <stdio.h>
#include <string.h>

#define STALL_NS     60000000000u
#define LINGER_NS    1000000000u
#define LINGER_BYTES (1u << 20)

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void session_drop(struct tls_queue *t)
{
    if (t->session) t->context->engine->session_free(t->session);
    t->session = NULL;
    buf_unref(t->in);
    t->in = NULL;
    t->pending = t->partial = false;
}

void tls_fail(struct tls_queue *t, int err, const char *why)
{
    struct op_table *ops = tls_ops_of(t);
    if (t->state == TLS_FAILED) return;
    snprintf(t->why, sizeof t->why, "%s", why && *why ? why : strerror(err)); /* why may be the session's */
    wheel_stop(&t->q.rt->wheel, &t->timer);
    if (t->state == TLS_SHAKING) t->libos->failed++;
    t->state = TLS_FAILED;
    t->error = (int16_t)err;
    tls_drop_out(t);
    session_drop(t);
    op_fail_all(ops, &t->shaking, err);
    stream_fail(ops, &t->st, err, false);
    /* An alert is on its way; the peer hears of the end even if our program lets the connection stand. */
    if (!t->write_error && t->lower->ops->shutdown) t->lower->ops->shutdown(t->lower, SHUT_WR);
}

/* For good. */
static void queue_end(struct tls_queue *t)
{
    struct runtime *rt = t->q.rt;
    wheel_stop(&rt->wheel, &t->timer);
    if (!t->hard) tls_send_end(t);
    t->lower->ops->close(t->lower); /* what was outstanding there ends as ECANCELED */
    for (struct op *op; (op = t->below.done.head);) {
        demi_qresult_t qr;
        op_take(&rt->ops, op, &qr);
        if (qr.qr_opcode == DEMI_OPC_POP) buf_unref(qr.qr_value.sga.sga_buf);
    }
    session_drop(t);
    tls_drop_out(t);
    if (t->is_scheduled) list_remove(&t->scheduled);
    list_remove(&t->all);
    t->libos->sessions--;
    tls_context_unref(t->context);
    heap_free(t->name);
    heap_free(t);
}

static bool is_over(const struct tls_queue *t)
{
    return t->state == TLS_FAILED || t->write_error || t->hard || t->sealed == t->queued;
}

static void linger_over(struct timer *timer)
{
    queue_end((struct tls_queue *)((char *)timer - offsetof(struct tls_queue, timer)));
}

static bool has_to_linger(const struct tls_queue *t)
{
    return !t->is_server && t->state == TLS_OPEN && !t->hard && !t->write_error && !t->read_error && !t->eof;
}

/* What was pushed has gone. */
static void closing_next(struct tls_queue *t)
{
    if (has_to_linger(t) && !t->lingering) {
        t->lingering = true;
        tls_send_end(t);
        if (t->lower->ops->shutdown) t->lower->ops->shutdown(t->lower, SHUT_WR);
        wheel_start(&t->q.rt->wheel, &t->timer, runtime_later(t->q.rt, LINGER_NS), linger_over);
    }
    t->turning = true;
    while (has_to_linger(t) && t->lingered < LINGER_BYTES) {
        if (t->in) {
            t->lingered += t->in->len;
            buf_unref(t->in);
            t->in = NULL;
        }
        if (tls_ask_below(t)) continue;
        t->turning = false;
        return;
    }
    t->turning = false;
    queue_end(t);
}

static void closing_look(struct timer *timer)
{
    struct tls_queue *t = (struct tls_queue *)((char *)timer - offsetof(struct tls_queue, timer));
    if (t->sealed == t->stalled_at) {
        const struct linger hard = {.l_onoff = 1};
        if (t->lower->ops->setsockopt) t->lower->ops->setsockopt(t->lower, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        t->hard = true;
        queue_end(t);
        return;
    }
    t->stalled_at = t->sealed;
    tls_watch_closing(t);
}

void tls_watch_closing(struct tls_queue *t)
{
    wheel_start(&t->q.rt->wheel, &t->timer, runtime_later(t->q.rt, STALL_NS), closing_look);
}

/* --- the turn ----------------------------------------------------------------------------------------------------- */

static void check(const struct tls_queue *t)
{
#ifdef DEMI_DEBUG
    ASSERT(t->sealed <= t->queued);
    ASSERT(t->passed <= t->sealed);
    ASSERT((t->sealed == t->queued) == !t->out.count);
    ASSERT(!t->in || t->in_at < t->in->len);
    ASSERT(t->state != TLS_FAILED || (!t->session && !t->in && !t->out.count && !t->shaking.head));
    ASSERT(t->state != TLS_OPEN || !t->shaking.head);
    /* What waits is waited for. */
    ASSERT(t->state != TLS_OPEN || !t->out.count || t->pushes_below || t->write_error);
    stream_check(&t->st, false);
#endif
}

void tls_turn(struct tls_queue *t)
{
    if (t->turning) return;
    t->turning = true;
    tls_take_below(t);
    if (t->lingering) {
        closing_next(t);
        return;
    }
    if (t->state == TLS_SHAKING) tls_shake(t);
    if (t->state == TLS_OPEN) tls_send(t);
    if (t->state == TLS_OPEN) tls_receive(t);
    check(t);
    t->turning = false;
    if (t->closing && is_over(t)) closing_next(t);
}

/* A result from below. The loop that is turning takes it by itself. */
static void below_done(struct op_waiter *w)
{
    struct tls_queue *t = (struct tls_queue *)((char *)w - offsetof(struct tls_queue, below));
    if (!t->turning) tls_schedule(t);
}

/* --- calls of the program ----------------------------------------------------------------------------------------- */

static int tls_pop(struct queue *q, struct op *op)
{
    struct tls_queue *t = tls_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    op_list_append(&t->st.pops, op);
    if (t->state == TLS_FAILED) stream_give_ends(tls_ops_of(t), &t->st);
    else tls_turn(t);
    return 0;
}

static int may_push(const struct tls_queue *t)
{
    int err = stream_may_push(&t->st);
    return err ? err : unlikely(t->write_error) ? -t->write_error : 0;
}

static int tls_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                    socklen_t size, unsigned flags)
{
    struct tls_queue *t = tls_of(q);
    assert_push_given(q, op, segs, count, flags);
    if (addr) return -ENOTSUP;
    int err = may_push(t);
    if (unlikely(err)) return err;
    if (unlikely(t->out.count + count > TLS_UNSENT_MAX)) return -EBUSY;
    if (!seg_ring_reserve(&t->out, count)) return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        *seg_ring_at(&t->out, t->out.count++) = segs[i];
        t->queued += segs[i].n;
    }
    if (op) stream_await(&t->st, op, t->queued);
    if (op && !(flags & DEMI_PUSH_HANDED_OVER)) t->strict_end = t->queued;
    tls_turn(t);
    return 0;
}

static int tls_push_copy(struct queue *q, const void *p, uint32_t n)
{
    struct tls_queue *t = tls_of(q);
    assert_copy_given(p, n);
    int err = may_push(t);
    if (unlikely(err)) return err;
    int before = errno;
    t->turning = true;
    bool sent = tls_send_small(t, p, n);
    t->turning = false;
    if (sent && unlikely(t->write_error)) tls_turn(t);
    if (!sent) {
        struct seg s;
        struct buf *b = buf_take(n);
        if (!b) return -ENOMEM;
        memcpy(buf_put_back(b, n), p, n);
        s = (struct seg){.p = (const char *)b->data, .n = n, .kind = SEG_BUF, .hold = b};
        err = tls_push(q, NULL, &s, 1, NULL, 0, DEMI_PUSH_NO_TOKEN);
        if (err) buf_unref(b);
    }
    errno = before;
    return err;
}

static int tls_cancel(struct queue *q, struct op *op)
{
    struct tls_queue *t = tls_of(q);
    if (op->opcode != DEMI_OPC_CONNECT) return stream_cancel(tls_ops_of(t), &t->st, op);
    op_list_remove(&t->shaking, op);
    op_fail(tls_ops_of(t), op, ECANCELED);
    return 0;
}

static int tls_shutdown(struct queue *q, int how)
{
    struct tls_queue *t = tls_of(q);
    if (t->state == TLS_FAILED) return -ENOTCONN;
    if (how != SHUT_WR && !t->read_shut) {
        t->read_shut = true;
        if (t->state == TLS_OPEN && t->lower->ops->shutdown) {
            t->read_shut_below = true;
            t->lower->ops->shutdown(t->lower, SHUT_RD);
        }
    }
    if (how != SHUT_RD && !(t->st.flags & STREAM_WRITE_SHUT)) {
        t->st.flags |= STREAM_WRITE_SHUT;
        t->fin_due = true;
    }
    tls_turn(t);
    return 0;
}

static void tls_close(struct queue *q)
{
    struct tls_queue *t = tls_of(q);
    op_fail_all(tls_ops_of(t), &t->shaking, ECANCELED);
    stream_close(tls_ops_of(t), &t->st);
    t->closing = true;
    list_remove(&t->all);
    list_push_back(&t->libos->closing, &t->all);
    if (is_over(t)) {
        closing_next(t);
        return;
    }
    t->stalled_at = t->sealed;
    if (t->state == TLS_OPEN) tls_watch_closing(t);
    tls_turn(t);
}

static int tls_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len)
{
    struct tls_queue *t = tls_of(q);
    if (!t->lower->ops->setsockopt) return -ENOTSUP;
    int err = t->lower->ops->setsockopt(t->lower, level, name, val, len);
    if (!err && level == SOL_SOCKET && name == SO_LINGER && len >= sizeof(struct linger)) {
        const struct linger *l = val;
        t->hard = l->l_onoff && l->l_linger == 0;
    }
    return err;
}

static int tls_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len)
{
    struct queue *lower = tls_of(q)->lower;
    return lower->ops->getsockopt ? lower->ops->getsockopt(lower, level, name, val, len) : -ENOTSUP;
}

static int tls_getpeername(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct queue *lower = tls_of(q)->lower;
    return lower->ops->getpeername ? lower->ops->getpeername(lower, addr, len) : -ENOTSUP;
}

static int tls_getsockname(struct queue *q, struct sockaddr *addr, socklen_t *len)
{
    struct queue *lower = tls_of(q)->lower;
    return lower->ops->getsockname ? lower->ops->getsockname(lower, addr, len) : -ENOTSUP;
}

static size_t tls_unsent(struct queue *q)
{
    struct tls_queue *t = tls_of(q);
    size_t below = t->lower->ops->unsent ? t->lower->ops->unsent(t->lower) : 0;
    return below + (size_t)(t->queued - t->sealed);
}

static int tls_fd(struct queue *q)
{
    struct queue *lower = tls_of(q)->lower;
    return lower->ops->fd ? lower->ops->fd(lower) : -1;
}

static const struct queue_ops tls_queue_ops = {
    .name = "tls",
    .push = tls_push,
    .push_copy = tls_push_copy,
    .pop = tls_pop,
    .cancel = tls_cancel,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .setsockopt = tls_setsockopt,
    .getsockopt = tls_getsockopt,
    .getpeername = tls_getpeername,
    .getsockname = tls_getsockname,
    .unsent = tls_unsent,
    .fd = tls_fd,
};

bool tls_is(const struct queue *q) { return q->ops == &tls_queue_ops; }

int tls_handshake(struct queue *q, struct op *op)
{
    struct tls_queue *t = tls_of(q);
    if (t->state == TLS_OPEN) {
        op_complete_plain(tls_ops_of(t), op, 0);
    } else if (t->state == TLS_FAILED) {
        op_fail(tls_ops_of(t), op, t->error);
    } else {
        op_list_append(&t->shaking, op);
        tls_turn(t);
    }
    return 0;
}

void tls_info(const struct queue *q, struct demi_tls_info *out)
{
    const struct tls_queue *t = tls_of(q);
    *out = (struct demi_tls_info){.is_done = t->was_open};
    if (t->session) t->context->engine->describe(t->session, out);
    snprintf(out->why, sizeof out->why, "%s", t->why);
}

int tls_peer(const struct queue *q, struct demi_tls_certificate *out)
{
    const struct tls_queue *t = tls_of(q);
    return t->session ? t->context->engine->peer(t->session, out) : -ENOENT;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static int may_wrap(struct queue *lower)
{
    struct sockaddr_storage ss;
    socklen_t size = sizeof ss;
    if (tls_is(lower)) return -EALREADY;
    if (!lower->ops->push || !lower->ops->pop || lower->ops->seek) return -ENOTSUP;
    int err = lower->ops->getpeername ? lower->ops->getpeername(lower, (struct sockaddr *)&ss, &size) : 0;
    return err;
}

static int name_copy(const char *name, char **out)
{
    size_t n = name ? strlen(name) + 1 : 0;
    *out = NULL;
    if (!n || n == 1) return 0;
    *out = heap_alloc(n);
    if (!*out) return -ENOMEM;
    memcpy(*out, name, n);
    return 0;
}

int tls_wrap(struct queue *lower, demi_tls_context_t *c, bool is_server, const char *name)
{
    struct runtime *rt = lower->rt;
    struct libos *l;
    char *copy;
    int err = may_wrap(lower);
    if (!err) err = runtime_get_libos(rt, &tls_libos, &l);
    if (!err) err = name_copy(name, &copy);
    if (err) return err;
    struct tls_queue *t = heap_calloc(1, sizeof *t);
    if (!t) {
        heap_free(copy);
        return -ENOMEM;
    }
    t->lower = lower;
    t->libos = (struct tls_libos *)l;
    t->context = c;
    t->name = copy;
    t->is_server = is_server;
    t->below.wake = below_done;
    tls_context_ref(c);
    queue_replace(lower, &t->q, &tls_queue_ops);
    list_push_back(&t->libos->open, &t->all);
    t->libos->sessions++;
    wheel_start(&rt->wheel, &t->timer, runtime_later(rt, c->handshake_ns_max), tls_shake_deadline);
    tls_turn(t);
    return 0;
}
