/* SPDX-License-Identifier: MIT
 *
 * The simulator: several programs over demi/, each with a runtime and a stack of its own, in one thread, joined by a
 * network that exists only here, under one clock that jumps from event to event. All chance comes from one seed, and
 * nothing that happens in it depends on anything else: a run can be repeated as often as one likes. README.md says how
 * to write a scenario.
 *
 * A host is `int fn(void *arg)`, written against demi_*() as for any libOS; the runtime is there already (no
 * demi_init()), demi_exit() is optional. It runs until it waits for something that is not there yet; then the next
 * event's host does.
 *
 * Streams split anywhere, are late, stall while the receiver's window is full, break, and are cut by partitions, but
 * never lose order. Datagrams are lost, doubled and overtaken. Addresses are IPv4. Units: ns, bytes; ppm is of segments
 * or datagrams. Disks are in disk.h.
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
    uint64_t frames, frames_lost, frames_corrupted, frame_bytes;
    uint64_t stuck; /* operations on sockets still pending when their runtime had closed everything: always a bug */
};

/* Starts at START_NS of the monotonic and 2026-01-01 00:00 UTC of the wall clock. Out of memory the simulator ends
 * the process. */
#define SIM_START_NS ((uint64_t)1000000000)
struct sim *sim_new(uint64_t seed);
/* Programs that have not ended are dropped where they stand: their sockets are closed, what they allocated stays. */
void sim_free(struct sim *s);

/* A host at an address like "10.0.0.1" that no live host has; it runs from the next sim_run() on. */
struct sim_host *sim_host_add(struct sim *s, const char *addr, int (*fn)(void *arg), void *arg);
bool sim_host_ended(const struct sim_host *h);
/* Power fails, or the process is killed: from now on nobody hears from it, what it does has no effect on its disk
 * (disk.h), whose operations fail, and its address is free. Its program still runs, since memory that it has is its to
 * free: it is to be told to end, as programs are. Not from inside of it. */
void sim_host_crash(struct sim_host *h);

/* Both directions between a and b (which may be one host); from NULL: between all hosts, those to come too. */
void sim_link_set(struct sim *s, struct sim_host *a, struct sim_host *b, const struct sim_link *l);
/* A link with settings drawn from the seed: quick to slow, whole segments to single bytes, wide to narrow. Nothing
 * in it breaks. */
struct sim_link sim_link_random(struct sim *s);

/* A host's wall clock is so much ahead of the simulation's, or behind it (us): from the next look at it on. */
void sim_host_skew(struct sim_host *h, int64_t us);

/* Nothing passes between a and b until they are healed; streams go on then, connection attempts give up after a
 * while. */
void sim_cut(struct sim *s, struct sim_host *a, struct sim_host *b);
/* Nothing gets from one to the other, but all the way back: who hears and is not heard. No connection comes about
 * either way. */
void sim_cut_oneway(struct sim *s, struct sim_host *from, struct sim_host *to);
void sim_heal(struct sim *s, struct sim_host *a, struct sim_host *b);
/* Streams, all together, carry so many bytes more from one to the other, and no more until this is called again;
 * SIM_NEVER: as many as they like. */
void sim_gate(struct sim *s, struct sim_host *from, struct sim_host *to, uint64_t bytes);
uint64_t sim_gate_left(const struct sim *s, const struct sim_host *from, const struct sim_host *to);
/* Breaks every connection between a and b; either end hears of it in its own time. */
void sim_reset(struct sim *s, struct sim_host *a, struct sim_host *b);

/* --- a network of frames ---------------------------------------------------------------------------------------------
 *
 * A net host has no simulated sockets but our own stack over a simulated device: what it sends are Ethernet frames,
 * and whatever happens to frames happens to them. All net hosts hang on one switch that knows their MAC addresses;
 * sim_link does not concern them, sim_cut and sim_heal do. */

/* One direction between two net hosts. */
struct sim_wire {
    uint64_t delay_ns, jitter_ns; /* a frame takes delay_ns, and */
    /* up to jitter_ns more, or (exponential) jitter_ns more on average, at most ten times as much */
    bool exponential;
    bool unordered;       /* jitter may let frames overtake each other; else they wait for the one before */
    uint64_t bits_per_s;  /* 0: no limit */
    uint32_t queue_bytes; /* in front of it: what does not fit is lost; 0: 256 KiB */
    uint32_t ce_bytes;    /* a longer queue marks packets that can be (ECN, RFC 3168); 0: never */
    uint32_t loss_ppm;    /* of frames */
    /* every n-th frame of 1,000 bytes or more is lost, without chance: what formulas speak of; 0: none */
    uint32_t lose_nth;
    uint32_t burst_ppm; /* chance that a frame begins a time of up to burst_ns in which all are lost */
    uint64_t burst_ns;
    uint32_t reorder_ppm; /* frames that come reorder_ns later */
    uint64_t reorder_ns;
    uint32_t twice_ppm;
    /* frames of IP in which bits within a run of fifteen are turned over: what a checksum always sees */
    uint32_t corrupt_ppm;
    uint16_t mtu;   /* longer IP packets are lost; 0: no limit */
    bool tells_mtu; /* and ICMP says so */
};

/* sc: how its stack is configured (mac, seed and what the device decides are filled in; mtu 0: 1500), NULL:
 * defaults. addr is IPv4, prefix 8 (with sc->dhcp: the host's name and MAC address only); the host has an IPv6
 * address, too: fd00:: and the same last 32 bits, prefix 64. */
struct stack_config;
struct sim_host *sim_net_host_add(struct sim *s, const char *addr, const struct stack_config *sc, int (*fn)(void *arg),
                                  void *arg);
/* Both directions; from NULL: between all net hosts. */
void sim_wire_set(struct sim *s, struct sim_host *a, struct sim_host *b, const struct sim_wire *w);
/* One direction only. */
void sim_wire_set_oneway(struct sim *s, struct sim_host *from, struct sim_host *to, const struct sim_wire *w);
/* Anything from a good cable to a bad radio; it loses, but lets a patient sender through. */
struct sim_wire sim_wire_random(struct sim *s);

/* Somebody on the switch who is no host but a function: sees the frames sent to its MAC (or to all), and sends what
 * it likes. mac NULL: sees everything. Gone with the simulation. */
struct sim_raw;
struct sim_raw *sim_raw_add(struct sim *s, const uint8_t mac[6],
                            void (*fn)(void *arg, struct sim_raw *r, const uint8_t *frame, size_t n), void *arg);
/* to whom its first six bytes say, without loss, 1 us later */
void sim_raw_send(struct sim_raw *r, const uint8_t *frame, size_t n);
/* 02:00 and its IPv4 address. */
void sim_net_host_mac(const struct sim_host *h, uint8_t mac[6]);
/* The host's stack, for what only the inside shows. NULL: it has ended. */
struct net_stack;
struct net_stack *sim_net_host_stack(const struct sim_host *h);

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
