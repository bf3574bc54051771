/* SPDX-License-Identifier: MIT
 *
 * A section writes an item a call (a sample, or those that belong together: a command's histogram), which is bounded by
 * EXPOSITION_ITEM; between two calls a scrape may pause for as long as its reader likes. What INFO shows is of the
 * moment at which the scrape began, what a command has is of the moment at which it is written, and an item is of one
 * moment.
 *
 * Nothing here names a key, a value, a client or a user. Label values are names of commands, databases by number, codes
 * of errors, and names of ours.
 */
#include "server/metrics/scrape.h"

#include <stdio.h>

#include "server/command/command.h"
#include "server/conf/config.h"
#include "server/ds/number.h"
#include "server/observe/errorstats.h"
#include "server/observe/slowlog.h"
#include "server/server.h"
#include "server/worker.h"

void scrape_scale_init(struct scrape_scale *s, const struct ticks_rate *rate)
{
    s->rate = *rate;
    for (unsigned i = 0; i < HISTOGRAM_LIMITS; i++) s->below[i] = histogram_limit_buckets(rate, i);
}

static void head_once(struct scrape *s, const char *name, enum metric_type type, const char *help)
{
    if (!s->headed) exposition_family(&s->out, name, type, help);
    s->headed = true;
}

/* --- INFO's figures ----------------------------------------------------------------------------------------------- */

static bool write_build(struct scrape *s)
{
    static const struct {
        const char *label, *field;
    } labels[] = {
        {"version", "demikv_version"},  {"redis_version", "redis_version"},
        {"mode", "redis_mode"},         {"role", "role"},
        {"libos", "demi_libos"},        {"library", "demi_version"},
        {"policy", "maxmemory_policy"},
    };
    if (s->at++) return false;
    exposition_family(&s->out, "demikv_info", METRIC_GAUGE, "What runs: versions, role, libOS. Always 1.");
    exposition_begin(&s->out, "");
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++)
        exposition_label(&s->out, labels[i].label, figures_find(&s->figures, labels[i].field));
    exposition_end(&s->out, 1);
    return true;
}

static bool same_family(unsigned i, unsigned k) { return strcmp(fields[i].family, fields[k].family) == 0; }

/* Whether a sample of the row's family has been written: its first row may not be there. */
static bool is_first(const struct scrape *s, unsigned i)
{
    char number[DECIMAL_SIZE];
    size_t n;
    for (unsigned k = i; k > 0 && same_family(k - 1, i); k--) {
        const struct bytes v = s->figures.value[k - 1];
        if (v.p && figures_number(v, fields[k - 1].unit, number, &n)) return false;
    }
    return true;
}

static const char *help_of(unsigned i)
{
    while (!fields[i].help) i--;
    return fields[i].help;
}

static bool write_field(struct scrape *s)
{
    char number[DECIMAL_SIZE];
    size_t n;
    if (s->at == field_count) return false;
    unsigned i = (unsigned)s->at++;
    const struct field *f = &fields[i];
    if (!s->figures.value[i].p || !figures_number(s->figures.value[i], f->unit, number, &n)) return true;
    if (is_first(s, i)) exposition_family(&s->out, f->family, f->type, help_of(i));
    exposition_begin(&s->out, "");
    if (f->labels) exposition_labels(&s->out, f->labels);
    exposition_end_text(&s->out, bytes_of(number, n));
    return true;
}

/* --- the library's counters --------------------------------------------------------------------------------------- */

#define COUNTER_PREFIX "demi_"
enum { COUNTER_NAME_SIZE = 96, ERROR_CODE_MAX = 24 };

/* What the library shows among its counters and is none. */
static bool is_state(struct bytes name)
{
    static const char *const names[] = {
        "demi_libos_ops_outstanding", "demi_libos_queues", "demi_libos_timers", "demi_dev_up", "demi_disk_uring",
        "demi_tls_sessions"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (bytes_equal(name, bytes_of_str(names[i]))) return true;
    return false;
}

static bool has_prefix(struct bytes name)
{
    size_t n = sizeof COUNTER_PREFIX - 1;
    if (name.n <= n || name.n > COUNTER_NAME_SIZE / 2 || memcmp(name.p, COUNTER_PREFIX, n) != 0) return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] != '_' && (name.p[i] < 'a' || name.p[i] > 'z') && (name.p[i] < '0' || name.p[i] > '9'))
            return false;
    return !figures_row(name);
}

/* A name that INFO shows twice (two devices) is one metric. `end` is where its line begins. */
static bool was_before(const struct figures *f, struct bytes name, size_t end)
{
    struct bytes other, value;
    for (size_t at = f->counters_at; at < end && figures_line(f, &at, &other, &value);)
        if (bytes_equal(name, other)) return true;
    return false;
}

/* demi_libos_work_ns is demikv_demi_libos_work_seconds_total. */
static unsigned counter_name(char out[COUNTER_NAME_SIZE], struct bytes name, bool counts)
{
    bool is_ns = name.n > 3 && memcmp(name.p + name.n - 3, "_ns", 3) == 0;
    int stem = (int)(name.n - (is_ns ? 3 : 0));
    int n = snprintf(out, COUNTER_NAME_SIZE, "demikv_%.*s%s%s", stem, name.p, is_ns ? "_seconds" : "",
                     counts ? "_total" : "");
    ASSERT(n > 0 && n < COUNTER_NAME_SIZE);
    return is_ns ? 9 : 0;
}

static bool write_counter(struct scrape *s)
{
    struct bytes name, value;
    char family[COUNTER_NAME_SIZE], number[DECIMAL_SIZE];
    size_t n, begin = s->at;
    if (!begin) begin = s->at = s->figures.counters_at;
    if (!figures_line(&s->figures, &s->at, &name, &value)) return false;
    if (!has_prefix(name) || was_before(&s->figures, name, begin)) return true;
    bool counts = !is_state(name);
    unsigned shift = counter_name(family, name, counts);
    if (!decimal_shift(value, shift, number, &n)) return true;
    exposition_family(&s->out, family, counts ? METRIC_COUNTER : METRIC_GAUGE,
                      counts ? "A counter of the library." : "State of the library.");
    exposition_begin(&s->out, "");
    exposition_end_text(&s->out, bytes_of(number, n));
    return true;
}

/* --- replicas ----------------------------------------------------------------------------------------------------- */

static bool part_of(struct bytes line, const char *key, struct bytes *value)
{
    size_t n = strlen(key);
    while (line.n >= n) {
        const char *comma = memchr(line.p, ',', line.n);
        size_t part = comma ? (size_t)(comma - line.p) : line.n;
        if (part >= n && memcmp(line.p, key, n) == 0) {
            *value = bytes_of(line.p + n, part - n);
            return true;
        }
        if (!comma) return false;
        line = bytes_of(comma + 1, line.n - part - 1);
    }
    return false;
}

/* slave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0; *index is its number. */
static bool is_replica(struct bytes name, uint64_t *index)
{
    int64_t v;
    if (name.n < 6 || memcmp(name.p, "slave", 5) != 0) return false;
    if (!number_parse_i64(bytes_of(name.p + 5, name.n - 5), &v) || v < 0) return false;
    *index = (uint64_t)v;
    return true;
}

/* Its address may be what it says of itself: a label has its number besides, so that no two samples are alike. */
static void write_replica(struct scrape *s, const char *family, const char *part, const char *help)
{
    struct bytes name, line, value, ip = BYTES(""), port = BYTES(""), state = BYTES("");
    uint64_t index;
    char number[DECIMAL_SIZE];
    size_t n;
    if (!figures_line(&s->figures, &s->at, &name, &line) || !is_replica(name, &index)) return;
    if (!part_of(line, part, &value) || !decimal_shift(value, 0, number, &n)) return;
    part_of(line, "ip=", &ip), part_of(line, "port=", &port), part_of(line, "state=", &state);
    head_once(s, family, METRIC_GAUGE, help);
    exposition_begin(&s->out, "");
    exposition_label_number(&s->out, "replica", index);
    exposition_label(&s->out, "ip", ip);
    exposition_label(&s->out, "port", port);
    exposition_label(&s->out, "state", state);
    exposition_end_text(&s->out, bytes_of(number, n));
}

static bool write_replica_offset(struct scrape *s)
{
    write_replica(s, "demikv_replica_offset_bytes", "offset=", "What a replica has acknowledged.");
    return s->at < s->figures.n;
}

static bool write_replica_lag(struct scrape *s)
{
    write_replica(s, "demikv_replica_lag_seconds", "lag=", "Since when a replica has acknowledged nothing.");
    return s->at < s->figures.n;
}

/* --- databases ---------------------------------------------------------------------------------------------------- */

/* The next database that has keys, as INFO shows it; NULL: there is none. */
static struct db *next_db(struct scrape *s)
{
    struct server *srv = s->w->srv;
    while (s->at < (size_t)srv->db_count) {
        struct db *db = &srv->dbs[s->at++];
        if (db_size(db)) return db;
    }
    return NULL;
}

static void begin_db(struct scrape *s)
{
    exposition_begin(&s->out, "");
    exposition_label_number(&s->out, "db", s->at - 1);
}

static bool write_db_keys(struct scrape *s)
{
    struct db *db = next_db(s);
    if (!db) return false;
    head_once(s, "demikv_db_keys", METRIC_GAUGE, "Keys of a database.");
    begin_db(s);
    exposition_end(&s->out, db_size(db));
    return true;
}

static bool write_db_expires(struct scrape *s)
{
    struct db *db = next_db(s);
    if (!db) return false;
    head_once(s, "demikv_db_expiring_keys", METRIC_GAUGE, "Keys of a database that have a time to live.");
    begin_db(s);
    exposition_end(&s->out, db_expires(db));
    return true;
}

static bool write_db_ttl(struct scrape *s)
{
    struct db *db = next_db(s);
    if (!db) return false;
    head_once(s, "demikv_db_average_ttl_seconds", METRIC_GAUGE, "Estimate of the mean time to live.");
    begin_db(s);
    exposition_end_ns(&s->out, (uint64_t)(db->avg_ttl_ms > 0 ? db->avg_ttl_ms : 0) * 1000000);
    return true;
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

/* The next command that has been called or refused, with its figures; NULL: there is none. */
static const struct command *next_command(struct scrape *s, struct command_stats *stats)
{
    while (s->at < command_count()) {
        unsigned i = (unsigned)s->at++;
        *stats = worker_command_stats_sum(s->w->srv, i);
        if (stats->calls || stats->rejected || stats->failed) return command_at(i);
    }
    return NULL;
}

static void begin_command(struct scrape *s, const char *suffix, const struct command *cmd)
{
    exposition_begin(&s->out, suffix);
    exposition_label(&s->out, "cmd", bytes_of_str(cmd->full_name));
}

static bool write_calls(struct scrape *s)
{
    struct command_stats stats;
    const struct command *cmd = next_command(s, &stats);
    if (!cmd) return false;
    head_once(s, "demikv_command_calls_total", METRIC_COUNTER, "Calls of a command.");
    begin_command(s, "", cmd);
    exposition_end(&s->out, stats.calls);
    return true;
}

static bool write_seconds(struct scrape *s)
{
    struct command_stats stats;
    const struct command *cmd = next_command(s, &stats);
    if (!cmd) return false;
    head_once(s, "demikv_command_seconds_total", METRIC_COUNTER, "Time that a command's calls took.");
    begin_command(s, "", cmd);
    exposition_end_ns(&s->out, ticks_to_ns(&s->common->scale.rate, stats.ticks));
    return true;
}

static bool write_rejected(struct scrape *s)
{
    struct command_stats stats;
    const struct command *cmd = next_command(s, &stats);
    if (!cmd) return false;
    head_once(s, "demikv_command_rejected_calls_total", METRIC_COUNTER, "Calls of a command that were refused.");
    begin_command(s, "", cmd);
    exposition_end(&s->out, stats.rejected);
    return true;
}

static bool write_failed(struct scrape *s)
{
    struct command_stats stats;
    const struct command *cmd = next_command(s, &stats);
    if (!cmd) return false;
    head_once(s, "demikv_command_failed_calls_total", METRIC_COUNTER, "Calls of a command that replied an error.");
    begin_command(s, "", cmd);
    exposition_end(&s->out, stats.failed);
    return true;
}

/* The buckets are those of LATENCY HISTOGRAM, all of them, so that the series of a command stay the same. */
static void write_buckets(struct scrape *s, const struct command *cmd, const struct command_stats *stats)
{
    char number[NUMBER_I64_SIZE], limit[DECIMAL_SIZE];
    uint64_t seen = 0;
    unsigned bucket = 0;
    for (unsigned i = 0; i < HISTOGRAM_LIMITS; i++) {
        size_t n;
        while (bucket < s->common->scale.below[i]) seen += stats->histogram[bucket++];
        struct bytes ns = bytes_of(number, number_format_u64(number, histogram_limit_ns(i)));
        bool fits = decimal_shift(ns, 9, limit, &n);
        ASSERT(fits);
        begin_command(s, "_bucket", cmd);
        exposition_label(&s->out, "le", bytes_of(limit, n));
        exposition_end(&s->out, seen);
    }
    while (bucket < HISTOGRAM_BUCKETS) seen += stats->histogram[bucket++];
    begin_command(s, "_bucket", cmd);
    exposition_label(&s->out, "le", BYTES("+Inf"));
    exposition_end(&s->out, seen);
    begin_command(s, "_sum", cmd);
    exposition_end_ns(&s->out, ticks_to_ns(&s->common->scale.rate, stats->ticks));
    begin_command(s, "_count", cmd);
    exposition_end(&s->out, seen);
}

static bool write_histogram(struct scrape *s)
{
    struct command_stats stats;
    const struct command *cmd = next_command(s, &stats);
    if (!cmd) return false;
    if (!stats.histogram) return true;
    head_once(s, "demikv_command_duration_seconds", METRIC_HISTOGRAM, "How long a command's calls took.");
    write_buckets(s, cmd, &stats);
    return true;
}

/* 99.9 is "0.999" */
static void label_percentile(struct scrape *s, double percent)
{
    char text[NUMBER_DOUBLE_SIZE], shifted[DECIMAL_SIZE];
    size_t n;
    unsigned size = number_format_double(text, percent);
    bool is_plain = decimal_shift(bytes_of(text, size), 2, shifted, &n);
    exposition_label(&s->out, "quantile", is_plain ? bytes_of(shifted, n) : bytes_of(text, size));
}

/* INFO latencystats. */
static bool write_percentiles(struct scrape *s)
{
    const struct config *cfg = s->w->srv->config;
    struct command_stats stats;
    const struct command *cmd = cfg->latency_tracking ? next_command(s, &stats) : NULL;
    if (!cmd) return false;
    if (!histogram_count(stats.histogram)) return true;
    for (unsigned k = 0; k < cfg->latency_tracking_info_percentile_count; k++) {
        double p = cfg->latency_tracking_info_percentiles[k];
        head_once(s, "demikv_command_latency_seconds", METRIC_SUMMARY,
                  "Percentiles of how long a command's calls took (latency-tracking-info-percentiles).");
        begin_command(s, "", cmd);
        label_percentile(s, p);
        exposition_end_ns(&s->out, ticks_to_ns(&s->common->scale.rate, histogram_percentile(stats.histogram, p)));
    }
    return true;
}

/* --- errors, slow commands, events -------------------------------------------------------------------------------- */

/* A script chooses the codes of its errors, and one that makes an error of a value must not show it here: what does not
 * look like a code is counted as "other". */
static bool is_code(const char *code)
{
    size_t n = strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return n > 0 && n <= ERROR_CODE_MAX && !code[n] && code[0] >= 'A';
}

struct nth_error {
    size_t left;
    const char *code; /* NULL: there are not as many */
    uint64_t count, others;
};

static void take_error(void *arg, const char *code, uint64_t count)
{
    struct nth_error *e = arg;
    if (!is_code(code)) e->others += count;
    else if (e->left-- == 0) e->code = code, e->count = count;
}

static bool write_error(struct scrape *s)
{
    struct nth_error e = {.left = s->at};
    if (s->at == SIZE_MAX) return false;
    errorstats_each(s->w->srv, take_error, &e);
    s->at = e.code ? s->at + 1 : SIZE_MAX; /* the last one is that of the others */
    if (!e.code && !e.others) return false;
    head_once(s, "demikv_errors_total", METRIC_COUNTER, "Errors that were replied, by their code.");
    exposition_begin(&s->out, "");
    exposition_label(&s->out, "error", e.code ? bytes_of_str(e.code) : BYTES("other"));
    exposition_end(&s->out, e.code ? e.count : e.others);
    return true;
}

static bool write_slowlog(struct scrape *s)
{
    if (s->at++) return false;
    exposition_family(&s->out, "demikv_slowlog_entries", METRIC_GAUGE, "Entries of the slow log.");
    exposition_begin(&s->out, "");
    exposition_end(&s->out, slowlog_length(s->w->srv));
    return true;
}

/* Of the scrapes themselves. */
static bool write_scrapes(struct scrape *s)
{
    const struct scrape_common *c = s->common;
    if (s->at++) return false;
    exposition_family(&s->out, "demikv_metrics_requests_total", METRIC_COUNTER, "Requests to this page.");
    exposition_begin(&s->out, "");
    exposition_label(&s->out, "answered", BYTES("yes"));
    exposition_end(&s->out, c->answered);
    exposition_begin(&s->out, "");
    exposition_label(&s->out, "answered", BYTES("no"));
    exposition_end(&s->out, c->refused);
    exposition_family(&s->out, "demikv_metrics_connections", METRIC_GAUGE, "Connections to this page.");
    exposition_begin(&s->out, "");
    exposition_end(&s->out, c->connections);
    return true;
}

static const struct latency_event *next_event(struct scrape *s)
{
    return s->at < latency_event_count(s->w->srv) ? latency_event_at(s->w->srv, s->at++) : NULL;
}

static void write_event(struct scrape *s, const struct latency_event *e, int64_t ms)
{
    exposition_begin(&s->out, "");
    exposition_label(&s->out, "event", bytes_of_str(e->name));
    exposition_end_ns(&s->out, (uint64_t)(ms > 0 ? ms : 0) * 1000000);
}

static bool write_event_last(struct scrape *s)
{
    const struct latency_event *e = next_event(s);
    if (!e) return false;
    head_once(s, "demikv_latency_event_last_seconds", METRIC_GAUGE, "The last delay of a kind (LATENCY LATEST).");
    write_event(s, e, latency_event_sample(e, e->count - 1).ms);
    return true;
}

static bool write_event_worst(struct scrape *s)
{
    const struct latency_event *e = next_event(s);
    if (!e) return false;
    head_once(s, "demikv_latency_event_max_seconds", METRIC_GAUGE, "The longest delay of a kind.");
    write_event(s, e, e->worst_ms);
    return true;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

/* Each writes its next item, from s->at on, and moves that on; false: there was none. */
static bool (*const sections[])(struct scrape *s) = {
    write_build,      write_field,      write_replica_offset, write_replica_lag, write_db_keys,
    write_db_expires, write_db_ttl,     write_calls,          write_seconds,     write_rejected,
    write_failed,     write_histogram,  write_percentiles,    write_error,       write_slowlog,
    write_scrapes,    write_event_last, write_event_worst,    write_counter,
};
enum { SECTIONS = sizeof sections / sizeof *sections };

void scrape_init(struct scrape *s, struct worker *w, const struct scrape_common *common)
{
    s->w = w;
    s->common = common;
    s->section = 0;
    s->at = 0;
    s->headed = false;
    exposition_init(&s->out, NULL, 0);
    figures_take(&s->figures, w);
}

void scrape_fini(struct scrape *s) { figures_free(&s->figures); }

bool scrape_write(struct scrape *s, char *p, size_t room, size_t *n)
{
    ASSERT(room >= EXPOSITION_ITEM);
    exposition_go_on(&s->out, p, room);
    while (s->section < SECTIONS && exposition_has_room(&s->out)) {
        if (sections[s->section](s)) continue;
        s->section++;
        s->at = 0;
        s->headed = false;
    }
    *n = s->out.n;
    return s->section < SECTIONS;
}
