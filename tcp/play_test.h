/* SPDX-License-Identifier: MIT
 *
 * For tests and fuzzing: bytes become a play. One stack, live connections to a peer that is made by hand and follows no
 * rules; each byte says what happens next: a segment (flags, numbers near those that count, options right, old or
 * broken), a call, an ICMP error, time. Hooks act by the bytes, too. After each step all invariants are checked, at the
 * end all memory must be back.
 */
#ifndef TCP_PLAY_TEST_H
#define TCP_PLAY_TEST_H

#include "alloc/heap.h"
#include "tcp/checksum.h"
#include "tcp/conn.h"
#include "tcp/hdr.h"
#include "tcp/tcp_layer.h"

#include <netinet/in.h>
#include <string.h>

#define PLAY_TALKS 6
#define PLAY_CONNS 16

struct play_talk {         /* a four-tuple as the peer sees it */
    uint16_t ours, theirs; /* the stack's port, the peer's */
    tcp_seq nxt;           /* the peer's next number, were it honest */
    tcp_seq seen;          /* behind the last the stack sent */
    uint32_t ts, ts_stack;
};

struct play {
    const uint8_t *p, *end;
    struct net_stack *s;
    nsec now;
    struct play_talk talks[PLAY_TALKS];
    unsigned next_talk;
    struct conn *conns[PLAY_CONNS];
    struct listener *listeners[2];
    unsigned hook_depth;
    uint64_t segments_out;
};

static inline uint8_t play_byte(struct play *y) { return y->p < y->end ? *y->p++ : 0; }
static inline uint32_t play_word(struct play *y)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) v = v << 8 | play_byte(y);
    return v;
}

static inline struct ip_addr play_addr(bool peer)
{
    return addr_v4((uint32_t)(192 | 2 << 16 | (peer ? 2u : 1u) << 24));
}

/* --- connections the program holds -------------------------------------------------------------------------------- */

static inline unsigned play_slot(const struct play *y, const struct conn *c)
{
    unsigned i = 0;
    while (i < PLAY_CONNS && y->conns[i] != c) i++;
    return i;
}
static inline void play_hold(struct play *y, struct conn *c)
{
    unsigned i = play_slot(y, NULL);
    if (i == PLAY_CONNS) {
        conn_abort(y->conns[0]);
        i = 0;
    }
    y->conns[i] = c;
    conn_set_user(c, y);
}
static inline void play_forget(struct play *y, struct conn *c)
{
    unsigned i = play_slot(y, c);
    if (i < PLAY_CONNS) y->conns[i] = NULL;
}

static inline void play_drain(struct conn *c, unsigned most)
{
    for (struct buf *b; most-- && (b = conn_pop(c));) {
        ASSERT(b->len && !b->next);
        buf_unref(b);
    }
}

static inline void play_call(struct play *y, struct conn *c)
{
    static const uint8_t text[4096];
    uint8_t what = play_byte(y);
    if (!c) return;
    switch (what % 12) {
    case 0: conn_push_copy(c, text, 1 + play_byte(y), NULL); break;
    case 1: {
        struct buf *b = buf_take(16000);
        buf_put_back(b, 1 + (play_byte(y) << 6) % 16000);
        memset(b->data, 7, b->len);
        if (conn_push(c, b, NULL)) buf_unref(b);
        break;
    }
    case 2:
    case 3: play_drain(c, 100); break;
    case 4: play_drain(c, 1); break;
    case 5: conn_shutdown(c); break;
    case 6:
        play_forget(y, c);
        conn_close(c, what & 64 ? NSEC_NEVER : play_byte(y) * 10 * NSEC_PER_MSEC);
        break;
    case 7:
        play_forget(y, c);
        if (what & 64) conn_abort(c);
        else conn_close(c, NSEC_NEVER);
        break;
    case 8: conn_shutdown_read(c); break;
    case 9: {
        uint8_t o = play_byte(y);
        struct conn_opts opts = {.delay = o & 1,
                                 .cork = o & 2,
                                 .keepalive = o & 4,
                                 .quick_ack = o & 8,
                                 .keep_idle_s = 1,
                                 .keep_interval_s = 1,
                                 .user_timeout_ms = o & 16 ? 3000 : 0,
                                 .rcv_buffer = o & 32 ? 3000 : 0};
        conn_set_opts(c, &opts);
        break;
    }
    case 10: {
        struct conn_info info;
        char line[1024];
        conn_info(c, &info);
        conn_print(c, line, sizeof line);
        break;
    }
    default: break;
    }
}

/* --- hooks: what they do the bytes say, too ----------------------------------------------------------------------- */

static inline void play_in_hook(struct play *y, struct conn *c)
{
    if (y->hook_depth++ < 3) {
        uint8_t what = play_byte(y);
        if (what < 100) play_call(y, c);
        else if (what < 120) play_call(y, y->conns[what % PLAY_CONNS]);
        else play_drain(c, 1000);
    }
    y->hook_depth--;
}
static inline void play_acceptable(void *arg, struct listener *l)
{
    struct play *y = arg;
    if (play_byte(y) & 1) return;
    struct conn *c = listener_accept(l, y);
    if (c) play_hold(y, c);
}
static inline void play_connected(void *arg, struct conn *c, int err)
{
    struct play *y = arg;
    ASSERT(play_slot(y, c) < PLAY_CONNS);
    if (err) play_forget(y, c);
    else play_in_hook(y, c);
}
static inline void play_event(void *arg, struct conn *c)
{
    struct play *y = arg;
    ASSERT(play_slot(y, c) < PLAY_CONNS); /* never about one that was let go */
    play_in_hook(y, c);
}
static inline void play_closed(void *arg, struct conn *c, int err) { play_event(arg, c); }
static inline void play_udp(void *arg, struct udp_sock *u) {}
static const struct stack_hooks play_hooks = {.acceptable = play_acceptable,
                                              .connected = play_connected,
                                              .readable = play_event,
                                              .acked = play_event,
                                              .closed = play_closed,
                                              .udp_readable = play_udp};

/* --- what the stack sends ----------------------------------------------------------------------------------------- */

static inline struct play_talk *play_talk_of(struct play *y, uint16_t ours, uint16_t theirs)
{
    for (unsigned i = 0; i < PLAY_TALKS; i++)
        if (y->talks[i].ours == ours && y->talks[i].theirs == theirs) return &y->talks[i];
    struct play_talk *t = &y->talks[y->next_talk++ % PLAY_TALKS];
    *t = (struct play_talk){.ours = ours, .theirs = theirs, .nxt = 0xfffff000u + play_word(y) % 8192, .ts = 1000};
    return t;
}

static inline void play_see(struct play *y, const struct frame *f)
{
    uint8_t flat[128];
    size_t n = buf_chain_copy(f->b, 0, flat, sizeof flat);
    const struct ip4_hdr *ip = (const void *)(flat + 14);
    const struct tcp_hdr *h = (const void *)(ip + 1);
    if (n < 54 || load_be16(flat + 12) != ETH_TYPE_IP4 || ip->proto != IPPROTO_TCP) return;
    struct play_talk *t = play_talk_of(y, be16_to_host(h->src), be16_to_host(h->dst));
    uint32_t header = (h->offset >> 4) * 4u;
    ASSERT(header >= 20 && be16_to_host(ip->total_len) >= 20 + header && be16_to_host(ip->total_len) + 14u <= f->len);
    uint32_t len = be16_to_host(ip->total_len) - 20u - header + !!(h->flags & TCP_SYN) + !!(h->flags & TCP_FIN);
    tcp_seq end = be32_to_host(h->seq) + len;
    if (h->flags & TCP_SYN || seq_after(end, t->seen)) t->seen = end;
    for (uint32_t at = 20; at + 12 <= header && 34 + at + 12 <= n; at += 4)
        if (load_be32((const uint8_t *)h + at) == 0x0101080a) t->ts_stack = load_be32((const uint8_t *)h + at + 4);
    y->segments_out++;
}

static inline void play_flush(struct play *y)
{
    unsigned n;
    stack_flush(y->s, y->now);
    for (struct frame *f; (f = stack_frames(y->s, &n));) {
        play_see(y, f);
        buf_unref(f->b);
        stack_sent(y->s, 1);
    }
    tcp_layer_check(y->s); /* what is below changes little: stack_check() at the end */
}

/* --- what the peer sends ------------------------------------------------------------------------------------------ */

static inline uint32_t play_delta(struct play *y)
{
    uint8_t how = play_byte(y);
    if (how < 150) return 0;
    if (how < 190) return play_byte(y) * 16u;
    if (how < 230) return 0u - play_byte(y) * 16u;
    if (how < 235) return 65535u - 8 + play_byte(y) % 16;
    if (how < 240) return 1;
    if (how < 245) return 0u - 1;
    return play_word(y);
}

static inline size_t play_options(struct play *y, struct play_talk *t, bool syn, uint8_t *out)
{
    uint8_t how = play_byte(y);
    struct tcp_opts o = {.has = 0, .mss = 1460, .wscale = (how & 15) % 15, .ts_val = t->ts, .ts_ecr = t->ts_stack};
    if (how >= 250) { /* broken */
        size_t n = (how & 7) * 4u;
        for (size_t i = 0; i < n; i++) out[i] = play_byte(y);
        return n;
    }
    if (syn) o.has = OPT_MSS | (how & 1 ? OPT_TS : 0) | (how & 2 ? OPT_WSCALE : 0) | (how & 4 ? OPT_SACK_OK : 0);
    else if (how < 230) o.has = how & 1 ? OPT_TS : 0;
    if (syn && how & 64) o.mss = play_byte(y);
    t->ts += how & 31;
    if (how >= 200 && how < 210) o.ts_val -= 100000;
    if (how >= 210 && !syn) {
        o.has |= OPT_SACK;
        o.sack_count = 1 + how % 4;
        for (unsigned i = 0; i < o.sack_count; i++) {
            tcp_seq start = t->seen - play_byte(y) * 100u;
            o.sack[i] = (struct sack_block){start, start + play_byte(y) * 20u};
        }
    }
    return options_write(out, &o);
}

static inline void play_segment(struct play *y)
{
    static const uint8_t usual[8] = {TCP_ACK,           TCP_ACK,           TCP_ACK | TCP_PSH, TCP_SYN,
                                     TCP_SYN | TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST,           TCP_RST | TCP_ACK};
    uint8_t frame[2200] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, how = play_byte(y), which = play_byte(y);
    struct play_talk *t = &y->talks[which % PLAY_TALKS];
    if (!t->ours || which > 240) t = play_talk_of(y, 80, 40000 + which % 12);
    struct ip4_hdr *ip = (void *)(frame + 14);
    struct tcp_hdr *h = (void *)(ip + 1);
    uint8_t flags = how < 240 ? usual[how % 8] : play_byte(y);
    size_t opts = play_options(y, t, flags & TCP_SYN, (uint8_t *)(h + 1));
    uint32_t len = flags & (TCP_SYN | TCP_RST) ? 0 : play_byte(y);
    if (len >= 200) len = (len - 199) * 25;
    else if (len >= 100) len = 0;
    tcp_seq delta = play_delta(y);
    *h = (struct tcp_hdr){.src = be16_of(t->theirs),
                          .dst = be16_of(t->ours),
                          .seq = be32_of(t->nxt + delta),
                          .ack = be32_of(t->seen + play_delta(y)),
                          .offset = (uint8_t)((20 + opts) / 4 << 4),
                          .flags = flags,
                          .window = be16_of(how & 16 ? 65535 : play_byte(y) * 16)};
    memset((uint8_t *)(h + 1) + opts, 1, len);
    uint32_t total = 20 + (uint32_t)opts + len;
    *ip = (struct ip4_hdr){.version_ihl = 0x45,
                           .tos = how & 32 ? 3 : 0,
                           .total_len = be16_of(20 + total),
                           .ttl = 64,
                           .proto = IPPROTO_TCP,
                           .src = play_addr(true).w[3],
                           .dst = play_addr(false).w[3]};
    ip->csum = csum_ip4(ip);
    uint64_t sum = csum_add((uint64_t)be16_of(total) + (IPPROTO_TCP << 8), &ip->src, 8);
    h->csum = (uint16_t)~csum_fold(csum_add(sum, h, total));
    if (!delta && (flags & TCP_ACK || flags == TCP_SYN)) t->nxt += len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
    uint32_t n = 34 + total, cut = how & 64 && how > 200 ? n / 2 : 0; /* some come in two bufs */
    struct frame f = {.b = buf_take(n), .len = n};
    memcpy(buf_put_back(f.b, cut > 74 + opts ? cut : n), frame, cut > 74 + opts ? cut : n);
    if (cut > 74 + opts) {
        f.b->next = buf_take(n - cut);
        memcpy(buf_put_back(f.b->next, n - cut), frame + cut, n - cut);
    }
    stack_input(y->s, &f, 1, y->now);
}

static inline void play_icmp(struct play *y)
{
    uint8_t quoted[8], what = play_byte(y);
    struct play_talk *t = &y->talks[what % PLAY_TALKS];
    struct ip_addr us = play_addr(false), peer = play_addr(true);
    store_be16(quoted, t->ours);
    store_be16(quoted + 2, t->theirs);
    store_be32(quoted + 4, t->seen - play_byte(y));
    tcp_icmp_error(y->s, (enum icmp_error)(what % 5), (uint16_t)(play_byte(y) * 8), &us, &peer, quoted, 8);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static inline void play_listen(struct play *y)
{
    uint8_t how = play_byte(y);
    struct listener **l = &y->listeners[how & 1];
    if (*l && how & 2) {
        listener_close(*l);
        *l = NULL;
    } else if (!*l) {
        struct ip_port at = {.addr = how & 4 ? play_addr(false) : (struct ip_addr){.q = {0, 0}},
                             .port = how & 1 ? 81 : 80};
        struct conn_opts c = {.rcv_buffer = how & 8 ? 2000 : 0, .quick_ack = how & 16};
        listener_open(y->s, &at, &(struct listen_opts){.backlog = 1 + how % 5, .conn = &c}, y, l);
    } else {
        struct conn *c = listener_accept(*l, y);
        if (c) play_hold(y, c);
    }
}

static inline void play_connect(struct play *y)
{
    struct ip_port to = {.addr = play_addr(true), .port = 7},
                   from = {.addr = play_addr(false), .port = play_byte(y) & 1 ? 0 : 5000};
    struct conn *c;
    if (conn_connect(y->s, &from, &to, NULL, y, &c) == 0) play_hold(y, c);
}

static inline void play_time(struct play *y)
{
    static const nsec spans[8] = {1, 1, 40, 40, 200, 1000, 3000, 61000};
    y->now += spans[play_byte(y) & 7] * NSEC_PER_MSEC;
    stack_advance(y->s, y->now);
}

static inline void play(const uint8_t *data, size_t size)
{
    struct play y = {.p = data, .end = data + size, .now = 1000 * NSEC_PER_SEC};
    size_t used = heap_used();
    struct stack_config conf = {
        .mac = {2, 0, 0, 0, 0, 1},
        .mtu = 1500,
        .segs_max = 4,
        /* tables as small as they may be: a run makes them, and walks through them after each step */
        .limits = {.half_open = 2, .time_wait = 3, .neighbours = 4, .paths = 4, .fragment_bytes = 4096}};
    uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2}, how = play_byte(&y);
    conf.no_timestamps = how & 1;
    conf.ask_ecn = how & 2;
    conf.limits.rcv_buffer = how & 4 ? 5000 : 0;
    conf.limits.tx_frames = how & 8 ? 2 : 64;
    int err = stack_new(&conf, &play_hooks, &y, y.now, &y.s);
    ASSERT(!err);
    struct ip_addr us = play_addr(false), peer = play_addr(true);
    stack_add_address(y.s, &us, 24, true);
    stack_add_neighbour(y.s, &peer, peer_mac);
    y.listeners[0] = NULL;
    play_listen(&y);
    while (y.p < y.end) {
        uint8_t what = play_byte(&y);
        if (what < 150) play_segment(&y);
        else if (what < 190) play_call(&y, y.conns[play_byte(&y) % PLAY_CONNS]);
        else if (what < 225) play_time(&y);
        else if (what < 235) play_listen(&y);
        else if (what < 245) play_connect(&y);
        else play_icmp(&y);
        if (what & 1) play_flush(&y);
    }
    play_flush(&y);
    stack_check(y.s);
    stack_free(y.s);
    ASSERT(heap_used() == used);
}

#endif
