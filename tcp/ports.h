/* SPDX-License-Identifier: MIT
 *
 * Ports of active opens, hard to guess: RFC 6056 3.3.4, its algorithm 4 (double hash). One keyed hash of addresses and
 * remote port says where the search begins, another which of many counters goes on from there; so a peer sees ports
 * that go up one by one (and an old four-tuple is reused as late as can be), and what it sees tells nothing of the
 * ports towards others.
 */
#ifndef TCP_PORTS_H
#define TCP_PORTS_H

#include "tcp/addr.h"

#define PORTS_LOW_DEFAULT  32768
#define PORTS_HIGH_DEFAULT 60999
#define PORTS_CLOCKS       256

struct ports { /* private */
    uint16_t low, high;
    uint32_t clocks[PORTS_CLOCKS];
};

/* Ports low to high, both included; 0, 0: the defaults. -EINVAL: high is below low, or low is 0. */
int ports_init(struct ports *p, uint16_t low, uint16_t high, const uint8_t key[16]);

/* A port for which in_use(arg, port) says no. remote may be all zeros (a UDP socket without a peer). in_use is asked
 * at most once for each port of the range, and twice or so as long as the range is half empty. -EADDRINUSE: it said
 * yes to all. */
typedef bool (*ports_in_use_fn)(void *arg, uint16_t port);
int ports_choose(struct ports *p, const struct ip_addr *local, const struct ip_port *remote, const uint8_t key[16],
                 ports_in_use_fn in_use, void *arg, uint16_t *out);

#endif
