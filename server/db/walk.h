/* SPDX-License-Identifier: MIT
 *
 * A point-in-time walk: shows every entry of all databases as it was when the walk began, a few at a time, while
 * commands go on changing them. Nothing is copied at the beginning, and no process is forked.
 *
 *     walk_new()    the moment that is shown
 *     walk_some()   the next entries; again and again, between batches of commands, until it says that all were shown
 *     walk_free()   at the end, or before
 *
 * Each entry is shown exactly once: by walk_some() as it comes to it or, if a command is about to change or delete it
 * before that, by that command, with its old value. What is born meanwhile is not shown. A database that is flushed is
 * walked to its end in private; two that are swapped keep the numbers they had.
 */
#ifndef SERVER_DB_WALK_H
#define SERVER_DB_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct db;
struct entry;
struct walk;

/* db: the number its database had at the beginning. Must not change the keyspace; e is valid during the call. */
typedef void walk_fn(void *arg, int db, const struct entry *e);

struct walk *walk_new(struct db *dbs, int count, walk_fn *fn, void *arg);
/* Until the clock has passed the deadline (false) or all has been shown (true). */
bool walk_some(struct walk *w, struct call *c, uint64_t deadline_ns);
void walk_free(struct walk *w, struct call *c);

/* Keys and keys with an expiry that database `db` had at the beginning. */
size_t walk_keys(const struct walk *w, int db);
size_t walk_expires(const struct walk *w, int db);
/* Memory it keeps: marks of what was shown ahead of its turn. What flushed databases hold is not counted. */
size_t walk_bytes(const struct walk *w);

#endif
