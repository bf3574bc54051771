/* SPDX-License-Identifier: MIT
 *
 * An append-only file on log queues (aof_logs.h) to Redis's files and back: for demi-log(1), which has a runtime of its
 * own. Not for a server: files are read and written by calls that wait.
 */
#ifndef SERVER_PERSIST_AOF_EXCHANGE_H
#define SERVER_PERSIST_AOF_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#define AOF_EXCHANGE_WHY_SIZE 8192

struct aof_exchanged {
    uint64_t base_bytes, incr_bytes;
    char why[AOF_EXCHANGE_WHY_SIZE]; /* one line, of what failed */
};

/* "log:PATH#NAME" into a folder, which is made, as files of Redis 7: a base, an increment, the manifest last. A folder
 * that has a manifest is refused. 0 or -errno. */
int aof_export(const char *name, const char *folder, struct aof_exchanged *out);
/* A folder's files into a log, which is made; in the log nothing changes before all is there. One that has an
 * append-only file is refused, unless it is to be replaced. The files stay. 0 or -errno. */
int aof_import(const char *folder, const char *name, bool replace, struct aof_exchanged *out);

#endif
