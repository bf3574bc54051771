/* SPDX-License-Identifier: MIT
 *
 * Who gets a frame when several runtimes have queues of one device. Runtimes of one thread stand for threads.
 */
#include "libos/inet/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "libos/runtime/runtime.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define LOW  32768
#define HIGH 60999

struct member {
    struct runtime *rt;
    struct share *share;
    unsigned taken;
    uint8_t last[64];
};
static struct member members[2];

static void take(void *arg, struct frame *f, unsigned n)
{
    struct member *m = arg;
    for (unsigned i = 0; i < n; i++) {
        buf_chain_copy(f[i].b, 0, m->last, sizeof m->last);
        buf_unref(f[i].b);
        m->taken++;
    }
}

static int join(unsigned i, const char *key)
{
    const struct netdev_caps caps = {.queue = (uint16_t)i, .queue_count = 2};
    return share_join(members[i].rt, key, &caps, LOW, HIGH, take, &members[i], &members[i].share);
}

static int set_up(void **state)
{
    memset(members, 0, sizeof members);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(runtime_new(&members[i].rt, NULL, i), 0);
        assert_int_equal(join(i, "dev"), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        share_leave(members[i].share);
        runtime_free(members[i].rt);
    }
    return 0;
}

/* Gives member 0 a frame of these bytes; returns how many it keeps. */
static unsigned receive(const uint8_t *bytes, size_t n)
{
    struct frame f = {.b = buf_take(n), .len = (uint32_t)n};
    memcpy(buf_put_back(f.b, n), bytes, n);
    unsigned kept = share_sort(members[0].share, &f, 1);
    if (kept) buf_unref(f.b);
    wakes_collect(members[1].rt);
    return kept;
}

static unsigned receive_ip4(uint8_t proto, uint16_t port, uint16_t frag)
{
    uint8_t p[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45};
    p[20] = (uint8_t)(frag >> 8), p[21] = (uint8_t)frag, p[23] = proto;
    p[36] = (uint8_t)(port >> 8), p[37] = (uint8_t)port;
    return receive(p, sizeof p);
}
static unsigned receive_ip6(uint8_t next, uint16_t port)
{
    uint8_t p[80] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60};
    p[20] = next;
    p[56] = (uint8_t)(port >> 8), p[57] = (uint8_t)port;
    return receive(p, sizeof p);
}

static void test_a_segment_goes_to_who_has_its_port(void **state)
{
    assert_int_equal(receive_ip4(IPPROTO_TCP, 80, 0), 1); /* nobody's: whoever got it refuses it */
    assert_int_equal(share_own(members[1].share, false, 80, false), 0);
    assert_int_equal(receive_ip4(IPPROTO_TCP, 80, 0), 0);
    assert_int_equal(receive_ip6(IPPROTO_TCP, 80), 0);
    assert_int_equal(members[1].taken, 2);
    assert_int_equal(members[1].last[12], 0x86);
    assert_int_equal(receive_ip4(IPPROTO_UDP, 80, 0), 1);      /* another protocol */
    assert_int_equal(receive_ip4(IPPROTO_TCP, 80, 0x2000), 1); /* a fragment */
    share_disown(members[1].share, false, 80);
    assert_int_equal(receive_ip4(IPPROTO_TCP, 80, 0), 1);
    assert_int_equal(members[1].taken, 2);
}

static void test_a_port_of_both_stays_where_its_frames_come_in(void **state)
{
    assert_int_equal(share_own(members[0].share, true, 53, true), 0);
    assert_int_equal(share_own(members[1].share, true, 53, true), 0);
    assert_int_equal(receive_ip4(IPPROTO_UDP, 53, 0), 1);
    assert_int_equal(members[1].taken, 0);
}

static void test_a_port_is_one_runtimes_unless_both_share_it(void **state)
{
    assert_int_equal(share_own(members[0].share, false, 80, false), 0);
    assert_int_equal(share_own(members[0].share, false, 80, false), 0); /* counted */
    assert_int_equal(share_own(members[1].share, false, 80, true), -EADDRINUSE);
    assert_int_equal(share_own(members[1].share, false, 80, false), -EADDRINUSE);
    share_disown(members[0].share, false, 80);
    assert_int_equal(share_own(members[1].share, false, 80, true), -EADDRINUSE);
    share_disown(members[0].share, false, 80);
    assert_int_equal(share_own(members[1].share, false, 80, true), 0);
}

static void test_ports_of_active_opens_are_parted(void **state)
{
    uint16_t low[2], high[2];
    for (unsigned i = 0; i < 2; i++) share_ports(members[i].share, &low[i], &high[i]);
    assert_int_equal(low[0], LOW);
    assert_int_equal(low[1], high[0] + 1);
    assert_in_range(high[1], HIGH - 2, HIGH);
    for (unsigned port = LOW; port <= HIGH; port += 7)
        assert_int_equal(receive_ip4(IPPROTO_TCP, (uint16_t)port, 0), port < low[1] || port > high[1]);
}

static void test_answers_go_to_all_and_requests_to_one(void **state)
{
    uint8_t arp[42] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x06};
    arp[21] = 1;
    assert_int_equal(receive(arp, sizeof arp), 1);
    assert_int_equal(members[1].taken, 0);
    arp[21] = 2;
    assert_int_equal(receive(arp, sizeof arp), 1);
    assert_int_equal(members[1].taken, 1);
    uint8_t icmp[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, [23] = IPPROTO_ICMP, [34] = 8};
    assert_int_equal(receive(icmp, sizeof icmp), 1);
    assert_int_equal(members[1].taken, 1);
    icmp[34] = 3;
    assert_int_equal(receive(icmp, sizeof icmp), 1);
    assert_int_equal(members[1].taken, 2);
}

static void test_frames_too_short_to_tell_stay(void **state)
{
    uint8_t p[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x4f, [23] = IPPROTO_TCP};
    assert_int_equal(share_own(members[1].share, false, 0, false), 0);
    for (size_t n = 0; n < 34; n++) assert_int_equal(receive(p, n), 1);
    for (size_t n = 34; n <= sizeof p; n++) assert_int_equal(receive(p, n), 1); /* its header ends behind the frame */
    p[12] = 0x86, p[13] = 0xdd;
    for (size_t n = 0; n < sizeof p; n++) receive(p, n);
}

static void test_a_full_ring_loses_and_a_member_that_left_gets_nothing(void **state)
{
    uint8_t p[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00, 0x45, [23] = IPPROTO_TCP, [37] = 80};
    assert_int_equal(share_own(members[1].share, false, 80, false), 0);
    for (unsigned i = 0; i < 2000; i++) {
        struct frame f = {.b = buf_take(sizeof p), .len = sizeof p};
        memcpy(buf_put_back(f.b, sizeof p), p, sizeof p);
        assert_int_equal(share_sort(members[0].share, &f, 1), 0);
    }
    wakes_collect(members[1].rt);
    assert_int_equal(members[1].taken, 512);
    share_leave(members[1].share);
    assert_int_equal(receive(p, sizeof p), 1);
    assert_int_equal(join(1, "dev"), 0);                                /* its place is free again */
    assert_int_equal(share_own(members[0].share, false, 80, false), 0); /* and its ports were given back */
}

static void test_a_place_is_taken_once_and_devices_do_not_mix(void **state)
{
    struct share *mine = members[1].share;
    assert_int_equal(join(1, "dev"), -EBUSY);
    assert_int_equal(join(1, "other"), 0);
    assert_int_equal(share_own(members[1].share, false, 80, false), 0);
    assert_int_equal(receive_ip4(IPPROTO_TCP, 80, 0), 1);
    share_leave(members[1].share);
    members[1].share = mine;
}

#define share_unit_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        share_unit_test(test_a_segment_goes_to_who_has_its_port),
        share_unit_test(test_a_port_of_both_stays_where_its_frames_come_in),
        share_unit_test(test_a_port_is_one_runtimes_unless_both_share_it),
        share_unit_test(test_ports_of_active_opens_are_parted),
        share_unit_test(test_answers_go_to_all_and_requests_to_one),
        share_unit_test(test_frames_too_short_to_tell_stay),
        share_unit_test(test_a_full_ring_loses_and_a_member_that_left_gets_nothing),
        share_unit_test(test_a_place_is_taken_once_and_devices_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
