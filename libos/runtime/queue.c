/* SPDX-License-Identifier: MIT
 *
 * The table of queues: dense, the descriptor freed last is given out next.
 */
#include "libos/runtime/queue.h"

#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>

/* A free slot holds the next free index + 1, shifted over its tag bit. Queues are aligned, so the
 * bit tells them apart. */
static struct queue *free_mark(uint32_t next) { return (struct queue *)((uintptr_t)next << 1 | 1); }

static int queues_grow(struct queue_table *t)
{
    uint32_t room = t->room ? t->room * 2 : 64;
    if (room > QUEUE_MAX) return -EMFILE;
    struct queue **slots = realloc(t->slots, room * sizeof(struct queue *));
    if (!slots) return -ENOMEM;
    t->slots = slots;
    t->room = room;
    return 0;
}

int queue_add(struct runtime *rt, struct queue *q, const struct queue_ops *ops)
{
    struct queue_table *t = &rt->queues;
    uint32_t i;
    ASSERT(ops->name && ops->close);
    ASSERT(!((uintptr_t)q & 1)); /* as free_mark() is told from it */
    if (t->free) {
        i = t->free - 1;
        t->free = (uint32_t)((uintptr_t)t->slots[i] >> 1);
    } else {
        if (t->used == t->room) {
            int err = queues_grow(t);
            if (err) return err;
        }
        i = t->used++;
    }
    t->slots[i] = q;
    t->open++;
    q->ops = ops;
    q->rt = rt;
    q->qd = QUEUE_BASE + (int)i;
    return 0;
}

void queue_replace(struct queue *q, struct queue *by, const struct queue_ops *ops)
{
    struct queue_table *t = &q->rt->queues;
    uint32_t i = (uint32_t)q->qd - QUEUE_BASE;
    ASSERT(ops->name && ops->close);
    ASSERT(i < t->used);
    ASSERT(t->slots[i] == q);
    *by = (struct queue){.ops = ops, .rt = q->rt, .qd = q->qd};
    t->slots[i] = by;
}

void queue_remove(struct queue *q)
{
    struct queue_table *t = &q->rt->queues;
    uint32_t i = (uint32_t)q->qd - QUEUE_BASE;
    ASSERT(i < t->used);
    ASSERT(t->slots[i] == q);
    t->slots[i] = free_mark(t->free);
    t->free = i + 1;
    t->open--;
}

void queue_table_free(struct queue_table *t)
{
    free(t->slots);
    *t = (struct queue_table){0};
}
