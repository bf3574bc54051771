/* SPDX-License-Identifier: MIT
 *
 * demi_poll_fd(): a descriptor of the program's own among what a thread waits for, on libOSes that sleep and that poll.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define MS 1000000u

struct ends {
    int in, out;
};

static struct ends pipe_new(void)
{
    int fd[2];
    OK(pipe2(fd, O_CLOEXEC | O_NONBLOCK));
    return (struct ends){fd[0], fd[1]};
}

static void pipe_close(struct ends e)
{
    close(e.in);
    close(e.out);
}

static void put(int fd) { assert_int_equal(write(fd, "x", 1), 1); }
static void get(int fd) { assert_int_equal(read(fd, &(char){0}, 1), 1); }

static demi_qtoken_t polling(int fd, uint32_t events)
{
    demi_qtoken_t qt = 0;
    OK(demi_poll_fd(&qt, fd, events));
    assert_true(qt != 0);
    return qt;
}

static void pends(demi_qtoken_t qt)
{
    demi_qresult_t qr;
    for (int i = 0; i < 40; i++) FAILS(ETIMEDOUT, demi_wait(&qr, qt, &now)); /* a polled device looks now and then */
}

static void tells(demi_qtoken_t qt, int fd, uint32_t events)
{
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POLL);
    assert_int_equal(qr.qr_ret, events);
    assert_int_equal(qr.qr_qd, fd);
}

static void test_each_event_is_told_once_it_is_there(void **state)
{
    struct ends e = pipe_new();
    demi_qtoken_t qt = polling(e.in, POLLIN);
    pends(qt);
    put(e.out);
    tells(qt, e.in, POLLIN);
    tells(polling(e.in, POLLIN), e.in, POLLIN); /* it is still there: one token, one result, and no edge is needed */
    get(e.in);
    pends(qt = polling(e.in, POLLIN | POLLRDHUP));
    OK(demi_cancel(qt));
    assert_int_equal(wait_failed(qt), ECANCELED);
    tells(polling(e.out, POLLOUT), e.out, POLLOUT);
    while (write(e.out, "0123456789", 10) > 0) {
    }
    pends(qt = polling(e.out, POLLOUT));
    for (char all[4096]; read(e.in, all, sizeof all) > 0;) {
    }
    tells(qt, e.out, POLLOUT);
    qt = polling(e.in, 0); /* errors and hang-ups alone */
    put(e.out);
    pends(qt);
    close(e.out);
    tells(qt, e.in, POLLHUP);
    close(e.in);
}

static void test_a_sockets_events_are_polls_own(void **state)
{
    int s[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
    tells(polling(s[0], POLLIN | POLLOUT | POLLRDHUP), s[0], POLLOUT);
    put(s[1]);
    tells(polling(s[0], EPOLLIN | EPOLLOUT), s[0], EPOLLIN | EPOLLOUT);
    OK(shutdown(s[1], SHUT_WR));
    tells(polling(s[0], POLLRDHUP), s[0], POLLRDHUP);
    pipe_close((struct ends){s[0], s[1]});
}

static void test_several_may_wait_for_one(void **state)
{
    int s[2];
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s));
    demi_qtoken_t in = polling(s[0], POLLIN), end = polling(s[0], POLLRDHUP), also = polling(s[0], POLLIN);
    tells(polling(s[0], POLLOUT), s[0], POLLOUT);
    pends(in);
    put(s[1]);
    tells(in, s[0], POLLIN);
    tells(also, s[0], POLLIN);
    pends(end);
    get(s[0]);
    in = polling(s[0], POLLIN);
    also = polling(s[0], POLLIN);
    OK(demi_cancel(in)); /* and the others go on */
    assert_int_equal(wait_failed(in), ECANCELED);
    FAILS(EINVAL, demi_cancel(in));
    put(s[1]);
    tells(also, s[0], POLLIN);
    OK(demi_cancel(end));
    assert_int_equal(wait_failed(end), ECANCELED);
    pipe_close((struct ends){s[0], s[1]});
}

struct writer {
    int fd, rounds;
};

static void *write_slowly(void *arg)
{
    const struct writer *w = arg;
    for (int i = 0; i < w->rounds; i++) {
        usleep(500);
        if (write(w->fd, "x", 1) != 1) return (void *)1;
    }
    return NULL;
}

static void test_a_thread_that_sleeps_is_woken(void **state)
{
    struct ends e = pipe_new();
    struct writer w = {e.out, 100};
    pthread_t thread;
    void *failed;
    OK(pthread_create(&thread, NULL, write_slowly, &w));
    for (int i = 0; i < w.rounds; i++) {
        tells(polling(e.in, POLLIN), e.in, POLLIN);
        get(e.in);
    }
    OK(pthread_join(thread, &failed));
    assert_null(failed);
    pipe_close(e);
}

static int64_t read_three(void *arg)
{
    const struct ends *e = arg;
    int64_t got = 0;
    for (int i = 0; i < 3; i++) {
        demi_qtoken_t qt;
        demi_qresult_t qr;
        if (demi_poll_fd(&qt, e->in, POLLIN) || demi_wait(&qr, qt, NULL) || qr.qr_ret != POLLIN) return -1;
        got += read(e->in, &(char){0}, 1);
    }
    return got;
}

static void test_a_task_waits_for_one(void **state)
{
    struct ends e = pipe_new();
    demi_qtoken_t qt;
    OK(demi_spawn(&qt, read_three, &e, 0));
    for (int i = 0; i < 3; i++) {
        pends(qt);
        put(e.out);
    }
    assert_int_equal(wait_ok(qt, DEMI_OPC_TASK).qr_ret, 3);
    pipe_close(e);
}

static void test_it_stands_beside_other_operations(void **state)
{
    struct pair p = pair_new();
    struct ends e = pipe_new();
    demi_qtoken_t qts[3];
    demi_qresult_t qr;
    int at;
    OK(demi_pop(&qts[0], p.server));
    qts[1] = polling(e.in, POLLIN);
    OK(demi_timer(&qts[2], 3600 * (uint64_t)1000 * MS));
    put(e.out);
    OK(demi_wait_any(&qr, &at, qts, 3, &soon));
    assert_int_equal(at, 1);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_POLL);
    wait_ok(push_pattern(p.client, 10, 0), DEMI_OPC_PUSH);
    qts[1] = polling(e.out, POLLIN);
    OK(demi_wait_any(&qr, &at, qts, 3, &soon));
    assert_int_equal(at, 0);
    OK(demi_sgafree(&qr.qr_value.sga));
    pipe_close(e);
    pair_close(&p);
}

static void test_the_other_loops_descriptor_tells_of_it(void **state)
{
    if (!test_is_kernel()) return;
    struct ends e = pipe_new();
    demi_qtoken_t qt = polling(e.in, POLLIN);
    int fd;
    pends(qt);
    OK(demi_event_fd(&fd));
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    put(e.out);
    assert_int_equal(poll(&p, 1, 10000), 1);
    tells(qt, e.in, POLLIN);
    OK(demi_event_fd(&fd));
    assert_int_equal(poll(&p, 1, 0), 0);
    demi_qresult_t qr;
    assert_int_not_equal(demi_poll_fd(&qt, fd, POLLIN) == 0 && demi_wait(&qr, qt, &now) == 0, 1); /* a loop of itself */
    pipe_close(e);
}

static void test_a_number_that_stands_for_another_file_is_noticed(void **state)
{
    struct ends old = pipe_new(), other = pipe_new();
    demi_qtoken_t before = polling(old.in, POLLIN);
    pends(before);
    int kept = dup(old.in); /* so the kernel goes on watching what was closed */
    assert_int_equal(dup2(other.in, old.in), old.in);
    demi_qtoken_t after = polling(old.in, POLLIN);
    assert_int_equal(wait_failed(before), EBADF);
    put(old.out); /* what the number once stood for */
    pends(after);
    put(other.out);
    tells(after, old.in, POLLIN);
    after = polling(old.in, POLLIN | POLLRDHUP);
    tells(after, old.in, POLLIN);
    close(kept);
    pipe_close(old);
    pipe_close(other);
}

static void test_a_descriptor_closed_too_early_harms_nobody(void **state)
{
    struct ends e = pipe_new(), other = pipe_new();
    demi_qtoken_t qt = polling(e.in, POLLIN);
    int kept = dup(e.in), in = e.in;
    close(e.in);
    put(e.out); /* the kernel tells: of a number that is not open */
    assert_int_equal(wait_failed(qt), EBADF);
    close(kept);
    close(e.out);
    FAILS(EBADF, demi_poll_fd(&qt, in, POLLIN));
    qt = polling(other.in, POLLIN);
    close(other.in);
    pends(qt);
    OK(demi_cancel(qt));
    assert_int_equal(wait_failed(qt), ECANCELED);
    close(other.out);
}

static void test_bad_use_is_refused(void **state)
{
    struct ends e = pipe_new();
    demi_qtoken_t qt = 99;
    char path[] = "/tmp/demi-poll-XXXXXX";
    int file = mkstemp(path);
    FAILS(EINVAL, demi_poll_fd(NULL, e.in, POLLIN));
    FAILS(EINVAL, demi_poll_fd(&qt, e.in, EPOLLET | EPOLLIN));
    FAILS(EINVAL, demi_poll_fd(&qt, e.in, EPOLLONESHOT));
    FAILS(EINVAL, demi_poll_fd(&qt, e.in, POLLNVAL));
    FAILS(EBADF, demi_poll_fd(&qt, -1, POLLIN));
    FAILS(EBADF, demi_poll_fd(&qt, INT32_MIN, POLLIN));
    FAILS(EBADF, demi_poll_fd(&qt, INT32_MAX, POLLIN));
    FAILS(EPERM, demi_poll_fd(&qt, file, POLLIN));
    FAILS(EPERM, demi_poll_fd(&qt, file, POLLIN)); /* a refusal leaves nothing behind */
    struct pair p = pair_new();
    if (!strcmp(test_libos(), "posix")) FAILS(EEXIST, demi_poll_fd(&qt, demi_queue_fd(p.client), POLLIN));
    else FAILS(EBADF, demi_poll_fd(&qt, p.client + 100000, POLLIN));
    pair_close(&p);
    assert_int_equal(qt, 99);
    tells(polling(e.out, POLLOUT), e.out, POLLOUT);
    close(file);
    unlink(path);
    pipe_close(e);
}

struct foreign {
    demi_qtoken_t qt;
    struct ends e;
};

static void *another_thread(void *arg)
{
    struct foreign *f = arg;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    intptr_t wrong = 0;
    wrong += demi_poll_fd(&qt, f->e.in, POLLIN) != ENOSYS;
    wrong += demi_init_with(test_libos(), NULL) != 0;
    wrong += demi_cancel(f->qt) != EINVAL;
    wrong += demi_wait(&qr, f->qt, &now) != EINVAL;
    wrong += demi_poll_fd(&qt, f->e.in, POLLIN) != 0; /* both threads may wait for it */
    put(f->e.out);
    wrong += demi_wait(&qr, qt, &soon) != 0 || qr.qr_ret != POLLIN;
    wrong += demi_poll_fd(&qt, f->e.out, POLLIN) != 0; /* and leave with something outstanding */
    wrong += demi_exit() != 0;
    return (void *)wrong;
}

static void test_two_threads_may_wait_for_one_file(void **state)
{
    struct foreign f = {.e = pipe_new()};
    pthread_t thread;
    void *wrong;
    f.qt = polling(f.e.in, POLLIN);
    pends(f.qt);
    OK(pthread_create(&thread, NULL, another_thread, &f));
    OK(pthread_join(thread, &wrong));
    assert_int_equal((intptr_t)wrong, 0);
    tells(f.qt, f.e.in, POLLIN);
    pipe_close(f.e);
}

static void test_exit_and_fork_leave_the_descriptor_alone(void **state)
{
    struct ends e = pipe_new();
    demi_qtoken_t qt = polling(e.in, POLLIN), own;
    demi_qresult_t qr;
    pends(qt);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        int right = demi_poll_fd(&own, e.in, POLLIN) == ENOSYS && fcntl(e.in, F_GETFD) >= 0;
        right = right && demi_init(NULL) == 0 && demi_poll_fd(&own, e.out, POLLOUT) == 0;
        right = right && demi_wait(&qr, own, &soon) == 0 && qr.qr_ret == POLLOUT && demi_cancel(qt) == EINVAL;
        _exit(right && demi_exit() == 0 ? 3 : 4);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    pends(qt);
    put(e.out);
    tells(qt, e.in, POLLIN);
    qt = polling(e.in, POLLRDHUP);
    OK(demi_exit());
    FAILS(ENOSYS, demi_poll_fd(&qt, e.in, POLLIN));
    get(e.in);
    OK(demi_init(NULL));
    FAILS(EINVAL, demi_cancel(qt));
    pipe_close(e);
}

static void test_many_are_waited_for_at_once(void **state)
{
    enum { PIPES = 300, ROUNDS = 3 };
    static struct ends e[PIPES];
    for (int i = 0; i < PIPES; i++) e[i] = pipe_new();
    for (int round = 0; round < ROUNDS; round++) {
        demi_qresult_t qrs[64];
        int count, told = 0;
        for (int i = 0; i < PIPES; i++) polling(e[i].in, POLLIN);
        for (int i = PIPES; i-- > 0;) put(e[i].out);
        while (told < PIPES) {
            OK(demi_wait_batch(qrs, 64, &count, &soon));
            for (int i = 0; i < count; i++) {
                assert_int_equal(qrs[i].qr_ret, POLLIN);
                get(qrs[i].qr_qd); /* would fail if one were told twice */
            }
            told += count;
        }
    }
    for (int i = 0; i < PIPES; i++) pipe_close(e[i]);
}

static void test_errno_is_left_alone(void **state)
{
    demi_qtoken_t qt;
    errno = 4711;
    demi_poll_fd(&qt, -1, POLLIN);
    demi_poll_fd(&qt, 1 << 20, POLLIN);
    assert_int_equal(errno, 4711);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_each_event_is_told_once_it_is_there),
        demi_unit_test(test_a_sockets_events_are_polls_own),
        demi_unit_test(test_several_may_wait_for_one),
        demi_unit_test(test_a_thread_that_sleeps_is_woken),
        demi_unit_test(test_a_task_waits_for_one),
        demi_unit_test(test_it_stands_beside_other_operations),
        demi_unit_test(test_the_other_loops_descriptor_tells_of_it),
        demi_unit_test(test_a_number_that_stands_for_another_file_is_noticed),
        demi_unit_test(test_a_descriptor_closed_too_early_harms_nobody),
        demi_unit_test(test_bad_use_is_refused),
        demi_unit_test(test_two_threads_may_wait_for_one_file),
        demi_unit_test(test_exit_and_fork_leave_the_descriptor_alone),
        demi_unit_test(test_many_are_waited_for_at_once),
        demi_unit_test(test_errno_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
