/* SPDX-License-Identifier: MIT
 *
 * The libOS of NVMe: a thread's controllers, each as a device of blocks. It makes no queues of its own: libos/log opens
 * what it keeps its logs on.
 *
 * A controller has one user. Another process or thread that asks for it gets EBUSY (the kernel's group, and a name in
 * between), DPDK is kept from it.
 */
#ifndef NVME_DEVICES_H
#define NVME_DEVICES_H

#include "libos/blockdev.h"
#include "libos/nvme/port.h"
#include "libos/runtime/libos.h"

#define NVME_SCHEME       "nvme:"
#define NVME_ADDRESS_SIZE 16

extern const struct libos_ops nvme_libos_ops;

struct nvme_device;

/* "0000:01:00.0/2": an address and the number of a namespace, which is 1 where none is named. -EINVAL with why. */
int nvme_split_where(const char *where, char address[NVME_ADDRESS_SIZE], uint32_t *nsid, char *why);
/* where: "0000:01:00.0", or "0000:01:00.0/2" for another namespace than the first. Refused at once: -errno with why.
 * Else op ends when the device can be used, or with an error and why; *out has to be closed in either case, and why to
 * be there until op has ended. */
int nvme_open(struct libos *l, const char *where, struct op *op, struct nvme_device **out, char *why);
/* Until nvme_close(). Its caps are true when op has ended. */
struct blockdev *nvme_blockdev(const struct nvme_device *d);
/* Nothing is out. op ends when the controller is shut down and nothing of it is open any more; with an error where it
 * had died. */
void nvme_close(struct nvme_device *d, struct op *op);

#endif
