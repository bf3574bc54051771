/* SPDX-License-Identifier: MIT
 *
 * What makes demikv-server one whose controller of NVMe is the double: build/double/demikv-server --aof-device
 * log:nvme:0000:01:00.0#aof has a namespace of 1 GiB in memory, with logs on it, which is gone with the process. It
 * shows what the way to a device costs, not a device: NVME_DOUBLE_NS is how long a write takes (10000), on a thread of
 * the double's own, which never sleeps.
 */
#include <stdlib.h>

#include "alloc/base/assert.h"
#include "libos/log/image.h"
#include "libos/log/store.h"
#include "tests/nvme/stand_in.h"

__attribute__((constructor)) static void make_controller(void)
{
    const char *ns = getenv("NVME_DOUBLE_NS");
    struct alog_plain p;
    struct alog_image im;
    char why[NVME_WHY_SIZE];
    stand_in_begin(&(struct double_shape){.size = (uint64_t)1 << 30, .shift = 12});
    ASSERT(!alog_plain_open_nvme(&p, STAND_IN, why));
    ASSERT(!alog_image_format(&im, &p.store, p.store.size, 4 << 20));
    alog_image_fini(&im);
    alog_plain_close_nvme(&p);
    double_thread_end(d);
    double_thread_begin(d, ns ? strtoull(ns, NULL, 10) : 10000);
}
