/* SPDX-License-Identifier: MIT
 *
 * Named pipes of shared memory between processes, and what a process that dies does to the other: bulk both ways,
 * many short connections, either side killed at any moment.
 */
#include "tests/demi/demi_test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define BULK (20u << 20)

static char name[64];

static void new_name(void)
{
    static unsigned count;
    snprintf(name, sizeof name, "test %d %u", (int)getpid(), count++);
}

static int init_shm(void) { return demi_init_with("shm", NULL); }

/* Runs fn in a child of its own runtime. */
static pid_t child(int (*fn)(void *), void *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid) return pid;
    alarm(100);
    _exit(init_shm() ? 99 : fn(arg));
}

static void ended_with(pid_t pid, int code)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static uint64_t digest(uint64_t h, const void *p, size_t n)
{
    const unsigned char *bytes = p;
    for (size_t i = 0; i < n; i++) h = (h ^ bytes[i]) * 0x100000001b3u;
    return h;
}

/* Both directions at once, BULK bytes each, of odd sizes; returns the digest of what came, 0 if something was wrong. */
static uint64_t exchange(int qd, unsigned seed, uint64_t *sent)
{
    uint64_t came = 1;
    size_t out = 0, in = 0;
    demi_qtoken_t push = 0, pop;
    demi_qresult_t qr;
    *sent = 1;
    if (demi_pop(&pop, qd)) return 0;
    while (out < BULK || in < BULK || push) {
        if (!push && out < BULK) {
            size_t n = 1 + (seed = seed * 1664525u + 1013904223u) % 60000;
            if (n > BULK - out) n = BULK - out;
            demi_sgarray_t sga = demi_sgaalloc(n);
            if (!sga.sga_buf) return 0;
            unsigned char *bytes = sga.sga_segs[0].sgaseg_buf;
            for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)(seed >> (i % 24));
            *sent = digest(*sent, bytes, n);
            if (demi_push(&push, qd, &sga)) return 0;
            demi_sgafree(&sga);
            out += n;
        }
        demi_qtoken_t qts[2] = {push ? push : pop, pop};
        int which;
        if (demi_wait_any(&qr, &which, push ? qts : qts + 1, push && in < BULK ? 2 : 1, &soon)) return 0;
        if (qr.qr_opcode == DEMI_OPC_PUSH) push = 0;
        else if (qr.qr_opcode != DEMI_OPC_POP) return 0;
        if (qr.qr_opcode != DEMI_OPC_POP) continue;
        size_t n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
        came = digest(came, qr.qr_value.sga.sga_segs[0].sgaseg_buf, n);
        in += n;
        demi_sgafree(&qr.qr_value.sga);
        if (!n || (in < BULK && demi_pop(&pop, qd))) return 0;
    }
    return came;
}

struct shared {
    uint64_t sent, came;
};

static int open_and_exchange(void *arg)
{
    struct shared *s = arg;
    int qd;
    for (int i = 0; demi_open_pipe(&qd, name); i++) {
        if (i > 5000) return 1;
        usleep(2000);
    }
    s->came = exchange(qd, 7, &s->sent);
    return demi_close(qd) || demi_exit();
}

static void test_bulk_both_ways_between_two_processes(void **state)
{
    struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t sent;
    int qd;
    new_name();
    pid_t pid = child(open_and_exchange, s);
    OK(init_shm());
    OK(demi_create_pipe(&qd, name));
    FAILS(EEXIST, demi_create_pipe(&(int){0}, name));
    uint64_t came = exchange(qd, 3, &sent);
    pop_end(qd);
    ended_with(pid, 0);
    assert_true(came == s->sent);
    assert_true(s->came == sent);
    OK(demi_close(qd));
    OK(demi_exit());
    munmap(s, sizeof *s);
}

static void test_a_pipe_within_one_process(void **state)
{
    int a, b, c;
    new_name();
    OK(init_shm());
    FAILS(ENOENT, demi_open_pipe(&b, name));
    OK(demi_create_pipe(&a, name));
    wait_ok(push_pattern(a, 5000, 1), DEMI_OPC_PUSH); /* waits in the memory */
    OK(demi_open_pipe(&b, name));
    demi_qtoken_t early = push_pattern(b, 3000, 2); /* before the memory has come */
    pop_pattern(b, 5000, 1);
    pop_pattern(a, 3000, 2);
    wait_ok(early, DEMI_OPC_PUSH);
    FAILS(EBUSY, demi_open_pipe(&c, name));
    push_pattern(b, 10, 3);
    OK(demi_close(b));
    pop_pattern(a, 10, 3);
    pop_end(a);
    OK(demi_close(a));
    FAILS(ENOENT, demi_open_pipe(&b, name));
    char *much = malloc(256);
    memset(much, 'x', 255);
    much[255] = 0;
    OK(demi_create_pipe(&a, much));
    OK(demi_open_pipe(&b, much));
    much[254] = 'y';
    FAILS(ENOENT, demi_open_pipe(&c, much));
    free(much);
    OK(demi_exit());
}

static struct sockaddr_in at;

/* An echo server without end. */
static int serve(void *arg)
{
    int listener;
    demi_qtoken_t qt;
    if (demi_socket(&listener, AF_INET, SOCK_STREAM, 0) || demi_bind(listener, ADDR(&at)) ||
        demi_listen(listener, 1000))
        return 1;
    for (int i = 0; i < 16; i++) demi_accept(&qt, listener);
    for (;;) {
        demi_qresult_t qrs[16];
        int count;
        if (demi_wait_batch(qrs, 16, &count, NULL)) return 2;
        for (int i = 0; i < count; i++) {
            demi_sgarray_t *sga = &qrs[i].qr_value.sga;
            if (qrs[i].qr_opcode == DEMI_OPC_ACCEPT) {
                demi_pop(&qt, qrs[i].qr_value.ares.qd);
                demi_accept(&qt, listener);
            } else if (qrs[i].qr_opcode == DEMI_OPC_POP) {
                bool end = !sga->sga_segs[0].sgaseg_len;
                if (!end) demi_push(&qt, qrs[i].qr_qd, sga), demi_pop(&qt, qrs[i].qr_qd);
                else demi_close(qrs[i].qr_qd);
                demi_sgafree(sga);
            } else if (qrs[i].qr_opcode == DEMI_OPC_FAILED && qrs[i].qr_ret != ECANCELED) {
                demi_close(qrs[i].qr_qd);
            }
        }
    }
}

static int connect_to(int *qd)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    OK(demi_socket(qd, AF_INET, SOCK_STREAM, 0));
    OK(demi_connect(&qt, *qd, ADDR(&at)));
    OK(demi_wait(&qr, qt, &soon));
    return qr.qr_opcode == DEMI_OPC_CONNECT ? 0 : (int)qr.qr_ret;
}

static void connect_patiently(int *qd)
{
    for (int i = 0; connect_to(qd); i++) {
        OK(demi_close(*qd));
        assert_true(i < 5000);
        usleep(2000);
    }
}

static void begin_serving(pid_t *pid)
{
    OK(init_shm());
    int qd = socket_bound(SOCK_STREAM, &at);
    OK(demi_close(qd));
    *pid = child(serve, NULL);
}

static void end_serving(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    OK(demi_exit());
}

static void test_thousands_of_short_connections(void **state)
{
    pid_t pid;
    begin_serving(&pid);
    for (unsigned i = 0; i < 3000; i++) {
        int qd;
        connect_patiently(&qd);
        push_pattern(qd, 1 + i % 3000, i);
        pop_pattern(qd, 1 + i % 3000, i);
        OK(demi_close(qd));
    }
    end_serving(pid);
}

static void test_a_thousand_connections_at_once(void **state)
{
    enum { COUNT = 1000 };
    static int qds[COUNT];
    pid_t pid;
    begin_serving(&pid);
    for (int i = 0; i < COUNT; i++) connect_patiently(&qds[i]);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++) push_pattern(qds[i], 100, i + round);
        for (unsigned i = 0; i < COUNT; i++) pop_pattern(qds[i], 100, i + round);
    }
    end_serving(pid);
}

static void test_a_killed_peer_is_a_reset_at_once(void **state)
{
    for (unsigned i = 0; i < 30; i++) {
        demi_qtoken_t pop;
        pid_t pid;
        int qd;
        begin_serving(&pid);
        connect_patiently(&qd);
        for (unsigned k = 0; k < i; k++) push_pattern(qd, 3000 * (k % 7) + 1, k);
        OK(demi_pop(&pop, qd));
        usleep(i * 200);
        kill(pid, SIGKILL);
        for (;;) { /* what had come, and then the reset */
            demi_qresult_t qr = wait_for(pop);
            if (qr.qr_opcode == DEMI_OPC_FAILED) {
                assert_int_equal(qr.qr_ret, ECONNRESET);
                break;
            }
            assert_int_not_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 0);
            OK(demi_sgafree(&qr.qr_value.sga));
            OK(demi_pop(&pop, qd));
        }
        end_serving(pid);
    }
}

static int connect_and_push_on(void *arg)
{
    int qd;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    if (demi_socket(&qd, AF_INET, SOCK_STREAM, 0) || demi_connect(&qt, qd, ADDR(&at)) || demi_wait(&qr, qt, &soon))
        return 1;
    for (;;) {
        demi_sgarray_t sga = demi_sgaalloc(5000);
        memset(sga.sga_segs[0].sgaseg_buf, 1, 5000);
        if (demi_push(&qt, qd, &sga)) return 2;
        demi_sgafree(&sga);
        if (demi_wait(&qr, qt, NULL)) return 3;
    }
}

static void test_clients_that_are_killed_leave_a_server_that_serves(void **state)
{
    pid_t pid;
    int qd;
    begin_serving(&pid);
    connect_patiently(&qd);
    for (unsigned i = 0; i < 40; i++) {
        pid_t victim = child(connect_and_push_on, NULL);
        usleep(1000 + i * 300);
        kill(victim, SIGKILL);
        waitpid(victim, NULL, 0);
    }
    push_pattern(qd, 20000, 5);
    pop_pattern(qd, 20000, 5);
    end_serving(pid);
}

/* --- whoever opens, and asks until there is something to open ---------------------------------------------------- */

#define MADE 2000

static int open_as_they_come(void *arg)
{
    char numbered[80];
    const struct timespec none = {0, 0};
    for (int i = 0; i < MADE; i++) {
        int qd, error, count;
        demi_qresult_t qr;
        snprintf(numbered, sizeof numbered, "%s %d", name, i);
        while ((error = demi_open_pipe(&qd, numbered)) == ENOENT) demi_wait_batch(&qr, 1, &count, &none);
        if (error) return error; /* EBUSY: nobody else opens it */
        if (demi_close(qd)) return 98;
    }
    return demi_exit();
}

static void test_who_asks_for_a_pipe_until_it_is_there_disturbs_nobody(void **state)
{
    char numbered[80];
    new_name();
    OK(init_shm());
    pid_t pid = child(open_as_they_come, NULL);
    for (int i = 0; i < MADE; i++) {
        int qd;
        snprintf(numbered, sizeof numbered, "%s %d", name, i);
        OK(demi_create_pipe(&qd, numbered));
        pop_end(qd); /* the other end has been there */
        OK(demi_close(qd));
    }
    ended_with(pid, 0);
    OK(demi_exit());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_pipe_within_one_process),
        cmocka_unit_test(test_bulk_both_ways_between_two_processes),
        cmocka_unit_test(test_who_asks_for_a_pipe_until_it_is_there_disturbs_nobody),
        cmocka_unit_test(test_thousands_of_short_connections),
        cmocka_unit_test(test_a_thousand_connections_at_once),
        cmocka_unit_test(test_a_killed_peer_is_a_reset_at_once),
        cmocka_unit_test(test_clients_that_are_killed_leave_a_server_that_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
