/* SPDX-License-Identifier: MIT
 *
 * See iova.h.
 */
#include "libos/nvme/iova.h"

#include "alloc/base/assert.h"

#include <errno.h>
#include <string.h>

#define LOWEST  ((uint64_t)1 << 20) /* an address of 0 is nobody's by mistake */
#define HIGHEST (((uint64_t)1 << 39) - 1)

void iova_init(struct iova_space *s)
{
    s->count = 0;
    s->usable_count = 2;
    s->usable[0] = (struct iova_range){LOWEST, 0xfedfffff};
    s->usable[1] = (struct iova_range){0xfef00000, HIGHEST};
}

bool iova_limit(struct iova_space *s, const struct iova_range *ranges, unsigned n)
{
    unsigned count = 0;
    ASSERT(!s->count);
    for (unsigned i = 0; i < n && count < IOVA_RANGES_MAX; i++) {
        struct iova_range r = ranges[i];
        if (r.last < r.first || (count && r.first <= s->usable[count - 1].last)) return false;
        if (r.first < LOWEST) r.first = LOWEST;
        if (r.last > INT64_MAX) r.last = INT64_MAX;
        if (r.first < r.last) s->usable[count++] = r;
    }
    s->usable_count = count;
    return count > 0;
}

static void insert(struct iova_space *s, unsigned at, uint64_t first, uint64_t n)
{
    memmove(&s->taken[at + 1], &s->taken[at], (s->count - at) * sizeof *s->taken);
    s->taken[at] = (struct iova_range){first, first + n - 1};
    s->count++;
}

/* Between what is taken, from r's beginning on. */
static bool fit(struct iova_space *s, struct iova_range r, uint64_t n, uint64_t align, uint64_t *out)
{
    uint64_t at = (r.first + align - 1) & -align;
    unsigned i = 0;
    while (i < s->count && s->taken[i].last < at) i++;
    for (;; i++) {
        if (at > r.last || r.last - at < n - 1) return false;
        if (i == s->count || s->taken[i].first > at + n - 1) break;
        at = (s->taken[i].last + align) & -align;
    }
    insert(s, i, at, n);
    *out = at;
    return true;
}

int iova_take(struct iova_space *s, uint64_t n, uint64_t align, uint64_t *out)
{
    ASSERT(n && align && !(align & (align - 1)));
    if (s->count == IOVA_TAKEN_MAX || n > INT64_MAX) return -ENOSPC;
    for (unsigned i = 0; i < s->usable_count; i++)
        if (fit(s, s->usable[i], n, align, out)) return 0;
    return -ENOSPC;
}

void iova_give(struct iova_space *s, uint64_t first)
{
    unsigned i = 0;
    while (i < s->count && s->taken[i].first != first) i++;
    ASSERT(i < s->count);
    memmove(&s->taken[i], &s->taken[i + 1], (s->count - i - 1) * sizeof *s->taken);
    s->count--;
}
