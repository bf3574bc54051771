/* SPDX-License-Identifier: MIT
 *
 * Packets of the stack against what a script expects: everything a script states must be so, and options exactly so.
 * What it does not state (window, IP's fields) may be anything.
 */
#include "tests/packets/runner/flow.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct text {
    char *p;
    size_t n, size;
};

static void say(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct text *t, const char *format, ...)
{
    va_list ap;
    if (t->n + 1 >= t->size) return;
    va_start(ap, format);
    int n = vsnprintf(t->p + t->n, t->size - t->n, format, ap);
    va_end(ap);
    t->n = t->n + (size_t)n < t->size ? t->n + (size_t)n : t->size - 1;
}

static const struct flow *flow_of(const struct flows *t, const struct fields *f)
{
    uint16_t port = f->dport;
    if (f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6) { /* the packet it quotes came from there */
        uint32_t at = t->v6 ? 40 : 20;
        port = f->payload_len >= at + 4 ? load_be16(f->payload + at) : FLOW_REMOTE_PORT + 1;
    }
    for (int i = 0; i < FLOWS_MAX; i++)
        if (t->f[i].remote_port == port) return &t->f[i];
    return NULL;
}

/* --- options ------------------------------------------------------------------------------------------------------ */

/* The option at p of n bytes; its size, 0: malformed. */
static uint32_t read_option(const uint8_t *p, uint32_t n, const struct flow *flow, struct opt_spec *o)
{
    *o = (struct opt_spec){.kind = p[0]};
    if (p[0] <= OPT_NOP_) return 1;
    if (n < 2 || p[1] < 2 || p[1] > n) return 0;
    if (o->kind == OPT_MSS_ && p[1] == 4) {
        o->a = load_be16(p + 2);
    } else if (o->kind == OPT_WSCALE_ && p[1] == 3) {
        o->a = p[2];
    } else if (o->kind == OPT_TS_ && p[1] == 10) {
        o->a = load_be32(p + 2) - flow->ts_offset;
        o->b = load_be32(p + 6);
    } else if (o->kind == OPT_SACK_ && p[1] % 8 == 2 && p[1] <= 34) {
        o->sack_count = p[1] / 8;
        for (unsigned i = 0; i < 2u * o->sack_count; i++) o->sack[i] = load_be32(p + 2 + 4 * i) - flow->remote_offset;
    } else if (o->kind != OPT_SACK_OK_ || p[1] != 2) {
        return 0;
    }
    return p[1];
}

static void print_option(struct text *t, const struct opt_spec *o)
{
    switch (o->kind) {
    case OPT_EOL_: say(t, "eol"); break;
    case OPT_NOP_: say(t, "nop"); break;
    case OPT_MSS_: say(t, "mss %u", o->a); break;
    case OPT_WSCALE_: say(t, "wscale %u", o->a); break;
    case OPT_SACK_OK_: say(t, "sackOK"); break;
    case OPT_TS_: say(t, "TS val %u ecr %u", o->a, o->b); break;
    default:
        say(t, "sack");
        for (unsigned i = 0; i < o->sack_count; i++) say(t, " %u:%u", o->sack[2 * i], o->sack[2 * i + 1]);
    }
}

static bool same_option(const struct opt_spec *want, const struct opt_spec *got)
{
    if (want->kind != got->kind || want->sack_count != got->sack_count) return false;
    if (!want->any_val && want->a != got->a) return false;
    if (!want->any_ecr && want->b != got->b) return false;
    return !memcmp(want->sack, got->sack, 8u * want->sack_count);
}

static void learn_timestamp(struct flow *flow, const struct pkt_spec *k, const struct fields *f)
{
    struct opt_spec o;
    const struct opt_spec *want = NULL;
    for (unsigned i = 0; i < k->opt_count; i++)
        if (k->opts[i].kind == OPT_TS_ && !k->opts[i].any_val) want = &k->opts[i];
    if (!want || flow->ts_known) return;
    flow->ts_offset = 0;
    for (uint32_t at = 0, n; at < f->opts_len; at += n) {
        n = read_option(f->opts + at, f->opts_len - at, flow, &o);
        if (!n) return;
        if (o.kind != OPT_TS_) continue;
        flow->ts_known = true;
        flow->ts_offset = o.a - want->a;
        return;
    }
}

static const char *options_differ(const struct flow *flow, const struct pkt_spec *k, const struct fields *f)
{
    unsigned i = 0;
    struct opt_spec o;
    for (uint32_t at = 0, n; at < f->opts_len; at += n, i++) {
        n = read_option(f->opts + at, f->opts_len - at, flow, &o);
        if (!n) return "a malformed option";
        if (i == k->opt_count || !same_option(&k->opts[i], &o)) return "other options";
    }
    return i == k->opt_count ? NULL : "other options";
}

/* --- in words ----------------------------------------------------------------------------------------------------- */

static void print_tcp(struct text *t, const struct flow *flow, const struct fields *f)
{
    static const char letters[] = "FSRP.UEW";
    for (int i = 0; i < 8; i++)
        if (f->flags & (1 << i)) say(t, "%c", letters[i]);
    if (!f->flags) say(t, "-");
    uint32_t seq = f->seq - flow->local_offset;
    say(t, " %u:%u(%u)", seq, seq + f->payload_len, f->payload_len);
    if (f->flags & TCP_ACK) say(t, " ack %u", f->ack - flow->remote_offset);
    say(t, " win %u", f->window);
    if (f->flags & TCP_URG) say(t, " urg %u", f->urgent);
    struct opt_spec o;
    if (f->opts_len) say(t, " <");
    for (uint32_t at = 0, n; at < f->opts_len; at += n) {
        n = read_option(f->opts + at, f->opts_len - at, flow, &o);
        if (at) say(t, ",");
        if (!n) {
            say(t, "malformed");
            break;
        }
        print_option(t, &o);
    }
    if (f->opts_len) say(t, ">");
}

const char *flow_print(const struct flows *flows, const struct wire *w, char *out, size_t size)
{
    static const struct flow nobody;
    struct text t = {.p = out, .size = size};
    struct fields f;
    const char *bad = wire_read(w, &f);
    const struct flow *flow = flow_of(flows, &f);
    out[0] = 0;
    say(&t, "> ");
    if (!flow) flow = &nobody;
    if (flow->id != 1) say(&t, "@%d:%u ", flow->id, f.sport);
    if (f.tos) say(&t, "[tos %u] ", f.tos);
    if (f.proto == IPPROTO_TCP) print_tcp(&t, flow, &f);
    else if (f.proto == IPPROTO_UDP) say(&t, "udp (%u)", f.payload_len);
    else if (f.proto == IPPROTO_ICMP || f.proto == IPPROTO_ICMPV6)
        say(&t, "icmp type %u code %u mtu %u", f.icmp_type, f.icmp_code, f.icmp_rest);
    else say(&t, "protocol %u", f.proto);
    if (bad) say(&t, " (%s)", bad);
    return out;
}

/* --- equality ----------------------------------------------------------------------------------------------------- */

static const char *ip_differs(const struct flows *t, const struct pkt_spec *k, const struct fields *f)
{
    if (f->v6 != t->v6) return "the other IP version";
    if (!addr_equal(&f->src, &t->local)) return "another source address";
    if (!addr_equal(&f->dst, &t->remote)) return "another destination";
    if (k->ecn == ECN_ECT_ANY ? !((f->tos & 3) == ECN_ECT0 || (f->tos & 3) == ECN_ECT1)
                              : k->ecn >= 0 && (f->tos & 3) != k->ecn)
        return "another ECN mark";
    if (k->tos >= 0 && f->tos != k->tos) return "another type of service";
    if (k->ttl >= 0 && f->ttl != k->ttl) return "another TTL";
    if (k->df >= 0 && f->df != k->df) return "another DF bit";
    return NULL;
}

static const char *payload_differs(const struct fields *f, uint64_t first)
{
    for (uint32_t i = 0; i < f->payload_len; i++)
        if (f->payload[i] != flow_byte(true, first + i)) return "other bytes than were written";
    return NULL;
}

static const char *tcp_differs(struct flow *flow, const struct pkt_spec *k, const struct fields *f)
{
    if (f->proto != IPPROTO_TCP) return "not TCP";
    if (f->flags != k->flags) return "other flags";
    if ((k->flags & TCP_SYN) && !flow->local_known) {
        flow->local_known = true;
        flow->local_isn = k->seq;
        flow->local_offset = f->seq - k->seq;
    }
    learn_timestamp(flow, k, f);
    if (f->seq - flow->local_offset != k->seq) return "another sequence number";
    if (f->payload_len != k->len) return "another length";
    if ((k->flags & TCP_ACK) ? f->ack - flow->remote_offset != k->ack : f->ack != 0) return "another ack";
    if (k->window >= 0 && f->window != k->window) return "another window";
    if (k->urgent >= 0 && f->urgent != k->urgent) return "another urgent pointer";
    if (!(k->flags & TCP_URG) && f->urgent) return "an urgent pointer without URG";
    const char *why = k->no_opts_check ? NULL : options_differ(flow, k, f);
    return why ? why : payload_differs(f, k->seq - flow->local_isn - !(k->flags & TCP_SYN));
}

static const char *others_differ(const struct flows *t, const struct pkt_spec *k, const struct fields *f)
{
    if (k->proto == PKT_UDP) {
        if (f->proto != IPPROTO_UDP) return "not UDP";
        if (f->payload_len != k->len) return "another length";
        return payload_differs(f, 0);
    }
    if (f->proto != (t->v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) return "not ICMP";
    if (f->icmp_type != k->icmp_type || f->icmp_code != k->icmp_code) return "another ICMP message";
    if (f->icmp_rest != k->icmp_mtu) return "another MTU";
    return NULL;
}

bool flow_matches(struct flows *t, const struct pkt_spec *k, const struct wire *w, char *why, size_t size)
{
    struct fields f;
    struct flow *flow = &t->f[k->flow];
    const char *reason = wire_read(w, &f);
    if (!reason) reason = ip_differs(t, k, &f);
    if (!reason && flow_of(t, &f) != flow) reason = "another flow";
    if (!reason && k->proto != PKT_ICMP && f.sport != (k->local_port ? k->local_port : flow->local_port))
        reason = "another local port";
    if (!reason) reason = k->proto == PKT_TCP ? tcp_differs(flow, k, &f) : others_differ(t, k, &f);
    if (reason) snprintf(why, size, "%s", reason);
    return !reason;
}
