/* SPDX-License-Identifier: MIT
 *
 * The table is of fixed size. Who comes when it is full:
 *
 * - Somebody we want to send to takes the place of (1) an entry that was only told to us, (2) the oldest INCOMPLETE one
 *   when these are more than half, (3) the STALE one not used for longest, (4) whoever was not used for longest.
 * - Somebody who merely tells us his address takes a free place, as long as such entries are less than a quarter of the
 *   table, or that of another rumour, the oldest. So nobody outside can push out whom we talk to, and a scan that makes
 *   us answer many addresses pushes out only its own.
 *
 * A MAC that changes without our asking is taken (fail-over of routers works by that) but as STALE: the next packet to
 * it also asks it, and if the answer does not come the entry goes and all are asked (RFC 4861 7.3.3). Frames that wait
 * are bounded; the oldest goes (7.2.2). Connections about to send their first SYN, and datagrams, do not
 * wait as frames: a thousand of either lose nothing. When nobody answers, those who sent hear it as an unreachable host
 * (RFC 1122 2.3.2.2, 3.2.1.8; RFC 4861 7.2.2).
 *
 * Deviation from RFC 4861: no DELAY state (a STALE entry is asked with the first packet that uses it), REACHABLE lasts
 * conf.arp_lifetime for both families and is not prolonged by upper layers. Requests are sent at most once per
 * arp_retry and neighbour (RFC 1122 2.3.2.1).
 */
#include "tcp/neighbour.h"

#include <errno.h>
#include <netinet/in.h>

#include "alloc/base/hash.h"
#include "alloc/heap.h"
#include "tcp/arp.h"
#include "tcp/conn.h"
#include "tcp/eth.h"
#include "tcp/hdr.h"
#include "tcp/nd.h"
#include "tcp/route.h"

struct neighbour_table {
    struct neighbour *entries, *free;
    struct neighbour **buckets;
    uint32_t size, mask, count, incomplete, rumours;
    uint32_t waiting; /* frames, of all entries */
};

/* What every neighbour may have waiting, however much waits for others: RFC 1122 2.3.2.2 asks for one. */
#define WAITING_OWN 4

static_assert(offsetof(struct neighbour, eth) == 0, "two wide loads from its start");

static uint32_t bucket_of(const struct net_stack *s, const struct ip_addr *a)
{
    return (uint32_t)hash_pair(a->q[0], a->q[1], s->hash_seed) & s->ip.neighbours->mask;
}

int neighbour_init(struct net_stack *s)
{
    uint32_t size = s->conf.limits.neighbours, buckets = 1;
    while (buckets < size) buckets <<= 1;
    struct neighbour_table *t = heap_calloc(1, sizeof *t);
    if (!t) return -ENOMEM;
    t->entries = heap_calloc(size, sizeof *t->entries);
    t->buckets = heap_calloc(buckets, sizeof *t->buckets);
    if (!t->entries || !t->buckets) goto free_table;
    t->size = size;
    t->mask = buckets - 1;
    for (uint32_t i = size; i-- > 0;) {
        t->entries[i].stack = s;
        list_init(&t->entries[i].conns);
        list_init(&t->entries[i].datagrams);
        t->entries[i].next = t->free;
        t->free = &t->entries[i];
    }
    s->ip.neighbours = t;
    return 0;

free_table:
    heap_free(t->entries);
    heap_free(t->buckets);
    heap_free(t);
    return -ENOMEM;
}

static void forget_waiting(struct neighbour *n)
{
    n->stack->ip.neighbours->waiting -= n->waiting_count;
    heap_free(n->waiting);
    n->waiting = NULL;
    n->waiting_count = n->waiting_room = 0;
}

static void drop_waiting(struct neighbour *n)
{
    for (unsigned i = 0; i < n->waiting_count; i++) buf_unref(n->waiting[i].b);
    forget_waiting(n);
}

void neighbour_fini(struct net_stack *s)
{
    struct neighbour_table *t = s->ip.neighbours;
    if (!t) return;
    for (uint32_t i = 0; i < t->size; i++) drop_waiting(&t->entries[i]);
    heap_free(t->entries);
    heap_free(t->buckets);
    heap_free(t);
    s->ip.neighbours = NULL;
}

struct neighbour *neighbour_find(const struct net_stack *s, const struct ip_addr *a)
{
    struct neighbour *n = s->ip.neighbours->buckets[bucket_of(s, a)];
    while (n && !addr_equal(&n->addr, a)) n = n->next;
    return n;
}

/* --- places in the table ------------------------------------------------------------------------------------------ */

static bool is_rumour(const struct neighbour *n) { return n->state != NEIGH_FREE && !n->wanted && !n->fixed; }

static void set_state(struct neighbour *n, enum neighbour_state to)
{
    struct neighbour_table *t = n->stack->ip.neighbours;
    t->incomplete += (to == NEIGH_INCOMPLETE) - (n->state == NEIGH_INCOMPLETE);
    n->state = to;
}

static void set_wanted(struct neighbour *n)
{
    if (is_rumour(n)) n->stack->ip.neighbours->rumours--;
    n->wanted = true;
}

/* What waited for its address can leave: it is looked at by the next stack_flush(). */
static void release(struct neighbour *n)
{
    struct net_stack *s = n->stack;
    list_splice_back(&s->tcp.dirty, &n->conns);
    list_splice_back(&s->udp.ready, &n->datagrams);
}

void neighbour_forget(struct net_stack *s, struct neighbour *n)
{
    struct neighbour_table *t = s->ip.neighbours;
    struct neighbour **link = &t->buckets[bucket_of(s, &n->addr)];
    while (*link != n) link = &(*link)->next;
    *link = n->next;
    if (is_rumour(n)) t->rumours--;
    set_state(n, NEIGH_FREE);
    wheel_stop(&s->wheel, &n->timer);
    drop_waiting(n);
    list_splice_back(&s->tcp.dirty, &n->conns); /* they send their SYN, and again as after any that was lost */
    struct list datagrams;
    list_init(&datagrams);
    list_splice_back(&datagrams, &n->datagrams);
    n->fixed = n->wanted = n->is_router = false;
    n->next = t->free;
    t->free = n;
    t->count--;
    s->ip.generation++; /* paths that point here look again */
    udp_undeliverable(s, &datagrams, ENOBUFS);
}

/* How much rather than another an entry should go: larger goes first; 0 never. */
static unsigned eviction_class(const struct neighbour_table *t, const struct neighbour *n)
{
    if (n->fixed) return 0;
    if (is_rumour(n)) return 4;
    if (n->state == NEIGH_INCOMPLETE) return t->incomplete > t->size / 2 ? 3 : 1;
    return n->state == NEIGH_STALE ? 2 : 1;
}

static struct neighbour *eviction_victim(const struct neighbour_table *t, bool for_rumour)
{
    struct neighbour *victim = NULL;
    unsigned worst = for_rumour ? 3 : 0; /* only what is above */
    for (uint32_t i = 0; i < t->size; i++) {
        struct neighbour *n = &t->entries[i];
        if (n->state == NEIGH_FREE) continue;
        unsigned class = eviction_class(t, n);
        if (class < worst || class == 0 || (class == worst && (!victim || n->used_at >= victim->used_at))) continue;
        worst = class;
        victim = n;
    }
    return victim;
}

static struct neighbour *entry_new(struct net_stack *s, const struct ip_addr *a, bool rumour)
{
    struct neighbour_table *t = s->ip.neighbours;
    if (!t->free || (rumour && t->rumours >= t->size / 4)) {
        struct neighbour *victim = eviction_victim(t, rumour);
        if (!victim) {
            s->n.drop_neigh_full++;
            return NULL;
        }
        s->n.drop_neigh_queue += victim->waiting_count;
        neighbour_forget(s, victim);
    }
    struct neighbour *n = t->free;
    t->free = n->next;
    t->count++;
    n->addr = *a;
    n->used_at = s->now;
    n->tries = 0;
    n->wanted = !rumour;
    n->state = NEIGH_STALE;
    t->rumours += rumour;
    struct neighbour **bucket = &t->buckets[bucket_of(s, a)];
    n->next = *bucket;
    *bucket = n;
    return n;
}

/* --- states ------------------------------------------------------------------------------------------------------- */

static void set_mac(struct neighbour *n, const uint8_t *mac)
{
    memcpy(n->eth, mac, ETH_ALEN);
    memcpy(n->eth + ETH_ALEN, n->stack->conf.mac, ETH_ALEN);
    store_be16(n->eth + 12, addr_is_v4(&n->addr) ? ETH_TYPE_IP4 : ETH_TYPE_IP6);
}

static void timer_fired(struct timer *t);

static void ask(struct neighbour *n)
{
    struct net_stack *s = n->stack;
    const uint8_t *to = n->state == NEIGH_PROBE ? neighbour_mac(n) : NULL;
    n->tries++;
    wheel_start(&s->wheel, &n->timer, s->now + s->conf.arp_retry, timer_fired);
    if (addr_is_v4(&n->addr)) {
        if (s->conf.arp) arp_ask(s, &n->addr, to);
    } else {
        nd_ask(s, &n->addr, to);
    }
}

static void transmit(struct net_stack *s, struct neighbour *n, const struct frame *f)
{
    memcpy(f->b->data, n->eth, ETH_HDR);
    tx_push(s, f);
}

static void set_reachable(struct neighbour *n)
{
    struct net_stack *s = n->stack;
    set_state(n, NEIGH_REACHABLE);
    n->tries = 0;
    wheel_start(&s->wheel, &n->timer, s->now + s->conf.arp_lifetime, timer_fired);
}

static void set_stale(struct neighbour *n)
{
    set_state(n, NEIGH_STALE);
    n->tries = 0;
    wheel_stop(&n->stack->wheel, &n->timer);
}

static void send_waiting(struct neighbour *n)
{
    struct net_stack *s = n->stack;
    for (unsigned i = 0; i < n->waiting_count; i++) transmit(s, n, &n->waiting[i]);
    forget_waiting(n);
    release(n);
}

/* An L4 packet of ours could not be delivered: whoever sent it hears. The frame begins with room for an Ethernet
 * header. */
static void tell_unreachable(struct net_stack *s, const struct frame *f)
{
    const uint8_t *p = f->b->data + ETH_HDR, *l4;
    uint32_t n = f->b->len - ETH_HDR;
    struct ip_addr src, dst;
    uint8_t proto;
    if (p[0] >> 4 == 4) {
        const struct ip4_hdr *h = (const void *)p;
        src = addr_v4(h->src);
        dst = addr_v4(h->dst);
        proto = h->proto;
        l4 = p + sizeof *h;
        if (h->frag & be16_of(IP4_OFFSET)) return;
    } else {
        const struct ip6_hdr *h = (const void *)p;
        memcpy(src.b, h->src, 16);
        memcpy(dst.b, h->dst, 16);
        proto = h->next;
        l4 = p + sizeof *h;
    }
    if (n < (uint32_t)(l4 - p) + 8) return;
    n -= (uint32_t)(l4 - p);
    if (proto == IPPROTO_TCP) tcp_icmp_error(s, ICMP_ERR_NO_NEIGHBOUR, 0, &src, &dst, l4, n);
    else if (proto == IPPROTO_UDP) udp_icmp_error(s, ICMP_ERR_NO_NEIGHBOUR, 0, &src, &dst, l4, n);
}

/* Nobody answers. The entry goes first, since those who are told may send again. */
static void give_up(struct neighbour *n)
{
    struct net_stack *s = n->stack;
    struct frame *waiting = n->waiting;
    unsigned count = n->waiting_count;
    struct ip_addr addr = n->addr;
    bool was_router = n->is_router;
    struct list conns, datagrams;
    list_init(&conns);
    list_init(&datagrams);
    list_splice_back(&conns, &n->conns);
    list_splice_back(&datagrams, &n->datagrams);
    n->waiting = NULL; /* ours now */
    forget_waiting(n);
    neighbour_forget(s, n);
    if (was_router) route_router_silent(s, &addr);
    for (unsigned i = 0; i < count; i++) {
        s->n.drop_unreachable++;
        tell_unreachable(s, &waiting[i]);
        buf_unref(waiting[i].b);
    }
    heap_free(waiting);
    for (struct list *l; (l = list_pop_front(&conns));) conn_finish(list_entry(l, struct conn, dirty), EHOSTUNREACH);
    udp_undeliverable(s, &datagrams, EHOSTUNREACH);
}

static void timer_fired(struct timer *t)
{
    struct neighbour *n = container_of(t, struct neighbour, timer);
    if (n->state == NEIGH_REACHABLE) set_stale(n);
    else if (n->tries < n->stack->conf.arp_tries) ask(n);
    else give_up(n);
}

struct neighbour *neighbour_get(struct net_stack *s, const struct ip_addr *a)
{
    struct neighbour *n = neighbour_find(s, a);
    if (n) {
        set_wanted(n);
        return n;
    }
    n = entry_new(s, a, false);
    if (!n) return NULL;
    set_state(n, NEIGH_INCOMPLETE);
    ask(n);
    return n;
}

/* Room for one more, grown by doubling: most who are asked for have one frame. */
static bool grow_waiting(struct neighbour *n)
{
    if (n->waiting_count < n->waiting_room) return true;
    unsigned room = n->waiting_room ? 2u * n->waiting_room : WAITING_OWN;
    struct frame *waiting = heap_realloc(n->waiting, room * sizeof *waiting);
    if (!waiting) return false;
    n->waiting = waiting;
    n->waiting_room = (uint16_t)room;
    return true;
}

/* All that talk to it have frames here when it has to be asked for in the middle of their talk (neighbour_relink()): a
 * frame that is dropped costs its connection a tail loss probe. The oldest goes. */
static void wait_for(struct net_stack *s, struct neighbour *n, const struct frame *f)
{
    const struct stack_limits *l = &s->conf.limits;
    struct neighbour_table *t = s->ip.neighbours;
    if (n->waiting_count == l->neighbour_queue ||
        (n->waiting_count >= WAITING_OWN && t->waiting >= l->neighbour_queues)) {
        s->n.drop_neigh_queue++;
        buf_unref(n->waiting[0].b);
        n->waiting_count--;
        t->waiting--;
        memmove(n->waiting, n->waiting + 1, n->waiting_count * sizeof *n->waiting);
    }
    if (!grow_waiting(n)) {
        s->n.drop_memory++;
        buf_unref(f->b);
        return;
    }
    n->waiting[n->waiting_count++] = *f;
    t->waiting++;
}

void neighbour_send(struct net_stack *s, struct neighbour *n, const struct frame *f)
{
    n->used_at = s->now;
    if (n->state == NEIGH_INCOMPLETE) {
        wait_for(s, n, f);
        return;
    }
    if (n->state == NEIGH_STALE) {
        set_wanted(n);
        set_state(n, NEIGH_PROBE);
        transmit(s, n, f);
        ask(n);
        return;
    }
    transmit(s, n, f);
}

/* --- what others say ---------------------------------------------------------------------------------------------- */

void neighbour_answered(struct net_stack *s, struct neighbour *n, const uint8_t *mac, bool override)
{
    if (n->fixed) return;
    if (n->state == NEIGH_INCOMPLETE) {
        if (!mac) return; /* RFC 4861 7.2.5: nothing to learn */
        set_mac(n, mac);
        set_reachable(n);
        send_waiting(n);
        return;
    }
    bool differs = mac && memcmp(mac, neighbour_mac(n), ETH_ALEN) != 0;
    if (differs && !override) {
        if (n->state == NEIGH_REACHABLE) set_stale(n);
        return;
    }
    if (differs) set_mac(n, mac);
    set_reachable(n);
}

void neighbour_rumour(struct net_stack *s, const struct ip_addr *a, const uint8_t *mac, bool make)
{
    struct neighbour *n = neighbour_find(s, a);
    if (!n) {
        n = make ? entry_new(s, a, true) : NULL;
        if (n) set_mac(n, mac);
        return;
    }
    if (n->fixed) return;
    if (n->state == NEIGH_INCOMPLETE) {
        set_mac(n, mac);
        set_stale(n);
        send_waiting(n);
    } else if (memcmp(mac, neighbour_mac(n), ETH_ALEN) != 0) {
        set_mac(n, mac);
        set_stale(n);
    }
}

int neighbour_add_static(struct net_stack *s, const struct ip_addr *a, const uint8_t *mac)
{
    struct neighbour *n = neighbour_find(s, a);
    if (!n) n = entry_new(s, a, false);
    if (!n) return -ENOSPC;
    set_wanted(n);
    n->fixed = true;
    set_mac(n, mac);
    set_state(n, NEIGH_REACHABLE);
    wheel_stop(&s->wheel, &n->timer);
    send_waiting(n);
    return 0;
}

void neighbour_relink(struct net_stack *s)
{
    struct neighbour_table *t = s->ip.neighbours;
    for (uint32_t i = 0; i < t->size; i++) {
        struct neighbour *n = &t->entries[i];
        if (n->state == NEIGH_FREE) continue;
        memcpy(n->eth + ETH_ALEN, s->conf.mac, ETH_ALEN);
        if (!n->fixed && n->state != NEIGH_INCOMPLETE) neighbour_forget(s, n);
    }
    s->ip.generation++;
}

void neighbour_check(const struct net_stack *s)
{
    const struct neighbour_table *t = s->ip.neighbours;
    uint32_t count = 0, incomplete = 0, rumours = 0, waiting = 0;
    for (uint32_t i = 0; i < t->size; i++) {
        const struct neighbour *n = &t->entries[i];
        if (n->state == NEIGH_FREE) continue;
        count++;
        incomplete += n->state == NEIGH_INCOMPLETE;
        rumours += is_rumour(n);
        waiting += n->waiting_count;
        ASSERT(neighbour_find(s, &n->addr) == n);
        ASSERT(n->waiting_count == 0 || n->state == NEIGH_INCOMPLETE);
        ASSERT(list_is_empty(&n->conns) || n->state == NEIGH_INCOMPLETE);
        ASSERT(list_is_empty(&n->datagrams) || n->state == NEIGH_INCOMPLETE);
        ASSERT(timer_runs(&n->timer) == (!n->fixed && n->state != NEIGH_STALE));
    }
    ASSERT(count == t->count);
    ASSERT(incomplete == t->incomplete);
    ASSERT(rumours == t->rumours);
    ASSERT(waiting == t->waiting);
}
