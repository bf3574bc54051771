/* SPDX-License-Identifier: MIT
 *
 * How a packet leaves. The common one (its neighbour known, one frame, headroom there) is written from two wide stores
 * of an Ethernet header the neighbour keeps, and an IP header whose checksum comes from the same sum of addresses as
 * the segment's own:
 *
 *     pseudo_sum = src + dst + protocol                       (16-bit words, not folded)
 *     IPv4 header = pseudo_sum + version, TOS, length, DF, TTL   its other words; the identification is 0
 *     segment     = pseudo_sum + length + header + payload
 *
 * IPv4 packets that may not be fragmented need no identification (RFC 6864 4.1); TCP sets DF always, others as long as
 * they fit. An IPv6 flow label is a hash of addresses and ports (RFC 6437 3).
 *
 * The neighbour is found once. Whatever could make it another one (a route, an address, an entry that is reused, a path
 * MTU) moves s->ip.generation, and every path looks again at its next packet.
 */
#include "tcp/path.h"

#include <errno.h>
#include <netinet/in.h>

#include "alloc/base/hash.h"
#include "tcp/checksum.h"
#include "tcp/eth.h"
#include "tcp/frag.h"
#include "tcp/hdr.h"
#include "tcp/loop.h"
#include "tcp/neighbour.h"
#include "tcp/path_impl.h"
#include "tcp/pmtu.h"
#include "tcp/route.h"

#define HOPS_DEFAULT 64 /* RFC 1122 3.2.1.7, RFC 1700 */

static bool is_group(const struct net_stack *s, const struct ip_addr *a)
{
    return addr_is_multicast(a) || route_is_broadcast(s, a);
}

static uint32_t sum16(const uint8_t *p, unsigned n)
{
    uint32_t sum = 0;
    for (unsigned i = 0; i < n; i += 2) sum += load_u16(p + i);
    return sum;
}

static void refresh_mtu(struct net_stack *s, struct path *p)
{
    uint16_t link = addr_is_v4(path_dst(p)) ? s->ip.mtu4 : s->ip.mtu6;
    uint16_t known = p->is_loop ? link : pmtu_get(s, path_dst(p));
    p->mtu = known && known < link ? known : link;
}

void path_prepare(struct path *p, const struct path_ends *ends, uint8_t proto, uint8_t hops)
{
    const struct ip_addr *src = &ends->local.addr, *dst = &ends->remote.addr;
    bool v4 = addr_is_v4(dst);
    *p = (struct path){.ends = ends, .proto = proto, .hops = hops, .pseudo_sum = (uint32_t)proto << 8};
    p->pseudo_sum += v4 ? sum16(src->b + 12, 4) + sum16(dst->b + 12, 4) : sum16(src->b, 16) + sum16(dst->b, 16);
}

int path_open(struct net_stack *s, struct path *p, struct path_ends *ends, uint8_t proto)
{
    const struct ip_addr *src = &ends->local.addr, *dst = &ends->remote.addr;
    if (addr_is_any(dst)) return -ENETUNREACH;
    struct ip_addr from = *src, next;
    if (addr_is_any(src)) {
        if (route_source(s, dst, &from)) return -ENETUNREACH;
    } else if (!stack_is_local(s, src) || addr_is_v4(src) != addr_is_v4(dst)) {
        return -EADDRNOTAVAIL;
    }
    bool is_loop = stack_is_local(s, dst);
    if (!is_loop && addr_is_loopback(&from)) return -EADDRNOTAVAIL; /* RFC 1122 3.2.1.3 (g) */
    if (!is_loop && !is_group(s, dst) && route_next_hop(s, dst, &next)) return -ENETUNREACH;
    uint8_t hops = addr_is_multicast(dst) ? 1 : addr_is_v4(dst) ? HOPS_DEFAULT : s->ip.hops6; /* groups: RFC 1112 6.1 */
    ends->local.addr = from;
    path_prepare(p, ends, proto, hops);
    p->is_loop = is_loop;
    refresh_mtu(s, p);
    return 0;
}

void path_close(struct net_stack *s, struct path *p) { p->hop = NULL; }

uint16_t path_l4_max(struct net_stack *s, struct path *p)
{
    if (!p->hop || p->hop_generation != s->ip.generation) refresh_mtu(s, p);
    return (uint16_t)(p->mtu - (addr_is_v4(path_dst(p)) ? sizeof(struct ip4_hdr) : sizeof(struct ip6_hdr)));
}

bool path_too_big(struct net_stack *s, const struct ip_addr *dst, uint16_t mtu) { return pmtu_learn(s, dst, mtu); }

/* --- headers ------------------------------------------------------------------------------------------------------ */

static inline unsigned checksum_at(uint8_t proto)
{
    return proto == IPPROTO_TCP   ? offsetof(struct tcp_hdr, csum)
           : proto == IPPROTO_UDP ? offsetof(struct udp_hdr, csum)
                                  : 2;
}

static inline void write_ip4(const struct path *p, uint8_t *at, uint32_t l4_len, uint16_t id, uint16_t frag,
                             uint8_t tos)
{
    uint32_t total = __builtin_bswap16((uint16_t)(l4_len + sizeof(struct ip4_hdr)));
    uint32_t vihl_tos = 0x45u | (uint32_t)tos << 8;
    uint32_t words = be16_of(id), flags = be16_of(frag), ttl_proto = p->hops | (uint32_t)p->proto << 8;
    uint64_t sum = (uint64_t)p->pseudo_sum + vihl_tos + total + words + flags + p->hops;
    store_u64(at, vihl_tos | (uint64_t)total << 16 | (uint64_t)words << 32 | (uint64_t)flags << 48);
    store_u32(at + 8, ttl_proto | (uint32_t)(uint16_t)~csum_fold(sum) << 16);
    store_u64(at + 12, (uint64_t)path_src(p)->w[3] | (uint64_t)path_dst(p)->w[3] << 32);
}

void path_write_ip4(const struct path *p, uint8_t *at, uint32_t l4_len, uint16_t id, uint16_t frag, uint8_t tos)
{
    write_ip4(p, at, l4_len, id, frag, tos);
}

void path_write_ip6(const struct path *p, uint8_t *at, uint32_t payload, uint8_t next, uint8_t tos, uint32_t flow)
{
    uint32_t first = __builtin_bswap32(6u << 28 | (uint32_t)tos << 20 | (flow & 0xfffff));
    store_u64(at, first | (uint64_t)__builtin_bswap16((uint16_t)payload) << 32 | (uint64_t)next << 48 |
                      (uint64_t)p->hops << 56);
    memcpy(at + 8, path_src(p)->b, 16);
    memcpy(at + 24, path_dst(p)->b, 16);
}

uint32_t path_flow(const struct net_stack *s, const struct path *p, uint32_t ports)
{
    return (uint32_t)hash_pair((uint64_t)p->pseudo_sum << 32 | ports, 0, s->hash_seed);
}

/* The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1), to which the length has still to be added; none for
 * ICMP of IPv4. */
static inline uint64_t pseudo(const struct path *p, uint32_t len)
{
    if (unlikely(p->proto == IPPROTO_ICMP)) return 0;
    return (uint64_t)p->pseudo_sum + __builtin_bswap32(len);
}

static inline uint64_t sum_l4(uint64_t sum, const struct buf *b, uint32_t len)
{
    return likely(!b->next) ? csum_add(sum, b->data, len) : csum_add_chain(sum, b, 0, len);
}

void path_write_checksum(const struct path *p, struct buf *b, uint32_t len)
{
    uint8_t *at = b->data + checksum_at(p->proto);
    store_u16(at, 0);
    uint16_t sum = (uint16_t)~csum_fold(sum_l4(pseudo(p, len), b, len));
    store_u16(at, sum || p->proto != IPPROTO_UDP ? sum : 0xffff); /* RFC 768: 0 would say that there is none */
}

/* --- one frame ---------------------------------------------------------------------------------------------------- */

/* The next hop's entry, looked up anew if it may have changed. NULL: none, and why is counted. */
static struct neighbour *find_hop(struct net_stack *s, struct path *p)
{
    if (p->hop && p->hop_generation == s->ip.generation) return p->hop;
    struct ip_addr next;
    p->hop = NULL;
    if (!stack_is_local(s, path_src(p)) || route_next_hop(s, path_dst(p), &next)) {
        s->n.drop_tx_route++;
        return NULL;
    }
    p->hop = neighbour_get(s, &next);
    if (!p->hop) return NULL;
    p->hop_generation = s->ip.generation; /* behind neighbour_get(), which may have made room */
    refresh_mtu(s, p);
    return p->hop;
}

static void send_slow(struct net_stack *s, struct path *p, const struct frame *f)
{
    if (is_group(s, path_dst(p))) {
        struct eth_hdr *h = (void *)f->b->data;
        eth_group_mac(path_dst(p), h->dst);
        memcpy(h->src, s->conf.mac, ETH_ALEN);
        h->type = addr_is_v4(path_dst(p)) ? be16_of(ETH_TYPE_IP4) : be16_of(ETH_TYPE_IP6);
        tx_push(s, f);
        return;
    }
    struct neighbour *n = find_hop(s, p);
    if (n) neighbour_send(s, n, f);
    else buf_unref(f->b);
}

bool path_can_send(struct net_stack *s, struct path *p)
{
    if (p->is_loop || is_group(s, path_dst(p))) return true;
    const struct neighbour *n = find_hop(s, p);
    return !n || neighbour_can_send(n);
}

void path_await(struct net_stack *s, struct path *p, struct list *who)
{
    struct neighbour *n = find_hop(s, p);
    DASSERT(n && !neighbour_can_send(n));
    n->used_at = s->now;
    list_push_back(p->proto == IPPROTO_TCP ? &n->conns : &n->datagrams, who);
}

static inline bool is_hop_known(const struct net_stack *s, const struct path *p)
{
    return p->hop && p->hop_generation == s->ip.generation && neighbour_is_fresh(p->hop);
}

static inline void write_eth(const struct neighbour *n, uint8_t *at)
{
    store_u64(at, load_u64(n->eth));
    store_u64(at + 6, load_u64(n->eth + 6)); /* overlaps: 14 bytes */
}

void path_send_frame(struct net_stack *s, struct path *p, const struct frame *f)
{
    struct neighbour *n = p->hop;
    if (likely(is_hop_known(s, p))) {
        write_eth(n, f->b->data);
        n->used_at = s->now;
        tx_push(s, f);
        return;
    }
    if (p->is_loop) {
        buf_trim_front(f->b, ETH_HDR);
        loop_push(s, f->b, f->len - ETH_HDR);
        return;
    }
    send_slow(s, p, f);
}

/* A head with room for all headers in front of it, where b's own cannot be written. Takes b. NULL: out of memory. */
static struct buf *with_headroom(struct net_stack *s, struct buf *b, uint32_t len, uint8_t l4_header)
{
    if (b->refs > 1 || b->len < l4_header) return buf_together(s, b, len);
    struct buf *head = buf_take_exact(l4_header);
    if (!head) {
        s->n.drop_memory++;
        buf_unref(b);
        return NULL;
    }
    memcpy(buf_put_back(head, l4_header), b->data, l4_header);
    buf_trim_front(b, l4_header);
    head->next = b;
    return head;
}

/* Larger than the path takes: UDP and ICMP are cut into fragments; TCP is told to make smaller segments, which it
 * has not yet. */
static bool is_too_large(struct net_stack *s, const struct path *p, uint32_t packet)
{
    return p->proto != IPPROTO_TCP || packet > s->conf.mtu;
}

static void send_one(struct net_stack *s, struct path *p, struct buf *b, uint32_t len, uint8_t l4_header,
                     uint16_t tso_mss, uint8_t ecn)
{
    bool v4 = addr_is_v4(path_dst(p));
    uint32_t l3 = v4 ? sizeof(struct ip4_hdr) : sizeof(struct ip6_hdr);
    if (unlikely(len + l3 > p->mtu) && !tso_mss && is_too_large(s, p, len + l3)) {
        frag_send(s, p, b, len, ecn);
        return;
    }
    if (unlikely(buf_headroom(b) < l3 + ETH_HDR || (b->next && b->len < l4_header))) {
        b = with_headroom(s, b, len, l4_header);
        if (!b) return;
    }
    struct frame f = {.len = len + l3 + ETH_HDR, .l2_len = ETH_HDR, .l3_len = (uint8_t)l3, .l4_len = l4_header};
    if (p->is_loop) {
        /* nobody looks: loop_run() says so */
    } else if ((s->conf.offloads & OFFLOAD_TX_L4_CSUM) && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP)) {
        store_u16(b->data + checksum_at(p->proto), csum_fold(pseudo(p, tso_mss ? 0 : len)));
        f.flags = (uint16_t)(FRAME_TX_L4_CSUM | (v4 ? 0 : FRAME_TX_V6) | (p->proto == IPPROTO_UDP ? FRAME_TX_UDP : 0) |
                             (tso_mss ? FRAME_TX_TSO : 0));
        f.tso_mss = tso_mss;
    } else {
        path_write_checksum(p, b, len);
    }
    uint32_t ports = v4 ? 0 : load_u32(b->data);
    uint8_t *at = b->data - l3;
    uint8_t tos = (uint8_t)((p->tos & 0xfc) | (ecn & 3));
    if (v4) {
        write_ip4(p, at, len, 0, IP4_DF, tos);
        if (unlikely(tso_mss && (s->conf.offloads & OFFLOAD_TX_IP_CSUM))) {
            store_u16(at + offsetof(struct ip4_hdr, csum), 0);
            f.flags |= FRAME_TX_IP_CSUM;
        }
    } else {
        path_write_ip6(p, at, len, p->proto, tos, path_flow(s, p, ports));
    }
    b->data = at - ETH_HDR;
    b->len += l3 + ETH_HDR;
    f.b = b;
    path_send_frame(s, p, &f);
}

/* --- segmentation in software ------------------------------------------------------------------------------------- */

/* A new chain of slices of n bytes of b's chain from `offset` on. */
static struct buf *slices(const struct buf *from, uint32_t offset, uint32_t n)
{
    struct buf *head = NULL, **link = &head;
    for (struct buf *b = (struct buf *)(uintptr_t)from; b && n; b = b->next) {
        if (offset >= b->len) {
            offset -= b->len;
            continue;
        }
        uint32_t part = b->len - offset < n ? b->len - offset : n;
        *link = buf_slice(b, offset, part);
        if (!*link) break;
        link = &(*link)->next;
        n -= part;
        offset = 0;
    }
    if (n == 0) return head;
    buf_unref(head);
    return NULL;
}

/* One piece of a large segment: header (a copy, changed), then slices of payload. NULL: out of memory. */
static struct buf *piece(const struct buf *whole, uint8_t l4_header, uint32_t at, uint32_t n, bool last)
{
    struct buf *head = buf_take_exact(l4_header);
    if (!head) return NULL;
    struct tcp_hdr *h = buf_put_back(head, l4_header);
    memcpy(h, whole->data, l4_header);
    h->seq = be32_of(be32_to_host(h->seq) + at);
    if (!last) h->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (at > 0) h->flags &= (uint8_t)~TCP_CWR; /* RFC 3168 6.1.2: said once */
    head->next = slices(whole, l4_header + at, n);
    if (head->next) return head;
    buf_unref(head);
    return NULL;
}

static void send_in_pieces(struct net_stack *s, struct path *p, struct buf *b, uint32_t len, uint8_t l4_header,
                           uint16_t mss, uint8_t ecn)
{
    if (b->len < l4_header) b = buf_together(s, b, len);
    if (!b) return;
    uint32_t payload = len - l4_header;
    for (uint32_t at = 0; at < payload; at += mss) {
        uint32_t n = payload - at < mss ? payload - at : mss;
        struct buf *one = piece(b, l4_header, at, n, at + n == payload);
        if (!one) {
            s->n.drop_memory++; /* the rest is lost, as on a wire */
            break;
        }
        send_one(s, p, one, l4_header + n, l4_header, 0, ecn);
    }
    buf_unref(b);
}

/* The packet of one buf over IPv4 to a known neighbour, with room for it in the ring: straight into the ring. False:
 * nothing was done. */
static inline bool send_fast(struct net_stack *s, struct path *p, struct buf *b, uint32_t len, uint8_t l4_header,
                             uint8_t ecn)
{
    struct frame_ring *r = &s->tx;
    const uint32_t l3 = sizeof(struct ip4_hdr);
    if (unlikely(!is_hop_known(s, p) || b->next || len + l3 > p->mtu || buf_headroom(b) < l3 + ETH_HDR)) return false;
    if (unlikely(r->tail - r->head > r->mask || p->proto == IPPROTO_ICMP || !addr_is_v4(path_dst(p)))) return false;
    uint8_t *l4 = b->data;
    bool udp = p->proto == IPPROTO_UDP;
    uint16_t flags = 0;
    if (s->conf.offloads & OFFLOAD_TX_L4_CSUM) {
        store_u16(l4 + checksum_at(p->proto), csum_fold(pseudo(p, len)));
        flags = (uint16_t)(FRAME_TX_L4_CSUM | (udp ? FRAME_TX_UDP : 0));
    } else {
        path_write_checksum(p, b, len);
    }
    write_ip4(p, l4 - l3, len, 0, IP4_DF, (uint8_t)((p->tos & 0xfc) | (ecn & 3)));
    write_eth(p->hop, l4 - l3 - ETH_HDR);
    p->hop->used_at = s->now;
    b->data = l4 - l3 - ETH_HDR;
    b->len = len + l3 + ETH_HDR;
    struct frame *slot = &r->slots[r->tail++ & r->mask];
    slot->b = b;
    slot->len = len + l3 + ETH_HDR;
    slot->flags = flags;
    slot->tso_mss = 0;
    slot->l2_len = ETH_HDR;
    slot->l3_len = (uint8_t)l3;
    slot->l4_len = l4_header;
    s->n.tx_frames++;
    s->n.tx_bytes += len + l3 + ETH_HDR;
    return true;
}

void path_send(struct net_stack *s, struct path *p, struct buf *b, uint32_t len, uint8_t l4_header, uint16_t tso_mss,
               uint8_t ecn)
{
    if (likely(!tso_mss || len - l4_header <= tso_mss) && send_fast(s, p, b, len, l4_header, ecn)) return;
    if (unlikely(tso_mss)) {
        if (len - l4_header <= tso_mss) tso_mss = 0;
        else if (!(s->conf.offloads & OFFLOAD_TX_TSO) || p->is_loop) {
            send_in_pieces(s, p, b, len, l4_header, tso_mss, ecn);
            return;
        }
    }
    send_one(s, p, b, len, l4_header, tso_mss, ecn);
}
