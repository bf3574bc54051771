/* SPDX-License-Identifier: MIT
 *
 * The table of pins against a model.
 */
#include "alloc/pins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/rng.h"

static void test_an_empty_table_finds_nothing(void **state)
{
    struct pins t = {0};
    assert_null(pins_find(&t, &t));
    pins_fini(&t);
}

static void test_random_changes_agree_with_a_model(void **state)
{
    enum { OBJECTS = 700 };
    static uint64_t memory[OBJECTS];
    uint32_t model[OBJECTS] = {0};
    struct pins t = {0};
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < 100000; i++) {
        size_t k = rng_below(&r, i < 50000 ? OBJECTS : 60); /* fills up, then thins out */
        struct pin *pin = pins_find(&t, &memory[k]);
        assert_int_equal(pin != NULL, model[k] != 0);
        if (pin) assert_int_equal(pin->count, model[k]);
        if (rng_below(&r, 2)) {
            pins_add(&t, &memory[k])->count++;
            model[k]++;
        } else if (pin) {
            pins_remove(&t, pin);
            model[k] = 0;
        }
    }
    size_t live = 0;
    for (size_t k = 0; k < OBJECTS; k++) {
        live += model[k] != 0;
        assert_int_equal(pins_find(&t, &memory[k]) != NULL, model[k] != 0);
    }
    assert_int_equal(t.count, live);
    pins_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_table_finds_nothing),
        cmocka_unit_test(test_random_changes_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
