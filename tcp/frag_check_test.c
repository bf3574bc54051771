/* SPDX-License-Identifier: MIT
 *
 * What frag_check() sees: a datagram of two pieces and a dead one, whose fields are spoilt one after the other.
 */
#include "tcp/frag.c" /* its structs are nobody else's */

#include "alloc/base/assert_test.h"
#include "tcp/wire_test.h"

static void check(void *s) { frag_check(s); }

static void put_piece(struct net_stack *s, uint32_t id, uint16_t from, size_t n, nsec now)
{
    static const uint8_t bytes[64];
    uint8_t frame[256];
    size_t len = make_ip4(frame, s->conf.mac, ip("10.0.0.9"), ip("10.0.0.1"), IPPROTO_UDP,
                          (uint16_t)(from / 8 | IP4_MF), bytes, n);
    ((struct ip4_hdr *)(frame + 14))->id = be16_of(id);
    fix_ip4(frame);
    input_bytes(s, frame, len, now);
}

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    struct wire w = {0};
    struct net_stack *s = wire_add4(&w);
    put_piece(s, 1, 0, 16, w.now);
    put_piece(s, 1, 32, 16, w.now);
    put_piece(s, 2, 0, 16, w.now);
    put_piece(s, 2, 8, 16, w.now); /* overlaps: it is dead */
    struct frag_table *t = s->ip.frags;
    struct frag_datagram *d = list_entry(list_first(&t->used), struct frag_datagram, age);
    struct frag_datagram *dead = list_entry(list_last(&t->used), struct frag_datagram, age);
    assert_int_equal(d->count, 2);
    assert_true(dead->dead);
    frag_check(s);
    SEEN(check, s, d->have, d->have + 1, "have == d->have");
    SEEN(check, s, d->count, 1, "count == d->count");
    SEEN(check, s, d->first->len, 33, "p->offset >= end");
    SEEN(check, s, d->last->offset, 8, "p->offset >= end");
    SEEN(check, s, d->first->len, 8, "have == d->have");
    SEEN(check, s, d->dead, true, "!d->dead || count == 0");
    SEEN(check, s, d->cost, d->cost + 1, "cost == t->cost");
    SEEN(check, s, t->cost, 0, "cost == t->cost");
    SEEN(check, s, s->conf.limits.fragment_bytes, t->cost - 1, "cost <= s->conf.limits.fragment_bytes");
    wheel_stop(&s->wheel, &d->timer);
    assert_is_seen(check, s, "a datagram that never ends", "timer_runs(&d->timer)", __LINE__);
    wheel_start(&s->wheel, &d->timer, s->now + FRAG_TIME_V4, timer_fired);
    frag_check(s);
    wire_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_check_sees_each_spoilt_field)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
