/* SPDX-License-Identifier: MIT
 *
 * Bytes, lengths and strings out of a source. A string that lies in the window whole is handed out where it lies; one
 * that does not is put together in room that doubles as its bytes come.
 */
#include "server/rdb/source.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "server/ds/lzf.h"
#include "server/ds/number.h"
#include "server/mem.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"
#include "server/rdb/lookahead.h"

#define WINDOW_SIZE 65536
#define ROOM_PACKED RDB_ROOM_COUNT

void rdb_source_of_bytes(struct rdb_source *s, struct bytes b)
{
    *s = (struct rdb_source){.at = b.p, .end = b.p + b.n, .summed = b.p};
}

void rdb_source_of_stream(struct rdb_source *s, long (*more)(void *arg, char *buf, size_t size), void *arg)
{
    *s = (struct rdb_source){.more = more, .arg = arg, .window = mem_alloc(WINDOW_SIZE)};
    s->at = s->end = s->summed = s->window;
}

void rdb_source_of_blocks(struct rdb_source *s, rdb_next_block_fn *next_block, void *arg)
{
    static const char nothing[1];
    *s = (struct rdb_source){.next_block = next_block, .arg = arg, .at = nothing, .end = nothing, .summed = nothing};
}

void rdb_source_fini(struct rdb_source *s)
{
    mem_free(s->window);
    for (int i = 0; i <= RDB_ROOM_COUNT; i++) mem_free(s->room[i]);
}

bool rdb_source_fail(struct rdb_source *s, int error, const char *why)
{
    if (s->error) return false;
    s->error = error;
    s->why = why;
    return false;
}

bool rdb_source_failf(struct rdb_source *s, int error, const char *fmt, ...)
{
    va_list args;
    if (s->error) return false;
    va_start(args, fmt);
    vsnprintf(s->said, sizeof s->said, fmt, args);
    va_end(args);
    return rdb_source_fail(s, error, s->said);
}

uint64_t rdb_source_offset(const struct rdb_source *s) { return s->past + (uint64_t)(s->at - s->summed); }

uint64_t rdb_source_crc(struct rdb_source *s)
{
    size_t n = (size_t)(s->at - s->summed);
    if (s->checksum) s->crc = crc64(s->crc, s->summed, n);
    s->past += n;
    s->summed = s->at;
    return s->crc;
}

/* What is there goes when more comes. */
static inline bool is_passing(const struct rdb_source *s) { return s->more || s->next_block; }

/* The next bytes: in the window, or a block. Returns as `more` does. */
static long next_bytes(struct rdb_source *s)
{
    struct bytes block;
    if (s->more) {
        long n = s->more(s->arg, s->window, WINDOW_SIZE);
        if (n > 0) s->at = s->window;
        return n;
    }
    long n = s->next_block(s->arg, &block, &s->notes);
    if (n <= 0) {
        s->notes = NULL;
        return n;
    }
    s->at = block.p;
    s->blocks++;
    s->noted_keys = s->noted_strings = 0;
    return n;
}

/* What is there is used up. */
static bool refill(struct rdb_source *s)
{
    if (s->error) return false;
    if (!is_passing(s)) return rdb_source_fail(s, -EBADMSG, "the data ends in the middle of a value");
    if (s->notes && s->notes->summed) s->past += (uint64_t)(s->at - s->summed);
    else rdb_source_crc(s);
    s->summed = s->at;
    long n = next_bytes(s);
    if (n < 0) return rdb_source_fail(s, (int)n, "reading failed");
    if (n == 0) return rdb_source_fail(s, -EBADMSG, "the data ends in the middle of a value");
    s->summed = s->at;
    s->end = s->at + n;
    if (s->notes && s->notes->summed) s->crc = s->notes->crc;
    return true;
}

const struct rdb_noted_key *rdb_source_noted(struct rdb_source *s, size_t *count)
{
    const struct rdb_notes *notes = s->notes;
    *count = 0;
    if (!notes) return NULL;
    size_t i = s->noted_keys, here = (size_t)(s->at - notes->block.p);
    while (i < notes->key_count && notes->keys[i].at < here) i++;
    s->noted_keys = i;
    if (i == notes->key_count || notes->keys[i].at != here) return NULL;
    *count = notes->key_count - i;
    return &notes->keys[i];
}

bool rdb_source_is_at(const struct rdb_source *s, const struct rdb_noted_key *k)
{
    return s->notes && s->at == s->notes->block.p + k->at;
}

bool rdb_get_raw(struct rdb_source *s, void *p, size_t n)
{
    char *to = p;
    if (s->error) return false;
    while (rdb_source_at_hand(s) < n) {
        size_t part = rdb_source_at_hand(s);
        if (part) memcpy(to, s->at, part);
        to += part;
        n -= part;
        s->at += part;
        if (!refill(s)) return false;
    }
    if (n) memcpy(to, s->at, n);
    s->at += n;
    return true;
}

bool rdb_get_byte(struct rdb_source *s, unsigned char *b) { return rdb_get_raw(s, b, 1); }

bool rdb_get_u64(struct rdb_source *s, uint64_t *v)
{
    char le[8];
    if (!rdb_get_raw(s, le, sizeof le)) return false;
    *v = load_u64(le);
    return true;
}

/* --- lengths ------------------------------------------------------------------------------------------------------ */

/* encoded: *n is not a length but the kind of a special string. */
static bool get_length(struct rdb_source *s, uint64_t *n, bool *encoded)
{
    unsigned char b[9];
    if (!rdb_get_byte(s, b)) return false;
    *encoded = b[0] >= RDB_ENC;
    if (b[0] < RDB_LEN_14 || *encoded) {
        *n = b[0] & 63;
        return true;
    }
    if (b[0] < RDB_LEN_32) {
        if (!rdb_get_byte(s, b + 1)) return false;
        *n = (uint64_t)(b[0] & 63) << 8 | b[1];
        return true;
    }
    if (b[0] != RDB_LEN_32 && b[0] != RDB_LEN_64) return rdb_source_fail(s, -EBADMSG, "unknown encoding of a length");
    if (!rdb_get_raw(s, b + 1, b[0] == RDB_LEN_32 ? 4 : 8)) return false;
    *n = b[0] == RDB_LEN_32 ? load_be32(b + 1) : load_be64(b + 1);
    return true;
}

bool rdb_get_length(struct rdb_source *s, uint64_t *n)
{
    bool encoded;
    if (!get_length(s, n, &encoded)) return false;
    return !encoded || rdb_source_fail(s, -EBADMSG, "a string where a length should be");
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

/* Room of n bytes; keep: what is in it stays. Sizes here are announced by the data, so there may be no memory for
 * them. */
static char *make_room(struct rdb_source *s, unsigned room, size_t n, bool keep)
{
    if (s->room[room] && s->cap[room] >= n) return s->room[room];
    size_t cap = demi_good_size(n ? n : 1);
    char *p = keep ? demi_realloc(s->room[room], cap) : demi_malloc(cap);
    if (!p) {
        rdb_source_fail(s, -ENOMEM, "no memory for a string");
        return NULL;
    }
    if (!keep) mem_free(s->room[room]);
    s->room[room] = p;
    s->cap[room] = cap;
    return p;
}

/* out, which lies in what is there, is to be valid for as long as the room says. */
static bool stays(struct rdb_source *s, unsigned room, struct bytes *out)
{
    if (room == RDB_VIEW || !is_passing(s)) return true;
    char *p = make_room(s, room, out->n, false);
    if (!p) return false;
    if (out->n) memcpy(p, out->p, out->n);
    out->p = p;
    return true;
}

static bool take(struct rdb_source *s, unsigned room, uint64_t n, struct bytes *out)
{
    if (s->error) return false;
    if (n <= rdb_source_at_hand(s)) {
        *out = bytes_of(s->at, (size_t)n);
        s->at += n;
        return stays(s, room, out);
    }
    size_t have = 0;
    while (have < n) {
        if (!rdb_source_at_hand(s) && !refill(s)) return false;
        size_t part = rdb_source_at_hand(s);
        if (part > n - have) part = (size_t)(n - have);
        if (have + part > s->cap[room]) {
            size_t twice = (have + part) * 2;
            if (!make_room(s, room, twice < n ? twice : (size_t)n, true)) return false;
        }
        memcpy(s->room[room] + have, s->at, part);
        s->at += part;
        have += part;
    }
    *out = bytes_of(s->room[room], have);
    return true;
}

/* What compressed bytes come to; 0: malformed. The tokens are those of server/ds/lzf.c. */
static uint64_t lzf_length(struct bytes packed)
{
    const unsigned char *p = (const unsigned char *)packed.p, *end = p + packed.n;
    uint64_t n = 0;
    while (p < end) {
        unsigned token = *p++;
        if (token < 32) {
            n += token + 1;
            p += token + 1;
            continue;
        }
        if (token >> 5 == 7) {
            if (p == end) return 0;
            n += *p++;
        }
        n += (token >> 5) + 2;
        p++;
        if (n > UINT32_MAX) return 0;
    }
    return p == end ? n : 0;
}

/* The compressed string that begins here, if it was unpacked ahead; which the same bytes are that come to as many. */
static bool take_unpacked(struct rdb_source *s, uint64_t packed_size, uint64_t n, struct bytes *out)
{
    const struct rdb_notes *notes = s->notes;
    if (!notes) return false;
    size_t i = s->noted_strings, here = (size_t)(s->at - notes->block.p);
    while (i < notes->string_count && notes->strings[i].at < here) i++;
    s->noted_strings = i;
    const struct rdb_noted_string *noted = &notes->strings[i];
    if (i == notes->string_count || noted->at != here || noted->packed != packed_size || noted->size != n) return false;
    *out = bytes_of(notes->room + noted->room, (size_t)n);
    s->at += packed_size;
    return true;
}

static bool get_lzf(struct rdb_source *s, enum rdb_room room, struct bytes *out)
{
    uint64_t packed_size, n;
    struct bytes packed;
    if (!rdb_get_length(s, &packed_size) || !rdb_get_length(s, &n)) return false;
    if (take_unpacked(s, packed_size, n, out)) return stays(s, room, out);
    if (!take(s, ROOM_PACKED, packed_size, &packed)) return false;
    if (n == 0 || lzf_length(packed) != n) return rdb_source_fail(s, -EBADMSG, "a compressed string is malformed");
    char *p = make_room(s, room, (size_t)n, false);
    if (!p) return false;
    if (lzf_decompress(packed.p, packed.n, p, (size_t)n) != n)
        return rdb_source_fail(s, -EBADMSG, "a compressed string is malformed");
    *out = bytes_of(p, (size_t)n);
    return true;
}

static bool get_int(struct rdb_source *s, uint64_t kind, int64_t *v)
{
    unsigned char b[4] = {0};
    if (!rdb_get_raw(s, b, kind == RDB_ENC_I8 ? 1 : kind == RDB_ENC_I16 ? 2 : 4)) return false;
    *v = kind == RDB_ENC_I8 ? (int8_t)b[0] : kind == RDB_ENC_I16 ? (int16_t)load_u16(b) : (int32_t)load_u32(b);
    return true;
}

bool rdb_get_string_or_int(struct rdb_source *s, enum rdb_room room, struct bytes *out, int64_t *v)
{
    static const char nothing[1];
    uint64_t n;
    bool encoded;
    if (!get_length(s, &n, &encoded)) return false;
    if (!encoded) {
        if (!take(s, room, n, out)) return false;
        if (!out->p) out->p = nothing; /* NULL means an integer */
        return true;
    }
    if (n == RDB_ENC_LZF) return get_lzf(s, room, out);
    if (n > RDB_ENC_I32) return rdb_source_fail(s, -EBADMSG, "unknown encoding of a string");
    *out = bytes_of(NULL, 0);
    return get_int(s, n, v);
}

bool rdb_get_string(struct rdb_source *s, enum rdb_room room, struct bytes *out)
{
    int64_t v = 0;
    if (!rdb_get_string_or_int(s, room, out, &v)) return false;
    if (out->p) return true;
    char *p = make_room(s, room, NUMBER_I64_SIZE, false);
    if (!p) return false;
    *out = bytes_of(p, number_format_i64(p, v));
    return true;
}

bool rdb_get_double_text(struct rdb_source *s, double *v)
{
    unsigned char n;
    char text[256];
    if (!rdb_get_byte(s, &n)) return false;
    if (n == RDB_DOUBLE_INF || n == RDB_DOUBLE_NEG_INF) {
        *v = n == RDB_DOUBLE_INF ? INFINITY : -INFINITY;
        return true;
    }
    if (n == RDB_DOUBLE_NAN) return rdb_source_fail(s, -EBADMSG, "a score is not a number");
    if (!rdb_get_raw(s, text, n)) return false;
    return number_parse_double(bytes_of(text, n), v) || rdb_source_fail(s, -EBADMSG, "a score is not a number");
}
