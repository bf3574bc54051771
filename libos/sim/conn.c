/* SPDX-License-Identifier: MIT
 *
 * How a connection comes about:
 *
 *   connect -> attempt --delay--> knock --> backlog, OPEN --delay--> connected
 *                 ^                 |  \--- nobody listens --delay--> ECONNREFUSED
 *                 +---- 1, 2, 4 s --+       the backlog is full, the link is cut; after ATTEMPTS_MAX: ETIMEDOUT
 */
#include "libos/sim/world.h"

#include "alloc/base/clock.h"

#include <errno.h>

#define ATTEMPTS_MAX 6

static void attempt(void *arg);
static void knock(void *arg);

static void later(struct sim_conn *c, uint64_t ns, void (*fn)(void *arg))
{
    sim_conn_ref(c);
    sim_events_add(&c->sim->events, c->sim->now + ns, fn, c);
}

/* The socket and the connection part; it may try again. */
static void give_up(struct sim_sock *s, int err)
{
    struct sim_conn *c = s->end->conn;
    struct op *op = s->connecting;
    s->connecting = NULL;
    s->state = s->bound ? SOCK_BOUND : SOCK_NEW;
    if (!s->bound) s->local = (struct sockaddr_in){.sin_family = AF_INET};
    s->end = NULL;
    op_fail(&s->q.rt->ops, op, err);
    sim_host_wake(s->host);
    sim_conn_unref(c); /* the socket's */
}

static void fail(struct sim_conn *c, int err)
{
    struct sim_sock *s = c->ends[0].sock;
    if (!s || !s->connecting) return; /* closed, cancelled, or reset meanwhile */
    c->sim->stats.refused++;
    sim_tell(c->sim, "refused", c->id, (uint64_t)err);
    c->ends[0].sock = NULL;
    c->ends[0].closed = c->ends[0].dead = true;
    give_up(s, err);
}

void sim_conn_cancel(struct sim_sock *s)
{
    sim_end_close(s->end, true); /* if the peer has answered, its answer is refused */
    give_up(s, ECANCELED);
}

static void try_again(struct sim_conn *c)
{
    if (++c->attempts == ATTEMPTS_MAX) fail(c, ETIMEDOUT);
    else later(c, NSEC_PER_SEC << (c->attempts - 1), attempt);
}

static void conn_refuse(void *arg)
{
    struct sim_conn *c = arg;
    fail(c, ECONNREFUSED);
    sim_conn_unref(c);
}

static void open_ends(struct sim_conn *c)
{
    struct sim *s = c->sim;
    struct sim_end *a = &c->ends[0], *b = &c->ends[1];
    a->credit = sim_link_of(s, a->host, b->host)->window;
    b->credit = sim_link_of(s, b->host, a->host)->window;
    b->open = true;
    sim_wire_send(a, ITEM_OPEN, NULL, 0);
}

/* A handshake needs both directions. */
static bool is_cut_somehow(const struct sim *s, const struct sim_host *a, const struct sim_host *b)
{
    return sim_link_is_cut(s, a, b) || sim_link_is_cut(s, b, a);
}

static void knock_at(struct sim_conn *c)
{
    struct sim *s = c->sim;
    struct sim_end *a = &c->ends[0], *b = &c->ends[1];
    if (a->closed || a->dead) return;
    if (b->host->state == HOST_ENDED || b->host->crashed || is_cut_somehow(s, a->host, b->host)) {
        try_again(c);
        return;
    }
    struct sim_sock *l = sim_sock_listener(b->host, &b->addr);
    sim_tell(s, l ? "knock" : "nobody", c->id, ntohs(b->addr.sin_port));
    if (!l) {
        later(c, sim_link_delay(s, sim_link_of(s, b->host, a->host)), conn_refuse);
        return;
    }
    if (l->waiting_count >= l->backlog) {
        try_again(c);
        return;
    }
    l->waiting[l->waiting_count++] = b;
    sim_conn_ref(c);
    open_ends(c);
    sim_sock_answer_accepts(l);
}

static void knock(void *arg)
{
    struct sim_conn *c = arg;
    knock_at(c);
    sim_conn_unref(c);
}

static void attempt_at(struct sim_conn *c)
{
    struct sim *s = c->sim;
    struct sim_end *a = &c->ends[0], *b = &c->ends[1];
    if (a->closed || a->dead) return;
    if (a->host->crashed) {
        fail(c, ENETDOWN);
        return;
    }
    bool loopback = ntohl(b->addr.sin_addr.s_addr) >> 24 == 127;
    b->host = loopback ? a->host : sim_host_find(s, b->addr.sin_addr.s_addr);
    if (!b->host) fail(c, EHOSTUNREACH);
    else if (is_cut_somehow(s, a->host, b->host)) try_again(c);
    else later(c, sim_link_delay(s, sim_link_of(s, a->host, b->host)), knock);
}

static void attempt(void *arg)
{
    struct sim_conn *c = arg;
    attempt_at(c);
    sim_conn_unref(c);
}

int sim_conn_start(struct sim_sock *s, struct op *op, const struct sockaddr_in *addr)
{
    int err = sim_sock_autobind(s);
    if (err) return err;
    struct sim_conn *c = sim_conn_ref(sim_conn_new(s->host->sim));
    struct sim_end *e = &c->ends[0];
    e->host = s->host;
    e->sock = s;
    e->addr = s->local;
    c->ends[1].addr = *addr;
    s->end = e;
    s->peer = *addr;
    s->state = SOCK_CONNECTING;
    s->connecting = op;
    later(c, 0, attempt);
    return 0;
}
