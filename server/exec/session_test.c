/* SPDX-License-Identifier: MIT
 *
 * Commands of sessions that have no connection.
 */
#include "server/exec/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "server/db/interest.h"
#include "server/db/preimage.h"

static struct fixture f;
static struct reply out_a, out_b;
static struct session a, b;

static int setup(void **state)
{
    (void)state;
    fixture_init(&f, 1);
    reply_init(&out_a, 2);
    reply_init(&out_b, 2);
    session_init(&a, &f.w, &out_a);
    session_init(&b, &f.w, &out_b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    session_fini(&a);
    session_fini(&b);
    reply_fini(&out_a);
    reply_fini(&out_b);
    fixture_fini(&f);
    return 0;
}

static const char *ask(const char *line) { return fixture_ask(&f, &a, line); }

static void test_commands_run_and_have_effects(void **state)
{
    (void)state;
    assert_string_equal(ask("SET k v"), "+OK\r\n");
    assert_string_equal(f.effects, "SET k v");
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
    assert_string_equal(ask("MSET x 1 y 2 z 3"), "+OK\r\n");
    assert_string_equal(ask("MGET x y z nothing"), "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$-1\r\n");
    assert_string_equal(ask("RENAME x w"), "+OK\r\n");
    assert_string_equal(ask("OBJECT ENCODING w"), "$3\r\nint\r\n");
    assert_string_equal(ask("nonsense a b"), "-ERR unknown command 'nonsense', with args beginning with: 'a' 'b' \r\n");
    assert_string_equal(ask("GET"), "-ERR wrong number of arguments for 'get' command\r\n");
    assert_int_equal(f.w.stats.commands, 6); /* those that ran */
}

static void test_a_session_has_a_database_of_its_own(void **state)
{
    (void)state;
    ask("SET k v");
    assert_string_equal(ask("SELECT 1"), "+OK\r\n");
    assert_string_equal(ask("GET k"), "$-1\r\n");
    assert_string_equal(fixture_ask(&f, &b, "GET k"), "$1\r\nv\r\n");
}

static void test_a_transaction_is_queued_and_runs(void **state)
{
    (void)state;
    assert_string_equal(ask("MULTI"), "+OK\r\n");
    assert_string_equal(ask("INCR n"), "+QUEUED\r\n");
    assert_string_equal(ask("SADD s 1 2"), "+QUEUED\r\n");
    assert_string_equal(fixture_ask(&f, &b, "EXISTS n"), ":0\r\n");
    assert_string_equal(ask("EXEC"), "*2\r\n:1\r\n:2\r\n");
    assert_ptr_equal(multi_exec_argv(&a), NULL); /* a script behind it is not EXEC's */
    assert_string_equal(f.effects, "MULTI; INCR n; SADD s 1 2; EXEC");
    assert_string_equal(ask("MULTI"), "+OK\r\n");
    assert_string_equal(ask("GET"), "-ERR wrong number of arguments for 'get' command\r\n");
    assert_string_equal(ask("EXEC"), "-EXECABORT Transaction discarded because of previous errors.\r\n");
}

static void test_what_is_watched_spoils_exec_when_another_changes_it(void **state)
{
    (void)state;
    ask("SET k 1");
    ask("WATCH k k other");
    assert_int_equal(watch_count(&a), 2);
    fixture_ask(&f, &b, "INCR k");
    ask("MULTI");
    ask("GET k");
    assert_string_equal(ask("EXEC"), "*-1\r\n");
    assert_false(interest_any(&f.dbs[0]));
    ask("WATCH k");
    ask("MULTI");
    ask("INCR k");
    assert_string_equal(ask("EXEC"), "*1\r\n:3\r\n");
}

static void test_watch_stays_with_the_database_when_its_contents_go(void **state)
{
    (void)state;
    ask("SET k 1");
    ask("WATCH k");
    fixture_ask(&f, &b, "SWAPDB 0 1");
    ask("MULTI");
    assert_string_equal(ask("EXEC"), "*-1\r\n");
    ask("WATCH k"); /* not there any more */
    fixture_ask(&f, &b, "SWAPDB 0 1");
    ask("MULTI");
    assert_string_equal(ask("EXEC"), "*-1\r\n");
    ask("WATCH k");
    fixture_ask(&f, &b, "FLUSHALL");
    ask("MULTI");
    assert_string_equal(ask("EXEC"), "*-1\r\n");
    ask("WATCH k");
    fixture_ask(&f, &b, "FLUSHALL"); /* nothing was there */
    ask("MULTI");
    assert_string_equal(ask("EXEC"), "*0\r\n");
}

static void test_what_would_wait_answers_at_once(void **state)
{
    (void)state;
    assert_string_equal(ask("BLPOP l 0"), "*-1\r\n");
    assert_string_equal(ask("BZPOPMIN z 0"), "*-1\r\n");
    assert_string_equal(ask("BLMOVE l m LEFT LEFT 0"), "*-1\r\n");
    assert_int_equal(f.w.blocked_count, 0);
}

static void test_what_needs_a_connection_is_refused(void **state)
{
    (void)state;
    assert_string_equal(ask("SUBSCRIBE c"), "-ERR 'subscribe' works on a connection, and there is none\r\n");
    assert_string_equal(ask("CLIENT ID"), "-ERR 'client|id' works on a connection, and there is none\r\n");
    assert_string_equal(ask("MONITOR"), "-ERR 'monitor' works on a connection, and there is none\r\n");
}

/* No handler takes a connection for granted: every command is asked with too many words for most, and nothing
 * crashes. */
static void test_every_command_survives_a_session_without_connection(void **state)
{
    (void)state;
    static const char *const tails[] = {"", " k", " k v", " k 1", " k 1 2", " k 0 -1", " k a b c", " 1 k v"};
    for (unsigned i = 0; i < command_count(); i++) {
        const struct command *cmd = command_at(i);
        if ((cmd->flags & (CMD_ADMIN | CMD_PROTECTED)) || !cmd->handler) continue;
        for (size_t t = 0; t < sizeof tails / sizeof *tails; t++) {
            char line[256];
            snprintf(line, sizeof line, "%s%s%s%s", cmd->parent ? cmd->parent->name : cmd->name, cmd->parent ? " " : "",
                     cmd->parent ? cmd->name : "", tails[t]);
            ask(line);
        }
    }
}

/* --- the observer of old values ----------------------------------------------------------------------------------- */

struct observer {
    struct preimage preimage;
    char text[1024]; /* "k=old; n=-; all" */
};

static void note(struct observer *o, const char *fmt, ...)
{
    size_t n = strlen(o->text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(o->text + n, sizeof o->text - n, fmt, ap);
    va_end(ap);
}

static void on_before(struct preimage *p, struct call *c, struct db *db, const struct key_ref *key, struct entry *e)
{
    struct observer *o = list_entry(p, struct observer, preimage);
    char buf[ENTRY_STR_BUF];
    (void)c;
    note(o, "%s%d:%.*s=", *o->text ? "; " : "", db->id, (int)key->name.n, key->name.p);
    if (!e) note(o, "-");
    else if (e->type == OBJ_STRING) note(o, "%.*s", (int)entry_string(e, buf).n, entry_string(e, buf).p);
    else note(o, "%zu elements", value_elements(e));
}

static bool on_whole(struct preimage *p, struct call *c, struct db *db, struct db *with)
{
    struct observer *o = list_entry(p, struct observer, preimage);
    (void)c;
    note(o, "%s%d->%d", *o->text ? "; " : "", db->id, with ? with->id : -1);
    return false;
}

static void test_the_observer_sees_old_values_once_a_command(void **state)
{
    (void)state;
    static const struct {
        const char *line, *seen;
    } steps[] = {
        {"SET k 1", "0:k=-"},
        {"GET k", ""},
        {"SET k 2", "0:k=1"},
        {"INCR k", "0:k=2"},
        {"APPEND k 0", "0:k=3"},
        {"MSET k a k b n 1", "0:k=30; 0:n=-"}, /* twice in one command */
        {"EXPIRE k 100", "0:k=b"},
        {"EXPIRE nothing 100", ""},
        {"PERSIST k", "0:k=b"},
        {"PERSIST k", ""},
        {"GETEX k EX 10", "0:k=b"},
        {"SET k c XX GET", "0:k=b"},
        {"SETNX k d", ""},
        {"RENAME k m", "0:m=-; 0:k=c"},
        {"COPY m n REPLACE", "0:n=1"},
        {"MOVE n 1", "1:n=-; 0:n=c"},
        {"SADD s 1 2 3", "0:s=-"},
        {"SMOVE s t 1", "0:s=3 elements; 0:t=-"},
        {"SPOP s 2", "0:s=2 elements"},
        {"RPUSH l a b c", "0:l=-"},
        {"LMOVE l l LEFT RIGHT", "0:l=3 elements"},
        {"LPOP l 3", "0:l=3 elements"},
        {"ZADD z 1 a 2 b", "0:z=-"},
        {"ZUNIONSTORE z 2 z z", "0:z=2 elements"},
        {"HSET h f v", "0:h=-"},
        {"HDEL h f g", "0:h=1 elements"},
        {"SETBIT bits 7 1", "0:bits=-"},
        {"GETDEL m", "0:m=c"},
        {"DEL z t nothing", "0:z=2 elements; 0:t=1 elements"},
        {"SWAPDB 0 1", "0->1"},
        {"FLUSHALL", "0->-1; 1->-1; 2->-1; 3->-1"},
    };
    struct observer o = {.preimage = {.before = on_before, .whole = on_whole}};
    preimage_observe(f.dbs, FIXTURE_DBS, &o.preimage);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        o.text[0] = 0;
        ask(steps[i].line);
        if (strcmp(o.text, steps[i].seen) != 0)
            fail_msg("%s: the observer saw \"%s\" instead of \"%s\"", steps[i].line, o.text, steps[i].seen);
    }
    /* Expiry found on access is a change like any other. */
    ask("SET k v PX 1");
    f.w.now_ms += 10;
    o.text[0] = 0;
    assert_string_equal(ask("GET k"), "$-1\r\n");
    assert_string_equal(o.text, "0:k=v");
    f.w.now_ms = FIXTURE_NOW;
    preimage_forget(f.dbs, FIXTURE_DBS, &o.preimage);
}

static void test_a_changed_configuration_is_the_next_commands(void **state)
{
    (void)state;
    const struct config *first = f.w.conf.cfg;
    ask("MULTI");
    ask("CONFIG SET set-max-listpack-entries 1 set-max-intset-entries 1");
    ask("SADD s a b c");
    ask("OBJECT ENCODING s");
    ask("CONFIG SET set-max-listpack-entries 128");
    ask("SADD t a b c");
    ask("OBJECT ENCODING t");
    assert_string_equal(ask("EXEC"), "*6\r\n+OK\r\n:3\r\n$9\r\nhashtable\r\n+OK\r\n:3\r\n$8\r\nlistpack\r\n");
    assert_ptr_not_equal(f.w.conf.cfg, first);
    assert_ptr_equal(f.w.conf.cfg, f.srv.config);
    assert_ptr_equal(f.w.call.cfg, f.srv.config);
    assert_int_equal(f.srv.conf.replaced_count, 0);
    assert_true(first->set_max_listpack_entries == 128 && first->set_max_intset_entries == 512);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_commands_run_and_have_effects),
        TEST(test_a_session_has_a_database_of_its_own),
        TEST(test_a_transaction_is_queued_and_runs),
        TEST(test_what_is_watched_spoils_exec_when_another_changes_it),
        TEST(test_watch_stays_with_the_database_when_its_contents_go),
        TEST(test_what_would_wait_answers_at_once),
        TEST(test_what_needs_a_connection_is_refused),
        TEST(test_every_command_survives_a_session_without_connection),
        TEST(test_the_observer_sees_old_values_once_a_command),
        TEST(test_a_changed_configuration_is_the_next_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
