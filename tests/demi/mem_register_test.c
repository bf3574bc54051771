/* SPDX-License-Identifier: MIT
 *
 * demi_mem_register() and demi_sgawrap(): memory of the program's own is pushed as it lies, and is the program's again
 * when nothing needs it. On kernel sockets and on our own stack alike; what a queue in memory brings shows that nothing
 * was copied.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* More than sockets hold: what a sender has on its way grows with what the kernel remembers of a peer (tcp_metrics). */
#define SIZE ((size_t)16 << 20)
#define PART 60000u

static unsigned char *memory;

static void fill(unsigned char *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)((seed + i) % 251);
}

static int with_memory(void **state)
{
    memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || test_setup(state)) return -1;
    fill(memory, SIZE, 0);
    return demi_mem_register(memory, SIZE);
}

static int without(void **state)
{
    int err = test_teardown(state);
    demi_mem_unregister(memory); /* some tests do so themselves */
    return munmap(memory, SIZE) || err;
}

static demi_qtoken_t push_memory(int qd, size_t at, size_t n)
{
    demi_qtoken_t qt;
    struct iovec iov = {memory + at, n};
    OK(demi_pushv(&qt, qd, &iov, 1, 0));
    return qt;
}

static void test_a_queue_in_memory_brings_the_very_bytes(void **state)
{
    int qd;
    demi_qtoken_t qt;
    OK(demi_queue(&qd));
    wait_ok(push_memory(qd, 100, PART), DEMI_OPC_PUSH);
    FAILS(EBUSY, demi_mem_unregister(memory)); /* it lies in the queue */
    OK(demi_pop(&qt, qd));
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
    assert_ptr_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, memory + 100);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, PART);
    FAILS(EBUSY, demi_mem_unregister(memory)); /* it is an array of ours */
    OK(demi_sgafree(&qr.qr_value.sga));
    OK(demi_mem_unregister(memory));
    wait_ok(push_memory(qd, 100, PART), DEMI_OPC_PUSH); /* a copy, as of any other memory */
    OK(demi_pop(&qt, qd));
    qr = wait_ok(qt, DEMI_OPC_POP);
    assert_ptr_not_equal(qr.qr_value.sga.sga_segs[0].sgaseg_buf, memory + 100);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, PART, 100);
    OK(demi_sgafree(&qr.qr_value.sga));
}

static void test_what_a_stream_has_not_sent_is_held(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t qts[SIZE / PART];
    demi_qresult_t qr;
    unsigned count = 0;
    for (size_t at = 0; at + PART <= SIZE; at += PART) qts[count++] = push_memory(p.client, at, PART);
    FAILS(ETIMEDOUT, demi_wait(&qr, qts[count - 1], &now));
    FAILS(EBUSY, demi_mem_unregister(memory));
    pop_pattern(p.server, (size_t)count * PART, 0);
    for (unsigned i = 0; i < count; i++) wait_ok(qts[i], DEMI_OPC_PUSH);
    OK(demi_mem_unregister(memory));
    pair_close(&p);
}

static void test_a_connection_that_ends_lets_go(void **state)
{
    struct linger hard = {1, 0};
    struct pair p = pair_new();
    demi_qtoken_t last = 0;
    for (size_t at = 0; at + PART <= SIZE; at += PART) last = push_memory(p.client, at, PART);
    FAILS(EBUSY, demi_mem_unregister(memory));
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &hard, sizeof hard));
    OK(demi_close(p.client));
    wait_failed(last);
    OK(demi_close(p.server));
    OK(demi_close(p.listener));
    const struct timespec turn = {0, 1000000};
    demi_qresult_t qr;
    int err = EBUSY, n; /* what the stack had sent to itself is on its way for a turn or two */
    for (int i = 0; err == EBUSY && i < 2000; i++) {
        demi_wait_batch(&qr, 1, &n, &turn);
        err = demi_mem_unregister(memory);
    }
    OK(err);
}

static void test_the_end_of_a_runtime_lets_go(void **state)
{
    int qd;
    OK(demi_queue(&qd));
    for (int i = 0; i < 10; i++) push_memory(qd, 0, PART);
    demi_sgarray_t sga = demi_sgawrap(memory, SIZE);
    assert_int_equal(sga.sga_numsegs, 1);
    FAILS(EBUSY, demi_mem_unregister(memory));
    OK(demi_exit());
    OK(demi_mem_unregister(memory)); /* which needs no runtime */
    OK(demi_mem_register(memory, SIZE));
    OK(demi_init(NULL));
    FAILS(EINVAL, demi_sgafree(&sga));
}

static void test_small_pushes_are_copied_at_once(void **state)
{
    int qd;
    OK(demi_queue(&qd));
    push_memory(qd, 0, 2048);
    OK(demi_mem_unregister(memory));
}

static void test_an_array_over_memory_is_pushed_like_any_other(void **state)
{
    struct pair p = pair_new();
    demi_qtoken_t qt;
    demi_sgarray_t sga = demi_sgawrap(memory + 1000, 100000), again = sga;
    assert_ptr_equal(sga.sga_segs[0].sgaseg_buf, memory + 1000);
    assert_int_equal(sga.sga_segs[0].sgaseg_len, 100000);
    sga.sga_segs[0].sgaseg_buf = memory + 1000 + 7; /* trimmed, as arrays may be */
    sga.sga_segs[0].sgaseg_len = 90000;
    OK(demi_push(&qt, p.client, &sga));
    sga.sga_segs[0].sgaseg_buf = memory + 500; /* and not beyond their ends, though that is registered, too */
    FAILS(EINVAL, demi_push(&qt, p.client, &sga));
    OK(demi_sgafree(&sga));
    FAILS(EINVAL, demi_sgafree(&again));
    pop_pattern(p.server, 90000, 1007);
    wait_ok(qt, DEMI_OPC_PUSH);
    memory[1007] = 99; /* is the program's still */
    OK(demi_mem_unregister(memory));
    pair_close(&p);
}

static void test_a_datagram_and_a_file_take_it_as_it_lies(void **state)
{
    struct sockaddr_in to;
    char path[] = "/tmp/demi-memory-XXXXXX";
    int file = mkstemp(path), receiver = socket_bound(SOCK_DGRAM, &to), sender = socket_new(SOCK_DGRAM), qd;
    demi_qtoken_t qt, pop;
    demi_sgarray_t sga = demi_sgawrap(memory, 4000);
    OK(demi_pop(&pop, receiver));
    OK(demi_pushto(&qt, sender, &sga, ADDR(&to)));
    wait_ok(qt, DEMI_OPC_PUSH);
    demi_qresult_t qr = wait_ok(pop, DEMI_OPC_POP);
    assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, 4000);
    bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, 4000, 0);
    OK(demi_sgafree(&qr.qr_value.sga));
    OK(demi_sgafree(&sga));
    OK(demi_open(&qd, path, O_RDWR, 0));
    wait_ok(push_memory(qd, 251, 1000000), DEMI_OPC_PUSH);
    OK(demi_mem_unregister(memory));
    unsigned char *copy = malloc(1000000);
    assert_int_equal(read(file, copy, 1000000), 1000000);
    bytes_check(copy, 1000000, 0);
    free(copy);
    close(file);
    unlink(path);
}

struct parts {
    struct sockaddr_in at;
    intptr_t wrong;
};

/* Pushes what the main thread has registered. */
static void *push_elsewhere(void *arg)
{
    struct parts *parts = arg;
    demi_qtoken_t qt, pop;
    demi_qresult_t qr;
    int qd;
    struct iovec iov = {memory, PART};
    parts->wrong += demi_init_with(test_libos(), NULL) != 0;
    parts->wrong += demi_queue(&qd) != 0 || demi_pushv(&qt, qd, &iov, 1, 0) != 0;
    parts->wrong += demi_mem_unregister(memory) != EBUSY;
    parts->wrong += demi_pop(&pop, qd) != 0 || demi_wait(&qr, pop, &soon) != 0;
    parts->wrong += qr.qr_value.sga.sga_segs[0].sgaseg_buf != memory;
    parts->wrong += demi_sgafree(&qr.qr_value.sga) != 0;
    parts->wrong += demi_mem_unregister(memory) != 0 || demi_mem_register(memory, SIZE) != 0;
    parts->wrong += demi_sgawrap(memory, PART).sga_numsegs != 1; /* and leaves without giving that back */
    parts->wrong += demi_exit() != 0;
    return NULL;
}

static void test_every_thread_knows_what_one_has_registered(void **state)
{
    struct parts parts = {.wrong = 0};
    pthread_t thread;
    OK(pthread_create(&thread, NULL, push_elsewhere, &parts));
    OK(pthread_join(thread, NULL));
    assert_int_equal(parts.wrong, 0);
    OK(demi_mem_unregister(memory));
}

static void *free_elsewhere(void *arg)
{
    demi_sgarray_t *sga = arg;
    demi_qtoken_t qt;
    intptr_t wrong = 0;
    int qd;
    wrong += demi_sgafree(sga) != ENOSYS;
    wrong += demi_init_with(test_libos(), NULL) != 0;
    demi_sgarray_t own = demi_sgaalloc(100); /* whose place may be the same */
    wrong += demi_sgafree(sga) != EINVAL;
    wrong += demi_queue(&qd) != 0 || demi_push(&qt, qd, sga) != EINVAL;
    wrong += sga->sga_numsegs != 1 || demi_sgafree(&own) != 0;
    wrong += demi_exit() != 0;
    return (void *)wrong;
}

static void test_an_array_of_another_thread_is_refused(void **state)
{
    demi_sgarray_t all[] = {sga_pattern(5000, 3), demi_sgawrap(memory, 5000)};
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *wrong;
        OK(pthread_create(&thread, NULL, free_elsewhere, &all[i]));
        OK(pthread_join(thread, &wrong));
        assert_int_equal((intptr_t)wrong, 0);
        bytes_check(all[i].sga_segs[0].sgaseg_buf, 5000, i ? 0 : 3);
        OK(demi_sgafree(&all[i])); /* here it is one */
    }
    OK(demi_mem_unregister(memory));
}

static void test_bad_use_is_refused(void **state)
{
    int local = 0;
    void *object = demi_malloc(100000);
    FAILS(EEXIST, demi_mem_register(memory, SIZE));
    FAILS(EEXIST, demi_mem_register(memory + 4096, 4096));
    FAILS(EINVAL, demi_mem_register(NULL, 4096));
    FAILS(EINVAL, demi_mem_register(memory, 0));
    FAILS(EINVAL, demi_mem_register(memory + 8, 4096));
    FAILS(EINVAL, demi_mem_register(memory, 5000));
    FAILS(E2BIG, demi_mem_register(memory, SIZE_MAX - 4095));
    FAILS(EFAULT, demi_mem_register((void *)4096, 4096));
    FAILS(EEXIST, demi_mem_register((void *)((uintptr_t)object & ~(uintptr_t)4095), 4096));
    FAILS(ENOENT, demi_mem_unregister(NULL));
    FAILS(ENOENT, demi_mem_unregister(memory + 4096));
    FAILS(ENOENT, demi_mem_unregister(&local));
    const struct {
        void *p;
        size_t n;
    } none[] = {{NULL, 1},          {memory, 0},        {memory - 1, 1}, {memory, SIZE + 1}, {memory + SIZE - 1, 2},
                {memory + SIZE, 1}, {memory, SIZE_MAX}, {&local, 4},     {object, 100}};
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++) {
        demi_sgarray_t sga = demi_sgawrap(none[i].p, none[i].n);
        assert_true(!sga.sga_numsegs && !sga.sga_buf);
    }
    errno = 4711;
    demi_mem_register((void *)4096, 4096);
    demi_mem_unregister(NULL);
    assert_int_equal(errno, 4711);
    OK(demi_mem_unregister(memory)); /* nothing of this has held it */
    FAILS(ENOENT, demi_mem_unregister(memory));
    demi_free(object);
}

static void test_after_exit_and_in_a_child(void **state)
{
    demi_sgarray_t sga = demi_sgawrap(memory, 100);
    assert_int_equal(sga.sga_numsegs, 1);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        int right = demi_sgawrap(memory, 100).sga_numsegs == 0 && demi_mem_unregister(memory) == ENOENT;
        right = right && demi_mem_register(memory, SIZE) == 0 && demi_init(NULL) == 0;
        right = right && demi_sgafree(&sga) == EINVAL;
        sga = demi_sgawrap(memory, 100);
        right = right && sga.sga_numsegs == 1 && demi_mem_unregister(memory) == EBUSY && demi_sgafree(&sga) == 0;
        _exit(right && demi_exit() == 0 && demi_mem_unregister(memory) == 0 ? 3 : 4);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    FAILS(EBUSY, demi_mem_unregister(memory)); /* the parent's is as it was */
    OK(demi_exit());
    assert_int_equal(demi_sgawrap(memory, 100).sga_numsegs, 0);
    OK(demi_init(NULL));
    OK(demi_mem_unregister(memory));
}

static int64_t register_deep(void *arg) { return demi_mem_unregister(memory) || demi_mem_register(memory, SIZE); }

static void test_a_task_may_register(void **state)
{
    demi_qtoken_t qt;
    OK(demi_spawn(&qt, register_deep, NULL, 0));
    assert_int_equal(wait_ok(qt, DEMI_OPC_TASK).qr_ret, 0);
}

#define memory_test(f) cmocka_unit_test_setup_teardown(f, with_memory, without)

int main(void)
{
    const struct CMUnitTest tests[] = {
        memory_test(test_a_queue_in_memory_brings_the_very_bytes),
        memory_test(test_what_a_stream_has_not_sent_is_held),
        memory_test(test_a_connection_that_ends_lets_go),
        memory_test(test_the_end_of_a_runtime_lets_go),
        memory_test(test_small_pushes_are_copied_at_once),
        memory_test(test_an_array_over_memory_is_pushed_like_any_other),
        memory_test(test_a_datagram_and_a_file_take_it_as_it_lies),
        memory_test(test_every_thread_knows_what_one_has_registered),
        memory_test(test_an_array_of_another_thread_is_refused),
        memory_test(test_bad_use_is_refused),
        memory_test(test_after_exit_and_in_a_child),
        memory_test(test_a_task_may_register),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
