/* SPDX-License-Identifier: MIT
 *
 * Offsets, ids and who may go on, against the rules of Redis 7.2.
 */
#include "server/repl/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "server/exec/session_fixture.h"

#define HISTORY (&f.srv.history)

static struct fixture f;
static const char other[] = "0123456789abcdef0123456789abcdef01234567";

static void appended(struct journal *j) { history_trim(&j->srv->history); }

static int setup(void **state)
{
    (void)state;
    fixture_init(&f, 1);
    history_init(HISTORY, &f.srv, appended);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    history_fini(HISTORY);
    fixture_fini(&f);
    return 0;
}

static void write_bytes(size_t n)
{
    static const struct bytes ping = BYTES("ping"); /* 14 bytes */
    assert_int_equal(n % 14, 0);
    for (; n; n -= 14) history_record(HISTORY, &ping, 1);
}

static bool continues(const char *id, int64_t from) { return history_continues(HISTORY, id, strlen(id), from); }

static void test_nothing_continues_without_a_backlog(void **state)
{
    (void)state;
    assert_int_equal(history_offset(HISTORY), 0);
    assert_int_equal(history_first(HISTORY), 0);
    assert_false(continues(HISTORY->id, 1));
    history_keep(HISTORY);
    assert_true(continues(HISTORY->id, 1)); /* with nothing to send */
    assert_int_equal(history_first(HISTORY), 1);
}

static void test_what_continues(void **state)
{
    (void)state;
    char upper[HISTORY_ID_SIZE];
    history_keep(HISTORY);
    write_bytes(28);
    assert_int_equal(history_offset(HISTORY), 28);
    assert_int_equal(history_length(HISTORY), 28);
    for (int64_t from = -2; from < 32; from++) assert_int_equal(continues(HISTORY->id, from), from >= 1 && from <= 29);
    for (int i = 0; i < HISTORY_ID_SIZE; i++)
        upper[i] = HISTORY->id[i] >= 'a' ? (char)(HISTORY->id[i] - 32) : HISTORY->id[i];
    assert_true(continues(upper, 1));
    assert_false(continues(other, 1));
    assert_false(continues("?", -1));
    assert_false(history_continues(HISTORY, HISTORY->id, 39, 1));
    struct broadcast_reader r;
    struct bytes b;
    history_read_from(HISTORY, 15, &r);
    assert_int_equal(HISTORY->base + r.offset, 14);
    assert_int_equal(broadcast_peek(&r, &b, 1, 100), 1);
    assert_int_equal(b.n, 14);
    assert_memory_equal(b.p, "*1\r\n$4\r\nping\r\n", 14);
    journal_reader_end(&HISTORY->journal, &r);
}

static void test_the_backlog_is_bounded(void **state)
{
    (void)state;
    history_keep(HISTORY);
    history_resize(HISTORY, 20000);
    for (int i = 0; i < 10000; i++) {
        write_bytes(14);
        assert_true(history_length(HISTORY) < 20000 + HISTORY_TRIM);
        if (i > 2000) assert_true(history_length(HISTORY) >= 20000);
        assert_int_equal(history_first(HISTORY) + history_length(HISTORY) - 1, history_offset(HISTORY));
    }
    assert_int_equal(history_offset(HISTORY), 140000);
    assert_true(HISTORY->journal.text.bytes < 200000);
    history_resize(HISTORY, 100); /* HISTORY_TRIM more may stay */
    write_bytes(14);
    assert_true(history_length(HISTORY) < 100 + HISTORY_TRIM);
    assert_false(continues(HISTORY->id, 1));
}

static void test_what_a_slow_reader_holds_may_be_asked_for(void **state)
{
    (void)state;
    struct broadcast_reader slow = {0};
    HISTORY->backlog_size = 16384;
    history_keep(HISTORY);
    write_bytes(14 * 3000);
    journal_read(&HISTORY->journal, &slow);
    uint64_t from = history_offset(HISTORY) + 1;
    write_bytes(14 * 100000);
    size_t held = HISTORY->journal.text.bytes;
    assert_true(history_length(HISTORY) >= 14 * 100000);
    assert_true(continues(HISTORY->id, (int64_t)from));
    broadcast_advance(&slow, 14 * 99000); /* it has read nearly all */
    history_trim(HISTORY);
    assert_true(history_length(HISTORY) < 14 * 99000);
    assert_true(HISTORY->journal.text.bytes < held);
    journal_reader_end(&HISTORY->journal, &slow);
    history_trim(HISTORY);
    assert_true(history_length(HISTORY) <= 16384 + HISTORY_TRIM);
    assert_false(continues(HISTORY->id, (int64_t)from));
}

static void test_a_promoted_one_is_known_by_both_ids(void **state)
{
    (void)state;
    char old[HISTORY_ID_SIZE];
    history_keep(HISTORY);
    write_bytes(28);
    memcpy(old, HISTORY->id, sizeof old);
    history_branch(HISTORY);
    assert_string_not_equal(old, HISTORY->id);
    assert_string_equal(old, HISTORY->id2);
    assert_int_equal(HISTORY->second_offset, 29);
    write_bytes(28);
    assert_true(continues(old, 1) && continues(old, 29));
    assert_false(continues(old, 30)); /* it has bytes that are not ours */
    assert_true(continues(HISTORY->id, 57));
    history_branch_to(HISTORY, other);
    assert_string_equal(HISTORY->id, other);
    assert_int_equal(HISTORY->second_offset, 57);
    assert_false(continues(old, 1)); /* the one before the last is forgotten */
    history_new_id(HISTORY);
    assert_int_equal(HISTORY->second_offset, -1);
    assert_false(continues("0000000000000000000000000000000000000000", 1));
}

static void test_a_loaded_one_stands_at_the_offset_of_its_primary(void **state)
{
    (void)state;
    history_keep(HISTORY);
    write_bytes(28);
    history_follow(HISTORY, true);
    history_adopt(HISTORY, other, 1000);
    assert_int_equal(history_offset(HISTORY), 1000);
    assert_int_equal(history_first(HISTORY), 1001);
    assert_false(continues(other, 1000));
    assert_true(continues(other, 1001));
    history_append(HISTORY, BYTES("0123456789"));
    assert_int_equal(history_offset(HISTORY), 1010);
    assert_true(list_is_empty(&HISTORY->journal.sink.link)); /* nothing of its own is written */
    history_follow(HISTORY, false);
    assert_false(list_is_empty(&HISTORY->journal.sink.link));
    history_branch(HISTORY);
    assert_true(continues(other, 1011));
}

static void test_a_restarted_one_is_asked_by_the_id_of_its_file(void **state)
{
    (void)state;
    history_resume(HISTORY, other, 500);
    assert_string_equal(HISTORY->id2, other);
    assert_true(continues(other, 501));
    assert_false(continues(other, 500));
    assert_false(continues(other, 502));
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_continues_without_a_backlog),
        TEST(test_what_continues),
        TEST(test_the_backlog_is_bounded),
        TEST(test_what_a_slow_reader_holds_may_be_asked_for),
        TEST(test_a_promoted_one_is_known_by_both_ids),
        TEST(test_a_loaded_one_stands_at_the_offset_of_its_primary),
        TEST(test_a_restarted_one_is_asked_by_the_id_of_its_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
