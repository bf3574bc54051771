/* SPDX-License-Identifier: MIT
 *
 * Ethernet and IPv4 headers made by hand: each way of being wrong has its counter, and what is right arrives.
 */
#include "tcp/ip4.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/wire_test.h"

struct host {
    struct wire w;
    struct net_stack *s;
    struct udp_sock *u;
};

static const uint8_t broadcast_mac[6] = {255, 255, 255, 255, 255, 255};

static void host_begin(struct host *h)
{
    *h = (struct host){0};
    h->s = wire_add4(&h->w);
    struct ip_port local = {.addr = addr_v4(0), .port = 9};
    OK(udp_open(h->s, &local, false, false, NULL, &h->u));
}

static size_t make(struct host *h, uint8_t *frame, const char *src, const char *dst)
{
    uint8_t udp[64];
    size_t n = make_udp(udp, ip(src), 5, ip(dst), 9, "text", 4);
    return make_ip4(frame, h->s->conf.mac, ip(src), ip(dst), IPPROTO_UDP, 0, udp, n);
}

static void put(struct host *h, const uint8_t *frame, size_t n) { input_bytes(h->s, frame, n, h->w.now); }

static void assert_dropped(struct host *h, const uint8_t *frame, size_t n, const uint64_t *counter)
{
    uint64_t before = *counter;
    put(h, frame, n);
    assert_int_equal(*counter, before + 1);
    assert_udp_silent(h->u, 0);
}

static void test_every_prefix_of_a_frame_is_dropped(void **state)
{
    struct host h;
    host_begin(&h);
    uint8_t frame[128];
    size_t n = make(&h, frame, "10.0.0.9", "10.0.0.1");
    for (size_t cut = 1; cut < n; cut++)
        assert_dropped(&h, frame, cut, cut < 22 ? &h.s->n.drop_short : &h.s->n.drop_ip4_header);
    put(&h, frame, n);
    assert_udp_hears(h.u, "text", NULL);
    wire_end(&h.w);
}

static void test_a_length_that_lies_is_refused(void **state)
{
    struct host h;
    host_begin(&h);
    uint8_t frame[128];
    size_t n = make(&h, frame, "10.0.0.9", "10.0.0.1");
    struct frame f = {.b = buf_from(frame, n), .len = (uint32_t)n + 40}; /* the device says more than there is */
    stack_input(h.s, &f, 1, h.w.now);
    assert_int_equal(h.s->n.drop_short, 1);
    assert_udp_silent(h.u, 0);
    wire_end(&h.w);
}

static void test_wrong_headers_are_counted_by_what_is_wrong(void **state)
{
    struct host h;
    host_begin(&h);
    uint8_t frame[128];
    size_t n;
#define WITH(src, dst, change)                                                                                         \
    n = make(&h, frame, src, dst);                                                                                     \
    {                                                                                                                  \
        struct ip4_hdr *ip4 = (void *)(frame + 14);                                                                    \
        struct eth_hdr *eth = (void *)frame;                                                                           \
        change;                                                                                                        \
        (void)ip4;                                                                                                     \
        (void)eth;                                                                                                     \
    }
    WITH("10.0.0.9", "10.0.0.1", ip4->ttl ^= 1);
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_checksum);
    WITH("10.0.0.9", "10.0.0.1", ip4->version_ihl = 0x65; fix_ip4(frame));
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_header);
    WITH("10.0.0.9", "10.0.0.1", ip4->version_ihl = 0x44; fix_ip4(frame));
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_header);
    WITH("10.0.0.9", "10.0.0.1", ip4->version_ihl = 0x4f); /* 60 bytes of header in 32 */
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_header);
    WITH("10.0.0.9", "10.0.0.1", ip4->total_len = be16_of(19); fix_ip4(frame));
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_header);
    WITH("10.0.0.9", "10.0.0.1", ip4->total_len = be16_of(n - 13); fix_ip4(frame));
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_header);
    WITH("10.0.0.9", "10.0.0.1", eth->dst[5] ^= 1);
    assert_dropped(&h, frame, n, &h.s->n.drop_eth_other);
    WITH("10.0.0.9", "10.0.0.1", eth->type = be16_of(ETH_TYPE_VLAN));
    assert_dropped(&h, frame, n, &h.s->n.drop_eth_type);
    static const char *const martians[] = {"0.0.0.0",   "0.1.2.3",         "127.0.0.1", "224.0.0.1",
                                           "240.0.0.1", "255.255.255.255", "10.0.0.1",  "10.0.0.255"};
    for (size_t i = 0; i < sizeof martians / sizeof *martians; i++) {
        n = make(&h, frame, martians[i], "10.0.0.1");
        assert_dropped(&h, frame, n, &h.s->n.drop_martian);
    }
    static const char *const others[] = {"10.0.0.2", "127.0.0.1", "224.0.0.251", "0.0.0.0", "10.0.0.0"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        n = make(&h, frame, "10.0.0.9", others[i]);
        assert_dropped(&h, frame, n, &h.s->n.drop_ip4_other);
    }
    WITH("10.0.0.9", "10.0.0.1", ip4->proto = 99; fix_ip4(frame));
    assert_dropped(&h, frame, n, &h.s->n.drop_proto);
    wire_end(&h.w);
}

static void test_broadcasts_arrive_but_cause_no_errors(void **state)
{
    struct host h;
    host_begin(&h);
    uint8_t frame[128];
    static const char *const all[] = {"10.0.0.255", "255.255.255.255"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = make(&h, frame, "10.0.0.9", all[i]);
        memcpy(frame, broadcast_mac, 6);
        put(&h, frame, n);
        assert_udp_hears(h.u, "text", NULL);
    }
    struct udp_hdr *u = (void *)(frame + 34);
    u->dst = be16_of(10); /* nobody's port, asked by broadcast */
    u->csum = 0;
    put(&h, frame, 14 + 20 + 12);
    /* and by unicast in a broadcast frame */
    size_t n = make(&h, frame, "10.0.0.9", "10.0.0.1");
    memcpy(frame, broadcast_mac, 6);
    u->dst = be16_of(10);
    u->csum = 0;
    put(&h, frame, n);
    assert_int_equal(h.s->n.drop_udp_port, 2);
    assert_int_equal(h.s->n.icmp_tx, 0);
    wire_end(&h.w);
}

static size_t with_options(struct host *h, uint8_t *frame, const void *options, size_t n)
{
    uint8_t bare[128];
    size_t len = make(h, bare, "10.0.0.9", "10.0.0.1");
    memcpy(frame, bare, 34);
    memcpy(frame + 34, options, n);
    memcpy(frame + 34 + n, bare + 34, len - 34);
    struct ip4_hdr *ip4 = (void *)(frame + 14);
    ip4->version_ihl = (uint8_t)(0x45 + n / 4);
    ip4->total_len = be16_of(len - 14 + n);
    fix_ip4(frame);
    return len + n;
}

static void test_options_are_skipped_source_routes_and_bad_lengths_refused(void **state)
{
    struct host h;
    host_begin(&h);
    uint8_t frame[192];
    size_t n = with_options(&h, frame, "\x94\x04\x00\x00\x01\x01\x01\x00", 8); /* router alert, padding */
    put(&h, frame, n);
    assert_udp_hears(h.u, "text", NULL);
    n = with_options(&h, frame, "\x83\x07\x04\x0a\x00\x00\x07\x00", 8);
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_options);
    n = with_options(&h, frame, "\x01\x89\x07\x04\x0a\x00\x00\x07", 8);
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_options);
    static const char *const bad[] = {"\x07\x00\x00\x00", "\x07\x01\x00\x00", "\x07\x05\x00\x00", "\x01\x01\x01\x07"};
    for (size_t i = 0; i < 4; i++) {
        n = with_options(&h, frame, bad[i], 4);
        assert_dropped(&h, frame, n, &h.s->n.drop_ip4_header);
    }
    n = with_options(&h, frame, "\x94\x04\x00\x00", 4);
    frame[14 + 20] ^= 1; /* the checksum covers options */
    assert_dropped(&h, frame, n, &h.s->n.drop_ip4_checksum);
    wire_end(&h.w);
}

static void test_padding_is_cut_off_and_chains_are_taken(void **state)
{
    struct host h;
    host_begin(&h);
    uint8_t frame[256] = {0};
    size_t n = make(&h, frame, "10.0.0.9", "10.0.0.1");
    memset(frame + n, 0xee, 60 - n);
    put(&h, frame, 60);
    assert_udp_hears(h.u, "text", NULL);
    /* In pieces at every place, the padding in the second, too. */
    for (size_t cut = 1; cut < 60; cut++) {
        struct frame f = {.b = buf_from(frame, cut), .len = 60};
        f.b->next = buf_from(frame + cut, 60 - cut);
        stack_input(h.s, &f, 1, h.w.now);
        assert_udp_hears(h.u, "text", NULL);
    }
    /* A device that verified nothing, one that verified all, one that says it is bad: we look ourselves. */
    frame[n - 1] ^= 1;
    struct frame f = {
        .b = buf_from(frame, n), .len = (uint32_t)n, .flags = FRAME_IP_CSUM_OK | FRAME_L4_CSUM_OK | FRAME_CSUM_BAD};
    stack_input(h.s, &f, 1, h.w.now);
    assert_int_equal(h.s->n.drop_udp_checksum, 1);
    wire_end(&h.w);
}

static void test_each_dropped_frame_counts_once(void **state)
{
    struct host h;
    host_begin(&h);
    uint8_t frame[128];
    struct rng r;
    rng_seed(&r, 5);
    for (unsigned i = 0; i < 20000; i++) {
        size_t n = make(&h, frame, "10.0.0.9", "10.0.0.1");
        unsigned changes = 1 + (unsigned)rng_below(&r, 4);
        for (unsigned k = 0; k < changes; k++) frame[rng_below(&r, 42)] ^= (uint8_t)(1u << rng_below(&r, 8));
        if (rng_below(&r, 4)) fix_ip4(frame);
        uint64_t drops = 0, after = 0;
#define ADD(field, name)                                                                                               \
    if (!strncmp(name, "drop.", 5)) drops += h.s->n.field;
        NET_COUNTERS(ADD)
        TCP_COUNTERS(ADD)
#undef ADD
        h.w.now += SECOND / 100;
        put(&h, frame, 14 + rng_below(&r, n - 13));
        unsigned waiting;
        while (stack_frames(h.s, &waiting)) {
            for (unsigned k = 0; k < waiting; k++) buf_unref(stack_frames(h.s, &(unsigned){0})[k].b);
            stack_sent(h.s, waiting);
        }
        struct ip_port from;
        int err;
        struct buf *b = udp_pop(h.u, &from, &err);
#define ADD(field, name)                                                                                               \
    if (!strncmp(name, "drop.", 5)) after += h.s->n.field;
        NET_COUNTERS(ADD)
        TCP_COUNTERS(ADD)
#undef ADD
        if (b) assert_int_equal(after, drops);
        /* what we had to say about it may find no place either; fragments wait */
        else assert_in_range(after - drops, 0, 2);
        buf_unref(b);
    }
    wire_end(&h.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix_of_a_frame_is_dropped),
        cmocka_unit_test(test_a_length_that_lies_is_refused),
        cmocka_unit_test(test_wrong_headers_are_counted_by_what_is_wrong),
        cmocka_unit_test(test_broadcasts_arrive_but_cause_no_errors),
        cmocka_unit_test(test_options_are_skipped_source_routes_and_bad_lengths_refused),
        cmocka_unit_test(test_padding_is_cut_off_and_chains_are_taken),
        cmocka_unit_test(test_each_dropped_frame_counts_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
