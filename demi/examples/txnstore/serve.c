/* SPDX-License-Identifier: MIT
 *
 * Clients. Any replica answers a read, with what has committed as far as it knows; the leader alone decides on
 * transactions, when it knows all that was committed before its term.
 *
 * A transaction commits if each version that it read is still the newest, in the store and in the log: the entry that
 * the leader then writes has the decision in it, and only the values; whoever applies it decides nothing. That it did
 * not commit is an entry, too: the request may come twice, and the answer is the same.
 */
#include "demi/examples/txnstore/replica.h"

#include <string.h>

static void redirect(struct txn_replica *r, const struct sockaddr_in *to)
{
    struct txn_message m = {.type = TXN_REDIRECT, .word = {r->leader}};
    txn_send(r, to, &m);
}

static void tell_outcome(struct txn_replica *r, const struct sockaddr_in *to, uint64_t session, uint64_t number,
                         uint64_t outcome, uint64_t index)
{
    struct txn_message m = {.type = TXN_OUTCOME, .word = {session, number, outcome, index}};
    txn_send(r, to, &m);
}

void txn_serve_forget(struct txn_replica *r) { memset(r->waiting, 0, sizeof r->waiting); }

/* A decision is on a majority's disks. */
void txn_serve_applied(struct txn_replica *r, const struct txn_entry *e, uint64_t index)
{
    struct txn_waiting *w = &r->waiting[e->slot];
    if (e->kind == TXN_NOTHING || w->index != index) return;
    struct txn_message welcome = {.type = TXN_WELCOME, .word = {w->nonce, e->slot, index}};
    if (e->kind == TXN_SESSION) txn_send(r, &w->from, &welcome);
    else tell_outcome(r, &w->from, e->session, e->number, e->outcome, index);
    w->index = 0;
}

static void write_for(struct txn_replica *r, struct txn_entry *e, const struct sockaddr_in *from, uint64_t nonce)
{
    uint64_t index = txn_append_entry(r, e);
    if (index) r->waiting[e->slot] = (struct txn_waiting){index, nonce, *from};
}

/* The session that has been silent for longest makes place. */
static void begin_session(struct txn_replica *r, const struct sockaddr_in *from, uint64_t nonce)
{
    struct txn_entry e = {.kind = TXN_SESSION, .slot = TXN_SESSIONS};
    uint64_t oldest = UINT64_MAX;
    for (uint16_t i = 0; i < TXN_SESSIONS; i++) {
        const struct txn_waiting *w = &r->waiting[i];
        if (w->index && w->nonce == nonce) return; /* the same, once more */
        if (w->index || r->store.sessions[i].version >= oldest) continue;
        oldest = r->store.sessions[i].version;
        e.slot = i;
    }
    if (e.slot < TXN_SESSIONS) write_for(r, &e, from, nonce);
}

static uint64_t *writes_of(struct txn_replica *r, const struct txn_op *op)
{
    return &r->writes[txn_hash(op->key, op->key_size, 0) % (sizeof r->writes / sizeof *r->writes)];
}

/* Two keys of one hash make a conflict where there is none: the client tries again. */
static enum txn_outcome decide(struct txn_replica *r, const struct txn_message *m)
{
    struct txn_reader in = {m->tail, m->tail + m->tail_size, false};
    uint64_t on_the_way = (r->log.last - r->applied + 1) * TXN_OPS_MAX; /* keys that may be new */
    struct txn_op op;
    while (txn_op_next(&in, &op)) {
        const struct txn_item *it = txn_store_find(&r->store, op.key, op.key_size);
        bool is_read = op.flags & TXN_OP_READ;
        if (is_read && (op.version != (it ? it->version : 0) || *writes_of(r, &op) > r->applied)) return TXN_CONFLICT;
        if (!it && (op.flags & TXN_OP_WRITE) && r->store.count + on_the_way > r->store.count_max) return TXN_FULL;
    }
    return TXN_COMMITTED;
}

static void commit(struct txn_replica *r, const struct sockaddr_in *from, const struct txn_message *m)
{
    static uint8_t ops[TXN_MESSAGE_MAX];
    struct txn_entry e = {.kind = TXN_TRANSACTION, .session = m->word[1], .number = m->word[2], .ops = ops};
    if (m->word[0] >= TXN_SESSIONS || !txn_ops_are_good(m->tail, m->tail_size)) {
        txn_refuse(r);
        return;
    }
    e.slot = (uint16_t)m->word[0];
    const struct txn_session *c = &r->store.sessions[e.slot];
    if (r->waiting[e.slot].index) return; /* it will hear, of this or of who takes its place */
    if (c->id != e.session) tell_outcome(r, from, e.session, e.number, TXN_NO_SESSION, 0);
    else if (c->number == e.number) tell_outcome(r, from, e.session, e.number, c->outcome, c->version);
    if (c->id != e.session || e.number <= c->number) return;
    e.outcome = (uint8_t)decide(r, m);
    struct txn_reader in = {m->tail, m->tail + m->tail_size, false};
    struct txn_writer w = {ops, ops + sizeof ops, false};
    struct txn_op op;
    while (e.outcome == TXN_COMMITTED && txn_op_next(&in, &op)) {
        if (!(op.flags & TXN_OP_WRITE)) continue;
        op.flags = TXN_OP_WRITE;
        txn_op_write(&w, &op);
    }
    e.ops_size = (size_t)(w.at - ops);
    uint64_t last = r->log.last;
    write_for(r, &e, from, 0);
    for (in = (struct txn_reader){ops, w.at, false}; r->log.last > last && txn_op_next(&in, &op);)
        *writes_of(r, &op) = r->log.last;
}

static void read_key(struct txn_replica *r, const struct sockaddr_in *from, const struct txn_message *m)
{
    struct txn_message out = {.type = TXN_VALUE, .word = {m->word[0]}};
    if (m->tail_size < 1 || m->tail_size > TXN_KEY_MAX) {
        txn_refuse(r);
        return;
    }
    const struct txn_item *it = txn_store_find(&r->store, m->tail, m->tail_size);
    if (it) {
        out.word[1] = it->version;
        out.tail = it->value;
        out.tail_size = it->value_size;
    }
    txn_send(r, from, &out);
}

static void tell_status(struct txn_replica *r, const struct sockaddr_in *from, uint64_t nonce)
{
    struct txn_message m = {.type = TXN_STATUS_IS,
                            .word = {nonce, (uint64_t)r->role, r->term, r->leader, r->log.last, r->commit, r->applied,
                                     r->store.count, txn_store_digest(&r->store), r->counts.refused}};
    txn_send(r, from, &m);
}

void txn_serve(struct txn_replica *r, const struct sockaddr_in *from, const struct txn_message *m)
{
    bool is_ready = r->role == TXN_LEADER && r->applied >= r->ready;
    switch (m->type) {
    case TXN_GET: read_key(r, from, m); break;
    case TXN_STATUS: tell_status(r, from, m->word[0]); break;
    case TXN_HELLO:
    case TXN_COMMIT:
        if (r->role != TXN_LEADER) redirect(r, from);
        else if (is_ready && m->type == TXN_HELLO) begin_session(r, from, m->word[0]);
        else if (is_ready) commit(r, from, m);
        break;
    default: txn_refuse(r);
    }
}
