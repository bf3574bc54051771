/* SPDX-License-Identifier: MIT
 *
 * Queues that are not sockets: memory, pipes, files.
 */
#include "demi/here.h"

#include "libos/disk/disk.h"
#include "libos/log/log.h"
#include "libos/nvme/devices.h"
#include "libos/runtime/memq.h"

#include <fcntl.h>
#include <string.h>

int demi_queue(int *qd_out)
{
    if (!qd_out) return EINVAL;
    HERE(rt);
    struct queue *q;
    int err = memq_new(rt, &q);
    if (err) return turned(err);
    assert_queue_made(rt, &rt->queues, q);
    *qd_out = q->qd;
    return 0;
}

int demi_pipe(int qd_out[2])
{
    if (!qd_out) return EINVAL;
    HERE(rt);
    struct queue *q[2];
    int err = memq_new_pipe(rt, q);
    if (err) return -err;
    qd_out[0] = q[0]->qd;
    qd_out[1] = q[1]->qd;
    return 0;
}

static int check_name(const char *name)
{
    size_t n = name ? strnlen(name, MEMQ_NAME_MAX + 1) : 0;
    return !n ? EINVAL : n > MEMQ_NAME_MAX ? ENAMETOOLONG : 0;
}

/* By the libOS that has pipes between processes, if one runs here; else of this thread alone. */
static int named_pipe(int *qd_out, const char *name, bool create)
{
    if (!qd_out) return EINVAL;
    int wrong = check_name(name);
    if (wrong) return wrong;
    HERE(rt);
    struct queue *q;
    unsigned i = 0;
    while (i < rt->libos_count && !rt->libos[i]->ops->pipe) i++;
    int err = i < rt->libos_count ? rt->libos[i]->ops->pipe(rt->libos[i], name, create, &q)
              : create            ? memq_create_pipe(rt, name, &q)
                                  : memq_open_pipe(rt, name, &q);
    if (err) return turned(err);
    assert_queue_made(rt, &rt->queues, q);
    *qd_out = q->qd;
    return 0;
}

int demi_create_pipe(int *qd_out, const char *name) { return named_pipe(qd_out, name, true); }
int demi_open_pipe(int *qd_out, const char *name) { return named_pipe(qd_out, name, false); }

/* The first libOS that has files; without one, the disk libOS is started beside the others. */
static int file_libos(struct runtime *rt, struct libos **out)
{
    for (;;) {
        for (unsigned i = 0; i < rt->libos_count; i++) {
            if (!rt->libos[i]->ops->open) continue;
            *out = rt->libos[i];
            return 0;
        }
        if (rt->time.idle) return -ENOTSUP; /* threads know nothing of simulated time */
        int err = runtime_add_libos(rt, &disk_libos, NULL);
        if (err) return err;
    }
}

static bool is_log(const char *path) { return !strncmp(path, ALOG_SCHEME, strlen(ALOG_SCHEME)); }

static int nvme_libos(struct runtime *rt, struct libos **out)
{
    return rt->time.idle ? -ENOTSUP
                         : runtime_get_libos(rt, &nvme_libos_ops, out); /* hardware knows no simulated time */
}

/* A log stands on a file of the libOS that has those, or on a controller of NVMe. */
static int start_log(struct runtime *rt, const char *path, int flags, mode_t mode, struct op *op, struct queue **out)
{
    struct libos *below, *logs;
    int err = alog_is_on_nvme(path) ? nvme_libos(rt, &below) : file_libos(rt, &below);
    if (!err) err = runtime_get_libos(rt, &alog_libos_ops, &logs);
    return err ? err : alog_open(logs, below, path, flags, mode, op, out);
}

/* What opening a log waits for takes more than one call, and other work of this thread goes on meanwhile. */
static int open_log(struct runtime *rt, int *qd_out, const char *path, int flags, mode_t mode)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    int qd, err = demi_async_open(&qt, &qd, path, flags, mode);
    if (err) return err;
    err = -wait_one(rt, qt, WAIT_FOREVER, &qr);
    if (!err && qr.qr_opcode == DEMI_OPC_FAILED) err = (int)qr.qr_ret;
    if (err) demi_close(qd);
    else *qd_out = qd;
    return err;
}

int demi_open(int *qd_out, const char *path, int flags, mode_t mode)
{
    if (!qd_out || !path) return EINVAL;
    HERE(rt);
    if (is_log(path)) return open_log(rt, qd_out, path, flags, mode);
    struct libos *l;
    struct queue *q = NULL;
    int err = file_libos(rt, &l);
    if (!err) err = l->ops->open(l, path, flags, mode, NULL, &q);
    if (err) return turned(err);
    assert_queue_made(rt, &rt->queues, q);
    *qd_out = q->qd;
    return 0;
}

int demi_async_open(demi_qtoken_t *qt_out, int *qd_out, const char *path, int flags, mode_t mode)
{
    if (!qt_out || !qd_out || !path) return EINVAL;
    HERE(rt);
    struct libos *l;
    struct queue *q = NULL;
    int err = file_libos(rt, &l);
    if (err) return -err;
    struct op *op = op_begin(rt, DEMI_OPC_SYNC, NULL, 0);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    err = is_log(path) ? start_log(rt, path, flags, mode, op, &q) : l->ops->open(l, path, flags, mode, op, &q);
    if (!err) assert_queue_made(rt, &rt->queues, q);
    if (!err) ASSERT(op->queue == q || op->state == OP_DONE);
    if (!err) *qd_out = q->qd;
    return started(rt, op, err, qt, qt_out);
}

int demi_async_close(demi_qtoken_t *qt_out, int qd)
{
    if (!qt_out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    struct op *op = op_begin(rt, DEMI_OPC_CLOSE, NULL, qd); /* of no queue: that is gone in a moment */
    if (!op) return ENOMEM;
    *qt_out = op_token(&rt->ops, op);
    queue_remove(q);
    if (q->ops->close_with) {
        q->ops->close_with(q, op);
    } else {
        q->ops->close(q);
        op_complete_plain(&rt->ops, op, 0);
    }
    return 0;
}

int demi_file_size(demi_qtoken_t *qt_out, int qd)
{
    if (!qt_out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->size) return EINVAL;
    struct op *op = op_begin(rt, DEMI_OPC_SYNC, q, qd);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    assert_op_given(q, op, DEMI_OPC_SYNC);
    return started(rt, op, q->ops->size(q, op), qt, qt_out);
}

int demi_creat(int *qd_out, const char *path, mode_t mode)
{
    return demi_open(qd_out, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int demi_lseek(int qd, off_t offset, int whence, off_t *offset_out)
{
    if (!offset_out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->seek) return ESPIPE;
    int64_t at;
    int err = q->ops->seek(q, offset, whence, &at);
    if (err) return turned(err);
    ASSERT(at >= 0);
    *offset_out = (off_t)at;
    return 0;
}

int demi_truncate(demi_qtoken_t *qt_out, int qd, off_t length)
{
    if (!qt_out || length < 0) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->truncate) return EINVAL;
    struct op *op = op_begin(rt, DEMI_OPC_SYNC, q, qd);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    assert_op_given(q, op, DEMI_OPC_SYNC);
    return started(rt, op, q->ops->truncate(q, op, length), qt, qt_out);
}

int demi_sync(demi_qtoken_t *qt_out, int qd, bool data_only)
{
    if (!qt_out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->sync) return EINVAL;
    struct op *op = op_begin(rt, DEMI_OPC_SYNC, q, qd);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    assert_op_given(q, op, DEMI_OPC_SYNC);
    return started(rt, op, q->ops->sync(q, op, data_only), qt, qt_out);
}

int demi_rename(demi_qtoken_t *qt_out, const char *from, const char *to)
{
    if (!qt_out || !from || !to) return EINVAL;
    HERE(rt);
    struct libos *l;
    int err = file_libos(rt, &l);
    if (err || !l->ops->rename) return err ? -err : ENOTSUP;
    struct op *op = op_begin(rt, DEMI_OPC_SYNC, NULL, 0);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    return started(rt, op, l->ops->rename(l, op, from, to), qt, qt_out);
}

int demi_unlink(demi_qtoken_t *qt_out, const char *path)
{
    if (!qt_out || !path) return EINVAL;
    HERE(rt);
    struct libos *l;
    int err = file_libos(rt, &l);
    if (err || !l->ops->unlink) return err ? -err : ENOTSUP;
    struct op *op = op_begin(rt, DEMI_OPC_SYNC, NULL, 0);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    return started(rt, op, l->ops->unlink(l, op, path), qt, qt_out);
}

int demi_mkdir(demi_qtoken_t *qt_out, const char *path, mode_t mode)
{
    if (!qt_out || !path) return EINVAL;
    HERE(rt);
    struct libos *l;
    int err = file_libos(rt, &l);
    if (err || !l->ops->mkdir) return err ? -err : ENOTSUP;
    struct op *op = op_begin(rt, DEMI_OPC_SYNC, NULL, 0);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    return started(rt, op, l->ops->mkdir(l, op, path, mode), qt, qt_out);
}
