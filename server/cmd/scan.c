/* SPDX-License-Identifier: MIT
 *
 * SCAN, HSCAN, SSCAN, ZSCAN. A table is walked by its cursor; small encodings are shown whole with cursor 0, as they
 * always fit one reply.
 *
 * A call collects first and filters afterwards, so that the work is bounded by COUNT (times ten, where the table is
 * sparse) whatever the filter lets through, and so that expired keys can be deleted once the walk is over.
 */
#include "server/command/handlers.h"
#include "server/db/db.h"
#include "server/ds/dict.h"
#include "server/ds/glob.h"
#include "server/ds/intset.h"
#include "server/ds/listpack.h"
#include "server/ds/number.h"
#include "server/ds/ztree.h"
#include "server/mem.h"

#define STEPS_PER_COUNT 10

struct scan_options {
    int64_t count;
    bool match;
    struct bytes pattern, type; /* type.p NULL: any */
};

/* What strtoul() takes for a whole string, spaces excepted: a sign is allowed, and nothing at all is 0. */
static bool parse_cursor(struct call *c, struct bytes arg, uint64_t *out)
{
    size_t n = arg.n ? strnlen(arg.p, arg.n) : 0, i = 0;
    bool minus = n && arg.p[0] == '-', ok = true;
    uint64_t v = 0;
    if (n && (minus || arg.p[0] == '+')) i = 1;
    if (i == n && i == 1) ok = false;
    for (; ok && i < n; i++) {
        unsigned d = (unsigned char)arg.p[i] - (unsigned)'0';
        ok = d <= 9 && !__builtin_mul_overflow(v, 10, &v) && !__builtin_add_overflow(v, d, &v);
    }
    if (!ok) {
        call_error(c, "ERR invalid cursor");
        return false;
    }
    *out = minus ? -v : v;
    return true;
}

static bool parse_options(struct call *c, int first, bool keys, struct scan_options *o)
{
    *o = (struct scan_options){.count = 10};
    for (int i = first; i < c->argc; i += 2) {
        bool more = i + 1 < c->argc;
        if (more && bytes_is_word(c->argv[i], "count")) {
            if (!call_int(c, c->argv[i + 1], &o->count)) return false;
            if (o->count < 1) {
                call_syntax_error(c);
                return false;
            }
        } else if (more && bytes_is_word(c->argv[i], "match")) {
            o->pattern = c->argv[i + 1];
            o->match = !bytes_equal(o->pattern, BYTES("*"));
        } else if (more && keys && bytes_is_word(c->argv[i], "type")) {
            o->type = c->argv[i + 1];
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

static uint64_t steps_max(const struct scan_options *o)
{
    return o->count > INT64_MAX / STEPS_PER_COUNT ? INT64_MAX : (uint64_t)o->count * STEPS_PER_COUNT;
}

/* Text from a buffer smaller than reply_bulk() is inlined for. */
static void bulk_small(struct call *c, struct bytes s) { reply_bulk_slow(c->out, s); }

/* --- keys --------------------------------------------------------------------------------------------------------- */

struct found_keys {
    const struct entry **entries;
    size_t count, room;
};

static void collect_key(void *arg, const struct entry *e)
{
    struct found_keys *f = arg;
    if (f->count == f->room) {
        f->room = f->room ? f->room * 2 : 32;
        f->entries = mem_realloc(f->entries, f->room * sizeof(const struct entry *));
    }
    f->entries[f->count++] = e;
}

static bool key_is_wanted(struct call *c, const struct scan_options *o, const struct entry *e)
{
    struct bytes key = entry_key(e);
    if (o->match && !glob_match(o->pattern, key, false)) return false;
    if (entry_expire(e) >= 0) {
        struct key_ref ref = key_ref_of(c->db, key);
        if (!db_peek(c, &ref)) return false; /* its time had come, and it is deleted: of whatever type */
    }
    return !o->type.p || bytes_is_word(o->type, obj_type_name(e->type));
}

void cmd_scan(struct call *c)
{
    uint64_t cursor;
    struct scan_options o;
    if (!parse_cursor(c, c->argv[1], &cursor) || !parse_options(c, 2, true, &o)) return;

    struct found_keys f = {0};
    uint64_t steps = steps_max(&o);
    do cursor = db_scan(c->db, cursor, collect_key, &f);
    while (cursor && steps-- && f.count < (uint64_t)o.count);

    reply_array(c->out, 2);
    char num[NUMBER_I64_SIZE];
    bulk_small(c, bytes_of(num, number_format_u64(num, cursor)));
    struct reply_mark m = reply_defer(c->out);
    size_t shown = 0;
    for (size_t i = 0; i < f.count; i++) {
        if (!key_is_wanted(c, &o, f.entries[i])) continue;
        call_bulk(c, entry_key(f.entries[i]));
        shown++;
    }
    reply_defer_array(c->out, m, shown);
    mem_free(f.entries);
}

/* --- what a key holds --------------------------------------------------------------------------------------------- */

/* The reply is begun with cursor 0 or what the walk gives: elements are put aside as views, which hold as nothing
 * changes meanwhile. */
struct scan_found {
    struct scan_element {
        struct bytes name, value;
        double score;
    } * list;
    size_t count, room;
};

static struct scan_element *add(struct scan_found *f)
{
    if (f->count == f->room) {
        f->room = f->room ? f->room * 2 : 32;
        f->list = mem_realloc(f->list, f->room * sizeof *f->list);
    }
    return &f->list[f->count++];
}

static void collect_field(void *arg, struct bytes field, struct bytes value)
{
    *add(arg) = (struct scan_element){.name = field, .value = value};
}

static void collect_member(void *arg, struct bytes member, double score)
{
    *add(arg) = (struct scan_element){.name = member, .score = score};
}

static uint64_t scan_table(const struct entry *e, uint64_t cursor, const struct scan_options *o, struct scan_found *f)
{
    uint64_t steps = steps_max(o);
    do {
        if (e->enc == ENC_SKIPLIST) cursor = ztree_scan(entry_ptr(e), cursor, collect_member, f);
        else cursor = dict_scan(entry_ptr(e), cursor, collect_field, f);
    } while (cursor && steps-- && f->count < (uint64_t)o->count);
    return cursor;
}

static void scan_begin(struct call *c, uint64_t cursor)
{
    char num[NUMBER_I64_SIZE];
    reply_array(c->out, 2);
    bulk_small(c, bytes_of(num, number_format_u64(num, cursor)));
}

static void show_found(struct call *c, const struct entry *e, const struct scan_options *o, const struct scan_found *f)
{
    struct reply_mark m = reply_defer(c->out);
    size_t shown = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct scan_element *el = &f->list[i];
        if (o->match && !glob_match(o->pattern, el->name, false)) continue;
        call_bulk(c, el->name);
        shown++;
        if (e->type == OBJ_SET) continue;
        char num[NUMBER_DOUBLE_SIZE];
        if (e->type == OBJ_HASH) call_bulk(c, el->value);
        else bulk_small(c, bytes_of(num, number_format_g17(num, el->score)));
        shown++;
    }
    reply_defer_array(c->out, m, shown);
}

static void show_intset(struct call *c, const struct intset *s, const struct scan_options *o)
{
    struct reply_mark m = reply_defer(c->out);
    size_t shown = 0;
    for (size_t i = 0; i < intset_count(s); i++) {
        char num[NUMBER_I64_SIZE];
        struct bytes text = bytes_of(num, number_format_i64(num, intset_get(s, i)));
        if (o->match && !glob_match(o->pattern, text, false)) continue;
        bulk_small(c, text);
        shown++;
    }
    reply_defer_array(c->out, m, shown);
}

static void show_listpack(struct call *c, const unsigned char *lp, bool pairs, const struct scan_options *o)
{
    struct reply_mark m = reply_defer(c->out);
    size_t shown = 0;
    char num[NUMBER_I64_SIZE];
    for (unsigned char *p = lp_first(lp); p; p = lp_next(lp, p)) {
        struct bytes name = lp_get_bytes(p, num);
        bool wanted = !o->match || glob_match(o->pattern, name, false);
        if (wanted) bulk_small(c, name);
        if (pairs) p = lp_next(lp, p);
        if (wanted && pairs) bulk_small(c, lp_get_bytes(p, num));
        if (wanted) shown += pairs ? 2 : 1;
    }
    reply_defer_array(c->out, m, shown);
}

static void scan_value(struct call *c, enum obj_type type)
{
    uint64_t cursor;
    struct scan_options o;
    if (!parse_cursor(c, c->argv[2], &cursor)) return;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        scan_begin(c, 0);
        reply_array(c->out, 0);
        return;
    }
    if (call_wrong_type(c, e, type) || !parse_options(c, 3, false, &o)) return;

    if (e->enc == ENC_INTSET || e->enc == ENC_LISTPACK) {
        scan_begin(c, 0);
        if (e->enc == ENC_INTSET) show_intset(c, entry_ptr(e), &o);
        else show_listpack(c, entry_ptr(e), type != OBJ_SET, &o);
        return;
    }
    struct scan_found f = {0};
    scan_begin(c, scan_table(e, cursor, &o, &f));
    show_found(c, e, &o, &f);
    mem_free(f.list);
}

void cmd_hscan(struct call *c) { scan_value(c, OBJ_HASH); }
void cmd_sscan(struct call *c) { scan_value(c, OBJ_SET); }
void cmd_zscan(struct call *c) { scan_value(c, OBJ_ZSET); }
