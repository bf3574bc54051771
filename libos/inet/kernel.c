/* SPDX-License-Identifier: MIT
 *
 * See kernel.h. Addresses by getifaddrs(3), default routes from /proc/net/route and /proc/net/ipv6_route (proc(5)).
 */
#include "libos/inet/kernel.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LINES_MAX 4096

static unsigned ones(const void *mask, size_t n)
{
    unsigned bits = 0;
    for (size_t i = 0; i < n; i++) bits += (unsigned)__builtin_popcount(((const uint8_t *)mask)[i]);
    return bits;
}

static void add(struct kernel_addrs *out, const struct sockaddr *addr, const struct sockaddr *mask)
{
    if (out->count == KERNEL_ADDRS_MAX || !addr || !mask) return;
    struct ip_addr a;
    unsigned bits;
    if (addr->sa_family == AF_INET) {
        a = addr_v4(((const struct sockaddr_in *)addr)->sin_addr.s_addr);
        bits = ones(&((const struct sockaddr_in *)mask)->sin_addr, 4);
    } else if (addr->sa_family == AF_INET6) {
        memcpy(a.b, &((const struct sockaddr_in6 *)addr)->sin6_addr, sizeof a.b);
        bits = ones(&((const struct sockaddr_in6 *)mask)->sin6_addr, 16);
    } else {
        return;
    }
    out->list[out->count].addr = a;
    out->list[out->count++].bits = bits;
}

static void find_gateway4(const char *interface, struct kernel_addrs *out)
{
    char line[256], name[32];
    unsigned long to, gateway, mask;
    unsigned flags;
    FILE *f = fopen("/proc/net/route", "re");
    if (!f) return;
    for (int i = 0; i < LINES_MAX && !out->has_gateway4 && fgets(line, sizeof line, f); i++) {
        if (sscanf(line, "%31s %lx %lx %x %*s %*s %*s %lx", name, &to, &gateway, &flags, &mask) != 5) continue;
        if (strcmp(name, interface) || to || mask || !(flags & 2)) continue; /* RTF_GATEWAY */
        out->gateway4 = addr_v4((uint32_t)gateway);
        out->has_gateway4 = true;
    }
    fclose(f);
}

static bool parse_hex(const char *text, struct ip_addr *out)
{
    for (int i = 0; i < 16; i++) {
        unsigned b;
        if (sscanf(text + 2 * i, "%2x", &b) != 1) return false;
        out->b[i] = (uint8_t)b;
    }
    return true;
}

static void find_gateway6(const char *interface, struct kernel_addrs *out)
{
    char line[256], to[33], gateway[33], name[32];
    unsigned bits, flags;
    FILE *f = fopen("/proc/net/ipv6_route", "re");
    if (!f) return;
    for (int i = 0; i < LINES_MAX && !out->has_gateway6 && fgets(line, sizeof line, f); i++) {
        if (sscanf(line, "%32s %x %*s %*s %32s %*s %*s %*s %x %31s", to, &bits, gateway, &flags, name) != 5) continue;
        if (strcmp(name, interface) || bits || strlen(gateway) != 32 || !(flags & 2)) continue;
        out->has_gateway6 = parse_hex(gateway, &out->gateway6);
    }
    fclose(f);
}

static bool is_worth_it(const struct kernel_addrs *ka)
{
    for (unsigned i = 0; i < ka->count; i++)
        if (!addr_is_link_local6(&ka->list[i].addr)) return true;
    return false;
}

void kernel_addresses(const char *interface, struct kernel_addrs *out)
{
    struct ifaddrs *list;
    memset(out, 0, sizeof *out);
    if (getifaddrs(&list)) return;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next)
        if (!strcmp(i->ifa_name, interface)) add(out, i->ifa_addr, i->ifa_netmask);
    freeifaddrs(list);
    if (!is_worth_it(out)) {
        out->count = 0;
        return;
    }
    find_gateway4(interface, out);
    find_gateway6(interface, out);
}
