/* SPDX-License-Identifier: MIT
 *
 * A log as a queue: see log.h for what its calls mean.
 *
 * Pops are served at once where the record is at hand; else a coroutine of the queue's reads for them, one after the
 * other. What was pushed can be popped once it is written: a pop at the end of that asks for it.
 */
#include "libos/log/device.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "demi/ext.h"
#include "libos/runtime/handover.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct op_table *ops_of(const struct alog_queue *q) { return &q->q.rt->ops; }

static bool may_write(const struct alog_queue *q) { return (q->flags & O_ACCMODE) != O_RDONLY; }
static bool may_read(const struct alog_queue *q) { return (q->flags & O_ACCMODE) != O_WRONLY; }

/* Whether an operation may be started; in the opening it may not yet. */
static int check_open(struct alog_queue *q)
{
    if (q->open_op || !q->device) return q->device ? -EBUSY : -EBADF;
    if (q->waiting < ALOG_WAITING_MAX) return 0;
    q->device->home->busy++;
    return -EBUSY;
}

static void wait_in(struct alog_queue *q, struct op_list *l, struct op *op, uint64_t arg)
{
    op->arg = arg;
    op_list_append(l, op);
    q->waiting++;
}

static struct op *take_from(struct alog_queue *q, struct op_list *l)
{
    struct op *op = op_list_shift(l);
    if (op) q->waiting--;
    return op;
}

static void fail_list(struct alog_queue *q, struct op_list *l, int err)
{
    for (struct op *op; (op = take_from(q, l));) op_fail(ops_of(q), op, err);
}

static void want_sync(struct alog_device *d)
{
    d->sync_wanted = true;
    alog_device_kick(d);
}

/* --- pops --------------------------------------------------------------------------------------------------------- */

/* rec NULL: the end. */
static void deliver(struct alog_queue *q, const struct alog_record *rec)
{
    struct op *op = take_from(q, &q->pops);
    struct buf *b = buf_take(rec ? rec->length : 0);
    if (!b) {
        op_fail(ops_of(q), op, ENOMEM);
        return;
    }
    if (rec) memcpy(buf_put_back(b, rec->length), rec->bytes, rec->length);
    memset(&op->value, 0, sizeof op->value);
    op->value.sga = (demi_sgarray_t){.sga_buf = b, .sga_numsegs = 1, .sga_segs = {{b->data, b->len}}};
    op->ret = rec ? (int64_t)rec->offset : 0;
    q->device->home->records_read += rec != NULL;
    op_complete(ops_of(q), op);
}

static void fail_pop(struct alog_queue *q, int err)
{
    if (err == EUCLEAN) alog_device_tell(q->device, "a record in the middle is damaged (demi-log check)");
    q->device->home->errors++;
    op_fail(ops_of(q), take_from(q, &q->pops), err);
}

/* The cursor is at the end of what is written. false: more was accepted, and is on its way. */
static bool at_the_end(struct alog_queue *q)
{
    if (q->log->end > q->log->written && !q->device->error) {
        q->device->write_wanted = true;
        alog_device_kick(q->device);
        return false;
    }
    deliver(q, NULL);
    return true;
}

/* Serves pops as long as there is something for them. false: it would have to wait. */
static bool serve_pops(struct alog_queue *q)
{
    const struct alog_log *log = q->log;
    for (struct op *op; (op = q->pops.head);) {
        struct alog_record rec;
        uint64_t trim = log->trim;
        if (q->reader.walk.at < log->trim && q->reader.skip_to < log->trim) alog_reader_seek(&q->reader, log->trim);
        int what = alog_reader_next(&q->reader, log->written, &rec);
        if (what == -EWOULDBLOCK) return false;
        if (q->pops.head != op) continue; /* the queue was closed meanwhile */
        /* Meanwhile, that is: a walk begins in front of what is trimmed, and fails there as anywhere. */
        bool was_trimmed = what <= 0 && log->trim > trim && q->reader.walk.at < log->trim;
        if (was_trimmed || what == -ESTALE) continue;
        if (what == 1 && rec.offset < log->trim) continue;
        if (what == 1) deliver(q, &rec);
        else if (what < 0) fail_pop(q, -what);
        else if (q->reader.walk.tail < log->written && q->reader.walk.seq < log->written_seq) fail_pop(q, EUCLEAN);
        else if (!at_the_end(q)) return true;
    }
    return true;
}

static void reader_main(void *arg)
{
    struct alog_queue *q = arg;
    while (!q->is_closed) {
        q->is_reading = true;
        serve_pops(q);
        q->is_reading = false;
        if (!q->is_closed) alog_co_suspend(&q->device->home->cos);
    }
}

static void reader_ended(void *arg)
{
    struct alog_queue *q = arg;
    q->co = NULL;
    alog_co_wake(q->device->co);
}

static void start_reading(struct alog_queue *q)
{
    if (q->is_reading || !q->pops.head) return;
    q->device->store.may_wait = false;
    bool served = serve_pops(q);
    q->device->store.may_wait = true;
    if (served) return;
    q->is_reading = true; /* from here on it serves all */
    if (q->co) {
        alog_co_wake(q->co);
        return;
    }
    int err = alog_co_new(&q->co, &q->device->home->cos, reader_main, reader_ended, q);
    if (!err) return;
    q->is_reading = false;
    fail_list(q, &q->pops, -err);
}

static int queue_pop(struct queue *base, struct op *op)
{
    struct alog_queue *q = (struct alog_queue *)base;
    assert_op_given(base, op, DEMI_OPC_POP);
    int err = check_open(q);
    if (err) return err;
    if (!may_read(q)) return -EBADF;
    wait_in(q, &q->pops, op, 0);
    start_reading(q);
    return 0;
}

/* --- pushes, syncs, truncates ------------------------------------------------------------------------------------- */

static int queue_push(struct queue *base, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                      socklen_t size, unsigned flags)
{
    struct alog_queue *q = (struct alog_queue *)base;
    uint64_t n = 0, offset;
    assert_push_given(base, op, segs, count, flags);
    if (addr) return -ENOTSUP;
    int err = check_open(q);
    if (err) return err;
    if (!may_write(q)) return -EBADF;
    struct alog_libos *l = q->device->home;
    for (unsigned i = 0; i < count; i++) n += segs[i].n;
    err = alog_append(q->device, q->log, segs, count, n, &offset);
    l->busy += err == -EBUSY;
    l->full += err == -ENOSPC;
    if (err) return err;
    for (unsigned i = 0; i < count; i++) seg_release(&segs[i]);
    l->appends++;
    l->append_bytes += n;
    bool durable = flags & DEMI_PUSH_DURABLE || q->flags & O_DSYNC;
    if (durable) want_sync(q->device);
    if (!op) return 0;
    if (!durable) {
        op_complete_plain(ops_of(q), op, (int64_t)offset);
        return 0;
    }
    op->ptr = (void *)(uintptr_t)offset;
    wait_in(q, &q->durable, op, q->log->end);
    return 0;
}

static int queue_sync(struct queue *base, struct op *op, int data_only)
{
    struct alog_queue *q = (struct alog_queue *)base;
    assert_op_given(base, op, DEMI_OPC_SYNC);
    int err = check_open(q);
    if (err) return err;
    if (q->device->error) return -q->device->error;
    if (q->log->durable >= q->log->end) {
        op_complete_plain(ops_of(q), op, 0);
        return 0;
    }
    op->ptr = NULL;
    wait_in(q, &q->durable, op, q->log->end);
    want_sync(q->device);
    return 0;
}

static int queue_truncate(struct queue *base, struct op *op, int64_t length)
{
    struct alog_queue *q = (struct alog_queue *)base;
    assert_op_given(base, op, DEMI_OPC_SYNC);
    int err = check_open(q);
    if (err) return err;
    if (!may_write(q) || (uint64_t)length > q->log->end) return -EINVAL;
    struct alog_device *d = q->device;
    if (d->error) return -d->error;
    if ((uint64_t)length <= q->log->trim) {
        op_complete_plain(ops_of(q), op, 0);
        return 0;
    }
    if (q->log->trim_wanted < (uint64_t)length) q->log->trim_wanted = (uint64_t)length;
    d->super_wanted = true;
    wait_in(q, &q->truncates, op, ++d->super_asked);
    alog_device_kick(d);
    return 0;
}

static int queue_size(struct queue *base, struct op *op)
{
    struct alog_queue *q = (struct alog_queue *)base;
    assert_op_given(base, op, DEMI_OPC_SYNC);
    int err = check_open(q);
    if (!err) op_complete_plain(ops_of(q), op, (int64_t)q->log->end);
    return err;
}

void alog_queue_settle(struct alog_queue *q)
{
    struct op *op;
    while ((op = q->durable.head) && op->arg <= q->log->durable) {
        take_from(q, &q->durable);
        op_complete_plain(ops_of(q), op, (int64_t)(uintptr_t)op->ptr);
    }
    while ((op = q->truncates.head) && op->arg <= q->device->super_done) {
        take_from(q, &q->truncates);
        op_complete_plain(ops_of(q), op, 0);
    }
    start_reading(q);
}

void alog_queue_poison(struct alog_queue *q, int err)
{
    fail_list(q, &q->durable, err);
    fail_list(q, &q->truncates, err);
    start_reading(q);
}

/* --- the cursor --------------------------------------------------------------------------------------------------- */

static uint64_t cursor_of(const struct alog_queue *q)
{
    uint64_t at = q->reader.walk.tail;
    if (at < q->reader.skip_to) at = q->reader.skip_to;
    return at < q->log->trim ? q->log->trim : at;
}

static int queue_seek(struct queue *base, int64_t offset, int whence, int64_t *out)
{
    struct alog_queue *q = (struct alog_queue *)base;
    int64_t from = 0, to;
    int err = check_open(q);
    if (err) return err;
    if (q->pops.head) return -EBUSY;
    if (whence == SEEK_CUR) from = (int64_t)cursor_of(q);
    else if (whence == SEEK_END) from = (int64_t)q->log->end;
    else if (whence != SEEK_SET) return -EINVAL;
    if (__builtin_add_overflow(from, offset, &to)) return -EOVERFLOW;
    if (to < 0 || (uint64_t)to < q->log->trim || (uint64_t)to > q->log->end) return -EINVAL;
    alog_reader_seek(&q->reader, (uint64_t)to);
    *out = to;
    return 0;
}

static int queue_getsockopt(struct queue *base, int level, int name, void *val, socklen_t *len)
{
    const struct alog_queue *q = (struct alog_queue *)base;
    if (level != DEMI_SOL_LOG) return -ENOTSUP;
    if (name != DEMI_LOG_SPACE) return -ENOPROTOOPT;
    if (*len < sizeof(struct demi_log_space)) return -EINVAL;
    if (!q->log) return q->open_op ? -EBUSY : -EBADF;
    const struct alog_image *im = &q->device->im;
    struct demi_log_space space = {.free_bytes = (uint64_t)im->free_count * alog_capacity(&im->super),
                                   .segment_bytes = alog_capacity(&im->super),
                                   .record_max = alog_record_max(&im->super)};
    memcpy(val, &space, sizeof space);
    *len = sizeof space;
    return 0;
}

static size_t queue_unsent(struct queue *base)
{
    struct alog_queue *q = (struct alog_queue *)base;
    return q->log ? (size_t)q->log->pending : 0;
}

/* --- beginning and end -------------------------------------------------------------------------------------------- */

void alog_queue_attach(struct alog_queue *q, struct alog_log *log)
{
    struct op *op = q->open_op;
    q->open_op = NULL;
    q->log = log;
    alog_reader_init(&q->reader, &q->device->im, log, &q->device->store);
    if (op) op_complete_plain(ops_of(q), op, 0);
}

void alog_queue_fail_open(struct alog_queue *q, int err)
{
    struct op *op = q->open_op;
    q->open_op = NULL;
    q->device = NULL;
    if (op) op_fail(ops_of(q), op, err);
}

void alog_queue_free(struct alog_queue *q, int err)
{
    ASSERT(!q->co && !q->waiting);
    struct op_table *ops = ops_of(q);
    if (q->log) alog_reader_fini(&q->reader);
    if (q->close_op && err) op_fail(ops, q->close_op, err);
    else if (q->close_op) op_complete_plain(ops, q->close_op, 0);
    free(q);
}

static void queue_end(struct queue *base, struct op *op)
{
    struct alog_queue *q = (struct alog_queue *)base;
    q->close_op = op;
    q->is_closed = true;
    if (q->open_op) op_fail(ops_of(q), q->open_op, ECANCELED);
    q->open_op = NULL;
    fail_list(q, &q->pops, ECANCELED);
    fail_list(q, &q->durable, ECANCELED);
    fail_list(q, &q->truncates, ECANCELED);
    if (!q->device) {
        alog_queue_free(q, 0);
        return;
    }
    if (q->co) alog_co_wake(q->co);
    if (q->log && q->log->pending) q->device->write_wanted = true;
    alog_co_wake(q->device->co);
}

static void queue_close(struct queue *base) { queue_end(base, NULL); }

static const struct queue_ops alog_queue_ops = {
    .name = "log",
    .push = queue_push,
    .pop = queue_pop,
    .close = queue_close,
    .close_with = queue_end,
    .getsockopt = queue_getsockopt,
    .unsent = queue_unsent,
    .seek = queue_seek,
    .truncate = queue_truncate,
    .sync = queue_sync,
    .size = queue_size,
};

int alog_queue_new(struct alog_libos *l, struct alog_queue **out)
{
    struct alog_queue *q = calloc(1, sizeof *q);
    if (!q) return -ENOMEM;
    int err = queue_add(l->base.rt, &q->q, &alog_queue_ops);
    if (err) free(q);
    else *out = q;
    return err;
}
