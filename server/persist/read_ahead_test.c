/* SPDX-License-Identifier: MIT */
#include "server/persist/read_ahead.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "alloc/base/rng.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/mem.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"
#include "server/rdb/lookahead.h"
#include "server/rdb/sink.h"

static char path[] = "/tmp/read_ahead_test.XXXXXX";
static struct rdb_sink file; /* what is in it */

static void make_file(size_t keys)
{
    char text[32];
    file.used = 0;
    rdb_put_raw(&file, "REDIS0011", 9);
    for (size_t i = 0; i < keys; i++) {
        rdb_put_byte(&file, RDB_STRING);
        for (int n = 0; n < 2; n++)
            rdb_put_string(&file, bytes_of(text, (size_t)snprintf(text, 32, "key %zu", i * 12345678)));
    }
}

static void write_file(size_t bytes)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(file.buf, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

enum way { PLAIN, BY_THE_LOOP, BY_A_THREAD };

static struct read_ahead *open_file(enum way way)
{
    struct read_ahead *r;
    assert_int_equal(read_ahead_open(&r, path), 0);
    if (way != PLAIN)
        read_ahead_look(r, &(struct read_ahead_look){.seed = 5, .summing = true, .own_thread = way == BY_A_THREAD});
    return r;
}

/* All of it, in blocks; how many keys were noted. */
static size_t read_all(enum way way, size_t bytes)
{
    struct read_ahead *r = open_file(way);
    struct bytes block;
    const struct rdb_notes *notes;
    size_t at = 0, keys = 0;
    long n;
    while ((n = read_ahead_next(r, &block, &notes)) > 0) {
        assert_int_equal(block.n, n);
        assert_true(at + block.n <= bytes);
        assert_memory_equal(block.p, file.buf + at, block.n);
        assert_true((notes != NULL) == (way != PLAIN));
        if (notes) {
            assert_true(notes->block.p == block.p && notes->block.n == block.n);
            assert_true(notes->summed && notes->crc == crc64(0, file.buf, at));
            keys += notes->key_count;
        }
        at += block.n;
        assert_true(read_ahead_bytes(r) == at);
    }
    assert_int_equal(n, 0);
    assert_int_equal(read_ahead_next(r, &block, &notes), 0); /* and again */
    assert_int_equal(read_ahead_error(r), 0);
    assert_int_equal(at, bytes);
    read_ahead_close(r);
    return keys;
}

static void read_every_way(void)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 131072, 196608, 300000, 1000000, 5000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        write_file(sizes[i]);
        assert_int_equal(read_all(PLAIN, sizes[i]), 0);
        size_t keys = read_all(BY_THE_LOOP, sizes[i]);
        assert_true(keys >= sizes[i] / 50);
        assert_int_equal(read_all(BY_A_THREAD, sizes[i]), keys);
    }
}

static void test_a_file_of_any_length_comes_whole_and_in_order_with_the_same_notes(void **state) { read_every_way(); }

static int64_t in_a_task(void *arg)
{
    read_every_way();
    return 7;
}

static void test_a_task_reads_the_same(void **state)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    assert_int_equal(demi_spawn(&qt, in_a_task, NULL, (size_t)256 << 10), 0);
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
    assert_int_equal(qr.qr_ret, 7);
}

static void test_it_may_be_given_up_at_any_block(void **state)
{
    struct bytes block;
    const struct rdb_notes *notes;
    write_file(1500000);
    for (int blocks = 0; blocks < 20; blocks++) {
        for (enum way way = PLAIN; way <= BY_A_THREAD; way++) {
            struct read_ahead *r = open_file(way);
            for (int i = 0; i < blocks; i++) assert_true(read_ahead_next(r, &block, &notes) > 0);
            read_ahead_close(r);
        }
    }
}

static void test_what_cannot_be_read_is_an_error_and_stays_one(void **state)
{
    struct read_ahead *r;
    struct bytes block;
    const struct rdb_notes *notes;
    uint64_t bytes;
    assert_int_equal(read_ahead_open(&r, "/tmp/no/such/file"), -ENOENT);
    assert_int_equal(read_ahead_open(&r, "/tmp"), 0);
    read_ahead_look(r, &(struct read_ahead_look){.own_thread = true});
    assert_int_equal(read_ahead_next(r, &block, &notes), -EISDIR);
    assert_int_equal(read_ahead_error(r), -EISDIR);
    assert_int_equal(read_ahead_next(r, &block, &notes), -EISDIR);
    read_ahead_close(r);
    write_file(70000);
    r = open_file(PLAIN);
    assert_int_equal(read_ahead_size(r, &bytes), 0);
    assert_true(bytes == 70000);
    read_ahead_close(r);
}

static int setup(void **state)
{
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    rdb_sink_init(&file, NULL, NULL);
    make_file(150000);
    return demi_init_with("posix", NULL);
}

static int teardown(void **state)
{
    rdb_sink_fini(&file);
    unlink(path);
    return demi_exit();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_file_of_any_length_comes_whole_and_in_order_with_the_same_notes),
        cmocka_unit_test(test_a_task_reads_the_same),
        cmocka_unit_test(test_it_may_be_given_up_at_any_block),
        cmocka_unit_test(test_what_cannot_be_read_is_an_error_and_stays_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
