/* SPDX-License-Identifier: MIT
 *
 * Arguments and replies that several stream commands have; what they propagate.
 */
#include "server/cmd/stream.h"

#include "server/db/db.h"
#include "server/db/hooks.h"

#define LIMIT_NODES 100     /* a trimming that is not exact takes so many nodes at most, */
#define LIMIT_USUAL 10000   /* where nodes have no limit themselves so many entries, */
#define LIMIT_MAX   1000000 /* and never more than these */

/* --- IDs ---------------------------------------------------------------------------------------------------------- */

static bool invalid_id(struct call *c)
{
    call_error(c, "ERR Invalid stream ID specified as stream command argument");
    return false;
}

bool stream_id_arg(struct call *c, struct bytes arg, struct stream_id *id)
{
    return stream_id_parse(arg, 0, id, NULL) || invalid_id(c);
}

bool stream_id_args(struct call *c, int first)
{
    struct stream_id id;
    for (int i = first; i < c->argc; i++)
        if (!stream_id_arg(c, c->argv[i], &id)) return false;
    return true;
}

static bool bound_arg(struct call *c, struct bytes arg, uint64_t missing, struct stream_id *id, bool *excluded)
{
    *excluded = arg.n > 1 && arg.p[0] == '(';
    bool ok = *excluded ? stream_id_parse(bytes_of(arg.p + 1, arg.n - 1), missing, id, NULL)
                        : stream_id_parse_bound(arg, missing, id);
    return ok || invalid_id(c);
}

bool stream_from_arg(struct call *c, struct bytes arg, struct stream_id *from)
{
    bool excluded;
    if (!bound_arg(c, arg, 0, from, &excluded)) return false;
    if (!excluded || stream_id_increment(from)) return true;
    call_error(c, "ERR invalid start ID for the interval");
    return false;
}

bool stream_to_arg(struct call *c, struct bytes arg, struct stream_id *to)
{
    bool excluded;
    if (!bound_arg(c, arg, UINT64_MAX, to, &excluded)) return false;
    if (!excluded || stream_id_decrement(to)) return true;
    call_error(c, "ERR invalid end ID for the interval");
    return false;
}

/* --- XADD, XTRIM -------------------------------------------------------------------------------------------------- */

static bool fail(struct call *c, const char *why)
{
    call_error(c, why);
    return false;
}

static bool is_char(struct bytes s, char ch) { return s.n == 1 && s.p[0] == ch; }

/* MAXLEN or MINID at argv[*at], which moves on to its last argument. */
static bool strategy_arg(struct call *c, struct stream_add_args *a, int *at, bool by_length)
{
    int i = *at + 1;
    if (a->trim.by != XSTREAM_TRIM_NONE)
        return fail(c, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
    a->trim.approximate = i + 1 < c->argc && is_char(c->argv[i], '~');
    if (a->trim.approximate || (i + 1 < c->argc && is_char(c->argv[i], '='))) i++;
    if (by_length) {
        int64_t length;
        if (!call_int(c, c->argv[i], &length)) return false;
        if (length < 0) return fail(c, "ERR The MAXLEN argument must be >= 0.");
        a->trim.length = (uint64_t)length;
    } else if (!stream_id_arg(c, c->argv[i], &a->trim.min)) {
        return false;
    }
    a->trim.by = by_length ? XSTREAM_TRIM_LENGTH : XSTREAM_TRIM_ID;
    a->trim_arg = *at = i;
    return true;
}

/* What may go in one call where it need not be exact. */
static int64_t limit_of(const struct call *c)
{
    int64_t entries = c->cfg->stream_node_max_entries;
    if (entries <= 0) return LIMIT_USUAL;
    return entries > LIMIT_MAX / LIMIT_NODES ? LIMIT_MAX : LIMIT_NODES * entries;
}

static bool check_trim(struct call *c, struct stream_add_args *a, bool is_xadd, bool limited)
{
    struct xstream_trim *t = &a->trim;
    if (t->limit && t->by == XSTREAM_TRIM_NONE)
        return fail(c, "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
    if (!is_xadd && t->by == XSTREAM_TRIM_NONE)
        return fail(c, "ERR syntax error, XTRIM must be called with a trimming strategy");
    if (srv_must_obey(c)) {
        t->limit = 0; /* what is to be left was said exactly */
        return true;
    }
    if (limited && !t->approximate)
        return fail(c, "ERR syntax error, LIMIT cannot be used without the special ~ option");
    if (!limited) t->limit = t->approximate ? limit_of(c) : 0;
    return true;
}

bool stream_add_args(struct call *c, struct stream_add_args *a, bool is_xadd)
{
    bool limited = false;
    int i = 2;
    *a = (struct stream_add_args){0};
    for (; i < c->argc; i++) {
        struct bytes word = c->argv[i];
        bool more = i + 1 < c->argc;
        if (is_xadd && is_char(word, '*')) {
            a->auto_id = true;
            break;
        } else if (more && (bytes_is_word(word, "maxlen") || bytes_is_word(word, "minid"))) {
            if (!strategy_arg(c, a, &i, word.n == 6)) return false;
        } else if (more && bytes_is_word(word, "limit")) {
            if (!call_int(c, c->argv[++i], &a->trim.limit)) return false;
            if (a->trim.limit < 0) return fail(c, "ERR The LIMIT argument must be >= 0.");
            limited = true;
        } else if (is_xadd && bytes_is_word(word, "nomkstream")) {
            a->no_make = true;
        } else if (is_xadd) {
            if (!stream_id_parse(word, 0, &a->id, &a->auto_seq)) return invalid_id(c);
            break;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    a->id_arg = i;
    return likely(is_xadd && a->trim.by == XSTREAM_TRIM_NONE && !limited) || check_trim(c, a, is_xadd, limited);
}

/* --- replies ------------------------------------------------------------------------------------------------------ */

void stream_reply_id(struct call *c, struct stream_id id)
{
    char text[STREAM_ID_TEXT_SIZE];
    reply_bulk(c->out, bytes_of(text, stream_id_format(text, id)));
}

static inline void reply_value(struct call *c, struct lp_value v)
{
    if (lp_value_is_i64(v)) reply_bulk_int(c->out, v.i);
    else reply_bulk(c->out, v.s);
}

void stream_reply_entry(struct call *c, struct xstream_iter *it, struct stream_id id, int64_t fields)
{
    reply_array(c->out, 2);
    stream_reply_id(c, id);
    reply_array(c->out, (size_t)fields * 2);
    for (; fields; fields--) {
        struct lp_value name, value;
        xstream_iter_field(it, &name, &value);
        reply_value(c, name);
        reply_value(c, value);
    }
}

bool stream_reply_one(struct call *c, const struct xstream *s, struct stream_id id)
{
    struct xstream_iter it;
    int64_t fields;
    xstream_iter_init(&it, s, id, id, false);
    if (!xstream_iter_next(&it, &id, &fields)) return false;
    stream_reply_entry(c, &it, id, fields);
    return true;
}

void stream_reply_range(struct call *c, const struct xstream *s, struct stream_id from, struct stream_id to,
                        uint64_t count, bool backwards)
{
    struct xstream_iter it;
    struct stream_id id;
    int64_t fields;
    size_t n = 0;
    struct reply_mark mark = reply_defer(c->out);
    xstream_iter_init(&it, s, from, to, backwards);
    while (!call_output_over(c) && xstream_iter_next(&it, &id, &fields)) {
        stream_reply_entry(c, &it, id, fields);
        if (++n == count) break;
    }
    reply_defer_array(c->out, mark, n);
}

static void no_group(struct call *c, const char *fmt, struct bytes a, struct bytes b, const char *more)
{
    c->failed = true;
    reply_errorf(c->out, fmt, (int)a.n, a.p ? a.p : "", (int)b.n, b.p ? b.p : "", more);
}

void stream_no_group(struct call *c, struct bytes key, struct bytes group, const char *more)
{
    no_group(c, "-NOGROUP No such key '%.*s' or consumer group '%.*s'%s", key, group, more);
}

void stream_no_group_of_key(struct call *c, struct bytes key, struct bytes group)
{
    no_group(c, "-NOGROUP No such consumer group '%.*s' for key name '%.*s'%s", group, key, "");
}

/* --- groups ------------------------------------------------------------------------------------------------------- */

struct stream_consumer *stream_consumer_of(struct call *c, const struct key_ref *key, struct stream_group *g,
                                           struct bytes name, bool *made)
{
    struct stream_consumer *consumer = stream_consumer_find(g, name);
    *made = !consumer;
    if (!consumer) {
        consumer = stream_consumer_add(g, name, c->now_ms);
        c->dirty++;
        db_notify(c, NOTIFY_STREAM, "xgroup-createconsumer", key, c->db->id);
    }
    consumer->seen_ms = c->now_ms;
    return consumer;
}

static struct bytes number_text(char buf[NUMBER_I64_SIZE], int64_t v)
{
    return bytes_of(buf, number_format_i64(buf, v));
}

void stream_effect_claim(struct call *c, struct bytes key, const struct stream_group *g, struct bytes id,
                         const struct stream_nack *n)
{
    char ms[NUMBER_I64_SIZE], count[NUMBER_I64_SIZE], last[STREAM_ID_TEXT_SIZE];
    if (!effect_wanted(c)) return;
    effect_as(c, 14,
              (struct bytes[]){BYTES("XCLAIM"), key, stream_group_name(g), stream_consumer_name(n->consumer),
                               BYTES("0"), id, BYTES("TIME"), number_text(ms, n->delivered_ms), BYTES("RETRYCOUNT"),
                               number_text(count, (int64_t)n->deliveries), BYTES("FORCE"), BYTES("JUSTID"),
                               BYTES("LASTID"), bytes_of(last, stream_id_format(last, g->last))});
}

void stream_effect_group_id(struct call *c, struct bytes key, const struct stream_group *g)
{
    char last[STREAM_ID_TEXT_SIZE], read[NUMBER_I64_SIZE];
    if (!effect_wanted(c)) return;
    effect_as(c, 7,
              (struct bytes[]){BYTES("XGROUP"), BYTES("SETID"), key, stream_group_name(g),
                               bytes_of(last, stream_id_format(last, g->last)), BYTES("ENTRIESREAD"),
                               number_text(read, g->read)});
}

void stream_effect_consumer(struct call *c, struct bytes key, const struct stream_group *g,
                            const struct stream_consumer *consumer)
{
    if (!effect_wanted(c)) return;
    effect_as(c, 5,
              (struct bytes[]){BYTES("XGROUP"), BYTES("CREATECONSUMER"), key, stream_group_name(g),
                               stream_consumer_name(consumer)});
}
