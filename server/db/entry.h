/* SPDX-License-Identifier: MIT
 *
 * An entry: one key of the keyspace with its expiry and its value, in one allocation.
 *
 *   0        4      5     6       8                                              (bytes)
 *   +--------+------+-----+-------+ - - - - - +- - - - - - - -+- - - - - +-----+ - - - - - +
 *   | lru    | flags| klen| vlen  | expire i64| pointer / i64 | klen u32 | key | embedded  |
 *   | ty enc |      |     |       | if EXPIRES| unless below  | if long  |     | string or |
 *   |        |      |     |       |           |               |          |     | listpack  |
 *   +--------+------+-----+-------+ - - - - - +- - - - - - - -+- - - - - +-----+ - - - - - +
 *
 * 16 bytes of key and 16 of value cost 40 bytes. Behind the key lie strings of up to ENTRY_EMBED_MAX bytes (EMBSTR) and
 * listpacks of as many, if they are hashes or sorted sets and the key is short. Everything else hangs on the pointer.
 * Since an entry may move when its shape changes (expiry added, string grown), only the verbs of server/db/db.h change
 * shapes; they put the new address into the table. Handlers hold an entry no longer than until the next verb that can
 * change it.
 *
 * An entry with a listpack inside is a host as server/ds/listpack.h has it: the listpack is changed like any other, and
 * one that has to grow is from then on in a copy of the entry, which db_edit_store() puts in the entry's place. Until
 * then the entry holds. Between key and listpack lie one or two bytes, so that it has an odd address:
 *
 *     | header (8) | expire (8, or none) | key | (0) | distance | listpack ... |      distance: from the entry
 */
#ifndef SERVER_ENTRY_H
#define SERVER_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

enum obj_type { OBJ_STRING, OBJ_LIST, OBJ_SET, OBJ_ZSET, OBJ_HASH, OBJ_STREAM, OBJ_TYPE_COUNT };

/* How the value is kept; obj_encoding_name() gives Redis's word for it. */
enum obj_encoding {
    ENC_EMBSTR,    /* string: bytes in the entry ("embstr", or "raw" when over 44 bytes or edited in place) */
    ENC_INT,       /* string: i64 in the entry */
    ENC_RAW,       /* string: struct blob * */
    ENC_QUICKLIST, /* list: struct quicklist * */
    ENC_LISTPACK,  /* list, hash, set, zset: unsigned char *, a listpack */
    ENC_INTSET,    /* set: struct intset * */
    ENC_HT,        /* hash, set: struct dict *, in memory of mem_alloc(sizeof(struct dict)) */
    ENC_SKIPLIST,  /* zset: struct ztree *, the same way */
    ENC_STREAM,    /* stream: struct xstream * (server/ds/xstream.h) */
};

enum entry_flag {
    ENTRY_EXPIRES = 1,  /* the expire field is there */
    ENTRY_LONG_KEY = 2, /* klen is the u32 before the key */
    ENTRY_EDITED = 4,   /* EMBSTR that APPEND, SETRANGE or the like made: "raw" to OBJECT ENCODING */
    ENTRY_STAMP = 0xf8, /* which walk has shown it last, or was the last when it was born (server/db/walk.h) */
};

struct entry {
    uint32_t lru : 24; /* seconds clock of last use (or LFU counter), as Redis keeps it */
    uint32_t type : 4; /* enum obj_type */
    uint32_t enc : 4;  /* enum obj_encoding */
    uint8_t flags;     /* enum entry_flag */
    uint8_t klen;
    uint16_t vlen; /* EMBSTR: bytes; a host: all bytes behind the key; otherwise 0 */
    char body[];
};
_Static_assert(sizeof(struct entry) == 8, "header of an entry");

#define ENTRY_EMBED_MAX    512
#define ENTRY_HOST_KEY_MAX 100 /* bytes of a host's key */
#define ENTRY_LOOSE        64  /* a host of less behind the key is left as it is */

/* A string too long for its entry. Shared by reference: with refs > 1, or while a device holds it, it is lent (to a
 * device, a snapshot) and must be copied before it is changed. */
struct blob {
    uint32_t refs;
    size_t len, cap;
    char data[];
};
struct blob *blob_new(size_t len, size_t cap);      /* contents undefined; cap >= len */
struct blob *blob_grow(struct blob *b, size_t len); /* refs must be 1; keeps contents, zero-fills new bytes; may move */
void blob_ref(struct blob *b);
/* Somebody else reads it: another holder, or a device that has not sent it yet. */
bool blob_is_lent(const struct blob *b);
void blob_unref(struct blob *b);

#ifdef DEMI_DEBUG
/* Asserts what holds for each entry alone; does not look into the value. */
void entry_check(const struct entry *e);
#endif

static inline unsigned entry_expire_size(const struct entry *e) { return (e->flags & ENTRY_EXPIRES) ? 8 : 0; }
static inline unsigned entry_slot_size(const struct entry *e) { return e->enc == ENC_EMBSTR || e->vlen ? 0 : 8; }

/* Milliseconds since the epoch, or -1. */
static inline int64_t entry_expire(const struct entry *e)
{
    return (e->flags & ENTRY_EXPIRES) ? (int64_t)load_u64(e->body) : -1;
}

static inline struct bytes entry_key(const struct entry *e)
{
    const char *p = e->body + entry_expire_size(e) + entry_slot_size(e);
    if (likely(!(e->flags & ENTRY_LONG_KEY))) return bytes_of(p, e->klen);
    return bytes_of(p + 4, load_u32(p));
}

/* The value is a listpack behind the key. */
static inline bool entry_is_host(const struct entry *e) { return e->enc != ENC_EMBSTR && e->vlen; }

/* What hangs on it: of a type that has no hosts. */
static inline void *entry_slot_ptr(const struct entry *e)
{
    DASSERT(e->enc != ENC_EMBSTR && e->enc != ENC_INT && !e->vlen);
    return (void *)(uintptr_t)load_u64(e->body + entry_expire_size(e));
}

static inline void *entry_ptr(const struct entry *e)
{
    DASSERT(e->enc != ENC_EMBSTR && e->enc != ENC_INT);
    if (e->vlen) return (char *)(uintptr_t)e + ((sizeof *e + entry_expire_size(e) + e->klen + 1) | 1);
    return entry_slot_ptr(e);
}

/* A host of which most is not used any more. */
static inline bool entry_is_loose(const struct entry *e)
{
    DASSERT(e->enc != ENC_EMBSTR);
    return e->vlen > ENTRY_LOOSE && e->vlen / 2u > load_u32(entry_ptr(e));
}

/* The same value at another address (a listpack that moved): no change of shape. Not of a host. */
static inline void entry_set_ptr(struct entry *e, void *p)
{
    DASSERT(e->enc != ENC_EMBSTR && e->enc != ENC_INT && !e->vlen);
    store_u64(e->body + entry_expire_size(e), (uint64_t)(uintptr_t)p);
}

/* The same, with another encoding of the same type (listpack to hash table). Not for strings. Not of a host. */
static inline void entry_set_value(struct entry *e, enum obj_encoding enc, void *p)
{
    DASSERT(e->enc >= ENC_RAW && enc >= ENC_RAW);
    e->enc = enc;
    entry_set_ptr(e, p);
}

static inline int64_t entry_int(const struct entry *e)
{
    DASSERT(e->enc == ENC_INT);
    return (int64_t)load_u64(e->body + entry_expire_size(e));
}

static inline void entry_set_int(struct entry *e, int64_t v)
{
    DASSERT(e->enc == ENC_INT);
    store_u64(e->body + entry_expire_size(e), (uint64_t)v);
}

#define ENTRY_STR_BUF 24
/* A string's bytes: where they lie, or for ENC_INT printed into buf (ENTRY_STR_BUF bytes). */
struct bytes entry_string(const struct entry *e, char *buf);
size_t entry_string_length(const struct entry *e);

const char *obj_type_name(enum obj_type type);          /* "string", "list", "set", "zset", "hash", "stream" */
const char *entry_encoding_name(const struct entry *e); /* "int", "embstr", "raw", "quicklist", … */

/* Bytes of the entry and all that hangs on it; samples: as MEMORY USAGE SAMPLES (0: every element). */
size_t entry_memory(const struct entry *e, size_t samples);

/* --- values without a key: what RENAME, COPY, MOVE, SORT STORE hand around ---------------------------------- */

/* p owns: struct blob *, quicklist *, listpack, intset *, dict *, ztree *; i for ENC_INT. Strings handed in detached
 * form are ENC_RAW or ENC_INT; the verbs embed what fits. */
struct value {
    enum obj_type type;
    enum obj_encoding enc;
    bool edited; /* a string that shows as "raw" however short (ENTRY_EDITED) */
    union {
        void *p;
        int64_t i;
    };
};
void value_free(struct value v);
struct value value_dup(const struct entry *e); /* deep copy */
size_t value_elements(const struct entry *e);  /* members, fields, items; bytes of a string are 1 */

#endif
