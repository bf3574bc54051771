/* SPDX-License-Identifier: MIT
 *
 * What the scenarios over frames share: stacks of every configuration, hosts, and looking at a stack's counters.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "tests/sim/sim_test.h"

#include "tcp/stack.h"

/* Stacks differ from seed to seed: with and without each option, with every controller, small buffers and large. */
static inline struct stack_config random_stack(struct rng *r)
{
    static const char *const controllers[] = {"cubic", "newreno", "none", "bbr"};
    static const uint32_t buffers[] = {4096, 16384, 65536, 1u << 20};
    struct stack_config sc = {.arp = true, .ipv6 = true, .icmp_echo = true};
    sc.cc = controllers[rng_below(r, 4)];
    sc.no_timestamps = rng_below(r, 4) == 0;
    sc.no_sack = rng_below(r, 4) == 0;
    sc.no_wscale = rng_below(r, 4) == 0;
    sc.ask_ecn = rng_below(r, 2);
    sc.mtu = rng_below(r, 3) ? 1500 : (uint16_t)(576 + rng_below(r, 8500));
    sc.ipv6 = sc.mtu >= 1280;
    sc.limits.rcv_buffer = buffers[rng_below(r, 4)];
    sc.limits.snd_buffer = 4u << 20;
    return sc;
}

static inline struct stack_config usual_stack(void)
{
    return (struct stack_config){.arp = true, .ipv6 = true, .icmp_echo = true};
}

static inline struct sim_host *add_usual_net_host(struct sim *s, const char *addr, int (*fn)(void *arg), void *arg)
{
    return sim_net_host_add(s, addr, NULL, fn, arg);
}

static inline struct sim_host *add_random_net_host(struct sim *s, const char *addr, int (*fn)(void *arg), void *arg)
{
    struct stack_config sc = random_stack(sim_rng(s));
    return sim_net_host_add(s, addr, &sc, fn, arg);
}

struct wanted_counter {
    const char *name;
    uint64_t value;
    bool found;
};

static inline void look_at_counter(void *arg, const char *name, const uint64_t *value)
{
    struct wanted_counter *c = arg;
    if (strcmp(name, c->name)) return;
    c->value = *value;
    c->found = true;
}

/* Of a host that has not ended. */
static inline uint64_t counter_of(struct world *w, const struct sim_host *h, const char *name)
{
    struct wanted_counter c = {.name = name};
    struct net_stack *s = sim_net_host_stack(h);
    if (s) stack_counters(s, look_at_counter, &c);
    check(w, c.found, "no counter %s", name);
    return c.value;
}

#endif
