/* SPDX-License-Identifier: MIT
 *
 * What a connection begins to count from: its initial sequence number (RFC 6528, RFC 9293 3.4.1) and the offset of its
 * timestamps (RFC 7323 5.4). Both are a clock plus a keyed hash of addresses and ports: for one four-tuple they only
 * grow, so that an old incarnation's segments are told from a new one's; between four-tuples nobody without the key can
 * conclude from one to the other.
 */
#ifndef TCP_ISN_H
#define TCP_ISN_H

#include "alloc/base/clock.h"
#include "tcp/addr.h"
#include "tcp/seq.h"

#define ISN_TICK_NS 4000u /* M of RFC 9293 3.4.1 goes up each 4 us: around in 4.77 hours */

tcp_seq isn_make(const struct ip_port *local, const struct ip_port *remote, const uint8_t key[16], nsec now);

/* To be added to the milliseconds of our clock. Without the clock: the same for each incarnation of a four-tuple. */
uint32_t isn_ts_offset(const struct ip_port *local, const struct ip_port *remote, const uint8_t key[16]);

#endif
