/* SPDX-License-Identifier: MIT
 *
 * Consumer groups of a stream. A group remembers how far it has come, and what it has handed to which consumer and got
 * no acknowledgement for: a NACK each, found by the entry's ID in the group and in its consumer.
 *
 *     stream -> groups -> group: consumers -> consumer
 *                           |                    |
 *                        pending              pending
 *                           +--- ID -> nack <----+        one nack, in both; it knows its consumer
 */
#ifndef SERVER_DS_XSTREAM_GROUP_H
#define SERVER_DS_XSTREAM_GROUP_H

#include "server/ds/xstream.h"

#define STREAM_READ_UNKNOWN (-1)
#define STREAM_NEVER_ACTIVE (-1)

struct stream_consumer {
    int64_t seen_ms, active_ms; /* active_ms: STREAM_NEVER_ACTIVE */
    struct btree pending;       /* ID -> struct stream_nack * */
    size_t name_size;
    char name[];
};

struct stream_nack {
    int64_t delivered_ms;
    uint64_t deliveries;
    struct stream_consumer *consumer;
};

struct stream_group {
    struct stream_id last;  /* delivered */
    int64_t read;           /* entries it has passed since the stream began, or STREAM_READ_UNKNOWN */
    struct btree pending;   /* ID -> struct stream_nack *, owned here */
    struct btree consumers; /* name -> struct stream_consumer * */
    /* Where reading goes on: behind the entry of this ID, at this offset of that node, unless s->moves has moved. */
    struct {
        struct stream_id id, node_id;
        size_t offset;
        uint64_t moves;
    } hint;
    size_t name_size;
    char name[];
};

static inline struct bytes stream_group_name(const struct stream_group *g) { return bytes_of(g->name, g->name_size); }
static inline struct bytes stream_consumer_name(const struct stream_consumer *c)
{
    return bytes_of(c->name, c->name_size);
}

/* NULL: there is none. */
struct stream_group *stream_group_find(const struct xstream *s, struct bytes name);
/* NULL: there is one. */
struct stream_group *stream_group_add(struct xstream *s, struct bytes name, struct stream_id last, int64_t read);
void stream_group_remove(struct xstream *s, struct stream_group *g);

struct stream_consumer *stream_consumer_find(const struct stream_group *g, struct bytes name);
struct stream_consumer *stream_consumer_add(struct stream_group *g, struct bytes name, int64_t now_ms);
/* What it has pending is forgotten. */
void stream_consumer_remove(struct stream_group *g, struct stream_consumer *c);

static inline struct stream_nack *stream_nack_find(const struct stream_group *g, struct stream_id id)
{
    return btree_find(&g->pending, stream_id_key(id), NULL);
}
/* One of no consumer yet, which stream_nack_give() must follow; NULL: the ID is pending already. */
struct stream_nack *stream_nack_add(struct stream_group *g, struct stream_id id, int64_t now_ms);
/* It is that consumer's from now on. */
void stream_nack_give(struct stream_nack *n, struct stream_id id, struct stream_consumer *c);
void stream_nack_remove(struct stream_group *g, struct stream_id id, struct stream_nack *n);

/* The group has been given the entry of this ID, which is behind all it had. */
void stream_group_passed(const struct xstream *s, struct stream_group *g, struct stream_id id);
/* Entries that were ever added up to this ID, or STREAM_READ_UNKNOWN. */
int64_t stream_entries_read(const struct xstream *s, struct stream_id id);
/* Entries that are still to come; false: that cannot be told. */
bool stream_group_lag(const struct xstream *s, const struct stream_group *g, int64_t *lag);

/* Private to server/ds/: what hangs on s->groups. */
void stream_groups_free(struct xstream *s);
void stream_groups_dup(struct xstream *to, const struct xstream *from);
size_t stream_groups_bytes(const struct xstream *s);
size_t stream_groups_work(const struct xstream *s);

#endif
