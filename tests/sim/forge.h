/* SPDX-License-Identifier: MIT
 *
 * Frames that nobody's stack has made, for a function on the switch (sim_raw) that plays a peer or an attacker.
 */
#ifndef TESTS_SIM_FORGE_H
#define TESTS_SIM_FORGE_H

#include "tests/sim/sim_test.h"

#include "tcp/checksum.h"
#include "tcp/hdr.h"
#include "tcp/seq.h"

#define FORGED_MAX 1514

/* A frame under construction; the checksums come last. */
struct forged {
    uint8_t b[FORGED_MAX];
    size_t n;
};

/* From whom to whom, on both layers; addresses as on the wire. */
struct way {
    uint8_t src_mac[6], dst_mac[6];
    uint32_t src, dst;
};

static inline void forge_eth(struct forged *f, const struct way *w, uint16_t type)
{
    memcpy(f->b, w->dst_mac, 6);
    memcpy(f->b + 6, w->src_mac, 6);
    store_be16(f->b + 12, type);
    f->n = 14;
}

static inline void forge_bytes(struct forged *f, const void *p, size_t n)
{
    if (n > FORGED_MAX - f->n) n = FORGED_MAX - f->n;
    if (n) memcpy(f->b + f->n, p, n);
    f->n += n;
}

static inline void forge_ip4(struct forged *f, const struct way *w, uint8_t proto, uint16_t frag)
{
    struct ip4_hdr h = {
        .version_ihl = 0x45, .ttl = 64, .proto = proto, .frag = be16_of(frag), .src = w->src, .dst = w->dst};
    forge_eth(f, w, ETH_TYPE_IP4);
    forge_bytes(f, &h, sizeof h);
}

/* Length and checksum of an IPv4 frame; of TCP and UDP, too, unless they are pieces. */
static inline void forge_end4(struct forged *f)
{
    uint8_t *ip = f->b + 14, *l4 = ip + 20;
    size_t n = f->n - 34;
    store_be16(ip + 2, (uint16_t)(f->n - 14));
    ip[10] = ip[11] = 0;
    uint16_t csum = csum_ip4(ip);
    memcpy(ip + 10, &csum, 2);
    size_t at = ip[9] == 6 ? 16 : ip[9] == 17 ? 6 : 2;
    if (n < at + 2 || load_be16(ip + 6) & (IP4_MF | IP4_OFFSET)) return;
    uint8_t pseudo[4] = {0, ip[9], (uint8_t)(n >> 8), (uint8_t)n};
    uint64_t sum = ip[9] == 1 ? 0 : csum_add(csum_add(0, ip + 12, 8), pseudo, 4);
    l4[at] = l4[at + 1] = 0;
    csum = (uint16_t)~csum_fold(csum_add(sum, l4, n));
    memcpy(l4 + at, &csum, 2);
}

struct forged_segment {
    uint16_t src_port, dst_port;
    tcp_seq seq, ack;
    uint8_t flags;
    uint16_t window;
    uint8_t opts[40], opts_size; /* a multiple of 4 */
    const uint8_t *data;
    size_t n;
};

static inline void forge_tcp(struct forged *f, const struct way *w, const struct forged_segment *s)
{
    struct tcp_hdr h = {.src = be16_of(s->src_port),
                        .dst = be16_of(s->dst_port),
                        .seq = be32_of(s->seq),
                        .ack = be32_of(s->ack),
                        .offset = (uint8_t)((20 + s->opts_size) / 4 << 4),
                        .flags = s->flags,
                        .window = be16_of(s->window)};
    forge_ip4(f, w, 6, IP4_DF);
    forge_bytes(f, &h, sizeof h);
    forge_bytes(f, s->opts, s->opts_size);
    forge_bytes(f, s->data, s->n);
    forge_end4(f);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct seen_segment {
    struct way way;
    uint16_t src_port, dst_port;
    tcp_seq seq, ack;
    uint8_t flags;
    uint32_t n; /* of payload */
};

/* False: no whole TCP segment over IPv4 without IP options. */
static inline bool see_tcp(const uint8_t *p, size_t n, struct seen_segment *out)
{
    if (n < 54 || load_be16(p + 12) != ETH_TYPE_IP4 || p[14] != 0x45 || p[23] != 6) return false;
    if (load_be16(p + 20) & (IP4_MF | IP4_OFFSET)) return false;
    const struct tcp_hdr *h = (const struct tcp_hdr *)(p + 34);
    size_t size = 20u + (h->offset >> 4) * 4u, whole = load_be16(p + 16);
    if (whole < size || whole > n - 14) return false;
    *out = (struct seen_segment){.src_port = be16_to_host(h->src),
                                 .dst_port = be16_to_host(h->dst),
                                 .seq = be32_to_host(h->seq),
                                 .ack = be32_to_host(h->ack),
                                 .flags = h->flags,
                                 .n = (uint32_t)(whole - size)};
    memcpy(out->way.dst_mac, p, 6);
    memcpy(out->way.src_mac, p + 6, 6);
    memcpy(&out->way.src, p + 26, 4);
    memcpy(&out->way.dst, p + 30, 4);
    return true;
}

static inline struct way way_back(const struct way *w)
{
    struct way back = {.src = w->dst, .dst = w->src};
    memcpy(back.src_mac, w->dst_mac, 6);
    memcpy(back.dst_mac, w->src_mac, 6);
    return back;
}

/* The answer to an ARP request for `ip`, from mac; false: it is none. */
static inline bool forge_arp_reply(struct forged *f, const uint8_t *p, size_t n, uint32_t ip, uint32_t mask,
                                   const uint8_t mac[6])
{
    if (n < 42 || load_be16(p + 12) != ETH_TYPE_ARP || load_be16(p + 20) != 1) return false;
    struct arp_hdr ask,
        h = {.hw = be16_of(1), .proto = be16_of(ETH_TYPE_IP4), .hw_len = 6, .proto_len = 4, .op = be16_of(2)};
    memcpy(&ask, p + 14, sizeof ask);
    if ((ask.dst_ip & mask) != (ip & mask)) return false;
    struct way w = {0};
    memcpy(w.src_mac, mac, 6);
    memcpy(w.dst_mac, ask.src_mac, 6);
    memcpy(h.src_mac, mac, 6);
    memcpy(h.dst_mac, ask.src_mac, 6);
    h.src_ip = ask.dst_ip;
    h.dst_ip = ask.src_ip;
    forge_eth(f, &w, ETH_TYPE_ARP);
    forge_bytes(f, &h, sizeof h);
    return true;
}

/* Options of any kind, well formed or not. */
static inline uint8_t forge_opts(struct rng *r, uint8_t out[40], tcp_seq near)
{
    uint8_t n = 0;
    while (n < 30 && rng_below(r, 3)) {
        uint32_t v = (uint32_t)rng_u64(r);
        switch (rng_below(r, 7)) {
        case 0: out[n++] = 1; break;
        case 1:
            out[n] = 2, out[n + 1] = 4, store_be16(out + n + 2, (uint16_t)(rng_below(r, 2) ? rng_below(r, 100) : v)),
            n += 4;
            break;
        case 2: out[n] = 3, out[n + 1] = 3, out[n + 2] = (uint8_t)rng_below(r, 20), n += 3; break;
        case 3: out[n] = 4, out[n + 1] = 2, n += 2; break;
        case 4:
            out[n] = 8, out[n + 1] = 10, store_be32(out + n + 2, v), store_be32(out + n + 6, v >> 7), n += 10;
            break;
        case 5: /* a lie about what has arrived */
            out[n] = 5, out[n + 1] = 10;
            store_be32(out + n + 2, near + (uint32_t)rng_below(r, 100000) - 20000);
            store_be32(out + n + 6, near + (uint32_t)rng_below(r, 100000) - 20000);
            n += 10;
            break;
        default: out[n] = (uint8_t)v, out[n + 1] = (uint8_t)rng_below(r, 12), n += 2; break;
        }
    }
    while (n % 4) out[n++] = (uint8_t)rng_below(r, 2);
    return n;
}

#endif
