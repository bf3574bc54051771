/* SPDX-License-Identifier: MIT
 *
 * Answers of a DHCP server. The input is a row of
 *
 *     | as sent (1), time to pass (2-4), 1 | size, 2 (LE) | message |
 *
 * Unless "as sent" says otherwise the message gets the client's transaction and MAC and the magic cookie, which nobody
 * guesses.
 */
#include "tests/fuzz/stack_fuzz.h"

#include "tcp/dhcp.h"

#define MSG_MAX 1024

static uint32_t xid;

static void note_sent(struct fuzz_stack *f)
{
    if (f->out_len >= 50 && load_be16(f->out + 12) == ETH_TYPE_IP4 && load_be16(f->out + 36) == DHCP_SERVER_PORT)
        xid = load_u32(f->out + 46);
}

static void put(struct fuzz_stack *f, const uint8_t *msg, size_t n)
{
    uint8_t frame[42 + MSG_MAX] = {0};
    struct ip_addr server = fuzz_addr("10.0.0.254");
    struct ip4_hdr *h = (void *)(frame + 14);
    struct udp_hdr *u = (void *)(h + 1);
    memset(frame, 255, ETH_ALEN);
    memcpy(frame + 6, fuzz_peer_mac, ETH_ALEN);
    store_be16(frame + 12, ETH_TYPE_IP4);
    *h = (struct ip4_hdr){.version_ihl = 0x45,
                          .total_len = be16_of(28 + n),
                          .ttl = 64,
                          .proto = IPPROTO_UDP,
                          .src = server.w[3],
                          .dst = UINT32_MAX};
    h->csum = csum_ip4(h);
    *u = (struct udp_hdr){.src = be16_of(DHCP_SERVER_PORT), .dst = be16_of(DHCP_CLIENT_PORT), .len = be16_of(8 + n)};
    memcpy(u + 1, msg, n);
    fuzz_input(f, frame, 42 + n, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_stack f;
    fuzz_begin(&f, false, true);
    f.sent = note_sent;
    fuzz_advance(&f, NSEC_PER_SEC);
    while (size >= 3) {
        uint8_t msg[MSG_MAX], flags = data[0];
        size_t n = (size_t)load_u16(data + 1) % MSG_MAX;
        data += 3;
        size -= 3;
        if (n > size) n = size;
        memcpy(msg, data, n);
        if (n >= 240 && !(flags & 1)) {
            store_u32(msg + 4, xid);
            memcpy(msg + 28, fuzz_mac, ETH_ALEN);
            store_be32(msg + 236, 0x63825363);
        }
        put(&f, msg, n);
        fuzz_advance(&f, fuzz_span(flags >> 1));
        data += n;
        size -= n;
    }
    fuzz_end(&f);
    return 0;
}
