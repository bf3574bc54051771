/* SPDX-License-Identifier: MIT */
#include "server/conf/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/conf/option.h"

static struct config cfg;

static int fresh(void **state)
{
    conf_init(&cfg);
    return 0;
}

static int done(void **state)
{
    conf_fini(&cfg);
    return 0;
}

/* --- helpers ------------------------------------------------------------------------------- */

static char got[1024];

static void keep(void *arg, struct bytes name, struct bytes value)
{
    struct conf_text *t = arg;
    conf_text_add(t, name);
    conf_text_add_str(t, "=");
    conf_text_add(t, value);
    conf_text_add_str(t, ";");
}

/* "port=6379;" */
static const char *get(const char *patterns)
{
    struct conf_args a;
    assert_int_equal(conf_split(bytes_of_str(patterns), &a), 0);
    struct conf_text t = {0};
    conf_text_add_str(&t, "");
    conf_get(&cfg, a.argv, a.argc, keep, &t);
    snprintf(got, sizeof got, "%s", t.p);
    conf_text_free(&t);
    conf_args_free(&a);
    return got;
}

/* "" when it was set, otherwise the error. */
static const char *set_as(const char *pairs, bool protected_too, bool loading)
{
    struct conf_args a;
    assert_int_equal(conf_split(bytes_of_str(pairs), &a), 0);
    struct conf_text t = {0};
    conf_text_add_str(&t, "");
    struct config before = cfg, *next = NULL;
    int rc = conf_set(&cfg, a.argv, a.argc / 2, protected_too, loading, &next, &t);
    /* Whatever became of it, what there was is as it was, byte for byte, and its texts are its own. */
    assert_memory_equal(&before, &cfg, sizeof cfg);
    if (rc == 0) {
        assert_ptr_not_equal(next->dbfilename, cfg.dbfilename);
        conf_fini(&cfg);
        cfg = *next;
        free(next);
    }
    snprintf(got, sizeof got, "%s", rc == -EBUSY ? "loading" : t.p);
    assert_int_equal(rc == 0, got[0] == 0);
    conf_text_free(&t);
    conf_args_free(&a);
    return got;
}

static const char *set(const char *pairs) { return set_as(pairs, false, false); }

/* "" when it was read, otherwise "LINE: REASON". */
static const char *load(const char *text)
{
    struct conf_failure f;
    int rc = conf_load_text(&cfg, bytes_of_str(text), true, NULL, &f);
    snprintf(got, sizeof got, "%d: %s", f.line, f.reason);
    return rc == 0 ? "" : got;
}

/* --- words --------------------------------------------------------------------------------- */

static void test_unbalanced_quotes_are_refused(void **state)
{
    static const char *const bad[] = {"\"", "'", "a \"b", "\"a\"b", "'a'b", "\"a\\\"", "\"a\"'b'", "'a\\'"};
    struct conf_args a;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(conf_split(bytes_of_str(bad[i]), &a), -EINVAL);
    assert_int_equal(conf_split(bytes_of("a\0b", 3), &a), -EINVAL);
}

static void test_too_many_words_are_refused(void **state)
{
    struct conf_text t = {0};
    struct conf_args a;
    for (int i = 0; i < CONF_ARGS_MAX; i++) conf_text_add_str(&t, "a ");
    assert_int_equal(conf_split(conf_text_bytes(&t), &a), 0);
    assert_int_equal(a.argc, CONF_ARGS_MAX);
    conf_args_free(&a);
    conf_text_add_str(&t, "a");
    assert_int_equal(conf_split(conf_text_bytes(&t), &a), -E2BIG);
    conf_text_free(&t);
}

static void test_quoted_words_keep_spaces_and_escapes(void **state)
{
    struct conf_args a;
    assert_int_equal(conf_split(bytes_of_str(" a  \"b \\x41\\x00\\n\\q\\\"\"\t'c \\' \\n' \"\" d\"e f\" \\x41"), &a),
                     0);
    assert_int_equal(a.argc, 6);
    assert_true(bytes_equal(a.argv[0], BYTES("a")));
    assert_true(bytes_equal(a.argv[1], BYTES("b A\0\nq\"")));
    assert_true(bytes_equal(a.argv[2], BYTES("c ' \\n")));
    assert_true(bytes_equal(a.argv[3], BYTES("")));
    assert_true(bytes_equal(a.argv[4], BYTES("de f")));
    assert_true(bytes_equal(a.argv[5], BYTES("\\x41")));
    conf_args_free(&a);
}

static void test_quoting_is_undone_by_splitting(void **state)
{
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    struct conf_text t = {0};
    struct conf_args a;
    conf_text_add_quoted(&t, bytes_of(all, sizeof all));
    assert_int_equal(conf_split(conf_text_bytes(&t), &a), 0);
    assert_int_equal(a.argc, 1);
    assert_true(bytes_equal(a.argv[0], bytes_of(all, sizeof all)));
    conf_args_free(&a);
    conf_text_free(&t);
}

/* --- the table ----------------------------------------------------------------------------- */

static void test_names_are_unique_and_found_in_any_case(void **state)
{
    for (unsigned i = 0; i < conf_option_count; i++) {
        const struct conf_option *o = &conf_options[i];
        assert_ptr_equal(conf_option_find(bytes_of_str(o->name)), o);
        if (o->alias) assert_ptr_equal(conf_option_find(bytes_of_str(o->alias)), o);
    }
    assert_non_null(conf_option_find(BYTES("MaxMemory")));
    assert_null(conf_option_find(BYTES("")));
    assert_null(conf_option_find(BYTES("maxmemoryx")));
    char endless[1000];
    memset(endless, 'x', sizeof endless);
    assert_null(conf_option_find(bytes_of(endless, sizeof endless)));
}

static void test_defaults_are_within_their_own_bounds(void **state)
{
    for (unsigned i = 0; i < conf_option_count; i++) {
        const struct conf_option *o = &conf_options[i];
        assert_true(conf_option_is_initial(&cfg, o));
        if (o->type == CONF_NUMBER) assert_true(o->initial >= o->min && o->initial <= o->max);
    }
}

static void test_every_option_accepts_what_it_shows(void **state)
{
    for (unsigned i = 0; i < conf_option_count; i++) {
        const struct conf_option *o = &conf_options[i];
        struct conf_text value = {0}, after = {0};
        char err[CONF_ERROR_SIZE];
        conf_option_get(&cfg, o, &value);
        struct conf_args a;
        if (o->flags & CONF_MULTI) {
            assert_int_equal(conf_split_spaces(conf_text_bytes(&value), &a), 0);
            if (o->special != &conf_special_replicaof) assert_true(conf_option_set(&cfg, o, a.argv, a.argc, err) >= 0);
            conf_args_free(&a);
        } else {
            struct bytes one = conf_text_bytes(&value);
            assert_true(conf_option_set(&cfg, o, &one, 1, err) >= 0);
        }
        conf_option_get(&cfg, o, &after);
        assert_string_equal(value.p, after.p);
        conf_text_free(&value);
        conf_text_free(&after);
    }
}

/* --- values -------------------------------------------------------------------------------- */

static void test_amounts_of_memory_know_both_kinds_of_units(void **state)
{
    assert_true(conf_bytes_parse("1k") == 1000);
    assert_true(conf_bytes_parse("1Kb") == 1024);
    assert_true(conf_bytes_parse("2MB") == 2 << 20);
    assert_true(conf_bytes_parse("3g") == 3000000000);
    assert_true(conf_bytes_parse("7b") == 7);
    assert_true(conf_bytes_parse("") == 0);
    assert_true(conf_bytes_parse("-1") == -1);
    assert_true(conf_bytes_parse("1tb") == -1);
    assert_true(conf_bytes_parse("1 kb") == -1);
    assert_true(conf_bytes_parse("99999999999999999999") == INT64_MAX);
    assert_true(conf_bytes_parse("9223372036854775807gb") == INT64_MAX);
    char text[32];
    conf_bytes_format(text, 0);
    assert_string_equal(text, "0");
    conf_bytes_format(text, 1536 * 1024);
    assert_string_equal(text, "1536kb");
    conf_bytes_format(text, INT64_C(1) << 40);
    assert_string_equal(text, "1024gb");
    conf_bytes_format(text, 1025);
    assert_string_equal(text, "1025");
}

static void test_wrong_values_are_refused_in_redis_words(void **state)
{
    static const char *const cases[][3] = {
        {"active-expire-effort", "11", "argument must be between 1 and 10 inclusive"},
        {"active-expire-effort", "x", "argument couldn't be parsed into an integer"},
        {"active-expire-effort", "01", "argument couldn't be parsed into an integer"},
        {"maxmemory", "1x", "argument must be a memory value"},
        {"proto-max-bulk-len", "9223372036854775808",
         "argument must be between 1048576 and 9223372036854775807 inclusive"},
        {"hll-sparse-max-bytes", "9223372036854775807gb",
         "argument must be between 0 and 9223372036854775807 inclusive"},
        {"cluster-announce-human-nodename", "a:b", "Announced human node name contained invalid character"},
        {"proto-max-bulk-len", "1", "argument must be between 1048576 and 9223372036854775807 inclusive"},
        {"activerehashing", "maybe", "argument must be 'yes' or 'no'"},
        {"loglevel", "loud", "argument(s) must be one of the following: debug, verbose, notice, warning, nothing"},
        {"shutdown-on-sigterm", "\"save nosave\"", "shutdown options SAVE and NOSAVE can't be used simultaneously"},
        {"save", "1", "Invalid save parameters"},
        {"save", "\"0 1\"", "Invalid save parameters"},
        {"notify-keyspace-events", "K?", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."},
        {"client-output-buffer-limit", "\"normal 1 2\"", "Wrong number of arguments in buffer limit configuration."},
        {"client-output-buffer-limit", "\"master 1 2 3\"",
         "Invalid client class specified in buffer limit configuration."},
        {"client-output-buffer-limit", "\"normal 1 2 -3\"",
         "Error in hard, soft or soft_seconds setting in buffer limit configuration."},
        {"latency-tracking-info-percentiles", "101",
         "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"},
        {"bind", "\"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\"", "Too many bind addresses specified."},
        {"proc-title-template", "{nosuch}", "template format is invalid or contains unknown variables"},
        {"cluster-announce-hostname", "a_b", "Hostnames may only contain alphanumeric characters, hyphens or dots"},
        {"databases", "1", "can't set immutable config"},
        {"dir", "/", "can't set protected config"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char pair[256], want[512];
        snprintf(pair, sizeof pair, "%s %s", cases[i][0], cases[i][1]);
        snprintf(want, sizeof want, "CONFIG SET failed (possibly related to argument '%s') - %s", cases[i][0],
                 cases[i][2]);
        assert_string_equal(set(pair), want);
    }
    assert_string_equal(set("nosuch 1"), "Unknown option or number of arguments for CONFIG SET - 'nosuch'");
    assert_string_equal(set("hz 20 hz 30"),
                        "CONFIG SET failed (possibly related to argument 'hz') - duplicate parameter");
}

static void test_more_memory_than_there_can_be_is_as_much_as_there_can_be(void **state)
{
    assert_string_equal(set("maxmemory 18446744073709551616"), "");
    assert_true(cfg.maxmemory == INT64_MAX);
}

static void test_what_is_not_there_yet_is_refused_by_name(void **state)
{
    assert_string_equal(load("io-threads 4"), "1: 'io-threads 4' is not supported yet");
    assert_string_equal(load("cluster-enabled yes"), "1: 'cluster-enabled yes' is not supported yet");
    assert_string_equal(load("loadmodule x.so"), "1: 'loadmodule' is not supported yet");
}

/* What their rules mean is looked at by who knows commands. */
static void test_users_are_kept_word_by_word(void **state)
{
    (void)state;
    assert_string_equal(load("user default on nopass ~* &* +@all\nuser bob \"(~a +get)\" >x"), "");
    assert_string_equal(cfg.users,
                        "\"default\" \"on\" \"nopass\" \"~*\" \"&*\" \"+@all\"\n\"bob\" \"(~a +get)\" \">x\"\n");
    struct config *copy = conf_copy(&cfg);
    assert_string_equal(copy->users, cfg.users);
    conf_free(copy);
    assert_string_equal(load("user"), "1: Bad directive or wrong number of arguments");
}

static void test_values_are_kept_and_shown_as_redis_does(void **state)
{
    assert_string_equal(set("maxmemory 1gb hz 1000 save \"60 1 30 2\" notify-keyspace-events KEA "
                            "bind \"::1 127.0.0.1\""),
                        "");
    assert_true(cfg.maxmemory == 1 << 30);
    assert_true(cfg.hz == 500);
    assert_int_equal(cfg.save_count, 2);
    assert_string_equal(get("maxmemory"), "maxmemory=1073741824;");
    assert_string_equal(get("save"), "save=60 1 30 2;");
    assert_string_equal(get("notify-keyspace-events"), "notify-keyspace-events=AKE;");
    assert_string_equal(get("bind"), "bind=::1 127.0.0.1;");
    assert_string_equal(set("save \"\" bind \"\" shutdown-on-sigint \"now force\""), "");
    assert_string_equal(get("save bind shutdown-on-sigint"), "save=;bind=;shutdown-on-sigint=now force;");
    assert_string_equal(set("requirepass secret"), "");
    assert_true(bytes_equal(cfg.requirepass, BYTES("secret")));
    assert_string_equal(set("requirepass \"a\\x00b\" masterauth \"\\x00\""), "");
    assert_true(bytes_equal(cfg.requirepass, BYTES("a\0b")) && bytes_equal(cfg.masterauth, BYTES("\0")));
    assert_string_equal(set("requirepass \"\""), "");
    assert_null(cfg.requirepass.p);
    assert_true(conf_is_sensitive(BYTES("REQUIREPASS")));
    assert_false(conf_is_sensitive(BYTES("port")));
    assert_string_equal(set("latency-tracking-info-percentiles \"50 99.90 100\""), "");
    assert_string_equal(get("latency-tracking-info-percentiles"), "latency-tracking-info-percentiles=50 99.9 100;");
    assert_string_equal(set("client-output-buffer-limit \"replica 1mb 1k 5 normal 1 2 3\""), "");
    assert_string_equal(get("client-output-buffer-limit"),
                        "client-output-buffer-limit=normal 1 2 3 slave 1048576 1000 5 pubsub 33554432 8388608 60;");
}

static void test_nul_bytes_do_not_get_into_texts(void **state)
{
    assert_string_equal(set("masteruser \"a\\x00b\""),
                        "CONFIG SET failed (possibly related to argument 'masteruser') - "
                        "argument must not contain NUL bytes");
    assert_string_equal(set("bind \"a\\x00b\""),
                        "CONFIG SET failed (possibly related to argument 'bind') - wrong number of arguments");
}

/* --- CONFIG GET and SET -------------------------------------------------------------------- */

static void test_get_shows_each_name_once(void **state)
{
    assert_string_equal(get("nosuch nosuch*"), "");
    assert_string_equal(get("hash-max-*-value HASH-MAX-listpack-value"),
                        "hash-max-listpack-value=64;hash-max-ziplist-value=64;");
    assert_string_equal(get("LUA-time-limit"), "LUA-time-limit=5000;");
    assert_string_equal(get("rdb-key-save-d*"), "");
    assert_string_equal(get("rdb-key-save-delay"), "rdb-key-save-delay=0;");
    struct bytes all = BYTES("*");
    assert_true(conf_get(&cfg, &all, 1, NULL, NULL) > 190);
}

/* A script that knows Redis sets back whatever CONFIG GET * showed but Redis's own immutable options. */
static void test_what_is_ours_is_shown_and_may_be_set_to_what_it_is(void **state)
{
    assert_string_equal(
        get("libos*"), "libos=;libos-config=;libos-interface=;libos-address=;libos-gateway=;libos-eal=;libos-settings=;"
                       "libos-pcap=;libos-files=auto;libos-spin-us=-1;");
    assert_string_equal(get("shm-path*"), "shm-path=;shm-path-perm=0;");
    load("libos posix\nlibos-address \"10.0.0.2/24 fd00::2/64\"");
    assert_string_equal(get("libos libos-address"), "libos=posix;libos-address=10.0.0.2/24 fd00::2/64;");
    assert_string_equal(set("libos posix libos-address \"10.0.0.2/24 fd00::2/64\" libos-eal \"\""), "");
    assert_string_equal(set("libos packet"),
                        "CONFIG SET failed (possibly related to argument 'libos') - can't set immutable config");
    assert_string_equal(set("libos-eal -a"),
                        "CONFIG SET failed (possibly related to argument 'libos-eal') - can't set immutable config");
}

static void test_several_are_set_or_none(void **state)
{
    set("hz 20 timeout 5 active-expire-effort 99");
    assert_true(cfg.hz == 10);
    assert_true(cfg.timeout == 0);
    assert_string_equal(set("hz 20 timeout 5 nosuch 1"),
                        "Unknown option or number of arguments for CONFIG SET - 'nosuch'");
    assert_true(cfg.hz == 10);
    set("save \"5 5\" client-output-buffer-limit \"normal 1 1 1\" loglevel loud");
    assert_string_equal(get("save"), "save=3600 1 300 100 60 10000;");
    assert_true(cfg.client_output_buffer_limit[0].hard_bytes == 0);
}

static int hook_runs, hook_seen[8];

static int hook_counts(struct server *srv, const struct config *next, const char **err)
{
    hook_seen[hook_runs++ & 7] = (int)next->timeout;
    return 0;
}

static int hook_refuses(struct server *srv, const struct config *next, const char **err)
{
    if (next->port == 1) *err = "no such port";
    return next->port == 1 || next->port == 2 ? -EINVAL : 0;
}

static const struct conf_hook test_hooks[] = {{.option = "timeout", .apply = hook_counts},
                                              {.option = "tcp-keepalive", .apply = hook_counts},
                                              {.option = "port", .apply = hook_refuses}};

static void test_hooks_run_once_and_only_for_changes(void **state)
{
    conf_register(&cfg, test_hooks, 3, NULL);
    hook_runs = 0;
    assert_string_equal(set("timeout 7 tcp-keepalive 8"), "");
    assert_int_equal(hook_runs, 1);
    assert_int_equal(hook_seen[0], 7);
    assert_string_equal(set("timeout 7"), "");
    assert_int_equal(hook_runs, 1);
}

static void test_a_refusing_hook_takes_everything_back(void **state)
{
    conf_register(&cfg, test_hooks, 3, NULL);
    hook_runs = 0;
    assert_string_equal(set("timeout 7 port 1"),
                        "CONFIG SET failed (possibly related to argument 'port') - no such port");
    assert_true(cfg.port == 6379 && cfg.timeout == 0);
    assert_int_equal(hook_runs, 2);
    assert_int_equal(hook_seen[0], 7);
    assert_int_equal(hook_seen[1], 0);
    assert_string_equal(set("port 2"), "CONFIG SET failed (possibly related to argument 'port')");
}

static int settled, last_runs;

static void hook_settles(struct server *srv) { settled++; }

static int hook_is_last(struct server *srv, const struct config *next, const char **err)
{
    last_runs++;
    return next->hz == 20 ? -EINVAL : 0;
}

static void test_what_cannot_be_taken_back_runs_when_nothing_else_refuses(void **state)
{
    static const struct conf_hook ones[] = {{.option = "timeout", .apply = hook_counts, .settle = hook_settles},
                                            {.option = "hz", .apply = hook_is_last, .last = true},
                                            {.option = "port", .apply = hook_refuses}};
    conf_register(&cfg, ones, 3, NULL);
    settled = last_runs = hook_runs = 0;
    assert_string_equal(set("hz 30 timeout 7 port 1"),
                        "CONFIG SET failed (possibly related to argument 'port') - no such port");
    assert_int_equal(last_runs, 0);
    assert_int_equal(hook_runs, 2);
    assert_int_equal(settled, 1);
    assert_string_equal(set("hz 20 timeout 7"), "CONFIG SET failed (possibly related to argument 'hz')");
    assert_int_equal(last_runs, 1); /* it refused, so there is nothing to take back */
    assert_int_equal(settled, 2);
    assert_string_equal(set("hz 30 timeout 7"), "");
    assert_int_equal(last_runs, 2);
    assert_int_equal(settled, 3);
    assert_string_equal(set("hz 40 port 2"), "CONFIG SET failed (possibly related to argument 'port')");
    assert_int_equal(settled, 3); /* it took no part */
}

static void test_protection_and_loading_hold_options_back(void **state)
{
    assert_string_equal(set_as("dbfilename x", true, false), "");
    assert_string_equal(set_as("appendonly no", true, true), "loading");
}

/* --- files --------------------------------------------------------------------------------- */

static void test_a_wrong_line_is_named(void **state)
{
    assert_string_equal(load("port 1\n\n# x\nnosuch 1\n"), "4: Bad directive or wrong number of arguments");
    assert_string_equal(load("port"), "1: wrong number of arguments");
    assert_string_equal(load("port 1 2"), "1: wrong number of arguments");
    assert_string_equal(load("port \"1"), "1: Unbalanced quotes in configuration line");
    assert_string_equal(load("port 99999"), "1: argument must be between 0 and 65535 inclusive");
    assert_string_equal(load("include"), "1: Bad directive or wrong number of arguments");
    assert_string_equal(load("sentinel monitor x"), "1: sentinel directive while not in sentinel mode");
    assert_string_equal(load("a.b c"), "1: options of modules are not supported yet");
}

static void test_lines_are_read_as_redis_reads_them(void **state)
{
    assert_string_equal(load("  PORT 7000\r\n#c\n\t\nunixsocket '/tmp/a b'\nlist-max-ziplist-entries 5\nport 7001\n"
                             "slave-read-only no\nsave 5 1\nsave 6 2\nbind 127.0.0.1 -::1\nhz 0"),
                        "");
    assert_true(cfg.port == 7001);
    assert_string_equal(cfg.unixsocket, "/tmp/a b");
    assert_false(cfg.replica_read_only);
    assert_string_equal(get("save bind"), "save=5 1 6 2;bind=127.0.0.1 -::1;");
    assert_true(cfg.hz == 1);
    assert_string_equal(load("save \"1 2 3 4\""), "");
    assert_string_equal(get("save"), "save=5 1 6 2 1 2 3 4;");
    assert_string_equal(load("save \"\"\n"), "");
    assert_int_equal(cfg.save_count, 0);
}

static void test_failures_are_printed_in_redis_form(void **state)
{
    struct conf_failure f;
    assert_int_equal(conf_load_text(&cfg, BYTES("\n  port x \n"), false, NULL, &f), -EINVAL);
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    conf_failure_print(&f, out);
    fclose(out);
    assert_string_equal(text, "\n*** FATAL CONFIG FILE ERROR (Redis 7.2.4) ***\nReading the "
                              "configuration file, at line 2\n"
                              ">>> 'port x'\nargument couldn't be parsed into an integer\n");
    free(text);
}

static const char *rename_refuse(struct bytes from, struct bytes to)
{
    return bytes_is_word(from, "get") && to.n == 0 ? NULL : "No such command in rename-command";
}

static void test_rename_command_asks_the_server(void **state)
{
    struct conf_failure f;
    assert_int_equal(conf_load_text(&cfg, BYTES("rename-command GET \"\""), false, rename_refuse, &f), 0);
    assert_int_equal(conf_load_text(&cfg, BYTES("rename-command x y"), false, rename_refuse, &f), -EINVAL);
    assert_string_equal(f.reason, "No such command in rename-command");
}

static char folder[64];

static char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void file_write(const char *name, const char *text)
{
    FILE *out = fopen(in_folder(name), "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static const char *file_text(const char *name)
{
    static char text[2048];
    FILE *in = fopen(in_folder(name), "r");
    assert_non_null(in);
    size_t n = fread(text, 1, sizeof text - 1, in);
    text[n] = 0;
    fclose(in);
    return text;
}

static int folder_make(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/conf_test.XXXXXX");
    if (!mkdtemp(folder)) return -1;
    return fresh(state);
}

static int folder_remove(void **state)
{
    static const char *const names[] = {"a.conf", "b.conf", "c.conf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(in_folder(names[i]));
    rmdir(folder);
    return done(state);
}

static int load_args(int argc, const char *const *argv, struct conf_failure *f)
{
    return conf_load(&cfg, argc, (char *const *)argv, NULL, f);
}

static void test_a_missing_file_is_named(void **state)
{
    struct conf_failure f;
    const char *argv[] = {"s", in_folder("a.conf")};
    assert_int_equal(load_args(2, argv, &f), -ENOENT);
    assert_true(f.cannot_open);
    assert_non_null(strstr(f.reason, "Fatal error, can't open config file '/tmp/conf_test."));
    assert_non_null(strstr(f.reason, "a.conf': No such file or directory"));
}

static void test_includes_are_read_in_place(void **state)
{
    char text[256];
    snprintf(text, sizeof text, "port 1\ninclude %s/[bc].conf\ninclude %s/none*.conf\ntimeout 9\n", folder, folder);
    file_write("a.conf", text);
    file_write("b.conf", "port 2\ntimeout 2\n");
    file_write("c.conf", "databases 5");
    struct conf_failure f;
    const char *argv[] = {"s", in_folder("a.conf"), "--hz", "50"};
    assert_int_equal(load_args(4, argv, &f), 0);
    assert_true(cfg.port == 2 && cfg.timeout == 9 && cfg.databases == 5 && cfg.hz == 50);
    assert_string_equal(cfg.file, in_folder("a.conf"));
}

static void test_a_file_that_includes_itself_ends(void **state)
{
    char text[256];
    snprintf(text, sizeof text, "include %s\n", in_folder("a.conf"));
    file_write("a.conf", text);
    struct conf_failure f;
    const char *argv[] = {"s", in_folder("a.conf")};
    assert_int_equal(load_args(2, argv, &f), -EINVAL);
    assert_string_equal(f.reason, "Includes are nested too deep");
}

static void test_the_command_line_is_more_lines(void **state)
{
    struct conf_failure f;
    const char *argv[] = {"s", "--port", "7000", "--bind", "127.0.0.1", "::1",          "--save",   "60",
                          "1", "--save", "30",   "2",      "--hz 20",   "--masterauth", "--dashes", "--save"};
    assert_int_equal(load_args(15, argv, &f), 0);
    assert_true(cfg.port == 7000 && cfg.hz == 20);
    assert_true(bytes_equal(cfg.masterauth, BYTES("--dashes")));
    assert_string_equal(get("save bind"), "save=60 1 30 2;bind=127.0.0.1 ::1;");
    assert_int_equal(load_args(16, argv, &f), 0);
    assert_int_equal(cfg.save_count, 0);
    file_write("a.conf", "port 1");
    const char *bare[] = {"s", in_folder("a.conf"), "hz", "30", "--port '7001'"};
    assert_int_equal(load_args(5, bare, &f), 0);
    assert_true(cfg.port == 7001 && cfg.hz == 30);
    conf_fini(&cfg);
    conf_init(&cfg);
    const char *wrong[] = {"s", "--port"};
    assert_int_equal(load_args(2, wrong, &f), -EINVAL);
    assert_string_equal(f.reason, "wrong number of arguments");
    assert_int_equal(f.line, 2);
    assert_null(cfg.file);
}

static void test_rewriting_keeps_what_is_there(void **state)
{
    file_write("a.conf", "# head\nport 1\n\n\n\n# why\nTIMEOUT 5\nport 2\nsave 1 1\nsave 2 2\nnosuch x\n"
                         "rename-command A B\nslave-read-only yes\n");
    assert_int_equal(chmod(in_folder("a.conf"), 0600), 0);
    cfg.file = conf_text_copy(bytes_of_str(in_folder("a.conf")));
    assert_string_equal(set("timeout 9 save \"7 7\" maxmemory 2mb replica-read-only no requirepass \"a b\""), "");
    assert_int_equal(conf_rewrite(&cfg, BYTES(""), false), 0);
    const char *text = file_text("a.conf");
    const char *want = "# head\nport 6379\n\n# why\ntimeout 9\n\nsave 7 7\n\n# ??? nosuch x\nrename-command A B\n"
                       "replica-read-only no\n# Generated by CONFIG REWRITE\n";
    assert_true(strncmp(text, want, strlen(want)) == 0);
    assert_non_null(strstr(text, "\nmaxmemory 2mb\n"));
    assert_non_null(strstr(text, "\nrequirepass \"a b\"\n"));
    assert_non_null(strstr(text, "\ndir \"/"));
    assert_null(strstr(text, "hash-max"));
    struct stat st;
    assert_int_equal(stat(in_folder("a.conf"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_a_rewritten_file_gives_the_same_configuration(void **state)
{
    file_write("a.conf", "");
    cfg.file = conf_text_copy(bytes_of_str(in_folder("a.conf")));
    assert_string_equal(set("maxmemory 123 bind \"127.0.0.1 ::1\" save \"\" notify-keyspace-events KA "
                            "client-output-buffer-limit \"normal 1mb 2kb 3\" shutdown-on-sigterm \"save now\" "
                            "oom-score-adj-values \"1 2 3\" latency-tracking-info-percentiles \"\" hz 77"),
                        "");
    assert_int_equal(conf_rewrite(&cfg, BYTES(""), true), 0);
    char before[1024];
    static const char all[] =
        "maxmemory bind save notify-keyspace-events client-output-buffer-limit shutdown-on-sigterm "
        "oom-score-adj-values latency-tracking-info-percentiles hz proc-title-template";
    snprintf(before, sizeof before, "%s", get(all));
    conf_fini(&cfg);
    conf_init(&cfg);
    struct conf_failure f;
    const char *argv[] = {"s", in_folder("a.conf")};
    assert_int_equal(load_args(2, argv, &f), 0);
    assert_string_equal(get(all), before);
}

static void test_rewriting_without_a_file_fails(void **state)
{
    assert_int_equal(conf_rewrite(&cfg, BYTES(""), false), -ENOENT);
    cfg.file = conf_text_copy(BYTES("/nosuchfolder/x.conf"));
    assert_int_equal(conf_rewrite(&cfg, BYTES(""), false), -ENOENT);
}

#define WITH(setup, test, teardown) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(fresh, test_unbalanced_quotes_are_refused, done),
        WITH(fresh, test_too_many_words_are_refused, done),
        WITH(fresh, test_quoted_words_keep_spaces_and_escapes, done),
        WITH(fresh, test_quoting_is_undone_by_splitting, done),
        WITH(fresh, test_names_are_unique_and_found_in_any_case, done),
        WITH(fresh, test_defaults_are_within_their_own_bounds, done),
        WITH(fresh, test_every_option_accepts_what_it_shows, done),
        WITH(fresh, test_amounts_of_memory_know_both_kinds_of_units, done),
        WITH(fresh, test_wrong_values_are_refused_in_redis_words, done),
        WITH(fresh, test_more_memory_than_there_can_be_is_as_much_as_there_can_be, done),
        WITH(fresh, test_what_is_not_there_yet_is_refused_by_name, done),
        WITH(fresh, test_users_are_kept_word_by_word, done),
        WITH(fresh, test_values_are_kept_and_shown_as_redis_does, done),
        WITH(fresh, test_nul_bytes_do_not_get_into_texts, done),
        WITH(fresh, test_get_shows_each_name_once, done),
        WITH(fresh, test_what_is_ours_is_shown_and_may_be_set_to_what_it_is, done),
        WITH(fresh, test_several_are_set_or_none, done),
        WITH(fresh, test_hooks_run_once_and_only_for_changes, done),
        WITH(fresh, test_a_refusing_hook_takes_everything_back, done),
        WITH(fresh, test_what_cannot_be_taken_back_runs_when_nothing_else_refuses, done),
        WITH(fresh, test_what_cannot_be_taken_back_runs_when_nothing_else_refuses, done),
        WITH(fresh, test_protection_and_loading_hold_options_back, done),
        WITH(fresh, test_a_wrong_line_is_named, done),
        WITH(fresh, test_lines_are_read_as_redis_reads_them, done),
        WITH(fresh, test_failures_are_printed_in_redis_form, done),
        WITH(fresh, test_rename_command_asks_the_server, done),
        WITH(folder_make, test_a_missing_file_is_named, folder_remove),
        WITH(folder_make, test_includes_are_read_in_place, folder_remove),
        WITH(folder_make, test_a_file_that_includes_itself_ends, folder_remove),
        WITH(folder_make, test_the_command_line_is_more_lines, folder_remove),
        WITH(folder_make, test_rewriting_keeps_what_is_there, folder_remove),
        WITH(folder_make, test_a_rewritten_file_gives_the_same_configuration, folder_remove),
        WITH(fresh, test_rewriting_without_a_file_fails, done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
