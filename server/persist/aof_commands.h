/* SPDX-License-Identifier: MIT
 *
 * Entries as the commands that make them: the base of append-only files with `aof-use-rdb-preamble no`.
 */
#ifndef SERVER_PERSIST_AOF_COMMANDS_H
#define SERVER_PERSIST_AOF_COMMANDS_H

#include "server/db/entry.h"
#include "server/rdb/sink.h"

struct aof_commands { /* private */
    struct rdb_sink *s;
    int db;
};
/* stamp_s: a mark of the time comes first; 0: none. */
void aof_commands_begin(struct aof_commands *c, struct rdb_sink *s, int64_t stamp_s);
/* Entries in any order. Errors are the sink's. */
void aof_commands_put(struct aof_commands *c, int db, const struct entry *e);

#endif
