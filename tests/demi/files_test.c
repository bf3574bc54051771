/* SPDX-License-Identifier: MIT
 *
 * Files as queues: what is pushed is in the file, what is in the file is popped, and the cursor is where it was put.
 * All of it twice: as io_uring does it where that may be used, and as threads do.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

static char folder[] = "/tmp/demi-files-XXXXXX";
static char path[64];

static int folder_make(void **state)
{
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/file", folder);
    return 0;
}

static int folder_remove(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static int file_new(int flags)
{
    int qd = -1;
    OK(demi_open(&qd, path, flags, 0600));
    return qd;
}

static void seek_to(int qd, off_t offset)
{
    off_t got = -1;
    OK(demi_lseek(qd, offset, SEEK_SET, &got));
    assert_int_equal(got, offset);
}

static off_t size_of(const char *name)
{
    struct stat st;
    OK(stat(name, &st));
    return st.st_size;
}

static void test_open_names_its_mistakes(void **state)
{
    int qd;
    unlink(path);
    FAILS(ENOENT, demi_open(&qd, path, O_RDWR, 0));
    FAILS(ENOENT, demi_open(&qd, "/nonexistent/file", O_RDWR | O_CREAT, 0600));
    FAILS(EISDIR, demi_open(&qd, "/", O_RDWR, 0));
    FAILS(EINVAL, demi_open(NULL, path, O_RDWR, 0));
    FAILS(EINVAL, demi_open(&qd, NULL, O_RDWR, 0));
    FAILS(EINVAL, demi_creat(&qd, NULL, 0600));
    OK(demi_open(&qd, path, O_RDWR | O_CREAT | O_EXCL, 0600));
    FAILS(EEXIST, demi_open(&qd, path, O_RDWR | O_CREAT | O_EXCL, 0600));
    OK(demi_close(qd));
}

static void test_a_file_reads_as_it_was_written(void **state)
{
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    for (unsigned i = 0; i < 20; i++) /* all at once: they land in the order of the pushes */
        push_pattern(qd, 5000, i * 5000);
    demi_qtoken_t sync;
    OK(demi_sync(&sync, qd, false));
    wait_ok(sync, DEMI_OPC_SYNC);
    assert_int_equal(size_of(path), 100000);
    seek_to(qd, 0);
    pop_pattern(qd, 100000, 0);
    pop_end(qd);
    seek_to(qd, 99000);
    pop_pattern(qd, 1000, 99000);
    OK(demi_close(qd));
}

static void test_sync_comes_after_the_pushes_before_it(void **state)
{
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    demi_qtoken_t push = push_pattern(qd, 60000, 1), sync;
    demi_qresult_t qr;
    OK(demi_sync(&sync, qd, true));
    wait_ok(sync, DEMI_OPC_SYNC);
    OK(demi_wait(&qr, push, &now)); /* completed by now */
    assert_int_equal(qr.qr_opcode, DEMI_OPC_PUSH);
    assert_int_equal(size_of(path), 60000);
    OK(demi_close(qd));
}

static demi_qtoken_t push_durable(int qd, void *bytes, size_t n)
{
    demi_qtoken_t qt;
    struct iovec iov = {bytes, n};
    OK(demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_DURABLE));
    return qt;
}

static void test_a_durable_push_is_a_push(void **state)
{
    static char bytes[5000];
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC), full, sock;
    qt = push_pattern(qd, 100, 0);
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (char)((100 + i) % 251);
    wait_ok(push_durable(qd, bytes, sizeof bytes), DEMI_OPC_PUSH);
    OK(demi_wait(&qr, qt, &now)); /* they stay in order */
    seek_to(qd, 0);
    pop_pattern(qd, 5100, 0);
    OK(demi_close(qd));
    OK(demi_socket(&sock, AF_INET, SOCK_STREAM, 0));
    FAILS(ENOTSUP, demi_pushv(&qt, sock, &(struct iovec){bytes, 1}, 1, DEMI_PUSH_DURABLE));
    FAILS(ENOTSUP, demi_pushv(&qt, sock, &(struct iovec){bytes, 1}, 1, DEMI_PUSH_DURABLE | DEMI_PUSH_NO_TOKEN));
    OK(demi_close(sock));
    if (demi_open(&full, "/dev/full", O_WRONLY, 0) != 0) skip();
    assert_int_equal(wait_failed(push_durable(full, bytes, 10)), ENOSPC);
    OK(demi_close(full));
}

/* Pieces that lie as O_DIRECT wants them, and pieces that do not: all arrive, in order, and no byte more. */
static void test_past_the_page_cache_goes_what_can(void **state)
{
    enum { BLOCK = 4096 };
    static const unsigned sizes[] = {2 * BLOCK, BLOCK, 100, BLOCK, 2 * BLOCK, 1};
    demi_qtoken_t qts[sizeof sizes / sizeof sizes[0]];
    demi_sgarray_t sga = demi_sgaalloc_large(5 * BLOCK);
    uintptr_t begins = (uintptr_t)sga.sga_segs[0].sgaseg_buf;
    unsigned char *aligned = (unsigned char *)((begins + BLOCK - 1) & ~(uintptr_t)(BLOCK - 1));
    unsigned at = 0;
    int qd;
    for (int linked = 0; linked < 2; linked++, at = 0) {
        qd = file_new(O_RDWR | O_CREAT | O_TRUNC | O_DIRECT);
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            memset(aligned, (int)('a' + i), sizes[i]);
            OK(demi_pushv(&qts[i], qd, &(struct iovec){aligned, sizes[i]}, 1, 0));
            if (!linked || i % 2) wait_ok(qts[i], DEMI_OPC_PUSH);
            if (linked && i % 2) wait_ok(qts[i - 1], DEMI_OPC_PUSH);
            if (linked) continue;
            at += sizes[i];
            assert_int_equal(size_of(path), at);
        }
        OK(demi_close(qd));
    }
    OK(demi_sgafree(&sga));
    /* A file system that knows no such thing is no reason not to open. */
    demi_qtoken_t qt;
    OK(demi_open(&qd, "/proc/self/comm", O_RDONLY | O_DIRECT, 0));
    OK(demi_pop(&qt, qd));
    demi_qresult_t qr = wait_for(qt);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_POP);
    assert_true(qr.qr_value.sga.sga_segs[0].sgaseg_len > 0);
    OK(demi_sgafree(&qr.qr_value.sga));
    OK(demi_close(qd));
}

static void test_append_writes_at_the_end_wherever_the_cursor_is(void **state)
{
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC | O_APPEND);
    wait_ok(push_pattern(qd, 100, 0), DEMI_OPC_PUSH);
    seek_to(qd, 0);
    wait_ok(push_pattern(qd, 100, 100), DEMI_OPC_PUSH);
    assert_int_equal(size_of(path), 200);
    seek_to(qd, 0);
    pop_pattern(qd, 200, 0);
    OK(demi_close(qd));
}

static void test_lseek_knows_all_three_places(void **state)
{
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    off_t at = -1;
    wait_ok(push_pattern(qd, 1000, 0), DEMI_OPC_PUSH);
    OK(demi_lseek(qd, -10, SEEK_END, &at));
    assert_int_equal(at, 990);
    OK(demi_lseek(qd, -90, SEEK_CUR, &at));
    assert_int_equal(at, 900);
    pop_pattern(qd, 100, 900);
    OK(demi_lseek(qd, 0, SEEK_CUR, &at));
    assert_int_equal(at, 1000);
    FAILS(EINVAL, demi_lseek(qd, -1, SEEK_SET, &at));
    FAILS(EINVAL, demi_lseek(qd, 0, 99, &at));
    OK(demi_close(qd));
}

static void test_truncate_sets_the_length(void **state)
{
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    demi_qtoken_t qt;
    wait_ok(push_pattern(qd, 1000, 0), DEMI_OPC_PUSH);
    OK(demi_truncate(&qt, qd, 300));
    assert_int_not_equal(wait_for(qt).qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(size_of(path), 300);
    seek_to(qd, 0);
    pop_pattern(qd, 300, 0);
    pop_end(qd);
    int error = demi_truncate(&qt, qd, -1);
    assert_int_equal(error ? error : wait_failed(qt), EINVAL);
    OK(demi_close(qd));
}

static void test_a_file_opened_to_read_is_not_written(void **state)
{
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    wait_ok(push_pattern(qd, 10, 0), DEMI_OPC_PUSH);
    OK(demi_close(qd));
    qd = file_new(O_RDONLY);
    demi_sgarray_t sga = sga_pattern(10, 5);
    demi_qtoken_t qt;
    int error = demi_push(&qt, qd, &sga);
    assert_int_equal(error ? error : wait_failed(qt), EBADF);
    OK(demi_sgafree(&sga));
    seek_to(qd, 0);
    pop_pattern(qd, 10, 0);
    OK(demi_close(qd));
}

static void test_a_full_disk_is_a_failed_result(void **state)
{
    demi_qtoken_t qt;
    int qd;
    if (demi_open(&qd, "/dev/full", O_WRONLY, 0) != 0) skip();
    demi_sgarray_t sga = sga_pattern(10, 5);
    OK(demi_push(&qt, qd, &sga));
    assert_int_equal(wait_failed(qt), ENOSPC);
    OK(demi_sgafree(&sga));
    OK(demi_close(qd));
}

static void test_a_name_is_changed_and_removed(void **state)
{
    char other[80];
    struct stat st;
    demi_qtoken_t qts[3];
    snprintf(other, sizeof other, "%s.other", path);
    OK(demi_close(file_new(O_RDWR | O_CREAT | O_TRUNC)));
    OK(demi_rename(&qts[0], path, other));
    wait_ok(qts[0], DEMI_OPC_SYNC);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(size_of(other), 0);
    OK(demi_rename(&qts[0], other, path)); /* in order, all at once: only so do all of them find their file */
    OK(demi_rename(&qts[1], path, other));
    OK(demi_unlink(&qts[2], other));
    for (int i = 0; i < 3; i++) wait_ok(qts[i], DEMI_OPC_SYNC);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(stat(other, &st), -1);
}

static void test_a_folder_is_made(void **state)
{
    char made[80];
    struct stat st;
    demi_qtoken_t qt;
    snprintf(made, sizeof made, "%s.folder", path);
    OK(demi_mkdir(&qt, made, 0700));
    wait_ok(qt, DEMI_OPC_SYNC);
    assert_int_equal(stat(made, &st), 0);
    assert_int_equal(st.st_mode & (S_IFDIR | 0777), S_IFDIR | 0700);
    OK(demi_mkdir(&qt, made, 0700));
    assert_int_equal(wait_failed(qt), EEXIST);
    rmdir(made);
    FAILS(EINVAL, demi_mkdir(NULL, made, 0700));
    FAILS(EINVAL, demi_mkdir(&qt, NULL, 0700));
    OK(demi_mkdir(&qt, "/nonexistent/folder", 0700));
    assert_int_equal(wait_failed(qt), ENOENT);
}

static void test_names_have_their_mistakes_named(void **state)
{
    demi_qtoken_t qt;
    char *longest = malloc(PATH_MAX + 1);
    memset(longest, 'x', PATH_MAX);
    longest[PATH_MAX] = 0;
    FAILS(EINVAL, demi_rename(NULL, path, path));
    FAILS(EINVAL, demi_rename(&qt, NULL, path));
    FAILS(EINVAL, demi_rename(&qt, path, NULL));
    FAILS(EINVAL, demi_unlink(NULL, path));
    FAILS(EINVAL, demi_unlink(&qt, NULL));
    FAILS(ENAMETOOLONG, demi_unlink(&qt, longest));
    FAILS(ENAMETOOLONG, demi_rename(&qt, path, longest));
    FAILS(ENAMETOOLONG, demi_rename(&qt, longest, path));
    OK(demi_unlink(&qt, longest + 1)); /* for the kernel to judge */
    FAILS(EBUSY, demi_cancel(qt));
    assert_int_equal(wait_failed(qt), ENAMETOOLONG);
    free(longest);
    unlink(path);
    OK(demi_unlink(&qt, path));
    assert_int_equal(wait_failed(qt), ENOENT);
    OK(demi_rename(&qt, path, "/nonexistent/file"));
    assert_int_equal(wait_failed(qt), ENOENT);
    OK(demi_unlink(&qt, folder));
    assert_int_equal(wait_failed(qt), EISDIR);
    OK(demi_unlink(&qt, path)); /* its result is nobody's: demi_exit() takes it */
}

static void test_a_folder_is_flushed(void **state)
{
    demi_qtoken_t qt;
    int qd;
    OK(demi_open(&qd, folder, O_RDONLY | O_DIRECTORY, 0));
    OK(demi_sync(&qt, qd, false));
    wait_ok(qt, DEMI_OPC_SYNC);
    OK(demi_close(qd));
}

static void test_opening_has_a_token(void **state)
{
    demi_qtoken_t open, push, size, close;
    int qd = -1;
    unlink(path);
    OK(demi_async_open(&open, &qd, path, O_RDWR | O_CREAT | O_EXCL, 0640));
    push = push_pattern(qd, 3000, 7); /* it waits for the file */
    OK(demi_file_size(&size, qd));
    FAILS(EBUSY, demi_cancel(open));
    demi_qresult_t qr = wait_ok(open, DEMI_OPC_SYNC);
    assert_int_equal(qr.qr_qd, qd);
    assert_int_equal(qr.qr_ret, 0);
    wait_ok(push, DEMI_OPC_PUSH);
    assert_int_equal(wait_ok(size, DEMI_OPC_SYNC).qr_ret, 3000);
    seek_to(qd, 0);
    pop_pattern(qd, 3000, 7);
    OK(demi_async_close(&close, qd));
    FAILS(EBADF, demi_async_close(&size, qd));
    qr = wait_ok(close, DEMI_OPC_CLOSE);
    assert_int_equal(qr.qr_qd, qd);
    struct stat st;
    OK(stat(path, &st));
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void test_what_waits_for_a_file_fails_as_its_opening_does(void **state)
{
    demi_qtoken_t qts[6], late;
    int qd = -1;
    off_t at;
    OK(demi_async_open(&qts[0], &qd, "/nonexistent/file", O_RDWR | O_CREAT, 0600));
    OK(demi_pop(&qts[1], qd));
    OK(demi_sync(&qts[2], qd, false));
    OK(demi_truncate(&qts[3], qd, 0));
    OK(demi_file_size(&qts[4], qd));
    qts[5] = push_pattern(qd, 100, 0);
    FAILS(EBUSY, demi_lseek(qd, 0, SEEK_END, &at));
    for (int i = 0; i < 6; i++) assert_int_equal(wait_failed(qts[i]), ENOENT);
    FAILS(ENOENT, demi_lseek(qd, 0, SEEK_END, &at));
    assert_int_equal(demi_queue_fd(qd), -1);
    OK(demi_pop(&late, qd));
    assert_int_equal(wait_failed(late), ENOENT);
    OK(demi_async_close(&late, qd)); /* there is nothing to close */
    wait_ok(late, DEMI_OPC_CLOSE);
}

static void test_opening_names_its_mistakes(void **state)
{
    demi_qtoken_t qt;
    int qd = -1;
    char *longest = malloc(PATH_MAX + 1);
    memset(longest, 'x', PATH_MAX);
    longest[PATH_MAX] = 0;
    FAILS(EINVAL, demi_async_open(NULL, &qd, path, O_RDWR, 0));
    FAILS(EINVAL, demi_async_open(&qt, NULL, path, O_RDWR, 0));
    FAILS(EINVAL, demi_async_open(&qt, &qd, NULL, O_RDWR, 0));
    FAILS(ENAMETOOLONG, demi_async_open(&qt, &qd, longest, O_RDWR, 0));
    FAILS(EINVAL, demi_async_close(NULL, 500));
    FAILS(EBADF, demi_async_close(&qt, -1));
    FAILS(EINVAL, demi_file_size(NULL, 500));
    FAILS(EBADF, demi_file_size(&qt, 500));
    const struct {
        const char *path;
        int flags, error;
    } cases[] = {
        {folder, O_WRONLY, EISDIR},
        {"/dev/null", O_RDONLY | O_DIRECTORY, ENOTDIR},
        {"/dev/null", O_WRONLY | O_CREAT | O_EXCL, EEXIST},
        {"", O_RDONLY, ENOENT},
        {longest + 1, O_RDONLY, ENAMETOOLONG},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        OK(demi_async_open(&qt, &qd, cases[i].path, cases[i].flags, 0600));
        assert_int_equal(wait_failed(qt), cases[i].error);
        OK(demi_close(qd));
    }
    free(longest);
}

static void test_closing_waits_for_the_writes_and_cancels_their_tokens(void **state)
{
    demi_qtoken_t qts[100], closed;
    int qd = file_new(O_WRONLY | O_CREAT | O_TRUNC);
    for (int i = 0; i < 100; i++) qts[i] = push_pattern(qd, 1000, 0);
    OK(demi_async_close(&closed, qd));
    FAILS(EBUSY, demi_cancel(closed));
    wait_ok(closed, DEMI_OPC_CLOSE);
    assert_int_equal(size_of(path), 100000);
    for (int i = 0; i < 100; i++) {
        demi_qresult_t qr = wait_for(qts[i]);
        if (qr.qr_opcode != DEMI_OPC_PUSH) assert_int_equal(qr.qr_ret, ECANCELED);
    }
}

/* A push without a token, and one whose token the close took. */
static void test_a_write_that_nobody_waited_for_fails_the_close(void **state)
{
    demi_qtoken_t qt, closed;
    int qd;
    char bytes[100] = {0};
    const struct iovec iov = {bytes, sizeof bytes};
    if (demi_open(&qd, "/dev/full", O_WRONLY, 0) != 0) skip();
    OK(demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_NO_TOKEN));
    OK(demi_sync(&qt, qd, false));
    assert_int_equal(wait_failed(qt), ENOSPC);
    OK(demi_sync(&qt, qd, false)); /* it is said once; this is the answer of the device */
    assert_int_equal(wait_failed(qt), EINVAL);
    OK(demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_NO_TOKEN));
    OK(demi_async_close(&closed, qd));
    assert_int_equal(wait_failed(closed), ENOSPC);
    OK(demi_open(&qd, "/dev/full", O_WRONLY, 0));
    push_pattern(qd, 100, 0);
    OK(demi_async_close(&closed, qd));
    assert_int_equal(wait_failed(closed), ENOSPC);
    OK(demi_open(&qd, "/dev/full", O_WRONLY, 0));
    assert_int_equal(wait_failed(push_pattern(qd, 100, 0)), ENOSPC); /* here somebody was told */
    OK(demi_async_close(&closed, qd));
    wait_ok(closed, DEMI_OPC_CLOSE);
}

static void test_other_queues_close_with_a_token_too(void **state)
{
    demi_qtoken_t pop, closed;
    int qds[2] = {socket_new(SOCK_STREAM), -1};
    OK(demi_queue(&qds[1]));
    OK(demi_pop(&pop, qds[1]));
    for (int i = 0; i < 2; i++) {
        OK(demi_async_close(&closed, qds[i]));
        wait_ok(closed, DEMI_OPC_CLOSE);
        FAILS(EBADF, demi_close(qds[i]));
    }
    assert_int_equal(wait_failed(pop), ECANCELED);
}

static void test_exit_does_what_was_begun(void **state)
{
    demi_qtoken_t qt;
    int qd = -1;
    unlink(path);
    OK(demi_async_open(&qt, &qd, path, O_WRONLY | O_CREAT, 0600));
    push_pattern(qd, 1000, 0);
    OK(demi_async_close(&qt, qd));
    OK(demi_async_open(&qt, &qd, "/nonexistent/file", O_RDONLY, 0));
    OK(demi_exit());
    assert_int_equal(size_of(path), 1000);
    OK(demi_init(NULL));
}

/* --- the same by io_uring and by threads --- */

static void find_uring(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, "disk.uring")) *(int *)arg = (int)value;
}

/* 1 or 0; -1 before the first file. */
static int uring_is_used(void)
{
    int used = -1;
    demi_counters(find_uring, &used);
    return used;
}

static int threads_setup(void **state) { return test_setup(state) || demi_set_option("files", "threads"); }

static void test_threads_are_what_was_asked_for(void **state)
{
    assert_int_equal(uring_is_used(), -1);
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    assert_int_equal(uring_is_used(), 0);
    OK(demi_close(qd));
    FAILS(EINVAL, demi_set_option("files", "floppy"));
    OK(demi_set_option("files", "auto")); /* of no effect any more */
    assert_int_equal(uring_is_used(), 0);
}

/* Where it cannot be had the tests above ran with threads, and this one is skipped. */
static void test_io_uring_is_used_where_it_may_be(void **state)
{
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    int used = uring_is_used();
    OK(demi_close(qd));
    if (!used) skip();
}

/* Half of the operations are started before, half after; those that the ring has come back from it. */
static void test_from_io_uring_to_threads_nothing_is_lost(void **state)
{
    demi_qtoken_t qts[200];
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    for (unsigned i = 0; i < 200; i++) {
        qts[i] = push_pattern(qd, 1000, i * 1000);
        if (i == 50) wait_ok(qts[0], DEMI_OPC_PUSH); /* some have left */
        if (i == 100) OK(demi_set_option("files", "threads"));
    }
    assert_int_equal(uring_is_used(), 0);
    for (unsigned i = 1; i < 200; i++) wait_ok(qts[i], DEMI_OPC_PUSH);
    seek_to(qd, 0);
    pop_pattern(qd, 200000, 0);
    pop_end(qd);
    OK(demi_close(qd));
}

/* Reads started together: the first that is short is the last with anything in it, and the cursor stands at the end. */
static void test_reads_ahead_stop_at_the_end(void **state)
{
    demi_qtoken_t qts[40];
    size_t total = 0;
    off_t at = -1;
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    for (unsigned i = 0; i < 50; i++) wait_ok(push_pattern(qd, 10000, i * 10000), DEMI_OPC_PUSH);
    seek_to(qd, 0);
    for (int i = 0; i < 40; i++) OK(demi_pop(&qts[i], qd));
    for (int i = 0; i < 40; i++) {
        demi_qresult_t qr = wait_ok(qts[i], DEMI_OPC_POP);
        bytes_check(qr.qr_value.sga.sga_segs[0].sgaseg_buf, qr.qr_value.sga.sga_segs[0].sgaseg_len, (unsigned)total);
        total += qr.qr_value.sga.sga_segs[0].sgaseg_len;
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    assert_int_equal(total, 500000);
    OK(demi_lseek(qd, 0, SEEK_CUR, &at));
    assert_int_equal(at, 500000);
    OK(demi_close(qd));
}

/* A push behind pops is at the place where these ended, whatever they found there. */
static void test_a_push_behind_reads_is_where_they_ended(void **state)
{
    demi_qtoken_t pops[3], push;
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    wait_ok(push_pattern(qd, 100, 0), DEMI_OPC_PUSH);
    seek_to(qd, 0);
    for (int i = 0; i < 3; i++) OK(demi_pop(&pops[i], qd));
    push = push_pattern(qd, 100, 100);
    for (int i = 0; i < 3; i++) {
        demi_qresult_t qr = wait_ok(pops[i], DEMI_OPC_POP);
        assert_int_equal(qr.qr_value.sga.sga_segs[0].sgaseg_len, i ? 0 : 100);
        OK(demi_sgafree(&qr.qr_value.sga));
    }
    wait_ok(push, DEMI_OPC_PUSH);
    seek_to(qd, 0);
    pop_pattern(qd, 200, 0);
    pop_end(qd);
    OK(demi_close(qd));
}

/* What is behind a fault is done as if it stood alone: here the syncs and what can be written. */
static void test_a_fault_does_not_take_what_follows_with_it(void **state)
{
    demi_qtoken_t qts[6];
    int qd = file_new(O_RDWR | O_CREAT | O_TRUNC);
    struct rlimit before, low;
    getrlimit(RLIMIT_FSIZE, &before);
    low = (struct rlimit){1500, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_DFL); /* no call of this thread may get it */
    OK(setrlimit(RLIMIT_FSIZE, &low));
    for (unsigned i = 0; i < 5; i++) qts[i] = push_pattern(qd, 500 + (i == 2) * 1000, i);
    OK(demi_sync(&qts[5], qd, false));
    demi_qresult_t qr[6];
    for (int i = 0; i < 6; i++) qr[i] = wait_for(qts[i]);
    OK(setrlimit(RLIMIT_FSIZE, &before));
    signal(SIGXFSZ, handler);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(qr[i].qr_opcode, i < 2 ? DEMI_OPC_PUSH : DEMI_OPC_FAILED);
        assert_int_equal(qr[i].qr_ret, i < 2 ? 0 : EFBIG);
    }
    assert_int_equal(qr[5].qr_opcode, DEMI_OPC_SYNC);
    assert_int_equal(size_of(path), 1500);
    OK(demi_close(qd));
}

/* More files with more to do than the ring takes at once. */
static void test_many_files_share_what_there_is(void **state)
{
    enum { FILES = 24, PUSHES = 40 };
    int qds[FILES];
    char names[FILES][96];
    demi_qtoken_t qts[FILES][PUSHES + 1];
    for (int f = 0; f < FILES; f++) {
        snprintf(names[f], sizeof names[f], "%s.%d", path, f);
        OK(demi_async_open(&qts[f][PUSHES], &qds[f], names[f], O_RDWR | O_CREAT | O_TRUNC | (f % 2 ? O_APPEND : 0),
                           0600));
        wait_ok(qts[f][PUSHES], DEMI_OPC_SYNC);
    }
    for (int i = 0; i < PUSHES; i++)
        for (int f = 0; f < FILES; f++) qts[f][i] = push_pattern(qds[f], 300, (unsigned)(f + i * 300));
    for (int f = 0; f < FILES; f++) OK(demi_sync(&qts[f][PUSHES], qds[f], true));
    for (int f = 0; f < FILES; f++) {
        wait_ok(qts[f][PUSHES], DEMI_OPC_SYNC);
        assert_int_equal(size_of(names[f]), 300 * PUSHES);
        for (int i = 0; i < PUSHES; i++) wait_ok(qts[f][i], DEMI_OPC_PUSH);
        seek_to(qds[f], 0);
        pop_pattern(qds[f], 300 * PUSHES, (unsigned)f);
        OK(demi_close(qds[f]));
        unlink(names[f]);
    }
}

#define by_both(f)                                                                                                     \
    demi_unit_test(f), { "threads: " #f, f, threads_setup, test_teardown, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        by_both(test_open_names_its_mistakes),
        by_both(test_a_file_reads_as_it_was_written),
        by_both(test_sync_comes_after_the_pushes_before_it),
        by_both(test_a_durable_push_is_a_push),
        by_both(test_past_the_page_cache_goes_what_can),
        by_both(test_append_writes_at_the_end_wherever_the_cursor_is),
        by_both(test_lseek_knows_all_three_places),
        by_both(test_truncate_sets_the_length),
        by_both(test_a_file_opened_to_read_is_not_written),
        by_both(test_a_full_disk_is_a_failed_result),
        by_both(test_a_name_is_changed_and_removed),
        by_both(test_a_folder_is_made),
        by_both(test_names_have_their_mistakes_named),
        by_both(test_a_folder_is_flushed),
        by_both(test_opening_has_a_token),
        by_both(test_what_waits_for_a_file_fails_as_its_opening_does),
        by_both(test_opening_names_its_mistakes),
        by_both(test_closing_waits_for_the_writes_and_cancels_their_tokens),
        by_both(test_a_write_that_nobody_waited_for_fails_the_close),
        by_both(test_other_queues_close_with_a_token_too),
        by_both(test_exit_does_what_was_begun),
        by_both(test_reads_ahead_stop_at_the_end),
        by_both(test_a_push_behind_reads_is_where_they_ended),
        by_both(test_a_fault_does_not_take_what_follows_with_it),
        by_both(test_many_files_share_what_there_is),
        by_both(test_from_io_uring_to_threads_nothing_is_lost),
        demi_unit_test(test_io_uring_is_used_where_it_may_be),
        {"test_threads_are_what_was_asked_for", test_threads_are_what_was_asked_for, threads_setup, test_teardown,
         NULL},
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
