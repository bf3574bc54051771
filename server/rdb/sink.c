/* SPDX-License-Identifier: MIT
 *
 * Bytes, lengths and strings into a sink. The choices (when a string becomes an integer, when it is compressed) are
 * redis-server 7.0's, since DUMP shows them: an integer when the text is the number's own and fits 32 bits, compressed
 * when it is over 20 bytes and gets 4 or more shorter.
 *
 * The checksum is taken over the buffer when it is handed on, in one go, not per field.
 */
#include "server/rdb/sink.h"

#include "server/db/entry.h"
#include "server/ds/lzf.h"
#include "server/ds/number.h"
#include "server/mem.h"
#include "server/rdb/crc64.h"
#include "server/rdb/format.h"

#define FLUSH_SIZE   65536
#define GROW_SIZE    256
#define INT_TEXT_MAX 11             /* "-2147483648" */
#define APART_SIZE   FLUSH_SIZE / 4 /* longer strings are handed on by themselves, if the sink defers */
#define MARKS_MAX    (FLUSH_SIZE / RDB_PACK_OVER)

void rdb_sink_init(struct rdb_sink *s, int (*flush)(void *arg, const char *p, size_t n), void *arg)
{
    *s = (struct rdb_sink){.flush = flush, .arg = arg, .version = RDB_VERSION, .cap = flush ? FLUSH_SIZE : GROW_SIZE};
    s->buf = mem_alloc(s->cap);
}

void rdb_sink_init_deferred(struct rdb_sink *s, const struct rdb_deferred *to)
{
    rdb_sink_init(s, NULL, NULL);
    s->deferred = to;
    s->cap = FLUSH_SIZE;
    s->buf = mem_realloc(s->buf, s->cap);
    s->marks = mem_alloc(MARKS_MAX * sizeof *s->marks);
}

void rdb_sink_fini(struct rdb_sink *s)
{
    mem_free(s->marks);
    mem_free(s->buf);
    mem_free(s->lzf);
    mem_free(s->lzf_work);
}

static void hand_on(struct rdb_sink *s, const char *p, size_t n)
{
    if (s->error || n == 0) return;
    if (s->checksum) s->crc = crc64(s->crc, p, n);
    s->error = s->flush(s->arg, p, n);
}

static int hand_on_piece(struct rdb_sink *s)
{
    const struct rdb_deferred *to = s->deferred;
    if (!s->error && s->used) s->error = to->piece(to->arg, s->buf, s->used, s->marks, s->mark_count);
    s->used = s->mark_count = 0;
    return s->error;
}

static inline bool is_growing(const struct rdb_sink *s) { return !s->flush && !s->deferred; }

int rdb_sink_finish(struct rdb_sink *s)
{
    if (s->deferred) return hand_on_piece(s);
    if (!s->flush) return 0;
    hand_on(s, s->buf, s->used);
    s->used = 0;
    return s->error;
}

uint64_t rdb_sink_crc(struct rdb_sink *s)
{
    if (!s->flush) return crc64(0, s->buf, s->used);
    rdb_sink_finish(s);
    return s->crc;
}

static void grow(struct rdb_sink *s, size_t n)
{
    while (s->cap - s->used < n) s->cap *= 2;
    s->buf = mem_realloc(s->buf, s->cap);
}

/* More than half a buffer, which is empty. */
static void hand_on_apart(struct rdb_sink *s, const char *p, size_t n)
{
    const struct rdb_deferred *to = s->deferred;
    if (!to) hand_on(s, p, n);
    else if (!s->error) s->error = to->piece(to->arg, p, n, NULL, 0);
}

void rdb_put_raw(struct rdb_sink *s, const void *p, size_t n)
{
    s->total += n;
    if (unlikely(s->cap - s->used < n)) {
        if (is_growing(s)) {
            grow(s, n);
        } else {
            rdb_sink_finish(s);
            if (n > s->cap / 2) {
                hand_on_apart(s, p, n);
                return;
            }
        }
    }
    if (n) memcpy(s->buf + s->used, p, n);
    s->used += n;
}

void rdb_put_byte(struct rdb_sink *s, unsigned char b) { rdb_put_raw(s, &b, 1); }

void rdb_put_u64(struct rdb_sink *s, uint64_t v)
{
    char le[8];
    store_u64(le, v);
    rdb_put_raw(s, le, sizeof le);
}

size_t rdb_length_write(char *out, uint64_t n)
{
    unsigned char *b = (unsigned char *)out;
    if (n < 64) {
        b[0] = (unsigned char)n;
        return 1;
    }
    if (n < 16384) {
        b[0] = (unsigned char)(RDB_LEN_14 | n >> 8);
        b[1] = (unsigned char)n;
        return 2;
    }
    if (n <= UINT32_MAX) {
        b[0] = RDB_LEN_32;
        store_be32(b + 1, (uint32_t)n);
        return 5;
    }
    b[0] = RDB_LEN_64;
    store_be64(b + 1, n);
    return RDB_LENGTH_SIZE_MAX;
}

void rdb_put_length(struct rdb_sink *s, uint64_t n)
{
    char b[RDB_LENGTH_SIZE_MAX];
    rdb_put_raw(s, b, rdb_length_write(b, n));
}

/* False: it needs more than 32 bits. */
static bool put_small_int(struct rdb_sink *s, int64_t v)
{
    unsigned char b[5];
    if (v < INT32_MIN || v > INT32_MAX) return false;
    store_u32(b + 1, (uint32_t)v);
    bool one = v >= INT8_MIN && v <= INT8_MAX, two = v >= INT16_MIN && v <= INT16_MAX;
    b[0] = RDB_ENC | (one ? RDB_ENC_I8 : two ? RDB_ENC_I16 : RDB_ENC_I32);
    rdb_put_raw(s, b, one ? 2 : two ? 3 : 5);
    return true;
}

void rdb_put_lzf(struct rdb_sink *s, struct bytes packed, size_t n)
{
    rdb_put_byte(s, RDB_ENC | RDB_ENC_LZF);
    rdb_put_length(s, packed.n);
    rdb_put_length(s, n);
    rdb_put_raw(s, packed.p, packed.n);
}

static bool put_compressed(struct rdb_sink *s, struct bytes b)
{
    size_t room = b.n - RDB_PACK_GAIN;
    if (s->lzf_cap < room) {
        mem_free(s->lzf);
        s->lzf_cap = demi_good_size(room);
        s->lzf = mem_alloc(s->lzf_cap);
    }
    if (!s->lzf_work) s->lzf_work = mem_calloc(LZF_WORK_SIZE);
    size_t n = lzf_compress_in(s->lzf_work, b.p, b.n, s->lzf, room);
    if (n) rdb_put_lzf(s, bytes_of(s->lzf, n), b.n);
    return n != 0;
}

static void put_plain(struct rdb_sink *s, struct bytes b)
{
    rdb_put_length(s, b.n);
    rdb_put_raw(s, b.p, b.n);
}

/* Whole, by itself. */
static void put_apart(struct rdb_sink *s, struct bytes b, struct blob *lent)
{
    hand_on_piece(s);
    if (!s->error) s->error = s->deferred->string(s->deferred->arg, b, lent);
    s->total += b.n;
}

static void put_marked(struct rdb_sink *s, struct bytes b)
{
    if (b.n > APART_SIZE) {
        put_apart(s, b, NULL);
        return;
    }
    if (s->cap - s->used < b.n + RDB_LENGTH_SIZE_MAX || s->mark_count == MARKS_MAX) hand_on_piece(s);
    s->marks[s->mark_count++] = (struct rdb_mark){(uint32_t)s->used, (uint32_t)b.n};
    put_plain(s, b);
}

void rdb_put_string(struct rdb_sink *s, struct bytes b)
{
    int64_t v;
    if (b.n <= INT_TEXT_MAX && number_parse_i64(b, &v) && put_small_int(s, v)) return;
    if (s->compress && b.n > RDB_PACK_OVER) {
        if (s->deferred) {
            put_marked(s, b);
            return;
        }
        if (put_compressed(s, b)) return;
    }
    put_plain(s, b);
}

void rdb_put_blob(struct rdb_sink *s, struct blob *b)
{
    struct bytes all = bytes_of(b->data, b->len);
    if (s->deferred && b->len > APART_SIZE) put_apart(s, all, b);
    else rdb_put_string(s, all);
}

void rdb_put_int_string(struct rdb_sink *s, int64_t v)
{
    char text[NUMBER_I64_SIZE];
    if (put_small_int(s, v)) return;
    unsigned n = number_format_i64(text, v);
    rdb_put_length(s, n);
    rdb_put_raw(s, text, n);
}
