/* SPDX-License-Identifier: MIT
 *
 * A file read from its beginning to its end, block by block. Reads run ahead, so that the disk works while the last
 * block is looked at; and of RDB a lookahead (server/rdb/lookahead.h) goes ahead of who reads it, on a thread of its
 * own where there is a second core for it. What comes over a connection is read so, too: another task feeds it in.
 *
 *     reads of the library -.
 *                            :-> arrived -> [lookahead] -> looked through -> read_ahead_next()
 *     read_ahead_feed() ----'
 *
 * All functions are the loop's, and but for those that feed, of the task that reads. Memory: READ_AHEAD_BLOCKS blocks
 * of 64 KiB, and the notes of so many.
 */
#ifndef SERVER_PERSIST_READ_AHEAD_H
#define SERVER_PERSIST_READ_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

#define READ_AHEAD_BLOCKS 8u

struct rdb_notes;
struct read_ahead;

/* 0 or -errno. */
int read_ahead_open(struct read_ahead **out, const char *path);
/* A log queue, from the record at the offset on: each has '+' in front of bytes that count, READ_AHEAD_RECORD at most;
 * what has none ends them. 0 or -errno. */
#define READ_AHEAD_RECORD (65536u + 1)
int read_ahead_open_log(struct read_ahead **out, const char *name, uint64_t offset);
void read_ahead_close(struct read_ahead *r);

/* Without a file. 0 or -errno. */
int read_ahead_open_fed(struct read_ahead **out);
/* More for it, copied; waits while all blocks are in use. What nobody reads any more is dropped. 0 or -errno. */
int read_ahead_feed(struct read_ahead *r, struct bytes b);
/* No more comes: that was all, or err (-errno) has ended it. */
void read_ahead_feed_end(struct read_ahead *r, int err);
/* Nobody reads what is fed any more; who feeds waits for nothing from then on. */
void read_ahead_leave(struct read_ahead *r);

/* The length of the file; of what is fed, and of a log, -ENOTSUP. */
int read_ahead_size(const struct read_ahead *r, uint64_t *bytes);

struct read_ahead_look {
    uint64_t seed;   /* of the hashes of keys */
    bool summing;    /* the checksum is wanted */
    bool own_thread; /* if there is a core for it */
};
/* The file is RDB: its blocks come with notes. Before the first of them is asked for. */
void read_ahead_look(struct read_ahead *r, const struct read_ahead_look *how);

/* The next block, valid until the one after it is asked for; *notes is NULL where there are none. Its size; 0: the end;
 * -errno. */
long read_ahead_next(struct read_ahead *r, struct bytes *block, const struct rdb_notes **notes);
/* Of those blocks, in all. */
uint64_t read_ahead_bytes(const struct read_ahead *r);
/* -errno of the disk, after it was met; 0. */
int read_ahead_error(const struct read_ahead *r);

#endif
