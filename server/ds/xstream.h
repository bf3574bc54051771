/* SPDX-License-Identifier: MIT
 *
 * What a stream key holds: entries in the order of their IDs, and groups of consumers that share them out
 * (server/ds/xstream_group.h). Each entry is a list of fields and values.
 *
 * Entries lie in nodes, listpacks of limited size (stream-node-max-bytes, stream-node-max-entries), byte for byte
 * Redis's (they are what DUMP and RDB hold). A node is found by its ID, that of its first entry, from which all its
 * entries' IDs are counted:
 *
 *     live | deleted | n | n fields' names | 0                                    what most entries have in common
 *     flags | ms | seq |                  n values | elements before this one     an entry of those fields
 *     flags | ms | seq | m | m pairs of name, value | elements before this one    one of its own fields
 *
 * Deleting an entry sets a flag; a node goes when its last entry does.
 */
#ifndef SERVER_DS_XSTREAM_H
#define SERVER_DS_XSTREAM_H

#include "server/ds/btree.h"
#include "server/ds/listpack.h"
#include "server/ds/xstream_id.h"

struct xstream {
    struct btree nodes; /* their IDs -> unsigned char *, a listpack */
    uint64_t length;    /* live entries */
    uint64_t added;     /* entries that ever were */
    struct stream_id first, last, max_deleted;
    struct btree groups; /* names -> struct stream_group * */
    uint64_t moves;      /* steps when something in a node may stand elsewhere than before */
};

/* A stream without entries and groups; freed by xstream_free(), on any thread. */
struct xstream *xstream_new(void);
void xstream_free(struct xstream *s);
struct xstream *xstream_dup(const struct xstream *s);
/* All it takes; of `samples` nodes (0: of all) the average counts for the others. */
size_t xstream_bytes(const struct xstream *s, size_t samples);
/* Allocations that freeing it takes, roughly. */
size_t xstream_work(const struct xstream *s);
/* The nodes that redis-server's radix tree would have for the same listpacks. */
uint64_t xstream_radix_nodes(const struct xstream *s);

/* How large a node may get; 0: as large as a listpack may. */
struct xstream_limits {
    int64_t bytes_max, entries_max;
};
/* Fields and values alternate in `pairs`. The ID is greater than s->last; together they are no longer than LP_SIZE_MAX.
 * False: no room in a node, which takes a stream with IDs out of order (from outside). */
bool xstream_append(struct xstream *s, struct stream_id id, const struct bytes *pairs, int64_t fields,
                    const struct xstream_limits *limits);
/* The ID that follows the last one at this time. False: there is none. */
bool xstream_next_id(const struct xstream *s, int64_t now_ms, struct stream_id *id);
/* The last live entry; false: there is none. */
bool xstream_last_live(const struct xstream *s, struct stream_id *id);
/* The first entry, dead or alive; the greatest ID: there is none. */
struct stream_id xstream_first_any(const struct xstream *s);
bool xstream_has(const struct xstream *s, struct stream_id id);

/* Deletes an entry; false: there is none. s->first is left to xstream_deleted(), max_deleted is not changed either. */
bool xstream_delete(struct xstream *s, struct stream_id id);
/* After deletes: sets s->first anew. */
void xstream_find_first(struct xstream *s);

struct xstream_trim {
    enum { XSTREAM_TRIM_NONE, XSTREAM_TRIM_LENGTH, XSTREAM_TRIM_ID } by;
    bool approximate;     /* whole nodes only */
    int64_t limit;        /* entries that may go; 0: any number */
    uint64_t length;      /* what is to be left */
    struct stream_id min; /* what is before it goes */
};
/* Entries that went. */
int64_t xstream_trim(struct xstream *s, const struct xstream_trim *t);

/* Moves the listpacks of up to `count` nodes from *at on, which becomes where to go on (server/mem.h). False: that was
 * all. */
struct mem_moves;
bool xstream_relocate(struct xstream *s, struct btree_key *at, size_t count, struct mem_moves *m);

/* --- from one entry to the next ----------------------------------------------------------------------------------- */

/* Of the entries from..to, both included, oldest or (backwards) newest first. The stream must not change meanwhile. */
struct xstream_iter { /* private but for the commented ones */
    const struct xstream *s;
    struct stream_id from, to, node_id;
    struct btree_pos next;      /* node */
    bool backwards, tombstones; /* tombstones: dead entries are shown, too; may be set after init */
    unsigned char *lp;          /* the node; NULL: at none */
    const unsigned char *names; /* of the node's common fields */
    int64_t shared;             /* how many */
    const unsigned char *flags; /* the entry's first element */
    const unsigned char *at;    /* its next field or value; behind the last one: the number of its elements */
    const unsigned char *name;  /* the next common name; NULL: the entry has its own */
    int64_t left;               /* elements before `at` is behind the last one */
    bool dead;
};
void xstream_iter_init(struct xstream_iter *it, const struct xstream *s, struct stream_id from, struct stream_id to,
                       bool backwards);
/* *fields: how many there are. */
bool xstream_iter_next(struct xstream_iter *it, struct stream_id *id, int64_t *fields);
/* One field of that entry after the other, up to as many as it has. */
void xstream_iter_field(struct xstream_iter *it, struct lp_value *name, struct lp_value *value);

/* Going forwards: where the node goes on behind the entry that was shown last. Later one can go on from there, if
 * s->moves is what it was: to the end of the stream. False: that node is no more. */
size_t xstream_iter_offset(const struct xstream_iter *it);
bool xstream_iter_init_at(struct xstream_iter *it, const struct xstream *s, struct stream_id from,
                          struct stream_id node_id, size_t offset);

/* --- data from outside -------------------------------------------------------------------------------------------- */

/* Is lp, which is sound as a listpack, a node? *live: how many entries of it are. */
bool xstream_node_is_sound(const unsigned char *lp, uint64_t *live);

#ifdef DEMI_DEBUG
void xstream_check(const struct xstream *s);
#endif

#endif
