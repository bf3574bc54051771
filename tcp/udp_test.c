/* SPDX-License-Identifier: MIT
 *
 * UDP between stacks: who hears what, bounds, checksums, errors.
 */
#include "tcp/udp.h"

#include <errno.h>
#include <stdio.h>

#include "tcp/wire_test.h"

static const struct endpoint any4 = {.addr = {.w = {0, 0, ADDR_V4_PREFIX, 0}}};

static void test_two_stacks_exchange_datagrams(void **state)
{
    struct wire w = {0};
    struct net_stack *a = wire_add4(&w), *b = wire_add4(&w);
    struct udp_sock *ua, *ub;
    struct endpoint local = any4;
    local.port = 7;
    OK(udp_open(a, &any4, false, false, NULL, &ua));
    OK(udp_open(b, &local, false, false, NULL, &ub));
    struct endpoint from;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_stacks_exchange_datagrams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
