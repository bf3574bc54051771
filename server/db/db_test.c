/* SPDX-License-Identifier: MIT
 *
 * The verbs against a model: an array of what each of a few thousand keys should be. Seeded; a failing run names its
 * seed.
 */
#include "server/db/hooks_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/db/interest.h"
#include "server/ds/listpack.h"
#include "demi/ext.h"
#include "server/db/use.h"

#define KEYS 3000
/* A reference to a key of the call's database, good until the end of the block. */
#define REF(c, name) (&(struct key_ref[]){key_ref_of((c)->db, name)}[0])

struct model {
    bool there;
    int64_t expire_ms; /* -1: none */
    uint32_t len;      /* of a string of `fill`, or UINT32_MAX: the number `num` */
    char fill;
    int64_t num;
};

struct world {
    struct db db, other;
    struct call c;
    struct model m[KEYS];
    uint64_t seed;
};

static struct bytes key_name(unsigned k, char buf[64])
{
    int n = k % 7 == 0 ? snprintf(buf, 64, "tag{%u}:%u", k % 50, k) : snprintf(buf, 64, "key:%u", k);
    return bytes_of(buf, (size_t)n);
}

static bool model_live(struct world *w, unsigned k)
{
    struct model *m = &w->m[k];
    if (m->there && m->expire_ms >= 0 && w->c.now_ms > m->expire_ms) m->there = false;
    return m->there;
}

static struct bytes model_value(const struct model *m, char *buf)
{
    if (m->len == UINT32_MAX) return bytes_of(buf, (size_t)sprintf(buf, "%lld", (long long)m->num));
    memset(buf, m->fill, m->len);
    return bytes_of(buf, m->len);
}

static void check_key(struct world *w, unsigned k)
{
    char kb[64], vb[2000], eb[ENTRY_STR_BUF];
    struct bytes key = key_name(k, kb);
    const struct entry *e = db_lookup_read(&w->c, REF(&w->c, key));
    bool live = model_live(w, k);
    if ((e != NULL) != live)
        fail_msg("seed %llu: key %u there %d, should be %d", (unsigned long long)w->seed, k, e != NULL, live);
    if (!e) return;
    assert_true(bytes_equal(entry_string(e, eb), model_value(&w->m[k], vb)));
    assert_int_equal(entry_expire(e), w->m[k].expire_ms);
    assert_true(bytes_equal(entry_key(e), key));
}

static void put(struct world *w, unsigned k)
{
    struct rng *r = &fake.rng;
    char kb[64], vb[2000];
    struct model *m = &w->m[k];
    bool was = model_live(w, k), keep = rng_below(r, 4) == 0;
    int64_t kept = was && keep ? m->expire_ms : -1;
    int64_t expire = rng_below(r, 3) == 0 ? w->c.now_ms + (int64_t)rng_below(r, 2000) : -1;
    *m = (struct model){.there = true, .fill = (char)('a' + rng_below(r, 26)), .len = (uint32_t)rng_below(r, 60)};
    if (rng_below(r, 10) == 0) m->len = (uint32_t)rng_below(r, 2000);
    if (rng_below(r, 4) == 0) m->len = UINT32_MAX, m->num = (int64_t)rng_u64(r) >> rng_below(r, 64);
    m->expire_ms = expire >= 0 ? expire : kept;
    db_put_string(&w->c, REF(&w->c, key_name(k, kb)), model_value(m, vb), expire, keep ? PUT_KEEP_TTL : 0);
}

static void edit(struct world *w, unsigned k)
{
    char kb[64], vb[2000];
    const struct key_ref *key = REF(&w->c, key_name(k, kb));
    struct entry *e = db_lookup_write(&w->c, key);
    if (!e || w->m[k].len == UINT32_MAX) return;
    struct model *m = &w->m[k];
    m->len = (uint32_t)(m->len + rng_below(&fake.rng, 200)) % 1900;
    char *p = db_string_edit(&w->c, key, &e, m->len);
    struct bytes v = model_value(m, vb);
    memcpy(p, v.p, v.n);
}

static void rename_to(struct world *w, unsigned from, unsigned to)
{
    char fb[64], tb[64];
    const struct key_ref *key = REF(&w->c, key_name(from, fb));
    struct entry *e = db_lookup_write(&w->c, key);
    assert_int_equal(e != NULL, model_live(w, from));
    if (!e || from == to) return;
    db_move(&w->c, key, e, &w->db, REF(&w->c, key_name(to, tb)));
    w->m[to] = w->m[from];
    w->m[from].there = false;
}

static void expire(struct world *w, unsigned k)
{
    char kb[64];
    const struct key_ref *key = REF(&w->c, key_name(k, kb));
    struct entry *e = db_lookup_write(&w->c, key);
    if (!e) return;
    w->m[k].expire_ms = rng_below(&fake.rng, 2) ? w->c.now_ms + (int64_t)rng_below(&fake.rng, 3000) : -1;
    e = db_set_expire(&w->c, key, e, w->m[k].expire_ms);
    assert_int_equal(entry_expire(e), w->m[k].expire_ms);
}

static void delete_key(struct world *w, unsigned k)
{
    char kb[64];
    bool was = model_live(w, k);
    assert_int_equal(db_delete(&w->c, REF(&w->c, key_name(k, kb))), was);
    w->m[k].there = false;
}

static void flush(struct world *w)
{
    db_flush(&w->c, &w->db, rng_below(&fake.rng, 2));
    memset(w->m, 0, sizeof w->m);
    assert_int_equal(db_size(&w->db), 0);
}

static void seen_by_scan(void *arg, const struct entry *e)
{
    unsigned k;
    struct bytes key = entry_key(e);
    char buf[64] = {0};
    memcpy(buf, key.p, key.n);
    if (sscanf(buf, "key:%u", &k) != 1) sscanf(buf, "tag{%*u}:%u", &k);
    ((uint8_t *)arg)[k] = 1;
}

static void check_all(struct world *w)
{
    static uint8_t seen[KEYS];
    memset(seen, 0, sizeof seen);
    uint64_t cursor = 0;
    do cursor = db_scan(&w->db, cursor, seen_by_scan, seen);
    while (cursor);
    size_t live = 0, expires = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        if (model_live(w, k)) {
            assert_true(seen[k]);
            live++;
            expires += w->m[k].expire_ms >= 0;
        }
        check_key(w, k);
    }
    /* looking at them all has deleted the dead */
    assert_int_equal(db_size(&w->db), live);
    assert_int_equal(db_expires(&w->db), expires);
    for (unsigned i = 0; i < w->db.slice_count; i++) table_check(&w->db.slices[i].table);
}

/* What cron and the turns between do, for so long; returns the number of keys that expired. */
static size_t background(struct call *c, struct db *db, uint64_t ns)
{
    size_t seen = 0, expired = 0;
    db_expire_some(c, db, demi_clock_ns() + ns, &seen, &expired);
    assert_true(expired <= seen);
    db_resize_some(db, demi_clock_ns() + ns);
    return expired;
}

static void run_model(unsigned slices, uint64_t seed)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    w.seed = seed;
    assert_int_equal(db_init(&w.db, 0, slices, seed), 0);
    w.c = fake_call(&w.db);
    rng_seed(&fake.rng, seed);
    for (unsigned step = 0; step < 60000; step++) {
        unsigned k = (unsigned)rng_below(&fake.rng, KEYS);
        switch (rng_below(&fake.rng, 16)) {
        case 0 ... 5: put(&w, k); break;
        case 6: edit(&w, k); break;
        case 7: rename_to(&w, k, (unsigned)rng_below(&fake.rng, KEYS)); break;
        case 8: expire(&w, k); break;
        case 9: delete_key(&w, k); break;
        case 10: w.c.now_ms += (int64_t)rng_below(&fake.rng, 5); break;
        case 11:
            if (step % 64 == 0) background(&w.c, &w.db, 100000);
            break;
        default: check_key(&w, k); break;
        }
        if (rng_below(&fake.rng, 20000) == 0) flush(&w);
        if (step % 10000 == 9999) check_all(&w);
    }
    db_fini(&w.db);
}

static void test_verbs_agree_with_a_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) run_model(1, seed);
}

static void test_verbs_agree_with_a_model_over_slices(void **state)
{
    (void)state;
    run_model(4, 11);
    run_model(DB_SLICES_MAX, 12);
}

/* --- single claims ------------------------------------------------------------------------------------------------ */

static void test_an_expired_key_goes_with_stat_effect_and_watch(void **state)
{
    (void)state;
    struct db db;
    db_init(&db, 0, 1, 5);
    struct call c = fake_call(&db);
    struct interest_link watcher;
    interest_add(&db, REF(&c, BYTES("k")), INTEREST_WATCH, &watcher);
    db_put_string(&c, REF(&c, BYTES("k")), BYTES("v"), c.now_ms + 10, 0);
    c.now_ms += 10;
    assert_non_null(db_lookup_read(&c, REF(&c, BYTES("k")))); /* expires when its time is over, not when it comes */
    c.now_ms += 1;
    assert_null(db_lookup_read(&c, REF(&c, BYTES("k"))));
    assert_int_equal(fake.expired, 1);
    assert_int_equal(fake.dels, 1);
    assert_int_equal(fake.touched, 1);
    assert_int_equal(fake.hits, 1);
    assert_int_equal(fake.misses, 1);
    assert_int_equal(db_size(&db), 0);
    interest_remove(&watcher);
    db_fini(&db);
}

static void test_a_replica_hides_but_keeps_expired_keys(void **state)
{
    (void)state;
    struct db db;
    db_init(&db, 0, 1, 5);
    struct call c = fake_call(&db);
    fake.expired_is = 1; /* hidden */
    db_put_string(&c, REF(&c, BYTES("k")), BYTES("v"), c.now_ms, 0);
    c.now_ms += 1;
    assert_null(db_lookup_read(&c, REF(&c, BYTES("k"))));
    assert_null(db_peek(&c, REF(&c, BYTES("k"))));
    assert_int_equal(db_size(&db), 1);
    assert_non_null(db_random(&c)); /* ends, though none is alive */
    db_put_string(&c, REF(&c, BYTES("k")), BYTES("w"), -1, 0);
    assert_int_equal(db_size(&db), 1);
    assert_int_equal(db_expires(&db), 0);
    assert_non_null(db_lookup_read(&c, REF(&c, BYTES("k"))));
    fake.expired_is = 2; /* valid: time plays no part */
    db_put_string(&c, REF(&c, BYTES("k")), BYTES("w"), c.now_ms - 5, 0);
    assert_non_null(db_lookup_read(&c, REF(&c, BYTES("k"))));
    db_fini(&db);
}

static void test_cron_deletes_the_dead_without_anybody_asking(void **state)
{
    (void)state;
    struct db db;
    db_init(&db, 0, 3, 5);
    struct call c = fake_call(&db);
    char kb[64];
    for (unsigned k = 0; k < 20000; k++)
        db_put_string(&c, REF(&c, key_name(k, kb)), BYTES("v"), k % 2 ? c.now_ms + 50 : -1, 0);
    c.now_ms += 25;
    assert_int_equal(background(&c, &db, 1000000000), 0);
    assert_true(db.avg_ttl_ms > 20 && db.avg_ttl_ms < 30);
    c.now_ms += 100;
    for (int i = 0; i < 10000 && db_expires(&db); i++) background(&c, &db, 1000000000);
    assert_int_equal(db_expires(&db), 0);
    assert_int_equal(db_size(&db), 10000);
    assert_int_equal(fake.expired, 10000);
    assert_int_equal(fake.dels, 10000);
    db_fini(&db);
}

static void test_random_and_sample_reach_every_slice(void **state)
{
    (void)state;
    struct db db;
    db_init(&db, 0, 8, 5);
    struct call c = fake_call(&db);
    assert_null(db_random(&c));
    assert_null(db_sample(&db, &fake.rng, true));
    char kb[64];
    static uint8_t seen[KEYS];
    memset(seen, 0, sizeof seen);
    for (unsigned k = 0; k < 100; k++)
        db_put_string(&c, REF(&c, key_name(k, kb)), BYTES("v"), k < 10 ? c.now_ms + 1000 : -1, 0);
    for (int i = 0; i < 5000; i++) seen_by_scan(seen, db_random(&c));
    for (unsigned k = 0; k < 100; k++) assert_true(seen[k]);
    for (int i = 0; i < 100; i++) {
        const struct entry *e = db_sample(&db, &fake.rng, true);
        if (e) assert_true(entry_expire(e) >= 0);
    }
    db_fini(&db);
}

static void test_swap_exchanges_keys_and_moves_tell_waiters(void **state)
{
    (void)state;
    struct db a, b;
    db_init(&a, 0, 1, 5);
    db_init(&b, 1, 1, 5);
    struct call c = fake_call(&a);
    db_put_string(&c, REF(&c, BYTES("k")), BYTES("v"), c.now_ms + 5, 0);
    db_move(&c, REF(&c, BYTES("k")), db_lookup_write(&c, REF(&c, BYTES("k"))), &b, REF(&c, BYTES("n")));
    assert_int_equal(db_size(&a), 0);
    assert_int_equal(db_expires(&b), 1);
    db_swap(&c, &a, &b);
    assert_int_equal(a.id, 0);
    assert_int_equal(db_size(&b), 0);
    assert_int_equal(entry_expire(db_lookup_read(&c, REF(&c, BYTES("n")))), c.now_ms + 5);
    db_fini(&a);
    db_fini(&b);
}

static void test_lfu_counts_and_decays(void **state)
{
    (void)state;
    struct db db;
    db_init(&db, 0, 1, 5);
    struct call c = fake_call(&db);
    struct config cfg = {.maxmemory_policy = MAXMEMORY_ALLKEYS_LFU, .lfu_decay_time = 1, .lfu_log_factor = 10};
    c.cfg = &cfg;
    struct entry *e = db_put_string(&c, REF(&c, BYTES("k")), BYTES("v"), -1, 0);
    assert_int_equal(db_lfu_counter(&c, e), USE_LFU_INIT);
    for (int i = 0; i < 1000; i++) db_lookup_read(&c, REF(&c, BYTES("k")));
    unsigned high = db_lfu_counter(&c, e);
    assert_true(high > 10 && high < 40);
    e = db_put_string(&c, REF(&c, BYTES("k")), BYTES("another value"), -1, 0); /* keeps what it earned */
    assert_true(db_lfu_counter(&c, e) >= high);
    c.now_ms += 5 * 60000;
    assert_true(db_lfu_counter(&c, e) <= high - 4);
    c.now_ms += 300 * 60000;
    assert_int_equal(db_lfu_counter(&c, e), 0);
    db_fini(&db);
}

static void test_idle_seconds_follow_the_clock(void **state)
{
    (void)state;
    struct db db;
    db_init(&db, 0, 1, 5);
    struct call c = fake_call(&db);
    struct entry *e = db_put_string(&c, REF(&c, BYTES("k")), BYTES("v"), -1, 0);
    c.now_ms += 7000;
    assert_int_equal(db_idle_seconds(&c, db_peek(&c, REF(&c, BYTES("k")))), 7);
    db_lookup_read(&c, REF(&c, BYTES("k")));
    assert_int_equal(db_idle_seconds(&c, e), 0);
    db_set_use(&c, e, 1000, -1);
    assert_int_equal(db_idle_seconds(&c, e), 1000);
    db_fini(&db);
}

/* What SETRANGE and SETBIT make of nothing is made once; what grows will grow again. */
static void test_what_was_empty_is_made_exactly(void **state)
{
    struct db db;
    db_init(&db, 0, 1, 5);
    struct call c = fake_call(&db);
    struct entry *e = db_put_string(&c, REF(&c, BYTES("k")), BYTES(""), -1, 0);
    db_string_edit(&c, REF(&c, BYTES("k")), &e, 100001);
    assert_int_equal(((struct blob *)entry_ptr(e))->cap, 100001);
    e = db_put_string(&c, REF(&c, BYTES("l")), BYTES("x"), -1, 0);
    db_string_edit(&c, REF(&c, BYTES("l")), &e, 100001);
    assert_true(((struct blob *)entry_ptr(e))->cap > 100001);
    db_fini(&db);
}

#define HASHES 200
#define EDITS  40000

/* One change of each kind that a hash may see; `own` is the same listpack, on its own. */
static unsigned char *edit_pairs(unsigned char *lp, unsigned kind, struct bytes s, long at)
{
    unsigned char *e = lp_seek(lp, at);
    if (kind == 0 || !e) return lp_append_pair(lp, s, s);
    if (kind == 1) return lp_insert_pair_before(lp, e, s, s);
    if (kind == 2) return lp_delete_run(lp, &e, 2);
    return lp_replace(lp, &e, s);
}

/* Small hashes and sorted sets lie in their entries, and leave them and come back as they grow and shrink. */
static void test_values_that_are_stored_again_are_whole(void **state)
{
    struct db db;
    unsigned char *own[HASHES];
    int64_t expires[HASHES];
    char text[100];
    db_init(&db, 0, 4, 11);
    struct call c = fake_call(&db);
    struct rng *r = &fake.rng;
    memset(text, 't', sizeof text);
    for (unsigned k = 0; k < HASHES; k++) {
        char kb[64];
        struct value v = {.type = k % 2 ? OBJ_HASH : OBJ_ZSET, .enc = ENC_LISTPACK, .p = lp_new(0)};
        db_put_value(&c, REF(&c, key_name(k, kb)), v, -1, 0);
        own[k] = lp_new(0);
        expires[k] = -1;
    }
    unsigned hosts = 0;
    for (unsigned i = 0; i < EDITS; i++) {
        char kb[64];
        unsigned k = (unsigned)rng_below(r, HASHES), kind = (unsigned)rng_below(r, 4);
        struct key_ref key = key_ref_of(&db, key_name(k, kb));
        struct db_edit edit;
        assert_true(db_edit_begin(&c, &key, &edit));
        struct entry *e = edit.e;
        struct bytes s = bytes_of(text, rng_below(r, 10) ? rng_below(r, 12) : rng_below(r, sizeof text));
        long at = (long)rng_below(r, lp_count(own[k]) / 2 + 1) * 2;
        if (lp_count(own[k]) > 60) kind = 2, at = 0;
        own[k] = edit_pairs(own[k], kind, s, at);
        void *lp = edit_pairs(entry_ptr(e), kind, s, at);
        db_edit_store(&edit, ENC_LISTPACK, &lp);
        e = edit.e;
        assert_ptr_equal(lp, entry_ptr(e));
        if (rng_below(r, 8) == 0) {
            expires[k] = rng_below(r, 2) ? c.now_ms + 100000 : -1;
            e = db_set_expire(&c, &key, e, expires[k]);
        }
        assert_ptr_equal(db_peek(&c, &key), e);
        assert_int_equal(entry_expire(e), expires[k]);
        assert_int_equal(lp_bytes(entry_ptr(e)), lp_bytes(own[k]));
        assert_memory_equal(entry_ptr(e), own[k], lp_bytes(own[k]));
        hosts += entry_is_host(e);
    }
    assert_true(hosts > EDITS / 4 && hosts < EDITS);
    size_t timed = 0;
    for (unsigned k = 0; k < HASHES; k++) timed += expires[k] >= 0;
    assert_int_equal(db_expires(&db), timed);
    for (unsigned k = 0; k < HASHES; k++) lp_free(own[k]);
    db_fini(&db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs_agree_with_a_model),
        cmocka_unit_test(test_verbs_agree_with_a_model_over_slices),
        cmocka_unit_test(test_an_expired_key_goes_with_stat_effect_and_watch),
        cmocka_unit_test(test_a_replica_hides_but_keeps_expired_keys),
        cmocka_unit_test(test_cron_deletes_the_dead_without_anybody_asking),
        cmocka_unit_test(test_random_and_sample_reach_every_slice),
        cmocka_unit_test(test_swap_exchanges_keys_and_moves_tell_waiters),
        cmocka_unit_test(test_lfu_counts_and_decays),
        cmocka_unit_test(test_idle_seconds_follow_the_clock),
        cmocka_unit_test(test_what_was_empty_is_made_exactly),
        cmocka_unit_test(test_values_that_are_stored_again_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
