/* SPDX-License-Identifier: MIT
 *
 * Listening sockets and new connections. Every address of `bind` and its kin (those with a leading '-' may be
 * missing), IPv4 and IPv6, TCP and RDMA, the Unix socket, and the one of shared memory; these two are made with the
 * right permissions from the first moment (umask around bind: nobody gets in between).
 *
 * A change of addresses takes three steps, so that who connects meanwhile finds a listener, and a change that is
 * refused has changed nothing:
 *
 *     listen_open     an address that is listened on --is_wanted--> kept
 *                     another                        --opened, is_wanted
 *     (other options may refuse: listen_open again with the configuration that stays, which opens nothing)
 *     listen_settle   what is not wanted             --closed
 *
 * An address that overlaps with one that is to go (0.0.0.0 and 127.0.0.1 at one port) is refused by the kernel and by
 * our stack as long as that one listens; for the moment of bind and listen both have SO_REUSEPORT. (Linux remembers it
 * for the port: who has our user and asks for SO_REUSEPORT itself could listen there, too; a second server does not.)
 *
 * A connection over maxclients, or from another host while protected mode holds, is told so and
 * closed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "demi/ext.h"
#include "demi/libos.h"
#include "server/conf/config.h"
#include "server/metrics/metrics.h"
#include "server/net/client.h"
#include "server/net/tls.h"
#include "server/observe/log.h"
#include "server/outgoing.h"
#include "server/server.h"
#include "server/worker.h"

#define ACCEPTS_OUTSTANDING 16

#define LISTENERS_END(srv) ((srv)->listeners + sizeof(srv)->listeners / sizeof *(srv)->listeners)
#define EACH_LISTENER(srv, l)                                                                                          \
    struct listen_socket *l = (srv)->listeners;                                                                        \
    l < LISTENERS_END(srv);                                                                                            \
    l++
static_assert(sizeof((struct server *)0)->listeners / sizeof(struct listen_socket) >= 2 * (4 * CONF_BIND_MAX + 2),
              "those that are to go and those that come");

static struct listen_socket *free_slot(struct server *srv)
{
    for (EACH_LISTENER(srv, l))
        if (!l->is_open) return l;
    return NULL;
}

static in_port_t port_of(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) return ((const struct sockaddr_in *)addr)->sin_port;
    return addr->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)addr)->sin6_port : 0;
}

/* Whether some that are to go are in the way of addr; they and qd may share the port then, or may not any more. */
static bool share_with_leaving(struct server *srv, const struct sockaddr *addr, int qd, int on)
{
    bool any = false;
    if (!port_of(addr)) return false;
    for (EACH_LISTENER(srv, l)) {
        const struct sockaddr *other = (const struct sockaddr *)&l->addr;
        if (!l->is_open || l->is_wanted || other->sa_family != addr->sa_family || port_of(other) != port_of(addr))
            continue;
        demi_setsockopt(l->qd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        any = true;
    }
    if (any) demi_setsockopt(qd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    return any;
}

/* The buffers of clients without the password, which costs nobody anything to be, may take a quarter of the memory that
 * the process may lock, or, where that has no limit, a sixteenth of the machine's. Where there is no password nobody
 * is kept out, and so many connections may begin at once as may be open. */
static int rdma_strangers(const struct server *srv)
{
    struct rlimit most;
    if (acl_is_open(&srv->acl)) return 0;
    uint64_t least = 4 * (uint64_t)srv->config->rdma_rx_size;
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 16;
    if (!getrlimit(RLIMIT_MEMLOCK, &most) && most.rlim_cur != RLIM_INFINITY) bytes = most.rlim_cur / 4;
    if (bytes > INT_MAX) bytes = INT_MAX;
    return (int)(bytes > least ? bytes : least);
}

static void bound_strangers(const struct server *srv, int qd)
{
    int bytes = rdma_strangers(srv);
    demi_setsockopt(qd, DEMI_SOL_RDMA, DEMI_RDMA_STRANGERS, &bytes, sizeof bytes);
}

/* Clients of Valkey's framing come there beside those of the library's own. */
static int rdma_socket(struct server *srv, int *qd, int family)
{
    int err = demi_socket_on(qd, "rdma", family, SOCK_STREAM, 0), bytes = (int)srv->config->rdma_rx_size;
    if (err) return err;
    if (demi_setsockopt(*qd, DEMI_SOL_RDMA, DEMI_RDMA_VALKEY, &bytes, sizeof bytes) == EOPNOTSUPP)
        server_log(srv, LOG_WARNING_LEVEL,
                   "rdma-port: this device has no immediates (iWARP): Valkey's clients are refused, those "
                   "of the library are served");
    bound_strangers(srv, *qd);
    return 0;
}

/* Whose the kernel's sockets are here. */
static const char *kernel_libos(void) { return strcmp(demi_libos_name(), "uring") != 0 ? "posix" : "uring"; }

/* A path is one of the kernel's or of shared memory's, whatever libOS comes first here. */
static int socket_of(struct server *srv, enum listen_kind kind, int *qd, int family)
{
    if (kind == LISTEN_RDMA) return rdma_socket(srv, qd, family);
    if (kind == LISTEN_SHM) return demi_socket_on(qd, "shm", family, SOCK_STREAM, 0);
    int err = kind == LISTEN_UNIX ? demi_socket_on(qd, kernel_libos(), family, SOCK_STREAM, 0) : ENOTSUP;
    return err == ENOTSUP ? demi_socket(qd, family, SOCK_STREAM, 0) : err;
}

static int new_socket(struct server *srv, int *qd, const struct sockaddr *addr, enum listen_kind kind)
{
    int err = socket_of(srv, kind, qd, addr->sa_family), on = 1;
    if (err) return err;
    if (addr->sa_family != AF_UNIX) {
        demi_setsockopt(*qd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        outgoing_mark(srv, *qd);
    }
    if (addr->sa_family == AF_INET6) demi_setsockopt(*qd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return 0;
}

static int bind_and_listen(int qd, const struct sockaddr *addr, socklen_t size, int backlog)
{
    int err = demi_bind(qd, addr, size);
    return err ? err : demi_listen(qd, backlog);
}

static int open_one(struct server *srv, const struct sockaddr *addr, socklen_t size, const char *text,
                    enum listen_kind kind)
{
    struct listen_socket *l = free_slot(srv);
    int qd, backlog = (int)srv->config->tcp_backlog;
    if (!l) return -E2BIG;
    int err = new_socket(srv, &qd, addr, kind);
    if (err) return -err;
    err = bind_and_listen(qd, addr, size, backlog);
    if (err == EADDRINUSE) { /* a socket that listen() refused is bound: the second attempt is another's */
        demi_close(qd);
        err = new_socket(srv, &qd, addr, kind);
        if (err) return -err;
        err = EADDRINUSE;
        if (share_with_leaving(srv, addr, qd, 1)) {
            err = bind_and_listen(qd, addr, size, backlog);
            share_with_leaving(srv, addr, qd, 0);
        }
    }
    if (err) {
        demi_close(qd);
        return -err;
    }
    *l = (struct listen_socket){.qd = qd, .kind = kind, .is_open = true, .is_wanted = true};
    memcpy(&l->addr, addr, size);
    snprintf(l->text, sizeof l->text, "%s", text);
    return 0;
}

static struct listen_socket *address_find(struct server *srv, const char *text, enum listen_kind kind)
{
    for (EACH_LISTENER(srv, l))
        if (l->is_open && l->kind == kind && strcmp(l->text, text) == 0) return l;
    return NULL;
}

static void address_name(char *out, size_t size, const char *host, int port)
{
    snprintf(out, size, "%s:%d", *host == '-' ? host + 1 : host, port);
}

static bool may_be_missing(int err)
{
    return err == -EADDRNOTAVAIL || err == -ENODEV || err == -EAFNOSUPPORT || err == -ENOTSUP ||
           err == -EPROTONOSUPPORT;
}

static int open_address(struct server *srv, const char *host, int port, enum listen_kind kind)
{
    char text[LISTEN_TEXT_SIZE];
    bool optional = host[0] == '-';
    const char *transport = kind == LISTEN_RDMA ? "RDMA" : "TCP";
    address_name(text, sizeof text, host, port);
    if (optional) host++;
    struct sockaddr_storage ss = {0};
    socklen_t n;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ss;
    bool any6 = strcmp(host, "::*") == 0;
    if (strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        n = sizeof *v4;
    } else if (any6 || inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        n = sizeof *v6;
    } else {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list;
        int rc = getaddrinfo(host, NULL, &hints, &list);
        if (rc) {
            server_log(srv, LOG_WARNING_LEVEL, "Warning: Could not create server %s listening socket %s:%d: %s",
                       transport, host, port, gai_strerror(rc));
            return optional ? 0 : -EINVAL;
        }
        memcpy(&ss, list->ai_addr, list->ai_addrlen);
        n = list->ai_addrlen;
        if (ss.ss_family == AF_INET) v4->sin_port = htons((uint16_t)port);
        else v6->sin6_port = htons((uint16_t)port);
        freeaddrinfo(list);
    }
    int rc = open_one(srv, (struct sockaddr *)&ss, n, text, kind);
    if (rc == 0) return 0;
    server_log(srv, LOG_WARNING_LEVEL, "Warning: Could not create server %s listening socket %s:%d: bind: %s",
               transport, host, port, strerror(-rc));
    return optional && may_be_missing(rc) ? 0 : rc;
}

/* At a path of shared memory. A Unix socket's is taken without asking, as redis-server does; ours need not be. In doubt
 * there is somebody. */
static bool somebody_listens(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return true;
    bool refused = connect(fd, (const struct sockaddr *)un, sizeof *un) && errno == ECONNREFUSED;
    close(fd);
    return !refused;
}

/* A Unix socket, or one of shared memory, whose ends find each other by one. */
static int open_path(struct server *srv, const char *path, mode_t perm, enum listen_kind kind)
{
    const char *what = kind == LISTEN_SHM ? "shared-memory" : "Unix";
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof un.sun_path) {
        server_log(srv, LOG_WARNING_LEVEL, "Failed opening %s socket: path too long: %s", what, path);
        return -ENAMETOOLONG;
    }
    strcpy(un.sun_path, path);
    struct stat st;
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode)) {
            server_log(srv, LOG_WARNING_LEVEL, "Failed opening %s socket: %s exists and is not a socket", what, path);
            return -EEXIST;
        }
        if (kind == LISTEN_SHM && somebody_listens(&un)) {
            server_log(srv, LOG_WARNING_LEVEL, "Failed opening %s socket: another process listens at %s", what, path);
            return -EADDRINUSE;
        }
        unlink(path);
    }
    mode_t old = umask(perm ? (~perm & 0777) : 0);
    if (!perm) umask(old);
    int rc = open_one(srv, (struct sockaddr *)&un, sizeof un, path, kind);
    umask(old);
    if (rc == 0 && perm) chmod(path, perm);
    if (rc) server_log(srv, LOG_WARNING_LEVEL, "Failed opening %s socket: bind: %s", what, strerror(-rc));
    return rc;
}

/* What the configuration says of a kind of TCP listeners; port 0: there are none. */
struct listen_addresses {
    const char *name;
    int port;
    char *const *hosts;
    unsigned count;
};

static struct listen_addresses addresses_of(const struct config *cfg, enum listen_kind kind)
{
    switch (kind) {
    case LISTEN_TCP: return (struct listen_addresses){"tcp", (int)cfg->port, cfg->bind, cfg->bind_count};
    case LISTEN_TLS: return (struct listen_addresses){"tls", (int)cfg->tls_port, cfg->bind, cfg->bind_count};
    case LISTEN_RDMA:
        return (struct listen_addresses){"rdma", (int)cfg->rdma_port, cfg->rdma_bind, cfg->rdma_bind_count};
    case LISTEN_METRICS:
        return (struct listen_addresses){"metrics", (int)cfg->metrics_port, cfg->metrics_bind, cfg->metrics_bind_count};
    default: return (struct listen_addresses){.name = "unix"};
    }
}

/* Before anything is opened: what is to stay must not be shared with. */
static void mark_wanted(struct server *srv, const struct config *cfg)
{
    char text[LISTEN_TEXT_SIZE];
    struct listen_socket *l;
    for (EACH_LISTENER(srv, other)) other->is_wanted = false;
    for (enum listen_kind kind = LISTEN_TCP; kind < LISTEN_KINDS; kind++) {
        struct listen_addresses a = addresses_of(cfg, kind);
        for (unsigned i = 0; a.port && i < a.count; i++) {
            address_name(text, sizeof text, a.hosts[i], a.port);
            if ((l = address_find(srv, text, kind))) l->is_wanted = true;
        }
    }
    if (cfg->unixsocket && (l = address_find(srv, cfg->unixsocket, LISTEN_UNIX))) l->is_wanted = true;
    if (cfg->shm_path && (l = address_find(srv, cfg->shm_path, LISTEN_SHM))) l->is_wanted = true;
}

static int open_tcp(struct server *srv, struct listen_addresses a, enum listen_kind kind)
{
    bool any = false;
    if (!a.port) return 0;
    for (unsigned i = 0; i < a.count; i++) {
        char text[LISTEN_TEXT_SIZE];
        address_name(text, sizeof text, a.hosts[i], a.port);
        const struct listen_socket *there = address_find(srv, text, kind);
        bool named_before = false;
        for (unsigned k = 0; k < i; k++) named_before |= strcmp(a.hosts[k], a.hosts[i]) == 0;
        int rc = there && !named_before ? 0 : open_address(srv, a.hosts[i], a.port, kind);
        if (rc) return rc;
        any |= address_find(srv, text, kind) != NULL;
    }
    if (!a.count || any) return 0;
    server_log(srv, LOG_WARNING_LEVEL, "Warning: No address to listen on");
    return -EADDRNOTAVAIL;
}

static int path_open(struct server *srv, const char *path, int64_t perm, enum listen_kind kind)
{
    return path && *path && !address_find(srv, path, kind) ? open_path(srv, path, (mode_t)perm, kind) : 0;
}

int listen_open(struct server *srv, const struct config *cfg, const char **name)
{
    mark_wanted(srv, cfg);
    for (enum listen_kind kind = LISTEN_TCP; kind < LISTEN_UNIX; kind++) {
        struct listen_addresses a = addresses_of(cfg, kind);
        int rc = open_tcp(srv, a, kind);
        *name = a.name;
        if (rc) return rc;
    }
    *name = "unix";
    int rc = path_open(srv, cfg->unixsocket, cfg->unixsocketperm, LISTEN_UNIX);
    if (rc) return rc;
    *name = "shm";
    return path_open(srv, cfg->shm_path, cfg->shm_path_perm, LISTEN_SHM);
}

static void close_one(struct server *srv, struct listen_socket *l)
{
    if (l->accepts) endpoint_set(&srv->workers[0].endpoints, l->qd, NULL);
    demi_close(l->qd);
    l->is_open = false;
    if (l->kind != LISTEN_UNIX && l->kind != LISTEN_SHM) return;
    if (srv->exit_code == 0) /* otherwise the last line is to be the reason */
        server_log(srv, LOG_NOTICE_LEVEL, "Removing the %s socket file.", l->kind == LISTEN_SHM ? "shm" : "unix");
    unlink(l->text);
}

void listen_settle(struct server *srv)
{
    for (EACH_LISTENER(srv, l))
        if (l->is_open && !l->is_wanted) close_one(srv, l);
}

void listen_close(struct server *srv)
{
    for (EACH_LISTENER(srv, l))
        if (l->is_open) close_one(srv, l);
}

bool listen_any(const struct server *srv, bool for_metrics)
{
    for (size_t i = 0; i < sizeof srv->listeners / sizeof *srv->listeners; i++)
        if (srv->listeners[i].is_open && (srv->listeners[i].kind == LISTEN_METRICS) == for_metrics) return true;
    return false;
}

static void turn_away(int qd, const char *text)
{
    demi_qtoken_t qt;
    size_t n = strlen(text);
    char *p = demi_malloc(n);
    if (p) {
        memcpy(p, text, n);
        struct iovec iov = {p, n};
        demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_HANDED_OVER | DEMI_PUSH_NO_TOKEN);
        demi_free(p);
    }
    demi_close(qd);
}

static bool protected_mode_refuses(const struct server *srv, bool is_local)
{
    return srv->config->protected_mode && srv->acl.default_user->no_password && !is_local;
}

/* Whose connection it is, as accept told it: asked of the socket later, a peer that has reset by then has no address
 * any more, and who has none must never pass for somebody of this host. */
static struct sockaddr_storage peer_of(const demi_qresult_t *qr)
{
    struct sockaddr_storage ss = {0};
    sa_family_t family = qr->qr_value.ares.addr.sin_family;
    if (family == AF_INET) memcpy(&ss, &qr->qr_value.ares.addr, sizeof qr->qr_value.ares.addr);
    else if (family == AF_INET6) memcpy(&ss, &qr->qr_value.ares6.addr, sizeof qr->qr_value.ares6.addr);
    else ss.ss_family = family;
    return ss;
}

/* What it sent before it was reset may still lie in its socket and is not executed. */
static bool was_reset(int qd)
{
    struct sockaddr_storage ss;
    socklen_t n = sizeof ss;
    return demi_getpeername(qd, (struct sockaddr *)&ss, &n) != 0;
}

static void admit_connection(struct worker *w, int qd, const struct sockaddr_storage *peer, enum listen_kind kind)
{
    bool is_tls = kind == LISTEN_TLS;
    struct server *srv = w->srv;
    const struct config *cfg = srv->config;
    bool known = peer->ss_family == AF_INET || peer->ss_family == AF_INET6 || peer->ss_family == AF_UNIX;
    if (!known || was_reset(qd)) {
        server_log(srv, LOG_VERBOSE_LEVEL, "Error accepting a client connection: %s",
                   known ? "it was reset by its peer" : "its address is not known");
        demi_close(qd);
        return;
    }
    if (w->client_count >= (size_t)cfg->maxclients) {
        w->stats.rejected_conn++;
        if (is_tls) demi_close(qd); /* who has not shaken hands cannot be told */
        else turn_away(qd, "-ERR max number of clients reached\r\n");
        return;
    }
    int on = 1;
    demi_setsockopt(qd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (cfg->tcp_keepalive > 0) {
        int idle = (int)cfg->tcp_keepalive, interval = idle / 3 ? idle / 3 : 1, count = 3;
        demi_setsockopt(qd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        demi_setsockopt(qd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
        demi_setsockopt(qd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
        demi_setsockopt(qd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    }
    int err = unlikely(is_tls) ? tls_accept(srv, qd) : 0;
    if (unlikely(err)) {
        server_log(srv, LOG_WARNING_LEVEL, "Error accepting a client connection: %s", strerror(err));
        demi_close(qd);
        return;
    }
    struct client *cl = client_new(w, qd, peer);
    if (unlikely(kind == LISTEN_RDMA)) {
        cl->flags |= CLIENT_RDMA;
        if (cl->s.flags & SESSION_AUTHENTICATED) client_trust(cl);
    }
    w->stats.connections++;
    if (w->client_count > w->stats.peak_clients) w->stats.peak_clients = w->client_count;
    server_log(srv, LOG_VERBOSE_LEVEL, "Accepted %s", cl->peer);
    if (!protected_mode_refuses(srv, cl->s.flags & SESSION_LOCAL)) return;
    w->stats.rejected_conn++;
    reply_error(&cl->out, "-DENIED demikv is running in protected mode because protected mode is enabled and "
                          "no password is set for the default "
                          "user. In this mode connections are only accepted from the loopback interface. To "
                          "connect from other hosts: 1) set "
                          "protected mode off from this host with 'CONFIG SET protected-mode no' (and CONFIG "
                          "REWRITE to keep it), only where "
                          "no outsider can reach the server; 2) or set 'protected-mode no' in the "
                          "configuration file and restart; 3) or start the "
                          "server with '--protected-mode no'; 4) or set a bind address or a password.");
    client_close_after_reply(cl);
}

/* Without a password whatever a scrape shows is for this host alone, as the data are. */
static void admit_scraper(struct worker *w, int qd, const struct sockaddr_storage *peer)
{
    int on = 1;
    if (was_reset(qd)) {
        demi_close(qd);
        return;
    }
    demi_setsockopt(qd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    metrics_accept(w, qd, !protected_mode_refuses(w->srv, client_is_on_this_host(peer)));
}

static void accepted(struct endpoint *e, struct worker *w, const demi_qresult_t *qr)
{
    struct listen_socket *l = container_of(e, struct listen_socket, endpoint);
    if (w->srv->stopping) {
        endpoint_release(qr);
        return;
    }
    if (qr->qr_opcode == DEMI_OPC_FAILED && qr->qr_ret == ECANCELED) return;
    demi_qtoken_t qt;
    demi_accept(&qt, l->qd);
    struct sockaddr_storage peer = peer_of(qr);
    if (qr->qr_opcode != DEMI_OPC_ACCEPT)
        server_log(w->srv, LOG_WARNING_LEVEL, "Error accepting a client connection: %s", strerror((int)qr->qr_ret));
    else if (unlikely(l->kind == LISTEN_METRICS)) admit_scraper(w, qr->qr_value.ares.qd, &peer);
    else admit_connection(w, qr->qr_value.ares.qd, &peer, l->kind);
    if (unlikely(l->kind == LISTEN_RDMA)) bound_strangers(w->srv, l->qd); /* there may be a password by now */
}

int listen_accept(struct worker *w)
{
    for (EACH_LISTENER(w->srv, l)) {
        if (!l->is_open || l->accepts) continue;
        l->accepts = true;
        l->endpoint.completed = accepted;
        endpoint_set(&w->endpoints, l->qd, &l->endpoint);
        for (int k = 0; k < ACCEPTS_OUTSTANDING; k++) {
            demi_qtoken_t qt;
            int err = demi_accept(&qt, l->qd);
            if (err) return -err;
        }
    }
    return 0;
}
