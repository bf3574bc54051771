/* SPDX-License-Identifier: MIT
 *
 * epoll over the host's sockets. An edge is a readiness that was not there when it was told last, or more bytes in the
 * direction that is ready.
 */
#include "tests/packets/shim/epoll.h"

#include <errno.h>

#include "alloc/base/assert.h"

static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR && EPOLLHUP == POLLHUP, "poll()'s bits");

int epoll_set_open(struct epoll_set sets[EPOLL_SETS])
{
    for (int i = 0; i < EPOLL_SETS; i++) {
        if (sets[i].open) continue;
        sets[i] = (struct epoll_set){.open = true};
        return EPOLL_FD_FIRST + i;
    }
    return -EMFILE;
}

struct epoll_set *epoll_set_of(struct epoll_set sets[EPOLL_SETS], int fd)
{
    unsigned i = (unsigned)(fd - EPOLL_FD_FIRST);
    return i < EPOLL_SETS && sets[i].open ? &sets[i] : NULL;
}

static struct epoll_item *find(struct epoll_set *s, int fd)
{
    for (int i = 0; i < EPOLL_ITEMS; i++)
        if (s->items[i].fd == fd) return &s->items[i];
    return NULL;
}

int epoll_set_ctl(struct epoll_set *s, struct host *h, int op, int fd, const struct epoll_event *e)
{
    struct epoll_item *item = find(s, fd);
    if (!host_is_open(h, fd)) return -EBADF;
    if (op == EPOLL_CTL_ADD) {
        if (item) return -EEXIST;
        item = find(s, 0);
        if (!item) return -ENOSPC;
        *item = (struct epoll_item){.fd = fd, .want = *e};
        return 0;
    }
    if (!item) return -ENOENT;
    if (op == EPOLL_CTL_DEL) *item = (struct epoll_item){.fd = 0};
    else *item = (struct epoll_item){.fd = fd, .want = *e};
    return 0;
}

static uint32_t ready_of(struct epoll_item *item, struct host *h)
{
    uint32_t ready = (uint32_t)host_poll(h, item->fd, (short)(item->want.events & 0xffff)) & ~(uint32_t)POLLNVAL;
    if (!(item->want.events & EPOLLET)) return ready;
    struct conn *c = host_conn(h, item->fd);
    struct conn_info info = {.state = 0};
    if (c) conn_info(c, &info);
    uint32_t news = ready & ~item->seen;
    if (info.bytes_received != item->seen_in) news |= ready & EPOLLIN;
    if (info.bytes_acked != item->seen_acked && (item->seen & EPOLLOUT) == 0) news |= ready & EPOLLOUT;
    item->seen = ready;
    item->seen_in = info.bytes_received;
    item->seen_acked = info.bytes_acked;
    return news ? ready : 0;
}

int epoll_set_collect(struct epoll_set *s, struct host *h, struct epoll_event *out, int max)
{
    int n = 0;
    for (int i = 0; i < EPOLL_ITEMS && n < max; i++) {
        struct epoll_item *item = &s->items[i];
        if (!item->fd || !item->want.events) continue;
        uint32_t ready = ready_of(item, h);
        if (!ready) continue;
        out[n++] = (struct epoll_event){.events = ready, .data = item->want.data};
        if (item->want.events & EPOLLONESHOT) item->want.events = 0;
    }
    return n;
}

void epoll_set_forget(struct epoll_set sets[EPOLL_SETS], int fd)
{
    for (int i = 0; i < EPOLL_SETS; i++) {
        struct epoll_item *item = sets[i].open ? find(&sets[i], fd) : NULL;
        if (item) *item = (struct epoll_item){.fd = 0};
    }
}
