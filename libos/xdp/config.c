/* SPDX-License-Identifier: MIT
 *
 * The keys of the xdp device, and what the interface itself says. Three ways to have an interface:
 *
 *   - The kernel has no IPv4 address on it, or `exclusive: yes`: every frame is ours.
 *   - The kernel uses it, and `address` names one the kernel has not: frames for that address are ours.
 *   - The kernel uses it, and its address is ours, too: frames for ports we claim are ours.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>
#include <netinet/in.h>

#include "libos/plugin.h"
#include "libos/xdp/xdp.h"

/* A page holds a frame and the 256 bytes that the kernel keeps in front of it. */
#define MTU_MOST (4096 - 256 - XDP_WIRE_EXTRA)

/* --- the interface --- */

static int ask(int fd, const struct xdp_config *c, unsigned long request, struct ifreq *r)
{
    memset(r, 0, sizeof *r);
    snprintf(r->ifr_name, sizeof r->ifr_name, "%s", c->interface);
    return ioctl(fd, request, r) ? -errno : 0;
}

static int ask_ethtool(int fd, const struct xdp_config *c, void *command)
{
    struct ifreq r;
    memset(&r, 0, sizeof r);
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", c->interface);
    r.ifr_data = command;
    return ioctl(fd, SIOCETHTOOL, &r) ? -errno : 0;
}

static void read_ethtool(int fd, struct xdp_config *c)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
    c->queue_count = 1;
    if (!ask_ethtool(fd, c, &channels)) {
        uint32_t n = channels.combined_count + channels.rx_count;
        c->queue_count = (uint16_t)(n < 1 ? 1 : n > XDP_QUEUES_MAX ? XDP_QUEUES_MAX : n);
    }
    c->is_veth = !ask_ethtool(fd, c, &driver) && !strcmp(driver.driver, "veth");
}

int config_look(struct xdp_config *c, enum netdev_link *link)
{
    struct ifreq r;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int err = ask(fd, c, SIOCGIFINDEX, &r);
    if (!err) c->ifindex = (unsigned)r.ifr_ifindex;
    if (!err) err = ask(fd, c, SIOCGIFHWADDR, &r);
    if (!err && !c->has_mac) memcpy(c->mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
    if (!err) err = ask(fd, c, SIOCGIFMTU, &r);
    if (!err) c->mtu = (uint16_t)(r.ifr_mtu < MTU_MOST ? r.ifr_mtu : MTU_MOST);
    if (!err) err = ask(fd, c, SIOCGIFFLAGS, &r);
    if (!err) *link = !(r.ifr_flags & IFF_UP) ? NETDEV_DOWN : r.ifr_flags & IFF_RUNNING ? NETDEV_UP : NETDEV_NO_CARRIER;
    close(fd);
    return err;
}

static int read_interface(const struct netdev_env *env, struct xdp_config *c)
{
    struct ifreq r;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;
    if (fd < 0) return plugin_refuse(env, errno, "no socket: %s", strerror(errno));
    c->ifindex = if_nametoindex(c->interface);
    if (!c->ifindex) {
        err = plugin_refuse(env, ENODEV, "there is no interface %s: ip -br link shows those there are", c->interface);
        goto close_fd;
    }
    if (ask(fd, c, SIOCGIFHWADDR, &r) || r.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
        err = plugin_refuse(env, ENOTSUP, "%s does not carry Ethernet frames", c->interface);
        goto close_fd;
    }
    if (!c->has_mac) memcpy(c->mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
    if (ask(fd, c, SIOCGIFFLAGS, &r) || !(r.ifr_flags & IFF_UP)) {
        err = plugin_refuse(env, ENETDOWN, "%s is down: ip link set dev %s up", c->interface, c->interface);
        goto close_fd;
    }
    if (ask(fd, c, SIOCGIFMTU, &r) || r.ifr_mtu > MTU_MOST || r.ifr_mtu < 68) {
        err = plugin_refuse(env, EINVAL, "the MTU of %s is more than AF_XDP's chunks hold: ip link set dev %s mtu %d",
                            c->interface, c->interface, MTU_MOST);
        goto close_fd;
    }
    c->mtu = (uint16_t)r.ifr_mtu;
    read_ethtool(fd, c);
    err = 0;
close_fd:
    close(fd);
    return err;
}

/* --- addresses --- */

static struct xdp_address mapped(const void *v4)
{
    struct xdp_address a = {{[10] = 0xff, [11] = 0xff}};
    memcpy(a.bytes + 12, v4, 4);
    return a;
}

/* Whether the kernel has any IPv4 address on the interface, and whether it has this one. */
static void kernel_has(const struct xdp_config *c, const struct xdp_address *one, bool *any, bool *this_one)
{
    struct ifaddrs *all, *i;
    *any = *this_one = false;
    if (getifaddrs(&all)) return;
    for (i = all; i; i = i->ifa_next) {
        struct xdp_address a;
        if (!i->ifa_addr || strcmp(i->ifa_name, c->interface)) continue;
        if (i->ifa_addr->sa_family == AF_INET) {
            a = mapped(&((struct sockaddr_in *)i->ifa_addr)->sin_addr);
            *any = true;
        } else if (i->ifa_addr->sa_family == AF_INET6)
            memcpy(a.bytes, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, 16);
        else continue;
        if (one && !memcmp(&a, one, sizeof a)) *this_one = true;
    }
    freeifaddrs(all);
}

/* "10.0.0.2/24, fd00::2/64": those the kernel has not are ours alone. What is not an address is the stack's to
 * refuse. */
static int read_addresses(struct xdp_config *c, const char *text)
{
    char word[64];
    int total = 0;
    for (; *text; text += strcspn(text, ", ")) {
        text += strspn(text, ", ");
        snprintf(word, sizeof word, "%.*s", (int)strcspn(text, ", /"), text);
        struct xdp_address a;
        struct in_addr v4;
        bool any, kernels;
        if (inet_pton(AF_INET, word, &v4) == 1) a = mapped(&v4);
        else if (inet_pton(AF_INET6, word, a.bytes) != 1) continue;
        kernel_has(c, &a, &any, &kernels);
        total++;
        if (!kernels && c->mine_count < XDP_ADDRESSES_MAX) c->mine[c->mine_count++] = a;
    }
    return total;
}

static int choose_sharing(const struct netdev_env *env, struct xdp_config *c)
{
    enum choice exclusive = CHOICE_AUTO;
    bool any, unused;
    int err = plugin_choice(env, "exclusive", &exclusive);
    if (err) return err;
    kernel_has(c, NULL, &any, &unused);
    c->exclusive = exclusive == CHOICE_YES || (exclusive == CHOICE_AUTO && !any);
    const char *address = plugin_text(env, "address");
    int total = address ? read_addresses(c, address) : 0;
    c->shared_address = !c->exclusive && (!total || c->mine_count < (unsigned)total);
    if (c->has_mac && !c->exclusive)
        return plugin_refuse(env, EINVAL, "mac: another address than that of %s wants exclusive", c->interface);
    return 0;
}

/* --- the rest --- */

static int read_mode(const struct netdev_env *env, struct xdp_config *c)
{
    const char *mode = plugin_text(env, "mode"), *copy = plugin_text(env, "copy");
    c->try_native = c->try_skb = true;
    if (mode && !strcmp(mode, "native")) c->try_skb = false;
    else if (mode && !strcmp(mode, "skb")) c->try_native = false;
    else if (mode && strcmp(mode, "auto"))
        return plugin_refuse(env, EINVAL, "mode: \"%.40s\" is neither native, skb nor auto", mode);
    if (copy && !strcmp(copy, "zero")) c->bind_flags = XDP_ZEROCOPY;
    else if (copy && !strcmp(copy, "copy")) c->bind_flags = XDP_COPY;
    else if (copy && strcmp(copy, "auto"))
        return plugin_refuse(env, EINVAL, "copy: \"%.40s\" is neither zero, copy nor auto", copy);
    return 0;
}

static int read_mac(const struct netdev_env *env, struct xdp_config *c)
{
    const char *text = plugin_text(env, "mac");
    unsigned m[ETH_ALEN];
    char rest;
    if (!text) return 0;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", m, m + 1, m + 2, m + 3, m + 4, m + 5, &rest) != ETH_ALEN || m[0] & 1)
        return plugin_refuse(env, EINVAL, "mac: \"%.40s\" is not an address a station can have", text);
    for (int i = 0; i < ETH_ALEN; i++) c->mac[i] = (uint8_t)m[i];
    c->has_mac = true;
    return 0;
}

int xdp_config_read(const struct netdev_env *env, struct xdp_config *c)
{
    memset(c, 0, sizeof *c);
    c->ring = 2048;
    const char *interface = plugin_text(env, "interface");
    if (!interface) return plugin_refuse(env, EINVAL, "xdp: on which interface? INTERFACE=eth0, or interface: eth0");
    if (strlen(interface) >= sizeof c->interface)
        return plugin_refuse(env, EINVAL, "interface: \"%.40s\" is too long", interface);
    strcpy(c->interface, interface);
    int err = read_mac(env, c);
    if (!err) err = plugin_number(env, "ring", 64, 16384, &c->ring);
    if (!err && c->ring & (c->ring - 1)) err = plugin_refuse(env, EINVAL, "ring: %ld is not a power of two", c->ring);
    if (!err) err = read_mode(env, c);
    if (!err) err = read_interface(env, c);
    if (!err) err = plugin_number(env, "queue", 0, c->queue_count - 1, &c->queue);
    if (!err) err = choose_sharing(env, c);
    return err;
}
