/* SPDX-License-Identifier: MIT
 *
 * What becomes of a port while it is in use: its link, its removal (hot unplug), the kernel's interface under it, and
 * the other end of a memif.
 *
 * Drivers tell of changes (net_vhost, NICs), or not (net_memif does not), so the port is also asked: by the thread of
 * its first pair, a few times a second (libos/inet/life.c). The others repeat what that one has found.
 *
 * A memif client connects once, when its port is started, and DPDK never tries again (22.11). When its server has been
 * replaced the thread of pair 0 stops and starts the port, with all others out of the way (pause.c).
 */
#include "libos/dpdk/dpdk.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_dev.h>

/* ms that a connection is given to stand: it takes up to 100, and DPDK's server dies of a peer that goes meanwhile */
#define CONNECTS_MS 3000
/* ms between the moment its socket is there, which is early, and the one a new server can answer */
#define STARTS_MS 300

/* --- the link ----------------------------------------------------------------------------------------------------- */

static enum netdev_link link_of_interface(const char *name)
{
    struct ifreq r;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return NETDEV_UP;
    memset(&r, 0, sizeof r);
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    int err = ioctl(fd, SIOCGIFFLAGS, &r) ? errno : 0;
    close(fd);
    if (err) return err == ENODEV ? NETDEV_GONE : NETDEV_UP;
    return !(r.ifr_flags & IFF_UP) ? NETDEV_DOWN : r.ifr_flags & IFF_RUNNING ? NETDEV_UP : NETDEV_NO_CARRIER;
}

static enum netdev_link link_of(const struct dpdk_port *port)
{
    struct rte_eth_link link;
    if (atomic_load_explicit(&port->removed, memory_order_relaxed) || !rte_eth_dev_is_valid_port(port->id))
        return NETDEV_GONE;
    if (port->interface[0]) return link_of_interface(port->interface);
    if (rte_eth_link_get_nowait(port->id, &link)) return NETDEV_UP; /* a driver that cannot tell */
    return link.link_status ? NETDEV_UP : NETDEV_NO_CARRIER;
}

/* On EAL's interrupt thread, or a driver's. */
int life_told(uint16_t id, enum rte_eth_event_type type, void *arg, void *result)
{
    struct dpdk_port *port = arg;
    uint64_t one = 1;
    if (type == RTE_ETH_EVENT_INTR_RMV && port->id == id) atomic_store(&port->removed, true);
    return port->news < 0 || write(port->news, &one, sizeof one) == (ssize_t)sizeof one ? 0 : -1;
}

/* The first pair's thread looks for all. */
int life_news_fd(struct netdev *n)
{
    const struct dpdk_dev *d = (struct dpdk_dev *)n;
    return d->queue ? -1 : d->home->news;
}

/* --- a memif client whose server was replaced --------------------------------------------------------------------- */

static void reconnect(struct dpdk_dev *d, char *why)
{
    struct dpdk_port *port = d->home;
    struct quiet_pipe quiet;
    if (!pause_begin(port, PAUSE_RESTART, d)) { /* then again at the next look */
        pause_end(port, PAUSE_RESTART);
        return;
    }
    eal_pipe_enter(&quiet);
    eal_listen();
    int err = port_restart(port);
    eal_listen_end();
    eal_pipe_leave(&quiet);
    if (err) { /* a port that is stopped may not be asked for frames */
        snprintf(why, NETDEV_WHY_SIZE, "dpdk: %.40s does not connect: %.120s", d->dev.what, eal_reason(-err));
        return;
    }
    d->dev.n.returned++;
    pause_end(port, PAUSE_RESTART);
}

static bool may_reconnect(struct dpdk_port *port)
{
    uint64_t now = rte_get_timer_cycles(), ms = rte_get_timer_hz() / 1000;
    if (!port->server[0] || (!port->was_up && now - port->started_at < CONNECTS_MS * ms)) return false;
    if (!eal_is_served(port->server, port->server_abstract)) {
        port->served_since = 0;
        return false;
    }
    if (!port->served_since) port->served_since = now;
    if (now - port->served_since < STARTS_MS * ms) return false;
    port->started_at = now;
    port->was_up = false;
    port->served_since = 0;
    return true;
}

/* --- the look ----------------------------------------------------------------------------------------------------- */

void life_look(struct netdev *n, char *why)
{
    struct dpdk_dev *d = (struct dpdk_dev *)n;
    struct dpdk_port *port = d->home;
    if (d->queue) {
        n->link = (enum netdev_link)atomic_load(&port->link);
        return;
    }
    uint64_t count;
    if (port->news >= 0 && read(port->news, &count, sizeof count) < 0 && errno != EAGAIN) return;
    pthread_mutex_lock(&dpdk_control);
    enum netdev_link link = link_of(port);
    port->was_up |= n->n.rx_frames != port->frames_before; /* between two looks */
    port->frames_before = n->n.rx_frames;
    if (link == NETDEV_NO_CARRIER && may_reconnect(port)) {
        reconnect(d, why);
        link = link_of(port);
    }
    port->was_up |= link == NETDEV_UP;
    atomic_store(&port->link, link);
    pthread_mutex_unlock(&dpdk_control);
    n->link = link;
}
