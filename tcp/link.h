/* SPDX-License-Identifier: MIT
 *
 * What the link says about a packet it hands to IP.
 */
#ifndef TCP_LINK_H
#define TCP_LINK_H

#include <stdbool.h>
#include <stdint.h>

struct link_info {
    const uint8_t *src_mac; /* NULL: from ourselves */
    bool csum_ok;           /* of L4, verified by the device */
    bool ip_csum_ok;        /* of the IPv4 header */
    bool to_many;           /* to a broadcast or multicast MAC */
    bool is_loop;           /* from ourselves */
};

#endif
