/* SPDX-License-Identifier: MIT
 *
 * The libOS of kernel sockets by io_uring (Demikernel's catcollar): TCP, UDP and Unix sockets, streams and datagrams,
 * IPv4 and IPv6. Linux 6.1 or later; where there is no ring to be had it says why, and does not start.
 */
#ifndef URING_URING_H
#define URING_URING_H

#include "libos/runtime/libos.h"

extern const struct libos_ops uring_libos;

#endif
