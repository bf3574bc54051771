/* SPDX-License-Identifier: MIT
 *
 * Transactions: MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * Queued commands are copies, since the receive buffer they came in does not live until EXEC: one
 * allocation a command, arguments behind their slices. WATCH keeps a two-way relation: db->watched
 * maps a key to those who watch it, the client lists what it watches. Whatever changes a key marks
 * its watchers (the verbs of server/db/db.h do), and EXEC only looks at the mark.
 *
 * A key that was already past its time when it was watched counts as absent: that it is then
 * deleted changes nothing.
 */
#include <string.h>

#include "server/command/handlers.h"
#include "server/db/hooks.h"
#include "server/ds/table.h"
#include "server/exec/exec.h"
#include "server/exec/multi.h"
#include "server/mem.h"
#include "server/server.h"

struct queued {
    const struct command *cmd;
    struct bytes *argv;
    int argc;
};

struct watched_key {
    struct list watchers; /* struct watch_link.by_key */
    struct db *db;
    uint64_t hash;
    uint32_t klen;
    char key[];
};

struct watch_link {
    struct list by_key;    /* in watched_key.watchers */
    struct list by_client; /* in multi.watched */
    struct client *cl;
    struct watched_key *wk;
    bool expired; /* it was already past its time */
};

struct watched_keys {
    struct table keys; /* of struct watched_key * */
};

struct multi {
    struct queued *queue;
    size_t count, cap, bytes;
    uint32_t flags; /* of all queued commands together */
    struct list watched;
    size_t watched_count;
};

static struct multi *multi_of(struct client *cl)
{
    if (!cl->multi) {
        cl->multi = mem_calloc(sizeof *cl->multi);
        list_init(&cl->multi->watched);
    }
    return cl->multi;
}

/* --- watched keys ------------------------------------------------------------------------------------------------- */

static struct bytes watched_key_of(const void *entry)
{
    const struct watched_key *wk = entry;
    return bytes_of(wk->key, wk->klen);
}

static const struct table_ops watched_ops = {.key = watched_key_of};

/* What lies in the table, past its time or not. */
static struct entry *find_raw(const struct db *db, struct bytes key)
{
    return table_find(&db_slice(db, key)->table, db_hash(db, key), key);
}

static struct watched_key *watched_find(struct db *db, struct bytes key)
{
    return table_find(&db->watched->keys, table_hash(&db->watched->keys, key), key);
}

static struct watched_key *watched_add(struct db *db, struct bytes key)
{
    if (!db->watched) {
        db->watched = mem_alloc(sizeof *db->watched);
        table_init(&db->watched->keys, &watched_ops, db->hash_seed);
    }
    struct watched_key *wk = watched_find(db, key);
    if (wk) return wk;
    wk = mem_alloc(sizeof *wk + key.n);
    list_init(&wk->watchers);
    wk->db = db;
    wk->hash = table_hash(&db->watched->keys, key);
    wk->klen = (uint32_t)key.n;
    memcpy(wk->key, key.p, key.n);
    table_insert(&db->watched->keys, wk->hash, wk);
    return wk;
}

static void watched_drop(struct watched_key *wk)
{
    struct db *db = wk->db;
    struct watched_keys *all = db->watched;
    table_delete_slot(&all->keys, table_find_slot(&all->keys, wk->hash, bytes_of(wk->key, wk->klen)));
    mem_free(wk);
    if (table_count(&all->keys)) return;
    table_fini(&all->keys, NULL, NULL);
    mem_free(all);
    db->watched = NULL;
}

static void unwatch_all(struct client *cl)
{
    if (!cl->multi) return;
    list_for_each_safe(it, &cl->multi->watched)
    {
        struct watch_link *l = list_entry(it, struct watch_link, by_client);
        list_remove(&l->by_client);
        list_remove(&l->by_key);
        if (list_is_empty(&l->wk->watchers)) watched_drop(l->wk);
        mem_free(l);
    }
    cl->multi->watched_count = 0;
}

static void watch_key(struct call *c, struct bytes key)
{
    struct multi *m = multi_of(c->client);
    list_for_each(it, &m->watched)
    {
        struct watch_link *l = list_entry(it, struct watch_link, by_client);
        if (l->wk->db == c->db && bytes_equal(key, bytes_of(l->wk->key, l->wk->klen))) return;
    }
    struct watched_key *wk = watched_add(c->db, key);
    struct watch_link *l = mem_alloc(sizeof *l);
    l->cl = c->client;
    l->wk = wk;
    struct entry *e = find_raw(c->db, key);
    l->expired = e && db_is_expired(c, e);
    list_push_back(&wk->watchers, &l->by_key);
    list_push_back(&m->watched, &l->by_client);
    m->watched_count++;
}

void watch_touch(struct call *c, struct db *db, struct bytes key)
{
    if (!db->watched) return;
    struct watched_key *wk = watched_find(db, key);
    if (!wk) return;
    list_for_each(it, &wk->watchers)
    {
        struct watch_link *l = list_entry(it, struct watch_link, by_key);
        if (l->expired && !find_raw(db, key)) {
            l->expired = false; /* what was as good as gone is gone */
            continue;
        }
        l->cl->flags |= CLIENT_DIRTY_CAS;
    }
}

static void touch_exchanged(struct call *c, struct watch_link *l, struct entry *was, struct entry *comes)
{
    if (l->expired) {
        if (!comes) {
            l->expired = false;
            return;
        }
        if (db_is_expired(c, comes)) return;
    } else if (!was && comes && db_is_expired(c, comes)) {
        l->expired = true;
        return;
    }
    l->cl->flags |= CLIENT_DIRTY_CAS;
}

void watch_touch_all(struct call *c, struct db *db, struct db *replaced_by)
{
    if (!db->watched) return;
    struct table_iter it;
    table_iter_init(&it, &db->watched->keys);
    for (struct watched_key *wk; (wk = table_iter_next(&it));) {
        struct bytes key = bytes_of(wk->key, wk->klen);
        struct entry *was = find_raw(db, key), *comes = replaced_by ? find_raw(replaced_by, key) : NULL;
        if (!was && !comes) continue;
        list_for_each(w, &wk->watchers) touch_exchanged(c, list_entry(w, struct watch_link, by_key), was, comes);
    }
    table_iter_fini(&it);
}

static bool watched_key_expired(struct call *c)
{
    if (!c->client->multi) return false;
    list_for_each(it, &c->client->multi->watched)
    {
        struct watch_link *l = list_entry(it, struct watch_link, by_client);
        if (l->expired) continue;
        struct entry *e = find_raw(l->wk->db, bytes_of(l->wk->key, l->wk->klen));
        if (e && db_is_expired(c, e)) return true;
    }
    return false;
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

void multi_queue(struct client *cl, const struct command *cmd, const struct bytes *argv, int argc)
{
    /* The transaction is doomed already: keep nothing more of it. */
    if (cl->flags & (CLIENT_DIRTY_EXEC | CLIENT_DIRTY_CAS)) return;
    struct multi *m = multi_of(cl);
    if (m->count == m->cap) {
        m->cap = m->cap ? m->cap * 2 : 8;
        m->queue = mem_realloc(m->queue, m->cap * sizeof *m->queue);
    }
    size_t size = (size_t)argc * sizeof *argv;
    for (int i = 0; i < argc; i++) size += argv[i].n;
    struct bytes *copy = mem_alloc(size);
    char *p = (char *)(copy + argc);
    for (int i = 0; i < argc; i++) {
        memcpy(p, argv[i].p, argv[i].n);
        copy[i] = bytes_of(p, argv[i].n);
        p += argv[i].n;
    }
    m->queue[m->count++] = (struct queued){cmd, copy, argc};
    m->bytes += size + sizeof *m->queue;
    m->flags |= cmd->flags;
}

static void clear_queue(struct client *cl)
{
    struct multi *m = cl->multi;
    if (!m) return;
    for (size_t i = 0; i < m->count; i++) mem_free(m->queue[i].argv);
    mem_free(m->queue);
    m->queue = NULL;
    m->count = m->cap = m->bytes = 0;
    m->flags = 0;
}

void multi_free(struct client *cl)
{
    if (!cl->multi) return;
    clear_queue(cl);
    unwatch_all(cl);
    mem_free(cl->multi);
    cl->multi = NULL;
}

static void end_transaction(struct client *cl)
{
    clear_queue(cl);
    unwatch_all(cl);
    cl->flags &= ~(uint32_t)(CLIENT_MULTI | CLIENT_DIRTY_EXEC | CLIENT_DIRTY_CAS);
}

bool multi_writes(const struct client *cl) { return cl->multi && (cl->multi->flags & (CMD_WRITE | CMD_MAY_REPLICATE)); }
bool multi_needs_memory(const struct client *cl) { return cl->multi && (cl->multi->flags & CMD_DENYOOM); }
size_t multi_count(const struct client *cl) { return cl->multi ? cl->multi->count : 0; }
size_t multi_memory(const struct client *cl) { return cl->multi ? sizeof *cl->multi + cl->multi->bytes : 0; }
size_t multi_watched(const struct client *cl) { return cl->multi ? cl->multi->watched_count : 0; }

/* --- commands ----------------------------------------------------------------------------------------------------- */

void cmd_multi(struct call *c)
{
    if (c->client->flags & CLIENT_MULTI) {
        call_error(c, "ERR MULTI calls can not be nested");
        return;
    }
    c->client->flags |= CLIENT_MULTI;
    call_ok(c);
}

void cmd_discard(struct call *c)
{
    if (!(c->client->flags & CLIENT_MULTI)) {
        call_error(c, "ERR DISCARD without MULTI");
        return;
    }
    end_transaction(c->client);
    call_ok(c);
}

void cmd_exec(struct call *c)
{
    struct client *cl = c->client;
    if (!(cl->flags & CLIENT_MULTI)) {
        call_error(c, "ERR EXEC without MULTI");
        return;
    }
    if (watched_key_expired(c)) cl->flags |= CLIENT_DIRTY_CAS;
    if (cl->flags & CLIENT_DIRTY_EXEC) {
        call_error(c, "EXECABORT Transaction discarded because of previous errors.");
        end_transaction(cl);
        return;
    }
    if (cl->flags & CLIENT_DIRTY_CAS) {
        reply_null_array(c->out);
        end_transaction(cl);
        return;
    }
    unwatch_all(cl); /* its own writes must not mark it */
    struct multi *m = multi_of(cl);
    cl->flags &= ~(uint32_t)CLIENT_MULTI;
    reply_array(c->out, m->count);
    /* RESET or QUIT cannot be queued, so the queue does not change under this loop. */
    for (size_t i = 0; i < m->count; i++) {
        struct queued *q = &m->queue[i];
        exec_call(c->w, cl, q->cmd, q->argv, q->argc, (struct exec_how){.in_exec = true, .deny_blocking = true});
    }
    end_transaction(cl);
}

void cmd_watch(struct call *c)
{
    if (c->client->flags & CLIENT_MULTI) {
        call_error(c, "ERR WATCH inside MULTI is not allowed");
        return;
    }
    /* Already doomed: watching more changes nothing. */
    if (!(c->client->flags & CLIENT_DIRTY_CAS))
        for (int i = 1; i < c->argc; i++) watch_key(c, c->argv[i]);
    call_ok(c);
}

void cmd_unwatch(struct call *c)
{
    unwatch_all(c->client);
    c->client->flags &= ~(uint32_t)CLIENT_DIRTY_CAS;
    call_ok(c);
}
