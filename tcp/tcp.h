/* SPDX-License-Identifier: MIT
 *
 * TCP as the layer above sees it: listeners and connections of a struct net_stack. conn.h shows the inside.
 *
 * A stream is counted in bytes since its start, 64 bits: conn_push() returns where it ends, conn_acked() how far the
 * peer has confirmed it, so that "this push is acknowledged" is one comparison.
 *
 * Buffers: what is pushed belongs to the connection until the peer has acknowledged it and the device has let go; it is
 * not copied, and must not change. What conn_pop() gives is the caller's.
 */
#ifndef TCP_TCP_H
#define TCP_TCP_H

#include "tcp/stack.h"

/* --- listeners --- */

/* reuse_port: others (of other stacks) may listen there, too. addr "any" of IPv6 takes IPv4, too, unless v6_only.
 * port 0: one is chosen.
 * -EADDRINUSE, -EADDRNOTAVAIL, -ENOMEM. */
struct listen_opts {
    unsigned backlog; /* established and not accepted, at most; at least 1 is used */
    bool v6_only, reuse_port;
    struct conn_opts *conn; /* for those that come; NULL: defaults */
};
int listener_open(struct net_stack *s, const struct ip_port *local, const struct listen_opts *o, void *user,
                  struct listener **out);
void listener_close(struct listener *l); /* those that were not accepted are reset */
void *listener_user(const struct listener *l);
const struct ip_port *listener_local(const struct listener *l);
/* For those that come from now on. -ENOENT: no such controller. */
int listener_set_opts(struct listener *l, const struct conn_opts *o);
/* The oldest connection that is waiting, with `user` as its own from now on. NULL: none. */
struct conn *listener_accept(struct listener *l, void *user);

/* --- connections --- */

struct conn_opts { /* 0: the default */
    bool delay;    /* Nagle's algorithm: RFC 896; off by default (TCP_NODELAY), as Demikernel has it */
    bool cork;     /* hold back what does not fill a segment, at most 200 ms, or until conn_uncork() */
    bool keepalive;
    bool quick_ack; /* no delayed ACKs */
    /* unused bytes of urgent data stay in the stream; they always do (RFC 6093): kept for getsockopt */
    bool urgent_inline;
    uint32_t keep_idle_s, keep_interval_s, keep_count; /* 7200, 75, 9 (RFC 1122 4.2.3.6) */
    /* unacknowledged so long: ETIMEDOUT (RFC 5482); 0: by the number of retransmissions, 15 */
    uint32_t user_timeout_ms;
    uint16_t mss; /* TCP_MAXSEG */
    uint8_t hops; /* TTL or hop limit; 64 */
    uint8_t tos;
    uint32_t rcv_buffer, snd_buffer;
    uint32_t unsent_max; /* TCP_NOTSENT_LOWAT: with so many bytes not sent yet pushes are refused; limits.unsent_max */
    const char *cc;      /* a name of cc.h */
};

/* SYN goes out at the next flush. local->port 0: chosen (RFC 6056); its address "any": by route. -EADDRINUSE,
 * -EADDRNOTAVAIL, -ENETUNREACH,
 * -ENOMEM, -ENFILE (limits.conns). hooks.connected() ends it. */
int conn_connect(struct net_stack *s, const struct ip_port *local, const struct ip_port *remote,
                 const struct conn_opts *o, void *user, struct conn **out);

void *conn_user(const struct conn *c);
void conn_set_user(struct conn *c, void *user);
const struct ip_port *conn_local(const struct conn *c);
const struct ip_port *conn_remote(const struct conn *c);

/* Takes the chain over and queues its bytes; *end_out (if wanted) is the stream offset behind them. On failure the
 * chain stays the caller's.
 * -EPIPE: shut down or closed; -EBUSY: snd_buffer or unsent_max is reached; -ENOMEM; -ENOTCONN: not established yet is
 * fine, the bytes wait. */
int conn_push(struct conn *c, struct buf *chain, uint64_t *end_out);
/* Copies n bytes behind what was copied last, if there is room: small pushes of a turn share a buffer and a segment. */
int conn_push_copy(struct conn *c, const void *p, uint32_t n, uint64_t *end_out);
/* Behind a push: more of it is to come, so what does not fill a segment waits, until the next push without this word,
 * the FIN or conn_uncork(), at most 200 ms (MSG_MORE). */
void conn_expect_more(struct conn *c);
/* What has been pushed until now waits for no more, whatever cork and conn_expect_more() say (TCP_NODELAY, once). */
void conn_uncork(struct conn *c);
uint64_t conn_acked(const struct conn *c);  /* bytes of the stream the peer has confirmed */
uint64_t conn_queued(const struct conn *c); /* bytes pushed since the start */
uint64_t conn_sent(const struct conn *c);   /* bytes sent at least once */

/* The next received bytes in order, one or more bufs' worth in one buf (never a chain); NULL: nothing now. Frees
 * window. */
struct buf *conn_pop(struct conn *c);
bool conn_readable(const struct conn *c); /* conn_pop() gives something */
bool conn_ended(const struct conn *c);    /* FIN received and everything popped */
int conn_error(const struct conn *c);     /* positive errno once closed with one; 0 */

int conn_shutdown(struct conn *c); /* FIN behind what was pushed. -ENOTCONN, -EPIPE: done before */
/* What comes from now on is confirmed and thrown away; what waits, too (SHUT_RD). */
int conn_shutdown_read(struct conn *c);
/* The user lets go: no more hooks for c, which lives on by itself until its FIN and data are through (RFC 9293 3.6),
 * or, with linger_ns not NSEC_NEVER, at most so long: then, and at once with 0, it is reset. Bytes received and
 * never popped make it a reset (RFC 2525 2.17). */
void conn_close(struct conn *c, nsec linger_ns);
/* RST. No more hooks. */
void conn_abort(struct conn *c);
/* FIN has been sent and acknowledged, or the connection is over. */
bool conn_fin_acked(const struct conn *c);

int conn_set_opts(struct conn *c, const struct conn_opts *o); /* -ENOENT: no such controller */
void conn_get_opts(const struct conn *c, struct conn_opts *out);
/* Only what was set: 0 for what is left to the defaults. To change one option without fixing the others. */
void conn_own_opts(const struct conn *c, struct conn_opts *out);

/* In the style of Linux's TCP_INFO; times in ns, sizes in bytes unless their name says segments. */
struct conn_info {
    /* Linux's numbers: 1 ESTABLISHED, 2 SYN_SENT, 3 SYN_RECV, 4 FIN_WAIT1, 5 FIN_WAIT2, 6 TIME_WAIT, 7 CLOSE, 8
     * CLOSE_WAIT, 9 LAST_ACK, 10 LISTEN, 11 CLOSING */
    uint8_t state;
    uint8_t ca_state; /* 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss */
    uint8_t retransmits, probes, backoff;
    bool timestamps, sack, wscale, ecn;
    uint8_t snd_wscale, rcv_wscale;
    uint16_t snd_mss, rcv_mss, pmtu;
    uint32_t unacked_segments, sacked_segments, lost_segments, retrans_segments, reordering_segments;
    uint32_t snd_cwnd_bytes, snd_ssthresh_bytes, snd_wnd, rcv_wnd, rcv_space, rcv_queued, rcv_out_of_order, unsent;
    nsec rto, srtt, rttvar, rtt_min, since_data_sent, since_data_received, since_ack_received;
    uint64_t bytes_acked, bytes_received, bytes_sent, bytes_retransmitted;
    uint64_t segments_in, segments_out, data_segments_in, data_segments_out;
    uint64_t total_retransmits, duplicates_received, pacing_rate;
    const char *cc;
};
void conn_info(const struct conn *c, struct conn_info *out);
/* One line: addresses, state, the sequence space, windows, timers. Returns out. */
const char *conn_print(const struct conn *c, char *out, size_t n);

#endif
