/* SPDX-License-Identifier: MIT
 *
 * Two things are told otherwise than redis-server 7.2.4 does, and each keeps a value from going stale unnoticed: NOLOOP
 * hides what a client's command changed, but not that a key's time had come while it ran, that keys made room for it or
 * that the table did; and SWAPDB tells what FLUSHALL does.
 *
 * The table's bound is tracking-table-max-keys. What a command added is taken away again by as many random keys, so
 * that it is never exceeded by more than the keys of one command.
 */
#include "server/net/tracking.h"

#include "server/db/hooks.h"
#include "server/db/interest.h"
#include "server/exec/multi.h"
#include "server/lazyfree.h"
#include "server/mem.h"
#include "server/net/pushes.h"
#include "server/net/tracking_parts.h"
#include "server/net/tracking_prefixes.h"
#include "server/server.h"
#include "server/worker.h"

#define EFFORT    100  /* keys taken away at once, for each time that it was not enough */
#define LAZY_KEYS 1000 /* fewer are freed here */

/* --- on and off --------------------------------------------------------------------------------------------------- */

static struct tracking *tracking_of(struct server *srv)
{
    if (srv->tracking) return srv->tracking;
    struct tracking *t = mem_calloc(sizeof *t);
    t->slice_count = srv->dbs[0].slice_count;
    t->slices = mem_alloc(t->slice_count * sizeof(struct tracked *));
    for (unsigned i = 0; i < t->slice_count; i++) t->slices[i] = tracked_new(srv->dbs[0].hash_seed);
    interest_track(srv->dbs, srv->db_count, t->slices);
    srv->tracking = t;
    return t;
}

static void forget_behind(struct tracking *t)
{
    for (struct tracked_key *k = t->behind, *next; k; k = next) {
        next = k->next;
        mem_free(k);
    }
    t->behind = t->behind_last = NULL;
}

void tracking_fini(struct server *srv)
{
    struct tracking *t = srv->tracking;
    if (!t) return;
    ASSERT(t->clients == 0 && !t->prefixes);
    interest_track_no_more(srv->dbs, srv->db_count);
    for (unsigned i = 0; i < t->slice_count; i++) tracked_free(t->slices[i]);
    forget_behind(t);
    mem_free(t->slices);
    mem_free(t);
    srv->tracking = NULL;
}

static const struct client *running_in(const struct call *c)
{
    return c == &c->w->call && c->session ? session_origin(c->session) : NULL;
}

void tracking_start(struct call *c, uint64_t redirect, uint32_t flags, const struct bytes *prefixes, size_t count)
{
    struct client *cl = c->client;
    struct tracking *t = tracking_of(c->srv);
    if (!cl->tracking) {
        cl->tracking = mem_calloc(sizeof *cl->tracking);
        t->clients++;
    }
    uint32_t kept = cl->tracking->flags & TRACKING_CACHING;
    cl->tracking->flags = kept | flags | TRACKING_ON;
    cl->tracking->redirect = redirect;
    if (flags & TRACKING_BCAST) {
        cl->s.flags &= ~(uint32_t)SESSION_TRACKING;
        const struct bytes all = BYTES("");
        prefixes_broadcast(c->w, t, running_in(c)); /* what has changed until now is not of the new ones */
        prefixes_add(t, cl, count ? prefixes : &all, count ? count : 1, c->srv->dbs[0].hash_seed);
    } else {
        cl->s.flags |= SESSION_TRACKING;
    }
}

void tracking_stop(struct client *cl)
{
    if (!cl->tracking) return;
    struct tracking *t = cl->w->srv->tracking;
    prefixes_remove(t, cl);
    mem_free(cl->tracking);
    cl->tracking = NULL;
    cl->s.flags &= ~(uint32_t)SESSION_TRACKING;
    t->clients--;
}

size_t tracking_client_memory(const struct client *cl)
{
    return cl->tracking ? sizeof *cl->tracking + cl->tracking->prefix_bytes : 0;
}

void tracking_forget_caching(struct client *cl)
{
    if (cl->tracking) cl->tracking->flags &= ~(uint32_t)TRACKING_CACHING;
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

struct reply *tracking_message(struct worker *w, struct client *cl, const struct client *running)
{
    struct tracking_client *tc = cl->tracking;
    struct client *to = cl;
    if (tc->redirect) {
        to = client_find(w->srv, tc->redirect);
        if (!to || (to->flags & CLIENT_CLOSE_NOW)) {
            tc->flags |= TRACKING_BROKEN;
            if (cl->out.proto == 2) return NULL;
            struct reply *out = pushes_output(w, cl, running);
            reply_push(out, 2);
            reply_bulk_str(out, "tracking-redir-broken");
            reply_int(out, (int64_t)tc->redirect);
            return NULL;
        }
    }
    /* In RESP2 only who is subscribed to something can tell a message from a reply, and nobody can from its own. */
    if (to->out.proto == 2 && !(tc->redirect && (to->s.flags & SESSION_PUBSUB))) return NULL;
    struct reply *out = pushes_output(w, to, running);
    if (out->proto == 2) {
        reply_push(out, 3);
        reply_bulk_str(out, "message");
        reply_bulk_str(out, "__redis__:invalidate");
    } else {
        reply_push(out, 2);
        reply_bulk_str(out, "invalidate");
    }
    return out;
}

static void tell_key(struct worker *w, struct client *cl, const struct client *running, struct bytes name)
{
    struct reply *out = tracking_message(w, cl, running);
    if (!out) return;
    reply_array(out, 1);
    reply_bulk(out, name);
}

static void tell_nothing_is_true(struct worker *w, struct client *cl, const struct client *running)
{
    struct reply *out = tracking_message(w, cl, running);
    if (out) reply_null(out);
}

static void put_behind(struct worker *w, struct tracked_key *k)
{
    struct tracking *t = w->srv->tracking;
    k->next = NULL;
    if (t->behind_last) t->behind_last->next = k;
    else t->behind = k;
    t->behind_last = k;
    w->has_pushes = true;
}

/* Again and again: one is enough to say how often. */
static void put_nothing_behind(struct worker *w)
{
    struct tracked_key *last = w->srv->tracking->behind_last;
    if (last && last->count) {
        last->count++;
        return;
    }
    struct tracked_key *k = mem_calloc(sizeof *k);
    k->count = 1;
    put_behind(w, k);
}

void tracking_deliver(struct worker *w, struct client *cl)
{
    struct tracking *t = w->srv->tracking;
    for (const struct tracked_key *k = t->behind; k && cl->tracking; k = k->next) {
        if (!k->count) tell_key(w, cl, NULL, tracked_key_name(k));
        for (uint32_t n = k->count; n; n--) tell_nothing_is_true(w, cl, NULL);
    }
    forget_behind(t);
    if (t->prefixes && prefixes_are_many(t)) prefixes_broadcast(w, t, NULL);
}

/* --- what is read ------------------------------------------------------------------------------------------------- */

static bool tracks_keys(const struct client *cl)
{
    return cl && !(cl->flags & CLIENT_CLOSE_NOW) && cl->tracking && !(cl->tracking->flags & TRACKING_BCAST);
}

static bool lives(void *arg, uint64_t id) { return tracks_keys(client_find(arg, id)); }

/* k is out of the table. */
static void tell_of(struct worker *w, struct tracked_key *k, const struct client *running, bool by_itself)
{
    const uint64_t *ids = tracked_key_clients(k);
    bool behind = false;
    for (uint32_t i = 0; i < k->count; i++) {
        struct client *cl = client_find(w->srv, ids[i]);
        if (!tracks_keys(cl)) continue;
        if (cl != running) tell_key(w, cl, running, tracked_key_name(k));
        else if (by_itself || !(cl->tracking->flags & TRACKING_NOLOOP)) behind = true;
    }
    tracked_key_drop(k);
    if (behind) put_behind(w, k);
    else mem_free(k);
}

static size_t key_count(const struct tracking *t)
{
    size_t n = 0;
    for (unsigned i = 0; i < t->slice_count; i++) n += table_count(&t->slices[i]->keys);
    return n;
}

static struct tracked_key *take_any(struct tracking *t, struct rng *rng)
{
    unsigned at = (unsigned)rng_below(rng, t->slice_count);
    struct tracked_key *k = NULL;
    for (unsigned i = 0; i < t->slice_count && !k; i++) k = tracked_take_any(t->slices[(at + i) % t->slice_count], rng);
    return k;
}

/* So many came now. */
static void keep_bound(struct worker *w, size_t added, const struct client *running)
{
    struct tracking *t = w->srv->tracking;
    size_t max = (size_t)w->conf.cfg->tracking_table_max_keys, count = key_count(t);
    if (likely(!max || count <= max)) {
        t->tries = 0;
        return;
    }
    size_t over = count - max, effort = EFFORT * (t->tries + 1) + added;
    size_t taken = over < effort ? over : effort;
    t->tries = taken == over ? 0 : t->tries + 1;
    while (taken--) tell_of(w, take_any(t, &w->rng), running, true);
}

/* Whether it is inside of another command of its client, whose reply is not complete. */
static const struct client *running_outside(const struct session *s, const struct client *cl)
{
    return s->caller || multi_exec_argv(s) ? cl : NULL;
}

void tracking_prefetch(const struct session *s, const struct request *r)
{
    if (!r->key_count) return;
    const struct tracking *t = s->w->srv->tracking;
    table_prefetch_bucket(&t->slices[db_slice_index(s->db, r->keys)]->keys, r->keys->hash);
}

void tracking_remember(struct session *s, const struct request *r)
{
    /* What a read-only script reads is seen as it does, and channels are no keys. */
    if ((r->cmd->flags & (CMD_READONLY | CMD_NO_MANDATORY_KEYS | CMD_PUBSUB)) != CMD_READONLY) return;
    const struct client *cl = session_origin(s);
    if (unlikely(!cl || !tracks_keys(cl))) return;
    uint32_t flags = cl->tracking->flags & (TRACKING_OPTIN | TRACKING_OPTOUT | TRACKING_CACHING);
    if (unlikely(flags == TRACKING_OPTIN || flags == (TRACKING_OPTOUT | TRACKING_CACHING))) return;
    struct worker *w = s->w;
    struct tracking *t = w->srv->tracking;
    size_t added = 0;
    for (int i = 0; i < r->key_count; i++) {
        const struct key_ref *key = &r->keys[i];
        added += tracked_add(t->slices[db_slice_index(s->db, key)], key, cl->id, lives, w->srv);
    }
    if (unlikely(added)) keep_bound(w, added, running_outside(s, cl));
}

/* --- what changes ------------------------------------------------------------------------------------------------- */

void tracking_changed(struct call *c, struct tracked *slice, const struct key_ref *key, bool by_itself)
{
    struct tracking *t = c->srv->tracking;
    if (t->prefixes) {
        const struct client *by = !by_itself && c->session ? c->session->client : NULL;
        prefixes_note(t, c->w, key, by ? by->id : 0);
        if (running_in(c) && prefixes_are_many(t)) c->w->has_pushes = true; /* not all of a pipeline's at the end */
    }
    struct tracked_key *k = tracked_take(slice, key);
    if (k) tell_of(c->w, k, running_in(c), by_itself);
}

static void free_tracked(void *arg) { tracked_free(arg); }

/* The table of all names. */
static void empty(struct server *srv, struct tracking *t)
{
    for (unsigned i = 0; i < t->slice_count; i++) {
        struct tracked *old = t->slices[i];
        t->slices[i] = tracked_new(srv->dbs[0].hash_seed);
        if (table_count(&old->keys) < LAZY_KEYS || !srv->lazyfree) tracked_free(old);
        else lazyfree_other(srv, free_tracked, old);
    }
    interest_track(srv->dbs, srv->db_count, t->slices);
}

void tracking_flushed(struct call *c)
{
    struct tracking *t = c->srv->tracking;
    struct worker *w = c->w;
    if (likely(!t)) return;
    const struct client *running = running_in(c);
    list_for_each(it, &w->clients)
    {
        struct client *cl = list_entry(it, struct client, all);
        if (!cl->tracking || (cl->flags & CLIENT_CLOSE_NOW)) continue;
        if (cl == running) put_nothing_behind(w);
        else tell_nothing_is_true(w, cl, running);
    }
    empty(c->srv, t);
}

/* --- upkeep ------------------------------------------------------------------------------------------------------- */

void tracking_end_turn(struct worker *w)
{
    if (w->srv->tracking) prefixes_broadcast(w, w->srv->tracking, NULL);
}

void tracking_cron(struct worker *w)
{
    struct server *srv = w->srv;
    struct tracking *t = srv->tracking;
    if (likely(!t)) return;
    if (t->clients) {
        keep_bound(w, 0, NULL);
        return;
    }
    empty(srv, t);
    tracking_fini(srv);
}

void tracking_take_config(struct worker *w)
{
    const struct session *s = w->call.cmd ? w->call.session : NULL;
    if (w->srv->tracking) keep_bound(w, 0, s ? session_origin(s) : NULL);
}

struct tracking_figures tracking_figures(const struct server *srv)
{
    struct tracking_figures f = {0};
    const struct tracking *t = srv->tracking;
    if (!t) return f;
    f.clients = t->clients;
    f.keys = key_count(t);
    f.prefixes = prefixes_count(t);
    for (unsigned i = 0; i < t->slice_count; i++) {
        f.items += t->slices[i]->items;
        f.bytes += tracked_bytes(t->slices[i]);
    }
    return f;
}
