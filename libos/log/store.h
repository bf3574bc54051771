/* SPDX-License-Identifier: MIT
 *
 * Where the blocks of a device of logs are: requests go in, and the call returns when they are done. Three have one: a
 * runtime's task, which is suspended meanwhile (device.c); demi-log, by plain calls on a descriptor (plain.c); tests.
 */
#ifndef LOG_STORE_H
#define LOG_STORE_H

#include "libos/blockdev.h"
#include "libos/log/format.h"

struct alog_store {
    /* All of them, and waits. 0, or the -errno of one that failed. What lies behind the end of a file reads as
 * zeroes. */
    int (*run)(struct alog_store *s, const struct blockdev_request *r, unsigned n);
    uint64_t size; /* bytes that are there */
    uint32_t request_max;
    bool may_wait; /* false: whoever reads gets -EWOULDBLOCK for what is not at hand */
};

/* A buffer with room for n bytes that begin at a multiple of the block; its len is n. NULL: no memory. */
struct buf *alog_buf_new(uint32_t n);

static inline int alog_read_blocks(struct alog_store *s, uint64_t at, struct buf *b, uint32_t n)
{
    return s->run(s, &(struct blockdev_request){.verb = BLOCKDEV_READ, .at = at, .buf = b, .n = n}, 1);
}
static inline int alog_write_blocks(struct alog_store *s, uint64_t at, struct buf *b, uint32_t n)
{
    return s->run(s, &(struct blockdev_request){.verb = BLOCKDEV_WRITE, .at = at, .buf = b, .n = n}, 1);
}
static inline int alog_flush(struct alog_store *s)
{
    return s->run(s, &(struct blockdev_request){.verb = BLOCKDEV_FLUSH}, 1);
}

/* A store over a descriptor, by calls that block; or over a controller of NVMe, which is polled. */
struct alog_plain {
    struct alog_store store;
    int fd;
    struct alog_nvme *nvme; /* NULL: a descriptor */
};
/* size: of the file or device. */
void alog_plain_init(struct alog_plain *p, int fd, uint64_t size);
/* where: "0000:01:00.0", or with "/NAMESPACE". -errno, with why in a line of NVME_WHY_SIZE. */
int alog_plain_open_nvme(struct alog_plain *p, const char *where, char *why);
/* Shuts the controller down. */
void alog_plain_close_nvme(struct alog_plain *p);

#endif
