/* SPDX-License-Identifier: MIT
 *
 * A host's part of neighbour discovery. Every message must have come with a hop limit of 255, from nobody who is not on
 * the link, in no fragment (RFC 4861 6.1, 7.1; RFC 6980); its options are walked once before anything is believed, and
 * one of length 0 ends it all (4.6).
 *
 * Our addresses: a link-local one, and one in each /64 that a router says to make addresses in (RFC 4862 5.5), at most
 * SLAAC_MAX. Their lower halves are SipHash of prefix, MAC and our secret (RFC 7217 5): stable in one network,
 * unrelated between networks. Each is tried for duplicates before it is used, with a nonce by which an echo of our own
 * question is told apart (RFC 7527); a made-up one that is taken is made again, three times at most.
 *
 *     route_add -> TENTATIVE --probe, 1 s of silence--> PREFERRED --preferred lifetime--> DEPRECATED --valid one-> gone
 *                      | somebody has it
 *                      v
 *                    gone, perhaps another
 *
 * Deviations: redirects are not followed (anybody on the link could send them); the routers' reachable and
 * retransmission times are not taken over (conf.arp_lifetime and arp_retry stand for both families); no MLD reports:
 * fine on links that flood multicast.
 */
#include "tcp/nd.h"

#include <errno.h>
#include <netinet/in.h>

#include "alloc/base/hash.h"
#include "alloc/heap.h"
#include "tcp/hdr.h"
#include "tcp/neighbour.h"
#include "tcp/path_impl.h"
#include "tcp/route.h"

#define SOLICIT_TRIES    3 /* MAX_RTR_SOLICITATIONS */
#define SOLICIT_INTERVAL (4 * NSEC_PER_SEC)
#define SOLICIT_DELAY    NSEC_PER_SEC /* MAX_RTR_SOLICITATION_DELAY */
#define DAD_PROBES       1            /* DupAddrDetectTransmits */
#define DAD_WAIT         NSEC_PER_SEC
#define ID_TRIES         3 /* IDGEN_RETRIES */
#define SLAAC_MAX        8
#define TWO_HOURS        (7200 * NSEC_PER_SEC)
#define HOPS             255
#define MTU_MIN6         1280

enum { OPT_SOURCE_MAC = 1, OPT_TARGET_MAC = 2, OPT_PREFIX = 3, OPT_MTU = 5, OPT_NONCE = 14 };
enum { FLAG_ROUTER = 0x80, FLAG_SOLICITED = 0x40, FLAG_OVERRIDE = 0x20 }; /* of advertisements */
enum { PREFIX_ON_LINK = 0x80, PREFIX_AUTONOMOUS = 0x40 };

struct nd_msg { /* neighbour solicitation and advertisement */
    struct icmp_hdr h;
    uint8_t target[16];
} PACKED;
struct nd_mac {
    uint8_t type, len, mac[ETH_ALEN];
} PACKED;
struct nd_nonce {
    uint8_t type, len, nonce[6];
} PACKED;
struct nd_router_advert {
    uint8_t type, code;
    be16 csum;
    uint8_t hops, flags;
    be16 lifetime;
    be32 reachable, retrans;
} PACKED;
struct nd_prefix {
    uint8_t type, len, bits, flags;
    be32 valid, preferred, reserved;
    uint8_t prefix[16];
} PACKED;

struct nd {
    struct net_stack *stack;
    struct timer solicit, expire;
    unsigned solicits_left;
};

static const struct ip_addr unspecified;
static const struct ip_addr all_nodes = {.b = {0xff, 2, [15] = 1}};
static const struct ip_addr all_routers = {.b = {0xff, 2, [15] = 2}};
static const struct ip_addr link_local_prefix = {.b = {0xfe, 0x80}};

struct ip_addr nd_solicited_node(const struct ip_addr *a)
{
    struct ip_addr group = {.b = {0xff, 2, [11] = 1, 0xff, a->b[13], a->b[14], a->b[15]}};
    return group;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static void send_message(struct net_stack *s, const struct ip_addr *src, const struct ip_addr *dst, const void *msg,
                         uint32_t n)
{
    struct path p;
    struct path_ends ends = path_between(src, dst);
    path_prepare(&p, &ends, IPPROTO_ICMPV6, HOPS);
    p.mtu = s->conf.mtu;
    struct buf *b = buf_take_exact(n);
    if (!b) {
        s->n.drop_memory++;
        return;
    }
    memcpy(buf_put_back(b, n), msg, n);
    s->n.nd_tx++;
    path_send(s, &p, b, n, sizeof(struct icmp_hdr), 0, 0);
}

static struct nd_mac mac_option(const struct net_stack *s, uint8_t type)
{
    struct nd_mac o = {.type = type, .len = 1};
    memcpy(o.mac, s->conf.mac, ETH_ALEN);
    return o;
}

void nd_ask(struct net_stack *s, const struct ip_addr *a, const uint8_t *to)
{
    struct {
        struct nd_msg m;
        struct nd_mac o;
    } PACKED q = {.m.h.type = ND_SOLICIT, .o = mac_option(s, OPT_SOURCE_MAC)};
    struct ip_addr src, dst = to ? *a : nd_solicited_node(a);
    if (route_source(s, a, &src)) return;
    memcpy(q.m.target, a->b, 16);
    send_message(s, &src, &dst, &q, sizeof q);
}

static void send_probe(struct net_stack *s, struct own_addr *a)
{
    struct {
        struct nd_msg m;
        struct nd_nonce o;
    } PACKED q = {.m.h.type = ND_SOLICIT, .o = {.type = OPT_NONCE, .len = 1}};
    struct ip_addr dst = nd_solicited_node(&a->addr);
    a->dad_nonce = rng_u64(&s->rng) >> 16;
    memcpy(q.m.target, a->addr.b, 16);
    memcpy(q.o.nonce, &a->dad_nonce, sizeof q.o.nonce);
    send_message(s, &unspecified, &dst, &q, sizeof q);
}

static void advertise(struct net_stack *s, const struct ip_addr *target, const struct ip_addr *to, uint8_t flags)
{
    struct {
        struct nd_msg m;
        struct nd_mac o;
    } PACKED q = {.m.h = {.type = ND_ADVERT, .rest = be32_of((uint32_t)flags << 24)},
                  .o = mac_option(s, OPT_TARGET_MAC)};
    memcpy(q.m.target, target->b, 16);
    send_message(s, target, to, &q, sizeof q);
}

void nd_announce(struct net_stack *s, const struct ip_addr *a) { advertise(s, a, &all_nodes, FLAG_OVERRIDE); }

static void send_router_solicit(struct net_stack *s)
{
    struct {
        struct icmp_hdr h;
        struct nd_mac o;
    } PACKED q = {.h.type = ND_ROUTER_SOLICIT, .o = mac_option(s, OPT_SOURCE_MAC)};
    struct ip_addr src = unspecified;
    bool has_source = route_source(s, &all_routers, &src) == 0;
    send_message(s, &src, &all_routers, &q, has_source ? sizeof q : sizeof q.h); /* RFC 4861 4.1 */
}

/* --- our addresses ------------------------------------------------------------------------------------------------ */

/* RFC 7217 5; reserved identifiers (RFC 5453) have too few of them to be met, but the all-zero one is the routers'
 * anycast. */
static struct ip_addr stable_address(const struct net_stack *s, const struct ip_addr *prefix, uint8_t dad_count)
{
    uint8_t in[8 + ETH_ALEN + 1];
    struct ip_addr a = *prefix;
    memcpy(in, prefix->b, 8);
    memcpy(in + 8, s->conf.mac, ETH_ALEN);
    in[14] = dad_count;
    a.q[1] = siphash24(in, sizeof in, s->key_misc) | 1;
    return a;
}

static void set_lifetime_timer(struct own_addr *a);

static void lifetime_fired(struct timer *t)
{
    struct own_addr *a = container_of(t, struct own_addr, timer);
    struct net_stack *s = a->stack;
    if (a->valid_until <= s->now) {
        route_remove(s, a);
        return;
    }
    route_set_deprecated(s, a, a->preferred_until <= s->now);
    set_lifetime_timer(a);
}

static void set_lifetime_timer(struct own_addr *a)
{
    nsec now = a->stack->now;
    nsec next = a->preferred_until > now && a->preferred_until < a->valid_until ? a->preferred_until : a->valid_until;
    if (next != NSEC_NEVER) wheel_start(&a->stack->wheel, &a->timer, next, lifetime_fired);
    else wheel_stop(&a->stack->wheel, &a->timer);
}

static void dad_fired(struct timer *t)
{
    struct own_addr *a = container_of(t, struct own_addr, timer);
    struct net_stack *s = a->stack;
    if (a->probes_left > 0) {
        a->probes_left--;
        send_probe(s, a);
        wheel_start(&s->wheel, &a->timer, s->now + DAD_WAIT, dad_fired);
        return;
    }
    set_lifetime_timer(a);
    route_set_usable(s, a);
}

void nd_dad_start(struct net_stack *s, struct own_addr *a)
{
    a->probes_left = DAD_PROBES;
    wheel_start(&s->wheel, &a->timer, s->now + rng_below(&s->rng, SOLICIT_DELAY), dad_fired); /* RFC 4862 5.4.2 */
}

static void make_address(struct net_stack *s, const struct ip_addr *prefix, enum own_addr_origin origin,
                         uint8_t dad_count, nsec preferred, nsec valid)
{
    struct own_addr *own;
    struct ip_addr a = stable_address(s, prefix, dad_count);
    if (route_add(s, &a, 64, origin, false, &own)) return;
    own->dad_count = dad_count;
    own->preferred_until = preferred;
    own->valid_until = valid;
}

/* RFC 4862 5.4.5. */
static void duplicate_found(struct net_stack *s, struct own_addr *a)
{
    struct own_addr was = *a;
    route_remove(s, a);
    if (was.origin == OWN_STATIC) {
        if (s->hooks->address) s->hooks->address(s->arg, &was.addr, was.bits, true);
        return;
    }
    struct ip_addr prefix = {.q = {was.addr.q[0], 0}};
    if (was.dad_count < ID_TRIES)
        make_address(s, &prefix, was.origin, (uint8_t)(was.dad_count + 1), was.preferred_until, was.valid_until);
}

/* --- what comes: options ------------------------------------------------------------------------------------------ */

struct options { /* pointers into the message; NULL: not there */
    const uint8_t *source_mac, *target_mac, *nonce;
    uint32_t mtu; /* 0: not there */
};

/* RFC 4861 4.6. False: one of them is of no or wrong length. */
static bool read_options(const uint8_t *p, uint32_t n, struct options *out)
{
    *out = (struct options){0};
    while (n > 0) {
        uint32_t size = n < 2 ? 0 : (uint32_t)p[1] * 8;
        if (size == 0 || size > n) return false;
        switch (p[0]) {
        case OPT_SOURCE_MAC: out->source_mac = p + 2; break;
        case OPT_TARGET_MAC: out->target_mac = p + 2; break;
        case OPT_NONCE: out->nonce = p + 2; break;
        case OPT_MTU: out->mtu = load_be32(p + 4); break;
        }
        p += size;
        n -= size;
    }
    return (!out->source_mac || !(out->source_mac[0] & 1)) && (!out->target_mac || !(out->target_mac[0] & 1));
}

/* --- what comes: neighbours --------------------------------------------------------------------------------------- */

static void solicit_input(struct net_stack *s, const struct packet *p, const struct nd_msg *m, const struct options *o)
{
    struct ip_addr target;
    memcpy(target.b, m->target, 16);
    bool from_nobody = addr_is_any(&p->src);
    struct own_addr *own = route_find(s, &target);
    if (!own || addr_is_v4(&target)) return;
    if (own->state == OWN_TENTATIVE) {
        bool is_echo = o->nonce && memcmp(o->nonce, &own->dad_nonce, 6) == 0 && own->probes_left < DAD_PROBES;
        if (from_nobody && !is_echo) duplicate_found(s, own);
        return;
    }
    if (from_nobody) {
        advertise(s, &target, &all_nodes, FLAG_OVERRIDE);
        return;
    }
    if (o->source_mac && route_is_on_link(s, &p->src)) neighbour_rumour(s, &p->src, o->source_mac, true);
    advertise(s, &target, &p->src, FLAG_SOLICITED | FLAG_OVERRIDE);
}

static void advert_input(struct net_stack *s, const struct nd_msg *m, const struct options *o)
{
    struct ip_addr target;
    memcpy(target.b, m->target, 16);
    uint8_t flags = (uint8_t)(be32_to_host(m->h.rest) >> 24);
    struct own_addr *own = route_find(s, &target);
    if (own && own->state == OWN_TENTATIVE) duplicate_found(s, own);
    if (own) return; /* RFC 4862 5.4.4: a conflict with one in use is for people to mend */
    struct neighbour *n = neighbour_find(s, &target);
    if (!n || (n->state == NEIGH_INCOMPLETE && !o->target_mac)) return;
    bool asked = n->state == NEIGH_INCOMPLETE || n->state == NEIGH_PROBE;
    bool was_router = n->is_router;
    n->is_router = flags & FLAG_ROUTER;
    if (was_router && !n->is_router) route_learn_router(s, &target, 0); /* 7.2.5: no router any more */
    if (asked && flags & FLAG_SOLICITED) neighbour_answered(s, n, o->target_mac, flags & FLAG_OVERRIDE);
    else if (o->target_mac && (flags & FLAG_OVERRIDE || n->state == NEIGH_INCOMPLETE))
        neighbour_rumour(s, &target, o->target_mac, false);
}

/* --- what comes: routers ------------------------------------------------------------------------------------------ */

static nsec until(const struct net_stack *s, uint32_t seconds)
{
    return seconds == UINT32_MAX ? NSEC_NEVER : s->now + seconds * NSEC_PER_SEC;
}

/* Routers and prefixes that end make paths look again. */
static void expire_fired(struct timer *t)
{
    struct nd *nd = container_of(t, struct nd, expire);
    struct net_stack *s = nd->stack;
    nsec next = NSEC_NEVER;
    for (unsigned i = 0; i < IP_ROUTERS_MAX; i++)
        if (s->ip.routers[i].until > s->now && s->ip.routers[i].until < next) next = s->ip.routers[i].until;
    for (unsigned i = 0; i < IP_PREFIXES_MAX; i++)
        if (s->ip.prefixes[i].until > s->now && s->ip.prefixes[i].until < next) next = s->ip.prefixes[i].until;
    route_changed(s);
    if (next != NSEC_NEVER) wheel_start(&s->wheel, &nd->expire, next, expire_fired);
}

/* RFC 4862 5.5.3 (e): nobody may make an address end in less than two hours by a forged advertisement. */
static void prolong(struct net_stack *s, struct own_addr *a, nsec preferred, nsec valid)
{
    a->preferred_until = preferred;
    if (valid == NSEC_NEVER || valid > s->now + TWO_HOURS || valid > a->valid_until) a->valid_until = valid;
    else if (a->valid_until > s->now + TWO_HOURS) a->valid_until = s->now + TWO_HOURS;
    /* its timer is busy with duplicate detection, and sets this one afterwards */
    if (a->state == OWN_TENTATIVE) return;
    route_set_deprecated(s, a, preferred <= s->now);
    set_lifetime_timer(a);
}

static void autoconfigure(struct net_stack *s, const struct nd_prefix *o, const struct ip_addr *prefix)
{
    uint32_t valid = be32_to_host(o->valid), preferred = be32_to_host(o->preferred);
    if (preferred > valid || o->bits != 64) return; /* 5.5.3 (c), (d) */
    unsigned count = 0;
    for (unsigned i = 0; i < IP_ADDRS_MAX; i++) {
        struct own_addr *a = &s->ip.addrs[i];
        if (a->state == OWN_NONE || a->origin != OWN_SLAAC) continue;
        count++;
        if (a->addr.q[0] != prefix->q[0]) continue;
        prolong(s, a, until(s, preferred), until(s, valid));
        return;
    }
    if (valid == 0 || count >= SLAAC_MAX) return;
    make_address(s, prefix, OWN_SLAAC, 0, until(s, preferred), until(s, valid));
}

static void prefix_input(struct net_stack *s, const struct nd_prefix *o)
{
    struct ip_addr prefix;
    memcpy(prefix.b, o->prefix, 16);
    if (o->bits > 128 || addr_is_link_local6(&prefix) || addr_is_multicast(&prefix) || addr_is_v4(&prefix) ||
        prefix.q[0] == 0)
        return;
    if (o->flags & PREFIX_ON_LINK) route_learn_prefix(s, &prefix, o->bits, until(s, be32_to_host(o->valid)));
    if (o->flags & PREFIX_AUTONOMOUS) {
        prefix.q[1] = 0;
        autoconfigure(s, o, &prefix);
    }
}

static void router_advert_input(struct net_stack *s, const struct packet *p, const struct nd_router_advert *m,
                                const struct options *o)
{
    if (!s->ip.nd) return; /* not asked for */
    if (m->hops) s->ip.hops6 = m->hops;
    if (o->mtu >= MTU_MIN6 && o->mtu <= s->conf.mtu && o->mtu != s->ip.mtu6) {
        s->ip.mtu6 = (uint16_t)o->mtu;
        route_changed(s);
    }
    route_learn_router(s, &p->src, s->now + be16_to_host(m->lifetime) * NSEC_PER_SEC);
    if (o->source_mac) neighbour_rumour(s, &p->src, o->source_mac, true);
    struct neighbour *n = neighbour_find(s, &p->src);
    if (n) n->is_router = true;
    const uint8_t *at = (const uint8_t *)(m + 1), *end = p->b->data + p->len;
    for (; at < end; at += at[1] * 8) /* read_options() has seen that lengths are right */
        if (at[0] == OPT_PREFIX && at[1] == 4) prefix_input(s, (const void *)at);
    s->ip.nd->solicits_left = 0;
    wheel_stop(&s->wheel, &s->ip.nd->solicit);
    expire_fired(&s->ip.nd->expire);
}

/* --- what comes --------------------------------------------------------------------------------------------------- */

static bool is_solicit_valid(const struct packet *p, const struct nd_msg *m, const struct options *o)
{
    if ((m->target[0] == 0xff)) return false;
    if (!addr_is_any(&p->src)) return true;
    return addr_is_multicast(&p->dst) && p->dst.b[11] == 1 && p->dst.b[12] == 0xff && !o->source_mac; /* 7.1.1 */
}

static bool is_advert_valid(const struct packet *p, const struct nd_msg *m)
{
    if (m->target[0] == 0xff || addr_is_any(&p->src)) return false;
    return !(addr_is_multicast(&p->dst) && be32_to_host(m->h.rest) >> 24 & FLAG_SOLICITED); /* 7.1.2 */
}

/* False: malformed. */
static bool advert_take(struct net_stack *s, const struct packet *p)
{
    const struct icmp_hdr *h = (const void *)p->b->data;
    struct options o;
    uint32_t fixed = h->type == ND_ROUTER_ADVERT ? sizeof(struct nd_router_advert) : sizeof(struct nd_msg);
    if (p->hops != HOPS || h->code != 0 || p->fragmented || p->len < fixed) return false;
    if (!read_options((const uint8_t *)h + fixed, p->len - fixed, &o)) return false;
    const struct nd_msg *m = (const void *)h;
    switch (h->type) {
    case ND_SOLICIT:
        if (!is_solicit_valid(p, m, &o)) return false;
        solicit_input(s, p, m, &o);
        return true;
    case ND_ADVERT:
        if (!is_advert_valid(p, m)) return false;
        advert_input(s, m, &o);
        return true;
    case ND_ROUTER_ADVERT:
        if (!addr_is_link_local6(&p->src)) return false; /* 6.1.2 */
        router_advert_input(s, p, (const void *)h, &o);
        return true;
    default: return false; /* redirects, and what only routers care for */
    }
}

void nd_input(struct net_stack *s, struct packet *p)
{
    s->n.nd_rx++;
    if (p->b->len < p->len) {
        p->b = buf_together(s, p->b, p->len);
        if (!p->b) return;
    }
    if (!p->src_mac || !advert_take(s, p)) s->n.drop_nd++;
    buf_unref(p->b);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void solicit_fired(struct timer *t)
{
    struct nd *nd = container_of(t, struct nd, solicit);
    if (nd->solicits_left == 0) return;
    nd->solicits_left--;
    send_router_solicit(nd->stack);
    wheel_start(&nd->stack->wheel, &nd->solicit, nd->stack->now + SOLICIT_INTERVAL, solicit_fired);
}

int nd_init(struct net_stack *s)
{
    struct nd *nd = heap_calloc(1, sizeof *nd);
    if (!nd) return -ENOMEM;
    nd->stack = s;
    nd->solicits_left = SOLICIT_TRIES;
    s->ip.nd = nd;
    make_address(s, &link_local_prefix, OWN_LINK_LOCAL, 0, NSEC_NEVER, NSEC_NEVER);
    /* behind duplicate detection of the link-local address, so that it can be said who asks (RFC 4861 6.3.7 wants a
     * random delay only) */
    wheel_start(&s->wheel, &nd->solicit, s->now + 2 * SOLICIT_DELAY + rng_below(&s->rng, SOLICIT_DELAY / 10),
                solicit_fired);
    return 0;
}

void nd_fini(struct net_stack *s)
{
    heap_free(s->ip.nd);
    s->ip.nd = NULL;
}
