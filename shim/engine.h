/* SPDX-License-Identifier: MIT
 *
 * The library OS of the process, its lock, and how threads sleep.
 *
 * There is one runtime, and whichever thread calls turns it, under one lock: a program of one thread never waits for
 * it and never changes threads. README.md says why not a thread of its own.
 *
 * A thread that has to wait becomes the driver, if there is none: it sleeps on the runtime's event descriptor (or
 * polls, where the device can only be polled) without the lock. Others that wait sleep on a descriptor of their own,
 * which whoever brings what they wait for writes to. A driver that has what it wanted wakes one of them to drive on.
 */
#ifndef SHIM_ENGINE_H
#define SHIM_ENGINE_H

#include "shim/file.h"

#include <poll.h>
#include <signal.h>

#define SHIM_FOREVER UINT64_MAX

struct shim_sleeper {
    struct list link;
    int fd; /* an eventfd, -1 before the first sleep */
    bool woken, asleep;
};
/* A sleeper among those of a file or a set. */
struct shim_link {
    struct list link;
    struct shim_sleeper *sleeper;
};

/* The lock. False: this thread has it already (a handler of a signal): the call goes to the kernel. */
bool shim_lock(void);
void shim_unlock(void);
/* The file behind fd, locked; NULL, unlocked: the kernel's. */
struct shim_file *shim_enter(int fd);

/* Under the lock, all that follows. */

/* The runtime is there, or -errno. */
int shim_start(void);
bool shim_started(void);
bool shim_is_driven(void); /* a thread sleeps for it, or polls */
uint64_t shim_turns(void); /* how many there were */
/* Takes what there is, without waiting. */
void shim_turn(void);
/* What was pushed leaves now. */
void shim_flush(void);
/* f is to be looked at in each turn: it waits for room. */
void shim_watch_room(struct shim_file *f);
uint64_t shim_now_ns(void);

/* Something has happened to f. */
void shim_notify(struct shim_file *f, uint32_t events);
void shim_wake(struct shim_sleeper *s);

struct shim_sleeper *shim_sleeper(void); /* this thread's, not woken */
void shim_link_add(struct list *head, struct shim_link *l, struct shim_sleeper *s);

/* Sleeps until s is woken, one of kfds[0 … n) has events, deadline_ns has passed, or a signal was handled. kfds has
 * room for two more. The lock is given up meanwhile. 0: look again; -ETIMEDOUT, -EINTR. */
int shim_sleep(struct shim_sleeper *s, struct pollfd *kfds, unsigned n, uint64_t deadline_ns, const sigset_t *mask);
/* After the last sleep of a call: somebody else drives on. */
void shim_awake(struct shim_sleeper *s);
/* One sleep for f's sake alone: 0, -ETIMEDOUT, -EINTR. */
int shim_wait_file(struct shim_file *f, uint64_t deadline_ns);
/* Whether a call of this file goes on after a handler ran: no handler of the program wants to be told. */
bool shim_restarts(void);

#endif
