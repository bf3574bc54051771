/* SPDX-License-Identifier: MIT
 *
 * What is refused is what Redis refuses (rdb.c of 7.2), and what would be a danger to it: every node is looked through,
 * always, the numbers of entries have to be those that are there, and what is pending has one consumer.
 */
#include "server/rdb/stream.h"

#include <errno.h>

#include "server/mem.h"
#include "server/ds/xstream_group.h"

struct stream_reader {
    struct rdb_source *s;
    unsigned type;
    struct xstream *to;
};

static bool bad(const struct stream_reader *r, const char *why) { return rdb_source_fail(r->s, -EBADMSG, why); }

static bool read_lengths(const struct stream_reader *r, uint64_t *v, int count)
{
    for (int i = 0; i < count; i++)
        if (!rdb_get_length(r->s, &v[i])) return false;
    return true;
}

static bool read_time(const struct stream_reader *r, int64_t *ms)
{
    uint64_t v;
    if (!rdb_get_u64(r->s, &v)) return false;
    *ms = (int64_t)v;
    return true;
}

static bool read_id(const struct stream_reader *r, struct stream_id *id)
{
    char raw[STREAM_ID_SIZE];
    if (!rdb_get_raw(r->s, raw, sizeof raw)) return false;
    *id = stream_id_load(raw);
    return true;
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

static bool read_node(const struct stream_reader *r, uint64_t *entries)
{
    struct bytes key, node;
    struct stream_id id;
    uint64_t live;
    if (!rdb_get_string(r->s, RDB_VIEW, &key)) return false;
    if (key.n != STREAM_ID_SIZE) return bad(r, "Stream node key entry is not the size of a stream ID");
    id = stream_id_load(key.p);
    if (!rdb_get_string(r->s, RDB_VIEW, &node)) return false;
    const unsigned char *p = (const unsigned char *)node.p;
    if (!lp_validate(p, node.n, true, NULL, NULL) || !xstream_node_is_sound(p, &live))
        return bad(r, "Stream listpack integrity check failed");
    unsigned char *lp = lp_dup(p);
    if (!btree_insert(&r->to->nodes, stream_id_key(id), NULL, lp)) {
        lp_free(lp);
        return bad(r, "Stream listpack re-added with existing key");
    }
    *entries += live;
    return true;
}

/* The length, the last ID; from 7.0 on the first one, the last one that was deleted, and how many were ever added. */
static bool read_head(const struct stream_reader *r)
{
    struct xstream *s = r->to;
    uint64_t v[8];
    bool long_head = r->type >= RDB_STREAM_LISTPACKS_2;
    if (!read_lengths(r, v, long_head ? 8 : 3)) return false;
    s->length = v[0];
    s->last = (struct stream_id){v[1], v[2]};
    if (long_head) {
        s->first = (struct stream_id){v[3], v[4]};
        s->max_deleted = (struct stream_id){v[5], v[6]};
        s->added = v[7];
    } else {
        s->added = s->length;
        xstream_find_first(s);
    }
    return true;
}

static bool read_nodes(const struct stream_reader *r)
{
    uint64_t nodes, entries = 0;
    if (!rdb_get_length(r->s, &nodes)) return false;
    for (; nodes; nodes--)
        if (!read_node(r, &entries)) return false;
    if (!read_head(r)) return false;
    return entries == r->to->length || bad(r, "Stream length inconsistent with the number of its entries");
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

/* What nobody has acknowledged, of no consumer yet. */
static bool read_pending(const struct stream_reader *r, struct stream_group *g)
{
    uint64_t n;
    if (!rdb_get_length(r->s, &n)) return false;
    for (; n; n--) {
        struct stream_id id;
        int64_t ms;
        uint64_t deliveries;
        if (!read_id(r, &id) || !read_time(r, &ms) || !rdb_get_length(r->s, &deliveries)) return false;
        struct stream_nack *nack = stream_nack_add(g, id, ms);
        if (!nack) return bad(r, "Duplicated global PEL entry loading a stream consumer group");
        nack->deliveries = deliveries;
    }
    return true;
}

static bool read_owned(const struct stream_reader *r, struct stream_group *g, struct stream_consumer *c)
{
    uint64_t n;
    if (!rdb_get_length(r->s, &n)) return false;
    for (; n; n--) {
        struct stream_id id;
        if (!read_id(r, &id)) return false;
        struct stream_nack *nack = stream_nack_find(g, id);
        if (!nack) return bad(r, "Consumer entry not found in the group's global PEL");
        if (nack->consumer) return bad(r, "Duplicated consumer PEL entry loading a stream consumer group");
        stream_nack_give(nack, id, c);
    }
    return true;
}

static bool read_consumer(const struct stream_reader *r, struct stream_group *g)
{
    struct bytes name;
    int64_t seen, active;
    if (!rdb_get_string(r->s, RDB_VIEW, &name)) return false;
    struct stream_consumer *c = stream_consumer_add(g, name, 0);
    if (!c) return bad(r, "Duplicate stream consumer detected");
    if (!read_time(r, &seen)) return false;
    active = seen;
    if (r->type >= RDB_STREAM_LISTPACKS_3 && !read_time(r, &active)) return false;
    c->seen_ms = seen;
    c->active_ms = active;
    return read_owned(r, g, c);
}

static bool all_owned(const struct stream_reader *r, const struct stream_group *g)
{
    for (struct btree_pos p = btree_first(&g->pending); p.leaf; p = btree_next(p)) {
        const struct stream_nack *n = btree_slot(p)->value;
        if (!n->consumer) return bad(r, "Stream CG PEL entry without consumer");
    }
    return true;
}

static bool read_group(const struct stream_reader *r)
{
    struct bytes name;
    uint64_t v[3], n;
    if (!rdb_get_string(r->s, RDB_VIEW, &name)) return false;
    struct stream_group *g = stream_group_add(r->to, name, (struct stream_id){0}, STREAM_READ_UNKNOWN);
    if (!g) return bad(r, "Duplicated consumer group name");
    bool counted = r->type >= RDB_STREAM_LISTPACKS_2;
    if (!read_lengths(r, v, counted ? 3 : 2)) return false;
    g->last = (struct stream_id){v[0], v[1]};
    g->read = counted ? (int64_t)v[2] : stream_entries_read(r->to, g->last);
    if (!read_pending(r, g) || !rdb_get_length(r->s, &n)) return false;
    for (; n; n--)
        if (!read_consumer(r, g)) return false;
    return all_owned(r, g);
}

bool rdb_read_stream(struct rdb_source *s, unsigned type, struct xstream *out)
{
    struct stream_reader r = {s, type, out};
    uint64_t groups;
    if (!read_nodes(&r) || !rdb_get_length(s, &groups)) return false;
    for (; groups; groups--)
        if (!read_group(&r)) return false;
    return true;
}

/* --- write -------------------------------------------------------------------------------------------------------- */

static void put_id(struct rdb_sink *s, struct btree_key key)
{
    char raw[STREAM_ID_SIZE];
    stream_id_store(raw, stream_id_of_key(key));
    rdb_put_raw(s, raw, sizeof raw);
}

static void put_id_lengths(struct rdb_sink *s, struct stream_id id)
{
    rdb_put_length(s, id.ms);
    rdb_put_length(s, id.seq);
}

static void put_consumer(struct rdb_sink *s, const struct stream_consumer *c)
{
    rdb_put_string(s, stream_consumer_name(c));
    rdb_put_u64(s, (uint64_t)c->seen_ms);
    if (rdb_stream_type_of(s) == RDB_STREAM_LISTPACKS_3) rdb_put_u64(s, (uint64_t)c->active_ms);
    rdb_put_length(s, btree_count(&c->pending));
    for (struct btree_pos p = btree_first(&c->pending); p.leaf; p = btree_next(p)) put_id(s, btree_slot(p)->key);
}

static void put_group(struct rdb_sink *s, const struct stream_group *g)
{
    rdb_put_string(s, stream_group_name(g));
    put_id_lengths(s, g->last);
    rdb_put_length(s, (uint64_t)g->read);
    rdb_put_length(s, btree_count(&g->pending));
    for (struct btree_pos p = btree_first(&g->pending); p.leaf; p = btree_next(p)) {
        const struct stream_nack *n = btree_slot(p)->value;
        put_id(s, btree_slot(p)->key);
        rdb_put_u64(s, (uint64_t)n->delivered_ms);
        rdb_put_length(s, n->deliveries);
    }
    rdb_put_length(s, btree_count(&g->consumers));
    for (struct btree_pos p = btree_first(&g->consumers); p.leaf; p = btree_next(p))
        put_consumer(s, btree_slot(p)->value);
}

enum rdb_type rdb_stream_type_of(const struct rdb_sink *s)
{
    return s->version < 11 ? RDB_STREAM_LISTPACKS_2 : RDB_STREAM_LISTPACKS_3;
}

void rdb_write_stream_node(struct rdb_sink *s, const struct btree_slot *node)
{
    char raw[STREAM_ID_SIZE];
    stream_id_store(raw, stream_id_of_key(node->key));
    rdb_put_string(s, bytes_of(raw, sizeof raw));
    rdb_put_string(s, bytes_of(node->value, lp_bytes(node->value)));
}

void rdb_write_stream_rest(struct rdb_sink *s, const struct xstream *stream)
{
    rdb_put_length(s, stream->length);
    put_id_lengths(s, stream->last);
    put_id_lengths(s, stream->first);
    put_id_lengths(s, stream->max_deleted);
    rdb_put_length(s, stream->added);
    rdb_put_length(s, btree_count(&stream->groups));
    for (struct btree_pos p = btree_first(&stream->groups); p.leaf; p = btree_next(p))
        put_group(s, btree_slot(p)->value);
}
