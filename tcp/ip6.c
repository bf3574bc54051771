/* SPDX-License-Identifier: MIT
 *
 * IPv6 in (RFC 8200), as RFC 8504 5 wants it of a host. The chain of extension headers is walked by one loop: each turn
 * consumes at least 8 bytes, at most HEADERS_MAX turns, options at most OPTIONS_MAX a header (RFC 8504 5.3). Hop-by-hop
 * options stand first or are refused (RFC 8200 4.1); the other headers come in any order, each at most once,
 * destination options twice.
 *
 *     IPv6 | hop-by-hop | destination | routing | fragment | destination | TCP, UDP, ICMPv6
 *
 * Routing headers are not followed: with segments left they are refused (RFC 5095, RFC 8200 4.4). A fragment header
 * around a whole packet is taken off (RFC 6946). Jumbograms are refused (an unknown option of the kind 11). Addresses
 * that are IPv4's in our form (::ffff:0:0/96) may not appear on the wire: they would be taken for IPv4 above (RFC 4942
 * 2.2).
 */
#include "tcp/ip6.h"

#include <netinet/in.h>

#include "tcp/frag.h"
#include "tcp/hdr.h"
#include "tcp/icmp6.h"
#include "tcp/nd.h"
#include "tcp/route.h"

#define HEADERS_MAX 8
#define OPTIONS_MAX 8 /* besides padding */

enum { OPT_PAD1 = 0, OPT_PADN = 1, OPT_ROUTER_ALERT = 5 };

static void ip6_drop(struct buf *b, uint64_t *counter)
{
    (*counter)++;
    buf_unref(b);
}

static void ip6_refuse(struct net_stack *s, struct packet *p, uint8_t code, const uint8_t *at)
{
    s->n.drop_ip6_ext++;
    icmp6_send_error(s, p, ICMP6_PARAMETER, code, (uint32_t)(at - p->l3));
    buf_unref(p->b);
}

/* --- extension headers -------------------------------------------------------------------------------------------- */

enum ip6_verdict { GO_ON, DROP, DROP_AND_SAY };

/* RFC 8200 4.2. *at: the option that is the matter. */
static enum ip6_verdict check_options(const struct packet *p, const uint8_t *o, uint32_t n, const uint8_t **at)
{
    unsigned count = 0;
    while (n > 0) {
        *at = o;
        if (*o == OPT_PAD1) {
            o++;
            n--;
            continue;
        }
        if (n < 2 || n - 2 < o[1]) return DROP;
        if (*o != OPT_PADN && ++count > OPTIONS_MAX) return DROP;
        if (*o != OPT_PADN && *o != OPT_ROUTER_ALERT) {
            switch (*o >> 6) { /* what to do with one that is not known */
            case 1: return DROP;
            case 2: return DROP_AND_SAY;
            case 3: return p->to_many ? DROP : DROP_AND_SAY;
            }
        }
        n -= 2u + o[1];
        o += 2 + o[1];
    }
    return GO_ON;
}

static void trim(struct packet *p, uint32_t n)
{
    p->b->data += n;
    p->b->len -= n;
    p->len -= n;
}

/* Hop-by-hop, destination options, routing: false: p is dropped. */
static bool take_extension(struct net_stack *s, struct packet *p)
{
    const struct ip6_ext *h = (const void *)p->b->data;
    uint32_t size = p->b->len < 2 ? UINT32_MAX : 8 + (uint32_t)h->len * 8;
    if (size > p->b->len) {
        ip6_drop(p->b, &s->n.drop_ip6_ext);
        return false;
    }
    if (p->proto == IPPROTO_ROUTING) {
        if (h->body[1] != 0) { /* segments left */
            ip6_refuse(s, p, ICMP6_PARAM_FIELD, h->body);
            return false;
        }
    } else {
        const uint8_t *at;
        enum ip6_verdict v = check_options(p, h->body, size - 2, &at);
        if (v == DROP_AND_SAY) ip6_refuse(s, p, ICMP6_PARAM_OPTION, at);
        else if (v == DROP) ip6_drop(p->b, &s->n.drop_ip6_ext);
        if (v != GO_ON) return false;
    }
    p->proto = h->next;
    trim(p, size);
    return true;
}

/* True: it went on to reassembly, or was dropped. */
static bool take_fragment(struct net_stack *s, struct packet *p)
{
    const struct ip6_frag *f = (const void *)p->b->data;
    if (p->b->len < sizeof *f) {
        ip6_drop(p->b, &s->n.drop_frag_bad);
        return true;
    }
    p->fragmented = true;
    trim(p, sizeof *f);
    if (f->offset_more & be16_of(0xfff9)) {
        frag6_input(s, p, f);
        return true;
    }
    p->proto = f->next; /* atomic: RFC 6946 4 */
    return false;
}

static void deliver(struct net_stack *s, struct packet *p, const uint8_t *next_at)
{
    switch (p->proto) {
    case IPPROTO_TCP: tcp_input(s, p); break;
    case IPPROTO_UDP: udp_input(s, p); break;
    case IPPROTO_ICMPV6: icmp6_input(s, p); break;
    case IPPROTO_NONE: ip6_drop(p->b, &s->n.drop_proto); break;
    default:
        s->n.drop_proto++;
        icmp6_send_error(s, p, ICMP6_PARAMETER, ICMP6_PARAM_NEXT, (uint32_t)(next_at - p->l3));
        buf_unref(p->b);
    }
}

void ip6_next(struct net_stack *s, struct packet *p, bool after_frag)
{
    const uint8_t *next_at = p->l3 + offsetof(struct ip6_hdr, next);
    unsigned destinations = 0, routings = 0;
    p->fragmented |= after_frag;
    for (unsigned i = 0; i < HEADERS_MAX; i++) {
        const uint8_t *here = p->b->data;
        switch (p->proto) {
        case IPPROTO_HOPOPTS:
            if (i > 0 || after_frag) return ip6_refuse(s, p, ICMP6_PARAM_NEXT, next_at);
            break;
        case IPPROTO_DSTOPTS:
            if (++destinations > 2) return ip6_drop(p->b, &s->n.drop_ip6_ext);
            break;
        case IPPROTO_ROUTING:
            if (++routings > 1) return ip6_drop(p->b, &s->n.drop_ip6_ext);
            break;
        case IPPROTO_FRAGMENT:
            if (p->fragmented) return ip6_drop(p->b, &s->n.drop_frag_bad);
            if (take_fragment(s, p)) return;
            next_at = here;
            continue;
        default: return deliver(s, p, next_at);
        }
        if (!take_extension(s, p)) return;
        next_at = here;
    }
    ip6_drop(p->b, &s->n.drop_ip6_ext);
}

/* --- the header --------------------------------------------------------------------------------------------------- */

static bool is_martian(const struct net_stack *s, const struct packet *p)
{
    if (addr_is_multicast(&p->src) || addr_is_v4(&p->src) || addr_is_loopback(&p->src)) return true;
    /* who has no address yet */
    if (addr_is_any(&p->src)) return p->proto != IPPROTO_ICMPV6 && p->proto != IPPROTO_HOPOPTS;
    return route_is_own(s, &p->src);
}

enum ip6_to { TO_NOBODY, TO_US, TO_MANY };

/* All nodes (of the interface, of the link), and what our addresses make us a member of (RFC 4291 2.8). */
static bool is_own_group(const struct net_stack *s, const struct ip_addr *a)
{
    if ((a->b[1] == 1 || a->b[1] == 2) && load_be64(a->b) == (0xff00000000000000u | (uint64_t)a->b[1] << 48) &&
        load_be64(a->b + 8) == 1)
        return true;
    for (unsigned i = 0; i < s->ip.addr_end; i++) {
        const struct own_addr *own = &s->ip.addrs[i];
        if (own->state == OWN_NONE || addr_is_v4(&own->addr)) continue;
        struct ip_addr group = nd_solicited_node(&own->addr);
        if (addr_equal(a, &group)) return true;
    }
    return false;
}

static enum ip6_to destination(const struct net_stack *s, const struct ip_addr *dst, bool is_loop)
{
    if (addr_is_v4(dst)) return TO_NOBODY;
    if (addr_is_multicast(dst)) return is_own_group(s, dst) ? TO_MANY : TO_NOBODY;
    if (route_is_own(s, dst)) return TO_US; /* a tentative one is not: RFC 4862 5.4 */
    return is_loop && addr_is_loopback(dst) ? TO_US : TO_NOBODY;
}

void ip6_input(struct net_stack *s, struct buf *b, uint32_t len, const struct link_info *from)
{
    const struct ip6_hdr *h = (const void *)b->data;
    if (unlikely(len < sizeof *h || b->len < sizeof *h || *b->data >> 4 != 6))
        return ip6_drop(b, &s->n.drop_ip6_header);
    uint32_t payload = be16_to_host(h->payload_len);
    if (unlikely(payload > len - sizeof *h)) return ip6_drop(b, &s->n.drop_ip6_header);
    struct packet p = {
        .b = b,
        .len = payload,
        .proto = h->next,
        .hops = h->hops,
        .tos = (uint8_t)(be32_to_host(h->version_class_flow) >> 20),
        .csum_ok = from->csum_ok,
        .src_mac = from->src_mac,
        .l3 = b->data,
    };
    memcpy(p.src.b, h->src, 16);
    memcpy(p.dst.b, h->dst, 16);
    enum ip6_to to = destination(s, &p.dst, from->is_loop);
    if (unlikely(to == TO_NOBODY)) return ip6_drop(b, &s->n.drop_ip6_other);
    p.to_many = from->to_many | (to == TO_MANY);
    if (unlikely(!from->is_loop && is_martian(s, &p))) return ip6_drop(b, &s->n.drop_martian);
    if (unlikely(payload + sizeof *h < len)) buf_chain_trim(b, payload + (uint32_t)sizeof *h);
    b->data += sizeof *h;
    b->len -= (uint32_t)sizeof *h;
    if (likely(p.proto == IPPROTO_TCP)) tcp_input(s, &p);
    else ip6_next(s, &p, false);
}
