/* SPDX-License-Identifier: MIT
 *
 * The kernel does not take all that was prepared for it: io_uring_submit() fails, or submits the first few
 * (io_uring_enter(2): EAGAIN for want of memory, EBUSY for results that nobody has fetched). Nothing of it is lost,
 * doubled or out of order: what was taken ends in the ring, threads do the rest. The linker puts the call below in the
 * place of liburing's (--wrap); without liburing, or where the system refuses a ring, there is nothing to see.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#if __has_include(<liburing.h>)
#include <liburing.h>

enum { WHOLE = 1000 };
static int takes = WHOLE; /* of the next submission: so many, all but so many (above WHOLE), or -errno */
static int cut;           /* submissions that were */
static int durable;       /* writes that end when they are on the disk */

/* Where liburing is not linked nobody asks for it. */
int __real_io_uring_submit(struct io_uring *ring) __attribute__((weak));
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        const struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];
        durable += sqe->opcode == IORING_OP_WRITEV && sqe->rw_flags == RWF_DSYNC;
    }
    if (takes == WHOLE) return __real_io_uring_submit(ring);
    unsigned prepared = ring->sq.sqe_tail - ring->sq.sqe_head;
    int count = takes > WHOLE ? (int)prepared - (takes - WHOLE) : takes;
    takes = WHOLE;
    cut++;
    if (count <= 0) return count;
    /* The queue seems to end behind those, and then where it did: the kernel stopped half way. */
    unsigned tail = ring->sq.sqe_tail;
    ring->sq.sqe_tail = ring->sq.sqe_head + (unsigned)count;
    int taken = __real_io_uring_submit(ring);
    ring->sq.sqe_tail = tail;
    return taken;
}

static char path[] = "/tmp/demi-cut-XXXXXX";

static int path_make(void **state)
{
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int path_remove(void **state) { return unlink(path); }

static void find_uring(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, "disk.uring")) *(int *)arg = (int)value;
}

static int uring_is_used(void)
{
    int used = -1;
    demi_counters(find_uring, &used);
    return used;
}

static int file_new(int more_flags)
{
    int qd = -1;
    OK(demi_open(&qd, path, O_RDWR | O_CREAT | O_TRUNC | more_flags, 0600));
    return qd;
}

static void seek_to(int qd, off_t offset)
{
    off_t got = -1;
    OK(demi_lseek(qd, offset, SEEK_SET, &got));
}

/* Two files, so that more than one chain is in the submission; pushes, a sync, reads behind them. */
static void write_and_read(int next_takes, int flags)
{
    enum { PUSHES = 12, SIZE = 3000, POPS = 3 };
    demi_qtoken_t push[PUSHES], other[PUSHES], sync, pop[POPS];
    int qd = file_new(flags), qd2 = -1;
    OK(demi_open(&qd2, "/dev/null", O_WRONLY, 0));
    for (unsigned i = 0; i < PUSHES; i++) {
        push[i] = push_pattern(qd, SIZE, i * SIZE);
        other[i] = push_pattern(qd2, 100, i);
    }
    OK(demi_sync(&sync, qd, false));
    for (int i = 0; i < POPS; i++) OK(demi_pop(&pop[i], qd));
    takes = next_takes;
    for (int i = 0; i < PUSHES; i++) {
        wait_ok(push[i], DEMI_OPC_PUSH);
        wait_ok(other[i], DEMI_OPC_PUSH);
    }
    wait_ok(sync, DEMI_OPC_SYNC);
    struct stat st;
    OK(stat(path, &st));
    assert_int_equal(st.st_size, PUSHES * SIZE);
    for (unsigned i = 0, at = 0; i < POPS; i++) { /* of an appended file: all there is, since appends move no cursor */
        demi_qresult_t qr = wait_ok(pop[i], DEMI_OPC_POP);
        uint32_t n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, n, at);
        at += n;
        assert_int_equal(at, flags & O_APPEND ? PUSHES * SIZE : 0);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    seek_to(qd, 0);
    pop_pattern(qd, PUSHES * SIZE, 0);
    pop_end(qd);
    OK(demi_close(qd));
    OK(demi_close(qd2));
}

static void cut_at(int next_takes)
{
    const int flags[] = {0, O_APPEND};
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        OK(demi_close(file_new(0)));
        if (uring_is_used() != 1) skip();
        cut = 0;
        write_and_read(next_takes, flags[i]);
        assert_int_equal(cut, 1);
        assert_int_equal(uring_is_used(), 0); /* a ring that was cut is not trusted any more */
        write_and_read(WHOLE, flags[i]);
        OK(demi_exit());
        OK(demi_init(NULL)); /* a ring of its own */
    }
}

static void test_none_is_taken_for_want_of_memory(void **state) { cut_at(-EAGAIN); }
static void test_none_is_taken_for_results_that_wait(void **state) { cut_at(-EBUSY); }
static void test_none_is_taken_and_nothing_said(void **state) { cut_at(0); }
static void test_one_is_taken(void **state) { cut_at(1); }
static void test_half_of_a_chain_is_taken(void **state) { cut_at(7); }
static void test_the_second_chain_is_not_taken(void **state) { cut_at(16); }
static void test_all_but_the_last_are_taken(void **state) { cut_at(WHOLE + 1); }

/* What left before comes back from the ring, which ends with the thread's library OS. */
static void test_what_was_in_flight_ends(void **state)
{
    enum { PUSHES = 30, SIZE = 1000 };
    demi_qtoken_t qts[PUSHES];
    int qd = file_new(0);
    if (uring_is_used() != 1) skip();
    cut = 0;
    for (unsigned i = 0; i < PUSHES; i++) {
        qts[i] = push_pattern(qd, SIZE, i * SIZE);
        if (i == PUSHES / 3) wait_ok(qts[0], DEMI_OPC_PUSH); /* its chain has left */
        if (i == PUSHES / 3) takes = 1;
    }
    demi_qresult_t none;
    int offset;
    const struct timespec ms = {0, 1000000};
    for (int i = 0; i < 10000 && !cut; i++) /* the next chain leaves when the one before has ended */
        FAILS(ETIMEDOUT, demi_wait_any(&none, &offset, NULL, 0, &ms));
    assert_int_equal(cut, 1);
    demi_qtoken_t closed;
    OK(demi_async_close(&closed, qd));
    OK(demi_exit());
    struct stat st;
    OK(stat(path, &st));
    assert_int_equal(st.st_size, PUSHES * SIZE);
    OK(demi_init(NULL));
    OK(demi_open(&qd, path, O_RDONLY, 0));
    pop_pattern(qd, PUSHES * SIZE, 0);
    OK(demi_close(qd));
}

/* The kernel is asked for it, and for no other write. */
static void test_a_durable_push_is_one_request(void **state)
{
    int qd = file_new(0);
    if (uring_is_used() != 1) skip();
    demi_qtoken_t qt;
    char bytes[100] = {0};
    durable = 0;
    wait_ok(push_pattern(qd, 100, 0), DEMI_OPC_PUSH);
    assert_int_equal(durable, 0);
    OK(demi_pushv(&qt, qd, &(struct iovec){bytes, sizeof bytes}, 1, DEMI_PUSH_DURABLE));
    wait_ok(qt, DEMI_OPC_PUSH);
    assert_int_equal(durable, 1);
    OK(demi_close(qd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_a_durable_push_is_one_request),
        demi_unit_test(test_none_is_taken_for_want_of_memory),
        demi_unit_test(test_none_is_taken_for_results_that_wait),
        demi_unit_test(test_none_is_taken_and_nothing_said),
        demi_unit_test(test_one_is_taken),
        demi_unit_test(test_half_of_a_chain_is_taken),
        demi_unit_test(test_the_second_chain_is_not_taken),
        demi_unit_test(test_all_but_the_last_are_taken),
        demi_unit_test(test_what_was_in_flight_ends),
    };
    return cmocka_run_group_tests(tests, path_make, path_remove);
}
#else
int main(void) { return 77; } /* nothing to cut */
#endif
