/* SPDX-License-Identifier: MIT
 *
 * The switch: net hosts and raw listeners joined by wires that carry Ethernet frames, badly if asked to.
 *
 *     stack --send()--> copy --loss, queue, bandwidth, delay--> event --> fifo of the device --recv()--> stack
 *
 * A frame is copied when it leaves, so that a stack that lends its buffers is found out if it changes them. What
 * happens to a frame is decided once, when it leaves. Corruption turns over bits within a run of at most 15 of an IP
 * packet: the sum changes by less than 65,535 and by more than 0, so the Internet checksum sees every one of them. ARP
 * has no checksum, and a real cable's FCS is not simulated, so ARP is spared.
 */
#include "libos/sim/world.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"
#include "libos/inet/inet.h"
#include "tcp/checksum.h"
#include "tcp/hdr.h"
#include "tcp/stack_impl.h"
#include "tcp/tcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DEV_QUEUE_MAX 4096
#define QUEUE_BYTES   (256u << 10)
#define RAW_MAX       8
#define RAW_DELAY_NS  1000
#define LONG_BYTES    1000 /* frames that lose_nth counts */
#define CHECK_EVERY   1    /* turns between two looks at all invariants, */
#define CONNS_A_BURST 16   /* and one more for so many connections */

struct wireframe {
    struct wireframe *next;
    struct sim *sim;
    unsigned from, to; /* hosts' indexes; from may be NOBODY */
    uint32_t n;
    uint8_t bytes[];
};
#define NOBODY UINT32_MAX

struct simdev {
    struct netdev dev;
    struct sim_host *host;
    struct wireframe *head, **tail; /* arrived */
    uint32_t count, bursts;
};

struct sim_direction { /* what a wire's past decides */
    uint64_t free_at;  /* the last bit of what was sent leaves */
    uint64_t last_at;  /* the last frame arrives */
    uint64_t burst_until;
    uint64_t long_frames; /* of which every n-th is lost */
};

struct sim_raw {
    struct sim *sim;
    bool sees_all;
    uint8_t mac[6];
    void (*fn)(void *arg, struct sim_raw *r, const uint8_t *frame, size_t n);
    void *arg;
};

struct net {
    struct sim_wire everywhere;
    struct sim_wire *wires[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
    struct sim_direction past[SIM_HOSTS_MAX][SIM_HOSTS_MAX];
    struct sim_raw *raws[RAW_MAX];
    unsigned raw_count;
    struct wireframe *spare;                       /* of FRAME_ROOM bytes, to be used again */
    uint8_t whole[65535 + sizeof(struct eth_hdr)]; /* a chain copied together */
};
#define FRAME_ROOM 2048

static struct net *net_of(struct sim *s)
{
    if (s->net) return s->net;
    s->net = calloc(1, sizeof *s->net);
    ASSERT(s->net);
    s->net->everywhere = (struct sim_wire){.delay_ns = 10000, .jitter_ns = 5000};
    return s->net;
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

static struct wireframe *frame_new(struct sim *s, unsigned from, unsigned to, uint32_t n)
{
    struct wireframe *f = n <= FRAME_ROOM ? s->net->spare : NULL;
    if (f) s->net->spare = f->next;
    else f = malloc(sizeof *f + (n <= FRAME_ROOM ? FRAME_ROOM : n));
    ASSERT(f);
    f->sim = s;
    f->from = from;
    f->to = to;
    f->n = n;
    return f;
}

static void frame_free(struct wireframe *f)
{
    if (f->n > FRAME_ROOM) {
        free(f);
        return;
    }
    f->next = f->sim->net->spare;
    f->sim->net->spare = f;
}

static void arrive(void *arg)
{
    struct wireframe *f = arg;
    struct sim *s = f->sim;
    struct sim_host *h = s->hosts[f->to];
    struct simdev *d = h->dev;
    bool cut = h->crashed || (f->from != NOBODY && s->cut[f->from][f->to]);
    sim_tell(s, cut || !d ? "frame-" : "frame", f->to, f->n);
    if (cut || !d || d->count == DEV_QUEUE_MAX) {
        s->stats.frames_lost++;
        if (d && !cut) d->dev.n.rx_dropped++;
        frame_free(f);
        return;
    }
    f->next = NULL;
    *d->tail = f;
    d->tail = &f->next;
    d->count++;
    sim_host_wake(h);
}

/* --- what happens to one ------------------------------------------------------------------------------------------ */

static const struct sim_wire *wire_of(const struct sim *s, unsigned from, unsigned to)
{
    const struct sim_wire *w = s->net->wires[from][to];
    return w ? w : &s->net->everywhere;
}

static bool is_ip(const uint8_t *p, uint32_t n)
{
    return n > sizeof(struct eth_hdr) + 20 && (load_be16(p + 12) == ETH_TYPE_IP4 || load_be16(p + 12) == ETH_TYPE_IP6);
}

static void corrupt(struct sim *s, struct wireframe *f)
{
    if (!is_ip(f->bytes, f->n)) return;
    uint32_t bits = 8 * (f->n - (uint32_t)sizeof(struct eth_hdr));
    uint32_t run = 1 + (uint32_t)rng_below(&s->rng, 15), at = (uint32_t)rng_below(&s->rng, bits - run);
    uint32_t pattern = (uint32_t)rng_below(&s->rng, 1u << run) | 1;
    for (uint32_t i = 0; i < run; i++)
        if (pattern >> i & 1) f->bytes[sizeof(struct eth_hdr) + (at + i) / 8] ^= (uint8_t)(1u << (at + i) % 8);
    s->stats.frames_corrupted++;
}

static bool is_lost(struct sim *s, const struct sim_wire *w, struct sim_direction *past, uint32_t n)
{
    if (w->lose_nth && n >= LONG_BYTES && ++past->long_frames % w->lose_nth == 0) return true;
    if (s->now >= past->burst_until && sim_chance(s, w->burst_ppm))
        past->burst_until = s->now + 1 + rng_below(&s->rng, w->burst_ns + 1);
    return s->now < past->burst_until || sim_chance(s, w->loss_ppm);
}

static uint64_t some_jitter(struct sim *s, const struct sim_wire *w)
{
    if (!w->jitter_ns) return 0;
    if (!w->exponential) return rng_below(&s->rng, w->jitter_ns + 1);
    /* -ln(u) by halves: each coin that falls tails adds ln 2, the rest is uniform. Close enough, and without libm. */
    uint64_t halves = 0;
    while (halves < 14 && rng_below(&s->rng, 2)) halves++;
    return (halves * 693 + rng_below(&s->rng, 693)) * w->jitter_ns / 1000;
}

/* Says that a packet was too long, as a router on the way would: RFC 1191 4, RFC 4443 3.2. */
static void tell_mtu(struct sim *s, unsigned from, const uint8_t *p, uint32_t n, uint16_t mtu)
{
    uint8_t out[14 + 40 + 8 + 1280] = {0};
    bool v4 = load_be16(p + 12) == ETH_TYPE_IP4;
    if (v4 && !(load_be16(p + 20) & IP4_DF)) return;
    uint32_t quoted = v4 ? 28 : 40 + 64, head = v4 ? 20 : 40, size;
    if (quoted > n - 14) quoted = n - 14;
    memcpy(out, p + 6, 6);
    memcpy(out + 6, p, 6);
    memcpy(out + 12, p + 12, 2);
    uint8_t *ip = out + 14, *icmp = ip + head;
    size = head + 8 + quoted;
    memcpy(icmp + 8, p + 14, quoted);
    icmp[0] = v4 ? 3 : 2;
    icmp[1] = v4 ? 4 : 0;
    store_be16(icmp + 6, mtu);
    uint64_t sum = 0;
    if (v4) {
        struct ip4_hdr h = {.version_ihl = 0x45, .total_len = be16_of(size), .ttl = 64, .proto = 1};
        memcpy(&h.src, p + 14 + 16, 4);
        memcpy(&h.dst, p + 14 + 12, 4);
        h.csum = csum_ip4(&h);
        memcpy(ip, &h, sizeof h);
    } else {
        struct ip6_hdr h = {
            .version_class_flow = be32_of(6u << 28), .payload_len = be16_of(size - 40), .next = 58, .hops = 64};
        memcpy(h.src, p + 14 + 24, 16);
        memcpy(h.dst, p + 14 + 8, 16);
        memcpy(ip, &h, sizeof h);
        sum =
            csum_add(csum_add(0, h.src, 32), (uint8_t[4]){0, 58, (uint8_t)((size - 40) >> 8), (uint8_t)(size - 40)}, 4);
    }
    uint16_t csum = (uint16_t)~csum_fold(csum_add(sum, icmp, size - head));
    memcpy(icmp + 2, &csum, 2);
    struct wireframe *f = frame_new(s, NOBODY, from, 14 + size);
    memcpy(f->bytes, out, 14 + size);
    sim_events_add(&s->events, s->now + RAW_DELAY_NS, arrive, f);
}

/* An IP packet that may be marked says CE from now on. */
static void mark(uint8_t *p, uint32_t n)
{
    if (!is_ip(p, n)) return;
    if (load_be16(p + 12) == ETH_TYPE_IP6) {
        if (p[15] & 0x30) p[15] |= 0x30;
        return;
    }
    if (!(p[15] & 3) || (p[15] & 3) == 3) return;
    p[15] |= 3;
    p[24] = p[25] = 0;
    uint16_t csum = csum_ip4(p + 14);
    memcpy(p + 24, &csum, 2);
}

static void carry(struct sim *s, unsigned from, unsigned to, const uint8_t *bytes, uint32_t n)
{
    const struct sim_wire *w = wire_of(s, from, to);
    struct sim_direction *past = &s->net->past[from][to];
    s->stats.frames++;
    s->stats.frame_bytes += n;
    if (w->mtu && n > w->mtu + sizeof(struct eth_hdr)) {
        s->stats.frames_lost++;
        if (w->tells_mtu && is_ip(bytes, n)) tell_mtu(s, from, bytes, n, w->mtu);
        return;
    }
    uint64_t queued = past->free_at > s->now ? past->free_at - s->now : 0;
    uint64_t queued_bytes = w->bits_per_s ? (uint64_t)((unsigned __int128)queued * w->bits_per_s / 8 / 1000000000u) : 0;
    if (is_lost(s, w, past, n) || queued_bytes + n > (w->queue_bytes ? w->queue_bytes : QUEUE_BYTES)) {
        s->stats.frames_lost++;
        return;
    }
    struct wireframe *f = frame_new(s, from, to, n);
    memcpy(f->bytes, bytes, n);
    if (w->ce_bytes && queued_bytes > w->ce_bytes) mark(f->bytes, n);
    if (sim_chance(s, w->corrupt_ppm)) corrupt(s, f);
    uint64_t at = s->now;
    if (w->bits_per_s) {
        past->free_at = s->now + queued + (uint64_t)((unsigned __int128)n * 8 * 1000000000u / w->bits_per_s);
        at = past->free_at;
    }
    at += w->delay_ns + some_jitter(s, w);
    if (!w->unordered && at < past->last_at) at = past->last_at;
    past->last_at = at > past->last_at ? at : past->last_at;
    if (sim_chance(s, w->reorder_ppm)) at += w->reorder_ns;
    if (sim_chance(s, w->twice_ppm)) {
        struct wireframe *twin = frame_new(s, from, to, n);
        memcpy(twin->bytes, f->bytes, n);
        sim_events_add(&s->events, at + rng_below(&s->rng, w->delay_ns + 1), arrive, twin);
    }
    sim_events_add(&s->events, at, arrive, f);
}

void sim_net_host_mac(const struct sim_host *h, uint8_t mac[6])
{
    mac[0] = 2;
    mac[1] = 0;
    memcpy(mac + 2, &h->addr, 4);
}

static bool is_for(const uint8_t *frame, const uint8_t mac[6]) { return frame[0] & 1 || !memcmp(frame, mac, 6); }

/* The switch. from NOBODY: a raw listener's. */
static void forward(struct sim *s, unsigned from, const struct sim_raw *except, const uint8_t *bytes, uint32_t n)
{
    for (unsigned i = 0; i < s->host_count; i++) {
        uint8_t mac[6];
        if (i == from || !s->hosts[i]->dev || s->hosts[i]->crashed) continue;
        sim_net_host_mac(s->hosts[i], mac);
        if (!is_for(bytes, mac)) continue;
        if (from != NOBODY) {
            carry(s, from, i, bytes, n);
            continue;
        }
        struct wireframe *f = frame_new(s, NOBODY, i, n);
        memcpy(f->bytes, bytes, n);
        s->stats.frames++;
        s->stats.frame_bytes += n;
        sim_events_add(&s->events, s->now + RAW_DELAY_NS, arrive, f);
    }
    for (unsigned i = 0; i < s->net->raw_count; i++) {
        struct sim_raw *r = s->net->raws[i];
        if (r != except && (r->sees_all || is_for(bytes, r->mac))) r->fn(r->arg, r, bytes, n);
    }
}

/* --- the device --------------------------------------------------------------------------------------------------- */

/* It looks at every connection: the more there are, the more rarely. */
static void check_now_and_then(struct simdev *d)
{
    const struct net_stack *stack = d->host->inet ? inet_stack(d->host->inet) : NULL;
    if (!stack || ++d->bursts < CHECK_EVERY + stack->tcp.conn_count / CONNS_A_BURST) return;
    d->bursts = 0;
    stack_check(stack);
    inet_check(d->host->inet);
}

static unsigned dev_recv(struct netdev *dev, struct frame *out, unsigned max)
{
    struct simdev *d = (struct simdev *)dev;
    unsigned n = 0;
    while (n < max && d->head) {
        struct wireframe *f = d->head;
        struct buf *b = buf_take(f->n);
        if (!b) break;
        d->head = f->next;
        if (!d->head) d->tail = &d->head;
        d->count--;
        memcpy(buf_put_back(b, f->n), f->bytes, f->n);
        dev->n.rx_frames++;
        dev->n.rx_bytes += f->n;
        out[n++] = (struct frame){.b = b, .len = f->n};
        frame_free(f);
    }
    if (n) check_now_and_then(d);
    return n;
}

static unsigned dev_send(struct netdev *dev, struct frame *f, unsigned n)
{
    struct simdev *d = (struct simdev *)dev;
    uint8_t *whole = d->host->sim->net->whole;
    netdev_assert_held(f, n);
    for (unsigned i = 0; i < n; i++) {
        ASSERT(f[i].len <= sizeof d->host->sim->net->whole && buf_chain_len(f[i].b) == f[i].len);
        buf_chain_copy(f[i].b, 0, whole, f[i].len);
        sim_note(d->host->sim, hash_bytes(whole, f[i].len, d->host->index));
        if (!d->host->crashed) forward(d->host->sim, d->host->index, NULL, whole, f[i].len);
        dev->n.tx_frames++;
        dev->n.tx_bytes += f[i].len;
        buf_unref(f[i].b);
    }
    return n;
}

static void drop_arrived(struct simdev *d)
{
    for (struct wireframe *f; (f = d->head);) {
        d->head = f->next;
        frame_free(f);
    }
    d->tail = &d->head;
    d->count = 0;
}

static void dev_close(struct netdev *dev)
{
    struct simdev *d = (struct simdev *)dev;
    drop_arrived(d);
    d->host->dev = NULL;
    d->host->inet = NULL;
    free(d);
}

/* The program's runtime does not sleep on descriptors: the simulation's idle() does. */
static int dev_arm(struct netdev *dev) { return 0; }

static const struct netdev_ops dev_ops = {
    .name = "sim",
    .recv = dev_recv,
    .send = dev_send,
    .arm = dev_arm,
    .close = dev_close,
};

static struct simdev *dev_new(struct sim_host *h, uint16_t mtu)
{
    struct simdev *d = calloc(1, sizeof *d);
    ASSERT(d);
    d->dev.ops = &dev_ops;
    d->dev.caps =
        (struct netdev_caps){.mtu = mtu ? mtu : 1500, .segs_max = NETDEV_SEGS_MAX, .queue_count = 1, .own_mac = true};
    sim_net_host_mac(h, d->dev.caps.mac);
    d->host = h;
    d->tail = &d->head;
    return h->dev = d;
}

/* --- hosts and wires ---------------------------------------------------------------------------------------------- */

/* runtime_add_libos() has no argument for what is started: this thread is about to start it. */
static __thread struct {
    struct netdev *dev;
    const struct stack_config *sc;
} starting;

static int net_libos_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    return inet_start_on(rt, starting.dev, starting.sc, out);
}

static const struct libos_ops net_libos = {.name = "sim-net", .start = net_libos_start, INET_LIBOS_OPS};

static void add_addresses(struct net_stack *stack, uint32_t v4, bool dhcp)
{
    struct ip_addr a = addr_v4(v4), b = {.b = {0xfd}};
    b.w[3] = v4;
    int err = dhcp ? 0 : stack_add_address(stack, &a, 8, true);
    if (!err) err = stack_add_address(stack, &b, 64, true);
    ASSERT(!err);
}

struct sim_host *sim_net_host_add(struct sim *s, const char *addr, const struct stack_config *given,
                                  int (*fn)(void *arg), void *arg)
{
    net_of(s);
    struct sim_host *h = sim_host_new(s, addr, fn, arg, false);
    struct stack_config sc = given ? *given : (struct stack_config){.arp = true, .ipv6 = true, .icmp_echo = true};
    for (unsigned i = 0; i < sizeof sc.seed; i++) sc.seed[i] = (uint8_t)rng_u64(&s->rng);
    starting.dev = &dev_new(h, sc.mtu)->dev;
    starting.sc = &sc;
    struct runtime *before = runtime_enter(h->rt);
    int err = runtime_add_libos(h->rt, &net_libos, NULL);
    ASSERT(!err);
    h->inet = h->rt->libos[h->rt->libos_count - 1];
    add_addresses(inet_stack(h->inet), h->addr, sc.dhcp);
    runtime_enter(before);
    return h;
}

struct net_stack *sim_net_host_stack(const struct sim_host *h) { return h->inet ? inet_stack(h->inet) : NULL; }

void sim_wire_set_oneway(struct sim *s, struct sim_host *from, struct sim_host *to, const struct sim_wire *w)
{
    struct net *net = net_of(s);
    struct sim_wire **at = &net->wires[from->index][to->index];
    if (!*at) *at = malloc(sizeof **at);
    ASSERT(*at);
    **at = *w;
}

void sim_wire_set(struct sim *s, struct sim_host *a, struct sim_host *b, const struct sim_wire *w)
{
    if (!a) {
        net_of(s)->everywhere = *w;
        return;
    }
    sim_wire_set_oneway(s, a, b, w);
    sim_wire_set_oneway(s, b, a, w);
}

struct sim_wire sim_wire_random(struct sim *s)
{
    static const uint64_t delays[] = {1000, 50000, 1000000, 20000000, 150000000};
    static const uint64_t rates[] = {0, 1000000, 10000000, 100000000, 10000000000};
    struct rng *r = &s->rng;
    struct sim_wire w = {.delay_ns = delays[rng_below(r, 5)],
                         .bits_per_s = rates[rng_below(r, 5)],
                         .exponential = rng_below(r, 2),
                         .unordered = rng_below(r, 4) == 0};
    w.jitter_ns = w.delay_ns * rng_below(r, 100) / 100;
    if (rng_below(r, 2)) w.loss_ppm = (uint32_t)rng_below(r, 100000);
    if (rng_below(r, 4) == 0) w.burst_ppm = (uint32_t)rng_below(r, 5000), w.burst_ns = rng_below(r, 2000000000);
    if (rng_below(r, 3) == 0)
        w.reorder_ppm = (uint32_t)rng_below(r, 200000), w.reorder_ns = w.delay_ns / 2 + rng_below(r, 2000000);
    if (rng_below(r, 3) == 0) w.twice_ppm = (uint32_t)rng_below(r, 100000);
    if (rng_below(r, 3) == 0) w.corrupt_ppm = (uint32_t)rng_below(r, 50000);
    if (rng_below(r, 3) == 0) w.queue_bytes = 3000 + (uint32_t)rng_below(r, 60000);
    if (w.queue_bytes && rng_below(r, 2)) w.ce_bytes = w.queue_bytes / 2;
    if (rng_below(r, 6) == 0) w.mtu = 1280 + (uint16_t)rng_below(r, 200), w.tells_mtu = rng_below(r, 2);
    return w;
}

struct sim_raw *sim_raw_add(struct sim *s, const uint8_t mac[6],
                            void (*fn)(void *arg, struct sim_raw *r, const uint8_t *frame, size_t n), void *arg)
{
    struct net *net = net_of(s);
    ASSERT(net->raw_count < RAW_MAX);
    struct sim_raw *r = calloc(1, sizeof *r);
    ASSERT(r);
    *r = (struct sim_raw){.sim = s, .sees_all = !mac, .fn = fn, .arg = arg};
    if (mac) memcpy(r->mac, mac, 6);
    return net->raws[net->raw_count++] = r;
}

void sim_raw_send(struct sim_raw *r, const uint8_t *frame, size_t n)
{
    if (n < sizeof(struct eth_hdr) || n > 65535) return;
    sim_note(r->sim, hash_bytes(frame, n, NOBODY));
    forward(r->sim, NOBODY, r, frame, (uint32_t)n);
}

static void tell_conn(void *arg, struct conn *c)
{
    char line[512];
    fprintf(stderr, "  host %u: %s\n", ((struct sim_host *)arg)->index, conn_print(c, line, sizeof line));
}

void sim_net_tell(const struct sim *s)
{
    for (unsigned i = 0; i < s->host_count; i++)
        if (s->hosts[i]->inet) stack_visit_conns(inet_stack(s->hosts[i]->inet), tell_conn, s->hosts[i]);
}

void sim_net_free(struct sim *s)
{
    struct net *net = s->net;
    if (!net) return;
    struct sim_event e;
    while (sim_events_take(&s->events, &e)) /* frames still on their way */
        if (e.fn == arrive) frame_free(e.arg);
    for (unsigned a = 0; a < SIM_HOSTS_MAX; a++)
        for (unsigned b = 0; b < SIM_HOSTS_MAX; b++) free(net->wires[a][b]);
    for (unsigned i = 0; i < net->raw_count; i++) free(net->raws[i]);
    for (struct wireframe *f; (f = net->spare);) {
        net->spare = f->next;
        free(f);
    }
    free(net);
    s->net = NULL;
}
