/* SPDX-License-Identifier: MIT
 *
 * IP addresses of both families in one form: 16 bytes, an IPv4 address as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). All zeros
 * is "any" of IPv6, ::ffff:0.0.0.0 "any" of IPv4.
 */
#ifndef TCP_ADDR_H
#define TCP_ADDR_H

#include "alloc/base/bytes.h"

struct ip_addr {
    union {
        uint8_t b[16];
        uint32_t w[4]; /* as on the wire */
        uint64_t q[2];
    };
};

#define ADDR_V4_PREFIX 0xffff0000u /* w[2] of an IPv4 address, as loaded on a little-endian host */
#define ADDR_TEXT_MAX  46

struct ip_port {
    struct ip_addr addr;
    uint16_t port; /* host order */
};

static inline struct ip_addr addr_v4(uint32_t wire) /* as in struct in_addr */
{
    return (struct ip_addr){.w = {0, 0, ADDR_V4_PREFIX, wire}};
}
static inline bool addr_is_v4(const struct ip_addr *a) { return a->q[0] == 0 && a->w[2] == ADDR_V4_PREFIX; }
static inline bool addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return a->q[0] == b->q[0] && a->q[1] == b->q[1];
}
/* Unspecified, of either family. */
static inline bool addr_is_any(const struct ip_addr *a)
{
    return a->q[0] == 0 && (a->q[1] == 0 || (a->w[2] == ADDR_V4_PREFIX && a->w[3] == 0));
}
static inline bool addr_is_multicast(const struct ip_addr *a)
{
    return addr_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff;
}
static inline bool addr_is_broadcast4(const struct ip_addr *a) { return addr_is_v4(a) && a->w[3] == 0xffffffffu; }
static inline bool addr_is_link_local6(const struct ip_addr *a) { return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80; }
static inline bool addr_is_loopback(const struct ip_addr *a)
{
    return addr_is_v4(a) ? a->b[12] == 127 : a->q[0] == 0 && a->w[2] == 0 && load_be32(&a->w[3]) == 1;
}
/* Whether the first `bits` bits are equal; of an IPv4 address bits counts from its own 32. */
bool addr_in_prefix(const struct ip_addr *a, const struct ip_addr *prefix, unsigned bits);

/* "192.0.2.1", "2001:db8::1" (RFC 5952). -EINVAL. */
int addr_parse(const char *text, struct ip_addr *out);
/* "192.0.2.1/24": without a slash the whole address. */
int addr_parse_prefix(const char *text, struct ip_addr *out, unsigned *bits);
const char *addr_text(const struct ip_addr *a, char out[ADDR_TEXT_MAX]); /* returns out */

#endif
