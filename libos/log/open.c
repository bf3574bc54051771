/* SPDX-License-Identifier: MIT
 *
 * See open.h. A file that O_CREAT makes has its superblocks first and its length then, so that one that was left half
 * made is either empty, and made anew, or a device without logs. Nothing that is not ours is ever written to: an empty
 * file is made a device only where it was asked for, a block device never but by demi-log.
 */
#include "libos/log/open.h"

#include "alloc/base/assert.h"
#include "libos/log/filedev.h"
#include "libos/nvme/devices.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define LOCK_TRIES   50
#define LOCK_WAIT_NS 10000000u

/* --- the file ----------------------------------------------------------------------------------------------------- */

static int open_queue(struct alog_device *d, const char *path, int flags, unsigned mode, struct queue **out)
{
    struct alog_await a;
    struct op *op = alog_await_begin(&a, &d->home->cos, DEMI_OPC_SYNC, NULL);
    if (!op) return -ENOMEM;
    int err = d->below->ops->open(d->below, path, flags, mode, op, out);
    if (!err) queue_remove(*out); /* it is ours alone, and is not closed with the program's */
    else *out = NULL;
    return alog_await_end(&a, &d->home->cos, err, NULL);
}

static int close_queue(struct alog_device *d, struct queue *q)
{
    struct alog_await a;
    struct op *op = alog_await_begin(&a, &d->home->cos, DEMI_OPC_CLOSE, NULL);
    if (!op || !q->ops->close_with) {
        if (op) op_drop(&d->home->base.rt->ops, op);
        q->ops->close(q);
        return 0;
    }
    q->ops->close_with(q, op);
    return alog_await_end(&a, &d->home->cos, 0, NULL);
}

static int sync_queue(struct alog_device *d, struct queue *q)
{
    struct alog_await a;
    struct op *op = alog_await_begin(&a, &d->home->cos, DEMI_OPC_SYNC, q);
    return op ? alog_await_end(&a, &d->home->cos, q->ops->sync(q, op, false), NULL) : -ENOMEM;
}

static int resize_queue(struct alog_device *d, struct queue *q, uint64_t size)
{
    struct alog_await a;
    struct op *op = alog_await_begin(&a, &d->home->cos, DEMI_OPC_SYNC, q);
    return op ? alog_await_end(&a, &d->home->cos, q->ops->truncate(q, op, (int64_t)size), NULL) : -ENOMEM;
}

static int size_queue(struct alog_device *d, struct queue *q, uint64_t *size)
{
    struct alog_await a;
    demi_qresult_t qr;
    struct op *op = alog_await_begin(&a, &d->home->cos, DEMI_OPC_SYNC, q);
    int err = op ? alog_await_end(&a, &d->home->cos, q->ops->size(q, op), &qr) : -ENOMEM;
    if (!err) *size = (uint64_t)qr.qr_ret;
    return err;
}

/* The name of a new file is safe with its folder. */
static int sync_folder(struct alog_device *d)
{
    char folder[PATH_MAX];
    struct queue *q;
    strcpy(folder, d->path);
    char *slash = strrchr(folder, '/');
    if (!slash) strcpy(folder, ".");
    else slash[slash == folder] = 0;
    int err = open_queue(d, folder, O_RDONLY | O_DIRECTORY, 0, &q);
    if (!err) err = sync_queue(d, q);
    if (q) close_queue(d, q);
    return err;
}

/* --- who has it, and how large it is ------------------------------------------------------------------------------ */

static int descriptor(const struct alog_device *d) { return d->file->ops->fd ? d->file->ops->fd(d->file) : -1; }

/* One writer, or readers. The lock is the descriptor's, and ends with it: where io_uring was at work, up to some
 * milliseconds after its process was killed (Nov 2026, Linux 6.18), for which who follows waits. */
static int lock_file(struct alog_device *d)
{
    int fd = descriptor(d);
    for (unsigned tries = 0; tries < LOCK_TRIES; tries++) {
        if (fd < 0 || !flock(fd, (d->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB)) return 0;
        if (errno != EWOULDBLOCK) return -errno;
        alog_co_sleep(&d->home->cos, LOCK_WAIT_NS);
    }
    snprintf(d->im.why, sizeof d->im.why, "another process or thread has it open");
    return -EBUSY;
}

static int measure(struct alog_device *d, uint64_t *size, bool *is_block)
{
    struct stat st;
    int fd = descriptor(d), sector = 0;
    *is_block = false;
    if (fd < 0) return size_queue(d, d->file, size);
    if (fstat(fd, &st)) return -errno;
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        snprintf(d->im.why, sizeof d->im.why, "it is neither a file nor a block device");
        return -EINVAL;
    }
    /* io_uring would give up where it would have to wait. */
    int how = fcntl(fd, F_GETFL);
    if (how < 0 || fcntl(fd, F_SETFL, how & ~O_NONBLOCK)) return -errno;
    if (S_ISREG(st.st_mode)) {
        *size = (uint64_t)st.st_size;
        return 0;
    }
    *is_block = true;
    if (ioctl(fd, BLKGETSIZE64, size) || ioctl(fd, BLKSSZGET, &sector)) return -errno;
    if (sector <= (int)ALOG_BLOCK) return 0;
    snprintf(d->im.why, sizeof d->im.why, "its sectors of %d bytes are larger than blocks of %u", sector, ALOG_BLOCK);
    return -EINVAL;
}

/* --- making one --------------------------------------------------------------------------------------------------- */

/* All of the file's room is taken now, so that a full disk shows here and not in the middle of a log. */
static int reserve(struct alog_device *d, uint64_t size)
{
    int fd = descriptor(d);
    if (fd >= 0 && !fallocate(fd, 0, 0, (off_t)size)) return 0;
    if (fd >= 0 && errno != EOPNOTSUPP && errno != ENOSYS) return -errno;
    return resize_queue(d, d->file, size);
}

static int make_device(struct alog_device *d)
{
    int err = alog_image_format(&d->im, &d->store, ALOG_FILE_BYTES, ALOG_FILE_SEGMENT);
    if (!err) err = reserve(d, ALOG_FILE_BYTES);
    if (!err) err = sync_queue(d, d->file);
    if (!err) err = sync_folder(d);
    if (err == -ENOSPC) snprintf(d->im.why, sizeof d->im.why, "there is no room for its %u bytes", ALOG_FILE_BYTES);
    d->store.size = ALOG_FILE_BYTES;
    return err;
}

/* A file that was left shorter than its segments by a crash, or by hand. */
static int complete_file(struct alog_device *d, uint64_t size)
{
    const struct alog_super *s = &d->im.super;
    uint64_t whole = alog_segment_at(s, s->segment_count);
    if (size >= whole) return 0;
    int err = reserve(d, whole);
    if (!err) err = sync_queue(d, d->file);
    if (!err) d->store.size = whole;
    return err;
}

/* --- what is in it ------------------------------------------------------------------------------------------------ */

/* Damage of one log is told when that is opened; the others are as good as ever. */
static int find_ends(struct alog_device *d)
{
    for (uint32_t i = 0; i < d->im.super.log_count; i++) {
        int err = alog_find_end(&d->im, d->im.logs[i], &d->store);
        if (err == -EUCLEAN) alog_device_tell(d, d->im.why);
        else if (err) return err;
    }
    d->im.why[0] = 0;
    return 0;
}

/* What was found is made durable, then a new epoch begins, by which what is written from now on is told from what is
 * left behind the ends. */
static int begin_epoch(struct alog_device *d)
{
    int err = 0;
    for (uint32_t i = 0; i < d->im.super.log_count && !err; i++)
        if (!d->im.logs[i]->damaged) err = alog_rewrite_tail(&d->im, d->im.logs[i], &d->store);
    if (!err) err = alog_flush(&d->store);
    if (err) return err;
    if (d->im.super.epoch == UINT32_MAX) return -EOVERFLOW;
    d->im.super.epoch++;
    for (uint32_t i = 0; i < d->im.super.log_count; i++) {
        struct alog_log *log = d->im.logs[i];
        if (!log->damaged) log->durable = log->end;
        d->im.super.logs[i].durable = log->durable;
    }
    err = alog_super_store(&d->im, &d->store);
    return err ? err : alog_flush(&d->store);
}

static int load(struct alog_device *d, uint64_t size, bool is_block)
{
    int err = alog_image_load(&d->im, &d->store);
    if (err == -ENODATA && (d->flags & O_CREAT) && !is_block && size <= 2 * ALOG_BLOCK) err = make_device(d);
    else if (!err && !d->read_only && !is_block) err = complete_file(d, size);
    if (!err) err = find_ends(d);
    if (!err && !d->read_only) err = begin_epoch(d);
    return err;
}

/* --- a controller of NVMe ----------------------------------------------------------------------------------------- */

static int open_nvme(struct alog_device *d)
{
    struct alog_await a;
    char why[NVME_WHY_SIZE] = "";
    struct op *op = alog_await_begin(&a, &d->home->cos, DEMI_OPC_SYNC, NULL);
    if (!op) return -ENOMEM;
    int err = nvme_open(d->below, d->path + strlen(NVME_SCHEME), op, &d->nvme, why);
    err = alog_await_end(&a, &d->home->cos, err, NULL);
    if (err) snprintf(d->im.why, sizeof d->im.why, "%.*s", (int)sizeof d->im.why - 1, why);
    if (err) return err;
    d->dev = nvme_blockdev(d->nvme);
    const struct blockdev_caps *caps = &d->dev->caps;
    if (caps->block <= ALOG_BLOCK && caps->request_max >= ALOG_BLOCK && caps->size >= ALOG_BLOCK) return 0;
    snprintf(d->im.why, sizeof d->im.why, "blocks of %u and requests of %u bytes do not do", caps->block,
             caps->request_max);
    return -EINVAL;
}

static int close_nvme(struct alog_device *d)
{
    struct alog_await a;
    struct nvme_device *nvme = d->nvme;
    d->nvme = NULL;
    nvme_blockdev(nvme)->news = NULL;
    struct op *op = alog_await_begin(&a, &d->home->cos, DEMI_OPC_CLOSE, NULL);
    if (!op) return -ENOMEM; /* its libOS ends it with itself */
    nvme_close(nvme, op);
    return alog_await_end(&a, &d->home->cos, 0, NULL);
}

/* --- either ------------------------------------------------------------------------------------------------------- */

static int open_blocks(struct alog_device *d, uint64_t *size, bool *is_block)
{
    /* O_NONBLOCK: a FIFO would wait for its writer, which may never come; see measure(). */
    int flags = (d->read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_NONBLOCK | (d->flags & O_CREAT);
    int err = open_queue(d, d->path, flags, d->mode, &d->file);
    if (!err) err = lock_file(d);
    if (!err) err = measure(d, size, is_block);
    return err ? err : filedev_open(&d->dev, d->file, *size);
}

int alog_open_file(struct alog_device *d, void (*news)(void *arg))
{
    uint64_t size = 0;
    bool is_block = true, on_nvme = !strncmp(d->path, NVME_SCHEME, strlen(NVME_SCHEME));
    int err = on_nvme ? open_nvme(d) : open_blocks(d, &size, &is_block);
    if (!err && on_nvme) size = d->dev->caps.size & ~(uint64_t)(ALOG_BLOCK - 1);
    if (!err) {
        d->dev->news = news;
        d->dev->arg = d;
        d->store.size = size;
        d->store.request_max = d->dev->caps.request_max;
        err = load(d, size, is_block);
    }
    if (!err) return 0;
    char why[ALOG_WHY_SIZE];
    memcpy(why, d->im.why, sizeof why);
    alog_image_fini(&d->im);
    memcpy(d->im.why, why, sizeof why);
    alog_close_file(d, &(int){0});
    return err;
}

void alog_close_file(struct alog_device *d, int *err)
{
    ASSERT(!d->out);
    if (d->dev) d->dev->ops->close(d->dev);
    d->dev = NULL;
    struct queue *file = d->file;
    d->file = NULL;
    int wrong = file ? close_queue(d, file) : d->nvme ? close_nvme(d) : 0;
    if (!*err) *err = wrong;
}
