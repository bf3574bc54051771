/* SPDX-License-Identifier: MIT
 *
 * Steps the hash commands share (server/cmd/hash*.c).
 */
#ifndef SERVER_CMD_HASH_H
#define SERVER_CMD_HASH_H

#include "server/exec/call.h"
#include "server/types/hash.h"

static inline void hash_reply_value(struct call *c, struct lp_value v)
{
    if (lp_value_is_i64(v)) reply_bulk_int(c->out, v.i);
    else reply_bulk(c->out, v.s);
}

#endif
