/* SPDX-License-Identifier: MIT
 *
 * Terms and votes: Raft's (Ongaro 2014, chapter 3), with two of its additions. Who hears a leader gives no votes
 * (4.2.3), so that one replica that hears nobody does not depose it; and a leader that is not heard by a majority
 * steps down (6.2), so that one that cannot be answered does not keep the others from finding another.
 *
 * A promise, of a term or a vote, leaves this replica only when it is on the disk: whoever owes an answer waits in
 * vote_owed for txn_elect_durable().
 */
#include "demi/examples/txnstore/replica.h"

#include <string.h>

#define TERM_MAX ((uint64_t)1 << 62)

/* A follower that has heard nobody. What it has promised in this term stands. */
static void step_down(struct txn_replica *r)
{
    if (r->role == TXN_LEADER) txn_serve_forget(r);
    r->role = TXN_FOLLOWER;
    r->leader = TXN_CLIENT;
    r->match = r->acked = 0;
    r->vote_owed = r->ack_owed = -1;
    r->copy_mark = 0;
}

void txn_elect_term(struct txn_replica *r, uint64_t term)
{
    step_down(r);
    r->term = term;
    r->vote = -1;
    r->meta_push = 0;
}

static void be_patient(struct txn_replica *r)
{
    r->heard_ns = r->now_ns;
    r->patience_ns = TXN_ELECTION_NS + txn_random(&r->seed) % TXN_ELECTION_NS;
}

static void ask(struct txn_replica *r)
{
    struct txn_message m = {.type = TXN_VOTE_ASK,
                            .word = {r->term, r->log.last, txn_entries_term(&r->log, r->log.last)}};
    r->beat_ns = r->now_ns;
    for (unsigned i = 0; i < TXN_REPLICAS; i++)
        if (!(r->votes & 1u << i)) txn_send_to(r, i, &m);
}

static void stand(struct txn_replica *r)
{
    txn_elect_term(r, r->term + 1);
    r->role = TXN_CANDIDATE;
    r->vote = (int)r->o->id;
    r->votes = 1u << r->o->id;
    r->counts.elections++;
    be_patient(r);
}

static void lead(struct txn_replica *r)
{
    struct txn_entry nothing = {.kind = TXN_NOTHING};
    r->role = TXN_LEADER;
    r->leader = r->o->id;
    memset(r->writes, 0, sizeof r->writes);
    memset(r->others, 0, sizeof r->others);
    for (unsigned i = 0; i < TXN_REPLICAS; i++) {
        r->others[i].next = r->log.last + 1;
        r->others[i].heard_ns = r->now_ns;
    }
    r->ready = txn_append_entry(r, &nothing); /* what is of older terms commits with it (3.6.2) */
    if (!r->ready) step_down(r);              /* no room: somebody else may have it */
    else txn_append_heartbeat(r);
}

static bool is_followed(const struct txn_replica *r)
{
    unsigned count = 1;
    for (unsigned i = 0; i < TXN_REPLICAS; i++)
        count += i != r->o->id && r->now_ns - r->others[i].heard_ns < 2 * TXN_ELECTION_NS;
    return count > TXN_REPLICAS / 2;
}

void txn_elect_tick(struct txn_replica *r)
{
    bool beats = r->now_ns - r->beat_ns >= TXN_HEARTBEAT_NS;
    if (r->role == TXN_LEADER && !is_followed(r)) {
        step_down(r);
        be_patient(r);
    } else if (r->role == TXN_LEADER) {
        if (beats) txn_append_heartbeat(r);
    } else if (r->now_ns - r->heard_ns >= r->patience_ns) {
        stand(r);
    } else if (r->role == TXN_CANDIDATE && beats && txn_keep_meta_is_durable(r)) {
        ask(r);
    }
}

void txn_elect_durable(struct txn_replica *r)
{
    if (!txn_keep_meta_is_durable(r)) return;
    if (r->vote_owed >= 0) {
        struct txn_message m = {.type = TXN_VOTE, .word = {r->term}};
        txn_send_to(r, (unsigned)r->vote_owed, &m);
        r->vote_owed = -1;
    }
    if (r->role == TXN_CANDIDATE && r->beat_ns < r->heard_ns) ask(r); /* the first time */
}

void txn_elect_asked(struct txn_replica *r, const struct txn_message *m)
{
    uint64_t term = m->word[0], last = m->word[1], last_term = m->word[2];
    uint64_t own_term = txn_entries_term(&r->log, r->log.last);
    bool hears = r->leader != TXN_CLIENT && r->now_ns - r->heard_ns < TXN_ELECTION_NS;
    if (term > TERM_MAX) {
        txn_refuse(r);
        return;
    }
    if (r->role == TXN_LEADER || hears || term < r->term) return;
    if (term > r->term) txn_elect_term(r, term);
    if (last_term < own_term || (last_term == own_term && last < r->log.last)) return;
    if (r->vote >= 0 && r->vote != m->from) return;
    if (r->vote < 0) r->meta_push = 0;
    r->vote = r->vote_owed = m->from;
    be_patient(r);
}

void txn_elect_voted(struct txn_replica *r, const struct txn_message *m)
{
    if (r->role != TXN_CANDIDATE || m->word[0] != r->term) return;
    r->votes |= 1u << m->from;
    if (r->votes & (r->votes - 1)) lead(r); /* two of three */
}
