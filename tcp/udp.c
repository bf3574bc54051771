/* SPDX-License-Identifier: MIT
 *
 * Sockets lie in buckets by their local port. A datagram goes to the socket that says most about it: its peer, then its
 * local address, then its port alone; among equals that share a port (reuse_port) one is chosen by a hash of the
 * addresses, the same for all of a flow.
 *
 * What waits in a socket is a ring of at most limits.udp_queue datagrams; the newest is dropped when it is full. A
 * datagram is the buf it came in, its headers cut off, unless the device gave it in pieces: udp_pop() promises one buf.
 *
 * RFC 768; RFC 1122 4.1 (ports, errors to the program, checksums); RFC 8200 8.1 (no zero checksum in IPv6). Left out:
 * UDP-Lite, multicast groups, zero checksums for IPv6 tunnels (RFC 6935).
 */
#include "tcp/udp.h"

#include <errno.h>
#include <netinet/in.h>

#include "alloc/base/hash.h"
#include "alloc/heap.h"
#include "tcp/checksum.h"
#include "tcp/dhcp.h"
#include "tcp/hdr.h"
#include "tcp/ports.h"
#include "tcp/route.h"

#define UDP_DATAGRAM_MAX 65507 /* 65,535 - 20 - 8; IPv6 could carry 20 more */
#define RING_FIRST       16
#define WAITING_MAX      1024  /* datagrams of a socket that wait for neighbours, */
#define WAITING_MAX_ALL  16384 /* and of all */

struct udp_datagram {
    struct buf *b;
    struct ip_port from;
};

/* A datagram that waits for a neighbour, or, its neighbour known, for room in the ring. */
struct udp_waiting {
    struct list all, link; /* in stack->udp.waiting; in the neighbour's list, or stack->udp.ready */
    struct udp_sock *u;    /* NULL: closed meanwhile */
    void *ticket;          /* NULL: nobody waits */
    struct buf *b;         /* its header in front */
    uint32_t len;
    struct path path;
    struct path_ends ends;
};

struct udp_sock {
    struct net_stack *stack;
    struct list link;
    struct ip_port local, peer;
    struct path path;      /* to the last destination, */
    struct path_ends ends; /* between these */
    bool connected, v6_only, reuse_port, path_open;
    uint8_t hops, tos;
    int error; /* positive errno, told once */
    void *user;
    struct udp_datagram *ring; /* NULL: nothing ever came */
    uint32_t mask, head, tail;
    uint32_t waiting_count; /* of struct udp_waiting */
};

int udp_layer_init(struct net_stack *s)
{
    for (unsigned i = 0; i < UDP_BUCKETS; i++) list_init(&s->udp.buckets[i]);
    list_init(&s->udp.waiting);
    list_init(&s->udp.ready);
    return ports_init(&s->udp.ports, 0, 0, s->key_port);
}

void udp_layer_fini(struct net_stack *s)
{
    for (unsigned i = 0; i < UDP_BUCKETS; i++)
        list_for_each_safe(it, &s->udp.buckets[i]) udp_close(list_entry(it, struct udp_sock, link));
    list_for_each_safe(it, &s->udp.waiting)
    {
        struct udp_waiting *w = list_entry(it, struct udp_waiting, all);
        buf_unref(w->b);
        heap_free(w);
    }
}

static struct list *bucket(struct net_stack *s, uint16_t port) { return &s->udp.buckets[port % UDP_BUCKETS]; }

/* --- open, close -------------------------------------------------------------------------------------------------- */

/* Whether two sockets that may not share would take the same datagrams. */
static bool is_overlapping(const struct udp_sock *u, const struct ip_addr *a, bool v6_only)
{
    bool any_u = addr_is_any(&u->local.addr), any_a = addr_is_any(a);
    bool both_u = any_u && !addr_is_v4(&u->local.addr) && !u->v6_only, both_a = any_a && !addr_is_v4(a) && !v6_only;
    if (addr_is_v4(&u->local.addr) != addr_is_v4(a) && !both_u && !both_a) return false;
    return any_u || any_a || addr_equal(&u->local.addr, a);
}

static bool is_taken(struct net_stack *s, const struct ip_port *local, bool v6_only, bool reuse_port)
{
    list_for_each(it, bucket(s, local->port))
    {
        const struct udp_sock *u = list_entry(it, struct udp_sock, link);
        if (u->local.port != local->port || (u->reuse_port && reuse_port)) continue;
        if (is_overlapping(u, &local->addr, v6_only)) return true;
    }
    return false;
}

struct wish {
    struct net_stack *s;
    struct ip_port local;
    bool v6_only;
};

static bool is_port_taken(void *arg, uint16_t port)
{
    struct wish *w = arg;
    w->local.port = port;
    return is_taken(w->s, &w->local, w->v6_only, false);
}

static int choose_port(struct net_stack *s, struct wish *w)
{
    struct ip_port nobody = {.port = 0};
    uint16_t port;
    int err = ports_choose(&s->udp.ports, &w->local.addr, &nobody, s->key_port, is_port_taken, w, &port);
    if (!err) w->local.port = port;
    return err;
}

int udp_open(struct net_stack *s, const struct ip_port *local, bool v6_only, bool reuse_port, void *user,
             struct udp_sock **out)
{
    struct wish w = {.s = s, .local = *local, .v6_only = v6_only};
    if (!addr_is_any(&local->addr) && !stack_is_local(s, &local->addr)) return -EADDRNOTAVAIL;
    if (local->port == 0) {
        int err = choose_port(s, &w);
        if (err) return err;
    } else if (is_taken(s, local, v6_only, reuse_port)) {
        return -EADDRINUSE;
    }
    struct udp_sock *u = heap_calloc(1, sizeof *u);
    if (!u) return -ENOMEM;
    u->stack = s;
    u->local = w.local;
    u->v6_only = v6_only;
    u->reuse_port = reuse_port;
    u->user = user;
    list_push_back(bucket(s, u->local.port), &u->link);
    s->udp.count++;
    *out = u;
    return 0;
}

/* What waits still leaves, but nobody hears of it. */
static void let_go_of_waiting(struct udp_sock *u)
{
    if (!u->waiting_count) return;
    list_for_each(it, &u->stack->udp.waiting)
    {
        struct udp_waiting *w = list_entry(it, struct udp_waiting, all);
        if (w->u != u) continue;
        w->u = NULL;
        w->ticket = NULL;
    }
}

void udp_close(struct udp_sock *u)
{
    let_go_of_waiting(u);
    for (; u->head != u->tail; u->head++) buf_unref(u->ring[u->head & u->mask].b);
    if (u->path_open) path_close(u->stack, &u->path);
    list_remove(&u->link);
    u->stack->udp.count--;
    heap_free(u->ring);
    heap_free(u);
}

void *udp_user(const struct udp_sock *u) { return u->user; }
const struct ip_port *udp_local(const struct udp_sock *u) { return &u->local; }
const struct ip_port *udp_peer(const struct udp_sock *u) { return u->connected ? &u->peer : NULL; }

static bool can_talk_to(const struct udp_sock *u, const struct ip_addr *a)
{
    bool v4 = addr_is_v4(a);
    if (addr_is_any(&u->local.addr)) return addr_is_v4(&u->local.addr) == v4 || (v4 && !u->v6_only);
    return addr_is_v4(&u->local.addr) == v4;
}

/* The path to dst: kept as long as datagrams go to the same one. */
static int path_to(struct udp_sock *u, const struct ip_addr *dst)
{
    struct net_stack *s = u->stack;
    if (u->path_open && addr_equal(&u->ends.remote.addr, dst) && stack_is_local(s, &u->ends.local.addr)) return 0;
    if (!can_talk_to(u, dst)) return -ENETUNREACH;
    static const struct ip_addr any;
    if (u->path_open) path_close(s, &u->path);
    u->path_open = false;
    u->ends = path_between(addr_is_any(&u->local.addr) ? &any : &u->local.addr, dst);
    int err = path_open(s, &u->path, &u->ends, IPPROTO_UDP);
    if (err) return err;
    u->path_open = true;
    if (u->hops) u->path.hops = u->hops;
    u->path.tos = u->tos;
    return 0;
}

int udp_connect(struct udp_sock *u, const struct ip_port *peer)
{
    if (!peer) {
        u->connected = false;
        return 0;
    }
    if (peer->port == 0) return -EADDRNOTAVAIL;
    int err = path_to(u, &peer->addr);
    if (err) return err;
    u->peer = *peer;
    u->connected = true;
    u->error = 0;
    return 0;
}

void udp_set_hops(struct udp_sock *u, uint8_t hops, uint8_t tos)
{
    u->hops = hops;
    u->tos = tos;
    if (u->path_open) path_close(u->stack, &u->path);
    u->path_open = false;
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

/* Room for 8 bytes in front: in the chain's own first buf if it is nobody else's, else in one of its own. NULL: out
 * of memory; nothing is taken. */
static struct buf *with_header(struct buf *chain)
{
    if (buf_is_sole(chain) && buf_headroom(chain) >= sizeof(struct udp_hdr)) {
        buf_push_front(chain, sizeof(struct udp_hdr));
        return chain;
    }
    struct buf *head = buf_take_exact(sizeof(struct udp_hdr));
    if (!head) return NULL;
    buf_put_back(head, sizeof(struct udp_hdr));
    head->next = chain;
    return head;
}

/* Undoes with_header(): the chain is the caller's again, as it was. */
static void drop_header(struct buf *b, struct buf *chain)
{
    if (b == chain) {
        buf_trim_front(b, sizeof(struct udp_hdr));
        return;
    }
    b->next = NULL;
    buf_unref(b);
}

/* It leaves no more: frees it and tells. w->b is whoever's. */
static void finish_waiting(struct net_stack *s, struct udp_waiting *w, int err)
{
    struct udp_sock *u = w->u;
    void *ticket = w->ticket;
    path_close(s, &w->path);
    list_remove(&w->all);
    list_remove(&w->link);
    heap_free(w);
    s->udp.waiting_count--;
    if (!u) return;
    u->waiting_count--;
    if (ticket) {
        s->hooks->udp_sent(s->arg, u, ticket, err);
    } else if (err && u->connected) {
        u->error = err;
        s->hooks->udp_readable(s->arg, u);
    }
}

void udp_undeliverable(struct net_stack *s, struct list *datagrams, int err)
{
    while (!list_is_empty(datagrams)) {
        struct udp_waiting *w = list_entry(datagrams->next, struct udp_waiting, link);
        s->n.drop_unreachable++;
        buf_unref(w->b);
        finish_waiting(s, w, err);
    }
}

static bool has_room(struct net_stack *s, struct path *p, uint32_t len)
{
    return stack_tx_room(s) >= 1 + len / path_l4_max(s, p);
}

void udp_flush(struct net_stack *s)
{
    while (!list_is_empty(&s->udp.ready)) {
        struct udp_waiting *w = list_entry(s->udp.ready.next, struct udp_waiting, link);
        if (!has_room(s, &w->path, w->len)) return;
        path_send(s, &w->path, w->b, w->len, sizeof(struct udp_hdr), 0, w->path.tos & 3);
        finish_waiting(s, w, 0);
    }
}

/* NULL: out of memory, or too many. With a path of its own, since the socket's may be another one by then. */
static struct udp_waiting *waiting_new(struct udp_sock *u, void *ticket)
{
    struct net_stack *s = u->stack;
    if (u->waiting_count >= WAITING_MAX || s->udp.waiting_count >= WAITING_MAX_ALL) return NULL;
    struct udp_waiting *w = heap_alloc(sizeof *w);
    if (!w) return NULL;
    *w = (struct udp_waiting){.u = u, .ticket = ticket, .path = u->path, .ends = u->ends};
    w->path.ends = &w->ends;
    path_await(s, &w->path, &w->link);
    list_push_back(&s->udp.waiting, &w->all);
    s->udp.waiting_count++;
    u->waiting_count++;
    return w;
}

int udp_send(struct udp_sock *u, struct buf *chain, const struct ip_port *to, bool broadcast, void *ticket)
{
    struct net_stack *s = u->stack;
    if (!to && !u->connected) return -EDESTADDRREQ;
    if (!to) to = &u->peer;
    if (to->port == 0) return -EINVAL;
    size_t n = buf_chain_len(chain);
    if (n > UDP_DATAGRAM_MAX) return -EMSGSIZE;
    if (!broadcast && route_is_broadcast(s, &to->addr)) return -EACCES;
    int err = path_to(u, &to->addr);
    if (err) return err;
    uint32_t len = (uint32_t)(n + sizeof(struct udp_hdr));
    if (unlikely(!list_is_empty(&s->udp.ready))) udp_flush(s); /* who waited goes first */
    if (!has_room(s, &u->path, len)) return -EBUSY;
    struct buf *b = with_header(chain);
    if (!b) return -ENOMEM;
    struct udp_hdr *h = (void *)b->data;
    *h = (struct udp_hdr){.src = be16_of(u->local.port), .dst = be16_of(to->port), .len = be16_of(len)};
    if (unlikely(!path_can_send(s, &u->path))) {
        struct udp_waiting *w = waiting_new(u, ticket);
        if (!w) {
            drop_header(b, chain);
            return -EBUSY;
        }
        w->b = b;
        w->len = len;
        s->n.udp_tx++;
        return 1;
    }
    s->n.udp_tx++;
    path_send(s, &u->path, b, len, sizeof *h, 0, u->tos & 3);
    return 0;
}

/* --- in ----------------------------------------------------------------------------------------------------------- */

/* How well a socket fits: 0 not at all. */
static unsigned fit(const struct udp_sock *u, uint16_t port, const struct ip_addr *local, const struct ip_addr *remote,
                    uint16_t remote_port)
{
    if (u->local.port != port || !can_talk_to(u, local)) return 0;
    unsigned score = 1 + (addr_is_v4(&u->local.addr) == addr_is_v4(local));
    if (!addr_is_any(&u->local.addr)) {
        if (!addr_equal(&u->local.addr, local)) return 0;
        score += 4;
    }
    if (u->connected) {
        if (u->peer.port != remote_port || !addr_equal(&u->peer.addr, remote)) return 0;
        score += 8;
    }
    return score;
}

static struct udp_sock *sock_find(struct net_stack *s, const struct ip_addr *local, uint16_t port,
                                  const struct ip_addr *remote, uint16_t remote_port)
{
    struct udp_sock *best = NULL;
    unsigned best_score = 0, equals = 0;
    uint64_t flow = 0;
    list_for_each(it, bucket(s, port))
    {
        struct udp_sock *u = list_entry(it, struct udp_sock, link);
        unsigned score = fit(u, port, local, remote, remote_port);
        if (score < best_score || score == 0) continue;
        if (score > best_score) {
            best = u;
            best_score = score;
            equals = 1;
            continue;
        }
        /* The n-th equal takes over with probability 1/n: all are equally likely, and a flow stays where it is. */
        if (equals++ == 1) flow = hash_pair(remote->q[0], remote->q[1] ^ remote_port, s->hash_seed);
        if (hash_u64(equals, flow) % equals == 0) best = u;
    }
    return best;
}

static struct udp_datagram *ring_push(struct udp_sock *u)
{
    uint32_t count = u->tail - u->head, max = u->stack->conf.limits.udp_queue;
    if (count >= max) {
        u->stack->n.drop_udp_queue++;
        return NULL;
    }
    if (!u->ring || count > u->mask) {
        uint32_t size = u->ring ? (u->mask + 1) * 2 : RING_FIRST;
        struct udp_datagram *ring = heap_alloc(size * sizeof *ring);
        if (!ring) {
            u->stack->n.drop_memory++;
            return NULL;
        }
        for (uint32_t i = 0; i < count; i++) ring[i] = u->ring[(u->head + i) & u->mask];
        heap_free(u->ring);
        u->ring = ring;
        u->mask = size - 1;
        u->head = 0;
        u->tail = count;
    }
    return &u->ring[u->tail & u->mask];
}

static void deliver(struct udp_sock *u, struct packet *p, uint16_t from_port)
{
    struct net_stack *s = u->stack;
    struct udp_datagram *slot = ring_push(u);
    if (!slot) {
        buf_unref(p->b);
        return;
    }
    if (unlikely(p->b->next != NULL)) {
        p->b = buf_together(s, p->b, p->len);
        if (!p->b) return;
    }
    buf_trim_front(p->b, sizeof(struct udp_hdr));
    *slot = (struct udp_datagram){.b = p->b, .from = {.addr = p->src, .port = from_port}};
    u->tail++;
    s->hooks->udp_readable(s->arg, u);
}

static void udp_drop(struct packet *p, uint64_t *counter)
{
    (*counter)++;
    buf_unref(p->b);
}

/* RFC 768, RFC 1122 4.1.3.4; RFC 8200 8.1: with IPv6 zero is no "none". */
static bool is_checksum_valid(const struct packet *p, const struct udp_hdr *h)
{
    bool v4 = addr_is_v4(&p->src);
    if (!p->src_mac) return true; /* from ourselves: none was written */
    if (h->csum == 0) return v4;
    if (p->csum_ok) return true;
    uint64_t sum = (uint64_t)IPPROTO_UDP << 8;
    sum += __builtin_bswap32(p->len);
    if (v4) sum += (uint64_t)p->src.w[3] + p->dst.w[3];
    else
        for (unsigned i = 0; i < 4; i++) sum += (uint64_t)p->src.w[i] + p->dst.w[i];
    return csum_fold(csum_add_chain(sum, p->b, 0, p->len)) == 0xffff;
}

void udp_input(struct net_stack *s, struct packet *p)
{
    const struct udp_hdr *h = (const void *)p->b->data;
    s->n.udp_rx++;
    if (unlikely(p->len < sizeof *h || p->b->len < sizeof *h)) return udp_drop(p, &s->n.drop_udp_header);
    uint32_t len = be16_to_host(h->len);
    if (unlikely(len < sizeof *h || len > p->len || h->src == 0)) return udp_drop(p, &s->n.drop_udp_header);
    if (unlikely(len < p->len)) { /* what IP has behind it is not ours (RFC 768 lets it be) */
        p->b = p->b->next ? buf_together(s, p->b, p->len) : p->b;
        if (!p->b) return;
        p->b->len = p->len = len;
        h = (const void *)p->b->data;
    }
    if (unlikely(!is_checksum_valid(p, h))) return udp_drop(p, &s->n.drop_udp_checksum);
    uint16_t port = be16_to_host(h->dst), from = be16_to_host(h->src);
    if (s->ip.dhcp && port == DHCP_CLIENT_PORT && addr_is_v4(&p->src)) {
        dhcp_input(s, p);
        return;
    }
    struct udp_sock *u = sock_find(s, &p->dst, port, &p->src, from);
    if (likely(u != NULL)) {
        deliver(u, p, from);
        return;
    }
    if (!s->conf.quiet_closed_ports) icmp_send_unreachable_port(s, p);
    udp_drop(p, &s->n.drop_udp_port);
}

struct buf *udp_pop(struct udp_sock *u, struct ip_port *from, int *err_out)
{
    *err_out = u->error;
    u->error = 0;
    if (*err_out || u->head == u->tail) return NULL;
    struct udp_datagram *d = &u->ring[u->head++ & u->mask];
    *from = d->from;
    return d->b;
}

/* RFC 1122 4.1.3.3: the program hears. Only a connected socket does, since only there it is known what the error is
 * about. */
void udp_icmp_error(struct net_stack *s, enum icmp_error what, uint16_t mtu, const struct ip_addr *local,
                    const struct ip_addr *remote, const uint8_t *quoted, size_t n)
{
    if (n < sizeof(struct udp_hdr)) return;
    const struct udp_hdr *h = (const void *)quoted;
    struct udp_sock *u = sock_find(s, local, be16_to_host(h->src), remote, be16_to_host(h->dst));
    if (!u) return;
    if (what == ICMP_ERR_TOO_BIG) {
        /* A socket that sends there: connected to it, or it was the last destination. */
        if (u->connected || (u->path_open && addr_equal(&u->ends.remote.addr, remote))) path_too_big(s, remote, mtu);
        return;
    }
    if (!u->connected || what == ICMP_ERR_TIME) return;
    bool host = what == ICMP_ERR_UNREACHABLE_HOST || what == ICMP_ERR_NO_NEIGHBOUR;
    u->error = host ? EHOSTUNREACH : ECONNREFUSED;
    s->hooks->udp_readable(s->arg, u);
}
