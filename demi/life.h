/* SPDX-License-Identifier: MIT
 *
 * The runtimes of a process, and what becomes of them when it forks or a thread of it ends. Not installed.
 */
#ifndef DEMI_LIFE_H
#define DEMI_LIFE_H

struct runtime;

/* rt is the calling thread's from here on, until life_end(). -EAGAIN, -ENOMEM: the system has no room for what tells
 * of a thread's end. */
int life_begin(struct runtime *rt);
/* The end of this thread is no longer rt's. */
void life_leave(struct runtime *rt);
/* Takes rt from its thread and frees it: what was pushed leaves first. */
void life_end(struct runtime *rt);

#endif
