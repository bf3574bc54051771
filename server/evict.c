/* SPDX-License-Identifier: MIT
 *
 * Eviction, as Redis does it: LRU, LFU and TTL are approximated. A round looks at maxmemory-samples keys of every
 * database, offers them to a pool of good candidates (server/evict_pool.h), and removes the best of the pool. The
 * random policies remove any key, the databases in turn.
 *
 * Samples are not drawn: a walk goes through each table, some buckets a round, and begins again at its end. That costs
 * fewer cache misses than drawing, no key is overlooked for long, few volatile keys among many others are found without
 * searching the table each time, and a run can be repeated. Where a key lies has nothing to do with its use, so
 * neighbours are as good a sample as any.
 *
 * What a deletion frees is measured around it, alone: the buffers that notifications and effects fill must not call for
 * more evictions, which would make more of them. Of values that the helper thread frees the size is estimated (as
 * MEMORY USAGE does), and what the helper still has to do counts as freed: otherwise every command until then would
 * evict as much again. While it has work left, nothing has failed yet.
 *
 * A turn of the loop has one budget (maxmemory-eviction-tenacity), not each of its commands: a hundred pipelined ones
 * would take a hundred, and whoever waits with them. When it is spent, commands answer for what they have added since,
 * nothing else, and if even that takes a budget the rest of the batch waits for the next turn (worker->cut_short):
 *
 *     used  |      .-- level: when the budget was spent      .-- this command took more, and evicts it
 *           |  ----+---------+--------+---------------------/\------
 *     limit |  =====================================================
 *           turn   its budget         commands
 *
 * A large value is freed by the helper thread whatever lazyfree-lazy-eviction says: what that decides is told as UNLINK
 * or DEL, and the loop does not stand still for millions of elements.
 */
#include "server/evict.h"

#include "server/db/hooks.h"
#include "server/db/preimage.h"
#include <math.h>

#include "server/evict_pool.h"
#include "server/exec/run.h"
#include "server/lazyfree.h"
#include "server/mem.h"
#include "server/observe/latency.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

#define KEYS_A_CLOCK     16 /* removed between two looks at the clock */
#define BUCKETS_A_SAMPLE 10 /* walked for each key wanted, once one was found */
#define SAMPLES_AHEAD    16
#define ESTIMATE_SAMPLES 5
#define COLLECTS_A_TURN  2   /* steps of taking back what the helper freed, 0.2 ms each if all are misses */
#define ROUNDS_MAX       3   /* a pool of keys that have all gone is empty after one */
#define INLINE_WORK_MAX  512 /* allocations that one key may take to be freed in the loop */

struct sample_walk {
    uint64_t cursor;
    unsigned slice;
    unsigned taken; /* keys of the bucket at the cursor that were seen already */
};

struct evict {
    struct evict_pool *pool;
    enum maxmemory_policy policy; /* whose scores the pool holds */
    unsigned next_db;             /* random policies */
    struct sample_walk *walks;    /* by database */
    uint64_t later_bytes;         /* handed to the helper thread since it was last idle */
    size_t later_count;
    /* of a turn of the loop */
    uint64_t turn;
    uint64_t spent_ns; /* of its budget */
    uint64_t paid_ns;  /* by its commands for themselves, after that */
    size_t level;      /* bytes used when the budget was spent; 0: it is not */
    unsigned collects; /* of memory that the helper freed */
    bool more_to_collect;
};

struct evict *evict_new(int db_count)
{
    struct evict *e = mem_calloc(sizeof *e);
    e->pool = evict_pool_new();
    e->walks = mem_calloc((size_t)db_count * sizeof *e->walks);
    return e;
}

void evict_free(struct evict *e)
{
    if (!e) return;
    evict_pool_free(e->pool);
    mem_free(e->walks);
    mem_free(e);
}

/* --- policies ---------------------------------------------------------------------------------------------------- */

static bool is_volatile(enum maxmemory_policy p)
{
    return p == MAXMEMORY_VOLATILE_LRU || p == MAXMEMORY_VOLATILE_LFU || p == MAXMEMORY_VOLATILE_TTL ||
           p == MAXMEMORY_VOLATILE_RANDOM;
}

static bool is_random(enum maxmemory_policy p)
{
    return p == MAXMEMORY_VOLATILE_RANDOM || p == MAXMEMORY_ALLKEYS_RANDOM;
}

/* The higher, the rather it goes. It falls when the key is used or its expiry moved away. */
static uint64_t score_of(const struct call *c, const struct entry *e)
{
    switch (c->cfg->maxmemory_policy) {
    case MAXMEMORY_ALLKEYS_LRU:
    case MAXMEMORY_VOLATILE_LRU: return (uint64_t)db_idle_seconds(c, e);
    case MAXMEMORY_ALLKEYS_LFU:
    case MAXMEMORY_VOLATILE_LFU: return 255 - db_lfu_counter(c, e);
    case MAXMEMORY_VOLATILE_TTL: return UINT64_MAX - (uint64_t)entry_expire(e);
    default: return 0;
    }
}

static size_t eligible(const struct config *cfg, const struct db *db)
{
    return is_volatile(cfg->maxmemory_policy) ? db_expires(db) : db_size(db);
}

/* --- sampling ---------------------------------------------------------------------------------------------------- */

struct sampling {
    struct call *c;
    struct evict_pool *pool;
    int dbid;
    size_t seen, wanted;
    unsigned skip;    /* keys of this bucket that an earlier step saw */
    bool has_more;    /* the bucket has keys that were not wanted */
    unsigned waiting; /* entries asked for and not looked at yet, so that their cache misses overlap */
    const struct entry *entries[SAMPLES_AHEAD];
};

static void look_at_waiting(struct sampling *s)
{
    for (unsigned i = 0; i < s->waiting; i++) {
        const struct entry *e = s->entries[i];
        uint64_t score = score_of(s->c, e);
        if (evict_pool_wants(s->pool, score)) evict_pool_offer(s->pool, score, s->dbid, entry_key(e));
    }
    s->waiting = 0;
}

static void sample(void *arg, struct table_slot slot)
{
    struct sampling *s = arg;
    if (s->skip) {
        s->skip--;
        return;
    }
    if (s->seen == s->wanted) {
        s->has_more = true;
        return;
    }
    const struct entry *e = table_slot_entry(slot);
    __builtin_prefetch(e);
    s->seen++;
    if (s->waiting == SAMPLES_AHEAD) look_at_waiting(s);
    s->entries[s->waiting++] = e;
}

/* The keys of the bucket at the walk's place, as far as they are wanted. The next step goes on behind them, within the
 * bucket: taken whole, full and empty buckets would lose equally many keys, so that full ones stayed full (2 % fewer
 * keys in the same memory, all of it chains, after 400,000 requests under LFU). */
static void sample_bucket(struct sampling *s, struct sample_walk *at, struct table *t, bool marked)
{
    size_t seen = s->seen;
    uint64_t next = 0;
    s->skip = at->taken;
    s->has_more = false;
    if (marked) next = table_marked_count(t) ? table_walk_marked(t, at->cursor, sample, s) : 0;
    else next = table_count(t) ? table_scan(t, at->cursor, sample, s) : 0;
    at->taken = s->has_more ? at->taken + (unsigned)(s->seen - seen) : 0;
    if (!s->has_more) at->cursor = next;
}

/* Goes on from where it stopped until `wanted` keys were seen, fewer if they lie far apart, at least one if there is
 * one. */
static size_t sample_some(struct call *c, struct evict *ev, struct db *db, size_t wanted)
{
    struct sample_walk *at = &ev->walks[db->id];
    struct sampling s;
    s.c = c;
    s.pool = ev->pool;
    s.dbid = db->id;
    s.wanted = wanted;
    s.seen = s.waiting = 0;
    bool marked = is_volatile(c->cfg->maxmemory_policy);
    unsigned ends = 0;
    for (size_t buckets = 0; s.seen < wanted && !(s.seen && buckets >= wanted * BUCKETS_A_SAMPLE); buckets++) {
        if (at->slice >= db->slice_count) at->slice = 0;
        sample_bucket(&s, at, &db->slices[at->slice].table, marked);
        if (s.has_more || at->cursor != 0) continue;
        at->slice++;
        if (++ends > db->slice_count) break; /* the rest of a slice, all others, and that slice again from its start */
    }
    look_at_waiting(&s);
    return s.seen;
}

static bool sample_all(struct worker *w, struct evict *ev)
{
    struct server *srv = w->srv;
    bool any = false;
    for (int i = 0; i < srv->db_count; i++) {
        struct db *db = &srv->dbs[i];
        size_t n = eligible(srv->config, db), wanted = (size_t)srv->config->maxmemory_samples;
        if (!n) continue;
        struct call c = run_internal(w, db);
        any |= sample_some(&c, ev, db, wanted < n ? wanted : n) > 0;
    }
    return any;
}

static const struct entry *entry_of(const struct db *db, const struct key_ref *key)
{
    return table_find(&db_slice(db, key)->table, key->hash, key->name);
}

/* A candidate whose key is there, may go, and was not used since it was offered. */
static bool is_good(struct worker *w, const struct evict_candidate *best)
{
    struct db *db = &w->srv->dbs[best->dbid];
    struct call c = run_internal(w, db);
    struct key_ref key = key_ref_of(db, best->key);
    struct entry *e = table_find(&db_slice(db, &key)->table, key.hash, key.name);
    if (!e || preimage_holds(db, e) || (is_volatile(c.cfg->maxmemory_policy) && entry_expire(e) < 0)) return false;
    return score_of(&c, e) >= best->score;
}

static bool pick_best(struct worker *w, struct evict *ev, struct evict_candidate *out)
{
    for (int round = 0; round < ROUNDS_MAX && sample_all(w, ev); round++) {
        while (evict_pool_take(ev->pool, out)) {
            if (is_good(w, out)) return true;
        }
    }
    return false;
}

static bool pick_random(struct worker *w, struct evict *ev, struct evict_candidate *out)
{
    struct server *srv = w->srv;
    for (int i = 0; i < srv->db_count; i++) {
        struct db *db = &srv->dbs[++ev->next_db % (unsigned)srv->db_count];
        if (!eligible(srv->config, db)) continue;
        const struct entry *e = db_sample(db, &w->rng, is_volatile(srv->config->maxmemory_policy));
        struct call c = run_internal(w, db);
        if (e) evict_pool_offer(ev->pool, 0, db->id, entry_key(e));
        else sample_some(&c, ev, db, 1);
        bool picked = evict_pool_take(ev->pool, out);
        evict_pool_clear(ev->pool);
        if (picked) return true;
    }
    return false;
}

/* --- removing ---------------------------------------------------------------------------------------------------- */

/* Not only what is evicted comes back later. */
static bool frees_later(const struct evict *ev, const struct config *cfg)
{
    return ev->later_count || cfg->lazyfree_lazy_eviction || cfg->lazyfree_lazy_server_del;
}

/* The helper has `pending` values to free, of which we gave it some: about the bytes of those. */
static int64_t bytes_to_come(struct evict *ev, size_t pending)
{
    if (pending == 0) ev->later_bytes = ev->later_count = 0;
    if (ev->later_count == 0) return 0;
    size_t ours = pending < ev->later_count ? pending : ev->later_count;
    return (int64_t)(ev->later_bytes / ev->later_count * ours);
}

/* A deletion gives replicas and the log more to take, and a save more to keep, and so would call for another. */
size_t evict_not_counted(const struct server *srv)
{
    size_t sum = persist_save_memory(srv);
    for (int i = 0; i < srv->worker_count; i++) sum += replicas_memory(&srv->workers[i]);
    return sum + aof_unwritten(&srv->aof);
}

/* What maxmemory is compared with. */
static size_t counted_bytes(const struct server *srv)
{
    size_t used = demi_mem_used(), not_counted = evict_not_counted(srv);
    return used > not_counted ? used - not_counted : 0;
}

/* Returns the bytes that came free, or will. */
static int64_t evict_key(struct worker *w, const struct evict_candidate *victim)
{
    struct server *srv = w->srv;
    struct db *db = &srv->dbs[victim->dbid];
    struct call c = run_internal(w, db);
    struct key_ref key = key_ref_of(db, victim->key);
    const struct entry *e = entry_of(db, &key);
    bool is_large = e && e->type != OBJ_STRING && lazyfree_work(e->enc, entry_ptr(e)) > INLINE_WORK_MAX;
    bool later = is_large || srv->config->lazyfree_lazy_eviction;
    int64_t estimate =
        e && (later || frees_later(w->evict, srv->config)) ? (int64_t)entry_memory(e, ESTIMATE_SAMPLES) : 0;
    bool timed = srv->config->latency_monitor_threshold != 0;
    uint64_t start = timed ? demi_clock_ns() : 0;
    size_t before = counted_bytes(srv);
    bool was_there = later ? db_delete_lazy(&c, &key) : db_delete(&c, &key);
    int64_t freed = (int64_t)before - (int64_t)counted_bytes(srv);
    if (timed) latency_sample(srv, "eviction-del", (int64_t)((demi_clock_ns() - start) / NSEC_PER_MSEC));
    if (!was_there) return freed; /* its time had come: it expired instead */
    w->stats.evicted++;
    db_changed_in(&c, db, &key, NOTIFY_EVICTED, "evicted");
    effect_gone(&c, db, victim->key, srv->config->lazyfree_lazy_eviction);
    if (freed >= estimate / 2) return freed;
    w->evict->later_bytes += (uint64_t)(estimate - freed);
    w->evict->later_count++;
    return estimate;
}

/* Redis's steps: up to 500 us at 10, then 15 % more each, no limit at 100. */
static uint64_t budget_ns(int64_t tenacity)
{
    if (tenacity <= 10) return (uint64_t)tenacity * 50000;
    if (tenacity < 100) return (uint64_t)(500000 * pow(1.15, (double)tenacity - 10));
    return UINT64_MAX;
}

static bool is_over(const struct server *srv) { return counted_bytes(srv) > (size_t)srv->config->maxmemory; }

/* With what the helper thread gave back counted, as far as a turn may take it back. */
static bool is_over_now(const struct server *srv, struct evict *ev)
{
    while (is_over(srv) && ev->collects < COLLECTS_A_TURN) {
        ev->collects++;
        ev->more_to_collect = demi_mem_collect();
        if (!ev->more_to_collect) break;
    }
    return is_over(srv);
}

/* Keys go until `limit` is kept or the time is up. */
static enum evict_result remove_keys(struct worker *w, struct evict *ev, int64_t limit, uint64_t budget)
{
    struct server *srv = w->srv;
    const struct config *cfg = srv->config;
    int64_t to_come = bytes_to_come(ev, lazyfree_pending(srv));
    int64_t wanted = (int64_t)counted_bytes(srv) - limit - to_come, freed = 0;
    uint64_t start = demi_clock_ns();
    for (size_t keys = 1; freed < wanted; keys++) {
        struct evict_candidate victim;
        bool picked = is_random(cfg->maxmemory_policy) ? pick_random(w, ev, &victim) : pick_best(w, ev, &victim);
        if (!picked && lazyfree_pending(srv)) return EVICT_RUNNING;
        if (!picked && !is_over_now(srv, ev)) return EVICT_OK;
        if (!picked) return frees_later(ev, cfg) && ev->more_to_collect ? EVICT_RUNNING : EVICT_FAILED;
        if (lazyfree_is_full(srv)) return EVICT_RUNNING; /* what it would not take were freed here */
        freed += evict_key(w, &victim);
        if (keys % KEYS_A_CLOCK) continue;
        if (frees_later(ev, cfg) && !is_over_now(srv, ev)) break;
        if (demi_clock_ns() - start > budget) return EVICT_RUNNING;
    }
    return frees_later(ev, cfg) && is_over_now(srv, ev) ? EVICT_RUNNING : EVICT_OK;
}

/* The turn's budget is spent: a command answers for what came since. */
static enum evict_result pay(struct worker *w, struct evict *ev, uint64_t budget)
{
    int64_t limit = w->srv->config->maxmemory;
    if (limit < (int64_t)ev->level) limit = (int64_t)ev->level;
    if ((int64_t)counted_bytes(w->srv) <= limit) return EVICT_RUNNING;
    uint64_t start = demi_clock_ns();
    enum evict_result result = remove_keys(w, ev, limit, budget);
    ev->paid_ns += demi_clock_ns() - start;
    if (ev->paid_ns >= budget) w->cut_short = true;
    ev->level = counted_bytes(w->srv);
    return result == EVICT_OK && is_over(w->srv) ? EVICT_RUNNING : result;
}

static enum evict_result spend(struct worker *w, struct evict *ev, uint64_t budget)
{
    uint64_t start = demi_clock_ns();
    enum evict_result result = remove_keys(w, ev, w->srv->config->maxmemory, budget - ev->spent_ns);
    uint64_t spent = demi_clock_ns() - start;
    ev->spent_ns += spent;
    if (ev->spent_ns >= budget) ev->level = counted_bytes(w->srv);
    latency_sample(w->srv, "eviction-cycle", (int64_t)(spent / NSEC_PER_MSEC));
    return result;
}

static enum evict_result evict_some(struct worker *w)
{
    struct server *srv = w->srv;
    struct evict *ev = w->evict;
    enum maxmemory_policy policy = srv->config->maxmemory_policy;
    if (!is_over(srv)) return EVICT_OK;
    if (policy == MAXMEMORY_NOEVICTION) return EVICT_FAILED;
    if (ev->turn != w->stats.turns) {
        ev->turn = w->stats.turns;
        ev->spent_ns = ev->paid_ns = ev->level = ev->collects = 0;
        ev->more_to_collect = false;
    }
    if (frees_later(ev, srv->config) && !is_over_now(srv, ev)) return EVICT_OK;
    if (frees_later(ev, srv->config) && ev->more_to_collect) return EVICT_RUNNING; /* what was evicted is on its way */
    if (ev->policy != policy) evict_pool_clear(ev->pool);
    ev->policy = policy;
    uint64_t budget = budget_ns(srv->config->maxmemory_eviction_tenacity);
    return ev->level ? pay(w, ev, budget) : spend(w, ev, budget);
}

enum evict_result evict_run(struct worker *w)
{
    /* Paused clients are to find the data as it was, and a replica holds what its primary does. */
    bool is_left_alone = server_is_paused(w->srv) || (w->srv->upstream && w->conf.cfg->replica_ignore_maxmemory);
    if (!w->conf.cfg->maxmemory || is_left_alone) {
        w->evicting = false;
        return EVICT_OK;
    }
    enum evict_result result = evict_some(w);
    /* Before a write is refused, memory of the dead is taken back. */
    if (result == EVICT_FAILED && expire_cycle_now(w)) result = evict_some(w);
    struct worker_stats *s = &w->stats;
    w->evicting = result == EVICT_RUNNING;
    if (result != EVICT_OK && !s->over_since_ns) {
        s->over_since_ns = w->turn_ns;
    } else if (result == EVICT_OK && s->over_since_ns) {
        s->over_ns += w->turn_ns - s->over_since_ns;
        s->over_since_ns = 0;
    }
    return result;
}

uint64_t evict_over_ns(const struct worker *w, uint64_t *this_time)
{
    *this_time = w->stats.over_since_ns ? w->turn_ns - w->stats.over_since_ns : 0;
    return w->stats.over_ns + *this_time;
}
