/* SPDX-License-Identifier: MIT
 *
 * The walk against a copy: what three databases hold when it begins is noted, then they are changed at random between
 * its steps, emptied and exchanged among it, grown and shrunk; each entry noted must be shown once, as it was. Seeded;
 * a failing run names its seed.
 */
#include "server/db/hooks_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "alloc/base/clock.h"
#include "server/db/walk.h"
#include "server/ds/dict.h"
#include "server/mem.h"

#define DBS  3
#define KEYS 6000

struct noted {
    bool there, shown;
    char text[40]; /* value and expiry */
};

struct world {
    struct db dbs[DBS];
    struct call c;
    struct noted noted[DBS][KEYS];
    struct walks walks;
    struct walk *walk;
    unsigned keys; /* that random choices are made among */
    uint64_t seed;
};

static struct world w;

static unsigned below(unsigned n) { return (unsigned)rng_below(&fake.rng, n); }

static struct bytes name_of(unsigned k, char buf[32]) { return bytes_of(buf, (size_t)snprintf(buf, 32, "key:%u", k)); }

static unsigned number_of(const struct entry *e)
{
    char buf[32] = {0};
    memcpy(buf, entry_key(e).p, entry_key(e).n);
    return (unsigned)atoi(buf + 4);
}

static void describe(const struct entry *e, char text[40])
{
    char buf[ENTRY_STR_BUF];
    struct bytes v = entry_string(e, buf);
    snprintf(text, 40, "%.*s %lld", (int)(v.n < 16 ? v.n : 16), v.p, (long long)entry_expire(e));
}

static void note(void *arg, const struct entry *e)
{
    struct noted *n = &((struct noted *)arg)[number_of(e)];
    n->there = true;
    describe(e, n->text);
}

static void on_shown(void *arg, int db, const struct entry *e)
{
    struct noted *n = &w.noted[db][number_of(e)];
    char text[40];
    describe(e, text);
    if (!n->there || n->shown || strcmp(text, n->text) != 0)
        fail_msg("seed %llu: %d:%u shown as %s; there %d, shown before %d, was %s", (unsigned long long)w.seed, db,
                 number_of(e), text, n->there, n->shown, n->text);
    n->shown = true;
}

static void change(void)
{
    char buf[32], other[32], value[32];
    fake.serial++;
    w.c.db = &w.dbs[below(DBS)];
    struct key_ref key = key_ref_of(w.c.db, name_of(below(w.keys), buf));
    struct key_ref second = key_ref_of(w.c.db, name_of(below(w.keys), other));
    struct bytes v = bytes_of(value, (size_t)snprintf(value, sizeof value, "%llx", (unsigned long long)fake.serial));
    switch (below(8)) {
    case 0 ... 2: db_put_string(&w.c, &key, v, below(4) ? -1 : w.c.now_ms + (int64_t)below(500), 0); break;
    case 3: {
        struct entry *e = db_lookup_write(&w.c, &key);
        if (e) memset(db_string_edit(&w.c, &key, &e, 5), 'e', 5);
        break;
    }
    case 4: {
        struct entry *e = db_lookup_write(&w.c, &key);
        struct db *to = &w.dbs[below(DBS)];
        if (e && (to != w.c.db || !bytes_equal(key.name, second.name))) db_move(&w.c, &key, e, to, &second);
        break;
    }
    case 5: w.c.now_ms += below(3); break;
    default: db_delete(&w.c, &key); break;
    }
    if (below(3000) == 0) db_flush(&w.c, w.c.db, below(2));
    if (below(2000) == 0) db_swap(&w.c, w.c.db, &w.dbs[below(DBS)]);
    if (below(50) == 0) db_resize_some(w.c.db, demi_clock_ns() + 20000);
}

static void fill(unsigned keys)
{
    char buf[32];
    for (unsigned d = 0; d < DBS; d++) {
        w.c.db = &w.dbs[d];
        for (unsigned i = 0; i < keys; i++) {
            struct key_ref key = key_ref_of(w.c.db, name_of(below(KEYS), buf));
            fake.serial++;
            db_put_string(&w.c, &key, key.name, below(3) ? -1 : w.c.now_ms + (int64_t)below(5000), 0);
        }
    }
}

static void begin(uint64_t seed, unsigned slices)
{
    memset(&w, 0, sizeof w);
    w.seed = seed;
    w.keys = KEYS;
    for (int i = 0; i < DBS; i++) assert_int_equal(db_init(&w.dbs[i], i, slices, 77), 0);
    w.c = fake_call(&w.dbs[0]);
    rng_seed(&fake.rng, seed);
}

static void start_walk(void)
{
    for (int i = 0; i < DBS; i++) {
        memset(w.noted[i], 0, sizeof w.noted[i]);
        db_each(&w.dbs[i], note, w.noted[i]);
    }
    w.walk = walk_new(&w.walks, w.dbs, DBS, &w.c, &(struct walk_reader){.entry = on_shown});
}

static void all_were_shown(void)
{
    for (int i = 0; i < DBS; i++)
        for (unsigned k = 0; k < KEYS; k++)
            if (w.noted[i][k].there != w.noted[i][k].shown)
                fail_msg("seed %llu: %d:%u was not shown", (unsigned long long)w.seed, i, k);
}

static void end(void)
{
    for (int i = 0; i < DBS; i++) {
        assert_null(w.dbs[i].slices[0].preimage);
        for (unsigned k = 0; k < w.dbs[i].slice_count; k++) table_check(&w.dbs[i].slices[k].table);
        db_fini(&w.dbs[i]);
    }
}

static void test_each_entry_is_shown_once_as_it_was(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        begin(seed, seed % 3 ? 1 : 16);
        fill(below(KEYS));
        start_walk();
        unsigned pace = 1 + below(40);
        if (below(2)) w.keys = KEYS / 50; /* the same few again and again, among many */
        do
            for (unsigned i = 0; i < pace; i++) change();
        while (!walk_some(w.walk, &w.c, 0));
        all_were_shown();
        walk_free(w.walk, &w.c);
        end();
    }
}

static void test_a_table_that_shrinks_or_grows_meanwhile(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed, 1);
        fill(seed % 2 ? KEYS : 300);
        start_walk();
        char buf[32];
        for (unsigned k = 0, done = 0; !done; k++) {
            fake.serial++;
            w.c.db = &w.dbs[k % DBS];
            struct key_ref key = key_ref_of(w.c.db, name_of(k / DBS % KEYS, buf));
            if (seed % 2) db_delete(&w.c, &key);
            else db_put_string(&w.c, &key, BYTES("new"), -1, 0);
            db_resize_some(w.c.db, demi_clock_ns() + 100000);
            if (k % 50 == 0) done = walk_some(w.walk, &w.c, 0);
        }
        all_were_shown();
        walk_free(w.walk, &w.c);
        end();
    }
}

static void test_what_is_flushed_is_shown_from_where_it_went(void **state)
{
    (void)state;
    begin(1, 16);
    fill(2000);
    start_walk();
    assert_false(walk_some(w.walk, &w.c, 0));
    for (int i = 0; i < DBS; i++) db_flush(&w.c, &w.dbs[i], false);
    fill(1000);
    assert_int_equal(fake.lazy, 0); /* the walk has it */
    while (!walk_some(w.walk, &w.c, 0)) change();
    assert_int_equal(fake.lazy, DBS);
    all_were_shown();
    walk_free(w.walk, &w.c);
    end();
}

static void test_one_that_ends_early_gives_back_what_it_took(void **state)
{
    (void)state;
    size_t before = demi_mem_used();
    begin(1, 1);
    fill(2000);
    start_walk();
    walk_some(w.walk, &w.c, 0);
    for (unsigned i = 0; i < 500; i++) change();
    db_flush(&w.c, &w.dbs[1], true);
    assert_true(walk_bytes(w.walk) > 0);
    walk_free(w.walk, &w.c);
    end();
    assert_int_equal(demi_mem_used(), before);
}

static void test_nothing_to_show(void **state)
{
    (void)state;
    begin(1, 1);
    start_walk();
    fill(100);
    assert_true(walk_some(w.walk, &w.c, 0));
    assert_int_equal(walk_keys(w.walk, 1), 0);
    walk_free(w.walk, &w.c);
    end();
}

/* --- large ones --------------------------------------------------------------------------------------------------- */

#define LARGE       12
#define LARGE_COUNT 10000u
#define A_STEP      230u /* members */

/* What the reader of large ones knows. */
static struct {
    unsigned sum[DBS][LARGE]; /* of the members at the beginning; 0: it was not there */
    bool shown[DBS][LARGE];
    const struct entry *e; /* the one under way */
    int db;
    unsigned found;
    struct dict_iter it;
    unsigned begun, abandoned, at_once;
} large;

static struct bytes large_name(unsigned k, char buf[32])
{
    return bytes_of(buf, (size_t)snprintf(buf, 32, "large:%u", k));
}

static void put_large(unsigned k, unsigned members)
{
    char buf[32], text[16];
    struct dict *d = mem_alloc(sizeof *d);
    dict_init_set(d, 7);
    for (unsigned i = 0; i < members; i++)
        dict_add(d, bytes_of(text, (size_t)snprintf(text, sizeof text, "%u", below(1000000))));
    fake.serial++;
    struct key_ref key = key_ref_of(w.c.db, large_name(k, buf));
    db_put_value(&w.c, &key, (struct value){.type = OBJ_SET, .enc = ENC_HT, .p = d}, -1, 0);
}

static unsigned member_value(struct bytes m)
{
    char text[16] = {0};
    memcpy(text, m.p, m.n);
    return (unsigned)atoi(text);
}

static unsigned sum_of(const struct entry *e)
{
    struct dict_iter it;
    struct bytes m;
    unsigned sum = 1;
    dict_iter_init(&it, entry_ptr(e));
    while (dict_iter_next(&it, &m, NULL)) sum += member_value(m);
    dict_iter_fini(&it);
    return sum;
}

static unsigned number_of_large(const struct entry *e)
{
    char buf[32] = {0};
    memcpy(buf, entry_key(e).p, entry_key(e).n);
    return (unsigned)atoi(buf + 6);
}

static void was_shown(int db, const struct entry *e, unsigned sum)
{
    unsigned k = number_of_large(e);
    if (large.shown[db][k] || sum != large.sum[db][k])
        fail_msg("seed %llu: %d:%u shown as %u; shown before %d, was %u", (unsigned long long)w.seed, db, k, sum,
                 large.shown[db][k], large.sum[db][k]);
    large.shown[db][k] = true;
}

static void on_entry(void *arg, int db, const struct entry *e)
{
    if (e->type == OBJ_STRING) {
        on_shown(arg, db, e);
        return;
    }
    was_shown(db, e, sum_of(e));
    large.at_once++;
}

static void on_large(void *arg, int db, const struct entry *e)
{
    (void)arg;
    assert_null(large.e);
    large.e = e;
    large.db = db;
    large.found = 1;
    large.begun++;
    dict_iter_init(&large.it, entry_ptr(e));
}

static bool on_more(void *arg, uint64_t deadline_ns)
{
    struct bytes m;
    (void)arg;
    for (unsigned i = 0; deadline_ns == UINT64_MAX || i < A_STEP; i++) {
        if (!dict_iter_next(&large.it, &m, NULL)) {
            dict_iter_fini(&large.it);
            was_shown(large.db, large.e, large.found);
            large.e = NULL;
            return true;
        }
        large.found += member_value(m);
    }
    return false;
}

static void on_abandon(void *arg)
{
    (void)arg;
    dict_iter_fini(&large.it);
    large.e = NULL;
    large.abandoned++;
}

static const struct walk_reader in_steps = {on_entry, on_large, on_more, on_abandon, NULL};

static void note_any(void *arg, const struct entry *e)
{
    int db = *(const int *)arg;
    if (e->type == OBJ_STRING) note(w.noted[db], e);
    else large.sum[db][number_of_large(e)] = sum_of(e);
}

static void start_walk_in_steps(void)
{
    memset(&large, 0, sizeof large);
    for (int i = 0; i < DBS; i++) {
        memset(w.noted[i], 0, sizeof w.noted[i]);
        db_each(&w.dbs[i], note_any, &i);
    }
    w.walk = walk_new(&w.walks, w.dbs, DBS, &w.c, &in_steps);
}

/* A command for a large one: it asks first, and mostly waits if it has to. */
static void change_large(void)
{
    char buf[32];
    fake.serial++;
    w.c.db = &w.dbs[below(DBS)];
    unsigned k = below(LARGE);
    struct key_ref key = key_ref_of(w.c.db, large_name(k, buf));
    bool held = walk_holds(w.walk, w.c.db, &key);
    const struct entry *e = db_peek(&w.c, &key);
    if (held) assert_non_null(e);
    if (held && below(5)) {
        assert_true(walk_holds(w.walk, w.c.db, &key));
        return;
    }
    switch (below(3)) {
    case 0: db_delete(&w.c, &key); break;
    case 1: put_large(k, 5); break;
    default: return;
    }
    assert_false(walk_holds(w.walk, w.c.db, &key)); /* it was shown, or is new */
}

static void all_large_were_shown(void)
{
    all_were_shown();
    assert_null(large.e);
    for (int i = 0; i < DBS; i++)
        for (unsigned k = 0; k < LARGE; k++) assert_int_equal(large.shown[i][k], large.sum[i][k] != 0);
}

static void fill_large(void)
{
    for (int i = 0; i < DBS; i++) {
        w.c.db = &w.dbs[i];
        for (unsigned k = 0; k < LARGE; k++)
            if (below(4)) put_large(k, below(2) ? LARGE_COUNT : 20);
    }
}

static void test_large_collections_are_shown_in_steps(void **state)
{
    unsigned begun = 0, at_once = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        begin(seed, seed % 3 ? 1 : 16);
        fill(below(KEYS / 4));
        fill_large();
        start_walk_in_steps();
        unsigned pace = 1 + below(20), stubborn = below(8);
        do {
            for (unsigned i = 0; i < pace; i++) change();
            if (below(8) <= stubborn) change_large();
        } while (!walk_some(w.walk, &w.c, 0));
        all_large_were_shown();
        begun += large.begun;
        at_once += large.at_once;
        walk_free(w.walk, &w.c);
        end();
    }
    assert_true(begun > 100 && at_once > 100);
}

/* Whoever waits is let go when it was shown, and knows. */
static void test_who_waits_for_a_large_one_is_let_go(void **state)
{
    char buf[32];
    (void)state;
    begin(1, 1);
    put_large(1, LARGE_COUNT);
    put_large(2, 20);
    start_walk_in_steps();
    struct key_ref big = key_ref_of(&w.dbs[0], large_name(1, buf));
    assert_true(walk_holds(w.walk, &w.dbs[0], &big));
    assert_true(walk_holds(w.walk, &w.dbs[0], &big));
    assert_false(walk_has_let_go(w.walk));
    unsigned turns = 0;
    while (walk_holds(w.walk, &w.dbs[0], &big) && !walk_some(w.walk, &w.c, 0)) turns++;
    assert_in_range(turns, LARGE_COUNT / A_STEP / 2, LARGE_COUNT / A_STEP + 5);
    assert_true(walk_has_let_go(w.walk));
    assert_false(walk_has_let_go(w.walk));
    char other[32];
    struct key_ref small = key_ref_of(&w.dbs[0], large_name(2, other)), none = key_ref_of(&w.dbs[0], BYTES("none"));
    assert_false(walk_holds(w.walk, &w.dbs[0], &small));
    assert_false(walk_holds(w.walk, &w.dbs[0], &none));
    assert_false(walk_holds(NULL, &w.dbs[0], &big));
    while (!walk_some(w.walk, &w.c, 0)) {
    }
    all_large_were_shown();
    walk_free(w.walk, &w.c);
    end();
}

static void test_one_that_ends_in_a_large_one_abandons_it(void **state)
{
    (void)state;
    size_t before = demi_mem_used();
    begin(1, 1);
    put_large(1, LARGE_COUNT);
    start_walk_in_steps();
    while (!large.e) walk_some(w.walk, &w.c, 0);
    walk_free(w.walk, &w.c);
    assert_int_equal(large.abandoned, 1);
    end();
    assert_int_equal(demi_mem_used(), before);
}

/* More early ends in a row than there are stamps, with and without somebody who tidies. */
static void test_walks_that_end_early_leave_nothing_to_stumble_over(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        begin(seed, seed % 2 ? 1 : 16);
        fill(600);
        for (unsigned n = 0; n < 100; n++) {
            start_walk();
            for (unsigned i = below(4); i > 0; i--) {
                walk_some(w.walk, &w.c, 0);
                change();
            }
            walk_free(w.walk, &w.c);
            for (unsigned i = below(3); i > 0 && seed > 3; i--) {
                walks_tidy(&w.walks, w.dbs, DBS, &w.c, 0);
                change();
            }
        }
        start_walk();
        while (!walk_some(w.walk, &w.c, 0)) change();
        all_were_shown();
        walk_free(w.walk, &w.c);
        assert_int_equal(w.walks.stale, 0);
        walks_end_tidying(&w.walks, &w.c);
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_entry_is_shown_once_as_it_was),
        cmocka_unit_test(test_a_table_that_shrinks_or_grows_meanwhile),
        cmocka_unit_test(test_what_is_flushed_is_shown_from_where_it_went),
        cmocka_unit_test(test_one_that_ends_early_gives_back_what_it_took),
        cmocka_unit_test(test_nothing_to_show),
        cmocka_unit_test(test_large_collections_are_shown_in_steps),
        cmocka_unit_test(test_who_waits_for_a_large_one_is_let_go),
        cmocka_unit_test(test_one_that_ends_in_a_large_one_abandons_it),
        cmocka_unit_test(test_walks_that_end_early_leave_nothing_to_stumble_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
