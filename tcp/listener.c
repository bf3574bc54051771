/* SPDX-License-Identifier: MIT
 *
 * Who listens where. Listeners are as many as the program opens, so a fixed number of buckets by port does.
 *
 *     a SYN to 192.0.2.1:80 is taken by   192.0.2.1:80   before   0.0.0.0:80   before   [::]:80 (unless v6_only)
 */
#include "tcp/listener.h"

#include "alloc/heap.h"
#include "tcp/conn.h"
#include "tcp/synq.h"

#include <errno.h>

#define BUCKETS 256u

struct listener_set {
    struct listener *buckets[BUCKETS];
};

int listeners_init(struct net_stack *s)
{
    s->tcp.listeners = heap_calloc(1, sizeof *s->tcp.listeners);
    return s->tcp.listeners ? 0 : -ENOMEM;
}

void listeners_fini(struct net_stack *s)
{
    if (!s->tcp.listeners) return;
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct listener *l = s->tcp.listeners->buckets[i], *next; l; l = next) {
            next = l->next;
            heap_free(l);
        }
    heap_free(s->tcp.listeners);
    s->tcp.listeners = NULL;
}

/* How exactly l is meant by `local`; 0: not at all. */
static unsigned match(const struct listener *l, const struct ip_addr *local, uint16_t port)
{
    if (l->local.port != port) return 0;
    if (addr_equal(&l->local.addr, local)) return 3;
    if (!addr_is_any(&l->local.addr)) return 0;
    if (addr_is_v4(&l->local.addr) == addr_is_v4(local)) return 2;
    return !addr_is_v4(&l->local.addr) && !l->v6_only;
}

struct listener *listener_find(const struct net_stack *s, const struct ip_addr *local, uint16_t port)
{
    struct listener *best = NULL;
    unsigned best_match = 0;
    for (struct listener *l = s->tcp.listeners->buckets[port % BUCKETS]; l; l = l->next) {
        unsigned m = match(l, local, port);
        if (m > best_match) {
            best = l;
            best_match = m;
        }
    }
    return best;
}

/* Whether a listener at `want` would take what another one is there for. An exact address and a wildcard may live
 * side by side, and so may "any" of both families unless IPv6's would take IPv4, too. */
static bool collides(const struct net_stack *s, const struct ip_port *want, bool v6_only)
{
    bool any = addr_is_any(&want->addr);
    for (const struct listener *l = s->tcp.listeners->buckets[want->port % BUCKETS]; l; l = l->next) {
        if (l->local.port != want->port) continue;
        if (addr_equal(&l->local.addr, &want->addr)) return true;
        if (any && addr_is_any(&l->local.addr)) { /* of different families */
            bool six_takes_four = addr_is_v4(&want->addr) ? !l->v6_only : !v6_only;
            if (six_takes_four) return true;
        }
    }
    return false;
}

struct listener_wanted {
    const struct net_stack *s;
    struct ip_port at;
    bool v6_only;
};

static bool port_is_taken(void *arg, uint16_t port)
{
    struct listener_wanted *w = arg;
    w->at.port = port;
    return collides(w->s, &w->at, w->v6_only);
}

static int choose_port(struct net_stack *s, struct ip_port *at, bool v6_only)
{
    static const struct ip_port nobody = {.port = 0};
    struct listener_wanted w = {.s = s, .at = *at, .v6_only = v6_only};
    return ports_choose(&s->tcp.ports, &at->addr, &nobody, s->key_port, port_is_taken, &w, &at->port);
}

int listener_open(struct net_stack *s, const struct ip_port *local, const struct listen_opts *o, void *user,
                  struct listener **out)
{
    static const struct listen_opts defaults = {.backlog = 128};
    struct ip_port at = *local;
    if (!o) o = &defaults;
    if (!addr_is_any(&at.addr) && !stack_is_local(s, &at.addr)) return -EADDRNOTAVAIL;
    if (o->conn && o->conn->cc && !cc_find(o->conn->cc)) return -ENOENT;
    if (at.port && collides(s, &at, o->v6_only)) return -EADDRINUSE;
    if (!at.port) {
        int err = choose_port(s, &at, o->v6_only);
        if (err) return err;
    }
    struct listener *l = heap_calloc(1, sizeof *l);
    if (!l) return -ENOMEM;
    *l = (struct listener){.stack = s, .local = at, .v6_only = o->v6_only, .reuse_port = o->reuse_port, .user = user};
    l->backlog = o->backlog ? o->backlog : 1;
    if (o->conn) l->opts = *o->conn;
    if (l->opts.cc) l->opts.cc = cc_find(l->opts.cc)->name;
    list_init(&l->queue);
    struct listener **bucket = &s->tcp.listeners->buckets[at.port % BUCKETS];
    l->next = *bucket;
    *bucket = l;
    *out = l;
    return 0;
}

void listener_close(struct listener *l)
{
    struct net_stack *s = l->stack;
    struct listener **at = &s->tcp.listeners->buckets[l->local.port % BUCKETS];
    while (*at != l) at = &(*at)->next;
    *at = l->next;
    synq_remove_listener(s, l);
    while (!list_is_empty(&l->queue)) conn_abort(list_entry(l->queue.next, struct conn, accepting));
    heap_free(l);
}

int listener_set_opts(struct listener *l, const struct conn_opts *o)
{
    const struct cc_ops *cc = o->cc ? cc_find(o->cc) : NULL;
    if (o->cc && !cc) return -ENOENT;
    l->opts = *o;
    if (cc) l->opts.cc = cc->name;
    return 0;
}

void *listener_user(const struct listener *l) { return l->user; }
const struct ip_port *listener_local(const struct listener *l) { return &l->local; }

void listener_enqueue(struct listener *l, struct conn *c)
{
    DASSERT(!listener_is_full(l));
    c->flags |= CF_ACCEPTING;
    c->listener = l;
    list_push_back(&l->queue, &c->accepting);
    l->waiting++;
}

void listener_dequeue(struct conn *c)
{
    DASSERT(c->flags & CF_ACCEPTING);
    c->flags &= ~(uint32_t)CF_ACCEPTING;
    c->listener->waiting--;
    c->listener = NULL;
    list_remove(&c->accepting);
}

struct conn *listener_accept(struct listener *l, void *user)
{
    struct list *first = list_first(&l->queue);
    if (!first) return NULL;
    struct conn *c = list_entry(first, struct conn, accepting);
    listener_dequeue(c);
    c->user = user;
    return c;
}
