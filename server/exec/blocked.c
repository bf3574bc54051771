/* SPDX-License-Identifier: MIT
 *
 * Clients that wait: for a key, as BLPOP and its kin, or for the log.
 *
 *   interest of the slice: key -> waiters in the order in which they blocked     worker: ready keys, deadlines (a heap)
 *
 * A key of the right type that comes into being is put on the ready list by the verb that made it. Between two commands
 * (after all of an EXEC) the ready keys are served: the oldest waiter's command runs again, as if it came in now; if it
 * finds nothing it keeps its place and serving this key ends. So fairness is the order of the waiters, and every
 * blocking command is one handler with one question: is there something?
 *
 * A stream's entry is for all who wait, so its waiters are gone through to the last, whoever finds something. Who reads
 * for a group is asked, too, when the stream is no more: its command then finds that out.
 *
 * WAIT and WAITAOF wait for no key but for the log: who does is on a list, and all of it is looked at when the log has
 * come further. Their commands do not run again, since that happens while nothing runs: a function says the reply.
 *
 * Bounds: a client waits for the keys of one command; a key is at most once on the ready list; serving ends since each
 * served client has left.
 */
#include "server/exec/blocked.h"

#include <errno.h>
#include <string.h>

#include "server/db/hooks.h"
#include "server/db/interest.h"
#include "server/net/tracking.h"
#include "server/exec/exec.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

/* One client waiting for one key. */
struct waiter {
    struct interest_link link; /* in the key's list of waiters */
    struct blocked *b;
};

struct blocked {
    struct client *cl;
    struct request *req; /* a copy */
    struct db *db;       /* where it waits */
    int type;
    enum block_until until;
    block_answer *answer; /* of who waits for the log; NULL: for keys */
    struct list on_log;   /* of the worker's list of these */
    int64_t deadline_ms;  /* 0: none */
    size_t heap_index;
    size_t count;
    struct waiter waiters[];
};

struct blocked_worker {
    struct list ready;     /* struct interest_key.ready */
    struct list on_log;    /* struct blocked.on_log */
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

#ifdef DEMI_DEBUG
static void heap_check(const struct blocked_worker *bw)
{
    ASSERT(bw->heap_count <= bw->heap_cap);
    for (size_t i = 0; i < bw->heap_count; i++) {
        const struct blocked *b = bw->heap[i];
        ASSERT(b->heap_index == i);
        ASSERT(b->deadline_ms > 0);
        ASSERT(i == 0 || bw->heap[(i - 1) / 2]->deadline_ms <= b->deadline_ms);
        ASSERT(b->cl->blocked == b);
    }
}

void blocked_check(const struct worker *w)
{
    heap_check(w->blocked);
    list_for_each(it, &w->clients)
    {
        const struct client *cl = list_entry(it, struct client, all);
        const struct blocked *b = cl->blocked;
        if (!b) continue;
        ASSERT(b->cl == cl);
        ASSERT(b->req != NULL);
        if (b->answer) ASSERT(b->count == 0);
        if (b->answer) ASSERT(!list_is_empty(&b->on_log));
        if (!b->answer) ASSERT(b->count > 0);
        if (b->deadline_ms) ASSERT(b->heap_index < w->blocked->heap_count);
        if (b->deadline_ms) ASSERT(w->blocked->heap[b->heap_index] == b);
        for (size_t i = 0; i < b->count; i++) {
            ASSERT(b->waiters[i].b == b);
            ASSERT(b->waiters[i].link.key && !list_is_empty(&b->waiters[i].link.link));
        }
    }
}
#endif

size_t blocked_timed_count(const struct worker *w) { return w->blocked->heap_count; }

/* --- life --------------------------------------------------------------------------------------------------------- */

int blocked_init(struct worker *w)
{
    w->blocked = mem_calloc(sizeof *w->blocked);
    list_init(&w->blocked->ready);
    list_init(&w->blocked->on_log);
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

/* The same key named twice waits once; we would be the last who came. */
static bool waits_already(const struct blocked *b, const struct key_ref *key)
{
    struct interest_key *k = interest_find(b->db, key);
    struct list *last = k ? list_last(&k->links[INTEREST_WAIT]) : NULL;
    return last && list_entry(last, struct waiter, link.link)->b == b;
}

static struct blocked *block_client(struct call *c, size_t waiters, int64_t deadline_ms)
{
    struct client *cl = c->client;
    struct blocked *b = mem_calloc(sizeof *b + waiters * sizeof *b->waiters);
    b->cl = cl;
    b->req = request_dup(&(struct request){c->cmd, c->argv, c->keys, c->argc, c->key_count});
    b->db = c->db;
    /* The clock's milliseconds are cut: the next one, or some would wait less than they asked for. */
    b->deadline_ms = deadline_ms && deadline_ms < INT64_MAX ? deadline_ms + 1 : deadline_ms;
    if (b->deadline_ms) heap_add(c->w->blocked, b);
    cl->blocked = b;
    cl->flags |= CLIENT_BLOCKED;
    c->w->blocked_count++;
    c->blocked = true;
    return b;
}

void call_block_on_log(struct call *c, int64_t deadline_ms, block_answer *answer)
{
    ASSERT(c->client && !c->deny_blocking);
    struct blocked *b = block_client(c, 0, deadline_ms);
    b->answer = answer;
    list_push_back(&c->w->blocked->on_log, &b->on_log);
}

void call_block(struct call *c, int first_key, int count, int type, int64_t deadline_ms, enum block_until until)
{
    if (c->unblocking) {
        c->blocked = true;
        return;
    }
    if (c->deny_blocking || !c->client) {
        reply_null_array(c->out);
        return;
    }
    struct blocked *b = block_client(c, (size_t)count, deadline_ms);
    b->type = type;
    b->until = until;
    for (int i = 0; i < count; i++) {
        const struct key_ref *key = call_key(c, first_key + i);
        if (waits_already(b, key)) continue;
        struct waiter *wt = &b->waiters[b->count++];
        wt->b = b;
        interest_add(c->db, key, INTEREST_WAIT, &wt->link);
        wt->link.key->until_gone += until == BLOCK_UNTIL_GONE;
    }
}

static void stop_waiting(struct client *cl)
{
    struct blocked *b = cl->blocked;
    for (size_t i = 0; i < b->count; i++) {
        b->waiters[i].link.key->until_gone -= b->until == BLOCK_UNTIL_GONE;
        interest_remove(&b->waiters[i].link);
    }
    if (b->answer) list_remove(&b->on_log);
    if (b->deadline_ms) heap_remove(cl->w->blocked, b);
    cl->blocked = NULL;
    cl->flags &= ~(uint32_t)CLIENT_BLOCKED;
    cl->w->blocked_count--;
}

static void free_blocked(struct blocked *b)
{
    mem_free(b->req);
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

/* It has its reply, and waits no more. */
static void leave(struct client *cl, struct blocked *b, bool failed)
{
    run_gave_up(&cl->s, b->req, failed);
    exec_step_reply_skip(&cl->s);
    free_blocked(b);
    go_on(cl);
}

#define ROLE_CHANGED "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"

bool blocked_unblock(struct client *cl, enum unblock_reason why)
{
    struct blocked *b = cl->blocked;
    if (!b) return false;
    stop_waiting(cl);
    struct reply *out = session_reply(&cl->s);
    if (why == UNBLOCK_ERROR) reply_error(out, "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    else if (why == UNBLOCK_ROLE) reply_error(out, ROLE_CHANGED);
    else if (b->answer) b->answer(cl, b->req, out, true);
    else reply_null_array(out);
    leave(cl, b, why != UNBLOCK_TIMEOUT);
    return true;
}

void blocked_timeouts(struct worker *w)
{
    struct blocked_worker *bw = w->blocked;
    while (bw->heap_count && bw->heap[0]->deadline_ms <= w->now_ms) blocked_unblock(bw->heap[0]->cl, UNBLOCK_TIMEOUT);
}

/* --- ready -------------------------------------------------------------------------------------------------------- */

static struct waiter *waiter_of(struct list *link) { return list_entry(link, struct waiter, link.link); }

#define GONE (-1) /* the type of what is not there */

/* Does it want what the key holds? A client that is to be closed at the end of this turn (killed by the transaction
 * that pushed, or gone) gets nothing: it would be lost. */
static bool wants(const struct blocked *b, int type)
{
    return (b->type == type || b->until == BLOCK_UNTIL_GONE) && !(b->cl->flags & CLIENT_CLOSE_NOW);
}

void blocked_key_ready(struct call *c, struct db *db, const struct key_ref *key, int type)
{
    struct interest_key *k = interest_find(db, key);
    if (!k || !list_is_empty(&k->ready)) return;
    list_for_each(it, &k->links[INTEREST_WAIT])
    {
        if (!wants(waiter_of(it)->b, type)) continue;
        list_push_back(&c->w->blocked->ready, &k->ready);
        return;
    }
}

struct key_count {
    size_t keys;
    bool on_nokey;
};

static void count_key(void *arg, struct interest_key *k)
{
    struct key_count *n = arg;
    n->keys += n->on_nokey ? k->until_gone > 0 : !list_is_empty(&k->links[INTEREST_WAIT]);
}

size_t blocked_key_count(const struct worker *w, bool on_nokey)
{
    struct key_count n = {.on_nokey = on_nokey};
    for (int i = 0; i < w->srv->db_count; i++) interest_each(&w->srv->dbs[i], count_key, &n);
    return n.keys;
}

bool blocked_any_ready(const struct worker *w) { return !list_is_empty(&w->blocked->ready); }

/* Runs the client's command again. False: it found nothing and waits on. */
static bool serve_client(struct worker *w, struct blocked *b)
{
    struct client *cl = b->cl;
    struct db *selected = cl->s.db;
    cl->s.db = b->db; /* where it blocked */
    bool permitted = exec_permits_again(&cl->s, b->req);
    bool done = !permitted || run_request(&cl->s, b->req, (struct run_how){.unblocking = true});
    if (permitted && unlikely(cl->s.flags & SESSION_TRACKING)) tracking_remember(&cl->s, b->req);
    cl->s.db = selected;
    if (!done) return false;
    stop_waiting(cl);
    free_blocked(b);
    exec_step_reply_skip(&cl->s);
    w->stats.unblocked++;
    go_on(cl);
    return true;
}

/* One that is past its time is as good as gone, and is left for the next who touches it. */
static int type_of(struct worker *w, struct db *db, const struct key_ref *key)
{
    struct call c = run_internal(w, db);
    const struct entry *e = table_find(&db_slice(db, key)->table, key->hash, key->name);
    return e && !db_is_expired(&c, e) ? (int)e->type : GONE;
}

static struct blocked *next_waiter(struct interest_key *k, int type)
{
    list_for_each(it, &k->links[INTEREST_WAIT]) if (wants(waiter_of(it)->b, type)) return waiter_of(it)->b;
    return NULL;
}

/* Each waiter once. Serving one takes out its own link, and no other; the key goes with the last one. */
static void serve_all(struct worker *w, struct db *db, const struct key_ref *key)
{
    struct interest_key *k = interest_find(db, key);
    if (!k) return;
    struct list *head = &k->links[INTEREST_WAIT], *next;
    for (struct list *it = head->next; it != head; it = next) {
        struct blocked *b = waiter_of(it)->b;
        next = it->next;
        if (wants(b, type_of(w, db, key))) serve_client(w, b);
    }
}

static void serve_key(struct worker *w, struct db *db, const struct key_ref *key)
{
    for (;;) {
        int type = type_of(w, db, key);
        struct interest_key *k = interest_find(db, key);
        if (k && (type == OBJ_STREAM || k->until_gone)) {
            serve_all(w, db, key);
            return;
        }
        struct blocked *b = k && type != GONE ? next_waiter(k, type) : NULL;
        if (!b || !serve_client(w, b)) return;
    }
}

void blocked_serve(struct worker *w)
{
    struct blocked_worker *bw = w->blocked;
    if (bw->serving || (w->srv->unusual & SERVER_BUSY)) return; /* not in the middle of a script */
    bw->serving = true;
    while (!list_is_empty(&bw->ready)) {
        struct interest_key *k = list_entry(list_pop_front(&bw->ready), struct interest_key, ready);
        /* Serving may drop k: the name is copied. */
        struct db *db = k->db;
        struct key_ref key = interest_ref(k);
        char stack[256], *copy = key.name.n <= sizeof stack ? stack : mem_alloc(key.name.n);
        if (key.name.n) memcpy(copy, key.name.p, key.name.n);
        key.name.p = copy;
        serve_key(w, db, &key);
        if (copy != stack) mem_free(copy);
    }
    bw->serving = false;
}

/* Dead or alive: serving it finds out, and tells of its end behind the command that is running now. */
static void look_again(void *arg, struct interest_key *k)
{
    struct call c = run_internal(arg, k->db);
    struct key_ref key = interest_ref(k);
    const struct entry *e = table_find(&db_slice(k->db, &key)->table, key.hash, key.name);
    blocked_key_ready(&c, k->db, &key, e ? (int)e->type : GONE);
}

void blocked_swap(struct worker *w, struct db *a, struct db *b)
{
    interest_each(a, look_again, w);
    interest_each(b, look_again, w);
}

/* --- the log ------------------------------------------------------------------------------------------------------ */

void blocked_log_moved(struct worker *w)
{
    if (list_is_empty(&w->blocked->on_log)) return;
    w->log_moved = true;
    demi_wake_ring(w->wake);
}

void blocked_answer(struct client *cl)
{
    struct blocked *b = cl->blocked;
    if (!b || !b->answer || (cl->flags & CLIENT_CLOSE_NOW)) return;
    struct reply *out = session_reply(&cl->s);
    uint32_t errors = out->error_count;
    if (!b->answer(cl, b->req, out, false)) return;
    stop_waiting(cl);
    leave(cl, b, out->error_count != errors);
}

void blocked_look_at_log(struct worker *w)
{
    w->log_moved = false;
    list_for_each_safe(it, &w->blocked->on_log) blocked_answer(list_entry(it, struct blocked, on_log)->cl);
}
