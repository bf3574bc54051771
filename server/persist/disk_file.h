/* SPDX-License-Identifier: MIT
 *
 * Operations on files that are waited for where they are called. The library's helpers do them; in a task
 * (demi_spawn()) the loop goes on meanwhile, elsewhere the thread waits. 0 or -errno, all of them. Where time is
 * simulated there are files where a disk is (libos/sim/disk.h), else -ENOTSUP.
 */
#ifndef SERVER_PERSIST_DISK_FILE_H
#define SERVER_PERSIST_DISK_FILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "demi/ext.h"

/* On an error there is no queue. */
int disk_file_open(int *qd_out, const char *path, int flags, mode_t mode);
/* Some file systems tell only here that a write failed. */
int disk_file_close(int qd);
int disk_file_sync(int qd, bool data_only);
int disk_file_size(int qd, uint64_t *bytes_out);
int disk_file_rename(const char *from, const char *to);
int disk_file_unlink(const char *path);
int disk_file_make_folder(const char *path, mode_t mode);
/* The folder in which path lies: without it, a power cut may bring back the name that a rename took away. */
int disk_file_sync_folder(const char *path);
/* The end of an operation. out may be NULL where there is nothing in the result but its success. */
int disk_file_wait(demi_qtoken_t qt, demi_qresult_t *out);

#endif
