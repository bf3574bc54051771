/* SPDX-License-Identifier: MIT
 *
 * What follows an IPv6 header: extension headers, options, fragments. The input is a row of
 *
 *     | next header, 1 | to a group (1), time to pass (2-4), in two (128), 1 | size, 1 | bytes |
 */
#include "tests/fuzz/stack_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_stack f;
    fuzz_begin(&f, false, false);
    struct ip_addr a = fuzz_addr("2001:db8::1"), peer = fuzz_addr("2001:db8::9"), all = fuzz_addr("ff02::1");
    struct ip_port any = {.port = 9};
    ASSERT(stack_add_address(f.s, &a, 64, true) == 0);
    ASSERT(stack_add_neighbour(f.s, &peer, fuzz_peer_mac) == 0);
    ASSERT(udp_open(f.s, &any, false, false, NULL, &f.u) == 0);
    while (size >= 3) {
        uint8_t frame[54 + 255] = {0}, flags = data[1];
        struct ip6_hdr *h = (void *)(frame + 14);
        size_t n = data[2] < size - 3 ? data[2] : size - 3;
        memcpy(frame, fuzz_mac, ETH_ALEN);
        memcpy(frame + 6, fuzz_peer_mac, ETH_ALEN);
        store_be16(frame + 12, ETH_TYPE_IP6);
        *h = (struct ip6_hdr){
            .version_class_flow = be32_of(6u << 28), .payload_len = be16_of(n), .next = data[0], .hops = 255};
        memcpy(h->src, peer.b, 16);
        memcpy(h->dst, flags & 1 ? all.b : a.b, 16);
        memcpy(h + 1, data + 3, n);
        fuzz_input(&f, frame, 54 + n, flags & 128 ? 60 : 0);
        fuzz_advance(&f, fuzz_span(flags >> 1));
        data += 3 + n;
        size -= 3 + n;
    }
    fuzz_end(&f);
    return 0;
}
