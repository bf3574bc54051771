/* SPDX-License-Identifier: MIT
 *
 * The libOS of shared memory: stream sockets and named pipes between the processes of one host. README.md draws how.
 */
#ifndef SHM_SHM_H
#define SHM_SHM_H

#include "libos/runtime/libos.h"

extern const struct libos_ops shm_libos;

#endif
