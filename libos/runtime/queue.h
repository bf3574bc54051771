/* SPDX-License-Identifier: MIT
 *
 * Queues: what a descriptor names. The table is the runtime's, what a queue does is its libOS's:
 * several libOSes work side by side, and a queue may stand on another queue and hand on what it
 * does not change.
 *
 * A queue embeds struct queue as its first member. All ops return 0 or -errno; a NULL op is
 * -EOPNOTSUPP (demi/ says which errno a call gives then). Arguments that do not depend on the
 * queue's kind were checked by demi/.
 *
 * Starting operations: op is PENDING and carries the queue. On 0 the queue keeps it and ends it
 * later (or at once) with op_complete, op_complete_plain or op_fail; on -errno the caller drops it.
 * While it is pending op->next, prev, arg, ptr and flags are the queue's.
 */
#ifndef RUNTIME_QUEUE_H
#define RUNTIME_QUEUE_H

#include "libos/runtime/op.h"
#include "libos/runtime/seg.h"

#include <sys/socket.h>

struct runtime;
struct queue;

#define QUEUE_BASE 500 /* the first descriptor; Demikernel's too */
#define QUEUE_MAX  (1 << 20)

struct queue_ops {
    const char *name;
    int (*bind)(struct queue *q, const struct sockaddr *addr, socklen_t size);
    int (*listen)(struct queue *q, int backlog);
    int (*accept)(struct queue *q, struct op *op);
    int (*connect)(struct queue *q, struct op *op, const struct sockaddr *addr, socklen_t size);
    /* op NULL: nobody waits; a failure shows at the next pop. On 0 the queue has taken over what
     * the segs hold. addr: NULL, or where to (datagrams; a connected stream
     * sends it to its peer). flags: DEMI_PUSH_HANDED_OVER, _MORE. */
    int (*push)(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                socklen_t size, unsigned flags);
    /* Copies n bytes, 1 to SEG_COPY_MAX, and sends them as a push without an operation does; errno stays as
     * it was. May be missing: then push() gets a copy. */
    int (*push_copy)(struct queue *q, const void *p, uint32_t n);
    int (*pop)(struct queue *q, struct op *op);
    /* Ends op with ECANCELED. -EBUSY: its bytes have begun to leave. */
    int (*cancel)(struct queue *q, struct op *op);
    int (*shutdown)(struct queue *q, int how);
    /* Cancels what is outstanding, frees the queue's memory. The runtime has taken it off the table
     * already. */
    void (*close)(struct queue *q);
    /* The same, and op, which is not among those, ends when that is done for good, or with its error. May be missing:
     * then close() is all there is to it. */
    void (*close_with)(struct queue *q, struct op *op);
    int (*setsockopt)(struct queue *q, int level, int name, const void *val, socklen_t len);
    int (*getsockopt)(struct queue *q, int level, int name, void *val, socklen_t *len);
    int (*getpeername)(struct queue *q, struct sockaddr *addr, socklen_t *len);
    int (*getsockname)(struct queue *q, struct sockaddr *addr, socklen_t *len);
    size_t (*unsent)(struct queue *q);
    int (*fd)(struct queue *q);
    /* files */
    int (*seek)(struct queue *q, int64_t offset, int whence, int64_t *out);
    int (*truncate)(struct queue *q, struct op *op, int64_t length);
    int (*sync)(struct queue *q, struct op *op, int data_only);
    int (*size)(struct queue *q, struct op *op); /* op's ret is the length in bytes */
    /* For who stands on a file (libos/log): a push and a pop at a place of their own, which leave the cursor. The read
     * takes up to n bytes into the buffer, of which it has a reference of its own; op's value is that of a pop. In the
     * order of the other operations. flags: DEMI_PUSH_DURABLE. */
    int (*write_at)(struct queue *q, struct op *op, struct seg *segs, unsigned count, uint64_t offset, unsigned flags);
    int (*read_at)(struct queue *q, struct op *op, struct buf *into, uint32_t n, uint64_t offset);
};

struct queue {
    const struct queue_ops *ops;
    struct runtime *rt;
    int qd;
};

struct queue_table {
    struct queue **slots; /* a free slot holds the next free index, tagged with bit 0 */
    uint32_t room, used;
    uint32_t free; /* index + 1, 0: none */
    uint64_t open;
};

/* Gives q a descriptor (q->qd) and sets q->rt. -EMFILE, -ENOMEM. */
int queue_add(struct runtime *rt, struct queue *q, const struct queue_ops *ops);
/* Puts `by` in the place of q: the descriptor is the other's from now on, and q is behind none, though its q->qd stays
 * for the operations that `by` starts on it. */
void queue_replace(struct queue *q, struct queue *by, const struct queue_ops *ops);
/* Takes it off; its descriptor may come again. */
void queue_remove(struct queue *q);

static inline struct queue *queue_find(const struct queue_table *t, int qd)
{
    uint32_t i = (uint32_t)qd - QUEUE_BASE;
    if (unlikely(i >= t->used)) return NULL;
    struct queue *q = t->slots[i];
    if (unlikely((uintptr_t)q & 1)) return NULL;
    if (!q) __builtin_unreachable(); /* it is a queue, and nobody has to ask again */
    return q;
}

void queue_table_free(struct queue_table *t);

#endif
