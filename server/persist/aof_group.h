/* SPDX-License-Identifier: MIT
 *
 * Group commit: when the next sync of `appendfsync always` begins.
 *
 *     sync n ends          its clients ask again, one after the other
 *        | replies go out |  |   |  | || ||| | |                |
 *        +----------------+--+---+--+-++-+++-+-+ complete       + or as long after the replies
 *
 * To begin with the first of them would leave the others to the sync after it: 50 clients fall into two halves that
 * take turns, and each waits for two syncs. So the next one waits for as many as the last one set free, at most a fifth
 * of the time that took. Who is alone never waits.
 *
 * The loop tells of its turns, so that what has come in is counted before the time is up. No clock here, nothing waits.
 */
#ifndef SERVER_PERSIST_AOF_GROUP_H
#define SERVER_PERSIST_AOF_GROUP_H

#include <stdbool.h>
#include <stdint.h>

struct aof_group {     /* all zero: nothing is waited for */
    bool waits;        /* for more, or for the time to be up */
    bool pushed;       /* the replies are, and go out when the loop waits next */
    uint64_t complete; /* when so many replies have been held in all */
    uint64_t wait_ns;  /* at most */
    uint64_t until_ns; /* 0: the replies are not out yet */
};

/* A sync has ended that took so long and set `freed` replies free; `held` have been held in all until now. */
void aof_group_synced(struct aof_group *g, uint64_t held, uint64_t freed, uint64_t took_ns);
/* The loop ends a turn that began at turn_ns. */
void aof_group_turn(struct aof_group *g, uint64_t held, uint64_t turn_ns);
/* How long the loop may sleep behind such a turn. */
uint64_t aof_group_sleep_ns(const struct aof_group *g, uint64_t turn_ns);

#endif
