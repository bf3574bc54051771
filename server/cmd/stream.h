/* SPDX-License-Identifier: MIT
 *
 * Steps the stream commands share (server/cmd/stream*.c).
 */
#ifndef SERVER_CMD_STREAM_H
#define SERVER_CMD_STREAM_H

#include "server/ds/xstream_group.h"
#include "server/exec/call.h"
#include "server/types/stream.h"

/* --- arguments: reply with the error and return false ------------------------------------------------------------- */

/* "ms-seq" or "ms". */
bool stream_id_arg(struct call *c, struct bytes arg, struct stream_id *id);
/* A bound of a range, which "(" excludes. */
bool stream_from_arg(struct call *c, struct bytes arg, struct stream_id *from);
bool stream_to_arg(struct call *c, struct bytes arg, struct stream_id *to);
/* All of argv[first .. argc - 1] are IDs. */
bool stream_id_args(struct call *c, int first);

/* What XADD and XTRIM have in common, and XADD's own. */
struct stream_add_args {
    struct xstream_trim trim;
    int trim_arg; /* where the length or ID stands */
    int id_arg;
    bool auto_id, auto_seq, no_make;
    struct stream_id id;
};
bool stream_add_args(struct call *c, struct stream_add_args *a, bool is_xadd);

/* --- replies ------------------------------------------------------------------------------------------------------ */

void stream_reply_id(struct call *c, struct stream_id id);
/* The entry the iterator is at, [ID, [field, value, ...]]. */
void stream_reply_entry(struct call *c, struct xstream_iter *it, struct stream_id id, int64_t fields);
/* The same of the one with this ID; false: there is none, and nothing was replied. */
bool stream_reply_one(struct call *c, const struct xstream *s, struct stream_id id);
/* An array of entries, up to count of them (0: all). */
void stream_reply_range(struct call *c, const struct xstream *s, struct stream_id from, struct stream_id to,
                        uint64_t count, bool backwards);
/* "NOGROUP No such key 'k' or consumer group 'g'", and `more`. */
void stream_no_group(struct call *c, struct bytes key, struct bytes group, const char *more);
/* "NOGROUP No such consumer group 'g' for key name 'k'" */
void stream_no_group_of_key(struct call *c, struct bytes key, struct bytes group);

/* --- groups ------------------------------------------------------------------------------------------------------- */

/* The consumer of that name, made if need be (counted and told), and seen now. */
struct stream_consumer *stream_consumer_of(struct call *c, const struct key_ref *key, struct stream_group *g,
                                           struct bytes name, bool *made);

/* Effects: what redis-server propagates. */
void stream_effect_claim(struct call *c, struct bytes key, const struct stream_group *g, struct bytes id,
                         const struct stream_nack *n);
void stream_effect_group_id(struct call *c, struct bytes key, const struct stream_group *g);
void stream_effect_consumer(struct call *c, struct bytes key, const struct stream_group *g,
                            const struct stream_consumer *consumer);

#endif
