/* SPDX-License-Identifier: MIT
 *
 * What is sorted are ranks of three words and not the places, which have ten. With a bound the ranks are a heap, so
 * that of a thousand places around a city the nearest ten cost hardly more than a comparison each.
 *
 *            worst                a place that is not better than the top is not even copied;
 *           /     \               one that is takes the top's slot of v
 *        ...       ...
 */
#include "server/cmd/geo_places.h"

#include "server/mem.h"

#define ROOM_FIRST 16
#define RUN        8 /* ranks sorted by insertion */

void geo_places_init(struct geo_places *p, enum geo_order order, size_t most)
{
    *p = (struct geo_places){.order = order, .most = most};
}

void geo_places_fini(struct geo_places *p)
{
    mem_free(p->v);
    mem_free(p->ranks);
    *p = (struct geo_places){0};
}

static bool goes_before(const struct geo_rank *a, const struct geo_rank *b)
{
    return a->key < b->key || (a->key == b->key && a->number < b->number);
}

/* --- the heap ----------------------------------------------------------------------------------------------------- */

static void sift_down(struct geo_rank *heap, size_t count, size_t at)
{
    const struct geo_rank moved = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && goes_before(&heap[child], &heap[child + 1])) child++;
        if (!goes_before(&moved, &heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = moved;
}

static void make_heap(struct geo_rank *ranks, size_t count)
{
    for (size_t i = count / 2; i-- > 0;) sift_down(ranks, count, i);
}

/* --- adding ------------------------------------------------------------------------------------------------------- */

static void grow(struct geo_places *p)
{
    p->room = p->room ? p->room * 2 : ROOM_FIRST;
    p->v = mem_realloc(p->v, p->room * sizeof *p->v);
    if (p->order != GEO_UNSORTED) p->ranks = mem_realloc(p->ranks, p->room * sizeof *p->ranks);
}

static void put_place(struct geo_place *to, const struct geo_place *place, const struct zset_iter *it)
{
    to->distance = place->distance;
    to->score = place->score;
    to->point = place->point;
    to->member = it->member;
    if (it->member.p != it->buf) return;
    memcpy(to->digits, it->buf, it->member.n);
    to->member.p = NULL;
}

void geo_places_add(struct geo_places *p, const struct geo_place *place, const struct zset_iter *it)
{
    double key = p->order == GEO_DESCENDING ? -place->distance : place->distance;
    struct geo_rank rank = {key, p->seen++, p->count};
    if (p->order != GEO_UNSORTED && p->count == p->most) {
        if (!goes_before(&rank, &p->ranks[0])) return;
        rank.slot = p->ranks[0].slot;
        p->ranks[0] = rank;
        sift_down(p->ranks, p->count, 0);
        put_place(&p->v[rank.slot], place, it);
        return;
    }
    if (p->count == p->room) grow(p);
    put_place(&p->v[p->count], place, it);
    if (p->order != GEO_UNSORTED) p->ranks[p->count] = rank;
    if (++p->count == p->most && p->order != GEO_UNSORTED) make_heap(p->ranks, p->count);
}

/* --- sorting ------------------------------------------------------------------------------------------------------ */

static void sort_run(struct geo_rank *v, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const struct geo_rank moved = v[i];
        size_t at = i;
        for (; at > 0 && goes_before(&moved, &v[at - 1]); at--) v[at] = v[at - 1];
        v[at] = moved;
    }
}

static void merge(struct geo_rank *to, const struct geo_rank *a, size_t a_count, const struct geo_rank *b,
                  size_t b_count)
{
    while (a_count && b_count) {
        if (goes_before(b, a)) *to++ = *b++, b_count--;
        else *to++ = *a++, a_count--;
    }
    if (a_count) memcpy(to, a, a_count * sizeof *a);
    if (b_count) memcpy(to, b, b_count * sizeof *b);
}

static size_t at_most(size_t a, size_t b) { return a < b ? a : b; }

void geo_places_sort(struct geo_places *p)
{
    size_t count = p->count;
    if (!p->ranks || count < 2) return;
    for (size_t i = 0; i < count; i += RUN) sort_run(p->ranks + i, at_most(RUN, count - i));
    if (count <= RUN) return;
    struct geo_rank *from = p->ranks, *to = mem_alloc(p->room * sizeof *to);
    for (size_t width = RUN; width < count; width *= 2) {
        for (size_t i = 0; i < count; i += 2 * width) {
            size_t a = at_most(width, count - i), b = at_most(width, count - i - a);
            merge(to + i, from + i, a, from + i + a, b);
        }
        struct geo_rank *swap = from;
        from = to;
        to = swap;
    }
    p->ranks = from;
    mem_free(to);
}
