/* SPDX-License-Identifier: MIT
 *
 * The hash table under the keyspace, hashes, sets and sorted sets: opaque entries, found by a key the caller's ops read
 * out of them.
 *
 * A bucket is one cache line: 7 slots and 7 one-byte tags. A look-up that hits costs two cache misses, the bucket and
 * the entry; one that misses costs the bucket alone, since 22 bits of the hash are kept beside the pointer. A full
 * bucket hands its last slot to a chain of small buckets.
 *
 * The table grows and shrinks by single buckets (linear hashing, see table.c): there is no second table, no stall, no
 * doubling of memory, and the share of memory an entry pays is the same at every count (about 12.5 bytes).
 *
 * Names that an outsider chooses do not meet more often than by chance, since the hash has a key (alloc/base/hash.h).
 *
 * Rules for callers (breaking one is a bug, not an error)
 * - The hash passed in is always table_hash(t, key).
 * - A struct table stays where it was initialised (it may point into itself).
 * - A slot stays valid until the next insert or delete, unless the table is paused (iterators and scan callbacks): then
 *   deletes leave other slots alone, inserts do not.
 * - Entries are aligned to anything and lie below 2^48.
 * One thread at a time; a table that nobody changes may be read by several.
 */
#ifndef SERVER_DS_TABLE_H
#define SERVER_DS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"
#include "alloc/base/hash.h"
#include "alloc/base/rng.h"

struct table_ops {
    struct bytes (*key)(const void *entry); /* valid as long as the entry is */
};

/* private: the last slot of a chained bucket points to the next one */
struct table_bucket {
    /* bytes 0 … 6: tags, 0x80 | hash >> 57, 0 where empty; byte 7: TABLE_CHAINED, slots of a chain's bucket */
    uint64_t meta;
    uint64_t slot[7]; /* bits 0 … 47 the entry, 48 … 62 hash bits 8 … 22, 63 the mark */
};

struct table { /* private */
    const struct table_ops *ops;
    uint64_t seed;
    uintptr_t *segs;     /* TABLE_SEG_BUCKETS buckets each; bit 0: see seg_alloc() */
    size_t bucket_count; /* 2^L + the buckets split in this round */
    uint64_t mask;       /* 2^(L+1) - 1 */
    size_t count, marked_count;
    size_t chain_bytes;        /* in chained buckets */
    struct table_marks *marks; /* table_marks.c; NULL: no entry was ever marked */
    uintptr_t seg0;            /* the directory of a table of one segment */
    uint32_t seg0_buckets;     /* allocated in the first segment */
    uint32_t segs_room;        /* allocated in the directory */
    uint32_t longest;          /* no chain has held more entries since the table was last rebuilt or empty */
    uint16_t paused;
    uint8_t fill; /* entries a bucket at which the table grows */
    bool resize_forbidden;
};

/* A slot of the table, occupied; bucket is NULL for "not found". The fields are private. */
struct table_slot {
    struct table_bucket *bucket;
    struct table_bucket *head; /* of the chain */
    unsigned index;
};

#define TABLE_SEG_SHIFT   10
#define TABLE_SEG_BUCKETS (1u << TABLE_SEG_SHIFT) /* 64 KiB */
#define TABLE_CHAINED     ((uint64_t)1 << 63)
#define TABLE_PTR_MASK    (((uint64_t)1 << 48) - 1)
#define TABLE_EXT_MASK    ((uint64_t)0x7fff << 48)
#define TABLE_MARK        ((uint64_t)1 << 63)
#define TABLE_FILL_FAST   6 /* the default: 12.7 bytes an entry, 18 % of them in chains */
#define TABLE_FILL_DENSE  7 /* 11.9 bytes, 24 % */

/* --- life ----------------------------------------------------------------------------------------- */

void table_init(struct table *t, const struct table_ops *ops, uint64_t seed);
/* Calls free_entry (may be NULL) for each entry. The table must be initialised again before further use. */
void table_fini(struct table *t, void (*free_entry)(void *arg, void *entry), void *arg);
/* TABLE_FILL_FAST or TABLE_FILL_DENSE; takes effect with the next inserts. */
void table_set_fill(struct table *t, unsigned fill);
/* Makes room for n entries in all at once (loading, bulk inserts). */
void table_expand(struct table *t, size_t n);
/* The same by up to n buckets; true: more is due. */
bool table_expand_some(struct table *t, size_t entries, unsigned n);
/* For tests of long chains. While forbidden the table keeps its size up to 5 times its normal fill. */
void table_forbid_resize(struct table *t, bool forbid);
/* Up to n buckets' worth of the growing or shrinking that is due (each insert or delete does up to two by itself).
 * True: more is due. */
bool table_rehash_step(struct table *t, unsigned n);

static inline size_t table_count(const struct table *t) { return t->count; }
static inline uint64_t table_hash(const struct table *t, struct bytes key) { return hash_bytes(key.p, key.n, t->seed); }

/* --- looking up ----------------------------------------------------------------------------------- */

static inline size_t table_index(const struct table *t, uint64_t hash) /* private */
{
    size_t i = hash & t->mask;
    return i < t->bucket_count ? i : i & (t->mask >> 1);
}

static inline struct table_bucket *table_bucket_at(const struct table *t, size_t i) /* private */
{
    struct table_bucket *seg = (struct table_bucket *)(t->segs[i >> TABLE_SEG_SHIFT] & ~(uintptr_t)1);
    return seg + (i & (TABLE_SEG_BUCKETS - 1));
}

static inline unsigned table_bucket_slots(const struct table_bucket *b) /* private: with the link's */
{
    unsigned n = b->meta >> 56 & 7;
    return n ? n : 7;
}

static inline struct table_bucket *table_bucket_next(const struct table_bucket *b) /* private */
{
    if (likely(!(b->meta & TABLE_CHAINED))) return NULL;
    return (struct table_bucket *)b->slot[table_bucket_slots(b) - 1];
}

/* private: 0x80 in the byte of each slot whose tag is the hash's. Tags have bit 7 set, so it is clear in x for an
 * occupied slot; adding 0x7f to the other seven carries into it unless they are all zero. */
static inline uint64_t table_match(uint64_t meta, uint64_t hash)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint64_t x = meta ^ (hash >> 57 | 0x80) * 0x0001010101010101u;
    return ~(((x & low) + low) | x) & 0x0080808080808080u;
}

static inline uint64_t table_ext(uint64_t hash) { return (hash << 40) & TABLE_EXT_MASK; } /* private */

static inline void *table_slot_entry(struct table_slot s) { return (void *)(s.bucket->slot[s.index] & TABLE_PTR_MASK); }
static inline bool table_slot_is_marked(struct table_slot s) { return s.bucket->slot[s.index] >> 63; }

/* table_find_slot() with the function that reads the key inlined: the same as ops->key. */
static inline __attribute__((always_inline)) struct table_slot
table_find_slot_by(const struct table *t, uint64_t hash, struct bytes key, struct bytes (*key_of)(const void *))
{
    struct table_bucket *head = table_bucket_at(t, table_index(t, hash)), *b = head;
    uint64_t ext = table_ext(hash);
    do {
        for (uint64_t m = table_match(b->meta, hash); m; m &= m - 1) {
            unsigned i = (unsigned)__builtin_ctzll(m) >> 3;
            if (unlikely((b->slot[i] ^ ext) & TABLE_EXT_MASK)) continue;
            struct bytes k = key_of((const void *)(b->slot[i] & TABLE_PTR_MASK));
            if (likely(k.n == key.n && memcmp(k.p, key.p, k.n) == 0)) return (struct table_slot){b, head, i};
        }
        b = table_bucket_next(b);
    } while (unlikely(b != NULL));
    return (struct table_slot){NULL, NULL, 0};
}

static inline struct table_slot table_find_slot(const struct table *t, uint64_t hash, struct bytes key)
{
    return table_find_slot_by(t, hash, key, t->ops->key);
}

/* The entry, or NULL. */
static inline void *table_find(const struct table *t, uint64_t hash, struct bytes key)
{
    struct table_slot s = table_find_slot_by(t, hash, key, t->ops->key);
    return s.bucket ? table_slot_entry(s) : NULL;
}

/* Brings a cache line near. A load whose value nobody uses, not a prefetch instruction: under nested paging a
 * prefetch that misses the TLB is dropped (measured 2026-11-21 on a Firecracker guest: 0.29 us a GET of 1 M keys
 * with prefetches, 0.20 with loads). Loads overlap as far as the reorder buffer reaches, so the loops over a batch
 * that do this must be tight. */
static inline void table_touch(const void *line) { (void)*(const volatile char *)line; }

/* A batch of look-ups: first this for each hash of the batch, which gives the bucket that is on its way … */
static inline const struct table_bucket *table_prefetch_bucket(const struct table *t, uint64_t hash)
{
    const struct table_bucket *b = table_bucket_at(t, table_index(t, hash));
    __builtin_prefetch(b);
    return b;
}

/* … then this, which waits for the bucket and touches the first line of the entry, or the next bucket of the chain …
 * and then the look-ups. The table must not change in between. */
static inline void table_prefetch_entry(const struct table_bucket *b, uint64_t hash)
{
    uint64_t ext = table_ext(hash);
    for (uint64_t m = table_match(b->meta, hash); m; m &= m - 1) {
        uint64_t word = b->slot[(unsigned)__builtin_ctzll(m) >> 3];
        if ((word ^ ext) & TABLE_EXT_MASK) continue;
        const char *entry = (const char *)(word & TABLE_PTR_MASK);
        table_touch(entry);
        __builtin_prefetch(entry + 48); /* where its end may be: half of the small ones lie in two lines */
        return;
    }
    if (b->meta & TABLE_CHAINED) table_touch(table_bucket_next(b));
}

/* --- changing ------------------------------------------------------------------------------------- */

/* The key must not be in the table. The slot is valid until the next change. */
struct table_slot table_insert(struct table *t, uint64_t hash, void *entry);
/* Another entry with the same key (the old one was copied, say). The mark stays; the caller frees the old entry. */
void table_replace_slot(struct table *t, struct table_slot s, void *entry);
/* Returns the entry, which is the caller's again. */
void *table_delete_slot(struct table *t, struct table_slot s);
/* NULL: no such key. */
void *table_delete(struct table *t, uint64_t hash, struct bytes key);

/* One bit an entry for the caller, kept outside of the entry ("has a time to live"). Setting twice is setting once.
 * hash is that of the entry's key. */
void table_mark(struct table *t, struct table_slot s, uint64_t hash);
void table_unmark(struct table *t, struct table_slot s);
static inline size_t table_marked_count(const struct table *t) { return t->marked_count; }

/* --- walking (table_walk.c) ----------------------------------------------------------------------- */

/* The callback may delete the slot it is given, mark and replace it, but not insert. */
typedef void table_scan_fn(void *arg, struct table_slot s);

/* Shows the entries of one bucket and returns the cursor for the next; start with 0, done when 0 comes back. An
 * entry that is there from the first call to the last is shown at least once, whatever the table's size does in
 * between; some may be shown twice. Any number is a valid cursor. */
uint64_t table_scan(struct table *t, uint64_t cursor, table_scan_fn *fn, void *arg);

/* Where a hash, or a cursor, lies on the line that a scan goes along (table_walk.c): what lies left of the cursor has
 * been shown. A step may show some of that again, after a merge of buckets. Its own inverse. */
static inline uint64_t table_scan_place(uint64_t v)
{
    v = __builtin_bswap64(v);
    v = (v >> 4 & 0x0f0f0f0f0f0f0f0fu) | (v & 0x0f0f0f0f0f0f0f0fu) << 4;
    v = (v >> 2 & 0x3333333333333333u) | (v & 0x3333333333333333u) << 2;
    return (v >> 1 & 0x5555555555555555u) | (v & 0x5555555555555555u) << 1;
}

/* Shows the marked entries of the next bucket that has some, from position `at` on, and returns the next position: 0
 * at the end. Finding it touches no other bucket, however few are marked, but it may return a position without having
 * shown anything rather than search long. Entries are not touched. Unlike a scan it keeps no promise about what
 * moves while the table's size changes: that is seen the next time round. Any number is a valid position. */
size_t table_walk_marked(struct table *t, size_t at, table_scan_fn *fn, void *arg);

/* Each entry with the same probability (exactly so, unless 1024 tries in a row find nothing in a nearly empty
 * table). A slot without bucket if the table is empty. */
struct table_slot table_random(const struct table *t, struct rng *rng);
/* A marked entry, nearly uniform; without bucket if a few tries find none, as when few are marked. For sampling by
 * eviction and expiry. */
struct table_slot table_random_marked(const struct table *t, struct rng *rng);

/* Shows each entry once. Between init and fini the table is paused: it does not resize, and the current entry may be
 * deleted (so may others, which are then not shown). What is inserted meanwhile may be shown or not, and may cause
 * an older one to be shown twice. */
struct table_iter {
    struct table_slot slot; /* the current one */
    /* private */
    struct table *t;
    size_t bucket;
    unsigned depth, index;
};
void table_iter_init(struct table_iter *it, struct table *t);
/* The next entry, or NULL. */
void *table_iter_next(struct table_iter *it);
void table_iter_fini(struct table_iter *it);

/* Moves what bucket `at` has in memory (server/mem.h) and shows its entries, which fn may replace by moved ones.
 * Returns the next bucket, 0 at the end; any number is a valid bucket. Entries that change their bucket meanwhile may
 * be left out. */
struct mem_moves;
size_t table_relocate(struct table *t, size_t at, table_scan_fn *fn, void *arg, struct mem_moves *m);
/* The struct itself was moved here: bytes were copied from there. */
void table_moved(struct table *t, const struct table *from);

/* private (table_marks.c): bucket i may hold marked entries now; the buckets `to` may, if `from` may; i holds none. */
void table_marks_set(struct table *t, size_t i);
void table_marks_copy(struct table *t, size_t from, size_t to);
void table_marks_clear(struct table *t, size_t i);
void table_marks_shrink(struct table *t); /* after a bucket went */
void table_marks_fini(struct table *t);
void table_marks_check(const struct table *t, size_t i); /* i holds a marked entry */
size_t table_marks_bytes(const struct table *t);

/* What it takes from the heap, without the entries and the struct itself. */
size_t table_bytes(const struct table *t);

/* The size a table of a power of two would have (at least 4): what DEBUG HTSTATS calls "table size". */
size_t table_nominal_size(const struct table *t);

#define TABLE_STATS_CHAIN_MAX 50
struct table_stats {
    size_t count, bucket_count, chained_buckets, slots, longest, bytes;
    size_t with_entries[TABLE_STATS_CHAIN_MAX]; /* [n]: chains that hold n entries; the last one: that or more */
};
/* Walks the whole table. */
void table_stats(const struct table *t, struct table_stats *out);

/* Asserts every invariant; walks the whole table and hashes every key. */
void table_check(const struct table *t);

#endif
