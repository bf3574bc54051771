/* SPDX-License-Identifier: MIT
 *
 * The frame around the values (server/rdb/format.h draws it), as it is written. Keys come in the order of the table;
 * LRU and LFU only under a policy that reads them, as redis-server 7.0 does.
 */
#include "server/rdb/snapshot.h"

#include <stdio.h>

#include "server/db/use.h"
#include "server/ds/number.h"
#include "server/rdb/format.h"
#include "server/rdb/write.h"
#include "server/server.h"

#define MAGIC_SIZE 9

static void put_aux(struct rdb_sink *s, const char *key, struct bytes value)
{
    rdb_put_byte(s, RDB_OP_AUX);
    rdb_put_string(s, bytes_of_str(key));
    rdb_put_string(s, value);
}

static void put_aux_int(struct rdb_sink *s, const char *key, int64_t v)
{
    char text[NUMBER_I64_SIZE];
    put_aux(s, key, bytes_of(text, number_format_i64(text, v)));
}

/* The data are those of this history at this offset; which a log goes on from, and a file without a backlog says
 * nothing of. */
static void put_origin(struct rdb_sink *s, const struct server *srv)
{
    const struct history *h = &srv->history;
    if (!history_is_kept(h)) return;
    put_aux_int(s, "repl-stream-db", history_database(h));
    put_aux(s, "repl-id", bytes_of_str(h->id));
    put_aux_int(s, "repl-offset", (int64_t)history_offset(h));
}

void rdb_write_begin(struct rdb_writer *w, struct rdb_sink *s, const struct call *c, enum rdb_kind kind)
{
    *w = (struct rdb_writer){.s = s, .db = -1};
    w->lru = c->cfg->maxmemory_policy == MAXMEMORY_VOLATILE_LRU || c->cfg->maxmemory_policy == MAXMEMORY_ALLKEYS_LRU;
    w->lfu = use_is_lfu(c->cfg);
    char magic[16];
    snprintf(magic, sizeof magic, "REDIS%04d", s->version);
    rdb_put_raw(s, magic, MAGIC_SIZE);
    put_aux(s, "redis-ver", BYTES(REDIS_VERSION));
    put_aux_int(s, "redis-bits", 64);
    put_aux_int(s, "ctime", c->now_ms / 1000);
    put_aux_int(s, "used-mem", (int64_t)demi_mem_used());
    if (kind != RDB_AOF_BASE) put_origin(s, c->srv);
    put_aux_int(s, "aof-base", kind == RDB_AOF_BASE);
    if (kind != RDB_OF_SERVER) libraries_write(&c->srv->libraries, s);
}

void rdb_write_sizes(struct rdb_writer *w, int db, size_t keys, size_t expires)
{
    rdb_put_byte(w->s, RDB_OP_SELECTDB);
    rdb_put_length(w->s, (uint64_t)db);
    rdb_put_byte(w->s, RDB_OP_RESIZEDB);
    rdb_put_length(w->s, keys);
    rdb_put_length(w->s, expires);
    w->db = db;
}

void rdb_write_key(struct rdb_writer *w, const struct call *c, int db, const struct entry *e)
{
    struct rdb_sink *s = w->s;
    int64_t expire_ms = entry_expire(e);
    if (db != w->db) {
        rdb_put_byte(s, RDB_OP_SELECTDB);
        rdb_put_length(s, (uint64_t)db);
        w->db = db;
    }
    if (expire_ms != -1) {
        rdb_put_byte(s, RDB_OP_EXPIRE_MS);
        rdb_put_u64(s, (uint64_t)expire_ms);
    }
    if (w->lru) {
        rdb_put_byte(s, RDB_OP_IDLE);
        rdb_put_length(s, (uint64_t)db_idle_seconds(c, e));
    }
    if (w->lfu) {
        rdb_put_byte(s, RDB_OP_FREQ);
        rdb_put_byte(s, (unsigned char)db_lfu_counter(c, e));
    }
    rdb_put_byte(s, (unsigned char)rdb_type_of(s, e));
    rdb_put_string(s, entry_key(e));
}

void rdb_write_pair(struct rdb_writer *w, const struct call *c, int db, const struct entry *e)
{
    rdb_write_key(w, c, db, e);
    rdb_write_value(w->s, e);
}

void rdb_write_end(struct rdb_writer *w)
{
    rdb_put_byte(w->s, RDB_OP_EOF);
    if (w->s->deferred) return;
    rdb_put_u64(w->s, w->s->checksum ? rdb_sink_crc(w->s) : 0);
}

struct each {
    struct rdb_writer *w;
    const struct call *c;
};

static void write_each(void *arg, const struct entry *e)
{
    struct each *a = arg;
    rdb_write_pair(a->w, a->c, a->w->db, e);
}

void rdb_write_snapshot(struct rdb_sink *s, struct call *c)
{
    struct rdb_writer w;
    struct each a = {&w, c};
    rdb_write_begin(&w, s, c, RDB_OF_ALL);
    for (int i = 0; i < c->srv->db_count && !s->error; i++) {
        struct db *db = &c->srv->dbs[i];
        if (!db_size(db)) continue;
        rdb_write_sizes(&w, i, db_size(db), db_expires(db));
        db_each(db, write_each, &a);
    }
    rdb_write_end(&w);
}
