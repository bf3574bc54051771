/* SPDX-License-Identifier: MIT
 *
 * The names of a simulated disk: which file a program finds under a name, which one it finds there after a crash, and
 * what was changed in between:
 *
 *     name "b"    now -> node 7    safe -> node 4      changes: a: nothing, b: node 7 (one rename)
 *
 * Syncing a folder makes the changes of its own names safe, in the order in which they were made.
 */
#ifndef SIM_DISK_TREE_H
#define SIM_DISK_TREE_H

#include "libos/sim/disk_node.h"

#include <limits.h>

struct disk_tree {
    struct disk_node *root;
    struct list nodes, names, changes;
    uint32_t node_ids, change_numbers;
    char here[PATH_MAX]; /* the process's working directory: another name of the root */
    size_t here_n;
};

void disk_tree_init(struct disk_tree *t);
void disk_tree_fini(struct disk_tree *t);

/* All of them 0 or -errno. flags: those of open(2). The node is the caller's until disk_tree_close(). */
int disk_tree_open(struct disk_tree *t, const char *path, int flags, struct disk_node **out);
void disk_tree_close(struct disk_node *n);
int disk_tree_rename(struct disk_tree *t, const char *from, const char *to);
int disk_tree_unlink(struct disk_tree *t, const char *path);
int disk_tree_mkdir(struct disk_tree *t, const char *path);

/* NULL: there is none. */
struct disk_node *disk_tree_find(const struct disk_tree *t, const char *path);
/* Calls fn with the path of each name that a program finds. */
void disk_tree_visit(const struct disk_tree *t, void (*fn)(void *arg, const char *path), void *arg);
/* Of all that programs can reach. */
uint64_t disk_tree_bytes(const struct disk_tree *t);
/* Any file that has bytes; NULL: there is none. */
const struct disk_node *disk_tree_any(const struct disk_tree *t, struct rng *r);

void disk_tree_sync(struct disk_tree *t, const struct disk_node *folder);
void disk_tree_sync_all(struct disk_tree *t);
/* Nothing is open. */
void disk_tree_crash(struct disk_tree *t, struct rng *r, struct disk_crash *how);

#endif
