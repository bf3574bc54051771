/* SPDX-License-Identifier: MIT */
#include "server/ds/dict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/assert_test.h"
#include "server/mem.h"

#define FIELDS 3000

/* The model: field i has a value of size[i] bytes 'a' + i % 26, or is absent (-1). */
struct world {
    struct dict d;
    int size[FIELDS];
    unsigned shown[FIELDS], in;
    struct rng rng;
};

static char text[70000];

static struct bytes field_of(char *buf, unsigned i) { return bytes_of(buf, (size_t)sprintf(buf, "field:%u", i)); }

static struct bytes value_of(unsigned i, int size)
{
    memset(text, 'a' + (int)(i % 26), (size_t)size);
    return bytes_of(text, (size_t)size);
}

static void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    for (unsigned i = 0; i < FIELDS; i++) w->size[i] = -1;
    rng_seed(&w->rng, seed);
    dict_init_map(&w->d, seed);
}

static void set(struct world *w, unsigned i, int size)
{
    char buf[32];
    assert_int_equal(dict_set(&w->d, field_of(buf, i), value_of(i, size)), w->size[i] < 0);
    w->in += w->size[i] < 0;
    w->size[i] = size;
}

static void del(struct world *w, unsigned i)
{
    char buf[32];
    assert_int_equal(dict_delete(&w->d, field_of(buf, i)), w->size[i] >= 0);
    w->in -= w->size[i] >= 0;
    w->size[i] = -1;
}

static void check_all(struct world *w)
{
    char buf[32];
    dict_check(&w->d);
    assert_int_equal(dict_count(&w->d), w->in);
    for (unsigned i = 0; i < FIELDS; i++) {
        struct bytes value;
        assert_int_equal(dict_has(&w->d, field_of(buf, i)), w->size[i] >= 0);
        assert_int_equal(dict_get(&w->d, field_of(buf, i), &value), w->size[i] >= 0);
        if (w->size[i] >= 0) assert_true(bytes_equal(value, value_of(i, w->size[i])));
    }
}

static unsigned number_of(struct bytes field)
{
    char buf[32] = {0};
    memcpy(buf, field.p, field.n);
    return (unsigned)atoi(buf + 6);
}

static void test_random_changes_agree_with_a_model(void **state)
{
    struct world w;
    world_init(&w, 1);
    for (int step = 0; step < 40000; step++) {
        static const int sizes[] = {0, 1, 20, 252, 253, 300, 1000};
        unsigned i = (unsigned)rng_below(&w.rng, FIELDS);
        bool growing = step / 10000 % 2 == 0;
        if (growing ? rng_below(&w.rng, 5) != 0 : rng_below(&w.rng, 5) == 0) {
            set(&w, i, rng_below(&w.rng, 2) ? sizes[rng_below(&w.rng, 7)] : (int)rng_below(&w.rng, 40));
        } else {
            del(&w, i);
        }
        if (step % 4000 == 0) check_all(&w);
    }
    check_all(&w);
    for (unsigned i = 0; i < FIELDS; i++) del(&w, i);
    check_all(&w);
    assert_int_equal(w.d.entry_bytes, 0);
    dict_fini(&w.d);
}

static void test_long_fields_and_values_keep_their_lengths(void **state)
{
    static const size_t lengths[] = {0, 1, 252, 253, 65535, 65536, 69999};
    struct dict d;
    dict_init_map(&d, 2);
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            struct bytes value;
            assert_int_equal(dict_set(&d, bytes_of(text, lengths[i]), bytes_of(text, lengths[k])), k == 0);
            assert_true(dict_get(&d, bytes_of(text, lengths[i]), &value));
            assert_true(bytes_equal(value, bytes_of(text, lengths[k])));
            dict_check(&d);
        }
    }
    dict_fini(&d);
}

static void test_a_value_of_the_same_size_stays_where_it_is(void **state)
{
    struct dict d;
    struct bytes before, after;
    dict_init_map(&d, 3);
    dict_set(&d, BYTES("field"), BYTES("0123456789"));
    dict_get(&d, BYTES("field"), &before);
    dict_set(&d, BYTES("field"), BYTES("9876543210"));
    dict_get(&d, BYTES("field"), &after);
    assert_ptr_equal(before.p, after.p);
    assert_true(bytes_equal(after, BYTES("9876543210")));
    dict_fini(&d);
}

static void test_a_set_has_members_without_values(void **state)
{
    struct dict d;
    struct bytes member, value;
    struct rng rng;
    char buf[32];
    rng_seed(&rng, 4);
    dict_init_set(&d, 4);
    assert_false(dict_is_map(&d));
    assert_false(dict_random(&d, &rng, &member, NULL));
    for (unsigned i = 0; i < FIELDS; i++) assert_true(dict_add(&d, field_of(buf, i)));
    for (unsigned i = 0; i < FIELDS; i++) assert_false(dict_add(&d, field_of(buf, i)));
    assert_true(dict_add(&d, BYTES("")));
    assert_true(dict_has(&d, BYTES("")));
    assert_true(dict_random(&d, &rng, &member, &value));
    assert_int_equal(value.n, 0);
    dict_check(&d);
    assert_true(dict_delete(&d, BYTES("")));
    while (dict_random(&d, &rng, &member, NULL)) { /* as SPOP does */
        struct bytes copy = bytes_of(memcpy(buf, member.p, member.n), member.n);
        assert_true(dict_delete(&d, copy));
    }
    assert_int_equal(dict_count(&d), 0);
    dict_check(&d);
    dict_fini(&d);
}

/* Each length around the borders of what a set's entry says of it, members that begin alike among them. */
static void test_a_set_keeps_the_length_of_each_member(void **state)
{
    (void)state;
    static const unsigned lengths[] = {0,   1,    7,    8,    9,    15,   16,   17,   250,   252,   253,  254,
                                       257, 1016, 1017, 1023, 1024, 1025, 1032, 1033, 65535, 65536, 65537};
    struct dict d;
    dict_init_set(&d, 7);
    memset(text, 'm', sizeof text);
    for (unsigned n = 0; n < 1100; n++) assert_true(dict_add(&d, bytes_of(text, n)));
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++)
        assert_int_equal(dict_add(&d, bytes_of(text, lengths[i])), lengths[i] >= 1100);
    dict_check(&d);
    size_t sum = 0, had = dict_count(&d);
    struct dict_iter it;
    struct bytes member, value;
    dict_iter_init(&it, &d);
    while (dict_iter_next(&it, &member, &value)) sum += member.n + value.n;
    dict_iter_fini(&it);
    assert_int_equal(sum, 1099 * 1100 / 2 + 65535 + 65536 + 65537);
    for (unsigned n = 0; n < 1100; n++) {
        assert_true(dict_delete(&d, bytes_of(text, n)));
        assert_false(dict_has(&d, bytes_of(text, n)));
    }
    assert_int_equal(dict_count(&d), had - 1100);
    dict_check(&d);
    dict_fini(&d);
}

static void test_a_short_member_takes_no_length(void **state)
{
    (void)state;
    char buf[32];
    struct dict d;
    dict_init_set(&d, 8);
    for (unsigned i = 0; i < 1000; i++) dict_add(&d, bytes_of(buf, (size_t)sprintf(buf, "member:%09u", i)));
    assert_int_equal(d.entry_bytes, 1000 * 16);
    dict_fini(&d);
}

static void show(void *arg, struct bytes field, struct bytes value)
{
    struct world *w = arg;
    unsigned i = number_of(field);
    assert_int_equal(value.n, w->size[i]);
    w->shown[i]++;
}

static void test_scan_and_iterator_show_each_field_with_its_value(void **state)
{
    struct world w;
    world_init(&w, 5);
    for (unsigned i = 0; i < FIELDS; i++) set(&w, i, (int)(i % 100));
    uint64_t cursor = 0;
    do cursor = dict_scan(&w.d, cursor, show, &w);
    while (cursor);
    for (unsigned i = 0; i < FIELDS; i++) assert_int_equal(w.shown[i], 1);
    struct dict_iter it;
    struct bytes field, value;
    dict_iter_init(&it, &w.d);
    while (dict_iter_next(&it, &field, &value)) {
        show(&w, field, value);
    }
    dict_iter_fini(&it);
    for (unsigned i = 0; i < FIELDS; i++) assert_int_equal(w.shown[i], 2);
    check_all(&w);
    dict_fini(&w.d);
}

static void test_the_table_costs_12_bytes_an_element(void **state)
{
    struct dict d;
    char buf[32];
    dict_init_set(&d, 6);
    dict_expand(&d, 1000);
    for (unsigned i = 0; i < 100000; i++) dict_add(&d, field_of(buf, i));
    assert_true(dict_bytes(&d) - d.entry_bytes < 100000 * 12.6);
    dict_fini(&d);
}

static void check_dict(void *d) { dict_check(d); }

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    char buf[32];
    struct dict d;
    dict_init_map(&d, 3);
    for (unsigned i = 0; i < 100; i++) dict_set(&d, field_of(buf, i), BYTES("value"));
    dict_check(&d);
    SEEN(check_dict, &d, d.entry_bytes, d.entry_bytes + 1, "entry_bytes == d->entry_bytes");
    SEEN(check_dict, &d, d.t.paused, 1, "d->t.paused == 0");
    SEEN(check_dict, &d, d.t.count, d.t.count - 1, "sums.count == t->count");
    dict_fini(&d);
}

/* All blocks that are not full are emptied; nothing but addresses differs. */
static void test_a_dict_that_moves_is_the_same_dict(void **state)
{
    (void)state;
    struct world w;
    struct mem_moves m = {0, 0};
    world_init(&w, 9);
    for (unsigned i = 0; i < FIELDS; i++) set(&w, i, (int)rng_below(&w.rng, 300));
    for (unsigned i = 0; i < FIELDS; i++)
        if (w.size[i] >= 0 && rng_below(&w.rng, 4)) del(&w, i);
    struct dict s;
    char buf[64];
    dict_init_set(&s, 9);
    for (unsigned i = 0; i < 20000; i++)
        dict_add(&s,
                 bytes_of(buf, (size_t)sprintf(buf, "%u:%.*s", i, (int)(i % 30), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")));
    for (unsigned i = 0; i < 20000; i++)
        if (i % 6)
            dict_delete(
                &s, bytes_of(buf, (size_t)sprintf(buf, "%u:%.*s", i, (int)(i % 30), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")));
    for (unsigned c = 1; c < DEMI_MEM_CLASSES; c += !demi_mem_defrag_begin(c)) {
    }
    size_t at = 0;
    do at = dict_relocate(&w.d, at, &m);
    while (at);
    do at = dict_relocate(&s, at, &m);
    while (at);
    while (demi_mem_defrag_end(0)) {
    }
    assert_true(m.hits > 1000);
    check_all(&w);
    dict_check(&s);
    for (unsigned i = 0; i < 20000; i += 6)
        assert_true(dict_has(
            &s, bytes_of(buf, (size_t)sprintf(buf, "%u:%.*s", i, (int)(i % 30), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"))));
    dict_fini(&s);
    dict_fini(&w.d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_fields_and_values_keep_their_lengths),
        cmocka_unit_test(test_random_changes_agree_with_a_model),
        cmocka_unit_test(test_a_value_of_the_same_size_stays_where_it_is),
        cmocka_unit_test(test_a_set_has_members_without_values),
        cmocka_unit_test(test_scan_and_iterator_show_each_field_with_its_value),
        cmocka_unit_test(test_the_table_costs_12_bytes_an_element),
        cmocka_unit_test(test_the_check_sees_each_spoilt_field),
        cmocka_unit_test(test_a_set_keeps_the_length_of_each_member),
        cmocka_unit_test(test_a_short_member_takes_no_length),
        cmocka_unit_test(test_a_dict_that_moves_is_the_same_dict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
