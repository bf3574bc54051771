/* SPDX-License-Identifier: MIT
 *
 * Arguments are copied, since a queued command's or a handler's own do not live until the end of an EXEC. The room is
 * kept for the next command unless it has become large.
 *
 * A SELECT that is due comes behind MULTI, where redis-server 7.2 has it: MULTI and EXEC are of no database.
 */
#include "server/exec/effects.h"

#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

#define KEEP_BYTES ((size_t)1 << 20)

struct effect {
    int dbid, argc;
    unsigned withheld; /* enum effect_kind */
};

void effects_fini(struct effects *e)
{
    mem_free(e->v);
    mem_free(e->args);
    mem_free(e->text);
    *e = (struct effects){0};
}

bool effect_wanted(const struct call *c) { return !list_is_empty(&c->srv->sinks) && !c->srv->persist.replaying; }

static void hand_over(struct server *srv, unsigned withheld, int dbid, const struct bytes *argv, int argc)
{
    list_for_each_safe(it, &srv->sinks)
    {
        struct effect_sink *s = list_entry(it, struct effect_sink, link);
        if (likely(!(s->kind & withheld))) s->effect(s, dbid, argv, argc);
    }
}

void effects_hand_over(struct server *srv, int dbid, const struct bytes *argv, int argc)
{
    hand_over(srv, 0, dbid, argv, argc);
}

/* Room for n more things of `size` bytes. */
static void *room_for(void *v, size_t used, size_t *cap, size_t n, size_t size)
{
    if (*cap - used >= n) return v;
    size_t want = *cap ? *cap : 16;
    while (want - used < n) want *= 2;
    *cap = want;
    return mem_realloc(v, want * size);
}

static void keep(struct effects *e, int dbid, const struct bytes *argv, int argc)
{
    size_t sum = 0;
    for (int i = 0; i < argc; i++) sum += argv[i].n;
    e->v = room_for(e->v, e->count, &e->cap, 1, sizeof *e->v);
    e->args = room_for(e->args, e->arg_count, &e->arg_cap, (size_t)argc, sizeof *e->args);
    e->text = room_for(e->text, e->text_size, &e->text_cap, sum, 1);
    e->v[e->count++] = (struct effect){dbid, argc, e->withheld};
    for (int i = 0; i < argc; i++) {
        if (argv[i].n) memcpy(e->text + e->text_size, argv[i].p, argv[i].n);
        e->args[e->arg_count++] = bytes_of((const char *)(uintptr_t)e->text_size, argv[i].n);
        e->text_size += argv[i].n;
    }
}

void effects_add(struct call *c, int dbid, const struct bytes *argv, int argc)
{
    if (!effect_wanted(c)) return;
    struct effects *e = &c->w->effects;
    if (c == &c->w->call || e->count) keep(e, dbid, argv, argc);
    else effects_hand_over(c->srv, dbid, argv, argc);
}

void effects_cut(struct effects *e, const struct effects *before)
{
    e->count = before->count;
    e->arg_count = before->arg_count;
    e->text_size = before->text_size;
}

void effect_as(struct call *c, int n, const struct bytes *argv)
{
    c->effects_given = true;
    effects_add(c, c->db->id, argv, n);
}

void effect_deleted(struct call *c, struct bytes key, bool lazy)
{
    if (effect_wanted(c)) effect_as(c, 2, (struct bytes[]){lazy ? BYTES("UNLINK") : BYTES("DEL"), key});
}

void effect_none(struct call *c) { c->effects_given = true; }

void effects_flush(struct worker *w, bool framed)
{
    struct effects *e = &w->effects;
    struct bytes multi = BYTES("MULTI"), exec = BYTES("EXEC"), *at = e->args;
    if (e->count < 2) framed = false;
    for (size_t i = 0; i < e->arg_count; i++) e->args[i].p = e->text + (uintptr_t)e->args[i].p;
    if (framed) effects_hand_over(w->srv, EFFECT_ANY_DB, &multi, 1);
    for (size_t i = 0; i < e->count; i++) {
        hand_over(w->srv, e->v[i].withheld, e->v[i].dbid, at, e->v[i].argc);
        at += e->v[i].argc;
    }
    if (framed) effects_hand_over(w->srv, EFFECT_ANY_DB, &exec, 1);
    e->count = e->arg_count = e->text_size = 0;
    if (e->text_cap + e->cap * sizeof *e->v + e->arg_cap * sizeof *e->args > KEEP_BYTES) effects_fini(e);
}
