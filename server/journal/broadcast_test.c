/* SPDX-License-Identifier: MIT
 *
 * Readers that come, lag and go, against the bytes that were written.
 */
#include "server/journal/broadcast.c" /* its blocks are nobody else's */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "alloc/base/assert_test.h"
#include "alloc/base/rng.h"

static char byte_at(uint64_t offset) { return (char)(offset * 131 + (offset >> 8)); }

static void write_some(struct broadcast *s, size_t n)
{
    static char buf[300000];
    uint64_t end = s->end;
    for (size_t i = 0; i < n; i++) buf[i] = byte_at(end + i);
    broadcast_append(s, bytes_of(buf, n));
    assert_int_equal(s->end, end + n);
}

/* In place, if there is room: a part of what was asked for. */
static void fill_some(struct broadcast *s, size_t n)
{
    char *p = broadcast_room(s, n);
    if (!p) return;
    for (size_t i = 0; i < n / 2; i++) p[i] = byte_at(s->end + i);
    broadcast_filled(s, n / 2);
}

static void read_some(struct broadcast_reader *r, size_t n)
{
    struct bytes v[5];
    unsigned pieces = broadcast_peek(r, v, 5, n);
    size_t seen = 0;
    for (unsigned i = 0; i < pieces; i++) {
        for (size_t k = 0; k < v[i].n; k++) assert_int_equal(v[i].p[k], byte_at(r->offset + seen + k));
        seen += v[i].n;
    }
    assert_true(seen <= n && seen <= broadcast_unread(r));
    if (n && broadcast_unread(r)) assert_true(seen > 0);
    broadcast_advance(r, seen);
}

static void test_without_readers_nothing_is_kept(void **state)
{
    (void)state;
    struct broadcast s = {0};
    write_some(&s, 100000);
    assert_int_equal(s.bytes, 0);
    struct broadcast_reader r;
    broadcast_read(&s, &r);
    assert_int_equal(r.offset, 100000);
    assert_int_equal(broadcast_unread(&r), 0);
    assert_int_equal(broadcast_peek(&r, (struct bytes[1]){{0}}, 1, 100), 0);
    write_some(&s, 100000);
    assert_true(s.bytes >= 100000);
    broadcast_reader_end(&r);
    broadcast_reader_end(&r); /* twice is once */
    assert_int_equal(s.bytes, 0);
    broadcast_fini(&s);
}

static void test_room_is_in_one_piece_or_there_is_none(void **state)
{
    (void)state;
    struct broadcast s = {0};
    struct broadcast_reader r;
    struct bytes v[2];
    assert_null(broadcast_room(&s, 1)); /* nobody reads */
    broadcast_read(&s, &r);
    size_t cap = s.tail->cap;
    assert_null(broadcast_room(&s, cap + 1));
    assert_non_null(broadcast_room(&s, cap));
    write_some(&s, 7);
    assert_null(broadcast_room(&s, cap - 6));
    char *p = broadcast_room(&s, cap - 7);
    assert_non_null(p);
    for (size_t i = 0; i < cap - 7; i++) p[i] = byte_at(s.end + i);
    broadcast_filled(&s, cap - 7);
    assert_null(broadcast_room(&s, 1));
    write_some(&s, 1); /* into the next block */
    assert_int_equal(broadcast_peek(&r, v, 2, SIZE_MAX), 2);
    assert_int_equal(v[0].n, cap);
    read_some(&r, cap);
    read_some(&r, 1);
    assert_int_equal(broadcast_unread(&r), 0);
    broadcast_reader_end(&r);
    broadcast_fini(&s);
}

static void test_the_slowest_reader_decides_what_is_kept(void **state)
{
    (void)state;
    struct broadcast s = {0};
    struct broadcast_reader slow, fast, same;
    broadcast_read(&s, &slow);
    broadcast_read(&s, &fast);
    write_some(&s, 300000);
    write_some(&s, 300000);
    while (broadcast_unread(&fast)) read_some(&fast, 100000);
    size_t kept = s.bytes;
    assert_true(kept >= 600000 && kept < 1200000);
    broadcast_read_from(&slow, &same);
    assert_int_equal(s.bytes, kept); /* another one costs nothing */
    broadcast_reader_end(&slow);
    assert_int_equal(s.bytes, kept);
    while (broadcast_unread(&same)) read_some(&same, 70000);
    assert_true(s.bytes <= 300000);
    broadcast_reader_end(&same);
    broadcast_reader_end(&fast);
    assert_int_equal(s.bytes, 0);
    broadcast_fini(&s);
}

static void test_who_lets_go_stays_where_memory_would_not_come_back(void **state)
{
    (void)state;
    struct broadcast s = {0};
    struct broadcast_reader old = {0}, slow = {0};
    broadcast_read(&s, &old);
    write_some(&s, 100000);
    broadcast_read(&s, &slow);
    for (int i = 0; i < 3; i++) write_some(&s, 300000);
    broadcast_let_go(&old, 50000);
    assert_int_equal(old.offset, 50000);
    broadcast_let_go(&old, 900000); /* to the block in which the other one stands */
    assert_true(old.block == slow.block && old.block->next);
    assert_int_equal(old.offset, old.block->offset);
    broadcast_let_go(&old, 1);
    broadcast_let_go(&old, 0);
    assert_int_equal(old.offset, old.block->offset);
    broadcast_reader_end(&slow);
    broadcast_let_go(&old, broadcast_unread(&old) - 7);
    assert_int_equal(broadcast_unread(&old), 7);
    broadcast_let_go(&old, 7); /* the tail is left by nobody */
    assert_int_equal(broadcast_unread(&old), 0);
    broadcast_reader_end(&old);
    broadcast_fini(&s);
}

static void test_many_readers_each_see_every_byte(void **state)
{
    (void)state;
    struct broadcast s = {0};
    struct broadcast_reader r[8] = {{0}};
    struct rng rng;
    rng_seed(&rng, 7);
    for (int step = 0; step < 20000; step++) {
        struct broadcast_reader *one = &r[rng_below(&rng, 8)], *other = &r[rng_below(&rng, 8)];
        switch (rng_below(&rng, 9)) {
        case 0:
            if (!one->of) broadcast_read(&s, one);
            break;
        case 1:
            if (rng_below(&rng, 4) == 0) broadcast_reader_end(one);
            break;
        case 2:
            if (other->of && !one->of) broadcast_read_from(other, one);
            break;
        case 3:
        case 4: write_some(&s, rng_below(&rng, 4000)); break;
        case 5: fill_some(&s, rng_below(&rng, 4000)); break;
        default:
            if (one->of) read_some(one, rng_below(&rng, 50000));
        }
    }
    for (int i = 0; i < 8; i++) broadcast_reader_end(&r[i]);
    assert_int_equal(s.bytes, 0);
    broadcast_fini(&s);
}

#ifdef DEMI_DEBUG
static void check_reader(void *r) { broadcast_reader_check(r); }
#endif

#ifdef DEMI_DEBUG /* there is no check otherwise */
static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    struct broadcast s = {0};
    struct broadcast_reader slow, fast;
    broadcast_read(&s, &slow);
    broadcast_read(&s, &fast);
    write_some(&s, 200000);
    while (broadcast_unread(&fast)) read_some(&fast, 100000);
    broadcast_reader_check(&slow);
    broadcast_reader_check(&fast);
    SEEN(check_reader, &slow, slow.offset, s.end + 1, "r->offset <= r->of->end");
    SEEN(check_reader, &slow, slow.offset, s.end, "r->offset <= b->offset + b->used");
    SEEN(check_reader, &fast, fast.offset, 0, "r->offset >= b->offset");
    SEEN(check_reader, &slow, s.end, s.end + 1, "b->offset + b->used == r->of->end");
    struct broadcast_block *tail = s.tail;
    s.tail = slow.block;
    assert_is_seen(check_reader, &slow, "tail", "b == r->of->tail", __LINE__);
    s.tail = tail;
    SEEN(check_reader, &slow, s.bytes, 0, "bytes <= r->of->bytes");
    struct broadcast_block *b = slow.block;
    assert_ptr_not_equal(b->next, tail);
    SEEN(check_reader, &slow, b->refs, 0, "b->refs >= 1u + (b == r->of->tail)");
    SEEN(check_reader, &slow, b->next->refs, 0, "b->refs >= 1u + (b == r->of->tail)");
    SEEN(check_reader, &slow, tail->refs, 1, "b->refs >= 1u + (b == r->of->tail)");
    SEEN(check_reader, &slow, b->used, b->cap - 1, "b->used == b->cap");
    SEEN(check_reader, &slow, tail->used, tail->cap + 1, "b->used <= b->cap");
    SEEN(check_reader, &slow, b->next->offset, b->next->offset + 1, "b->next->offset == b->offset + b->used");
    broadcast_reader_end(&slow);
    broadcast_reader_end(&fast);
    broadcast_fini(&s);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_readers_nothing_is_kept),
        cmocka_unit_test(test_room_is_in_one_piece_or_there_is_none),
        cmocka_unit_test(test_the_slowest_reader_decides_what_is_kept),
        cmocka_unit_test(test_who_lets_go_stays_where_memory_would_not_come_back),
        cmocka_unit_test(test_many_readers_each_see_every_byte),
#ifdef DEMI_DEBUG
        cmocka_unit_test(test_the_check_sees_each_spoilt_field),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
