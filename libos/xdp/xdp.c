/* SPDX-License-Identifier: MIT
 *
 * AF_XDP as a network device: frames go past the kernel's stack, through rings shared with its driver. One socket on
 * one queue of an interface a thread; the next thread takes the next queue. This file opens and closes; ring.c moves
 * frames, iface.c has the program on the interface.
 *
 * Left out: frames of several chunks (MTU above 3,822), checksum offloads (AF_XDP of Linux 6.8 has them for
 * transmission only), umems shared between sockets, busy polling of the driver.
 */
#include "libos/xdp/xdp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/libbpf.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <time.h>

#include "libos/ifnews.h"
#include "libos/plugin.h"

#define BUSY_TRIES 50 /* of 10 ms: a queue that was just given back is busy for about 50 ms */

const struct netdev_host *xdp_host;

/* --- memory --- */

/* No ring has any: what the stack does not hold is free. */
static void gather_chunks(struct xdp_dev *d)
{
    d->free_count = d->sending = 0;
    for (uint32_t i = d->chunk_count; i-- > 0;) /* the lowest is taken first */
        if (!d->rooms[i].dev) d->free[d->free_count++] = i;
}

static int make_memory(const struct netdev_env *env, const struct xdp_config *c, struct xdp_dev *d)
{
    const size_t huge = (size_t)1 << 21;
    d->ring = (uint32_t)c->ring;
    /* Behind the 256 bytes that the kernel keeps in front of a frame. */
    d->chunk_shift = c->mtu + XDP_WIRE_EXTRA <= 2048 - 256 ? 11 : 12;
    d->held_max = d->ring;
    d->chunk_count = d->ring        /* the kernel has them to receive into (fill), */
                     + d->ring      /* has received into them (rx), */
                     + d->ring      /* sends them or has sent them (tx, completion), */
                     + d->held_max; /* and the stack holds them */
    d->area_size = ((size_t)d->chunk_count << d->chunk_shift) + huge - 1;
    d->area_size -= d->area_size % huge;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE;
    d->area = mmap(NULL, d->area_size, PROT_READ | PROT_WRITE, flags | MAP_HUGETLB, -1, 0);
    if (d->area == MAP_FAILED) d->area = mmap(NULL, d->area_size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (d->area == MAP_FAILED) d->area = NULL;
    d->rooms = aligned_alloc(64, d->chunk_count * sizeof *d->rooms);
    d->free = malloc(d->chunk_count * sizeof *d->free);
    if (!d->area || !d->rooms || !d->free)
        return plugin_refuse(env, ENOMEM, "no memory for %u chunks: a smaller ring", d->chunk_count);
    memset(d->rooms, 0, d->chunk_count * sizeof *d->rooms);
    gather_chunks(d);
    return 0;
}

static void free_memory(struct xdp_dev *d)
{
    if (d->area) munmap(d->area, d->area_size);
    free(d->rooms);
    free(d->free);
}

void xdp_unhold(struct xdp_dev *d)
{
    free_memory(d);
    free(d);
}

/* --- the socket --- */

static int make_umem(const struct netdev_env *env, struct xdp_dev *d)
{
    struct xsk_umem_config conf = {.fill_size = d->ring, .comp_size = d->ring, .frame_size = 1u << d->chunk_shift};
    int err = xsk_umem__create(&d->umem, d->area, (uint64_t)d->chunk_count << d->chunk_shift, &d->fill, &d->completion,
                               &conf);
    if (!err) return 0;
    d->umem = NULL;
    if (err == -EPERM)
        return plugin_refuse(env, EPERM,
                             "no right to AF_XDP sockets: run as root (CAP_NET_RAW, CAP_BPF, CAP_NET_ADMIN)");
    if (err == -ENOBUFS || err == -ENOMEM)
        return plugin_refuse(env, ENOMEM, "too little memory may be locked: ulimit -l unlimited, or a smaller ring");
    if (err == -EAFNOSUPPORT) return plugin_refuse(env, EAFNOSUPPORT, "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)");
    return plugin_refuse(env, -err, "the umem cannot be registered: %s", strerror(-err));
}

static int make_socket(const struct netdev_env *env, const struct xdp_config *c, struct xdp_dev *d)
{
    const struct xsk_socket_config conf = {.rx_size = d->ring,
                                           .tx_size = d->ring,
                                           .libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
                                           .xdp_flags = iface_xdp_flags(d->iface),
                                           .bind_flags = (uint16_t)(c->bind_flags | XDP_USE_NEED_WAKEUP)};
    const struct timespec pause = {.tv_nsec = 10000000};
    int err = -EBUSY;
    for (int i = 0; i <= c->busy_tries && err == -EBUSY; i++) {
        if (i) nanosleep(&pause, NULL);
        err = xsk_socket__create(&d->socket, c->interface, d->queue, d->umem, &d->rx, &d->tx, &conf);
    }
    if (!err) {
        d->fd = xsk_socket__fd(d->socket);
        return 0;
    }
    d->socket = NULL;
    if (err == -EBUSY)
        return plugin_refuse(env, EBUSY, "queue %u of %s has another AF_XDP socket", d->queue, c->interface);
    if (err == -EPERM)
        return plugin_refuse(env, EPERM,
                             "no right to AF_XDP sockets: run as root (CAP_NET_RAW, CAP_BPF, CAP_NET_ADMIN)");
    if (c->bind_flags & XDP_ZEROCOPY)
        return plugin_refuse(env, -err, "the driver of %s cannot do without copying: copy auto or copy", c->interface);
    return plugin_refuse(env, -err, "no AF_XDP socket on queue %u of %s: %s", d->queue, c->interface, strerror(-err));
}

/* The card passes what is for our own station, and for the groups of IPv6's neighbours. The kernel does not know
 * either: it is asked to listen to all, for as long as this descriptor lives. */
static void listen_wide(const struct xdp_config *c, struct xdp_dev *d)
{
    d->promiscuous_fd = -1;
    if (!c->exclusive && !c->mine_count) return;
    d->promiscuous_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    struct packet_mreq all = {.mr_ifindex = (int)c->ifindex,
                              .mr_type = c->has_mac ? PACKET_MR_PROMISC : PACKET_MR_ALLMULTI};
    if (d->promiscuous_fd >= 0) setsockopt(d->promiscuous_fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all);
}

/* --- life --- */

static int dev_fd(struct netdev *n) { return ((struct xdp_dev *)n)->fd; }

static int dev_claim(struct netdev *n, uint8_t proto, uint16_t port, bool on)
{
    return iface_claim(((struct xdp_dev *)n)->iface, proto, port, on);
}

static void let_go(struct xdp_dev *d)
{
    if (d->socket) {
        iface_detach_socket(d->iface, d->queue);
        xsk_socket__delete(d->socket);
    }
    if (d->umem) xsk_umem__delete(d->umem);
    if (d->promiscuous_fd >= 0) close(d->promiscuous_fd);
    d->socket = NULL;
    d->umem = NULL;
    /* libxdp does not set what it caches of a ring's indices. */
    memset(&d->fill, 0, sizeof d->fill);
    memset(&d->completion, 0, sizeof d->completion);
    memset(&d->rx, 0, sizeof d->rx);
    memset(&d->tx, 0, sizeof d->tx);
    d->fd = d->promiscuous_fd = -1;
}

static void dev_close(struct netdev *n)
{
    struct xdp_dev *d = (struct xdp_dev *)n;
    let_go(d);
    if (d->news >= 0) close(d->news);
    iface_give(d->iface, d->queue);
    d->closed = true;
    if (!d->held) xdp_unhold(d);
}

static int dev_news_fd(struct netdev *n) { return ((struct xdp_dev *)n)->news; }
static void dev_look(struct netdev *n, char *why);

static const struct netdev_ops ops = {
    .name = "xdp",
    .recv = ring_recv,
    .send = ring_send,
    .fd = dev_fd,
    .arm = ring_arm,
    .claim = dev_claim,
    .close = dev_close,
    .look = dev_look,
    .news_fd = dev_news_fd,
};

static void fill_caps(const struct xdp_config *c, struct xdp_dev *d)
{
    struct netdev_caps *caps = &d->dev.caps;
    caps->segs_max = NETDEV_SEGS_MAX; /* copied together here */
    caps->queue = (uint16_t)(d->queue - c->queue);
    caps->queue_count = (uint16_t)(c->queue_count - c->queue);
    caps->own_mac = c->exclusive;
    d->shared_address = c->shared_address;
    d->dev.ops = &ops;
}

/* What follows the interface through its life. A frame never outgrows its chunk. */
static void follow(struct xdp_dev *d, const struct xdp_config *c, enum netdev_link link)
{
    uint32_t most = (1u << d->chunk_shift) - 256 - XDP_WIRE_EXTRA;
    memcpy(d->dev.caps.mac, c->mac, ETH_ALEN);
    d->dev.caps.mtu = c->mtu < most ? c->mtu : (uint16_t)most;
    d->frame_max = (uint32_t)d->dev.caps.mtu + XDP_WIRE_EXTRA;
    d->dev.ifindex = c->ifindex;
    d->dev.link = link;
    d->config = *c;
}

static void say_what(struct xdp_dev *d)
{
    struct xdp_options options = {0};
    socklen_t size = sizeof options;
    bool zero = !getsockopt(d->fd, SOL_XDP, XDP_OPTIONS, &options, &size) && options.flags & XDP_OPTIONS_ZEROCOPY;
    snprintf(d->dev.what, sizeof d->dev.what, "%s by AF_XDP in %s mode, %s", d->config.interface,
             iface_xdp_flags(d->iface) & XDP_FLAGS_SKB_MODE ? "skb" : "native", zero ? "zero copy" : "copy");
}

static int open_socket(const struct netdev_env *env, const struct xdp_config *c, struct xdp_dev *d)
{
    int err = make_umem(env, d);
    if (!err) err = make_socket(env, c, d);
    if (!err) ring_refill(d);
    if (!err) {
        err = iface_attach_socket(d->iface, d->queue, d->fd);
        if (err)
            err = plugin_refuse(env, -err, "queue %u of %s cannot be steered to: %s", d->queue, c->interface,
                                strerror(-err));
    }
    if (err) let_go(d);
    return err;
}

/* The interface is there again: a socket of its own, in the memory that we have. */
static int take_back(struct xdp_dev *d, struct xdp_config *c, char *why)
{
    const struct netdev_env env = {.why = why};
    int err = iface_take_back(&env, c, d->iface);
    gather_chunks(d);
    if (!err) err = open_socket(&env, c, d);
    if (err) return err;
    listen_wide(c, d);
    d->dev.n.returned++;
    return 0;
}

static void dev_look(struct netdev *n, char *why)
{
    struct xdp_dev *d = (struct xdp_dev *)n;
    struct xdp_config c = d->config;
    char name[IF_NAMESIZE];
    enum netdev_link link = n->link;
    c.busy_tries = 0; /* it is tried again later */
    ifnews_drain(d->news);
    if (d->socket && if_indextoname(c.ifindex, name)) strcpy(c.interface, name); /* renamed, and still the same */
    int err = config_look(&c, &link);
    if (err == -ENODEV) {
        if (d->socket) {
            let_go(d);
            iface_lost(d->iface);
        }
        n->link = NETDEV_GONE;
        return;
    }
    if (err) return; /* nothing can be asked just now: as before */
    if (d->socket && c.ifindex != d->config.ifindex) {
        let_go(d);
        iface_lost(d->iface);
    }
    if (!d->socket && take_back(d, &c, why)) {
        n->link = NETDEV_GONE;
        return;
    }
    follow(d, &c, link);
    say_what(d);
}

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
    (void)level, (void)format, (void)args;
    return 0;
}

static int xdp_open(const struct netdev_env *env, struct netdev **out)
{
    struct xdp_config c;
    libbpf_set_print(silent); /* what goes wrong is told by errno, and by us */
    int err = xdp_config_read(env, &c);
    if (err) return err;
    struct xdp_dev *d = calloc(1, sizeof *d);
    if (!d) return plugin_refuse(env, ENOMEM, "out of memory");
    d->fd = d->promiscuous_fd = d->news = -1;
    c.busy_tries = BUSY_TRIES;
    err = iface_take(env, &c, &d->iface, &d->queue);
    if (err) goto free_dev;
    err = make_memory(env, &c, d);
    if (!err) err = open_socket(env, &c, d);
    if (err) goto free_memory;
    fill_caps(&c, d);
    follow(d, &c, NETDEV_UP);
    say_what(d);
    listen_wide(&c, d);
    d->news = ifnews_open();
    *out = &d->dev;
    return 0;
free_memory:
    free_memory(d);
    iface_give(d->iface, d->queue);
free_dev:
    free(d);
    return err;
}

static const struct netdev_plugin plugin = {.abi = NETDEV_ABI, .name = "xdp", .open = xdp_open};

PLUGIN_EXPORT const struct netdev_plugin *demi_netdev_plugin(const struct netdev_host *host);

const struct netdev_plugin *demi_netdev_plugin(const struct netdev_host *host)
{
    xdp_host = host;
    return &plugin;
}
