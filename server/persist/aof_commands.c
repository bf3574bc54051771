/* SPDX-License-Identifier: MIT
 *
 * Large values take several commands, of ITEMS_MAX elements each, as in Redis: no reader needs to hold all of it at
 * once.
 */
#include "server/persist/aof_commands.h"

#include <stdio.h>

#include "server/ds/number.h"
#include "server/rdb/write.h"
#include "server/types/hash.h"
#include "server/types/list.h"
#include "server/types/set.h"
#include "server/types/zset.h"

#define ITEMS_MAX 64

void aof_commands_begin(struct aof_commands *c, struct rdb_sink *s, int64_t stamp_s)
{
    char text[32];
    *c = (struct aof_commands){.s = s, .db = -1};
    if (stamp_s) rdb_put_raw(s, text, (size_t)snprintf(text, sizeof text, "#TS:%lld\r\n", (long long)stamp_s));
}

/* "*3\r\n", "$10\r\n" */
static void put_head(struct rdb_sink *s, char kind, size_t n)
{
    char text[NUMBER_I64_SIZE + 3] = {kind};
    size_t used = 1 + number_format_u64(text + 1, n);
    text[used++] = '\r';
    text[used++] = '\n';
    rdb_put_raw(s, text, used);
}

static void put_arg(struct rdb_sink *s, struct bytes b)
{
    put_head(s, '$', b.n);
    rdb_put_raw(s, b.p, b.n);
    rdb_put_raw(s, "\r\n", 2);
}

static void put_lp_value(struct rdb_sink *s, struct lp_value v)
{
    char buf[NUMBER_I64_SIZE];
    put_arg(s, lp_value_bytes(v, buf));
}

static void put_i64(struct rdb_sink *s, int64_t v)
{
    char text[NUMBER_I64_SIZE];
    put_arg(s, bytes_of(text, number_format_i64(text, v)));
}

/* In front of element i of `count`: a command begins with each ITEMS_MAX of them. each: arguments of one. */
static void put_element(struct rdb_sink *s, struct bytes name, struct bytes key, size_t i, size_t count, size_t each)
{
    if (i % ITEMS_MAX) return;
    size_t items = count - i < ITEMS_MAX ? count - i : ITEMS_MAX;
    put_head(s, '*', 2 + items * each);
    put_arg(s, name);
    put_arg(s, key);
}

static void put_string(struct rdb_sink *s, const struct entry *e)
{
    char buf[NUMBER_I64_SIZE];
    put_head(s, '*', 3);
    put_arg(s, BYTES("SET"));
    put_arg(s, entry_key(e));
    put_arg(s, entry_string(e, buf));
}

static void put_list(struct rdb_sink *s, const struct entry *e)
{
    struct list_reader r;
    struct lp_value v;
    const struct quicklist *q = list_of(e);
    size_t count = q->count;
    if (count == 0) return;
    list_reader_init(&r, q, 0, false);
    for (size_t i = 0; list_reader_next(&r, &v); i++) {
        put_element(s, BYTES("RPUSH"), entry_key(e), i, count, 1);
        put_lp_value(s, v);
    }
    list_reader_fini(&r);
}

static void put_set(struct rdb_sink *s, const struct entry *e)
{
    struct set set = set_of(e);
    struct set_iter it;
    size_t count = set_count(&set);
    set_iter_init(&it, &set);
    for (size_t i = 0; set_iter_next(&it); i++) {
        put_element(s, BYTES("SADD"), entry_key(e), i, count, 1);
        put_arg(s, it.member);
    }
    set_iter_fini(&it);
}

static void put_zset(struct rdb_sink *s, const struct entry *e)
{
    struct zset z = zset_of(e);
    struct zset_iter it;
    size_t count = zset_count(&z);
    zset_iter_init(&it, &z, zset_whole(&z), false);
    for (size_t i = 0; zset_iter_next(&it); i++) {
        char score[NUMBER_DOUBLE_SIZE];
        put_element(s, BYTES("ZADD"), entry_key(e), i, count, 2);
        put_arg(s, bytes_of(score, number_format_double(score, zset_iter_score(&it))));
        put_arg(s, it.member);
    }
}

static void put_hash(struct rdb_sink *s, const struct entry *e)
{
    struct hash h = hash_of(e);
    struct hash_iter it;
    struct lp_value field, value;
    size_t count = hash_count(&h);
    hash_iter_init(&it, &h);
    for (size_t i = 0; hash_iter_next(&it, &field, &value); i++) {
        put_element(s, BYTES("HMSET"), entry_key(e), i, count, 2);
        put_lp_value(s, field);
        put_lp_value(s, value);
    }
    hash_iter_fini(&it);
}

/* What no command of its own makes. */
static void put_restore(struct rdb_sink *s, const struct entry *e)
{
    struct rdb_sink dump;
    rdb_sink_init(&dump, NULL, NULL);
    rdb_write_dump(&dump, e);
    put_head(s, '*', 4);
    put_arg(s, BYTES("RESTORE"));
    put_arg(s, entry_key(e));
    put_arg(s, BYTES("0"));
    put_arg(s, rdb_sink_bytes(&dump));
    rdb_sink_fini(&dump);
}

static void put_value(struct rdb_sink *s, const struct entry *e)
{
    switch ((enum obj_type)e->type) {
    case OBJ_STRING: put_string(s, e); return;
    case OBJ_LIST: put_list(s, e); return;
    case OBJ_SET: put_set(s, e); return;
    case OBJ_ZSET: put_zset(s, e); return;
    case OBJ_HASH: put_hash(s, e); return;
    default: put_restore(s, e); return;
    }
}

void aof_commands_put(struct aof_commands *c, int db, const struct entry *e)
{
    struct rdb_sink *s = c->s;
    if (db != c->db) {
        put_head(s, '*', 2);
        put_arg(s, BYTES("SELECT"));
        put_i64(s, db);
        c->db = db;
    }
    put_value(s, e);
    if (entry_expire(e) == -1) return;
    put_head(s, '*', 3);
    put_arg(s, BYTES("PEXPIREAT"));
    put_arg(s, entry_key(e));
    put_i64(s, entry_expire(e));
}
