/* SPDX-License-Identifier: MIT
 *
 * Sequence numbers: 32 bits that wrap (RFC 9293 3.4). Two of them are compared by the sign of their difference, which
 * is right while they are less than 2^31 apart; windows are at most 2^30 (RFC 7323 2.3), so they are.
 */
#ifndef TCP_SEQ_H
#define TCP_SEQ_H

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t tcp_seq;

static inline bool seq_before(tcp_seq a, tcp_seq b) { return (int32_t)(a - b) < 0; }
static inline bool seq_after(tcp_seq a, tcp_seq b) { return (int32_t)(a - b) > 0; }
static inline bool seq_before_eq(tcp_seq a, tcp_seq b) { return (int32_t)(a - b) <= 0; }
static inline bool seq_after_eq(tcp_seq a, tcp_seq b) { return (int32_t)(a - b) >= 0; }
static inline tcp_seq seq_max(tcp_seq a, tcp_seq b) { return seq_after(a, b) ? a : b; }
static inline tcp_seq seq_min(tcp_seq a, tcp_seq b) { return seq_before(a, b) ? a : b; }

#endif
