/* SPDX-License-Identifier: MIT
 *
 * Ports of an interface that we share with the kernel, held in the kernel, too: who uses the kernel's sockets and who
 * uses our stack see each other, and so do two processes with a stack each.
 */
#ifndef INET_KPORT_H
#define INET_KPORT_H

#include <stdint.h>

/* Port `port` (host order) of IPPROTO_TCP or UDP is this process's on every address the kernel has on the interface,
 * until as many kport_give(). -EADDRINUSE: somebody has it already; one line in the log names him, as far as he can be
 * found. What the kernel refuses for other reasons is not held, and no error. */
int kport_take(unsigned ifindex, uint8_t proto, uint16_t port);
void kport_give(unsigned ifindex, uint8_t proto, uint16_t port);
/* The interface has come back under another number: what was held is held there, as far as it is free. */
void kport_move(unsigned from, unsigned to);

#endif
