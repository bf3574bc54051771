/* SPDX-License-Identifier: MIT
 *
 * What a controller and a namespace say of themselves, read from the 4 KiB that they answer IDENTIFY with, and nothing
 * of it believed that cannot be. Pure.
 */
#ifndef NVME_IDENTIFY_H
#define NVME_IDENTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "libos/nvme/port.h"

struct nvme_facts {
    char serial[21], model[41], firmware[9]; /* printable, without blanks at the end */
    uint32_t transfer_max;                   /* MDTS in bytes; UINT32_MAX: no limit */
    uint32_t namespaces;                     /* NN */
    uint64_t shutdown_ns;                    /* RTD3E; 0: it does not say */
    uint32_t atomic_blocks;                  /* AWUPF or NAWUPF, as a count */
    bool volatile_cache, deallocate;         /* VWC, ONCS */
    uint64_t size;                           /* bytes of the namespace */
    uint32_t block;                          /* bytes */
    unsigned shift;                          /* of a block */
    uint32_t atomic_max;                     /* bytes, a power of two: struct blockdev_caps; 0: none */
};

/* Fills the controller's part. -ENOTSUP, -EINVAL, with why. */
int nvme_read_controller(const uint8_t *page, struct nvme_facts *f, char why[NVME_WHY_SIZE]);
/* Fills the namespace's, after that. -ENODEV: there is none; -EROFS: it is protected; -ENOTSUP; -EINVAL. */
int nvme_read_namespace(const uint8_t *page, struct nvme_facts *f, char why[NVME_WHY_SIZE]);

#endif
