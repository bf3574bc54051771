/* SPDX-License-Identifier: MIT
 *
 * The replication stream: bytes with an identity. Two servers that know the same id and the same offset hold the same
 * data, so that a replica whose link broke may go on where it was (PSYNC of Redis 7.2: partial resynchronization).
 *
 *                 backlog: what somebody may still ask for
 *              |<------------------------------------------>|
 *     ---------+---------------+-----------------------------+
 *              first           second_offset                 offset     as Redis counts: 1 is the first byte
 *     id2 -------------------->| id ------------------------->
 *
 * Who is nobody's replica writes the stream: every effect is formatted into it once. A replica does not: it appends
 * what its primary sent, to the byte, as far as it has executed it (history_append()), so that its own replicas have
 * the same offsets as it has. Its own effects, those of clients that write to it, are no part of the stream.
 *
 * The log (server/persist/aof.h) is no reader of it: it has a journal of its own, of what was done here.
 */
#ifndef SERVER_REPL_HISTORY_H
#define SERVER_REPL_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/journal/journal.h"

#define HISTORY_ID_SIZE 41 /* of hexadecimal digits, and NUL */

struct server;

struct history { /* private but for reading the ids */
    struct journal journal;
    uint64_t base; /* offset of the stream = base + journal.text.end */
    char id[HISTORY_ID_SIZE], id2[HISTORY_ID_SIZE];
    int64_t second_offset;           /* bytes before this one are those of id2, too; -1: there is no id2 */
    struct broadcast_reader backlog; /* its oldest byte */
    uint64_t backlog_size;           /* repl-backlog-size */
    bool follows;                    /* it is written by history_append() alone */
};

/* A new id, no second one, offset 0, no backlog. appended: of the journal. */
void history_init(struct history *h, struct server *srv, void (*appended)(struct journal *j));
void history_fini(struct history *h); /* nobody else may read it any more */

/* Of the last byte: master_repl_offset. It stands still while there is no backlog. */
uint64_t history_offset(const struct history *h);
/* The database that is selected there; 0 where nobody has selected any. */
int history_database(const struct history *h);

/* --- the backlog ---------------------------------------------------------------------------------------------------
 * Bounded by repl-backlog-size and HISTORY_TRIM. What a slower reader holds beyond that is not its own memory, but may
 * be asked for as long as it is there. */
#define HISTORY_TRIM 16384u

bool history_is_kept(const struct history *h); /* there is a backlog */
/* There is one from now on, empty. Harmless when there is. */
void history_keep(struct history *h);
/* There is none any more. Whoever may have asked for it must not be told that it continues: on a primary the id
 * changes, which is the caller's affair. */
void history_forget(struct history *h);
/* First byte (Redis's repl_backlog_first_byte_offset), and how many there are. */
uint64_t history_first(const struct history *h);
uint64_t history_length(const struct history *h);
/* repl-backlog-size: a smaller one takes effect at once, a larger one keeps what there is. */
void history_resize(struct history *h, uint64_t bytes);
/* To be called where the journal grows, and where a reader has gone. */
void history_trim(struct history *h);

/* --- who may go on -------------------------------------------------------------------------------------------------*/

/* A replica that knows `id` (HISTORY_ID_SIZE - 1 digits of either case) and asks for the bytes from `from` on, counted
 * from 1, finds them here. */
bool history_continues(const struct history *h, const char *id, size_t id_size, int64_t from);
/* r reads from byte `from` on, which history_continues() said is here. */
void history_read_from(struct history *h, uint64_t from, struct broadcast_reader *r);

/* --- identity ------------------------------------------------------------------------------------------------------*/

/* A history of its own, which nobody shares: a first replica after the backlog was gone, DEBUG CHANGE-REPL-ID. */
void history_new_id(struct history *h);
/* A new id for what comes; what was goes on to be known by the old one: promotion. */
void history_branch(struct history *h);
/* The same with an id that the primary gave (+CONTINUE with another id). */
void history_branch_to(struct history *h, const char *id);
/* Its data are those of `id` at `offset` now (a snapshot was loaded): no second id, and a backlog that is empty. Its
 * readers must be gone. */
void history_adopt(struct history *h, const char *id, uint64_t offset);
/* At the start, from a file that said so: what was written before by `id` up to offset; a primary goes on under a new
 * id and is asked by the old one, a replica asks by it. The backlog is empty. */
void history_resume(struct history *h, const char *id, uint64_t offset);

/* --- who writes it -------------------------------------------------------------------------------------------------*/

/* A replica's: no effect is written any more. Off again: effects are, the first of them after a SELECT. */
void history_follow(struct history *h, bool on);
/* Bytes of the primary that were executed. */
void history_append(struct history *h, struct bytes b);
/* The database that they have selected. */
void history_selected(struct history *h, int db);
/* A record that is no effect (PING, REPLCONF GETACK); of a stream that is kept and does not follow. */
void history_record(struct history *h, const struct bytes *argv, int argc);

#ifdef DEMI_DEBUG
void history_check(const struct history *h);
#endif

#endif
