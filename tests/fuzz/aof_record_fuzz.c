/* SPDX-License-Identifier: MIT
 *
 * Records of an append-only file on a log queue. A line that is understood is the one we would have written: nothing
 * else means the same, so that a record which was changed is not taken for another.
 */
#include <stdint.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "server/mem.h"
#include "server/persist/aof_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = mem_alloc(size + !size); /* no byte more: what reads on is seen */
    struct aof_record r;
    memcpy(copy, data, size);
    enum aof_record_kind kind = aof_record_read(bytes_of(copy, size), &r);
    ASSERT(kind == r.kind);
    switch (kind) {
    case AOF_RECORD_BYTES: ASSERT(r.text.p == copy + 1 && r.text.n == size - 1); break;
    case AOF_RECORD_LATER: ASSERT(size <= AOF_RECORD_LINE_MAX && copy[0] == '!'); break;
    case AOF_RECORD_BAD: ASSERT(!size || copy[0] != AOF_RECORD_BYTES_TAG); break;
    case AOF_RECORD_MARK:
    case AOF_RECORD_RESUME:
    case AOF_RECORD_BASE:
    case AOF_RECORD_END: {
        char again[AOF_RECORD_LINE_MAX];
        ASSERT(aof_record_write(&r, again) == size);
        ASSERT(memcmp(again, copy, size) == 0);
        break;
    }
    }
    mem_free(copy);
    return 0;
}
