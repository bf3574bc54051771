/* SPDX-License-Identifier: MIT
 *
 * Sockets and I/O as queues. Source-compatible with Demikernel 1.5.13.
 *
 * Every call returns 0 or a positive errno and leaves errno alone; none aborts on what a caller or a peer does. Before
 * demi_init() on this thread: ENOSYS. An unknown descriptor: EBADF. Descriptors and tokens belong to the thread that
 * made them.
 *
 * Calls that take a demi_qtoken_t * start an operation and return at once; its result comes from demi/wait.h.
 */
#ifndef DEMI_LIBOS_H
#define DEMI_LIBOS_H

#include "demi/types.h"
#include <stddef.h>

#include "demi/cc.h"
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Starts the thread's library OS: LIBOS names it, CONFIG_PATH its configuration file; without them kernel sockets.
 * args may be NULL. EEXIST: done already. ENOENT, EINVAL: the file is missing or malformed. ENOTSUP: no such libOS
 * here. */
extern int demi_init(_In_opt_ const struct demi_args *args);

/* The two-argument form of Demikernel 1.1 to 1.5. In C, demi_init() with one argument is the first, with two this one,
 * and a compound literal, commas and all, is one argument. In C++ it is an overload. */
extern int demi_init_argv(_In_ int argc, _In_ char *const argv[]);
#if !defined(DEMI_LIBRARY) && !defined(__cplusplus)
#define DEMI_INIT_1_(a) demi_init(a)
/* Commas: how many arguments there really are is how many _Bools they initialise, whatever their types. */
#define DEMI_INIT_N_(...)                                                                                              \
    __extension__({                                                                                                    \
        _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Waddress\"") int demi_init_result_ =         \
            __builtin_choose_expr(sizeof((_Bool[]){__VA_ARGS__}) == sizeof(_Bool), demi_init,                          \
                                  demi_init_argv)(__VA_ARGS__);                                                        \
        _Pragma("GCC diagnostic pop") demi_init_result_;                                                               \
    })
#define DEMI_INIT_PICK_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, pick, ...) pick
#define demi_init(...)                                                                                                 \
    DEMI_INIT_PICK_(__VA_ARGS__, DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_,   \
                    DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_N_,  \
                    DEMI_INIT_N_, DEMI_INIT_N_, DEMI_INIT_1_, 0)                                                       \
    (__VA_ARGS__)
#endif

/* domain AF_INET, AF_INET6 or AF_UNIX (where the libOS has them); type SOCK_STREAM or SOCK_DGRAM, else ENOTSUP. */
ATTR_NONNULL(1)
extern int demi_socket(_Out_ int *sockqd_out, _In_ int domain, _In_ int type, _In_ int protocol);

/* EINVAL: backlog < 1. EDESTADDRREQ: not bound. EADDRINUSE: listening already, or connecting. */
extern int demi_listen(_In_ int sockqd, _In_ int backlog);

/* EINVAL: wrong length for the family, or bound already. EADDRINUSE, EADDRNOTAVAIL, EACCES. Wildcard and port 0 are
 * allowed. */
ATTR_NONNULL(2)
extern int demi_bind(_In_ int sockqd, _In_reads_bytes_(size) const struct sockaddr *addr, _In_ socklen_t size);

/* Result: qr_value.ares. Several may be outstanding. EINVAL: not listening. */
ATTR_NONNULL(1)
extern int demi_accept(_Out_ demi_qtoken_t *qt_out, _In_ int sockqd);

/* EINPROGRESS, EISCONN, EOPNOTSUPP (listening); the peer's answer comes with the result. */
ATTR_NONNULL(1, 3)
extern int demi_connect(_Out_ demi_qtoken_t *qt_out, _In_ int sockqd,
                        _In_reads_bytes_(size) const struct sockaddr *addr, _In_ socklen_t size);

/* Closes a queue. Operations outstanding on it complete as DEMI_OPC_FAILED with ECANCELED. */
extern int demi_close(_In_ int qd);

/* Sends the array. It may be freed as soon as the call returns; its bytes must not change before the result. EINVAL:
 * no buffer, no bytes, a segment outside its buffer. ENOTCONN. EBUSY: too much waits to be sent. */
ATTR_NONNULL(1, 3)
extern int demi_push(_Out_ demi_qtoken_t *qt_out, _In_ int qd, _In_ const demi_sgarray_t *sga);

/* The same to an address, on a datagram socket. */
ATTR_NONNULL(1, 3, 4)
extern int demi_pushto(_Out_ demi_qtoken_t *qt_out, _In_ int sockqd, _In_ const demi_sgarray_t *sga,
                       _In_reads_bytes_(size) const struct sockaddr *dest_addr, _In_ socklen_t size);

/* Receives. The result's sga belongs to the caller (demi_sgafree); a segment of length 0 is the end of the stream.
 * ENOTCONN. */
ATTR_NONNULL(1)
extern int demi_pop(_Out_ demi_qtoken_t *qt_out, _In_ int qd);

/* ENOPROTOOPT: an option this libOS does not have. ENOTSUP: a level it does not have. */
ATTR_NONNULL(4)
extern int demi_setsockopt(_In_ int qd, _In_ int level, _In_ int optname, _In_reads_bytes_(optlen) const void *optval,
                           _In_ socklen_t optlen);

ATTR_NONNULL(4)
extern int demi_getsockopt(_In_ int qd, _In_ int level, _In_ int optname, _Out_ void *optval, _Out_ socklen_t *optlen);

/* EINVAL: *addrlen is too small for the address. ENOTCONN. */
ATTR_NONNULL(2)
extern int demi_getpeername(_In_ int qd, _Out_ struct sockaddr *addr, _Out_ socklen_t *addrlen);

/* As getpeername, for our end. Upstream exports the symbol and declares it nowhere. */
ATTR_NONNULL(2)
extern int demi_getsockname(_In_ int qd, _Out_ struct sockaddr *addr, _Out_ socklen_t *addrlen);

/* Pipes of Demikernel 1.1 to 1.5: a name, an end for whoever creates it and one for whoever opens it. Here both are of
 * one thread and lie in its memory (see demi_pipe() in demi/ext.h); between processes they will lie in shared memory.
 * create: EEXIST: the name is taken. open: ENOENT: nobody has created it; EBUSY: its other end has been opened. EINVAL:
 * NULL or an empty name; ENAMETOOLONG: longer than 255 bytes. The name is free again when the end that created it is
 * closed. */
ATTR_NONNULL(1, 2)
extern int demi_create_pipe(_Out_ int *memqd_out, _In_z_ const char *name);
ATTR_NONNULL(1, 2)
extern int demi_open_pipe(_Out_ int *memqd_out, _In_z_ const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#ifndef DEMI_LIBRARY
static inline int demi_init(int argc, char *const argv[]) { return demi_init_argv(argc, argv); }
#endif
#endif

#endif
