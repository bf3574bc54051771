/* SPDX-License-Identifier: MIT */
#include "server/observe/symbols.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static __attribute__((noinline)) int a_static_function(int x) { return x * 3 + 1; }

static void test_static_functions_have_names(void **state)
{
    struct symbols s;
    size_t offset = 1;
    assert_int_equal(a_static_function(1), 4);
    assert_int_equal(symbols_open(&s), 0);
    const char *name = symbols_find(&s, (uintptr_t)a_static_function, &offset);
    assert_non_null(name);
    assert_memory_equal(name, "a_static_function", 17); /* a compiler may add a suffix */
    assert_int_equal(offset, 0);
    assert_non_null(symbols_find(&s, (uintptr_t)a_static_function + 2, &offset));
    assert_int_equal(offset, 2);
    assert_null(symbols_find(&s, 0, &offset));
    assert_null(symbols_find(&s, (uintptr_t)&s, &offset));
    symbols_close(&s);
    assert_null(symbols_find(&s, (uintptr_t)a_static_function, &offset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_static_functions_have_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
