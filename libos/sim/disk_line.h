/* SPDX-License-Identifier: MIT
 *
 * Operations of a simulated disk that are done one after the other: a file's, or all of those that change names.
 *
 *     disk_line_add() --> jobs --begin--> the disk works --end--> op, and the next
 *
 * What a write or a change of a name does is there when its work begins, what a read gives or a sync makes safe when it
 * ends. A crash in between is one in the middle of it.
 */
#ifndef SIM_DISK_LINE_H
#define SIM_DISK_LINE_H

#include "libos/sim/disk.h"
#include "libos/sim/disk_tree.h"
#include "libos/sim/world.h"

#define DISK_LINE_WAITING_MAX 4096 /* operations of one host, then EBUSY, as of a helper of libos/disk */

struct sim_disk {
    struct list all; /* in the simulation's list */
    struct sim *sim;
    struct sim_disk_settings settings;
    struct disk_tree tree;
    struct disk_mount *mount; /* NULL: no host has it */
    struct list lines;        /* those that an event still refers to, too */
    uint64_t fail_at;         /* the number of the operation that fails; 0: none */
    int fail_with;
    uint64_t call_at; /* in the middle of which something is to happen; 0: none */
    void (*call)(void *arg);
    void *call_arg;
    struct sim_disk_stats stats;
};

/* The libOS of one host. */
struct disk_mount {
    struct libos base;
    struct sim_disk *disk; /* NULL: not yet */
    struct sim_host *host;
    bool dead; /* the host has crashed: nothing has an effect any more, and everything fails */
    unsigned waiting;
    struct disk_line *names;
};

enum disk_job_kind {
    DISK_OPEN,
    DISK_PUSH,
    DISK_POP,
    DISK_TRUNCATE,
    DISK_SIZE,
    DISK_SYNC,
    DISK_CLOSE,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_MKDIR
};

struct sim_disk_job {
    struct sim_disk_job *next;
    enum disk_job_kind kind;
    struct op *op;   /* NULL: nobody waits (any more) */
    int err;         /* 0 or an errno */
    int flags;       /* open */
    uint64_t length; /* truncate; size: the answer */
    struct buf *buf; /* pop */
    size_t room;     /* of it */
    bool is_placed;  /* at `place`, and the file's cursor stays */
    uint64_t place;
    size_t bytes, done; /* push; pop: the answer */
    char *path, *to;
    unsigned count;
    struct seg segs[]; /* push */
};

struct disk_line {
    struct list all;
    struct sim_disk *disk;
    struct disk_mount *mount; /* NULL: the runtime has gone */
    bool busy;                /* an event will end the first job's work, or a part of it */
    struct sim_disk_job *jobs, **last;
    struct sim_file *file; /* NULL: the line is of names */
};

struct disk_line *disk_line_new(struct disk_mount *m, struct sim_file *f);
/* Nothing is in it. */
void disk_line_free(struct disk_line *l);
/* With more bytes behind it. NULL with *err: too much waits, or no memory. */
struct sim_disk_job *disk_job_new(struct disk_mount *m, enum disk_job_kind kind, size_t more, int *err);
void disk_job_free(struct sim_disk_job *j);
void disk_line_add(struct disk_line *l, struct sim_disk_job *j);
/* An operation that is done at once (demi_open() without a token): 0, or the errno that the settings want. */
int disk_fault(struct sim_disk *d, enum disk_job_kind kind);

/* --- what a file makes of it (disk_file.c) --- */

struct sim_file;
int sim_file_open(struct disk_mount *m, const char *path, int flags, struct op *op, struct queue **out);
/* The first job's work begins; *bytes of it are the disk's work this time. Fails with j->err. */
void sim_file_begin(struct sim_file *f, struct sim_disk_job *j, int fault, size_t *bytes);
/* It ends; false: that was a part of it. */
bool sim_file_end(struct sim_file *f, struct sim_disk_job *j);
/* The job is over, whatever it has become: its op is told. After a close the file is gone (true). */
bool sim_file_finish(struct sim_file *f, struct sim_disk_job *j);
/* The host has crashed: the file refers to nothing any more. */
void sim_file_lose(struct sim_file *f);
void sim_file_free(struct sim_file *f);

#endif
