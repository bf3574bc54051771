/* SPDX-License-Identifier: MIT
 *
 * Headers as they lie on the wire: Ethernet II, ARP (RFC 826), IPv4 (RFC 791), IPv6 (RFC 8200), ICMP (RFC 792, 4443),
 * UDP (RFC 768), TCP (RFC 9293 3.1). All fields are in network order: be16 and be32 say so. Packed: a frame may start
 * anywhere.
 */
#ifndef TCP_HDR_H
#define TCP_HDR_H

#include "alloc/base/bytes.h"

typedef uint16_t be16;
typedef uint32_t be32;

#define be16_of(v) ((be16)__builtin_bswap16((uint16_t)(v)))
#define be32_of(v) ((be32)__builtin_bswap32((uint32_t)(v)))
static inline uint16_t be16_to_host(be16 v) { return __builtin_bswap16(v); }
static inline uint32_t be32_to_host(be32 v) { return __builtin_bswap32(v); }

#define PACKED __attribute__((packed))

enum { ETH_TYPE_IP4 = 0x0800, ETH_TYPE_ARP = 0x0806, ETH_TYPE_VLAN = 0x8100, ETH_TYPE_IP6 = 0x86dd };

struct eth_hdr {
    uint8_t dst[6], src[6];
    be16 type;
} PACKED;

struct arp_hdr {
    be16 hw, proto;
    uint8_t hw_len, proto_len;
    be16 op;
    uint8_t src_mac[6];
    be32 src_ip;
    uint8_t dst_mac[6];
    be32 dst_ip;
} PACKED;

/*   0                   1                   2                   3
 *  |Version|  IHL  |   DSCP    |ECN|          Total Length         |
 *  |         Identification        |Flags|     Fragment Offset     |
 *  |  Time to Live |    Protocol   |        Header Checksum        |
 *  |                  Source, Destination Address                  |  */
struct ip4_hdr {
    uint8_t version_ihl, tos;
    be16 total_len, id, frag; /* frag: 0, DF, MF, then 13 bits of offset in units of 8 */
    uint8_t ttl, proto;
    be16 csum;
    be32 src, dst;
} PACKED;
enum { IP4_DF = 0x4000, IP4_MF = 0x2000, IP4_OFFSET = 0x1fff };

struct ip6_hdr {
    be32 version_class_flow;
    be16 payload_len;
    uint8_t next, hops;
    uint8_t src[16], dst[16];
} PACKED;

struct ip6_ext {       /* hop-by-hop, routing, destination options */
    uint8_t next, len; /* len in units of 8 behind the first 8 */
    uint8_t body[6];
} PACKED;

struct ip6_frag {
    uint8_t next, reserved;
    be16 offset_more; /* 13 bits of offset in units of 8, 2 reserved, M */
    be32 id;
} PACKED;

struct icmp_hdr { /* of both versions */
    uint8_t type, code;
    be16 csum;
    be32 rest; /* id and sequence of an echo; MTU in the lower half (4) or all (6); pointer */
} PACKED;

struct udp_hdr {
    be16 src, dst, len, csum;
} PACKED;

/*  |          Source Port          |       Destination Port        |
 *  |                        Sequence Number                        |
 *  |                    Acknowledgment Number                      |
 *  | Offs. | Rsrvd |C E U A P R S F|            Window             |
 *  |           Checksum            |         Urgent Pointer        |  */
struct tcp_hdr {
    be16 src, dst;
    be32 seq, ack;
    uint8_t offset; /* upper half: words of header */
    uint8_t flags;
    be16 window, csum, urgent;
} PACKED;
enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32, TCP_ECE = 64, TCP_CWR = 128 };

#define TCP_HDR_MIN  20
#define TCP_OPTS_MAX 40

_Static_assert(sizeof(struct eth_hdr) == 14 && sizeof(struct arp_hdr) == 28 && sizeof(struct ip4_hdr) == 20 &&
                   sizeof(struct ip6_hdr) == 40 && sizeof(struct tcp_hdr) == TCP_HDR_MIN && sizeof(struct udp_hdr) == 8,
               "as on the wire");

#endif
