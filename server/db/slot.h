/* SPDX-License-Identifier: MIT
 *
 * The hash slot of a key as Redis Cluster defines it (cluster specification, "Keys distribution model"): CRC16 of the
 * key, modulo 16,384; when the key holds a `{` followed by a `}` with something in between, only what stands between
 * the first `{` and the first `}` after it counts. Slices of a keyspace are groups of neighbouring slots, so that keys
 * with one hash tag share a slice.
 */
#ifndef SERVER_DB_SLOT_H
#define SERVER_DB_SLOT_H

#include "alloc/base/bytes.h"

#define SLOT_COUNT 16384u

/* CRC-16/XMODEM: polynomial 0x1021, initial value 0, nothing reflected. */
uint16_t slot_crc16(const void *p, size_t n);

/* 0 ... SLOT_COUNT - 1 */
unsigned slot_of_key(struct bytes key);

/* The bytes of key that are hashed: its tag or all of it. */
struct bytes slot_tag(struct bytes key);

#endif
