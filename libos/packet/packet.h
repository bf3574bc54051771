/* SPDX-License-Identifier: MIT
 *
 * Raw Ethernet frames through the kernel (Demikernel's catpowder): an interface by AF_PACKET, or a TAP device. Needs no
 * library, no huge pages, no driver; the right to open raw sockets (CAP_NET_RAW) for an interface, to make a TAP device
 * (CAP_NET_ADMIN) or one that was made for the user.
 *
 * Keys (struct netdev_env's get):
 *     interface     the interface whose frames we take; also linux_interface_name, as Demikernel calls it
 *     tap           the TAP device we are behind, made if there is none; instead of interface
 *     mac           our own address, "02:00:00:00:00:01". Default: the interface's, shared with the kernel; of a TAP
 *                   device, one made from the kernel's
 *     promiscuous   yes, no; default: yes with a mac, since others' frames are dropped by the interface otherwise
 *     queues        1 to 64: how many threads will open it; flows are spread over them by hash
 *     ring          slots of each direction, 64 to 65,536, AF_PACKET only; default 2,048
 *     offload       yes, no; default yes: checksums and segmentation are left to the kernel where it takes them
 */
#ifndef PACKET_PACKET_H
#define PACKET_PACKET_H

#include "libos/runtime/libos.h"
#include "tcp/netdev.h"

extern const struct libos_ops packet_libos;
int packet_open(const struct netdev_env *env, struct netdev **out);

/* What both devices share. */
#define PACKET_WHY_SIZE   256 /* of env->why */
#define PACKET_QUEUES_MAX 64
#define PACKET_FRAME_MAX  (14 + 4 + 65535)

int packet_open_ring(const struct netdev_env *env, const char *interface, struct netdev **out);
int packet_open_tap(const struct netdev_env *env, const char *name, struct netdev **out);

/* Writes the reason and returns err. */
int packet_why(const struct netdev_env *env, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Keys with a default. -EINVAL, said in env->why. */
int packet_key_number(const struct netdev_env *env, const char *key, unsigned min, unsigned max, unsigned *io);
int packet_key_flag(const struct netdev_env *env, const char *key, bool *io);
/* 1: there was one, 0: there is none. */
int packet_key_mac(const struct netdev_env *env, const char *key, uint8_t out[ETH_ALEN]);

#endif
