/* SPDX-License-Identifier: MIT
 *
 * The runtime: one thread's library OS. It owns the tables of tokens and queues, the timers, the
 * tasks, the wake-ups, and the loop that turns them.
 *
 * One thread, one runtime, nothing shared. The thread's runtime is found through one thread-local
 * pointer, the only mutable global there is; the simulator has several in one thread and changes
 * the pointer with runtime_enter().
 *
 * A turn: what came in (descriptors, polled devices, rings of wake-ups), timers, runnable tasks,
 * what goes out. The clock is read once a turn. Only the thread's own stack turns the loop, from
 * inside of a wait; a task that waits switches back to it.
 */
#ifndef RUNTIME_RUNTIME_H
#define RUNTIME_RUNTIME_H

#include "libos/runtime/counters.h"
#include "libos/runtime/libos.h"
#include "libos/runtime/op.h"
#include "libos/runtime/queue.h"
#include "libos/runtime/task.h"
#include "libos/runtime/wake.h"
#include "alloc/base/list.h"
#include "alloc/base/wheel.h"

#include <stdatomic.h>

/* Who may be in one thread at the same time. */
#define RUNTIME_LIBOS_MAX                                                                                              \
    (4   /* those that were asked for */                                                                               \
     + 2 /* kernel sockets and shared memory beside them (demi/sockets.c) */                                           \
     + 1 /* files (libos/disk) */                                                                                      \
     + 1 /* logs on them (libos/log) */                                                                                \
     + 1 /* controllers of NVMe (libos/nvme) */                                                                        \
     + 2 /* event descriptor, and descriptors of others (libos/embed) */                                               \
     + 1 /* TLS (libos/tls) */                                                                                         \
     + 3 /* in the simulator, in tests: made by hand */)

/* Where time comes from. The simulator has its own. */
struct runtime_ops {
    uint64_t (*now_ns)(void *arg);
    /* Nothing can be done before deadline_ns (UINT64_MAX: before something comes in): called
     * instead of spinning and sleeping, on the stack of whoever waits. 0: look again; -errno:
     * the wait ends with it. NULL: spin, then sleep. */
    int (*idle)(void *arg, uint64_t deadline_ns);
    /* Microseconds since 1970. NULL: the machine's. */
    int64_t (*wall_us)(void *arg);
    void *arg;
};

/* A kernel descriptor and who is called when something happens to it (EPOLLIN…). */
struct fd_watch {
    void (*fn)(struct fd_watch *w, uint32_t events);
    int fd;
};

struct spin {
    uint64_t limit_ns; /* at most this long; 0: never */
    uint32_t history
        [2]; /* one bit a wait, the latest in bit 0: would spinning have paid? [1]: of waits with work elsewhere */
};

struct runtime {
    struct list link; /* among the process's (demi/life.c) */
    struct op_table ops;
    struct queue_table queues;
    uint64_t now;    /* as it was read last, at the start of this turn at the latest: runtime_now(), runtime_clock() */
    bool now_is_old; /* the program was on its way since, or rings are watched: who needs the time reads it */
    struct wheel wheel;
    struct tasks tasks;
    struct wakes wakes;
    struct list pipes; /* those with names: memq.c */
    struct counters counters;
    struct libos *libos[RUNTIME_LIBOS_MAX];
    unsigned libos_count;
    bool need_flush, want_flush;
    bool files_by_threads; /* the option "files" says so */
    bool polled;           /* some libOS has a poll() */
    bool must_poll;        /* … and nothing else that would tell */
    uint32_t quick;        /* waits answered since the last turn without turning */
    int epoll_fd;          /* -1 until something is watched */
    unsigned watched;
    uint64_t peeked_ns; /* when it was last looked at what is watched */
    struct spin spin;
    unsigned
        elsewhere; /* operations that the kernel's workers or threads of ours are at, for which they want a processor */
    struct runtime_ops time;
    uint64_t work_since; /* when the thread last stopped spinning or sleeping */
    uint64_t turns, sleeps, spin_ns, work_ns, sleep_ns, spin_paid, spin_wasted;
    char why[256]; /* of a libOS whose start failed: one line that says what is missing; or empty */
};

extern __thread struct runtime *runtime_self __attribute__((tls_model("initial-exec")));
static inline struct runtime *runtime_current(void) { return runtime_self; }

/* The clock, read now. */
static inline uint64_t runtime_clock(struct runtime *rt)
{
    rt->now_is_old = false;
    return rt->now = rt->time.now_ns(rt->time.arg);
}

/* For a libOS's poll() that has found something, the moment it came in; for its flush(), that of the turn or wait that
 * calls it. */
static inline uint64_t runtime_now(struct runtime *rt)
{
    return unlikely(rt->now_is_old) ? runtime_clock(rt) : rt->now;
}

/* The moment that is ns from now on. What a call of the program's begins to wait for counts from here and not from
 * rt->now: the program may have worked for longer than that since. */
static inline uint64_t runtime_later(struct runtime *rt, uint64_t ns)
{
    uint64_t at = runtime_clock(rt);
    return ns > UINT64_MAX - 1 - at ? UINT64_MAX - 1 : at + ns;
}

/* Makes rt (or none) the thread's; returns the one that was. */
struct runtime *runtime_enter(struct runtime *rt);

/* A runtime without any libOS: memory queues, pipes, timers, tasks and wake-ups work. time NULL:
 * the machine's clock. id differs between threads (their thread id); tokens of one are refused
 * by the other. Does not enter it. */
int runtime_new(struct runtime **out, const struct runtime_ops *time, uint32_t id);

/* Closes all queues, lets the libOSes send what is left (runtime_drain), and stops them. */
void runtime_end(struct runtime *rt);
/* That, and frees everything. Results never taken are dropped with their buffers. */
void runtime_free(struct runtime *rt);

/* In a forked child: closes the copies of rt's descriptors and leaves the rest as it is. It is of no use afterwards. */
void runtime_forget(struct runtime *rt);

/* Starts a libOS on rt. -EEXIST: it runs already. The first one is asked first for sockets. */
int runtime_add_libos(struct runtime *rt, const struct libos_ops *ops, const struct demi_config *conf);

/* The libOS of these ops, started now if it does not run yet: for those that come when they are first asked for. */
int runtime_get_libos(struct runtime *rt, const struct libos_ops *ops, struct libos **out);

/* For libOSes: their flush() is due at the end of this turn, or before the thread sleeps. */
static inline void runtime_need_flush(struct runtime *rt) { rt->need_flush = true; }
/* The same for what may wait for the program's next words, and leave with them: acknowledgements. If this turn
 * completed operations, the flush is left to the wait that follows, or to the thread's falling asleep. */
static inline void runtime_want_flush(struct runtime *rt) { rt->want_flush = true; }
static inline bool runtime_flush_is_due(const struct runtime *rt) { return rt->need_flush | rt->want_flush; }
/* Calls it now: the libOS that was started last first, since its queues may stand on those of the others. It may be due
 * again at once, when what left below has made room for what waits above. */
void runtime_flush(struct runtime *rt);

/* w->fn is called with events (edge-triggered unless events says otherwise) from a turn. w stays
 * the caller's. */
int runtime_watch(struct runtime *rt, struct fd_watch *w, uint32_t events);
int runtime_rewatch(struct runtime *rt, struct fd_watch *w, uint32_t events);
void runtime_unwatch(struct runtime *rt, struct fd_watch *w);

/* One turn without waiting. peek false: watched descriptors are left out, because runtime_idle()
 * comes next. Returns how much came in. */
unsigned runtime_turn(struct runtime *rt, bool peek);

/* Whether the next runtime_idle() would begin by spinning. */
bool runtime_spins(const struct runtime *rt);

/* The end of a runtime whose queues are closed: devices and their timers go on, and nothing of the program, until
 * every libOS is drained, or nothing has moved for RUNTIME_STALL_NS, or RUNTIME_DRAIN_NS have passed. A peer that does
 * not read can hold up the end of a process for so long and no longer. */
#define RUNTIME_STALL_NS ((uint64_t)3000000000)
#define RUNTIME_DRAIN_NS ((uint64_t)30000000000)
void runtime_drain(struct runtime *rt);

/* Nothing is left to do: spins, then sleeps until something came in or deadline_ns passed. 0, or
 * what time.idle said. */
int runtime_idle(struct runtime *rt, uint64_t deadline_ns);

/* All of a sleep but the sleeping, which is another loop's (libos/embed/): what was pushed leaves, rings are told by
 * the eventfd, every device will raise what is watched. The owner takes wakes.sleeping back. -EAGAIN: there is
 * something to do. -EOPNOTSUPP: a device must be polled. *deadline_out: when a turn is due although nothing comes;
 * UINT64_MAX: never. */
int runtime_park(struct runtime *rt, uint64_t *deadline_out);

/* The epoll instance and the wake-ups' eventfd exist from here on. */
int runtime_open_fds(struct runtime *rt);
/* The epoll instance is readable once, for nothing; the next look at descriptors takes that. */
void runtime_kick(struct runtime *rt);

int runtime_set_option(struct runtime *rt, const char *name, const char *value);

#endif
