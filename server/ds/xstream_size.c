/* SPDX-License-Identifier: MIT
 *
 * What a stream takes, and what redis-server would have for it.
 *
 * Its radix tree compresses what has no branches: of keys of 16 bytes each it has a leaf a key, a node where keys
 * part, and a node for the bytes between two of those if there is more than one (the first stands in the node above).
 * That follows from how many bytes neighbours have in common, so one walk over the keys counts it.
 */
#include "server/ds/xstream.h"

#include "server/mem.h"
#include "server/ds/xstream_group.h"

size_t xstream_bytes(const struct xstream *s, size_t samples)
{
    size_t n = demi_good_size(sizeof *s) + btree_bytes(&s->nodes) + stream_groups_bytes(s), seen = 0, sum = 0;
    size_t count = btree_count(&s->nodes);
    /* The last one has room ahead, and does not stand for the others. */
    for (struct btree_pos p = btree_first(&s->nodes); p.leaf && seen + 1 < count; p = btree_next(p)) {
        if (samples && seen == samples) break;
        sum += mem_size(btree_slot(p)->value);
        seen++;
    }
    if (seen) n += seen + 1 == count ? sum : sum / seen * (count - 1);
    if (count) n += mem_size(btree_slot(btree_last(&s->nodes))->value);
    return n;
}

size_t xstream_work(const struct xstream *s) { return btree_count(&s->nodes) + stream_groups_work(s); }

/* Bytes at the beginning that both have. */
static unsigned in_common(struct btree_key a, struct btree_key b)
{
    uint64_t hi = a.hi ^ b.hi, lo = a.lo ^ b.lo;
    if (hi) return (unsigned)__builtin_clzll(hi) / 8;
    return lo ? 8 + (unsigned)__builtin_clzll(lo) / 8 : STREAM_ID_SIZE;
}

/* Between a node at depth `above` (-1: there is none) and one at `below`: bytes that stand in no other node. */
static unsigned between(int above, unsigned below) { return below > (unsigned)(above + 1); }

uint64_t xstream_radix_nodes(const struct xstream *s)
{
    unsigned depths[STREAM_ID_SIZE + 1], open = 0; /* where the keys seen last part, from the root down */
    uint64_t n = 0;
    struct btree_pos p = btree_first(&s->nodes);
    if (!p.leaf) return 1;
    for (struct btree_pos next = btree_next(p);; p = next, next = btree_next(next)) {
        unsigned depth = next.leaf ? in_common(btree_slot(p)->key, btree_slot(next)->key) : 0, below = STREAM_ID_SIZE;
        n++; /* the leaf */
        /* What parts deeper than this is complete. */
        while (open && depths[open - 1] > depth) {
            n += 1 + between((int)depths[open - 1], below);
            below = depths[--open];
        }
        if (!next.leaf) {
            if (open) n += 1 + between((int)depths[0], below), below = depths[0];
            return n + between(-1, below);
        }
        if (open && depths[open - 1] == depth) n += between((int)depth, below);
        else depths[open++] = depth, n += between((int)depth, below);
    }
}
