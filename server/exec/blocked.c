/* SPDX-License-Identifier: MIT
 *
 * Clients that wait for a key: BLPOP and its kin.
 *
 *   db->blocked: key -> waiters in the order in which they blocked        worker: ready keys, deadlines (a heap)
 *
 * A key of the right type that comes into being is put on the ready list by the verb that made it. Between two commands
 * (after all of an EXEC) the ready keys are served: the oldest waiter's command runs again, as if it came in now; if it
 * finds nothing it keeps its place and serving this key ends. So fairness is the order of the waiters, and every
 * blocking command is one handler with one question: is there something?
 *
 * Bounds: a client waits for the keys of one command; a key is at most once on the ready list; serving ends since each
 * served client has left.
 */
#include "server/exec/blocked.h"

#include "server/db/hooks.h"
#include <errno.h>
#include <string.h>

#include "server/ds/table.h"
#include "server/exec/exec.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

struct waited_key;

/* One client waiting for one key. */
struct waiter {
    struct list link; /* in waited_key.waiters */
    struct waited_key *wk;
    struct blocked *b;
};

struct waited_key {
    struct list waiters;
    struct list ready; /* in blocked_worker.ready, or empty */
    struct db *db;
    uint64_t hash;
    uint32_t klen;
    char key[];
};

struct blocked {
    struct client *cl;
    const struct command *cmd;
    struct bytes *argv; /* copies, one allocation with the bytes behind */
    int argc;
    int type;
    enum block_null null;
    int64_t deadline_ms; /* 0: none */
    size_t heap_index;
    size_t count;
    struct waiter waiters[];
};

struct blocked_keys {
    struct table keys; /* of struct waited_key * */
};

struct blocked_worker {
    struct list ready;
    struct blocked **heap; /* by deadline; heap[0] is next */
    size_t heap_count, heap_cap;
    bool serving;
};

/* --- deadlines ---------------------------------------------------------------------------------------------------- */

static void heap_set(struct blocked_worker *bw, size_t i, struct blocked *b)
{
    bw->heap[i] = b;
    b->heap_index = i;
}

static void heap_up(struct blocked_worker *bw, size_t i)
{
    struct blocked *b = bw->heap[i];
    while (i && bw->heap[(i - 1) / 2]->deadline_ms > b->deadline_ms) {
        heap_set(bw, i, bw->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_set(bw, i, b);
}

static void heap_down(struct blocked_worker *bw, size_t i)
{
    struct blocked *b = bw->heap[i];
    for (;;) {
        size_t kid = 2 * i + 1;
        if (kid >= bw->heap_count) break;
        if (kid + 1 < bw->heap_count && bw->heap[kid + 1]->deadline_ms < bw->heap[kid]->deadline_ms) kid++;
        if (bw->heap[kid]->deadline_ms >= b->deadline_ms) break;
        heap_set(bw, i, bw->heap[kid]);
        i = kid;
    }
    heap_set(bw, i, b);
}

static void heap_add(struct blocked_worker *bw, struct blocked *b)
{
    if (bw->heap_count == bw->heap_cap) {
        bw->heap_cap = bw->heap_cap ? bw->heap_cap * 2 : 64;
        bw->heap = mem_realloc(bw->heap, bw->heap_cap * sizeof(struct blocked *));
    }
    heap_set(bw, bw->heap_count++, b);
    heap_up(bw, b->heap_index);
}

static void heap_remove(struct blocked_worker *bw, struct blocked *b)
{
    size_t i = b->heap_index;
    struct blocked *last = bw->heap[--bw->heap_count];
    if (last == b) return;
    heap_set(bw, i, last);
    heap_up(bw, i);
    heap_down(bw, last->heap_index);
}

int64_t blocked_next_deadline(const struct worker *w)
{
    return w->blocked->heap_count ? w->blocked->heap[0]->deadline_ms : 0;
}

size_t blocked_timed_count(const struct worker *w) { return w->blocked->heap_count; }

/* --- waited keys -------------------------------------------------------------------------------------------------- */

static struct bytes waited_key_of(const void *entry)
{
    const struct waited_key *wk = entry;
    return bytes_of(wk->key, wk->klen);
}

static const struct table_ops waited_ops = {.key = waited_key_of};

static struct waited_key *find_key(struct db *db, struct bytes key)
{
    return table_find(&db->blocked->keys, table_hash(&db->blocked->keys, key), key);
}

static struct waited_key *add_key(struct db *db, struct bytes key)
{
    if (!db->blocked) {
        db->blocked = mem_alloc(sizeof *db->blocked);
        table_init(&db->blocked->keys, &waited_ops, db->hash_seed);
    }
    uint64_t hash = table_hash(&db->blocked->keys, key);
    struct waited_key *wk = table_find(&db->blocked->keys, hash, key);
    if (wk) return wk;
    wk = mem_alloc(sizeof *wk + key.n);
    list_init(&wk->waiters);
    list_init(&wk->ready);
    wk->db = db;
    wk->hash = hash;
    wk->klen = (uint32_t)key.n;
    memcpy(wk->key, key.p, key.n);
    table_insert(&db->blocked->keys, hash, wk);
    return wk;
}

/* Nobody waits for it any more. */
static void drop_key(struct waited_key *wk)
{
    struct db *db = wk->db;
    struct blocked_keys *bk = db->blocked;
    list_remove(&wk->ready);
    table_delete_slot(&bk->keys, table_find_slot(&bk->keys, wk->hash, bytes_of(wk->key, wk->klen)));
    mem_free(wk);
    if (table_count(&bk->keys)) return;
    table_fini(&bk->keys, NULL, NULL);
    mem_free(bk);
    db->blocked = NULL;
}

int blocked_init(struct worker *w)
{
    w->blocked = mem_calloc(sizeof *w->blocked);
    list_init(&w->blocked->ready);
    return 0;
}

void blocked_fini(struct worker *w)
{
    if (!w->blocked) return;
    mem_free(w->blocked->heap);
    mem_free(w->blocked);
    w->blocked = NULL;
}

/* --- block, unblock ----------------------------------------------------------------------------------------------- */

static struct bytes *copy_argv(const struct bytes *argv, int argc)
{
    size_t total = (size_t)argc * sizeof *argv;
    for (int i = 0; i < argc; i++) total += argv[i].n;
    struct bytes *copy = mem_alloc(total);
    char *p = (char *)(copy + argc);
    for (int i = 0; i < argc; i++) {
        memcpy(p, argv[i].p, argv[i].n);
        copy[i] = bytes_of(p, argv[i].n);
        p += argv[i].n;
    }
    return copy;
}

static void reply_nothing(struct reply *out, enum block_null null)
{
    if (null == BLOCK_NULL_ARRAY) reply_null_array(out);
    else reply_null(out);
}

void call_block(struct call *c, const struct bytes *keys, int count, int type, int64_t deadline_ms,
                enum block_null null)
{
    if (c->unblocking) {
        c->blocked = true;
        return;
    }
    if (c->deny_blocking || !c->client) {
        reply_nothing(c->out, null);
        return;
    }
    struct client *cl = c->client;
    struct blocked *b = mem_calloc(sizeof *b + (size_t)count * sizeof *b->waiters);
    b->cl = cl;
    b->cmd = c->cmd;
    b->argv = copy_argv(c->argv, c->argc);
    b->argc = c->argc;
    b->type = type;
    b->null = null;
    /* The clock's milliseconds are cut: the next one, or some would wait less than they asked for. */
    b->deadline_ms = deadline_ms && deadline_ms < INT64_MAX ? deadline_ms + 1 : deadline_ms;
    for (int i = 0; i < count; i++) {
        struct waited_key *wk = add_key(c->db, keys[i]);
        /* The same key named twice waits once; we would be the last who came. */
        if (!list_is_empty(&wk->waiters) && list_entry(wk->waiters.prev, struct waiter, link)->b == b) continue;
        struct waiter *wt = &b->waiters[b->count++];
        wt->wk = wk;
        wt->b = b;
        list_push_back(&wk->waiters, &wt->link);
    }
    if (b->deadline_ms) heap_add(c->w->blocked, b);
    cl->blocked = b;
    cl->flags |= CLIENT_BLOCKED;
    c->w->blocked_count++;
    c->blocked = true;
}

static void stop_waiting(struct client *cl)
{
    struct blocked *b = cl->blocked;
    for (size_t i = 0; i < b->count; i++) {
        struct waiter *wt = &b->waiters[i];
        list_remove(&wt->link);
        if (list_is_empty(&wt->wk->waiters)) drop_key(wt->wk);
    }
    if (b->deadline_ms) heap_remove(cl->w->blocked, b);
    cl->blocked = NULL;
    cl->flags &= ~(uint32_t)CLIENT_BLOCKED;
    cl->w->blocked_count--;
}

static void free_blocked(struct blocked *b)
{
    mem_free(b->argv);
    mem_free(b);
}

static void go_on(struct client *cl)
{
    client_output(cl);
    if (cl->in_off < cl->in_len) worker_ready(cl->w, cl);
}

void blocked_forget(struct client *cl)
{
    struct blocked *b = cl->blocked;
    if (!b) return;
    stop_waiting(cl);
    free_blocked(b);
}

bool blocked_unblock(struct client *cl, enum unblock_reason why)
{
    struct blocked *b = cl->blocked;
    if (!b) return false;
    stop_waiting(cl);
    struct reply *out = client_reply(cl);
    if (why == UNBLOCK_ERROR) reply_error(out, "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    else reply_nothing(out, b->null);
    free_blocked(b);
    go_on(cl);
    return true;
}

void blocked_timeouts(struct worker *w)
{
    struct blocked_worker *bw = w->blocked;
    while (bw->heap_count && bw->heap[0]->deadline_ms <= w->now_ms) blocked_unblock(bw->heap[0]->cl, UNBLOCK_TIMEOUT);
}

/* --- ready -------------------------------------------------------------------------------------------------------- */

void blocked_key_ready(struct call *c, struct db *db, struct bytes key, int type)
{
    if (!db->blocked) return;
    struct waited_key *wk = find_key(db, key);
    if (!wk || !list_is_empty(&wk->ready)) return;
    list_for_each(it, &wk->waiters)
    {
        if (list_entry(it, struct waiter, link)->b->type != type) continue;
        list_push_back(&c->w->blocked->ready, &wk->ready);
        return;
    }
}

bool blocked_any_ready(const struct worker *w) { return !list_is_empty(&w->blocked->ready); }

/* Runs the client's command again. False: it found nothing and waits on. */
static bool serve_client(struct worker *w, struct blocked *b, struct bytes key)
{
    struct client *cl = b->cl;
    struct db *selected = cl->db;
    cl->db = b->waiters[0].wk->db; /* where it blocked */
    bool done = exec_call(w, cl, b->cmd, b->argv, b->argc, (struct exec_how){.unblocking = true, .ready_key = key});
    cl->db = selected;
    if (!done) return false;
    stop_waiting(cl);
    free_blocked(b);
    w->stats.unblocked++;
    go_on(cl);
    return true;
}

/* The oldest waiter of a key that wants what it holds; NULL: none. A client that is to be closed at the end of this
 * turn (killed by the transaction that pushed, or gone) gets nothing: it would be lost. */
static struct blocked *next_waiter(const struct waited_key *wk, int type)
{
    list_for_each(it, &wk->waiters)
    {
        struct blocked *b = list_entry(it, struct waiter, link)->b;
        if (b->type == type && !(b->cl->flags & CLIENT_CLOSE_NOW)) return b;
    }
    return NULL;
}

static void serve_key(struct worker *w, struct db *db, struct bytes key)
{
    for (;;) {
        struct call c = exec_internal(w, db);
        struct entry *e = db_peek(&c, key);
        struct waited_key *wk = e && db->blocked ? find_key(db, key) : NULL;
        struct blocked *b = wk ? next_waiter(wk, e->type) : NULL;
        if (!b || !serve_client(w, b, key)) return;
    }
}

void blocked_serve(struct worker *w)
{
    struct blocked_worker *bw = w->blocked;
    if (bw->serving) return;
    bw->serving = true;
    while (!list_is_empty(&bw->ready)) {
        struct waited_key *wk = list_entry(list_pop_front(&bw->ready), struct waited_key, ready);
        /* Serving may drop wk: the key is copied. */
        struct db *db = wk->db;
        char stack[256], *copy = wk->klen <= sizeof stack ? stack : mem_alloc(wk->klen);
        memcpy(copy, wk->key, wk->klen);
        struct bytes key = bytes_of(copy, wk->klen);
        serve_key(w, db, key);
        if (copy != stack) mem_free(copy);
    }
    bw->serving = false;
}

void blocked_swap(struct worker *w, struct db *a, struct db *b)
{
    struct db *both[] = {a, b};
    for (int i = 0; i < 2; i++) {
        struct db *db = both[i];
        if (!db->blocked) continue;
        struct call c = exec_internal(w, db);
        struct table_iter it;
        table_iter_init(&it, &db->blocked->keys);
        for (struct waited_key *wk; (wk = table_iter_next(&it));) {
            struct bytes key = bytes_of(wk->key, wk->klen);
            /* Dead or alive: serving it finds out, and tells of its end behind the command that is running now. */
            struct entry *e = table_find(&db_slice(db, key)->table, db_hash(db, key), key);
            if (e) blocked_key_ready(&c, db, key, e->type);
        }
        table_iter_fini(&it);
    }
}
