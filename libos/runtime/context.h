/* SPDX-License-Identifier: MIT
 *
 * Stacks and the switch between them: a few instructions of assembly on x86-64 and aarch64,
 * ucontext elsewhere or with -DRUNTIME_UCONTEXT=1. Sanitizers are told of every switch. Knows
 * nothing of the runtime: the simulator uses it on its own.
 */
#ifndef RUNTIME_CONTEXT_H
#define RUNTIME_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct context;

/* A suspended stack that runs entry(arg) when first switched to. entry must not return: it ends
 * with context_exit(). stack_bytes is rounded up to pages; below it lies a guard page. NULL: no
 * memory. */
struct context *context_new(void (*entry)(void *arg), void *arg, size_t stack_bytes);

/* The caller's own stack, as something to switch back to. */
struct context *context_new_self(void);

/* Suspends from (which must be running) and goes on with to. Returns when somebody switches to from
 * again. */
void context_switch(struct context *from, struct context *to);
/* The same, and from never runs again. */
_Noreturn void context_exit(struct context *from, struct context *to);

/* Of a context that does not run. */
void context_free(struct context *c);

/* Sets a finished (or never started) context up to run another function on its stack. */
void context_reset(struct context *c, void (*entry)(void *arg), void *arg);
size_t context_stack_bytes(const struct context *c);

#endif
