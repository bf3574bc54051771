/* SPDX-License-Identifier: MIT
 *
 * HyperLogLog (Flajolet and others, 2007) with 64-bit hashes (Heule and others, 2013) and Ertl's estimator
 * (arXiv:1702.01284). An element's hash chooses one of 16,384 registers by its low 14 bits; its rank is the place of
 * the first bit set in the other 50, and a register keeps the highest rank of all its elements.
 *
 *     0      4      5           8                 16
 *     +------+------+-----------+-----------------+- - - - - - -      form 0: dense, registers packed (hll_registers.c)
 *     | HYLL | form | 0   0   0 | count, LE       | registers         form 1: sparse, runs of registers
 *     +------+------+-----------+-----------------+- - - - - - -
 *
 * Bit 63 of the count: it is out of date. Runs of the sparse form, which have to make 16,384 registers in all:
 *
 *     00nnnnnn            n + 1 registers of 0
 *     01nnnnnn nnnnnnnn   n + 1 registers of 0, high bits first ("wide")
 *     1vvvvvnn            n + 1 registers of v + 1
 *
 * A string from outside may hold any runs. A wide run without its second byte is corrupt wherever it is met. Otherwise
 * what passes is what passes in redis-server 7.2.4, where not all checks are equal: counting wants the runs to come to
 * 16,384 exactly; merging and making it dense stop at a run of values that would be too many, and what is behind it
 * does not count; changing a register looks no further than that register.
 */
#include "server/ds/hll.h"

#include <errno.h>
#include <math.h>

#include "alloc/base/assert.h"

#define INDEX_BITS 14
#define RANK_MAX   (64 - INDEX_BITS + 1)
#define HASH_SEED  0xadc83b19u
#define FORM_AT    4
#define COUNT_AT   8

enum hll_form { FORM_DENSE, FORM_SPARSE };

static_assert(HLL_REGISTERS == 1 << INDEX_BITS, "a register for each index");
static_assert(RANK_MAX <= HLL_REGISTER_MAX, "a register holds each rank");
static_assert(HLL_HEADER_BYTES >= HLL_PACKED_BEFORE, "what is read in front of the registers");

/* --- the header ------------------------------------------------------------------------------------------------- */

bool hll_is_valid(struct bytes s)
{
    if (s.n < HLL_HEADER_BYTES || memcmp(s.p, "HYLL", FORM_AT) != 0) return false;
    uint8_t form = (uint8_t)s.p[FORM_AT];
    return form == FORM_SPARSE || (form == FORM_DENSE && s.n == HLL_DENSE_BYTES);
}

bool hll_is_dense(struct bytes s) { return s.p[FORM_AT] == FORM_DENSE; }

bool hll_kept_count(struct bytes s, uint64_t *count)
{
    *count = load_u64(s.p + COUNT_AT);
    return !(*count >> 63);
}

void hll_keep_count(char *p, uint64_t count) { store_u64(p + COUNT_AT, count); }
void hll_forget_count(char *p) { p[COUNT_AT + 7] = (char)(p[COUNT_AT + 7] | 0x80); }

/* --- elements --------------------------------------------------------------------------------------------------- */

/* MurmurHash64A (Austin Appleby), words read in little-endian order. */
static uint64_t hash(struct bytes s)
{
    const uint64_t m = 0xc6a4a7935bd1e995u;
    uint64_t h = HASH_SEED ^ s.n * m;
    const char *p = s.p;
    size_t n = s.n;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t k = load_u64(p) * m;
        h = (h ^ (k ^ k >> 47) * m) * m;
    }
    if (n) {
        uint64_t tail = 0;
        for (size_t i = 0; i < n; i++) tail |= (uint64_t)(uint8_t)p[i] << 8 * i;
        h = (h ^ tail) * m;
    }
    h = (h ^ h >> 47) * m;
    return h ^ h >> 47;
}

struct hll_point hll_point_of(struct bytes element)
{
    uint64_t h = hash(element);
    /* The bit above all of them ends the search. */
    uint64_t rest = h >> INDEX_BITS | (uint64_t)1 << (64 - INDEX_BITS);
    return (struct hll_point){.index = h & (HLL_REGISTERS - 1), .rank = (unsigned)__builtin_ctzll(rest) + 1};
}

/* --- dense ------------------------------------------------------------------------------------------------------ */

/* The two bytes a register may lie in, as one number; of the last register there is only one, which has all of it. */
static inline unsigned load_pair(const char *p, unsigned bit)
{
    unsigned v = (uint8_t)p[bit / 8];
    return bit % 8 > 2 ? v | (unsigned)(uint8_t)p[bit / 8 + 1] << 8 : v;
}

bool hll_dense_is_below(struct bytes s, struct hll_point at)
{
    unsigned bit = at.index * HLL_REGISTER_BITS;
    return (load_pair(s.p + HLL_HEADER_BYTES, bit) >> bit % 8 & HLL_REGISTER_MAX) < at.rank;
}

void hll_dense_set(char *p, struct hll_point at)
{
    DASSERT(at.index < HLL_REGISTERS && at.rank <= HLL_REGISTER_MAX);
    unsigned bit = at.index * HLL_REGISTER_BITS, shift = bit % 8;
    p += HLL_HEADER_BYTES;
    unsigned v = (load_pair(p, bit) & ~((unsigned)HLL_REGISTER_MAX << shift)) | at.rank << shift;
    p[bit / 8] = (char)v;
    if (shift > 2) p[bit / 8 + 1] = (char)(v >> 8);
}

/* --- runs ------------------------------------------------------------------------------------------------------- */

#define VALUE_RUN_MAX  4
#define NARROW_RUN_MAX 64

static inline bool is_value(uint8_t b) { return b & 0x80; }
static inline bool is_wide(uint8_t b) { return (b & 0xc0) == 0x40; }
static inline unsigned value_of(uint8_t b) { return (b >> 2 & 31) + 1; }
static inline unsigned value_length(uint8_t b) { return (b & 3) + 1; }
/* Of one byte, without a branch: which of the two it is cannot be foreseen. */
static inline unsigned length_of(uint8_t b) { return (b & (is_value(b) ? 3 : 63)) + 1; }
static inline unsigned wide_length(const char *p) { return ((unsigned)(p[0] & 63) << 8 | (uint8_t)p[1]) + 1; }

static inline uint8_t put_value(unsigned value, unsigned length)
{
    return (uint8_t)(0x80 | (value - 1) << 2 | (length - 1));
}

static size_t put_zeros(uint8_t *p, unsigned length)
{
    if (length == 0) return 0;
    p[0] = (uint8_t)(length - 1);
    if (length <= NARROW_RUN_MAX) return 1;
    p[0] = (uint8_t)(0x40 | (length - 1) >> 8);
    p[1] = (uint8_t)(length - 1);
    return 2;
}

void hll_make_empty(char *p)
{
    memset(p, 0, HLL_HEADER_BYTES);
    memcpy(p, "HYLL", FORM_AT);
    p[FORM_AT] = FORM_SPARSE;
    put_zeros((uint8_t *)p + HLL_HEADER_BYTES, HLL_REGISTERS);
}

bool hll_next_run(struct bytes s, size_t *at, struct hll_run *run)
{
    if (*at >= s.n) return false;
    uint8_t b = (uint8_t)s.p[*at];
    *run = (struct hll_run){.value = is_value(b) ? value_of(b) : 0, .length = length_of(b)};
    if (is_wide(b)) {
        char both[2] = {(char)b, *at + 1 < s.n ? s.p[*at + 1] : 0};
        run->length = wide_length(both);
        run->wide = true;
    }
    *at += run->wide ? 2 : 1;
    return true;
}

/* --- changing a register ------------------------------------------------------------------------------------------ */

/* The run with the register `index`: at edit->at, its first register is the result; -EINVAL: there is none. */
static int64_t find_run(struct bytes s, unsigned index, bool next, struct hll_edit *edit, unsigned *length)
{
    size_t at = HLL_HEADER_BYTES, first = 0, prev = 0, prev_first = 0;
    if (next && edit->prev) {
        size_t from = edit->prev;
        unsigned skip = is_wide((uint8_t)s.p[from]) ? wide_length(s.p + from) : length_of((uint8_t)s.p[from]);
        /* Runs that were merged may have become one with the run to begin with. */
        if (edit->prev_first + skip <= index) {
            at = from;
            first = edit->prev_first;
        }
    }
    for (;;) {
        if (at >= s.n) return -EINVAL;
        uint8_t b = (uint8_t)s.p[at];
        unsigned bytes = 1;
        *length = length_of(b);
        if (unlikely(is_wide(b))) {
            if (s.n - at < 2) return -EINVAL;
            *length = wide_length(s.p + at);
            bytes = 2;
        }
        if (index < first + *length) break;
        prev = at;
        prev_first = first;
        at += bytes;
        first += *length;
    }
    edit->at = at;
    edit->prev = prev;
    edit->prev_first = prev_first;
    return (int64_t)first;
}

/* The run b of `length` registers with another value for one of them, `before` of them in front of it. */
static uint8_t split_run(uint8_t *out, uint8_t b, unsigned length, unsigned before, unsigned rank)
{
    unsigned after = length - before - 1;
    uint8_t *p = out;
    if (!is_value(b)) {
        p += put_zeros(p, before);
        *p++ = put_value(rank, 1);
        p += put_zeros(p, after);
    } else {
        if (before) *p++ = put_value(value_of(b), before);
        *p++ = put_value(rank, 1);
        if (after) *p++ = put_value(value_of(b), after);
    }
    return (uint8_t)(p - out);
}

int hll_sparse_find(struct bytes s, struct hll_point at, bool next, struct hll_edit *edit)
{
    DASSERT(at.rank >= 1 && at.rank <= HLL_SPARSE_MAX);
    unsigned length;
    int64_t first = find_run(s, at.index, next, edit, &length);
    if (first < 0) return (int)first;
    uint8_t b = (uint8_t)s.p[edit->at];
    if (is_value(b) && value_of(b) >= at.rank) return 0;
    edit->old_bytes = is_wide(b) ? 2 : 1;
    edit->new_bytes = split_run(edit->run, b, length, at.index - (unsigned)first, at.rank);
    edit->delta = edit->new_bytes - edit->old_bytes;
    return 1;
}

#define MERGE_STEPS 5 /* runs looked at, and runs merged, from the one before the change: as Redis does, to the byte */

/* Makes one of neighbours of one value; gives the new length. */
static size_t merge_runs(char *p, size_t n, size_t at)
{
    for (int steps = MERGE_STEPS; at < n && steps; steps--) {
        uint8_t b = (uint8_t)p[at], behind = at + 1 < n ? (uint8_t)p[at + 1] : 0;
        if (!is_value(b)) {
            at += is_wide(b) ? 2 : 1;
            continue;
        }
        unsigned length = value_length(b) + value_length(behind);
        if (is_value(behind) && value_of(b) == value_of(behind) && length <= VALUE_RUN_MAX) {
            p[at] = (char)put_value(value_of(b), length);
            memmove(p + at + 1, p + at + 2, n - at - 2);
            n--;
        } else {
            at++;
        }
    }
    return n;
}

size_t hll_sparse_apply(char *p, size_t n, const struct hll_edit *edit)
{
    char *run = p + edit->at;
    ASSERT(edit->at + edit->old_bytes <= n);
    memmove(run + edit->new_bytes, run + edit->old_bytes, n - edit->at - edit->old_bytes);
    memcpy(run, edit->run, edit->new_bytes);
    n = n - edit->old_bytes + edit->new_bytes;
    n = merge_runs(p, n, edit->prev ? edit->prev : HLL_HEADER_BYTES);
    hll_forget_count(p);
    return n;
}

void hll_make_dense_of(char *dense, struct bytes s)
{
    memcpy(dense, s.p, HLL_HEADER_BYTES);
    dense[FORM_AT] = FORM_DENSE;
}

bool hll_to_dense(struct bytes s, char *dense)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    if (!hll_merge(registers, s)) return false;
    hll_make_dense_of(dense, s);
    hll_registers_pack(dense + HLL_HEADER_BYTES, registers);
    return true;
}

int hll_raise(char *p, size_t *n, size_t sparse_max, struct hll_point at)
{
    struct bytes s = bytes_of(p, *n);
    struct hll_edit edit;
    if (!hll_is_dense(s)) {
        bool fits = at.rank <= HLL_SPARSE_MAX;
        int changes = fits ? hll_sparse_find(s, at, false, &edit) : 1;
        if (changes <= 0) return changes;
        if (fits && (edit.delta <= 0 || *n + (size_t)edit.delta <= sparse_max)) {
            *n = hll_sparse_apply(p, *n, &edit);
            return 1;
        }
        char dense[HLL_DENSE_BYTES];
        if (!hll_to_dense(s, dense)) return -EINVAL;
        memcpy(p, dense, HLL_DENSE_BYTES);
        *n = HLL_DENSE_BYTES;
    } else if (!hll_dense_is_below(s, at)) {
        return 0;
    }
    hll_dense_set(p, at);
    return 1;
}

/* --- counting ----------------------------------------------------------------------------------------------------- */

/* Ertl's sigma and tau, for registers of 0 and of RANK_MAX. Each term is less than half of the one before, so that both
 * end when a double has no more digits. */
static double sigma(double x)
{
    if (x == 1.0) return INFINITY;
    double sum = x, before, weight = 1;
    do {
        x *= x;
        before = sum;
        sum += x * weight;
        weight += weight;
    } while (sum != before);
    return sum;
}

static double tau(double x)
{
    if (x == 0.0 || x == 1.0) return 0.0;
    double sum = 1 - x, before, weight = 1;
    do {
        x = sqrt(x);
        before = sum;
        weight *= 0.5;
        sum -= (1 - x) * (1 - x) * weight;
    } while (sum != before);
    return sum / 3;
}

#define HALF_BY_LN_2 0.721347520444481703680 /* 1 / (2 ln 2) */

/* The steps, and their order, are Redis's: the last digit of a double decides how a count is rounded. */
static uint64_t estimate(const uint32_t counts[HLL_REGISTER_MAX + 1])
{
    const double m = HLL_REGISTERS;
    double z = m * tau((m - counts[RANK_MAX]) / m);
    for (unsigned rank = RANK_MAX - 1; rank >= 1; rank--) {
        z += counts[rank];
        z *= 0.5;
    }
    z += m * sigma(counts[0] / m);
    double e = HALF_BY_LN_2 * m * m / z;
    /* Registers that no element leads to may come to infinity: this is what x86 makes of it in a conversion. */
    return e < 0x1p63 ? (uint64_t)llround(e) : (uint64_t)1 << 63;
}

static bool tally_runs(uint32_t counts[HLL_REGISTER_MAX + 1], struct bytes s)
{
    size_t registers = 0;
    for (size_t at = HLL_HEADER_BYTES; at < s.n; at++) {
        uint8_t b = (uint8_t)s.p[at];
        unsigned length = length_of(b), value = is_value(b) ? value_of(b) : 0;
        if (unlikely(is_wide(b))) {
            if (s.n - at < 2) return false;
            length = wide_length(s.p + at);
            at++;
        }
        counts[value] += length;
        registers += length;
        if (registers > HLL_REGISTERS) return false;
    }
    return registers == HLL_REGISTERS;
}

bool hll_count(struct bytes s, uint64_t *count)
{
    uint32_t counts[HLL_REGISTER_MAX + 1] = {0};
    if (hll_is_dense(s)) {
        uint8_t registers[HLL_REGISTERS];
        hll_registers_unpack(registers, s.p + HLL_HEADER_BYTES);
        hll_registers_tally(counts, registers);
    } else if (!tally_runs(counts, s)) {
        return false;
    }
    *count = estimate(counts);
    return true;
}

uint64_t hll_count_of(const uint8_t registers[HLL_REGISTERS])
{
    uint32_t counts[HLL_REGISTER_MAX + 1];
    hll_registers_tally(counts, registers);
    return estimate(counts);
}

static bool merge_sparse(uint8_t *max, struct bytes s)
{
    size_t registers = 0;
    for (size_t at = HLL_HEADER_BYTES; at < s.n; at++) {
        uint8_t b = (uint8_t)s.p[at];
        unsigned length = length_of(b);
        if (is_value(b)) {
            uint8_t value = (uint8_t)value_of(b);
            if (registers + length > HLL_REGISTERS) break;
            for (unsigned i = 0; i < length; i++)
                if (value > max[registers + i]) max[registers + i] = value;
        } else if (is_wide(b)) {
            if (s.n - at < 2) return false;
            length = wide_length(s.p + at);
            at++;
        }
        registers += length;
        if (registers > HLL_REGISTERS) return false;
    }
    return registers == HLL_REGISTERS;
}

bool hll_merge(uint8_t max[HLL_REGISTERS], struct bytes s)
{
    if (!hll_is_dense(s)) return merge_sparse(max, s);
    hll_registers_merge(max, s.p + HLL_HEADER_BYTES);
    return true;
}
