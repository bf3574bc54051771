/* SPDX-License-Identifier: MIT
 *
 * Interfaces with our program on them, one entry for each in the process: its maps, how often each port is claimed,
 * which queues are taken. The program hangs on the interface by a bpf_link, so it goes when the last descriptor does:
 * with the last queue that is given back, or with the process however it ends. Kernels before 5.9 have no such links:
 * there it is attached the old way, and a killed process leaves it behind.
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include "libos/plugin.h"
#include "libos/xdp/xdp.h"

#define IFACES_MAX 16
#define PORTS_MAX  16384 /* claimed at a time, of both protocols */
#define WANTED_MAX 256   /* the least recent is forgotten */

struct xdp_iface {
    unsigned ifindex; /* 0: free */
    unsigned users;
    bool lost;         /* the interface has gone; the maps, and what they say, are kept */
    int program, link; /* link -1: attached the old way */
    uint32_t xdp_flags;
    struct steer_maps maps;
    struct steer_settings settings;
    uint32_t high_port;        /* the first above the kernel's */
    uint32_t (*claims)[65536]; /* by protocol (0 TCP, 1 UDP) and port: how many */
    bool taken[XDP_QUEUES_MAX];
};

static struct xdp_iface ifaces[IFACES_MAX];
static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A forked child has none of the parent's queues; the program and its maps stay the parent's. */
static void iface_fork_prepare(void) { pthread_mutex_lock(&control); }
static void iface_fork_parent(void) { pthread_mutex_unlock(&control); }
static void iface_fork_child(void)
{
    memset(ifaces, 0, sizeof ifaces);
    pthread_mutex_unlock(&control);
}
static void watch_forks(void) { pthread_atfork(iface_fork_prepare, iface_fork_parent, iface_fork_child); }

/* --- the program's maps --- */

static void close_maps(struct steer_maps *m)
{
    int *fds[] = {&m->sockets, &m->ports, &m->mine, &m->wanted, &m->settings};
    for (unsigned i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0) close(*fds[i]);
        *fds[i] = -1;
    }
}

static int make_maps(struct steer_maps *m)
{
    m->sockets =
        bpf_map_create(BPF_MAP_TYPE_XSKMAP, "demi_sockets", sizeof(uint32_t), sizeof(uint32_t), XDP_QUEUES_MAX, NULL);
    m->ports = bpf_map_create(BPF_MAP_TYPE_HASH, "demi_ports", sizeof(uint32_t), sizeof(uint32_t), PORTS_MAX, NULL);
    m->mine = bpf_map_create(BPF_MAP_TYPE_HASH, "demi_mine", sizeof(struct xdp_address), sizeof(uint32_t),
                             XDP_ADDRESSES_MAX, NULL);
    m->wanted = bpf_map_create(BPF_MAP_TYPE_LRU_HASH, "demi_wanted", sizeof(struct xdp_address), sizeof(uint32_t),
                               WANTED_MAX, NULL);
    m->settings =
        bpf_map_create(BPF_MAP_TYPE_ARRAY, "demi_settings", sizeof(uint32_t), sizeof(struct steer_settings), 1, NULL);
    if (m->sockets >= 0 && m->ports >= 0 && m->mine >= 0 && m->wanted >= 0 && m->settings >= 0) return 0;
    int err = errno;
    close_maps(m);
    return -err;
}

static int write_settings(struct xdp_iface *f)
{
    uint32_t key = 0;
    return bpf_map_update_elem(f->maps.settings, &key, &f->settings, BPF_ANY) ? -errno : 0;
}

static int write_addresses(struct xdp_iface *f, const struct xdp_config *c)
{
    uint32_t one = 1;
    for (unsigned i = 0; i < c->mine_count; i++)
        if (bpf_map_update_elem(f->maps.mine, &c->mine[i], &one, BPF_ANY)) return -errno;
    return 0;
}

/* --- attaching --- */

static int attach_as(struct xdp_iface *f, uint32_t flags)
{
    LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
    f->xdp_flags = flags;
    f->link = bpf_link_create(f->program, (int)f->ifindex, BPF_XDP, &opts);
    if (f->link >= 0) return 0;
    if (errno != EINVAL && errno != EOPNOTSUPP) return -errno;
    int err = errno, old = bpf_xdp_attach((int)f->ifindex, f->program, flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL);
    return old ? -(err == EOPNOTSUPP ? err : -old) : 0;
}

static int attach_any(const struct xdp_config *c, struct xdp_iface *f)
{
    int err = -EOPNOTSUPP;
    /* On a veth both copy, and the generic way round is the faster: 2.3 to 3.5 us a round trip (Linux 6.18). */
    bool skb_first = c->try_skb && c->is_veth;
    if (skb_first) err = attach_as(f, XDP_FLAGS_SKB_MODE);
    if (err && c->try_native && err != -EBUSY && err != -EPERM) err = attach_as(f, XDP_FLAGS_DRV_MODE);
    if (err && c->try_skb && !skb_first && err != -EBUSY && err != -EPERM) err = attach_as(f, XDP_FLAGS_SKB_MODE);
    return err;
}

static int attach(const struct netdev_env *env, const struct xdp_config *c, struct xdp_iface *f)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    int err = attach_any(c, f);
    /* Of a process that has just ended the program may be there for a moment. */
    for (int i = 0; i < c->busy_tries && (err == -EBUSY || err == -EEXIST); i++) {
        nanosleep(&pause, NULL);
        err = attach_any(c, f);
    }
    if (!err) return 0;
    if (err == -EBUSY || err == -EEXIST)
        return plugin_refuse(env, EBUSY, "another XDP program is on %s; to remove it: ip link set dev %s xdp off",
                             c->interface, c->interface);
    if (err == -EOPNOTSUPP && !c->try_skb)
        return plugin_refuse(env, EOPNOTSUPP, "the driver of %s has no XDP: mode skb works everywhere", c->interface);
    return plugin_refuse(env, -err, "the XDP program cannot be put on %s: %s", c->interface, strerror(-err));
}

static void detach(struct xdp_iface *f)
{
    if (f->lost) return;
    if (f->link >= 0) close(f->link);
    else bpf_xdp_detach((int)f->ifindex, f->xdp_flags, NULL);
    f->link = -1;
}

static uint32_t kernel_ports_end(void)
{
    unsigned from = 0, to = 60999; /* the kernel's own default */
    FILE *in = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (!in) return to + 1;
    if (fscanf(in, "%u %u", &from, &to) != 2 || to > 65535) to = 60999;
    fclose(in);
    return to + 1;
}

static int bring_up(const struct netdev_env *env, const struct xdp_config *c, struct xdp_iface *f)
{
    memset(f, 0, sizeof *f);
    f->link = f->program = -1;
    f->ifindex = c->ifindex;
    f->high_port = kernel_ports_end();
    f->settings = (struct steer_settings){.exclusive = c->exclusive, .tcp_from = 65536, .udp_from = 65536};
    f->claims = calloc(2, sizeof *f->claims);
    if (!f->claims) return plugin_refuse(env, ENOMEM, "out of memory");
    int err = make_maps(&f->maps);
    if (!err) err = write_settings(f);
    if (!err) err = write_addresses(f, c);
    if (!err) {
        f->program = steer_load(&f->maps);
        if (f->program < 0) err = f->program;
    }
    if (err == -EPERM)
        err = plugin_refuse(env, EPERM,
                            "no right to load an XDP program: run as root (CAP_BPF, CAP_NET_ADMIN, CAP_NET_RAW)");
    else if (err)
        err = plugin_refuse(env, -err, "the kernel does not take our XDP program: %s; xdp wants Linux 5.4 or later",
                            strerror(-err));
    else err = attach(env, c, f);
    if (!err) return 0;
    if (f->program >= 0) close(f->program);
    close_maps(&f->maps);
    free(f->claims);
    f->ifindex = 0;
    return err;
}

static void take_down(struct xdp_iface *f)
{
    detach(f);
    close(f->program);
    close_maps(&f->maps);
    free(f->claims);
    f->ifindex = 0;
}

/* --- queues --- */

static int iface_find(const struct netdev_env *env, const struct xdp_config *c, struct xdp_iface **out)
{
    struct xdp_iface *unused = NULL;
    for (unsigned i = 0; i < IFACES_MAX; i++) {
        if (ifaces[i].ifindex == c->ifindex) {
            *out = &ifaces[i];
            return 0;
        }
        if (!ifaces[i].ifindex && !unused) unused = &ifaces[i];
    }
    if (!unused) return plugin_refuse(env, EMFILE, "more than %d interfaces in one process", IFACES_MAX);
    *out = unused;
    return bring_up(env, c, unused);
}

int iface_take(const struct netdev_env *env, const struct xdp_config *c, struct xdp_iface **out, uint16_t *queue_out)
{
    struct xdp_iface *f = NULL;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&control);
    int err = iface_find(env, c, &f);
    if (err) goto unlock;
    for (uint16_t q = (uint16_t)c->queue; q < c->queue_count; q++) {
        if (f->taken[q]) continue;
        f->taken[q] = true;
        f->users++;
        *out = f;
        *queue_out = q;
        goto unlock;
    }
    err = plugin_refuse(env, EBUSY, "%s has %u queues, and each from %ld on has its thread: ethtool -L %s combined N",
                        c->interface, c->queue_count, c->queue, c->interface);
    if (!f->users) take_down(f);
unlock:
    pthread_mutex_unlock(&control);
    return err;
}

void iface_give(struct xdp_iface *f, uint16_t queue)
{
    pthread_mutex_lock(&control);
    f->taken[queue] = false;
    if (!--f->users) take_down(f);
    pthread_mutex_unlock(&control);
}

void iface_lost(struct xdp_iface *f)
{
    pthread_mutex_lock(&control);
    detach(f);
    f->lost = true;
    f->ifindex = UINT_MAX; /* its number may become another's */
    pthread_mutex_unlock(&control);
}

int iface_take_back(const struct netdev_env *env, const struct xdp_config *c, struct xdp_iface *f)
{
    int err = 0;
    pthread_mutex_lock(&control);
    if (f->lost || f->ifindex != c->ifindex) {
        detach(f);
        f->lost = true;
        f->ifindex = c->ifindex;
        err = attach(env, c, f);
        f->lost = err != 0;
    }
    pthread_mutex_unlock(&control);
    return err;
}

int iface_attach_socket(struct xdp_iface *f, uint16_t queue, int fd)
{
    uint32_t key = queue, value = (uint32_t)fd;
    return bpf_map_update_elem(f->maps.sockets, &key, &value, BPF_ANY) ? -errno : 0;
}

void iface_detach_socket(struct xdp_iface *f, uint16_t queue)
{
    uint32_t key = queue;
    bpf_map_delete_elem(f->maps.sockets, &key);
}

uint32_t iface_xdp_flags(const struct xdp_iface *f) { return f->xdp_flags; }

/* --- what is ours --- */

static int claim_high(struct xdp_iface *f, bool udp, bool on)
{
    uint32_t *from = udp ? &f->settings.udp_from : &f->settings.tcp_from;
    *from = on ? f->high_port : 65536;
    return write_settings(f);
}

static int claim_port(struct xdp_iface *f, uint8_t proto, uint16_t port, bool on)
{
    uint32_t key = (uint32_t)proto << 16 | htons(port), one = 1;
    if (on) return bpf_map_update_elem(f->maps.ports, &key, &one, BPF_ANY) ? -errno : 0;
    bpf_map_delete_elem(f->maps.ports, &key);
    return 0;
}

int iface_claim(struct xdp_iface *f, uint8_t proto, uint16_t port, bool on)
{
    if (proto != IPPROTO_TCP && proto != IPPROTO_UDP) return -EPROTONOSUPPORT;
    bool udp = proto == IPPROTO_UDP;
    int err = 0;
    pthread_mutex_lock(&control);
    uint32_t *count = &f->claims[udp][port];
    /* The kernel hears of the first claim and of the last one's end. */
    if (!on && !*count) err = -ENOENT;
    else if (*count == !on) err = port ? claim_port(f, proto, port, on) : claim_high(f, udp, on);
    if (!err) *count += on ? 1u : -1u;
    pthread_mutex_unlock(&control);
    return err;
}

void iface_want(struct xdp_iface *f, const struct xdp_address *a, bool on)
{
    uint32_t one = 1;
    /* Best effort: an answer that goes to the kernel is asked for again. */
    if (on) bpf_map_update_elem(f->maps.wanted, a, &one, BPF_ANY);
    else bpf_map_delete_elem(f->maps.wanted, a);
}
