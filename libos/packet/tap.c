/* SPDX-License-Identifier: MIT
 *
 * A TAP device: an Ethernet interface of the kernel whose wire ends in this process. The kernel is the peer, or, over a
 * bridge, whoever is on it. A frame is a read() or a write(); with several queues each thread has a descriptor of its
 * own, and the kernel sends a flow to where its frames came from.
 *
 * In front of each frame stands a struct virtio_net_hdr (vnet.h): the kernel leaves its checksums open, gives TCP
 * segments of up to 64 KiB, and cuts ours. A frame is read into a buffer for the usual size, with the rest of a large
 * one going into the device's spill: then both are copied together.
 *
 * The interface has the kernel's address; ours is made from it (another last bit, and marked as locally administered),
 * so that it stays the same in every thread and over restarts.
 */
#include "libos/ifnews.h"
#include "libos/inet/owner.h"
#include "libos/packet/group.h"
#include "libos/packet/iface.h"
#include "libos/packet/packet.h"
#include "libos/packet/vnet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "alloc/base/assert.h"

#define TUN_FILE  "/dev/net/tun"
#define TSO_BYTES 61440 /* with headers below 64 KiB */
#define ETH_HEAD  14
#define PARTS_MAX                                                                                                      \
    (1                   /* struct virtio_net_hdr */                                                                   \
     + 1                 /* headers, copied */                                                                         \
     + NETDEV_SEGS_MAX)  /* bufs, the rest of the first among them */
#define SNDBUF (1 << 30) /* bytes the kernel may have from us before it says EAGAIN */

struct tap_keys {
    unsigned queues;
    bool offload;
    int own; /* a mac was given */
    uint8_t mac[ETH_ALEN];
};

struct tap_dev {
    struct netdev d;
    int fd;   /* -1: the interface has gone */
    int news; /* of interfaces; -1: none */
    char name[IFNAMSIZ];
    char owned[IFNAMSIZ + 8]; /* what is held against other processes, or empty */
    struct tap_keys keys;
    int ifindex;
    bool vnet, grouped;
    struct buf *spare; /* for the next frame */
    uint8_t spill[PACKET_FRAME_MAX];
};

static inline struct tap_dev *tap_of(struct netdev *d) { return (struct tap_dev *)d; }

/* --- out --- */

/* Headers are copied, since a frame that finds no room is offered again as it was. */
static int gather(struct tap_dev *t, const struct frame *f, struct virtio_net_hdr *v, uint8_t *headers,
                  struct iovec *parts)
{
    int n = 0;
    const struct buf *b = f->b;
    uint32_t copied = 0;
    if (t->vnet) {
        copied = b->len < BUF_HEADROOM ? b->len : BUF_HEADROOM;
        memcpy(headers, b->data, copied);
        vnet_of_frame(v, f, headers);
        parts[n++] = (struct iovec){v, sizeof *v};
        parts[n++] = (struct iovec){headers, copied};
    }
    for (uint32_t skip = copied; b && n < PARTS_MAX; b = b->next, skip = 0)
        if (b->len > skip) parts[n++] = (struct iovec){b->data + skip, b->len - skip};
    return n;
}

/* Gone, one way or the other; false: no room. */
static bool write_frame(struct tap_dev *t, const struct frame *f)
{
    struct virtio_net_hdr v;
    uint8_t headers[BUF_HEADROOM];
    struct iovec parts[PARTS_MAX];
    int n = gather(t, f, &v, headers, parts);
    size_t len = 0;
    for (int i = 0; i < n; i++) len += parts[i].iov_len;
    t->d.n.kicks++;
    ssize_t sent = f->len + (t->vnet ? sizeof v : 0) == len ? writev(t->fd, parts, n) : 0;
    if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (sent && sent == (ssize_t)len) {
        t->d.n.tx_frames++;
        t->d.n.tx_bytes += f->len;
    } else {
        t->d.n.tx_dropped++;
    }
    return true;
}

static unsigned tap_send(struct netdev *d, struct frame *f, unsigned n)
{
    struct tap_dev *t = tap_of(d);
    unsigned done = 0;
    netdev_assert_held(f, n);
    for (; done < n && write_frame(t, &f[done]); done++) buf_unref(f[done].b);
    if (done < n) d->n.tx_full++;
    return done;
}

/* --- in --- */

/* One frame: NULL and *len < 0: none is there. NULL otherwise: counted. */
static struct buf *read_frame(struct tap_dev *t, uint16_t *flags, ssize_t *len)
{
    struct virtio_net_hdr v = {0};
    if (!t->spare) t->spare = buf_take(BUF_SMALL_SIZE);
    struct buf *b = t->spare;
    size_t head = t->vnet ? sizeof v : 0, room = b ? BUF_SMALL_SIZE : 0;
    struct iovec parts[3] = {{&v, head}, {b ? b->data : NULL, room}, {t->spill, sizeof t->spill}};
    *len = readv(t->fd, parts, 3);
    if (*len < 0) return NULL;
    if (!b) {
        t->d.n.rx_no_buffer++;
        return NULL;
    }
    size_t n = (size_t)*len - head;
    if ((size_t)*len < head + ETH_HEAD || n > PACKET_FRAME_MAX || !vnet_is_known(&v)) {
        t->d.n.rx_dropped++;
        return NULL;
    }
    *flags = vnet_frame_flags(&v);
    if (n > room) {
        b = buf_take_exact(n);
        if (!b) {
            t->d.n.rx_no_buffer++;
            return NULL;
        }
        memcpy(b->data, t->spare->data, room);
        memcpy(b->data + room, t->spill, n - room);
    } else if (n <= BUF_SMALL_SIZE / 4 && (b = buf_take_exact(n))) {
        memcpy(b->data, t->spare->data, n); /* a small frame does not hold a large buffer */
    } else {
        b = t->spare;
        t->spare = NULL;
    }
    b->len = (uint32_t)n;
    return b;
}

static unsigned tap_recv(struct netdev *d, struct frame *out, unsigned max)
{
    struct tap_dev *t = tap_of(d);
    unsigned n = 0;
    for (unsigned looked = 0; n < max && looked < 2 * NETDEV_BURST; looked++) {
        uint16_t flags = 0;
        ssize_t len;
        struct buf *b = read_frame(t, &flags, &len);
        if (len < 0) break;
        if (!b) continue;
        out[n++] = (struct frame){.b = b, .len = b->len, .flags = flags};
        d->n.rx_bytes += b->len;
    }
    d->n.rx_frames += n;
    return n;
}

static int tap_fd(struct netdev *d) { return tap_of(d)->fd; }

static int tap_arm(struct netdev *d)
{
    struct pollfd p = {.fd = tap_of(d)->fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0 && p.revents & POLLIN ? -EAGAIN : 0;
}

/* --- open and close --- */

static void tap_close(struct netdev *d)
{
    struct tap_dev *t = tap_of(d);
    buf_unref(t->spare);
    if (t->grouped) group_leave(t->ifindex, d->caps.queue);
    if (t->fd >= 0) close(t->fd);
    if (t->news >= 0) close(t->news);
    if (t->owned[0]) owner_give(t->owned);
    free(t);
}

static int tap_news_fd(struct netdev *d) { return tap_of(d)->news; }
static void tap_look(struct netdev *d, char *why);

static const struct netdev_ops tap_ops = {
    .name = "packet",
    .recv = tap_recv,
    .send = tap_send,
    .fd = tap_fd,
    .arm = tap_arm,
    .close = tap_close,
    .look = tap_look,
    .news_fd = tap_news_fd,
};

static int attach(struct tap_dev *t, const char *name, const struct tap_keys *k)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (k->offload) r.ifr_flags |= IFF_VNET_HDR;
    if (k->queues > 1) r.ifr_flags |= IFF_MULTI_QUEUE;
    memcpy(r.ifr_name, name, strlen(name));
    if (ioctl(t->fd, TUNSETIFF, &r)) return -errno;
    int sndbuf = SNDBUF;
    ioctl(t->fd, TUNSETSNDBUF, &sndbuf); /* else the default stays */
    t->vnet = k->offload;
    return 0;
}

static void fill_caps(struct tap_dev *t, const struct iface *i, const struct tap_keys *k)
{
    struct netdev_caps *c = &t->d.caps;
    memcpy(c->mac, i->mac, ETH_ALEN);
    c->mac[0] |= 2;
    c->mac[ETH_ALEN - 1] ^= 1;
    if (k->own) memcpy(c->mac, k->mac, ETH_ALEN);
    c->mtu = (uint16_t)(i->mtu < 65535 ? i->mtu : 65535);
    c->segs_max = NETDEV_SEGS_MAX;
    c->queue_count = (uint16_t)k->queues;
    c->own_mac = true;
    if (!t->vnet) return;
    c->offloads = OFFLOAD_RX_L4_CSUM | OFFLOAD_TX_L4_CSUM | OFFLOAD_TX_TSO;
    c->tso_max = TSO_BYTES;
    if (ioctl(t->fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN))
        c->offloads &= ~(uint32_t)OFFLOAD_RX_L4_CSUM;
}

static int read_keys(const struct netdev_env *env, const char *name, struct tap_keys *k)
{
    *k = (struct tap_keys){.queues = 1, .offload = true};
    if (strlen(name) >= IFNAMSIZ)
        return packet_why(env, -EINVAL, "packet: %s is too long for an interface's name", name);
    k->own = packet_key_mac(env, "mac", k->mac);
    if (k->own < 0) return k->own;
    int err = packet_key_number(env, "queues", 1, PACKET_QUEUES_MAX, &k->queues);
    return err ? err : packet_key_flag(env, "offload", &k->offload);
}

static int why_not(const struct netdev_env *env, const char *name, int err)
{
    if (err == -ENOENT || err == -ENODEV)
        return packet_why(env, err, "packet: there is no " TUN_FILE ": modprobe tun, or mknod " TUN_FILE " c 10 200");
    if (err == -EPERM || err == -EACCES)
        return packet_why(env, err,
                          "packet: no right to make or open %s: as root, ip tuntap add dev %s mode tap user NAME", name,
                          name);
    if (err == -EBUSY)
        return packet_why(env, err, "packet: %s is open already; several threads open it with \"queues\"", name);
    if (err == -ENETDOWN) return packet_why(env, err, "packet: %s is down: ip link set %s up", name, name);
    if (err == -EINVAL)
        return packet_why(
            env, err, "packet: %s is there and no TAP device, or made without (or with) multi_queue: ip link del %s",
            name, name);
    return packet_why(env, err, "packet: %s: %s", name, strerror(-err));
}

static int open_file(struct tap_dev *t)
{
    t->fd = open(TUN_FILE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return t->fd < 0 ? -errno : attach(t, t->name, &t->keys);
}

static void follow(struct tap_dev *t, const struct iface *i)
{
    t->d.link = !i->up ? NETDEV_DOWN : NETDEV_UP; /* our descriptor is its carrier */
    t->d.caps.mtu = (uint16_t)(i->mtu < 65535 ? i->mtu : 65535);
}

/* An interface that was removed and made again has our name, and no descriptor of ours. */
static void tap_look(struct netdev *d, char *why)
{
    struct tap_dev *t = tap_of(d);
    struct iface i;
    ifnews_drain(t->news);
    int err = iface_look(t->name, &i);
    if (err && err != -ENODEV) return; /* nothing can be asked just now: as before */
    if (t->fd >= 0 && (err || i.index != t->ifindex)) {
        close(t->fd);
        t->fd = -1;
        d->link = NETDEV_GONE;
    }
    if (err) return;
    if (t->fd < 0) {
        err = open_file(t);
        if (!err && !i.up) iface_up(t->name);
        if (!err) err = iface_look(t->name, &i);
        if (err) {
            if (t->fd >= 0) close(t->fd);
            t->fd = -1;
            snprintf(why, NETDEV_WHY_SIZE, "packet: %s is there again, but cannot be taken back: %s", t->name,
                     strerror(-err));
            return;
        }
        if (t->grouped) group_leave(t->ifindex, d->caps.queue);
        t->ifindex = i.index;
        unsigned place;
        t->grouped = t->grouped && !group_join(-1, i.index, t->keys.queues, &place);
        d->n.returned++;
    }
    follow(t, &i);
}

static int join(struct tap_dev *t, const struct iface *i, unsigned queues)
{
    unsigned place;
    int err = group_join(-1, i->index, queues, &place);
    if (err) return err;
    t->grouped = true;
    t->d.caps.queue = (uint16_t)place;
    return 0;
}

/* With several queues the kernel lets anybody have one, and would send half of our flows there. */
static int own(const struct netdev_env *env, struct tap_dev *t)
{
    char what[sizeof t->owned], who[OWNER_WHO_SIZE];
    snprintf(what, sizeof what, "tap/%s", t->name);
    int err = owner_take(what, who, sizeof who);
    if (err == -EADDRINUSE)
        return packet_why(env, -EBUSY,
                          "packet: %s is in use by %s; several threads of one process open it with \"queues\"", t->name,
                          who);
    if (!err) strcpy(t->owned, what);
    return err;
}

int packet_open_tap(const struct netdev_env *env, const char *name, struct netdev **out)
{
    struct tap_keys k;
    struct iface i;
    int err = read_keys(env, name, &k);
    if (err) return err;
    struct tap_dev *t = calloc(1, sizeof *t);
    if (!t) return packet_why(env, -ENOMEM, "packet: out of memory");
    t->d.ops = &tap_ops;
    t->keys = k;
    t->fd = -1;
    strcpy(t->name, name); /* its length was checked */
    t->news = ifnews_open();
    err = own(env, t);
    if (err) {
        tap_close(&t->d);
        return err;
    }
    err = open_file(t);
    if (!err) err = iface_look(name, &i);
    if (!err) t->ifindex = i.index;
    if (!err && !i.up && iface_up(name)) err = -ENETDOWN;
    if (!err && k.queues > 1) err = join(t, &i, k.queues);
    if (err) {
        tap_close(&t->d);
        return why_not(env, name, err);
    }
    fill_caps(t, &i, &k);
    snprintf(t->d.what, sizeof t->d.what, "%s, a TAP device", name);
    *out = &t->d;
    return 0;
}
