/* SPDX-License-Identifier: MIT
 *
 * Which node of a machine with several (NUMA) memory is taken from.
 */
#ifndef ALLOC_NODE_H
#define ALLOC_NODE_H

#include <stddef.h>

#define NODE_MAX 1024 /* as many as the kernel knows */

/* Nodes in a list as the system writes it, "0-1,4": the highest number plus one. 0: not such a list. */
int node_list_count(const char *list);

/* Nodes of this machine; 1 where nobody tells. Read once a process. */
int node_count(void);

/* The node of the processor that runs this thread now; -errno. */
int node_here(void);

/* Pages of [base, base + len) that are touched from now on come from `node` while it has some. 0 or -errno; -EPERM
 * under a filter of system calls, which might kill for the asking. base is the start of a page. */
int node_prefer(void *base, size_t len, int node);

#endif
