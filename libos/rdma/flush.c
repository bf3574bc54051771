/* SPDX-License-Identifier: MIT
 *
 * Whose turn it is, and what the peer is to hear: credits, and the flush at the end of a turn.
 *
 * Connections take turns: ROUND_MESSAGES each, so that a large value does not keep the short replies of others waiting.
 */
#include "libos/rdma/out.h"

#define ROUND_MESSAGES 16

/* --- credits ------------------------------------------------------------------------------------------------------ */

bool rdma_send_granted(struct rdma_conn *c, uint64_t count)
{
    if (count > c->sent) return false;
    if (count <= c->granted) return true; /* an older one: the two ways overtake each other */
    c->granted = count;
    if (c->stalled && rdma_room(c) > 1) {
        c->stalled = false;
        list_remove(&c->waiting);
        rdma_send_mark(c);
    } else if (c->fin_seen_due) {
        rdma_send_mark(c);
    }
    return true;
}

unsigned rdma_send_look_at_words(struct rdma *r)
{
    unsigned found = 0;
    struct list again;
    list_init(&again);
    list_splice_back(&again, &r->waiting);
    for (struct list *l; (l = list_pop_front(&again));) {
        struct rdma_conn *c = list_entry(l, struct rdma_conn, waiting);
        list_push_back(&r->waiting, &c->waiting);
        uint64_t before = c->granted;
        if (!rdma_send_granted(c, word_read(&c->word))) rdma_conn_protocol_error(c, "a count of more than was sent");
        found += c->granted != before;
    }
    return found;
}

static void stall(struct rdma_conn *c)
{
    if (c->stalled) return;
    c->stalled = true;
    rdma_recv_doubt(c);
    c->r->tx_stalled++;
    list_push_back(&c->r->waiting, &c->waiting);
}

/* --- the next request, in Valkey's framing ------------------------------------------------------------------------ */

enum outcome { IDLE, AGAIN, LATER };

static enum outcome build_valkey(struct rdma_conn *c)
{
    struct valkey_wire *w = &c->v->w;
    if (valkey_wire_has_to_say(w)) return rdma_build_word(c) ? AGAIN : LATER;
    if (c->probe_due) {
        c->probe_due = false;
        c->probe_out = true;
    } else if (rdma_has_data(c)) {
        if (!valkey_wire_room(w)) return IDLE; /* valkey_received() */
        return rdma_build_written(c) ? AGAIN : LATER;
    } else if (c->fin_due) {
        c->fin_due = false;
        c->fin_sent = true;
    } else {
        return IDLE;
    }
    rdma_build_nothing(c);
    return AGAIN;
}

/* --- the next request --------------------------------------------------------------------------------------------- */

/* What the peer is to hear besides, or instead. */
static void build_counts(struct rdma_conn *c)
{
    if (c->probe_due) {
        c->probe_due = false;
        c->probe_out = true;
        rdma_build_count(c, true);
        return;
    }
    if (!rdma_owes_much(c)) return;
    if (c->peer_stalled && rdma_room(c) > 0 && rdma_build_plain(c, WIRE_COUNT, false)) {
        c->peer_stalled = false;
        c->r->count_messages++;
        return;
    }
    rdma_build_count(c, false);
}

/* One request, if there is one to be made. LATER: something else must happen first, which marks the connection. */
static enum outcome build_one(struct rdma_conn *c)
{
    if (!rdma_slots_free(c)) return IDLE; /* rdma_send_reported() */
    if (unlikely(c->v)) return build_valkey(c);
    if (c->fin_seen_due && rdma_room(c) > 0) {
        if (!rdma_build_plain(c, WIRE_FIN_SEEN, true)) return LATER;
        c->fin_seen_due = false;
        return AGAIN;
    }
    bool data = rdma_has_data(c);
    if (data || c->fin_due) {
        if (rdma_room(c) <= 1) {
            stall(c);
        } else if (data) {
            return rdma_build_data(c) ? AGAIN : LATER;
        } else {
            if (!rdma_build_plain(c, WIRE_FIN, true)) return LATER;
            c->fin_due = false;
            c->fin_sent = true;
            return AGAIN;
        }
    }
    if (c->probe_due || rdma_owes_much(c)) {
        build_counts(c);
        return AGAIN;
    }
    return IDLE;
}

void rdma_send_mark(struct rdma_conn *c)
{
    if (c->state != CONN_UP) return;
    if (list_is_empty(&c->dirty)) list_push_back(&c->r->dirty, &c->dirty);
    runtime_need_flush(c->r->base.rt);
}

/* Most replies are one message. */
static inline bool has_nothing_more(const struct rdma_conn *c)
{
    return !rdma_has_data(c) && !c->v && !c->fin_due && !c->fin_seen_due && !c->probe_due && !rdma_owes_much(c);
}

/* False: the device is full. */
static bool flush_conn(struct rdma_conn *c)
{
    struct rdma *r = c->r;
    DASSERT(!c->prompt || !c->cell_bytes); /* those have left */
    c->prompt = 0;
    for (unsigned i = 0; i < ROUND_MESSAGES; i++) {
        if (r->batch.n == MSGDEV_BURST && !rdma_batch_submit(r)) {
            list_push_front(&r->dirty, &c->dirty);
            return false;
        }
        enum outcome o = build_one(c);
        if (o == AGAIN) {
            if (unlikely(!has_nothing_more(c))) continue;
            rdma_prompt_begin(c);
            return true;
        }
        if (o == LATER) {
            r->no_buffer++;
            list_push_back(&r->dirty, &c->dirty);
        }
        return true;
    }
    list_push_back(&r->dirty, &c->dirty);
    return true;
}

void rdma_send_flush(struct rdma *r)
{
    bool full = !rdma_batch_submit(r) || !rdma_prompt_flush(r);
    uint64_t no_buffer = r->no_buffer;
    while (!full && r->no_buffer == no_buffer) {
        struct list *l = list_pop_front(&r->dirty);
        if (!l) break;
        full = !flush_conn(list_entry(l, struct rdma_conn, dirty));
    }
    if (!full) full = !rdma_batch_submit(r);
    r->stuck = full || r->no_buffer != no_buffer;
    if (r->stuck) runtime_need_flush(r->base.rt);
}
