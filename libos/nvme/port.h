/* SPDX-License-Identifier: MIT
 *
 * How a controller is reached: its registers, memory that it can reach, and its interrupt. vfio.c has it from Linux;
 * tests/nvme/double.c is a controller in this process's memory.
 */
#ifndef NVME_PORT_H
#define NVME_PORT_H

#include <stddef.h>
#include <stdint.h>

struct nvme_port;

struct nvme_port_ops {
    /* Whole pages that the controller may read and write from now on, at *iova. Any thread, one at a time. -errno. */
    int (*map)(struct nvme_port *p, void *base, size_t len, uint64_t *iova);
    void (*unmap)(struct nvme_port *p, void *base, size_t len, uint64_t iova);
    /* From its return on the controller touches no memory, whatever state it is in. */
    void (*cut)(struct nvme_port *p);
    /* The same, and everything is given back. What is mapped still is no more. */
    void (*close)(struct nvme_port *p);
    /* In a forked child: closes copies of descriptors, frees nothing. */
    void (*forget)(struct nvme_port *p);
};

struct nvme_port {
    const struct nvme_port_ops *ops;
    volatile uint8_t *bar; /* the registers */
    size_t bar_size;
    int event_fd; /* is written at each interrupt; -1: there is none */
};

#define NVME_WHY_SIZE 200

/* address: "0000:01:00.0". What is opened has been reset, and may do DMA. -ENODEV: no such device; -EINVAL: it is no
 * NVMe controller, or that is no address; -EBUSY: another driver or process has it; -EACCES; -ENOTSUP: no IOMMU. why:
 * the same in one line, with the way out. */
int nvme_port_open(const char *address, struct nvme_port **out, char why[NVME_WHY_SIZE]);

#endif
