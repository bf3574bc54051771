/* SPDX-License-Identifier: MIT
 *
 * Which version, and what is there: what demi_feature() says of a libOS is what its calls do.
 */
#include "tests/demi/demi_test.h"

#include <stdio.h>

static void test_the_numbers_agree(void **state)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", DEMI_VERSION_MAJOR, DEMI_VERSION_MINOR, DEMI_VERSION_PATCH);
    assert_string_equal(demi_version(), text);
    assert_int_equal(demi_version_number(), DEMI_VERSION_NUMBER);
    assert_true(DEMI_VERSION_OF(1, 2, 3) < DEMI_VERSION_OF(1, 10, 0));
    assert_true(DEMI_VERSION_OF(1, 999, 999) < DEMI_VERSION_OF(2, 0, 0));
}

static void test_what_is_not_known_is_not_there(void **state)
{
    static const char *const names[] = {"",          "tls ",       "libos",  "libos.", "libos.no-such",
                                        "libos.sim", "libos.disk", "Stream", "no-such"};
    assert_false(demi_feature(NULL));
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) assert_false(demi_feature(names[i]));
    demi_features(NULL, NULL);
}

struct seen {
    int names, there, of_libos, disagree;
};

static void see(void *arg, const char *name, bool is_there)
{
    struct seen *s = arg;
    s->names++;
    s->there += is_there;
    s->of_libos += is_there && !strchr(name, '.') && strcmp(name, "tls") != 0;
    s->disagree += demi_feature(name) != is_there;
}

static void test_before_a_start_the_build_is_known_and_no_libos(void **state)
{
    struct seen s = {0, 0, 0, 0};
    errno = EDOM;
    demi_features(see, &s);
    assert_int_equal(errno, EDOM);
    assert_true(s.names >= 17);
    assert_int_equal(s.disagree, 0);
    assert_int_equal(s.of_libos, 0);
    assert_true(demi_feature("libos.posix"));
    assert_true(demi_feature("libos.catnap"));
    assert_true(demi_feature("libos.loop"));
    assert_null(demi_libos_name());
}

static int makes(int domain, int type)
{
    int qd;
    if (demi_socket(&qd, domain, type, 0)) return 0;
    OK(demi_close(qd));
    return 1;
}

static uint64_t count_of;
static const char *count_name;
static void count(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, count_name)) count_of = value;
}

static uint64_t counter(const char *name)
{
    count_name = name;
    count_of = 0;
    demi_counters(count, NULL);
    return count_of;
}

static void what_it_says_is_so(const char *libos)
{
    int fd, qd;
    struct seen s = {0, 0, 0, 0};
    if (demi_init_with(libos, NULL)) return; /* not on this machine */
    uint64_t queues = counter("libos.queues");
    demi_features(see, &s);
    assert_int_equal(s.disagree, 0);
    assert_true(counter("libos.queues") == queues); /* a question leaves nothing behind */
    assert_int_equal(demi_feature("stream"), makes(AF_INET, SOCK_STREAM));
    assert_int_equal(demi_feature("datagram"), makes(AF_INET, SOCK_DGRAM));
    assert_int_equal(demi_feature("ipv6"), makes(AF_INET6, SOCK_STREAM));
    assert_int_equal(demi_feature("unix"), makes(AF_UNIX, SOCK_STREAM));
    assert_int_equal(demi_feature("event-fd"), !demi_event_fd(&fd));
    OK(demi_socket(&qd, AF_INET, SOCK_STREAM, 0));
    assert_int_equal(demi_feature("socket-fd"), demi_queue_fd(qd) >= 0);
    assert_int_equal(demi_feature("shared-pipes"), strstr(libos, "shm") != NULL);
    assert_true(demi_feature("stream"));
    OK(demi_exit());
    assert_false(demi_feature("stream"));
}

static void test_what_it_says_of_a_libos_is_so(void **state)
{
    static const char *const libos[] = {"posix", "uring", "shm", "loop", "rdma-loop", "posix,shm"};
    for (unsigned i = 0; i < sizeof libos / sizeof *libos; i++) what_it_says_is_so(libos[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_numbers_agree),
        cmocka_unit_test(test_what_is_not_known_is_not_there),
        cmocka_unit_test(test_before_a_start_the_build_is_known_and_no_libos),
        cmocka_unit_test(test_what_it_says_of_a_libos_is_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
