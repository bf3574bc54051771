/* SPDX-License-Identifier: MIT
 *
 * A descriptor that is readable when something has happened to the kernel's interfaces: links and addresses, by
 * rtnetlink(7). What has happened is not read from the messages, of which some may be lost: whoever hears of news has a
 * look himself. Inline, because a plug-in sees nothing of the library (libos/plugin.h).
 */
#ifndef LIBOS_IFNEWS_H
#define LIBOS_IFNEWS_H

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define IFNEWS_READS_MAX 256 /* then the descriptor stays readable, and comes again */

/* -1: there is none. */
static inline int ifnews_open(void)
{
    const struct sockaddr_nl groups = {.nl_family = AF_NETLINK,
                                       .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0) return -1;
    if (!bind(fd, (const void *)&groups, sizeof groups)) return fd;
    close(fd);
    return -1;
}

static inline void ifnews_drain(int fd)
{
    char unread[16];
    for (int i = 0; fd >= 0 && i < IFNEWS_READS_MAX; i++)
        if (recv(fd, unread, sizeof unread, MSG_TRUNC) < 0 && errno != ENOBUFS && errno != EINTR) return;
}

#endif
