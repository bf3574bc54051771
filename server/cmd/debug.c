/* SPDX-License-Identifier: MIT
 *
 * DEBUG: for tests and for whoever looks for a fault. Allowed by enable-debug-command only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "server/cmd/debug_parts.h"
#include "server/conf/conf.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/ds/glob.h"
#include "server/ds/number.h"
#include "server/ds/quicklist.h"
#include "server/mem.h"
#include "server/net/tracking.h"
#include "server/observe/crash.h"
#include "server/observe/digest.h"
#include "server/observe/log.h"
#include "server/persist/aof.h"
#include "server/persist/load.h"
#include "server/rdb/snapshot.h"
#include "server/server.h"
#include "server/types/list.h"
#include "server/worker.h"

static void debug_sleep(struct call *c)
{
    double s;
    if (!call_double(c, c->argv[2], &s, NULL)) return;
    if (s < 0) s = 0;
    struct timespec ts = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};
    while (nanosleep(&ts, &ts) != 0 && errno == EINTR) { /* the watchdog's signal */
    }
    worker_update_time(c->w);
    call_ok(c);
}

/* POPULATE <count> [<prefix>] [<size>] */
static void debug_populate(struct call *c)
{
    int64_t count, size = -1;
    if (c->argc > 5) {
        call_syntax_error(c);
        return;
    }
    if (!call_positive(c, c->argv[2], &count, NULL)) return;
    if (c->argc > 4 && !call_positive(c, c->argv[4], &size, NULL)) return;
    struct bytes prefix = c->argc > 3 ? c->argv[3] : BYTES("key");
    char *key = mem_alloc(prefix.n + 32), value[64];
    char *large = size > 0 ? mem_calloc((size_t)size < 32 ? 32 : (size_t)size) : NULL;
    for (int64_t i = 0; i < count; i++) {
        memcpy(key, prefix.p, prefix.n);
        key[prefix.n] = ':';
        struct bytes k = bytes_of(key, prefix.n + 1 + number_format_i64(key + prefix.n + 1, i));
        struct key_ref ref = key_ref_of(c->db, k);
        if (db_peek(c, &ref)) continue;
        memcpy(value, "value:", 6);
        struct bytes v = bytes_of(value, 6 + number_format_i64(value + 6, i));
        if (size >= 0) {
            size_t n = v.n < (size_t)size ? v.n : (size_t)size;
            if (large) memcpy(large, v.p, n);
            v = bytes_of(large, (size_t)size);
        }
        db_put_string(c, &ref, v, -1, 0);
        db_changed(c, &ref, NOTIFY_GENERIC, NULL);
    }
    effect_none(c);
    mem_free(key);
    mem_free(large);
    call_ok(c);
}

static void reply_digest(struct call *c, const unsigned char digest[SHA1_SIZE])
{
    char hex[2 * SHA1_SIZE + 1];
    for (int i = 0; i < SHA1_SIZE; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    reply_status(c->out, hex);
}

static void debug_digest(struct call *c)
{
    unsigned char digest[SHA1_SIZE];
    digest_everything(c->srv, digest);
    reply_digest(c, digest);
}

static void debug_digest_value(struct call *c)
{
    reply_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        unsigned char digest[SHA1_SIZE] = {0};
        const struct entry *e = db_peek(c, call_key(c, i));
        if (e) digest_value(e, digest);
        reply_digest(c, digest);
    }
}

static void debug_protocol(struct call *c)
{
    struct reply *out = c->out;
    struct bytes name = c->argv[2];
    if (bytes_is_word(name, "string")) reply_bulk(out, BYTES("Hello World"));
    else if (bytes_is_word(name, "integer")) reply_int(out, 12345);
    else if (bytes_is_word(name, "double")) reply_double(out, 3.141);
    else if (bytes_is_word(name, "bignum")) reply_big_number(out, BYTES("1234567999999999999999999999999999999"));
    else if (bytes_is_word(name, "null")) reply_null(out);
    else if (bytes_is_word(name, "array")) {
        reply_array(out, 3);
        for (int i = 0; i < 3; i++) reply_int(out, i);
    } else if (bytes_is_word(name, "set")) {
        reply_set(out, 3);
        for (int i = 0; i < 3; i++) reply_int(out, i);
    } else if (bytes_is_word(name, "map")) {
        reply_map(out, 3);
        for (int i = 0; i < 3; i++) reply_int(out, i), reply_bool(out, i == 1);
    } else if (bytes_is_word(name, "attrib")) {
        if (out->proto >= 3) {
            reply_attribute(out, 1);
            reply_bulk(out, BYTES("key-popularity"));
            reply_array(out, 2);
            reply_bulk(out, BYTES("key:123"));
            reply_int(out, 90);
        }
        reply_bulk(out, BYTES("Some real reply following the attribute"));
    } else if (bytes_is_word(name, "push")) {
        if (out->proto < 3) {
            call_error(c, "ERR RESP2 is not supported by this command");
            return;
        }
        reply_push(out, 2);
        reply_bulk(out, BYTES("server-cpu-usage"));
        reply_int(out, 42);
        reply_bulk(out, BYTES("Some real reply following the push reply"));
    } else if (bytes_is_word(name, "true")) reply_bool(out, true);
    else if (bytes_is_word(name, "false")) reply_bool(out, false);
    else if (bytes_is_word(name, "verbatim")) reply_verbatim(out, BYTES("This is a verbatim\nstring"), "txt");
    else
        call_error(c, "ERR Wrong protocol type name. Please use one of the following: "
                      "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
}

static void on_off(struct call *c, bool *flag)
{
    int64_t v;
    if (!call_int(c, c->argv[2], &v)) return;
    *flag = v != 0;
    call_ok(c);
}

/* Sizes as the memory sizes of redis.conf: "1gb", "100b", "32k". */
static bool parse_size(struct bytes text, int64_t *out)
{
    static const struct {
        const char *unit;
        int64_t factor;
    } units[] = {{"b", 1},        {"k", 1000},       {"kb", 1024},    {"m", 1000000},
                 {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}, {"", 1}};
    size_t digits = 0;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9') digits++;
    int64_t n;
    if (!number_parse_i64(bytes_of(text.p, digits), &n)) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (bytes_is_word(bytes_of(text.p + digits, text.n - digits), units[i].unit))
            return !__builtin_mul_overflow(n, units[i].factor, out);
    return false;
}

static void debug_packed_threshold(struct call *c)
{
    int64_t size;
    if (!parse_size(c->argv[2], &size) || size < 0 ||
        list_set_packed_threshold(&c->srv->list_options, (size_t)size) != 0) {
        call_error(c, "ERR argument must be a memory value bigger than 1 and smaller than 4gb");
        return;
    }
    call_ok(c);
}

/* There is a buffer only while there is output: nothing that an idle client has shrinks, whatever is said here. */
static void debug_replybuffer(struct call *c)
{
    int64_t v;
    if (!bytes_is_word(c->argv[2], "peak-reset-time") && !bytes_is_word(c->argv[2], "resizing")) {
        call_unknown_sub(c);
    } else if (bytes_is_word(c->argv[3], "never") || bytes_is_word(c->argv[3], "reset") ||
               call_int(c, c->argv[3], &v)) {
        call_ok(c);
    }
}

static void debug_stringmatch(struct call *c)
{
    int64_t n;
    if (!call_positive(c, c->argv[2], &n, NULL)) return;
    struct bytes pattern = c->argv[3];
    char *text = mem_alloc((size_t)n + 1);
    memset(text, 'a', (size_t)n);
    bool hit = glob_match(pattern, bytes_of(text, (size_t)n), false);
    mem_free(text);
    reply_int(c->out, hit);
}

/* Random bytes, two million times: a tenth of a second or two. */
static void debug_stringmatch_test(struct call *c)
{
    for (int i = 0; i < 2000000; i++) {
        char text[32], pattern[32];
        uint64_t dice = call_random(c);
        size_t text_n = dice & 31, pattern_n = dice >> 5 & 31;
        for (size_t k = 0; k < text_n; k++) text[k] = (char)(call_random(c) & 127);
        for (size_t k = 0; k < pattern_n; k++) pattern[k] = (char)(call_random(c) & 127);
        glob_match(bytes_of(pattern, pattern_n), bytes_of(text, text_n), dice >> 10 & 1);
    }
    reply_status(c->out, "Apparently Redis did not crash: test passed");
}

/* On purpose: for whoever tries out how leaks are found. */
static void debug_leak(struct call *c)
{
    char *lost = mem_alloc(c->argv[2].n + 1);
    memcpy(lost, c->argv[2].p, c->argv[2].n);
    call_ok(c);
}

/* The text of an error, and none that is counted. */
static void debug_error(struct call *c)
{
    if (c->out->values) {
        c->out->values->error(c->out, c->argv[2]);
        return;
    }
    reply_raw(c->out, BYTES("-"));
    for (size_t i = 0; i < c->argv[2].n; i++) {
        char ch = c->argv[2].p[i];
        if (ch == '\r' || ch == '\n') ch = ' ';
        reply_raw(c->out, bytes_of(&ch, 1));
    }
    reply_raw(c->out, BYTES("\r\n"));
}

static void debug_log(struct call *c)
{
    server_log(c->srv, LOG_WARNING_LEVEL, "DEBUG LOG: %.*s", (int)c->argv[2].n, c->argv[2].p);
    call_ok(c);
}

static void debug_change_repl_id(struct call *c)
{
    history_new_id(&c->srv->history);
    call_ok(c);
}

/* Into the stream as it stands, whatever it is: replicas are others than this server from there on. */
static void debug_replicate(struct call *c)
{
    struct history *h = &c->srv->history;
    if (!c->srv->upstream && history_is_kept(h)) history_record(h, c->argv + 2, c->argc - 2);
    call_ok(c);
}

static void debug_deny_nothing(struct call *c) { on_off(c, &c->srv->scripts_deny_nothing); }
static void debug_set_active_expire(struct call *c) { on_off(c, &c->srv->active_expire); }
static void debug_pause_cron(struct call *c) { on_off(c, &c->srv->pause_cron); }
static void debug_skip_checksum(struct call *c) { on_off(c, &c->srv->skip_checksum_validation); }

/* A real one, with an address: a write to memory that may only be read. */
static void debug_segfault(struct call *c)
{
    volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *p = 'x';
}

static void debug_panic(struct call *c)
{
    crash_panic(__FILE__, __LINE__, "DEBUG PANIC called at Unix time %lld", (long long)time(NULL));
}

static void debug_assert(struct call *c) { ASSERT(1 == 2); }

static void debug_oom(struct call *c)
{
    mem_free(mem_alloc(SIZE_MAX / 2));
    call_ok(c);
}

static void debug_structsize(struct call *c)
{
    char text[160];
    snprintf(text, sizeof text, "bits:%d entry:%zu bucket:%zu blob:%zu listnode:%zu client:%zu",
             (int)(sizeof(long) * 8), sizeof(struct entry), sizeof(struct table_bucket), sizeof(struct blob),
             sizeof(struct quicklist_node), sizeof(struct client));
    reply_status(c->out, text);
}

static void debug_help(struct call *c)
{
    static const char *const lines[] = {
        "AOF-FLUSH-SLEEP <microseconds>",
        "    Wait so long before each write of the append-only file.",
        "ASSERT",
        "    Crash by assertion failed.",
        "CHANGE-REPL-ID",
        "    Take another replication id.",
        "CLIENT-EVICTION",
        "    Tell how many clients of which weight there are, with maxmemory-clients.",
        "CONFIG-REWRITE-FORCE-ALL",
        "    Rewrite the configuration file with every option, also those at their defaults.",
        "CRASH-AND-RECOVER [<milliseconds>]",
        "    End at once and start again after <milliseconds>.",
        "DIGEST",
        "    Tell a digest of all data.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Tell the digest of each key's value.",
        "ERROR <string>",
        "    Reply with <string> as an error.",
        "HTSTATS <dbid>",
        "    Describe the hash table of a database.",
        "HTSTATS-KEY <key>",
        "    Describe the hash table that holds the value of <key>.",
        "LEAK <string>",
        "    Lose memory with a copy of <string> in it.",
        "LISTPACK <key>",
        "    Print the listpack of <key> on the server's standard output.",
        "LOADAOF",
        "    Flush the append-only files, empty the data and load them from there.",
        "LOG <message>",
        "    Write <message> to the log.",
        "OBJECT <key>",
        "    Describe <key> and its value.",
        "OOM",
        "    Crash the server simulating an out-of-memory error.",
        "PANIC",
        "    Crash the server, as an internal error would.",
        "PAUSE-CRON <0|1>",
        "    Stop the periodic work.",
        "POPULATE <count> [<prefix>] [<size>]",
        "    Make <count> string keys.",
        "PROTOCOL <type>",
        "    Reply with a value of the type: string, integer, double, bignum, null, array, set, "
        "map, attrib, push, verbatim, true, false.",
        "QUICKLIST <key> [<0|1>]",
        "    Print the quicklist of <key> on the server's standard output; 1: its elements, too.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    From which size on elements of lists get a node of their own.",
        "RELOAD [NOSAVE] [NOFLUSH] [MERGE]",
        "    Save the data to the RDB file, forget it and load it again. NOSAVE: load the file "
        "that is there; NOFLUSH: beside what is in memory;",
        "    MERGE: keys of the file replace those in memory.",
        "REPLICATE <string> [<string> ...]",
        "    Send the command of these words to replicas, and to nobody else: they differ then.",
        "REPLYBUFFER PEAK-RESET-TIME <NEVER|RESET|time>",
        "    Accepted: a reply has a buffer while it is there, and no other.",
        "REPLYBUFFER RESIZING <0|1>",
        "    The same.",
        "RESTART [<milliseconds>]",
        "    Rewrite the configuration, save, end, and start again after <milliseconds>.",
        "SDSLEN <key>",
        "    Tell the lengths of <key> and its string, and what memory they have.",
        "SEGFAULT",
        "    Crash the server with sigsegv.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Whether expired keys that nobody asks for are looked for.",
        "SET-DISABLE-DENY-SCRIPTS <0|1>",
        "    Whether scripts may run commands that are denied to them.",
        "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
        "    Whether RESTORE and loading take data whose checksum is wrong.",
        "SLEEP <seconds>",
        "    Stop the server for <seconds>. Decimals are allowed.",
        "STRINGMATCH-LEN <length> <pattern>",
        "    Match a string of <length> 'a' against <pattern>.",
        "STRINGMATCH-TEST",
        "    Match random strings against random patterns.",
        "STRUCTSIZE",
        "    Tell the size of the main structures.",
        NULL,
    };
    call_help(c, lines);
}

/* RELOAD [NOSAVE] [NOFLUSH] [MERGE] */
static void debug_reload(struct call *c)
{
    bool save = true, flush = true;
    unsigned flags = 0;
    for (int i = 2; i < c->argc; i++) {
        if (bytes_is_word(c->argv[i], "nosave")) save = false;
        else if (bytes_is_word(c->argv[i], "noflush")) flush = false;
        else if (bytes_is_word(c->argv[i], "merge")) flags |= RDB_LOAD_MERGE;
        else {
            call_error(c, "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
            return;
        }
    }
    if (save) persist_save_cancel(c->w); /* or its older data would take the name afterwards */
    if (save && persist_save(c->w) != 0) {
        call_error(c, "ERR");
        return;
    }
    for (int i = 0; flush && i < c->srv->db_count; i++) db_flush(c, &c->srv->dbs[i], false);
    if (flush) {
        tracking_flushed(c);
        libraries_clear(&c->srv->libraries);
    }
    int err = persist_load(c->w, flags);
    if (err) {
        call_error(c, "ERR Error trying to load the RDB dump, check server logs.");
        return;
    }
    server_log(c->srv, LOG_WARNING_LEVEL, "DB reloaded by DEBUG RELOAD");
    call_ok(c);
}

static void debug_aof_flush_sleep(struct call *c)
{
    int64_t us;
    if (!call_int(c, c->argv[2], &us)) return;
    c->srv->aof.write_delay_us = us;
    call_ok(c);
}

static void debug_loadaof(struct call *c)
{
    aof_flush(c->w);
    for (int i = 0; i < c->srv->db_count; i++) db_flush(c, &c->srv->dbs[i], false);
    tracking_flushed(c);
    libraries_clear(&c->srv->libraries);
    int err = load_now(c->w, aof_load);
    worker_update_time(c->w);
    if (err) {
        call_error(c, "ERR Error trying to load the AOF files, check server logs.");
        return;
    }
    server_log(c->srv, LOG_WARNING_LEVEL, "Append Only File loaded by DEBUG LOADAOF");
    call_ok(c);
}

static void debug_rewrite_all(struct call *c)
{
    struct conf_text users = {0};
    if (!c->cfg->aclfile || !*c->cfg->aclfile) acl_describe(&c->srv->acl, &users);
    int rc = conf_rewrite(c->cfg, conf_text_bytes(&users), true);
    conf_text_free(&users);
    if (rc < 0) call_errorf(c, "ERR CONFIG-REWRITE-FORCE-ALL failed: %s", strerror(-rc));
    else call_ok(c);
}

static const struct {
    const char *name;
    int argc_min, argc_max; /* with "DEBUG" and the name */
    void (*run)(struct call *c);
} subs[] = {
    {"aof-flush-sleep", 3, 3, debug_aof_flush_sleep},
    {"assert", 2, 2, debug_assert},
    {"change-repl-id", 2, 2, debug_change_repl_id},
    {"client-eviction", 2, 2, debug_client_eviction},
    {"config-rewrite-force-all", 2, 2, debug_rewrite_all},
    {"crash-and-recover", 2, 3, debug_crash_and_recover},
    {"digest", 2, 2, debug_digest},
    {"digest-value", 2, INT32_MAX, debug_digest_value},
    {"error", 3, 3, debug_error},
    {"help", 2, 2, debug_help},
    {"htstats", 3, 4, debug_htstats},
    {"htstats-key", 3, 4, debug_htstats_key},
    {"leak", 3, 3, debug_leak},
    {"listpack", 3, 3, debug_listpack},
    {"loadaof", 2, 2, debug_loadaof},
    {"log", 3, 3, debug_log},
    {"object", 3, 4, debug_object},
    {"oom", 2, 2, debug_oom},
    {"panic", 2, 2, debug_panic},
    {"pause-cron", 3, 3, debug_pause_cron},
    {"populate", 3, 5, debug_populate},
    {"protocol", 3, 3, debug_protocol},
    {"quicklist", 3, 4, debug_quicklist},
    {"quicklist-packed-threshold", 3, 3, debug_packed_threshold},
    {"reload", 2, INT32_MAX, debug_reload},
    {"replicate", 3, INT32_MAX, debug_replicate},
    {"replybuffer", 4, 4, debug_replybuffer},
    {"restart", 2, 3, debug_restart},
    {"sdslen", 3, 3, debug_sdslen},
    {"segfault", 2, 2, debug_segfault},
    {"set-active-expire", 3, 3, debug_set_active_expire},
    {"set-disable-deny-scripts", 3, 3, debug_deny_nothing},
    {"set-skip-checksum-validation", 3, 3, debug_skip_checksum},
    {"sleep", 3, 3, debug_sleep},
    {"stringmatch-len", 4, 4, debug_stringmatch},
    {"stringmatch-test", 2, 2, debug_stringmatch_test},
    {"structsize", 2, 2, debug_structsize},
};

void cmd_debug(struct call *c)
{
    for (size_t i = 0; i < sizeof subs / sizeof *subs; i++) {
        if (!bytes_is_word(c->argv[1], subs[i].name)) continue;
        if (c->argc < subs[i].argc_min || c->argc > subs[i].argc_max) break;
        subs[i].run(c);
        return;
    }
    call_unknown_sub(c);
}
