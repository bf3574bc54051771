/* SPDX-License-Identifier: MIT
 *
 * See filedev.h. A request is one operation on the file's queue, claimed by a waiter of ours. The file does them in the
 * order of posting, which nobody here counts on.
 *
 * Its cache is volatile: of a kernel's file it cannot be known that it is not, and a flush of one that is not costs
 * little.
 */
#include "libos/log/filedev.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "demi/ext.h"
#include "libos/log/format.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (2 * BLOCKDEV_BURST)

struct filedev_slot {
    struct op *op; /* NULL: free */
    uint64_t word;
    struct buf *buf; /* of a read */
    uint32_t n;
};

struct filedev {
    struct blockdev base;
    struct queue *file;
    struct op_waiter below;
    struct filedev_slot slots[SLOTS];
};

static void on_done(struct op_waiter *w)
{
    struct filedev *f = container_of(w, struct filedev, below);
    f->base.news(f->base.arg);
}

static int start_write(struct filedev *f, struct op *op, const struct blockdev_request *r)
{
    struct seg s = seg_of_buf(r->buf, r->buf->data, r->n);
    unsigned flags = r->flags & BLOCKDEV_DURABLE ? DEMI_PUSH_DURABLE : 0;
    int err = f->file->ops->write_at(f->file, op, &s, 1, r->at, flags);
    if (err) seg_release(&s);
    return err;
}

/* A view of its own: how much came is written into it. */
static int start_read(struct filedev *f, struct op *op, const struct blockdev_request *r)
{
    struct buf *view = buf_slice(r->buf, 0, r->n);
    if (!view) return -ENOMEM;
    int err = f->file->ops->read_at(f->file, op, view, r->n, r->at);
    buf_unref(view);
    return err;
}

static int start(struct filedev *f, struct op *op, const struct blockdev_request *r)
{
    switch (r->verb) {
    case BLOCKDEV_READ: return start_read(f, op, r);
    case BLOCKDEV_WRITE: return start_write(f, op, r);
    case BLOCKDEV_FLUSH: return f->file->ops->sync(f->file, op, true);
    default: return -EOPNOTSUPP;
    }
}

static demi_opcode_t opcode_of(unsigned verb)
{
    return verb == BLOCKDEV_READ ? DEMI_OPC_POP : verb == BLOCKDEV_WRITE ? DEMI_OPC_PUSH : DEMI_OPC_SYNC;
}

static bool post_one(struct filedev *f, const struct blockdev_request *r)
{
    struct op_table *ops = &f->file->rt->ops;
    unsigned i = 0;
    ASSERT(r->at % ALOG_BLOCK == 0 && r->n % ALOG_BLOCK == 0 && r->n <= f->base.caps.request_max);
    while (i < SLOTS && f->slots[i].op) i++;
    struct op *op = i < SLOTS ? op_new(ops, opcode_of(r->verb), f->file, f->file->qd) : NULL;
    if (!op) return false;
    op->data = (void *)(uintptr_t)i;
    int err = op_claim(ops, op, &f->below, 0);
    ASSERT(!err);
    f->slots[i] = (struct filedev_slot){.op = op, .word = r->word, .n = r->n};
    if (r->verb == BLOCKDEV_READ) f->slots[i].buf = r->buf;
    err = start(f, op, r);
    if (err) op_fail(ops, op, -err); /* as if it had been tried */
    return true;
}

static unsigned filedev_post(struct blockdev *d, const struct blockdev_request *in, unsigned n)
{
    unsigned taken = 0;
    while (taken < n && post_one((struct filedev *)d, &in[taken])) taken++;
    return taken;
}

static unsigned filedev_poll(struct blockdev *d, struct blockdev_completion *out, unsigned max)
{
    struct filedev *f = (struct filedev *)d;
    unsigned n = 0;
    for (struct op *op; n < max && (op = f->below.done.head); n++) {
        struct filedev_slot *slot = &f->slots[(uintptr_t)op->data];
        demi_qresult_t qr;
        op_take(&f->file->rt->ops, op, &qr);
        bool failed = qr.qr_opcode == DEMI_OPC_FAILED;
        if (slot->buf && !failed) {
            struct buf *view = qr.qr_value.sga.sga_buf;
            memset(slot->buf->data + view->len, 0, slot->n - view->len);
            buf_unref(view);
        }
        out[n] = (struct blockdev_completion){.word = slot->word, .err = failed ? (int32_t)qr.qr_ret : 0};
        slot->op = NULL;
    }
    return n;
}

static void filedev_close(struct blockdev *d)
{
    struct filedev *f = (struct filedev *)d;
    for (unsigned i = 0; i < SLOTS; i++)
        if (f->slots[i].op) op_unclaim(&f->file->rt->ops, f->slots[i].op, &f->below);
    free(f);
}

static const struct blockdev_ops filedev_ops = {.post = filedev_post, .poll = filedev_poll, .close = filedev_close};

int filedev_open(struct blockdev **out, struct queue *file, uint64_t size)
{
    ASSERT(file->ops->write_at && file->ops->read_at && file->ops->sync);
    struct filedev *f = calloc(1, sizeof *f);
    if (!f) return -ENOMEM;
    f->base.ops = &filedev_ops;
    f->base.caps = (struct blockdev_caps){.size = size,
                                          .block = ALOG_BLOCK,
                                          .request_max = FILEDEV_REQUEST_MAX,
                                          .volatile_cache = true,
                                          .durable_writes = true};
    f->file = file;
    f->below.wake = on_done;
    *out = &f->base;
    return 0;
}
