/* SPDX-License-Identifier: MIT
 *
 * The loop's turn, and what the thread does when there is nothing to do.
 *
 * Idleness. A thread that sleeps costs its peer 20 to 50 us until it runs again; one that spins
 * costs a core. So each wait leaves one bit: had spinning paid, that is, did something come in
 * within twice the limit (twice, because a peer that sleeps makes us slower too, and a pair of
 * sleepers would otherwise never learn that they could be quick)? A thread spins while at least
 * SPIN_QUORUM of its last SPIN_MEMORY waits say yes. One busy connection keeps it spinning; a pause
 * costs one limit's worth and then nothing; a timer ten times a second never starts it.
 *
 * While somebody else works for the thread (a sync of a file), spinning takes the processor away from the very worker
 * that it waits for, if both have to share one; and no disk gets quicker because nobody sleeps. So these waits are
 * remembered apart, and have paid only if what came came within the limit (Nov 2026, `appendfsync always`, one
 * connection: 167 us to the reply instead of 217 on one processor, 168 instead of 191 on two).
 *
 * Time between a sleep's (or spin's) end and the next one's begin counts as work.
 */
#include "libos/runtime/runtime.h"

#include "alloc/base/assert.h"
#include "alloc/heap.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#define SPIN_MEMORY     8
#define SPIN_QUORUM     3
#define EVENTS_MAX      256
#define WATCH_NS        1000000
#define WATCH_FDS_EVERY 32
/* polls between two looks at the clock: each costs as much as a poll, and so does a pause (Nov 2026: 20 and 35 ns) */
#define WATCH_LOOK_EVERY 8
/* The same while spinning, where descriptors matter as much (Nov 2026: a look at them 0.1 to 1 us, at a ring of shared
 * memory 6 ns): polls of a round, and rounds between two looks at descriptors. The clock and the pause that end a round
 * take 40 to 60 ns in which nothing is looked at. */
#define SPIN_POLLS     64
#define SPIN_FDS_EVERY 4
/* Turns that find something between two looks at descriptors: one costs more than a turn (Nov 2026: up to 1 us in a
 * virtual machine). */
#define TURN_FDS_EVERY 256
static_assert(WATCH_FDS_EVERY % WATCH_LOOK_EVERY == 0, "a look at descriptors is one at the clock, too");
/* Nobody sleeps while tasks are ready or results come in every turn, and only a sleeper hears of descriptors by itself.
 * Longer than a turn of a busy server takes, which looks by itself before it would sleep. */
#define PEEK_NS       500000
#define COLLECT_EVERY 64 /* turns between two looks at what may go back to the system: it may be wanted again */

static unsigned dispatch(const struct epoll_event *ev, int n)
{
    for (int i = 0; i < n; i++) {
        /* cppcheck-suppress uninitvar ; epoll_wait() filled it */
        struct fd_watch *w = ev[i].data.ptr;
        if (w) w->fn(w, ev[i].events); /* NULL: the eventfd, which only had to end the sleep */
    }
    return n > 0 ? (unsigned)n : 0;
}

static unsigned peek_fds(struct runtime *rt)
{
    if (!rt->watched) return 0;
    struct epoll_event ev[EVENTS_MAX];
    rt->peeked_ns = rt->now;
    return dispatch(ev, epoll_wait(rt->epoll_fd, ev, EVENTS_MAX, 0));
}

static unsigned poll_devices(struct runtime *rt)
{
    unsigned n = 0;
    if (!rt->polled) return 0;
    for (unsigned i = 0; i < rt->libos_count; i++)
        if (rt->libos[i]->ops->poll) n += rt->libos[i]->ops->poll(rt->libos[i]);
    return n;
}

unsigned runtime_turn(struct runtime *rt, bool peek)
{
    rt->turns++;
    rt->quick = 0;
    if (runtime_flush_is_due(rt)) runtime_flush(rt);
    runtime_now(rt); /* which the flush has asked for, or nobody since the last turn */
    uint64_t completed = rt->ops.completed;
    unsigned n = poll_devices(rt);
    /* neither busy rings nor busy tasks must hide descriptors */
    if (peek || (rt->polled && rt->turns % TURN_FDS_EVERY == 0) || rt->now - rt->peeked_ns >= PEEK_NS)
        n += peek_fds(rt);
    n += wakes_collect(rt);
    if (rt->wheel.count) n += wheel_advance(&rt->wheel, rt->now);
    n += tasks_run(rt);
    if (rt->need_flush || (rt->want_flush && rt->ops.completed == completed)) runtime_flush(rt);
    if (rt->turns % COLLECT_EVERY == 0) heap_collect();
    else heap_take_back();
    rt->now_is_old = true;
    return n;
}

bool runtime_spins(const struct runtime *rt)
{
    uint32_t history = rt->spin.history[rt->elsewhere != 0];
    return rt->spin.limit_ns && __builtin_popcount(history & ((1u << SPIN_MEMORY) - 1)) >= SPIN_QUORUM;
}

static void remember(struct runtime *rt, bool elsewhere, bool paid)
{
    rt->spin.history[elsewhere] = rt->spin.history[elsewhere] << 1 | paid;
}

static uint64_t next_deadline(struct runtime *rt, uint64_t deadline)
{
    uint64_t at = wheel_next(&rt->wheel);
    if (at < deadline) deadline = at;
    for (unsigned i = 0; i < rt->libos_count; i++) {
        struct libos *l = rt->libos[i];
        if (!l->ops->next_deadline) continue;
        at = l->ops->next_deadline(l);
        if (at < deadline) deadline = at;
    }
    return deadline;
}

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool rang(struct runtime *rt) { return atomic_load_explicit(&rt->wakes.rang, memory_order_relaxed); }

/* One look at everything. Rings are looked at oftener than descriptors, which cost a system call. */
static bool look(struct runtime *rt, unsigned round)
{
    if (likely(!rt->polled)) return peek_fds(rt) || rang(rt);
    for (unsigned i = 0; i < SPIN_POLLS; i++)
        if (poll_devices(rt) || rang(rt)) return true;
    return round % SPIN_FDS_EVERY == SPIN_FDS_EVERY - 1 && peek_fds(rt);
}

/* True: something came in, or the deadline passed. The clock is not looked at once more for what came: it is a round
 * old at most, and who waits for the result has waited long enough. */
static bool spin(struct runtime *rt, uint64_t start, uint64_t deadline)
{
    uint64_t until = start + rt->spin.limit_ns;
    bool found = false, elsewhere = rt->elsewhere;
    unsigned round = 0;
    do {
        found = look(rt, round++);
        if (found) break;
        relax();
    } while (runtime_clock(rt) < until && rt->now < deadline);
    rt->spin_ns += rt->now - start;
    if (found) {
        rt->now_is_old = true;
        remember(rt, elsewhere, true);
        rt->spin_paid++;
    } else {
        rt->spin_wasted++;
    }
    return found || rt->now >= deadline;
}

/* 0: every device will raise a descriptor. */
static int arm_devices(struct runtime *rt)
{
    for (unsigned i = 0; i < rt->libos_count; i++) {
        struct libos *l = rt->libos[i];
        int err = l->ops->arm ? l->ops->arm(l) : 0;
        if (err) return err;
    }
    return 0;
}

static int wait_fds(struct runtime *rt, struct epoll_event *ev, uint64_t deadline)
{
    if (deadline == UINT64_MAX) return epoll_wait(rt->epoll_fd, ev, EVENTS_MAX, -1);
    uint64_t ns = deadline - rt->now;
    struct timespec ts = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    int n = epoll_pwait2(rt->epoll_fd, ev, EVENTS_MAX, &ts, NULL);
    if (n >= 0 || errno != ENOSYS) return n;
    uint64_t ms = (ns + 999999) / 1000000; /* before Linux 5.11 */
    return epoll_wait(rt->epoll_fd, ev, EVENTS_MAX, ms > 1000000 ? 1000000 : (int)ms);
}

static void sleep_on_fds(struct runtime *rt, uint64_t start, uint64_t deadline)
{
    struct epoll_event ev[EVENTS_MAX];
    uint64_t began = rt->now, pays_ns = rt->spin.limit_ns * (rt->elsewhere ? 1 : 2);
    bool elsewhere = rt->elsewhere;
    atomic_store(&rt->wakes.sleeping, true);
    int n = 0;
    if (!atomic_load(&rt->wakes.rang)) {
        bool may_sleep = !arm_devices(rt);
        n = wait_fds(rt, ev, may_sleep ? deadline : rt->now);
        rt->sleeps += may_sleep;
    }
    atomic_store_explicit(&rt->wakes.sleeping, false, memory_order_relaxed);
    rt->peeked_ns = runtime_clock(rt);
    rt->sleep_ns += rt->now - began;
    remember(rt, elsewhere, n > 0 && rt->now - start <= pays_ns);
    dispatch(ev, n);
}

/* Nothing would wake a sleeper: the thread looks until something is there. Clock and descriptors are looked at now
 * and then, since what a look costs is time in which a frame lies unseen; a libOS that finds something asks for the
 * time (runtime_now). It returns now and then, too, for the upkeep of a turn. */
static void watch_rings(struct runtime *rt, uint64_t start, uint64_t deadline)
{
    uint64_t until = start + WATCH_NS;
    if (deadline < until) until = deadline;
    for (unsigned round = 1;; round++) {
        rt->now_is_old = true;
        if (poll_devices(rt) || rang(rt)) break;
        if (round % WATCH_LOOK_EVERY) continue;
        if (round % WATCH_FDS_EVERY == 0 && peek_fds(rt)) break;
        relax();
        if (runtime_clock(rt) >= until) break;
    }
    rt->spin_ns += runtime_now(rt) - start;
}

/* True: that has completed operations, for which nobody would wake the thread. */
static bool flush_before_sleep(struct runtime *rt)
{
    uint64_t completed = rt->ops.completed;
    runtime_flush(rt);
    return rt->ops.completed != completed;
}

int runtime_idle(struct runtime *rt, uint64_t deadline)
{
    if (runtime_flush_is_due(rt) && flush_before_sleep(rt)) return 0;
    if (rt->tasks.ready_count || rang(rt)) return 0;
    deadline = next_deadline(rt, deadline);
    if (rt->time.idle) {
        if (deadline <= rt->now) return 0;
        int err = rt->time.idle(rt->time.arg, deadline);
        runtime_clock(rt);
        return err;
    }
    int err = runtime_open_fds(rt);
    if (err) return err;
    uint64_t start = runtime_now(rt);
    rt->work_ns += start - rt->work_since;
    if (rt->must_poll) {
        if (deadline > start) watch_rings(rt, start, deadline);
        if (rt->now - start >= WATCH_NS) heap_collect();
    } else if (deadline > start && !(runtime_spins(rt) && spin(rt, start, deadline))) {
        bool more = heap_collect(); /* before the thread sleeps for who knows how long */
        sleep_on_fds(rt, start, more ? rt->now : deadline);
    }
    rt->work_since = rt->now;
    return 0;
}

int runtime_park(struct runtime *rt, uint64_t *deadline_out)
{
    rt->now_is_old = true;
    if (runtime_flush_is_due(rt)) runtime_flush(rt);
    runtime_now(rt);
    *deadline_out = next_deadline(rt, UINT64_MAX);
    atomic_store(&rt->wakes.sleeping, true); /* before the look at what rang: see wake.c */
    bool more = heap_collect();
    if (atomic_load(&rt->wakes.rang) || rt->ops.ready_count || rt->tasks.ready_count || *deadline_out <= rt->now ||
        more)
        return -EAGAIN;
    return arm_devices(rt);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static uint64_t undrained(const struct runtime *rt)
{
    uint64_t left = 0;
    for (unsigned i = 0; i < rt->libos_count; i++)
        if (rt->libos[i]->ops->undrained) left += rt->libos[i]->ops->undrained(rt->libos[i]);
    return left;
}

/* Until something happens, or the deadline. false: nothing ever will. */
static bool drain_idle(struct runtime *rt, uint64_t deadline)
{
    struct epoll_event ev[EVENTS_MAX];
    deadline = next_deadline(rt, deadline);
    if (deadline <= rt->now) return true;
    if (rt->time.idle) return !rt->time.idle(rt->time.arg, deadline);
    if (rt->must_poll || rt->epoll_fd < 0) {
        relax();
        return true;
    }
    atomic_store(&rt->wakes.sleeping, true); /* helper threads end what queues have left behind: they ring */
    bool may_sleep = !atomic_load(&rt->wakes.rang) && !arm_devices(rt);
    int n = wait_fds(rt, ev, may_sleep ? deadline : rt->now);
    atomic_store_explicit(&rt->wakes.sleeping, false, memory_order_relaxed);
    runtime_clock(rt);
    dispatch(ev, n);
    return true;
}

void runtime_drain(struct runtime *rt)
{
    uint64_t least = undrained(rt);
    uint64_t end = runtime_clock(rt) + RUNTIME_DRAIN_NS, stall = rt->now + RUNTIME_STALL_NS;
    while (least && rt->now < end && rt->now < stall) {
        unsigned n = poll_devices(rt);
        if (rt->polled) n += peek_fds(rt);
        n += wakes_collect(rt);
        if (rt->wheel.count) n += wheel_advance(&rt->wheel, rt->now);
        runtime_flush(rt);
        uint64_t left = undrained(rt);
        if (left < least) stall = rt->now + RUNTIME_STALL_NS;
        if (left < least) least = left;
        if (least && !n && !drain_idle(rt, end < stall ? end : stall)) return;
        runtime_clock(rt);
    }
}
