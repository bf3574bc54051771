/* SPDX-License-Identifier: MIT */
#include "libos/runtime/config.h"

#include "libos/runtime/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct demi_config *parse(const char *text)
{
    struct demi_config *c = NULL;
    unsigned line = 0;
    assert_int_equal(config_parse(text, strlen(text), &c, &line), 0);
    return c;
}

static void test_malformed_lines_are_refused_with_their_number(void **state)
{
    static const char *const bad[] = {"a: 1\nnonsense\n", "a: 1\n\tb: 2\n", "a: 1\n: 3\n",     "a: 1\nb: {c: 1}\n",
                                      "a: 1\nb: [1, 2\n", "a: 1\nb: |\n",   "a: 1\nb: [\"x]\n"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct demi_config *c;
        unsigned line = 0;
        assert_int_equal(config_parse(bad[i], strlen(bad[i]), &c, &line), -EINVAL);
        assert_int_equal(line, 2);
    }
    struct demi_config *c;
    assert_int_equal(config_parse("a: \0", 4, &c, NULL), -EINVAL);
    assert_int_equal(config_parse("- 1\n", 4, &c, NULL), -EINVAL);
    assert_int_equal(config_read("/nonexistent", &c, NULL), -ENOENT);
}

static void test_depth_is_bounded(void **state)
{
    char text[4096] = "";
    for (int i = 0; i < 40; i++) {
        for (int k = 0; k < i; k++) strcat(text, " ");
        strcat(text, "k:\n");
    }
    struct demi_config *c;
    assert_int_equal(config_parse(text, strlen(text), &c, NULL), -EINVAL);
}

static void test_demikernel_files_are_read(void **state)
{
    struct demi_config *c = parse("# comment\n"
                                  "---\n"
                                  "demikernel:\n"
                                  "  local_ipv4_addr: 10.0.0.1   # ours\n"
                                  "tcp_socket_options:\n"
                                  "  keepalive:\n"
                                  "    enabled: false\n"
                                  "    time_millis: 7_ \n"
                                  "  nodelay: true\n"
                                  "dpdk:\n"
                                  "  eal_init: [\"\", \"-c\", \"0xff\", '--proc-type=auto']\n"
                                  "list:\n"
                                  "  - one\n"
                                  "  - \"two # not a comment\"\n"
                                  "inetstack_config:\n"
                                  "  mtu: 1500\n"
                                  "  arp_table:\n"
                                  "    \"ff:ff:ff:ff:ff:ff\": 10.0.0.2\n"
                                  "spin_us: 0x20\n");
    assert_string_equal(config_get(c, "demikernel.local_ipv4_addr"), "10.0.0.1");
    assert_string_equal(config_get(c, "dpdk.eal_init.1"), "-c");
    assert_string_equal(config_get(c, "dpdk.eal_init.3"), "--proc-type=auto");
    assert_string_equal(config_get(c, "dpdk.eal_init.0"), "");
    assert_string_equal(config_get(c, "list.0"), "one");
    assert_string_equal(config_get(c, "list.1"), "two # not a comment");
    assert_int_equal(config_int(c, "inetstack_config.mtu", 9), 1500);
    assert_int_equal(config_int(c, "spin_us", 9), 32);
    assert_int_equal(config_int(c, "tcp_socket_options.keepalive.time_millis", 9), 9);
    assert_false(config_bool(c, "tcp_socket_options.keepalive.enabled", true));
    assert_true(config_bool(c, "tcp_socket_options.nodelay", false));
    assert_true(config_bool(c, "absent", true));
    size_t at = 0;
    const char *rest;
    assert_string_equal(config_next(c, "inetstack_config.arp_table", &at, &rest), "10.0.0.2");
    assert_string_equal(rest, "ff:ff:ff:ff:ff:ff");
    assert_null(config_next(c, "inetstack_config.arp_table", &at, &rest));
    config_free(c);
}

static void test_environment_wins(void **state)
{
    struct demi_config *c = parse("tcp_socket_options:\n  nodelay: true\n  linger:\n    enabled: false\n");
    setenv("NODELAY", "0", 1);
    setenv("LINGER", "true", 1);
    assert_false(config_bool(c, "tcp_socket_options.nodelay", true));
    assert_true(config_bool(c, "tcp_socket_options.linger.enabled", false));
    unsetenv("NODELAY");
    unsetenv("LINGER");
    assert_true(config_bool(c, "tcp_socket_options.nodelay", false));
    config_free(c);
}

static void test_what_nobody_looked_for_is_told(void **state)
{
    struct demi_config *c = parse("misspelt: 1\n"); /* a file's keys may be another libOS's */
    char known[64];
    assert_null(config_unasked(c, known, sizeof known));
    assert_int_equal(config_set(&c, "packet.ring", "64"), 0);
    assert_int_equal(config_set(&c, "rign", "64"), 0);
    config_get(c, "packet.ring");
    config_get(c, "packet.mtu");
    config_get(c, "mtu");
    config_get(c, "packet.address.0");
    config_get(c, "inetstack_config.arp_cache_ttl");
    assert_string_equal(config_unasked(c, known, sizeof known), "rign");
    assert_string_equal(known, "mtu ring");
    config_get(c, "rign");
    assert_null(config_unasked(c, known, sizeof known));
    config_free(c);
}

static void test_both_names_of_a_libos_are_known(void **state)
{
    assert_string_equal(libos_canonical_name("catnap"), "posix");
    assert_string_equal(libos_canonical_name("posix"), "posix");
    assert_string_equal(libos_canonical_name("catnip"), "dpdk");
    assert_null(libos_canonical_name("dognap"));
    assert_null(libos_canonical_name(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_lines_are_refused_with_their_number),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_demikernel_files_are_read),
        cmocka_unit_test(test_environment_wins),
        cmocka_unit_test(test_what_nobody_looked_for_is_told),
        cmocka_unit_test(test_both_names_of_a_libos_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
