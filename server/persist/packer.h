/* SPDX-License-Identifier: MIT
 *
 * What makes an RDB file small and safe takes most of the time it takes to write one: strings are compressed, and all
 * bytes summed up. A packer does both on a thread of its own. Pieces of a deferring sink (server/rdb/sink.h) go in,
 * full buffers come out, in order:
 *
 *     packer_put()  packer_put_string()  packer_end()  ->  [thread]  ->  packer_take()  packer_give()
 *
 * All functions are the loop's. Where time is simulated there are no threads, and a task does it.
 */
#ifndef SERVER_PERSIST_PACKER_H
#define SERVER_PERSIST_PACKER_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#include "demi/ext.h"
#include "server/rdb/sink.h"

#define PACKED_SIZE    262144u
#define PACKED_ALIGN   4096u /* where a buffer begins, for files that are written past the page cache */
#define PACKED_BUFFERS 8u    /* one that is filled, one that is taken, six that are being written */

struct packer;

struct packed_buffer { /* a buffer; its owner changes, it stays where it is. Memory of the heap */
    char *p;
    size_t n;
};

struct packer_options {
    bool compress;
    bool checksum, ends_in_checksum; /* it may end in a zero for one */
    bool in_task;                    /* of the loop, not in a thread */
    const cpu_set_t *cpus;           /* for the thread; NULL: as other helpers. Read by packer_new() */
    demi_wake_t *wake;               /* rung when there is something to take, and when pieces were taken in */
};

/* NULL: no thread or task, or no memory. */
struct packer *packer_new(const struct packer_options *o);
/* At any moment; whatever is in it is dropped. No buffer is out. */
void packer_free(struct packer *p);

/* Now, or behind all that is put until packer_put_later(). */
enum packer_when { PACKER_NOW, PACKER_LATER };
/* p is copied, marks too. */
void packer_put(struct packer *p, enum packer_when when, const char *bytes, size_t n, const struct rdb_mark *marks,
                size_t mark_count);
/* A string, without its length. lent: the blob that b is all of, which is held until it was written; NULL: copied.
 * alone: its other holder is about to let go of it. */
void packer_put_string(struct packer *p, enum packer_when when, struct bytes b, struct blob *lent, bool alone);
/* What was put for later comes now. */
void packer_put_later(struct packer *p);
/* No more comes: the checksum is added, and the last buffer handed out. */
void packer_end(struct packer *p);
/* Bytes put and not packed yet; those put for later are not among them. */
size_t packer_waiting(struct packer *p);
/* Memory that all that was put takes: lent strings only if they are held here alone. */
size_t packer_memory(struct packer *p);

/* The next buffer, to be pushed as it is and then given back. False: none is full. */
bool packer_take(struct packer *p, struct packed_buffer **out);
void packer_give(struct packer *p, struct packed_buffer *buffer);
/* It stops as soon as it can; what it has not packed is dropped. packer_free() then need not wait for it. */
void packer_stop(struct packer *p);
bool packer_has_stopped(struct packer *p);
/* Everything was taken. */
bool packer_is_done(struct packer *p);

#endif
