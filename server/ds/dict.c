/* SPDX-License-Identifier: MIT
 *
 * Elements are packed bytes; which of the shapes they have follows from the dict's ops, and a set's from the three
 * lowest bits of what the table holds, which are an address's that is a multiple of 8:
 *
 *     map           field length, value length, field, value
 *     set, bits 7   member length, member
 *     set, else     member; its length is its block's size less the bits
 *
 * The heap's classes go in steps of 8 bytes up to 1 KiB, so a length beside a member of 16 bytes would make it 24.
 * Where it makes no difference (7 bytes would be unused), and for members that are empty or longer, it is there.
 * Lengths:
 *
 *     0 … 252: the byte itself    253: 2 bytes follow    254: 4 follow    255: 8 follow    (little-endian)
 *
 * The table is filled densely (TABLE_FILL_DENSE): elements of big hashes are rarely looked up one by one in the
 * server's hot loop, and there are many of them.
 */
#include "server/ds/dict.h"

#include "server/mem.h"

#define LENGTH_U16 253
#define LENGTH_U32 254
#define LENGTH_U64 255

#define HAS_LENGTH 7    /* the lowest bits of a set's entry whose length lies before its member */
#define BARE_MAX   1024 /* the heap's classes are multiples of 8 up to here */

/* --- elements ------------------------------------------------------------------------------------- */

static size_t length_size(size_t n)
{
    if (n < LENGTH_U16) return 1;
    if (n <= UINT16_MAX) return 3;
    return n <= UINT32_MAX ? 5 : 9;
}

static char *length_put(char *p, size_t n)
{
    size_t size = length_size(n);
    static const uint8_t marks[] = {[3] = LENGTH_U16, [5] = LENGTH_U32, [9] = LENGTH_U64};
    if (size == 1) {
        *p = (char)n;
        return p + 1;
    }
    *p = (char)marks[size];
    uint64_t v = n;
    memcpy(p + 1, &v, size - 1);
    return p + size;
}

static inline const char *length_get(const char *p, size_t *n)
{
    uint8_t first = (uint8_t)*p++;
    if (likely(first < LENGTH_U16)) {
        *n = first;
        return p;
    }
    size_t size = first == LENGTH_U16 ? 2 : first == LENGTH_U32 ? 4 : 8;
    uint64_t v = 0;
    memcpy(&v, p, size);
    *n = v;
    return p + size;
}

static inline unsigned bits_of(const void *entry) { return (uintptr_t)entry & 7; }

/* The block of a set's entry, or of a map's, which has no such bits. */
static inline void *block_of(const void *entry) { return (void *)((uintptr_t)entry & ~(uintptr_t)7); }

static struct bytes set_key(const void *entry)
{
    struct bytes k;
    const char *block = block_of(entry);
    if (bits_of(entry) != HAS_LENGTH) return bytes_of(block, mem_size(block) - bits_of(entry));
    k.p = length_get(block, &k.n);
    return k;
}

static struct bytes map_key(const void *entry)
{
    struct bytes k;
    size_t value_size;
    k.p = length_get(length_get(entry, &k.n), &value_size);
    return k;
}

static const struct table_ops set_ops = {.key = set_key};
static const struct table_ops map_ops = {.key = map_key};

static struct element element_get(bool is_map, const void *entry)
{
    if (!is_map) return (struct element){.member = set_key(entry), .value = {"", 0}};
    struct element e = {.score = 0};
    const char *p = length_get(length_get(entry, &e.member.n), &e.value.n);
    e.member.p = p;
    e.value.p = p + e.member.n;
    return e;
}

static size_t map_size(size_t field_size, size_t value_size)
{
    return length_size(field_size) + length_size(value_size) + field_size + value_size;
}

static void *map_new(struct dict *d, struct bytes field, struct bytes value)
{
    char *entry = mem_alloc(map_size(field.n, value.n));
    char *p = length_put(length_put(entry, field.n), value.n);
    if (field.n) memcpy(p, field.p, field.n);
    if (value.n) memcpy(p + field.n, value.p, value.n);
    d->entry_bytes += mem_size(entry);
    return entry;
}

static void *set_new(struct dict *d, struct bytes member)
{
    unsigned unused = -member.n & 7;
    bool bare = unused != HAS_LENGTH && member.n && member.n <= BARE_MAX;
    char *block = mem_alloc(bare ? member.n : length_size(member.n) + member.n);
    char *p = bare ? block : length_put(block, member.n);
    if (member.n) memcpy(p, member.p, member.n);
    d->entry_bytes += mem_size(block);
    DASSERT(((uintptr_t)block & 7) == 0 && (!bare || mem_size(block) == member.n + unused));
    return block + (bare ? unused : HAS_LENGTH);
}

static void element_free(struct dict *d, void *entry)
{
    d->entry_bytes -= mem_size(block_of(entry));
    mem_free(block_of(entry));
}

/* Overwrites the value if the new one takes no more than the block, and no less than half of it. */
static bool map_rewrite(void *entry, struct bytes value)
{
    struct element e = element_get(true, entry);
    size_t need = map_size(e.member.n, value.n), room = mem_size(entry);
    if (need > room || need < room / 2) return false;
    char *length = (char *)entry + length_size(e.member.n), *field = length + length_size(value.n);
    /* first: a longer length takes the field's first bytes */
    if (field != e.member.p) memmove(field, e.member.p, e.member.n);
    length_put(length, value.n);
    if (value.n) memcpy(field + e.member.n, value.p, value.n);
    return true;
}

/* --- public --------------------------------------------------------------------------------------- */

static void dict_init(struct dict *d, const struct table_ops *ops, uint64_t seed)
{
    table_init(&d->t, ops, seed);
    table_set_fill(&d->t, TABLE_FILL_DENSE);
    d->entry_bytes = 0;
    d->watch = NULL;
}

void dict_init_map(struct dict *d, uint64_t seed) { dict_init(d, &map_ops, seed); }
void dict_init_set(struct dict *d, uint64_t seed) { dict_init(d, &set_ops, seed); }

static void free_block(void *arg, void *entry) { mem_free(block_of(entry)); }

void dict_fini(struct dict *d)
{
    DASSERT(!d->watch);
    table_fini(&d->t, free_block, NULL);
    d->entry_bytes = 0;
}

bool dict_is_map(const struct dict *d) { return d->t.ops == &map_ops; }
size_t dict_bytes(const struct dict *d) { return d->entry_bytes + table_bytes(&d->t); }
void dict_expand(struct dict *d, size_t n) { table_expand(&d->t, n); }

static struct table_slot element_find(const struct dict *d, uint64_t hash, struct bytes field)
{
    return dict_is_map(d) ? table_find_slot_by(&d->t, hash, field, map_key)
                          : table_find_slot_by(&d->t, hash, field, set_key);
}

bool dict_has(const struct dict *d, struct bytes field)
{
    return element_find(d, table_hash(&d->t, field), field).bucket != NULL;
}

bool dict_get(const struct dict *d, struct bytes field, struct bytes *value)
{
    struct table_slot s = element_find(d, table_hash(&d->t, field), field);
    DASSERT(dict_is_map(d));
    if (!s.bucket) return false;
    *value = element_get(true, table_slot_entry(s)).value;
    return true;
}

/* Out of the way, and the hash computed again, so that who is not watched pays no more than the test. */
#define IF_WATCHED static __attribute__((noinline, cold)) void

/* An element is about to become another (old NULL: to come). */
IF_WATCHED tell_element_changes(struct dict *d, const void *old, struct bytes field, struct bytes value)
{
    struct element was, now = {.member = field, .value = value};
    if (old) was = element_get(dict_is_map(d), old);
    d->watch->before(d->watch, table_hash(&d->t, field), old ? &was : NULL, &now);
}

IF_WATCHED tell_element_goes(struct dict *d, const void *old)
{
    struct element was = element_get(dict_is_map(d), old);
    d->watch->before(d->watch, table_hash(&d->t, was.member), &was, NULL);
}

bool dict_set(struct dict *d, struct bytes field, struct bytes value)
{
    uint64_t hash = table_hash(&d->t, field);
    struct table_slot s = element_find(d, hash, field);
    DASSERT(dict_is_map(d));
    if (!s.bucket) {
        if (unlikely(d->watch != NULL)) tell_element_changes(d, NULL, field, value);
        table_insert(&d->t, hash, map_new(d, field, value));
        return true;
    }
    void *old = table_slot_entry(s);
    if (unlikely(d->watch != NULL)) tell_element_changes(d, old, field, value);
    if (map_rewrite(old, value)) return false;
    table_replace_slot(&d->t, s, map_new(d, element_get(true, old).member, value));
    element_free(d, old);
    return false;
}

bool dict_add(struct dict *d, struct bytes member)
{
    uint64_t hash = table_hash(&d->t, member);
    DASSERT(!dict_is_map(d));
    if (element_find(d, hash, member).bucket) return false;
    if (unlikely(d->watch != NULL)) tell_element_changes(d, NULL, member, BYTES(""));
    table_insert(&d->t, hash, set_new(d, member));
    return true;
}

bool dict_delete(struct dict *d, struct bytes field)
{
    struct table_slot s = element_find(d, table_hash(&d->t, field), field);
    if (!s.bucket) return false;
    if (unlikely(d->watch != NULL)) tell_element_goes(d, table_slot_entry(s));
    element_free(d, table_delete_slot(&d->t, s));
    return true;
}

bool dict_random(const struct dict *d, struct rng *rng, struct bytes *field, struct bytes *value)
{
    struct table_slot s = table_random(&d->t, rng);
    if (!s.bucket) return false;
    struct element e = element_get(dict_is_map(d), table_slot_entry(s));
    *field = e.member;
    if (value) *value = e.value;
    return true;
}

struct dict_scanner {
    dict_scan_fn *fn;
    void *arg;
    bool is_map;
};

static void show(void *arg, struct table_slot s)
{
    const struct dict_scanner *scan = arg;
    struct element e = element_get(scan->is_map, table_slot_entry(s));
    scan->fn(scan->arg, e.member, e.value);
}

uint64_t dict_scan(struct dict *d, uint64_t cursor, dict_scan_fn *fn, void *arg)
{
    struct dict_scanner scan = {fn, arg, dict_is_map(d)};
    return table_scan(&d->t, cursor, show, &scan);
}

void dict_iter_init(struct dict_iter *it, struct dict *d)
{
    it->d = d;
    table_iter_init(&it->it, &d->t);
}

bool dict_iter_next(struct dict_iter *it, struct bytes *field, struct bytes *value)
{
    const void *entry = table_iter_next(&it->it);
    if (!entry) return false;
    struct element e = element_get(dict_is_map(it->d), entry);
    *field = e.member;
    if (value) *value = e.value;
    return true;
}

void dict_iter_fini(struct dict_iter *it) { table_iter_fini(&it->it); }

struct dict_mover {
    struct dict *d;
    struct mem_moves *m;
};

static void move_element(void *arg, struct table_slot slot)
{
    const struct dict_mover *v = arg;
    void *entry = table_slot_entry(slot);
    char *moved = mem_move(v->m, block_of(entry));
    if (moved) table_replace_slot(&v->d->t, slot, moved + bits_of(entry));
}

size_t dict_relocate(struct dict *d, size_t at, struct mem_moves *m)
{
    struct dict_mover v = {d, m};
    DASSERT(!d->watch);
    return table_relocate(&d->t, at, move_element, &v, m);
}

void dict_check(const struct dict *d)
{
    size_t entry_bytes = 0;
    table_check(&d->t);
    ASSERT(d->t.paused == 0);
    for (size_t i = 0; i < d->t.bucket_count; i++) {
        const struct table_bucket *b = table_bucket_at(&d->t, i);
        for (; b; b = table_bucket_next(b)) {
            for (unsigned k = 0; k < 7; k++) {
                if (!(b->meta >> (8 * k) & 0x80)) continue;
                const void *entry = (const void *)(b->slot[k] & TABLE_PTR_MASK);
                struct element e = element_get(dict_is_map(d), entry);
                size_t size = mem_size(block_of(entry));
                if (dict_is_map(d)) ASSERT(bits_of(entry) == 0 && map_size(e.member.n, e.value.n) <= size);
                else if (bits_of(entry) == HAS_LENGTH) ASSERT(length_size(e.member.n) + e.member.n <= size);
                else ASSERT(e.member.n && e.member.n + bits_of(entry) == size);
                entry_bytes += size;
            }
        }
    }
    ASSERT(entry_bytes == d->entry_bytes);
}
