/* SPDX-License-Identifier: MIT
 *
 * See disk.h. A file's descriptor and cursor belong to its helper while anything is outstanding;
 * the owner looks at them only when nothing is.
 */
#include "libos/disk/disk.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "alloc/heap.h"
#include "libos/disk/helper.h"
#include "libos/disk/name.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define WRITE_GATHER 64

struct disk {
    struct libos base;
    struct helper helpers[DISK_HELPERS];
    uint64_t opens, reads, writes, syncs, tx_bytes, busy, errors;
};

struct file {
    struct queue q;
    struct disk *disk;
    struct helper *helper;
    int fd;         /* -1 until it is open */
    int open_error; /* why it is not: what every operation then ends with */
    int lost_error; /* the owner's: the first error of a push that nobody waited for */
    bool append;
    unsigned outstanding; /* jobs */
    size_t unsent;
    off_t cursor;
    struct op_list ops;
    struct file_job *closing; /* taken at open, so that a close cannot run out of memory */
};

struct file_job {
    struct job job;
    struct file *file;
    struct op *op; /* NULL: nobody waits (any more). The helper does not look at it. */
    int err;
    struct buf *buf; /* pop */
    off_t length;    /* truncate; size: the answer */
    bool data_only;  /* sync */
    int flags;       /* open */
    mode_t mode;     /* open; its path lies where a push has its segs */
    size_t bytes;
    unsigned count;
    struct seg segs[]; /* push */
};

static void finish(struct job *j);

static int submit(struct file *f, struct op *op, void (*run)(struct job *), struct file_job *fj)
{
    fj->job.run = run;
    fj->job.finish = finish;
    fj->file = f;
    fj->op = op;
    f->outstanding++;
    if (op) {
        op->ptr = fj;
        op_list_append(&f->ops, op);
    }
    helper_submit(f->helper, &fj->job);
    return 0;
}

/* A job with `more` bytes behind it. NULL with *err: too much waits, or no memory. */
static struct file_job *job_new(struct file *f, size_t more, int *err)
{
    struct file_job *fj = NULL;
    *err = -EBUSY;
    if (f->helper->waiting >= DISK_WAITING_MAX) {
        f->disk->busy++;
        return NULL;
    }
    fj = heap_calloc(1, sizeof *fj + more);
    *err = fj ? 0 : -ENOMEM;
    return fj;
}

/* --- what the helper does --- */

static void run_open(struct job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    f->fd = open((const char *)fj->segs, fj->flags | O_CLOEXEC, fj->mode);
    if (f->fd < 0) f->open_error = fj->err = errno;
}

/* Whether there is a file to work on; else the job fails as its opening did. */
static bool is_open(struct file_job *fj)
{
    if (fj->file->fd < 0) fj->err = fj->file->open_error;
    return fj->file->fd >= 0;
}

static ssize_t write_some(struct file *f, const struct seg *segs, unsigned count)
{
    struct iovec iov[WRITE_GATHER];
    int n = 0;
    for (; n < WRITE_GATHER && (unsigned)n < count; n++)
        iov[n] = (struct iovec){.iov_base = (void *)(uintptr_t)segs[n].p, .iov_len = segs[n].n};
    return f->append ? writev(f->fd, iov, n) : pwritev(f->fd, iov, n, f->cursor);
}

static void run_push(struct job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    if (!is_open(fj)) return;
    for (unsigned at = 0; at < fj->count;) {
        ssize_t n = write_some(f, fj->segs + at, fj->count - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            fj->err = n < 0 ? errno : EIO;
            return;
        }
        if (!f->append) f->cursor += n;
        for (; at < fj->count && (size_t)n >= fj->segs[at].n; at++) n -= fj->segs[at].n;
        if (at == fj->count) return;
        fj->segs[at].p += n;
        fj->segs[at].n -= (uint32_t)n;
    }
}

static void run_pop(struct job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    ssize_t n;
    if (!is_open(fj)) return;
    do n = pread(f->fd, fj->buf->data, DISK_READ_MAX, f->cursor);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        fj->err = errno;
        return;
    }
    f->cursor += n;
    fj->bytes = (size_t)n;
}

static void run_truncate(struct job *j)
{
    struct file_job *fj = (struct file_job *)j;
    if (is_open(fj) && ftruncate(fj->file->fd, fj->length)) fj->err = errno;
}

static void run_size(struct job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct stat st;
    if (!is_open(fj)) return;
    if (fstat(fj->file->fd, &st)) fj->err = errno;
    else fj->length = st.st_size;
}

static void run_sync(struct job *j)
{
    struct file_job *fj = (struct file_job *)j;
    if (!is_open(fj)) return;
    if (fj->data_only ? fdatasync(fj->file->fd) : fsync(fj->file->fd)) fj->err = errno;
}

static void run_close(struct job *j)
{
    struct file_job *fj = (struct file_job *)j;
    int fd = fj->file->fd;
    if (fd >= 0 && close(fd) && errno != EINTR) fj->err = errno; /* closed it is in any case */
}

/* --- back on the owner's thread --- */

static void complete(struct file_job *fj)
{
    struct op_table *ops = &fj->file->q.rt->ops;
    struct op *op = fj->op;
    op_list_remove(&fj->file->ops, op);
    if (fj->err) {
        op_fail(ops, op, fj->err);
    } else if (fj->buf) {
        memset(&op->value, 0, sizeof op->value);
        fj->buf->len = (uint32_t)fj->bytes;
        op->value.sga =
            (demi_sgarray_t){.sga_buf = fj->buf, .sga_numsegs = 1, .sga_segs = {{fj->buf->data, (uint32_t)fj->bytes}}};
        fj->buf = NULL;
        op_complete(ops, op);
    } else {
        op_complete_plain(ops, op, fj->job.run == run_size ? fj->length : 0);
    }
}

/* A push that failed and had nobody to tell is told of by what next says how the file fares: sync, truncate, close. */
static void tell_lost(struct file *f, struct file_job *fj)
{
    if (fj->job.run == run_push) {
        if (fj->err && !fj->op && !f->lost_error) f->lost_error = fj->err;
    } else if (f->lost_error && fj->op && fj->job.run != run_pop && fj->job.run != run_size) {
        fj->err = f->lost_error; /* it came first */
        f->lost_error = 0;
    }
}

static void finish(struct job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    ASSERT(f->outstanding > 0);
    f->disk->errors += fj->err != 0;
    tell_lost(f, fj);
    if (fj->op) complete(fj);
    for (unsigned i = 0; i < fj->count; i++) seg_release(&fj->segs[i]);
    if (fj->job.run == run_push) f->unsent -= fj->bytes;
    if (fj->buf) buf_unref(fj->buf);
    f->outstanding--;
    if (fj->job.run == run_close) {
        f->helper->files--;
        heap_free(f);
    }
    heap_free(fj);
}

/* --- the queue --- */

static int file_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags)
{
    struct file *f = (struct file *)q;
    int err;
    if (addr) return -ENOTSUP;
    struct file_job *fj = job_new(f, count * sizeof *segs, &err);
    if (!fj) return err;
    memcpy(fj->segs, segs, count * sizeof *segs);
    fj->count = count;
    for (unsigned i = 0; i < count; i++) fj->bytes += segs[i].n;
    f->unsent += fj->bytes;
    f->disk->writes++;
    f->disk->tx_bytes += fj->bytes;
    return submit(f, op, run_push, fj);
}

static int file_pop(struct queue *q, struct op *op)
{
    struct file *f = (struct file *)q;
    int err;
    struct file_job *fj = job_new(f, 0, &err);
    if (!fj) return err;
    fj->buf = buf_take(DISK_READ_MAX);
    if (!fj->buf) {
        heap_free(fj);
        return -ENOMEM;
    }
    f->disk->reads++;
    return submit(f, op, run_pop, fj);
}

static int file_truncate(struct queue *q, struct op *op, int64_t length)
{
    int err;
    struct file_job *fj = job_new((struct file *)q, 0, &err);
    if (!fj) return err;
    fj->length = (off_t)length;
    return submit((struct file *)q, op, run_truncate, fj);
}

static int file_sync(struct queue *q, struct op *op, int data_only)
{
    struct file *f = (struct file *)q;
    int err;
    struct file_job *fj = job_new(f, 0, &err);
    if (!fj) return err;
    fj->data_only = data_only;
    f->disk->syncs++;
    return submit(f, op, run_sync, fj);
}

static int file_size(struct queue *q, struct op *op)
{
    int err;
    struct file_job *fj = job_new((struct file *)q, 0, &err);
    return fj ? submit((struct file *)q, op, run_size, fj) : err;
}

/* Moves the cursor; -EBUSY while operations that use it are outstanding. */
static int file_seek(struct queue *q, int64_t offset, int whence, int64_t *out)
{
    struct file *f = (struct file *)q;
    struct stat st;
    int64_t base = 0;
    if (f->outstanding) return -EBUSY;
    if (f->fd < 0) return -f->open_error;
    if (whence == SEEK_CUR) {
        base = f->cursor;
    } else if (whence == SEEK_END) {
        if (fstat(f->fd, &st)) return -errno;
        base = st.st_size;
    } else if (whence != SEEK_SET) {
        return -EINVAL;
    }
    int64_t to;
    if (__builtin_add_overflow(base, offset, &to)) return -EOVERFLOW;
    if (to < 0) return -EINVAL;
    f->cursor = (off_t)to;
    *out = to;
    return 0;
}

static size_t file_unsent(struct queue *q) { return ((struct file *)q)->unsent; }
static int file_fd(struct queue *q) { return ((struct file *)q)->fd; }

/* Who waits is told now; what was started is finished by the helper, the closing of the descriptor
 * last. */
static void end_file(struct queue *q, struct op *closing)
{
    struct file *f = (struct file *)q;
    for (struct op *op; (op = op_list_shift(&f->ops));) {
        ((struct file_job *)op->ptr)->op = NULL;
        op_fail(&q->rt->ops, op, ECANCELED);
    }
    submit(f, closing, run_close, f->closing);
}

static void file_close(struct queue *q) { end_file(q, NULL); }

static const struct queue_ops file_ops = {
    .name = "disk file",
    .push = file_push,
    .pop = file_pop,
    .close = file_close,
    .close_with = end_file,
    .unsent = file_unsent,
    .fd = file_fd,
    .seek = file_seek,
    .truncate = file_truncate,
    .sync = file_sync,
    .size = file_size,
};

/* --- the libOS --- */

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

static int file_new(struct disk *d, int flags, struct file **out)
{
    struct helper *h;
    int err = pick_helper(d, &h);
    if (err) return err;
    struct file *f = heap_calloc(1, sizeof *f);
    if (!f) return -ENOMEM;
    f->closing = heap_calloc(1, sizeof *f->closing);
    if (!f->closing) {
        heap_free(f);
        return -ENOMEM;
    }
    f->fd = -1;
    f->disk = d;
    f->append = flags & O_APPEND;
    f->helper = h;
    *out = f;
    return 0;
}

static void file_free(struct file *f)
{
    heap_free(f->closing);
    heap_free(f);
}

/* Opened here and now, for who wants the errno at once. */
static int open_now(struct file *f, const char *path, int flags, unsigned mode)
{
    f->fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    if (f->fd < 0) return -errno;
    int err = queue_add(f->disk->base.rt, &f->q, &file_ops);
    if (err) close(f->fd);
    return err;
}

/* The first job of the file opens it: whatever is started meanwhile comes behind that. */
static int open_later(struct file *f, const char *path, int flags, unsigned mode, struct op *op)
{
    size_t size = strnlen(path, PATH_MAX) + 1;
    if (size > PATH_MAX) return -ENAMETOOLONG;
    int err;
    struct file_job *fj = job_new(f, size, &err);
    if (!fj) return err;
    memcpy(fj->segs, path, size);
    fj->flags = flags;
    fj->mode = (mode_t)mode;
    err = queue_add(f->disk->base.rt, &f->q, &file_ops);
    if (err) {
        heap_free(fj);
        return err;
    }
    op->queue = &f->q;
    op->qd = f->q.qd;
    return submit(f, op, run_open, fj);
}

static int disk_open(struct libos *l, const char *path, int flags, unsigned mode, struct op *op, struct queue **out)
{
    struct disk *d = (struct disk *)l;
    struct file *f;
    int err = file_new(d, flags, &f);
    if (err) return err;
    err = op ? open_later(f, path, flags, mode, op) : open_now(f, path, flags, mode);
    if (err) {
        file_free(f);
        return err;
    }
    d->opens++;
    f->helper->files++;
    *out = &f->q;
    return 0;
}

/* Names are all with the first helper, so that what is done to them is done in order. */
static int change_name(struct libos *l, struct op *op, const char *from, const char *to)
{
    struct disk *d = (struct disk *)l;
    struct helper *h = &d->helpers[0];
    int err = h->started ? 0 : helper_start(h, l->rt);
    if (err) return err;
    if (h->waiting >= DISK_WAITING_MAX) {
        d->busy++;
        return -EBUSY;
    }
    return name_submit(h, &l->rt->ops, op, from, to, &d->errors);
}

static int disk_rename(struct libos *l, struct op *op, const char *from, const char *to)
{
    return change_name(l, op, from, to);
}

static int disk_unlink(struct libos *l, struct op *op, const char *path) { return change_name(l, op, path, NULL); }

static int disk_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct disk *d = calloc(1, sizeof *d);
    if (!d) return -ENOMEM;
    d->base.rt = rt;
    const struct {
        const char *name;
        const uint64_t *value;
    } all[] = {
        {"disk.opens", &d->opens},   {"disk.reads", &d->reads},       {"disk.writes", &d->writes},
        {"disk.syncs", &d->syncs},   {"disk.tx_bytes", &d->tx_bytes}, {"disk.busy", &d->busy},
        {"disk.errors", &d->errors},
    };
    int err = runtime_open_fds(rt);
    for (unsigned i = 0; !err && i < sizeof all / sizeof all[0]; i++)
        err = counters_add(&rt->counters, all[i].name, all[i].value);
    if (err) {
        counters_remove(&rt->counters, d, sizeof *d);
        free(d);
        return err;
    }
    *out = &d->base;
    return 0;
}

static void disk_stop(struct libos *l)
{
    struct disk *d = (struct disk *)l;
    for (unsigned i = 0; i < DISK_HELPERS; i++) helper_stop(&d->helpers[i]);
    counters_remove(&l->rt->counters, d, sizeof *d);
    free(d);
}

const struct libos_ops disk_libos = {
    .name = "disk",
    .start = disk_start,
    .stop = disk_stop,
    .open = disk_open,
    .rename = disk_rename,
    .unlink = disk_unlink,
};
