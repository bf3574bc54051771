/* SPDX-License-Identifier: MIT
 *
 * The commands on strings, but for LCS and the bit commands. Behaviour, texts and the order of checks are redis-server
 * 7.0.15's.
 *
 * Expiries are propagated as absolute times (SET ... PXAT, PEXPIREAT), floating-point results as what they came to
 * (SET), so that a replica and a log read later arrive at the same data.
 */
#include "server/cmd/string.h"

#include <math.h>

#include "server/command/handlers.h"
#include "server/conf/config.h"
#include "server/db/db.h"
#include "server/mem.h"
#include "server/db/hooks.h"
#include "server/ds/number.h"

#define LEND_MIN 32768 /* bytes from which on a reply borrows the value: reply_bulk_ref() copies what is smaller */

static void give_back(void *blob) { blob_unref(blob); }

void string_reply(struct call *c, const struct entry *e)
{
    if (unlikely(e->enc == ENC_RAW)) {
        struct blob *b = entry_ptr(e);
        if (b->len >= LEND_MIN) {
            blob_ref(b);
            reply_bulk_ref(c->out, bytes_of(b->data, b->len), give_back, b);
            return;
        }
    }
    char buf[ENTRY_STR_BUF];
    reply_bulk(c->out, entry_string(e, buf));
}

/* --- options of SET and GETEX --------------------------------------------------------------------------------- */

enum set_flag {
    SET_NX = 1,
    SET_XX = 2,
    SET_KEEPTTL = 4,
    SET_GET = 8,
    SET_PERSIST = 16,
    SET_TIME = 32,
    SET_ABSOLUTE = 64
};

struct set_options {
    unsigned flags;
    int64_t unit_ms; /* with SET_TIME */
    struct bytes when;
};

static bool take_time(struct set_options *o, struct bytes word, struct bytes next)
{
    static const struct {
        const char *word;
        int64_t unit_ms;
        unsigned flags;
    } kinds[] = {{"ex", 1000, SET_TIME},
                 {"px", 1, SET_TIME},
                 {"exat", 1000, SET_TIME | SET_ABSOLUTE},
                 {"pxat", 1, SET_TIME | SET_ABSOLUTE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!bytes_is_word(word, kinds[i].word)) continue;
        /* The same word again is allowed and the last one counts. */
        if ((o->flags & SET_TIME) &&
            (o->unit_ms != kinds[i].unit_ms || (o->flags & SET_ABSOLUTE) != (kinds[i].flags & SET_ABSOLUTE)))
            return false;
        o->flags |= kinds[i].flags;
        o->unit_ms = kinds[i].unit_ms;
        o->when = next;
        return true;
    }
    return false;
}

static bool parse_options(struct call *c, int first, bool is_set, struct set_options *o)
{
    for (int i = first; i < c->argc; i++) {
        struct bytes w = c->argv[i];
        unsigned f = o->flags;
        if (is_set && bytes_is_word(w, "nx") && !(f & SET_XX)) {
            o->flags |= SET_NX;
        } else if (is_set && bytes_is_word(w, "xx") && !(f & SET_NX)) {
            o->flags |= SET_XX;
        } else if (is_set && bytes_is_word(w, "get")) {
            o->flags |= SET_GET;
        } else if (is_set && bytes_is_word(w, "keepttl") && !(f & SET_TIME)) {
            o->flags |= SET_KEEPTTL;
        } else if (!is_set && bytes_is_word(w, "persist") && !(f & SET_TIME)) {
            o->flags |= SET_PERSIST;
        } else if (!(f & (SET_KEEPTTL | SET_PERSIST)) && i + 1 < c->argc && take_time(o, w, c->argv[i + 1])) {
            i++;
        } else {
            call_syntax_error(c);
            return false;
        }
    }
    return true;
}

bool string_expire_time(struct call *c, struct bytes arg, int64_t unit_ms, int64_t base_ms, int64_t *out)
{
    int64_t v;
    if (!call_int(c, arg, &v)) return false;
    if (v <= 0 || v > INT64_MAX / unit_ms || v * unit_ms > INT64_MAX - base_ms) {
        call_errorf(c, "ERR invalid expire time in '%s' command", c->cmd->full_name);
        return false;
    }
    *out = v * unit_ms + base_ms;
    return true;
}

static bool options_time(struct call *c, const struct set_options *o, int64_t *out)
{
    *out = -1;
    if (!(o->flags & SET_TIME)) return true;
    return string_expire_time(c, o->when, o->unit_ms, (o->flags & SET_ABSOLUTE) ? 0 : c->now_ms, out);
}

/* --- GET ------------------------------------------------------------------------------------------------------- */

/* False: an error was replied. *out is NULL when there is no key (null was replied). */
static bool get(struct call *c, const struct entry **out)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    *out = e;
    if (!e) {
        reply_null(c->out);
        return true;
    }
    if (call_wrong_type(c, e, OBJ_STRING)) return false;
    string_reply(c, e);
    return true;
}

void cmd_get(struct call *c)
{
    const struct entry *e;
    get(c, &e);
}

void cmd_strlen(struct call *c)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) call_integer(c, 0);
    else if (!call_wrong_type(c, e, OBJ_STRING)) call_integer(c, (int64_t)entry_string_length(e));
}

void cmd_mget(struct call *c)
{
    size_t ahead = 0;
    reply_array(c->out, (size_t)c->argc - 1);
    for (int i = 1; i < c->argc; i++) {
        const struct entry *e = db_lookup_read(c, call_key_ahead(c, &ahead, i));
        if (e && e->type == OBJ_STRING) string_reply(c, e);
        else reply_null(c->out);
    }
}

void cmd_getrange(struct call *c)
{
    int64_t start, end;
    if (!call_int(c, c->argv[2], &start) || !call_int(c, c->argv[3], &end)) return;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        call_bulk(c, BYTES(""));
        return;
    }
    if (call_wrong_type(c, e, OBJ_STRING)) return;

    char buf[ENTRY_STR_BUF];
    struct bytes s = entry_string(e, buf);
    int64_t n = (int64_t)s.n;
    if (start < 0 && end < 0 && start > end) {
        call_bulk(c, BYTES(""));
        return;
    }
    if (start < 0) start = start + n < 0 ? 0 : start + n;
    if (end < 0) end = end + n < 0 ? 0 : end + n;
    if (end >= n) end = n - 1;
    if (n == 0 || start > end) call_bulk(c, BYTES(""));
    else call_bulk(c, bytes_of(s.p + start, (size_t)(end - start) + 1));
}

void cmd_substr(struct call *c) { cmd_getrange(c); }

/* --- GET that changes ------------------------------------------------------------------------------------------- */

/* Deletes the key of argv[1], which is there, for a command whose effect that is. */
static void delete_key(struct call *c, bool lazy)
{
    const struct key_ref *key = call_key(c, 1);
    if (lazy) db_delete_lazy(c, key);
    else db_delete(c, key);
    effect_deleted(c, key->name, lazy);
    db_changed(c, key, NOTIFY_GENERIC, "del");
}

void cmd_getdel(struct call *c)
{
    const struct entry *e;
    if (!get(c, &e) || !e) return;
    delete_key(c, false);
}

static void getex_expire(struct call *c, const struct entry *e, int64_t when)
{
    const struct key_ref *key = call_key(c, 1);
    db_set_expire(c, key, e, when);
    if (effect_wanted(c)) {
        char num[NUMBER_I64_SIZE];
        struct bytes at = bytes_of(num, number_format_i64(num, when));
        effect_as(c, 3, (struct bytes[]){BYTES("PEXPIREAT"), key->name, at});
    }
    db_changed(c, key, NOTIFY_GENERIC, "expire");
}

void cmd_getex(struct call *c)
{
    struct set_options o = {0};
    if (!parse_options(c, 2, false, &o)) return;
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e) {
        reply_null(c->out);
        return;
    }
    if (call_wrong_type(c, e, OBJ_STRING)) return;
    int64_t when;
    if (!options_time(c, &o, &when)) return;

    string_reply(c, e);
    if ((o.flags & SET_ABSOLUTE) && when <= c->now_ms && srv_past_deletes(c)) {
        delete_key(c, c->cfg->lazyfree_lazy_expire);
    } else if (when >= 0) {
        getex_expire(c, e, when);
    } else if ((o.flags & SET_PERSIST) && entry_expire(e) >= 0) {
        db_set_expire(c, call_key(c, 1), e, -1);
        if (effect_wanted(c)) effect_as(c, 2, (struct bytes[]){BYTES("PERSIST"), c->argv[1]});
        db_changed(c, call_key(c, 1), NOTIFY_GENERIC, "persist");
    }
}

void cmd_getset(struct call *c)
{
    const struct entry *e;
    if (!get(c, &e)) return;
    db_put_string(c, call_key(c, 1), c->argv[2], -1, 0);
    if (effect_wanted(c)) effect_as(c, 3, (struct bytes[]){BYTES("SET"), c->argv[1], c->argv[2]});
    db_changed(c, call_key(c, 1), NOTIFY_STRING, "set");
}

/* --- SET -------------------------------------------------------------------------------------------------------- */

/* As it came, less GET. */
static void effect_without_get(struct call *c)
{
    struct bytes *argv = mem_alloc((size_t)c->argc * sizeof *argv);
    int n = 0;
    for (int i = 0; i < c->argc; i++)
        if (i < 3 || !bytes_is_word(c->argv[i], "get")) argv[n++] = c->argv[i];
    effect_as(c, n, argv);
    mem_free(argv);
}

/* SET's effect when its own text would not do: with GET, or a time that is not PXAT's. */
static void set_effect(struct call *c, struct bytes key, struct bytes val, const struct set_options *o, int64_t when)
{
    if (!effect_wanted(c)) return;
    if (when >= 0 && !((o->flags & SET_ABSOLUTE) && o->unit_ms == 1)) {
        char num[NUMBER_I64_SIZE];
        struct bytes at = bytes_of(num, number_format_i64(num, when));
        effect_as(c, 5, (struct bytes[]){BYTES("SET"), key, val, BYTES("PXAT"), at});
    } else if (when < 0 && (o->flags & SET_GET)) {
        effect_without_get(c);
    }
}

/* False: NX or XX forbade it, or an error was replied; the reply is given then and with GET. True: set, and the
 * reply is the caller's. */
static bool set(struct call *c, struct bytes val, const struct set_options *o, bool *refused)
{
    const struct key_ref *key = call_key(c, 1);
    int64_t when;
    *refused = false;
    if (!options_time(c, o, &when)) return false;
    const struct entry *old = NULL;
    if ((o->flags & SET_GET) && !get(c, &old)) return false;
    if (o->flags & (SET_NX | SET_XX)) {
        bool found = db_lookup_in(c, c->db, key) != NULL;
        if (found ? (o->flags & SET_NX) : (o->flags & SET_XX)) {
            *refused = true;
            return false;
        }
    }
    db_put_string(c, key, val, when, (o->flags & SET_KEEPTTL) ? PUT_KEEP_TTL : 0);
    set_effect(c, key->name, val, o, when);
    db_changed(c, key, NOTIFY_STRING, "set");
    if (when >= 0) db_notify(c, NOTIFY_GENERIC, "expire", key, c->db->id);
    return true;
}

void cmd_set(struct call *c)
{
    if (likely(c->argc == 3)) {
        const struct key_ref *key = call_key(c, 1);
        db_put_string(c, key, c->argv[2], -1, 0);
        db_changed(c, key, NOTIFY_STRING, "set");
        reply_ok(c->out);
        return;
    }
    struct set_options o = {0};
    bool refused;
    if (!parse_options(c, 3, true, &o)) return;
    if (set(c, c->argv[2], &o, &refused)) {
        if (!(o.flags & SET_GET)) reply_ok(c->out);
    } else if (refused && !(o.flags & SET_GET)) {
        reply_null(c->out);
    }
}

void cmd_setnx(struct call *c)
{
    struct set_options o = {.flags = SET_NX};
    bool refused;
    if (set(c, c->argv[2], &o, &refused)) call_integer(c, 1);
    else if (refused) call_integer(c, 0);
}

static void set_with_time(struct call *c, int64_t unit_ms)
{
    struct set_options o = {.flags = SET_TIME, .unit_ms = unit_ms, .when = c->argv[2]};
    bool refused;
    if (set(c, c->argv[3], &o, &refused)) reply_ok(c->out);
}

void cmd_setex(struct call *c) { set_with_time(c, 1000); }
void cmd_psetex(struct call *c) { set_with_time(c, 1); }

static bool pairs_are_whole(struct call *c)
{
    if (c->argc % 2 != 0) return true;
    call_arity_error(c);
    return false;
}

static void set_pairs(struct call *c)
{
    size_t ahead = 0;
    for (int i = 1; i < c->argc; i += 2) {
        const struct key_ref *key = call_key_ahead(c, &ahead, i);
        db_put_string(c, key, c->argv[i + 1], -1, 0);
        db_changed(c, key, NOTIFY_STRING, "set");
    }
}

void cmd_mset(struct call *c)
{
    if (!pairs_are_whole(c)) return;
    set_pairs(c);
    reply_ok(c->out);
}

void cmd_msetnx(struct call *c)
{
    size_t ahead = 0;
    if (!pairs_are_whole(c)) return;
    for (int i = 1; i < c->argc; i += 2) {
        if (!db_lookup_in(c, c->db, call_key_ahead(c, &ahead, i))) continue;
        call_integer(c, 0);
        return;
    }
    set_pairs(c);
    call_integer(c, 1);
}

/* --- APPEND, SETRANGE ------------------------------------------------------------------------------------------- */

static bool length_is_allowed(struct call *c, uint64_t had, uint64_t more)
{
    if (srv_must_obey(c)) return true;
    if (had + more >= had && had + more <= (uint64_t)c->cfg->proto_max_bulk_len) return true;
    call_error(c, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

void cmd_append(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    struct bytes more = c->argv[2];
    struct entry *e = db_lookup_write(c, key);
    size_t total = more.n;
    if (!e) {
        db_put_string(c, key, more, -1, 0);
    } else {
        if (call_wrong_type(c, e, OBJ_STRING)) return;
        size_t had = entry_string_length(e);
        if (!length_is_allowed(c, had, more.n)) return;
        total = had + more.n;
        char *p = db_string_edit(c, key, &e, total);
        if (more.n) memcpy(p + had, more.p, more.n);
    }
    db_changed(c, key, NOTIFY_STRING, "append");
    call_integer(c, (int64_t)total);
}

void cmd_setrange(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    struct bytes val = c->argv[3];
    int64_t offset;
    if (!call_int(c, c->argv[2], &offset)) return;
    if (offset < 0) {
        call_error(c, "ERR offset is out of range");
        return;
    }
    struct entry *e = db_lookup_write(c, key);
    if (e && call_wrong_type(c, e, OBJ_STRING)) return;
    size_t had = e ? entry_string_length(e) : 0;
    if (val.n == 0) {
        call_integer(c, (int64_t)had);
        return;
    }
    if (!length_is_allowed(c, (uint64_t)offset, val.n)) return;

    if (!e) e = db_put_string(c, key, BYTES(""), -1, 0);
    size_t end = (size_t)offset + val.n, total = end > had ? end : had;
    char *p = db_string_edit(c, key, &e, total);
    memcpy(p + offset, val.p, val.n);
    db_changed(c, key, NOTIFY_STRING, "setrange");
    call_integer(c, (int64_t)total);
}

/* --- INCR ------------------------------------------------------------------------------------------------------- */

static void increment(struct call *c, int64_t by)
{
    const struct key_ref *key = call_key(c, 1);
    struct entry *e = db_lookup_write(c, key);
    int64_t v = 0;
    if (e) {
        if (call_wrong_type(c, e, OBJ_STRING)) return;
        if (likely(e->enc == ENC_INT)) v = entry_int(e);
        else if (!call_int(c, entry_string(e, NULL), &v)) return;
    }
    if (__builtin_add_overflow(v, by, &v)) {
        call_error(c, "ERR increment or decrement would overflow");
        return;
    }
    if (likely(e && e->enc == ENC_INT)) entry_set_int(e, v);
    else db_put_int(c, key, v, PUT_KEEP_TTL);
    db_changed(c, key, NOTIFY_STRING, "incrby");
    call_integer(c, v);
}

void cmd_incr(struct call *c) { increment(c, 1); }
void cmd_decr(struct call *c) { increment(c, -1); }

void cmd_incrby(struct call *c)
{
    int64_t by;
    if (call_int(c, c->argv[2], &by)) increment(c, by);
}

void cmd_decrby(struct call *c)
{
    int64_t by;
    if (!call_int(c, c->argv[2], &by)) return;
    if (by == INT64_MIN) {
        call_error(c, "ERR decrement would overflow");
        return;
    }
    increment(c, -by);
}

void cmd_incrbyfloat(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    struct entry *e = db_lookup_write(c, key);
    long double v = 0, by;
    char old[ENTRY_STR_BUF];
    if (e && call_wrong_type(c, e, OBJ_STRING)) return;
    if (e && !call_long_double(c, entry_string(e, old), &v)) return;
    if (!call_long_double(c, c->argv[2], &by)) return;
    v += by;
    if (isnan(v) || isinf(v)) {
        call_error(c, "ERR increment would produce NaN or Infinity");
        return;
    }
    char text[NUMBER_LDOUBLE_SIZE];
    struct bytes s = bytes_of(text, number_format_ldouble(text, v));
    struct blob *b = blob_new(s.n, s.n); /* stays text, even when it reads like an integer */
    memcpy(b->data, s.p, s.n);
    db_put_value(c, key, (struct value){.type = OBJ_STRING, .enc = ENC_RAW, .p = b}, -1, PUT_KEEP_TTL);
    if (effect_wanted(c)) effect_as(c, 4, (struct bytes[]){BYTES("SET"), key->name, s, BYTES("KEEPTTL")});
    db_changed(c, key, NOTIFY_STRING, "incrbyfloat");
    call_bulk(c, s);
}
