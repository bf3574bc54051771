/* SPDX-License-Identifier: MIT
 *
 * Hosts: a runtime, a stack, and when they run.
 *
 * A host runs until its runtime is idle (host_idle) or until something became due while it worked (host_poll: each look
 * at the clock moves it by the host's tick, so that work takes time). Whoever is woken runs a little later, so that
 * several things may have happened by then.
 */
#include "libos/sim/world.h"

#include "alloc/base/assert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STACK_BYTES   (1u << 20)
#define WAKE_NS_MAX   50000
#define TICK_NS_MIN   50
#define TICK_NS_SPAN  2000
#define WALL_START_US ((int64_t)1767225600 * 1000000) /* 2026-01-01 00:00 UTC */
#define PORT_FIRST    32768

static uint64_t host_clock(void *arg)
{
    struct sim_host *h = arg;
    if (h->state == HOST_RUNNING) h->sim->now += h->tick_ns;
    return h->sim->now;
}

static int64_t host_wall(void *arg)
{
    const struct sim_host *h = arg;
    return WALL_START_US + (int64_t)((h->sim->now - SIM_START_NS) / 1000) + h->skew_us;
}

void sim_host_skew(struct sim_host *h, int64_t us)
{
    sim_tell(h->sim, "skew", h->index, (uint64_t)us);
    h->skew_us = us;
}

/* The host's stack gives way to the scheduler's. */
static void leave(struct sim_host *h)
{
    h->state = HOST_IDLE;
    context_switch(h->stack, h->sim->self);
}

static void host_run(struct sim_host *h)
{
    struct sim *s = h->sim;
    s->stats.switches++;
    sim_tell(s, "run", h->index, 0);
    h->resume_due = false;
    h->state = HOST_RUNNING;
    runtime_enter(h->rt);
    context_switch(s->self, h->stack);
    runtime_enter(NULL);
}

static void resume(void *arg)
{
    struct sim_host *h = arg;
    if (h->state == HOST_IDLE && h->resume_due) host_run(h);
}

static void resume_at(struct sim_host *h, uint64_t at)
{
    h->resume_due = true;
    sim_events_add(&h->sim->events, at, resume, h);
}

void sim_host_wake(struct sim_host *h)
{
    if (h->state != HOST_IDLE || h->resume_due) return;
    resume_at(h, h->sim->now + rng_below(&h->sim->rng, WAKE_NS_MAX));
}

static void alarm_rings(void *arg);

static void set_alarm(struct sim_host *h)
{
    if (h->deadline >= h->alarm_at) return; /* one that rings before is there, and sets the next */
    h->alarm_at = h->deadline;
    sim_events_add(&h->sim->events, h->alarm_at, alarm_rings, h);
}

static void alarm_rings(void *arg)
{
    struct sim_host *h = arg;
    if (h->alarm_at <= h->sim->now) h->alarm_at = SIM_NEVER;
    if (h->state != HOST_IDLE || h->resume_due) return;
    if (h->sim->now >= h->deadline) host_run(h);
    else set_alarm(h);
}

static int host_idle(void *arg, uint64_t deadline)
{
    struct sim_host *h = arg;
    if (h->state != HOST_RUNNING) return -ECANCELED; /* sim_free() takes it down where it stands */
    h->deadline = deadline;
    set_alarm(h);
    leave(h);
    return 0;
}

/* --- the libOS's share of a turn ---------------------------------------------------------------------------------- */

static unsigned host_poll(struct libos *l)
{
    struct sim_host *h = ((struct sim_libos *)l)->host;
    if (h->state != HOST_RUNNING || sim_events_next(&h->sim->events) > h->sim->now) return 0;
    resume_at(h, h->sim->now);
    leave(h);
    return 0;
}

static void host_flush(struct libos *l)
{
    struct sim_libos *sl = (struct sim_libos *)l;
    for (struct list *it; (it = list_pop_front(&sl->dirty));) sim_stream_flush(list_entry(it, struct sim_sock, dirty));
}

static int net_socket(struct libos *l, int domain, int type, int protocol, struct queue **out)
{
    if (domain != AF_INET || !((struct sim_libos *)l)->sockets) return -EAFNOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM) return -ESOCKTNOSUPPORT;
    struct sim_sock *s = sim_sock_new(((struct sim_libos *)l)->host, type == SOCK_DGRAM);
    if (!s) return -EMFILE;
    *out = &s->q;
    return 0;
}

static int net_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct sim_libos *sl = calloc(1, sizeof *sl);
    if (!sl) return -ENOMEM;
    list_init(&sl->dirty);
    *out = &sl->base;
    return 0;
}

/* Every queue is closed: whatever is pending on a socket now will never end. */
static uint64_t count_stuck(const struct runtime *rt)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < rt->ops.chunk_count * OP_CHUNK; i++) {
        const struct op *op = op_at(&rt->ops, i);
        n += op->state == OP_PENDING && op->opcode >= DEMI_OPC_PUSH && op->opcode <= DEMI_OPC_CONNECT;
    }
    return n;
}

static void net_stop(struct libos *l)
{
    struct sim_libos *sl = (struct sim_libos *)l;
    sl->host->sim->stats.stuck += count_stuck(l->rt);
    sl->host->rt = NULL;
    free(sl);
}

static const struct libos_ops net_ops = {
    .name = "sim",
    .start = net_start,
    .stop = net_stop,
    .socket = net_socket,
    .poll = host_poll,
    .flush = host_flush,
};

/* --- life --------------------------------------------------------------------------------------------------------- */

static void host_main(void *arg)
{
    struct sim_host *h = arg;
    h->result = h->fn(h->arg);
    if (h->rt) runtime_free(h->rt);
    runtime_enter(NULL);
    sim_tell(h->sim, "ended", h->index, (uint64_t)h->result);
    h->state = HOST_ENDED;
    h->sim->live--;
    context_exit(h->stack, h->sim->self);
}

struct sim_host *sim_host_find(const struct sim *s, in_addr_t addr)
{
    for (unsigned i = 0; i < s->host_count; i++)
        if (s->hosts[i]->state != HOST_ENDED && !s->hosts[i]->crashed && s->hosts[i]->addr == addr) return s->hosts[i];
    return NULL;
}

struct sim_host *sim_host_new(struct sim *s, const char *addr, int (*fn)(void *arg), void *arg, bool sockets)
{
    ASSERT(s->host_count < SIM_HOSTS_MAX);
    struct sim_host *h = calloc(1, sizeof *h);
    ASSERT(h);
    h->sim = s;
    h->index = s->host_count;
    h->fn = fn;
    h->arg = arg;
    h->alarm_at = h->deadline = SIM_NEVER;
    h->tick_ns = TICK_NS_MIN + rng_below(&s->rng, TICK_NS_SPAN);
    h->next_port = (uint16_t)(PORT_FIRST + rng_below(&s->rng, 1000));
    list_init(&h->socks);
    strncpy(h->name, addr, sizeof h->name - 1);
    bool is_address = inet_pton(AF_INET, addr, &h->addr) == 1;
    ASSERT(is_address);
    ASSERT(!sim_host_find(s, h->addr));
    struct runtime_ops time = {.now_ns = host_clock, .idle = host_idle, .wall_us = host_wall, .arg = h};
    int err = runtime_new(&h->rt, &time, h->index);
    if (!err) err = runtime_add_libos(h->rt, &net_ops, NULL);
    ASSERT(!err);
    struct sim_libos *sl = (struct sim_libos *)h->rt->libos[0];
    sl->host = h;
    sl->sockets = sockets;
    h->stack = context_new(host_main, h, STACK_BYTES);
    ASSERT(h->stack);
    s->hosts[s->host_count++] = h;
    s->live++;
    resume_at(h, s->now + rng_below(&s->rng, WAKE_NS_MAX));
    return h;
}

struct sim_host *sim_host_add(struct sim *s, const char *addr, int (*fn)(void *arg), void *arg)
{
    return sim_host_new(s, addr, fn, arg, true);
}

void sim_host_crash(struct sim_host *h)
{
    struct sim *s = h->sim;
    if (h->state == HOST_ENDED || h->crashed) return;
    ASSERT(h->state == HOST_IDLE);
    sim_tell(s, "crash", h->index, 0);
    h->crashed = true;
    list_for_each_safe(it, &s->conns)
    {
        struct sim_conn *c = list_entry(it, struct sim_conn, all);
        sim_conn_ref(c);
        for (int i = 0; i < 2; i++)
            if (c->ends[i].host == h && c->ends[1 - i].host) sim_conn_lose(&c->ends[i]);
        sim_conn_unref(c);
    }
    if (h->disk) sim_disk_crash(h->disk);
    sim_host_wake(h);
}

bool sim_host_ended(const struct sim_host *h) { return h->state == HOST_ENDED; }

void sim_host_end(struct sim_host *h)
{
    if (h->rt) runtime_free(h->rt);
}

void sim_host_free(struct sim_host *h)
{
    context_free(h->stack);
    free(h);
}
