/* SPDX-License-Identifier: MIT
 *
 * Socket options. The list of what may be asked is that of the kernel's sockets (libos/posix/sockopt.c) as far as it
 * has a meaning without a kernel; the rest of it is ENOPROTOOPT, and another level ENOTSUP.
 *
 * Options of a stream live in its connection, or, before it has one, in its setup; a listener's go to those it accepts.
 * Like Linux, an option that is shorter than an int is EINVAL and a longer one is cut.
 */
#include "libos/inet/sock.h"
#include "libos/inet/tcp_info.h"
#include "libos/runtime/ip_option.h"

#include "alloc/heap.h"
#include "tcp/cc.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#define BUFFER_MIN  2048
#define CC_NAME_MAX 16

/* --- options of a connection -------------------------------------------------------------------------------------- */

static bool has_conn(const struct inet_sock *s) { return s->state == SOCK_CONNECTING || s->state == SOCK_CONNECTED; }

static void get_opts(const struct inet_sock *s, struct conn_opts *o)
{
    if (has_conn(s)) conn_get_opts(s->conn, o);
    else *o = s->setup ? s->setup->opts : s->inet->defaults;
}

static int set_opts(struct inet_sock *s, const struct conn_opts *o)
{
    if (s->state == SOCK_ENDED) return -EINVAL;
    if (has_conn(s)) {
        stack_set_now(s->inet->stack, runtime_clock(s->q.rt)); /* keep-alive counts from here */
        int err = conn_set_opts(s->conn, o);
        if (!err) runtime_need_flush(s->q.rt);
        return err;
    }
    struct sock_setup *u = inet_sock_setup(s);
    if (!u) return -ENOMEM;
    if (s->state == SOCK_LISTENING) { /* for those that come from now on */
        int err = listener_set_opts(s->listener, o);
        if (err) return err;
    }
    u->opts = *o;
    return 0;
}

/* As set: what conn_get_opts() fills in for what was left to the defaults must not become a setting of its own. */
static void begin_opts(const struct inet_sock *s, struct conn_opts *o)
{
    if (has_conn(s)) conn_own_opts(s->conn, o);
    else get_opts(s, o);
}

static int set_tcp(struct inet_sock *s, int name, int v)
{
    struct conn_opts o;
    begin_opts(s, &o);
    switch (name) {
    case TCP_NODELAY:
        if (v && has_conn(s)) { /* what cork holds back goes, too, as on Linux */
            conn_uncork(s->conn);
            runtime_need_flush(s->q.rt);
        }
        if (o.delay == !v) return 0; /* servers say it for every connection: it shall cost nothing */
        o.delay = !v;
        break;
    case TCP_CORK: o.cork = v; break;
    case TCP_QUICKACK: o.quick_ack = v; break;
    case TCP_KEEPIDLE:
        if (v < 1 || v > 32767) return -EINVAL;
        o.keep_idle_s = (uint32_t)v;
        break;
    case TCP_KEEPINTVL:
        if (v < 1 || v > 32767) return -EINVAL;
        o.keep_interval_s = (uint32_t)v;
        break;
    case TCP_KEEPCNT:
        if (v < 1 || v > 127) return -EINVAL;
        o.keep_count = (uint32_t)v;
        break;
    case TCP_USER_TIMEOUT:
        if (v < 0) return -EINVAL;
        o.user_timeout_ms = (uint32_t)v;
        break;
    case TCP_NOTSENT_LOWAT: o.unsent_max = (uint32_t)v; break; /* 0: as configured */
    case TCP_MAXSEG:
        if (v < 88 || v > 32767) return -EINVAL; /* Linux's bounds */
        o.mss = (uint16_t)v;
        break;
    default: return -ENOPROTOOPT;
    }
    return set_opts(s, &o);
}

static int get_tcp(const struct inet_sock *s, int name, int *out)
{
    struct conn_opts o;
    get_opts(s, &o);
    switch (name) {
    case TCP_NODELAY: *out = !o.delay; return 0;
    case TCP_CORK: *out = o.cork; return 0;
    case TCP_QUICKACK: *out = o.quick_ack; return 0;
    case TCP_KEEPIDLE: *out = o.keep_idle_s ? (int)o.keep_idle_s : 7200; return 0;
    case TCP_KEEPINTVL: *out = o.keep_interval_s ? (int)o.keep_interval_s : 75; return 0;
    case TCP_KEEPCNT: *out = o.keep_count ? (int)o.keep_count : 9; return 0;
    case TCP_USER_TIMEOUT: *out = (int)o.user_timeout_ms; return 0;
    case TCP_NOTSENT_LOWAT: *out = (int)o.unsent_max; return 0;
    case TCP_MAXSEG: {
        struct conn_info i;
        *out = o.mss ? o.mss : 536;
        if (!has_conn(s)) return 0;
        conn_info(s->conn, &i);
        *out = i.snd_mss;
        return 0;
    }
    default: return -ENOPROTOOPT;
    }
}

static int set_congestion(struct inet_sock *s, const void *val, socklen_t len)
{
    char name[CC_NAME_MAX + 1] = "";
    struct conn_opts o;
    if (len < 1) return -EINVAL;
    memcpy(name, val, len < CC_NAME_MAX ? len : CC_NAME_MAX);
    const struct cc_ops *cc = cc_find(strcmp(name, "reno") ? name : "newreno");
    if (!cc) return -ENOENT;
    begin_opts(s, &o);
    o.cc = cc->name;
    return set_opts(s, &o);
}

static int copy_out(void *val, socklen_t *len, const void *from, size_t n)
{
    if (*len > n) *len = (socklen_t)n;
    memcpy(val, from, *len);
    return 0;
}

static int get_congestion(const struct inet_sock *s, void *val, socklen_t *len)
{
    char name[CC_NAME_MAX] = "";
    struct conn_opts o;
    get_opts(s, &o);
    const char *cc = o.cc ? o.cc : "cubic";
    memcpy(name, cc, strnlen(cc, sizeof name - 1));
    return copy_out(val, len, name, sizeof name);
}

static int get_info(const struct inet_sock *s, void *val, socklen_t *len)
{
    struct linux_tcp_info info = {.state = s->state == SOCK_LISTENING ? 10 : 7}; /* LISTEN, CLOSE */
    if (has_conn(s)) tcp_info_fill(s->conn, &info);
    return copy_out(val, len, &info, sizeof info);
}

/* --- options of a socket ------------------------------------------------------------------------------------------ */

static int set_buffer(struct inet_sock *s, int name, int v)
{
    struct conn_opts o;
    uint32_t n = v < BUFFER_MIN ? BUFFER_MIN : v > 1 << 30 ? 1u << 30 : (uint32_t)v;
    if (s->dgram) return 0; /* bounded by stack_limits.udp_queue */
    begin_opts(s, &o);
    if (name == SO_RCVBUF) o.rcv_buffer = n;
    else o.snd_buffer = n;
    return set_opts(s, &o);
}

static int get_buffer(const struct inet_sock *s, int name)
{
    struct conn_opts o;
    get_opts(s, &o);
    uint32_t n = name == SO_RCVBUF ? o.rcv_buffer : o.snd_buffer;
    return n ? (int)n : name == SO_RCVBUF ? 256 << 10 : 1 << 30;
}

static int set_keepalive(struct inet_sock *s, int v)
{
    struct conn_opts o;
    if (s->dgram) return 0;
    begin_opts(s, &o);
    o.keepalive = v;
    return set_opts(s, &o);
}

static bool is_before_bind(const struct inet_sock *s) { return s->state == SOCK_NEW; }

static int set_socket(struct inet_sock *s, int name, int v)
{
    switch (name) {
    case SO_REUSEADDR: s->reuse_addr = v; return 0; /* what it asks for holds always: setup.c */
    case SO_REUSEPORT:
        s->reuse_port = v; /* once it is bound, of who comes after it, as Linux has it */
        return 0;
    case SO_BROADCAST: s->broadcast = v; return 0;
    case SO_KEEPALIVE: return set_keepalive(s, v);
    case SO_RCVBUF:
    case SO_SNDBUF: return set_buffer(s, name, v);
    case SO_PRIORITY: return 0; /* no queues to choose from */
    default: return -ENOPROTOOPT;
    }
}

static int get_socket(struct inet_sock *s, int name, int *out)
{
    struct conn_opts o;
    switch (name) {
    case SO_REUSEADDR: *out = s->reuse_addr; return 0;
    case SO_REUSEPORT: *out = s->reuse_port; return 0;
    case SO_BROADCAST: *out = s->broadcast; return 0;
    case SO_KEEPALIVE:
        get_opts(s, &o);
        *out = o.keepalive;
        return 0;
    case SO_RCVBUF:
    case SO_SNDBUF: *out = get_buffer(s, name); return 0;
    case SO_PRIORITY: *out = 0; return 0;
    case SO_ERROR:
        *out = s->st.error;
        s->st.error = 0;
        return 0;
    case SO_TYPE: *out = s->dgram ? SOCK_DGRAM : SOCK_STREAM; return 0;
    case SO_ACCEPTCONN: *out = s->state == SOCK_LISTENING; return 0;
    case SO_DOMAIN: *out = s->six ? AF_INET6 : AF_INET; return 0;
    case SO_PROTOCOL: *out = s->dgram ? IPPROTO_UDP : IPPROTO_TCP; return 0;
    default: return -ENOPROTOOPT;
    }
}

static int set_linger(struct inet_sock *s, const void *val, socklen_t len)
{
    struct linger l;
    if (len < sizeof l) return -EINVAL;
    memcpy(&l, val, sizeof l);
    if (l.l_onoff && l.l_linger < 0) return -EINVAL;
    s->linger_s = l.l_onoff ? l.l_linger : -1;
    return 0;
}

static int get_linger(const struct inet_sock *s, void *val, socklen_t *len)
{
    const struct linger l = {.l_onoff = s->linger_s >= 0, .l_linger = s->linger_s >= 0 ? s->linger_s : 0};
    return copy_out(val, len, &l, sizeof l);
}

/* --- IP ----------------------------------------------------------------------------------------------------------- */

static int domain_of(const struct inet_sock *s) { return s->six ? AF_INET6 : AF_INET; }

static int set_ip_option(struct inet_sock *s, enum ip_option option, const void *val, socklen_t len)
{
    struct conn_opts o;
    uint8_t n;
    int err = ip_option_read(option, domain_of(s), val, len, &n);
    if (err) return err;
    if (s->dgram) {
        *(option == IP_OPTION_TOS ? &s->tos : &s->hops) = n;
        if (s->udp) udp_set_hops(s->udp, s->hops ? s->hops : IP_HOPS_DEFAULT, s->tos);
        return 0;
    }
    begin_opts(s, &o);
    *(option == IP_OPTION_TOS ? &o.tos : &o.hops) = n;
    return set_opts(s, &o);
}

static int get_ip_option(const struct inet_sock *s, enum ip_option option)
{
    struct conn_opts o;
    get_opts(s, &o);
    if (option == IP_OPTION_TOS) return s->dgram ? s->tos : o.tos;
    uint8_t hops = s->dgram ? s->hops : o.hops;
    return hops ? hops : IP_HOPS_DEFAULT;
}

static int set_ip(struct inet_sock *s, int level, int name, int v)
{
    if (level != IPPROTO_IPV6 || !s->six || name != IPV6_V6ONLY) return -ENOPROTOOPT;
    if (!is_before_bind(s)) return -EINVAL;
    s->v6_only = v;
    return 0;
}

static int get_ip(const struct inet_sock *s, int level, int name, int *out)
{
    enum ip_option option = ip_option_of(domain_of(s), level, name);
    if (option) *out = get_ip_option(s, option);
    else if (level == IPPROTO_IPV6 && s->six && name == IPV6_V6ONLY) *out = s->v6_only;
    else return -ENOPROTOOPT;
    return 0;
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static bool is_level(int level)
{
    return level == SOL_SOCKET || level == IPPROTO_TCP || level == IPPROTO_IPV6 || level == IPPROTO_IP;
}

int inet_sock_setsockopt(struct queue *q, int level, int name, const void *val, socklen_t len)
{
    struct inet_sock *s = sock_of(q);
    int v;
    if (!is_level(level)) return -ENOTSUP;
    if (level == IPPROTO_TCP && s->dgram) return -ENOPROTOOPT;
    if (level == SOL_SOCKET && name == SO_LINGER) return set_linger(s, val, len);
    if (level == IPPROTO_TCP && name == TCP_CONGESTION) return set_congestion(s, val, len);
    enum ip_option option = ip_option_of(domain_of(s), level, name);
    if (option) return set_ip_option(s, option, val, len);
    if (len < sizeof v) return -EINVAL;
    memcpy(&v, val, sizeof v);
    switch (level) {
    case SOL_SOCKET: return set_socket(s, name, v);
    case IPPROTO_TCP: return set_tcp(s, name, v);
    default: return set_ip(s, level, name, v);
    }
}

int inet_sock_getsockopt(struct queue *q, int level, int name, void *val, socklen_t *len)
{
    struct inet_sock *s = sock_of(q);
    int v = 0, err;
    if (!is_level(level)) return -ENOTSUP;
    if (level == IPPROTO_TCP && s->dgram) return -ENOPROTOOPT;
    if (level == SOL_SOCKET && name == SO_LINGER) return get_linger(s, val, len);
    if (level == IPPROTO_TCP && name == TCP_CONGESTION) return get_congestion(s, val, len);
    if (level == IPPROTO_TCP && name == TCP_INFO) return get_info(s, val, len);
    switch (level) {
    case SOL_SOCKET: err = get_socket(s, name, &v); break;
    case IPPROTO_TCP: err = get_tcp(s, name, &v); break;
    default: err = get_ip(s, level, name, &v); break;
    }
    return err ? err : copy_out(val, len, &v, sizeof v);
}
