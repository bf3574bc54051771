/* SPDX-License-Identifier: MIT
 *
 * See ip_option.h.
 */
#include "libos/runtime/ip_option.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define ECN_BITS 3

enum ip_option ip_option_of(int domain, int level, int name)
{
    if (domain == AF_INET && level == IPPROTO_IP) {
        if (name == IP_TTL) return IP_OPTION_HOPS;
        if (name == IP_TOS) return IP_OPTION_TOS;
    } else if (domain == AF_INET6 && level == IPPROTO_IPV6) {
        if (name == IPV6_UNICAST_HOPS) return IP_OPTION_HOPS;
        if (name == IPV6_TCLASS) return IP_OPTION_TOS;
    }
    return IP_OPTION_NONE;
}

int ip_option_read(enum ip_option option, int domain, const void *val, socklen_t len, uint8_t *out)
{
    int v;
    if (len < sizeof v) return -EINVAL;
    memcpy(&v, val, sizeof v);
    if (v == -1 && option == IP_OPTION_HOPS) v = IP_HOPS_DEFAULT;
    if (v == -1 && option == IP_OPTION_TOS && domain == AF_INET6) v = 0;
    if (v < 0 || v > 255 || (option == IP_OPTION_HOPS && v == 0)) return -EINVAL;
    *out = (uint8_t)(option == IP_OPTION_TOS ? v & ~ECN_BITS : v);
    return 0;
}
