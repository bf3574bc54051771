/* SPDX-License-Identifier: MIT
 *
 * What only one process of a machine may have at a time: an address on an interface, a TAP device, a socket file's end.
 * Two stacks with one address would answer each other's segments with resets, so the second to come is refused before
 * it has done anything.
 */
#ifndef INET_OWNER_H
#define INET_OWNER_H

#include <stddef.h>
#include <stdint.h>

#define OWNER_WHO_SIZE 64

/* `what` ("address/3/10.0.0.2") is this process's until as many owner_give(): its threads count together. -EADDRINUSE:
 * another process of this network namespace has it, who (may be NULL) names it, "redis-server (pid 17)" or "another
 * process". -ENOMEM. Where it cannot be found out (no descriptors), it is given: this guards against slips, not against
 * malice. */
int owner_take(const char *what, char *who, size_t who_size);
void owner_give(const char *what);

/* Who has a socket with this inode, as far as we may see. */
void owner_of_inode(uint64_t inode, char *who, size_t who_size);

#endif
