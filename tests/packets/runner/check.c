/* SPDX-License-Identifier: MIT
 *
 * Assertions: %{ assert tcpi_snd_cwnd == 10; assert drop.tcp_paws == 1 }%. Names are those of Linux's TCP_INFO with its
 * units (segments, microseconds), a few of struct conn_info beside them, and the stack's counters. name@4 is of
 * descriptor 4, else of the connection that was accepted or begun last.
 */
#include "tests/packets/runner/run.h"

#include <string.h>

#define USEC(t)     ((long)((t) / NSEC_PER_USEC))
#define SEGS(bytes) ((long)((bytes) / (i.snd_mss ? i.snd_mss : 1)))
/* clang-format off */
#define FIELDS(X)                                                                                       \
    X("tcpi_state", i.state)                                                                            \
    X("tcpi_ca_state", i.ca_state)                                                                      \
    X("tcpi_retransmits", i.retransmits)                                                                \
    X("tcpi_probes", i.probes)                                                                          \
    X("tcpi_backoff", i.backoff)                                                                        \
    X("tcpi_snd_wscale", i.snd_wscale)                                                                  \
    X("tcpi_rcv_wscale", i.rcv_wscale)                                                                  \
    X("tcpi_rto", USEC(i.rto))                                                                          \
    X("tcpi_snd_mss", i.snd_mss)                                                                        \
    X("tcpi_rcv_mss", i.rcv_mss)                                                                        \
    X("tcpi_unacked", i.unacked_segments)                                                               \
    X("tcpi_sacked", i.sacked_segments)                                                                 \
    X("tcpi_lost", i.lost_segments)                                                                     \
    X("tcpi_retrans", i.retrans_segments)                                                               \
    X("tcpi_pmtu", i.pmtu)                                                                              \
    X("tcpi_reordering", i.reordering_segments)                                                         \
    X("tcpi_snd_cwnd", SEGS(i.snd_cwnd_bytes))                                                          \
    X("tcpi_snd_ssthresh", i.snd_ssthresh_bytes == UINT32_MAX ? INT32_MAX : SEGS(i.snd_ssthresh_bytes)) \
    X("tcpi_rtt", USEC(i.srtt))                                                                         \
    X("tcpi_rttvar", USEC(i.rttvar))                                                                    \
    X("tcpi_min_rtt", USEC(i.rtt_min))                                                                  \
    X("tcpi_bytes_acked", (long)i.bytes_acked)                                                          \
    X("tcpi_bytes_received", (long)i.bytes_received)                                                    \
    X("tcpi_bytes_sent", (long)i.bytes_sent)                                                            \
    X("tcpi_bytes_retrans", (long)i.bytes_retransmitted)                                                \
    X("tcpi_total_retrans", (long)i.total_retransmits)                                                  \
    X("tcpi_notsent_bytes", i.unsent)                                                                   \
    X("tcpi_snd_wnd", i.snd_wnd)                                                                        \
    X("cwnd_bytes", i.snd_cwnd_bytes)                                                                   \
    X("ssthresh_bytes", i.snd_ssthresh_bytes)                                                           \
    X("rcv_wnd", i.rcv_wnd)                                                                             \
    X("rcv_space", i.rcv_space)                                                                         \
    X("rcv_queued", i.rcv_queued)                                                                       \
    X("rcv_out_of_order", i.rcv_out_of_order)                                                           \
    X("timestamps", i.timestamps)                                                                       \
    X("sack", i.sack)                                                                                   \
    X("wscale", i.wscale)                                                                               \
    X("ecn", i.ecn)                                                                                     \
    X("duplicates_received", (long)i.duplicates_received)                                               \
    X("segments_in", (long)i.segments_in)                                                               \
    X("segments_out", (long)i.segments_out)                                                             \
    X("pacing_rate", (long)i.pacing_rate)
/* clang-format on */

struct check {
    struct run *r;
    unsigned line;
    bool bad; /* an unknown name, or no connection */
};

static void count_conn(void *arg, struct conn *c) { ++*(long *)arg; }

static bool info_value(struct check *k, const struct expr *e, long *out)
{
    struct run *r = k->r;
    int fd = e->fd < 0 ? -1 : e->fd < HOST_FDS && r->fds[e->fd].open ? r->fds[e->fd].live : -2;
    struct conn *c = fd == -2 ? NULL : host_conn(r->host, fd);
    struct conn_info i = {.state = 7};
    if (c) conn_info(c, &i);
#define LOOK(text, value)                                                                                              \
    if (!strcmp(e->name, text)) {                                                                                      \
        if (!c && strcmp(text, "tcpi_state")) k->bad = true;                                                           \
        *out = (long)(value);                                                                                          \
        return true;                                                                                                   \
    }
    FIELDS(LOOK)
#undef LOOK
    return false;
}

static long value_of(struct check *k, const struct expr *e)
{
    long v = 0;
    if (!strcmp(e->name, "connections")) {
        stack_visit_conns(host_stack(k->r->host), count_conn, &v);
        return v;
    }
    if (info_value(k, e, &v)) return v;
    const uint64_t *counter = host_counter(k->r->host, e->name);
    if (counter) return (long)*counter;
    k->bad = true;
    return 0;
}

static long eval(struct check *k, const struct expr *e)
{
    if (e->op == 'n') return e->number;
    if (e->op == 'v') return value_of(k, e);
    long a = eval(k, e->a), b = eval(k, e->b);
    switch (e->op) {
    case 'e': return a == b;
    case '<': return a < b;
    case '>': return a > b;
    case 'l': return a <= b;
    case 'g': return a >= b;
    case 'a': return a && b;
    case 'o': return a || b;
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    case '/': return b ? a / b : 0;
    default: return a != b; /* '!' */
    }
}

static void tell_values(struct check *k, const struct expr *e)
{
    if (!e) return;
    if (e->op == 'v') fprintf(k->r->log, "#   %s is %ld\n", e->name, value_of(k, e));
    tell_values(k, e->a);
    tell_values(k, e->b);
}

void run_claims(struct run *r, const struct event *e)
{
    for (const struct claim *c = e->claims; c && !r->failed; c = c->next) {
        struct check k = {.r = r, .line = e->line};
        long v = eval(&k, c->e);
        if (v && !k.bad) continue;
        run_fail(r, e->line, k.bad ? "assert %s: a name is unknown, or its connection is gone" : "assert %s", c->text);
        tell_values(&k, c->e);
    }
}
