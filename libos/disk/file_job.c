/* SPDX-License-Identifier: MIT */
#include "libos/disk/file_job.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/buf.h"

void file_job_open(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    f->fd = open((const char *)fj->segs, fj->flags | O_CLOEXEC, fj->mode);
    if (f->fd < 0) f->open_error = fj->err = errno;
}

/* Whether there is a file to work on; else the job fails as its opening did. */
static bool is_open(struct file_job *fj)
{
    if (fj->file->fd < 0) fj->err = fj->file->open_error;
    return fj->file->fd >= 0;
}

bool file_job_wrote(struct file_job *fj, size_t n)
{
    unsigned at = 0;
    if (!fj->file->append) fj->file->cursor += (off_t)n;
    for (; at < fj->left && n >= fj->iov[at].iov_len; at++) n -= fj->iov[at].iov_len;
    fj->iov += at;
    fj->left -= at;
    if (!fj->left) return true;
    fj->iov->iov_base = (char *)fj->iov->iov_base + n;
    fj->iov->iov_len -= n;
    return false;
}

void file_job_push(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    if (!is_open(fj)) return;
    while (fj->left) {
        int count = (int)file_job_pieces(fj);
        ssize_t n = f->append ? writev(f->fd, fj->iov, count) : pwritev(f->fd, fj->iov, count, f->cursor);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            fj->err = n < 0 ? errno : EIO;
            return;
        }
        file_job_wrote(fj, (size_t)n);
    }
    if (fj->durable && fdatasync(f->fd)) fj->err = errno;
}

void file_job_pop(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    ssize_t n;
    if (!is_open(fj)) return;
    do n = pread(f->fd, fj->buf->data, DISK_READ_MAX, f->cursor);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        fj->err = errno;
        return;
    }
    f->cursor += n;
    fj->bytes = (size_t)n;
}

void file_job_truncate(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    if (is_open(fj) && ftruncate(fj->file->fd, fj->length)) fj->err = errno;
}

void file_job_size(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct stat st;
    if (!is_open(fj)) return;
    if (fstat(fj->file->fd, &st)) fj->err = errno;
    else fj->length = st.st_size;
}

void file_job_sync(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    if (!is_open(fj)) return;
    if (fj->data_only ? fdatasync(fj->file->fd) : fsync(fj->file->fd)) fj->err = errno;
}

void file_job_close(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    int fd = fj->file->fd;
    if (fd >= 0 && close(fd) && errno != EINTR) fj->err = errno; /* closed it is in any case */
}
