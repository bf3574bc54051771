/* SPDX-License-Identifier: MIT
 *
 * Connections and what is on its way through them. Each direction is a line of items in order; one event stands for the
 * first of them.
 */
#include "libos/sim/world.h"

#include "alloc/base/assert.h"
#include "alloc/base/hash.h"

#include <stdlib.h>
#include <string.h>

void sim_items_init(struct items *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

void sim_items_add(struct items *l, struct sim_item *it)
{
    it->next = NULL;
    *l->tail = it;
    l->tail = &it->next;
}

struct sim_item *sim_items_shift(struct items *l)
{
    struct sim_item *it = l->head;
    if (!it) return NULL;
    l->head = it->next;
    if (!l->head) l->tail = &l->head;
    return it;
}

void sim_items_free(struct items *l)
{
    for (struct sim_item *it; (it = sim_items_shift(l));) free(it);
}

struct sim_conn *sim_conn_new(struct sim *s)
{
    struct sim_conn *c = calloc(1, sizeof *c);
    ASSERT(c);
    c->sim = s;
    c->id = ++s->conn_ids;
    list_push_back(&s->conns, &c->all);
    for (int i = 0; i < 2; i++) {
        struct sim_end *e = &c->ends[i];
        e->conn = c;
        sim_items_init(&e->wire);
        sim_items_init(&e->in);
    }
    return c;
}

void sim_conn_free(struct sim_conn *c)
{
    list_remove(&c->all);
    for (int i = 0; i < 2; i++) {
        struct sim_end *e = &c->ends[i];
        sim_items_free(&e->wire);
        sim_items_free(&e->in);
        seg_ring_free(&e->out);
        free(e->tail);
    }
    free(c);
}

void sim_conn_unref(struct sim_conn *c)
{
    ASSERT(c->refs);
    if (!--c->refs) sim_conn_free(c);
}

void sim_conn_break(struct sim_conn *c)
{
    c->sim->stats.resets++;
    sim_tell(c->sim, "break", c->id, 0);
    for (int i = 0; i < 2; i++) {
        struct sim_end *e = &c->ends[i];
        if (!e->host) continue;
        sim_items_free(&e->wire);
        e->wire_last_at = 0;
        sim_wire_send(e, ITEM_RST, NULL, 0);
    }
}

void sim_conn_lose(struct sim_end *e)
{
    struct sim *s = e->conn->sim;
    struct sim_end *peer = peer_of(e);
    sim_tell(s, "lose", e->conn->id, 0);
    sim_items_free(&e->wire);
    sim_wire_send(e, ITEM_RST, NULL, 0);
    if (rng_below(&s->rng, 2)) sim_items_free(&peer->wire);
    sim_wire_send(peer, ITEM_RST, NULL, 0); /* what its program still says comes behind it, and is not heard */
}

static void wire_arrives(void *arg);

static void schedule(struct sim_end *to, uint64_t at)
{
    to->wire_event = true;
    sim_conn_ref(to->conn);
    sim_events_add(&to->conn->sim->events, at, wire_arrives, to);
}

/* Everything that is due, in order. */
static void wire_arrives(void *arg)
{
    struct sim_end *e = arg;
    struct sim_conn *c = e->conn;
    struct sim *s = c->sim;
    e->wire_event = false;
    for (struct sim_item *it; (it = e->wire.head);) {
        if (sim_link_is_cut(s, peer_of(e)->host, e->host)) {
            e->wire_stalled = true;
            break;
        }
        if (it->at > s->now) {
            schedule(e, it->at);
            break;
        }
        sim_end_arrive(e, sim_items_shift(&e->wire));
    }
    sim_conn_unref(c);
}

void sim_wire_send(struct sim_end *to, enum item_kind kind, const char *bytes, uint32_t n)
{
    struct sim *s = to->conn->sim;
    size_t carried = bytes ? n : 0;
    struct sim_item *it = malloc(sizeof *it + carried);
    ASSERT(it);
    *it = (struct sim_item){.kind = kind, .n = n};
    if (carried) memcpy(it->bytes, bytes, carried);
    it->at = s->now + sim_link_delay(s, sim_link_of(s, peer_of(to)->host, to->host));
    if (it->at < to->wire_last_at) it->at = to->wire_last_at;
    to->wire_last_at = it->at;
    sim_items_add(&to->wire, it);
    if (!to->wire_event && !to->wire_stalled) schedule(to, to->wire.head->at);
}

void sim_wire_heal(struct sim_end *to)
{
    if (!to->wire_stalled) return;
    struct sim *s = to->conn->sim;
    to->wire_stalled = false;
    schedule(to, s->now + sim_link_delay(s, sim_link_of(s, peer_of(to)->host, to->host)));
}
