/* SPDX-License-Identifier: MIT
 *
 * Interfaces, asked by ioctl on a socket of any kind: no rights are needed for it.
 */
#include "libos/packet/iface.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int ask(int fd, unsigned long what, const char *name, struct ifreq *r)
{
    memset(r, 0, sizeof *r);
    memcpy(r->ifr_name, name, strlen(name));
    return ioctl(fd, what, r) ? -errno : 0;
}

static bool ethtool_flag(int fd, const char *name, uint32_t command)
{
    struct ethtool_value value = {.cmd = command};
    struct ifreq r;
    memset(&r, 0, sizeof r);
    memcpy(r.ifr_name, name, strlen(name));
    r.ifr_data = (void *)&value;
    return ioctl(fd, SIOCETHTOOL, &r) == 0 && value.data;
}

static enum iface_kernel kernel_addresses(const char *name)
{
    struct ifaddrs *list;
    enum iface_kernel found = IFACE_KERNEL_NONE;
    if (getifaddrs(&list)) return IFACE_KERNEL_ADDRESS; /* cannot tell: the careful answer */
    for (const struct ifaddrs *a = list; a; a = a->ifa_next) {
        if (!a->ifa_addr || strcmp(a->ifa_name, name)) continue;
        if (a->ifa_addr->sa_family == AF_INET) found = IFACE_KERNEL_ADDRESS;
        if (a->ifa_addr->sa_family != AF_INET6) continue;
        const struct sockaddr_in6 *six = (const void *)a->ifa_addr;
        if (!IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr)) found = IFACE_KERNEL_ADDRESS;
        else if (found == IFACE_KERNEL_NONE) found = IFACE_KERNEL_LINK_LOCAL;
    }
    freeifaddrs(list);
    return found;
}

int iface_look(const char *name, struct iface *out)
{
    struct iface i = {0};
    struct ifreq r;
    if (strlen(name) >= sizeof i.name) return -ENODEV;
    memcpy(i.name, name, strlen(name));
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int err = ask(fd, SIOCGIFINDEX, name, &r);
    i.index = r.ifr_ifindex;
    if (!err) err = ask(fd, SIOCGIFFLAGS, name, &r);
    i.up = r.ifr_flags & IFF_UP;
    i.running = i.up && r.ifr_flags & IFF_RUNNING;
    i.loopback = r.ifr_flags & IFF_LOOPBACK;
    if (!err) err = ask(fd, SIOCGIFMTU, name, &r);
    i.mtu = (unsigned)r.ifr_mtu;
    if (!err) err = ask(fd, SIOCGIFHWADDR, name, &r);
    i.ethernet = r.ifr_hwaddr.sa_family == ARPHRD_ETHER || i.loopback;
    memcpy(i.mac, r.ifr_hwaddr.sa_data, ETH_ALEN);
    if (!err) {
        i.tso = ethtool_flag(fd, name, ETHTOOL_GTSO);
        i.kernel = kernel_addresses(name);
        *out = i;
    }
    close(fd);
    return err;
}

int iface_up(const char *name)
{
    struct ifreq r;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int err = ask(fd, SIOCGIFFLAGS, name, &r);
    if (!err && !(r.ifr_flags & IFF_UP)) {
        r.ifr_flags |= IFF_UP;
        if (ioctl(fd, SIOCSIFFLAGS, &r)) err = -errno;
    }
    close(fd);
    return err;
}
