/* SPDX-License-Identifier: MIT
 *
 * Where keys may stand, and what is refused.
 */
#include "libos/inet/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "libos/inet/inet.h"
#include "libos/runtime/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char why[KEYS_WHY_SIZE];

static struct keys keys_of(const char *text)
{
    struct demi_config *c = NULL;
    assert_int_equal(config_parse(text, strlen(text), &c, NULL), 0);
    *why = 0;
    return (struct keys){c, "packet", why};
}
static void keys_end(struct keys *k) { config_free((struct demi_config *)(uintptr_t)k->conf); }

static void test_the_section_beats_the_plain_key_and_that_demikernels(void **state)
{
    struct keys k = keys_of("mtu: 2000\npacket:\n  ring: 64\n  mtu: 1000\ninetstack_config:\n  mtu: 1500\n  mss: 900\n"
                            "raw_socket:\n  linux_interface_name: eth7\n");
    assert_string_equal(keys_get(&k, "mtu"), "1000");
    assert_string_equal(keys_get(&k, "ring"), "64");
    assert_string_equal(keys_get(&k, "mss"), "900");
    assert_string_equal(keys_get(&k, "interface"), "eth7");
    assert_true(keys_is_demikernels(&k, "mss"));
    assert_false(keys_is_demikernels(&k, "mtu"));
    assert_null(keys_get(&k, "gateway"));
    keys_end(&k);
}

static void test_the_environment_beats_the_file_and_the_program_both(void **state)
{
    struct keys k = keys_of("packet:\n  interface: eth1\n  fault:\n    loss_ppm: 5\n");
    setenv("INTERFACE", "eth2", 1);
    assert_string_equal(keys_get(&k, "interface"), "eth2");
    assert_int_equal(config_set((struct demi_config **)(uintptr_t)&k.conf, "interface", "eth3"), 0);
    assert_string_equal(keys_get(&k, "interface"), "eth3");
    unsetenv("INTERFACE");
    assert_string_equal(keys_get(&k, "interface"), "eth3");
    assert_string_equal(keys_get(&k, "fault.loss_ppm"), "5");
    assert_int_equal(config_set((struct demi_config **)(uintptr_t)&k.conf, "fault.loss_ppm", "7"), 0);
    assert_string_equal(keys_get(&k, "fault.loss_ppm"), "7");
    keys_end(&k);
    k = (struct keys){NULL, "packet", why}; /* no file at all */
    setenv("CC", "newreno", 1);
    assert_string_equal(keys_get(&k, "cc"), "newreno");
    unsetenv("CC");
}

static void test_lists_are_lists_or_words(void **state)
{
    struct keys k = keys_of("address: [10.0.0.1/24, \"fd00::1/64\"]\ngateway: 10.0.0.9, fd00::9\n");
    char text[32];
    assert_true(keys_item(&k, "address", 0, text, sizeof text));
    assert_string_equal(text, "10.0.0.1/24");
    assert_true(keys_item(&k, "address", 1, text, sizeof text));
    assert_string_equal(text, "fd00::1/64");
    assert_false(keys_item(&k, "address", 2, text, sizeof text));
    assert_true(keys_item(&k, "gateway", 1, text, sizeof text));
    assert_string_equal(text, "fd00::9");
    assert_false(keys_item(&k, "gateway", 2, text, sizeof text));
    assert_false(keys_item(&k, "gateway", 0, text, 4)); /* no room */
    keys_end(&k);
}

static void test_nonsense_is_refused_with_a_reason(void **state)
{
    static const char *const bad[] = {"cc: warp\n",          "mtu: 67\n",
                                      "mtu: 1500x\n",        "mtu: -1\n",
                                      "dhcp: maybe\n",       "rcv_buffer: 0\n",
                                      "rcv_buffer: 9g\n",    "rcv_buffer: 1z\n",
                                      "rcv_buffer: -1\n",    "time_wait_ms: 99999999999\n",
                                      "mss: 10\n",           "arp_tries: 0\n",
                                      "connections: lots\n", "offload: perhaps\n"};
    const struct netdev_caps caps = {.mtu = 1500};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct stack_config sc;
        struct keys k = keys_of(bad[i]);
        assert_int_equal(inet_configure(k.conf, "packet", &caps, &sc, why), -EINVAL);
        assert_memory_equal(why, bad[i], strcspn(bad[i], ":")); /* names the key */
        assert_null(strchr(why, '\n'));
        keys_end(&k);
    }
}

static void test_values_reach_the_stack(void **state)
{
    struct keys k =
        keys_of("mtu: 9000\ncc: newreno\nrcv_buffer: 64k\nsack: no\necn: yes\ntime_wait_ms: 250\narp_lifetime: 15\n"
                "tcp_checksum_offload: no\nudp_checksum_offload: no\nconnections: 10\nping: off\n");
    const struct netdev_caps caps = {.mtu = 4000, .offloads = OFFLOAD_RX_IP_CSUM | OFFLOAD_TX_L4_CSUM | OFFLOAD_TX_TSO};
    struct stack_config sc;
    assert_int_equal(inet_configure(k.conf, "packet", &caps, &sc, why), 0);
    assert_int_equal(sc.mtu, 4000); /* no more than the device has */
    assert_string_equal(sc.cc, "newreno");
    assert_int_equal(sc.limits.rcv_buffer, 65536);
    assert_int_equal(sc.limits.conns, 10);
    assert_true(sc.no_sack);
    assert_true(sc.ask_ecn);
    assert_false(sc.no_ecn);
    assert_true(sc.time_wait == 250 * NSEC_PER_MSEC);
    assert_true(sc.arp_lifetime == 15 * NSEC_PER_SEC);
    assert_int_equal(sc.offloads, OFFLOAD_RX_IP_CSUM);
    assert_false(sc.icmp_echo);
    keys_end(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_section_beats_the_plain_key_and_that_demikernels),
        cmocka_unit_test(test_the_environment_beats_the_file_and_the_program_both),
        cmocka_unit_test(test_lists_are_lists_or_words),
        cmocka_unit_test(test_nonsense_is_refused_with_a_reason),
        cmocka_unit_test(test_values_reach_the_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
