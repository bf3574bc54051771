/* SPDX-License-Identifier: MIT
 *
 * The device below is a list: what was sent to it can be received from it.
 */
#include "libos/fault/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_MAX 40000
#define SIZE     64
#define COUNT    20000

struct wire {
    struct netdev d;
    unsigned head, tail, room, armed, closed, claimed;
    struct frame frames[WIRE_MAX];
};
static struct wire wire;

static unsigned wire_recv(struct netdev *d, struct frame *out, unsigned max)
{
    unsigned n = 0;
    while (n < max && wire.head < wire.tail) out[n++] = wire.frames[wire.head++];
    wire.d.n.rx_frames += n;
    return n;
}
static unsigned wire_send(struct netdev *d, struct frame *f, unsigned n)
{
    unsigned done = 0;
    for (; done < n && wire.tail - wire.head < wire.room && wire.tail < WIRE_MAX; done++)
        wire.frames[wire.tail++] = f[done];
    wire.d.n.tx_frames += done;
    return done;
}
static int wire_fd(struct netdev *d) { return 7; }
static int wire_arm(struct netdev *d) { return wire.armed++, wire.head < wire.tail ? -EAGAIN : 0; }
static int wire_claim(struct netdev *d, uint8_t proto, uint16_t port, bool on) { return (int)(wire.claimed = port); }
static void wire_close(struct netdev *d) { wire.closed++; }
static const struct netdev_ops wire_ops = {.name = "wire",
                                           .recv = wire_recv,
                                           .send = wire_send,
                                           .fd = wire_fd,
                                           .arm = wire_arm,
                                           .claim = wire_claim,
                                           .close = wire_close};

struct setting {
    const char *key, *value;
};
static const char *get(void *arg, const char *key)
{
    for (const struct setting *s = arg; s->key; s++)
        if (!strcmp(s->key, key)) return s->value;
    return NULL;
}

static char why[256];
static int wrap(const struct setting *s, struct netdev **out)
{
    memset(&wire, 0, sizeof wire);
    wire.d.ops = &wire_ops;
    wire.d.caps.offloads = OFFLOAD_RX_L4_CSUM | OFFLOAD_TX_L4_CSUM | OFFLOAD_TX_TSO;
    wire.room = WIRE_MAX;
    struct netdev_env env = {.get = get, .arg = (void *)(uintptr_t)s, .why = why};
    return fault_wrap(&env, &wire.d, out);
}

static struct netdev *over(const struct setting *s)
{
    struct netdev *d = NULL;
    assert_int_equal(wrap(s, &d), 0);
    assert_ptr_not_equal(d, &wire.d);
    return d;
}

static struct frame numbered(uint32_t i)
{
    struct frame f = {.b = buf_take_exact(SIZE), .len = SIZE, .flags = FRAME_L4_CSUM_OK};
    uint8_t *p = buf_put_back(f.b, SIZE);
    if (!p) abort();
    memset(p, (int)(i * 31), SIZE);
    memcpy(p, &i, 4);
    return f;
}

static uint32_t number_of(const struct frame *f)
{
    uint32_t i;
    memcpy(&i, f->b->data, 4);
    return i;
}

static unsigned bits_wrong(const struct frame *f, uint32_t i)
{
    uint8_t want[SIZE];
    unsigned wrong = 0;
    memset(want, (int)(i * 31), SIZE);
    memcpy(want, &i, 4);
    for (unsigned k = 0; k < SIZE; k++) wrong += (unsigned)__builtin_popcount(want[k] ^ f->b->data[k]);
    return wrong;
}

static void send_all(struct netdev *d, unsigned count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct frame f = numbered(i);
        assert_int_equal(d->ops->send(d, &f, 1), 1);
    }
    d->ops->arm(d); /* nothing stays behind */
}

static void drop_wire(void)
{
    for (; wire.head < wire.tail; wire.head++) buf_unref(wire.frames[wire.head].b);
}

/* What was sent comes in again, through the same device. */
static unsigned receive(struct netdev *d, struct frame *out, unsigned max)
{
    unsigned n = 0, got;
    do {
        got = d->ops->recv(d, out + n, max - n < NETDEV_BURST ? max - n : NETDEV_BURST);
        n += got;
    } while (got || d->ops->arm(d) == -EAGAIN);
    return n;
}

static void test_bad_keys_are_refused_and_none_means_no_device(void **state)
{
    static const struct setting bad[][2] = {
        {{"fault.loss_ppm", "1000001"}}, {{"fault.loss_ppm", "-1"}},    {{"fault.corrupt_ppm", "1%"}},
        {{"fault.reorder_ppm", "x"}},    {{"fault.direction", "up"}},   {{"fault.seed", "99999999999999999999999"}},
        {{"fault.duplicate_ppm", " 5"}}, {{"fault.loss_burst", "1e3"}},
    };
    struct netdev *d = NULL;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(wrap(bad[i], &d), -EINVAL);
        assert_non_null(strstr(why, bad[i][0].key));
        assert_null(d);
    }
    static const struct setting none[] = {{"fault.loss_ppm", "0"}, {"fault.seed", "5"}, {NULL, NULL}};
    assert_int_equal(wrap(none, &d), 0);
    assert_ptr_equal(d, &wire.d);
}

static void test_loss_is_as_often_as_asked(void **state)
{
    static const struct setting s[] = {{"fault.loss_ppm", "100000"}, {"fault.direction", "out"}, {NULL, NULL}};
    struct netdev *d = over(s);
    send_all(d, COUNT);
    unsigned lost = (unsigned)fault_counted(d)->lost;
    assert_in_range(lost, COUNT / 10 * 9 / 10, COUNT / 10 * 11 / 10);
    assert_int_equal(wire.tail, COUNT - lost);
    assert_int_equal(d->n.tx_dropped, lost);
    assert_int_equal(d->n.tx_frames, COUNT - lost);
    for (uint32_t i = 1; i < wire.tail; i++) assert_true(number_of(&wire.frames[i]) > number_of(&wire.frames[i - 1]));
    drop_wire();
    d->ops->close(d);
    assert_int_equal(wire.closed, 1);
}

static void test_bursts_are_lost_in_a_row(void **state)
{
    static const struct setting s[] = {
        {"fault.loss_ppm", "10000"}, {"fault.loss_burst", "5"}, {"fault.direction", "out"}, {NULL, NULL}};
    struct netdev *d = over(s);
    send_all(d, COUNT);
    unsigned gaps = 0;
    for (uint32_t i = 1; i < wire.tail; i++) {
        uint32_t missing = number_of(&wire.frames[i]) - number_of(&wire.frames[i - 1]) - 1;
        gaps += missing != 0;
        assert_int_equal(missing % 5, 0);
    }
    assert_true(gaps > 50);
    drop_wire();
    d->ops->close(d);
}

static void test_late_frames_are_a_little_late_and_none_is_missing(void **state)
{
    static const struct setting s[] = {{"fault.reorder_ppm", "50000"}, {"fault.direction", "out"}, {NULL, NULL}};
    struct netdev *d = over(s);
    static uint8_t seen[COUNT];
    memset(seen, 0, sizeof seen);
    send_all(d, COUNT);
    unsigned late = 0;
    assert_int_equal(wire.tail, COUNT);
    for (uint32_t i = 0, highest = 0; i < COUNT; i++) {
        uint32_t n = number_of(&wire.frames[i]);
        assert_int_equal(seen[n]++, 0);
        assert_true(n + 8 + 16 >= highest); /* 8 frames, and those that were late with it */
        late += n < highest;
        if (n > highest) highest = n;
    }
    assert_true(late > 100);
    drop_wire();
    d->ops->close(d);
}

static void test_nothing_waits_while_the_wire_is_idle(void **state)
{
    static const struct setting s[] = {{"fault.reorder_ppm", "1000000"}, {NULL, NULL}};
    struct netdev *d = over(s);
    struct frame f = numbered(1), got;
    assert_int_equal(d->ops->send(d, &f, 1), 1);
    assert_int_equal(wire.tail, 0);
    unsigned polls = 0;
    while (!d->ops->recv(d, &got, 1)) assert_true(polls++ < 1000);
    assert_int_equal(number_of(&got), 1);
    buf_unref(got.b);
    f = numbered(2);
    assert_int_equal(d->ops->send(d, &f, 1), 1);
    assert_int_equal(d->ops->arm(d), -EAGAIN); /* it was let go: the wire has it */
    assert_int_equal(receive(d, &got, 1), 1);
    buf_unref(got.b);
    d->ops->close(d);
}

static void test_spoiled_frames_differ_by_one_bit_and_lent_bytes_stay(void **state)
{
    static const struct setting s[] = {{"fault.corrupt_ppm", "1000000"}, {"fault.direction", "out"}, {NULL, NULL}};
    struct netdev *d = over(s);
    for (uint32_t i = 0; i < 1000; i++) {
        struct frame f = numbered(i), lent = f;
        f.b = buf_slice(lent.b, 0, SIZE);
        assert_int_equal(d->ops->send(d, &f, 1), 1);
        assert_int_equal(bits_wrong(&lent, i), 0);
        assert_int_equal(bits_wrong(&wire.frames[i], i), 1);
        assert_int_equal(wire.frames[i].flags & FRAME_L4_CSUM_OK, 0);
        buf_unref(lent.b);
    }
    drop_wire();
    d->ops->close(d);
}

static void test_nothing_is_left_to_a_device_that_could_hide_it(void **state)
{
    static const struct setting s[] = {{"fault.loss_ppm", "1"}, {NULL, NULL}};
    struct netdev *d = over(s);
    assert_int_equal(d->caps.offloads, OFFLOAD_RX_L4_CSUM);
    assert_int_equal(d->ops->fd(d), 7);
    assert_int_equal(d->ops->claim(d, 6, 80, true), 80);
    assert_null(fault_counted(&wire.d));
    d->ops->close(d);
}

/* All at once, both ways, through a device that is full now and then: every frame is accounted for. */
static void test_frames_are_conserved(void **state)
{
    static const struct setting s[] = {{"fault.loss_ppm", "50000"},    {"fault.duplicate_ppm", "50000"},
                                       {"fault.reorder_ppm", "50000"}, {"fault.corrupt_ppm", "50000"},
                                       {"fault.seed", "77"},           {NULL, NULL}};
    static struct frame got[COUNT * 2];
    static uint32_t first[COUNT * 2];
    unsigned first_count = 0;
    for (int run = 0; run < 2; run++) {
        struct netdev *d = over(s);
        unsigned came = 0;
        wire.room = 30;
        for (uint32_t i = 0; i < COUNT / 2;) {
            struct frame burst[NETDEV_BURST];
            unsigned n = 0, taken = 0;
            for (; n < NETDEV_BURST && i + n < COUNT / 2; n++) burst[n] = numbered(i + n);
            while (taken < n) {
                taken += d->ops->send(d, burst + taken, n - taken);
                came += d->ops->recv(d, got + came, NETDEV_BURST);
            }
            i += n;
        }
        came += receive(d, got + came, COUNT * 2 - came);
        const struct fault_counters *c = fault_counted(d);
        assert_true(c->lost && c->duplicated && c->reordered && c->corrupted);
        assert_int_equal(came, COUNT / 2 - c->lost + c->duplicated);
        for (unsigned i = 0; i < came; i++) {
            if (!run) first[i] = number_of(&got[i]);
            else assert_int_equal(first[i], number_of(&got[i])); /* the same seed */
            buf_unref(got[i].b);
        }
        if (run) assert_int_equal(came, first_count);
        first_count = came;
        d->ops->close(d);
    }
}

static void test_close_gives_back_what_was_held(void **state)
{
    static const struct setting s[] = {{"fault.reorder_ppm", "900000"}, {NULL, NULL}};
    struct netdev *d = over(s);
    for (uint32_t i = 0; i < 100; i++) {
        struct frame f = numbered(i);
        wire.room = 3;
        if (!d->ops->send(d, &f, 1)) buf_unref(f.b);
    }
    d->ops->close(d); /* the sanitizer looks */
    drop_wire();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_keys_are_refused_and_none_means_no_device),
        cmocka_unit_test(test_loss_is_as_often_as_asked),
        cmocka_unit_test(test_bursts_are_lost_in_a_row),
        cmocka_unit_test(test_late_frames_are_a_little_late_and_none_is_missing),
        cmocka_unit_test(test_nothing_waits_while_the_wire_is_idle),
        cmocka_unit_test(test_spoiled_frames_differ_by_one_bit_and_lent_bytes_stay),
        cmocka_unit_test(test_nothing_is_left_to_a_device_that_could_hide_it),
        cmocka_unit_test(test_frames_are_conserved),
        cmocka_unit_test(test_close_gives_back_what_was_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
