/* SPDX-License-Identifier: MIT
 *
 * What commands that pop propagate: the members or the number they took and from which key, never the choice itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/command/command.h"
#include "server/conf/conf.h"
#include "server/server.h"
#include "server/worker.h"

struct world {
    struct server srv;
    struct worker w;
    struct config cfg;
    struct db db;
    struct reply out;
    struct effect_sink sink;
    char effects[32000], reply[32000];
    size_t used;
    bool unblocking;
};

static void capture(struct effect_sink *s, int dbid, const struct bytes *argv, int argc)
{
    struct world *w = list_entry(s, struct world, sink);
    (void)dbid;
    for (int i = 0; i < argc; i++) {
        w->used += (size_t)snprintf(w->effects + w->used, sizeof w->effects - w->used, "%.*s%s", (int)argv[i].n,
                                    argv[i].p, i + 1 < argc ? " " : ";");
    }
}

static int setup(void **state)
{
    static struct world w;
    memset(&w, 0, sizeof w);
    command_table_init();
    conf_init(&w.cfg);
    w.srv = (struct server){.config = &w.cfg, .dbs = &w.db, .db_count = 1, .workers = &w.w, .worker_count = 1};
    w.w.srv = &w.srv;
    w.w.conf.cfg = &w.cfg;
    rng_seed(&w.w.rng, 1);
    list_init(&w.srv.sinks);
    w.sink.effect = capture;
    list_push_back(&w.srv.sinks, &w.sink.link);
    db_init(&w.db, 0, 1, 42);
    reply_init(&w.out, 2);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    db_fini(&w->db);
    reply_fini(&w->out);
    conf_fini(&w->cfg);
    return 0;
}

/* Words are parted by single spaces; returns what was propagated, each command with a ';'. */
static const char *run(struct world *w, const char *line)
{
    struct bytes argv[64];
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
                     .db = &w->db,
                     .cmd = cmd,
                     .argv = argv,
                     .argc = argc,
                     .out = &w->out,
                     .now_ms = 1790000000000,
                     .held = UINT64_MAX,
                     .deny_blocking = !w->unblocking,
                     .unblocking = w->unblocking};
    w->used = 0;
    w->effects[0] = 0;
    reply_reset(&w->out);
    cmd->handler(&c);
    if (c.dirty && !c.effects_given) effect_as(&c, argc, argv);
    size_t n = reply_bytes(&w->out);
    assert_true(n < sizeof w->reply);
    reply_copy_out(&w->out, w->reply);
    w->reply[n] = 0;
    return w->effects;
}

static int64_t count_of(struct world *w, const char *line)
{
    run(w, line);
    return strtoll(w->reply + 1, NULL, 10);
}

/* Every member the effects name is in the reply, and gone. */
static void popped_as_told(struct world *w, const char *line, int count)
{
    static char effects[32000], reply[32000];
    char member[40], question[80];
    strcpy(effects, run(w, line));
    strcpy(reply, w->reply);
    int told = 0, used;
    assert_memory_equal(effects, "SREM s ", 7);
    assert_ptr_equal(strchr(effects, ';') + 1, effects + strlen(effects)); /* one effect of all */
    for (const char *p = effects + 7; *p; p += used + 1, told++) {
        assert_int_equal(sscanf(p, "%39[^; ]%n", member, &used), 1);
        char bulk[60];
        snprintf(bulk, sizeof bulk, "\r\n%s\r\n", member);
        assert_non_null(strstr(reply, bulk));
        snprintf(question, sizeof question, "SISMEMBER s %s", member);
        assert_int_equal(count_of(w, question), 0);
    }
    assert_int_equal(told, count);
}

static void test_spop_is_told_as_srem(void **state)
{
    struct world *w = *state;
    static const char *const fills[] = {"SADD s 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
                                        "SADD s a b c d e f g h i j k l m n o p"};
    for (int i = 0; i < 2; i++) {
        run(w, fills[i]);
        popped_as_told(w, "SPOP s", 1);
        popped_as_told(w, "SPOP s 3", 3);
        popped_as_told(w, "SPOP s 11", 11); /* so many of 12 that a set of the rest is made */
        assert_int_equal(count_of(w, "SCARD s"), 1);
        popped_as_told(w, "SPOP s", 1);
        assert_int_equal(count_of(w, "EXISTS s"), 0);
    }
    assert_string_equal(run(w, "SPOP s"), "");
    run(w, fills[0]);
    assert_string_equal(run(w, "SPOP s 0"), "");
    assert_string_equal(run(w, "SPOP s 100"), "DEL s;");
}

static void test_an_effect_of_spop_has_1024_members_at_most(void **state)
{
    static const struct {
        const char *line;
        int effects;
    } rows[] = {{"SPOP s 1023", 1}, {"SPOP s 1024", 1}, {"SPOP s 1025", 2}, {"SPOP s 927", 1}};
    struct world *w = *state;
    char line[64];
    for (int as_text = 0; as_text < 2; as_text++) {
        for (int i = 0; i < 4000; i++) {
            snprintf(line, sizeof line, "SADD s %s%d", as_text ? "m" : "", i);
            run(w, line);
        }
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            int effects = 0, words = 0;
            for (const char *p = run(w, rows[i].line); *p; p++) {
                effects += *p == ';';
                words += *p == ' ';
            }
            assert_int_equal(effects, rows[i].effects);
            assert_int_equal(words - effects, atoi(rows[i].line + 7));
        }
        assert_int_equal(count_of(w, "SCARD s"), 1);
        run(w, "SPOP s");
    }
}

static void test_pops_from_several_keys_name_the_one(void **state)
{
    struct world *w = *state;
    run(w, "ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h");
    assert_string_equal(run(w, "ZPOPMIN z"), "ZPOPMIN z;");
    assert_string_equal(run(w, "BZPOPMIN no z 0"), "ZPOPMIN z;");
    assert_string_equal(run(w, "BZPOPMAX no z 0"), "ZPOPMAX z;");
    assert_string_equal(run(w, "ZMPOP 2 no z MAX COUNT 2"), "ZPOPMAX z 2;");
    assert_string_equal(run(w, "BZMPOP 0 2 no z MIN"), "ZPOPMIN z 1;");
    assert_string_equal(run(w, "BZMPOP 0 2 no z MIN COUNT 9"), "ZPOPMIN z 2;");
    assert_int_equal(count_of(w, "EXISTS z"), 0);
    assert_string_equal(run(w, "ZMPOP 2 no z MIN"), "");
    assert_string_equal(w->reply, "*-1\r\n");
    assert_string_equal(run(w, "BZPOPMIN no z 0"), "");
    assert_string_equal(w->reply, "*-1\r\n");
}

/* It runs its command from the beginning: a key that holds something else by now is told, as to anybody. */
static void test_a_served_client_meets_wrong_types(void **state)
{
    struct world *w = *state;
    run(w, "SET s x");
    run(w, "ZADD z 1 a 2 b");
    w->unblocking = true;
    run(w, "BZPOPMIN s z 0");
    assert_string_equal(w->reply, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    assert_string_equal(run(w, "BZMPOP 0 2 none z MIN"), "ZPOPMIN z 1;");
    assert_string_equal(run(w, "BZPOPMIN none 0"), ""); /* waits on */
    assert_string_equal(w->reply, "");
    w->unblocking = false;
}

static void test_what_changes_nothing_is_not_told(void **state)
{
    struct world *w = *state;
    run(w, "ZADD z 1 a");
    assert_string_equal(run(w, "ZADD z 1 a"), "");
    assert_string_equal(run(w, "ZADD z XX 1 b"), "");
    assert_string_equal(run(w, "ZADD z GT 0 a"), "");
    assert_string_equal(run(w, "ZINCRBY z 0 a"), "");
    assert_string_equal(run(w, "ZREM z b"), "");
    assert_string_equal(run(w, "ZREMRANGEBYSCORE z 2 3"), "");
    assert_string_equal(run(w, "ZUNIONSTORE no 1 none"), "");
    run(w, "SADD t a");
    assert_string_equal(run(w, "SADD t a"), "");
    assert_string_equal(run(w, "SREM t b"), "");
    assert_string_equal(run(w, "SMOVE t u b"), "");
    assert_string_equal(run(w, "SINTERSTORE no t none"), "");
    assert_string_equal(run(w, "SMOVE t u a"), "SMOVE t u a;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spop_is_told_as_srem, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_effect_of_spop_has_1024_members_at_most, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pops_from_several_keys_name_the_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_served_client_meets_wrong_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_changes_nothing_is_not_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
