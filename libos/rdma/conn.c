/* SPDX-License-Identifier: MIT
 *
 * Life of a connection: its ends, orderly and otherwise, and what device and program each still hold of it.
 *
 * An end is said twice. In the framing: FIN behind the last byte, FIN_SEEN as the answer; this alone says that all
 * bytes have arrived, and is the half-close. To the device: disconnect(), which loses what is still on its way, so it
 * follows the answer, and only when the program has closed its socket. A connection that ends without FIN was cut off.
 */
#include "libos/rdma/sock.h"

#include "alloc/base/log.h"
#include "alloc/heap.h"

#include <errno.h>
#include <string.h>

#define ENDING_NS         1000000000u /* how long the other side's half of a disconnect is waited for */
#define PROBES_MISSED_MAX 3

/* --- errors ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    int err;
} statuses[MSGDEV_STATUS_COUNT] = {
    [MSGDEV_OK] = {"no error", EIO},
    [MSGDEV_FLUSHED] = {"flushed", ECONNRESET},
    [MSGDEV_PEER_SILENT] = {"the peer's machine does not answer", ETIMEDOUT},
    [MSGDEV_PEER_UNREADY] = {"the peer has no receive posted", ETIMEDOUT},
    [MSGDEV_TOO_LONG] = {"a message longer than its receive", EPROTO},
    [MSGDEV_BAD_ACCESS] = {"memory that the peer has not lent", EPROTO},
    [MSGDEV_BAD_REQUEST] = {"a request that the peer's device refuses", EPROTO},
    [MSGDEV_PEER_BROKEN] = {"the peer's device could not carry it out", EPROTO},
    [MSGDEV_LOCAL_ACCESS] = {"memory that the device does not know", EIO},
    [MSGDEV_LOCAL_BROKEN] = {"the device could not carry it out", EIO},
    [MSGDEV_REFUSED] = {"nobody listens there", ECONNREFUSED},
    [MSGDEV_REJECTED] = {"the peer has refused it", ECONNREFUSED},
    [MSGDEV_UNREACHABLE] = {"no answer or no way there", EHOSTUNREACH},
    [MSGDEV_NO_ROOM] = {"no memory, locked memory, descriptors or queues for it", ENOBUFS},
    [MSGDEV_GONE] = {"the device has gone", ENETDOWN},
    [MSGDEV_FAILED_OTHERWISE] = {"the device has failed", EIO},
};

int rdma_status_errno(uint8_t status, int err)
{
    if (status >= MSGDEV_STATUS_COUNT) status = MSGDEV_FAILED_OTHERWISE;
    return status == MSGDEV_NO_ROOM && (err == ENOMEM || err == EMFILE) ? err : statuses[status].err;
}

const char *rdma_status_text(uint8_t status)
{
    return statuses[status < MSGDEV_STATUS_COUNT ? status : MSGDEV_FAILED_OTHERWISE].text;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

struct rdma_conn *rdma_conn_new(struct rdma *r)
{
    uint32_t depth = r->o.send_depth;
    struct rdma_conn *c = heap_calloc(1, sizeof *c + depth * sizeof c->slots[0]);
    if (!c) return NULL;
    c->r = r;
    c->depth = (uint16_t)depth;
    c->rx_tail = &c->rx;
    list_push_back(&r->conns, &c->all);
    list_init(&c->dirty);
    list_init(&c->waiting);
    list_init(&c->ready);
    return c;
}

void rdma_conn_unhold(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    if (c->end || c->sock || c->listener) return;
    ASSERT(!timer_runs(&c->timer));
    rdma_recv_drop(c);
    rdma_send_drop(c);
    words_give(&r->words, &c->word);
    if (c->v) valkey_free(r, c->v);
    list_remove(&c->all);
    list_remove(&c->dirty);
    list_remove(&c->waiting);
    heap_free(c);
}

void rdma_conn_released(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    DASSERT(c->state == CONN_RELEASING);
    c->state = CONN_GONE;
    rdma_recv_doubt(c);
    c->end = NULL;
    rdma_send_drop(c);
    words_give(&r->words, &c->word);
    if (c->v) valkey_take_back(r, c->v);
    r->reserved -= c->window_in;
    c->window_in = c->window_half = 0;
    rdma_conn_unhold(c);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static void quiet(struct rdma_conn *c)
{
    rdma_prompt_end(c);
    wheel_stop(&c->r->base.rt->wheel, &c->timer);
    list_remove(&c->dirty);
    list_remove(&c->waiting);
    c->stalled = false;
    rdma_send_forget(c);
}

void rdma_conn_release(struct rdma_conn *c)
{
    if (c->state >= CONN_RELEASING) return;
    quiet(c);
    c->state = CONN_RELEASING;
    rdma_recv_doubt(c);
    c->r->dev->ops->release(c->r->dev, c->end);
}

/* One that nobody has accepted yet: it stays only where there is something to be read of it. */
static void forget_unaccepted(struct rdma_conn *c)
{
    struct rdma_sock *l = c->listener;
    if (!l || (c->fin_received && c->state >= CONN_UP)) return;
    list_remove(&c->ready);
    l->pending--;
    c->listener = NULL;
}

/* The program hears of it. err 0: an orderly end. */
static void tell(struct rdma_conn *c, int err)
{
    struct rdma_sock *s = c->sock;
    if (!s) return;
    c->r->resets += err == ECONNRESET;
    if (!err || c->fin_received) s->st.flags |= STREAM_ENDED;
    if (rdma_conn_is_readable(c)) rdma_recv_give(s);
    stream_fail(ops_of(c->r), &s->st, err ? err : EPIPE, rdma_conn_is_readable(c));
}

void rdma_conn_fail(struct rdma_conn *c, int err)
{
    if (c->state == CONN_OPENING) {
        rdma_setup_abandon(c, err);
        return;
    }
    if (c->state >= CONN_RELEASING) return;
    if (c->state == CONN_UP && !c->sock && !c->listener) c->r->close_cut++;
    tell(c, err);
    forget_unaccepted(c);
    rdma_conn_release(c);
}

void rdma_conn_disconnected(struct rdma_conn *c)
{
    rdma_recv_doubt(c);
    if (c->v) c->fin_received = true; /* it is the only end that Valkey's framing has */
    bool said = c->fin_received, through = !rdma_has_data(c) && !c->fin_due;
    if (c->state == CONN_UP && !c->sock && !c->listener) {
        if (said && through) c->r->close_drained++;
        else c->r->close_cut++;
    }
    tell(c, said ? 0 : ECONNRESET);
    forget_unaccepted(c);
    rdma_conn_release(c);
}

void rdma_conn_broken(struct rdma_conn *c, uint8_t status, int detail)
{
    struct rdma *r = c->r;
    if (c->state >= CONN_RELEASING || c->broken) return;
    if (status >= MSGDEV_STATUS_COUNT || status == MSGDEV_OK) status = MSGDEV_FAILED_OTHERWISE;
    c->broken = status;
    r->status[status]++;
    if (status != MSGDEV_FLUSHED && c->state != CONN_ENDING && rdma_may_tell(r))
        log_notice(NULL, "rdma: %s: a connection has ended: %s (%d)", r->dev->what, rdma_status_text(status), detail);
    rdma_conn_fail(c, rdma_status_errno(status, detail));
}

void rdma_conn_protocol_error(struct rdma_conn *c, const char *what)
{
    c->r->protocol_errors++;
    if (rdma_may_tell(c->r))
        log_notice(NULL, "rdma: %s: a peer has sent %s: its connection is cut off", c->r->dev->what, what);
    rdma_conn_fail(c, EPROTO);
}

/* --- timers ------------------------------------------------------------------------------------------------------- */

static void on_timer(struct timer *t);

static void start(struct rdma_conn *c, uint64_t ns)
{
    struct runtime *rt = c->r->base.rt;
    wheel_start(&rt->wheel, &c->timer, runtime_later(rt, ns), on_timer);
}

void rdma_conn_start_keepalive(struct rdma_conn *c)
{
    wheel_stop(&c->r->base.rt->wheel, &c->timer);
    c->is_silent = c->probe_out = c->probe_due = false;
    c->probes_missed = 0;
    if (c->r->o.keepalive_ns) start(c, c->r->o.keepalive_ns);
}

/* Nothing has come since the last time: the peer's device is asked by a write that it answers by itself. One at a time,
 * since an idle peer need not have room for more. */
static void keep_alive(struct rdma_conn *c)
{
    if (!c->is_silent) {
        c->is_silent = true;
        rdma_recv_doubt(c);
        c->probes_missed = 0;
    } else if (!c->probe_out && !c->probe_due) {
        c->probe_due = true;
        rdma_prompt_end(c);
        c->r->keepalives++;
        rdma_send_mark(c);
    } else if (++c->probes_missed >= PROBES_MISSED_MAX) {
        c->r->peers_silent++;
        rdma_conn_broken(c, MSGDEV_PEER_SILENT, 0);
        return;
    }
    start(c, c->r->o.keepalive_ns);
}

static void on_timer(struct timer *t)
{
    struct rdma_conn *c = container_of(t, struct rdma_conn, timer);
    switch (c->state) {
    case CONN_UP:
        if (c->sock || c->listener) {
            keep_alive(c);
            break;
        }
        c->r->close_cut++;
        rdma_conn_release(c);
        break;
    case CONN_ENDING: rdma_conn_disconnected(c); break;
    default: break;
    }
}

/* --- close -------------------------------------------------------------------------------------------------------- */

static void disconnect(struct rdma_conn *c)
{
    quiet(c);
    c->state = CONN_ENDING;
    rdma_recv_doubt(c);
    c->r->dev->ops->disconnect(c->r->dev, c->end);
    start(c, ENDING_NS);
}

void rdma_conn_settle(struct rdma_conn *c)
{
    if (c->state != CONN_UP || c->listener || !c->fin_confirmed || c->fin_seen_due) return;
    if (c->sock && !c->v) return;
    c->r->close_drained += !c->sock;
    disconnect(c);
}

void rdma_conn_close(struct rdma_conn *c, int32_t linger_s)
{
    bool unread = rdma_conn_is_readable(c);
    rdma_recv_drop(c);
    switch (c->state) {
    case CONN_GONE: rdma_conn_unhold(c); return;
    case CONN_UP: break;
    case CONN_ENDING:
    case CONN_RELEASING: return;
    default: rdma_conn_release(c); return;
    }
    if (unread || linger_s == 0) { /* as TCP has it: the peer must not think that all it sent was read */
        if (rdma_has_data(c)) c->r->close_cut++;
        disconnect(c);
        return;
    }
    rdma_prompt_end(c);
    if (!c->fin_sent) c->fin_due = true;
    rdma_send_mark(c);
    start(c, linger_s > 0 ? (uint64_t)linger_s * 1000000000u : c->r->o.linger_ns);
    rdma_conn_settle(c);
}

/* --- invariants --------------------------------------------------------------------------------------------------- */

void rdma_conn_check(const struct rdma_conn *c)
{
    ASSERT(c->state == CONN_IDLE || (c->end == NULL) == (c->state == CONN_GONE));
    ASSERT(c->passed <= c->built && c->built <= c->queued);
    ASSERT(c->granted <= c->sent);
    ASSERT(c->state != CONN_UP || c->tell_at <= c->consumed + c->window_half);
    ASSERT(c->state != CONN_UP || c->sent - c->granted <= c->window_out);
    ASSERT(c->state != CONN_UP || c->unread <= c->window_in);
    ASSERT(c->wr_built - c->wr_reported <= c->depth);
    ASSERT(c->wr_in_batch <= c->wr_built - c->wr_reported);
    ASSERT(c->wr_built - c->wr_passed <= c->wr_built - c->wr_reported);
    ASSERT(c->cursor <= c->out.count);
    ASSERT(!c->cursor_off || c->cursor < c->out.count);
    ASSERT(!c->is_plain || (c->state == CONN_UP && !c->v && c->sock && !c->fin_received && !c->fin_seen_due));
    ASSERT(!c->is_plain || (!c->stalled && !c->is_silent && !(c->sock->st.flags & STREAM_READ_SHUT)));
    ASSERT(c->sock || !c->listener || c->state >= CONN_OPENING);
    ASSERT(!c->stalled == list_is_empty(&c->waiting));
    if (c->v) valkey_wire_check(&c->v->w);
    if (c->state != CONN_UP) return;
    uint64_t held = 0;
    for (uint32_t i = 0; i < c->out.count; i++) held += seg_ring_at(&c->out, i)->n;
    ASSERT(held >= c->queued - c->passed);
    ASSERT(!c->cell_bytes || (c->cell && c->cursor == c->out.count));
    if (!c->prompt) return;
    ASSERT(c->sock && !c->v && !c->fin_due && !c->fin_seen_due && !c->probe_due && !c->stalled);
    ASSERT(!(c->sock->st.flags & (STREAM_FAILED | STREAM_WRITE_SHUT)));
    ASSERT(c->built == c->queued && !c->cursor_off && c->cursor == c->out.count);
    ASSERT(c->sent - c->granted + c->prompt < c->window_out);
    ASSERT(c->wr_built - c->wr_reported + c->prompt < c->depth);
}

void rdma_check(const struct libos *l)
{
    const struct rdma *r = (const struct rdma *)l;
    list_for_each(it, &r->conns) rdma_conn_check(list_entry(it, struct rdma_conn, all));
}
