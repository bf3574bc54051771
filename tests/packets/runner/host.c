/* SPDX-License-Identifier: MIT
 *
 * A host under test: the stack, its wire and its clock.
 *
 *     script --IP packet--> [Ethernet on] --> stack_input        192.168.0.1/24 --- gateway 192.168.0.254 --- 192.0.2.1
 *     script <--IP packet-- [Ethernet off] <-- stack_frames
 *
 * The peer lies behind a gateway that is a static neighbour, so that routes are part of what is tested and ARP and ND
 * are not. Neighbour discovery that the stack does by itself never reaches the script.
 */
#include "tests/packets/runner/host_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "tests/packets/runner/offload.h"

#define START     (1000 * NSEC_PER_SEC) /* of the stack's clock: a whole number of its wheel's ticks */
#define STEPS_MAX 2000000u              /* of timers between two events */

static const uint8_t our_mac[ETH_ALEN] = {2, 0, 0, 0, 0, 1}, gateway_mac[ETH_ALEN] = {2, 0, 0, 0, 0, 254};

static struct ip_addr v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
    uint8_t bytes[4] = {a, b, c, d};
    return addr_v4(load_u32(bytes));
}

void host_defaults(struct host_config *c)
{
    *c = (struct host_config){.local4 = v4(192, 168, 0, 1), .remote4 = v4(192, 0, 2, 1)};
    static const uint8_t local6[16] = {0xfd, 0x3d, 0x0a, 0x0b, 0x17, 0xd6, [15] = 1};
    static const uint8_t remote6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    memcpy(c->local6.b, local6, 16);
    memcpy(c->remote6.b, remote6, 16);
    c->stack.mtu = 1500;
    c->stack.segs_max = NETDEV_SEGS_MAX;
    c->stack.icmp_echo = true;
}

static int set_addresses(struct host *h)
{
    struct ip_addr gateway4 = v4(192, 168, 0, 254), gateway6 = h->conf.local6;
    gateway6.b[15] = 254;
    int err = stack_add_address(h->stack, &h->conf.local4, 24, true);
    if (!err) err = stack_add_address(h->stack, &h->conf.local6, 64, true);
    if (!err) err = stack_set_gateway(h->stack, &gateway4);
    if (!err) err = stack_set_gateway(h->stack, &gateway6);
    if (!err) err = stack_add_neighbour(h->stack, &gateway4, gateway_mac);
    if (!err) err = stack_add_neighbour(h->stack, &gateway6, gateway_mac);
    return err;
}

int host_new(const struct host_config *c, struct host **out)
{
    struct host *h = calloc(1, sizeof *h);
    if (!h) return -ENOMEM;
    h->conf = *c;
    h->now = h->start = START + c->start;
    h->out_tail = &h->out;
    memcpy(h->conf.stack.mac, our_mac, ETH_ALEN);
    if (!h->conf.stack.seed[0]) memset(h->conf.stack.seed, 0x5a, sizeof h->conf.stack.seed);
    int err = stack_new(&h->conf.stack, &host_hooks, h, h->now, &h->stack);
    if (err) goto free_host;
    err = set_addresses(h);
    if (err) goto free_stack;
    *out = h;
    return 0;
free_stack:
    stack_free(h->stack);
free_host:
    free(h);
    return err;
}

void host_free(struct host *h)
{
    for (int i = 0; i < HOST_FDS; i++) buf_unref(h->socks[i].rest);
    while (h->out) host_drop_output(h);
    stack_free(h->stack);
    free(h);
}

nsec host_now(const struct host *h) { return h->now - h->start; }

nsec host_deadline(const struct host *h)
{
    nsec d = stack_deadline(h->stack);
    if (d == NSEC_NEVER) return d;
    return d > h->start ? d - h->start : 0;
}

struct net_stack *host_stack(struct host *h) { return h->stack; }

/* --- out ---------------------------------------------------------------------------------------------------------- */

static bool is_discovery(const uint8_t *ip, uint32_t n) /* RS, RA, NS, NA, redirect, MLDv2: the stack's own business */
{
    if (ip[0] >> 4 != 6 || n < 48) return false;
    const uint8_t *icmp = ip[6] == 0 ? ip + 48 : ip + 40; /* MLD stands behind a hop-by-hop header of 8 bytes */
    return (ip[6] == 58 || ip[6] == 0) && ((icmp[0] >= 133 && icmp[0] <= 137) || icmp[0] == 143);
}

static void keep_packet(void *arg, const struct wire *w)
{
    struct host *h = arg;
    struct host_packet *p = malloc(offsetof(struct host_packet, w.bytes) + w->n);
    ASSERT(p);
    p->next = NULL;
    p->at = host_now(h);
    p->w.n = w->n;
    memcpy(p->w.bytes, w->bytes, w->n);
    *h->out_tail = p;
    h->out_tail = &p->next;
}

static void take_frame(struct host *h, const struct frame *f)
{
    static struct wire w;
    struct eth_hdr eth;
    ASSERT(f->len == buf_chain_len(f->b));
    ASSERT(f->len >= sizeof eth && f->len - sizeof eth <= WIRE_MAX);
    buf_chain_copy(f->b, 0, &eth, sizeof eth);
    uint32_t n = f->len - (uint32_t)sizeof eth;
    if (be16_to_host(eth.type) == ETH_TYPE_ARP) return;
    w.n = n;
    buf_chain_copy(f->b, sizeof eth, w.bytes, n);
    if (is_discovery(w.bytes, n)) return;
    ASSERT(!memcmp(eth.src, our_mac, ETH_ALEN) && !memcmp(eth.dst, gateway_mac, ETH_ALEN));
    ASSERT(be16_to_host(eth.type) == (w.bytes[0] >> 4 == 6 ? ETH_TYPE_IP6 : ETH_TYPE_IP4));
    bool right = offload_send(f, &w, keep_packet, h);
    ASSERT(right);
}

static void collect(struct host *h)
{
    unsigned n;
    struct frame *f;
    while ((f = stack_frames(h->stack, &n))) {
        for (unsigned i = 0; i < n; i++) {
            take_frame(h, &f[i]);
            buf_unref(f[i].b);
        }
        stack_sent(h->stack, n);
    }
}

void host_flush(struct host *h)
{
    unsigned turns = 0;
    do {
        ASSERT(turns++ < STEPS_MAX);
        stack_flush(h->stack, h->now);
        collect(h);
    } while (stack_wants_flush(h->stack));
}

struct host_packet *host_output(struct host *h) { return h->out; }

void host_drop_output(struct host *h)
{
    struct host_packet *p = h->out;
    h->out = p->next;
    if (!h->out) h->out_tail = &h->out;
    free(p);
}

/* --- in, and time ------------------------------------------------------------------------------------------------- */

void host_input(struct host *h, const struct wire *w)
{
    struct fields fields;
    struct eth_hdr eth = {.type = be16_of(w->bytes[0] >> 4 == 6 ? ETH_TYPE_IP6 : ETH_TYPE_IP4)};
    memcpy(eth.dst, our_mac, ETH_ALEN);
    memcpy(eth.src, gateway_mac, ETH_ALEN);
    struct buf *b = buf_take(sizeof eth + w->n);
    ASSERT(b);
    memcpy(buf_put_back(b, sizeof eth), &eth, sizeof eth);
    memcpy(buf_put_back(b, w->n), w->bytes, w->n);
    struct frame f = {.b = b, .len = b->len};
    if (h->conf.stack.offloads & OFFLOAD_RX_L4_CSUM && !wire_read(w, &fields))
        f.flags = FRAME_IP_CSUM_OK | FRAME_L4_CSUM_OK;
    stack_input(h->stack, &f, 1, h->now);
}

void host_advance(struct host *h, nsec to)
{
    nsec end = to + h->start;
    unsigned steps = 0;
    for (;;) {
        nsec d = stack_deadline(h->stack);
        if (d > end) break;
        ASSERT(steps++ < STEPS_MAX);
        if (d > h->now) h->now = d;
        stack_advance(h->stack, h->now);
        host_flush(h);
        /* the wheel asked too early: look again a moment later */
        if (stack_deadline(h->stack) <= h->now && h->now < end) h->now++;
        else if (h->now >= end) break;
    }
    if (end > h->now) h->now = end;
    stack_advance(h->stack, h->now);
    host_flush(h);
}

struct counter_search {
    const char *name;
    const uint64_t *found;
};

static void look_at_counter(void *arg, const char *name, const uint64_t *value)
{
    struct counter_search *s = arg;
    if (!strcmp(name, s->name)) s->found = value;
}

const uint64_t *host_counter(struct host *h, const char *name)
{
    struct counter_search s = {.name = name};
    stack_counters(h->stack, look_at_counter, &s);
    return s.found;
}
