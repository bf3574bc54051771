/* SPDX-License-Identifier: MIT
 *
 * Segments on their way: one record each, in order of sequence, [SND.UNA, SND.NXT) without a gap. The SACK scoreboard (RFC 2018, 6675) and
 * what RACK needs (RFC 8985 5.2): when each was sent last. Records split where a SACK block or a retransmission cuts them, and
 * merge again where they agree, so that their number is bounded by what is outstanding (CVE-2019-11478).
 */
#ifndef TCP_INFLIGHT_H
#define TCP_INFLIGHT_H

#include "tcp/options.h"

#include "alloc/base/clock.h"

enum seg_flags {
    SEG_SACKED = 1,
    SEG_LOST = 2,
    SEG_RETRANS = 4,      /* sent more than once */
    SEG_RETRANS_OUT = 8,  /* the retransmission is on its way */
    SEG_APP_LIMITED = 16, /* sent while the program had no more (rate samples) */
};

struct sent_seg {
    tcp_seq start, end;
    uint8_t flags;
    uint8_t times;     /* how often it was sent, saturating */
    nsec sent_at;      /* last */
    nsec first_at;     /* delivery rate estimate (draft-cheng-iccrg-delivery-rate-estimation) */
    uint64_t delivered; /* c's count when it was sent */
};

struct inflight {
    struct sent_seg *slots; /* a ring; NULL: nothing on the way */
    uint32_t room, head, count;
    uint32_t sacked, lost, retrans; /* bytes */
};

#define INFLIGHT_RECORDS_MAX 16384 /* beyond it nothing new is sent: the window of 16 Ki segments is 24 MB */

/* The rest is recover.c's and inflight.c's: see there. */
int inflight_sent(struct inflight *f, tcp_seq start, tcp_seq end, nsec now, uint64_t delivered, nsec first_at, bool app_limited);
void inflight_free(struct inflight *f);
void inflight_check(const struct inflight *f, tcp_seq una, tcp_seq nxt);
/* On the way as far as anybody knows: outstanding - sacked - lost + retransmitted (RFC 6675's pipe). */
static inline uint32_t inflight_pipe(const struct inflight *f, tcp_seq una, tcp_seq nxt)
{
    return nxt - una - f->sacked - f->lost + f->retrans;
}

#endif
