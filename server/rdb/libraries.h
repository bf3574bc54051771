/* SPDX-License-Identifier: MIT
 *
 * Libraries of functions, as their source: nothing here runs them yet, but what a file holds of them goes back into the
 * next one, and to replicas.
 */
#ifndef SERVER_RDB_LIBRARIES_H
#define SERVER_RDB_LIBRARIES_H

#include <stdbool.h>
#include <stddef.h>

#include "alloc/base/bytes.h"

struct rdb_source;
struct rdb_sink;
struct library;

#define LIBRARIES_MAX      4096
#define LIBRARIES_SIZE_MAX ((size_t)256 << 20) /* all sources */

struct libraries { /* zero: none */
    struct library *all;
    unsigned count;
    size_t bytes;
};

void libraries_clear(struct libraries *l);
/* One that came from s, "#!engine name=library" in its first line; it is copied. One of the same name is replaced, or
 * an error of the source (-EEXIST). False: the source has an error now. */
bool libraries_add(struct libraries *l, struct rdb_source *s, struct bytes code, bool replace);
/* As a snapshot has them, each behind its opcode. */
void libraries_write(const struct libraries *l, struct rdb_sink *s);

#endif
