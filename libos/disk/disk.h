/* SPDX-License-Identifier: MIT
 *
 * Files as queues (Demikernel's cattree): the thread of the runtime does not block on a disk. Where the kernel has
 * io_uring and no filter of system calls is in force, that reads, writes and syncs; threads of ours do the rest, or
 * everything.
 *
 * A push writes all of its bytes at the file's cursor, or with O_APPEND at its end; a pop reads up
 * to DISK_READ_MAX bytes at the cursor, none at the end of the file. Operations of one file are
 * done in the order in which they were started. Appends do not move the cursor: one queue appends
 * to a log and reads it. Closing lets writes that were pushed finish.
 *
 * Renaming and removing go to helpers too: in order among themselves, in no order with what is done to files.
 *
 * Two calls ask the kernel on the caller's thread, since they answer at once: open() without an operation, and
 * seek() to the end, which wants the length. Who may not block has open() with an operation, and size().
 */
#ifndef DISK_DISK_H
#define DISK_DISK_H

#include "libos/runtime/libos.h"

#define DISK_READ_MAX    65535u
#define DISK_HELPERS     4    /* threads, started as files are opened; a file stays with one */
#define DISK_ALIGNMENT   4096 /* of what goes past the page cache: no device of now wants more */
#define DISK_WAITING_MAX 4096 /* operations of one helper, then EBUSY */

extern const struct libos_ops disk_libos;

#endif
