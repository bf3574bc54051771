/* SPDX-License-Identifier: MIT
 *
 * TxnStore (demi/examples/txnstore): three replicas with disks and several clients, over a network that loses,
 * doubles and delays, is cut in both directions or in one, while replicas lose power and come back. Whatever happens
 * the history is strictly serialisable (history.h), nothing that was told as committed is lost, and all replicas end
 * alike. The checker itself is shown histories that are not.
 */
#include "tests/sim/disk.h"

#include "demi/examples/txnstore/replica.h"
#include "demi/examples/txnstore/txn.h"
#include "libos/log/format.h"
#include "tests/sim/history.h"

enum { CLIENTS = 4, LIVES_MAX = 40, KEYS = 9, SEGMENTS = 20, SEGMENT_BYTES = 64 << 10, VALUE_BYTES = 200 };
#define SEEDS 40

struct store_life { /* a replica from a start to its end */
    struct store_world *sw;
    unsigned id;
    struct txn_options o;
    volatile sig_atomic_t stop;
    struct sim_host *host;
};

struct store_player {
    struct store_world *sw;
    unsigned id, txns_left;
    struct sim_host *host;
    struct txn_client t;
};

struct store_world {
    struct world *w;
    struct rng rng;
    struct sim_disk *disks[TXN_REPLICAS];
    struct store_life lives[LIVES_MAX], *now[TXN_REPLICAS];
    unsigned life_count, playing;
    bool may_fail, is_calm, is_over;
    struct store_player players[CLIENTS + 1]; /* the last one looks at the end */
    uint64_t values, in_step_ns;
    struct history history;
};

static struct sockaddr_in replica_address(unsigned i)
{
    char host[16];
    snprintf(host, sizeof host, "10.0.0.%u", i + 1);
    return address(host, 7100);
}

/* --- replicas ----------------------------------------------------------------------------------------------------- */

static void replica_says(void *arg, const char *line)
{
    struct store_life *l = arg;
    if (getenv("SIM_TELL")) fprintf(stderr, "# %.3f s: %s\n", (double)sim_now(l->sw->w->sim) / 1e9, line);
    if (!l->stop && !l->sw->may_fail)
        check(l->sw->w, !strstr(line, "cannot be used") && !strstr(line, "no more"), "%s", line);
}

static int replica_lives(void *arg)
{
    struct store_life *l = arg;
    txn_replica_run(&l->o);
    return 0;
}

static void replica_start(struct store_world *sw, unsigned id)
{
    struct store_life *l = &sw->lives[sw->life_count++];
    char host[16];
    snprintf(host, sizeof host, "10.0.0.%u", id + 1);
    *l = (struct store_life){.sw = sw, .id = id, .o = TXN_OPTIONS_DEFAULT};
    for (unsigned i = 0; i < TXN_REPLICAS; i++) l->o.replicas[i] = replica_address(i);
    l->o.id = id;
    l->o.log_path = "dev";
    l->o.create = true; /* the power may have failed before the log was made */
    l->o.keys_max = 64;
    l->o.entries_max = 64;
    l->o.checkpoint_bytes = 256 << 10;
    l->o.seed = sw->w->seed * 31 + sw->life_count;
    l->o.stop = &l->stop;
    l->o.say = replica_says;
    l->o.arg = l;
    l->host = sim_host_add(sw->w->sim, host, replica_lives, l);
    sim_host_mount(l->host, sw->disks[id]);
    sw->now[id] = l;
}

static void device_make(struct sim_disk *disk, uint64_t seed)
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

/* --- clients ------------------------------------------------------------------------------------------------------ */

static bool client_begin(struct store_player *p)
{
    struct txn_client_options o = {.seed = p->sw->w->seed * 1000 + p->id, .retry_ns = MS(40), .patience_ns = SEC(1)};
    for (unsigned i = 0; i < TXN_REPLICAS; i++) o.replicas[i] = replica_address(i);
    return CHECK_EQUAL(p->sw->w, txn_open(&p->t, &o), 0);
}

static int read_one(struct store_player *p, struct history_txn *h, unsigned key)
{
    uint8_t value[TXN_VALUE_MAX];
    size_t size = 0;
    char name[8];
    struct history_read *r = &h->reads[h->read_count];
    int n = snprintf(name, sizeof name, "key%u", key), err = txn_get(&p->t, name, (size_t)n, value, &size);
    if (err && err != ENOENT) return err;
    *r = (struct history_read){.key = key, .version = p->t.ops[p->t.count - 1].op.version};
    if (!err && check(p->sw->w, size == VALUE_BYTES, "a value of %zu bytes", size)) memcpy(&r->value, value, 8);
    h->read_count++;
    return 0;
}

static int write_one(struct store_player *p, struct history_txn *h, unsigned key)
{
    uint8_t value[VALUE_BYTES] = {0};
    char name[8];
    struct history_write *wr = &h->writes[h->write_count++];
    *wr = (struct history_write){key, ++p->sw->values};
    memcpy(value, &wr->value, 8);
    return txn_put(&p->t, name, (size_t)snprintf(name, sizeof name, "key%u", key), value, sizeof value);
}

/* Up to four keys: each read, written, or both. all: every key is read. */
static int play_one(struct store_player *p, bool all)
{
    struct store_world *sw = p->sw;
    unsigned first = all ? 0 : (unsigned)rng_below(&sw->rng, KEYS),
             count = all ? 8 : 1 + (unsigned)rng_below(&sw->rng, 4);
    bool only_reads = all || rng_below(&sw->rng, 4) == 0;
    struct history_txn *h = history_add(&sw->history);
    if (!check(sw->w, h, "too many transactions")) return EINVAL;
    h->client = p->id;
    h->begin_ns = sim_now(sw->w->sim);
    int err = txn_begin(&p->t);
    for (unsigned i = 0; !err && i < count; i++) {
        unsigned key = (first + i * 2) % KEYS, how = only_reads ? 0 : (unsigned)rng_below(&sw->rng, 4);
        if (how != 1) err = read_one(p, h, key);
        if (!err && how > 0) err = write_one(p, h, key);
        if (!err && rng_below(&sw->rng, 4) == 0) sleep_ns(rng_below(&sw->rng, MS(5)));
    }
    if (err || (!all && rng_below(&sw->rng, 20) == 0)) { /* given up: nothing was sent */
        txn_abort(&p->t);
        h->end = HISTORY_ABORTED;
        return err ? err : ECANCELED;
    }
    err = txn_commit(&p->t);
    h->end = err == 0 ? HISTORY_COMMITTED : err == ETIMEDOUT ? HISTORY_UNKNOWN : HISTORY_ABORTED;
    if (!err) h->end_ns = sim_now(sw->w->sim);
    if (!err) h->version = p->t.index;
    check(sw->w, !err || err == ECANCELED || err == ETIMEDOUT, "a commit ended with %s", strerror(err));
    return err;
}

static int client_plays(void *arg)
{
    struct store_player *p = arg;
    struct store_world *sw = p->sw;
    if (!client_begin(p)) return 1;
    for (; p->txns_left && !sw->w->failure[0]; p->txns_left--) {
        play_one(p, false);
        if (rng_below(&sw->rng, 3) == 0) sleep_ns(rng_below(&sw->rng, MS(200)));
    }
    txn_close(&p->t);
    sw->playing--;
    return 0;
}

/* When all is calm: whatever was told as committed is seen, and the replicas are alike. */
static int client_looks(void *arg)
{
    struct store_player *p = arg;
    struct store_world *sw = p->sw;
    bool alike = false;
    int err = ETIMEDOUT;
    while (!sw->is_calm) sleep_ns(MS(50));
    if (!client_begin(p)) return 1;
    for (int tries = 0; err && tries < 200 && !sw->w->failure[0]; tries++) err = play_one(p, true);
    check(sw->w, !err, "nothing commits when all is calm: %s", strerror(err));
    for (int tries = 0; !alike && tries < 400 && !sw->w->failure[0]; tries++) {
        uint64_t word[TXN_REPLICAS][TXN_WORDS_MAX];
        alike = true;
        for (unsigned i = 0; i < TXN_REPLICAS; i++) alike &= txn_status(&p->t, i, word[i]) == 0;
        for (unsigned i = 1; alike && i < TXN_REPLICAS; i++)
            alike = word[i][6] == word[0][6] && word[i][8] == word[0][8];
        if (!alike) sleep_ns(MS(50));
    }
    check(sw->w, alike, "the replicas do not end alike");
    txn_close(&p->t);
    for (unsigned i = 0; i < sw->life_count; i++) sw->lives[i].stop = 1;
    sw->is_over = true;
    return 0;
}

/* --- what goes wrong ---------------------------------------------------------------------------------------------- */

static struct sim_host *some_host(struct store_world *sw)
{
    unsigned i = (unsigned)rng_below(&sw->rng, TXN_REPLICAS + 2);
    return i < TXN_REPLICAS ? sw->now[i]->host : sw->players[rng_below(&sw->rng, CLIENTS)].host;
}

static void crash_one(struct store_world *sw, unsigned i)
{
    if (sim_host_ended(sw->now[i]->host) || sw->now[i]->stop) return;
    sw->now[i]->stop = 1;
    sim_host_crash(sw->now[i]->host);
}

static void heal_all(struct store_world *sw)
{
    struct sim_host *all[TXN_REPLICAS + CLIENTS + 1];
    unsigned n = 0;
    for (unsigned i = 0; i < TXN_REPLICAS; i++) all[n++] = sw->now[i]->host;
    for (unsigned i = 0; i <= CLIENTS; i++) all[n++] = sw->players[i].host;
    for (unsigned i = 0; i < n; i++)
        for (unsigned k = 0; k < i; k++) sim_heal(sw->w->sim, all[i], all[k]);
}

static void something_happens(void *arg)
{
    struct store_world *sw = arg;
    struct sim *s = sw->w->sim;
    if (sw->is_over) return;
    if (sw->playing == 0 || sw->life_count > LIVES_MAX - 6 || sim_now(s) > SIM_START_NS + SEC(60)) sw->is_calm = true;
    for (unsigned i = 0; i < TXN_REPLICAS && sw->life_count < LIVES_MAX; i++)
        if (sim_host_ended(sw->now[i]->host) && (sw->is_calm || rng_below(&sw->rng, 3) == 0)) replica_start(sw, i);
    if (sw->is_calm) {
        struct sim_disk_settings good = {.delay_ns = 10000, .jitter_ns = 10000};
        for (unsigned i = 0; sw->may_fail && i < TXN_REPLICAS; i++) sim_disk_set(sw->disks[i], &good);
        heal_all(sw);
    } else {
        struct sim_host *a = some_host(sw), *b = some_host(sw);
        switch (rng_below(&sw->rng, 12)) {
        case 0:
        case 1:
            if (a != b) sim_cut(s, a, b);
            break;
        case 2:
            if (a != b) sim_cut_oneway(s, a, b);
            break;
        case 3:
            for (unsigned i = 0; i < TXN_REPLICAS; i++)
                if (sw->now[i]->host != a) sim_cut(s, sw->now[i]->host, a);
            break;
        case 4:
            for (unsigned i = 0; rng_below(&sw->rng, 3) == 0 && i < TXN_REPLICAS; i++) crash_one(sw, i);
            break;
        case 5: /* the power of all: what was told and lay in memory alone is gone */
            for (unsigned i = 0; i < TXN_REPLICAS; i++) crash_one(sw, i);
            break;
        case 6: crash_one(sw, (unsigned)rng_below(&sw->rng, TXN_REPLICAS)); break;
        default: heal_all(sw);
        }
    }
    sim_at(s, sim_now(s) + MS(20) + rng_below(&sw->rng, sw->is_calm ? MS(100) : MS(300)), something_happens, sw);
}

/* --- the scenarios ------------------------------------------------------------------------------------------------ */

static struct store_world *set_up(struct world *w)
{
    struct store_world *sw = w->state = calloc(1, sizeof *sw);
    struct sim_link l = sim_link_random(w->sim);
    sw->w = w;
    rng_seed(&sw->rng, hash_u64(11, w->seed));
    l.delay_ns = 20000 + rng_below(&sw->rng, MS(2));
    l.jitter_ns = rng_below(&sw->rng, MS(8));
    l.loss_ppm = (uint32_t)rng_below(&sw->rng, 80000);
    l.twice_ppm = (uint32_t)rng_below(&sw->rng, 80000);
    sim_link_set(w->sim, NULL, NULL, &l);
    for (unsigned i = 0; i < TXN_REPLICAS; i++) {
        struct sim_disk_settings set = sim_disk_random(w->sim);
        set.stall_ppm = 0;
        sw->disks[i] = sim_disk_new(w->sim, &set);
        device_make(sw->disks[i], w->seed + i);
        replica_start(sw, i);
    }
    sw->playing = CLIENTS;
    for (unsigned i = 0; i <= CLIENTS; i++) {
        char host[16];
        snprintf(host, sizeof host, "10.0.1.%u", i + 1);
        struct store_player *p = &sw->players[i];
        *p = (struct store_player){.sw = sw, .id = i, .txns_left = 40};
        p->host = sim_host_add(w->sim, host, i < CLIENTS ? client_plays : client_looks, p);
    }
    sim_at(w->sim, SIM_START_NS + SEC(1), something_happens, sw);
    return sw;
}

static void set_up_cuts(struct world *w) { set_up(w); }

/* Disks that fail end their replica; started again it has what was durable. */
static void set_up_faults(struct world *w)
{
    struct store_world *sw = set_up(w);
    sw->may_fail = true;
    for (unsigned i = 0; i < TXN_REPLICAS; i++) {
        struct sim_disk_settings set = sim_disk_random(w->sim);
        set.stall_ppm = 0;
        set.write_eio_ppm = (uint32_t)rng_below(&sw->rng, 2000);
        set.sync_eio_ppm = (uint32_t)rng_below(&sw->rng, 2000);
        sim_disk_set(sw->disks[i], &set);
    }
}

static void verify(struct world *w)
{
    struct store_world *sw = w->state;
    char why[400];
    unsigned committed = 0;
    CHECK(w, sw->is_over);
    for (unsigned i = 0; i < sw->history.count; i++) committed += sw->history.txns[i].end == HISTORY_COMMITTED;
    check(w, committed > 5, "%u of %u committed", committed, sw->history.count);
    check(w, history_check(&sw->history, why, sizeof why), "not strictly serialisable: %s", why);
    if (getenv("SIM_TELL"))
        fprintf(stderr, "# %u transactions, %u committed, %u lives\n", sw->history.count, committed, sw->life_count);
}

static void test_transactions_are_strictly_serialisable(void **state)
{
    run_seeds(&(struct scenario){"power cuts", set_up_cuts, verify, SEC(600)}, SEEDS);
}

static void test_and_are_when_disks_fail(void **state)
{
    run_seeds(&(struct scenario){"failing disks", set_up_faults, verify, SEC(600)}, SEEDS / 2);
}

/* 2177: a copy from the leader took r->durable back, and the place of an entry was looked up where it is no more: a
 * checkpoint trimmed the entry away. */
static void test_what_was_found_once_is_mended(void **state)
{
    static const uint64_t seeds[] = {2177};
    const struct scenario sc = {"failing disks", set_up_faults, verify, SEC(600)};
    struct world w;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        run_once(&sc, seeds[i], &w);
        if (w.failure[0]) fail_msg("seed %llu: %s", (unsigned long long)seeds[i], w.failure);
    }
}

/* --- the checker -------------------------------------------------------------------------------------------------- */

static struct history told;

static struct history_txn *tell(uint64_t begin, uint64_t end, uint64_t version)
{
    struct history_txn *t = history_add(&told);
    t->begin_ns = begin;
    t->end_ns = end;
    t->version = version;
    t->end = end == HISTORY_NEVER ? HISTORY_UNKNOWN : HISTORY_COMMITTED;
    return t;
}
static void reads(struct history_txn *t, unsigned key, uint64_t value, uint64_t version)
{
    t->reads[t->read_count++] = (struct history_read){key, value, version};
}
static void writes(struct history_txn *t, unsigned key, uint64_t value)
{
    t->writes[t->write_count++] = (struct history_write){key, value};
}
static bool is_good(void)
{
    char why[400];
    bool good = history_check(&told, why, sizeof why);
    if (!good) print_message("found: %s\n", why);
    told.count = 0;
    return good;
}

static void test_good_histories_are_good(void **state)
{
    struct history_txn *t = tell(1, 10, 1);
    writes(t, 0, 100);
    reads(t = tell(5, 20, 2), 0, 100, 1); /* began before the other's end */
    writes(t, 0, 101);
    writes(t = tell(6, HISTORY_NEVER, 0), 1, 102); /* not known, and seen */
    reads(tell(30, 40, 4), 1, 102, 3);
    writes(tell(6, HISTORY_NEVER, 0), 1, 103); /* not known, and not seen */
    reads(tell(7, 50, 5), 0, 100, 1);          /* old, but it began before that was over */
    assert_true(is_good());
}

static void test_a_lost_update_is_found(void **state)
{
    struct history_txn *t = tell(1, 10, 1);
    writes(t, 0, 100);
    for (uint64_t i = 2; i < 4; i++) { /* both read the same, both write */
        reads(t = tell(11, 20, i), 0, 100, 1);
        writes(t, 0, 100 + i);
    }
    assert_false(is_good());
}

static void test_a_write_skew_is_found(void **state)
{
    struct history_txn *t = tell(1, 10, 1);
    reads(t, 0, 0, 0);
    writes(t, 1, 100);
    reads(t = tell(1, 10, 2), 1, 0, 0);
    writes(t, 0, 101);
    assert_false(is_good());
}

static void test_a_stale_read_is_found(void **state)
{
    writes(tell(1, 10, 1), 0, 100);
    writes(tell(11, 20, 2), 0, 101);
    reads(tell(21, 30, 3), 0, 100, 1);
    assert_false(is_good());
}

static void test_a_lost_commit_is_found(void **state)
{
    writes(tell(1, 10, 1), 0, 100);
    reads(tell(11, 20, 2), 0, 0, 0);
    assert_false(is_good());
}

static void test_half_a_transaction_is_found(void **state)
{
    struct history_txn *t = tell(1, 10, 1);
    writes(t, 0, 100);
    writes(t, 1, 101);
    reads(t = tell(2, 9, 2), 0, 100, 1);
    reads(t, 1, 0, 0);
    assert_false(is_good());
}

static void test_what_did_not_commit_is_found(void **state)
{
    struct history_txn *t = tell(1, 10, 0);
    writes(t, 0, 100);
    t->end = HISTORY_ABORTED;
    reads(tell(11, 20, 2), 0, 100, 1);
    assert_false(is_good());
    reads(tell(1, 10, 1), 0, 55, 1); /* nor ever written */
    assert_false(is_good());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_histories_are_good),
        cmocka_unit_test(test_a_lost_update_is_found),
        cmocka_unit_test(test_a_write_skew_is_found),
        cmocka_unit_test(test_a_stale_read_is_found),
        cmocka_unit_test(test_a_lost_commit_is_found),
        cmocka_unit_test(test_half_a_transaction_is_found),
        cmocka_unit_test(test_what_did_not_commit_is_found),
        cmocka_unit_test(test_transactions_are_strictly_serialisable),
        cmocka_unit_test(test_and_are_when_disks_fail),
        cmocka_unit_test(test_what_was_found_once_is_mended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
