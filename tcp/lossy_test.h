/* SPDX-License-Identifier: MIT
 *
 * Two stacks, joined by a wire in memory, in virtual time: for tests. The wire delays, and by a seeded generator loses,
 * doubles, reorders and damages frames; it may have a rate and a queue. Everything follows from the seed.
 *
 *     pair_init, pair_connect, then pair_run until what the test waits for; pair_fini checks that all bufs came back
 *
 * An end of a connection in test is a struct side: it pushes `to_send` bytes of a pattern, pops and compares what
 * comes.
 */
#ifndef TCP_LOSSY_TEST_H
#define TCP_LOSSY_TEST_H

#include "tcp/checksum.h"
#include "tcp/conn.h"
#include "tcp/hdr.h"
#include "tcp/stack_impl.h"
#include "tcp/tcp.h"

#include "alloc/base/rng.h"
#include "alloc/heap.h"

#include <errno.h>
#include <stdlib.h>

struct flying_frame {
    nsec at;
    uint64_t serial;
    struct buf *b;
    int to;
};

struct pair;

struct side { /* of one connection */
    struct pair *pair;
    struct conn *c;
    struct listener *l;
    uint64_t to_send, pushed, received;                         /* bytes of the pattern */
    uint32_t push_max;                                          /* at most so many a push; 0: 64 KiB */
    bool close_when_sent, shut, ended, connected, closed, hold; /* hold: does not pop */
    bool wrong;                                                 /* what came was not the pattern */
    int error;
    nsec last_at; /* when something came last */
};

struct pair {
    struct net_stack *s[2];
    struct side side[2];
    struct stack_config conf[2];
    nsec now;
    struct rng rng;
    /* the wire */
    nsec delay, jitter; /* each frame: delay + up to jitter, which reorders */
    uint32_t loss_ppm, dup_ppm, damage_ppm;
    uint64_t rate;        /* bytes a second; 0: endless */
    uint32_t queue_bytes; /* dropped beyond; 0: endless */
    nsec free_at[2];
    /* or NULL: true: loses it */
    bool (*drop)(struct pair *p, int from, const uint8_t *frame, uint32_t n, uint64_t nth);
    void *arg;
    uint64_t sent[2];
    struct flying_frame *heap;
    uint32_t heap_count, heap_room;
    uint64_t serial;
};

static inline uint8_t pattern_at(uint64_t i) { return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16)); }

/* --- hooks -------------------------------------------------------------------------------------------------------- */

static inline void side_push(struct side *d)
{
    if (!d->c || !d->connected || d->closed) return;
    while (d->pushed < d->to_send) {
        uint64_t n = d->to_send - d->pushed, max = d->push_max ? d->push_max : 65536;
        if (n > max) n = max;
        struct buf *b = buf_take(n);
        if (!b) return;
        for (uint64_t i = 0; i < n; i++) b->data[i] = pattern_at(d->pushed + i);
        b->len = (uint32_t)n;
        if (conn_push(d->c, b, NULL)) {
            buf_unref(b);
            return;
        }
        d->pushed += n;
    }
    if (d->close_when_sent && !d->shut && d->c) {
        d->shut = true;
        conn_shutdown(d->c);
    }
}

static inline void side_pop(struct side *d)
{
    struct buf *b;
    if (d->hold || !d->c) return;
    while ((b = conn_pop(d->c))) {
        for (uint32_t i = 0; i < b->len; i++)
            if (b->data[i] != pattern_at(d->received + i)) d->wrong = true;
        d->received += b->len;
        d->last_at = d->pair->now;
        buf_unref(b);
    }
    if (conn_ended(d->c)) d->ended = true;
}

static inline void pair_acceptable(void *arg, struct listener *l)
{
    struct side *d = arg;
    struct conn *c = listener_accept(l, d);
    if (d->c) {
        conn_abort(c);
        return;
    }
    d->c = c;
    d->connected = true;
    side_push(d);
    side_pop(d);
}
static inline void pair_connected(void *arg, struct conn *c, int err)
{
    struct side *d = arg;
    d->error = err;
    if (err) d->c = NULL;
    else d->connected = true;
    side_push(d);
}
static inline void pair_readable(void *arg, struct conn *c) { side_pop(arg); }
static inline void pair_acked(void *arg, struct conn *c) { side_push(arg); }
static inline void pair_closed(void *arg, struct conn *c, int err)
{
    struct side *d = arg;
    d->closed = true;
    d->error = err;
    side_pop(d);
}
static inline void pair_udp(void *arg, struct udp_sock *u) {}

static const struct stack_hooks pair_hooks = {.acceptable = pair_acceptable,
                                              .connected = pair_connected,
                                              .readable = pair_readable,
                                              .acked = pair_acked,
                                              .closed = pair_closed,
                                              .udp_readable = pair_udp};

/* --- set up ------------------------------------------------------------------------------------------------------- */

static inline struct ip_addr pair_addr(int i) { return addr_v4((uint32_t)(10 | (1 + i) << 24)); }

static inline void pair_defaults(struct pair *p, uint64_t seed)
{
    *p = (struct pair){.now = NSEC_PER_SEC, .delay = NSEC_PER_MSEC};
    rng_seed(&p->rng, seed);
    for (int i = 0; i < 2; i++) {
        p->conf[i] =
            (struct stack_config){.mac = {2, 0, 0, 0, 0, (uint8_t)(1 + i)}, .mtu = 1500, .segs_max = 8, .arp = true};
        for (int j = 0; j < 32; j++) p->conf[i].seed[j] = (uint8_t)rng_u64(&p->rng);
        p->side[i].pair = p;
    }
}

static inline void pair_init(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        int err = stack_new(&p->conf[i], &pair_hooks, &p->side[i], p->now, &p->s[i]);
        ASSERT(!err);
    }
    for (int i = 0; i < 2; i++) {
        struct ip_addr own = pair_addr(i), other = pair_addr(1 - i);
        int err = stack_add_address(p->s[i], &own, 24, true);
        ASSERT(!err);
        err = stack_add_neighbour(p->s[i], &other, p->conf[1 - i].mac);
        ASSERT(!err);
    }
}

static inline void pair_fini(struct pair *p)
{
    for (int i = 0; i < 2; i++) stack_free(p->s[i]);
    while (p->heap_count) buf_unref(p->heap[--p->heap_count].b);
    free(p->heap);
}

/* --- the wire ----------------------------------------------------------------------------------------------------- */

static inline bool frame_before(const struct flying_frame *a, const struct flying_frame *b)
{
    return a->at < b->at || (a->at == b->at && a->serial < b->serial);
}

static inline void heap_put(struct pair *p, struct flying_frame f)
{
    if (p->heap_count == p->heap_room) {
        p->heap_room = p->heap_room ? 2 * p->heap_room : 256;
        p->heap = realloc(p->heap, p->heap_room * sizeof *p->heap);
        ASSERT(p->heap);
    }
    uint32_t i = p->heap_count++;
    for (; i && frame_before(&f, &p->heap[(i - 1) / 2]); i = (i - 1) / 2) p->heap[i] = p->heap[(i - 1) / 2];
    p->heap[i] = f;
}

static inline struct flying_frame heap_take(struct pair *p)
{
    struct flying_frame top = p->heap[0], last = p->heap[--p->heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= p->heap_count) break;
        if (child + 1 < p->heap_count && frame_before(&p->heap[child + 1], &p->heap[child])) child++;
        if (!frame_before(&p->heap[child], &last)) break;
        p->heap[i] = p->heap[child];
        i = child;
    }
    p->heap[i] = last;
    return top;
}

static inline bool chance(struct pair *p, uint32_t ppm) { return ppm && rng_below(&p->rng, 1000000) < ppm; }

static inline void wire_copy(struct pair *p, int from, const struct frame *f, nsec at)
{
    struct buf *b = buf_take(f->len);
    ASSERT(b);
    b->len = (uint32_t)buf_chain_copy(f->b, 0, b->data, f->len);
    ASSERT(b->len == f->len);
    if (chance(p, p->damage_ppm)) b->data[rng_below(&p->rng, b->len)] ^= (uint8_t)(1 + rng_below(&p->rng, 255));
    at += p->delay + (p->jitter ? rng_below(&p->rng, p->jitter) : 0);
    heap_put(p, (struct flying_frame){.at = at, .serial = p->serial++, .b = b, .to = 1 - from});
}

static inline void wire_send_one(struct pair *p, int from, const struct frame *f)
{
    nsec at = p->now;
    uint64_t nth = p->sent[from]++;
    if (p->drop) {
        uint8_t flat[256];
        uint32_t n = (uint32_t)buf_chain_copy(f->b, 0, flat, sizeof flat);
        if (p->drop(p, from, flat, n, nth)) return;
    }
    if (chance(p, p->loss_ppm)) return;
    if (p->rate) {
        if (p->free_at[from] < p->now) p->free_at[from] = p->now;
        if (p->queue_bytes && (p->free_at[from] - p->now) * p->rate / NSEC_PER_SEC > p->queue_bytes) return;
        p->free_at[from] += (nsec)(f->len + 24) * NSEC_PER_SEC / p->rate; /* FCS, preamble, gap */
        at = p->free_at[from];
    }
    wire_copy(p, from, f, at);
    if (chance(p, p->dup_ppm)) wire_copy(p, from, f, at);
}

/* A device that cuts large segments: IPv4 and TCP, checksums and all. */
static inline void wire_send(struct pair *p, int from, const struct frame *f)
{
    if (!(f->flags & (FRAME_TX_TSO | FRAME_TX_L4_CSUM))) {
        wire_send_one(p, from, f);
        return;
    }
    uint32_t l4 = (uint32_t)f->l2_len + f->l3_len, headers = l4 + f->l4_len, payload = f->len - headers;
    uint32_t mss = f->flags & FRAME_TX_TSO ? f->tso_mss : payload;
    for (uint32_t at = 0; at == 0 || at < payload; at += mss) {
        uint32_t n = payload - at < mss ? payload - at : mss;
        struct buf *b = buf_take(headers + n);
        ASSERT(b);
        buf_chain_copy(f->b, 0, b->data, headers);
        buf_chain_copy(f->b, headers + at, b->data + headers, n);
        b->len = headers + n;
        struct ip4_hdr *ip = (void *)(b->data + f->l2_len);
        struct tcp_hdr *tcp = (void *)(b->data + l4);
        ip->total_len = be16_of(headers - f->l2_len + n);
        ip->csum = 0;
        ip->csum = csum_ip4(ip);
        tcp->seq = be32_of(be32_to_host(tcp->seq) + at);
        if (at + n < payload) tcp->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        tcp->csum = 0;
        uint64_t sum = (uint64_t)ip->src + ip->dst + be16_of(6) + be16_of(f->l4_len + n);
        uint16_t csum = (uint16_t)~csum_fold(csum_add(sum, tcp, f->l4_len + n));
        store_u16(&tcp->csum, csum);
        struct frame one = {.b = b, .len = b->len};
        wire_send_one(p, from, &one);
        buf_unref(b);
        if (!payload) break;
    }
}

/* All that wants to leave. */
static inline void pair_flush(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        do {
            stack_flush(p->s[i], p->now);
            unsigned n;
            struct frame *f;
            while ((f = stack_frames(p->s[i], &n))) {
                for (unsigned j = 0; j < n; j++) {
                    wire_send(p, i, &f[j]);
                    buf_unref(f[j].b);
                }
                stack_sent(p->s[i], n);
            }
        } while (stack_wants_flush(p->s[i]));
    }
}

/* The next thing that happens, not later than `until`; false: nothing does, and the time is until. */
static inline bool pair_step(struct pair *p, nsec until)
{
    pair_flush(p);
    nsec at = p->heap_count ? p->heap[0].at : NSEC_NEVER;
    for (int i = 0; i < 2; i++)
        if (stack_deadline(p->s[i]) < at) at = stack_deadline(p->s[i]);
    if (at > until) {
        p->now = until;
        return false;
    }
    if (at > p->now) p->now = at;
    for (int i = 0; i < 2; i++) stack_advance(p->s[i], p->now);
    while (p->heap_count && p->heap[0].at <= p->now) {
        struct flying_frame t = heap_take(p);
        struct frame f = {.b = t.b, .len = t.b->len};
        stack_input(p->s[t.to], &f, 1, p->now);
    }
    pair_flush(p);
    return true;
}

static inline void pair_run(struct pair *p, nsec span)
{
    nsec until = p->now + span;
    while (pair_step(p, until)) {
    }
}

/* Side 1 listens at port 7, side 0 connects. */
static inline void pair_connect(struct pair *p, const struct conn_opts *opts)
{
    struct ip_port at = {.addr = pair_addr(1), .port = 7};
    struct conn_opts o = opts ? *opts : (struct conn_opts){0};
    struct listen_opts lo = {.backlog = 8, .conn = &o};
    int err = listener_open(p->s[1], &at, &lo, &p->side[1], &p->side[1].l);
    ASSERT(!err);
    err = conn_connect(p->s[0], NULL, &at, &o, &p->side[0], &p->side[0].c);
    ASSERT(!err);
}

/* Lets go of both ends. */
static inline void pair_close(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->side[i].c) conn_abort(p->side[i].c);
        p->side[i].c = NULL;
        if (p->side[i].l) listener_close(p->side[i].l);
        p->side[i].l = NULL;
    }
}

#endif
