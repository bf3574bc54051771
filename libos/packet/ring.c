/* SPDX-License-Identifier: MIT
 *
 * An interface by AF_PACKET. Two rings of slots lie in memory shared with the kernel, one mapping for both:
 *
 *     rx |slot|slot|...|   the kernel fills a slot and sets TP_STATUS_USER; we copy it out and give it back
 *     tx |slot|slot|...|   we fill a slot and set TP_STATUS_SEND_REQUEST; one sendto() sends all of them, the kernel
 *                          gives them back
 *
 * TPACKET_V2, since V3's blocks are handed over by a timer whose least value costs a millisecond a round trip
 * (measured: 1,000 us with V3, 3 us with V2, on veth).
 *
 * Received frames are copied once, into a buffer of their size. Lending the slots themselves looks cheaper and is a
 * trap: slots are few and are filled in order, so that a program which keeps one small value of one frame stops
 * reception once the ring has come round.
 *
 * Frames larger than a slot (a kernel peer on veth, or GRO, gives TCP segments joined to up to 64 KiB) come by
 * recvmsg() instead: PACKET_COPY_THRESH makes the kernel queue them beside the ring, in the ring's order. Checksums
 * that a peer on the same machine has left open count as verified, since no wire was in between. A VLAN tag lies beside
 * the frame, not in it: tagged frames are for somebody else and dropped.
 *
 * Left out: VLANs, receive timestamps, hardware offload of IP checksums (Linux has none for senders).
 */
#include "libos/ifnews.h"
#include "libos/packet/filter.h"
#include "libos/packet/group.h"
#include "libos/packet/guard.h"
#include "libos/packet/iface.h"
#include "libos/packet/packet.h"
#include "libos/packet/vnet.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "alloc/base/assert.h"
#include "alloc/base/log.h"

#ifndef TP_STATUS_GSO_TCP
#define TP_STATUS_GSO_TCP (1 << 8) /* Linux 6.3 */
#endif

#define RING_SLOTS    2048
#define RING_SLOT     2048       /* of an MTU of 1,500 */
#define RING_BLOCK    (1u << 18) /* what the kernel allocates at a time; a multiple of every slot size */
#define RING_BYTES    (8u << 20) /* of transmission, beyond which slots are fewer */
#define SOCKET_BYTES  (16 << 20) /* both ways; the default leaves frames in the ring (SO_SNDBUF 208 KiB) */
#define TX_OFFSET     (TPACKET2_HDRLEN - sizeof(struct sockaddr_ll)) /* where the kernel looks for what is to be sent */
#define RX_OFFSET_MAX 128    /* header, address and alignment in front of a received frame */
#define TSO_BYTES     16000u /* payload of a frame to be cut by the device: with its headers a slot of 16 KiB */
#define KICKS         4      /* tries a call */
#define EXACT_MAX     832    /* frames up to it get a buffer of the heap's quick classes */

struct half {
    uint8_t *slots;
    uint32_t slot_size, count; /* powers of two */
    uint32_t at;               /* the next we look at, counted without end */
};

struct ring_keys {
    unsigned slots, queues;
    bool promiscuous, offload, own_mac;
};

struct ring_dev {
    struct netdev d;
    int fd;   /* -1: the interface has gone */
    int news; /* of interfaces; -1: none */
    char name[IFNAMSIZ];
    struct ring_keys keys;
    bool vnet;            /* a struct virtio_net_hdr in front of each frame */
    bool grouped, unsent; /* unsent: the last kick left frames behind */
    struct half rx, tx;
    int ifindex;
    unsigned place; /* in the group */
    bool was_open;  /* what the stack was told of it stays */
    uint8_t *map;
    size_t map_size;
    struct claims *claims; /* NULL: everything is ours */
    struct guard guard;
};

static inline struct ring_dev *ring_of(struct netdev *d) { return (struct ring_dev *)d; }
static inline struct tpacket2_hdr *slot(const struct half *h, uint32_t at)
{
    return (struct tpacket2_hdr *)(void *)(h->slots + (size_t)(at & (h->count - 1)) * h->slot_size);
}
/* Orders what the kernel wrote into the slot behind its status, and what we did before ours. */
static inline uint32_t status_load(const struct tpacket2_hdr *h)
{
    return __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE);
}
static inline void status_store(struct tpacket2_hdr *h, uint32_t s)
{
    __atomic_store_n(&h->tp_status, s, __ATOMIC_RELEASE);
}

/* --- out --- */

static void kick(struct ring_dev *r)
{
    for (int i = 0; i < KICKS; i++) {
        r->d.n.kicks++;
        if (sendto(r->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) break;
        if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR) break;
    }
    /* The kernel takes slots in order: the last one speaks for all. */
    r->unsent = status_load(slot(&r->tx, r->tx.at - 1)) == TP_STATUS_SEND_REQUEST;
}

/* The length with its header for the kernel; 0: cannot be sent. */
static uint32_t fill_slot(struct ring_dev *r, struct tpacket2_hdr *h, const struct frame *f)
{
    uint8_t *p = (uint8_t *)h + TX_OFFSET;
    uint32_t room = r->tx.slot_size - (uint32_t)TX_OFFSET, front = r->vnet ? sizeof(struct virtio_net_hdr) : 0;
    if (f->len < ETH_HLEN || f->len > room - front) return 0;
    uint8_t *at = p + front;
    for (const struct buf *b = f->b; b; b = b->next) {
        if (b->len > f->len - (uint32_t)(at - p - front)) return 0; /* the chain is longer than it says */
        memcpy(at, b->data, b->len);
        at += b->len;
    }
    if ((uint32_t)(at - p - front) != f->len) return 0;
    if (r->vnet) {
        struct virtio_net_hdr v;
        vnet_of_frame(&v, f, p + front);
        memcpy(p, &v, sizeof v);
    }
    return f->len + front;
}

static unsigned drop_all(struct netdev *d, struct frame *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) buf_unref(f[i].b);
    d->n.tx_dropped += n;
    return n;
}

static unsigned ring_send(struct netdev *d, struct frame *f, unsigned n)
{
    struct ring_dev *r = ring_of(d);
    unsigned done = 0, filled = 0;
    netdev_assert_held(f, n);
    if (unlikely(d->link >= NETDEV_DOWN)) return drop_all(d, f, n);
    for (; done < n; done++) {
        struct tpacket2_hdr *h = slot(&r->tx, r->tx.at);
        if (status_load(h) & (TP_STATUS_SEND_REQUEST | TP_STATUS_SENDING)) {
            d->n.tx_full++;
            break;
        }
        uint32_t len = fill_slot(r, h, &f[done]);
        if (likely(len)) {
            d->n.tx_frames++;
            d->n.tx_bytes += f[done].len;
            h->tp_len = len;
            status_store(h, TP_STATUS_SEND_REQUEST);
            r->tx.at++;
            filled++;
        } else {
            d->n.tx_dropped++;
        }
        buf_unref(f[done].b);
    }
    if (filled || r->unsent) kick(r);
    return done;
}

/* --- in --- */

static struct buf *frame_take(uint32_t len)
{
    return len <= EXACT_MAX || len > BUF_LARGE_SIZE ? buf_take_exact(len) : buf_take(len);
}

/* A frame that did not fit into its slot: the whole of it is the next in the socket's queue, which must be emptied
 * in any case. */
static struct buf *receive_large(struct ring_dev *r, uint32_t len)
{
    struct virtio_net_hdr v;
    struct buf *b = len <= PACKET_FRAME_MAX ? frame_take(len) : NULL;
    if (!b) r->d.n.rx_no_buffer++;
    struct iovec parts[2] = {{&v, r->vnet ? sizeof v : 0}, {b ? b->data : NULL, b ? len : 0}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t got = recvmsg(r->fd, &m, MSG_DONTWAIT | MSG_TRUNC);
    if (!b) return NULL;
    if (got == (ssize_t)(parts[0].iov_len + len)) {
        b->len = len;
        return b;
    }
    r->d.n.rx_dropped++;
    buf_unref(b);
    return NULL;
}

static struct buf *receive_slot(struct ring_dev *r, const struct tpacket2_hdr *h, uint32_t status)
{
    const uint8_t *p = (const uint8_t *)h + h->tp_mac;
    uint32_t len = h->tp_len;
    if (status & TP_STATUS_COPY) return receive_large(r, len);
    /* Cut: too large, and the socket's queue was full. Tagged: not ours. */
    bool tagged = status & TP_STATUS_VLAN_VALID && (h->tp_vlan_tci & 0xfff);
    if (unlikely(h->tp_snaplen != len || tagged || len < ETH_HLEN || len > r->rx.slot_size - h->tp_mac)) {
        r->d.n.rx_dropped++;
        return NULL;
    }
    struct buf *b = frame_take(len);
    if (unlikely(!b)) {
        r->d.n.rx_no_buffer++;
        return NULL;
    }
    memcpy(b->data, p, len);
    b->len = len;
    return b;
}

static bool is_known(const struct ring_dev *r, const struct tpacket2_hdr *h)
{
    struct virtio_net_hdr v;
    if (!r->vnet || h->tp_mac < sizeof v) return true;
    memcpy(&v, (const uint8_t *)h + h->tp_mac - sizeof v, sizeof v);
    return vnet_is_known(&v);
}

/* Frames were lost since we last asked. */
static void count_lost(struct ring_dev *r)
{
    struct tpacket_stats stats;
    socklen_t len = sizeof stats;
    if (getsockopt(r->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0) r->d.n.rx_dropped += stats.tp_drops;
}

static unsigned ring_recv(struct netdev *d, struct frame *out, unsigned max)
{
    struct ring_dev *r = ring_of(d);
    unsigned n = 0, looked = 0;
    if (unlikely(r->unsent)) kick(r);
    for (; n < max && looked < r->rx.count; looked++) { /* of an interface that has gone there are none */
        struct tpacket2_hdr *h = slot(&r->rx, r->rx.at);
        uint32_t status = status_load(h);
        if (!(status & TP_STATUS_USER)) break;
        if (unlikely(status & TP_STATUS_LOSING)) count_lost(r);
        bool known = is_known(r, h);
        struct buf *b = receive_slot(r, h, status);
        status_store(h, TP_STATUS_KERNEL);
        r->rx.at++;
        if (unlikely(!b)) continue;
        if (unlikely(!known)) {
            d->n.rx_dropped++;
            buf_unref(b);
            continue;
        }
        bool verified = status & (TP_STATUS_CSUM_VALID | TP_STATUS_CSUMNOTREADY);
        out[n++] = (struct frame){.b = b, .len = b->len, .flags = verified ? FRAME_L4_CSUM_OK : 0};
        d->n.rx_bytes += b->len;
    }
    d->n.rx_frames += n;
    return n;
}

/* --- asleep --- */

static int ring_fd(struct netdev *d) { return ring_of(d)->fd; }

static int ring_arm(struct netdev *d)
{
    struct ring_dev *r = ring_of(d);
    if (!r->map) return 0;
    if (status_load(slot(&r->rx, r->rx.at)) & TP_STATUS_USER) return -EAGAIN;
    if (!r->unsent) return 0;
    kick(r);
    /* An interface that is down sends nothing however often it is asked. */
    return r->unsent && errno != ENETDOWN && errno != ENXIO ? -EAGAIN : 0;
}

/* --- shared with the kernel --- */

/* Beside a kernel that has a link-local address only, all ports of other addresses are ours. */
static const struct claims *filtered(const struct ring_dev *r) { return r->d.caps.own_mac ? NULL : r->claims; }

static int ring_claim(struct netdev *d, uint8_t proto, uint16_t port, bool on)
{
    struct ring_dev *r = ring_of(d);
    if (!r->claims) return 0;
    int changed = claims_set(r->claims, proto, port, on);
    if (changed <= 0) return changed;
    if (r->fd < 0) return 0; /* it goes with the others when the interface is taken back */
    int err = filter_attach(r->fd, d->caps.mac, filtered(r));
    if (!err && r->guard.link >= 0) err = guard_update(&r->guard, r->claims, proto, port);
    return err;
}

/* The kernel has addresses here. With a link-local one only, nobody but neighbours that go by it can notice: not
 * worth a warning. */
static int share(struct ring_dev *r, const struct iface *i)
{
    const char *step = "update";
    bool first = !r->claims;
    if (first) {
        r->claims = malloc(sizeof *r->claims);
        if (!r->claims) return -ENOMEM;
        claims_init(r->claims);
    }
    int err = guard_open(&r->guard, i->index, &step);
    if (!err) err = guard_update_all(&r->guard, r->claims);
    if (err && first && i->kernel == IFACE_KERNEL_ADDRESS)
        log_warning(NULL,
                    "packet: the kernel will reset connections to us on %s, whose address it shares: BPF %s: %s%s",
                    i->name, step, strerror(-err),
                    err == -EPERM ? "; run as root, or setcap cap_net_raw,cap_net_admin,cap_bpf+ep PROGRAM"
                                  : "; needs Linux 6.6, or: iptables -A OUTPUT -p tcp --tcp-flags RST RST -j DROP");
    return 0;
}

/* --- open and close --- */

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value) ? -errno : 0;
}

static uint32_t power_of_two(uint32_t n) { return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1)); }

static void size_rings(struct ring_dev *r, unsigned mtu, unsigned slots)
{
    uint32_t payload = mtu;
    if (r->d.caps.offloads & OFFLOAD_TX_TSO && payload < TSO_BYTES) payload = TSO_BYTES;
    uint32_t tx = (uint32_t)TX_OFFSET + sizeof(struct virtio_net_hdr) + BUF_HEADROOM + payload;
    r->rx.slot_size = mtu + RX_OFFSET_MAX + ETH_HLEN <= RING_SLOT
                          ? RING_SLOT
                          : power_of_two(RX_OFFSET_MAX + ETH_HLEN + (mtu < 16000 ? mtu : 16000));
    r->tx.slot_size = tx <= RING_SLOT ? RING_SLOT : power_of_two(tx);
    r->rx.count = r->tx.count = power_of_two(slots);
    while (r->rx.count > 256 && (uint64_t)r->rx.count * r->rx.slot_size > 2 * RING_BYTES) r->rx.count /= 2;
    while (r->tx.count > 64 && (uint64_t)r->tx.count * r->tx.slot_size > RING_BYTES) r->tx.count /= 2;
    /* A block is full of slots. */
    while (r->rx.count * r->rx.slot_size < RING_BLOCK) r->rx.count *= 2;
    while (r->tx.count * r->tx.slot_size < RING_BLOCK) r->tx.count *= 2;
}

static int make_ring(int fd, int which, const struct half *h)
{
    struct tpacket_req req = {.tp_block_size = RING_BLOCK,
                              .tp_block_nr = (uint32_t)((uint64_t)h->count * h->slot_size / RING_BLOCK),
                              .tp_frame_size = h->slot_size,
                              .tp_frame_nr = h->count};
    return setsockopt(fd, SOL_PACKET, which, &req, sizeof req) ? -errno : 0;
}

static int map_rings(struct ring_dev *r)
{
    int err = set_int(r->fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
    if (!err) err = make_ring(r->fd, PACKET_RX_RING, &r->rx);
    if (!err) err = make_ring(r->fd, PACKET_TX_RING, &r->tx);
    if (err) return err;
    size_t rx = (size_t)r->rx.count * r->rx.slot_size, tx = (size_t)r->tx.count * r->tx.slot_size;
    void *map = mmap(NULL, rx + tx, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, 0);
    if (map == MAP_FAILED) return -errno;
    r->map = map;
    r->map_size = rx + tx;
    r->rx.slots = r->map;
    r->tx.slots = r->map + rx;
    return 0;
}

/* What makes it faster or quieter; an old kernel, or a user without rights over the network, goes without. */
static void tune(struct ring_dev *r)
{
    if (set_int(r->fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES)) set_int(r->fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BYTES);
    if (set_int(r->fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES)) set_int(r->fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BYTES);
    set_int(r->fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
    set_int(r->fd, SOL_PACKET, PACKET_COPY_THRESH, 1);
    set_int(r->fd, SOL_PACKET, PACKET_LOSS, 1); /* a frame the device refuses does not hold up those behind it */
}

/* Everything of the interface that is there now; claims and counters stay. */
static void let_go(struct ring_dev *r)
{
    guard_close(&r->guard);
    if (r->grouped) group_leave(r->ifindex, r->place);
    if (r->map) munmap(r->map, r->map_size);
    if (r->fd >= 0) close(r->fd);
    r->grouped = r->unsent = false;
    r->map = NULL;
    r->fd = -1;
    r->rx = r->tx = (struct half){0};
}

static void ring_close(struct netdev *d)
{
    struct ring_dev *r = ring_of(d);
    let_go(r);
    if (r->news >= 0) close(r->news);
    free(r->claims);
    free(r);
}

static int ring_news_fd(struct netdev *d) { return ring_of(d)->news; }
static void ring_look(struct netdev *d, char *why);

static const struct netdev_ops ring_ops = {
    .name = "packet",
    .recv = ring_recv,
    .send = ring_send,
    .fd = ring_fd,
    .arm = ring_arm,
    .claim = ring_claim,
    .close = ring_close,
    .look = ring_look,
    .news_fd = ring_news_fd,
};

static int read_keys(const struct netdev_env *env, struct iface *i, struct ring_keys *k)
{
    *k = (struct ring_keys){.slots = RING_SLOTS, .queues = 1, .offload = true};
    int own = packet_key_mac(env, "mac", i->mac);
    if (own < 0) return own;
    k->own_mac = k->promiscuous = own;
    int err = packet_key_number(env, "ring", 64, 65536, &k->slots);
    if (!err) err = packet_key_number(env, "queues", 1, PACKET_QUEUES_MAX, &k->queues);
    if (!err) err = packet_key_flag(env, "promiscuous", &k->promiscuous);
    if (!err) err = packet_key_flag(env, "offload", &k->offload);
    return err;
}

static int check_iface(const struct netdev_env *env, const char *name, struct iface *i)
{
    int err = iface_look(name, i);
    if (err == -ENODEV)
        return packet_why(env, err, "packet: there is no interface %s; `ip link` names those there are", name);
    if (err) return packet_why(env, err, "packet: %s: %s", name, strerror(-err));
    if (!i->ethernet) return packet_why(env, -EOPNOTSUPP, "packet: %s is no Ethernet interface", name);
    if (!i->up) return packet_why(env, -ENETDOWN, "packet: %s is down: ip link set %s up", name, name);
    if (i->mtu > 65535) i->mtu = 65535; /* lo's is one more */
    return 0;
}

static int join_group(struct ring_dev *r, const struct iface *i, const struct ring_keys *k)
{
    int err = group_join(k->queues == 1 ? -1 : r->fd, i->index, k->queues, &r->place);
    r->grouped = !err;
    if (!r->was_open) r->d.caps.queue = (uint16_t)r->place;
    return err;
}

/* The socket is bound last: before, it receives nothing. */
static int bind_socket(struct ring_dev *r, const struct iface *i, const struct ring_keys *k)
{
    struct packet_mreq promiscuous = {.mr_ifindex = i->index, .mr_type = PACKET_MR_PROMISC};
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = i->index};
    int err = filter_attach(r->fd, i->mac, filtered(r));
    if (!err) err = set_int(r->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
    if (!err && bind(r->fd, (const void *)&to, sizeof to)) err = -errno;
    if (!err && k->promiscuous &&
        setsockopt(r->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous))
        err = -errno;
    return err || k->queues == 1 ? err : join_group(r, i, k);
}

static enum netdev_link link_of(const struct iface *i)
{
    return i->running ? NETDEV_UP : i->up ? NETDEV_NO_CARRIER : NETDEV_DOWN;
}

static void fill_caps(struct ring_dev *r, const struct iface *i, const struct ring_keys *k)
{
    struct netdev_caps *c = &r->d.caps;
    memcpy(c->mac, i->mac, ETH_ALEN);
    r->ifindex = i->index;
    r->d.ifindex = (unsigned)i->index;
    r->d.link = link_of(i);
    snprintf(r->d.what, sizeof r->d.what, "%s by AF_PACKET", i->name);
    c->mtu = (uint16_t)i->mtu;
    c->segs_max = NETDEV_SEGS_MAX;
    c->queue_count = (uint16_t)k->queues;
    if (!r->was_open) c->own_mac = k->own_mac || i->kernel != IFACE_KERNEL_ADDRESS;
}

static void fill_offloads(struct ring_dev *r, const struct iface *i)
{
    struct netdev_caps *c = &r->d.caps;
    c->offloads = OFFLOAD_RX_L4_CSUM;
    r->vnet = r->keys.offload && set_int(r->fd, SOL_PACKET, PACKET_VNET_HDR, 1) == 0;
    if (!r->vnet) return;
    c->offloads |= OFFLOAD_TX_L4_CSUM;
    /* Past the queueing discipline nobody cuts segments in software: the device itself must. */
    if (!i->tso) return;
    c->offloads |= OFFLOAD_TX_TSO;
    c->tso_max = TSO_BYTES;
}

/* r->claims: it was shared with the kernel before. */
static int queue_start(struct ring_dev *r, const struct iface *i)
{
    const struct ring_keys *k = &r->keys;
    fill_caps(r, i, k);
    r->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r->fd < 0) return -errno;
    fill_offloads(r, i);
    /* Two stacks behind one address would both answer every frame. A station with an address of its own is alone. */
    int err = k->queues == 1 && !k->own_mac ? join_group(r, i, k) : 0;
    if (err) return err;
    bool shares = r->claims || (!k->own_mac && i->kernel != IFACE_KERNEL_NONE);
    err = shares ? share(r, i) : 0;
    size_rings(r, i->mtu, k->slots);
    tune(r);
    if (!err) err = map_rings(r);
    return err ? err : bind_socket(r, i, k);
}

/* --- its life --- */

/* The interface is another one, or what lies in its slots has outgrown them. What the stack was told of it must hold
 * still. */
static int take_back(struct ring_dev *r, struct iface *i, char *why)
{
    struct netdev_caps was = r->d.caps;
    let_go(r);
    if (r->keys.own_mac) memcpy(i->mac, was.mac, ETH_ALEN);
    int err = i->ethernet ? queue_start(r, i) : -EOPNOTSUPP;
    bool less = !err && (r->d.caps.offloads & was.offloads) != was.offloads;
    r->d.caps.offloads = was.offloads;
    r->d.caps.tso_max = was.tso_max;
    if (!err && !less) {
        r->d.n.returned++;
        return 0;
    }
    let_go(r);
    r->d.link = NETDEV_GONE;
    snprintf(why, NETDEV_WHY_SIZE, "packet: %s is there again, but cannot be taken back: %s", r->name,
             less ? "it cuts no segments any more: ethtool -K it tso on" : strerror(-err));
    return err ? err : -EOPNOTSUPP;
}

/* One whose name was changed is still the same. */
static int look_for(struct ring_dev *r, struct iface *i)
{
    char name[IFNAMSIZ];
    if (r->fd >= 0 && if_indextoname((unsigned)r->ifindex, name) && strcmp(name, r->name)) {
        strcpy(r->name, name);
        snprintf(r->d.what, sizeof r->d.what, "%s by AF_PACKET", name);
    }
    int err = iface_look(r->name, i);
    if (!err && i->mtu > 65535) i->mtu = 65535;
    return err;
}

static bool has_outgrown(const struct ring_dev *r, unsigned mtu)
{
    return mtu > r->d.caps.mtu && TX_OFFSET + sizeof(struct virtio_net_hdr) + BUF_HEADROOM + mtu > r->tx.slot_size;
}

static void ring_look(struct netdev *d, char *why)
{
    struct ring_dev *r = ring_of(d);
    struct iface i;
    ifnews_drain(r->news);
    int err = look_for(r, &i);
    if (err == -ENODEV) {
        if (d->link != NETDEV_GONE) let_go(r);
        d->link = NETDEV_GONE;
        return;
    }
    if (err) return; /* nothing can be asked just now: as before */
    if (r->fd < 0 || i.index != r->ifindex || has_outgrown(r, i.mtu)) {
        take_back(r, &i, why);
        return;
    }
    d->link = link_of(&i);
    d->caps.mtu = (uint16_t)i.mtu;
    if (!r->keys.own_mac && memcmp(d->caps.mac, i.mac, ETH_ALEN) && !filter_attach(r->fd, i.mac, filtered(r)))
        memcpy(d->caps.mac, i.mac, ETH_ALEN);
}

int packet_open_ring(const struct netdev_env *env, const char *name, struct netdev **out)
{
    struct iface i;
    struct ring_keys k;
    int err = check_iface(env, name, &i);
    if (!err) err = read_keys(env, &i, &k);
    if (err) return err;
    struct ring_dev *r = calloc(1, sizeof *r);
    if (!r) return packet_why(env, -ENOMEM, "packet: out of memory");
    r->d.ops = &ring_ops;
    r->guard = (struct guard){-1, -1, -1};
    r->keys = k;
    memcpy(r->name, i.name, sizeof r->name);
    r->fd = -1;
    r->news = ifnews_open();
    err = queue_start(r, &i);
    if (!err) {
        r->was_open = true;
        *out = &r->d;
        return 0;
    }
    if (err == -EPERM)
        packet_why(env, err,
                   "packet: no right to raw sockets: run as root, or setcap cap_net_raw,cap_net_admin+ep PROGRAM");
    else if (err == -EBUSY && k.queues == 1)
        packet_why(env, err, "packet: another thread of this process has %s: give both \"queues\": \"2\"", name);
    else if (err == -EBUSY)
        packet_why(env, err, "packet: all %u queues of %s are taken: raise \"queues\"", k.queues, name);
    else packet_why(env, err, "packet: %s: %s", name, strerror(-err));
    ring_close(&r->d);
    return err;
}
