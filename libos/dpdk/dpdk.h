/* SPDX-License-Identifier: MIT
 *
 * The inside of the DPDK device: what its files tell each other. One struct dpdk_dev is one queue pair and serves one
 * thread; ports, pools and the EAL belong to the process and change under one mutex, on the control path only.
 */
#ifndef LIBOS_DPDK_H
#define LIBOS_DPDK_H

#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "alloc/buf.h"
#include "libos/border.h"

#define DPDK_QUEUES_MAX 64
#define DPDK_WIRE_EXTRA (14 + 4) /* Ethernet and one VLAN tag, beyond the MTU */

/* --- configuration (config.c) --- */

struct dpdk_config {
    char *argv[96]; /* EAL's, as given; [0] is a name */
    int argc;
    char text[4096];  /* where argv points */
    const char *port; /* index or name; NULL: the first of the arguments' devices, else the first there is */
    long rx_ring, tx_ring, mbufs, queues, mtu, link_wait_ms;
    bool promiscuous, rss;
    int checksum, tso, attach; /* enum choice */
    bool interrupts;
    bool has_mac;
    struct rte_ether_addr mac;
};
int dpdk_config_read(const struct netdev_env *env, struct dpdk_config *c);

/* --- the EAL (eal.c): once a process --- */

/* Starts it, or, when it runs, adds the devices of c's arguments that it does not know yet. */
int eal_start(const struct netdev_env *env, const struct dpdk_config *c);
bool eal_is_up(void);
/* Around what talks with another process through a socket that may be closed: drivers do not ask for MSG_NOSIGNAL. */
struct quiet_pipe {
    sigset_t before;
    bool was_pending;
};
void eal_pipe_enter(struct quiet_pipe *q);
void eal_pipe_leave(const struct quiet_pipe *q);
/* The calling thread may use caches of pools; the pair may nest. */
void eal_thread_enter(void);
void eal_thread_leave(void);
/* DPDK's words between the two are kept instead of printed. */
void eal_listen(void);
void eal_listen_end(void);
/* The first of them that says what is wrong; "" if there was none. */
const char *eal_complaint(void);
/* What DPDK complained of, or else errno's text. */
const char *eal_reason(int err);
/* Whether the driver a virtual device is named after is installed; package gets the name of what brings it. */
bool eal_has_driver(const char *device, char *package, size_t size);
/* Whether a live process has this socket, of any type; a file that nobody has is removed. */
/* Whether a device of PCI is a controller of NVMe; and words for EAL that keep it from all there are, at most max. */
#define EAL_BLOCKS_MAX 16
#define EAL_BLOCK_SIZE 24
bool eal_is_nvme(const char *device);
unsigned eal_block_nvme(char words[][EAL_BLOCK_SIZE], unsigned max);
bool eal_is_served(const char *path, bool abstract);
/* A value of "key=value,..." of a device's arguments, which begin with a comma or a name. */
bool eal_device_value(const char *device, const char *key, char *out, size_t size);
/* The name of the first device in c's arguments. */
bool eal_first_device(const struct dpdk_config *c, char *name, size_t size);

/* --- pools (pool.c) --- */

#define DPDK_FRAME_MBUFS 64 /* of one frame to be sent, at most */
/* mbufs of a transmit pool beyond its ring: chains under construction, caches, what peers of net_ring hold. */
#define DPDK_TX_SPARE 2047u
static_assert(NETDEV_SEGS_MAX <= DPDK_FRAME_MBUFS, "a chain of the stack's is a chain of mbufs");
static_assert(2 * DPDK_FRAME_MBUFS <= DPDK_TX_SPARE, "behind a full ring, a frame and one more can be built");

struct dpdk_dev;

/* In each mbuf of our pools, behind struct rte_mbuf. */
struct mbuf_room {
    struct buf view;                        /* received: what the stack sees of it */
    struct rte_mbuf_ext_shared_info shared; /* sent: of the attached memory */
    struct buf *lent;                       /* sent: whose memory is attached */
    struct dpdk_dev *dev;
};

static inline struct mbuf_room *mbuf_room(struct rte_mbuf *m) { return rte_mbuf_to_priv(m); }

/* A pool of at least `count` mbufs with `room` bytes each, headroom included. Those that came home late are taken
 * first. NULL: no memory. */
struct rte_mempool *pool_take(uint32_t count, uint32_t room);
/* May be called with mbufs still out: the pool is kept until they are home. */
void pool_give(struct rte_mempool *pool);

/* --- ports (port.c) --- */

struct dpdk_pair { /* of queues, and the pools they use */
    struct rte_mempool *rx_pool, *tx_pool;
    struct dpdk_dev *dev; /* whose it is, once that is open */
    bool taken;
};

struct dpdk_port {
    uint16_t id;
    bool used; /* this entry of the table */
    unsigned users;
    uint16_t queue_count;
    uint16_t rx_ring, tx_ring;
    uint32_t mbufs;
    uint64_t rx_offloads, tx_offloads;
    uint16_t mtu;
    bool any_mtu; /* whatever the driver says */
    atomic_bool removed;
    int news;                    /* an eventfd: drivers that tell of their link have; -1: none */
    atomic_int link;             /* enum netdev_link, as the first pair's thread has seen it */
    char interface[IF_NAMESIZE]; /* the kernel's interface under it, or empty */
    char server[108];            /* a memif client's: the socket of its server, or empty */
    bool server_abstract;
    bool was_up;                       /* its link, since it was started */
    uint64_t frames_before;            /* received by the first pair */
    uint64_t started_at, served_since; /* in timer cycles */
    bool interrupts;
    struct rte_eth_dev_info info;
    struct dpdk_pair pairs[DPDK_QUEUES_MAX];
};

/* Takes the next free pair of the port c asks for; the first to come configures and starts the port. */
int port_take_pair(const struct netdev_env *env, const struct dpdk_config *c, struct dpdk_port **port_out,
                   uint16_t *queue_out);
/* Stops and starts it, with its pools. Nobody else may be in a call of DPDK's on this port. -errno: it is stopped. */
int port_restart(struct dpdk_port *port);
/* Gives it back; the last to go stops the port. */
void port_give_pair(struct dpdk_port *port, uint16_t queue);

/* The next port in use behind `after`, or the first (NULL); NULL: no more. */
struct dpdk_port *port_next(const struct dpdk_port *after);

/* --- pauses (pause.c): all that follows under dpdk_control --- */

enum dpdk_pause { PAUSE_RESTART = 1, PAUSE_MEMIF = 2 }; /* bits: both may want it */

/* From now on its pairs' recv and send call nothing of DPDK. Whether all but `me` (or NULL) have come by since, in a
 * bounded time; one that has not sleeps, or has no processor. */
bool pause_begin(struct dpdk_port *port, enum dpdk_pause why, const struct dpdk_dev *me);
void pause_end(struct dpdk_port *port, enum dpdk_pause why);

/* --- connections of net_memif (memif.c) --- */

static inline bool port_is_memif(const struct rte_eth_dev_info *info)
{
    return info->driver_name && !strcmp(info->driver_name, "net_memif");
}

/* Before the first port of it starts. */
void memif_guard(void);
/* What DPDK says that is no complaint, on whatever thread that is. */
void memif_heard(void);
/* On EAL's interrupt thread: a port is stopped there by us, who hold dpdk_control. */
void memif_stop_begin(void);
void memif_stop_end(void);

/* --- one queue pair --- */

struct dpdk_dev {
    struct netdev dev; /* first */
    uint16_t port, queue;
    /* receive */
    struct rte_mempool *rx_pool;
    uint32_t held;                 /* mbufs the program has, as bufs */
    uint32_t held_max;             /* beyond: frames are copied, so that the pool never runs dry */
    uint32_t idle_polls, idle_run; /* in all, in a row */
    bool armed;
    bool heard;      /* an interrupt has come */
    bool deaf;       /* none comes: must be polled */
    unsigned missed; /* sleeps that frames should have ended */
    int wait_fd;     /* -1: no interrupts */
    int queue_fd;
    bool queue_fd_counts; /* an eventfd: must be read to fall silent */
    /* transmit */
    struct rte_mempool *tx_pool;
    uint32_t stuck;       /* calls in a row in which not one frame went */
    uint32_t lent;        /* mbufs with memory of ours attached, in the device */
    uint32_t frame_max;   /* bytes on the wire without TSO */
    uint16_t mbufs_max;   /* of one frame */
    uint16_t mbufs_whole; /* of one without TSO */
    uint32_t piece_page;  /* attached pieces end where such a page does; 0: anywhere */
    bool multi_seg;
    bool attach; /* the driver reads any memory of ours */
    bool attach_tso;
    bool needs_map;     /* only memory whose region was registered */
    uint64_t iova_mask; /* what the device calls an address */
    bool prepares;      /* some offload is on */
    /* life */
    pthread_t owner;
    struct dpdk_port *home;
    int memory; /* its number, for cookies; -1: none is registered */
    bool closed;
    atomic_uint pause; /* enum dpdk_pause; 0: none */
    atomic_bool parked;
    pthread_mutex_t strays_lock;
    struct buf **strays; /* given back on another thread, unref'd by the owner */
    uint32_t stray_count, stray_room;
};

extern const struct netdev_host *dpdk_host;
extern pthread_mutex_t dpdk_control; /* over everything that belongs to the process */

/* The device's look (tcp/netdev.h), and DPDK's events of a link and of a removal, whose arg is the port. */
void life_look(struct netdev *n, char *why);
int life_told(uint16_t id, enum rte_eth_event_type type, void *arg, void *result);
int life_news_fd(struct netdev *n);

/* In recv: nothing of DPDK may be called, and nothing is. */
static inline bool dev_is_paused(struct dpdk_dev *d)
{
    if (likely(!atomic_load_explicit(&d->pause, memory_order_acquire))) return false;
    atomic_store_explicit(&d->parked, true, memory_order_release);
    return true;
}

unsigned rx_recv(struct netdev *n, struct frame *out, unsigned max);
unsigned tx_send(struct netdev *n, struct frame *f, unsigned count);
/* Lets go of what drivers gave back on other threads. */
void tx_drain_strays(struct dpdk_dev *d);
/* Frees what the driver has sent, until nothing of ours is lent or it has nothing more to say. */
void tx_finish(struct dpdk_dev *d);
/* Interrupts off, after a sleep. Returns whether one came. */
bool dev_disarm(struct dpdk_dev *d);
/* After close, once nothing of d is out any more. */
void dpdk_unhold(struct dpdk_dev *d);

static inline void dev_settle(struct dpdk_dev *d)
{
    if (unlikely(d->closed) && !d->held && !d->lent) dpdk_unhold(d);
}

#endif
