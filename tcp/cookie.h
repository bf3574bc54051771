/* SPDX-License-Identifier: MIT
 *
 * SYN cookies (RFC 4987 3.6): with the half-open queue full, the SYN-ACK's sequence number says all we need to know
 * when the handshake's ACK comes back, and nothing is kept in between.
 *
 *     31   29 28    27                                     0
 *     | MSS  | clock | 28 bits of a keyed hash over all    |  the whole XORed with a second hash of addresses and ports
 *
 * What does not fit travels in the low six bits of our timestamp, if the peer sends timestamps (it echoes ours);
 * without them there is no window scale, no SACK and no ECN:
 *
 *     31                        6     5     4    3         0
 *     | our clock               | ECN | SACK | window scale |   15: the peer has none
 *
 * The hash covers those six bits, too. A cookie is good for the minute it was made in and the next one. Guessing one
 * takes 2^28 segments on average for a window of two minutes: callers bound and count the misses (drop_tcp_cookie).
 */
#ifndef TCP_COOKIE_H
#define TCP_COOKIE_H

#include "alloc/base/clock.h"
#include "tcp/addr.h"
#include "tcp/seq.h"

#define COOKIE_STEP_NS (60 * NSEC_PER_SEC)
#define COOKIE_TS_MASK 0x3fu

/* What the SYN asked for and we agreed to. */
struct cookie_opts {
    /* of its option, 536 or 1220 without one; what comes back is rounded down to a value of the table */
    uint16_t mss;
    bool ts;
    bool has_wscale; /* this and the rest count only with ts */
    uint8_t wscale;  /* the peer's, at most 14; ours must be the same for every cookie (by configuration) */
    bool sack, ecn;
};

/* The ISN of the SYN-ACK to a SYN with sequence number peer_isn. */
tcp_seq cookie_make(const struct ip_port *local, const struct ip_port *remote, tcp_seq peer_isn,
                    const struct cookie_opts *o, const uint8_t key[16], nsec now);

/* The SYN-ACK's TSval: ts_val (clock and offset, as it would be sent) with its low bits replaced, never later than
 * it: at most 63 earlier. So the echo of it gives no RTT sample. */
uint32_t cookie_ts_val(uint32_t ts_val, const struct cookie_opts *o);

/* An ACK for no connection: peer_isn is SEG.SEQ - 1, cookie SEG.ACK - 1, ts and ts_ecr what its options say. true:
 * we made that cookie for this four-tuple, at most two minutes ago; *out is what was agreed on. Costs two hashes. */
bool cookie_check(const struct ip_port *local, const struct ip_port *remote, tcp_seq peer_isn, tcp_seq cookie, bool ts,
                  uint32_t ts_ecr, const uint8_t key[16], nsec now, struct cookie_opts *out);

#endif
