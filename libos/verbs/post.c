/* SPDX-License-Identifier: MIT
 *
 * Requests. Neighbours of one queue go to the device as one list, so that it is rung once: with devices in software a
 * ring is a system call. Three kinds are nearly all there is, and have a short way each: short messages, one in its
 * queue each, of which only the bytes are new; one message of one piece in its queue; and receives of the shared queue
 * that come back as they were.
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

__attribute__((noinline, cold)) static bool note_failure(struct verbs_dev *d, const struct msgdev_request *r, int err)
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

static inline struct ibv_sge *add_pieces(struct ibv_sge *to, const struct msgdev_request *r, uint64_t *bytes)
{
    const bool is_inline = r->flags & MSGDEV_INLINE;
    const struct msgdev_piece *p = r->pieces, *end = p + r->piece_count;
    for (; p < end; p++, to++) {
        const struct ibv_mr *mr = p->cookie;
        DASSERT(mr || is_inline);
        to->addr = (uintptr_t)p->p;
        to->length = p->n;
        to->lkey = is_inline ? 0 : mr->lkey;
        *bytes += p->n;
    }
    return to;
}

static inline void remember_shared(struct verbs_dev *d, uint64_t word, const struct ibv_recv_wr *w)
{
    if (word > d->shared_depth) return;
    struct shared_receive *s = &d->shared[word];
    *s = (struct shared_receive){.wr = {.wr_id = w->wr_id, .sg_list = &s->sge, .num_sge = 1}, .sge = *w->sg_list};
}

static int post_receives(struct verbs_dev *d, struct post_batch *b, const struct msgdev_request *in, unsigned n,
                         unsigned *done)
{
    struct ibv_sge *sge = b->sges;
    struct ibv_recv_wr *w = b->recv, *bad = NULL;
    uint64_t room = 0;
    for (const struct msgdev_request *r = in; r < in + n; r++, w++) {
        DASSERT(r->word && !(r->word & VERBS_SENT));
        w->wr_id = r->word;
        w->sg_list = sge;
        w->num_sge = r->piece_count;
        w->next = w + 1;
        sge = add_pieces(sge, r, &room);
        if (!in->end) remember_shared(d, r->word, w);
    }
    w[-1].next = NULL;
    int err = in->end ? ibv_post_recv(in->end->qp, b->recv, &bad) : ibv_post_srq_recv(d->srq, b->recv, &bad);
    *done = likely(!err) ? n : bad ? (unsigned)(bad - b->recv) : 0;
    return err < 0 ? -err : err;
}

static const uint8_t opcodes[] = {
    [MSGDEV_SEND] = IBV_WR_SEND, [MSGDEV_WRITE] = IBV_WR_RDMA_WRITE, [MSGDEV_WRITE_IMM] = IBV_WR_RDMA_WRITE_WITH_IMM};
static_assert(IBV_SEND_SIGNALED == MSGDEV_SIGNALLED << 1, "flags are turned by shifting");
static_assert(IBV_SEND_INLINE == MSGDEV_INLINE << 2, "flags are turned by shifting");

static inline unsigned flags_of(const struct msgdev_request *r)
{
    return (unsigned)(r->flags & MSGDEV_SIGNALLED) << 1 | (unsigned)(r->flags & MSGDEV_INLINE) << 2;
}

/* One piece, and nobody of the same queue behind it. */
static inline bool is_alone(const struct msgdev_request *r, const struct msgdev_request *end)
{
    return r->piece_count == 1 && r->verb != MSGDEV_RECEIVE && (r + 1 == end || r[1].end != r->end);
}

static inline int post_one(struct verbs_dev *d, const struct msgdev_request *r)
{
    struct ibv_send_wr *w = &d->one, *bad = NULL;
    struct ibv_qp *qp = r->end->qp;
    if (unlikely(!qp)) return ENOTCONN; /* not connected yet, or not any more */
    const struct ibv_mr *mr = r->pieces->cookie;
    DASSERT(r->word && !(r->word & VERBS_SENT));
    DASSERT(mr || r->flags & MSGDEV_INLINE);
    w->wr_id = r->word | VERBS_SENT;
    w->send_flags = flags_of(r);
    w->opcode = IBV_WR_SEND;
    d->one_piece = (struct ibv_sge){.addr = (uintptr_t)r->pieces->p, .length = r->pieces->n};
    if (!(r->flags & MSGDEV_INLINE)) d->one_piece.lkey = mr->lkey;
    if (r->verb != MSGDEV_SEND) {
        w->opcode = (enum ibv_wr_opcode)opcodes[r->verb];
        w->imm_data = htonl(r->immediate);
        w->wr.rdma.remote_addr = r->remote_addr;
        w->wr.rdma.rkey = r->remote_key;
    }
    int err = ibv_post_send(qp, w, &bad);
    if (unlikely(err)) return err < 0 ? -err : err;
    if (r->verb == MSGDEV_SEND) d->dev.n.sends++;
    else d->dev.n.writes++;
    d->dev.n.send_bytes += r->pieces->n;
    return 0;
}

static int post_sends(struct verbs_dev *d, struct post_batch *b, const struct msgdev_request *in, unsigned n,
                      unsigned *done)
{
    struct ibv_sge *sge = b->sges;
    struct ibv_send_wr *w = b->send, *bad = NULL;
    uint64_t bytes = 0;
    unsigned messages = 0;
    for (const struct msgdev_request *r = in; r < in + n; r++, w++) {
        DASSERT(r->word && !(r->word & VERBS_SENT));
        w->wr_id = r->word | VERBS_SENT;
        w->sg_list = sge;
        w->num_sge = r->piece_count;
        w->opcode = (enum ibv_wr_opcode)opcodes[r->verb];
        w->send_flags = flags_of(r);
        w->imm_data = htonl(r->immediate);
        w->wr.rdma.remote_addr = r->remote_addr;
        w->wr.rdma.rkey = r->remote_key;
        w->next = w + 1;
        messages += r->verb == MSGDEV_SEND;
        sge = add_pieces(sge, r, &bytes);
    }
    w[-1].next = NULL;
    int err = ibv_post_send(in->end->qp, b->send, &bad);
    *done = likely(!err) ? n : bad ? (unsigned)(bad - b->send) : 0;
    if (unlikely(*done < n)) { /* those that were not taken come again */
        w = b->send;
        for (bytes = messages = 0; w < b->send + *done; w++) {
            messages += w->opcode == IBV_WR_SEND;
            for (int i = 0; i < w->num_sge; i++) bytes += w->sg_list[i].length;
        }
    }
    d->dev.n.sends += messages;
    d->dev.n.writes += *done - messages;
    d->dev.n.send_bytes += bytes;
    return err < 0 ? -err : err;
}

/* Those of one queue, from the first on. 0, or why not all: *done says how many. */
static int post_run(struct verbs_dev *d, struct post_batch *b, const struct msgdev_request *first,
                    const struct msgdev_request *end, unsigned *done)
{
    unsigned run = 1;
    while (first + run < end && same_queue(first, &first[run])) run++;
    if (first->end && !first->end->qp) return ENOTCONN;
    if (first->verb != MSGDEV_RECEIVE) return post_sends(d, b, first, run, done);
    return !first->end && !d->srq ? EINVAL : post_receives(d, b, first, run, done);
}

unsigned verbs_post(struct msgdev *m, const struct msgdev_request *in, unsigned n)
{
    struct verbs_dev *d = verbs_of(m);
    struct post_batch b;
    const struct msgdev_request *at = in, *end = in + n;
    ASSERT(n <= MSGDEV_BURST);
    while (at < end) {
        unsigned done = 0;
        int err;
        if (likely(is_alone(at, end))) {
            err = post_one(d, at);
            done = !err;
        } else {
            err = post_run(d, &b, at, end, &done);
        }
        at += done;
        if (likely(!err)) continue;
        if (err == ENOMEM || !note_failure(d, at, err)) {
            m->n.post_full++;
            break;
        }
        at++;
    }
    return (unsigned)(at - in);
}

/* An end without queues, or a device that has refused it. False: it is full. */
__attribute__((noinline, cold)) static bool short_failed(struct verbs_dev *d, struct msgdev_short *s, int err)
{
    const struct msgdev_request r = {.end = s->end, .word = s->word ? s->word : 1, .verb = MSGDEV_SEND};
    if (err < 0) err = -err;
    if (err == ENOMEM || !note_failure(d, &r, err)) {
        d->dev.n.post_full++;
        return false;
    }
    s->word = 0;
    d->dev.n.sends--; /* it counts as taken, and not as sent */
    d->dev.n.send_bytes -= s->n;
    return true;
}

/* One that is to be reported. 0, or why not. */
__attribute__((noinline)) static int post_reported(struct verbs_dev *d, struct msgdev_short *s)
{
    struct ibv_send_wr *w = &d->brief, *bad;
    const uint64_t before = w->wr_id;
    w->wr_id = s->word | VERBS_SENT;
    w->send_flags = IBV_SEND_INLINE | IBV_SEND_SIGNALED;
    int err = ibv_post_send(s->end->qp, w, &bad);
    w->wr_id = before;
    w->send_flags = IBV_SEND_INLINE;
    if (likely(!err)) s->word = 0;
    return err;
}

unsigned verbs_post_short(struct msgdev *m, struct msgdev_short *in, unsigned n)
{
    struct verbs_dev *d = verbs_of(m);
    struct msgdev_short *s = in, *end = in + n;
    uint64_t bytes = 0;
    for (; s < end; s++) {
        struct ibv_qp *qp = s->end->qp;
        struct ibv_send_wr *bad;
        int err = ENOTCONN;
        d->brief_piece.addr = (uintptr_t)s->p;
        d->brief_piece.length = s->n;
        if (likely(qp) && likely(!s->word)) err = ibv_post_send(qp, &d->brief, &bad);
        else if (qp) err = post_reported(d, s);
        if (unlikely(err) && !short_failed(d, s, err)) break;
        bytes += s->n;
    }
    m->n.sends += (unsigned)(s - in);
    m->n.send_bytes += bytes;
    return (unsigned)(s - in);
}

static inline struct ibv_recv_wr *shared_at(struct verbs_dev *d, uint32_t word)
{
    DASSERT(word && word <= d->shared_depth);
    DASSERT(d->shared[word].wr.wr_id == word);
    return &d->shared[word].wr;
}

/* How many the device has taken; the one behind them is told, or asked again. */
__attribute__((noinline, cold)) static unsigned again_failed(struct verbs_dev *d, const uint32_t *words,
                                                             const struct ibv_recv_wr *first,
                                                             const struct ibv_recv_wr *bad, int err)
{
    unsigned done = 0;
    for (const struct ibv_recv_wr *w = first; bad && w != bad; w = w->next) done++;
    const struct msgdev_request failed = {.word = words[done], .verb = MSGDEV_RECEIVE};
    if (err < 0) err = -err;
    if (err != ENOMEM && note_failure(d, &failed, err)) return done + 1;
    d->dev.n.post_full++;
    return done;
}

unsigned verbs_again(struct msgdev *m, const uint32_t *words, unsigned n)
{
    struct verbs_dev *d = verbs_of(m);
    unsigned taken = 0;
    ASSERT(n <= MSGDEV_BURST);
    while (taken < n) {
        struct ibv_recv_wr *first = shared_at(d, words[taken]), *w = first, *bad = NULL;
        for (const uint32_t *at = words + taken + 1; at < words + n; at++) w = w->next = shared_at(d, *at);
        w->next = NULL;
        int err = ibv_post_srq_recv(d->srq, first, &bad);
        if (likely(!err)) return n;
        uint64_t full = d->dev.n.post_full;
        taken += again_failed(d, words + taken, first, bad, err);
        if (d->dev.n.post_full != full) break;
    }
    return taken;
}
