/* SPDX-License-Identifier: MIT
 *
 * The log, from the leader to the others (Raft: Ongaro 2014, 3.5): datagrams that say what stands before them, so that
 * one that comes twice, late or never does no harm. An acknowledgement tells what is on the follower's disk. A follower
 * that lacks what the leader has no longer in its log asks for a copy of the store, piece by piece; the leader keeps
 * nothing about it.
 */
#include "demi/examples/txnstore/replica.h"

#include <errno.h>

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* --- what has committed ------------------------------------------------------------------------------------------- */

static void apply(struct txn_replica *r)
{
    while (!r->error && r->applied < r->commit) {
        const struct txn_slot *s = txn_entries_at(&r->log, r->applied + 1);
        struct txn_session c = {.version = ++r->applied};
        struct txn_entry e = {0};
        struct txn_op op;
        txn_entry_decode(&e, s->bytes, s->size); /* was good when it came */
        struct txn_reader ops = {e.ops, e.ops + e.ops_size, false};
        while (txn_op_next(&ops, &op))
            if (!r->error) r->error = txn_store_put(&r->store, &op, r->applied);
        c.id = e.kind == TXN_SESSION ? r->applied : e.session;
        c.number = e.number;
        c.outcome = e.outcome;
        if (e.kind != TXN_NOTHING) txn_store_put_session(&r->store, e.slot, &c);
        r->counts.committed += e.kind == TXN_TRANSACTION && e.outcome == TXN_COMMITTED;
        r->counts.conflicts += e.kind == TXN_TRANSACTION && e.outcome == TXN_CONFLICT;
        if (r->role == TXN_LEADER) txn_serve_applied(r, &e, r->applied);
    }
}

/* What a majority has on its disks, if an entry of this term is the last of it (3.6.2). */
static void count(struct txn_replica *r)
{
    uint64_t a = r->durable, b = 0, c = 0;
    for (unsigned i = 0; i < TXN_REPLICAS; i++) {
        if (i == r->o->id) continue;
        c = b;
        b = r->others[i].match;
    }
    uint64_t middle = most(least(a, b), least(most(a, b), c));
    if (middle > r->commit && txn_entries_term(&r->log, middle) == r->term) r->commit = middle;
    apply(r);
}

/* --- the leader --------------------------------------------------------------------------------------------------- */

uint64_t txn_append_entry(struct txn_replica *r, struct txn_entry *e)
{
    static uint8_t bytes[TXN_ENTRY_MAX];
    struct txn_writer w = {bytes, bytes + sizeof bytes, false};
    e->term = r->term;
    txn_entry_write(&w, e);
    if (w.bad || !txn_keep_room(r)) return 0;
    return txn_entries_append(&r->log, r->term, bytes, (size_t)(w.at - bytes)) ? 0 : r->log.last;
}

static void send_piece(struct txn_replica *r, unsigned to, uint64_t mark, uint64_t mark_term, uint64_t position)
{
    static uint8_t piece[TXN_MESSAGE_MAX];
    struct txn_writer w = {piece, piece + txn_tail_max(TXN_STATE), false};
    uint64_t next = txn_store_copy(&r->store, (uint32_t)position, &w);
    struct txn_message m = {.type = TXN_STATE,
                            .word = {r->term, mark, mark_term, position, next},
                            .tail = piece,
                            .tail_size = (size_t)(w.at - piece)};
    r->counts.copies += position == 0;
    txn_send_to(r, to, &m);
}

/* One datagram: what fits from `next` on. */
static void send_entries(struct txn_replica *r, unsigned to)
{
    static uint8_t tail[TXN_MESSAGE_MAX];
    struct txn_follower *f = &r->others[to];
    struct txn_writer w = {tail, tail + txn_tail_max(TXN_APPEND), false};
    uint64_t before = f->next - 1;
    for (; f->next <= r->log.last; f->next++) {
        const struct txn_slot *s = txn_entries_at(&r->log, f->next);
        if ((size_t)(w.end - w.at) < 2 + s->size) break;
        txn_write(&w, s->size, 2);
        txn_write_bytes(&w, s->bytes, s->size);
    }
    struct txn_message m = {.type = TXN_APPEND,
                            .word = {r->term, before, txn_entries_term(&r->log, before), r->commit},
                            .tail = tail,
                            .tail_size = (size_t)(w.at - tail)};
    txn_send_to(r, to, &m);
}

static void catch_up(struct txn_replica *r, unsigned to)
{
    const struct txn_follower *f = &r->others[to];
    while (f->next > r->log.base && f->next <= r->log.last && f->next - f->match <= TXN_WINDOW) send_entries(r, to);
}

void txn_append_send(struct txn_replica *r)
{
    for (unsigned i = 0; r->role == TXN_LEADER && i < TXN_REPLICAS; i++)
        if (i != r->o->id) catch_up(r, i);
}

/* Who has acknowledged nothing since the last one is sent everything again. */
void txn_append_heartbeat(struct txn_replica *r)
{
    r->beat_ns = r->now_ns;
    for (unsigned i = 0; i < TXN_REPLICAS; i++) {
        struct txn_follower *f = &r->others[i];
        if (i == r->o->id) continue;
        if (f->match && f->match == f->match_before) f->next = f->match + 1;
        f->match_before = f->match;
        if (f->next <= r->log.base) f->next = r->log.last + 1; /* to be told that it does not fit */
        send_entries(r, i);
    }
}

void txn_append_acked(struct txn_replica *r, const struct txn_message *m)
{
    uint64_t term = m->word[0], fits = m->word[1], index = m->word[2];
    struct txn_follower *f = &r->others[m->from];
    if (r->role != TXN_LEADER || term != r->term) return;
    if (index > r->log.last + 1 || (fits && index > r->log.last)) {
        txn_refuse(r);
        return;
    }
    f->heard_ns = r->now_ns;
    if (fits) {
        f->match = most(f->match, index);
        f->next = most(f->next, f->match + 1);
        count(r);
        return;
    }
    f->next = most(index, f->match + 1);
    if (f->next <= r->log.base) send_piece(r, m->from, r->applied, txn_entries_term(&r->log, r->applied), 0);
    else if (index > f->match) send_entries(r, m->from);
    /* else it has been started again, or has lost its disk, and might say so at once again: by the next heartbeat */
}

void txn_append_copy_asked(struct txn_replica *r, const struct txn_message *m)
{
    if (r->role != TXN_LEADER || m->word[0] != r->term) return;
    if (m->word[1] > r->applied || m->word[3] > TXN_SESSIONS + r->store.count) {
        txn_refuse(r);
        return;
    }
    r->others[m->from].heard_ns = r->now_ns;
    send_piece(r, m->from, m->word[1], m->word[2], m->word[3]);
}

/* --- the follower ------------------------------------------------------------------------------------------------- */

static void answer(struct txn_replica *r, unsigned to, uint64_t fits, uint64_t index)
{
    struct txn_message m = {.type = TXN_ACK, .word = {r->term, fits, index}};
    txn_send_to(r, to, &m);
}

static void answer_durable(struct txn_replica *r, unsigned to)
{
    if (!txn_keep_meta_is_durable(r)) return;
    r->acked = least(r->match, r->durable);
    answer(r, to, 1, r->acked);
}

/* The piece of the copy that is wanted next. */
static void ask_for_copy(struct txn_replica *r, uint64_t mark_term)
{
    struct txn_message m = {.type = TXN_STATE_ASK, .word = {r->term, r->copy_mark, mark_term, r->copy_position}};
    txn_send_to(r, r->leader, &m);
}

void txn_append_durable(struct txn_replica *r)
{
    if (r->role == TXN_LEADER) count(r);
    if (r->ack_owed < 0 || r->acked == least(r->match, r->durable)) return;
    answer_durable(r, (unsigned)r->ack_owed);
    if (r->durable >= r->match) r->ack_owed = -1;
}

/* The leader of a term speaks. False: of an old one, or nobody that could be. */
static bool is_led_by(struct txn_replica *r, const struct txn_message *m)
{
    uint64_t term = m->word[0];
    if (term < r->term) answer(r, m->from, 0, 0);
    if (term == r->term && r->role == TXN_LEADER) txn_refuse(r);
    if (term < r->term || (term == r->term && r->role == TXN_LEADER)) return false;
    r->role = TXN_FOLLOWER;
    r->leader = m->from;
    r->heard_ns = r->now_ns;
    return true;
}

/* The entries behind `index`; returns the last one that is now here as the leader has it. */
static uint64_t take_entries(struct txn_replica *r, uint64_t index, struct txn_reader in)
{
    while (in.at < in.end) {
        size_t size = (size_t)txn_read(&in, 2);
        const uint8_t *bytes = txn_read_bytes(&in, size);
        struct txn_entry e;
        bool is_good = bytes && txn_entry_decode(&e, bytes, size) && e.term <= r->term;
        bool is_here = is_good && index + 1 <= r->log.last &&
                       (index + 1 <= r->log.base || txn_entries_term(&r->log, index + 1) == e.term);
        if (!is_good || (!is_here && index + 1 <= r->commit)) {
            txn_refuse(r); /* what has committed does not change */
            return index;
        }
        if (!is_here) {
            txn_entries_cut(&r->log, index + 1);
            r->pushed = least(r->pushed, index);
            r->durable = least(r->durable, index);
            if (!txn_keep_room(r) || txn_entries_append(&r->log, e.term, bytes, size)) return index;
        }
        index++;
    }
    return index;
}

void txn_append_take(struct txn_replica *r, const struct txn_message *m)
{
    uint64_t before = m->word[1], before_term = m->word[2], commit = m->word[3];
    if (!is_led_by(r, m)) return;
    if (before > UINT64_MAX / 2) {
        txn_refuse(r);
        return;
    }
    if (before > r->log.last || (before >= r->log.base && txn_entries_term(&r->log, before) != before_term)) {
        if (r->copy_mark) ask_for_copy(r, r->copy_term);
        else answer(r, m->from, 0, most(r->match, r->commit) + 1);
        return;
    }
    r->copy_mark = 0;
    r->match = most(r->match, take_entries(r, before, (struct txn_reader){m->tail, m->tail + m->tail_size, false}));
    r->commit = most(r->commit, least(commit, r->match));
    apply(r);
    if (r->durable < r->match) r->ack_owed = m->from;
    if (r->durable >= r->match || m->tail_size == 0) answer_durable(r, m->from);
}

/* A piece of the leader's store: the first one begins a copy, others must be the one that is wanted. */
void txn_append_copy(struct txn_replica *r, const struct txn_message *m)
{
    uint64_t mark = m->word[1], term = m->word[2], position = m->word[3], next = m->word[4];
    if (!is_led_by(r, m) || mark <= r->commit) return;
    if (r->copy_mark ? mark != r->copy_mark || position != r->copy_position : position != 0) return;
    if (term > r->term || (next && next <= position) || next > UINT32_MAX) {
        txn_refuse(r);
        return;
    }
    if (!txn_keep_items(r, m->tail, m->tail_size)) return; /* the disk is busy: it is asked for again */
    int err = txn_store_fold(&r->store, m->tail, m->tail_size);
    if (err == EBADMSG) txn_refuse(r);
    else if (err) r->error = err;
    if (err) return;
    r->copy_mark = mark;
    r->copy_term = term;
    r->copy_position = next;
    if (next) {
        ask_for_copy(r, term);
        return;
    }
    if (!txn_keep_mark(r, mark, term)) {
        r->copy_mark = 0; /* from the beginning, once there is room */
        return;
    }
    r->copy_mark = 0;
    r->commit = r->applied = r->match = mark;
    r->ack_owed = m->from;
}
