/* SPDX-License-Identifier: MIT
 *
 * See store.h: blocks by calls that block, for programs that have nothing else to do.
 */
#include "libos/log/store.h"

#include "alloc/buf.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct buf *alog_buf_new(uint32_t n)
{
    struct buf *b = buf_take((size_t)n + ALOG_BLOCK);
    if (!b) return NULL;
    buf_put_back(b, (size_t)n + ALOG_BLOCK);
    size_t odd = -(uintptr_t)b->data & (ALOG_BLOCK - 1);
    buf_trim_front(b, odd);
    buf_trim_back(b, ALOG_BLOCK - odd);
    return b;
}

/* What is not there reads as zeroes. */
static int read_all(int fd, uint64_t at, uint8_t *p, size_t n)
{
    while (n) {
        ssize_t got = pread(fd, p, n, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        if (got == 0) {
            memset(p, 0, n);
            return 0;
        }
        p += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

static int write_all(int fd, uint64_t at, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t got = pwrite(fd, p, n, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got ? -errno : -EIO;
        p += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

static int run(struct alog_store *s, const struct blockdev_request *r, unsigned n)
{
    int fd = ((struct alog_plain *)s)->fd, err = 0;
    for (; n && !err; n--, r++) {
        if (r->verb == BLOCKDEV_READ) err = read_all(fd, r->at, r->buf->data, r->n);
        else if (r->verb == BLOCKDEV_WRITE) err = write_all(fd, r->at, r->buf->data, r->n);
        if (!err && (r->verb == BLOCKDEV_FLUSH || r->flags & BLOCKDEV_DURABLE)) err = fdatasync(fd) ? -errno : 0;
    }
    return err;
}

void alog_plain_init(struct alog_plain *p, int fd, uint64_t size)
{
    *p = (struct alog_plain){.store = {.run = run, .size = size, .request_max = 1u << 20, .may_wait = true}, .fd = fd};
}
