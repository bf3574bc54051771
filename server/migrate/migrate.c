/* SPDX-License-Identifier: MIT */
#include "server/migrate/migrate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "demi/wait.h"
#include "server/exec/blocked.h"
#include "server/exec/effects.h"
#include "server/exec/multi.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/migrate/transfer.h"
#include "server/observe/log.h"
#include "server/server.h"
#include "server/worker.h"

enum {
    RUNNING_MAX = 64, /* with a task each; the others stand in line */
    STACK_SIZE = 64 << 10,
};

struct migration {
    struct list all; /* of the worker's that run, or that stand in line */
    struct worker *w;
    struct db *db;
    uint64_t client_id;     /* who waits; 0: nobody */
    struct session watcher; /* what becomes of the keys is told to it: WATCH's marks */
    struct reply nowhere;
    demi_qtoken_t task;
    bool done;
    struct transfer t;
};

struct migrations {
    struct list running, waiting;
    size_t running_count, waiting_count;
    size_t taking; /* those of running that delete */
    struct peers peers;
    bool held; /* somebody waits for a key */
    bool stop;
};

static struct migrations *migrations_of(struct worker *w)
{
    if (w->migrations) return w->migrations;
    struct migrations *all = w->migrations = mem_calloc(sizeof *w->migrations);
    list_init(&all->running);
    list_init(&all->waiting);
    peers_init(&all->peers);
    return all;
}

/* --- what is in flight -------------------------------------------------------------------------------------------- */

static void take_payloads(struct call *c, struct migration *m)
{
    struct transfer *t = &m->t;
    struct call in = *c;
    in.session = &m->watcher;
    transfer_begin(t, c->now_ms);
    for (size_t i = 0; i < t->count; i++) {
        const struct entry *e = db_lookup_read(c, &t->keys[i].ref);
        if (!e) continue;
        transfer_add(t, i, e, c->cfg);
        if (!t->copy) watch_key(&in, &t->keys[i].ref);
    }
}

static struct migration *migration_new(struct call *c, const struct migrate_order *o)
{
    struct migration *m = mem_calloc(sizeof *m);
    m->w = c->w;
    m->db = c->db;
    m->client_id = c->client ? c->client->id : 0;
    reply_init(&m->nowhere, 2);
    session_init(&m->watcher, c->w, &m->nowhere);
    transfer_init(&m->t, c, o, &migrations_of(c->w)->stop);
    return m;
}

static void migration_free(struct migration *m)
{
    watch_forget(&m->watcher);
    session_fini(&m->watcher);
    reply_fini(&m->nowhere);
    transfer_fini(&m->t);
    mem_free(m);
}

static bool is_asked_for(const struct call *c, const struct migrate_order *o)
{
    bool any = false;
    for (int i = 0; i < o->key_count; i++) {
        const struct key_ref *key = call_key((struct call *)(uintptr_t)c, o->first_key + i);
        any |= db_lookup_notouch((struct call *)(uintptr_t)c, key, true) != NULL;
    }
    return any;
}

/* --- on its way --------------------------------------------------------------------------------------------------- */

static int64_t run_task(void *arg)
{
    struct migration *m = arg;
    struct worker *w = m->w;
    transfer_run(&m->t, &w->migrations->peers, w);
    m->done = true;
    w->migrated = true;
    demi_wake_ring(w->wake);
    return 0;
}

/* Its keys are what they are now. */
static void set_out(struct call *c, struct migration *m)
{
    struct migrations *all = m->w->migrations;
    take_payloads(c, m);
    list_push_back(&all->running, &m->all);
    all->running_count++;
    if (!m->t.copy) {
        all->taking++;
        c->srv->unusual |= SERVER_MIGRATING;
    }
    int err = m->t.sent_count ? demi_spawn(&m->task, run_task, m, STACK_SIZE) : 0;
    if (err) transfer_fail(&m->t, "-ERR No memory to migrate with");
    if (!err && m->t.sent_count) return;
    m->done = m->w->migrated = true;
    demi_wake_ring(m->w->wake);
}

struct migration *migrate_begin(struct call *c, const struct migrate_order *o)
{
    if (!is_asked_for(c, o)) return NULL;
    struct migrations *all = migrations_of(c->w);
    struct migration *m = migration_new(c, o);
    if (all->running_count < RUNNING_MAX) {
        set_out(c, m);
        return m;
    }
    list_push_back(&all->waiting, &m->all);
    all->waiting_count++;
    return m;
}

/* --- settled ------------------------------------------------------------------------------------------------------ */

/* c is the call whose effect it is. */
static void take_away(struct call *c, struct migration *m)
{
    struct transfer *t = &m->t;
    bool touched = m->watcher.flags & SESSION_DIRTY_CAS;
    struct bytes *argv = mem_alloc((t->count + 1) * sizeof *argv);
    int gone = 0;
    watch_forget(&m->watcher);
    for (size_t i = 0; i < t->count && !t->copy; i++) {
        struct transfer_key *k = &t->keys[i];
        if (!k->arrived) continue;
        const struct entry *e = touched ? db_lookup_in(c, m->db, &k->ref) : NULL;
        if (e && !transfer_is_of(t, k, e, c->cfg)) {
            transfer_fail(t, "-ERR A key changed on its way: it is still here, and as it was there");
            continue;
        }
        if (!db_delete(c, &k->ref)) continue;
        db_changed(c, &k->ref, NOTIFY_GENERIC, "del");
        argv[++gone] = k->ref.name;
    }
    argv[0] = BYTES("DEL");
    if (gone && effect_wanted(c)) effect_as(c, gone + 1, argv);
    mem_free(argv);
}

static void reply_outcome(const struct migration *m, struct reply *out)
{
    const struct transfer *t = &m->t;
    if (t->error[0]) reply_error(out, t->error);
    else reply_status(out, t->sent_count ? "OK" : "NOKEY");
}

static struct migration *find(const struct list *in, uint64_t client_id)
{
    list_for_each(it, in)
    {
        struct migration *m = list_entry(it, struct migration, all);
        if (m->client_id == client_id) return m;
    }
    return NULL;
}

bool migrate_answer(struct client *cl, struct reply *out)
{
    struct migration *m = find(&cl->w->migrations->running, cl->id);
    if (!m || !m->done) return false;
    reply_outcome(m, out);
    return true;
}

static void settle(struct worker *w, struct migration *m)
{
    struct migrations *all = w->migrations;
    struct call c = run_internal(w, m->db);
    struct client *cl = m->client_id ? client_find(w->srv, m->client_id) : NULL;
    if (m->t.sent_count) take_away(&c, m);
    w->srv->dirty += c.dirty;
    if (effects_pending(&w->effects)) effects_flush(w, true);
    if (cl && w->notes_changes && c.dirty) {
        cl->durable_at = w->srv->journal.text.end;
        cl->changed_at = history_offset(&w->srv->history);
    }
    if (cl) blocked_answer(cl);
    list_remove(&m->all);
    all->running_count--;
    all->taking -= !m->t.copy;
    migration_free(m);
}

void migrate_settle(struct worker *w)
{
    struct migrations *all = w->migrations;
    w->migrated = false;
    list_for_each_safe(it, &all->running)
    {
        struct migration *m = list_entry(it, struct migration, all);
        if (m->done) settle(w, m);
    }
    while (all->running_count < RUNNING_MAX && all->waiting_count) {
        struct migration *m = list_entry(list_pop_front(&all->waiting), struct migration, all);
        struct call c = run_internal(w, m->db);
        all->waiting_count--;
        set_out(&c, m);
    }
    if (!all->taking) w->srv->unusual &= ~(unsigned)SERVER_MIGRATING;
    if (!all->held) return;
    all->held = false;
    worker_let_go(w);
}

void migrate_at_once(struct call *c, const struct migrate_order *o)
{
    if (!is_asked_for(c, o)) {
        reply_status(c->out, "NOKEY");
        return;
    }
    struct migrations *all = migrations_of(c->w);
    struct migration *m = migration_new(c, o);
    take_payloads(c, m);
    if (m->t.sent_count) transfer_run(&m->t, &all->peers, c->w);
    take_away(c, m);
    c->failed = m->t.error[0] != 0;
    reply_outcome(m, c->out);
    migration_free(m);
}

/* --- who waits ---------------------------------------------------------------------------------------------------- */

static bool is_taken(const struct migrations *all, const struct db *db, const struct key_ref *key)
{
    list_for_each(it, &all->running)
    {
        const struct migration *m = list_entry(it, struct migration, all);
        if (!m->t.copy && m->db == db && transfer_has(&m->t, key)) return true;
    }
    return false;
}

static bool is_held(const struct migrations *all, const struct session *s, const struct request *r)
{
    uint32_t flags = r->cmd->flags;
    if (!(flags & (CMD_WRITE | CMD_MAY_REPLICATE))) return false;
    if ((flags & CMD_WRITE) && r->cmd->holds == HOLD_ALL && !r->key_count) return true; /* FLUSHALL, SWAPDB */
    for (int i = 0; i < r->key_count; i++)
        if (!(r->keys[i].flags & KEY_RO) && is_taken(all, s->db, &r->keys[i])) return true;
    return false;
}

bool migrate_holds(const struct session *s, const struct request *r)
{
    struct migrations *all = s->w->migrations;
    bool held = false;
    if (!all || !all->taking) return false;
    if (r->cmd->flags & CMD_RUNS_QUEUE)
        for (size_t i = 0; i < multi_count(s); i++) held |= is_held(all, s, multi_at(s, i));
    else held = is_held(all, s, r);
    all->held |= held;
    return held;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

void migrate_cron(struct worker *w)
{
    if (w->migrations) peers_close_idle(&w->migrations->peers, w->now_ms);
}

size_t migrate_links(const struct worker *w) { return w->migrations ? w->migrations->peers.count : 0; }

void migrate_fini(struct worker *w)
{
    struct migrations *all = w->migrations;
    demi_qresult_t qr;
    if (!all) return;
    all->stop = true;
    peers_close_all(&all->peers);
    list_for_each_safe(it, &all->running)
    {
        struct migration *m = list_entry(it, struct migration, all);
        if (!m->done) demi_wait(&qr, m->task, NULL);
        list_remove(&m->all);
        migration_free(m);
    }
    list_for_each_safe(it, &all->waiting)
    {
        struct migration *m = list_entry(it, struct migration, all);
        list_remove(&m->all);
        migration_free(m);
    }
    peers_close_all(&all->peers);
    mem_free(all);
    w->migrations = NULL;
}
