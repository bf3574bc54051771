/* SPDX-License-Identifier: MIT
 *
 * Streams over the device of loop.h, from seeds: some connections that push, pop, end and close by chance, over a
 * device that is slow, reorders what is of different connections, and, in two seeds of three, goes wrong. What must
 * hold:
 *
 *     always                 every operation ends; whoever reads sees a prefix of what the other side has pushed; at
 *                            the end no connection, word, window or byte of memory is left, and all receives are posted
 *     where nothing breaks   everything arrives, and then the end
 *
 * One seed in four speaks Valkey's framing, where the device can: there the first end is that of both directions, so
 * it waits until everything has arrived.
 *
 * RDMA_SEEDS=n runs so many, RDMA_SEED=s that one. Every failure names its seed.
 */
#include "libos/rdma/loop.h"
#include "alloc/base/rng.h"
#include "libos/rdma/sock.h"

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "demi/wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAIRS     4
#define PUSH_MAX  30000
#define TOTAL_MAX 200000
#define STEPS_MAX 200000

static uint64_t clock_ns, idles, seed;
static struct rng rng;
static struct rdma_options options;
static struct rdma_loop_faults faults;
static struct msgdev *device;
static bool valkey; /* in Valkey's framing */

#define HOLDS(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "seed %llu: %s does not hold\n", (unsigned long long)seed, #cond);                         \
            fail();                                                                                                    \
        }                                                                                                              \
    } while (0)

static uint64_t clock_now(void *arg) { return clock_ns; }

/* The device moves by being polled; timers are reached when that has not led anywhere for a while. */
static int clock_idle(void *arg, uint64_t deadline)
{
    uint64_t step = ++idles % 512 ? 1000 : 100000000;
    clock_ns = deadline < clock_ns + step && deadline > clock_ns ? deadline : clock_ns + step;
    return 0;
}

static uint32_t pick(uint32_t n) { return (uint32_t)(rng_u64(&rng) % n); }
static bool chance(uint32_t of_100) { return pick(100) < of_100; }

static int start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    const struct msgdev_wants wants = {
        .shared_depth = options.receives, .pieces_max = (uint16_t)(2 + pick(15)), .inline_max = 256};
    int err = rdma_loop_open(NULL, &wants, &device);
    if (err) return err;
    rdma_loop_set_faults(device, &faults);
    err = rdma_start_on(rt, &rdma_loop_libos, device, &options, out);
    if (err) device->ops->close(device);
    return err;
}

static struct libos_ops ops;

static struct runtime *open_runtime(void)
{
    static const struct runtime_ops time = {.now_ns = clock_now, .idle = clock_idle};
    struct runtime *rt;
    clock_ns = 1000000000;
    ops = rdma_loop_libos;
    ops.start = start;
    HOLDS(!runtime_new(&rt, &time, 7));
    HOLDS(!runtime_add_libos(rt, &ops, NULL));
    runtime_enter(rt);
    return rt;
}

static struct rdma *rdma_of(struct runtime *rt) { return (struct rdma *)rt->libos[0]; }

static void turn(struct runtime *rt)
{
    if (runtime_flush_is_due(rt)) runtime_flush(rt);
    if (!runtime_turn(rt, true)) clock_idle(NULL, UINT64_MAX);
    rdma_check(rt->libos[0]);
}

/* --- traffic ------------------------------------------------------------------------------------------------------ */

struct side {
    int qd;
    uint32_t stamp; /* of the bytes that it pushes */
    uint64_t total, pushed, popped;
    const struct side *other;
    demi_qtoken_t push, pop;
    bool pushing, popping, said_end, saw_end, failed, slow;
};

static uint8_t byte_at(uint32_t stamp, uint64_t i) { return (uint8_t)(stamp + i * 7 + (i >> 8)); }

static void push_some(struct side *s)
{
    uint64_t left = s->total - s->pushed;
    uint32_t n = chance(60) ? 1 + pick(300) : 1 + pick(PUSH_MAX);
    if (n > left) n = (uint32_t)left;
    demi_sgarray_t sga = demi_sgaalloc(n);
    HOLDS(sga.sga_numsegs == 1);
    uint8_t *p = sga.sga_segs[0].sgaseg_buf;
    for (uint32_t i = 0; i < n; i++) p[i] = byte_at(s->stamp, s->pushed + i);
    int err = demi_push(&s->push, s->qd, &sga);
    HOLDS(!demi_sgafree(&sga)); /* at once: it stays until the device has let go */
    if (err) {
        HOLDS(faults.seed);
        s->failed = true;
        return;
    }
    s->pushing = true;
    s->pushed += n;
}

static void end_stream(struct side *s)
{
    int err = demi_shutdown(s->qd, SHUT_WR);
    s->said_end = true;
    if (err && !valkey) s->failed = true;
}

static bool may_end(const struct side *s)
{
    if (s->pushing || s->said_end || s->pushed < s->total) return false;
    return !valkey || (s->popped == s->other->total && s->other->popped == s->total);
}

static bool is_done(const struct side *s)
{
    return !s->pushing && !s->popping && (s->failed || (s->said_end && s->saw_end));
}

static void go_on(struct side *s)
{
    if (!s->failed && !s->pushing && s->pushed < s->total) push_some(s);
    if (!s->failed && may_end(s)) end_stream(s);
    if (!s->popping && !s->saw_end && !s->failed && (!s->slow || chance(5))) s->popping = !demi_pop(&s->pop, s->qd);
}

static void pushed(struct side *s, const demi_qresult_t *qr)
{
    s->pushing = false;
    if (qr->qr_opcode == DEMI_OPC_FAILED) s->failed = true;
    else HOLDS(qr->qr_opcode == DEMI_OPC_PUSH);
}

static void popped(struct side *s, demi_qresult_t *qr)
{
    s->popping = false;
    if (qr->qr_opcode == DEMI_OPC_FAILED) {
        s->failed = true;
        return;
    }
    uint32_t n = qr->qr_value.sga.sga_segs[0].sgaseg_len;
    const uint8_t *p = qr->qr_value.sga.sga_segs[0].sgaseg_buf;
    for (uint32_t i = 0; i < n; i++) HOLDS(p[i] == byte_at(s->other->stamp, s->popped + i));
    s->popped += n;
    if (!n) s->saw_end = true;
    HOLDS(!n || s->popped <= s->other->pushed);
    HOLDS(!demi_sgafree(&qr->qr_value.sga));
}

/* Ends a side's outstanding operations without looking at what they were. */
static void look_at(struct side *s, demi_qresult_t *qr)
{
    const struct timespec now = {0, 0};
    if (s->pushing && !demi_wait(qr, s->push, &now)) pushed(s, qr);
    if (s->popping && !demi_wait(qr, s->pop, &now)) popped(s, qr);
}

static void speak(int qd)
{
    int bytes = valkey ? (int)VALKEY_BUFFER_MIN : 0;
    HOLDS(!demi_setsockopt(qd, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &bytes, sizeof bytes));
}

static int connect_pair(struct runtime *rt, int listener, const struct sockaddr_in *addr, struct side *a,
                        struct side *b)
{
    demi_qtoken_t connecting, accepting;
    demi_qresult_t qr;
    const struct timespec now = {0, 0}, soon = {60, 0};
    HOLDS(!demi_socket(&a->qd, AF_INET, SOCK_STREAM, 0));
    speak(a->qd);
    HOLDS(!demi_accept(&accepting, listener));
    int err = demi_connect(&connecting, a->qd, (const struct sockaddr *)addr, sizeof *addr);
    if (!err) {
        HOLDS(!demi_wait(&qr, connecting, &soon));
        if (qr.qr_opcode == DEMI_OPC_FAILED) err = (int)qr.qr_ret;
    }
    for (unsigned i = 0; i < 2000 && !err; i++) {
        if (!demi_wait(&qr, accepting, &now)) {
            HOLDS(qr.qr_opcode == DEMI_OPC_ACCEPT);
            b->qd = qr.qr_value.ares.qd;
            return 0;
        }
        turn(rt);
    }
    HOLDS(faults.seed);
    demi_cancel(accepting);
    if (!demi_wait(&qr, accepting, &soon) && qr.qr_opcode == DEMI_OPC_ACCEPT) demi_close(qr.qr_value.ares.qd);
    demi_close(a->qd);
    return err ? err : ECONNABORTED;
}

static void arm(struct side *s, struct side *other, uint32_t stamp)
{
    s->other = other;
    s->stamp = stamp;
    s->total = chance(20) ? 0 : pick(TOTAL_MAX);
    s->slow = chance(25);
}

static bool is_fatal(void)
{
    return faults.broken || faults.silent || faults.vanish || faults.connect || faults.call || faults.rnr_breaks;
}

static void check_arrived(const struct side *s)
{
    if (is_fatal()) return;
    HOLDS(!s->failed);
    HOLDS(s->popped == s->other->total);
}

static void converse(struct runtime *rt, struct side *sides, unsigned n)
{
    demi_qresult_t qr;
    unsigned left = n;
    for (unsigned step = 0; left; step++) {
        HOLDS(step < STEPS_MAX);
        left = 0;
        for (unsigned i = 0; i < n; i++) {
            if (is_done(&sides[i])) continue;
            left++;
            go_on(&sides[i]);
            look_at(&sides[i], &qr);
            if (is_fatal() && chance(1) && chance(5)) sides[i].failed = true; /* the program has lost interest */
            if (sides[i].failed) {
                HOLDS(!demi_close(sides[i].qd));
                turn(rt);
                look_at(&sides[i], &qr);
                HOLDS(!sides[i].pushing && !sides[i].popping);
                sides[i].qd = -1;
            }
        }
        turn(rt);
    }
    for (unsigned i = 0; i < n; i++) {
        check_arrived(&sides[i]);
        if (sides[i].qd >= 0) HOLDS(!demi_close(sides[i].qd));
    }
}

static void check_nothing_left(struct runtime *rt)
{
    struct rdma *r = rdma_of(rt);
    for (unsigned i = 0; i < STEPS_MAX && !list_is_empty(&r->conns); i++) turn(rt);
    HOLDS(list_is_empty(&r->conns));
    HOLDS(!r->words.used);
    HOLDS(!r->reserved);
    HOLDS(!r->valkey_lent);
    HOLDS(!rdma_loop_ends(device));
    for (unsigned i = 0; i < 1000 && r->posted < r->depth; i++) turn(rt);
    HOLDS(r->posted == r->depth);
    HOLDS(!r->protocol_errors);
}

static void choose(void)
{
    static const uint16_t inlines[] = {UINT16_MAX, 16, 64, 256};
    options = (struct rdma_options)RDMA_OPTIONS_DEFAULT;
    options.window = 4 + pick(29);
    options.send_depth = 8u << pick(4);
    options.receives = options.window + pick(200);
    options.receive_size = chance(50) ? 1024 : 8192;
    faults = (struct rdma_loop_faults){.seed = seed, .inline_max = inlines[pick(4)]};
    faults.slow = pick(700000);
    faults.post_short = chance(50) ? pick(300000) : 0;
    if (seed % 3 == 0) return;
    if (seed % 3 == 1) faults.rnr_breaks = true;
    if (chance(50)) faults.broken = pick(3000);
    if (chance(50)) faults.silent = pick(2000);
    if (chance(50)) faults.vanish = pick(1000);
    if (chance(50)) faults.connect = pick(400000);
    if (chance(30)) faults.call = pick(200000);
}

static void choose_framing(void) { valkey = seed % 4 == 3 && !faults.rnr_breaks; }

static void run(uint64_t s)
{
    struct side sides[2 * PAIRS] = {0};
    unsigned n = 0;
    size_t before = demi_mem_used();
    seed = s;
    rng_seed(&rng, s);
    choose();
    choose_framing();
    struct runtime *rt = open_runtime();
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int listener;
    socklen_t size = sizeof addr;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    HOLDS(!demi_socket(&listener, AF_INET, SOCK_STREAM, 0));
    speak(listener);
    int err = ENOMEM;
    for (unsigned i = 0; i < 50 && err; i++) err = demi_bind(listener, (struct sockaddr *)&addr, sizeof addr);
    HOLDS(!err);
    HOLDS(!demi_getsockname(listener, (struct sockaddr *)&addr, &size));
    HOLDS(!demi_listen(listener, 16));
    for (unsigned i = 0; i < PAIRS; i++) {
        struct side *a = &sides[n], *b = &sides[n + 1];
        if (connect_pair(rt, listener, &addr, a, b)) continue;
        arm(a, b, 1000 * i);
        arm(b, a, 1000 * i + 500);
        n += 2;
    }
    HOLDS(n == 2 * PAIRS || is_fatal());
    converse(rt, sides, n);
    HOLDS(!demi_close(listener));
    check_nothing_left(rt);
    runtime_free(rt);
    runtime_enter(NULL);
    HOLDS(demi_mem_used() == before);
}

static void test_streams_hold_whatever_the_device_does(void **state)
{
    const char *one = getenv("RDMA_SEED"), *many = getenv("RDMA_SEEDS");
    uint64_t count = many ? strtoull(many, NULL, 0) : 200;
    if (one) run(strtoull(one, NULL, 0));
    for (uint64_t s = 1; !one && s <= count; s++) run(s);
}

/* --- without chance ----------------------------------------------------------------------------------------------- */

static int listener_open(struct sockaddr_in *addr)
{
    int qd;
    socklen_t size = sizeof *addr;
    *addr = (struct sockaddr_in){.sin_family = AF_INET};
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(demi_socket(&qd, AF_INET, SOCK_STREAM, 0), 0);
    assert_int_equal(demi_bind(qd, (struct sockaddr *)addr, size), 0);
    assert_int_equal(demi_getsockname(qd, (struct sockaddr *)addr, &size), 0);
    assert_int_equal(demi_listen(qd, 16), 0);
    return qd;
}

static struct runtime *open_plain(void)
{
    options = (struct rdma_options)RDMA_OPTIONS_DEFAULT;
    faults = (struct rdma_loop_faults){0};
    valkey = false;
    return open_runtime();
}

static void test_an_idle_connection_is_small(void **state)
{
    enum { MANY = 100, BYTES_MAX = 2048 };
    struct runtime *rt = open_plain();
    struct side sides[2 * MANY] = {0};
    struct sockaddr_in addr;
    int listener = listener_open(&addr);
    assert_int_equal(connect_pair(rt, listener, &addr, &sides[0], &sides[1]), 0);
    size_t before = demi_mem_used();
    for (unsigned i = 1; i < MANY; i++)
        assert_int_equal(connect_pair(rt, listener, &addr, &sides[2 * i], &sides[2 * i + 1]), 0);
    size_t each = (demi_mem_used() - before) / (2 * (MANY - 1)) + WORD_CELL;
    print_message("an idle connection: %zu bytes\n", each);
    assert_in_range(each, 1, BYTES_MAX);
    for (unsigned i = 0; i < 2 * MANY; i++) assert_int_equal(demi_close(sides[i].qd), 0);
    demi_close(listener);
    check_nothing_left(rt);
    runtime_free(rt);
    runtime_enter(NULL);
}

static void test_a_device_that_goes_is_told_to_all(void **state)
{
    struct runtime *rt = open_plain();
    struct side a = {0}, b = {0};
    struct sockaddr_in addr;
    const struct timespec soon = {10, 0};
    demi_qtoken_t pop, accepting;
    demi_qresult_t qr;
    int listener = listener_open(&addr);
    assert_int_equal(connect_pair(rt, listener, &addr, &a, &b), 0);
    assert_int_equal(demi_pop(&pop, a.qd), 0);
    assert_int_equal(demi_accept(&accepting, listener), 0);
    rdma_loop_set_link(device, NETDEV_GONE);
    assert_int_equal(demi_wait(&qr, pop, &soon), 0);
    assert_int_equal(qr.qr_opcode, DEMI_OPC_FAILED);
    assert_int_equal(qr.qr_ret, ENETDOWN);
    assert_int_equal(demi_wait(&qr, accepting, &soon), 0);
    assert_int_equal(qr.qr_ret, ENETDOWN);
    assert_int_equal(rdma_of(rt)->status[MSGDEV_GONE], 3);
    demi_close(a.qd);
    demi_close(b.qd);
    demi_close(listener);
    check_nothing_left(rt);
    runtime_free(rt);
    runtime_enter(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_connection_is_small),
        cmocka_unit_test(test_a_device_that_goes_is_told_to_all),
        cmocka_unit_test(test_streams_hold_whatever_the_device_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
