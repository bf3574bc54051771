/* SPDX-License-Identifier: MIT
 *
 * Streams as RDB has them:
 *
 *     nodes | { ID (a string of 16 bytes) | listpack } ...                                        ds/xstream.h
 *     entries | last ID | [first ID | last deleted ID | entries ever added]                       from type 19 on
 *     groups | { name | last ID delivered | [entries read]                                        from type 19 on
 *                pending | { ID (16 bytes) | time (8) | deliveries } ...
 *                consumers | { name | seen (8) | [active (8)] | pending | { ID (16 bytes) } ... } type 21
 *              } ...
 */
#ifndef SERVER_RDB_STREAM_H
#define SERVER_RDB_STREAM_H

#include "server/rdb/format.h"
#include "server/rdb/sink.h"
#include "server/rdb/source.h"
#include "server/ds/xstream.h"

/* A stream of that type into *out, which is empty and stays the caller's, also when something is wrong. */
bool rdb_read_stream(struct rdb_source *s, unsigned type, struct xstream *out);

/* The type a stream has in s: 7.0 has no times at which consumers were active. */
enum rdb_type rdb_stream_type_of(const struct rdb_sink *s);
/* A stream is its number of nodes, each of them, and the rest. */
void rdb_write_stream_node(struct rdb_sink *s, const struct btree_slot *node);
void rdb_write_stream_rest(struct rdb_sink *s, const struct xstream *stream);

#endif
