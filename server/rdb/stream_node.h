/* SPDX-License-Identifier: MIT
 *
 * A node of a stream: a listpack of entries that follow each other in time. Its key in the stream's tree is the ID that
 * all of its entries are counted from: milliseconds and sequence number, 8 bytes each, big-endian.
 *
 *     entries | deleted ones | n | n fields' names | 0                                        what most entries share
 *     flags | ms | seq |                  n values | elements before this one                  an entry of those fields
 *     flags | ms | seq | m | m pairs of name, value | elements before this one                  one of its own fields
 */
#ifndef SERVER_RDB_STREAM_NODE_H
#define SERVER_RDB_STREAM_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/ds/listpack.h"

#define STREAM_ID_SIZE 16

/* Is shown the entries that are not deleted, in order, each followed by its fields. */
struct stream_visitor {
    void (*entry)(void *arg, uint64_t ms, uint64_t seq);
    void (*field)(void *arg, struct lp_value name, struct lp_value value);
    void *arg;
};

/* lp: sound as a listpack. False: it is not the node of a stream; what came before the fault has been shown. v may be
 * NULL. */
bool stream_node_walk(const unsigned char *lp, const char id[STREAM_ID_SIZE], const struct stream_visitor *v);

#endif
