/* SPDX-License-Identifier: MIT
 *
 * Regions come from mmap() in growing sizes: the first is one chunk, later ones an eighth of what
 * is mapped already, up to 1 GiB. So a small process stays small, and a device that keeps tens of
 * thousands of registrations badly (RDMA) sees some dozens even at 100 GB. Pages are touched by
 * their users only: a region costs addresses, not memory, until then.
 *
 * Huge pages: MAP_HUGETLB where the administrator has set some aside, else MADV_HUGEPAGE once more
 * than HUGE_FROM is mapped, chunk by chunk as they are taken (heap_prefault.c): each touched huge page costs 2 MiB of
 * resident memory, and a server at rest should be small. What they cost is the first touch: the system clears 2 MiB at
 * once. Here, in a virtual machine whose memory the host itself had not backed yet, that took 5 ms (512 small pages: 10
 * us each), and 0.15 ms once it had (Nov 2026). small_pages is for who minds.
 *
 * The table of addresses is the one thing here that threads share: a page table of two levels over
 * 48-bit addresses in 2 MiB steps. Leaves are made by compare-and-swap and never
 * freed; an entry is written only by the thread that owns the region. It is process-wide by nature:
 * an address has no owner one could ask before having looked it up.
 */
#include "alloc/region.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "alloc/base/assert.h"
#include "alloc/extmem.h"
#include "alloc/node.h"
#include "alloc/poison.h"

#define CHUNK_SHIFT     21
#define ADDRESS_BITS    48
#define TOP_BITS        14
#define LEAF_BITS       13
#define HUGE_FROM       (4 * REGION_CHUNK) /* mapped */
#define REGION_SIZE_MAX ((size_t)1 << 30)  /* by growth; a huge object may ask for more */

static_assert(REGION_CHUNK == (size_t)1 << CHUNK_SHIFT, "shift");
static_assert(CHUNK_SHIFT + LEAF_BITS + TOP_BITS == ADDRESS_BITS, "x86-64 has 47, aarch64 48");

static struct region **table[1 << TOP_BITS];

/* --- the table of addresses --- */

static struct region **table_leaf(uintptr_t addr)
{
    if (addr >> ADDRESS_BITS) return NULL;
    return __atomic_load_n(&table[addr >> (CHUNK_SHIFT + LEAF_BITS)], __ATOMIC_ACQUIRE);
}

static struct region **table_slot(struct region **leaf, uintptr_t addr)
{
    return &leaf[(addr >> CHUNK_SHIFT) & ((1 << LEAF_BITS) - 1)];
}

struct region *region_find(const void *p)
{
    struct region **leaf = table_leaf((uintptr_t)p);
    if (!leaf) return NULL;
    return __atomic_load_n(table_slot(leaf, (uintptr_t)p), __ATOMIC_ACQUIRE);
}

static int table_make_leaf(uintptr_t addr)
{
    if (addr >> ADDRESS_BITS) return -ENOMEM;
    if (table_leaf(addr)) return 0;
    struct region **leaf = calloc((size_t)1 << LEAF_BITS, sizeof(struct region *));
    if (!leaf) return -ENOMEM;
    struct region **none = NULL;
    if (!__atomic_compare_exchange_n(&table[addr >> (CHUNK_SHIFT + LEAF_BITS)], &none, leaf, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        free(leaf); /* another thread was first */
    return 0;
}

static int table_reserve(char *base, size_t len)
{
    for (size_t at = 0; at < len; at += REGION_CHUNK)
        if (table_make_leaf((uintptr_t)base + at)) return -ENOMEM;
    return 0;
}

static void table_set(char *base, size_t len, struct region *r)
{
    for (size_t at = 0; at < len; at += REGION_CHUNK) {
        uintptr_t addr = (uintptr_t)base + at;
        __atomic_store_n(table_slot(table_leaf(addr), addr), r, __ATOMIC_RELEASE);
    }
}

/* --- memory from the system --- */

static char *map_normal(size_t len)
{
    size_t room = len + REGION_CHUNK;
    char *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t front = -(uintptr_t)p & (REGION_CHUNK - 1);
    if (front) munmap(p, front);
    if (room - front - len) munmap(p + front + len, room - front - len);
    return p + front;
}

static char *map_memory(size_t len, bool want_huge, bool *huge_out)
{
    *huge_out = false;
    if (!want_huge) return map_normal(len);
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    *huge_out = p != MAP_FAILED && ((uintptr_t)p & (REGION_CHUNK - 1)) == 0;
    if (*huge_out) return p;
    if (p != MAP_FAILED) munmap(p, len); /* pages of another huge size */
    return map_normal(len);
}

/* Best effort. */
static void place_on_node(char *base, size_t len)
{
    if (node_count() == 1) return;
    int node = node_here();
    if (node >= 0) node_prefer(base, len, node);
}

static void advise_huge(struct region *r)
{
    if (!r->huge_pages && !r->set->small_pages) madvise(r->base, r->len, MADV_HUGEPAGE); /* best effort */
}

/* Once, when the heap is not small any more; the new region is left to who takes its chunks. */
static void advise_old(struct region_set *set, const struct region *but)
{
    list_for_each(it, &set->regions) if (list_entry(it, struct region, link) != but)
        advise_huge(list_entry(it, struct region, link));
}

bool region_wants_huge(const struct region *r)
{
    return !r->huge_pages && !r->set->small_pages && r->set->mapped_bytes > HUGE_FROM;
}

void region_advise_huge(struct region *r, char *base, size_t count)
{
    if (region_wants_huge(r)) madvise(base, count * REGION_CHUNK, MADV_HUGEPAGE); /* best effort */
}

bool region_cut(struct region *r, char *chunk)
{
    if (!region_wants_huge(r) || r->set->cut_chunks == REGION_CUT_MAX) return false;
    if (madvise(chunk, REGION_CHUNK, MADV_NOHUGEPAGE)) return false;
    r->set->cut_chunks++;
    return true;
}

void region_uncut(struct region *r, char *chunk)
{
    ASSERT(r->set->cut_chunks > 0);
    r->set->cut_chunks--;
    region_advise_huge(r, chunk, 1);
}

/* --- devices --- */

void *region_cookie(int device, const void *p)
{
    const struct region *r = region_find(p);
    return r ? r->memory.cookies[device] : extmem_cookie(device, p);
}

/* --- regions --- */

void region_set_init(struct region_set *set, void *owner)
{
    *set = (struct region_set){.owner = owner};
    list_init(&set->regions);
}

static struct region *region_make(struct region_set *set, size_t len)
{
    if (set->limit_bytes && len > set->limit_bytes - set->mapped_bytes) return NULL;
    size_t count = len / REGION_CHUNK;
    struct region *r = calloc(1, sizeof *r + count * sizeof(struct chunk_info));
    if (!r) return NULL;
    r->set = set;
    r->len = len;
    r->chunk_count = r->free_count = (uint32_t)count;
    r->base = map_memory(len, !set->small_pages, &r->huge_pages);
    if (!r->base) goto free_region;
    place_on_node(r->base, len);
    if (table_reserve(r->base, len)) goto unmap_memory;
    table_set(r->base, len, r); /* devices may ask what it is */
    r->memory = (struct registered){.base = r->base, .len = len};
    registry_add(&r->memory, false);
    return r;

unmap_memory:
    munmap(r->base, len);
free_region:
    free(r);
    return NULL;
}

struct region *region_new(struct region_set *set, size_t bytes)
{
    if (bytes > (size_t)1 << 46) return NULL;
    if (set->limit_bytes && set->mapped_bytes >= set->limit_bytes) return NULL;
    size_t least = (bytes + REGION_CHUNK - 1) & ~(REGION_CHUNK - 1);
    if (!least) least = REGION_CHUNK;
    size_t len = set->mapped_bytes / 8 & ~(REGION_CHUNK - 1);
    if (len > REGION_SIZE_MAX) len = REGION_SIZE_MAX;
    if (len < least) len = least;
    struct region *r = region_make(set, len);
    if (!r && len > least) r = region_make(set, least);
    if (!r) return NULL;
    list_push_back(&set->regions, &r->link);
    bool was_small = set->mapped_bytes <= HUGE_FROM;
    set->mapped_bytes += r->len;
    if (was_small && set->mapped_bytes > HUGE_FROM) advise_old(set, r);
    poison(r->base, r->len);
    poison_root_add(r->base, r->len);
    return r;
}

static void region_drop(struct region *r)
{
    struct region_set *set = r->set;
    registry_remove(&r->memory);
    table_set(r->base, r->len, NULL);
    poison_root_remove(r->base, r->len);
    unpoison(r->base, r->len);
    munmap(r->base, r->len);
    set->mapped_bytes -= r->len;
    set->dirty_chunks -= r->dirty_count;
    list_remove(&r->link);
    free(r);
}

void region_set_fini(struct region_set *set)
{
    list_for_each_safe(it, &set->regions) region_drop(list_entry(it, struct region, link));
}

/* --- chunks --- */

static bool chunk_is_free(const struct region *r, size_t i, bool clean_only)
{
    return r->chunks[i].state == CHUNK_CLEAN || (!clean_only && r->chunks[i].state == CHUNK_DIRTY);
}

static void mark_taken(struct region *r, size_t i, uint8_t state, void *huge, bool *dirty)
{
    if (r->chunks[i].state == CHUNK_DIRTY) {
        *dirty = true;
        r->dirty_count--;
        r->set->dirty_chunks--;
    }
    r->chunks[i] = (struct chunk_info){.huge = huge, .state = state};
    r->free_count--;
}

/* Where a run of `count` free chunks begins, or chunk_count. */
static size_t find_run(struct region *r, size_t count, bool clean_only)
{
    while (r->hint < r->chunk_count && !chunk_is_free(r, r->hint, false)) r->hint++;
    size_t run = 0;
    for (size_t i = r->hint; i < r->chunk_count; i++) {
        run = chunk_is_free(r, i, clean_only) ? run + 1 : 0;
        if (run == count) return i + 1 - count;
    }
    return r->chunk_count;
}

char *region_take_chunks(struct region_set *set, size_t count, uint8_t state, bool clean_only,
                         struct region **region_out, bool *dirty_out)
{
    bool dirty = false;
    list_for_each(it, &set->regions)
    {
        struct region *r = list_entry(it, struct region, link);
        if (r->free_count - (clean_only ? r->dirty_count : 0) < count) continue;
        size_t at = find_run(r, count, clean_only);
        if (at == r->chunk_count) continue;
        for (size_t i = at; i < at + count; i++) mark_taken(r, i, state, NULL, &dirty);
        *region_out = r;
        *dirty_out = dirty;
        return r->base + at * REGION_CHUNK;
    }
    return NULL;
}

char *region_take_dirty(struct region_set *set, uint8_t state, struct region **region_out)
{
    if (!set->dirty_chunks) return NULL;
    list_for_each(it, &set->regions)
    {
        struct region *r = list_entry(it, struct region, link);
        for (size_t i = r->hint; r->dirty_count && i < r->chunk_count; i++) {
            if (r->chunks[i].state != CHUNK_DIRTY) continue;
            bool dirty;
            mark_taken(r, i, state, NULL, &dirty);
            *region_out = r;
            return r->base + i * REGION_CHUNK;
        }
    }
    return NULL;
}

void region_give_chunks(struct region *r, char *base, size_t count)
{
    size_t at = region_chunk_index(r, base);
    DASSERT(at + count <= r->chunk_count);
    for (size_t i = at; i < at + count; i++) {
        DASSERT(!chunk_is_free(r, i, false));
        r->chunks[i] = (struct chunk_info){.state = CHUNK_DIRTY};
    }
    poison(base, count * REGION_CHUNK);
    r->free_count += (uint32_t)count;
    r->dirty_count += (uint32_t)count;
    r->set->dirty_chunks += count;
    if (at < r->hint) r->hint = (uint32_t)at;
}

bool region_extend(struct region *r, char *end, size_t count, uint8_t state, void *huge)
{
    size_t at = region_chunk_index(r, end);
    if (count > r->chunk_count - at) return false;
    for (size_t i = at; i < at + count; i++)
        if (!chunk_is_free(r, i, true)) return false;
    bool dirty;
    for (size_t i = at; i < at + count; i++) mark_taken(r, i, state, huge, &dirty);
    return true;
}

/* Neighbours go in one call to the system: it is the call that costs when the pages are few. */
static size_t purge_region(struct region *r, size_t max_chunks)
{
    size_t done = 0;
    for (size_t i = r->hint; i < r->chunk_count && r->dirty_count && done < max_chunks;) {
        size_t n = 0;
        while (i + n < r->chunk_count && done + n < max_chunks && r->chunks[i + n].state == CHUNK_DIRTY) n++;
        if (!n) {
            i++;
            continue;
        }
        if (!registry_drop_pages(r->base + i * REGION_CHUNK, n * REGION_CHUNK)) return done;
        for (size_t k = i; k < i + n; k++) r->chunks[k].state = CHUNK_CLEAN;
        r->dirty_count -= (uint32_t)n;
        r->set->dirty_chunks -= n;
        done += n;
        i += n;
    }
    return done;
}

size_t region_purge(struct region_set *set, size_t max_chunks)
{
    if (!set->dirty_chunks || registry_pins_pages()) return 0;
    size_t done = 0;
    list_for_each(it, &set->regions)
    {
        struct region *r = list_entry(it, struct region, link);
        if (r->dirty_count && !r->huge_pages) done += purge_region(r, max_chunks - done);
        if (done == max_chunks) break;
    }
    return done;
}

size_t region_release(struct region_set *set, size_t max)
{
    size_t done = 0;
    bool pins = registry_pins_pages();
    list_for_each_safe(it, &set->regions)
    {
        struct region *r = list_entry(it, struct region, link);
        if (done == max || set->regions.next->next == &set->regions) break;
        if (r->free_count != r->chunk_count || (r->dirty_count && !pins && !r->huge_pages)) continue;
        region_drop(r);
        done++;
    }
    return done;
}
