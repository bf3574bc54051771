/* SPDX-License-Identifier: MIT
 *
 * Large values take several commands, of ITEMS_MAX elements each, as in Redis: no reader needs to hold all of it at
 * once.
 */
#include "server/persist/aof_commands.h"

#include <stdio.h>

#include "server/ds/number.h"
#include "server/persist/aof_text.h"

#define ITEMS_MAX 64

void aof_commands_begin(struct aof_commands *c, struct rdb_sink *s, int64_t stamp_s)
{
    char text[32];
    *c = (struct aof_commands){.s = s, .db = -1};
    if (stamp_s) rdb_put_raw(s, text, (size_t)snprintf(text, sizeof text, "#TS:%lld\r\n", (long long)stamp_s));
}

void aof_commands_put_library(struct aof_commands *c, struct bytes code)
{
    aof_put_head(c->s, '*', 3);
    aof_put_arg(c->s, BYTES("FUNCTION"));
    aof_put_arg(c->s, BYTES("LOAD"));
    aof_put_arg(c->s, code);
}

/* In front of each element: a command begins with each ITEMS_MAX of them. each: arguments of one. */
static void put_next(struct aof_commands *c, struct bytes name, size_t each)
{
    size_t left = c->count - c->done;
    if (c->done++ % ITEMS_MAX) return;
    aof_put_head(c->s, '*', 2 + (left < ITEMS_MAX ? left : ITEMS_MAX) * each);
    aof_put_arg(c->s, name);
    aof_put_arg(c->s, entry_key(c->e));
}

static void put_string(struct rdb_sink *s, const struct entry *e)
{
    char buf[NUMBER_I64_SIZE];
    aof_put_head(s, '*', 3);
    aof_put_arg(s, BYTES("SET"));
    aof_put_arg(s, entry_key(e));
    aof_put_arg(s, entry_string(e, buf));
}

static bool more_list(struct aof_commands *c, uint64_t until)
{
    struct lp_value v;
    while (c->s->total < until) {
        if (!list_reader_next(&c->at.list, &v)) {
            list_reader_fini(&c->at.list);
            return true;
        }
        put_next(c, BYTES("RPUSH"), 1);
        aof_put_value(c->s, v);
    }
    return false;
}

static void put_member(struct aof_commands *c, struct bytes member)
{
    put_next(c, BYTES("SADD"), 1);
    aof_put_arg(c->s, member);
}

static bool more_set(struct aof_commands *c, uint64_t until)
{
    while (c->s->total < until) {
        if (!set_iter_next(&c->at.set)) {
            set_iter_fini(&c->at.set);
            return true;
        }
        put_member(c, c->at.set.member);
    }
    return false;
}

static void put_scored(struct aof_commands *c, struct bytes member, double score)
{
    char text[NUMBER_DOUBLE_SIZE];
    put_next(c, BYTES("ZADD"), 2);
    aof_put_arg(c->s, bytes_of(text, number_format_double(text, score)));
    aof_put_arg(c->s, member);
}

static bool more_zset(struct aof_commands *c, uint64_t until)
{
    while (c->s->total < until) {
        if (!zset_iter_next(&c->at.zset)) return true;
        put_scored(c, c->at.zset.member, zset_iter_score(&c->at.zset));
    }
    return false;
}

static bool more_hash(struct aof_commands *c, uint64_t until)
{
    struct lp_value field, value;
    while (c->s->total < until) {
        if (!hash_iter_next(&c->at.hash, &field, &value)) {
            hash_iter_fini(&c->at.hash);
            return true;
        }
        put_next(c, BYTES("HMSET"), 2);
        aof_put_value(c->s, field);
        aof_put_value(c->s, value);
    }
    return false;
}

static void put_field(struct aof_commands *c, struct bytes field, struct bytes value)
{
    put_next(c, BYTES("HMSET"), 2);
    aof_put_arg(c->s, field);
    aof_put_arg(c->s, value);
}

static void put_expiry(struct rdb_sink *s, const struct entry *e)
{
    if (entry_expire(e) == -1) return;
    aof_put_head(s, '*', 3);
    aof_put_arg(s, BYTES("PEXPIREAT"));
    aof_put_arg(s, entry_key(e));
    aof_put_i64(s, entry_expire(e));
}

static void begin_entry(struct aof_commands *c, int db, const struct entry *e, size_t count)
{
    c->e = e;
    c->count = count;
    c->done = 0;
    if (db == c->db) return;
    aof_put_head(c->s, '*', 2);
    aof_put_arg(c->s, BYTES("SELECT"));
    aof_put_i64(c->s, db);
    c->db = db;
}

void aof_commands_begin_value(struct aof_commands *c, int db, const struct entry *e)
{
    struct rdb_sink *s = c->s;
    begin_entry(c, db, e, value_elements(e));
    switch ((enum obj_type)e->type) {
    case OBJ_STRING: put_string(s, e); return;
    case OBJ_LIST: list_reader_init(&c->at.list, list_open(&c->of.list, e), 0, false); return;
    case OBJ_SET:
        c->of.set = set_of(e);
        set_iter_init(&c->at.set, &c->of.set);
        return;
    case OBJ_ZSET:
        c->of.zset = zset_of(e);
        zset_iter_init(&c->at.zset, &c->of.zset, zset_whole(&c->of.zset), false);
        return;
    case OBJ_HASH:
        c->of.hash = hash_of(e);
        hash_iter_init(&c->at.hash, &c->of.hash);
        return;
    case OBJ_STREAM: aof_stream_begin(&c->at.stream, s, entry_key(e), entry_ptr(e)); return;
    case OBJ_TYPE_COUNT: return;
    }
}

static bool more_elements(struct aof_commands *c, uint64_t until)
{
    switch ((enum obj_type)c->e->type) {
    case OBJ_LIST: return more_list(c, until);
    case OBJ_SET: return more_set(c, until);
    case OBJ_ZSET: return more_zset(c, until);
    case OBJ_HASH: return more_hash(c, until);
    case OBJ_STREAM: return aof_stream_more(&c->at.stream, until);
    default: return true;
    }
}

bool aof_commands_more(struct aof_commands *c, size_t bytes)
{
    uint64_t total = c->s->total, until = bytes < UINT64_MAX - total ? total + bytes : UINT64_MAX;
    if (!more_elements(c, until)) return false;
    put_expiry(c->s, c->e);
    return true;
}

void aof_commands_abandon(struct aof_commands *c)
{
    switch ((enum obj_type)c->e->type) {
    case OBJ_LIST: list_reader_fini(&c->at.list); return;
    case OBJ_SET: set_iter_fini(&c->at.set); return;
    case OBJ_HASH: hash_iter_fini(&c->at.hash); return;
    default: return;
    }
}

void aof_commands_begin_elements(struct aof_commands *c, int db, const struct entry *e, size_t count)
{
    begin_entry(c, db, e, count);
}

void aof_commands_element(struct aof_commands *c, const struct entry *e, const struct element *el)
{
    DASSERT(c->done < c->count);
    c->e = e;
    if (e->type == OBJ_SET) put_member(c, el->member);
    else if (e->type == OBJ_ZSET) put_scored(c, el->member, el->score);
    else put_field(c, el->member, el->value);
}

void aof_commands_end_elements(struct aof_commands *c, const struct entry *e) { put_expiry(c->s, e); }

void aof_commands_put(struct aof_commands *c, int db, const struct entry *e)
{
    aof_commands_begin_value(c, db, e);
    while (!aof_commands_more(c, SIZE_MAX)) {
    }
}
