/* SPDX-License-Identifier: MIT
 *
 * The double where nvme_port_open() would open a controller by VFIO (the linker's --wrap): at STAND_IN, run by a thread
 * of its own, and opened once, as the kernel's group is. Included by one file of a program.
 */
#ifndef TESTS_NVME_STAND_IN_H
#define TESTS_NVME_STAND_IN_H

#include <errno.h>
#include <string.h>

#include "tests/nvme/double.h"

#define STAND_IN "0000:01:00.0"

int __wrap_nvme_port_open(const char *address, struct nvme_port **out, char why[NVME_WHY_SIZE]);
int __real_nvme_port_open(const char *address, struct nvme_port **out, char why[NVME_WHY_SIZE]);

static struct nvme_double *d; /* NULL: a real one is wanted */
static bool in_use;
static const struct nvme_port_ops *inner;
static struct nvme_port_ops outer;

static void stand_in_close(struct nvme_port *p)
{
    in_use = false;
    inner->close(p);
}

int __wrap_nvme_port_open(const char *address, struct nvme_port **out, char why[NVME_WHY_SIZE])
{
    if (!d) return __real_nvme_port_open(address, out, why);
    strcpy(why, "the double has it that way");
    if (strcmp(address, STAND_IN) != 0) return -ENODEV;
    if (in_use) return -EBUSY;
    in_use = true;
    *out = double_port(d);
    return 0;
}

static inline void stand_in_begin(const struct double_shape *shape)
{
    d = double_new(shape);
    inner = double_port(d)->ops;
    outer = *inner;
    outer.close = stand_in_close;
    double_port(d)->ops = &outer;
    in_use = false;
    double_thread_begin(d, 0);
}

#endif
