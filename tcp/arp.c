/* SPDX-License-Identifier: MIT
 *
 * What is believed: an answer to a question of ours that is open; from a question to us, that the asker is there. All
 * else changes entries that exist and makes none (neighbour_rumour). A sender address that is ours is a conflict:
 * nothing is learned, and the owner is told again by an announcement at most once a second (RFC 5227 2.4 (b)).
 */
#include "tcp/arp.h"

#include "tcp/dhcp.h"
#include "tcp/eth.h"
#include "tcp/hdr.h"
#include "tcp/neighbour.h"
#include "tcp/route.h"

enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

static const uint8_t broadcast_mac[ETH_ALEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void arp_send(struct net_stack *s, uint16_t op, be32 src_ip, const uint8_t *target_mac, be32 target_ip,
                     const uint8_t *to)
{
    static const uint8_t no_mac[ETH_ALEN];
    struct buf *b = buf_take_exact(sizeof(struct arp_hdr));
    if (!b) {
        s->n.drop_memory++;
        return;
    }
    struct arp_hdr *h = buf_put_back(b, sizeof *h);
    *h = (struct arp_hdr){.hw = be16_of(1),
                          .proto = be16_of(ETH_TYPE_IP4),
                          .hw_len = ETH_ALEN,
                          .proto_len = 4,
                          .op = be16_of(op),
                          .src_ip = src_ip,
                          .dst_ip = target_ip};
    memcpy(h->src_mac, s->conf.mac, ETH_ALEN);
    memcpy(h->dst_mac, target_mac ? target_mac : no_mac, ETH_ALEN);
    s->n.arp_tx++;
    eth_send(s, b, sizeof *h, to ? to : broadcast_mac, ETH_TYPE_ARP);
}

void arp_ask(struct net_stack *s, const struct ip_addr *a, const uint8_t *to)
{
    struct ip_addr src;
    if (route_source(s, a, &src)) return;
    arp_send(s, ARP_REQUEST, src.w[3], NULL, a->w[3], to);
}

void arp_probe(struct net_stack *s, const struct ip_addr *a) { arp_send(s, ARP_REQUEST, 0, NULL, a->w[3], NULL); }

void arp_announce(struct net_stack *s, const struct ip_addr *a)
{
    arp_send(s, ARP_REQUEST, a->w[3], NULL, a->w[3], NULL);
}

static bool is_header_valid(const struct arp_hdr *h)
{
    if (h->hw != be16_of(1) || h->proto != be16_of(ETH_TYPE_IP4) || h->hw_len != ETH_ALEN || h->proto_len != 4)
        return false;
    if (h->op != be16_of(ARP_REQUEST) && h->op != be16_of(ARP_REPLY)) return false;
    return !(h->src_mac[0] & 1); /* RFC 1812 3.3.2: no group MAC is believed */
}

static bool is_sender_possible(const struct net_stack *s, be32 ip)
{
    struct ip_addr a = addr_v4(ip);
    return ip && !addr_is_multicast(&a) && !addr_is_loopback(&a) && !addr_is_broadcast4(&a) &&
           /* routers of a /32 are not on the link by their number */
           (route_is_on_link(s, &a) || addr_equal(&a, &s->ip.gateway4));
}

static void conflict(struct net_stack *s, be32 ip)
{
    struct ip_addr a = addr_v4(ip);
    uint64_t second = s->now / NSEC_PER_SEC;
    if (s->ip.conflict_second == second) return;
    s->ip.conflict_second = second;
    arp_announce(s, &a);
}

static void arp_take(struct net_stack *s, const struct arp_hdr *h, bool to_many)
{
    struct ip_addr src = addr_v4(h->src_ip), dst = addr_v4(h->dst_ip);
    bool for_us = route_is_own(s, &dst);
    bool is_request = h->op == be16_of(ARP_REQUEST);
    if (s->ip.dhcp) dhcp_arp_heard(s, &src, &dst, h->src_mac);
    if (memcmp(h->src_mac, s->conf.mac, ETH_ALEN) == 0) return; /* an echo of ours */
    if (route_is_own(s, &src)) {
        conflict(s, h->src_ip);
        return;
    }
    if (is_sender_possible(s, h->src_ip)) {
        struct neighbour *n = is_request || to_many || !for_us ? NULL : neighbour_find(s, &src);
        bool asked = n && (n->state == NEIGH_INCOMPLETE || n->state == NEIGH_PROBE);
        if (asked) neighbour_answered(s, n, h->src_mac, true);
        else neighbour_rumour(s, &src, h->src_mac, is_request && for_us);
    }
    if (is_request && for_us) arp_send(s, ARP_REPLY, h->dst_ip, h->src_mac, h->src_ip, h->src_mac);
}

void arp_input(struct net_stack *s, struct buf *b, uint32_t len, const struct link_info *from)
{
    s->n.arp_rx++;
    const struct arp_hdr *h = (const void *)b->data;
    if (len < sizeof *h || !is_header_valid(h)) s->n.drop_arp++;
    else arp_take(s, h, from->to_many);
    buf_unref(b);
}
