/* SPDX-License-Identifier: MIT
 *
 * The layout stands in the header. Two hashes of addresses, ports and the peer's ISN under one key: MASK hides the four
 * plain bits, so that a cookie looks like any other ISN; MAC covers, besides, the minute, the MSS index and what went
 * into the timestamp.
 *
 * Only the lowest bit of the minute travels: a cookie is of this minute or of the one before, and they differ in it.
 */
#include "tcp/cookie.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"

/* Ascending. The first is for peers that ask for less than every path can do; then the defaults of both families
 * (RFC 9293 3.7.1), tunnels and PPPoE of either, Ethernet over IPv6 and IPv4, jumbo frames. */
static const uint16_t mss_table[8] = {64, 536, 1220, 1360, 1420, 1440, 1460, 8940};

#define MAC_BITS    28
#define MAC_MASK    ((1u << MAC_BITS) - 1)
#define WSCALE_NONE 15u
#define TS_SACK     0x10u
#define TS_ECN      0x20u

struct cookie_input {
    struct ip_addr local, remote;
    uint16_t local_port, remote_port;
    tcp_seq peer_isn;
    uint64_t step; /* minutes; UINT64_MAX: for the mask */
    uint32_t mss_index;
    uint32_t carried; /* the bits in the timestamp; bit 8: there is one */
};
static_assert(sizeof(struct cookie_input) == 56, "no padding is hashed");

static struct cookie_input input_of(const struct ip_port *local, const struct ip_port *remote, tcp_seq peer_isn)
{
    return (struct cookie_input){local->addr, remote->addr, local->port, remote->port, peer_isn, UINT64_MAX, 0, 0};
}

static uint32_t carried_bits(const struct cookie_opts *o)
{
    return (o->has_wscale ? o->wscale & 0xfu : WSCALE_NONE) | (o->sack ? TS_SACK : 0) | (o->ecn ? TS_ECN : 0);
}

static uint32_t carried_of(bool ts, uint32_t bits) { return ts ? 0x100 | bits : 0; }

static uint32_t mss_index_of(uint16_t mss)
{
    uint32_t i = sizeof mss_table / sizeof *mss_table - 1;
    while (i > 0 && mss_table[i] > mss) i--;
    return i;
}

static uint32_t mac_of(struct cookie_input in, uint64_t step, uint32_t mss_index, uint32_t carried,
                       const uint8_t key[16])
{
    in.step = step;
    in.mss_index = mss_index;
    in.carried = carried;
    return (uint32_t)siphash24(&in, sizeof in, key) & MAC_MASK;
}

tcp_seq cookie_make(const struct ip_port *local, const struct ip_port *remote, tcp_seq peer_isn,
                    const struct cookie_opts *o, const uint8_t key[16], nsec now)
{
    struct cookie_input in = input_of(local, remote, peer_isn);
    uint64_t step = now / COOKIE_STEP_NS;
    uint32_t mask = (uint32_t)siphash24(&in, sizeof in, key);
    uint32_t index = mss_index_of(o->mss);
    uint32_t mac = mac_of(in, step, index, carried_of(o->ts, carried_bits(o)), key);
    return mask ^ (index << 29 | (uint32_t)(step & 1) << MAC_BITS | mac);
}

uint32_t cookie_ts_val(uint32_t ts_val, const struct cookie_opts *o)
{
    uint32_t v = (ts_val & ~COOKIE_TS_MASK) | carried_bits(o);
    return (int32_t)(v - ts_val) > 0 ? v - (COOKIE_TS_MASK + 1) : v;
}

bool cookie_check(const struct ip_port *local, const struct ip_port *remote, tcp_seq peer_isn, tcp_seq cookie, bool ts,
                  uint32_t ts_ecr, const uint8_t key[16], nsec now, struct cookie_opts *out)
{
    struct cookie_input in = input_of(local, remote, peer_isn);
    uint32_t plain = cookie ^ (uint32_t)siphash24(&in, sizeof in, key);
    uint32_t index = plain >> 29, bits = ts_ecr & COOKIE_TS_MASK;
    uint64_t step = now / COOKIE_STEP_NS;
    if ((step & 1) != (plain >> MAC_BITS & 1)) {
        if (step == 0) return false; /* the clock has just begun: there was no minute before */
        step--;
    }
    if (mac_of(in, step, index, carried_of(ts, bits), key) != (plain & MAC_MASK)) return false;
    uint32_t wscale = bits & 0xf;
    *out = (struct cookie_opts){.mss = mss_table[index], .ts = ts};
    if (!ts) return true;
    out->has_wscale = wscale != WSCALE_NONE;
    out->wscale = out->has_wscale ? (uint8_t)wscale : 0;
    out->sack = bits & TS_SACK;
    out->ecn = bits & TS_ECN;
    return true;
}
