/* SPDX-License-Identifier: MIT
 *
 * Memory that the device may read and write: regions of every heap, registered once for local use, and what is lent to
 * peers. The cookie of either is its memory region.
 *
 * Regions are never lent: a key of verbs is guessable, and good for every queue pair of its protection domain. What
 * peers may write into are pages of the library's that hold nothing else.
 */
#include "libos/verbs/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

static int region_map(void *dev, void *base, size_t len, void **cookie)
{
    struct verbs_dev *d = dev;
    struct ibv_mr *mr = ibv_reg_mr(d->pd, base, len, IBV_ACCESS_LOCAL_WRITE);
    if (!mr) {
        const int err = errno ? errno : ENOMEM;
        if (!atomic_fetch_add(&d->map_refused, 1)) d->map_err = err;
        return -err;
    }
    *cookie = mr;
    return 0;
}

static void region_unmap(void *dev, void *base, size_t len, void *cookie) { ibv_dereg_mr(cookie); }

const struct region_registrar verbs_registrar = {.map = region_map, .unmap = region_unmap, .pins_pages = true};

int verbs_lend(struct msgdev *n, void *base, size_t len, struct msgdev_lent *out)
{
    struct ibv_mr *mr = ibv_reg_mr(verbs_of(n)->pd, base, len, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    if (!mr) return errno ? -errno : -ENOMEM;
    *out = (struct msgdev_lent){.cookie = mr, .key = mr->rkey};
    return 0;
}

void verbs_take_back(struct msgdev *n, struct msgdev_lent *lent)
{
    if (lent->cookie) ibv_dereg_mr(lent->cookie);
    *lent = (struct msgdev_lent){0};
}

void verbs_memlock_remedy(char *out, size_t size)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    if (limit.rlim_cur == RLIM_INFINITY) snprintf(out, size, "the device has no memory for it");
    else
        snprintf(out, size, "only %llu KiB may be locked: ulimit -l unlimited (systemd: LimitMEMLOCK=infinity)",
                 (unsigned long long)limit.rlim_cur >> 10);
}
