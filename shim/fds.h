/* SPDX-License-Identifier: MIT
 *
 * Numbers of descriptors: those that the library keeps for itself, and the program's calls that make, double and close
 * numbers.
 */
#ifndef SHIM_FDS_H
#define SHIM_FDS_H

#include <stdbool.h>

/* Moves a descriptor that a call has just made (or its -1) up, out of the program's way, with close-on-exec. Where
 * there is no room above it stays where it is. */
int fds_hide(int fd);
void fds_close_hidden(int fd);

/* fd, inherited by a forked child, is the kernel's and does not block, since the parent's library OS has it, too; but
 * the program thinks that it does. A call that would have to wait does so by poll(): true: try again. False: errno is
 * the answer. */
void fds_share(int fd);
bool fds_wait_shared(int fd, short events, int flags);
/* REAL(read)(fd, p, n), until it does not have to wait. */
#define SHARED(fd, events, flags, call)                                                                                \
    ({                                                                                                                 \
        __typeof__(call) result_;                                                                                      \
        do result_ = (call);                                                                                           \
        while (unlikely(result_ < 0) && fds_wait_shared(fd, events, flags));                                           \
        result_;                                                                                                       \
    })

#endif
