/* SPDX-License-Identifier: MIT
 *
 * MONITOR: every command as it runs, to whoever asked to watch. A line reads
 *   +1700000000.123456 [0 127.0.0.1:4711] "set" "k" "v"
 * Passwords are hidden (server/observe/redact.h).
 *
 * A line is made once, in pieces, and each piece is copied to every monitor's output, which has its own bound: many
 * monitors of long commands cost copies, and no memory but what they may have.
 */
#include "server/net/monitor.h"

#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/mem.h"
#include "server/observe/redact.h"
#include "server/server.h"
#include "server/worker.h"

#define PIECE_BYTES 65536 /* of the line, before it is handed on */

static void quote_byte(struct reply *r, unsigned char ch)
{
    char text[8] = {'\\', 0};
    switch (ch) {
    case '\\':
    case '"': text[1] = (char)ch; break;
    case '\n': text[1] = 'n'; break;
    case '\r': text[1] = 'r'; break;
    case '\t': text[1] = 't'; break;
    case '\a': text[1] = 'a'; break;
    case '\b': text[1] = 'b'; break;
    default: snprintf(text, sizeof text, "\\x%02x", ch); break;
    }
    reply_raw(r, bytes_of_str(text));
}

static bool is_plain(char ch) { return ch >= 32 && ch < 127 && ch != '"' && ch != '\\'; }

/* A piece of a line on its way to a worker's monitors; an empty one is the line's end. */
struct piece_message {
    struct worker_message m;
    struct bytes piece;
};

static void piece_here(struct worker *w, struct worker_message *m)
{
    const struct piece_message *p = container_of(m, struct piece_message, m);
    for (size_t i = 0; i < w->monitor_count; i++) {
        struct client *cl = w->monitors[i];
        if (p->piece.n == 0) client_output(cl);
        else if (!(cl->flags & CLIENT_CLOSE_NOW)) reply_raw(&cl->out, p->piece);
    }
}

/* What the line has so far goes to all monitors. */
static void hand_on(struct worker *w, struct reply *line)
{
    struct reply_chunk *next;
    for (struct reply_chunk *chunk = reply_take_chunks(line); chunk; chunk = next) {
        next = chunk->next;
        struct piece_message p = {.m.handle = piece_here, .piece = bytes_of(chunk->data, chunk->used)};
        if (chunk->used) worker_post_all(w->srv, &p.m);
        reply_chunk_free(chunk);
    }
}

static void quote(struct worker *w, struct reply *line, struct bytes s)
{
    reply_raw(line, BYTES(" \""));
    for (size_t i = 0; i < s.n;) {
        size_t plain = 0;
        while (i + plain < s.n && plain < PIECE_BYTES && is_plain(s.p[i + plain])) plain++;
        if (plain) reply_raw(line, bytes_of(s.p + i, plain));
        else quote_byte(line, (unsigned char)s.p[i]);
        i += plain ? plain : 1;
        if (reply_bytes(line) >= PIECE_BYTES) hand_on(w, line);
    }
    reply_raw(line, BYTES("\""));
}

/* The longest form of each part; seconds of an int64_t. */
enum {
    TIME_CHARS = sizeof "+-9223372036854775808.999999" - 1,
    DB_CHARS = sizeof " [-2147483648 " - 1,
    KIND_CHARS = sizeof "unix:" - 1,
    PEER_CHARS = sizeof((struct client *)0)->peer - 1,
    HEAD_SIZE = TIME_CHARS + DB_CHARS + KIND_CHARS + PEER_CHARS + sizeof "]",
};

/* from NULL: a script. */
static void write_head(struct reply *line, const struct worker *w, const struct client *from, const struct db *db)
{
    char head[HEAD_SIZE];
    bool is_unix = from && from->flags & CLIENT_UNIX;
    const char *peer = from ? from->peer : "lua";
    /* Redis shows "unix:/path" without the ":0" of CLIENT LIST. */
    int peer_size = (int)strlen(peer) - (is_unix ? 2 : 0);
    int n = snprintf(head, sizeof head, "+%lld.%06lld [%d %s%.*s]", (long long)(w->now_us / 1000000),
                     (long long)(w->now_us % 1000000), db->id, is_unix ? "unix:" : "", peer_size, peer);
    ASSERT(n > 0);
    ASSERT((size_t)n < sizeof head);
    reply_raw(line, bytes_of(head, (size_t)n));
}

static void feed(struct worker *w, const struct client *from, const struct db *db, const struct command *cmd,
                 const struct bytes *argv, int argc)
{
    const struct bytes *shown = redact(cmd, argv, argc);
    struct reply line;
    reply_init(&line, 2);
    write_head(&line, w, from, db);
    for (int i = 0; i < argc; i++) quote(w, &line, shown[i]);
    reply_raw(&line, BYTES("\r\n"));
    hand_on(w, &line);
    reply_fini(&line);
    struct piece_message end = {.m.handle = piece_here};
    worker_post_all(w->srv, &end.m);
    if (shown != argv) mem_free((void *)shown);
}

void monitor_feed(struct worker *w, const struct client *from, const struct command *cmd, const struct bytes *argv,
                  int argc)
{
    feed(w, from, from->s.db, cmd, argv, argc);
}

void monitor_feed_script(struct worker *w, const struct db *db, const struct command *cmd, const struct bytes *argv,
                         int argc)
{
    feed(w, NULL, db, cmd, argv, argc);
}

void monitor_add(struct client *cl)
{
    struct worker *w = cl->w;
    if (cl->s.flags & SESSION_MONITOR) return;
    cl->s.flags |= SESSION_MONITOR;
    if (w->monitor_count == w->monitor_room) {
        w->monitor_room = w->monitor_room ? w->monitor_room * 2 : 4;
        w->monitors = mem_realloc(w->monitors, w->monitor_room * sizeof(struct client *));
    }
    w->monitors[w->monitor_count++] = cl;
}

void monitor_remove(struct client *cl)
{
    struct worker *w = cl->w;
    if (!(cl->s.flags & SESSION_MONITOR)) return;
    cl->s.flags &= ~(uint32_t)SESSION_MONITOR;
    size_t i = 0;
    while (w->monitors[i] != cl) i++;
    w->monitors[i] = w->monitors[--w->monitor_count];
    if (w->monitor_count) return;
    mem_free(w->monitors);
    w->monitors = NULL;
    w->monitor_room = 0;
}

void cmd_monitor(struct call *c)
{
    if (c->deny_blocking) {
        call_error(c, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (c->client->s.flags & SESSION_REPLICA) return; /* it reads effects, not lines */
    monitor_add(c->client);
    call_ok(c);
}
