/* SPDX-License-Identifier: MIT */
#include "server/db/tracked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/db/hooks_fake.h"
#include "server/db/interest.h"
#include "server/mem.h"

#define KEYS    200
#define CLIENTS 300
#define SEED    7

static struct key_ref ref(const struct tracked *t, const char *name)
{
    struct bytes b = bytes_of_str(name);
    return (struct key_ref){.name = b, .hash = table_hash(&t->keys, b)};
}

static bool alive[CLIENTS + 1];
static size_t asked;
static bool lives(void *arg, uint64_t id)
{
    (void)arg;
    asked++;
    return alive[id];
}

static void all_live(bool yes)
{
    for (unsigned i = 0; i <= CLIENTS; i++) alive[i] = yes;
    asked = 0;
}

static void free_key(struct tracked_key *k)
{
    tracked_key_drop(k);
    mem_free(k);
}

static void check(struct tracked *t)
{
#ifdef DEMI_DEBUG
    tracked_check(t);
#endif
    (void)t;
}

static void test_a_key_is_told_once_to_each_who_read_it(void **state)
{
    (void)state;
    struct tracked *t = tracked_new(SEED);
    struct key_ref k = ref(t, "k"), other = ref(t, "other"), empty = ref(t, "");
    all_live(true);
    assert_null(tracked_take(t, &k));
    assert_true(tracked_add(t, &k, 5, lives, NULL));
    assert_false(tracked_add(t, &k, 5, lives, NULL));
    assert_true(tracked_add(t, &k, 3, lives, NULL));
    assert_true(tracked_add(t, &k, 9, lives, NULL));
    assert_false(tracked_add(t, &k, 3, lives, NULL));
    assert_true(tracked_add(t, &other, 3, lives, NULL));
    assert_true(tracked_add(t, &empty, 3, lives, NULL));
    assert_int_equal(t->items, 5);
    check(t);
    struct tracked_key *taken = tracked_take(t, &k);
    assert_int_equal(taken->count, 3);
    assert_int_equal(tracked_key_clients(taken)[0], 3);
    assert_int_equal(tracked_key_clients(taken)[1], 5);
    assert_int_equal(tracked_key_clients(taken)[2], 9);
    free_key(taken);
    assert_null(tracked_take(t, &k));
    assert_int_equal(t->items, 2);
    check(t);
    tracked_free(t);
}

/* Random adding and taking, against a table of who has read what. */
static void test_it_agrees_with_a_model(void **state)
{
    (void)state;
    static bool model[KEYS][CLIENTS + 1];
    struct tracked *t = tracked_new(SEED);
    struct rng rng;
    rng_seed(&rng, 11);
    all_live(true);
    size_t items = 0;
    for (unsigned step = 0; step < 60000; step++) {
        char name[16];
        unsigned key = (unsigned)rng_below(&rng, KEYS), id = 1 + (unsigned)rng_below(&rng, CLIENTS);
        snprintf(name, sizeof name, "key:%u", key);
        struct key_ref r = ref(t, name);
        if (rng_below(&rng, 100)) {
            assert_int_equal(tracked_add(t, &r, id, lives, NULL), !model[key][id]);
            items += !model[key][id];
            model[key][id] = true;
        } else {
            struct tracked_key *k = tracked_take(t, &r);
            for (uint32_t i = 0; k && i < k->count; i++) {
                assert_true(model[key][tracked_key_clients(k)[i]]);
                model[key][tracked_key_clients(k)[i]] = false;
                items--;
            }
            for (unsigned i = 1; i <= CLIENTS; i++) assert_false(model[key][i]);
            if (k) free_key(k);
        }
        assert_int_equal(t->items, items);
    }
    check(t);
    struct tracked_key *k;
    while ((k = tracked_take_any(t, &rng))) free_key(k);
    assert_int_equal(t->items, 0);
    assert_int_equal(t->bytes, 0);
    tracked_free(t);
}

/* One hot key, read once by each of very many who go again. */
static void test_who_has_gone_makes_room(void **state)
{
    (void)state;
    struct tracked *t = tracked_new(SEED);
    struct key_ref k = ref(t, "hot");
    all_live(false);
    const unsigned stay = 20, rounds = 500;
    for (unsigned i = 1; i <= stay; i++) alive[i] = true;
    for (unsigned i = 1; i <= stay; i++) tracked_add(t, &k, i, lives, NULL);
    for (unsigned round = 0; round < rounds; round++)
        for (unsigned i = stay + 1; i <= CLIENTS; i++) tracked_add(t, &k, i, lives, NULL);
    assert_in_range(t->items, stay, 4 * stay);
    /* And each pays for a few: those who stay are not asked for at every one who comes. */
    assert_in_range(asked, 1, (size_t)rounds * CLIENTS * 8);
    check(t);
    tracked_free(t);
}

static void test_a_change_in_any_database_is_told_and_what_went_by_itself_is(void **state)
{
    (void)state;
    struct db dbs[2];
    for (int i = 0; i < 2; i++) db_init(&dbs[i], i, 4, SEED);
    struct call c = fake_call(&dbs[1]);
    struct tracked *slices[4];
    for (int i = 0; i < 4; i++) slices[i] = tracked_new(SEED);
    struct key_ref key = key_ref_of(&dbs[0], BYTES("k"));
    db_put_string(&c, &key, BYTES("v"), c.now_ms + 10, 0);
    db_changed(&c, &key, NOTIFY_STRING, "set");
    assert_int_equal(fake.tracked, 0);
    interest_track(dbs, 2, slices);
    assert_false(interest_any(&dbs[0]));
    db_changed(&c, &key, NOTIFY_STRING, "set");
    assert_int_equal(fake.tracked, 1);
    assert_int_equal(fake.touched, 0); /* nobody watches */
    assert_int_equal(fake.tracked_by_itself, 0);
    c.now_ms += 100;
    assert_null(db_lookup_read(&c, &key));
    assert_int_equal(fake.tracked, 2);
    assert_int_equal(fake.tracked_by_itself, 1);
    interest_track_no_more(dbs, 2);
    db_changed(&c, &key, NOTIFY_STRING, "set");
    assert_int_equal(fake.tracked, 2);
    for (int i = 0; i < 4; i++) tracked_free(slices[i]);
    for (int i = 0; i < 2; i++) {
        for (unsigned s = 0; s < 4; s++) assert_null(dbs[i].slices[s].interest);
        db_fini(&dbs[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_key_is_told_once_to_each_who_read_it),
        cmocka_unit_test(test_it_agrees_with_a_model),
        cmocka_unit_test(test_who_has_gone_makes_room),
        cmocka_unit_test(test_a_change_in_any_database_is_told_and_what_went_by_itself_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
