/* SPDX-License-Identifier: MIT
 *
 * Entries as the commands that make them: the base of append-only files with `aof-use-rdb-preamble no`.
 */
#ifndef SERVER_PERSIST_AOF_COMMANDS_H
#define SERVER_PERSIST_AOF_COMMANDS_H

#include "server/db/entry.h"
#include "server/persist/aof_stream.h"
#include "server/rdb/sink.h"
#include "server/types/hash.h"
#include "server/types/list.h"
#include "server/types/set.h"
#include "server/types/zset.h"

struct aof_commands { /* private */
    struct rdb_sink *s;
    int db; /* -1: it says anew in which database the next entry is */
    /* the value in the writing */
    const struct entry *e;
    size_t count, done; /* elements */
    union {
        struct list_view list;
        struct set set;
        struct zset zset;
        struct hash hash;
    } of;
    union {
        struct list_reader list;
        struct set_iter set;
        struct zset_iter zset;
        struct hash_iter hash;
        struct aof_stream stream;
    } at;
};
/* stamp_s: a mark of the time comes first; 0: none. */
void aof_commands_begin(struct aof_commands *c, struct rdb_sink *s, int64_t stamp_s);
/* A library of functions; before any entry. */
void aof_commands_put_library(struct aof_commands *c, struct bytes code);
/* Entries in any order. Errors are the sink's. */
void aof_commands_put(struct aof_commands *c, int db, const struct entry *e);
/* The same in steps: begin, more (about so many bytes) until it is true, or else abandon. The value does not change
 * meanwhile. */
void aof_commands_begin_value(struct aof_commands *c, int db, const struct entry *e);
bool aof_commands_more(struct aof_commands *c, size_t bytes);
void aof_commands_abandon(struct aof_commands *c);
/* A set, hash or sorted set element by element, so many, while it may change: begin, each element (in any order),
 * end. */
void aof_commands_begin_elements(struct aof_commands *c, int db, const struct entry *e, size_t count);
void aof_commands_element(struct aof_commands *c, const struct entry *e, const struct element *el);
void aof_commands_end_elements(struct aof_commands *c, const struct entry *e);

#endif
