/* SPDX-License-Identifier: MIT */
#include "tcp/sndq.h"

#include "alloc/base/assert_test.h"
#include "alloc/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint8_t byte_at(uint32_t i) { return (uint8_t)(i * 131 + (i >> 8)); }

static struct buf *make(uint32_t from, uint32_t n)
{
    struct buf *b = buf_take(n);
    for (uint32_t i = 0; i < n; i++) b->data[i] = byte_at(from + i);
    b->len = n;
    return b;
}

static void check_chain(const struct buf *b, uint32_t from, uint32_t n)
{
    uint32_t done = 0;
    assert_true(buf_headroom(b) >= 118);
    for (; b; b = b->next)
        for (uint32_t i = 0; i < b->len; i++, done++) assert_int_equal(b->data[i], byte_at(from + done));
    assert_int_equal(done, n);
}

static void test_a_segment_of_a_whole_buf_is_that_buf(void **state)
{
    struct sndq q = {0};
    struct buf *b = make(0, 100);
    assert_int_equal(sndq_push(&q, 1000, b), 0);
    struct buf *seg = sndq_segment(&q, 1000, 100, 8);
    assert_ptr_equal(seg, b);
    assert_non_null(buf_push_front(seg, 66)); /* headers */
    /* The device still holds it: a retransmission takes another head and leaves the first's headers alone. */
    struct buf *again = sndq_segment(&q, 1000, 100, 8);
    assert_ptr_not_equal(again, b);
    assert_null(b->next);
    assert_int_equal(b->len, 166);
    check_chain(again, 0, 100);
    buf_unref(again);
    buf_unref(seg);
    again = sndq_segment(&q, 1000, 100, 8);
    assert_ptr_equal(again, b);
    check_chain(again, 0, 100);
    sndq_ack(&q, 1100); /* acknowledged while the device has it */
    check_chain(again, 0, 100);
    buf_unref(again);
    sndq_check(&q, 0, 0);
    sndq_free(&q);
}

static void test_a_shared_or_lent_buf_is_never_written(void **state)
{
    struct sndq q = {0};
    struct buf *b = make(0, 300);
    buf_ref(b); /* somebody else's, too */
    assert_int_equal(sndq_push(&q, 0, b), 0);
    struct buf *seg = sndq_segment(&q, 0, 300, 8);
    assert_ptr_not_equal(seg, b);
    check_chain(seg, 0, 300);
    assert_int_equal(b->len, 300);
    buf_unref(seg);
    sndq_ack(&q, 300);
    check_chain(b, 0, 300);
    buf_unref(b);
    static uint8_t foreign[64];
    for (unsigned i = 0; i < sizeof foreign; i++) foreign[i] = byte_at(i);
    assert_int_equal(sndq_push(&q, 0, buf_wrap(foreign, sizeof foreign, NULL, NULL)), 0);
    seg = sndq_segment(&q, 0, 64, 8); /* no headroom there */
    assert_int_equal(seg->len, 0);
    check_chain(seg, 0, 64);
    buf_unref(seg);
    sndq_free(&q);
}

static void test_copies_share_a_buf_until_it_is_sent(void **state)
{
    struct sndq q = {0};
    uint8_t bytes[64];
    for (unsigned i = 0; i < 64; i++) bytes[i] = byte_at(i);
    assert_int_equal(sndq_push_copy(&q, 7, bytes, 10), 0);
    assert_int_equal(sndq_push_copy(&q, 17, bytes + 10, 20), 0);
    assert_int_equal(q.count, 1);
    struct buf *seg = sndq_segment(&q, 7, 30, 1);
    check_chain(seg, 0, 30);
    assert_null(seg->next);
    assert_int_equal(sndq_push_copy(&q, 37, bytes + 30, 34), 0);
    assert_int_equal(q.count, 2);
    buf_unref(seg);
    sndq_check(&q, 7, 71);
    sndq_free(&q);
}

static void test_too_many_bufs_are_copied_together(void **state)
{
    struct sndq q = {0};
    for (uint32_t i = 0; i < 10; i++) assert_int_equal(sndq_push(&q, i * 10, make(i * 10, 10)), 0);
    struct buf *seg = sndq_segment(&q, 5, 90, 4);
    assert_null(seg->next);
    check_chain(seg, 5, 90);
    buf_unref(seg);
    seg = sndq_segment(&q, 5, 25, 4);
    assert_non_null(seg->next);
    check_chain(seg, 5, 25);
    buf_unref(seg);
    sndq_free(&q);
}

static void test_chains_are_separated_and_empty_bufs_dropped(void **state)
{
    struct sndq q = {0};
    struct buf *head = make(0, 10);
    buf_chain_append(head, buf_take(1));
    buf_chain_append(head, make(10, 5));
    assert_int_equal(sndq_push(&q, 0xfffffff8u, head), 0); /* numbers wrap */
    assert_int_equal(q.count, 2);
    sndq_check(&q, 0xfffffff8u, 7);
    sndq_ack(&q, 3);
    sndq_check(&q, 3, 7);
    struct buf *seg = sndq_segment(&q, 3, 4, 8);
    check_chain(seg, 11, 4);
    buf_unref(seg);
    sndq_free(&q);
}

static void test_random_pushes_segments_and_acks_agree(void **state)
{
    struct rng r;
    rng_seed(&r, 4);
    for (int round = 0; round < 200; round++) {
        struct sndq q = {0};
        tcp_seq base = (tcp_seq)rng_u64(&r);
        uint32_t una = 0, end = 0;
        struct buf *held[4] = {NULL};
        for (int step = 0; step < 300; step++) {
            switch (rng_below(&r, 4)) {
            case 0: {
                uint32_t n = (uint32_t)rng_below(&r, 3000);
                assert_int_equal(sndq_push(&q, base + end, make(end, n)), 0);
                end += n;
                break;
            }
            case 1: {
                uint8_t bytes[3000];
                uint32_t n = (uint32_t)rng_below(&r, rng_below(&r, 4) ? 100 : sizeof bytes);
                for (uint32_t i = 0; i < n; i++) bytes[i] = byte_at(end + i);
                assert_int_equal(sndq_push_copy(&q, base + end, bytes, n), 0);
                end += n;
                break;
            }
            case 2:
                if (end != una) {
                    uint32_t from = una + (uint32_t)rng_below(&r, end - una),
                             n = 1 + (uint32_t)rng_below(&r, end - from);
                    if (rng_below(&r, 2)) from = una;
                    if (n > 9000) n = 9000;
                    struct buf *seg = sndq_segment(&q, base + from, n, 1 + (unsigned)rng_below(&r, 8));
                    check_chain(seg, from, n);
                    buf_push_front(seg, 66);
                    unsigned i = (unsigned)rng_below(&r, 4);
                    buf_unref(held[i]);
                    held[i] = seg;
                }
                break;
            case 3:
                una += (uint32_t)rng_below(&r, end - una + 1);
                sndq_ack(&q, base + una);
                break;
            }
            sndq_check(&q, base + una, base + end);
        }
        for (int i = 0; i < 4; i++) buf_unref(held[i]);
        sndq_free(&q);
    }
}

static void check_q(void *q) { sndq_check(q, 1000, 1300); }
static void check_una(void *q) { sndq_check(q, 1001, 1300); }
static void check_end(void *q) { sndq_check(q, 1000, 1301); }

static void test_a_spoilt_queue_is_seen(void **state)
{
    struct sndq q = {0};
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(sndq_push(&q, 1000 + i * 100, make(i * 100, 100)), 0);
    check_q(&q);
    assert_is_seen(check_una, &q, "another SND.UNA", "e->seq == seq", __LINE__);
    assert_is_seen(check_end, &q, "another end", "seq == end", __LINE__);
    SEEN(check_q, &q, q.room, q.room + 1, "(q->room & (q->room - 1)) == 0");
    SEEN(check_q, &q, q.count, q.room + 1, "q->count <= q->room");
    SEEN(check_q, &q, q.slots, NULL, "!q->room == !q->slots");
    SEEN(check_q, &q, q.bytes, q.bytes - 1, "bytes == q->bytes");
    SEEN(check_q, &q, q.count, q.count - 1, "bytes == q->bytes");
    struct sndq_entry *e = &q.slots[(q.head + 1) & (q.room - 1)];
    SEEN(check_q, &q, e->seq, e->seq + 1, "e->seq == seq");
    SEEN(check_q, &q, e->len, 0, "e->len > 0");
    SEEN(check_q, &q, e->len, 1u << 20, "e->p + e->len <= e->b->base + e->b->cap");
    SEEN(check_q, &q, e->b->refs, 0, "e->b->refs > 0");
    SEEN(check_q, &q, e->p, e->b->base - 1, "e->p >= e->b->base");
    SEEN(check_q, &q, e->open, 1, "!e->open || i == q->count - 1");
    sndq_ack(&q, 1300);
    sndq_free(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_segment_of_a_whole_buf_is_that_buf),
        cmocka_unit_test(test_a_shared_or_lent_buf_is_never_written),
        cmocka_unit_test(test_copies_share_a_buf_until_it_is_sent),
        cmocka_unit_test(test_too_many_bufs_are_copied_together),
        cmocka_unit_test(test_chains_are_separated_and_empty_bufs_dropped),
        cmocka_unit_test(test_random_pushes_segments_and_acks_agree),
        cmocka_unit_test(test_a_spoilt_queue_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
