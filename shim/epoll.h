/* SPDX-License-Identifier: MIT
 *
 * epoll sets with sockets of ours in them.
 */
#ifndef SHIM_EPOLL_H
#define SHIM_EPOLL_H

#include <stdbool.h>

/* fd is closed: what is known of it as a set goes. */
void shim_epoll_forget(int fd);
/* Sets that are asked by other means (poll, another set) show it. fd: any; false: it is no set. */
bool shim_epoll_look_from_outside(int fd);

#endif
