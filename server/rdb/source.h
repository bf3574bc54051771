/* SPDX-License-Identifier: MIT
 *
 * Where RDB bytes come from: one piece of memory (RESTORE), a callback that fills a window, or blocks that are lent one
 * after the other, with notes by who went through them before (server/rdb/lookahead.h). Nothing that the bytes claim is
 * believed before the bytes are there: a string announced with n bytes takes memory as its bytes arrive, and a
 * compressed one is measured before room is made for it.
 *
 * Functions return false at the first thing wrong, and from then on; error and why say what it was.
 */
#ifndef SERVER_RDB_SOURCE_H
#define SERVER_RDB_SOURCE_H

#include <stdbool.h>

#include "alloc/base/bytes.h"

struct rdb_noted_key;
struct rdb_notes;

/* Room of the source's own for strings. A string read into RDB_VIEW is valid until the next string, one in RDB_KEEP
 * until the next in RDB_KEEP, and so RDB_NAME, which names of keys are in. */
enum rdb_room { RDB_VIEW, RDB_KEEP, RDB_NAME, RDB_ROOM_COUNT };

/* The next block, which is the source's to read until it asks for another; notes NULL: there are none. Returns its
 * size; 0: the end; -errno. */
typedef long rdb_next_block_fn(void *arg, struct bytes *block, const struct rdb_notes **notes);

struct rdb_source {
    bool checksum;   /* keep crc of all bytes; set before the first read */
    int error;       /* -EBADMSG: malformed, or the bytes end early; -ENOMEM; what `more` returned */
    const char *why; /* in words, for the log; valid as long as the source */
    /* private */
    long (*more)(void *arg, char *buf, size_t size);
    rdb_next_block_fn *next_block;
    void *arg;
    const struct rdb_notes *notes;    /* of the block; NULL: none */
    size_t noted_keys, noted_strings; /* how far they are used up */
    uint64_t blocks;                  /* that have come */
    const char *at, *end;             /* what is there */
    const char *summed;               /* how far crc has come */
    uint64_t crc, past;               /* past: bytes before the window */
    char said[256];                   /* what rdb_source_failf() wrote */
    char *window;
    char *room[RDB_ROOM_COUNT + 1]; /* the last one: compressed bytes */
    size_t cap[RDB_ROOM_COUNT + 1];
};

void rdb_source_of_bytes(struct rdb_source *s, struct bytes b);
/* more: up to size bytes into buf; 0: the end; -errno. */
void rdb_source_of_stream(struct rdb_source *s, long (*more)(void *arg, char *buf, size_t size), void *arg);
void rdb_source_of_blocks(struct rdb_source *s, rdb_next_block_fn *next_block, void *arg);
void rdb_source_fini(struct rdb_source *s);

/* Sets the error, unless there is one; returns false. */
bool rdb_source_fail(struct rdb_source *s, int error, const char *why);
bool rdb_source_failf(struct rdb_source *s, int error, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Bytes read so far, and their checksum. */
uint64_t rdb_source_offset(const struct rdb_source *s);
uint64_t rdb_source_crc(struct rdb_source *s);
/* Bytes that are there for sure; for a source of bytes that is all. */
static inline size_t rdb_source_at_hand(const struct rdb_source *s) { return (size_t)(s->end - s->at); }

/* What is there behind what was read. */
static inline struct bytes rdb_source_ahead(const struct rdb_source *s)
{
    return bytes_of(s->at, (size_t)(s->end - s->at));
}

/* The keys that are noted, from the one on that begins right here; *count 0: none does. Good until the next read. */
const struct rdb_noted_key *rdb_source_noted(struct rdb_source *s, size_t *count);
/* Is that one of them, which begins right here? Of the block that is there. */
bool rdb_source_is_at(const struct rdb_source *s, const struct rdb_noted_key *k);
/* Passes over n bytes that are at hand. */
static inline void rdb_source_pass(struct rdb_source *s, size_t n) { s->at += n; }

bool rdb_get_raw(struct rdb_source *s, void *p, size_t n);
bool rdb_get_byte(struct rdb_source *s, unsigned char *b);
bool rdb_get_u64(struct rdb_source *s, uint64_t *v); /* 8 bytes, little-endian */
bool rdb_get_length(struct rdb_source *s, uint64_t *n);
bool rdb_get_string(struct rdb_source *s, enum rdb_room room, struct bytes *out);
/* The same; a string that is stored as an integer is left one: out->p is NULL then. */
bool rdb_get_string_or_int(struct rdb_source *s, enum rdb_room room, struct bytes *out, int64_t *v);
bool rdb_get_double_text(struct rdb_source *s, double *v); /* of old sorted sets */

#endif
