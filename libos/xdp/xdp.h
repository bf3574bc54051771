/* SPDX-License-Identifier: MIT
 *
 * The inside of the AF_XDP device. One struct xdp_dev is one socket on one queue of an interface and serves one thread.
 * The program on the interface and its maps belong to the process (struct xdp_iface) and change under one mutex, on the
 * control path only.
 */
#ifndef LIBOS_XDP_H
#define LIBOS_XDP_H

#include <stdbool.h>
#include <stdint.h>

#include <net/if.h>

#include <linux/bpf.h>
#include <xdp/xsk.h>

#include "alloc/buf.h"
#include "libos/border.h"

#define XDP_QUEUES_MAX    64
#define XDP_ADDRESSES_MAX 16
#define XDP_WIRE_EXTRA    (14 + 4) /* Ethernet and one VLAN tag, beyond the MTU */

/* --- what is asked for (config.c) --- */

struct xdp_address { /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bytes[16];
};

struct xdp_config {
    char interface[IF_NAMESIZE];
    unsigned ifindex;
    long queue, ring;
    uint8_t mac[ETH_ALEN]; /* the interface's, or the one that was asked for */
    bool has_mac;
    bool exclusive;      /* every frame is ours */
    bool shared_address; /* we use the kernel's address: steered by port */
    uint16_t mtu;
    uint16_t queue_count;
    bool is_veth;
    bool try_native, try_skb;
    int busy_tries; /* of 10 ms: a queue, or a program, that was just given back is busy for about 50 ms */
    uint16_t bind_flags;
    struct xdp_address mine[XDP_ADDRESSES_MAX]; /* addresses of ours that the kernel has not */
    unsigned mine_count;
};
int xdp_config_read(const struct netdev_env *env, struct xdp_config *c);
/* What the interface of this name is now: c's ifindex, MAC (unless one was asked for) and MTU, and its link. -ENODEV:
 * there is none. */
int config_look(struct xdp_config *c, enum netdev_link *link);

/* --- the program (program.c) --- */

struct steer_maps {
    int sockets, ports, mine, wanted, settings; /* file descriptors */
};
/* First port of those above the kernel's, per protocol; 65,536: none. */
struct steer_settings {
    uint32_t exclusive;
    uint32_t tcp_from, udp_from;
    uint32_t unused;
};
/* Loads a program that sends what is ours to the socket of the frame's queue, and the rest to the kernel. Its
 * descriptor, or -errno. */
int steer_load(const struct steer_maps *maps);

/* --- the interface (iface.c) --- */

struct xdp_iface;

/* Takes a queue of c's interface; the first puts the program there. */
int iface_take(const struct netdev_env *env, const struct xdp_config *c, struct xdp_iface **out, uint16_t *queue_out);
void iface_give(struct xdp_iface *f, uint16_t queue);
/* The interface has gone, and the program with it. */
void iface_lost(struct xdp_iface *f);
/* c's interface is there again, perhaps under another number: the program is put there, with all claims, by whoever
 * comes first. */
int iface_take_back(const struct netdev_env *env, const struct xdp_config *c, struct xdp_iface *f);
/* Frames may go to the socket, or go there no more. */
int iface_attach_socket(struct xdp_iface *f, uint16_t queue, int fd);
void iface_detach_socket(struct xdp_iface *f, uint16_t queue);
uint32_t iface_xdp_flags(const struct xdp_iface *f);
int iface_claim(struct xdp_iface *f, uint8_t proto, uint16_t port, bool on);
/* The stack asks for the station of this address: the answer is ours and not the kernel's. */
void iface_want(struct xdp_iface *f, const struct xdp_address *a, bool on);

/* --- one socket --- */

struct xdp_dev;

struct chunk_room { /* one for each chunk of the umem */
    struct buf view;
    struct xdp_dev *dev; /* while the stack holds it, else NULL */
};

struct xdp_dev {
    struct netdev dev; /* first */
    struct xdp_iface *iface;
    uint16_t queue;
    int fd;   /* -1: the interface has gone, and the socket with it */
    int news; /* of interfaces; -1: none */
    bool shared_address;
    bool closed;
    /* memory: chunks of 2 KiB or a page, each either in one of the kernel's rings, in the stack's hands, or free */
    uint8_t *area;
    size_t area_size;
    unsigned chunk_shift;
    uint32_t chunk_count;
    struct chunk_room *rooms;
    uint32_t *free; /* a stack of chunk numbers */
    uint32_t free_count;
    uint32_t held, held_max; /* by the stack */
    uint32_t sending;        /* in the transmit ring, or beyond and not yet completed */
    uint32_t ring;           /* size of each ring */
    uint32_t frame_max;
    uint32_t idle_polls;
    struct xsk_umem *umem;
    struct xsk_socket *socket;
    struct xsk_ring_prod fill, tx;
    struct xsk_ring_cons completion, rx;
    int promiscuous_fd; /* -1: none */
    struct xdp_config config;
};

extern const struct netdev_host *xdp_host;

unsigned ring_recv(struct netdev *n, struct frame *out, unsigned max);
unsigned ring_send(struct netdev *n, struct frame *f, unsigned count);
/* Gives free chunks to the kernel to receive into. */
void ring_refill(struct xdp_dev *d);
int ring_arm(struct netdev *n);
/* After close, once the stack holds nothing of d any more. */
void xdp_unhold(struct xdp_dev *d);

#endif
