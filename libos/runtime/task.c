/* SPDX-License-Identifier: MIT
 *
 * See task.h. The loop switches to a task and a task back to the loop: never from task to task, so
 * there is always one place to return to. A task that ends cannot give back the stack it stands on;
 * the loop does, right after the switch.
 */
#include "libos/runtime/task.h"

#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdlib.h>

struct task {
    struct context *context;
    struct runtime *rt;
    int64_t (*fn)(void *arg);
    void *arg;
    struct op *op;
    struct op_inbox inbox;
    uint32_t slot;
};

/* An inbox's id: generation(15) | slot + 1(17). The generation counts the tasks of a slot, so an id comes again 32,768
 * spawns, or more, after its task has ended. An operation may pend for longer than that: each spawn looks at a part of
 * the operations and makes those of tasks that have ended the thread's, and has seen all of them in half the time. */
#define SLOT_BITS    17
#define DISOWN_ROUND (1u << (31 - SLOT_BITS)) /* spawns */
static_assert(TASK_MAX < 1u << SLOT_BITS, "a slot and no task at all");

struct op_inbox *task_inbox(struct task *t) { return &t->inbox; }

static struct op_inbox *find_inbox(struct op_table *ops, uint32_t id)
{
    struct tasks *ts = &container_of(ops, struct runtime, ops)->tasks;
    uint32_t slot = (id & ((1u << SLOT_BITS) - 1)) - 1;
    struct task *t = slot < ts->words * 64 ? ts->slots[slot] : NULL;
    return t && t->inbox.id == id ? &t->inbox : NULL;
}

int tasks_init(struct tasks *t)
{
    *t = (struct tasks){0};
    t->main = context_new_self();
    return t->main ? 0 : -ENOMEM;
}

static void task_free(struct task *t)
{
    context_free(t->context);
    free(t);
}

void tasks_free(struct tasks *t)
{
    for (uint32_t i = 0; i < t->words * 64; i++)
        if (t->slots[i]) task_free(t->slots[i]);
    while (t->pooled) task_free(t->pool[--t->pooled]);
    free(t->slots);
    free(t->ready);
    free(t->unused);
    free(t->uses);
    context_free(t->main);
    *t = (struct tasks){0};
}

static void task_main(void *arg)
{
    struct task *t = arg;
    struct runtime *rt = t->rt;
    int64_t ret = t->fn(t->arg);
    if (t->op) op_complete_plain(&rt->ops, t->op, ret);
    rt->tasks.ended = t;
    rt->tasks.running = NULL;
    context_exit(t->context, rt->tasks.main);
}

/* A place in the tables for twice as many tasks. -EAGAIN, -ENOMEM: nothing has changed. */
static int tasks_grow(struct tasks *t)
{
    uint32_t words = t->words ? t->words * 2 : 1;
    if (words * 64 > TASK_MAX) return -EAGAIN;
    struct task **slots = realloc(t->slots, words * 64 * sizeof *slots);
    if (!slots) return -ENOMEM;
    t->slots = slots;
    uint64_t *ready = realloc(t->ready, words * sizeof *ready);
    if (!ready) return -ENOMEM;
    t->ready = ready;
    uint32_t *unused = realloc(t->unused, words * 64 * sizeof *unused);
    if (!unused) return -ENOMEM;
    t->unused = unused;
    uint32_t *uses = realloc(t->uses, words * 64 * sizeof *uses);
    if (!uses) return -ENOMEM;
    t->uses = uses;
    for (uint32_t i = t->words; i < words; i++) ready[i] = 0;
    for (uint32_t i = words * 64; i-- > t->words * 64;) {
        slots[i] = NULL;
        uses[i] = 0;
        unused[t->unused_count++] = i;
    }
    t->words = words;
    return 0;
}

/* A task with a stack, from the pool if the default size is enough. */
static struct task *task_get(struct tasks *ts, size_t stack_bytes)
{
    if (stack_bytes <= TASK_STACK_DEFAULT && ts->pooled) {
        struct task *t = ts->pool[--ts->pooled];
        context_reset(t->context, task_main, t);
        return t;
    }
    if (stack_bytes < TASK_STACK_DEFAULT) stack_bytes = TASK_STACK_DEFAULT;
    struct task *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->context = context_new(task_main, t, stack_bytes);
    if (t->context) return t;
    free(t);
    return NULL;
}

static void task_put(struct tasks *ts, struct task *t)
{
    if (ts->pooled < TASK_POOL && context_stack_bytes(t->context) == TASK_STACK_DEFAULT) ts->pool[ts->pooled++] = t;
    else task_free(t);
}

int task_spawn(struct runtime *rt, int64_t (*fn)(void *arg), void *arg, size_t stack_bytes, struct op *op)
{
    struct tasks *ts = &rt->tasks;
    if (stack_bytes > TASK_STACK_MAX) return -EINVAL;
    int err = ts->unused_count ? 0 : tasks_grow(ts);
    if (err) return err;
    struct task *t = task_get(ts, stack_bytes);
    if (!t) return -ENOMEM;
    uint32_t slot = ts->unused[--ts->unused_count];
    t->rt = rt;
    t->fn = fn;
    t->arg = arg;
    t->op = op;
    t->slot = slot;
    ts->slots[slot] = t;
    ts->live++;
    ts->spawned++;
    t->inbox = (struct op_inbox){.id = ts->uses[slot]++ << SLOT_BITS | (slot + 1)};
    rt->ops.inbox_of = find_inbox;
    op_table_disown(&rt->ops, DISOWN_ROUND);
    task_wake(rt, t);
    return 0;
}

void task_wake(struct runtime *rt, struct task *t)
{
    uint64_t bit = 1ull << (t->slot & 63), *word = &rt->tasks.ready[t->slot >> 6];
    rt->tasks.ready_count += !(*word & bit);
    *word |= bit;
}

void task_suspend(struct runtime *rt)
{
    struct task *t = rt->tasks.running;
    ASSERT(t);
    rt->tasks.running = NULL;
    context_switch(t->context, rt->tasks.main);
}

void task_yield(struct runtime *rt)
{
    struct tasks *ts = &rt->tasks;
    struct task *t = ts->running;
    ASSERT(t);
    struct context *from = t->context, *to = ts->main;
    ts->running = NULL;
    task_wake(rt, t);
    context_switch(from, to);
}

/* t has ended: the loop stands on its own stack again. */
__attribute__((noinline)) static void bury(struct tasks *ts, struct task *t)
{
    ts->ended = NULL;
    ts->slots[t->slot] = NULL;
    DASSERT(ts->unused_count < ts->words * 64);
    ts->unused[ts->unused_count++] = t->slot;
    ts->live--;
    op_inbox_end(&t->rt->ops, &t->inbox);
    task_put(ts, t);
}

/* The tasks of one word of slots. Who comes next is looked up before the switch: what it is found
 * by would have to be loaded one after the other right after it, when the registers have just
 * been. (A task neither moves nor ends before it has run.) */
static unsigned run_word(struct tasks *ts, uint64_t bits, uint32_t word)
{
    struct context *self = ts->main;
    struct task *t = ts->slots[word * 64 + (unsigned)__builtin_ctzll(bits)];
    struct context *c = t->context;
    unsigned ran = 0;
    for (;;) {
        struct task *now = t;
        struct context *to = c;
        bits &= bits - 1;
        if (bits) {
            t = ts->slots[word * 64 + (unsigned)__builtin_ctzll(bits)];
            c = t->context;
        }
        ts->running = now;
        ran++;
        context_switch(self, to);
        if (unlikely(ts->ended)) bury(ts, ts->ended);
        if (!bits) return ran;
    }
}

unsigned tasks_run(struct runtime *rt)
{
    struct tasks *ts = &rt->tasks;
    if (!ts->ready_count) return 0;
    unsigned ran = 0;
    for (uint32_t w = 0; w < ts->words; w++) {
        uint64_t bits = ts->ready[w];
        if (!bits) continue;
        ts->ready[w] = 0;
        ts->ready_count -= (uint32_t)__builtin_popcountll(bits);
        ran += run_word(ts, bits, w);
    }
    ts->switches += ran;
    return ran;
}
