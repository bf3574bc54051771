/* SPDX-License-Identifier: MIT
 *
 * Calls of sockets as scripts write them: arguments are understood, the host is called, the result is judged. Bytes
 * that are written or read follow from their place in the stream (flow.h), and bytes that are read are compared.
 */
#include "tests/packets/runner/run.h"
#include "tests/packets/runner/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define IO_MAX (1u << 22)
static uint8_t io[IO_MAX];

struct call_state {
    struct run *r;
    const struct event *e;
    const struct call *c;
    char why[160]; /* besides the result, something else was wrong */
};

/* --- arguments ---------------------------------------------------------------------------------------------------- */

static long number(const struct call_state *s, unsigned i, long otherwise)
{
    const struct arg *a = i < s->c->argc ? s->c->args[i] : NULL;
    return a && a->kind == ARG_NUMBER ? a->number : otherwise;
}

static const struct arg *field(const struct arg *a, const char *name)
{
    if (!a || a->kind != ARG_STRUCT) return NULL;
    for (const struct arg *f = a->items; f; f = f->next)
        if (!strcmp(f->text, name)) return f->value;
    return NULL;
}

static struct run_fd *fd_arg(struct call_state *s, unsigned i)
{
    static struct run_fd nothing = {.live = -1};
    long fd = number(s, i, -1);
    if (fd < 0 || fd >= HOST_FDS || !s->r->fds[fd].open) return &nothing;
    return &s->r->fds[fd];
}

static void read_address(const struct arg *a, struct ip_port *e)
{
    const struct arg *port = field(a, "sin_port"), *addr = field(a, "sin_addr");
    if (!port) port = field(a, "sin6_port");
    if (!port) port = field(a, "port");
    if (!addr) addr = field(a, "sin6_addr");
    if (!addr) addr = field(a, "addr");
    if (port) e->port = (uint16_t)port->number;
    if (addr && addr->kind == ARG_TEXT) addr_parse(addr->text, &e->addr);
}

/* The peer a call means: flow 1's, @N's, or what is written out. */
static struct ip_port peer_arg(const struct call_state *s, unsigned i, struct flow **flow)
{
    const struct arg *a = i < s->c->argc ? s->c->args[i] : NULL;
    *flow = &s->r->flows.f[a && a->kind == ARG_FLOW ? a->number & (FLOWS_MAX - 1) : 1];
    struct ip_port e = {s->r->flows.remote, (*flow)->remote_port};
    read_address(a, &e);
    return e;
}

static struct ip_port any_endpoint(const struct run *r, uint16_t port)
{
    struct ip_port e = {.port = port};
    if (!r->v6 && !r->mapped) e.addr = addr_v4(0);
    return e;
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

static long keep_fd(struct call_state *s, int live)
{
    long name = s->c->result;
    if (live < 0) return live;
    if (s->c->any_result || name < 0 || name >= HOST_FDS || s->r->fds[name].open) {
        snprintf(s->why, sizeof s->why, "a descriptor was given");
        return live;
    }
    s->r->fds[name] = (struct run_fd){.open = true, .live = live};
    return name;
}

static long call_socket(struct call_state *s)
{
    bool in6 = s->r->v6 || s->r->mapped;
    return keep_fd(s, host_socket(s->r->host, (int)number(s, 0, in6 ? AF_INET6 : AF_INET),
                                  (int)number(s, 1, SOCK_STREAM), (int)number(s, 2, 0)));
}

static long call_bind(struct call_state *s)
{
    struct ip_port e = any_endpoint(s->r, FLOW_LOCAL_PORT);
    if (s->c->argc > 1) read_address(s->c->args[1], &e);
    return host_bind(s->r->host, fd_arg(s, 0)->live, &e);
}

static long call_accept(struct call_state *s)
{
    struct ip_port peer;
    int fd = host_accept(s->r->host, fd_arg(s, 0)->live, &peer);
    if (fd >= 0 && !addr_equal(&peer.addr, &s->r->flows.remote))
        snprintf(s->why, sizeof s->why, "accept gave another address");
    if (fd >= 0 && s->c->argc > 1 && s->c->args[1]->kind == ARG_FLOW &&
        peer.port != FLOW_REMOTE_PORT + s->c->args[1]->number)
        snprintf(s->why, sizeof s->why, "accept gave the connection of @%d", peer.port - FLOW_REMOTE_PORT);
    return keep_fd(s, fd);
}

static long call_connect(struct call_state *s)
{
    struct flow *flow;
    struct ip_port e = peer_arg(s, 1, &flow), local;
    int fd = fd_arg(s, 0)->live;
    long got = host_connect(s->r->host, fd, &e);
    if (got == -EINPROGRESS || got == 0)
        if (!host_getname(s->r->host, fd, false, &local)) flow->local_port = local.port;
    if (!s->e->when.blocks) return got;
    if (got == -EISCONN && s->r->pending) return 0; /* tried again: it has come about */
    return got == -EINPROGRESS || got == -EALREADY ? -EAGAIN : got;
}

static long call_close(struct call_state *s)
{
    struct run_fd *f = fd_arg(s, 0);
    long got = host_close(s->r->host, f->live);
    f->open = false;
    return got;
}

static long call_fcntl(struct call_state *s)
{
    int fd = fd_arg(s, 0)->live;
    if (!host_is_open(s->r->host, fd)) return -EBADF;
    if (number(s, 1, 0) == F_SETFL) {
        host_nonblock(s->r->host, fd, number(s, 2, 0) & O_NONBLOCK ? 1 : 0);
        return 0;
    }
    return O_RDWR | (host_nonblock(s->r->host, fd, -1) ? O_NONBLOCK : 0);
}

static long call_getsockname(struct call_state *s)
{
    struct ip_port e = {.port = 0}, want = {.port = 0};
    long got = host_getname(s->r->host, fd_arg(s, 0)->live, !strcmp(s->c->name, "getpeername"), &e);
    if (s->c->argc > 1) read_address(s->c->args[1], &want);
    if (got == 0 && want.port && want.port != e.port) snprintf(s->why, sizeof s->why, "the port is %u", e.port);
    return got;
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static size_t size_arg(const struct call_state *s, unsigned i)
{
    long n = number(s, i, 0);
    return n < 0 ? 0 : n > (long)IO_MAX ? IO_MAX : (size_t)n;
}

static void compare_bytes(struct call_state *s, uint64_t first, long n)
{
    for (long i = 0; i < n; i++) {
        if (io[i] == flow_byte(false, first + (uint64_t)i)) continue;
        snprintf(s->why, sizeof s->why, "byte %llu of the stream is wrong",
                 (unsigned long long)first + (unsigned long long)i);
        return;
    }
}

static bool is_udp(const struct call_state *s, int fd)
{
    int type = 0;
    socklen_t n = sizeof type;
    return !host_getsockopt(s->r->host, fd, SOL_SOCKET, SO_TYPE, &type, &n) && type == SOCK_DGRAM;
}

static long call_read(struct call_state *s)
{
    struct run_fd *f = fd_arg(s, 0);
    struct flow *flow;
    struct ip_port from = {.port = 0}, want = peer_arg(s, 4, &flow);
    bool peek = s->c->argc > 3 && (number(s, 3, 0) & MSG_PEEK);
    if (is_udp(s, f->live)) {
        long got = host_recvfrom(s->r->host, f->live, io, size_arg(s, 2), &from);
        if (got >= 0 && s->c->argc > 4 && s->c->args[4]->kind == ARG_FLOW && from.port != want.port)
            snprintf(s->why, sizeof s->why, "it came from @%d", from.port - FLOW_REMOTE_PORT);
        compare_bytes(s, 0, got);
        return got;
    }
    long got = host_read(s->r->host, f->live, io, size_arg(s, 2), peek);
    compare_bytes(s, f->read_at, got);
    if (got > 0 && !peek) f->read_at += (uint64_t)got;
    return got;
}

static long call_write(struct call_state *s)
{
    struct run_fd *f = fd_arg(s, 0);
    struct flow *flow;
    struct ip_port to = peer_arg(s, 4, &flow);
    size_t n = size_arg(s, 2);
    bool udp = is_udp(s, f->live);
    for (size_t i = 0; i < n; i++) io[i] = flow_byte(true, (udp ? 0 : f->written) + i);
    if (udp && s->c->argc > 4) {
        struct ip_port local;
        long got = host_sendto(s->r->host, f->live, io, n, &to);
        if (!host_getname(s->r->host, f->live, false, &local)) flow->local_port = local.port;
        return got;
    }
    bool more = s->c->argc > 3 && (number(s, 3, 0) & MSG_MORE);
    long got = host_write(s->r->host, f->live, io, n, more);
    if (got > 0) f->written += (uint64_t)got;
    return got;
}

/* --- options ------------------------------------------------------------------------------------------------------ */

/* The value an argument stands for; its size, 0: none. */
static socklen_t option_value(const struct arg *a, void *out, size_t size)
{
    int v;
    memset(out, 0, size);
    const struct arg *on = field(a, "onoff"), *time = field(a, "linger");
    if (!on) on = field(a, "l_onoff");
    if (!time) time = field(a, "l_linger");
    if (on) {
        struct linger l = {(int)on->number, time ? (int)time->number : 0};
        memcpy(out, &l, sizeof l);
        return sizeof l;
    }
    if (a && a->kind == ARG_TEXT) {
        snprintf(out, size, "%s", a->text);
        return (socklen_t)strlen(a->text);
    }
    if (a && a->kind == ARG_LIST && a->items) a = a->items;
    if (!a || a->kind != ARG_NUMBER) return 0;
    v = (int)a->number;
    memcpy(out, &v, sizeof v);
    return sizeof v;
}

static long call_setsockopt(struct call_state *s)
{
    char value[64];
    socklen_t n = option_value(s->c->argc > 3 ? s->c->args[3] : NULL, value, sizeof value);
    return host_setsockopt(s->r->host, fd_arg(s, 0)->live, (int)number(s, 1, -1), (int)number(s, 2, -1), value, n);
}

static long call_getsockopt(struct call_state *s)
{
    char want[64], got[512] = {0};
    int v;
    socklen_t size = option_value(s->c->argc > 3 ? s->c->args[3] : NULL, want, sizeof want), n = sizeof got;
    long result =
        host_getsockopt(s->r->host, fd_arg(s, 0)->live, (int)number(s, 1, -1), (int)number(s, 2, -1), got, &n);
    if (result < 0 || !size || !memcmp(want, got, size)) return result;
    memcpy(&v, got, sizeof v);
    if (s->c->args[3]->kind == ARG_TEXT) snprintf(s->why, sizeof s->why, "the option is \"%.32s\"", got);
    else snprintf(s->why, sizeof s->why, "the option is %d", v);
    return result;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static long call_poll(struct call_state *s)
{
    long ready = 0, timeout = number(s, 2, 0);
    const struct arg *set = s->c->argc ? s->c->args[0] : NULL;
    for (const struct arg *p = set && set->kind == ARG_LIST ? set->items : NULL; p; p = p->next) {
        const struct arg *fd = field(p, "fd"), *events = field(p, "events"), *want = field(p, "revents");
        if (!fd || fd->number < 0 || fd->number >= HOST_FDS) return -EINVAL;
        int got = host_poll(s->r->host, s->r->fds[fd->number].live, (short)(events ? events->number : 0));
        if (want && want->number != got) snprintf(s->why, sizeof s->why, "fd %ld: revents are 0x%x", fd->number, got);
        ready += got != 0;
    }
    bool over =
        timeout >= 0 && host_now(s->r->host) >= s->r->pending_since + (nsec)timeout * NSEC_PER_MSEC && s->r->pending;
    if (!ready && s->e->when.blocks && !over) return -EAGAIN;
    return ready;
}

static long call_forget(struct call_state *s)
{
    flow_forget(&s->r->flows.f[number(s, 0, 1) & (FLOWS_MAX - 1)]);
    return 0;
}

static const struct {
    const char *name;
    long (*fn)(struct call_state *s);
} calls[] = {
    {"socket", call_socket},
    {"bind", call_bind},
    {"accept", call_accept},
    {"accept4", call_accept},
    {"connect", call_connect},
    {"close", call_close},
    {"fcntl", call_fcntl},
    {"getsockname", call_getsockname},
    {"getpeername", call_getsockname},
    {"read", call_read},
    {"recv", call_read},
    {"recvfrom", call_read},
    {"write", call_write},
    {"send", call_write},
    {"sendto", call_write},
    {"setsockopt", call_setsockopt},
    {"getsockopt", call_getsockopt},
    {"poll", call_poll},
    {"forget", call_forget},
};

static long make_call(struct call_state *s)
{
    int fd = fd_arg(s, 0)->live;
    if (!strcmp(s->c->name, "listen")) return host_listen(s->r->host, fd, (int)number(s, 1, 0));
    if (!strcmp(s->c->name, "shutdown")) return host_shutdown(s->r->host, fd, (int)number(s, 1, 0));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].name, s->c->name)) return calls[i].fn(s);
    snprintf(s->why, sizeof s->why, "there is no call of this name");
    return -ENOSYS;
}

static void check_result(struct call_state *s, long got)
{
    const struct call *c = s->c;
    long result = got < 0 ? -1 : got;
    int err = got < 0 ? (int)-got : 0;
    if (!c->any_result && (result != c->result || (c->err && err != c->err))) {
        const char *name = symbol_of_errno(err);
        run_fail(s->r, s->e->line, "%s() gave %ld %s%s%s", c->name, result, name ? name : "", s->why[0] ? "; " : "",
                 s->why);
    } else if (s->why[0]) {
        run_fail(s->r, s->e->line, "%s(): %s", c->name, s->why);
    }
}

bool run_call(struct run *r, const struct event *e)
{
    struct call_state s = {.r = r, .e = e, .c = &e->call};
    long got = make_call(&s);
    if (got == -EAGAIN && e->when.blocks) return false;
    check_result(&s, got);
    return true;
}
