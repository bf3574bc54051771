/* SPDX-License-Identifier: MIT */
#include "server/ds/btree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "alloc/base/rng.h"

#define KEYS 6000

static void check(const struct btree *t)
{
#ifdef DEMI_DEBUG
    btree_check(t);
#endif
    size_t count = 0;
    const struct btree_slot *before = NULL;
    for (struct btree_pos p = btree_first(t); p.leaf; p = btree_next(p), count++) {
        if (before && !t->tie) assert_true(btree_key_compare(before->key, btree_slot(p)->key) < 0);
        before = btree_slot(p);
    }
    assert_int_equal(btree_count(t), count);
    for (struct btree_pos p = btree_last(t); p.leaf; p = btree_prev(p)) count--;
    assert_int_equal(count, 0);
}

/* Keys that differ in either half. */
static struct btree_key key_of(unsigned i) { return (struct btree_key){i / 7, i % 7 * 1000}; }

static bool there[KEYS];
static char values[KEYS];

/* The first key there is from i on, going by `step`; -1: none. */
static int neighbour(int i, int step)
{
    for (; i >= 0 && i < KEYS; i += step)
        if (there[i]) return i;
    return -1;
}

static void check_place(struct btree_pos p, int expected)
{
    if (expected < 0) assert_null(p.leaf);
    else assert_ptr_equal(btree_slot(p)->value, &values[expected]);
}

static void check_all(const struct btree *t)
{
    check(t);
    for (int i = 0; i < KEYS; i++) {
        assert_ptr_equal(btree_find(t, key_of((unsigned)i), NULL), there[i] ? &values[i] : NULL);
        check_place(btree_at_least(t, key_of((unsigned)i), NULL), neighbour(i, 1));
        check_place(btree_at_most(t, key_of((unsigned)i), NULL), neighbour(i, -1));
    }
}

static void put(struct btree *t, unsigned i)
{
    assert_int_equal(btree_insert(t, key_of(i), NULL, &values[i]), !there[i]);
    there[i] = true;
}

static void cut(struct btree *t, unsigned i)
{
    assert_ptr_equal(btree_remove(t, key_of(i), NULL), there[i] ? &values[i] : NULL);
    there[i] = false;
}

/* In every order of coming and going the tree is what a list of the same keys is. */
static void test_a_tree_is_a_sorted_list(void **state)
{
    struct rng rng;
    rng_seed(&rng, 5);
    for (int round = 0; round < 6; round++) {
        struct btree t = {0};
        memset(there, 0, sizeof there);
        for (unsigned n = 0; n < 30000; n++) {
            unsigned i = (unsigned)rng_below(&rng, KEYS), phase = n / 6000;
            if (rng_below(&rng, 10) < (phase % 2 ? 2u : 8u)) put(&t, i);
            else cut(&t, i);
            if (n % 400 == 0) check(&t);
        }
        check_all(&t);
        for (unsigned i = 0; i < KEYS; i++) cut(&t, round % 2 ? i : KEYS - 1 - i);
        assert_int_equal(btree_count(&t), 0);
        assert_int_equal(btree_bytes(&t), 0);
        put(&t, 1);
        btree_fini(&t);
    }
}

static void test_what_comes_in_order_fills_leaves(void **state)
{
    struct btree t = {0};
    memset(there, 0, sizeof there);
    for (unsigned i = 0; i < KEYS; i++) {
        put(&t, i);
        if (i % 500 == 0) check(&t);
    }
    check_all(&t);
    assert_true(btree_bytes(&t) < KEYS * 28);
    btree_fini(&t);
    assert_int_equal(btree_bytes(&t), 0);
}

static void test_what_goes_in_order_gives_its_memory_back(void **state)
{
    struct btree t = {0};
    memset(there, 0, sizeof there);
    for (unsigned i = 0; i < KEYS; i++) put(&t, i);
    size_t most = btree_bytes(&t);
    for (unsigned i = 0; i < KEYS; i++) {
        cut(&t, i);
        if (i % 500 == 499) check_all(&t);
        if (i == KEYS / 2) assert_true(btree_bytes(&t) < most * 6 / 10);
    }
    assert_int_equal(btree_bytes(&t), 0);
}

/* Nine of ten go, by chance: what is left does not lie about in empty leaves. */
static void test_thinned_out_it_is_small_again(void **state)
{
    struct rng rng;
    struct btree t = {0};
    rng_seed(&rng, 6);
    memset(there, 0, sizeof there);
    for (unsigned i = 0; i < KEYS; i++) put(&t, i);
    size_t most = btree_bytes(&t);
    for (unsigned i = 0; i < KEYS; i++)
        if (rng_below(&rng, 10)) cut(&t, i);
    check_all(&t);
    assert_true(btree_bytes(&t) < most * 4 / 10);
    btree_fini(&t);
}

static int compare_text(const void *value, const void *whole)
{
    return bytes_compare(bytes_of_str(value), *(const struct bytes *)whole);
}

/* Names with one beginning are told apart, and stand in the order of their bytes. */
static void test_names_longer_than_a_key(void **state)
{
    static char names[500][40];
    struct btree t = {.tie = compare_text};
    for (unsigned n = 0; n < 500; n++) {
        unsigned i = n * 37 % 500;
        snprintf(names[i], sizeof names[i], "%s%03u", i % 2 ? "of one beginning, " : "x", i);
        struct bytes name = bytes_of_str(names[i]);
        assert_true(btree_insert(&t, btree_key_of_name(name), &name, names[i]));
        assert_false(btree_insert(&t, btree_key_of_name(name), &name, names[i]));
        check(&t);
    }
    const char *before = "";
    for (struct btree_pos p = btree_first(&t); p.leaf; p = btree_next(p)) {
        assert_true(strcmp(before, btree_slot(p)->value) < 0);
        before = btree_slot(p)->value;
    }
    for (unsigned i = 0; i < 500; i++) {
        struct bytes name = bytes_of_str(names[i]);
        assert_ptr_equal(btree_find(&t, btree_key_of_name(name), &name), names[i]);
        assert_ptr_equal(btree_remove(&t, btree_key_of_name(name), &name), names[i]);
        assert_null(btree_find(&t, btree_key_of_name(name), &name));
        check(&t);
    }
    struct bytes nothing = BYTES("");
    static char empty[1];
    assert_true(btree_insert(&t, btree_key_of_name(nothing), &nothing, empty));
    assert_non_null(btree_find(&t, btree_key_of_name(nothing), &nothing));
    btree_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tree_is_a_sorted_list),
        cmocka_unit_test(test_what_comes_in_order_fills_leaves),
        cmocka_unit_test(test_what_goes_in_order_gives_its_memory_back),
        cmocka_unit_test(test_thinned_out_it_is_small_again),
        cmocka_unit_test(test_names_longer_than_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
