/* SPDX-License-Identifier: MIT
 *
 * Reassembly (RFC 791 3.2, RFC 8200 4.5), bounded everywhere (FragmentSmack, CVE-2018-5391):
 *
 * - at most 64 datagrams at a time, 16 of one source; the oldest makes room,
 * - at most limits.fragments pieces of one, limits.fragment_bytes of memory in all: small pieces are copied, so that
 *   what is counted is what is held, with FRAG_COST for each; beyond it the oldest datagram goes,
 * - a datagram lives 30 s (IPv4; RFC 791 asks for 15 to 120) or 60 s (IPv6) from its first piece, whatever comes later.
 *
 * Pieces lie in a list by offset. A piece is put behind the last one in one step, which is how they come; else the
 * list, which is short, is walked. Two pieces that overlap in any way are an attack on somebody's filter: the datagram
 * is dropped with all of it that is still to come (RFC 5722 3, RFC 8200 4.5; for IPv4, too). An exact copy of a piece
 * is ignored, as RFC 8200 allows.
 *
 * Deviation: an ICMP error about a datagram whose time is up quotes at most QUOTE_MAX bytes of its first piece, not
 * all.
 */
#include "tcp/frag.h"

#include <errno.h>
#include <netinet/in.h>

#include "alloc/base/hash.h"
#include "alloc/heap.h"
#include "tcp/eth.h"
#include "tcp/icmp4.h"
#include "tcp/icmp6.h"
#include "tcp/ip4.h"
#include "tcp/ip6.h"
#include "tcp/path_impl.h"

#define FRAG_DATAGRAMS  64
#define FRAG_PER_SOURCE 16
#define FRAG_COST       256 /* of a piece beside its bytes: view, headroom */
#define FRAG_TIME_V4    (30 * NSEC_PER_SEC)
#define FRAG_TIME_V6    (60 * NSEC_PER_SEC)
#define QUOTE_MAX       128
#define DATAGRAM_MAX    65535

struct frag_piece {
    struct frag_piece *next;
    struct buf *b;
    uint32_t offset, len, cost;
};

struct frag_datagram {
    struct list age; /* in frag_table.used, oldest first, or free */
    struct net_stack *stack;
    struct timer timer;
    struct ip_addr src, dst;
    uint32_t id;
    uint8_t proto; /* of IPv4: part of the key; of IPv6: of the first piece */
    uint8_t hops, tos;
    bool is_v4, dead, ce, not_ect; /* dead: nothing more is taken of it */
    bool to_many, have_first, from_loop;
    uint32_t count, have, total; /* total 0: the last piece has not come */
    uint32_t cost;
    struct frag_piece *first, *last;
    uint16_t quote_l4; /* where behind the IP header the L4 part of the quote begins */
    uint16_t quote_len;
    uint8_t quote[QUOTE_MAX]; /* of the first piece, from its IP header on */
};

struct frag_table {
    struct list used, unused;
    uint32_t cost;
    struct frag_datagram datagrams[FRAG_DATAGRAMS];
};

int frag_init(struct net_stack *s)
{
    struct frag_table *t = heap_calloc(1, sizeof *t);
    if (!t) return -ENOMEM;
    list_init(&t->used);
    list_init(&t->unused);
    for (unsigned i = 0; i < FRAG_DATAGRAMS; i++) {
        t->datagrams[i].stack = s;
        list_push_back(&t->unused, &t->datagrams[i].age);
    }
    s->ip.frags = t;
    return 0;
}

static void drop_pieces(struct frag_datagram *d)
{
    for (struct frag_piece *p = d->first, *next; p; p = next) {
        next = p->next;
        buf_unref(p->b);
        heap_free(p);
    }
    d->stack->ip.frags->cost -= d->cost;
    d->first = d->last = NULL;
    d->cost = d->count = d->have = 0;
}

static void datagram_free(struct frag_datagram *d)
{
    struct net_stack *s = d->stack;
    drop_pieces(d);
    wheel_stop(&s->wheel, &d->timer);
    list_remove(&d->age);
    list_push_back(&s->ip.frags->unused, &d->age);
}

void frag_fini(struct net_stack *s)
{
    struct frag_table *t = s->ip.frags;
    if (!t) return;
    list_for_each_safe(it, &t->used) datagram_free(list_entry(it, struct frag_datagram, age));
    heap_free(t);
    s->ip.frags = NULL;
}

/* RFC 792 "time exceeded" code 1, RFC 8200 4.5: only if the first piece has come. */
static void timer_fired(struct timer *t)
{
    struct frag_datagram *d = container_of(t, struct frag_datagram, timer);
    struct net_stack *s = d->stack;
    if (!d->dead) {
        s->n.drop_frag_timeout += d->count;
        if (d->have_first && !d->from_loop) {
            struct buf quoted = {
                .data = d->quote + d->quote_l4, .len = (uint32_t)(d->quote_len - d->quote_l4), .refs = 1};
            struct packet p = {.b = &quoted,
                               .len = quoted.len,
                               .src = d->src,
                               .dst = d->dst,
                               .proto = d->proto,
                               .to_many = d->to_many,
                               .l3 = d->quote};
            if (d->is_v4) icmp4_send_error(s, &p, ICMP4_TIME, ICMP4_TIME_REASSEMBLY, 0);
            else icmp6_send_error(s, &p, ICMP6_TIME, ICMP6_TIME_REASSEMBLY, 0);
        }
    }
    datagram_free(d);
}

/* --- which datagram ----------------------------------------------------------------------------------------------- */

static struct frag_datagram *oldest(struct frag_table *t)
{
    return list_entry(list_first(&t->used), struct frag_datagram, age);
}

static void evict(struct net_stack *s, struct frag_datagram *d)
{
    s->n.drop_frag_bound += d->count;
    datagram_free(d);
}

/* Finds or makes it; room is made by the oldest of the same source, if that has many, else by the oldest of all. */
static struct frag_datagram *datagram_of(struct net_stack *s, const struct packet *p, bool is_v4, uint32_t id)
{
    struct frag_table *t = s->ip.frags;
    struct frag_datagram *of_source = NULL;
    unsigned of_source_count = 0;
    list_for_each(it, &t->used)
    {
        struct frag_datagram *d = list_entry(it, struct frag_datagram, age);
        if (!addr_equal(&d->src, &p->src)) continue;
        if (d->id == id && d->is_v4 == is_v4 && addr_equal(&d->dst, &p->dst) && (!is_v4 || d->proto == p->proto))
            return d;
        if (!of_source) of_source = d;
        of_source_count++;
    }
    if (of_source_count >= FRAG_PER_SOURCE) evict(s, of_source);
    else if (list_is_empty(&t->unused)) evict(s, oldest(t));
    struct frag_datagram *d = list_entry(list_pop_front(&t->unused), struct frag_datagram, age);
    *d = (struct frag_datagram){.stack = s,
                                .src = p->src,
                                .dst = p->dst,
                                .id = id,
                                .proto = p->proto,
                                .is_v4 = is_v4,
                                .hops = p->hops,
                                .tos = p->tos,
                                .to_many = p->to_many,
                                .from_loop = !p->src_mac};
    list_push_back(&t->used, &d->age);
    wheel_start(&s->wheel, &d->timer, s->now + (is_v4 ? FRAG_TIME_V4 : FRAG_TIME_V6), timer_fired);
    return d;
}

/* --- pieces ------------------------------------------------------------------------------------------------------- */

static void kill_datagram(struct frag_datagram *d, uint64_t *counter, uint32_t with)
{
    *counter += d->count + with;
    drop_pieces(d);
    d->dead = true;
}

static bool is_copy(const struct frag_piece *at, const struct frag_piece *p)
{
    if (at->offset != p->offset || at->len != p->len) return false;
    uint8_t a[64], b[64];
    for (uint32_t done = 0; done < p->len; done += sizeof a) {
        uint32_t n = p->len - done < sizeof a ? p->len - done : (uint32_t)sizeof a;
        buf_chain_copy(at->b, done, a, n);
        buf_chain_copy(p->b, done, b, n);
        if (memcmp(a, b, n) != 0) return false;
    }
    return true;
}

enum placed { PLACED, PLACED_COPY, PLACED_OVERLAP };

static enum placed place(struct frag_datagram *d, struct frag_piece *p)
{
    struct frag_piece **link = &d->first, *before = NULL;
    if (d->last && d->last->offset + d->last->len <= p->offset) {
        before = d->last;
        link = &d->last->next;
    } else {
        while (*link && (*link)->offset < p->offset) {
            before = *link;
            link = &before->next;
        }
    }
    struct frag_piece *after = *link;
    if (after && is_copy(after, p)) return PLACED_COPY;
    if (before && before->offset + before->len > p->offset) return PLACED_OVERLAP;
    if (after && p->offset + p->len > after->offset) return PLACED_OVERLAP;
    p->next = after;
    *link = p;
    if (!after) d->last = p;
    return PLACED;
}

/* What of a piece is kept: itself, or a copy when it lies in something much larger. Takes b. */
static struct frag_piece *piece_new(struct net_stack *s, struct buf *b, uint32_t offset, uint32_t len)
{
    struct frag_piece *p = heap_alloc(sizeof *p);
    if (!p) {
        s->n.drop_memory++;
        buf_unref(b);
        return NULL;
    }
    if (b->next || b->store->cap / 2 > len) {
        struct buf *copy = buf_take_exact(len);
        if (copy) buf_chain_copy(b, 0, buf_put_back(copy, len), len);
        buf_unref(b);
        b = copy;
    }
    if (!b) {
        s->n.drop_memory++;
        heap_free(p);
        return NULL;
    }
    *p = (struct frag_piece){.b = b, .offset = offset, .len = len, .cost = b->store->cap + FRAG_COST};
    return p;
}

static void piece_free(struct frag_piece *p)
{
    buf_unref(p->b);
    heap_free(p);
}

static void remember_quote(struct frag_datagram *d, const struct packet *p)
{
    uint32_t n = (uint32_t)(p->b->data + p->b->len - p->l3);
    d->quote_len = (uint16_t)(n < QUOTE_MAX ? n : QUOTE_MAX);
    uint32_t l4 = (uint32_t)(p->b->data - p->l3);
    d->quote_l4 = (uint16_t)(l4 < d->quote_len ? l4 : d->quote_len);
    memcpy(d->quote, p->l3, d->quote_len);
    d->have_first = true;
    d->proto = p->proto;
    d->hops = p->hops;
}

/* RFC 3168 5.3: CE in any makes CE of all; CE beside a packet that knows no ECN is no honest datagram. */
static bool is_ecn_consistent(struct frag_datagram *d, uint8_t tos)
{
    d->ce |= (tos & 3) == 3;
    d->not_ect |= (tos & 3) == 0;
    return !(d->ce && d->not_ect);
}

/* All in one buf, an IP header of its own in front for who quotes it. */
static struct buf *whole(struct net_stack *s, struct frag_datagram *d, const uint8_t **l3)
{
    uint32_t header = d->is_v4 ? sizeof(struct ip4_hdr) : sizeof(struct ip6_hdr);
    struct buf *b = buf_take(header + d->total);
    if (!b) {
        s->n.drop_memory++;
        return NULL;
    }
    uint8_t *at = buf_put_back(b, header + d->total);
    struct path_ends ends = path_between(&d->src, &d->dst);
    struct path from = {.ends = &ends, .proto = d->proto, .hops = d->hops};
    if (d->is_v4) path_write_ip4(&from, at, d->total, (uint16_t)d->id, 0, d->tos);
    else path_write_ip6(&from, at, d->total, d->proto, d->tos, 0);
    for (const struct frag_piece *p = d->first; p; p = p->next)
        buf_chain_copy(p->b, 0, at + header + p->offset, p->len);
    *l3 = at;
    buf_trim_front(b, header);
    return b;
}

static void finish(struct net_stack *s, struct frag_datagram *d, struct packet *p)
{
    const uint8_t *l3 = NULL;
    struct buf *b = whole(s, d, &l3);
    bool is_v4 = d->is_v4;
    struct packet all = {.b = b,
                         .len = d->total,
                         .src = d->src,
                         .dst = d->dst,
                         .proto = d->proto,
                         .hops = d->hops,
                         .l3 = l3,
                         .tos = (uint8_t)(d->ce ? d->tos | 3 : d->tos),
                         .to_many = d->to_many,
                         .src_mac = p->src_mac,
                         .csum_ok = d->from_loop};
    datagram_free(d);
    if (!b) return;
    s->n.frag_done++;
    if (is_v4) ip4_deliver(s, &all);
    else ip6_next(s, &all, true);
}

static void input(struct net_stack *s, struct packet *p, bool is_v4, uint32_t id, uint32_t offset, bool more)
{
    s->n.frag_rx++;
    /* RFC 791 3.2: all but the last in units of 8; RFC 1122 3.3.2, "ping of death": not beyond 65,535 */
    if (p->len == 0 || (more && p->len % 8) || offset + p->len > DATAGRAM_MAX - (is_v4 ? sizeof(struct ip4_hdr) : 0)) {
        s->n.drop_frag_bad++;
        /* RFC 8200 4.5: at the length field */
        if (!is_v4) icmp6_send_error(s, p, ICMP6_PARAMETER, ICMP6_PARAM_FIELD, 4);
        buf_unref(p->b);
        return;
    }
    struct frag_datagram *d = datagram_of(s, p, is_v4, id);
    if (d->dead) {
        s->n.drop_frag_overlap++;
        buf_unref(p->b);
        return;
    }
    uint32_t end = offset + p->len;
    bool ends_wrong = (d->total && (end > d->total || (!more && end != d->total))) ||
                      (!more && d->last && d->last->offset + d->last->len > end);
    if (ends_wrong || !is_ecn_consistent(d, p->tos)) {
        kill_datagram(d, &s->n.drop_frag_bad, 1);
        buf_unref(p->b);
        return;
    }
    if (d->count >= s->conf.limits.fragments) {
        kill_datagram(d, &s->n.drop_frag_bound, 1);
        buf_unref(p->b);
        return;
    }
    if (offset == 0) remember_quote(d, p);
    struct frag_piece *piece = piece_new(s, p->b, offset, p->len);
    if (!piece) return;
    enum placed placed = place(d, piece);
    if (placed != PLACED) {
        piece_free(piece);
        if (placed == PLACED_OVERLAP) kill_datagram(d, &s->n.drop_frag_overlap, 1);
        else s->n.drop_frag_overlap++;
        return;
    }
    d->count++;
    d->have += piece->len;
    d->cost += piece->cost;
    s->ip.frags->cost += piece->cost;
    d->to_many |= p->to_many;
    if (!more) d->total = end;
    if (d->total && d->have == d->total) {
        finish(s, d, p);
        return;
    }
    while (s->ip.frags->cost > s->conf.limits.fragment_bytes) evict(s, oldest(s->ip.frags));
}

void frag4_input(struct net_stack *s, struct packet *p, const struct ip4_hdr *h)
{
    uint16_t frag = be16_to_host(h->frag);
    input(s, p, true, be16_to_host(h->id), (uint32_t)(frag & IP4_OFFSET) * 8, frag & IP4_MF);
}

void frag6_input(struct net_stack *s, struct packet *p, const struct ip6_frag *f)
{
    uint16_t field = be16_to_host(f->offset_more);
    p->proto = f->next;
    input(s, p, false, f->id, field & 0xfff8, field & 1);
}

void frag_check(const struct net_stack *s)
{
    const struct frag_table *t = s->ip.frags;
    uint32_t cost = 0, used = 0;
    list_for_each(it, &t->used)
    {
        const struct frag_datagram *d = list_entry(it, struct frag_datagram, age);
        uint32_t have = 0, end = 0, count = 0;
        for (const struct frag_piece *p = d->first; p; p = p->next) {
            ASSERT(p->offset >= end);
            end = p->offset + p->len;
            have += p->len;
            count++;
        }
        ASSERT(have == d->have);
        ASSERT(count == d->count);
        ASSERT(!d->dead || count == 0);
        ASSERT(timer_runs(&d->timer));
        cost += d->cost;
        used++;
    }
    ASSERT(used <= FRAG_DATAGRAMS);
    ASSERT(cost == t->cost);
    ASSERT(cost <= s->conf.limits.fragment_bytes);
}

/* --- cutting ------------------------------------------------------------------------------------------------------ */

static void send_piece(struct net_stack *s, struct path *p, const struct buf *from, uint32_t offset, uint32_t n,
                       bool more, uint32_t id, uint32_t flow, uint8_t tos)
{
    bool v4 = addr_is_v4(path_dst(p));
    uint32_t header = ETH_HDR + (v4 ? (uint32_t)sizeof(struct ip4_hdr)
                                    : (uint32_t)(sizeof(struct ip6_hdr) + sizeof(struct ip6_frag)));
    struct buf *b = buf_take_exact(n);
    if (!b) {
        s->n.drop_memory++;
        return;
    }
    buf_chain_copy(from, offset, buf_put_back(b, n), n);
    uint8_t *at = buf_push_front(b, header);
    ASSERT(at);
    at += ETH_HDR;
    if (v4) {
        path_write_ip4(p, at, n, (uint16_t)id, (uint16_t)(offset / 8 | (more ? IP4_MF : 0)), tos);
    } else {
        path_write_ip6(p, at, n + (uint32_t)sizeof(struct ip6_frag), IPPROTO_FRAGMENT, tos, flow);
        *(struct ip6_frag *)(void *)(at + sizeof(struct ip6_hdr)) =
            (struct ip6_frag){.next = p->proto, .offset_more = be16_of(offset | more), .id = be32_of(id)};
    }
    s->n.frag_tx++;
    struct frame f = {.b = b, .len = header + n};
    path_send_frame(s, p, &f);
}

void frag_send(struct net_stack *s, struct path *p, struct buf *b, uint32_t len, uint8_t ecn)
{
    bool v4 = addr_is_v4(path_dst(p));
    uint32_t room =
        (uint32_t)(p->mtu - (v4 ? sizeof(struct ip4_hdr) : sizeof(struct ip6_hdr) + sizeof(struct ip6_frag))) & ~7u;
    if (p->proto == IPPROTO_TCP || len > DATAGRAM_MAX - (v4 ? sizeof(struct ip4_hdr) : 0) || b->len < 8) {
        /* a segment is never cut (RFC 1122 3.3.3); what no fragments can carry has nowhere to go */
        s->n.drop_tx_route++;
        buf_unref(b);
        return;
    }
    if (!p->is_loop) path_write_checksum(p, b, len);
    uint32_t id = (uint32_t)rng_u64(&s->rng), flow = path_flow(s, p, load_u32(b->data)); /* not predictable: RFC 7739 */
    for (uint32_t at = 0; at < len; at += room) {
        uint32_t n = len - at < room ? len - at : room;
        send_piece(s, p, b, at, n, at + n < len, id, flow, (uint8_t)((p->tos & 0xfc) | (ecn & 3)));
    }
    buf_unref(b);
}
