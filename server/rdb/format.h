/* SPDX-License-Identifier: MIT
 *
 * The RDB format's numbers.
 *
 *   file     "REDIS0011" | aux … | (SELECTDB id | RESIZEDB keys expiries | pair …) … | EOF | crc64 (8, LE)
 *   pair     [EXPIRE_MS ms (8, LE)] [IDLE seconds | FREQ (1)] | type (1) | key | value
 *   DUMP     type (1) | value | version (2, LE) | crc64 (8, LE)
 *
 *   length   00LLLLLL | 01LLLLLL LLLLLLLL | 0x80 and 4 bytes | 0x81 and 8 bytes (big-endian all)
 *   string   length and bytes | 0xC0 i8 | 0xC1 i16 | 0xC2 i32 (LE) | 0xC3 compressed length, length, LZF bytes
 */
#ifndef SERVER_RDB_FORMAT_H
#define SERVER_RDB_FORMAT_H

#define RDB_VERSION     11 /* redis-server 7.2's */
#define RDB_VERSION_MIN 10 /* 7.0's: the oldest that is written */
#define RDB_DUMP_TAIL   10 /* bytes behind the value of a DUMP: version and checksum */

enum rdb_type {
    RDB_STRING = 0,
    RDB_LIST = 1,
    RDB_SET = 2,
    RDB_ZSET = 3, /* scores as text */
    RDB_HASH = 4,
    RDB_ZSET_2 = 5, /* scores as doubles */
    RDB_MODULE = 6,
    RDB_MODULE_2 = 7,
    RDB_HASH_ZIPMAP = 9,
    RDB_LIST_ZIPLIST = 10,
    RDB_SET_INTSET = 11,
    RDB_ZSET_ZIPLIST = 12,
    RDB_HASH_ZIPLIST = 13,
    RDB_LIST_QUICKLIST = 14, /* of ziplists */
    RDB_STREAM_LISTPACKS = 15,
    RDB_HASH_LISTPACK = 16,
    RDB_ZSET_LISTPACK = 17,
    RDB_LIST_QUICKLIST_2 = 18, /* of listpacks and plain elements */
    RDB_STREAM_LISTPACKS_2 = 19,
    RDB_SET_LISTPACK = 20,
    RDB_STREAM_LISTPACKS_3 = 21,
};

enum rdb_opcode {
    RDB_OP_FUNCTION2 = 245,
    RDB_OP_FUNCTION = 246, /* of a release candidate of 7.0 */
    RDB_OP_MODULE_AUX = 247,
    RDB_OP_IDLE = 248,
    RDB_OP_FREQ = 249,
    RDB_OP_AUX = 250,
    RDB_OP_RESIZEDB = 251,
    RDB_OP_EXPIRE_MS = 252,
    RDB_OP_EXPIRE = 253, /* seconds, 4 bytes: old */
    RDB_OP_SELECTDB = 254,
    RDB_OP_EOF = 255,
};

#define RDB_LEN_14          0x40
#define RDB_LEN_32          0x80
#define RDB_LEN_64          0x81
#define RDB_LENGTH_SIZE_MAX 9
#define RDB_ENC             0xC0
#define RDB_ENC_I8          0
#define RDB_ENC_I16         1
#define RDB_ENC_I32         2
#define RDB_ENC_LZF         3

#define RDB_NODE_PLAIN  1
#define RDB_NODE_PACKED 2

#define RDB_MODULE_UINT 2 /* in front of a module's numbers */

/* Lengths in front of a double as text that are none. */
#define RDB_DOUBLE_NAN     253
#define RDB_DOUBLE_INF     254
#define RDB_DOUBLE_NEG_INF 255

#endif
