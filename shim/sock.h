/* SPDX-License-Identifier: MIT
 *
 * Sockets of ours: how they begin, what completes on them, and reading and writing. All under the engine's lock, and
 * all return a result or -errno. A call that waits gives the lock up meanwhile.
 */
#ifndef SHIM_SOCK_H
#define SHIM_SOCK_H

#include "shim/file.h"

#include <sys/uio.h>

/* --- sock.c: whose it is --- */

/* f gets a queue. fd is its name, whose shadow may become the queue's own socket. */
int shim_open_queue(struct shim_file *f, int fd);
/* f is decided in favour of the library OS, its name bound that waited. */
int shim_decide_ours(struct shim_file *f, int fd);
/* … in favour of the kernel: what was set and bound is, on the shadow, and f is the kernel's. */
int shim_decide_kernel(struct shim_file *f, int fd);
/* By an address that is connected or sent to. 1: the kernel's. 0: ours, with a queue. */
int shim_decide_by(struct shim_file *f, int fd, const struct sockaddr *addr, socklen_t size);

/* --- stream.c --- */

/* A result of an operation of f. */
void shim_completed(struct shim_file *f, const demi_qresult_t *qr);
/* Keeps a pop outstanding. */
void shim_ask(struct shim_file *f);
void shim_ask_accept(struct shim_file *f);
/* What f has popped and accepted, given back. */
void shim_drop_input(struct shim_file *f);
/* Looks whether f may be written to again. */
bool shim_has_room(struct shim_file *f);
size_t shim_iov_bytes(const struct iovec *iov, int count);
/* size, and msg's flags out, of datagrams; NULL: not wanted */
ssize_t shim_read(struct shim_file *f, const struct iovec *iov, int count, int flags, struct sockaddr *addr,
                  socklen_t *size, int *flags_out);
ssize_t shim_write(struct shim_file *f, int fd, const struct iovec *iov, int count, int flags,
                   const struct sockaddr *addr, socklen_t size);
/* The error that waits, once. */
int shim_take_error(struct shim_file *f);
void shim_copy_addr(struct sockaddr *addr, socklen_t *size, const void *from, socklen_t from_size);
socklen_t shim_addr_size(int family);

/* --- epoll.c --- */

void shim_items_notify(struct shim_file *f, uint32_t events);
/* Something of f has been read or written: sets that are looked at from outside may have nothing any more. */
void shim_items_quiet(struct shim_file *f);
/* f goes: it leaves all sets. kernel: it stays in them as the kernel's own. */
void shim_items_leave(struct shim_file *f, bool kernel);
/* The kernel's half of a set has something. */
void shim_set_kernel_ready(struct shim_file *f);
void shim_set_free(struct shim_file *f);
/* A set that the kernel's poll and epoll see as ready, too. */
void shim_set_ring(struct shim_file *f);

/* --- fork.c --- */

/* The library has started: its handlers are registered. */
void shim_fork_started(void);
void shim_fds_fork_child(void);
void shim_engine_fork_prepare(void);
void shim_engine_fork_parent(void);
void shim_engine_fork_child(void);

#endif
