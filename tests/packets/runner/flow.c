/* SPDX-License-Identifier: MIT
 *
 * Packets of a script on their way in: numbers and payload filled in.
 */
#include "tests/packets/runner/flow.h"

#include <netinet/in.h>
#include <string.h>

#include "alloc/base/assert.h"

void flow_forget(struct flow *f) { f->local_known = f->remote_known = f->ts_known = false; }

void flows_init(struct flows *t, bool v6, const struct ip_addr *local, const struct ip_addr *remote,
                uint32_t remote_isn)
{
    *t = (struct flows){.v6 = v6, .local = *local, .remote = *remote, .remote_isn = remote_isn};
    for (int i = 0; i < FLOWS_MAX; i++)
        t->f[i] = (struct flow){.id = i,
                                .local_port = FLOW_LOCAL_PORT,
                                .remote_port = (uint16_t)(FLOW_REMOTE_PORT + i),
                                .remote_offset = remote_isn};
}

static void put32(struct fields *f, uint32_t v)
{
    store_be32(f->opts + f->opts_len, v);
    f->opts_len += 4;
}

static void put8(struct fields *f, uint32_t v) { f->opts[f->opts_len++] = (uint8_t)v; }

static void build_option(struct fields *f, const struct opt_spec *o, const struct flow *flow)
{
    ASSERT(f->opts_len + 34 <= sizeof f->opts || o->kind == OPT_RAW_ || o->kind < 2);
    switch (o->kind) {
    case OPT_RAW_: put8(f, o->raw); break;
    case OPT_EOL_:
    case OPT_NOP_: put8(f, o->kind); break;
    case OPT_SACK_OK_:
        put8(f, o->kind);
        put8(f, 2);
        break;
    case OPT_WSCALE_:
        put8(f, o->kind);
        put8(f, 3);
        put8(f, o->a);
        break;
    case OPT_MSS_:
        put8(f, o->kind);
        put8(f, 4);
        put8(f, o->a >> 8);
        put8(f, o->a);
        break;
    case OPT_TS_:
        put8(f, o->kind);
        put8(f, 10);
        put32(f, o->a);
        put32(f, o->b ? o->b + flow->ts_offset : 0);
        break;
    default: /* SACK */
        put8(f, o->kind);
        put8(f, 2 + 8u * o->sack_count);
        for (unsigned i = 0; i < 2u * o->sack_count; i++) put32(f, o->sack[i] + flow->local_offset);
    }
}

static void build_tcp(struct fields *f, const struct pkt_spec *k, struct flow *flow, uint8_t *payload)
{
    if ((k->flags & TCP_SYN) && !flow->remote_known) {
        flow->remote_known = true;
        flow->remote_isn = k->seq;
    }
    f->proto = IPPROTO_TCP;
    f->seq = k->seq + flow->remote_offset;
    f->ack = k->has_ack ? k->ack + flow->local_offset : 0;
    f->flags = k->flags;
    f->window = (uint16_t)(k->window < 0 ? 65535 : k->window);
    f->urgent = (uint16_t)(k->urgent < 0 ? 0 : k->urgent);
    f->doff = k->doff;
    for (unsigned i = 0; i < k->opt_count; i++) build_option(f, &k->opts[i], flow);
    uint32_t first = k->seq - flow->remote_isn - !(k->flags & TCP_SYN);
    for (uint32_t i = 0; i < k->len; i++) payload[i] = flow_byte(false, first + i);
}

/* The packet of ours that an ICMP error is about, as much of it as such an error has to carry (RFC 792; RFC 4443
 * 3.2). */
static uint32_t build_quoted(const struct flows *t, const struct pkt_spec *k, const struct flow *flow, uint8_t *out)
{
    static struct wire w;
    static uint8_t zeros[65536];
    struct fields q = {.v6 = t->v6,
                       .src = t->local,
                       .dst = t->remote,
                       .proto = k->icmp_quotes_udp ? IPPROTO_UDP : IPPROTO_TCP,
                       .ttl = 60,
                       .df = true,
                       .sport = flow->local_port,
                       .dport = flow->remote_port,
                       .seq = k->seq + flow->local_offset,
                       .flags = TCP_ACK,
                       .doff = -1,
                       .truncate = -1,
                       .payload = zeros,
                       .payload_len = k->len & 0xffff};
    wire_build(&w, &q);
    uint32_t n = t->v6 ? 40 + 20 : 20 + 8;
    if (n > w.n) n = w.n;
    memcpy(out, w.bytes, n);
    return n;
}

void flow_build(struct flows *t, const struct pkt_spec *k, struct wire *w)
{
    static uint8_t payload[65536];
    struct flow *flow = &t->f[k->flow];
    if (k->local_port) flow->local_port = (uint16_t)k->local_port;
    struct fields f = {.v6 = t->v6,
                       .src = t->remote,
                       .dst = t->local,
                       .tos = (uint8_t)(k->tos < 0 ? 0 : k->tos),
                       .ttl = (uint8_t)(k->ttl < 0 ? 64 : k->ttl),
                       .df = k->df,
                       .sport = flow->remote_port,
                       .dport = flow->local_port,
                       .doff = -1,
                       .truncate = k->truncate,
                       .payload = payload,
                       .payload_len = k->len & 0xffff,
                       .bad_checksum = k->bad_checksum,
                       .bad_ip_checksum = k->bad_ip_checksum};
    if (k->ecn > 0) f.tos = (uint8_t)((f.tos & ~3) | (k->ecn == ECN_ECT_ANY ? ECN_ECT0 : k->ecn));
    if (k->proto == PKT_TCP) {
        build_tcp(&f, k, flow, payload);
    } else if (k->proto == PKT_UDP) {
        f.proto = IPPROTO_UDP;
        for (uint32_t i = 0; i < f.payload_len; i++) payload[i] = flow_byte(false, i);
    } else {
        f.proto = t->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
        f.icmp_type = k->icmp_type;
        f.icmp_code = k->icmp_code;
        f.icmp_rest = k->icmp_mtu;
        f.payload_len = k->icmp_quotes ? build_quoted(t, k, flow, payload) : 0;
    }
    wire_build(w, &f);
}
