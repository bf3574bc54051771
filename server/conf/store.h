/* SPDX-License-Identifier: MIT
 *
 * The configuration as a row of snapshots. One is current; it and those before it never change. CONFIG SET makes a
 * copy, changes that, and publishes it whole or not at all. A reader (a worker) takes the current one at the start of
 * its turn and passes by that: what it had before is out of its hands. A replaced snapshot is freed when every reader
 * has passed since it was replaced:
 *
 *      epoch        0         1         2
 *      current   [ s0 ] -> [ s1 ] -> [ s2 ]
 *      readers      A                   B         A has not passed since s0 went: s0 stays, and s1, which A may have
 *                                                 seen in the meantime; when A passes, both go
 *
 * Changes wait for each other at a lock, and so does a reader that finds another snapshot than it had; one that finds
 * the same takes no lock.
 */
#ifndef SERVER_CONF_STORE_H
#define SERVER_CONF_STORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "alloc/base/list.h"
#include "server/conf/conf.h"

/* More replaced snapshots than these do not wait for a reader that sleeps: a change is refused until it passed. */
enum { CONF_REPLACED_MAX = 64 };

struct conf_reader {
    const struct config *cfg; /* what this reader works with */
    uint64_t epoch;           /* private to the store, as the rest is */
    struct list link;
};

struct conf_store {
    const struct config *_Atomic *current;
    const struct config *first;
    pthread_mutex_t lock;
    uint64_t epoch;       /* changes so far */
    struct list readers;  /* struct conf_reader */
    struct list replaced; /* struct config, the oldest first */
    unsigned replaced_count;
};

/* current: where the pointer lies that everybody reads. The snapshot that is there stays the caller's, and is not freed
 * when it is replaced; it must outlive the store. Fini: there are no readers any more; *current is that first one
 * again. */
void conf_store_init(struct conf_store *st, const struct config *_Atomic *current);
void conf_store_fini(struct conf_store *st);

/* A reader that takes part from now on (all zero, or one that left), and one that goes. */
void conf_store_join(struct conf_store *st, struct conf_reader *r);
void conf_store_leave(struct conf_store *st, struct conf_reader *r);
/* The reader holds nothing of the snapshots it had, and takes the current one. */
void conf_store_pass(struct conf_store *st, struct conf_reader *r);

/* conf_set() on the current one, and the result published. Also -EAGAIN, with a text: see CONF_REPLACED_MAX. The
 * caller's own reader has what it had until it passes. */
int conf_store_set(struct conf_store *st, const struct bytes *pairs, int count, bool protected_too, bool loading,
                   struct conf_text *err);

/* The server decided whom it follows: `replicaof` as CONFIG GET and CONFIG REWRITE have it from now on. host NULL:
 * nobody. -EAGAIN: as above. */
int conf_store_set_replicaof(struct conf_store *st, const char *host, int port);

#endif
