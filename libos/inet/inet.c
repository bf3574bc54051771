/* SPDX-License-Identifier: MIT
 *
 * The joint: bursts of the device into the stack, its events into completed tokens, its frames back to the device.
 *
 *     turn:   poll:  timers that are due, bursts in ── hooks ──> tokens complete
 *             program works, pushes
 *             flush: stack_flush, bursts out; what the device does not take waits in the stack's own ring for the next
 *             turn
 *
 * What a poll makes the stack want to say (acknowledgements, mostly) is asked for with runtime_want_flush(): it may
 * wait for the program's reply to come along, in the same segment.
 */
#include "libos/inet/inet.h"

#include "alloc/heap.h"
#include "libos/fault/fault.h"
#include "libos/inet/pcap.h"
#include "libos/inet/share.h"
#include "libos/inet/sock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define BURSTS_MAX 4     /* a poll: then the program works with what has come */
#define ROUNDS_MAX 16    /* a flush: the stack's ring full again and again is no reason never to come back */
#define STUCK_NS   20000 /* a device without room is asked again so soon */

/* The kernel's own ports end at 60,999 (net.ipv4.ip_local_port_range): on an interface we share with it, ours are
 * above. */
#define SHARED_PORTS_LOW  61000
#define SHARED_PORTS_HIGH 65535

/* --- events ------------------------------------------------------------------------------------------------------- */

static void on_acceptable(void *arg, struct listener *l) { inet_sock_acceptable(listener_user(l)); }

static void on_connected(void *arg, struct conn *c, int err)
{
    struct inet_sock *s = conn_user(c);
    if (s) inet_sock_connected(s, err);
}

static void on_readable(void *arg, struct conn *c)
{
    struct inet_sock *s = conn_user(c);
    if (likely(s && s->st.pops.head)) inet_stream_readable(s);
}

static void on_acked(void *arg, struct conn *c)
{
    struct inet_sock *s = conn_user(c);
    if (s && s->st.pushes.head && s->state == SOCK_CONNECTED) inet_stream_acked(s);
    if (s) inet_sock_debug(s);
}

static void on_closed(void *arg, struct conn *c, int err)
{
    struct inet_sock *s = conn_user(c);
    if (s && s->state == SOCK_CONNECTED) inet_stream_closed(s, err);
}

static void on_address(void *arg, const struct ip_addr *a, unsigned bits, bool gone)
{
    life_address(arg, a, bits, gone);
}

static void on_udp_readable(void *arg, struct udp_sock *u)
{
    struct inet_sock *s = udp_user(u);
    if (s && s->udp) inet_dgram_readable(s);
}

static void on_udp_sent(void *arg, struct udp_sock *u, void *ticket, int err)
{
    inet_dgram_sent(udp_user(u), ticket, err);
}

static const struct stack_hooks hooks = {
    .acceptable = on_acceptable,
    .connected = on_connected,
    .readable = on_readable,
    .data = inet_stream_data,
    .acked = on_acked,
    .closed = on_closed,
    .udp_readable = on_udp_readable,
    .udp_sent = on_udp_sent,
    .address = on_address,
};

/* --- in ----------------------------------------------------------------------------------------------------------- */

static inline bool has_frames(struct inet *in)
{
    unsigned n;
    return stack_frames(in->stack, &n) != NULL;
}

static unsigned receive(struct inet *in)
{
    struct frame f[NETDEV_BURST];
    unsigned total = 0;
    for (unsigned i = 0; i < BURSTS_MAX; i++) {
        unsigned n = in->dev->ops->recv(in->dev, f, NETDEV_BURST);
        if (!n) break;
        ASSERT(n <= NETDEV_BURST);
        netdev_assert_received(f, n);
        nsec now = runtime_now(in->base.rt);
        total += n;
        if (unlikely(in->pcap)) pcap_frames(in->pcap, f, n, now);
        unsigned ours = unlikely(in->share) ? share_sort(in->share, f, n) : n;
        stack_input(in->stack, f, ours, now);
        if (n < NETDEV_BURST) break;
    }
    return total;
}

void inet_settle(struct inet *in)
{
    in->next_at = stack_deadline(in->stack);
    if (stack_wants_flush(in->stack) || has_frames(in)) runtime_want_flush(in->base.rt);
}

unsigned inet_poll(struct libos *l)
{
    struct inet *in = (struct inet *)l;
    unsigned n = receive(in);
    bool due = l->rt->now >= in->next_at;
    if (due) stack_advance(in->stack, l->rt->now);
    if (likely(!n && !due)) return 0;
    if (n && in->life.runs) life_check_sums(&in->life);
    inet_settle(in);
    return n + due;
}

/* Frames that came to another runtime's queue. */
static void take_handed(void *arg, struct frame *f, unsigned n)
{
    struct inet *in = arg;
    stack_input(in->stack, f, n, in->base.rt->now);
    inet_settle(in);
}

int inet_share(struct inet *in, const char *key)
{
    const struct netdev_caps *caps = &in->dev->caps;
    uint16_t low = in->own_ports ? SHARED_PORTS_LOW : PORTS_LOW_DEFAULT,
             high = in->own_ports ? SHARED_PORTS_HIGH : PORTS_HIGH_DEFAULT;
    if (caps->queue_count < 2) return 0;
    int err = share_join(in->base.rt, key, caps, low, high, take_handed, in, &in->share);
    if (err) return err;
    share_ports(in->share, &low, &high);
    in->own_ports = true;
    return ports_init(&in->ports, low, high, in->port_key);
}

/* --- out ---------------------------------------------------------------------------------------------------------- */

/* Before they are sent, for a frame that is taken is gone; one that is offered again was captured before. */
static void capture_out(struct inet *in, struct frame *f, unsigned n)
{
    if (in->captured < n) pcap_frames(in->pcap, f + in->captured, n - in->captured, in->base.rt->now);
    if (in->captured < n) in->captured = n;
}

/* False: the device is full. */
static bool send_frames(struct inet *in)
{
    unsigned n;
    for (struct frame *f; (f = stack_frames(in->stack, &n)) && n;) {
        if (n > NETDEV_BURST) n = NETDEV_BURST;
        if (unlikely(in->pcap)) capture_out(in, f, n);
        netdev_assert_to_send(&in->dev->caps, f, n);
        unsigned sent = in->dev->ops->send(in->dev, f, n);
        ASSERT(sent <= n);
        if (unlikely(in->pcap)) in->captured -= sent;
        stack_sent(in->stack, sent);
        if (sent < n) return false;
    }
    return true;
}

void inet_flush(struct libos *l)
{
    struct inet *in = (struct inet *)l;
    in->stuck = false;
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        if (stack_wants_flush(in->stack)) stack_flush(in->stack, runtime_now(l->rt));
        if (!send_frames(in)) {
            in->stuck = true;
            in->tx_stuck++;
            break;
        }
        if (likely(!stack_wants_flush(in->stack))) break;
    }
    if (in->stuck || stack_wants_flush(in->stack)) runtime_need_flush(l->rt);
    in->next_at = stack_deadline(in->stack);
}

uint64_t inet_next_deadline(struct libos *l)
{
    struct inet *in = (struct inet *)l;
    if (in->stuck) return in->next_at < l->rt->now + STUCK_NS ? in->next_at : l->rt->now + STUCK_NS;
    return in->next_at;
}

int inet_arm(struct libos *l)
{
    struct inet *in = (struct inet *)l;
    /* Of a device that has gone nothing comes but news. */
    if (!in->watched) return in->dev->link == NETDEV_GONE && in->life.watched ? 0 : -EOPNOTSUPP;
    return in->dev->ops->arm ? in->dev->ops->arm(in->dev) : 0;
}

static void on_frames(struct fd_watch *w, uint32_t events)
{
    /* It has ended the sleep; the turn's poll takes what there is. */
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

struct net_stack *inet_stack(struct libos *l) { return ((struct inet *)l)->stack; }

struct adding {
    struct counters *to;
    int err;
};

static void add_counter(void *arg, const char *name, const uint64_t *value)
{
    struct adding *a = arg;
    if (!a->err) a->err = counters_add(a->to, name, value);
}

static void remove_counter(void *arg, const char *name, const uint64_t *value)
{
    counters_remove(arg, value, sizeof *value);
}

static int add_counters(struct inet *in)
{
    const struct netdev_counters *d = &in->dev->n;
    const struct {
        const char *name;
        const uint64_t *value;
    } all[] = {
        {"inet.accepted", &in->accepted},
        {"inet.connected", &in->connected},
        {"inet.accept_backoff", &in->accept_backoff},
        {"inet.resets", &in->resets},
        {"inet.push_busy", &in->push_busy},
        {"inet.rx_bytes", &in->rx_bytes},
        {"inet.tx_bytes", &in->tx_bytes},
        {"inet.tx_stuck", &in->tx_stuck},
        {"dev.rx_frames", &d->rx_frames},
        {"dev.rx_bytes", &d->rx_bytes},
        {"dev.tx_frames", &d->tx_frames},
        {"dev.tx_bytes", &d->tx_bytes},
        {"dev.rx_dropped", &d->rx_dropped},
        {"dev.rx_no_buffer", &d->rx_no_buffer},
        {"dev.tx_full", &d->tx_full},
        {"dev.tx_dropped", &d->tx_dropped},
        {"dev.kicks", &d->kicks},
    };
    struct adding a = {&in->base.rt->counters, 0};
    const struct fault_counters *fault = fault_counted(in->dev);
    if (fault) {
        add_counter(&a, "fault.lost", &fault->lost);
        add_counter(&a, "fault.duplicated", &fault->duplicated);
        add_counter(&a, "fault.reordered", &fault->reordered);
        add_counter(&a, "fault.corrupted", &fault->corrupted);
    }
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) add_counter(&a, all[i].name, all[i].value);
    stack_counters(in->stack, add_counter, &a);
    return a.err;
}

static void remove_counters(struct inet *in)
{
    struct counters *c = &in->base.rt->counters;
    counters_remove(c, in, sizeof *in);
    counters_remove(c, &in->dev->n, sizeof in->dev->n);
    if (fault_counted(in->dev)) counters_remove(c, fault_counted(in->dev), sizeof(struct fault_counters));
    stack_counters(in->stack, remove_counter, c);
}

void inet_watch_device(struct inet *in)
{
    in->watch = (struct fd_watch){.fn = on_frames, .fd = in->dev->ops->fd ? in->dev->ops->fd(in->dev) : -1};
    if (in->watch.fd >= 0 && !in->base.rt->time.idle)
        in->watched = !runtime_watch(in->base.rt, &in->watch, EPOLLIN | EPOLLET);
    in->base.must_poll = !in->watched && !in->base.rt->time.idle;
}

void inet_unwatch_device(struct inet *in)
{
    if (in->watched) runtime_unwatch(in->base.rt, &in->watch);
    in->watched = false;
}

static int new_stack(struct inet *in, const struct stack_config *given)
{
    struct stack_config sc = *given;
    const struct netdev_caps *caps = &in->dev->caps;
    memcpy(sc.mac, caps->mac, sizeof sc.mac);
    if (!sc.mtu || sc.mtu > caps->mtu) sc.mtu = caps->mtu;
    sc.offloads = caps->offloads & given->offloads;
    sc.tso_max = caps->tso_max;
    sc.segs_max = caps->segs_max;
    return stack_new(&sc, &hooks, in, in->base.rt->now, &in->stack);
}

int inet_start_on(struct runtime *rt, struct netdev *dev, const struct stack_config *sc, struct libos **out)
{
    const struct netdev_caps *caps = &dev->caps;
    ASSERT(dev->ops->name && dev->ops->recv && dev->ops->send && dev->ops->close);
    ASSERT(caps->mtu >= 68);
    ASSERT(caps->segs_max >= 1 && caps->segs_max <= NETDEV_SEGS_MAX);
    ASSERT(caps->queue < caps->queue_count || !caps->queue);
    ASSERT(!(caps->offloads & OFFLOAD_TX_TSO) || caps->tso_max);
    struct inet *in = calloc(1, sizeof *in);
    if (!in) return -ENOMEM;
    in->base.rt = rt;
    in->dev = dev;
    in->life.inet = in;
    in->linger_s = -1;
    in->own_ports = dev->ops->claim && !dev->caps.own_mac;
    list_init(&in->hungry);
    for (unsigned i = 0; i < INET_BOUND_BUCKETS; i++) list_init(&in->bound[i]);
    memcpy(in->port_key, sc->seed, sizeof in->port_key);
    int err = ports_init(&in->ports, in->own_ports ? SHARED_PORTS_LOW : 0, in->own_ports ? SHARED_PORTS_HIGH : 0,
                         in->port_key);
    if (!err) err = new_stack(in, sc);
    if (err) goto free_inet;
    err = add_counters(in);
    if (err) goto free_stack;
    inet_watch_device(in);
    in->next_at = stack_deadline(in->stack);
    *out = &in->base;
    return 0;

free_stack:
    remove_counters(in);
    stack_free(in->stack);
free_inet:
    free(in);
    return err;
}

uint64_t inet_undrained(struct libos *l) { return stack_unconfirmed(((struct inet *)l)->stack); }

/* The peer must not take what ends here for a whole stream. */
static void abort_unconfirmed(void *arg, struct conn *c)
{
    if (!conn_fin_acked(c)) conn_abort(c);
}

/* What is not confirmed when the runtime has waited for it (runtime_drain) is lost, and the peer hears of a reset. */
void inet_stop(struct libos *l)
{
    struct inet *in = (struct inet *)l;
    stack_visit_conns(in->stack, abort_unconfirmed, NULL);
    inet_flush(l);
    life_stop(in);
    share_leave(in->share);
    remove_counters(in);
    wheel_stop(&l->rt->wheel, &in->retry);
    inet_unwatch_device(in);
    pcap_close(in->pcap);
    stack_free(in->stack);
    in->dev->ops->close(in->dev);
    free(in);
}

void inet_forget(struct libos *l)
{
    struct inet *in = (struct inet *)l;
    if (in->watch.fd >= 0) close(in->watch.fd);
}

int inet_socket(struct libos *l, int domain, int type, int protocol, struct queue **out)
{
    if (domain != AF_INET && domain != AF_INET6) return -EAFNOSUPPORT;
    if (type != SOCK_STREAM && type != SOCK_DGRAM) return -ESOCKTNOSUPPORT;
    struct inet_sock *s;
    int err = inet_sock_new((struct inet *)l, domain == AF_INET6, type == SOCK_DGRAM, &s);
    if (err) return err;
    *out = &s->q;
    return 0;
}

static int set_pcap(struct inet *in, const char *path)
{
    struct pcap *next = NULL;
    pcap_flush(in->pcap); /* it may be the same file, which begins anew */
    int err = strcmp(path, "off") && *path ? pcap_open(&in->base.rt->counters, path, &next) : 0;
    if (err) return err; /* and what there is goes on */
    pcap_close(in->pcap);
    in->pcap = next;
    in->captured = 0;
    return 0;
}

int inet_set_option(struct libos *l, const char *name, const char *value)
{
    return strcmp(name, "pcap") ? -ENOPROTOOPT : set_pcap((struct inet *)l, value);
}
