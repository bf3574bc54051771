/* SPDX-License-Identifier: MIT */
#include "server/persist/aof_device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "demi/libos.h"
#include "demi/wait.h"
#include "server/observe/log.h"
#include "server/persist/aof.h"
#include "server/persist/disk_file.h"
#include "server/persist/save.h"
#include "server/server.h"
#include "server/worker.h"

#define LOT_MAX ((size_t)128 << 10) /* of a record of the journal: several share a batch of the log */
#define LOT_MIN ((size_t)16 << 10)  /* each log has room for such a record */
/* Two such parts of a base are on their way, so that the increments' syncs do not wait for much of it. */
#define SYNC_BYTES ((size_t)512 << 10)

bool aof_device_is_wanted(const struct server *srv)
{
    const char *name = srv->config->aof_device;
    return name && *name;
}

void aof_device_init(struct aof_device *d)
{
    *d = (struct aof_device){0};
    aof_logs_init(&d->logs);
}

int aof_device_open(struct server *srv)
{
    struct aof_device *d = &srv->aof.device;
    char why[AOF_LOGS_WHY_SIZE];
    if (d->is_open) return 0;
    aof_device_init(d);
    int err = aof_logs_open(&d->logs, srv->config->aof_device, O_RDWR | O_CREAT, why);
    if (err) server_log(srv, LOG_WARNING_LEVEL, "%s", why);
    d->is_open = !err;
    return err == -ENOENT ? -ENOTDIR : err; /* no log to load is something else than no place for one */
}

void aof_device_close(struct server *srv)
{
    aof_logs_close(&srv->aof.device.logs);
    srv->aof.device.is_open = false;
}

bool aof_device_error_is_final(int err)
{
    return err && err != -ENOSPC && err != -EBUSY && err != -EMSGSIZE && err != -ENOMEM && err != -ECANCELED;
}

static int failed(const struct server *srv, const char *doing, int err)
{
    if (err)
        server_log((struct server *)(uintptr_t)srv, LOG_WARNING_LEVEL, "Can't %s of the append-only log %s: %s", doing,
                   srv->config->aof_device, aof_logs_error_text(err));
    return err;
}

/* --- room --------------------------------------------------------------------------------------------------------- */

size_t aof_device_lot(const struct server *srv)
{
    size_t most = aof_logs_space(&srv->aof.device.logs).record_max;
    return most > LOT_MAX ? LOT_MAX : most > LOT_MIN ? most - 1 : LOT_MIN;
}

/* What the next base takes: no more than the last one and all that came since; nor, since it is packed, than memory
 * does. */
static uint64_t expect_base(const struct server *srv)
{
    uint64_t all = srv->aof.device.logs.bytes + srv->aof.bytes, used = demi_mem_used();
    return all < used ? all : used;
}

/* A rewrite needs as much as its base does, an eighth more, and two segments; what it has written it does not need any
 * more. */
static uint64_t reserve_of(const struct server *srv, const struct demi_log_space *space)
{
    const struct aof_device *d = &srv->aof.device;
    bool begun = srv->aof.rewriting && d->expected;
    uint64_t base = begun ? d->expected : expect_base(srv), written = begun ? d->next.bytes : 0;
    base += base / 8;
    return (base > written ? base - written : 0) + 2 * (uint64_t)space->segment_bytes;
}

int aof_device_check_room(const struct server *srv, size_t n)
{
    struct demi_log_space space = aof_logs_space(&srv->aof.device.logs);
    return space.free_bytes < reserve_of(srv, &space) + n ? -ENOSPC : 0;
}

bool aof_device_is_short(const struct server *srv)
{
    const struct aof_device *d = &srv->aof.device;
    struct demi_log_space space = aof_logs_space(&d->logs);
    uint64_t incr = srv->aof.bytes, margin = expect_base(srv) / 4 + 2 * (uint64_t)space.segment_bytes;
    return space.free_bytes < reserve_of(srv, &space) + margin && incr > d->logs.bytes / 4 + space.segment_bytes;
}

/* --- lines -------------------------------------------------------------------------------------------------------- */

int aof_device_push_mark(struct aof_device *d, bool begins)
{
    struct aof_record r = {.kind = AOF_RECORD_MARK, .serial = d->next.serial, .begins = begins};
    int err = aof_logs_push_line(&d->logs, AOF_LOG_INCR, &r, &d->next.mark);
    if (!err) d->has_mark = true;
    return err;
}

int aof_device_push_resume(struct aof_device *d)
{
    struct aof_record r = {.kind = AOF_RECORD_RESUME, .serial = d->logs.serial, .dropped = d->dropped};
    int err = aof_logs_push_line(&d->logs, AOF_LOG_INCR, &r, NULL);
    if (!err) d->needs_resume = false;
    return err;
}

/* --- a base ------------------------------------------------------------------------------------------------------- */

int aof_device_begin_base(struct server *srv, bool is_rdb)
{
    struct aof_device *d = &srv->aof.device;
    d->has_mark = false;
    d->unsynced = 0;
    d->expected = expect_base(srv);
    d->error = aof_logs_begin_base(&d->logs, is_rdb, &d->next_log, &d->next);
    return failed(srv, "begin a base", d->error);
}

static int wait_for_sync(struct aof_device *d)
{
    if (!d->syncing) return 0;
    d->syncing = false;
    return disk_file_wait(d->sync, NULL);
}

static int sync_part(struct aof_device *d)
{
    int err = wait_for_sync(d);
    if (!err) err = -demi_sync(&d->sync, d->logs.qd[d->next_log], true);
    d->syncing = !err;
    d->unsynced = 0;
    return err;
}

static bool has_room(void *arg) { return !((struct aof_device *)arg)->error; }

/* The task of the save waits here for the device. */
static void put_piece(void *arg, const char *bytes, size_t n)
{
    struct aof_device *d = arg;
    size_t most = aof_logs_space(&d->logs).record_max - 1u;
    if (most > AOF_RECORD_CHUNK_MAX) most = AOF_RECORD_CHUNK_MAX;
    while (n && !d->error) {
        size_t part = n < most ? n : most;
        d->error = aof_logs_push_bytes(&d->logs, d->next_log, bytes, part);
        bytes += part;
        n -= part;
        d->next.bytes += part;
        d->unsynced += part;
        if (!d->error && d->unsynced >= SYNC_BYTES) d->error = sync_part(d);
    }
    if (d->error && d->save) save_cancel(d->save);
}

struct save *aof_device_save(struct worker *w, bool background)
{
    struct aof_device *d = &w->srv->aof.device;
    struct save_stream to = {.has_room = has_room, .put = put_piece, .arg = d};
    d->save = save_begin(
        w, &(struct save_request){.background = background, .aof_base = true, .as_commands = !d->next.rdb, .to = &to});
    return d->save;
}

int aof_device_save_error(struct aof_device *d, int err)
{
    d->save = NULL;
    int late = wait_for_sync(d);
    if (!d->error) d->error = late;
    return d->error ? d->error : err;
}

int aof_device_end_base(struct server *srv)
{
    struct aof_device *d = &srv->aof.device;
    int late = 0;
    ASSERT(d->has_mark);
    d->error = aof_logs_end_base(&d->logs, d->next_log, &d->next, &late);
    if (d->error) return failed(srv, "end a base", d->error);
    d->needs_resume = false;
    d->next.bytes = d->expected = 0;
    failed(srv, "trim what lies before the base", late); /* the next one does */
    return 0;
}

void aof_device_give_up_base(struct server *srv)
{
    struct aof_device *d = &srv->aof.device;
    d->next.bytes = d->expected = 0;
    d->has_mark = false;
    if (d->is_open) aof_logs_empty(&d->logs, d->next_log); /* if not, the next one begins with that */
}
