/* SPDX-License-Identifier: MIT
 *
 * demi_set_log(): where the library's lines go. They are made by a TAP device in a network namespace of the test's own;
 * where the system allows none, the test is skipped.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>

struct lines {
    unsigned notices, others;
    char last[1024];
    long thread;
};

static void take(void *arg, int level, const char *text)
{
    struct lines *l = arg;
    if (level == 2 && strstr(text, "TAP device")) l->notices++;
    else l->others++;
    snprintf(l->last, sizeof l->last, "%s", text);
    l->thread = syscall(SYS_gettid);
}

static int may_make_devices(void)
{
    static int known = -1;
    if (known < 0) {
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
        known = fd >= 0 && (!unshare(CLONE_NEWNET) || !unshare(CLONE_NEWUSER | CLONE_NEWNET));
        if (fd >= 0) close(fd);
    }
    return known;
}

static int start_device(void)
{
    const struct demi_setting settings[] = {{"tap", "dklog0"}, {"address", "10.77.0.2/24"}};
    const struct demi_init_options o = {.libos = "packet", .settings = settings, .setting_count = 2};
    return demi_init_options(&o);
}

static void test_lines_go_to_the_program_with_its_word(void **state)
{
    struct lines l = {0}, other = {0};
    if (!may_make_devices()) skip();
    OK(demi_set_log(take, &l)); /* before there is a library OS */
    OK(start_device());
    assert_int_equal(l.notices, 1);
    assert_non_null(strstr(l.last, "dklog0"));
    assert_null(strchr(l.last, '\n'));
    unsigned before = l.notices + l.others;
    OK(demi_exit());
    OK(demi_set_log(take, &other));
    OK(start_device());
    assert_int_equal(other.notices, 1);
    assert_int_equal(l.notices + l.others, before);
    OK(demi_exit());
    OK(demi_set_log(NULL, NULL));
}

static void *start_elsewhere(void *arg)
{
    *(long *)arg = syscall(SYS_gettid);
    return (void *)(intptr_t)(start_device() || demi_exit());
}

static void test_lines_of_every_thread_come(void **state)
{
    struct lines l = {0};
    pthread_t thread;
    void *err;
    long id = 0;
    if (!may_make_devices()) skip();
    OK(demi_set_log(take, &l));
    OK(pthread_create(&thread, NULL, start_elsewhere, &id));
    OK(pthread_join(thread, &err));
    OK(demi_set_log(NULL, NULL));
    assert_null(err);
    assert_int_equal(l.notices, 1);
    assert_true(l.thread == id);
}

static void test_without_a_taker_they_go_to_stderr(void **state)
{
    struct lines l = {0};
    char text[4096] = "", path[] = "/tmp/demi-log-XXXXXX";
    if (!may_make_devices()) skip();
    OK(demi_set_log(take, &l));
    OK(demi_set_log(NULL, NULL));
    int file = mkstemp(path), was = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(file, STDERR_FILENO);
    int err = start_device();
    err = err ? err : demi_exit();
    fflush(stderr);
    dup2(was, STDERR_FILENO);
    assert_true(pread(file, text, sizeof text - 1, 0) > 0);
    close(file);
    close(was);
    unlink(path);
    OK(err);
    assert_non_null(strstr(text, "dklog0"));
    assert_int_equal(l.notices + l.others, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_go_to_the_program_with_its_word),
        cmocka_unit_test(test_lines_of_every_thread_come),
        cmocka_unit_test(test_without_a_taker_they_go_to_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
