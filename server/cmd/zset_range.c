/* SPDX-License-Identifier: MIT
 *
 * ZRANGE and all that came before it, ZRANGESTORE, ZREMRANGEBY*, ZCOUNT, ZLEXCOUNT. Whatever a range is given by, it
 * becomes a span of ranks first; LIMIT and REV are arithmetic on it, and the rest costs what the result is long.
 */
#include "server/cmd/zset_bounds.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/types/zset.h"

enum range_by { BY_AUTO, BY_RANK, BY_SCORE, BY_LEX };
enum zset_direction { DIRECTION_AUTO, FORWARD, REVERSE };

struct zset_range {
    enum range_by by;
    enum zset_direction direction;
    bool with_scores;
    int64_t start, stop; /* BY_RANK */
    struct ztree_score_range score;
    struct ztree_lex_range lex;
    int64_t offset, limit; /* limit < 0: all */
};

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static bool parse_options(struct call *c, int first, bool to_key, struct zset_range *r)
{
    for (int i = first; i < c->argc; i++) {
        struct bytes w = c->argv[i];
        if (!to_key && bytes_is_word(w, "withscores")) {
            r->with_scores = true;
        } else if (bytes_is_word(w, "limit") && i + 2 < c->argc) {
            if (!call_int(c, c->argv[i + 1], &r->offset) || !call_int(c, c->argv[i + 2], &r->limit)) return false;
            i += 2;
        } else if (r->direction == DIRECTION_AUTO && bytes_is_word(w, "rev")) {
            r->direction = REVERSE;
        } else if (r->by == BY_AUTO && bytes_is_word(w, "bylex")) {
            r->by = BY_LEX;
        } else if (r->by == BY_AUTO && bytes_is_word(w, "byscore")) {
            r->by = BY_SCORE;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    if (r->direction == DIRECTION_AUTO) r->direction = FORWARD;
    if (r->by == BY_AUTO) r->by = BY_RANK;
    const char *err = NULL;
    if (r->limit != -1 && r->by == BY_RANK) {
        err = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
    } else if (r->with_scores && r->by == BY_LEX) {
        err = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    }
    if (err) call_error(c, err);
    return !err;
}

static bool parse_bounds(struct call *c, struct bytes min, struct bytes max, struct zset_range *r)
{
    switch (r->by) {
    case BY_SCORE: return zset_score_bounds(c, min, max, &r->score);
    case BY_LEX: return zset_lex_bounds(c, min, max, &r->lex);
    default: return call_int(c, min, &r->start) && call_int(c, max, &r->stop);
    }
}

/* --- spans -------------------------------------------------------------------------------------------------------- */

/* start and stop may be anything; the span comes out empty or within the sorted set. */
static struct ztree_span rank_span(int64_t start, int64_t stop, size_t size, bool reverse)
{
    int64_t n = (int64_t)size;
    if (start < 0) start += n;
    if (stop < 0) stop += n;
    if (start < 0) start = 0;
    if (start > stop || start >= n) return (struct ztree_span){0, 0};
    if (stop >= n) stop = n - 1;
    if (reverse) return (struct ztree_span){(size_t)(n - 1 - stop), (size_t)(n - start)};
    return (struct ztree_span){(size_t)start, (size_t)(stop + 1)};
}

static struct ztree_span limited(struct ztree_span span, int64_t offset, int64_t limit, bool reverse)
{
    size_t n = span.end - span.start;
    if (offset < 0 || (uint64_t)offset >= n) return (struct ztree_span){0, 0};
    n -= (size_t)offset;
    if (limit >= 0 && (uint64_t)limit < n) n = (size_t)limit;
    if (reverse) return (struct ztree_span){span.end - (size_t)offset - n, span.end - (size_t)offset};
    return (struct ztree_span){span.start + (size_t)offset, span.start + (size_t)offset + n};
}

static struct ztree_span span_of(const struct zset *z, const struct zset_range *r)
{
    bool reverse = r->direction == REVERSE;
    switch (r->by) {
    case BY_SCORE: return limited(zset_score_span(z, &r->score), r->offset, r->limit, reverse);
    case BY_LEX: return limited(zset_lex_span(z, &r->lex, reverse), r->offset, r->limit, reverse);
    default: return rank_span(r->start, r->stop, zset_count(z), reverse);
    }
}

/* --- read --------------------------------------------------------------------------------------------------------- */

static void reply_span(struct call *c, const struct zset *z, struct ztree_span span, bool reverse, bool with_scores)
{
    size_t n = span.end - span.start;
    bool nested = with_scores && c->out->proto > 2;
    struct zset_iter it;
    reply_array(c->out, with_scores && !nested ? n * 2 : n);
    zset_iter_init(&it, z, span, reverse);
    while (zset_iter_next(&it)) {
        if (nested) reply_array(c->out, 2);
        call_bulk(c, it.member);
        if (with_scores) reply_double(c->out, zset_iter_score(&it));
    }
}

/* The same members in order, whichever way they were asked for. */
static struct zset copy_of_span(struct call *c, const struct zset *z, struct ztree_span span)
{
    struct zset_rules rules = zset_rules(c->cfg, c->db->hash_seed);
    struct zset copy = zset_new(span.end - span.start, 0, &rules);
    struct zset_iter it;
    zset_iter_init(&it, z, span, false);
    while (zset_iter_next(&it)) zset_append(&copy, it.member, zset_iter_score(&it), &rules);
    return copy;
}

static void store_span(struct call *c, const struct key_ref *to, const struct zset *z, struct ztree_span span)
{
    size_t n = span.end - span.start;
    if (n) {
        struct zset copy = copy_of_span(c, z, span);
        db_put_value(c, to, zset_value(&copy), -1, 0);
        db_changed(c, to, NOTIFY_ZSET, "zrangestore");
    } else if (db_delete(c, to)) {
        db_changed(c, to, NOTIFY_GENERIC, "del");
    }
    call_integer(c, (int64_t)n);
}

static void range(struct call *c, int key, bool to_key, enum range_by by, enum zset_direction direction)
{
    struct zset_range r = {.by = by, .direction = direction, .limit = -1};
    if (!parse_options(c, key + 3, to_key, &r)) return;
    bool reverse = r.direction == REVERSE, max_first = reverse && r.by != BY_RANK;
    if (!parse_bounds(c, c->argv[key + (max_first ? 2 : 1)], c->argv[key + (max_first ? 1 : 2)], &r)) return;

    const struct entry *e = db_lookup_read(c, call_key(c, key));
    if (e && call_wrong_type(c, e, OBJ_ZSET)) return;
    struct zset z = {0};
    struct ztree_span span = {0, 0};
    if (e) {
        z = zset_of(e);
        span = span_of(&z, &r);
    }
    if (to_key) store_span(c, call_key(c, 1), &z, span);
    else if (e) reply_span(c, &z, span, reverse, r.with_scores);
    else reply_array(c->out, 0);
}

void cmd_zrange(struct call *c) { range(c, 1, false, BY_AUTO, DIRECTION_AUTO); }
void cmd_zrangestore(struct call *c) { range(c, 2, true, BY_AUTO, DIRECTION_AUTO); }
void cmd_zrevrange(struct call *c) { range(c, 1, false, BY_RANK, REVERSE); }
void cmd_zrangebyscore(struct call *c) { range(c, 1, false, BY_SCORE, FORWARD); }
void cmd_zrevrangebyscore(struct call *c) { range(c, 1, false, BY_SCORE, REVERSE); }
void cmd_zrangebylex(struct call *c) { range(c, 1, false, BY_LEX, FORWARD); }
void cmd_zrevrangebylex(struct call *c) { range(c, 1, false, BY_LEX, REVERSE); }

/* --- counted ------------------------------------------------------------------------------------------------------ */

static void count(struct call *c, enum range_by by)
{
    struct zset_range r = {.by = by, .direction = FORWARD, .limit = -1};
    if (!parse_bounds(c, c->argv[2], c->argv[3], &r)) return;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_ZSET)) return;
    struct ztree_span span = {0, 0};
    if (e) {
        struct zset z = zset_of(e);
        span = span_of(&z, &r);
    }
    call_integer(c, (int64_t)(span.end - span.start));
}

void cmd_zcount(struct call *c) { count(c, BY_SCORE); }
void cmd_zlexcount(struct call *c) { count(c, BY_LEX); }

/* --- removed ------------------------------------------------------------------------------------------------------ */

static void remove_range(struct call *c, enum range_by by, const char *event)
{
    const struct key_ref *key = call_key(c, 1);
    struct zset_range r = {.by = by, .direction = FORWARD, .limit = -1};
    if (!parse_bounds(c, c->argv[2], c->argv[3], &r)) return;
    struct db_edit edit;
    if (!db_edit_begin(c, key, &edit)) {
        call_integer(c, 0);
        return;
    }
    if (call_wrong_type(c, edit.e, OBJ_ZSET)) return;

    struct zset z = zset_of(edit.e);
    struct ztree_span span = span_of(&z, &r);
    size_t removed = span.end - span.start;
    bool all = removed == zset_count(&z);
    call_integer(c, (int64_t)removed);
    if (!removed) return;
    if (all) {
        db_delete(c, key);
    } else {
        zset_delete_span(&z, span);
        db_edit_store(&edit, z.enc, &z.p);
    }
    db_changed(c, key, NOTIFY_ZSET, event);
    c->dirty += (int64_t)removed - 1;
    if (all) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
}

void cmd_zremrangebyrank(struct call *c) { remove_range(c, BY_RANK, "zremrangebyrank"); }
void cmd_zremrangebyscore(struct call *c) { remove_range(c, BY_SCORE, "zremrangebyscore"); }
void cmd_zremrangebylex(struct call *c) { remove_range(c, BY_LEX, "zremrangebylex"); }
