/* SPDX-License-Identifier: MIT
 *
 * The commands on single members of a sorted set: ZADD, ZINCRBY, ZREM, ZSCORE, ZRANK and so on. Ranges are in
 * zset_range.c, pops in zset_pop.c, unions and their kin in zset_ops.c. Behaviour, texts and the order of checks are
 * redis-server 7.0.15's.
 */
#include <math.h>

#include "server/cmd/zset.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/mem.h"
#include "server/types/zset.h"

/* --- ZADD, ZINCRBY ------------------------------------------------------------------------------------------------ */

enum add_done { DONE_NOTHING, DONE_ADDED, DONE_UPDATED, DONE_SAME, DONE_NAN };

#define SCORES_ON_STACK 16

/* Returns where the first score stands. */
static int parse_flags(struct call *c, unsigned *flags)
{
    static const struct {
        const char *word;
        unsigned flag;
    } words[] = {{"nx", ZSET_ADD_NX},     {"xx", ZSET_ADD_XX}, {"ch", ZSET_ADD_CH},
                 {"incr", ZSET_ADD_INCR}, {"gt", ZSET_ADD_GT}, {"lt", ZSET_ADD_LT}};
    int i = 2;
    for (; i < c->argc; i++) {
        size_t k = 0;
        while (k < sizeof words / sizeof *words && !bytes_is_word(c->argv[i], words[k].word)) k++;
        if (k == sizeof words / sizeof *words) break;
        *flags |= words[k].flag;
    }
    return i;
}

static bool check_flags(struct call *c, unsigned flags, int first)
{
    int left = c->argc - first;
    const char *err = NULL;
    if (left == 0 || left % 2) err = "ERR syntax error";
    else if ((flags & ZSET_ADD_NX) && (flags & ZSET_ADD_XX))
        err = "ERR XX and NX options at the same time are not compatible";
    else if (((flags & ZSET_ADD_GT) != 0) + ((flags & ZSET_ADD_LT) != 0) + ((flags & ZSET_ADD_NX) != 0) > 1)
        err = "ERR GT, LT, and/or NX options at the same time are not compatible";
    else if ((flags & ZSET_ADD_INCR) && left > 2) err = "ERR INCR option supports a single increment-element pair";
    if (err) call_error(c, err);
    return !err;
}

/* *score: what is asked for, then what it came to. */
static enum add_done add_one(struct zset *z, struct bytes member, double *score, unsigned flags,
                             const struct zset_rules *rules)
{
    double had;
    if (flags & ZSET_ADD_XX) {
        if (!zset_score(z, member, &had)) return DONE_NOTHING;
    } else if (zset_add(z, member, *score, &had, rules)) {
        return DONE_ADDED;
    }
    if (flags & ZSET_ADD_NX) return DONE_NOTHING;
    if (flags & ZSET_ADD_INCR) *score += had;
    if (isnan(*score)) return DONE_NAN;
    if ((flags & ZSET_ADD_LT) && *score >= had) return DONE_NOTHING;
    if ((flags & ZSET_ADD_GT) && *score <= had) return DONE_NOTHING;
    if (*score == had) return DONE_SAME;
    zset_rescore(z, member, *score);
    return DONE_UPDATED;
}

struct added {
    int64_t added, updated;
    enum add_done last;
};

static int additions_count(const struct call *c, const struct zset_additions *a)
{
    return (c->argc - a->first) / a->step;
}

static struct bytes member_at(const struct call *c, const struct zset_additions *a, int i)
{
    return c->argv[a->first + (i + 1) * a->step - 1];
}

static struct added add_each(struct call *c, struct zset *z, const struct zset_additions *a,
                             const struct zset_rules *rules)
{
    struct added n = {0};
    for (int i = 0; i < additions_count(c, a); i++) {
        n.last = add_one(z, member_at(c, a, i), &a->scores[i], a->flags, rules);
        n.added += n.last == DONE_ADDED;
        n.updated += n.last == DONE_UPDATED;
    }
    return n;
}

static void reply_added(struct call *c, const struct added *n, double score, unsigned flags)
{
    if (!(flags & ZSET_ADD_INCR)) call_integer(c, (flags & ZSET_ADD_CH) ? n->added + n->updated : n->added);
    else if (n->last == DONE_NAN) call_error(c, "ERR resulting score is not a number (NaN)");
    else if (n->last == DONE_NOTHING) reply_null(c->out);
    else reply_double(c->out, score);
}

void zset_add_scored(struct call *c, const struct zset_additions *a)
{
    const struct key_ref *key = call_key(c, 1);
    struct zset_rules rules = zset_rules(c->cfg, c->db->hash_seed);
    struct db_edit edit;
    bool is_there = db_edit_begin(c, key, &edit);
    if (is_there && call_wrong_type(c, edit.e, OBJ_ZSET)) return;
    struct added n = {0};
    if (!is_there && (a->flags & ZSET_ADD_XX)) {
        reply_added(c, &n, 0, a->flags);
        return;
    }

    size_t count = (size_t)additions_count(c, a);
    struct zset z = is_there ? zset_of(edit.e) : zset_new(count, member_at(c, a, 0).n, &rules);
    if (is_there) zset_expect(&z, count, &rules);
    n = add_each(c, &z, a, &rules);
    if (is_there) db_edit_store(&edit, z.enc, &z.p);
    else db_put_value(c, key, zset_value(&z), -1, 0);
    reply_added(c, &n, a->scores[0], a->flags);
    if (n.added + n.updated == 0) return;
    db_changed(c, key, NOTIFY_ZSET, (a->flags & ZSET_ADD_INCR) ? "zincr" : "zadd");
    c->dirty += n.added + n.updated - 1;
}

static void add(struct call *c, unsigned flags)
{
    int first = parse_flags(c, &flags);
    if (!check_flags(c, flags, first)) return;
    size_t pairs = (size_t)(c->argc - first) / 2;
    double on_stack[SCORES_ON_STACK];
    double *scores = pairs <= SCORES_ON_STACK ? on_stack : mem_alloc(pairs * sizeof *scores);
    size_t i = 0;
    while (i < pairs && call_double(c, c->argv[(size_t)first + 2 * i], &scores[i], NULL)) i++;
    if (i == pairs) zset_add_scored(c, &(struct zset_additions){scores, first, 2, flags});
    if (scores != on_stack) mem_free(scores);
}

void cmd_zadd(struct call *c) { add(c, 0); }
void cmd_zincrby(struct call *c) { add(c, ZSET_ADD_INCR); }

/* --- ZREM --------------------------------------------------------------------------------------------------------- */

void cmd_zrem(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    struct db_edit edit;
    if (!db_edit_begin(c, key, &edit)) {
        call_integer(c, 0);
        return;
    }
    if (call_wrong_type(c, edit.e, OBJ_ZSET)) return;

    struct zset z = zset_of(edit.e);
    int64_t removed = 0;
    for (int i = 2; i < c->argc && zset_count(&z); i++) removed += zset_remove(&z, c->argv[i]);
    db_edit_store(&edit, z.enc, &z.p);
    if (removed) {
        bool emptied = zset_count(&z) == 0;
        if (emptied) db_delete(c, key);
        db_changed(c, key, NOTIFY_ZSET, "zrem");
        c->dirty += removed - 1;
        if (emptied) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
    }
    call_integer(c, removed);
}

/* --- asked -------------------------------------------------------------------------------------------------------- */

void cmd_zcard(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_ZSET)) return;
    struct zset z;
    if (e) z = zset_of(e);
    call_integer(c, e ? (int64_t)zset_count(&z) : 0);
}

void cmd_zscore(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_ZSET)) return;
    struct zset z;
    if (e) z = zset_of(e);
    double score;
    if (e && zset_score(&z, c->argv[2], &score)) reply_double(c->out, score);
    else reply_null(c->out);
}

void cmd_zmscore(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_ZSET)) return;
    struct zset z;
    if (e) z = zset_of(e);
    reply_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        double score;
        if (e && zset_score(&z, c->argv[i], &score)) reply_double(c->out, score);
        else reply_null(c->out);
    }
}

static void reply_rank(struct call *c, bool reverse)
{
    bool with_score = c->argc == 4;
    if (c->argc > 4) {
        call_arity_error(c);
        return;
    }
    if (with_score && !bytes_is_word(c->argv[3], "withscore")) {
        call_syntax_error(c);
        return;
    }
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_ZSET)) return;
    struct zset z;
    if (e) z = zset_of(e);
    size_t rank;
    if (!e || !zset_rank(&z, c->argv[2], &rank)) {
        if (with_score) reply_null_array(c->out);
        else reply_null(c->out);
        return;
    }
    if (with_score) reply_array(c->out, 2);
    call_integer(c, (int64_t)(reverse ? zset_count(&z) - 1 - rank : rank));
    double score;
    if (with_score && zset_score(&z, c->argv[2], &score)) reply_double(c->out, score);
}

void cmd_zrank(struct call *c) { reply_rank(c, false); }
void cmd_zrevrank(struct call *c) { reply_rank(c, true); }
