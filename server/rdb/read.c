/* SPDX-License-Identifier: MIT
 *
 * One function a type. Counts in front of elements are hints only: at most what the bytes at hand could hold is
 * reserved for them.
 *
 * The walk over a listpack is never skipped, whatever sanitize-dump-payload says: everything else in the server trusts
 * listpacks. The option decides about duplicates alone, which are a nuisance but no danger.
 */
#include "server/rdb/read.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "server/ds/intset.h"
#include "server/mem.h"
#include "server/rdb/crc64.h"
#include "server/rdb/module_name.h"
#include "server/rdb/old.h"
#include "server/rdb/stream.h"
#include "server/types/hash.h"
#include "server/types/list.h"
#include "server/types/set.h"
#include "server/types/stream.h"
#include "server/types/zset.h"
#include "server/types/zset_listpack.h"

#define INT_TEXT_MAX 20 /* strings that long may become ENC_INT */
#define FEW          32 /* up to here a search costs less than a table */

struct reader {
    struct rdb_source *s;
    const struct rdb_rules *rules;
};

static bool bad(const struct reader *r, const char *why) { return rdb_source_fail(r->s, -EBADMSG, why); }

/* A count of elements of at least `size` bytes each, cut to what may be reserved. */
static size_t hint(const struct reader *r, uint64_t count, size_t size)
{
    size_t most = rdb_source_at_hand(r->s) / size;
    return count < most ? (size_t)count : most;
}

/* A count that must not be 0. */
static bool get_count(const struct reader *r, uint64_t *n)
{
    if (!rdb_get_length(r->s, n)) return false;
    return *n || rdb_source_fail(r->s, -ENOENT, "a key without elements");
}

/* --- strings ------------------------------------------------------------------------------------------------------ */

static bool read_string(const struct reader *r, struct value *out)
{
    struct bytes s;
    int64_t v = 0;
    if (!rdb_get_string_or_int(r->s, RDB_VIEW, &s, &v)) return false;
    if (!s.p || (s.n <= INT_TEXT_MAX && number_parse_i64(s, &v))) {
        *out = (struct value){.type = OBJ_STRING, .enc = ENC_INT, .i = v};
        return true;
    }
    struct blob *b = blob_new(s.n, s.n);
    memcpy(b->data, s.p, s.n);
    *out = (struct value){.type = OBJ_STRING, .enc = ENC_RAW, .p = b};
    return true;
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static bool push_value(void *arg, struct lp_value v)
{
    char buf[NUMBER_I64_SIZE];
    quicklist_push_tail(arg, lp_value_bytes(v, buf));
    return true;
}

static bool read_elements(const struct reader *r, struct quicklist *q)
{
    uint64_t n;
    if (!get_count(r, &n)) return false;
    for (; n; n--) {
        struct bytes s;
        if (!rdb_get_string(r->s, RDB_VIEW, &s)) return false;
        quicklist_push_tail(q, s);
    }
    return true;
}

static unsigned char *copy_of(struct bytes s) { return memcpy(mem_alloc(s.n ? s.n : 1), s.p, s.n); }

static bool append_value(void *arg, struct lp_value v)
{
    unsigned char **lp = arg;
    if (!lp_fits(*lp, lp_value_is_i64(v) ? NUMBER_I64_SIZE : v.s.n)) return false;
    *lp = lp_value_is_i64(v) ? lp_append_i64(*lp, v.i) : lp_append(*lp, v.s);
    return true;
}

static bool read_ziplist_node(const struct reader *r, struct quicklist *q)
{
    struct bytes s;
    if (!rdb_get_string(r->s, RDB_VIEW, &s)) return false;
    unsigned char *lp = lp_new(0);
    if (!rdb_ziplist_each(s, append_value, &lp)) {
        lp_free(lp);
        return bad(r, "List ziplist integrity check failed");
    }
    quicklist_append_listpack(q, lp_shrink(lp));
    return true;
}

static bool read_node(const struct reader *r, struct quicklist *q)
{
    uint64_t kind;
    struct bytes s;
    if (!rdb_get_length(r->s, &kind)) return false;
    if (kind != RDB_NODE_PLAIN && kind != RDB_NODE_PACKED)
        return bad(r, "Quicklist integrity check failed: unknown kind of a node");
    if (!rdb_get_string(r->s, RDB_VIEW, &s)) return false;
    if (s.n == 0) return bad(r, "Quicklist integrity check failed: empty node");
    if (kind == RDB_NODE_PLAIN) {
        quicklist_append_plain(q, copy_of(s), s.n);
        return true;
    }
    if (!lp_validate((const unsigned char *)s.p, s.n, true, NULL, NULL))
        return bad(r, "Listpack integrity check failed");
    quicklist_append_listpack(q, copy_of(s));
    return true;
}

static bool read_nodes(const struct reader *r, struct quicklist *q,
                       bool (*node)(const struct reader *r, struct quicklist *q))
{
    uint64_t n;
    if (!get_count(r, &n)) return false;
    for (; n; n--)
        if (!node(r, q)) return false;
    return true;
}

static bool read_ziplist(const struct reader *r, struct quicklist *q)
{
    struct bytes s;
    if (!rdb_get_string(r->s, RDB_VIEW, &s)) return false;
    return rdb_ziplist_each(s, push_value, q) || bad(r, "List ziplist integrity check failed");
}

static bool read_list(const struct reader *r, unsigned type, struct value *out)
{
    struct quicklist *q = list_new(r->rules->lists, r->rules->cfg);
    bool ok = type == RDB_LIST             ? read_elements(r, q)
              : type == RDB_LIST_ZIPLIST   ? read_ziplist(r, q)
              : type == RDB_LIST_QUICKLIST ? read_nodes(r, q, read_ziplist_node)
                                           : read_nodes(r, q, read_node);
    if (ok && quicklist_count(q) == 0) ok = rdb_source_fail(r->s, -ENOENT, "a key without elements");
    /* What a ziplist becomes is not judged: redis-server leaves it a quicklist until it shrinks. */
    if (ok && type != RDB_LIST_ZIPLIST) *out = list_built(r->rules->lists, r->rules->cfg, q);
    else *out = list_unjudged(q);
    return ok;
}

/* --- what is there twice ------------------------------------------------------------------------------------------ */

static bool few_are_unique(const unsigned char *lp, unsigned step)
{
    char buf[NUMBER_I64_SIZE];
    for (unsigned char *p = lp_first(lp); p;) {
        unsigned char *next = p;
        for (unsigned i = 0; i < step && next; i++) next = lp_next(lp, next);
        if (next && lp_find(lp, next, lp_get_bytes(p, buf), step - 1)) return false;
        p = next;
    }
    return true;
}

/* Of every `step` elements (1: a set's, 2: pairs) the first is there once. */
static bool are_unique(const struct reader *r, const unsigned char *lp, unsigned step)
{
    size_t count = lp_count(lp) / step;
    if (count <= FEW) return few_are_unique(lp, step);
    struct dict seen;
    dict_init_set(&seen, r->rules->seed);
    dict_expand(&seen, count);
    bool unique = true;
    char buf[NUMBER_I64_SIZE];
    for (unsigned char *p = lp_first(lp); p && unique;) {
        unique = dict_add(&seen, lp_get_bytes(p, buf));
        for (unsigned i = 0; i < step && p; i++) p = lp_next(lp, p);
    }
    dict_fini(&seen);
    return unique;
}

/* --- sets --------------------------------------------------------------------------------------------------------- */

static struct set new_table_set(const struct reader *r, size_t room)
{
    struct dict *d = mem_alloc(sizeof *d);
    dict_init_set(d, r->rules->seed);
    if (room) dict_expand(d, room);
    return (struct set){ENC_HT, d};
}

static bool read_members(const struct reader *r, struct set *set, const struct set_rules *rules)
{
    uint64_t n;
    if (!get_count(r, &n)) return false;
    if (n > rules->intset_max) {
        set_free(set);
        *set = new_table_set(r, hint(r, n, 2));
    }
    for (; n; n--) {
        struct bytes s;
        if (!rdb_get_string(r->s, RDB_VIEW, &s)) return false;
        if (!set_add(set, s, rules)) return bad(r, "a set's member is there twice");
    }
    return true;
}

static bool read_intset(const struct reader *r, struct set *set, const struct set_rules *rules)
{
    struct bytes s;
    if (!rdb_get_string(r->s, RDB_VIEW, &s)) return false;
    if (!intset_validate(s.p, s.n, true)) return bad(r, "Intset integrity check failed");
    intset_free(set->p);
    set->p = intset_new_from(s.p, s.n);
    size_t n = intset_count(set->p);
    if (n <= rules->intset_max) return true;
    struct set table = new_table_set(r, n);
    char buf[NUMBER_I64_SIZE];
    for (size_t i = 0; i < n; i++) set_add(&table, bytes_of(buf, number_format_i64(buf, intset_get(set->p, i))), rules);
    set_free(set);
    *set = table;
    return true;
}

static bool read_set_listpack(const struct reader *r, struct set *set, const struct set_rules *rules)
{
    struct bytes s;
    if (!rdb_get_string(r->s, RDB_VIEW, &s)) return false;
    if (!lp_validate((const unsigned char *)s.p, s.n, true, NULL, NULL))
        return bad(r, "Set listpack integrity check failed");
    unsigned char *lp = copy_of(s);
    set_free(set);
    *set = (struct set){ENC_LISTPACK, lp};
    if (lp_count(lp) == 0) return rdb_source_fail(r->s, -ENOENT, "a key without elements");
    if (r->rules->deep && !are_unique(r, lp, 1)) return bad(r, "Set listpack integrity check failed");
    set_expect(set, lp_count(lp), rules);
    return true;
}

static bool read_set(const struct reader *r, unsigned type, struct value *out)
{
    struct set_rules rules = set_rules(r->rules->cfg, r->rules->seed);
    struct set set = set_new_intset();
    bool ok = type == RDB_SET          ? read_members(r, &set, &rules)
              : type == RDB_SET_INTSET ? read_intset(r, &set, &rules)
                                       : read_set_listpack(r, &set, &rules);
    *out = set_value(&set);
    return ok;
}

/* --- pairs in a block: small hashes and sorted sets --------------------------------------------------------------- */

static bool append_pair(void *arg, struct bytes field, struct bytes value)
{
    unsigned char **lp = arg;
    if (!lp_fits(*lp, field.n + value.n)) return false;
    *lp = lp_append_pair(*lp, field, value);
    return true;
}

/* Also of a field that is there twice: the words by which Redis's log names it. */
static const char *fault_of(unsigned type)
{
    switch (type) {
    case RDB_HASH_ZIPMAP: return "Zipmap integrity check failed";
    case RDB_HASH_ZIPLIST: return "Hash ziplist integrity check failed";
    case RDB_ZSET_ZIPLIST: return "Zset ziplist integrity check failed";
    case RDB_HASH_LISTPACK: return "Hash listpack integrity check failed";
    default: return "Zset listpack integrity check failed";
    }
}

/* A block of pairs as a listpack of ours; NULL: refused. */
static unsigned char *read_pairs(const struct reader *r, unsigned type)
{
    struct bytes s;
    if (!rdb_get_string(r->s, RDB_VIEW, &s)) return NULL;
    bool listpack = type == RDB_HASH_LISTPACK || type == RDB_ZSET_LISTPACK, ok = true;
    unsigned char *lp;
    if (listpack) {
        if (!lp_validate((const unsigned char *)s.p, s.n, true, NULL, NULL)) {
            bad(r, fault_of(type));
            return NULL;
        }
        lp = copy_of(s);
    } else {
        lp = lp_new(0);
        ok = type == RDB_HASH_ZIPMAP ? rdb_zipmap_each(s, append_pair, &lp) : rdb_ziplist_each(s, append_value, &lp);
        lp = lp_shrink(lp);
    }
    if (!ok || lp_count(lp) % 2) bad(r, fault_of(type));
    else if (lp_count(lp) == 0) rdb_source_fail(r->s, -ENOENT, "a key without elements");
    else if ((r->rules->deep || !listpack) && !are_unique(r, lp, 2)) bad(r, fault_of(type));
    if (!r->s->error) return lp;
    lp_free(lp);
    return NULL;
}

/* --- hashes ------------------------------------------------------------------------------------------------------- */

static struct dict *new_map(const struct reader *r, size_t room)
{
    struct dict *d = mem_alloc(sizeof *d);
    dict_init_map(d, r->rules->seed);
    if (room) dict_expand(d, room);
    return d;
}

/* The listpack becomes a table of `room` fields. False: a field was there twice. */
static bool hash_to_table(const struct reader *r, struct hash *h, size_t room)
{
    unsigned char *lp = h->p;
    struct dict *d = new_map(r, room);
    char a[NUMBER_I64_SIZE], b[NUMBER_I64_SIZE];
    bool unique = true;
    struct lp_value field, value;
    const unsigned char *at = lp_first(lp);
    while (lp_walk(&at, &field) && lp_walk(&at, &value))
        unique &= dict_set(d, lp_value_bytes(field, a), lp_value_bytes(value, b));
    lp_free(lp);
    *h = (struct hash){ENC_HT, d};
    return unique;
}

static size_t longest_element(const unsigned char *lp)
{
    size_t longest = 0;
    struct lp_value v;
    const unsigned char *at = lp_first(lp);
    while (lp_walk(&at, &v)) {
        size_t n = lp_value_is_i64(v) ? number_i64_width(v.i) : v.s.n;
        if (n > longest) longest = n;
    }
    return longest;
}

static bool read_fields(const struct reader *r, struct hash *h, const struct hash_rules *rules)
{
    uint64_t n;
    if (!get_count(r, &n)) return false;
    if (n > rules->entries_max) hash_to_table(r, h, hint(r, n, 2));
    for (; n; n--) {
        struct bytes field, value;
        if (!rdb_get_string(r->s, RDB_KEEP, &field) || !rdb_get_string(r->s, RDB_VIEW, &value)) return false;
        bool fits = h->enc == ENC_LISTPACK && field.n <= rules->value_max && value.n <= rules->value_max &&
                    append_pair(&h->p, field, value);
        if (fits) continue;
        if (h->enc == ENC_LISTPACK && !hash_to_table(r, h, hint(r, n, 2)))
            return bad(r, "a hash's field is there twice");
        if (!dict_set(h->p, field, value)) return bad(r, "a hash's field is there twice");
    }
    return h->enc == ENC_HT || are_unique(r, h->p, 2) || bad(r, "a hash's field is there twice");
}

static bool read_hash(const struct reader *r, unsigned type, struct value *out)
{
    struct hash_rules rules = hash_rules(r->rules->cfg, r->rules->seed);
    struct hash h = {ENC_LISTPACK, NULL};
    bool ok;
    if (type == RDB_HASH) {
        h = hash_new();
        ok = read_fields(r, &h, &rules);
    } else {
        h.p = read_pairs(r, type);
        ok = h.p != NULL;
        if (!ok) h = hash_new();
        else if (hash_count(&h) > rules.entries_max ||
                 (type == RDB_HASH_ZIPMAP && longest_element(h.p) > rules.value_max))
            hash_to_table(r, &h, hash_count(&h));
    }
    *out = hash_value(&h);
    return ok;
}

/* --- sorted sets -------------------------------------------------------------------------------------------------- */

static struct ztree *new_tree(const struct reader *r, size_t room)
{
    struct ztree *t = mem_alloc(sizeof *t);
    ztree_init(t, r->rules->seed);
    if (room) ztree_expand(t, room);
    return t;
}

static bool get_score(const struct reader *r, unsigned type, double *score)
{
    uint64_t bits;
    if (type == RDB_ZSET) return rdb_get_double_text(r->s, score);
    if (!rdb_get_u64(r->s, &bits)) return false;
    memcpy(score, &bits, sizeof bits);
    return !isnan(*score) || bad(r, "a score is not a number");
}

/* Into a tree, since they come in any order. *longest: the longest member; *sum: of all. */
static bool read_scored(const struct reader *r, unsigned type, struct ztree *t, size_t *longest, size_t *sum)
{
    uint64_t n;
    if (!get_count(r, &n)) return false;
    ztree_expand(t, hint(r, n, 3));
    for (; n; n--) {
        struct bytes member;
        double score, had;
        if (!rdb_get_string(r->s, RDB_KEEP, &member) || !get_score(r, type, &score)) return false;
        if (!ztree_add(t, member, score, &had)) return bad(r, "a sorted set's member is there twice");
        if (member.n > *longest) *longest = member.n;
        *sum += member.n;
    }
    return true;
}

/* The tree as a listpack, which it is small enough for. */
static void tree_to_listpack(struct zset *z, const struct zset_rules *rules)
{
    struct ztree *t = z->p;
    struct zset small = {ENC_LISTPACK, lp_new(0)};
    for (struct ztree_pos p = ztree_at(t, 0); !ztree_pos_is_end(p); p = ztree_next(p)) {
        double score;
        struct bytes member = ztree_get(p, &score);
        zset_append(&small, member, score, rules);
    }
    zset_free(z);
    *z = small;
}

static void listpack_to_tree(const struct reader *r, struct zset *z)
{
    unsigned char *lp = z->p;
    struct ztree *t = new_tree(r, lp_count(lp) / 2);
    char buf[NUMBER_I64_SIZE];
    for (unsigned char *p = lp_first(lp); p; p = lp_next(lp, p)) {
        struct bytes member = lp_get_bytes(p, buf);
        p = lp_next(lp, p);
        ztree_set(t, member, zset_listpack_score(p));
    }
    lp_free(lp);
    *z = (struct zset){ENC_SKIPLIST, t};
}

static bool read_zset(const struct reader *r, unsigned type, struct value *out)
{
    struct zset_rules rules = zset_rules(r->rules->cfg, r->rules->seed);
    struct zset z;
    bool ok;
    if (type == RDB_ZSET || type == RDB_ZSET_2) {
        size_t longest = 0, sum = 0;
        z = (struct zset){ENC_SKIPLIST, new_tree(r, 0)};
        ok = read_scored(r, type, z.p, &longest, &sum);
        if (ok && zset_count(&z) <= rules.entries_max && longest <= rules.value_max && lp_fits(NULL, sum))
            tree_to_listpack(&z, &rules);
    } else {
        z = (struct zset){ENC_LISTPACK, read_pairs(r, type)};
        ok = z.p != NULL;
        if (!ok) z.p = lp_new(0);
        else if (zset_count(&z) > rules.entries_max) listpack_to_tree(r, &z);
    }
    *out = zset_value(&z);
    return ok;
}

/* --- streams and modules ------------------------------------------------------------------------------------------ */

static bool read_stream(const struct reader *r, unsigned type, struct value *out)
{
    struct xstream *s = xstream_new();
    *out = stream_value(s);
    return rdb_read_stream(r->s, type, s);
}

/* Only the module knows how long its values are, so there is no passing over one. */
static bool refuse_module(const struct reader *r)
{
    uint64_t id;
    char name[MODULE_NAME_SIZE];
    if (!rdb_get_length(r->s, &id)) return false;
    return rdb_source_failf(r->s, -EOPNOTSUPP, "a value of the module type '%s', and there are no modules here",
                            module_name(name, id));
}

/* --- public ------------------------------------------------------------------------------------------------------- */

bool rdb_type_is_known(unsigned type)
{
    return type <= RDB_MODULE_2 || (type >= RDB_HASH_ZIPMAP && type <= RDB_STREAM_LISTPACKS_3);
}

int rdb_read_value(struct rdb_source *s, unsigned type, const struct rdb_rules *rules, struct value *out)
{
    struct reader r = {s, rules};
    struct value v = {.type = OBJ_STRING, .enc = ENC_INT};
    bool ok;
    switch (type) {
    case RDB_STRING: ok = read_string(&r, &v); break;
    case RDB_LIST:
    case RDB_LIST_ZIPLIST:
    case RDB_LIST_QUICKLIST:
    case RDB_LIST_QUICKLIST_2: ok = read_list(&r, type, &v); break;
    case RDB_SET:
    case RDB_SET_INTSET:
    case RDB_SET_LISTPACK: ok = read_set(&r, type, &v); break;
    case RDB_HASH:
    case RDB_HASH_ZIPMAP:
    case RDB_HASH_ZIPLIST:
    case RDB_HASH_LISTPACK: ok = read_hash(&r, type, &v); break;
    case RDB_ZSET:
    case RDB_ZSET_2:
    case RDB_ZSET_ZIPLIST:
    case RDB_ZSET_LISTPACK: ok = read_zset(&r, type, &v); break;
    case RDB_STREAM_LISTPACKS:
    case RDB_STREAM_LISTPACKS_2:
    case RDB_STREAM_LISTPACKS_3: ok = read_stream(&r, type, &v); break;
    case RDB_MODULE: ok = rdb_source_fail(s, -EOPNOTSUPP, "a module's value in a format from before 4.0"); break;
    case RDB_MODULE_2: ok = refuse_module(&r); break;
    default: ok = bad(&r, "unknown type of a value"); break;
    }
    if (ok) {
        *out = v;
        return 0;
    }
    value_free(v);
    return s->error;
}

int rdb_read_dump(struct bytes payload, const struct rdb_rules *rules, bool unchecked, struct value *out,
                  struct rdb_refusal *why)
{
    *why = (struct rdb_refusal){.why = "wrong version or checksum"};
    if (payload.n < RDB_DUMP_TAIL) return -EPROTO;
    const char *footer = payload.p + payload.n - RDB_DUMP_TAIL;
    if (load_u16(footer) > RDB_VERSION) return -EPROTO;
    if (!unchecked && crc64(0, payload.p, payload.n - 8) != load_u64(footer + 2)) return -EPROTO;

    struct rdb_source s;
    unsigned char type;
    rdb_source_of_bytes(&s, bytes_of(payload.p, payload.n - RDB_DUMP_TAIL));
    int err = rdb_get_byte(&s, &type) ? rdb_read_value(&s, type, rules, out) : s.error;
    if (err) snprintf(why->why, sizeof why->why, "%s", s.why);
    why->offset = rdb_source_offset(&s);
    rdb_source_fini(&s);
    return err;
}
