/* SPDX-License-Identifier: MIT
 *
 * Operations and their tokens. One slot of 128 bytes holds an operation from the call that starts
 * it to the wait that takes its result; slots come from chunks that are never moved, so nothing is
 * allocated per operation.
 *
 *      FREE --op_new--> PENDING --op_complete--> DONE --op_take--> TAKEN --op_recycle--> FREE
 *                                                 |
 *                              on the ready list, or on that of the waiter that claimed it
 *
 * A token is generation(32) | owner(8) | index(24). The owner is 2 to 254, one per runtime, so that
 * 0, -1 and 0x0101010101010101 are nobody's, and so that a token of another thread is refused. A
 * slot's generation steps when its result is taken: a token that was waited for is stale from then
 * on.
 *
 * TAKEN slots are reused only after the next wait begins: until then their user word can be read
 * (demi_result_data).
 */
#ifndef RUNTIME_OP_H
#define RUNTIME_OP_H

#include "alloc/base/assert.h"
#include "demi/types.h"
#include "alloc/base/wheel.h"
#include "libos/runtime/arrays.h"

#include <stdbool.h>
#include <string.h>

struct queue;
struct op_waiter;

enum op_state { OP_FREE, OP_PENDING, OP_DONE, OP_TAKEN };

struct op {
    uint32_t generation;
    uint8_t state;  /* enum op_state */
    uint8_t opcode; /* what it does; the result's opcode when it succeeds */
    uint8_t failed; /* the result is DEMI_OPC_FAILED with ret */
    uint8_t flags;  /* for the queue */
    uint32_t index;
    int32_t qd;
    struct op *next, *prev;   /* in one list: free, the queue's, ready, the waiter's, taken */
    struct queue *queue;      /* while pending: who works on it; NULL: the runtime itself */
    void *data;               /* the user's word */
    struct op_waiter *waiter; /* who claimed it */
    uint32_t offset;          /* where in the waiter's array */
    uint32_t owner;           /* op_inbox.id of the task that started it; 0: the thread's own stack */

    int64_t ret;
    union {
        demi_sgarray_t sga;
        demi_accept_result_t ares;
        demi_accept_result6_t ares6;
        struct timer timer; /* of a timer operation, while it is pending */
    } value;
    uint64_t arg; /* these two are the queue's while the operation is pending */
    void *ptr;
};
static_assert(sizeof(struct op) == 128, "two cache lines");

struct op_list {
    struct op *head, *tail;
};

/* Who sleeps until operations it claimed complete: the thread's own stack (wake is NULL, it looks
 * by itself) or a task. */
struct op_waiter {
    struct op_list done;
    void (*wake)(struct op_waiter *w);
    struct op_waiter *next; /* among those that wait for anything at all */
};

/* What a task started and has not claimed is kept for it here when it completes: nobody else's wait for anything sees
 * it. When the task has ended, what is left is the thread's. */
struct op_inbox {
    struct op_list ready;
    uint32_t ready_count;
    uint32_t id;               /* never 0, and not that of a task that has lately ended */
    struct op_waiter *waiting; /* the task, while it waits for anything at all */
};

#define OP_CHUNK_BITS 10
#define OP_CHUNK      (1u << OP_CHUNK_BITS)
#define OP_INDEX_BITS 24
#define OP_MAX        (1u << OP_INDEX_BITS)

struct op_table {
    struct op **chunks;
    uint32_t chunk_count, chunk_room;
    uint32_t owner; /* already shifted into its place in the token */
    uint32_t first; /* generation of a fresh slot: that of two threads whose owners are equal by chance differs */
    uint32_t ready_count;
    uint32_t disowned; /* up to where op_table_disown() has come */
    struct op *free;
    struct op_list ready;
    struct op_list taken;
    struct op_waiter *anything; /* tasks that wait for whatever comes first */
    /* The inbox of a task that lives, or NULL. */
    struct op_inbox *(*inbox_of)(struct op_table *t, uint32_t id);
    struct arrays arrays; /* what results gave the program to hold */
    uint64_t outstanding; /* PENDING or DONE */
    uint64_t started, completed, failed, refused;
};

/* id: any number that differs between the threads of a process. */
int op_table_init(struct op_table *t, uint32_t id);
void op_table_free(struct op_table *t);
bool op_table_grow(struct op_table *t);
void op_table_check(const struct op_table *t);

static inline void op_list_append(struct op_list *l, struct op *op)
{
    op->next = NULL;
    op->prev = l->tail;
    if (l->tail) l->tail->next = op;
    else l->head = op;
    l->tail = op;
}

static inline void op_list_remove(struct op_list *l, struct op *op)
{
    if (op->prev) op->prev->next = op->next;
    else l->head = op->next;
    if (op->next) op->next->prev = op->prev;
    else l->tail = op->prev;
}

static inline struct op *op_list_shift(struct op_list *l)
{
    struct op *op = l->head;
    if (op) op_list_remove(l, op);
    return op;
}

/* Its first, which is op, goes. */
static inline void op_list_behead(struct op_list *l, const struct op *op)
{
    struct op *next = op->next;
    DASSERT(l->head == op);
    l->head = next;
    if (unlikely(next != NULL)) next->prev = NULL;
    else l->tail = NULL;
}

static inline demi_qtoken_t op_token(const struct op_table *t, const struct op *op)
{
    return (uint64_t)op->generation << 32 | t->owner | op->index;
}

static inline struct op *op_at(const struct op_table *t, uint32_t index)
{
    return &t->chunks[index >> OP_CHUNK_BITS][index & (OP_CHUNK - 1)];
}

/* NULL: no memory, or OP_MAX are outstanding. queue may be NULL (timers, tasks, wake-ups). */
static inline struct op *op_new(struct op_table *t, demi_opcode_t opcode, struct queue *queue, int qd)
{
    if (unlikely(!t->free) && !op_table_grow(t)) return NULL;
    struct op *op = t->free;
    t->free = op->next;
    DASSERT(op->state == OP_FREE || op->state == OP_TAKEN);
    op->state = OP_PENDING;
    op->opcode = (uint8_t)opcode;
    op->failed = 0;
    op->flags = 0;
    op->qd = qd;
    op->next = op->prev = NULL;
    op->queue = queue;
    op->data = NULL;
    op->waiter = NULL;
    op->owner = 0;
    op->ret = 0;
    t->outstanding++;
    t->started++;
    return op;
}

/* Gives back an operation whose start failed: its token was never shown. */
static inline void op_drop(struct op_table *t, struct op *op)
{
    DASSERT(op->state == OP_PENDING);
    op->state = OP_FREE;
    op->generation++;
    op->next = t->free;
    t->free = op;
    t->outstanding--;
    t->started--;
}

/* The operation behind a token, PENDING or DONE; NULL: stale, foreign or never given out. */
static inline struct op *op_find(const struct op_table *t, demi_qtoken_t qt)
{
    uint32_t low = (uint32_t)qt, index = low & (OP_MAX - 1);
    if (unlikely((low & ~(OP_MAX - 1)) != t->owner || index >= t->chunk_count << OP_CHUNK_BITS)) return NULL;
    struct op *op = op_at(t, index);
    if (unlikely(op->generation != (uint32_t)(qt >> 32))) return NULL;
    return op->state == OP_PENDING || op->state == OP_DONE ? op : NULL;
}

void op_wake_waiter(struct op_table *t, struct op *op);

/* The operation is over; the caller has taken it off its own list and filled op->value (zeroed by
 * op_complete_plain). */
static inline void op_complete(struct op_table *t, struct op *op)
{
    DASSERT(op->state == OP_PENDING);
    op->state = OP_DONE;
    op->queue = NULL;
    t->completed++;
    if (unlikely(op->waiter || op->owner || t->anything)) {
        op_wake_waiter(t, op);
        return;
    }
    op_list_append(&t->ready, op);
    t->ready_count++;
}

/* Push, connect, timer…: nothing but ret. */
static inline void op_complete_plain(struct op_table *t, struct op *op, int64_t ret)
{
    memset(&op->value, 0, sizeof op->value);
    op->ret = ret;
    op_complete(t, op);
}

/* err: a positive errno. */
static inline void op_fail(struct op_table *t, struct op *op, int err)
{
    DASSERT(err > 0);
    memset(&op->value, 0, sizeof op->value);
    op->failed = 1;
    op->ret = err;
    t->failed++;
    op_complete(t, op);
}

/* Fails every operation on a queue's list. */
void op_fail_all(struct op_table *t, struct op_list *l, int err);

/* For tests; the loop takes results in batches. Takes a DONE operation's result: op leaves whatever list it is on, its
 * token is stale from here on. A pop's sga_buf is its struct buf. */
void op_take(struct op_table *t, struct op *op, demi_qresult_t *out);
/* The same for the program: the buffer of a pop becomes an array that it holds; where there is no memory for that, the
 * result is ENOMEM. */
void op_deliver(struct op_table *t, struct op *op, demi_qresult_t *out);

/* A new wait begins: what the last one took may be used again. */
static inline void op_recycle(struct op_table *t)
{
    struct op *tail = t->taken.tail;
    if (!tail) return;
    tail->next = t->free; /* states stay TAKEN; op_find refuses those as it does FREE ones */
    t->free = t->taken.head;
    t->taken.head = t->taken.tail = NULL;
}

/* The task has ended: what its inbox holds goes to the ready list. */
void op_inbox_end(struct op_table *t, struct op_inbox *in);
/* What tasks that have ended started, and is not over, becomes the thread's: looks at a part of the table, and at all
 * of it in `round` calls. */
void op_table_disown(struct op_table *t, uint32_t round);

/* A waiter claims an operation: it will not be on the ready list. -EBUSY: another one has. */
int op_claim(struct op_table *t, struct op *op, struct op_waiter *w, uint32_t offset);
/* The opposite; an operation that has completed meanwhile goes to the ready list. */
void op_unclaim(struct op_table *t, struct op *op, struct op_waiter *w);

/* The user's word. op_taken_data: of a result of the last wait; NULL once its slot is used
 * again. */
static inline void *op_taken_data(const struct op_table *t, demi_qtoken_t qt)
{
    uint32_t low = (uint32_t)qt, index = low & (OP_MAX - 1);
    if ((low & ~(OP_MAX - 1)) != t->owner || index >= t->chunk_count << OP_CHUNK_BITS) return NULL;
    const struct op *op = op_at(t, index);
    return op->state == OP_TAKEN && op->generation == (uint32_t)(qt >> 32) + 1 ? op->data : NULL;
}

#endif
