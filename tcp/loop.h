/* SPDX-License-Identifier: MIT
 *
 * Packets to our own addresses. They wait in a bounded queue and come in when the next burst does or the clock goes on,
 * never inside the call that sends them: sending from a hook cannot recurse, and two connections of one stack that talk
 * to each other take turns.
 */
#ifndef TCP_LOOP_H
#define TCP_LOOP_H

#include "tcp/stack_impl.h"

int loop_init(struct net_stack *s);
void loop_fini(struct net_stack *s);
/* An IP packet of len bytes; takes b. */
void loop_push(struct net_stack *s, struct buf *b, uint32_t len);
/* Delivers what waits, at most as many as were there at the call. */
void loop_run(struct net_stack *s);
static inline bool loop_is_empty(const struct net_stack *s) { return s->ip.loop.head == s->ip.loop.tail; }

#endif
