/* SPDX-License-Identifier: MIT
 *
 * The table's buckets: where an entry goes, and how the number of buckets follows the number of entries.
 *
 * Linear hashing (Litwin, VLDB 1980). With bucket_count = 2^L + s, the buckets below s have been split in this round: a
 * hash belongs to bucket (hash mod 2^(L+1)) if there is one of that number, else to (hash mod 2^L). Growing by one
 * bucket splits bucket s into s and s + 2^L; shrinking by one undoes the last split.
 *
 *       0 … s-1          s … 2^L-1         2^L … 2^L+s-1
 *     +--------------+------------------+----------------+
 *     | split, half  | not yet, twice   | their other    |
 *     | full         | as full          | halves         |
 *     +--------------+------------------+----------------+
 *
 * Compared with two tables of a power of two each while one is emptied into the other: no second table's memory during
 * the change (that is what hits maxmemory), 12.7 bytes an entry at every count where doubling gives 11 to 17 (computed
 * for Poisson loads, 2026-11), and one bucket to look into. It costs a compare, and a directory since a linear array
 * could not grow in place: segments of 64 KiB, whose pointers stay in the first-level cache (10 M entries: 13 KB). A
 * table of up to TABLE_SEG_BUCKETS buckets has one segment, which is reallocated as it grows.
 *
 * Buckets that wait for their split are over-full by design, so overflow must be cheap: a chained bucket has 3, 5 or 7
 * slots (32, 48 or 64 bytes), just enough for what it holds, and the chain is kept dense on delete:
 *
 *     +------+----+----+----+----+----+----+------+      +------+----+----+----+
 *     | meta | e0 | e1 | e2 | e3 | e4 | e5 | link | ---> | meta | e6 | e7 |    |
 *     +------+----+----+----+----+----+----+------+      +------+----+----+----+
 *
 * Splitting needs bit L of each entry's hash. Bits 8 to 22 lie beside the pointer, so between 256 buckets and 8 M (50 M
 * entries) a split does not touch the entries; outside of that the hash is computed again.
 *
 * Invariants (table_check): each entry in the chain of its hash's bucket with its hash's tag and bits; a slot is 0
 * where its tag is 0; a link is the last slot of its bucket, has no tag, and leads to a bucket with at least one entry
 * (unless the table was paused).
 */
#include "server/ds/table.h"

#include <limits.h>

#include "server/mem.h"

#define SHRINK_BELOW  2 /* entries a bucket */
#define FORBIDDEN_MAX 5 /* times the fill, while resizing is forbidden */
#define EXT_FIRST     8
#define EXT_BITS      15
#define TAGS          0x0080808080808080u

static_assert(sizeof(struct table_bucket) == 64, "a bucket is a cache line");
static_assert(TABLE_FILL_FAST > 2 * SHRINK_BELOW, "a table that has just shrunk does not grow at once");

/* --- segments ------------------------------------------------------------------------------------- */

/* Buckets on cache lines. The heap gives blocks of a power of two aligned so; where it does not, a segment of full
 * size is moved within a larger block, whose start is kept in front of it (bit 0 set). Small tables take what they
 * get. */
static uintptr_t seg_alloc(size_t buckets)
{
    size_t size = buckets * sizeof(struct table_bucket);
    char *p = mem_calloc(size);
    if (((uintptr_t)p & 63) == 0 || buckets < TABLE_SEG_BUCKETS) return (uintptr_t)p;
    mem_free_sized(p, size);
    p = mem_calloc(size + 64 + sizeof p);
    char *aligned = (char *)(((uintptr_t)p + sizeof p + 63) & ~(uintptr_t)63);
    memcpy(aligned - sizeof p, &p, sizeof p);
    return (uintptr_t)aligned | 1;
}

static void seg_free(uintptr_t seg, size_t buckets)
{
    size_t size = buckets * sizeof(struct table_bucket);
    if (!(seg & 1)) {
        mem_free_sized((void *)seg, size);
        return;
    }
    char *p;
    memcpy(&p, (char *)(seg - 1) - sizeof p, sizeof p);
    mem_free_sized(p, size + 64 + sizeof p);
}

/* The first segment holds buckets 0 … n-1 afterwards. */
static void seg0_grow(struct table *t, size_t n)
{
    size_t room = t->seg0_buckets;
    if (n <= room) return;
    room = room < 4 ? n : room + room / 4;
    if (room < n) room = n;
    if (room > TABLE_SEG_BUCKETS) room = TABLE_SEG_BUCKETS;
    uintptr_t seg = seg_alloc(room);
    memcpy((void *)(seg & ~(uintptr_t)1), (void *)t->segs[0],
           (t->bucket_count < room ? t->bucket_count : room) * sizeof(struct table_bucket));
    seg_free(t->segs[0], t->seg0_buckets);
    t->segs[0] = seg;
    t->seg0_buckets = (uint32_t)room;
}

static void seg0_shrink(struct table *t)
{
    size_t n = t->bucket_count;
    if (n > TABLE_SEG_BUCKETS || t->seg0_buckets <= n + n / 2 + 1) return;
    uintptr_t seg = seg_alloc(n);
    memcpy((void *)(seg & ~(uintptr_t)1), (void *)(t->segs[0] & ~(uintptr_t)1), n * sizeof(struct table_bucket));
    seg_free(t->segs[0], t->seg0_buckets);
    t->segs[0] = seg;
    t->seg0_buckets = (uint32_t)n;
}

/* Room for n segments in the directory. */
static void segs_grow(struct table *t, size_t n)
{
    if (n <= t->segs_room) return;
    size_t room = t->segs_room < 8 ? 16 : (size_t)t->segs_room * 2;
    if (room < n) room = n;
    ASSERT(room <= UINT32_MAX);
    uintptr_t *segs = mem_alloc(room * sizeof *segs);
    memcpy(segs, t->segs, t->segs_room * sizeof *segs);
    if (t->segs != &t->seg0) mem_free_sized(t->segs, t->segs_room * sizeof *segs);
    t->segs = segs;
    t->segs_room = (uint32_t)room;
}

/* Memory, empty, for bucket number bucket_count. */
static void bucket_append(struct table *t)
{
    size_t n = t->bucket_count;
    if (n < TABLE_SEG_BUCKETS) {
        seg0_grow(t, n + 1);
    } else if (n % TABLE_SEG_BUCKETS == 0) {
        segs_grow(t, n / TABLE_SEG_BUCKETS + 1);
        t->segs[n / TABLE_SEG_BUCKETS] = seg_alloc(TABLE_SEG_BUCKETS);
    }
    t->bucket_count = n + 1;
    if (t->bucket_count > t->mask) t->mask = t->mask * 2 + 1;
    *table_bucket_at(t, n) = (struct table_bucket){0};
}

/* The last bucket is empty, and goes. */
static void bucket_drop(struct table *t)
{
    size_t n = --t->bucket_count;
    if (n <= t->mask / 2) t->mask /= 2;
    if (n >= TABLE_SEG_BUCKETS && n % TABLE_SEG_BUCKETS == 0) {
        seg_free(t->segs[n / TABLE_SEG_BUCKETS], TABLE_SEG_BUCKETS);
    } else {
        seg0_shrink(t);
    }
}

/* --- chains --------------------------------------------------------------------------------------- */

/* Slots for entries: without the link. */
static inline unsigned bucket_room(const struct table_bucket *b) { return table_bucket_slots(b) - (b->meta >> 63); }

/* The ones among the tags' high bits, added up in the highest byte: a call of the library's where there is no
 * instruction for it, which the compiler may not count on. */
static inline unsigned bucket_used(const struct table_bucket *b)
{
    return (unsigned)(((b->meta & TAGS) >> 7) * 0x0101010101010101u >> 56);
}

static inline uint64_t bucket_free_slots(const struct table_bucket *b)
{
    return ~b->meta & TAGS & (((uint64_t)1 << (8 * bucket_room(b))) - 1);
}

static inline void slot_put(struct table_bucket *b, unsigned i, uint64_t tag, uint64_t word)
{
    b->meta = (b->meta & ~((uint64_t)0xff << (8 * i))) | tag << (8 * i);
    b->slot[i] = word;
}

static inline uint64_t slot_tag(const struct table_bucket *b, unsigned i) { return b->meta >> (8 * i) & 0xff; }

static size_t chained_size(unsigned slots) { return 8 + 8 * (size_t)slots; }

static struct table_bucket *chained_new(struct table *t, unsigned slots)
{
    struct table_bucket *b = mem_calloc(chained_size(slots));
    b->meta = (uint64_t)slots << 56;
    t->chain_bytes += chained_size(slots);
    return b;
}

static void chained_free(struct table *t, struct table_bucket *b)
{
    size_t size = chained_size(table_bucket_slots(b));
    t->chain_bytes -= size;
    mem_free_sized(b, size);
}

static void link_set(struct table_bucket *b, struct table_bucket *next)
{
    b->slot[table_bucket_slots(b) - 1] = (uint64_t)next;
}

/* Moves the entries of a chained bucket without successor into one of so many slots. */
static struct table_bucket *chained_resize(struct table *t, struct table_bucket *old, unsigned slots)
{
    struct table_bucket *b = chained_new(t, slots);
    unsigned n = 0;
    for (uint64_t m = old->meta & TAGS; m; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctzll(m) >> 3;
        slot_put(b, n++, slot_tag(old, i), old->slot[i]);
    }
    chained_free(t, old);
    return b;
}

/* The last bucket of the chain is full: makes room behind it. prev leads to last, NULL if last is the head. Returns
 * the bucket with room. */
static struct table_bucket *chain_extend(struct table *t, struct table_bucket *prev, struct table_bucket *last)
{
    unsigned slots = table_bucket_slots(last);
    struct table_bucket *b;
    if (prev && slots < 7) {
        b = chained_resize(t, last, slots + 2);
        link_set(prev, b);
        return b;
    }
    b = chained_new(t, 3);
    slot_put(b, 0, slot_tag(last, slots - 1), last->slot[slots - 1]);
    slot_put(last, slots - 1, 0, 0);
    last->meta |= TABLE_CHAINED;
    link_set(last, b);
    return b;
}

/* Puts an entry whose tag and word are known into a chain. */
static struct table_slot chain_put(struct table *t, struct table_bucket *head, uint64_t tag, uint64_t word)
{
    struct table_bucket *b = head, *prev = NULL, *next;
    unsigned before = 0; /* entries in the buckets up to the one with room */
    uint64_t room;
    while (!(room = bucket_free_slots(b)) && (next = table_bucket_next(b))) {
        before += bucket_used(b);
        prev = b;
        b = next;
    }
    unsigned held = before + bucket_used(b) + 1;
    if (!room) {
        b = chain_extend(t, prev, b);
        room = bucket_free_slots(b);
    }
    if (held > t->longest) t->longest = held;
    unsigned i = (unsigned)__builtin_ctzll(room) >> 3;
    slot_put(b, i, tag, word);
    return (struct table_slot){b, head, i};
}

/* A slot of the chain was emptied: fills it from the end, and lets go of what is not needed. */
static void chain_compact(struct table *t, struct table_bucket *head, struct table_bucket *hole, unsigned hole_index)
{
    struct table_bucket *prev = NULL, *last = head;
    while (last->meta & TABLE_CHAINED) {
        prev = last;
        last = table_bucket_next(last);
    }
    if (!prev) return;
    if (hole != last && (last->meta & TAGS)) {
        unsigned i = (63 - (unsigned)__builtin_clzll(last->meta & TAGS)) >> 3;
        slot_put(hole, hole_index, slot_tag(last, i), last->slot[i]);
        slot_put(last, i, 0, 0);
    }
    unsigned used = bucket_used(last), slots = table_bucket_slots(last);
    if (used <= 1) {
        uint64_t tag = 0, word = 0;
        if (used) {
            unsigned i = (unsigned)__builtin_ctzll(last->meta & TAGS) >> 3;
            tag = slot_tag(last, i);
            word = last->slot[i];
        }
        prev->meta &= ~TABLE_CHAINED;
        slot_put(prev, table_bucket_slots(prev) - 1, tag, word);
        chained_free(t, last);
    } else if (slots > 3 && used <= slots - 3) {
        link_set(prev, chained_resize(t, last, slots - 2));
    }
}

static void chain_free(struct table *t, struct table_bucket *b)
{
    while (b) {
        struct table_bucket *next = table_bucket_next(b);
        chained_free(t, b);
        b = next;
    }
}

/* --- growing and shrinking ------------------------------------------------------------------------ */

/* Bit `bit` of the hash of the entry in a slot. */
static bool slot_hash_bit(const struct table *t, uint64_t word, unsigned bit)
{
    if (bit - EXT_FIRST < EXT_BITS) return word >> (48 + bit - EXT_FIRST) & 1;
    return table_hash(t, t->ops->key((const void *)(word & TABLE_PTR_MASK))) >> bit & 1;
}

static void split_one(struct table *t)
{
    bucket_append(t);
    size_t n = t->bucket_count - 1;
    unsigned bit = 63 - (unsigned)__builtin_clzll(n);
    struct table_bucket *high = table_bucket_at(t, n);
    struct table_bucket *low = table_bucket_at(t, n & ~((size_t)1 << bit));
    table_marks_copy(t, n & ~((size_t)1 << bit), n);
    struct table_bucket old = *low;
    *low = (struct table_bucket){0};
    for (const struct table_bucket *b = &old; b; b = table_bucket_next(b)) {
        for (uint64_t m = b->meta & TAGS; m; m &= m - 1) {
            unsigned i = (unsigned)__builtin_ctzll(m) >> 3;
            chain_put(t, slot_hash_bit(t, b->slot[i], bit) ? high : low, slot_tag(b, i), b->slot[i]);
        }
    }
    chain_free(t, table_bucket_next(&old));
}

static void merge_one(struct table *t)
{
    size_t n = t->bucket_count - 1;
    unsigned bit = 63 - (unsigned)__builtin_clzll(n);
    struct table_bucket *high = table_bucket_at(t, n);
    struct table_bucket *low = table_bucket_at(t, n & ~((size_t)1 << bit));
    for (const struct table_bucket *b = high; b; b = table_bucket_next(b)) {
        for (uint64_t m = b->meta & TAGS; m; m &= m - 1) {
            unsigned i = (unsigned)__builtin_ctzll(m) >> 3;
            chain_put(t, low, slot_tag(b, i), b->slot[i]);
        }
    }
    chain_free(t, table_bucket_next(high));
    table_marks_copy(t, n, n & ~((size_t)1 << bit));
    table_marks_clear(t, n);
    bucket_drop(t);
    table_marks_shrink(t);
}

static inline bool grow_is_due(const struct table *t)
{
    size_t full = t->bucket_count * t->fill;
    return t->count > full && !t->paused && (!t->resize_forbidden || t->count > FORBIDDEN_MAX * full);
}

static inline bool shrink_is_due(const struct table *t)
{
    return t->count < t->bucket_count * SHRINK_BELOW && t->bucket_count > 1 && !t->paused && !t->resize_forbidden;
}

bool table_rehash_step(struct table *t, unsigned n)
{
    for (; n && grow_is_due(t); n--) split_one(t);
    for (; n && shrink_is_due(t); n--) merge_one(t);
    return grow_is_due(t) || shrink_is_due(t);
}

/* --- moving --------------------------------------------------------------------------------------- */

static void seg_relocate(struct table *t, size_t i, struct mem_moves *m)
{
    if (t->segs[i] & 1) return;
    void *moved = mem_move(m, (void *)t->segs[i]);
    if (moved) t->segs[i] = (uintptr_t)moved;
}

size_t table_relocate(struct table *t, size_t at, table_scan_fn *fn, void *arg, struct mem_moves *m)
{
    if (at >= t->bucket_count || t->paused) return 0;
    if (at == 0 && t->segs != &t->seg0) {
        void *moved = mem_move(m, t->segs);
        if (moved) t->segs = moved;
    }
    if (at % TABLE_SEG_BUCKETS == 0) seg_relocate(t, at >> TABLE_SEG_SHIFT, m);
    struct table_bucket *head = table_bucket_at(t, at);
    for (struct table_bucket *b = head, *next; (next = table_bucket_next(b)) != NULL; b = next) {
        struct table_bucket *moved = mem_move(m, next);
        if (!moved) continue;
        link_set(b, moved);
        next = moved;
    }
    for (struct table_bucket *b = head; b; b = table_bucket_next(b)) {
        for (uint64_t tags = b->meta & TAGS; tags; tags &= tags - 1)
            fn(arg, (struct table_slot){b, head, (unsigned)__builtin_ctzll(tags) >> 3});
    }
    return at + 1 < t->bucket_count ? at + 1 : 0;
}

void table_moved(struct table *t, const struct table *from)
{
    if (t->segs == &from->seg0) t->segs = &t->seg0;
}

/* --- public --------------------------------------------------------------------------------------- */

void table_init(struct table *t, const struct table_ops *ops, uint64_t seed)
{
    *t = (struct table){.ops = ops, .seed = seed, .bucket_count = 1, .mask = 1, .fill = TABLE_FILL_FAST};
    t->segs = &t->seg0;
    t->segs_room = 1;
    t->seg0_buckets = 1;
    t->seg0 = seg_alloc(1);
}

static void bucket_fini(struct table *t, struct table_bucket *b, void (*free_entry)(void *, void *), void *arg)
{
    for (const struct table_bucket *c = b; c && free_entry; c = table_bucket_next(c)) {
        for (uint64_t m = c->meta & TAGS; m; m &= m - 1) {
            free_entry(arg, (void *)(c->slot[(unsigned)__builtin_ctzll(m) >> 3] & TABLE_PTR_MASK));
        }
    }
    chain_free(t, table_bucket_next(b));
}

void table_fini(struct table *t, void (*free_entry)(void *arg, void *entry), void *arg)
{
    for (size_t i = 0; i < t->bucket_count; i++) {
        bucket_fini(t, table_bucket_at(t, i), free_entry, arg);
        if ((i + 1) % TABLE_SEG_BUCKETS == 0) seg_free(t->segs[i / TABLE_SEG_BUCKETS], TABLE_SEG_BUCKETS);
    }
    size_t rest = t->bucket_count % TABLE_SEG_BUCKETS, full = t->bucket_count / TABLE_SEG_BUCKETS;
    if (rest) seg_free(t->segs[full], full ? TABLE_SEG_BUCKETS : t->seg0_buckets);
    if (t->segs != &t->seg0) mem_free_sized(t->segs, t->segs_room * sizeof *t->segs);
    table_marks_fini(t);
    memset(t, 0, sizeof *t);
}

void table_set_fill(struct table *t, unsigned fill)
{
    ASSERT(fill >= TABLE_FILL_FAST && fill <= TABLE_FILL_DENSE);
    t->fill = (uint8_t)fill;
}

bool table_expand_some(struct table *t, size_t entries, unsigned n)
{
    if (t->paused || t->resize_forbidden) return false;
    for (; n && t->bucket_count * t->fill < entries; n--) {
        if (t->count) {
            split_one(t);
        } else {
            bucket_append(t);
        }
    }
    return t->bucket_count * t->fill < entries;
}

void table_expand(struct table *t, size_t n)
{
    while (table_expand_some(t, n, UINT_MAX)) {
    }
}

void table_forbid_resize(struct table *t, bool forbid) { t->resize_forbidden = forbid; }

struct table_slot table_insert(struct table *t, uint64_t hash, void *entry)
{
    DASSERT(((uint64_t)entry & ~TABLE_PTR_MASK) == 0);
    t->count++;
    if (unlikely(grow_is_due(t))) table_rehash_step(t, 2);
    struct table_bucket *head = table_bucket_at(t, table_index(t, hash));
    return chain_put(t, head, hash >> 57 | 0x80, (uint64_t)entry | table_ext(hash));
}

void table_replace_slot(struct table *t, struct table_slot s, void *entry)
{
    uint64_t *word = &s.bucket->slot[s.index];
    DASSERT(((uint64_t)entry & ~TABLE_PTR_MASK) == 0);
    *word = (*word & ~TABLE_PTR_MASK) | (uint64_t)entry;
}

void *table_delete_slot(struct table *t, struct table_slot s)
{
    uint64_t word = s.bucket->slot[s.index];
    DASSERT(slot_tag(s.bucket, s.index) & 0x80);
    slot_put(s.bucket, s.index, 0, 0);
    t->count--;
    t->marked_count -= word >> 63;
    if (!t->paused) {
        if (s.head->meta & TABLE_CHAINED) chain_compact(t, s.head, s.bucket, s.index);
        if (shrink_is_due(t)) table_rehash_step(t, 2);
        if (t->count == 0) t->longest = 0;
    }
    return (void *)(word & TABLE_PTR_MASK);
}

void *table_delete(struct table *t, uint64_t hash, struct bytes key)
{
    struct table_slot s = table_find_slot(t, hash, key);
    return s.bucket ? table_delete_slot(t, s) : NULL;
}

void table_mark(struct table *t, struct table_slot s, uint64_t hash)
{
    if (table_slot_is_marked(s)) return;
    DASSERT(table_bucket_at(t, table_index(t, hash)) == s.head);
    t->marked_count++;
    s.bucket->slot[s.index] |= TABLE_MARK;
    table_marks_set(t, table_index(t, hash));
}

void table_unmark(struct table *t, struct table_slot s)
{
    t->marked_count -= table_slot_is_marked(s);
    s.bucket->slot[s.index] &= ~TABLE_MARK;
}
