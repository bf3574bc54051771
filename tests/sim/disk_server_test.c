/* SPDX-License-Identifier: MIT
 *
 * The whole server on a simulated disk: what was acknowledged is there after any crash as far as was promised, what is
 * there is a state that existed, and what cannot be that is refused. lives.h says how it is known.
 */
#include "tests/sim/lives.h"

static struct lives *lives_new(struct world *w)
{
    static const uint64_t plays[] = {MS(500), SEC(5), SEC(12)}, operations[] = {MS(100), SEC(1), SEC(8)};
    struct lives *l = w->state = calloc(1, sizeof *l);
    struct rng *r = sim_rng(w->sim);
    *l = (struct lives){.life_count = 2 + (int)rng_below(r, 3),
                        .player_count = 1 + (int)rng_below(r, PLAYERS_MAX),
                        .batch_max = 1 + (int)rng_below(r, BATCH_MAX),
                        .play_ns = plays[rng_below(r, 3)],
                        .operation_ns = operations[rng_below(r, 3)],
                        .large_max = rng_below(r, 3) ? 200 : 20000,
                        .may_shut_down = true};
    rng_seed(&l->rng, hash_u64(4, w->seed));
    return l;
}

static void verify(struct world *w)
{
    struct lives *l = w->state;
    if (getenv("SIM_TELL"))
        fprintf(stderr,
                "# seed %llu: %u boots, %u loads, %u crashes, %u shutdowns, %u repairs, %u refusals, %u exits, "
                "%u troubles, %u recoveries, %llu deeds, %llu lost, %llu refused\n",
                (unsigned long long)w->seed, l->boots, l->loads, l->crashes, l->shutdowns, l->repairs, l->refusals,
                l->exits, l->troubles, l->recoveries, (unsigned long long)l->deeds, (unsigned long long)l->lost,
                (unsigned long long)l->refused);
    CHECK(w, l->loads > 0);
    lives_free(l);
}

/* The disk of a scenario: of chance, and a crash keeps what was done up to a moment, or any of it. */
static void draw_disk(struct world *w, struct lives *l, bool any)
{
    l->good = sim_disk_random(w->sim);
    l->good.jitter_ns++; /* it was drawn */
    l->good.any_sectors = any;
    l->good.any_names = rng_below(sim_rng(w->sim), 2);
    l->may_need_repair = any;
}

/* What does not change a promise, by the seed: a log looks different, or is rewritten more often. */
static void take_conf(struct lives *l, const char *conf)
{
    static const char *const more[] = {
        "",
        "",
        "aof-use-rdb-preamble no\n",
        "aof-timestamp-enabled yes\n",
        "auto-aof-rewrite-min-size 3000\nauto-aof-rewrite-percentage 50\n",
        "aof-timestamp-enabled yes\naof-use-rdb-preamble no\nauto-aof-rewrite-min-size 3000\n",
        "aof-rewrite-incremental-fsync no\nrdbcompression no\n",
        "rdb-version 10\nrdb-save-incremental-fsync no\n",
    };
    snprintf(l->conf_text, sizeof l->conf_text, "%s%s", conf, more[rng_below(&l->rng, sizeof more / sizeof more[0])]);
    l->conf = l->conf_text;
}

static struct lives *log_lives(struct world *w, const char *conf, unsigned operations, bool any)
{
    struct lives *l = lives_new(w);
    take_conf(l, conf);
    l->operations = operations;
    draw_disk(w, l, any);
    lives_add(w, l);
    return l;
}

#define ALWAYS   "appendonly yes\nappendfsync always\n"
#define EVERYSEC "appendonly yes\nappendfsync everysec\n"

static void set_up_always(struct world *w) { log_lives(w, ALWAYS, OPERATION_REWRITE, false); }

static void test_always_loses_nothing_that_was_acknowledged(void **state)
{
    run_seeds(&(struct scenario){"always", set_up_always, verify, SEC(36000)}, 30);
}

static void set_up_everysec(struct world *w) { log_lives(w, EVERYSEC, OPERATION_REWRITE, false); }

static void test_everysec_loses_two_seconds_at_most(void **state)
{
    run_seeds(&(struct scenario){"everysec", set_up_everysec, verify, SEC(36000)}, 30);
}

static void set_up_no(struct world *w) { log_lives(w, "appendonly yes\nappendfsync no\n", OPERATION_REWRITE, false); }

static void test_without_syncs_it_is_a_prefix_of_history(void **state)
{
    run_seeds(&(struct scenario){"no syncs", set_up_no, verify, SEC(36000)}, 20);
}

/* Zeroes within a string are the string's to who reads it: no sector, then, lies within one. */
static void small_strings(struct lives *l)
{
    for (int i = 0; i < l->player_count; i++) l->players[i].base.large_max = 60;
}

/* Any sectors of what was not synced: there may be zeroes in the middle of the tail, which are refused, and cut by who
 * runs the server. */
static void set_up_any(struct world *w)
{
    static const char *const confs[] = {ALWAYS, EVERYSEC, "appendonly yes\nappendfsync no\n",
                                        ALWAYS "aof-load-truncated no\n"};
    struct lives *l = log_lives(w, confs[w->seed % 4], OPERATION_REWRITE | OPERATION_SWITCH, true);
    small_strings(l);
}

static void test_any_sectors_of_the_tail_may_be_there(void **state)
{
    run_seeds(&(struct scenario){"any sectors", set_up_any, verify, SEC(36000)}, 30);
}

static void set_up_switches(struct world *w)
{
    log_lives(w, w->seed % 2 ? ALWAYS : EVERYSEC,
              OPERATION_REWRITE | OPERATION_SWITCH | OPERATION_SAVE | OPERATION_BGSAVE, false);
}

static void test_a_log_that_is_switched_off_and_on_is_a_prefix_of_history(void **state)
{
    run_seeds(&(struct scenario){"switches", set_up_switches, verify, SEC(36000)}, 30);
}

static void set_up_rdb(struct world *w)
{
    static const char *const confs[] = {"save 1 1\n", "save 1 1\nrdbcompression no\n", "save 3600 1\n"};
    log_lives(w, confs[w->seed % 3], OPERATION_SAVE | OPERATION_BGSAVE, w->seed % 2)->may_need_repair = false;
}

static void test_a_saved_state_is_one_that_existed(void **state)
{
    run_seeds(&(struct scenario){"saves", set_up_rdb, verify, SEC(36000)}, 30);
}

/* Who runs the server has it begin with a log as soon as there is a whole one. */
static void boot_with_log(struct lives *l)
{
    if (l->log_was_on && !strstr(l->conf, "appendonly yes")) take_conf(l, ALWAYS);
}

static void set_up_begins(struct world *w)
{
    struct lives *l = log_lives(w, "save 3600 1\nappendfsync always\n",
                                OPERATION_BEGIN | OPERATION_REWRITE | OPERATION_SAVE | OPERATION_BGSAVE, false);
    l->before_boot = boot_with_log;
}

static void test_a_log_that_is_begun_has_all(void **state)
{
    run_seeds(&(struct scenario){"begins", set_up_begins, verify, SEC(36000)}, 30);
}

/* --- files that are not as they were written ---------------------------------------------------------------------- */

/* Of the snapshot that a boot loads; empty: there is none. */
static void snapshot_path(const struct lives *l, char path[600])
{
    struct aof_manifest m;
    snprintf(path, 600, "dump.rdb");
    if (!strstr(l->conf, "appendonly yes")) return;
    *path = 0;
    if (read_manifest(l, &m) && aof_manifest_base(&m) && strstr(aof_manifest_base(&m)->name, ".rdb"))
        snprintf(path, 600, "appendonlydir/%s", aof_manifest_base(&m)->name);
    aof_manifest_fini(&m);
}

#define RDB_HEAD 9 /* "REDIS0011" */

/* Another bit, another sector, or an early end. The version is left alone: 1 is one, too, and knows no checksum. */
static size_t damage(struct rng *r, char *bytes, size_t n)
{
    size_t sectors = n / SIM_DISK_SECTOR, from = rng_below(r, sectors + 1), to = rng_below(r, sectors + 1);
    char *p = bytes + from * SIM_DISK_SECTOR, *q = bytes + to * SIM_DISK_SECTOR;
    bool may_copy = from < sectors && to < sectors && memcmp(p, q, SIM_DISK_SECTOR) != 0;
    if (rng_below(r, 3) == 0) return (size_t)rng_below(r, n);
    if (may_copy && rng_below(r, 2)) memcpy(q, p, SIM_DISK_SECTOR);
    else bytes[RDB_HEAD + rng_below(r, n - RDB_HEAD)] ^= (char)(1 << rng_below(r, 8));
    return n;
}

/* A snapshot that was damaged is refused, and is what it was when it is as it was. */
static void boot_with_damage(struct lives *l)
{
    char path[600];
    struct link link;
    size_t n = 0;
    snapshot_path(l, path);
    const char *bytes = *path ? sim_disk_bytes(l->disk, path, &n) : NULL;
    if (n <= RDB_HEAD) return;
    char *copy = malloc(2 * n);
    memcpy(copy, bytes, n);
    memcpy(copy + n, bytes, n);
    sim_disk_put(l->disk, path, copy, damage(&l->rng, copy, n));
    bool ready = boot_up(l, &link);
    link_close(&link);
    check(l->w, !ready && sim_host_ended(l->host) && l->server.exit_code == 1,
          "a damaged snapshot: ready %d, ended %d, exit code %d", ready, sim_host_ended(l->host), l->server.exit_code);
    power_off(l);
    sim_disk_put(l->disk, path, copy + n, n);
    free(copy);
    l->refusals++;
}

/* What a disk says wrongly is refused, or it was not asked; what it has stays. */
static void boot_with_lies(struct lives *l)
{
    struct sim_disk_settings set = l->good;
    struct link link;
    set.corrupt_ppm = (uint32_t)rng_below(&l->rng, 500000);
    set.misdirect_ppm = (uint32_t)rng_below(&l->rng, 500000);
    sim_disk_set(l->disk, &set);
    bool ready = boot_up(l, &link);
    if (ready) look(l, &link);
    link_close(&link);
    power_off(l);
    l->refusals += !ready;
    disk_is_good(l);
}

static void spoil(struct lives *l)
{
    if (rng_below(&l->rng, 2)) boot_with_damage(l);
    else boot_with_lies(l);
}

static void set_up_spoiled(struct world *w)
{
    log_lives(w, "save 1 1\n", OPERATION_SAVE | OPERATION_BGSAVE, false)->before_boot = spoil;
}

static void test_a_snapshot_that_was_spoiled_is_refused(void **state)
{
    run_seeds(&(struct scenario){"spoiled", set_up_spoiled, verify, SEC(36000)}, 30);
}

static void set_up_spoiled_base(struct world *w)
{
    log_lives(w, ALWAYS, OPERATION_REWRITE, false)->before_boot = boot_with_damage;
}

static void test_a_base_that_was_spoiled_is_refused(void **state)
{
    run_seeds(&(struct scenario){"base spoiled", set_up_spoiled_base, verify, SEC(36000)}, 30);
}

/* --- a disk that goes bad ----------------------------------------------------------------------------------------- */

/* For a while, or for one operation. */
static void go_bad(struct lives *l)
{
    struct sim_disk_settings set = l->good;
    uint64_t now = sim_now(l->w->sim);
    uint32_t ppm = rng_below(&l->rng, 2) ? 1000000 : (uint32_t)rng_below(&l->rng, 300000);
    l->troubles++;
    if (!l->trouble_ns) l->trouble_ns = now;
    switch (rng_below(&l->rng, 6)) {
    case 0: set.write_eio_ppm = ppm; break;
    case 1: set.sync_eio_ppm = ppm; break;
    case 2: set.name_eio_ppm = set.open_eio_ppm = ppm; break;
    case 3: set.read_eio_ppm = set.write_eio_ppm = ppm; break; /* and syncs alone, lest nothing can be cut off */
    case 4: set.space = sim_disk_used(l->disk) + rng_below(&l->rng, 5000); break;
    default:
        sim_disk_fail_nth(l->disk, 1 + rng_below(&l->rng, 60), rng_below(&l->rng, 2) ? EIO : ENOSPC);
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

static struct lives *set_up_bad(struct world *w, const char *conf, unsigned operations)
{
    struct lives *l = lives_new(w);
    take_conf(l, conf);
    l->operations = operations;
    l->batch_max = 1; /* what is refused stands alone */
    l->trouble = now_and_then_bad;
    draw_disk(w, l, false);
    l->may_need_repair = true;
    lives_add(w, l);
    return l;
}

static void set_up_bad_always(struct world *w) { small_strings(set_up_bad(w, ALWAYS, OPERATION_REWRITE)); }

static void test_always_keeps_its_promise_on_a_bad_disk(void **state)
{
    run_seeds(&(struct scenario){"bad: always", set_up_bad_always, verify, SEC(360000)}, 30);
}

static void set_up_bad_everysec(struct world *w) { small_strings(set_up_bad(w, EVERYSEC, OPERATION_REWRITE)); }

static void test_everysec_keeps_its_promise_until_the_disk_is_bad(void **state)
{
    run_seeds(&(struct scenario){"bad: everysec", set_up_bad_everysec, verify, SEC(360000)}, 30);
}

static void set_up_bad_saves(struct world *w) { set_up_bad(w, "save 1 1\n", OPERATION_SAVE | OPERATION_BGSAVE); }

static void test_a_save_that_fails_leaves_the_one_before(void **state)
{
    run_seeds(&(struct scenario){"bad: saves", set_up_bad_saves, verify, SEC(360000)}, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_always_loses_nothing_that_was_acknowledged),
        cmocka_unit_test(test_everysec_loses_two_seconds_at_most),
        cmocka_unit_test(test_without_syncs_it_is_a_prefix_of_history),
        cmocka_unit_test(test_any_sectors_of_the_tail_may_be_there),
        cmocka_unit_test(test_a_log_that_is_switched_off_and_on_is_a_prefix_of_history),
        cmocka_unit_test(test_a_saved_state_is_one_that_existed),
        cmocka_unit_test(test_a_log_that_is_begun_has_all),
        cmocka_unit_test(test_a_snapshot_that_was_spoiled_is_refused),
        cmocka_unit_test(test_a_base_that_was_spoiled_is_refused),
        cmocka_unit_test(test_always_keeps_its_promise_on_a_bad_disk),
        cmocka_unit_test(test_everysec_keeps_its_promise_until_the_disk_is_bad),
        cmocka_unit_test(test_a_save_that_fails_leaves_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
