/* SPDX-License-Identifier: MIT
 *
 * All of it is small arrays walked from the front: 16 addresses, 16 prefixes, 4 routers. A path looks here once, and
 * again when the generation has moved; packets that come in compare with own4, the usable IPv4 addresses as they lie on
 * the wire.
 *
 * RFC 6724 5 with one interface: rule 1 (same address: the loop), 2 (scope: link-local talks to link-local), 3 (no
 * deprecated ones), 8 (longest matching prefix) remain. Next hops of IPv6: RFC 4861 5.2, 6.3.6.
 */
#include "tcp/route.h"

#include <errno.h>

#include "tcp/arp.h"
#include "tcp/dhcp.h"
#include "tcp/nd.h"
#include "tcp/neighbour.h"

static bool is_usable(const struct own_addr *a) { return a->state == OWN_PREFERRED || a->state == OWN_DEPRECATED; }

static uint32_t mask_of(unsigned bits) { return bits ? __builtin_bswap32(UINT32_MAX << (32 - bits)) : 0; }

/* What packets are compared with: own4, and how far to look. */
static void own4_build(struct net_stack *s)
{
    uint32_t n = 0;
    s->ip.addr_end = 0;
    for (unsigned i = 0; i < IP_ADDRS_MAX; i++) {
        const struct own_addr *a = &s->ip.addrs[i];
        if (a->state != OWN_NONE) s->ip.addr_end = i + 1;
        if (!is_usable(a) || !addr_is_v4(&a->addr)) continue;
        uint32_t mask = mask_of(a->bits);
        s->ip.own4[n++] = (struct own_addr4){
            .addr = a->addr.w[3], .mask = mask, .broadcast = a->bits && a->bits < 31 ? a->addr.w[3] | ~mask : 0};
    }
    s->ip.own4_count = n;
}

struct own_addr *route_find(struct net_stack *s, const struct ip_addr *a)
{
    for (unsigned i = 0; i < IP_ADDRS_MAX; i++)
        if (s->ip.addrs[i].state != OWN_NONE && addr_equal(&s->ip.addrs[i].addr, a)) return &s->ip.addrs[i];
    return NULL;
}

bool route_is_own(const struct net_stack *s, const struct ip_addr *a)
{
    for (unsigned i = 0; i < s->ip.addr_end; i++)
        if (addr_equal(&s->ip.addrs[i].addr, a) && is_usable(&s->ip.addrs[i])) return true;
    return false;
}

bool stack_is_local(const struct net_stack *s, const struct ip_addr *a)
{
    return route_is_own(s, a) || addr_is_loopback(a);
}

bool stack_address(const struct net_stack *s, unsigned i, struct ip_addr *a, unsigned *bits)
{
    for (unsigned at = 0; at < IP_ADDRS_MAX; at++) {
        const struct own_addr *own = &s->ip.addrs[at];
        if (!is_usable(own) || i-- > 0) continue;
        *a = own->addr;
        *bits = own->bits;
        return true;
    }
    return false;
}

bool route_is_broadcast(const struct net_stack *s, const struct ip_addr *a)
{
    if (!addr_is_v4(a)) return false;
    if (addr_is_broadcast4(a)) return true;
    for (uint32_t i = 0; i < s->ip.own4_count; i++)
        if (s->ip.own4[i].broadcast && s->ip.own4[i].broadcast == a->w[3]) return true;
    return false;
}

bool route_is_on_link(const struct net_stack *s, const struct ip_addr *a)
{
    bool v4 = addr_is_v4(a);
    for (uint32_t i = 0; v4 && i < s->ip.own4_count; i++)
        if (((a->w[3] ^ s->ip.own4[i].addr) & s->ip.own4[i].mask) == 0) return true;
    if (v4) return false;
    if (addr_is_link_local6(a)) return true;
    for (unsigned i = 0; i < IP_ADDRS_MAX; i++) {
        const struct own_addr *own = &s->ip.addrs[i]; /* a SLAAC address says nothing about its prefix (RFC 5942 3) */
        if (is_usable(own) && own->origin == OWN_STATIC && !addr_is_v4(&own->addr) &&
            addr_in_prefix(a, &own->addr, own->bits))
            return true;
    }
    for (unsigned i = 0; i < IP_PREFIXES_MAX; i++) {
        const struct ip_prefix *p = &s->ip.prefixes[i];
        if (p->until > s->now && addr_in_prefix(a, &p->addr, p->bits)) return true;
    }
    return false;
}

/* --- sources ------------------------------------------------------------------------------------------------------ */

static unsigned common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t differ = load_be64(a->b + i * 8) ^ load_be64(b->b + i * 8);
        if (differ) return i * 64 + (unsigned)__builtin_clzll(differ);
    }
    return 128;
}

static bool is_link_scope(const struct ip_addr *a)
{
    return addr_is_link_local6(a) || (a->b[0] == 0xff && (a->b[1] & 0x0f) <= 2);
}

/* The larger, the better an address of ours is for dst. 0: not at all. */
static unsigned source_score(const struct own_addr *own, const struct ip_addr *dst, bool dst_link_scope)
{
    if (!is_usable(own) || addr_is_v4(&own->addr) != addr_is_v4(dst)) return 0;
    unsigned score = 1 + common_bits(&own->addr, dst);
    if (addr_is_v4(dst)) return score + (addr_in_prefix(dst, &own->addr, own->bits) ? 256 : 0);
    if (addr_is_link_local6(&own->addr) == dst_link_scope) score += 512;
    return score + (own->state == OWN_PREFERRED ? 256 : 0);
}

int route_source(const struct net_stack *s, const struct ip_addr *dst, struct ip_addr *src)
{
    if (addr_is_loopback(dst) || route_is_own(s, dst)) {
        *src = *dst;
        return 0;
    }
    const struct own_addr *best = NULL;
    unsigned best_score = 0;
    bool link_scope = is_link_scope(dst);
    for (unsigned i = 0; i < IP_ADDRS_MAX; i++) {
        unsigned score = source_score(&s->ip.addrs[i], dst, link_scope);
        if (score <= best_score) continue;
        best_score = score;
        best = &s->ip.addrs[i];
    }
    if (!best) return -EADDRNOTAVAIL;
    *src = best->addr;
    return 0;
}

/* --- next hops ---------------------------------------------------------------------------------------------------- */

static bool is_live(const struct net_stack *s, const struct ip_router *r) { return r->until > s->now; }

/* RFC 4861 6.3.6: one that is not known to be unreachable first, else one after the other. */
static int default_router(struct net_stack *s, struct ip_addr *next)
{
    if (!addr_is_any(&s->ip.gateway6)) {
        *next = s->ip.gateway6;
        return 0;
    }
    for (unsigned i = 0; i < IP_ROUTERS_MAX; i++) {
        const struct ip_router *r = &s->ip.routers[(s->ip.router_next + i) % IP_ROUTERS_MAX];
        if (!is_live(s, r)) continue;
        s->ip.router_next = (uint8_t)((s->ip.router_next + i) % IP_ROUTERS_MAX);
        *next = r->addr;
        return 0;
    }
    return -ENETUNREACH;
}

int route_next_hop(struct net_stack *s, const struct ip_addr *dst, struct ip_addr *next)
{
    if (route_is_on_link(s, dst)) {
        *next = *dst;
        return 0;
    }
    if (!addr_is_v4(dst)) return default_router(s, next);
    if (addr_is_any(&s->ip.gateway4)) return -ENETUNREACH;
    *next = s->ip.gateway4;
    return 0;
}

void route_router_silent(struct net_stack *s, const struct ip_addr *router)
{
    const struct ip_router *r = &s->ip.routers[s->ip.router_next];
    if (!is_live(s, r) || !addr_equal(&r->addr, router)) return;
    s->ip.router_next = (uint8_t)((s->ip.router_next + 1) % IP_ROUTERS_MAX);
    route_changed(s);
}

void route_learn_router(struct net_stack *s, const struct ip_addr *router, nsec until)
{
    struct ip_router *free_slot = NULL;
    for (unsigned i = 0; i < IP_ROUTERS_MAX; i++) {
        struct ip_router *r = &s->ip.routers[i];
        if (is_live(s, r) && addr_equal(&r->addr, router)) {
            r->until = until > s->now ? until : 0;
            if (!r->until) route_changed(s);
            return;
        }
        if (!is_live(s, r) && !free_slot) free_slot = r;
    }
    /* with four there, a fifth is not needed (RFC 4861 6.3.4 asks for two) */
    if (!free_slot || until <= s->now) return;
    *free_slot = (struct ip_router){.addr = *router, .until = until};
    route_changed(s);
}

void route_learn_prefix(struct net_stack *s, const struct ip_addr *prefix, unsigned bits, nsec until)
{
    struct ip_prefix *free_slot = NULL;
    for (unsigned i = 0; i < IP_PREFIXES_MAX; i++) {
        struct ip_prefix *p = &s->ip.prefixes[i];
        if (p->until > s->now && p->bits == bits && addr_in_prefix(prefix, &p->addr, bits)) {
            p->until = until > s->now ? until : 0;
            if (!p->until) route_changed(s);
            return;
        }
        if (p->until <= s->now && !free_slot) free_slot = p;
    }
    if (!free_slot || until <= s->now) return;
    *free_slot = (struct ip_prefix){.addr = *prefix, .bits = (uint8_t)bits, .until = until};
    route_changed(s);
}

void route_set_gateway(struct net_stack *s, const struct ip_addr *gateway)
{
    if (addr_is_v4(gateway)) s->ip.gateway4 = *gateway;
    else s->ip.gateway6 = *gateway;
    route_changed(s);
}

int stack_set_gateway(struct net_stack *s, const struct ip_addr *gateway)
{
    if (addr_is_multicast(gateway) || addr_is_broadcast4(gateway) || addr_is_loopback(gateway)) return -EINVAL;
    if (stack_is_local(s, gateway)) return -EINVAL;
    route_set_gateway(s, gateway);
    return 0;
}

int stack_add_neighbour(struct net_stack *s, const struct ip_addr *a, const uint8_t mac[ETH_ALEN])
{
    if (addr_is_any(a) || addr_is_multicast(a) || addr_is_broadcast4(a) || addr_is_loopback(a)) return -EINVAL;
    return neighbour_add_static(s, a, mac);
}

/* --- own addresses ------------------------------------------------------------------------------------------------ */

static bool is_address_possible(const struct ip_addr *a, unsigned bits)
{
    if (addr_is_any(a) || addr_is_multicast(a) || addr_is_broadcast4(a) || addr_is_loopback(a)) return false;
    return bits <= (addr_is_v4(a) ? 32 : 128);
}

static void notify_address(struct net_stack *s, const struct own_addr *a, bool gone)
{
    if (a->origin != OWN_STATIC && s->hooks->address) s->hooks->address(s->arg, &a->addr, a->bits, gone);
}

void route_set_usable(struct net_stack *s, struct own_addr *a)
{
    a->state = OWN_PREFERRED;
    own4_build(s);
    route_changed(s);
    if (addr_is_v4(&a->addr) && s->conf.arp) arp_announce(s, &a->addr);
    notify_address(s, a, false);
}

void route_announce(struct net_stack *s)
{
    for (unsigned i = 0; i < s->ip.addr_end; i++) {
        const struct own_addr *a = &s->ip.addrs[i];
        if (!is_usable(a)) continue;
        if (!addr_is_v4(&a->addr)) nd_announce(s, &a->addr);
        else if (s->conf.arp) arp_announce(s, &a->addr);
    }
}

void route_set_deprecated(struct net_stack *s, struct own_addr *a, bool deprecated)
{
    if (!is_usable(a)) return;
    a->state = deprecated ? OWN_DEPRECATED : OWN_PREFERRED; /* existing paths go on: RFC 4862 5.5.4 */
}

int route_add(struct net_stack *s, const struct ip_addr *a, unsigned bits, enum own_addr_origin origin, bool sure,
              struct own_addr **out)
{
    if (!is_address_possible(a, bits)) return -EINVAL;
    if (route_find(s, a)) return -EEXIST;
    if (origin == OWN_STATIC && addr_is_v4(a) && s->ip.dhcp) dhcp_stop(s);
    struct own_addr *own = s->ip.addrs;
    while (own < s->ip.addrs + IP_ADDRS_MAX && own->state != OWN_NONE) own++;
    if (own == s->ip.addrs + IP_ADDRS_MAX) return -ENOSPC;
    *own = (struct own_addr){.addr = *a,
                             .bits = (uint8_t)bits,
                             .origin = (uint8_t)origin,
                             .state = OWN_TENTATIVE,
                             .preferred_until = NSEC_NEVER,
                             .valid_until = NSEC_NEVER,
                             .stack = s};
    own4_build(s);
    if (out) *out = own;
    if (addr_is_v4(a) || sure) route_set_usable(s, own);
    else nd_dad_start(s, own);
    return 0;
}

void route_remove(struct net_stack *s, struct own_addr *a)
{
    struct own_addr was = *a;
    wheel_stop(&s->wheel, &a->timer);
    a->state = OWN_NONE;
    own4_build(s);
    route_changed(s);
    if (!is_usable(&was)) return;
    tcp_address_gone(s, &was.addr);
    notify_address(s, &was, true);
}

int stack_add_address(struct net_stack *s, const struct ip_addr *a, unsigned bits, bool sure)
{
    return route_add(s, a, bits, OWN_STATIC, sure, NULL);
}

int stack_remove_address(struct net_stack *s, const struct ip_addr *a)
{
    struct own_addr *own = route_find(s, a);
    if (!own) return -EADDRNOTAVAIL;
    own->origin = OWN_STATIC; /* who asks for it need not be told */
    route_remove(s, own);
    return 0;
}
