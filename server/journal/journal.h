/* SPDX-License-Identifier: MIT
 *
 * The journal: every effect as a request in RESP, with a SELECT where the database changes, formatted once into a
 * stream
 * (server/journal/broadcast.h) whatever the number of its readers. While nobody reads, no effect is built.
 *
 * As in Redis the database last selected is one figure for all readers: a new one makes it unknown, and the next effect
 * selects again for everybody.
 */
#ifndef SERVER_JOURNAL_JOURNAL_H
#define SERVER_JOURNAL_JOURNAL_H

#include "server/exec/effects.h"
#include "server/journal/broadcast.h"

struct server;

#define JOURNAL_CONTROLS 64u

struct journal { /* private */
    struct broadcast text;
    struct effect_sink sink; /* on the server's list while somebody reads */
    struct server *srv;
    size_t readers;
    int selected; /* database; -1: unknown */
    /* Records that are no effects, and that not every reader wants: the last JOURNAL_CONTROLS of them. */
    struct journal_range {
        uint64_t from, to;
    } controls[JOURNAL_CONTROLS];
    unsigned control_count;
    /* Something was appended; for who has to be told (a client, to be flushed at the end of the turn). */
    void (*appended)(struct journal *j);
};

void journal_init(struct journal *j, struct server *srv, void (*appended)(struct journal *j));
void journal_fini(struct journal *j);
/* Reads effects from now on. */
void journal_read(struct journal *j, struct broadcast_reader *r);
/* Reads from where another reader stands. */
void journal_read_from(struct journal *j, const struct broadcast_reader *from, struct broadcast_reader *r);
void journal_reader_end(struct journal *j, struct broadcast_reader *r); /* harmless when it reads nothing */
/* A record that is no effect (PING): for readers that are links to another server. */
void journal_control(struct journal *j, const struct bytes *argv, int argc);
/* For a reader that is no such link: moves it behind a control record if it stands at one; and how far it may read
 * before the next, `until` at most. (A reader more than JOURNAL_CONTROLS of them behind reads the older ones.) */
void journal_skip_control(const struct journal *j, struct broadcast_reader *r);
uint64_t journal_before_control(const struct journal *j, const struct broadcast_reader *r, uint64_t until);
/* The next effect says again in which database it is. */
void journal_select_again(struct journal *j);

#endif
