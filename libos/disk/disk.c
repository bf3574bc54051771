/* SPDX-License-Identifier: MIT
 *
 * See disk.h: the library OS, which is its helpers, the ring where there may be one, and a list of files (file.c).
 */
#include "libos/disk/disk.h"

#include "alloc/base/assert.h"
#include "libos/disk/file.h"
#include "libos/disk/name.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The helper with the fewest files; another is started while all have some. */
static int pick_helper(struct disk *d, struct helper **out)
{
    struct helper *best = NULL;
    for (unsigned i = 0; i < DISK_HELPERS; i++) {
        struct helper *h = &d->helpers[i];
        if (!h->started && (!best || best->files)) {
            int err = helper_start(h, d->base.rt);
            if (err && !best) return err;
            if (!err) best = h;
            break;
        }
        if (h->started && (!best || h->files < best->files)) best = h;
    }
    *out = best;
    return 0;
}

static int disk_open(struct libos *l, const char *path, int flags, unsigned mode, struct op *op, struct queue **out)
{
    struct disk *d = (struct disk *)l;
    struct helper *h;
    int err = pick_helper(d, &h);
    return err ? err : file_open(d, h, path, flags, mode, op, out);
}

/* Names are all with the first helper, so that what is done to them is done in order. */
static int change_name(struct libos *l, struct op *op, const struct name_change *change)
{
    struct disk *d = (struct disk *)l;
    struct helper *h = &d->helpers[0];
    int err = h->started ? 0 : helper_start(h, l->rt);
    if (err) return err;
    if (h->waiting >= DISK_WAITING_MAX) {
        d->busy++;
        return -EBUSY;
    }
    return name_submit(h, &l->rt->ops, op, change, &d->errors);
}

static int disk_rename(struct libos *l, struct op *op, const char *from, const char *to)
{
    return change_name(l, op, &(struct name_change){.what = NAME_RENAME, .path = from, .to = to});
}

static int disk_unlink(struct libos *l, struct op *op, const char *path)
{
    return change_name(l, op, &(struct name_change){.what = NAME_UNLINK, .path = path});
}

static int disk_mkdir(struct libos *l, struct op *op, const char *path, unsigned mode)
{
    return change_name(l, op, &(struct name_change){.what = NAME_MKDIR, .path = path, .mode = mode});
}

/* There is room in the ring again. */
static void more_room(void *arg)
{
    struct disk *d = arg;
    if (d->ready) runtime_need_flush(d->base.rt);
}

static int disk_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct disk *d = calloc(1, sizeof *d);
    if (!d) return -ENOMEM;
    d->base.rt = rt;
    d->last_ready = &d->ready;
    const struct counter all[] = {
        {"disk.uring", &d->has_ring}, {"disk.opens", &d->opens},   {"disk.reads", &d->reads},
        {"disk.writes", &d->writes},  {"disk.syncs", &d->syncs},   {"disk.tx_bytes", &d->tx_bytes},
        {"disk.busy", &d->busy},      {"disk.errors", &d->errors},
    };
    int err = runtime_open_fds(rt);
    if (!err) err = counters_add_all(&rt->counters, all, sizeof all / sizeof *all);
    if (err) {
        counters_remove(&rt->counters, d, sizeof *d);
        free(d);
        return err;
    }
    if (!rt->files_by_threads && ring_new(&d->ring, rt, more_room, d) == 0) d->has_ring = 1;
    *out = &d->base;
    return 0;
}

/* From now on helpers do everything; what the ring has comes back from it. */
static void leave_ring(struct disk *d)
{
    if (!d->ring) return;
    ring_retire(d->ring);
    d->has_ring = 0;
    files_ready(d);
    for (struct file *f = d->files; f; f = f->next) file_pump(f);
}

static void disk_flush(struct libos *l)
{
    struct disk *d = (struct disk *)l;
    if (!disk_uses_ring(d)) return;
    files_ready(d);
    ring_flush(d->ring);
    if (ring_is_retired(d->ring)) leave_ring(d);
}

static void disk_stop(struct libos *l)
{
    struct disk *d = (struct disk *)l;
    leave_ring(d);
    if (d->ring) ring_drain(d->ring);
    for (unsigned i = 0; i < DISK_HELPERS; i++) helper_stop(&d->helpers[i]);
    if (d->ring) ring_free(d->ring);
    ASSERT(!d->files);
    counters_remove(&l->rt->counters, d, sizeof *d);
    free(d);
}

/* Files that are closing are behind no queue any more. */
static void disk_forget(struct libos *l)
{
    struct disk *d = (struct disk *)l;
    if (d->ring) ring_forget(d->ring);
    for (const struct file *f = d->files; f; f = f->next)
        if (f->closing_now && f->fd >= 0) close(f->fd);
}

static int disk_set_option(struct libos *l, const char *name, const char *value)
{
    struct disk *d = (struct disk *)l;
    if (strcmp(name, "files") != 0) return -ENOPROTOOPT;
    if (!strcmp(value, "auto")) return 0;
    if (strcmp(value, "threads") != 0) return -EINVAL;
    leave_ring(d);
    return 0;
}

const struct libos_ops disk_libos = {
    .name = "disk",
    .start = disk_start,
    .stop = disk_stop,
    .forget = disk_forget,
    .flush = disk_flush,
    .set_option = disk_set_option,
    .open = disk_open,
    .rename = disk_rename,
    .unlink = disk_unlink,
    .mkdir = disk_mkdir,
};
