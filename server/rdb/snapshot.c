/* SPDX-License-Identifier: MIT
 *
 * The frame around the values (server/rdb/format.h draws it), which frame.c reads. Keys are written in the order of the
 * table; LRU and LFU only under a policy that reads them, as redis-server 7.0 does.
 *
 * RESIZEDB is a hint that we do not need: tables grow by single buckets. It is read and left alone, so a false one
 * costs nothing.
 *
 * Reading puts keys in with notifications off (nobody wants a "new" event for each key of a file), by a call of its own
 * with a copy of the configuration.
 */
#include "server/rdb/snapshot.h"

#include "server/db/hooks.h"
#include <errno.h>
#include <stdio.h>

#include "server/db/use.h"
#include "server/ds/number.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/rdb/frame.h"
#include "server/rdb/read.h"
#include "server/rdb/write.h"
#include "server/server.h"
#include "server/worker.h"

#define MAGIC_SIZE       9
#define EMPTY_LOGGED_MAX 10

/* --- writing ------------------------------------------------------------------------------------------------------ */

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

void rdb_write_begin(struct rdb_writer *w, struct rdb_sink *s, const struct call *c, bool aof_base)
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
    put_aux_int(s, "aof-base", aof_base);
    libraries_write(&c->srv->libraries, s);
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

void rdb_write_pair(struct rdb_writer *w, const struct call *c, int db, const struct entry *e)
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
    rdb_write_value(s, e);
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
    rdb_write_begin(&w, s, c, false);
    for (int i = 0; i < c->srv->db_count && !s->error; i++) {
        struct db *db = &c->srv->dbs[i];
        if (!db_size(db)) continue;
        rdb_write_sizes(&w, i, db_size(db), db_expires(db));
        db_each(db, write_each, &a);
    }
    rdb_write_end(&w);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct reading {
    struct rdb_source *s;
    struct rdb_frame frame;
    struct call in; /* puts keys into in.db */
    struct config quiet;
    struct rdb_rules rules;
    struct rdb_loader *asked;
};

static bool select_database(struct reading *l)
{
    uint64_t id = l->frame.number;
    struct db *db = id < INT32_MAX ? srv_db(&l->in, (int64_t)id) : NULL;
    if (!db) return rdb_source_fail(l->s, -ERANGE, "made by a server with more databases");
    l->in.db = db;
    l->rules.seed = db->hash_seed;
    return true;
}

/* What is worth a line in the log is what redis-server finds worth one. */
static void take_aux(struct reading *l)
{
    struct bytes key = l->frame.name, value = l->frame.value;
    int64_t n;
    struct server *srv = l->in.srv;
    bool is_number = number_parse_i64(value, &n);
    int shown = value.n < 64 ? (int)value.n : 64;
    if (bytes_equal(key, BYTES("redis-ver"))) {
        server_log(srv, LOG_NOTICE_LEVEL, "Loading RDB produced by version %.*s", shown, value.p);
    } else if (bytes_equal(key, BYTES("ctime")) && is_number) {
        int64_t now_s = l->in.now_ms / 1000;
        server_log(srv, LOG_NOTICE_LEVEL, "RDB age %lld seconds", (long long)(now_s > n ? now_s - n : 0));
    } else if (bytes_equal(key, BYTES("used-mem")) && is_number) {
        server_log(srv, LOG_NOTICE_LEVEL, "RDB memory usage when created %.2f Mb", (double)n / (1024 * 1024));
        l->asked->used_mem = n > 0 ? (uint64_t)n : 0;
    }
}

static bool put_key(struct reading *l, struct value v)
{
    const struct rdb_frame *f = &l->frame;
    bool expired = f->expire_ms != -1 && f->expire_ms < l->in.now_ms;
    if (expired && !(l->asked->flags & RDB_LOAD_KEEP_EXPIRED)) {
        value_free(v);
        l->asked->expired++;
        return true;
    }
    size_t before = db_size(l->in.db);
    struct key_ref ref = key_ref_of(l->in.db, f->name);
    struct entry *e = db_put_value(&l->in, &ref, v, f->expire_ms < 0 ? -1 : f->expire_ms, PUT_AFRESH);
    db_set_use(&l->in, e, f->idle_s, f->freq);
    l->asked->keys++;
    if (db_size(l->in.db) > before || (l->asked->flags & RDB_LOAD_MERGE)) return true;
    return rdb_source_fail(l->s, -EEXIST, "a key that is there already");
}

static bool read_pair(struct reading *l)
{
    struct value v;
    struct bytes key = l->frame.name;
    int err = rdb_read_value(l->s, l->frame.type, &l->rules, &v);
    if (err == 0) return put_key(l, v);
    if (err != -ENOENT) return false;
    l->s->error = 0; /* old versions left such keys behind */
    if (l->asked->empty++ < EMPTY_LOGGED_MAX)
        server_log(l->in.srv, LOG_WARNING_LEVEL, "Loading: skipping empty key: %.*s", (int)(key.n < 128 ? key.n : 128),
                   key.p);
    return true;
}

static bool take_item(struct reading *l, enum rdb_item item)
{
    switch (item) {
    case RDB_ITEM_DB: return select_database(l);
    case RDB_ITEM_AUX: take_aux(l); return true;
    case RDB_ITEM_KEY: return read_pair(l);
    case RDB_ITEM_LIBRARY:
        return libraries_add(&l->in.srv->libraries, l->s, l->frame.value, l->asked->flags & RDB_LOAD_MERGE);
    case RDB_ITEM_SIZES:
    case RDB_ITEM_END: break;
    }
    return true;
}

int rdb_read_snapshot(struct rdb_source *s, struct call *c, struct rdb_loader *asked)
{
    struct reading l = {.s = s, .asked = asked};
    l.quiet = *c->cfg;
    l.quiet.notify_keyspace_events = 0;
    l.in = run_internal(c->w, &c->srv->dbs[0]);
    l.in.cfg = &l.quiet;
    l.in.now_ms = c->now_ms;
    l.rules = (struct rdb_rules){.cfg = &l.quiet,
                                 .lists = &c->srv->list_options,
                                 .seed = l.in.db->hash_seed,
                                 .deep = c->cfg->sanitize_dump_payload == SANITIZE_DUMP_YES};
    asked->keys = asked->expired = asked->empty = asked->used_mem = 0;
    asked->fault_key = bytes_of(NULL, 0);
    s->checksum = c->cfg->rdbchecksum && !c->srv->skip_checksum_validation;
    enum rdb_item item = RDB_ITEM_SIZES;
    bool ok = rdb_frame_begin(&l.frame, s);
    while (ok && item != RDB_ITEM_END) {
        ok = rdb_frame_next(&l.frame, &item) && take_item(&l, item);
        if (ok && asked->go_on && !asked->go_on(asked->arg)) ok = rdb_source_fail(s, -ECANCELED, "given up");
    }
    if (s->error && l.frame.step == RDB_AT_VALUE) asked->fault_key = l.frame.name;
    if (ok) rdb_frame_end(&l.frame);
    return s->error;
}
