/* SPDX-License-Identifier: MIT
 *
 * Blocks of older versions, read element by element: ziplists (Redis 2.4 ... 6.2: small lists, hashes and sorted sets)
 * and zipmaps (2.2 ... 2.4: small hashes).
 */
#ifndef SERVER_RDB_OLD_H
#define SERVER_RDB_OLD_H

#include "server/ds/listpack.h"

/* Calls fn for each element in order. False: the block is malformed, or fn returned false. Elements before a fault
 * have been shown. */
bool rdb_ziplist_each(struct bytes zl, bool (*fn)(void *arg, struct lp_value v), void *arg);
bool rdb_zipmap_each(struct bytes zm, bool (*fn)(void *arg, struct bytes field, struct bytes value), void *arg);

#endif
