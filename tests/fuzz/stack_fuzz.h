/* SPDX-License-Identifier: MIT
 *
 * A stack for the fuzz targets of tcp/: one with addresses of both families, fed with what the input says, its frames
 * thrown away. After each step all invariants are looked at, and at the end every byte must be back.
 */
#ifndef FUZZ_STACK_FUZZ_H
#define FUZZ_STACK_FUZZ_H

#include <string.h>

#include "alloc/heap.h"
#include "tcp/checksum.h"
#include "tcp/hdr.h"
#include "tcp/stack_impl.h"
#include "tcp/tcp.h"
#include "tcp/udp.h"

#include <netinet/in.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_stack {
    struct net_stack *s;
    nsec now;
    size_t used_before;
    uint8_t out[256]; /* the beginning of the last frame that was sent */
    uint32_t out_len;
    void (*sent)(struct fuzz_stack *f);
    struct listener *l;
    struct udp_sock *u;
};

static const uint8_t fuzz_mac[ETH_ALEN] = {2, 0, 0, 0, 0, 1}, fuzz_peer_mac[ETH_ALEN] = {2, 0, 0, 0, 0, 9};

static inline struct ip_addr fuzz_addr(const char *text)
{
    struct ip_addr a;
    ASSERT(addr_parse(text, &a) == 0);
    return a;
}

static inline void fuzz_drain_conn(struct conn *c)
{
    for (struct buf *b; (b = conn_pop(c));) buf_unref(b);
}
static inline void fuzz_acceptable(void *arg, struct listener *l)
{
    for (struct conn *c; (c = listener_accept(l, NULL));) fuzz_drain_conn(c);
}
static inline void fuzz_connected(void *arg, struct conn *c, int err) {}
static inline void fuzz_readable(void *arg, struct conn *c)
{
    fuzz_drain_conn(c);
    conn_push_copy(c, "reply", 5, NULL);
    if (conn_ended(c)) conn_close(c, NSEC_NEVER);
}
static inline void fuzz_acked(void *arg, struct conn *c) {}
static inline void fuzz_closed(void *arg, struct conn *c, int err) { conn_close(c, NSEC_NEVER); }
static inline void fuzz_udp(void *arg, struct udp_sock *u)
{
    struct ip_port from;
    int err;
    struct buf *b = udp_pop(u, &from, &err);
    if (b && udp_push(u, b, &from, false)) buf_unref(b);
}

static const struct stack_hooks fuzz_hooks = {.acceptable = fuzz_acceptable,
                                              .connected = fuzz_connected,
                                              .readable = fuzz_readable,
                                              .acked = fuzz_acked,
                                              .closed = fuzz_closed,
                                              .udp_readable = fuzz_udp};

static inline void fuzz_begin(struct fuzz_stack *f, bool ipv6, bool dhcp)
{
    struct stack_config c = {.mtu = 1500, .segs_max = 1, .arp = true, .icmp_echo = true, .ipv6 = ipv6, .dhcp = dhcp};
    memcpy(c.mac, fuzz_mac, ETH_ALEN);
    c.limits = (struct stack_limits){.conns = 64,
                                     .half_open = 16,
                                     .time_wait = 16,
                                     .neighbours = 16,
                                     .neighbour_queue = 4,
                                     .fragment_bytes = 64 << 10,
                                     .tx_frames = 256,
                                     .paths = 16,
                                     .udp_queue = 16};
    *f = (struct fuzz_stack){.now = 100 * NSEC_PER_SEC, .used_before = heap_used()};
    ASSERT(stack_new(&c, &fuzz_hooks, NULL, f->now, &f->s) == 0);
}

/* What it wants to send is looked at and thrown away. */
static inline void fuzz_throw_away(struct fuzz_stack *f)
{
    unsigned n;
    stack_flush(f->s, f->now);
    for (struct frame *out; (out = stack_frames(f->s, &n));) {
        f->out_len = out->len;
        size_t copied = buf_chain_copy(out->b, 0, f->out, sizeof f->out);
        ASSERT(copied == (out->len < sizeof f->out ? out->len : sizeof f->out) && buf_chain_len(out->b) == out->len);
        buf_unref(out->b);
        stack_sent(f->s, 1);
        if (f->sent) f->sent(f);
    }
    stack_check(f->s);
}

static inline void fuzz_advance(struct fuzz_stack *f, nsec by)
{
    nsec until = f->now + by;
    for (unsigned i = 0; i < 64 && stack_deadline(f->s) <= until; i++) {
        if (stack_deadline(f->s) > f->now) f->now = stack_deadline(f->s);
        stack_advance(f->s, f->now);
        fuzz_throw_away(f);
    }
    f->now = until;
    stack_advance(f->s, f->now);
    fuzz_throw_away(f);
}

/* 0, then 1 ms to 1000 s. */
static inline nsec fuzz_span(uint8_t v)
{
    static const nsec spans[8] = {
        0, 0, 0, NSEC_PER_MSEC, 50 * NSEC_PER_MSEC, NSEC_PER_SEC, 30 * NSEC_PER_SEC, 1000 * NSEC_PER_SEC};
    return spans[v & 7];
}

/* In storage of exactly its size, so that reading behind it is seen; cut in two behind the first `cut` bytes, if
 * that is inside. */
static inline void fuzz_input(struct fuzz_stack *f, const uint8_t *p, size_t n, size_t cut)
{
    struct buf *b = buf_take_exact(cut && cut < n ? cut : n);
    memcpy(buf_put_back(b, cut && cut < n ? cut : n), p, cut && cut < n ? cut : n);
    if (cut && cut < n) {
        b->next = buf_take_exact(n - cut);
        memcpy(buf_put_back(b->next, n - cut), p + cut, n - cut);
    }
    struct frame frame = {.b = b, .len = (uint32_t)n};
    stack_input(f->s, &frame, 1, f->now);
    fuzz_throw_away(f);
}

static inline void fuzz_end(struct fuzz_stack *f)
{
    stack_free(f->s);
    ASSERT(heap_used() == f->used_before);
}

/* The checksum of an L4 packet for these addresses. */
static inline uint16_t fuzz_l4_csum(const void *src, const void *dst, size_t addr_size, uint8_t proto, const void *p,
                                    size_t n)
{
    uint64_t sum = (uint64_t)proto << 8;
    sum += __builtin_bswap32((uint32_t)n);
    sum = csum_add(csum_add(sum, src, addr_size), dst, addr_size);
    return (uint16_t)~csum_fold(csum_add(sum, p, n));
}

#endif
