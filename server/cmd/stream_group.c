/* SPDX-License-Identifier: MIT
 *
 * Groups as their owner sees them: XGROUP, XACK, XPENDING.
 *
 * What only concerns a group is no change of the key to who watches it, as in redis-server.
 */
#include "server/cmd/stream.h"
#include "server/command/handlers.h"
#include "server/db/db.h"

/* --- XGROUP ------------------------------------------------------------------------------------------------------- */

/* argv[2] and argv[3] of a subcommand. */
struct group_call {
    const struct key_ref *key;
    struct bytes name;
    struct xstream *s;      /* NULL: no such key, and that is allowed */
    struct stream_group *g; /* NULL: no such group */
};

/* needs: the group must be there. make: the key need not be. */
static bool look_for_group(struct call *c, struct group_call *gc, bool needs, bool make)
{
    *gc = (struct group_call){.key = call_key(c, 2), .name = c->argv[3]};
    struct entry *e = db_lookup_write(c, gc->key);
    if (e && call_wrong_type(c, e, OBJ_STREAM)) return false;
    if (e) gc->s = stream_of(e);
    if (!e && !make) {
        call_error(c, "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use "
                      "the MKSTREAM option to create an empty stream automatically.");
        return false;
    }
    if (gc->s) gc->g = stream_group_find(gc->s, gc->name);
    if (gc->g || !needs) return true;
    stream_no_group_of_key(c, gc->key->name, gc->name);
    return false;
}

/* A group has changed, and not what the key holds. */
static void changed(struct call *c, const struct group_call *gc, const char *event)
{
    c->dirty++;
    db_notify(c, NOTIFY_STREAM, event, gc->key, c->db->id);
}

struct group_options {
    bool make;
    int64_t read;
};

/* From argv[5] on. make_too: MKSTREAM is an option. */
static bool parse_options(struct call *c, bool make_too, struct group_options *o)
{
    *o = (struct group_options){.read = STREAM_READ_UNKNOWN};
    for (int i = 5; i < c->argc; i++) {
        if (make_too && bytes_is_word(c->argv[i], "mkstream")) {
            o->make = true;
        } else if (i + 1 < c->argc && bytes_is_word(c->argv[i], "entriesread")) {
            if (!call_int(c, c->argv[++i], &o->read)) return false;
            if (o->read >= 0 || o->read == STREAM_READ_UNKNOWN) continue;
            call_error(c, "ERR value for ENTRIESREAD must be positive or -1");
            return false;
        } else {
            call_unknown_sub(c);
            return false;
        }
    }
    return true;
}

static bool is_dollar(struct bytes s) { return s.n == 1 && s.p[0] == '$'; }

void cmd_xgroup_create(struct call *c)
{
    struct group_options o;
    struct group_call gc;
    struct stream_id id = {0};
    if (!parse_options(c, true, &o) || !look_for_group(c, &gc, false, o.make)) return;
    if (c->argc > 8) {
        call_unknown_sub(c);
        return;
    }
    if (!is_dollar(c->argv[4])) {
        if (!stream_id_arg(c, c->argv[4], &id)) return;
    } else if (gc.s) {
        id = gc.s->last;
    }
    if (gc.g) {
        call_error(c, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    bool is_new = !gc.s;
    if (is_new) gc.s = xstream_new();
    stream_group_add(gc.s, gc.name, id, o.read);
    call_ok(c);
    if (!is_new) {
        changed(c, &gc, "xgroup-create");
        return;
    }
    db_put_value(c, gc.key, stream_value(gc.s), -1, 0);
    db_changed(c, gc.key, NOTIFY_STREAM, "xgroup-create");
}

void cmd_xgroup_setid(struct call *c)
{
    struct group_options o;
    struct group_call gc;
    struct stream_id id;
    if (!parse_options(c, false, &o) || !look_for_group(c, &gc, true, false)) return;
    if (c->argc != 5 && c->argc != 7) {
        call_unknown_sub(c);
        return;
    }
    if (is_dollar(c->argv[4])) {
        id = gc.s->last;
    } else if (!stream_id_parse_bound(c->argv[4], 0, &id)) {
        stream_id_arg(c, c->argv[4], &id);
        return;
    }
    gc.g->last = id;
    gc.g->read = o.read;
    call_ok(c);
    changed(c, &gc, "xgroup-setid");
}

void cmd_xgroup_destroy(struct call *c)
{
    struct group_call gc;
    if (!look_for_group(c, &gc, false, false)) return;
    call_integer(c, gc.g != NULL);
    if (!gc.g) return;
    stream_group_remove(gc.s, gc.g);
    changed(c, &gc, "xgroup-destroy");
    db_ready(c, gc.key, OBJ_STREAM); /* for XREADGROUP to find that it is gone */
}

void cmd_xgroup_createconsumer(struct call *c)
{
    struct group_call gc;
    if (!look_for_group(c, &gc, true, false)) return;
    bool made = stream_consumer_add(gc.g, c->argv[4], c->now_ms) != NULL;
    call_integer(c, made);
    if (made) changed(c, &gc, "xgroup-createconsumer");
}

void cmd_xgroup_delconsumer(struct call *c)
{
    struct group_call gc;
    if (!look_for_group(c, &gc, true, false)) return;
    struct stream_consumer *consumer = stream_consumer_find(gc.g, c->argv[4]);
    call_integer(c, consumer ? (int64_t)btree_count(&consumer->pending) : 0);
    if (!consumer) return;
    stream_consumer_remove(gc.g, consumer);
    changed(c, &gc, "xgroup-delconsumer");
}

void cmd_xgroup_help(struct call *c)
{
    static const char *const lines[] = {
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        NULL,
    };
    call_help(c, lines);
}

/* --- XACK --------------------------------------------------------------------------------------------------------- */

void cmd_xack(struct call *c)
{
    int64_t acknowledged = 0;
    struct entry *e = db_lookup_update(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_STREAM)) return;
    struct stream_group *g = e ? stream_group_find(stream_of(e), c->argv[2]) : NULL;
    if (g && !stream_id_args(c, 3)) return;
    for (int i = 3; g && i < c->argc; i++) {
        struct stream_id id;
        stream_id_parse(c->argv[i], 0, &id, NULL);
        struct stream_nack *n = stream_nack_find(g, id);
        if (!n) continue;
        stream_nack_remove(g, id, n);
        acknowledged++;
    }
    c->dirty += acknowledged;
    call_integer(c, acknowledged);
}

/* --- XPENDING ----------------------------------------------------------------------------------------------------- */

static void pending_summary(struct call *c, const struct stream_group *g)
{
    reply_array(c->out, 4);
    call_integer(c, (int64_t)btree_count(&g->pending));
    if (!btree_count(&g->pending)) {
        reply_null(c->out);
        reply_null(c->out);
        reply_null_array(c->out);
        return;
    }
    stream_reply_id(c, stream_id_of_key(btree_slot(btree_first(&g->pending))->key));
    stream_reply_id(c, stream_id_of_key(btree_slot(btree_last(&g->pending))->key));
    size_t n = 0;
    struct reply_mark mark = reply_defer(c->out);
    for (struct btree_pos p = btree_first(&g->consumers); p.leaf && !call_output_over(c); p = btree_next(p)) {
        const struct stream_consumer *consumer = btree_slot(p)->value;
        if (!btree_count(&consumer->pending)) continue;
        reply_array(c->out, 2);
        reply_bulk(c->out, stream_consumer_name(consumer));
        reply_bulk_int(c->out, (int64_t)btree_count(&consumer->pending));
        n++;
    }
    reply_defer_array(c->out, mark, n);
}

struct pending_range {
    struct stream_id from, to;
    int64_t count, idle_min;
    struct bytes consumer; /* p NULL: of all */
};

static bool parse_range(struct call *c, struct pending_range *r)
{
    int at = 3;
    *r = (struct pending_range){0};
    if (bytes_is_word(c->argv[3], "idle")) {
        if (!call_int(c, c->argv[4], &r->idle_min)) return false;
        if (c->argc < 8) {
            call_syntax_error(c);
            return false;
        }
        at += 2;
    }
    if (!call_int(c, c->argv[at + 2], &r->count)) return false;
    if (!stream_from_arg(c, c->argv[at], &r->from) || !stream_to_arg(c, c->argv[at + 1], &r->to)) return false;
    if (at + 3 < c->argc) r->consumer = c->argv[at + 3];
    return true;
}

static int64_t elapsed(int64_t now, int64_t then) { return (int64_t)((uint64_t)now - (uint64_t)then); }

static void pending_entries(struct call *c, const struct btree *pending, const struct pending_range *r)
{
    int64_t n = 0;
    struct reply_mark mark = reply_defer(c->out);
    struct btree_pos p = btree_at_least(pending, stream_id_key(r->from), NULL);
    for (; p.leaf && n < r->count && !call_output_over(c); p = btree_next(p)) {
        struct stream_id id = stream_id_of_key(btree_slot(p)->key);
        const struct stream_nack *nack = btree_slot(p)->value;
        int64_t idle = elapsed(c->now_ms, nack->delivered_ms);
        if (stream_id_compare(id, r->to) > 0) break;
        if (r->idle_min && idle < r->idle_min) continue;
        reply_array(c->out, 4);
        stream_reply_id(c, id);
        reply_bulk(c->out, stream_consumer_name(nack->consumer));
        call_integer(c, idle < 0 ? 0 : idle);
        call_integer(c, (int64_t)nack->deliveries);
        n++;
    }
    reply_defer_array(c->out, mark, (size_t)n);
}

void cmd_xpending(struct call *c)
{
    struct pending_range r;
    if (c->argc != 3 && (c->argc < 6 || c->argc > 9)) {
        call_syntax_error(c);
        return;
    }
    if (c->argc > 3 && !parse_range(c, &r)) return;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_STREAM)) return;
    const struct stream_group *g = e ? stream_group_find(stream_of(e), c->argv[2]) : NULL;
    if (!g) {
        stream_no_group(c, c->argv[1], c->argv[2], "");
        return;
    }
    if (c->argc == 3) {
        pending_summary(c, g);
        return;
    }
    const struct stream_consumer *consumer = r.consumer.p ? stream_consumer_find(g, r.consumer) : NULL;
    if (r.consumer.p && !consumer) reply_array(c->out, 0);
    else pending_entries(c, consumer ? &consumer->pending : &g->pending, &r);
}
