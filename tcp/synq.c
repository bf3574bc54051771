/* SPDX-License-Identifier: MIT
 *
 * Half-open passive opens: a hash table with chains, and a list for each number of SYN-ACKs sent. All entries of one
 * list wait equally long for their next one, so its front is due first; one timer runs for the earliest of the fronts.
 * RFC 6298 2.1: 1 s at first, (5.5) doubled each time.
 */
#include "tcp/synq.h"

#include "alloc/heap.h"
#include "tcp/conn.h"
#include "tcp/conn_table.h"
#include "tcp/hdr.h"

#include <errno.h>

#define BUCKETS_MIN 64u

struct synq {
    struct net_stack *stack;
    struct synq_entry **buckets;
    uint32_t mask, count;
    struct list tries[SYNQ_TRIES + 1]; /* [n]: n SYN-ACKs were sent again */
    struct timer timer;
};

int synq_init(struct net_stack *s)
{
    struct synq *q = heap_calloc(1, sizeof *q);
    if (!q) return -ENOMEM;
    q->buckets = heap_calloc(BUCKETS_MIN, sizeof(struct synq_entry *));
    if (!q->buckets) {
        heap_free(q);
        return -ENOMEM;
    }
    q->stack = s;
    q->mask = BUCKETS_MIN - 1;
    for (unsigned i = 0; i <= SYNQ_TRIES; i++) list_init(&q->tries[i]);
    s->tcp.synq = q;
    return 0;
}

void synq_fini(struct net_stack *s)
{
    struct synq *q = s->tcp.synq;
    if (!q) return;
    wheel_stop(&s->wheel, &q->timer);
    for (unsigned i = 0; i <= SYNQ_TRIES; i++)
        for (struct list *l; (l = list_pop_front(&q->tries[i]));) heap_free(list_entry(l, struct synq_entry, link));
    heap_free(q->buckets);
    heap_free(q);
    s->tcp.synq = NULL;
}

uint32_t synq_count(const struct net_stack *s) { return s->tcp.synq->count; }

struct synq_entry *synq_find(const struct net_stack *s, uint32_t hash, const struct ip_addr *local,
                             const struct ip_addr *remote, uint32_t ports)
{
    const struct synq *q = s->tcp.synq;
    struct synq_entry *e = q->buckets[hash & q->mask];
    while (e &&
           !(e->hash == hash && e->ports == ports && addr_equal(&e->remote, remote) && addr_equal(&e->local, local)))
        e = e->next;
    return e;
}

static void grow(struct synq *q)
{
    uint32_t size = (q->mask + 1) * 2;
    struct synq_entry **bigger = heap_calloc(size, sizeof(struct synq_entry *));
    if (!bigger) return; /* longer chains, then */
    for (uint32_t i = 0; i <= q->mask; i++)
        for (struct synq_entry *e = q->buckets[i], *next; e; e = next) {
            next = e->next;
            e->next = bigger[e->hash & (size - 1)];
            bigger[e->hash & (size - 1)] = e;
        }
    heap_free(q->buckets);
    q->buckets = bigger;
    q->mask = size - 1;
}

void synq_remove(struct net_stack *s, struct synq_entry *e)
{
    struct synq *q = s->tcp.synq;
    struct synq_entry **at = &q->buckets[e->hash & q->mask];
    while (*at != e) at = &(*at)->next;
    *at = e->next;
    list_remove(&e->link);
    e->listener->half_open--;
    q->count--;
    heap_free(e);
}

void synq_send(struct net_stack *s, const struct synq_entry *e)
{
    struct tcp_opts o = {
        .has = OPT_MSS | (e->flags & SYNQ_TS ? OPT_TS : 0) | (e->flags & SYNQ_SACK ? OPT_SACK_OK : 0) |
               (e->flags & SYNQ_WSCALE ? OPT_WSCALE : 0),
        .mss = tcp_mss_to_offer(s, &e->remote, &e->listener->opts),
        .wscale = e->rcv_wscale,
        .ts_val = (uint32_t)(s->now / NSEC_PER_MSEC) + e->ts_offset,
        .ts_ecr = e->ts_recent,
    };
    struct bare_segment seg = {
        .local = {.addr = e->local, .port = (uint16_t)e->ports},
        .remote = {.addr = e->remote, .port = (uint16_t)(e->ports >> 16)},
        .seq = e->iss,
        .ack = e->irs + 1,
        .flags = TCP_SYN | TCP_ACK | (e->flags & SYNQ_ECN ? TCP_ECE : 0), /* RFC 3168 6.1.1 */
        .window = e->window,
        .opts = &o,
        .hops = e->listener->opts.hops,
        .tos = e->listener->opts.tos & 0xfc,
    };
    tcp_send_bare(s, &seg);
}

static void expire(struct timer *timer);

static void arm(struct synq *q)
{
    nsec next = NSEC_NEVER;
    for (unsigned i = 0; i <= SYNQ_TRIES; i++) {
        if (list_is_empty(&q->tries[i])) continue;
        nsec due = list_entry(q->tries[i].next, struct synq_entry, link)->due;
        if (due < next) next = due;
    }
    if (next != NSEC_NEVER) wheel_start(&q->stack->wheel, &q->timer, next, expire);
}

/* Into the list of its tries, to wait until the next is due. */
static void wait(struct synq *q, struct synq_entry *e)
{
    e->due = q->stack->now + (q->stack->conf.rto_initial << e->tries);
    list_push_back(&q->tries[e->tries], &e->link);
}

static void expire(struct timer *timer)
{
    struct synq *q = container_of(timer, struct synq, timer);
    struct net_stack *s = q->stack;
    for (unsigned i = SYNQ_TRIES + 1; i-- > 0;) /* from behind: who moves on is not looked at twice */
        while (!list_is_empty(&q->tries[i])) {
            struct synq_entry *e = list_entry(q->tries[i].next, struct synq_entry, link);
            if (e->due > s->now) break;
            if (i == SYNQ_TRIES) {
                s->n.tcp_failed++;
                synq_remove(s, e);
                continue;
            }
            list_remove(&e->link);
            e->tries++;
            s->n.tcp_retransmits++;
            synq_send(s, e);
            wait(q, e);
        }
    arm(q);
}

int synq_add(struct net_stack *s, const struct synq_entry *e)
{
    struct synq *q = s->tcp.synq;
    if (q->count >= s->conf.limits.half_open || e->listener->half_open >= listener_half_open_max(e->listener))
        return -ENOBUFS;
    struct synq_entry *mine = heap_alloc(sizeof *mine);
    if (!mine) return -ENOMEM;
    *mine = *e;
    mine->tries = 0;
    mine->sent_at = s->now;
    if (q->count > q->mask) grow(q);
    struct synq_entry **b = &q->buckets[mine->hash & q->mask];
    mine->next = *b;
    *b = mine;
    q->count++;
    mine->listener->half_open++;
    wait(q, mine);
    if (!timer_runs(&q->timer) || list_entry(q->tries[0].next, struct synq_entry, link) == mine) arm(q);
    synq_send(s, mine);
    return 0;
}

static void remove_if(struct net_stack *s, bool (*is)(const struct synq_entry *e, const void *arg), const void *arg)
{
    struct synq *q = s->tcp.synq;
    for (unsigned i = 0; i <= SYNQ_TRIES; i++) list_for_each_safe(l, &q->tries[i])
        {
            struct synq_entry *e = list_entry(l, struct synq_entry, link);
            if (is(e, arg)) synq_remove(s, e);
        }
}

static bool is_listeners(const struct synq_entry *e, const void *arg) { return e->listener == arg; }
static bool is_to(const struct synq_entry *e, const void *arg) { return addr_equal(&e->local, arg); }
void synq_remove_listener(struct net_stack *s, struct listener *l) { remove_if(s, is_listeners, l); }
void synq_remove_address(struct net_stack *s, const struct ip_addr *a) { remove_if(s, is_to, a); }

void synq_check(const struct net_stack *s)
{
    const struct synq *q = s->tcp.synq;
    uint32_t count = 0;
    for (unsigned i = 0; i <= SYNQ_TRIES; i++) {
        nsec last = 0;
        list_for_each(l, &q->tries[i])
        {
            const struct synq_entry *e = list_entry(l, struct synq_entry, link);
            ASSERT(e->hash == conn_hash(s->hash_seed, &e->local, &e->remote, e->ports));
            ASSERT(synq_find(s, e->hash, &e->local, &e->remote, e->ports) == e);
            ASSERT(e->due >= last && e->tries == i && e->listener->half_open);
            last = e->due;
            count++;
        }
    }
    ASSERT(count == q->count && count <= s->conf.limits.half_open);
    ASSERT(!count || timer_runs(&q->timer));
}
