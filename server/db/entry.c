/* SPDX-License-Identifier: MIT
 *
 * Making, reshaping and freeing entries, and what can be told of one without its value's type. The layout is drawn in
 * entry.h: what varies in length (key, then string) stands last, so that a string grows at the end and only an expiry
 * shifts the rest.
 */
#include "server/db/entry_build.h"

#include "server/ds/listpack.h"
#include "server/ds/number.h"
#include "server/ds/quicklist.h"
#include "server/mem.h"

_Static_assert(sizeof(struct entry) + 8 + ENTRY_HOST_KEY_MAX + 2 <= LP_GUEST_AT_MAX, "a distance is a byte");
_Static_assert(ENTRY_EMBED_MAX == LP_GUEST_SIZE_MAX, "what grows out of one has to stand alone");

#define EMBSTR_SHOWN_MAX 44 /* Redis calls longer strings "raw" */

static size_t key_room(struct bytes key) { return key.n + (key.n > UINT8_MAX ? 4 : 0); }

size_t entry_size(const struct entry *e)
{
    size_t n = sizeof *e + entry_expire_size(e) + entry_slot_size(e);
    if (unlikely(e->flags & ENTRY_LONG_KEY)) n += 4 + load_u32(e->body + entry_expire_size(e) + entry_slot_size(e));
    else n += e->klen;
    return n + e->vlen;
}

bool entry_string_is_int(struct bytes s, int64_t *out)
{
    if (s.n == 0 || s.n > NUMBER_I64_SIZE) return false;
    if ((unsigned char)(s.p[0] - '0') > 9 && s.p[0] != '-') return false;
    return number_parse_i64(s, out);
}

/* --- new ------------------------------------------------------------------------------------------------------ */

/* Everything but what the slot and the embedded string hold. */
static struct entry *make(struct bytes key, enum obj_type type, enum obj_encoding enc, size_t vlen, int64_t expire_ms)
{
    size_t fixed = (expire_ms >= 0 ? 8 : 0) + (enc == ENC_EMBSTR || vlen ? 0 : 8);
    struct entry *e = mem_alloc(entry_round(sizeof *e + fixed + key_room(key) + vlen));
    e->lru = 0;
    e->type = type;
    e->enc = enc;
    e->flags = 0;
    e->vlen = (uint16_t)vlen;
    if (expire_ms >= 0) {
        e->flags |= ENTRY_EXPIRES;
        store_u64(e->body, (uint64_t)expire_ms);
    }
    char *p = e->body + fixed;
    if (likely(key.n <= UINT8_MAX)) {
        e->klen = (uint8_t)key.n;
    } else {
        e->flags |= ENTRY_LONG_KEY;
        e->klen = 0;
        store_u32(p, (uint32_t)key.n);
        p += 4;
    }
    if (key.n) memcpy(p, key.p, key.n);
    return e;
}

struct entry *entry_new_int(struct bytes key, int64_t v, int64_t expire_ms)
{
    struct entry *e = make(key, OBJ_STRING, ENC_INT, 0, expire_ms);
    entry_set_int(e, v);
    return e;
}

static struct entry *new_embedded(struct bytes key, struct bytes val, int64_t expire_ms)
{
    struct entry *e = make(key, OBJ_STRING, ENC_EMBSTR, val.n, expire_ms);
    if (val.n) memcpy(entry_embedded(e), val.p, val.n);
    return e;
}

struct entry *entry_new_string(struct bytes key, struct bytes val, int64_t expire_ms)
{
    int64_t v;
    if (entry_string_is_int(val, &v)) return entry_new_int(key, v, expire_ms);
    if (val.n <= ENTRY_EMBED_MAX) return new_embedded(key, val, expire_ms);
    struct blob *b = blob_new(val.n, val.n);
    memcpy(b->data, val.p, val.n);
    struct entry *e = make(key, OBJ_STRING, ENC_RAW, 0, expire_ms);
    entry_set_ptr(e, b);
    return e;
}

/* A few bytes more beside those of large ones would be nothing, and then they move alone when they grow. Lists grow and
 * shrink at each command, and sets by one element: what a pointer takes is the price of that. */
static bool fits_inside(struct bytes key, struct value v)
{
    return v.enc == ENC_LISTPACK && (v.type == OBJ_HASH || v.type == OBJ_ZSET) && key.n <= ENTRY_HOST_KEY_MAX &&
           lp_bytes(v.p) <= ENTRY_EMBED_MAX;
}

/* A host whose header, key or size is another: the byte in front of the listpack, and that all of the allocation is
 * the listpack's. */
static void settle_host(struct entry *e)
{
    unsigned char *lp = entry_ptr(e);
    lp[-1] = (unsigned char)(lp - (unsigned char *)e);
    e->vlen = (uint16_t)(mem_size(e) - sizeof *e - entry_expire_size(e) - e->klen);
}

static struct entry *new_host(struct bytes key, struct value v, int64_t expire_ms)
{
    size_t before = sizeof(struct entry) + (expire_ms >= 0 ? 8 : 0) + key.n, n = lp_bytes(v.p);
    size_t vlen = entry_round(((before + 1) | 1) + n) - before;
    struct entry *e = make(key, v.type, ENC_LISTPACK, vlen, expire_ms);
    memcpy(entry_ptr(e), v.p, n);
    settle_host(e);
    lp_free(v.p);
    return e;
}

struct entry *entry_new_value(struct bytes key, struct value v, int64_t expire_ms)
{
    if (fits_inside(key, v)) return new_host(key, v, expire_ms);
    if (v.type == OBJ_STRING && v.enc == ENC_INT) return entry_new_int(key, v.i, expire_ms);
    if (v.type == OBJ_STRING) {
        struct blob *b = v.p;
        if (b->len <= ENTRY_EMBED_MAX) {
            struct entry *e = new_embedded(key, bytes_of(b->data, b->len), expire_ms);
            if (v.edited) e->flags |= ENTRY_EDITED;
            blob_unref(b);
            return e;
        }
    }
    struct entry *e = make(key, v.type, v.enc, 0, expire_ms);
    entry_set_ptr(e, v.p);
    return e;
}

/* --- another shape -------------------------------------------------------------------------------------------- */

/* The copy of an entry that the listpack moved to. */
static struct entry *moved_host(unsigned char *lp)
{
    struct entry *e = (struct entry *)(lp - lp_guest_at(lp));
    settle_host(e);
    return e;
}

/* With another value of the same type. */
static struct entry *remade(const struct entry *e, enum obj_encoding enc, void *p)
{
    struct value v = {.type = e->type, .enc = enc, .p = p};
    struct entry *n = entry_new_value(entry_key(e), v, entry_expire(e));
    n->lru = e->lru;
    n->flags |= e->flags & ENTRY_STAMP;
    return n;
}

struct entry *entry_adopt(struct entry *e, enum obj_encoding enc, void *p)
{
    struct entry *n;
    if (!entry_is_host(e)) {
        entry_set_value(e, enc, p);
        return e;
    }
    if (enc != ENC_LISTPACK) n = remade(e, enc, p);
    else if (lp_is_moving(p)) n = moved_host(p);
    else n = remade(e, enc, p == entry_ptr(e) ? lp_dup(p) : p); /* what lies loose inside, or is too long for it */
    entry_free_shell(e);
    return n;
}

static struct entry *rekey_host(struct entry *e, struct bytes key)
{
    struct value v = {.type = e->type, .enc = e->enc, .p = lp_dup(entry_ptr(e))};
    struct entry *n = entry_new_value(key, v, entry_expire(e));
    n->lru = e->lru;
    entry_free_shell(e);
    return n;
}

struct entry *entry_rekey(struct entry *e, struct bytes key)
{
    if (entry_is_host(e)) return rekey_host(e, key);
    struct bytes old = entry_key(e);
    size_t vlen = e->vlen;
    struct entry *n = make(key, e->type, e->enc, vlen, entry_expire(e));
    n->lru = e->lru;
    n->flags |= e->flags & ENTRY_EDITED;
    if (e->enc == ENC_EMBSTR) memcpy(entry_embedded(n), old.p + old.n, vlen);
    else memcpy(n->body + entry_expire_size(n), e->body + entry_expire_size(e), 8);
    entry_free_shell(e);
    return n;
}

struct entry *entry_reshape_expire(struct entry *e, int64_t expire_ms)
{
    if (e->flags & ENTRY_EXPIRES) {
        if (expire_ms >= 0) {
            store_u64(e->body, (uint64_t)expire_ms);
            return e;
        }
        size_t size = entry_size(e);
        memmove(e->body, e->body + 8, size - sizeof *e - 8);
        e->flags &= (uint8_t)~ENTRY_EXPIRES;
        e = mem_realloc(e, entry_round(size - 8));
        if (entry_is_host(e)) settle_host(e);
        return e;
    }
    if (expire_ms < 0) return e;
    size_t size = entry_size(e);
    e = mem_realloc(e, entry_round(size + 8));
    memmove(e->body + 8, e->body, size - sizeof *e);
    e->flags |= ENTRY_EXPIRES;
    store_u64(e->body, (uint64_t)expire_ms);
    if (entry_is_host(e)) settle_host(e);
    return e;
}

static bool overwrite_embedded(struct entry *e, struct bytes val)
{
    size_t old = entry_size(e), size = old - e->vlen + val.n;
    /* Same step, or same class of the allocator: no class is wider than a quarter of what it holds. */
    if (entry_round(old) != entry_round(size) && demi_good_size(entry_round(old)) != demi_good_size(entry_round(size)))
        return false;
    memcpy(entry_embedded(e), val.p, val.n);
    e->vlen = (uint16_t)val.n;
    e->flags &= (uint8_t)~ENTRY_EDITED;
    return true;
}

static bool overwrite_blob(struct entry *e, struct bytes val)
{
    struct blob *b = entry_ptr(e);
    if (val.n <= ENTRY_EMBED_MAX || blob_is_lent(b) || val.n > b->cap || val.n < b->cap - b->cap / 4) return false;
    memcpy(b->data, val.p, val.n);
    b->len = val.n;
    return true;
}

bool entry_overwrite_string(struct entry *e, struct bytes val)
{
    int64_t v;
    if (entry_string_is_int(val, &v)) {
        if (e->enc != ENC_INT) return false;
        entry_set_int(e, v);
        return true;
    }
    if (e->enc == ENC_EMBSTR) return val.n <= ENTRY_EMBED_MAX && overwrite_embedded(e, val);
    return e->enc == ENC_RAW && overwrite_blob(e, val);
}

struct entry *entry_resize_embedded(struct entry *e, size_t len)
{
    DASSERT(e->enc == ENC_EMBSTR && len <= ENTRY_EMBED_MAX);
    size_t old = entry_size(e), size = old - e->vlen + len, had = e->vlen;
    if (entry_round(old) != entry_round(size)) e = mem_realloc(e, entry_round(size));
    if (len > had) memset(entry_embedded(e) + had, 0, len - had);
    e->vlen = (uint16_t)len;
    return e;
}

/* The same key and expiry with a slot, nothing in it. */
static struct entry *with_slot(struct entry *e, enum obj_encoding enc)
{
    struct entry *n = make(entry_key(e), e->type, enc, 0, entry_expire(e));
    n->lru = e->lru;
    return n;
}

struct entry *entry_unembed(struct entry *e, size_t len, size_t cap)
{
    char buf[ENTRY_STR_BUF];
    struct bytes s = entry_string(e, buf);
    struct blob *b = blob_new(len, cap);
    size_t keep = s.n < len ? s.n : len;
    if (keep) memcpy(b->data, s.p, keep);
    memset(b->data + keep, 0, len - keep);
    struct entry *n = with_slot(e, ENC_RAW);
    entry_set_ptr(n, b);
    entry_free_shell(e);
    return n;
}

struct entry *entry_int_to_embedded(struct entry *e, size_t len)
{
    char buf[ENTRY_STR_BUF];
    struct bytes s = entry_string(e, buf);
    struct entry *n = make(entry_key(e), OBJ_STRING, ENC_EMBSTR, len, entry_expire(e));
    n->lru = e->lru;
    char *to = entry_embedded(n);
    memset(to, 0, len);
    memcpy(to, s.p, s.n < len ? s.n : len);
    entry_free_shell(e);
    return n;
}

/* --- freed ------------------------------------------------------------------------------------------------------ */

void entry_free_shell(struct entry *e) { mem_free_sized(e, entry_alloc_size(e)); }

static struct value value_of(const struct entry *e)
{
    if (e->enc == ENC_INT) return (struct value){.type = e->type, .enc = ENC_INT, .i = entry_int(e)};
    return (struct value){.type = e->type, .enc = e->enc, .p = entry_ptr(e)};
}

void entry_free(struct entry *e)
{
    if (e->enc != ENC_EMBSTR && e->enc != ENC_INT) value_free(value_of(e));
    entry_free_shell(e);
}

struct value entry_detach(struct entry *e)
{
    struct value v;
    if (e->enc == ENC_EMBSTR) {
        struct blob *b = blob_new(e->vlen, e->vlen);
        memcpy(b->data, entry_embedded(e), e->vlen);
        v = (struct value){.type = OBJ_STRING, .enc = ENC_RAW, .edited = (e->flags & ENTRY_EDITED) != 0, .p = b};
    } else {
        v = value_of(e);
        if (entry_is_host(e)) v.p = lp_dup(v.p);
    }
    entry_free_shell(e);
    return v;
}

/* --- told ------------------------------------------------------------------------------------------------------- */

struct bytes entry_string(const struct entry *e, char *buf)
{
    DASSERT(e->type == OBJ_STRING);
    if (likely(e->enc == ENC_EMBSTR)) {
        struct bytes key = entry_key(e);
        return bytes_of(key.p + key.n, e->vlen);
    }
    if (e->enc == ENC_INT) return bytes_of(buf, number_format_i64(buf, entry_int(e)));
    const struct blob *b = entry_ptr(e);
    return bytes_of(b->data, b->len);
}

size_t entry_string_length(const struct entry *e)
{
    if (e->enc == ENC_EMBSTR) return e->vlen;
    if (e->enc == ENC_INT) return number_i64_width(entry_int(e));
    return ((const struct blob *)entry_ptr(e))->len;
}

const char *obj_type_name(enum obj_type type)
{
    static const char *const names[OBJ_TYPE_COUNT] = {"string", "list", "set", "zset", "hash", "stream"};
    return names[type];
}

const char *entry_encoding_name(const struct entry *e)
{
    switch (e->enc) {
    case ENC_EMBSTR: return (e->flags & ENTRY_EDITED) || e->vlen > EMBSTR_SHOWN_MAX ? "raw" : "embstr";
    case ENC_INT: return "int";
    case ENC_RAW: return "raw";
    case ENC_QUICKLIST: return "quicklist";
    case ENC_LISTPACK: return "listpack";
    case ENC_INTSET: return "intset";
    case ENC_HT: return "hashtable";
    case ENC_SKIPLIST: return "skiplist";
    case ENC_STREAM: return "stream";
    default: return "unknown";
    }
}

#ifdef DEMI_DEBUG
void entry_check(const struct entry *e)
{
    static const uint16_t encodings[OBJ_TYPE_COUNT] = {
        [OBJ_STRING] = 1u << ENC_EMBSTR | 1u << ENC_INT | 1u << ENC_RAW,
        [OBJ_LIST] = 1u << ENC_QUICKLIST | 1u << ENC_LISTPACK,
        [OBJ_SET] = 1u << ENC_LISTPACK | 1u << ENC_INTSET | 1u << ENC_HT,
        [OBJ_ZSET] = 1u << ENC_LISTPACK | 1u << ENC_SKIPLIST,
        [OBJ_HASH] = 1u << ENC_LISTPACK | 1u << ENC_HT,
        [OBJ_STREAM] = 1u << ENC_STREAM,
    };
    ASSERT(e->type < OBJ_TYPE_COUNT);
    ASSERT(encodings[e->type] >> e->enc & 1);
    ASSERT(!(e->flags & ENTRY_EDITED) || e->enc == ENC_EMBSTR);
    ASSERT(e->enc != ENC_EMBSTR || e->vlen <= ENTRY_EMBED_MAX);
    ASSERT(!entry_is_host(e) || (e->enc == ENC_LISTPACK && (e->type == OBJ_HASH || e->type == OBJ_ZSET)));
    ASSERT(!entry_is_host(e) || (!(e->flags & ENTRY_LONG_KEY) && entry_size(e) == mem_size(e)));
    ASSERT(!entry_is_host(e) || (const char *)entry_ptr(e) - ((const char *)entry_ptr(e))[-1] == (const char *)e);
    ASSERT(e->enc == ENC_EMBSTR || e->enc == ENC_INT || entry_ptr(e));
    ASSERT(e->enc != ENC_RAW || ((const struct blob *)entry_ptr(e))->refs > 0);
}
#endif
