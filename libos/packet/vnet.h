/* SPDX-License-Identifier: MIT
 *
 * The header that the kernel takes and gives in front of a frame when it is asked to (linux/virtio_net.h): which
 * checksum is still to be filled in, and of what size the segments of a large frame are. AF_PACKET (PACKET_VNET_HDR)
 * and TAP (IFF_VNET_HDR) have it in common. Integers are the host's.
 */
#ifndef PACKET_VNET_H
#define PACKET_VNET_H

#include "alloc/base/bytes.h"
#include "tcp/netdev.h"

#include <linux/virtio_net.h>

/* Fills h for f, whose headers begin at p (all of them in one piece: they are the sender's copy, not f's), and
 * completes the pseudo-header's sum of a frame to be cut: the stack leaves the length out, Linux wants that of the
 * whole. */
static inline void vnet_of_frame(struct virtio_net_hdr *h, const struct frame *f, uint8_t *p)
{
    *h = (struct virtio_net_hdr){0};
    if (!(f->flags & (FRAME_TX_L4_CSUM | FRAME_TX_TSO))) return;
    uint16_t l4 = (uint16_t)(f->l2_len + f->l3_len);
    h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    h->csum_start = l4;
    h->csum_offset = f->flags & FRAME_TX_UDP ? 6 : 16;
    if (!(f->flags & FRAME_TX_TSO)) return;
    uint32_t headers = (uint32_t)l4 + f->l4_len;
    if (f->len > headers + f->tso_mss) {
        h->gso_type = f->flags & FRAME_TX_V6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
        h->gso_size = f->tso_mss;
        h->hdr_len = (uint16_t)headers;
    }
    uint32_t sum = load_be16(p + l4 + 16) + (f->len - l4);
    sum = (sum & 0xffff) + (sum >> 16);
    store_be16(p + l4 + 16, (uint16_t)((sum & 0xffff) + (sum >> 16)));
}

/* Whether a frame from the kernel is one we can take: as it is, or TCP segments joined to one. Datagrams joined to
 * one (UDP_L4), or a datagram to be cut into fragments (UDP), would come out as one datagram too long. */
static inline bool vnet_is_known(const struct virtio_net_hdr *h)
{
    unsigned type = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
    return type == VIRTIO_NET_HDR_GSO_NONE || type == VIRTIO_NET_HDR_GSO_TCPV4 || type == VIRTIO_NET_HDR_GSO_TCPV6;
}

/* Checksums of the transport, as the kernel knows them: still to be filled in (it comes from this machine, no wire
 * was in between) or verified. */
static inline uint16_t vnet_frame_flags(const struct virtio_net_hdr *h)
{
    return h->flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID) ? FRAME_L4_CSUM_OK : 0;
}

#endif
