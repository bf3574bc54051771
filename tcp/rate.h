/* SPDX-License-Identifier: MIT
 *
 * Delivery rate samples (draft-cheng-iccrg-delivery-rate-estimation): how fast did data arrive between the moment a
 * segment was sent and its acknowledgement. For BBR; and what counts its round trips. Only a connection whose
 * controller asks for it has a struct rate.
 *
 * What a sample needs of a segment lies in a ring beside inflight's, by the same index.
 */
#ifndef TCP_RATE_H
#define TCP_RATE_H

#include "tcp/inflight.h"

struct seg_rate {       /* of one segment, as it was last sent */
    nsec first_at;      /* when the first of the flight was sent */
    nsec delivered_at;  /* when `delivered` was reached */
    uint64_t delivered; /* C.delivered */
};

struct rate {             /* of a connection */
    uint64_t delivered;   /* C.delivered: bytes acknowledged or SACKed */
    nsec delivered_at;    /* C.delivered_time */
    nsec first_at;        /* C.first_sent_time */
    uint64_t app_limited; /* C.app_limited: samples are too low until so much is delivered; 0: they are not */
    uint64_t round_end;   /* `delivered` with which this round trip ends */
    uint32_t round;
    uint32_t room;         /* private: of segs, a power of two */
    struct seg_rate *segs; /* private; NULL: no ring */
    nsec pace_at;          /* pacing: nothing new before */
};

struct rate_sample { /* of one ACK: the last sent of the segments it delivers */
    uint64_t prior_delivered;
    nsec prior_at, send_elapsed, sent_at;
    bool any, app_limited;
};

/* With all that is on the way as if it had been sent now. NULL: out of memory. */
struct rate *rate_new(const struct inflight *f, nsec now);
void rate_free(struct rate *r); /* NULL is allowed */
/* As many places as f has; false: out of memory. */
bool rate_grow(struct rate *r, const struct inflight *f);
static inline bool rate_reserve(struct rate *r, const struct inflight *f)
{
    return r->room >= f->room || rate_grow(r, f);
}
/* Indices have changed: all that is on the way as if it had been sent now. */
void rate_reset(struct rate *r, const struct inflight *f, nsec now);

static inline struct seg_rate *rate_at(const struct rate *r, uint32_t i) { return &r->segs[i & (r->room - 1)]; }

/* Record i is sent, new or again, while `outstanding` bytes are on the way; there is room. */
static inline void rate_sent(struct rate *r, const struct inflight *f, uint32_t i, uint32_t outstanding, nsec now)
{
    struct sent_seg *g = inflight_at(f, i);
    if (!outstanding) r->first_at = r->delivered_at = now;
    *rate_at(r, i) =
        (struct seg_rate){.first_at = r->first_at, .delivered_at = r->delivered_at, .delivered = r->delivered};
    if (r->app_limited) g->flags |= SEG_APP_LIMITED;
    else g->flags &= (uint8_t)~SEG_APP_LIMITED;
}

static inline void rate_count(struct rate *r, uint32_t bytes, nsec now)
{
    r->delivered += bytes;
    r->delivered_at = now;
}

/* Record i is delivered: the sample is of it, if it was sent last. */
static inline void rate_note(struct rate *r, struct rate_sample *s, const struct inflight *f, uint32_t i)
{
    const struct sent_seg *g = inflight_at(f, i);
    const struct seg_rate *sent = rate_at(r, i);
    if (s->any &&
        (sent->delivered < s->prior_delivered || (sent->delivered == s->prior_delivered && g->sent_at < s->sent_at)))
        return;
    s->any = true;
    s->prior_delivered = sent->delivered;
    s->prior_at = sent->delivered_at;
    s->send_elapsed = g->sent_at - sent->first_at;
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
