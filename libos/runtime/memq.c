/* SPDX-License-Identifier: MIT
 *
 * See memq.h. Nothing is copied: the popper gets the buffer that was pushed, or a view that lends
 * the pushed object. Only a push of several segments is put together, for API-24 knows arrays of
 * one.
 */
#include "libos/runtime/memq.h"

#include "alloc/buf.h"
#include "alloc/heap.h"
#include "libos/runtime/handover.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <string.h>

/* One array, and which part of its buffer it is. */
struct memq_item {
    struct buf *b;
    char *p;
    uint32_t n;
};

struct memq {
    struct queue q;
    struct memq *peer;       /* NULL: closed */
    bool ended;              /* nothing more will come */
    bool shut;               /* nothing more may be pushed here */
    struct memq_item *items; /* the inbox, a ring */
    uint32_t room, head, count;
    struct op_list pops;
    struct pipe_name *name; /* of the end that created it */
};

struct pipe_name {
    struct list link;    /* in runtime.pipes */
    struct memq *second; /* nobody has opened it yet: it has no descriptor. NULL: somebody has */
    char text[];
};

static void deliver(struct memq *m, struct op *op, struct memq_item it)
{
    memset(&op->value, 0, sizeof op->value);
    op->value.sga.sga_buf = it.b;
    op->value.sga.sga_numsegs = 1;
    op->value.sga.sga_segs[0].sgaseg_buf = it.p;
    op->value.sga.sga_segs[0].sgaseg_len = it.n;
    op_complete(&m->q.rt->ops, op);
}

static void deliver_end(struct memq *m, struct op *op)
{
    struct buf *b = buf_take(0);
    if (b) deliver(m, op, (struct memq_item){b, (char *)b->data, 0});
    else op_fail(&m->q.rt->ops, op, ENOMEM);
}

static int reserve(struct memq *m)
{
    if (m->count < m->room) return 0;
    if (m->count == MEMQ_WAITING_MAX) return -EBUSY;
    uint32_t room = m->room ? m->room * 2 : 8;
    struct memq_item *items = heap_alloc(room * sizeof *items);
    if (!items) return -ENOMEM;
    for (uint32_t i = 0; i < m->count; i++) items[i] = m->items[(m->head + i) & (m->room - 1)];
    heap_free(m->items);
    m->items = items;
    m->room = room;
    m->head = 0;
    return 0;
}

static int put_together(const struct seg *segs, unsigned count, struct memq_item *out)
{
    size_t n = 0;
    for (unsigned i = 0; i < count; i++) n += segs[i].n;
    struct buf *b = n > BUF_SIZE_MAX ? NULL : buf_take(n);
    if (!b) return -ENOMEM;
    for (unsigned i = 0; i < count; i++) memcpy(buf_put_back(b, segs[i].n), segs[i].p, segs[i].n);
    *out = (struct memq_item){b, (char *)b->data, (uint32_t)n};
    return 0;
}

/* The pushed segments as one array of its own reference. */
static int item_of(struct seg *segs, unsigned count, struct memq_item *out)
{
    if (count > 1) return put_together(segs, count, out);
    struct buf *b = segs->kind == SEG_BUF ? buf_ref(segs->hold) : seg_take_view(segs);
    if (!b) return -ENOMEM;
    *out = (struct memq_item){b, (char *)(uintptr_t)segs->p, segs->n};
    return 0;
}

static int memq_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                     socklen_t size, unsigned flags)
{
    struct memq *m = (struct memq *)q, *to = m->peer;
    assert_push_given(q, op, segs, count, flags);
    if (addr) return -ENOTSUP;
    if (!to || m->shut) return -EPIPE;
    struct memq_item it;
    int err = reserve(to);
    if (!err) err = item_of(segs, count, &it);
    if (err) return err;
    for (unsigned i = 0; i < count; i++) seg_release(&segs[i]);
    struct op *pop = op_list_shift(&to->pops);
    if (pop) deliver(to, pop, it);
    else to->items[(to->head + to->count++) & (to->room - 1)] = it;
    if (op) op_complete_plain(&q->rt->ops, op, 0);
    return 0;
}

static int memq_pop(struct queue *q, struct op *op)
{
    struct memq *m = (struct memq *)q;
    assert_op_given(q, op, DEMI_OPC_POP);
    if (m->count) {
        struct memq_item it = m->items[m->head++ & (m->room - 1)];
        m->count--;
        deliver(m, op, it);
    } else if (m->ended) {
        deliver_end(m, op);
    } else {
        op_list_append(&m->pops, op);
    }
    return 0;
}

static int memq_cancel(struct queue *q, struct op *op)
{
    op_list_remove(&((struct memq *)q)->pops, op);
    op_fail(&q->rt->ops, op, ECANCELED);
    return 0;
}

static void end(struct memq *m)
{
    m->ended = true;
    for (struct op *op; (op = op_list_shift(&m->pops));) deliver_end(m, op);
}

static int memq_shutdown(struct queue *q, int how)
{
    struct memq *m = (struct memq *)q;
    if (how != SHUT_RD) {
        m->shut = true;
        if (m->peer) end(m->peer);
    }
    if (how != SHUT_WR) end(m);
    return 0;
}

static size_t memq_unsent(struct queue *q) { return 0; }

static void forget_name(struct pipe_name *name)
{
    struct memq *second = name->second;
    list_remove(&name->link);
    heap_free(name);
    if (second) second->q.ops->close(&second->q);
}

static void memq_close(struct queue *q)
{
    struct memq *m = (struct memq *)q;
    if (m->name) forget_name(m->name);
    if (m->peer && m->peer != m) {
        m->peer->peer = NULL;
        end(m->peer);
    }
    op_fail_all(&q->rt->ops, &m->pops, ECANCELED);
    for (; m->count; m->count--) buf_unref(m->items[m->head++ & (m->room - 1)].b);
    heap_free(m->items);
    heap_free(m);
}

static const struct queue_ops memq_ops = {
    .name = "memory",
    .push = memq_push,
    .pop = memq_pop,
    .cancel = memq_cancel,
    .shutdown = memq_shutdown,
    .close = memq_close,
    .unsent = memq_unsent,
};

int memq_new(struct runtime *rt, struct queue **out)
{
    struct memq *m = heap_calloc(1, sizeof *m);
    if (!m) return -ENOMEM;
    int err = queue_add(rt, &m->q, &memq_ops);
    if (err) {
        heap_free(m);
        return err;
    }
    m->peer = m;
    *out = &m->q;
    return 0;
}

static struct pipe_name *find_name(struct runtime *rt, const char *name)
{
    list_for_each(it, &rt->pipes)
    {
        struct pipe_name *n = list_entry(it, struct pipe_name, link);
        if (!strcmp(n->text, name)) return n;
    }
    return NULL;
}

int memq_create_pipe(struct runtime *rt, const char *text, struct queue **out)
{
    if (find_name(rt, text)) return -EEXIST;
    size_t size = strlen(text) + 1;
    struct pipe_name *name = heap_alloc(sizeof *name + size);
    struct memq *second = heap_calloc(1, sizeof *second);
    int err = name && second ? memq_new(rt, out) : -ENOMEM;
    if (err) {
        heap_free(name);
        heap_free(second);
        return err;
    }
    struct memq *first = (struct memq *)*out;
    memcpy(name->text, text, size);
    name->second = second;
    list_push_back(&rt->pipes, &name->link);
    *second = (struct memq){.q = {.ops = &memq_ops, .rt = rt}, .peer = first};
    first->peer = second;
    first->name = name;
    return 0;
}

int memq_open_pipe(struct runtime *rt, const char *text, struct queue **out)
{
    struct pipe_name *name = find_name(rt, text);
    if (!name) return -ENOENT;
    if (!name->second) return -EBUSY;
    int err = queue_add(rt, &name->second->q, &memq_ops);
    if (err) return err;
    *out = &name->second->q;
    name->second = NULL;
    return 0;
}

int memq_new_pipe(struct runtime *rt, struct queue *out[2])
{
    struct queue *a, *b;
    int err = memq_new(rt, &a);
    if (err) return err;
    err = memq_new(rt, &b);
    if (err) {
        queue_remove(a);
        memq_close(a);
        return err;
    }
    ((struct memq *)a)->peer = (struct memq *)b;
    ((struct memq *)b)->peer = (struct memq *)a;
    out[0] = a;
    out[1] = b;
    return 0;
}
