/* SPDX-License-Identifier: MIT
 *
 * What the three files of input share.
 *
 *     tcp_input.c      any segment: checks, who it is for, the fast path, CLOSED and TIME-WAIT, ICMP
 *     tcp_handshake.c  LISTEN, SYN-RECEIVED of passive opens, cookies, SYN-SENT
 *     tcp_arrive.c     SYN-RECEIVED of simultaneous opens, ESTABLISHED and what follows
 */
#ifndef TCP_TCP_INPUT_H
#define TCP_TCP_INPUT_H

#include "tcp/conn.h"
#include "tcp/hdr.h"
#include "tcp/synq.h"

#define COPY_FROM_COUNT 16u /* so many bufs a queue may have before small ones are copied together */

struct segment { /* one that came, in host order */
    struct net_stack *stack;
    struct ip_port local, remote;
    uint32_t ports, hash; /* conn_ports(), conn_hash() */
    tcp_seq seq, ack;
    uint32_t len;    /* of payload */
    uint16_t window; /* as it stands in the header */
    uint8_t flags;
    bool ce; /* IP says: congestion experienced (RFC 3168 5) */
    struct tcp_opts opts;
    struct buf *b; /* payload, a chain; whoever takes it sets NULL; what is left tcp_input() drops */
};

/* SEG.LEN: SYN and FIN count */
static inline uint32_t segment_space(const struct segment *g)
{
    return g->len + !!(g->flags & TCP_SYN) + !!(g->flags & TCP_FIN);
}

/* The reset that belongs to a segment nobody wanted (RFC 9293 3.10.7.1), within limits.resets_per_s. */
void tcp_reject(const struct segment *g);
/* Takes n bytes off the front, or the back, of the payload. */
void segment_trim_front(struct segment *g, uint32_t n);
void segment_trim_back(struct segment *g, uint32_t n);

/* RFC 9293 3.10.7.2. iss_after: with after_timewait, our sequence numbers must begin behind it. */
void tcp_listen_input(struct listener *l, struct segment *g, bool after_timewait, tcp_seq iss_after);
void tcp_synq_input(struct synq_entry *e, struct segment *g);
void tcp_syn_sent_input(struct conn *c, struct segment *g); /* 3.10.7.3 */
void tcp_arrive(struct conn *c, struct segment *g);         /* 3.10.7.4 */
/* Text and FIN of the SYN-ACK that has opened c: 3.10.7.3, fourth, goes on at 3.10.7.4, sixth. */
void tcp_arrive_with_syn(struct conn *c, struct segment *g);

/* The handshake is done: MSS, congestion control, the state (FIN-WAIT-1 if the user has closed meanwhile). */
void conn_established(struct conn *c);
/* In order, for the program. Takes b (a chain of n bytes); n > 0. */
void conn_receive(struct conn *c, struct buf *b, uint32_t n);
/* n more bytes came in order: an ACK now, or later. */
void conn_acknowledge_full(struct conn *c, uint32_t n);
static inline void conn_acknowledge(struct conn *c, uint32_t n)
{
    c->flags |= c->rcv_nxt - c->last_ack_sent >= c->ack_after ? CF_ACK_NOW : CF_ACK_DELAYED;
    if (unlikely(n >= c->rcv_mss) && (c->quick_acks || n > c->rcv_mss)) conn_acknowledge_full(c, n);
    conn_dirty(c);
}

#endif
