/* SPDX-License-Identifier: MIT
 *
 * The wire is changed under a stack: another MAC, another MTU, the other end perhaps somebody else.
 */
#include "tcp/stack.h"

#include <errno.h>

#include "tcp/neighbour.h"
#include "tcp/tcp.h"
#include "tcp/wire_test.h"

struct pair {
    struct wire w;
    struct net_stack *a, *b;
    struct udp_sock *from, *to;
};

static void pair_begin(struct pair *p)
{
    struct ip_port ours = {.addr = addr_v4(0), .port = 7};
    *p = (struct pair){0};
    p->a = wire_add4(&p->w);
    p->b = wire_add4(&p->w);
    OK(udp_open(p->a, &ours, false, false, NULL, &p->from));
    OK(udp_open(p->b, &ours, false, false, NULL, &p->to));
}

static void say(struct pair *p, const char *to, struct udp_sock *by, struct udp_sock *heard)
{
    udp_say(by, "hi", at(to, 7));
    wire_run(&p->w);
    assert_udp_hears(heard, "hi", NULL);
}

static void test_a_new_mac_is_used_and_told(void **state)
{
    static const uint8_t mac[ETH_ALEN] = {2, 9, 9, 9, 9, 9};
    struct pair p;
    pair_begin(&p);
    say(&p, "10.0.0.2", p.from, p.to);
    say(&p, "10.0.0.1", p.to, p.from);
    OK(stack_relink(p.a, mac, 1500));
    wire_run(&p.w);
    struct ip_addr a = ip("10.0.0.1");
    assert_memory_equal(neighbour_mac(neighbour_find(p.b, &a)), mac, ETH_ALEN); /* b was told */
    say(&p, "10.0.0.2", p.from, p.to);
    assert_memory_equal(p.w.last + ETH_ALEN, mac, ETH_ALEN);
    say(&p, "10.0.0.1", p.to, p.from);
    wire_end(&p.w);
}

static void test_neighbours_are_asked_again(void **state)
{
    struct pair p;
    pair_begin(&p);
    say(&p, "10.0.0.2", p.from, p.to);
    struct ip_addr b = ip("10.0.0.2");
    assert_non_null(neighbour_find(p.a, &b));
    OK(stack_relink(p.a, p.a->conf.mac, 1500));
    assert_null(neighbour_find(p.a, &b));
    say(&p, "10.0.0.2", p.from, p.to);
    wire_end(&p.w);
}

enum { TALKING = 200 };

/* All that talk across the wire have something to say before it is known again who is at its other end. */
static void test_connections_go_on_without_a_loss(void **state)
{
    struct pair p;
    struct listener *l;
    struct ip_port here = {.addr = addr_v4(0), .port = 80}, there = at("10.0.0.2", 80);
    struct conn *c[TALKING];
    pair_begin(&p);
    OK(listener_open(p.b, &here, &(struct listen_opts){.backlog = TALKING}, NULL, &l));
    for (unsigned i = 0; i < TALKING; i++) OK(conn_connect(p.a, NULL, &there, NULL, NULL, &c[i]));
    wire_run(&p.w);
    OK(stack_relink(p.a, p.a->conf.mac, 1500));
    for (unsigned i = 0; i < TALKING; i++) OK(conn_push(c[i], buf_from("x", 1), NULL));
    uint64_t before = p.b->n.tcp_rx;
    wire_until(&p.w, p.w.now + 10 * SECOND);
    assert_int_equal(p.b->n.tcp_rx - before, TALKING);
    assert_int_equal(p.a->n.tcp_retransmits + p.a->n.drop_neigh_queue, 0);
    wire_end(&p.w);
}

static void test_an_mtu_is_followed_up_and_down(void **state)
{
    struct pair p;
    pair_begin(&p);
    OK(stack_relink(p.a, p.a->conf.mac, 600));
    assert_int_equal(p.a->ip.mtu4, 600);
    OK(stack_relink(p.a, p.a->conf.mac, 1500));
    assert_int_equal(p.a->ip.mtu4, 1500);
    p.a->ip.mtu4 = 1400; /* as a DHCP server said */
    OK(stack_relink(p.a, p.a->conf.mac, 9000));
    assert_int_equal(p.a->ip.mtu4, 1400);
    OK(stack_relink(p.a, p.a->conf.mac, 1300));
    assert_int_equal(p.a->ip.mtu4, 1300);
    wire_end(&p.w);
}

static void test_what_cannot_be_is_refused(void **state)
{
    static const uint8_t group[ETH_ALEN] = {1, 0, 0, 0, 0, 1}, none[ETH_ALEN] = {0};
    struct pair p;
    pair_begin(&p);
    uint8_t mac[ETH_ALEN];
    memcpy(mac, p.a->conf.mac, ETH_ALEN);
    assert_int_equal(stack_relink(p.a, group, 1500), -EINVAL);
    assert_int_equal(stack_relink(p.a, none, 1500), -EINVAL);
    assert_int_equal(stack_relink(p.a, mac, 67), -EINVAL);
    assert_memory_equal(p.a->conf.mac, mac, ETH_ALEN);
    assert_int_equal(p.a->conf.mtu, 1500);
    wire_end(&p.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_mac_is_used_and_told),       cmocka_unit_test(test_neighbours_are_asked_again),
        cmocka_unit_test(test_connections_go_on_without_a_loss), cmocka_unit_test(test_an_mtu_is_followed_up_and_down),
        cmocka_unit_test(test_what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
