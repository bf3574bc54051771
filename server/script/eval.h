/* SPDX-License-Identifier: MIT
 *
 * The bodies that EVAL and SCRIPT LOAD have brought, by their SHA-1. What came by EVAL only is kept while it is among
 * the SCRIPT_EVAL_KEPT used last; what SCRIPT LOAD brought stays until SCRIPT FLUSH.
 */
#ifndef SERVER_SCRIPT_EVAL_H
#define SERVER_SCRIPT_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

struct call;
struct eval_cache;
struct request;
struct server;

#define SCRIPT_EVAL_KEPT 500

/* EVAL, EVALSHA and their _RO forms. */
void script_eval(struct call *c, bool by_sha, bool read_only);
/* SCRIPT LOAD: replies the SHA. */
void script_eval_load(struct call *c, struct bytes body);
bool script_eval_has(const struct server *srv, struct bytes sha);
/* All are gone; the state they lived in is freed by another thread, or here. */
void script_eval_flush(struct server *srv, bool elsewhere);

/* What the flags of a request are worth (server->script_flags): those of an EVAL by its program's first line. */
uint32_t script_eval_flags(const struct server *srv, const struct request *r);

void script_eval_fini(struct server *srv);
size_t script_eval_count(const struct server *srv);
size_t script_eval_memory(const struct server *srv);

#endif
