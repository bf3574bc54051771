/* SPDX-License-Identifier: MIT
 *
 * What fragmentation needs of path.c.
 */
#ifndef TCP_PATH_IMPL_H
#define TCP_PATH_IMPL_H

#include "tcp/stack_impl.h"

/* Fills in a path without asking whether src is ours or dst can be reached: for what is sent before we have an
 * address. */
void path_prepare(struct path *p, const struct path_ends *ends, uint8_t proto, uint8_t hops);
/* Write the header at `at`. */
void path_write_ip4(const struct path *p, uint8_t *at, uint32_t l4_len, uint16_t id, uint16_t frag, uint8_t tos);
void path_write_ip6(const struct path *p, uint8_t *at, uint32_t payload, uint8_t next, uint8_t tos, uint32_t flow);
uint32_t path_flow(const struct net_stack *s, const struct path *p, uint32_t ports);
/* Over an L4 packet that b begins with, into its header. */
void path_write_checksum(const struct path *p, struct buf *b, uint32_t len);
/* f->b begins with 14 bytes for the Ethernet header, then IP. Takes f->b. */
void path_send_frame(struct net_stack *s, struct path *p, const struct frame *f);

#endif
