/* SPDX-License-Identifier: MIT
 *
 * An array in the order of the IDs, which is that of their bytes.
 */
#include "server/rdb/stream_ids.h"

#include <stdlib.h>
#include <string.h>

#include "server/mem.h"

#define FIRST_ROOM 16

static int compare(const void *a, const void *b) { return memcmp(a, b, STREAM_ID_SIZE); }

void stream_ids_add(struct stream_ids *l, const char id[STREAM_ID_SIZE])
{
    if (l->count == l->cap) {
        l->cap = l->cap ? l->cap * 2 : FIRST_ROOM;
        l->all = mem_realloc(l->all, l->cap * sizeof *l->all);
    }
    struct stream_id *new = &l->all[l->count++];
    memcpy(new->id, id, STREAM_ID_SIZE);
    new->marked = false;
    if (l->count > 1 && compare(new - 1, new) >= 0) l->unordered = true;
}

bool stream_ids_end(struct stream_ids *l)
{
    if (!l->unordered) return true;
    qsort(l->all, l->count, sizeof *l->all, compare);
    for (size_t i = 1; i < l->count; i++)
        if (compare(&l->all[i - 1], &l->all[i]) == 0) return false;
    return true;
}

struct stream_id *stream_ids_find(const struct stream_ids *l, const char id[STREAM_ID_SIZE])
{
    return l->count ? bsearch(id, l->all, l->count, sizeof *l->all, compare) : NULL;
}

void stream_ids_free(struct stream_ids *l)
{
    mem_free(l->all);
    *l = (struct stream_ids){0};
}
