/* SPDX-License-Identifier: MIT */
#include "server/command/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <errno.h>
#include <cmocka.h>

#include "server/command/getkeys.h"
#include "server/command/lookup.h"

#define WORDS 32

struct words {
    struct bytes argv[WORDS];
    int argc;
};

/* "SET k v" */
static struct words words_of(const char *line)
{
    struct words w = {.argc = 0};
    while (*line) {
        size_t n = strcspn(line, " ");
        assert_true(w.argc < WORDS);
        w.argv[w.argc++] = bytes_of(line, n);
        line += n + (line[n] == ' ');
    }
    return w;
}

/* Keys as "1,3" so that a test reads as a table. */
static const char *keys_of(const struct command *c, const char *line)
{
    static char text[256];
    struct words w = words_of(line);
    int out[WORDS];
    uint16_t flags[WORDS];
    int n = command_keys(c, w.argv, w.argc, out, flags, WORDS);
    if (n < 0) return "malformed";
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < n; i++) at += (size_t)snprintf(text + at, sizeof text - at, i ? ",%d" : "%d", out[i]);
    return text;
}

/* Rows of our own: one for each form of key spec. */
static const struct key_spec one_key[] = {
    {.flags = KEY_RO, .begin_pos = 1, .find = KEY_FIND_RANGE, .last = 0, .step = 1}};
static const struct key_spec pairs[] = {
    {.flags = KEY_OW, .begin_pos = 1, .find = KEY_FIND_RANGE, .last = -1, .step = 2}};
static const struct key_spec all_but_last[] = {
    {.flags = KEY_RW, .begin_pos = 1, .find = KEY_FIND_RANGE, .last = -2, .step = 1}};
static const struct key_spec store_and_count[] = {
    {.flags = KEY_OW, .begin_pos = 1, .find = KEY_FIND_RANGE, .last = 0, .step = 1},
    {.flags = KEY_RO, .begin_pos = 2, .find = KEY_FIND_KEYNUM, .keynum_index = 0, .first_key = 1, .keynum_step = 1}};
static const struct key_spec streams[] = {{.flags = KEY_RO,
                                           .begin = KEY_BEGIN_KEYWORD,
                                           .begin_keyword = "STREAMS",
                                           .begin_pos = 1,
                                           .find = KEY_FIND_RANGE,
                                           .last = -1,
                                           .step = 1,
                                           .limit = 2}};
static const struct key_spec from_behind[] = {{.flags = KEY_RO,
                                               .begin = KEY_BEGIN_KEYWORD,
                                               .begin_keyword = "KEYS",
                                               .begin_pos = -2,
                                               .find = KEY_FIND_RANGE,
                                               .last = -1,
                                               .step = 1}};
static const struct key_spec channel[] = {
    {.flags = KEY_NOT_KEY, .begin_pos = 1, .find = KEY_FIND_RANGE, .last = 0, .step = 1}};
static const struct key_spec incomplete[] = {
    {.flags = KEY_RW | KEY_INCOMPLETE, .begin_pos = 1, .find = KEY_FIND_RANGE, .last = 0, .step = 1}};
static const struct key_spec untold[] = {{.begin = KEY_BEGIN_UNKNOWN, .find = KEY_FIND_UNKNOWN}};

#define ROW(specs) (&(const struct command){.name = "X", .keys = specs, .key_count = sizeof specs / sizeof *specs})

static void test_missing_keys_are_malformed(void **state)
{
    assert_string_equal(keys_of(ROW(one_key), "GET"), "malformed");
    assert_string_equal(keys_of(ROW(pairs), "MSET"), "malformed");
    assert_string_equal(keys_of(ROW(all_but_last), "BLPOP 0"), "malformed");
    assert_string_equal(keys_of(ROW(store_and_count), "ZUNIONSTORE d"), "malformed");
}

static void test_key_counts_beyond_the_call_are_malformed(void **state)
{
    static const char *const bad[] = {
        "Z d 3 a b",
        "Z d 2147483647 a",
        "Z d 2147483648 a",
        "Z d 9223372036854775807 a",
        "Z d 99999999999999999999 a",
        "Z d 0 a",
        "Z d -1 a",
        "Z d 01 a",
        "Z d 1x a",
        "Z d +1 a",
        "Z d 1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_string_equal(keys_of(ROW(store_and_count), bad[i]), "malformed");
}

static void test_empty_words_are_read_as_words(void **state)
{
    struct bytes argv[] = {BYTES("Z"), BYTES("d"), {NULL, 0}, BYTES("a")};
    int out[4];
    assert_int_equal(command_keys(ROW(store_and_count), argv, 4, out, NULL, 4), -1);
    assert_int_equal(command_keys(ROW(streams), argv, 4, out, NULL, 4), 0);
}

static void test_ranges_count_from_both_ends(void **state)
{
    assert_string_equal(keys_of(ROW(one_key), "GET k"), "1");
    assert_string_equal(keys_of(ROW(pairs), "MSET a 1 b 2"), "1,3");
    assert_string_equal(keys_of(ROW(pairs), "MSET a 1 b"), "1,3");
    assert_string_equal(keys_of(ROW(all_but_last), "BLPOP a b c 0"), "1,2,3");
}

static void test_a_count_says_how_many_keys_follow(void **state)
{
    assert_string_equal(keys_of(ROW(store_and_count), "Z d 2 a b WEIGHTS 1 2"), "1,3,4");
    assert_string_equal(keys_of(ROW(store_and_count), "Z d 1 a"), "1,3");
}

static void test_a_keyword_says_where_keys_begin(void **state)
{
    assert_string_equal(keys_of(ROW(streams), "XREAD COUNT 2 streams a b 1 2"), "4,5");
    assert_string_equal(keys_of(ROW(streams), "XREAD COUNT 2"), "");
    assert_string_equal(keys_of(ROW(streams), "XREAD STREAMS"), "malformed");
    assert_string_equal(keys_of(ROW(from_behind), "M KEYS a KEYS b"), "4");
    assert_string_equal(keys_of(ROW(from_behind), "M KEYS a b"), "2,3");
}

static void test_channels_are_not_keys(void **state) { assert_string_equal(keys_of(ROW(channel), "PUBLISH c m"), ""); }

static void test_specs_that_cannot_tell_are_malformed(void **state)
{
    assert_string_equal(keys_of(ROW(incomplete), "X a"), "malformed");
    assert_string_equal(keys_of(ROW(untold), "X a"), "malformed");
}

static void test_more_keys_than_room_are_counted_not_written(void **state)
{
    struct words w = words_of("MSET a 1 b 2 c 3 d 4");
    int out[3] = {0, 0, -7};
    assert_int_equal(command_keys(ROW(pairs), w.argv, w.argc, out, NULL, 2), 4);
    assert_int_equal(out[1], 3);
    assert_int_equal(out[2], -7);
}

static void test_sort_finds_the_last_store(void **state)
{
    const struct command sort = {.name = "SORT", .getkeys = getkeys_sort};
    assert_string_equal(keys_of(&sort, "SORT"), "malformed");
    assert_string_equal(keys_of(&sort, "SORT a"), "1");
    assert_string_equal(keys_of(&sort, "SORT a STORE"), "1");
    assert_string_equal(keys_of(&sort, "SORT a BY store LIMIT 0 5 store x STORE y"), "1,10");
    assert_string_equal(keys_of(&sort, "SORT a GET store z"), "1");
    assert_string_equal(keys_of(&sort, "SORT a LIMIT"), "1");
}

static void test_migrate_names_one_key_or_those_behind_the_word(void **state)
{
    const struct command migrate = {.name = "MIGRATE", .getkeys = getkeys_migrate};
    int out[4] = {0};
    uint16_t flags[4] = {0};
    struct words w = words_of("MIGRATE h 1 k 0 9 KEYS a");
    assert_string_equal(keys_of(&migrate, "MIGRATE h 1 k 0"), "malformed");
    assert_string_equal(keys_of(&migrate, "MIGRATE h 1 k 0 9 COPY AUTH keys"), "3");
    assert_string_equal(keys_of(&migrate, "MIGRATE h 1 k 0 9 AUTH2 keys"), "3");
    assert_string_equal(keys_of(&migrate, "MIGRATE h 1 k 0 9 AUTH"), "3");
    assert_int_equal(command_keys(&migrate, w.argv, w.argc, out, flags, 4), 0);
    w.argv[3] = BYTES("");
    assert_int_equal(command_keys(&migrate, w.argv, w.argc, out, flags, 4), 1);
    assert_int_equal(out[0], 7);
    assert_int_equal(flags[0], KEY_RW | KEY_ACCESS | KEY_DELETE);
    assert_int_equal(command_keys(&migrate, w.argv, 7, out, flags, 4), 1);
    assert_int_equal(out[0], 3);
}

static void test_set_reads_only_with_get(void **state)
{
    const struct command set = {.name = "SET", .getkeys = getkeys_set};
    int out[2];
    uint16_t flags[2];
    struct words w = words_of("SET k v NX");
    assert_int_equal(command_keys(&set, w.argv, w.argc, out, flags, 2), 1);
    assert_int_equal(flags[0], KEY_OW | KEY_UPDATE);
    w = words_of("SET k v gEt");
    assert_int_equal(command_keys(&set, w.argv, w.argc, out, flags, 2), 1);
    assert_int_equal(flags[0], KEY_RW | KEY_ACCESS | KEY_UPDATE);
    assert_int_equal(command_keys(&set, w.argv, w.argc, out, NULL, 2), 1);
    assert_int_equal(command_keys(&set, w.argv, 1, out, NULL, 2), -1);
}

static void test_folding_touches_letters_only(void **state)
{
    for (unsigned c = 0; c < 256; c++) {
        uint64_t x = 0x0101010101010101u * c;
        uint64_t want = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
        assert_true(command_fold(x) == 0x0101010101010101u * want);
    }
    assert_true(command_fold(0xff40415a5b617a80u) == 0xff40617a5b617a80u);
}

static void test_every_command_is_found_in_any_case(void **state)
{
    for (unsigned i = 0; i < command_count(); i++) {
        const struct command *c = command_at(i);
        char name[64];
        assert_int_equal(c->index, i);
        assert_ptr_equal(command_find_full(bytes_of_str(c->full_name)), c);
        size_t n = strlen(c->full_name);
        for (size_t k = 0; k < n; k++) {
            char ch = c->full_name[k];
            name[k] = ch >= 'a' && ch <= 'z' && k % 2 ? (char)(ch - 32) : ch;
        }
        assert_ptr_equal(command_find_full(bytes_of(name, n)), c);
        name[n] = '!';
        assert_null(command_find_full(bytes_of(name, n + 1)));
        if (c->parent) {
            assert_ptr_equal(command_find_sub(c->parent, bytes_of_str(c->name)), c);
            assert_null(command_find(bytes_of_str(c->name)) == c ? c : NULL);
        }
    }
    assert_null(command_at(command_count()));
}

static void test_unknown_names_are_not_found(void **state)
{
    static const char *const bad[] = {"",  "g",    "ge",   "gett",         "get ", "nosuchcommandatall",
                                      "|", "get|", "|get", "client|nosuch"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_null(command_find_full(bytes_of_str(bad[i])));
    assert_null(command_find((struct bytes){NULL, 0}));
    assert_null(command_find(bytes_of("g\0t", 3)));
    assert_null(command_find(bytes_of("gEt\xe5", 4)));
}

static void test_every_row_says_what_commands_must(void **state)
{
    for (unsigned i = 0; i < command_count(); i++) {
        const struct command *c = command_at(i);
        assert_true(c->handler || c->sub_count);
        assert_true(c->arity != 0);
        assert_non_null(c->group);
        assert_non_null(c->since);
        assert_non_null(c->summary);
        assert_true(!!(c->acl & ACL_FAST) != !!(c->acl & ACL_SLOW));
        assert_false((c->flags & CMD_WRITE) && (c->flags & CMD_READONLY));
        for (unsigned k = 0; k < c->arg_count; k++) assert_true(c->args[k].key_spec <= c->key_count);
    }
}

static void test_a_second_init_changes_nothing(void **state)
{
    unsigned before = command_count();
    command_table_init();
    assert_int_equal(command_count(), before);
}

static void test_renaming_moves_or_removes_a_name(void **state)
{
    const struct command *c = command_at(0);
    struct bytes old = bytes_of_str(c->name), other = bytes_of_str(command_at(1)->name);
    assert_int_equal(command_rename(BYTES("nosuch"), BYTES("x")), -ENOENT);
    assert_int_equal(command_rename(old, other), -EEXIST);
    assert_int_equal(command_rename(old, BYTES("A-Name-Longer-Than-Sixteen")), 0);
    assert_null(command_find(old));
    assert_ptr_equal(command_find(BYTES("a-name-longer-than-sixteen")), c);
    assert_null(command_find(BYTES("a-name-lOmger-than-sixteen")));
    assert_int_equal(command_rename(BYTES("a-name-longer-than-sixteen"), BYTES("")), 0);
    assert_null(command_find(BYTES("a-name-longer-than-sixteen")));
    assert_false(command_is_known(c));
    assert_true(command_is_known(command_at(1)));
}

int main(void)
{
    command_table_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_keys_are_malformed),
        cmocka_unit_test(test_key_counts_beyond_the_call_are_malformed),
        cmocka_unit_test(test_empty_words_are_read_as_words),
        cmocka_unit_test(test_ranges_count_from_both_ends),
        cmocka_unit_test(test_a_count_says_how_many_keys_follow),
        cmocka_unit_test(test_a_keyword_says_where_keys_begin),
        cmocka_unit_test(test_channels_are_not_keys),
        cmocka_unit_test(test_specs_that_cannot_tell_are_malformed),
        cmocka_unit_test(test_more_keys_than_room_are_counted_not_written),
        cmocka_unit_test(test_sort_finds_the_last_store),
        cmocka_unit_test(test_migrate_names_one_key_or_those_behind_the_word),
        cmocka_unit_test(test_set_reads_only_with_get),
        cmocka_unit_test(test_folding_touches_letters_only),
        cmocka_unit_test(test_every_command_is_found_in_any_case),
        cmocka_unit_test(test_unknown_names_are_not_found),
        cmocka_unit_test(test_every_row_says_what_commands_must),
        cmocka_unit_test(test_a_second_init_changes_nothing),
        cmocka_unit_test(test_renaming_moves_or_removes_a_name), /* last: changes the table */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
