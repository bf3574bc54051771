/* SPDX-License-Identifier: MIT
 *
 * Which servers save to one file: each claims the name that it saves to in its working directory, and can ask whether
 * another has claimed it, too. A claim keeps nobody out, since redis-server knows none; who finds another says so
 * before one overwrites what the other has saved.
 */
#ifndef SERVER_PERSIST_CLAIM_H
#define SERVER_PERSIST_CLAIM_H

#include <stdbool.h>

struct server;

struct claim {
    int fd;    /* of the folder; -1: nothing is claimed, or the file system knows no locks */
    bool told; /* the log says that there is another */
};

/* The same for any open folder: reads that it is claimed under this name as long as the descriptor is open. 0 or -errno
 * (a file system without locks). */
int claim_name(int fd, const char *name);
/* Whether another has claimed it under this name, too. */
bool claim_has_other(int fd, const char *name);

void claim_init(struct claim *c);
void claim_fini(struct claim *c);
/* Of a name in the working directory, instead of the one before. */
void claim_take(struct server *srv, const char *name);
/* Before the file is written, or will be: a warning if another server has claimed it, once for each that comes. */
void claim_look(struct server *srv);
/* Removes what saves have left that a crash ended, unless another server uses the folder. At the start: nothing is
 * being saved. */
void claim_clear_leftovers(struct server *srv);

#endif
