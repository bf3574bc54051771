/* SPDX-License-Identifier: MIT */
#include "server/persist/packer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "alloc/base/rng.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/db/entry.h"
#include "server/mem.h"
#include "server/rdb/crc64.h"

struct run {
    struct packer *packer;
    demi_wake_t *wake;
    struct rdb_sink out; /* what came out */
};

static bool in_task; /* the tests are run in both ways */

static void begin(struct run *r, bool compress, bool checksum)
{
    assert_int_equal(demi_wake_new(&r->wake), 0);
    r->packer = packer_new(&(struct packer_options){
        .compress = compress, .checksum = checksum, .ends_in_checksum = true, .in_task = in_task, .wake = r->wake});
    assert_non_null(r->packer);
    rdb_sink_init(&r->out, NULL, NULL);
}

static void take_all(struct run *r)
{
    struct packed_buffer *buffer;
    while (packer_take(r->packer, &buffer)) {
        rdb_put_raw(&r->out, buffer->p, buffer->n);
        packer_give(r->packer, buffer);
    }
}

static void wait_wake(struct run *r)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    assert_int_equal(demi_wake_wait(&qt, r->wake), 0);
    assert_int_equal(demi_wait(&qr, qt, NULL), 0);
}

static struct bytes end(struct run *r)
{
    packer_end(r->packer);
    while (!packer_is_done(r->packer)) {
        wait_wake(r);
        take_all(r);
    }
    return rdb_sink_bytes(&r->out);
}

static void fini(struct run *r)
{
    packer_free(r->packer);
    demi_wake_free(r->wake);
    rdb_sink_fini(&r->out);
}

static int put_piece(void *arg, const char *p, size_t n, const struct rdb_mark *marks, size_t mark_count)
{
    struct run *r = arg;
    packer_put(r->packer, PACKER_NOW, p, n, marks, mark_count);
    while (packer_waiting(r->packer) > (1 << 20)) {
        wait_wake(r);
        take_all(r);
    }
    return 0;
}

static int put_string(void *arg, struct bytes b, struct blob *lent)
{
    packer_put_string(((struct run *)arg)->packer, PACKER_NOW, b, lent, false);
    return 0;
}

/* Strings of all lengths, such as compress and such as do not. */
static void put_strings(struct rdb_sink *s, uint64_t seed, int count)
{
    struct rng rng;
    char *text = mem_alloc(300000);
    rng_seed(&rng, seed);
    for (int i = 0; i < count; i++) {
        size_t n = rng_below(&rng, i % 50 == 0 ? 300000 : i % 7 == 0 ? 20000 : 60);
        bool wild = rng_below(&rng, 2);
        for (size_t k = 0; k < n; k++) text[k] = wild ? (char)rng_below(&rng, 256) : "abcd"[(k / 3) % 4];
        rdb_put_byte(s, (unsigned char)i);
        rdb_put_string(s, bytes_of(text, n));
        if (i % 3 == 0) rdb_put_int_string(s, i);
    }
    mem_free(text);
}

/* What a sink writes that does it all itself. */
static void check_same(bool compress, uint64_t seed)
{
    struct run r;
    struct rdb_sink plain, deferring;
    begin(&r, compress, true);
    struct rdb_deferred to = {put_piece, put_string, &r};
    rdb_sink_init(&plain, NULL, NULL);
    rdb_sink_init_deferred(&deferring, &to);
    plain.compress = deferring.compress = compress;
    put_strings(&plain, seed, 1000);
    put_strings(&deferring, seed, 1000);
    assert_int_equal(rdb_sink_finish(&deferring), 0);
    struct bytes out = end(&r), want = rdb_sink_bytes(&plain);
    assert_int_equal(out.n, want.n + 8);
    assert_memory_equal(out.p, want.p, want.n);
    assert_true(load_u64(out.p + want.n) == crc64(0, want.p, want.n));
    assert_int_equal(deferring.total > want.n / 2, 1);
    rdb_sink_fini(&plain);
    rdb_sink_fini(&deferring);
    fini(&r);
}

static void test_what_is_packed_is_what_a_plain_sink_writes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        check_same(true, seed);
        check_same(false, seed);
    }
}

static void test_a_checksum_that_is_not_wanted_is_zero(void **state)
{
    (void)state;
    struct run r;
    begin(&r, true, false);
    packer_put(r.packer, PACKER_NOW, "abc", 3, NULL, 0);
    struct bytes out = end(&r);
    assert_int_equal(out.n, 11);
    assert_memory_equal(out.p, "abc\0\0\0\0\0\0\0\0", 11);
    fini(&r);
}

static void test_a_lent_blob_is_held_until_it_is_written(void **state)
{
    (void)state;
    struct run r;
    begin(&r, true, true);
    struct blob *b = blob_new(1 << 20, 1 << 20);
    memset(b->data, 'x', b->len);
    packer_put_string(r.packer, PACKER_NOW, bytes_of(b->data, b->len), b, false);
    assert_true(blob_is_lent(b));
    struct bytes out = end(&r);
    assert_true(out.n > 8 && out.n < 20000);
    assert_false(blob_is_lent(b));
    blob_unref(b);
    fini(&r);
}

static void test_it_can_be_stopped_with_all_buffers_full(void **state)
{
    (void)state;
    struct run r;
    begin(&r, false, true);
    struct blob *b = blob_new((PACKED_BUFFERS + 3) * PACKED_SIZE, (PACKED_BUFFERS + 3) * PACKED_SIZE);
    memset(b->data, 'x', b->len);
    packer_put_string(r.packer, PACKER_NOW, bytes_of(b->data, b->len), b, false);
    packer_put_string(r.packer, PACKER_NOW, bytes_of(b->data, b->len), b, false);
    wait_wake(&r); /* it has begun */
    packer_stop(r.packer);
    while (!packer_has_stopped(r.packer)) wait_wake(&r);
    fini(&r);
    assert_false(blob_is_lent(b));
    blob_unref(b);
}

static int start(void **state)
{
    (void)state;
    return demi_init_with("posix", NULL);
}

static int stop(void **state)
{
    (void)state;
    demi_exit();
    return 0;
}

static int threads(void **state)
{
    (void)state;
    in_task = false;
    return 0;
}

static int tasks(void **state)
{
    (void)state;
    in_task = true;
    return 0;
}

#define by_both(f)                                                                                                     \
    cmocka_unit_test_setup(f, threads), { "in a task: " #f, f, tasks, NULL, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        by_both(test_what_is_packed_is_what_a_plain_sink_writes),
        by_both(test_a_checksum_that_is_not_wanted_is_zero),
        by_both(test_a_lent_blob_is_held_until_it_is_written),
        by_both(test_it_can_be_stopped_with_all_buffers_full),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
