/* SPDX-License-Identifier: MIT
 *
 * What path_send() makes of a segment: headers, checksums in software and left to the device, large segments cut,
 * chains, shared buffers, a full ring; and the configurations that cannot be.
 */
#include "tcp/path.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/route.h"
#include "tcp/wire_test.h"

static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0x99};
static const struct ip_addr any;

static struct net_stack *begin(struct wire *w, uint32_t offloads, unsigned segs_max)
{
    struct stack_config c = wire_conf(0);
    c.offloads = offloads;
    c.tso_max = 65000;
    c.segs_max = (uint16_t)segs_max;
    c.limits.tx_frames = 64;
    struct net_stack *s = wire_add(w, &c);
    struct ip_addr a = ip("10.0.0.1"), a6 = ip("2001:db8::1"), peer = ip("10.0.0.9"), peer6 = ip("2001:db8::9");
    OK(stack_add_address(s, &a, 24, true));
    OK(stack_add_address(s, &a6, 64, true));
    OK(stack_add_neighbour(s, &peer, peer_mac));
    OK(stack_add_neighbour(s, &peer6, peer_mac));
    wire_run(w);
    return s;
}

/* The path is good until the next is opened. */
static int open_between(struct net_stack *s, struct path *p, const struct ip_addr *src, const struct ip_addr *dst)
{
    static struct path_ends ends;
    ends = path_between(src, dst);
    return path_open(s, p, &ends, IPPROTO_TCP);
}

static struct path open_to(struct net_stack *s, const char *dst)
{
    struct path p;
    struct ip_addr to = ip(dst);
    OK(open_between(s, &p, &any, &to));
    return p;
}

/* A TCP segment: 20 bytes of header, n of payload counting up. */
static struct buf *segment(size_t n, uint8_t flags)
{
    struct buf *b = buf_take(n + 20);
    struct tcp_hdr *h = buf_put_back(b, n + 20);
    *h = (struct tcp_hdr){
        .src = be16_of(80), .dst = be16_of(4242), .seq = be32_of(1000), .offset = 0x50, .flags = flags, .csum = 0xdead};
    for (size_t i = 0; i < n; i++) ((uint8_t *)(h + 1))[i] = (uint8_t)(i * 13 + i / 256);
    return b;
}

static void assert_frame(const struct frame *f, bool v6, uint32_t seq, uint8_t flags, size_t at, size_t n)
{
    uint8_t bytes[2048];
    size_t l3 = v6 ? 40 : 20;
    assert_int_equal(f->len, 14 + l3 + 20 + n);
    assert_int_equal(buf_chain_copy(f->b, 0, bytes, sizeof bytes), f->len);
    assert_memory_equal(bytes, peer_mac, 6);
    assert_memory_equal(bytes + 6, "\x02\x00\x00\x00\x00\x01", 6);
    assert_int_equal(load_be16(bytes + 12), v6 ? ETH_TYPE_IP6 : ETH_TYPE_IP4);
    if (!v6) {
        const struct ip4_hdr *h = (void *)(bytes + 14);
        assert_int_equal(csum_ip4(h), 0);
        assert_int_equal(h->version_ihl, 0x45);
        assert_int_equal(be16_to_host(h->total_len), f->len - 14);
        assert_int_equal(be16_to_host(h->frag), IP4_DF);
        assert_int_equal(h->ttl, 64);
    } else {
        const struct ip6_hdr *h = (void *)(bytes + 14);
        assert_int_equal(be16_to_host(h->payload_len), f->len - 54);
        assert_int_equal(bytes[14] >> 4, 6);
        assert_int_equal(h->hops, 64);
    }
    const uint8_t *l4 = bytes + 14 + l3;
    assert_int_equal(
        l4_csum(ip(v6 ? "2001:db8::1" : "10.0.0.1"), ip(v6 ? "2001:db8::9" : "10.0.0.9"), IPPROTO_TCP, l4, 20 + n), 0);
    assert_int_equal(load_be32(l4 + 4), seq);
    assert_int_equal(l4[13], flags);
    for (size_t i = 0; i < n; i++) assert_int_equal(l4[20 + i], (uint8_t)((at + i) * 13 + (at + i) / 256));
}

static struct frame *next(struct net_stack *s)
{
    unsigned n;
    return stack_frames(s, &n);
}
static void sent(struct net_stack *s)
{
    buf_unref(next(s)->b);
    stack_sent(s, 1);
}

static void test_configurations_that_cannot_be_are_refused(void **state)
{
    struct net_stack *s;
    struct stack_config good = wire_conf(0), c;
#define REFUSED(change)                                                                                                \
    c = good;                                                                                                          \
    change;                                                                                                            \
    assert_int_equal(stack_new(&c, &test_hooks, NULL, 0, &s), -EINVAL)
    REFUSED(c.mtu = 67);
    REFUSED((c.mtu = 1279, c.ipv6 = true));
    REFUSED(c.segs_max = NETDEV_SEGS_MAX + 1);
    REFUSED(c.mac[0] = 1);
    REFUSED(memset(c.mac, 0, 6));
    REFUSED((c.offloads = OFFLOAD_TX_TSO, c.tso_max = 65000));
    REFUSED(c.offloads = OFFLOAD_TX_TSO | OFFLOAD_TX_L4_CSUM);
    REFUSED(c.pmtu_min = 20);
    REFUSED(c.limits.tx_frames = 1u << 30);
    size_t before = heap_used();
    OK(stack_new(&good, &test_hooks, NULL, 0, &s));
    stack_free(s);
    assert_int_equal(heap_used(), before);
}

static void test_headers_and_checksums_are_right(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w, 0, 4);
    for (int v6 = 0; v6 < 2; v6++) {
        struct path p = open_to(s, v6 ? "2001:db8::9" : "10.0.0.9");
        for (size_t n = 0; n <= 1440; n += n < 40 ? 1 : 97) {
            path_send(s, &p, segment(n, TCP_ACK), (uint32_t)n + 20, 20, 0, 0);
            assert_frame(next(s), v6, 1000, TCP_ACK, 0, n);
            assert_int_equal(next(s)->flags, 0);
            sent(s);
        }
        path_send(s, &p, segment(8, TCP_ACK), 28, 20, 0, 2);
        assert_int_equal(next(s)->b->data[15] >> (v6 ? 4 : 0) & 3, 2); /* ECT(0) */
        sent(s);
    }
    wire_end(&w);
}

static void test_the_device_is_left_what_it_can_do(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w, OFFLOAD_TX_L4_CSUM | OFFLOAD_TX_IP_CSUM | OFFLOAD_TX_TSO, 20);
    for (int v6 = 0; v6 < 2; v6++) {
        struct path p = open_to(s, v6 ? "2001:db8::9" : "10.0.0.9");
        struct ip_addr a = ip(v6 ? "2001:db8::1" : "10.0.0.1"), b = ip(v6 ? "2001:db8::9" : "10.0.0.9");
        size_t l3 = v6 ? 40 : 20;
        path_send(s, &p, segment(100, TCP_ACK), 120, 20, 0, 0);
        struct frame *f = next(s);
        assert_int_equal(f->flags, FRAME_TX_L4_CSUM | (v6 ? FRAME_TX_V6 : 0));
        assert_int_equal(f->l2_len, 14);
        assert_int_equal(f->l3_len, l3);
        assert_int_equal(f->l4_len, 20);
        uint16_t field = load_u16(f->b->data + 14 + l3 + 16);
        /* the sum over the segment, its field being the pseudo-header's, is the checksum */
        store_u16(f->b->data + 14 + l3 + 16, 0);
        uint16_t whole = (uint16_t)~csum_fold(csum_add(field, f->b->data + 14 + l3, 120));
        assert_int_equal(whole, l4_csum(a, b, IPPROTO_TCP, f->b->data + 14 + l3, 120));
        sent(s);
        path_send(s, &p, segment(30000, TCP_ACK), 30020, 20, 1400, 0);
        f = next(s);
        assert_int_equal(f->flags, FRAME_TX_L4_CSUM | FRAME_TX_TSO | (v6 ? FRAME_TX_V6 : FRAME_TX_IP_CSUM));
        assert_int_equal(f->tso_mss, 1400);
        assert_int_equal(f->len, 30020 + l3 + 14);
        if (!v6) assert_int_equal(load_u16(f->b->data + 24), 0);
        sent(s);
        assert_null(next(s));
    }
    wire_end(&w);
}

static void test_large_segments_are_cut_where_the_device_cannot(void **state)
{
    for (unsigned segs_max = 1; segs_max < 4; segs_max += 2) {
        struct wire w = {0};
        struct net_stack *s = begin(&w, 0, segs_max);
        for (int v6 = 0; v6 < 2; v6++) {
            struct path p = open_to(s, v6 ? "2001:db8::9" : "10.0.0.9");
            struct buf *b = segment(3000, TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR);
            struct buf *kept = buf_slice(b, 20, 2980); /* somebody else looks at the payload */
            path_send(s, &p, b, 3020, 20, 1400, 0);
            assert_frame(next(s), v6, 1000, TCP_ACK | TCP_CWR, 0, 1400);
            sent(s);
            assert_frame(next(s), v6, 2400, TCP_ACK, 1400, 1400);
            sent(s);
            assert_frame(next(s), v6, 3800, TCP_ACK | TCP_PSH | TCP_FIN, 2800, 200);
            sent(s);
            assert_null(next(s));
            for (size_t i = 0; i < 2980; i++) assert_int_equal(kept->data[i], (uint8_t)(i * 13 + i / 256));
            buf_unref(kept);
        }
        wire_end(&w);
    }
}

static void test_chains_and_small_headroom_are_managed(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w, 0, 3);
    struct path p = open_to(s, "10.0.0.9");
    for (unsigned pieces = 1; pieces <= 6; pieces++) { /* up to three go as they are */
        struct buf *whole = segment(100, TCP_ACK), *head = buf_take_exact(20);
        memcpy(buf_put_back(head, 20), whole->data, 20);
        for (unsigned i = 0; i < pieces; i++) {
            size_t from = 100 * i / pieces, to = 100 * (i + 1) / pieces;
            buf_chain_append(head, buf_slice(whole, 20 + from, to - from));
        }
        uint64_t before = s->n.tx_copied;
        path_send(s, &p, head, 120, 20, 0, 0);
        assert_frame(next(s), false, 1000, TCP_ACK, 0, 100);
        assert_int_equal(s->n.tx_copied, before + (pieces > 2));
        sent(s);
        buf_unref(whole);
    }
    static uint8_t text[120]; /* no headroom at all */
    struct buf *whole = segment(100, TCP_ACK);
    memcpy(text, whole->data, 120);
    buf_unref(whole);
    path_send(s, &p, buf_wrap(text, 120, NULL, NULL), 120, 20, 0, 0);
    assert_frame(next(s), false, 1000, TCP_ACK, 0, 100);
    sent(s);
    /* A send queue holds it, too, and finds its payload where it was. */
    struct buf *b = segment(100, TCP_ACK);
    uint8_t *payload = b->data + 20;
    path_send(s, &p, buf_ref(b), 120, 20, 0, 0);
    assert_frame(next(s), false, 1000, TCP_ACK, 0, 100);
    sent(s);
    assert_int_equal(payload[99], (uint8_t)(99 * 13));
    buf_unref(b);
    wire_end(&w);
}

static void test_a_full_ring_drops_and_says_so_before(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w, 0, 1);
    struct path p = open_to(s, "10.0.0.9");
    unsigned count = 0;
    while (stack_tx_room(s) > 0) {
        path_send(s, &p, segment(10, TCP_ACK), 30, 20, 0, 0);
        count++;
    }
    assert_int_equal(count, 60); /* of 64; the rest is ARP's and ICMP's */
    struct udp_sock *u;
    struct ip_port e = {.port = 0}, to = at("10.0.0.9", 5);
    OK(udp_open(s, &e, false, false, NULL, &u));
    struct buf *b = buf_from("x", 1);
    assert_int_equal(udp_push(u, b, &to, false), -EBUSY);
    buf_unref(b);
    for (unsigned i = 0; i < 6; i++) path_send(s, &p, segment(10, TCP_ACK), 30, 20, 0, 0);
    assert_int_equal(s->n.drop_tx_full, 2);
    unsigned n, total = 0;
    while (stack_frames(s, &n)) {
        for (unsigned i = 0; i < n; i++) buf_unref(stack_frames(s, &(unsigned){0})[i].b);
        stack_sent(s, n);
        total += n;
    }
    assert_int_equal(total, 64);
    wire_end(&w);
}

static void test_what_cannot_be_reached_is_refused(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w, 0, 1);
    struct path p;
    struct ip_addr far = ip("192.0.2.1"), far6 = ip("2001:db9::1"), wrong = ip("10.0.0.2"), loop = ip("127.0.0.1"),
                   near = ip("10.0.0.9"), six = ip("2001:db8::1"), unset = ip("0.0.0.0");
    assert_int_equal(open_between(s, &p, &any, &far), -ENETUNREACH);
    assert_int_equal(open_between(s, &p, &any, &far6), -ENETUNREACH);
    assert_int_equal(open_between(s, &p, &any, &unset), -ENETUNREACH);
    assert_int_equal(open_between(s, &p, &wrong, &near), -EADDRNOTAVAIL);
    assert_int_equal(open_between(s, &p, &loop, &near), -EADDRNOTAVAIL);
    assert_int_equal(open_between(s, &p, &six, &near), -EADDRNOTAVAIL);
    struct ip_addr gateway = ip("10.0.0.254"), group = ip("224.0.0.1");
    assert_int_equal(stack_set_gateway(s, &group), -EINVAL);
    OK(stack_set_gateway(s, &gateway));
    OK(open_between(s, &p, &any, &far));
    struct ip_addr own = ip("10.0.0.1");
    OK(stack_remove_address(s, &own));
    path_send(s, &p, segment(1, TCP_ACK), 21, 20, 0, 0); /* the path was open */
    assert_int_equal(s->n.drop_tx_route, 1);
    wire_end(&w);
}

static void test_packets_to_ourselves_take_turns(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w, 0, 1);
    struct udp_sock *a, *b;
    static const char *const addresses[] = {"10.0.0.1", "127.0.0.1", "2001:db8::1", "::1"};
    for (size_t i = 0; i < 4; i++) {
        struct ip_port la = at(addresses[i], 7), lb = at(addresses[i], 8);
        OK(udp_open(s, &la, false, false, NULL, &a));
        OK(udp_open(s, &lb, false, false, NULL, &b));
        udp_say(a, "me", lb);
        assert_udp_silent(b, 0); /* not within the call */
        assert_int_equal(stack_deadline(s), w.now);
        wire_run(&w);
        struct ip_port from;
        assert_udp_hears(b, "me", &from);
        assert_int_equal(from.port, 7);
        assert_true(addr_equal(&from.addr, &la.addr));
        struct buf *big = buf_take(5000);
        buf_put_back(big, 5000);
        OK(udp_push(b, big, &la, false));
        wire_run(&w);
        int err;
        big = udp_pop(a, &from, &err);
        assert_int_equal(big->len, 5000);
        buf_unref(big);
        udp_close(a);
        udp_close(b);
    }
    assert_null(next(s));
    for (unsigned i = 0; i < 200; i++) { /* more than the queue holds */
        struct ip_port la = at("127.0.0.1", 7);
        if (i == 0) OK(udp_open(s, &la, false, false, NULL, &a));
        udp_say(a, "x", la);
    }
    assert_int_equal(s->n.drop_tx_full, 200 - 64);
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configurations_that_cannot_be_are_refused),
        cmocka_unit_test(test_what_cannot_be_reached_is_refused),
        cmocka_unit_test(test_headers_and_checksums_are_right),
        cmocka_unit_test(test_the_device_is_left_what_it_can_do),
        cmocka_unit_test(test_large_segments_are_cut_where_the_device_cannot),
        cmocka_unit_test(test_chains_and_small_headroom_are_managed),
        cmocka_unit_test(test_a_full_ring_drops_and_says_so_before),
        cmocka_unit_test(test_packets_to_ourselves_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
