/* SPDX-License-Identifier: MIT
 *
 * What a stream key holds: a struct xstream, which has one encoding.
 */
#ifndef SERVER_TYPES_STREAM_H
#define SERVER_TYPES_STREAM_H

#include "server/conf/config.h"
#include "server/db/entry.h"
#include "server/ds/xstream.h"

static inline struct xstream *stream_of(const struct entry *e)
{
    DASSERT(e->enc == ENC_STREAM);
    return entry_slot_ptr(e);
}
static inline struct value stream_value(struct xstream *s)
{
    return (struct value){.type = OBJ_STREAM, .enc = ENC_STREAM, .p = s};
}
static inline struct xstream_limits stream_limits(const struct config *cfg)
{
    return (struct xstream_limits){cfg->stream_node_max_bytes, cfg->stream_node_max_entries};
}

#endif
