/* SPDX-License-Identifier: MIT
 *
 * One value into a sink. What lies in one block (listpack, intset) goes out as that block, in one string. A sorted
 * set's tree goes from the highest member to the lowest, as Redis writes it.
 */
#include "server/rdb/write.h"

#include "server/ds/dict.h"
#include "server/ds/intset.h"
#include "server/ds/listpack.h"
#include "server/ds/quicklist.h"
#include "server/ds/ztree.h"
#include "server/rdb/stream.h"

/* 7.0 has no listpacks that are sets. */
static bool is_set_unpacked(const struct rdb_sink *s, const struct entry *e)
{
    return e->type == OBJ_SET && e->enc == ENC_LISTPACK && s->version < 11;
}

enum rdb_type rdb_type_of(const struct rdb_sink *s, const struct entry *e)
{
    switch ((enum obj_encoding)e->enc) {
    case ENC_EMBSTR:
    case ENC_INT:
    case ENC_RAW: return RDB_STRING;
    case ENC_QUICKLIST: return RDB_LIST_QUICKLIST_2;
    case ENC_LISTPACK:
        if (is_set_unpacked(s, e)) return RDB_SET;
        return e->type == OBJ_ZSET ? RDB_ZSET_LISTPACK : e->type == OBJ_SET ? RDB_SET_LISTPACK : RDB_HASH_LISTPACK;
    case ENC_INTSET: return RDB_SET_INTSET;
    case ENC_HT: return e->type == OBJ_SET ? RDB_SET : RDB_HASH;
    case ENC_SKIPLIST: return RDB_ZSET_2;
    case ENC_STREAM: return rdb_stream_type_of(s, entry_ptr(e));
    }
    return RDB_STRING;
}

static void write_list(struct rdb_sink *s, const struct quicklist *q)
{
    rdb_put_length(s, q->nodes);
    for (const struct quicklist_node *node = q->head; node; node = node->next) {
        rdb_put_length(s, node->plain ? RDB_NODE_PLAIN : RDB_NODE_PACKED);
        if (node->compressed) {
            size_t n;
            const void *packed = quicklist_node_lzf(node, &n);
            rdb_put_lzf(s, bytes_of(packed, n), node->size);
        } else {
            rdb_put_string(s, bytes_of(node->data, node->size));
        }
    }
}

static void write_dict(struct rdb_sink *s, struct dict *d)
{
    struct dict_iter it;
    struct bytes field, value;
    bool map = dict_is_map(d);
    rdb_put_length(s, dict_count(d));
    dict_iter_init(&it, d);
    while (dict_iter_next(&it, &field, &value)) {
        rdb_put_string(s, field);
        if (map) rdb_put_string(s, value);
    }
    dict_iter_fini(&it);
}

static void write_tree(struct rdb_sink *s, const struct ztree *z)
{
    size_t count = ztree_count(z);
    rdb_put_length(s, count);
    struct ztree_pos p = ztree_at(z, count - 1);
    for (; !ztree_pos_is_end(p); p = ztree_prev(p)) {
        double score;
        uint64_t bits;
        struct bytes member = ztree_get(p, &score);
        rdb_put_string(s, member);
        memcpy(&bits, &score, sizeof bits);
        rdb_put_u64(s, bits);
    }
}

static void write_listpack_set(struct rdb_sink *s, const unsigned char *lp)
{
    rdb_put_length(s, lp_count(lp));
    for (const unsigned char *p = lp_first(lp); p; p = lp_next(lp, p)) {
        struct lp_value v = lp_get(p);
        if (lp_value_is_i64(v)) rdb_put_int_string(s, v.i);
        else rdb_put_string(s, v.s);
    }
}

void rdb_write_value(struct rdb_sink *s, const struct entry *e)
{
    switch ((enum obj_encoding)e->enc) {
    case ENC_INT: rdb_put_int_string(s, entry_int(e)); return;
    case ENC_EMBSTR: rdb_put_string(s, entry_string(e, NULL)); return;
    case ENC_RAW: rdb_put_blob(s, entry_ptr(e)); return;
    case ENC_QUICKLIST: write_list(s, entry_ptr(e)); return;
    case ENC_LISTPACK:
        if (is_set_unpacked(s, e)) {
            write_listpack_set(s, entry_ptr(e));
            return;
        }
        rdb_put_string(s, bytes_of(entry_ptr(e), lp_bytes(entry_ptr(e))));
        return;
    case ENC_INTSET: rdb_put_string(s, bytes_of(entry_ptr(e), intset_bytes(entry_ptr(e)))); return;
    case ENC_HT: write_dict(s, entry_ptr(e)); return;
    case ENC_SKIPLIST: write_tree(s, entry_ptr(e)); return;
    case ENC_STREAM: rdb_write_stream(s, entry_ptr(e)); return;
    }
}

void rdb_write_dump(struct rdb_sink *s, const struct entry *e)
{
    char version[2];
    rdb_put_byte(s, (unsigned char)rdb_type_of(s, e));
    rdb_write_value(s, e);
    store_u16(version, (uint16_t)s->version);
    rdb_put_raw(s, version, sizeof version);
    rdb_put_u64(s, rdb_sink_crc(s));
}
