/* SPDX-License-Identifier: MIT
 *
 * Bytes from outside as an intset (RDB, DUMP payloads): what intset_validate() accepts must be safe to walk and to
 * change, and what a deep look accepts must behave as a set.
 */
#include "server/ds/intset.h"

#include "alloc/base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads everything. Sum keeps the reads from being optimised away. */
static int64_t walk(const struct intset *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < intset_count(s); i++) sum += (uint64_t)intset_get(s, i);
    return (int64_t)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!intset_validate(data, size, false)) {
        ASSERT(!intset_validate(data, size, true));
        return 0;
    }
    bool is_set = intset_validate(data, size, true), changed;
    struct intset *s = intset_new_from(data, size);
    ASSERT(intset_bytes(s) == size);
    int64_t v = walk(s), first = intset_get(s, 0);
    intset_has(s, v);
    for (size_t i = 0; is_set && i < intset_count(s); i++) {
        size_t index;
        ASSERT(intset_find(s, intset_get(s, i), &index));
        ASSERT(index == i);
    }
    s = intset_add(s, v, &changed);
    if (is_set) {
        ASSERT(intset_validate(s, intset_bytes(s), true));
        ASSERT(intset_has(s, v));
        s = intset_remove(s, v, &changed);
        ASSERT(changed);
        ASSERT(!intset_has(s, v));
    } else {
        s = intset_remove(s, first, &changed);
    }
    if (intset_count(s)) s = intset_remove_at(s, intset_count(s) - 1);
    intset_free(s);
    return 0;
}
