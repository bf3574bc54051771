/* SPDX-License-Identifier: MIT
 *
 * demi_malloc() and its kin: the thread's heap under its public names. Memory of the program's own.
 */
#include "demi/here.h"

#include "alloc/extmem.h"
#include "alloc/heap.h"

void *demi_malloc(size_t size) { return heap_alloc(size); }
void *demi_calloc(size_t count, size_t size) { return heap_calloc(count, size); }
void *demi_realloc(void *p, size_t size) { return heap_realloc(p, size); }
void demi_free(void *p) { heap_free(p); }
void demi_free_sized(void *p, size_t size) { heap_free_sized(p, size); }
bool demi_is_pinned(const void *p) { return heap_is_pinned(p); }
size_t demi_malloc_size(const void *p) { return heap_size(p); }
size_t demi_good_size(size_t size) { return heap_good_size(size); }
size_t demi_mem_used(void) { return heap_used(); }
size_t demi_mem_active(void) { return heap_active(); }
bool demi_mem_collect(void) { return heap_collect(); }
void demi_mem_purge(void) { heap_purge(); }

static_assert(DEMI_MEM_CLASSES == SLAB_CLASSES, "demi/ext.h says how many");
bool demi_mem_defrag_begin(unsigned size_class) { return heap_defrag_begin(size_class); }
void *demi_mem_defrag_move(void *p) { return heap_defrag_move(p); }

/* Chunks of which a quarter is free. */
bool demi_mem_defrag_end(size_t chunks)
{
    if (heap_defrag_end()) return true;
    return chunks && heap_purge_blocks(CHUNK_BLOCKS / 4, chunks) != 0;
}

static void copy_stats(struct demi_mem_stats *out, const struct heap_stats *s)
{
    *out = (struct demi_mem_stats){.used = s->used,
                                   .active = s->active,
                                   .resident = s->resident,
                                   .peak = s->peak,
                                   .pinned = s->pinned,
                                   .held = s->held};
}

void demi_mem_stats(struct demi_mem_stats *out)
{
    if (!out) return;
    struct heap_stats s;
    heap_stats(&s);
    copy_stats(out, &s);
}

void demi_mem_counts(struct demi_mem_stats *out)
{
    if (!out) return;
    struct heap_stats s;
    heap_counts(&s);
    copy_stats(out, &s);
}

void demi_mem_class_stats(struct demi_mem_class out[DEMI_MEM_CLASSES])
{
    struct heap_class_stats s[SLAB_CLASSES];
    heap_class_stats(s);
    for (uint32_t i = 0; out && i < SLAB_CLASSES; i++)
        out[i] = (struct demi_mem_class){s[i].size, s[i].slabs, s[i].objects, s[i].places, s[i].bytes};
}

int demi_mem_register(void *base, size_t size)
{
    KEEP_ERRNO();
    return -extmem_register(base, size);
}

int demi_mem_unregister(void *base)
{
    KEEP_ERRNO();
    return -extmem_unregister(base);
}
