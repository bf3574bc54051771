/* SPDX-License-Identifier: MIT
 *
 * No error is ever sent about an error, a packet to many, from nobody in particular, or a fragment but the first (RFC
 * 1122 3.2.2); and no more than limits.icmp_per_s of them and of echo replies together leave.
 *
 * An error that comes is only believed by who finds in it a packet that he has on its way (tcp_icmp_error,
 * udp_icmp_error: RFC 5927). Redirects, source quenches (RFC 6633), timestamps, masks, router advertisements: dropped
 * as malformed for a host that does not speak them. Deviation from RFC 1122 3.2.2.2: redirects are not followed, since
 * anybody on the link could send them.
 */
#include "tcp/icmp4.h"

#include <netinet/in.h>

#include "tcp/checksum.h"
#include "tcp/eth.h"
#include "tcp/hdr.h"
#include "tcp/icmp6.h"
#include "tcp/route.h"

#define QUOTE_MAX4 548 /* RFC 1812 4.3.2.3: as much as makes 576 bytes */

bool icmp_may_send(struct net_stack *s)
{
    uint64_t second = s->now / NSEC_PER_SEC;
    if (s->ip.icmp_second != second) {
        s->ip.icmp_second = second;
        s->ip.icmp_left = s->conf.limits.icmp_per_s;
    }
    if (s->ip.icmp_left == 0) {
        s->n.drop_icmp_rate++;
        return false;
    }
    s->ip.icmp_left--;
    return true;
}

static void icmp4_drop(struct packet *p, uint64_t *counter)
{
    (*counter)++;
    buf_unref(p->b);
}

/* Headers that are changed lie in a buf that is ours alone. */
static struct buf *writable(struct net_stack *s, struct buf *b, uint32_t len)
{
    return buf_is_sole(b) && buf_headroom(b) >= ETH_HDR + sizeof(struct ip6_hdr) ? b : buf_together(s, b, len);
}

void icmp_echo_reply(struct net_stack *s, struct packet *p, uint8_t type)
{
    struct path back;
    /* to many: RFC 1122 3.2.2.6 lets us be silent; smurf */
    if (!s->conf.icmp_echo || p->to_many || !icmp_may_send(s)) {
        buf_unref(p->b);
        return;
    }
    struct path_ends ends = path_between(&p->dst, &p->src);
    if (path_open(s, &back, &ends, p->proto)) return icmp4_drop(p, &s->n.drop_tx_route);
    struct buf *b = writable(s, p->b, p->len);
    if (!b) return;
    ((struct icmp_hdr *)b->data)->type = type;
    s->n.icmp_echo++;
    s->n.icmp_tx++;
    back.tos = p->tos & 0xfc;
    path_send(s, &back, b, p->len, sizeof(struct icmp_hdr), 0, 0);
    path_close(s, &back);
}

void icmp_send_quote(struct net_stack *s, const struct packet *p, uint8_t proto, uint8_t type, uint8_t code,
                     uint32_t rest, uint32_t quote_max)
{
    struct path back;
    static const struct ip_addr any;
    if (!p->l3 || !icmp_may_send(s)) return;
    struct path_ends ends = path_between(p->to_many ? &any : &p->dst, &p->src);
    if (path_open(s, &back, &ends, proto)) {
        s->n.drop_tx_route++;
        return;
    }
    uint32_t quote = (uint32_t)(p->b->data + p->b->len - p->l3); /* what of it lies in the first buf */
    if (quote > quote_max) quote = quote_max;
    uint32_t len = (uint32_t)sizeof(struct icmp_hdr) + quote;
    struct buf *b = buf_take_exact(len);
    if (!b) {
        s->n.drop_memory++;
        return;
    }
    struct icmp_hdr *h = buf_put_back(b, len);
    *h = (struct icmp_hdr){.type = type, .code = code, .rest = be32_of(rest)};
    memcpy(h + 1, p->l3, quote);
    s->n.icmp_tx++;
    path_send(s, &back, b, len, sizeof *h, 0, 0);
    path_close(s, &back);
}

static bool is_error_type(uint8_t type)
{
    return type == ICMP4_UNREACHABLE || type == ICMP4_TIME || type == ICMP4_PARAMETER || type == 4 || type == 5;
}

void icmp4_send_error(struct net_stack *s, const struct packet *p, uint8_t type, uint8_t code, uint32_t rest)
{
    if (p->to_many || s->conf.quiet_closed_ports) return;
    if (p->proto == IPPROTO_ICMP && (p->b->len < 1 || is_error_type(p->b->data[0]))) return;
    icmp_send_quote(s, p, IPPROTO_ICMP, type, code, rest, QUOTE_MAX4);
}

void icmp_send_unreachable_port(struct net_stack *s, const struct packet *p)
{
    if (addr_is_v4(&p->dst)) icmp4_send_error(s, p, ICMP4_UNREACHABLE, ICMP4_UNREACH_PORT, 0);
    else icmp6_send_error(s, p, ICMP6_UNREACHABLE, ICMP6_UNREACH_PORT, 0);
}

/* RFC 1122 3.2.2.1, 4.2.3.9. False: nothing anybody here would do something about. */
static bool meaning_of(const struct icmp_hdr *h, enum icmp_error *what, uint16_t *mtu)
{
    *mtu = 0;
    if (h->type == ICMP4_TIME) {
        *what = ICMP_ERR_TIME;
        return true;
    }
    if (h->type == ICMP4_PARAMETER) {
        *what = ICMP_ERR_UNREACHABLE_HOST;
        return true;
    }
    switch (h->code) {
    case ICMP4_UNREACH_PROTO: *what = ICMP_ERR_PROTOCOL; break;
    case ICMP4_UNREACH_PORT: *what = ICMP_ERR_UNREACHABLE_PORT; break;
    case ICMP4_UNREACH_TOO_BIG:
        *what = ICMP_ERR_TOO_BIG;
        *mtu = (uint16_t)be32_to_host(h->rest); /* RFC 1191 4 */
        break;
    default: *what = ICMP_ERR_UNREACHABLE_HOST;
    }
    return h->code <= 15;
}

/* An error quotes a packet that we have sent, from its IP header on. */
static void error_input(struct net_stack *s, struct packet *p)
{
    const struct icmp_hdr *h = (const void *)p->b->data;
    const struct ip4_hdr *q = (const void *)(h + 1);
    enum icmp_error what;
    uint16_t mtu;
    uint32_t have = p->b->len - (uint32_t)sizeof *h,
             header = have < sizeof *q ? 0 : (uint32_t)(q->version_ihl & 15) * 4;
    if (have < sizeof *q || q->version_ihl >> 4 != 4 || header < sizeof *q || have < header + 8)
        return icmp4_drop(p, &s->n.drop_icmp);
    struct ip_addr local = addr_v4(q->src), remote = addr_v4(q->dst);
    if (q->frag & be16_of(IP4_OFFSET) || !stack_is_local(s, &local) || !addr_equal(&local, &p->dst))
        return icmp4_drop(p, &s->n.drop_icmp);
    if (meaning_of(h, &what, &mtu)) {
        const uint8_t *l4 = (const uint8_t *)q + header;
        size_t n = have - header;
        if (q->proto == IPPROTO_TCP) tcp_icmp_error(s, what, mtu, &local, &remote, l4, n);
        else if (q->proto == IPPROTO_UDP) udp_icmp_error(s, what, mtu, &local, &remote, l4, n);
    }
    buf_unref(p->b);
}

void icmp4_input(struct net_stack *s, struct packet *p)
{
    s->n.icmp_rx++;
    const struct icmp_hdr *h = (const void *)p->b->data;
    if (p->len < sizeof *h || p->b->len < sizeof *h) return icmp4_drop(p, &s->n.drop_icmp);
    if (csum_fold(csum_add_chain(0, p->b, 0, p->len)) != 0xffff && p->src_mac) return icmp4_drop(p, &s->n.drop_icmp);
    switch (h->type) {
    case ICMP4_ECHO: icmp_echo_reply(s, p, ICMP4_ECHO_REPLY); break;
    case ICMP4_UNREACHABLE:
    case ICMP4_TIME:
    case ICMP4_PARAMETER:
        if (p->to_many) icmp4_drop(p, &s->n.drop_icmp);
        else error_input(s, p);
        break;
    default: icmp4_drop(p, &s->n.drop_icmp);
    }
}
