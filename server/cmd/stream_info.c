/* SPDX-License-Identifier: MIT
 *
 * XINFO.
 */
#include "server/cmd/stream.h"
#include "server/command/handlers.h"
#include "server/db/db.h"

#define COUNT_USUAL 10 /* of entries and pending ones in XINFO STREAM FULL */

/* The stream at argv[2]; NULL: an error was replied. */
static const struct xstream *stream_to_show(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 2));
    if (!e) {
        call_error(c, "ERR no such key");
        return NULL;
    }
    return call_wrong_type(c, e, OBJ_STREAM) ? NULL : stream_of(e);
}

static void put_name(struct call *c, const char *name) { reply_bulk(c->out, bytes_of_str(name)); }

static void put_int(struct call *c, const char *name, int64_t v)
{
    put_name(c, name);
    call_integer(c, v);
}

static void put_id(struct call *c, const char *name, struct stream_id id)
{
    put_name(c, name);
    stream_reply_id(c, id);
}

static void put_progress(struct call *c, const struct xstream *s, const struct stream_group *g)
{
    int64_t lag;
    put_name(c, "entries-read");
    if (g->read == STREAM_READ_UNKNOWN) reply_null(c->out);
    else call_integer(c, g->read);
    put_name(c, "lag");
    if (stream_group_lag(s, g, &lag)) call_integer(c, lag);
    else reply_null(c->out);
}

/* --- GROUPS, CONSUMERS -------------------------------------------------------------------------------------------- */

void cmd_xinfo_groups(struct call *c)
{
    const struct xstream *s = stream_to_show(c);
    if (!s) return;
    reply_array(c->out, btree_count(&s->groups));
    for (struct btree_pos p = btree_first(&s->groups); p.leaf && !call_output_over(c); p = btree_next(p)) {
        const struct stream_group *g = btree_slot(p)->value;
        reply_map(c->out, 6);
        put_name(c, "name");
        reply_bulk(c->out, stream_group_name(g));
        put_int(c, "consumers", (int64_t)btree_count(&g->consumers));
        put_int(c, "pending", (int64_t)btree_count(&g->pending));
        put_id(c, "last-delivered-id", g->last);
        put_progress(c, s, g);
    }
}

static int64_t elapsed(int64_t now, int64_t then) { return (int64_t)((uint64_t)now - (uint64_t)then); }

void cmd_xinfo_consumers(struct call *c)
{
    const struct xstream *s = stream_to_show(c);
    if (!s) return;
    const struct stream_group *g = stream_group_find(s, c->argv[3]);
    if (!g) {
        stream_no_group_of_key(c, c->argv[2], c->argv[3]);
        return;
    }
    reply_array(c->out, btree_count(&g->consumers));
    for (struct btree_pos p = btree_first(&g->consumers); p.leaf && !call_output_over(c); p = btree_next(p)) {
        const struct stream_consumer *consumer = btree_slot(p)->value;
        int64_t idle = elapsed(c->now_ms, consumer->seen_ms), active = consumer->active_ms;
        reply_map(c->out, 4);
        put_name(c, "name");
        reply_bulk(c->out, stream_consumer_name(consumer));
        put_int(c, "pending", (int64_t)btree_count(&consumer->pending));
        put_int(c, "idle", idle < 0 ? 0 : idle);
        put_int(c, "inactive", active == STREAM_NEVER_ACTIVE ? active : elapsed(c->now_ms, active));
    }
}

/* --- STREAM ------------------------------------------------------------------------------------------------------- */

static void put_head(struct call *c, const struct xstream *s)
{
    put_int(c, "length", (int64_t)s->length);
    put_int(c, "radix-tree-keys", (int64_t)btree_count(&s->nodes));
    put_int(c, "radix-tree-nodes", (int64_t)xstream_radix_nodes(s));
    put_id(c, "last-generated-id", s->last);
    put_id(c, "max-deleted-entry-id", s->max_deleted);
    put_int(c, "entries-added", (int64_t)s->added);
    put_id(c, "recorded-first-entry-id", s->first);
}

static void put_edge(struct call *c, const char *name, const struct xstream *s, bool last)
{
    struct xstream_iter it;
    struct stream_id id;
    int64_t fields;
    put_name(c, name);
    xstream_iter_init(&it, s, (struct stream_id){0}, STREAM_ID_MAX, last);
    if (xstream_iter_next(&it, &id, &fields)) stream_reply_entry(c, &it, id, fields);
    else reply_null(c->out);
}

/* Of a group (with the consumer's name) or of one consumer; up to count, 0: all. */
static void put_pending(struct call *c, const struct btree *pending, bool of_group, int64_t count)
{
    int64_t n = 0;
    put_name(c, "pending");
    struct reply_mark mark = reply_defer(c->out);
    struct btree_pos p = btree_first(pending);
    for (; p.leaf && (!count || n < count) && !call_output_over(c); p = btree_next(p), n++) {
        const struct stream_nack *nack = btree_slot(p)->value;
        reply_array(c->out, of_group ? 4 : 3);
        stream_reply_id(c, stream_id_of_key(btree_slot(p)->key));
        if (of_group) reply_bulk(c->out, stream_consumer_name(nack->consumer));
        call_integer(c, nack->delivered_ms);
        call_integer(c, (int64_t)nack->deliveries);
    }
    reply_defer_array(c->out, mark, (size_t)n);
}

static void put_consumer(struct call *c, const struct stream_consumer *consumer, int64_t count)
{
    reply_map(c->out, 5);
    put_name(c, "name");
    reply_bulk(c->out, stream_consumer_name(consumer));
    put_int(c, "seen-time", consumer->seen_ms);
    put_int(c, "active-time", consumer->active_ms);
    put_int(c, "pel-count", (int64_t)btree_count(&consumer->pending));
    put_pending(c, &consumer->pending, false, count);
}

static void put_group(struct call *c, const struct xstream *s, const struct stream_group *g, int64_t count)
{
    reply_map(c->out, 7);
    put_name(c, "name");
    reply_bulk(c->out, stream_group_name(g));
    put_id(c, "last-delivered-id", g->last);
    put_progress(c, s, g);
    put_int(c, "pel-count", (int64_t)btree_count(&g->pending));
    put_pending(c, &g->pending, true, count);
    put_name(c, "consumers");
    reply_array(c->out, btree_count(&g->consumers));
    for (struct btree_pos p = btree_first(&g->consumers); p.leaf && !call_output_over(c); p = btree_next(p))
        put_consumer(c, btree_slot(p)->value, count);
}

static void put_full(struct call *c, const struct xstream *s, int64_t count)
{
    reply_map(c->out, 9);
    put_head(c, s);
    put_name(c, "entries");
    stream_reply_range(c, s, (struct stream_id){0}, STREAM_ID_MAX, (uint64_t)count, false);
    put_name(c, "groups");
    reply_array(c->out, btree_count(&s->groups));
    for (struct btree_pos p = btree_first(&s->groups); p.leaf && !call_output_over(c); p = btree_next(p))
        put_group(c, s, btree_slot(p)->value, count);
}

void cmd_xinfo_stream(struct call *c)
{
    int64_t count = COUNT_USUAL;
    const struct xstream *s = stream_to_show(c);
    if (!s) return;
    int options = c->argc - 3;
    bool ok = options == 0 || ((options == 1 || options == 3) && bytes_is_word(c->argv[3], "full"));
    if (!ok || (options == 3 && !bytes_is_word(c->argv[4], "count"))) {
        call_unknown_sub(c);
        return;
    }
    if (options == 3 && !call_int(c, c->argv[5], &count)) return;
    if (count < 0) count = COUNT_USUAL;
    if (options) {
        put_full(c, s, count);
        return;
    }
    reply_map(c->out, 10);
    put_head(c, s);
    put_int(c, "groups", (int64_t)btree_count(&s->groups));
    put_edge(c, "first-entry", s, false);
    put_edge(c, "last-entry", s, true);
}

void cmd_xinfo_help(struct call *c)
{
    static const char *const lines[] = {
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
        NULL,
    };
    call_help(c, lines);
}
