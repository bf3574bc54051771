/* SPDX-License-Identifier: MIT */
#include "server/acl/acl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct acl acl;

static int set_up(void **state)
{
    (void)state;
    command_table_init();
    acl_init(&acl);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    acl_fini(&acl);
    return 0;
}

static void expect_all(const char *wanted)
{
    struct conf_text text = {0};
    acl_describe(&acl, &text);
    assert_string_equal(text.p, wanted);
    conf_text_free(&text);
}

#define DEFAULT "user default on nopass sanitize-payload ~* &* +@all\n"

static void test_a_change_is_all_or_nothing(void **state)
{
    const struct bytes good[] = {BYTES("on"), BYTES("(~a"), BYTES("+get)"), BYTES("+set")};
    const struct bytes bad[] = {BYTES("off"), BYTES("+del"), BYTES("+nosuch")};
    const struct bytes open[] = {BYTES("on"), BYTES("(~b"), BYTES("+get")};
    struct conf_text err = {0};
    (void)state;
    struct acl_user *u = acl_plan(&acl, BYTES("amy"), good, 4, false, &err);
    assert_non_null(u);
    expect_all(DEFAULT);
    acl_put(&acl, u);
    expect_all("user amy on sanitize-payload resetchannels -@all +set (~a resetchannels -@all +get)\n" DEFAULT);
    u = acl_find(&acl, BYTES("amy"));
    assert_null(acl_plan(&acl, BYTES("amy"), bad, 3, false, &err));
    assert_string_equal(err.p, "Error in ACL SETUSER modifier '+nosuch': Unknown command or category name in ACL");
    conf_text_free(&err);
    err = (struct conf_text){0};
    assert_null(acl_plan(&acl, BYTES("amy"), open, 3, false, &err));
    assert_string_equal(err.p, "Unmatched parenthesis in acl selector starting at '(~b'.");
    conf_text_free(&err);
    expect_all("user amy on sanitize-payload resetchannels -@all +set (~a resetchannels -@all +get)\n" DEFAULT);
    const struct bytes more[] = {BYTES("clearselectors")};
    acl_put(&acl, acl_plan(&acl, BYTES("amy"), more, 1, false, &err));
    assert_ptr_equal(acl_find(&acl, BYTES("amy")), u); /* sessions point to it */
    acl_user_free(acl_remove(&acl, BYTES("amy")));
    assert_null(acl_remove(&acl, BYTES("amy")));
    expect_all(DEFAULT);
}

static void test_a_file_is_taken_whole_or_not_at_all(void **state)
{
    struct acl_users users, old;
    struct conf_text err = {0};
    const struct acl_user *born = acl.default_user;
    (void)state;
    assert_true(acl_parse(BYTES("user zoe on +get ~a*\r\n\n  user amy off (~x +get)  \n"), "f", false, &users, &err));
    acl_replace(&acl, &users, &old);
    assert_int_equal(old.count, 0);
    acl_users_free(&old);
    expect_all("user amy off sanitize-payload resetchannels -@all (~x resetchannels -@all +get)\n" DEFAULT
               "user zoe on sanitize-payload ~a* resetchannels -@all +get\n");
    assert_true(acl_parse(BYTES("user default on >x +@all"), "f", false, &users, &err));
    acl_replace(&acl, &users, &old);
    assert_int_equal(old.count, 2);
    acl_users_free(&old);
    assert_ptr_equal(acl.default_user, born);
    assert_false(acl_is_open(&acl));
    assert_int_equal(acl.users.count, 1);
    assert_false(acl_parse(BYTES("# no\nuser\nusr x\nuser a +nosuch -nosuch\nuser a on\nuser b foo %\nuser c (~a"), "f",
                           false, &users, &err));
    assert_string_equal(err.p,
                        "f:1 should start with user keyword followed by the username. "
                        "f:2 should start with user keyword followed by the username. "
                        "f:3 should start with user keyword followed by the username. "
                        "f:4: Error in applying operation '+nosuch': Unknown command or category name in ACL. "
                        "f:4: Error in applying operation '-nosuch': Unknown command or category name in ACL. "
                        "WARNING: Duplicate user 'a' found on line 5. "
                        "f:6: Syntax error. "
                        "f:7: Unmatched parenthesis in selector definition."
                        "WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
    conf_text_free(&err);
}

/* What is written is read as what it was, however many rules there are. */
static void test_a_file_is_read_as_it_was_written(void **state)
{
    struct acl_users users, old;
    struct conf_text err = {0}, text = {0}, again = {0};
    (void)state;
    struct acl_user *u = acl_user_new(BYTES("many"), false);
    for (int i = 0; i < 5000; i++) {
        char rule[32];
        snprintf(rule, sizeof rule, "%%R~key:%d:*", i);
        assert_int_equal(acl_user_set(u, bytes_of_str(rule), false), 0);
    }
    acl_put(&acl, u);
    acl_describe(&acl, &text);
    assert_true(acl_parse(conf_text_bytes(&text), "f", false, &users, &err));
    acl_replace(&acl, &users, &old);
    acl_users_free(&old);
    acl_describe(&acl, &again);
    assert_string_equal(text.p, again.p);
    conf_text_free(&text);
    conf_text_free(&again);
}

static void test_requirepass_is_the_default_users_password(void **state)
{
    (void)state;
    assert_true(acl_is_open(&acl));
    acl_set_default_password(&acl, BYTES("one"));
    assert_false(acl_is_open(&acl));
    assert_true(acl_user_comes_in(acl.default_user, BYTES("one")));
    acl_set_default_password(&acl, BYTES("two"));
    assert_false(acl_user_comes_in(acl.default_user, BYTES("one")));
    assert_true(acl_user_comes_in(acl.default_user, BYTES("two")));
    acl_set_default_password(&acl, BYTES(""));
    assert_true(acl_is_open(&acl));
    assert_int_equal(acl_user_set(acl.default_user, BYTES("off"), false), 0);
    assert_false(acl_is_open(&acl));
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

static void refuse(const char *object, const char *user, enum acl_context where, int64_t now_ms, int64_t max)
{
    const struct acl_refusal what = {.reason = ACL_DENIED_KEY,
                                     .context = where,
                                     .object = bytes_of_str(object),
                                     .user = bytes_of_str(user),
                                     .client = BYTES("id=1")};
    acl_log_add(&acl.log, &what, now_ms, max);
}

static const struct acl_log_entry *newest(void)
{
    return list_entry(list_first(&acl.log.entries), struct acl_log_entry, link);
}

static void test_the_same_again_is_counted(void **state)
{
    (void)state;
    refuse("a", "bob", ACL_TOP_LEVEL, 1000, 128);
    refuse("b", "bob", ACL_TOP_LEVEL, 1001, 128);
    refuse("a", "bob", ACL_TOP_LEVEL, 61000, 128);
    assert_int_equal(acl.log.count, 2);
    assert_int_equal(newest()->count, 2);
    assert_int_equal(newest()->id, 0);
    assert_int_equal(newest()->created_ms, 1000);
    assert_int_equal(newest()->updated_ms, 61000);
    refuse("a", "bob", ACL_IN_LUA, 61000, 128);
    refuse("a", "amy", ACL_TOP_LEVEL, 61000, 128);
    refuse("a", "bob", ACL_TOP_LEVEL, 121001, 128); /* a minute is over */
    assert_int_equal(acl.log.count, 5);
    assert_int_equal(newest()->id, 4);
    refuse("c", "bob", ACL_TOP_LEVEL, 121001, 2);
    assert_int_equal(acl.log.count, 2);
    static char huge[1 << 20];
    memset(huge, 'x', sizeof huge - 1);
    refuse(huge, huge, ACL_TOP_LEVEL, 121001, 2); /* who is refused does not choose what that costs */
    assert_true(newest()->what.object.n + newest()->what.user.n <= 1 << 17);
    refuse(huge, huge, ACL_TOP_LEVEL, 121002, 2);
    assert_int_equal(newest()->count, 2);
    refuse("d", "bob", ACL_TOP_LEVEL, 121001, 0);
    assert_int_equal(acl.log.count, 0);
    acl_log_clear(&acl.log);
}

int main(void)
{
#define WITH_ACL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_ACL(test_a_change_is_all_or_nothing),       WITH_ACL(test_a_file_is_taken_whole_or_not_at_all),
        WITH_ACL(test_a_file_is_read_as_it_was_written), WITH_ACL(test_requirepass_is_the_default_users_password),
        WITH_ACL(test_the_same_again_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
