/* SPDX-License-Identifier: MIT
 *
 * The clock, the links and the loop of the simulation.
 */
#include "libos/sim/world.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"
#include "libos/sim/disk_line.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MICROSECOND ((uint64_t)1000)
#define MILLISECOND ((uint64_t)1000000)

static const struct sim_link usual = {
    .delay_ns = 20 * MICROSECOND,
    .jitter_ns = 100 * MICROSECOND,
    .segment_max = 1448,
    .window = 65536,
};

struct sim *sim_new(uint64_t seed)
{
    struct sim *s = calloc(1, sizeof *s);
    ASSERT(s);
    s->now = SIM_START_NS;
    s->trace = seed;
    s->everywhere = usual;
    s->tells = getenv("SIM_TRACE");
    rng_seed(&s->rng, seed);
    list_init(&s->conns);
    list_init(&s->dgrams);
    list_init(&s->disks);
    s->self = context_new_self();
    ASSERT(s->self);
    return s;
}

void sim_free(struct sim *s)
{
    for (unsigned i = 0; i < s->host_count; i++) sim_host_end(s->hosts[i]); /* each may still speak to another */
    for (unsigned i = 0; i < s->host_count; i++) sim_host_free(s->hosts[i]);
    sim_net_free(s);
    list_for_each_safe(it, &s->conns) sim_conn_free(list_entry(it, struct sim_conn, all));
    list_for_each_safe(it, &s->dgrams) free(list_entry(it, struct sim_dgram, all));
    list_for_each_safe(it, &s->disks) sim_disk_free(list_entry(it, struct sim_disk, all));
    sim_events_free(&s->events);
    for (unsigned a = 0; a < SIM_HOSTS_MAX; a++)
        for (unsigned b = 0; b < SIM_HOSTS_MAX; b++) free(s->links[a][b]);
    context_free(s->self);
    free(s->gates);
    free(s);
}

uint64_t sim_now(const struct sim *s) { return s->now; }
struct rng *sim_rng(struct sim *s) { return &s->rng; }
uint64_t sim_trace(const struct sim *s) { return s->trace; }
const struct sim_stats *sim_stats(const struct sim *s) { return &s->stats; }
void sim_note(struct sim *s, uint64_t fact) { s->trace = hash_u64(fact, s->trace); }
bool sim_chance(struct sim *s, uint32_t ppm) { return ppm && rng_below(&s->rng, 1000000) < ppm; }

void sim_tell(struct sim *s, const char *what, uint64_t who, uint64_t n)
{
    s->trace = hash_u64(who, hash_u64(n, hash_u64(s->now, s->trace)));
    if (!s->tells) return;
    fprintf(stderr, "%12.6f ms  %-9s %4llu %llu\n", (double)(s->now - SIM_START_NS) / 1e6, what,
            (unsigned long long)who, (unsigned long long)n);
}

/* --- links -------------------------------------------------------------------------------------------------------- */

const struct sim_link *sim_link_of(const struct sim *s, const struct sim_host *from, const struct sim_host *to)
{
    const struct sim_link *l = from && to ? s->links[from->index][to->index] : NULL;
    return l ? l : &s->everywhere;
}

uint64_t sim_link_delay(struct sim *s, const struct sim_link *l)
{
    return l->delay_ns + rng_below(&s->rng, l->jitter_ns + 1);
}

static void set_one(struct sim *s, unsigned a, unsigned b, const struct sim_link *l)
{
    if (!s->links[a][b]) s->links[a][b] = malloc(sizeof *l);
    ASSERT(s->links[a][b]);
    *s->links[a][b] = *l;
}

void sim_link_set(struct sim *s, struct sim_host *a, struct sim_host *b, const struct sim_link *l)
{
    ASSERT(l->segment_max > 0 && l->window > 0);
    if (!a) {
        s->everywhere = *l;
        return;
    }
    set_one(s, a->index, b->index, l);
    set_one(s, b->index, a->index, l);
}

struct sim_link sim_link_random(struct sim *s)
{
    static const uint64_t delays[] = {0, 10 * MICROSECOND, 200 * MICROSECOND, 5 * MILLISECOND, 80 * MILLISECOND};
    static const uint32_t segments[] = {1, 7, 100, 1448, 16384, 65536};
    static const uint32_t windows[] = {64, 1000, 16384, 65536, 1u << 20};
    struct rng *r = &s->rng;
    struct sim_link l = {.delay_ns = delays[rng_below(r, 5)],
                         .jitter_ns = delays[rng_below(r, 4)],
                         .segment_max = segments[rng_below(r, 6)],
                         .window = windows[rng_below(r, 5)]};
    if (rng_below(r, 2)) l.pause_ns = delays[1 + rng_below(r, 3)], l.pause_ppm = (uint32_t)rng_below(r, 500000);
    return l;
}

bool sim_link_is_cut(const struct sim *s, const struct sim_host *from, const struct sim_host *to)
{
    return from && to && s->cut[from->index][to->index];
}

void sim_cut_oneway(struct sim *s, struct sim_host *from, struct sim_host *to)
{
    sim_tell(s, "cut", from->index, to->index);
    s->cut[from->index][to->index] = true;
}

void sim_cut(struct sim *s, struct sim_host *a, struct sim_host *b)
{
    sim_cut_oneway(s, a, b);
    sim_cut_oneway(s, b, a);
}

uint64_t *sim_gate_of(const struct sim *s, const struct sim_host *from, const struct sim_host *to)
{
    if (!s->gates || !from || !to) return NULL;
    uint64_t *g = &s->gates[from->index * SIM_HOSTS_MAX + to->index];
    return *g == SIM_NEVER ? NULL : g;
}

uint64_t sim_gate_left(const struct sim *s, const struct sim_host *from, const struct sim_host *to)
{
    const uint64_t *g = sim_gate_of(s, from, to);
    return g ? *g : SIM_NEVER;
}

void sim_gate(struct sim *s, struct sim_host *from, struct sim_host *to, uint64_t bytes)
{
    if (!s->gates) {
        s->gates = malloc(SIM_HOSTS_MAX * SIM_HOSTS_MAX * sizeof *s->gates);
        ASSERT(s->gates);
        memset(s->gates, 0xff, SIM_HOSTS_MAX * SIM_HOSTS_MAX * sizeof *s->gates); /* SIM_NEVER */
    }
    sim_tell(s, "gate", from->index, to->index);
    s->gates[from->index * SIM_HOSTS_MAX + to->index] = bytes;
    list_for_each(it, &s->conns)
    {
        struct sim_conn *c = list_entry(it, struct sim_conn, all);
        for (int i = 0; i < 2; i++)
            if (c->ends[i].host == from && c->ends[1 - i].host == to) sim_end_transmit_later(&c->ends[i]);
    }
}

static bool is_between(const struct sim_conn *c, const struct sim_host *a, const struct sim_host *b)
{
    const struct sim_host *x = c->ends[0].host, *y = c->ends[1].host;
    return (x == a && y == b) || (x == b && y == a);
}

void sim_heal(struct sim *s, struct sim_host *a, struct sim_host *b)
{
    sim_tell(s, "heal", a->index, b->index);
    s->cut[a->index][b->index] = s->cut[b->index][a->index] = false;
    list_for_each(it, &s->conns)
    {
        struct sim_conn *c = list_entry(it, struct sim_conn, all);
        if (!is_between(c, a, b)) continue;
        sim_wire_heal(&c->ends[0]);
        sim_wire_heal(&c->ends[1]);
    }
}

void sim_reset(struct sim *s, struct sim_host *a, struct sim_host *b)
{
    list_for_each_safe(it, &s->conns)
    {
        struct sim_conn *c = list_entry(it, struct sim_conn, all);
        if (is_between(c, a, b)) sim_conn_break(c);
    }
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

void sim_at(struct sim *s, uint64_t at_ns, void (*fn)(void *arg), void *arg)
{
    sim_events_add(&s->events, at_ns, fn, arg);
}

int sim_run(struct sim *s, uint64_t until_ns)
{
    struct runtime *before = runtime_enter(NULL);
    struct sim_event e;
    int err = 0;
    while (s->live) {
        if (sim_events_next(&s->events) > until_ns) {
            err = s->events.count ? -ETIMEDOUT : -EDEADLK;
            break;
        }
        sim_events_take(&s->events, &e);
        if (e.at > s->now) s->now = e.at; /* programs take time: an event may be overdue */
        s->stats.events++;
        e.fn(e.arg);
    }
    if (err && s->tells) sim_net_tell(s);
    runtime_enter(before);
    return err;
}
