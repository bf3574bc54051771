/* SPDX-License-Identifier: MIT
 *
 * One value into a sink. What lies in one block (listpack, intset) goes out as that block, in one string. A sorted
 * set's tree goes from the highest member to the lowest, as Redis writes it.
 */
#include "server/rdb/write.h"

#include "server/ds/intset.h"
#include "server/ds/listpack.h"
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
        if (e->type == OBJ_LIST) return RDB_LIST_QUICKLIST_2;
        return e->type == OBJ_ZSET ? RDB_ZSET_LISTPACK : e->type == OBJ_SET ? RDB_SET_LISTPACK : RDB_HASH_LISTPACK;
    case ENC_INTSET: return RDB_SET_INTSET;
    case ENC_HT: return e->type == OBJ_SET ? RDB_SET : RDB_HASH;
    case ENC_SKIPLIST: return RDB_ZSET_2;
    case ENC_STREAM: return rdb_stream_type_of(s);
    }
    return RDB_STRING;
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

/* --- in steps ---------------------------------------------------------------------------------------------------- */

static void write_node(struct rdb_sink *s, const struct quicklist_node *node)
{
    rdb_put_length(s, node->plain ? RDB_NODE_PLAIN : RDB_NODE_PACKED);
    if (node->compressed) {
        size_t n;
        const void *packed = quicklist_node_lzf(node, &n);
        rdb_put_lzf(s, bytes_of(packed, n), node->size);
    } else {
        rdb_put_string(s, bytes_of(node->data, node->size));
    }
}

static bool more_list(struct rdb_steps *v, uint64_t until)
{
    struct rdb_sink *s = v->s;
    for (; v->at.node; v->at.node = v->at.node->next) {
        if (s->total >= until) return false;
        write_node(s, v->at.node);
    }
    return true;
}

void rdb_write_count(struct rdb_sink *s, size_t count) { rdb_put_length(s, count); }

void rdb_write_element(struct rdb_sink *s, const struct entry *e, const struct element *el)
{
    rdb_put_string(s, el->member);
    if (e->type == OBJ_HASH) rdb_put_string(s, el->value);
    if (e->type != OBJ_ZSET) return;
    uint64_t bits;
    memcpy(&bits, &el->score, sizeof bits);
    rdb_put_u64(s, bits);
}

static bool more_dict(struct rdb_steps *v, uint64_t until)
{
    struct element el = {.value = BYTES("")};
    while (v->s->total < until) {
        if (!dict_iter_next(&v->at.dict, &el.member, &el.value)) {
            dict_iter_fini(&v->at.dict);
            return true;
        }
        rdb_write_element(v->s, v->e, &el);
    }
    return false;
}

static bool more_tree(struct rdb_steps *v, uint64_t until)
{
    struct element el = {.value = BYTES("")};
    for (; !ztree_pos_is_end(v->at.tree); v->at.tree = ztree_prev(v->at.tree)) {
        if (v->s->total >= until) return false;
        el.member = ztree_get(v->at.tree, &el.score);
        rdb_write_element(v->s, v->e, &el);
    }
    return true;
}

static bool more_stream(struct rdb_steps *v, uint64_t until)
{
    struct rdb_sink *s = v->s;
    for (; v->at.stream.leaf; v->at.stream = btree_next(v->at.stream)) {
        if (s->total >= until) return false;
        rdb_write_stream_node(s, btree_slot(v->at.stream));
    }
    rdb_write_stream_rest(s, entry_ptr(v->e));
    return true;
}

/* What is one block is written here. */
void rdb_steps_begin(struct rdb_steps *v, struct rdb_sink *s, const struct entry *e)
{
    *v = (struct rdb_steps){.s = s, .e = e};
    switch ((enum obj_encoding)e->enc) {
    case ENC_INT: rdb_put_int_string(s, entry_int(e)); return;
    case ENC_EMBSTR: rdb_put_string(s, entry_string(e, NULL)); return;
    case ENC_RAW: rdb_put_blob(s, entry_ptr(e)); return;
    case ENC_LISTPACK:
        if (e->type == OBJ_LIST) { /* as a quicklist of one node */
            rdb_put_length(s, 1);
            rdb_put_length(s, RDB_NODE_PACKED);
        }
        if (is_set_unpacked(s, e)) write_listpack_set(s, entry_ptr(e));
        else rdb_put_string(s, bytes_of(entry_ptr(e), lp_bytes(entry_ptr(e))));
        return;
    case ENC_INTSET: rdb_put_string(s, bytes_of(entry_ptr(e), intset_bytes(entry_ptr(e)))); return;
    case ENC_STREAM: {
        const struct xstream *stream = entry_ptr(e);
        rdb_put_length(s, btree_count(&stream->nodes));
        v->at.stream = btree_first(&stream->nodes);
        return;
    }
    case ENC_QUICKLIST: {
        const struct quicklist *q = entry_ptr(e);
        rdb_put_length(s, q->nodes);
        v->at.node = q->head;
        return;
    }
    case ENC_HT:
        rdb_write_count(s, dict_count(entry_ptr(e)));
        dict_iter_init(&v->at.dict, entry_ptr(e));
        return;
    case ENC_SKIPLIST: {
        const struct ztree *z = entry_ptr(e);
        rdb_write_count(s, ztree_count(z));
        v->at.tree = ztree_at(z, ztree_count(z) - 1);
        return;
    }
    }
}

bool rdb_steps_more(struct rdb_steps *v, size_t bytes)
{
    uint64_t total = v->s->total, until = bytes < UINT64_MAX - total ? total + bytes : UINT64_MAX;
    switch ((enum obj_encoding)v->e->enc) {
    case ENC_QUICKLIST: return more_list(v, until);
    case ENC_STREAM: return more_stream(v, until);
    case ENC_HT: return more_dict(v, until);
    case ENC_SKIPLIST: return more_tree(v, until);
    default: return true;
    }
}

void rdb_steps_abandon(struct rdb_steps *v)
{
    if (v->e->enc == ENC_HT) dict_iter_fini(&v->at.dict);
}

/* --- whole ------------------------------------------------------------------------------------------------------- */

void rdb_write_value(struct rdb_sink *s, const struct entry *e)
{
    struct rdb_steps v;
    rdb_steps_begin(&v, s, e);
    while (!rdb_steps_more(&v, SIZE_MAX)) {
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
