/* SPDX-License-Identifier: MIT
 *
 * For tests of input: one stack, 192.0.2.1, and a peer at 192.0.2.2 whose segments are made by hand. What the stack
 * sends is taken apart and kept.
 */
#ifndef TCP_PEER_TEST_H
#define TCP_PEER_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>

#include "alloc/heap.h"
#include "tcp/checksum.h"
#include "tcp/conn.h"
#include "tcp/conn_table.h"
#include "tcp/hdr.h"
#include "tcp/listener.h"
#include "tcp/synq.h"
#include "tcp/timewait.h"

#define SECOND   NSEC_PER_SEC
#define MSEC     NSEC_PER_MSEC
#define OUT_MAX  4096
#define PEER_ISN 1000u

struct seen { /* a segment of the stack's */
    uint16_t from, to, window;
    tcp_seq seq, ack;
    uint8_t flags;
    uint32_t len;
    struct tcp_opts opts;
};

struct peer {
    struct net_stack *s;
    nsec now;
    struct seen out[OUT_MAX];
    unsigned count, read; /* read: looked at by next_out() */
    struct conn *c;       /* accepted or connected last */
    unsigned accepted, connected, readable, closed;
    int err;
    bool no_accept;
    size_t used_before;
};

static inline void peer_acceptable(void *arg, struct listener *l)
{
    struct peer *p = arg;
    if (p->no_accept) return;
    p->c = listener_accept(l, p);
    p->accepted++;
}
static inline void peer_connected(void *arg, struct conn *c, int err)
{
    struct peer *p = arg;
    p->connected++;
    p->err = err;
    if (err) p->c = NULL;
}
static inline void peer_readable(void *arg, struct conn *c) { ((struct peer *)arg)->readable++; }
static inline void peer_acked(void *arg, struct conn *c) {}
static inline void peer_closed(void *arg, struct conn *c, int err)
{
    struct peer *p = arg;
    p->closed++;
    p->err = err;
}
static const struct stack_hooks peer_hooks = {.acceptable = peer_acceptable,
                                              .connected = peer_connected,
                                              .readable = peer_readable,
                                              .acked = peer_acked,
                                              .closed = peer_closed};

static inline struct ip_addr peer_addr(unsigned last) { return addr_v4((uint32_t)(192 | 2 << 16 | last << 24)); }

static inline void peer_init(struct peer *p, const struct stack_config *like)
{
    memset(p, 0, sizeof *p);
    p->now = 1000 * SECOND;
    p->used_before = heap_used();
    struct stack_config conf = like ? *like : (struct stack_config){.seed = {1}};
    conf.mtu = 1500;
    conf.segs_max = 4;
    memcpy(conf.mac, "\x02\0\0\0\0\x01", 6);
    assert_int_equal(stack_new(&conf, &peer_hooks, p, p->now, &p->s), 0);
    struct ip_addr us = peer_addr(1);
    assert_int_equal(stack_add_address(p->s, &us, 24, true), 0);
    for (unsigned i = 2; i < 12; i++) {
        struct ip_addr a = peer_addr(i);
        assert_int_equal(stack_add_neighbour(p->s, &a, (const uint8_t *)"\x02\0\0\0\0\x02"), 0);
    }
}

static inline void peer_fini(struct peer *p)
{
    stack_free(p->s);
    assert_int_equal(heap_used(), p->used_before);
}

static inline void peer_take(struct peer *p)
{
    unsigned n;
    stack_flush(p->s, p->now);
    for (struct frame *f; (f = stack_frames(p->s, &n));) {
        uint8_t flat[128];
        size_t got = buf_chain_copy(f->b, 0, flat, sizeof flat);
        const struct ip4_hdr *ip = (const void *)(flat + 14);
        const struct tcp_hdr *h = (const void *)(ip + 1);
        if (got >= 54 && ip->proto == IPPROTO_TCP) {
            uint32_t header = (h->offset >> 4) * 4u;
            assert_true(p->count < OUT_MAX);
            struct seen *o = &p->out[p->count++];
            *o = (struct seen){.from = be16_to_host(h->src),
                               .to = be16_to_host(h->dst),
                               .window = be16_to_host(h->window),
                               .seq = be32_to_host(h->seq),
                               .ack = be32_to_host(h->ack),
                               .flags = h->flags,
                               .len = be16_to_host(ip->total_len) - 20u - header};
            assert_int_equal(options_parse((const uint8_t *)(h + 1), header - 20, h->flags & TCP_SYN, &o->opts), 0);
        }
        buf_unref(f->b);
        stack_sent(p->s, 1);
    }
    stack_check(p->s);
}

/* A segment from 192.0.2.<host>; options NULL: none. */
static inline void peer_send_from(struct peer *p, unsigned host, uint16_t from, uint16_t to, uint8_t flags, tcp_seq seq,
                                  tcp_seq ack, const struct tcp_opts *opts, uint32_t len)
{
    uint8_t frame[2200] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
    struct ip4_hdr *ip = (void *)(frame + 14);
    struct tcp_hdr *h = (void *)(ip + 1);
    size_t n = opts ? options_write((uint8_t *)(h + 1), opts) : 0;
    *h = (struct tcp_hdr){.src = be16_of(from),
                          .dst = be16_of(to),
                          .seq = be32_of(seq),
                          .ack = be32_of(ack),
                          .offset = (uint8_t)((20 + n) / 4 << 4),
                          .flags = flags,
                          .window = be16_of(65535)};
    uint32_t total = 20 + (uint32_t)n + len;
    *ip = (struct ip4_hdr){.version_ihl = 0x45,
                           .total_len = be16_of(20 + total),
                           .ttl = 64,
                           .proto = IPPROTO_TCP,
                           .src = peer_addr(host).w[3],
                           .dst = peer_addr(1).w[3]};
    ip->csum = csum_ip4(ip);
    uint64_t sum = csum_add((uint64_t)be16_of(total) + (IPPROTO_TCP << 8), &ip->src, 8);
    h->csum = (uint16_t)~csum_fold(csum_add(sum, h, total));
    struct frame f = {.b = buf_take(34 + total), .len = 34 + total};
    memcpy(buf_put_back(f.b, 34 + total), frame, 34 + total);
    stack_input(p->s, &f, 1, p->now);
    peer_take(p);
}
static inline void peer_send(struct peer *p, uint16_t from, uint16_t to, uint8_t flags, tcp_seq seq, tcp_seq ack,
                             const struct tcp_opts *opts, uint32_t len)
{
    peer_send_from(p, 2, from, to, flags, seq, ack, opts, len);
}

/* The next thing the stack has sent; NULL: nothing more. */
static inline struct seen *next_out(struct peer *p) { return p->read < p->count ? &p->out[p->read++] : NULL; }

static inline struct seen *want(struct peer *p, uint8_t flags)
{
    struct seen *o = next_out(p);
    assert_non_null(o);
    assert_int_equal(o->flags, flags);
    return o;
}

static inline void peer_wait(struct peer *p, nsec span)
{
    nsec until = p->now + span;
    for (nsec at; (at = stack_deadline(p->s)) <= until;) {
        if (at > p->now) p->now = at;
        stack_advance(p->s, p->now);
        peer_take(p);
    }
    p->now = until;
    stack_advance(p->s, p->now);
    peer_take(p);
}

static inline struct listener *peer_listen(struct peer *p, uint16_t port, unsigned backlog)
{
    struct ip_port at = {.addr = peer_addr(1), .port = port};
    struct listener *l;
    assert_int_equal(listener_open(p->s, &at, &(struct listen_opts){.backlog = backlog}, p, &l), 0);
    return l;
}

/* Three-way handshake; returns the stack's next sequence number. */
static inline tcp_seq peer_open(struct peer *p, uint16_t from, uint16_t to)
{
    peer_send(p, from, to, TCP_SYN, PEER_ISN, 0, NULL, 0);
    tcp_seq iss = want(p, TCP_SYN | TCP_ACK)->seq;
    peer_send(p, from, to, TCP_ACK, PEER_ISN + 1, iss + 1, NULL, 0);
    return iss + 1;
}

#endif
