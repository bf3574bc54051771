/* SPDX-License-Identifier: MIT
 *
 * Which of the two devices is meant, the reading of keys, and the libOS: libos/inet does the rest. The devices are in
 * ring.c (AF_PACKET) and tap.c.
 */
#include "libos/packet/packet.h"

#include "libos/inet/inet.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int packet_why(const struct netdev_env *env, int err, const char *fmt, ...)
{
    if (!env->why) return err;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(env->why, PACKET_WHY_SIZE, fmt, ap);
    va_end(ap);
    return err;
}

static const char *key(const struct netdev_env *env, const char *name)
{
    const char *value = env->get ? env->get(env->arg, name) : NULL;
    return value && *value ? value : NULL;
}

int packet_key_number(const struct netdev_env *env, const char *name, unsigned min, unsigned max, unsigned *io)
{
    const char *value = key(env, name);
    if (!value) return 0;
    char *end;
    errno = 0;
    unsigned long n = strtoul(value, &end, 10);
    if (errno || *end || value[0] < '0' || value[0] > '9' || n < min || n > max)
        return packet_why(env, -EINVAL, "packet: %s is %u to %u, not \"%s\"", name, min, max, value);
    *io = (unsigned)n;
    return 0;
}

int packet_key_flag(const struct netdev_env *env, const char *name, bool *io)
{
    static const char *const words[] = {"no", "yes", "false", "true", "0", "1", "off", "on"};
    const char *value = key(env, name);
    if (!value) return 0;
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strcmp(value, words[i])) {
            *io = i & 1;
            return 0;
        }
    return packet_why(env, -EINVAL, "packet: %s is yes or no, not \"%s\"", name, value);
}

int packet_key_mac(const struct netdev_env *env, const char *name, uint8_t out[ETH_ALEN])
{
    const char *value = key(env, name);
    if (!value) return 0;
    unsigned b[ETH_ALEN];
    int used = 0;
    int n = sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &used);
    if (n != ETH_ALEN || value[used])
        return packet_why(env, -EINVAL, "packet: %s is like 02:00:00:00:00:01, not \"%s\"", name, value);
    unsigned any = 0;
    for (int i = 0; i < ETH_ALEN; i++) any |= b[i];
    if (b[0] & 1 || !any)
        return packet_why(env, -EINVAL, "packet: %s %s is not the address of one station", name, value);
    for (int i = 0; i < ETH_ALEN; i++) out[i] = (uint8_t)b[i];
    return 1;
}

int packet_open(const struct netdev_env *env, struct netdev **out)
{
    const char *tap = key(env, "tap"), *interface = key(env, "interface");
    if (!interface) interface = key(env, "linux_interface_name");
    if (tap && interface)
        return packet_why(env, -EINVAL, "packet: interface (%s) or tap (%s), not both", interface, tap);
    if (tap) return packet_open_tap(env, tap, out);
    if (interface) return packet_open_ring(env, interface, out);
    return packet_why(
        env, -EINVAL,
        "packet: which interface? Set \"interface\" (INTERFACE=eth1), or \"tap\" (TAP=tap0); `ip link` names them");
}

static int packet_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    return inet_start(rt, conf, "packet", packet_open, out);
}

const struct libos_ops packet_libos = {.name = "packet", .start = packet_start, INET_LIBOS_OPS};
