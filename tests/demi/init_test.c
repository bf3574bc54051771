/* SPDX-License-Identifier: MIT
 *
 * Start and end of a thread's library OS, and what calls say before and after. Nothing of it may abort.
 */
#include "tests/demi/demi_test.h"

static void every_call_says(int error)
{
    struct sockaddr_in addr = loopback(1);
    socklen_t size = sizeof addr;
    demi_sgarray_t sga;
    demi_qresult_t qr;
    demi_qtoken_t qt = 0;
    int qd, count;
    memset(&sga, 0, sizeof sga);

    FAILS(error, demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    FAILS(error, demi_bind(500, ADDR(&addr)));
    FAILS(error, demi_listen(500, 1));
    FAILS(error, demi_accept(&qt, 500));
    FAILS(error, demi_connect(&qt, 500, ADDR(&addr)));
    FAILS(error, demi_close(500));
    FAILS(error, demi_push(&qt, 500, &sga));
    FAILS(error, demi_pushto(&qt, 500, &sga, ADDR(&addr)));
    FAILS(error, demi_pop(&qt, 500));
    FAILS(error, demi_getpeername(500, (struct sockaddr *)&addr, &size));
    FAILS(error, demi_getsockname(500, (struct sockaddr *)&addr, &size));
    FAILS(error, demi_setsockopt(500, SOL_SOCKET, SO_LINGER, &addr, sizeof addr));
    FAILS(error, demi_getsockopt(500, SOL_SOCKET, SO_LINGER, &addr, &size));
    FAILS(error, demi_wait(&qr, 1, &now));
    FAILS(error, demi_wait_any(&qr, &count, &qt, 1, &now));
    FAILS(error, demi_wait_next_n(&qr, 1, &count, &now));
    FAILS(error, demi_wait_batch(&qr, 1, &count, &now));
    FAILS(error, demi_wait_all(&qr, &qt, 1, &now));
    FAILS(error, demi_cancel(1));
    FAILS(error, demi_timer(&qt, 0));
    FAILS(error, demi_queue(&qd));
    FAILS(error, demi_exit());
}

static void test_before_init_every_call_is_enosys(void **state)
{
    every_call_says(ENOSYS);
    assert_null(demi_libos_name());
}

static void test_after_exit_every_call_is_enosys_and_init_works_again(void **state)
{
    for (int round = 0; round < 3; round++) {
        OK(demi_init(NULL));
        assert_string_equal(demi_libos_name(), "posix");
        OK(demi_exit());
        every_call_says(ENOSYS);
    }
}

static void test_a_second_init_is_refused(void **state)
{
    struct demi_args args;
    memset(&args, 0, sizeof args);
    OK(demi_init(&args));
    FAILS(EEXIST, demi_init(&args));
    FAILS(EEXIST, demi_init_argv(0, NULL));
    FAILS(EEXIST, demi_init_with("posix", NULL));
    OK(demi_exit());
}

static void test_the_two_argument_init_of_older_programs_works(void **state)
{
    char name[] = "program";
    char *argv[] = {name, NULL};
    OK(demi_init_argv(1, argv));
    OK(demi_exit());
}

static void test_without_a_name_there_are_kernel_sockets(void **state)
{
    unsetenv("LIBOS");
    OK(demi_init(NULL));
    assert_string_equal(demi_libos_name(), "posix");
    OK(demi_exit());
}

static void test_demikernels_cat_name_is_an_alias(void **state)
{
    setenv("LIBOS", "catnap", 1);
    OK(demi_init(NULL));
    assert_string_equal(demi_libos_name(), "posix");
    OK(demi_exit());
}

static void test_an_unknown_libos_is_refused(void **state)
{
    setenv("LIBOS", "catflap", 1);
    FAILS(ENOTSUP, demi_init(NULL));
    FAILS(ENOTSUP, demi_init_with("", NULL));
    setenv("LIBOS", "posix", 1);
    OK(demi_init(NULL)); /* the failure left nothing behind */
    OK(demi_exit());
}

static void test_a_missing_configuration_file_is_refused(void **state)
{
    setenv("CONFIG_PATH", "/nonexistent/config.yaml", 1);
    FAILS(ENOENT, demi_init(NULL));
    unsetenv("CONFIG_PATH");
    FAILS(ENOENT, demi_init_with("posix", "/nonexistent/config.yaml"));
}

static void test_a_configuration_written_for_demikernel_is_accepted(void **state)
{
    static const char text[] =
        "catnap:\n  unused: 1\n"
        "demikernel:\n  local_ipv4_addr: 127.0.0.1\n  local_link_addr: \"00:00:00:00:00:00\"\n"
        "tcp_socket_options:\n  keepalive:\n    enabled: false\n    time_millis: 500\n"
        "    interval: 500\n  linger:\n    enabled: false\n    time_seconds: 0\n  nodelay: true\n"
        "inetstack_config:\n  mtu: 1500\n  mss: 1500\n";
    char path[] = "/tmp/demi-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    setenv("CONFIG_PATH", path, 1);
    int error = demi_init(NULL);
    unlink(path);
    unsetenv("CONFIG_PATH");
    OK(error);
    OK(demi_exit());
}

static void test_exit_ends_what_is_outstanding(void **state)
{
    struct sockaddr_in addr;
    demi_qtoken_t qt;
    OK(demi_init(NULL));
    struct pair p = pair_new();
    OK(demi_accept(&qt, listener_new(&addr)));
    OK(demi_pop(&qt, p.server));
    OK(demi_timer(&qt, UINT64_C(3600000000000)));
    push_pattern(p.client, 1000, 1);
    OK(demi_exit());
}

static int environment(void **state)
{
    setenv("LIBOS", "posix", 1);
    unsetenv("CONFIG_PATH");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_before_init_every_call_is_enosys, environment),
        cmocka_unit_test_setup(test_after_exit_every_call_is_enosys_and_init_works_again, environment),
        cmocka_unit_test_setup(test_a_second_init_is_refused, environment),
        cmocka_unit_test_setup(test_the_two_argument_init_of_older_programs_works, environment),
        cmocka_unit_test_setup(test_without_a_name_there_are_kernel_sockets, environment),
        cmocka_unit_test_setup(test_demikernels_cat_name_is_an_alias, environment),
        cmocka_unit_test_setup(test_an_unknown_libos_is_refused, environment),
        cmocka_unit_test_setup(test_a_missing_configuration_file_is_refused, environment),
        cmocka_unit_test_setup(test_a_configuration_written_for_demikernel_is_accepted, environment),
        cmocka_unit_test_setup(test_exit_ends_what_is_outstanding, environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
