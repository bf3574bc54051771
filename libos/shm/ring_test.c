/* SPDX-License-Identifier: MIT
 *
 * The ring: what is written is read, in order, whatever the pieces; full and empty; and what a peer that does not keep
 * to the protocol can do, which is nothing.
 */
#include "libos/shm/ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIZE 4096u

struct both {
    _Alignas(RING_LINE) uint8_t bytes[SIZE];
    _Atomic uint64_t head;
    struct ring_writer w;
    struct ring_reader r;
};

static struct both *both_new(void)
{
    struct both *b = aligned_alloc(RING_LINE, (sizeof *b + RING_LINE - 1) / RING_LINE * RING_LINE);
    assert_non_null(b);
    memset(b, 0, sizeof *b);
    ring_writer_init(&b->w, b->bytes, SIZE, &b->head);
    ring_reader_init(&b->r, b->bytes, SIZE, &b->head);
    return b;
}

static uint8_t pattern(uint64_t i) { return (uint8_t)(i * 7 + i / 251); }

/* Reads what is there and compares it with the pattern from `at`; returns how many bytes. */
static uint32_t read_all(struct both *b, uint64_t at)
{
    struct ring_batch batch;
    uint8_t out[RING_GATHER_SIZE];
    uint32_t n = 0;
    for (;;) {
        assert_int_equal(ring_look_in(&b->r, &batch, sizeof out), 0);
        if (!batch.count) return n;
        ring_take(&b->r, &batch, out);
        for (uint32_t i = 0; i < batch.bytes; i++) assert_int_equal(out[i], pattern(at + n + i));
        n += batch.bytes;
        ring_reader_check(&b->r);
    }
}

static void test_whatever_the_pieces_the_bytes_arrive_in_order(void **state)
{
    struct both *b = both_new();
    uint64_t written = 0, got = 0;
    uint32_t seed = 1;
    uint8_t in[5000];
    for (int round = 0; round < 20000; round++) {
        seed = seed * 1664525u + 1013904223u;
        uint32_t n = seed >> 8 & 1 ? seed >> 9 & 127 : (seed >> 9) % sizeof in;
        for (uint32_t i = 0; i < n; i++) in[i] = pattern(written + i);
        int64_t done = ring_write(&b->w, in, n);
        assert_in_range(done, 0, n);
        written += (uint64_t)done;
        ring_writer_check(&b->w);
        if (seed >> 24 & 1) ring_clear_ahead(&b->w);
        ring_writer_check(&b->w);
        if (seed >> 28 < 10) got += read_all(b, got);
    }
    got += read_all(b, got);
    assert_int_equal(got, written);
    free(b);
}

static void test_a_full_ring_takes_nothing_until_something_is_read(void **state)
{
    struct both *b = both_new();
    uint8_t in[2 * SIZE];
    for (uint32_t i = 0; i < sizeof in; i++) in[i] = pattern(i);
    int64_t n = ring_write(&b->w, in, sizeof in);
    assert_in_range(n, SIZE / 2, SIZE - RING_LINE);
    assert_int_equal(ring_write(&b->w, in, 1), 0);
    assert_int_equal(ring_write_fin(&b->w), -EAGAIN);
    assert_int_equal(read_all(b, 0), n);
    assert_int_equal(ring_write(&b->w, in, 1), 1);
    free(b);
}

static void test_what_has_not_been_read_is_not_cleared(void **state)
{
    struct both *b = both_new();
    uint8_t in[SIZE];
    uint64_t written = 0, got = 0;
    for (uint32_t i = 0; i < sizeof in; i++) in[i] = pattern(i);
    for (unsigned room = SIZE; room; room -= RING_LINE) { /* each distance to what is unread */
        uint32_t n = SIZE - room;
        for (uint32_t i = 0; i < n; i++) in[i] = pattern(written + i);
        for (int64_t done; n && (done = ring_write(&b->w, in + (SIZE - room - n), n < 100 ? n : 100)) > 0;) {
            n -= (uint32_t)done;
            written += (uint64_t)done;
            ring_clear_ahead(&b->w);
            ring_writer_check(&b->w);
        }
        got += read_all(b, got);
        assert_int_equal(got, written);
    }
    free(b);
}

static void test_who_wants_one_record_looks_at_one(void **state)
{
    struct both *b = both_new();
    struct ring_batch batch;
    uint8_t in[10] = {0}, out[10];
    assert_int_equal(ring_write(&b->w, in, 10), 10);
    atomic_store(ring_word(b->bytes, RING_LINE), UINT64_MAX); /* no record */
    assert_int_equal(ring_look_in(&b->r, &batch, 1), 0);
    assert_int_equal(batch.bytes, 10);
    assert_int_equal(ring_look_in(&b->r, &batch, 11), -EPROTO);
    assert_int_equal(ring_look_in(&b->r, &batch, 1), 0);
    ring_take(&b->r, &batch, out);
    assert_int_equal(ring_look_in(&b->r, &batch, 1), -EPROTO);
    free(b);
}

static void test_nothing_is_behind_the_end(void **state)
{
    struct both *b = both_new();
    struct ring_batch batch;
    uint8_t in[100];
    for (uint32_t i = 0; i < sizeof in; i++) in[i] = pattern(i);
    assert_int_equal(ring_write(&b->w, in, sizeof in), sizeof in);
    assert_int_equal(ring_write_fin(&b->w), 0);
    assert_int_equal(ring_write(&b->w, in, sizeof in), sizeof in); /* of a peer who does not stop */
    assert_int_equal(ring_look_in(&b->r, &batch, 1000), 0);
    assert_int_equal(batch.bytes, sizeof in);
    assert_true(batch.fin);
    ring_take(&b->r, &batch, in);
    assert_int_equal(ring_look_in(&b->r, &batch, 1000), 0);
    assert_int_equal(batch.count, 0);
    assert_false(batch.fin);
    free(b);
}

static void test_what_an_older_lap_left_is_no_record(void **state)
{
    struct both *b = both_new();
    uint8_t in[RING_LINE];
    uint64_t like_a_header = (uint64_t)RING_DATA << 32 | 8;
    for (uint32_t i = 0; i < sizeof in; i += 8) memcpy(in + i, &like_a_header, 8);
    for (int i = 0; i < 1000; i++) {
        struct ring_batch batch;
        if (i % 3) ring_clear_ahead(&b->w);
        assert_int_equal(ring_write(&b->w, in, 1 + (unsigned)i % 64), 1 + i % 64);
        assert_int_equal(ring_look_in(&b->r, &batch, 1000), 0);
        assert_int_equal(batch.count, 1);
        assert_int_equal(batch.bytes, 1 + i % 64);
        ring_take(&b->r, &batch, NULL);
        assert_false(ring_has_record(&b->r));
    }
    free(b);
}

static void put_header(struct both *b, uint64_t h) { atomic_store(ring_next(&b->r), h); }

static void test_headers_that_lie_are_refused(void **state)
{
    static const uint64_t lies[] = {
        (uint64_t)RING_DATA << 32,                                       /* no bytes */
        (uint64_t)RING_DATA << 32 | UINT32_MAX,                          /* … and far too many */
        (uint64_t)RING_DATA << 32 | (RING_RECORD_MAX - RING_HEADER + 1), /* … one too many */
        (uint64_t)RING_DATA << 32 | SIZE,                                /* beyond the end */
        (uint64_t)RING_DATA << 32 | (SIZE - RING_HEADER),                /* the whole ring: no line is free */
        (uint64_t)RING_FIN << 32 | 1,
        (uint64_t)3 << 32 | 1,
        1,
        UINT64_MAX,
    };
    for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct both *b = both_new();
        struct ring_batch batch;
        put_header(b, lies[i]);
        assert_int_equal(ring_look_in(&b->r, &batch, 1000), -EPROTO);
        free(b);
    }
    /* Behind good ones, too; and a ring filled all round. */
    struct both *b = both_new();
    struct ring_batch batch;
    for (uint32_t at = 0; at < SIZE; at += RING_LINE)
        atomic_store(ring_word(b->bytes, at), (uint64_t)RING_DATA << 32 | 8);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ring_look_in(&b->r, &batch, 1000), 0);
        assert_int_equal(batch.count, RING_GATHER_MAX);
        ring_take(&b->r, &batch, NULL);
    }
    free(b);
}

static void test_heads_that_lie_are_refused(void **state)
{
    struct both *b = both_new();
    uint8_t in[SIZE] = {0};
    assert_int_equal(ring_write(&b->w, in, 1000), 1000);
    static const uint64_t lies[] = {1, 63, 65, SIZE, UINT64_MAX, UINT64_MAX - 63, (uint64_t)1 << 63};
    for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
        atomic_store(&b->head, lies[i]);
        assert_int_equal(ring_look(&b->w), -EPROTO);
    }
    atomic_store(&b->head, 1024);
    assert_int_equal(ring_look(&b->w), 0);
    atomic_store(&b->head, 512); /* it has been further */
    assert_int_equal(ring_look(&b->w), -EPROTO);
    assert_int_equal(ring_write(&b->w, in, SIZE), -EPROTO);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whatever_the_pieces_the_bytes_arrive_in_order),
        cmocka_unit_test(test_a_full_ring_takes_nothing_until_something_is_read),
        cmocka_unit_test(test_what_has_not_been_read_is_not_cleared),
        cmocka_unit_test(test_who_wants_one_record_looks_at_one),
        cmocka_unit_test(test_nothing_is_behind_the_end),
        cmocka_unit_test(test_what_an_older_lap_left_is_no_record),
        cmocka_unit_test(test_headers_that_lie_are_refused),
        cmocka_unit_test(test_heads_that_lie_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
