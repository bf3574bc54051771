/* SPDX-License-Identifier: MIT
 *
 * See loop.h: ends, their addresses, and how they meet.
 */
#include "libos/rdma/loop_parts.h"

#include "alloc/base/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORT_FIRST 40000

static_assert(sizeof(struct sockaddr_in) <= sizeof(struct sockaddr_in6), "either fits");

/* --- addresses ---------------------------------------------------------------------------------------------------- */

static in_port_t *port_of(struct sockaddr_in6 *a)
{
    return a->sin6_family == AF_INET6 ? &a->sin6_port : &((struct sockaddr_in *)(void *)a)->sin_port;
}

static bool is_any(const struct sockaddr_in6 *a)
{
    static const struct in6_addr zeros;
    if (a->sin6_family == AF_INET6) return !memcmp(&a->sin6_addr, &zeros, sizeof zeros);
    return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr == 0;
}

static bool is_same_host(const struct sockaddr_in6 *a, const struct sockaddr_in6 *b)
{
    if (a->sin6_family != b->sin6_family) return false;
    if (a->sin6_family == AF_INET6) return !memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr);
    return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
           ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
}

static void set_loopback(struct sockaddr_in6 *a)
{
    if (a->sin6_family == AF_INET6) a->sin6_addr = in6addr_loopback;
    else ((struct sockaddr_in *)(void *)a)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static bool is_loopback(const struct sockaddr_in6 *a)
{
    if (a->sin6_family == AF_INET6) return !memcmp(&a->sin6_addr, &in6addr_loopback, sizeof a->sin6_addr);
    return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
}

/* Who is bound there: those that were accepted stand aside, as with TCP. */
static bool is_taken(struct loop *l, struct sockaddr_in6 *a)
{
    list_for_each(it, &l->ends)
    {
        struct loop_end *e = list_entry(it, struct loop_end, link);
        if (e->state == LOOP_RELEASED || e->listener || !e->local.sin6_family) continue;
        if (e->local.sin6_family != a->sin6_family || *port_of(&e->local) != *port_of(a)) continue;
        if (is_any(&e->local) || is_any(a) || is_same_host(&e->local, a)) return true;
    }
    return false;
}

static void choose_port(struct loop *l, struct sockaddr_in6 *a)
{
    do {
        if (l->port < PORT_FIRST || l->port == UINT16_MAX) l->port = PORT_FIRST;
        *port_of(a) = htons(l->port++);
    } while (is_taken(l, a));
}

static void loop_addresses(struct msgdev *d, struct msgdev_end *end, struct sockaddr_storage *local,
                           struct sockaddr_storage *peer)
{
    struct loop_end *e = loop_end_of(end);
    if (local) memcpy(local, &e->local, sizeof e->local);
    if (peer) memcpy(peer, &e->remote, sizeof e->remote);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

static struct loop_end *end_new(struct loop *l, uint64_t word)
{
    struct loop_end *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->loop = l;
    e->word = word;
    e->out_tail = &e->out;
    e->reports_tail = &e->reports;
    list_push_back(&l->ends, &e->link);
    return e;
}

static int loop_make(struct msgdev *d, uint64_t word, const struct sockaddr *local, socklen_t size,
                     struct msgdev_end **out)
{
    struct loop *l = loop_of(d);
    struct sockaddr_in6 at = {0};
    ASSERT(word);
    if (d->link == NETDEV_GONE) return -ENODEV;
    if (loop_chance(l, l->faults.call)) return -ENOMEM;
    if (local) {
        memcpy(&at, local, size);
        if (!is_any(&at) && !is_loopback(&at)) return -EADDRNOTAVAIL;
        if (!*port_of(&at)) choose_port(l, &at);
        else if (is_taken(l, &at)) return -EADDRINUSE;
    }
    struct loop_end *e = end_new(l, word);
    if (!e) return -ENOMEM;
    e->local = at;
    *out = loop_end_ptr(e);
    return 0;
}

static int loop_listen(struct msgdev *d, struct msgdev_end *end, int backlog)
{
    struct loop_end *e = loop_end_of(end);
    ASSERT(e->state == LOOP_NEW);
    e->state = LOOP_LISTENING;
    e->backlog = (unsigned)backlog;
    return 0;
}

static struct loop_end *listener_at(struct loop *l, struct sockaddr_in6 *to)
{
    list_for_each(it, &l->ends)
    {
        struct loop_end *e = list_entry(it, struct loop_end, link);
        if (e->state != LOOP_LISTENING || e->local.sin6_family != to->sin6_family) continue;
        if (*port_of(&e->local) == *port_of(to) && (is_any(&e->local) || is_same_host(&e->local, to))) return e;
    }
    return NULL;
}

static void fail_connect(struct loop_end *e, uint8_t status, const void *p, uint8_t n)
{
    struct loop_report *r = loop_report(e, MSGDEV_FAILED, status, 0);
    r->c.private_len = n;
    if (n) memcpy(r->private_data, p, n);
    e->state = LOOP_OVER;
    e->told_over = true;
    e->peer = NULL;
}

static int loop_connect(struct msgdev *d, struct msgdev_end *end, const struct sockaddr *peer, socklen_t size,
                        const struct msgdev_params *p)
{
    struct loop_end *e = loop_end_of(end);
    struct loop *l = loop_of(d);
    ASSERT(e->state == LOOP_NEW);
    ASSERT(p->private_len <= MSGDEV_PRIVATE);
    memset(&e->remote, 0, sizeof e->remote);
    memcpy(&e->remote, peer, size);
    if (is_any(&e->remote)) set_loopback(&e->remote);
    if (!e->local.sin6_family) {
        struct sockaddr_in6 at = {.sin6_family = e->remote.sin6_family};
        choose_port(l, &at);
        e->local = at;
    }
    if (is_any(&e->local)) set_loopback(&e->local);
    e->state = LOOP_ASKING;
    e->depth = p->send_depth;
    if (loop_chance(l, l->faults.connect)) {
        fail_connect(e, (uint8_t)(MSGDEV_REFUSED + loop_pick(l, 4)), NULL, 0);
        return 0;
    }
    struct loop_end *at = is_loopback(&e->remote) ? listener_at(l, &e->remote) : NULL;
    if (!at || at->asking >= at->backlog) {
        fail_connect(e, is_loopback(&e->remote) ? MSGDEV_REFUSED : MSGDEV_UNREACHABLE, NULL, 0);
        return 0;
    }
    struct loop_end *asked = end_new(l, 0);
    if (!asked) return -ENOMEM;
    asked->state = LOOP_ASKED;
    asked->listener = at;
    asked->local = e->remote;
    asked->remote = e->local;
    asked->peer = e;
    e->peer = asked;
    at->asking++;
    struct loop_report *r = loop_report(at, MSGDEV_REQUESTED, MSGDEV_OK, 0);
    r->c.end = loop_end_ptr(asked);
    r->c.private_len = MSGDEV_PRIVATE; /* as on InfiniBand: padded with zeros */
    if (p->private_len) memcpy(r->private_data, p->private_data, p->private_len);
    return 0;
}

static void leave_listener(struct loop_end *e)
{
    if (e->listener && e->listener != e) e->listener->asking--;
    e->listener = e; /* never counted as bound */
}

static void loop_reject(struct msgdev *d, struct msgdev_end *end, const void *p, uint8_t n)
{
    struct loop_end *e = loop_end_of(end);
    ASSERT(e->state == LOOP_ASKED);
    leave_listener(e);
    if (e->peer) fail_connect(e->peer, MSGDEV_REJECTED, p, n);
    list_remove(&e->link);
    free(e);
}

static int loop_accept(struct msgdev *d, struct msgdev_end *end, uint64_t word, const struct msgdev_params *p)
{
    struct loop_end *e = loop_end_of(end);
    struct loop *l = loop_of(d);
    ASSERT(e->state == LOOP_ASKED);
    ASSERT(p->private_len <= MSGDEV_ANSWER);
    int err = !e->peer ? -EINVAL : loop_chance(l, l->faults.call) ? -ENOMEM : 0;
    if (!err && p->recv_depth) {
        e->own = calloc(p->recv_depth, sizeof *e->own);
        if (!e->own) err = -ENOMEM;
    }
    if (err) {
        loop_reject(d, end, NULL, 0);
        return err;
    }
    leave_listener(e);
    e->word = word;
    e->depth = p->send_depth;
    e->own_room = p->recv_depth;
    for (uint32_t i = 0; i < p->receive_count; i++) {
        ASSERT(p->receives[i].pieces[0].cookie);
        e->own[e->own_count++] = (struct loop_receive){p->receives[i].word, p->receives[i].pieces[0]};
    }
    e->state = e->peer->state = LOOP_UP;
    loop_report(e, MSGDEV_ESTABLISHED, MSGDEV_OK, 0);
    struct loop_report *r = loop_report(e->peer, MSGDEV_ESTABLISHED, MSGDEV_OK, 0);
    r->c.private_len = MSGDEV_ANSWER;
    if (p->private_len) memcpy(r->private_data, p->private_data, p->private_len);
    return 0;
}

static void loop_disconnect(struct msgdev *d, struct msgdev_end *end)
{
    struct loop_end *e = loop_end_of(end);
    loop_end_over(e, MSGDEV_DISCONNECTED, MSGDEV_OK, 0);
}

static void refuse_waiting(struct loop *l, struct loop_end *listener)
{
    list_for_each_safe(it, &l->ends)
    {
        struct loop_end *e = list_entry(it, struct loop_end, link);
        if (e->state == LOOP_ASKED && e->listener == listener) loop_reject(&l->d, loop_end_ptr(e), NULL, 0);
    }
    loop_drop_reports(listener->reports);
    listener->reports = NULL;
    listener->reports_tail = &listener->reports;
}

static void loop_release(struct msgdev *d, struct msgdev_end *end)
{
    struct loop_end *e = loop_end_of(end);
    ASSERT(e->state != LOOP_RELEASED);
    ASSERT(e->state != LOOP_ASKED);
    if (e->state == LOOP_LISTENING) refuse_waiting(loop_of(d), e);
    if (e->state == LOOP_ASKING && e->peer) e->peer->peer = NULL; /* accept() finds nobody */
    e->told_over = true;
    loop_end_over(e, MSGDEV_DISCONNECTED, MSGDEV_OK, 0);
    e->state = LOOP_RELEASED;
    for (struct loop_report *r = e->reports; r; r = r->next)
        if (r->c.event == MSGDEV_RECEIVED) r->c.status = MSGDEV_FLUSHED;
    loop_report(e, MSGDEV_RELEASED, MSGDEV_OK, 0);
}

unsigned rdma_loop_ends(const struct msgdev *d)
{
    unsigned n = 0;
    list_for_each(it, &((const struct loop *)d)->ends) n++;
    return n;
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static int map(void *dev, void *base, size_t len, void **cookie)
{
    *cookie = base;
    return 0;
}
static void unmap(void *dev, void *base, size_t len, void *cookie) {}
static const struct region_registrar registrar = {.map = map, .unmap = unmap, .pins_pages = true};

static int loop_lend(struct msgdev *d, void *base, size_t len, struct msgdev_lent *out)
{
    struct loop *l = loop_of(d);
    struct loop_lent *m = loop_chance(l, l->faults.call) ? NULL : calloc(1, sizeof *m);
    if (!m) return -ENOMEM;
    m->base = base;
    m->len = len;
    m->key = ++l->key;
    list_push_back(&l->lent, &m->link);
    *out = (struct msgdev_lent){.cookie = m, .key = m->key};
    return 0;
}

static void loop_take_back(struct msgdev *d, struct msgdev_lent *lent)
{
    struct loop_lent *m = lent->cookie;
    list_remove(&m->link);
    free(m);
    *lent = (struct msgdev_lent){0};
}

/* --- the device --------------------------------------------------------------------------------------------------- */

static void free_loop(struct loop *l)
{
    free(l->shared);
    free(l->last);
    free(l);
}

static void loop_close(struct msgdev *d)
{
    struct loop *l = loop_of(d);
    loop_drop_reports(l->given);
    for (struct list *it; (it = list_pop_front(&l->ends));) {
        struct loop_end *e = list_entry(it, struct loop_end, link);
        for (struct loop_request *q; (q = e->out);) {
            e->out = q->next;
            free(q);
        }
        loop_drop_reports(e->reports);
        free(e->own);
        free(e);
    }
    ASSERT(list_is_empty(&l->lent));
    registry_remove_device(d->registry);
    free_loop(l);
}

static const struct msgdev_ops loop_ops = {
    .name = "rdma-loop",
    .poll = loop_poll,
    .post = loop_post,
    .post_short = loop_post_short,
    .again = loop_again,
    .make = loop_make,
    .listen = loop_listen,
    .connect = loop_connect,
    .accept = loop_accept,
    .reject = loop_reject,
    .disconnect = loop_disconnect,
    .release = loop_release,
    .addresses = loop_addresses,
    .lend = loop_lend,
    .take_back = loop_take_back,
    .close = loop_close,
};

void rdma_loop_set_faults(struct msgdev *d, const struct rdma_loop_faults *f)
{
    struct loop *l = loop_of(d);
    l->faults = *f;
    rng_seed(&l->rng, f->seed);
    d->caps.rnr = d->caps.sent_is_delivered = d->caps.immediate = !f->rnr_breaks;
    if (f->inline_max) d->caps.inline_max = f->inline_max == UINT16_MAX ? 0 : f->inline_max;
    ASSERT(d->caps.inline_max <= LOOP_INLINE_MAX);
}

void rdma_loop_set_link(struct msgdev *d, enum netdev_link link)
{
    struct loop *l = loop_of(d);
    d->link = link;
    if (link != NETDEV_GONE) return;
    list_for_each(it, &l->ends)
    {
        struct loop_end *e = list_entry(it, struct loop_end, link);
        if (e->state != LOOP_UP && e->state != LOOP_NEW && e->state != LOOP_LISTENING) continue;
        loop_report(e, MSGDEV_BROKEN, MSGDEV_GONE, ENODEV);
        e->told_over = true;
    }
    list_for_each(it, &l->ends) loop_end_over(list_entry(it, struct loop_end, link), 0, 0, 0);
}

int rdma_loop_open(const struct netdev_env *env, const struct msgdev_wants *wants, struct msgdev **out)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l) return -ENOMEM;
    l->shared = calloc(wants->shared_depth, sizeof *l->shared);
    l->last = calloc(wants->shared_depth, sizeof *l->last);
    if (!l->shared || !l->last) {
        free_loop(l);
        return -ENOMEM;
    }
    list_init(&l->ends);
    list_init(&l->lent);
    l->d = (struct msgdev){
        .ops = &loop_ops,
        .caps = {.pieces_max = wants->pieces_max < MSGDEV_PIECES_MAX ? wants->pieces_max : MSGDEV_PIECES_MAX,
                 .inline_max = wants->inline_max < LOOP_INLINE_MAX ? wants->inline_max : LOOP_INLINE_MAX,
                 .message_max = 8u << 20,
                 .depth_max = 4096,
                 .shared_depth = wants->shared_depth,
                 .immediate = true,
                 .rnr = true,
                 .sent_is_delivered = true},
    };
    snprintf(l->d.what, sizeof l->d.what, "the ends of this thread");
    l->d.registry = registry_add_device(&registrar, l);
    if (l->d.registry < 0) {
        int err = l->d.registry;
        free_loop(l);
        return err;
    }
    *out = &l->d;
    return 0;
}
