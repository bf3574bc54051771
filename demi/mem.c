/* SPDX-License-Identifier: MIT
 *
 * demi_malloc() and its kin: a first version over libc, until alloc/heap.h stands.
 */
#include "demi/ext.h"

#include <malloc.h>
#include <stdlib.h>

static size_t used;

void *demi_malloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (p) used += malloc_usable_size(p);
    return p;
}

void *demi_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (p) used += malloc_usable_size(p);
    return p;
}

void *demi_realloc(void *old, size_t size)
{
    size_t before = old ? malloc_usable_size(old) : 0;
    void *p = realloc(old, size ? size : 1);
    if (p) used += malloc_usable_size(p) - before;
    return p;
}

void demi_free(void *p)
{
    if (!p) return;
    used -= malloc_usable_size(p);
    free(p);
}

void demi_free_sized(void *p, size_t size) { demi_free(p); }
size_t demi_malloc_size(const void *p) { return malloc_usable_size((void *)p); }
size_t demi_good_size(size_t size) { return (size + 15) & ~(size_t)15; }
size_t demi_mem_used(void) { return used; }
void demi_mem_stats(struct demi_mem_stats *out)
{
    *out = (struct demi_mem_stats){.used = used, .active = used, .resident = used, .peak = used};
}
