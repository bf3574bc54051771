/* SPDX-License-Identifier: MIT
 *
 * Writers and a replica that cannot take the history yet: it waits for its payload, loads it, or catches up. What is
 * written meanwhile is kept for it, and beyond client-output-buffer-limit it would be closed, and begin again, under
 * such a load for ever. So once half of that is used, writers wait a little after each turn: as much as keeps what is
 * left falling by no more than a part a second. It never comes to nothing, no writer waits for long at a time, and all
 * together no longer than repl-sync-write-hold; a replica that needs more than that is closed as ever.
 */
#ifndef SERVER_REPL_PACE_H
#define SERVER_REPL_PACE_H

#include <stdint.h>

struct worker;

struct pace {
    uint64_t end;      /* of the history, when it was last looked at */
    uint64_t until_ns; /* writers wait until then; 0: they do not */
    uint64_t held_ns;  /* in all, for those who catch up now */
};

/* At the end of a turn: lag is what the one that is farthest behind has not read, of those that catch up; 0: none does.
 * limit 0: there is none. */
void pace_turn(struct worker *w, struct pace *p, uint64_t lag, uint64_t limit);
/* When the loop has to wake for writers that wait; UINT64_MAX: none does. */
uint64_t pace_wakes_ns(const struct pace *p);

#endif
