/* SPDX-License-Identifier: MIT
 *
 * Reassembly against a map with one cell a byte, and what a hostile peer makes of it.
 */
#include "tcp/reasm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"
#include "alloc/buf.h"
#include "alloc/heap.h"

/* Content that depends on place and version: what came first is told from what came later. */
static uint8_t byte_at(tcp_seq seq, unsigned version) { return (uint8_t)(seq * 31 + (seq >> 8) * 7 + version * 101); }

/* n bytes for [seq, seq + n) in storage of `size`, as a device would bring them. */
static struct buf *segment(tcp_seq seq, uint32_t n, uint32_t size, unsigned version)
{
    struct buf *b = buf_take_exact(size > n ? size : n);
    uint8_t *p = buf_put_back(b, n);
    for (uint32_t i = 0; i < n; i++) p[i] = byte_at(seq + i, version);
    return b;
}

static uint32_t put(struct reasm *r, tcp_seq seq, uint32_t n)
{
    struct sack_block dup;
    uint32_t added = reasm_insert(r, seq, segment(seq, n, 2048, 0), false, &dup);
    reasm_check(r, seq - (1 << 20), seq + (1 << 20));
    return added;
}

static void expect_sacks(struct reasm *r, unsigned count, const struct sack_block *want)
{
    struct sack_block got[SACK_BLOCKS_MAX];
    assert_int_equal(reasm_sacks(r, got, SACK_BLOCKS_MAX), count);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(got[i].start, want[i].start);
        assert_int_equal(got[i].end, want[i].end);
    }
}

static void test_nothing_in_gives_nothing_out(void **state)
{
    struct reasm *r = reasm_new();
    struct sack_block dup;
    uint32_t n;
    bool fin;
    assert_int_equal(reasm_insert(r, 10, NULL, false, &dup), 0);
    assert_int_equal(dup.start, dup.end);
    assert_int_equal(reasm_insert(r, 10, segment(10, 0, 64, 0), false, &dup), 0);
    assert_true(reasm_is_empty(r) && reasm_is_empty(NULL));
    assert_null(reasm_take(r, 10, &n, &fin));
    assert_int_equal(n, 0);
    assert_false(fin);
    assert_int_equal(reasm_sacks(r, &dup, 1) + reasm_sacks(NULL, &dup, 1), 0);
    reasm_check(r, 0, 100);
    reasm_free(r);
    reasm_free(NULL);
}

static void test_a_duplicate_is_told_and_not_held(void **state)
{
    struct reasm *r = reasm_new();
    struct sack_block dup;
    assert_int_equal(put(r, 1000, 500), 500);
    size_t used = heap_used();
    assert_int_equal(reasm_insert(r, 1100, segment(1100, 200, 2048, 1), false, &dup), 0);
    assert_int_equal(dup.start, 1100);
    assert_int_equal(dup.end, 1300);
    assert_int_equal(heap_used(), used);
    assert_int_equal(reasm_insert(r, 1400, segment(1400, 200, 2048, 1), false, &dup), 100); /* half of it is new */
    assert_int_equal(dup.start, 1400);
    assert_int_equal(dup.end, 1500);
    assert_int_equal(reasm_insert(r, 1600, segment(1600, 10, 2048, 1), false, &dup), 10);
    assert_int_equal(dup.start, dup.end);
    assert_int_equal(reasm_bytes(r), 610);
    reasm_free(r);
}

static void test_the_range_that_changed_last_is_told_first(void **state)
{
    struct reasm *r = reasm_new();
    for (tcp_seq s = 1000; s <= 6000; s += 1000) assert_int_equal(put(r, s, 100), 100);
    expect_sacks(r, 4, (struct sack_block[]){{6000, 6100}, {5000, 5100}, {4000, 4100}, {3000, 3100}});
    put(r, 1100, 50);
    expect_sacks(r, 4, (struct sack_block[]){{1000, 1150}, {6000, 6100}, {5000, 5100}, {4000, 4100}});
    put(r, 5010, 20); /* a duplicate: RFC 2018 4 wants the block that holds what triggered the ACK */
    expect_sacks(r, 4, (struct sack_block[]){{5000, 5100}, {1000, 1150}, {6000, 6100}, {4000, 4100}});
    put(r, 1900, 1200); /* swallows 2000 and joins 3000 */
    expect_sacks(r, 4, (struct sack_block[]){{1900, 3100}, {5000, 5100}, {1000, 1150}, {6000, 6100}});
    struct sack_block one;
    assert_int_equal(reasm_sacks(r, &one, 1), 1);
    assert_int_equal(one.start, 1900);
    reasm_free(r);
}

static void test_ranges_are_bounded_and_a_full_table_still_merges(void **state)
{
    struct reasm *r = reasm_new();
    for (uint32_t i = 0; i < REASM_RANGES_MAX; i++) assert_int_equal(put(r, 100 + 10 * i, 5), 5);
    assert_int_equal(put(r, 100 + 10 * REASM_RANGES_MAX, 5), 0);
    assert_int_equal(put(r, 90, 5), 0);
    assert_int_equal(put(r, 105, 5), 5); /* joins two */
    assert_int_equal(put(r, 90, 5), 5);  /* so there is room for one */
    assert_int_equal(put(r, 100, 10 * REASM_RANGES_MAX), 10 * REASM_RANGES_MAX - 5 * REASM_RANGES_MAX - 5);
    uint32_t n;
    bool fin;
    struct buf *chain = reasm_take(r, 100, &n, &fin);
    assert_int_equal(n, 10 * REASM_RANGES_MAX);
    assert_int_equal(buf_chain_len(chain), n);
    buf_unref(chain);
    assert_true(reasm_is_empty(r));
    reasm_free(r);
}

static void test_fin_behind_a_hole_waits(void **state)
{
    struct reasm *r = reasm_new();
    struct sack_block dup;
    uint32_t n;
    bool fin;
    assert_int_equal(reasm_insert(r, 200, NULL, true, &dup), 1);
    expect_sacks(r, 1, (struct sack_block[]){{200, 201}});
    assert_int_equal(reasm_insert(r, 200, NULL, true, &dup), 0); /* again */
    assert_int_equal(dup.start, 200);
    assert_int_equal(dup.end, 201);
    assert_int_equal(put(r, 190, 10), 10);
    expect_sacks(r, 1, (struct sack_block[]){{190, 201}});
    assert_int_equal(reasm_bytes(r), 10);
    assert_null(reasm_take(r, 189, &n, &fin));
    assert_false(fin);
    struct buf *chain = reasm_take(r, 190, &n, &fin);
    assert_true(fin);
    assert_int_equal(n, 10);
    assert_int_equal(buf_chain_len(chain), 10);
    buf_unref(chain);
    assert_true(reasm_is_empty(r));

    assert_int_equal(reasm_insert(r, 300, segment(300, 4, 2048, 0), true, &dup), 5);
    assert_null(reasm_take(r, 304, &n, &fin)); /* the bytes came in order, meanwhile */
    assert_true(fin);
    assert_int_equal(n, 0);
    assert_int_equal(reasm_bytes(r), 0);
    reasm_free(r);
}

static void test_a_fin_that_contradicts_is_not_believed(void **state)
{
    struct reasm *r = reasm_new();
    struct sack_block dup;
    put(r, 100, 100);
    /* in front of bytes that are here */
    assert_int_equal(reasm_insert(r, 120, segment(120, 10, 2048, 1), true, &dup), 0);
    expect_sacks(r, 1, (struct sack_block[]){{100, 200}});
    assert_int_equal(reasm_insert(r, 210, NULL, true, &dup), 1);
    assert_int_equal(reasm_insert(r, 215, segment(215, 10, 2048, 1), false, &dup), 0); /* behind the FIN */
    assert_int_equal(reasm_insert(r, 220, NULL, true, &dup), 0);                       /* another FIN */
    assert_int_equal(reasm_insert(r, 205, segment(205, 20, 2048, 1), true, &dup), 5);  /* cut at the first FIN */
    expect_sacks(r, 2, (struct sack_block[]){{205, 211}, {100, 200}});
    reasm_check(r, 99, 211);
    reasm_free(r);
}

static void test_what_came_in_order_meanwhile_is_dropped(void **state)
{
    struct reasm *r = reasm_new();
    uint32_t n;
    bool fin;
    put(r, 100, 10);
    put(r, 200, 10);
    put(r, 300, 1500);
    struct buf *chain = reasm_take(r, 305, &n, &fin);
    assert_int_equal(n, 1495);
    assert_int_equal(chain->data[0], byte_at(305, 0));
    assert_true(reasm_is_empty(r));
    assert_int_equal(reasm_bytes(r), 0);
    buf_unref(chain);
    reasm_free(r);
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* A window of one-byte segments, each in 2 KiB of storage, in the order that `place` gives. */
static void flood(uint32_t count, uint32_t stride, tcp_seq (*place)(uint32_t i, uint32_t count))
{
    struct reasm *r = reasm_new();
    struct sack_block dup;
    size_t before = heap_used();
    for (uint32_t i = 0; i < count; i++) {
        tcp_seq seq = place(i, count) * stride;
        reasm_insert(r, 1 + seq, segment(1 + seq, 1, 2048, 0), false, &dup);
        if (i % 61 == 0) reasm_check(r, 0, count * stride + 1);
    }
    reasm_check(r, 0, count * stride + 1);
    size_t grown = heap_used() - before;
    assert_true(grown <= reasm_memory_max(r));
    reasm_free(r);
}
static tcp_seq ascending(uint32_t i, uint32_t count) { return i; }
static tcp_seq descending(uint32_t i, uint32_t count) { return count - 1 - i; }
static tcp_seq evens_then_odds(uint32_t i, uint32_t count) { return i < count / 2 ? i * 2 : (i - count / 2) * 2 + 1; }
static tcp_seq odds_from_the_right(uint32_t i, uint32_t count)
{
    return i < count / 2 ? i * 2 : (count - 1 - i) * 2 + 1;
}
/* Runs of four, right to left, in each the second before the first. */
static tcp_seq small_runs(uint32_t i, uint32_t count)
{
    uint32_t run = i / 4, in = i % 4;
    return (count / 4 - 1 - run) * 4 + (in ^ 1);
}

static void test_small_segments_in_large_bufs_hold_little_memory(void **state)
{
    static tcp_seq (*const orders[])(uint32_t, uint32_t) = {ascending, descending, evens_then_odds, odds_from_the_right,
                                                            small_runs};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        flood(500, 1, orders[i]);
        flood(20000, 1, orders[i]);
        flood(REASM_RANGES_MAX + 12, 3, orders[i]);
    }
}

/* --- against the map ---------------------------------------------------------------------------------------------- */

#define MAP_SIZE 6000u

struct model {
    tcp_seq base; /* RCV.NXT at cell 0 */
    uint8_t have[MAP_SIZE], value[MAP_SIZE];
    uint32_t taken;
};

static uint32_t model_insert(struct model *m, uint32_t at, const uint8_t *p, uint32_t n, struct sack_block *dup)
{
    uint32_t added = 0;
    bool in_dup = false, dup_ended = false;
    dup->start = dup->end = m->base + at;
    for (uint32_t i = 0; i < n; i++) {
        if (m->have[at + i]) {
            if (!in_dup && !dup_ended) dup->start = m->base + at + i, in_dup = true;
            if (in_dup && !dup_ended) dup->end = m->base + at + i + 1;
            continue;
        }
        if (in_dup) dup_ended = true;
        m->have[at + i] = 1;
        m->value[at + i] = p[i];
        added++;
    }
    return added;
}

static void model_expect_sacks(const struct model *m, const struct reasm *r, uint32_t touched)
{
    struct sack_block got[SACK_BLOCKS_MAX];
    unsigned n = reasm_sacks(r, got, SACK_BLOCKS_MAX);
    assert_true(n > 0);
    assert_true(got[0].start - m->base <= touched && touched < got[0].end - m->base);
    for (unsigned i = 0; i < n; i++) {
        uint32_t start = got[i].start - m->base, end = got[i].end - m->base;
        for (uint32_t k = start; k < end; k++) assert_true(m->have[k]);
        assert_true(!m->have[start - 1]);
        assert_true(end == MAP_SIZE || !m->have[end]);
    }
}

/* Takes from cell `next` on, as if the bytes before had come in order; returns where the next hole is. */
static uint32_t model_take(struct model *m, struct reasm *r, uint32_t next)
{
    uint32_t n, end = next;
    bool fin;
    struct buf *chain = reasm_take(r, m->base + next, &n, &fin);
    while (end < MAP_SIZE && m->have[end]) end++;
    assert_int_equal(n, end - next);
    assert_int_equal(buf_chain_len(chain), n);
    assert_false(fin);
    uint32_t at = next;
    for (const struct buf *b = chain; b; b = b->next) {
        for (uint32_t i = 0; i < b->len; i++) assert_int_equal(b->data[i], m->value[at + i]);
        at += b->len;
    }
    buf_unref(chain);
    return end;
}

static void run_against_model(uint64_t seed, tcp_seq base)
{
    struct rng rng;
    rng_seed(&rng, seed);
    struct model *m = calloc(1, sizeof *m);
    m->base = base;
    struct reasm *r = reasm_new();
    uint32_t next = 0, longest = 1 + (uint32_t)rng_below(&rng, 400);
    for (unsigned step = 0; step < REASM_RANGES_MAX && next + 2 < MAP_SIZE; step++) {
        uint32_t at = next + 1 + (uint32_t)rng_below(&rng, MAP_SIZE - next - 1);
        uint32_t n = 1 + (uint32_t)rng_below(&rng, longest);
        if (n > MAP_SIZE - at) n = MAP_SIZE - at;
        uint32_t size = rng_below(&rng, 2) ? n : 2048;
        struct buf *b = segment(base + at, n, size, step), *other = NULL;
        if (rng_below(&rng, 8) == 0) { /* a view of a larger storage that somebody else holds, too */
            other = b;
            b = buf_slice(other, 0, n);
        }
        struct sack_block dup, want_dup;
        uint32_t want = model_insert(m, at, b->data, n, &want_dup);
        uint32_t got = reasm_insert(r, base + at, b, false, &dup);
        assert_int_equal(got, want);
        assert_int_equal(dup.start, want_dup.start);
        assert_int_equal(dup.end, want_dup.end);
        buf_unref(other);
        reasm_check(r, base + next, base + MAP_SIZE);
        model_expect_sacks(m, r, at);
        if (rng_below(&rng, 10) == 0) { /* a segment in order fills the next hole and may cover more */
            uint32_t reach = (uint32_t)rng_below(&rng, longest);
            uint32_t rest = reach < MAP_SIZE - next ? next + reach : MAP_SIZE;
            for (uint32_t k = next; k < rest; k++) m->have[k] = 1;
            next = model_take(m, r, rest);
            reasm_check(r, base + next, base + MAP_SIZE);
        }
    }
    uint32_t held = 0;
    for (uint32_t k = next; k < MAP_SIZE; k++) held += m->have[k];
    assert_int_equal(reasm_bytes(r), held);
    reasm_free(r);
    free(m);
}

static void test_random_segments_come_out_as_a_byte_map_says(void **state)
{
    size_t before = heap_used();
    for (uint64_t seed = 1; seed <= 60; seed++) {
        run_against_model(seed, (tcp_seq)(seed * 0x9e3779b9u));
        run_against_model(seed, 0u - (uint32_t)(seed * 97 % MAP_SIZE)); /* across the wrap */
        run_against_model(seed, 0x80000000u - (uint32_t)(seed * 89 % MAP_SIZE));
    }
    assert_int_equal(heap_used(), before);
}

static void test_out_of_memory_changes_nothing(void **state)
{
    struct reasm *r = reasm_new();
    struct sack_block dup;
    assert_int_equal(put(r, 1000, 10), 10);
    assert_int_equal(put(r, 3000, 10), 10);
    struct buf *b = segment(900, 10000, 200000, 0);
    heap_set_limit(1);
    uint32_t added = reasm_insert(r, 900, b, false, &dup);
    heap_set_limit(0);
    reasm_check(r, 800, 20000);
    assert_true(added == 0 || added == 10000 - 20); /* small objects may still be at hand */
    assert_int_equal(reasm_bytes(r), 20 + added);
    reasm_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_in_gives_nothing_out),
        cmocka_unit_test(test_a_duplicate_is_told_and_not_held),
        cmocka_unit_test(test_the_range_that_changed_last_is_told_first),
        cmocka_unit_test(test_ranges_are_bounded_and_a_full_table_still_merges),
        cmocka_unit_test(test_fin_behind_a_hole_waits),
        cmocka_unit_test(test_a_fin_that_contradicts_is_not_believed),
        cmocka_unit_test(test_what_came_in_order_meanwhile_is_dropped),
        cmocka_unit_test(test_small_segments_in_large_bufs_hold_little_memory),
        cmocka_unit_test(test_random_segments_come_out_as_a_byte_map_says),
        cmocka_unit_test(test_out_of_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
