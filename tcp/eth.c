/* SPDX-License-Identifier: MIT
 *
 * Frames to other MACs come in on devices that are promiscuous, or shared with the kernel: they are refused here, since
 * everything above believes that a packet came to us.
 */
#include "tcp/eth.h"

#include "tcp/arp.h"
#include "tcp/hdr.h"
#include "tcp/ip4.h"
#include "tcp/ip6.h"

#define MAC_MASK  0x0000ffffffffffffu
#define HEADS_MAX 256 /* in a chain the first buf holds so much, or all */

static void eth_drop(struct buf *b, uint64_t *counter)
{
    (*counter)++;
    buf_unref(b);
}

void eth_input(struct net_stack *s, const struct frame *f)
{
    struct buf *b = f->b;
    uint32_t len = f->len;
    s->n.rx_frames++;
    s->n.rx_bytes += len;
    if (unlikely(len < ETH_HDR + 8)) return eth_drop(b, &s->n.drop_short); /* so that 8 bytes can be loaded */
    if (unlikely(b->next && b->len < len && b->len < HEADS_MAX)) {
        if (buf_chain_len(b) < len) return eth_drop(b, &s->n.drop_short);
        b = buf_together(s, b, len);
        if (!b) return;
    }
    if (unlikely(!b->next && b->len < len)) return eth_drop(b, &s->n.drop_short);

    struct link_info from = {
        .src_mac = b->data + ETH_ALEN,
        .csum_ok = (f->flags & (FRAME_L4_CSUM_OK | FRAME_CSUM_BAD)) == FRAME_L4_CSUM_OK,
        .ip_csum_ok = (f->flags & (FRAME_IP_CSUM_OK | FRAME_CSUM_BAD)) == FRAME_IP_CSUM_OK,
    };
    if ((load_u64(b->data) & MAC_MASK) != s->ip.mac_word) {
        if (!(b->data[0] & 1)) return eth_drop(b, &s->n.drop_eth_other);
        from.to_many = true;
    }
    uint16_t type = load_be16(b->data + 12);
    buf_trim_front(b, ETH_HDR);
    len -= ETH_HDR;
    if (likely(type == ETH_TYPE_IP4)) ip4_input(s, b, len, &from);
    else if (type == ETH_TYPE_IP6) ip6_input(s, b, len, &from);
    else if (type == ETH_TYPE_ARP && s->conf.arp) arp_input(s, b, len, &from);
    else eth_drop(b, &s->n.drop_eth_type);
}

void eth_send(struct net_stack *s, struct buf *b, uint32_t len, const uint8_t dst[ETH_ALEN], uint16_t type)
{
    struct eth_hdr *h = buf_push_front(b, ETH_HDR);
    ASSERT(h);
    memcpy(h->dst, dst, ETH_ALEN);
    memcpy(h->src, s->conf.mac, ETH_ALEN);
    h->type = be16_of(type);
    tx_push(s, &(struct frame){.b = b, .len = len + ETH_HDR});
}

void eth_group_mac(const struct ip_addr *group, uint8_t out[ETH_ALEN])
{
    if (!addr_is_v4(group)) {
        out[0] = out[1] = 0x33;
        memcpy(out + 2, group->b + 12, 4);
    } else if (addr_is_multicast(group)) {
        static const uint8_t prefix[3] = {0x01, 0x00, 0x5e};
        memcpy(out, prefix, 3);
        memcpy(out + 3, group->b + 13, 3);
        out[3] &= 0x7f;
    } else {
        memset(out, 0xff, ETH_ALEN);
    }
}
