/* SPDX-License-Identifier: MIT
 *
 * Congestion control: one table of ops a controller, one struct cc in each connection. Detecting loss is not its work
 * (recover.h); it hears of acknowledgements and losses and says how much may be on the way.
 *
 *   slow start: cwnd < ssthresh   recovery: PRR (RFC 9937) paces what leaves, by recover.c; cwnd is ssthresh at its end
 */
#ifndef TCP_CC_H
#define TCP_CC_H

#include "alloc/base/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct cc_ops;

struct cc {
    const struct cc_ops *ops;
    uint32_t cwnd;     /* bytes */
    uint32_t ssthresh; /* bytes; UINT32_MAX: not known yet */
    uint16_t mss;
    uint8_t phase;        /* the controller's, 0 at first */
    bool can_undo;        /* the controller's: it remembers what was before an event */
    uint64_t pacing_rate; /* bytes a second, 0: not paced; only controllers that want rates pace */
    /* the controller's; each static_asserts that it fits. CUBIC needs all of it; BBR has its own elsewhere. */
    uint64_t state[9];
};

struct cc_ack {
    nsec now;
    uint32_t acked;     /* bytes that this ACK newly acknowledged by number, and that no SACK had told of */
    uint32_t sacked;    /* bytes that it newly SACKed: delivered, but no reason to grow (RFC 5681 3.1, RFC 3042 2) */
    uint32_t in_flight; /* bytes on the way before this ACK */
    bool cwnd_limited;  /* the window was what held the sender back (RFC 9438 5.8, RFC 7661) */
    bool in_recovery;   /* fast recovery, where PRR decides; not what follows a timeout, which is slow start */
    bool ecn_echo;
    nsec rtt; /* sample of this ACK; 0: none */
    nsec srtt, min_rtt;
    uint64_t delivered; /* bytes since the start */
    uint64_t rate;      /* delivery rate sample, bytes a second (BBR's); 0: none */
    bool rate_app_limited;
    uint64_t round;            /* counts round trips, for controllers with wants_rate */
    uint32_t snd_una, snd_nxt; /* as this ACK leaves them: who counts round trips by sequence */
};

struct cc_ops {
    const char *name;
    bool (*init)(struct cc *c, nsec now); /* cwnd and mss are set; false: out of memory */
    void (*fini)(struct cc *c);           /* optional */
    void (*acked)(struct cc *c, const struct cc_ack *a);
    /* A loss or ECN begins a recovery (once a window): sets ssthresh, and cwnd when ECN began it. Who leaves
     * ssthresh at UINT32_MAX keeps his window to himself: PRR does not touch it. */
    void (*congestion)(struct cc *c, uint32_t in_flight, nsec now, bool ecn);
    void (*timeout)(struct cc *c, uint32_t in_flight, nsec now); /* RTO: cwnd to one segment (RFC 5681 3.1, (4)) */
    void (*recovered)(struct cc *c, nsec now);                   /* recovery has ended */
    void (*undo)(struct cc *c, nsec now); /* it was no loss (F-RTO, DSACK): back to what was before; optional */
    /* sending again after a pause (RFC 5681 4.1, RFC 9438 5.8); optional */
    void (*idle)(struct cc *c, nsec now, nsec idle_for, nsec rto);
    /* acked() looks at rate and round (a division each), and at ACKs while the window is not the limit */
    bool wants_rate;
};

/* NULL: no such name. "cubic" (RFC 9438), "newreno" (RFC 5681, 6582), "bbr", "none" (a fixed large window, for links
 * that lose nothing). */
const struct cc_ops *cc_find(const char *name);
/* Initial window of RFC 6928: 10 segments, at most max(2 MSS, 14,600 bytes). Where memory for `ops` is short it
 * becomes NewReno, which needs none. */
void cc_init(struct cc *c, const struct cc_ops *ops, uint32_t mss, nsec now);
void cc_fini(struct cc *c); /* c all zeros: nothing to do */
void cc_set_mss(struct cc *c, uint32_t mss);
uint32_t cc_initial_window(uint32_t mss);

extern const struct cc_ops cc_cubic, cc_newreno, cc_bbr, cc_none;

#endif
