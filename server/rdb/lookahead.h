/* SPDX-License-Identifier: MIT
 *
 * Goes through the blocks of an RDB file before who reads it does, so that a second core may do that part of the work:
 * it sums them up, unpacks what is compressed, and finds keys and their hashes. What it notes saves the reader work and
 * decides nothing: where nothing is noted, and where it has lost its way, the reader goes as it would without, and what
 * is wrong in a file is found by the reader alone.
 *
 * No allocation, no clock, nothing shared but the blocks and notes: whichever thread calls it.
 */
#ifndef SERVER_RDB_LOOKAHEAD_H
#define SERVER_RDB_LOOKAHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

#define RDB_BLOCK_MAX     65536u
#define RDB_KEYS_NOTED    4096u
#define RDB_STRINGS_NOTED 4096u
#define RDB_NOTES_ROOM    262144u /* bytes of unpacked strings */

enum rdb_noted {
    RDB_NOTED_KEY,     /* the key alone: its value may be anything */
    RDB_NOTED_STRING,  /* its value is a string, which is whole in the block, too */
    RDB_NOTED_INTEGER, /* the same, stored as an integer of value_size bytes */
};

struct rdb_noted_key {
    uint64_t hash;
    uint32_t at, end; /* in the block: where what belongs to it begins, and (not RDB_NOTED_KEY) where the next begins */
    uint32_t key, value; /* in the block, or in the room for what was unpacked */
    uint16_t key_size, value_size;
    uint8_t noted; /* enum rdb_noted */
    bool key_unpacked, value_unpacked;
    bool expires; /* RDB_OP_EXPIRE_MS is the first byte */
};

/* A compressed string. */
struct rdb_noted_string {
    uint32_t at, packed; /* in the block: its packed bytes */
    uint32_t size, room; /* unpacked: how many, and where in the room */
};

/* About one block; valid as long as that. */
struct rdb_notes {
    struct bytes block;
    uint64_t seed; /* of the hashes */
    bool summed;   /* as all blocks of the file are, or none */
    uint64_t crc;  /* of all bytes before the block, if summed */
    uint32_t key_count, string_count, room_used;
    struct rdb_noted_key keys[RDB_KEYS_NOTED]; /* both in the order of the file */
    struct rdb_noted_string strings[RDB_STRINGS_NOTED];
    char room[RDB_NOTES_ROOM];
};

static inline const char *rdb_noted_bytes(const struct rdb_notes *n, uint32_t at, bool unpacked)
{
    return (unpacked ? n->room : n->block.p) + at;
}

/* The integer of so many bytes, 1, 2 or 4. */
static inline int64_t rdb_noted_integer(const void *p, size_t size)
{
    return size == 1 ? *(const int8_t *)p : size == 2 ? (int16_t)load_u16(p) : (int32_t)load_u32(p);
}

struct rdb_lookahead { /* private */
    uint64_t seed, crc;
    bool summing, lost;
    bool began;        /* the signature is past */
    bool fresh;        /* the next opcode is the first that belongs to its key */
    uint64_t skip;     /* bytes that come before the next token */
    const char *token; /* of the program of the item that is being read; at its end: an opcode */
    unsigned depth;    /* of its loops */
    struct {
        const char *begin;
        uint64_t left;
    } loops[3];
    int64_t item_at; /* in this block, -1: it began in another */
    unsigned char cut[32];
    unsigned cut_size; /* what was there of the last block's last token */
};

/* seed: of the hashes. summing: keep the checksum. */
void rdb_lookahead_init(struct rdb_lookahead *l, uint64_t seed, bool summing);
/* The next block, of 1 to RDB_BLOCK_MAX bytes. */
void rdb_lookahead_block(struct rdb_lookahead *l, struct bytes block, struct rdb_notes *notes);

#endif
