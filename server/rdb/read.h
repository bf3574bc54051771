/* SPDX-License-Identifier: MIT
 *
 * Values out of RDB and DUMP bytes. Whatever comes out is safe to use: listpacks are walked from end to end, integer
 * sets are in order, members and fields are there once. Encodings follow the configuration, as if the value had been
 * built here.
 */
#ifndef SERVER_RDB_READ_H
#define SERVER_RDB_READ_H

#include "server/conf/config.h"
#include "server/db/entry.h"
#include "server/ds/quicklist.h"
#include "server/rdb/format.h"
#include "server/rdb/source.h"

struct rdb_rules {
    const struct config *cfg;
    struct quicklist_options *lists; /* what every list points to */
    uint64_t seed;                   /* of hash tables */
    bool deep;                       /* look for members that are there twice in blocks, too (sanitize-dump-payload) */
};

/* Is there such a type of values? */
bool rdb_type_is_known(unsigned type);

/* One value of that type; the caller's. 0 or
 *   -EBADMSG     malformed      -ENOMEM    no memory for what it announces   -EOPNOTSUPP  a module's value
 *   -ENOENT      well-formed, but an empty list, set, …: there is no such key
 * or what the source's callback returned; s->why says it in words. */
int rdb_read_value(struct rdb_source *s, unsigned type, const struct rdb_rules *rules, struct value *out);

/* Why a payload was refused, and where. */
struct rdb_refusal {
    char why[128];
    uint64_t offset;
};

/* The value of a DUMP payload; the errors are the same, and told in *why. -EPROTO: its version is newer than ours or
 * (unless unchecked) its checksum wrong. */
int rdb_read_dump(struct bytes payload, const struct rdb_rules *rules, bool unchecked, struct value *out,
                  struct rdb_refusal *why);

#endif
