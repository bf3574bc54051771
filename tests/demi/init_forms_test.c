/* SPDX-License-Identifier: MIT
 *
 * The headers as a program sees them, and not the library: the ways of calling demi_init() are macros.
 */
#undef DEMI_LIBRARY
#include "tests/demi/init_forms.h"

#include "tests/demi/demi_test.h"

static void test_every_way_of_calling_init(void **state)
{
    char name[] = "program", *argv[] = {name, NULL};
    assert_int_equal(init_forms(1, argv), 0);
}

static void test_a_literal_starts_a_library_os(void **state)
{
    OK(demi_exit());
    OK(demi_init(&(struct demi_args){.argc = 0, .argv = NULL, .callback = NULL}));
    assert_string_equal(demi_libos_name(), test_libos());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_every_way_of_calling_init),
        demi_unit_test(test_a_literal_starts_a_library_os),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
