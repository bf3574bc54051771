/* SPDX-License-Identifier: MIT
 *
 * Logs on NVMe, by the public API: a controller in memory (double.h), which a thread of its own runs, stands where
 * VFIO's would. tests/guest/nvme.py has the same on a controller that QEMU emulates.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <stdio.h>

#include "alloc/base/log.h"
#include "alloc/buf.h"
#include "libos/log/image.h"
#include "libos/log/store.h"
#include "tests/nvme/stand_in.h"

#define SIZE    ((uint64_t)64 << 20)
#define PATH    "log:nvme:" STAND_IN "#one"
#define RECORDS 2000

static unsigned lines;

/* What the double has seen, or is to do, while its thread stands still. */
static struct double_said seen(void)
{
    double_thread_end(d);
    struct double_said s = *double_said(d);
    double_thread_begin(d, 0);
    return s;
}

static void spoil(struct double_faults f)
{
    double_thread_end(d);
    *double_faults(d) = f;
    double_thread_begin(d, 0);
}

static void hear(void *arg, int level, const char *text) { lines += level == LOG_WARNING_LEVEL; }

/* What demi-log create does. */
static void make_logs(void)
{
    struct alog_plain p;
    struct alog_image im;
    char why[NVME_WHY_SIZE];
    OK(alog_plain_open_nvme(&p, STAND_IN, why));
    assert_int_equal(p.store.size, SIZE);
    struct buf *b = alog_buf_new(1 << 20); /* longer than any request */
    assert_non_null(b);
    memset(b->data, 0x5a, 1 << 20);
    OK(alog_write_blocks(&p.store, 4 << 20, b, 1 << 20));
    memset(b->data, 0, 1 << 20);
    OK(alog_read_blocks(&p.store, 4 << 20, b, 1 << 20));
    for (unsigned i = 0; i < 1 << 20; i++)
        if (b->data[i] != 0x5a) fail_msg("byte %u is %u", i, b->data[i]);
    buf_unref(b);
    OK(alog_image_format(&im, &p.store, p.store.size, 1 << 20));
    alog_image_fini(&im);
    alog_plain_close_nvme(&p);
    assert_false(in_use);
}

static const struct double_shape plain = {.size = SIZE, .shift = 12, .mdts = 5, .volatile_cache = true};

static int begin_with(void **state, struct double_shape shape, bool with_logs)
{
    lines = 0;
    stand_in_begin(&shape);
    if (with_logs) make_logs();
    return test_setup(state);
}

static int begin(void **state) { return begin_with(state, plain, true); }
static int begin_empty(void **state) { return begin_with(state, plain, false); }
static int begin_512(void **state)
{
    struct double_shape s = plain;
    s.shift = 9;
    s.volatile_cache = false;
    return begin_with(state, s, true);
}
static int begin_without_interrupts(void **state)
{
    struct double_shape s = plain;
    s.no_interrupts = true;
    s.mdts = 1;
    return begin_with(state, s, true);
}

static int end(void **state)
{
    int err = demi_exit();
    assert_false(in_use);
    double_thread_end(d);
    assert_int_equal(double_said(d)->strays, 0);
    assert_int_equal(double_said(d)->misuses, 0);
    double_free(d);
    return err;
}

static demi_qtoken_t push_number(int qd, unsigned i, unsigned flags)
{
    demi_qtoken_t qt;
    char text[700];
    memset(text, 'a' + i % 26, sizeof text);
    snprintf(text, sizeof text, "record %u", i);
    struct iovec iov = {text, 16 + i % 600};
    OK(demi_pushv(&qt, qd, &iov, 1, flags));
    return qt;
}

static void pop_number(int qd, unsigned i)
{
    demi_qtoken_t qt;
    char text[32];
    OK(demi_pop(&qt, qd));
    demi_sgarray_t sga = wait_ok(qt, DEMI_OPC_POP).qr_value.sga;
    snprintf(text, sizeof text, "record %u", i);
    assert_int_equal(sga.sga_segs[0].sgaseg_len, 16 + i % 600);
    assert_string_equal(sga.sga_segs[0].sgaseg_buf, text);
    OK(demi_sgafree(&sga));
}

static void append(int qd, unsigned from, unsigned count, unsigned flags)
{
    demi_qtoken_t qts[32];
    for (unsigned i = 0; i < count;) {
        unsigned n = count - i < 32 ? count - i : 32;
        for (unsigned k = 0; k < n; k++) qts[k] = push_number(qd, from + i + k, flags);
        for (unsigned k = 0; k < n; k++) wait_ok(qts[k], DEMI_OPC_PUSH);
        i += n;
    }
}

static int log_open(int flags)
{
    int qd = -1;
    OK(demi_open(&qd, PATH, flags, 0600));
    return qd;
}

static void log_close(int qd)
{
    demi_qtoken_t qt;
    OK(demi_async_close(&qt, qd));
    wait_ok(qt, DEMI_OPC_CLOSE);
}

static void write_and_read_back(void)
{
    int qd = log_open(O_RDWR | O_CREAT);
    append(qd, 0, RECORDS, 0);
    append(qd, RECORDS, 50, DEMI_PUSH_DURABLE);
    log_close(qd);
    qd = log_open(O_RDWR);
    for (unsigned i = 0; i < RECORDS + 50; i++) pop_number(qd, i);
    log_close(qd);
    assert_int_equal(lines, 0);
}

static void test_records_come_back(void **state) { write_and_read_back(); }
static void test_records_come_back_in_blocks_of_512(void **state) { write_and_read_back(); }
static void test_records_come_back_without_interrupts(void **state) { write_and_read_back(); }

static void test_the_last_close_shuts_the_controller_down(void **state)
{
    unsigned before = seen().shutdowns;
    int one = log_open(O_RDWR | O_CREAT), two = -1;
    OK(demi_open(&two, "log:nvme:" STAND_IN "#two", O_RDWR | O_CREAT, 0600));
    log_close(one);
    assert_true(in_use);
    assert_int_equal(seen().shutdowns, before);
    log_close(two);
    assert_false(in_use);
    assert_int_equal(seen().shutdowns, before + 1);
}

static void test_exit_shuts_it_down_too(void **state)
{
    unsigned before = seen().shutdowns;
    int qd = log_open(O_RDWR | O_CREAT);
    append(qd, 0, 10, 0);
    OK(demi_exit());
    assert_false(in_use);
    assert_int_equal(seen().shutdowns, before + 1);
    OK(demi_init(NULL));
    qd = log_open(O_RDWR);
    for (unsigned i = 0; i < 10; i++) pop_number(qd, i);
}

/* Nothing that is not ours is ever written to. */
static void test_a_namespace_without_logs_is_left_alone(void **state)
{
    int qd;
    int err = demi_open(&qd, PATH, O_RDWR | O_CREAT, 0600);
    assert_int_not_equal(err, 0);
    assert_false(in_use);
    assert_int_equal(seen().writes, 0);
}

static void test_mistakes_have_their_errors(void **state)
{
    int qd;
    in_use = true; /* somebody else's */
    FAILS(EBUSY, demi_open(&qd, PATH, O_RDWR, 0));
    in_use = false;
    FAILS(ENODEV, demi_open(&qd, "log:nvme:0000:02:00.0#one", O_RDWR, 0));
    FAILS(EINVAL, demi_open(&qd, "log:nvme:#one", O_RDWR, 0));
    FAILS(EINVAL, demi_open(&qd, "log:nvme:" STAND_IN "/0#one", O_RDWR, 0));
    FAILS(EINVAL, demi_open(&qd, "log:nvme:" STAND_IN "/x#one", O_RDWR, 0));
    FAILS(ENODEV, demi_open(&qd, "log:nvme:" STAND_IN "/2#one", O_RDWR, 0));
    FAILS(ENOENT, demi_open(&qd, PATH, O_RDWR, 0));
}

static void test_a_reset_in_the_middle_is_not_noticed(void **state)
{
    int qd = log_open(O_RDWR | O_CREAT);
    append(qd, 0, 200, 0);
    spoil((struct double_faults){.twice = 1});
    append(qd, 200, 200, DEMI_PUSH_DURABLE);
    spoil((struct double_faults){.wrong_head = 1});
    append(qd, 400, 200, 0);
    log_close(qd);
    qd = log_open(O_RDWR);
    for (unsigned i = 0; i < 600; i++) pop_number(qd, i);
    assert_true(seen().enables >= 4);
    log_close(qd);
}

static void test_a_write_that_fails_is_final(void **state)
{
    int qd = log_open(O_RDWR | O_CREAT);
    append(qd, 0, 20, DEMI_PUSH_DURABLE);
    spoil((struct double_faults){.status = 0x280 | 1 << 14, .failing = 1}); /* write fault, do not retry */
    assert_int_equal(wait_failed(push_number(qd, 20, DEMI_PUSH_DURABLE)), EIO);
    for (unsigned i = 0; i < 20; i++) pop_number(qd, i); /* reading goes on */
    OK(demi_close(qd));
}

static void test_a_device_that_goes_ends_what_waits(void **state)
{
    int qd = log_open(O_RDWR | O_CREAT);
    append(qd, 0, 20, DEMI_PUSH_DURABLE);
    spoil((struct double_faults){.gone = true});
    assert_int_equal(wait_failed(push_number(qd, 20, DEMI_PUSH_DURABLE)), ENODEV);
    OK(demi_close(qd));
}

/* What was acknowledged is there; of what was not, the beginning or nothing. */
static void test_acknowledged_records_outlive_the_power(void **state)
{
    for (unsigned seed = 1; seed <= 3; seed++) {
        int qd = log_open(O_RDWR | O_CREAT);
        append(qd, 0, 100, 0);
        append(qd, 100, seed, DEMI_PUSH_DURABLE);
        for (unsigned i = 0; i < 20; i++) push_number(qd, 100 + seed + i, 0); /* on their way, or not */
        double_thread_end(d);
        double_cut_power(d, seed);
        uint8_t *kept = malloc(SIZE);
        assert_non_null(kept);
        memcpy(kept, double_medium(d), SIZE);
        double_faults(d)->gone = true; /* for who had it */
        double_thread_begin(d, 0);
        demi_exit();
        double_free(d);
        stand_in_begin(&plain);
        memcpy(double_medium(d), kept, SIZE);
        free(kept);
        OK(demi_init(NULL));
        qd = log_open(O_RDWR);
        for (unsigned i = 0; i < 100 + seed; i++) pop_number(qd, i);
        OK(demi_exit());
        double_free(d);
        stand_in_begin(&plain);
        make_logs();
        OK(demi_init(NULL));
    }
}

#define CASE(f, b) cmocka_unit_test_setup_teardown(f, b, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_namespace_without_logs_is_left_alone, begin_empty),
        CASE(test_mistakes_have_their_errors, begin),
        CASE(test_records_come_back, begin),
        CASE(test_records_come_back_in_blocks_of_512, begin_512),
        CASE(test_records_come_back_without_interrupts, begin_without_interrupts),
        CASE(test_the_last_close_shuts_the_controller_down, begin),
        CASE(test_exit_shuts_it_down_too, begin),
        CASE(test_a_reset_in_the_middle_is_not_noticed, begin),
        CASE(test_a_write_that_fails_is_final, begin),
        CASE(test_a_device_that_goes_ends_what_waits, begin),
        CASE(test_acknowledged_records_outlive_the_power, begin),
    };
    log_set_default(&(struct log){.level = LOG_NOTICE_LEVEL, .sink = hear});
    return cmocka_run_group_tests(tests, NULL, NULL);
}
