/* SPDX-License-Identifier: MIT
 *
 * No congestion control: one window, too large to matter, for links that lose nothing (a simulated wire, a cable
 * between two machines, a benchmark of everything else). What holds the sender back is the peer's window.
 *
 * Deviation from RFC 5681, on purpose and never by default: on a shared network it does harm.
 */
#include "tcp/cc.h"

#define FIXED_WINDOW (1u << 30) /* the largest a peer can offer (RFC 7323 2.3) */

static bool none_init(struct cc *c, nsec now) /* ssthresh stays UINT32_MAX: no PRR */
{
    c->cwnd = FIXED_WINDOW;
    return true;
}

static void none_acked(struct cc *c, const struct cc_ack *a) { c->cwnd = FIXED_WINDOW; } /* whatever another one left */
static void none_congestion(struct cc *c, uint32_t in_flight, nsec now, bool ecn) { (void)c; }
static void none_timeout(struct cc *c, uint32_t in_flight, nsec now) { (void)c; }
static void none_recovered(struct cc *c, nsec now) { (void)c; }

const struct cc_ops cc_none = {
    .name = "none",
    .init = none_init,
    .acked = none_acked,
    .congestion = none_congestion,
    .timeout = none_timeout,
    .recovered = none_recovered,
};
