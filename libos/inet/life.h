/* SPDX-License-Identifier: MIT
 *
 * The life of a device under a stack: it starts, loses its carrier, is switched off, goes, comes back, changes its MTU
 * or its address. Each is a line in the log, a counter and a state; the stack follows.
 *
 *            carrier lost            switched off              removed
 *     UP <----------------> NO_CARRIER      UP <-------> DOWN      any --------> GONE ----> UP (taken back: "returned")
 */
#ifndef INET_LIFE_H
#define INET_LIFE_H

#include "alloc/base/wheel.h"
#include "libos/runtime/runtime.h"
#include "tcp/addr.h"
#include "tcp/netdev.h"

#define LIFE_OWNED_MAX 20 /* 16 addresses, DHCP, IPv6's own, and the device */
#define LIFE_NAME_MAX  80

struct inet;

struct life {
    bool runs;
    const char *name; /* "packet" */
    struct inet *inet;
    struct fd_watch news; /* the device's descriptor for them */
    bool watched;
    struct timer timer; /* … or else a look now and then */
    enum netdev_link link;
    uint64_t returned_seen;
    char why[NETDEV_WHY_SIZE]; /* what was said last of a device that cannot be taken back */
    /* Checksums that were wrong; warned of once. */
    const uint64_t *bad_tcp, *bad_udp, *bad_ip;
    bool warned;
    unsigned owned_count;
    char owned[LIFE_OWNED_MAX][LIFE_NAME_MAX];
    uint64_t up, carrier_lost, went_down, gone, mtu_changed, mac_changed;
};

/* Claims the addresses in use for this process. -EADDRINUSE: another has one of them, why (KEYS_WHY_SIZE) says who. */
int life_own(struct inet *in, const char *name, bool dhcp, bool ipv6, char *why);
/* Says what has been started, and watches it from here on. */
void life_start(struct inet *in, const char *name);
void life_stop(struct inet *in);
/* DHCP or IPv6's own ways have given us an address, or taken one. */
void life_address(struct inet *in, const struct ip_addr *a, unsigned bits, bool gone);
void life_warn_checksums(struct life *l);

/* After frames came in: many with wrong checksums, and nobody would know why nothing works. */
static inline void life_check_sums(struct life *l)
{
    if (__builtin_expect(!l->warned && *l->bad_tcp + *l->bad_udp + *l->bad_ip != 0, 0)) life_warn_checksums(l);
}

#endif
