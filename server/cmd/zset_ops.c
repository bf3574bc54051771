/* SPDX-License-Identifier: MIT
 *
 * ZUNION, ZINTER, ZDIFF, their STORE forms and ZINTERCARD, over sorted sets and sets (whose members score 1). A missing
 * key is empty.
 *
 * Sums of floating-point numbers depend on their order: the keys are taken from the smallest to the largest, as Redis
 * does, so that the last digit comes out alike. What has no sum (inf - inf) or product (0 * inf) is 0.
 */
#include <math.h>
#include <stdlib.h>

#include "server/cmd/zset_result.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/mem.h"
#include "server/types/set.h"
#include "server/types/zset.h"

enum zop { UNION, INTER, DIFF };
enum aggregate { SUM, MIN, MAX };

/* --- sources ------------------------------------------------------------------------------------------------------ */

struct zset_source {
    const struct entry *e; /* NULL: no such key */
    union {
        struct set set;
        struct zset zset;
    };
    bool is_set;
    double weight;
    size_t count, position; /* position among the keys: equals stay in order */
};

static int by_count(const void *a, const void *b)
{
    const struct zset_source *x = a, *y = b;
    if (x->count != y->count) return x->count < y->count ? -1 : 1;
    return x->position < y->position ? -1 : 1;
}

static int by_count_down(const void *a, const void *b)
{
    const struct zset_source *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return x->position < y->position ? -1 : 1;
}

static bool source_score(const struct zset_source *s, struct bytes member, double *score)
{
    if (!s->count) return false;
    if (!s->is_set) return zset_score(&s->zset, member, score);
    *score = 1;
    return set_has(&s->set, member);
}

struct source_iter {
    struct bytes member;
    double score;
    bool lasting; /* the member's bytes stay where they are */
    const struct zset_source *s;
    union {
        struct set_iter set;
        struct zset_iter zset;
    };
};

static void iter_init(struct source_iter *it, const struct zset_source *s)
{
    it->s = s;
    if (!s->count) return;
    if (s->is_set) set_iter_init(&it->set, &s->set);
    else zset_iter_init(&it->zset, &s->zset, zset_whole(&s->zset), false);
}

static bool iter_next(struct source_iter *it)
{
    if (!it->s->count) return false;
    if (it->s->is_set) {
        if (!set_iter_next(&it->set)) return false;
        it->member = it->set.member;
        it->score = 1;
        it->lasting = it->member.p != it->set.buf;
        return true;
    }
    if (!zset_iter_next(&it->zset)) return false;
    it->member = it->zset.member;
    it->score = zset_iter_score(&it->zset);
    it->lasting = it->member.p != it->zset.buf;
    return true;
}

static void iter_fini(struct source_iter *it)
{
    if (it->s->count && it->s->is_set) set_iter_fini(&it->set);
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

struct zargs {
    enum zop op;
    bool to_key, count_only;
    struct zset_source *src;
    size_t count;
    enum aggregate aggregate;
    bool with_scores;
    int64_t limit; /* 0: none */
};

/* NULL: an error was replied. */
static struct zset_source *look_up(struct call *c, int first, size_t count)
{
    struct zset_source *src = mem_calloc(count * sizeof *src);
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = db_lookup_read(c, call_key(c, first + (int)i));
        src[i].position = i;
        src[i].weight = 1;
        if (!e) continue;
        if (e->type != OBJ_SET && call_wrong_type(c, e, OBJ_ZSET)) {
            mem_free(src);
            return NULL;
        }
        src[i].e = e;
        src[i].is_set = e->type == OBJ_SET;
        if (src[i].is_set) src[i].set = set_of(e);
        else src[i].zset = zset_of(e);
        src[i].count = value_elements(e);
    }
    return src;
}

static bool parse_aggregate(struct call *c, struct bytes word, enum aggregate *out)
{
    if (bytes_is_word(word, "sum")) *out = SUM;
    else if (bytes_is_word(word, "min")) *out = MIN;
    else if (bytes_is_word(word, "max")) *out = MAX;
    else {
        call_syntax_error(c);
        return false;
    }
    return true;
}

static bool parse_options(struct call *c, int i, struct zargs *a)
{
    bool weighs = a->op != DIFF && !a->count_only;
    while (i < c->argc) {
        struct bytes w = c->argv[i];
        size_t left = (size_t)(c->argc - i - 1);
        if (weighs && left >= a->count && bytes_is_word(w, "weights")) {
            i++;
            for (size_t k = 0; k < a->count; k++) {
                if (!call_double(c, c->argv[i++], &a->src[k].weight, "ERR weight value is not a float")) return false;
            }
        } else if (weighs && left >= 1 && bytes_is_word(w, "aggregate")) {
            if (!parse_aggregate(c, c->argv[i + 1], &a->aggregate)) return false;
            i += 2;
        } else if (!a->to_key && !a->count_only && bytes_is_word(w, "withscores")) {
            a->with_scores = true;
            i++;
        } else if (a->count_only && left >= 1 && bytes_is_word(w, "limit")) {
            if (!call_positive(c, c->argv[i + 1], &a->limit, "ERR LIMIT can't be negative")) return false;
            i += 2;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

/* numkeys and the keys. */
static bool parse_keys(struct call *c, int at, struct zargs *a)
{
    int64_t count;
    if (!call_int(c, c->argv[at], &count)) return false;
    if (count < 1) {
        call_errorf(c, "ERR at least 1 input key is needed for '%s' command", c->cmd->full_name);
        return false;
    }
    if (count > c->argc - at - 1) {
        call_syntax_error(c);
        return false;
    }
    a->count = (size_t)count;
    a->src = look_up(c, at + 1, a->count);
    return a->src != NULL;
}

/* --- results ------------------------------------------------------------------------------------------------------ */

static double combine(double a, double b, enum aggregate how)
{
    if (how == MIN) return b < a ? b : a;
    if (how == MAX) return b > a ? b : a;
    return isnan(a + b) ? 0 : a + b;
}

static double weighted(double score, double weight)
{
    double v = weight * score;
    return isnan(v) ? 0 : v;
}

static void unite(const struct zargs *a, struct zset_result *r)
{
    for (size_t i = 0; i < a->count; i++) {
        struct source_iter it;
        iter_init(&it, &a->src[i]);
        while (iter_next(&it)) {
            bool added;
            double score = weighted(it.score, a->src[i].weight);
            struct zset_item *item = zset_result_find_or_add(r, it.member, it.lasting, score, &added);
            if (!added) item->score = combine(item->score, score, a->aggregate);
        }
        iter_fini(&it);
    }
}

/* All sources have the member: *score becomes what it comes to. */
static bool in_all(const struct zargs *a, struct bytes member, double *score)
{
    double sum = weighted(*score, a->src[0].weight), there;
    for (size_t i = 1; i < a->count; i++) {
        if (!source_score(&a->src[i], member, &there)) return false;
        sum = combine(sum, there * a->src[i].weight, a->aggregate);
    }
    *score = sum;
    return true;
}

/* Returns how many there are, at most `limit`. */
static size_t intersect(const struct zargs *a, struct zset_result *r, size_t limit)
{
    size_t found = 0;
    struct source_iter it;
    iter_init(&it, &a->src[0]);
    while (found < limit && iter_next(&it)) {
        double score = it.score;
        if (!in_all(a, it.member, &score)) continue;
        found++;
        if (!a->count_only) zset_result_add(r, it.member, it.lasting, score);
    }
    iter_fini(&it);
    return found;
}

static void subtract_by_looking_up(const struct zargs *a, struct zset_result *r)
{
    struct source_iter it;
    qsort(a->src + 1, a->count - 1, sizeof *a->src, by_count_down);
    iter_init(&it, &a->src[0]);
    while (iter_next(&it)) {
        size_t i = 1;
        double score;
        while (i < a->count && !source_score(&a->src[i], it.member, &score)) i++;
        if (i == a->count) zset_result_add(r, it.member, it.lasting, it.score);
    }
    iter_fini(&it);
}

static void subtract_by_removing(const struct zargs *a, struct zset_result *r)
{
    for (size_t i = 0; i < a->count && (i == 0 || r->live); i++) {
        struct source_iter it;
        iter_init(&it, &a->src[i]);
        while ((i == 0 || r->live) && iter_next(&it)) {
            if (i == 0) {
                zset_result_add(r, it.member, it.lasting, it.score);
                continue;
            }
            struct zset_item *item = zset_result_find(r, it.member);
            if (item) zset_result_drop(r, item);
        }
        iter_fini(&it);
    }
}

enum diff_way { DIFF_NOTHING, DIFF_LOOK_UP, DIFF_REMOVE };

static enum diff_way diff_way(const struct zargs *a)
{
    uint64_t looked_up = 0, removed = 0;
    for (size_t i = 0; i < a->count; i++) {
        if (i && a->src[i].e == a->src[0].e) return DIFF_NOTHING; /* the same key again, or both missing */
        looked_up += a->src[0].count;
        removed += a->src[i].count;
    }
    /* Looking up costs less than building and taking out, hence the half. */
    return looked_up / 2 <= removed ? DIFF_LOOK_UP : DIFF_REMOVE;
}

static void compute(const struct zargs *a, struct zset_result *r, uint64_t seed)
{
    enum diff_way way = a->op == DIFF ? diff_way(a) : DIFF_NOTHING;
    zset_result_init(r, a->op == UNION || way == DIFF_REMOVE, seed);
    if (a->op == UNION) unite(a, r);
    else if (a->op == INTER) intersect(a, r, SIZE_MAX);
    else if (way == DIFF_LOOK_UP) subtract_by_looking_up(a, r);
    else if (way == DIFF_REMOVE) subtract_by_removing(a, r);
    zset_result_sort(r);
}

/* --- the commands ------------------------------------------------------------------------------------------------- */

static void reply_result(struct call *c, const struct zset_result *r, bool with_scores)
{
    bool nested = with_scores && c->out->proto > 2;
    reply_array(c->out, with_scores && !nested ? r->count * 2 : r->count);
    for (size_t i = 0; i < r->count; i++) {
        if (nested) reply_array(c->out, 2);
        call_bulk(c, r->items[i]->member);
        if (with_scores) reply_double(c->out, r->items[i]->score);
    }
}

static void store_result(struct call *c, const struct zset_result *r, enum zop op)
{
    static const char *const events[] = {[UNION] = "zunionstore", [INTER] = "zinterstore", [DIFF] = "zdiffstore"};
    struct zset_rules rules = zset_rules(c->cfg, c->db->hash_seed);
    const struct key_ref *key = call_key(c, 1);
    if (r->count) {
        size_t longest = 0;
        for (size_t i = 0; i < r->count; i++)
            if (r->items[i]->member.n > longest) longest = r->items[i]->member.n;
        struct zset z = zset_new(r->count, longest, &rules);
        for (size_t i = 0; i < r->count; i++) zset_append(&z, r->items[i]->member, r->items[i]->score, &rules);
        db_put_value(c, key, zset_value(&z), -1, 0);
        db_changed(c, key, NOTIFY_ZSET, events[op]);
    } else if (db_delete(c, key)) {
        db_changed(c, key, NOTIFY_GENERIC, "del");
    }
    call_integer(c, (int64_t)r->count);
}

static void operation_run(struct call *c, struct zargs *a)
{
    if (a->op != DIFF) qsort(a->src, a->count, sizeof *a->src, by_count);
    if (a->count_only) {
        call_integer(c, (int64_t)intersect(a, NULL, a->limit ? (size_t)a->limit : SIZE_MAX));
        return;
    }
    struct zset_result r;
    compute(a, &r, c->db->hash_seed);
    if (a->to_key) store_result(c, &r, a->op);
    else reply_result(c, &r, a->with_scores);
    zset_result_fini(&r);
}

static void operate(struct call *c, struct zargs a)
{
    int at = a.to_key ? 2 : 1;
    if (!parse_keys(c, at, &a)) return;
    if (parse_options(c, at + 1 + (int)a.count, &a)) operation_run(c, &a);
    mem_free(a.src);
}

void cmd_zunion(struct call *c) { operate(c, (struct zargs){.op = UNION}); }
void cmd_zinter(struct call *c) { operate(c, (struct zargs){.op = INTER}); }
void cmd_zdiff(struct call *c) { operate(c, (struct zargs){.op = DIFF}); }
void cmd_zunionstore(struct call *c) { operate(c, (struct zargs){.op = UNION, .to_key = true}); }
void cmd_zinterstore(struct call *c) { operate(c, (struct zargs){.op = INTER, .to_key = true}); }
void cmd_zdiffstore(struct call *c) { operate(c, (struct zargs){.op = DIFF, .to_key = true}); }
void cmd_zintercard(struct call *c) { operate(c, (struct zargs){.op = INTER, .count_only = true}); }
