/* SPDX-License-Identifier: MIT
 *
 * One pass, which never goes further than the listpack has elements: counts are believed only as far as there is
 * something behind them.
 */
#include "server/rdb/stream_node.h"

#define FLAG_DELETED     1
#define FLAG_SAME_FIELDS 2
#define FRAME            3 /* elements of an entry beside its fields: flags and the ID */

struct stream_node {
    const unsigned char *at;    /* the next element */
    const unsigned char *names; /* the fields that entries share */
    int64_t shared;             /* how many */
    uint64_t ms, seq;           /* the node's ID */
    const struct stream_visitor *v;
};

static bool get_int(struct stream_node *n, int64_t *out)
{
    struct lp_value v;
    return lp_walk(&n->at, &v) && lp_value_i64(v, out);
}

static bool get_count(struct stream_node *n, int64_t *out) { return get_int(n, out) && *out >= 0; }

static bool skip(struct stream_node *n, int64_t count)
{
    struct lp_value v;
    for (; count; count--)
        if (!lp_walk(&n->at, &v)) return false;
    return true;
}

/* Of an entry: values of the shared fields, or (names NULL) names and values. */
static bool walk_fields(struct stream_node *n, const unsigned char *names, int64_t count, bool shown)
{
    struct lp_value name, value;
    bool own = !names;
    for (; count; count--) {
        if (!lp_walk(own ? &n->at : &names, &name) || !lp_walk(&n->at, &value)) return false;
        if (shown) n->v->field(n->v->arg, name, value);
    }
    return true;
}

static bool walk_entry(struct stream_node *n)
{
    int64_t flags, ms, seq, count = n->shared, before;
    if (!get_int(n, &flags) || !get_int(n, &ms) || !get_int(n, &seq)) return false;
    bool same = flags & FLAG_SAME_FIELDS, shown = n->v && !(flags & FLAG_DELETED);
    if (!same && !get_count(n, &count)) return false;
    if (shown) n->v->entry(n->v->arg, n->ms + (uint64_t)ms, n->seq + (uint64_t)seq);
    if (!walk_fields(n, same ? n->names : NULL, count, shown)) return false;
    return get_int(n, &before) && before == (same ? FRAME + count : FRAME + 1 + 2 * count);
}

bool stream_node_walk(const unsigned char *lp, const char id[STREAM_ID_SIZE], const struct stream_visitor *v)
{
    struct stream_node n = {.at = lp_first(lp), .ms = load_be64(id), .seq = load_be64(id + 8), .v = v};
    int64_t live, deleted, zero;
    if (!get_count(&n, &live) || !get_count(&n, &deleted) || !get_count(&n, &n.shared)) return false;
    n.names = n.at;
    if (!skip(&n, n.shared) || !get_int(&n, &zero) || zero != 0) return false;
    for (uint64_t left = (uint64_t)live + (uint64_t)deleted; left; left--)
        if (!walk_entry(&n)) return false;
    return !n.at;
}
