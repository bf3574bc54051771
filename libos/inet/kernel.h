/* SPDX-License-Identifier: MIT
 *
 * What the kernel knows of an interface that we share with it: its addresses, and the gateway behind it.
 */
#ifndef INET_KERNEL_H
#define INET_KERNEL_H

#include "tcp/addr.h"

#define KERNEL_ADDRS_MAX 12

struct kernel_addrs {
    unsigned count;
    struct {
        struct ip_addr addr;
        unsigned bits;
    } list[KERNEL_ADDRS_MAX];
    bool has_gateway4, has_gateway6;
    struct ip_addr gateway4, gateway6;
};

/* count is 0 where there is nothing, or nothing can be read. Without an IPv4 address, link-local ones of IPv6 do not
 * count. */
void kernel_addresses(const char *interface, struct kernel_addrs *out);

#endif
