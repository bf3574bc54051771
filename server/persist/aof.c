/* SPDX-License-Identifier: MIT
 *
 * The writer is a task that does one thing after the other:
 *
 *     journal ->  pushv (what there is, LOT_BYTES at most)  ->  sync, if one is due  ->  wait for more
 *
 * One write at a time, so that when one fails it is known where the file ends well: it is cut back there, and tried
 * again a second later. Meanwhile writes are refused (MISCONF), or under `always` the server ends, since nobody may be
 * told of what is not on the disk. When a sync fails the kernel has dropped what it could not write and says no more of
 * it: the file is poisoned, and only a rewrite makes the log good again.
 *
 * A rewrite (aof_rewrite.c) has the log go on in another file from an offset on: what lies before it still goes into
 * the old one, which is synced before it is left.
 *
 * The journal keeps what is not written yet. If that becomes LAG_MAX the loop waits for the disk, and says so.
 */
#include "server/persist/aof.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "alloc/base/clock.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/mem.h"
#include "server/observe/latency.h"
#include "server/observe/log.h"
#include "server/persist/aof_folder.h"
#include "server/persist/aof_rewrite.h"
#include "server/persist/disk_file.h"
#include "server/persist/persist.h"
#include "server/persist/save.h"
#include "server/server.h"
#include "server/worker.h"

#define PIECES_MAX  32u
#define LOT_BYTES   ((size_t)1 << 20)
#define LAG_MAX     ((uint64_t)64 << 20)
#define SECOND_NS   UINT64_C(1000000000)
#define LATE_NS     (2 * SECOND_NS) /* a sync that takes longer is counted, as in Redis */
#define LOG_EVERY_S 30
#define STACK_SIZE  ((size_t)128 << 10)
#define STAMP_SIZE  32

static struct worker *worker_of(struct server *srv) { return &srv->workers[0]; }

void aof_init(struct aof *a)
{
    *a = (struct aof){.lock_fd = -1, .qd = -1, .next_qd = -1, .rewrite_began_s = -1, .rewrite_took_s = -1};
}

uint64_t aof_unwritten(const struct aof *a) { return a->reader.of ? broadcast_unread(&a->reader) : 0; }
uint64_t aof_size(const struct aof *a) { return a->closed_bytes + a->bytes; }
bool aof_lags(const struct server *srv) { return aof_unwritten(&srv->aof) > LAG_MAX; }

bool aof_is_always(const struct server *srv)
{
    return srv->aof.state == AOF_ON && srv->config->appendfsync == APPENDFSYNC_ALWAYS;
}

/* --- errors ------------------------------------------------------------------------------------------------------- */

static void set_error(struct server *srv, int err)
{
    srv->aof.error = err;
    persist_update(srv);
}

/* No more often than the log is worth it. */
static bool may_log(struct server *srv)
{
    int64_t now_s = worker_of(srv)->now_ms / 1000;
    if (srv->aof.error_log_s && now_s - srv->aof.error_log_s < LOG_EVERY_S) return false;
    srv->aof.error_log_s = now_s;
    return true;
}

/* Under `always` nothing may be answered any more: what waits for the disk is never told. */
static void fail(struct server *srv, const char *doing, int err)
{
    bool always = srv->config->appendfsync == APPENDFSYNC_ALWAYS && srv->aof.state == AOF_ON;
    if (may_log(srv) || always) server_log(srv, LOG_WARNING_LEVEL, "Error %s the AOF file: %s", doing, strerror(-err));
    set_error(srv, err);
    if (!always || srv->stopping) return;
    server_log(srv, LOG_WARNING_LEVEL,
               "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...");
    srv->exit_code = 1;
    srv->stopping = true;
    demi_wake_ring(worker_of(srv)->wake);
}

static void write_works(struct server *srv)
{
    struct aof *a = &srv->aof;
    if (!a->error || a->poisoned) return;
    server_log(srv, LOG_NOTICE_LEVEL, "AOF write error looks solved, the server can write again.");
    a->error_log_s = 0;
    set_error(srv, 0);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static uint64_t write_until(const struct aof *a)
{
    return a->next_qd >= 0 ? a->next_at : a->reader.offset + broadcast_unread(&a->reader);
}

/* "#TS:1700000000\r\n" in front of the first record of a second; its length. */
static size_t stamp(struct server *srv, char text[STAMP_SIZE])
{
    struct aof *a = &srv->aof;
    int64_t now_s = worker_of(srv)->now_ms / 1000;
    if (!srv->config->aof_timestamp_enabled || a->reader.offset != a->boundary || now_s <= a->stamp_s) return 0;
    a->stamp_s = now_s;
    return (size_t)snprintf(text, STAMP_SIZE, "#TS:%lld\r\n", (long long)now_s);
}

/* Cuts off what a write that failed may have left. Until that works nothing is appended. */
static int cut_back(struct aof *a)
{
    demi_qtoken_t qt;
    int err = -demi_truncate(&qt, a->qd, (off_t)a->bytes);
    return err ? err : disk_file_wait(qt, NULL);
}

static int write_lot(struct server *srv, bool *any)
{
    struct aof *a = &srv->aof;
    char text[STAMP_SIZE];
    struct bytes pieces[PIECES_MAX];
    struct iovec iov[PIECES_MAX + 1];
    journal_skip_control(&srv->journal, &a->reader);
    a->written = a->reader.offset; /* what is skipped needs no writing */
    uint64_t until = journal_before_control(&srv->journal, &a->reader, write_until(a)), left = until - a->reader.offset;
    *any = left != 0;
    if (!*any) return 0;
    if (a->error) { /* once more */
        int err = cut_back(a);
        if (err) return err;
    }
    size_t stamped = stamp(srv, text), lot = left < LOT_BYTES ? (size_t)left : LOT_BYTES, sum = 0;
    unsigned n = broadcast_peek(&a->reader, pieces, PIECES_MAX, lot), k = 0;
    if (stamped) iov[k++] = (struct iovec){text, stamped};
    for (unsigned i = 0; i < n; i++) {
        iov[k++] = (struct iovec){(void *)(uintptr_t)pieces[i].p, pieces[i].n};
        sum += pieces[i].n;
    }
    demi_qtoken_t qt;
    if (a->write_delay_us > 0 && demi_timer(&qt, (uint64_t)a->write_delay_us * 1000) == 0) disk_file_wait(qt, NULL);
    int err = -demi_pushv(&qt, a->qd, iov, (int)k, 0);
    if (!err) err = disk_file_wait(qt, NULL);
    if (err) return err;
    broadcast_advance(&a->reader, sum);
    a->bytes += stamped + sum;
    a->written = a->reader.offset;
    if (a->written == until) a->boundary = until;
    return 0;
}

static void release_replies(struct server *srv)
{
    struct worker *w = worker_of(srv);
    uint64_t durable = aof_is_always(srv) ? srv->aof.durable : UINT64_MAX;
    if (w->durable == durable) return;
    w->durable = durable;
    client_release_held(w);
}

static int sync_file(struct server *srv)
{
    struct aof *a = &srv->aof;
    uint64_t written = a->written, start = demi_clock_ns();
    int err = disk_file_sync(a->qd, true);
    uint64_t took = demi_clock_ns() - start;
    if (aof_is_always(srv)) latency_sample(srv, "aof-fsync-always", (int64_t)(took / 1000000));
    if (took > LATE_NS) {
        a->delayed_syncs++;
        server_log(srv, LOG_NOTICE_LEVEL, "AOF fsync took %.1f seconds (disk is busy?). Clients were served meanwhile.",
                   (double)took / SECOND_NS);
    }
    a->synced_ns = demi_clock_ns();
    if (err) {
        a->poisoned = true;
        a->scheduled = true;
        return err;
    }
    a->durable = written;
    release_replies(srv);
    return 0;
}

/* The old increment is complete and safe; the new one goes on. */
static int switch_files(struct server *srv)
{
    struct aof *a = &srv->aof;
    int err = a->durable == a->written || a->poisoned ? 0 : sync_file(srv);
    if (a->qd >= 0) disk_file_close(a->qd); /* it was synced */
    a->qd = a->next_qd;
    a->next_qd = -1;
    a->closed_bytes += a->bytes;
    a->bytes = 0;
    a->boundary = a->reader.offset;
    a->stamp_s = 0;
    return err;
}

/* no-appendfsync-on-rewrite: what is promised is less while a file is written in the background. */
static bool may_sync(const struct server *srv)
{
    bool busy = srv->persist.saving || srv->aof.rewriting;
    return !(busy && srv->config->no_appendfsync_on_rewrite) || srv->aof.stopping;
}

/* Nanoseconds until a sync is due; 0: now; UINT64_MAX: none is. */
static uint64_t sync_due_ns(const struct server *srv)
{
    const struct aof *a = &srv->aof;
    if (a->durable == a->written || a->poisoned || !may_sync(srv)) return UINT64_MAX;
    if (a->stopping || srv->config->appendfsync == APPENDFSYNC_ALWAYS) return 0;
    if (srv->config->appendfsync == APPENDFSYNC_NO) return UINT64_MAX;
    uint64_t now = demi_clock_ns(), due = a->synced_ns + SECOND_NS;
    return due > now ? due - now : 0;
}

/* --- the task ----------------------------------------------------------------------------------------------------- */

static int rearm_wake(struct aof *a) { return -demi_wake_wait(&a->wake_qt, a->wake); }

/* Until it is woken, or so long. */
static int sleep_for(struct aof *a, uint64_t ns)
{
    demi_qresult_t qr;
    demi_qtoken_t qts[2] = {a->wake_qt};
    int which = 0, err = ns == UINT64_MAX ? 0 : demi_timer(&qts[1], ns);
    if (err) return -err;
    a->idle = true;
    err = demi_wait_any(&qr, &which, qts, ns == UINT64_MAX ? 1 : 2, NULL);
    a->idle = false;
    if (err) return -err;
    if (which == 1) return 0;
    if (ns != UINT64_MAX) {
        demi_cancel(qts[1]);
        demi_wait(&qr, qts[1], NULL);
    }
    return rearm_wake(a);
}

/* One thing; *idle: there was none to do. */
static int step(struct server *srv, bool *idle)
{
    struct aof *a = &srv->aof;
    bool any = false;
    *idle = false;
    if (a->qd >= 0) {
        int err = write_lot(srv, &any);
        if (err) {
            if (!a->error) cut_back(a); /* if it does not work now it will be tried again */
            fail(srv, "writing to", err);
            return err;
        }
        if (any) write_works(srv);
    }
    if (a->next_qd >= 0 && a->reader.offset == a->next_at) {
        int err = switch_files(srv);
        if (err) fail(srv, "syncing", err);
        return err;
    }
    if (sync_due_ns(srv) == 0) {
        int err = sync_file(srv);
        if (err) fail(srv, "syncing", err);
        return err;
    }
    *idle = !any;
    return 0;
}

static int64_t run_task(void *arg)
{
    struct server *srv = arg;
    struct aof *a = &srv->aof;
    int err = rearm_wake(a);
    while (!err) {
        bool idle;
        int failed = step(srv, &idle);
        if (a->stopping && (failed || idle)) break;
        if (failed) err = sleep_for(a, SECOND_NS);
        else if (idle) err = sleep_for(a, sync_due_ns(srv));
    }
    if (a->qd >= 0) disk_file_close(a->qd); /* it was synced, or that failed and was told */
    a->qd = -1;
    demi_wake_ring(a->wake);
    disk_file_wait(a->wake_qt, NULL);
    return err;
}

void aof_appended(struct server *srv)
{
    struct aof *a = &srv->aof;
    if (!a->idle) return;
    a->idle = false;
    demi_wake_ring(a->wake);
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

int aof_run(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    ASSERT(!a->runs);
    int err = demi_wake_new(&a->wake);
    if (err) return -err;
    a->stopping = a->poisoned = false;
    set_error(srv, 0);
    journal_read(&srv->journal, &a->reader);
    a->written = a->durable = a->boundary = a->reader.offset;
    a->synced_ns = demi_clock_ns();
    err = demi_spawn(&a->task, run_task, srv, STACK_SIZE);
    if (err) {
        journal_reader_end(&srv->journal, &a->reader);
        demi_wake_free(a->wake);
        return -err;
    }
    a->runs = true;
    return 0;
}

/* Ends the task when all is written and synced, or that failed. */
static bool end_log(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    demi_qresult_t qr;
    if (!a->runs) return true;
    a->stopping = true;
    demi_wake_ring(a->wake);
    demi_wait(&qr, a->task, NULL);
    bool fine = a->reader.offset == a->reader.of->end && a->durable == a->written && !a->poisoned;
    if (a->next_qd >= 0) disk_file_close(a->next_qd);
    a->next_qd = -1;
    demi_wake_free(a->wake);
    a->runs = false;
    journal_reader_end(&srv->journal, &a->reader);
    return fine;
}

void aof_drop(struct worker *w) { end_log(w); }

void aof_is_good_again(struct server *srv)
{
    srv->aof.poisoned = false; /* and the increment is due for a sync */
    write_works(srv);
}

static int open_incr(struct server *srv, const char *name, int flags, int *qd)
{
    char path[PATH_MAX];
    int err = aof_folder_path(&srv->aof, name, path);
    if (!err) err = disk_file_open(qd, path, O_WRONLY | O_CREAT | O_APPEND | flags, 0644);
    if (!err) err = disk_file_sync_folder(path);
    if (err) server_log(srv, LOG_WARNING_LEVEL, "Can't open the append-only file %s: %s", name, strerror(-err));
    return err;
}

int aof_open_next(struct server *srv, const char *name, int *qd) { return open_incr(srv, name, O_TRUNC, qd); }

/* The base that a log begins with where there was none. */
static int write_first_base(struct worker *w, struct aof_manifest *m)
{
    struct server *srv = w->srv;
    bool is_rdb = srv->config->aof_use_rdb_preamble;
    const struct aof_file *f = aof_manifest_add_base(m, srv->config->appendfilename, is_rdb, 0);
    int err = aof_write_base(w, f->name, is_rdb, NULL);
    if (!err) server_log(srv, LOG_NOTICE_LEVEL, "Creating AOF base file %s on server start", f->name);
    return err;
}

int aof_open(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    struct aof_manifest m;
    aof_manifest_copy(&m, &a->manifest);
    int err = aof_folder_make(srv);
    if (!err && m.count == 0) err = write_first_base(w, &m);
    bool had = aof_manifest_incrs(&m) != 0;
    const struct aof_file *f =
        had ? aof_manifest_last_incr(&m) : aof_manifest_add_incr(&m, srv->config->appendfilename);
    char name[AOF_NAME_SIZE];
    memcpy(name, f->name, sizeof name);
    if (!err) err = open_incr(srv, name, 0, &a->qd);
    if (!err) err = disk_file_size(a->qd, &a->bytes);
    if (!err) err = aof_folder_publish(srv, &m);
    aof_manifest_fini(&m);
    if (!err) err = aof_run(w);
    if (err) return err;
    server_log(srv, LOG_NOTICE_LEVEL,
               had ? "Opening AOF incr file %s on server start" : "Creating AOF incr file %s on server start", name);
    a->closed_bytes = a->closed_bytes > a->bytes ? a->closed_bytes - a->bytes : 0;
    a->state = AOF_ON;
    aof_take_config(w);
    aof_folder_clean(srv);
    return 0;
}

int aof_switch_on(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    ASSERT(a->state == AOF_OFF);
    if (a->rewriting) aof_rewrite_cancel(w); /* it is not for a log that goes on */
    a->state = AOF_WAIT_REWRITE;
    int err = w->call.in_exec ? -EBUSY : aof_rewrite_begin(w);
    if (err == -EBUSY) {
        a->scheduled = true;
        return 0;
    }
    if (err) a->state = AOF_OFF;
    return err;
}

void aof_switch_off(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    aof_rewrite_cancel(w);
    if (!end_log(w))
        server_log(srv, LOG_WARNING_LEVEL, "The end of the AOF could not be written: %s", strerror(-a->error));
    a->state = AOF_OFF;
    a->scheduled = false;
    set_error(srv, 0);
    release_replies(srv);
    aof_folder_give_up(srv);
}

bool aof_settle(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    aof_flush(w);
    return !a->runs || !a->error;
}

bool aof_close(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    if (a->rewriting) server_log(w->srv, LOG_WARNING_LEVEL, "The AOF is being rewritten. Giving that up.");
    aof_rewrite_cancel(w);
    if (!a->runs) return true;
    server_log(w->srv, LOG_NOTICE_LEVEL, "Calling fsync() on the AOF file.");
    bool fine = end_log(w);
    release_replies(w->srv);
    return fine;
}

void aof_flush(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    while (a->runs && aof_unwritten(a) && !a->error && demi_timer(&qt, SECOND_NS / 1000) == 0) demi_wait(&qr, qt, NULL);
}

void aof_catch_up(struct worker *w)
{
    struct server *srv = w->srv;
    uint64_t start = demi_clock_ns();
    demi_qtoken_t qt;
    demi_qresult_t qr;
    if (srv->aof.error) return; /* writes are refused: it does not grow */
    srv->aof.delayed_syncs++;
    while (aof_lags(srv) && !srv->aof.error && demi_timer(&qt, SECOND_NS / 1000) == 0) demi_wait(&qr, qt, NULL);
    server_log(srv, LOG_WARNING_LEVEL,
               "The disk does not keep up with the AOF: the server has waited %.3f seconds until no more than %llu MB "
               "are unwritten",
               (double)(demi_clock_ns() - start) / SECOND_NS, (unsigned long long)(LAG_MAX >> 20));
}

void aof_take_config(struct worker *w)
{
    struct server *srv = w->srv;
    release_replies(srv);
    if (srv->aof.runs) demi_wake_ring(srv->aof.wake);
}
