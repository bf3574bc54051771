/* SPDX-License-Identifier: MIT */
#include "libos/disk/file_job.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/buf.h"

int file_job_open_path(const char *path, int flags, mode_t mode, bool *direct)
{
    int fd = open(path, flags | O_CLOEXEC, mode);
    *direct = fd >= 0 && flags & O_DIRECT;
    if (fd >= 0 || errno != EINVAL || !(flags & O_DIRECT)) return fd;
    return open(path, (flags & ~(O_DIRECT | O_EXCL)) | O_CLOEXEC,
                mode); /* it may have been made before it was refused */
}

void file_job_open(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    f->fd = file_job_open_path((const char *)fj->segs, fj->flags, fj->mode, &f->direct);
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
    if (!fj->file->append) *file_job_place(fj) += (off_t)n;
    for (; at < fj->left && n >= fj->iov[at].iov_len; at++) n -= fj->iov[at].iov_len;
    fj->iov += at;
    fj->left -= at;
    if (!fj->left) return true;
    fj->iov->iov_base = (char *)fj->iov->iov_base + n;
    fj->iov->iov_len -= n;
    return false;
}

static bool is_aligned(const struct file_job *fj, off_t offset)
{
    uintptr_t all = (uintptr_t)offset;
    for (unsigned i = 0; i < fj->left; i++) all |= (uintptr_t)fj->iov[i].iov_base | fj->iov[i].iov_len;
    return !(all & (DISK_ALIGNMENT - 1));
}

static void use_page_cache(struct file *f)
{
    int flags = fcntl(f->fd, F_GETFL);
    if (flags >= 0) fcntl(f->fd, F_SETFL, flags & ~O_DIRECT); /* if it fails, so will the write, which says so */
    f->direct = false;
}

void file_job_align(struct file_job *fj, off_t offset)
{
    if (fj->file->direct && !is_aligned(fj, offset)) use_page_cache(fj->file);
}

bool file_job_again(struct file_job *fj, int err)
{
    if (err != EINVAL || !fj->file->direct) return false;
    use_page_cache(fj->file);
    return true;
}

void file_job_push(struct disk_job *j)
{
    struct file_job *fj = (struct file_job *)j;
    struct file *f = fj->file;
    if (!is_open(fj)) return;
    while (fj->left) {
        file_job_align(fj, *file_job_place(fj));
        int count = (int)file_job_pieces(fj);
        ssize_t n = f->append ? writev(f->fd, fj->iov, count) : pwritev(f->fd, fj->iov, count, *file_job_place(fj));
        if (n < 0 && (errno == EINTR || file_job_again(fj, errno))) continue;
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
    do n = pread(f->fd, fj->buf->data, fj->room, *file_job_place(fj));
    while (n < 0 && (errno == EINTR || file_job_again(fj, errno)));
    if (n < 0) {
        fj->err = errno;
        return;
    }
    *file_job_place(fj) += n;
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
