/* SPDX-License-Identifier: MIT
 *
 * A network device as the stack wants it: bursts of Ethernet frames in and out. Whoever has one (libos/packet, xdp,
 * dpdk, sim) fills these ops; the libOS that joins device and stack calls them. Plug-ins (xdp, dpdk) are shared objects
 * that are loaded when they are asked for (libos/border.h).
 *
 * One struct netdev serves one thread; nothing here is called from another. A device with several queue pairs gives
 * each thread that opens it the next pair.
 */
#ifndef TCP_NETDEV_H
#define TCP_NETDEV_H

#include "alloc/base/assert.h"
#include "alloc/base/clock.h"
#include "alloc/buf.h"
#include "alloc/region.h"

#define NETDEV_BURST    64 /* frames a call, at most */
#define NETDEV_SEGS_MAX 20 /* bufs of one frame, at most: 64 KiB of 4 KiB pieces, and headers */
#define ETH_ALEN        6

/* What a device can do, and what a frame asks of it or says about itself. */
enum netdev_offload {
    OFFLOAD_RX_IP_CSUM = 1 << 0,
    OFFLOAD_RX_L4_CSUM = 1 << 1,
    OFFLOAD_TX_IP_CSUM = 1 << 2,
    OFFLOAD_TX_L4_CSUM = 1 << 3,
    OFFLOAD_TX_TSO = 1 << 4,
};

enum frame_flags {
    /* received */
    FRAME_IP_CSUM_OK = 1 << 0, /* verified by the device; neither OK nor BAD: not looked at */
    FRAME_L4_CSUM_OK = 1 << 1,
    FRAME_CSUM_BAD = 1 << 2,
    /* to be sent: only what caps.offloads has */
    FRAME_TX_IP_CSUM = 1 << 4, /* the field holds 0 */
    FRAME_TX_L4_CSUM = 1 << 5, /* the field holds the folded sum of the pseudo-header, not complemented */
    FRAME_TX_TSO = 1 << 6,     /* cut behind each tso_mss bytes of payload; the pseudo-header's length counts as 0 */
    FRAME_TX_V6 = 1 << 7,
    FRAME_TX_UDP = 1 << 8, /* else TCP */
};

/* One Ethernet frame, without FCS. Whoever holds the struct owns b. */
struct frame {
    struct buf *b;  /* a chain; received ones may be, too. The first buf holds at least all headers. */
    uint32_t len;   /* of the chain */
    uint16_t flags; /* enum frame_flags */
    uint16_t tso_mss;
    uint8_t l2_len, l3_len, l4_len; /* of frames to be sent with FRAME_TX_*; else undefined */
};

struct netdev_caps {
    uint8_t mac[ETH_ALEN];
    uint16_t mtu;      /* largest IP packet, 68 to 65,535 */
    uint32_t offloads; /* enum netdev_offload */
    uint32_t tso_max;  /* bytes of payload a TSO frame may carry */
    /* bufs of one frame to be sent, 1 to NETDEV_SEGS_MAX: with 1, the stack copies chains together */
    uint16_t segs_max;
    uint16_t queue; /* which queue pair this is, of how many */
    uint16_t queue_count;
    bool own_mac; /* mac is ours alone: false on an interface whose kernel has an address on it, too */
    bool no_arp;  /* a point-to-point wire: mac of the peer does not matter */
};

/* What has become of the device. Frames given to one that is DOWN or GONE are taken, dropped and counted: the transport
 * sends again what matters. */
enum netdev_link {
    NETDEV_UP,
    NETDEV_NO_CARRIER, /* nobody at the other end of the wire */
    NETDEV_DOWN,       /* switched off */
    NETDEV_GONE,       /* not there any more; look() takes it back when it comes again */
};

#define NETDEV_WHAT_SIZE 80
#define NETDEV_WHY_SIZE  256

struct netdev;

struct netdev_ops {
    const char *name; /* "packet" */
    /* Takes up to max frames that have come in. With 0 the device is idle. */
    unsigned (*recv)(struct netdev *d, struct frame *out, unsigned max);
    /* Takes the first n' <= n frames, whose bufs it unrefs when the wire has them; returns n'. Fewer: the ring is
     * full, the rest is asked again next turn. A frame it cannot send is taken, dropped and counted. */
    unsigned (*send)(struct netdev *d, struct frame *f, unsigned n);
    /* Readable when recv() would give something, after arm(). -1: must be polled. NULL: the same. */
    int (*fd)(struct netdev *d);
    /* Before the thread sleeps: interrupts on. -EAGAIN: frames are there. -EOPNOTSUPP: poll. NULL: nothing to do. */
    int (*arm)(struct netdev *d);
    /* Frames of this local port are ours (on), or not any more. For devices that share their interface with the
     * kernel; proto IPPROTO_TCP or UDP, port in host order; port 0: every port above the kernel's (active opens).
     * NULL: everything is ours anyway. */
    int (*claim)(struct netdev *d, uint8_t proto, uint16_t port, bool on);
    void (*close)(struct netdev *d);
    /* Has a look at the device itself, off the hot path: link, caps.mac and caps.mtu, n.returned say what it has found,
     * fd() may be another one afterwards. One that had gone and is there again is taken back, with all claims. why (256
     * bytes, empty): what stands in the way of that. NULL: this device has no life of its own. */
    void (*look)(struct netdev *d, char *why);
    /* Readable when look() has something to see; -1 or NULL: it is called every now and then, as it is where `asked` is
     * set, for what nobody tells of. */
    int (*news_fd)(struct netdev *d);
};

struct netdev_counters { /* of the device, by name: "dropped because of …" belongs to whoever dropped */
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
    uint64_t rx_dropped;   /* by the device or kernel, for want of room */
    uint64_t rx_no_buffer; /* out of memory */
    uint64_t tx_full;      /* send() took fewer than it was given */
    uint64_t tx_dropped;   /* could not be sent at all */
    uint64_t kicks;        /* system calls that set transmission going */
    uint64_t returned;     /* it had gone, or the other end was replaced, and was taken back */
};

struct netdev { /* the first member of the device's own struct */
    const struct netdev_ops *ops;
    struct netdev_caps caps;
    struct netdev_counters n;
    enum netdev_link link;
    bool asked;                  /* not all news are told */
    unsigned ifindex;            /* the kernel's interface whose frames these are; 0: of none */
    char what[NETDEV_WHAT_SIZE]; /* name and way of working, for people: "eth1 by AF_PACKET" */
};

/* What a device's open() is given. get(arg, "interface") reads the libOS's configuration: NULL where nothing is
 * said. */
struct netdev_env {
    const char *(*get)(void *arg, const char *key);
    void *arg;
    /* NETDEV_WHY_SIZE bytes: a failing open() says in one line what is missing and which command provides it */
    char *why;
};

/* What crosses the border, looked at from both sides in debug builds: by whoever calls the device, and by the device
 * (where it has something to say: what came over the wire is nobody's promise). */

/* Of recv(): each frame is a buffer that nobody else holds, and its length is there. */
static inline void netdev_assert_received(const struct frame *f, unsigned n)
{
#ifdef DEMI_DEBUG
    for (unsigned i = 0; i < n; i++) {
        size_t len = 0;
        ASSERT(f[i].b);
        ASSERT(f[i].b->refs == 1);
        for (const struct buf *b = f[i].b; b; b = b->next) len += b->len;
        ASSERT(f[i].len <= len);
        ASSERT(!(f[i].flags & ~(FRAME_IP_CSUM_OK | FRAME_L4_CSUM_OK | FRAME_CSUM_BAD)));
    }
#endif
}

/* Of send(), as the device sees it: buffers that are held, and lie in their storage. What it cannot send it drops. */
static inline void netdev_assert_held(const struct frame *f, unsigned n)
{
#ifdef DEMI_DEBUG
    for (unsigned i = 0; i < n; i++) {
        ASSERT(f[i].b);
        for (const struct buf *b = f[i].b; b; b = b->next) {
            ASSERT(b->refs > 0);
            ASSERT(b->data >= b->base);
            ASSERT(buf_headroom(b) + b->len <= b->cap);
        }
    }
#endif
}

/* As who sends sees it: what the stack has made is as long as it says, of no more pieces than the device takes, and
 * asks of it what it can. */
static inline void netdev_assert_to_send(const struct netdev_caps *caps, const struct frame *f, unsigned n)
{
#ifdef DEMI_DEBUG
    ASSERT(n <= NETDEV_BURST);
    netdev_assert_held(f, n);
    for (unsigned i = 0; i < n; i++) {
        size_t len = 0, pieces = 0, head = (size_t)f[i].l2_len + f[i].l3_len + f[i].l4_len;
        const uint16_t flags = f[i].flags;
        for (const struct buf *b = f[i].b; b; b = b->next, pieces++) len += b->len;
        ASSERT(f[i].len == len);
        ASSERT(len > 2 * ETH_ALEN + 2);
        ASSERT(pieces <= NETDEV_SEGS_MAX);
        ASSERT(pieces == 1 || pieces <= caps->segs_max);
        ASSERT(!(flags & FRAME_TX_IP_CSUM) || caps->offloads & OFFLOAD_TX_IP_CSUM);
        ASSERT(!(flags & FRAME_TX_L4_CSUM) || caps->offloads & OFFLOAD_TX_L4_CSUM);
        ASSERT(!(flags & FRAME_TX_TSO) || caps->offloads & OFFLOAD_TX_TSO);
        if (!(flags & (FRAME_TX_IP_CSUM | FRAME_TX_L4_CSUM | FRAME_TX_TSO))) continue;
        ASSERT(head <= f[i].b->len);
        ASSERT(!(flags & FRAME_TX_TSO) || f[i].tso_mss > 0);
        ASSERT(!(flags & FRAME_TX_TSO) || len <= head + caps->tso_max);
    }
#endif
}

typedef int (*netdev_open_fn)(const struct netdev_env *env, struct netdev **out); /* -errno */

#endif
