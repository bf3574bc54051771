/* SPDX-License-Identifier: MIT
 *
 * The client: a question is sent until its answer comes, now to this replica and then to that one. Nothing is kept at
 * the replicas while a transaction runs: its reads have versions, its writes wait here for the commit.
 */
#include "demi/examples/txnstore/txn.h"

#include <demi/ext.h>
#include <demi/libos.h>
#include <demi/sga.h>
#include <demi/wait.h>
#include <errno.h>
#include <string.h>

int txn_open(struct txn_client *t, const struct txn_client_options *o)
{
    struct sockaddr_in any = {0};
    memset(t, 0, sizeof *t);
    any.sin_family = AF_INET;
    t->o = *o;
    t->random = o->seed;
    int err = demi_socket(&t->qd, AF_INET, SOCK_DGRAM, 0);
    if (err) return err;
    err = demi_bind(t->qd, (struct sockaddr *)&any, sizeof any);
    if (err) demi_close(t->qd);
    return err;
}

void txn_close(struct txn_client *t)
{
    demi_qresult_t qr;
    demi_close(t->qd);
    if (t->pop && !demi_wait(&qr, t->pop, NULL) && qr.qr_opcode == DEMI_OPC_POP) demi_sgafree(&qr.qr_value.sga);
    t->pop = 0;
}

/* 0, whether it goes out or not; the errno of a wait. */
static int send_to(struct txn_client *t, unsigned replica, struct txn_message *m)
{
    const struct sockaddr_in *to = &t->o.replicas[replica];
    demi_qtoken_t qt;
    demi_qresult_t qr;
    demi_sgarray_t sga = demi_sgaalloc(TXN_MESSAGE_MAX);
    if (sga.sga_numsegs == 0) return ENOMEM;
    m->from = TXN_CLIENT;
    sga.sga_segs[0].sgaseg_len = (uint32_t)txn_message_encode(sga.sga_segs[0].sgaseg_buf, m);
    int err = demi_pushto(&qt, t->qd, &sga, (const struct sockaddr *)to, sizeof *to);
    demi_sgafree(&sga);
    return err ? 0 : demi_wait(&qr, qt, NULL);
}

/* The next datagram of a replica, within ns. ETIMEDOUT. *sga is the caller's, and m lies in it. */
static int receive(struct txn_client *t, uint64_t ns, struct txn_message *m, demi_sgarray_t *sga)
{
    uint64_t until = demi_clock_ns() + ns;
    for (uint64_t now; (now = demi_clock_ns()) < until;) {
        const struct timespec left = {(time_t)((until - now) / 1000000000), (long)((until - now) % 1000000000)};
        demi_qresult_t qr;
        int err = t->pop ? 0 : demi_pop(&t->pop, t->qd);
        if (!err) err = demi_wait(&qr, t->pop, &left);
        if (err) return err;
        t->pop = 0;
        if (qr.qr_opcode != DEMI_OPC_POP) continue;
        *sga = qr.qr_value.sga;
        if (txn_message_decode(m, sga->sga_segs[0].sgaseg_buf, sga->sga_segs[0].sgaseg_len) && m->from < TXN_REPLICAS)
            return 0;
        demi_sgafree(sga);
    }
    return ETIMEDOUT;
}

/* Asks until the answer of that type with those first words has come; `replica` TXN_CLIENT: whoever leads. *sga as
 * above. */
static int ask(struct txn_client *t, unsigned replica, struct txn_message *question, struct txn_message *answer,
               demi_sgarray_t *sga)
{
    bool is_outcome = question->type == TXN_COMMIT; /* to which the answer has session and number, else a nonce */
    uint64_t first = question->word[is_outcome ? 1 : 0], until = demi_clock_ns() + t->o.patience_ns;
    while (demi_clock_ns() < until) {
        int err = send_to(t, replica == TXN_CLIENT ? t->leader : replica, question);
        uint64_t again = demi_clock_ns() + t->o.retry_ns, now;
        if (err) return err;
        while ((now = demi_clock_ns()) < again) {
            err = receive(t, again - now, answer, sga);
            if (err == ETIMEDOUT) break;
            if (err) return err;
            if (answer->type == question->type + 1 && answer->word[0] == first &&
                (!is_outcome || answer->word[1] == question->word[2]))
                return 0;
            bool is_redirect = answer->type == TXN_REDIRECT && answer->word[0] < TXN_REPLICAS &&
                               answer->from == t->leader && answer->word[0] != t->leader;
            if (is_redirect) t->leader = (unsigned)answer->word[0];
            demi_sgafree(sga);
            if (is_redirect) break;
        }
        if (now >= again || err == ETIMEDOUT) t->leader = (t->leader + 1) % TXN_REPLICAS;
    }
    return ETIMEDOUT;
}

int txn_begin(struct txn_client *t)
{
    struct txn_message hello = {.type = TXN_HELLO, .word = {txn_random(&t->random)}}, m;
    demi_sgarray_t sga;
    t->count = 0;
    t->is_open = true;
    if (t->session) return 0;
    int err = ask(t, TXN_CLIENT, &hello, &m, &sga);
    t->is_open = !err;
    if (err) return err;
    t->slot = m.word[1];
    t->session = m.word[2];
    t->number = 0;
    demi_sgafree(&sga);
    return 0;
}

/* The transaction's operation on that key, a new one if there is none. */
static int find_op(struct txn_client *t, const void *key, size_t key_size, struct txn_client_op **out)
{
    if (!t->is_open || key_size < 1 || key_size > TXN_KEY_MAX) return EINVAL;
    for (unsigned i = 0; i < t->count; i++) {
        *out = &t->ops[i];
        if ((*out)->op.key_size == key_size && memcmp((*out)->key, key, key_size) == 0) return 0;
    }
    if (t->count == TXN_OPS_MAX) return E2BIG;
    *out = &t->ops[t->count++];
    memset(&(*out)->op, 0, sizeof(*out)->op);
    memcpy((*out)->key, key, key_size);
    (*out)->op.key = (*out)->key;
    (*out)->op.value = (*out)->value;
    (*out)->op.key_size = (uint8_t)key_size;
    return 0;
}

static int read_from_replica(struct txn_client *t, struct txn_client_op *o)
{
    struct txn_message m,
        get = {.type = TXN_GET, .word = {txn_random(&t->random)}, .tail = o->key, .tail_size = o->op.key_size};
    demi_sgarray_t sga;
    int err = ask(t, TXN_CLIENT, &get, &m, &sga);
    if (err) return err;
    o->op.flags |= TXN_OP_READ;
    o->op.version = m.word[1];
    o->read_size = (uint16_t)(m.tail_size <= TXN_VALUE_MAX ? m.tail_size : TXN_VALUE_MAX);
    if (o->read_size) memcpy(o->read, m.tail, o->read_size);
    demi_sgafree(&sga);
    return 0;
}

int txn_get(struct txn_client *t, const void *key, size_t key_size, void *value, size_t *value_size)
{
    struct txn_client_op *o;
    int err = find_op(t, key, key_size, &o);
    if (!err && !o->op.flags && (err = read_from_replica(t, o))) t->count--; /* it was the last one */
    if (err) return err;
    bool is_written = o->op.flags & TXN_OP_WRITE;
    if (!is_written && o->op.version == 0) return ENOENT;
    *value_size = is_written ? o->op.value_size : o->read_size;
    memcpy(value, is_written ? o->value : o->read, *value_size);
    return 0;
}

int txn_put(struct txn_client *t, const void *key, size_t key_size, const void *value, size_t value_size)
{
    struct txn_client_op *o;
    int err = value_size > TXN_VALUE_MAX ? EINVAL : find_op(t, key, key_size, &o);
    if (err) return err;
    o->op.flags |= TXN_OP_WRITE;
    o->op.value_size = (uint16_t)value_size;
    if (value_size) memcpy(o->value, value, value_size);
    return 0;
}

int txn_commit(struct txn_client *t)
{
    static const int errors[] = {EBADMSG, 0, ECANCELED, ENOSPC, ETIMEDOUT}; /* by enum txn_outcome */
    uint8_t ops[TXN_MESSAGE_MAX];
    struct txn_writer w = {ops, ops + txn_tail_max(TXN_COMMIT), false};
    struct txn_message m, question = {.type = TXN_COMMIT, .tail = ops};
    demi_sgarray_t sga;
    if (!t->is_open) return EINVAL;
    t->is_open = false;
    if (t->count == 0) return 0;
    for (unsigned i = 0; i < t->count; i++) txn_op_write(&w, &t->ops[i].op);
    question.tail_size = (size_t)(w.at - ops);
    question.word[0] = t->slot;
    question.word[1] = t->session;
    question.word[2] = ++t->number;
    int err = ask(t, TXN_CLIENT, &question, &m, &sga);
    if (err) return err;
    uint64_t outcome = m.word[2];
    if (outcome == TXN_NO_SESSION) t->session = 0;
    t->index = m.word[3];
    demi_sgafree(&sga);
    return outcome < sizeof errors / sizeof *errors ? errors[outcome] : EBADMSG;
}

void txn_abort(struct txn_client *t) { t->is_open = false; }

int txn_status(struct txn_client *t, unsigned replica, uint64_t word[TXN_WORDS_MAX])
{
    struct txn_message m, question = {.type = TXN_STATUS, .word = {txn_random(&t->random)}};
    demi_sgarray_t sga;
    int err = ask(t, replica, &question, &m, &sga);
    if (err) return err;
    memcpy(word, m.word, sizeof m.word);
    demi_sgafree(&sga);
    return 0;
}
