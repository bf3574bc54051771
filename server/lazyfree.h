/* SPDX-License-Identifier: MIT
 *
 * A thread that frees what is large.
 */
#ifndef SERVER_LAZYFREE_H
#define SERVER_LAZYFREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/db/entry.h"

struct server;

int lazyfree_start(struct server *srv);
void lazyfree_stop(struct server *srv);
/* Has that thread call fn(arg), which frees something. */
void lazyfree_other(struct server *srv, void (*fn)(void *arg), void *arg);
/* Allocations that freeing a value takes, roughly. */
size_t lazyfree_work(enum obj_encoding enc, const void *p);
/* It takes nothing at the moment: who hands it something frees that himself. */
bool lazyfree_is_full(const struct server *srv);
size_t lazyfree_pending(const struct server *srv);
uint64_t lazyfree_freed(const struct server *srv);
void lazyfree_reset(struct server *srv);

#endif
