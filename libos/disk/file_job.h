/* SPDX-License-Identifier: MIT
 *
 * One operation on a file, and what a helper does for it. The ring does the same by requests that file.c describes;
 * where a job goes, and what becomes of its result, is file.c's, too.
 */
#ifndef DISK_FILE_JOB_H
#define DISK_FILE_JOB_H

#include <limits.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "libos/disk/file.h"
#include "libos/runtime/seg.h"

struct file_job {
    struct disk_job job;
    struct file_job *next; /* in the file's list */
    struct ring_io io;
    bool in_ring;
    struct file *file;
    struct op *op; /* NULL: nobody waits (any more). The helper does not look at it. */
    int err;
    struct buf *buf; /* pop */
    size_t room;     /* of it */
    bool is_placed;  /* at `place`, and the file's cursor stays */
    off_t place;
    off_t length;   /* truncate; size: the answer */
    bool data_only; /* sync */
    bool durable;   /* push: done when the bytes are on the disk */
    int flags;      /* open */
    mode_t mode;    /* open; its path lies where a push has its segs */
    size_t bytes;
    struct iovec read; /* pop, by the ring */
    struct iovec *iov; /* push: what is still to be written, behind the segs */
    unsigned left;     /* pieces of that */
    unsigned count;
    struct seg segs[]; /* push */
};

/* open(2) for a file of ours. O_DIRECT is a wish: *direct says whether it came true. -1 with errno. */
int file_job_open_path(const char *path, int flags, mode_t mode, bool *direct);

/* job.run, on the helper's thread: the result lies in the job, err 0 or an errno. */
void file_job_open(struct disk_job *j);
void file_job_push(struct disk_job *j);
void file_job_pop(struct disk_job *j);
void file_job_truncate(struct disk_job *j);
void file_job_size(struct disk_job *j);
void file_job_sync(struct disk_job *j);
void file_job_close(struct disk_job *j);

/* Where a push or pop is done. */
static inline off_t *file_job_place(struct file_job *fj) { return fj->is_placed ? &fj->place : &fj->file->cursor; }

/* Of a push, before it is made: what the device cannot take as it lies goes by way of the page cache, and so does all
 * that follows. */
void file_job_align(struct file_job *fj, off_t offset);
/* Of a push or pop that failed: whether it is worth another try, since a device has taken against what lay as it
 * should. */
bool file_job_again(struct file_job *fj, int err);
/* Of a push: n bytes more are written; true: it was all. */
bool file_job_wrote(struct file_job *fj, size_t n);
/* Pieces that one call takes of what is left. */
static inline unsigned file_job_pieces(const struct file_job *fj)
{
    return fj->left < UIO_MAXIOV ? fj->left : UIO_MAXIOV;
}

#endif
