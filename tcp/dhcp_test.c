/* SPDX-License-Identifier: MIT
 *
 * The DHCP client against a server made by hand, which answers what the test says, much of it wrong.
 */
#include "tcp/dhcp.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/arp.h"
#include "tcp/route.h"
#include "tcp/wire_test.h"

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK };
#define MESSAGES_MAX 64

struct seen { /* what the client sent */
    uint8_t type;
    nsec at;
    uint32_t xid, ciaddr, requested, server, dst;
};

struct net {
    struct wire w;
    struct net_stack *s;
    struct seen seen[MESSAGES_MAX];
    unsigned count;
};

static struct net *net; /* the wire's callback has no argument of its own */

static uint32_t option(const uint8_t *m, size_t n, uint8_t code)
{
    for (size_t i = 240; i + 1 < n && m[i] != 255; i += m[i] ? 2u + m[i + 1] : 1)
        if (m[i] == code) return m[i + 1] == 1 ? m[i + 2] : load_u32(m + i + 2);
    return 0;
}

static bool watch(struct wire *w, unsigned from, const struct frame *f)
{
    const uint8_t *p = w->last;
    if (load_be16(p + 12) != ETH_TYPE_IP4 || p[23] != IPPROTO_UDP || load_be16(p + 36) != DHCP_SERVER_PORT)
        return false;
    const uint8_t *m = p + 42;
    size_t n = w->last_len - 42;
    struct ip_addr src = addr_v4(load_u32(p + 26)), dst = addr_v4(load_u32(p + 30));
    assert_int_equal(l4_csum(src, dst, IPPROTO_UDP, p + 34, n + 8), 0);
    assert_true(n >= 300);
    assert_true(net->count < MESSAGES_MAX);
    net->seen[net->count++] = (struct seen){.type = (uint8_t)option(m, n, 53),
                                            .at = w->now,
                                            .xid = load_u32(m + 4),
                                            .ciaddr = load_u32(m + 12),
                                            .requested = option(m, n, 50),
                                            .server = option(m, n, 54),
                                            .dst = dst.w[3]};
    return false;
}

static void net_begin(struct net *t)
{
    *t = (struct net){0};
    net = t;
    struct stack_config c = wire_conf(0);
    c.dhcp = true;
    t->s = wire_add(&t->w, &c);
    t->w.drop = watch;
}

static struct seen *last(struct net *t) { return &t->seen[t->count - 1]; }

/* A message of the server with all that a client wants; the options begin at 240. */
static size_t make_answer(struct net *t, uint8_t *m, uint8_t type, const char *addr, uint32_t lease)
{
    memset(m, 0, 400);
    m[0] = 2;
    m[1] = 1;
    m[2] = 6;
    store_u32(m + 4, last(t)->xid);
    store_u32(m + 16, ip(addr).w[3]);
    memcpy(m + 28, t->s->conf.mac, 6);
    store_be32(m + 236, 0x63825363);
    uint8_t *o = m + 240;
    memcpy(o,
           "\x35\x01\x00\x36\x04\x0a\x00\x00\xfe\x01\x04\xff\xff\xff\x00\x03\x08\x0a\x00\x00\xfe\x0a\x00\x00\xfd\x1a"
           "\x02\x05\x78",
           29);
    o[2] = type;
    o[29] = 51;
    o[30] = 4;
    store_be32(o + 31, lease);
    o[35] = 255;
    return 240 + 36;
}

static void answer_bytes(struct net *t, const uint8_t *m, size_t n)
{
    uint8_t udp[1024], frame[1200];
    static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};
    n = make_udp(udp, ip("10.0.0.254"), 67, ip("255.255.255.255"), 68, m, n);
    n = make_ip4(frame, all, ip("10.0.0.254"), ip("255.255.255.255"), IPPROTO_UDP, 0, udp, n);
    input_bytes(t->s, frame, n, t->w.now);
    wire_run(&t->w);
}

static void answer(struct net *t, uint8_t type, const char *addr, uint32_t lease)
{
    uint8_t m[400];
    answer_bytes(t, m, make_answer(t, m, type, addr, lease));
}

static void take_lease(struct net *t, uint32_t lease)
{
    wire_until(&t->w, t->w.now + SECOND);
    assert_int_equal(last(t)->type, DISCOVER);
    answer(t, OFFER, "10.0.0.5", lease);
    assert_int_equal(last(t)->type, REQUEST);
    assert_int_equal(last(t)->requested, ip("10.0.0.5").w[3]);
    assert_int_equal(last(t)->server, ip("10.0.0.254").w[3]);
    answer(t, ACK, "10.0.0.5", lease);
    wire_until(&t->w, t->w.now + SECOND);
}

static void test_what_is_no_answer_to_us_is_dropped(void **state)
{
    struct net t;
    net_begin(&t);
    wire_until(&t.w, t.w.now + SECOND);
    uint8_t m[400];
    uint64_t dropped = 0;
    struct {
        size_t at;
        uint8_t value;
    } wrong[] = {
        {0, 1},     /* a request */
        {1, 6},     /* not Ethernet */
        {2, 16},    /* length of the MAC */
        {4, 0x5a},  /* another's transaction: the xid is random, and 0x5a not its first byte with this seed */
        {28, 9},    /* another's MAC */
        {236, 0},   /* no cookie */
        {242, 9},   /* no message type of a server */
        {241, 200}, /* an option beyond the end */
        {16, 0},    /* an address in 0/8 */
        {16, 127},  {16, 224}, {16, 255},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t n = make_answer(&t, m, OFFER, "10.0.0.5", 3600);
        m[wrong[i].at] = wrong[i].value;
        answer_bytes(&t, m, n);
        assert_int_equal(t.s->n.drop_dhcp, ++dropped);
    }
    for (size_t n = 1; n < 240; n += 7) {
        make_answer(&t, m, OFFER, "10.0.0.5", 3600);
        answer_bytes(&t, m, n);
        assert_int_equal(t.s->n.drop_dhcp, ++dropped);
    }
    answer(&t, ACK, "10.0.0.5", 3600); /* nobody asked for it */
    answer(&t, NAK, "10.0.0.5", 3600);
    assert_int_equal(t.s->n.drop_dhcp, dropped + 2);
    assert_int_equal(t.count, 1);
    assert_int_equal(t.w.told[0].address_came, 0);
    wire_end(&t.w);
}

static void test_a_lease_gives_address_mask_router_and_mtu(void **state)
{
    struct net t;
    net_begin(&t);
    take_lease(&t, 3600);
    struct ip_addr own = ip("10.0.0.5"), far = ip("192.0.2.1"), router = ip("10.0.0.254"), next;
    assert_int_equal(t.w.told[0].address_came, 1);
    assert_int_equal(t.w.told[0].bits, 24);
    assert_true(addr_equal(&t.w.told[0].address, &own));
    OK(route_next_hop(t.s, &far, &next));
    assert_true(addr_equal(&next, &router));
    assert_int_equal(t.s->ip.mtu4, 1400);
    wire_end(&t.w);
}

static void test_options_overflow_into_file_and_sname(void **state)
{
    struct net t;
    net_begin(&t);
    wire_until(&t.w, t.w.now + SECOND);
    uint8_t m[400];
    make_answer(&t, m, OFFER, "10.0.0.5", 3600);
    memcpy(m + 108, m + 240, 36); /* all options in "file", the last of them in "sname" */
    memcpy(m + 44, m + 240 + 29, 7);
    m[108 + 29] = 255;
    memcpy(m + 240, "\x34\x01\x03\xff", 4);
    answer_bytes(&t, m, 244);
    assert_int_equal(last(&t)->type, REQUEST);
    m[44 + 1] = 255; /* beyond the end of sname */
    make_answer(&t, m, ACK, "10.0.0.5", 3600);
    memcpy(m + 240, "\x35\x01\x05\x34\x01\x02\xff", 7);
    memcpy(m + 44 + 62, "\x01\x40", 2);
    memset(m + 44, 0, 62);
    answer_bytes(&t, m, 247);
    assert_int_equal(t.s->n.drop_dhcp, 1);
    wire_end(&t.w);
}

static void test_silence_is_asked_again_ever_more_slowly(void **state)
{
    struct net t;
    net_begin(&t);
    wire_until(&t.w, t.w.now + 400 * SECOND);
    assert_in_range(t.count, 7, 12);
    for (unsigned i = 1; i < t.count; i++) {
        nsec want = (4 * SECOND) << (i - 1 < 4 ? i - 1 : 4), gap = t.seen[i].at - t.seen[i - 1].at;
        assert_in_range(gap, want - SECOND, want + SECOND + SECOND / 1000);
        assert_int_equal(t.seen[i].type, DISCOVER);
    }
    wire_end(&t.w);
}

static void test_a_server_that_refuses_is_asked_from_the_beginning(void **state)
{
    struct net t;
    net_begin(&t);
    wire_until(&t.w, t.w.now + SECOND);
    answer(&t, OFFER, "10.0.0.5", 3600);
    answer(&t, NAK, "0.0.0.0", 0);
    wire_until(&t.w, t.w.now + SECOND);
    assert_int_equal(last(&t)->type, DISCOVER);
    assert_int_equal(t.count, 3);
    wire_end(&t.w);
}

static void test_a_lease_is_renewed_then_rebound_then_lost(void **state)
{
    struct net t;
    net_begin(&t);
    take_lease(&t, 3600);
    nsec begin = t.seen[1].at;
    unsigned before = t.count;
    wire_until(&t.w, begin + 1799 * SECOND);
    assert_int_equal(t.count, before);
    /* The server is on no neighbour's list: the unicast waits for ARP, which nobody answers; at T2 all are asked. */
    struct ip_addr server = ip("10.0.0.254");
    OK(stack_add_neighbour(t.s, &server, (const uint8_t *)"\x02\x00\x00\x00\x00\x99"));
    wire_until(&t.w, begin + 1801 * SECOND);
    assert_int_equal(t.count, before + 1);
    assert_int_equal(last(&t)->ciaddr, ip("10.0.0.5").w[3]);
    assert_int_equal(last(&t)->dst, server.w[3]);
    assert_int_equal(last(&t)->requested, 0);
    answer(&t, ACK, "10.0.0.5", 3600);
    assert_int_equal(t.s->n.dhcp_leases, 2);
    begin = last(&t)->at;
    wire_until(&t.w, begin + 3160 * SECOND); /* past 7/8 */
    assert_int_equal(last(&t)->dst, UINT32_MAX);
    assert_int_equal(last(&t)->ciaddr, ip("10.0.0.5").w[3]);
    assert_int_equal(t.w.told[0].address_gone, 0);
    wire_until(&t.w, begin + 3602 * SECOND);
    assert_int_equal(t.w.told[0].address_gone, 1);
    assert_int_equal(last(&t)->type, DISCOVER);
    assert_int_equal(t.w.told[0].address_came, 1);
    struct ip_addr far = ip("192.0.2.1"), next;
    assert_int_equal(route_next_hop(t.s, &far, &next), -ENETUNREACH);
    wire_end(&t.w);
}

static void test_an_address_that_somebody_uses_is_declined(void **state)
{
    struct net t;
    net_begin(&t);
    wire_until(&t.w, t.w.now + SECOND);
    answer(&t, OFFER, "10.0.0.5", 3600);
    answer(&t, ACK, "10.0.0.5", 3600);
    uint8_t frame[60] = {0};
    memcpy(frame, t.s->conf.mac, 6);
    memcpy(frame + 6,
           "\x02\x00\x00\x00\x00\x99\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02\x02\x00\x00\x00\x00\x99\x0a\x00\x00\x05",
           26);
    input_bytes(t.s, frame, sizeof frame, t.w.now);
    wire_run(&t.w);
    assert_int_equal(last(&t)->type, DECLINE);
    wire_until(&t.w, t.w.now + 5 * SECOND);
    assert_int_equal(last(&t)->type, DECLINE);
    wire_until(&t.w, t.w.now + 6 * SECOND);
    assert_int_equal(last(&t)->type, DISCOVER);
    assert_int_equal(t.w.told[0].address_came, 0);
    wire_end(&t.w);
}

static void test_an_address_by_hand_ends_the_client(void **state)
{
    struct net t;
    net_begin(&t);
    take_lease(&t, 3600);
    struct ip_addr a = ip("192.0.2.9"), was = ip("10.0.0.5");
    OK(stack_add_address(t.s, &a, 24, true));
    assert_false(stack_is_local(t.s, &was));
    unsigned before = t.count;
    wire_until(&t.w, t.w.now + 7200 * SECOND);
    assert_int_equal(t.count, before);
    wire_end(&t.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_answer_to_us_is_dropped),
        cmocka_unit_test(test_a_lease_gives_address_mask_router_and_mtu),
        cmocka_unit_test(test_options_overflow_into_file_and_sname),
        cmocka_unit_test(test_silence_is_asked_again_ever_more_slowly),
        cmocka_unit_test(test_a_server_that_refuses_is_asked_from_the_beginning),
        cmocka_unit_test(test_a_lease_is_renewed_then_rebound_then_lost),
        cmocka_unit_test(test_an_address_that_somebody_uses_is_declined),
        cmocka_unit_test(test_an_address_by_hand_ends_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
