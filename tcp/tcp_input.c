/* SPDX-License-Identifier: MIT
 *
 * Segments in (RFC 9293 3.10.7).
 *
 *     checks ─ fast path (tcp_fast.h): in order, ESTABLISHED, nothing unusual
 *        └──── connection ─── TIME-WAIT ─── half open ─── listener ─── CLOSED: a reset
 *
 * Nothing leaves from here but answers that belong to no connection (resets, SYN-ACKs, TIME-WAIT's ACKs); a
 * connection's ACK waits for tcp_flush(), so that a reply of the same turn carries it.
 */
#include "tcp/tcp_input.h"

#include "tcp/checksum.h"
#include "tcp/conn_table.h"
#include "tcp/listener.h"
#include "tcp/synq.h"
#include "tcp/tcp_fast.h"
#include "tcp/timewait.h"

#include <errno.h>
#include <netinet/in.h>

/* --- payload ------------------------------------------------------------------------------------------------------ */

void segment_trim_front(struct segment *g, uint32_t n)
{
    g->b = buf_chain_drop(g->b, n);
    g->seq += n;
    g->len -= n;
}

void segment_trim_back(struct segment *g, uint32_t n)
{
    uint32_t keep = g->len -= n;
    struct buf **at = &g->b;
    while (*at && keep >= (*at)->len) {
        keep -= (*at)->len;
        at = &(*at)->next;
    }
    if (!*at) return;
    if (keep) {
        buf_trim_back(*at, (*at)->len - keep);
        at = &(*at)->next;
    }
    buf_unref(*at);
    *at = NULL;
}

/* --- CLOSED ------------------------------------------------------------------------------------------------------- */

void tcp_reject(const struct segment *g)
{
    struct net_stack *s = g->stack;
    if (g->flags & TCP_RST) return;
    if (!tcp_may_reset(s)) return;
    struct bare_segment r = {.local = g->local, .remote = g->remote, .flags = TCP_RST};
    if (g->flags & TCP_ACK) {
        r.seq = g->ack;
    } else {
        r.ack = g->seq + segment_space(g);
        r.flags |= TCP_ACK;
    }
    tcp_send_bare(s, &r);
}

static void input_closed(struct segment *g)
{
    g->stack->n.drop_tcp_port++;
    if (!g->stack->conf.quiet_closed_ports) tcp_reject(g);
}

/* --- TIME-WAIT ---------------------------------------------------------------------------------------------------- */

/* RFC 9293 3.10.7.4 fourth, RFC 6191 2: a SYN that is certainly newer than everything the old connection has seen. */
static bool is_new_incarnation(const struct timewait_rec *w, const struct segment *g)
{
    if ((g->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN) return false;
    if (w->has_ts && (g->opts.has & OPT_TS)) {
        int32_t newer = (int32_t)(g->opts.ts_val - w->ts_recent);
        return newer > 0 || (newer == 0 && seq_after(g->seq, w->rcv_nxt));
    }
    return seq_after(g->seq, w->rcv_nxt);
}

/* RFC 9293 3.10.7.4 second, with the exactness of RFC 5961 3.2: it ends TIME-WAIT if its number is RCV.NXT, which an
 * old duplicate has not (what RFC 1337 guards against) and nobody guesses; a peer that reuses the port has it from our
 * ACK. Elsewhere in the window it is challenged. */
static void reset_time_wait(struct timewait_rec *w, const struct segment *g)
{
    struct net_stack *s = g->stack;
    if (g->seq == w->rcv_nxt) {
        s->n.tcp_resets_rx++;
        timewait_remove(s, w);
        return;
    }
    s->n.drop_tcp_reset++;
    if (g->seq - w->rcv_nxt < (uint32_t)w->window << w->wscale && tcp_may_challenge(s, NULL)) timewait_send_ack(s, w);
}

static void input_time_wait(struct timewait_rec *w, struct segment *g)
{
    struct net_stack *s = g->stack;
    struct listener *l;
    if (g->flags & TCP_RST) {
        reset_time_wait(w, g);
        return;
    }
    if (is_new_incarnation(w, g) && (l = listener_find(s, &g->local.addr, g->local.port))) {
        tcp_seq behind = w->snd_nxt + UINT16_MAX;
        timewait_remove(s, w);
        tcp_listen_input(l, g, true, behind);
        return;
    }
    bool old = w->has_ts && (g->opts.has & OPT_TS) && (int32_t)(g->opts.ts_val - w->ts_recent) < 0;
    bool repeated_fin = (g->flags & TCP_FIN) && !(g->flags & TCP_SYN) && g->seq + segment_space(g) == w->rcv_nxt;
    if (repeated_fin && !old) {
        s->n.tcp_dup_rx++;
        timewait_restart(s, w); /* eighth: our ACK was lost */
        timewait_send_ack(s, w);
    } else if (g->seq != w->rcv_nxt || segment_space(g)) { /* first: not acceptable */
        if (old) s->n.drop_tcp_paws++;
        else s->n.drop_tcp_window++;
        if (tcp_may_challenge(s, NULL)) timewait_send_ack(s, w);
    }
}

/* --- the long way ------------------------------------------------------------------------------------------------- */

static void input_conn(struct conn *c, struct segment *g)
{
    c->segs_in++;
    c->last_rcv_at = c->stack->now;
    conn_timer_touch(c);
    if (c->state == CONN_SYN_SENT) tcp_syn_sent_input(c, g);
    else tcp_arrive(c, g);
#ifdef DEMI_DEBUG
    conn_check(c);
#endif
}

static __attribute__((noinline)) void input_slow(struct net_stack *s, struct packet *p, const struct tcp_hdr *h,
                                                 uint32_t header, struct conn *c)
{
    struct segment g = {
        .stack = s,
        .local = {.addr = p->dst, .port = be16_to_host(h->dst)},
        .remote = {.addr = p->src, .port = be16_to_host(h->src)},
        .ports = load_be32(h),
        .seq = be32_to_host(h->seq),
        .ack = be32_to_host(h->ack),
        .len = p->len - header,
        .window = be16_to_host(h->window),
        .flags = h->flags,
        .ce = (p->tos & 3) == 3,
        .b = p->b,
    };
    if (options_parse((const uint8_t *)(h + 1), header - TCP_HDR_MIN, g.flags & TCP_SYN, &g.opts)) {
        s->n.drop_tcp_options++;
        buf_unref(p->b);
        return;
    }
    g.b = buf_chain_drop(g.b, header);
    if (c) {
        input_conn(c, &g);
        buf_unref(g.b);
        return;
    }
    g.hash = conn_hash(s->hash_seed, &p->dst, &p->src, g.ports);
    struct timewait_rec *w;
    struct synq_entry *e;
    struct listener *l;
    if ((w = timewait_find(s, g.hash, &p->dst, &p->src, g.ports))) input_time_wait(w, &g);
    else if ((e = synq_find(s, g.hash, &p->dst, &p->src, g.ports))) tcp_synq_input(e, &g);
    else if ((l = listener_find(s, &p->dst, g.local.port))) tcp_listen_input(l, &g, false, 0);
    else input_closed(&g);
    buf_unref(g.b);
}

/* --- the short ways ----------------------------------------------------------------------------------------------- */

bool tcp_input_frame(struct net_stack *s, const struct frame *f)
{
    struct buf *b = f->b;
    const uint8_t *p = b->data;
    const struct ip4_hdr *ip = (const struct ip4_hdr *)(p + sizeof(struct eth_hdr));
    const struct tcp_hdr *h = (const struct tcp_hdr *)(ip + 1);
    uint32_t room = b->len - (uint32_t)(sizeof(struct eth_hdr) + sizeof *ip), flags = f->flags;
    if (unlikely((int32_t)room < TCP_HDR_MIN) || unlikely((uintptr_t)b->next | (b->len ^ f->len))) return false;
    /*        0      6      12    14 15  16     18  20    22  23    24    26   30
     * Ethernet dst | src  | type |45|tos|length| id |frag |ttl|proto|csum | src| dst */
    uint64_t first = load_u64(ip), second = load_u64(&ip->ttl), key = load_u64(&ip->src);
    uint32_t len = __builtin_bswap16((uint16_t)(first >> 16)) - (uint32_t)sizeof *ip;
    uint64_t strange = (load_u64(p) ^ s->ip.mac_word) << 16;
    strange |= (load_u32(p + 12) ^ 0x00450008u) & 0xffffff; /* IPv4 without options */
    strange |= first >> 48 & be16_of(IP4_MF | IP4_OFFSET);
    strange |= (second & 0xff00) ^ IPPROTO_TCP << 8;
    strange |= (((first >> 8 & 3) + 1) & 4) | (flags & FRAME_CSUM_BAD); /* CE */
    if (unlikely(strange) || unlikely(len - TCP_HDR_MIN > room - TCP_HDR_MIN)) return false;
    if (!(flags & FRAME_IP_CSUM_OK) && unlikely(!csum_is_right(csum_word(csum_word(first, second), key >> 32))))
        return false;
    uint32_t ports = load_be32(h);
    struct conn *c = conn_table_find4(&s->tcp.conns, conn_hash4(s->hash_seed, key, ports), key, ports);
    if (unlikely(!c)) return false;
    uint64_t sum = csum_word(key, (uint64_t)be16_of(len) + (IPPROTO_TCP << 8));
    return likely(tcp_fast_segment(s, c, b, h, len, sum, flags & FRAME_L4_CSUM_OK, CF_UNUSUAL | CF_V6));
}

static bool checksum_is_right(const struct packet *p, const struct buf *b)
{
    /* The prefix of an IPv4 address adds 0xffff, which is nothing in this arithmetic. */
    uint64_t sum = (uint64_t)p->src.w[2] + p->src.w[3] + p->dst.w[2] + p->dst.w[3] + (uint64_t)be16_of(p->len) +
                   (IPPROTO_TCP << 8);
    if (p->src.q[0] | p->dst.q[0]) sum += (uint64_t)p->src.w[0] + p->src.w[1] + p->dst.w[0] + p->dst.w[1];
    sum = likely(!b->next) ? csum_add(sum, b->data, p->len) : csum_add_chain(sum, b, 0, p->len);
    return csum_fold(sum) == 0xffff;
}

static void segment_drop(struct packet *p, uint64_t *counter)
{
    (*counter)++;
    buf_unref(p->b);
}

void tcp_input(struct net_stack *s, struct packet *p)
{
    struct buf *b = p->b;
    const struct tcp_hdr *h = (const struct tcp_hdr *)b->data;
    s->n.tcp_rx++;
    s->n.tcp_rx_bytes += p->len;
    if (unlikely(b->len < TCP_HDR_MIN)) {
        segment_drop(p, &s->n.drop_tcp_header);
        return;
    }
    uint32_t header = (h->offset >> 4) * 4u;
    if (unlikely(header < TCP_HDR_MIN) || unlikely(header > b->len)) {
        segment_drop(p, &s->n.drop_tcp_header);
        return;
    }
    if (!p->csum_ok && unlikely(!checksum_is_right(p, b))) { /* RFC 9293 3.1: MUST-3 */
        segment_drop(p, &s->n.drop_tcp_checksum);
        return;
    }
    if (unlikely(p->to_many)) { /* RFC 9293 3.9.2.3, RFC 1122 4.2.3.10 */
        segment_drop(p, &s->n.drop_tcp_many);
        return;
    }
    uint32_t ports = load_be32(h);
    struct conn *c =
        conn_table_find(&s->tcp.conns, conn_hash(s->hash_seed, &p->dst, &p->src, ports), &p->dst, &p->src, ports);
    bool usual = likely(c) && likely(!b->next) && likely((p->tos & 3) != 3);
    if (usual && likely(tcp_fast_segment(s, c, b, h, p->len, 0, true, CF_UNUSUAL))) return;
    s->n.tcp_slow++;
    s->tcp.depth++;
    input_slow(s, p, h, header, c);
    s->tcp.depth--;
}

/* --- ICMP --------------------------------------------------------------------------------------------------------- */

/* RFC 5927 4.1: only about what is on the way can an error be true. */
static bool is_outstanding(const struct conn *c, tcp_seq seq) { return seq - c->snd_una < c->snd_nxt - c->snd_una; }

void tcp_icmp_error(struct net_stack *s, enum icmp_error what, uint16_t mtu, const struct ip_addr *local,
                    const struct ip_addr *remote, const uint8_t *quoted, size_t n)
{
    if (n < 8) {
        s->n.drop_tcp_icmp++;
        return;
    }
    uint32_t ports = conn_ports(load_be16(quoted), load_be16(quoted + 2));
    struct conn *c =
        conn_table_find(&s->tcp.conns, conn_hash(s->hash_seed, local, remote, ports), local, remote, ports);
    if (!c || !is_outstanding(c, load_be32(quoted + 4))) {
        s->n.drop_tcp_icmp++;
        return;
    }
    bool opening = !conn_is_synchronised(c);
    s->tcp.depth++;
    switch (what) {
    case ICMP_ERR_TOO_BIG:
        path_too_big(s, remote, mtu); /* no news for the path may be news for c */
        tcp_update_mss(c);
        conn_dirty(c);
        break;
    case ICMP_ERR_UNREACHABLE_PORT: /* hard (RFC 1122 4.2.3.9), but only for who is not connected yet: RFC 5927 5.2 */
    case ICMP_ERR_PROTOCOL:
        if (opening) conn_finish(c, ECONNREFUSED);
        else c->error_soft = ECONNREFUSED;
        break;
    case ICMP_ERR_NO_NEIGHBOUR: /* that is certain, as far as anything is; Linux ends a connect by it, too */
        if (opening) conn_finish(c, EHOSTUNREACH);
        else c->error_soft = EHOSTUNREACH;
        break;
    case ICMP_ERR_UNREACHABLE_HOST: c->error_soft = EHOSTUNREACH; break;
    case ICMP_ERR_TIME: c->error_soft = EHOSTUNREACH; break;
    }
    s->tcp.depth--;
}
