/* SPDX-License-Identifier: MIT
 *
 * Socket options and names. TCP_INFO is Linux's struct, filled from struct conn_info; what a newer Linux has behind it
 * is 0.
 */
#include "tests/packets/runner/host_impl.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>

#define TCP_INFO_SIZE 280 /* as of Linux 6.12 */

static uint32_t usec_of(nsec t) { return (uint32_t)(t / NSEC_PER_USEC); }
static uint32_t msec_of(nsec t) { return (uint32_t)(t / NSEC_PER_MSEC); }

static void fill_info(const struct conn *c, struct tcp_info *t)
{
    struct conn_info i;
    conn_info(c, &i);
    uint32_t mss = i.snd_mss ? i.snd_mss : 1;
    *t = (struct tcp_info){
        .tcpi_state = i.state,
        .tcpi_ca_state = i.ca_state,
        .tcpi_retransmits = i.retransmits,
        .tcpi_probes = i.probes,
        .tcpi_backoff = i.backoff,
        .tcpi_options = (uint8_t)((i.timestamps ? TCPI_OPT_TIMESTAMPS : 0) | (i.sack ? TCPI_OPT_SACK : 0) |
                                  (i.wscale ? TCPI_OPT_WSCALE : 0) | (i.ecn ? TCPI_OPT_ECN : 0)),
        .tcpi_snd_wscale = i.snd_wscale & 15,
        .tcpi_rcv_wscale = i.rcv_wscale & 15,
        .tcpi_rto = usec_of(i.rto),
        .tcpi_ato = 40000,
        .tcpi_snd_mss = i.snd_mss,
        .tcpi_rcv_mss = i.rcv_mss,
        .tcpi_unacked = i.unacked_segments,
        .tcpi_sacked = i.sacked_segments,
        .tcpi_lost = i.lost_segments,
        .tcpi_retrans = i.retrans_segments,
        .tcpi_last_data_sent = msec_of(i.since_data_sent),
        .tcpi_last_data_recv = msec_of(i.since_data_received),
        .tcpi_last_ack_recv = msec_of(i.since_ack_received),
        .tcpi_pmtu = i.pmtu,
        .tcpi_rtt = usec_of(i.srtt),
        .tcpi_rttvar = usec_of(i.rttvar),
        .tcpi_snd_cwnd = i.snd_cwnd_bytes / mss,
        .tcpi_snd_ssthresh = i.snd_ssthresh_bytes == UINT32_MAX ? INT32_MAX : i.snd_ssthresh_bytes / mss,
        .tcpi_advmss = i.rcv_mss,
        .tcpi_reordering = i.reordering_segments,
        .tcpi_rcv_space = i.rcv_space,
        .tcpi_total_retrans = (uint32_t)i.total_retransmits,
        .tcpi_pacing_rate = i.pacing_rate ? i.pacing_rate : UINT64_MAX,
        .tcpi_max_pacing_rate = UINT64_MAX,
        .tcpi_bytes_acked = i.bytes_acked,
        .tcpi_bytes_received = i.bytes_received,
        .tcpi_segs_out = (uint32_t)i.segments_out,
        .tcpi_segs_in = (uint32_t)i.segments_in,
        .tcpi_notsent_bytes = i.unsent,
        .tcpi_min_rtt = usec_of(i.rtt_min),
        .tcpi_data_segs_in = (uint32_t)i.data_segments_in,
        .tcpi_data_segs_out = (uint32_t)i.data_segments_out,
        .tcpi_bytes_sent = i.bytes_sent,
        .tcpi_bytes_retrans = i.bytes_retransmitted,
        .tcpi_dsack_dups = 0,
        .tcpi_reord_seen = 0,
        .tcpi_rcv_ooopack = 0,
        .tcpi_snd_wnd = i.snd_wnd,
    };
}

static int give(const void *value, size_t size, void *p, socklen_t *n)
{
    if (*n > size) *n = (socklen_t)size;
    memcpy(p, value, *n);
    return 0;
}

static int get_info(struct host_sock *s, void *p, socklen_t *n)
{
    struct {
        struct tcp_info t;
        uint8_t rest[TCP_INFO_SIZE];
    } info;
    memset(&info, 0, sizeof info);
    if (s->kind == SOCK_CONN && s->conn) fill_info(s->conn, &info.t);
    else info.t.tcpi_state = s->kind == SOCK_LISTENER ? 10 : 7;
    return give(&info, TCP_INFO_SIZE, p, n);
}

static uint32_t or_default(uint32_t v, uint32_t otherwise) { return v ? v : otherwise; }

static int get_tcp(struct host_sock *s, const struct conn_opts *o, int name, void *p, socklen_t *n)
{
    struct conn_info i = {.snd_mss = 536, .cc = "cubic"};
    int v;
    if (s->conn) conn_info(s->conn, &i);
    switch (name) {
    case TCP_INFO: return get_info(s, p, n);
    case TCP_CONGESTION: return give(i.cc, strlen(i.cc) + 1, p, n);
    case TCP_NODELAY: v = !o->delay; break;
    case TCP_CORK: v = o->cork; break;
    case TCP_QUICKACK: v = o->quick_ack; break;
    case TCP_MAXSEG: v = s->conn ? i.snd_mss : or_default(o->mss, 536); break;
    case TCP_KEEPIDLE: v = (int)or_default(o->keep_idle_s, 7200); break;
    case TCP_KEEPINTVL: v = (int)or_default(o->keep_interval_s, 75); break;
    case TCP_KEEPCNT: v = (int)or_default(o->keep_count, 9); break;
    case TCP_USER_TIMEOUT: v = (int)o->user_timeout_ms; break;
    case TCP_NOTSENT_LOWAT: v = (int)o->unsent_max; break;
    default: return -ENOPROTOOPT;
    }
    return give(&v, sizeof v, p, n);
}

static int get_socket(struct host_sock *s, const struct conn_opts *o, int name, void *p, socklen_t *n)
{
    struct linger l = {s->linger_on, (int)s->linger_s};
    int v;
    switch (name) {
    case SO_ERROR:
        v = s->error;
        s->error = 0;
        break;
    case SO_LINGER: return give(&l, sizeof l, p, n);
    case SO_TYPE: v = s->type; break;
    case SO_KEEPALIVE: v = o->keepalive; break;
    case SO_REUSEPORT: v = s->reuse_port; break;
    case SO_REUSEADDR: v = 1; break;
    case SO_OOBINLINE: v = 1; break;
    case SO_BROADCAST: v = s->broadcast; break;
    case SO_RCVBUF: v = (int)o->rcv_buffer; break;
    case SO_SNDBUF: v = (int)o->snd_buffer; break;
    case SO_ACCEPTCONN: v = s->kind == SOCK_LISTENER; break;
    default: return -ENOPROTOOPT;
    }
    return give(&v, sizeof v, p, n);
}

int host_getsockopt(struct host *h, int fd, int level, int name, void *p, socklen_t *n)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    struct conn_opts o = s->opts;
    if (s->kind == SOCK_CONN && s->conn) conn_get_opts(s->conn, &o);
    if (level == SOL_SOCKET) return get_socket(s, &o, name, p, n);
    if (level == IPPROTO_TCP) return get_tcp(s, &o, name, p, n);
    int v;
    if (level == IPPROTO_IP && name == IP_TTL) v = (int)or_default(o.hops, 64);
    else if (level == IPPROTO_IP && name == IP_TOS) v = o.tos;
    else if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) v = s->v6_only;
    else return -ENOPROTOOPT;
    return give(&v, sizeof v, p, n);
}

static int set_socket(struct host_sock *s, struct conn_opts *o, int name, const void *p, socklen_t n, int v)
{
    switch (name) {
    case SO_LINGER:
        if (n < sizeof(struct linger)) return -EINVAL;
        struct linger l;
        memcpy(&l, p, sizeof l);
        s->linger_on = l.l_onoff;
        s->linger_s = (uint32_t)l.l_linger;
        return 0;
    case SO_KEEPALIVE: o->keepalive = v; return 0;
    case SO_REUSEPORT: s->reuse_port = v; return 0;
    case SO_REUSEADDR: return 0;
    case SO_OOBINLINE: o->urgent_inline = v; return 0;
    case SO_BROADCAST: s->broadcast = v; return 0;
    case SO_RCVBUF: o->rcv_buffer = (uint32_t)v; return 0;
    case SO_SNDBUF: o->snd_buffer = (uint32_t)v; return 0;
    default: return -ENOPROTOOPT;
    }
}

static int set_tcp(struct conn_opts *o, int name, const void *p, socklen_t n, int v)
{
    static const char *const controllers[] = {"cubic", "newreno", "bbr", "none"};
    switch (name) {
    case TCP_NODELAY: o->delay = !v; return 0;
    case TCP_CORK: o->cork = v; return 0;
    case TCP_QUICKACK: o->quick_ack = v; return 0;
    case TCP_MAXSEG: o->mss = (uint16_t)v; return 0;
    case TCP_KEEPIDLE: o->keep_idle_s = (uint32_t)v; return v > 0 ? 0 : -EINVAL;
    case TCP_KEEPINTVL: o->keep_interval_s = (uint32_t)v; return v > 0 ? 0 : -EINVAL;
    case TCP_KEEPCNT: o->keep_count = (uint32_t)v; return v > 0 ? 0 : -EINVAL;
    case TCP_USER_TIMEOUT: o->user_timeout_ms = (uint32_t)v; return v >= 0 ? 0 : -EINVAL;
    case TCP_NOTSENT_LOWAT: o->unsent_max = (uint32_t)v; return 0;
    case TCP_CONGESTION:
        for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++)
            if (n >= strlen(controllers[i]) && !strncmp(p, controllers[i], strlen(controllers[i])))
                o->cc = controllers[i];
        return 0;
    default: return -ENOPROTOOPT;
    }
}

static int set_ip(struct host_sock *s, struct conn_opts *o, int level, int name, int v)
{
    if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY) s->v6_only = v;
    else if ((level == IPPROTO_IP && name == IP_TTL) || (level == IPPROTO_IPV6 && name == IPV6_UNICAST_HOPS))
        o->hops = (uint8_t)v;
    else if ((level == IPPROTO_IP && name == IP_TOS) || (level == IPPROTO_IPV6 && name == IPV6_TCLASS))
        o->tos = (uint8_t)v;
    else return -ENOPROTOOPT;
    return 0;
}

int host_setsockopt(struct host *h, int fd, int level, int name, const void *p, socklen_t n)
{
    struct host_sock *s = host_sock(h, fd);
    int v = 0;
    if (!s) return -EBADF;
    if (n >= sizeof v) memcpy(&v, p, sizeof v);
    else if (level != IPPROTO_TCP || name != TCP_CONGESTION) return -EINVAL;
    bool live = s->kind == SOCK_CONN && s->conn;
    struct conn_opts o = s->opts;
    if (live) conn_get_opts(s->conn, &o);
    int err = level == SOL_SOCKET    ? set_socket(s, &o, name, p, n, v)
              : level == IPPROTO_TCP ? set_tcp(&o, name, p, n, v)
                                     : set_ip(s, &o, level, name, v);
    if (!err && live) err = conn_set_opts(s->conn, &o);
    if (!err && live && level == IPPROTO_TCP && name == TCP_NODELAY && v) conn_uncork(s->conn);
    if (!err && s->kind == SOCK_LISTENER) err = listener_set_opts(s->listener, &o);
    if (!err) s->opts = o;
    if (!err && s->udp) udp_set_hops(s->udp, (uint8_t)or_default(o.hops, 64), o.tos);
    return err;
}

int host_getname(struct host *h, int fd, bool peer, struct ip_port *out)
{
    struct host_sock *s = host_sock(h, fd);
    if (!s) return -EBADF;
    if (peer && addr_is_any(&s->peer.addr)) return -ENOTCONN;
    *out = peer ? s->peer : s->local;
    return 0;
}
