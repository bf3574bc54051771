/* SPDX-License-Identifier: MIT
 *
 * Which local ports are ours on an interface that the kernel uses, too. Two programs in the kernel follow from it:
 *
 *     frame --> our socket's filter (filter.c): ours? --> ring --> stack
 *          \--> guard (guard.c): ours? dropped        --> the kernel's own stack, which would answer with a reset
 */
#ifndef PACKET_CLAIMS_H
#define PACKET_CLAIMS_H

#include "alloc/base/bytes.h"

enum { CLAIMS_TCP, CLAIMS_UDP, CLAIMS_PROTOS };
#define CLAIMS_WORDS 1024 /* of 64 ports, a protocol */

struct claims {
    uint64_t bits[CLAIMS_PROTOS][CLAIMS_WORDS];
    unsigned count[CLAIMS_PROTOS]; /* of single ports */
    bool ephemeral[CLAIMS_PROTOS]; /* every port from ephemeral_first on */
    uint16_t ephemeral_first;      /* the first above those the kernel gives to its own sockets */
};

/* Reads the kernel's range of ports. */
void claims_init(struct claims *c);
/* proto: IPPROTO_TCP or IPPROTO_UDP; port 0: all from ephemeral_first on. -EINVAL, -EPROTONOSUPPORT. 1: something
 * has changed. */
int claims_set(struct claims *c, uint8_t proto, uint16_t port, bool on);
static inline bool claims_has(const struct claims *c, unsigned which, uint16_t port)
{
    return c->bits[which][port >> 6] >> (port & 63) & 1 || (c->ephemeral[which] && port >= c->ephemeral_first);
}
/* 64 ports at once, as the guard's map holds them. */
uint64_t claims_word(const struct claims *c, unsigned which, unsigned word);

#endif
