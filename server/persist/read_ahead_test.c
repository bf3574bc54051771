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

/* All of it, in blocks; how many keys were noted. Closes it. */
static size_t read_all_of(struct read_ahead *r, enum way way, size_t bytes)
{
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

static size_t read_all(enum way way, size_t bytes) { return read_all_of(open_file(way), way, bytes); }

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

/* --- what is fed -------------------------------------------------------------------------------------------------- */

struct feeder {
    struct read_ahead *r;
    size_t bytes, piece; /* at most so many at once */
    int ends_with;
    bool fed;
};

static int64_t feed_all(void *arg)
{
    struct feeder *f = arg;
    struct rng rng;
    rng_seed(&rng, f->bytes);
    for (size_t at = 0; at < f->bytes;) {
        size_t n = 1 + rng_u64(&rng) % f->piece;
        if (n > f->bytes - at) n = f->bytes - at;
        assert_int_equal(read_ahead_feed(f->r, bytes_of(file.buf + at, n)), 0);
        at += n;
        if (rng_u64(&rng) % 16 == 0) demi_yield();
    }
    read_ahead_feed_end(f->r, f->ends_with);
    f->fed = true;
    return 0;
}

/* The file's first bytes, by another task. */
static demi_qtoken_t feed(struct feeder *f, enum way way, size_t bytes, size_t piece)
{
    demi_qtoken_t qt;
    *f = (struct feeder){.bytes = bytes, .piece = piece};
    assert_int_equal(read_ahead_open_fed(&f->r), 0);
    assert_int_equal(demi_spawn(&qt, feed_all, f, (size_t)256 << 10), 0);
    if (way != PLAIN)
        read_ahead_look(f->r, &(struct read_ahead_look){.seed = 5, .summing = true, .own_thread = way == BY_A_THREAD});
    return qt;
}

static void test_what_is_fed_comes_whole_and_in_order(void **state)
{
    static const size_t sizes[] = {0, 1, 65536, 65537, 600000, 5000000}, pieces[] = {1000, 65536, 300000};
    for (size_t i = 0; i < 3 * sizeof sizes / sizeof *sizes; i++) {
        for (enum way way = PLAIN; way <= BY_A_THREAD; way++) {
            struct feeder f;
            demi_qresult_t qr;
            size_t bytes = sizes[i / 3];
            demi_qtoken_t qt = feed(&f, way, bytes, pieces[i % 3]);
            size_t keys = read_all_of(f.r, way, bytes);
            assert_true(f.fed);
            assert_true((keys > 0) == (way != PLAIN && bytes > 1));
            assert_int_equal(demi_wait(&qr, qt, NULL), 0);
        }
    }
}

static void test_what_was_fed_before_anybody_looks_has_notes_too(void **state)
{
    struct feeder f;
    demi_qresult_t qr;
    demi_qtoken_t qt = feed(&f, PLAIN, 300000, 1000);
    assert_int_equal(demi_wait(&qr, qt, NULL), 0); /* there is room for all of it */
    read_ahead_look(f.r, &(struct read_ahead_look){.seed = 5, .summing = true, .own_thread = true});
    assert_true(read_all_of(f.r, BY_A_THREAD, 300000) > 0);
}

static void test_who_feeds_waits_for_nobody_that_has_left(void **state)
{
    for (int blocks = 0; blocks < 12; blocks++) {
        for (enum way way = PLAIN; way <= BY_A_THREAD; way++) {
            struct feeder f;
            demi_qresult_t qr;
            struct bytes block;
            const struct rdb_notes *notes;
            demi_qtoken_t qt = feed(&f, way, 2000000, 100000);
            for (int i = 0; i < blocks; i++) assert_true(read_ahead_next(f.r, &block, &notes) > 0);
            read_ahead_leave(f.r);
            assert_int_equal(demi_wait(&qr, qt, NULL), 0);
            assert_true(f.fed);
            read_ahead_close(f.r);
        }
    }
}

static void test_an_end_that_is_an_error_comes_behind_what_was_fed(void **state)
{
    struct read_ahead *r;
    struct bytes block;
    const struct rdb_notes *notes;
    assert_int_equal(read_ahead_open_fed(&r), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(read_ahead_feed(r, bytes_of(file.buf, 65536)), 0);
    read_ahead_feed_end(r, -ECONNRESET);
    for (int i = 0; i < 2; i++) assert_int_equal(read_ahead_next(r, &block, &notes), 65536);
    for (int i = 0; i < 2; i++) assert_int_equal(read_ahead_next(r, &block, &notes), -ECONNRESET);
    read_ahead_close(r);
}

/* --- what ends early ---------------------------------------------------------------------------------------------- */

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
        cmocka_unit_test(test_what_is_fed_comes_whole_and_in_order),
        cmocka_unit_test(test_what_was_fed_before_anybody_looks_has_notes_too),
        cmocka_unit_test(test_who_feeds_waits_for_nobody_that_has_left),
        cmocka_unit_test(test_an_end_that_is_an_error_comes_behind_what_was_fed),
        cmocka_unit_test(test_it_may_be_given_up_at_any_block),
        cmocka_unit_test(test_what_cannot_be_read_is_an_error_and_stays_one),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
