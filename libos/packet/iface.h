/* SPDX-License-Identifier: MIT
 *
 * What the kernel knows about a network interface.
 */
#ifndef PACKET_IFACE_H
#define PACKET_IFACE_H

#include "tcp/netdev.h"

#include <net/if.h>

enum iface_kernel { /* the addresses the kernel has there */
                    IFACE_KERNEL_NONE,
                    IFACE_KERNEL_LINK_LOCAL, /* fe80::… only, which it gives itself */
                    IFACE_KERNEL_ADDRESS,
};

struct iface {
    char name[IFNAMSIZ];
    int index;
    uint8_t mac[ETH_ALEN];
    unsigned mtu;
    bool up, ethernet, loopback;
    bool running; /* up, and with a carrier */
    bool tso;     /* it cuts segments itself, of both families */
    enum iface_kernel kernel;
};

/* -ENODEV: no such interface; others as the kernel says. */
int iface_look(const char *name, struct iface *out);
/* ip link set NAME up */
int iface_up(const char *name);

#endif
