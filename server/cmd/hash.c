/* SPDX-License-Identifier: MIT
 *
 * The commands on hashes but for HRANDFIELD (hash_random.c) and HSCAN (scan.c). Behaviour, texts and the order of
 * checks are redis-server 7.0.15's. HINCRBYFLOAT is propagated as HSET of what it came to.
 */
#include "server/cmd/hash.h"

#include <math.h>

#include "server/command/handlers.h"
#include "server/db/db.h"

/* --- changed ------------------------------------------------------------------------------------------------------ */

/* The hash of argv[1] while it is changed. */
struct hash_change {
    struct db_edit edit; /* of none: the hash is new and put into the keyspace by changed() */
    struct hash h;
    struct hash_rules rules;
};

/* False: an error was replied. Otherwise changed() or, for a refusal, abandon() must follow. */
static bool change(struct call *c, struct hash_change *ch)
{
    bool is_there = db_edit_begin(c, call_key(c, 1), &ch->edit);
    if (is_there && call_wrong_type(c, ch->edit.e, OBJ_HASH)) return false;
    ch->h = is_there ? hash_of(ch->edit.e) : hash_new();
    ch->rules = hash_rules(c->cfg, c->db->hash_seed);
    return true;
}

static void abandon(struct hash_change *ch)
{
    if (!ch->edit.e) hash_free(&ch->h);
}

static void changed(struct call *c, struct hash_change *ch, const char *event, int64_t n)
{
    if (ch->edit.e) db_edit_store(&ch->edit, ch->h.enc, &ch->h.p);
    else db_put_value(c, call_key(c, 1), hash_value(&ch->h), -1, 0);
    db_changed(c, call_key(c, 1), NOTIFY_HASH, event);
    c->dirty += n - 1;
}

/* Returns how many fields are new, or -1 when an error was replied. */
static int64_t set_pairs(struct call *c)
{
    struct hash_change ch;
    int64_t added = 0;
    if (c->argc % 2) {
        call_arity_error(c);
        return -1;
    }
    if (!change(c, &ch)) return -1;
    hash_expect(&ch.h, c->argv + 2, c->argc - 2, &ch.rules);
    for (int i = 2; i < c->argc; i += 2) added += hash_set(&ch.h, c->argv[i], c->argv[i + 1], &ch.rules);
    changed(c, &ch, "hset", (c->argc - 2) / 2);
    return added;
}

void cmd_hset(struct call *c)
{
    int64_t added = set_pairs(c);
    if (added >= 0) call_integer(c, added);
}

void cmd_hmset(struct call *c)
{
    if (set_pairs(c) >= 0) call_ok(c);
}

void cmd_hsetnx(struct call *c)
{
    struct hash_change ch;
    if (!change(c, &ch)) return;
    if (hash_has(&ch.h, c->argv[2])) {
        abandon(&ch);
        call_integer(c, 0);
        return;
    }
    hash_expect(&ch.h, c->argv + 2, 2, &ch.rules);
    hash_set(&ch.h, c->argv[2], c->argv[3], &ch.rules);
    changed(c, &ch, "hset", 1);
    call_integer(c, 1);
}

void cmd_hdel(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    struct db_edit edit;
    if (!db_edit_begin(c, key, &edit)) {
        call_integer(c, 0);
        return;
    }
    if (call_wrong_type(c, edit.e, OBJ_HASH)) return;

    struct hash h = hash_of(edit.e);
    int64_t removed = 0;
    for (int i = 2; i < c->argc && hash_count(&h); i++) removed += hash_remove(&h, c->argv[i]);
    db_edit_store(&edit, h.enc, &h.p);
    if (removed) {
        bool emptied = hash_count(&h) == 0;
        if (emptied) db_delete(c, key);
        db_changed(c, key, NOTIFY_HASH, "hdel");
        c->dirty += removed - 1;
        if (emptied) db_notify(c, NOTIFY_GENERIC, "del", key, c->db->id);
    }
    call_integer(c, removed);
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

void cmd_hincrby(struct call *c)
{
    struct bytes field = c->argv[2];
    struct hash_change ch;
    struct lp_value old;
    int64_t by, v = 0;
    if (!call_int(c, c->argv[3], &by) || !change(c, &ch)) return;
    if (hash_get(&ch.h, field, &old) && !lp_value_i64(old, &v)) {
        abandon(&ch);
        call_error(c, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(v, by, &v)) {
        abandon(&ch);
        call_error(c, "ERR increment or decrement would overflow");
        return;
    }
    char num[NUMBER_I64_SIZE];
    hash_set(&ch.h, field, bytes_of(num, number_format_i64(num, v)), &ch.rules);
    changed(c, &ch, "hincrby", 1);
    call_integer(c, v);
}

void cmd_hincrbyfloat(struct call *c)
{
    const struct key_ref *key = call_key(c, 1);
    struct bytes field = c->argv[2];
    struct hash_change ch;
    struct lp_value old;
    long double by, v = 0;
    if (!call_long_double(c, c->argv[3], &by)) return;
    if (isnan(by) || isinf(by)) {
        call_error(c, "ERR value is NaN or Infinity");
        return;
    }
    if (!change(c, &ch)) return;
    if (hash_get(&ch.h, field, &old)) {
        if (lp_value_is_i64(old)) {
            v = (long double)old.i;
        } else if (!number_parse_ldouble(old.s, &v)) {
            abandon(&ch);
            call_error(c, "ERR hash value is not a float");
            return;
        }
    }
    v += by;
    if (isnan(v) || isinf(v)) {
        abandon(&ch);
        call_error(c, "ERR increment would produce NaN or Infinity");
        return;
    }
    char buf[NUMBER_LDOUBLE_SIZE];
    struct bytes s = bytes_of(buf, number_format_ldouble(buf, v));
    hash_set(&ch.h, field, s, &ch.rules);
    changed(c, &ch, "hincrbyfloat", 1);
    if (effect_wanted(c)) effect_as(c, 4, (struct bytes[]){BYTES("HSET"), key->name, field, s});
    call_bulk(c, s);
}

/* --- asked -------------------------------------------------------------------------------------------------------- */

/* The hash of argv[1] to read. False: there is none, or an error was replied (c->failed). */
static bool look(struct call *c, struct hash *h)
{
    const struct entry *e = db_lookup_read(c, call_key(c, 1));
    if (!e || call_wrong_type(c, e, OBJ_HASH)) return false;
    *h = hash_of(e);
    return true;
}

static void reply_field(struct call *c, const struct hash *h, struct bytes field)
{
    struct lp_value v;
    if (hash_get(h, field, &v)) hash_reply_value(c, v);
    else reply_null(c->out);
}

void cmd_hget(struct call *c)
{
    struct hash h;
    if (look(c, &h)) reply_field(c, &h, c->argv[2]);
    else if (!c->failed) reply_null(c->out);
}

void cmd_hmget(struct call *c)
{
    struct hash h;
    bool found = look(c, &h);
    if (c->failed) return;
    reply_array(c->out, (size_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        if (found) reply_field(c, &h, c->argv[i]);
        else reply_null(c->out);
    }
}

void cmd_hlen(struct call *c)
{
    struct hash h;
    if (look(c, &h)) call_integer(c, (int64_t)hash_count(&h));
    else if (!c->failed) call_integer(c, 0);
}

void cmd_hstrlen(struct call *c)
{
    struct hash h;
    struct lp_value v;
    bool found = look(c, &h) && hash_get(&h, c->argv[2], &v);
    if (c->failed) return;
    if (!found) call_integer(c, 0);
    else call_integer(c, lp_value_is_i64(v) ? (int64_t)number_i64_width(v.i) : (int64_t)v.s.n);
}

void cmd_hexists(struct call *c)
{
    struct hash h;
    bool found = look(c, &h) && hash_has(&h, c->argv[2]);
    if (!c->failed) call_integer(c, found);
}

enum hash_part { PART_FIELDS = 1, PART_VALUES = 2, PART_BOTH = 3 };

/* Both come as a map, one of them as an array. */
static void reply_all(struct call *c, enum hash_part part)
{
    struct hash h;
    bool found = look(c, &h);
    if (c->failed) return;
    size_t count = found ? hash_count(&h) : 0;
    if (part == PART_BOTH) reply_map(c->out, count);
    else reply_array(c->out, count);
    if (!found) return;

    struct hash_iter it;
    struct lp_value field, value;
    hash_iter_init(&it, &h);
    while (hash_iter_next(&it, &field, &value)) {
        if (part & PART_FIELDS) hash_reply_value(c, field);
        if (part & PART_VALUES) hash_reply_value(c, value);
    }
    hash_iter_fini(&it);
}

void cmd_hkeys(struct call *c) { reply_all(c, PART_FIELDS); }
void cmd_hvals(struct call *c) { reply_all(c, PART_VALUES); }
void cmd_hgetall(struct call *c) { reply_all(c, PART_BOTH); }
