/* SPDX-License-Identifier: MIT */
#include "server/evict_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

static struct bytes name(unsigned i, char *buf) { return bytes_of(buf, (size_t)snprintf(buf, 32, "key:%u", i)); }

static void offer(struct evict_pool *p, unsigned score)
{
    char buf[32];
    evict_pool_offer(p, score, (int)(score % 16), name(score, buf));
}

static void assert_next(struct evict_pool *p, unsigned score)
{
    char buf[32];
    struct evict_candidate c;
    assert_true(evict_pool_take(p, &c));
    assert_int_equal(c.score, score);
    assert_int_equal(c.dbid, score % 16);
    assert_true(bytes_equal(c.key, name(score, buf)));
}

static void test_an_empty_pool_gives_nothing(void **state)
{
    (void)state;
    struct evict_pool *p = evict_pool_new();
    struct evict_candidate c;
    assert_false(evict_pool_take(p, &c));
    offer(p, 1);
    evict_pool_clear(p);
    assert_false(evict_pool_take(p, &c));
    evict_pool_free(p);
    evict_pool_free(NULL);
}

static void test_the_best_are_kept_whatever_the_order(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 4);
    unsigned scores[200];
    for (unsigned i = 0; i < 200; i++) scores[i] = i;
    for (int round = 0; round < 50; round++) {
        struct evict_pool *p = evict_pool_new();
        for (unsigned i = 199; i > 0; i--) {
            unsigned k = (unsigned)rng_below(&rng, i + 1), t = scores[i];
            scores[i] = scores[k];
            scores[k] = t;
        }
        for (unsigned i = 0; i < 200; i++) offer(p, scores[i]);
        for (unsigned i = 0; i < EVICT_POOL_SIZE; i++) assert_next(p, 199 - i);
        evict_pool_free(p);
    }
}

static void test_a_full_pool_refuses_what_is_no_better_than_its_worst(void **state)
{
    (void)state;
    struct evict_pool *p = evict_pool_new();
    for (unsigned i = 0; i < EVICT_POOL_SIZE; i++) {
        assert_true(evict_pool_wants(p, 0));
        offer(p, 100 + i);
    }
    assert_false(evict_pool_wants(p, 100));
    assert_true(evict_pool_wants(p, 101));
    offer(p, 100);
    offer(p, 300);
    assert_next(p, 300);
    assert_true(evict_pool_wants(p, 0));
    for (unsigned i = EVICT_POOL_SIZE - 1; i > 0; i--) assert_next(p, 100 + i);
    assert_false(evict_pool_take(p, &(struct evict_candidate){0}));
    evict_pool_free(p);
}

static void test_keys_of_any_length_are_copied(void **state)
{
    (void)state;
    struct evict_pool *p = evict_pool_new();
    static char text[3000];
    for (unsigned round = 0; round < 3; round++) {
        const size_t lengths[] = {0, 1, 255, 256, 3000};
        for (unsigned i = 0; i < 5; i++) {
            memset(text, 'a' + (int)i, sizeof text);
            evict_pool_offer(p, i, 0, bytes_of(text, lengths[i]));
        }
        for (unsigned i = 5; i-- > 0;) {
            struct evict_candidate c;
            assert_true(evict_pool_take(p, &c));
            assert_int_equal(c.key.n, lengths[i]);
            for (size_t k = 0; k < c.key.n; k++) assert_int_equal(c.key.p[k], 'a' + (int)i);
        }
    }
    evict_pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_pool_gives_nothing),
        cmocka_unit_test(test_the_best_are_kept_whatever_the_order),
        cmocka_unit_test(test_a_full_pool_refuses_what_is_no_better_than_its_worst),
        cmocka_unit_test(test_keys_of_any_length_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
