/* SPDX-License-Identifier: MIT
 *
 *     ISN = M + F(localip, localport, remoteip, remoteport, secret)       RFC 6528 3
 *
 * F is SipHash-2-4 cut to 32 bits. RFC 6528 names MD5 as an example and asks for a function that cannot be inverted
 * from outside; SipHash is made for short messages and a secret key, and costs 24 ns. The word `what` keeps the two
 * uses of one key apart.
 */
#include "tcp/isn.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"

enum { WHAT_ISN = 1, WHAT_TS = 2 };

struct isn_input {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    uint32_t what;
};
static_assert(sizeof(struct isn_input) == 40, "no padding is hashed");

static uint32_t tuple_hash(const struct ip_port *local, const struct ip_port *remote, uint32_t what,
                           const uint8_t key[16])
{
    struct isn_input in = {local->addr, remote->addr, local->port, remote->port, what};
    return (uint32_t)siphash24(&in, sizeof in, key);
}

tcp_seq isn_make(const struct ip_port *local, const struct ip_port *remote, const uint8_t key[16], nsec now)
{
    return (tcp_seq)(now / ISN_TICK_NS) + tuple_hash(local, remote, WHAT_ISN, key);
}

uint32_t isn_ts_offset(const struct ip_port *local, const struct ip_port *remote, const uint8_t key[16])
{
    return tuple_hash(local, remote, WHAT_TS, key);
}
