/* SPDX-License-Identifier: MIT
 *
 * UDP's part of struct net_stack.
 */
#ifndef TCP_UDP_LAYER_H
#define TCP_UDP_LAYER_H

#include <stdint.h>

struct udp_layer {
    uint32_t count;
};

#endif
