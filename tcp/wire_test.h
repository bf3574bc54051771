/* SPDX-License-Identifier: MIT
 *
 * For tests below TCP: stacks on a lossless wire with virtual time, hooks that note what they were told, and frames
 * made by hand. A binary that has no TCP linked gets stand-ins for it, weak, so that the real one is used where it is
 * there.
 */
#ifndef TCP_WIRE_TEST_H
#define TCP_WIRE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "alloc/heap.h"
#include "tcp/checksum.h"
#include "tcp/hdr.h"
#include "tcp/stack_impl.h"
#include "tcp/udp.h"

#define WIRE_STACKS 4
#define SECOND      NSEC_PER_SEC
#define OK(call)    assert_int_equal((call), 0)

struct told { /* by hooks */
    struct ip_addr address;
    unsigned bits, address_came, address_gone, readable;
    unsigned sent, unsent, failed; /* datagrams that waited; active opens that came to nothing */
    int why;                       /* of the last that failed, of either */
};

struct wire {
    nsec now;
    struct net_stack *stacks[WIRE_STACKS];
    struct told told[WIRE_STACKS];
    unsigned count;
    uint64_t frames;                                                    /* that went over it */
    bool (*drop)(struct wire *w, unsigned from, const struct frame *f); /* NULL: nothing is lost */
    uint8_t last[2048];                                                 /* the last frame, its first bytes */
    uint32_t last_len;
    size_t used_before;
};

static void hook_acceptable(void *arg, struct listener *l) {}
static void hook_conn(void *arg, struct conn *c) {}
static void hook_conn_err(void *arg, struct conn *c, int err) {}
static void hook_connected(void *arg, struct conn *c, int err)
{
    struct told *t = arg;
    t->failed += err != 0;
    if (err) t->why = err;
}
static void hook_udp_sent(void *arg, struct udp_sock *u, void *ticket, int err)
{
    struct told *t = arg;
    assert_ptr_equal(ticket, t);
    *(err ? &t->unsent : &t->sent) += 1;
    if (err) t->why = err;
}
static void hook_udp(void *arg, struct udp_sock *u) { ((struct told *)arg)->readable++; }
static void hook_address(void *arg, const struct ip_addr *a, unsigned bits, bool gone)
{
    struct told *t = arg;
    t->address = *a;
    t->bits = bits;
    t->address_came += !gone;
    t->address_gone += gone;
}
static const struct stack_hooks test_hooks = {.acceptable = hook_acceptable,
                                              .connected = hook_connected,
                                              .readable = hook_conn,
                                              .acked = hook_conn,
                                              .closed = hook_conn_err,
                                              .udp_readable = hook_udp,
                                              .udp_sent = hook_udp_sent,
                                              .address = hook_address};

static inline struct stack_config wire_conf(unsigned i)
{
    struct stack_config c = {
        .mac = {2, 0, 0, 0, 0, (uint8_t)(i + 1)}, .mtu = 1500, .segs_max = 4, .arp = true, .icmp_echo = true};
    c.seed[0] = (uint8_t)(i + 1);
    return c;
}

static inline struct ip_addr ip(const char *text)
{
    struct ip_addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return a;
}
static inline struct ip_port at(const char *text, uint16_t port)
{
    return (struct ip_port){.addr = ip(text), .port = port};
}

static inline struct net_stack *wire_add(struct wire *w, const struct stack_config *c)
{
    if (w->count == 0) {
        if (!w->now) w->now = 100 * SECOND;
        w->used_before = heap_used();
    }
    unsigned i = w->count++;
    OK(stack_new(c, &test_hooks, &w->told[i], w->now, &w->stacks[i]));
    return w->stacks[i];
}

/* 10.0.0.1/24, 10.0.0.2/24 … */
static inline struct net_stack *wire_add4(struct wire *w)
{
    struct stack_config c = wire_conf(w->count);
    char text[32];
    snprintf(text, sizeof text, "10.0.0.%u", w->count + 1);
    struct net_stack *s = wire_add(w, &c);
    struct ip_addr a = ip(text);
    OK(stack_add_address(s, &a, 24, true));
    return s;
}

static inline struct buf *copy_of(const struct frame *f)
{
    struct buf *b = buf_take(f->len);
    assert_int_equal(buf_chain_copy(f->b, 0, buf_put_back(b, f->len), f->len), f->len);
    return b;
}

/* Everything that waits goes to all others, until nothing does any more. */
static inline void wire_run(struct wire *w)
{
    for (bool any = true; any;) {
        any = false;
        for (unsigned i = 0; i < w->count; i++) {
            unsigned n;
            stack_flush(w->stacks[i], w->now);
            for (struct frame *f; (f = stack_frames(w->stacks[i], &n)); any = true) {
                struct frame one = *f;
                stack_sent(w->stacks[i], 1);
                assert_int_equal(buf_chain_len(one.b), one.len);
                w->frames++;
                w->last_len = (uint32_t)buf_chain_copy(one.b, 0, w->last, sizeof w->last);
                if (!w->drop || !w->drop(w, i, &one))
                    for (unsigned to = 0; to < w->count; to++) {
                        if (to == i) continue;
                        struct frame copy = {.b = copy_of(&one), .len = one.len};
                        stack_input(w->stacks[to], &copy, 1, w->now);
                    }
                buf_unref(one.b);
            }
            if (stack_deadline(w->stacks[i]) <= w->now) {
                stack_advance(w->stacks[i], w->now);
                any |= stack_deadline(w->stacks[i]) <= w->now;
            }
            stack_check(w->stacks[i]);
        }
    }
}

/* Lets time pass, deadline by deadline. */
static inline void wire_until(struct wire *w, nsec until)
{
    wire_run(w);
    for (;;) {
        nsec next = NSEC_NEVER;
        for (unsigned i = 0; i < w->count; i++) {
            nsec d = stack_deadline(w->stacks[i]);
            if (d < next) next = d;
        }
        if (next > until) break;
        if (next > w->now) w->now = next;
        for (unsigned i = 0; i < w->count; i++) stack_advance(w->stacks[i], w->now);
        wire_run(w);
    }
    w->now = until;
    for (unsigned i = 0; i < w->count; i++) stack_advance(w->stacks[i], w->now);
    wire_run(w);
}

/* Every buffer must be back. */
static inline void wire_end(struct wire *w)
{
    for (unsigned i = 0; i < w->count; i++) stack_free(w->stacks[i]);
    assert_int_equal(heap_used(), w->used_before);
}

static inline struct buf *buf_from(const void *p, size_t n)
{
    struct buf *b = buf_take(n);
    memcpy(buf_put_back(b, n), p, n);
    return b;
}

/* A frame made by hand. */
static inline void input_bytes(struct net_stack *s, const void *p, size_t n, nsec now)
{
    struct frame f = {.b = buf_from(p, n), .len = (uint32_t)n};
    stack_input(s, &f, 1, now);
    stack_check(s);
}

/* Ethernet and IPv4 around n bytes at p; returns the length. Checksums are right. */
static inline size_t make_ip4(uint8_t *out, const uint8_t *dst_mac, struct ip_addr src, struct ip_addr dst,
                              uint8_t proto, uint16_t frag, const void *p, size_t n)
{
    struct eth_hdr *e = (void *)out;
    memcpy(e->dst, dst_mac, 6);
    memcpy(e->src, "\x02\x00\x00\x00\x00\x99", 6);
    e->type = be16_of(ETH_TYPE_IP4);
    struct ip4_hdr *h = (void *)(e + 1);
    *h = (struct ip4_hdr){.version_ihl = 0x45,
                          .total_len = be16_of(20 + n),
                          .id = be16_of(7),
                          .frag = be16_of(frag),
                          .ttl = 9,
                          .proto = proto,
                          .src = src.w[3],
                          .dst = dst.w[3]};
    h->csum = csum_ip4(h);
    memcpy(h + 1, p, n);
    return 34 + n;
}
static inline void fix_ip4(uint8_t *frame) /* after a change to the header */
{
    struct ip4_hdr *h = (void *)(frame + 14);
    h->csum = 0;
    h->csum = (uint16_t)~csum_fold(csum_add(0, h, (size_t)(h->version_ihl & 15) * 4));
}

static inline size_t make_ip6(uint8_t *out, const uint8_t *dst_mac, struct ip_addr src, struct ip_addr dst,
                              uint8_t next, uint8_t hops, const void *p, size_t n)
{
    struct eth_hdr *e = (void *)out;
    memcpy(e->dst, dst_mac, 6);
    memcpy(e->src, "\x02\x00\x00\x00\x00\x99", 6);
    e->type = be16_of(ETH_TYPE_IP6);
    struct ip6_hdr *h = (void *)(e + 1);
    *h = (struct ip6_hdr){
        .version_class_flow = be32_of(6u << 28), .payload_len = be16_of(n), .next = next, .hops = hops};
    memcpy(h->src, src.b, 16);
    memcpy(h->dst, dst.b, 16);
    memcpy(h + 1, p, n);
    return 54 + n;
}

/* The checksum of n bytes at p for these addresses, as it stands in the field. */
static inline uint16_t l4_csum(struct ip_addr src, struct ip_addr dst, uint8_t proto, const void *p, size_t n)
{
    uint64_t sum = (uint64_t)proto << 8;
    sum += __builtin_bswap32((uint32_t)n);
    bool v4 = addr_is_v4(&src);
    sum = csum_add(sum, src.b + (v4 ? 12 : 0), v4 ? 4 : 16);
    sum = csum_add(sum, dst.b + (v4 ? 12 : 0), v4 ? 4 : 16);
    return (uint16_t)~csum_fold(csum_add(sum, p, n));
}

/* UDP header and text behind each other; returns the length. */
static inline size_t make_udp(uint8_t *out, struct ip_addr src, uint16_t from, struct ip_addr dst, uint16_t to,
                              const void *p, size_t n)
{
    struct udp_hdr *h = (void *)out;
    *h = (struct udp_hdr){.src = be16_of(from), .dst = be16_of(to), .len = be16_of(8 + n)};
    if (n) memcpy(h + 1, p, n);
    uint16_t sum = l4_csum(src, dst, IPPROTO_UDP, out, 8 + n);
    h->csum = sum ? sum : 0xffff;
    return 8 + n;
}

static inline void udp_say(struct udp_sock *u, const char *text, struct ip_port to)
{
    OK(udp_push(u, buf_from(text, strlen(text)), &to, false));
}

static inline void assert_udp_hears(struct udp_sock *u, const char *text, struct ip_port *from)
{
    struct ip_port e;
    int err;
    struct buf *b = udp_pop(u, &e, &err);
    assert_int_equal(err, 0);
    assert_non_null(b);
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->data, text, b->len);
    if (from) *from = e;
    buf_unref(b);
}

static inline void assert_udp_silent(struct udp_sock *u, int want_err)
{
    struct ip_port e;
    int err;
    assert_null(udp_pop(u, &e, &err));
    assert_int_equal(err, want_err);
}

#endif
