/* SPDX-License-Identifier: MIT
 *
 * The inside of struct net_stack, and what its layers ask of each other.
 *
 *     stack_input -> eth -> arp | ip4 | ip6 -> icmp | udp | tcp_input
 *     tcp, udp, icmp -> path_send -> neighbour -> tx (the ring of frames for the device)
 */
#ifndef TCP_STACK_IMPL_H
#define TCP_STACK_IMPL_H

#include "alloc/base/assert.h"
#include "alloc/base/list.h"
#include "alloc/base/rng.h"
#include "alloc/base/wheel.h"
#include "tcp/counters.h"
#include "tcp/ip_layer.h"
#include "tcp/stack.h"
#include "tcp/path.h"
#include "tcp/tcp_layer.h"
#include "tcp/udp_layer.h"

/* A received packet on its way up. b->data is its L4 header; b->len (of the chain: len) is exact, padding is gone.
 * Who is handed a packet owns b. Headers lie in the first buf as far as they are valid; payload may be in any. */
struct packet {
    struct buf *b;
    uint32_t len;
    struct ip_addr src, dst;
    uint8_t proto, hops;
    uint8_t tos;            /* DSCP and ECN */
    bool csum_ok;           /* of L4, verified by the device */
    bool to_many;           /* the destination was a broadcast or multicast address, of whatever layer */
    bool fragmented;        /* IPv6: came with a fragment header (RFC 6980) */
    const uint8_t *src_mac; /* NULL: from ourselves */
    const uint8_t *l3;      /* its IP header, in front of b->data in the same storage, for who quotes it */
};

struct frame_ring { /* frames for the device */
    struct frame *slots;
    uint32_t mask, head, tail; /* free-running */
};

struct net_stack {
    nsec now;
    struct wheel wheel;
    struct rng rng;
    uint8_t key_isn[16], key_cookie[16], key_port[16], key_misc[16]; /* of the seed */
    uint64_t hash_seed;
    const struct stack_hooks *hooks;
    void *arg;
    struct frame_ring tx;
    struct net_counters n;
    struct tcp_layer tcp;
    struct ip_layer ip;
    struct udp_layer udp;
    struct stack_config conf; /* defaults filled in */
};

/* tcp_*.c */
int tcp_layer_init(struct net_stack *s);
void tcp_layer_fini(struct net_stack *s);
void tcp_input(struct net_stack *s, struct packet *p);
/* The short way for what most frames are: IPv4 without options or fragments, for a connection, as the connection
 * expects it. true: taken (the caller counts frame and segment); false: nothing has happened, the frame goes the
 * long way. */
bool tcp_input_frame(struct net_stack *s, const struct frame *f);
void tcp_flush(struct net_stack *s); /* stack_flush()'s work */
bool tcp_wants_flush(const struct net_stack *s);
/* An ICMP error about a segment of ours: addresses as we sent it, `quoted` its first 8 or more bytes (ports,
 * sequence number). RFC 5927: believed only if seq lies in what is outstanding; RFC 1122 4.2.3.9 what is hard and
 * what soft. */
enum icmp_error {
    ICMP_ERR_UNREACHABLE_HOST,
    ICMP_ERR_UNREACHABLE_PORT,
    ICMP_ERR_PROTOCOL,
    ICMP_ERR_TOO_BIG,
    ICMP_ERR_TIME,
    ICMP_ERR_NO_NEIGHBOUR /* no ICMP error, but our own knowledge: nobody on the link has the next hop's address */
};
void tcp_icmp_error(struct net_stack *s, enum icmp_error what, uint16_t mtu, const struct ip_addr *local,
                    const struct ip_addr *remote, const uint8_t *quoted, size_t n);
/* An address of ours has gone (stack_remove_address): its connections end with EADDRNOTAVAIL. */
void tcp_address_gone(struct net_stack *s, const struct ip_addr *a);

/* udp.c: the same */
int udp_layer_init(struct net_stack *s);
void udp_layer_fini(struct net_stack *s);
void udp_input(struct net_stack *s, struct packet *p);
void udp_flush(struct net_stack *s); /* sends what has waited for a neighbour, as far as there is room */
/* Nobody took these (struct udp_waiting.link): who waits for them hears a positive errno. */
void udp_undeliverable(struct net_stack *s, struct list *datagrams, int err);
void udp_icmp_error(struct net_stack *s, enum icmp_error what, uint16_t mtu, const struct ip_addr *local,
                    const struct ip_addr *remote, const uint8_t *quoted, size_t n);

/* ip: takes part in the life of the stack. */
int ip_layer_init(struct net_stack *s);
void ip_layer_fini(struct net_stack *s);
void ip_layer_check(const struct net_stack *s); /* stack_check()'s part of all that is not TCP */

/* Queues a whole Ethernet frame for the device, together as one buf if its chain is too long for it; takes f->b. A
 * full ring drops it. */
void tx_push(struct net_stack *s, const struct frame *f);
/* All of a chain in one fresh buf with BUF_HEADROOM; takes head, NULL: out of memory (counted). */
struct buf *buf_together(struct net_stack *s, struct buf *head, uint32_t len);

/* ip: sends `what` about a packet that came (rate-limited, never about errors, multicasts, fragments: RFC 1122
 * 3.2.2, RFC 4443 2.4). Does not take p->b. */
void icmp_send_unreachable_port(struct net_stack *s, const struct packet *p);

#endif
