/* SPDX-License-Identifier: MIT */
#include "server/command/missing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <cmocka.h>

#include "server/command/command.h"

static int find(const char *first, const char *second)
{
    struct bytes argv[2] = {bytes_of_str(first), second ? bytes_of_str(second) : bytes_of("", 0)};
    return missing_find(argv, second ? 2 : 1);
}

/* "client|tracking" as the two words it is sent as. */
static int find_row(const char *row)
{
    char word[64];
    const char *bar = strchr(row, '|');
    snprintf(word, sizeof word, "%.*s", bar ? (int)(bar - row) : 63, row);
    return find(word, bar ? bar + 1 : NULL);
}

static void test_names_stand_in_order_and_each_is_found(void **state)
{
    int n = 0;
    for (const char *name; (name = missing_name(n)); n++) {
        if (n) assert_true(strcasecmp(missing_name(n - 1), name) < 0);
        assert_int_equal(find_row(name), n);
    }
    assert_in_range(n, 0, MISSING_MAX);
}

/* Whoever lets a command in takes its row out. */
static void test_no_name_in_the_table_is_one_of_ours(void **state)
{
    command_table_init();
    for (int i = 0; missing_name(i); i++) {
        char word[64];
        const char *row = missing_name(i), *bar = strchr(row, '|');
        snprintf(word, sizeof word, "%.*s", bar ? (int)(bar - row) : 63, row);
        const struct command *cmd = command_find(bytes_of_str(word));
        if (!bar) assert_ptr_equal(cmd, NULL);
        else if (cmd) assert_ptr_equal(command_find_sub(cmd, bytes_of_str(bar + 1)), NULL);
    }
}

static void test_case_and_further_arguments_do_not_matter(void **state)
{
    for (int i = 0; missing_name(i); i++) {
        const char *name = missing_name(i);
        char upper[64];
        if (strchr(name, '|')) continue;
        for (size_t k = 0; k <= strlen(name); k++)
            upper[k] = name[k] >= 'a' && name[k] <= 'z' && k % 2 ? (char)(name[k] - 32) : name[k];
        assert_int_equal(find(upper, NULL), i);
        assert_int_equal(find(upper, ""), i);
        assert_int_equal(find(name, "key"), i);
    }
}

static void test_other_names_are_not_found(void **state)
{
    static const char nul[] = "pfadd\0x";
    struct bytes with_nul[2] = {bytes_of(nul, sizeof nul - 1), BYTES("tracking")};
    struct bytes sub_with_nul[2] = {BYTES("client"), bytes_of("tracking\0", 9)};
    char longer[1000];
    memset(longer, 'x', sizeof longer);
    struct bytes huge[2] = {bytes_of(longer, sizeof longer), bytes_of(longer, sizeof longer)};
    struct bytes huge_sub[2] = {BYTES("client"), bytes_of(longer, sizeof longer)};
    assert_int_equal(missing_find(with_nul, 2), -1);
    assert_int_equal(missing_find(sub_with_nul, 2), -1);
    assert_int_equal(missing_find(huge, 2), -1);
    assert_int_equal(missing_find(huge_sub, 2), -1);
    assert_int_equal(find("", NULL), -1);
    assert_int_equal(find("", ""), -1);
    assert_int_equal(find("get", "k"), -1);
    assert_int_equal(find("client", NULL), -1);
    assert_int_equal(find("client", "track"), -1);
    assert_int_equal(find("client|tracking", "x"), -1); /* that is no name anybody knows */
    assert_int_equal(find("pfad", NULL), -1);
    assert_int_equal(find("pfadds", NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_stand_in_order_and_each_is_found),
        cmocka_unit_test(test_no_name_in_the_table_is_one_of_ours),
        cmocka_unit_test(test_case_and_further_arguments_do_not_matter),
        cmocka_unit_test(test_other_names_are_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
