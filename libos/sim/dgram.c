/* SPDX-License-Identifier: MIT
 *
 * Datagrams: each finds its own way, or does not.
 */
#include "libos/sim/world.h"

#include "libos/runtime/address.h"
#include "libos/runtime/handover.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"
#include "alloc/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void answer_pops(struct sim_sock *s)
{
    while (s->st.pops.head && s->dgrams) {
        struct sim_dgram *d = s->dgrams;
        s->dgrams = d->next;
        if (!s->dgrams) s->dgrams_tail = &s->dgrams;
        s->dgram_count--;
        struct op *op = op_list_shift(&s->st.pops);
        struct buf *b = buf_take(d->n);
        sim_host_wake(s->host);
        if (!b) {
            op_fail(&s->q.rt->ops, op, ENOMEM);
            free(d);
            continue;
        }
        memcpy(buf_put_back(b, d->n), d->bytes, d->n);
        memset(&op->value, 0, sizeof op->value);
        op->value.sga =
            (demi_sgarray_t){.sga_buf = b, .sga_numsegs = 1, .sga_segs = {{b->data, b->len}}, .sga_addr = d->from};
        op_complete(&s->q.rt->ops, op);
        free(d);
    }
}

static bool is_for(const struct sim_sock *s, const struct sim_dgram *d)
{
    if (!s->dgram || s->state == SOCK_NEW || s->local.sin_port != d->to.sin_port) return false;
    if (s->local.sin_addr.s_addr != INADDR_ANY && s->local.sin_addr.s_addr != d->to.sin_addr.s_addr) return false;
    return s->state != SOCK_CONNECTED ||
           (s->peer.sin_port == d->from.sin_port && s->peer.sin_addr.s_addr == d->from.sin_addr.s_addr);
}

static struct sim_sock *addressee_find(const struct sim_dgram *d)
{
    struct sim_host *h = sim_host_find(d->sim, d->to.sin_addr.s_addr),
                    *from = sim_host_find(d->sim, d->from.sin_addr.s_addr);
    if (!h || sim_link_is_cut(d->sim, from, h)) return NULL;
    list_for_each(it, &h->socks) if (is_for(list_entry(it, struct sim_sock, link), d)) return list_entry(
        it, struct sim_sock, link);
    return NULL;
}

static void arrive(void *arg)
{
    struct sim_dgram *d = arg;
    struct sim_sock *s = addressee_find(d);
    list_remove(&d->all);
    sim_tell(d->sim, s ? "datagram" : "lost", ntohs(d->to.sin_port), d->n);
    if (!s || s->dgram_count == SIM_DGRAMS_MAX) {
        d->sim->stats.datagrams_lost++;
        free(d);
        return;
    }
    d->next = NULL;
    *s->dgrams_tail = d;
    s->dgrams_tail = &d->next;
    s->dgram_count++;
    answer_pops(s);
}

static void send_one(struct sim_host *from, const struct sim_dgram *d)
{
    struct sim *s = from->sim;
    size_t size = sizeof *d + d->n;
    struct sim_dgram *copy = malloc(size);
    ASSERT(copy);
    memcpy(copy, d, size);
    list_push_back(&s->dgrams, &copy->all);
    const struct sim_link *l = sim_link_of(s, from, sim_host_find(s, d->to.sin_addr.s_addr));
    sim_events_add(&s->events, s->now + sim_link_delay(s, l), arrive, copy);
}

int sim_dgram_push(struct queue *q, struct op *op, struct seg *segs, unsigned count, const struct sockaddr *addr,
                   socklen_t size, unsigned flags)
{
    struct sim_sock *s = sock_of(q);
    assert_push_given(q, op, segs, count, flags);
    struct sim *sim = s->host->sim;
    size_t n = 0;
    for (unsigned i = 0; i < count; i++) n += segs[i].n;
    int err = addr ? address_check(addr, size, AF_INET) : s->state == SOCK_CONNECTED ? 0 : -ENOTCONN;
    if (!err) err = n > SIM_DGRAM_BYTES ? -EMSGSIZE : sim_sock_autobind(s);
    if (err) return err;
    struct sim_dgram *d = calloc(1, sizeof *d + n);
    ASSERT(d);
    d->sim = sim;
    d->from = s->local;
    d->from.sin_addr.s_addr = s->host->addr;
    if (addr) memcpy(&d->to, addr, sizeof d->to);
    else d->to = s->peer;
    for (unsigned i = 0; i < count; i++) {
        memcpy(d->bytes + d->n, segs[i].p, segs[i].n);
        d->n += segs[i].n;
        seg_release(&segs[i]);
    }
    sim_note(sim, hash_bytes(d->bytes, d->n, 0));
    const struct sim_link *l = sim_link_of(sim, s->host, sim_host_find(sim, d->to.sin_addr.s_addr));
    sim->stats.datagrams++;
    if (s->host->crashed || sim_chance(sim, l->loss_ppm)) sim->stats.datagrams_lost++;
    else send_one(s->host, d);
    if (!s->host->crashed && sim_chance(sim, l->twice_ppm)) send_one(s->host, d);
    free(d);
    if (op) op_complete_plain(&q->rt->ops, op, 0);
    return 0;
}

int sim_dgram_pop(struct queue *q, struct op *op)
{
    struct sim_sock *s = sock_of(q);
    assert_op_given(q, op, DEMI_OPC_POP);
    if (s->state == SOCK_NEW) return -EDESTADDRREQ;
    op_list_append(&s->st.pops, op);
    answer_pops(s);
    return 0;
}

void sim_dgram_drop(struct sim_sock *s)
{
    for (struct sim_dgram *d; (d = s->dgrams);) {
        s->dgrams = d->next;
        free(d);
    }
}
