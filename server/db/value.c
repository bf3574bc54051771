/* SPDX-License-Identifier: MIT
 *
 * What hangs on an entry, by encoding: freeing, copying, counting. The one place in server/db/ that knows every data
 * structure; a new encoding adds a case to each switch.
 *
 * dict and ztree live in memory of mem_alloc(sizeof), initialised there and never moved (their tables may point into
 * themselves).
 */
#include "server/db/entry_build.h"

#include "server/ds/dict.h"
#include "server/ds/intset.h"
#include "server/ds/listpack.h"
#include "server/ds/quicklist.h"
#include "server/ds/xstream.h"
#include "server/ds/ztree.h"
#include "server/mem.h"

#define TABLE_SHARE 12 /* bytes of the keyspace's table an entry pays for, server/ds/table.h */

void value_free(struct value v)
{
    switch (v.enc) {
    case ENC_EMBSTR:
    case ENC_INT: return;
    case ENC_RAW: blob_unref(v.p); return;
    case ENC_STREAM: xstream_free(v.p); return;
    case ENC_QUICKLIST: quicklist_free(v.p); return;
    case ENC_LISTPACK: lp_free(v.p); return;
    case ENC_INTSET: intset_free(v.p); return;
    case ENC_HT:
        dict_fini(v.p);
        mem_free_sized(v.p, sizeof(struct dict));
        return;
    case ENC_SKIPLIST:
        ztree_fini(v.p);
        mem_free_sized(v.p, sizeof(struct ztree));
        return;
    }
}

static struct dict *dup_dict(struct dict *from)
{
    struct dict *d = mem_alloc(sizeof *d);
    bool map = dict_is_map(from);
    if (map) dict_init_map(d, from->t.seed);
    else dict_init_set(d, from->t.seed);
    dict_expand(d, dict_count(from));
    struct dict_iter it;
    struct bytes field, value;
    dict_iter_init(&it, from);
    while (dict_iter_next(&it, &field, &value)) {
        if (map) dict_set(d, field, value);
        else dict_add(d, field);
    }
    dict_iter_fini(&it);
    return d;
}

static struct ztree *dup_ztree(const struct ztree *from)
{
    struct ztree *z = mem_alloc(sizeof *z);
    ztree_init(z, from->t.seed);
    ztree_expand(z, ztree_count(from));
    for (struct ztree_pos p = ztree_at(from, 0); !ztree_pos_is_end(p); p = ztree_next(p)) {
        double score;
        struct bytes member = ztree_get(p, &score);
        ztree_set(z, member, score);
    }
    return z;
}

static struct value dup_string(const struct entry *e)
{
    if (e->enc == ENC_INT) return (struct value){.type = OBJ_STRING, .enc = ENC_INT, .i = entry_int(e)};
    if (e->enc == ENC_RAW) { /* lent: whoever changes it first copies it */
        struct blob *b = entry_ptr(e);
        blob_ref(b);
        return (struct value){.type = OBJ_STRING, .enc = ENC_RAW, .edited = true, .p = b};
    }
    struct bytes s = entry_string(e, NULL);
    struct blob *b = blob_new(s.n, s.n);
    memcpy(b->data, s.p, s.n);
    return (struct value){.type = OBJ_STRING, .enc = ENC_RAW, .edited = (e->flags & ENTRY_EDITED) != 0, .p = b};
}

struct value value_dup(const struct entry *e)
{
    struct value v = {.type = e->type, .enc = e->enc};
    switch ((enum obj_encoding)e->enc) {
    case ENC_EMBSTR:
    case ENC_INT:
    case ENC_RAW: return dup_string(e);
    case ENC_QUICKLIST: v.p = quicklist_dup(entry_ptr(e)); break;
    case ENC_LISTPACK: v.p = lp_dup(entry_ptr(e)); break;
    case ENC_INTSET: {
        struct intset *s = entry_ptr(e);
        v.p = intset_new_from(s, intset_bytes(s));
        break;
    }
    case ENC_HT: v.p = dup_dict(entry_ptr(e)); break;
    case ENC_SKIPLIST: v.p = dup_ztree(entry_ptr(e)); break;
    case ENC_STREAM: v.p = xstream_dup(entry_ptr(e)); break;
    }
    return v;
}

size_t value_elements(const struct entry *e)
{
    switch ((enum obj_encoding)e->enc) {
    case ENC_EMBSTR:
    case ENC_INT:
    case ENC_RAW: return 1;
    case ENC_QUICKLIST: return quicklist_count(entry_ptr(e));
    case ENC_LISTPACK: {
        size_t n = lp_count(entry_ptr(e));
        return e->type == OBJ_HASH || e->type == OBJ_ZSET ? n / 2 : n;
    }
    case ENC_INTSET: return intset_count(entry_ptr(e));
    case ENC_HT: return dict_count(entry_ptr(e));
    case ENC_SKIPLIST: return ztree_count(entry_ptr(e));
    case ENC_STREAM: return ((const struct xstream *)entry_ptr(e))->length;
    }
    return 0;
}

/* Nearly every structure keeps its own account, so only streams are sampled; a list's is a walk over its nodes. */
size_t entry_memory(const struct entry *e, size_t samples)
{
    size_t n = demi_good_size(entry_alloc_size(e)) + TABLE_SHARE;
    switch ((enum obj_encoding)e->enc) {
    case ENC_EMBSTR:
    case ENC_INT: return n;
    case ENC_LISTPACK: return entry_is_host(e) ? n : n + mem_size(entry_ptr(e));
    case ENC_RAW:
    case ENC_INTSET: return n + mem_size(entry_ptr(e));
    case ENC_STREAM: return n + xstream_bytes(entry_ptr(e), samples);
    case ENC_QUICKLIST: return n + quicklist_bytes(entry_ptr(e));
    case ENC_HT: return n + demi_good_size(sizeof(struct dict)) + dict_bytes(entry_ptr(e));
    case ENC_SKIPLIST: return n + demi_good_size(sizeof(struct ztree)) + ztree_bytes(entry_ptr(e));
    }
    return n;
}
