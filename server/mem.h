/* SPDX-License-Identifier: MIT
 *
 * The server's heap: demi_malloc() with the one policy the server has for exhaustion. When the machine itself has
 * no memory left there is nothing correct to answer (maxmemory is what bounds data), so mem_alloc() logs and stops the
 * process instead of returning NULL; no caller checks.
 *
 * Free with the size where it is known: it saves a look-up.
 */
#ifndef SERVER_MEM_H
#define SERVER_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "demi/ext.h"

_Noreturn void mem_exhausted(size_t size); /* server/mem.c */
/* Who is told first, and may end the process in its own way (server/observe/crash.h). Of the process. */
void mem_on_exhausted(void (*tell)(size_t size));

static inline void *mem_alloc(size_t size)
{
    void *p = demi_malloc(size);
    if (unlikely(!p)) mem_exhausted(size);
    return p;
}

static inline void *mem_calloc(size_t size)
{
    void *p = demi_calloc(1, size);
    if (unlikely(!p)) mem_exhausted(size);
    return p;
}

static inline void *mem_realloc(void *old, size_t size)
{
    void *p = demi_realloc(old, size);
    if (unlikely(!p)) mem_exhausted(size);
    return p;
}

static inline void mem_free(void *p) { demi_free(p); }
static inline void mem_free_sized(void *p, size_t size) { demi_free_sized(p, size); }
/* Gives an object another place if it keeps a hardly used block alive (demi_mem_defrag_begin()), and returns that;
 * NULL: it stays. Whoever has pointers to it must change them. */
struct mem_moves {
    uint64_t hits, misses;
};
static inline void *mem_move(struct mem_moves *m, void *p)
{
    void *q = demi_mem_defrag_move(p);
    *(q ? &m->hits : &m->misses) += 1;
    return q;
}
static inline size_t mem_size(const void *p) { return demi_malloc_size(p); }

#endif
