/* SPDX-License-Identifier: MIT
 *
 * What clients of a replica are answered, and what its primary does to the same data.
 */
#include "server/exec/session_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "server/db/own_expires.h"
#include "server/evict.h"
#include "server/repl/role.h"
#include "server/repl/upstream.h"

#define READONLY   "-READONLY You can't write against a read only replica.\r\n"
#define MASTERDOWN "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"

static struct fixture f;
static struct reply out, primary_out;
static struct session s, primary;
static struct upstream upstream;

static int setup(void **state)
{
    (void)state;
    fixture_init(&f, 1);
    reply_init(&out, 2);
    reply_init(&primary_out, 2);
    session_init(&s, &f.w, &out);
    session_init(&primary, &f.w, &primary_out);
    primary.flags |= SESSION_PRIMARY;
    upstream = (struct upstream){.host = (char *)"127.0.0.1", .port = 6379, .state = UPSTREAM_CONNECTED};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    f.srv.upstream = NULL;
    session_fini(&s);
    session_fini(&primary);
    reply_fini(&out);
    reply_fini(&primary_out);
    fixture_fini(&f);
    return 0;
}

static const char *ask(const char *line) { return fixture_ask(&f, &s, line); }
static void stream(const char *line) { assert_string_equal(fixture_ask(&f, &primary, line), ""); }

static void follow(bool read_only)
{
    f.cfg.replica_read_only = read_only;
    f.srv.upstream = &upstream;
    role_update(&f.w);
}

static void promote(void)
{
    f.srv.upstream = NULL;
    role_update(&f.w);
}

static void pass(int64_t ms) { f.w.now_ms += ms; }

/* --- read-only ---------------------------------------------------------------------------------------------------- */

static void test_clients_may_not_write_and_the_primary_may(void **state)
{
    (void)state;
    follow(true);
    assert_string_equal(ask("SET k v"), READONLY);
    stream("SET k v");
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
    assert_string_equal(ask("DEL k"), READONLY);
    assert_string_equal(ask("MULTI"), "+OK\r\n");
    assert_string_equal(ask("GET k"), "+QUEUED\r\n");
    assert_string_equal(ask("SET k w"), READONLY);
    assert_string_equal(ask("EXEC"), "-EXECABORT Transaction discarded because of previous errors.\r\n");
    promote();
    assert_int_equal(f.srv.unusual, 0);
    assert_string_equal(ask("SET k w"), "+OK\r\n");
}

/* What was queued before the role changed. */
static void test_a_transaction_begun_as_primary_does_not_write(void **state)
{
    (void)state;
    ask("MULTI");
    ask("SET k v");
    follow(true);
    assert_string_equal(ask("EXEC"),
                        "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only "
                        "replica.\r\n");
    assert_string_equal(ask("EXISTS k"), ":0\r\n");
}

static void test_a_transaction_of_the_primary_runs_whole(void **state)
{
    (void)state;
    follow(true);
    stream("MULTI");
    stream("SET k 1");
    assert_string_equal(ask("GET k"), "$-1\r\n");
    stream("INCR k");
    stream("EXEC");
    assert_string_equal(ask("GET k"), "$1\r\n2\r\n");
}

static void test_a_replica_evicts_nothing_and_refuses_its_primary_nothing(void **state)
{
    (void)state;
    ask("SET there v");
    f.cfg.maxmemory = 1;
    f.cfg.maxmemory_policy = MAXMEMORY_ALLKEYS_RANDOM;
    follow(true);
    stream("SET k v");
    assert_string_equal(ask("GET there"), "$1\r\nv\r\n");
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
    assert_int_equal(f.w.stats.evicted, 0);
    f.cfg.replica_ignore_maxmemory = false;
    f.cfg.maxmemory_policy = MAXMEMORY_NOEVICTION;
    stream("SET k w"); /* it has happened at the primary */
    assert_string_equal(ask("GET k"), "$1\r\nw\r\n");
}

/* What its own disk refuses to others would make it another than its primary: it stops, or goes on without the disk. */
static void test_a_replica_whose_disk_fails_stops_or_goes_on(void **state)
{
    (void)state;
    follow(true);
    f.srv.unusual |= SERVER_DISK_ERROR;
    f.cfg.replica_ignore_disk_write_errors = true;
    stream("SET k v");
    stream("PING");
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
    assert_false(f.srv.stopping);
    f.cfg.replica_ignore_disk_write_errors = false;
    stream("PING");
    assert_false(f.srv.stopping);
    stream("SET k w");
    assert_true(f.srv.stopping);
    assert_int_equal(f.srv.exit_code, 1);
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
    f.srv.unusual &= ~(unsigned)SERVER_DISK_ERROR;
}

static void test_the_stream_waits_while_a_script_is_busy(void **state)
{
    (void)state;
    follow(true);
    f.srv.unusual |= SERVER_BUSY_SCRIPT;
    assert_int_equal(exec_argv(&primary, (struct bytes[]){BYTES("SET"), BYTES("k"), BYTES("v")}, 3), EXEC_HOLD);
    f.srv.unusual &= ~(unsigned)SERVER_BUSY_SCRIPT;
    assert_int_equal(exec_argv(&primary, (struct bytes[]){BYTES("SET"), BYTES("k"), BYTES("v")}, 3), EXEC_APPLIED);
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
}

/* --- without its link --------------------------------------------------------------------------------------------- */

static void test_old_data_are_served_only_if_they_may_be(void **state)
{
    (void)state;
    ask("SET k v");
    upstream.state = UPSTREAM_CONNECT;
    follow(true);
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
    f.cfg.replica_serve_stale_data = false;
    role_update(&f.w);
    assert_string_equal(ask("GET k"), MASTERDOWN);
    assert_string_equal(ask("PING"), MASTERDOWN);
    assert_string_equal(ask("SET k v"), READONLY);
    assert_string_equal(ask("PUBLISH c m"), ":0\r\n");
    upstream.state = UPSTREAM_CONNECTED;
    role_update(&f.w);
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
}

/* --- time --------------------------------------------------------------------------------------------------------- */

static void test_what_is_past_its_time_is_hidden_and_stays(void **state)
{
    (void)state;
    follow(true);
    stream("SET k v PXAT 1790000000100");
    stream("RPUSH other x");
    assert_string_equal(ask("GET k"), "$1\r\nv\r\n");
    pass(101);
    assert_string_equal(ask("GET k"), "$-1\r\n");
    assert_string_equal(ask("EXISTS k"), ":0\r\n");
    assert_string_equal(ask("TTL k"), ":-2\r\n");
    assert_string_equal(ask("PEXPIRETIME k"), ":-2\r\n");
    assert_string_equal(ask("TYPE k"), "+none\r\n");
    assert_string_equal(ask("DUMP k"), "$-1\r\n");
    assert_string_equal(ask("OBJECT ENCODING k"), "$-1\r\n");
    assert_string_equal(ask("TOUCH k"), ":0\r\n");
    assert_string_equal(ask("STRLEN k"), ":0\r\n");
    assert_string_equal(ask("KEYS *"), "*1\r\n$5\r\nother\r\n");
    assert_string_equal(ask("SCAN 0"), "*2\r\n$1\r\n0\r\n*1\r\n$5\r\nother\r\n");
    assert_string_equal(ask("RANDOMKEY"), "$5\r\nother\r\n");
    assert_string_equal(ask("DBSIZE"), ":2\r\n");
    assert_string_equal(f.effects, "");
    assert_int_equal(f.w.stats.expired, 0);
    assert_string_equal(ask("DBSIZE"), ":2\r\n");
    stream("DEL k");
    assert_string_equal(ask("DBSIZE"), ":1\r\n");
    assert_int_equal(f.w.stats.expired, 0);
}

static void test_all_that_is_hidden_may_still_be_named_at_random(void **state)
{
    (void)state;
    follow(true);
    stream("SET k v PXAT 1790000000100");
    pass(101);
    assert_string_equal(ask("RANDOMKEY"), "$1\r\nk\r\n");
    assert_string_equal(ask("KEYS *"), "*0\r\n");
}

/* The primary's clock decides: while it has not said DEL, the key is there for what it says. */
static void test_the_stream_sees_what_is_past_its_time(void **state)
{
    (void)state;
    follow(true);
    stream("SET k 1 PXAT 1790000000100");
    pass(1000);
    stream("INCR k");
    stream("PEXPIREAT k 1790000009000");
    assert_string_equal(ask("GET k"), "$1\r\n2\r\n");
    stream("PEXPIREAT k 1790000000500"); /* a time that is past is no DEL here */
    assert_string_equal(ask("DBSIZE"), ":1\r\n");
    assert_string_equal(ask("GET k"), "$-1\r\n");
    stream("PERSIST k");
    assert_string_equal(ask("GET k"), "$1\r\n2\r\n");
}

static void test_a_promoted_replica_deletes(void **state)
{
    (void)state;
    follow(true);
    stream("SET k 1 PXAT 1790000000100");
    pass(101);
    assert_string_equal(ask("GET k"), "$-1\r\n");
    promote();
    assert_string_equal(ask("GET k"), "$-1\r\n");
    assert_string_equal(f.effects, "DEL k");
    assert_string_equal(ask("DBSIZE"), ":0\r\n");
}

/* A client that watches is told that the key's time has come, though it stays. */
static void test_a_watched_key_past_its_time_fails_the_transaction(void **state)
{
    (void)state;
    follow(true);
    stream("SET k v PXAT 1790000000100");
    ask("WATCH k");
    pass(101);
    ask("MULTI");
    ask("GET k");
    assert_string_equal(ask("EXEC"), "*-1\r\n");
}

/* --- writable ----------------------------------------------------------------------------------------------------- */

static void test_a_write_of_a_client_deletes_first_what_is_past_its_time(void **state)
{
    (void)state;
    follow(false);
    stream("SET k v PXAT 1790000000100");
    stream("SET gone v PXAT 1790000000100");
    pass(101);
    assert_string_equal(ask("GET k"), "$-1\r\n");
    assert_string_equal(ask("DBSIZE"), ":2\r\n");
    assert_string_equal(ask("APPEND k new"), ":3\r\n");
    assert_string_equal(ask("GET k"), "$3\r\nnew\r\n");
    assert_int_equal(f.w.stats.expired, 1);
    /* DEL finds what is still there, as redis-server's does. */
    assert_string_equal(ask("DEL gone"), ":1\r\n");
}

static void test_a_writable_replica_deletes_what_its_own_clients_gave_a_time(void **state)
{
    (void)state;
    follow(false);
    stream("SET theirs v PXAT 1790000000100");
    ask("SET own v PXAT 1790000000100");
    ask("SET kept v PXAT 1790000900000");
    ask("RPUSH list x");
    ask("PEXPIREAT list 1790000000100");
    ask("SET new v PX 100");
    ask("SET new v");
    ask("SET name v PX 100");
    ask("RENAME name renamed");
    ask("SET deleted v PX 100");
    ask("DEL deleted");
    assert_int_equal(own_expires_count(&f.dbs[0]) >= 4, true);
    pass(101);
    assert_string_equal(ask("DBSIZE"), ":6\r\n");
    f.used = 0;
    struct call c = run_internal(&f.w, &f.dbs[0]);
    for (int i = 0; i < 50; i++) own_expires_some(&c, UINT64_MAX); /* names are drawn */
    assert_string_equal(ask("DBSIZE"), ":3\r\n");
    assert_int_equal(f.w.stats.expired, 3);
    assert_int_equal(own_expires_count(&f.dbs[0]), 1);
    assert_string_equal(ask("GET theirs"), "$-1\r\n");
    assert_string_equal(ask("EXISTS kept new"), ":2\r\n");
    /* Read-only, it knows them still; a primary has no need to. */
    follow(true);
    assert_int_equal(own_expires_count(&f.dbs[0]), 1);
    promote();
    assert_int_equal(own_expires_count(&f.dbs[0]), 0);
}

/* Whose keys come and go is not remembered for ever. */
static void test_names_of_keys_that_are_gone_do_not_gather(void **state)
{
    (void)state;
    char line[64];
    follow(false);
    for (int i = 0; i < 20000; i++) {
        snprintf(line, sizeof line, "SET key:%d v PX 1000000", i);
        ask(line);
        snprintf(line, sizeof line, "DEL key:%d", i);
        ask(line);
    }
    assert_true(own_expires_count(&f.dbs[0]) < 100);
    for (int i = 0; i < 50; i++) {
        snprintf(line, sizeof line, "SET key:%d v PX 1000000", i);
        ask(line);
    }
    assert_true(own_expires_count(&f.dbs[0]) >= 50);
    ask("FLUSHDB");
    assert_int_equal(own_expires_count(&f.dbs[0]), 0);
}

static void test_databases_that_change_places_take_their_names_along(void **state)
{
    (void)state;
    follow(false);
    ask("SET own v PXAT 1790000000100");
    ask("SWAPDB 0 1");
    pass(101);
    struct call c = run_internal(&f.w, &f.dbs[1]);
    own_expires_some(&c, UINT64_MAX);
    ask("SELECT 1");
    assert_string_equal(ask("DBSIZE"), ":0\r\n");
}

/* --- what it tells ------------------------------------------------------------------------------------------------ */

static void test_role_names_every_state_of_the_link(void **state)
{
    (void)state;
    static const struct {
        enum upstream_state state;
        const char *reply;
    } rows[] = {{UPSTREAM_CONNECT, "$7\r\nconnect\r\n:-1\r\n"},
                {UPSTREAM_CONNECTING, "$10\r\nconnecting\r\n:-1\r\n"},
                {UPSTREAM_HANDSHAKE, "$9\r\nhandshake\r\n:-1\r\n"},
                {UPSTREAM_TRANSFER, "$4\r\nsync\r\n:-1\r\n"},
                {UPSTREAM_CONNECTED, "$9\r\nconnected\r\n:7\r\n"}};
    follow(true);
    f.srv.history.base = 7;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[128];
        upstream.state = rows[i].state;
        snprintf(want, sizeof want, "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n%s", rows[i].reply);
        assert_string_equal(ask("ROLE"), want);
    }
    promote();
    assert_memory_equal(ask("ROLE"), "*3\r\n$6\r\nmaster\r\n", 16);
}

static bool info_says(const char *lines) { return strstr(ask("INFO replication"), lines) != NULL; }

static void test_info_tells_of_the_primary(void **state)
{
    (void)state;
    follow(true);
    f.srv.history.base = 7;
    upstream.io_ms = FIXTURE_NOW - 3000;
    assert_true(info_says("role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:up\r\n"
                          "master_last_io_seconds_ago:3\r\nmaster_sync_in_progress:0\r\nslave_read_repl_offset:7\r\n"
                          "slave_repl_offset:7\r\nslave_priority:100\r\nslave_read_only:1\r\nreplica_announced:1\r\n"
                          "connected_slaves:0\r\n"));
    upstream.state = UPSTREAM_CONNECT;
    upstream.down_ms = FIXTURE_NOW - 9000;
    assert_true(info_says("master_link_status:down\r\nmaster_last_io_seconds_ago:-1\r\nmaster_sync_in_progress:0\r\n"
                          "slave_read_repl_offset:1\r\nslave_repl_offset:1\r\n"
                          "master_link_down_since_seconds:9\r\nslave_priority:100\r\n"));
    upstream.may_continue = true;
    assert_true(info_says("slave_repl_offset:7\r\n"));
    upstream.down_ms = 0; /* there was no link yet */
    assert_true(info_says("master_link_down_since_seconds:-1\r\n"));
    promote();
    assert_true(info_says("role:master\r\nconnected_slaves:0\r\n"));
}

static void test_info_tells_how_far_a_snapshot_is(void **state)
{
    (void)state;
    follow(true);
    upstream.state = UPSTREAM_TRANSFER;
    upstream.transfer = (struct upstream_transfer){.total = 400, .read = 100, .io_ms = FIXTURE_NOW - 2000};
    assert_true(info_says("master_sync_in_progress:1\r\n"));
    assert_true(info_says("master_sync_total_bytes:400\r\nmaster_sync_read_bytes:100\r\nmaster_sync_left_bytes:300\r\n"
                          "master_sync_perc:25.00\r\nmaster_sync_last_io_seconds_ago:2\r\n"
                          "master_link_down_since_seconds:-1\r\n"));
    upstream.transfer.total = -1; /* its end is marked */
    assert_true(info_says("master_sync_total_bytes:0\r\nmaster_sync_read_bytes:100\r\nmaster_sync_left_bytes:-100\r\n"
                          "master_sync_perc:0.00\r\n"));
}

static void test_nobody_waits_for_replicas_of_a_replica(void **state)
{
    (void)state;
    follow(true);
    assert_memory_equal(ask("WAIT 0 0"), "-ERR WAIT cannot be used with replica instances. ", 49);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_clients_may_not_write_and_the_primary_may, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_transaction_begun_as_primary_does_not_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_transaction_of_the_primary_runs_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_replica_evicts_nothing_and_refuses_its_primary_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_replica_whose_disk_fails_stops_or_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_stream_waits_while_a_script_is_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_old_data_are_served_only_if_they_may_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_past_its_time_is_hidden_and_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_that_is_hidden_may_still_be_named_at_random, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_stream_sees_what_is_past_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_promoted_replica_deletes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_watched_key_past_its_time_fails_the_transaction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_write_of_a_client_deletes_first_what_is_past_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_writable_replica_deletes_what_its_own_clients_gave_a_time, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_names_of_keys_that_are_gone_do_not_gather, setup, teardown),
        cmocka_unit_test_setup_teardown(test_databases_that_change_places_take_their_names_along, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role_names_every_state_of_the_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_info_tells_of_the_primary, setup, teardown),
        cmocka_unit_test_setup_teardown(test_info_tells_how_far_a_snapshot_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_replicas_of_a_replica, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
