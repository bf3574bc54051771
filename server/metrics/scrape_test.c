/* SPDX-License-Identifier: MIT */
#include "server/metrics/scrape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/exec/session_fixture.h"
#include "server/observe/info.h"

static struct fixture f;
static struct reply replies;
static struct session s;
static struct scrape_common common;

static int start(void **state)
{
    fixture_init(&f, 1);
    reply_init(&replies, 2);
    session_init(&s, &f.w, &replies);
    ticks_init(&f.w.ticks);
    scrape_scale_init(&common.scale, &f.w.ticks);
    return 0;
}

static int stop(void **state)
{
    session_fini(&s);
    reply_fini(&replies);
    fixture_fini(&f);
    return 0;
}

static struct scrape scrape;

static size_t rest(char *out, size_t size, size_t piece)
{
    size_t all = 0;
    bool more = true;
    while (more) {
        size_t n;
        assert_true(size - all > piece);
        more = scrape_write(&scrape, out + all, piece, &n);
        assert_true((n > 0 || !more) && n <= piece);
        all += n;
    }
    out[all] = 0;
    scrape_fini(&scrape);
    return all;
}

static size_t whole(char *out, size_t size, size_t piece)
{
    scrape_init(&scrape, &f.w, &common);
    return rest(out, size, piece);
}

/* With another INFO than the moment's. */
static size_t whole_with(const char *info, size_t n, char *out, size_t size, size_t piece)
{
    scrape_init(&scrape, &f.w, &common);
    scrape_fini(&scrape);
    char *copy = mem_alloc(n + 1);
    memcpy(copy, info, n);
    figures_read(&scrape.figures, copy, n);
    return rest(out, size, piece);
}

static char text[2 << 20], other[2 << 20];

/* --- fields ------------------------------------------------------------------------------------------------------- */

/* Numbers of INFO that are no metrics, each with its reason. */
static const char *const left_out[] = {
    "redis_git_sha1",
    "redis_git_dirty",
    "arch_bits",
    "process_id",
    "tcp_port",                   /* tell who it is, not how it is */
    "lru_clock",                  /* a clock of its own, of 24 bits */
    "uptime_in_days",             /* uptime_in_seconds */
    "used_memory_lua",            /* used_memory_vm_eval */
    "used_memory_vm_total",       /* a sum of two that are there */
    "used_memory_scripts",        /* and another one */
    "eventloop_duration_cmd_sum", /* the sum of demikv_command_seconds_total, at a rate that is corrected backwards */
    "master_port",                /* who its primary is */
    "master_replid2",             /* forty zeros */
};

static bool is_left_out(struct bytes name)
{
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (bytes_equal(name, bytes_of_str(left_out[i]))) return true;
    return false;
}

/* Whoever adds a number to INFO adds its row here, or says why it has none. */
static void test_every_number_of_info_is_a_metric(void **state)
{
    struct reply r;
    struct figures fig;
    struct bytes names[] = {BYTES("everything"), BYTES("debug")}, name, value;
    unsigned numbers = 0;
    reply_init(&r, 2);
    info_write(&f.w, &r, names, 2);
    size_t n = reply_bytes(&r);
    reply_copy_out(&r, text);
    reply_fini(&r);
    figures_read(&fig, text, n);
    for (size_t at = 0; figures_line(&fig, &at, &name, &value);) {
        char number[DECIMAL_SIZE];
        size_t size;
        if (!figures_number(value, FIELD_PERCENT, number, &size) || !memcmp(name.p, "demi_", 5)) continue;
        numbers++;
        if (!figures_row(name) && !is_left_out(name)) fail_msg("INFO's %.*s has no row", (int)name.n, name.p);
        if (figures_row(name) && is_left_out(name)) fail_msg("INFO's %.*s has a row", (int)name.n, name.p);
    }
    assert_true(numbers > 150);
}

static void test_rows_of_a_family_agree(void **state)
{
    for (unsigned i = 0; i < field_count; i++) {
        const struct field *now = &fields[i];
        size_t n = strlen(now->family);
        bool total = n > 6 && strcmp(now->family + n - 6, "_total") == 0;
        bool follows = i && strcmp(now->family, fields[i - 1].family) == 0;
        assert_int_equal(total, now->type == METRIC_COUNTER);
        assert_int_equal(follows, now->help == NULL);
        if (follows) assert_true(now->labels && now->type == fields[i - 1].type && now->unit == fields[i - 1].unit);
        for (unsigned k = 0; k + 1 < i && !follows; k++) assert_string_not_equal(now->family, fields[k].family);
        for (unsigned k = 0; k < i; k++) assert_string_not_equal(now->name, fields[k].name);
    }
}

static struct bytes value_of(const struct figures *fig, const char *field)
{
    const struct field *row = figures_row(bytes_of_str(field));
    assert_non_null(row);
    return fig->value[row - fields];
}

static void test_the_first_line_of_a_name_counts(void **state)
{
    struct figures fig;
    static const char info[] = "# Server\r\nused_memory:5\r\nconfig_file:/tmp/a\r\nused_memory:7\r\n\r\nhz:1\r\nhz";
    figures_read(&fig, info, sizeof info - 1);
    assert_true(bytes_equal(value_of(&fig, "used_memory"), BYTES("5")));
    assert_true(bytes_equal(value_of(&fig, "hz"), BYTES("1")));
    assert_null(value_of(&fig, "loading").p);
    assert_true(bytes_equal(figures_find(&fig, "config_file"), BYTES("/tmp/a")));
    assert_null(figures_find(&fig, "file").p);
}

static void test_units(void **state)
{
    static const struct {
        const char *value;
        enum field_unit unit;
        const char *want;
    } cases[] = {
        {"12", FIELD_PLAIN, "12"},
        {"ok", FIELD_PLAIN, NULL},
        {"1500", FIELD_MS, "1.5"},
        {"20", FIELD_US, "0.00002"},
        {"12.50", FIELD_PERCENT, "0.125"},
        {"99.9%", FIELD_PERCENT, "0.999"},
        {"0.50", FIELD_KBPS, "512"},
        {"x", FIELD_KBPS, NULL},
        {"ok", FIELD_OK, "1"},
        {"err", FIELD_OK, "0"},
        {"", FIELD_OK, NULL},
        {"up", FIELD_UP, "1"},
        {"down", FIELD_UP, "0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[DECIMAL_SIZE];
        size_t n;
        bool is = figures_number(bytes_of_str(cases[i].value), cases[i].unit, out, &n);
        assert_int_equal(is, cases[i].want != NULL);
        if (is) assert_true(bytes_equal(bytes_of(out, n), bytes_of_str(cases[i].want)));
    }
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static void do_something(void)
{
    fixture_ask(&f, &s, "SET secretkey secretvalue");
    fixture_ask(&f, &s, "SET other v EX 100");
    fixture_ask(&f, &s, "GET secretkey");
    fixture_ask(&f, &s, "LPUSH secretkey x");
    fixture_ask(&f, &s, "AUTH secretuser secretword");
    f.w.cmd_stats[0].calls = 7;
    f.w.cmd_stats[0].ticks = UINT64_MAX >> 8;
    if (!f.w.cmd_stats[0].histogram) f.w.cmd_stats[0].histogram = histogram_new();
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) f.w.cmd_stats[0].histogram[i] = i;
    errorstats_count(&f.srv, BYTES("WRONGTYPE Operation"));
    errorstats_count(&f.srv, BYTES("O\"D\\D\x01 and more"));
    errorstats_count(&f.srv, BYTES("secretvalue"));
}

static bool has(const char *line) { return strstr(text, line) != NULL; }

static void test_what_is_shown(void **state)
{
    do_something();
    whole(text, sizeof text, 65536);
    assert_true(has("\ndemikv_db_keys{db=\"0\"} 2\n"));
    assert_true(has("\ndemikv_db_expiring_keys{db=\"0\"} 1\n"));
    assert_true(has("\ndemikv_command_calls_total{cmd=\"set\"} 2\n"));
    assert_true(has("\ndemikv_command_failed_calls_total{cmd=\"lpush\"} 1\n"));
    assert_true(has("\ndemikv_errors_total{error=\"WRONGTYPE\"} 1\n"));
    assert_true(has("\ndemikv_errors_total{error=\"other\"} 2\n"));
    assert_true(has("\n# TYPE demikv_command_duration_seconds histogram\n"));
    assert_true(has(",le=\"+Inf\"} "));
    assert_true(has("# TYPE demikv_memory_used_bytes gauge\ndemikv_memory_used_bytes "));
    assert_true(has("demikv_memory_clients_bytes{class=\"replica\"} 0\n"));
    assert_false(has("secret"));
}

/* A paused scrape goes on where it was. */
static void test_pieces_of_any_size_are_the_same_text(void **state)
{
    static const char info[] = "used_memory:5\r\nloading:0\r\n# Demikernel\r\ndemi_libos_turns:4\r\n";
    do_something();
    size_t n = whole_with(info, sizeof info - 1, text, sizeof text, 1 << 20);
    for (size_t piece = EXPOSITION_ITEM; piece < 4 * EXPOSITION_ITEM; piece += 777) {
        assert_int_equal(whole_with(info, sizeof info - 1, other, sizeof other, piece), n);
        assert_memory_equal(other, text, n);
    }
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* A sample's name and labels are there once, its family's lines are together, and a line is a line. */
static void test_no_sample_and_no_family_is_there_twice(void **state)
{
    static char *series[20000], *families[2000];
    size_t count = 0, family_count = 0;
    const char *family = "";
    do_something();
    whole(text, sizeof text, 65536);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# TYPE ", 7) == 0) {
            families[family_count++] = line + 7;
            *strchr(line + 7, ' ') = 0;
            family = line + 7;
            continue;
        }
        if (line[0] == '#') continue;
        assert_memory_equal(line, family, strlen(family));
        char *space = strrchr(line, ' ');
        assert_non_null(space);
        char *end;
        strtod(space + 1, &end);
        assert_int_equal(*end, 0);
        *space = 0;
        series[count++] = line;
    }
    assert_true(count > 150 && family_count > 130);
    qsort(series, count, sizeof *series, by_text);
    qsort(families, family_count, sizeof *families, by_text);
    for (size_t i = 1; i < count; i++) assert_string_not_equal(series[i - 1], series[i]);
    for (size_t i = 1; i < family_count; i++) assert_string_not_equal(families[i - 1], families[i]);
}

static void test_buckets_are_cumulative_and_end_in_the_count(void **state)
{
    uint64_t before = 0, v = 0;
    unsigned buckets = 0;
    char *at = text;
    do_something();
    whole(text, sizeof text, 65536);
    char name[128];
    snprintf(name, sizeof name, "demikv_command_duration_seconds_bucket{cmd=\"%s\",le=\"", command_at(0)->full_name);
    while ((at = strstr(at, name))) {
        v = strtoull(strstr(at, "} ") + 2, NULL, 10);
        assert_true(v >= before);
        before = v;
        buckets++;
        at++;
    }
    assert_int_equal(buckets, HISTOGRAM_LIMITS + 1);
    assert_int_equal(v, (uint64_t)HISTOGRAM_BUCKETS * (HISTOGRAM_BUCKETS - 1) / 2);
    snprintf(name, sizeof name, "demikv_command_duration_seconds_count{cmd=\"%s\"} %llu\n", command_at(0)->full_name,
             (unsigned long long)v);
    assert_true(has(name));
}

/* The clock's rate is corrected all the time; nothing that counts may go back for it. */
static void test_a_better_clock_rate_changes_nothing_that_counts(void **state)
{
    do_something();
    f.cfg.latency_tracking_info_percentile_count = 0;
    whole(text, sizeof text, 65536);
    f.w.ticks.factor -= f.w.ticks.factor / 100;
    whole(other, sizeof other, 65536);
    const char *from = strstr(text, "# HELP demikv_command_seconds_total"),
               *to = strstr(text, "# HELP demikv_errors_t");
    const char *again = strstr(other, "# HELP demikv_command_seconds_total");
    assert_true(from && to && again);
    assert_memory_equal(from, again, (size_t)(to - from));
}

/* All commands called, all errors there are: each item still fits. */
static void test_all_commands_and_errors_fit(void **state)
{
    for (unsigned i = 0; i < command_count(); i++) {
        f.w.cmd_stats[i].calls = f.w.cmd_stats[i].ticks = f.w.cmd_stats[i].failed = UINT64_MAX;
        f.w.cmd_stats[i].histogram = histogram_new();
        for (unsigned k = 0; k < HISTOGRAM_BUCKETS; k++) f.w.cmd_stats[i].histogram[k] = UINT32_MAX;
    }
    for (int i = 0; i < 200; i++) {
        char code[66];
        memset(code, '\xfe', sizeof code);
        code[0] = (char)('A' + i % 20), code[1] = (char)('A' + i / 20);
        errorstats_count(&f.srv, bytes_of(code, sizeof code));
    }
    assert_true(whole(text, sizeof text, 32768) > 300000);
}

static void test_replicas_have_their_labels(void **state)
{
    static const char info[] = "# Replication\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=12,lag=1\r\n"
                               "slave1:ip=a\"b,port=1,state=wait_bgsave,offset=0,lag=0\r\nslave_priority:100\r\n"
                               "slave2:ip=offset=7\r\n";
    whole_with(info, sizeof info - 1, text, sizeof text, 65536);
    assert_true(has("demikv_replica_offset_bytes{replica=\"0\",ip=\"10.0.0.2\",port=\"6379\",state=\"online\"} 12\n"));
    assert_true(has("demikv_replica_lag_seconds{replica=\"0\",ip=\"10.0.0.2\",port=\"6379\",state=\"online\"} 1\n"));
    assert_true(
        has("demikv_replica_offset_bytes{replica=\"1\",ip=\"a\\\\x22b\",port=\"1\",state=\"wait_bgsave\"} 0\n"));
    assert_false(has("replica=\"2\""));
}

/* The library's counters: nanoseconds are seconds, states are gauges, what comes twice is there once. */
static void test_counters_of_the_library(void **state)
{
    static const char info[] = "demi_not_yet:1\r\n# Demikernel\r\ndemi_version:1.0.0\r\ndemi_batches:3\r\n"
                               "demi_libos_work_ns:1500000000\r\ndemi_libos_queues:4\r\ndemi_dev_rx_bytes:5\r\n"
                               "demi_dev_rx_bytes:6\r\ndemi_Odd-name:7\r\n";
    whole_with(info, sizeof info - 1, text, sizeof text, 65536);
    assert_true(has("demikv_batches_total 3\n"));
    assert_true(has("# TYPE demikv_demi_libos_work_seconds_total counter\ndemikv_demi_libos_work_seconds_total 1.5\n"));
    assert_true(has("# TYPE demikv_demi_libos_queues gauge\ndemikv_demi_libos_queues 4\n"));
    assert_true(has("demikv_demi_dev_rx_bytes_total 5\n"));
    assert_false(has("bytes_total 6\n") || has("demi_batches") || has("not_yet") || has("Odd"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_number_of_info_is_a_metric, start, stop),
        cmocka_unit_test(test_rows_of_a_family_agree),
        cmocka_unit_test(test_the_first_line_of_a_name_counts),
        cmocka_unit_test(test_units),
        cmocka_unit_test_setup_teardown(test_what_is_shown, start, stop),
        cmocka_unit_test_setup_teardown(test_pieces_of_any_size_are_the_same_text, start, stop),
        cmocka_unit_test_setup_teardown(test_no_sample_and_no_family_is_there_twice, start, stop),
        cmocka_unit_test_setup_teardown(test_buckets_are_cumulative_and_end_in_the_count, start, stop),
        cmocka_unit_test_setup_teardown(test_a_better_clock_rate_changes_nothing_that_counts, start, stop),
        cmocka_unit_test_setup_teardown(test_all_commands_and_errors_fit, start, stop),
        cmocka_unit_test_setup_teardown(test_replicas_have_their_labels, start, stop),
        cmocka_unit_test_setup_teardown(test_counters_of_the_library, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
