/* SPDX-License-Identifier: MIT
 *
 * XREAD and XREADGROUP. A reader who finds nothing new may wait (BLOCK); the command runs again when a stream gets an
 * entry, and of XREADGROUP also when its stream or group goes.
 *
 * A group that is asked for what is new goes on where it stopped (`hint` of the group), so that a node's entries are
 * not passed over again for each call.
 */
#include "server/cmd/stream.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/db/hooks.h"
#include "server/mem.h"

#define STREAMS_ON_STACK 8

/* One of the streams that are asked for. */
struct wanted {
    struct xstream *s;      /* NULL: no such key */
    struct stream_group *g; /* NULL: XREAD */
    struct stream_id after;
    bool is_new; /* ">" */
};

struct stream_read {
    bool of_group, noack, blocks;
    struct bytes group, consumer;
    int64_t count, deadline_ms;
    int first, streams; /* argv[first]: the first key */
    struct wanted *wanted;
};

static bool fail(struct call *c, const char *why)
{
    call_error(c, why);
    return false;
}

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static bool parse_streams(struct call *c, struct stream_read *r, int first)
{
    int n = c->argc - first;
    if (n % 2) {
        call_errorf(c, "ERR Unbalanced '%s' list of streams: for each stream key an ID or '%c' must be specified.",
                    c->cmd->full_name, r->of_group ? '>' : '$');
        return false;
    }
    r->first = first;
    r->streams = n / 2;
    return true;
}

/* The option at argv[*i], which moves on to its last argument. */
static bool parse_option(struct call *c, struct stream_read *r, int *i)
{
    struct bytes word = c->argv[*i];
    int more = c->argc - *i - 1;
    if (more && bytes_is_word(word, "block")) {
        if (srv_in_script(c)) {
            call_errorf(c, "ERR %.*s command is not allowed with BLOCK option from scripts", (int)c->argv[0].n,
                        c->argv[0].p);
            return false;
        }
        r->blocks = true;
        return call_timeout_ms(c, c->argv[++*i], &r->deadline_ms);
    }
    if (more && bytes_is_word(word, "count")) {
        if (!call_int(c, c->argv[++*i], &r->count)) return false;
        if (r->count < 0) r->count = 0;
        return true;
    }
    if (more >= 2 && bytes_is_word(word, "group")) {
        if (!r->of_group)
            return fail(c, "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
        r->group = c->argv[*i + 1];
        r->consumer = c->argv[*i + 2];
        *i += 2;
        return true;
    }
    if (bytes_is_word(word, "noack")) {
        if (!r->of_group)
            return fail(c, "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
        return r->noack = true;
    }
    call_syntax_error(c);
    return false;
}

static bool parse(struct call *c, struct stream_read *r)
{
    bool has_group = false;
    for (int i = 1; i < c->argc && !r->first; i++) {
        if (i + 1 < c->argc && bytes_is_word(c->argv[i], "streams")) {
            if (!parse_streams(c, r, i + 1)) return false;
            continue;
        }
        if (!parse_option(c, r, &i)) return false;
        has_group |= r->group.p != NULL;
    }
    if (!r->first) {
        call_syntax_error(c);
        return false;
    }
    if (r->of_group && !has_group) return fail(c, "ERR Missing GROUP option for XREADGROUP");
    return true;
}

static bool is_char(struct bytes s, char ch) { return s.n == 1 && s.p[0] == ch; }

/* Stream number i, and from where on it is to be read. */
static bool look_for_stream(struct call *c, const struct stream_read *r, int i)
{
    struct wanted *w = &r->wanted[i];
    struct bytes id = c->argv[r->first + r->streams + i];
    const struct key_ref *key = call_key(c, r->first + i);
    const struct entry *e = r->of_group ? db_lookup_update(c, key) : db_lookup_read(c, key);
    *w = (struct wanted){0};
    if (e && call_wrong_type(c, e, OBJ_STREAM)) return false;
    if (e) w->s = stream_of(e);
    if (r->of_group) {
        w->g = w->s ? stream_group_find(w->s, r->group) : NULL;
        if (!w->g) {
            stream_no_group(c, key->name, r->group, " in XREADGROUP with GROUP option");
            return false;
        }
    }
    if (is_char(id, '$')) {
        if (r->of_group)
            return fail(c, "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of "
                           "this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID "
                           "would just return an empty result set.");
        if (w->s) w->after = w->s->last;
        return true;
    }
    if (is_char(id, '>')) {
        if (!r->of_group)
            return fail(c, "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> "
                           "<consumer> option.");
        w->is_new = true;
        return true;
    }
    if (!stream_id_arg(c, id, &w->after)) return false;
    /* The greatest ID is what redis-server has for ">". */
    if (r->of_group && stream_id_compare(w->after, STREAM_ID_MAX) == 0) w->is_new = true;
    return true;
}

/* --- a group's streams -------------------------------------------------------------------------------------------- */

/* Pending for this consumer from now on, whoever's it was. */
static struct stream_nack *deliver(struct call *c, struct stream_group *g, struct stream_consumer *consumer,
                                   struct stream_id id)
{
    struct stream_nack *n = stream_nack_add(g, id, c->now_ms);
    if (unlikely(!n)) { /* XGROUP SETID took the group back */
        n = stream_nack_find(g, id);
        n->delivered_ms = c->now_ms;
        n->deliveries = 1;
    }
    stream_nack_give(n, id, consumer);
    consumer->active_ms = c->now_ms;
    return n;
}

static void start_behind(struct xstream_iter *it, const struct wanted *w)
{
    const struct stream_group *g = w->g;
    struct stream_id from = g->last;
    stream_id_increment(&from);
    if (g->hint.offset && g->hint.moves == w->s->moves && stream_id_compare(g->hint.id, g->last) == 0 &&
        xstream_iter_init_at(it, w->s, from, g->hint.node_id, g->hint.offset))
        return;
    xstream_iter_init(it, w->s, from, STREAM_ID_MAX, false);
}

static void give_new(struct call *c, const struct stream_read *r, const struct wanted *w, struct bytes key,
                     struct stream_consumer *consumer)
{
    struct xstream_iter it;
    struct stream_group *g = w->g;
    struct stream_id id;
    int64_t fields, n = 0;
    struct reply_mark mark = reply_defer(c->out);
    start_behind(&it, w);
    while (!call_output_over(c) && xstream_iter_next(&it, &id, &fields)) {
        if (stream_id_compare(id, g->last) > 0) stream_group_passed(w->s, g, id);
        stream_reply_entry(c, &it, id, fields);
        g->hint.id = id;
        g->hint.node_id = it.node_id;
        g->hint.offset = xstream_iter_offset(&it);
        if (!r->noack) {
            struct stream_nack *nack = deliver(c, g, consumer, id);
            if (effect_wanted(c)) {
                char text[STREAM_ID_TEXT_SIZE];
                stream_effect_claim(c, key, g, bytes_of(text, stream_id_format(text, id)), nack);
            }
        }
        if (++n == r->count) break;
    }
    g->hint.moves = w->s->moves;
    if (r->noack && n) stream_effect_group_id(c, key, g);
    reply_defer_array(c->out, mark, (size_t)n);
}

/* What the consumer has got already and has not acknowledged. */
static void give_again(struct call *c, const struct stream_read *r, const struct wanted *w,
                       const struct stream_consumer *consumer)
{
    struct stream_id from = w->after;
    int64_t n = 0;
    struct reply_mark mark = reply_defer(c->out);
    stream_id_increment(&from);
    struct btree_pos p = btree_at_least(&consumer->pending, stream_id_key(from), NULL);
    for (; p.leaf && (!r->count || n < r->count) && !call_output_over(c); p = btree_next(p), n++) {
        struct stream_nack *nack = btree_slot(p)->value;
        struct stream_id id = stream_id_of_key(btree_slot(p)->key);
        if (stream_reply_one(c, w->s, id)) {
            nack->delivered_ms = c->now_ms;
            nack->deliveries++;
        } else { /* deleted meanwhile */
            reply_array(c->out, 2);
            stream_reply_id(c, id);
            reply_null_array(c->out);
        }
    }
    reply_defer_array(c->out, mark, (size_t)n);
}

/* --- serve -------------------------------------------------------------------------------------------------------- */

struct served {
    struct reply_mark mark;
    size_t count;
};

/* In front of a stream's entries. */
static void begin_stream(struct call *c, struct served *v, struct bytes key)
{
    if (v->count++ == 0) v->mark = reply_defer(c->out);
    if (c->out->proto == 2) reply_array(c->out, 2);
    reply_bulk(c->out, key);
}

static bool has_behind(const struct xstream *s, struct stream_id id)
{
    struct stream_id top;
    return s->length && xstream_last_live(s, &top) && stream_id_compare(top, id) > 0;
}

static void serve_group(struct call *c, const struct stream_read *r, const struct wanted *w, const struct key_ref *key,
                        struct served *v)
{
    bool made;
    struct stream_consumer *consumer = stream_consumer_of(c, key, w->g, r->consumer, &made);
    /* What it is given makes it at a replica, too. Redis forgets there the consumer that gets nothing. */
    bool nothing = w->is_new ? !has_behind(w->s, w->g->last) : true;
    if (made && (r->noack || nothing)) stream_effect_consumer(c, key->name, w->g, consumer);
    if (w->is_new && nothing) return;
    begin_stream(c, v, key->name);
    if (w->is_new) give_new(c, r, w, key->name, consumer);
    else give_again(c, r, w, consumer);
    c->dirty++;
}

static void serve_plain(struct call *c, const struct stream_read *r, const struct wanted *w, struct bytes key,
                        struct served *v)
{
    struct stream_id from = w->after;
    if (!has_behind(w->s, from)) return;
    begin_stream(c, v, key);
    stream_id_increment(&from);
    stream_reply_range(c, w->s, from, STREAM_ID_MAX, (uint64_t)r->count, false);
}

/* False: there was nothing, and no reply was given. */
static bool serve(struct call *c, const struct stream_read *r)
{
    struct served v = {.count = 0};
    for (int i = 0; i < r->streams; i++) {
        const struct wanted *w = &r->wanted[i];
        const struct key_ref *key = call_key(c, r->first + i);
        if (!w->s) db_lookup_read(c, key); /* once more, as redis-server looks, and counts */
        else stat_hit(c);
        if (w->g) serve_group(c, r, w, key, &v);
        else if (w->s) serve_plain(c, r, w, key->name, &v);
    }
    if (!v.count) return false;
    if (c->out->proto == 2) reply_defer_array(c->out, v.mark, v.count);
    else reply_defer_map(c->out, v.mark, v.count);
    return true;
}

/* The command as it waits: "$" is what that was when it came in. */
static void wait(struct call *c, const struct stream_read *r)
{
    if (r->of_group) {
        call_block(c, r->first, r->streams, OBJ_STREAM, r->deadline_ms, BLOCK_UNTIL_GONE);
        return;
    }
    const struct bytes *came = c->argv;
    size_t size = (size_t)c->argc * sizeof *came + (size_t)r->streams * STREAM_ID_TEXT_SIZE;
    struct bytes *argv = mem_alloc(size);
    char *text = (char *)&argv[c->argc];
    memcpy(argv, came, (size_t)c->argc * sizeof *came);
    for (int i = 0; i < r->streams; i++, text += STREAM_ID_TEXT_SIZE) {
        struct bytes *id = &argv[r->first + r->streams + i];
        if (is_char(*id, '$')) *id = bytes_of(text, stream_id_format(text, r->wanted[i].after));
    }
    c->argv = argv;
    call_block(c, r->first, r->streams, OBJ_STREAM, r->deadline_ms, BLOCK_FOR_VALUE);
    c->argv = came;
    mem_free_sized(argv, size);
}

static void read_streams(struct call *c, bool of_group)
{
    struct wanted stack[STREAMS_ON_STACK];
    struct stream_read r = {.of_group = of_group};
    if (!parse(c, &r)) return;
    size_t size = (size_t)r.streams * sizeof *r.wanted;
    r.wanted = r.streams <= STREAMS_ON_STACK ? stack : mem_alloc(size);
    bool ok = true;
    for (int i = 0; i < r.streams && ok; i++) ok = look_for_stream(c, &r, i);
    if (ok && !serve(c, &r)) {
        if (r.blocks) wait(c, &r);
        else reply_null_array(c->out);
    }
    if (r.wanted != stack) mem_free(r.wanted);
    if (of_group) effect_none(c); /* but for what was said on the way */
}

void cmd_xread(struct call *c) { read_streams(c, false); }
void cmd_xreadgroup(struct call *c) { read_streams(c, true); }
