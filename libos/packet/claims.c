/* SPDX-License-Identifier: MIT
 *
 * A bit a port, and one switch for the ports above the kernel's, which active opens use.
 */
#include "libos/packet/claims.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

#define RANGE_FILE    "/proc/sys/net/ipv4/ip_local_port_range"
#define RANGE_DEFAULT 60999 /* Linux's highest */

void claims_init(struct claims *c)
{
    memset(c, 0, sizeof *c);
    unsigned low = 0, high = RANGE_DEFAULT;
    FILE *f = fopen(RANGE_FILE, "re");
    if (f) {
        if (fscanf(f, "%u %u", &low, &high) != 2 || high > 65535) high = RANGE_DEFAULT;
        fclose(f);
    }
    /* A kernel that was given everything leaves us the last one: two users of one port, which the guard decides for
     * us. */
    c->ephemeral_first = (uint16_t)(high < 65535 ? high + 1 : 65535);
}

int claims_set(struct claims *c, uint8_t proto, uint16_t port, bool on)
{
    if (proto != IPPROTO_TCP && proto != IPPROTO_UDP) return -EPROTONOSUPPORT;
    unsigned which = proto == IPPROTO_TCP ? CLAIMS_TCP : CLAIMS_UDP;
    if (!port) {
        bool was = c->ephemeral[which];
        c->ephemeral[which] = on;
        return was != on;
    }
    uint64_t bit = (uint64_t)1 << (port & 63), *word = &c->bits[which][port >> 6];
    if (!(*word & bit) == !on) return 0;
    *word ^= bit;
    c->count[which] += on ? 1u : -1u;
    return 1;
}

uint64_t claims_word(const struct claims *c, unsigned which, unsigned word)
{
    uint64_t bits = c->bits[which][word];
    if (!c->ephemeral[which] || word < c->ephemeral_first >> 6) return bits;
    return bits | (word > c->ephemeral_first >> 6 ? ~(uint64_t)0 : ~(uint64_t)0 << (c->ephemeral_first & 63));
}
