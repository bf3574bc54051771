/* SPDX-License-Identifier: MIT
 *
 * What one consumer has pending becomes another's: XCLAIM, XAUTOCLAIM. What is pending of an entry that is no more is
 * forgotten on the way. Each change is propagated as an XCLAIM that says everything.
 */
#include "server/cmd/stream.h"
#include "server/exec/session.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/mem.h"

/* The stream and group of argv[1] and argv[2]; false: an error was replied. */
static bool group_to_claim_from(struct call *c, struct xstream **s, struct stream_group **g)
{
    struct entry *e = db_lookup_update(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_STREAM)) return false;
    *s = e ? stream_of(e) : NULL;
    *g = e ? stream_group_find(*s, c->argv[2]) : NULL;
    if (!*g) stream_no_group(c, c->argv[1], c->argv[2], "");
    return *g != NULL;
}

static bool idle_arg(struct call *c, const char *why, int64_t *ms)
{
    if (!call_int_range(c, c->argv[4], INT64_MIN, INT64_MAX, ms, why)) return false;
    if (*ms < 0) *ms = 0;
    return true;
}

static bool is_too_fresh(const struct call *c, const struct stream_nack *n, int64_t idle_min)
{
    return idle_min && (int64_t)((uint64_t)c->now_ms - (uint64_t)n->delivered_ms) < idle_min;
}

static void reply_claimed(struct call *c, const struct xstream *s, struct stream_id id, bool just_id)
{
    if (just_id) stream_reply_id(c, id);
    else stream_reply_one(c, s, id);
}

/* The entry is no more. */
static void forget(struct call *c, struct stream_group *g, struct stream_id id, struct bytes id_text,
                   struct stream_nack *n)
{
    stream_effect_claim(c, c->argv[1], g, id_text, n);
    c->dirty++;
    stream_nack_remove(g, id, n);
}

/* --- XCLAIM ------------------------------------------------------------------------------------------------------- */

struct claim_args {
    struct xstream *s;
    struct stream_group *g;
    struct stream_consumer *consumer;
    int64_t idle_min, delivered_ms, retries; /* -1: not given */
    struct stream_id last;
    bool force, just_id;
    int last_id_arg; /* argv[5] … */
};

/* The option at argv[*i], which moves on to its argument. */
static bool parse_option(struct call *c, struct claim_args *k, int *i)
{
    struct bytes word = c->argv[*i];
    bool more = *i + 1 < c->argc;
    if (bytes_is_word(word, "force")) return k->force = true;
    if (bytes_is_word(word, "justid")) return k->just_id = true;
    if (more && bytes_is_word(word, "idle")) {
        int64_t idle;
        if (!call_int_range(c, c->argv[++*i], INT64_MIN, INT64_MAX, &idle,
                            "ERR Invalid IDLE option argument for XCLAIM"))
            return false;
        k->delivered_ms = (int64_t)((uint64_t)c->now_ms - (uint64_t)idle);
        return true;
    }
    if (more && bytes_is_word(word, "time"))
        return call_int_range(c, c->argv[++*i], INT64_MIN, INT64_MAX, &k->delivered_ms,
                              "ERR Invalid TIME option argument for XCLAIM");
    if (more && bytes_is_word(word, "retrycount"))
        return call_int_range(c, c->argv[++*i], INT64_MIN, INT64_MAX, &k->retries,
                              "ERR Invalid RETRYCOUNT option argument for XCLAIM");
    if (more && bytes_is_word(word, "lastid")) return stream_id_arg(c, c->argv[++*i], &k->last);
    c->failed = true;
    reply_errorf(c->out, "Unrecognized XCLAIM option '%.*s'", (int)word.n, word.p);
    return false;
}

static bool parse_claim(struct call *c, struct claim_args *k)
{
    if (!idle_arg(c, "ERR Invalid min-idle-time argument for XCLAIM", &k->idle_min)) return false;
    struct stream_id id;
    int i = 5;
    while (i < c->argc && stream_id_parse(c->argv[i], 0, &id, NULL)) i++;
    k->last_id_arg = i - 1;
    for (; i < c->argc; i++)
        if (!parse_option(c, k, &i)) return false;
    /* A time that cannot be is now; but our primary's clock may be ahead of ours, and what it says has happened. */
    bool is_ahead = k->delivered_ms > c->now_ms && !session_is_primary(c->session);
    if (k->delivered_ms < 0 || is_ahead) k->delivered_ms = c->now_ms;
    return true;
}

/* False: the entry is not claimed. */
static bool claim_one(struct call *c, const struct claim_args *k, struct stream_id id, struct bytes id_text, bool *told)
{
    struct stream_nack *n = stream_nack_find(k->g, id);
    if (!xstream_has(k->s, id)) {
        if (!n) return false;
        forget(c, k->g, id, id_text, n);
        *told = true;
        return false;
    }
    if (!n && !k->force) return false;
    if (n && is_too_fresh(c, n, k->idle_min)) return false;
    if (!n) n = stream_nack_add(k->g, id, k->delivered_ms);
    n->delivered_ms = k->delivered_ms;
    if (k->retries >= 0) n->deliveries = (uint64_t)k->retries;
    else if (!k->just_id) n->deliveries++;
    stream_nack_give(n, id, k->consumer);
    reply_claimed(c, k->s, id, k->just_id);
    k->consumer->active_ms = c->now_ms;
    stream_effect_claim(c, c->argv[1], k->g, id_text, n);
    c->dirty++;
    *told = true;
    return true;
}

/* An XREADGROUP is told as one of these for each entry: how many were read counts here as it did there. */
static void take_last(const struct claim_args *k)
{
    if (k->force && k->just_id && xstream_has(k->s, k->last)) stream_group_passed(k->s, k->g, k->last);
    else k->g->last = k->last;
}

void cmd_xclaim(struct call *c)
{
    struct claim_args k = {.delivered_ms = -1, .retries = -1};
    if (!group_to_claim_from(c, &k.s, &k.g) || !parse_claim(c, &k)) return;
    bool moved = stream_id_compare(k.last, k.g->last) > 0, made, told = false;
    if (moved) take_last(&k);
    k.consumer = stream_consumer_of(c, call_key(c, 1), k.g, c->argv[3], &made);

    size_t n = 0;
    struct reply_mark mark = reply_defer(c->out);
    for (int i = 5; i <= k.last_id_arg; i++) {
        struct stream_id id = {0};
        stream_id_parse(c->argv[i], 0, &id, NULL);
        n += claim_one(c, &k, id, c->argv[i], &told);
    }
    if (moved && !told) {
        stream_effect_group_id(c, c->argv[1], k.g);
        c->dirty++;
    }
    if (made && !n) stream_effect_consumer(c, c->argv[1], k.g, k.consumer); /* Redis's replicas do not hear of it */
    reply_defer_array(c->out, mark, n);
    effect_none(c);
}

/* --- XAUTOCLAIM --------------------------------------------------------------------------------------------------- */

#define ATTEMPTS  10 /* pending entries that are looked at for one that is asked for */
#define COUNT_MAX (INT64_MAX / (int64_t)sizeof(struct stream_id))

struct auto_claim {
    struct claim_args k;
    struct stream_id from;
    int64_t count;
};

static bool parse_auto(struct call *c, struct auto_claim *a)
{
    if (!idle_arg(c, "ERR Invalid min-idle-time argument for XAUTOCLAIM", &a->k.idle_min)) return false;
    if (!stream_from_arg(c, c->argv[5], &a->from)) return false;
    for (int i = 6; i < c->argc; i++) {
        if (i + 1 < c->argc && bytes_is_word(c->argv[i], "count")) {
            if (!call_int_range(c, c->argv[++i], 1, COUNT_MAX, &a->count, "ERR COUNT must be > 0")) return false;
        } else if (bytes_is_word(c->argv[i], "justid")) {
            a->k.just_id = true;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* What is to be done is known before it is done: the reply begins with where the next call goes on. */
static struct stream_id find_end(struct call *c, const struct auto_claim *a, size_t *steps)
{
    struct btree_pos p = btree_at_least(&a->k.g->pending, stream_id_key(a->from), NULL);
    int64_t attempts = a->count * ATTEMPTS, count = a->count;
    for (*steps = 0; p.leaf && attempts && count; p = btree_next(p), attempts--, ++*steps)
        if (!is_too_fresh(c, btree_slot(p)->value, a->k.idle_min) ||
            !xstream_has(a->k.s, stream_id_of_key(btree_slot(p)->key)))
            count--;
    return p.leaf ? stream_id_of_key(btree_slot(p)->key) : (struct stream_id){0};
}

struct id_list {
    struct stream_id *v;
    size_t count, cap;
};

static void list_id(struct id_list *l, struct stream_id id)
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->v = mem_realloc(l->v, l->cap * sizeof *l->v);
    }
    l->v[l->count++] = id;
}

static size_t claim_steps(struct call *c, const struct auto_claim *a, size_t steps, struct id_list *gone)
{
    size_t n = 0;
    struct stream_id id = a->from;
    for (; steps; steps--, stream_id_increment(&id)) {
        struct btree_pos p = btree_at_least(&a->k.g->pending, stream_id_key(id), NULL);
        struct stream_nack *nack = btree_slot(p)->value;
        id = stream_id_of_key(btree_slot(p)->key);
        char text[STREAM_ID_TEXT_SIZE];
        struct bytes id_text = bytes_of(text, stream_id_format(text, id));
        if (!xstream_has(a->k.s, id)) {
            forget(c, a->k.g, id, id_text, nack);
            list_id(gone, id);
            continue;
        }
        if (is_too_fresh(c, nack, a->k.idle_min)) continue;
        nack->delivered_ms = c->now_ms;
        if (!a->k.just_id) nack->deliveries++;
        stream_nack_give(nack, id, a->k.consumer);
        reply_claimed(c, a->k.s, id, a->k.just_id);
        n++;
        a->k.consumer->active_ms = c->now_ms;
        stream_effect_claim(c, c->argv[1], a->k.g, id_text, nack);
        c->dirty++;
    }
    return n;
}

void cmd_xautoclaim(struct call *c)
{
    struct auto_claim a = {.count = 100};
    if (!parse_auto(c, &a) || !group_to_claim_from(c, &a.k.s, &a.k.g)) return;
    bool made;
    size_t steps;
    struct id_list gone = {0};
    a.k.consumer = stream_consumer_of(c, call_key(c, 1), a.k.g, c->argv[3], &made);
    reply_array(c->out, 3);
    stream_reply_id(c, find_end(c, &a, &steps));
    struct reply_mark mark = reply_defer(c->out);
    size_t n = claim_steps(c, &a, steps, &gone);
    if (made && !n) stream_effect_consumer(c, c->argv[1], a.k.g, a.k.consumer);
    reply_defer_array(c->out, mark, n);
    reply_array(c->out, gone.count);
    for (size_t i = 0; i < gone.count; i++) stream_reply_id(c, gone.v[i]);
    mem_free(gone.v);
    effect_none(c);
}
