/* SPDX-License-Identifier: MIT
 *
 * A transaction: the commands a client has queued since MULTI, and the keys it watches.
 */
#ifndef SERVER_EXEC_MULTI_H
#define SERVER_EXEC_MULTI_H

#include <stdbool.h>
#include <stddef.h>
#include "alloc/base/bytes.h"

struct client;
struct command;

void multi_free(struct client *cl); /* discards the queue and unwatches */
void multi_queue(struct client *cl, const struct command *cmd, const struct bytes *argv, int argc);
bool multi_writes(const struct client *cl);       /* a queued command writes */
bool multi_needs_memory(const struct client *cl); /* one is refused over maxmemory */
size_t multi_count(const struct client *cl);
size_t multi_memory(const struct client *cl);
size_t multi_watched(const struct client *cl);

#endif
