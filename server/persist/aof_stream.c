/* SPDX-License-Identifier: MIT
 *
 * As redis-server rewrites a stream: when consumers were seen is not told.
 */
#include "server/persist/aof_stream.h"

#include "server/ds/xstream_group.h"
#include "server/persist/aof_text.h"

static void put_id(struct rdb_sink *s, struct stream_id id)
{
    char text[STREAM_ID_TEXT_SIZE];
    aof_put_arg(s, bytes_of(text, stream_id_format(text, id)));
}

/* "*n", the command's name. */
static void put_command(struct rdb_sink *s, size_t args, struct bytes name)
{
    aof_put_head(s, '*', args);
    aof_put_arg(s, name);
}

/* A stream without entries: one is added and trimmed at once. */
static void put_empty(const struct aof_stream *a)
{
    put_command(a->s, 7, BYTES("XADD"));
    aof_put_arg(a->s, a->key);
    aof_put_arg(a->s, BYTES("MAXLEN"));
    aof_put_arg(a->s, BYTES("0"));
    put_id(a->s, (struct stream_id){0, 1});
    aof_put_arg(a->s, BYTES("x"));
    aof_put_arg(a->s, BYTES("y"));
}

static void put_entry(struct aof_stream *a, struct stream_id id, int64_t fields)
{
    put_command(a->s, 3 + 2 * (size_t)fields, BYTES("XADD"));
    aof_put_arg(a->s, a->key);
    put_id(a->s, id);
    for (; fields; fields--) {
        struct lp_value name, value;
        xstream_iter_field(&a->it, &name, &value);
        aof_put_value(a->s, name);
        aof_put_value(a->s, value);
    }
}

static void put_setid(const struct aof_stream *a)
{
    put_command(a->s, 7, BYTES("XSETID"));
    aof_put_arg(a->s, a->key);
    put_id(a->s, a->stream->last);
    aof_put_arg(a->s, BYTES("ENTRIESADDED"));
    aof_put_i64(a->s, (int64_t)a->stream->added);
    aof_put_arg(a->s, BYTES("MAXDELETEDID"));
    put_id(a->s, a->stream->max_deleted);
}

/* "XGROUP", the subcommand, key and group. */
static void put_xgroup(const struct aof_stream *a, size_t args, struct bytes sub, const struct stream_group *g)
{
    put_command(a->s, args, BYTES("XGROUP"));
    aof_put_arg(a->s, sub);
    aof_put_arg(a->s, a->key);
    aof_put_arg(a->s, stream_group_name(g));
}

static void put_pending(const struct aof_stream *a, const struct stream_group *g, const struct stream_consumer *c)
{
    for (struct btree_pos p = btree_first(&c->pending); p.leaf; p = btree_next(p)) {
        const struct stream_nack *n = btree_slot(p)->value;
        put_command(a->s, 12, BYTES("XCLAIM"));
        aof_put_arg(a->s, a->key);
        aof_put_arg(a->s, stream_group_name(g));
        aof_put_arg(a->s, stream_consumer_name(c));
        aof_put_arg(a->s, BYTES("0"));
        put_id(a->s, stream_id_of_key(btree_slot(p)->key));
        aof_put_arg(a->s, BYTES("TIME"));
        aof_put_i64(a->s, n->delivered_ms);
        aof_put_arg(a->s, BYTES("RETRYCOUNT"));
        aof_put_i64(a->s, (int64_t)n->deliveries);
        aof_put_arg(a->s, BYTES("JUSTID"));
        aof_put_arg(a->s, BYTES("FORCE"));
    }
}

static void put_group(const struct aof_stream *a, const struct stream_group *g)
{
    put_xgroup(a, 7, BYTES("CREATE"), g);
    put_id(a->s, g->last);
    aof_put_arg(a->s, BYTES("ENTRIESREAD"));
    aof_put_i64(a->s, g->read);
    for (struct btree_pos p = btree_first(&g->consumers); p.leaf; p = btree_next(p)) {
        const struct stream_consumer *c = btree_slot(p)->value;
        put_pending(a, g, c);
        if (btree_count(&c->pending)) continue;
        put_xgroup(a, 5, BYTES("CREATECONSUMER"), g);
        aof_put_arg(a->s, stream_consumer_name(c));
    }
}

void aof_stream_begin(struct aof_stream *a, struct rdb_sink *s, struct bytes key, const struct xstream *stream)
{
    *a = (struct aof_stream){.s = s, .key = key, .stream = stream};
    xstream_iter_init(&a->it, stream, (struct stream_id){0}, STREAM_ID_MAX, false);
    if (!stream->length) put_empty(a);
}

bool aof_stream_more(struct aof_stream *a, uint64_t until)
{
    struct stream_id id;
    int64_t fields;
    while (a->s->total < until) {
        if (xstream_iter_next(&a->it, &id, &fields)) {
            put_entry(a, id, fields);
            continue;
        }
        put_setid(a);
        for (struct btree_pos p = btree_first(&a->stream->groups); p.leaf; p = btree_next(p))
            put_group(a, btree_slot(p)->value);
        return true;
    }
    return false;
}
