/* SPDX-License-Identifier: MIT
 *
 * What the commands on strings share with their neighbours (LCS, SORT).
 */
#ifndef SERVER_CMD_STRING_H
#define SERVER_CMD_STRING_H

#include "server/exec/call.h"
#include "server/db/entry.h"

/* Replies with a string entry's value. A long one is lent to the reply instead of copied. */
void string_reply(struct call *c, const struct entry *e);

/* Milliseconds since the epoch from the time argument of SET, GETEX and their kin: a number of `unit_ms`, counted
 * from base_ms. Replies with the error and returns false when it is none, not positive, or too large. */
bool string_expire_time(struct call *c, struct bytes arg, int64_t unit_ms, int64_t base_ms, int64_t *out);

#endif
