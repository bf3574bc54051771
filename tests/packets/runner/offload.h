/* SPDX-License-Identifier: MIT
 *
 * What a device with offloads does to a frame before it is on the wire: checksums are filled in, and a large segment is
 * cut.
 */
#ifndef PACKETS_OFFLOAD_H
#define PACKETS_OFFLOAD_H

#include "tcp/netdev.h"
#include "tests/packets/runner/wire.h"

/* Calls emit for each packet that an IP packet of a frame becomes; false: the frame is not as FRAME_TX_ flags
 * demand. */
bool offload_send(const struct frame *f, struct wire *w, void (*emit)(void *arg, const struct wire *w), void *arg);

#endif
