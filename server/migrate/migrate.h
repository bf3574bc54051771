/* SPDX-License-Identifier: MIT
 *
 * MIGRATE: keys on their way to another server. Who asked waits, and everybody else is served:
 *
 *     begun      the keys' values are taken as DUMP has them, and sent; a task waits for the answers
 *     meanwhile  the keys can be read; whoever wants to write one of them, or everything (FLUSHALL), waits until it is
 *                decided whether it is still here, as with a server that does nothing else meanwhile
 *     settled    between two commands: the keys that the other server has are deleted, with the effect of a DEL, and
 *                who asked has his reply
 *
 * What cannot wait (expiry, eviction, a script that writes keys it did not declare) may change a key all the same. One
 * that is not what was sent any more stays, and the reply says so. With COPY nothing is deleted and nobody waits.
 *
 * Inside EXEC and scripts nobody can be served in between, as in Redis: there the thread waits, at most the timeout for
 * each answer.
 */
#ifndef SERVER_MIGRATE_H
#define SERVER_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>

#include "alloc/base/bytes.h"

struct call;
struct client;
struct migration;
struct reply;
struct request;
struct session;
struct worker;

/* What MIGRATE's arguments say. */
struct migrate_order {
    struct bytes host, port;
    bool has_user, has_password;
    struct bytes user, password;
    int64_t db, timeout_ms;
    bool copy, replace;
    int first_key, key_count; /* arguments */
};

/* The keys of o that are there, on their way or, where many are already, in line. NULL: none is there. */
struct migration *migrate_begin(struct call *c, const struct migrate_order *o);
/* The same, waiting for its end; replies. */
void migrate_at_once(struct call *c, const struct migrate_order *o);
/* The reply to its client, if it has come to its end: true. */
bool migrate_answer(struct client *cl, struct reply *out);

/* Whether the request has to wait for keys that are on their way. Asked while SERVER_MIGRATING is set. */
bool migrate_holds(const struct session *s, const struct request *r);
/* While w->migrated, and no command runs: what has come to its end is settled. */
void migrate_settle(struct worker *w);
void migrate_cron(struct worker *w);
size_t migrate_links(const struct worker *w); /* that are kept */
/* All links are closed, all tasks ended. */
void migrate_fini(struct worker *w);

#endif
