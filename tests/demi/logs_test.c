/* SPDX-License-Identifier: MIT
 *
 * Logs as queues, on real files: records come back as they were pushed, at their offsets, after a close and after a
 * SIGKILL; cursors and trim points are where they were put; mistakes and foreign files have their errors. All of it by
 * io_uring and by threads. tests/sim/logs_test.c has the power cuts.
 */
#include "tests/demi/demi_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char folder[] = "/tmp/demi-logs-XXXXXX";
static char file[64], path[96];

static int folder_make(void **state)
{
    if (!mkdtemp(folder)) return -1;
    snprintf(file, sizeof file, "%s/device", folder);
    snprintf(path, sizeof path, "log:%s#one", file);
    return 0;
}

static int folder_remove(void **state)
{
    unlink(file);
    return rmdir(folder);
}

static void quiet(void *arg, int level, const char *text) {}

static int fresh(void **state)
{
    unlink(file);
    demi_set_log(quiet, NULL); /* what is refused here is told, too */
    return test_setup(state);
}

static int fresh_by_threads(void **state)
{
    int err = fresh(state);
    return err ? err : demi_set_option("files", "threads");
}

static int log_new(int flags)
{
    int qd = -1;
    OK(demi_open(&qd, path, flags, 0600));
    return qd;
}

static demi_qtoken_t push_text(int qd, const char *text, unsigned flags)
{
    demi_qtoken_t qt;
    struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};
    OK(demi_pushv(&qt, qd, &iov, 1, flags));
    return qt;
}

static int64_t append(int qd, const char *text, unsigned flags)
{
    return wait_ok(push_text(qd, text, flags), DEMI_OPC_PUSH).qr_ret;
}

/* Pops a record that must be this one; its offset. */
static int64_t pop_text(int qd, const char *text)
{
    demi_qtoken_t qt;
    OK(demi_pop(&qt, qd));
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
    demi_sgarray_t sga = qr.qr_value.sga;
    assert_int_equal(sga.sga_segs[0].sgaseg_len, strlen(text));
    assert_memory_equal(sga.sga_segs[0].sgaseg_buf, text, strlen(text));
    OK(demi_sgafree(&sga));
    return qr.qr_ret;
}

static void sync_log(int qd)
{
    demi_qtoken_t qt;
    OK(demi_sync(&qt, qd, true));
    wait_ok(qt, DEMI_OPC_SYNC);
}

static void truncate_log(int qd, off_t offset)
{
    demi_qtoken_t qt;
    OK(demi_truncate(&qt, qd, offset));
    wait_ok(qt, DEMI_OPC_SYNC);
}

static off_t seek(int qd, off_t offset, int whence)
{
    off_t at = -1;
    OK(demi_lseek(qd, offset, whence, &at));
    return at;
}

static void close_log(int qd)
{
    demi_qtoken_t qt;
    OK(demi_async_close(&qt, qd));
    wait_ok(qt, DEMI_OPC_CLOSE);
}

static void test_mistakes_have_their_errors(void **state)
{
    int qd;
    off_t at;
    demi_qtoken_t qt;
    char name[200];
    FAILS(ENOENT, demi_open(&qd, path, O_RDWR, 0));
    FAILS(EINVAL, demi_open(&qd, "log:", O_RDWR | O_CREAT, 0600));
    FAILS(EINVAL, demi_open(&qd, "log:#one", O_RDWR | O_CREAT, 0600));
    snprintf(name, sizeof name, "log:%s#no/slash", file);
    FAILS(EINVAL, demi_open(&qd, name, O_RDWR | O_CREAT, 0600));
    snprintf(name, sizeof name, "log:%s#%050d", file, 1);
    FAILS(ENAMETOOLONG, demi_open(&qd, name, O_RDWR | O_CREAT, 0600));
    FAILS(EINVAL, demi_open(&qd, path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    qd = log_new(O_RDWR | O_CREAT | O_EXCL);
    int again;
    FAILS(EEXIST, demi_open(&again, path, O_RDWR | O_CREAT | O_EXCL, 0600));
    snprintf(name, sizeof name, "log:%s#two", file);
    FAILS(ENOENT, demi_open(&again, name, O_RDWR, 0600));
    FAILS(EINVAL, demi_lseek(qd, 1, SEEK_SET, &at));
    FAILS(EINVAL, demi_lseek(qd, -1, SEEK_CUR, &at));
    FAILS(EINVAL, demi_truncate(&qt, qd, 1));
    close_log(qd);
    qd = log_new(O_RDONLY);
    FAILS(EBADF, demi_pushv(&qt, qd, &(struct iovec){name, 1}, 1, 0));
    FAILS(EINVAL, demi_truncate(&qt, qd, 0));
    FAILS(EROFS, demi_open(&again, path, O_RDWR, 0600));
    close_log(qd);
    qd = log_new(O_WRONLY);
    FAILS(EBADF, demi_pop(&qt, qd));
    close_log(qd);
}

static void test_what_is_no_file_is_refused_and_waited_for_by_nobody(void **state)
{
    int qd;
    char name[200];
    assert_int_equal(unlink(file) && errno != ENOENT, 0);
    assert_int_equal(mkfifo(file, 0600), 0);
    FAILS(EINVAL, demi_open(&qd, path, O_RDONLY, 0));
    FAILS(EINVAL, demi_open(&qd, path, O_RDWR | O_CREAT, 0600));
    FAILS(EINVAL, demi_open(&qd, "log:/dev/zero", O_RDWR, 0));
    snprintf(name, sizeof name, "log:%s/there", file);
    FAILS(ENOTDIR, demi_open(&qd, name, O_RDWR | O_CREAT, 0600));
    assert_int_equal(unlink(file), 0);
}

static void test_records_come_back_at_their_offsets(void **state)
{
    int qd = log_new(O_RDWR | O_CREAT);
    int64_t first = append(qd, "one", 0), second = append(qd, "two", DEMI_PUSH_DURABLE), third = append(qd, "three", 0);
    assert_true(first < second && second < third);
    assert_int_equal(pop_text(qd, "one"), first);
    assert_int_equal(pop_text(qd, "two"), second);
    assert_int_equal(pop_text(qd, "three"), third); /* it was accepted only, and is written for who asks */
    pop_end(qd);
    append(qd, "four", 0);
    pop_text(qd, "four");
    assert_int_equal(seek(qd, second, SEEK_SET), second);
    pop_text(qd, "two");
    assert_int_equal(seek(qd, 0, SEEK_CUR), second + 40); /* 32 and the bytes, in eights */
    seek(qd, first + 1, SEEK_SET);                        /* the first that begins there or later */
    pop_text(qd, "two");
    seek(qd, 0, SEEK_END);
    pop_end(qd);
    OK(demi_close(qd));
    qd = log_new(O_RDWR); /* while that is still being closed */
    assert_int_equal(pop_text(qd, "one"), first);
    assert_int_equal(pop_text(qd, "two"), second);
    pop_text(qd, "three");
    pop_text(qd, "four");
    pop_end(qd);
    close_log(qd);
}

static void test_a_sync_means_all_pushes_before_it(void **state)
{
    int qd = log_new(O_RDWR | O_CREAT | O_DSYNC);
    demi_qtoken_t qts[50];
    demi_qresult_t qr;
    for (unsigned i = 0; i < 50; i++) qts[i] = push_text(qd, "record", 0);
    sync_log(qd);
    for (unsigned i = 0; i < 50; i++) OK(demi_wait(&qr, qts[i], &now));
    size_t left = 1;
    OK(demi_unsent(qd, &left));
    assert_int_equal(left, 0);
    sync_log(qd); /* nothing to do */
    close_log(qd);
}

static void test_long_records_and_many(void **state)
{
    enum { LONG = 1 << 20, MANY = 3000 };
    int qd = log_new(O_RDWR | O_CREAT);
    demi_qtoken_t qt;
    char *bytes = malloc(LONG + 1);
    memset(bytes, 'x', LONG + 1);
    FAILS(EMSGSIZE, demi_pushv(&qt, qd, &(struct iovec){bytes, LONG + 1}, 1, 0));
    for (unsigned i = 0; i < 6; i++) { /* over a segment's end */
        bytes[0] = (char)('a' + i);
        OK(demi_pushv(&qt, qd, &(struct iovec){bytes, LONG}, 1, DEMI_PUSH_DURABLE));
        wait_ok(qt, DEMI_OPC_PUSH);
    }
    for (unsigned i = 0; i < MANY; i++) {
        char text[32];
        snprintf(text, sizeof text, "number %u", i);
        append(qd, text, 0);
    }
    close_log(qd);
    qd = log_new(O_RDWR);
    for (unsigned i = 0; i < 6; i++) {
        OK(demi_pop(&qt, qd));
        demi_sgarray_t sga = wait_ok(qt, DEMI_OPC_POP).qr_value.sga;
        assert_int_equal(sga.sga_segs[0].sgaseg_len, LONG);
        bytes[0] = (char)('a' + i);
        assert_memory_equal(sga.sga_segs[0].sgaseg_buf, bytes, LONG);
        OK(demi_sgafree(&sga));
    }
    for (unsigned i = 0; i < MANY; i++) {
        char text[32];
        snprintf(text, sizeof text, "number %u", i);
        pop_text(qd, text);
    }
    pop_end(qd);
    free(bytes);
    close_log(qd);
}

static struct demi_log_space space_of(int qd)
{
    struct demi_log_space space;
    socklen_t n = sizeof space;
    OK(demi_getsockopt(qd, DEMI_SOL_LOG, DEMI_LOG_SPACE, &space, &n));
    assert_int_equal(n, sizeof space);
    assert_int_equal(space.record_max, 1 << 20);
    assert_in_range(space.segment_bytes, 1 << 20, 64 << 20);
    FAILS(EINVAL, demi_getsockopt(qd, DEMI_SOL_LOG, DEMI_LOG_SPACE, &space, &(socklen_t){4}));
    FAILS(ENOPROTOOPT, demi_getsockopt(qd, DEMI_SOL_LOG, 99, &space, &n));
    FAILS(ENOTSUP, demi_getsockopt(qd, 99, DEMI_LOG_SPACE, &space, &n));
    return space;
}

static void test_a_full_device_has_room_again_when_its_front_is_cut(void **state)
{
    enum { SIZE = 1 << 20 };
    int qd = log_new(O_RDWR | O_CREAT), err = 0;
    demi_qtoken_t qt;
    char *bytes = calloc(1, SIZE);
    int64_t last = 0;
    unsigned count = 0;
    while (!(err = demi_pushv(&qt, qd, &(struct iovec){bytes, SIZE}, 1, DEMI_PUSH_DURABLE)) && count < 1000) {
        last = wait_ok(qt, DEMI_OPC_PUSH).qr_ret;
        count++;
    }
    assert_int_equal(err, ENOSPC);
    assert_in_range(count, 30, 63);
    assert_true(space_of(qd).free_bytes < SIZE);
    truncate_log(qd, last);
    assert_in_range(space_of(qd).free_bytes, 8 * SIZE, 64 * SIZE);
    off_t at;
    FAILS(EINVAL, demi_lseek(qd, 0, SEEK_SET, &at)); /* it is gone */
    OK(demi_pop(&qt, qd));
    demi_qresult_t qr = wait_ok(qt, DEMI_OPC_POP);
    assert_int_equal(qr.qr_ret, last);
    OK(demi_sgafree(&qr.qr_value.sga));
    assert_true(append(qd, "more", DEMI_PUSH_DURABLE) > last);
    free(bytes);
    close_log(qd);
    qd = log_new(O_RDWR);
    assert_int_equal(seek(qd, 0, SEEK_CUR), last);
    close_log(qd);
}

/* The device as it is now, under another name, as a crash would leave it. */
static void copy_device(const char *to)
{
    char *bytes = malloc(1 << 20);
    int in = open(file, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(bytes && in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, bytes, 1 << 20)) > 0;) assert_int_equal(write(out, bytes, (size_t)n), n);
    OK(close(in));
    OK(close(out));
    free(bytes);
}

/* Also if the record it is about was accepted while a write was on its way, and has to follow in another. */
static void test_a_trim_that_is_told_is_written(void **state)
{
    static const struct timespec no_time = {0, 0};
    char other[80], other_path[96];
    snprintf(other, sizeof other, "%s/copy", folder);
    snprintf(other_path, sizeof other_path, "log:%s#one", other);
    int qd = log_new(O_RDWR | O_CREAT), copy;
    append(qd, "one", DEMI_PUSH_DURABLE);
    for (int i = 0; i < 4; i++) {
        demi_qresult_t qr;
        demi_qtoken_t two = push_text(qd, "two", DEMI_PUSH_DURABLE);
        bool is_out = demi_wait(&qr, two, &no_time) == ETIMEDOUT; /* on its way */
        truncate_log(qd, append(qd, "three", 0));
        copy_device(other);
        OK(demi_open(&copy, other_path, O_RDWR, 0));
        pop_text(copy, "three");
        close_log(copy);
        if (is_out) wait_ok(two, DEMI_OPC_PUSH);
    }
    close_log(qd);
    OK(unlink(other));
}

static void test_logs_of_a_device_are_apart_and_queues_have_cursors_of_their_own(void **state)
{
    int one = log_new(O_RDWR | O_CREAT), two, again;
    char name[100];
    snprintf(name, sizeof name, "log:%s#two", file);
    OK(demi_open(&two, name, O_RDWR | O_CREAT, 0600));
    OK(demi_open(&again, path, O_RDONLY, 0));
    append(one, "first", 0);
    append(two, "other", DEMI_PUSH_DURABLE);
    append(one, "second", DEMI_PUSH_DURABLE);
    pop_text(again, "first");
    pop_text(one, "first");
    pop_text(one, "second");
    pop_text(two, "other");
    pop_end(two);
    pop_text(again, "second");
    close_log(one);
    append(two, "still", 0);
    close_log(again);
    close_log(two);
    OK(demi_open(&two, name, O_RDWR, 0600));
    pop_text(two, "other");
    pop_text(two, "still");
    close_log(two);
    for (unsigned i = 0; i < 40; i++) { /* there are no more than 32 */
        snprintf(name, sizeof name, "log:%s#log%u", file, i);
        int err = demi_open(&one, name, O_RDWR | O_CREAT, 0600);
        assert_int_equal(err, i < 30 ? 0 : ENOSPC);
        if (!err) close_log(one);
    }
}

static void test_who_has_it_is_told_and_who_comes_later_waits_for_nobody(void **state)
{
    int qd, fd;
    close_log(log_new(O_RDWR | O_CREAT));
    fd = open(file, O_RDWR);
    OK(flock(fd, LOCK_EX | LOCK_NB));
    FAILS(EBUSY, demi_open(&qd, path, O_RDWR, 0));
    FAILS(EBUSY, demi_open(&qd, path, O_RDONLY, 0));
    OK(flock(fd, LOCK_SH | LOCK_NB));
    FAILS(EBUSY, demi_open(&qd, path, O_RDWR, 0));
    qd = log_new(O_RDONLY);
    close_log(qd);
    OK(close(fd));
    qd = log_new(O_RDWR);
    fd = open(file, O_RDWR);
    FAILS(-1, flock(fd, LOCK_SH | LOCK_NB));
    OK(close(fd));
    close_log(qd);
}

static void write_file(const char *text, off_t size)
{
    int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    OK(ftruncate(fd, size));
    OK(close(fd));
}

static void test_what_is_not_ours_is_not_touched(void **state)
{
    int qd, fd;
    char got[10] = {0};
    write_file("something else", 100000);
    FAILS(EMEDIUMTYPE, demi_open(&qd, path, O_RDWR | O_CREAT, 0600));
    fd = open(file, O_RDONLY);
    assert_int_equal(read(fd, got, 9), 9);
    assert_string_equal(got, "something");
    OK(close(fd));
    write_file("", 100000); /* zeroes, but many */
    FAILS(ENODATA, demi_open(&qd, path, O_RDWR | O_CREAT, 0600));
    write_file("", 0);
    FAILS(ENODATA, demi_open(&qd, path, O_RDWR, 0600));
    close_log(log_new(O_RDWR | O_CREAT));
    fd = open(file, O_RDWR);
    assert_int_equal(pwrite(fd, "x", 1, 100), 1); /* one of the two copies */
    close_log(log_new(O_RDWR));
    assert_int_equal(pwrite(fd, "x", 1, 100), 1);
    assert_int_equal(pwrite(fd, "x", 1, 4096 + 100), 1);
    FAILS(EUCLEAN, demi_open(&qd, path, O_RDWR, 0600));
    OK(close(fd));
    snprintf(got, sizeof got, "log:/dev");
    FAILS(EISDIR, demi_open(&qd, got, O_RDWR, 0600));
}

/* A block in the middle of what was acknowledged: the log is not opened, and the others are. */
static void test_damage_in_the_middle_is_not_taken_for_the_end(void **state)
{
    int one = log_new(O_RDWR | O_CREAT), two, fd;
    char name[100], zeroes[4096] = {0};
    snprintf(name, sizeof name, "log:%s#two", file);
    OK(demi_open(&two, name, O_RDWR | O_CREAT, 0600));
    for (unsigned i = 0; i < 10; i++) append(one, "record", DEMI_PUSH_DURABLE); /* a block each */
    append(two, "other", DEMI_PUSH_DURABLE);
    close_log(one);
    close_log(two);
    fd = open(file, O_RDWR);
    assert_int_equal(pwrite(fd, zeroes, sizeof zeroes, 65536 + 4096 * 6), sizeof zeroes);
    OK(close(fd));
    FAILS(EUCLEAN, demi_open(&one, path, O_RDWR, 0600));
    OK(demi_open(&two, name, O_RDWR, 0600));
    pop_text(two, "other");
    close_log(two);
}

/* --- SIGKILL ------------------------------------------------------------------------------------------------------ */

/* Appends durably, and tells the number of each that is. */
static void child(int fd)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int qd;
    if (demi_init(NULL) || demi_open(&qd, path, O_RDWR | O_CREAT, 0600)) _exit(1);
    for (unsigned i = 0; i < 1000000; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "number %u", i);
        if (demi_pushv(&qt, qd, &(struct iovec){text, (size_t)n}, 1, DEMI_PUSH_DURABLE)) _exit(1);
        if (demi_wait(&qr, qt, NULL) || qr.qr_opcode != DEMI_OPC_PUSH) _exit(1);
        if (write(fd, &i, sizeof i) != sizeof i) _exit(1);
        if (i % 400 == 399) { /* so that it never fills */
            if (demi_truncate(&qt, qd, qr.qr_ret) || demi_wait(&qr, qt, NULL)) _exit(1);
        }
    }
    _exit(0);
}

static void test_what_was_told_is_there_after_a_sigkill(void **state)
{
    for (unsigned round = 0; round < 5; round++) {
        int fds[2], status, qd;
        unsigned last = 0, got;
        demi_qtoken_t qt;
        unlink(file);
        OK(pipe(fds));
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid) child(fds[1]);
        OK(close(fds[1]));
        for (unsigned n = 0; n < 50 + round * 211; n++) assert_int_equal(read(fds[0], &last, sizeof last), sizeof last);
        OK(kill(pid, SIGKILL));
        while (read(fds[0], &got, sizeof got) == sizeof got) last = got;
        OK(close(fds[0]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        qd = log_new(O_RDWR);
        unsigned next = 0, first = 1;
        for (;;) {
            OK(demi_pop(&qt, qd));
            demi_sgarray_t sga = wait_ok(qt, DEMI_OPC_POP).qr_value.sga;
            char text[64] = {0};
            if (!sga.sga_segs[0].sgaseg_len) break;
            memcpy(text, sga.sga_segs[0].sgaseg_buf, sga.sga_segs[0].sgaseg_len);
            OK(demi_sgafree(&sga));
            assert_int_equal(sscanf(text, "number %u", &got), 1);
            if (first) next = got;
            first = 0;
            assert_int_equal(got, next++);
        }
        assert_true(next == last + 1 || next == last + 2);
        close_log(qd);
    }
}

#define BOTH(f)                                                                                                        \
    cmocka_unit_test_setup_teardown(f, fresh, test_teardown),                                                          \
        cmocka_unit_test_setup_teardown(f, fresh_by_threads, test_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_mistakes_have_their_errors),
        BOTH(test_what_is_no_file_is_refused_and_waited_for_by_nobody),
        BOTH(test_records_come_back_at_their_offsets),
        BOTH(test_a_sync_means_all_pushes_before_it),
        BOTH(test_long_records_and_many),
        BOTH(test_a_full_device_has_room_again_when_its_front_is_cut),
        BOTH(test_a_trim_that_is_told_is_written),
        BOTH(test_logs_of_a_device_are_apart_and_queues_have_cursors_of_their_own),
        BOTH(test_who_has_it_is_told_and_who_comes_later_waits_for_nobody),
        BOTH(test_what_is_not_ours_is_not_touched),
        BOTH(test_damage_in_the_middle_is_not_taken_for_the_end),
        BOTH(test_what_was_told_is_there_after_a_sigkill),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
