/* SPDX-License-Identifier: MIT
 *
 * What the keyspace tells and asks the rest of the server. The keyspace knows no clients, no statistics and no
 * replication; everything that must hear of a change or decide about one is one of these functions, which the server
 * implements.
 */
#ifndef SERVER_DB_HOOKS_H
#define SERVER_DB_HOOKS_H

#include <stdbool.h>
#include <stddef.h>

#include "alloc/base/bytes.h"
#include "server/db/entry.h"

struct call;
struct db;
struct key_ref;
struct slice;
struct tracked;
struct worker;

/* --- told --------------------------------------------------------------------------------------------------- */

/* key in db has a value of `type` that somebody may wait for. Called only when there is interest in its slice. */
void blocked_key_ready(struct call *c, struct db *db, const struct key_ref *key, int type);
/* The contents of a and b were exchanged, or (a and b the same) are gone: every key somebody waits for there is to be
 * looked at again. */
void blocked_swap(struct worker *w, struct db *a, struct db *b);
/* key changed or went. Called only when there is interest in its slice. */
void watch_touch(struct call *c, struct db *db, const struct key_ref *key);
/* Every key of db is about to go (replaced_by NULL) or to be exchanged for those of another. */
void watch_touch_all(struct call *c, struct db *db, struct db *replaced_by);
/* The same, of a key that somebody may track: in t, which its slice shares with those of other databases. by_itself:
 * its time had come, or it had to make room. */
void tracking_changed(struct call *c, struct tracked *t, const struct key_ref *key, bool by_itself);
/* A keyspace event; cheap when notifications are off. */
void notify_event(struct call *c, unsigned cls, const char *event, struct bytes key, int dbid);

void stat_hit(struct call *c);
void stat_miss(struct call *c);
void stat_expired(struct call *c, size_t n);

/* Frees v now or, when it is large, on the helper thread. */
void lazy_free(struct call *c, struct value v);
/* A whole database that was flushed asynchronously: to be freed by db_slices_free() on the helper thread; holds
 * `keys` keys. */
void lazy_free_slices(struct call *c, struct slice *slices, unsigned count, size_t keys);
/* Propagates the deletion of a key whose time had come, or that had to make room: as UNLINK if lazy. */
void effect_gone(struct call *c, struct db *db, struct bytes key, bool lazy);
/* FLUSHALL emptied everything: a snapshot under way is pointless, and the file on disk is out of date. */
void srv_flushed_all(struct call *c);

/* --- asked -------------------------------------------------------------------------------------------------- */

/* Another number for each command that runs, and one for what the server does by itself (expiry, eviction). */
uint64_t srv_command_serial(const struct call *c);
/* The database with this number; NULL: there is none. */
struct db *srv_db(const struct call *c, int64_t id);
/* Whether expired keys may be looked for now: not on a replica, not while loading or paused, not after DEBUG
 * SET-ACTIVE-EXPIRE 0. */
bool srv_active_expire(const struct call *c);

enum expired_is {
    EXPIRED_GONE,   /* deleted as soon as it is seen */
    EXPIRED_HIDDEN, /* a replica, or clients are paused: missing to readers, but its deletion is not ours to decide */
    EXPIRED_VALID,  /* loading, or the call comes from our master: time plays no part */
};
/* What a key past its time is to this call; `write`: the call wants to change it. Asked only about keys past their
 * time. */
enum expired_is srv_expired_is(const struct call *c, bool write);
/* EXPIRE with a time in the past deletes at once; not while loading and not on a replica. */
bool srv_past_deletes(const struct call *c);
/* The call is of a client of ours, and not of the server itself or of our primary. */
bool srv_is_own_client(const struct call *c);
bool srv_cluster_enabled(const struct call *c);
/* The client may read every key: SORT's BY and GET name keys nobody can declare. */
bool srv_reads_all_keys(const struct call *c);
/* The call comes from a script, whose effects must not depend on the order of hash tables. */
bool srv_in_script(const struct call *c);
/* The call comes from our master or the AOF: limits on sizes were checked where it was made. */
bool srv_must_obey(const struct call *c);

#endif
