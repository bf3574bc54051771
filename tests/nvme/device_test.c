/* SPDX-License-Identifier: MIT
 *
 * The driver and logs on a real controller, by VFIO: NVME_ADDRESS is its address, whose first namespace loses all that
 * it has. tests/nvme/devices.py runs it in a guest of QEMU. Without NVME_ADDRESS they run over the double.
 *
 *      NVME_MB              of the case that writes much (8)
 *      device_test append   appends durable records until it is killed, and prints how many are
 *      device_test count N  reads them back: at least N, each as it was
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "alloc/base/clock.h"
#include "alloc/buf.h"
#include "libos/log/image.h"
#include "libos/log/store.h"
#include "libos/nvme/nvme.h"
#include "tests/nvme/stand_in.h"

#define PIECE   (32u << 10)
#define DEPTH   32u
#define RECORDS 2000u

static const char *address;
static char path[64];
static struct nvme *v;
static struct nvme_counters counters;

/* --- the driver --------------------------------------------------------------------------------------------------- */

static void begin(void)
{
    struct nvme_port *port;
    char why[NVME_WHY_SIZE] = "";
    counters = (struct nvme_counters){0};
    int err = nvme_port_open(address, &port, why);
    if (err) fail_msg("%s", why);
    OK(nvme_new(&v, port, 1, address, &counters, clock_mono_ns(), why));
    while (v->state < NVME_LIVE) nvme_turn(v, clock_mono_ns());
    if (v->state != NVME_LIVE) fail_msg("%s", v->why);
}

static void end(void)
{
    nvme_shut(v);
    while (v->state < NVME_OFF) nvme_turn(v, clock_mono_ns());
    assert_int_equal(v->state, NVME_OFF);
    assert_int_equal(counters.unclean + counters.lies + counters.errors, 0);
    nvme_free(v);
}

static struct buf *piece_new(void)
{
    struct buf *b = alog_buf_new(PIECE);
    assert_non_null(b);
    return b;
}

/* Every word of the namespace is another one. */
static void fill(struct buf *b, uint64_t at)
{
    uint64_t *p = (uint64_t *)(void *)b->data;
    for (unsigned i = 0; i < PIECE / 8; i++) p[i] = (at + i * 8) * 0x9e3779b97f4a7c15u;
}

static unsigned wrong_words(const struct buf *b, uint64_t at)
{
    const uint64_t *p = (const uint64_t *)(const void *)b->data;
    unsigned wrong = 0;
    for (unsigned i = 0; i < PIECE / 8; i++) wrong += p[i] != (at + i * 8) * 0x9e3779b97f4a7c15u;
    return wrong;
}

/* Over n pieces, DEPTH at a time, each buffer with one request. reset_at: the piece at which the controller is. */
static void move(unsigned verb, uint64_t n, uint64_t reset_at, struct buf *b[DEPTH])
{
    uint64_t next = 0, ended = 0, places[DEPTH], free_bits = UINT32_MAX;
    while (ended < n) {
        for (; free_bits && next < n; next++) {
            unsigned i = (unsigned)__builtin_ctzll(free_bits);
            struct blockdev_request r = {.word = i, .at = next * PIECE, .buf = b[i], .n = PIECE, .verb = (uint8_t)verb};
            if (verb == BLOCKDEV_WRITE) fill(b[i], r.at);
            if (!v->base.ops->post(&v->base, &r, 1)) break;
            places[i] = r.at;
            free_bits &= ~((uint64_t)1 << i);
            if (next == reset_at) nvme_reset(v, "the test wants it");
        }
        nvme_turn(v, clock_mono_ns());
        struct blockdev_completion done[BLOCKDEV_BURST];
        unsigned k = v->base.ops->poll(&v->base, done, BLOCKDEV_BURST);
        for (unsigned i = 0; i < k; i++) {
            assert_int_equal(done[i].err, 0);
            if (verb == BLOCKDEV_READ) assert_int_equal(wrong_words(b[done[i].word], places[done[i].word]), 0);
            free_bits |= (uint64_t)1 << done[i].word;
        }
        ended += k;
    }
}

static void test_much_is_written_and_read_back_over_resets(void **state)
{
    const char *mb = getenv("NVME_MB");
    uint64_t bytes = (mb ? strtoull(mb, NULL, 10) : 8) << 20;
    struct buf *b[DEPTH];
    for (unsigned i = 0; i < DEPTH; i++) b[i] = piece_new();
    begin();
    assert_true(v->base.caps.request_max >= 4096);
    if (bytes > v->base.caps.size) bytes = v->base.caps.size;
    uint64_t n = bytes / PIECE;
    move(BLOCKDEV_WRITE, n, n / 2, b);
    assert_int_equal(counters.resets, 1);
    struct blockdev_request flush = {.verb = BLOCKDEV_FLUSH};
    struct blockdev_completion done;
    assert_int_equal(v->base.ops->post(&v->base, &flush, 1), 1);
    while (!v->base.ops->poll(&v->base, &done, 1)) nvme_turn(v, clock_mono_ns());
    assert_int_equal(done.err, 0);
    move(BLOCKDEV_READ, n, n / 2, b);
    assert_int_equal(counters.resets, 2);
    assert_int_equal(counters.bounced, 0);
    end();
    begin(); /* and by who comes next */
    move(BLOCKDEV_READ, n < 64 ? n : 64, n, b);
    end();
    for (unsigned i = 0; i < DEPTH; i++) buf_unref(b[i]);
}

static void test_it_is_opened_once(void **state)
{
    struct nvme_port *other;
    char why[NVME_WHY_SIZE] = "";
    begin();
    assert_int_equal(nvme_port_open(address, &other, why), -EBUSY);
    assert_true(strlen(why) > 10);
    end();
}

/* --- logs --------------------------------------------------------------------------------------------------------- */

static void make_logs(void)
{
    struct alog_plain p;
    struct alog_image im;
    char why[NVME_WHY_SIZE] = "";
    if (alog_plain_open_nvme(&p, address, why)) fail_msg("%s", why);
    OK(alog_image_format(&im, &p.store, p.store.size, 1 << 20));
    alog_image_fini(&im);
    alog_plain_close_nvme(&p);
}

/* Of 8 bytes of its number, and as many more as that says. */
static size_t make_record(uint64_t i, uint8_t *out)
{
    size_t n = 8 + i * 37 % 3000;
    memcpy(out, &i, 8);
    for (size_t k = 8; k < n; k++) out[k] = (uint8_t)(i + k);
    return n;
}

static demi_qtoken_t push_record(int qd, uint64_t i, unsigned flags)
{
    demi_qtoken_t qt;
    uint8_t bytes[4096];
    struct iovec iov = {bytes, make_record(i, bytes)};
    OK(demi_pushv(&qt, qd, &iov, 1, flags));
    return qt;
}

/* false: the log ends here. */
static bool pop_record(int qd, uint64_t i)
{
    demi_qtoken_t qt;
    uint8_t bytes[4096];
    OK(demi_pop(&qt, qd));
    demi_sgarray_t sga = wait_ok(qt, DEMI_OPC_POP).qr_value.sga;
    size_t n = sga.sga_segs[0].sgaseg_len;
    if (n) {
        assert_int_equal(n, make_record(i, bytes));
        assert_memory_equal(sga.sga_segs[0].sgaseg_buf, bytes, n);
    }
    OK(demi_sgafree(&sga));
    return n > 0;
}

static int log_open(void)
{
    int qd = -1;
    OK(demi_open(&qd, path, O_RDWR | O_CREAT, 0));
    return qd;
}

static void log_close(int qd)
{
    demi_qtoken_t qt;
    OK(demi_async_close(&qt, qd));
    wait_ok(qt, DEMI_OPC_CLOSE);
}

static uint64_t counter_value;
static const char *counter_name;
static void see_counter(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, counter_name)) counter_value = value;
}

static uint64_t counter_of(const char *name)
{
    counter_name = name;
    counter_value = UINT64_MAX;
    demi_counters(see_counter, NULL);
    return counter_value;
}

static void test_a_log_comes_back(void **state)
{
    make_logs();
    OK(test_setup(state));
    int qd = log_open();
    demi_qtoken_t qts[50];
    for (uint64_t i = 0; i < RECORDS; i += 50) {
        for (unsigned k = 0; k < 50; k++) qts[k] = push_record(qd, i + k, k == 49 ? DEMI_PUSH_DURABLE : 0);
        for (unsigned k = 0; k < 50; k++) wait_ok(qts[k], DEMI_OPC_PUSH);
    }
    assert_true(counter_of("nvme.writes") > 0);
    assert_true(counter_of("nvme.interrupts") > 0);
    log_close(qd);
    qd = log_open();
    for (uint64_t i = 0; i < RECORDS; i++) assert_true(pop_record(qd, i));
    assert_false(pop_record(qd, RECORDS));
    log_close(qd);
    assert_int_equal(counter_of("nvme.errors") + counter_of("nvme.resets") + counter_of("nvme.unclean"), 0);
    OK(test_teardown(state));
}

/* --- the power ---------------------------------------------------------------------------------------------------- */

static void append_for_ever(void)
{
    make_logs();
    OK(test_setup(NULL));
    int qd = log_open();
    for (uint64_t i = 0;; i++) {
        push_record(qd, 2 * i, 0);
        wait_ok(push_record(qd, 2 * i + 1, DEMI_PUSH_DURABLE), DEMI_OPC_PUSH);
        printf("%llu\n", (unsigned long long)(2 * i + 2));
        fflush(stdout);
    }
}

static int count_records(uint64_t least)
{
    OK(test_setup(NULL));
    int qd = log_open();
    uint64_t n = 0;
    while (pop_record(qd, n)) n++;
    log_close(qd);
    OK(test_teardown(NULL));
    printf("%llu records of %llu\n", (unsigned long long)n, (unsigned long long)least);
    return n < least;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_is_opened_once),
        cmocka_unit_test(test_much_is_written_and_read_back_over_resets),
        cmocka_unit_test(test_a_log_comes_back),
    };
    address = getenv("NVME_ADDRESS");
    if (!address) {
        address = STAND_IN;
        stand_in_begin(&(struct double_shape){.size = 32 << 20, .shift = 12, .volatile_cache = true});
    }
    snprintf(path, sizeof path, "log:nvme:%.20s#test", address);
    if (argc > 1 && !strcmp(argv[1], "append")) append_for_ever();
    if (argc > 2 && !strcmp(argv[1], "count")) return count_records(strtoull(argv[2], NULL, 10));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (d) double_free(d);
    return failed;
}
