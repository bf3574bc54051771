/* SPDX-License-Identifier: MIT
 *
 * DPDK as a network device: any port of the EAL, virtual or physical, one queue pair a thread. This file opens and
 * closes; frames move in rx.c and tx.c, the process-wide parts are eal.c, port.c and pool.c.
 *
 * What drivers are told apart by (traits): whether they can read memory that is not the EAL's. A driver that copies
 * with the CPU can read all there is; a device with DMA can once the memory is registered; virtio-user and zero-copy
 * memif show their peer the EAL's memory only; net_ring hands the mbuf itself to the other port, whose thread may not
 * let go of our bufs.
 *
 * Left out: VLAN offloads, LRO, flow rules (the kernel shares no DPDK port), primary and secondary processes.
 */
#include "libos/dpdk/dpdk.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include "libos/plugin.h"

const struct netdev_host *dpdk_host;
pthread_mutex_t dpdk_control = PTHREAD_MUTEX_INITIALIZER;

/* --- traits of drivers --- */

/* READS_A_PAGE: QEMU's models of these cards (7.2) map each piece of a frame for themselves, and send nothing of one
 * that an IOMMU scatters: no piece may lie in two pages. The cards would not mind, and lose little by it. */
enum { READS_ANYTHING = 1, TSO_CLONES = 2, SHARES_INTERFACE = 4, MAC_OF_KERNEL = 8, READS_A_PAGE = 16 };

static unsigned traits_of(const struct rte_eth_dev_info *info)
{
    static const struct {
        const char *driver;
        unsigned traits;
    } known[] = {
        {"net_memif", READS_ANYTHING},
        {"net_tap", READS_ANYTHING | TSO_CLONES | MAC_OF_KERNEL},
        {"net_af_packet", READS_ANYTHING | SHARES_INTERFACE},
        {"net_af_xdp", READS_ANYTHING | SHARES_INTERFACE},
        {"net_pcap", READS_ANYTHING | SHARES_INTERFACE},
        {"net_vhost", READS_ANYTHING},
        {"net_null", READS_ANYTHING},
        {"net_e1000_em", READS_A_PAGE},
        {"net_e1000_igb", READS_A_PAGE},
        {"net_vmxnet3", READS_A_PAGE},
    };
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        if (info->driver_name && !strcmp(info->driver_name, known[i].driver)) return known[i].traits;
    return 0;
}

static bool wants_dma(const struct rte_eth_dev_info *info)
{
    const struct rte_bus *bus = info->device ? rte_dev_bus(info->device) : NULL;
    return bus && !strcmp(rte_bus_name(bus), "pci") && rte_eal_iova_mode() == RTE_IOVA_VA;
}

static bool memif_is_zero_copy(const struct rte_eth_dev_info *info)
{
    const struct rte_devargs *args = info->device ? rte_dev_devargs(info->device) : NULL;
    return args && args->args && strstr(args->args, "zero-copy=yes");
}

/* --- regions of a device with DMA --- */

/* Bits of an address the IOMMU before the device translates; 64 where nothing says so. Intel's may have 39 (VT-d
 * 3.4, CAP_REG.MGAW), which is less than an address of ours has. */
static unsigned iommu_bits(const struct rte_device *device)
{
    char path[128];
    unsigned long long cap = 0;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.32s/iommu/intel-iommu/cap", rte_dev_name(device));
    FILE *f = fopen(path, "re");
    if (!f) return 64;
    if (fscanf(f, "%llx", &cap) != 1) cap = 0;
    fclose(f);
    return cap ? (unsigned)(cap >> 16 & 0x3f) + 1 : 64;
}

/* One for each device behind an IOMMU, whatever the number of its queues and of the threads that drive them. */
static struct dpdk_dma {
    struct rte_device *device; /* NULL: free */
    uint64_t iova_mask;
    bool refused; /* a region was; no more are tried */
} dmas[RTE_MAX_ETHPORTS];
static pthread_mutex_t dmas_lock = PTHREAD_MUTEX_INITIALIZER;

/* NULL: there are too many. */
static struct dpdk_dma *dma_of(struct rte_device *device)
{
    struct dpdk_dma *dma = dmas;
    pthread_mutex_lock(&dmas_lock);
    while (dma < dmas + RTE_DIM(dmas) && dma->device && dma->device != device) dma++;
    if (dma == dmas + RTE_DIM(dmas)) dma = NULL;
    else if (!dma->device) {
        unsigned bits = iommu_bits(device);
        *dma = (struct dpdk_dma){device, bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1, false};
    }
    pthread_mutex_unlock(&dmas_lock);
    return dma;
}

/* What the device is to say for p: the lower bits of its address. The EAL's own memory lies low and is mapped as it
 * is. */
static rte_iova_t iova_of(const struct dpdk_dma *d, const void *p) { return (rte_iova_t)(uintptr_t)p & d->iova_mask; }

/* After a refusal (no rights, too much locked memory) the device is not asked again, since the EAL prints each. */
static int region_map(void *dev, void *base, size_t len, void **cookie)
{
    struct dpdk_dma *d = dev;
    const struct region *r = dpdk_host->region_find(base);
    size_t page = r && r->huge_pages ? REGION_CHUNK : 4096;
    if (d->refused || iova_of(d, base) + len - 1 != iova_of(d, (char *)base + len - 1)) return -ENOMEM;
    if (rte_extmem_register(base, len, NULL, (unsigned)(len / page), page) && rte_errno != EEXIST) {
        d->refused = true;
        return -rte_errno;
    }
    if (rte_dev_dma_map(d->device, base, iova_of(d, base), len)) {
        int err = -rte_errno;
        rte_extmem_unregister(base, len);
        d->refused = true;
        return err < 0 ? err : -ENOMEM;
    }
    *cookie = base;
    return 0;
}

static void region_unmap(void *dev, void *base, size_t len, void *cookie)
{
    struct dpdk_dma *d = dev;
    rte_dev_dma_unmap(d->device, base, iova_of(d, base), len);
    rte_extmem_unregister(base, len);
}

static const struct region_registrar registrar = {region_map, region_unmap, true};

/* --- waiting --- */

static void interrupts_open(struct dpdk_dev *d, const struct dpdk_port *port)
{
    d->wait_fd = d->queue_fd = -1;
    if (!port->interrupts) return;
    int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(d->port, d->queue);
    if (fd < 0 || rte_eth_dev_rx_intr_enable(d->port, d->queue)) return;
    rte_eth_dev_rx_intr_disable(d->port, d->queue);
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN};
    if (epfd < 0) return;
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev)) {
        close(epfd);
        return;
    }
    char path[64], name[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, name, sizeof name - 1);
    d->queue_fd_counts = n > 0 && strstr(name, "[eventfd]");
    d->queue_fd = fd;
    d->wait_fd = epfd;
}

bool dev_disarm(struct dpdk_dev *d)
{
    uint64_t count;
    struct epoll_event ev;
    d->armed = false;
    rte_eth_dev_rx_intr_disable(d->port, d->queue);
    if (epoll_wait(d->wait_fd, &ev, 1, 0) != 1) return false;
    /* Readable: the read does not block. */
    return !d->queue_fd_counts || read(d->queue_fd, &count, sizeof count) > 0;
}

static int dev_fd(struct netdev *n) { return ((struct dpdk_dev *)n)->wait_fd; }

static int dev_arm(struct netdev *n)
{
    struct dpdk_dev *d = (struct dpdk_dev *)n;
    if (d->wait_fd < 0 || d->deaf) return -EOPNOTSUPP;
    if (!d->armed && rte_eth_dev_rx_intr_enable(d->port, d->queue)) return -EOPNOTSUPP;
    d->armed = true;
    if (rte_eth_rx_queue_count(d->port, d->queue) <= 0) return 0;
    dev_disarm(d);
    return -EAGAIN;
}

/* --- life --- */

static uint32_t offloads_of(const struct dpdk_port *port)
{
    uint32_t out = 0;
    if (port->rx_offloads & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM) out |= OFFLOAD_RX_IP_CSUM;
    if (port->rx_offloads & RTE_ETH_RX_OFFLOAD_TCP_CKSUM && port->rx_offloads & RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
        out |= OFFLOAD_RX_L4_CSUM;
    if (port->tx_offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) out |= OFFLOAD_TX_IP_CSUM;
    if (port->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM && port->tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
        out |= OFFLOAD_TX_L4_CSUM;
    if (port->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO) out |= OFFLOAD_TX_TSO;
    return out;
}

static void fill_caps(struct dpdk_dev *d, const struct dpdk_config *c, const struct dpdk_port *port)
{
    struct netdev_caps *caps = &d->dev.caps;
    struct rte_ether_addr mac;
    unsigned traits = traits_of(&port->info);
    if (!rte_eth_macaddr_get(d->port, &mac)) memcpy(caps->mac, mac.addr_bytes, ETH_ALEN);
    /* A tap's other end is the kernel, and has the port's address: two hosts need two, or IPv6 finds a duplicate of
     * its own. */
    if (traits & MAC_OF_KERNEL) {
        caps->mac[0] = (uint8_t)((caps->mac[0] | 2) & ~1);
        caps->mac[5] ^= 1;
    }
    if (c->has_mac) memcpy(caps->mac, c->mac.addr_bytes, ETH_ALEN);
    caps->mtu = port->mtu < 68 ? 1500 : port->mtu;
    caps->offloads = offloads_of(port);
    d->multi_seg = port->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    uint16_t most = port->info.tx_desc_lim.nb_seg_max;
    d->mbufs_max = d->multi_seg ? (most ? RTE_MIN(most, (uint16_t)DPDK_FRAME_MBUFS) : DPDK_FRAME_MBUFS) : 1;
    d->mbufs_max = RTE_MIN(d->mbufs_max, (uint16_t)(port->tx_ring / 2));
    /* Of a frame that is not cut by the device some take fewer. */
    uint16_t whole = port->info.tx_desc_lim.nb_mtu_seg_max;
    d->mbufs_whole = whole ? RTE_MIN(whole, d->mbufs_max) : d->mbufs_max;
    caps->segs_max = RTE_MIN(d->mbufs_max, (uint16_t)NETDEV_SEGS_MAX);
    /* The whole frame's length is 16 bits in some drivers; what is copied must fit the pieces of a frame. */
    uint32_t copied =
        (uint32_t)(d->mbufs_max - 1) * (uint32_t)(rte_pktmbuf_data_room_size(d->tx_pool) - RTE_PKTMBUF_HEADROOM);
    caps->tso_max = caps->offloads & OFFLOAD_TX_TSO ? RTE_MIN(65535u - 256, copied) : 0;
    caps->queue = d->queue;
    caps->queue_count = port->queue_count;
    caps->own_mac = !(traits & SHARES_INTERFACE) || c->has_mac;
}

static void choose_copying(struct dpdk_dev *d, const struct netdev_env *env, const struct dpdk_config *c,
                           const struct dpdk_port *port)
{
    unsigned traits = traits_of(&port->info);
    d->iova_mask = UINT64_MAX;
    d->attach = traits & READS_ANYTHING && !memif_is_zero_copy(&port->info) && c->attach != CHOICE_NO;
    d->attach_tso = !(traits & TSO_CLONES);
    d->piece_page = traits & READS_A_PAGE ? 4096 : 0;
    d->memory = -1;
    if (c->attach == CHOICE_NO || !wants_dma(&port->info)) return;
    /* A device behind an IOMMU sees what is mapped for it; the rest is copied. */
    struct dpdk_dma *dma = dma_of(port->info.device);
    if (dma) d->memory = dpdk_host->registry_add_device(&registrar, dma);
    if (d->memory < 0) return;
    d->iova_mask = dma->iova_mask;
    d->attach = d->needs_map = true;
}

static void dev_close(struct netdev *n)
{
    struct dpdk_dev *d = (struct dpdk_dev *)n;
    struct quiet_pipe quiet;
    tx_finish(d);
    if (d->wait_fd >= 0) close(d->wait_fd);
    pthread_mutex_lock(&dpdk_control);
    eal_pipe_enter(&quiet);
    d->home->pairs[d->queue].dev = NULL;
    port_give_pair(d->home, d->queue); /* may give back what is lent */
    eal_pipe_leave(&quiet);
    pthread_mutex_unlock(&dpdk_control);
    tx_drain_strays(d);
    if (d->memory >= 0) dpdk_host->registry_remove_device(d->memory);
    d->memory = -1;
    eal_thread_leave();
    d->closed = true;
    dev_settle(d);
}

void dpdk_unhold(struct dpdk_dev *d)
{
    pthread_mutex_destroy(&d->strays_lock);
    free(d->strays);
    free(d);
}

static const struct netdev_ops ops = {
    .name = "dpdk",
    .recv = rx_recv,
    .send = tx_send,
    .fd = dev_fd,
    .arm = dev_arm,
    .close = dev_close,
    .look = life_look,
    .news_fd = life_news_fd,
};

static int take_pair(const struct netdev_env *env, const struct dpdk_config *c, struct dpdk_dev *d, bool *first)
{
    struct quiet_pipe quiet;
    pthread_mutex_lock(&dpdk_control);
    eal_pipe_enter(&quiet);
    int err = eal_start(env, c);
    if (!err) err = port_take_pair(env, c, &d->home, &d->queue);
    if (!err) {
        *first = d->home->users == 1;
        eal_thread_enter();
    }
    eal_pipe_leave(&quiet);
    pthread_mutex_unlock(&dpdk_control);
    return err;
}

/* What a former user of the pair, or nobody, has left in its ring. */
static void discard_old(struct dpdk_dev *d)
{
    struct rte_mbuf *m[NETDEV_BURST];
    for (int turn = 0; turn < 64; turn++) {
        unsigned n = rte_eth_rx_burst(d->port, d->queue, m, NETDEV_BURST);
        if (!n) break;
        rte_pktmbuf_free_bulk(m, n);
    }
}

static void say_what(struct dpdk_dev *d, const struct dpdk_port *port)
{
    const char *device = port->info.device ? rte_dev_name(port->info.device) : "port";
    snprintf(d->dev.what, sizeof d->dev.what, "%.40s by DPDK's %.28s", port->interface[0] ? port->interface : device,
             port->info.driver_name ? port->info.driver_name : "driver");
    d->dev.link = NETDEV_UP;
    d->dev.asked = true;
    if (traits_of(&port->info) & SHARES_INTERFACE) d->dev.ifindex = if_nametoindex(port->interface);
}

static int dpdk_open(const struct netdev_env *env, struct netdev **out)
{
    struct dpdk_config *c = malloc(sizeof *c);
    struct dpdk_dev *d = calloc(1, sizeof *d);
    int err = c && d ? dpdk_config_read(env, c) : plugin_refuse(env, ENOMEM, "out of memory");
    bool first = false;
    if (!err) err = take_pair(env, c, d, &first);
    if (err) goto free_both;
    struct dpdk_port *port = d->home;
    d->dev.ops = &ops;
    d->port = port->id;
    d->owner = pthread_self();
    d->rx_pool = port->pairs[d->queue].rx_pool;
    d->tx_pool = port->pairs[d->queue].tx_pool;
    d->held_max = port->mbufs - port->rx_ring - port->mbufs / 8;
    d->prepares = port->tx_offloads & ~(uint64_t)RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    pthread_mutex_init(&d->strays_lock, NULL);
    fill_caps(d, c, port);
    d->frame_max = (uint32_t)d->dev.caps.mtu + DPDK_WIRE_EXTRA;
    choose_copying(d, env, c, port);
    interrupts_open(d, port);
    if (!first) discard_old(d);
    say_what(d, port);
    pthread_mutex_lock(&dpdk_control);
    port->pairs[d->queue].dev = d;
    pthread_mutex_unlock(&dpdk_control);
    free(c);
    *out = &d->dev;
    return 0;
free_both:
    free(c);
    free(d);
    return err;
}

static const struct netdev_plugin plugin = {.abi = NETDEV_ABI, .name = "dpdk", .open = dpdk_open};

PLUGIN_EXPORT const struct netdev_plugin *demi_netdev_plugin(const struct netdev_host *host);

const struct netdev_plugin *demi_netdev_plugin(const struct netdev_host *host)
{
    dpdk_host = host;
    return &plugin;
}
