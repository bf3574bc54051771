/* SPDX-License-Identifier: MIT
 *
 * A process that forks: the child begins with nothing of the library's, and whatever it does leaves the parent alone.
 * cmocka's asserts are the parent's; a child tells by its exit status which of its lines was wrong.
 */
#include "tests/demi/demi_test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#define CHECK(fact)                                                                                                    \
    do {                                                                                                               \
        if (!(fact)) exit(__LINE__ % 200 + 2);                                                                         \
    } while (0)

static pid_t child_of(void (*run)(void *arg), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid) return pid;
    alarm(20);
    run(arg);
    exit(1); /* with what atexit() holds, as a program would */
}

static void ended_well(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

struct family {
    struct pair p;
    demi_qtoken_t qt;
    demi_sgarray_t sga;
    void *object;
    int in[2]; /* a pipe the parent closes to let the child go */
};

static void call_everything(void *arg)
{
    struct family *f = arg;
    demi_qresult_t qr;
    demi_qtoken_t qt;
    struct sockaddr_in addr = f->p.addr;
    int qd, n;
    CHECK(demi_socket(&qd, AF_INET, SOCK_STREAM, 0) == ENOSYS);
    CHECK(demi_push(&qt, f->p.client, &f->sga) == ENOSYS);
    CHECK(demi_pop(&qt, f->p.client) == ENOSYS);
    CHECK(demi_shutdown(f->p.client, SHUT_RDWR) == ENOSYS);
    CHECK(demi_close(f->p.client) == ENOSYS);
    CHECK(demi_bind(f->p.client, ADDR(&addr)) == ENOSYS);
    CHECK(demi_wait(&qr, f->qt, NULL) == ENOSYS);
    CHECK(demi_wait_batch(&qr, 1, &n, NULL) == ENOSYS);
    CHECK(demi_cancel(f->qt) == ENOSYS);
    CHECK(demi_sgafree(&f->sga) == ENOSYS);
    CHECK(demi_exit() == ENOSYS);
    CHECK(demi_libos_name() == NULL);
    char *p = demi_malloc(100000);
    CHECK(p);
    memset(p, 1, 100000);
    demi_free(p);
    demi_free(f->object); /* the child's copy of it */
}

static void test_a_childs_calls_and_exit_leave_the_parent_alone(void **state)
{
    struct family f = {.p = pair_new(), .sga = sga_pattern(100, 3), .object = demi_malloc(5000)};
    memset(f.object, 9, 5000);
    OK(demi_pop(&f.qt, f.p.server));
    demi_qtoken_t pushed = push_pattern(f.p.client, 1000, 7); /* has not left: the child must not send it either */
    ended_well(child_of(call_everything, &f));
    wait_ok(pushed, DEMI_OPC_PUSH);
    demi_qresult_t qr = wait_ok(f.qt, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 1000);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 1000, 7);
    OK(demi_sgafree(&qr.qr_value.sga));
    for (int i = 0; i < 5000; i++) assert_int_equal(((char *)f.object)[i], 9);
    demi_free(f.object);
    OK(demi_push(&pushed, f.p.server, &f.sga));
    OK(demi_sgafree(&f.sga));
    pop_pattern(f.p.client, 100, 3);
    pair_close(&f.p);
}

static void live_on(void *arg)
{
    struct family *f = arg;
    char c;
    close(f->in[1]);
    CHECK(read(f->in[0], &c, 1) == 0);
}

static void test_what_the_parent_closes_ends_while_the_child_lives(void **state)
{
    struct family f = {.p = pair_new()};
    struct sockaddr_in again = f.p.addr;
    OK(pipe(f.in));
    pid_t pid = child_of(live_on, &f);
    close(f.in[0]);
    OK(demi_close(f.p.client));
    pop_end(f.p.server);
    OK(demi_close(f.p.listener));
    int qd = socket_new(SOCK_STREAM); /* the port is free, too */
    OK(demi_bind(qd, ADDR(&again)));
    OK(demi_listen(qd, 1));
    close(f.in[1]);
    ended_well(pid);
}

static void begin_afresh(void *arg)
{
    struct family *f = arg;
    demi_qresult_t qr;
    demi_qtoken_t qt;
    int qd;
    CHECK(demi_init(NULL) == 0);
    CHECK(demi_init(NULL) == EEXIST);
    CHECK(demi_wait(&qr, f->qt, &now) == EINVAL);
    CHECK(demi_sgafree(&f->sga) == EINVAL);
    CHECK(demi_socket(&qd, AF_INET, SOCK_STREAM, 0) == 0);
    if (test_is_kernel()) { /* the parent serves */
        CHECK(demi_connect(&qt, qd, ADDR(&f->p.addr)) == 0 && demi_wait(&qr, qt, &soon) == 0);
        CHECK(qr.qr_opcode == DEMI_OPC_CONNECT);
        demi_sgarray_t sga = demi_sgaalloc(2000);
        for (int i = 0; i < 2000; i++) ((char *)sga.sga_segs[0].sgaseg_buf)[i] = (char)(i % 251);
        CHECK(demi_push(&qt, qd, &sga) == 0); /* and ends: atexit() is the child's, too */
    }
}

static void test_a_child_may_begin_afresh(void **state)
{
    struct family f = {.p = pair_new(), .sga = sga_pattern(10, 0)};
    demi_qtoken_t accepting;
    OK(demi_pop(&f.qt, f.p.server));
    pid_t pid = child_of(begin_afresh, &f);
    if (test_is_kernel()) {
        OK(demi_accept(&accepting, f.p.listener));
        int qd = wait_ok(accepting, DEMI_OPC_ACCEPT).qr_value.ares.qd;
        pop_pattern(qd, 2000, 0);
        pop_end(qd);
        OK(demi_close(qd));
    }
    ended_well(pid);
    OK(demi_cancel(f.qt));
    assert_int_equal(wait_failed(f.qt), ECANCELED);
    wait_ok(push_pattern(f.p.client, 50, 0), DEMI_OPC_PUSH);
    pop_pattern(f.p.server, 50, 0);
    OK(demi_sgafree(&f.sga));
    pair_close(&f.p);
}

static void fork_again(void *arg)
{
    CHECK(demi_init(NULL) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        int qd;
        CHECK(demi_queue(&qd) == ENOSYS);
        CHECK(demi_init(NULL) == 0);
        CHECK(demi_queue(&qd) == 0);
        CHECK(demi_exit() == 0);
        exit(1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 1);
    CHECK(demi_exit() == 0);
}

static void test_a_childs_child(void **state) { ended_well(child_of(fork_again, NULL)); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_a_childs_calls_and_exit_leave_the_parent_alone),
        demi_unit_test(test_what_the_parent_closes_ends_while_the_child_lives),
        demi_unit_test(test_a_child_may_begin_afresh),
        demi_unit_test(test_a_childs_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
