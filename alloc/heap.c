/* SPDX-License-Identifier: MIT
 *
 * The heap's first version, over libc: the contract of the header for one thread, without pins that hold. Replaced by slabs.
 */
#include "alloc/heap.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

static size_t used;

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (p) used += malloc_usable_size(p);
    return p;
}

void *mem_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (p) used += malloc_usable_size(p);
    return p;
}

void *mem_realloc(void *old, size_t size)
{
    size_t before = old ? malloc_usable_size(old) : 0;
    void *p = realloc(old, size ? size : 1);
    if (p) used += malloc_usable_size(p) - before;
    return p;
}

void mem_free(void *p)
{
    if (!p) return;
    used -= malloc_usable_size(p);
    free(p);
}

void mem_free_sized(void *p, size_t size) { mem_free(p); }
size_t mem_size(const void *p) { return malloc_usable_size((void *)(uintptr_t)p); }
size_t mem_good_size(size_t size) { return (size + 15) & ~(size_t)15; }
size_t mem_used(void) { return used; }
void mem_stats(struct mem_stats *out)
{
    *out = (struct mem_stats){.used = used, .active = used, .resident = used, .peak = used};
}
int mem_pin(const void *p) { return p ? 0 : -EINVAL; }
void mem_unpin(const void *p) {}
bool mem_is_pinned(const void *p) { return false; }
void *mem_find(const void *p) { return (void *)(uintptr_t)p; }
bool heap_collect(void) { return false; }
struct region_set *heap_regions(void) { return NULL; }
void heap_set_limit(size_t bytes) {}
