/* SPDX-License-Identifier: MIT
 *
 * See port.h: a controller by Linux's VFIO, which gives a process a PCI device and an IOMMU that keeps it from all
 * memory but what is mapped. Documentation/driver-api/vfio.rst of Linux; the group interface, type 1.
 *
 *      container  /dev/vfio/vfio      the addresses of the device: MAP_DMA, UNMAP_DMA
 *      group      /dev/vfio/NUMBER    the devices that the IOMMU cannot tell apart; open once, else EBUSY
 *      device     by its address      registers (BAR 0), configuration space, interrupts, reset
 *
 * The device is reset before it is used: who had it last may have died with commands out. It may do DMA from the moment
 * that it is a bus master, which it is until cut().
 */
#include "libos/nvme/port.h"

#include "alloc/base/assert.h"
#include "libos/nvme/iova.h"
#include "libos/nvme/spec.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PCI_COMMAND    4 /* in configuration space */
#define PCI_MEMORY     2
#define PCI_BUS_MASTER 4
#define PCI_NO_INTX    0x400
#define INFO_SIZE      4096                /* room for what VFIO_IOMMU_GET_INFO says */
#define MAP_ALIGN      ((uint64_t)2 << 20) /* large pages stay large pages for the IOMMU */

struct vfio_port {
    struct nvme_port base;
    int container, group, device;
    uint64_t config; /* where configuration space lies in device */
    struct iova_space space;
};

__attribute__((format(printf, 3, 4))) static int cannot(char *why, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, NVME_WHY_SIZE, fmt, args);
    va_end(args);
    return -err;
}

/* --- what Linux knows of the device ------------------------------------------------------------------------------- */

static bool is_address(const char *a)
{
    static const char form[] = "xxxx:xx:xx.x";
    for (size_t i = 0; i < sizeof form; i++)
        if (form[i] == 'x' ? !isxdigit((unsigned char)a[i]) : a[i] != form[i]) return false;
    return true;
}

/* The last part of where a link of the device's folder points to. */
static bool read_name(const char *address, const char *link, char *out, size_t size)
{
    char path[96], to[PATH_MAX];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", address, link);
    ssize_t n = readlink(path, to, sizeof to - 1);
    if (n <= 0) return false;
    to[n] = 0;
    const char *slash = strrchr(to, '/');
    return (size_t)snprintf(out, size, "%s", slash ? slash + 1 : to) < size;
}

static bool read_class(const char *address, unsigned *out)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/class", address);
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool ok = fscanf(f, "%x", out) == 1;
    fclose(f);
    return ok;
}

/* A namespace that the kernel has may be mounted: it is never taken from it. */
static int look_at_device(const char *address, char *group, size_t size, char *why)
{
    unsigned class;
    char driver[64];
    if (!is_address(address))
        return cannot(why, EINVAL, "\"%.40s\" is not an address of PCI, as 0000:01:00.0", address);
    if (!read_class(address, &class)) return cannot(why, ENODEV, "there is no such device of PCI (lspci -D)");
    if (class >> 8 != 0x0108) return cannot(why, EINVAL, "it is no NVMe controller (class 0x%06x)", class);
    if (!read_name(address, "driver", driver, sizeof driver)) snprintf(driver, sizeof driver, "none");
    if (strcmp(driver, "vfio-pci"))
        return cannot(why, EBUSY, "its driver is %s: dpdk-devbind.py --bind=vfio-pci %s, if nothing of it is mounted",
                      driver, address);
    if (!read_name(address, "iommu_group", group, size))
        return cannot(why, ENOTSUP, "no IOMMU guards it: boot with intel_iommu=on or amd_iommu=on");
    return 0;
}

/* --- container and group ------------------------------------------------------------------------------------------ */

static int open_container(struct vfio_port *p, char *why)
{
    p->container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    if (p->container < 0) return cannot(why, errno, "/dev/vfio/vfio: %s (modprobe vfio-pci)", strerror(errno));
    if (ioctl(p->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
        return cannot(why, ENOTSUP, "this kernel's VFIO is of another version");
    if (ioctl(p->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0)
        return cannot(why, ENOTSUP, "this kernel's VFIO has no IOMMU of type 1, version 2");
    return 0;
}

static int open_group(struct vfio_port *p, const char *group, char *why)
{
    char path[32];
    struct vfio_group_status status = {.argsz = sizeof status};
    snprintf(path, sizeof path, "/dev/vfio/%.16s", group);
    p->group = open(path, O_RDWR | O_CLOEXEC);
    if (p->group < 0 && errno == EBUSY)
        return cannot(why, EBUSY, "it, or another device of its IOMMU group, is in use");
    if (p->group < 0) return cannot(why, errno, "%s: %s", path, strerror(errno));
    if (ioctl(p->group, VFIO_GROUP_GET_STATUS, &status)) return cannot(why, errno, "%s: %s", path, strerror(errno));
    if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
        return cannot(why, EBUSY, "other devices of its IOMMU group %s have drivers of the kernel's", group);
    if (ioctl(p->group, VFIO_GROUP_SET_CONTAINER, &p->container) ||
        ioctl(p->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
        return cannot(why, errno, "its IOMMU group %s cannot be used: %s", group, strerror(errno));
    return 0;
}

/* Which addresses it may use, where the kernel tells. A chain of capabilities, by offsets that are not believed. */
static void read_ranges(struct vfio_port *p)
{
    uint64_t room[INFO_SIZE / 8];
    struct vfio_iommu_type1_info *info = memset(room, 0, sizeof room);
    struct iova_range found[IOVA_RANGES_MAX];
    unsigned n = 0;
    iova_init(&p->space);
    info->argsz = sizeof room;
    if (ioctl(p->container, VFIO_IOMMU_GET_INFO, info) || info->argsz > sizeof room ||
        !(info->flags & VFIO_IOMMU_INFO_CAPS))
        return;
    uint32_t at = info->cap_offset;
    for (unsigned hops = 0; at && hops < 16 && at % 8 == 0 && at <= sizeof room - sizeof(struct vfio_info_cap_header);
         hops++) {
        const struct vfio_info_cap_header *h = (void *)((char *)room + at);
        const struct vfio_iommu_type1_info_cap_iova_range *r = (const void *)h;
        if (h->id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE && at <= sizeof room - sizeof *r) {
            size_t fit = (sizeof room - at - sizeof *r) / sizeof *r->iova_ranges;
            for (; n < r->nr_iovas && n < fit && n < IOVA_RANGES_MAX; n++)
                found[n] = (struct iova_range){r->iova_ranges[n].start, r->iova_ranges[n].end};
        }
        at = h->next;
    }
    if (n && !iova_limit(&p->space, found, n)) iova_init(&p->space);
}

/* --- the device --------------------------------------------------------------------------------------------------- */

static int read_region(struct vfio_port *p, uint32_t index, struct vfio_region_info *out)
{
    *out = (struct vfio_region_info){.argsz = sizeof *out, .index = index};
    return ioctl(p->device, VFIO_DEVICE_GET_REGION_INFO, out) ? -errno : 0;
}

/* Sets and clears bits of the command register. */
static int set_command(struct vfio_port *p, uint16_t set, uint16_t clear)
{
    uint16_t word;
    off_t at = (off_t)(p->config + PCI_COMMAND);
    if (pread(p->device, &word, sizeof word, at) != sizeof word) return -EIO;
    word = (uint16_t)((word | set) & ~clear);
    return pwrite(p->device, &word, sizeof word, at) == sizeof word ? 0 : -EIO;
}

static int map_registers(struct vfio_port *p, char *why)
{
    struct vfio_region_info bar;
    int err = read_region(p, VFIO_PCI_BAR0_REGION_INDEX, &bar);
    if (err || bar.size < NVME_DOORBELLS || !(bar.flags & VFIO_REGION_INFO_FLAG_MMAP))
        return cannot(why, ENOTSUP, "its registers (BAR 0) cannot be mapped");
    void *at = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, p->device, (off_t)bar.offset);
    if (at == MAP_FAILED) return cannot(why, errno, "its registers cannot be mapped: %s", strerror(errno));
    madvise(at, bar.size, MADV_DONTFORK);
    p->base.bar = at;
    p->base.bar_size = bar.size;
    return 0;
}

/* MSI-X, or MSI: one vector, which all queues share. Without either it is polled. */
static void open_interrupt(struct vfio_port *p)
{
    static const uint32_t kinds[] = {VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX};
    uint64_t room[(sizeof(struct vfio_irq_set) + sizeof(int32_t) + 7) / 8];
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (unsigned i = 0; fd >= 0 && i < 2; i++) {
        struct vfio_irq_info info = {.argsz = sizeof info, .index = kinds[i]};
        if (ioctl(p->device, VFIO_DEVICE_GET_IRQ_INFO, &info) || !info.count || !(info.flags & VFIO_IRQ_INFO_EVENTFD))
            continue;
        struct vfio_irq_set *set = (void *)room;
        *set = (struct vfio_irq_set){.argsz = sizeof *set + sizeof(int32_t),
                                     .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
                                     .index = kinds[i],
                                     .count = 1};
        int32_t to = fd;
        memcpy(set->data, &to, sizeof to);
        if (ioctl(p->device, VFIO_DEVICE_SET_IRQS, set)) continue;
        p->base.event_fd = fd;
        return;
    }
    if (fd >= 0) close(fd);
}

static int open_device(struct vfio_port *p, const char *address, char *why)
{
    struct vfio_region_info config;
    p->device = ioctl(p->group, VFIO_GROUP_GET_DEVICE_FD, address);
    if (p->device < 0) return cannot(why, errno, "it cannot be opened: %s", strerror(errno));
    fcntl(p->device, F_SETFD, FD_CLOEXEC);
    if (ioctl(p->device, VFIO_DEVICE_RESET) && errno != ENOTTY && errno != EINVAL)
        return cannot(why, errno, "it cannot be reset: %s", strerror(errno));
    int err = read_region(p, VFIO_PCI_CONFIG_REGION_INDEX, &config);
    if (err) return cannot(why, -err, "its configuration cannot be read: %s", strerror(-err));
    p->config = config.offset;
    err = map_registers(p, why);
    if (err) return err;
    if (set_command(p, PCI_MEMORY | PCI_BUS_MASTER | PCI_NO_INTX, 0))
        return cannot(why, EIO, "its configuration cannot be written");
    open_interrupt(p);
    return 0;
}

/* --- the port ----------------------------------------------------------------------------------------------------- */

static int vfio_map(struct nvme_port *base, void *at, size_t len, uint64_t *iova)
{
    struct vfio_port *p = (struct vfio_port *)base;
    if (((uintptr_t)at | len) & (NVME_PAGE - 1) || !len) return -EINVAL;
    int err = iova_take(&p->space, len, len >= MAP_ALIGN ? MAP_ALIGN : NVME_PAGE, iova);
    if (err) return err;
    struct vfio_iommu_type1_dma_map map = {.argsz = sizeof map,
                                           .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                                           .vaddr = (uintptr_t)at,
                                           .iova = *iova,
                                           .size = len};
    if (!ioctl(p->container, VFIO_IOMMU_MAP_DMA, &map)) return 0;
    err = -errno;
    iova_give(&p->space, *iova);
    return err;
}

static void vfio_unmap(struct nvme_port *base, void *at, size_t len, uint64_t iova)
{
    struct vfio_port *p = (struct vfio_port *)base;
    struct vfio_iommu_type1_dma_unmap unmap = {.argsz = sizeof unmap, .iova = iova, .size = len};
    /* Where that failed the addresses stay taken, and mapped. */
    if (!ioctl(p->container, VFIO_IOMMU_UNMAP_DMA, &unmap)) iova_give(&p->space, iova);
}

static void vfio_cut(struct nvme_port *base) { set_command((struct vfio_port *)base, 0, PCI_BUS_MASTER); }

static void close_fd(int fd)
{
    if (fd >= 0) close(fd);
}

static void vfio_forget(struct nvme_port *base)
{
    struct vfio_port *p = (struct vfio_port *)base;
    close_fd(p->base.event_fd);
    close_fd(p->device);
    close_fd(p->group);
    close_fd(p->container);
}

static void vfio_close(struct nvme_port *base)
{
    struct vfio_port *p = (struct vfio_port *)base;
    if (p->base.bar) munmap((void *)(uintptr_t)p->base.bar, p->base.bar_size);
    vfio_forget(base);
    free(p);
}

static const struct nvme_port_ops vfio_ops = {
    .map = vfio_map, .unmap = vfio_unmap, .cut = vfio_cut, .close = vfio_close, .forget = vfio_forget};

int nvme_port_open(const char *address, struct nvme_port **out, char why[NVME_WHY_SIZE])
{
    char group[32];
    int err = look_at_device(address, group, sizeof group, why);
    if (err) return err;
    struct vfio_port *p = calloc(1, sizeof *p);
    if (!p) return -ENOMEM;
    p->base = (struct nvme_port){.ops = &vfio_ops, .event_fd = -1};
    p->container = p->group = p->device = -1;
    err = open_container(p, why);
    if (!err) err = open_group(p, group, why);
    if (!err) read_ranges(p);
    if (!err) err = open_device(p, address, why);
    if (err) vfio_close(&p->base);
    else *out = &p->base;
    return err;
}
