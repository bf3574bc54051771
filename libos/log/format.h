/* SPDX-License-Identifier: MIT
 *
 * The format of append logs on a file or a block device, version 1: pure functions over bytes, which read nothing and
 * allocate nothing. demikernel-log(5) is the same for people. All numbers are little-endian.
 *
 *      block 0, 1             the superblock, two copies written in turn: the newer good one holds
 *      from ALOG_START on     segments of equal size, each of one log or of none
 *
 *      a segment              its head (one block), then records
 *      a log                  its segments in the order of their index. Segment i holds the log's offsets from i * C up
 *                             to (i + 1) * C, C being what a segment has behind its head: offsets are places, and none
 *                             comes again
 *      a record               a head of 32 bytes and its bytes, from a multiple of 8 on; never across a segment's
 *                             end, its head never across a block's. Where a block has no further record, zeroes or
 *                             the remains of a torn write, the next block may have: what is written together ends
 *                             with its block, so that no later write touches what was acknowledged
 *
 * A record is believed if its length fits, its checksum holds, its number is that of the one before plus one, and its
 * epoch is not lower. The checksum begins with the device's uuid, the log's id and the record's offset, so that what an
 * earlier use of the place has left is no record. The epoch is another at each opening for writing.
 */
#ifndef LOG_FORMAT_H
#define LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALOG_VERSION      1u
#define ALOG_BLOCK        4096u
#define ALOG_START        65536u /* of the first segment */
#define ALOG_SEGMENT_MIN  (64u << 10)
#define ALOG_SEGMENT_MAX  (64u << 20)
#define ALOG_SEGMENTS_MAX 65536u
#define ALOG_LOGS_MAX     32u
#define ALOG_NAME_SIZE    40u /* with the zero at its end */
#define ALOG_HEAD         32u /* of a record */
#define ALOG_RECORD_MAX   (1u << 20)
#define ALOG_ID_MAX       ((uint64_t)1 << 62)

struct alog_entry { /* a log, in the superblock */
    char name[ALOG_NAME_SIZE];
    uint64_t id;        /* never 0, and never another log's */
    uint64_t trim;      /* what lies before it is gone */
    uint64_t durable;   /* up to here all was durable when the superblock was written */
    uint32_t cut_epoch; /* marks of epochs up to this one say nothing: a repair has cut them off */
};

struct alog_super {
    uint8_t uuid[16];
    uint64_t generation;
    uint64_t next_id;
    uint32_t segment_bytes, segment_count;
    uint32_t epoch;
    uint32_t log_count;
    struct alog_entry logs[ALOG_LOGS_MAX];
};

struct alog_segment_head {
    uint64_t id, index;
    uint64_t first_seq; /* of the first record in it */
    uint64_t durable;   /* up to this offset the log was durable when the segment was begun */
    uint32_t epoch;
    uint32_t number; /* of the segment: what was written elsewhere is not it */
    char name[ALOG_NAME_SIZE];
};

struct alog_record {
    uint64_t offset, seq;
    uint64_t durable; /* up to this offset the log was durable when the record was accepted */
    uint32_t epoch, length;
    const uint8_t *bytes;
};

enum alog_read {
    ALOG_GOOD,
    ALOG_ZERO,  /* nothing was ever written here */
    ALOG_SHORT, /* it may be one: more bytes are needed to tell */
    ALOG_BAD,
    ALOG_OTHER, /* a superblock of another version */
    ALOG_FOREIGN
};

/* A name is 1 to ALOG_NAME_SIZE - 1 letters, digits, dots, dashes and underscores. */
bool alog_name_is_good(const char *name);
/* Bytes that a segment has for records. */
static inline uint32_t alog_capacity(const struct alog_super *s) { return s->segment_bytes - ALOG_BLOCK; }
static inline uint32_t alog_record_max(const struct alog_super *s)
{
    uint32_t most = alog_capacity(s) - ALOG_HEAD;
    return most < ALOG_RECORD_MAX ? most : ALOG_RECORD_MAX;
}
static inline uint64_t alog_segment_at(const struct alog_super *s, uint32_t number)
{
    return ALOG_START + (uint64_t)number * s->segment_bytes;
}
/* Where on the device the log's offset lies, which is in segment `number`. */
static inline uint64_t alog_place(const struct alog_super *s, uint32_t number, uint64_t offset)
{
    return alog_segment_at(s, number) + ALOG_BLOCK + offset % alog_capacity(s);
}

/* Geometry of a new device of so many bytes. false: it is too small, or the segments are of a size that may not be. */
bool alog_super_plan(struct alog_super *s, uint64_t size, uint32_t segment_bytes);
void alog_super_write(const struct alog_super *s, uint8_t block[ALOG_BLOCK]);
/* GOOD: *out is sane, too. *version is set with OTHER. */
enum alog_read alog_super_read(struct alog_super *out, const uint8_t block[ALOG_BLOCK], uint32_t *version);

void alog_segment_write(const struct alog_segment_head *h, const uint8_t uuid[16], uint8_t block[ALOG_BLOCK]);
/* GOOD or BAD. */
enum alog_read alog_segment_read(struct alog_segment_head *out, const struct alog_super *s, uint32_t number,
                                 const uint8_t block[ALOG_BLOCK]);

/* What the checksums of a log's records begin with. */
uint32_t alog_seed(const uint8_t uuid[16], uint64_t id);
/* The head of r, whose bytes lie behind it already: r->length of them at p + ALOG_HEAD. */
void alog_record_write(const struct alog_record *r, uint32_t seed, uint8_t *p);
/* n bytes at p are what lies at the offset, `most` the record's longest length there. SHORT: out->length is set where
 * the head was there. */
enum alog_read alog_record_read(struct alog_record *out, uint32_t seed, uint64_t offset, const uint8_t *p, size_t n,
                                uint32_t most);

/* What a head says of itself that may be one of the log's, unchecked; false: it is none. */
bool alog_record_claims(struct alog_record *out, const uint8_t p[ALOG_HEAD], uint32_t most);

/* --- from record to record ---------------------------------------------------------------------------------------- */

struct alog_walk {
    uint32_t seed;
    uint32_t capacity;
    uint32_t record_max;
    uint32_t epoch; /* of the last record */
    uint64_t seq;   /* its number */
    uint64_t at;    /* where the next one may be */
    uint64_t tail;  /* where the last one ends: what is missing from here on was not there, or is lost */
};

enum alog_step {
    ALOG_RECORD,
    ALOG_SKIPPED, /* at has moved on, maybe to the next segment's beginning */
    ALOG_MORE,    /* *need bytes are needed from at on */
    ALOG_END      /* here is no record that could be the next */
};

/* n bytes at p lie at w->at, all of the same segment. */
enum alog_step alog_walk_step(struct alog_walk *w, const uint8_t *p, size_t n, struct alog_record *out, size_t *need);
/* There is not as much as ALOG_MORE wanted: what claims to be a record is none. SKIPPED or END. */
enum alog_step alog_walk_reject(struct alog_walk *w);
/* Where a record of so many bytes goes that is to follow at `at`, in the same segment; UINT64_MAX: not there. */
uint64_t alog_next_place(uint64_t at, uint32_t length, uint32_t capacity);

#endif
