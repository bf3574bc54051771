/* SPDX-License-Identifier: MIT
 *
 * A stream as the commands that make it: XADD for each entry, XSETID, and for its groups XGROUP and XCLAIM.
 */
#ifndef SERVER_PERSIST_AOF_STREAM_H
#define SERVER_PERSIST_AOF_STREAM_H

#include "server/ds/xstream.h"
#include "server/rdb/sink.h"

struct aof_stream { /* private */
    struct rdb_sink *s;
    struct bytes key;
    const struct xstream *stream;
    struct xstream_iter it;
};

/* The stream and key must not change until aof_stream_more() has returned true. */
void aof_stream_begin(struct aof_stream *a, struct rdb_sink *s, struct bytes key, const struct xstream *stream);
/* Until the sink has got `until` bytes in all (false), or all of it. Groups come in one piece. */
bool aof_stream_more(struct aof_stream *a, uint64_t until);

#endif
