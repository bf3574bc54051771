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
    w.walk = walk_new(w.dbs, DBS, on_shown, NULL);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_entry_is_shown_once_as_it_was),
        cmocka_unit_test(test_a_table_that_shrinks_or_grows_meanwhile),
        cmocka_unit_test(test_what_is_flushed_is_shown_from_where_it_went),
        cmocka_unit_test(test_one_that_ends_early_gives_back_what_it_took),
        cmocka_unit_test(test_nothing_to_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
