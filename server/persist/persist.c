/* SPDX-License-Identifier: MIT
 *
 * The rules are redis-server's: a save point asks for its seconds since the last save and for its changes; after a
 * failure nothing is tried for five seconds.
 */
#include "server/persist/persist.h"

#include <errno.h>
#include <fcntl.h>

#include "alloc/base/clock.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/exec/multi.h"
#include "server/exec/run.h"
#include "server/observe/log.h"
#include "server/observe/supervisor.h"
#include "server/persist/aof.h"
#include "server/persist/aof_folder.h"
#include "server/persist/disk_file.h"
#include "server/persist/load.h"
#include "server/persist/save.h"
#include "server/persist/save_walk.h"
#include "server/server.h"
#include "server/worker.h"

#define RETRY_S       5
#define QUIET_NS      UINT64_C(1000000000)
#define QUIET_LOOK_NS UINT64_C(200000)
#define TIDY_NS       1000000
#define STALLED_MS    5000

static int64_t now_s(const struct worker *w) { return w->now_ms / 1000; }

void persist_init(struct server *srv)
{
    srv->persist.saved_s = srv->start_ms / 1000;
    srv->persist.took_s = -1;
    claim_init(&srv->persist.claim);
    aof_init(&srv->aof);
    srv->aof.on_device = aof_device_is_wanted(srv);
}

void persist_fini(struct worker *w)
{
    struct persist *p = &w->srv->persist;
    if (p->loading) load_cancel(p->loading);
    if (p->beside) load_cancel(p->beside);
    persist_save_cancel(w);
    if (p->cancelled) save_wait(p->cancelled);
    persist_stream_cancel(w);
    if (p->streaming) save_wait(p->streaming);
    aof_close(w);
    struct call c = run_internal(w, &w->srv->dbs[0]);
    walks_end_tidying(&w->srv->walks, &c);
    aof_folder_give_up(w->srv);
    aof_manifest_fini(&w->srv->aof.manifest);
    claim_fini(&p->claim);
}

bool persist_refuses_writes(const struct server *srv)
{
    return srv->persist.failed && srv->config->save_count && srv->config->stop_writes_on_bgsave_error;
}

size_t persist_save_memory(const struct server *srv)
{
    const struct persist *p = &srv->persist;
    const struct save *s = p->saving ? p->saving : p->streaming ? p->streaming : srv->aof.save;
    return s ? save_memory(s) : 0;
}

bool persist_holds(const struct session *s, const struct request *r)
{
    const struct server *srv = s->w->srv;
    uint32_t flags = srv->script_flags ? srv->script_flags(srv, r) : r->cmd->flags;
    bool may_write = (flags & CMD_WRITE) || ((flags & CMD_MAY_REPLICATE) && (r->cmd->acl & ACL_SCRIPTING));
    bool writes = (flags & CMD_RUNS_QUEUE) ? multi_writes(s) : may_write;
    if (writes && (srv->unusual & (SERVER_AOF_FULL | SERVER_SAVE_FULL | SERVER_HISTORY_FULL))) return true;
    return srv->persist.walk && save_walk_holds(srv->persist.walk, s, r);
}

void persist_update(struct server *srv)
{
    srv->unusual &= ~(unsigned)(SERVER_LOADING | SERVER_DISK_ERROR | SERVER_AOF_ERROR);
    if (srv->persist.loading) srv->unusual |= SERVER_LOADING;
    if (persist_refuses_writes(srv)) srv->unusual |= SERVER_DISK_ERROR;
    if (srv->aof.error) srv->unusual |= SERVER_AOF_ERROR;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

int persist_load(struct worker *w, unsigned flags)
{
    int err = load_foreground(w, flags);
    worker_update_time(w);
    return err;
}

static void loaded(struct worker *w, void *arg, int err)
{
    struct server *srv = w->srv;
    struct persist *p = &srv->persist;
    (void)arg;
    p->loading = NULL;
    persist_update(srv);
    if (err == -ECANCELED) return;
    if (err && err != -ENOENT) {
        if (!w->conf.cfg->appendonly) {
            server_log(srv, LOG_WARNING_LEVEL, "Terminating server after rdb file reading failure.");
            server_log(srv, LOG_WARNING_LEVEL, "Fatal error loading the DB, check server logs. Exiting.");
        }
        srv->exit_code = 1;
        srv->stopping = true;
        demi_wake_ring(w->wake);
        return;
    }
    worker_update_time(w);
    p->saved_s = now_s(w);
    p->ready(srv);
}

/* As redis-server has it: who turns the log on for the first time by a restart begins with nothing, and the next save
 * overwrites what was saved. */
static void warn_of_unread(struct worker *w)
{
    int qd;
    const char *name = w->conf.cfg->dbfilename;
    if (disk_file_open(&qd, name, O_RDONLY | O_NONBLOCK, 0) != 0) return;
    disk_file_close(qd);
    server_log(
        w->srv, LOG_WARNING_LEVEL,
        "WARNING: there is no append-only file yet, and with 'appendonly yes' %s is not loaded: the server begins "
        "with no data. To keep what is in it, start with 'appendonly no' and say CONFIG SET appendonly yes.",
        name);
}

/* The log, if there is one, and then it goes on. */
static int load_log(struct load *l)
{
    int err = aof_load(l);
    if (err == -ENOENT) warn_of_unread(load_worker(l));
    return err && err != -ENOENT ? err : aof_open(load_worker(l));
}

/* Clients wait while little is read, as they do with redis-server, which looks after them first when it has read
 * loading-process-events-interval-bytes, or when a script of the log is late: few expect LOADING of a server that has
 * just begun with nothing. */
static void load_quietly(struct worker *w)
{
    const struct persist *p = &w->srv->persist;
    uint64_t most = (uint64_t)w->conf.cfg->loading_process_events_interval_bytes, start = demi_clock_ns();
    demi_qtoken_t qt;
    demi_qresult_t qr;
    while (p->loading && !w->srv->stopping && !(w->srv->unusual & SERVER_BUSY) &&
           load_progress(p->loading).bytes_done < most && demi_clock_ns() - start < QUIET_NS &&
           demi_timer(&qt, QUIET_LOOK_NS) == 0)
        demi_wait(&qr, qt, NULL);
}

static void claim_file(struct server *srv)
{
    claim_take(srv, srv->config->dbfilename);
    claim_clear_leftovers(srv);
    if (srv->config->save_count) claim_look(srv);
}

void persist_load_begin(struct worker *w, void (*ready)(struct server *srv))
{
    struct persist *p = &w->srv->persist;
    claim_file(w->srv);
    p->ready = ready;
    p->loading = load_background(w, w->conf.cfg->appendonly ? load_log : load_rdb, loaded, NULL);
    persist_update(w->srv);
    if (p->loading) {
        load_quietly(w);
        return;
    }
    w->srv->exit_code = 1;
    w->srv->stopping = true;
}

/* --- saving ------------------------------------------------------------------------------------------------------- */

int persist_save(struct worker *w)
{
    struct server *srv = w->srv;
    claim_look(srv);
    supervisor_hold(srv);
    int err = save_foreground(w, w->conf.cfg->dbfilename);
    supervisor_release(srv);
    if (err) return err;
    srv->dirty = 0;
    worker_update_time(w);
    srv->persist.saved_s = now_s(w);
    srv->persist.failed = false;
    persist_update(srv);
    return 0;
}

static void tell(struct worker *w, struct save *s, int err)
{
    struct persist *p = &w->srv->persist;
    void (*told)(struct worker *, struct save *, int) = p->told;
    p->told = NULL;
    if (told) told(w, s, err);
}

static void ended(struct worker *w, struct save *s, int err)
{
    struct server *srv = w->srv;
    struct persist *p = &srv->persist;
    if (s == p->cancelled) {
        p->cancelled = NULL;
        p->stalled = false;
        return;
    }
    ASSERT(s == p->saving);
    worker_update_time(w);
    p->saving = NULL;
    p->took_s = now_s(w) - p->tried_s;
    p->failed = err != 0;
    p->memory_peak = save_memory_peak(s);
    if (err) {
        server_log(srv, LOG_WARNING_LEVEL, "Background saving error");
    } else {
        server_log(srv, LOG_NOTICE_LEVEL, "Background saving terminated with success");
        srv->dirty -= p->dirty_before;
        p->saved_s = now_s(w);
    }
    persist_update(srv);
    tell(w, s, err);
}

bool persist_may_walk(const struct server *srv)
{
    const struct persist *p = &srv->persist;
    return !p->saving && !p->streaming && !p->loading && !p->beside && !srv->aof.rewriting &&
           walks_are_free(&srv->walks);
}

static int save_begin_at(struct worker *w, int version)
{
    struct server *srv = w->srv;
    struct persist *p = &srv->persist;
    if (!persist_may_walk(srv)) return -EBUSY;
    if (p->stalled) {
        server_log(srv, LOG_WARNING_LEVEL,
                   "Can't save in background: the last one that was given up waits for the disk");
        return -EAGAIN;
    }
    claim_look(srv);
    p->scheduled = false;
    p->saves++;
    p->dirty_before = srv->dirty;
    p->tried_s = now_s(w);
    p->saving = save_background(w, w->conf.cfg->dbfilename, version, ended);
    if (p->saving) {
        server_log(srv, LOG_NOTICE_LEVEL, "Background saving started");
        return 0;
    }
    p->failed = true;
    persist_update(srv);
    return -EAGAIN;
}

int persist_save_begin(struct worker *w) { return save_begin_at(w, 0); }

int persist_save_for_replicas(struct worker *w, int version, void (*told)(struct worker *w, struct save *s, int err))
{
    struct persist *p = &w->srv->persist;
    int err = save_begin_at(w, version);
    if (err) return err;
    p->told = told;
    save_keep_open(p->saving);
    return 0;
}

static void stream_ended(struct worker *w, struct save *s, int err)
{
    struct persist *p = &w->srv->persist;
    ASSERT(s == p->streaming);
    worker_update_time(w);
    p->streaming = NULL;
    tell(w, s, err);
}

bool persist_stream_begin(struct worker *w, const struct save_stream *to, int version,
                          void (*told)(struct worker *w, struct save *s, int err))
{
    struct persist *p = &w->srv->persist;
    ASSERT(persist_may_walk(w->srv));
    p->streaming = save_background_to(w, to, version, stream_ended);
    if (p->streaming) p->told = told;
    return p->streaming != NULL;
}

void persist_stream_cancel(struct worker *w)
{
    if (w->srv->persist.streaming) save_cancel(w->srv->persist.streaming);
}

void persist_stream_go_on(struct worker *w)
{
    if (w->srv->persist.streaming) save_go_on(w->srv->persist.streaming);
}

void persist_save_cancel(struct worker *w)
{
    struct persist *p = &w->srv->persist;
    if (!p->saving) return;
    server_log(w->srv, LOG_WARNING_LEVEL, "Background saving was given up");
    if (p->cancelled) save_wait(p->cancelled);
    ASSERT(!p->cancelled);
    if (!p->saving) return; /* it has ended meanwhile */
    p->cancelled = p->saving;
    p->saving = NULL;
    p->took_s = now_s(w) - p->tried_s;
    save_cancel(p->cancelled);
    tell(w, p->cancelled, -ECANCELED);
}

void persist_flushed_all(struct call *c)
{
    persist_save_cancel(c->w);
    if (!c->cfg->save_count || persist_save(c->w) != 0) return;
    c->srv->dirty -= c->dirty; /* it will be counted when the command ends, and is saved */
}

static const struct save_point *point_reached(const struct worker *w)
{
    const struct config *cfg = w->conf.cfg;
    const struct persist *p = &w->srv->persist;
    for (unsigned i = 0; i < cfg->save_count; i++)
        if (w->srv->dirty >= cfg->save[i].changes && now_s(w) - p->saved_s > cfg->save[i].seconds) return &cfg->save[i];
    return NULL;
}

/* Commands wait for a save whose file the disk takes nothing of: better no file than no service. */
static void look_for_stall(struct worker *w)
{
    struct persist *p = &w->srv->persist;
    if (!p->walk || !save_walk_is_waited_for(p->walk) || p->walk->progress != p->seen_progress) {
        p->seen_progress = p->walk ? p->walk->progress : 0;
        p->stalled_ms = w->now_ms;
        return;
    }
    if (w->now_ms - p->stalled_ms < STALLED_MS) return;
    if (p->streaming) {
        server_log(
            w->srv, LOG_WARNING_LEVEL,
            "Commands wait for a snapshot that goes to replicas, and these have taken nothing of it for %d seconds: "
            "it is given up",
            STALLED_MS / 1000);
        persist_stream_cancel(w);
        return;
    }
    server_log(w->srv, LOG_WARNING_LEVEL,
               "Commands wait for a file that is saved in the background, and the disk has taken nothing of it for %d "
               "seconds: it is given up",
               STALLED_MS / 1000);
    if (!p->saving) {
        aof_rewrite_give_up(w);
        return;
    }
    persist_save_cancel(w);
    p->stalled = p->failed = true;
    persist_update(w->srv);
}

static void tidy_walks(struct worker *w)
{
    struct server *srv = w->srv;
    struct call c = run_internal(w, &srv->dbs[0]);
    walks_tidy(&srv->walks, srv->dbs, srv->db_count, &c, demi_clock_ns() + TIDY_NS);
}

void persist_cron(struct worker *w)
{
    struct persist *p = &w->srv->persist;
    look_for_stall(w);
    aof_cron(w);
    if (!persist_may_walk(w->srv)) return;
    bool may_try = !p->failed || now_s(w) - p->tried_s > RETRY_S;
    if (!may_try) return;
    const struct save_point *reached = point_reached(w);
    if (reached)
        server_log(w->srv, LOG_NOTICE_LEVEL, "%lld changes in %lld seconds. Saving...", (long long)reached->changes,
                   (long long)reached->seconds);
    if (reached || p->scheduled) persist_save_begin(w);
    else tidy_walks(w);
}
