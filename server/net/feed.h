/* SPDX-License-Identifier: MIT
 *
 * A client that is fed from streams: a replica gets a snapshot, then the journal from where the snapshot stands. Both
 * are pushed as they lie, never more at once than FEED_WINDOW bytes: what a slow reader has not taken waits in the
 * blocks that all readers share, and not in his socket.
 */
#ifndef SERVER_NET_FEED_H
#define SERVER_NET_FEED_H

#include "server/journal/journal.h"

struct client;
struct snapshot;

#define FEED_WINDOW ((size_t)1 << 20)

/* A snapshot in memory, and the place in the journal where it stands; counted by who reads it. */
struct snapshot {
    struct broadcast text;
    struct broadcast_reader first; /* the whole of it */
    struct broadcast_reader since; /* the journal from then on */
    struct journal *journal;
    uint64_t offset; /* of the history, where it stands */
    int version;     /* of RDB */
    uint64_t bytes;
    bool is_whole; /* all of it is there: until then nobody is given any of it, since its size goes in front */
    unsigned refs;
};
struct snapshot *snapshot_new(struct journal *j); /* empty; stands where the journal is now; refs 1 */
void snapshot_unref(struct snapshot *s);
/* Bytes of effects a new reader of it would have to catch up with. */
uint64_t snapshot_age(const struct snapshot *s);

struct feed {
    struct snapshot *snapshot; /* NULL: it has been read */
    struct broadcast_reader in_snapshot, in_journal;
    struct journal *journal;
    bool held; /* the journal is not read yet: the first ACK is awaited */
};

/* cl reads s (a reference of its own is taken), then the journal. */
void feed_start(struct client *cl, struct snapshot *s);
/* cl reads the history from the byte at this offset on: what history_continues() allowed. */
void feed_continue(struct client *cl, uint64_t from);
void feed_end(struct client *cl); /* harmless without one */
/* Pushes what there is, as far as the window goes. 0 or a positive errno. */
int feed_push(struct client *cl);
/* Bytes of the journal it has not read; what lies in a snapshot is not counted: that is as large as the data. */
uint64_t feed_lag(const struct client *cl);

#endif
