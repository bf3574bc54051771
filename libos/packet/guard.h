/* SPDX-License-Identifier: MIT
 *
 * Keeps the kernel's own stack from seeing frames to our ports, which it would answer with a reset: on an interface
 * that has an address of the kernel's. A small eBPF program at the interface's ingress (TCX, Linux 6.6), behind the
 * taps our socket is one of, drops them. It goes away with the descriptors, also when the process is killed.
 */
#ifndef PACKET_GUARD_H
#define PACKET_GUARD_H

#include "libos/packet/claims.h"

struct guard { /* private */
    int map, program, link;
};

/* -EPERM: not without CAP_BPF and CAP_NET_ADMIN; -EINVAL and others: a kernel that has no TCX. *step says what
 * failed. */
int guard_open(struct guard *g, int ifindex, const char **step);
int guard_update(struct guard *g, const struct claims *c, uint8_t proto, uint16_t port);
/* All of the claims, for a guard that was just opened. */
int guard_update_all(struct guard *g, const struct claims *c);
void guard_close(struct guard *g); /* of one that was never opened, too, if link is -1 */

#endif
