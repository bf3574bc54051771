/* SPDX-License-Identifier: MIT
 *
 * Push and pop, and the arrays they carry.
 *
 * An array's sga_buf is the handle of a struct buf (libos/runtime/arrays.h). A caller may move sgaseg_buf forward and
 * shorten sgaseg_len before a push; a segment that reaches outside of its buffer is refused. A push takes a reference
 * (or a pin), so the caller may free at once.
 */
#include "demi/here.h"

#include "alloc/buf.h"
#include "alloc/extmem.h"

#include <limits.h>

#define SGA_SIZE_MAX 65535u

/* An array over all of b (NULL: none), which it takes over. */
static demi_sgarray_t sga_over(struct runtime *rt, struct buf *b)
{
    demi_sgarray_t sga = {0};
    if (!b) return sga;
    void *handle = arrays_give(&rt->ops.arrays, b);
    if (!handle) {
        buf_unref(b);
        return sga;
    }
    sga.sga_buf = handle;
    sga.sga_numsegs = 1;
    sga.sga_segs[0].sgaseg_buf = b->data;
    sga.sga_segs[0].sgaseg_len = b->len;
    return sga;
}

static demi_sgarray_t sga_of(struct runtime *rt, size_t size)
{
    KEEP_ERRNO();
    struct buf *b = buf_take(size);
    if (b) buf_put_back(b, size);
    return sga_over(rt, b);
}

demi_sgarray_t demi_sgaalloc(size_t size)
{
    struct runtime *rt = runtime_current();
    if (!rt || size == 0 || size > SGA_SIZE_MAX) return (demi_sgarray_t){0};
    return sga_of(rt, size);
}

demi_sgarray_t demi_sgaalloc_large(size_t size)
{
    struct runtime *rt = runtime_current();
    if (!rt || size == 0 || size > BUF_SIZE_MAX) return (demi_sgarray_t){0};
    return sga_of(rt, size);
}

demi_sgarray_t demi_sgawrap(void *p, size_t size)
{
    struct runtime *rt = runtime_current();
    struct extmem *m = rt && p && size && size <= BUF_SIZE_MAX ? extmem_hold(p, size) : NULL;
    if (!m) return (demi_sgarray_t){0};
    KEEP_ERRNO();
    struct buf *b = buf_wrap(p, size, extmem_release, m);
    if (!b) extmem_release(m);
    return sga_over(rt, b);
}

int demi_sgafree(demi_sgarray_t *sga)
{
    if (!sga || !sga->sga_buf || sga->sga_numsegs != 1) return EINVAL;
    struct runtime *rt = runtime_current();
    if (!rt) return ENOSYS;
    struct buf *b = arrays_take(&rt->ops.arrays, sga->sga_buf);
    if (!b) return EINVAL;
    buf_unref(b);
    *sga = (demi_sgarray_t){0};
    return 0;
}

/* The segment an array stands for, referenced. */
static int seg_of_sga(struct runtime *rt, struct seg *s, const demi_sgarray_t *sga)
{
    struct buf *b = sga->sga_numsegs == 1 ? arrays_find(&rt->ops.arrays, sga->sga_buf) : NULL;
    if (!b) return -EINVAL;
    void *p = sga->sga_segs[0].sgaseg_buf;
    uint32_t n = sga->sga_segs[0].sgaseg_len;
    if (n == 0 || !buf_contains(b, p, n)) return -EINVAL;
    *s = seg_of_buf(b, p, n);
    return 0;
}

static void release(struct seg *segs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) seg_release(&segs[i]);
}

/* segs are held; whatever happens they are the queue's or released. */
static int push(struct runtime *rt, struct queue *q, struct seg *segs, unsigned count, const struct sockaddr *addr,
                socklen_t size, unsigned flags, demi_qtoken_t *qt_out)
{
    struct op *op = NULL;
    demi_qtoken_t qt = 0;
    if (!(flags & DEMI_PUSH_NO_TOKEN)) {
        op = op_begin(rt, DEMI_OPC_PUSH, q, q->qd);
        if (!op) {
            release(segs, count);
            return ENOMEM;
        }
        qt = op_token(&rt->ops, op);
    }
    assert_push_given(q, op, segs, count, flags);
    int err = q->ops->push(q, op, segs, count, addr, size, flags);
    if (unlikely(err)) {
        release(segs, count);
        if (op) op_drop(&rt->ops, op);
        return turned(err);
    }
    DASSERT(!op || op_find(&rt->ops, qt) == op);
    *qt_out = qt;
    return 0;
}

int demi_push(demi_qtoken_t *qt_out, int qd, const demi_sgarray_t *sga)
{
    if (!qt_out || !sga) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->push) return ENOTSUP;
    struct seg s;
    int err = seg_of_sga(rt, &s, sga);
    return err ? -err : push(rt, q, &s, 1, NULL, 0, 0, qt_out);
}

int demi_pushto(demi_qtoken_t *qt_out, int qd, const demi_sgarray_t *sga, const struct sockaddr *addr, socklen_t size)
{
    if (!qt_out || !sga || !addr || size < sizeof addr->sa_family) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->push) return ENOTSUP;
    struct seg s;
    int err = seg_of_sga(rt, &s, sga);
    return err ? -err : push(rt, q, &s, 1, addr, size, 0, qt_out);
}

/* Holds iov's pieces in segs, leaving out empty ones. Returns how many, or -errno with none
 * held. */
static int hold(struct seg *segs, const struct iovec *iov, int iovcnt)
{
    int n = 0;
    for (int i = 0; i < iovcnt; i++) {
        if (iov[i].iov_len == 0) continue;
        int err = !iov[i].iov_base || iov[i].iov_len > INT_MAX
                      ? -EINVAL
                      : seg_of_memory(&segs[n], iov[i].iov_base, (uint32_t)iov[i].iov_len);
        if (err) {
            release(segs, (unsigned)n);
            return err;
        }
        n++;
    }
    return n ? n : -EINVAL;
}

__attribute__((noinline)) static int push_pieces(struct runtime *rt, struct queue *q, const struct iovec *iov,
                                                 int iovcnt, unsigned flags, demi_qtoken_t *qt_out)
{
    KEEP_ERRNO();
    if (!q->ops->push) return ENOTSUP;
    struct seg segs[DEMI_PUSHV_MAX];
    int n = hold(segs, iov, iovcnt);
    return n < 0 ? -n : push(rt, q, segs, (unsigned)n, NULL, 0, flags, qt_out);
}

/* What is not one short piece without a token. */
__attribute__((noinline)) static int push_other(demi_qtoken_t *qt_out, int qd, const struct iovec *iov, int iovcnt,
                                                unsigned flags)
{
    if (!qt_out || !iov || iovcnt < 1 || iovcnt > DEMI_PUSHV_MAX) return EINVAL;
    if (flags & ~DEMI_PUSH_FLAGS) return EINVAL;
    struct runtime *rt = runtime_current();
    if (unlikely(!rt)) return ENOSYS;
    QUEUE(q, rt, qd);
    if (unlikely(flags & DEMI_PUSH_DURABLE) && !q->ops->sync) return ENOTSUP;
    return push_pieces(rt, q, iov, iovcnt, flags, qt_out);
}

/* Most replies of a server are one short piece, which the queue copies. */
int demi_pushv(demi_qtoken_t *qt_out, int qd, const struct iovec *iov, int iovcnt, unsigned flags)
{
    if (unlikely(iovcnt != 1 || (flags & ~DEMI_PUSH_HANDED_OVER) != DEMI_PUSH_NO_TOKEN) || unlikely(!iov))
        return push_other(qt_out, qd, iov, iovcnt, flags);
    const void *p = iov->iov_base;
    const size_t n = iov->iov_len;
    struct runtime *rt = runtime_current();
    if (unlikely(!p) || unlikely(n - 1 >= SEG_COPY_MAX) || unlikely(!rt)) return push_other(qt_out, qd, iov, 1, flags);
    QUEUE(q, rt, qd);
    int (*push_copy)(struct queue * q, const void *p, uint32_t n) = q->ops->push_copy;
    if (unlikely(!qt_out) || unlikely(!push_copy)) return push_other(qt_out, qd, iov, 1, flags);
    *qt_out = 0;
    assert_copy_given(p, (uint32_t)n);
    int err = push_copy(q, p, (uint32_t)n);
    DASSERT(is_result(err));
    return -err;
}

int demi_pop(demi_qtoken_t *qt_out, int qd)
{
    if (!qt_out) return EINVAL;
    HERE(rt);
    QUEUE(q, rt, qd);
    if (!q->ops->pop) return ENOTSUP;
    struct op *op = op_begin(rt, DEMI_OPC_POP, q, qd);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    assert_op_given(q, op, DEMI_OPC_POP);
    return started(rt, op, q->ops->pop(q, op), qt, qt_out);
}

int demi_unsent(int qd, size_t *bytes_out)
{
    if (!bytes_out) return EINVAL;
    struct runtime *rt = runtime_current();
    if (unlikely(!rt)) return ENOSYS;
    QUEUE(q, rt, qd);
    *bytes_out = q->ops->unsent ? q->ops->unsent(q) : 0;
    return 0;
}
