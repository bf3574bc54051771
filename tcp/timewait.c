/* SPDX-License-Identifier: MIT
 *
 * TIME-WAIT: a hash table with chains, all records in one list in order of their end (each lasts equally long, so a new
 * or restarted one goes to the back), one timer for the front.
 *
 * What a segment to one of them does is decided in tcp_input.c.
 */
#include "tcp/timewait.h"

#include "alloc/heap.h"
#include "tcp/conn_table.h"
#include "tcp/hdr.h"

#include <errno.h>

#define BUCKETS_MIN 64u

struct timewait {
    struct net_stack *stack;
    struct timewait_rec **buckets;
    uint32_t mask, count;
    struct list queue;
    struct timer timer;
};

int timewait_init(struct net_stack *s)
{
    struct timewait *t = heap_calloc(1, sizeof *t);
    if (!t) return -ENOMEM;
    t->buckets = heap_calloc(BUCKETS_MIN, sizeof(struct timewait_rec *));
    if (!t->buckets) {
        heap_free(t);
        return -ENOMEM;
    }
    t->stack = s;
    t->mask = BUCKETS_MIN - 1;
    list_init(&t->queue);
    s->tcp.tw = t;
    return 0;
}

void timewait_fini(struct net_stack *s)
{
    struct timewait *t = s->tcp.tw;
    if (!t) return;
    wheel_stop(&s->wheel, &t->timer);
    for (struct list *l; (l = list_pop_front(&t->queue));) heap_free(list_entry(l, struct timewait_rec, link));
    heap_free(t->buckets);
    heap_free(t);
    s->tcp.tw = NULL;
}

uint32_t timewait_count(const struct net_stack *s) { return s->tcp.tw->count; }

struct timewait_rec *timewait_find(const struct net_stack *s, uint32_t hash, const struct ip_addr *local,
                                   const struct ip_addr *remote, uint32_t ports)
{
    const struct timewait *t = s->tcp.tw;
    struct timewait_rec *w = t->buckets[hash & t->mask];
    while (w &&
           !(w->hash == hash && w->ports == ports && addr_equal(&w->remote, remote) && addr_equal(&w->local, local)))
        w = w->next;
    return w;
}

/* More buckets if there can be: longer chains do no harm otherwise. */
static void grow(struct timewait *t)
{
    uint32_t size = (t->mask + 1) * 2;
    struct timewait_rec **bigger = heap_calloc(size, sizeof(struct timewait_rec *));
    if (!bigger) return;
    list_for_each(l, &t->queue)
    {
        struct timewait_rec *w = list_entry(l, struct timewait_rec, link), **b = &bigger[w->hash & (size - 1)];
        w->next = *b;
        *b = w;
    }
    heap_free(t->buckets);
    t->buckets = bigger;
    t->mask = size - 1;
}

void timewait_remove(struct net_stack *s, struct timewait_rec *w)
{
    struct timewait *t = s->tcp.tw;
    struct timewait_rec **at = &t->buckets[w->hash & t->mask];
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    list_remove(&w->link);
    t->count--;
    heap_free(w);
}

static void expire(struct timer *timer);

static nsec end_of(const struct timewait *t, const struct timewait_rec *w)
{
    return w->started + t->stack->conf.time_wait;
}

static void arm(struct timewait *t)
{
    if (list_is_empty(&t->queue)) return;
    struct timewait_rec *first = list_entry(t->queue.next, struct timewait_rec, link);
    wheel_start(&t->stack->wheel, &t->timer, end_of(t, first), expire);
}

static void expire(struct timer *timer)
{
    struct timewait *t = container_of(timer, struct timewait, timer);
    struct net_stack *s = t->stack;
    while (!list_is_empty(&t->queue)) {
        struct timewait_rec *first = list_entry(t->queue.next, struct timewait_rec, link);
        if (end_of(t, first) > s->now) break;
        timewait_remove(s, first);
    }
    arm(t);
}

struct timewait_rec *timewait_add(struct conn *c)
{
    struct net_stack *s = c->stack;
    struct timewait *t = s->tcp.tw;
    if (t->count >= s->conf.limits.time_wait) {
        if (!t->count) return NULL;
        timewait_remove(s, list_entry(t->queue.next, struct timewait_rec, link));
    }
    struct timewait_rec *w = heap_alloc(sizeof *w);
    if (!w) return NULL;
    uint32_t window = (c->rcv_adv - c->rcv_nxt) >> c->rcv_wscale;
    *w = (struct timewait_rec){
        .local = c->local.addr,
        .remote = c->remote.addr,
        .ports = c->ports,
        .hash = conn_hash(s->hash_seed, &c->local.addr, &c->remote.addr, c->ports),
        .snd_nxt = c->snd_nxt,
        .rcv_nxt = c->rcv_nxt,
        .ts_recent = c->ts_recent,
        .ts_offset = c->ts_offset,
        .started = s->now,
        .window = (uint16_t)(window < UINT16_MAX ? window : UINT16_MAX),
        .has_ts = c->flags & CF_TS,
        .hops = c->path.hops,
        .tos = c->path.tos,
        .wscale = c->rcv_wscale,
    };
    if (t->count > t->mask) grow(t);
    struct timewait_rec **b = &t->buckets[w->hash & t->mask];
    w->next = *b;
    *b = w;
    list_push_back(&t->queue, &w->link);
    t->count++;
    s->n.tcp_time_waits++;
    if (!timer_runs(&t->timer)) arm(t);
    return w;
}

void timewait_restart(struct net_stack *s, struct timewait_rec *w)
{
    w->started = s->now;
    list_remove(&w->link);
    list_push_back(&s->tcp.tw->queue, &w->link);
}

void timewait_send_ack(struct net_stack *s, struct timewait_rec *w)
{
    struct tcp_opts o = {
        .has = OPT_TS, .ts_val = (uint32_t)(s->now / NSEC_PER_MSEC) + w->ts_offset, .ts_ecr = w->ts_recent};
    struct bare_segment seg = {
        .local = {.addr = w->local, .port = (uint16_t)w->ports},
        .remote = {.addr = w->remote, .port = (uint16_t)(w->ports >> 16)},
        .seq = w->snd_nxt,
        .ack = w->rcv_nxt,
        .flags = TCP_ACK,
        .window = w->window,
        .opts = w->has_ts ? &o : NULL,
        .hops = w->hops,
        .tos = w->tos,
    };
    tcp_send_bare(s, &seg);
}

void timewait_remove_address(struct net_stack *s, const struct ip_addr *a)
{
    list_for_each_safe(l, &s->tcp.tw->queue)
    {
        struct timewait_rec *w = list_entry(l, struct timewait_rec, link);
        if (addr_equal(&w->local, a)) timewait_remove(s, w);
    }
}

void timewait_check(const struct net_stack *s)
{
    const struct timewait *t = s->tcp.tw;
    uint32_t count = 0;
    nsec last = 0;
    list_for_each(l, &t->queue)
    {
        const struct timewait_rec *w = list_entry(l, struct timewait_rec, link);
        ASSERT(w->hash == conn_hash(s->hash_seed, &w->local, &w->remote, w->ports));
        ASSERT(timewait_find(s, w->hash, &w->local, &w->remote, w->ports) == w);
        ASSERT(w->started >= last);
        last = w->started;
        count++;
    }
    ASSERT(count == t->count);
    ASSERT(!count || timer_runs(&t->timer));
}
