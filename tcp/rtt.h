/* SPDX-License-Identifier: MIT
 *
 * Round trip time and retransmission timeout: RFC 6298 in integers, ns. The minimum over a window of 5 minutes is kept
 * for RACK and BBR (the windowed filter of RFC 8985 6.1's min_RTT).
 */
#ifndef TCP_RTT_H
#define TCP_RTT_H

#include "alloc/base/clock.h"

struct rtt {
    uint64_t srtt8;     /* 8 * SRTT, 0: no sample yet */
    uint64_t rttvar4;   /* 4 * RTTVAR */
    uint64_t min;       /* of the window; NSEC_NEVER: no sample yet */
    uint64_t min_fresh; /* private: of the half of the window that is running */
    nsec min_at;        /* private: when that began */
};

void rtt_init(struct rtt *r);
/* A sample; Karn's rule is the caller's. */
void rtt_sample(struct rtt *r, nsec sample, nsec now);
/* SRTT + max(G, 4 RTTVAR), within [min, max]; `initial` without a sample. */
nsec rtt_rto(const struct rtt *r, nsec initial, nsec min, nsec max);
static inline nsec rtt_srtt(const struct rtt *r) { return r->srtt8 >> 3; }

#endif
