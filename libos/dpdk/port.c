/* SPDX-License-Identifier: MIT
 *
 * Ports and their queue pairs. A port is configured with all its pairs by the first thread that opens it, and started
 * then; each thread takes one pair. The last to leave stops the port. It stays configured-for-nothing until somebody
 * opens it again: closing it would remove a virtual device for good (rte_eth_dev_close), so that is left to the end of
 * the process.
 *
 *     open      open      close       close            open
 *     pair 0    pair 1    pair 0      pair 1           pair 0
 *     |-- configured, started --------------| stopped  |-- configured, started
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>

#include "libos/plugin.h"
#include "libos/dpdk/dpdk.h"

#define PORTS_MAX 16
static_assert(PORTS_MAX <= REGISTRY_DEVICES_MAX, "each port may want to know of all memory");
#define ROOM_LEAST  (RTE_MBUF_DEFAULT_BUF_SIZE) /* 2,048 and headroom */
#define RSS_FIELDS  (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)
#define RX_WANTED   (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define TX_CHECKSUM (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)

static struct dpdk_port ports[PORTS_MAX];

/* --- which port --- */

static int by_name(const struct netdev_env *env, const char *name, uint16_t *id)
{
    char *end = NULL;
    unsigned long n = strtoul(name, &end, 10);
    if (end != name && !*end) {
        if (n >= RTE_MAX_ETHPORTS || !rte_eth_dev_is_valid_port((uint16_t)n))
            return plugin_refuse(env, ENODEV, "DPDK has no port %lu; it has %u. %.120s", n, rte_eth_dev_count_avail(),
                                 eal_complaint());
        *id = (uint16_t)n;
        return 0;
    }
    if (!rte_eth_dev_get_port_by_name(name, id)) return 0;
    return plugin_refuse(env, ENODEV, "DPDK has no port %.40s. %.160s", name, eal_complaint());
}

static int choose(const struct netdev_env *env, const struct dpdk_config *c, uint16_t *id)
{
    char first[RTE_ETH_NAME_MAX_LEN];
    if (c->port) return by_name(env, c->port, id);
    if (eal_first_device(c, first, sizeof first)) {
        if (!rte_eth_dev_get_port_by_name(first, id)) return 0;
        return plugin_refuse(env, ENODEV, "DPDK did not make %.40s: %.120s%s", first, eal_complaint(),
                             geteuid() ? " (not root: sudo, or setcap cap_net_raw,cap_net_admin+ep)" : "");
    }
    *id = (uint16_t)rte_eth_find_next(0);
    if (*id < RTE_MAX_ETHPORTS) return 0;
    return plugin_refuse(env, ENODEV,
                         "DPDK has no port: bind a NIC (dpdk-devbind.py -b vfio-pci 0000:01:00.0), or name a virtual "
                         "device, eal = --vdev "
                         "net_tap0. %.90s",
                         eal_complaint());
}

/* --- configuring --- */

static uint64_t rx_offloads(const struct rte_eth_dev_info *info, const struct dpdk_config *c)
{
    uint64_t on = c->checksum == CHOICE_NO ? 0 : info->rx_offload_capa & RX_WANTED;
    /* So that a frame longer than an mbuf's room comes as a chain and not at all not. */
    return on | (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER);
}

static uint64_t tx_offloads(const struct rte_eth_dev_info *info, const struct dpdk_config *c)
{
    uint64_t want = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    if (c->checksum != CHOICE_NO) want |= TX_CHECKSUM;
    if (c->checksum != CHOICE_NO && c->tso != CHOICE_NO) want |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
    uint64_t on = info->tx_offload_capa & want;
    /* A device that segments must be able to fill in the pieces' sums, and take pieces. */
    /* net_tap segments in software, packet by packet, and gets stuck at what it has no room for: that is no gain
     * over the stack's own cutting. */
    /* its sums are software, too, and wrong behind a piece of odd length */
    if (!strcmp(info->driver_name, "net_tap")) {
        if (c->tso != CHOICE_YES) on &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_TCP_TSO;
        if (c->checksum != CHOICE_YES) on &= ~(uint64_t)(RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM);
    }
    if (!(on & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) || !(on & RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
        on &= ~(uint64_t)RTE_ETH_TX_OFFLOAD_TCP_TSO;
    return on;
}

/* What the configuration insists on must be there. */
static int check_wishes(const struct netdev_env *env, const struct dpdk_config *c, const struct dpdk_port *port)
{
    const char *driver = port->info.driver_name;
    if (c->queues > RTE_MIN(port->info.max_rx_queues, port->info.max_tx_queues))
        return plugin_refuse(env, EINVAL, "queues: %s offers %u pairs, not %ld", driver,
                             RTE_MIN(port->info.max_rx_queues, port->info.max_tx_queues), c->queues);
    if (c->checksum == CHOICE_YES && !(port->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM))
        return plugin_refuse(env, EOPNOTSUPP, "checksum_offload: %s has none; say auto", driver);
    if (c->tso == CHOICE_YES && !(port->tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO))
        return plugin_refuse(env, EOPNOTSUPP, "tso: %s has none, or not with checksum_offload; say auto", driver);
    if (c->mtu && !port->any_mtu &&
        ((port->info.min_mtu && c->mtu < port->info.min_mtu) || (port->info.max_mtu && c->mtu > port->info.max_mtu)))
        return plugin_refuse(env, EINVAL, "mtu: %s takes %u to %u, not %ld", driver, port->info.min_mtu,
                             port->info.max_mtu, c->mtu);
    return 0;
}

static int configure(const struct dpdk_config *c, struct dpdk_port *port)
{
    struct rte_eth_conf conf;
    memset(&conf, 0, sizeof conf);
    conf.rxmode.offloads = port->rx_offloads;
    if (!port->any_mtu) conf.rxmode.mtu = (uint32_t)c->mtu; /* 0: the driver's own */
    conf.txmode.offloads = port->tx_offloads;
    conf.intr_conf.rxq = port->interrupts;
    conf.intr_conf.rmv = port->info.dev_flags && *port->info.dev_flags & RTE_ETH_DEV_INTR_RMV;
    uint64_t fields = RSS_FIELDS & port->info.flow_type_rss_offloads;
    if (c->rss && port->queue_count > 1 && fields) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = fields;
    }
    return rte_eth_dev_configure(port->id, port->queue_count, port->queue_count, &conf);
}

static int make_pools(struct dpdk_port *port, uint32_t room)
{
    for (uint16_t q = 0; q < port->queue_count; q++) {
        struct dpdk_pair *pair = &port->pairs[q];
        pair->rx_pool = pool_take(port->mbufs, room);
        pair->tx_pool = pair->rx_pool ? pool_take(port->tx_ring + DPDK_TX_SPARE, room) : NULL;
        if (!pair->tx_pool) return -ENOMEM;
    }
    return 0;
}

static void give_pools(struct dpdk_port *port)
{
    for (uint16_t q = 0; q < port->queue_count; q++) {
        pool_give(port->pairs[q].rx_pool);
        pool_give(port->pairs[q].tx_pool);
    }
    memset(port->pairs, 0, sizeof port->pairs);
}

static int make_queues(struct dpdk_port *port)
{
    int socket = rte_eth_dev_socket_id(port->id), err = 0;
    for (uint16_t q = 0; q < port->queue_count && !err; q++) {
        struct rte_eth_rxconf rx = port->info.default_rxconf;
        struct rte_eth_txconf tx = port->info.default_txconf;
        rx.offloads = port->rx_offloads;
        tx.offloads = port->tx_offloads;
        err = rte_eth_rx_queue_setup(port->id, q, port->rx_ring, (unsigned)socket, &rx, port->pairs[q].rx_pool);
        if (!err) err = rte_eth_tx_queue_setup(port->id, q, port->tx_ring, (unsigned)socket, &tx);
    }
    return err;
}

static bool is_physical(const struct rte_eth_dev_info *info)
{
    const struct rte_bus *bus = info->device ? rte_dev_bus(info->device) : NULL;
    return bus && strcmp(rte_bus_name(bus), "vdev");
}

/* net_af_packet leaves frames in its ring when the kernel's send buffer is full, and does not come back for them
 * before the next are sent. Its sockets are its own secret; those of the process are given room for a whole ring. */
static void widen_packet_sockets(const struct dpdk_port *port)
{
    int room = 16 << 20;
    if (strcmp(port->info.driver_name, "net_af_packet")) return;
    for (int fd = 3; fd < 1024; fd++) {
        int domain = 0;
        socklen_t n = sizeof domain;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) || domain != AF_PACKET) continue;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room); /* best effort: wants CAP_NET_ADMIN */
    }
}

static void wait_for_link(const struct dpdk_config *c, const struct dpdk_port *port)
{
    /* A NIC negotiates for seconds; the other end of a virtual wire may come whenever it likes. */
    long left = c->link_wait_ms >= 0 ? c->link_wait_ms : is_physical(&port->info) ? 5000 : 0;
    struct rte_eth_link link;
    for (; left > 0; left -= 10) {
        if (rte_eth_link_get_nowait(port->id, &link) || link.link_status) return;
        rte_delay_us_sleep(10000);
    }
}

/* A client of a socket (memif, virtio-user) does not start before its server has: it may wait. */
static int start_port(const struct dpdk_config *c, struct dpdk_port *port)
{
    int err = rte_eth_dev_start(port->id);
    for (long left = c->link_wait_ms; err && left > 0; left -= 20) {
        rte_delay_us_sleep(20000);
        err = rte_eth_dev_start(port->id);
    }
    return err;
}

/* Up to a started port, or to nothing changed. Interrupts are tried first where they are asked for: no capability
 * tells of them. */
static int bring_up(const struct netdev_env *env, const struct dpdk_config *c, struct dpdk_port *port)
{
    const char *driver = port->info.driver_name, *step = "configure";
    port->interrupts = c->interrupts;
    eal_listen();
    int err = configure(c, port);
    if (err && port->interrupts) {
        port->interrupts = false;
        err = configure(c, port);
    }
    if (err) {
        eal_listen_end();
        return plugin_refuse(env, -err, "DPDK's %s refuses its configuration: %.180s", driver, eal_reason(-err));
    }
    port->rx_ring = (uint16_t)c->rx_ring;
    port->tx_ring = (uint16_t)c->tx_ring;
    rte_eth_dev_adjust_nb_rx_tx_desc(port->id, &port->rx_ring, &port->tx_ring); /* to what the driver can have */
    port->mbufs = (uint32_t)RTE_MAX(c->mbufs, 2l * port->rx_ring - 1);
    rte_eth_dev_get_mtu(port->id, &port->mtu);
    if (port->any_mtu && c->mtu) port->mtu = (uint16_t)c->mtu;
    uint32_t room =
        RTE_MAX((uint32_t)ROOM_LEAST, RTE_ALIGN((uint32_t)port->mtu + DPDK_WIRE_EXTRA + RTE_PKTMBUF_HEADROOM, 64u));
    err = make_pools(port, room);
    if (err) {
        eal_listen_end();
        err = plugin_refuse(
            env, ENOMEM, "DPDK lacks memory for %u pairs of %u mbufs: give eal a larger -m (MiB), or a smaller mbufs",
            port->queue_count, port->mbufs);
        goto free_pools;
    }
    step = "set up queues";
    err = make_queues(port);
    if (!err) {
        step = "start";
        err = start_port(c, port);
    }
    if (err) {
        eal_listen_end();
        err = plugin_refuse(env, err == -EPERM ? EIO : -err, "DPDK's %s does not %s: %.180s", driver, step,
                            eal_reason(-err));
        goto free_pools;
    }
    eal_listen_end();
    /* caps say it, anyway */
    if (c->has_mac && rte_eth_dev_default_mac_addr_set(port->id, (struct rte_ether_addr *)(uintptr_t)&c->mac)) {
    }
    if (!c->promiscuous || rte_eth_promiscuous_enable(port->id)) rte_eth_allmulticast_enable(port->id);
    port->news = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rte_eth_dev_callback_register(port->id, RTE_ETH_EVENT_INTR_RMV, life_told, port); /* where the driver has it */
    rte_eth_dev_callback_register(port->id, RTE_ETH_EVENT_INTR_LSC, life_told, port);
    widen_packet_sockets(port);
    wait_for_link(c, port);
    return 0;
free_pools:
    give_pools(port);
    return err;
}

/* --- stopping --- */

struct stopping {
    uint16_t id;
    bool close;
    sem_t done;
};

static void stop_now(uint16_t id, bool and_close)
{
    if (and_close) rte_eth_dev_close(id);
    else rte_eth_dev_stop(id);
}

static void stop_on_interrupt_thread(void *arg)
{
    struct stopping *s = arg;
    memif_stop_begin();
    stop_now(s->id, s->close);
    memif_stop_end();
    sem_post(&s->done);
}

/* EAL's interrupt thread takes down a connection of net_memif whose peer has gone; a port that is stopped by another
 * thread at that moment is taken down twice, and the process dies of it (DPDK 22.11). So the port is stopped by that
 * thread itself. */
static void stop_port(uint16_t id, const struct rte_eth_dev_info *info, bool and_close)
{
    /* one at a time, under the mutex or at the process's end; stays valid for a thread that comes late */
    static struct stopping s;
    struct timespec until;
    if (!port_is_memif(info)) {
        stop_now(id, and_close);
        return;
    }
    s.id = id;
    s.close = and_close;
    sem_init(&s.done, 0, 0);
    if (rte_eal_alarm_set(1, stop_on_interrupt_thread, &s)) {
        stop_now(id, and_close);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    while (sem_timedwait(&s.done, &until) && errno == EINTR)
        ;
}

int port_restart(struct dpdk_port *port)
{
    stop_port(port->id, &port->info, false);
    return rte_eth_dev_start(port->id);
}

/* --- pairs --- */

static struct dpdk_port *ports_find(uint16_t id)
{
    for (unsigned i = 0; i < PORTS_MAX; i++)
        if (ports[i].used && ports[i].id == id) return &ports[i];
    return NULL;
}

struct dpdk_port *port_next(const struct dpdk_port *after)
{
    for (struct dpdk_port *port = after ? ports + (after - ports) + 1 : ports; port < ports + PORTS_MAX; port++)
        if (port->used) return port;
    return NULL;
}

/* What of the kernel's lies under it, or where its other end is: of its arguments. */
static void find_other_side(struct dpdk_port *port)
{
    const struct rte_devargs *args = port->info.device ? rte_dev_devargs(port->info.device) : NULL;
    const char *driver = port->info.driver_name;
    char text[512], word[16] = "client";
    if (!args || !args->args || !driver) return;
    snprintf(text, sizeof text, ",%.500s", args->args);
    if (port_is_memif(&port->info)) {
        eal_device_value(text, "role", word, sizeof word);
        if (strcmp(word, "client") && strcmp(word, "slave")) return;
        if (!eal_device_value(text, "socket", port->server, sizeof port->server))
            strcpy(port->server, "/run/memif.sock");
        port->server_abstract = !eal_device_value(text, "socket-abstract", word, sizeof word) || strcmp(word, "no");
    } else if (!strcmp(driver, "net_af_packet") || !strcmp(driver, "net_af_xdp") || !strcmp(driver, "net_tap")) {
        eal_device_value(text, "iface", port->interface, sizeof port->interface);
    }
}

static int open_port(const struct netdev_env *env, const struct dpdk_config *c, uint16_t id, struct dpdk_port **out)
{
    struct dpdk_port *port = ports_find(id);
    for (unsigned i = 0; i < PORTS_MAX && !port; i++)
        if (!ports[i].used) port = &ports[i];
    if (!port) return plugin_refuse(env, EMFILE, "more than %d ports in one process", PORTS_MAX);
    memset(port, 0, sizeof *port);
    port->id = id;
    int err = rte_eth_dev_info_get(id, &port->info);
    if (err) return plugin_refuse(env, -err, "DPDK's port %u says nothing of itself: %s", id, strerror(-err));
    port->queue_count = (uint16_t)c->queues;
    /* Says 1,518 bytes at most and has no call to change that, but puts any frame into as many of its buffers as it
     * takes. */
    port->any_mtu = port_is_memif(&port->info);
    if (port_is_memif(&port->info)) memif_guard();
    port->rx_offloads = rx_offloads(&port->info, c);
    port->tx_offloads = tx_offloads(&port->info, c);
    find_other_side(port);
    err = check_wishes(env, c, port);
    if (!err) err = bring_up(env, c, port);
    if (err) return err;
    port->started_at = rte_get_timer_cycles();
    port->used = true;
    *out = port;
    return 0;
}

int port_take_pair(const struct netdev_env *env, const struct dpdk_config *c, struct dpdk_port **port_out,
                   uint16_t *queue_out)
{
    uint16_t id = 0;
    int err = choose(env, c, &id);
    if (err) return err;
    struct dpdk_port *port = ports_find(id);
    if (!port || !port->users) err = open_port(env, c, id, &port);
    if (err) return err;
    for (uint16_t q = 0; q < port->queue_count; q++) {
        if (port->pairs[q].taken) continue;
        port->pairs[q].taken = true;
        port->users++;
        *port_out = port;
        *queue_out = q;
        return 0;
    }
    return plugin_refuse(env, EBUSY, "port %u has %u queue pairs, and each has its thread: raise queues", id,
                         port->queue_count);
}

void port_give_pair(struct dpdk_port *port, uint16_t queue)
{
    port->pairs[queue].taken = false;
    if (--port->users) return;
    rte_eth_dev_callback_unregister(port->id, RTE_ETH_EVENT_INTR_RMV, life_told, port);
    rte_eth_dev_callback_unregister(port->id, RTE_ETH_EVENT_INTR_LSC, life_told, port);
    if (port->news >= 0) close(port->news);
    port->news = -1;
    stop_port(port->id, &port->info, false);
    give_pools(port);
    port->used = false;
}

/* At the end of the process: drivers remove what they made (socket files, interfaces). A port whose thread still
 * runs is left alone. */
__attribute__((destructor)) static void close_ports(void)
{
    uint16_t id;
    for (unsigned i = 0; i < PORTS_MAX; i++)
        if (ports[i].used) return;
    if (!eal_is_up()) return;
    struct quiet_pipe quiet;
    eal_pipe_enter(&quiet);
    eal_listen();
    RTE_ETH_FOREACH_DEV(id)
    {
        struct rte_eth_dev_info info;
        if (!rte_eth_dev_info_get(id, &info)) stop_port(id, &info, true);
    }
    eal_pipe_leave(&quiet);
}
