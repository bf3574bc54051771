/* SPDX-License-Identifier: MIT
 *
 * A file of a simulated disk as a queue, with the semantics of libos/disk/file.c: operations in order, the opening
 * first and the closing last, the error of a push that nobody waited for kept for what next says how the file fares.
 */
#include "libos/sim/disk_line.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "libos/disk/disk.h"
#include "libos/runtime/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_SIZE_MAX ((uint64_t)1 << 30) /* it is memory */

struct sim_file {
    struct queue q;
    struct disk_mount *mount;
    struct disk_line *line;
    struct disk_node *node; /* NULL: not open */
    int open_error;         /* why */
    int lost_error;         /* the first error of a push that nobody waited for */
    int flags;
    unsigned outstanding;
    uint64_t cursor;
    size_t unsent;
    struct op_list ops;
    struct sim_disk_job *closing; /* taken at open, so that a close cannot run out of memory */
};

static uint64_t *job_place(struct sim_file *f, struct sim_disk_job *j) { return j->is_placed ? &j->place : &f->cursor; }

static bool may_write(const struct sim_file *f) { return (f->flags & O_ACCMODE) != O_RDONLY; }
static bool may_read(const struct sim_file *f) { return (f->flags & O_ACCMODE) != O_WRONLY; }

/* --- the disk's work ---------------------------------------------------------------------------------------------- */

static void open_begins(struct sim_file *f, struct sim_disk_job *j, int fault)
{
    int err = fault ? -fault : disk_tree_open(&f->mount->disk->tree, j->path, j->flags, &f->node);
    f->open_error = j->err = -err;
}

/* As many bytes of n at a place as there is space for. */
static size_t that_fit(const struct sim_file *f, uint64_t at, size_t n)
{
    const struct sim_disk *d = f->mount->disk;
    if (!d->settings.space) return n;
    uint64_t used = disk_tree_bytes(&d->tree), room = used < d->settings.space ? d->settings.space - used : 0;
    uint64_t most = f->node->now_size + room; /* what is overwritten takes no more */
    if (at + n <= most) return n;
    return at < most ? (size_t)(most - at) : 0;
}

/* n bytes of the segments from `done` on. */
static void write_segs(struct sim_file *f, struct sim_disk_job *j, uint64_t at, size_t n)
{
    size_t skip = j->done;
    for (unsigned i = 0; i < j->count && n; i++) {
        size_t size = j->segs[i].n;
        if (skip >= size) {
            skip -= size;
            continue;
        }
        size_t part = size - skip < n ? size - skip : n;
        disk_node_write(f->node, at, j->segs[i].p + skip, part);
        at += part;
        n -= part;
        j->done += part;
        skip = 0;
    }
}

static void push_begins(struct sim_file *f, struct sim_disk_job *j, int fault, size_t *bytes)
{
    struct sim_disk *d = f->mount->disk;
    bool append = f->flags & O_APPEND;
    uint64_t at = append ? f->node->now_size : *job_place(f, j);
    size_t left = j->bytes - j->done, n = left;
    if (!may_write(f)) {
        j->err = EBADF;
        return;
    }
    if (at > FILE_SIZE_MAX - left) {
        j->err = EFBIG;
        return;
    }
    if (fault) n = rng_below(&d->sim->rng, left + 1);
    else if (left > 1 && sim_chance(d->sim, d->settings.pieces_ppm)) n = 1 + rng_below(&d->sim->rng, left - 1);
    size_t fits = that_fit(f, at, n);
    if (!fits && n && !fault) fault = ENOSPC;
    write_segs(f, j, at, fits);
    if (!append) *job_place(f, j) += fits;
    j->err = fault;
    d->stats.bytes_written += fits;
    *bytes = fits;
}

static void pop_begins(struct sim_file *f, struct sim_disk_job *j, int fault, size_t *bytes)
{
    uint64_t size = f->node->now_size;
    if (!may_read(f)) j->err = EBADF;
    else if (f->node->is_folder) j->err = EISDIR;
    else j->err = fault;
    uint64_t at = *job_place(f, j);
    *bytes = at >= size ? 0 : size - at < j->room ? size - at : j->room;
}

static void truncate_begins(struct sim_file *f, struct sim_disk_job *j, int fault)
{
    j->err = !may_write(f) ? EINVAL : j->length > FILE_SIZE_MAX ? EFBIG : fault;
    if (!j->err) disk_node_truncate(f->node, j->length);
}

void sim_file_begin(struct sim_file *f, struct sim_disk_job *j, int fault, size_t *bytes)
{
    if (j->kind == DISK_CLOSE) return;
    if (j->kind != DISK_OPEN && !f->node) {
        j->err = f->open_error;
        return;
    }
    switch (j->kind) {
    case DISK_OPEN: open_begins(f, j, fault); break;
    case DISK_PUSH: push_begins(f, j, fault, bytes); break;
    case DISK_POP: pop_begins(f, j, fault, bytes); break;
    case DISK_TRUNCATE: truncate_begins(f, j, fault); break;
    default: j->err = fault; break;
    }
}

/* What a disk returns in place of what was asked for. */
static void misread(struct sim_file *f, uint8_t *p, size_t n)
{
    struct sim_disk *d = f->mount->disk;
    struct rng *r = &d->sim->rng;
    if (!n) return;
    if (sim_chance(d->sim, d->settings.corrupt_ppm)) {
        p[rng_below(r, n)] ^= (uint8_t)(1 << rng_below(r, 8));
        d->stats.failed++;
    }
    if (!sim_chance(d->sim, d->settings.misdirect_ppm)) return;
    const struct disk_node *other = rng_below(r, 2) ? f->node : disk_tree_any(&d->tree, r);
    uint64_t sectors = other->now_size / SIM_DISK_SECTOR, mine = n / SIM_DISK_SECTOR;
    if (!sectors || !mine) return;
    memcpy(p + rng_below(r, mine) * SIM_DISK_SECTOR, other->now + rng_below(r, sectors) * SIM_DISK_SECTOR,
           SIM_DISK_SECTOR);
    d->stats.failed++;
}

static void pop_ends(struct sim_file *f, struct sim_disk_job *j)
{
    uint64_t size = f->node->now_size, *at = job_place(f, j), left = *at < size ? size - *at : 0;
    j->done = left < j->room ? (size_t)left : j->room;
    if (j->done) memcpy(j->buf->data, f->node->now + *at, j->done);
    misread(f, j->buf->data, j->done);
    *at += j->done;
}

static void sync_ends(struct sim_file *f, struct sim_disk_job *j)
{
    struct sim_disk *d = f->mount->disk;
    if (!f->node) return; /* the host has crashed */
    if (!j->err && f->node->is_folder) disk_tree_sync(&d->tree, f->node);
    else if (!j->err) disk_node_sync(f->node);
    else if (!f->node->is_folder) disk_node_sync_badly(f->node, &d->sim->rng);
}

bool sim_file_end(struct sim_file *f, struct sim_disk_job *j)
{
    if (j->kind == DISK_SYNC) sync_ends(f, j);
    if (j->kind == DISK_PUSH && !j->err) return j->done == j->bytes;
    if (j->kind == DISK_POP && !j->err) pop_ends(f, j);
    if (j->kind == DISK_SIZE && !j->err) j->length = f->node->now_size;
    return true;
}

/* --- the end of an operation -------------------------------------------------------------------------------------- */

static void complete(struct sim_file *f, struct sim_disk_job *j)
{
    struct op_table *ops = &f->q.rt->ops;
    struct op *op = j->op;
    op_list_remove(&f->ops, op);
    if (j->err) {
        op_fail(ops, op, j->err);
    } else if (j->kind == DISK_POP) {
        memset(&op->value, 0, sizeof op->value);
        j->buf->len = (uint32_t)j->done;
        op->value.sga =
            (demi_sgarray_t){.sga_buf = j->buf, .sga_numsegs = 1, .sga_segs = {{j->buf->data, (uint32_t)j->done}}};
        j->buf = NULL;
        op_complete(ops, op);
    } else {
        op_complete_plain(ops, op, j->kind == DISK_SIZE ? (int64_t)j->length : 0);
    }
}

/* A push that failed and had nobody to tell is told of by the next sync, truncate or close. */
static void tell_lost(struct sim_file *f, struct sim_disk_job *j)
{
    if (j->kind == DISK_PUSH) {
        if (j->err && !j->op && !f->lost_error) f->lost_error = j->err;
    } else if (f->lost_error && j->op && j->kind != DISK_POP && j->kind != DISK_SIZE) {
        j->err = f->lost_error;
        f->lost_error = 0;
    }
}

void sim_file_lose(struct sim_file *f)
{
    if (f->node) disk_tree_close(f->node);
    f->node = NULL;
    if (!f->open_error) f->open_error = EIO;
}

void sim_file_free(struct sim_file *f)
{
    sim_file_lose(f);
    free(f->closing);
    free(f);
}

bool sim_file_finish(struct sim_file *f, struct sim_disk_job *j)
{
    tell_lost(f, j);
    if (j->op) complete(f, j);
    if (j->kind == DISK_PUSH) f->unsent -= j->bytes;
    f->outstanding--;
    if (j->kind != DISK_CLOSE) return false;
    sim_file_free(f);
    return true;
}

/* --- the queue ---------------------------------------------------------------------------------------------------- */

static int submit(struct sim_file *f, struct op *op, struct sim_disk_job *j)
{
    j->op = op;
    f->outstanding++;
    if (op) {
        op->ptr = j;
        op_list_append(&f->ops, op);
    }
    disk_line_add(f->line, j);
    return 0;
}

/* At a place of its own, or (NULL) at the cursor. */
static int submit_push(struct sim_file *f, struct op *op, struct seg *segs, unsigned count, const uint64_t *place,
                       unsigned flags)
{
    int err;
    struct sim_disk_job *j = disk_job_new(f->mount, DISK_PUSH, count * sizeof *segs, &err), *sync = NULL;
    if (!j) return err;
    if (flags & DEMI_PUSH_DURABLE) {
        sync = disk_job_new(f->mount, DISK_SYNC, 0, &err);
        if (!sync) {
            disk_job_free(j);
            return err;
        }
    }
    memcpy(j->segs, segs, count * sizeof *segs);
    j->count = count;
    j->is_placed = place != NULL;
    if (place) j->place = *place;
    for (unsigned i = 0; i < count; i++) j->bytes += segs[i].n;
    f->unsent += j->bytes;
    if (!sync) return submit(f, op, j);
    submit(f, NULL, j); /* if it fails, the sync says so */
    return submit(f, op, sync);
}

static int file_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags)
{
    assert_push_given(q, op, segs, count, flags);
    return addr ? -ENOTSUP : submit_push((struct sim_file *)q, op, segs, count, NULL, flags);
}

static int file_write_at(struct queue *q, struct op *op, struct seg *segs, unsigned count, uint64_t offset,
                         unsigned flags)
{
    assert_push_given(q, op, segs, count, flags);
    return submit_push((struct sim_file *)q, op, segs, count, &offset, flags);
}

static int file_read_at(struct queue *q, struct op *op, struct buf *into, uint32_t n, uint64_t offset)
{
    struct sim_file *f = (struct sim_file *)q;
    int err;
    assert_op_given(q, op, DEMI_OPC_POP);
    struct sim_disk_job *j = disk_job_new(f->mount, DISK_POP, 0, &err);
    if (!j) return err;
    j->room = n;
    j->is_placed = true;
    j->place = offset;
    j->buf = buf_ref(into);
    return submit(f, op, j);
}

static int file_pop(struct queue *q, struct op *op)
{
    struct sim_file *f = (struct sim_file *)q;
    int err;
    assert_op_given(q, op, DEMI_OPC_POP);
    struct sim_disk_job *j = disk_job_new(f->mount, DISK_POP, 0, &err);
    if (!j) return err;
    j->room = DISK_READ_MAX;
    j->buf = buf_take(DISK_READ_MAX);
    if (j->buf) return submit(f, op, j);
    disk_job_free(j);
    return -ENOMEM;
}

/* An operation that says only what it is. */
static int submit_plain(struct queue *q, struct op *op, enum disk_job_kind kind, uint64_t length)
{
    struct sim_file *f = (struct sim_file *)q;
    int err;
    assert_op_given(q, op, DEMI_OPC_SYNC);
    struct sim_disk_job *j = disk_job_new(f->mount, kind, 0, &err);
    if (!j) return err;
    j->length = length;
    return submit(f, op, j);
}

static int file_truncate(struct queue *q, struct op *op, int64_t length)
{
    ASSERT(length >= 0);
    return submit_plain(q, op, DISK_TRUNCATE, (uint64_t)length);
}

static int file_sync(struct queue *q, struct op *op, int data_only) { return submit_plain(q, op, DISK_SYNC, 0); }
static int file_size(struct queue *q, struct op *op) { return submit_plain(q, op, DISK_SIZE, 0); }

static int file_seek(struct queue *q, int64_t offset, int whence, int64_t *out)
{
    struct sim_file *f = (struct sim_file *)q;
    int64_t base = 0, to;
    if (f->outstanding) return -EBUSY;
    if (!f->node) return -f->open_error;
    if (whence == SEEK_CUR) base = (int64_t)f->cursor;
    else if (whence == SEEK_END) base = (int64_t)f->node->now_size;
    else if (whence != SEEK_SET) return -EINVAL;
    if (__builtin_add_overflow(base, offset, &to)) return -EOVERFLOW;
    if (to < 0) return -EINVAL;
    f->cursor = (uint64_t)to;
    *out = to;
    return 0;
}

static size_t file_unsent(struct queue *q) { return ((struct sim_file *)q)->unsent; }

/* Who waits is told now; what was started is done, the closing last. */
static void end_file(struct queue *q, struct op *closing)
{
    struct sim_file *f = (struct sim_file *)q;
    for (struct op *op; (op = op_list_shift(&f->ops));) {
        ((struct sim_disk_job *)op->ptr)->op = NULL;
        op_fail(&q->rt->ops, op, ECANCELED);
    }
    struct sim_disk_job *j = f->closing;
    f->closing = NULL;
    submit(f, closing, j);
}

static void file_close(struct queue *q) { end_file(q, NULL); }

static const struct queue_ops file_ops = {
    .name = "sim file",
    .push = file_push,
    .pop = file_pop,
    .close = file_close,
    .close_with = end_file,
    .unsent = file_unsent,
    .seek = file_seek,
    .truncate = file_truncate,
    .sync = file_sync,
    .size = file_size,
    .write_at = file_write_at,
    .read_at = file_read_at,
};

/* --- its beginning ------------------------------------------------------------------------------------------------ */

static int open_now(struct sim_file *f, const char *path)
{
    int err = f->mount->dead ? -EIO : -disk_fault(f->mount->disk, DISK_OPEN);
    if (!err) err = disk_tree_open(&f->mount->disk->tree, path, f->flags, &f->node);
    return err ? err : queue_add(f->mount->base.rt, &f->q, &file_ops);
}

static int open_later(struct sim_file *f, const char *path, struct op *op)
{
    int err;
    struct sim_disk_job *j = disk_job_new(f->mount, DISK_OPEN, 0, &err);
    if (!j) return err;
    j->flags = f->flags;
    j->path = strdup(path);
    err = j->path ? queue_add(f->mount->base.rt, &f->q, &file_ops) : -ENOMEM;
    if (err) {
        disk_job_free(j);
        return err;
    }
    op->queue = &f->q;
    op->qd = f->q.qd;
    return submit(f, op, j);
}

int sim_file_open(struct disk_mount *m, const char *path, int flags, struct op *op, struct queue **out)
{
    if (op && strnlen(path, PATH_MAX) == PATH_MAX) return -ENAMETOOLONG;
    struct sim_file *f = calloc(1, sizeof *f);
    if (!f) return -ENOMEM;
    f->mount = m;
    f->flags = flags;
    int err;
    f->closing = disk_job_new(m, DISK_CLOSE, 0, &err);
    f->line = f->closing ? disk_line_new(m, f) : NULL;
    if (!err && !f->line) err = -ENOMEM;
    if (!err) err = op ? open_later(f, path, op) : open_now(f, path);
    if (!err) {
        *out = &f->q;
        return 0;
    }
    if (f->line) disk_line_free(f->line);
    sim_file_free(f);
    return err;
}
