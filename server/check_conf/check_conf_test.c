/* SPDX-License-Identifier: MIT */
#include "server/check_conf/check_conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/check_conf/notes.h"
#include "server/check_conf/state.h"
#include "server/command/command.h"
#include "server/conf/option.h"

static struct check_conf k;

static int fresh(void **state)
{
    memset(&k, 0, sizeof k);
    conf_init(&k.cfg);
    for (int i = 0; i < CHECKED_OPTIONS_MAX; i++) k.decided[i] = k.noted[i] = CHECK_NOBODY;
    return 0;
}

static int done(void **state)
{
    verdicts_free(&k.verdicts);
    conf_fini(&k.cfg);
    for (unsigned i = 0; i < k.user_count; i++) free((char *)(uintptr_t)k.users[i].p);
    return 0;
}

/* "same renamed unknown ": the words of all verdicts. */
static const char *words_of(const char *text)
{
    static char out[1024];
    check_conf_text(&k, "t", bytes_of_str(text));
    out[0] = 0;
    for (unsigned i = 0; i < k.verdicts.count; i++) {
        strcat(out, verdict_word(k.verdicts.at[i].kind));
        strcat(out, " ");
    }
    return out;
}

static void test_every_note_is_about_an_option(void **state)
{
    for (unsigned i = 0; i < option_note_count; i++) {
        const struct option_note *n = &option_notes[i];
        if (n->option[strlen(n->option) - 1] != '*') assert_non_null(conf_option_find(bytes_of_str(n->option)));
        assert_true(n->says || n->kind == VERDICT_REFUSED);
        assert_true(n->says || n->advice);
    }
    for (unsigned i = 0; i < foreign_option_count; i++)
        assert_null(conf_option_find(bytes_of_str(foreign_options[i].name)));
}

static void test_what_is_meant_by_a_misspelt_name(void **state)
{
    static const char *const cases[][2] = {
        {"maxmemry", "maxmemory"},
        {"max-memory", "maxmemory"},
        {"appendonyl", "appendonly"},
        {"requirepas", "requirepass"},
        {"tcp_keepalive", "tcp-keepalive"},
        {"incldue", "include"},
        {"RENAME-COMAND", "rename-command"},
        {"completely-other", NULL},
        {"", NULL},
        {"x", NULL},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *near = option_nearest(bytes_of_str(cases[i][0]));
        if (cases[i][1]) assert_string_equal(near, cases[i][1]);
        else assert_null(near);
    }
    char longest[4096];
    memset(longest, 'a', sizeof longest);
    assert_null(option_nearest(bytes_of(longest, sizeof longest)));
}

static void test_lines_get_the_verdict_of_the_server(void **state)
{
    assert_string_equal(words_of("\n# no line\n  port 6380  \r\nslave-priority 3\nactiverehashing no\nio-threads 1\n"
                                 "io-threads 2\nmaxmemry 1\nmaxclients 0\nlua-replicate-commands yes\n"),
                        "same renamed no-effect same refused unknown refused same ");
    assert_int_equal(k.verdicts.at[0].line, 3);
    assert_int_equal(k.verdicts.at[7].line, 10);
    assert_string_equal(k.verdicts.at[6].says, "argument must be between 1 and 4294967295 inclusive");
    assert_int_equal(verdicts_status(&k.verdicts), 2);
}

static void test_the_last_line_counts_but_lines_of_save_add_up(void **state)
{
    assert_string_equal(words_of("port 1\nport 2\nsave 1 2\nsave 3 4\nappendfsync no\nappendfsync everysec\n"),
                        "overridden same differs differs overridden differs ");
    assert_non_null(strstr(k.verdicts.at[5].says, "SIGKILL")); /* the line that counts says it, not "as line 5" */
    assert_int_equal(verdicts_status(&k.verdicts), 1);
}

static void test_secrets_are_not_shown(void **state)
{
    words_of("requirepass geheim1\nmasterauth geheim2\nrequirepas geheim3\nprimaryauth geheim4\n"
             "tls-key-file-pass geheim5\nuser bob on >geheim6\nrequirepass \"geheim7\nmasteruser geheim8\n");
    assert_int_equal(k.verdicts.count, 8);
    for (unsigned i = 0; i < 8; i++) {
        const struct verdict *v = &k.verdicts.at[i];
        assert_null(strstr(v->value, "geheim"));
        if (v->says) assert_null(strstr(v->says, "geheim"));
    }
    assert_true(k.has_secret);
}

static void test_users_are_judged_by_their_rules(void **state)
{
    assert_string_equal(words_of("user a on nopass +@all ~*\nuser b +nothing-of-the-kind\nuser a off\n"),
                        "same refused refused ");
    assert_null(k.cfg.users);
}

static void test_nothing_different_is_status_0(void **state)
{
    assert_string_equal(words_of("bind 127.0.0.1\nport 6379\nhash-max-ziplist-entries 512\n"), "same same renamed ");
    assert_int_equal(verdicts_status(&k.verdicts), 0);
}

int main(void)
{
    command_table_init();
#define CASE(f) cmocka_unit_test_setup_teardown(f, fresh, done)
    const struct CMUnitTest tests[] = {
        CASE(test_every_note_is_about_an_option),
        CASE(test_what_is_meant_by_a_misspelt_name),
        CASE(test_lines_get_the_verdict_of_the_server),
        CASE(test_the_last_line_counts_but_lines_of_save_add_up),
        CASE(test_secrets_are_not_shown),
        CASE(test_users_are_judged_by_their_rules),
        CASE(test_nothing_different_is_status_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
