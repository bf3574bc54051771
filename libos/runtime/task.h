/* SPDX-License-Identifier: MIT
 *
 * Tasks: coroutines of a runtime. A task runs until it waits; readiness is a bit, found with ctz,
 * so a blocked one costs nothing. Tasks run in order of their slot, each at most once a round: none
 * starves another.
 */
#ifndef RUNTIME_TASK_H
#define RUNTIME_TASK_H

#include "libos/runtime/context.h"

#include <stdint.h>

struct op;
struct op_inbox;
struct runtime;
struct task;

#define TASK_MAX           65536
#define TASK_STACK_DEFAULT (64u * 1024)
#define TASK_STACK_MAX     (64u * 1024 * 1024)
#define TASK_POOL          64 /* stacks of the default size kept for the next task */

struct tasks {
    struct context *main; /* the thread's own stack */
    struct task *running; /* NULL: the thread's own stack */
    struct task **slots;
    uint64_t *ready;                /* one bit a slot */
    uint32_t *unused, unused_count; /* slots nobody has, the last given back on top */
    uint32_t *uses;                 /* tasks a slot has had */
    uint32_t words;                 /* of 64 slots */
    uint32_t ready_count;
    uint32_t live;
    struct task *pool[TASK_POOL];
    uint32_t pooled;
    struct task *ended; /* its stack may be left now */
    uint64_t spawned, switches;
};

/* Runs fn(arg) from the next turn on. fn's result becomes op's ret (op may be NULL). -EAGAIN:
 * TASK_MAX live. -ENOMEM. */
int task_spawn(struct runtime *rt, int64_t (*fn)(void *arg), void *arg, size_t stack_bytes, struct op *op);

/* Where what the task started waits for it. */
struct op_inbox *task_inbox(struct task *t);

/* Inside of a task: back to the loop until task_wake(). */
void task_suspend(struct runtime *rt);
/* Inside of a task: lets the others run, then goes on. */
void task_yield(struct runtime *rt);
/* Sets its bit. */
void task_wake(struct runtime *rt, struct task *t);

/* Runs every task that was ready when the call began, once. Returns how many. Only on the thread's
 * own stack. */
unsigned tasks_run(struct runtime *rt);

int tasks_init(struct tasks *t);
/* Tasks that have not ended are dropped where they stand; their stacks are freed. */
void tasks_free(struct tasks *t);

#endif
