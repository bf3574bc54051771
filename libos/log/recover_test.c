/* SPDX-License-Identifier: MIT
 *
 * Where a log ends on a device in memory, and what is said when a place below what was durable gives no record.
 */
#include "libos/log/reader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "alloc/buf.h"
#include "libos/log/store.h"

enum { SEGMENT = 64 << 10, SEGMENTS = 3, SIZE = ALOG_START + SEGMENTS * SEGMENT, RECORDS = 40, LENGTH = 2500 };

static struct memory {
    struct alog_store store;
    uint64_t unreadable; /* a block of it */
    uint8_t bytes[SIZE];
} m;

static int run(struct alog_store *s, const struct blockdev_request *r, unsigned n)
{
    for (; n; n--, r++) {
        assert_int_equal(r->verb, BLOCKDEV_READ);
        assert_true(r->at + r->n <= SIZE);
        if (r->at <= m.unreadable && m.unreadable < r->at + r->n) return -EIO;
        memcpy(r->buf->data, m.bytes + r->at, r->n);
    }
    return 0;
}

/* One log over two segments; each record knows that those before it are durable. */
static void make(struct alog_super *s)
{
    memset(&m, 0, sizeof m);
    m.store = (struct alog_store){.run = run, .size = SIZE, .request_max = SEGMENT, .may_wait = true};
    m.unreadable = UINT64_MAX;
    assert_true(alog_super_plan(s, SIZE, SEGMENT));
    s->epoch = 3;
    s->next_id = 2;
    s->log_count = 1;
    s->logs[0] = (struct alog_entry){.id = 1, .name = "one"};
    alog_super_write(s, m.bytes);
    uint64_t at = 0;
    for (uint32_t i = 0, number = UINT32_MAX; i < RECORDS; i++) {
        struct alog_record rec = {.epoch = 2, .length = LENGTH, .durable = at, .seq = i + 1};
        rec.offset = i ? alog_next_place(at, LENGTH, alog_capacity(s)) : UINT64_MAX;
        if (rec.offset == UINT64_MAX) {
            number++;
            struct alog_segment_head h = {
                .id = 1, .index = number, .first_seq = i + 1, .durable = at, .epoch = 2, .number = number};
            alog_segment_write(&h, s->uuid, m.bytes + alog_segment_at(s, number));
            rec.offset = number * (uint64_t)alog_capacity(s);
        }
        uint8_t *p = m.bytes + alog_place(s, number, rec.offset);
        memset(p + ALOG_HEAD, 'x', LENGTH);
        alog_record_write(&rec, alog_seed(s->uuid, 1), p);
        at = (rec.offset + ALOG_HEAD + LENGTH + 7) & ~(uint64_t)7;
    }
}

static int find(struct alog_image *im)
{
    assert_int_equal(alog_image_load(im, &m.store), 0);
    return alog_find_end(im, im->logs[0], &m.store);
}

static void test_all_records_are_found(void **state)
{
    struct alog_super s;
    struct alog_image im;
    make(&s);
    assert_int_equal(find(&im), 0);
    assert_int_equal(im.logs[0]->seq, RECORDS);
    alog_image_fini(&im);
}

static void test_a_hole_is_damage(void **state)
{
    struct alog_super s;
    struct alog_image im;
    make(&s);
    memset(m.bytes + alog_place(&s, 0, 5 * ALOG_BLOCK), 0, ALOG_BLOCK);
    assert_int_equal(find(&im), -EUCLEAN);
    assert_true(im.logs[0]->damaged);
    assert_non_null(strstr(im.why, "log \"one\" is damaged: no record at offset"));
    alog_image_fini(&im);
}

/* It may be another time: whoever reads the line shall not think that the bytes are gone. */
static void test_a_place_that_cannot_be_read_is_told_from_a_hole(void **state)
{
    struct alog_super s;
    struct alog_image im;
    make(&s);
    m.unreadable = alog_place(&s, 0, 5 * ALOG_BLOCK);
    assert_int_equal(find(&im), -EUCLEAN);
    assert_non_null(strstr(im.why, "log \"one\" is damaged: an I/O error at offset 0, although all was durable"));
    alog_image_fini(&im);
    m.unreadable = UINT64_MAX;
    assert_int_equal(find(&im), 0);
    alog_image_fini(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_records_are_found),
        cmocka_unit_test(test_a_hole_is_damage),
        cmocka_unit_test(test_a_place_that_cannot_be_read_is_told_from_a_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
