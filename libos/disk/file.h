/* SPDX-License-Identifier: MIT
 *
 * A file as a queue, and what all files of a runtime share (struct disk).
 */
#ifndef DISK_FILE_H
#define DISK_FILE_H

#include "libos/disk/disk.h"
#include "libos/disk/helper.h"
#include "libos/disk/ring.h"

struct disk {
    struct libos base;
    struct helper helpers[DISK_HELPERS];
    struct disk_ring *ring;           /* NULL: helpers do everything */
    uint64_t has_ring;                /* 1: it is in use */
    unsigned listed;                  /* jobs in the lists of files */
    struct file *files;               /* all of them, closing ones too */
    struct file *ready, **last_ready; /* those that have something for the ring, in the order in which they came */
    uint64_t opens, reads, writes, syncs, tx_bytes, busy, errors;
};

struct file {
    struct queue q;
    struct disk *disk;
    struct helper *helper;
    int fd;         /* -1 until it is open */
    int open_error; /* why it is not: what every operation then ends with */
    int lost_error; /* the owner's: the first error of a push that nobody waited for */
    bool append;
    bool direct;          /* past the page cache: whoever has the descriptor looks, and switches it off for good */
    bool closing_now;     /* its queue is gone */
    unsigned outstanding; /* jobs */
    unsigned in_helper, in_ring;
    struct file_job *jobs, **last_job; /* that the helper does not have; those in the ring come first */
    struct file *next, **link;
    struct file *next_ready;
    bool is_ready;
    size_t unsent;
    off_t cursor;
    struct op_list ops;
    struct file_job *closing; /* taken at open, so that a close cannot run out of memory */
};

static inline bool disk_uses_ring(const struct disk *d) { return d->ring && !ring_is_retired(d->ring); }

/* op NULL: opens before it returns. Else as libos_ops.open says. h does what the ring does not. */
int file_open(struct disk *d, struct helper *h, const char *path, int flags, unsigned mode, struct op *op,
              struct queue **out);
/* Hands on what may be handed on now. */
void file_pump(struct file *f);
/* Those that wait for the ring get what room there is, in their order. */
void files_ready(struct disk *d);

#endif
