/* SPDX-License-Identifier: MIT
 *
 * IP's part of a stack: its tables come and go together.
 */
#include "tcp/stack_impl.h"

#include <string.h>

#include "tcp/dhcp.h"
#include "tcp/frag.h"
#include "tcp/loop.h"
#include "tcp/nd.h"
#include "tcp/neighbour.h"
#include "tcp/pmtu.h"

int ip_layer_init(struct net_stack *s)
{
    memcpy(&s->ip.mac_word, s->conf.mac, ETH_ALEN);
    s->ip.generation = 1; /* a path that was never looked up has 0 */
    s->ip.mtu4 = s->ip.mtu6 = s->conf.mtu;
    s->ip.hops6 = 64;
    int err = loop_init(s);
    if (!err) err = neighbour_init(s);
    if (!err) err = frag_init(s);
    if (!err) err = pmtu_init(s);
    if (!err && s->conf.ipv6) err = nd_init(s);
    if (!err && s->conf.dhcp) err = dhcp_init(s);
    if (err) ip_layer_fini(s);
    return err;
}

/* Also of one that was made by half. */
void ip_layer_fini(struct net_stack *s)
{
    dhcp_fini(s);
    nd_fini(s);
    pmtu_fini(s);
    frag_fini(s);
    neighbour_fini(s);
    loop_fini(s);
}

static void check_ring(const struct net_stack *s)
{
    ASSERT(s->tx.tail - s->tx.head <= s->tx.mask + 1);
    ASSERT(s->ip.loop.tail - s->ip.loop.head <= s->ip.loop.mask + 1);
}

void ip_layer_check(const struct net_stack *s)
{
    check_ring(s);
    neighbour_check(s);
    frag_check(s);
}
