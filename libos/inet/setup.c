/* SPDX-License-Identifier: MIT
 *
 * Naming, listening, accepting, connecting.
 *
 * A stream's address is reserved from bind() on, before the stack knows of it: inet->bound holds those sockets by port,
 * so that a second bind is EADDRINUSE whether somebody listens or not. Connections do not reserve anything: a server
 * that has ended leaves TIME-WAITs that keep nobody from its port, which is what SO_REUSEADDR asks for elsewhere.
 */
#include "libos/inet/sock.h"

#include "libos/runtime/handover.h"

#include "alloc/heap.h"

#include <errno.h>
#include <netinet/in.h>

#define ACCEPT_RETRY_NS 100000000u /* how long a listener rests when descriptors or memory have run out */
#define CONNECT_TRIES   16         /* ports, where we choose them: another connection to the same peer may have one */

/* --- bind --------------------------------------------------------------------------------------------------------- */

static struct list *bucket_of(struct inet *in, uint16_t port) { return &in->bound[port % INET_BOUND_BUCKETS]; }

/* Whether wildcard address a takes connections to b. */
static bool covers(const struct ip_addr *a, bool a_v6_only, const struct ip_addr *b)
{
    if (addr_equal(a, b)) return true;
    if (!addr_is_any(a)) return false;
    if (addr_is_v4(a)) return addr_is_v4(b);
    return !a_v6_only || !addr_is_v4(b);
}

static bool conflict(const struct inet_sock *a, const struct ip_addr *addr, const struct inet_sock *b)
{
    const struct ip_addr *other = &b->setup->local.addr;
    if (a->reuse_port && b->reuse_port) return false;
    return covers(addr, a->v6_only, other) || covers(other, b->v6_only, addr);
}

static bool is_taken(struct inet_sock *s, const struct ip_port *e)
{
    list_for_each(it, bucket_of(s->inet, e->port))
    {
        const struct sock_setup *u = list_entry(it, struct sock_setup, bound);
        if (u->local.port == e->port && u->sock != s && conflict(s, &e->addr, u->sock)) return true;
    }
    return false;
}

struct taken_arg {
    struct inet_sock *s;
    const struct ip_addr *addr;
};

static bool port_taken(void *arg, uint16_t port)
{
    struct taken_arg *t = arg;
    return is_taken(t->s, &(struct ip_port){.addr = *t->addr, .port = port});
}

int inet_sock_choose_port(struct inet_sock *s, const struct ip_addr *local, const struct ip_port *remote, uint16_t *out)
{
    struct inet *in = s->inet;
    struct taken_arg t = {s, local};
    if (in->own_ports && !in->claimed_all) {
        int err = inet_claim(in, s->dgram, 0, true);
        if (err) return err;
        in->claimed_all = true;
    }
    return ports_choose(&in->ports, local, remote, in->port_key, port_taken, &t, out);
}

static int bind_stream(struct inet_sock *s, struct ip_port *e)
{
    const struct ip_port nobody = {0};
    struct sock_setup *u = inet_sock_setup(s);
    if (!u) return -ENOMEM;
    if (e->port == 0) {
        int err = inet_sock_choose_port(s, &e->addr, &nobody, &e->port);
        if (err) return err;
    } else if (is_taken(s, e)) {
        return -EADDRINUSE;
    }
    u->local = *e;
    list_push_back(bucket_of(s->inet, e->port), &u->bound);
    return 0;
}

int inet_sock_bind(struct queue *q, const struct sockaddr *addr, socklen_t size)
{
    struct inet_sock *s = sock_of(q);
    struct ip_port e;
    int err = inet_sock_endpoint(s, addr, size, &e);
    if (err) return err;
    if (s->state == SOCK_CONNECTED && !s->dgram) return -EISCONN;
    if (s->state != SOCK_NEW) return -EINVAL;
    if (s->v6_only && addr_is_v4(&e.addr)) return -EINVAL;
    bool many = s->dgram && (addr_is_multicast(&e.addr) || addr_is_broadcast4(&e.addr));
    if (!addr_is_any(&e.addr) && !many && !stack_is_local(s->inet->stack, &e.addr)) return -EADDRNOTAVAIL;
    err = s->dgram ? inet_dgram_open(s, &e) : bind_stream(s, &e);
    if (!err) s->state = SOCK_BOUND;
    return err;
}

/* --- listen, accept ----------------------------------------------------------------------------------------------- */

int inet_sock_listen(struct queue *q, int backlog)
{
    struct inet_sock *s = sock_of(q);
    ASSERT(backlog > 0 && backlog <= SOMAXCONN);
    struct inet *in = s->inet;
    if (s->state == SOCK_NEW) return -EDESTADDRREQ;
    if (s->state == SOCK_CONNECTED || s->state == SOCK_ENDED) return -EISCONN;
    if (s->state != SOCK_BOUND) return -EADDRINUSE;
    const struct listen_opts o = {
        .backlog = (unsigned)backlog, .v6_only = s->v6_only, .reuse_port = s->reuse_port, .conn = &s->setup->opts};
    struct listener *l;
    int err = listener_open(in->stack, &s->setup->local, &o, s, &l);
    if (err) return err;
    err = inet_port_take(s, s->setup->local.port);
    if (err) {
        listener_close(l);
        return err;
    }
    s->listener = l;
    s->state = SOCK_LISTENING;
    return 0;
}

static void rest(struct inet_sock *s)
{
    struct inet *in = s->inet;
    in->accept_backoff++;
    list_remove(&s->setup->hungry);
    list_push_back(&in->hungry, &s->setup->hungry);
    if (!timer_runs(&in->retry))
        wheel_start(&s->q.rt->wheel, &in->retry, runtime_later(s->q.rt, ACCEPT_RETRY_NS), inet_sock_retry_accepts);
}

static void complete_accept(struct inet_sock *s, struct inet_sock *c)
{
    struct op *op = op_list_shift(&s->st.pops);
    const struct ip_port *peer = conn_remote(c->conn);
    memset(&op->value, 0, sizeof op->value);
    op->value.ares.qd = c->q.qd;
    if (s->six) {
        op->value.ares6.addr.sin6_family = AF_INET6;
        op->value.ares6.addr.sin6_port = htons(peer->port);
        memcpy(&op->value.ares6.addr.sin6_addr, peer->addr.b, sizeof peer->addr.b);
    } else {
        op->value.ares.addr.sin_family = AF_INET;
        op->value.ares.addr.sin_port = htons(peer->port);
        op->value.ares.addr.sin_addr.s_addr = peer->addr.w[3];
    }
    op_complete(ops_of(s), op);
}

/* One connection for one operation. */
static bool accept_one(struct inet_sock *s)
{
    struct inet_sock *c;
    if (inet_sock_new(s->inet, s->six, false, &c)) {
        rest(s);
        return false;
    }
    struct conn *conn = listener_accept(s->listener, c);
    if (!conn) {
        s->acceptable = false;
        inet_sock_drop(c);
        return false;
    }
    c->conn = conn;
    c->state = SOCK_CONNECTED;
    c->linger_s = s->linger_s;
    s->inet->accepted++;
    complete_accept(s, c);
    return true;
}

static void accept_all(struct inet_sock *s)
{
    while (s->st.pops.head && s->acceptable && accept_one(s))
        ;
}

void inet_sock_acceptable(struct inet_sock *s)
{
    s->acceptable = true;
    accept_all(s);
}

void inet_sock_retry_accepts(struct timer *t)
{
    struct inet *in = container_of(t, struct inet, retry);
    struct list again;
    list_init(&again);
    list_splice_back(&again, &in->hungry);
    for (struct list *l; (l = list_pop_front(&again));) accept_all(list_entry(l, struct sock_setup, hungry)->sock);
}

int inet_sock_accept(struct queue *q, struct op *op)
{
    struct inet_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_ACCEPT);
    if (s->state != SOCK_LISTENING) return -EINVAL;
    op_list_append(&s->st.pops, op);
    if (s->acceptable) accept_all(s);
    return 0;
}

/* --- connect ------------------------------------------------------------------------------------------------------ */

/* Connecting to "any" means to this host, as it does elsewhere. */
static void own_for_any(struct ip_port *peer)
{
    if (!addr_is_any(&peer->addr)) return;
    if (addr_is_v4(&peer->addr)) store_be32(&peer->addr.w[3], INADDR_LOOPBACK);
    else peer->addr.b[15] = 1;
}

static int open_conn(struct inet_sock *s, struct ip_port local, const struct ip_port *peer)
{
    struct inet *in = s->inet;
    bool choose = local.port == 0 && in->own_ports;
    int err = -EADDRINUSE;
    stack_set_now(in->stack, runtime_clock(in->base.rt));
    for (unsigned i = 0; err == -EADDRINUSE && i < (choose ? CONNECT_TRIES : 1); i++) {
        err = choose ? inet_sock_choose_port(s, &local.addr, peer, &local.port) : 0;
        if (!err) err = conn_connect(in->stack, &local, peer, s->setup ? &s->setup->opts : &in->defaults, s, &s->conn);
        if (choose && err) local.port = 0;
    }
    return err;
}

static int connect_stream(struct inet_sock *s, struct op *op, const struct ip_port *peer)
{
    struct ip_port local = {.addr = addr_is_v4(&peer->addr) ? addr_v4(0) : (struct ip_addr){.q = {0, 0}}};
    if (s->state == SOCK_BOUND) {
        local.port = s->setup->local.port;
        if (!addr_is_any(&s->setup->local.addr)) local.addr = s->setup->local.addr;
        int err = s->port_taken ? 0 : inet_port_take(s, local.port);
        if (err) return err;
        s->port_taken = true;
    }
    int err = open_conn(s, local, peer);
    if (err == -EINVAL) return err;
    if (err) {
        op_fail(ops_of(s), op, -err);
        return 0;
    }
    s->state = SOCK_CONNECTING;
    op_list_append(&s->st.pushes, op);
    runtime_need_flush(s->q.rt);
    return 0;
}

void inet_sock_connected(struct inet_sock *s, int err)
{
    struct op *op = op_list_shift(&s->st.pushes);
    if (err) {
        s->conn = NULL;
        s->state = s->setup && s->setup->local.port ? SOCK_BOUND : SOCK_NEW; /* it may try again */
        if (op) op_fail(ops_of(s), op, err);
        return;
    }
    s->state = SOCK_CONNECTED;
    s->inet->connected++;
    if (s->setup && !s->setup->local.port) {
        heap_free(s->setup);
        s->setup = NULL;
    }
    if (op) op_complete_plain(ops_of(s), op, 0);
}

int inet_sock_connect(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size)
{
    struct inet_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_CONNECT);
    struct ip_port peer;
    if (s->state == SOCK_CONNECTING) return -EINPROGRESS;
    if (s->state == SOCK_CONNECTED && !s->dgram) return -EISCONN;
    if (s->state == SOCK_ENDED) return -EISCONN;
    if (s->state == SOCK_LISTENING) return -EOPNOTSUPP;
    int err = inet_sock_endpoint(s, addr, size, &peer);
    if (err) return err;
    if (s->v6_only && addr_is_v4(&peer.addr)) return -ENETUNREACH;
    own_for_any(&peer);
    if (!s->dgram) return connect_stream(s, op, &peer);
    err = inet_dgram_connect(s, &peer);
    if (err) op_fail(ops_of(s), op, -err);
    else op_complete_plain(ops_of(s), op, 0);
    return 0;
}
