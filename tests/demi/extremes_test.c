/* SPDX-License-Identifier: MIT
 *
 * Every call at the ends of what its arguments can be: 0, 1, -1, INT_MIN, INT_MAX, UINT64_MAX, NULL, addresses that are
 * not aligned or not the library's, descriptors that were closed and tokens that were waited for. Each either works or
 * is refused, and after each sweep a connection still carries bytes. Wrong pointers that no callee can tell from right
 * ones (a wake-up that was freed, say) are not thrown: the manual pages say whose fault those are.
 *
 * Buffers are exactly as long as said, so that the address sanitizer sees who reads or writes beyond.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const int ints[] = {0,       1,   2,   -1,  INT_MIN, INT_MAX,        INT_MIN + 1,
                           0x10000, 499, 500, 501, 1 << 20, (1 << 20) + 500};
static const uint64_t longs[] = {
    0,          1,          UINT64_MAX, UINT64_MAX - 1,   UINT64_MAX - 1024, 1ull << 63, (1ull << 63) - 1,
    1ull << 32, UINT32_MAX, 1ull << 54, (1ull << 54) - 1, 0x0101010101010101};
static const size_t sizes[] = {SIZE_MAX,     SIZE_MAX - 1,     SIZE_MAX - 4095,
                               SIZE_MAX / 2, SIZE_MAX / 2 + 1, (size_t)1 << 47};

/* Whatever was done before: bytes still pass. */
static void still_works(void)
{
    struct pair p = pair_new();
    wait_ok(push_pattern(p.client, 5000, 1), DEMI_OPC_PUSH);
    pop_pattern(p.server, 5000, 1);
    pair_close(&p);
}

static int stale_qd(void)
{
    int qd = socket_new(SOCK_STREAM);
    OK(demi_close(qd));
    return qd;
}

static demi_qtoken_t stale_token(void)
{
    demi_qtoken_t qt;
    OK(demi_timer(&qt, 0));
    wait_ok(qt, DEMI_OPC_TIMER);
    return qt;
}

static void test_no_timer_is_too_far(void **state)
{
    demi_qtoken_t far[COUNT(longs)], near;
    demi_qresult_t qr;
    for (size_t i = 0; i < COUNT(longs); i++) OK(demi_timer(&far[i], longs[i]));
    OK(demi_timer(&near, 1000000));
    wait_ok(near, DEMI_OPC_TIMER);
    for (size_t i = 0; i < COUNT(longs); i++) {
        if (longs[i] < 2) {
            wait_ok(far[i], DEMI_OPC_TIMER);
            continue;
        }
        FAILS(ETIMEDOUT, demi_wait(&qr, far[i], &now));
        OK(demi_cancel(far[i]));
        assert_int_equal(wait_failed(far[i]), ECANCELED);
    }
    still_works();
}

static void test_no_timeout_is_too_long(void **state)
{
    static const int64_t seconds[] = {INT64_MAX, INT64_MAX - 1, INT64_MIN, -1, 0, 1, INT64_MAX / 1000000000};
    static const long nanos[] = {0, 1, -1, 999999999, 1000000000, LONG_MAX, LONG_MIN};
    for (size_t i = 0; i < COUNT(seconds); i++) {
        for (size_t k = 0; k < COUNT(nanos); k++) {
            const struct timespec ts = {(time_t)seconds[i], nanos[k]};
            bool valid = seconds[i] >= 0 && nanos[k] >= 0 && nanos[k] < 1000000000;
            demi_qresult_t qr;
            demi_qtoken_t qt;
            int offset, count;
            OK(demi_timer(&qt, 1000));
            int err = demi_wait(&qr, qt, &ts);
            if (!valid) assert_int_equal(err, EINVAL);
            else if (seconds[i] || nanos[k] > 1) assert_int_equal(err, 0); /* a timeout longer than the timer */
            OK(demi_timer(&qt, 1000));
            if (!valid) {
                FAILS(EINVAL, demi_wait_any(&qr, &offset, &qt, 1, &ts));
                FAILS(EINVAL, demi_wait_all(&qr, &qt, 1, &ts));
                FAILS(EINVAL, demi_wait_batch(&qr, 1, &count, &ts));
                FAILS(EINVAL, demi_wait_next_n(&qr, 1, &count, &ts));
            }
            while (!demi_wait_batch(&qr, 1, &count, &(const struct timespec){0, 10000000})) continue;
        }
    }
    still_works();
}

static void test_wrong_tokens_are_refused_by_every_wait(void **state)
{
    demi_qtoken_t bad[COUNT(longs) + 1], good;
    memcpy(bad, longs, sizeof longs);
    bad[COUNT(longs)] = stale_token();
    OK(demi_timer(&good, UINT64_MAX));
    for (size_t i = 0; i < COUNT(bad); i++) {
        demi_qtoken_t two[2] = {good, bad[i]};
        demi_qresult_t qr[2];
        int offset;
        FAILS(EINVAL, demi_wait(qr, bad[i], &now));
        FAILS(EINVAL, demi_wait_any(qr, &offset, two, 2, &now));
        FAILS(EINVAL, demi_wait_all(qr, two, 2, &now));
        FAILS(EINVAL, demi_cancel(bad[i]));
        FAILS(EINVAL, demi_set_data(bad[i], NULL));
        assert_null(demi_result_data(&(demi_qresult_t){.qr_qt = bad[i]}));
    }
    assert_null(demi_result_data(NULL));
    OK(demi_cancel(good));
    assert_int_equal(wait_failed(good), ECANCELED);
}

static void test_counts_of_waits(void **state)
{
    demi_qtoken_t qt = 0;
    demi_qresult_t qr;
    int n;
    for (size_t i = 0; i < COUNT(ints); i++) {
        if (ints[i] >= 0) continue;
        FAILS(EINVAL, demi_wait_any(&qr, &n, &qt, ints[i], &now));
        FAILS(EINVAL, demi_wait_all(&qr, &qt, ints[i], &now));
        FAILS(EINVAL, demi_wait_batch(&qr, ints[i], &n, &now));
        FAILS(EINVAL, demi_wait_next_n(&qr, ints[i], &n, &now));
    }
    FAILS(EINVAL, demi_wait_batch(&qr, 0, &n, &now));
    FAILS(EINVAL, demi_wait_next_n(&qr, 0, &n, &now));
    FAILS(EINVAL, demi_wait(NULL, stale_token(), &now));
    FAILS(EINVAL, demi_wait_any(NULL, &n, &qt, 1, &now));
    FAILS(EINVAL, demi_wait_any(&qr, NULL, &qt, 1, &now));
    FAILS(EINVAL, demi_wait_any(&qr, &n, NULL, 1, &now));
    FAILS(EINVAL, demi_wait_all(NULL, &qt, 1, &now));
    FAILS(EINVAL, demi_wait_all(&qr, NULL, 1, &now));
    FAILS(EINVAL, demi_wait_batch(NULL, 1, &n, &now));
    FAILS(EINVAL, demi_wait_batch(&qr, 1, NULL, &now));
    FAILS(EINVAL, demi_wait_next_n(NULL, 1, &n, &now));
    FAILS(EINVAL, demi_wait_next_n(&qr, 1, NULL, &now));
    OK(demi_timer(&qt, 0)); /* INT_MAX of room is no promise that it is looked at */
    OK(demi_wait_batch(&qr, INT_MAX, &n, &soon));
    assert_int_equal(n, 1);
}

static void test_descriptors_at_their_ends(void **state)
{
    struct sockaddr_in addr = loopback(0);
    demi_sgarray_t sga = sga_pattern(8, 0);
    struct iovec iov = {&addr, sizeof addr};
    socklen_t size = sizeof addr;
    demi_qtoken_t qt;
    size_t unsent;
    off_t at;
    int bad[COUNT(ints) + 1];
    memcpy(bad, ints, sizeof ints);
    bad[COUNT(ints)] = stale_qd();
    for (size_t i = 0; i < COUNT(bad); i++) {
        int qd = bad[i], value = 1;
        FAILS(EBADF, demi_bind(qd, ADDR(&addr)));
        FAILS(EBADF, demi_listen(qd, 1));
        FAILS(EBADF, demi_accept(&qt, qd));
        FAILS(EBADF, demi_connect(&qt, qd, ADDR(&addr)));
        FAILS(EBADF, demi_push(&qt, qd, &sga));
        FAILS(EBADF, demi_pushto(&qt, qd, &sga, ADDR(&addr)));
        FAILS(EBADF, demi_pushv(&qt, qd, &iov, 1, 0));
        FAILS(EBADF, demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_NO_TOKEN));
        FAILS(EBADF, demi_pop(&qt, qd));
        FAILS(EBADF, demi_close(qd));
        FAILS(EBADF, demi_shutdown(qd, SHUT_WR));
        FAILS(EBADF, demi_unsent(qd, &unsent));
        FAILS(EBADF, demi_setsockopt(qd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value));
        FAILS(EBADF, demi_getsockopt(qd, SOL_SOCKET, SO_KEEPALIVE, &value, &size));
        FAILS(EBADF, demi_getpeername(qd, (struct sockaddr *)&addr, &size));
        FAILS(EBADF, demi_getsockname(qd, (struct sockaddr *)&addr, &size));
        FAILS(EBADF, demi_lseek(qd, 0, SEEK_SET, &at));
        FAILS(EBADF, demi_truncate(&qt, qd, 0));
        FAILS(EBADF, demi_sync(&qt, qd, true));
        assert_int_equal(demi_queue_fd(qd), -1);
    }
    OK(demi_sgafree(&sga));
}

static void test_kinds_of_sockets(void **state)
{
    for (size_t d = 0; d < COUNT(ints); d++) {
        for (size_t t = 0; t < COUNT(ints); t++) {
            for (size_t p = 0; p < COUNT(ints); p++) {
                int qd = -1, err = demi_socket(&qd, ints[d], ints[t], ints[p]);
                assert_true(err >= 0);
                if (!err) OK(demi_close(qd));
            }
        }
    }
    int qd = socket_new(SOCK_STREAM);
    struct sockaddr_in addr = loopback(0);
    OK(demi_bind(qd, ADDR(&addr)));
    for (size_t i = 0; i < COUNT(ints); i++)
        if (ints[i] < 1) FAILS(EINVAL, demi_listen(qd, ints[i]));
    OK(demi_listen(qd, INT_MAX));
    for (size_t i = 0; i < COUNT(ints); i++) assert_int_not_equal(demi_shutdown(qd, ints[i]), 0);
}

static void test_addresses_of_every_length_and_family(void **state)
{
    static const socklen_t lengths[] = {0, 1, 2, 3, 15, 16, 17, 27, 28, 29, 109, 110, 111, 128, UINT32_MAX, INT32_MAX};
    static const int families[] = {0, AF_UNIX, AF_INET, AF_INET6, AF_PACKET, 0xffff};
    static const int kinds[][2] = {
        {AF_INET, SOCK_STREAM}, {AF_INET, SOCK_DGRAM}, {AF_INET6, SOCK_STREAM}, {AF_INET6, SOCK_DGRAM}};
    demi_sgarray_t sga = sga_pattern(8, 0);
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t i = 0; i < COUNT(lengths); i++) {
            for (size_t f = 0; f < COUNT(families); f++) {
                size_t given = lengths[i] < 128 ? lengths[i] : 128;
                struct sockaddr_storage full = {.ss_family = (sa_family_t)families[f]};
                char *odd = malloc(given + 2); /* exactly so long */
                const struct sockaddr *addr = (const struct sockaddr *)(odd + 2);
                int qd, err;
                demi_qtoken_t qt;
                memcpy(odd + 2, &full, given);
                OK(demi_socket(&qd, kinds[k][0], kinds[k][1], 0));
                err = demi_bind(qd, addr, lengths[i]);
                assert_true(err >= 0);
                err = demi_connect(&qt, qd, addr, lengths[i]);
                assert_true(err >= 0);
                err = demi_pushto(&qt, qd, &sga, addr, lengths[i]);
                assert_true(err >= 0);
                OK(demi_close(qd));
                free(odd);
            }
        }
    }
    OK(demi_sgafree(&sga));
    demi_qresult_t qr;
    int n;
    while (!demi_wait_batch(&qr, 1, &n, &now)) continue;
    still_works();
}

static void test_names_into_every_length(void **state)
{
    struct pair p = pair_new();
    for (socklen_t room = 0; room < 40; room++) {
        char *exact = malloc(room + !room);
        socklen_t size = room;
        int err = demi_getsockname(p.client, (struct sockaddr *)exact, &size);
        assert_int_equal(err, room < sizeof(struct sockaddr_in) ? EINVAL : 0);
        size = room;
        err = demi_getpeername(p.client, (struct sockaddr *)exact, &size);
        assert_int_equal(err, room < sizeof(struct sockaddr_in) ? EINVAL : 0);
        free(exact);
    }
    struct sockaddr_in addr;
    socklen_t size = UINT32_MAX;
    OK(demi_getsockname(p.client, (struct sockaddr *)&addr, &size));
    assert_int_equal(size, sizeof addr);
    pair_close(&p);
}

static void sweep_options(int qd)
{
    static const int levels[] = {SOL_SOCKET, IPPROTO_TCP, IPPROTO_IP, IPPROTO_IPV6, -1, INT_MIN, INT_MAX, 0x7777};
    static const socklen_t lengths[] = {0, 1, 3, 4, 5, 8, 16, 256};
    for (size_t l = 0; l < COUNT(levels); l++) {
        for (int name = -1; name < 80; name++) {
            for (size_t i = 0; i < COUNT(lengths); i++) {
                for (size_t v = 0; v < 6; v++) {
                    char *exact = malloc(lengths[i] + !lengths[i]);
                    memset(exact, 0, lengths[i]);
                    for (size_t at = 0; at + sizeof(int) <= lengths[i]; at += sizeof(int))
                        memcpy(exact + at, &ints[v], sizeof(int));
                    assert_true(demi_setsockopt(qd, levels[l], name, exact, lengths[i]) >= 0);
                    socklen_t size = lengths[i];
                    assert_true(demi_getsockopt(qd, levels[l], name, exact, &size) >= 0);
                    assert_true(size <= lengths[i]);
                    free(exact);
                }
            }
            char much[4096];
            socklen_t size = UINT32_MAX;
            assert_true(demi_setsockopt(qd, levels[l], name, much, 0) >= 0);
            assert_true(demi_getsockopt(qd, levels[l], name, much, &size) >= 0);
        }
    }
}

static void test_options_at_their_ends(void **state)
{
    struct pair p = pair_new();
    struct sockaddr_in addr;
    int dgram = socket_bound(SOCK_DGRAM, &addr), fresh = socket_new(SOCK_STREAM);
    sweep_options(dgram);
    sweep_options(fresh);
    sweep_options(p.listener);
    sweep_options(p.client);
    OK(demi_close(dgram));
    OK(demi_close(fresh));
    pair_close(&p);
    still_works();
}

static void test_arrays_that_point_elsewhere(void **state)
{
    struct pair p = pair_new();
    demi_sgarray_t sga = sga_pattern(100, 0);
    char *data = sga.sga_segs[0].sgaseg_buf, stack[100];
    demi_qtoken_t qt;
    const demi_sgaseg_t bad[] = {
        {NULL, 0},
        {NULL, 1},
        {data, 0},
        {data, 101},
        {data, UINT32_MAX},
        {data, 0x80000000},
        {data - 1, 1},
        {data + 100, 1},
        {data + 99, 2},
        {stack, 100},
        {(void *)UINTPTR_MAX, 1},
        {data + 1, UINT32_MAX},
        {(void *)1, UINT32_MAX},
        {data - 64, 164},
    };
    static const uint32_t counts[] = {0, 2, 3, UINT32_MAX, 0x80000000};
    for (size_t i = 0; i < COUNT(bad); i++) {
        demi_sgarray_t wrong = sga;
        wrong.sga_segs[0] = bad[i];
        FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
    }
    for (size_t i = 0; i < COUNT(counts); i++) {
        demi_sgarray_t wrong = sga;
        wrong.sga_numsegs = counts[i];
        FAILS(EINVAL, demi_push(&qt, p.client, &wrong));
        FAILS(EINVAL, demi_sgafree(&wrong));
    }
    char odd[sizeof sga + 1];
    memcpy(odd + 1, &sga, sizeof sga); /* the struct is packed: it may lie anywhere */
    OK(demi_push(&qt, p.client, (demi_sgarray_t *)(odd + 1)));
    OK(demi_sgafree((demi_sgarray_t *)(odd + 1)));
    FAILS(EINVAL, demi_sgafree(&sga));
    wait_ok(qt, DEMI_OPC_PUSH);
    pop_pattern(p.server, 100, 0);
    pair_close(&p);
}

static void test_pieces_at_their_ends(void **state)
{
    struct pair p = pair_new();
    static char memory[70000];
    demi_qtoken_t qt;
    const struct iovec bad[] = {
        {NULL, 1}, {memory, SIZE_MAX}, {memory, (size_t)INT_MAX + 1}, {NULL, SIZE_MAX}, {memory, 0}};
    const struct iovec good[] = {{memory, 1}, {memory + 1, 69999}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        FAILS(EINVAL, demi_pushv(&qt, p.client, &bad[i], 1, 0));
        FAILS(EINVAL, demi_pushv(&qt, p.client, &bad[i], 1, DEMI_PUSH_NO_TOKEN));
        struct iovec two[2] = {good[1], bad[i]};
        if (bad[i].iov_len) FAILS(EINVAL, demi_pushv(&qt, p.client, two, 2, 0));
    }
    for (size_t i = 0; i < COUNT(ints); i++)
        if (ints[i] < 1 || ints[i] > DEMI_PUSHV_MAX) FAILS(EINVAL, demi_pushv(&qt, p.client, good, ints[i], 0));
    FAILS(EINVAL, demi_pushv(&qt, p.client, good, 1, UINT_MAX));
    FAILS(EINVAL, demi_pushv(&qt, p.client, good, 1, 1u << 31));
    FAILS(EINVAL, demi_pushv(&qt, p.client, NULL, 1, 0));
    FAILS(EINVAL, demi_pushv(NULL, p.client, good, 1, 0));
    OK(demi_pushv(&qt, p.client, good, 2, 0)); /* memory that is not the library's is copied */
    for (size_t i = 0; i < sizeof memory; i++) memory[i] = 77;
    for (size_t got = 0; got < sizeof memory;) {
        demi_qtoken_t popping;
        OK(demi_pop(&popping, p.server));
        demi_qresult_t qr = wait_ok(popping, DEMI_OPC_POP);
        const char *bytes = qr.qr_value.sga.sga_segs[0].sgaseg_buf;
        for (uint32_t i = 0; i < qr.qr_value.sga.sga_segs[0].sgaseg_len; i++) assert_int_equal(bytes[i], 0);
        got += qr.qr_value.sga.sga_segs[0].sgaseg_len;
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    wait_ok(qt, DEMI_OPC_PUSH);
    pair_close(&p);
}

static void test_memory_at_its_ends(void **state)
{
    char *p = demi_malloc(100), here;
    memset(p, 7, 100);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_null(demi_malloc(sizes[i]));
        assert_null(demi_calloc(sizes[i], 1));
        assert_null(demi_calloc(1, sizes[i]));
        assert_null(demi_calloc(sizes[i], sizes[i]));
        assert_null(demi_realloc(p, sizes[i]));
        assert_null(demi_sgaalloc(sizes[i]).sga_buf);
        assert_null(demi_sgaalloc_large(sizes[i]).sga_buf);
        demi_good_size(sizes[i]);
    }
    assert_int_equal(p[99], 7);
    assert_false(demi_is_pinned(NULL));
    assert_false(demi_is_pinned(&here));
    assert_false(demi_is_pinned((void *)UINTPTR_MAX));
    assert_false(demi_is_pinned(p + 33));
    assert_int_equal(demi_malloc_size(NULL), 0);
    demi_mem_stats(NULL);
    demi_mem_counts(NULL);
    demi_free(p);
    demi_free(NULL);
    demi_free_sized(NULL, SIZE_MAX);
}

static int64_t task(void *arg) { return 42; }

static void test_tasks_timers_and_wakes_at_their_ends(void **state)
{
    demi_qtoken_t qt;
    demi_wake_t *w;
    FAILS(EINVAL, demi_spawn(NULL, task, NULL, 0));
    FAILS(EINVAL, demi_spawn(&qt, NULL, NULL, 0));
    for (size_t i = 0; i < COUNT(sizes); i++) FAILS(EINVAL, demi_spawn(&qt, task, NULL, sizes[i]));
    FAILS(EINVAL, demi_spawn(&qt, task, NULL, (64u << 20) + 1));
    for (size_t bytes = 0; bytes < 3; bytes++) {
        OK(demi_spawn(&qt, task, NULL, bytes));
        assert_int_equal(wait_ok(qt, DEMI_OPC_TASK).qr_ret, 42);
    }
    OK(demi_spawn(&qt, task, NULL, (64u << 20) - 1));
    assert_int_equal(wait_ok(qt, DEMI_OPC_TASK).qr_ret, 42);
    FAILS(EINVAL, demi_yield());
    FAILS(EINVAL, demi_timer(NULL, UINT64_MAX));
    FAILS(EINVAL, demi_wake_new(NULL));
    OK(demi_wake_new(&w));
    FAILS(EINVAL, demi_wake_wait(NULL, w));
    FAILS(EINVAL, demi_wake_wait(&qt, NULL));
    OK(demi_wake_wait(&qt, w));
    FAILS(EBUSY, demi_wake_wait(&(demi_qtoken_t){0}, w));
    demi_wake_ring(NULL);
    demi_wake_free(NULL);
    demi_wake_free(w);
    assert_int_equal(wait_failed(qt), ECANCELED);
    demi_counters(NULL, NULL);
}

static void test_files_at_their_ends(void **state)
{
    static const off_t offsets[] = {0, 1, -1, INT64_MAX, INT64_MIN, INT64_MAX - 1, INT32_MAX, (off_t)UINT32_MAX + 1};
    char path[] = "/tmp/demi-extremes-XXXXXX";
    int qd, fd = mkstemp(path);
    demi_qtoken_t qt;
    off_t at;
    close(fd);
    FAILS(EINVAL, demi_open(NULL, path, O_RDWR, 0));
    FAILS(EINVAL, demi_open(&qd, NULL, O_RDWR, 0));
    FAILS(EINVAL, demi_creat(NULL, path, 0));
    FAILS(EINVAL, demi_creat(&qd, NULL, 0));
    FAILS(ENOENT, demi_open(&qd, "", O_RDWR, 0));
    OK(demi_open(&qd, path, O_RDWR, (mode_t)-1));
    for (size_t i = 0; i < COUNT(offsets); i++) {
        for (int whence = -1; whence < 5; whence++) {
            int err = demi_lseek(qd, offsets[i], whence, &at);
            assert_true(err >= 0);
            if (whence < 0 || whence > 2) assert_int_equal(err, EINVAL);
            if (err) continue;
            OK(demi_pop(&qt, qd));
            demi_qresult_t qr = wait_for(qt);
            if (qr.qr_opcode == DEMI_OPC_POP) OK(demi_sgafree(&qr.qr_value.sga));
            if (at < 1 << 20) continue;
            wait_for(push_pattern(qd, 100, 0));
            if (offsets[i] < 0) continue;
            int truncating = demi_truncate(&qt, qd, 0);
            OK(truncating);
            wait_for(qt);
        }
    }
    FAILS(EINVAL, demi_truncate(&qt, qd, -1));
    FAILS(EINVAL, demi_truncate(&qt, qd, INT64_MIN));
    FAILS(EINVAL, demi_truncate(NULL, qd, 0));
    OK(demi_truncate(&qt, qd, INT64_MAX));
    demi_qresult_t largest = wait_for(qt); /* tmpfs has files that large */
    if (largest.qr_opcode == DEMI_OPC_FAILED) assert_int_not_equal(largest.qr_ret, 0);
    FAILS(EINVAL, demi_lseek(qd, 0, SEEK_SET, NULL));
    FAILS(EINVAL, demi_sync(NULL, qd, true));
    assert_int_not_equal(demi_listen(qd, 1), 0);
    assert_int_not_equal(demi_accept(&qt, qd), 0);
    assert_int_not_equal(demi_shutdown(qd, SHUT_WR), 0);
    OK(demi_close(qd));
    unlink(path);
}

static void test_starts_at_their_ends(void **state)
{
    char why[1] = "x", *much = malloc(100000);
    memset(much, 'a', 99999);
    much[99999] = 0;
    const struct demi_setting odd[] = {{NULL, NULL}, {"address", NULL}, {NULL, "1"}};
    OK(demi_exit());
    FAILS(EINVAL, demi_init_options(NULL));
    FAILS(EINVAL, demi_init_options(&(struct demi_init_options){.libos = "posix", .setting_count = SIZE_MAX}));
    for (size_t i = 0; i < COUNT(odd); i++)
        FAILS(EINVAL, demi_init_options(&(struct demi_init_options){
                          .libos = "posix", .settings = &odd[i], .setting_count = 1, .why = why, .why_size = 1}));
    FAILS(ENOTSUP, demi_init_options(&(struct demi_init_options){.libos = much, .why = why, .why_size = 1}));
    assert_int_equal(why[0], 0);
    FAILS(ENAMETOOLONG, demi_init_options(&(struct demi_init_options){
                            .libos = "posix", .config_path = much, .why = why, .why_size = 1}));
    OK(demi_init(NULL));
    FAILS(ENOPROTOOPT, demi_set_option(much, much));
    FAILS(EINVAL, demi_set_option("spin-us", much));
    for (size_t i = 0; i < COUNT(longs); i++) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)longs[i]);
        assert_int_equal(demi_set_option("spin-us", text), longs[i] <= 10000 ? 0 : EINVAL);
        snprintf(text, sizeof text, "-%llu", (unsigned long long)longs[i]);
        FAILS(EINVAL, demi_set_option("spin-us", text));
    }
    free(much);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_no_timer_is_too_far),
        demi_unit_test(test_no_timeout_is_too_long),
        demi_unit_test(test_wrong_tokens_are_refused_by_every_wait),
        demi_unit_test(test_counts_of_waits),
        demi_unit_test(test_descriptors_at_their_ends),
        demi_unit_test(test_kinds_of_sockets),
        demi_unit_test(test_addresses_of_every_length_and_family),
        demi_unit_test(test_names_into_every_length),
        demi_unit_test(test_options_at_their_ends),
        demi_unit_test(test_arrays_that_point_elsewhere),
        demi_unit_test(test_pieces_at_their_ends),
        demi_unit_test(test_memory_at_its_ends),
        demi_unit_test(test_tasks_timers_and_wakes_at_their_ends),
        demi_unit_test(test_files_at_their_ends),
        demi_unit_test(test_starts_at_their_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
