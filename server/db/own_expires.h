/* SPDX-License-Identifier: MIT
 *
 * The keys of a writable replica that its own clients gave a time. Of those the primary knows nothing and will delete
 * none, so that the replica does when their time has come; all others are the primary's to delete, and stay.
 *
 * A name of a database is here from when a client gave it a time until somebody looks and finds it without one. With
 * each name that comes two are looked at, so that names of keys that are gone cannot gather.
 */
#ifndef SERVER_DB_OWN_EXPIRES_H
#define SERVER_DB_OWN_EXPIRES_H

#include <stddef.h>
#include <stdint.h>

struct call;
struct db;
struct key_ref;

/* db remembers such keys from now on. Harmless when it does. */
void own_expires_begin(struct db *db);
/* It does not any more, and forgets those that it remembers. Harmless when it does not. */
void own_expires_end(struct db *db);
/* It forgets them, and remembers others: nothing is left of its keys. */
void own_expires_clear(struct db *db);

size_t own_expires_count(const struct db *db);

/* db->own_expires is there, and the key has a time: it is remembered if the call is a client's. */
void own_expires_note(struct call *c, struct db *db, const struct key_ref *key);

/* Deletes those of c->db whose time has come, until a few have not, or until the deadline. */
void own_expires_some(struct call *c, uint64_t deadline_ns);

#endif
