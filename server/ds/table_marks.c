/* SPDX-License-Identifier: MIT
 *
 * Where marked entries are. The mark itself is a bit of the entry's slot; here is one bit a bucket that says whether it
 * may hold a marked entry, so that a walk over a few marked among millions reads 8 KiB a million entries and the
 * buckets that hold them, nothing else. It costs a fiftieth of a byte an entry, and nothing while nothing is marked.
 *
 *     bits[0]      0 0 1 0 0 0 1 0 …     bucket 2: its chain holds a marked entry, or did
 *
 * A bit is set with the mark and follows the entries when their bucket is split or merged. It is not cleared when the
 * last mark of the bucket goes, which would mean reading the chain at each deletion: the walk does that when it finds
 * nothing there. Each bit set is thus looked at in vain once at most.
 */
#include "server/ds/table.h"

#include "server/mem.h"

#define TAGS        0x0080808080808080u
#define WORDS_MAX   4096 /* searched a call: 32 KiB, some 2 us */
#define VAIN_MAX    32   /* buckets looked into in vain a call */
#define WORDS_LEAST 2

struct table_marks {
    size_t words;
    uint64_t bits[];
};

static size_t marks_size(size_t words) { return sizeof(struct table_marks) + words * sizeof(uint64_t); }

static bool has_word(const struct table *t, size_t i) { return t->marks && i / 64 < t->marks->words; }

/* Keeps the bits of the words that both sizes have. */
static void resize(struct table *t, size_t words)
{
    struct table_marks *old = t->marks, *m = mem_calloc(marks_size(words));
    m->words = words;
    if (old) memcpy(m->bits, old->bits, (old->words < words ? old->words : words) * sizeof *old->bits);
    t->marks = m;
    if (old) mem_free_sized(old, marks_size(old->words));
}

static void marks_grow(struct table *t, size_t i)
{
    size_t words = t->marks ? t->marks->words * 2 : WORDS_LEAST;
    if (words < t->bucket_count / 64) words = t->bucket_count / 64;
    if (words <= i / 64) words = i / 64 + 1;
    resize(t, words);
}

void table_marks_set(struct table *t, size_t i)
{
    if (unlikely(!has_word(t, i))) marks_grow(t, i);
    t->marks->bits[i / 64] |= (uint64_t)1 << i % 64;
}

void table_marks_clear(struct table *t, size_t i)
{
    if (has_word(t, i)) t->marks->bits[i / 64] &= ~((uint64_t)1 << i % 64);
}

void table_marks_shrink(struct table *t)
{
    size_t words = t->marks ? t->marks->words : 0;
    if (words > WORDS_LEAST && (t->bucket_count / 64 + 1) * 4 <= words) resize(t, words / 2);
}

void table_marks_copy(struct table *t, size_t from, size_t to)
{
    if (has_word(t, from) && t->marks->bits[from / 64] >> from % 64 & 1) table_marks_set(t, to);
}

void table_marks_fini(struct table *t)
{
    if (t->marks) mem_free_sized(t->marks, marks_size(t->marks->words));
    t->marks = NULL;
}

size_t table_marks_bytes(const struct table *t) { return t->marks ? marks_size(t->marks->words) : 0; }

void table_marks_check(const struct table *t, size_t i)
{
    ASSERT(has_word(t, i));
    ASSERT(t->marks->bits[i / 64] >> i % 64 & 1);
}

/* The marked entries of a bucket's chain; returns how many there were. */
static unsigned show(struct table *t, size_t i, table_scan_fn *fn, void *arg)
{
    struct table_bucket *head = table_bucket_at(t, i);
    unsigned shown = 0;
    t->paused++;
    for (struct table_bucket *b = head; b; b = table_bucket_next(b)) {
        for (uint64_t m = b->meta & TAGS; m; m &= m - 1) {
            unsigned k = (unsigned)__builtin_ctzll(m) >> 3;
            /* the callback may have deleted it already, through another slot's turn */
            if (!(b->meta >> (8 * k) & 0x80) || !(b->slot[k] & TABLE_MARK)) continue;
            fn(arg, (struct table_slot){b, head, k});
            shown++;
        }
    }
    t->paused--;
    return shown;
}

size_t table_walk_marked(struct table *t, size_t at, table_scan_fn *fn, void *arg)
{
    if (t->marked_count == 0) return 0;
    size_t end = t->bucket_count < t->marks->words * 64 ? t->bucket_count : t->marks->words * 64;
    size_t last = at / 64 + WORDS_MAX;
    unsigned vain = 0;
    for (size_t w = at / 64; w * 64 < end; w++) {
        if (w == last) return w * 64;
        uint64_t m = t->marks->bits[w];
        if (w == at / 64) m &= UINT64_MAX << at % 64;
        for (; m; m &= m - 1) {
            size_t i = w * 64 + (size_t)__builtin_ctzll(m);
            if (i >= end) return 0;
            if (show(t, i, fn, arg)) return i + 1 < end ? i + 1 : 0;
            table_marks_clear(t, i);
            if (++vain == VAIN_MAX) return i + 1 < end ? i + 1 : 0;
        }
    }
    return 0;
}
