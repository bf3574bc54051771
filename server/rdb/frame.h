/* SPDX-License-Identifier: MIT
 *
 * What stands around the values of a file (server/rdb/format.h draws it), item by item. Nothing here knows a keyspace:
 * who loads a file and who only checks it read the same.
 */
#ifndef SERVER_RDB_FRAME_H
#define SERVER_RDB_FRAME_H

#include "server/rdb/source.h"

enum rdb_item {
    RDB_ITEM_END,     /* no further item; the checksum is still to be read */
    RDB_ITEM_DB,      /* keys are of database `number` from here on */
    RDB_ITEM_SIZES,   /* a hint, believed by nobody */
    RDB_ITEM_AUX,     /* `name` and `value` */
    RDB_ITEM_KEY,     /* `name`; its value of `type` is the caller's to read, by rdb_read_value() */
    RDB_ITEM_LIBRARY, /* of functions: `value` is its source */
};

/* What was being read when something went wrong: Redis's words for it are rdb_step_word()'s. */
enum rdb_step {
    RDB_AT_START,
    RDB_AT_TYPE,
    RDB_AT_EXPIRE,
    RDB_AT_KEY,
    RDB_AT_VALUE,
    RDB_AT_CHECKSUM,
    RDB_AT_LENGTH,
    RDB_AT_AUX,
    RDB_AT_MODULE_AUX,
    RDB_AT_FUNCTIONS,
};
const char *rdb_step_word(enum rdb_step step);

struct rdb_frame {
    struct rdb_source *s;
    unsigned version;
    enum rdb_step step;
    uint64_t number;           /* of the database; of RDB_ITEM_SIZES: keys that are said to come */
    struct bytes name, value;  /* name: valid until the next item; value: until the next string */
    unsigned type;             /* of the key's value, one that rdb_type_is_known(), unless that was the fault */
    int64_t expire_ms, idle_s; /* of the key; -1: none */
    int freq;                  /* -1: none */
    bool unsummed;             /* by rdb_frame_end(): nothing to compare with, an old file or one without */
};

/* All return false at the first thing wrong; the source says what: -EINVAL: no RDB data, or a version that is not
 * known; -EOPNOTSUPP: data of modules; -EBADMSG, and what the source itself fails with. */
bool rdb_frame_begin(struct rdb_frame *f, struct rdb_source *s);
bool rdb_frame_next(struct rdb_frame *f, enum rdb_item *item);
/* Nothing was read that belongs to a key to come. */
static inline bool rdb_frame_is_between(const struct rdb_frame *f)
{
    return f->step == RDB_AT_VALUE || (f->expire_ms == -1 && f->idle_s == -1 && f->freq == -1);
}
/* After RDB_ITEM_END. The checksum is compared if the source keeps one. */
bool rdb_frame_end(struct rdb_frame *f);

#endif
