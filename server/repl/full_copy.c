/* SPDX-License-Identifier: MIT
 *
 * The walk has a millisecond, and then the clients three, so that three quarters of a busy core stay theirs and no
 * request waits longer than that for it. While no events come the walk has everything:
 *
 *      | batch | batch | walk |  batch . batch . batch . batch  | walk |   nothing for 1 ms   | walk | walk | walk ...
 */
#include "server/repl/full_copy.h"

#include <errno.h>

#include "alloc/base/clock.h"
#include "server/db/walk.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/net/feed.h"
#include "server/rdb/snapshot.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

#define SLICE_NS     1000000
#define CLIENTS_PART 3 /* times what the slice took */
#define IDLE_NS      1000000

struct full_copy {
    struct snapshot *snapshot;
    size_t bytes_max;
    struct walk *walk;
    struct rdb_sink sink;
    struct rdb_writer writer;
    struct call call; /* of the moment it stands for */
    uint64_t due_ns, busy_ns;
};

static int into_text(void *arg, const char *p, size_t n)
{
    struct full_copy *f = arg;
    if (f->snapshot->bytes + n > f->bytes_max) return -ENOBUFS;
    broadcast_append(&f->snapshot->text, bytes_of(p, n));
    f->snapshot->bytes += n;
    return 0;
}

static void write_entry(void *arg, int db, const struct entry *e)
{
    struct full_copy *f = arg;
    f->call.cfg = f->call.w->conf.cfg; /* the one it began with may be gone */
    if (!f->sink.error) rdb_write_pair(&f->writer, &f->call, db, e);
}

void full_copy_begin(struct worker *w, struct snapshot *s, size_t bytes_max)
{
    ASSERT(!w->copy);
    struct server *srv = w->srv;
    struct full_copy *f = w->copy = mem_calloc(sizeof *f);
    f->snapshot = s;
    f->bytes_max = bytes_max;
    f->call = run_internal(w, &srv->dbs[0]);
    f->busy_ns = w->turn_ns;
    rdb_sink_init(&f->sink, into_text, f);
    f->sink.version = s->version;
    f->sink.compress = srv->config->rdbcompression;
    f->sink.checksum = srv->config->rdbchecksum;
    rdb_write_begin(&f->writer, &f->sink, &f->call, false);
    f->walk =
        walk_new(&srv->walks, srv->dbs, srv->db_count, &f->call, &(struct walk_reader){.entry = write_entry, .arg = f});
    for (int i = 0; i < srv->db_count; i++)
        if (walk_keys(f->walk, i)) rdb_write_sizes(&f->writer, i, walk_keys(f->walk, i), walk_expires(f->walk, i));
}

void full_copy_stop(struct worker *w)
{
    struct full_copy *f = w->copy;
    struct call c = run_internal(w, &w->srv->dbs[0]);
    walk_free(f->walk, &c);
    rdb_sink_fini(&f->sink);
    mem_free(f);
    w->copy = NULL;
}

const struct snapshot *full_copy_of(const struct worker *w) { return w->copy ? w->copy->snapshot : NULL; }

uint64_t full_copy_wakes_ns(const struct full_copy *f)
{
    if (!f) return UINT64_MAX;
    return f->due_ns < f->busy_ns + IDLE_NS ? f->due_ns : f->busy_ns + IDLE_NS;
}

void full_copy_turn(struct worker *w, size_t events)
{
    struct full_copy *f = w->copy;
    if (events) f->busy_ns = w->turn_ns;
    if (w->turn_ns < full_copy_wakes_ns(f)) return;
    uint64_t start = demi_clock_ns();
    struct call c = run_internal(w, &w->srv->dbs[0]);
    bool done = walk_some(f->walk, &c, start + SLICE_NS);
    if (done) rdb_write_end(&f->writer);
    int err = done ? rdb_sink_finish(&f->sink) : f->sink.error;
    if (!err && f->snapshot->bytes + walk_bytes(f->walk) > f->bytes_max) err = -ENOBUFS;
    uint64_t now = demi_clock_ns();
    f->due_ns = now + CLIENTS_PART * (now - start);
    if (!done && !err) return;
    struct snapshot *s = f->snapshot;
    full_copy_stop(w);
    s->is_whole = !err;
    replicas_copy_ended(w, s, err);
}
