/* SPDX-License-Identifier: MIT
 *
 * IPv6 headers made by hand: chains of extension headers that are too long, in the wrong order, or beyond the packet;
 * options; routing headers; atomic fragments; and the errors that answer them.
 */
#include "tcp/ip6.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/icmp6.h"
#include "tcp/wire_test.h"

#define PEER "2001:db8::9"
#define OURS "2001:db8::1"

struct host {
    struct wire w;
    struct net_stack *s;
    struct udp_sock *u;
    uint8_t body[4096]; /* extension headers, then UDP */
    size_t n;
    uint8_t first; /* the IPv6 header's next */
    uint8_t *link; /* where the next header's number goes */
};

static void host_begin(struct host *h)
{
    *h = (struct host){0};
    h->s = wire_add4(&h->w);
    struct ip_addr six = ip(OURS), peer = ip(PEER);
    OK(stack_add_address(h->s, &six, 64, true));
    OK(stack_add_neighbour(h->s, &peer, (const uint8_t *)"\x02\x00\x00\x00\x00\x99"));
    struct ip_port local = {.port = 9};
    OK(udp_open(h->s, &local, false, false, NULL, &h->u));
    wire_run(&h->w);
}

static void begin(struct host *h)
{
    h->n = 0;
    h->link = &h->first;
}

/* A header of kind `type` with `bytes` in it, 6 or 8 k + 6 of them. */
static void ext(struct host *h, uint8_t type, const void *bytes, size_t n)
{
    *h->link = type;
    uint8_t *p = h->body + h->n;
    h->link = p;
    p[1] = (uint8_t)((n + 2) / 8 - 1);
    memcpy(p + 2, bytes, n);
    h->n += n + 2;
}
static void pad(struct host *h, uint8_t type) { ext(h, type, "\x01\x04\x00\x00\x00\x00", 6); }

static void end_with_udp(struct host *h, uint16_t port)
{
    *h->link = IPPROTO_UDP;
    h->n += make_udp(h->body + h->n, ip(PEER), 5, ip(OURS), port, "text", 4);
}

static void put(struct host *h)
{
    uint8_t frame[4200];
    size_t n = make_ip6(frame, h->s->conf.mac, ip(PEER), ip(OURS), h->first, 64, h->body, h->n);
    h->w.now += SECOND / 100;
    input_bytes(h->s, frame, n, h->w.now);
    wire_run(&h->w);
}

static void assert_refused(struct host *h, uint8_t code, uint32_t pointer)
{
    uint64_t before = h->s->n.icmp_tx;
    put(h);
    assert_udp_silent(h->u, 0);
    assert_int_equal(h->s->n.icmp_tx, before + 1);
    const uint8_t *icmp = h->w.last + 54;
    assert_int_equal(icmp[0], ICMP6_PARAMETER);
    assert_int_equal(icmp[1], code);
    assert_int_equal(load_be32(icmp + 4), pointer);
    assert_int_equal(l4_csum(ip(OURS), ip(PEER), IPPROTO_ICMPV6, icmp, h->w.last_len - 54), 0);
    assert_memory_equal(icmp + 8 + 40, h->body, h->n);
}
static void assert_dropped(struct host *h)
{
    uint64_t before = h->s->n.icmp_tx, drops = h->s->n.drop_ip6_ext + h->s->n.drop_frag_bad;
    put(h);
    assert_udp_silent(h->u, 0);
    assert_int_equal(h->s->n.icmp_tx, before);
    assert_int_equal(h->s->n.drop_ip6_ext + h->s->n.drop_frag_bad, drops + 1);
}
static void assert_arrives(struct host *h)
{
    put(h);
    assert_udp_hears(h->u, "text", NULL);
}

static void test_chains_too_long_or_out_of_order_are_refused(void **state)
{
    struct host h;
    host_begin(&h);
    begin(&h);
    pad(&h, IPPROTO_DSTOPTS);
    pad(&h, IPPROTO_HOPOPTS); /* not first */
    end_with_udp(&h, 9);
    assert_refused(&h, ICMP6_PARAM_NEXT, 40);
    begin(&h);
    for (unsigned i = 0; i < 3; i++) pad(&h, IPPROTO_DSTOPTS);
    end_with_udp(&h, 9);
    assert_dropped(&h);
    begin(&h);
    ext(&h, IPPROTO_ROUTING, "\x00\x00\x00\x00\x00\x00", 6);
    ext(&h, IPPROTO_ROUTING, "\x00\x00\x00\x00\x00\x00", 6);
    end_with_udp(&h, 9);
    assert_dropped(&h);
    begin(&h);
    for (unsigned i = 0; i < 100; i++) ext(&h, IPPROTO_FRAGMENT, "\x00\x00\x00\x00\x00\x01", 6);
    end_with_udp(&h, 9);
    assert_dropped(&h);
    wire_end(&h.w);
}

static void test_every_cut_of_a_chain_is_dropped(void **state)
{
    struct host h;
    host_begin(&h);
    begin(&h);
    pad(&h, IPPROTO_HOPOPTS);
    ext(&h, IPPROTO_ROUTING, "\x00\x00\x00\x00\x00\x00", 6);
    pad(&h, IPPROTO_DSTOPTS);
    end_with_udp(&h, 9);
    size_t whole = h.n;
    for (h.n = 0; h.n < whole; h.n++) {
        put(&h);
        assert_udp_silent(h.u, 0);
    }
    assert_arrives(&h);
    h.body[1] = 200; /* far beyond the end */
    assert_dropped(&h);
    wire_end(&h.w);
}

static void test_options_do_what_their_upper_bits_say(void **state)
{
    struct host h;
    host_begin(&h);
    static const struct {
        const char *option;
        int what;
    } cases[] = {
        {"\x05\x02\x00\x00\x00\x00", 0}, /* router alert */
        {"\x1e\x04\x00\x00\x00\x00", 0}, /* 00: skip */
        {"\x5e\x04\x00\x00\x00\x00", 1}, /* 01: drop */
        {"\x9e\x04\x00\x00\x00\x00", 2}, /* 10: drop and say */
        {"\xc2\x04\x00\x01\x00\x00", 2}, /* 11: a jumbogram */
        {"\x1e\x05\x00\x00\x00\x00", 1}, /* beyond the header */
        {"\x01\x04\x00\x00\x00\x1e", 0}, /* PadN covers it */
        {"\x00\x00\x00\x00\x00\x1e", 1}, /* no room for a length */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(&h);
        ext(&h, IPPROTO_HOPOPTS, cases[i].option, 6);
        end_with_udp(&h, 9);
        if (cases[i].what == 0) assert_arrives(&h);
        else if (cases[i].what == 1) assert_dropped(&h);
        else assert_refused(&h, ICMP6_PARAM_OPTION, 42);
    }
    uint8_t many[30];
    for (unsigned i = 0; i < sizeof many; i += 2) memcpy(many + i, "\x1e\x00", 2);
    begin(&h);
    ext(&h, IPPROTO_DSTOPTS, many, sizeof many);
    end_with_udp(&h, 9);
    assert_dropped(&h);
    wire_end(&h.w);
}

static void test_routing_headers_are_not_followed(void **state)
{
    struct host h;
    host_begin(&h);
    for (unsigned type = 0; type < 6; type++) {
        uint8_t routing[22] = {(uint8_t)type, 1};
        begin(&h);
        ext(&h, IPPROTO_ROUTING, routing, sizeof routing);
        end_with_udp(&h, 9);
        assert_refused(&h, ICMP6_PARAM_FIELD, 42);
        routing[1] = 0;
        begin(&h);
        ext(&h, IPPROTO_ROUTING, routing, sizeof routing);
        end_with_udp(&h, 9);
        assert_arrives(&h);
    }
    wire_end(&h.w);
}

static void test_an_atomic_fragment_is_a_whole_packet(void **state)
{
    struct host h;
    host_begin(&h);
    begin(&h);
    ext(&h, IPPROTO_FRAGMENT, "\x00\x00\x00\x00\x00\x07", 6);
    h.body[1] = 0;
    end_with_udp(&h, 9);
    assert_arrives(&h);
    assert_int_equal(h.s->n.frag_rx, 0);
    wire_end(&h.w);
}

static void test_unknown_protocols_and_ports_are_answered(void **state)
{
    struct host h;
    host_begin(&h);
    begin(&h);
    pad(&h, IPPROTO_DSTOPTS);
    *h.link = 200;
    memset(h.body + h.n, 0, 16);
    h.n += 16;
    assert_refused(&h, ICMP6_PARAM_NEXT, 40);
    begin(&h);
    end_with_udp(&h, 10);
    put(&h);
    assert_int_equal(h.w.last[54], ICMP6_UNREACHABLE);
    assert_int_equal(h.w.last[55], ICMP6_UNREACH_PORT);
    /* RFC 8200 8.1: no checksum is no option */
    begin(&h);
    end_with_udp(&h, 9);
    store_u16(h.body + 6, 0);
    put(&h);
    assert_udp_silent(h.u, 0);
    assert_int_equal(h.s->n.drop_udp_checksum, 1);
    wire_end(&h.w);
}

static void test_addresses_that_cannot_be_are_refused(void **state)
{
    struct host h;
    host_begin(&h);
    uint8_t frame[256];
    static const char *const martians[] = {"::1", "ff02::1", "::ffff:10.0.0.9", OURS, "::"};
    for (size_t i = 0; i < 5; i++) {
        uint8_t udp[64];
        size_t n = make_udp(udp, ip(martians[i]), 5, ip(OURS), 9, "text", 4);
        n = make_ip6(frame, h.s->conf.mac, ip(martians[i]), ip(OURS), IPPROTO_UDP, 64, udp, n);
        input_bytes(h.s, frame, n, h.w.now);
        assert_int_equal(h.s->n.drop_martian, i + 1);
    }
    static const char *const others[] = {"2001:db8::2", "::1", "ff02::2", "ff02::1:ff00:2", "::", "::ffff:10.0.0.1"};
    for (size_t i = 0; i < 6; i++) {
        uint8_t udp[64];
        size_t n = make_udp(udp, ip(PEER), 5, ip(others[i]), 9, "text", 4);
        n = make_ip6(frame, h.s->conf.mac, ip(PEER), ip(others[i]), IPPROTO_UDP, 64, udp, n);
        input_bytes(h.s, frame, n, h.w.now);
        assert_int_equal(h.s->n.drop_ip6_other, i + 1);
    }
    assert_udp_silent(h.u, 0);
    wire_end(&h.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chains_too_long_or_out_of_order_are_refused),
        cmocka_unit_test(test_every_cut_of_a_chain_is_dropped),
        cmocka_unit_test(test_options_do_what_their_upper_bits_say),
        cmocka_unit_test(test_routing_headers_are_not_followed),
        cmocka_unit_test(test_an_atomic_fragment_is_a_whole_packet),
        cmocka_unit_test(test_unknown_protocols_and_ports_are_answered),
        cmocka_unit_test(test_addresses_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
