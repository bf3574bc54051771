/* SPDX-License-Identifier: MIT
 *
 * What the allocator costs beside the process's malloc (jemalloc where we are linked with it) and
 * glibc's, in one run: numbers of different machines do not compare, ratios do. Prints the best of
 * five rounds.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/base/clock.h"
#include "alloc/base/hash.h"
#include "alloc/base/rng.h"
#include "alloc/buf.h"
#include "alloc/heap.h"

#define ROUNDS 5

struct allocator {
    const char *name;
    void *(*take)(size_t n);
    void (*give)(void *p);
};

typedef void *(*take_fn)(size_t n);
typedef void (*give_fn)(void *p);

static inline void keep(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

/* An indirect call each, for all alike: what the inline path costs is measured by itself below. */
static double pair_ns(const struct allocator *a, size_t n)
{
    enum { COUNT = 2000000 };
    nsec start = clock_mono_ns();
    for (int i = 0; i < COUNT; i++) {
        void *p = a->take(n);
        keep(p);
        a->give(p);
    }
    return (double)(clock_mono_ns() - start) / COUNT;
}

/* A keyspace's pattern: 100,000 live objects, random ones replaced. */
static double churn_ns(const struct allocator *a)
{
    enum { LIVE = 100000, COUNT = 1000000 };
    void **objects = malloc(LIVE * sizeof *objects);
    struct rng r;
    rng_seed(&r, 1);
    for (int i = 0; i < LIVE; i++) objects[i] = a->take(16 + rng_below(&r, 100));
    nsec start = clock_mono_ns();
    for (int i = 0; i < COUNT; i++) {
        uint64_t dice = rng_u64(&r);
        void **at = &objects[dice % LIVE];
        a->give(*at);
        *at = a->take(16 + (dice >> 40) % 100);
        *(uint64_t *)*at = dice;
    }
    double ns = (double)(clock_mono_ns() - start) / COUNT;
    for (int i = 0; i < LIVE; i++) a->give(objects[i]);
    free(objects);
    return ns;
}

static double inline_ns(const struct allocator *a)
{
    enum { COUNT = 4000000 };
    nsec start = clock_mono_ns();
    for (int i = 0; i < COUNT; i++) {
        void *p = heap_alloc(40);
        keep(p);
        heap_free(p);
    }
    return (double)(clock_mono_ns() - start) / COUNT;
}

static double buf_ns(const struct allocator *a)
{
    enum { COUNT = 2000000 };
    nsec start = clock_mono_ns();
    for (int i = 0; i < COUNT; i++) {
        struct buf *b = buf_take(BUF_LARGE_SIZE);
        keep(b);
        buf_unref(b);
    }
    return (double)(clock_mono_ns() - start) / COUNT;
}

static double pin_ns(const struct allocator *a)
{
    enum { COUNT = 2000000 };
    char *p = heap_alloc(20000);
    nsec start = clock_mono_ns();
    for (int i = 0; i < COUNT; i++) {
        if (heap_pin(p + 100)) abort();
        heap_unpin(p + 100);
    }
    double ns = (double)(clock_mono_ns() - start) / COUNT;
    heap_free(p);
    return ns;
}

static double collect_ns(const struct allocator *a)
{
    enum { COUNT = 2000000 };
    nsec start = clock_mono_ns();
    for (int i = 0; i < COUNT; i++)
        if (heap_collect()) abort();
    return (double)(clock_mono_ns() - start) / COUNT;
}

/* A helper thread frees what the loop handed over: what an object costs it, and then us. */
struct handed {
    void **objects;
    size_t count;
    nsec took;
};

static void *free_handed(void *arg)
{
    struct handed *h = arg;
    nsec start = clock_mono_ns();
    for (size_t i = 0; i < h->count; i++) heap_free(h->objects[i]);
    h->took = clock_mono_ns() - start;
    return NULL;
}

static void print_remote(void)
{
    struct handed h = {.count = 200000};
    h.objects = malloc(h.count * sizeof *h.objects);
    for (size_t i = 0; i < h.count; i++) h.objects[i] = heap_alloc(40);
    pthread_t t;
    if (pthread_create(&t, NULL, free_handed, &h)) abort();
    pthread_join(t, NULL);
    nsec worst = 0, total = 0;
    for (bool more = true; more;) {
        nsec start = clock_mono_ns();
        more = heap_collect();
        nsec took = clock_mono_ns() - start;
        total += took;
        if (took > worst) worst = took;
    }
    printf("remote free of 40 B       %7.1f ns there, %.1f ns here, longest heap_collect() %.0f us\n",
           (double)h.took / (double)h.count, (double)total / (double)h.count, (double)worst / NSEC_PER_USEC);
    free(h.objects);
}

static size_t hash_len;
static double hash_ns(const struct allocator *a)
{
    enum { COUNT = 4000000 };
    static char text[256];
    uint64_t h = 0;
    nsec start = clock_mono_ns();
    for (int i = 0; i < COUNT; i++) h = hash_bytes(text, hash_len, h); /* each waits for the one before */
    double ns = (double)(clock_mono_ns() - start) / COUNT;
    keep((void *)(uintptr_t)h);
    return ns;
}

static double best(double (*fn)(const struct allocator *a), const struct allocator *a)
{
    double ns = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        double now = fn(a);
        if (now < ns) ns = now;
    }
    return ns;
}

static size_t pair_size;
static double pair_of_size(const struct allocator *a) { return pair_ns(a, pair_size); }

static nsec cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (nsec)ts.tv_sec * NSEC_PER_SEC + (nsec)ts.tv_nsec;
}

/* The longest step while a table of 128 MB is made and one of 64 MB is freed, as a growing hash
 * table does; in time of this thread, since a machine with other work to do would measure its
 * scheduler. */
static double longest_gap_ms(void)
{
    enum { OLD = 64 << 20, NEW = 128 << 20, STEP = 64 << 10 };
    char *old = heap_calloc(1, OLD);
    memset(old, 1, OLD);
    nsec worst = 0, last = cpu_ns();
    char *new = heap_calloc(1, NEW);
    for (size_t at = 0; at <= NEW + OLD; at += STEP) {
        if (at < NEW) new[at] = 1;
        if (at == NEW) heap_free(old);
        heap_collect();
        nsec now = cpu_ns();
        if (now - last > worst) worst = now - last;
        last = now;
    }
    heap_free(new);
    while (heap_collect()) {
    }
    return (double)worst / NSEC_PER_MSEC;
}

static void *ours_take(size_t n) { return heap_alloc(n); }
static void ours_give(void *p) { heap_free(p); }

int main(void)
{
    take_fn libc_take = (take_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "__libc_malloc");
    give_fn libc_give = (give_fn)(uintptr_t)dlsym(RTLD_DEFAULT, "__libc_free");
    struct allocator all[] = {
        {"ours", ours_take, ours_give}, {"malloc", malloc, free}, {"glibc", libc_take, libc_give}};
    static const size_t sizes[] = {16, 40, 100, 512, 1000, 4000, 20000, 100000};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i].take || !all[i].give) continue;
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            pair_size = sizes[k];
            printf("pair   %-7s %6zu B %7.1f ns\n", all[i].name, pair_size, best(pair_of_size, &all[i]));
        }
        printf("churn  %-7s           %7.1f ns\n", all[i].name, best(churn_ns, &all[i]));
    }
    printf("inline alloc + free 40 B  %7.1f ns\n", best(inline_ns, NULL));
    printf("buf    take + unref 16 K  %7.1f ns\n", best(buf_ns, NULL));
    printf("pin    pin + unpin        %7.1f ns\n", best(pin_ns, NULL));
    while (heap_collect()) {
    }
    printf("heap_collect() idle       %7.1f ns\n", best(collect_ns, NULL));
    print_remote();
    for (hash_len = 8; hash_len <= 256; hash_len *= 2)
        printf("hash   %13zu B    %7.1f ns\n", hash_len, best(hash_ns, NULL));
    printf("longest gap, 128 MB table made, 64 MB one freed: %.2f ms", longest_gap_ms());
    heap_set_huge_pages(false);
    printf(", on small pages %.2f ms\n", longest_gap_ms());
    return 0;
}
