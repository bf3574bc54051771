/* SPDX-License-Identifier: MIT
 *
 * UDP's part of struct net_stack.
 */
#ifndef TCP_UDP_LAYER_H
#define TCP_UDP_LAYER_H

#include <stdint.h>

#include "alloc/base/list.h"
#include "tcp/ports.h"

#define UDP_BUCKETS 256 /* by the lower bits of the local port */

struct udp_layer {
    struct list buckets[UDP_BUCKETS]; /* struct udp_sock.link */
    uint32_t count, waiting_count;
    struct list waiting; /* struct udp_waiting.all: datagrams that wait for a neighbour */
    struct list ready;   /* .link: those of them whose neighbour has answered */
    struct ports ports;
};

#endif
