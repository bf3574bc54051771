/* SPDX-License-Identifier: MIT
 *
 * Error replies counted by their code.
 */
#ifndef SERVER_OBSERVE_ERRORSTATS_H
#define SERVER_OBSERVE_ERRORSTATS_H

#include <stdint.h>
#include "alloc/base/bytes.h"

struct server;

void errorstats_count(struct server *srv, struct bytes error_text); /* "WRONGTYPE Operation …" */
void errorstats_each(struct server *srv, void (*fn)(void *arg, const char *code, uint64_t count), void *arg);
void errorstats_reset(struct server *srv);
void errorstats_fini(struct server *srv);

#endif
