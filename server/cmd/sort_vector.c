/* SPDX-License-Identifier: MIT
 *
 * Texts lie in chunks that are freed together. Sorting is a merge sort from the bottom up: stable, n log n at worst,
 * and without state outside of its arguments, which is what qsort() lacks.
 */
#include "server/cmd/sort_vector.h"

#include <stdlib.h>

#include "server/ds/dict.h"
#include "server/ds/intset.h"
#include "server/ds/listpack.h"
#include "server/ds/ztree.h"
#include "server/mem.h"
#include "server/types/list.h"

#define CHUNK_BYTES 8000
#define RUN_LENGTH  8 /* sorted by insertion */

struct sort_chunk {
    struct sort_chunk *next;
    size_t used, size;
    char data[];
};

struct bytes sort_vector_copy(struct sort_vector *v, struct bytes s)
{
    struct sort_chunk *ch = v->chunks;
    if (!ch || ch->size - ch->used < s.n + 1) {
        size_t size = s.n + 1 > CHUNK_BYTES ? s.n + 1 : CHUNK_BYTES;
        ch = mem_alloc(sizeof *ch + size);
        ch->next = v->chunks;
        ch->used = 0;
        ch->size = size;
        v->chunks = ch;
    }
    char *p = ch->data + ch->used;
    if (s.n) memcpy(p, s.p, s.n);
    p[s.n] = 0;
    ch->used += s.n + 1;
    return bytes_of(p, s.n);
}

void sort_vector_fini(struct sort_vector *v)
{
    while (v->chunks) {
        struct sort_chunk *next = v->chunks->next;
        mem_free(v->chunks);
        v->chunks = next;
    }
    mem_free(v->items);
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static void add(struct sort_vector *v, struct bytes s)
{
    if (v->count == v->room) {
        v->room = v->room ? v->room * 2 : 16;
        v->items = mem_realloc(v->items, v->room * sizeof *v->items);
    }
    v->items[v->count++] = (struct sort_item){.text = sort_vector_copy(v, s)};
}

static void load_listpack(struct sort_vector *v, const unsigned char *lp, bool pairs, size_t from, size_t end,
                          bool desc)
{
    long step = pairs ? 2 : 1, n = (long)lp_count(lp) / step;
    char num[NUMBER_I64_SIZE];
    if (from == end) return;
    const unsigned char *p = lp_seek(lp, (desc ? n - 1 - (long)from : (long)from) * step);
    for (size_t i = from; i < end; i++) {
        add(v, lp_get_bytes(p, num));
        for (long k = 0; k < step && p; k++) p = desc ? lp_prev(lp, p) : lp_next(lp, p);
    }
}

static void load_list(struct sort_vector *v, const struct quicklist *q, size_t from, size_t end, bool desc)
{
    struct list_reader r;
    struct lp_value val;
    char num[NUMBER_I64_SIZE];
    if (from == end) return;
    list_reader_init(&r, q, desc ? quicklist_count(q) - 1 - from : from, desc);
    for (size_t i = from; i < end && list_reader_next(&r, &val); i++) add(v, lp_value_bytes(val, num));
    list_reader_fini(&r);
}

static void load_zset(struct sort_vector *v, const struct ztree *z, size_t from, size_t end, bool desc)
{
    if (from == end) return;
    struct ztree_pos p = ztree_at(z, desc ? ztree_count(z) - 1 - from : from);
    for (size_t i = from; i < end; i++) {
        add(v, ztree_get(p, NULL));
        p = desc ? ztree_prev(p) : ztree_next(p);
    }
}

static void load_dict(struct sort_vector *v, struct dict *d)
{
    struct dict_iter it;
    struct bytes member;
    dict_iter_init(&it, d);
    while (dict_iter_next(&it, &member, NULL)) add(v, member);
    dict_iter_fini(&it);
}

static void load_intset(struct sort_vector *v, const struct intset *s)
{
    char num[NUMBER_I64_SIZE];
    for (size_t i = 0; i < intset_count(s); i++) add(v, bytes_of(num, number_format_i64(num, intset_get(s, i))));
}

void sort_vector_load_range(struct sort_vector *v, const struct entry *e, size_t from, size_t end, bool desc)
{
    switch ((enum obj_encoding)e->enc) {
    case ENC_QUICKLIST: load_list(v, entry_ptr(e), from, end, desc); break;
    case ENC_LISTPACK: load_listpack(v, entry_ptr(e), e->type == OBJ_ZSET, from, end, desc); break;
    case ENC_SKIPLIST: load_zset(v, entry_ptr(e), from, end, desc); break;
    case ENC_HT: load_dict(v, entry_ptr(e)); break;
    case ENC_INTSET: load_intset(v, entry_ptr(e)); break;
    default: ASSERT(!"not a list, set or sorted set");
    }
}

void sort_vector_load(struct sort_vector *v, const struct entry *e)
{
    sort_vector_load_range(v, e, 0, value_elements(e), false);
}

/* --- sorting ------------------------------------------------------------------------------------------------------ */

static int collate(struct bytes a, struct bytes b, const struct sort_order *o)
{
    return o->bytewise ? bytes_compare(a, b) : strcoll(a.p, b.p);
}

static int compare(const struct sort_item *a, const struct sort_item *b, const struct sort_order *o)
{
    int r;
    if (!o->alpha) {
        r = (a->score > b->score) - (a->score < b->score);
        if (r == 0) r = bytes_compare(a->text, b->text);
    } else if (!o->by) {
        r = collate(a->text, b->text, o);
    } else if (!a->weight.p || !b->weight.p) {
        r = (a->weight.p != NULL) - (b->weight.p != NULL);
    } else {
        r = collate(a->weight, b->weight, o);
    }
    return o->desc ? -r : r;
}

static void sort_run(struct sort_item *items, size_t n, const struct sort_order *o)
{
    for (size_t i = 1; i < n; i++) {
        struct sort_item it = items[i];
        size_t j = i;
        for (; j > 0 && compare(&items[j - 1], &it, o) > 0; j--) items[j] = items[j - 1];
        items[j] = it;
    }
}

static void merge(struct sort_item *to, const struct sort_item *a, size_t an, const struct sort_item *b, size_t bn,
                  const struct sort_order *o)
{
    while (an && bn) {
        if (compare(a, b, o) <= 0) *to++ = *a++, an--;
        else *to++ = *b++, bn--;
    }
    if (an) memcpy(to, a, an * sizeof *a);
    if (bn) memcpy(to, b, bn * sizeof *b);
}

void sort_vector_sort(struct sort_vector *v, const struct sort_order *o)
{
    size_t n = v->count;
    for (size_t i = 0; i < n; i += RUN_LENGTH) sort_run(v->items + i, n - i < RUN_LENGTH ? n - i : RUN_LENGTH, o);
    if (n <= RUN_LENGTH) return;
    struct sort_item *from = v->items, *to = mem_alloc(v->room * sizeof *to);
    for (size_t width = RUN_LENGTH; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t an = n - i < width ? n - i : width, bn = n - i - an < width ? n - i - an : width;
            merge(to + i, from + i, an, from + i + an, bn, o);
        }
        struct sort_item *t = from;
        from = to;
        to = t;
    }
    v->items = from;
    mem_free(to);
}
