/* SPDX-License-Identifier: MIT
 *
 * A snapshot back into the keyspace, item by item as frame.c reads them. Keys are put in with notifications off
 * (nobody wants a "new" event for each key of a file), by a call of its own with a copy of the configuration.
 *
 * Most of what an insert costs is waiting for the key's bucket, which may be anywhere in the memory. So where the
 * source has notes of what comes (server/rdb/lookahead.h), the buckets of a lot of keys are asked for at once; and a
 * key with a short string, which is noted whole, is put in as the notes say. All others, and whatever is not as it
 * should be, are read in the ordinary way.
 *
 * RESIZEDB says how many keys come, and is a hint that nobody has to mean: it is believed as far as the keys of the
 * first part of the file bear it out. Then the table is made as large at once, in small steps: buckets that are split
 * one after the other are near in the memory, those that are split each time a key has come are not (0.1 s instead of
 * 0.27 for 10 M keys, Nov 2026).
 */
#include "server/rdb/snapshot.h"

#include <errno.h>

#include "server/db/hooks.h"
#include "server/ds/number.h"
#include "server/exec/run.h"
#include "server/observe/log.h"
#include "server/rdb/frame.h"
#include "server/rdb/lookahead.h"
#include "server/rdb/read.h"
#include "server/server.h"
#include "server/worker.h"

#define MAGIC_SIZE       9
#define EMPTY_LOGGED_MAX 10
#define HINT_PART        16 /* such a part of the file shows how many keys come */
#define EXPAND_STEP      64 /* buckets a lot */

struct reading {
    struct rdb_source *s;
    struct rdb_frame frame;
    struct call in; /* puts keys into in.db */
    struct config quiet;
    struct rdb_rules rules;
    struct rdb_loader *asked;
    /* what RESIZEDB said, where, and how many keys had come then; 0: nothing, or it was judged already */
    uint64_t hint, hint_at, hint_keys;
    size_t expand_to; /* keys; 0: there is room enough */
};

static bool select_database(struct reading *l)
{
    uint64_t id = l->frame.number;
    struct db *db = id < INT32_MAX ? srv_db(&l->in, (int64_t)id) : NULL;
    if (db && l->asked->dbs) db = &l->asked->dbs[id];
    if (!db) return rdb_source_fail(l->s, -ERANGE, "made by a server with more databases");
    l->in.db = db;
    l->hint = l->expand_to = 0;
    l->rules.seed = db->hash_seed;
    return true;
}

static void take_sizes(struct reading *l)
{
    l->hint = l->frame.number;
    l->hint_at = rdb_source_offset(l->s);
    l->hint_keys = l->asked->keys;
    l->expand_to = 0;
}

/* As many keys as the hint says, once such a part of them has come. */
static void judge_by_keys(struct reading *l)
{
    if (l->asked->keys - l->hint_keys < l->hint / HINT_PART) return;
    l->expand_to = (size_t)l->hint;
    l->hint = 0;
}

/* As many keys as the hint says, but no more than there will be if the rest of the file is like its first part. */
static void judge_by_bytes(struct reading *l)
{
    uint64_t bytes = l->asked->bytes, offset = rdb_source_offset(l->s);
    if (bytes <= l->hint_at || offset - l->hint_at < (bytes - l->hint_at) / HINT_PART || offset == l->hint_at) return;
    double keys = (double)(l->asked->keys - l->hint_keys);
    double likely = keys * ((double)(bytes - l->hint_at) / (double)(offset - l->hint_at));
    l->expand_to = (double)l->hint < likely ? (size_t)l->hint : (size_t)likely;
    l->hint = 0;
}

static void make_room_ahead(struct reading *l)
{
    if (unlikely(l->hint != 0)) {
        if (l->asked->bytes) judge_by_bytes(l);
        else judge_by_keys(l);
    }
    if (l->expand_to && !db_expand_some(l->in.db, l->expand_to, EXPAND_STEP)) l->expand_to = 0;
}

static void take_origin(struct rdb_origin *o, struct bytes key, struct bytes value, int64_t n)
{
    if (bytes_equal(key, BYTES("repl-id")) && value.n < sizeof o->id) {
        memcpy(o->id, value.p, value.n);
        o->id[value.n] = 0;
    } else if (bytes_equal(key, BYTES("repl-offset"))) {
        o->offset = n;
    } else if (bytes_equal(key, BYTES("repl-stream-db"))) {
        o->db = n;
    }
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
    } else {
        take_origin(&l->asked->origin, key, value, is_number ? n : -1);
    }
}

/* A key that is dead already, and not wanted. */
static bool is_left_out(struct reading *l, struct bytes key, int64_t expire_ms)
{
    bool left_out = expire_ms != -1 && expire_ms < l->in.now_ms && !(l->asked->flags & RDB_LOAD_KEEP_EXPIRED);
    l->asked->expired += left_out;
    if (unlikely(left_out && l->asked->dead && *l->asked->origin.id)) l->asked->dead(l->asked->arg, l->in.db->id, key);
    return left_out;
}

static bool put_key(struct reading *l, struct value v)
{
    const struct rdb_frame *f = &l->frame;
    if (is_left_out(l, f->name, f->expire_ms)) {
        value_free(v);
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
        return libraries_add(l->asked->libraries ? l->asked->libraries : &l->in.srv->libraries, l->s, l->frame.value,
                             l->asked->flags & RDB_LOAD_MERGE);
    case RDB_ITEM_SIZES: take_sizes(l); break;
    case RDB_ITEM_END: break;
    }
    return true;
}

static bool read_item(struct reading *l, enum rdb_item *item)
{
    return rdb_frame_next(&l->frame, item) && take_item(l, *item);
}

/* --- by lots ------------------------------------------------------------------------------------------------------ */

static_assert(RDB_LOT_MAX <= DB_AHEAD_MAX, "what is asked for at once");

static struct key_ref ref_of(const struct db *db, const struct rdb_notes *notes, const struct rdb_noted_key *k)
{
    struct bytes name = bytes_of(rdb_noted_bytes(notes, k->key, k->key_unpacked), k->key_size);
    if (unlikely(db->slice_count > 1 || db->hash_seed != notes->seed)) return key_ref_of(db, name);
    return (struct key_ref){.name = name, .hash = k->hash};
}

/* A key that is noted with its value, at which the source is. False: it is to be read in the ordinary way. */
static bool put_noted(struct reading *l, const struct rdb_noted_key *k, const struct key_ref *ref)
{
    const struct rdb_notes *notes = l->s->notes;
    if (k->noted == RDB_NOTED_KEY || !rdb_frame_is_between(&l->frame)) return false;
    int64_t expire_ms = k->expires ? (int64_t)load_u64(notes->block.p + k->at + 1) : -1;
    if (!is_left_out(l, ref->name, expire_ms)) {
        if (expire_ms < 0) expire_ms = -1;
        const char *value = rdb_noted_bytes(notes, k->value, k->value_unpacked);
        struct entry *e = k->noted == RDB_NOTED_STRING
                              ? db_put_new_string(&l->in, ref, bytes_of(value, k->value_size), expire_ms)
                              : db_put_new_int(&l->in, ref, rdb_noted_integer(value, k->value_size), expire_ms);
        if (!e) return false; /* there is such a key */
        l->asked->keys++;
    }
    rdb_source_pass(l->s, k->end - k->at);
    return true;
}

/* The noted keys from the source's place on, `count` of them, as far as they follow one another. *put: how many. */
static bool read_lot(struct reading *l, const struct rdb_noted_key *first, size_t count, size_t *put)
{
    struct key_ref refs[RDB_LOT_MAX];
    uint64_t block = l->s->blocks;
    for (size_t i = 0; i < count; i++) refs[i] = ref_of(l->in.db, l->s->notes, &first[i]);
    db_fetch(l->in.db, refs, count);
    *put = 0;
    do {
        enum rdb_item item;
        if (!put_noted(l, &first[*put], &refs[*put]) && !read_item(l, &item)) return false;
        ++*put;
    } while (*put < count && l->s->blocks == block && rdb_source_is_at(l->s, &first[*put]));
    return true;
}

/* Some keys, or another item. */
static bool read_on(struct reading *l, enum rdb_item *item)
{
    size_t count, n = 1, most = l->asked->lot;
    const struct rdb_noted_key *k = rdb_source_noted(l->s, &count);
    if (most == 0 || most > RDB_LOT_MAX) most = RDB_LOT_MAX;
    *item = RDB_ITEM_KEY;
    bool ok = k ? read_lot(l, k, count < most ? count : most, &n) : read_item(l, item);
    make_room_ahead(l);
    if (!ok || !l->asked->go_on || l->asked->go_on(l->asked->arg, n)) return ok;
    return rdb_source_fail(l->s, -ECANCELED, "given up");
}

bool rdb_wants_checksum(const struct call *c) { return c->cfg->rdbchecksum && !c->srv->skip_checksum_validation; }

int rdb_read_snapshot(struct rdb_source *s, struct call *c, struct rdb_loader *asked)
{
    struct reading l = {.s = s, .asked = asked};
    l.quiet = *c->cfg;
    l.quiet.notify_keyspace_events = 0;
    l.in = run_internal(c->w, asked->dbs ? asked->dbs : &c->srv->dbs[0]);
    l.in.cfg = &l.quiet;
    l.in.now_ms = c->now_ms;
    l.rules = (struct rdb_rules){.cfg = &l.quiet,
                                 .lists = &c->srv->list_options,
                                 .seed = l.in.db->hash_seed,
                                 .deep = c->cfg->sanitize_dump_payload == SANITIZE_DUMP_YES};
    asked->origin = (struct rdb_origin){.offset = -1, .db = -1};
    asked->keys = asked->expired = asked->empty = asked->used_mem = 0;
    asked->fault_key = bytes_of(NULL, 0);
    s->checksum = rdb_wants_checksum(c);
    enum rdb_item item = RDB_ITEM_SIZES;
    bool ok = rdb_frame_begin(&l.frame, s);
    while (ok && item != RDB_ITEM_END) ok = read_on(&l, &item);
    if (s->error && l.frame.step == RDB_AT_VALUE) asked->fault_key = l.frame.name;
    if (ok) rdb_frame_end(&l.frame);
    return s->error;
}
