/* SPDX-License-Identifier: MIT
 *
 * Making and reshaping entries: for the verbs of server/db/ alone. Nothing here knows tables; who moves an entry puts
 * its new address where the old one was.
 *
 * An entry's memory is asked for in whole 8-byte steps (entry_alloc_size()), so that it can be freed by a size computed
 * from its fields, and so that growing within a step needs no allocator.
 */
#ifndef SERVER_ENTRY_BUILD_H
#define SERVER_ENTRY_BUILD_H

#include "server/db/entry.h"

/* What the entry's fields say it takes, before rounding. */
size_t entry_size(const struct entry *e);
static inline size_t entry_round(size_t n) { return (n + 7) & ~(size_t)7; }
static inline size_t entry_alloc_size(const struct entry *e) { return entry_round(entry_size(e)); }

/* Numbers as Redis recognises them: canonical decimal of at most 20 bytes. The first byte refuses most strings. */
bool entry_string_is_int(struct bytes s, int64_t *out);

/* New entries; the key and string are copied, lru is 0, expire_ms -1 is none. entry_new_string() makes INT, EMBSTR
 * or RAW. */
struct entry *entry_new_string(struct bytes key, struct bytes val, int64_t expire_ms);
struct entry *entry_new_int(struct bytes key, int64_t v, int64_t expire_ms);
/* Owns v afterwards. Strings that fit are embedded, listpacks of hashes and sorted sets, too. */
struct entry *entry_new_value(struct bytes key, struct value v, int64_t expire_ms);
/* The value that a view of e's has become: of the same type, in the place it had or with an allocation of its own. The
 * entry may move; the old one is gone then, with a listpack that was inside. */
struct entry *entry_adopt(struct entry *e, enum obj_encoding enc, void *p);

/* The same value and expiry under another key: a new entry; the old one is freed (its value is not). lru is kept. */
struct entry *entry_rekey(struct entry *e, struct bytes key);
/* Adds, changes or (-1) removes the expiry. The entry may move; the old one is gone then. */
struct entry *entry_reshape_expire(struct entry *e, int64_t expire_ms);

/* Writes val over the value of a string entry when its shape and size class stay what they are; false: nothing was
 * done. */
bool entry_overwrite_string(struct entry *e, struct bytes val);
/* An EMBSTR of another length, contents kept as far as they go, new bytes zero. len <= ENTRY_EMBED_MAX. May move. */
struct entry *entry_resize_embedded(struct entry *e, size_t len);
/* An EMBSTR or INT becomes a RAW with these many bytes (contents as above). May move. */
struct entry *entry_unembed(struct entry *e, size_t len, size_t cap);
/* An INT becomes an EMBSTR of len bytes, its digits first. */
struct entry *entry_int_to_embedded(struct entry *e, size_t len);

/* The entry with, and without, the value that hangs on it. */
void entry_free(struct entry *e);
void entry_free_shell(struct entry *e);
/* What hangs on it, as a value: no copy is made, but an embedded string becomes a blob. The entry is freed. */
struct value entry_detach(struct entry *e);

static inline char *entry_embedded(struct entry *e)
{
    DASSERT(e->enc == ENC_EMBSTR);
    return e->body + entry_expire_size(e) +
           ((e->flags & ENTRY_LONG_KEY) ? 4 + load_u32(e->body + entry_expire_size(e)) : e->klen);
}

#endif
