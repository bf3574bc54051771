/* SPDX-License-Identifier: MIT */
#include "server/ds/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/assert_test.h"
#include "server/mem.h"

/* Keys are the bytes of a number; `shown` is a counter for walks, `in` and `marked` the model. */
struct item {
    uint32_t id;
    uint32_t shown;
    bool in, marked;
};

static struct bytes item_key(const void *entry)
{
    return bytes_of(&((const struct item *)entry)->id, sizeof(uint32_t));
}

static const struct table_ops ops = {.key = item_key};

struct world {
    struct table t;
    struct item *items;
    uint32_t size, in, marked;
    struct rng rng;
};

static void world_init(struct world *w, uint32_t size, uint64_t seed)
{
    *w = (struct world){.items = calloc(size, sizeof *w->items), .size = size};
    for (uint32_t i = 0; i < size; i++) w->items[i].id = i;
    rng_seed(&w->rng, seed);
    table_init(&w->t, &ops, seed);
}

static void world_fini(struct world *w)
{
    table_fini(&w->t, NULL, NULL);
    free(w->items);
}

static uint64_t item_hash(struct world *w, struct item *it) { return table_hash(&w->t, item_key(it)); }

static struct table_slot find(struct world *w, uint32_t id)
{
    return table_find_slot(&w->t, item_hash(w, &w->items[id]), item_key(&w->items[id]));
}

static void add(struct world *w, uint32_t id)
{
    struct table_slot s = table_insert(&w->t, item_hash(w, &w->items[id]), &w->items[id]);
    assert_ptr_equal(table_slot_entry(s), &w->items[id]);
    w->items[id].in = true;
    w->in++;
}

static void forget(struct world *w, struct item *it)
{
    w->in--;
    w->marked -= it->marked;
    it->in = it->marked = false;
}

static void del(struct world *w, uint32_t id)
{
    assert_ptr_equal(table_delete_slot(&w->t, find(w, id)), &w->items[id]);
    forget(w, &w->items[id]);
}

static void flip(struct world *w, uint32_t id)
{
    if (w->items[id].in) {
        del(w, id);
    } else {
        add(w, id);
    }
}

static void check_all(struct world *w)
{
    table_check(&w->t);
    assert_int_equal(table_count(&w->t), w->in);
    assert_int_equal(table_marked_count(&w->t), w->marked);
    for (uint32_t i = 0; i < w->size; i++) {
        struct table_slot s = find(w, i);
        assert_int_equal(s.bucket != NULL, w->items[i].in);
        if (s.bucket) assert_int_equal(table_slot_is_marked(s), w->items[i].marked);
    }
}

static void test_an_empty_table_finds_nothing(void **state)
{
    struct world w;
    world_init(&w, 1, 1);
    assert_null(table_find(&w.t, item_hash(&w, w.items), item_key(w.items)));
    assert_null(table_delete(&w.t, item_hash(&w, w.items), item_key(w.items)));
    assert_null(table_random(&w.t, &w.rng).bucket);
    assert_null(table_random_marked(&w.t, &w.rng).bucket);
    table_check(&w.t);
    world_fini(&w);
}

static void test_random_changes_agree_with_a_model(void **state)
{
    static const uint32_t sizes[] = {3, 20, 300, 5000, 60000};
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct world w;
        world_init(&w, sizes[k], 42 + k);
        for (uint32_t step = 0; step < 6 * w.size; step++) {
            /* two rounds of mostly growing and mostly shrinking */
            bool growing = step / w.size % 3 != 2;
            uint32_t id = (uint32_t)rng_below(&w.rng, w.size);
            if (w.items[id].in && rng_below(&w.rng, 4) == 0) {
                struct table_slot s = find(&w, id);
                if (rng_below(&w.rng, 2)) {
                    table_mark(&w.t, s, item_hash(&w, &w.items[id]));
                } else {
                    table_unmark(&w.t, s);
                }
                w.marked += table_slot_is_marked(s);
                w.marked -= w.items[id].marked;
                w.items[id].marked = table_slot_is_marked(s);
            } else if (w.items[id].in != growing) {
                flip(&w, id);
            } else if (rng_below(&w.rng, 5) == 0) {
                flip(&w, id);
            }
            if (step % (w.size / 2 + 1) == 0) check_all(&w);
        }
        check_all(&w);
        for (uint32_t id = 0; id < w.size; id++) {
            if (w.items[id].in) del(&w, id);
        }
        check_all(&w);
        while (table_rehash_step(&w.t, 100)) {
        }
        assert_int_equal(w.t.bucket_count, 1);
        assert_true(table_bytes(&w.t) <= 4 * 64 + 16 * 8 * 2);
        world_fini(&w);
    }
}

static void test_replacing_keeps_the_mark(void **state)
{
    struct world w;
    world_init(&w, 1, 5);
    add(&w, 0);
    struct item other = {.id = 0};
    table_mark(&w.t, find(&w, 0), item_hash(&w, w.items));
    table_mark(&w.t, find(&w, 0), item_hash(&w, w.items));
    assert_int_equal(table_marked_count(&w.t), 1);
    table_replace_slot(&w.t, find(&w, 0), &other);
    assert_ptr_equal(table_slot_entry(find(&w, 0)), &other);
    assert_true(table_slot_is_marked(find(&w, 0)));
    table_check(&w.t);
    assert_ptr_equal(table_delete(&w.t, item_hash(&w, &other), item_key(&other)), &other);
    assert_int_equal(table_marked_count(&w.t), 0);
    world_fini(&w);
}

static void test_forbidden_resizing_holds_up_to_five_times_the_fill(void **state)
{
    struct world w;
    world_init(&w, 60000, 9);
    for (uint32_t i = 0; i < 1000; i++) add(&w, i);
    size_t before = w.t.bucket_count;
    table_forbid_resize(&w.t, true);
    for (uint32_t i = 1000; i < 5000; i++) add(&w, i);
    assert_int_equal(w.t.bucket_count, before);
    check_all(&w);
    for (uint32_t i = 5000; i < 60000; i++) add(&w, i);
    assert_true(w.t.bucket_count > before);
    check_all(&w);
    for (uint32_t i = 100; i < 60000; i++) del(&w, i);
    assert_true(w.t.bucket_count > before);
    table_forbid_resize(&w.t, false);
    while (table_rehash_step(&w.t, 10)) {
    }
    assert_true(w.t.bucket_count <= 50);
    check_all(&w);
    world_fini(&w);
}

static void test_the_nominal_size_is_a_power_of_two_that_holds_the_entries(void **state)
{
    struct world w;
    world_init(&w, 5000, 10);
    assert_int_equal(table_nominal_size(&w.t), 4);
    for (uint32_t i = 0; i < 4096; i++) add(&w, i);
    assert_int_equal(table_nominal_size(&w.t), 4096);
    table_forbid_resize(&w.t, true);
    add(&w, 4096);
    add(&w, 4097);
    assert_int_equal(table_nominal_size(&w.t), 4096);
    table_forbid_resize(&w.t, false);
    add(&w, 4098);
    assert_int_equal(table_nominal_size(&w.t), 8192);
    world_fini(&w);
}

static void test_expanding_leaves_no_growing_for_later(void **state)
{
    struct world w;
    world_init(&w, 20000, 10);
    add(&w, 0);
    table_expand(&w.t, 10000);
    size_t buckets = w.t.bucket_count;
    for (uint32_t i = 1; i < 10000; i++) add(&w, i);
    assert_int_equal(w.t.bucket_count, buckets);
    check_all(&w);
    world_fini(&w);
    world_init(&w, 20000, 11);
    table_expand(&w.t, 20000);
    buckets = w.t.bucket_count;
    for (uint32_t i = 0; i < 20000; i++) add(&w, i);
    assert_int_equal(w.t.bucket_count, buckets);
    check_all(&w);
    world_fini(&w);
}

static void count_shown(void *arg, struct table_slot s)
{
    struct item *it = table_slot_entry(s);
    it->shown++;
}

static void test_scan_of_an_unchanged_table_shows_each_entry_once(void **state)
{
    struct world w;
    world_init(&w, 10000, 12);
    for (uint32_t i = 0; i < w.size; i++) {
        add(&w, i);
        if (i != 1 && i != 7 && i != 100 && i != 3333 && i != 9999) continue;
        uint64_t cursor = 0;
        size_t calls = 0;
        for (uint32_t k = 0; k <= i; k++) w.items[k].shown = 0;
        do {
            cursor = table_scan(&w.t, cursor, count_shown, NULL);
            calls++;
        } while (cursor);
        assert_int_equal(calls, w.t.bucket_count);
        for (uint32_t k = 0; k <= i; k++) assert_int_equal(w.items[k].shown, 1);
    }
    world_fini(&w);
}

static void test_scan_shows_what_stays_while_the_table_grows_and_shrinks(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world w;
        world_init(&w, 8000, seed);
        uint32_t start = (uint32_t)rng_below(&w.rng, 8000), stay = (uint32_t)rng_below(&w.rng, 200);
        for (uint32_t i = 0; i < start; i++) add(&w, i);
        if (stay > start) stay = start;
        uint64_t cursor = 0;
        bool growing = seed & 1;
        do {
            cursor = table_scan(&w.t, cursor, count_shown, NULL);
            if (rng_below(&w.rng, 50) == 0) growing = !growing;
            for (int i = 0; i < 40 && w.size > stay; i++) {
                uint32_t id = stay + (uint32_t)rng_below(&w.rng, w.size - stay);
                if (w.items[id].in != growing) flip(&w, id);
            }
        } while (cursor);
        for (uint32_t i = 0; i < stay; i++) assert_true(w.items[i].shown > 0);
        check_all(&w);
        world_fini(&w);
    }
}

static void test_any_number_is_a_cursor_and_the_walk_ends(void **state)
{
    struct world w;
    world_init(&w, 1000, 3);
    for (uint32_t i = 0; i < 1000; i++) add(&w, i);
    for (int i = 0; i < 100; i++) {
        uint64_t cursor = i ? rng_u64(&w.rng) : UINT64_MAX;
        size_t calls = 0;
        do cursor = table_scan(&w.t, cursor, count_shown, NULL);
        while (cursor && ++calls < 1000);
        assert_int_equal(cursor, 0);
    }
    world_fini(&w);
}

static void delete_shown(void *arg, struct table_slot s)
{
    struct world *w = arg;
    struct item *it = table_slot_entry(s);
    assert_true(it->marked);
    table_delete_slot(&w->t, s);
    forget(w, it);
}

static void test_a_walk_over_marked_entries_may_delete_them(void **state)
{
    struct world w;
    world_init(&w, 20000, 4);
    for (uint32_t i = 0; i < w.size; i++) {
        add(&w, i);
        if (i % 3) continue;
        table_mark(&w.t, find(&w, i), item_hash(&w, &w.items[i]));
        w.items[i].marked = true;
        w.marked++;
    }
    struct table_slot s = table_random_marked(&w.t, &w.rng);
    assert_true(s.bucket && table_slot_is_marked(s));
    size_t at = 0;
    do at = table_walk_marked(&w.t, at, delete_shown, &w);
    while (at);
    assert_int_equal(w.marked, 0);
    assert_int_equal(w.in, 13333);
    check_all(&w);
    for (uint32_t i = 0; i < w.size; i++) flip(&w, i);
    check_all(&w);
    world_fini(&w);
}

static void count_marked(void *arg, struct table_slot s)
{
    struct item *it = table_slot_entry(s);
    assert_true(it->marked);
    it->shown++;
    ++*(size_t *)arg;
}

/* All marked entries once, in as many calls as there are buckets with one, and some for bits that lead nowhere. */
static size_t walk_around(struct world *w, size_t *shown)
{
    size_t calls = 0, at = 0;
    for (uint32_t i = 0; i < w->size; i++) w->items[i].shown = 0;
    *shown = 0;
    do {
        at = table_walk_marked(&w->t, at, count_marked, shown);
        calls++;
    } while (at);
    for (uint32_t i = 0; i < w->size; i++) assert_int_equal(w->items[i].shown, w->items[i].marked);
    return calls;
}

static void test_a_walk_finds_few_marked_among_many_in_few_steps(void **state)
{
    enum { SIZE = 300000, MARKED = 100 };
    struct world w;
    size_t shown;
    world_init(&w, SIZE, 5);
    for (uint32_t i = 0; i < SIZE / 2; i++) add(&w, i);
    assert_int_equal(table_marks_bytes(&w.t), 0);
    for (uint32_t i = 0; i < SIZE / 2; i += SIZE / 2 / MARKED) {
        table_mark(&w.t, find(&w, i), item_hash(&w, &w.items[i]));
        w.items[i].marked = true;
        w.marked++;
    }
    for (uint32_t i = SIZE / 2; i < SIZE; i++) add(&w, i); /* buckets are split */
    table_check(&w.t);
    walk_around(&w, &shown); /* forgets the bits that followed no entry into the new half */
    assert_int_equal(shown, MARKED);
    assert_in_range(walk_around(&w, &shown), MARKED / 2, MARKED + 10);
    for (uint32_t i = 0; i < SIZE; i++)
        if (!w.items[i].marked) flip(&w, i); /* and merged */
    while (table_rehash_step(&w.t, 64)) {
    }
    table_check(&w.t);
    walk_around(&w, &shown);
    assert_int_equal(shown, MARKED);
    assert_true(table_marks_bytes(&w.t) < SIZE / 10);
    world_fini(&w);
}

static void test_iterator_shows_each_entry_once_while_entries_are_deleted(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world w;
        world_init(&w, 3000, seed);
        for (uint32_t i = 0; i < w.size; i++) add(&w, i);
        struct table_iter it;
        table_iter_init(&it, &w.t);
        uint32_t shown = 0;
        for (struct item *e; (e = table_iter_next(&it)); shown++) {
            assert_int_equal(e->shown++, 0);
            assert_ptr_equal(table_slot_entry(it.slot), e);
            if (rng_below(&w.rng, 10) >= seed) continue;
            table_delete_slot(&w.t, it.slot);
            forget(&w, e);
        }
        table_iter_fini(&it);
        assert_int_equal(shown, 3000);
        check_all(&w);
        for (uint32_t i = 0; i < w.size; i++) flip(&w, i);
        check_all(&w);
        while (table_rehash_step(&w.t, 10)) {
        }
        check_all(&w);
        world_fini(&w);
    }
}

static void test_iterator_shows_the_older_entries_while_others_are_inserted(void **state)
{
    struct world w;
    world_init(&w, 9000, 17);
    for (uint32_t i = 0; i < 3000; i++) add(&w, i);
    struct table_iter it;
    table_iter_init(&it, &w.t);
    uint32_t next = 3000;
    for (struct item *e; (e = table_iter_next(&it));) {
        e->shown++;
        if (next < 9000) add(&w, next++);
    }
    table_iter_fini(&it);
    for (uint32_t i = 0; i < 3000; i++) assert_true(w.items[i].shown > 0);
    check_all(&w);
    world_fini(&w);
}

/* Sum over n cells of (observed - expected)^2 / expected: mean n - 1, deviation sqrt(2 (n - 1)). */
static double chi_square(const struct item *items, uint32_t n, uint32_t draws)
{
    double expected = (double)draws / n, sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (items[i].shown - expected) * (items[i].shown - expected) / expected;
    return sum;
}

static void test_random_entries_are_equally_likely(void **state)
{
    static const uint32_t sizes[] = {1, 2, 7, 8, 20, 100, 1000};
    for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct world w;
        uint32_t n = sizes[k], draws = 200 * n;
        world_init(&w, 5 * n, k);
        for (uint32_t i = 0; i < 5 * n; i++) add(&w, i);
        for (uint32_t i = n; i < 5 * n; i++) del(&w, i);
        for (uint32_t i = 0; i < draws; i++) {
            ((struct item *)table_slot_entry(table_random(&w.t, &w.rng)))->shown++;
        }
        double deviations = (chi_square(w.items, n, draws) - (n - 1)) / (n > 1 ? __builtin_sqrt(2.0 * (n - 1)) : 1);
        assert_true(deviations < 4);
        world_fini(&w);
    }
}

/* All entries but those of a few buckets are deleted in scan order, as a client with SSCAN and SREM may do. */
static void test_random_entries_are_equally_likely_in_long_chains(void **state)
{
    struct world w;
    world_init(&w, 100000, 77);
    for (uint32_t i = 0; i < w.size; i++) add(&w, i);
    table_forbid_resize(&w.t, true);
    for (uint32_t i = 0; i < w.size; i++) {
        if ((item_hash(&w, &w.items[i]) & 255) != 255) del(&w, i);
    }
    table_forbid_resize(&w.t, false);
    while (table_rehash_step(&w.t, 100)) {
    }
    check_all(&w);
    struct item *left = calloc(w.in, sizeof *left);
    uint32_t n = 0;
    for (uint32_t i = 0; i < 200 * w.in; i++) {
        ((struct item *)table_slot_entry(table_random(&w.t, &w.rng)))->shown++;
    }
    for (uint32_t i = 0; i < w.size; i++) {
        if (w.items[i].in) left[n++] = w.items[i];
    }
    assert_true((chi_square(left, n, 200 * n) - (n - 1)) / __builtin_sqrt(2.0 * (n - 1)) < 4);
    free(left);
    world_fini(&w);
}

static void test_random_finds_the_last_entry_of_a_big_table(void **state)
{
    struct world w;
    world_init(&w, 50000, 8);
    for (uint32_t i = 0; i < w.size; i++) add(&w, i);
    table_forbid_resize(&w.t, true);
    for (uint32_t i = 1; i < w.size; i++) del(&w, i);
    assert_ptr_equal(table_slot_entry(table_random(&w.t, &w.rng)), &w.items[0]);
    world_fini(&w);
}

static void test_an_entry_costs_less_than_13_bytes(void **state)
{
    struct world w;
    world_init(&w, 400000, 21);
    for (uint32_t i = 0; i < w.size; i++) {
        add(&w, i);
        if (i > 20000 && i % 10000 == 0) assert_true(table_bytes(&w.t) < 13.2 * i + 65536);
    }
    struct table_stats st;
    table_stats(&w.t, &st);
    size_t chains = 0, entries = 0;
    for (size_t i = 0; i < TABLE_STATS_CHAIN_MAX; i++) {
        chains += st.with_entries[i];
        entries += i * st.with_entries[i];
    }
    assert_int_equal(chains, st.bucket_count);
    assert_int_equal(entries, st.count);
    assert_true(st.longest <= w.t.longest);
    world_fini(&w);
}

static uint64_t freed;
static void count_freed(void *arg, void *entry) { freed += ((struct item *)entry)->id + *(uint32_t *)arg; }

static void test_fini_hands_back_every_entry(void **state)
{
    struct world w;
    uint32_t one = 1;
    world_init(&w, 10000, 22);
    for (uint32_t i = 0; i < w.size; i++) add(&w, i);
    freed = 0;
    table_fini(&w.t, count_freed, &one);
    assert_int_equal(freed, 10000ull * 9999 / 2 + 10000);
    free(w.items);
}

static void test_prefetching_changes_nothing(void **state)
{
    struct world w;
    world_init(&w, 1000, 23);
    for (uint32_t i = 0; i < 500; i++) add(&w, i);
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t hash = item_hash(&w, &w.items[i]);
        table_prefetch_entry(table_prefetch_bucket(&w.t, hash), hash);
    }
    check_all(&w);
    world_fini(&w);
}

static void check_table(void *t) { table_check(t); }

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3000, 21);
    for (uint32_t i = 0; i < w.size; i++) add(&w, i);
    struct table *t = &w.t;
    table_mark(t, find(&w, 7), item_hash(&w, &w.items[7]));
    table_check(t);
    SEEN(check_table, t, t->count, t->count + 1, "sums.count == t->count");
    SEEN(check_table, t, t->marked_count, 0, "sums.marked == t->marked_count");
    SEEN(check_table, t, t->chain_bytes, t->chain_bytes + 8, "sums.chain_bytes == t->chain_bytes");
    SEEN(check_table, t, t->mask, t->mask - 1, "(t->mask & (t->mask + 1)) == 0");
    SEEN(check_table, t, t->mask, t->mask >> 2, "t->bucket_count <= t->mask");
    SEEN(check_table, t, t->mask, t->mask << 1 | 1, "t->bucket_count > t->mask / 2");
    SEEN(check_table, t, t->bucket_count, 0, "t->bucket_count > 0");
    SEEN(check_table, t, t->segs_room, 0, "t->segs_room >=");
    SEEN(check_table, t, t->longest, 0, "held <= t->longest");
    SEEN(check_table, t, t->seed, t->seed + 1, "hash");
    struct table_marks *marks = t->marks;
    t->marks = NULL;
    assert_is_seen(check_table, t, "marks", "has_word(t, i)", __LINE__);
    t->marks = marks;

    struct table_slot s = find(&w, 7);
    uint64_t *slot = &s.bucket->slot[s.index];
    SEEN(check_table, t, *slot, *slot ^ (uint64_t)1 << 50, "TABLE_EXT_MASK");
    SEEN(check_table, t, *slot, *slot & ~TABLE_MARK, "sums.marked == t->marked_count");
    SEEN(check_table, t, s.bucket->meta, s.bucket->meta ^ (uint64_t)1 << (8 * s.index), "tag ==");
    SEEN(check_table, t, s.bucket->meta, s.bucket->meta & ~((uint64_t)0xff << (8 * s.index)), "b->slot[i] == 0");
    SEEN(check_table, t, s.head->meta, s.head->meta | (uint64_t)6 << 56, "slots");
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_table_finds_nothing),
        cmocka_unit_test(test_random_changes_agree_with_a_model),
        cmocka_unit_test(test_replacing_keeps_the_mark),
        cmocka_unit_test(test_forbidden_resizing_holds_up_to_five_times_the_fill),
        cmocka_unit_test(test_the_nominal_size_is_a_power_of_two_that_holds_the_entries),
        cmocka_unit_test(test_expanding_leaves_no_growing_for_later),
        cmocka_unit_test(test_scan_of_an_unchanged_table_shows_each_entry_once),
        cmocka_unit_test(test_scan_shows_what_stays_while_the_table_grows_and_shrinks),
        cmocka_unit_test(test_any_number_is_a_cursor_and_the_walk_ends),
        cmocka_unit_test(test_a_walk_over_marked_entries_may_delete_them),
        cmocka_unit_test(test_a_walk_finds_few_marked_among_many_in_few_steps),
        cmocka_unit_test(test_iterator_shows_each_entry_once_while_entries_are_deleted),
        cmocka_unit_test(test_iterator_shows_the_older_entries_while_others_are_inserted),
        cmocka_unit_test(test_random_entries_are_equally_likely),
        cmocka_unit_test(test_random_entries_are_equally_likely_in_long_chains),
        cmocka_unit_test(test_random_finds_the_last_entry_of_a_big_table),
        cmocka_unit_test(test_an_entry_costs_less_than_13_bytes),
        cmocka_unit_test(test_fini_hands_back_every_entry),
        cmocka_unit_test(test_prefetching_changes_nothing),
        cmocka_unit_test(test_the_check_sees_each_spoilt_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
