/* SPDX-License-Identifier: MIT
 *
 * A device's transmit offloads, as tcp/netdev.h tells them: FRAME_TX_IP_CSUM, the field is 0; FRAME_TX_L4_CSUM, it
 * holds the sum of the pseudo-header, whose length counts as 0 for FRAME_TX_TSO. Cutting: sequence numbers go on, FIN
 * and PSH stand on the last piece, CWR on the first (RFC 3168 6.1.2: once).
 */
#include "tests/packets/runner/offload.h"

#include <netinet/in.h>
#include <string.h>

static uint32_t fold(uint32_t sum)
{
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static uint32_t sum_words(uint32_t sum, const uint8_t *p, uint32_t n)
{
    for (uint32_t i = 0; i + 1 < n; i += 2) sum += load_be16(p + i);
    return sum;
}

static bool pseudo_sum_is_right(const struct frame *f, const struct wire *w, bool v6, uint8_t proto)
{
    uint32_t l3 = v6 ? 40 : 20, l4 = w->n - l3;
    uint32_t sum = proto + (f->flags & FRAME_TX_TSO ? 0 : l4);
    sum = v6 ? sum_words(sum, w->bytes + 8, 32) : sum_words(sum, w->bytes + 12, 8);
    return fold(sum) == load_be16(w->bytes + l3 + (proto == IPPROTO_TCP ? 16 : 6));
}

static bool lengths_are_right(const struct frame *f, const struct wire *w, bool v6)
{
    uint32_t l3 = v6 ? 40 : 20;
    bool udp = f->flags & FRAME_TX_UDP;
    uint32_t l4 = udp ? 8 : (uint32_t)(w->bytes[l3 + 12] >> 4) * 4;
    return f->l2_len == sizeof(struct eth_hdr) && f->l3_len == l3 && f->l4_len == l4 &&
           !(f->flags & FRAME_TX_V6) == !v6;
}

static void fill_ip_checksum(struct wire *w)
{
    store_be16(w->bytes + 10, 0);
    store_be16(w->bytes + 10, (uint16_t)~fold(sum_words(0, w->bytes, 20)));
}

static void cut(struct fields *whole, uint32_t mss, void (*emit)(void *arg, const struct wire *w), void *arg)
{
    static struct wire piece;
    struct fields p = *whole;
    p.doff = -1;
    for (uint32_t at = 0; at < whole->payload_len || !at; at += mss) {
        uint32_t left = whole->payload_len - at;
        p.payload = whole->payload + at;
        p.payload_len = left < mss ? left : mss;
        p.seq = whole->seq + at;
        p.flags = whole->flags;
        if (left > mss) p.flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        if (at) p.flags &= (uint8_t)~TCP_CWR;
        wire_build(&piece, &p);
        emit(arg, &piece);
    }
}

bool offload_send(const struct frame *f, struct wire *w, void (*emit)(void *arg, const struct wire *w), void *arg)
{
    struct fields fields;
    bool v6 = w->bytes[0] >> 4 == 6;
    if (f->flags & FRAME_TX_IP_CSUM) {
        if (v6 || load_be16(w->bytes + 10)) return false;
        fill_ip_checksum(w);
    }
    if (!(f->flags & (FRAME_TX_L4_CSUM | FRAME_TX_TSO))) {
        emit(arg, w);
        return true;
    }
    const char *bad = wire_read(w, &fields);
    if (bad && strcmp(bad, "wrong checksum")) return false;
    if (!lengths_are_right(f, w, v6) || !pseudo_sum_is_right(f, w, v6, fields.proto)) return false;
    if (f->flags & FRAME_TX_TSO && (fields.proto != IPPROTO_TCP || !f->tso_mss)) return false;
    cut(&fields, f->flags & FRAME_TX_TSO ? f->tso_mss : 65535, emit, arg);
    return true;
}
