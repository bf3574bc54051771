/* SPDX-License-Identifier: MIT
 *
 * Logs (demi_open("log:...")) on a simulated disk that loses power: several lives of a program that appends, syncs,
 * reads and trims two logs of one device. Whatever a crash leaves, what was acknowledged is there, in order, each
 * record as it was pushed last under its number, none that nobody pushed, and none that was trimmed before what was
 * asked for.
 */
#include "libos/log/format.h"
#include "tests/sim/disk.h"

enum { LOGS = 2, RECORDS_MAX = 3000, SEGMENTS = 10, LIVES = 4, AHEAD = 24, SEGMENT_BYTES = 64 << 10 };
enum { RECORD_BYTES_MAX = SEGMENT_BYTES - ALOG_BLOCK - ALOG_HEAD };
#define SEEDS 100 /* some five seconds */

struct log_ledger { /* of one log; records are numbered from 1 */
    uint32_t life[RECORDS_MAX], size[RECORDS_MAX];
    uint64_t offset[RECORDS_MAX];
    unsigned pushed, acked;          /* numbers */
    unsigned trim_acked, trim_asked; /* the first number that must, and the first that may be there */
};

struct logs_world {
    struct world *w;
    struct sim_disk *disk;
    struct sim_host *host;
    struct rng rng;
    unsigned life;
    bool is_dead, may_fail, ended, is_over;
    uint64_t found;
    struct log_ledger logs[LOGS];
};

struct pending { /* an operation that is out, in the order of starting */
    demi_qtoken_t qt;
    unsigned log, number; /* when it is done, that and all before are acknowledged */
    unsigned trim;        /* of a truncate: the first that is left */
};

struct program {
    struct logs_world *lw;
    int qd[LOGS];
    struct pending out[AHEAD];
    unsigned count;
};

/* --- records ------------------------------------------------------------------------------------------------------ */

static void record_fill(uint8_t *p, size_t n, unsigned log, unsigned number, uint32_t life)
{
    fill_pattern(p, n, log * 83 + number * 7 + life * 131);
    if (n < 16) return;
    memcpy(p, &number, 4);
    memcpy(p + 4, &life, 4);
}

static bool record_is(const uint8_t *p, size_t n, const struct log_ledger *l, unsigned log, unsigned number)
{
    static uint8_t want[RECORD_BYTES_MAX];
    if (number > l->pushed || n != l->size[number]) return false;
    record_fill(want, n, log, number, l->life[number]);
    return !memcmp(p, want, n);
}

static size_t some_size(struct rng *r)
{
    static const unsigned most[] = {8, 100, 100, 100, 5000, 20000};
    if (rng_below(r, 200) == 0) return RECORD_BYTES_MAX - rng_below(r, 3);
    return 1 + rng_below(r, most[rng_below(r, 6)]);
}

/* --- one life ----------------------------------------------------------------------------------------------------- */

/* The program's own failure is one of the test, unless its disk is dead, or may fail. */
static bool went_well(struct logs_world *lw, int err, const char *what)
{
    if (!err) return true;
    if (!lw->is_dead && !lw->may_fail) check(lw->w, false, "life %u: %s: %s", lw->life, what, strerror(err));
    return false;
}

/* Waits for the oldest operation. */
static bool settle_one(struct program *p)
{
    struct pending one = p->out[0];
    struct log_ledger *l = &p->lw->logs[one.log];
    memmove(p->out, p->out + 1, --p->count * sizeof *p->out);
    demi_qresult_t qr = wait_for(one.qt);
    if (qr.qr_opcode == DEMI_OPC_FAILED) return went_well(p->lw, (int)qr.qr_ret, "an operation");
    if (p->lw->is_dead) return false; /* it may have ended before the crash, but nobody was told */
    if (qr.qr_opcode == DEMI_OPC_PUSH) {
        l->offset[one.number] = (uint64_t)qr.qr_ret;
        CHECK(p->lw->w,
              one.number == 1 || l->offset[one.number - 1] < l->offset[one.number] || !l->offset[one.number - 1]);
    }
    if (one.number > l->acked) l->acked = one.number;
    if (one.trim > l->trim_acked) l->trim_acked = one.trim;
    return true;
}

static bool add_pending(struct program *p, struct pending one)
{
    if (p->count == AHEAD && !settle_one(p)) return false;
    p->out[p->count++] = one;
    return true;
}

static bool settle_all(struct program *p)
{
    while (p->count)
        if (!settle_one(p)) return false;
    return true;
}

/* All up to the number `first` may go. */
static bool trim(struct program *p, unsigned log, unsigned first)
{
    struct log_ledger *l = &p->lw->logs[log];
    struct pending one = {.log = log, .trim = first};
    if (first > l->trim_asked) l->trim_asked = first;
    int err = demi_truncate(&one.qt, p->qd[log], (off_t)l->offset[first]);
    return went_well(p->lw, err, "truncate") && add_pending(p, one);
}

/* A full device: what lies behind goes, then there is room. */
static bool make_room(struct program *p)
{
    if (!settle_all(p)) return false;
    for (unsigned i = 0; i < LOGS; i++) {
        struct log_ledger *l = &p->lw->logs[i];
        if (l->pushed && l->offset[l->pushed] && !trim(p, i, l->pushed)) return false;
    }
    return settle_all(p);
}

static bool push(struct program *p, unsigned log, bool durable)
{
    struct logs_world *lw = p->lw;
    struct log_ledger *l = &lw->logs[log];
    static uint8_t bytes[RECORD_BYTES_MAX];
    size_t n = some_size(&lw->rng);
    struct pending one = {.log = log, .number = l->pushed + 1};
    if (one.number == RECORDS_MAX) return false;
    record_fill(bytes, n, log, one.number, lw->life);
    struct iovec iov[2] = {{bytes, n / 2}, {bytes + n / 2, n - n / 2}};
    int err = EBUSY;
    for (int tries = 0; tries < 100 && (err == EBUSY || err == ENOSPC); tries++) {
        err = demi_pushv(&one.qt, p->qd[log], iov, 2, durable ? DEMI_PUSH_DURABLE : 0);
        if (err == ENOSPC && !make_room(p)) return false;
        if (err == EBUSY) sleep_ns(MS(20));
    }
    if (!went_well(lw, err, "push")) return false;
    l->pushed = one.number;
    l->life[one.number] = lw->life;
    l->size[one.number] = (uint32_t)n;
    l->offset[one.number] = 0;
    if (durable) return add_pending(p, one);
    demi_qresult_t qr = wait_for(one.qt); /* accepted: at once */
    if (qr.qr_opcode == DEMI_OPC_FAILED) return went_well(lw, (int)qr.qr_ret, "an accepted push");
    l->offset[one.number] = (uint64_t)qr.qr_ret;
    return true;
}

static bool sync_log(struct program *p, unsigned log)
{
    struct pending one = {.log = log, .number = p->lw->logs[log].pushed};
    return went_well(p->lw, demi_sync(&one.qt, p->qd[log], true), "sync") && add_pending(p, one);
}

/* Reads from the first record on; *last is the number of the last one. */
static bool read_all(struct program *p, unsigned log, unsigned *first, unsigned *last)
{
    struct logs_world *lw = p->lw;
    struct log_ledger *l = &lw->logs[log];
    unsigned number = 0;
    *first = *last = 0;
    for (;;) {
        demi_qtoken_t qt;
        if (!went_well(lw, demi_pop(&qt, p->qd[log]), "pop")) return false;
        demi_qresult_t qr = wait_for(qt);
        if (qr.qr_opcode != DEMI_OPC_POP) return went_well(lw, (int)qr.qr_ret, "a pop");
        demi_sgarray_t sga = qr.qr_value.sga;
        size_t n = sga.sga_segs[0].sgaseg_len;
        const uint8_t *bytes = sga.sga_segs[0].sgaseg_buf;
        if (n && !number) { /* which one is it? */
            unsigned least = l->trim_acked ? l->trim_acked : 1, most = l->trim_asked ? l->trim_asked : 1;
            for (unsigned i = least; i <= most && !number; i++)
                if (l->offset[i] == (uint64_t)qr.qr_ret && record_is(bytes, n, l, log, i)) number = *first = i;
        } else if (n) {
            number++;
        }
        bool good = !n || (number && record_is(bytes, n, l, log, number));
        check(lw->w, good,
              "life %u, log %u: %zu bytes at %lld are not record %u of %u, trimmed at %u to %u (offset %llu)", lw->life,
              log, n, (long long)qr.qr_ret, number, l->pushed, l->trim_acked, l->trim_asked,
              (unsigned long long)l->offset[l->trim_asked]);
        if (good && n) l->offset[number] = (uint64_t)qr.qr_ret;
        demi_sgafree(&sga);
        if (!good) return false;
        if (!n) break;
        *last = number;
        lw->found++;
    }
    return true;
}

/* What a life finds when it begins. */
static bool recover(struct program *p, unsigned log)
{
    struct logs_world *lw = p->lw;
    struct log_ledger *l = &lw->logs[log];
    unsigned first, last;
    if (!read_all(p, log, &first, &last)) return false;
    if (!last) { /* nothing is there: all that was acknowledged is trimmed */
        bool fine = l->acked < (l->trim_asked ? l->trim_asked : 1);
        check(lw->w, fine, "life %u, log %u: empty, acknowledged up to %u, trimmed at %u", lw->life, log, l->acked,
              l->trim_asked);
        if (!fine) return false;
        last = l->trim_asked > l->acked ? l->trim_asked - 1 : l->acked;
    }
    check(lw->w, last >= l->acked, "life %u, log %u: acknowledged up to %u, there up to %u", lw->life, log, l->acked,
          last);
    l->pushed = l->acked = last;
    if (l->trim_asked > last + 1) l->trim_asked = last + 1;
    if (first > l->trim_acked) l->trim_acked = first;
    return true;
}

/* 0 or -errno. */
static int64_t seek_first(int qd, off_t offset)
{
    int64_t at = seek_to(qd, offset, SEEK_SET);
    return at < 0 ? at : 0;
}

static bool act(struct program *p)
{
    struct rng *r = &p->lw->rng;
    unsigned log = (unsigned)rng_below(r, LOGS), first, last;
    struct log_ledger *l = &p->lw->logs[log];
    switch (rng_below(r, 16)) {
    case 0: return sync_log(p, log);
    case 1: return p->count ? settle_one(p) : true;
    case 2: return settle_all(p);
    case 3: sleep_ns(rng_below(r, MS(15))); return true;
    case 4:
        if (l->pushed < 20 || rng_below(r, 3)) return true;
        first = l->pushed - (unsigned)rng_below(r, 15);
        return !l->offset[first] || trim(p, log, first);
    case 5:
        if (rng_below(r, 8) || !l->pushed) return true;
        if (!settle_all(p)) return false;
        first = l->trim_asked ? l->trim_asked : 1;
        if (first > l->pushed) return true; /* what it was has not been kept */
        if (!went_well(p->lw, -(int)seek_first(p->qd[log], (off_t)l->offset[first]), "seek")) return false;
        if (!read_all(p, log, &first, &last)) return false;
        if (p->lw->is_dead || p->lw->may_fail) return true; /* what was accepted may not have been written */
        CHECK_EQUAL(p->lw->w, last, l->pushed);
        return true;
    case 6:
    case 7:
    case 8: return push(p, log, false);
    default: return push(p, log, true);
    }
}

static bool open_logs(struct program *p)
{
    static const char *const paths[LOGS] = {"log:dev#one", "log:dev#two"};
    for (unsigned i = 0; i < LOGS; i++)
        if (!went_well(p->lw, demi_open(&p->qd[i], paths[i], O_RDWR | O_CREAT, 0600), "open")) return false;
    return true;
}

static int live(void *arg)
{
    struct logs_world *lw = arg;
    struct program p = {.lw = lw, .qd = {-1, -1}};
    bool good = open_logs(&p);
    for (unsigned i = 0; good && i < LOGS; i++) good = recover(&p, i);
    for (unsigned turns = 200 + (unsigned)rng_below(&lw->rng, 200); good && turns; turns--) good = act(&p);
    if (good) settle_all(&p);
    while (p.count) wait_for(p.out[--p.count].qt); /* of a dead disk */
    for (unsigned i = 0; i < LOGS; i++)
        if (p.qd[i] >= 0) close_file(p.qd[i]);
    lw->ended = true;
    return 0;
}

/* --- lives -------------------------------------------------------------------------------------------------------- */

static void next_life(void *arg);

static void power_fails(void *arg)
{
    struct logs_world *lw = arg;
    if (!lw->ended) {
        lw->is_dead = true;
        sim_host_crash(lw->host);
    }
    sim_at(lw->w->sim, sim_now(lw->w->sim) + SEC(1), next_life, lw);
}

static void next_life(void *arg)
{
    struct logs_world *lw = arg;
    if (!sim_host_ended(lw->host)) {
        sim_at(lw->w->sim, sim_now(lw->w->sim) + SEC(1), next_life, lw);
        return;
    }
    lw->is_over = ++lw->life > LIVES || lw->w->failure[0];
    if (lw->is_over) return;
    lw->is_dead = lw->ended = false;
    lw->host = sim_host_add(lw->w->sim, "10.0.0.1", live, lw);
    sim_host_mount(lw->host, lw->disk);
    uint64_t most = lw->life == LIVES ? SEC(600) : rng_below(&lw->rng, 3) ? MS(300) : SEC(3);
    sim_at(lw->w->sim, sim_now(lw->w->sim) + 1 + rng_below(&lw->rng, most), power_fails, lw);
}

/* A simulation lasts as long as somebody runs. */
static int keep_awake(void *arg)
{
    const struct logs_world *lw = arg;
    while (!lw->is_over) sleep_ns(SEC(1));
    return 0;
}

/* A small device, as demi-log would make it. */
static void make_device(struct sim_disk *disk, uint64_t seed)
{
    size_t size = ALOG_START + SEGMENTS * SEGMENT_BYTES;
    uint8_t *bytes = calloc(1, size);
    struct alog_super s;
    assert_non_null(bytes);
    assert_true(alog_super_plan(&s, size, SEGMENT_BYTES));
    memcpy(s.uuid, &seed, sizeof seed);
    alog_super_write(&s, bytes + ALOG_BLOCK);
    s.generation++;
    alog_super_write(&s, bytes);
    assert_int_equal(sim_disk_put(disk, "dev", bytes, size), 0);
    free(bytes);
}

static struct logs_world *logs_world_add(struct world *w, bool makes_it)
{
    struct logs_world *lw = w->state = calloc(1, sizeof *lw);
    struct sim_disk_settings set = sim_disk_random(w->sim);
    set.stall_ppm = 0;
    rng_seed(&lw->rng, hash_u64(5, w->seed));
    lw->w = w;
    lw->disk = sim_disk_new(w->sim, &set);
    if (!makes_it) make_device(lw->disk, w->seed);
    lw->life = 1;
    lw->host = sim_host_add(w->sim, "10.0.0.1", live, lw);
    sim_host_mount(lw->host, lw->disk);
    sim_host_add(w->sim, "10.0.0.9", keep_awake, lw);
    uint64_t most = makes_it ? SEC(3) : MS(500);
    sim_at(w->sim, SIM_START_NS + rng_below(&lw->rng, most), power_fails, lw);
    return lw;
}

static void set_up_cuts(struct world *w) { logs_world_add(w, false); }

/* The device is made by the program, and the power may fail while it does. */
static void set_up_made(struct world *w) { logs_world_add(w, true); }

/* Kernels whose syncs fail: what was told is there, and nothing goes on behind an error. */
static void set_up_faults(struct world *w)
{
    struct logs_world *lw = logs_world_add(w, false);
    struct sim_disk_settings set = sim_disk_random(w->sim);
    set.stall_ppm = 0;
    set.write_eio_ppm = (uint32_t)rng_below(&lw->rng, 5000);
    set.sync_eio_ppm = (uint32_t)rng_below(&lw->rng, 5000);
    lw->may_fail = true;
    sim_disk_set(lw->disk, &set);
}

static void verify_lives(struct world *w)
{
    const struct logs_world *lw = w->state;
    CHECK(w, lw->life > LIVES || w->failure[0]);
}

static void test_what_was_acknowledged_is_there_after_power_cuts(void **state)
{
    run_seeds(&(struct scenario){"power cuts", set_up_cuts, verify_lives, SEC(7200)}, SEEDS);
}

static void test_a_device_that_is_made_while_the_power_fails(void **state)
{
    if (getenv("SIM_SEEDS") && !getenv("SIM_ONLY")) skip(); /* a second each: its file has 64 MiB */
    run_seeds(&(struct scenario){"made", set_up_made, verify_lives, SEC(7200)}, 4);
}

static void test_what_was_acknowledged_is_there_though_syncs_fail(void **state)
{
    run_seeds(&(struct scenario){"failing syncs", set_up_faults, verify_lives, SEC(7200)}, SEEDS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_acknowledged_is_there_after_power_cuts),
        cmocka_unit_test(test_what_was_acknowledged_is_there_though_syncs_fail),
        cmocka_unit_test(test_a_device_that_is_made_while_the_power_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
