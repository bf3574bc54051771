/* SPDX-License-Identifier: MIT
 *
 * Bare IP packets: made of plain fields, and taken apart again (RFC 791, 8200, 9293 3.1, 768, 792, 4443).
 */
#include "tests/packets/runner/wire.h"

#include <netinet/in.h>
#include <string.h>

static uint32_t sum16(uint32_t sum, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i + 1 < n; i += 2) sum += load_be16(p + i);
    if (n & 1) sum += (uint32_t)p[n - 1] << 8;
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* The field's value for a packet whose checksum field is 0; 0 for one whose field is right. */
static uint16_t l4_checksum(const struct fields *f, const uint8_t *l4, uint32_t n)
{
    uint32_t sum = 0;
    if (f->proto != IPPROTO_ICMP) {
        sum = sum16(sum, f->src.b + (f->v6 ? 0 : 12), f->v6 ? 16 : 4);
        sum = sum16(sum, f->dst.b + (f->v6 ? 0 : 12), f->v6 ? 16 : 4);
        sum += n + f->proto;
    }
    return (uint16_t)~sum16(sum, l4, n);
}

static uint32_t checksum_at(uint8_t proto) { return proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2; }

static uint32_t build_tcp(uint8_t *at, const struct fields *f)
{
    uint32_t opts = (f->opts_len + 3) & ~3u;
    struct tcp_hdr h = {.src = be16_of(f->sport),
                        .dst = be16_of(f->dport),
                        .seq = be32_of(f->seq),
                        .ack = be32_of(f->ack),
                        .offset = (uint8_t)((f->doff >= 0 ? (uint32_t)f->doff : 5 + opts / 4) << 4),
                        .flags = f->flags,
                        .window = be16_of(f->window),
                        .urgent = be16_of(f->urgent)};
    memcpy(at, &h, sizeof h);
    memset(at + sizeof h, 0, opts);
    memcpy(at + sizeof h, f->opts, f->opts_len);
    return (uint32_t)sizeof h + opts;
}

static uint32_t build_l4(uint8_t *at, const struct fields *f)
{
    uint32_t n = 8;
    if (f->proto == IPPROTO_TCP) {
        n = build_tcp(at, f);
    } else if (f->proto == IPPROTO_UDP) {
        struct udp_hdr h = {be16_of(f->sport), be16_of(f->dport), be16_of(8 + f->payload_len), 0};
        memcpy(at, &h, sizeof h);
    } else {
        struct icmp_hdr h = {f->icmp_type, f->icmp_code, 0, be32_of(f->icmp_rest)};
        memcpy(at, &h, sizeof h);
    }
    if (f->payload_len) memcpy(at + n, f->payload, f->payload_len);
    return n + f->payload_len;
}

static void build_ip4(uint8_t *at, const struct fields *f, uint32_t l4)
{
    struct ip4_hdr h = {.version_ihl = 0x45,
                        .tos = f->tos,
                        .total_len = be16_of(20 + l4),
                        .frag = be16_of(f->df ? IP4_DF : 0),
                        .ttl = f->ttl,
                        .proto = f->proto,
                        .src = f->src.w[3],
                        .dst = f->dst.w[3]};
    h.csum = be16_of((uint16_t)~sum16(0, (const uint8_t *)&h, sizeof h));
    if (f->bad_ip_checksum) h.csum ^= 0x5555;
    memcpy(at, &h, sizeof h);
}

static void build_ip6(uint8_t *at, const struct fields *f, uint32_t l4)
{
    struct ip6_hdr h = {.version_class_flow = be32_of(0x60000000u | (uint32_t)f->tos << 20),
                        .payload_len = be16_of(l4),
                        .next = f->proto,
                        .hops = f->ttl};
    memcpy(h.src, f->src.b, 16);
    memcpy(h.dst, f->dst.b, 16);
    memcpy(at, &h, sizeof h);
}

void wire_build(struct wire *w, const struct fields *f)
{
    uint32_t ip = f->v6 ? 40 : 20;
    uint8_t *l4 = w->bytes + ip;
    uint32_t n = build_l4(l4, f);
    if (f->truncate >= 0 && (uint32_t)f->truncate < n) n = (uint32_t)f->truncate;
    uint32_t at = checksum_at(f->proto);
    if (at + 2 <= n) {
        uint16_t sum = l4_checksum(f, l4, n);
        if (f->proto == IPPROTO_UDP && sum == 0) sum = 0xffff;
        store_be16(l4 + at, f->bad_checksum ? (uint16_t)(sum ^ 0x5555) : sum);
    }
    if (f->v6) build_ip6(w->bytes, f, n);
    else build_ip4(w->bytes, f, n);
    w->n = ip + n;
}

static const char *read_ip4(const struct wire *w, struct fields *f, uint32_t *l4)
{
    struct ip4_hdr h;
    if (w->n < sizeof h) return "shorter than an IPv4 header";
    memcpy(&h, w->bytes, sizeof h);
    if (h.version_ihl != 0x45) return "an IPv4 header with options";
    if (be16_to_host(h.total_len) != w->n) return "total length is not the packet's";
    if (sum16(0, w->bytes, sizeof h) != 0xffff) return "wrong IPv4 header checksum";
    if (be16_to_host(h.frag) & (IP4_MF | IP4_OFFSET)) return "a fragment";
    f->src = addr_v4(h.src);
    f->dst = addr_v4(h.dst);
    f->proto = h.proto;
    f->tos = h.tos;
    f->ttl = h.ttl;
    f->df = be16_to_host(h.frag) & IP4_DF;
    *l4 = sizeof h;
    return NULL;
}

static const char *read_ip6(const struct wire *w, struct fields *f, uint32_t *l4)
{
    struct ip6_hdr h;
    if (w->n < sizeof h) return "shorter than an IPv6 header";
    memcpy(&h, w->bytes, sizeof h);
    if (be16_to_host(h.payload_len) + sizeof h != w->n) return "payload length is not the packet's";
    f->v6 = true;
    memcpy(f->src.b, h.src, 16);
    memcpy(f->dst.b, h.dst, 16);
    f->proto = h.next;
    f->tos = (uint8_t)(be32_to_host(h.version_class_flow) >> 20);
    f->ttl = h.hops;
    f->df = true;
    *l4 = sizeof h;
    return NULL;
}

static const char *read_tcp(struct fields *f, const uint8_t *p, uint32_t n)
{
    struct tcp_hdr h;
    if (n < sizeof h) return "shorter than a TCP header";
    memcpy(&h, p, sizeof h);
    uint32_t size = (uint32_t)(h.offset >> 4) * 4;
    if (size < sizeof h || size > n) return "a wrong data offset";
    if (h.offset & 0xf) return "reserved bits are set";
    f->sport = be16_to_host(h.src);
    f->dport = be16_to_host(h.dst);
    f->seq = be32_to_host(h.seq);
    f->ack = be32_to_host(h.ack);
    f->flags = h.flags;
    f->window = be16_to_host(h.window);
    f->urgent = be16_to_host(h.urgent);
    f->doff = h.offset >> 4;
    f->opts_len = size - (uint32_t)sizeof h;
    memcpy(f->opts, p + sizeof h, f->opts_len);
    f->payload = p + size;
    f->payload_len = n - size;
    return NULL;
}

static const char *read_others(struct fields *f, const uint8_t *p, uint32_t n)
{
    if (n < 8) return "shorter than its header";
    f->payload = p + 8;
    f->payload_len = n - 8;
    if (f->proto == IPPROTO_UDP) {
        f->sport = load_be16(p);
        f->dport = load_be16(p + 2);
        if (load_be16(p + 4) != n) return "UDP's length is not the packet's";
        if (!load_be16(p + 6)) return "UDP without a checksum";
        return NULL;
    }
    f->icmp_type = p[0];
    f->icmp_code = p[1];
    f->icmp_rest = load_be32(p + 4);
    return NULL;
}

const char *wire_read(const struct wire *w, struct fields *f)
{
    uint32_t at;
    *f = (struct fields){.truncate = -1};
    if (!w->n) return "empty";
    const char *bad = w->bytes[0] >> 4 == 6 ? read_ip6(w, f, &at) : read_ip4(w, f, &at);
    if (bad) return bad;
    const uint8_t *p = w->bytes + at;
    uint32_t n = w->n - at;
    if (f->proto == IPPROTO_TCP) bad = read_tcp(f, p, n);
    else if (f->proto == IPPROTO_UDP || f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6)
        bad = read_others(f, p, n);
    else return "an unknown protocol";
    if (bad) return bad;
    return l4_checksum(f, p, n) ? "wrong checksum" : NULL;
}
