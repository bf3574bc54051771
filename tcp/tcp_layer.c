/* SPDX-License-Identifier: MIT
 *
 * TCP's part of the stack as a whole: set up, torn down, flushed at the end of a turn; and the bounds on answers.
 */
#include "tcp/stack_impl.h"

#include "alloc/heap.h"
#include "tcp/conn_table.h"
#include "tcp/listener.h"
#include "tcp/synq.h"
#include "tcp/timewait.h"

#include <errno.h>

int tcp_layer_init(struct net_stack *s)
{
    struct tcp_layer *t = &s->tcp;
    list_init(&t->all);
    list_init(&t->dirty);
    list_init(&t->ended);
    list_init(&t->doomed);
    t->second = UINT64_MAX;
    int err = ports_init(&t->ports, 0, 0, s->key_port);
    if (err) return err;
    err = conn_table_init(&t->conns);
    if (err) return err;
    err = listeners_init(s);
    if (err) goto fini_conns;
    err = synq_init(s);
    if (err) goto fini_listeners;
    err = timewait_init(s);
    if (err) goto fini_synq;
    return 0;

fini_synq:
    synq_fini(s);
fini_listeners:
    listeners_fini(s);
fini_conns:
    conn_table_fini(&t->conns);
    return err;
}

void tcp_layer_fini(struct net_stack *s)
{
    struct tcp_layer *t = &s->tcp;
    while (!list_is_empty(&t->all)) {
        struct conn *c = list_entry(t->all.next, struct conn, all);
        c->flags = (c->flags | CF_DETACHED) & ~CF_ACTIVE; /* without a word to anybody */
        conn_finish(c, ECONNABORTED);
    }
    while (!list_is_empty(&t->ended)) conn_doom(list_entry(t->ended.next, struct conn, all));
    conn_reap(s);
    synq_fini(s);
    timewait_fini(s);
    listeners_fini(s);
    conn_table_fini(&t->conns);
}

/* --- the end of a turn -------------------------------------------------------------------------------------------- */

bool tcp_wants_flush(const struct net_stack *s)
{
    return !list_is_empty(&s->tcp.dirty) || !list_is_empty(&s->tcp.doomed);
}

void tcp_flush(struct net_stack *s)
{
    struct list turn; /* who becomes dirty meanwhile is looked at next time */
    list_init(&turn);
    list_splice_back(&turn, &s->tcp.dirty);
    for (struct list *l; (l = list_pop_front(&turn));) {
        struct conn *c = list_entry(l, struct conn, dirty);
        if (unlikely(!tcp_output(c))) { /* no room for frames: who waited behind it comes first next time */
            list_splice_back(&s->tcp.dirty, &turn);
            if (!(c->flags & CF_DEAD)) conn_dirty(c);
            break;
        }
        if ((c->flags & CF_ACK_DELAYED) && c->deadlines[DL_ACK] == NSEC_NEVER)
            conn_timer_set(c, DL_ACK, s->now + s->conf.delayed_ack);
#ifdef DEMI_DEBUG
        conn_check(c);
#endif
    }
    if (unlikely(!list_is_empty(&s->tcp.doomed)) && !s->tcp.depth) conn_reap(s);
}

/* Calls fn for all; it may end any of them: each leaves whatever list it is in. */
void tcp_visit_conns(struct net_stack *s, void (*fn)(void *arg, struct conn *c), void *arg)
{
    struct list todo;
    list_init(&todo);
    list_splice_back(&todo, &s->tcp.all);
    for (struct list *l; (l = list_pop_front(&todo));) {
        list_push_back(&s->tcp.all, l);
        fn(arg, list_entry(l, struct conn, all));
    }
}

static void end_if_there(void *arg, struct conn *c)
{
    if (addr_equal(&c->local.addr, arg)) conn_finish(c, EADDRNOTAVAIL);
}

void tcp_address_gone(struct net_stack *s, const struct ip_addr *a)
{
    struct ip_addr gone = *a;
    synq_remove_address(s, a);
    timewait_remove_address(s, a);
    tcp_visit_conns(s, end_if_there, &gone);
}

void tcp_layer_check(const struct net_stack *s)
{
    uint32_t count = 0;
    conn_table_check(&s->tcp.conns);
    list_for_each(l, &s->tcp.all)
    {
        const struct conn *c = list_entry(l, struct conn, all);
        uint32_t hash = conn_hash(s->hash_seed, &c->local.addr, &c->remote.addr, c->ports);
        ASSERT(c->ports == conn_ports(c->local.port, c->remote.port));
        ASSERT(conn_table_find(&s->tcp.conns, hash, &c->local.addr, &c->remote.addr, c->ports) == c);
        conn_check(c);
        count++;
    }
    ASSERT(count == s->tcp.conn_count && count == s->tcp.conns.count);
    synq_check(s);
    timewait_check(s);
}

/* --- bounds on answers -------------------------------------------------------------------------------------------- */

static void look_at_second(struct net_stack *s)
{
    uint64_t second = s->now / NSEC_PER_SEC;
    if (likely(s->tcp.second == second)) return;
    uint32_t challenges = s->conf.limits.challenge_per_s;
    s->tcp.second = second;
    s->tcp.resets_left = s->conf.limits.resets_per_s;
    /* Half of the bound and a random share: whoever counts answers learns nothing of other connections
     * (CVE-2016-5696). */
    s->tcp.challenges_left = challenges / 2 + (uint32_t)rng_below(&s->rng, challenges + 1);
}

bool tcp_may_answer(struct net_stack *s, struct answer_count *n)
{
    if (!n) return true;
    uint32_t second = (uint32_t)(s->now / NSEC_PER_SEC) & 0x0fffffff;
    if (((second - n->since_s) & 0x0fffffff) >= 5 || !n->count) *n = (struct answer_count){.since_s = second};
    if (n->count >= ANSWERS_PER_5S) return false;
    n->count++;
    return true;
}

bool tcp_may_challenge(struct net_stack *s, struct answer_count *n)
{
    look_at_second(s);
    if (!s->tcp.challenges_left || !tcp_may_answer(s, n)) {
        s->n.drop_tcp_rate++;
        return false;
    }
    s->tcp.challenges_left--;
    s->n.tcp_challenge++;
    return true;
}

bool tcp_may_reset(struct net_stack *s)
{
    look_at_second(s);
    if (!s->tcp.resets_left) {
        s->n.drop_tcp_rate++;
        return false;
    }
    s->tcp.resets_left--;
    return true;
}
