/* SPDX-License-Identifier: MIT
 *
 * One TCP connection, and who works on it:
 *
 *     tcp_input.c   segments in: RFC 9293 3.10.7, in its order           (receive side, states)
 *     conn.c        life: open, accept, shut down, close, abort, free     (user calls)
 *     listener.c synq.c cookie.c timewait.c                               (passive opens, what outlives a conn)
 *     tcp_output.c  what leaves and when: windows, Nagle, silly windows, ACKs, FIN
 *     sndq.c        bytes to be sent or acknowledged, by sequence
 *     inflight.c    segments on their way: SACK scoreboard, RACK
 *     recover.c     acknowledgements: RTT, loss, recovery, undo, congestion control
 *     timer.c       retransmission, tail loss probe, reordering, persist, delayed ACK, keep-alive, user timeout, linger, FIN-WAIT-2
 *
 * Send sequence space (RFC 9293 3.3.1):
 *
 *              1         2          3          4
 *         ----------|----------|----------|----------
 *                SND.UNA    SND.NXT    SND.UNA + SND.WND
 *
 *      1 acknowledged  2 on the way (inflight)  3 may be sent  4 not yet;   snd_end: behind the last byte that was pushed (FIN not counted)
 *
 * An idle connection is small: rings of sndq and inflight are freed when they run empty and large, reassembly is made at the first hole.
 */
#ifndef TCP_CONN_H
#define TCP_CONN_H

#include "tcp/cc.h"
#include "tcp/inflight.h"
#include "tcp/path.h"
#include "tcp/reasm.h"
#include "tcp/rtt.h"
#include "tcp/seq.h"
#include "tcp/sndq.h"
#include "tcp/stack_impl.h"
#include "tcp/tcp.h"

enum conn_state { /* RFC 9293 3.3.2; LISTEN and SYN-RECEIVED of passive opens live in listener and synq, TIME-WAIT in timewait */
    CONN_CLOSED,
    CONN_SYN_SENT,
    CONN_SYN_RECEIVED, /* of a simultaneous open only */
    CONN_ESTABLISHED,
    CONN_FIN_WAIT_1,
    CONN_FIN_WAIT_2,
    CONN_CLOSE_WAIT,
    CONN_CLOSING,
    CONN_LAST_ACK,
    CONN_TIME_WAIT, /* for the moment between its begin and the move to timewait */
};

enum conn_flags {
    CF_TS = 1 << 0,       /* timestamps were agreed on */
    CF_SACK = 1 << 1,
    CF_WSCALE = 1 << 2,
    CF_ECN = 1 << 3,
    CF_ACK_NOW = 1 << 4,  /* an ACK leaves at the next flush, alone if need be */
    CF_ACK_DELAYED = 1 << 5, /* …or when ack_at comes */
    CF_FIN_QUEUED = 1 << 6, /* the user has shut down: FIN stands behind snd_end */
    CF_FIN_SENT = 1 << 7,   /* it has a sequence number now: snd_end */
    CF_FIN_ACKED = 1 << 8,
    CF_FIN_RCVD = 1 << 9,
    CF_DETACHED = 1 << 10, /* the user has let go: no hooks */
    CF_ACCEPTING = 1 << 11, /* in its listener's queue */
    CF_DOOMED = 1 << 12,
    CF_ECE = 1 << 13,      /* CE came: say so until CWR comes (RFC 3168 6.1.3) */
    CF_CWR_DUE = 1 << 14,
    CF_PROBE_NOW = 1 << 15, /* timers ask output for: a window probe, */
    CF_TLP_NOW = 1 << 16,   /* a tail loss probe, */
    CF_KEEP_NOW = 1 << 17,  /* a keep-alive */
    CF_RECOVERY = 1 << 18, /* fast recovery */
    CF_LOSS = 1 << 19,     /* after an RTO */
    CF_CWND_LIMITED = 1 << 20,
    CF_CLOSED_TOLD = 1 << 21,
    CF_PUSH = 1 << 22,     /* PSH on the segment that ends what was pushed */
    CF_READ_CLOSED = 1 << 23, /* shutdown(SHUT_RD) */
};

/* What timers wait for; NSEC_NEVER: not. One struct timer runs for the earliest; it is not restarted when a deadline moves back,
 * only looks again when it fires. */
enum conn_deadline {
    DL_REXMIT,  /* RTO, TLP, RACK reordering or persist: conn.rexmit_kind */
    DL_ACK,     /* delayed ACK; cork */
    DL_KEEP,    /* keep-alive, or FIN-WAIT-2, or linger */
    DL_PACE,    /* pacing: output may go on */
    DL_COUNT
};
enum rexmit_kind { REXMIT_RTO, REXMIT_TLP, REXMIT_REO, REXMIT_PERSIST };

struct conn {
    /* look-up and the receive fast path */
    struct net_stack *stack;
    struct endpoint local, remote;
    uint32_t hash;
    uint32_t flags; /* enum conn_flags */
    uint8_t state;  /* enum conn_state */
    uint8_t rcv_wscale, snd_wscale;
    uint8_t rexmit_kind;
    tcp_seq rcv_nxt;      /* RCV.NXT */
    tcp_seq rcv_adv;      /* right edge of the window as last told to the peer: RCV.NXT + RCV.WND; never moves left (RFC 9293 3.8.6) */
    tcp_seq last_ack_sent; /* Last.ACK.sent (RFC 7323 4.3) */
    uint32_t ts_recent;   /* TS.Recent */
    nsec ts_recent_at;    /* when it was taken (24 days: RFC 7323 5.5) */
    uint32_t ts_offset;   /* ours: milliseconds + offset */
    tcp_seq snd_una;      /* SND.UNA */
    tcp_seq snd_nxt;      /* SND.NXT */
    uint32_t snd_wnd;     /* SND.WND, scaled */
    tcp_seq snd_wl1, snd_wl2;
    uint32_t snd_wnd_max; /* the largest the peer has offered: MAX.SND.WND (RFC 5961 5.2), and for silly windows */
    struct buf *rcvq, **rcvq_tail; /* in order, for the program: chain through next */
    uint32_t rcvq_bytes, rcv_buffer; /* rcv_buffer: bound of rcvq_bytes + out of order */
    uint16_t rcv_mss;     /* largest segment seen, an estimate of the peer's (for ACK every second one) */
    uint16_t ack_pending; /* bytes received since the last ACK, in segments of rcv_mss, saturating */
    void *user;
    struct list dirty;    /* in stack->tcp.dirty, or empty */

    /* sending */
    tcp_seq iss, irs, snd_end;
    uint16_t mss;         /* effective: what of payload a segment holds, options taken off (RFC 6691) */
    uint16_t peer_mss;
    uint8_t dupacks, retransmits, backoff, probes;
    struct sndq sndq;     /* [snd_una, snd_end) */
    struct inflight inflight; /* [snd_una, snd_nxt) */
    uint64_t stream_una;  /* stream offset of snd_una's byte (SYN and FIN not counted) */
    struct rtt rtt;
    nsec rto;
    struct cc cc;
    struct path path;
    tcp_seq recover;      /* recovery ends when this is acknowledged (RFC 6582, 6675) */
    tcp_seq snd_up;       /* unused but for print; urgent data are not sent */
    struct recovery *recovery; /* what only recovery needs: recover.c's, made at the first loss */

    /* timers */
    struct timer timer;
    nsec deadlines[DL_COUNT];
    nsec last_rcv_at, last_snd_at, first_unacked_at; /* keep-alive, idle, user timeout */

    /* the rest */
    struct reasm *reasm;
    struct list all;
    struct listener *listener;
    struct conn *accept_next;
    struct conn_opts *opts; /* NULL: defaults */
    int error;
    uint16_t close_seq;   /* private */
    uint64_t bytes_in, bytes_out, bytes_rexmit;
    uint32_t segs_in, segs_out, data_segs_in, data_segs_out, rexmits, dups_in;
};

static inline bool conn_is_synchronised(const struct conn *c) { return c->state >= CONN_ESTABLISHED; }
static inline nsec conn_now(const struct conn *c) { return c->stack->now; }

/* Something may have to leave: looked at by the next tcp_flush(). */
static inline void conn_dirty(struct conn *c)
{
    if (list_is_empty(&c->dirty)) list_push_back(&c->stack->tcp.dirty, &c->dirty);
}

/* --- conn.c: called by input, output and timers ---------------------------------------------------------------------------------- */

/* A connection in `state` with its path open, in the tables. NULL and *err. */
struct conn *conn_new(struct net_stack *s, const struct endpoint *local, const struct endpoint *remote, const struct conn_opts *o, int *err);
/* It is over: err 0 or a positive errno. Timers stop, queues drop, the user is told (once), the struct goes at the end of the call. */
void conn_finish(struct conn *c, int err);
void conn_set_state(struct conn *c, enum conn_state to);
/* Invariants of sequence space, windows, queues; debug builds and the simulator run it after every segment and call. */
void conn_check(const struct conn *c);

/* --- tcp_output.c ------------------------------------------------------------------------------------------------------------------- */

/* Sends all that windows, pacing and tx room allow now; an ACK if one is due. false: tx ran out, it stays dirty. */
bool tcp_output(struct conn *c);
/* The largest window we may offer now, and the field for it (scaled, silly-window rule of RFC 9293 3.8.6.2.2 applied; rcv_adv moves). */
uint16_t tcp_window_to_offer(struct conn *c);
void tcp_send_syn(struct conn *c);   /* SYN, or SYN-ACK of a simultaneous open; and again */
void tcp_send_reset(struct conn *c); /* RST,ACK at SND.NXT */
/* A control segment that belongs to no conn (synq, timewait, closed ports, cookies). opts may be NULL. ecn_flags: TCP_ECE of a SYN-ACK. */
struct bare_segment {
    struct endpoint local, remote;
    tcp_seq seq, ack;
    uint8_t flags;
    uint16_t window;
    const struct tcp_opts *opts;
    uint8_t hops, tos;
};
void tcp_send_bare(struct net_stack *s, const struct bare_segment *seg);
/* MSS we tell the peer: what a packet of the interface's MTU holds (RFC 9293 3.7.1). */
uint16_t tcp_mss_to_offer(struct net_stack *s, const struct ip_addr *remote, const struct conn_opts *o);
/* The path's MTU or options have changed: c->mss anew. */
void tcp_update_mss(struct conn *c);

/* --- recover.c ---------------------------------------------------------------------------------------------------------------------- */

struct ack_event { /* an acceptable ACK as input has judged it */
    tcp_seq ack;
    const struct tcp_opts *opts; /* timestamps echo, SACK blocks */
    bool has_data;      /* the segment carries data or FIN: then it is no duplicate ACK */
    bool window_changed;
    bool ece;
};
/* Before snd_una moves: takes acknowledged bytes off sndq and inflight, moves snd_una and stream_una, samples RTT, finds losses, tells the
 * controller, sets timers, CF_FIN_ACKED. The ack lies in [snd_una, snd_nxt]. Calls hooks.acked when SND.UNA moved. */
void recover_ack(struct conn *c, const struct ack_event *e);
/* The retransmission timer (of its kind) has fired. */
void recover_timeout(struct conn *c);
/* A segment has left: new (retransmit false) or again. Starts the timer. */
void recover_sent(struct conn *c, tcp_seq start, tcp_seq end, bool retransmit);
/* How many bytes may leave now by congestion control; and what next to retransmit: false: nothing lost. */
uint32_t recover_allowance(const struct conn *c);
bool recover_next_lost(struct conn *c, tcp_seq *start, tcp_seq *end);
void recover_free(struct conn *c);

/* --- timer.c ------------------------------------------------------------------------------------------------------------------------ */

void conn_timer_set(struct conn *c, enum conn_deadline which, nsec at); /* NSEC_NEVER: stop */
void conn_timer_stop_all(struct conn *c);
void conn_timer_touch(struct conn *c); /* a segment came: keep-alive begins anew (lazily) */

#endif
