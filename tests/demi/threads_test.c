/* SPDX-License-Identifier: MIT
 *
 * One thread, one runtime: threads work side by side, and refuse each other's descriptors and tokens. cmocka's asserts
 * belong to the main thread, so the others report a number.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <pthread.h>

struct client {
    struct sockaddr_in server;
    unsigned seed;
    int rounds;
};

/* Sends rounds messages to an echo server and compares; returns how many came back right. */
static void *client_run(void *arg)
{
    const struct client *c = arg;
    intptr_t right = 0;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int qd;
    if (demi_init_with(test_libos(), NULL) || demi_socket(&qd, AF_INET, SOCK_STREAM, 0) ||
        demi_connect(&qt, qd, (const struct sockaddr *)&c->server, sizeof c->server) || demi_wait(&qr, qt, &soon) ||
        qr.qr_opcode != DEMI_OPC_CONNECT)
        return (void *)-1;
    for (int i = 0; i < c->rounds; i++) {
        demi_sgarray_t sga = demi_sgaalloc(sizeof(unsigned));
        if (!sga.sga_buf) return (void *)-2;
        unsigned word = c->seed + (unsigned)i;
        memcpy(sga.sga_segs[0].sgaseg_buf, &word, sizeof word);
        if (demi_push(&qt, qd, &sga) || demi_sgafree(&sga) || demi_wait(&qr, qt, &soon)) return (void *)-3;
        if (demi_pop(&qt, qd) || demi_wait(&qr, qt, &soon) || qr.qr_opcode != DEMI_OPC_POP) return (void *)-4;
        const demi_sgaseg_t *seg = &qr.qr_value.sga.sga_segs[0];
        right += seg->sgaseg_len == sizeof word && memcmp(seg->sgaseg_buf, &word, sizeof word) == 0;
        demi_sgafree(&qr.qr_value.sga);
    }
    if (demi_close(qd) || demi_exit()) return (void *)-5;
    return (void *)right;
}

static void test_threads_with_their_own_runtimes_talk(void **state)
{
    enum { CLIENTS = 4, ROUNDS = 200 };
    struct client clients[CLIENTS];
    pthread_t threads[CLIENTS];
    struct sockaddr_in addr;
    demi_qtoken_t qt;
    int listener = listener_new(&addr), ended = 0;
    OK(demi_accept(&qt, listener));
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){addr, i * 1000, ROUNDS};
        OK(pthread_create(&threads[i], NULL, client_run, &clients[i]));
    }
    while (ended < CLIENTS) {
        demi_qresult_t qrs[8];
        int count;
        OK(demi_wait_batch(qrs, 8, &count, &soon));
        for (int i = 0; i < count; i++) {
            demi_sgarray_t *sga = &qrs[i].qr_value.sga;
            assert_int_not_equal(qrs[i].qr_opcode, DEMI_OPC_FAILED);
            if (qrs[i].qr_opcode == DEMI_OPC_ACCEPT) {
                OK(demi_pop(&qt, qrs[i].qr_value.ares.qd));
                OK(demi_accept(&qt, listener));
            } else if (qrs[i].qr_opcode == DEMI_OPC_POP && sga->sga_segs[0].sgaseg_len == 0) {
                OK(demi_sgafree(sga));
                OK(demi_close(qrs[i].qr_qd));
                ended++;
            } else if (qrs[i].qr_opcode == DEMI_OPC_POP) {
                OK(demi_push(&qt, qrs[i].qr_qd, sga));
                OK(demi_sgafree(sga));
                OK(demi_pop(&qt, qrs[i].qr_qd));
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        void *right;
        OK(pthread_join(threads[i], &right));
        assert_int_equal((intptr_t)right, ROUNDS);
    }
}

struct foreign {
    demi_qtoken_t qt;
    int qd;
};

static void *foreign_use(void *arg)
{
    struct foreign *f = arg;
    demi_qresult_t qr;
    demi_qtoken_t own;
    intptr_t wrong = 0;
    int qd;
    wrong += demi_wait(&qr, f->qt, &now) != ENOSYS;
    wrong += demi_close(f->qd) != ENOSYS;
    wrong += demi_init_with(test_libos(), NULL) != 0;
    wrong += demi_wait(&qr, f->qt, &now) != EINVAL;
    wrong += demi_cancel(f->qt) != EINVAL;
    wrong += demi_close(f->qd) != EBADF;
    wrong += demi_pop(&own, f->qd) != EBADF;
    wrong += demi_queue(&qd) != 0 || demi_pop(&own, qd) != 0; /* whose slot may be the same */
    wrong += demi_wait(&qr, f->qt, &now) != EINVAL;
    wrong += demi_exit() != 0;
    return (void *)wrong;
}

static void test_descriptors_and_tokens_of_another_thread_are_refused(void **state)
{
    struct foreign f;
    demi_qresult_t qr;
    pthread_t thread;
    void *wrong;
    OK(demi_queue(&f.qd));
    OK(demi_pop(&f.qt, f.qd));
    OK(pthread_create(&thread, NULL, foreign_use, &f));
    OK(pthread_join(thread, &wrong));
    assert_int_equal((intptr_t)wrong, 0);
    FAILS(ETIMEDOUT, demi_wait(&qr, f.qt, &now));
}

static void *free_all(void *arg)
{
    void **all = arg;
    for (int i = 0; i < 1000; i++) demi_free(all[i]);
    return NULL;
}

static void test_another_thread_may_free(void **state)
{
    static void *all[1000];
    pthread_t thread;
    for (int i = 0; i < 1000; i++) {
        all[i] = demi_malloc(100);
        assert_non_null(all[i]);
        memset(all[i], i, 100);
    }
    OK(pthread_create(&thread, NULL, free_all, all));
    OK(pthread_join(thread, NULL));
    for (int i = 0; i < 1000; i++) {
        void *p = demi_malloc(100);
        assert_non_null(p);
        demi_free(p);
    }
}

static void *come_and_go(void *arg)
{
    intptr_t wrong = 0;
    for (int i = 0; i < 20; i++) {
        int qd;
        wrong += demi_init_with(test_libos(), NULL) != 0;
        wrong += demi_socket(&qd, AF_INET, SOCK_STREAM, 0) != 0;
        if (i % 2) wrong += demi_close(qd) != 0;
        wrong += demi_exit() != 0;
    }
    return (void *)wrong;
}

static void test_runtimes_come_and_go_beside_each_other(void **state)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) OK(pthread_create(&threads[i], NULL, come_and_go, NULL));
    for (int i = 0; i < 4; i++) {
        void *wrong;
        OK(pthread_join(threads[i], &wrong));
        assert_int_equal((intptr_t)wrong, 0);
    }
}

static int count_fds(void)
{
    int n = 0;
    for (int fd = 0; fd < 1024; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Ends in the middle of everything. */
static void *leave(void *arg)
{
    const struct sockaddr_in *server = arg;
    struct sockaddr_in any = loopback(0);
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int qd, listener, pipe[2];
    demi_sgarray_t sga;
    if (demi_init_with(test_libos(), NULL) || demi_socket(&listener, AF_INET, SOCK_STREAM, 0) ||
        demi_bind(listener, ADDR(&any)) || demi_listen(listener, 5) || demi_accept(&qt, listener) || demi_pipe(pipe) ||
        demi_pop(&qt, pipe[0]) || demi_timer(&qt, UINT64_MAX) || demi_socket(&qd, AF_INET, SOCK_STREAM, 0) ||
        demi_connect(&qt, qd, (const struct sockaddr *)server, sizeof *server) || demi_wait(&qr, qt, &soon))
        return (void *)1;
    sga = demi_sgaalloc(3000);
    memset(sga.sga_segs[0].sgaseg_buf, 7, 3000);
    return (void *)(intptr_t)(demi_push(&qt, qd, &sga) || demi_pop(&qt, qd));
}

static void test_a_thread_that_just_ends_leaves_nothing(void **state)
{
    struct sockaddr_in addr;
    int listener = listener_new(&addr), before = 0;
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        demi_qtoken_t qt;
        void *wrong;
        OK(demi_accept(&qt, listener));
        OK(pthread_create(&thread, NULL, leave, &addr));
        int qd = wait_ok(qt, DEMI_OPC_ACCEPT).qr_value.ares.qd;
        for (size_t got = 0, n = 1; n; got += n) { /* what was pushed arrives, and then the end */
            OK(demi_pop(&qt, qd));
            demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
            n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
            OK(demi_sgafree(&qr.qr_value.sga));
            if (!n) assert_int_equal(got, 3000);
        }
        OK(demi_close(qd));
        OK(pthread_join(thread, &wrong));
        assert_null(wrong);
        if (i == 0) before = count_fds();
    }
    assert_int_equal(count_fds(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_threads_with_their_own_runtimes_talk),
        demi_unit_test(test_descriptors_and_tokens_of_another_thread_are_refused),
        demi_unit_test(test_another_thread_may_free),
        demi_unit_test(test_a_thread_that_just_ends_leaves_nothing),
        demi_unit_test(test_runtimes_come_and_go_beside_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
