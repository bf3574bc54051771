/* SPDX-License-Identifier: MIT
 *
 *     owner:   EMPTY -> WANTED                READY -> EMPTY, WANTED -> EMPTY, COLD -> EMPTY, COLD -> WANTED
 *     helper:            WANTED -> BUSY -> READY -> BUSY -> COLD
 *
 * Each slot changes hands by compare-and-swap of its state; who wins has the chunk. The slots are
 * few and a chunk is taken once in 2 MiB, so both sides just look through them.
 *
 * The helper writes one zero into each page, which a chunk that reads as zeros does not notice. Not
 * MADV_POPULATE_WRITE: that holds the process's lock of mappings while the system clears 2 MiB, and
 * an mmap() of the owner would wait for it; a fault holds only its own mapping's (Linux 6.4 and
 * later).
 *
 * It runs at ordinary priority, whatever that of the owner is, and looks again before each chunk,
 * because tools change that of all threads alike (chrt -a). At idle priority (SCHED_IDLE) it starved on
 * a machine with busy neighbours, and the owner met the slow pages itself: gaps of 9 to 16 ms (Nov
 * 2026). It spends only the time that the owner would have spent. Under a filter of system calls it keeps the
 * priority it was born with: such a filter may kill for setting one, and does not mind the question.
 */
#include "alloc/prefault.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "alloc/base/clock.h"
#include "alloc/base/sandbox.h"
#include "alloc/base/thread.h"
#include "alloc/region.h"

#define TOUCH_STEP  4096 /* the smallest page there is: on a huge page 511 of the writes find it there */
#define SLOW_NS     NSEC_PER_MSEC
#define FAST_COUNT  16 /* memory used before lies among memory that was not: a few say little */
#define STACK_BYTES ((size_t)256 << 10)

struct slot {
    char *chunk;
    bool huge;
    uint32_t state; /* enum prefault_state; atomic */
};

struct prefault {
    struct slot slots[PREFAULT_MAX];
    uint32_t bell; /* futex: changes when the helper should look */
    uint32_t stop;
    uint32_t fast_count; /* atomic: chunks in a row that came quickly */
    pid_t pid;           /* of the process that has the helper: a forked child has none */
    uint64_t idle_ns;
    pthread_t thread;
};

static bool change(struct slot *slot, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(&slot->state, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static uint32_t state_of(const struct slot *slot) { return __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE); }
static bool must_stop(const struct prefault *s) { return __atomic_load_n(&s->stop, __ATOMIC_ACQUIRE); }

/* --- the helper --- */

/* What is free is poisoned for everybody else. */
static __attribute__((no_sanitize("address"))) void bring_pages(char *chunk)
{
    for (size_t at = 0; at < REGION_CHUNK; at += TOUCH_STEP) *(volatile char *)(chunk + at) = 0;
}

/* Of this thread: a neighbour's time does not count. */
static uint64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void note_speed(struct prefault *s, uint64_t ns)
{
    uint32_t count = ns < SLOW_NS ? s->fast_count + 1 : 0;
    if (count <= FAST_COUNT) __atomic_store_n(&s->fast_count, count, __ATOMIC_RELAXED);
}

static bool bring_one(struct prefault *s)
{
    for (size_t i = 0; i < PREFAULT_MAX; i++) {
        struct slot *slot = &s->slots[i];
        if (!change(slot, PREFAULT_WANTED, PREFAULT_BUSY)) continue;
        uint64_t began = cpu_ns();
        if (slot->huge) madvise(slot->chunk, REGION_CHUNK, MADV_HUGEPAGE); /* best effort */
        bring_pages(slot->chunk);
        note_speed(s, cpu_ns() - began);
        __atomic_store_n(&slot->state, PREFAULT_READY, __ATOMIC_RELEASE);
        return true;
    }
    return false;
}

static void give_pages_back(struct prefault *s)
{
    for (size_t i = 0; i < PREFAULT_MAX; i++) {
        struct slot *slot = &s->slots[i];
        if (!change(slot, PREFAULT_READY, PREFAULT_BUSY)) continue;
        bool gone = registry_drop_pages(slot->chunk, REGION_CHUNK);
        __atomic_store_n(&slot->state, gone ? PREFAULT_COLD : PREFAULT_READY, __ATOMIC_RELEASE);
    }
}

/* false: nobody rang for ns. 0: for ever. */
static bool wait_for_bell(struct prefault *s, uint32_t heard, uint64_t ns)
{
    struct timespec ts = {.tv_sec = (time_t)(ns / NSEC_PER_SEC), .tv_nsec = (long)(ns % NSEC_PER_SEC)};
    while (__atomic_load_n(&s->bell, __ATOMIC_ACQUIRE) == heard) {
        long rc = syscall(SYS_futex, &s->bell, FUTEX_WAIT_PRIVATE, heard, ns ? &ts : NULL, NULL, 0);
        if (rc < 0 && errno == ETIMEDOUT) return false;
    }
    return true;
}

/* Best effort. */
static void step_back(void)
{
    if (sched_getscheduler(0) == SCHED_OTHER || sandbox_filters_calls()) return;
    sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0});
}

static void *help(void *arg)
{
    struct prefault *s = arg;
    while (!must_stop(s)) {
        uint32_t heard = __atomic_load_n(&s->bell, __ATOMIC_ACQUIRE);
        do step_back();
        while (!must_stop(s) && bring_one(s));
        if (must_stop(s) || wait_for_bell(s, heard, s->idle_ns)) continue;
        give_pages_back(s);
        wait_for_bell(s, heard, 0);
    }
    return NULL;
}

/* --- the owner --- */

static void ring(struct prefault *s)
{
    __atomic_fetch_add(&s->bell, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &s->bell, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

struct prefault *prefault_new(uint64_t idle_ns)
{
    struct prefault *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->pid = getpid();
    s->idle_ns = idle_ns;
    const struct thread_options o = {.name = "prefault", .stack_bytes = STACK_BYTES};
    if (thread_start(&s->thread, &o, help, s)) {
        free(s);
        return NULL;
    }
    return s;
}

void prefault_stop(struct prefault *s)
{
    if (must_stop(s)) return;
    __atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
    if (s->pid != getpid()) return;
    ring(s);
    pthread_join(s->thread, NULL);
}

void prefault_free(struct prefault *s)
{
    prefault_stop(s);
    free(s);
}

unsigned prefault_in_state(const struct prefault *s, enum prefault_state state)
{
    unsigned n = 0;
    for (size_t i = 0; i < PREFAULT_MAX; i++) n += state_of(&s->slots[i]) == (uint32_t)state;
    return n;
}

unsigned prefault_count(const struct prefault *s) { return PREFAULT_MAX - prefault_in_state(s, PREFAULT_EMPTY); }

unsigned prefault_resident(const struct prefault *s)
{
    return prefault_in_state(s, PREFAULT_READY) + prefault_in_state(s, PREFAULT_BUSY);
}

bool prefault_is_slow(const struct prefault *s)
{
    return __atomic_load_n(&s->fast_count, __ATOMIC_RELAXED) < FAST_COUNT;
}

void prefault_put(struct prefault *s, char *chunk, bool huge)
{
    for (size_t i = 0; i < PREFAULT_MAX; i++) {
        if (state_of(&s->slots[i]) != PREFAULT_EMPTY) continue;
        s->slots[i].chunk = chunk;
        s->slots[i].huge = huge;
        __atomic_store_n(&s->slots[i].state, PREFAULT_WANTED, __ATOMIC_RELEASE);
        return;
    }
    ASSERT(!"room among those touched ahead");
}

void prefault_wake(struct prefault *s)
{
    bool wanted = false;
    for (size_t i = 0; i < PREFAULT_MAX; i++) {
        change(&s->slots[i], PREFAULT_COLD, PREFAULT_WANTED);
        wanted |= state_of(&s->slots[i]) == PREFAULT_WANTED;
    }
    if (wanted) ring(s);
}

char *prefault_take(struct prefault *s, enum prefault_state state)
{
    for (size_t i = 0; i < PREFAULT_MAX; i++) {
        if (!change(&s->slots[i], state, PREFAULT_EMPTY)) continue;
        return s->slots[i].chunk; /* EMPTY: only the owner writes it */
    }
    return NULL;
}

void prefault_settle(struct prefault *s)
{
    while (prefault_in_state(s, PREFAULT_WANTED) || prefault_in_state(s, PREFAULT_BUSY)) sched_yield();
}
