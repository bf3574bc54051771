/* SPDX-License-Identifier: MIT
 *
 * What is checked, in this order: version and header length; total length against header and frame; header checksum;
 * destination; source (RFC 1122 3.2.1.3: no address that cannot send); options; fragments. The path of a packet without
 * options, whole and to our address is straight; all else leaves it through unlikely branches.
 *
 * Not done: forwarding (RFC 1122 3.3.1; we are a host), options but for refusing source routes (3.2.1.8 (c)), IGMP:
 * groups but 224.0.0.1 are not ours.
 */
#include "tcp/ip4.h"

#include <netinet/in.h>

#include "tcp/checksum.h"
#include "tcp/dhcp.h"
#include "tcp/frag.h"
#include "tcp/hdr.h"
#include "tcp/icmp4.h"
#include "tcp/route.h"

enum { IP4_OPT_END = 0, IP4_OPT_NOP = 1, IP4_OPT_LSRR = 131, IP4_OPT_SSRR = 137 };
#define ALL_HOSTS 0x010000e0u /* 224.0.0.1 on the wire */

static void ip4_drop(struct buf *b, uint64_t *counter)
{
    (*counter)++;
    buf_unref(b);
}

/* RFC 791 3.1. NULL: fine; else who counts it. */
static uint64_t *check_options(struct net_stack *s, const uint8_t *p, uint32_t n)
{
    while (n > 0 && *p != IP4_OPT_END) {
        uint32_t size = 1;
        if (*p != IP4_OPT_NOP) {
            if (n < 2 || p[1] < 2 || p[1] > n) return &s->n.drop_ip4_header;
            if (*p == IP4_OPT_LSRR || *p == IP4_OPT_SSRR) return &s->n.drop_ip4_options;
            size = p[1];
        }
        p += size;
        n -= size;
    }
    return NULL;
}

/* A source no host can have: 0/8, 127/8, groups, reserved, ourselves, the broadcast address of our link. */
static bool is_martian(const struct net_stack *s, be32 src)
{
    uint8_t top = (uint8_t)src;
    if (top == 0 || top == 127 || top >= 224) return true;
    for (uint32_t i = 0; i < s->ip.own4_count; i++)
        if (src == s->ip.own4[i].addr || src == s->ip.own4[i].broadcast) return true;
    return false;
}

enum ip4_to { TO_NOBODY, TO_US, TO_MANY };

static enum ip4_to destination(const struct net_stack *s, be32 dst, const struct link_info *from)
{
    for (uint32_t i = 0; i < s->ip.own4_count; i++) {
        if (dst == s->ip.own4[i].addr) return TO_US;
        if (s->ip.own4[i].broadcast && dst == s->ip.own4[i].broadcast) return TO_MANY;
    }
    if (dst == UINT32_MAX || dst == ALL_HOSTS) return TO_MANY;
    if (from->is_loop && (uint8_t)dst == 127) return TO_US;
    return TO_NOBODY;
}

/* Before we have an address a DHCP server may answer to the one it offers (RFC 2131 4.1). */
static bool is_for_dhcp(const struct net_stack *s, const struct ip4_hdr *h, uint32_t total)
{
    const struct udp_hdr *u = (const void *)(h + 1);
    return s->ip.dhcp && s->ip.own4_count == 0 && h->proto == IPPROTO_UDP && h->version_ihl == 0x45 &&
           total >= sizeof *h + sizeof *u && u->dst == be16_of(DHCP_CLIENT_PORT);
}

void ip4_deliver(struct net_stack *s, struct packet *p)
{
    switch (p->proto) {
    case IPPROTO_TCP: tcp_input(s, p); break;
    case IPPROTO_UDP: udp_input(s, p); break;
    case IPPROTO_ICMP: icmp4_input(s, p); break;
    default:
        s->n.drop_proto++;
        icmp4_send_error(s, p, ICMP4_UNREACHABLE, ICMP4_UNREACH_PROTO, 0);
        buf_unref(p->b);
    }
}

void ip4_input(struct net_stack *s, struct buf *b, uint32_t len, const struct link_info *from)
{
    const struct ip4_hdr *h = (const void *)b->data;
    if (unlikely(len < sizeof *h || b->len < sizeof *h)) return ip4_drop(b, &s->n.drop_ip4_header);
    uint32_t header = (uint32_t)(h->version_ihl & 0x0f) * 4, total = be16_to_host(h->total_len);
    if (unlikely(h->version_ihl != 0x45)) {
        if (h->version_ihl >> 4 != 4 || header < sizeof *h || header > b->len)
            return ip4_drop(b, &s->n.drop_ip4_header);
        if (!from->ip_csum_ok && csum_fold(csum_add(0, h, header)) != 0xffff)
            return ip4_drop(b, &s->n.drop_ip4_checksum);
    } else if (!from->ip_csum_ok && !from->is_loop) {
        if (unlikely(csum_ip4(h) != 0)) return ip4_drop(b, &s->n.drop_ip4_checksum);
    }
    if (unlikely(total < header || total > len)) return ip4_drop(b, &s->n.drop_ip4_header);

    enum ip4_to to = destination(s, h->dst, from);
    if (unlikely(to != TO_US)) {
        if (to == TO_NOBODY && !is_for_dhcp(s, h, total)) return ip4_drop(b, &s->n.drop_ip4_other);
    }
    if (unlikely(!from->is_loop && is_martian(s, h->src))) return ip4_drop(b, &s->n.drop_martian);
    if (unlikely(header > sizeof *h)) {
        uint64_t *counter = check_options(s, (const uint8_t *)(h + 1), header - (uint32_t)sizeof *h);
        if (counter) return ip4_drop(b, counter);
    }

    struct packet p = {
        .b = b,
        .len = total - header,
        .src = addr_v4(h->src),
        .dst = addr_v4(h->dst),
        .proto = h->proto,
        .hops = h->ttl,
        .tos = h->tos,
        .csum_ok = from->csum_ok,
        .to_many = from->to_many | (to == TO_MANY),
        .src_mac = from->src_mac,
        .l3 = b->data,
    };
    if (unlikely(total < len)) buf_chain_trim(b, total);
    b->data += header;
    b->len -= header;
    if (unlikely(h->frag & be16_of(IP4_MF | IP4_OFFSET))) {
        frag4_input(s, &p, h);
        return;
    }
    if (likely(p.proto == IPPROTO_TCP)) tcp_input(s, &p);
    else ip4_deliver(s, &p);
}
