/* SPDX-License-Identifier: MIT
 *
 * One sink for all replicas; it is on the server's list only while there is one, so that without replicas no effect is
 * built. As in Redis the database last selected is one figure for all: a new replica makes it unknown, and the next
 * effect selects again for everybody.
 *
 * What a replica does not read piles up in its output, bounded by client-output-buffer-limit replica; the snapshot in
 * front does not count (client->feed_from).
 */
#include "server/repl/replicas.h"

#include "server/ds/number.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

struct replicas {
    struct effect_sink sink;
    struct client **v;
    size_t count, cap;
    int selected;     /* database; -1: unknown */
    int64_t spoke_ms; /* when something was last sent */
    uint64_t full_syncs;
    struct worker *w;
};

size_t replicas_count(const struct worker *w) { return w->replicas ? w->replicas->count : 0; }
uint64_t replicas_full_syncs(const struct worker *w) { return w->replicas ? w->replicas->full_syncs : 0; }
size_t replicas_unsent_snapshots(const struct worker *w)
{
    size_t sum = 0;
    for (size_t i = 0; i < replicas_count(w); i++) sum += client_unsent_snapshot(w->replicas->v[i]);
    return sum;
}
struct client *replicas_at(const struct worker *w, size_t i) { return w->replicas->v[i]; }

static void tell(struct replicas *r, const struct bytes *argv, int argc)
{
    for (size_t i = 0; i < r->count; i++) {
        struct client *cl = r->v[i];
        if (cl->flags & CLIENT_CLOSE_NOW) continue;
        reply_array(&cl->out, (size_t)argc);
        for (int k = 0; k < argc; k++) reply_bulk(&cl->out, argv[k]);
        client_output(cl);
    }
    r->spoke_ms = r->w->now_ms;
}

static void on_effect(struct effect_sink *s, int dbid, const struct bytes *argv, int argc)
{
    struct replicas *r = list_entry(s, struct replicas, sink);
    if (r->selected != dbid) {
        char text[NUMBER_I64_SIZE];
        tell(r, (struct bytes[]){BYTES("SELECT"), bytes_of(text, number_format_i64(text, dbid))}, 2);
        r->selected = dbid;
    }
    tell(r, argv, argc);
}

void replicas_attach(struct client *cl)
{
    struct worker *w = cl->w;
    struct replicas *r = w->replicas;
    if (!r) {
        r = w->replicas = mem_calloc(sizeof *r);
        r->sink.effect = on_effect;
        r->w = w;
        list_init(&r->sink.link);
    }
    if (r->count == r->cap) {
        r->cap = r->cap ? r->cap * 2 : 4;
        r->v = mem_realloc(r->v, r->cap * sizeof *r->v);
    }
    if (r->count == 0) list_push_back(&w->srv->sinks, &r->sink.link);
    r->v[r->count++] = cl;
    r->selected = -1;
    r->spoke_ms = w->now_ms;
    r->full_syncs++;
    cl->s.flags |= SESSION_REPLICA;
    cl->feed_from = cl->net_out + reply_bytes(&cl->out);
    client_output(cl);
}

void replicas_forget(struct client *cl)
{
    struct replicas *r = cl->w->replicas;
    if (!(cl->s.flags & SESSION_REPLICA)) return;
    size_t i = 0;
    while (r->v[i] != cl) i++;
    memmove(r->v + i, r->v + i + 1, (--r->count - i) * sizeof *r->v);
    cl->s.flags &= ~(uint32_t)SESSION_REPLICA;
    if (r->count == 0) list_remove(&r->sink.link);
}

void replicas_fini(struct worker *w)
{
    if (!w->replicas) return;
    ASSERT(w->replicas->count == 0);
    mem_free(w->replicas->v);
    mem_free(w->replicas);
    w->replicas = NULL;
}

void replicas_cron(struct worker *w)
{
    struct replicas *r = w->replicas;
    if (!r || r->count == 0 || w->now_ms - r->spoke_ms < w->srv->config->repl_ping_replica_period * 1000) return;
    struct bytes ping = BYTES("PING");
    tell(r, &ping, 1);
}
