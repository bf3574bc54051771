/* SPDX-License-Identifier: MIT
 *
 * IDs of a stream's nodes or pending entries, to find which are there twice. Whoever wrote them had them in a tree, so
 * they come in order nearly always; if they do not, they are sorted.
 */
#ifndef SERVER_RDB_STREAM_IDS_H
#define SERVER_RDB_STREAM_IDS_H

#include <stdbool.h>
#include <stddef.h>

#include "server/rdb/stream_node.h"

struct stream_id {
    char id[STREAM_ID_SIZE];
    bool marked; /* the owner's */
};

struct stream_ids { /* zero: none */
    struct stream_id *all;
    size_t count, cap;
    bool unordered;
};

void stream_ids_add(struct stream_ids *l, const char id[STREAM_ID_SIZE]);
/* No more are added. False: one is there twice. */
bool stream_ids_end(struct stream_ids *l);
/* After the end. NULL: it is not there. */
struct stream_id *stream_ids_find(const struct stream_ids *l, const char id[STREAM_ID_SIZE]);
void stream_ids_free(struct stream_ids *l);

#endif
