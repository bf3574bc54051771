/* SPDX-License-Identifier: MIT
 *
 * What multi.c and watch.c share: a client's transaction.
 */
#ifndef SERVER_EXEC_MULTI_STATE_H
#define SERVER_EXEC_MULTI_STATE_H

#include "alloc/base/list.h"
#include "server/exec/multi.h"

struct multi {
    struct request **queue;
    size_t count, cap, bytes;
    uint32_t flags;                /* enum cmd_flag of all queued commands together */
    uint32_t lacking;              /* those that one of them lacks */
    uint64_t held;                 /* their slices */
    const struct bytes *exec_argv; /* of the EXEC that runs the queue; NULL: none does */
    struct list watched;           /* struct watch.by_client */
    size_t watched_count;
};

/* The session's; made if there is none yet. */
struct multi *multi_of(struct session *s);

#endif
