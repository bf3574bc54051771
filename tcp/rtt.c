/* SPDX-License-Identifier: MIT
 *
 * RFC 6298 2, scaled so that nothing is lost to rounding: srtt8 = 8 SRTT, rttvar4 = 4 RTTVAR.
 *
 *     first sample R     SRTT = R,  RTTVAR = R/2                                       (2.2)
 *     then               RTTVAR = 3/4 RTTVAR + 1/4 |SRTT - R|,  SRTT = 7/8 SRTT + 1/8 R   (2.3: in this order)
 *
 * The gains are those for one sample a round trip. With timestamps there is one for each ACK; RFC 7323 appendix G would
 * have the gains divided by the number of them. Deviation: they are not, as in Linux; the floor of the timeout is what
 * keeps the shorter memory from making it too tight.
 *
 * The minimum: a window of five minutes in two halves. A half that ends becomes the past one, so that a minimum is
 * forgotten 150 to 300 s after it was measured, and never all of them at once.
 */
#include "tcp/rtt.h"

#define SAMPLE_NS_MAX (600 * NSEC_PER_SEC) /* nothing real takes longer; keeps 8 SRTT far from overflowing */
/* G: timers come up to a tick and a turn of the loop late; delayed ACKs add their own */
#define GRANULARITY_NS NSEC_PER_MSEC
#define MIN_HALF_NS    (150 * NSEC_PER_SEC)

void rtt_init(struct rtt *r) { *r = (struct rtt){.min = NSEC_NEVER, .min_fresh = NSEC_NEVER}; }

static void sample_min(struct rtt *r, nsec sample, nsec now)
{
    if (r->min == NSEC_NEVER) {
        r->min_at = now;
    } else if (now - r->min_at >= MIN_HALF_NS) {
        r->min = r->min_fresh;
        r->min_fresh = NSEC_NEVER;
        r->min_at = now;
    }
    if (sample < r->min_fresh) r->min_fresh = sample;
    if (sample < r->min) r->min = sample;
}

void rtt_sample(struct rtt *r, nsec sample, nsec now)
{
    if (sample == 0) sample = 1; /* 0 means "none" */
    if (sample > SAMPLE_NS_MAX) sample = SAMPLE_NS_MAX;
    sample_min(r, sample, now);
    if (r->srtt8 == 0) {
        r->srtt8 = 8 * sample;
        r->rttvar4 = 2 * sample;
        return;
    }
    nsec srtt = r->srtt8 >> 3;
    r->rttvar4 = r->rttvar4 - (r->rttvar4 >> 2) + (srtt > sample ? srtt - sample : sample - srtt);
    r->srtt8 = r->srtt8 - srtt + sample;
}

nsec rtt_rto(const struct rtt *r, nsec initial, nsec min, nsec max)
{
    if (r->srtt8 == 0) return initial;
    nsec rto = (r->srtt8 >> 3) + (r->rttvar4 > GRANULARITY_NS ? r->rttvar4 : GRANULARITY_NS);
    return rto < min ? min : rto > max ? max : rto;
}
