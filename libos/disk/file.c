/* SPDX-License-Identifier: MIT
 *
 * See file.h. A file's jobs wait in its list, in order, and go from there to its helper or to the ring (io_uring):
 *
 *      submit() --> jobs --+-- open, truncate, size, close; all where there is no ring --> helper --+--> finish()
 *                          +-- a chain of pushes, pops and syncs --> ring --> still_wanted() -------+
 *                                                                     `--- cut short: it stays in the list
 *
 * Only one of the two has jobs of a file at a time. To the helper all goes at once, since it does one after the other.
 * To the ring goes a chain: each of its requests begins when the one before has ended well and whole, so that all
 * positions are known when it leaves; what is left of it after a fault goes again. A chain begins when the thread has
 * said all it has to say for now (disk_flush()), so that a push and the sync behind it leave together.
 *
 * A file's descriptor and cursor belong to its helper while that has jobs of it; the owner looks at them only when
 * nothing is.
 */
#include "libos/disk/file.h"
#include "libos/runtime/handover.h"
#include "libos/disk/file_job.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "alloc/heap.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define CHAIN_MAX 16 /* requests of one file in the ring, so that others have room */
static_assert(CHAIN_MAX * 2 <= RING_ENTRIES, "one file's chain does not keep another's out");
static_assert(RING_ENTRIES <= DISK_WAITING_MAX, "the ring takes no more than may wait");

static void finish(struct disk_job *j);

static int submit(struct file *f, struct op *op, void (*run)(struct disk_job *), struct file_job *fj)
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
    fj->next = NULL;
    *f->last_job = fj;
    f->last_job = &fj->next;
    f->disk->listed++;
    file_pump(f);
    return 0;
}

/* A job with `more` bytes behind it. NULL with *err: too much waits, or no memory. */
static struct file_job *job_new(struct file *f, size_t more, int *err)
{
    struct file_job *fj = NULL;
    *err = -EBUSY;
    if (f->helper->waiting + f->disk->listed >= DISK_WAITING_MAX) {
        f->disk->busy++;
        return NULL;
    }
    fj = heap_calloc(1, sizeof *fj + more);
    *err = fj ? 0 : -ENOMEM;
    return fj;
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
        op_complete_plain(ops, op, fj->job.run == file_job_size ? fj->length : 0);
    }
}

/* A push that failed and had nobody to tell is told of by what next says how the file fares: sync, truncate, close. */
static void tell_lost(struct file *f, struct file_job *fj)
{
    if (fj->job.run == file_job_push) {
        if (fj->err && !fj->op && !f->lost_error) f->lost_error = fj->err;
    } else if (f->lost_error && fj->op && fj->job.run != file_job_pop && fj->job.run != file_job_size) {
        fj->err = f->lost_error; /* it came first */
        f->lost_error = 0;
    }
}

static void link_file(struct disk *d, struct file *f)
{
    f->next = d->files;
    f->link = &d->files;
    if (f->next) f->next->link = &f->next;
    d->files = f;
}

static void unlink_file(struct file *f)
{
    ASSERT(!f->jobs && !f->is_ready);
    ASSERT(!f->in_ring && !f->in_helper);
    *f->link = f->next;
    if (f->next) f->next->link = f->link;
}

static void finish(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    ASSERT(f->outstanding > 0);
    f->disk->errors += fj->err != 0;
    if (!fj->in_ring) f->in_helper--;
    tell_lost(f, fj);
    if (fj->op) complete(fj);
    for (unsigned i = 0; i < fj->count; i++) seg_release(&fj->segs[i]);
    if (fj->job.run == file_job_push) f->unsent -= fj->bytes;
    if (fj->buf) buf_unref(fj->buf);
    f->outstanding--;
    if (fj->job.run == file_job_close) {
        f->helper->files--;
        unlink_file(f);
        heap_free(f);
    } else {
        file_pump(f);
    }
    heap_free(fj);
}

/* --- where a job goes --- */

static void remove_job(struct file *f, struct file_job *fj)
{
    struct file_job **at = &f->jobs;
    while (*at != fj) at = &(*at)->next; /* it is the first but after a fault, and CHAIN_MAX are in the ring at most */
    *at = fj->next;
    if (!*at) f->last_job = at;
    f->disk->listed--;
}

static bool is_for_ring(const struct file_job *fj)
{
    return fj->job.run == file_job_push || fj->job.run == file_job_pop || fj->job.run == file_job_sync;
}

/* Whether the file's next job goes to the ring, and may go now. */
static bool waits_for_ring(const struct file *f)
{
    return f->jobs && !f->in_ring && !f->in_helper && f->fd >= 0 && disk_uses_ring(f->disk) && is_for_ring(f->jobs);
}

static void make_ready(struct file *f)
{
    struct disk *d = f->disk;
    if (f->is_ready) return;
    f->is_ready = true;
    f->next_ready = NULL;
    *d->last_ready = f;
    d->last_ready = &f->next_ready;
}

static void to_helper(struct file *f)
{
    struct file_job *fj = f->jobs;
    remove_job(f, fj);
    f->in_helper++;
    helper_submit(f->helper, &fj->job);
}

/* Whether a request of the ring is to be made again, as it is now. */
static bool still_wanted(struct file_job *fj, int result)
{
    if (result == -ECANCELED || result == -EINTR) return true;
    if (fj->job.run != file_job_sync && file_job_again(fj, -result)) return true;
    if (result < 0) {
        fj->err = -result;
    } else if (fj->job.run == file_job_push) {
        if (result == 0 && fj->bytes) fj->err = EIO;
        else return !file_job_wrote(fj, (size_t)result);
    } else if (fj->job.run == file_job_pop) {
        *file_job_place(fj) += result;
        fj->bytes = (size_t)result;
    }
    return false;
}

static void on_ring(struct ring_io *io, int result)
{
    struct file_job *fj = (struct file_job *)((char *)io - offsetof(struct file_job, io));
    struct file *f = fj->file;
    ASSERT(f->in_ring > 0);
    f->in_ring--;
    if (still_wanted(fj, result)) {
        fj->in_ring = false;
        file_pump(f);
        return;
    }
    remove_job(f, fj);
    finish(&fj->job);
}

/* At the end of all positions the request falls short, and its chain ends there. */
static void advance(off_t *offset, size_t n)
{
    if (__builtin_add_overflow(*offset, n, offset)) *offset = INT64_MAX;
}

/* Fills in the request for a job at *offset, and moves that on, or at its own place. */
static void describe(struct file_job *fj, off_t *offset)
{
    struct ring_io *io = &fj->io;
    off_t place = fj->place;
    if (fj->is_placed) offset = &place;
    io->fd = fj->file->fd;
    io->done = on_ring;
    io->offset = *offset;
    if (fj->job.run == file_job_push) {
        file_job_align(fj, *offset);
        io->kind = RING_WRITE;
        io->iov = fj->iov;
        io->iov_count = file_job_pieces(fj);
        io->durable = fj->durable;
        for (unsigned i = 0; !fj->file->append && i < fj->left; i++) advance(offset, fj->iov[i].iov_len);
    } else if (fj->job.run == file_job_pop) {
        fj->read = (struct iovec){fj->buf->data, fj->room};
        io->kind = RING_READ;
        io->iov = &fj->read;
        io->iov_count = 1;
        advance(offset, fj->room);
    } else {
        io->kind = fj->data_only ? RING_DATASYNC : RING_SYNC;
    }
}

/* A chain ends behind a request that fails or comes out short (io_uring_enter(2), IOSQE_IO_LINK): what follows comes
 * back and gets its true position the next time. A push of more pieces than one request takes is short without the
 * kernel's knowing. */
static bool may_be_linked(const struct file_job *fj, const struct file_job *next)
{
    return next && is_for_ring(next) && (fj->job.run != file_job_push || fj->left <= UIO_MAXIOV);
}

static void to_ring(struct file *f)
{
    unsigned room = ring_room(f->disk->ring), count = 0;
    off_t offset = f->cursor;
    if (room > CHAIN_MAX) room = CHAIN_MAX;
    for (struct file_job *fj = f->jobs; fj && count < room; fj = fj->next) {
        bool linked = ++count < room && may_be_linked(fj, fj->next);
        describe(fj, &offset);
        fj->in_ring = true;
        f->in_ring++;
        ring_start(f->disk->ring, &fj->io, linked);
        if (!linked) return;
    }
}

void file_pump(struct file *f)
{
    while (f->jobs && !f->in_ring) {
        if (waits_for_ring(f)) {
            make_ready(f);
            runtime_need_flush(f->disk->base.rt);
            return;
        }
        if (f->in_helper && disk_uses_ring(f->disk) && is_for_ring(f->jobs)) return; /* it opens or closes the file */
        to_helper(f);
    }
}

/* --- the queue --- */

static void describe_pieces(struct file_job *fj)
{
    fj->iov = (struct iovec *)(fj->segs + fj->count);
    fj->left = fj->count;
    for (unsigned i = 0; i < fj->count; i++)
        fj->iov[i] = (struct iovec){(void *)(uintptr_t)fj->segs[i].p, fj->segs[i].n};
}

/* At a place of its own, or (NULL) at the cursor. */
static int submit_push(struct file *f, struct op *op, struct seg *segs, unsigned count, const off_t *place,
                       unsigned flags)
{
    int err;
    struct file_job *fj = job_new(f, count * (sizeof *segs + sizeof(struct iovec)), &err);
    if (!fj) return err;
    memcpy(fj->segs, segs, count * sizeof *segs);
    fj->count = count;
    describe_pieces(fj);
    fj->durable = flags & DEMI_PUSH_DURABLE;
    fj->is_placed = place != NULL;
    if (place) fj->place = *place;
    for (unsigned i = 0; i < count; i++) fj->bytes += segs[i].n;
    f->unsent += fj->bytes;
    f->disk->writes++;
    f->disk->syncs += fj->durable;
    f->disk->tx_bytes += fj->bytes;
    return submit(f, op, file_job_push, fj);
}

static int file_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags)
{
    assert_push_given(q, op, segs, count, flags);
    return addr ? -ENOTSUP : submit_push((struct file *)q, op, segs, count, NULL, flags);
}

static int file_write_at(struct queue *q, struct op *op, struct seg *segs, unsigned count, uint64_t offset,
                         unsigned flags)
{
    struct file *f = (struct file *)q;
    assert_push_given(q, op, segs, count, flags);
    if (f->append || offset > INT64_MAX) return -EINVAL;
    return submit_push(f, op, segs, count, &(off_t){(off_t)offset}, flags);
}

static int file_pop(struct queue *q, struct op *op)
{
    struct file *f = (struct file *)q;
    int err;
    assert_op_given(q, op, DEMI_OPC_POP);
    struct file_job *fj = job_new(f, 0, &err);
    if (!fj) return err;
    fj->room = DISK_READ_MAX;
    fj->buf = buf_take(DISK_READ_MAX);
    if (!fj->buf) {
        heap_free(fj);
        return -ENOMEM;
    }
    f->disk->reads++;
    return submit(f, op, file_job_pop, fj);
}

static int file_read_at(struct queue *q, struct op *op, struct buf *into, uint32_t n, uint64_t offset)
{
    struct file *f = (struct file *)q;
    int err;
    assert_op_given(q, op, DEMI_OPC_POP);
    ASSERT(n > 0 && n <= into->len);
    if (offset > INT64_MAX) return -EINVAL;
    struct file_job *fj = job_new(f, 0, &err);
    if (!fj) return err;
    fj->room = n;
    fj->buf = buf_ref(into);
    fj->is_placed = true;
    fj->place = (off_t)offset;
    f->disk->reads++;
    return submit(f, op, file_job_pop, fj);
}

static int file_truncate(struct queue *q, struct op *op, int64_t length)
{
    int err;
    assert_op_given(q, op, DEMI_OPC_SYNC);
    ASSERT(length >= 0);
    struct file_job *fj = job_new((struct file *)q, 0, &err);
    if (!fj) return err;
    fj->length = (off_t)length;
    return submit((struct file *)q, op, file_job_truncate, fj);
}

static int file_sync(struct queue *q, struct op *op, int data_only)
{
    struct file *f = (struct file *)q;
    int err;
    assert_op_given(q, op, DEMI_OPC_SYNC);
    struct file_job *fj = job_new(f, 0, &err);
    if (!fj) return err;
    fj->data_only = data_only;
    f->disk->syncs++;
    return submit(f, op, file_job_sync, fj);
}

static int file_size(struct queue *q, struct op *op)
{
    int err;
    assert_op_given(q, op, DEMI_OPC_SYNC);
    struct file_job *fj = job_new((struct file *)q, 0, &err);
    return fj ? submit((struct file *)q, op, file_job_size, fj) : err;
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
    f->closing_now = true;
    submit(f, closing, file_job_close, f->closing);
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
    .write_at = file_write_at,
    .read_at = file_read_at,
};

/* --- its beginning --- */

static int file_new(struct disk *d, struct helper *h, int flags, struct file **out)
{
    struct file *f = heap_calloc(1, sizeof *f);
    if (!f) return -ENOMEM;
    f->closing = heap_calloc(1, sizeof *f->closing);
    if (!f->closing) {
        heap_free(f);
        return -ENOMEM;
    }
    f->fd = -1;
    f->last_job = &f->jobs;
    f->disk = d;
    f->append = flags & O_APPEND;
    f->helper = h;
    h->files++;
    link_file(d, f);
    *out = f;
    return 0;
}

static void file_free(struct file *f)
{
    f->helper->files--;
    unlink_file(f);
    heap_free(f->closing);
    heap_free(f);
}

/* Opened here and now, for who wants the errno at once. */
static int open_now(struct file *f, const char *path, int flags, unsigned mode)
{
    f->fd = file_job_open_path(path, flags, (mode_t)mode, &f->direct);
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
    return submit(f, op, file_job_open, fj);
}

int file_open(struct disk *d, struct helper *h, const char *path, int flags, unsigned mode, struct op *op,
              struct queue **out)
{
    struct file *f;
    int err = file_new(d, h, flags, &f);
    if (err) return err;
    err = op ? open_later(f, path, flags, mode, op) : open_now(f, path, flags, mode);
    if (err) {
        file_free(f);
        return err;
    }
    d->opens++;
    *out = &f->q;
    return 0;
}

void files_ready(struct disk *d)
{
    struct file *f = d->ready;
    d->ready = NULL;
    d->last_ready = &d->ready;
    for (struct file *next; f; f = next) {
        next = f->next_ready;
        f->is_ready = false;
        if (!waits_for_ring(f)) file_pump(f);
        else if (ring_room(d->ring)) to_ring(f);
        else make_ready(f); /* its turn comes before that of those who come later */
    }
}
