/* SPDX-License-Identifier: MIT
 *
 * The library in another event loop, and another's descriptors in ours.
 */
#include "demi/here.h"

#include "libos/embed/embed.h"

#include <poll.h>

#define POLL_EVENTS ((uint32_t)(POLLIN | POLLPRI | POLLOUT | POLLRDHUP | POLLERR | POLLHUP))

int demi_event_fd(int *fd_out)
{
    if (!fd_out) return EINVAL;
    HERE(rt);
    if (rt->tasks.running) return EBUSY; /* its thread would sleep under it */
    return -embed_event_fd(rt, fd_out);
}

int demi_poll_fd(demi_qtoken_t *qt_out, int fd, uint32_t events)
{
    if (!qt_out || events & ~POLL_EVENTS) return EINVAL;
    HERE(rt);
    struct op *op = op_begin(rt, DEMI_OPC_POLL, NULL, fd);
    if (!op) return ENOMEM;
    demi_qtoken_t qt = op_token(&rt->ops, op);
    return started(rt, op, embed_poll(rt, op, fd, events), qt, qt_out);
}
