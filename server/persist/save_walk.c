/* SPDX-License-Identifier: MIT */
#include "server/persist/save_walk.h"

#include "alloc/base/clock.h"
#include "server/db/walk.h"
#include "server/exec/multi.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/server.h"
#include "server/worker.h"

#define WAITING_MAX ((size_t)4 << 20)  /* the walk is at most so far ahead of the packer */
#define STEP_BYTES  ((size_t)16 << 10) /* of a large collection, between looks at the clock */
#define MEMORY_MIN  ((size_t)64 << 20) /* snapshot-memory-limit 0: at least this, ... */
#define MEMORY_PART 10                 /* ... or such a part of what is used */

/* --- lanes -------------------------------------------------------------------------------------------------------- */

static size_t memory(const struct save_walk *s)
{
    return packer_memory(s->packer) + (s->walk ? walk_bytes(s->walk) : 0);
}

/* Something was handed over, or kept: by a command, faster than anybody writes? */
static void look_at_memory(struct save_walk *s)
{
    size_t now = memory(s);
    if (now > s->memory_peak) s->memory_peak = now;
    if (s->background && !s->walking && now > s->bytes_max) s->w->srv->unusual |= SERVER_SAVE_FULL;
}

static int take_piece(void *arg, const char *p, size_t n, const struct rdb_mark *marks, size_t mark_count)
{
    struct save_lane *l = arg;
    packer_put(l->of->packer, l->when, p, n, marks, mark_count);
    look_at_memory(l->of);
    return 0;
}

static int take_string(void *arg, struct bytes b, struct blob *lent)
{
    struct save_lane *l = arg;
    /* What a command hands over it is about to replace: from then on it is ours alone. */
    packer_put_string(l->of->packer, l->when, b, lent, !l->of->walking);
    look_at_memory(l->of);
    return 0;
}

static void lane_init(struct save_lane *l, struct save_walk *of, enum packer_when when)
{
    const struct config *cfg = of->w->conf.cfg;
    *l = (struct save_lane){.of = of, .when = when};
    l->deferred = (struct rdb_deferred){take_piece, take_string, l};
    rdb_sink_init_deferred(&l->sink, &l->deferred);
    l->sink.version = of->version ? of->version : (int)cfg->rdb_version;
    l->sink.compress = cfg->rdbcompression;
}

/* The next entry of the lane says in which database it is. */
static void forget_database(struct save_lane *l) { l->rdb.db = l->commands.db = -1; }

static void lane_put(struct save_lane *l, int db, const struct entry *e)
{
    if (l->of->as_commands) aof_commands_put(&l->commands, db, e);
    else rdb_write_pair(&l->rdb, &l->of->call, db, e);
}

/* --- what the walk shows ------------------------------------------------------------------------------------------ */

static void on_entry(void *arg, int db, const struct entry *e)
{
    struct save_walk *s = arg;
    struct save_lane *l = s->in_large ? &s->aside : &s->main;
    s->call.cfg = s->w->conf.cfg; /* the one it began with may be gone */
    lane_put(l, db, e);
    s->keys_done++;
}

static struct save_lane *lane_of_large(struct save_walk *s) { return s->in_another ? &s->aside : &s->main; }

/* A large list or stream does not change while it is written. */
static bool is_held(const struct entry *e) { return e->type == OBJ_LIST || e->type == OBJ_STREAM; }

static void begin_held(struct save_lane *l, int db, const struct entry *e)
{
    struct save_walk *s = l->of;
    if (s->as_commands) {
        aof_commands_begin_value(&l->commands, db, e);
    } else {
        rdb_write_key(&l->rdb, &s->call, db, e);
        rdb_steps_begin(&s->steps, &l->sink, e);
    }
}

static void begin_elements(struct save_lane *l, int db, const struct entry *e, size_t count)
{
    struct save_walk *s = l->of;
    if (s->as_commands) {
        aof_commands_begin_elements(&l->commands, db, e, count);
    } else {
        rdb_write_key(&l->rdb, &s->call, db, e);
        rdb_write_count(&l->sink, count);
    }
}

static void on_large(void *arg, int db, const struct entry *e, size_t count)
{
    struct save_walk *s = arg;
    ASSERT(!s->in_another);
    s->call.cfg = s->w->conf.cfg;
    if (s->in_large) s->in_another = true;
    s->in_large = true;
    if (is_held(e)) begin_held(lane_of_large(s), db, e);
    else begin_elements(lane_of_large(s), db, e, count);
}

static void on_element(void *arg, const struct entry *e, const struct element *el)
{
    struct save_walk *s = arg;
    struct save_lane *l = lane_of_large(s);
    if (s->as_commands) aof_commands_element(&l->commands, e, el);
    else rdb_write_element(&l->sink, e, el);
}

/* What was written aside comes behind it. */
static void on_end(void *arg, const struct entry *e)
{
    struct save_walk *s = arg;
    if (s->as_commands && !is_held(e)) aof_commands_end_elements(&lane_of_large(s)->commands, e);
    s->keys_done++;
    if (s->in_another) {
        s->in_another = false;
        return;
    }
    s->in_large = false;
    if (s->aside.sink.total == 0) return;
    rdb_sink_finish(&s->main.sink);
    rdb_sink_finish(&s->aside.sink);
    packer_put_later(s->packer);
    forget_database(&s->main);
    forget_database(&s->aside);
}

static bool on_more(void *arg)
{
    struct save_walk *s = arg;
    return s->as_commands ? aof_commands_more(&s->main.commands, STEP_BYTES) : rdb_steps_more(&s->steps, STEP_BYTES);
}

static void on_abandon(void *arg, const struct entry *e)
{
    struct save_walk *s = arg;
    s->in_large = false;
    if (!is_held(e)) return;
    if (s->as_commands) aof_commands_abandon(&s->main.commands);
    else rdb_steps_abandon(&s->steps);
}

static bool on_full(void *arg) { return save_walk_is_ahead(arg); }

static void on_kept(void *arg) { look_at_memory(arg); }

/* --- who waits ---------------------------------------------------------------------------------------------------- */

/* enum key_flag; those of SET depend on its arguments. */
static unsigned flags_of(const struct request *r, const struct key_ref *key)
{
    int at[2];
    uint16_t flags[2];
    if (!(key->flags & KEY_VARIABLE_FLAGS)) return key->flags;
    return command_keys(r->cmd, r->argv, r->argc, at, flags, 2) == 1 ? flags[0] : key->flags;
}

/* What the command does to one of its keys. Of one that holds something else than it expects it changes nothing. */
static enum walk_change change_of(const struct request *r, const struct key_ref *key)
{
    unsigned flags = flags_of(r, key);
    if (flags & (KEY_OW | KEY_RM)) return WALK_GOES;
    if (!(flags & KEY_RW)) return WALK_ANY;
    return r->cmd->acl & (ACL_SET | ACL_SORTEDSET | ACL_HASH | ACL_GEO) ? WALK_ELEMENTS : WALK_ANY;
}

static bool key_is_held(const struct save_walk *s, const struct session *session, const struct request *r)
{
    bool held = false;
    if (!(r->cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE))) return false;
    for (int i = 0; i < r->key_count; i++) {
        if (r->keys[i].flags & KEY_RO) continue;
        held |= walk_holds(s->walk, session->db, &r->keys[i], change_of(r, &r->keys[i]));
    }
    return held;
}

static bool queue_is_held(const struct save_walk *s, const struct session *session)
{
    bool held = false;
    for (size_t i = 0; i < multi_count(session); i++) held |= key_is_held(s, session, multi_at(session, i));
    return held;
}

bool save_walk_holds(struct save_walk *s, const struct session *session, const struct request *r)
{
    ASSERT(s->walk);
    bool held = (r->cmd->flags & CMD_RUNS_QUEUE) ? queue_is_held(s, session) : key_is_held(s, session, r);
    if (held && !s->waited_for) demi_wake_ring(s->wake);
    s->waited_for |= held;
    return held;
}

bool save_walk_is_waited_for(const struct save_walk *s)
{
    return s->waited_for || (s->w->srv->unusual & SERVER_SAVE_FULL);
}

void save_walk_let_go(struct save_walk *s)
{
    struct server *srv = s->w->srv;
    bool go = s->walk && walk_has_let_go(s->walk) && s->waited_for;
    if ((srv->unusual & SERVER_SAVE_FULL) && s->background && memory(s) <= s->bytes_max / 2) {
        srv->unusual &= ~(unsigned)SERVER_SAVE_FULL;
        go = true;
    }
    if (!go) return;
    s->waited_for = false;
    worker_let_go(s->w);
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

static void begin_rdb(struct save_walk *s, bool aof_base)
{
    struct server *srv = s->w->srv;
    rdb_write_begin(&s->main.rdb, &s->main.sink, &s->call, aof_base ? RDB_AOF_BASE : RDB_OF_ALL);
    s->aside.rdb = s->main.rdb;
    s->aside.rdb.s = &s->aside.sink;
    for (int i = 0; i < srv->db_count; i++)
        if (walk_keys(s->walk, i)) rdb_write_sizes(&s->main.rdb, i, walk_keys(s->walk, i), walk_expires(s->walk, i));
}

static void begin_commands(struct save_walk *s)
{
    int64_t stamp_s = s->w->conf.cfg->aof_timestamp_enabled ? s->call.now_ms / 1000 : 0;
    const struct libraries *l = &s->w->srv->libraries;
    aof_commands_begin(&s->main.commands, &s->main.sink, stamp_s);
    for (unsigned i = 0; i < l->count; i++) aof_commands_put_library(&s->main.commands, l->all[i]->code);
    aof_commands_begin(&s->aside.commands, &s->aside.sink, 0);
}

static size_t memory_limit(const struct config *cfg)
{
    size_t part = demi_mem_used() / MEMORY_PART;
    if (cfg->snapshot_memory_limit) return (size_t)cfg->snapshot_memory_limit;
    return part > MEMORY_MIN ? part : MEMORY_MIN;
}

void save_walk_begin(struct save_walk *s, struct worker *w, struct packer *p, const struct save_walk_options *o)
{
    struct server *srv = w->srv;
    const struct walk_reader in_steps = {on_entry,   on_large, on_element, on_more, on_end,
                                         on_abandon, on_full,  on_kept,    s},
                             whole = {.entry = on_entry, .arg = s};
    *s = (struct save_walk){.w = w,
                            .packer = p,
                            .as_commands = o->as_commands,
                            .background = o->background,
                            .version = o->version,
                            .wake = o->wake};
    s->call = run_internal(w, &srv->dbs[0]);
    s->bytes_max = memory_limit(w->conf.cfg);
    lane_init(&s->main, s, PACKER_NOW);
    lane_init(&s->aside, s, PACKER_LATER);
    s->walk = walk_new(o->background ? &srv->walks : NULL, srv->dbs, srv->db_count, &s->call,
                       o->background ? &in_steps : &whole);
    for (int i = 0; i < srv->db_count; i++) s->keys_all += walk_keys(s->walk, i);
    s->walking = true; /* the file's head is nobody's change */
    if (o->as_commands) begin_commands(s);
    else begin_rdb(s, o->aof_base);
    s->walking = false;
    if (!o->background) return;
    ASSERT(!srv->persist.walk);
    srv->persist.walk = s;
    srv->unusual |= SERVER_SAVING;
}

bool save_walk_is_ahead(const struct save_walk *s) { return packer_waiting(s->packer) > WAITING_MAX; }

bool save_walk_some(struct save_walk *s, uint64_t deadline_ns)
{
    struct call c = run_internal(s->w, &s->w->srv->dbs[0]);
    ASSERT(s->walk);
    s->walking = true;
    bool whole = walk_some(s->walk, &c, deadline_ns);
    if (whole) {
        if (!s->as_commands) rdb_write_end(&s->main.rdb);
        rdb_sink_finish(&s->main.sink);
    }
    s->walking = false;
    save_walk_let_go(s);
    return whole;
}

void save_walk_end(struct save_walk *s)
{
    if (!s->walk) return;
    struct server *srv = s->w->srv;
    struct call c = run_internal(s->w, &srv->dbs[0]);
    walk_free(s->walk, &c);
    s->walk = NULL;
    rdb_sink_fini(&s->main.sink);
    rdb_sink_fini(&s->aside.sink);
    if (!s->background) return;
    srv->persist.walk = NULL;
    srv->unusual &= ~(unsigned)(SERVER_SAVING | SERVER_SAVE_FULL);
    worker_let_go(s->w);
}

size_t save_walk_memory(const struct save_walk *s) { return memory(s); }
