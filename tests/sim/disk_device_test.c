/* SPDX-License-Identifier: MIT
 *
 * The whole server with its append-only file on log queues (aof-device), on a simulated disk: as disk_server_test.c has
 * it with files. A log needs no repair after a crash, whatever that kept; so none is made, and a start that is refused
 * on a good disk is a fault. The device is small, so that it is rewritten, and at times full.
 */
#include "libos/log/format.h"
#include "tests/sim/lives.h"

#define DEVICE        "aof-device log:aof.log#aof\n"
#define ALWAYS        "appendonly yes\nappendfsync always\n" DEVICE
#define EVERYSEC      "appendonly yes\nappendfsync everysec\n" DEVICE
#define NO            "appendonly yes\nappendfsync no\n" DEVICE
#define SEGMENT_BYTES ALOG_SEGMENT_MIN

static void make_log(struct lives *l, uint64_t seed, unsigned segments)
{
    uint64_t size = ALOG_START + (uint64_t)segments * SEGMENT_BYTES;
    uint8_t *bytes = calloc(1, size);
    struct alog_super s;
    assert_non_null(bytes);
    assert_true(alog_super_plan(&s, size, SEGMENT_BYTES));
    memcpy(s.uuid, &seed, sizeof seed);
    alog_super_write(&s, bytes + ALOG_BLOCK);
    s.generation++;
    alog_super_write(&s, bytes);
    assert_int_equal(sim_disk_put(l->disk, "aof.log", (const char *)bytes, size), 0);
    free(bytes);
}

static struct lives *log_lives(struct world *w, const char *conf, unsigned operations)
{
    static const uint64_t plays[] = {MS(500), SEC(5), SEC(12)}, between[] = {MS(100), SEC(1), SEC(8)};
    static const char *const more[] = {
        "",
        "aof-use-rdb-preamble no\n",
        "aof-timestamp-enabled yes\n",
        "auto-aof-rewrite-min-size 3000\nauto-aof-rewrite-percentage 50\n",
        "aof-use-rdb-preamble no\nauto-aof-rewrite-min-size 3000\naof-load-truncated yes\n",
    };
    struct lives *l = w->state = calloc(1, sizeof *l);
    struct rng *r = sim_rng(w->sim);
    *l = (struct lives){.life_count = 2 + (int)rng_below(r, 3),
                        .player_count = 1 + (int)rng_below(r, PLAYERS_MAX),
                        .batch_max = 1 + (int)rng_below(r, BATCH_MAX),
                        .play_ns = plays[rng_below(r, 3)],
                        .operation_ns = between[rng_below(r, 3)],
                        .large_max = rng_below(r, 3) ? 200 : 20000,
                        .operations = operations,
                        .may_shut_down = true};
    rng_seed(&l->rng, hash_u64(6, w->seed));
    snprintf(l->conf_text, sizeof l->conf_text, "%s%s", conf, more[rng_below(&l->rng, sizeof more / sizeof *more)]);
    l->conf = l->conf_text;
    l->good = sim_disk_random(w->sim);
    l->good.jitter_ns++; /* it was drawn */
    l->good.any_sectors = rng_below(r, 2);
    l->good.any_names = rng_below(r, 2);
    lives_add(w, l);
    make_log(l, w->seed, 20 + (unsigned)rng_below(r, 100));
    return l;
}

static void verify(struct world *w)
{
    struct lives *l = w->state;
    if (getenv("SIM_TELL"))
        fprintf(stderr,
                "# seed %llu: %u boots, %u loads, %u crashes, %u exits, %u troubles, %u recoveries, %llu deeds, "
                "%llu lost, %llu refused\n",
                (unsigned long long)w->seed, l->boots, l->loads, l->crashes, l->exits, l->troubles, l->recoveries,
                (unsigned long long)l->deeds, (unsigned long long)l->lost, (unsigned long long)l->refused);
    CHECK(w, l->loads > 0);
    lives_free(l);
}

static void set_up_always(struct world *w) { log_lives(w, ALWAYS, OPERATION_REWRITE); }

static void test_always_loses_nothing_that_was_acknowledged(void **state)
{
    run_seeds(&(struct scenario){"device: always", set_up_always, verify, SEC(36000)}, 30);
}

static void set_up_everysec(struct world *w) { log_lives(w, EVERYSEC, OPERATION_REWRITE); }

static void test_everysec_loses_two_seconds_at_most(void **state)
{
    run_seeds(&(struct scenario){"device: everysec", set_up_everysec, verify, SEC(36000)}, 30);
}

static void set_up_switches(struct world *w)
{
    static const char *const confs[] = {ALWAYS, EVERYSEC, NO};
    log_lives(w, confs[w->seed % 3], OPERATION_REWRITE | OPERATION_SWITCH | OPERATION_BGSAVE);
}

static void test_a_log_that_is_switched_off_and_on_is_a_prefix_of_history(void **state)
{
    run_seeds(&(struct scenario){"device: switches", set_up_switches, verify, SEC(36000)}, 30);
}

/* --- a disk that goes bad ----------------------------------------------------------------------------------------- */

static void go_bad(struct lives *l)
{
    struct sim_disk_settings set = l->good;
    uint64_t now = sim_now(l->w->sim);
    uint32_t ppm = rng_below(&l->rng, 2) ? 1000000 : (uint32_t)rng_below(&l->rng, 300000);
    l->troubles++;
    if (!l->trouble_ns) l->trouble_ns = now;
    switch (rng_below(&l->rng, 4)) {
    case 0: set.write_eio_ppm = ppm; break;
    case 1: set.sync_eio_ppm = ppm; break;
    case 2: set.read_eio_ppm = set.write_eio_ppm = set.open_eio_ppm = ppm; break;
    default:
        sim_disk_fail_nth(l->disk, 1 + rng_below(&l->rng, 60), EIO);
        l->bad_until_ns = now + SEC(1);
        return;
    }
    sim_disk_set(l->disk, &set);
    l->bad = true;
    l->bad_until_ns = now + rng_below(&l->rng, SEC(4));
}

static void now_and_then_bad(struct lives *l)
{
    if (sim_now(l->w->sim) < l->bad_until_ns) return;
    if (l->bad) {
        disk_is_good(l);
        l->bad_until_ns = sim_now(l->w->sim) + rng_below(&l->rng, SEC(2));
    } else if (rng_below(&l->rng, 60) == 0) {
        go_bad(l);
    }
}

static void set_up_bad(struct world *w)
{
    struct lives *l = log_lives(w, w->seed % 2 ? ALWAYS : EVERYSEC, OPERATION_REWRITE);
    l->batch_max = 1; /* what is refused stands alone */
    l->trouble = now_and_then_bad;
}

static void test_promises_are_kept_on_a_bad_disk(void **state)
{
    run_seeds(&(struct scenario){"device: bad", set_up_bad, verify, SEC(360000)}, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_always_loses_nothing_that_was_acknowledged),
        cmocka_unit_test(test_everysec_loses_two_seconds_at_most),
        cmocka_unit_test(test_a_log_that_is_switched_off_and_on_is_a_prefix_of_history),
        cmocka_unit_test(test_promises_are_kept_on_a_bad_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
