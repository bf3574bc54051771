/* SPDX-License-Identifier: MIT
 *
 * Which files there are, and whether there is a log: it is opened, switched on and off, flushed and closed here. What
 * is in it is the writer's (aof_writer.c); its files are changed by rewrites (aof_rewrite.c).
 *
 * The journal keeps what is not written yet. If that becomes LAG_MAX, commands that write wait for the disk, and
 * the log says so; all others are served.
 */
#include "server/persist/aof.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "alloc/base/clock.h"
#include "demi/libos.h"
#include "demi/wait.h"
#include "server/exec/blocked.h"
#include "server/observe/log.h"
#include "server/persist/aof_folder.h"
#include "server/persist/aof_rewrite.h"
#include "server/persist/aof_writer.h"
#include "server/persist/disk_file.h"
#include "server/persist/persist.h"
#include "server/persist/save.h"
#include "server/server.h"
#include "server/worker.h"

#define LAG_MAX   ((uint64_t)64 << 20)
#define SECOND_NS UINT64_C(1000000000)

void aof_init(struct aof *a)
{
    *a = (struct aof){.lock_fd = -1, .qd = -1, .next_qd = -1, .rewrite_began_s = -1, .rewrite_took_s = -1};
    aof_device_init(&a->device);
}

uint64_t aof_unwritten(const struct aof *a) { return a->reader.of ? broadcast_unread(&a->reader) : 0; }
uint64_t aof_size(const struct aof *a) { return a->closed_bytes + a->bytes; }

bool aof_is_always(const struct server *srv)
{
    return srv->aof.state == AOF_ON && srv->config->appendfsync == APPENDFSYNC_ALWAYS;
}

bool aof_is_durable(const struct server *srv, uint64_t offset)
{
    return srv->aof.state == AOF_ON && srv->aof.durable >= offset;
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

static int open_incr(struct server *srv, const char *name, int flags, int *qd)
{
    char path[PATH_MAX];
    int err = aof_folder_path(&srv->aof, name, path);
    if (!err) err = disk_file_open(qd, path, O_WRONLY | O_CREAT | O_APPEND | flags, 0644);
    /* What was read is to be there after the next crash, too, though nobody may have synced it; and what has that name
     * from a log that a crash took back is not to come back. */
    if (!err) err = disk_file_sync(*qd, false);
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

/* The first base of a log on a device. */
static int write_first_base_there(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof_device *d = &srv->aof.device;
    int err = aof_device_begin_base(srv, srv->config->aof_use_rdb_preamble);
    if (!err) err = aof_device_push_mark(d, true);
    if (!err) err = aof_write_base_there(w, aof_device_save(w, false));
    if (!err) err = aof_device_end_base(srv);
    if (err)
        server_log(srv, LOG_WARNING_LEVEL, "Can't begin the append-only log %s: %s", srv->config->aof_device,
                   strerror(-err));
    return err;
}

/* What was loaded goes on, or nothing was there. */
static int open_device(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    struct aof_device *d = &a->device;
    bool had = d->logs.serial != 0;
    int err = aof_device_open(srv);
    if (!err && !had) err = write_first_base_there(w);
    a->qd = d->logs.qd[AOF_LOG_INCR];
    a->safe_bytes = a->bytes;
    if (!err) err = aof_writer_run(w);
    if (err) return err;
    server_log(srv, LOG_NOTICE_LEVEL,
               had ? "Opening the append-only log %s on server start"
                   : "Creating the append-only log %s on server start",
               srv->config->aof_device);
    a->closed_bytes = d->logs.bytes;
    if (!had) a->base_bytes = d->logs.bytes;
    a->state = AOF_ON;
    aof_take_config(w);
    return 0;
}

int aof_open(struct worker *w)
{
    struct server *srv = w->srv;
    struct aof *a = &srv->aof;
    struct aof_manifest m;
    if (a->on_device) return open_device(w);
    aof_manifest_copy(&m, &a->manifest);
    int err = aof_folder_make(srv);
    if (!err && m.count == 0) err = write_first_base(w, &m);
    bool had = aof_manifest_incrs(&m) != 0;
    const struct aof_file *f =
        had ? aof_manifest_last_incr(&m) : aof_manifest_add_incr(&m, srv->config->appendfilename);
    char name[AOF_NAME_SIZE];
    memcpy(name, f->name, sizeof name);
    /* Under the name of a new one a crash may have left something that was deleted. */
    if (!err) err = open_incr(srv, name, had ? 0 : O_TRUNC, &a->qd);
    if (!err) err = disk_file_size(a->qd, &a->bytes);
    a->safe_bytes = a->bytes;
    if (!err && !had) err = aof_folder_publish(srv, &m); /* else it is what was read: a full disk stops no start */
    aof_manifest_fini(&m);
    if (!err) err = aof_writer_run(w);
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
    if (!aof_writer_end(w))
        server_log(srv, LOG_WARNING_LEVEL, "The end of the AOF could not be written: %s", strerror(-a->error));
    a->state = AOF_OFF;
    a->scheduled = false;
    aof_writer_set_error(srv, 0);
    aof_writer_release(srv);
    blocked_log_moved(w);
    if (a->on_device) aof_device_close(srv);
    else aof_folder_give_up(srv);
}

bool aof_settle(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    if (!a->runs) return true;
    a->settling = true;
    demi_wake_ring(a->wake);
    while ((aof_unwritten(a) || a->durable != a->written) && !a->error && demi_timer(&qt, SECOND_NS / 1000) == 0)
        demi_wait(&qr, qt, NULL);
    a->settling = false;
    return !a->error;
}

bool aof_close(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    if (a->rewriting) server_log(w->srv, LOG_WARNING_LEVEL, "The AOF is being rewritten. Giving that up.");
    aof_rewrite_cancel(w);
    if (!a->runs) {
        aof_device_close(w->srv);
        return true;
    }
    server_log(w->srv, LOG_NOTICE_LEVEL, "Calling fsync() on the AOF file.");
    bool fine = aof_writer_end(w);
    aof_device_close(w->srv);
    aof_writer_release(w->srv);
    return fine;
}

void aof_flush(struct worker *w)
{
    struct aof *a = &w->srv->aof;
    demi_qtoken_t qt;
    demi_qresult_t qr;
    while (a->runs && aof_unwritten(a) && !a->error && demi_timer(&qt, SECOND_NS / 1000) == 0) demi_wait(&qr, qt, NULL);
}

void aof_see_lag(struct server *srv)
{
    struct aof *a = &srv->aof;
    bool lacks_room = a->device.lacks_room && a->runs;
    bool lags =
        (lacks_room || aof_unwritten(a) > (srv->unusual & SERVER_AOF_FULL ? LAG_MAX / 2 : LAG_MAX)) && !a->error;
    if (lags == !!(srv->unusual & SERVER_AOF_FULL)) return;
    if (lags) {
        srv->unusual |= SERVER_AOF_FULL;
        a->full_ns = demi_clock_ns();
        a->delayed_syncs++;
        if (lacks_room)
            server_log(srv, LOG_WARNING_LEVEL,
                       "The append-only log %s is full: commands that write wait for a rewrite, which makes room",
                       srv->config->aof_device);
        else
            server_log(srv, LOG_WARNING_LEVEL,
                       "The disk does not keep up with the AOF: commands that write wait, %llu MB are unwritten",
                       (unsigned long long)(LAG_MAX >> 20));
        return;
    }
    srv->unusual &= ~(unsigned)SERVER_AOF_FULL;
    server_log(srv, LOG_NOTICE_LEVEL,
               "The AOF is written again as far as commands need not wait for it; they did %.3f s",
               (double)(demi_clock_ns() - a->full_ns) / SECOND_NS);
    worker_let_go(&srv->workers[0]);
}

/* What was kept while aof-disable-auto-gc was on goes when it is off. */
static bool has_kept_history(const struct server *srv)
{
    const struct aof *a = &srv->aof;
    if (srv->config->aof_disable_auto_gc || a->state != AOF_ON || a->rewriting) return false;
    for (size_t i = 0; i < a->manifest.count; i++)
        if (a->manifest.files[i].kind == AOF_HISTORY) return true;
    return false;
}

void aof_take_config(struct worker *w)
{
    struct server *srv = w->srv;
    if (has_kept_history(srv)) aof_folder_clean(srv);
    aof_writer_release(srv);
    blocked_log_moved(w);
    if (srv->aof.runs) demi_wake_ring(srv->aof.wake);
}
