/* SPDX-License-Identifier: MIT
 *
 * A large set, hash or sorted set shown element by element, as it was at one moment, while commands go on changing it.
 * Nothing is copied at the beginning.
 *
 *     elements_init()    the moment that is shown
 *     elements_begin()   from here on elements are shown; before, what changes is kept
 *     elements_some()    the next elements; again and again, until it says that all were shown
 *     elements_fini()    at the end, or before
 *
 * Each element that was there is shown exactly once, with its old value: by elements_some() as it comes to it or, if it
 * is about to change before that, by that change. What is born meanwhile is not shown.
 */
#ifndef SERVER_DB_ELEMENTS_H
#define SERVER_DB_ELEMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "server/ds/element.h"
#include "server/ds/table.h"

struct entry;

/* Who is shown elements, of several collections at a time. */
struct elements_reader {
    /* Must not change the keyspace; el is valid during the call. */
    void (*show)(void *arg, const struct entry *e, const struct element *el);
    void (*kept)(void *arg); /* bytes has grown, since something changed */
    void *arg;
    size_t bytes; /* that are kept, of all collections */
};

/* private; stays where it was initialised */
struct elements {
    struct element_watch watch;
    struct elements_reader *reader;
    struct entry *e;
    size_t count, shown; /* of that moment; of these */
    bool begun, passed_all;
    uint64_t cursor; /* in the table of a set or hash, as table_scan()'s */
    bool passed_any; /* of a sorted set: the lowest member that was passed, from the highest down ... */
    double score;    /* ... has this score */
    char *member;    /* ... and name */
    size_t member_n, member_cap;
    struct table changed;          /* elements that the cursor is to leave out when it comes to them */
    struct changed_element *first; /* of these, whose old values are to be shown; the first that changed is first */
    struct changed_element *last;
    size_t changed_bytes, counted_bytes;
    uint64_t sum; /* debug builds: of what is not shown yet */
};

/* e can be shown so: it is a set, hash or sorted set that is no small one. */
bool elements_can_show(const struct entry *e);
/* Of this moment, for r; e is the caller's, stays where it is and keeps its value, whose elements may change. Nobody
 * else is watching them. */
void elements_init(struct elements *x, struct entry *e, struct elements_reader *r);
void elements_fini(struct elements *x);
/* Who is watching e; NULL: nobody. */
struct elements *elements_of(const struct entry *e);

static inline size_t elements_count(const struct elements *x) { return x->count; }
void elements_begin(struct elements *x);
/* About so many bytes of them; true: that was all. */
bool elements_some(struct elements *x, size_t bytes);

#endif
