/* SPDX-License-Identifier: MIT
 *
 * The kernel tells groups apart by a number of 16 bits in a network namespace. It is asked for a free one
 * (PACKET_FANOUT_FLAG_UNIQUEID, Linux 4.12), which the threads that come later must know: hence one table a process,
 * looked at when devices are opened and closed only. An interface is its index and its namespace's cookie, since
 * threads may live in different namespaces.
 */
#include "libos/packet/group.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

#define GROUPS_MAX 64 /* interfaces open at once with more than one queue */

struct group {
    uint64_t netns;
    uint64_t taken; /* a bit a place; 0: the entry is free */
    int ifindex;
    uint16_t id;
};

static struct group groups[GROUPS_MAX];
static pthread_mutex_t groups_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A forked child has none of the parent's places. */
static void group_fork_prepare(void) { pthread_mutex_lock(&groups_lock); }
static void group_fork_parent(void) { pthread_mutex_unlock(&groups_lock); }
static void group_fork_child(void)
{
    memset(groups, 0, sizeof groups);
    pthread_mutex_unlock(&groups_lock);
}
static void watch_forks(void) { pthread_atfork(group_fork_prepare, group_fork_parent, group_fork_child); }

static uint64_t netns_here(void)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len)) cookie = 0;
    close(fd);
    return cookie;
}

static struct group *group_find(uint64_t netns, int ifindex)
{
    for (struct group *g = groups; g < groups + GROUPS_MAX; g++)
        if (g->taken && g->ifindex == ifindex && g->netns == netns) return g;
    return NULL;
}

static int join(int fd, uint16_t id, unsigned flags)
{
    if (fd < 0) return 0;
    uint32_t value = id | (uint32_t)(PACKET_FANOUT_HASH | flags) << 16;
    return setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, sizeof value) ? -errno : 0;
}

static int group_start(int fd, uint64_t netns, int ifindex)
{
    struct group *g = groups;
    while (g < groups + GROUPS_MAX && g->taken) g++;
    if (g == groups + GROUPS_MAX) return -ENOSPC;
    int err = join(fd, 0, PACKET_FANOUT_FLAG_UNIQUEID);
    if (err) return err;
    uint32_t value = 0;
    socklen_t len = sizeof value;
    if (fd >= 0 && getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, &len)) return -errno;
    *g = (struct group){.netns = netns, .ifindex = ifindex, .taken = 1, .id = (uint16_t)value};
    return 0;
}

int group_join(int fd, int ifindex, unsigned queues, unsigned *index)
{
    uint64_t netns = netns_here();
    int err = 0;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&groups_lock);
    struct group *g = group_find(netns, ifindex);
    unsigned place = g ? (unsigned)__builtin_ctzll(~g->taken | (uint64_t)1 << 63) : 0;
    if (!g) err = group_start(fd, netns, ifindex);
    else if (place >= queues || g->taken >> place & 1) err = -EBUSY;
    else err = join(fd, g->id, 0);
    if (g && !err) g->taken |= (uint64_t)1 << place;
    pthread_mutex_unlock(&groups_lock);
    if (!err) *index = place;
    return err;
}

void group_leave(int ifindex, unsigned index)
{
    uint64_t netns = netns_here();
    pthread_mutex_lock(&groups_lock);
    struct group *g = group_find(netns, ifindex);
    if (g) g->taken &= ~((uint64_t)1 << index);
    pthread_mutex_unlock(&groups_lock);
}
