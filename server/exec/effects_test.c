/* SPDX-License-Identifier: MIT */
#include "server/exec/effects.h"
#include "server/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

struct world {
    struct server srv;
    struct worker w;
    struct db dbs[2];
    struct effect_sink sink;
    char seen[1000];
};

static struct world world;

static void capture(struct effect_sink *s, int dbid, const struct bytes *argv, int argc)
{
    char *p = world.seen + strlen(world.seen), *end = world.seen + sizeof world.seen;
    p += snprintf(p, (size_t)(end - p), "%s%d:", world.seen[0] ? "; " : "", dbid);
    for (int i = 0; i < argc; i++)
        p += snprintf(p, (size_t)(end - p), "%s%.*s", i ? " " : "", (int)argv[i].n, argv[i].p);
}

static int setup(void **state)
{
    memset(&world, 0, sizeof world);
    world.dbs[1].id = 1;
    world.w.srv = &world.srv;
    list_init(&world.srv.sinks);
    world.sink.effect = capture;
    list_push_back(&world.srv.sinks, &world.sink.link);
    world.w.call = (struct call){.srv = &world.srv, .w = &world.w, .db = &world.dbs[0]};
    return 0;
}

static int teardown(void **state)
{
    effects_fini(&world.w.effects);
    return 0;
}

static void give(struct call *c, int dbid, const char *a, const char *b)
{
    c->db = &world.dbs[dbid];
    effect_as(c, 2, (struct bytes[]){bytes_of_str(a), bytes_of_str(b)});
}

static void test_one_effect_stands_alone_and_waits_for_its_end(void **state)
{
    give(&world.w.call, 1, "DEL", "a");
    assert_string_equal(world.seen, "");
    assert_true(effects_pending(&world.w.effects));
    effects_flush(&world.w, true);
    assert_string_equal(world.seen, "1:DEL a");
    assert_false(effects_pending(&world.w.effects));
}

static void test_several_are_framed_in_their_own_databases(void **state)
{
    give(&world.w.call, 1, "DEL", "a");
    give(&world.w.call, 0, "INCR", "");
    effects_flush(&world.w, true);
    assert_string_equal(world.seen, "-1:MULTI; 1:DEL a; 0:INCR ; -1:EXEC");
}

static void test_what_does_not_belong_together_is_not_framed(void **state)
{
    give(&world.w.call, 0, "DEL", "a");
    give(&world.w.call, 0, "DEL", "b");
    effects_flush(&world.w, false);
    assert_string_equal(world.seen, "0:DEL a; 0:DEL b");
}

/* What a script keeps from the log or from replicas. */
static void test_what_is_withheld_goes_to_the_others(void **state)
{
    static const struct {
        unsigned kind;
        const char *seen;
    } sinks[] = {{0, "-1:MULTI; 0:SET all; 0:SET log; 0:SET replicas; -1:EXEC"},
                 {EFFECT_TO_LOG, "-1:MULTI; 0:SET all; 0:SET log; -1:EXEC"},
                 {EFFECT_TO_REPLICAS, "-1:MULTI; 0:SET all; 0:SET replicas; -1:EXEC"}};
    for (size_t i = 0; i < sizeof sinks / sizeof sinks[0]; i++) {
        world.seen[0] = 0;
        world.sink.kind = sinks[i].kind;
        give(&world.w.call, 0, "SET", "all");
        world.w.effects.withheld = EFFECT_TO_REPLICAS;
        give(&world.w.call, 0, "SET", "log");
        world.w.effects.withheld = EFFECT_TO_LOG;
        give(&world.w.call, 0, "SET", "replicas");
        world.w.effects.withheld = 0;
        effects_flush(&world.w, true);
        assert_string_equal(world.seen, sinks[i].seen);
    }
}

static void test_arguments_are_copied(void **state)
{
    char key[] = "first";
    give(&world.w.call, 0, "DEL", key);
    memcpy(key, "later", 5);
    effects_flush(&world.w, true);
    assert_string_equal(world.seen, "0:DEL first");
}

static void test_the_servers_own_go_out_at_once_but_never_ahead(void **state)
{
    struct call own = {.srv = &world.srv, .w = &world.w};
    give(&own, 0, "DEL", "a");
    assert_string_equal(world.seen, "0:DEL a");
    give(&world.w.call, 0, "SET", "b");
    give(&own, 0, "DEL", "c");
    assert_string_equal(world.seen, "0:DEL a");
    effects_flush(&world.w, true);
    assert_string_equal(world.seen, "0:DEL a; -1:MULTI; 0:SET b; 0:DEL c; -1:EXEC");
}

static void test_nothing_is_kept_for_nobody(void **state)
{
    list_remove(&world.sink.link);
    give(&world.w.call, 0, "DEL", "a");
    assert_false(effects_pending(&world.w.effects));
    assert_true(world.w.call.effects_given);
}

static size_t told;
static void count(struct effect_sink *s, int dbid, const struct bytes *argv, int argc) { told++; }

static void test_thousands_are_kept_and_the_room_given_back(void **state)
{
    static char large[4096];
    world.sink.effect = count;
    told = 0;
    for (int i = 0; i < 3000; i++)
        effect_as(&world.w.call, 2, (struct bytes[]){BYTES("DEL"), bytes_of(large, sizeof large)});
    effects_flush(&world.w, true);
    assert_int_equal(told, 3002);
    assert_int_equal(world.w.effects.text_cap, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_effect_stands_alone_and_waits_for_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_are_framed_in_their_own_databases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_does_not_belong_together_is_not_framed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_withheld_goes_to_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arguments_are_copied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_servers_own_go_out_at_once_but_never_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_kept_for_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thousands_are_kept_and_the_room_given_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
