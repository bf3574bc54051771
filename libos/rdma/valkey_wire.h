/* SPDX-License-Identifier: MIT
 *
 * The other framing: what Valkey's clients speak over RDMA (Valkey 8.0 to 9.1, "experimental"), as pure functions. Each
 * side lends the other a buffer and tells where it is; bytes of the stream are written there, one behind the other,
 * and the number of a write says how many they are:
 *
 *     the buffer   | popped | written, not popped | not written yet |
 *                  0        read                  have              size
 *
 * It is not a ring. It is filled to its last byte; when all of it has been read its owner lends it anew, and both begin
 * at 0 again. So credits are bytes, and a side whose peer has not lent anything (yet, or again) waits.
 *
 *     message, 32 bytes, big-endian
 *      0  opcode (2)   0 get features, 1 set features, 2 keepalive, 3 a buffer is lent
 *      2  select (2)   0: copied into the answer                   2, 3: zeros
 *      8                                                           0, 1: zeros to 24
 *     16  address (8)  3
 *     24  features (8) 0, 1                  24 length (4), 28 key (4)  3
 */
#ifndef RDMA_VALKEY_WIRE_H
#define RDMA_VALKEY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VALKEY_MESSAGE_SIZE 32
#define VALKEY_BUFFER_MIN   (64u << 10) /* of ours; Valkey's bounds */
#define VALKEY_BUFFER_MAX   (16u << 20)
#define VALKEY_ASKED_MAX    4 /* questions that are not answered yet */

enum valkey_opcode { VALKEY_GET_FEATURES, VALKEY_SET_FEATURES, VALKEY_KEEPALIVE, VALKEY_LENDS };

/* What one side knows of a connection. */
struct valkey_wire {
    /* in: our buffer */
    uint32_t size, have, read;
    bool lends_anew; /* the peer is to hear that it begins at 0 */
    /* out: the peer's */
    bool is_lent;
    uint32_t out_size, out_at;
    uint64_t out_addr; /* of its first byte */
    uint32_t out_key;
    /* questions after our features, of which there are none */
    uint8_t asked;
    uint16_t select[VALKEY_ASKED_MAX];
};

/* size: of our buffer, which is yet to be lent. */
void valkey_wire_init(struct valkey_wire *w, uint32_t size);
/* A message of the peer's: NULL, or what is wrong with it, and the connection is to end. */
const char *valkey_wire_heard(struct valkey_wire *w, const void *p, size_t n);
/* The peer has written n bytes: the same. */
const char *valkey_wire_written(struct valkey_wire *w, uint32_t n);
static inline uint32_t valkey_wire_readable(const struct valkey_wire *w) { return w->have - w->read; }
/* n of them were read. True: there is something to be said now. */
bool valkey_wire_took(struct valkey_wire *w, uint32_t n);
/* Bytes that may be written to the peer, at out_addr + out_at. */
static inline uint32_t valkey_wire_room(const struct valkey_wire *w) { return w->out_size - w->out_at; }
static inline bool valkey_wire_has_to_say(const struct valkey_wire *w) { return w->lends_anew || w->asked; }
/* The next message for the peer, where there is one. addr, key: of our buffer. */
void valkey_wire_say(struct valkey_wire *w, uint64_t addr, uint32_t key, uint8_t out[VALKEY_MESSAGE_SIZE]);
void valkey_wire_check(const struct valkey_wire *w);

#endif
