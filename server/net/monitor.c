/* SPDX-License-Identifier: MIT
 *
 * MONITOR: every command as it runs, to whoever asked to watch. A line reads
 *   +1700000000.123456 [0 127.0.0.1:4711] "set" "k" "v"
 * Passwords are hidden (server/observe/redact.h).
 */
#include "server/net/monitor.h"

#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/observe/redact.h"
#include "server/server.h"
#include "server/worker.h"

static void quote(struct reply *r, struct bytes s)
{
    reply_raw(r, BYTES(" \""));
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        char hex[8];
        switch (ch) {
        case '\\': reply_raw(r, BYTES("\\\\")); break;
        case '"': reply_raw(r, BYTES("\\\"")); break;
        case '\n': reply_raw(r, BYTES("\\n")); break;
        case '\r': reply_raw(r, BYTES("\\r")); break;
        case '\t': reply_raw(r, BYTES("\\t")); break;
        case '\a': reply_raw(r, BYTES("\\a")); break;
        case '\b': reply_raw(r, BYTES("\\b")); break;
        default:
            if (ch >= 32 && ch < 127) {
                reply_raw(r, bytes_of(s.p + i, 1));
                break;
            }
            snprintf(hex, sizeof hex, "\\x%02x", ch);
            reply_raw(r, bytes_of(hex, 4));
        }
    }
    reply_raw(r, BYTES("\""));
}

static void build_line(struct reply *line, const struct worker *w, const struct client *from, const struct bytes *argv,
                       int argc)
{
    char head[128];
    bool is_unix = from->flags & CLIENT_UNIX;
    /* Redis shows "unix:/path" without the ":0" of CLIENT LIST. */
    int peer = (int)strlen(from->peer) - (is_unix ? 2 : 0);
    int n = snprintf(head, sizeof head, "+%lld.%06lld [%d %s%.*s]", (long long)(w->now_us / 1000000),
                     (long long)(w->now_us % 1000000), from->s.db->id, is_unix ? "unix:" : "", peer, from->peer);
    reply_raw(line, bytes_of(head, n > 0 && (size_t)n < sizeof head ? (size_t)n : sizeof head - 1));
    for (int i = 0; i < argc; i++) quote(line, argv[i]);
    reply_raw(line, BYTES("\r\n"));
}

/* The line is made once, however many look on. */
void monitor_feed(struct worker *w, const struct client *from, const struct command *cmd, const struct bytes *argv,
                  int argc)
{
    const struct bytes *shown = redact(cmd, argv, argc);
    struct reply line;
    reply_init(&line, 2);
    build_line(&line, w, from, shown, argc);
    if (shown != argv) mem_free((void *)shown);
    struct reply_chunk *pieces = reply_take_chunks(&line);
    list_for_each(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        if (!(cl->s.flags & SESSION_MONITOR) || (cl->flags & CLIENT_CLOSE_NOW)) continue;
        for (const struct reply_chunk *c = pieces; c; c = c->next) reply_raw(&cl->out, bytes_of(c->data, c->used));
        client_output(cl);
    }
    while (pieces) {
        struct reply_chunk *next = pieces->next;
        reply_chunk_free(pieces);
        pieces = next;
    }
}

void cmd_monitor(struct call *c)
{
    if (c->deny_blocking) {
        call_error(c, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (c->client->s.flags & SESSION_REPLICA) return; /* it reads effects, not lines */
    if (!(c->client->s.flags & SESSION_MONITOR)) {
        c->client->s.flags |= SESSION_MONITOR;
        c->w->monitor_count++;
    }
    call_ok(c);
}
