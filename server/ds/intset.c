/* SPDX-License-Identifier: MIT
 *
 * Integers are kept at the smallest of three widths that holds them all; the first one that does not fit widens the
 * whole block, and nothing narrows it again (DUMP shows the width, and Redis never narrows either). A new width means
 * the new integer lies outside of the old range, so it goes to one of the ends.
 *
 * The count is 32 bits; callers convert to a dict long before (set-max-intset-entries).
 */
#include "server/ds/intset.h"

#include "alloc/base/bytes.h"
#include "server/mem.h"

#define HEADER 8

/* Nothing but bytes, since integers of any width follow. */
struct intset {
    uint8_t bytes[HEADER];
};

static uint32_t width_of(const struct intset *s) { return load_u32(s->bytes); }
static uint32_t count_of(const struct intset *s) { return load_u32(s->bytes + 4); }

static uint32_t width_for(int64_t v)
{
    if (v < INT32_MIN || v > INT32_MAX) return 8;
    return v < INT16_MIN || v > INT16_MAX ? 4 : 2;
}

static int64_t load_int(const uint8_t *p, uint32_t width)
{
    if (width == 8) return (int64_t)load_u64(p);
    return width == 4 ? (int32_t)load_u32(p) : (int16_t)load_u16(p);
}

static void store_int(uint8_t *p, uint32_t width, int64_t v)
{
    if (width == 8) {
        store_u64(p, (uint64_t)v);
    } else if (width == 4) {
        store_u32(p, (uint32_t)v);
    } else {
        store_u16(p, (uint16_t)v);
    }
}

static uint8_t *at(const struct intset *s, size_t index) { return (uint8_t *)s + HEADER + index * width_of(s); }

static void header_set(struct intset *s, uint32_t width, size_t count)
{
    store_u32(s->bytes, width);
    store_u32(s->bytes + 4, (uint32_t)count);
}

/* --- reading -------------------------------------------------------------------------------------- */

size_t intset_count(const struct intset *s) { return count_of(s); }
size_t intset_bytes(const struct intset *s) { return HEADER + (size_t)count_of(s) * width_of(s); }

int64_t intset_get(const struct intset *s, size_t index)
{
    DASSERT(index < count_of(s));
    return load_int(at(s, index), width_of(s));
}

bool intset_find(const struct intset *s, int64_t v, size_t *index)
{
    size_t low = 0, high = count_of(s);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (intset_get(s, middle) < v) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *index = low;
    return low < count_of(s) && intset_get(s, low) == v;
}

bool intset_has(const struct intset *s, int64_t v)
{
    size_t index;
    return width_for(v) <= width_of(s) && intset_find(s, v, &index);
}

bool intset_validate(const void *block, size_t n, bool deep)
{
    if (n < HEADER) return false;
    const struct intset *s = block;
    uint32_t width = width_of(s), count = count_of(s);
    if (width != 2 && width != 4 && width != 8) return false;
    if (count == 0 || n - HEADER != (uint64_t)count * width) return false;
    for (size_t i = 1; deep && i < count; i++) {
        if (intset_get(s, i - 1) >= intset_get(s, i)) return false;
    }
    return true;
}

/* --- changing ------------------------------------------------------------------------------------- */

struct intset *intset_new(void)
{
    struct intset *s = mem_alloc(HEADER);
    header_set(s, 2, 0);
    return s;
}

struct intset *intset_new_from(const void *block, size_t n)
{
    struct intset *s = mem_alloc(n);
    memcpy(s, block, n);
    return s;
}

void intset_free(struct intset *s) { mem_free(s); }

/* Widens for v, which is below or above all others, and adds it. */
static struct intset *widen_and_add(struct intset *s, int64_t v)
{
    uint32_t old_width = width_of(s), width = width_for(v);
    size_t count = count_of(s), gap = v < 0;
    s = mem_realloc(s, HEADER + (count + 1) * width);
    for (size_t i = count; i-- > 0;) { /* from the end: what is written is not read later */
        int64_t old = load_int((uint8_t *)s + HEADER + i * old_width, old_width);
        store_int((uint8_t *)s + HEADER + (i + gap) * width, width, old);
    }
    header_set(s, width, count + 1);
    store_int(at(s, gap ? 0 : count), width, v);
    return s;
}

struct intset *intset_add(struct intset *s, int64_t v, bool *added)
{
    size_t count = count_of(s), index;
    uint32_t width = width_of(s);
    ASSERT(count < UINT32_MAX);
    if (added) *added = true;
    if (width_for(v) > width) return widen_and_add(s, v);
    if (intset_find(s, v, &index)) {
        if (added) *added = false;
        return s;
    }
    s = mem_realloc(s, HEADER + (count + 1) * width);
    memmove(at(s, index + 1), at(s, index), (count - index) * width);
    store_int(at(s, index), width, v);
    header_set(s, width, count + 1);
    return s;
}

struct intset *intset_remove_at(struct intset *s, size_t index)
{
    size_t count = count_of(s);
    uint32_t width = width_of(s);
    DASSERT(index < count);
    memmove(at(s, index), at(s, index + 1), (count - index - 1) * width);
    header_set(s, width, count - 1);
    return mem_realloc(s, HEADER + (count - 1) * width);
}

struct intset *intset_remove(struct intset *s, int64_t v, bool *removed)
{
    size_t index;
    bool there = width_for(v) <= width_of(s) && intset_find(s, v, &index);
    if (removed) *removed = there;
    return there ? intset_remove_at(s, index) : s;
}
