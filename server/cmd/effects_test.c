/* SPDX-License-Identifier: MIT
 *
 * What the commands on keys and strings propagate: absolute times, results instead of increments, deletions for times
 * that have passed. A replica or a log that reads the effects must come to the same data without a clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/command/command.h"
#include "server/conf/conf.h"
#include "server/server.h"
#include "server/worker.h"

#define NOW 1790000000000

struct world {
    struct server srv;
    struct worker w;
    struct config cfg;
    struct db dbs[2];
    struct reply out;
    struct effect_sink sink;
    char effects[1000];
    size_t used;
    int64_t dirty;
};

static void capture(struct effect_sink *s, int dbid, const struct bytes *argv, int argc)
{
    struct world *w = list_entry(s, struct world, sink);
    (void)dbid;
    if (w->used) w->used += (size_t)snprintf(w->effects + w->used, sizeof w->effects - w->used, "; ");
    for (int i = 0; i < argc; i++)
        w->used += (size_t)snprintf(w->effects + w->used, sizeof w->effects - w->used, "%s%.*s", i ? " " : "",
                                    (int)argv[i].n, argv[i].p);
}

static int setup(void **state)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    command_table_init();
    conf_init(&w.cfg);
    w.srv = (struct server){
        .config = &w.cfg, .dbs = w.dbs, .db_count = 2, .workers = &w.w, .worker_count = 1, .active_expire = true};
    w.w.srv = &w.srv;
    w.w.conf.cfg = &w.cfg;
    rng_seed(&w.w.rng, 1);
    list_init(&w.srv.sinks);
    w.sink.effect = capture;
    list_push_back(&w.srv.sinks, &w.sink.link);
    for (int i = 0; i < 2; i++) db_init(&w.dbs[i], i, 1, 42);
    reply_init(&w.out, 2);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++) db_fini(&w->dbs[i]);
    conf_fini(&w->cfg);
    reply_fini(&w->out);
    return 0;
}

/* Words are parted by single spaces; returns what was propagated. */
static const char *run(struct world *w, const char *line)
{
    struct bytes argv[16];
    int argc = 0;
    for (const char *p = line; *p;) {
        const char *end = strchr(p, ' ');
        if (!end) end = p + strlen(p);
        argv[argc++] = bytes_of(p, (size_t)(end - p));
        p = *end ? end + 1 : end;
    }
    const struct command *cmd = command_find(argv[0]);
    assert_non_null(cmd);
    struct call c = {.srv = &w->srv,
                     .w = &w->w,
                     .cfg = &w->cfg,
                     .db = &w->dbs[0],
                     .cmd = cmd,
                     .argv = argv,
                     .argc = argc,
                     .out = &w->out,
                     .now_ms = NOW,
                     .held = UINT64_MAX};
    w->used = 0;
    w->effects[0] = 0;
    reply_reset(&w->out);
    cmd->handler(&c);
    if (c.dirty && !c.effects_given) effect_as(&c, argc, argv);
    w->dirty = c.dirty;
    return w->effects;
}

static void test_relative_times_become_absolute(void **state)
{
    struct world *w = *state;
    assert_string_equal(run(w, "SET a b EX 100"), "SET a b PXAT 1790000100000");
    assert_string_equal(run(w, "set a b px 5 GET NX"), ""); /* refused */
    assert_string_equal(run(w, "SET a b XX PX 5 GET"), "SET a b PXAT 1790000000005");
    assert_string_equal(run(w, "set a b get PXAT 1790000000009"), "set a b get PXAT 1790000000009"); /* it is */
    assert_string_equal(run(w, "SET a b EXAT 1790000001 GET"), "SET a b PXAT 1790000001000");
    assert_string_equal(run(w, "set a b get keepttl Get XX"), "set a b keepttl XX");
    assert_string_equal(run(w, "SETEX a 7 b"), "SET a b PXAT 1790000007000");
    assert_string_equal(run(w, "PSETEX a 7 b"), "SET a b PXAT 1790000000007");
    assert_string_equal(run(w, "EXPIRE a 10"), "PEXPIREAT a 1790000010000");
    assert_string_equal(run(w, "PEXPIRE a 10000 GT"), ""); /* not later */
    assert_string_equal(run(w, "PEXPIRE a 11000 GT"), "PEXPIREAT a 1790000011000 GT");
    assert_string_equal(run(w, "EXPIREAT a 1800000000"), "PEXPIREAT a 1800000000000");
    assert_string_equal(run(w, "GETEX a EX 3"), "PEXPIREAT a 1790000003000");
    assert_string_equal(run(w, "GETEX a PERSIST"), "PERSIST a");
    assert_string_equal(run(w, "GETEX a PERSIST"), "");
    assert_string_equal(run(w, "GETEX a"), "");
}

static void test_a_time_that_has_passed_is_a_deletion(void **state)
{
    struct world *w = *state;
    run(w, "SET a b");
    assert_string_equal(run(w, "EXPIRE a -1"), "DEL a");
    run(w, "SET a b");
    assert_string_equal(run(w, "GETEX a PXAT 1"), "DEL a");
    w->cfg.lazyfree_lazy_expire = true;
    run(w, "SET a b");
    assert_string_equal(run(w, "PEXPIREAT a 1"), "UNLINK a");
    w->cfg.lazyfree_lazy_expire = false;
    run(w, "SET a b PXAT 5");
    assert_string_equal(run(w, "GET a"), "DEL a"); /* a read that finds it dead says so too */
    run(w, "SET a 5 PXAT 5");
    assert_string_equal(run(w, "INCR a"), "DEL a; INCR a");
}

/* Each of the four options is asked for its own kind of deletion and for no other. */
static void test_a_deletion_is_an_unlink_where_its_option_says_so(void **state)
{
    struct world *w = *state;
    bool *options[] = {&w->cfg.lazyfree_lazy_expire, &w->cfg.lazyfree_lazy_server_del, &w->cfg.lazyfree_lazy_eviction,
                       &w->cfg.lazyfree_lazy_user_del};
    static const struct {
        const char *first, *line, *del, *unlink;
        int option; /* that decides, of the above; -1: none */
    } cases[] = {
        {"SET a b", "EXPIRE a -1", "DEL a", "UNLINK a", 0},  {"SET a b", "GETEX a PXAT 1", "DEL a", "UNLINK a", 0},
        {"SET a b PXAT 5", "GET a", "DEL a", "UNLINK a", 0}, {"SADD a b c", "SPOP a 2", "DEL a", "UNLINK a", 1},
        {"SET a b", "GETDEL a", "DEL a", "DEL a", -1},       {"SET a b", "DEL a", "DEL a", "DEL a", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int on = 0; on < 4; on++) {
            for (int o = 0; o < 4; o++) *options[o] = o == on;
            run(w, cases[i].first);
            assert_string_equal(run(w, cases[i].line), on == cases[i].option ? cases[i].unlink : cases[i].del);
        }
    }
}

static void test_results_are_told_not_ways_to_them(void **state)
{
    struct world *w = *state;
    assert_string_equal(run(w, "INCRBYFLOAT f 0.1"), "SET f 0.1 KEEPTTL");
    assert_string_equal(run(w, "GETSET f x"), "SET f x");
    assert_string_equal(run(w, "SET f y GET XX KEEPTTL"), "SET f y XX KEEPTTL");
    assert_string_equal(run(w, "GETDEL f"), "DEL f");
    assert_string_equal(run(w, "GETDEL f"), "");
}

static void test_what_changes_nothing_is_not_told(void **state)
{
    struct world *w = *state;
    assert_string_equal(run(w, "DEL nothing"), "");
    assert_string_equal(run(w, "SETNX a 1"), "SETNX a 1");
    assert_string_equal(run(w, "SETNX a 2"), "");
    assert_string_equal(run(w, "PERSIST a"), "");
    assert_string_equal(run(w, "SETRANGE b -1 x"), "");
    assert_string_equal(run(w, "COPY nothing b"), "");
    assert_string_equal(run(w, "RENAMENX a a"), "");
    assert_string_equal(run(w, "MOVE nothing 1"), "");
    assert_string_equal(run(w, "SORT nothing STORE nowhere"), "");
}

static void test_dirty_counts_keys_changed(void **state)
{
    struct world *w = *state;
    run(w, "MSET a 1 b 2 c 3");
    assert_int_equal(w->dirty, 3);
    run(w, "RENAME a d");
    assert_int_equal(w->dirty, 1);
    run(w, "MOVE d 1");
    assert_int_equal(w->dirty, 1);
    run(w, "DEL b c d");
    assert_int_equal(w->dirty, 2);
    assert_string_equal(run(w, "FLUSHALL"), "FLUSHALL");
    assert_string_equal(run(w, "FLUSHDB ASYNC"), "FLUSHDB ASYNC"); /* even when nothing is there */
    assert_string_equal(run(w, "SWAPDB 0 1"), "SWAPDB 0 1");
}

/* PFCOUNT only reads, but for one key whose count is out of date. */
static void test_a_count_that_is_kept_is_told(void **state)
{
    struct world *w = *state;
    assert_string_equal(run(w, "PFADD h a b c"), "PFADD h a b c");
    assert_int_equal(w->dirty, 4);
    assert_string_equal(run(w, "PFCOUNT h h"), "");
    assert_string_equal(run(w, "PFCOUNT h"), "PFCOUNT h");
    assert_int_equal(w->dirty, 1);
    assert_string_equal(run(w, "PFCOUNT h"), "");
    assert_string_equal(run(w, "PFADD h a b"), "");
    assert_string_equal(run(w, "PFADD h"), "");
    assert_string_equal(run(w, "PFMERGE g h"), "PFMERGE g h");
    assert_string_equal(run(w, "PFDEBUG DECODE h"), "");
    assert_string_equal(run(w, "PFDEBUG TODENSE h"), "PFDEBUG TODENSE h");
    assert_string_equal(run(w, "PFDEBUG GETREG h"), "");
    assert_string_equal(run(w, "PFDEBUG GETREG g"), "PFDEBUG GETREG g");
    run(w, "APPEND g x");
    assert_string_equal(run(w, "PFADD g a"), "");
}

/* What was added before a value turned out to be corrupt is in it, so that a log has to have it. */
static void test_a_change_before_an_error_is_told(void **state)
{
    struct world *w = *state;
    static const char runs[] = "HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7e\xff"; /* 16,128 registers: e53's is behind them */
    struct call c = {.srv = &w->srv, .w = &w->w, .cfg = &w->cfg, .db = &w->dbs[0], .now_ms = NOW, .held = UINT64_MAX};
    struct key_ref key = key_ref_of(c.db, BYTES("k"));
    db_put_string(&c, &key, bytes_of(runs, sizeof runs - 1), -1, 0);
    assert_string_equal(run(w, "PFADD k e53"), "");
    assert_string_equal(run(w, "PFADD k a e53"), "PFADD k a e53");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_relative_times_become_absolute, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_time_that_has_passed_is_a_deletion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deletion_is_an_unlink_where_its_option_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_results_are_told_not_ways_to_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_changes_nothing_is_not_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dirty_counts_keys_changed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_count_that_is_kept_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_change_before_an_error_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
