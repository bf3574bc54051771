/* SPDX-License-Identifier: MIT
 *
 * A runtime and somebody else's event loop, in both directions: the runtime as one descriptor of theirs (event.c), and
 * a descriptor of theirs among what the runtime waits for (poll.c). Each is a libOS without sockets that is started
 * when it is first asked for, so that who never asks pays nothing.
 *
 * All return 0 or -errno. -EOPNOTSUPP on a clock that is simulated: no descriptor knows of that.
 */
#ifndef EMBED_EMBED_H
#define EMBED_EMBED_H

#include <stdint.h>

struct op;
struct runtime;

/* Sends what was pushed and arms: *fd_out, the same each time and the runtime's own, is readable (level-triggered) as
 * soon as a turn would find something to do. It stays armed until the next wait. Called by the thread's own stack.
 * -EOPNOTSUPP, with *fd_out untouched: a device that must be polled. */
int embed_event_fd(struct runtime *rt, int *fd_out);

/* Starts op: it completes with the events of fd (poll()'s bits) that are there, of `events`, POLLERR and POLLHUP. fd
 * stays the caller's, who closes it when nothing waits for it any more; any number may wait for one. -EBADF; -EPERM: a
 * file that is always ready, which the kernel does not watch; -EEXIST: a queue of this runtime watches it. */
int embed_poll(struct runtime *rt, struct op *op, int fd, uint32_t events);

#endif
