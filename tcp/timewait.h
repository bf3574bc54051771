/* SPDX-License-Identifier: MIT
 *
 * Connections in TIME-WAIT (RFC 9293 3.6.1): 2 MSL in which a repeated FIN still gets its ACK, and old segments cannot
 * reach a new incarnation. A record instead of a struct conn; bounded, the oldest goes first.
 */
#ifndef TCP_TIMEWAIT_H
#define TCP_TIMEWAIT_H

#include "alloc/base/list.h"
#include "tcp/conn.h"

struct timewait_rec {
    struct timewait_rec *next; /* of the same bucket */
    struct list link;          /* by time of its end */
    struct ip_addr local, remote;
    uint32_t ports; /* conn_ports() */
    uint32_t hash;
    tcp_seq snd_nxt, rcv_nxt;
    uint32_t ts_recent, ts_offset;
    nsec started;    /* now, or when a FIN came again */
    uint16_t window; /* the field as it was last told */
    bool has_ts;
    uint8_t hops, tos, wscale; /* wscale: of `window` */
};
_Static_assert(sizeof(struct timewait_rec) <= 96, "closing in masses pays this each");

int timewait_init(struct net_stack *s);
void timewait_fini(struct net_stack *s);
struct timewait_rec *timewait_find(const struct net_stack *s, uint32_t hash, const struct ip_addr *local,
                                   const struct ip_addr *remote, uint32_t ports);
/* For tests. */
uint32_t timewait_count(const struct net_stack *s);
/* c, whose FIN and the peer's are acknowledged, leaves this behind. NULL: out of memory (then it just ends). */
struct timewait_rec *timewait_add(struct conn *c);
void timewait_remove(struct net_stack *s, struct timewait_rec *w);
void timewait_remove_address(struct net_stack *s, const struct ip_addr *a);
/* Another 2 MSL (a FIN came again). */
void timewait_restart(struct net_stack *s, struct timewait_rec *w);
void timewait_send_ack(struct net_stack *s, struct timewait_rec *w);
void timewait_check(const struct net_stack *s);

#endif
