/* SPDX-License-Identifier: MIT
 *
 * A block device over a file's queue, of whichever libOS has files: libos/disk (io_uring or helper threads, a regular
 * file or a block device of the kernel's), or a simulated disk.
 */
#ifndef LOG_FILEDEV_H
#define LOG_FILEDEV_H

#include "libos/blockdev.h"
#include "libos/runtime/queue.h"

#define FILEDEV_REQUEST_MAX (1u << 20)

/* The queue stays the caller's, and is there until close(). What is read behind the file's end is zeroes. -ENOMEM. */
int filedev_open(struct blockdev **out, struct queue *file, uint64_t size);

#endif
