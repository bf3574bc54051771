/* SPDX-License-Identifier: MIT
 *
 * IP's part of struct net_stack: addresses, neighbours, fragments, path MTUs, DHCP. What a packet touches stands first.
 */
#ifndef TCP_IP_LAYER_H
#define TCP_IP_LAYER_H

#include "alloc/base/clock.h"
#include "alloc/base/wheel.h"
#include "tcp/addr.h"

#define IP_ADDRS_MAX    16 /* own addresses of both families */
#define IP_ROUTERS_MAX  4  /* default routers learned from advertisements */
#define IP_PREFIXES_MAX 16 /* on-link prefixes learned from them */

struct buf;
struct dhcp;
struct frag_table;
struct nd;
struct neighbour_table;
struct pmtu_table;

struct own_addr4 {                  /* as on the wire, for the receive path */
    uint32_t addr, mask, broadcast; /* broadcast 0: the prefix has none (RFC 3021) */
};

enum own_addr_state { OWN_NONE, OWN_TENTATIVE, OWN_PREFERRED, OWN_DEPRECATED };
enum own_addr_origin { OWN_STATIC, OWN_DHCP, OWN_LINK_LOCAL, OWN_SLAAC };

struct own_addr {
    struct ip_addr addr;
    uint8_t bits;
    uint8_t state, origin;
    uint8_t dad_count;   /* collisions so far: RFC 7217's DAD_Counter */
    uint8_t probes_left; /* of duplicate address detection */
    uint64_t dad_nonce;  /* of our own last probe: RFC 7527, so that an echo of it is no duplicate */
    nsec preferred_until, valid_until;
    struct net_stack *stack;
    struct timer timer;
};

struct ip_router {
    struct ip_addr addr;
    nsec until; /* 0: free slot */
};
struct ip_prefix {
    struct ip_addr addr;
    uint8_t bits;
    nsec until; /* 0: free slot */
};

struct ip_loop { /* packets to ourselves, in the order they were sent; a ring */
    struct buf **slots;
    uint32_t mask, head, tail;
};

struct ip_layer {
    uint64_t mac_word;   /* our MAC in the lower 48 bits, as load_u64() gives it */
    uint32_t generation; /* of routes, neighbours and path MTUs: struct path looks again when it has changed */
    uint32_t own4_count;
    struct own_addr4 own4[IP_ADDRS_MAX];
    struct ip_loop loop;

    unsigned addr_end; /* behind the last one in use */
    struct own_addr addrs[IP_ADDRS_MAX];
    struct ip_addr gateway4, gateway6; /* "any" of IPv6: none */
    struct ip_router routers[IP_ROUTERS_MAX];
    struct ip_prefix prefixes[IP_PREFIXES_MAX];
    uint16_t mtu4, mtu6; /* of the link, as DHCP and routers say; at most conf.mtu */
    uint8_t hops6;       /* of new IPv6 paths */
    uint8_t router_next; /* round robin among unreachable routers (RFC 4861 6.3.6) */

    struct neighbour_table *neighbours;
    struct frag_table *frags;
    struct pmtu_table *pmtu;
    struct dhcp *dhcp; /* NULL: not asked for */
    struct nd *nd;     /* NULL: no IPv6 */

    uint32_t icmp_left; /* errors and echo replies that may still leave in this second */
    uint64_t icmp_second;
    uint64_t conflict_second; /* when an address of ours was last defended */
};

#endif
