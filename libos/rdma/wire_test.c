/* SPDX-License-Identifier: MIT */
#include "libos/rdma/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const struct wire_greeting greeting = {.version = WIRE_VERSION,
                                              .features = 0x8001,
                                              .receive_size = 8192,
                                              .window = 32,
                                              .word_addr = 0x1122334455667788,
                                              .word_key = 0xdeadbeef};

static void test_a_greeting_comes_back_and_padding_does_not_matter(void **state)
{
    uint8_t at[56] = {0};
    struct wire_greeting g;
    wire_put_greeting(at, &greeting);
    for (size_t n = WIRE_GREETING_SIZE; n <= sizeof at; n += 24) {
        assert_int_equal(wire_get_greeting(at, n, &g), WIRE_OURS);
        assert_int_equal(g.receive_size, 8192);
        assert_int_equal(g.window, 32);
        assert_true(g.word_addr == greeting.word_addr);
        assert_int_equal(g.word_key, 0xdeadbeef);
        assert_int_equal(g.features, 0x8001);
    }
}

static void test_who_greets_otherwise_is_told_apart(void **state)
{
    uint8_t at[56] = {0};
    struct wire_greeting g, bad;
    assert_int_equal(wire_get_greeting(NULL, 0, &g), WIRE_NOTHING);
    assert_int_equal(wire_get_greeting(at, sizeof at, &g), WIRE_NOTHING);
    at[3] = 1;
    assert_int_equal(wire_get_greeting(at, sizeof at, &g), WIRE_FOREIGN);
    wire_put_greeting(at, &greeting);
    assert_int_equal(wire_get_greeting(at, 4, &g), WIRE_FOREIGN);
    assert_int_equal(wire_get_greeting(at, WIRE_GREETING_SIZE - 1, &g), WIRE_NONSENSE);
    at[4] = WIRE_VERSION + 1;
    assert_int_equal(wire_get_greeting(at, sizeof at, &g), WIRE_OTHER_VERSION);
    for (unsigned i = 0; i < 5; i++) {
        bad = greeting;
        if (i == 0) bad.receive_size = WIRE_RECEIVE_MIN - 1;
        if (i == 1) bad.receive_size = WIRE_RECEIVE_MAX + 1;
        if (i == 2) bad.window = WIRE_WINDOW_MIN - 1;
        if (i == 3) bad.window = WIRE_WINDOW_MAX + 1;
        if (i == 4) bad.word_addr = 4; /* a word that is not aligned would be written in halves */
        wire_put_greeting(at, &bad);
        assert_int_equal(wire_get_greeting(at, sizeof at, &g), WIRE_NONSENSE);
    }
}

static void test_a_head_comes_back(void **state)
{
    uint8_t at[WIRE_HEAD_SIZE + 5];
    struct wire_head h;
    wire_put_head(at, &(struct wire_head){WIRE_DATA, WIRE_STALLED, 5, 0x0102030405060708});
    assert_true(wire_get_head(at, sizeof at, &h));
    assert_int_equal(h.kind, WIRE_DATA);
    assert_int_equal(h.flags, WIRE_STALLED);
    assert_int_equal(h.len, 5);
    assert_true(h.count == 0x0102030405060708);
}

static void test_a_head_that_does_not_fit_its_message_is_none(void **state)
{
    uint8_t at[WIRE_HEAD_SIZE + 5];
    struct wire_head h;
    for (unsigned kind = 0; kind < 256; kind++) {
        wire_put_head(at, &(struct wire_head){.kind = (uint8_t)kind, .len = 5});
        assert_int_equal(wire_get_head(at, sizeof at, &h), kind == WIRE_DATA);
        wire_put_head(at, &(struct wire_head){.kind = (uint8_t)kind});
        assert_int_equal(wire_get_head(at, WIRE_HEAD_SIZE, &h), kind > WIRE_DATA && kind <= WIRE_COUNT);
    }
    wire_put_head(at, &(struct wire_head){.kind = WIRE_DATA, .len = 5});
    for (size_t n = 0; n < sizeof at; n++) assert_false(wire_get_head(at, n, &h));
    wire_put_head(at, &(struct wire_head){.kind = WIRE_DATA, .len = UINT32_MAX});
    assert_false(wire_get_head(at, sizeof at, &h));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_greeting_comes_back_and_padding_does_not_matter),
        cmocka_unit_test(test_who_greets_otherwise_is_told_apart),
        cmocka_unit_test(test_a_head_comes_back),
        cmocka_unit_test(test_a_head_that_does_not_fit_its_message_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
