/* SPDX-License-Identifier: MIT
 *
 * BGREWRITEAOF: the data as they are become a new base, while the log goes on in a new increment. A task:
 *
 *     1. the new increment is made, and (if the log is on) named by the manifest: a crash from here on loads all of the
 *        old files and what the new increment has
 *     2. one moment: the increment begins at the journal's end, and the walk of the base begins
 *     3. the base is written (save.h) and gets its name
 *     4. the manifest names the new base and the increment; the old files are history
 *     5. history is deleted
 *
 * On a device (aof_device.h) there are marks in one log instead of increments, and no manifest: 1. the base is begun in
 * the log that has none; 2. as above, and the writer puts the mark where the journal was; 3. the walk becomes records;
 * 4. "end" is pushed behind them; 5. what lies before both is trimmed.
 *
 * If it fails the log goes on with one increment more. After FAILURES_FREE failures in a row it is tried less and less
 * often, lest each leaves another file.
 */
#include "server/persist/aof_rewrite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "demi/libos.h"
#include "demi/wait.h"
#include "server/mem.h"
#include "server/observe/latency.h"
#include "server/observe/log.h"
#include "server/persist/aof.h"
#include "server/persist/aof_folder.h"
#include "server/persist/aof_writer.h"
#include "server/persist/disk_file.h"
#include "server/persist/persist.h"
#include "server/persist/save.h"
#include "server/server.h"
#include "server/worker.h"

#define SCRIPT_LOOK_NS    UINT64_C(2000000)
#define MARK_LOOK_NS      UINT64_C(1000000)
#define MARK_LOOKS_MAX    10000u /* while there is an error */
#define FAILURES_FREE     3u     /* as in Redis */
#define RETRY_MINUTES_MAX 60u
#define STACK_SIZE        ((size_t)256 << 10)

/* --- the base ----------------------------------------------------------------------------------------------------- */

static struct save *begin_base(struct worker *w, const char *name, bool is_rdb, bool background)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    if (aof_folder_path(&w->srv->aof, name, path)) return NULL;
    if (aof_folder_temporary_base(w->srv, temporary)) return NULL;
    return save_begin(
        w,
        &(struct save_request){
            .name = path, .temporary = temporary, .background = background, .aof_base = true, .as_commands = !is_rdb});
}

int aof_write_base(struct worker *w, const char *name, bool is_rdb, struct save *begun)
{
    struct save *s = begun ? begun : begin_base(w, name, is_rdb, false);
    if (!s) return -EAGAIN;
    int err = save_run(s);
    w->srv->aof.memory_peak = save_memory_peak(s);
    save_end(s);
    return err;
}

int aof_write_base_there(struct worker *w, struct save *begun)
{
    if (!begun) return -EAGAIN;
    int err = aof_device_save_error(&w->srv->aof.device, save_run(begun));
    w->srv->aof.memory_peak = save_memory_peak(begun);
    save_end(begun);
    return err;
}

/* --- the task ----------------------------------------------------------------------------------------------------- */

struct rewrite {
    struct aof_manifest m; /* as it is to be */
    char incr[AOF_NAME_SIZE], base[AOF_NAME_SIZE];
    bool log_on, begins_log, is_rdb;
    bool published; /* or tried to: the manifest on the disk may name the files, whatever the error was */
    int qd;         /* of the new increment; -1: there is none, or it is the log's */
};

/* 1. on a device. What an error of it has left is opened again. */
static int begin_there(struct server *srv, struct rewrite *r)
{
    struct aof *a = &srv->aof;
    if (a->device.is_broken) {
        a->qd = -1;
        aof_device_close(srv);
    }
    int err = aof_device_open(srv);
    if (!err) err = aof_device_begin_base(srv, r->is_rdb);
    if (err || r->log_on) return err;
    err = aof_device_push_mark(&a->device, true);
    if (err)
        server_log(srv, LOG_WARNING_LEVEL, "Can't begin the append-only log %s: %s", srv->config->aof_device,
                   strerror(-err));
    return err;
}

/* 1. */
static int make_incr(struct server *srv, struct rewrite *r)
{
    struct aof *a = &srv->aof;
    if (a->on_device) return begin_there(srv, r);
    int err = aof_folder_make(srv);
    aof_manifest_copy(&r->m, &a->manifest);
    if (err || !(r->log_on || r->begins_log)) return err;
    memcpy(r->incr, aof_manifest_add_incr(&r->m, srv->config->appendfilename)->name, sizeof r->incr);
    err = aof_open_next(srv, r->incr, &r->qd);
    if (err || r->begins_log) return err;
    err = aof_folder_publish(srv, &r->m);
    if (err) return err;
    server_log(srv, LOG_NOTICE_LEVEL, "Creating AOF incr file %s on background rewrite", r->incr);
    aof_manifest_copy(&r->m, &a->manifest);
    return 0;
}

/* 2. on a device. */
static int begin_at_once_there(struct worker *w, struct rewrite *r)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    a->save = aof_device_save(w, true);
    if (!a->save) return -EAGAIN;
    if (r->begins_log) {
        a->qd = a->device.logs.qd[AOF_LOG_INCR];
        a->bytes = a->safe_bytes = a->closed_bytes = 0;
        int err = aof_writer_run(w);
        if (err) a->qd = -1;
        return err;
    }
    if (!r->log_on) return 0;
    journal_select_again(&srv->journal);
    a->next_at = srv->journal.text.end;
    a->next_qd = a->device.logs.qd[AOF_LOG_INCR];
    aof_appended(srv);
    return 0;
}

/* 2. Nothing runs in between. */
static int begin_at_once(struct worker *w, struct rewrite *r)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    bool keeps = r->log_on || r->begins_log;
    if (a->on_device) return begin_at_once_there(w, r);
    memcpy(r->base, aof_manifest_add_base(&r->m, srv->config->appendfilename, r->is_rdb, keeps)->name, sizeof r->base);
    a->save = begin_base(w, r->base, r->is_rdb, true);
    if (!a->save) return -EAGAIN;
    if (r->begins_log) {
        a->qd = r->qd;
        a->bytes = a->safe_bytes = a->closed_bytes = 0;
        int err = aof_writer_run(w);
        if (err) {
            a->qd = -1;
            return err;
        }
    } else if (r->log_on) {
        journal_select_again(&srv->journal);
        a->next_at = srv->journal.text.end;
        a->next_qd = r->qd;
        aof_appended(srv);
    }
    r->qd = -1; /* the log's now */
    return 0;
}

/* 4. and 5. on a device: the base is one when the increments have its mark. */
static int take_over_there(struct server *srv)
{
    struct aof *a = &srv->aof;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    unsigned failing = 0;
    while (!a->device.has_mark && !a->given_up && !srv->stopping && demi_timer(&qt, MARK_LOOK_NS) == 0) {
        demi_wait(&qr, qt, NULL);
        if (a->error && ++failing == MARK_LOOKS_MAX) return a->error; /* there is no room for it: the base takes it */
    }
    if (!a->device.has_mark) return -ECANCELED;
    int err = aof_device_end_base(srv);
    if (err) return err;
    a->closed_bytes = a->device.logs.bytes;
    a->base_bytes = aof_size(a);
    return 0;
}

/* 4. and 5. */
static int take_over(struct server *srv, struct rewrite *r)
{
    struct aof *a = &srv->aof;
    if (a->on_device) return take_over_there(srv);
    char path[PATH_MAX];
    int qd;
    uint64_t base = 0;
    r->published = true;
    int err = aof_folder_publish(srv, &r->m);
    if (err) return err;
    if (aof_folder_path(a, r->base, path) == 0 && disk_file_open(&qd, path, 0, 0) == 0) {
        uint64_t start = demi_clock_ns();
        disk_file_size(qd, &base);
        latency_sample_since(srv, "aof-fstat", start);
        disk_file_close(qd);
    }
    a->closed_bytes = base;
    a->base_bytes = aof_size(a);
    aof_folder_clean(srv);
    return 0;
}

/* The moment of the base may not lie in the middle of a script: what that has done so far would be in the base, and in
 * the increment once more, since its effects go there together. */
static void wait_for_script(struct server *srv)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    while ((srv->unusual & SERVER_BUSY) && demi_timer(&qt, SCRIPT_LOOK_NS) == 0) demi_wait(&qr, qt, NULL);
}

static int rewrite(struct worker *w, struct rewrite *r)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    int err = make_incr(srv, r);
    wait_for_script(srv);
    if (!err && a->given_up) err = -ECANCELED;
    if (!err) err = begin_at_once(w, r);
    if (!err) {
        err = a->on_device ? aof_write_base_there(w, a->save) : aof_write_base(w, r->base, r->is_rdb, a->save);
        a->save = NULL;
    } else if (a->save) {
        save_end(a->save);
        a->save = NULL;
    }
    if (!err && a->given_up) err = -ECANCELED;
    return err ? err : take_over(srv, r);
}

static void remove_file(struct server *srv, const char *name)
{
    char path[PATH_MAX];
    if (*name && aof_folder_path(&srv->aof, name, path) == 0) disk_file_unlink(path);
}

/* Its room is free again; a mark that is not there yet will not be. */
static void give_up_there(struct server *srv, int err)
{
    struct aof *a = &srv->aof;
    a->next_qd = -1;
    if (aof_device_error_is_final(a->device.error)) a->device.is_broken = a->poisoned = a->scheduled = true;
    else aof_device_give_up_base(srv);
    aof_writer_fail(srv, err);
}

static void failed(struct worker *w, struct rewrite *r, int err)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    if (err == -ECANCELED) {
        server_log(srv, LOG_WARNING_LEVEL, "Background AOF rewrite was given up");
    } else {
        server_log(srv, LOG_WARNING_LEVEL, "Background AOF rewrite terminated with error: %s", strerror(-err));
        a->failed = true;
        a->failures++;
    }
    if (r->qd >= 0) disk_file_close(r->qd);
    a->scheduled = a->poisoned;
    if (a->on_device) give_up_there(srv, err);
    else if (r->published) { /* their names are not given out again: under them nothing else may be found */
        if (a->manifest.base_seq < r->m.base_seq) a->manifest.base_seq = r->m.base_seq;
        if (a->manifest.incr_seq < r->m.incr_seq) a->manifest.incr_seq = r->m.incr_seq;
    } else {
        remove_file(srv, r->base);
    }
    if (!r->begins_log) {
        if (a->on_device && !r->log_on) aof_device_close(srv);
        return;
    }
    aof_writer_end(w);
    if (a->on_device) aof_device_close(srv);
    else if (!r->published) remove_file(srv, r->incr);
    a->scheduled = a->state == AOF_WAIT_REWRITE;
}

static int64_t run_task(void *arg)
{
    struct worker *w = arg;
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    struct rewrite r = {.log_on = a->state == AOF_ON,
                        .begins_log = a->state == AOF_WAIT_REWRITE,
                        .is_rdb = srv->config->aof_use_rdb_preamble,
                        .qd = -1};
    int err = rewrite(w, &r);
    worker_update_time(w);
    if (err) {
        failed(w, &r, err);
    } else {
        server_log(srv, LOG_NOTICE_LEVEL, "Background AOF rewrite finished successfully");
        a->failed = false;
        a->failures = 0;
        if (a->poisoned || (a->on_device && a->error)) aof_writer_is_good_again(srv);
        if (a->on_device) a->scheduled = false; /* errors meanwhile wanted it */
        if (a->on_device && a->state == AOF_OFF) aof_device_close(srv);
        if (a->state == AOF_WAIT_REWRITE) a->state = AOF_ON;
        aof_take_config(w);
    }
    aof_manifest_fini(&r.m);
    a->rewrite_took_s = w->now_ms / 1000 - a->rewrite_began_s;
    a->rewrite_began_s = -1;
    a->rewriting = false;
    return err;
}

int aof_rewrite_begin(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    bool in_switch =
        a->next_qd >= 0; /* the one before has not gone on in its increment yet: the disk is slow, or full */
    if (a->rewriting || srv->persist.saving || in_switch || !walks_are_free(&srv->walks)) return -EBUSY;
    if (a->state == AOF_OFF && !a->on_device && aof_folder_locate(srv) != 0) return -ENOENT;
    if (a->state == AOF_WAIT_REWRITE && !a->on_device && !a->runs && aof_folder_locate(srv) != 0) return -ENOENT;
    a->scheduled = a->given_up = false;
    a->rewriting = true;
    a->rewrites++;
    a->rewrite_began_s = w->now_ms / 1000;
    int err = -demi_spawn(&a->rewrite_task, run_task, w, STACK_SIZE);
    if (err) {
        server_log(srv, LOG_WARNING_LEVEL, "Can't rewrite append only file in background: %s", strerror(-err));
        a->rewriting = false;
        a->rewrite_began_s = -1;
        a->failed = true;
        return err;
    }
    server_log(srv, LOG_NOTICE_LEVEL, "Background append only file rewriting started");
    return 0;
}

void aof_rewrite_cancel(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    demi_qresult_t qr;
    if (!a->rewriting) return;
    server_log(w->srv, LOG_NOTICE_LEVEL, "Killing running AOF rewrite child (a task of this process)");
    a->given_up = true;
    if (a->save) save_cancel(a->save);
    demi_wait(&qr, a->rewrite_task, NULL);
}

void aof_rewrite_give_up(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    if (!a->rewriting) return;
    a->given_up = a->failed = true;
    a->failures++;
    if (a->save) save_cancel(a->save);
}

/* --- when --------------------------------------------------------------------------------------------------------- */

/* So many have failed that it has to wait. */
static bool is_limited(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    int64_t now_s = w->now_ms / 1000;
    if (a->failures < FAILURES_FREE) {
        a->retry_s = 0;
        a->retry_minutes = 0;
        return false;
    }
    if (a->retry_s) {
        if (now_s < a->retry_s) return true;
        a->retry_s = 0;
        return false;
    }
    a->retry_minutes = a->retry_minutes ? a->retry_minutes * 2 : 1;
    if (a->retry_minutes > RETRY_MINUTES_MAX) a->retry_minutes = RETRY_MINUTES_MAX;
    a->retry_s = now_s + (int64_t)a->retry_minutes * 60;
    server_log(w->srv, LOG_WARNING_LEVEL,
               "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in %u minutes",
               a->retry_minutes);
    return true;
}

static bool has_grown(struct worker *w, uint64_t *percent)
{
    const struct config *cfg = w->conf.cfg;
    const struct aof *a = &w->srv->aof;
    uint64_t size = aof_size(a), base = a->base_bytes ? a->base_bytes : 1;
    if (a->state != AOF_ON || !cfg->auto_aof_rewrite_percentage) return false;
    if (size <= (uint64_t)cfg->auto_aof_rewrite_min_size || size < base) return false;
    *percent = (size - base) * 100 / base;
    return *percent >= (uint64_t)cfg->auto_aof_rewrite_percentage;
}

void aof_cron(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    uint64_t percent;
    aof_writer_cron(srv);
    if (a->rewriting || srv->persist.saving || srv->persist.loading || !walks_are_free(&srv->walks)) return;
    if (a->scheduled && !is_limited(w)) {
        aof_rewrite_begin(w);
    } else if (has_grown(w, &percent) && !is_limited(w)) {
        server_log(srv, LOG_NOTICE_LEVEL, "Starting automatic rewriting of AOF on %llu%% growth",
                   (unsigned long long)percent);
        aof_rewrite_begin(w);
    } else if (a->on_device && a->state == AOF_ON && !a->error && aof_device_is_short(srv) && !is_limited(w)) {
        server_log(srv, LOG_NOTICE_LEVEL, "Starting automatic rewriting of AOF, the append-only log is nearly full");
        aof_rewrite_begin(w);
    }
}
