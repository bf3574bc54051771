/* SPDX-License-Identifier: MIT
 *
 * UDP between stacks: who hears what, bounds, checksums, errors.
 */
#include "tcp/udp.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/wire_test.h"

static const struct ip_port any4 = {.addr = {.w = {0, 0, ADDR_V4_PREFIX, 0}}};

static void test_two_stacks_exchange_datagrams(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w);
    struct udp_sock *ua, *ub;
    struct ip_port local = any4;
    local.port = 7;
    OK(udp_open(a, &any4, false, false, NULL, &ua));
    OK(udp_open(b, &local, false, false, NULL, &ub));
    struct ip_port from;
    udp_say(ua, "hello", at("10.0.0.2", 7));
    udp_say(ua, "again", at("10.0.0.2", 7));
    wire_run(&w);
    assert_udp_hears(ub, "hello", &from);
    assert_udp_hears(ub, "again", NULL);
    assert_int_equal(from.port, udp_local(ua)->port);
    struct ip_addr one = ip("10.0.0.1");
    assert_true(addr_equal(&from.addr, &one));
    udp_say(ub, "back", from);
    wire_run(&w);
    assert_udp_hears(ua, "back", NULL);
    assert_int_equal(b->n.drop_udp_checksum + a->n.drop_udp_checksum, 0);
    wire_end(&w);
}

static struct udp_sock *open_at(struct net_stack *s, const char *addr, uint16_t port)
{
    struct ip_port e = at(addr, port);
    struct udp_sock *u;
    OK(udp_open(s, &e, false, false, NULL, &u));
    return u;
}

static void test_bad_headers_are_counted(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    struct udp_sock *u = open_at(s, "0.0.0.0", 9);
    uint8_t udp[64], frame[128];
    struct ip_addr src = ip("10.0.0.9"), dst = ip("10.0.0.1");
    for (size_t n = 1; n < 8; n++) {
        make_udp(udp, src, 5, dst, 9, "text", 4);
        input_bytes(s, frame, make_ip4(frame, s->conf.mac, src, dst, IPPROTO_UDP, 0, udp, n), w.now);
        assert_int_equal(s->n.drop_udp_header, n);
    }
    static const uint16_t lengths[] = {0, 7, 13, 65535};
    for (size_t i = 0; i < 4; i++) {
        make_udp(udp, src, 5, dst, 9, "text", 4);
        store_be16(udp + 4, lengths[i]);
        input_bytes(s, frame, make_ip4(frame, s->conf.mac, src, dst, IPPROTO_UDP, 0, udp, 12), w.now);
        assert_int_equal(s->n.drop_udp_header, 8 + i);
    }
    for (unsigned bit = 0; bit < 96; bit++) {
        if (bit / 8 >= 4 && bit / 8 < 6) continue; /* the length */
        make_udp(udp, src, 5, dst, 9, "text", 4);
        udp[bit / 8] ^= (uint8_t)(1 << bit % 8);
        uint64_t before = s->n.drop_udp_checksum;
        input_bytes(s, frame, make_ip4(frame, s->conf.mac, src, dst, IPPROTO_UDP, 0, udp, 12), w.now);
        assert_int_equal(s->n.drop_udp_checksum, before + 1);
    }
    assert_udp_silent(u, 0);
    make_udp(udp, src, 5, dst, 9, "text", 4);
    store_u16(udp + 6, 0); /* none: allowed with IPv4 */
    udp[8] = 'T';
    input_bytes(s, frame, make_ip4(frame, s->conf.mac, src, dst, IPPROTO_UDP, 0, udp, 12), w.now);
    assert_udp_hears(u, "Text", NULL);
    make_udp(udp, src, 5, dst, 9, "text", 4); /* IP has more than UDP says */
    input_bytes(s, frame, make_ip4(frame, s->conf.mac, src, dst, IPPROTO_UDP, 0, udp, 20), w.now);
    assert_udp_hears(u, "text", NULL);
    make_udp(udp, src, 5, dst, 9, "", 0);
    input_bytes(s, frame, make_ip4(frame, s->conf.mac, src, dst, IPPROTO_UDP, 0, udp, 8), w.now);
    assert_udp_hears(u, "", NULL);
    wire_end(&w);
}

static void test_a_port_is_taken_once(void **state)
{
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    struct ip_addr six = ip("2001:db8::1");
    OK(stack_add_address(s, &six, 64, true));
    struct udp_sock *u, *v;
    struct ip_port e = at("0.0.0.0", 9), own = at("10.0.0.1", 9), foreign = at("10.0.0.2", 9), any6 = {.port = 9};
    assert_int_equal(udp_open(s, &foreign, false, false, NULL, &u), -EADDRNOTAVAIL);
    OK(udp_open(s, &e, false, false, NULL, &u));
    assert_int_equal(udp_open(s, &e, false, false, NULL, &v), -EADDRINUSE);
    assert_int_equal(udp_open(s, &own, false, true, NULL, &v), -EADDRINUSE);
    assert_int_equal(udp_open(s, &any6, false, false, NULL, &v), -EADDRINUSE); /* it would take IPv4, too */
    OK(udp_open(s, &any6, true, false, NULL, &v));
    udp_close(u);
    udp_close(v);
    OK(udp_open(s, &e, false, true, NULL, &u));
    OK(udp_open(s, &e, false, true, NULL, &v));
    udp_close(u);
    udp_close(v);
    struct udp_sock *many[200];
    e.port = 0;
    for (unsigned i = 0; i < 200; i++) {
        OK(udp_open(s, &e, false, false, NULL, &many[i]));
        assert_in_range(udp_local(many[i])->port, 32768, 60999);
        for (unsigned k = 0; k < i; k++) assert_true(udp_local(many[k])->port != udp_local(many[i])->port);
    }
    wire_end(&w);
}

static void test_the_socket_that_says_most_hears(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w);
    struct ip_addr second = ip("10.0.0.77");
    OK(stack_add_address(b, &second, 24, true));
    struct udp_sock *from = open_at(a, "10.0.0.1", 5), *other = open_at(a, "10.0.0.1", 6), *wild, *exact, *peer;
    struct ip_port e = at("0.0.0.0", 9);
    OK(udp_open(b, &e, false, true, NULL, &wild));
    e = at("10.0.0.2", 9);
    OK(udp_open(b, &e, false, true, NULL, &exact));
    OK(udp_open(b, &e, false, true, NULL, &peer));
    e = at("10.0.0.1", 5);
    OK(udp_connect(peer, &e));
    udp_say(from, "peer", at("10.0.0.2", 9));
    udp_say(other, "exact", at("10.0.0.2", 9));
    udp_say(other, "wild", at("10.0.0.77", 9));
    wire_run(&w);
    assert_udp_hears(peer, "peer", NULL);
    assert_udp_hears(exact, "exact", NULL);
    assert_udp_hears(wild, "wild", NULL);
    OK(udp_connect(peer, NULL));
    assert_null(udp_peer(peer));
    assert_int_equal(udp_push(peer, NULL, NULL, false), -EDESTADDRREQ);
    wire_end(&w);
}

static void test_shared_ports_split_flows_and_keep_each_together(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w);
    struct udp_sock *shared[4], *from;
    unsigned heard[4] = {0};
    struct ip_port e = at("10.0.0.2", 9), any = at("0.0.0.0", 0);
    for (unsigned i = 0; i < 4; i++) OK(udp_open(b, &e, false, true, NULL, &shared[i]));
    for (unsigned flow = 0; flow < 200; flow++) {
        OK(udp_open(a, &any, false, false, NULL, &from));
        udp_say(from, "1", e);
        udp_say(from, "2", e);
        wire_run(&w);
        for (unsigned i = 0; i < 4; i++) {
            struct ip_port who;
            int err;
            struct buf *one = udp_pop(shared[i], &who, &err);
            if (!one) continue;
            buf_unref(one);
            assert_udp_hears(shared[i], "2", NULL);
            heard[i]++;
        }
        udp_close(from);
    }
    for (unsigned i = 0; i < 4; i++) assert_in_range(heard[i], 20, 100);
    wire_end(&w);
}

static void test_a_queue_is_bounded_and_keeps_the_oldest(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w);
    struct udp_sock *ua = open_at(a, "10.0.0.1", 5), *ub = open_at(b, "10.0.0.2", 9);
    char text[16];
    for (unsigned i = 0; i < 1500; i++) {
        snprintf(text, sizeof text, "%u", i);
        udp_say(ua, text, at("10.0.0.2", 9));
        wire_run(&w);
    }
    assert_int_equal(b->n.drop_udp_queue, 1500 - 1024);
    for (unsigned i = 0; i < 1024; i++) {
        snprintf(text, sizeof text, "%u", i);
        assert_udp_hears(ub, text, NULL);
    }
    assert_udp_silent(ub, 0);
    udp_say(ua, "left", at("10.0.0.2", 9)); /* close with something inside */
    wire_run(&w);
    wire_end(&w);
}

static void test_broadcasts_need_permission_and_reach_all(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w), *c = wire_add4(&w);
    struct udp_sock *ua = open_at(a, "10.0.0.1", 5), *ub = open_at(b, "0.0.0.0", 9), *uc = open_at(c, "0.0.0.0", 9);
    static const char *const all[] = {"10.0.0.255", "255.255.255.255"};
    for (unsigned i = 0; i < 2; i++) {
        struct ip_port to = at(all[i], 9);
        struct buf *text = buf_from("all", 3);
        assert_int_equal(udp_push(ua, text, &to, false), -EACCES);
        OK(udp_push(ua, text, &to, true));
        wire_run(&w);
        assert_udp_hears(ub, "all", NULL);
        assert_udp_hears(uc, "all", NULL);
    }
    wire_end(&w);
}

static void test_chains_and_lent_bytes_are_sent_uncopied(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w);
    struct udp_sock *ua = open_at(a, "10.0.0.1", 5), *ub = open_at(b, "10.0.0.2", 9);
    struct ip_port to = at("10.0.0.2", 9);
    struct buf *chain = buf_from("one", 3), *kept = buf_from("three", 5);
    buf_chain_append(chain, buf_from("two", 3));
    buf_chain_append(chain, buf_slice(kept, 0, 5));
    OK(udp_push(ua, chain, &to, false));
    OK(udp_push(ua, buf_ref(kept), &to, false)); /* its owner keeps it, and its view */
    wire_run(&w);
    assert_udp_hears(ub, "onetwothree", NULL);
    assert_udp_hears(ub, "three", NULL);
    assert_int_equal(kept->len, 5);
    assert_memory_equal(kept->data, "three", 5);
    buf_unref(kept);
    wire_end(&w);
}

static void test_a_closed_port_refuses_a_connected_socket(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w);
    wire_add4(&w);
    struct udp_sock *u = open_at(a, "10.0.0.1", 5);
    struct ip_port to = at("10.0.0.2", 9);
    OK(udp_connect(u, &to));
    OK(udp_push(u, buf_from("x", 1), NULL, false));
    wire_run(&w);
    assert_udp_silent(u, ECONNREFUSED);
    assert_int_equal(w.told[0].readable, 1);
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_headers_are_counted),
        cmocka_unit_test(test_two_stacks_exchange_datagrams),
        cmocka_unit_test(test_a_port_is_taken_once),
        cmocka_unit_test(test_the_socket_that_says_most_hears),
        cmocka_unit_test(test_shared_ports_split_flows_and_keep_each_together),
        cmocka_unit_test(test_a_queue_is_bounded_and_keeps_the_oldest),
        cmocka_unit_test(test_broadcasts_need_permission_and_reach_all),
        cmocka_unit_test(test_chains_and_lent_bytes_are_sent_uncopied),
        cmocka_unit_test(test_a_closed_port_refuses_a_connected_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
