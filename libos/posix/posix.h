/* SPDX-License-Identifier: MIT
 *
 * The libOS on kernel sockets (Demikernel's catnap): TCP, UDP and Unix sockets, streams and
 * datagrams, IPv4 and IPv6. The default; needs nothing.
 */
#ifndef POSIX_POSIX_H
#define POSIX_POSIX_H

#include "libos/runtime/libos.h"

extern const struct libos_ops posix_libos;

#endif
