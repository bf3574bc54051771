/* SPDX-License-Identifier: MIT
 *
 * Values as RDB and DUMP hold them: the format of redis-server 7.2, version 11, or that of 7.0, version 10. A value
 * built by the same commands gives the same bytes as there, but for the order in which hash tables are walked.
 */
#ifndef SERVER_RDB_WRITE_H
#define SERVER_RDB_WRITE_H

#include "server/db/entry.h"
#include "server/ds/btree.h"
#include "server/ds/dict.h"
#include "server/ds/quicklist.h"
#include "server/ds/ztree.h"
#include "server/rdb/format.h"
#include "server/rdb/sink.h"

/* The type a value has in s, which its version decides, too. */
enum rdb_type rdb_type_of(const struct rdb_sink *s, const struct entry *e);
/* The value alone, without its type. */
void rdb_write_value(struct rdb_sink *s, const struct entry *e);
/* The same in steps: begin, more until it is true, or else abandon. The value does not change meanwhile. */
struct rdb_steps { /* private */
    struct rdb_sink *s;
    const struct entry *e;
    union {
        const struct quicklist_node *node;
        struct dict_iter dict;
        struct ztree_pos tree;
        struct btree_pos stream;
    } at;
};
void rdb_steps_begin(struct rdb_steps *v, struct rdb_sink *s, const struct entry *e);
/* About so many bytes more; true: that was all. */
bool rdb_steps_more(struct rdb_steps *v, size_t bytes);
void rdb_steps_abandon(struct rdb_steps *v);
/* A hash table or a sorted set's tree by itself: its count, then each element, in any order. */
void rdb_write_count(struct rdb_sink *s, size_t count);
void rdb_write_element(struct rdb_sink *s, const struct entry *e, const struct element *el);
/* A DUMP payload: type, value, version and checksum. s is new, grows, and holds nothing else afterwards. */
void rdb_write_dump(struct rdb_sink *s, const struct entry *e);

#endif
