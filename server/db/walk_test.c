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
#include "server/ds/listpack.h"
#include "server/ds/quicklist.h"
#include "server/ds/ztree.h"
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
#define STEPS_MIN   5u /* that one takes */
#define IN_A_NODE   250

/* What the reader of large ones knows. */
static struct {
    uint64_t sum[DBS][LARGE]; /* of the elements at the beginning; 0: it was not there */
    bool shown[DBS][LARGE];
    struct one {
        const struct entry *e; /* NULL: none */
        int db;
        uint64_t found;
        size_t left;
    } one[2]; /* under way, and another that is shown at once meanwhile */
    const struct quicklist_node *node;
    unsigned begun, abandoned, at_once, another, elements_held, changes, emptied, gone;
} large;

static struct bytes large_name(unsigned k, char buf[32])
{
    return bytes_of(buf, (size_t)snprintf(buf, 32, "large:%u", k));
}

static struct bytes number_text(unsigned v, char buf[16]) { return bytes_of(buf, (size_t)snprintf(buf, 16, "%u", v)); }

static enum obj_type type_of(unsigned k)
{
    return (const enum obj_type[]){OBJ_SET, OBJ_HASH, OBJ_ZSET, OBJ_LIST}[k % 4];
}

static struct value value_new(enum obj_type type)
{
    static struct quicklist_options in_small_nodes = {.fill = IN_A_NODE};
    struct value v = {.type = type, .enc = ENC_HT};
    if (type == OBJ_LIST) {
        v.enc = ENC_QUICKLIST;
        v.p = quicklist_new(&in_small_nodes);
    } else if (type == OBJ_ZSET) {
        v.enc = ENC_SKIPLIST;
        v.p = mem_alloc(sizeof(struct ztree));
        ztree_init(v.p, 7);
    } else {
        v.p = mem_alloc(sizeof(struct dict));
        if (type == OBJ_HASH) dict_init_map(v.p, 7);
        else dict_init_set(v.p, 7);
    }
    return v;
}

static void put_element(enum obj_type type, void *p, unsigned v)
{
    char member[16], value[16];
    struct bytes m = number_text(v, member);
    if (type == OBJ_LIST) quicklist_push_tail(p, m);
    else if (type == OBJ_ZSET) ztree_set(p, m, below(1000));
    else if (type == OBJ_HASH) dict_set(p, m, number_text(below(1000), value));
    else dict_add(p, m);
}

static void put_large(unsigned k, unsigned elements)
{
    char buf[32];
    struct value v = value_new(type_of(k));
    for (unsigned i = 0; i < elements; i++) put_element(v.type, v.p, below(1000000));
    fake.serial++;
    struct key_ref key = key_ref_of(w.c.db, large_name(k, buf));
    db_put_value(&w.c, &key, v, -1, 0);
}

static unsigned number_in(struct bytes text)
{
    char buf[16] = {0};
    memcpy(buf, text.p, text.n);
    return (unsigned)atoi(buf);
}

static uint64_t element_sum(const struct element *el)
{
    return number_in(el->member) + (uint64_t)el->score * 3000001 + number_in(el->value) * 5000001ull;
}

static uint64_t node_sum(const struct quicklist_node *node)
{
    uint64_t sum = 0;
    for (const unsigned char *p = lp_first(node->data); p; p = lp_next(node->data, p)) sum += (uint64_t)lp_get(p).i;
    return sum;
}

static uint64_t sum_of(const struct entry *e)
{
    uint64_t sum = 1;
    struct element el = {.value = BYTES("")};
    if (e->enc == ENC_QUICKLIST) {
        const struct quicklist *q = entry_ptr(e);
        for (const struct quicklist_node *node = q->head; node; node = node->next) sum += node_sum(node);
    } else if (e->enc == ENC_SKIPLIST) {
        for (struct ztree_pos p = ztree_at(entry_ptr(e), 0); !ztree_pos_is_end(p); p = ztree_next(p)) {
            el.member = ztree_get(p, &el.score);
            sum += element_sum(&el);
        }
    } else {
        struct dict_iter it;
        dict_iter_init(&it, entry_ptr(e));
        while (dict_iter_next(&it, &el.member, &el.value)) sum += element_sum(&el);
        dict_iter_fini(&it);
    }
    return sum;
}

static unsigned number_of_large(const struct entry *e)
{
    char buf[32] = {0};
    memcpy(buf, entry_key(e).p, entry_key(e).n);
    return (unsigned)atoi(buf + 6);
}

static void was_shown(int db, const struct entry *e, uint64_t sum)
{
    unsigned k = number_of_large(e);
    if (large.shown[db][k] || sum != large.sum[db][k])
        fail_msg("seed %llu: %d:%u shown as %llu; shown before %d, was %llu", (unsigned long long)w.seed, db, k,
                 (unsigned long long)sum, large.shown[db][k], (unsigned long long)large.sum[db][k]);
    large.shown[db][k] = true;
}

static struct one *under_way(void) { return large.one[1].e ? &large.one[1] : &large.one[0]; }

static void on_entry(void *arg, int db, const struct entry *e)
{
    assert_null(large.one[1].e);
    if (e->type == OBJ_STRING) {
        on_shown(arg, db, e);
        return;
    }
    was_shown(db, e, sum_of(e));
    large.at_once++;
}

static void on_large(void *arg, int db, const struct entry *e, size_t count)
{
    (void)arg;
    assert_null(large.one[1].e);
    struct one *one = large.one[0].e ? &large.one[1] : &large.one[0];
    *one = (struct one){e, db, 1, count};
    large.begun++;
    large.another += one == &large.one[1];
    if (e->type == OBJ_LIST) assert_ptr_equal(one, &large.one[0]);
    if (e->type == OBJ_LIST) large.node = ((const struct quicklist *)entry_ptr(e))->head;
}

static void on_element(void *arg, const struct entry *e, const struct element *el)
{
    struct one *one = under_way();
    (void)arg;
    assert_true(one->left-- > 0);
    assert_ptr_equal(e, one->e);
    one->found += element_sum(el);
}

static bool on_more(void *arg)
{
    (void)arg;
    if (!large.node) return true;
    large.one[0].found += node_sum(large.node);
    large.node = large.node->next;
    return false;
}

static void on_end(void *arg, const struct entry *e)
{
    struct one *one = under_way();
    (void)arg;
    if (e->type != OBJ_LIST) assert_int_equal(one->left, 0);
    was_shown(one->db, e, one->found);
    one->e = NULL;
}

static void on_abandon(void *arg, const struct entry *e)
{
    (void)arg;
    assert_int_equal(e->type == OBJ_LIST, large.one[0].e->type == OBJ_LIST);
    large.one[0].e = NULL;
    large.abandoned++;
}

static bool on_full(void *arg) { return arg != NULL; }
static void on_kept(void *arg)
{
    (void)arg;
    assert_true(walk_bytes(w.walk) > 0);
}

static const struct walk_reader in_steps = {on_entry,   on_large, on_element, on_more, on_end,
                                            on_abandon, on_full,  on_kept,    NULL};

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

/* A command for a large one as a whole: it asks first, and mostly waits if it has to. What goes need not wait. */
static void change_large(void)
{
    char buf[32];
    fake.serial++;
    w.c.db = &w.dbs[below(DBS)];
    unsigned k = below(LARGE);
    struct key_ref key = key_ref_of(w.c.db, large_name(k, buf));
    unsigned what = below(4), begun = large.begun;
    if (what < 2) {
        assert_false(walk_holds(w.walk, w.c.db, &key, WALK_GOES));
        large.gone += db_peek(&w.c, &key) != NULL && walk_holds(w.walk, w.c.db, &key, WALK_ANY);
        if (what == 0) db_delete(&w.c, &key);
        else put_large(k, 5);
        assert_int_equal(large.begun, begun);
        assert_false(walk_holds(w.walk, w.c.db, &key, WALK_ANY)); /* it is new, if it is there */
        return;
    }
    bool held = walk_holds(w.walk, w.c.db, &key, WALK_ANY);
    const struct entry *e = db_peek(&w.c, &key);
    if (held) assert_non_null(e);
    if (held && below(5)) {
        assert_true(walk_holds(w.walk, w.c.db, &key, WALK_ANY));
        return;
    }
    if (e) db_set_expire(&w.c, &key, e, 1000000000 + w.c.now_ms);
    assert_false(walk_holds(w.walk, w.c.db, &key, WALK_ANY)); /* it was shown */
}

static struct ztree_span random_span(const struct ztree *z)
{
    size_t at = ztree_count(z) ? below((unsigned)ztree_count(z)) : 0;
    return (struct ztree_span){at, at + below(3)};
}

/* n elements of e come, change or go. */
static void change_some(struct entry *e, unsigned n)
{
    struct bytes m;
    for (; n > 0; n--) {
        large.changes++;
        if (below(2)) put_element(e->type, entry_ptr(e), below(1000000));
        else if (e->enc == ENC_HT && dict_random(entry_ptr(e), &fake.rng, &m, NULL)) dict_delete(entry_ptr(e), m);
        else if (e->enc == ENC_SKIPLIST) ztree_delete_span(entry_ptr(e), random_span(entry_ptr(e)), NULL, NULL);
    }
}

/* A command for elements of a large one, which waits for a list alone. Some take all of them. */
static void change_elements(void)
{
    char buf[32];
    fake.serial++;
    w.c.db = &w.dbs[below(DBS)];
    unsigned k = below(LARGE), n = below(30) ? 1 + below(40) : 2 * LARGE_COUNT;
    struct key_ref key = key_ref_of(w.c.db, large_name(k, buf));
    if (walk_holds(w.walk, w.c.db, &key, WALK_ELEMENTS)) {
        assert_int_equal(type_of(k), OBJ_LIST);
        large.elements_held++;
        return;
    }
    struct entry *e = db_lookup_elements(&w.c, &key);
    if (!e) return;
    if (n < LARGE_COUNT) {
        change_some(e, n);
        return;
    }
    struct bytes m;
    large.emptied++;
    if (e->enc == ENC_HT)
        while (dict_random(entry_ptr(e), &fake.rng, &m, NULL)) dict_delete(entry_ptr(e), m);
    if (e->enc == ENC_SKIPLIST) ztree_delete_span(entry_ptr(e), (struct ztree_span){0, SIZE_MAX}, NULL, NULL);
    if (e->enc != ENC_QUICKLIST) db_delete(&w.c, &key);
}

static void all_large_were_shown(void)
{
    all_were_shown();
    assert_null(large.one[0].e);
    assert_null(large.one[1].e);
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
    unsigned begun = 0, at_once = 0, another = 0, changes = 0, held = 0, emptied = 0, gone = 0;
    size_t before = demi_mem_used();
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
            if (seed % 4) change_elements();
        } while (!walk_some(w.walk, &w.c, 0));
        all_large_were_shown();
        begun += large.begun;
        at_once += large.at_once;
        another += large.another;
        changes += large.changes;
        held += large.elements_held;
        emptied += large.emptied;
        gone += large.gone;
        walk_free(w.walk, &w.c);
        end();
    }
    assert_true(begun > 100 && at_once > 20 && another > 5 && changes > 1000 && held > 10 && emptied > 10 && gone > 50);
    assert_int_equal(demi_mem_used(), before);
}

static unsigned some_until_free(const struct key_ref *key)
{
    unsigned turns = 0;
    while (walk_holds(w.walk, &w.dbs[0], key, WALK_ANY) && !walk_some(w.walk, &w.c, 0)) turns++;
    return turns;
}

/* Whoever waits is let go when it was shown, and knows. */
static void test_who_waits_for_a_large_one_is_let_go(void **state)
{
    char buf[32], other[32];
    (void)state;
    for (unsigned k = 0; k < 4; k++) {
        begin(1, 1);
        put_large(k, LARGE_COUNT);
        put_large(k + 4, 20);
        start_walk_in_steps();
        struct key_ref big = key_ref_of(&w.dbs[0], large_name(k, buf));
        assert_true(walk_holds(w.walk, &w.dbs[0], &big, WALK_ANY));
        assert_true(walk_holds(w.walk, &w.dbs[0], &big, WALK_ANY));
        assert_false(walk_has_let_go(w.walk));
        assert_true(some_until_free(&big) > STEPS_MIN);
        assert_true(walk_has_let_go(w.walk));
        assert_false(walk_has_let_go(w.walk));
        struct key_ref small = key_ref_of(&w.dbs[0], large_name(k + 4, other)),
                       none = key_ref_of(&w.dbs[0], BYTES("none"));
        assert_false(walk_holds(w.walk, &w.dbs[0], &small, WALK_ANY));
        assert_false(walk_holds(w.walk, &w.dbs[0], &none, WALK_ANY));
        assert_false(walk_holds(NULL, &w.dbs[0], &big, WALK_ANY));
        while (!walk_some(w.walk, &w.c, 0)) {
        }
        all_large_were_shown();
        walk_free(w.walk, &w.c);
        end();
    }
}

/* Others whose elements change are no reason to wait longer. */
static void test_who_waits_goes_before_those_that_change(void **state)
{
    char buf[32];
    (void)state;
    begin(1, 1);
    for (unsigned k = 0; k < LARGE; k++) put_large(k, LARGE_COUNT);
    start_walk_in_steps();
    for (unsigned k = 0; k < LARGE; k++) {
        struct key_ref key = key_ref_of(&w.dbs[0], large_name(k, buf));
        if (type_of(k) == OBJ_LIST) continue;
        assert_false(walk_holds(w.walk, &w.dbs[0], &key, WALK_ELEMENTS));
        change_some(db_lookup_elements(&w.c, &key), 10);
    }
    size_t kept = walk_bytes(w.walk);
    for (unsigned k = LARGE - 1; k >= LARGE - 4; k--) { /* the last ones: a list, and some of those */
        struct key_ref key = key_ref_of(&w.dbs[0], large_name(k, buf));
        some_until_free(&key);
        assert_int_equal(large.begun, LARGE - k);
    }
    assert_true(walk_bytes(w.walk) < kept);
    while (!walk_some(w.walk, &w.c, 0)) {
    }
    all_large_were_shown();
    walk_free(w.walk, &w.c);
    end();
}

static void test_one_that_ends_in_a_large_one_abandons_it(void **state)
{
    char buf[32];
    (void)state;
    size_t before = demi_mem_used();
    for (unsigned k = 0; k < 4; k++) {
        begin(1, 1);
        put_large(k, LARGE_COUNT);
        put_large(6, LARGE_COUNT);
        start_walk_in_steps();
        struct key_ref key = key_ref_of(&w.dbs[0], large_name(k, buf)), other = key_ref_of(&w.dbs[0], BYTES("large:6"));
        walk_holds(w.walk, &w.dbs[0], &key, WALK_ANY);
        while (!large.one[0].e) walk_some(w.walk, &w.c, 0);
        if (type_of(k) != OBJ_LIST) change_some(db_lookup_elements(&w.c, &key), 100);
        change_some(db_lookup_elements(&w.c, &other), 100);
        walk_free(w.walk, &w.c);
        assert_int_equal(large.abandoned, 1);
        change_some(db_lookup_elements(&w.c, &other), 100); /* nobody is told */
        end();
    }
    assert_int_equal(demi_mem_used(), before);
}

/* What a reader is at, or will be, goes at once and is freed when it was shown; nothing is shown by who deletes it. */
static void test_what_is_deleted_is_shown_by_the_walk(void **state)
{
    char buf[32];
    (void)state;
    size_t before = demi_mem_used();
    for (unsigned began = 0; began < 2; began++) {
        begin(1, 1);
        for (unsigned k = 0; k < 8; k++) put_large(k, LARGE_COUNT);
        start_walk_in_steps();
        while (began && !large.one[0].e) walk_some(w.walk, &w.c, 0);
        for (unsigned k = 0; k < 8; k++) {
            struct key_ref key = key_ref_of(&w.dbs[0], large_name(k, buf));
            if (type_of(k) != OBJ_LIST) change_some(db_lookup_elements(&w.c, &key), 50);
            if (k % 2) assert_true(db_delete(&w.c, &key));
            else db_put_string(&w.c, &key, BYTES("a string"), -1, 0);
        }
        assert_int_equal(large.begun, began);
        assert_int_equal(large.at_once, 0);
        assert_int_equal(fake.lazy, 0);
        if (began) walk_some(w.walk, &w.c, 0);
        if (began) db_flush(&w.c, &w.dbs[0], false);
        while (!walk_some(w.walk, &w.c, 0)) {
        }
        assert_int_equal(fake.lazy, 8 + began);
        all_large_were_shown();
        walk_free(w.walk, &w.c);
        end();
    }
    begin(1, 1);
    put_large(1, LARGE_COUNT);
    start_walk_in_steps();
    struct key_ref key = key_ref_of(&w.dbs[0], BYTES("large:1"));
    db_delete(&w.c, &key);
    walk_free(w.walk, &w.c);
    end();
    assert_int_equal(demi_mem_used(), before);
}

/* Flushed, exchanged: what changes now is something else. */
static void test_a_large_one_that_changed_is_shown_from_where_it_went(void **state)
{
    char buf[32];
    (void)state;
    size_t before = demi_mem_used();
    begin(1, 1);
    for (unsigned k = 0; k < 3; k++) put_large(k, LARGE_COUNT);
    start_walk_in_steps();
    for (unsigned k = 0; k < 3; k++) {
        struct key_ref key = key_ref_of(&w.dbs[0], large_name(k, buf));
        change_some(db_lookup_elements(&w.c, &key), 100);
        if (k == 1) db_swap(&w.c, &w.dbs[0], &w.dbs[1]);
        if (k == 1) w.c.db = &w.dbs[1];
        if (k == 1) change_some(db_lookup_elements(&w.c, &key), 100);
        if (k == 1) db_swap(&w.c, &w.dbs[0], &w.dbs[1]);
        w.c.db = &w.dbs[0];
    }
    db_flush(&w.c, &w.dbs[0], false);
    for (unsigned k = 0; k < 3; k++) put_large(k, LARGE_COUNT);
    while (!walk_some(w.walk, &w.c, 0)) change_elements();
    all_large_were_shown();
    walk_free(w.walk, &w.c);
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
        cmocka_unit_test(test_who_waits_goes_before_those_that_change),
        cmocka_unit_test(test_one_that_ends_in_a_large_one_abandons_it),
        cmocka_unit_test(test_what_is_deleted_is_shown_by_the_walk),
        cmocka_unit_test(test_a_large_one_that_changed_is_shown_from_where_it_went),
        cmocka_unit_test(test_walks_that_end_early_leave_nothing_to_stumble_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
