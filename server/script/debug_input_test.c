/* SPDX-License-Identifier: MIT */
#include "server/script/debug_input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum debug_input_result feed(struct debug_input *in, const char *text)
{
    assert_true(debug_input_add(in, bytes_of_str(text)));
    return debug_input_next(in);
}

static void assert_word(const struct debug_input *in, int i, const char *text)
{
    assert_true(i < in->count);
    assert_true(bytes_equal(in->words[i], bytes_of_str(text)));
}

static void test_what_is_no_command_is_refused(void **state)
{
    static const char *const texts[] = {
        "s",           "+OK\r\n",        "*0\r\n",           "*-1\r\n",      "*1x\r\n",
        "*1025\r\n",   "*00001\r\n",     "*1\r\n:1\r\n",     "*1\r\n$0\r\n", "*1\r\n$-1\r\n",
        "*1\r\n$1025", "*1\r\n$1\r\nab", "*1\r\n$1\r\na\rb", "*1\rx",        "*\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct debug_input in = {0};
        enum debug_input_result r = feed(&in, texts[i]);
        if (strcmp(texts[i], "*1\r\n$1025") == 0) r = feed(&in, "\r\n");
        if (r == DEBUG_INPUT_MORE) r = feed(&in, "x");
        assert_int_equal(r, DEBUG_INPUT_BROKEN);
        debug_input_fini(&in);
    }
}

static void test_each_cut_gives_the_same_commands(void **state)
{
    static const char text[] = "*2\r\n$1\r\np\r\n$3\r\nsum\r\n*1\r\n$1\r\ns\r\n";
    (void)state;
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct debug_input in = {0};
        assert_true(debug_input_add(&in, bytes_of(text, cut)));
        bool first = debug_input_next(&in) == DEBUG_INPUT_COMMAND;
        if (first) assert_word(&in, 1, "sum");
        bool second = first && debug_input_next(&in) == DEBUG_INPUT_COMMAND;
        assert_true(debug_input_add(&in, bytes_of(text + cut, sizeof text - 1 - cut)));
        if (!first) {
            assert_int_equal(debug_input_next(&in), DEBUG_INPUT_COMMAND);
            assert_word(&in, 0, "p");
            assert_word(&in, 1, "sum");
        }
        if (!second) {
            assert_int_equal(debug_input_next(&in), DEBUG_INPUT_COMMAND);
            assert_int_equal(in.count, 1);
            assert_word(&in, 0, "s");
        }
        assert_int_equal(debug_input_next(&in), DEBUG_INPUT_MORE);
        debug_input_fini(&in);
    }
}

static void test_no_more_is_kept_than_is_allowed(void **state)
{
    struct debug_input in = {0};
    char *much = calloc(1, DEBUG_INPUT_MAX);
    (void)state;
    assert_true(debug_input_add(&in, bytes_of(much, DEBUG_INPUT_MAX)));
    assert_false(debug_input_add(&in, BYTES("x")));
    free(much);
    debug_input_fini(&in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_command_is_refused),
        cmocka_unit_test(test_each_cut_gives_the_same_commands),
        cmocka_unit_test(test_no_more_is_kept_than_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
