/* SPDX-License-Identifier: MIT
 *
 * Strings too long for their entry. References are taken by the worker that owns the slice and dropped by anybody (the
 * helper thread frees whole databases), hence the atomics; who finds itself the only holder needs none, since nobody
 * else can take one then.
 */
#include "server/db/entry.h"

#include "server/mem.h"

#define GROW_STEP_MAX ((size_t)1 << 20) /* double up to here, then add this much: as Redis grows its strings */

struct blob *blob_new(size_t len, size_t cap)
{
    ASSERT(cap >= len);
    struct blob *b = mem_alloc(sizeof *b + cap);
    b->refs = 1;
    b->len = len;
    b->cap = cap;
    return b;
}

struct blob *blob_grow(struct blob *b, size_t len)
{
    ASSERT(b->refs == 1);
    if (len > b->cap) {
        size_t cap = len < GROW_STEP_MAX ? len * 2 : len + GROW_STEP_MAX;
        b = mem_realloc(b, sizeof *b + cap);
        b->cap = cap;
    }
    if (len > b->len) memset(b->data + b->len, 0, len - b->len);
    b->len = len;
    return b;
}

bool blob_is_lent(const struct blob *b)
{
    return __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) != 1 || demi_is_pinned(b);
}

void blob_ref(struct blob *b)
{
    uint32_t was = __atomic_fetch_add(&b->refs, 1, __ATOMIC_RELAXED);
    ASSERT(was > 0 && was < UINT32_MAX);
}

void blob_unref(struct blob *b)
{
    if (__atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) != 1) {
        uint32_t was = __atomic_fetch_sub(&b->refs, 1, __ATOMIC_ACQ_REL);
        ASSERT(was > 0);
        if (was != 1) return;
    }
    mem_free_sized(b, sizeof *b + b->cap);
}
