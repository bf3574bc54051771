/* SPDX-License-Identifier: MIT
 *
 * The checksum of RDB files and DUMP payloads: CRC-64 with the Jones polynomial 0xad93d23594c935a9, bits reflected,
 * starting from 0 and not inverted at the end. "123456789" has 0xe9c6d914c4b8d9ca.
 */
#ifndef SERVER_RDB_CRC64_H
#define SERVER_RDB_CRC64_H

#include <stddef.h>
#include <stdint.h>

/* crc: of the bytes before, 0 at the start. */
uint64_t crc64(uint64_t crc, const void *p, size_t n);
/* The same on any machine, slower. */
uint64_t crc64_by_tables(uint64_t crc, const void *p, size_t n);

#endif
