/* SPDX-License-Identifier: MIT
 *
 * The rules of RFC 4443 2.4: (e) no error about an error, a redirect, from who is nobody, or to many (but "too big" and
 * a wrong option of the kind 10); (f) limited in rate, together with ICMPv4's. (c): an error quotes what fits into 1280
 * bytes. Errors that come go to who finds in them a packet that he has on its way; "too big" below 1280 is nobody's
 * business (RFC 8201 4).
 *
 * Deviation from RFC 4443 4.2: echo requests to groups are not answered.
 */
#include "tcp/icmp6.h"

#include <netinet/in.h>

#include "tcp/checksum.h"
#include "tcp/hdr.h"
#include "tcp/icmp4.h"
#include "tcp/nd.h"
#include "tcp/route.h"

#define QUOTE_MAX6 (1280 - (uint32_t)sizeof(struct ip6_hdr) - (uint32_t)sizeof(struct icmp_hdr))

static void icmp6_drop(struct packet *p, uint64_t *counter)
{
    (*counter)++;
    buf_unref(p->b);
}

void icmp6_send_error(struct net_stack *s, const struct packet *p, uint8_t type, uint8_t code, uint32_t rest)
{
    bool even_to_many = type == ICMP6_PARAMETER && code == ICMP6_PARAM_OPTION;
    if ((p->to_many && !even_to_many) || addr_is_any(&p->src) || s->conf.quiet_closed_ports) return;
    if (p->proto == IPPROTO_ICMPV6 && (p->b->len < 1 || p->b->data[0] < 128 || p->b->data[0] == ND_REDIRECT)) return;
    icmp_send_quote(s, p, IPPROTO_ICMPV6, type, code, rest, QUOTE_MAX6);
}

static bool meaning_of(const struct icmp_hdr *h, enum icmp_error *what, uint16_t *mtu)
{
    *mtu = 0;
    switch (h->type) {
    case ICMP6_UNREACHABLE:
        *what = h->code == ICMP6_UNREACH_PORT ? ICMP_ERR_UNREACHABLE_PORT : ICMP_ERR_UNREACHABLE_HOST;
        break;
    case ICMP6_TIME: *what = ICMP_ERR_TIME; break;
    case ICMP6_PARAMETER: *what = h->code == ICMP6_PARAM_NEXT ? ICMP_ERR_PROTOCOL : ICMP_ERR_UNREACHABLE_HOST; break;
    default: {
        uint32_t said = be32_to_host(h->rest);
        if (said < 1280) return false;
        *what = ICMP_ERR_TOO_BIG;
        *mtu = said < UINT16_MAX ? (uint16_t)said : UINT16_MAX;
    }
    }
    return true;
}

/* What we send has no extension header but for fragments. */
static void error_input(struct net_stack *s, struct packet *p)
{
    const struct icmp_hdr *h = (const void *)p->b->data;
    const struct ip6_hdr *q = (const void *)(h + 1);
    enum icmp_error what;
    uint16_t mtu;
    uint32_t have = p->b->len - (uint32_t)sizeof *h;
    if (have < sizeof *q + 8 || *(const uint8_t *)q >> 4 != 6) return icmp6_drop(p, &s->n.drop_icmp);
    const uint8_t *l4 = (const uint8_t *)(q + 1);
    uint8_t proto = q->next;
    have -= (uint32_t)sizeof *q;
    if (proto == IPPROTO_FRAGMENT) {
        const struct ip6_frag *f = (const void *)l4;
        if (have < sizeof *f + 8 || f->offset_more & be16_of(0xfff8)) return icmp6_drop(p, &s->n.drop_icmp);
        proto = f->next;
        l4 += sizeof *f;
        have -= (uint32_t)sizeof *f;
    }
    struct ip_addr local, remote;
    memcpy(local.b, q->src, 16);
    memcpy(remote.b, q->dst, 16);
    if (addr_is_v4(&remote) || !stack_is_local(s, &local) || !addr_equal(&local, &p->dst))
        return icmp6_drop(p, &s->n.drop_icmp);
    if (meaning_of(h, &what, &mtu)) {
        if (proto == IPPROTO_TCP) tcp_icmp_error(s, what, mtu, &local, &remote, l4, have);
        else if (proto == IPPROTO_UDP) udp_icmp_error(s, what, mtu, &local, &remote, l4, have);
    }
    buf_unref(p->b);
}

static bool is_checksum_valid(const struct packet *p)
{
    uint64_t sum = (uint64_t)IPPROTO_ICMPV6 << 8;
    sum += __builtin_bswap32(p->len);
    for (unsigned i = 0; i < 4; i++) sum += (uint64_t)p->src.w[i] + p->dst.w[i];
    return csum_fold(csum_add_chain(sum, p->b, 0, p->len)) == 0xffff;
}

void icmp6_input(struct net_stack *s, struct packet *p)
{
    s->n.icmp_rx++;
    const struct icmp_hdr *h = (const void *)p->b->data;
    if (p->len < sizeof *h || p->b->len < sizeof *h || addr_is_v4(&p->src)) return icmp6_drop(p, &s->n.drop_icmp);
    if (p->src_mac && !is_checksum_valid(p)) return icmp6_drop(p, &s->n.drop_icmp);
    switch (h->type) {
    case ICMP6_UNREACHABLE:
    case ICMP6_TOO_BIG:
    case ICMP6_TIME:
    case ICMP6_PARAMETER:
        if (p->to_many) icmp6_drop(p, &s->n.drop_icmp);
        else error_input(s, p);
        break;
    case ICMP6_ECHO:
        if (addr_is_any(&p->src)) icmp6_drop(p, &s->n.drop_icmp);
        else icmp_echo_reply(s, p, ICMP6_ECHO_REPLY);
        break;
    case ND_ROUTER_SOLICIT:
    case ND_ROUTER_ADVERT:
    case ND_SOLICIT:
    case ND_ADVERT:
    case ND_REDIRECT: nd_input(s, p); break;
    default: icmp6_drop(p, &s->n.drop_icmp);
    }
}
