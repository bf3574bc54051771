/* SPDX-License-Identifier: MIT
 *
 * See context.h. A context is its saved stack pointer and, for the sanitizers, where its stack
 * lies.
 *
 *      map ->  | guard page | stack ...                      | colour | <- end of the map
 *                                                       ^ the first frame begins here, 16-aligned
 *
 * The colour is up to 4 KiB that differ from stack to stack. Without it the tops of all stacks
 * would lie in the same few sets of the first-level cache, and a round over 64 tasks would miss at
 * each switch (18.7 ns against 15.5 a task, Nov 2026).
 *
 * ASan must be told before a switch where the other stack lies and after it that the switch is
 * over; TSan has a fiber per context. The first entry on a new stack ends the switch that led to it
 * (task_begin()).
 */
#include "libos/runtime/context.h"

#include "alloc/base/assert.h"
#include "alloc/base/sanitize.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(RUNTIME_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define RUNTIME_UCONTEXT 1
#endif
#ifdef RUNTIME_UCONTEXT
#include <ucontext.h>
#endif

#if SANITIZE_ADDRESS
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if SANITIZE_THREAD
#include <sanitizer/tsan_interface.h>
#endif

struct context {
#ifdef RUNTIME_UCONTEXT
    ucontext_t uc;
#else
    void *sp;
#endif
    void *map; /* NULL: a thread's own stack */
    size_t map_bytes;
    const void *bottom; /* of the stack; of a thread's own known after its first switch */
    size_t stack_bytes;
    void (*entry)(void *arg);
    void *arg;
    struct context *came_from;
    void *fake_stack; /* ASan's */
    void *fiber;      /* TSan's */
};

static void leave(struct context *from, struct context *to, bool forever)
{
#if SANITIZE_ADDRESS
    to->came_from = from;
    __sanitizer_start_switch_fiber(forever ? NULL : &from->fake_stack, to->bottom, to->stack_bytes);
#endif
#if SANITIZE_THREAD
    from->fiber = __tsan_get_current_fiber(); /* of context_new_self(): made on another stack, perhaps */
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
    (void)from;
    (void)to;
    (void)forever;
}

static void arrive(struct context *here)
{
#if SANITIZE_ADDRESS
    struct context *from = here->came_from;
    __sanitizer_finish_switch_fiber(here->fake_stack, &from->bottom, &from->stack_bytes);
#endif
    (void)here;
}

static void task_begin(void *arg)
{
    struct context *c = arg;
    c->fake_stack = NULL;
    arrive(c);
    c->entry(c->arg);
    ASSERT(!"a context's entry must not return");
}

#ifdef RUNTIME_UCONTEXT

static void begin_halves(unsigned high, unsigned low) { task_begin((void *)((uintptr_t)high << 16 << 16 | low)); }

static void set_up(struct context *c)
{
    getcontext(&c->uc);
    c->uc.uc_stack.ss_sp = (void *)c->bottom;
    c->uc.uc_stack.ss_size = c->stack_bytes;
    c->uc.uc_link = NULL;
    uintptr_t p = (uintptr_t)c;
    makecontext(&c->uc, (void (*)(void))begin_halves, 2, (unsigned)(p >> 16 >> 16), (unsigned)p);
}

static void swap(struct context *from, struct context *to) { swapcontext(&from->uc, &to->uc); }

#else

void context_swap(void **save, void *load);
void context_begin(void);

static uintptr_t colour(const struct context *c) { return ((uintptr_t)c->map >> 12) * 0x9e3779b9u >> 7 & 31; }

static void set_up(struct context *c)
{
    uintptr_t top = ((uintptr_t)c->bottom + c->stack_bytes - colour(c) * 128) & ~(uintptr_t)15;
    void **frame;
#ifdef __x86_64__
    frame = (void **)(top - 16) - 7; /* r15 r14 r13 r12 rbx rbp, then where to go on; 16-aligned once popped */
    for (int i = 0; i < 7; i++) frame[i] = NULL;
    frame[2] = c;
    frame[3] = (void *)task_begin;
    frame[6] = (void *)context_begin;
#else
    frame = (void **)(top - 160);
    for (int i = 0; i < 20; i++) frame[i] = NULL;
    frame[0] = (void *)task_begin;
    frame[1] = c;
    frame[11] = (void *)context_begin;
#endif
    c->sp = frame;
}

static inline void swap(struct context *from, struct context *to) { context_swap(&from->sp, to->sp); }

#endif

struct context *context_new(void (*entry)(void *arg), void *arg, size_t stack_bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    stack_bytes = (stack_bytes + page - 1) & ~(page - 1);
    struct context *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->map_bytes = stack_bytes + page;
    c->map = mmap(NULL, c->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (c->map == MAP_FAILED) goto free_context;
    if (mprotect(c->map, page, PROT_NONE)) goto unmap;
    c->bottom = (char *)c->map + page;
    c->stack_bytes = stack_bytes;
    context_reset(c, entry, arg);
    return c;
unmap:
    munmap(c->map, c->map_bytes);
free_context:
    free(c);
    return NULL;
}

struct context *context_new_self(void)
{
    struct context *c = calloc(1, sizeof *c);
#if SANITIZE_THREAD
    if (c) c->fiber = __tsan_get_current_fiber();
#endif
    return c;
}

void context_reset(struct context *c, void (*entry)(void *arg), void *arg)
{
    c->entry = entry;
    c->arg = arg;
#if SANITIZE_ADDRESS
    __asan_unpoison_memory_region(c->bottom, c->stack_bytes); /* what the last function left poisoned */
#endif
#if SANITIZE_THREAD
    if (c->fiber) __tsan_destroy_fiber(c->fiber);
    c->fiber = __tsan_create_fiber(0);
#endif
    set_up(c);
}

void context_switch(struct context *from, struct context *to)
{
    leave(from, to, false);
    swap(from, to);
    arrive(from);
}

void context_exit(struct context *from, struct context *to)
{
    leave(from, to, true);
    swap(from, to);
    __builtin_unreachable();
}

void context_free(struct context *c)
{
    if (!c) return;
#if SANITIZE_THREAD
    if (c->map && c->fiber) __tsan_destroy_fiber(c->fiber);
#endif
    if (c->map) munmap(c->map, c->map_bytes);
    free(c);
}

size_t context_stack_bytes(const struct context *c) { return c->stack_bytes; }
