/* SPDX-License-Identifier: MIT
 *
 * Delivery rate samples (draft-cheng-iccrg-delivery-rate-estimation): how fast did data arrive between the moment a segment was sent and
 * its acknowledgement. For BBR; and what counts round trips.
 */
#ifndef TCP_RATE_H
#define TCP_RATE_H

#include "tcp/inflight.h"

struct rate { /* of a connection */
    uint64_t delivered;    /* C.delivered: bytes acknowledged or SACKed */
    nsec delivered_at;     /* C.delivered_time */
    nsec first_at;         /* C.first_sent_time */
    uint64_t app_limited;  /* C.app_limited: samples are too low until so much is delivered; 0: they are not */
    uint64_t round_end;    /* `delivered` with which this round trip ends */
    uint32_t round;
};

struct rate_sample { /* of one ACK: the last sent of the segments it delivers */
    uint64_t prior_delivered;
    nsec prior_at, send_elapsed, sent_at;
    bool any, app_limited;
};

/* A segment is sent, new or again, while `outstanding` bytes are on the way. */
static inline void rate_sent(struct rate *r, struct sent_seg *g, uint32_t outstanding, nsec now)
{
    if (!outstanding) r->first_at = r->delivered_at = now;
    g->first_at = r->first_at;
    g->delivered_at = r->delivered_at;
    g->delivered = r->delivered;
    if (r->app_limited) g->flags |= SEG_APP_LIMITED;
    else g->flags &= (uint8_t)~SEG_APP_LIMITED;
}

/* g is delivered now. */
static inline void rate_delivered(struct rate *r, struct rate_sample *s, const struct sent_seg *g, nsec now)
{
    r->delivered += g->end - g->start;
    r->delivered_at = now;
    if (s->any && (g->delivered < s->prior_delivered || (g->delivered == s->prior_delivered && g->sent_at < s->sent_at))) return;
    s->any = true;
    s->prior_delivered = g->delivered;
    s->prior_at = g->delivered_at;
    s->send_elapsed = g->sent_at - g->first_at;
    s->sent_at = g->sent_at;
    s->app_limited = g->flags & SEG_APP_LIMITED;
    r->first_at = g->sent_at;
}

/* Bytes a second; 0: no sample. min_rtt: NSEC_NEVER when unknown. */
static inline uint64_t rate_of(struct rate *r, const struct rate_sample *s, nsec min_rtt, nsec now)
{
    if (r->app_limited && r->delivered > r->app_limited) r->app_limited = 0;
    if (!s->any) return 0;
    if (s->prior_delivered >= r->round_end) {
        r->round_end = r->delivered;
        r->round++;
    }
    nsec ack_elapsed = now - s->prior_at;
    nsec interval = s->send_elapsed > ack_elapsed ? s->send_elapsed : ack_elapsed;
    /* Shorter than a round trip cannot be: retransmissions that were not what the ACK was about (3.3 of the draft). */
    if (!interval || min_rtt == NSEC_NEVER || interval < min_rtt) return 0;
    uint64_t bytes = r->delivered - s->prior_delivered; /* at most what is outstanding, 2^30 */
    return bytes * NSEC_PER_SEC / interval;
}

#endif
