/* SPDX-License-Identifier: MIT
 *
 * The double's rdma_cm: ids, addresses, events. Whoever listens and whoever connects are ids of one process.
 */
#include "tests/rdma/double_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct dbl_channel_cm {
    struct rdma_event_channel channel; /* first */
    struct list events;
    unsigned ids;
};

struct dbl_id {
    struct rdma_cm_id id; /* first */
    struct list all;
    struct dbl_id *peer; /* the other end, from the request on */
    unsigned unacked;
    bool is_listening, is_bound, is_connected, is_over;
};

struct dbl_event {
    struct rdma_cm_event event; /* first */
    struct list link;
    struct dbl_id *owner;
    uint8_t private_data[256];
};

static struct list all_ids = {&all_ids, &all_ids};
static uint16_t next_port = 40000;

/* --- events --- */

struct rdma_event_channel *rdma_create_event_channel(void)
{
    dbl_lock();
    struct dbl_channel_cm *c = dbl_fails("rdma_create_event_channel") ? NULL : calloc(1, sizeof *c);
    if (c) {
        c->channel.fd = eventfd(0, EFD_CLOEXEC);
        list_init(&c->events);
        dbl_count_object(1);
    }
    dbl_unlock();
    return c ? &c->channel : NULL;
}

void rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
    struct dbl_channel_cm *c = (struct dbl_channel_cm *)channel;
    if (c->ids) dbl_wrong("an event channel goes before its ids");
    close(channel->fd);
    free(c);
    dbl_count_object(-1);
}

static void tell(struct dbl_id *to, enum rdma_cm_event_type type, int status, struct dbl_id *listener,
                 const struct rdma_conn_param *p, unsigned padded)
{
    struct dbl_event *e = calloc(1, sizeof *e);
    struct dbl_id *owner = listener ? listener : to;
    struct dbl_channel_cm *c = (struct dbl_channel_cm *)owner->id.channel;
    e->event.id = &to->id;
    e->event.listen_id = listener ? &listener->id : NULL;
    e->event.event = type;
    e->event.status = status;
    e->owner = owner;
    const bool is_iwarp = to->id.verbs && ((struct dbl_ctx *)to->id.verbs)->is_iwarp;
    if (p) {
        if (p->private_data_len) memcpy(e->private_data, p->private_data, p->private_data_len);
        e->event.param.conn.private_data_len = (uint8_t)(is_iwarp ? p->private_data_len : padded);
        e->event.param.conn.private_data = e->event.param.conn.private_data_len ? e->private_data : NULL;
    }
    list_push_back(&c->events, &e->link);
    dbl_raise(c->channel.fd);
}

int rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **out)
{
    struct dbl_channel_cm *c = (struct dbl_channel_cm *)channel;
    int err = -1;
    dbl_lock();
    struct list *l = list_pop_front(&c->events);
    errno = EAGAIN;
    if (l) {
        struct dbl_event *e = container_of(l, struct dbl_event, link);
        e->owner->unacked++;
        *out = &e->event;
        if (list_is_empty(&c->events)) dbl_calm(channel->fd);
        err = 0;
    }
    dbl_unlock();
    return err;
}

int rdma_ack_cm_event(struct rdma_cm_event *event)
{
    struct dbl_event *e = (struct dbl_event *)event;
    dbl_lock();
    if (!e->owner->unacked--) dbl_wrong("an event of rdma_cm acknowledged twice");
    memset(e->private_data, 0x5a, sizeof e->private_data);
    free(e);
    dbl_unlock();
    return 0;
}

/* --- ids --- */

static struct dbl_id *new_id(struct rdma_event_channel *channel, void *context)
{
    struct dbl_id *i = calloc(1, sizeof *i);
    i->id.channel = channel;
    i->id.context = context;
    i->id.ps = RDMA_PS_TCP;
    ((struct dbl_channel_cm *)channel)->ids++;
    list_push_back(&all_ids, &i->all);
    dbl_count_object(1);
    return i;
}

int rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id, void *context, enum rdma_port_space ps)
{
    dbl_lock();
    struct dbl_id *i = dbl_fails("rdma_create_id") ? NULL : new_id(channel, context);
    if (i) *id = &i->id;
    dbl_unlock();
    return i ? 0 : -1;
}

/* The connection is over for this end: its queue pair is in the error state, and the peer's id hears of it. */
static void end_connection(struct dbl_id *i)
{
    if (!i->is_connected || i->is_over) return;
    i->is_over = true;
    if (i->id.qp) dbl_qp_error((struct dbl_qp *)i->id.qp);
    const bool is_iwarp = ((struct dbl_ctx *)i->id.verbs)->is_iwarp;
    if (i->peer && (!i->peer->is_over || !is_iwarp)) tell(i->peer, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, NULL, 0);
    if (is_iwarp) {
        tell(i, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, NULL, 0);
        if (i->peer && !i->peer->is_over) {
            i->peer->is_over = true;
            if (i->peer->id.qp) dbl_qp_error((struct dbl_qp *)i->peer->id.qp);
        }
    }
}

void dbl_cm_torn(struct dbl_qp *q)
{
    if (q->id) end_connection((struct dbl_id *)q->id);
}

int rdma_destroy_id(struct rdma_cm_id *id)
{
    struct dbl_id *i = (struct dbl_id *)id;
    dbl_lock();
    if (i->unacked) dbl_wrong("an id goes with an event that is not acknowledged: the call would hang");
    if (id->qp) dbl_wrong("an id goes before its queue pair");
    end_connection(i);
    struct dbl_channel_cm *c = (struct dbl_channel_cm *)id->channel;
    for (struct list *l = c->events.next, *next = l->next; l != &c->events; l = next, next = l->next) {
        struct dbl_event *e = container_of(l, struct dbl_event, link);
        if (e->owner != i) continue;
        list_remove(l);
        if (e->event.event == RDMA_CM_EVENT_CONNECT_REQUEST) {
            struct dbl_id *child = (struct dbl_id *)e->event.id;
            if (child->peer) {
                child->peer->peer = NULL;
                tell(child->peer, RDMA_CM_EVENT_REJECTED, 8, NULL, NULL, 0);
            }
            list_remove(&child->all);
            c->ids--;
            dbl_count_object(-1);
            free(child);
        }
        free(e);
    }
    if (list_is_empty(&c->events)) dbl_calm(c->channel.fd);
    if (i->peer) i->peer->peer = NULL;
    c->ids--;
    list_remove(&i->all);
    free(i);
    dbl_count_object(-1);
    dbl_unlock();
    return 0;
}

int rdma_set_option(struct rdma_cm_id *id, int level, int name, void *value, size_t len) { return 0; }

/* --- addresses --- */

static uint16_t port_of(const struct sockaddr *a)
{
    return ntohs(a->sa_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port
                                         : ((const struct sockaddr_in6 *)a)->sin6_port);
}

/* 0 or 1; -1: of no device; -2: of all. */
static int device_of(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        const uint32_t ip = ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr);
        if (!ip) return -2;
        if (ip >> 24 == 127 || ip >> 16 == 0x0a4d) return 0;
        return ip >> 16 == 0x0a4e ? 1 : -1;
    }
    const struct in6_addr *ip6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
    if (IN6_IS_ADDR_UNSPECIFIED(ip6)) return -2;
    if (IN6_IS_ADDR_LOOPBACK(ip6) || (ip6->s6_addr[0] == 0xfd && ip6->s6_addr[1] == 0x77)) return 0;
    return ip6->s6_addr[0] == 0xfd && ip6->s6_addr[1] == 0x78 ? 1 : -1;
}

static void set_port(struct sockaddr *a, uint16_t port)
{
    if (a->sa_family == AF_INET) ((struct sockaddr_in *)a)->sin_port = htons(port);
    else ((struct sockaddr_in6 *)a)->sin6_port = htons(port);
}

static size_t size_of(const struct sockaddr *a)
{
    return a->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static struct dbl_id *bound_to(const struct sockaddr *a, bool listening)
{
    for (struct list *l = all_ids.next; l != &all_ids; l = l->next) {
        struct dbl_id *i = container_of(l, struct dbl_id, all);
        const struct sockaddr *b = &i->id.route.addr.src_addr;
        if (!i->is_bound || (listening && !i->is_listening) || b->sa_family != a->sa_family) continue;
        if (port_of(b) != port_of(a)) continue;
        if (device_of(b) == -2 || device_of(a) == -2 || device_of(b) == device_of(a)) return i;
    }
    return NULL;
}

static int bind_to(struct dbl_id *i, const struct sockaddr *a)
{
    const int device = device_of(a);
    if (device == -1) return EADDRNOTAVAIL;
    if (port_of(a) && bound_to(a, false)) return EADDRINUSE;
    memcpy(&i->id.route.addr.src_addr, a, size_of(a));
    if (!port_of(a)) set_port(&i->id.route.addr.src_addr, next_port++);
    i->is_bound = true;
    if (device >= 0) i->id.verbs = &dbl_devices[device].ctx;
    i->id.port_num = device >= 0;
    return 0;
}

int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *a)
{
    dbl_lock();
    int err = dbl_fails("rdma_bind_addr") ? errno : bind_to((struct dbl_id *)id, a);
    dbl_unlock();
    errno = err;
    return err ? -1 : 0;
}

int rdma_listen(struct rdma_cm_id *id, int backlog)
{
    dbl_lock();
    int err = dbl_fails("rdma_listen") ? errno : 0;
    if (!err) ((struct dbl_id *)id)->is_listening = true;
    dbl_unlock();
    errno = err;
    return err ? -1 : 0;
}

int rdma_resolve_addr(struct rdma_cm_id *id, struct sockaddr *src, struct sockaddr *dst, int timeout_ms)
{
    struct dbl_id *i = (struct dbl_id *)id;
    dbl_lock();
    int err = dbl_fails("rdma_resolve_addr") ? errno : 0;
    if (!err) {
        const int device = device_of(dst);
        memcpy(&id->route.addr.dst_addr, dst, size_of(dst));
        if (device >= 0 && !i->is_bound) {
            struct sockaddr_storage own;
            memcpy(&own, dst, size_of(dst));
            set_port((struct sockaddr *)&own, 0);
            bind_to(i, (struct sockaddr *)&own);
        }
        if (device >= 0) id->verbs = &dbl_devices[device].ctx;
        tell(i, device < 0 ? RDMA_CM_EVENT_ADDR_ERROR : RDMA_CM_EVENT_ADDR_RESOLVED, device < 0 ? -ENODEV : 0, NULL,
             NULL, 0);
    }
    dbl_unlock();
    errno = err;
    return err ? -1 : 0;
}

int rdma_resolve_route(struct rdma_cm_id *id, int timeout_ms)
{
    dbl_lock();
    int err = dbl_fails("rdma_resolve_route") ? errno : 0;
    if (!err) tell((struct dbl_id *)id, RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, NULL, 0);
    dbl_unlock();
    errno = err;
    return err ? -1 : 0;
}

/* --- queue pairs --- */

#undef rdma_create_qp
int rdma_create_qp(struct rdma_cm_id *id, struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
    dbl_lock();
    struct dbl_qp *q = NULL;
    if (pd->context != id->verbs) errno = EINVAL;
    else if (!dbl_fails("rdma_create_qp")) q = dbl_qp_new(pd, attr);
    if (q) {
        q->id = id;
        id->qp = &q->qp;
    }
    dbl_unlock();
    return q ? 0 : -1;
}

void rdma_destroy_qp(struct rdma_cm_id *id)
{
    dbl_lock();
    dbl_qp_free((struct dbl_qp *)id->qp);
    id->qp = NULL;
    dbl_unlock();
}

/* --- connections --- */

int rdma_connect(struct rdma_cm_id *id, struct rdma_conn_param *p)
{
    struct dbl_id *i = (struct dbl_id *)id, *listener;
    const bool is_iwarp = ((struct dbl_ctx *)id->verbs)->is_iwarp;
    int err = 0;
    dbl_lock();
    if (dbl_fails("rdma_connect")) {
        err = errno;
    } else if (!is_iwarp && p->private_data_len > 56) {
        err = EINVAL;
    } else if (!(listener = bound_to(&id->route.addr.dst_addr, true))) {
        if (is_iwarp) err = ECONNREFUSED;
        else tell(i, RDMA_CM_EVENT_REJECTED, 8, NULL, NULL, 0);
    } else {
        struct dbl_id *child = new_id(listener->id.channel, listener->id.context);
        child->id.verbs = id->verbs;
        child->peer = i;
        i->peer = child;
        memcpy(&child->id.route.addr.src_addr, &id->route.addr.dst_addr, sizeof(struct sockaddr_in6));
        memcpy(&child->id.route.addr.dst_addr, &id->route.addr.src_addr, sizeof(struct sockaddr_in6));
        tell(child, RDMA_CM_EVENT_CONNECT_REQUEST, 0, listener, p, 56);
    }
    dbl_unlock();
    errno = err;
    return err ? -1 : 0;
}

int rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *p)
{
    struct dbl_id *i = (struct dbl_id *)id;
    int err = 0;
    dbl_lock();
    if (dbl_fails("rdma_accept")) {
        err = errno;
    } else if (!i->peer || !i->peer->id.qp) {
        err = ECONNRESET; /* it has gone meanwhile */
    } else {
        struct dbl_qp *a = (struct dbl_qp *)id->qp, *b = (struct dbl_qp *)i->peer->id.qp;
        a->peer = b;
        b->peer = a;
        a->is_connected = b->is_connected = i->is_connected = i->peer->is_connected = true;
        dbl_qp_progress(a);
        dbl_qp_progress(b);
        tell(i->peer, RDMA_CM_EVENT_ESTABLISHED, 0, NULL, p, 196);
        tell(i, RDMA_CM_EVENT_ESTABLISHED, 0, NULL, NULL, 0);
    }
    dbl_unlock();
    errno = err;
    return err ? -1 : 0;
}

int rdma_reject(struct rdma_cm_id *id, const void *private_data, uint8_t len)
{
    struct dbl_id *i = (struct dbl_id *)id;
    dbl_lock();
    const struct rdma_conn_param p = {.private_data = private_data, .private_data_len = len};
    if (i->peer) {
        const bool is_iwarp = ((struct dbl_ctx *)id->verbs)->is_iwarp;
        tell(i->peer, RDMA_CM_EVENT_REJECTED, is_iwarp ? -ECONNREFUSED : 28, NULL, &p, 148);
        i->peer->peer = NULL;
        i->peer = NULL;
    }
    dbl_unlock();
    return 0;
}

int rdma_disconnect(struct rdma_cm_id *id)
{
    dbl_lock();
    end_connection((struct dbl_id *)id);
    dbl_unlock();
    return 0;
}

void dbl_cm_remove(void)
{
    dbl_lock();
    for (struct list *l = all_ids.next; l != &all_ids; l = l->next) {
        struct dbl_id *i = container_of(l, struct dbl_id, all);
        if (i->id.verbs) tell(i, RDMA_CM_EVENT_DEVICE_REMOVAL, 0, NULL, NULL, 0);
    }
    dbl_unlock();
}
