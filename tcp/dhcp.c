/* SPDX-License-Identifier: MIT
 *
 * The client of RFC 2131 4.4 (figure 5), over datagrams made here: they leave before there is an address to send from.
 *
 *              OFFER             ACK             nobody has it          T1              T2
 *     INIT -----------> REQUEST -----> CHECKING ---------------> BOUND ----> RENEWING ----> REBINDING
 *      ^ DISCOVER          |              |                        ^             | ACK           | ACK
 *      |                   | NAK, silence | somebody has it        '-------------'---------------'
 *      '-------------------'--------------'------------------------------------------------- NAK, end of lease
 *                                DECLINE
 *
 * Questions are repeated after 4, 8, 16, 32, 64 s, each a second more or less by chance (4.1), while renewing at half
 * of what is left, not below a minute (4.4.5). Options are walked within bounds, with those that overflowed into "file"
 * and "sname" (RFC 2132 9.3); an answer is taken only if it is to our question (xid, MAC), of a length that can hold
 * it, and names an address that one can have.
 *
 * Deviations: the first question leaves after at most 100 ms, not 1 to 10 s (4.4.1); an address is tried by one ARP
 * probe and half a second of silence (RFC 5227 asks for three); no INIT-REBOOT, since nothing is remembered over a
 * restart; no RELEASE at the end. Long options in pieces (RFC 3396) are none of ours.
 */
#include "tcp/dhcp.h"

#include <errno.h>
#include <netinet/in.h>

#include "alloc/heap.h"
#include "tcp/arp.h"
#include "tcp/hdr.h"
#include "tcp/path_impl.h"
#include "tcp/route.h"

enum state { DHCP_INIT, DHCP_REQUEST, DHCP_CHECKING, DHCP_BOUND, DHCP_RENEWING, DHCP_REBINDING, DHCP_STOPPED };
enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, DECLINE = 4, ACK = 5, NAK = 6 };
enum {
    OPT_PAD = 0,
    OPT_MASK = 1,
    OPT_ROUTER = 3,
    OPT_MTU = 26,
    OPT_ADDRESS = 50,
    OPT_LEASE = 51,
    OPT_OVERLOAD = 52,
    OPT_TYPE = 53,
    OPT_SERVER = 54,
    OPT_WANTED = 55,
    OPT_SIZE = 57,
    OPT_T1 = 58,
    OPT_T2 = 59,
    OPT_CLIENT = 61,
    OPT_END = 255
};

struct dhcp_msg { /* RFC 2131 2 */
    uint8_t op, htype, hlen, hops;
    be32 xid;
    be16 secs, flags;
    be32 ciaddr, yiaddr, siaddr, giaddr;
    uint8_t chaddr[16], sname[64], file[128];
    be32 cookie;
} PACKED;

#define COOKIE         0x63825363u
#define FLAG_BROADCAST 0x8000
#define MSG_MIN        300 /* of BOOTP: what relays let through (RFC 1542 2.1) */
#define LEASE_MIN_S    10  /* shorter ones would make us talk all the time */
#define REQUEST_TRIES  4
#define START_DELAY    (100 * NSEC_PER_MSEC)
#define CHECK_WAIT     (500 * NSEC_PER_MSEC)
#define DECLINE_WAIT   (10 * NSEC_PER_SEC) /* RFC 2131 3.1 (5) */
#define RENEW_WAIT_MIN (60 * NSEC_PER_SEC)
#define DHCP_MTU_MIN   576

static_assert(sizeof(struct dhcp_msg) == 240, "as on the wire");

struct lease {
    struct ip_addr addr, router; /* router "any" of IPv6: none */
    unsigned bits;
    be32 server;
    uint16_t mtu;     /* 0: not said */
    nsec t1, t2, end; /* NSEC_NEVER: for ever */
};

struct dhcp {
    struct net_stack *stack;
    struct timer timer;
    uint8_t state;
    unsigned tries;
    uint32_t xid;
    nsec began;         /* this exchange: "secs" */
    nsec asked;         /* when the last REQUEST left: the lease counts from there (4.4.1) */
    bool has_lease;     /* lease.addr is an address of ours */
    struct lease lease; /* what we have, or have been offered */
};

/* --- options ------------------------------------------------------------------------------------------------------ */

struct answer {
    uint8_t type, overload;
    be32 server, mask, router;
    uint32_t lease, t1, t2; /* seconds; 0: not said */
    uint16_t mtu;
};

static be32 option32(const uint8_t *p, uint32_t n) { return n >= 4 ? load_u32(p) : 0; }

static void take_option(struct answer *a, uint8_t code, const uint8_t *p, uint32_t n)
{
    switch (code) {
    case OPT_TYPE: a->type = n == 1 ? *p : 0; break;
    case OPT_OVERLOAD: a->overload = n == 1 ? *p & 3 : 0; break;
    case OPT_SERVER: a->server = option32(p, n); break;
    case OPT_MASK: a->mask = option32(p, n); break;
    case OPT_ROUTER: a->router = option32(p, n); break; /* the first is preferred */
    case OPT_LEASE: a->lease = be32_to_host(option32(p, n)); break;
    case OPT_T1: a->t1 = be32_to_host(option32(p, n)); break;
    case OPT_T2: a->t2 = be32_to_host(option32(p, n)); break;
    case OPT_MTU: a->mtu = n == 2 ? load_be16(p) : 0; break;
    }
}

/* False: one goes beyond the end. */
static bool read_options(struct answer *a, const uint8_t *p, uint32_t n)
{
    while (n > 0 && *p != OPT_END) {
        uint32_t size = 1;
        if (*p != OPT_PAD) {
            if (n < 2 || (uint32_t)p[1] + 2 > n) return false;
            take_option(a, p[0], p + 2, p[1]);
            size = (uint32_t)p[1] + 2;
        }
        p += size;
        n -= size;
    }
    return true;
}

static bool read_answer(const struct dhcp *d, const struct dhcp_msg *m, uint32_t n, struct answer *a)
{
    static const uint8_t hlen = ETH_ALEN;
    *a = (struct answer){0};
    if (m->op != 2 || m->htype != 1 || m->hlen != hlen || m->cookie != be32_of(COOKIE)) return false;
    if (m->xid != d->xid || memcmp(m->chaddr, d->stack->conf.mac, ETH_ALEN) != 0) return false;
    if (!read_options(a, (const uint8_t *)(m + 1), n - (uint32_t)sizeof *m)) return false;
    uint8_t overload = a->overload;
    if (overload & 1 && !read_options(a, m->file, sizeof m->file)) return false;
    if (overload & 2 && !read_options(a, m->sname, sizeof m->sname)) return false;
    return a->type == OFFER || a->type == ACK || a->type == NAK;
}

/* --- sending ------------------------------------------------------------------------------------------------------ */

static uint8_t *put(uint8_t *at, uint8_t code, const void *p, uint8_t n)
{
    at[0] = code;
    at[1] = n;
    memcpy(at + 2, p, n);
    return at + 2 + n;
}

static uint8_t *put_options(const struct dhcp *d, uint8_t *at, uint8_t type, bool name_address, bool name_server)
{
    static const uint8_t wanted[] = {OPT_MASK, OPT_ROUTER, OPT_MTU, OPT_LEASE, OPT_T1, OPT_T2};
    uint8_t client[1 + ETH_ALEN] = {1}, size[2];
    memcpy(client + 1, d->stack->conf.mac, ETH_ALEN);
    store_be16(size, d->stack->conf.mtu < 1500 ? DHCP_MTU_MIN : 1500);
    at = put(at, OPT_TYPE, &type, 1);
    at = put(at, OPT_CLIENT, client, sizeof client);
    if (name_address) at = put(at, OPT_ADDRESS, &d->lease.addr.w[3], 4);
    if (name_server) at = put(at, OPT_SERVER, &d->lease.server, 4);
    if (type != DECLINE) {
        at = put(at, OPT_SIZE, size, 2);
        at = put(at, OPT_WANTED, wanted, sizeof wanted);
    }
    *at = OPT_END;
    return at + 1;
}

/* RFC 2131 4.3.2, table 4: what is named depends on the state. */
static void send_message(struct dhcp *d, uint8_t type)
{
    struct net_stack *s = d->stack;
    bool bound = d->state == DHCP_RENEWING || d->state == DHCP_REBINDING;
    uint32_t len = (uint32_t)sizeof(struct udp_hdr) + MSG_MIN;
    struct buf *b = buf_take_exact(len);
    if (!b) {
        s->n.drop_memory++;
        return;
    }
    uint8_t *p = buf_put_back(b, len);
    memset(p, 0, len);
    *(struct udp_hdr *)(void *)p =
        (struct udp_hdr){.src = be16_of(DHCP_CLIENT_PORT), .dst = be16_of(DHCP_SERVER_PORT), .len = be16_of(len)};
    struct dhcp_msg *m = (void *)(p + sizeof(struct udp_hdr));
    nsec secs = (s->now - d->began) / NSEC_PER_SEC;
    *m = (struct dhcp_msg){.op = 1,
                           .htype = 1,
                           .hlen = ETH_ALEN,
                           .xid = d->xid,
                           .cookie = be32_of(COOKIE),
                           .secs = be16_of(secs < UINT16_MAX ? secs : UINT16_MAX),
                           .flags = bound ? 0 : be16_of(FLAG_BROADCAST),
                           .ciaddr = bound ? d->lease.addr.w[3] : 0};
    memcpy(m->chaddr, s->conf.mac, ETH_ALEN);
    uint8_t *end = put_options(d, (uint8_t *)(m + 1), type, !bound && type != DISCOVER, !bound && type != DISCOVER);
    ASSERT(end <= p + len);

    struct path to;
    struct ip_addr from = bound ? d->lease.addr : addr_v4(0);
    struct ip_addr server = addr_v4(d->state == DHCP_RENEWING ? d->lease.server : UINT32_MAX);
    struct path_ends ends = path_between(&from, &server);
    path_prepare(&to, &ends, IPPROTO_UDP, 64);
    to.mtu = s->conf.mtu;
    s->n.udp_tx++;
    path_send(s, &to, b, len, sizeof(struct udp_hdr), 0, 0);
}

/* --- states ------------------------------------------------------------------------------------------------------- */

static void timer_fired(struct timer *t);

static void wait_until(struct dhcp *d, nsec at)
{
    if (at == NSEC_NEVER) wheel_stop(&d->stack->wheel, &d->timer);
    else wheel_start(&d->stack->wheel, &d->timer, at, timer_fired);
}

/* RFC 2131 4.1: 4 s, doubling to 64, a second more or less. */
static void wait_for_answer(struct dhcp *d)
{
    nsec wait = (4 * NSEC_PER_SEC) << (d->tries < 4 ? d->tries : 4);
    d->tries++;
    wait_until(d, d->stack->now + wait - NSEC_PER_SEC + rng_below(&d->stack->rng, 2 * NSEC_PER_SEC));
}

static void lose_lease(struct dhcp *d)
{
    struct net_stack *s = d->stack;
    if (!d->has_lease) return;
    d->has_lease = false;
    struct own_addr *own = route_find(s, &d->lease.addr);
    if (addr_equal(&s->ip.gateway4, &d->lease.router))
        route_set_gateway(s, &(struct ip_addr){.w = {0, 0, ADDR_V4_PREFIX, 0}});
    if (own && own->origin == OWN_DHCP) route_remove(s, own);
}

static void discovery_start(struct dhcp *d, nsec delay)
{
    lose_lease(d);
    d->state = DHCP_INIT;
    d->tries = 0;
    d->xid = (uint32_t)rng_u64(&d->stack->rng);
    d->began = d->stack->now + delay;
    wait_until(d, d->began);
}

static void request(struct dhcp *d)
{
    d->asked = d->stack->now;
    send_message(d, REQUEST);
}

/* Half of what is left until `next`, at least a minute, and no later than that (RFC 2131 4.4.5). */
static void wait_to_renew(struct dhcp *d, nsec next)
{
    nsec now = d->stack->now, half = next == NSEC_NEVER ? NSEC_PER_SEC << 20 : (next - now) / 2;
    nsec at = now + (half < RENEW_WAIT_MIN ? RENEW_WAIT_MIN : half);
    wait_until(d, at < next ? at : next);
}

static void bind_lease(struct dhcp *d)
{
    struct net_stack *s = d->stack;
    d->state = DHCP_BOUND;
    d->tries = 0;
    s->n.dhcp_leases++;
    if (d->lease.mtu) s->ip.mtu4 = d->lease.mtu;
    if (!d->has_lease) {
        d->has_lease = route_add(s, &d->lease.addr, d->lease.bits, OWN_DHCP, true, NULL) == 0;
        if (!d->has_lease) return discovery_start(d, DECLINE_WAIT);
    }
    if (addr_is_v4(&d->lease.router)) route_set_gateway(s, &d->lease.router);
    wait_until(d, d->lease.t1);
}

static void timer_fired(struct timer *t)
{
    struct dhcp *d = container_of(t, struct dhcp, timer);
    nsec now = d->stack->now;
    switch (d->state) {
    case DHCP_INIT:
        send_message(d, DISCOVER);
        wait_for_answer(d);
        break;
    case DHCP_REQUEST:
        if (d->tries >= REQUEST_TRIES) return discovery_start(d, 0);
        request(d);
        wait_for_answer(d);
        break;
    case DHCP_CHECKING: bind_lease(d); break;
    case DHCP_BOUND:
        d->state = DHCP_RENEWING;
        d->xid = (uint32_t)rng_u64(&d->stack->rng);
        d->began = now;
        /* fall through */
    case DHCP_RENEWING:
        if (now >= d->lease.t2) d->state = DHCP_REBINDING;
        /* fall through */
    case DHCP_REBINDING:
        if (now >= d->lease.end) return discovery_start(d, 0);
        request(d);
        wait_to_renew(d, d->state == DHCP_RENEWING ? d->lease.t2 : d->lease.end);
        break;
    }
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

static bool is_unicast(be32 wire)
{
    uint8_t top = (uint8_t)wire;
    return top != 0 && top != 127 && top < 224;
}

/* Ones, then zeros (RFC 950); none said: of the class, as in 1985. */
static unsigned bits_of(be32 mask, be32 addr)
{
    uint32_t m = be32_to_host(mask);
    if (m && !(~m & (~m + 1))) return (unsigned)__builtin_popcount(m);
    uint8_t top = (uint8_t)addr;
    return top < 128 ? 8 : top < 192 ? 16 : 24;
}

/* False: it cannot be used. */
static bool read_lease(const struct dhcp *d, const struct dhcp_msg *m, const struct answer *a, struct lease *out)
{
    if (!is_unicast(m->yiaddr) || !is_unicast(a->server) || a->lease < LEASE_MIN_S) return false;
    *out = (struct lease){.addr = addr_v4(m->yiaddr),
                          .server = a->server,
                          .bits = bits_of(a->mask, m->yiaddr),
                          .t1 = NSEC_NEVER,
                          .t2 = NSEC_NEVER,
                          .end = NSEC_NEVER};
    if (is_unicast(a->router) && a->router != m->yiaddr) out->router = addr_v4(a->router);
    if (a->mtu >= DHCP_MTU_MIN && a->mtu <= d->stack->conf.mtu) out->mtu = a->mtu;
    if (a->lease == UINT32_MAX) return true;
    uint32_t t1 = a->t1, t2 = a->t2;
    if (t1 == 0 || t2 == 0 || t1 >= t2 || t2 >= a->lease) {
        t1 = a->lease / 2;
        t2 = (uint32_t)((uint64_t)a->lease * 7 / 8);
    }
    out->t1 = d->asked + t1 * NSEC_PER_SEC;
    out->t2 = d->asked + t2 * NSEC_PER_SEC;
    out->end = d->asked + a->lease * NSEC_PER_SEC;
    return true;
}

static void ack(struct dhcp *d, const struct lease *l)
{
    bool same = addr_equal(&l->addr, &d->lease.addr);
    if (d->has_lease && !same) return discovery_start(d, 0); /* another address: as if from the beginning */
    if (d->state == DHCP_REQUEST && !same) return;
    d->lease = *l;
    if (d->has_lease) {
        bind_lease(d);
        return;
    }
    d->state = DHCP_CHECKING;
    if (d->stack->conf.arp) arp_probe(d->stack, &d->lease.addr);
    wait_until(d, d->stack->now + CHECK_WAIT);
}

static bool lease_take(struct dhcp *d, const struct dhcp_msg *m, uint32_t n)
{
    struct answer a;
    struct lease l;
    if (!read_answer(d, m, n, &a)) return false;
    bool asked = d->state == DHCP_REQUEST || d->state == DHCP_RENEWING || d->state == DHCP_REBINDING;
    if (a.type == NAK) {
        if (!asked || (d->state == DHCP_REQUEST && a.server != d->lease.server)) return false;
        discovery_start(d, START_DELAY);
        return true;
    }
    d->asked = asked ? d->asked : d->stack->now;
    if (a.lease == 0 && a.type == OFFER) a.lease = UINT32_MAX; /* an offer may leave it out */
    if (!read_lease(d, m, &a, &l)) return false;
    if (a.type == OFFER && d->state == DHCP_INIT && d->tries > 0) {
        d->lease = l;
        d->state = DHCP_REQUEST;
        d->tries = 0;
        request(d);
        wait_for_answer(d);
        return true;
    }
    if (a.type != ACK || !asked) return a.type == OFFER; /* the second offer came too late */
    ack(d, &l);
    return true;
}

void dhcp_input(struct net_stack *s, struct packet *p)
{
    uint32_t n = p->len - (uint32_t)sizeof(struct udp_hdr);
    struct dhcp *d = s->ip.dhcp;
    if (p->b->next) {
        p->b = buf_together(s, p->b, p->len);
        if (!p->b) return;
    }
    const struct udp_hdr *h = (const void *)p->b->data;
    bool valid = h->src == be16_of(DHCP_SERVER_PORT) && n >= sizeof(struct dhcp_msg) && d->state != DHCP_STOPPED;
    if (!valid || !lease_take(d, (const void *)(h + 1), n)) s->n.drop_dhcp++;
    buf_unref(p->b);
}

void dhcp_arp_heard(struct net_stack *s, const struct ip_addr *src, const struct ip_addr *dst, const uint8_t *mac)
{
    struct dhcp *d = s->ip.dhcp;
    if (d->state != DHCP_CHECKING || memcmp(mac, s->conf.mac, ETH_ALEN) == 0) return;
    bool used = addr_equal(src, &d->lease.addr);
    bool wanted = addr_is_any(src) && addr_equal(dst, &d->lease.addr);
    if (!used && !wanted) return;
    send_message(d, DECLINE);
    discovery_start(d, DECLINE_WAIT);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

int dhcp_init(struct net_stack *s)
{
    struct dhcp *d = heap_calloc(1, sizeof *d);
    if (!d) return -ENOMEM;
    d->stack = s;
    s->ip.dhcp = d;
    discovery_start(d, rng_below(&s->rng, START_DELAY));
    return 0;
}

void dhcp_stop(struct net_stack *s)
{
    struct dhcp *d = s->ip.dhcp;
    if (d->state == DHCP_STOPPED) return;
    lose_lease(d);
    d->state = DHCP_STOPPED;
    wait_until(d, NSEC_NEVER);
}

void dhcp_fini(struct net_stack *s)
{
    heap_free(s->ip.dhcp);
    s->ip.dhcp = NULL;
}
