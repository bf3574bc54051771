/* SPDX-License-Identifier: MIT
 *
 * See which.h.
 */
#include "demi/which.h"

#include "libos/inet/inet.h"
#include "libos/packet/packet.h"
#include "libos/posix/posix.h"
#include "libos/rdma/rdma.h"
#include "libos/runtime/names.h"
#include "libos/shm/shm.h"
#include "libos/uring/uring.h"

#include <string.h>

static const struct libos_ops *const builtin[] = {&posix_libos, &packet_libos, &xdp_libos,  &dpdk_libos,     &shm_libos,
                                                  &uring_libos, &rdma_libos,   &loop_libos, &rdma_loop_libos};

const struct libos_ops *libos_at(unsigned i) { return i < sizeof builtin / sizeof builtin[0] ? builtin[i] : NULL; }

const struct libos_ops *libos_find(const char *name)
{
    name = libos_canonical_name(name);
    for (unsigned i = 0; name && libos_at(i); i++)
        if (!strcmp(builtin[i]->name, name)) return builtin[i];
    return NULL;
}
