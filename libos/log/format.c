/* SPDX-License-Identifier: MIT
 *
 * See format.h. Bytes from outside are checked here and refused, whatever they are.
 */
#include "libos/log/format.h"

#include "alloc/base/assert.h"
#include "libos/log/crc32c.h"

#include <string.h>

/* Places in the superblock. */
enum {
    SUPER_MAGIC = 0,
    SUPER_VERSION = 8,
    SUPER_BLOCK = 12,
    SUPER_UUID = 16,
    SUPER_GENERATION = 32,
    SUPER_NEXT_ID = 40,
    SUPER_SEGMENT_BYTES = 48,
    SUPER_SEGMENT_COUNT = 52,
    SUPER_EPOCH = 56,
    SUPER_LOG_COUNT = 60,
    SUPER_LOGS = 128,
    ENTRY_SIZE = 80,
    ENTRY_ID = 40,
    ENTRY_TRIM = 48,
    ENTRY_DURABLE = 56,
    ENTRY_CUT = 64,
    SUPER_CRC = 4092,
};
static_assert(SUPER_LOGS + ENTRY_SIZE * (int)ALOG_LOGS_MAX <= SUPER_CRC, "all logs fit into the block");

/* Places in a segment's head, which lies in the block's first sector. */
enum {
    HEAD_MAGIC = 0,
    HEAD_NUMBER = 8,
    HEAD_EPOCH = 12,
    HEAD_UUID = 16,
    HEAD_ID = 32,
    HEAD_INDEX = 40,
    HEAD_FIRST_SEQ = 48,
    HEAD_DURABLE = 56,
    HEAD_NAME = 64,
    HEAD_CRC = 124,
};
static_assert(HEAD_NAME + ALOG_NAME_SIZE <= HEAD_CRC, "the name fits");

/* Places in a record's head. */
enum { RECORD_CRC = 0, RECORD_LENGTH = 4, RECORD_SEQ = 8, RECORD_DURABLE = 16, RECORD_EPOCH = 24, RECORD_KIND = 28 };
enum { KIND_DATA = 1 };

static const char super_magic[8] = "DEMILOG", head_magic[8] = "DEMISEG";

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static void put64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static uint64_t get64(const uint8_t *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i]) return false;
    return true;
}

bool alog_name_is_good(const char *name)
{
    size_t n = strnlen(name, ALOG_NAME_SIZE);
    if (n == 0 || n == ALOG_NAME_SIZE) return false;
    for (const char *c = name; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
        if (!letter && *c != '.' && *c != '-' && *c != '_') return false;
    }
    return true;
}

/* --- the superblock ----------------------------------------------------------------------------------------------- */

static bool geometry_is_good(const struct alog_super *s)
{
    if (s->segment_bytes < ALOG_SEGMENT_MIN || s->segment_bytes > ALOG_SEGMENT_MAX) return false;
    if (s->segment_bytes % ALOG_BLOCK) return false;
    return s->segment_count >= 2 && s->segment_count <= ALOG_SEGMENTS_MAX;
}

bool alog_super_plan(struct alog_super *s, uint64_t size, uint32_t segment_bytes)
{
    *s = (struct alog_super){.segment_bytes = segment_bytes, .next_id = 1, .generation = 1};
    if (!segment_bytes || size < ALOG_START) return false;
    uint64_t count = (size - ALOG_START) / segment_bytes;
    s->segment_count = (uint32_t)(count < ALOG_SEGMENTS_MAX ? count : ALOG_SEGMENTS_MAX);
    return geometry_is_good(s);
}

void alog_super_write(const struct alog_super *s, uint8_t block[ALOG_BLOCK])
{
    ASSERT(s->log_count <= ALOG_LOGS_MAX);
    ASSERT(geometry_is_good(s));
    memset(block, 0, ALOG_BLOCK);
    memcpy(block + SUPER_MAGIC, super_magic, sizeof super_magic);
    put32(block + SUPER_VERSION, ALOG_VERSION);
    put32(block + SUPER_BLOCK, ALOG_BLOCK);
    memcpy(block + SUPER_UUID, s->uuid, sizeof s->uuid);
    put64(block + SUPER_GENERATION, s->generation);
    put64(block + SUPER_NEXT_ID, s->next_id);
    put32(block + SUPER_SEGMENT_BYTES, s->segment_bytes);
    put32(block + SUPER_SEGMENT_COUNT, s->segment_count);
    put32(block + SUPER_EPOCH, s->epoch);
    put32(block + SUPER_LOG_COUNT, s->log_count);
    for (uint32_t i = 0; i < s->log_count; i++) {
        const struct alog_entry *e = &s->logs[i];
        uint8_t *p = block + SUPER_LOGS + i * ENTRY_SIZE;
        memcpy(p, e->name, ALOG_NAME_SIZE);
        put64(p + ENTRY_ID, e->id);
        put64(p + ENTRY_TRIM, e->trim);
        put64(p + ENTRY_DURABLE, e->durable);
        put32(p + ENTRY_CUT, e->cut_epoch);
    }
    put32(block + SUPER_CRC, crc32c(0, block, SUPER_CRC));
}

/* Offsets are counted in 64 bits; a trim point or a mark near their end is no log's of ours. */
static bool entry_is_good(const struct alog_super *s, const struct alog_entry *e)
{
    if (e->name[ALOG_NAME_SIZE - 1] || !alog_name_is_good(e->name)) return false;
    if (e->id == 0 || e->id >= s->next_id) return false;
    return e->trim <= e->durable && e->durable <= INT64_MAX - 2 * (uint64_t)ALOG_SEGMENT_MAX;
}

static bool super_is_good(const struct alog_super *s)
{
    if (!geometry_is_good(s) || s->log_count > ALOG_LOGS_MAX) return false;
    if (s->next_id == 0 || s->next_id > ALOG_ID_MAX || s->generation == 0) return false;
    for (uint32_t i = 0; i < s->log_count; i++) {
        if (!entry_is_good(s, &s->logs[i])) return false;
        for (uint32_t k = 0; k < i; k++)
            if (s->logs[k].id == s->logs[i].id || !strcmp(s->logs[k].name, s->logs[i].name)) return false;
    }
    return true;
}

enum alog_read alog_super_read(struct alog_super *out, const uint8_t block[ALOG_BLOCK], uint32_t *version)
{
    if (is_zero(block, ALOG_BLOCK)) return ALOG_ZERO;
    if (memcmp(block + SUPER_MAGIC, super_magic, sizeof super_magic) != 0) return ALOG_FOREIGN;
    if (get32(block + SUPER_CRC) != crc32c(0, block, SUPER_CRC)) return ALOG_BAD;
    *version = get32(block + SUPER_VERSION);
    if (*version != ALOG_VERSION) return ALOG_OTHER;
    memset(out, 0, sizeof *out);
    memcpy(out->uuid, block + SUPER_UUID, sizeof out->uuid);
    out->generation = get64(block + SUPER_GENERATION);
    out->next_id = get64(block + SUPER_NEXT_ID);
    out->segment_bytes = get32(block + SUPER_SEGMENT_BYTES);
    out->segment_count = get32(block + SUPER_SEGMENT_COUNT);
    out->epoch = get32(block + SUPER_EPOCH);
    out->log_count = get32(block + SUPER_LOG_COUNT);
    if (get32(block + SUPER_BLOCK) != ALOG_BLOCK || out->log_count > ALOG_LOGS_MAX) return ALOG_BAD;
    for (uint32_t i = 0; i < out->log_count; i++) {
        struct alog_entry *e = &out->logs[i];
        const uint8_t *p = block + SUPER_LOGS + i * ENTRY_SIZE;
        memcpy(e->name, p, ALOG_NAME_SIZE);
        e->id = get64(p + ENTRY_ID);
        e->trim = get64(p + ENTRY_TRIM);
        e->durable = get64(p + ENTRY_DURABLE);
        e->cut_epoch = get32(p + ENTRY_CUT);
    }
    return super_is_good(out) ? ALOG_GOOD : ALOG_BAD;
}

/* --- a segment's head --------------------------------------------------------------------------------------------- */

void alog_segment_write(const struct alog_segment_head *h, const uint8_t uuid[16], uint8_t block[ALOG_BLOCK])
{
    memset(block, 0, ALOG_BLOCK);
    memcpy(block + HEAD_MAGIC, head_magic, sizeof head_magic);
    put32(block + HEAD_NUMBER, h->number);
    put32(block + HEAD_EPOCH, h->epoch);
    memcpy(block + HEAD_UUID, uuid, 16);
    put64(block + HEAD_ID, h->id);
    put64(block + HEAD_INDEX, h->index);
    put64(block + HEAD_FIRST_SEQ, h->first_seq);
    put64(block + HEAD_DURABLE, h->durable);
    memcpy(block + HEAD_NAME, h->name, ALOG_NAME_SIZE);
    put32(block + HEAD_CRC, crc32c(0, block, HEAD_CRC));
}

enum alog_read alog_segment_read(struct alog_segment_head *out, const struct alog_super *s, uint32_t number,
                                 const uint8_t block[ALOG_BLOCK])
{
    if (memcmp(block + HEAD_MAGIC, head_magic, sizeof head_magic) != 0) return ALOG_BAD;
    if (memcmp(block + HEAD_UUID, s->uuid, 16) != 0) return ALOG_BAD;
    if (get32(block + HEAD_CRC) != crc32c(0, block, HEAD_CRC)) return ALOG_BAD;
    out->number = get32(block + HEAD_NUMBER);
    out->epoch = get32(block + HEAD_EPOCH);
    out->id = get64(block + HEAD_ID);
    out->index = get64(block + HEAD_INDEX);
    out->first_seq = get64(block + HEAD_FIRST_SEQ);
    out->durable = get64(block + HEAD_DURABLE);
    memcpy(out->name, block + HEAD_NAME, ALOG_NAME_SIZE);
    if (out->number != number || out->epoch > s->epoch || out->first_seq == 0) return ALOG_BAD;
    if (out->first_seq > INT64_MAX) return ALOG_BAD;
    if (out->index > INT64_MAX / ALOG_SEGMENT_MAX - 2) return ALOG_BAD;
    /* What was durable then lay before this segment. */
    return out->durable <= out->index * alog_capacity(s) ? ALOG_GOOD : ALOG_BAD;
}

/* --- records ------------------------------------------------------------------------------------------------------ */

uint32_t alog_seed(const uint8_t uuid[16], uint64_t id)
{
    uint8_t bytes[24];
    memcpy(bytes, uuid, 16);
    put64(bytes + 16, id);
    return crc32c(0, bytes, sizeof bytes);
}

static uint32_t record_crc(uint32_t seed, uint64_t offset, const uint8_t *p, uint32_t length)
{
    uint8_t where[8];
    put64(where, offset);
    return crc32c(crc32c(seed, where, sizeof where), p + RECORD_LENGTH, ALOG_HEAD - RECORD_LENGTH + (size_t)length);
}

void alog_record_write(const struct alog_record *r, uint32_t seed, uint8_t *p)
{
    ASSERT(r->length > 0);
    ASSERT(r->seq > 0);
    memset(p, 0, ALOG_HEAD);
    put32(p + RECORD_LENGTH, r->length);
    put64(p + RECORD_SEQ, r->seq);
    put64(p + RECORD_DURABLE, r->durable);
    put32(p + RECORD_EPOCH, r->epoch);
    p[RECORD_KIND] = KIND_DATA;
    put32(p + RECORD_CRC, record_crc(seed, r->offset, p, r->length));
}

bool alog_record_claims(struct alog_record *out, const uint8_t p[ALOG_HEAD], uint32_t most)
{
    out->length = get32(p + RECORD_LENGTH);
    out->seq = get64(p + RECORD_SEQ);
    out->durable = get64(p + RECORD_DURABLE);
    out->epoch = get32(p + RECORD_EPOCH);
    out->bytes = p + ALOG_HEAD;
    if (out->length == 0 || out->length > most || p[RECORD_KIND] != KIND_DATA) return false;
    return out->seq <= INT64_MAX && is_zero(p + RECORD_KIND + 1, ALOG_HEAD - RECORD_KIND - 1);
}

enum alog_read alog_record_read(struct alog_record *out, uint32_t seed, uint64_t offset, const uint8_t *p, size_t n,
                                uint32_t most)
{
    out->length = 0;
    if (n < ALOG_HEAD) return ALOG_SHORT;
    if (is_zero(p, ALOG_HEAD)) return ALOG_ZERO;
    if (!alog_record_claims(out, p, most)) return ALOG_BAD;
    if (n - ALOG_HEAD < out->length) return ALOG_SHORT;
    if (get32(p + RECORD_CRC) != record_crc(seed, offset, p, out->length)) return ALOG_BAD;
    out->offset = offset;
    return out->durable <= offset ? ALOG_GOOD : ALOG_BAD;
}

/* --- from record to record ---------------------------------------------------------------------------------------- */

static uint64_t round_up(uint64_t n, uint64_t to) { return (n + to - 1) / to * to; }

/* Places are counted inside of the segment: block borders are the same, since a segment has whole blocks. */
static uint64_t left_in_segment(uint64_t at, uint32_t capacity) { return capacity - at % capacity; }
static uint64_t block_end(uint64_t at, uint32_t capacity)
{
    uint64_t within = at % capacity;
    return at - within + round_up(within + 1, ALOG_BLOCK);
}

uint64_t alog_next_place(uint64_t at, uint32_t length, uint32_t capacity)
{
    uint64_t within = at % capacity, segment = at - within;
    if (round_up(within + 1, ALOG_BLOCK) - within < ALOG_HEAD) within = round_up(within, ALOG_BLOCK);
    return within + ALOG_HEAD + length <= capacity ? segment + within : UINT64_MAX;
}

enum alog_step alog_walk_reject(struct alog_walk *w)
{
    uint64_t border = block_end(w->at, w->capacity);
    if (border - w->at == ALOG_BLOCK) return ALOG_END;
    w->at = border; /* whoever found the log's end here went on there */
    return ALOG_SKIPPED;
}

enum alog_step alog_walk_step(struct alog_walk *w, const uint8_t *p, size_t n, struct alog_record *out, size_t *need)
{
    uint64_t left = left_in_segment(w->at, w->capacity), border = block_end(w->at, w->capacity);
    if (border - w->at < ALOG_HEAD) {
        w->at = border;
        return ALOG_SKIPPED;
    }
    uint32_t most = (uint32_t)(left - ALOG_HEAD < w->record_max ? left - ALOG_HEAD : w->record_max);
    switch (alog_record_read(out, w->seed, w->at, p, n, most)) {
    case ALOG_SHORT: *need = ALOG_HEAD + (size_t)out->length; return ALOG_MORE;
    case ALOG_GOOD:
        if (out->seq != w->seq + 1 || out->epoch < w->epoch) break;
        w->seq = out->seq;
        w->epoch = out->epoch;
        w->at = w->tail = round_up(w->at + ALOG_HEAD + out->length, 8);
        return ALOG_RECORD;
    default: break;
    }
    return alog_walk_reject(w);
}
