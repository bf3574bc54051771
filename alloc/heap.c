/* SPDX-License-Identifier: MIT
 *
 * The heap of a thread.
 *
 *     n <= 1 KiB     slab of an 8-byte class; the short way is inline in heap.h
 *     n <= 64 KiB    slab of a class, eight to a doubling
 *     n <= RUN_MAX   run of 16 KiB blocks in a chunk
 *     else           chunks of its own (huge.c)
 *
 * Each class allocates from one slab, its current one, until that is exhausted; then from one with free slots; then from a new one. A slab that
 * falls empty goes back to its chunk at once unless it is current, and a chunk that falls empty goes back to the region.
 * In front of the slabs stands a stack of free objects a class: without it every free into a full slab moves lists about, and the next
 * allocation takes a cold object: 33 ns a pair under random replacement against 13 (Nov 2026).
 *
 * Why not jemalloc's arenas with extent hooks: a pin may point into the middle of an object, and jemalloc tells nobody where an object starts; its classes step
 * by 16 and more; its memory is returned when its clock says so. What is here is smaller than the tables around it would have been, and
 * measured faster (tests/bench/alloc_bench.c).
 *
 * A thread that ends with live objects leaves an orphan; the next thread that wants a heap takes it over, with what others have freed in it meanwhile.
 */
#include "alloc/heap_impl.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_BATCH       4096 /* frees of other threads taken back a call: about 50 us */
#define PURGE_CHUNKS      2    /* given back to the system a call: 4 MiB */
#define DIRTY_CHUNKS_KEEP 4    /* free memory kept for the next use: 8 MiB, or a 64th of the heap */
#define CACHE_BYTES       8192 /* a class, and */
#define CACHE_OBJECTS_MAX 64   /* objects, but */
#define CACHE_OBJECTS_MIN 4
#define BIN_SEARCH_MAX    4    /* chunks looked at whose longest run may be too short */

/* The heap of a thread that has none: nothing to give, never written to. */
static struct heap_front front_none;
__thread struct heap_front *heap_front = &front_none;

/* Heaps whose threads have ended; process-wide, because their objects are. */
static pthread_mutex_t orphans_lock = PTHREAD_MUTEX_INITIALIZER;
static struct heap *orphans;
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

/* --- marks of debug builds: an object is live from its allocation to the first free --- */

#ifdef DEMI_DEBUG
static uint64_t *live_word(struct slab *s, const void *p, uint64_t *bit)
{
    uint32_t at = (uint32_t)((const char *)p - slab_start(s));
    ASSERT(at % s->size == 0); /* a free of what is not the start of an object */
    *bit = (uint64_t)1 << (at / s->size % 64);
    return &s->live[at / s->size / 64];
}
static void mark_live(struct slab *s, const void *p)
{
    uint64_t bit, *word = live_word(s, p, &bit);
    uint64_t before = __atomic_fetch_or(word, bit, __ATOMIC_RELAXED);
    ASSERT(!(before & bit));
}
static void mark_freed(struct slab *s, const void *p)
{
    uint64_t bit, *word = live_word(s, p, &bit);
    uint64_t before = __atomic_fetch_and(word, ~bit, __ATOMIC_RELAXED);
    ASSERT(before & bit); /* freed twice */
}
static void mark_huge_freed(struct huge *g) { ASSERT(__atomic_exchange_n(&g->live, false, __ATOMIC_RELAXED)); }
#else
static void mark_live(struct slab *s, const void *p) {}
static void mark_freed(struct slab *s, const void *p) {}
static void mark_huge_freed(struct huge *g) {}
#endif

/* --- threads --- */

static void heap_init(struct heap *h)
{
    memset(h, 0, sizeof *h);
    for (uint32_t i = 1; i < SLAB_CLASSES; i++) {
        uint32_t max = CACHE_BYTES / slab_class_size(i);
        if (max > CACHE_OBJECTS_MAX) max = CACHE_OBJECTS_MAX;
        if (max < CACHE_OBJECTS_MIN) max = CACHE_OBJECTS_MIN;
        h->front.caches[i].max = max;
    }
    for (size_t i = 0; i < SLAB_CLASSES; i++) list_init(&h->partial[i]);
    for (size_t i = 0; i < CHUNK_BINS; i++) list_init(&h->bins[i]);
    region_set_init(&h->regions, h);
}

static void heap_free(struct heap *h)
{
    region_set_fini(&h->regions);
    pins_fini(&h->pins);
    free(h);
}

/* The thread ends. */
static void heap_abandon(void *arg)
{
    struct heap *h = arg;
    while (remote_drain(h, DRAIN_BATCH)) {}
    heap_front = &front_none;
    if (h->front.used == 0) {
        heap_free(h);
        return;
    }
    pthread_mutex_lock(&orphans_lock);
    h->next_orphan = orphans;
    orphans = h;
    pthread_mutex_unlock(&orphans_lock);
}

static void make_exit_key(void) { ASSERT(pthread_key_create(&exit_key, heap_abandon) == 0); }

static struct heap *adopt(void)
{
    pthread_mutex_lock(&orphans_lock);
    struct heap *h = orphans;
    if (h) orphans = h->next_orphan;
    pthread_mutex_unlock(&orphans_lock);
    return h;
}

static __attribute__((noinline)) struct heap *heap_make(void)
{
    pthread_once(&exit_once, make_exit_key);
    struct heap *h = adopt();
    if (!h) {
        void *memory;
        if (posix_memalign(&memory, _Alignof(struct heap), sizeof *h)) return NULL;
        h = memory;
        heap_init(h);
    }
    pthread_setspecific(exit_key, h);
    heap_front = &h->front;
    remote_drain(h, DRAIN_BATCH); /* an orphan's */
    return h;
}

bool heap_exists(void) { return heap_front != &front_none; }

struct heap *heap_get(void)
{
    if (likely(heap_front != &front_none)) return heap_of_thread();
    return heap_make();
}

bool heap_close(void)
{
    if (heap_front == &front_none) return true;
    struct heap *h = heap_of_thread();
    while (remote_drain(h, DRAIN_BATCH)) {}
    if (h->front.used) return false;
    pthread_setspecific(exit_key, NULL);
    heap_front = &front_none;
    heap_free(h);
    return true;
}

struct region_set *heap_regions(void)
{
    struct heap *h = heap_get();
    return h ? &h->regions : NULL;
}

void heap_set_huge_pages(bool on)
{
    struct heap *h = heap_get();
    if (h) h->regions.small_pages = !on;
}

void heap_set_limit(size_t bytes)
{
    struct heap *h = heap_get();
    if (h) h->regions.limit_bytes = bytes;
}

/* --- blocks --- */

static void rebin(struct heap *h, struct chunk *c)
{
    list_remove(&c->link);
    int bin = chunk_bin(c);
    if (bin >= 0) list_push_front(&h->bins[bin], &c->link);
}

static struct chunk *chunk_new(struct heap *h)
{
    struct region *r;
    bool dirty;
    char *at = region_take_chunks(&h->regions, 1, CHUNK_SLABS, false, &r, &dirty);
    if (!at && region_new(&h->regions, REGION_CHUNK))
        at = region_take_chunks(&h->regions, 1, CHUNK_SLABS, false, &r, &dirty);
    return at ? chunk_init(at, h, r, !dirty) : NULL;
}

/* First where a run of `count` may be (the bin of its floor), then where one must be. */
static struct slab *find_blocks(struct heap *h, uint32_t count, bool *clean)
{
    int floor = 31 - __builtin_clz(count), seen = 0;
    bool exact = (count & (count - 1)) == 0;
    for (int bin = floor; bin < CHUNK_BINS; bin++) {
        list_for_each(it, &h->bins[bin]) {
            struct chunk *c = list_entry(it, struct chunk, link);
            struct slab *s = chunk_take(c, count, clean);
            if (s) {
                rebin(h, c);
                return s;
            }
            ASSERT(bin == floor && !exact);
            if (++seen == BIN_SEARCH_MAX) break;
        }
    }
    return NULL;
}

static struct slab *take_blocks(struct heap *h, uint32_t count, bool *clean)
{
    struct slab *s = find_blocks(h, count, clean);
    if (!s) {
        struct chunk *c = chunk_new(h);
        if (!c) return NULL;
        s = chunk_take(c, count, clean);
        rebin(h, c);
    }
    h->active_bytes += count * BLOCK_SIZE;
    return s;
}

static void give_blocks(struct heap *h, struct slab *s, uint32_t count)
{
    struct chunk *c = chunk_of(s);
    h->active_bytes -= count * BLOCK_SIZE;
    chunk_give(c, s, count);
    if (c->block_count) {
        rebin(h, c);
        return;
    }
    list_remove(&c->link);
    region_give_chunks(c->region, (char *)c, 1);
}

/* --- slabs --- */

static struct slab *slab_new(struct heap *h, uint32_t size_class)
{
    uint32_t size = slab_class_size(size_class);
    uint32_t blocks = slab_blocks(size);
    bool clean;
    struct slab *s = take_blocks(h, blocks, &clean);
    if (!s) return NULL;
    s->size = size;
    s->size_class = (uint16_t)size_class;
    s->end = (uint32_t)(blocks * BLOCK_SIZE / size * size);
    list_init(&s->link);
    return s;
}

/* The next slab to allocate from. */
static struct slab *slab_open(struct heap *h, uint32_t size_class)
{
    heap_see_peak(h);
    remote_drain(h, DRAIN_BATCH);
    struct list *link = list_pop_front(&h->partial[size_class]);
    struct slab *s = link ? list_entry(link, struct slab, link) : slab_new(h, size_class);
    if (!s) return NULL;
    s->retire_at = UINT32_MAX;
    h->current[size_class] = s;
    return s;
}

static void slab_close(struct heap *h, struct slab *s)
{
    h->current[s->size_class] = NULL;
    s->retire_at = 0;
    s->full = true;
}

static void slab_retire(struct heap *h, struct slab *s)
{
    list_remove(&s->link);
    give_blocks(h, s, slab_blocks(s->size));
}

/* The class's current slab, with at least one slot in its free list. */
static struct slab *slab_with_free(struct heap *h, uint32_t size_class)
{
    struct slab *s = h->current[size_class];
    while (!s || (!s->free && !slab_prepare(s))) {
        if (s) slab_close(h, s);
        s = slab_open(h, size_class);
        if (!s) return NULL;
    }
    return s;
}

static void return_slot(struct heap *h, struct slab *s, void *p)
{
    *(void **)p = s->free;
    poison(p, s->size);
    s->free = p;
    if (s->full) {
        s->full = false;
        list_push_front(&h->partial[s->size_class], &s->link);
    }
    if (--s->used == s->retire_at) slab_retire(h, s);
}

static void free_slot(struct heap *h, struct slab *s, void *p)
{
    h->front.used -= s->size;
    return_slot(h, s, p);
}

/* --- caches --- */

/* Keeps what was freed last. */
void heap_flush_cache(struct heap_cache *c)
{
    struct heap *h = heap_of_thread();
    void *last = c->top;
    for (uint32_t i = 1; i < c->max / 2; i++) last = *(void **)last;
    void *p = *(void **)last;
    *(void **)last = NULL;
    c->count = c->max / 2;
    while (p) {
        void *next = *(void **)p;
        return_slot(h, slab_of(p), p);
        p = next;
    }
}

#ifdef MEM_CHECKED
/* Caches stay empty: every object comes from its slab and is marked. */
static void *alloc_refill(struct heap *h, uint32_t size_class)
{
    struct slab *s = slab_with_free(h, size_class);
    if (!s) return NULL;
    void *p = s->free;
    unpoison(p, s->size);
    s->free = *(void **)p;
    s->used++;
    h->front.used += s->size;
    mark_live(s, p);
    return p;
}
#else
/* The cache is empty: moves the free slots of the current slab that are at hand into it, and gives out the first. */
static __attribute__((noinline)) void *alloc_refill(struct heap *h, uint32_t size_class)
{
    struct slab *s = slab_with_free(h, size_class);
    if (unlikely(!s)) return NULL;
    struct heap_cache *c = &h->front.caches[size_class];
    uint32_t count = s->fresh / s->size - s->used;
    void *p = s->free;
    c->top = *(void **)p;
    c->count = count - 1;
    s->free = NULL;
    s->used += count;
    h->front.used += s->size;
    return p;
}
#endif

static inline void *alloc_class(struct heap *h, uint32_t size_class)
{
    struct heap_cache *c = &h->front.caches[size_class];
    void *p = c->top;
    if (unlikely(!p)) return alloc_refill(h, size_class);
    c->top = *(void **)p;
    c->count--;
    h->front.used += slab_class_size(size_class);
    return p;
}

/* --- runs --- */

static void *run_alloc(struct heap *h, size_t size, bool zeros)
{
    remote_drain(h, DRAIN_BATCH);
    uint32_t blocks = (uint32_t)((size + BLOCK_SIZE - 1) >> BLOCK_SHIFT);
    bool clean;
    struct slab *s = take_blocks(h, blocks, &clean);
    if (!s) return NULL;
    s->size = s->end = s->fresh = (uint32_t)(blocks * BLOCK_SIZE);
    s->used = 1;
    s->size_class = SLAB_CLASS_RUN;
    s->slow = SLAB_RUN;
    void *p = slab_start(s);
    unpoison(p, s->size);
    if (zeros && !clean) memset(p, 0, s->size);
    h->front.used += s->size;
    heap_see_peak(h);
    mark_live(s, p);
    return p;
}

static void run_free(struct heap *h, struct slab *s)
{
    h->front.used -= s->size;
    give_blocks(h, s, s->size >> BLOCK_SHIFT);
}

/* --- allocation --- */

static void *alloc_any(size_t size, bool zeros)
{
    struct heap *h = heap_get();
    if (unlikely(!h)) return NULL;
    if (size > RUN_MAX) {
        remote_drain(h, DRAIN_BATCH);
        return huge_alloc(h, size, zeros);
    }
    if (size > SLAB_OBJECT_MAX) return run_alloc(h, size, zeros);
    uint32_t size_class = slab_class_of(size);
    void *p = alloc_class(h, size_class);
    if (p && zeros) memset(p, 0, size);
    return p;
}

void *heap_alloc_slow(size_t size)
{
    if (likely(size <= SLAB_OBJECT_MAX && heap_exists())) return alloc_class(heap_of_thread(), slab_class_of(size));
    return alloc_any(size, false);
}

void *mem_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    if (bytes > SMALL_MAX) return alloc_any(bytes, true);
    void *p = mem_alloc(bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

size_t mem_good_size(size_t size)
{
    if (size <= SLAB_OBJECT_MAX) return slab_class_size(slab_class_of(size));
    if (size <= RUN_MAX) return (size + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);
    return size > SIZE_MAX - PAGE_BYTES ? size : huge_round(size);
}

static bool is_huge(const void *p) { return (const void *)chunk_of(p) == p; }

size_t mem_size(const void *p)
{
    if (!p) return 0;
    return is_huge(p) ? huge_find(p)->size : slab_of(p)->size;
}

/* A little smaller stays where it is: up to an eighth is wasted then, as a class of its own would. */
static bool stays(size_t have, size_t want) { return want <= have && (want >= have - have / 8 || mem_good_size(want) == have); }

void *mem_realloc(void *old, size_t size)
{
    if (!old) return mem_alloc(size);
    size_t have = mem_size(old);
    if (stays(have, size)) return old;
    struct heap *h = heap_get();
    if (unlikely(!h)) return NULL;
    if (is_huge(old) && huge_find(old)->region->set->owner == h && huge_resize(h, huge_find(old), size))
        return old;
    void *p = mem_alloc(size);
    if (!p) return NULL;
    memcpy(p, old, have < size ? have : size);
    mem_free(old);
    return p;
}

/* --- freeing --- */

/* If it is pinned, notes that its last holder frees it. */
static bool left_to_holder(struct heap *h, const void *p)
{
    struct pin *pin = pins_find(&h->pins, p);
    if (!pin) return false;
    ASSERT(!pin->freed); /* freed twice */
    pin->freed = true;
    return true;
}

void heap_free_object(struct heap *h, void *p)
{
    if (is_huge(p)) {
        struct huge *g = huge_find(p);
        if (!g->pinned || !left_to_holder(h, p)) huge_free(h, g);
        return;
    }
    struct slab *s = slab_of(p);
    if (unlikely(s->slow & SLAB_PINNED) && left_to_holder(h, p)) return;
    if (s->slow & SLAB_RUN) run_free(h, s);
    else free_slot(h, s, p);
}

static void free_huge(void *p)
{
    struct huge *g = huge_find(p);
    ASSERT(g && g->base == p); /* not from this heap */
    mark_huge_freed(g);
    struct heap *owner = g->region->set->owner;
    if (&owner->front == heap_front) heap_free_object(owner, p);
    else remote_free(owner, p, g->size, __atomic_load_n(&g->pinned, __ATOMIC_RELAXED) != 0);
}

void heap_free_slow(void *p)
{
    if (!p) return;
    if (is_huge(p)) {
        free_huge(p);
        return;
    }
    struct slab *s = slab_of(p);
    mark_freed(s, p);
    struct heap *owner = s->owner;
    if (&owner->front == heap_front) heap_free_object(owner, p);
    else remote_free(owner, p, s->size, __atomic_load_n(&s->pinned, __ATOMIC_RELAXED) != 0);
}

void mem_free_sized_checked(void *p, size_t size)
{
    DASSERT(!p || size <= mem_size(p));
    mem_free(p);
}

/* --- pins --- */

static void *find_in_region(struct region *r, const void *p)
{
    struct chunk_info *info = &r->chunks[region_chunk_index(r, p)];
    if (info->state == CHUNK_HUGE) {
        struct huge *g = info->huge;
        return (const char *)p < g->base + g->size ? g->base : NULL;
    }
    if (info->state != CHUNK_SLABS) return NULL;
    struct slab *s = slab_of(p);
    return s->owner ? slab_slot(s, p) : NULL;
}

void *mem_find(const void *p)
{
    struct region *r = region_find(p);
    return r ? find_in_region(r, p) : NULL;
}

/* One object more or less of its slab or itself, if huge, is pinned. */
static void count_pinned(void *object, int change)
{
    if (is_huge(object)) {
        struct huge *g = huge_find(object);
        __atomic_store_n(&g->pinned, g->pinned + (uint32_t)change, __ATOMIC_RELAXED);
        return;
    }
    struct slab *s = slab_of(object);
    __atomic_store_n(&s->pinned, s->pinned + (uint32_t)change, __ATOMIC_RELAXED);
    if (s->pinned) s->slow |= SLAB_PINNED;
    else s->slow &= (uint8_t)~SLAB_PINNED;
}

int mem_pin(const void *p)
{
    struct region *r = region_find(p);
    struct heap *h = heap_of_thread();
    if (!r || r->set->owner != h) return -EINVAL;
    void *object = find_in_region(r, p);
    if (!object) return -EINVAL;
    struct pin *pin = pins_add(&h->pins, object);
    if (!pin) return -ENOMEM;
    if (pin->count++ == 0) count_pinned(object, 1);
    return 0;
}

void mem_unpin(const void *p)
{
    struct heap *h = heap_of_thread();
    void *object = mem_find(p);
    struct pin *pin = object ? pins_find(&h->pins, object) : NULL;
    ASSERT(pin && pin->count);
    if (--pin->count) return;
    bool freed = pin->freed;
    pins_remove(&h->pins, pin);
    count_pinned(object, -1);
    if (freed) heap_free_object(h, object);
}

bool mem_is_pinned(const void *p)
{
    if (heap_front == &front_none) return false;
    void *object = mem_find(p);
    return object && pins_find(&heap_of_thread()->pins, object);
}

/* --- between turns --- */

bool heap_collect(void)
{
    if (heap_front == &front_none) return false;
    struct heap *h = heap_of_thread();
    bool more = remote_drain(h, DRAIN_BATCH);
    struct region_set *set = &h->regions;
    size_t keep = set->mapped_bytes / REGION_CHUNK / 64;
    if (keep < DIRTY_CHUNKS_KEEP) keep = DIRTY_CHUNKS_KEEP;
    if (set->dirty_chunks <= keep) return more;
    size_t done = region_purge(set, PURGE_CHUNKS);
    done += region_release(set, 1);
    return more || (done && set->dirty_chunks > keep);
}

void mem_stats(struct mem_stats *out)
{
    *out = (struct mem_stats){0};
    if (heap_front == &front_none) return;
    struct heap *h = heap_of_thread();
    heap_see_peak(h);
    size_t clean = 0;
    list_for_each(it, &h->regions.regions) {
        struct region *r = list_entry(it, struct region, link);
        clean += r->free_count - r->dirty_count;
    }
    *out = (struct mem_stats){.used = h->front.used, .active = h->active_bytes,
                              .resident = h->regions.mapped_bytes - clean * REGION_CHUNK,
                              .peak = h->peak, .pinned = h->pins.count};
}
