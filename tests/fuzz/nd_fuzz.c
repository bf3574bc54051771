/* SPDX-License-Identifier: MIT
 *
 * Neighbour discovery messages with right checksums and hop limit, to a stack that makes its own addresses. The input
 * is a row of
 *
 *     | source (0-1), destination (2-3), time to pass (4-6), 1 | size, 1 | ICMPv6 message |
 *
 * A target of zeros becomes the stack's first address, so that duplicates are found.
 */
#include "tests/fuzz/stack_fuzz.h"

#include "tcp/nd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_stack f;
    fuzz_begin(&f, true, false);
    struct ip_addr sources[4] = {fuzz_addr("fe80::9"), fuzz_addr("::"), fuzz_addr("2001:db8::9"), fuzz_addr("fe80::8")};
    struct ip_port any = {.port = 9}, far = {.addr = fuzz_addr("2001:db8:7::7"), .port = 9};
    ASSERT(udp_open(f.s, &any, false, false, NULL, &f.u) == 0);
    while (size >= 2) {
        uint8_t frame[54 + 255] = {0}, flags = data[0];
        size_t n = data[1] < size - 2 ? data[1] : size - 2;
        struct ip6_hdr *h = (void *)(frame + 14);
        uint8_t *msg = (void *)(h + 1);
        struct ip_addr own = f.s->ip.addrs[0].addr,
                       dst[4] = {fuzz_addr("ff02::1"), own, nd_solicited_node(&own), fuzz_addr("ff02::2")};
        memcpy(frame, fuzz_mac, ETH_ALEN);
        memcpy(frame + 6, fuzz_peer_mac, ETH_ALEN);
        store_be16(frame + 12, ETH_TYPE_IP6);
        *h = (struct ip6_hdr){
            .version_class_flow = be32_of(6u << 28), .payload_len = be16_of(n), .next = IPPROTO_ICMPV6, .hops = 255};
        memcpy(h->src, sources[flags & 3].b, 16);
        memcpy(h->dst, dst[flags >> 2 & 3].b, 16);
        memcpy(msg, data + 2, n);
        static const uint8_t nobody[16];
        if (n >= 24 && memcmp(msg + 8, nobody, 16) == 0 && (msg[0] == ND_SOLICIT || msg[0] == ND_ADVERT))
            memcpy(msg + 8, own.b, 16);
        if (n >= 4) {
            store_u16(msg + 2, 0);
            store_u16(msg + 2, fuzz_l4_csum(h->src, h->dst, 16, IPPROTO_ICMPV6, msg, n));
        }
        fuzz_input(&f, frame, 54 + n, 0);
        struct buf *b = buf_take(1);
        memset(buf_put_back(b, 1), 'x', 1);
        if (udp_push(f.u, b, &far, false)) buf_unref(b); /* routes and neighbours are used, too */
        fuzz_advance(&f, fuzz_span(flags >> 4));
        data += 2 + n;
        size -= 2 + n;
    }
    fuzz_end(&f);
    return 0;
}
