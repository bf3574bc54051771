/* SPDX-License-Identifier: MIT
 *
 * The simulator: several programs over demi/, each with a runtime and a stack of its own, in one thread, joined by a network that
 * exists only here, under one clock that jumps from event to event. All chance comes from one seed, and nothing that happens in it depends on
 * anything else: a run can be repeated as often as one likes. README.md says how to write a scenario.
 *
 * A host is `int fn(void *arg)`, written against demi_*() as for any libOS; the runtime is there already (no demi_init()), demi_exit() is
 * optional. It runs until it waits for something that is not there yet; then the next event's host does.
 *
 * Streams split anywhere, are late, stall while the receiver's window is full, break, and are cut by partitions, but never
 * lose order. Datagrams are lost, doubled and overtaken. Addresses are IPv4. Units: ns, bytes; ppm is of segments or datagrams.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "alloc/base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;
struct sim_host;

#define SIM_HOSTS_MAX 64
#define SIM_NEVER     UINT64_MAX

/* One direction between two hosts. */
struct sim_link {
    uint64_t delay_ns, jitter_ns; /* a segment takes delay_ns and up to jitter_ns more */
    uint32_t segment_max;         /* a segment has 1 to so many bytes */
    uint32_t window;              /* of a stream: on the way or not popped yet; of new connections */
    uint64_t pause_ns;            /* after pause_ppm of the segments the sender rests, up to so long */
    uint32_t pause_ppm;
    uint32_t reset_ppm;           /* segments that take their connection down */
    uint32_t loss_ppm, twice_ppm; /* datagrams */
};

struct sim_stats {
    uint64_t events, switches, segments, bytes, resets, refused, datagrams, datagrams_lost;
    uint64_t stuck; /* operations on sockets still pending when their runtime had closed everything: always a bug */
};

/* Starts at START_NS of the monotonic and 2026-01-01 00:00 UTC of the wall clock. Out of memory the simulator ends the process. */
#define SIM_START_NS ((uint64_t)1000000000)
struct sim *sim_new(uint64_t seed);
/* Programs that have not ended are dropped where they stand: their sockets are closed, what they allocated stays. */
void sim_free(struct sim *s);

/* A host at an address like "10.0.0.1" that no live host has; it runs from the next sim_run() on. */
struct sim_host *sim_host_add(struct sim *s, const char *addr, int (*fn)(void *arg), void *arg);
bool sim_host_ended(const struct sim_host *h);
int sim_host_result(const struct sim_host *h); /* what fn returned */

/* Both directions between a and b (which may be one host); from NULL: between all hosts, those to come too. */
void sim_link_set(struct sim *s, struct sim_host *a, struct sim_host *b, const struct sim_link *l);
/* A link with settings drawn from the seed: quick to slow, whole segments to single bytes, wide to narrow. Nothing in it breaks. */
struct sim_link sim_link_random(struct sim *s);

/* Nothing passes between a and b until they are healed; streams go on then, connection attempts give up after a while. */
void sim_cut(struct sim *s, struct sim_host *a, struct sim_host *b);
void sim_heal(struct sim *s, struct sim_host *a, struct sim_host *b);
/* Breaks every connection between a and b; either end hears of it in its own time. */
void sim_reset(struct sim *s, struct sim_host *a, struct sim_host *b);

/* Runs fn(arg) at `at_ns`, outside of any host: it may cut, heal, reset, add hosts. */
void sim_at(struct sim *s, uint64_t at_ns, void (*fn)(void *arg), void *arg);

/* Until every host has ended: 0; -ETIMEDOUT: the clock reached until_ns; -EDEADLK: nothing will ever happen again. */
int sim_run(struct sim *s, uint64_t until_ns);

uint64_t sim_now(const struct sim *s);
/* For whatever a scenario decides by chance. Drawing from it is part of the run. */
struct rng *sim_rng(struct sim *s);
/* Of everything that has happened so far, with times and bytes. The same seed and programs: the same. */
uint64_t sim_trace(const struct sim *s);
/* Makes a fact of the scenario's part of the trace. */
void sim_note(struct sim *s, uint64_t fact);
const struct sim_stats *sim_stats(const struct sim *s);

#endif
