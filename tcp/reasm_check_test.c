/* SPDX-License-Identifier: MIT
 *
 * What reasm_check() sees: two ranges behind holes, the second with a FIN, whose fields are spoilt one after the other.
 */
#include "tcp/reasm.c" /* its structs are nobody else's */

#include "alloc/base/assert_test.h"

enum { RCV_NXT = 1000, WINDOW_END = 9000 };

static void check(void *r) { reasm_check(r, RCV_NXT, WINDOW_END); }

static struct buf *segment(uint32_t n)
{
    struct buf *b = buf_take_exact(n);
    memset(buf_put_back(b, n), 'x', n);
    return b;
}

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    struct reasm *r = reasm_new();
    struct sack_block dup;
    assert_int_equal(reasm_insert(r, 2000, segment(1000), false, &dup), 1000);
    assert_int_equal(reasm_insert(r, 3000, segment(1000), false, &dup), 1000);
    assert_int_equal(reasm_insert(r, 5000, segment(1000), true, &dup), 1001);
    assert_int_equal(r->count, 2);
    reasm_check(r, RCV_NXT, WINDOW_END);
    struct reasm_range *first = &r->ranges[0], *last = &r->ranges[1];
    SEEN(check, r, r->bytes, r->bytes - 1, "bytes == r->bytes");
    SEEN(check, r, r->count, r->room + 1, "r->count <= r->room");
    SEEN(check, r, r->room, REASM_RANGES_MAX + 1, "r->room <= REASM_RANGES_MAX");
    SEEN(check, r, r->has_fin, false, "bytes + fin == g->end - g->start");
    SEEN(check, r, r->fin_at, r->fin_at + 1, "bytes + fin == g->end - g->start");
    SEEN(check, r, r->count, 1, "fin == r->has_fin");
    SEEN(check, r, first->start, RCV_NXT, "seq_before(last, g->start)");
    SEEN(check, r, last->start, first->end, "seq_before(last, g->start)");
    SEEN(check, r, first->end, first->start, "seq_before(g->start, g->end)");
    SEEN(check, r, first->end, first->end + 1, "bytes + fin == g->end - g->start");
    SEEN(check, r, first->tail, NULL, "!g->head == !g->tail");
    SEEN(check, r, first->head->refs, 2, "b->refs == 1");
    SEEN(check, r, first->head->len, 0, "b->len > 0");
    SEEN(check, r, first->tail, last->tail, "b->next || b == g->tail");
    SEEN(check, r, last->head->len, last->head->len - 1, "bytes + fin == g->end - g->start");
    reasm_check(r, RCV_NXT, 6000);
    assert_int_equal(last->end, 6001);
    reasm_free(r);
}

static void behind_the_window(void *r) { reasm_check(r, RCV_NXT, 5999); }

static void test_what_lies_behind_the_window_is_seen(void **state)
{
    (void)state;
    struct reasm *r = reasm_new();
    struct sack_block dup;
    reasm_insert(r, 5000, segment(1000), true, &dup);
    assert_is_seen(behind_the_window, r, "text behind the window", "seq_before_eq(last - fin, window_end)", __LINE__);
    reasm_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_check_sees_each_spoilt_field),
        cmocka_unit_test(test_what_lies_behind_the_window_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
