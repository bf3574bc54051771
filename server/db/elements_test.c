/* SPDX-License-Identifier: MIT
 *
 * A set, a hash and a sorted set against a copy: what they hold is noted, then elements change at random between steps
 * of one element, a few or many, before the turn comes and during it, while the table grows and shrinks; each element
 * noted must be shown once, as it was, and no other. Seeded; a failing run names its seed.
 */
#include "server/db/elements.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "alloc/base/rng.h"
#include "server/db/entry_build.h"
#include "server/ds/dict.h"
#include "server/ds/ztree.h"
#include "server/mem.h"

#define MEMBERS 4000u

struct noted {
    bool there, shown;
    unsigned value; /* a hash's */
    double score;   /* a sorted set's */
};

static struct {
    enum obj_type type;
    struct entry *e;
    struct noted noted[MEMBERS];
    size_t count, shown, by_changes, kept;
    bool begun, changing;
    struct elements x;
    struct elements_reader reader;
    struct rng rng;
    unsigned long long seed;
} w;

static unsigned below(unsigned n) { return (unsigned)rng_below(&w.rng, n); }

/* Of several lengths, one of them none. */
static struct bytes name_of(unsigned k, char buf[64])
{
    int n = k == 0        ? 0
            : k % 50 == 0 ? snprintf(buf, 64, "a member with a long name, number %u", k)
                          : snprintf(buf, 64, "m%u", k);
    return bytes_of(buf, (size_t)n);
}

static unsigned number_of(struct bytes member)
{
    char buf[64] = {0};
    memcpy(buf, member.p, member.n);
    return member.n ? (unsigned)atoi(buf + strcspn(buf, "0123456789")) : 0;
}

static struct bytes value_of(unsigned v, char buf[64])
{
    return bytes_of(buf, (size_t)snprintf(buf, 64, v % 7 ? "%u" : "%u, which is a longer value than others have", v));
}

static unsigned number_of_value(struct bytes value)
{
    char buf[64] = {0};
    memcpy(buf, value.p, value.n);
    return (unsigned)atoi(buf);
}

static size_t count(void) { return w.type == OBJ_ZSET ? ztree_count(entry_ptr(w.e)) : dict_count(entry_ptr(w.e)); }

/* --- changed ------------------------------------------------------------------------------------------------------ */

static void put(unsigned k)
{
    char buf[64], text[64];
    struct bytes member = name_of(k, buf);
    double had, score = below(3) ? below(200) : below(2) ? -0.0 : below(1000000) / 7.0;
    if (w.type == OBJ_SET) dict_add(entry_ptr(w.e), member);
    else if (w.type == OBJ_HASH) dict_set(entry_ptr(w.e), member, value_of(below(100000), text));
    else if (below(4)) ztree_set(entry_ptr(w.e), member, score);
    else ztree_add(entry_ptr(w.e), member, score, &had);
}

static void take(unsigned k)
{
    char buf[64];
    struct bytes member = name_of(k, buf);
    if (w.type == OBJ_ZSET) ztree_delete(entry_ptr(w.e), member);
    else dict_delete(entry_ptr(w.e), member);
}

/* The member lies in what it is taken from. */
static void take_any(void)
{
    struct bytes member;
    size_t n = count();
    if (n == 0) return;
    if (w.type != OBJ_ZSET) {
        dict_random(entry_ptr(w.e), &w.rng, &member, NULL);
        dict_delete(entry_ptr(w.e), member);
        return;
    }
    size_t at = below(3) ? below((unsigned)n) : below(2) ? 0 : n - 1;
    ztree_delete_span(entry_ptr(w.e), (struct ztree_span){at, at + 1 + below(3)}, NULL, NULL);
}

static void change(unsigned add_percent)
{
    w.changing = true;
    if (below(100) < add_percent) put(below(MEMBERS));
    else if (below(2)) take(below(MEMBERS));
    else take_any();
    w.changing = false;
}

/* --- shown -------------------------------------------------------------------------------------------------------- */

static void on_show(void *arg, const struct entry *e, const struct element *el)
{
    assert_ptr_equal(arg, &w);
    assert_ptr_equal(e, w.e);
    struct noted *n = &w.noted[number_of(el->member)];
    bool same = w.type == OBJ_SET || (w.type == OBJ_HASH ? number_of_value(el->value) == n->value
                                                         : memcmp(&el->score, &n->score, sizeof n->score) == 0);
    if (!w.begun || !n->there || n->shown || !same)
        fail_msg("seed %llu, type %d: %.*s shown; there %d, shown before %d, as it was %d", w.seed, w.type,
                 (int)el->member.n, el->member.p, n->there, n->shown, same);
    n->shown = true;
    w.shown++;
    w.by_changes += w.changing;
}

static void on_kept(void *arg)
{
    assert_ptr_equal(arg, &w);
    w.kept++;
}

static void note_one(struct bytes member, struct bytes value, double score)
{
    w.noted[number_of(member)] = (struct noted){.there = true, .value = number_of_value(value), .score = score};
    w.count++;
}

static void note_all(void)
{
    struct bytes member, value;
    double score;
    struct dict_iter it;
    if (w.type == OBJ_ZSET) {
        for (struct ztree_pos p = ztree_at(entry_ptr(w.e), 0); !ztree_pos_is_end(p); p = ztree_next(p)) {
            member = ztree_get(p, &score);
            note_one(member, BYTES(""), score);
        }
        return;
    }
    dict_iter_init(&it, entry_ptr(w.e));
    while (dict_iter_next(&it, &member, &value)) note_one(member, value, 0);
    dict_iter_fini(&it);
}

/* --- a world ------------------------------------------------------------------------------------------------------ */

static struct entry *entry_new_of(enum obj_type type)
{
    struct value v = {.type = type, .enc = type == OBJ_ZSET ? ENC_SKIPLIST : ENC_HT};
    v.p = mem_alloc(type == OBJ_ZSET ? sizeof(struct ztree) : sizeof(struct dict));
    if (type == OBJ_ZSET) ztree_init(v.p, 5);
    else if (type == OBJ_HASH) dict_init_map(v.p, 5);
    else dict_init_set(v.p, 5);
    return entry_new_value(BYTES("key"), v, -1);
}

/* Of so many members put in, or (`up_to`) any number below that, some of which go again. */
static void begin(enum obj_type type, unsigned long long seed, unsigned members, bool up_to)
{
    memset(&w, 0, sizeof w);
    w.type = type;
    w.seed = seed;
    rng_seed(&w.rng, seed);
    w.e = entry_new_of(type);
    if (up_to) members = below(members);
    for (unsigned i = 0; i < members; i++) put(below(MEMBERS));
    for (unsigned i = below(members + 1); i > 0; i--) take(below(MEMBERS));
    note_all();
    w.reader = (struct elements_reader){.show = on_show, .kept = on_kept, .arg = &w};
    elements_init(&w.x, w.e, &w.reader);
    assert_ptr_equal(elements_of(w.e), &w.x);
    assert_int_equal(elements_count(&w.x), w.count);
}

static void start_turn(void)
{
    w.begun = true;
    elements_begin(&w.x);
}

static void all_were_shown(void)
{
    if (w.shown != w.count) fail_msg("seed %llu, type %d: %zu of %zu were shown", w.seed, w.type, w.shown, w.count);
}

static void end(void)
{
    elements_fini(&w.x);
    assert_int_equal(w.reader.bytes, 0);
    assert_null(elements_of(w.e));
    if (w.type == OBJ_ZSET) ztree_check(entry_ptr(w.e));
    else dict_check(entry_ptr(w.e));
    entry_free(w.e);
}

static const enum obj_type types[] = {OBJ_SET, OBJ_HASH, OBJ_ZSET};

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void test_each_element_is_shown_once_as_it_was(void **state)
{
    size_t before = demi_mem_used(), by_changes = 0, kept = 0;
    (void)state;
    for (unsigned long long seed = 1; seed <= 240; seed++) {
        begin(types[seed % 3], seed, MEMBERS * 2, true);
        unsigned pace = below(12), add_percent = below(4) * 33, early = below(3) ? below(600) : 0;
        size_t step = below(3) ? 1 : 1 + below(2000);
        for (unsigned i = 0; i < early; i++) change(add_percent);
        start_turn();
        do
            for (unsigned i = below(pace + 1); i > 0; i--) change(add_percent);
        while (!elements_some(&w.x, step));
        for (unsigned i = 0; i < 20; i++) change(50);
        all_were_shown();
        by_changes += w.by_changes;
        kept += w.kept;
        end();
    }
    assert_true(by_changes > 1000 && kept > by_changes);
    assert_int_equal(demi_mem_used(), before);
}

/* All goes, or twenty times as much comes, while it is shown. */
static void test_a_table_that_shrinks_or_grows_meanwhile(void **state)
{
    (void)state;
    for (unsigned long long seed = 1; seed <= 60; seed++) {
        bool shrinks = seed / 3 % 2;
        begin(types[seed % 3], seed, shrinks ? MEMBERS : 150, false);
        size_t bytes = 1;
        start_turn();
        unsigned k = 0;
        w.changing = true;
        while (!elements_some(&w.x, bytes)) {
            for (unsigned i = 0; i < (shrinks ? 3 : 40); i++, k++) {
                if (shrinks) take(k % MEMBERS);
                else put(k % MEMBERS);
            }
        }
        all_were_shown();
        if (shrinks) assert_true(w.by_changes > 0);
        end();
    }
}

/* What changes before the turn comes is kept, and shown first; what is emptied has nothing else to show. */
static void test_what_goes_before_its_turn_is_shown_then(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        begin(types[i], 7, MEMBERS, false);
        while (count()) take_any();
        assert_int_equal(w.shown, 0);
        assert_int_equal(w.kept, w.count);
        assert_true(w.reader.bytes > w.count * 10);
        start_turn();
        size_t turns = 1;
        size_t kept = w.reader.bytes;
        for (; !elements_some(&w.x, 1); turns++) assert_true(w.shown >= turns || w.shown == w.count);
        assert_true(w.reader.bytes < kept / 2); /* notes go in steps, too */
        assert_true(turns >= w.count);
        all_were_shown();
        end();
    }
}

/* A change behind the cursor, or of what was noted, keeps nothing more. */
static void test_what_was_passed_or_noted_costs_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        begin(types[i], 9, MEMBERS, false);
        for (unsigned k = 0; k < 100; k++) put(1), take(1), put(1);
        assert_true(w.kept <= 1);
        start_turn();
        while (!elements_some(&w.x, 1000)) {
        }
        size_t bytes = w.reader.bytes, kept = w.kept;
        for (unsigned k = 0; k < 3000; k++) change(50);
        assert_int_equal(w.reader.bytes, bytes);
        assert_int_equal(w.kept, kept);
        all_were_shown();
        end();
    }
}

static void test_one_that_is_given_up_leaves_nothing(void **state)
{
    size_t before = demi_mem_used();
    (void)state;
    for (unsigned long long seed = 1; seed <= 60; seed++) {
        begin(types[seed % 3], seed, MEMBERS, true);
        for (unsigned i = below(300); i > 0; i--) change(50);
        if (below(3)) {
            start_turn();
            for (unsigned i = below(100); i > 0 && !elements_some(&w.x, 1); i--) change(50);
        }
        end();
    }
    assert_int_equal(demi_mem_used(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_element_is_shown_once_as_it_was),
        cmocka_unit_test(test_a_table_that_shrinks_or_grows_meanwhile),
        cmocka_unit_test(test_what_goes_before_its_turn_is_shown_then),
        cmocka_unit_test(test_what_was_passed_or_noted_costs_nothing),
        cmocka_unit_test(test_one_that_is_given_up_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
