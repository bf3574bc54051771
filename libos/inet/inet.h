/* SPDX-License-Identifier: MIT
 *
 * Joins a network device (tcp/netdev.h), the stack (tcp/stack.h) and a runtime: what every libOS of raw frames shares.
 * A device's own libOS is a line or two:
 *
 *     static int packet_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
 *     {
 *         return inet_start(rt, conf, "packet", packet_open, out);
 *     }
 *     const struct libos_ops packet_libos = {.name = "packet", .start = packet_start, INET_LIBOS_OPS};
 *
 * Sockets of AF_INET and AF_INET6, streams and datagrams, become queues (sock.h). AF_UNIX is -EAFNOSUPPORT: the libOS
 * of kernel sockets beside this one has those.
 */
#ifndef INET_INET_H
#define INET_INET_H

#include "libos/runtime/libos.h"
#include "tcp/stack.h"

struct demi_config;
struct runtime;

/* A libOS's start(): opens the device with what the configuration says, makes the stack and gives it its addresses
 * (demikernel.conf(5) lists the keys). `section` is where the device's own keys lie ("packet.ring"); env->get() of
 * open() is given their names without it ("ring"), and finds in this order what was set by the program, the
 * environment's RING, "packet.ring", "ring", and the names Demikernel has for the same. -errno, and rt->why says in
 * one line what is missing. */
int inet_start(struct runtime *rt, const struct demi_config *conf, const char *section, netdev_open_fn open,
               struct libos **out);

/* What a configuration says of the stack, for a device of these capabilities; all but seed and what `caps` decides.
 * -EINVAL: a value that cannot be; why (256 bytes) says which. */
int inet_configure(const struct demi_config *conf, const char *section, const struct netdev_caps *caps,
                   struct stack_config *out, char *why);

/* The same on a device that is open, with a stack configured by the caller: the simulator, tests. mac, mtu,
 * offloads, tso_max and segs_max are taken from the device. No address is added but those the stack takes by itself
 * (dhcp, ipv6): inet_stack() gives the stack to add some. The device is closed by the libOS's stop(); on failure it
 * stays the caller's. */
int inet_start_on(struct runtime *rt, struct netdev *dev, const struct stack_config *sc, struct libos **out);

/* Of a libOS that one of the two has started. */
struct net_stack *inet_stack(struct libos *l);
/* The invariants of all its sockets. */
void inet_check(const struct libos *l);

/* The ops but name and start. */
void inet_stop(struct libos *l);
void inet_forget(struct libos *l);
uint64_t inet_undrained(struct libos *l);
int inet_socket(struct libos *l, int domain, int type, int protocol, struct queue **out);
unsigned inet_poll(struct libos *l);
void inet_flush(struct libos *l);
uint64_t inet_next_deadline(struct libos *l);
int inet_arm(struct libos *l);
int inet_set_option(struct libos *l, const char *name, const char *value); /* "pcap": a file's name, or "off" */

#define INET_LIBOS_OPS                                                                                                 \
    .stop = inet_stop, .forget = inet_forget, .undrained = inet_undrained, .socket = inet_socket, .poll = inet_poll,   \
    .flush = inet_flush, .next_deadline = inet_next_deadline, .arm = inet_arm, .set_option = inet_set_option

/* Devices that are plug-ins, and one that leads nowhere: sockets of one thread among themselves, on 127.0.0.1 and
 * ::1. */
extern const struct libos_ops dpdk_libos, xdp_libos, loop_libos;

#endif
