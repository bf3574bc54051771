/* SPDX-License-Identifier: MIT
 *
 * What the two ends of a connection of ours say to each other: the greeting, as private data of connect and accept, and
 * the head of each message. Pure: bytes in, a struct out. README.md has the page that this carries out.
 */
#ifndef RDMA_WIRE_H
#define RDMA_WIRE_H

#include "alloc/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION       1
#define WIRE_GREETING_SIZE 32
#define WIRE_HEAD_SIZE     16
#define WIRE_RECEIVE_MIN   256u /* bytes of a receive */
#define WIRE_RECEIVE_MAX   (1u << 20)
#define WIRE_WINDOW_MIN    4u /* messages */
#define WIRE_WINDOW_MAX    4096u

/* Who greets has receives of so many bytes, and lets the peer have so many messages out that it has not counted yet. It
 * wants to hear of more by a write of 8 bytes to word_addr. */
struct wire_greeting {
    uint8_t version;
    uint16_t features; /* none is defined: a bit that is not known is not used */
    uint32_t receive_size, window;
    uint64_t word_addr;
    uint32_t word_key;
};

enum wire_verdict {
    WIRE_OURS,
    WIRE_NOTHING, /* no private data, or zeros only: a client of Valkey's framing, if anything */
    WIRE_FOREIGN, /* some other protocol */
    WIRE_OTHER_VERSION,
    WIRE_NONSENSE, /* ours, but out of bounds */
};

void wire_put_greeting(uint8_t out[WIRE_GREETING_SIZE], const struct wire_greeting *g);
/* n may be more than was sent: devices pad with zeros. *out is set for WIRE_OURS. */
enum wire_verdict wire_get_greeting(const void *p, size_t n, struct wire_greeting *out);

enum wire_kind {
    WIRE_DATA = 1, /* len bytes of the stream, at least one */
    WIRE_FIN,      /* there are no more */
    WIRE_FIN_SEEN, /* the answer to it */
    WIRE_COUNT,    /* nothing but the count */
};

enum wire_flags {
    WIRE_STALLED = 1 << 0, /* the sender has more, and no room left: it would like to hear by a message */
};

struct wire_head {
    uint8_t kind, flags;
    uint32_t len;
    uint64_t count; /* of the peer's messages, those that the sender of this is done with, since the beginning */
};

void wire_put_head(uint8_t out[WIRE_HEAD_SIZE], const struct wire_head *h);
/* The message has n bytes. False: none of ours. */
bool wire_get_head(const void *p, size_t n, struct wire_head *out);

/* The commonest heads, in one comparison each: DATA without flags. */
static inline void wire_put_data(uint8_t out[WIRE_HEAD_SIZE], uint32_t len, uint64_t count)
{
    store_be64(out, (uint64_t)WIRE_DATA << 56 | len);
    store_be64(out + 8, count);
}
/* The count of any head. */
static inline uint64_t wire_count(const uint8_t *p) { return load_be64(p + 8); }
/* Whether a message with len bytes behind its head is one of those. */
static inline bool wire_is_data_of(const uint8_t *p, uint32_t len)
{
    return load_be64(p) == ((uint64_t)WIRE_DATA << 56 | len);
}
/* False: another one, or none. */
static inline bool wire_is_data(const uint8_t *p, uint32_t n, uint64_t *count)
{
    if (n <= WIRE_HEAD_SIZE || !wire_is_data_of(p, n - WIRE_HEAD_SIZE)) return false;
    *count = wire_count(p);
    return true;
}

#endif
