/* SPDX-License-Identifier: MIT
 *
 * Commands as a log has them.
 */
#ifndef SERVER_PERSIST_AOF_TEXT_H
#define SERVER_PERSIST_AOF_TEXT_H

#include "server/ds/listpack.h"
#include "server/rdb/sink.h"

/* kind '*': so many arguments follow; '$': so many bytes. */
static inline void aof_put_head(struct rdb_sink *s, char kind, size_t n)
{
    char text[NUMBER_I64_SIZE + 3] = {kind};
    size_t used = 1 + number_format_u64(text + 1, n);
    text[used++] = '\r';
    text[used++] = '\n';
    rdb_put_raw(s, text, used);
}

static inline void aof_put_arg(struct rdb_sink *s, struct bytes b)
{
    aof_put_head(s, '$', b.n);
    rdb_put_raw(s, b.p, b.n);
    rdb_put_raw(s, "\r\n", 2);
}

static inline void aof_put_value(struct rdb_sink *s, struct lp_value v)
{
    char buf[NUMBER_I64_SIZE];
    aof_put_arg(s, lp_value_bytes(v, buf));
}

static inline void aof_put_i64(struct rdb_sink *s, int64_t v)
{
    char text[NUMBER_I64_SIZE];
    aof_put_arg(s, bytes_of(text, number_format_i64(text, v)));
}

#endif
