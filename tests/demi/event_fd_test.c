/* SPDX-License-Identifier: MIT
 *
 * demi_event_fd(): a program that sleeps in its own poll() or epoll misses nothing and is not woken for nothing.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>

#define MS 1000000u

/* Devices of our own stack that nothing wakes say so, and there is nothing else to test then. */
static int can_sleep(void)
{
    int fd = -7;
    if (test_can_sleep()) return 1;
    FAILS(EOPNOTSUPP, demi_event_fd(&fd));
    assert_int_equal(fd, -7);
    return 0;
}

static int armed(void)
{
    int fd = -1;
    OK(demi_event_fd(&fd));
    assert_true(fd >= 0);
    return fd;
}

static int is_readable(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, ms);
    assert_true(n >= 0);
    return n;
}

/* Everything that is there, as the rule says; how many results. */
static int drain(void)
{
    demi_qresult_t qrs[8];
    int total = 0, count;
    while (!demi_wait_batch(qrs, 8, &count, &now)) {
        for (int i = 0; i < count; i++)
            if (qrs[i].qr_opcode == DEMI_OPC_POP) OK(demi_sgafree(&qrs[i].qr_value.sga));
        total += count;
    }
    return total;
}

/* Until the descriptor stays silent: the kernel tells of new sockets that they can be written to. */
static int settled(void)
{
    for (int i = 0; i < 100; i++) {
        int fd = armed();
        if (!is_readable(fd, 20)) return fd;
        drain();
    }
    fail_msg("it is readable for ever");
    return -1;
}

/* Sleeps and drains as a program would until something has completed. */
static void next(int count)
{
    for (int i = 0, got = 0; got < count; i++) {
        assert_true(i < 100);
        assert_int_equal(is_readable(armed(), 10000), 1);
        got += drain();
    }
}

static void test_what_is_idle_is_silent(void **state)
{
    if (!can_sleep()) return;
    struct pair p = pair_new();
    int fd = settled();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(armed(), fd);
        assert_int_equal(is_readable(fd, 0), 0);
        assert_int_equal(drain(), 0);
    }
    pair_close(&p);
}

static void test_what_a_peer_sends_is_told(void **state)
{
    if (!can_sleep()) return;
    struct pair p = pair_new();
    demi_qtoken_t qt;
    settled();
    for (int i = 0; i < 200; i++) {
        OK(demi_pop(&qt, p.server));
        demi_qtoken_t pushed = push_pattern(p.client, 1000, 1); /* arming sends it */
        (void)pushed;
        next(2);
    }
    settled();
    pair_close(&p);
}

static void test_a_program_may_poll_select_or_nest_epoll(void **state)
{
    if (!can_sleep()) return;
    demi_qtoken_t qt;
    int fd = settled(), ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
    assert_int_equal(epoll_wait(ep, &e, 1, 0), 0);
    OK(demi_timer(&qt, 1 * MS));
    armed();
    assert_int_equal(epoll_wait(ep, &e, 1, 10000), 1);
    assert_int_equal(e.data.fd, fd);
    fd_set in;
    FD_ZERO(&in);
    FD_SET(fd, &in);
    assert_int_equal(select(fd + 1, &in, NULL, NULL, &(struct timeval){10, 0}), 1);
    assert_int_equal(drain(), 1);
    armed();
    assert_int_equal(epoll_wait(ep, &e, 1, 0), 0);
    close(ep);
}

static void test_a_timer_is_told_when_it_is_due(void **state)
{
    if (!can_sleep()) return;
    demi_qtoken_t late, soonest;
    settled();
    uint64_t before = demi_clock_ns();
    OK(demi_timer(&late, 60000 * (uint64_t)MS));
    OK(demi_timer(&soonest, 30 * MS));
    next(1);
    assert_true(demi_clock_ns() - before >= 30 * MS);
    assert_int_equal(is_readable(armed(), 0), 0); /* the later one */
    OK(demi_cancel(late));
    next(1);
    settled();
}

static void test_what_is_there_already_is_told_at_once(void **state)
{
    if (!can_sleep()) return;
    demi_qtoken_t first, second;
    demi_qresult_t qr;
    int fd = settled(), qd;
    OK(demi_queue(&qd));
    OK(demi_timer(&first, 0));
    assert_int_equal(is_readable(armed(), 0), 1); /* it is due */
    OK(demi_wait(&qr, first, &soon));
    demi_sgarray_t sga = sga_pattern(10, 0);
    OK(demi_push(&first, qd, &sga));
    OK(demi_pop(&second, qd));
    for (int i = 0; i < 3; i++) assert_int_equal(is_readable(armed(), 0), 1); /* results that nobody has taken */
    OK(demi_sgafree(&sga));
    assert_int_equal(drain(), 2);
    assert_int_equal(is_readable(armed(), 0), 0);
    assert_int_equal(is_readable(fd, 0), 0);
}

static int64_t count_to_three(void *arg)
{
    for (int i = 0; i < 3; i++) {
        demi_qtoken_t qt;
        demi_qresult_t qr;
        if (demi_timer(&qt, 1 * MS) || demi_wait(&qr, qt, NULL)) return -1;
    }
    int fd;
    return demi_event_fd(&fd) == EBUSY ? 3 : -2;
}

static void test_a_task_goes_on_while_the_program_sleeps(void **state)
{
    if (!can_sleep()) return;
    demi_qtoken_t qt;
    demi_qresult_t qr = {.qr_ret = -9};
    settled();
    OK(demi_spawn(&qt, count_to_three, NULL, 0));
    assert_int_equal(is_readable(armed(), 0), 1); /* it can run */
    for (int i = 0; i < 100 && demi_wait(&qr, qt, &now) == ETIMEDOUT; i++)
        assert_int_equal(is_readable(armed(), 10000), 1);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_TASK);
    assert_int_equal(qr.qr_ret, 3);
    settled();
}

static void *ring(void *arg)
{
    for (int i = 0; i < 50; i++) {
        usleep(1000);
        demi_wake_ring(arg);
    }
    return NULL;
}

static void test_a_ring_of_another_thread_is_told(void **state)
{
    if (!can_sleep()) return;
    demi_wake_t *w;
    demi_qtoken_t qt;
    pthread_t thread;
    OK(demi_wake_new(&w));
    settled();
    OK(pthread_create(&thread, NULL, ring, w));
    /* Rings that come together are one; the last is never slept over. */
    for (int i = 0; i < 10; i++) {
        OK(demi_wake_wait(&qt, w));
        next(1);
    }
    OK(pthread_join(thread, NULL));
    OK(demi_wake_wait(&qt, w));
    demi_wake_ring(w);
    assert_int_equal(is_readable(armed(), 0), 1); /* it rang before */
    drain();
    settled();
    demi_wake_free(w);
}

static void test_a_file_is_told(void **state)
{
    if (!can_sleep()) return;
    char path[] = "/tmp/demi-event-XXXXXX";
    int fd = mkstemp(path), qd;
    assert_true(fd >= 0);
    close(fd);
    OK(demi_open(&qd, path, O_RDWR, 0));
    settled();
    push_pattern(qd, 5000, 1);
    next(1);
    demi_qtoken_t qt;
    OK(demi_sync(&qt, qd, false));
    next(1);
    OK(demi_close(qd));
    unlink(path);
}

struct peer {
    struct sockaddr_in at;
    int rounds;
};

/* One byte there, one back, over a plain socket of the kernel's. */
static void *ping(void *arg)
{
    const struct peer *p = arg;
    intptr_t right = 0;
    char c = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&p->at, sizeof p->at)) return (void *)-1;
    for (int i = 0; i < p->rounds; i++, c++)
        if (send(fd, &c, 1, 0) == 1) right += recv(fd, &(char){0}, 1, 0) == 1;
    close(fd);
    return (void *)right;
}

static void test_an_echo_from_another_loop_loses_nothing(void **state)
{
    if (!can_sleep() || !test_is_kernel()) return; /* whose socket the peer has */
    enum { ROUNDS = 2000 };
    struct peer peer = {.rounds = ROUNDS};
    demi_qtoken_t qt;
    demi_qresult_t qrs[4];
    pthread_t thread;
    void *right;
    int count, listener = listener_new(&peer.at), ended = 0, sleeps = 0;
    OK(demi_accept(&qt, listener));
    OK(pthread_create(&thread, NULL, ping, &peer));
    while (!ended) {
        assert_true(++sleeps < 10 * ROUNDS);
        assert_int_equal(is_readable(armed(), 10000), 1);
        while (!demi_wait_batch(qrs, 4, &count, &now))
            for (int i = 0; i < count; i++) {
                demi_sgarray_t *sga = &qrs[i].qr_value.sga;
                if (qrs[i].qr_opcode == DEMI_OPC_ACCEPT) OK(demi_pop(&qt, qrs[i].qr_value.ares.qd));
                if (qrs[i].qr_opcode != DEMI_OPC_POP) continue;
                ended = sga->sga_segs[0].sgaseg_len == 0;
                if (!ended) OK(demi_push(&qt, qrs[i].qr_qd, sga));
                if (!ended) OK(demi_pop(&qt, qrs[i].qr_qd));
                OK(demi_sgafree(sga));
            }
    }
    OK(pthread_join(thread, &right));
    assert_int_equal((intptr_t)right, ROUNDS);
}

static void *of_its_own(void *arg)
{
    int fd = -1;
    intptr_t wrong = 0;
    wrong += demi_event_fd(&fd) != ENOSYS;
    wrong += demi_init_with("posix", NULL) != 0;
    wrong += demi_event_fd(&fd) != 0 || fd == *(int *)arg;
    wrong += demi_exit() != 0;
    wrong += demi_event_fd(&fd) != ENOSYS;
    return (void *)wrong;
}

static void test_each_thread_has_its_own(void **state)
{
    if (!can_sleep()) return;
    int fd = settled();
    pthread_t thread;
    void *wrong;
    OK(pthread_create(&thread, NULL, of_its_own, &fd));
    OK(pthread_join(thread, &wrong));
    assert_int_equal((intptr_t)wrong, 0);
    assert_int_equal(is_readable(armed(), 0), 0);
}

static void test_waits_that_sleep_by_themselves_still_do(void **state)
{
    if (!can_sleep()) return;
    demi_qtoken_t qt;
    settled();
    for (int i = 0; i < 5; i++) {
        OK(demi_timer(&qt, 2 * MS));
        armed();
        wait_ok(qt, DEMI_OPC_TIMER);
    }
    settled();
}

static uint64_t work_ns;
static void find_work(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, "libos.work_ns")) work_ns = value;
}

static void test_what_the_program_sleeps_is_not_work(void **state)
{
    if (!can_sleep()) return;
    settled();
    demi_counters(find_work, NULL);
    uint64_t before = work_ns;
    int fd = armed();
    demi_counters(find_work, NULL);
    before = work_ns;
    assert_int_equal(is_readable(fd, 300), 0);
    drain();
    armed();
    demi_counters(find_work, NULL);
    assert_true(work_ns - before < 250 * (uint64_t)MS);
}

static void test_bad_use_is_refused(void **state)
{
    FAILS(EINVAL, demi_event_fd(NULL));
    if (!can_sleep()) return;
    int fd = settled(), other = -7;
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        int right = demi_event_fd(&other) == ENOSYS && other == -7 && fcntl(fd, F_GETFD) < 0;
        right = right && demi_init(NULL) == 0 && demi_event_fd(&other) == 0 && other >= 0;
        _exit(right ? 3 : 4);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    assert_int_equal(is_readable(armed(), 0), 0); /* the child has taken nothing of ours */
    demi_qtoken_t qt;
    OK(demi_timer(&qt, 1 * MS));
    next(1);
    OK(demi_exit());
    FAILS(ENOSYS, demi_event_fd(&other));
    assert_int_equal(other, -7);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    OK(demi_init(NULL));
}

static void test_errno_is_left_alone(void **state)
{
    int fd;
    errno = 4711;
    demi_event_fd(&fd);
    demi_event_fd(NULL);
    assert_int_equal(errno, 4711);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_what_is_idle_is_silent),
        demi_unit_test(test_what_a_peer_sends_is_told),
        demi_unit_test(test_a_program_may_poll_select_or_nest_epoll),
        demi_unit_test(test_a_timer_is_told_when_it_is_due),
        demi_unit_test(test_what_is_there_already_is_told_at_once),
        demi_unit_test(test_a_task_goes_on_while_the_program_sleeps),
        demi_unit_test(test_a_ring_of_another_thread_is_told),
        demi_unit_test(test_a_file_is_told),
        demi_unit_test(test_an_echo_from_another_loop_loses_nothing),
        demi_unit_test(test_each_thread_has_its_own),
        demi_unit_test(test_waits_that_sleep_by_themselves_still_do),
        demi_unit_test(test_what_the_program_sleeps_is_not_work),
        demi_unit_test(test_bad_use_is_refused),
        demi_unit_test(test_errno_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
