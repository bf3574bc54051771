/* SPDX-License-Identifier: MIT
 *
 * epoll over the host's sockets: interest lists, level and edge triggered, one shot.
 */
#ifndef PACKETS_SHIM_EPOLL_H
#define PACKETS_SHIM_EPOLL_H

#include "tests/packets/runner/host.h"

#include <sys/epoll.h>

#define EPOLL_FD_FIRST (HOST_FDS)
#define EPOLL_SETS     8
#define EPOLL_ITEMS    32

struct epoll_item {
    int fd; /* 0: free */
    struct epoll_event want;
    uint32_t seen;                /* edge triggered: what was told */
    uint64_t seen_in, seen_acked; /* bytes received and acknowledged when it was told */
};
struct epoll_set {
    bool open;
    struct epoll_item items[EPOLL_ITEMS];
};

/* All: -errno. */
int epoll_set_open(struct epoll_set sets[EPOLL_SETS]);                     /* a descriptor */
struct epoll_set *epoll_set_of(struct epoll_set sets[EPOLL_SETS], int fd); /* NULL */
int epoll_set_ctl(struct epoll_set *s, struct host *h, int op, int fd, const struct epoll_event *e);
int epoll_set_collect(struct epoll_set *s, struct host *h, struct epoll_event *out, int max);
void epoll_set_forget(struct epoll_set sets[EPOLL_SETS], int fd); /* fd is closed */

#endif
