/* SPDX-License-Identifier: MIT
 *
 * Header prediction, as Van Jacobson had it: most segments are the next data in order or an acknowledgement of what was
 * sent, with no options but timestamps. For such a segment this does all that RFC 9293 3.10.7.4 asks, deciding by one
 * cache line of the connection; whatever is unusual goes the long way, which is written for reading.
 *
 *     stack_input ── tcp_input_frame: Ethernet, IPv4, look-up, checksum ──┐
 *           └─ no ─> eth, ip4 | ip6 ─> tcp_input: look-up, checksum ──────┴──> tcp_fast_segment ── no ─> 3.10.7.4
 */
#ifndef TCP_TCP_FAST_H
#define TCP_TCP_FAST_H

#include "tcp/checksum.h"
#include "tcp/tcp_input.h"

#define CF_UNUSUAL (CF_NOT_OPEN | CF_HOLE | CF_DETACHED | CF_READ_CLOSED | CF_ACCEPTING | CF_ECE)

/* Offset, reserved bits and flags (but PSH) in one load. */
#define SHAPE_PLAIN      (0x50u | TCP_ACK << 8)
#define SHAPE_TIMESTAMPS (0x80u | TCP_ACK << 8)
/* NOP, NOP, 8, 10, as loaded: how everybody writes timestamps alone (RFC 7323 appendix A) */
#define OPTIONS_TS_ONLY 0x0a080101u

/* The sum of RFC 1071 in words of 64 bits: 2^16 is 1 modulo 2^16 - 1, so is 2^64, and a sum is right when it is a
 * multiple of 2^16 - 1, which is one multiplication to find out. For a segment of a few dozen bytes a call would
 * cost as much as the work. */
static inline uint64_t csum_word(uint64_t sum, uint64_t word)
{
    uint64_t s;
    return __builtin_add_overflow(sum, word, &s) ? s + 1 : s;
}

static inline uint64_t csum_words4(uint64_t sum, const uint8_t *p)
{
#if defined(__x86_64__)
    __asm__("addq 0(%1), %0\n\tadcq 8(%1), %0\n\tadcq 16(%1), %0\n\tadcq 24(%1), %0\n\tadcq $0, %0"
            : "+r"(sum)
            : "r"(p), "m"(*(const uint8_t(*)[32])p)
            : "cc");
    return sum;
#else
    return csum_word(csum_word(csum_word(csum_word(sum, load_u64(p)), load_u64(p + 8)), load_u64(p + 16)),
                     load_u64(p + 24));
#endif
}

/* n is at least 8. */
static inline uint64_t csum_short(uint64_t sum, const uint8_t *p, uint32_t n)
{
    for (; n >= 32; n -= 32, p += 32) sum = csum_words4(sum, p);
    for (; n >= 8; n -= 8, p += 8) sum = csum_word(sum, load_u64(p));
    /* what lies in front was summed: it goes out on the right */
    if (n) sum = csum_word(sum, load_u64(p + n - 8) >> (64 - 8 * n));
    return sum;
}

static inline bool csum_is_right(uint64_t sum) { return sum % 0xffff == 0; }

/* n at least TCP_HDR_MIN. Out of line, like tcp_fast_ack(): the way of data in order that acknowledge nothing keeps
 * its registers. */
static __attribute__((noinline)) bool csum_segment(uint64_t sum, const uint8_t *p, uint32_t n)
{
    return csum_is_right(n <= 256 ? csum_short(sum, p, n) : csum_word(sum, csum_add(0, p, n)));
}

/* What of an ACK concerns sending. false: a hook has ended or let go of the connection. */
static __attribute__((noinline)) bool tcp_fast_ack(struct conn *c, const struct tcp_hdr *h, tcp_seq ack, uint32_t n,
                                                   bool window_changed)
{
    struct tcp_opts opts;
    opts.has = 0;
    opts.sack_count = 0;
    if (c->flags & CF_TS) {
        opts.has = OPT_TS;
        opts.ts_val = load_be32((const uint8_t *)(h + 1) + 4);
        opts.ts_ecr = load_be32((const uint8_t *)(h + 1) + 8);
    }
    struct ack_event e = {.ack = ack, .opts = &opts, .has_data = n, .window_changed = window_changed};
    recover_ack(c, &e);
    return !(c->flags & (CF_DEAD | CF_DETACHED));
}

/* h, of `len` bytes with header and payload, lies in b, which is no chain. sum: of the pseudo-header, to be checked;
 * csum_ok: no need. CE and the length of h itself (20 bytes) have been looked at. unusual: CF_UNUSUAL and more.
 * true: done, b is taken. false: nothing has happened. */
static inline __attribute__((always_inline)) bool tcp_fast_segment(struct net_stack *s, struct conn *c, struct buf *b,
                                                                   const struct tcp_hdr *h, uint32_t len, uint64_t sum,
                                                                   bool csum_ok, uint32_t unusual)
{
    uint32_t shape = load_u16(&h->offset) & ~(uint32_t)(TCP_PSH << 8), flags = c->flags, header = TCP_HDR_MIN,
             ts_val = 0;
    tcp_seq seq = be32_to_host(h->seq), ack = be32_to_host(h->ack);
    if (unlikely((seq ^ c->rcv_nxt) | (flags & unusual))) return false;
    if (likely(flags & CF_TS)) {
        header = TCP_HDR_MIN + 12;
        if (unlikely(shape != SHAPE_TIMESTAMPS) || unlikely(len < header) ||
            unlikely(load_u32(h + 1) != OPTIONS_TS_ONLY))
            return false;
        ts_val = load_be32((const uint8_t *)(h + 1) + 4);
        if (unlikely((int32_t)(ts_val - c->ts_recent) < 0)) return false; /* PAWS decides: RFC 7323 5.3 */
    } else if (unlikely(shape != SHAPE_PLAIN)) {
        return false;
    }
    uint32_t n = len - header;
    if (unlikely(n > c->rcv_adv - seq) || unlikely(ack - c->snd_una > c->snd_nxt - c->snd_una)) return false;
    if (!csum_ok && unlikely(!csum_segment(sum, (const uint8_t *)h, len))) return false; /* counted on the long way */

    /* From here on it is taken. RFC 7323 4.3 (2): SEG.SEQ <= Last.ACK.sent */
    if ((flags & CF_TS) && seq == c->last_ack_sent) {
        c->ts_recent = ts_val;
        c->ts_recent_at = conn_coarse(c);
    }
    c->segs_in++;
    c->last_rcv_at = s->now;
    uint32_t window = (uint32_t)be16_to_host(h->window) << c->snd_wscale;
    bool window_changed = window != c->snd_wnd;
    c->snd_wl1 = seq;
    c->snd_wl2 = ack;
    if (unlikely(window_changed)) {
        c->snd_wnd = window;
        if (window > c->snd_wnd_max) c->snd_wnd_max = window;
    }
    if (ack != c->snd_una || !n || unlikely(window_changed)) {
        bool goes_on = tcp_fast_ack(c, h, ack, n, window_changed);
        if (!n || unlikely(!goes_on)) {
            buf_unref(b);
            return true;
        }
    }
    b->data = (uint8_t *)(uintptr_t)h + header;
    b->len = n;
    c->rcv_nxt = seq + n;
    conn_acknowledge(c, n);
    if (likely(!c->rcvq) && likely(s->hooks->data != NULL) && likely(c->user != NULL) &&
        likely(s->hooks->data(c->user, b))) {
        c->bytes_in += n;
        c->data_segs_in++;
        return true;
    }
    if (likely(c->rcvq_count < COPY_FROM_COUNT)) {
        *c->rcvq_tail = b;
        c->rcvq_tail = &b->next;
        c->rcvq_count++;
        c->rcvq_copied = 0;
        c->rcvq_bytes += n;
        c->bytes_in += n;
        c->data_segs_in++;
    } else {
        conn_receive(c, b, n);
    }
    s->hooks->readable(s->arg, c);
    return true;
}

#endif
