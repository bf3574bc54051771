/* SPDX-License-Identifier: MIT
 *
 * See log.h: the libOS, which is a list of devices (device.c) and the coroutines that serve them.
 */
#include "libos/log/log.h"

#include "alloc/base/assert.h"
#include "libos/log/device.h"
#include "libos/nvme/devices.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int alog_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct alog_libos *l = calloc(1, sizeof *l);
    if (!l) return -ENOMEM;
    l->cos.rt = rt;
    list_init(&l->cos.ready);
    list_init(&l->devices);
    const struct counter all[] = {
        {"log.devices", &l->open},    {"log.appends", &l->appends}, {"log.append_bytes", &l->append_bytes},
        {"log.commits", &l->commits}, {"log.syncs", &l->syncs},     {"log.records_read", &l->records_read},
        {"log.busy", &l->busy},       {"log.full", &l->full},       {"log.errors", &l->errors},
    };
    int err = counters_add_all(&rt->counters, all, sizeof all / sizeof *all);
    if (err) {
        counters_remove(&rt->counters, l, sizeof *l);
        free(l);
        return err;
    }
    *out = &l->base;
    return 0;
}

static void alog_flush_all(struct libos *base)
{
    struct alog_libos *l = (struct alog_libos *)base;
    if (l->news) list_for_each(it, &l->devices) alog_device_poll(list_entry(it, struct alog_device, link));
    alog_cos_run(&l->cos);
}

/* What the flush of a libOS below has woken is not left until something else happens. */
static uint64_t alog_deadline(struct libos *base)
{
    struct alog_libos *l = (struct alog_libos *)base;
    return list_is_empty(&l->cos.ready) && !l->news ? UINT64_MAX : 0;
}

static uint64_t alog_undrained(struct libos *base)
{
    uint64_t left = 0;
    list_for_each(it, &((struct alog_libos *)base)->devices) left +=
        1 + list_entry(it, struct alog_device, link)->bytes_pending;
    return left;
}

/* The runtime has waited for all of them (undrained). One that is still there hangs on a device that does not answer:
 * what it has stays, since nobody knows what the device will still write to or read from. */
static void alog_stop(struct libos *base)
{
    struct alog_libos *l = (struct alog_libos *)base;
    counters_remove(&base->rt->counters, l, sizeof *l);
    list_for_each_safe(it, &l->devices)
    {
        struct alog_device *d = list_entry(it, struct alog_device, link);
        list_remove(&d->link);
        wheel_stop(&base->rt->wheel, &d->delay);
        if (d->dev && d->file)
            d->dev->ops->close(d->dev); /* a controller is its libOS's to end, and that may be gone */
        if (d->file) d->file->ops->close(d->file);
        alog_co_drop(d->co);
    }
    free(l);
}

static void alog_forget(struct libos *base)
{
    list_for_each(it, &((struct alog_libos *)base)->devices)
    {
        const struct alog_device *d = list_entry(it, struct alog_device, link);
        int fd = d->file && d->file->ops->fd ? d->file->ops->fd(d->file) : -1;
        if (fd >= 0) close(fd);
    }
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* "PATH#NAME" or "PATH", the scheme taken off. */
static int split(const char *path, size_t *path_n, char name[ALOG_NAME_SIZE])
{
    const char *hash = strrchr(path, '#');
    *path_n = hash ? (size_t)(hash - path) : strlen(path);
    if (*path_n == 0) return -EINVAL;
    if (*path_n >= PATH_MAX) return -ENAMETOOLONG;
    if (!hash) hash = "#main";
    if (strlen(hash + 1) >= ALOG_NAME_SIZE) return -ENAMETOOLONG;
    if (!alog_name_is_good(hash + 1)) return -EINVAL;
    strcpy(name, hash + 1);
    return 0;
}

static void device_ended(void *arg)
{
    struct alog_device *d = arg;
    ASSERT(list_is_empty(&d->opens));
    list_remove(&d->link);
    d->home->open--;
    free(d);
}

static int device_get(struct alog_libos *l, struct libos *below, const char *path, size_t n, struct alog_device **out)
{
    list_for_each(it, &l->devices)
    {
        struct alog_device *d = list_entry(it, struct alog_device, link);
        if (strlen(d->path) != n || memcmp(d->path, path, n) != 0) continue;
        *out = d;
        return 0;
    }
    struct alog_device *d = calloc(1, sizeof *d + n + 1);
    if (!d) return -ENOMEM;
    memcpy(d->path, path, n);
    d->home = l;
    d->below = below;
    list_init(&d->opens);
    list_init(&d->calls);
    int err = alog_co_new(&d->co, &l->cos, alog_device_main, device_ended, d);
    if (err) {
        free(d);
        return err;
    }
    list_push_back(&l->devices, &d->link);
    l->open++;
    *out = d;
    return 0;
}

bool alog_is_on_nvme(const char *path)
{
    static const char scheme[] = ALOG_SCHEME NVME_SCHEME;
    return !strncmp(path, scheme, sizeof scheme - 1);
}

int alog_open(struct libos *base, struct libos *below, const char *path, int flags, unsigned mode, struct op *op,
              struct queue **out)
{
    struct alog_libos *l = (struct alog_libos *)base;
    struct alog_queue *q;
    char name[ALOG_NAME_SIZE];
    size_t n;
    if (flags & (O_TRUNC | O_DIRECTORY)) return -EINVAL;
    path += strlen(ALOG_SCHEME);
    int err = split(path, &n, name);
    if (!err) err = alog_queue_new(l, &q);
    if (err) return err;
    struct alog_device *d;
    err = device_get(l, below, path, n, &d);
    if (err) {
        queue_remove(&q->q);
        alog_queue_free(q, 0);
        return err;
    }
    strcpy(q->name, name);
    q->device = d;
    q->flags = flags;
    q->open_op = op;
    if (list_is_empty(&d->opens)) d->mode = mode;
    list_push_back(&d->opens, &q->link);
    op->queue = &q->q;
    op->qd = q->q.qd;
    *out = &q->q;
    alog_co_wake(d->co);
    return 0;
}

const struct libos_ops alog_libos_ops = {
    .name = "log",
    .start = alog_start,
    .stop = alog_stop,
    .forget = alog_forget,
    .flush = alog_flush_all,
    .next_deadline = alog_deadline,
    .undrained = alog_undrained,
};
