/* SPDX-License-Identifier: MIT
 *
 * Ephemeral ports: never one in use, each at most once, and as RFC 6056 3.3.4 wants them.
 */
#include "tcp/ports.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[16] = "sixteen letters!";

struct used {
    uint8_t map[65536];
    unsigned asked;
};

static bool is_used(void *arg, uint16_t port)
{
    struct used *u = arg;
    u->asked++;
    return u->map[port];
}

static struct ip_port ep(uint32_t addr, uint16_t port) { return (struct ip_port){addr_v4(addr), port}; }

static void test_ranges_that_cannot_be_are_refused(void **state)
{
    struct ports p;
    assert_int_equal(ports_init(&p, 0, 10, key), -EINVAL);
    assert_int_equal(ports_init(&p, 11, 10, key), -EINVAL);
    assert_int_equal(ports_init(&p, 0, 0, key), 0);
    assert_int_equal(p.low, PORTS_LOW_DEFAULT);
    assert_int_equal(p.high, PORTS_HIGH_DEFAULT);
    assert_int_equal(ports_init(&p, 1, 65535, key), 0);
}

static void test_a_full_range_is_told_after_each_port_was_asked_once(void **state)
{
    struct ports p;
    struct used *u = calloc(1, sizeof *u);
    struct ip_addr l = addr_v4(1);
    struct ip_port r = ep(2, 80);
    uint16_t port = 7;
    assert_int_equal(ports_init(&p, 40000, 40099, key), 0);
    for (unsigned i = 0; i < PORTS_CLOCKS; i++) p.clocks[i] = UINT32_MAX - 50; /* the counter wraps on the way */
    memset(u->map, 1, sizeof u->map);
    assert_int_equal(ports_choose(&p, &l, &r, key, is_used, u, &port), -EADDRINUSE);
    assert_int_equal(port, 7);
    assert_int_equal(u->asked, 100);
    for (uint16_t only = 40000; only < 40100; only++) {
        u->map[only] = 0;
        assert_int_equal(ports_choose(&p, &l, &r, key, is_used, u, &port), 0);
        assert_int_equal(port, only);
        u->map[only] = 1;
    }
    free(u);
}

static void test_towards_one_peer_ports_are_reused_as_late_as_can_be(void **state)
{
    struct ports p;
    struct used *u = calloc(1, sizeof *u), *seen = calloc(1, sizeof *seen);
    struct ip_addr l = addr_v4(1);
    struct ip_port r = ep(2, 80);
    assert_int_equal(ports_init(&p, 0, 0, key), 0);
    for (unsigned i = 0; i < 20000; i++) {
        uint16_t port;
        assert_int_equal(ports_choose(&p, &l, &r, key, is_used, u, &port), 0);
        assert_in_range(port, PORTS_LOW_DEFAULT, PORTS_HIGH_DEFAULT);
        assert_int_equal(seen->map[port]++, 0); /* the range has 28,232 */
    }
    assert_int_equal(u->asked, 20000);
    free(u), free(seen);
}

static void test_peers_get_ports_that_tell_nothing_of_each_other(void **state)
{
    struct ports p;
    struct used *u = calloc(1, sizeof *u);
    struct ip_addr l = addr_v4(1);
    assert_int_equal(ports_init(&p, 0, 0, key), 0);
    unsigned quarter[4] = {0}, near = 0;
    uint16_t last = 0;
    for (unsigned i = 0; i < 4000; i++) {
        struct ip_port r = ep(i, 80);
        uint16_t port;
        assert_int_equal(ports_choose(&p, &l, &r, key, is_used, u, &port), 0);
        quarter[(port - PORTS_LOW_DEFAULT) * 4 / (PORTS_HIGH_DEFAULT + 1 - PORTS_LOW_DEFAULT)]++;
        near += abs(port - last) < 8;
        last = port;
    }
    for (unsigned i = 0; i < 4; i++) assert_in_range(quarter[i], 1000 - 165, 1000 + 165); /* 6 sigma */
    assert_in_range(near, 0, 20);
    free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_that_cannot_be_are_refused),
        cmocka_unit_test(test_a_full_range_is_told_after_each_port_was_asked_once),
        cmocka_unit_test(test_towards_one_peer_ports_are_reused_as_late_as_can_be),
        cmocka_unit_test(test_peers_get_ports_that_tell_nothing_of_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
