/* SPDX-License-Identifier: MIT
 *
 * Inside of the append-only files: what aof.c and aof_rewrite.c have of each other.
 */
#ifndef SERVER_PERSIST_AOF_REWRITE_H
#define SERVER_PERSIST_AOF_REWRITE_H

#include <stdbool.h>

struct save;
struct server;
struct worker;

/* A new increment, empty. */
int aof_open_next(struct server *srv, const char *name, int *qd);
/* The data of now as a base of that name; begun: one that has begun already, or NULL. In the task that calls it, or in
 * the foreground. 0 or -errno. */
int aof_write_base(struct worker *w, const char *name, bool is_rdb, struct save *begun);
/* The same on a device: what aof_device_save() has begun, or NULL. */
int aof_write_base_there(struct worker *w, struct save *begun);

#endif
