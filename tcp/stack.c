/* SPDX-License-Identifier: MIT
 *
 * A stack's life, its turn, and the ring of frames for the device.
 *
 * The frames of a burst are taken one by one through all layers, while the first lines of the next ones are on their
 * way into the cache: a frame's headers, its buf and the connection it belongs to are three misses that would otherwise
 * stand one behind the other.
 *
 * Each default of struct stack_limits stands here with its reason. What is the product of two of them is what one peer,
 * or all of them together, can make us hold.
 */
#include "tcp/stack.h"

#include <errno.h>

#include "alloc/base/hash.h"
#include "alloc/heap.h"
#include "tcp/eth.h"
#include "tcp/hdr.h"
#include "tcp/loop.h"
#include "tcp/neighbour.h"
#include "tcp/route.h"
#include "tcp/stack_impl.h"
#include "tcp/tcp.h"

#define MTU_MIN 68 /* RFC 791 3.1 */

static const struct stack_limits limit_defaults = {
    .conns = 1u << 20,        /* 1 KiB each when idle: 1 GiB; the program's own limit comes first */
    .half_open = 4096,        /* 160 B each; beyond it cookies */
    .time_wait = 16384,       /* 96 B each */
    .rcv_buffer = 256u << 10, /* a window for 2 Gbit/s at 1 ms */
    .snd_buffer = 4u << 20,   /* a pipeline's replies */
    .unsent_max = UINT32_MAX, /* for programs that choose late what to say; others have snd_buffer */
    .neighbours = 512,        /* an Ethernet segment of usual size */
    .neighbour_queue = 256,   /* a few of each connection that was talking to it */
    .neighbour_queues = 1024,
    .fragment_bytes = 1u << 20, /* 16 datagrams of 64 KiB */
    .fragments = 64,            /* 64 KiB in pieces of 1,232 are 54 */
    .udp_queue = 1024,          /* as Demikernel; buffers of 2 KiB: 2 MiB a socket */
    .tx_frames = 16 * NETDEV_BURST,
    .icmp_per_s = 1000, /* errors and echoes together */
    .resets_per_s = 1000,
    .challenge_per_s = 1000, /* Linux's since CVE-2016-5696 */
    .paths = 256,
};

static uint32_t power_of_two(uint32_t n) { return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1)); }

#define DEFAULT(field, value)                                                                                          \
    do {                                                                                                               \
        if (!(field)) (field) = (value);                                                                               \
    } while (0)

static void fill_limits(struct stack_limits *l)
{
    const struct stack_limits *d = &limit_defaults;
    DEFAULT(l->conns, d->conns);
    DEFAULT(l->half_open, d->half_open);
    DEFAULT(l->time_wait, d->time_wait);
    DEFAULT(l->rcv_buffer, d->rcv_buffer);
    DEFAULT(l->snd_buffer, d->snd_buffer);
    DEFAULT(l->unsent_max, d->unsent_max);
    DEFAULT(l->neighbours, d->neighbours);
    DEFAULT(l->neighbour_queue, d->neighbour_queue);
    DEFAULT(l->neighbour_queues, d->neighbour_queues);
    DEFAULT(l->fragment_bytes, d->fragment_bytes);
    DEFAULT(l->fragments, d->fragments);
    DEFAULT(l->udp_queue, d->udp_queue);
    DEFAULT(l->tx_frames, d->tx_frames);
    DEFAULT(l->icmp_per_s, d->icmp_per_s);
    DEFAULT(l->resets_per_s, d->resets_per_s);
    DEFAULT(l->challenge_per_s, d->challenge_per_s);
    DEFAULT(l->paths, d->paths);
    l->tx_frames = power_of_two(l->tx_frames);
}

static void fill_defaults(struct stack_config *c)
{
    DEFAULT(c->segs_max, 1);
    DEFAULT(c->pmtu_min, 552); /* Deviation: RFC 1191 3 takes 68; Linux's min_pmtu against RFC 5927 7 */
    DEFAULT(c->cc, "cubic");
    DEFAULT(c->rto_min, 200 * NSEC_PER_MSEC); /* Deviation: 1 s in RFC 6298 2.4 */
    DEFAULT(c->rto_initial, 1 * NSEC_PER_SEC);
    DEFAULT(c->rto_max, 60 * NSEC_PER_SEC);
    DEFAULT(c->delayed_ack, 40 * NSEC_PER_MSEC);
    DEFAULT(c->time_wait, 60 * NSEC_PER_SEC); /* Deviation: an MSL of 30 s, RFC 9293 3.4.2 assumes 2 minutes */
    DEFAULT(c->arp_lifetime, 60 * NSEC_PER_SEC);
    DEFAULT(c->arp_retry, 1 * NSEC_PER_SEC);
    DEFAULT(c->arp_tries, 3);
    fill_limits(&c->limits);
}

static bool is_config_valid(const struct stack_config *c)
{
    static const uint8_t no_mac[ETH_ALEN];
    const struct stack_limits *l = &c->limits;
    if (c->mtu < MTU_MIN || (c->ipv6 && c->mtu < 1280)) return false; /* RFC 8200 5 */
    if (c->segs_max > NETDEV_SEGS_MAX) return false;
    if ((c->offloads & OFFLOAD_TX_TSO) && (!(c->offloads & OFFLOAD_TX_L4_CSUM) || !c->tso_max)) return false;
    if (c->mac[0] & 1 || memcmp(c->mac, no_mac, ETH_ALEN) == 0) return false;
    if (c->pmtu_min && c->pmtu_min < MTU_MIN) return false;
    if (c->arp_tries > 100) return false;
    return l->tx_frames <= 1u << 20 && l->neighbours <= 1u << 16 && l->neighbour_queue <= 1024 &&
           l->fragments <= 8192 && l->paths <= 1u << 16 && l->udp_queue <= 1u << 20;
}

/* 16 bytes that depend on all of the seed, and differ by their label. */
static void derive_key(uint8_t out[16], const uint8_t seed[32], uint64_t label)
{
    for (uint64_t half = 0; half < 2; half++) {
        uint64_t in[2] = {label, half};
        store_u64(out + half * 8, siphash24(in, sizeof in, seed) ^ siphash24(in, sizeof in, seed + 16));
    }
}

static void seed_stack(struct net_stack *s)
{
    uint8_t other[16];
    const uint8_t *seed = s->conf.seed;
    derive_key(s->key_isn, seed, 1);
    derive_key(s->key_cookie, seed, 2);
    derive_key(s->key_port, seed, 3);
    derive_key(s->key_misc, seed, 4);
    derive_key(other, seed, 5);
    s->hash_seed = load_u64(other);
    rng_seed(&s->rng, load_u64(other + 8));
}

int stack_new(const struct stack_config *conf, const struct stack_hooks *hooks, void *arg, nsec now,
              struct net_stack **out)
{
    if (!is_config_valid(conf)) return -EINVAL;
    struct net_stack *s = heap_calloc(1, sizeof *s);
    if (!s) return -ENOMEM;
    s->conf = *conf;
    fill_defaults(&s->conf);
    s->now = now;
    s->hooks = hooks;
    s->arg = arg;
    wheel_init(&s->wheel, now);
    seed_stack(s);
    int err = -ENOMEM;
    s->tx.mask = s->conf.limits.tx_frames - 1;
    s->tx.slots = heap_alloc((size_t)s->conf.limits.tx_frames * sizeof *s->tx.slots);
    if (!s->tx.slots) goto free_stack;
    err = udp_layer_init(s);
    if (err) goto free_tx;
    err = tcp_layer_init(s);
    if (err) goto fini_udp;
    err = ip_layer_init(s);
    if (err) goto fini_tcp;
    *out = s;
    return 0;

fini_tcp:
    tcp_layer_fini(s);
fini_udp:
    udp_layer_fini(s);
free_tx:
    heap_free(s->tx.slots);
free_stack:
    heap_free(s);
    return err;
}

void stack_free(struct net_stack *s)
{
    tcp_layer_fini(s);
    udp_layer_fini(s);
    ip_layer_fini(s);
    for (; s->tx.head != s->tx.tail; s->tx.head++) buf_unref(s->tx.slots[s->tx.head & s->tx.mask].b);
    heap_free(s->tx.slots);
    heap_free(s);
}

static uint16_t relinked_mtu(uint16_t said, uint16_t before, uint16_t now)
{
    return said == before || said > now ? now : said; /* what DHCP or a router said stays, as far as it fits */
}

int stack_relink(struct net_stack *s, const uint8_t mac[ETH_ALEN], uint16_t mtu)
{
    struct stack_config c = s->conf;
    memcpy(c.mac, mac, ETH_ALEN);
    c.mtu = mtu;
    if (!is_config_valid(&c)) return -EINVAL;
    s->ip.mtu4 = relinked_mtu(s->ip.mtu4, s->conf.mtu, mtu);
    s->ip.mtu6 = relinked_mtu(s->ip.mtu6, s->conf.mtu, mtu);
    s->conf.mtu = mtu;
    memcpy(s->conf.mac, mac, ETH_ALEN);
    memcpy(&s->ip.mac_word, mac, ETH_ALEN);
    neighbour_relink(s); /* moves the generation: paths take up the MTU, too */
    route_announce(s);
    return 0;
}

/* --- a turn ------------------------------------------------------------------------------------------------------- */

void stack_input(struct net_stack *s, const struct frame *f, unsigned n, nsec now)
{
    uint64_t taken = 0, bytes = 0;
    s->now = now;
    if (n > 1) __builtin_prefetch(f[1].b);
    for (unsigned i = 0; i < n; i++) {
        if (i + 1 < n) __builtin_prefetch(f[i + 1].b->data);
        if (i + 2 < n) __builtin_prefetch(f[i + 2].b);
        if (likely(tcp_input_frame(s, &f[i]))) {
            taken++;
            bytes += f[i].len;
        } else {
            eth_input(s, &f[i]);
        }
    }
    s->n.rx_frames += taken;
    s->n.rx_bytes += bytes;
    s->n.tcp_rx += taken;
    /* padding of short frames included */
    s->n.tcp_rx_bytes += bytes - taken * (sizeof(struct eth_hdr) + sizeof(struct ip4_hdr));
    loop_run(s);
}

void stack_advance(struct net_stack *s, nsec now)
{
    s->now = now;
    wheel_advance(&s->wheel, now);
    loop_run(s);
}

void stack_set_now(struct net_stack *s, nsec now) { s->now = now; }

nsec stack_deadline(const struct net_stack *s) { return loop_is_empty(s) ? wheel_next(&s->wheel) : s->now; }

void stack_flush(struct net_stack *s, nsec now)
{
    s->now = now;
    tcp_flush(s);
    if (unlikely(!list_is_empty(&s->udp.ready))) udp_flush(s);
}

bool stack_wants_flush(const struct net_stack *s) { return tcp_wants_flush(s) || !list_is_empty(&s->udp.ready); }

static void add_unconfirmed(void *arg, struct conn *c)
{
    if (!conn_fin_acked(c)) *(uint64_t *)arg += 1 + (conn_queued(c) - conn_acked(c));
}

uint64_t stack_unconfirmed(struct net_stack *s)
{
    uint64_t left = s->tx.tail - s->tx.head + s->udp.waiting_count;
    tcp_visit_conns(s, add_unconfirmed, &left);
    return left;
}

/* --- frames for the device ---------------------------------------------------------------------------------------- */

struct buf *buf_together(struct net_stack *s, struct buf *head, uint32_t len)
{
    struct buf *b = buf_take(len);
    if (unlikely(!b)) {
        s->n.drop_memory++;
    } else {
        uint8_t *to = buf_put_back(b, len);
        size_t copied = buf_chain_copy(head, 0, to, len);
        ASSERT(copied == len);
    }
    buf_unref(head);
    return b;
}

static bool is_chain_longer(const struct buf *b, unsigned segs_max)
{
    unsigned count = 0;
    for (; b; b = b->next)
        if (++count > segs_max) return true;
    return false;
}

void tx_push(struct net_stack *s, const struct frame *f)
{
    struct frame_ring *r = &s->tx;
    DASSERT(f->b && f->b->refs > 0);
    DASSERT(f->len == buf_chain_len(f->b));
    DASSERT(f->flags & FRAME_TX_TSO || f->len <= (uint32_t)s->conf.mtu + ETH_HDR);
    if (unlikely(r->tail - r->head > r->mask)) {
        s->n.drop_tx_full++;
        buf_unref(f->b);
        return;
    }
    struct frame *slot = &r->slots[r->tail & r->mask];
    *slot = *f;
    if (unlikely(f->b->next && is_chain_longer(f->b, s->conf.segs_max))) {
        slot->b = buf_together(s, f->b, f->len);
        if (!slot->b) return;
        s->n.tx_copied++;
    }
    r->tail++;
    s->n.tx_frames++;
    s->n.tx_bytes += f->len;
}

struct frame *stack_frames(struct net_stack *s, unsigned *n)
{
    struct frame_ring *r = &s->tx;
    uint32_t count = r->tail - r->head, at = r->head & r->mask;
    uint32_t in_a_row = r->mask + 1 - at;
    *n = count < in_a_row ? count : in_a_row;
    return *n ? &r->slots[at] : NULL;
}

void stack_sent(struct net_stack *s, unsigned n)
{
    ASSERT(n <= s->tx.tail - s->tx.head);
    s->tx.head += n;
}

uint32_t stack_tx_room(const struct net_stack *s)
{
    /* A sixteenth is kept for who cannot wait: ARP, ND, ICMP. */
    uint32_t size = s->tx.mask + 1, used = s->tx.tail - s->tx.head, ours = size - size / 16;
    return used >= ours ? 0 : ours - used;
}

/* --- seeing inside ------------------------------------------------------------------------------------------------ */

void stack_counters(const struct net_stack *s, void (*fn)(void *arg, const char *name, const uint64_t *value),
                    void *arg)
{
#define COUNTER_VISIT(field, name) fn(arg, name, &s->n.field);
    NET_COUNTERS(COUNTER_VISIT)
    TCP_COUNTERS(COUNTER_VISIT)
#undef COUNTER_VISIT
}

uint32_t stack_offloads(const struct net_stack *s) { return s->conf.offloads; }

void stack_check(const struct net_stack *s)
{
    ip_layer_check(s);
    tcp_layer_check(s);
}

void stack_visit_conns(struct net_stack *s, void (*fn)(void *arg, struct conn *c), void *arg)
{
    tcp_visit_conns(s, fn, arg);
}
