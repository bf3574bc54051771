/* SPDX-License-Identifier: MIT */
#include "tcp/peer_test.h"

static int open_at(struct peer *p, const char *addr, uint16_t port, bool v6_only, struct listener **l)
{
    struct ip_port at = {.port = port};
    assert_int_equal(addr_parse(addr, &at.addr), 0);
    return listener_open(p->s, &at, &(struct listen_opts){.backlog = 1, .v6_only = v6_only}, p, l);
}

static void test_an_address_that_is_not_ours_and_a_place_that_is_taken_are_refused(void **state)
{
    static struct peer p;
    struct listener *l, *other;
    peer_init(&p, NULL);
    assert_int_equal(open_at(&p, "192.0.2.9", 80, false, &l), -EADDRNOTAVAIL);
    assert_int_equal(open_at(&p, "192.0.2.1", 80, false, &l), 0);
    assert_int_equal(open_at(&p, "192.0.2.1", 80, false, &other), -EADDRINUSE);
    listener_close(l);
    assert_int_equal(open_at(&p, "::", 80, false, &l), 0);
    assert_int_equal(open_at(&p, "0.0.0.0", 80, false, &other), -EADDRINUSE); /* IPv6's any takes it */
    listener_close(l);
    assert_int_equal(open_at(&p, "::", 80, true, &l), 0);
    assert_int_equal(open_at(&p, "0.0.0.0", 80, false, &other), 0);
    listener_close(l);
    listener_close(other);
    struct ip_port at = {.addr = peer_addr(1), .port = 80};
    assert_int_equal(
        listener_open(p.s, &at, &(struct listen_opts){.conn = &(struct conn_opts){.cc = "nonsense"}}, &p, &l), -ENOENT);
    peer_fini(&p);
}

static void test_the_exact_address_comes_before_any(void **state)
{
    static struct peer p;
    struct listener *exact, *any4, *any6;
    struct ip_addr us = peer_addr(1), other = peer_addr(7), six;
    peer_init(&p, NULL);
    assert_int_equal(addr_parse("2001:db8::7", &six), 0);
    assert_int_equal(open_at(&p, "::", 80, true, &any6), 0);
    assert_int_equal(open_at(&p, "0.0.0.0", 80, false, &any4), 0);
    assert_int_equal(open_at(&p, "192.0.2.1", 80, false, &exact), 0);
    assert_ptr_equal(listener_find(p.s, &us, 80), exact);
    assert_ptr_equal(listener_find(p.s, &other, 80), any4);
    assert_ptr_equal(listener_find(p.s, &six, 80), any6);
    assert_null(listener_find(p.s, &us, 80 + 256)); /* of the same bucket */
    listener_close(exact);
    listener_close(any4);
    assert_null(listener_find(p.s, &us, 80)); /* v6_only */
    listener_close(any6);
    assert_int_equal(open_at(&p, "::", 80, false, &any6), 0);
    assert_ptr_equal(listener_find(p.s, &us, 80), any6);
    listener_close(any6);
    peer_fini(&p);
}

static void test_port_0_chooses_one_that_is_free(void **state)
{
    static struct peer p;
    struct listener *l[50];
    peer_init(&p, NULL);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(open_at(&p, "0.0.0.0", 0, false, &l[i]), 0);
        assert_true(listener_local(l[i])->port >= PORTS_LOW_DEFAULT);
        for (unsigned k = 0; k < i; k++) assert_int_not_equal(listener_local(l[i])->port, listener_local(l[k])->port);
    }
    for (unsigned i = 0; i < 50; i++) listener_close(l[i]);
    peer_fini(&p);
}

static void test_one_that_is_reset_before_accept_leaves_the_queue(void **state)
{
    static struct peer p;
    peer_init(&p, NULL);
    p.no_accept = true;
    struct listener *l = peer_listen(&p, 80, 2);
    peer_open(&p, 5000, 80);
    assert_int_equal(l->waiting, 1);
    peer_send(&p, 5000, 80, TCP_RST, PEER_ISN + 1, 0, NULL, 0);
    assert_int_equal(l->waiting, 0);
    assert_null(listener_accept(l, &p));
    assert_int_equal(p.closed, 0);
    listener_close(l);
    peer_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_that_is_not_ours_and_a_place_that_is_taken_are_refused),
        cmocka_unit_test(test_the_exact_address_comes_before_any),
        cmocka_unit_test(test_port_0_chooses_one_that_is_free),
        cmocka_unit_test(test_one_that_is_reset_before_accept_leaves_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
