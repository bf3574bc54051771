/* SPDX-License-Identifier: MIT
 *
 * Sectors are written whole or not at all. A crash keeps the length that was safe, the one programs saw, or one between
 * them; where it keeps a length and not the bytes, there are zeroes.
 *
 * A sector that is safe in part, at the end of a file that grows, is written before those behind it: zeroes of a few
 * bytes within a record are more than any format without checksums could tell.
 *
 * Cutting comes before what is written afterwards: a crash that keeps anything of that keeps the cut, too. So no bytes
 * of before stand between those of after.
 */
#include "libos/sim/disk_node.h"

#include "alloc/base/assert.h"
#include "libos/sim/disk.h"

#include <stdlib.h>
#include <string.h>

#define NOT_CUT UINT64_MAX

static uint64_t sector_of(uint64_t at) { return at / SIM_DISK_SECTOR; }
static uint64_t sectors_of(uint64_t size) { return (size + SIM_DISK_SECTOR - 1) / SIM_DISK_SECTOR; }

struct disk_node *disk_node_new(uint32_t id, bool is_folder)
{
    struct disk_node *n = calloc(1, sizeof *n);
    ASSERT(n);
    n->id = id;
    n->is_folder = is_folder;
    n->dirty_first = UINT64_MAX;
    n->cut = NOT_CUT;
    return n;
}

void disk_node_free(struct disk_node *n)
{
    list_remove(&n->all);
    free(n->now);
    free(n->safe);
    free(n->dirty);
    free(n);
}

/* Whole sectors, and what is new is zero. */
static void reserve(char **p, size_t *room, uint64_t size)
{
    if (size <= *room) return;
    size_t more = (size_t)sectors_of(size) * SIM_DISK_SECTOR;
    if (more < 2 * *room) more = 2 * *room;
    *p = realloc(*p, more);
    ASSERT(*p);
    memset(*p + *room, 0, more - *room);
    *room = more;
}

static void make_dirty(struct disk_node *n, uint64_t from, uint64_t to)
{
    uint64_t first = sector_of(from), end = sectors_of(to);
    if (first >= end) return;
    if (end > n->dirty_room) {
        size_t more = end < 2 * n->dirty_room ? 2 * n->dirty_room : (size_t)end;
        n->dirty = realloc(n->dirty, more);
        ASSERT(n->dirty);
        memset(n->dirty + n->dirty_room, 0, more - n->dirty_room);
        n->dirty_room = more;
    }
    memset(n->dirty + first, 1, end - first);
    if (first < n->dirty_first) n->dirty_first = first;
    if (end > n->dirty_end) n->dirty_end = end;
}

static void all_clean(struct disk_node *n)
{
    if (n->dirty_first < n->dirty_end) memset(n->dirty + n->dirty_first, 0, n->dirty_end - n->dirty_first);
    n->dirty_first = UINT64_MAX;
    n->dirty_end = 0;
}

void disk_node_write(struct disk_node *n, uint64_t at, const void *bytes, size_t count)
{
    if (!count) return;
    reserve(&n->now, &n->now_room, at + count);
    memcpy(n->now + at, bytes, count);
    make_dirty(n, at > n->now_size ? n->now_size : at, at + count);
    if (at + count > n->now_size) n->now_size = at + count;
}

void disk_node_truncate(struct disk_node *n, uint64_t size)
{
    if (size < n->now_size) {
        memset(n->now + size, 0, n->now_size - size);
        if (size < n->cut) n->cut = size;
    } else {
        reserve(&n->now, &n->now_room, size);
        make_dirty(n, n->now_size, size);
    }
    n->now_size = size;
}

/* --- what becomes safe -------------------------------------------------------------------------------------------- */

static void cut_safe(struct disk_node *n)
{
    if (n->cut < n->safe_size) {
        memset(n->safe + n->cut, 0, n->safe_size - n->cut);
        n->safe_size = n->cut;
    }
    n->cut = NOT_CUT;
}

static void copy_sector(struct disk_node *n, uint64_t sector)
{
    uint64_t at = sector * SIM_DISK_SECTOR;
    if (at >= n->now_size) return; /* it was cut off again */
    reserve(&n->safe, &n->safe_room, at + SIM_DISK_SECTOR);
    memcpy(n->safe + at, n->now + at, SIM_DISK_SECTOR);
}

static void set_safe_size(struct disk_node *n, uint64_t size)
{
    reserve(&n->safe, &n->safe_room, size);
    if (size < n->safe_room) memset(n->safe + size, 0, n->safe_room - size);
    n->safe_size = size;
}

void disk_node_sync(struct disk_node *n)
{
    cut_safe(n);
    for (uint64_t i = n->dirty_first; i < n->dirty_end; i++)
        if (n->dirty[i]) copy_sector(n, i);
    set_safe_size(n, n->now_size);
    all_clean(n);
}

/* Any of the dirty sectors; how many were lost. */
static uint64_t keep_some(struct disk_node *n, struct rng *r)
{
    uint64_t lost = 0;
    bool stops = false;
    for (uint64_t i = n->dirty_first; i < n->dirty_end; i++) {
        if (!n->dirty[i]) continue;
        bool is_partly_safe = i == sector_of(n->safe_size) && n->safe_size % SIM_DISK_SECTOR;
        bool keeps = !stops && rng_below(r, 2);
        if (keeps) copy_sector(n, i);
        stops = stops || (!keeps && is_partly_safe);
        lost += !keeps;
    }
    return lost;
}

void disk_node_sync_badly(struct disk_node *n, struct rng *r)
{
    cut_safe(n);
    keep_some(n, r);
    if (rng_below(r, 2)) set_safe_size(n, n->now_size);
    all_clean(n);
}

/* --- a crash ------------------------------------------------------------------------------------------------------ */

static bool is_dirty(const struct disk_node *n)
{
    return n->dirty_first < n->dirty_end || n->cut != NOT_CUT || n->now_size != n->safe_size;
}

static void keep_subset(struct disk_node *n, struct rng *r, struct disk_crash *how)
{
    uint64_t small = n->safe_size < n->now_size ? n->safe_size : n->now_size, span = n->now_size - small;
    how->sectors_lost += keep_some(n, r);
    set_safe_size(n, rng_below(r, 2) ? n->now_size : small + rng_below(r, span + 1));
}

/* From front to back up to some sector; the length may be ahead of it. */
static void keep_front(struct disk_node *n, struct rng *r, struct disk_crash *how)
{
    uint64_t end = n->dirty_first, size = n->safe_size;
    if (n->dirty_first < n->dirty_end) end += rng_below(r, n->dirty_end - n->dirty_first + 1);
    for (uint64_t i = n->dirty_first; i < n->dirty_end; i++) {
        if (!n->dirty[i]) continue;
        if (i < end) copy_sector(n, i);
        else how->sectors_lost++;
        if (i < end && size < (i + 1) * SIM_DISK_SECTOR) size = (i + 1) * SIM_DISK_SECTOR;
    }
    if (size > n->now_size || rng_below(r, 4) == 0) size = n->now_size;
    set_safe_size(n, size);
}

static void become_safe(struct disk_node *n)
{
    set_safe_size(n, n->safe_size); /* a sync that failed may have left more */
    reserve(&n->now, &n->now_room, n->safe_room);
    if (n->safe_room) memcpy(n->now, n->safe, n->safe_room);
    if (n->now_room > n->safe_room) memset(n->now + n->safe_room, 0, n->now_room - n->safe_room);
    n->now_size = n->safe_size;
    n->cut = NOT_CUT;
    all_clean(n);
}

void disk_node_crash(struct disk_node *n, struct rng *r, struct disk_crash *how)
{
    if (is_dirty(n)) {
        switch (rng_below(r, 4)) {
        case 0: break; /* nothing */
        case 1: disk_node_sync(n); break;
        default:
            cut_safe(n);
            if (how->any_sectors) keep_subset(n, r, how);
            else keep_front(n, r, how);
        }
    }
    become_safe(n);
}
