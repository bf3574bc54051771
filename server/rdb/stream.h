/* SPDX-License-Identifier: MIT
 *
 * Streams: there are no commands for them here yet, so the value of such a key is what RDB has, kept as it came. It is
 * looked through when it comes, so that whoever reads it later finds a whole stream.
 *
 *     nodes | { ID (a string of 16 bytes) | listpack } ...                                        stream_node.h
 *     entries | last ID | [first ID | last deleted ID | entries ever added]                       from type 19 on
 *     groups | { name | last ID delivered | [entries read]                                        from type 19 on
 *                pending | { ID (16 bytes) | time (8) | deliveries } ...
 *                consumers | { name | seen (8) | [active (8)] | pending | { ID (16 bytes) } ... } type 21
 *              } ...
 */
#ifndef SERVER_RDB_STREAM_H
#define SERVER_RDB_STREAM_H

#include "server/db/entry.h"
#include "server/rdb/format.h"
#include "server/rdb/sink.h"
#include "server/rdb/source.h"
#include "server/rdb/stream_node.h"

/* A stream of that type; *out is the caller's: one byte, the type, and then the value. deep: an entry that is pending
 * has a consumer that it waits for (sanitize-dump-payload). seed: of hash tables. */
bool rdb_read_stream(struct rdb_source *s, unsigned type, bool deep, uint64_t seed, struct blob **out);

/* The type a stream has in s: 7.0 has no times at which consumers were active. */
enum rdb_type rdb_stream_type_of(const struct rdb_sink *s, const struct blob *stream);
void rdb_write_stream(struct rdb_sink *s, const struct blob *stream);

/* Shows every entry, in order. */
void rdb_stream_each(const struct blob *stream, const struct stream_visitor *v);

#endif
