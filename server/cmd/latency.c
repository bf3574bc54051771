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

/* Columns of '#' and '_', the newest sample at the right, its age below: seconds, minutes, hours or
 * days. */
void cmd_latency_graph(struct call *c)
{
    enum { ROWS = 4, COLS = 80 };
    const struct latency_event *e = latency_event_find(c->srv, c->argv[2]);
    if (!e) {
        call_errorf(c, "ERR No samples available for event '%.*s'", (int)(c->argv[2].n < 128 ? c->argv[2].n : 128),
                    c->argv[2].p);
        return;
    }
    size_t n = e->count < COLS ? e->count : COLS;
    int64_t low = INT64_MAX, high = 0;
    for (size_t i = e->count - n; i < e->count; i++) {
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
    memset(line, '-', COLS);
    line[COLS] = '\n';
    reply_raw(&text, bytes_of(line, COLS + 1));
    for (int row = ROWS - 1; row >= 0; row--) {
        for (size_t i = 0; i < n; i++) {
            int64_t ms = latency_event_sample(e, e->count - n + i).ms;
            int64_t height = high > low ? (ms - low) * (ROWS * 2 - 1) / (high - low) : 0;
            line[i] = height >= row * 2 + 1 ? '#' : height == row * 2 ? '_' : ' ';
        }
        line[n] = '\n';
        reply_raw(&text, bytes_of(line, n + 1));
    }
    int64_t now = c->now_ms / 1000;
    char ages[COLS][16];
    for (size_t i = 0; i < n; i++) {
        int64_t age = now - latency_event_sample(e, e->count - n + i).time_s;
        if (age < 0) age = 0;
        unsigned n_of = (unsigned)(age < 60 ? age : age < 3600 ? age / 60 : age < 86400 ? age / 3600 : age / 86400);
        char unit = age < 60 ? 's' : age < 3600 ? 'm' : age < 86400 ? 'h' : 'd';
        snprintf(ages[i], sizeof ages[i], "%u%c", n_of % 10000, unit);
    }
    reply_raw(&text, BYTES("\n"));
    for (size_t row = 0; row < 5; row++) {
        bool any = false;
        for (size_t i = 0; i < n; i++) {
            bool has = row < strlen(ages[i]);
            line[i] = has ? ages[i][row] : ' ';
            any |= has;
        }
        if (!any) break;
        line[n] = '\n';
        reply_raw(&text, bytes_of(line, n + 1));
    }
    call_text(c, &text);
}

void cmd_latency_doctor(struct call *c)
{
    char text[2048];
    size_t n = 0, events = latency_event_count(c->srv);
    if (!c->cfg->latency_monitor_threshold && !events) {
        n = (size_t)snprintf(text, sizeof text,
                             "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis "
                             "instance. You may use "
                             "\"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it.\n");
    } else if (!events) {
        n = (size_t)snprintf(text, sizeof text,
                             "Dave, no latency spike was observed during the lifetime of this "
                             "Redis instance, not in the slightest bit. I "
                             "honestly think you ought to sit down calmly, take a stress pill, and "
                             "think things over.\n");
    } else {
        n = (size_t)snprintf(text, sizeof text, "Dave, I have observed latency spikes in this Redis instance:\n\n");
        for (size_t i = 0; i < events && n < sizeof text - 200; i++) {
            const struct latency_event *e = latency_event_at(c->srv, i);
            int64_t sum = 0;
            for (size_t k = 0; k < e->count; k++) sum += latency_event_sample(e, k).ms;
            n += (size_t)snprintf(text + n, sizeof text - n,
                                  "%zu. %s: %zu latency spikes (average %lldms). Worst all time event %lldms.\n", i + 1,
                                  e->name, e->count, (long long)(sum / (int64_t)e->count), (long long)e->worst_ms);
        }
    }
    reply_verbatim(c->out, bytes_of(text, n), "txt");
}

/* --- LATENCY HISTOGRAM
 * ---------------------------------------------------------------------------------------------- */

/* Cumulative counts at powers of two of microseconds, as Redis shows them: from the first that
 * holds anything to the one that holds all. */
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
    unsigned i = 0;
    for (uint64_t us = 1; shown < total; us *= 2) {
        while (i < HISTOGRAM_BUCKETS &&
               (ticks_to_ns(rate, histogram_bucket_top(i)) <= us * 1000 || i == HISTOGRAM_BUCKETS - 1))
            seen += h[i++];
        if (seen == shown) continue;
        shown = seen;
        reply_int(out, (int64_t)us);
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
        "    Tell what the latency monitor has seen.",
        "GRAPH <event>",
        "    Draw the samples of <event>.",
        "HISTOGRAM [<command> ...]",
        "    Tell how long calls of the commands (default: all) took, cumulative, by microseconds.",
        "HISTORY <event>",
        "    List the samples of <event>.",
        "LATEST",
        "    List the events with their latest and their worst sample.",
        "RESET [<event> ...]",
        "    Forget the events (default: all).",
        NULL,
    };
    call_help(c, lines);
}
