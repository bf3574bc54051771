/* SPDX-License-Identifier: MIT
 *
 * From one entry to the next, and whether a node from outside is one.
 *
 * Nothing here believes that IDs are in order: that only decides what is shown. What is believed is that a node is
 * sound, so that counts lead from one entry to the next.
 */
#include "server/ds/xstream.h"

#define FLAG_DELETED     1
#define FLAG_SAME_FIELDS 2
#define FRAME            3 /* elements of an entry beside its fields: flags and the ID */

/* The integer at *p, which moves on; behind it there is another element. */
static inline int64_t take_int(const unsigned char **p)
{
    const unsigned char *e = *p;
    int64_t v = *e;
    *p = lp_after(e);
    if (likely(*e < 0x80)) return v;
    bool is = lp_value_i64(lp_get(e), &v);
    DASSERT(is);
    (void)is;
    return v;
}

static inline const unsigned char *skip(const unsigned char *p, int64_t count)
{
    for (; count > 0; count--) p = lp_after(p);
    return p;
}

void xstream_iter_init(struct xstream_iter *it, const struct xstream *s, struct stream_id from, struct stream_id to,
                       bool backwards)
{
    it->s = s;
    it->from = from;
    it->to = to;
    it->backwards = backwards;
    it->tombstones = false;
    it->lp = NULL;
    it->next = btree_at_most(&s->nodes, stream_id_key(backwards ? to : from), NULL);
    if (!backwards && !it->next.leaf) it->next = btree_first(&s->nodes);
}

static void open_lp(struct xstream_iter *it, const struct btree_slot *slot)
{
    it->node_id = stream_id_of_key(slot->key);
    it->lp = slot->value;
    const unsigned char *p = skip(it->lp + LP_HEADER_SIZE, 2);
    it->shared = take_int(&p);
    it->names = p;
}

/* False: there is none. */
static bool open_next(struct xstream_iter *it)
{
    if (!it->next.leaf) return false;
    const struct btree_slot *slot = btree_slot(it->next);
    it->next = it->backwards ? btree_prev(it->next) : btree_next(it->next);
    open_lp(it, slot);
    /* As if the common fields were those of an entry that was shown. */
    it->flags = NULL;
    it->at = it->names;
    it->left = it->shared;
    return true;
}

/* The flags of the entry that comes next in the node; NULL: there is none. */
static const unsigned char *step(struct xstream_iter *it)
{
    if (!it->backwards) {
        const unsigned char *p = lp_after(skip(it->at, it->left));
        return *p == LP_END ? NULL : p;
    }
    const unsigned char *p = it->flags ? lp_prev(it->lp, it->flags) : lp_last(it->lp), *end = p;
    for (int64_t n = take_int(&end); n > 0; n--) {
        p = lp_prev(it->lp, p);
        if (n == 1) return p;
    }
    return NULL;
}

bool xstream_iter_next(struct xstream_iter *it, struct stream_id *id, int64_t *fields)
{
    for (;;) {
        if (!it->lp && !open_next(it)) return false;
        const unsigned char *p = step(it);
        if (!p) {
            it->lp = NULL;
            continue;
        }
        it->flags = p;
        int64_t flags = take_int(&p);
        id->ms = it->node_id.ms + (uint64_t)take_int(&p);
        id->seq = it->node_id.seq + (uint64_t)take_int(&p);
        bool same = flags & FLAG_SAME_FIELDS;
        *fields = same ? it->shared : take_int(&p);
        it->name = same ? it->names : NULL;
        it->at = p;
        it->left = same ? *fields : *fields * 2;
        it->dead = flags & FLAG_DELETED;
        if (stream_id_compare(*id, it->backwards ? it->from : it->to) * (it->backwards ? -1 : 1) > 0) return false;
        if (it->dead && !it->tombstones) continue;
        if (stream_id_compare(*id, it->backwards ? it->to : it->from) * (it->backwards ? -1 : 1) >= 0) return true;
    }
}

void xstream_iter_field(struct xstream_iter *it, struct lp_value *name, struct lp_value *value)
{
    const unsigned char **names = it->name ? &it->name : &it->at;
    DASSERT(it->left > 0);
    *name = lp_get(*names);
    *names = lp_after(*names);
    *value = lp_get(it->at);
    it->at = lp_after(it->at);
    it->left -= it->name ? 1 : 2;
}

size_t xstream_iter_offset(const struct xstream_iter *it)
{
    return (size_t)(lp_after(skip(it->at, it->left)) - it->lp);
}

bool xstream_iter_init_at(struct xstream_iter *it, const struct xstream *s, struct stream_id from,
                          struct stream_id node_id, size_t offset)
{
    struct btree_pos pos = btree_at_most(&s->nodes, stream_id_key(node_id), NULL);
    if (!pos.leaf || btree_key_compare(btree_slot(pos)->key, stream_id_key(node_id)) != 0) return false;
    *it = (struct xstream_iter){.s = s, .from = from, .to = STREAM_ID_MAX, .next = btree_next(pos)};
    const struct btree_slot *slot = btree_slot(pos);
    size_t bytes = lp_bytes(slot->value);
    ASSERT(offset > LP_HEADER_SIZE && offset < bytes);
    if (offset == bytes - 1) return true;
    open_lp(it, slot);
    /* As if what is before it were the number of elements behind an entry. */
    it->at = lp_prev(it->lp, it->lp + offset);
    it->left = 0;
    return true;
}

/* --- from outside ------------------------------------------------------------------------------------------------- */

/* NULL where there is none, or no integer. */
static const unsigned char *check_int(const unsigned char *p, int64_t *out)
{
    if (!p || *p == LP_END || !lp_value_i64(lp_get(p), out)) return NULL;
    return lp_after(p);
}

static const unsigned char *check_count(const unsigned char *p, int64_t *out)
{
    p = check_int(p, out);
    return p && *out >= 0 ? p : NULL;
}

static const unsigned char *check_skip(const unsigned char *p, int64_t count)
{
    for (; count > 0; count--) {
        if (*p == LP_END) return NULL;
        p = lp_after(p);
    }
    return p;
}

static const unsigned char *check_entry(const unsigned char *p, int64_t shared, bool *dead)
{
    int64_t ms, seq, fields = shared, elements;
    unsigned char flags = *p;
    if (flags > (FLAG_DELETED | FLAG_SAME_FIELDS)) return NULL; /* as an integer of one byte: it is changed in place */
    p = check_int(lp_after(p), &ms);
    p = check_int(p, &seq);
    bool same = p && (flags & FLAG_SAME_FIELDS);
    if (p && !same) p = check_count(p, &fields);
    if (!p || fields > LP_SIZE_MAX) return NULL;
    p = check_skip(p, same ? fields : 2 * fields);
    p = p ? check_int(p, &elements) : NULL;
    *dead = flags & FLAG_DELETED;
    return p && elements == (same ? FRAME + fields : FRAME + 1 + 2 * fields) ? p : NULL;
}

/* Counts are believed only as far as there is something behind them. */
bool xstream_node_is_sound(const unsigned char *lp, uint64_t *live)
{
    int64_t live_told, dead_told, shared, zero, dead = 0, count = 0;
    const unsigned char *p = check_count(lp + LP_HEADER_SIZE, &live_told);
    p = check_count(p, &dead_told);
    p = check_count(p, &shared);
    p = p ? check_skip(p, shared) : NULL;
    p = p ? check_int(p, &zero) : NULL;
    if (!p || zero != 0) return false;
    for (; *p != LP_END; count++) {
        bool is_dead;
        p = check_entry(p, shared, &is_dead);
        if (!p) return false;
        dead += is_dead;
    }
    *live = (uint64_t)live_told;
    return count - dead == live_told && dead == dead_told && count > 0;
}
