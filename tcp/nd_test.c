/* SPDX-License-Identifier: MIT
 *
 * Neighbour discovery and autoconfiguration, against hand-made messages of peers and routers, most of them bad.
 */
#include "tcp/nd.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/neighbour.h"
#include "tcp/path.h"
#include "tcp/route.h"
#include "tcp/wire_test.h"

#define PEER "fe80::99"

static struct net_stack *add6(struct wire *w)
{
    struct stack_config c = wire_conf(w->count);
    c.ipv6 = true;
    return wire_add(w, &c);
}

static struct ip_addr address_of(struct net_stack *s, unsigned i)
{
    struct ip_addr a = {0};
    unsigned bits;
    assert_true(stack_address(s, i, &a, &bits));
    return a;
}

/* An ICMPv6 message from the peer, its checksum right. */
static void say(struct wire *w, const char *src, struct ip_addr dst, uint8_t hops, void *msg, size_t n)
{
    uint8_t frame[2048], group[6] = {0x33, 0x33};
    struct icmp_hdr *h = msg;
    memcpy(group + 2, dst.b + 12, 4);
    h->csum = 0;
    h->csum = l4_csum(ip(src), dst, IPPROTO_ICMPV6, msg, n);
    n = make_ip6(frame, addr_is_multicast(&dst) ? group : w->stacks[0]->conf.mac, ip(src), dst, IPPROTO_ICMPV6, hops,
                 msg, n);
    input_bytes(w->stacks[0], frame, n, w->now);
    wire_run(w);
}

static size_t make_advert(uint8_t *out, struct ip_addr target, uint8_t flags, const char *mac)
{
    memset(out, 0, 24);
    out[0] = ND_ADVERT;
    out[4] = flags;
    memcpy(out + 8, target.b, 16);
    if (!mac) return 24;
    out[24] = 2;
    out[25] = 1;
    memcpy(out + 26, mac, 6);
    return 32;
}

static size_t make_solicit(uint8_t *out, struct ip_addr target, const char *mac)
{
    size_t n = make_advert(out, target, 0, mac);
    out[0] = ND_SOLICIT;
    if (mac) out[24] = 1;
    return n;
}

struct advert {
    uint16_t lifetime;
    const char *prefix;
    uint8_t bits, flags;
    uint32_t valid, preferred, mtu;
};

static size_t make_router_advert(uint8_t *out, const struct advert *a)
{
    memset(out, 0, 16);
    out[0] = ND_ROUTER_ADVERT;
    out[4] = 61;
    store_be16(out + 6, a->lifetime);
    size_t n = 16;
    out[n] = 1;
    out[n + 1] = 1;
    memcpy(out + n + 2, "\x02\x00\x00\x00\x00\x99", 6);
    n += 8;
    if (a->mtu) {
        memset(out + n, 0, 8);
        out[n] = 5;
        out[n + 1] = 1;
        store_be32(out + n + 4, a->mtu);
        n += 8;
    }
    if (a->prefix) {
        struct ip_addr p = ip(a->prefix);
        memset(out + n, 0, 32);
        out[n] = 3;
        out[n + 1] = 4;
        out[n + 2] = a->bits;
        out[n + 3] = a->flags;
        store_be32(out + n + 4, a->valid);
        store_be32(out + n + 8, a->preferred);
        memcpy(out + n + 16, p.b, 16);
        n += 32;
    }
    return n;
}

static void router_says(struct wire *w, const struct advert *a)
{
    uint8_t msg[128];
    say(w, PEER, ip("ff02::1"), 255, msg, make_router_advert(msg, a));
}

static void test_malformed_messages_change_nothing(void **state)
{
    struct wire w = {0};
    struct net_stack *s = add6(&w);
    wire_until(&w, w.now + 5 * SECOND);
    struct ip_addr own = address_of(s, 0), all = ip("ff02::1"), peer = ip(PEER);
    uint8_t msg[160] = {0};
    struct advert a = {
        .lifetime = 1800, .prefix = "2001:db8::", .bits = 64, .flags = 0xc0, .valid = 9999, .preferred = 9999};
    uint64_t dropped = 0;

    say(&w, PEER, all, 254, msg, make_router_advert(msg, &a)); /* came through a router */
    assert_int_equal(s->n.drop_nd, ++dropped);
    say(&w, "2001:db8::99", all, 255, msg, make_router_advert(msg, &a)); /* from no link-local address */
    assert_int_equal(s->n.drop_nd, ++dropped);
    make_router_advert(msg, &a);
    msg[1] = 1; /* a code */
    say(&w, PEER, all, 255, msg, 72 - 16);
    assert_int_equal(s->n.drop_nd, ++dropped);
    make_router_advert(msg, &a);
    msg[17] = 0; /* an option of length 0 */
    say(&w, PEER, all, 255, msg, 56);
    assert_int_equal(s->n.drop_nd, ++dropped);
    for (size_t n = 8; n < 56; n++) { /* cut anywhere but behind an option */
        make_router_advert(msg, &a);
        if (n == 16 || n == 24) continue;
        say(&w, PEER, all, 255, msg, n);
        assert_int_equal(s->n.drop_nd, ++dropped);
    }
    say(&w, "::", own, 255, msg, make_solicit(msg, own, NULL)); /* from nobody, but not to the group */
    assert_int_equal(s->n.drop_nd, ++dropped);
    say(&w, "::", nd_solicited_node(&own), 255, msg, make_solicit(msg, own, "\x02\x00\x00\x00\x00\x99"));
    assert_int_equal(s->n.drop_nd, ++dropped);
    say(&w, PEER, own, 255, msg, make_solicit(msg, all, NULL)); /* a group as target */
    assert_int_equal(s->n.drop_nd, ++dropped);
    say(&w, PEER, all, 255, msg, make_advert(msg, peer, 0x60, "\x02\x00\x00\x00\x00\x99")); /* solicited, to all */
    assert_int_equal(s->n.drop_nd, ++dropped);
    say(&w, PEER, own, 255, msg, make_advert(msg, peer, 0x60, "\x03\x00\x00\x00\x00\x99")); /* a group's MAC */
    assert_int_equal(s->n.drop_nd, ++dropped);
    msg[0] = ND_REDIRECT;
    say(&w, PEER, own, 255, msg, 40);
    assert_int_equal(s->n.drop_nd, ++dropped);

    assert_null(neighbour_find(s, &peer));
    assert_int_equal(w.told[0].address_came, 1);
    struct ip_addr next, far = ip("2001:db8:1::1");
    assert_int_equal(route_next_hop(s, &far, &next), -ENETUNREACH);
    wire_end(&w);
}

static void test_a_prefix_makes_a_stable_address_and_a_router_a_route(void **state)
{
    struct wire w = {0};
    struct net_stack *s = add6(&w);
    wire_until(&w, w.now + 5 * SECOND);
    assert_int_equal(w.told[0].address_came, 1);
    struct ip_addr link_local = address_of(s, 0);
    assert_true(addr_is_link_local6(&link_local));
    struct advert a = {.lifetime = 1800,
                       .prefix = "2001:db8::",
                       .bits = 64,
                       .flags = 0xc0,
                       .valid = 86400,
                       .preferred = 3600,
                       .mtu = 1400};
    router_says(&w, &a);
    wire_until(&w, w.now + 3 * SECOND);
    assert_int_equal(w.told[0].address_came, 2);
    struct ip_addr own = w.told[0].address, far = ip("2001:db8:9::1"), near = ip("2001:db8::77"), next,
                   prefix = ip("2001:db8::");
    assert_int_equal(w.told[0].bits, 64);
    assert_true(addr_in_prefix(&own, &prefix, 64));
    assert_true(own.q[1] != link_local.q[1]);
    struct path p;
    static const struct ip_addr any;
    struct path_ends ends = path_between(&any, &far);
    OK(path_open(s, &p, &ends, IPPROTO_TCP));
    assert_true(addr_equal(&ends.local.addr, &own));
    assert_int_equal(p.mtu, 1400);
    assert_int_equal(p.hops, 61);
    OK(route_next_hop(s, &far, &next));
    struct ip_addr peer = ip(PEER);
    assert_true(addr_equal(&next, &peer));
    OK(route_next_hop(s, &near, &next));
    assert_true(addr_equal(&next, &near));

    /* The same network gives the same address, another another. */
    struct wire again = {0};
    struct net_stack *t = add6(&again);
    wire_until(&again, again.now + 5 * SECOND);
    router_says(&again, &a);
    wire_until(&again, again.now + 3 * SECOND);
    assert_true(addr_equal(&again.told[0].address, &own));
    a.prefix = "2001:db8:5::";
    router_says(&again, &a);
    wire_until(&again, again.now + 3 * SECOND);
    assert_true(again.told[0].address.q[1] != own.q[1]);
    stack_free(t);

    /* The router goes, then the address: deprecated first, and only then gone. */
    wire_until(&w, w.now + 1800 * SECOND);
    assert_int_equal(route_next_hop(s, &far, &next), -ENETUNREACH);
    wire_until(&w, w.now + 1900 * SECOND);
    assert_int_equal(route_find(s, &own)->state, OWN_DEPRECATED);
    wire_until(&w, w.now + 86400 * SECOND);
    assert_int_equal(w.told[0].address_gone, 1);
    assert_false(stack_is_local(s, &own));
    wire_end(&w);
}

static void test_nobody_ends_an_address_within_two_hours(void **state)
{
    struct wire w = {0};
    struct net_stack *s = add6(&w);
    wire_until(&w, w.now + 5 * SECOND);
    struct advert a = {
        .lifetime = 1800, .prefix = "2001:db8::", .bits = 64, .flags = 0xc0, .valid = 86400, .preferred = 86400};
    router_says(&w, &a);
    wire_until(&w, w.now + 3 * SECOND);
    struct ip_addr own = w.told[0].address;
    a.valid = a.preferred = 0;
    router_says(&w, &a);
    wire_until(&w, w.now + 7100 * SECOND);
    assert_true(stack_is_local(s, &own));
    assert_int_equal(route_find(s, &own)->state, OWN_DEPRECATED);
    wire_until(&w, w.now + 200 * SECOND);
    assert_false(stack_is_local(s, &own));
    wire_end(&w);
}

static void test_a_flood_of_advertisements_is_bounded(void **state)
{
    struct wire w = {0};
    struct net_stack *s = add6(&w);
    wire_until(&w, w.now + 5 * SECOND);
    for (unsigned i = 0; i < 200; i++) {
        char prefix[32], router[32];
        uint8_t msg[128];
        snprintf(prefix, sizeof prefix, "2001:db8:%x::", i);
        snprintf(router, sizeof router, "fe80::1:%x", i + 1);
        struct advert a = {
            .lifetime = 9000, .prefix = prefix, .bits = 64, .flags = 0xc0, .valid = 86400, .preferred = 86400};
        say(&w, router, ip("ff02::1"), 255, msg, make_router_advert(msg, &a));
    }
    wire_until(&w, w.now + 5 * SECOND);
    assert_int_equal(w.told[0].address_came, 1 + 8);
    struct ip_addr a = ip("192.0.2.1");
    OK(stack_add_address(s, &a, 24, true)); /* there is room for one by hand */
    wire_end(&w);
}

static void test_a_duplicate_is_not_used_and_a_made_up_one_made_again(void **state)
{
    struct wire w = {0};
    struct net_stack *s = add6(&w);
    struct ip_addr fixed = ip("2001:db8::5");
    uint8_t msg[64];
    OK(stack_add_address(s, &fixed, 64, false));
    struct ip_addr tentative = s->ip.addrs[0].addr;
    assert_false(stack_is_local(s, &tentative));
    say(&w, PEER, ip("ff02::1"), 255, msg, make_advert(msg, tentative, 0x20, "\x02\x00\x00\x00\x00\x99"));
    /* somebody else tries it, too */
    say(&w, "::", nd_solicited_node(&fixed), 255, msg, make_solicit(msg, fixed, NULL));
    assert_int_equal(w.told[0].address_gone, 1);
    assert_true(addr_equal(&w.told[0].address, &fixed));
    wire_until(&w, w.now + 5 * SECOND);
    struct ip_addr other = address_of(s, 0);
    assert_false(addr_equal(&other, &tentative));
    assert_true(addr_is_link_local6(&other));
    wire_end(&w);
}

static void test_neighbours_are_found_and_lost(void **state)
{
    struct wire w = {0};
    struct net_stack *a = add6(&w), *b = add6(&w);
    wire_until(&w, w.now + 5 * SECOND);
    struct ip_addr to = address_of(b, 0);
    struct ip_port any6 = {.port = 0}, local = {.port = 9};
    struct udp_sock *ua, *ub;
    OK(udp_open(a, &any6, false, false, NULL, &ua));
    OK(udp_open(b, &local, false, false, NULL, &ub));
    local.addr = to;
    udp_say(ua, "six", local);
    wire_run(&w);
    struct ip_port from;
    assert_udp_hears(ub, "six", &from);
    udp_say(ub, "back", from);
    wire_run(&w);
    assert_udp_hears(ua, "back", NULL);
    assert_int_equal(neighbour_find(a, &to)->state, NEIGH_REACHABLE);
    local.addr = ip("fe80::dead");
    udp_say(ua, "nobody", local);
    wire_until(&w, w.now + 5 * SECOND);
    assert_int_equal(a->n.drop_unreachable, 1);
    assert_null(neighbour_find(a, &local.addr));
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_messages_change_nothing),
        cmocka_unit_test(test_a_prefix_makes_a_stable_address_and_a_router_a_route),
        cmocka_unit_test(test_nobody_ends_an_address_within_two_hours),
        cmocka_unit_test(test_a_flood_of_advertisements_is_bounded),
        cmocka_unit_test(test_a_duplicate_is_not_used_and_a_made_up_one_made_again),
        cmocka_unit_test(test_neighbours_are_found_and_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
