/* SPDX-License-Identifier: MIT
 *
 * LZF: three kinds of token.
 *
 *   000LLLLL                      L + 1 literal bytes follow (1 ... 32)
 *   LLLooooo oooooooo             copy L + 2 bytes (3 ... 8) from o + 1 bytes back     (L is 1 ... 6)
 *   111ooooo LLLLLLLL oooooooo    copy L + 9 bytes (9 ... 264) from o + 1 bytes back
 *
 * The format leaves the choice of matches open; to produce the bytes Redis produces the choices are liblzf's at its
 * fast setting: one candidate a place, the latest position with the same 16-bit hash of three bytes; a match is taken
 * at once and at its full length; of the positions inside a match only the last two are entered into the table;
 * position 0 is never a candidate (there 0 means empty).
 */
#include "server/ds/lzf.h"

#include <stdbool.h>

#include "alloc/base/bytes.h"
#include "server/mem.h"

#define HASH_BITS      16
#define LITERALS_MAX   32
#define OFFSET_MAX     8192
#define MATCH_MAX      264
#define CLEAR_ALL_FROM 8192 /* bytes of input */

_Static_assert(LZF_WORK_SIZE == sizeof(uint32_t) << HASH_BITS, "one place a hash");

struct writer {
    uint8_t *out;
    size_t at, size;
    size_t run; /* place of the open run's length byte */
    unsigned run_len;
};

static unsigned hash_of(const uint8_t *p)
{
    unsigned h = (unsigned)p[0] << 16 | (unsigned)p[1] << 8 | p[2];
    return ((h >> (24 - HASH_BITS)) - h * 5) & ((1u << HASH_BITS) - 1);
}

static void run_open(struct writer *w)
{
    w->run = w->at++;
    w->run_len = 0;
}

/* An empty run takes its length byte back. */
static void run_close(struct writer *w)
{
    if (w->run_len) w->out[w->run] = (uint8_t)(w->run_len - 1);
    else w->at = w->run;
}

static void put_literal(struct writer *w, uint8_t byte)
{
    w->out[w->at++] = byte;
    if (++w->run_len == LITERALS_MAX) {
        run_close(w);
        run_open(w);
    }
}

static void put_match(struct writer *w, size_t length, size_t offset)
{
    size_t code = length - 2;
    uint8_t high = (uint8_t)((offset - 1) >> 8);
    if (code < 7) {
        w->out[w->at++] = (uint8_t)(high + (code << 5));
    } else {
        w->out[w->at++] = (uint8_t)(high + (7 << 5));
        w->out[w->at++] = (uint8_t)(code - 7);
    }
    w->out[w->at++] = (uint8_t)(offset - 1);
}

/* liblzf leaves the input's last two bytes out of a match, but reads 19 ahead unchecked where it knows there are
 * that many. */
static size_t match_length_max(size_t left)
{
    size_t max = left - 2;
    if (max == 17 || max == 18) return 19;
    return max > MATCH_MAX ? MATCH_MAX : max;
}

static size_t match_length(const uint8_t *a, const uint8_t *b, size_t max)
{
    size_t n = 3;
    while (n < max && a[n] == b[n]) n++;
    return n;
}

static size_t compress_with(uint32_t *table, const uint8_t *in, size_t n, uint8_t *out, size_t out_size)
{
    struct writer w = {.out = out, .size = out_size};
    size_t at = 0;
    run_open(&w);
    while (at < n - 2) {
        uint32_t *slot = &table[hash_of(in + at)];
        size_t ref = *slot;
        *slot = (uint32_t)at;
        if (ref == 0 || at - ref > OFFSET_MAX || memcmp(in + ref, in + at, 3) != 0) {
            if (w.at >= w.size) return 0;
            put_literal(&w, in[at++]);
            continue;
        }
        if (w.at - (w.run_len == 0) + 4 >= w.size) return 0;
        run_close(&w);
        size_t length = match_length(in + ref, in + at, match_length_max(n - at));
        put_match(&w, length, at - ref);
        run_open(&w);
        at += length;
        if (at >= n - 2) break;
        table[hash_of(in + at - 2)] = (uint32_t)(at - 2);
        table[hash_of(in + at - 1)] = (uint32_t)(at - 1);
    }
    if (w.at + 3 > w.size) return 0;
    while (at < n) put_literal(&w, in[at++]);
    run_close(&w);
    return w.at;
}

/* Only the slots of places in the input can have been written: for a short string they are quicker found again than
 * all are cleared. */
static void clear(uint32_t *table, const uint8_t *in, size_t n)
{
    if (n >= CLEAR_ALL_FROM) {
        memset(table, 0, LZF_WORK_SIZE);
        return;
    }
    for (size_t i = 0; i + 2 < n; i++) table[hash_of(in + i)] = 0;
}

size_t lzf_compress_in(void *work, const void *in, size_t n, void *out, size_t out_size)
{
    if (n < 4 || n > UINT32_MAX || out_size == 0) return 0;
    size_t size = compress_with(work, in, n, out, out_size);
    clear(work, in, n);
    return size;
}

size_t lzf_compress(const void *in, size_t n, void *out, size_t out_size)
{
    if (n < 4 || n > UINT32_MAX || out_size == 0) return 0;
    uint32_t *table = mem_calloc(LZF_WORK_SIZE);
    size_t size = compress_with(table, in, n, out, out_size);
    mem_free_sized(table, LZF_WORK_SIZE);
    return size;
}

size_t lzf_decompress(const void *in_data, size_t n, void *out_data, size_t out_size)
{
    const uint8_t *in = in_data, *end = in + n;
    uint8_t *out = out_data;
    size_t done = 0;
    while (in < end) {
        unsigned token = *in++;
        if (token < LITERALS_MAX) {
            size_t count = token + 1;
            if ((size_t)(end - in) < count || out_size - done < count) return 0;
            memcpy(out + done, in, count);
            in += count, done += count;
            continue;
        }
        size_t length = (token >> 5) + 2;
        bool is_long = token >> 5 == 7;
        if (end - in < 1 + is_long) return 0;
        if (is_long) length += *in++;
        size_t offset = (((size_t)token & 31) << 8 | *in++) + 1;
        if (offset > done || out_size - done < length) return 0;
        for (size_t i = 0; i < length; i++, done++) out[done] = out[done - offset]; /* may overlap itself */
    }
    return done;
}
