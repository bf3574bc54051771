/* SPDX-License-Identifier: MIT */
#include "server/repl/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID   "0123456789abcdef0123456789abcdef01234567"
#define MARK "Abcdefghij0123456789Abcdefghij012345678X"

static enum psync_answer answer(const char *line, char *id, int64_t *offset)
{
    memset(id, '?', HISTORY_ID_SIZE);
    return handshake_psync(line, id, offset);
}

static void test_lines_that_are_no_answer_are_broken(void **state)
{
    static const char *const bad[] = {
        "+FULLRESYNC",
        "+FULLRESYNC ",
        "+FULLRESYNC " ID,
        "+FULLRESYNC " ID " ",
        "+FULLRESYNC " ID " x",
        "+FULLRESYNC " ID " -1",
        "+FULLRESYNC " ID " 1x",
        "+FULLRESYNC " ID " 1 2",
        "+FULLRESYNC " ID " 18446744073709551616",
        "+FULLRESYNC " ID "0 1",
        "+FULLRESYNC 0123 1",
        "+FULLRESYNC  " ID " 1",
        "+FULLRESYNCX",
        "+CONTINUE ",
        "+CONTINUE x",
        "+CONTINUE " ID "0",
        "+CONTINUE " ID " 1",
        "+CONTINUEx",
        "+OK",
        "+",
        "$5",
        ":1",
        "hello",
    };
    char id[HISTORY_ID_SIZE];
    int64_t offset;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (answer(bad[i], id, &offset) != PSYNC_BROKEN) fail_msg("taken: %s", bad[i]);
}

static void test_answers_to_psync(void **state)
{
    char id[HISTORY_ID_SIZE];
    int64_t offset;
    assert_int_equal(answer("", id, &offset), PSYNC_WAIT);
    assert_int_equal(answer("+FULLRESYNC " ID " 0", id, &offset), PSYNC_FULL);
    assert_string_equal(id, ID);
    assert_int_equal(offset, 0);
    assert_int_equal(answer("+FULLRESYNC " ID " 9223372036854775807", id, &offset), PSYNC_FULL);
    assert_true(offset == INT64_MAX);
    assert_int_equal(answer("+CONTINUE", id, &offset), PSYNC_CONTINUES);
    assert_string_equal(id, "");
    assert_int_equal(answer("+CONTINUE " ID, id, &offset), PSYNC_CONTINUES);
    assert_string_equal(id, ID);
    assert_int_equal(answer("-NOMASTERLINK Can't SYNC while not connected with my master", id, &offset), PSYNC_LATER);
    assert_int_equal(answer("-LOADING Redis is loading the dataset in memory", id, &offset), PSYNC_LATER);
    assert_int_equal(answer("-ERR unknown command 'PSYNC'", id, &offset), PSYNC_UNKNOWN);
    assert_int_equal(answer("-NOAUTH Authentication required.", id, &offset), PSYNC_UNKNOWN);
}

static void test_what_may_answer_ping(void **state)
{
    assert_true(handshake_may_go_on("+PONG"));
    assert_true(handshake_may_go_on("-NOAUTH Authentication required."));
    assert_true(handshake_may_go_on("-NOPERM this user has no permissions to run the 'ping' command"));
    assert_true(handshake_may_go_on("-ERR operation not permitted"));
    assert_false(handshake_may_go_on("-DENIED Redis is running in protected mode"));
    assert_false(handshake_may_go_on("-ERR max number of clients reached"));
    assert_false(handshake_may_go_on(""));
    assert_false(handshake_may_go_on("HTTP/1.1 400 Bad Request"));
}

static void test_payloads(void **state)
{
    int64_t size = -1;
    char mark[EOF_MARK_SIZE];
    assert_int_equal(handshake_payload("", &size, mark), PAYLOAD_WAIT);
    assert_int_equal(handshake_payload("$0", &size, mark), PAYLOAD_COUNTED);
    assert_int_equal(size, 0);
    assert_int_equal(handshake_payload("$9223372036854775807", &size, mark), PAYLOAD_COUNTED);
    assert_true(size == INT64_MAX);
    assert_int_equal(handshake_payload("$EOF:" MARK, &size, mark), PAYLOAD_MARKED);
    assert_memory_equal(mark, MARK, EOF_MARK_SIZE);
    assert_int_equal(handshake_payload("-ERR no", &size, mark), PAYLOAD_REFUSED);
    static const char *const bad[] = {"$",    "$-1", "$x", "$1x", "$9223372036854775808", "$EOF:", "$EOF:" MARK "x",
                                      "$EOF", "+OK", "5",  "$ 5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (handshake_payload(bad[i], &size, mark) != PAYLOAD_BROKEN) fail_msg("taken: %s", bad[i]);
}

/* However the bytes are cut into two or three pieces. */
static void test_a_mark_is_found_across_pieces(void **state)
{
    const char text[] = "REDIS0011 some data " MARK;
    size_t n = sizeof text - 1;
    for (size_t i = 0; i <= n; i++) {
        for (size_t k = i; k <= n; k++) {
            struct eof_mark m;
            eof_mark_init(&m, MARK);
            bool first = eof_mark_pass(&m, bytes_of(text, i)), second = eof_mark_pass(&m, bytes_of(text + i, k - i));
            assert_int_equal(first, i == n);
            assert_int_equal(second, k == n);
            assert_true(eof_mark_pass(&m, bytes_of(text + k, n - k)));
        }
    }
}

static void test_a_mark_byte_by_byte_and_beginning_twice(void **state)
{
    struct eof_mark m;
    const char text[] = "Abcdefghij0123Abcdefghij0123456789Abcdefghij012345678" MARK;
    eof_mark_init(&m, MARK);
    for (size_t i = 0; i < sizeof text - 1; i++)
        assert_int_equal(eof_mark_pass(&m, bytes_of(text + i, 1)), i == sizeof text - 2);
    assert_false(eof_mark_pass(&m, bytes_of("x", 1)));
    assert_false(eof_mark_pass(&m, bytes_of(NULL, 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_that_are_no_answer_are_broken),
        cmocka_unit_test(test_answers_to_psync),
        cmocka_unit_test(test_what_may_answer_ping),
        cmocka_unit_test(test_payloads),
        cmocka_unit_test(test_a_mark_is_found_across_pieces),
        cmocka_unit_test(test_a_mark_byte_by_byte_and_beginning_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
