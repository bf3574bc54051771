/* SPDX-License-Identifier: MIT
 *
 * A client that is fed from streams: a replica gets a payload (server/repl/payload.h), then the history from where that
 * stands. Both are pushed as they lie, never more at once than FEED_WINDOW bytes: what a slow reader has not taken
 * waits in the blocks that all readers share, and not in his socket.
 *
 * What was handed to the library is read, but its memory comes back only when it has been sent. So two readers go
 * through the history:
 *
 *        sent            in_journal                        end of the history
 *         v                  v                                 v
 *     ----+==================+---------------------------------+
 *           the library's            feed_lag()
 *
 * All from `sent` on is the replica's output buffer, to the block: eviction does not count it, INFO shows it.
 */
#ifndef SERVER_NET_FEED_H
#define SERVER_NET_FEED_H

#include "server/journal/journal.h"

struct client;
struct payload;

#define FEED_WINDOW ((size_t)1 << 20)

struct feed {
    struct payload *payload; /* NULL: it has been read */
    struct broadcast_reader in_payload, in_journal, sent;
    struct journal *journal;
    bool held; /* the journal is not read yet: the first ACK is awaited */
};

/* cl reads p, as soon as that flows, then the history. p gathers readers. */
void feed_start(struct client *cl, struct payload *p);
/* p flows, and nothing was put yet. */
void feed_flow(struct client *cl);
/* cl reads the history from the byte at this offset on: what history_continues() allowed. */
void feed_continue(struct client *cl, uint64_t from);
void feed_end(struct client *cl); /* harmless without one */
/* Pushes what there is, as far as the window goes. 0 or a positive errno. */
int feed_push(struct client *cl);
/* cl->unsent was looked at: what has been sent need not be kept. */
void feed_see_sent(struct client *cl);
/* Bytes of the history it has not read; what lies in a payload is not counted: that has a bound of its own. */
uint64_t feed_lag(const struct client *cl);

#endif
