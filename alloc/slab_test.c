/* SPDX-License-Identifier: MIT
 *
 * Blocks of a chunk against a model of one byte a block, and slots of a slab.
 */
#include "alloc/slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"
#include "alloc/poison.h"

struct heap {
    int nothing;
};

static struct heap heap;

static struct chunk *chunk_new(struct region_set *set)
{
    struct region *r;
    bool dirty;
    region_set_init(set, &heap);
    assert_non_null(region_new(set, REGION_CHUNK));
    char *at = region_take_chunks(set, 1, CHUNK_SLABS, false, &r, &dirty);
    return chunk_init(at, &heap, r, true);
}

static uint32_t longest_run(const uint8_t *model)
{
    uint32_t run = 0, longest = 0;
    for (uint32_t i = 0; i < CHUNK_BLOCKS; i++) {
        run = model[i] ? 0 : run + 1;
        if (run > longest) longest = run;
    }
    return longest;
}

static void test_blocks_agree_with_a_model(void **state)
{
    struct region_set set;
    struct chunk *c = chunk_new(&set);
    uint8_t model[CHUNK_BLOCKS] = {0};
    memset(model, 1, CHUNK_HEADER_BLOCKS);
    struct {
        struct slab *s;
        uint32_t count;
    } taken[CHUNK_BLOCKS] = {0};
    struct rng r;
    rng_seed(&r, 11);
    for (int i = 0; i < 20000; i++) {
        size_t k = rng_below(&r, CHUNK_BLOCKS);
        if (taken[k].s) {
            memset(model + (taken[k].s - c->slabs), 0, taken[k].count);
            chunk_give(c, taken[k].s, taken[k].count);
            taken[k].s = NULL;
        } else {
            bool clean;
            uint32_t count = 1 + (uint32_t)rng_below(&r, rng_below(&r, 50) ? 8 : RUN_BLOCKS_MAX);
            uint32_t longest = longest_run(model);
            struct slab *s = chunk_take(c, count, &clean);
            assert_int_equal(s != NULL, count <= longest);
            if (!s) continue;
            size_t at = (size_t)(s - c->slabs);
            for (size_t b = at; b < at + count; b++) {
                assert_int_equal(model[b]++, 0);
                assert_ptr_equal(slab_of((char *)c + b * BLOCK_SIZE + 5), s);
            }
            taken[k].s = s;
            taken[k].count = count;
        }
        uint32_t longest = longest_run(model);
        assert_int_equal(chunk_bin(c), longest ? 31 - __builtin_clz(longest) : -1);
    }
    region_set_fini(&set);
}

static void test_only_untouched_blocks_are_clean(void **state)
{
    struct region_set set;
    struct chunk *c = chunk_new(&set);
    bool clean;
    struct slab *s = chunk_take(c, 3, &clean);
    assert_true(clean);
    chunk_give(c, s, 3);
    s = chunk_take(c, 4, &clean);
    assert_false(clean);
    assert_non_null(chunk_take(c, RUN_BLOCKS_MAX - 4, &clean));
    assert_true(clean);
    assert_null(chunk_take(c, 1, &clean));
    region_set_fini(&set);
}

static void test_slots_are_found_from_inside_once_prepared(void **state)
{
    struct region_set set;
    struct chunk *c = chunk_new(&set);
    bool clean;
    struct slab *s = chunk_take(c, slab_blocks(4008), &clean);
    s->size = 4008;
    s->end = slab_blocks(4008) * (uint32_t)BLOCK_SIZE / 4008 * 4008;
    assert_null(slab_slot(s, slab_start(s)));
    uint32_t slots = 0;
    while (slab_prepare(s)) slots++;
    assert_int_equal(slots, s->end / 4008);
    assert_ptr_equal(slab_slot(s, slab_start(s) + 4007), slab_start(s));
    assert_ptr_equal(slab_slot(s, slab_start(s) + 4008), slab_start(s) + 4008);
    assert_ptr_equal(slab_slot(s, slab_start(s) + s->end - 1), slab_start(s) + s->end - 4008);
    assert_null(slab_slot(s, slab_start(s) + s->end));
    region_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_agree_with_a_model),
        cmocka_unit_test(test_only_untouched_blocks_are_clean),
        cmocka_unit_test(test_slots_are_found_from_inside_once_prepared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
