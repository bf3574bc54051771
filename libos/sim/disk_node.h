/* SPDX-License-Identifier: MIT
 *
 * A file or folder of a simulated disk. A file's bytes are there twice:
 *
 *     now    what programs read and write
 *     safe   what a crash leaves, with any of the sectors that are dirty
 */
#ifndef SIM_DISK_NODE_H
#define SIM_DISK_NODE_H

#include "alloc/base/list.h"
#include "alloc/base/rng.h"

#include <stdint.h>

struct disk_node {
    struct list all; /* of the tree's */
    uint32_t id;
    bool is_folder;
    unsigned refs;  /* names in either state, changes of names, open files */
    unsigned shown; /* of those, what a program can reach it by: it takes space as long */
    char *now, *safe;
    uint64_t now_size, safe_size;
    size_t now_room, safe_room; /* bytes beyond the size are zero */
    uint8_t *dirty;             /* one a sector */
    size_t dirty_room;
    uint64_t dirty_first, dirty_end; /* sectors that may be dirty */
    uint64_t cut;                    /* the shortest it was since it was last safe */
};

/* What a crash does to what is not safe. */
struct disk_crash {
    bool any_sectors, any_names;
    uint64_t sectors_lost, names_lost; /* counted */
};

struct disk_node *disk_node_new(uint32_t id, bool is_folder);
void disk_node_free(struct disk_node *n);
void disk_node_write(struct disk_node *n, uint64_t at, const void *bytes, size_t count);
void disk_node_truncate(struct disk_node *n, uint64_t size);
/* All is safe. */
void disk_node_sync(struct disk_node *n);
/* A sync that fails: some of it is safe, and nothing is dirty any more. */
void disk_node_sync_badly(struct disk_node *n, struct rng *r);
void disk_node_crash(struct disk_node *n, struct rng *r, struct disk_crash *how);

#endif
