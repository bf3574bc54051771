/* SPDX-License-Identifier: MIT
 *
 * A journal: every effect as a request in RESP, with a SELECT where the database changes, formatted once into a
 * broadcast (server/journal/broadcast.h) whatever the number of its readers. While nobody reads, no effect is built.
 *
 * As in Redis the database last selected is one figure for all readers: a new one makes it unknown, and the next effect
 * selects again for everybody.
 */
#ifndef SERVER_JOURNAL_JOURNAL_H
#define SERVER_JOURNAL_JOURNAL_H

#include "server/exec/effects.h"
#include "server/journal/broadcast.h"

struct server;

struct journal { /* private */
    struct broadcast text;
    struct effect_sink sink; /* on the server's list while somebody reads */
    struct server *srv;
    size_t readers;
    int selected;       /* database; -1: unknown */
    bool takes_effects; /* else what is appended comes from elsewhere: journal_take_effects() */
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
/* A record that is no effect, and belongs to no database. */
void journal_record(struct journal *j, const struct bytes *argv, int argc);
/* Off: the effects of this server are not written, whoever reads (a replica's stream is its primary's). On again: the
 * next effect says in which database it is. */
void journal_take_effects(struct journal *j, bool on);
/* The next effect says again in which database it is. */
void journal_select_again(struct journal *j);

#endif
