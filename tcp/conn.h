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
 *     recover.c     acknowledgements: RTT, loss, recovery, undo, congestion control; rexmit.c: timeouts
 *     timer.c       retransmission, tail loss probe, reordering, persist, delayed ACK, keep-alive, user timeout,
 *                   linger, FIN-WAIT-2
 *
 * Send sequence space (RFC 9293 3.3.1):
 *
 *              1         2          3          4
 *         ----------|----------|----------|----------
 *                SND.UNA    SND.NXT    SND.UNA + SND.WND
 *
 *      1 acknowledged  2 on the way (inflight)  3 may be sent  4 not yet
 *      snd_end: behind the last byte that was pushed (FIN not counted)
 *
 * An idle connection is small: rings of sndq and inflight are freed when they run empty and large, reassembly is made
 * at the first hole.
 */
#ifndef TCP_CONN_H
#define TCP_CONN_H

#include "tcp/cc.h"
#include "tcp/inflight.h"
#include "tcp/path.h"
#include "tcp/rate.h"
#include "tcp/reasm.h"
#include "tcp/rtt.h"
#include "tcp/seq.h"
#include "tcp/sndq.h"
#include "tcp/stack_impl.h"
#include "tcp/tcp.h"

/* RFC 9293 3.3.2; LISTEN and SYN-RECEIVED of passive opens live in listener and synq, TIME-WAIT in timewait */
enum conn_state {
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
    /* The first four: agreed on; until the peer's SYN has come: what we offer in ours */
    CF_TS = 1 << 0,
    CF_SACK = 1 << 1,
    CF_WSCALE = 1 << 2,
    CF_ECN = 1 << 3,
    CF_ACK_NOW = 1 << 4, /* an ACK leaves at the next flush, alone if need be */
    /* …or at deadlines[DL_ACK]: tcp_flush() sets it if output has sent nothing; output unsets it with every ACK */
    CF_ACK_DELAYED = 1 << 5,
    CF_FIN_QUEUED = 1 << 6, /* the user has shut down: FIN stands behind snd_end */
    CF_FIN_SENT = 1 << 7,   /* it has a sequence number now: snd_end */
    CF_FIN_ACKED = 1 << 8,
    CF_FIN_RCVD = 1 << 9,
    CF_DETACHED = 1 << 10,  /* the user has let go: no hooks */
    CF_ACCEPTING = 1 << 11, /* in its listener's queue */
    CF_DOOMED = 1 << 12,    /* nobody's any more: freed by the next tcp_flush() */
    CF_ECE = 1 << 13,       /* CE came: say so until CWR comes (RFC 3168 6.1.3) */
    CF_CWR_DUE = 1 << 14,
    CF_PROBE_NOW = 1 << 15, /* timers ask output for: a window probe, */
    CF_TLP_NOW = 1 << 16,   /* a tail loss probe, */
    CF_KEEP_NOW = 1 << 17,  /* a keep-alive */
    CF_RECOVERY = 1 << 18,  /* fast recovery */
    CF_LOSS = 1 << 19,      /* after an RTO */
    CF_CWND_LIMITED = 1 << 20,
    CF_CLOSED_TOLD = 1 << 21,
    CF_PUSH = 1 << 22,        /* PSH on the segment that ends what was pushed */
    CF_READ_CLOSED = 1 << 23, /* shutdown(SHUT_RD) */
    CF_DEAD = 1 << 24,        /* over: out of the tables, without timers; waits for its user to let go, or is doomed */
    CF_NOT_OPEN = 1 << 26,    /* the state is not ESTABLISHED: for the fast path, which looks at flags only */
    CF_HOLE = 1 << 27,        /* reasm is there */
    CF_V6 = 1 << 28,
    CF_MORE = 1 << 29,   /* the last push said that more is to come */
    CF_ACTIVE = 1 << 25, /* an active open whose hooks.connected() is still to be called */
};

/* What timers wait for; NSEC_NEVER: not. One struct timer runs for the earliest; it is not restarted when a deadline
 * moves back, only looks again when it fires. */
enum conn_deadline {
    DL_REXMIT, /* RTO, TLP, RACK reordering or persist: conn.rexmit_kind */
    DL_ACK,    /* delayed ACK */
    DL_KEEP,   /* keep-alive, or FIN-WAIT-2, or linger */
    DL_PACE,   /* pacing, a held back (cork) or failed (memory) segment: output may go on */
    DL_COUNT
};
#define CORK_OVER 1 /* a time long ago */
enum rexmit_kind { REXMIT_RTO, REXMIT_TLP, REXMIT_REO, REXMIT_PERSIST };

/* The order is that of use: a segment in order touches the first three lines on its way in, and of the third only
 * what time and the program's reading need (conn.c asserts the places). */
struct conn {
    /* first line: who it is, and what it is about */
    union {
        struct path_ends ends; /* the path's, too */
        struct {
            struct ip_port remote, local;
        };
    };
    uint32_t ports;                 /* as they stand in a received header: conn_ports() */
    uint32_t flags;                 /* enum conn_flags */
    uint8_t state;                  /* enum conn_state; conn_set_state() */
    uint8_t rcv_wscale, snd_wscale; /* 0 unless CF_WSCALE, but for rcv_wscale in SYN-SENT: what we offer */
    uint8_t rexmit_kind;
    tcp_seq rcv_nxt; /* RCV.NXT */

    /* second line: what the fast path decides by, and where it puts what came */
    /* right edge of the window as last told to the peer: RCV.NXT + RCV.WND; never moves left (RFC 9293 3.8.6) */
    tcp_seq rcv_adv;
    tcp_seq last_ack_sent; /* Last.ACK.sent (RFC 7323 4.3); output keeps it */
    uint32_t ts_recent;    /* TS.Recent */
    tcp_seq snd_una;       /* SND.UNA */
    tcp_seq snd_nxt;       /* SND.NXT */
    uint32_t snd_wnd;      /* SND.WND, scaled */
    tcp_seq snd_wl1, snd_wl2;
    /* so many bytes unacknowledged are acknowledged at once: two full segments, or one byte (quick_ack) */
    uint32_t ack_after;
    uint16_t rcv_mss;              /* largest segment seen, an estimate of the peer's */
    uint8_t quick_acks;            /* full segments that are still acknowledged at once: the peer's slow start */
    uint8_t rcvq_copied;           /* private: the last buf of rcvq is a copy of ours with room behind */
    struct buf *rcvq, **rcvq_tail; /* in order, for the program: chain through next */
    uint32_t rcvq_bytes, rcvq_count;

    /* third line */
    void *user;
    struct list dirty; /* in stack->tcp.dirty, or empty */
    uint64_t bytes_in;
    uint32_t segs_in, data_segs_in;
    struct net_stack *stack;
    nsec last_rcv_at;      /* keep-alive, idle */
    uint32_t ts_recent_at; /* conn_coarse() when TS.Recent was taken (24 days: RFC 7323 5.5) */
    uint32_t rcv_buffer;   /* bound of rcvq_bytes + out of order */

    struct reasm *reasm;  /* what is behind a hole: then CF_HOLE */
    uint32_t ts_offset;   /* ours: milliseconds + offset */
    uint32_t snd_wnd_max; /* the largest the peer has offered: MAX.SND.WND (RFC 5961 5.2), and for silly windows */

    /* sending */
    tcp_seq iss, snd_end;
    uint16_t mss; /* effective: what of payload a segment holds, options taken off (RFC 6691) */
    uint16_t peer_mss;
    uint8_t dupacks, retransmits, backoff, probes, keep_probes;
    uint8_t error;      /* positive errno, once CF_DEAD */
    uint8_t error_soft; /* of ICMP: told should the connection time out (RFC 1122 4.2.3.9) */
    /* the most that was on the way since flight_end was SND.NXT: how much of the window is used */
    uint32_t flight_max;
    struct sndq sndq;         /* [snd_una, snd_end) */
    struct inflight inflight; /* [snd_una, snd_nxt) */
    uint64_t stream_una;      /* stream offset of snd_una's byte (SYN and FIN not counted) */
    struct rtt rtt;
    nsec rto;
    struct cc cc;
    struct path path;
    tcp_seq recover;           /* recovery ends when this is acknowledged (RFC 6582, 6675) */
    tcp_seq snd_small;         /* end of the last segment that was not full: Minshall's rule for Nagle */
    struct recovery *recovery; /* what only recovery needs: recover.h, made at the first sign of loss */
    struct rate *rate;         /* delivery rate: rate.h; NULL: the controller does not ask */

    /* timers */
    struct timer timer;
    nsec deadlines[DL_COUNT];
    nsec last_snd_at; /* idle */
    union {
        struct {                   /* something is, or was, to be sent */
            nsec first_unacked_at; /* user timeout */
            nsec rto_base;         /* when the retransmission timer was started last (RFC 6298 5.1, 5.3) */
            nsec cork_at;          /* since when something is held back by cork; 0: nothing; CORK_OVER: no longer */
        };
        struct { /* CF_ACCEPTING: nobody knows it yet, so nothing is */
            struct list accepting;
            struct listener *listener;
        };
    };

    /* the rest */
    /* a duplicate that came, for the next ACK's first block (RFC 2883); start == end: none. Output clears it. */
    struct sack_block dsack;
    struct list all;              /* in stack->tcp.all; in .doomed when CF_DOOMED */
    const struct conn_opts *opts; /* shared; NULL: defaults */
    uint64_t bytes_rexmit;
    uint32_t segs_out, data_segs_out, rexmits, dups_in;
    struct answer_count answers;
    tcp_seq flight_end;
} __attribute__((aligned(64)));

static inline bool conn_is_synchronised(const struct conn *c) { return c->state >= CONN_ESTABLISHED; }
static inline nsec conn_now(const struct conn *c) { return c->stack->now; }

/* A coarse clock for what lasts days, in units of 1.07 s: wraps after 146 years. */
#define COARSE_BITS 30
static inline uint32_t conn_coarse(const struct conn *c) { return (uint32_t)(c->stack->now >> COARSE_BITS); }

/* Something may have to leave: looked at by the next tcp_flush(). */
static inline void conn_dirty(struct conn *c)
{
    if (list_is_empty(&c->dirty)) list_push_back(&c->stack->tcp.dirty, &c->dirty);
}

/* --- conn.c: called by input, output and timers ------------------------------------------------------------------- */

/* A connection in SYN-SENT with its path open, in the tables, numbers, window scale and congestion control set up,
 * nothing sent. NULL and *err: -ENFILE, -ENOMEM, -ENETUNREACH, -EADDRINUSE. */
struct conn *conn_new(struct net_stack *s, const struct ip_port *local, const struct ip_port *remote,
                      const struct conn_opts *o, int *err);
/* It is over: err 0 or a positive errno. Timers stop, queues drop (but for what can be popped), the user is told
 * (once). The struct stays at least until the next tcp_flush(): callers may look at c->flags & CF_DEAD afterwards.
 * Sends nothing. */
void conn_finish(struct conn *c, int err);
void conn_set_state(struct conn *c, enum conn_state to);
/* A controller in its first state, with rate samples if it asks for them. NewReno, if there is no memory for that. */
void conn_use_controller(struct conn *c, const struct cc_ops *cc);
/* Nobody holds it any more (CF_DEAD): freed by the next tcp_flush(). */
void conn_doom(struct conn *c);
/* What is behind a hole goes. */
void conn_drop_reasm(struct conn *c);
void conn_limit_buffer(struct conn *c);
/* rcv_mss, rcv_buffer or options have changed. */
void conn_update_ack_after(struct conn *c);
/* Frees what is doomed. */
void conn_reap(struct net_stack *s);
/* FIN-WAIT-2 without a user, or a linger that has run out: timer.c asks when DL_KEEP comes for a CF_DETACHED
 * connection. */
void conn_detached_timeout(struct conn *c);
/* Our timestamp clock: milliseconds and the connection's offset (RFC 7323 5.4). */
static inline uint32_t conn_ts_now(const struct conn *c)
{
    return (uint32_t)(c->stack->now / NSEC_PER_MSEC) + c->ts_offset;
}
/* What a buffer size of the options (0: otherwise) comes to. */
uint32_t conn_buffer_size(uint32_t n, uint32_t otherwise);
/* The smallest shift with which a window of n bytes can be told (RFC 7323 2.3). */
uint8_t conn_wscale_for(uint32_t n);

/* of a connection without user: Linux's tcp_fin_timeout, RFC 9293 3.6 leaves it open */
#define FIN_WAIT_2_NS (60 * NSEC_PER_SEC)
/* Invariants of sequence space, windows, queues; debug builds and the simulator run it after every segment and call. */
void conn_check(const struct conn *c);

/* --- tcp_output.c ------------------------------------------------------------------------------------------------- */

/* Sends all that windows, pacing and tx room allow now; an ACK if one is due. false: tx ran out, it stays dirty. */
bool tcp_output(struct conn *c);
/* The largest window we may offer now, and the field for it (scaled, silly-window rule of RFC 9293 3.8.6.2.2
 * applied; rcv_adv moves). */
uint16_t tcp_window_to_offer(struct conn *c);
/* SYN, or SYN-ACK of a simultaneous open; and again. The SYN is on the way like data: [iss, iss + 1) in inflight,
 * snd_nxt = iss + 1, its timer by recover_sent(); recover_ack() takes its acknowledgement (stream_una does not count
 * it). */
void tcp_send_syn(struct conn *c);
void tcp_send_reset(struct conn *c); /* RST,ACK at SND.NXT, or where the peer's window ends if that has shrunk */
/* RST,ACK at seq: the acknowledgment number of what it answers is what the peer expects next (RFC 9293 3.10.7.1). */
void tcp_send_reset_at(struct conn *c, tcp_seq seq);
/* A control segment that belongs to no conn (synq, timewait, closed ports, cookies). opts may be NULL. ecn_flags:
 * TCP_ECE of a SYN-ACK. */
struct bare_segment {
    struct ip_port local, remote;
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

/* --- recover.c ---------------------------------------------------------------------------------------------------- */

struct ack_event { /* an acceptable ACK as input has judged it */
    tcp_seq ack;
    const struct tcp_opts *opts; /* timestamps echo, SACK blocks */
    bool has_data;               /* the segment carries data or FIN: then it is no duplicate ACK */
    bool window_changed;
    bool ece;
};
/* Before snd_una moves: takes acknowledged bytes off sndq and inflight, moves snd_una and stream_una, samples RTT,
 * finds losses, tells the controller, sets timers, CF_FIN_ACKED. The ack lies in [snd_una, snd_nxt]. Calls
 * hooks.acked when SND.UNA moved. */
void recover_ack(struct conn *c, const struct ack_event *e);
/* The retransmission timer (of its kind) has fired. May end the connection. */
void recover_timeout(struct conn *c);
/* A segment has left: new (retransmit false), with room reserved in inflight, or again (record i). */
void recover_sent(struct conn *c, tcp_seq start, tcp_seq end);
void recover_resent(struct conn *c, uint32_t i);
/* What the retransmission timer waits for now, and until when: after anything was sent. */
void recover_arm(struct conn *c);
/* How many bytes may leave now by congestion control. */
uint32_t recover_allowance(const struct conn *c);
/* The next record (of inflight) to be sent again; false: none may be now. */
bool recover_next_lost(const struct conn *c, uint32_t *i);
/* Segments have become smaller (path MTU): what is on the way in larger ones goes again, and that is no congestion
 * (RFC 1191 6.4). */
void recover_smaller_mss(struct conn *c);
void recover_free(struct conn *c);
/* Room for n more segments on the way; false: out of memory. */
static inline bool recover_reserve(struct conn *c, uint32_t n)
{
    return inflight_reserve(&c->inflight, n) && (likely(!c->rate) || rate_reserve(c->rate, &c->inflight));
}

/* --- timer.c ------------------------------------------------------------------------------------------------------ */

void conn_timer_set(struct conn *c, enum conn_deadline which, nsec at); /* NSEC_NEVER: stop */
void conn_timer_stop_all(struct conn *c);
void conn_timer_touch(struct conn *c); /* a segment came: keep-alive begins anew (lazily) */

#endif
