/* SPDX-License-Identifier: MIT
 *
 * What makes entries and takes them away: XADD, XTRIM, XDEL, XSETID; and XLEN.
 *
 * An ID that was made here and a trimming that need not be exact are propagated as what they came to.
 */
#include "server/cmd/stream.h"
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/mem.h"

#define ARGS_ON_STACK 64

static const struct xstream nothing;

/* The stream at argv[1] to change; NULL: there is none, or (c->failed) something else. */
static struct xstream *stream_to_change(struct call *c)
{
    struct entry *e = db_lookup_write(c, call_key(c, 1));
    return e && !call_wrong_type(c, e, OBJ_STREAM) ? stream_of(e) : NULL;
}

/* --- XADD --------------------------------------------------------------------------------------------------------- */

/* False: an error was replied. */
static bool choose_id(struct call *c, const struct stream_add_args *a, const struct xstream *s, struct stream_id *id)
{
    bool ok = true;
    if (stream_id_compare(s->last, STREAM_ID_MAX) == 0) {
        call_error(c, "ERR The stream has exhausted the last possible ID, unable to add more items");
        return false;
    }
    *id = a->id;
    if (a->auto_id) {
        ok = xstream_next_id(s, c->now_ms, id);
    } else if (a->auto_seq && s->last.ms == id->ms) {
        ok = s->last.seq != UINT64_MAX;
        id->seq = s->last.seq + 1;
    }
    if (likely(ok && stream_id_compare(*id, s->last) > 0)) return true;
    call_error(c, "ERR The ID specified in XADD is equal or smaller than the target stream top item");
    return false;
}

static bool too_large(struct call *c, int first)
{
    size_t sum = 0;
    for (int i = first; i < c->argc; i++) sum += c->argv[i].n;
    if (likely(sum <= LP_SIZE_MAX)) return false;
    call_error(c, "ERR Elements are too large to be stored");
    return true;
}

/* The command with its ID (NULL: as it is) and, if that was not exact, its trimming as it came out. */
static void effect_exact(struct call *c, const struct stream_add_args *a, const struct xstream *s,
                         const struct stream_id *id)
{
    struct bytes stack[ARGS_ON_STACK];
    size_t size = (size_t)c->argc * sizeof *stack;
    struct bytes *argv = c->argc <= ARGS_ON_STACK ? stack : mem_alloc(size);
    char id_text[STREAM_ID_TEXT_SIZE], trim_text[STREAM_ID_TEXT_SIZE];
    memcpy(argv, c->argv, size);
    if (id) argv[a->id_arg] = bytes_of(id_text, stream_id_format(id_text, *id));
    if (a->trim.approximate) {
        argv[a->trim_arg - 1] = BYTES("=");
        argv[a->trim_arg] =
            bytes_of(trim_text, a->trim.by == XSTREAM_TRIM_LENGTH ? number_format_u64(trim_text, s->length)
                                                                  : stream_id_format(trim_text, xstream_first_any(s)));
    }
    effect_as(c, c->argc, argv);
    if (argv != stack) mem_free(argv);
}

void cmd_xadd(struct call *c)
{
    struct stream_add_args a;
    struct stream_id id;
    if (!stream_add_args(c, &a, true)) return;
    int first = a.id_arg + 1;
    if (c->argc - first < 2 || (c->argc - first) % 2) {
        call_arity_error(c);
        return;
    }
    bool given = !a.auto_id && !a.auto_seq;
    if (given && stream_id_is_zero(a.id)) {
        call_error(c, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    const struct key_ref *key = call_key(c, 1);
    struct xstream *s = stream_to_change(c);
    if (c->failed) return;
    if (!s && a.no_make) {
        reply_null(c->out);
        return;
    }
    if (!choose_id(c, &a, s ? s : &nothing, &id) || too_large(c, first)) return;

    bool is_new = !s;
    struct xstream_limits limits = stream_limits(c->cfg);
    if (is_new) s = xstream_new();
    if (!xstream_append(s, id, c->argv + first, (c->argc - first) / 2, &limits)) {
        call_error(c, "ERR Elements are too large to be stored");
        return;
    }
    if (is_new) db_put_value(c, key, stream_value(s), -1, 0);
    stream_reply_id(c, id);
    db_changed(c, key, NOTIFY_STREAM, "xadd");
    if (xstream_trim(s, &a.trim)) db_notify(c, NOTIFY_STREAM, "xtrim", key, c->db->id);
    if ((!given || a.trim.approximate) && effect_wanted(c)) effect_exact(c, &a, s, given ? NULL : &id);
    db_ready(c, key, OBJ_STREAM);
}

/* --- XTRIM, XDEL -------------------------------------------------------------------------------------------------- */

void cmd_xtrim(struct call *c)
{
    struct stream_add_args a;
    if (!stream_add_args(c, &a, false)) return;
    struct xstream *s = stream_to_change(c);
    if (c->failed) return;
    int64_t gone = s ? xstream_trim(s, &a.trim) : 0;
    if (gone) {
        db_changed(c, call_key(c, 1), NOTIFY_STREAM, "xtrim");
        c->dirty += gone - 1;
        if (a.trim.approximate && effect_wanted(c)) effect_exact(c, &a, s, NULL);
    }
    call_integer(c, gone);
}

void cmd_xdel(struct call *c)
{
    struct xstream *s = stream_to_change(c);
    if (c->failed) return;
    if (!s) {
        call_integer(c, 0);
        return;
    }
    if (!stream_id_args(c, 2)) return;
    struct stream_id id, first = s->first;
    int64_t gone = 0;
    bool first_gone = false;
    for (int i = 2; i < c->argc; i++) {
        stream_id_parse(c->argv[i], 0, &id, NULL);
        if (!xstream_delete(s, id)) continue;
        if (stream_id_compare(id, first) == 0) first_gone = true;
        if (stream_id_compare(id, s->max_deleted) > 0) s->max_deleted = id;
        gone++;
    }
    if (gone) {
        if (first_gone || !s->length) xstream_find_first(s);
        db_changed(c, call_key(c, 1), NOTIFY_STREAM, "xdel");
        c->dirty += gone - 1;
    }
    call_integer(c, gone);
}

/* --- XSETID, XLEN ------------------------------------------------------------------------------------------------- */

struct setid {
    struct stream_id id, max_deleted;
    int64_t added; /* -1: not given */
};

static bool parse_setid(struct call *c, struct setid *o)
{
    *o = (struct setid){.added = -1};
    if (!stream_id_arg(c, c->argv[2], &o->id)) return false;
    for (int i = 3; i < c->argc; i += 2) {
        bool more = i + 1 < c->argc;
        if (more && bytes_is_word(c->argv[i], "entriesadded")) {
            if (!call_int(c, c->argv[i + 1], &o->added)) return false;
            if (o->added >= 0) continue;
            call_error(c, "ERR entries_added must be positive");
            return false;
        }
        if (!more || !bytes_is_word(c->argv[i], "maxdeletedid")) {
            call_syntax_error(c);
            return false;
        }
        if (!stream_id_arg(c, c->argv[i + 1], &o->max_deleted)) return false;
        if (stream_id_compare(o->id, o->max_deleted) < 0) {
            call_error(c, "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
            return false;
        }
    }
    return true;
}

static const char *why_not_setid(const struct xstream *s, const struct setid *o)
{
    struct stream_id top;
    if (stream_id_compare(o->id, s->max_deleted) < 0)
        return "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
    if (!s->length || !xstream_last_live(s, &top)) return NULL;
    if (stream_id_compare(o->id, top) < 0)
        return "ERR The ID specified in XSETID is smaller than the target stream top item";
    if (o->added != -1 && s->length > (uint64_t)o->added)
        return "ERR The entries_added specified in XSETID is smaller than the target stream length";
    return NULL;
}

void cmd_xsetid(struct call *c)
{
    struct setid o;
    if (!parse_setid(c, &o)) return;
    const struct key_ref *key = call_key(c, 1);
    struct xstream *s = stream_to_change(c);
    if (c->failed) return;
    const char *why = s ? why_not_setid(s, &o) : "ERR no such key";
    if (why) {
        call_error(c, why);
        return;
    }
    s->last = o.id;
    if (o.added != -1) s->added = (uint64_t)o.added;
    if (!stream_id_is_zero(o.max_deleted)) s->max_deleted = o.max_deleted;
    call_ok(c);
    c->dirty++;
    db_notify(c, NOTIFY_STREAM, "xsetid", key, c->db->id);
}

void cmd_xlen(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (e && call_wrong_type(c, e, OBJ_STREAM)) return;
    call_integer(c, e ? (int64_t)stream_of(e)->length : 0);
}
