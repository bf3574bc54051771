/* SPDX-License-Identifier: MIT
 *
 * Listpacks from outside: what lp_validate() lets through can be walked both ways, read, copied element by element into
 * an equal one, and edited.
 */
#include <stdint.h>
#include <stdlib.h>

#include "alloc/base/assert.h"
#include "server/ds/listpack.h"
#include "server/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const unsigned char *lp)
{
    size_t count = lp_count(lp), seen = 0;
    char text[NUMBER_I64_SIZE];
    unsigned char *copy = lp_new(0);
    const unsigned char *last = NULL;
    for (const unsigned char *e = lp_first(lp); e; e = lp_next(lp, e)) {
        ASSERT(lp_prev(lp, e) == last);
        last = e;
        seen++;
        struct bytes s = lp_get_bytes(e, text);
        copy = lp_append(copy, s);
        ASSERT(lp_equal(e, s));
        ASSERT(lp_equal(lp_last(copy), s));
    }
    ASSERT(lp_last(lp) == last);
    ASSERT(seen == count && lp_count(copy) == count);
    ASSERT(lp_seek(lp, (long)count) == NULL);
    ASSERT(lp_validate(copy, lp_bytes(copy), true, NULL, NULL));
    lp_free(copy);
}

static void edit(const unsigned char *original, size_t size)
{
    unsigned char *lp = memcpy(mem_alloc(size), original, size);
    unsigned char *e = lp_seek(lp, (long)lp_count(lp) / 2);
    if (e) lp = lp_insert_after(lp, e, BYTES("inserted"), &e);
    if (e) lp = lp_replace(lp, &e, BYTES("12345"));
    lp = lp_delete_range(lp, -1, 1);
    lp = lp_merge(lp, lp_dup(lp));
    ASSERT(lp_validate(lp, lp_bytes(lp), true, NULL, NULL));
    lp_free(lp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char *lp = malloc(size ? size : 1); /* of exactly this size for the sanitizer */
    if (size) memcpy(lp, data, size);
    if (lp_validate(lp, size, true, NULL, NULL)) {
        walk(lp);
        edit(lp, size);
    }
    free(lp);
    return 0;
}
