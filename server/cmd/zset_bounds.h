/* SPDX-License-Identifier: MIT
 *
 * Bounds of ranges of sorted sets as arguments: "5", "(5", "-inf"; "[a", "(a", "-", "+".
 */
#ifndef SERVER_CMD_ZSET_BOUNDS_H
#define SERVER_CMD_ZSET_BOUNDS_H

#include "server/exec/call.h"
#include "server/ds/ztree.h"

/* Both reply with the error and return false. Lex bounds are views of the arguments. */
bool zset_score_bounds(struct call *c, struct bytes min, struct bytes max, struct ztree_score_range *out);
bool zset_lex_bounds(struct call *c, struct bytes min, struct bytes max, struct ztree_lex_range *out);

#endif
