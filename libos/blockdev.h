/* SPDX-License-Identifier: MIT
 *
 * A device of blocks as the library wants it: bytes by address, in whole blocks. Whoever has one (a file or a block
 * device of the kernel's: libos/log/filedev.h; later a driver of NVMe) fills these ops; libos/log calls them. Records,
 * order, group commit and recovery stay on the library's side.
 *
 * One struct blockdev serves one thread, nothing here is called from another. What a call refuses at once it refuses
 * with -errno and has changed nothing; what becomes of a request is a completion.
 *
 * - A request carries a 64-bit word of the library's, and its completion carries that word back. The device never looks
 *   behind it.
 * - Requests have no order among themselves, and none is a barrier. The library keeps what order it needs by waiting
 *   for completions. No two requests that are out at once touch the same block, unless both read.
 * - FLUSH makes durable what had been *completed* before it was posted. WRITE with BLOCKDEV_DURABLE is complete when
 *   its own blocks are durable. Without a volatile cache a completed write is durable, and FLUSH is never posted.
 * - A write that has failed, or was cut off by a power cut, leaves each of its blocks old, new, or anything; of one
 *   that lies whole in caps.atomic_max bytes, aligned to that, each old or new as a whole.
 * - The bytes of a request lie in a buffer (alloc/buf.h), from its data on, at a multiple of the block. Until the
 *   completion the library keeps its reference; a device that may touch the bytes after close() holds one of its own.
 *   Buffers lie in registered regions (alloc/registry.h), so that a device finds what it needs of them by address.
 * - The device calls news() as soon as poll() would give something, from the thread's turn and never from inside of
 *   post(): a libOS that drives hardware does so from its own poll() or its watched descriptor, which is why there is
 *   no descriptor to sleep on here.
 */
#ifndef LIBOS_BLOCKDEV_H
#define LIBOS_BLOCKDEV_H

#include <stdbool.h>
#include <stdint.h>

struct blockdev;
struct buf;

#define BLOCKDEV_BURST 16 /* completions or requests a call, at most */

enum blockdev_verb {
    BLOCKDEV_READ,
    BLOCKDEV_WRITE,
    BLOCKDEV_FLUSH,      /* no bytes */
    BLOCKDEV_DEALLOCATE, /* what the blocks hold from now on is not defined; where caps.deallocate is */
};

#define BLOCKDEV_DURABLE 1u /* of a WRITE, where caps.durable_writes is */

struct blockdev_request {
    uint64_t word;
    uint64_t at; /* bytes from the device's beginning, whole blocks as n is */
    struct buf *buf;
    uint32_t n; /* of READ and WRITE up to caps.request_max */
    uint8_t verb;
    uint8_t flags;
};

struct blockdev_completion {
    uint64_t word;
    int32_t err; /* 0 or an errno. EIO: it cannot be known what of a write is there */
};

struct blockdev_caps {
    uint64_t size;        /* bytes, whole blocks */
    uint32_t block;       /* bytes, a power of two */
    uint32_t request_max; /* bytes of one request (NVMe: MDTS) */
    uint32_t atomic_max;  /* bytes that a power cut leaves old or new as a whole (NVMe: AWUPF); 0: not even a block */
    bool volatile_cache;  /* FLUSH is needed (NVMe: VWC) */
    bool durable_writes;  /* BLOCKDEV_DURABLE (NVMe: FUA) */
    bool deallocate;
};

struct blockdev_ops {
    /* Takes the first n' <= n requests; the rest is asked again after the next completions. What it takes and cannot do
     * is reported. */
    unsigned (*post)(struct blockdev *d, const struct blockdev_request *in, unsigned n);
    /* Up to max completions. */
    unsigned (*poll)(struct blockdev *d, struct blockdev_completion *out, unsigned max);
    /* Nothing is out, or the library has given up waiting for what is. */
    void (*close)(struct blockdev *d);
};

struct blockdev { /* the first member of the device's own struct */
    const struct blockdev_ops *ops;
    struct blockdev_caps caps;
    void (*news)(void *arg);
    void *arg;
};

#endif
