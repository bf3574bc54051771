/* SPDX-License-Identifier: MIT
 *
 * A task puts the keys of the file in, a millisecond at a time; then the loop has a turn. What can be done ahead of it
 * is done ahead (read_ahead.h).
 */
#include "server/persist/load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "alloc/base/clock.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/affinity.h"
#include "server/exec/effects.h"
#include "server/exec/run.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/observe/supervisor.h"
#include "server/persist/check_file.h"
#include "server/persist/disk_file.h"
#include "server/persist/read_ahead.h"
#include "server/rdb/snapshot.h"
#include "server/server.h"
#include "server/worker.h"

#define SLICE_NS   1000000
#define STACK_SIZE ((size_t)4 << 20) /* scripts of old logs, libraries of functions: SCRIPT_STACK_BYTES, and more */

struct load {
    struct worker *w;
    load_fn *fn;
    unsigned flags;
    bool background, cancelled;
    bool buries, has_resumed; /* load_rdb() */
    load_ended_fn *ended;
    void *arg; /* of whom it is for */
    demi_qtoken_t task;
    struct read_ahead *r;
    struct bytes left;        /* of the block that load_read() is at */
    uint64_t bytes_before;    /* of files read before this one */
    struct rdb_source source; /* of the RDB in it */
    bool has_source;
    struct rdb_loader rdb;
    uint64_t steps, slice_began_ns;
    struct load_progress progress;
};

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static long next_block(void *arg, struct bytes *block, const struct rdb_notes **notes)
{
    struct load *l = arg;
    return read_ahead_next(l->r, block, notes);
}

long load_read(struct load *l, char *buf, size_t size)
{
    const struct rdb_notes *none;
    long got = l->left.n ? 1 : read_ahead_next(l->r, &l->left, &none);
    if (got <= 0) return got;
    size_t n = l->left.n < size ? l->left.n : size;
    memcpy(buf, l->left.p, n);
    l->left = bytes_of(l->left.p + n, l->left.n - n);
    return (long)n;
}

int load_open(struct load *l, const char *path) { return read_ahead_open(&l->r, path); }

int load_open_log(struct load *l, const char *name, uint64_t offset)
{
    return read_ahead_open_log(&l->r, name, offset);
}

void load_count(struct load *l, uint64_t bytes) { l->bytes_before += bytes; }

void load_close(struct load *l)
{
    if (!l->r) return;
    if (l->has_source) rdb_source_fini(&l->source);
    l->has_source = false;
    l->bytes_before += read_ahead_bytes(l->r);
    read_ahead_close(l->r);
    l->r = NULL;
    l->left = bytes_of(NULL, 0);
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

struct worker *load_worker(const struct load *l) { return l->w; }
void *load_arg(const struct load *l) { return l->arg; }
struct rdb_origin load_origin(const struct load *l) { return l->rdb.origin; }
void load_expect(struct load *l, uint64_t bytes) { l->progress.bytes_all = bytes; }

/* key-load-delay is a test's way to make loading last: microseconds a key; below 0, keys a microsecond. */
static void delay(struct load *l)
{
    int64_t us = l->w->conf.cfg->key_load_delay;
    demi_qtoken_t qt;
    if (us < 0 && l->steps % (uint64_t)-us) return;
    if (demi_timer(&qt, us > 0 ? (uint64_t)us * 1000 : 1000) == 0) disk_file_wait(qt, NULL);
}

bool load_goes_on(struct load *l)
{
    bool delayed = l->w->conf.cfg->key_load_delay != 0;
    l->steps++;
    l->rdb.lot = delayed;
    if (unlikely(delayed)) delay(l);
    if (!l->background) return true;
    uint64_t now = demi_clock_ns();
    if (now - l->slice_began_ns < SLICE_NS) return !l->cancelled;
    l->progress.bytes_done = l->bytes_before + (l->r ? read_ahead_bytes(l->r) : 0);
    l->progress.used_mem = l->rdb.used_mem;
    demi_yield();
    l->slice_began_ns = demi_clock_ns();
    return !l->cancelled;
}

static bool go_on(void *arg, size_t items) { return load_goes_on(arg); }

static void log_end(const struct load *l, int err)
{
    struct server *srv = l->w->srv;
    char shown[CHECK_SHOWN_SIZE];
    bool of_key = l->rdb.fault_key.p != NULL;
    int of_disk = l->r ? read_ahead_error(l->r) : 0;
    const struct rdb_source *s = &l->source;
    if (err)
        server_log(srv, LOG_WARNING_LEVEL, "Error loading the DB from disk at byte %llu: %s%s%s%s%s%s",
                   (unsigned long long)rdb_source_offset(s), s->why, of_disk ? ": " : "",
                   of_disk ? strerror(-of_disk) : "", of_key ? " (key '" : "",
                   of_key ? check_shown(l->rdb.fault_key, shown) : "", of_key ? "')" : "");
    else
        server_log(
            srv, LOG_NOTICE_LEVEL, "Done loading RDB, keys loaded: %llu, keys expired: %llu, empty keys skipped: %llu.",
            (unsigned long long)l->rdb.keys, (unsigned long long)l->rdb.expired, (unsigned long long)l->rdb.empty);
}

/* The server goes on with the history that the file is of. */
static void resume(struct load *l)
{
    struct persist *p = &l->w->srv->persist;
    if (l->has_resumed || !p->arrived) return;
    l->has_resumed = true;
    p->origin = l->rdb.origin;
    p->arrived(l->w);
}

/* That it is not there any more is news to whoever has followed that history. */
static void bury(void *arg, int db, struct bytes key)
{
    struct load *l = arg;
    struct bytes argv[2] = {BYTES("DEL"), key};
    resume(l);
    effects_hand_over(l->w->srv, db, argv, 2);
}

static void look_ahead(struct load *l, const struct call *c)
{
    struct server *srv = l->w->srv;
    read_ahead_look(l->r, &(struct read_ahead_look){.seed = srv->dbs[0].hash_seed,
                                                    .summing = rdb_wants_checksum(c),
                                                    .own_thread = srv->in_a_process && affinity_cores() > 1});
}

int load_rdb_part(struct load *l, unsigned flags, struct bytes *rest)
{
    struct server *srv = l->w->srv;
    struct call c = run_internal(l->w, &srv->dbs[0]);
    /* A replica's dead are its primary's to bury. */
    if (srv->upstream) flags |= RDB_LOAD_KEEP_EXPIRED;
    l->rdb = (struct rdb_loader){.flags = flags, .go_on = go_on, .arg = l, .lot = l->w->conf.cfg->key_load_delay != 0};
    if (l->buries) l->rdb.dead = bury;
    if (read_ahead_size(l->r, &l->rdb.bytes) != 0) l->rdb.bytes = 0;
    look_ahead(l, &c);
    rdb_source_of_blocks(&l->source, next_block, l);
    l->has_source = true;
    int err = rdb_read_snapshot(&l->source, &c, &l->rdb);
    srv->persist.keys_loaded = l->rdb.keys;
    srv->persist.keys_expired = l->rdb.expired;
    if (err != -ECANCELED) log_end(l, err);
    *rest = rdb_source_ahead(&l->source);
    return err;
}

int load_rdb_stream(struct load *l, unsigned flags, const struct load_stream *from)
{
    struct call c = run_internal(l->w, &l->w->srv->dbs[0]);
    ASSERT(!l->r);
    l->r = from->ahead;
    l->rdb = (struct rdb_loader){.flags = flags,
                                 .go_on = go_on,
                                 .arg = l,
                                 .lot = l->w->conf.cfg->key_load_delay != 0,
                                 .dbs = from->dbs,
                                 .libraries = from->libraries};
    look_ahead(l, &c);
    rdb_source_of_blocks(&l->source, next_block, l);
    int err = rdb_read_snapshot(&l->source, &c, &l->rdb);
    l->w->srv->persist.keys_loaded = l->rdb.keys;
    l->w->srv->persist.keys_expired = l->rdb.expired;
    if (err != -ECANCELED) log_end(l, err);
    rdb_source_fini(&l->source);
    l->bytes_before += read_ahead_bytes(l->r);
    read_ahead_leave(l->r);
    l->r = NULL;
    return err;
}

uint64_t load_rdb_bytes(const struct load *l) { return rdb_source_offset(&l->source); }

int load_rdb(struct load *l)
{
    char name[256];
    struct bytes rest;
    struct server *srv = l->w->srv;
    uint64_t start = demi_clock_ns();
    snprintf(name, sizeof name, "%s", l->w->conf.cfg->dbfilename);
    int err = load_open(l, name);
    if (err) {
        if (err != -ENOENT || !l->background)
            server_log(srv, LOG_WARNING_LEVEL, "Error loading the DB from disk, opening %s: %s", name, strerror(-err));
        return err;
    }
    uint64_t size;
    if (read_ahead_size(l->r, &size) == 0) load_expect(l, size);
    l->buries = l->background;
    err = load_rdb_part(l, l->flags, &rest);
    load_close(l);
    if (!err && l->background) resume(l);
    if (!err && l->background)
        server_log(srv, LOG_NOTICE_LEVEL, "DB loaded from disk: %.3f seconds",
                   (double)(demi_clock_ns() - start) / 1000000000);
    return err;
}

static int stand_still(struct load *l, load_fn *fn)
{
    struct server *srv = l->w->srv;
    supervisor_hold(srv);
    int err = fn(l);
    supervisor_release(srv);
    return err;
}

int load_foreground(struct worker *w, unsigned flags)
{
    struct load l = {.w = w, .flags = flags};
    return stand_still(&l, load_rdb);
}

int load_now(struct worker *w, load_fn *fn)
{
    struct load l = {.w = w};
    return stand_still(&l, fn);
}

static int64_t run_task(void *arg)
{
    struct load *l = arg;
    struct worker *w = l->w;
    load_ended_fn *ended = l->ended;
    void *for_whom = l->arg;
    l->slice_began_ns = demi_clock_ns();
    int err = l->fn(l);
    mem_free(l);
    w->replayed++; /* the next command is another change than the last key (srv_command_serial()) */
    ended(w, for_whom, err);
    return err;
}

struct load *load_background(struct worker *w, load_fn *fn, load_ended_fn *ended, void *arg)
{
    struct load *l = mem_calloc(sizeof *l);
    l->w = w;
    l->fn = fn;
    l->background = true;
    l->ended = ended;
    l->arg = arg;
    l->progress.started_s = w->now_ms / 1000;
    int err = demi_spawn(&l->task, run_task, l, STACK_SIZE);
    if (!err) return l;
    server_log(w->srv, LOG_WARNING_LEVEL, "Can't load the DB from disk: %s", strerror(err));
    mem_free(l);
    return NULL;
}

void load_give_up(struct load *l) { l->cancelled = true; }

void load_cancel(struct load *l)
{
    demi_qresult_t qr;
    load_give_up(l);
    demi_wait(&qr, l->task, NULL);
}

struct load_progress load_progress(const struct load *l) { return l->progress; }
