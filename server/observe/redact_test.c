/* SPDX-License-Identifier: MIT */
#include "server/observe/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/mem.h"

#define ARGS_MAX 16

/* `line` is words between single spaces; compares what is shown with `want`. */
static void assert_shown(const char *full_name, const char *line, const char *want)
{
    struct bytes argv[ARGS_MAX];
    int argc = 0;
    for (const char *p = line;; p++) {
        size_t n = strcspn(p, " ");
        argv[argc++] = bytes_of(p, n);
        p += n;
        if (!*p) break;
    }
    const struct command *cmd = command_find_full(bytes_of_str(full_name));
    assert_non_null(cmd);
    const struct bytes *shown = redact(cmd, argv, argc);
    char text[512];
    size_t used = 0;
    for (int i = 0; i < argc; i++) {
        memcpy(text + used, shown[i].p, shown[i].n);
        used += shown[i].n;
        text[used++] = i + 1 < argc ? ' ' : 0;
    }
    assert_string_equal(text, want);
    if (shown != argv) mem_free((void *)shown);
}

static void test_broken_calls_show_no_password_either(void **state)
{
    (void)state;
    assert_shown("auth", "AUTH", "AUTH");
    assert_shown("auth", "AUTH a b c", "AUTH (redacted) (redacted) (redacted)");
    assert_shown("hello", "HELLO", "HELLO");
    assert_shown("hello", "HELLO 9 AUTH u p", "HELLO 9 AUTH (redacted) (redacted)");
    assert_shown("hello", "HELLO 3 wrong AUTH u p", "HELLO 3 wrong AUTH (redacted) (redacted)");
    assert_shown("hello", "HELLO 3 auth p", "HELLO 3 auth (redacted)");
    assert_shown("hello", "HELLO 3 AUTH", "HELLO 3 AUTH");
    assert_shown("config|set", "CONFIG SET requirepass", "CONFIG SET requirepass");
    assert_shown("config|set", "CONFIG SET nosuch x requirepass y", "CONFIG SET nosuch x requirepass (redacted)");
}

static void test_passwords_and_users_are_hidden(void **state)
{
    (void)state;
    assert_shown("auth", "auth secret", "auth (redacted)");
    assert_shown("auth", "auth user secret", "auth (redacted) (redacted)");
    assert_shown("hello", "hello 3 auth u p setname n", "hello 3 auth (redacted) (redacted) setname n");
    assert_shown("hello", "hello 3 setname auth auth u p", "hello 3 setname auth auth (redacted) (redacted)");
    assert_shown("config|set", "config set port 1 masterauth m RequirePass r",
                 "config set port 1 masterauth (redacted) RequirePass (redacted)");
}

static void test_everything_else_is_shown_as_it_is(void **state)
{
    (void)state;
    assert_shown("set", "set auth secret", "set auth secret");
    assert_shown("migrate", "migrate h 1 k 0 9 auth p copy", "migrate h 1 k 0 9 auth (redacted) copy");
    assert_shown("migrate", "migrate h 1  0 9 auth2 u p keys auth x",
                 "migrate h 1  0 9 auth2 (redacted) (redacted) keys auth x");
    assert_shown("migrate", "migrate auth a auth 0 9 AUTH2 u", "migrate auth a auth 0 9 AUTH2 (redacted)");
    assert_shown("config|get", "config get requirepass", "config get requirepass");
    assert_shown("config|set", "config set port 1", "config set port 1");
}

static int set_up(void **state)
{
    (void)state;
    command_table_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken_calls_show_no_password_either),
        cmocka_unit_test(test_passwords_and_users_are_hidden),
        cmocka_unit_test(test_everything_else_is_shown_as_it_is),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
