/* SPDX-License-Identifier: MIT
 *
 * The driver of libos/nvme over a controller in memory (double.h), which does as it is told, or fails, lies, falls
 * silent, has a fatal error, goes, and loses its power. Time is the test's own.
 */
#include "libos/nvme/nvme.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/base/log.h"
#include "alloc/base/rng.h"
#include "alloc/buf.h"
#include "tests/nvme/double.h"

#define STEP_NS   ((uint64_t)200000)
#define SIZE      ((uint64_t)16 << 20)
#define PATIENCE  400000u /* turns */
#define WORDS_MAX 512

static const struct double_shape plain = {
    .size = SIZE, .shift = 12, .mdts = 6, .volatile_cache = true, .deallocate = true};

static struct nvme_double *d;
static struct nvme *v;
static struct nvme_counters counters;
static uint64_t now;
static unsigned lines;
static int errors[WORDS_MAX]; /* by word; -1: has not ended */
static unsigned ended;
static char why[NVME_WHY_SIZE];

static void hear(void *arg, int level, const char *text) { lines++; }

static int quiet(void **state)
{
    log_set_default(&(struct log){.level = LOG_DEBUG_LEVEL, .sink = hear});
    return 0;
}

static int loud(void **state)
{
    log_set_default(NULL);
    return 0;
}

static void take_done(void)
{
    struct blockdev_completion out[BLOCKDEV_BURST];
    for (unsigned n; (n = v->base.ops->poll(&v->base, out, BLOCKDEV_BURST));)
        for (unsigned i = 0; i < n; i++) {
            assert_in_range(out[i].word, 0, WORDS_MAX - 1);
            assert_int_equal(errors[out[i].word], -1);
            errors[out[i].word] = out[i].err;
            ended++;
        }
}

static void turn(void)
{
    double_run(d);
    now += STEP_NS;
    nvme_turn(v, now);
    take_done();
}

static void turns(unsigned n)
{
    while (n--) turn();
}

static void until_state(enum nvme_state s)
{
    for (unsigned i = 0; v->state != s && i < PATIENCE; i++) turn();
    assert_int_equal(v->state, s);
}

static void begin_at(const struct double_shape *shape)
{
    d = double_new(shape);
    counters = (struct nvme_counters){0};
    lines = 0;
    ended = 0;
    memset(errors, 0xff, sizeof errors);
    assert_int_equal(nvme_new(&v, double_port(d), 1, "double", &counters, now, why), 0);
}

static void begin(const struct double_shape *shape)
{
    begin_at(shape);
    until_state(NVME_LIVE);
}

/* What it told the controller was right, whatever happened. */
static void end(void)
{
    assert_int_equal(double_said(d)->misuses, 0);
    assert_int_equal(double_said(d)->strays, 0);
    nvme_free(v);
    double_free(d);
}

static struct buf *bytes_new(uint32_t n, unsigned seed)
{
    struct buf *b = buf_take(n + NVME_PAGE);
    assert_non_null(b);
    buf_put_back(b, n + NVME_PAGE);
    buf_trim_front(b, -(uintptr_t)b->data & (NVME_PAGE - 1));
    buf_trim_back(b, b->len - n);
    for (uint32_t i = 0; i < n; i++) b->data[i] = (uint8_t)((seed + i) % 251);
    return b;
}

static unsigned post(unsigned word, unsigned verb, uint64_t at, struct buf *b, uint32_t n, unsigned flags)
{
    struct blockdev_request r = {
        .word = word, .at = at, .buf = b, .n = n, .verb = (uint8_t)verb, .flags = (uint8_t)flags};
    return v->base.ops->post(&v->base, &r, 1);
}

static int wait_word(unsigned word)
{
    for (unsigned i = 0; errors[word] < 0 && i < PATIENCE; i++) turn();
    assert_true(errors[word] >= 0);
    int err = errors[word];
    errors[word] = -1;
    return err;
}

static int do_one(unsigned verb, uint64_t at, struct buf *b, uint32_t n, unsigned flags)
{
    assert_int_equal(post(0, verb, at, b, n, flags), 1);
    return wait_word(0);
}

static void write_pattern(uint64_t at, uint32_t n, unsigned seed, unsigned flags)
{
    struct buf *b = bytes_new(n, seed);
    assert_int_equal(do_one(BLOCKDEV_WRITE, at, b, n, flags), 0);
    buf_unref(b);
}

static void read_pattern(uint64_t at, uint32_t n, unsigned seed)
{
    struct buf *b = bytes_new(n, seed + 1);
    assert_int_equal(do_one(BLOCKDEV_READ, at, b, n, 0), 0);
    for (uint32_t i = 0; i < n; i++)
        if (b->data[i] != (seed + i) % 251) fail_msg("byte %u of %u is %u", i, n, b->data[i]);
    buf_unref(b);
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

static void test_it_starts_and_tells_what_it_has(void **state)
{
    begin(&plain);
    assert_int_equal(v->base.caps.size, SIZE);
    assert_int_equal(v->base.caps.block, 4096);
    assert_int_equal(v->base.caps.request_max, 256 << 10); /* MDTS 6 */
    assert_int_equal(v->base.caps.atomic_max, 4096);
    assert_true(v->base.caps.volatile_cache && v->base.caps.durable_writes && v->base.caps.deallocate);
    assert_string_equal(v->facts.serial, "DOUBLE0001");
    assert_int_equal(double_said(d)->creates, 2);
    end();
}

static void test_limits_of_the_controller_are_kept(void **state)
{
    struct double_shape s = plain;
    s.mdts = 1;
    s.dstrd = 3;
    s.mqes = 16;
    begin(&s);
    assert_int_equal(v->base.caps.request_max, 8192);
    assert_int_equal(v->depth, 15);
    write_pattern(0, 8192, 3, 0);
    read_pattern(0, 8192, 3);
    end();
}

static void (*patch)(uint8_t *page);
static unsigned patch_cns;
static void identify(uint8_t *page, unsigned cns)
{
    if (cns == patch_cns) patch(page);
}

static void no_size(uint8_t *p) { memset(p, 0, 8); }
static void huge_size(uint8_t *p) { memset(p, 0xff, 8); }
static void metadata(uint8_t *p) { p[132] = 8; }
static void tiny_blocks(uint8_t *p) { p[134] = 0; }
static void huge_blocks(uint8_t *p) { p[134] = 255; }
static void protection(uint8_t *p) { p[29] = 1; }
static void no_format(uint8_t *p) { p[26] = 15; }
static void far_format(uint8_t *p) { p[25] = 255, p[26] = 0x6f; }
static void write_protected(uint8_t *p) { p[99] = 1; }
static void wide_entries(uint8_t *p) { p[512] = 0x77; }
static void discovery(uint8_t *p) { p[111] = 2; }
static void no_namespaces(uint8_t *p) { memset(p + 516, 0, 4); }

static void test_what_cannot_be_used_is_refused(void **state)
{
    static const struct {
        void (*patch)(uint8_t *page);
        unsigned cns;
        int err;
    } cases[] = {
        {no_size, 0, ENODEV},        {huge_size, 0, EINVAL},    {metadata, 0, ENOTSUP},  {tiny_blocks, 0, ENOTSUP},
        {huge_blocks, 0, ENOTSUP},   {protection, 0, ENOTSUP},  {no_format, 0, EINVAL},  {far_format, 0, ENOTSUP},
        {write_protected, 0, EROFS}, {wide_entries, 1, EINVAL}, {discovery, 1, ENOTSUP}, {no_namespaces, 1, ENODEV},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin_at(&plain);
        patch = cases[i].patch;
        patch_cns = cases[i].cns;
        double_faults(d)->identify = identify;
        until_state(NVME_DEAD);
        assert_int_equal(v->error, cases[i].err);
        assert_true(strlen(v->why) > 10);
        assert_true(lines > 0 && double_said(d)->cuts > 0);
        end();
    }
}

static void test_text_of_a_controller_may_go_into_a_log(void **state)
{
    struct nvme_facts f;
    uint8_t page[4096];
    memset(page, 0x1b, sizeof page);
    page[111] = 0;
    page[512] = 0x66;
    page[513] = 0x44;
    assert_int_equal(nvme_read_controller(page, &f, why), 0);
    assert_string_equal(f.serial, "????????????????????");
    memset(page, 0, sizeof page);
    page[512] = 0x66;
    page[513] = 0x44;
    assert_int_equal(nvme_read_controller(page, &f, why), 0);
    assert_int_equal(f.transfer_max, UINT32_MAX);
}

static void test_atomic_figures(void **state)
{
    struct nvme_facts f = {.atomic_blocks = 12};
    uint8_t p[4096] = {0};
    p[0] = 100;
    p[130] = 9;
    assert_int_equal(nvme_read_namespace(p, &f, why), 0);
    assert_int_equal(f.atomic_max, 8 * 512);
    p[24] = 2; /* its own: NAWUPF 31, a boundary each 16 */
    p[36] = 31;
    p[44] = 15;
    assert_int_equal(nvme_read_namespace(p, &f, why), 0);
    assert_int_equal(f.atomic_max, 16 * 512);
    p[42] = 3; /* the boundaries are shifted */
    assert_int_equal(nvme_read_namespace(p, &f, why), 0);
    assert_int_equal(f.atomic_max, 512);
}

static void test_a_controller_that_never_gets_ready_is_given_up(void **state)
{
    begin_at(&plain);
    double_faults(d)->never_ready = true;
    until_state(NVME_DEAD);
    assert_int_equal(v->error, EIO);
    assert_int_equal(counters.resets, NVME_RESETS);
    end();
}

static void test_capabilities_that_do_not_do(void **state)
{
    static const struct {
        uint32_t low, high;
        int err;
    } cases[] = {
        {0xffffffff, 0xffffffff, -ENODEV},
        {2047 | 2u << 24, 0, -ENOTSUP},
        {2047 | 2u << 24, 1u << 5 | 1u << 16, -ENOTSUP},
        {2u << 24, 1u << 5, -ENOTSUP},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        d = double_new(&plain);
        volatile uint32_t *cap = (volatile uint32_t *)double_port(d)->bar;
        cap[0] = cases[i].low;
        cap[1] = cases[i].high;
        assert_int_equal(nvme_new(&v, double_port(d), 1, "double", &counters, now, why), cases[i].err);
        double_free(d);
    }
    d = double_new(&plain);
    double_refuse_maps(d, true);
    assert_int_equal(nvme_new(&v, double_port(d), 1, "double", &counters, now, why), -ENOMEM);
    double_free(d);
}

/* --- reading and writing ------------------------------------------------------------------------------------------ */

static void test_every_length_and_place_comes_back(void **state)
{
    static const uint32_t lengths[] = {4096, 8192, 12288, 16384, 20480, 65536, 131072, 262144};
    begin(&plain);
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint64_t at = (uint64_t)i << 20;
        write_pattern(at, lengths[i], i, 0);
        read_pattern(at, lengths[i], i);
    }
    assert_int_equal(counters.write_bytes, counters.read_bytes);
    assert_int_equal(counters.errors, 0);
    end();
}

/* A buffer that begins in the middle of a page: one page more. */
static void test_blocks_of_512_begin_anywhere_in_a_page(void **state)
{
    struct double_shape s = plain;
    s.shift = 9;
    begin(&s);
    struct buf *b = bytes_new(64 << 10, 5);
    for (uint32_t skip = 512; skip <= 4096; skip += 512)
        for (uint32_t n = 512; n <= 3 * 4096; n += 512) {
            struct buf *part = buf_slice(b, skip, n), *back = bytes_new(n, 9);
            assert_int_equal(do_one(BLOCKDEV_WRITE, skip * 8 + 512, part, n, 0), 0);
            assert_int_equal(do_one(BLOCKDEV_READ, skip * 8 + 512, back, n, 0), 0);
            assert_memory_equal(back->data, b->data + skip, n);
            buf_unref(part);
            buf_unref(back);
        }
    buf_unref(b);
    end();
}

static void test_depth_is_filled_and_no_more(void **state)
{
    struct blockdev_request r[NVME_DEPTH + 8];
    struct buf *b = bytes_new(4096, 1);
    begin(&plain);
    double_faults(d)->holds = true;
    for (unsigned i = 0; i < NVME_DEPTH + 8; i++)
        r[i] = (struct blockdev_request){.word = i, .at = i * 4096, .buf = b, .n = 4096, .verb = BLOCKDEV_WRITE};
    turn(); /* it waits for an event, too */
    uint64_t bells = double_said(d)->doorbells;
    assert_int_equal(v->base.ops->post(&v->base, r, NVME_DEPTH + 8), NVME_DEPTH);
    assert_int_equal(v->base.ops->post(&v->base, r, 1), 0);
    turns(10);
    assert_int_equal(ended, 0);
    double_faults(d)->holds = false;
    turns(10);
    assert_int_equal(ended, NVME_DEPTH);
    assert_int_equal(double_said(d)->doorbells, bells + 1); /* one for the burst */
    assert_int_equal(double_said(d)->most_out, 1);          /* the double does each at once */
    assert_int_equal(post(NVME_DEPTH, BLOCKDEV_WRITE, 0, b, 4096, 0), 1);
    assert_int_equal(wait_word(NVME_DEPTH), 0);
    buf_unref(b);
    end();
}

static void test_rings_wrap_for_long(void **state)
{
    struct rng r;
    begin(&plain);
    rng_seed(&r, 7);
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t at = rng_u64(&r) % (SIZE / 4096) * 4096;
        write_pattern(at, 4096, i, rng_u64(&r) & 1 ? BLOCKDEV_DURABLE : 0);
        read_pattern(at, 4096, i);
    }
    assert_int_equal(counters.lies + counters.resets + counters.errors, 0);
    end();
}

static void test_bytes_out_of_reach_are_copied(void **state)
{
    begin(&plain);
    double_refuse_maps(d, true); /* a region that comes now is none of the device's */
    struct buf *b[64];
    unsigned n = 0;
    for (; n < 64 && !counters.bounced; n++) {
        b[n] = bytes_new(1 << 20, n);
        assert_int_equal(post(n, BLOCKDEV_WRITE, 0, b[n], 65536, 0), 1);
        assert_int_equal(wait_word(n), 0);
        assert_int_equal(post(n, BLOCKDEV_FLUSH, 0, NULL, 0, 0), 1);
        assert_int_equal(wait_word(n), 0);
        assert_memory_equal(double_medium(d), b[n]->data, 65536);
    }
    assert_true(counters.bounced > 0);
    struct buf *last = b[n - 1];
    memset(last->data, 0, 65536);
    assert_int_equal(do_one(BLOCKDEV_READ, 0, last, 65536, 0), 0);
    assert_memory_equal(double_medium(d), last->data, 65536);
    unsigned taken = 0; /* pieces are few: then it is asked again */
    while (taken < 10 && post(100 + taken, BLOCKDEV_WRITE, taken * 65536, last, 65536, 0)) taken++;
    assert_int_equal(taken, NVME_BOUNCES);
    turns(5);
    assert_int_equal(post(110, BLOCKDEV_WRITE, 0, last, 65536, 0), 1);
    assert_int_equal(wait_word(110), 0);
    while (n) buf_unref(b[--n]);
    end();
}

static void test_what_is_out_of_bounds_is_refused(void **state)
{
    struct buf *b = bytes_new(8192, 1);
    begin(&plain);
    assert_int_equal(do_one(BLOCKDEV_WRITE, SIZE, b, 4096, 0), EINVAL);
    assert_int_equal(do_one(BLOCKDEV_WRITE, SIZE - 4096, b, 8192, 0), EINVAL);
    assert_int_equal(do_one(BLOCKDEV_READ, UINT64_MAX & ~(uint64_t)4095, b, 8192, 0), EINVAL);
    assert_int_equal(double_said(d)->reads + double_said(d)->writes, 0);
    buf_unref(b);
    end();
}

static void test_deallocate(void **state)
{
    begin(&plain);
    write_pattern(8192, 8192, 1, 0);
    assert_int_equal(do_one(BLOCKDEV_DEALLOCATE, 8192, NULL, 4096, 0), 0);
    assert_int_equal(double_said(d)->discards, 1);
    assert_int_equal(double_medium(d)[8192], 0xdd);
    end();
}

/* --- power -------------------------------------------------------------------------------------------------------- */

static void test_what_was_flushed_or_durable_outlives_the_power(void **state)
{
    for (unsigned seed = 1; seed <= 50; seed++) {
        begin(&plain);
        write_pattern(0, 65536, seed, 0);
        assert_int_equal(do_one(BLOCKDEV_FLUSH, 0, NULL, 0, 0), 0);
        write_pattern(1 << 20, 65536, seed + 1, BLOCKDEV_DURABLE);
        write_pattern(2 << 20, 65536, seed + 2, 0); /* may be lost */
        double_cut_power(d, seed);
        nvme_free(v);
        memset(errors, 0xff, sizeof errors);
        assert_int_equal(nvme_new(&v, double_port(d), 1, "double", &counters, now, why), 0);
        until_state(NVME_LIVE);
        read_pattern(0, 65536, seed);
        read_pattern(1 << 20, 65536, seed + 1);
        end();
    }
}

static void test_shutdown_is_orderly(void **state)
{
    begin(&plain);
    write_pattern(0, 4096, 1, 0);
    nvme_shut(v);
    until_state(NVME_OFF);
    assert_int_equal(double_said(d)->shutdowns, 1);
    assert_int_equal(double_said(d)->deletes, 2);
    assert_int_equal(counters.unclean, 0);
    assert_int_equal(double_medium(d)[1], 2);
    end();
}

static void test_a_shutdown_that_does_not_end_is_told(void **state)
{
    begin(&plain);
    double_faults(d)->never_shuts = true;
    nvme_shut(v);
    until_state(NVME_OFF);
    assert_int_equal(counters.unclean, 1);
    assert_true(double_said(d)->cuts > 0);
    end();
}

/* --- trouble ------------------------------------------------------------------------------------------------------ */

static void test_status_becomes_an_errno(void **state)
{
    static const struct {
        unsigned status;
        int err;
    } cases[] = {
        {NVME_SC_LBA_RANGE, EINVAL},         {NVME_SC_CAPACITY, ENOSPC},           {NVME_SC_WRITE_FAULT, EIO},
        {NVME_SC_READ_ERROR, EIO},           {NVME_SC_READ_ONLY, EROFS},           {NVME_SC_WRITE_PROTECTED, EROFS},
        {NVME_SC_INVALID_NAMESPACE, ENODEV}, {NVME_SC_INVALID_OPCODE, EOPNOTSUPP}, {0x7ff, EIO},
    };
    struct buf *b = bytes_new(4096, 1);
    begin(&plain);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        double_faults(d)->status = cases[i].status | NVME_DNR;
        double_faults(d)->failing = 1;
        lines = 0;
        turns(6000); /* a second: lines are counted anew */
        assert_int_equal(do_one(BLOCKDEV_WRITE, 0, b, 4096, 0), cases[i].err);
        assert_int_equal(counters.errors, i + 1);
        assert_int_equal(lines, 1);
    }
    buf_unref(b);
    end();
}

static void test_what_may_be_tried_again_is(void **state)
{
    begin(&plain);
    double_faults(d)->status = NVME_SC_WRITE_FAULT;
    double_faults(d)->failing = NVME_TRIES - 1;
    write_pattern(0, 4096, 1, 0);
    assert_int_equal(counters.retries, NVME_TRIES - 1);
    double_faults(d)->failing = NVME_TRIES;
    struct buf *b = bytes_new(4096, 1);
    assert_int_equal(do_one(BLOCKDEV_WRITE, 0, b, 4096, 0), EIO);
    buf_unref(b);
    end();
}

static void test_what_is_not_answered_is_aborted_and_tried_again(void **state)
{
    begin(&plain);
    double_faults(d)->ignored = 1;
    write_pattern(0, 4096, 1, 0);
    assert_int_equal(counters.timeouts, 1);
    assert_int_equal(counters.aborts, 1);
    assert_int_equal(double_said(d)->aborts, 1);
    assert_int_equal(counters.resets, 0);
    read_pattern(0, 4096, 1);
    end();
}

/* A program that was away for longer than an answer may take, before it posts and after: nothing is aborted. */
static void test_a_program_may_be_away(void **state)
{
    begin(&plain);
    struct buf *b = bytes_new(4096, 1);
    for (unsigned i = 0; i < 4; i++) {
        bool before = i % 2;
        if (before) now += 3 * NVME_TIMEOUT_NS;
        assert_int_equal(post(i, BLOCKDEV_WRITE, i * 4096, b, 4096, 0), 1);
        if (!before) now += 3 * NVME_TIMEOUT_NS;
        nvme_turn(v, now); /* it has not answered yet */
        assert_int_equal(wait_word(i), 0);
    }
    assert_int_equal(counters.timeouts, 0);
    assert_int_equal(counters.resets, 0);
    buf_unref(b);
    end();
}

/* Half of them have no answer: all of them end, after one reset. */
static void test_a_reset_in_the_middle_loses_nothing(void **state)
{
    begin(&plain);
    struct buf *b[NVME_DEPTH];
    double_faults(d)->ignored = NVME_DEPTH / 2;
    double_faults(d)->no_abort = NVME_DEPTH;
    for (unsigned i = 0; i < NVME_DEPTH; i++) {
        b[i] = bytes_new(16384, i);
        assert_int_equal(post(i, BLOCKDEV_WRITE, i * 16384, b[i], 16384, 0), 1);
    }
    for (unsigned i = 0; i < NVME_DEPTH; i++) {
        assert_int_equal(wait_word(i), 0);
        buf_unref(b[i]);
    }
    assert_int_equal(counters.resets, 1);
    assert_int_equal(double_said(d)->enables, 2);
    for (unsigned i = 0; i < NVME_DEPTH; i++) read_pattern(i * 16384, 16384, i);
    end();
}

/* What is posted while it is reset waits in its slot. */
static void test_posts_during_a_reset_are_kept(void **state)
{
    struct buf *b = bytes_new(4096, 3);
    begin(&plain);
    nvme_reset(v, "the test wants it");
    for (unsigned i = 0; i < 10; i++) assert_int_equal(post(i, BLOCKDEV_WRITE, i * 4096, b, 4096, 0), 1);
    for (unsigned i = 0; i < 10; i++) assert_int_equal(wait_word(i), 0);
    buf_unref(b);
    end();
}

static void a_lie(unsigned *fault)
{
    begin(&plain);
    fault = (unsigned *)((char *)double_faults(d) + (uintptr_t)fault);
    *fault = 1;
    write_pattern(0, 4096, 1, 0);
    turns(2); /* the second of two answers */
    assert_int_equal(counters.lies, 1);
    assert_int_equal(counters.resets, 1);
    assert_true(lines >= 2);
    until_state(NVME_LIVE);
    read_pattern(0, 4096, 1);
    end();
}

#define LIE(field) a_lie((unsigned *)offsetof(struct double_faults, field))
static void test_an_unknown_cid_is_no_harm(void **state) { LIE(wrong_cid); }
static void test_a_wrong_queue_is_no_harm(void **state) { LIE(wrong_queue); }
static void test_a_wrong_head_is_no_harm(void **state) { LIE(wrong_head); }
static void test_a_second_answer_is_no_harm(void **state) { LIE(twice); }

static void test_who_lies_for_ever_is_given_up(void **state)
{
    struct buf *b = bytes_new(4096, 1);
    begin(&plain);
    double_faults(d)->wrong_cid = 1000;
    assert_int_equal(do_one(BLOCKDEV_WRITE, 0, b, 4096, 0), EIO);
    assert_int_equal(v->state, NVME_DEAD);
    assert_int_equal(counters.resets, NVME_RESETS);
    assert_true(double_said(d)->cuts > 0); /* before the bytes were somebody else's */
    assert_int_equal(do_one(BLOCKDEV_READ, 0, b, 4096, 0), EIO);
    buf_unref(b);
    end();
}

static void test_a_fatal_error_makes_the_next_flush_fail_once(void **state)
{
    begin(&plain);
    write_pattern(0, 4096, 1, 0); /* in the cache, which may have gone */
    struct buf *b = bytes_new(4096, 2);
    double_faults(d)->holds = true;
    assert_int_equal(post(1, BLOCKDEV_WRITE, 8192, b, 4096, BLOCKDEV_DURABLE), 1);
    double_faults(d)->fatal = true;
    turns(6000);
    double_faults(d)->holds = false;
    assert_int_equal(wait_word(1), 0);
    assert_int_equal(counters.resets, 1);
    assert_int_equal(do_one(BLOCKDEV_FLUSH, 0, NULL, 0, 0), EIO);
    assert_int_equal(counters.cache_lost, 1);
    assert_int_equal(do_one(BLOCKDEV_FLUSH, 0, NULL, 0, 0), 0);
    buf_unref(b);
    end();
}

static void test_a_controller_that_lost_its_power_makes_the_next_flush_fail(void **state)
{
    struct buf *b = bytes_new(4096, 2);
    begin(&plain);
    write_pattern(0, 4096, 1, 0);
    double_cut_power(d, 1);
    assert_int_equal(post(1, BLOCKDEV_WRITE, 8192, b, 4096, BLOCKDEV_DURABLE), 1);
    assert_int_equal(wait_word(1), 0); /* after a reset */
    assert_int_equal(do_one(BLOCKDEV_FLUSH, 0, NULL, 0, 0), EIO);
    assert_int_equal(counters.cache_lost, 1);
    buf_unref(b);
    end();
}

static void test_a_device_that_has_gone(void **state)
{
    struct buf *b = bytes_new(4096, 1);
    begin(&plain);
    double_faults(d)->holds = true;
    for (unsigned i = 0; i < 20; i++) assert_int_equal(post(i, BLOCKDEV_WRITE, i * 4096, b, 4096, 0), 1);
    double_faults(d)->gone = true;
    for (unsigned i = 0; i < 20; i++) assert_int_equal(wait_word(i), ENODEV);
    assert_int_equal(counters.gone, 1);
    assert_int_equal(do_one(BLOCKDEV_READ, 0, b, 4096, 0), ENODEV);
    nvme_shut(v); /* is nothing */
    assert_int_equal(v->state, NVME_DEAD);
    buf_unref(b);
    end();
}

static void test_admin_commands_without_an_answer(void **state)
{
    begin_at(&plain);
    double_faults(d)->ignored_admin = 2;
    until_state(NVME_LIVE);
    assert_int_equal(counters.resets, 2);
    end();
    begin_at(&plain);
    double_faults(d)->ignored_admin = 1000;
    until_state(NVME_DEAD);
    assert_int_equal(v->error, EIO);
    end();
}

static void test_events_are_told_one_a_second(void **state)
{
    struct buf *b = bytes_new(4096, 1);
    begin(&plain);
    lines = 0;
    for (unsigned i = 0; i < 20000; i++) { /* 4 s */
        double_tell(d, 1 | 1 << 8 | 2 << 16);
        nvme_interrupted(v);
        turn();
    }
    assert_in_range(counters.events, 2, 6);
    assert_true(double_said(d)->log_pages >= 2);
    assert_true(lines <= counters.events);
    assert_int_equal(do_one(BLOCKDEV_WRITE, 0, b, 4096, 0), 0);
    buf_unref(b);
    end();
}

static void test_another_device_after_a_reset_is_not_written_to(void **state)
{
    struct buf *b = bytes_new(4096, 1);
    begin(&plain);
    patch = huge_size;
    patch_cns = 0;
    double_faults(d)->identify = identify;
    nvme_reset(v, "the test wants it");
    assert_int_equal(post(1, BLOCKDEV_WRITE, 0, b, 4096, 0), 1);
    assert_int_equal(wait_word(1), EINVAL);
    assert_int_equal(v->state, NVME_DEAD);
    assert_int_equal(double_said(d)->writes, 0);
    buf_unref(b);
    end();
}

static void test_lines_are_bounded(void **state)
{
    begin(&plain);
    lines = 0;
    for (unsigned i = 0; i < 1000; i++) nvme_tell(v, "one more");
    assert_int_equal(lines, LOG_BUDGET);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_cannot_be_used_is_refused),
        cmocka_unit_test(test_capabilities_that_do_not_do),
        cmocka_unit_test(test_a_controller_that_never_gets_ready_is_given_up),
        cmocka_unit_test(test_text_of_a_controller_may_go_into_a_log),
        cmocka_unit_test(test_atomic_figures),
        cmocka_unit_test(test_it_starts_and_tells_what_it_has),
        cmocka_unit_test(test_limits_of_the_controller_are_kept),
        cmocka_unit_test(test_what_is_out_of_bounds_is_refused),
        cmocka_unit_test(test_every_length_and_place_comes_back),
        cmocka_unit_test(test_blocks_of_512_begin_anywhere_in_a_page),
        cmocka_unit_test(test_depth_is_filled_and_no_more),
        cmocka_unit_test(test_rings_wrap_for_long),
        cmocka_unit_test(test_bytes_out_of_reach_are_copied),
        cmocka_unit_test(test_deallocate),
        cmocka_unit_test(test_what_was_flushed_or_durable_outlives_the_power),
        cmocka_unit_test(test_shutdown_is_orderly),
        cmocka_unit_test(test_a_shutdown_that_does_not_end_is_told),
        cmocka_unit_test(test_status_becomes_an_errno),
        cmocka_unit_test(test_what_may_be_tried_again_is),
        cmocka_unit_test(test_what_is_not_answered_is_aborted_and_tried_again),
        cmocka_unit_test(test_a_program_may_be_away),
        cmocka_unit_test(test_a_reset_in_the_middle_loses_nothing),
        cmocka_unit_test(test_posts_during_a_reset_are_kept),
        cmocka_unit_test(test_an_unknown_cid_is_no_harm),
        cmocka_unit_test(test_a_wrong_queue_is_no_harm),
        cmocka_unit_test(test_a_wrong_head_is_no_harm),
        cmocka_unit_test(test_a_second_answer_is_no_harm),
        cmocka_unit_test(test_who_lies_for_ever_is_given_up),
        cmocka_unit_test(test_a_fatal_error_makes_the_next_flush_fail_once),
        cmocka_unit_test(test_a_controller_that_lost_its_power_makes_the_next_flush_fail),
        cmocka_unit_test(test_a_device_that_has_gone),
        cmocka_unit_test(test_admin_commands_without_an_answer),
        cmocka_unit_test(test_events_are_told_one_a_second),
        cmocka_unit_test(test_another_device_after_a_reset_is_not_written_to),
        cmocka_unit_test(test_lines_are_bounded),
    };
    return cmocka_run_group_tests(tests, quiet, loud);
}
