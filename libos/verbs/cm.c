/* SPDX-License-Identifier: MIT
 *
 * What rdma_cm tells. Each event is copied and acknowledged at once, and acted upon after that: an id cannot be
 * destroyed while an event of it is not acknowledged (the call would wait for ever), and private data go with the
 * acknowledgement.
 *
 * The devices differ (libos/verbs/README.md): nobody who listens is a REJECTED with reason 8 on RoCE, and an error of
 * rdma_connect() itself on iWARP in software; private data come padded with zeros on RoCE.
 */
#include "libos/verbs/verbs.h"

#include <errno.h>
#include <string.h>

#define EVENTS_A_CALL 64

/* Reasons of InfiniBand's connection manager (InfiniBand Architecture Specification 12.6.7.2). */
#define REJECT_NO_SUCH_SERVICE 8
#define REJECT_BY_CONSUMER     28

struct cm_event {
    struct rdma_cm_id *id;
    struct msgdev_end *end; /* of a CONNECT_REQUEST the listener */
    enum rdma_cm_event_type type;
    int status;
    uint8_t private_len;
    uint8_t private_data[VERBS_PRIVATE_SIZE];
};

static void keep_private(struct msgdev_end *end, const struct cm_event *e)
{
    end->private_len = e->private_len;
    memcpy(end->private_data, e->private_data, e->private_len);
}

/* A refusal of rdma_cm's at connecting: what it is called in msgdev.h. */
static enum msgdev_status failure_of(int err)
{
    switch (err) {
    case ECONNREFUSED: return MSGDEV_REFUSED;
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE: return MSGDEV_NO_ROOM;
    case ENODEV: return MSGDEV_GONE;
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EADDRNOTAVAIL: return MSGDEV_UNREACHABLE;
    default: return MSGDEV_FAILED_OTHERWISE;
    }
}

static void fail_by_errno(struct msgdev_end *end, int err)
{
    err = err ? (err < 0 ? -err : err) : EIO;
    end_fail(end, failure_of(err), err);
}

/* --- connecting --- */

static void on_address(struct msgdev_end *end)
{
    if (end->state != END_RESOLVING) return;
    if (end->id->verbs != end->dev->ctx) { /* the way there is another device's */
        end_fail(end, MSGDEV_UNREACHABLE, EHOSTUNREACH);
        return;
    }
    end->state = END_ROUTING;
    if (rdma_resolve_route(end->id, VERBS_RESOLVE_MS)) fail_by_errno(end, errno);
}

static void on_route(struct msgdev_end *end)
{
    if (end->state != END_ROUTING) return;
    int err = end_make_queues(end);
    if (err) {
        fail_by_errno(end, err);
        return;
    }
    struct rdma_conn_param p = end_conn_param(end, end->private_data, end->private_len);
    end->state = END_CONNECTING;
    if (rdma_connect(end->id, &p)) fail_by_errno(end, errno);
}

static void on_rejected(struct msgdev_end *end, const struct cm_event *e)
{
    if (end->state != END_CONNECTING && end->state != END_ACCEPTING) return;
    if (end->dev->is_iwarp || e->status == REJECT_BY_CONSUMER) {
        keep_private(end, e);
        end_fail(end, MSGDEV_REJECTED, ECONNREFUSED);
    } else if (e->status == REJECT_NO_SUCH_SERVICE) {
        end_fail(end, MSGDEV_REFUSED, ECONNREFUSED);
    } else {
        end_fail(end, MSGDEV_FAILED_OTHERWISE, e->status);
    }
}

static void on_established(struct msgdev_end *end, const struct cm_event *e)
{
    if (end->state != END_CONNECTING && end->state != END_ACCEPTING) return;
    if (end->state == END_CONNECTING) {
        keep_private(end, e);
        end_set_rnr_timer(end);
    } else {
        end->private_len = 0;
    }
    end->state = END_UP;
    end_tell(end, NEWS_ESTABLISHED);
}

/* --- being connected to --- */

static void on_request(struct verbs_dev *d, const struct cm_event *e)
{
    struct msgdev_end *listener = e->end, *end = NULL;
    e->id->context = NULL; /* it has come with the listener's */
    const bool is_ours = e->id->verbs == d->ctx && d->dev.link != NETDEV_GONE;
    if (is_ours && listener->state == END_LISTENING && listener->waiting < listener->backlog)
        end = end_new(d, e->id, 0);
    if (!end) {
        rdma_reject(e->id, NULL, 0);
        rdma_destroy_id(e->id);
        return;
    }
    end->state = END_REQUESTED;
    end->listener = listener;
    listener->waiting++;
    keep_private(end, e);
    end_tell(end, NEWS_REQUESTED);
}

/* --- the end --- */

static void on_disconnected(struct msgdev_end *end)
{
    switch (end->state) {
    case END_CONNECTING:
    case END_ACCEPTING: end_fail(end, MSGDEV_FAILED_OTHERWISE, ECONNRESET); return;
    case END_UP:
        rdma_disconnect(end->id); /* on RoCE the peer hears of its own disconnecting only by ours */
        end->state = END_DOWN;
        end_tell(end, NEWS_DISCONNECTED);
        return;
    case END_DOWN:
        if (end->told & NEWS_BROKEN) end_tell(end, NEWS_DISCONNECTED);
        return;
    default: return;
    }
}

static void act(struct verbs_dev *d, const struct cm_event *e)
{
    struct msgdev_end *end = e->end;
    if (!end) return; /* a request that was refused at once */
    switch (e->type) {
    case RDMA_CM_EVENT_ADDR_RESOLVED: on_address(end); return;
    case RDMA_CM_EVENT_ROUTE_RESOLVED: on_route(end); return;
    case RDMA_CM_EVENT_CONNECT_REQUEST: on_request(d, e); return;
    case RDMA_CM_EVENT_ESTABLISHED: on_established(end, e); return;
    case RDMA_CM_EVENT_REJECTED: on_rejected(end, e); return;
    case RDMA_CM_EVENT_DISCONNECTED: on_disconnected(end); return;
    case RDMA_CM_EVENT_DEVICE_REMOVAL: life_gone(d); return;
    case RDMA_CM_EVENT_ADDR_ERROR:
    case RDMA_CM_EVENT_ROUTE_ERROR:
    case RDMA_CM_EVENT_UNREACHABLE:
        if (end->state < END_UP) end_fail(end, MSGDEV_UNREACHABLE, e->status < 0 ? -e->status : EHOSTUNREACH);
        return;
    case RDMA_CM_EVENT_CONNECT_ERROR:
        if (end->state < END_UP) fail_by_errno(end, e->status);
        return;
    default: return; /* TIMEWAIT_EXIT; ADDR_CHANGE: the queue pair says what has become of it */
    }
}

void cm_take_events(struct verbs_dev *d)
{
    d->look_at_cm = false;
    d->idle_polls = 0;
    for (int i = 0; i < EVENTS_A_CALL; i++) {
        struct rdma_cm_event *got = NULL;
        if (rdma_get_cm_event(d->events, &got)) return;
        struct rdma_cm_id *owner = got->event == RDMA_CM_EVENT_CONNECT_REQUEST ? got->listen_id : got->id;
        struct cm_event e = {.id = got->id, .end = owner->context, .type = got->event, .status = got->status};
        if (got->param.conn.private_data && got->event != RDMA_CM_EVENT_ADDR_RESOLVED) {
            e.private_len = got->param.conn.private_data_len;
            memcpy(e.private_data, got->param.conn.private_data, e.private_len);
        }
        rdma_ack_cm_event(got);
        act(d, &e);
    }
    d->look_at_cm = true; /* there may be more */
}
