/* SPDX-License-Identifier: MIT
 *
 * The filter of our packet socket, in classic BPF, so that it needs no right beyond the socket's own.
 */
#ifndef PACKET_FILTER_H
#define PACKET_FILTER_H

#include "libos/packet/claims.h"

#include <linux/filter.h>

#define FILTER_PORTS_MAX 64 /* claimed, both protocols together; with more the filter lets every port through */
#define FILTER_SIZE_MAX  (48 + 2 * (FILTER_PORTS_MAX + 2))

/* Writes the program and returns its length: frames to mac, broadcast and multicast; with claims, of TCP and UDP
 * only those to ports that are ours. Fragments, of which only the first has ports, come through, as does all that is
 * neither. */
unsigned filter_build(struct sock_filter out[FILTER_SIZE_MAX], const uint8_t mac[6], const struct claims *claims);
/* -errno. */
int filter_attach(int fd, const uint8_t mac[6], const struct claims *claims);

#endif
