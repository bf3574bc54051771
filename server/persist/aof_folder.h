/* SPDX-License-Identifier: MIT
 *
 * The folder of append-only files: its manifest on the disk, changed in one step. Functions wait where they are called
 * (disk_file.h); 0 or -errno, and the log says why.
 */
#ifndef SERVER_PERSIST_AOF_FOLDER_H
#define SERVER_PERSIST_AOF_FOLDER_H

#include <limits.h>
#include <stdbool.h>

#include "server/persist/aof_manifest.h"

struct aof;
struct server;

/* The paths are the caller's; -ENAMETOOLONG. */
int aof_folder_path(const struct aof *a, const char *name, char out[PATH_MAX]);
/* Finds out where the folder is (not whether it is there). */
int aof_folder_locate(struct server *srv);
/* Makes it, if it is not there, and takes it. */
int aof_folder_make(struct server *srv);
/* What a base is called while it is written: one name for all of this log's, so that what a process that was killed has
 * left is written over. -ENAMETOOLONG. */
int aof_folder_temporary_base(struct server *srv, char out[PATH_MAX]);
/* Two processes that append to one log ruin it: its name is claimed as long as this one has it. 0 (it is ours, or the
 * file system knows no locks, which is logged), -ENOENT: there is none; -EBUSY: another has it, which is logged. */
int aof_folder_take(struct server *srv);
void aof_folder_give_up(struct server *srv);
/* Into an empty manifest. -ENOENT: there is no manifest, and nothing is logged. */
int aof_folder_read(struct server *srv, struct aof_manifest *m);
/* m becomes the manifest, on the disk and of the aof, which takes it over; on an error it stays the caller's. */
int aof_folder_publish(struct server *srv, struct aof_manifest *m);
/* Deletes what is history, and forgets it. */
void aof_folder_clean(struct server *srv);
/* A log of Redis 6 (`appendfilename` in the working directory) becomes the base. */
int aof_folder_adopt(struct server *srv, struct aof_manifest *m);

#endif
