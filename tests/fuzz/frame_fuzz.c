/* SPDX-License-Identifier: MIT
 *
 * Raw frames into a stack with a TCP listener, a connection that is established, a UDP socket and neighbours. The input
 * is a row of
 *
 *     | what to mend, 1 | time to pass, 1 | size, 2 (LE) | frame |
 *
 * Mending makes checksums right, addresses ours, and TCP's numbers relative to what the connection expects: without it
 * nearly all that is tried would end at a checksum.
 */
#include "tests/fuzz/stack_fuzz.h"

enum { MEND_IP_CSUM = 1, MEND_L4_CSUM = 2, MEND_MAC = 4, MEND_ADDRESS = 8, MEND_SEQ = 16, IN_TWO = 32 };
#define FRAME_MAX 2048
#define PEER_PORT 4000

static struct {
    uint32_t seq, ack; /* what the connection's peer says next, and has heard */
    bool any;
} peer;

static void note_sent(struct fuzz_stack *f)
{
    const struct eth_hdr *e = (const void *)f->out;
    const struct ip4_hdr *ip4 = (const void *)(e + 1);
    const struct tcp_hdr *t = (const void *)(ip4 + 1);
    if (f->out_len < 54 || e->type != be16_of(ETH_TYPE_IP4) || ip4->proto != IPPROTO_TCP ||
        t->dst != be16_of(PEER_PORT))
        return;
    uint32_t payload = be16_to_host(ip4->total_len) - 20u - (t->offset >> 4) * 4u;
    peer.ack = be32_to_host(t->seq) + payload + ((t->flags & TCP_SYN) != 0) + ((t->flags & TCP_FIN) != 0);
    if (t->flags & TCP_ACK) peer.seq = be32_to_host(t->ack);
    peer.any = true;
}

static void mend_tcp(struct tcp_hdr *t, size_t n)
{
    if (n < sizeof *t || !peer.any) return;
    t->src = be16_of(PEER_PORT);
    t->dst = be16_of(80);
    t->seq = be32_of(be32_to_host(t->seq) + peer.seq);
    t->ack = be32_of(be32_to_host(t->ack) + peer.ack);
}

static void mend_l4(uint8_t proto, const void *src, const void *dst, size_t addr_size, uint8_t *l4, size_t n,
                    unsigned what)
{
    size_t at = proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2;
    if (proto == IPPROTO_TCP && what & MEND_SEQ) mend_tcp((void *)l4, n);
    if (!(what & MEND_L4_CSUM) || n < at + 2) return;
    store_u16(l4 + at, 0);
    store_u16(l4 + at, proto == IPPROTO_ICMP ? (uint16_t)~csum_fold(csum_add(0, l4, n))
                                             : fuzz_l4_csum(src, dst, addr_size, proto, l4, n));
}

static void mend4(uint8_t *p, size_t n, unsigned what)
{
    struct ip4_hdr *h = (void *)p;
    size_t header = (size_t)(h->version_ihl & 15) * 4;
    if (n < sizeof *h || header < sizeof *h || header > n) return;
    struct ip_addr ours = fuzz_addr("10.0.0.1"), other = fuzz_addr("10.0.0.9");
    if (what & MEND_ADDRESS) h->dst = ours.w[3];
    if (what & MEND_SEQ) h->src = other.w[3];
    size_t total = be16_to_host(h->total_len);
    if (total >= header && total <= n) mend_l4(h->proto, &h->src, &h->dst, 4, p + header, total - header, what);
    if (!(what & MEND_IP_CSUM)) return;
    h->csum = 0;
    h->csum = (uint16_t)~csum_fold(csum_add(0, h, header));
}

static void mend6(uint8_t *p, size_t n, unsigned what)
{
    struct ip6_hdr *h = (void *)p;
    if (n < sizeof *h) return;
    struct ip_addr ours = fuzz_addr("2001:db8::1");
    if (what & MEND_ADDRESS) memcpy(h->dst, ours.b, 16);
    size_t payload = be16_to_host(h->payload_len);
    if (payload <= n - sizeof *h)
        mend_l4(h->next, h->src, h->dst, 16, p + sizeof *h, payload, what & ~(unsigned)MEND_SEQ);
}

static void mend(uint8_t *p, size_t n, unsigned what)
{
    if (n < 14) return;
    if (what & MEND_MAC) memcpy(p, fuzz_mac, ETH_ALEN);
    uint16_t type = load_be16(p + 12);
    if (type == ETH_TYPE_IP4) mend4(p + 14, n - 14, what);
    if (type == ETH_TYPE_IP6) mend6(p + 14, n - 14, what);
}

static void put_tcp(struct fuzz_stack *f, uint8_t flags)
{
    uint8_t frame[54] = {0};
    struct ip4_hdr *h = (void *)(frame + 14);
    struct tcp_hdr *t = (void *)(h + 1);
    memcpy(frame + 6, fuzz_peer_mac, ETH_ALEN);
    store_be16(frame + 12, ETH_TYPE_IP4);
    *h = (struct ip4_hdr){.version_ihl = 0x45, .total_len = be16_of(40), .ttl = 64, .proto = IPPROTO_TCP};
    *t = (struct tcp_hdr){
        .src = be16_of(PEER_PORT), .dst = be16_of(80), .offset = 0x50, .flags = flags, .window = be16_of(65535)};
    mend(frame, sizeof frame, MEND_IP_CSUM | MEND_L4_CSUM | MEND_MAC | MEND_ADDRESS | MEND_SEQ);
    fuzz_input(f, frame, sizeof frame, 0);
}

static void begin(struct fuzz_stack *f)
{
    fuzz_begin(f, true, false);
    f->sent = note_sent;
    memset(&peer, 0, sizeof peer);
    struct ip_addr a = fuzz_addr("10.0.0.1"), a6 = fuzz_addr("2001:db8::1"), n = fuzz_addr("10.0.0.9"),
                   n6 = fuzz_addr("2001:db8::9");
    ASSERT(stack_add_address(f->s, &a, 24, true) == 0);
    ASSERT(stack_add_address(f->s, &a6, 64, true) == 0);
    ASSERT(stack_add_neighbour(f->s, &n, fuzz_peer_mac) == 0);
    ASSERT(stack_add_neighbour(f->s, &n6, fuzz_peer_mac) == 0);
    struct ip_port local = {.port = 80}, any = {.port = 9};
    struct listen_opts o = {.backlog = 4};
    ASSERT(listener_open(f->s, &local, &o, NULL, &f->l) == 0);
    ASSERT(udp_open(f->s, &any, false, false, NULL, &f->u) == 0);
    peer.any = true;
    put_tcp(f, TCP_SYN);
    put_tcp(f, TCP_ACK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_stack f;
    begin(&f);
    while (size >= 4) {
        unsigned what = data[0];
        nsec span = fuzz_span(data[1]);
        size_t n = (size_t)load_u16(data + 2) % FRAME_MAX;
        uint8_t frame[FRAME_MAX];
        data += 4;
        size -= 4;
        if (n > size) n = size;
        memcpy(frame, data, n);
        mend(frame, n, what);
        if (n) fuzz_input(&f, frame, n, what & IN_TWO ? n / 2 : 0);
        fuzz_advance(&f, span);
        data += n;
        size -= n;
    }
    fuzz_end(&f);
    return 0;
}
