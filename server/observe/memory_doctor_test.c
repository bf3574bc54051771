/* SPDX-License-Identifier: MIT */
#include "server/observe/memory_use.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/mem.h"
#include "server/resp/reply.h"

#define MB (UINT64_C(1) << 20)

static char *told(const struct memory_use *m)
{
    struct reply text;
    reply_init(&text, 2);
    memory_doctor(&text, m);
    size_t n = reply_bytes(&text);
    char *flat = calloc(1, n + 1);
    assert_non_null(flat);
    reply_copy_out(&text, flat);
    reply_fini(&text);
    return flat;
}

static struct memory_use healthy(void)
{
    return (struct memory_use){
        .used = 100 * MB, .peak = 100 * MB, .active = 100 * MB, .resident = 100 * MB, .rss = 100 * MB, .clients = 10};
}

/* Exactly the issues whose names are given, in this order, between the first line and the last. */
static void assert_issues(const struct memory_use *m, const char *const *names, size_t count)
{
    char *text = told(m), *at = text;
    assert_non_null(strstr(text, "Sam, I detected a few issues in this Redis instance memory implants:\n\n *"));
    for (size_t i = 0; i < count; i++) {
        at = strstr(at, "\n * ");
        assert_non_null(at);
        at += strlen("\n * ");
        assert_memory_equal(at, names[i], strlen(names[i]));
        assert_int_equal(at[strlen(names[i])], ':');
    }
    assert_null(strstr(at, "\n * "));
    const char *end = ".\n\nI'm here to keep you safe, Sam. I want to help you.\n";
    assert_true(strlen(text) > strlen(end));
    assert_string_equal(text + strlen(text) - strlen(end), end);
    free(text);
}

static void assert_issue(const struct memory_use *m, const char *name) { assert_issues(m, &name, 1); }

static void assert_none(const struct memory_use *m)
{
    char *text = told(m);
    assert_string_equal(text,
                        "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on "
                        "this base.\n");
    free(text);
}

static void test_little_memory_is_not_judged(void **state)
{
    (void)state;
    struct memory_use m = {.used = 5 * MB - 1, .peak = 500 * MB, .scripts_cached = 5000};
    char *text = told(&m);
    assert_memory_equal(text, "Hi Sam, this instance is empty or is using very little memory, my issues detector can't",
                        87);
    free(text);
}

static void test_each_issue_begins_beyond_its_limit(void **state)
{
    (void)state;
    struct memory_use m = healthy();
    assert_none(&m);
    m.peak = 150 * MB;
    assert_none(&m);
    m.peak++;
    assert_issue(&m, "Peak memory");

    m = healthy();
    m.active = m.resident = m.rss = 110 * MB;
    assert_none(&m);
    m.active = m.resident = m.rss = 111 * MB;
    assert_issue(&m, "High allocator fragmentation");

    m = healthy();
    m.resident = m.rss = 111 * MB;
    assert_issue(&m, "High allocator RSS overhead");

    m = healthy();
    m.rss = 111 * MB;
    assert_issue(&m, "High process RSS overhead");

    m = healthy();
    m.clients_slaves = 10 * MB + 1;
    assert_none(&m); /* nobody's */
    m.replicas = 1;
    assert_issue(&m, "Big replica buffers");
    m.clients_slaves--;
    assert_none(&m);

    m = healthy();
    m.clients_normal = 10 * (UINT64_C(200) << 10);
    assert_none(&m);
    m.clients_normal += 10;
    assert_issue(&m, "Big client buffers");
    m.clients = 0;
    assert_none(&m);

    m = healthy();
    m.scripts_cached = 1000;
    assert_none(&m);
    m.scripts_cached++;
    assert_issue(&m, "Many scripts");
}

static void test_a_ratio_of_few_bytes_is_no_issue(void **state)
{
    (void)state;
    struct memory_use m = healthy();
    m.used = m.active = m.resident = m.peak = 6 * MB;
    m.rss = 16 * MB;
    assert_none(&m);
    m.rss++;
    static const char *const names[] = {"High total RSS", "High process RSS overhead"};
    assert_issues(&m, names, 2);
}

static void test_all_at_once(void **state)
{
    (void)state;
    struct memory_use m = healthy();
    m.peak = 200 * MB;
    m.active = 120 * MB;
    m.resident = 140 * MB;
    m.rss = 160 * MB;
    m.replicas = 1;
    m.clients_slaves = 11 * MB;
    m.clients_normal = 20 * MB;
    m.scripts_cached = 1001;
    static const char *const names[] = {"Peak memory",
                                        "High total RSS",
                                        "High allocator fragmentation",
                                        "High allocator RSS overhead",
                                        "High process RSS overhead",
                                        "Big replica buffers",
                                        "Big client buffers",
                                        "Many scripts"};
    assert_issues(&m, names, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_little_memory_is_not_judged),
        cmocka_unit_test(test_each_issue_begins_beyond_its_limit),
        cmocka_unit_test(test_a_ratio_of_few_bytes_is_no_issue),
        cmocka_unit_test(test_all_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
