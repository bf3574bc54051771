/* SPDX-License-Identifier: MIT
 *
 * ICMP of both versions: what is answered and how often, what is believed of errors, and what path MTUs become of it.
 */
#include "tcp/icmp4.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/icmp6.h"
#include "tcp/path.h"
#include "tcp/pmtu.h"
#include "tcp/wire_test.h"

#define PEER  "10.0.0.9"
#define OURS  "10.0.0.1"
#define PEER6 "2001:db8::9"
#define OURS6 "2001:db8::1"

static struct net_stack *begin(struct wire *w)
{
    struct net_stack *s = wire_add4(w);
    struct ip_addr a = ip(OURS6), peer = ip(PEER), peer6 = ip(PEER6), far = ip("10.0.0.254");
    OK(stack_add_address(s, &a, 64, true));
    OK(stack_add_neighbour(s, &peer, (const uint8_t *)"\x02\x00\x00\x00\x00\x99"));
    OK(stack_add_neighbour(s, &peer6, (const uint8_t *)"\x02\x00\x00\x00\x00\x99"));
    OK(stack_set_gateway(s, &far));
    wire_run(w);
    return s;
}

static void say(struct wire *w, bool v6, uint8_t type, uint8_t code, uint32_t rest, const void *body, size_t n)
{
    uint8_t msg[2048], frame[2100];
    struct ip_addr src = ip(v6 ? PEER6 : PEER), dst = ip(v6 ? OURS6 : OURS);
    struct icmp_hdr *h = (void *)msg;
    *h = (struct icmp_hdr){.type = type, .code = code, .rest = be32_of(rest)};
    if (n) memcpy(h + 1, body, n);
    n += sizeof *h;
    h->csum = v6 ? l4_csum(src, dst, IPPROTO_ICMPV6, msg, n) : (uint16_t)~csum_fold(csum_add(0, msg, n));
    n = v6 ? make_ip6(frame, w->stacks[0]->conf.mac, src, dst, IPPROTO_ICMPV6, 64, msg, n)
           : make_ip4(frame, w->stacks[0]->conf.mac, src, dst, IPPROTO_ICMP, 0, msg, n);
    input_bytes(w->stacks[0], frame, n, w->now);
    wire_run(w);
}

static void test_echoes_are_answered_byte_for_byte_and_not_without_end(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w);
    uint8_t body[1400];
    for (size_t i = 0; i < sizeof body; i++) body[i] = (uint8_t)i;
    for (int v6 = 0; v6 < 2; v6++) {
        size_t l3 = v6 ? 54 : 34;
        for (size_t n = 0; n < sizeof body; n += 101) {
            say(&w, v6, v6 ? 128 : 8, 0, 0x12345678, body, n);
            assert_int_equal(w.last[l3], v6 ? 129 : 0);
            assert_int_equal(load_be32(w.last + l3 + 4), 0x12345678);
            assert_memory_equal(w.last + l3 + 8, body, n);
            assert_int_equal(w.last_len, l3 + 8 + n);
            uint16_t sum = v6 ? l4_csum(ip(OURS6), ip(PEER6), IPPROTO_ICMPV6, w.last + l3, n + 8)
                              : (uint16_t)~csum_fold(csum_add(0, w.last + l3, n + 8));
            assert_int_equal(sum, 0);
            assert_int_equal(csum_ip4(w.last + 14) == 0, !v6);
        }
    }
    w.now += SECOND;
    uint64_t before = w.frames;
    for (unsigned i = 0; i < 5000; i++) say(&w, i & 1, i & 1 ? 128 : 8, 0, i, "x", 1);
    assert_int_equal(w.frames, before + 1000);
    assert_int_equal(s->n.drop_icmp_rate, 4000);
    wire_end(&w);
}

static void test_bad_messages_are_dropped(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w);
    uint8_t frame[128];
    uint64_t dropped = 0, before = w.frames;
    for (size_t n = 1; n < 8; n++) {
        size_t len =
            make_ip4(frame, s->conf.mac, ip(PEER), ip(OURS), IPPROTO_ICMP, 0, "\x08\x00\xf7\xff\x00\x00\x00\x00", n);
        input_bytes(s, frame, len, w.now);
        len = make_ip6(frame, s->conf.mac, ip(PEER6), ip(OURS6), IPPROTO_ICMPV6, 64, "\x80\x00\x00\x00\x00\x00\x00\x00",
                       n);
        input_bytes(s, frame, len, w.now);
        dropped += 2;
    }
    size_t len =
        make_ip4(frame, s->conf.mac, ip(PEER), ip(OURS), IPPROTO_ICMP, 0, "\x08\x00\xf7\xfe\x00\x00\x00\x00", 8);
    input_bytes(s, frame, len, w.now); /* checksum */
    len = make_ip6(frame, s->conf.mac, ip(PEER6), ip(OURS6), IPPROTO_ICMPV6, 64, "\x80\x00\x00\x01\x00\x00\x00\x00", 8);
    input_bytes(s, frame, len, w.now);
    assert_int_equal(s->n.drop_icmp, dropped + 2);
    dropped += 2;
    for (unsigned type = 0; type < 256; type++) {
        if (type == 8 || type == 3 || type == 11 || type == 12) continue;
        say(&w, false, (uint8_t)type, 0, 0, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 40);
        assert_int_equal(s->n.drop_icmp, ++dropped);
    }
    wire_run(&w);
    assert_int_equal(w.frames, before);
    wire_end(&w);
}

/* What an error quotes: a datagram of ours to the peer. */
static size_t quote(uint8_t *out, bool v6, uint16_t from, uint16_t to)
{
    static const uint8_t no_mac[6];
    uint8_t frame[128], udp[16];
    struct ip_addr src = ip(v6 ? OURS6 : OURS), dst = ip(v6 ? PEER6 : PEER);
    size_t n = make_udp(udp, src, from, dst, to, "12345678", 8);
    n = v6 ? make_ip6(frame, no_mac, src, dst, IPPROTO_UDP, 64, udp, n)
           : make_ip4(frame, no_mac, src, dst, IPPROTO_UDP, 0, udp, n);
    memcpy(out, frame + 14, n - 14);
    return n - 14;
}

static void test_errors_reach_only_who_sent(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w);
    for (int v6 = 0; v6 < 2; v6++) {
        struct udp_sock *u, *loose;
        struct ip_port any = {.port = 0}, peer = at(v6 ? PEER6 : PEER, 5);
        OK(udp_open(s, &any, false, false, NULL, &u));
        OK(udp_open(s, &any, false, false, NULL, &loose));
        OK(udp_connect(u, &peer));
        uint8_t q[128];
        uint8_t type = v6 ? 1 : 3, code = v6 ? 4 : 3;
        uint16_t port = udp_local(u)->port;
        say(&w, v6, type, code, 0, q, quote(q, v6, port, 6)); /* another peer's port */
        say(&w, v6, type, code, 0, q, quote(q, v6, 1, 5));
        assert_udp_silent(u, 0);
        say(&w, v6, type, code, 0, q, quote(q, v6, udp_local(loose)->port, 5));
        assert_udp_silent(loose, 0); /* not connected: whose is it? */
        size_t n = quote(q, v6, port, 5);
        uint64_t dropped = s->n.drop_icmp;
        for (size_t cut = 0; cut < (v6 ? 48 : 28); cut++) {
            say(&w, v6, type, code, 0, q, cut);
            assert_int_equal(s->n.drop_icmp, ++dropped);
        }
        assert_udp_silent(u, 0);
        q[v6 ? 23 : 15] ^= 1; /* not from our address */
        say(&w, v6, type, code, 0, q, n);
        assert_int_equal(s->n.drop_icmp, ++dropped);
        quote(q, v6, port, 5);
        say(&w, v6, type, code, 0, q, n);
        assert_udp_silent(u, ECONNREFUSED);
        assert_udp_silent(u, 0);
        say(&w, v6, type, v6 ? 0 : 1, 0, q, n);
        assert_udp_silent(u, EHOSTUNREACH);
        say(&w, v6, v6 ? 3 : 11, 0, 0, q, n);
        assert_udp_silent(u, 0);
    }
    wire_end(&w);
}

static uint16_t mtu_to(struct net_stack *s, bool v6)
{
    struct path p;
    static const struct ip_addr any;
    struct ip_addr dst = ip(v6 ? PEER6 : PEER);
    struct path_ends ends = path_between(&any, &dst);
    OK(path_open(s, &p, &ends, IPPROTO_UDP));
    return (uint16_t)(path_l4_max(s, &p) + (v6 ? 40 : 20));
}

static void test_path_mtus_shrink_within_bounds_and_are_forgotten(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w);
    for (int v6 = 0; v6 < 2; v6++) {
        struct udp_sock *u;
        struct ip_port any = {.port = 0}, peer = at(v6 ? PEER6 : PEER, 5);
        OK(udp_open(s, &any, false, false, NULL, &u));
        OK(udp_connect(u, &peer));
        uint8_t q[128], type = v6 ? 2 : 3, code = v6 ? 0 : 4;
        size_t n = quote(q, v6, udp_local(u)->port, 6);
        say(&w, v6, type, code, 1400, q, n);
        assert_int_equal(mtu_to(s, v6), 1500); /* about nothing of ours */
        n = quote(q, v6, udp_local(u)->port, 5);
        say(&w, v6, type, code, 1400, q, n);
        assert_int_equal(mtu_to(s, v6), 1400);
        say(&w, v6, type, code, 1450, q, n); /* never larger */
        assert_int_equal(mtu_to(s, v6), 1400);
        say(&w, v6, type, code, 68, q, n);
        assert_int_equal(mtu_to(s, v6), v6 ? 1400 : 552);
        /* and a datagram is cut to it */
        struct buf *b = buf_take(1400);
        memset(buf_put_back(b, 1400), 7, 1400);
        OK(udp_push(u, b, NULL, false));
        wire_run(&w);
        assert_true(s->n.frag_tx >= (v6 ? 2u : 3u));
        wire_until(&w, w.now + 605 * SECOND);
        assert_int_equal(mtu_to(s, v6), 1500);
        if (v6) continue;
        static const uint16_t plateaus[] = {1492, 1006, 552}; /* a router that does not say how much: RFC 1191 7 */
        for (size_t i = 0; i < 3; i++) {
            say(&w, v6, type, code, 0, q, n);
            assert_int_equal(mtu_to(s, v6), plateaus[i]);
        }
    }
    wire_end(&w);
}

static void test_the_cache_of_path_mtus_is_bounded(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w);
    size_t before = heap_used();
    for (uint32_t i = 0; i < 100000; i++) {
        struct ip_addr a = addr_v4(i * 2654435761u | 1);
        path_too_big(s, &a, 1000);
    }
    assert_int_equal(heap_used(), before);
    struct ip_addr last = ip("192.0.2.1");
    assert_true(path_too_big(s, &last, 1000));
    assert_int_equal(pmtu_get(s, &last), 1000);
    wire_end(&w);
}

static void test_errors_are_sent_with_the_packet_they_are_about(void **state)
{
    struct wire w = {0};
    struct net_stack *s = begin(&w);
    uint8_t frame[128], udp[64];
    size_t n = make_udp(udp, ip(PEER), 5, ip(OURS), 77, "what", 4);
    size_t len = make_ip4(frame, s->conf.mac, ip(PEER), ip(OURS), IPPROTO_UDP, 0, udp, n);
    input_bytes(s, frame, len, w.now);
    wire_run(&w);
    assert_int_equal(w.last[34], 3);
    assert_int_equal(w.last[35], 3);
    assert_memory_equal(w.last + 42, frame + 14, len - 14);
    len = make_ip4(frame, s->conf.mac, ip(PEER), ip(OURS), 200, 0, udp, n);
    input_bytes(s, frame, len, w.now);
    wire_run(&w);
    assert_int_equal(w.last[35], 2);
    assert_int_equal(s->n.icmp_tx, 2);
    s->conf.quiet_closed_ports = true;
    input_bytes(s, frame, len, w.now);
    assert_int_equal(s->n.icmp_tx, 2);
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_messages_are_dropped),
        cmocka_unit_test(test_echoes_are_answered_byte_for_byte_and_not_without_end),
        cmocka_unit_test(test_errors_reach_only_who_sent),
        cmocka_unit_test(test_path_mtus_shrink_within_bounds_and_are_forgotten),
        cmocka_unit_test(test_the_cache_of_path_mtus_is_bounded),
        cmocka_unit_test(test_errors_are_sent_with_the_packet_they_are_about),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
