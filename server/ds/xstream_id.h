/* SPDX-License-Identifier: MIT
 *
 * The ID of a stream's entry: milliseconds and a sequence number, written "ms-seq". IDs are in order, and count as one
 * number of 128 bits.
 */
#ifndef SERVER_DS_XSTREAM_ID_H
#define SERVER_DS_XSTREAM_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"
#include "server/ds/btree.h"

struct stream_id {
    uint64_t ms, seq;
};

#define STREAM_ID_SIZE      16 /* as bytes: ms and seq, big-endian, so that their order is that of the IDs */
#define STREAM_ID_TEXT_SIZE 41 /* "18446744073709551615-18446744073709551615" */
#define STREAM_ID_MAX       ((struct stream_id){UINT64_MAX, UINT64_MAX})

static inline struct btree_key stream_id_key(struct stream_id id) { return (struct btree_key){id.ms, id.seq}; }
static inline struct stream_id stream_id_of_key(struct btree_key k) { return (struct stream_id){k.hi, k.lo}; }
static inline int stream_id_compare(struct stream_id a, struct stream_id b)
{
    return btree_key_compare(stream_id_key(a), stream_id_key(b));
}
static inline bool stream_id_is_zero(struct stream_id id) { return !(id.ms | id.seq); }
/* The next one, the one before. False: there is none, and *id has gone round. */
bool stream_id_increment(struct stream_id *id);
bool stream_id_decrement(struct stream_id *id);

static inline struct stream_id stream_id_load(const char bytes[STREAM_ID_SIZE])
{
    return (struct stream_id){load_be64(bytes), load_be64(bytes + 8)};
}
static inline void stream_id_store(char bytes[STREAM_ID_SIZE], struct stream_id id)
{
    store_be64(bytes, id.ms);
    store_be64(bytes + 8, id.seq);
}

/* How many bytes of out it takes. */
unsigned stream_id_format(char out[STREAM_ID_TEXT_SIZE], struct stream_id id);
/* "ms-seq", or "ms" alone: then seq is `missing`. auto_seq (may be NULL): "ms-*" is allowed, too, and sets it. */
bool stream_id_parse(struct bytes text, uint64_t missing, struct stream_id *id, bool *auto_seq);
/* Where a range begins or ends: "-" and "+" as well. */
bool stream_id_parse_bound(struct bytes text, uint64_t missing, struct stream_id *id);

#endif
