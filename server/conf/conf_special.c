/* SPDX-License-Identifier: MIT
 *
 * The options whose values have a grammar of their own: several numbers, letters, addresses, or no
 * field at all (dir is the process's working directory). Each is checked as a whole before any of
 * it is taken.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "server/conf/option.h"
#include "server/db/db.h"
#include "server/ds/number.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Like Redis, what strtoll() reads to the end: "+5" and " 5" are 5, "" is 0. */
static bool loose_integer(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *end == 0 && errno == 0;
}

static bool is_one_empty_word(const struct bytes *argv, int argc) { return argc == 1 && argv[0].n == 0; }

static int parse_refuse(char *err, const char *why)
{
    conf_error(err, "%s", why);
    return -1;
}

/* --- dir ----------------------------------------------------------------------------------- */

static int dir_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    if (argc != 1) return parse_refuse(err, "wrong number of arguments");
    if (chdir(argv[0].p) < 0) return parse_refuse(err, strerror(errno));
    return 1;
}

static void dir_get(const struct config *cfg, struct conf_text *out)
{
    char path[PATH_MAX];
    if (getcwd(path, sizeof path)) conf_text_add_str(out, path);
}

static void dir_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    struct conf_text path = {0}, line = {0};
    dir_get(cfg, &path);
    conf_text_printf(&line, "%s ", name);
    conf_text_add_quoted(&line, conf_text_bytes(&path));
    fn(arg, path.n ? line.p : NULL, true);
    conf_text_free(&path);
    conf_text_free(&line);
}

static void dir_reset(struct config *cfg) {}

const struct conf_special conf_special_dir = {dir_set, dir_get, dir_lines, dir_reset};

/* --- save ---------------------------------------------------------------------------------- */

static int save_parse(const struct bytes *argv, int argc, struct save_point *out, char *err)
{
    if (argc % 2 || argc / 2 > CONF_SAVE_MAX) return parse_refuse(err, "Invalid save parameters");
    for (int i = 0; i < argc / 2; i++) {
        struct save_point *s = &out[i];
        bool ok = loose_integer(argv[2 * i].p, &s->seconds) && loose_integer(argv[2 * i + 1].p, &s->changes);
        if (!ok || s->seconds < 1 || s->changes < 0 || s->changes > INT_MAX)
            return parse_refuse(err, "Invalid save parameters");
    }
    return argc / 2;
}

static int save_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    struct save_point points[CONF_SAVE_MAX];
    bool empty = is_one_empty_word(argv, argc);
    int count = empty ? 0 : save_parse(argv, argc, points, err);
    if (count < 0) return -1;
    /* Lines of a file add up, after the first has taken the place of the defaults; CONFIG SET
     * replaces. */
    bool fresh = empty || !cfg->reading_file || !cfg->save_was_read;
    unsigned before = fresh ? 0 : cfg->save_count;
    if (before + (unsigned)count > CONF_SAVE_MAX) return parse_refuse(err, "Invalid save parameters");
    memcpy(cfg->save + before, points, sizeof *points * (size_t)count);
    cfg->save_count = before + (unsigned)count;
    if (cfg->reading_file) cfg->save_was_read = true;
    return 1;
}

static void save_get(const struct config *cfg, struct conf_text *out)
{
    for (unsigned i = 0; i < cfg->save_count; i++)
        conf_text_printf(out, "%s%lld %lld", i ? " " : "", (long long)cfg->save[i].seconds,
                         (long long)cfg->save[i].changes);
}

static void save_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    if (cfg->save_count == 0) fn(arg, "save \"\"", true);
    for (unsigned i = 0; i < cfg->save_count; i++) {
        char line[64];
        snprintf(line, sizeof line, "save %lld %lld", (long long)cfg->save[i].seconds, (long long)cfg->save[i].changes);
        fn(arg, line, true);
    }
}

static void save_reset(struct config *cfg)
{
    static const struct save_point initial[] = {{3600, 1}, {300, 100}, {60, 10000}};
    memcpy(cfg->save, initial, sizeof initial);
    cfg->save_count = COUNT(initial);
}

const struct conf_special conf_special_save = {save_set, save_get, save_lines, save_reset};

/* --- client-output-buffer-limit ------------------------------------------------------------ */

static const struct output_limit initial_limits[OUTPUT_CLASS_COUNT] = {
    {0, 0, 0}, {256 << 20, 64 << 20, 60}, {32 << 20, 8 << 20, 60}};

static int class_find(struct bytes name)
{
    static const char *const names[] = {"normal", "slave", "replica", "pubsub"};
    static const int classes[] = {0, 1, 1, 2};
    for (unsigned i = 0; i < COUNT(names); i++)
        if (bytes_is_word(name, names[i])) return classes[i];
    return -1;
}

static int limit_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    struct output_limit limits[OUTPUT_CLASS_COUNT];
    memcpy(limits, cfg->client_output_buffer_limit, sizeof limits);
    if (argc % 4) return parse_refuse(err, "Wrong number of arguments in buffer limit configuration.");
    for (int i = 0; i < argc; i += 4) {
        int class = class_find(argv[i]);
        if (class < 0) return parse_refuse(err, "Invalid client class specified in buffer limit configuration.");
        struct output_limit *l = &limits[class];
        l->hard_bytes = conf_bytes_parse(argv[i + 1].p);
        l->soft_bytes = conf_bytes_parse(argv[i + 2].p);
        bool ok = loose_integer(argv[i + 3].p, &l->soft_seconds) && l->soft_seconds >= 0 && l->soft_seconds <= INT_MAX;
        if (l->hard_bytes < 0 || l->soft_bytes < 0 || !ok)
            return parse_refuse(err, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    }
    memcpy(cfg->client_output_buffer_limit, limits, sizeof limits);
    return 1;
}

static void limit_get(const struct config *cfg, struct conf_text *out)
{
    static const char *const names[] = {"normal", " slave", " pubsub"};
    for (unsigned i = 0; i < OUTPUT_CLASS_COUNT; i++) {
        const struct output_limit *l = &cfg->client_output_buffer_limit[i];
        conf_text_printf(out, "%s %lld %lld %lld", names[i], (long long)l->hard_bytes, (long long)l->soft_bytes,
                         (long long)l->soft_seconds);
    }
}

static void limit_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    static const char *const names[] = {"normal", "replica", "pubsub"};
    for (unsigned i = 0; i < OUTPUT_CLASS_COUNT; i++) {
        const struct output_limit *l = &cfg->client_output_buffer_limit[i];
        char hard[32], soft[32], line[160];
        conf_bytes_format(hard, l->hard_bytes);
        conf_bytes_format(soft, l->soft_bytes);
        snprintf(line, sizeof line, "%s %s %s %s %lld", name, names[i], hard, soft, (long long)l->soft_seconds);
        fn(arg, line, memcmp(l, &initial_limits[i], sizeof *l) != 0);
    }
}

static void limit_reset(struct config *cfg)
{
    memcpy(cfg->client_output_buffer_limit, initial_limits, sizeof initial_limits);
}

const struct conf_special conf_special_output_limit = {limit_set, limit_get, limit_lines, limit_reset};

/* --- oom-score-adj-values ------------------------------------------------------------------ */

static const int initial_scores[] = {0, 200, 800};

static int scores_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    int values[COUNT(initial_scores)];
    if (argc != COUNT(initial_scores)) return parse_refuse(err, "wrong number of arguments");
    for (int i = 0; i < argc; i++) {
        int64_t v;
        if (!loose_integer(argv[i].p, &v) || v < -2000 || v > 2000)
            return parse_refuse(err, "Invalid oom-score-adj-values, elements must be between -2000 and 2000.");
        values[i] = (int)v;
    }
    bool same = memcmp(cfg->oom_score_adj_values, values, sizeof values) == 0;
    memcpy(cfg->oom_score_adj_values, values, sizeof values);
    return !same;
}

static void scores_get(const struct config *cfg, struct conf_text *out)
{
    const int *v = cfg->oom_score_adj_values;
    conf_text_printf(out, "%d %d %d", v[0], v[1], v[2]);
}

static void scores_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    const int *v = cfg->oom_score_adj_values;
    char line[96];
    snprintf(line, sizeof line, "%s %d %d %d", name, v[0], v[1], v[2]);
    fn(arg, line, memcmp(v, initial_scores, sizeof initial_scores) != 0);
}

static void scores_reset(struct config *cfg)
{
    memcpy(cfg->oom_score_adj_values, initial_scores, sizeof initial_scores);
}

const struct conf_special conf_special_oom_score = {scores_set, scores_get, scores_lines, scores_reset};

/* --- notify-keyspace-events ---------------------------------------------------------------- */

/* In the order they are shown; A stands for those before K, but not for key misses (m), which would
 * be told of all reads. */
static const struct {
    char letter;
    unsigned cls;
} events[] = {
    {'g', NOTIFY_GENERIC}, {'$', NOTIFY_STRING},   {'l', NOTIFY_LIST},     {'s', NOTIFY_SET},      {'h', NOTIFY_HASH},
    {'z', NOTIFY_ZSET},    {'x', NOTIFY_EXPIRED},  {'e', NOTIFY_EVICTED},  {'t', NOTIFY_STREAM},   {'d', NOTIFY_MODULE},
    {'n', NOTIFY_NEW},     {'K', NOTIFY_KEYSPACE}, {'E', NOTIFY_KEYEVENT}, {'m', NOTIFY_KEY_MISS},
};
enum {
    NOTIFY_ALL_CLASSES = NOTIFY_GENERIC | NOTIFY_STRING | NOTIFY_LIST | NOTIFY_SET | NOTIFY_HASH | NOTIFY_ZSET |
                         NOTIFY_EXPIRED | NOTIFY_EVICTED | NOTIFY_STREAM | NOTIFY_MODULE
};

static unsigned event_class(char letter)
{
    if (letter == 'A') return NOTIFY_ALL_CLASSES;
    for (unsigned i = 0; i < COUNT(events); i++)
        if (events[i].letter == letter) return events[i].cls;
    return 0;
}

static int events_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    if (argc != 1) return parse_refuse(err, "wrong number of arguments");
    unsigned sum = 0;
    for (size_t i = 0; i < argv[0].n; i++) {
        unsigned cls = event_class(argv[0].p[i]);
        if (!cls) return parse_refuse(err, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        sum |= cls;
    }
    cfg->notify_keyspace_events = sum;
    return 1;
}

static void events_get(const struct config *cfg, struct conf_text *out)
{
    unsigned left = cfg->notify_keyspace_events;
    if ((left & NOTIFY_ALL_CLASSES) == NOTIFY_ALL_CLASSES) {
        conf_text_add_str(out, "A");
        left &= ~(unsigned)(NOTIFY_ALL_CLASSES | NOTIFY_NEW);
    }
    for (unsigned i = 0; i < COUNT(events); i++)
        if (left & events[i].cls) conf_text_add(out, bytes_of(&events[i].letter, 1));
}

static void events_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    struct conf_text letters = {0}, line = {0};
    events_get(cfg, &letters);
    conf_text_printf(&line, "%s ", name);
    conf_text_add_quoted(&line, conf_text_bytes(&letters));
    fn(arg, line.p, cfg->notify_keyspace_events != 0);
    conf_text_free(&letters);
    conf_text_free(&line);
}

static void events_reset(struct config *cfg) { cfg->notify_keyspace_events = 0; }

const struct conf_special conf_special_events = {events_set, events_get, events_lines, events_reset};

/* --- bind, metrics-bind, rdma-bind ------------------------------------------------------------- */

/* A list of addresses of the configuration, and what it is at first. */
struct bind_list {
    char **hosts;
    unsigned *count;
    const char *const *initial;
};
enum { BIND_INITIAL = 2 };

static const char *const initial_bind[BIND_INITIAL] = {"*", "-::*"};
/* Whoever reaches it may read it: nobody of another host does unless somebody says so. */
static const char *const initial_metrics_bind[BIND_INITIAL] = {"127.0.0.1", "-::1"};

static struct bind_list clients_list(const struct config *cfg)
{
    struct config *c = (struct config *)(uintptr_t)cfg;
    return (struct bind_list){c->bind, &c->bind_count, initial_bind};
}

static struct bind_list metrics_list(const struct config *cfg)
{
    struct config *c = (struct config *)(uintptr_t)cfg;
    return (struct bind_list){c->metrics_bind, &c->metrics_bind_count, initial_metrics_bind};
}

static void list_clear(struct bind_list l)
{
    for (unsigned i = 0; i < *l.count; i++) free(l.hosts[i]);
    *l.count = 0;
}

static int list_set(struct bind_list l, const struct bytes *argv, int argc, char *err)
{
    if (argc > CONF_BIND_MAX) return parse_refuse(err, "Too many bind addresses specified.");
    if (is_one_empty_word(argv, argc)) argc = 0;
    list_clear(l);
    for (int i = 0; i < argc; i++) l.hosts[i] = conf_text_copy(argv[i]);
    *l.count = (unsigned)argc;
    return 1;
}

static void list_get(struct bind_list l, struct conf_text *out)
{
    for (unsigned i = 0; i < *l.count; i++) conf_text_printf(out, "%s%s", i ? " " : "", l.hosts[i]);
}

static bool list_is_initial(struct bind_list l)
{
    if (*l.count != BIND_INITIAL) return false;
    for (unsigned i = 0; i < *l.count; i++)
        if (strcmp(l.hosts[i], l.initial[i]) != 0) return false;
    return true;
}

static void list_lines(struct bind_list l, const char *name, conf_line_fn *fn, void *arg)
{
    if (list_is_initial(l)) {
        fn(arg, NULL, false);
        return;
    }
    struct conf_text line = {0};
    conf_text_printf(&line, "%s ", name);
    if (*l.count) list_get(l, &line);
    else conf_text_add_str(&line, "\"\"");
    fn(arg, line.p, true);
    conf_text_free(&line);
}

static void list_reset(struct bind_list l)
{
    list_clear(l);
    for (unsigned i = 0; i < BIND_INITIAL; i++) l.hosts[i] = conf_text_copy(bytes_of_str(l.initial[i]));
    *l.count = BIND_INITIAL;
}

static int bind_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    return list_set(clients_list(cfg), argv, argc, err);
}

static void bind_get(const struct config *cfg, struct conf_text *out) { list_get(clients_list(cfg), out); }

static void bind_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    list_lines(clients_list(cfg), name, fn, arg);
}

static void bind_reset(struct config *cfg) { list_reset(clients_list(cfg)); }

const struct conf_special conf_special_bind = {bind_set, bind_get, bind_lines, bind_reset};

static int metrics_bind_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    return list_set(metrics_list(cfg), argv, argc, err);
}

static void metrics_bind_get(const struct config *cfg, struct conf_text *out) { list_get(metrics_list(cfg), out); }

static void metrics_bind_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    list_lines(metrics_list(cfg), name, fn, arg);
}

static void metrics_bind_reset(struct config *cfg) { list_reset(metrics_list(cfg)); }

const struct conf_special conf_special_metrics_bind = {metrics_bind_set, metrics_bind_get, metrics_bind_lines,
                                                       metrics_bind_reset};

static struct bind_list rdma_list(const struct config *cfg)
{
    struct config *c = (struct config *)(uintptr_t)cfg;
    return (struct bind_list){c->rdma_bind, &c->rdma_bind_count, initial_bind};
}

static int rdma_bind_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    return list_set(rdma_list(cfg), argv, argc, err);
}

static void rdma_bind_get(const struct config *cfg, struct conf_text *out) { list_get(rdma_list(cfg), out); }

static void rdma_bind_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    list_lines(rdma_list(cfg), name, fn, arg);
}

static void rdma_bind_reset(struct config *cfg) { list_reset(rdma_list(cfg)); }

const struct conf_special conf_special_rdma_bind = {rdma_bind_set, rdma_bind_get, rdma_bind_lines, rdma_bind_reset};

/* --- replicaof ----------------------------------------------------------------------------- */

static void replicaof_reset(struct config *cfg)
{
    free(cfg->replicaof_host);
    cfg->replicaof_host = NULL;
    cfg->replicaof_port = 0;
}

static int replicaof_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    if (argc != 2) return parse_refuse(err, "wrong number of arguments");
    if (bytes_is_word(argv[0], "no") && bytes_is_word(argv[1], "one")) {
        replicaof_reset(cfg);
        return 1;
    }
    int64_t port;
    if (!loose_integer(argv[1].p, &port) || port < 0 || port > 65535) return parse_refuse(err, "Invalid master port");
    replicaof_reset(cfg);
    cfg->replicaof_host = conf_text_copy(argv[0]);
    cfg->replicaof_port = (int)port;
    return 1;
}

static void replicaof_get(const struct config *cfg, struct conf_text *out)
{
    if (cfg->replicaof_host) conf_text_printf(out, "%s %d", cfg->replicaof_host, cfg->replicaof_port);
}

/* As it stands wherever that is one word of a file. */
static void add_host(struct conf_text *line, const char *host)
{
    bool plain = *host != 0;
    for (const char *p = host; *p; p++) plain &= *p > ' ' && *p < 0x7f && *p != '"' && *p != '\'' && *p != '#';
    if (plain) conf_text_add_str(line, host);
    else conf_text_add_quoted(line, bytes_of_str(host));
}

static void replicaof_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    struct conf_text line = {0};
    if (cfg->replicaof_host) {
        conf_text_printf(&line, "%s ", name);
        add_host(&line, cfg->replicaof_host);
        conf_text_printf(&line, " %d", cfg->replicaof_port);
    }
    fn(arg, cfg->replicaof_host ? line.p : NULL, true);
    conf_text_free(&line);
}

const struct conf_special conf_special_replicaof = {replicaof_set, replicaof_get, replicaof_lines, replicaof_reset};

/* --- latency-tracking-info-percentiles ----------------------------------------------------- */

static int percentiles_set(struct config *cfg, const struct bytes *argv, int argc, char *err)
{
    double values[CONF_PERCENTILE_MAX];
    if (is_one_empty_word(argv, argc)) argc = 0;
    if (argc > CONF_PERCENTILE_MAX) return parse_refuse(err, "Invalid latency-tracking-info-percentiles parameters");
    for (int i = 0; i < argc; i++) {
        if (!number_parse_double(argv[i], &values[i]))
            return parse_refuse(err, "Invalid latency-tracking-info-percentiles parameters");
        if (!(values[i] >= 0.0 && values[i] <= 100.0))
            return parse_refuse(err, "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
    }
    memcpy(cfg->latency_tracking_info_percentiles, values, sizeof *values * (size_t)argc);
    cfg->latency_tracking_info_percentile_count = (unsigned)argc;
    return 1;
}

static void percentiles_get(const struct config *cfg, struct conf_text *out)
{
    for (unsigned i = 0; i < cfg->latency_tracking_info_percentile_count; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "%f", cfg->latency_tracking_info_percentiles[i]);
        while (text[n - 1] == '0') n--;
        if (text[n - 1] == '.') n--;
        conf_text_printf(out, "%s%.*s", i ? " " : "", n, text);
    }
}

static void percentiles_lines(const struct config *cfg, const char *name, conf_line_fn *fn, void *arg)
{
    struct conf_text line = {0};
    conf_text_printf(&line, "%s ", name);
    if (cfg->latency_tracking_info_percentile_count) percentiles_get(cfg, &line);
    else conf_text_add_str(&line, "\"\"");
    fn(arg, line.p, true);
    conf_text_free(&line);
}

static void percentiles_reset(struct config *cfg)
{
    static const double initial[] = {50.0, 99.0, 99.9};
    memcpy(cfg->latency_tracking_info_percentiles, initial, sizeof initial);
    cfg->latency_tracking_info_percentile_count = COUNT(initial);
}

const struct conf_special conf_special_percentiles = {percentiles_set, percentiles_get, percentiles_lines,
                                                      percentiles_reset};
