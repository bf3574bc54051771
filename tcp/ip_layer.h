/* SPDX-License-Identifier: MIT
 *
 * IP's part of struct net_stack: addresses, neighbours, fragments, path MTUs, DHCP.
 */
#ifndef TCP_IP_LAYER_H
#define TCP_IP_LAYER_H

#include "alloc/base/clock.h"
#include "tcp/addr.h"

struct ip_layer {
    uint32_t generation; /* of routes and neighbours: struct path looks again when it has changed */
};

#endif
