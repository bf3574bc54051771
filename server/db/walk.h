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
 *
 * A large collection is shown in steps, if its reader can take it so, while clients are served. Elements of a set,
 * hash or sorted set may change meanwhile (server/db/elements.h), and what is deleted or overwritten is the walk's
 * until it was shown. Otherwise a list must not change, and no key of a large collection may be renamed, move or get
 * another time to live: whoever is about to run a command that may do so asks walk_holds(), and lets the command wait;
 * it does not expire and is not evicted meanwhile. What changes it all the same (BLMOVE puts something into it) has
 * the rest shown at once.
 *
 * One walk at a time: it marks what it has shown in the entries themselves.
 */
#ifndef SERVER_DB_WALK_H
#define SERVER_DB_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct call;
struct db;
struct element;
struct entry;
struct key_ref;
struct walk;

/* What the walks of a server share; all zero at first. Private. */
struct walks {
    struct walk *under_way;
    struct walk *tidying; /* walks_tidy()'s */
    unsigned stale;       /* walks that ended early since all entries had the same stamp */
};

/* Who is shown entries. db: the number its database had at the beginning. None of the functions changes the keyspace; e
 * is valid during the call, a large one from begin() until it is complete or abandoned. */
struct walk_reader {
    void (*entry)(void *arg, int db, const struct entry *e);
    /* A large collection of so many elements: begin(); each of them to element(), or of a list a few with each call of
     * more() until that returns true; end(). Others may be shown to entry() in between, and one to begin(), element()
     * and end() that is complete before anything else is shown. NULL: large ones are shown to entry(), too. */
    void (*begin)(void *arg, int db, const struct entry *e, size_t count);
    void (*element)(void *arg, const struct entry *e, const struct element *el);
    bool (*more)(void *arg);
    void (*end)(void *arg, const struct entry *e);
    void (*abandon)(void *arg, const struct entry *e); /* the walk ends before it is complete */
    bool (*is_full)(void *arg);                        /* it would rather be shown no more for now */
    void (*kept)(void *arg);                           /* walk_bytes() has grown, by what a command changed */
    void *arg;
};

/* None is under way: walks_are_free(). ws NULL: one that commands do not change anything during, which may be at any
 * time. */
struct walk *walk_new(struct walks *ws, struct db *dbs, int count, struct call *c, const struct walk_reader *r);
static inline bool walks_are_free(const struct walks *ws) { return !ws->under_way; }
/* Until the clock has passed the deadline (false) or all has been shown (true). */
bool walk_some(struct walk *w, struct call *c, uint64_t deadline_ns);
void walk_free(struct walk *w, struct call *c);

/* What a command is about to do to a key. */
enum walk_change {
    WALK_ANY,
    WALK_ELEMENTS, /* change elements of a set, hash or sorted set alone, by db_lookup_elements() or db_edit_begin() */
    WALK_GOES,     /* delete it, or put another value there, by the verbs of db.h */
};
/* key in db belongs to a large collection that is to be shown before it changes so: it is the next one. NULL: no
 * walk. */
bool walk_holds(struct walk *w, const struct db *db, const struct key_ref *key, enum walk_change how);
/* Since the last call a collection that something may wait for was shown. */
bool walk_has_let_go(struct walk *w);

/* Keys and keys with an expiry that database `db` had at the beginning. */
size_t walk_keys(const struct walk *w, int db);
size_t walk_expires(const struct walk *w, int db);
/* Memory it keeps, with the old values of elements. What flushed databases and deleted collections hold is not
 * counted. */
size_t walk_bytes(const struct walk *w);

/* Walks that end early leave marks of several kinds, of which there are not many. Some times a second, while none is
 * under way: until the deadline makes them one kind again. (Without it a walk would do that when it begins.) */
void walks_tidy(struct walks *ws, struct db *dbs, int count, struct call *c, uint64_t deadline_ns);
/* Before the server ends. */
void walks_end_tidying(struct walks *ws, struct call *c);

#endif
