/* SPDX-License-Identifier: MIT
 *
 * Addresses for a device: which are taken, of those that its IOMMU lets it use. They are ours to choose; the program's
 * own addresses are too wide for some (39 bits: QEMU's VT-d). First fit in a sorted list.
 */
#ifndef NVME_IOVA_H
#define NVME_IOVA_H

#include <stdbool.h>
#include <stdint.h>

#define IOVA_RANGES_MAX 32
#define IOVA_TAKEN_MAX  4096 /* regions of 2 MiB and more, each once */

struct iova_range {
    uint64_t first, last; /* both included */
};

struct iova_space {
    struct iova_range usable[IOVA_RANGES_MAX]; /* sorted */
    unsigned usable_count;
    unsigned count;
    struct iova_range taken[IOVA_TAKEN_MAX]; /* sorted */
};

/* Everything below 2^39 but the first MiB and where x86 has its interrupt messages: where nobody says more. */
void iova_init(struct iova_space *s);
/* What the IOMMU says instead, in order; the first MiB is left out of it. false: it makes no sense, or is nothing. */
bool iova_limit(struct iova_space *s, const struct iova_range *ranges, unsigned n);
/* n bytes at a multiple of align, a power of two. -ENOSPC. */
int iova_take(struct iova_space *s, uint64_t n, uint64_t align, uint64_t *out);
void iova_give(struct iova_space *s, uint64_t first);

#endif
