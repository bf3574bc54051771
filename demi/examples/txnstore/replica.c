/* SPDX-License-Identifier: MIT
 *
 * A replica's life: recovery, then one loop over datagrams, the disk and the clock, in which nothing waits.
 */
#include "demi/examples/txnstore/replica.h"

#include <demi/ext.h>
#include <demi/libos.h>
#include <demi/sga.h>
#include <demi/wait.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { POPS = 32, BATCH = 64 };
#define TERM_MAX ((uint64_t)1 << 62)

void txn_say(const struct txn_replica *r, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    if (!r->o->say) return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    r->o->say(r->o->arg, line);
}

void txn_refuse(struct txn_replica *r) { r->counts.refused++; }

void txn_send(struct txn_replica *r, const struct sockaddr_in *to, struct txn_message *m)
{
    demi_qtoken_t qt;
    demi_sgarray_t sga = demi_sgaalloc(TXN_MESSAGE_MAX);
    if (sga.sga_numsegs == 0) return;
    m->from = (uint8_t)r->o->id;
    sga.sga_segs[0].sgaseg_len = (uint32_t)txn_message_encode(sga.sga_segs[0].sgaseg_buf, m);
    demi_pushto(&qt, r->qd, &sga, (const struct sockaddr *)to, sizeof *to); /* or it is lost */
    demi_sgafree(&sga);
}

void txn_send_to(struct txn_replica *r, unsigned id, struct txn_message *m) { txn_send(r, &r->o->replicas[id], m); }

/* From a replica, and from its address. */
static void take_from_peer(struct txn_replica *r, const struct sockaddr_in *from, const struct txn_message *m)
{
    const struct sockaddr_in *peer = &r->o->replicas[m->from];
    if (m->from == r->o->id || m->word[0] > TERM_MAX || from->sin_port != peer->sin_port ||
        from->sin_addr.s_addr != peer->sin_addr.s_addr) {
        txn_refuse(r);
        return;
    }
    if (m->type != TXN_VOTE_ASK && m->word[0] > r->term) txn_elect_term(r, m->word[0]);
    switch (m->type) {
    case TXN_VOTE_ASK: txn_elect_asked(r, m); break;
    case TXN_VOTE: txn_elect_voted(r, m); break;
    case TXN_APPEND: txn_append_take(r, m); break;
    case TXN_ACK: txn_append_acked(r, m); break;
    case TXN_STATE: txn_append_copy(r, m); break;
    default: txn_append_copy_asked(r, m);
    }
}

static void take_datagram(struct txn_replica *r, const demi_sgarray_t *sga)
{
    struct txn_message m;
    struct sockaddr_in from = sga->sga_addr;
    r->counts.received++;
    if (!txn_message_decode(&m, sga->sga_segs[0].sgaseg_buf, sga->sga_segs[0].sgaseg_len)) txn_refuse(r);
    else if (m.type <= TXN_STATE_ASK && m.from < TXN_REPLICAS) take_from_peer(r, &from, &m);
    else if (m.type > TXN_STATE_ASK && m.from == TXN_CLIENT) txn_serve(r, &from, &m);
    else txn_refuse(r);
}

/* A pop's token carries the replica itself, by which it is told from a push that failed. */
static int pop_one(struct txn_replica *r)
{
    demi_qtoken_t qt;
    int err = demi_pop(&qt, r->qd);
    return err ? err : demi_set_data(qt, r);
}

static void take_result(struct txn_replica *r, demi_qresult_t *qr)
{
    if (qr->qr_qd == r->disk.qd) {
        txn_keep_take(r, qr);
    } else if (demi_result_data(qr) == r) {
        if (qr->qr_opcode == DEMI_OPC_POP) {
            take_datagram(r, &qr->qr_value.sga);
            demi_sgafree(&qr->qr_value.sga);
        }
        int err = pop_one(r);
        if (err) r->error = err;
    }
}

/* What a turn has brought: on to the disk, to the followers, and the answers that the disk held back. */
static void end_turn(struct txn_replica *r)
{
    txn_elect_tick(r);
    txn_append_send(r);
    txn_keep_flush(r);
    txn_elect_durable(r);
    txn_append_durable(r);
    if (r->disk.error && !r->error) r->error = r->disk.error;
}

static void loop(struct txn_replica *r)
{
    const struct timespec tick = {0, TXN_TICK_NS};
    for (int i = 0; i < POPS && !r->error; i++) r->error = pop_one(r);
    while (!r->error && !*r->o->stop) {
        demi_qresult_t results[BATCH];
        int count = 0, err = demi_wait_batch(results, BATCH, &count, &tick);
        if (err && err != ETIMEDOUT) r->error = err;
        r->now_ns = demi_clock_ns();
        for (int i = 0; i < count; i++) take_result(r, &results[i]);
        end_turn(r);
    }
}

static int start(struct txn_replica *r)
{
    const struct sockaddr_in *own = &r->o->replicas[r->o->id];
    int err = txn_store_init(&r->store, r->o->keys_max);
    if (!err) err = txn_entries_init(&r->log, r->o->entries_max);
    if (!err) err = txn_keep_recover(r);
    if (!err) err = demi_socket(&r->qd, AF_INET, SOCK_DGRAM, 0);
    if (!err && (err = demi_bind(r->qd, (const struct sockaddr *)own, sizeof *own)))
        txn_say(r, "cannot use this replica's address: %s", strerror(err));
    return err;
}

int txn_replica_run(const struct txn_options *o)
{
    struct txn_replica *r = demi_calloc(1, sizeof *r);
    if (!r) return ENOMEM;
    r->o = o;
    r->qd = r->disk.qd = -1;
    r->vote = r->vote_owed = r->ack_owed = -1;
    r->leader = TXN_CLIENT;
    r->seed = o->seed + o->id;
    r->error = start(r);
    r->now_ns = r->heard_ns = demi_clock_ns();
    r->patience_ns = TXN_ELECTION_NS + txn_random(&r->seed) % TXN_ELECTION_NS;
    if (!r->error) {
        txn_say(r, "replica %u: log up to %llu, store up to %llu, %u keys, term %llu", o->id,
                (unsigned long long)r->log.last, (unsigned long long)r->applied, r->store.count,
                (unsigned long long)r->term);
        loop(r);
        if (r->error) txn_say(r, "replica %u votes no more: %s", o->id, strerror(r->error));
    }
    int error = r->error;
    txn_disk_close(&r->disk);
    if (r->qd >= 0) demi_close(r->qd);
    if (!error)
        txn_say(r, "replica %u ends: %llu committed, %llu conflicts, %llu datagrams, %llu refused", o->id,
                (unsigned long long)r->counts.committed, (unsigned long long)r->counts.conflicts,
                (unsigned long long)r->counts.received, (unsigned long long)r->counts.refused);
    txn_entries_fini(&r->log);
    txn_store_fini(&r->store);
    demi_free(r);
    return error;
}
