/* SPDX-License-Identifier: MIT */
#include "libos/log/format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "libos/log/crc32c.h"

enum { SEGMENT = 64 << 10, CAPACITY = SEGMENT - ALOG_BLOCK };

static struct alog_super plan(void)
{
    struct alog_super s;
    assert_true(alog_super_plan(&s, 1 << 20, SEGMENT));
    memset(s.uuid, 7, sizeof s.uuid);
    s.epoch = 5;
    return s;
}

static void test_crc32c_is_castagnoli(void **state)
{
    uint8_t bytes[100];
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c_by_table(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31);
    for (unsigned n = 0; n <= sizeof bytes; n++) assert_int_equal(crc32c(3, bytes, n), crc32c_by_table(3, bytes, n));
}

static void test_names_are_short_and_plain(void **state)
{
    assert_true(alog_name_is_good("a"));
    assert_true(alog_name_is_good("Shard-01_b.2"));
    assert_true(alog_name_is_good("123456789012345678901234567890123456789"));
    assert_false(alog_name_is_good("1234567890123456789012345678901234567890"));
    assert_false(alog_name_is_good(""));
    assert_false(alog_name_is_good("a b"));
    assert_false(alog_name_is_good("a/b"));
}

static void test_sizes_that_cannot_be_are_refused(void **state)
{
    struct alog_super s;
    assert_false(alog_super_plan(&s, 0, SEGMENT));
    assert_false(alog_super_plan(&s, ALOG_START + 2 * SEGMENT - 1, SEGMENT));
    assert_true(alog_super_plan(&s, ALOG_START + 2 * SEGMENT, SEGMENT));
    assert_int_equal(s.segment_count, 2);
    assert_false(alog_super_plan(&s, 1 << 20, SEGMENT - 1));
    assert_false(alog_super_plan(&s, 1 << 20, SEGMENT + 1));
    assert_false(alog_super_plan(&s, 1 << 20, 0));
    assert_true(alog_super_plan(&s, UINT64_MAX, ALOG_SEGMENT_MAX));
    assert_int_equal(s.segment_count, ALOG_SEGMENTS_MAX);
}

static void test_a_superblock_comes_back_and_one_that_was_changed_does_not(void **state)
{
    struct alog_super s = plan(), got;
    uint8_t block[ALOG_BLOCK];
    uint32_t version;
    s.next_id = 9;
    s.log_count = 2;
    s.logs[0] = (struct alog_entry){.name = "one", .id = 1, .trim = 8, .durable = 100, .cut_epoch = 2};
    s.logs[1] = (struct alog_entry){.name = "two", .id = 8};
    alog_super_write(&s, block);
    assert_int_equal(alog_super_read(&got, block, &version), ALOG_GOOD);
    assert_memory_equal(&got.logs, &s.logs, 2 * sizeof *s.logs);
    assert_int_equal(got.segment_count, s.segment_count);
    assert_int_equal(got.epoch, 5);
    for (unsigned i = 8; i < ALOG_BLOCK; i++) {
        block[i] ^= 1;
        assert_int_equal(alog_super_read(&got, block, &version), ALOG_BAD);
        block[i] ^= 1;
    }
    block[0] ^= 1;
    assert_int_equal(alog_super_read(&got, block, &version), ALOG_FOREIGN);
    memset(block, 0, sizeof block);
    assert_int_equal(alog_super_read(&got, block, &version), ALOG_ZERO);
}

static void put_crc(uint8_t block[ALOG_BLOCK])
{
    uint32_t crc = crc32c(0, block, ALOG_BLOCK - 4);
    for (int i = 0; i < 4; i++) block[ALOG_BLOCK - 4 + i] = (uint8_t)(crc >> 8 * i);
}

static void test_another_version_and_numbers_that_cannot_be(void **state)
{
    struct alog_super s = plan(), got;
    uint8_t block[ALOG_BLOCK];
    uint32_t version = 0;
    alog_super_write(&s, block);
    block[8] = 2;
    put_crc(block);
    assert_int_equal(alog_super_read(&got, block, &version), ALOG_OTHER);
    assert_int_equal(version, 2);
    static const unsigned places[] = {15 /* block */, 51 /* segment bytes */, 55 /* segments */, 63 /* logs */,
                                      47 /* next id */};
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        alog_super_write(&s, block);
        block[places[i]] = 0x7f; /* the highest byte of the number */
        put_crc(block);
        assert_int_equal(alog_super_read(&got, block, &version), ALOG_BAD);
    }
    s.next_id = 9;
    s.log_count = 2;
    s.logs[0] = (struct alog_entry){.name = "one", .id = 1};
    s.logs[1] = (struct alog_entry){.name = "one", .id = 2}; /* twice */
    alog_super_write(&s, block);
    assert_int_equal(alog_super_read(&got, block, &version), ALOG_BAD);
    s.logs[1] = (struct alog_entry){.name = "two", .id = 2, .trim = 5, .durable = 4};
    alog_super_write(&s, block);
    assert_int_equal(alog_super_read(&got, block, &version), ALOG_BAD);
}

static void test_a_segment_head_belongs_to_its_device_and_place(void **state)
{
    struct alog_super s = plan();
    struct alog_segment_head
        h = {.id = 3, .index = 4, .first_seq = 77, .durable = 9, .epoch = 5, .number = 2, .name = "x"},
        got;
    uint8_t block[ALOG_BLOCK];
    alog_segment_write(&h, s.uuid, block);
    assert_int_equal(alog_segment_read(&got, &s, 2, block), ALOG_GOOD);
    assert_int_equal(got.first_seq, 77);
    assert_string_equal(got.name, "x");
    assert_int_equal(alog_segment_read(&got, &s, 3, block), ALOG_BAD); /* written elsewhere */
    s.epoch = 4;
    assert_int_equal(alog_segment_read(&got, &s, 2, block), ALOG_BAD); /* of the future */
    s.epoch = 5;
    s.uuid[0]++;
    assert_int_equal(alog_segment_read(&got, &s, 2, block), ALOG_BAD);
}

/* --- records ------------------------------------------------------------------------------------------------------ */

static struct alog_walk walk_new(uint32_t seed)
{
    return (struct alog_walk){.seed = seed, .capacity = CAPACITY, .record_max = 1 << 20, .epoch = 1};
}

/* Writes one of n bytes behind at, and moves that. */
static uint64_t add(uint8_t *segment, uint64_t *at, uint64_t seq, uint32_t epoch, uint32_t n, uint32_t seed)
{
    uint64_t place = alog_next_place(*at, n, CAPACITY);
    assert_true(place != UINT64_MAX);
    struct alog_record r = {.offset = place, .seq = seq, .epoch = epoch, .length = n};
    memset(segment + place + ALOG_HEAD, (int)seq, n);
    alog_record_write(&r, seed, segment + place);
    *at = (place + ALOG_HEAD + n + 7) & ~(uint64_t)7;
    return place;
}

/* Steps up to the next record. */
static enum alog_step next(struct alog_walk *w, const uint8_t *segment, struct alog_record *rec)
{
    size_t need = 0;
    enum alog_step what;
    do what = alog_walk_step(w, segment + w->at, CAPACITY - w->at, rec, &need);
    while (what == ALOG_SKIPPED && w->at < CAPACITY);
    return what;
}

static void test_records_follow_each_other_over_padding(void **state)
{
    uint8_t *segment = calloc(1, CAPACITY);
    struct alog_walk w = walk_new(1);
    struct alog_record rec;
    uint64_t at = 0, places[5];
    places[0] = add(segment, &at, 1, 1, 100, 1);
    places[1] =
        add(segment, &at, 2, 1, ALOG_BLOCK - 136 - ALOG_HEAD - 16, 1); /* the next head would cross the border */
    places[2] = add(segment, &at, 3, 1, 5000, 1);
    at = (at + ALOG_BLOCK - 1) / ALOG_BLOCK * ALOG_BLOCK; /* a batch ends */
    places[3] = add(segment, &at, 4, 2, 1, 1);
    places[4] = add(segment, &at, 5, 2, 30000, 1);
    assert_int_equal(places[2] % ALOG_BLOCK, 0);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(next(&w, segment, &rec), ALOG_RECORD);
        assert_int_equal(rec.offset, places[i]);
        assert_int_equal(rec.seq, i + 1);
        assert_int_equal(rec.bytes[0], i + 1);
    }
    assert_int_equal(next(&w, segment, &rec), ALOG_END);
    free(segment);
}

static void test_what_cannot_be_the_next_one_is_the_end(void **state)
{
    uint8_t *segment = calloc(1, CAPACITY);
    struct alog_record rec;
    struct {
        uint64_t seq;
        uint32_t epoch, seed;
    } wrong[] = {
        {1, 3, 1} /* again */, {3, 3, 1} /* a hole */, {2, 2, 1} /* an old epoch */, {2, 3, 2} /* another log's */};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct alog_walk w = walk_new(1);
        uint64_t at = 0;
        add(segment, &at, 1, 3, 50, 1);
        uint64_t second = add(segment, &at, wrong[i].seq, wrong[i].epoch, 50, wrong[i].seed);
        assert_int_equal(next(&w, segment, &rec), ALOG_RECORD);
        assert_int_equal(next(&w, segment, &rec), ALOG_END);
        assert_int_equal(w.tail, second); /* and the walk has looked at the next block, too */
    }
    free(segment);
}

static void test_no_byte_of_a_record_may_change_nor_may_its_place(void **state)
{
    uint8_t *segment = calloc(1, CAPACITY);
    struct alog_record rec;
    uint64_t at = 0;
    add(segment, &at, 1, 1, 200, 1);
    for (unsigned i = 0; i < ALOG_HEAD + 200; i++) {
        segment[i] ^= 0x10;
        enum alog_read what = alog_record_read(&rec, 1, 0, segment, CAPACITY, CAPACITY);
        assert_true(what == ALOG_BAD || what == ALOG_SHORT);
        segment[i] ^= 0x10;
    }
    assert_int_equal(alog_record_read(&rec, 1, 0, segment, CAPACITY, CAPACITY), ALOG_GOOD);
    assert_int_equal(alog_record_read(&rec, 1, 8, segment, CAPACITY, CAPACITY), ALOG_BAD);
    assert_int_equal(alog_record_read(&rec, 1, 0, segment, CAPACITY, 199), ALOG_BAD);
    assert_int_equal(alog_record_read(&rec, 1, 0, segment, ALOG_HEAD - 1, CAPACITY), ALOG_SHORT);
    assert_int_equal(alog_record_read(&rec, 1, 0, segment, ALOG_HEAD + 199, CAPACITY), ALOG_SHORT);
    assert_int_equal(rec.length, 200);
    free(segment);
}

static void test_a_record_stays_in_its_segment(void **state)
{
    assert_int_equal(alog_next_place(0, CAPACITY - ALOG_HEAD, CAPACITY), 0);
    assert_true(alog_next_place(0, CAPACITY - ALOG_HEAD + 1, CAPACITY) == UINT64_MAX);
    assert_true(alog_next_place(8, CAPACITY - ALOG_HEAD, CAPACITY) == UINT64_MAX);
    assert_int_equal(alog_next_place(CAPACITY - 40, 8, CAPACITY), CAPACITY - 40);
    assert_true(alog_next_place(CAPACITY - 24, 1, CAPACITY) == UINT64_MAX);
    assert_int_equal(alog_next_place(3 * (uint64_t)CAPACITY, 1, CAPACITY), 3 * (uint64_t)CAPACITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_is_castagnoli),
        cmocka_unit_test(test_names_are_short_and_plain),
        cmocka_unit_test(test_sizes_that_cannot_be_are_refused),
        cmocka_unit_test(test_a_superblock_comes_back_and_one_that_was_changed_does_not),
        cmocka_unit_test(test_another_version_and_numbers_that_cannot_be),
        cmocka_unit_test(test_a_segment_head_belongs_to_its_device_and_place),
        cmocka_unit_test(test_records_follow_each_other_over_padding),
        cmocka_unit_test(test_what_cannot_be_the_next_one_is_the_end),
        cmocka_unit_test(test_no_byte_of_a_record_may_change_nor_may_its_place),
        cmocka_unit_test(test_a_record_stays_in_its_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
