/* SPDX-License-Identifier: MIT
 *
 * RFC 6056 3.3.4, in its words:
 *
 *     offset = F(local IP, remote IP, remote port, secret1)      index = G(the same, secret2)
 *     port   = low + (offset + table[index]++) % (high - low + 1), until one is free
 *
 * One SipHash gives both: its upper half is the offset, its lower bits the index. The counters begin at hashed values,
 * so that the first connection after a start tells no more than a later one.
 */
#include "tcp/ports.h"

#include <errno.h>

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"

struct ports_input {
    struct ip_addr local, remote;
    uint16_t remote_port, zero[3];
};
static_assert(sizeof(struct ports_input) == 40, "no padding is hashed");
static_assert((PORTS_CLOCKS & (PORTS_CLOCKS - 1)) == 0, "a mask is taken of it");

int ports_init(struct ports *p, uint16_t low, uint16_t high, const uint8_t key[16])
{
    if (low == 0 && high == 0) low = PORTS_LOW_DEFAULT, high = PORTS_HIGH_DEFAULT;
    if (low == 0 || high < low) return -EINVAL;
    p->low = low;
    p->high = high;
    for (uint32_t i = 0; i < PORTS_CLOCKS; i++) p->clocks[i] = (uint32_t)siphash24(&i, sizeof i, key);
    return 0;
}

int ports_choose(struct ports *p, const struct ip_addr *local, const struct ip_port *remote, const uint8_t key[16],
                 ports_in_use_fn in_use, void *arg, uint16_t *out)
{
    struct ports_input in = {.local = *local, .remote = remote->addr, .remote_port = remote->port};
    uint64_t h = siphash24(&in, sizeof in, key);
    uint32_t *clock = &p->clocks[h & (PORTS_CLOCKS - 1)];
    uint32_t count = (uint32_t)p->high - p->low + 1;
    /* Taken modulo count before the sum wraps, so that `count` tries see each port once. */
    uint32_t at = (uint32_t)(((h >> 32) + *clock) % count);
    for (uint32_t tries = 0; tries < count; tries++) {
        uint16_t port = (uint16_t)(p->low + at);
        ++*clock;
        if (++at == count) at = 0;
        if (in_use(arg, port)) continue;
        *out = port;
        return 0;
    }
    return -EADDRINUSE;
}
