/* SPDX-License-Identifier: MIT
 *
 * The slow log: the last commands that took longer than slowlog-log-slower-than, newest first, in a
 * ring of slowlog-max-len places. An entry keeps at most 32 arguments of 128 bytes each, so its
 * size is bounded whatever the command was.
 */
#include "server/observe/slowlog.h"

#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/observe/redact.h"
#include "server/server.h"

#define ENTRY_ARGS  32
#define ENTRY_BYTES 128

struct slow_entry {
    struct list link;
    int64_t id, time_s, duration_us;
    char peer[64];
    char *name;
    int argc;
    struct bytes argv[ENTRY_ARGS]; /* each an allocation of its own */
};

struct slowlog {
    struct list entries; /* newest first */
    size_t count;
    int64_t next_id;
};

int slowlog_init(struct server *srv)
{
    srv->slowlog = mem_calloc(sizeof *srv->slowlog);
    list_init(&srv->slowlog->entries);
    return 0;
}

static void free_entry(struct slowlog *log, struct slow_entry *e)
{
    list_remove(&e->link);
    for (int i = 0; i < e->argc; i++) mem_free((char *)e->argv[i].p);
    mem_free(e->name);
    mem_free(e);
    log->count--;
}

static void trim(struct slowlog *log, int64_t keep)
{
    while (log->count && (int64_t)log->count > keep)
        free_entry(log, list_entry(list_last(&log->entries), struct slow_entry, link));
}

void slowlog_fini(struct server *srv)
{
    if (!srv->slowlog) return;
    trim(srv->slowlog, 0);
    mem_free(srv->slowlog);
    srv->slowlog = NULL;
}

static struct bytes copy_arg(struct bytes arg, int more_args)
{
    char tail[64] = "";
    int t = 0;
    size_t n = arg.n;
    if (more_args) {
        n = 0;
        t = snprintf(tail, sizeof tail, "... (%d more arguments)", more_args);
    } else if (n > ENTRY_BYTES) {
        n = ENTRY_BYTES;
        t = snprintf(tail, sizeof tail, "... (%zu more bytes)", arg.n - n);
    }
    char *p = mem_alloc(n + (size_t)t);
    memcpy(p, arg.p, n);
    memcpy(p + n, tail, (size_t)t);
    return bytes_of(p, n + (size_t)t);
}

void slowlog_push(struct server *srv, const struct client *cl, const struct command *cmd, const struct bytes *argv,
                  int argc, int64_t duration_us)
{
    struct slowlog *log = srv->slowlog;
    if (srv->config->slowlog_max_len > 0) {
        const struct bytes *shown = redact(cmd, argv, argc);
        struct slow_entry *e = mem_calloc(sizeof *e);
        e->id = log->next_id++;
        e->time_s = demi_wall_us() / 1000000;
        e->duration_us = duration_us;
        memcpy(e->peer, cl->peer, sizeof e->peer);
        if (cl->name) {
            size_t n = strlen(cl->name) + 1;
            e->name = mem_alloc(n);
            memcpy(e->name, cl->name, n);
        }
        e->argc = argc < ENTRY_ARGS ? argc : ENTRY_ARGS;
        for (int i = 0; i < e->argc; i++)
            e->argv[i] = copy_arg(shown[i], argc > ENTRY_ARGS && i == ENTRY_ARGS - 1 ? argc - ENTRY_ARGS + 1 : 0);
        if (shown != argv) mem_free((void *)shown);
        list_push_front(&log->entries, &e->link);
        log->count++;
    }
    trim(log, srv->config->slowlog_max_len);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static void reply_entry(struct reply *out, const struct slow_entry *e)
{
    reply_array(out, 6);
    reply_int(out, e->id);
    reply_int(out, e->time_s);
    reply_int(out, e->duration_us);
    reply_array(out, (size_t)e->argc);
    for (int i = 0; i < e->argc; i++) reply_bulk(out, e->argv[i]);
    reply_bulk_str(out, e->peer);
    reply_bulk_str(out, e->name ? e->name : "");
}

void cmd_slowlog_get(struct call *c)
{
    struct slowlog *log = c->srv->slowlog;
    int64_t want = 10;
    if (c->argc > 3) {
        call_unknown_sub(c);
        return;
    }
    if (c->argc == 3) {
        if (!call_int_range(c, c->argv[2], -1, INT64_MAX, &want, "ERR count should be greater than or equal to -1"))
            return;
        if (want == -1) want = (int64_t)log->count;
    }
    if (want > (int64_t)log->count) want = (int64_t)log->count;
    reply_array(c->out, (size_t)want);
    list_for_each(it, &log->entries)
    {
        if (want-- <= 0) break;
        reply_entry(c->out, list_entry(it, struct slow_entry, link));
    }
}

size_t slowlog_length(const struct server *srv) { return srv->slowlog->count; }

void cmd_slowlog_len(struct call *c) { call_integer(c, (int64_t)slowlog_length(c->srv)); }

void cmd_slowlog_reset(struct call *c)
{
    trim(c->srv->slowlog, 0);
    call_ok(c);
}

void cmd_slowlog_help(struct call *c)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    call_help(c, lines);
}
