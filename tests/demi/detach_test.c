/* SPDX-License-Identifier: MIT
 *
 * A library OS that goes from thread to thread (demi_detach(), demi_attach()), and demi_flush().
 */
#include "tests/demi/demi_test.h"

#include <pthread.h>

static struct demi_detached detached;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void test_without_one_there_is_nothing_to_detach(void **state)
{
    struct demi_detached none = {0};
    assert_int_equal(demi_detach(&none), ENOSYS);
    assert_int_equal(demi_detach(NULL), EINVAL);
    assert_int_equal(demi_attach(NULL), EINVAL);
    assert_int_equal(demi_attach(&none), EINVAL);
    assert_int_equal(demi_flush(), ENOSYS);
}

/* Takes what is pushed on a queue in memory, once each thread. */
static void *pop_one(void *arg)
{
    int qd = *(int *)arg;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    pthread_mutex_lock(&lock);
    assert_int_equal(demi_attach(&detached), 0);
    assert_int_equal(demi_attach(&detached), EEXIST);
    assert_int_equal(demi_pop(&qt, qd), 0);
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_POP);
    assert_int_equal(*(char *)qr.qr_value.sga.sga_segs[0].sgaseg_buf, 'x');
    assert_int_equal(demi_sgafree(&qr.qr_value.sga), 0);
    void *p = demi_malloc(1000); /* its heap is here, too */
    assert_non_null(p);
    demi_free(p);
    assert_int_equal(demi_detach(&detached), 0);
    assert_int_equal(demi_pop(&qt, qd), ENOSYS);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void *begin(void *arg)
{
    assert_int_equal(demi_init_with("posix", NULL), 0);
    assert_int_equal(demi_queue(arg), 0);
    assert_int_equal(demi_detach(&detached), 0);
    return NULL;
}

static void test_it_outlives_its_thread_and_serves_others(void **state)
{
    int qd;
    pthread_t first, threads[4];
    assert_int_equal(pthread_create(&first, NULL, begin, &qd), 0);
    pthread_join(first, NULL);
    for (int round = 0; round < 20; round++) {
        assert_int_equal(demi_attach(&detached), 0);
        for (int i = 0; i < 4; i++) {
            demi_qtoken_t qt;
            demi_sgarray_t sga = demi_sgaalloc(100);
            *(char *)sga.sga_segs[0].sgaseg_buf = 'x';
            assert_int_equal(demi_push(&qt, qd, &sga), 0);
            assert_int_equal(demi_sgafree(&sga), 0);
        }
        assert_int_equal(demi_flush(), 0);
        assert_int_equal(demi_detach(&detached), 0);
        for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, pop_one, &qd), 0);
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    }
    assert_int_equal(demi_attach(&detached), 0);
    assert_int_equal(demi_close(qd), 0);
    assert_int_equal(demi_exit(), 0);
}

static int64_t try_to_detach(void *arg)
{
    struct demi_detached none = {0};
    return demi_detach(&none);
}

static void test_a_task_cannot_leave_its_stack(void **state)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    assert_int_equal(demi_init_with("posix", NULL), 0);
    assert_int_equal(demi_spawn(&qt, try_to_detach, NULL, 0), 0);
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
    assert_int_equal(qr.qr_ret, EBUSY);
    assert_int_equal(demi_exit(), 0);
}

static void test_a_flush_sends_without_a_wait(void **state)
{
    demi_qtoken_t qt;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof addr;
    int l = socket(AF_INET, SOCK_STREAM, 0), qd;
    char some[8];
    assert_int_equal(bind(l, (struct sockaddr *)&addr, n), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&addr, &n), 0);
    assert_int_equal(demi_init_with("posix", NULL), 0);
    assert_int_equal(demi_socket(&qd, AF_INET, SOCK_STREAM, 0), 0);
    demi_qresult_t qr;
    assert_int_equal(demi_connect(&qt, qd, (struct sockaddr *)&addr, n), 0);
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
    int a = accept(l, NULL, NULL);
    char hello[] = "hello";
    assert_int_equal(demi_pushv(&qt, qd, &(struct iovec){hello, 5}, 1, DEMI_PUSH_NO_TOKEN), 0);
    assert_int_equal(recv(a, some, sizeof some, MSG_DONTWAIT), -1);
    assert_int_equal(demi_flush(), 0);
    assert_int_equal(recv(a, some, sizeof some, MSG_DONTWAIT), 5);
    close(a);
    close(l);
    assert_int_equal(demi_exit(), 0);
}

static void test_a_socket_connects_after_a_failure(void **state)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof addr;
    int l = socket(AF_INET, SOCK_STREAM, 0), qd;
    assert_int_equal(bind(l, (struct sockaddr *)&addr, n), 0);
    assert_int_equal(getsockname(l, (struct sockaddr *)&addr, &n), 0);
    assert_int_equal(demi_init_with("posix", NULL), 0);
    assert_int_equal(demi_socket(&qd, AF_INET, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_connect(&qt, qd, (struct sockaddr *)&addr, n), 0);
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
    assert_int_equal(qr.qr_ret, ECONNREFUSED);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(demi_connect(&qt, qd, (struct sockaddr *)&addr, n), 0);
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_CONNECT);
    close(l);
    assert_int_equal(demi_exit(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_one_there_is_nothing_to_detach),
        cmocka_unit_test(test_it_outlives_its_thread_and_serves_others),
        cmocka_unit_test(test_a_task_cannot_leave_its_stack),
        cmocka_unit_test(test_a_flush_sends_without_a_wait),
        cmocka_unit_test(test_a_socket_connects_after_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
