/* SPDX-License-Identifier: MIT
 *
 * What becomes of sockets in a forked child.
 *
 * The library forgets the parent's runtime, and the child starts one of its own when it needs it. What it inherited:
 *
 *     a socket that was not decided yet      goes on as it was
 *     on kernel sockets (posix)              is the kernel's from here on under its number: the shadow is that socket
 *     on any other library OS                is dead: reads and writes are ECONNRESET, and poll says so
 *     an epoll set                           is the kernel's half alone
 *
 * The lock is taken over fork(), so the child finds the table whole. The library's own handlers must find theirs free,
 * so ours come before: those that come first are registered last, after the library has started; until then a pair that
 * was registered with our constructor does the same.
 */
#include "shim/care.h"
#include "shim/engine.h"
#include "shim/log.h"
#include "shim/sock.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static int locked_by; /* 1: the first pair, 2: the second; under the lock */

static void fork_prepare(int who)
{
    if (locked_by) return;
    shim_engine_fork_prepare();
    locked_by = who;
}
static void fork_parent(int who)
{
    if (locked_by != who) return;
    locked_by = 0;
    shim_engine_fork_parent();
}

static void inherit(struct shim_file *f)
{
    if (f->kind == SHIM_NEW && f->qd < 0) return;
    bool dead = !f->set && !f->shadow_is_real;
    list_for_each_safe(it, &f->items) list_remove(it); /* the sets go, too */
    list_init(&f->links);
    list_init(&f->blocked_link);
    f->qd = -1;
    f->in_count = f->in_bytes = f->accepted_count = 0;
    f->popping = f->connecting = false;
    f->holds = f->ops = 0;
    f->ended = true;
    if (dead) f->kind = SHIM_DEAD;
    else shim_file_forget(f);
}

static void fork_child(int who)
{
    if (locked_by != who) return;
    locked_by = 0;
    shim_engine_fork_child();
    shim_fds_fork_child();
    shim_care_fork_child();
    list_for_each_safe(it, &shim_files) inherit(list_entry(it, struct shim_file, all));
    memset(shim_counters, 0, sizeof shim_counters);
}

static void first_prepare(void) { fork_prepare(1); }
static void first_parent(void) { fork_parent(1); }
static void first_child(void) { fork_child(1); }
static void second_prepare(void) { fork_prepare(2); }
static void second_parent(void) { fork_parent(2); }
static void second_child(void) { fork_child(2); }

__attribute__((constructor)) static void begin(void) { pthread_atfork(first_prepare, first_parent, first_child); }

void shim_fork_started(void)
{
    static bool registered;
    if (!registered) pthread_atfork(second_prepare, second_parent, second_child);
    registered = true;
}
