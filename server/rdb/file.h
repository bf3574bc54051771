/* SPDX-License-Identifier: MIT
 *
 * The RDB file: dbfilename in the working directory (`dir`). Saving is atomic: a temporary file, flushed, renamed, the
 * folder flushed; whatever fails, the file that was there stays.
 *
 * Both run in one go: the caller's thread waits (demi_wait) for what the library's helper threads do to the file, and
 * no client is served meanwhile. That is right for DEBUG RELOAD and before the first client only. Where time is
 * simulated there are no files: -ENOTSUP.
 */
#ifndef SERVER_RDB_FILE_H
#define SERVER_RDB_FILE_H

#include "server/rdb/snapshot.h"

/* 0 or -errno; logged. srv->dirty is 0 afterwards. */
int rdb_file_save(struct call *c);
/* 0, -errno of opening and reading, or what rdb_read_snapshot() returns; logged. */
int rdb_file_load(struct call *c, unsigned flags);

#endif
