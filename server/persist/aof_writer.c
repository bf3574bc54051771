/* SPDX-License-Identifier: MIT
 *
 * The writer is a task that does one thing after the other:
 *
 *     journal ->  pushv (what there is, LOT_BYTES at most)  ->  sync, if one is due  ->  wait for more
 *
 * A sync that is due is started together with the write it is for, so that the kernel has both at once (libos/disk).
 * Under `always`, where all before is on the disk, it is one request: a write that ends when it is durable. The next
 * waits a little for who was answered last (aof_group.h).
 *
 * One write at a time, so that when one fails it is known where the file ends well: it is cut back there, and tried
 * again a second later; what a sync says that was started with it is worth nothing, unless it failed as well. Meanwhile
 * writes are refused (MISCONF), or under `always` the server ends, since nobody may be told of what is not on the disk.
 * When a sync fails the kernel has dropped what it could not write and says no more of it: the file is poisoned, and
 * only a rewrite makes the log good again. Under `always` it is cut back to what is safe: the kernel still shows the
 * rest to who reads it, so the next start would take it for written, go on behind it, and lose all at the next power
 * cut.
 *
 * A rewrite (aof_rewrite.c) has the log go on in another file from an offset on: what lies before it still goes into
 * the old one, which is synced before it is left. On a device it goes on in the same log, behind a mark.
 *
 * On a device a write is a record of a log queue, and cannot be in there by half: there is nothing to cut. An error of
 * the device is final until it has been opened again, which a rewrite does; what the log misses then is in its base. A
 * full one takes no records but a rewrite's, which makes room; commands that write wait for that, and it is an error
 * where that fails.
 */
#include "server/persist/aof_writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "alloc/base/clock.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/exec/blocked.h"
#include "server/observe/latency.h"
#include "server/observe/log.h"
#include "server/persist/aof.h"
#include "server/persist/disk_file.h"
#include "server/persist/persist.h"
#include "server/server.h"
#include "server/worker.h"

#define PIECES_MAX  32u
#define LOT_BYTES   ((size_t)1 << 20)
#define SECOND_NS   UINT64_C(1000000000)
#define MS_NS       UINT64_C(1000000)
#define LATE_NS     (2 * SECOND_NS) /* a sync that takes longer is counted, as in Redis */
#define LOG_EVERY_S 30
#define STACK_SIZE  ((size_t)128 << 10)
#define STAMP_SIZE  32

static struct worker *worker_of(struct server *srv) { return &srv->workers[0]; }

/* --- errors ------------------------------------------------------------------------------------------------------- */

void aof_writer_set_error(struct server *srv, int err)
{
    srv->aof.error = err;
    persist_update(srv);
    aof_see_lag(srv); /* who waits is told */
}

/* No more often than the log is worth it. */
static bool may_log(struct server *srv)
{
    int64_t now_s = worker_of(srv)->now_ms / 1000;
    if (srv->aof.error_log_s && now_s - srv->aof.error_log_s < LOG_EVERY_S) return false;
    srv->aof.error_log_s = now_s;
    return true;
}

static int cut_to(struct aof *a, uint64_t bytes)
{
    demi_qtoken_t qt;
    a->wants_sync = true;
    if (a->on_device) return 0;
    int err = -demi_truncate(&qt, a->qd, (off_t)bytes);
    return err ? err : disk_file_wait(qt, NULL);
}

/* What only a rewrite helps against is left to one: it opens the device again, or makes room. */
static void see_device_error(struct aof *a, int err)
{
    a->device.is_broken = a->device.is_broken || a->poisoned || aof_device_error_is_final(err);
    a->poisoned = a->poisoned || a->device.is_broken;
    a->scheduled = a->scheduled || a->poisoned || (err == -ENOSPC && (a->bytes || a->rewriting));
}

/* Under `always` nothing may be answered any more: what waits for the disk is never told. */
static int fail(struct server *srv, const char *doing, int err)
{
    if (srv->aof.on_device) see_device_error(&srv->aof, err);
    bool always = srv->config->appendfsync == APPENDFSYNC_ALWAYS && srv->aof.state == AOF_ON;
    if (may_log(srv) || always) server_log(srv, LOG_WARNING_LEVEL, "Error %s the AOF file: %s", doing, strerror(-err));
    aof_writer_set_error(srv, err);
    if (!always || srv->stopping) return err;
    if (srv->aof.poisoned) {
        srv->aof.ended = true;
        cut_to(&srv->aof, srv->aof.safe_bytes); /* if it does not work there is nothing more to be done */
    }
    server_log(srv, LOG_WARNING_LEVEL,
               "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...");
    srv->exit_code = 1;
    srv->stopping = true;
    demi_wake_ring(worker_of(srv)->wake);
    return err;
}

void aof_writer_fail(struct server *srv, int err)
{
    if (srv->aof.runs && srv->aof.poisoned && !srv->aof.error) fail(srv, "rewriting", err);
    if (srv->aof.runs) demi_wake_ring(srv->aof.wake);
}

static void write_works(struct server *srv)
{
    struct aof *a = &srv->aof;
    if (!a->error || a->poisoned) return;
    server_log(srv, LOG_NOTICE_LEVEL, "AOF write error looks solved, the server can write again.");
    a->error_log_s = 0;
    aof_writer_set_error(srv, 0);
}

void aof_writer_is_good_again(struct server *srv)
{
    srv->aof.poisoned = false; /* and the increment is due for a sync */
    srv->aof.wants_sync = true;
    write_works(srv);
}

/* --- when to sync ------------------------------------------------------------------------------------------------- */

static bool is_file_written_in_background(const struct server *srv)
{
    return srv->persist.saving || srv->aof.rewriting;
}

/* no-appendfsync-on-rewrite: what is promised is less while a file is written in the background. */
static bool may_sync(const struct server *srv)
{
    return !(srv->config->no_appendfsync_on_rewrite && is_file_written_in_background(srv)) || srv->aof.stopping ||
           srv->aof.settling;
}

/* Nanoseconds until what is written, and not synced, has to be; 0: now; UINT64_MAX: it need not. */
static uint64_t sync_due_ns(const struct server *srv)
{
    const struct aof *a = &srv->aof;
    if (a->poisoned || a->put_off) return UINT64_MAX;
    if (a->stopping || a->settling || srv->config->appendfsync == APPENDFSYNC_ALWAYS) return 0;
    if (srv->config->appendfsync == APPENDFSYNC_NO) return UINT64_MAX;
    uint64_t now = demi_clock_ns(), due = a->synced_ns + SECOND_NS;
    return due > now ? due - now : 0;
}

static bool is_unsynced(const struct aof *a) { return a->durable != a->written; }

void aof_writer_release(struct server *srv)
{
    struct worker *w = worker_of(srv);
    uint64_t durable = aof_is_always(srv) && !srv->aof.put_off ? srv->aof.durable : UINT64_MAX;
    if (w->durable == durable) return;
    w->durable = durable;
    client_release_held(w);
}

/* A sync that is left out is not left out in silence. */
static void see_put_off(struct server *srv)
{
    struct aof *a = &srv->aof;
    bool put_off = !may_sync(srv) && srv->config->appendfsync != APPENDFSYNC_NO;
    if (a->put_off == put_off) return;
    a->put_off = put_off;
    if (put_off)
        server_log(srv, LOG_NOTICE_LEVEL,
                   "The AOF is not synced while a file is written in the background (no-appendfsync-on-rewrite).");
    aof_writer_release(srv);
}

void aof_writer_cron(struct server *srv)
{
    if (srv->aof.put_off && may_sync(srv)) demi_wake_ring(srv->aof.wake);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* What one push is to write. */
struct lot {
    struct iovec iov[PIECES_MAX + 2];
    int count;
    char stamp[STAMP_SIZE];
    size_t stamped, bytes; /* of the stamp, of the journal */
};

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

static const char bytes_tag[1] = {AOF_RECORD_BYTES_TAG};

static void fill_lot(struct server *srv, struct lot *l, uint64_t left)
{
    struct bytes pieces[PIECES_MAX];
    size_t lot = srv->aof.on_device ? aof_device_lot(srv) - STAMP_SIZE : LOT_BYTES,
           most = left < lot ? (size_t)left : lot;
    unsigned n = broadcast_peek(&srv->aof.reader, pieces, PIECES_MAX, most);
    l->count = 0;
    l->bytes = 0;
    l->stamped = stamp(srv, l->stamp);
    if (srv->aof.on_device) l->iov[l->count++] = (struct iovec){(char *)(uintptr_t)bytes_tag, sizeof bytes_tag};
    if (l->stamped) l->iov[l->count++] = (struct iovec){l->stamp, l->stamped};
    for (unsigned i = 0; i < n; i++) {
        l->iov[l->count++] = (struct iovec){(void *)(uintptr_t)pieces[i].p, pieces[i].n};
        l->bytes += pieces[i].n;
    }
}

/* Cuts off what a write that failed may have left. Until that works nothing is appended. */
static int cut_back(struct aof *a) { return cut_to(a, a->bytes); }

static void wait_as_debug_says(const struct aof *a)
{
    demi_qtoken_t qt;
    if (a->write_delay_us > 0 && demi_timer(&qt, (uint64_t)a->write_delay_us * 1000) == 0) disk_file_wait(qt, NULL);
}

/* A write never has a sync pending that began before it (Redis: aof-write-pending-fsync). */
static void sample_write(struct server *srv, uint64_t took_ns)
{
    int64_t ms = (int64_t)(took_ns / MS_NS);
    srv->aof.took_ns += took_ns;
    latency_sample(srv, is_file_written_in_background(srv) ? "aof-write-active-child" : "aof-write-alone", ms);
    latency_sample(srv, "aof-write", ms);
}

static void sample_sync(struct server *srv, uint64_t took_ns)
{
    if (aof_is_always(srv)) {
        srv->aof.took_ns += took_ns;
        latency_sample(srv, "aof-fsync-always", (int64_t)(took_ns / MS_NS));
    }
    if (took_ns <= LATE_NS) return;
    srv->aof.delayed_syncs++;
    server_log(srv, LOG_NOTICE_LEVEL, "AOF fsync took %.1f seconds (disk is busy?). Clients were served meanwhile.",
               (double)took_ns / SECOND_NS);
}

/* The file is as safe as it was written when the sync was started. `began`: with the write in front of it, if there was
 * one. */
static void is_durable(struct server *srv, uint64_t began)
{
    struct aof *a = &srv->aof;
    struct worker *w = worker_of(srv);
    uint64_t held = w->held_all, freed = w->freed_all;
    a->durable = a->written;
    a->safe_bytes = a->bytes;
    aof_writer_release(srv);
    blocked_log_moved(w);
    aof_group_synced(&a->group, held, w->freed_all - freed, a->synced_ns - began);
}

/* The end of a sync. */
static int wait_for_sync(struct server *srv, demi_qtoken_t qt, uint64_t began)
{
    struct aof *a = &srv->aof;
    int err = disk_file_wait(qt, NULL);
    a->synced_ns = demi_clock_ns();
    sample_sync(srv, a->synced_ns - began);
    a->wants_sync = err;
    if (!err) return 0;
    a->poisoned = true;
    a->scheduled = true;
    return err;
}

static int sync_file(struct server *srv)
{
    demi_qtoken_t qt;
    uint64_t began = demi_clock_ns();
    int err = -demi_sync(&qt, srv->aof.qd, true);
    if (!err) err = wait_for_sync(srv, qt, began);
    if (err) return fail(srv, "syncing", err);
    is_durable(srv, began);
    return 0;
}

/* The write of a lot. A log takes no more while too much of it is on its way: that is waited for. */
static int start_push(struct aof *a, struct lot *l, unsigned flags, demi_qtoken_t *push)
{
    int err = -demi_pushv(push, a->qd, l->iov, l->count, flags);
    while (a->on_device && err == -EBUSY) {
        demi_qtoken_t sync;
        err = -demi_sync(&sync, a->qd, true);
        if (!err) err = disk_file_wait(sync, NULL);
        if (!err) err = -demi_pushv(push, a->qd, l->iov, l->count, flags);
    }
    return err;
}

/* The lot into the file, and (*with_sync) onto the disk; *sync_err: of that alone. */
static int push_and_sync(struct server *srv, struct lot *l, bool *with_sync, int *sync_err)
{
    struct aof *a = &srv->aof;
    demi_qtoken_t push, sync;
    uint64_t began = demi_clock_ns();
    *sync_err = 0;
    int err = start_push(a, l, 0, &push);
    if (err) return err;
    *with_sync = *with_sync && demi_sync(&sync, a->qd, true) == 0; /* if not, it is due afterwards */
    err = disk_file_wait(push, NULL);
    uint64_t wrote = demi_clock_ns();
    sample_write(srv, wrote - began);
    if (*with_sync) *sync_err = wait_for_sync(srv, sync, wrote);
    return err;
}

/* Both as one. Which of them failed nobody knows, so it was the sync; this is under `always`, where the server ends
 * with either. */
static int push_durable(struct server *srv, struct lot *l)
{
    struct aof *a = &srv->aof;
    demi_qtoken_t push;
    uint64_t began = demi_clock_ns();
    int err = start_push(a, l, DEMI_PUSH_DURABLE, &push);
    if (err && a->on_device) return err; /* nothing was written */
    if (!err) err = disk_file_wait(push, NULL);
    a->synced_ns = demi_clock_ns();
    sample_sync(srv, a->synced_ns - began);
    if (err) a->poisoned = a->wants_sync = true;
    return err;
}

/* Into the file, and (with_sync) onto the disk. Errors have been told of. */
static int write_lot(struct server *srv, struct lot *l, uint64_t until, bool with_sync)
{
    struct aof *a = &srv->aof;
    uint64_t began = demi_clock_ns();
    int sync_err = 0;
    bool as_one = with_sync && aof_is_always(srv) && !is_unsynced(a) && !a->wants_sync;
    int err = as_one ? push_durable(srv, l) : push_and_sync(srv, l, &with_sync, &sync_err);
    if (err) {
        if (!a->error) cut_back(a); /* if it does not work now it will be tried again */
        return fail(srv, "writing to", err);
    }
    broadcast_advance(&a->reader, l->bytes);
    aof_see_lag(srv);
    a->bytes += l->stamped + l->bytes;
    a->written = a->reader.offset;
    if (a->written == until) a->boundary = until;
    if (sync_err) return fail(srv, "syncing", sync_err);
    if (with_sync) is_durable(srv, began);
    write_works(srv);
    return 0;
}

static void see_room(struct server *srv, bool lacks)
{
    struct aof *a = &srv->aof;
    if (a->device.lacks_room == lacks) return;
    a->device.lacks_room = lacks;
    aof_see_lag(srv);
}

/* Where a device takes no more a rewrite makes room, and until one has failed that is waited for. */
static int check_room(struct server *srv, const struct lot *l, bool *any)
{
    struct aof *a = &srv->aof;
    int err = aof_device_check_room(srv, l->bytes);
    bool is_of_use = a->bytes || a->rewriting;
    bool waits = err && is_of_use && !a->error && !a->failures && !a->stopping && !a->settling;
    see_room(srv, waits);
    if (!waits) return err;
    if (!a->rewriting) a->scheduled = true;
    *any = false;
    return 0;
}

static int write_some(struct server *srv, bool *any)
{
    struct aof *a = &srv->aof;
    struct lot l;
    uint64_t until = write_until(a);
    *any = until != a->reader.offset;
    if (!*any) return 0;
    int err = a->error ? cut_back(a) : 0; /* once more */
    if (!err && a->on_device && a->device.needs_resume) err = aof_device_push_resume(&a->device);
    if (err) return fail(srv, "writing to", err);
    wait_as_debug_says(a);
    fill_lot(srv, &l, until - a->reader.offset);
    if (a->on_device) err = check_room(srv, &l, any);
    if (err) return fail(srv, "writing to", err);
    if (!*any) return 0;
    return write_lot(srv, &l, until, sync_due_ns(srv) == 0);
}

/* Where the log cannot be written as it is, what the new base has is left out: the mark says so, and until that base is
 * whole the log is as good as poisoned. */
static void skip_to_next(struct server *srv)
{
    struct aof *a = &srv->aof;
    a->poisoned = true;
    broadcast_advance(&a->reader, (size_t)(a->next_at - a->reader.offset));
    a->written = a->reader.offset;
    a->device.needs_resume = false;
    see_room(srv, false);
}

static void go_on_in_next(struct aof *a)
{
    a->qd = a->next_qd;
    a->next_qd = -1;
    a->closed_bytes += a->bytes;
    a->bytes = a->safe_bytes = 0;
    a->boundary = a->reader.offset;
    a->stamp_s = 0;
}

/* The increments of the next base begin here. */
static int push_mark(struct server *srv)
{
    struct aof *a = &srv->aof;
    int err = aof_device_push_mark(&a->device, a->poisoned);
    if (err) return fail(srv, "writing to", err);
    a->device.is_broken = false;
    go_on_in_next(a);
    return 0;
}

/* The old increment is complete and safe; the new one goes on. */
static int switch_files(struct server *srv)
{
    struct aof *a = &srv->aof;
    if (a->on_device) return push_mark(srv);
    int err = !is_unsynced(a) || a->poisoned ? 0 : sync_file(srv);
    if (a->qd >= 0) disk_file_close(a->qd); /* it was synced */
    go_on_in_next(a);
    a->wants_sync = true;
    return err;
}

/* --- the task ----------------------------------------------------------------------------------------------------- */

static int rearm_wake(struct aof *a) { return -demi_wake_wait(&a->wake_qt, a->wake); }

/* Until it is woken: 0; or so long: -ETIMEDOUT. */
static int wait_for_wake(struct aof *a, uint64_t ns)
{
    demi_qresult_t qr;
    struct timespec ts = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};
    int err = demi_wait(&qr, a->wake_qt, ns == UINT64_MAX ? NULL : &ts);
    return err ? -err : rearm_wake(a);
}

/* Until something is appended, or so long. */
static int sleep_idle(struct aof *a, uint64_t ns)
{
    a->idle = true;
    int err = wait_for_wake(a, ns);
    a->idle = false;
    return err == -ETIMEDOUT ? 0 : err;
}

/* Whether the next sync waits for more. */
static bool gathers(const struct server *srv)
{
    const struct aof *a = &srv->aof;
    return a->group.waits && aof_unwritten(a) && aof_is_always(srv) && !a->stopping && !a->put_off && a->next_qd < 0;
}

/* Until aof_turn() says that the group is complete, or its time up. A command that waits for the log ends no turn. */
static int sleep_gathering(struct server *srv)
{
    struct aof *a = &srv->aof;
    a->gathering = true;
    int err = wait_for_wake(a, a->group.wait_ns + SECOND_NS / 1000);
    a->gathering = false;
    if (err != -ETIMEDOUT) return err;
    a->group.waits = false;
    return 0;
}

void aof_turn(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    aof_group_turn(&a->group, w->held_all, w->turn_ns);
    if (!a->group.waits && a->gathering) demi_wake_ring(a->wake);
}

/* One thing; *idle: there was none to do. */
static int step(struct server *srv, bool *idle)
{
    struct aof *a = &srv->aof;
    bool any = false;
    *idle = a->ended;
    if (a->ended) return 0;
    see_put_off(srv);
    if (a->on_device && a->next_qd >= 0 && (a->error || a->device.lacks_room)) skip_to_next(srv);
    else if (a->qd >= 0 && !a->device.is_broken) {
        int err = write_some(srv, &any);
        if (err) return err;
    }
    if (a->next_qd >= 0 && a->reader.offset == a->next_at) return switch_files(srv);
    if (is_unsynced(a) && sync_due_ns(srv) == 0) return sync_file(srv);
    *idle = !any;
    return 0;
}

static uint64_t idle_ns(const struct server *srv) { return is_unsynced(&srv->aof) ? sync_due_ns(srv) : UINT64_MAX; }

static int64_t run_task(void *arg)
{
    struct server *srv = arg;
    struct aof *a = &srv->aof;
    int err = rearm_wake(a);
    while (!err) {
        bool idle;
        if (gathers(srv)) {
            err = sleep_gathering(srv);
            continue;
        }
        int failed = step(srv, &idle);
        if (a->stopping && (failed || idle)) break;
        if (failed) err = sleep_idle(a, SECOND_NS);
        else if (idle) err = sleep_idle(a, idle_ns(srv));
    }
    if (a->qd >= 0 && !a->on_device) disk_file_close(a->qd); /* it was synced, or that failed and was told */
    a->qd = -1;
    demi_wake_ring(a->wake);
    disk_file_wait(a->wake_qt, NULL);
    return err;
}

void aof_appended(struct server *srv)
{
    struct aof *a = &srv->aof;
    aof_see_lag(srv);
    if (!a->idle) return;
    a->idle = false;
    demi_wake_ring(a->wake);
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

int aof_writer_run(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    ASSERT(!a->runs);
    int err = demi_wake_new(&a->wake);
    if (err) return -err;
    a->stopping = a->poisoned = a->ended = a->put_off = a->device.lacks_room = false;
    a->wants_sync = true;
    a->group = (struct aof_group){0};
    aof_writer_set_error(srv, 0);
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
    w->notes_changes |= NOTES_LOG;
    return 0;
}

bool aof_writer_end(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    demi_qresult_t qr;
    if (!a->runs) return true;
    a->stopping = true;
    demi_wake_ring(a->wake);
    demi_wait(&qr, a->task, NULL);
    bool fine = a->reader.offset == a->reader.of->end && a->durable == a->written && !a->poisoned;
    if (a->next_qd >= 0 && !a->on_device) disk_file_close(a->next_qd);
    a->next_qd = -1;
    demi_wake_free(a->wake);
    a->runs = a->put_off = false;
    w->notes_changes &= (uint8_t)~NOTES_LOG;
    journal_reader_end(&srv->journal, &a->reader);
    return fine;
}
