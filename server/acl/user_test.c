/* SPDX-License-Identifier: MIT */
#include "server/acl/user.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "demi/libos.h"

static struct acl_user *u;

static int set_up(void **state)
{
    (void)state;
    command_table_init();
    u = acl_user_new(BYTES("bob"), false);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    acl_user_free(u);
    return 0;
}

/* Rules between blanks; the first error. */
static int rules(const char *text)
{
    int err = 0;
    char copy[1024], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *w = strtok_r(copy, " ", &rest); w && !err; w = strtok_r(NULL, " ", &rest))
        err = acl_user_set(u, bytes_of_str(w), false);
    return err;
}

static void expect_shown(const char *wanted)
{
    struct conf_text text = {0};
    acl_user_describe(u, &text);
    assert_string_equal(text.p, wanted);
    conf_text_free(&text);
}

/* What redis-server 7.2.4 shows after the same rules. */
static void test_rules_are_shown_as_they_can_be_said_again(void **state)
{
    static const struct {
        const char *rules, *shown;
    } cases[] = {
        {"", "off sanitize-payload resetchannels -@all"},
        {"on nopass +@all ~* &*", "on nopass sanitize-payload ~* &* +@all"},
        {"skip-sanitize-payload", "off skip-sanitize-payload resetchannels -@all"},
        {"+get +set -get", "off sanitize-payload resetchannels -@all +set -get"},
        {"+@READ +GeT -@Dangerous", "off sanitize-payload resetchannels -@all +@read +get -@dangerous"},
        {"+client|id +client|getname -client +client|id",
         "off sanitize-payload resetchannels -@all -client +client|id"},
        {"+config +config|get", "off sanitize-payload resetchannels -@all +config +config|get"},
        {"+get +select|0 +SELECT|1 +select|0", "off sanitize-payload resetchannels -@all +get +select|1 +select|0"},
        {"+get -@all +set", "off sanitize-payload resetchannels -@all +set"},
        {"+@all -get", "off sanitize-payload resetchannels +@all -get"},
        {"~a %R~b %w~c %rw~d %R~a", "off sanitize-payload ~a %R~b %W~c ~d resetchannels -@all"},
        {"%R~a %W~a", "off sanitize-payload ~a resetchannels -@all"},
        {"~a allkeys", "off sanitize-payload ~* resetchannels -@all"},
        {"~a resetkeys ~b", "off sanitize-payload ~b resetchannels -@all"},
        {"&a &b &a", "off sanitize-payload resetchannels &a &b -@all"},
        {"+module -geoadd +module|load", "off sanitize-payload resetchannels -@all +module -geoadd +module|load"},
        {">x resetpass", "off sanitize-payload resetchannels -@all"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(rules("reset"), 0);
        assert_int_equal(rules(cases[i].rules), 0);
        expect_shown(cases[i].shown);
        struct acl_user *copy = acl_user_dup(u, BYTES("copy"));
        acl_user_take(u, copy);
        expect_shown(cases[i].shown);
        assert_true(bytes_equal(u->name, BYTES("bob")));
    }
}

static void test_selectors_stand_in_parentheses(void **state)
{
    (void)state;
    assert_int_equal(acl_user_set(u, BYTES("(~a +get \"~b\")"), false), 0);
    assert_int_equal(acl_user_set(u, BYTES("()"), false), 0);
    expect_shown("off sanitize-payload resetchannels -@all (~a ~b resetchannels -@all +get) (resetchannels -@all)");
    assert_int_equal(acl_user_set(u, BYTES("(on)"), false), -EINVAL);
    assert_int_equal(acl_user_set(u, BYTES("(+nosuch)"), false), -ENOENT);
    assert_int_equal(acl_user_set(u, BYTES("((~a))"), false), -EINVAL);
    assert_int_equal(acl_user_set(u, BYTES("(~a \"~b)"), false), -EINVAL);
    assert_int_equal(acl_user_set(u, BYTES("clearselectors"), false), 0);
    expect_shown("off sanitize-payload resetchannels -@all");
}

/* Redis takes them, and does not start from what it saves then. */
static void test_what_a_saved_selector_could_not_say_is_refused(void **state)
{
    static const char *const refused[] = {"(~x ~a) +get)", "(~a) +get)",   "(&a) &b)",
                                          "(+get ~x) y)",  "(~a\"b +get)", "(+select|0) ~a)"};
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (acl_user_set(u, bytes_of_str(refused[i]), false) != -EINVAL) fail_msg("%s is taken", refused[i]);
    expect_shown("off sanitize-payload resetchannels -@all");
    assert_int_equal(acl_user_set(u, BYTES("(~\"a\" +get)"), false), 0); /* quotes around what needs none */
    assert_int_equal(acl_user_set(u, BYTES("(~a)b ~c(d %R~(e +get)"), false), 0);
    assert_int_equal(rules("~a) &b) ~c\"d"), 0);
}

static void test_mistakes_change_nothing_and_are_named(void **state)
{
    static const struct {
        const char *rule;
        int err;
    } cases[] = {{"foo", -EINVAL},
                 {"+", -ENOENT},
                 {"-", -ENOENT},
                 {"+nosuch", -ENOENT},
                 {"+@nosuch", -ENOENT},
                 {"+@", -ENOENT},
                 {"-client|nosuch", -ENOENT},
                 {"+client|nosuch", -ENOENT},
                 {"-get|x", -ENOENT},
                 {"+get|", -EINVAL},
                 {"+client|id|x", -ECHILD},
                 {"+nosuch|x", -ENOENT},
                 {"%", -EINVAL},
                 {"%~a", -EINVAL},
                 {"%R", -EINVAL},
                 {"%RR~a", -EINVAL},
                 {"%X~a", -EINVAL},
                 {"%RWR~a", -EINVAL},
                 {"~a\tb", -EINVAL},
                 {"&a\nb", -EINVAL},
                 {"<never", -ENODEV},
                 {"#abc", -EBADMSG},
                 {"!abc", -EBADMSG},
                 {"(", -EINVAL},
                 {")", -EINVAL}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int err = acl_user_set(u, bytes_of_str(cases[i].rule), false);
        if (err != cases[i].err) fail_msg("%s: %d, not %d", cases[i].rule, err, cases[i].err);
        expect_shown("off sanitize-payload resetchannels -@all");
        assert_true(strlen(acl_user_error(err)) > 10);
    }
    assert_int_equal(acl_user_set(u, bytes_of("~a\0b", 4), false), -EINVAL);
    assert_int_equal(rules("~*"), 0);
    assert_int_equal(rules("~a"), -EEXIST);
    assert_int_equal(rules("&*"), 0);
    assert_int_equal(rules("&a"), -EISDIR);
}

static void test_who_comes_in(void **state)
{
    (void)state;
    assert_false(acl_user_comes_in(u, BYTES("")));
    assert_int_equal(rules("on >one #2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), 0);
    assert_true(acl_user_comes_in(u, BYTES("one")));
    assert_true(acl_user_comes_in(u, BYTES("hello")));
    assert_false(acl_user_comes_in(u, BYTES("onE")));
    assert_false(acl_user_comes_in(u, BYTES("")));
    assert_int_equal(rules("<one"), 0);
    assert_false(acl_user_comes_in(u, BYTES("one")));
    assert_int_equal(rules("nopass"), 0);
    assert_true(acl_user_comes_in(u, BYTES("anything")));
    assert_int_equal(rules(">x"), 0);
    assert_false(acl_user_comes_in(u, BYTES("anything")));
    assert_int_equal(rules("nopass off"), 0);
    assert_false(acl_user_comes_in(u, BYTES("x")));
}

static enum acl_denied check(const char *line, int *at)
{
    char copy[256], *rest = NULL;
    struct bytes argv[16];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) argv[argc++] = bytes_of_str(w);
    const struct command *cmd = command_find(argv[0]);
    assert_non_null(cmd);
    if (cmd->sub_count && argc > 1) cmd = command_find_sub(cmd, argv[1]);
    assert_non_null(cmd);
    return acl_user_check(u, cmd, argv, argc, at);
}

struct check_case {
    const char *line;
    enum acl_denied verdict;
    int at;
};

static void check_all(const struct check_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int at = -1;
        enum acl_denied verdict = check(cases[i].line, &at);
        if (verdict != cases[i].verdict || (verdict && at != cases[i].at))
            fail_msg("%s: %d at %d, not %d at %d", cases[i].line, verdict, at, cases[i].verdict, cases[i].at);
    }
}
#define CHECK_ALL(cases) check_all(cases, sizeof(cases) / sizeof *(cases))

static void test_what_is_allowed(void **state)
{
    static const struct check_case cases[] = {
        {"GET a1", ACL_ALLOWED, 0},
        {"GET b", ACL_DENIED_KEY, 1},
        {"GET r1", ACL_ALLOWED, 0},
        {"SET r1 x", ACL_DENIED_KEY, 1},
        {"SET w1 x", ACL_ALLOWED, 0},
        {"SET w1 x GET", ACL_DENIED_KEY, 1},
        {"GET w1", ACL_DENIED_KEY, 1},
        {"MGET a1 r1 w1", ACL_DENIED_KEY, 3},
        {"COPY r1 w1", ACL_ALLOWED, 0},
        {"COPY w1 r1", ACL_DENIED_KEY, 1},
        {"GET x.y", ACL_ALLOWED, 0},
        {"GET x", ACL_DENIED_KEY, 1},
        {"ZUNIONSTORE w1 2 a1 r1", ACL_ALLOWED, 0},
        {"ZUNIONSTORE w1 9 a1 r1", ACL_ALLOWED, 0}, /* contradicts itself: its handler says so */
        {"DEL a1", ACL_DENIED_COMMAND, 0},
        {"CONFIG GET x", ACL_ALLOWED, 0},
        {"CONFIG SET x y", ACL_DENIED_COMMAND, 0},
        {"SELECT 0", ACL_ALLOWED, 0},
        {"SELECT 1", ACL_DENIED_COMMAND, 0},
        {"SELECT", ACL_DENIED_COMMAND, 0},
        {"AUTH x", ACL_ALLOWED, 0}, /* always */
        {"PUBLISH news.de x", ACL_ALLOWED, 0},
        {"PUBLISH other x", ACL_DENIED_CHANNEL, 1},
        {"SUBSCRIBE news.a other", ACL_DENIED_CHANNEL, 2},
        {"PSUBSCRIBE news.*", ACL_ALLOWED, 0},
        {"PSUBSCRIBE news.d*", ACL_DENIED_CHANNEL, 1}, /* a pattern is allowed as it stands */
        {"UNSUBSCRIBE other", ACL_ALLOWED, 0},
        {"SPUBLISH other x", ACL_DENIED_CHANNEL, 1},
    };
    (void)state;
    assert_int_equal(rules("+get +set +mget +copy +zunionstore +config|get +select|0 +@pubsub ~a* %R~r* %W~w* ~x?y "
                           "&news.*"),
                     0);
    CHECK_ALL(cases);
    assert_false(acl_user_is_unrestricted(u));
    assert_int_equal(rules("+@all ~* &*"), 0);
    assert_true(acl_user_is_unrestricted(u));
    assert_int_equal(rules("-get"), 0);
    assert_false(acl_user_is_unrestricted(u));
}

/* One selector has to allow all of it; of several refusals the nearest to success is told. */
static void test_selectors_do_not_add_up(void **state)
{
    static const struct check_case cases[] = {
        {"GET a", ACL_ALLOWED, 0},      {"SET a x", ACL_DENIED_KEY, 1},      {"SET b x", ACL_ALLOWED, 0},
        {"GET b", ACL_DENIED_KEY, 1},   {"COPY a b", ACL_DENIED_COMMAND, 0}, {"MGET c a b", ACL_ALLOWED, 0},
        {"MGET c b a", ACL_ALLOWED, 0}, {"MGET c d a", ACL_DENIED_KEY, 2},
    };
    (void)state;
    assert_int_equal(rules("+get ~a"), 0);
    assert_int_equal(acl_user_set(u, BYTES("(+set ~b)"), false), 0);
    assert_int_equal(acl_user_set(u, BYTES("(+mget ~c ~a ~b)"), false), 0);
    CHECK_ALL(cases);
}

static void test_all_keys_are_asked_for_by_their_kind(void **state)
{
    const struct command *sort = command_find(BYTES("sort"));
    struct bytes argv[] = {BYTES("SORT"), BYTES("a")};
    (void)state;
    assert_int_equal(rules("+sort ~a %R~b*"), 0);
    assert_false(acl_user_check_all_keys(u, sort, argv, 2, KEY_ACCESS));
    assert_int_equal(rules("%R~*"), 0);
    assert_true(acl_user_check_all_keys(u, sort, argv, 2, KEY_ACCESS));
    assert_false(acl_user_check_all_keys(u, sort, argv, 2, KEY_ACCESS | KEY_UPDATE));
    assert_true(acl_user_check_all_keys(NULL, sort, argv, 2, KEY_ACCESS));
}

/* What is seen without a call is what asking says, of prefixes that fit into a word and of those that do not. */
static void test_a_key_like_the_last_one_is_known_again(void **state)
{
    static const char *const names[] = {"",           "abc",         "abcdefgh",       "abcdefgx",   "abcdefghi",
                                        "abcdefghij", "abcdefghijk", "abcdefghix----", "abcdefxx--", "zzzzzzzzzzzz"};
    static const char *const patterns[] = {"~abc*", "~abcdefgh*", "~abcdefghij*", "%R~abcdefghi*", "~a?c*", "~*"};
    (void)state;
    struct acl_selector *s = u->selectors;
    size_t again = 0;
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
        assert_int_equal(rules("resetkeys"), 0);
        assert_int_equal(rules(patterns[p]), 0);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            for (uint16_t flags = 0; flags <= (KEY_ACCESS | KEY_UPDATE); flags += KEY_ACCESS) {
                struct bytes name = bytes_of_str(names[i]);
                bool known = acl_selector_has_key_again(s, name, flags);
                assert_true(!known || acl_selector_has_key(s, name, flags));
                again += known;
            }
        }
    }
    assert_int_equal(again, 4 * 7 + 4 * 5 + 4 * 2 + 2 * 4); /* of both kinds, or of reading alone */
}

int main(void)
{
#define WITH_USER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_USER(test_rules_are_shown_as_they_can_be_said_again),
        WITH_USER(test_selectors_stand_in_parentheses),
        WITH_USER(test_what_a_saved_selector_could_not_say_is_refused),
        WITH_USER(test_mistakes_change_nothing_and_are_named),
        WITH_USER(test_who_comes_in),
        WITH_USER(test_what_is_allowed),
        WITH_USER(test_selectors_do_not_add_up),
        WITH_USER(test_all_keys_are_asked_for_by_their_kind),
        WITH_USER(test_a_key_like_the_last_one_is_known_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
