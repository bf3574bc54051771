/* SPDX-License-Identifier: MIT
 *
 * ZADD behind its arguments, for GEOADD, too.
 */
#ifndef SERVER_CMD_ZSET_H
#define SERVER_CMD_ZSET_H

#include "server/exec/call.h"

enum zset_add_flag {
    ZSET_ADD_NX = 1,
    ZSET_ADD_XX = 2,
    ZSET_ADD_GT = 4,
    ZSET_ADD_LT = 8,
    ZSET_ADD_CH = 16,
    ZSET_ADD_INCR = 32,
};

/* Members to add to the key argv[1]: each is the last of `step` arguments, the first of which stands at `first`; at
 * least one. Their scores in order; those of ZSET_ADD_INCR become what they came to. */
struct zset_additions {
    double *scores;
    int first, step;
    unsigned flags; /* enum zset_add_flag, which go together */
};
/* Replies. */
void zset_add_scored(struct call *c, const struct zset_additions *a);

#endif
