/* SPDX-License-Identifier: MIT
 *
 * The way to one peer: source address, next hop, MTU, and what the headers in front of a segment will say. A connection
 * keeps one; it is looked up once and checked by generation numbers from then on, so that sending costs no look-up.
 */
#ifndef TCP_PATH_H
#define TCP_PATH_H

#include "alloc/base/list.h"
#include "tcp/addr.h"
#include "tcp/netdev.h"

struct neighbour;
struct net_stack;

struct path_ends { /* ports are the user's: a path does not look at them */
    struct ip_port remote, local;
};

struct path {
    const struct path_ends *ends; /* of whoever keeps the path */
    struct neighbour *hop;        /* private: NULL: to be looked up; itself ours (loop) when is_loop */
    uint32_t hop_generation;      /* private: s->neighbours' and routes' generation when hop was found */
    uint32_t pseudo_sum;          /* of addresses and protocol, not folded; the length is added a packet */
    uint16_t mtu;                 /* of IP packets, path MTU discovery included; path_mtu() refreshes it */
    uint8_t proto;                /* IPPROTO_TCP… */
    uint8_t hops, tos;
    bool is_loop; /* to an address of our own */
};

/* From ends->local.addr, or if that is "any" from what is chosen (RFC 6724, as far as one interface needs it) and
 * written there, to ends->remote.addr; neither changes while the path is open. -ENETUNREACH, -EADDRNOTAVAIL. */
int path_open(struct net_stack *s, struct path *p, struct path_ends *ends, uint8_t proto);
static inline struct path_ends path_between(const struct ip_addr *src, const struct ip_addr *dst)
{
    return (struct path_ends){.remote.addr = *dst, .local.addr = *src};
}
static inline const struct ip_addr *path_src(const struct path *p) { return &p->ends->local.addr; }
static inline const struct ip_addr *path_dst(const struct path *p) { return &p->ends->remote.addr; }
void path_close(struct net_stack *s, struct path *p);

/* Whether a packet can leave now; else it would wait for the next hop's link address, which is being asked for. True
 * also where there is nobody to wait for. */
bool path_can_send(struct net_stack *s, struct path *p);
/* Where it cannot: puts `who` into the list of connections (TCP) or datagrams (UDP) that wait (neighbour.h). */
void path_await(struct net_stack *s, struct path *p, struct list *who);

/* Sends the L4 packet that f->b starts with (header included, its checksum field anything): writes the checksum (or
 * asks the device), the IP and Ethernet headers into the headroom of f->b, and queues the frame; it waits there
 * while the neighbour is being asked for. f->b is taken whatever happens. l4_header bytes is the size of the L4
 * header. tso_mss 0: one packet; else payload is cut behind each tso_mss bytes, by the device or by us. ecn: 0 to 3. */
void path_send(struct net_stack *s, struct path *p, struct buf *b, uint32_t len, uint8_t l4_header, uint16_t tso_mss,
               uint8_t ecn);

/* An ICMP "too big" that names a packet of ours and was believed (RFC 5927 7): TCP and UDP call this, after their
 * own checks. mtu 0: the router did not say (RFC 1191 5). Whether the path's MTU became smaller by it. */
bool path_too_big(struct net_stack *s, const struct ip_addr *dst, uint16_t mtu);

/* Largest L4 packet, header included. */
uint16_t path_l4_max(struct net_stack *s, struct path *p);

/* How many more frames path_send() can queue now: senders stop at 0 and go on at the next flush. */
uint32_t stack_tx_room(const struct net_stack *s);

#endif
