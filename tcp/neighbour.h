/* SPDX-License-Identifier: MIT
 *
 * Which MAC an address of our link has: one cache for ARP (RFC 826) and neighbour discovery (RFC 4861 7), with the
 * latter's states:
 *
 *                    we send                    answered
 *     (none) ------------------> INCOMPLETE ----------------> REACHABLE <-------------.
 *                                    | tries used up              | arp_lifetime       | answered
 *                                    v                            v                    |
 *                                 (none) <----------------- STALE ---we send---> PROBE-'
 *                                         evicted                                  | tries used up
 *                                                                                (none)
 */
#ifndef TCP_NEIGHBOUR_H
#define TCP_NEIGHBOUR_H

#include "tcp/stack_impl.h"

enum neighbour_state { NEIGH_FREE, NEIGH_INCOMPLETE, NEIGH_REACHABLE, NEIGH_STALE, NEIGH_PROBE };

struct neighbour {
    uint8_t eth[16]; /* the Ethernet header of frames to it: 14 bytes, valid in all states but FREE and INCOMPLETE */
    uint8_t state;
    bool fixed;     /* set by hand: never changes */
    bool wanted;    /* we have sent to it; else somebody has only told us of it */
    bool is_router; /* the R flag of its last advertisement */
    uint8_t tries;
    uint16_t waiting_count, waiting_room;
    nsec used_at;
    struct ip_addr addr;
    struct neighbour *next; /* of its hash bucket, or free */
    struct frame *waiting;  /* INCOMPLETE: frames that wait for it */
    struct list conns;      /* and connections that have not sent their SYN yet: struct conn.dirty */
    struct list datagrams;  /* and datagrams: struct udp_waiting.link */
    struct net_stack *stack;
    struct timer timer;
};

int neighbour_init(struct net_stack *s);
void neighbour_fini(struct net_stack *s);

/* NULL: not known. */
struct neighbour *neighbour_find(const struct net_stack *s, const struct ip_addr *a);
/* For sending: finds or makes it. NULL: the table is full of entries that are used more. */
struct neighbour *neighbour_get(struct net_stack *s, const struct ip_addr *a);
/* Whether frames can leave to it. Where not, `who` waits in one of its lists: connections become dirty when it has
 * answered, and fail with EHOSTUNREACH if it never does; datagrams as udp_released() has it. */
static inline bool neighbour_can_send(const struct neighbour *n) { return n->state != NEIGH_INCOMPLETE; }
/* f's first 14 bytes are room for the Ethernet header. Takes f->b: to the device, or to wait. */
void neighbour_send(struct net_stack *s, struct neighbour *n, const struct frame *f);

/* It has answered what we asked (ARP reply, solicited advertisement). mac NULL: none was said. override: a MAC that
 * differs is believed. */
void neighbour_answered(struct net_stack *s, struct neighbour *n, const uint8_t *mac, bool override);
/* Somebody says so without being asked (ARP request, unsolicited advertisement, source option of a solicitation). An
 * entry that exists learns it and will check it when it is next used; make: one may be made if there is room for
 * rumours. */
void neighbour_rumour(struct net_stack *s, const struct ip_addr *a, const uint8_t *mac, bool make);
/* Drops it and what waits for it. */
void neighbour_forget(struct net_stack *s, struct neighbour *n);
/* Our MAC, or what is at the other end of the wire, is another: who is known but not fixed is forgotten, and asked for
 * when it is next used. */
void neighbour_relink(struct net_stack *s);
int neighbour_add_static(struct net_stack *s, const struct ip_addr *a, const uint8_t *mac);
void neighbour_check(const struct net_stack *s);

/* Its MAC is known, and nothing has to be asked: the fast path of path_send(). */
static inline bool neighbour_is_fresh(const struct neighbour *n) { return n->state == NEIGH_REACHABLE; }
static inline const uint8_t *neighbour_mac(const struct neighbour *n) { return n->eth; }

#endif
