/* SPDX-License-Identifier: MIT
 *
 * Blocks of a chunk are a bitmap of 128 bits; runs are found by folding the map onto itself.
 *
 * Slots are prepared (linked into the free list) about a page at a time, so that opening a slab
 * does not touch all of it.
 */
#include "alloc/slab.h"

#include <string.h>

#include "alloc/poison.h"

static_assert(CHUNK_HEADER_BLOCKS <= 4, "header");

uint32_t slab_blocks(uint32_t size)
{
    uint32_t least = size <= SMALL_MAX ? 64 : size <= 8192 ? 8 : 4;
    uint32_t first = (least * size + BLOCK_SIZE - 1) >> BLOCK_SHIFT;
    for (uint32_t n = first; n <= 32; n++) {
        uint32_t bytes = n << BLOCK_SHIFT;
        if (bytes % size * 64 <= bytes) return n;
    }
    return first;
}

static block_map map_of(uint32_t at, uint32_t count)
{
    block_map ones = count == CHUNK_BLOCKS ? ~(block_map)0 : ((block_map)1 << count) - 1;
    return ones << at;
}

static uint32_t map_lowest(block_map m)
{
    uint64_t low = (uint64_t)m;
    return low ? (uint32_t)__builtin_ctzll(low) : 64 + (uint32_t)__builtin_ctzll((uint64_t)(m >> 64));
}

struct chunk *chunk_init(char *at, struct heap *heap, struct region *r, bool clean)
{
    unpoison(at, CHUNK_HEADER_BLOCKS * BLOCK_SIZE);
    struct chunk *c = (struct chunk *)at;
    if (!clean) memset(c, 0, sizeof *c);
    c->heap = heap;
    c->region = r;
    list_init(&c->link);
    c->free_map = map_of(CHUNK_HEADER_BLOCKS, RUN_BLOCKS_MAX);
    c->clean_map = clean ? c->free_map : 0;
    return c;
}

/* Bit i stays set where i to i + count - 1 are all set. */
static block_map map_runs(block_map m, uint32_t count)
{
    for (uint32_t have = 1; have < count;) {
        uint32_t step = have < count - have ? have : count - have;
        m &= m >> step;
        have += step;
    }
    return m;
}

int chunk_bin(const struct chunk *c)
{
    block_map m = c->free_map;
    int bin = -1;
    for (uint32_t step = 1; m; step *= 2, bin++) {
        m &= m >> step;
        if (step == 64) return bin + 1;
    }
    return bin;
}

void chunk_uncut(struct chunk *c)
{
    if (!c->is_cut) return;
    c->is_cut = false;
    region_uncut(c->region, (char *)c);
}

struct slab *chunk_take(struct chunk *c, uint32_t count, bool *clean_out)
{
    block_map starts = map_runs(c->free_map, count);
    if (!starts) return NULL;
    uint32_t at = map_lowest(starts);
    block_map taken = map_of(at, count);
    *clean_out = (c->clean_map & taken) == taken;
    c->free_map &= ~taken;
    c->clean_map &= ~taken;
    c->block_count += count;
    if (unlikely(c->is_cut) && !c->clean_map) chunk_uncut(c); /* nothing of it is missing any more */
    for (uint32_t i = 0; i < count; i++) c->slabs[at + i].back = (uint8_t)i;
    struct slab *s = &c->slabs[at];
    s->owner = c->heap;
    return s;
}

void chunk_give(struct chunk *c, struct slab *s, uint32_t count)
{
    uint32_t at = (uint32_t)(s - c->slabs);
    poison((char *)c + at * BLOCK_SIZE, count * BLOCK_SIZE);
    memset(s, 0, sizeof *s);
    for (uint32_t i = 1; i < count; i++) s[i].back = 0;
    c->free_map |= map_of(at, count);
    c->block_count -= count;
}

bool slab_prepare(struct slab *s)
{
    uint32_t room = s->end - s->fresh;
    if (!room) return false;
    uint32_t count = s->size >= 4096 ? 1 : 4096 / s->size;
    if (count > room / s->size) count = room / s->size;
    char *first = slab_start(s) + s->fresh;
    unpoison(first, (size_t)count * s->size);
    for (uint32_t i = 0; i + 1 < count; i++) {
        char *slot = first + (size_t)i * s->size;
        *(void **)slot = slot + s->size;
    }
    *(void **)(first + (size_t)(count - 1) * s->size) = s->free;
    poison(first, (size_t)count * s->size);
    s->free = first;
    s->fresh += count * s->size;
    return true;
}
