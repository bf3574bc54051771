/* SPDX-License-Identifier: MIT
 *
 * LATENCY: the latency monitor's events and the commands' histograms.
 */
#include "server/command/handlers.h"
#include "server/observe/latency.h"
#include "server/server.h"
#include "server/worker.h"

#include <stdio.h>
#include <string.h>

void cmd_latency_latest(struct call *c)
{
    size_t n = latency_event_count(c->srv);
    reply_array(c->out, n);
    for (size_t i = 0; i < n; i++) {
        const struct latency_event *e = latency_event_at(c->srv, i);
        struct latency_sample last = latency_event_sample(e, e->count - 1);
        reply_array(c->out, 4);
        reply_bulk_str(c->out, e->name);
        reply_int(c->out, last.time_s);
        reply_int(c->out, last.ms);
        reply_int(c->out, e->worst_ms);
    }
}

void cmd_latency_history(struct call *c)
{
    const struct latency_event *e = latency_event_find(c->srv, c->argv[2]);
    reply_array(c->out, e ? e->count : 0);
    for (size_t i = 0; e && i < e->count; i++) {
        struct latency_sample s = latency_event_sample(e, i);
        reply_array(c->out, 2);
        reply_int(c->out, s.time_s);
        reply_int(c->out, s.ms);
    }
}

void cmd_latency_reset(struct call *c)
{
    int64_t n = 0;
    if (c->argc == 2) n = (int64_t)latency_reset_all(c->srv);
    for (int i = 2; i < c->argc; i++) n += latency_event_reset(c->srv, c->argv[i]);
    call_integer(c, n);
}

/* A character a sample, the oldest at the left; each row is worth three steps of height; below the ages of the samples,
 * written downwards. Wider than a terminal, it goes on below. */
enum { GRAPH_ROWS = 4, GRAPH_COLUMNS = 80, STEPS_A_ROW = 3, AGE_SIZE = 24 };

/* "7s", "3m", "2h", "9d" */
static void write_age(char *text, int64_t age_s)
{
    if (age_s < 0) age_s = 0;
    if (age_s < 60) snprintf(text, AGE_SIZE, "%llds", (long long)age_s);
    else if (age_s < 3600) snprintf(text, AGE_SIZE, "%lldm", (long long)age_s / 60);
    else if (age_s < 86400) snprintf(text, AGE_SIZE, "%lldh", (long long)age_s / 3600);
    else snprintf(text, AGE_SIZE, "%lldd", (long long)age_s / 86400);
}

static int64_t graph_step(int64_t ms, int64_t low, int64_t high)
{
    int64_t steps = GRAPH_ROWS * STEPS_A_ROW;
    int64_t step = high > low ? (ms - low) * steps / (high - low) : 0;
    return step < steps ? step : steps - 1;
}

static void draw_line(struct reply *text, char *line, size_t n)
{
    line[n] = '\n';
    reply_raw(text, bytes_of(line, n + 1));
}

/* Samples first … first + n - 1 of e. */
static void draw_part(struct reply *text, const struct latency_event *e, size_t first, size_t n, int64_t low,
                      int64_t high, int64_t now_s)
{
    char line[GRAPH_COLUMNS + 1], ages[GRAPH_COLUMNS][AGE_SIZE];
    for (int row = GRAPH_ROWS - 1; row >= 0; row--) {
        for (size_t i = 0; i < n; i++) {
            int64_t above = graph_step(latency_event_sample(e, first + i).ms, low, high) - row * STEPS_A_ROW;
            line[i] = above < 0 ? ' ' : above < STEPS_A_ROW ? "_o#"[above] : '|';
        }
        draw_line(text, line, n);
    }
    memset(line, ' ', n);
    draw_line(text, line, n);
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        write_age(ages[i], now_s - latency_event_sample(e, first + i).time_s);
        if (strlen(ages[i]) > longest) longest = strlen(ages[i]);
    }
    for (size_t row = 0; row < longest; row++) {
        for (size_t i = 0; i < n; i++) line[i] = row < strlen(ages[i]) ? ages[i][row] : ' ';
        draw_line(text, line, n);
    }
}

void cmd_latency_graph(struct call *c)
{
    const struct latency_event *e = latency_event_find(c->srv, c->argv[2]);
    if (!e) {
        call_errorf(c, "ERR No samples available for event '%.*s'", (int)(c->argv[2].n < 900 ? c->argv[2].n : 900),
                    c->argv[2].p);
        return;
    }
    int64_t low = INT64_MAX, high = 0;
    for (size_t i = 0; i < e->count; i++) {
        int64_t ms = latency_event_sample(e, i).ms;
        if (ms < low) low = ms;
        if (ms > high) high = ms;
    }
    struct reply text;
    reply_init(&text, 2);
    char line[256];
    int k = snprintf(line, sizeof line, "%s - high %lld ms, low %lld ms (all time high %lld ms)\n", e->name,
                     (long long)high, (long long)low, (long long)e->worst_ms);
    reply_raw(&text, bytes_of(line, (size_t)k));
    memset(line, '-', GRAPH_COLUMNS);
    draw_line(&text, line, GRAPH_COLUMNS);
    for (size_t i = 0; i < e->count; i += GRAPH_COLUMNS) {
        if (i) reply_raw(&text, BYTES("\n"));
        size_t left = e->count - i;
        draw_part(&text, e, i, left < GRAPH_COLUMNS ? left : GRAPH_COLUMNS, low, high, c->now_ms / 1000);
    }
    call_text(c, &text);
}

void cmd_latency_doctor(struct call *c)
{
    struct reply text;
    reply_init(&text, 2);
    latency_doctor(&text, c->srv);
    call_text(c, &text);
}

/* --- LATENCY HISTOGRAM ------------------------------------------------------------------------------------------ */

/* As redis-server has it: what took a second or longer is in the last bucket. */
static void reply_histogram(struct reply *out, const struct ticks_rate *rate, const struct command *cmd,
                            const uint32_t *h)
{
    uint64_t total = histogram_count(h), seen = 0, shown = 0;
    reply_bulk_str(out, cmd->full_name);
    reply_map(out, 2);
    reply_bulk(out, BYTES("calls"));
    reply_int(out, (int64_t)total);
    reply_bulk(out, BYTES("histogram_usec"));
    struct reply_mark mark = reply_defer(out);
    size_t pairs = 0;
    unsigned bucket = 0;
    for (unsigned i = 0; i < HISTOGRAM_LIMITS && shown < total; i++) {
        unsigned below = i == HISTOGRAM_LIMITS - 1 ? HISTOGRAM_BUCKETS : histogram_limit_buckets(rate, i);
        while (bucket < below) seen += h[bucket++];
        if (seen == shown) continue;
        shown = seen;
        reply_int(out, (int64_t)(histogram_limit_ns(i) / 1000));
        reply_int(out, (int64_t)seen);
        pairs++;
    }
    reply_defer_map(out, mark, pairs);
}

static size_t reply_command(struct call *c, const struct command *cmd)
{
    const uint32_t *h = c->w->cmd_stats[cmd->index].histogram;
    if (!histogram_count(h)) return 0;
    reply_histogram(c->out, &c->w->ticks, cmd, h);
    return 1;
}

void cmd_latency_histogram(struct call *c)
{
    struct reply_mark mark = reply_defer(c->out);
    size_t count = 0;
    if (c->argc == 2) {
        for (unsigned i = 0; i < command_count(); i++) count += reply_command(c, command_at(i));
    }
    for (int i = 2; i < c->argc; i++) {
        const struct command *cmd = command_find_full(c->argv[i]);
        if (!cmd) continue;
        count += reply_command(c, cmd);
        for (unsigned k = 0; k < cmd->sub_count; k++) count += reply_command(c, &cmd->subs[k]);
    }
    reply_defer_map(c->out, mark, count);
}

void cmd_latency_help(struct call *c)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command "
        "names.",
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    call_help(c, lines);
}
