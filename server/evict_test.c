/* SPDX-License-Identifier: MIT */
#include "server/command/command.h"
#include "server/conf/conf.h"
#include "server/evict.h"
#include "server/exec/run.h"
#include "server/server.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW  1790000000000
#define KEYS 1000
#define DBS  2

struct world {
    struct server srv;
    struct worker w;
    struct config cfg;
    struct db dbs[DBS];
    struct effect_sink sink;
    unsigned dels;
};

static struct world world;

static void count_del(struct effect_sink *s, int dbid, const struct bytes *argv, int argc)
{
    assert_int_equal(argc, 2);
    assert_true(bytes_equal(argv[0], BYTES("DEL")));
    world.dels++;
}

static int set_up(void **state)
{
    (void)state;
    struct world *o = &world;
    memset(o, 0, sizeof *o);
    command_table_init();
    conf_init(&o->cfg);
    o->cfg.maxmemory_eviction_tenacity = 100; /* no clock in a test */
    o->srv = (struct server){
        .config = &o->cfg, .dbs = o->dbs, .db_count = DBS, .workers = &o->w, .worker_count = 1, .active_expire = true};
    o->w.srv = &o->srv;
    o->w.conf.cfg = &o->cfg;
    o->w.now_ms = NOW;
    rng_seed(&o->w.rng, 1);
    list_init(&o->srv.sinks);
    o->sink.effect = count_del;
    list_push_back(&o->srv.sinks, &o->sink.link);
    for (int i = 0; i < DBS; i++) db_init(&o->dbs[i], i, 1, 42);
    o->w.evict = evict_new(DBS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    evict_free(world.w.evict);
    for (int i = 0; i < DBS; i++) db_fini(&world.dbs[i]);
    conf_fini(&world.cfg);
    return 0;
}

static struct bytes name(unsigned i, char *buf) { return bytes_of(buf, (size_t)snprintf(buf, 32, "key:%u", i)); }

/* Key i in database i % DBS. */
static struct call call_for(unsigned i) { return run_internal(&world.w, &world.dbs[i % DBS]); }

static struct entry *put(unsigned i, int64_t expire_ms)
{
    char buf[32];
    struct call c = call_for(i);
    struct key_ref key = key_ref_of(c.db, name(i, buf));
    return db_put_string(&c, &key, BYTES("some value that takes room"), expire_ms, 0);
}

static struct entry *find(unsigned i)
{
    char buf[32];
    struct call c = call_for(i);
    struct key_ref key = key_ref_of(c.db, name(i, buf));
    return (struct entry *)db_peek(&c, &key);
}

static void set_idle(struct entry *e, int64_t seconds)
{
    struct call c = call_for(0);
    db_set_use(&c, e, seconds, -1);
}

/* Makes memory that much too large, and evicts. */
static enum evict_result evict(size_t bytes)
{
    world.cfg.maxmemory = (int64_t)(demi_mem_used() - bytes);
    return evict_run(&world.w);
}

static size_t keys_left(void)
{
    size_t n = 0;
    for (int i = 0; i < DBS; i++) n += db_size(&world.dbs[i]);
    return n;
}

static void test_nothing_goes_without_need_or_leave(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 10; i++) put(i, -1);
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    assert_int_equal(evict_run(&world.w), EVICT_OK); /* no limit */
    assert_int_equal(evict(0), EVICT_OK);
    world.cfg.maxmemory_policy = MAXMEMORY_NOEVICTION;
    assert_int_equal(evict(1), EVICT_FAILED);
    const enum maxmemory_policy policies[] = {MAXMEMORY_VOLATILE_LRU, MAXMEMORY_VOLATILE_LFU, MAXMEMORY_VOLATILE_TTL,
                                              MAXMEMORY_VOLATILE_RANDOM};
    for (unsigned i = 0; i < 4; i++) {
        world.cfg.maxmemory_policy = policies[i];
        assert_int_equal(evict(1), EVICT_FAILED);
    }
    assert_int_equal(keys_left(), 10);
    world.srv.pause_until_ms = NOW + 1000;
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    assert_int_equal(evict(1), EVICT_OK);
    assert_int_equal(keys_left(), 10);
    assert_int_equal(world.dels, 0);
}

static void test_everything_goes_when_even_that_is_not_enough(void **state)
{
    (void)state;
    const enum maxmemory_policy policies[] = {MAXMEMORY_ALLKEYS_LRU, MAXMEMORY_ALLKEYS_LFU, MAXMEMORY_ALLKEYS_RANDOM};
    for (unsigned p = 0; p < 3; p++) {
        for (unsigned i = 0; i < KEYS; i++) put(i, i % 3 ? -1 : NOW + 1000);
        world.cfg.maxmemory_policy = policies[p];
        world.cfg.maxmemory = 1;
        assert_int_equal(evict_run(&world.w), EVICT_FAILED);
        assert_int_equal(keys_left(), 0);
    }
    assert_int_equal(world.w.stats.evicted, 3 * KEYS);
    assert_int_equal(world.dels, 3 * KEYS);
}

static void test_only_as_much_goes_as_is_needed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEYS; i++) put(i, -1);
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_RANDOM;
    assert_int_equal(evict(1), EVICT_OK);
    assert_int_equal(keys_left(), KEYS - 1);
    assert_true(demi_mem_used() <= (size_t)world.cfg.maxmemory);
}

static void test_lru_keeps_what_was_used_lately(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEYS; i++) set_idle(put(i, -1), i);
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    while (keys_left() > KEYS * 9 / 10) assert_int_equal(evict(1), EVICT_OK);
    for (unsigned i = 0; i < KEYS / 2; i++) assert_non_null(find(i));
    unsigned oldest = 0;
    for (unsigned i = KEYS * 9 / 10; i < KEYS; i++) oldest += find(i) != NULL;
    assert_in_range(oldest, 0, KEYS / 20); /* a tenth went, at least half of it the oldest tenth */
}

static void test_lfu_keeps_what_is_used_often(void **state)
{
    (void)state;
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_LFU;
    world.cfg.maxmemory_samples = 64; /* some of the seldom used are among them, wherever they lie */
    struct call c = call_for(0);
    for (unsigned i = 0; i < KEYS; i++) db_set_use(&c, put(i, -1), -1, i % 10 ? 100 : 1);
    while (keys_left() > KEYS * 19 / 20) assert_int_equal(evict(1), EVICT_OK);
    for (unsigned i = 0; i < KEYS; i++)
        if (i % 10) assert_non_null(find(i));
}

static void test_volatile_ttl_goes_in_order_of_time_among_few(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEYS; i++) put(i, i % 100 == 7 ? NOW + 100000 - i : -1);
    world.cfg.maxmemory_policy = MAXMEMORY_VOLATILE_TTL;
    world.cfg.maxmemory_samples = 10;
    for (unsigned i = KEYS - 93; i > 7; i -= 100) {
        assert_non_null(find(i));
        assert_int_equal(evict(1), EVICT_OK);
        assert_null(find(i));
    }
    assert_int_equal(keys_left(), KEYS - 9);
}

static void test_a_candidate_that_was_used_since_stays(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) set_idle(put(i, -1), i);
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    world.cfg.maxmemory_samples = 40;
    assert_int_equal(evict(1), EVICT_OK);
    assert_null(find(19));
    set_idle(find(18), 0);
    struct call c = call_for(17);
    char buf[32];
    struct key_ref key = key_ref_of(c.db, name(17, buf));
    db_delete(&c, &key); /* the pool knows both */
    assert_int_equal(evict(1), EVICT_OK);
    assert_non_null(find(18));
    assert_null(find(16));
    assert_int_equal(keys_left(), 17);
}

/* The dead do not make a server refuse writes, whatever the policy. */
static void test_the_dead_go_before_anything_is_refused(void **state)
{
    (void)state;
    world.w.expire.due_ns = UINT64_MAX;
    for (unsigned i = 0; i < KEYS; i++) put(i, i % 2 ? NOW - 1 : -1);
    world.cfg.maxmemory_policy = MAXMEMORY_NOEVICTION;
    assert_int_equal(evict(100), EVICT_OK);
    assert_true(keys_left() < KEYS && keys_left() >= KEYS / 2);
    assert_int_equal(world.w.stats.evicted, 0);
}

static void test_few_that_may_go_are_found_among_many(void **state)
{
    (void)state;
    const enum maxmemory_policy policies[] = {MAXMEMORY_VOLATILE_LRU, MAXMEMORY_VOLATILE_LFU, MAXMEMORY_VOLATILE_TTL,
                                              MAXMEMORY_VOLATILE_RANDOM};
    for (unsigned i = 0; i < 100 * KEYS; i++) put(i, -1);
    for (unsigned p = 0; p < 4; p++) {
        for (unsigned i = 0; i < 20; i++) put(i * 977, NOW + 1000);
        world.cfg.maxmemory_policy = policies[p];
        for (unsigned i = 0; i < 20; i++) assert_int_equal(evict(1), EVICT_OK);
        assert_int_equal(keys_left(), 100 * KEYS - 20);
        assert_int_equal(evict(1), EVICT_FAILED);
        for (unsigned i = 0; i < 20; i++) put(i * 977, -1);
    }
}

/* No time at all is one look at the clock, after 16 keys. */
#define KEYS_A_BUDGET 16

static enum evict_result evict_now(size_t *gone)
{
    size_t before = keys_left();
    enum evict_result result = evict_run(&world.w);
    *gone = before - keys_left();
    return result;
}

static void test_a_turn_has_one_budget_however_many_its_commands(void **state)
{
    (void)state;
    size_t gone;
    for (unsigned i = 0; i < KEYS; i++) put(i, -1);
    world.cfg.maxmemory_eviction_tenacity = 0;
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    world.cfg.maxmemory = 1;
    for (world.w.stats.turns = 1; world.w.stats.turns < 10; world.w.stats.turns++) {
        assert_int_equal(evict_now(&gone), EVICT_RUNNING);
        assert_int_equal(gone, KEYS_A_BUDGET);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(evict_now(&gone), EVICT_RUNNING);
            assert_int_equal(gone, 0);
        }
        assert_false(world.w.cut_short);
    }
}

static void test_beyond_it_a_command_answers_for_what_it_added(void **state)
{
    (void)state;
    size_t gone, sum = 0;
    for (unsigned i = 0; i < KEYS; i++) put(i, -1);
    world.cfg.maxmemory_eviction_tenacity = 0;
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    world.cfg.maxmemory = 1;
    world.w.stats.turns = 1;
    evict_now(&gone);
    for (unsigned i = 0; i < 100; i++) {
        size_t level = demi_mem_used();
        world.w.cut_short = false;
        put(KEYS + i, -1);
        assert_int_equal(evict_now(&gone), EVICT_RUNNING);
        assert_in_range(gone, 0, 3); /* 0: a table that shrank meanwhile has paid */
        assert_true(demi_mem_used() <= level);
        assert_int_equal(world.w.cut_short, gone > 0); /* no time at all is over at once */
        sum += gone;
    }
    assert_in_range(sum, 80, 160);
    for (unsigned i = 0; i < KEYS / 2; i++) put(2 * KEYS + i, -1);
    assert_int_equal(evict_now(&gone), EVICT_RUNNING);
    assert_int_equal(gone, KEYS_A_BUDGET);
    assert_int_equal(evict_now(&gone), EVICT_RUNNING); /* the rest is not asked of the next */
    assert_int_equal(gone, 0);
}

/* Which keys go does not depend on how full their bucket is: if as many went of each, full ones would stay full, and
 * their chains would take the room of keys. */
static void test_memory_holds_as_many_keys_after_long_use(void **state)
{
    (void)state;
    const enum maxmemory_policy policies[] = {MAXMEMORY_ALLKEYS_LRU, MAXMEMORY_VOLATILE_LFU, MAXMEMORY_VOLATILE_TTL};
    unsigned next = 0;
    for (unsigned p = 0; p < 3; p++) {
        for (unsigned i = 0; i < 20 * KEYS; i++) put(next++, NOW + 1000);
        size_t held = keys_left();
        world.cfg.maxmemory_policy = policies[p];
        world.cfg.maxmemory = (int64_t)demi_mem_used();
        for (unsigned i = 0; i < 200 * KEYS; i++) {
            put(next++, NOW + 1000);
            assert_int_equal(evict_run(&world.w), EVICT_OK);
        }
        assert_in_range(keys_left(), held * 995 / 1000, held * 1005 / 1000);
        for (int i = 0; i < DBS; i++) {
            struct call c = run_internal(&world.w, &world.dbs[i]);
            db_flush(&c, &world.dbs[i], false);
        }
    }
}

#define OBJECTS     50000
#define OBJECT_SIZE 64
/* Twice what alloc/heap_impl.h takes back at once, and once more where the heap does it by itself. */
#define MOST_A_TURN (3 * 1024 * OBJECT_SIZE)

static void *free_elsewhere(void *objects)
{
    for (int i = 0; i < OBJECTS; i++) demi_free(((void **)objects)[i]);
    return NULL;
}

/* What the helper thread freed comes back in steps; and as long as there is some, nothing more is evicted. */
static void test_a_turn_takes_back_a_bounded_part_of_what_another_thread_freed(void **state)
{
    (void)state;
    static void *objects[OBJECTS];
    pthread_t thread;
    size_t gone;
    for (unsigned i = 0; i < KEYS; i++) put(i, -1);
    for (int i = 0; i < OBJECTS; i++) objects[i] = demi_malloc(OBJECT_SIZE);
    assert_int_equal(pthread_create(&thread, NULL, free_elsewhere, objects), 0);
    pthread_join(thread, NULL);
    world.cfg.lazyfree_lazy_eviction = true;
    world.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_LRU;
    world.cfg.maxmemory = 1;
    for (world.w.stats.turns = 1; world.w.stats.turns < 10; world.w.stats.turns++) {
        size_t before = demi_mem_used();
        for (int i = 0; i < 100; i++) {
            assert_int_equal(evict_now(&gone), EVICT_RUNNING);
            assert_int_equal(gone, 0);
        }
        assert_in_range(before - demi_mem_used(), 1, MOST_A_TURN);
    }
    while (demi_mem_collect()) {
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_goes_without_need_or_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_everything_goes_when_even_that_is_not_enough, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_as_much_goes_as_is_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lru_keeps_what_was_used_lately, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lfu_keeps_what_is_used_often, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_volatile_ttl_goes_in_order_of_time_among_few, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_candidate_that_was_used_since_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_dead_go_before_anything_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_few_that_may_go_are_found_among_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_holds_as_many_keys_after_long_use, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_turn_has_one_budget_however_many_its_commands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_beyond_it_a_command_answers_for_what_it_added, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_turn_takes_back_a_bounded_part_of_what_another_thread_freed, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
