/* SPDX-License-Identifier: MIT
 *
 * Requests. Neighbours of one queue go to the device as one list, so that it is rung once: with devices in software a
 * ring is a system call.
 *
 * Devices disagree about errors: 12 or -12 says that the queue is full, and anything else that is not 0, that the
 * request at `bad` was not taken. A full queue ends the call; another refusal is told as the request's completion.
 */
#include "libos/verbs/verbs.h"

#include <arpa/inet.h>
#include <errno.h>

struct post_batch {
    struct ibv_sge sges[MSGDEV_BURST * MSGDEV_PIECES_MAX];
    union {
        struct ibv_send_wr send[MSGDEV_BURST];
        struct ibv_recv_wr recv[MSGDEV_BURST];
    };
};

static bool same_queue(const struct msgdev_request *a, const struct msgdev_request *b)
{
    return a->end == b->end && (a->verb == MSGDEV_RECEIVE) == (b->verb == MSGDEV_RECEIVE);
}

static bool note_failure(struct verbs_dev *d, const struct msgdev_request *r, int err)
{
    if (d->failed_count == VERBS_FAILED_MAX) return false;
    /* ENOTCONN: iWARP's word for a connection that has ended. That is on its way to us as an event. */
    const bool is_down = !r->end || r->end->state >= END_DOWN || err == ENOTCONN;
    d->failed[(d->failed_at + d->failed_count++) % VERBS_FAILED_MAX] = (struct failed_request){
        .word = r->word,
        .of = r->end ? r->end->word : 0,
        .err = err,
        .event = r->verb == MSGDEV_RECEIVE ? MSGDEV_RECEIVED : MSGDEV_SENT,
        .status = is_down ? MSGDEV_FLUSHED : MSGDEV_LOCAL_BROKEN,
    };
    if (is_down) d->dev.n.flushed++;
    else d->dev.n.errors++;
    if (!is_down) end_break(r->end, MSGDEV_LOCAL_BROKEN, err);
    return true;
}

static struct ibv_sge *add_pieces(struct ibv_sge *to, const struct msgdev_request *r)
{
    for (unsigned i = 0; i < r->piece_count; i++, to++) {
        const struct ibv_mr *mr = r->pieces[i].cookie;
        DASSERT(mr || r->flags & MSGDEV_INLINE);
        to->addr = (uintptr_t)r->pieces[i].p;
        to->length = r->pieces[i].n;
        to->lkey = r->flags & MSGDEV_INLINE ? 0 : mr->lkey;
    }
    return to;
}

static int post_receives(struct verbs_dev *d, struct post_batch *b, const struct msgdev_request *in, unsigned n,
                         unsigned *done)
{
    struct ibv_sge *sge = b->sges;
    for (unsigned i = 0; i < n; i++) {
        DASSERT(in[i].word && !(in[i].word & VERBS_RECEIVE));
        b->recv[i].wr_id = in[i].word | VERBS_RECEIVE;
        b->recv[i].sg_list = sge;
        b->recv[i].num_sge = in[i].piece_count;
        b->recv[i].next = i + 1 < n ? &b->recv[i + 1] : NULL;
        sge = add_pieces(sge, &in[i]);
    }
    struct ibv_recv_wr *bad = NULL;
    int err = in->end ? ibv_post_recv(in->end->qp, b->recv, &bad) : ibv_post_srq_recv(d->srq, b->recv, &bad);
    *done = !err ? n : bad ? (unsigned)(bad - b->recv) : 0;
    return err < 0 ? -err : err;
}

static int post_sends(struct post_batch *b, const struct msgdev_request *in, unsigned n, unsigned *done)
{
    static const enum ibv_wr_opcode opcodes[] = {[MSGDEV_SEND] = IBV_WR_SEND,
                                                 [MSGDEV_WRITE] = IBV_WR_RDMA_WRITE,
                                                 [MSGDEV_WRITE_IMM] = IBV_WR_RDMA_WRITE_WITH_IMM};
    struct ibv_sge *sge = b->sges;
    for (unsigned i = 0; i < n; i++) {
        struct ibv_send_wr *w = &b->send[i];
        DASSERT(in[i].word && !(in[i].word & VERBS_RECEIVE));
        w->wr_id = in[i].word;
        w->sg_list = sge;
        w->num_sge = in[i].piece_count;
        w->opcode = opcodes[in[i].verb];
        w->send_flags = (in[i].flags & MSGDEV_SIGNALLED ? IBV_SEND_SIGNALED : 0) |
                        (in[i].flags & MSGDEV_INLINE ? IBV_SEND_INLINE : 0);
        w->imm_data = htonl(in[i].immediate);
        w->wr.rdma.remote_addr = in[i].remote_addr;
        w->wr.rdma.rkey = in[i].remote_key;
        w->next = i + 1 < n ? &b->send[i + 1] : NULL;
        sge = add_pieces(sge, &in[i]);
    }
    struct ibv_send_wr *bad = NULL;
    int err = ibv_post_send(in->end->qp, b->send, &bad);
    *done = !err ? n : bad ? (unsigned)(bad - b->send) : 0;
    return err < 0 ? -err : err;
}

static void count(struct verbs_dev *d, const struct msgdev_request *in, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (in[i].verb == MSGDEV_RECEIVE) continue;
        if (in[i].verb == MSGDEV_SEND) d->dev.n.sends++;
        else d->dev.n.writes++;
        for (unsigned k = 0; k < in[i].piece_count; k++) d->dev.n.send_bytes += in[i].pieces[k].n;
    }
}

unsigned verbs_post(struct msgdev *m, const struct msgdev_request *in, unsigned n)
{
    struct verbs_dev *d = verbs_of(m);
    struct post_batch b;
    unsigned taken = 0;
    ASSERT(n <= MSGDEV_BURST);
    while (taken < n) {
        const struct msgdev_request *first = &in[taken];
        unsigned run = 1, done = 0;
        while (taken + run < n && same_queue(first, &first[run])) run++;
        int err;
        if (first->end && !first->end->qp) /* not connected yet, or not any more */
            err = ENOTCONN;
        else if (first->verb == MSGDEV_RECEIVE)
            err = !first->end && !d->srq ? EINVAL : post_receives(d, &b, first, run, &done);
        else err = post_sends(&b, first, run, &done);
        count(d, first, done);
        taken += done;
        if (!err) continue;
        if (err == ENOMEM || !note_failure(d, &in[taken], err)) {
            m->n.post_full++;
            break;
        }
        taken++;
    }
    return taken;
}
