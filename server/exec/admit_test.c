/* SPDX-License-Identifier: MIT
 *
 * admit() as a table: what a session is, what it asks, what the server's state is, and what must be answered.
 */
#include "server/exec/admit.h"

#include "server/acl/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "server/exec/multi.h"
#include "server/server.h"

/* Sessions: flags beside SESSION_AUTHENTICATED; OUTSIDER has not even that. */
#define OUTSIDER  (1u << 31)
#define NO_CLIENT (1u << 30)
#define RESP3     (1u << 29)

/* States. */
enum {
    FINE,
    OVER,
    PAUSED,
    PAUSED_WRITES,
    DEBUG_LOCAL,
    DEBUG_YES,
    MODULE_YES,
    LOADING,
    NO_DISK,
    NO_DISK_OVER,
    NO_LOG,
    FEW,
    READ_ONLY,
    READ_ONLY_OVER,
    READ_ONLY_NO_DISK,
    STALE,
    STALE_LOADING,
    REPLAYING, /* and whatever else may stand against it */
    BESIDE,
    BUSY
};

static const struct {
    const char *line;
    uint32_t session;
    int state;
    enum admit_verdict verdict;
    enum admit_reason reason;
} cases[] = {
    {"GET k", 0, FINE, ADMIT_RUN, ADMIT_OK},
    {"GET", 0, FINE, ADMIT_REFUSE, ADMIT_ARITY},
    {"GET k k", 0, FINE, ADMIT_REFUSE, ADMIT_ARITY},
    {"MGET", 0, FINE, ADMIT_REFUSE, ADMIT_ARITY},
    /* who has not said who he is */
    {"GET k", OUTSIDER, FINE, ADMIT_REFUSE, ADMIT_NOAUTH},
    {"PING", OUTSIDER, FINE, ADMIT_REFUSE, ADMIT_NOAUTH},
    {"AUTH x", OUTSIDER, FINE, ADMIT_RUN, ADMIT_OK},
    {"HELLO 3", OUTSIDER, FINE, ADMIT_RUN, ADMIT_OK},
    {"QUIT", OUTSIDER, FINE, ADMIT_RUN, ADMIT_OK},
    {"RESET", OUTSIDER, FINE, ADMIT_RUN, ADMIT_OK},
    {"GET", OUTSIDER, FINE, ADMIT_REFUSE, ADMIT_ARITY},
    {"SET k v", OUTSIDER, OVER, ADMIT_REFUSE, ADMIT_NOAUTH},
    /* DEBUG comes before the password, as in Redis */
    {"DEBUG SLEEP 0", 0, FINE, ADMIT_REFUSE, ADMIT_DEBUG},
    {"DEBUG SLEEP 0", OUTSIDER, FINE, ADMIT_REFUSE, ADMIT_DEBUG},
    {"DEBUG SLEEP 0", OUTSIDER, DEBUG_YES, ADMIT_REFUSE, ADMIT_NOAUTH},
    {"DEBUG SLEEP 0", 0, DEBUG_YES, ADMIT_RUN, ADMIT_OK},
    {"DEBUG SLEEP 0", 0, DEBUG_LOCAL, ADMIT_REFUSE, ADMIT_DEBUG},
    {"DEBUG SLEEP 0", SESSION_LOCAL, DEBUG_LOCAL, ADMIT_RUN, ADMIT_OK},
    {"MODULE LOAD x", 0, FINE, ADMIT_REFUSE, ADMIT_MODULE},
    {"MODULE LOAD x", 0, DEBUG_YES, ADMIT_REFUSE, ADMIT_MODULE},
    {"MODULE UNLOAD x", OUTSIDER, FINE, ADMIT_REFUSE, ADMIT_MODULE},
    {"MODULE LOADEX x", 0, MODULE_YES, ADMIT_RUN, ADMIT_OK},
    {"MODULE LOADEX x", OUTSIDER, MODULE_YES, ADMIT_REFUSE, ADMIT_NOAUTH},
    {"MODULE LIST", 0, FINE, ADMIT_RUN, ADMIT_OK},
    {"DEBUG SLEEP 0", 0, MODULE_YES, ADMIT_REFUSE, ADMIT_DEBUG},
    /* memory */
    {"SET k v", 0, OVER, ADMIT_REFUSE, ADMIT_OOM},
    {"GET k", 0, OVER, ADMIT_RUN, ADMIT_OK},
    {"DEL k", 0, OVER, ADMIT_RUN, ADMIT_OK},
    {"GET k", SESSION_MULTI, OVER, ADMIT_REFUSE, ADMIT_OOM},
    {"DISCARD", SESSION_MULTI, OVER, ADMIT_RUN, ADMIT_OK},
    {"RESET", SESSION_MULTI, OVER, ADMIT_RUN, ADMIT_OK},
    {"EXEC", SESSION_MULTI, OVER, ADMIT_RUN, ADMIT_OK}, /* nothing is queued that needs any */
    /* the disk */
    {"SET k v", 0, NO_DISK, ADMIT_REFUSE, ADMIT_DISK_ERROR},
    {"DEL k", 0, NO_DISK, ADMIT_REFUSE, ADMIT_DISK_ERROR},
    {"PING", 0, NO_DISK, ADMIT_REFUSE, ADMIT_DISK_ERROR},
    {"GET k", 0, NO_DISK, ADMIT_RUN, ADMIT_OK},
    {"PUBLISH c m", 0, NO_DISK, ADMIT_RUN, ADMIT_OK},
    {"SAVE", 0, NO_DISK, ADMIT_RUN, ADMIT_OK},
    {"LASTSAVE", 0, NO_DISK, ADMIT_RUN, ADMIT_OK},
    {"SET k v", 0, NO_LOG, ADMIT_REFUSE, ADMIT_AOF_ERROR},
    {"PING", 0, NO_LOG, ADMIT_REFUSE, ADMIT_AOF_ERROR},
    {"GET k", 0, NO_LOG, ADMIT_RUN, ADMIT_OK},
    {"SET k v", 0, NO_DISK_OVER, ADMIT_REFUSE, ADMIT_OOM},
    {"SET k v", OUTSIDER, NO_DISK, ADMIT_REFUSE, ADMIT_NOAUTH},
    {"EXEC", SESSION_MULTI, NO_DISK, ADMIT_RUN, ADMIT_OK}, /* nothing is queued that writes */
    /* loading */
    {"GET k", 0, LOADING, ADMIT_REFUSE, ADMIT_LOADING},
    {"SET k v", 0, LOADING, ADMIT_REFUSE, ADMIT_LOADING},
    {"PING", 0, LOADING, ADMIT_REFUSE, ADMIT_LOADING},
    {"FLUSHALL", 0, LOADING, ADMIT_REFUSE, ADMIT_LOADING},
    {"SAVE", 0, LOADING, ADMIT_REFUSE, ADMIT_LOADING},
    {"INFO", 0, LOADING, ADMIT_RUN, ADMIT_OK},
    {"LASTSAVE", 0, LOADING, ADMIT_RUN, ADMIT_OK},
    {"SHUTDOWN", 0, LOADING, ADMIT_RUN, ADMIT_OK},
    {"SUBSCRIBE c", 0, LOADING, ADMIT_RUN, ADMIT_OK},
    {"GET k", SESSION_PUBSUB, LOADING, ADMIT_REFUSE, ADMIT_SUBSCRIBED},
    {"EXEC", SESSION_MULTI, LOADING, ADMIT_RUN, ADMIT_OK},
    /* transactions */
    {"SET k v", SESSION_MULTI, FINE, ADMIT_QUEUE, ADMIT_OK},
    {"EXEC", SESSION_MULTI, FINE, ADMIT_RUN, ADMIT_OK},
    {"MULTI", SESSION_MULTI, FINE, ADMIT_RUN, ADMIT_OK},
    {"WATCH k", SESSION_MULTI, FINE, ADMIT_RUN, ADMIT_OK},
    {"UNWATCH", SESSION_MULTI, FINE, ADMIT_QUEUE, ADMIT_OK},
    {"QUIT", SESSION_MULTI, FINE, ADMIT_RUN, ADMIT_OK},
    {"SYNC", SESSION_MULTI, FINE, ADMIT_REFUSE, ADMIT_NO_MULTI},
    {"SHUTDOWN", SESSION_MULTI, FINE, ADMIT_REFUSE, ADMIT_NO_MULTI},
    /* subscribers */
    {"GET k", SESSION_PUBSUB, FINE, ADMIT_REFUSE, ADMIT_SUBSCRIBED},
    {"PING", SESSION_PUBSUB, FINE, ADMIT_RUN, ADMIT_OK},
    {"SUBSCRIBE c", SESSION_PUBSUB, FINE, ADMIT_RUN, ADMIT_OK},
    {"PUNSUBSCRIBE c", SESSION_PUBSUB, FINE, ADMIT_RUN, ADMIT_OK},
    {"SSUBSCRIBE c", SESSION_PUBSUB, FINE, ADMIT_RUN, ADMIT_OK},
    {"SUNSUBSCRIBE", SESSION_PUBSUB, FINE, ADMIT_RUN, ADMIT_OK},
    {"SPUBLISH c m", SESSION_PUBSUB, FINE, ADMIT_REFUSE, ADMIT_SUBSCRIBED},
    {"QUIT", SESSION_PUBSUB, FINE, ADMIT_RUN, ADMIT_OK},
    {"MULTI", SESSION_PUBSUB, FINE, ADMIT_REFUSE, ADMIT_SUBSCRIBED},
    {"GET k", SESSION_PUBSUB | RESP3, FINE, ADMIT_RUN, ADMIT_OK},
    /* who only reads */
    {"GET k", SESSION_MONITOR, FINE, ADMIT_REFUSE, ADMIT_REPLICA},
    {"SET k v", SESSION_REPLICA, FINE, ADMIT_REFUSE, ADMIT_REPLICA},
    {"PUBLISH c m", SESSION_REPLICA, FINE, ADMIT_REFUSE, ADMIT_REPLICA},
    {"SPUBLISH c m", SESSION_REPLICA, FINE, ADMIT_REFUSE, ADMIT_REPLICA},
    {"PING", SESSION_REPLICA, FINE, ADMIT_RUN, ADMIT_OK},
    {"INFO", SESSION_MONITOR, FINE, ADMIT_RUN, ADMIT_OK},
    /* replicas */
    {"SET k v", 0, FEW, ADMIT_REFUSE, ADMIT_FEW_REPLICAS},
    {"SET k v", SESSION_MULTI, FEW, ADMIT_REFUSE, ADMIT_FEW_REPLICAS},
    {"DEL k", 0, FEW, ADMIT_REFUSE, ADMIT_FEW_REPLICAS},
    {"GET k", 0, FEW, ADMIT_RUN, ADMIT_OK},
    {"PING", 0, FEW, ADMIT_RUN, ADMIT_OK},
    {"PUBLISH c m", 0, FEW, ADMIT_RUN, ADMIT_OK},
    {"EXEC", SESSION_MULTI, FEW, ADMIT_RUN, ADMIT_OK}, /* nothing is queued */
    {"SET k v", SESSION_SCRIPT, FEW, ADMIT_REFUSE, ADMIT_FEW_REPLICAS},
    {"SET k v", SESSION_SCRIPT | SESSION_WROTE, FEW, ADMIT_RUN, ADMIT_OK},
    {"SET k v", OUTSIDER, FEW, ADMIT_REFUSE, ADMIT_NOAUTH},
    /* a replica */
    {"SET k v", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"SET k v", SESSION_MULTI, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"SET k", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_ARITY},
    {"SET k v", OUTSIDER, READ_ONLY, ADMIT_REFUSE, ADMIT_NOAUTH},
    {"SET k v", 0, READ_ONLY_OVER, ADMIT_REFUSE, ADMIT_OOM},
    {"SET k v", 0, READ_ONLY_NO_DISK, ADMIT_REFUSE, ADMIT_DISK_ERROR},
    {"SET k v", SESSION_PUBSUB, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"GETEX k", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"SORT k", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"SORT_RO k", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"BLPOP k 0", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"XREAD BLOCK 0 STREAMS k 0", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"XREADGROUP GROUP g c STREAMS k >", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"FUNCTION LOAD x", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"FUNCTION LIST", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"FLUSHALL", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"RESTORE k 0 x", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"MIGRATE h 1 k 0 1", 0, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    /* what may replicate is none of them */
    {"PFCOUNT k", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"PUBLISH c m", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"SPUBLISH c m", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"EVAL x 0", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"FCALL x 0", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"SCRIPT LOAD x", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"GET k", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"SAVE", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"WAIT 1 0", 0, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"EXEC", SESSION_MULTI, READ_ONLY, ADMIT_RUN, ADMIT_OK}, /* nothing is queued */
    {"SET k v", SESSION_SCRIPT, READ_ONLY, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"PFCOUNT k", SESSION_SCRIPT, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"SET k v", SESSION_SCRIPT, READ_ONLY_OVER, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"SET k v", SESSION_SCRIPT | SESSION_READ_ONLY, READ_ONLY, ADMIT_REFUSE, ADMIT_SCRIPT_READ_ONLY},
    {"SET k v", SESSION_SCRIPT | SESSION_WROTE, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    /* without its primary */
    {"GET k", 0, STALE, ADMIT_REFUSE, ADMIT_STALE},
    {"PING", 0, STALE, ADMIT_REFUSE, ADMIT_STALE},
    {"SET k v", 0, STALE, ADMIT_REFUSE, ADMIT_READ_ONLY},
    {"GET k", SESSION_PUBSUB, STALE, ADMIT_REFUSE, ADMIT_SUBSCRIBED},
    {"GET k", 0, STALE_LOADING, ADMIT_REFUSE, ADMIT_STALE},
    {"LASTSAVE", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"INFO", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"ROLE", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"REPLICAOF no one", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"AUTH x", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"CONFIG GET x", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"SHUTDOWN", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"SUBSCRIBE c", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"PUBLISH c m", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"EVAL x 0", 0, STALE, ADMIT_RUN, ADMIT_OK}, /* the script is asked when it begins */
    {"MULTI", 0, STALE, ADMIT_RUN, ADMIT_OK},
    {"GET k", SESSION_MULTI, STALE, ADMIT_REFUSE, ADMIT_STALE},
    {"EXEC", SESSION_MULTI, STALE, ADMIT_RUN, ADMIT_OK},
    {"GET k", SESSION_SCRIPT, STALE, ADMIT_REFUSE, ADMIT_SCRIPT_STALE},
    {"SET k v", SESSION_SCRIPT, REPLAYING, ADMIT_RUN, ADMIT_OK},
    {"GET k", SESSION_SCRIPT, REPLAYING, ADMIT_RUN, ADMIT_OK},
    {"SET k v", SESSION_SCRIPT | SESSION_READ_ONLY, REPLAYING, ADMIT_REFUSE, ADMIT_SCRIPT_READ_ONLY},
    {"GET", SESSION_SCRIPT, STALE, ADMIT_REFUSE, ADMIT_SCRIPT_ARITY},
    {"ROLE", SESSION_SCRIPT, STALE, ADMIT_REFUSE, ADMIT_NO_SCRIPT},
    {"PUBLISH c m", SESSION_SCRIPT, STALE, ADMIT_RUN, ADMIT_OK},
    /* others are loaded beside the data */
    {"GET k", 0, BESIDE, ADMIT_RUN, ADMIT_OK},
    {"SAVE", 0, BESIDE, ADMIT_REFUSE, ADMIT_LOADING},
    {"REPLICAOF no one", 0, BESIDE, ADMIT_REFUSE, ADMIT_LOADING},
    {"EXEC", SESSION_MULTI, BESIDE, ADMIT_RUN, ADMIT_OK},
    /* what comes from our primary */
    {"SET k v", SESSION_PRIMARY, READ_ONLY_OVER, ADMIT_RUN, ADMIT_OK},
    {"SET k v", SESSION_PRIMARY | OUTSIDER, READ_ONLY_NO_DISK, ADMIT_RUN, ADMIT_OK},
    {"SET k v", SESSION_PRIMARY, STALE_LOADING, ADMIT_RUN, ADMIT_OK},
    {"SET k v", SESSION_PRIMARY, FEW, ADMIT_RUN, ADMIT_OK},
    {"SET k v", SESSION_PRIMARY | SESSION_MULTI, READ_ONLY_OVER, ADMIT_QUEUE, ADMIT_OK},
    {"SAVE", SESSION_PRIMARY, BESIDE, ADMIT_RUN, ADMIT_OK},
    {"SET k", SESSION_PRIMARY, READ_ONLY, ADMIT_REFUSE, ADMIT_ARITY},
    {"SHUTDOWN", SESSION_PRIMARY | SESSION_MULTI, READ_ONLY, ADMIT_REFUSE, ADMIT_NO_MULTI},
    {"SYNC", SESSION_PRIMARY, READ_ONLY, ADMIT_REFUSE, ADMIT_NO_CLIENT}, /* it is no write that a primary passes on */
    {"SUBSCRIBE c", SESSION_PRIMARY, READ_ONLY, ADMIT_REFUSE, ADMIT_NO_CLIENT},
    {"REPLCONF getack *", SESSION_PRIMARY, READ_ONLY, ADMIT_RUN, ADMIT_OK},
    {"DEBUG SLEEP 0", SESSION_PRIMARY, READ_ONLY, ADMIT_REFUSE, ADMIT_DEBUG},
    {"SET k v", SESSION_PRIMARY, PAUSED_WRITES, ADMIT_HOLD, ADMIT_OK},
    {"PING", SESSION_PRIMARY, PAUSED_WRITES, ADMIT_RUN, ADMIT_OK},
    {"PING", SESSION_PRIMARY, BUSY, ADMIT_HOLD, ADMIT_OK},
    {"PING", 0, BUSY, ADMIT_REFUSE, ADMIT_SCRIPT_BUSY},
    /* CLIENT PAUSE; errors first */
    {"GET k", 0, PAUSED, ADMIT_HOLD, ADMIT_OK},
    {"GET k", 0, PAUSED_WRITES, ADMIT_RUN, ADMIT_OK},
    {"SET k v", 0, PAUSED_WRITES, ADMIT_HOLD, ADMIT_OK},
    {"PUBLISH c m", 0, PAUSED_WRITES, ADMIT_HOLD, ADMIT_OK},
    {"SPUBLISH c m", 0, PAUSED_WRITES, ADMIT_HOLD, ADMIT_OK},
    {"EXEC", SESSION_MULTI, PAUSED_WRITES, ADMIT_RUN, ADMIT_OK}, /* nothing is queued */
    {"SET k", 0, PAUSED, ADMIT_REFUSE, ADMIT_ARITY},
    {"GET k", OUTSIDER, PAUSED, ADMIT_REFUSE, ADMIT_NOAUTH},
    /* no connection */
    {"GET k", NO_CLIENT, FINE, ADMIT_RUN, ADMIT_OK},
    {"SUBSCRIBE c", NO_CLIENT, FINE, ADMIT_REFUSE, ADMIT_NO_CLIENT},
    {"MONITOR", NO_CLIENT, FINE, ADMIT_REFUSE, ADMIT_NO_CLIENT},
    {"HELLO 3", NO_CLIENT, FINE, ADMIT_REFUSE, ADMIT_NO_CLIENT},
    {"SELECT 1", NO_CLIENT, FINE, ADMIT_RUN, ADMIT_OK},
};

static struct admit_state state_for(int state)
{
    return (struct admit_state){
        .debug = state == DEBUG_YES     ? ADMIT_PROTECTED_YES
                 : state == DEBUG_LOCAL ? ADMIT_PROTECTED_LOCAL
                                        : ADMIT_PROTECTED_NO,
        .module = state == MODULE_YES ? ADMIT_PROTECTED_YES : ADMIT_PROTECTED_NO,
        .pause = state == PAUSED          ? ADMIT_PAUSE_ALL
                 : state == PAUSED_WRITES ? ADMIT_PAUSE_WRITES
                                          : ADMIT_PAUSE_NONE,
        .over_memory = state == OVER || state == NO_DISK_OVER || state == READ_ONLY_OVER || state == REPLAYING,
        .disk_error = state == NO_DISK || state == NO_DISK_OVER || state == READ_ONLY_NO_DISK || state == REPLAYING,
        .read_only = state >= READ_ONLY && state <= REPLAYING,
        .stale = state == STALE || state == STALE_LOADING || state == REPLAYING,
        .replaying = state == REPLAYING,
        .loading_beside = state == BESIDE,
        .busy = state == BUSY ? ADMIT_BUSY_SCRIPT : ADMIT_BUSY_NO,
        .few_replicas = state == FEW || state == REPLAYING,
        .aof_error = state == NO_LOG || state == REPLAYING ? -5 : 0,
        .loading = state == LOADING || state == STALE_LOADING,
    };
}

/* Words are parted by single spaces. */
static struct request request_of(const char *line, struct bytes argv[8])
{
    struct request r = {.argv = argv};
    for (const char *p = line; *p;) {
        const char *end = strchrnul(p, ' ');
        argv[r.argc++] = bytes_of(p, (size_t)(end - p));
        p = *end ? end + 1 : end;
    }
    r.cmd = command_find(argv[0]);
    assert_non_null(r.cmd);
    if (r.cmd->sub_count && r.argc > 1) {
        const struct command *sub = command_find_sub(r.cmd, argv[1]);
        if (sub) r.cmd = sub;
    }
    return r;
}

static void test_every_row_is_answered_as_it_says(void **state)
{
    (void)state;
    command_table_init();
    struct client somebody;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes argv[8];
        struct request r = request_of(cases[i].line, argv);
        struct reply out = {.proto = (cases[i].session & RESP3) ? 3 : 2};
        struct session s = {.out = &out, .client = (cases[i].session & NO_CLIENT) ? NULL : &somebody};
        s.flags = cases[i].session & ~(OUTSIDER | NO_CLIENT | RESP3);
        if (!(cases[i].session & OUTSIDER)) s.flags |= SESSION_AUTHENTICATED;
        struct session before = s;
        struct admit_state st = state_for(cases[i].state);
        struct admission a = admit(&s, &r, &st);
        if (a.verdict != cases[i].verdict || a.reason != cases[i].reason)
            fail_msg("case %zu, %s: verdict %d and reason %d, expected %d and %d", i, cases[i].line, a.verdict,
                     a.reason, cases[i].verdict, cases[i].reason);
        assert_memory_equal(&s, &before, sizeof s); /* it only answers */
    }
}

static void test_every_refusal_has_a_text(void **state)
{
    (void)state;
    command_table_init();
    struct bytes argv[8];
    struct request r = request_of("GET k", argv);
    struct session s = {.user = acl_user_new(BYTES("bob"), false)};
    for (int why = ADMIT_OK + 1; why < ADMIT_REASONS; why++) {
        char text[512] = "";
        admit_text((enum admit_reason)why, &s, &r, &(struct admit_state){0}, text, sizeof text);
        if (strlen(text) < 10 || strlen(text) == sizeof text - 1) fail_msg("reason %d reads \"%s\"", why, text);
    }
    acl_user_free(s.user);
}

/* Rules come after what every user is asked for, and before what the server's state refuses. */
static void test_a_users_rules_have_their_place(void **state)
{
    static const struct {
        const char *line;
        enum admit_reason reason, script;
    } rows[] = {{"GET mine", ADMIT_OK, ADMIT_OK},
                {"GET other", ADMIT_NOPERM_KEY, ADMIT_NOPERM_KEY},
                {"GET", ADMIT_ARITY, ADMIT_SCRIPT_ARITY},
                {"SET mine x", ADMIT_OOM, ADMIT_OOM},
                {"SET other x", ADMIT_NOPERM_KEY, ADMIT_NOPERM_KEY},
                {"DEL mine", ADMIT_NOPERM_COMMAND, ADMIT_NOPERM_COMMAND},
                {"PUBLISH news x", ADMIT_OK, ADMIT_OK},
                {"PUBLISH other x", ADMIT_NOPERM_CHANNEL, ADMIT_NOPERM_CHANNEL},
                {"AUTH x", ADMIT_OK, ADMIT_NO_SCRIPT}};
    static const char *const rules[] = {"on", "+get", "+set", "+publish", "~mine", "&news"};
    (void)state;
    command_table_init();
    struct reply out;
    reply_init(&out, 2);
    struct session s = {.out = &out, .flags = SESSION_AUTHENTICATED, .client = (struct client *)&out};
    struct acl_user *u = acl_user_new(BYTES("bob"), false);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        assert_int_equal(acl_user_set(u, bytes_of_str(rules[i]), false), 0);
    session_set_user(&s, u);
    struct session script = s;
    script.flags |= SESSION_SCRIPT;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bytes argv[8];
        struct request r = request_of(rows[i].line, argv);
        struct admit_state st = {.over_memory = true};
        assert_int_equal(admit(&s, &r, &st).reason, rows[i].reason);
        assert_int_equal(admit(&script, &r, &st).reason, rows[i].script);
    }
    acl_user_free(u);
    reply_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_answered_as_it_says),
        cmocka_unit_test(test_every_refusal_has_a_text),
        cmocka_unit_test(test_a_users_rules_have_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
