/* SPDX-License-Identifier: MIT
 *
 * Completions, news of ends, and sleeping.
 *
 * Order. rdma_cm and the completion queue are two roads, and what was sent before a disconnect may be found after it.
 * So news that was learnt is told when the completion queue has been seen empty after that, or when as many completions
 * have been taken as it can hold.
 *
 * Sleeping. A notification is for completions that come after it was asked for, so the queue is looked at once more
 * behind asking, and what is found there is kept for the next poll:
 *
 *     take what rdma_cm and the channel have, ask for a notification, poll; nothing: sleep
 *
 * In any other order a completion can come between the look and the asking, and nobody wakes: tests/rdma/arm.pml is the
 * model that shows both.
 */
#include "libos/verbs/verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CM_IDLE_POLLS 16  /* empty polls between two questions to rdma_cm; each is a system call */
#define CM_BUSY_POLLS 256 /* and polls at all */

/* --- completions --- */

static enum msgdev_status status_of(enum ibv_wc_status s)
{
    switch (s) {
    case IBV_WC_SUCCESS: return MSGDEV_OK;
    case IBV_WC_WR_FLUSH_ERR: return MSGDEV_FLUSHED;
    case IBV_WC_RETRY_EXC_ERR:
    case IBV_WC_RESP_TIMEOUT_ERR: return MSGDEV_PEER_SILENT;
    case IBV_WC_RNR_RETRY_EXC_ERR: return MSGDEV_PEER_UNREADY;
    case IBV_WC_LOC_LEN_ERR: return MSGDEV_TOO_LONG;
    case IBV_WC_REM_ACCESS_ERR: return MSGDEV_BAD_ACCESS;
    case IBV_WC_REM_INV_REQ_ERR: return MSGDEV_BAD_REQUEST;
    case IBV_WC_REM_OP_ERR:
    case IBV_WC_REM_ABORT_ERR: return MSGDEV_PEER_BROKEN;
    case IBV_WC_LOC_PROT_ERR:
    case IBV_WC_LOC_ACCESS_ERR: return MSGDEV_LOCAL_ACCESS;
    case IBV_WC_LOC_QP_OP_ERR:
    case IBV_WC_LOC_EEC_OP_ERR:
    case IBV_WC_FATAL_ERR: return MSGDEV_LOCAL_BROKEN;
    default: return MSGDEV_FAILED_OTHERWISE;
    }
}

/* Of a queue pair that is no more, a mark of the end, or a failure: true, *c is to be told. */
__attribute__((noinline, cold)) static bool convert_rare(struct verbs_dev *d, struct msgdev_end *end,
                                                         const struct ibv_wc *wc, struct msgdev_completion *c)
{
    const bool is_receive = !(wc->wr_id & VERBS_SENT);
    if (!(wc->wr_id & ~VERBS_SENT)) { /* the end of a queue that is emptied */
        if (end && is_receive) end->recv_drained = true;
        if (end && !is_receive) end->send_drained = true;
        return false;
    }
    *c = (struct msgdev_completion){
        .word = wc->wr_id & ~VERBS_SENT,
        .of = end ? end->word : 0,
        .event = is_receive ? MSGDEV_RECEIVED : MSGDEV_SENT,
        .status = (uint8_t)(end ? status_of(wc->status) : MSGDEV_FLUSHED),
        .err = (int32_t)(wc->status ? wc->vendor_err : 0),
    };
    if (!end) {
        d->dev.n.stale++;
        return is_receive;
    }
    if (c->status == MSGDEV_FLUSHED) {
        d->dev.n.flushed++;
        return true;
    }
    if (c->status == MSGDEV_OK) {
        /* It has arrived, but its reader has let go of the end. */
        c->status = MSGDEV_FLUSHED;
        return true;
    }
    d->dev.n.errors++;
    end_break(end, c->status, c->err ? c->err : (int)wc->status);
    return true;
}

/* What convert() does not do itself. How many completions it is: none, or one. */
__attribute__((noinline)) static unsigned convert_other(struct verbs_dev *d, const struct ibv_wc *wc,
                                                        struct msgdev_completion *c)
{
    struct msgdev_end *end = table_find(d, wc->qp_num);
    if (unlikely(wc->status || !end || !(wc->wr_id << 1) || end->state == END_DRAINING))
        return convert_rare(d, end, wc, c);
    c->word = wc->wr_id & ~VERBS_SENT;
    c->of = end->word;
    c->kind = MSGDEV_MESSAGE;
    if (wc->wr_id & VERBS_SENT) {
        c->event = MSGDEV_SENT;
        return 1;
    }
    c->len = wc->byte_len;
    if (wc->wc_flags & IBV_WC_WITH_IMM) {
        c->flags = MSGDEV_HAS_IMMEDIATE;
        c->immediate = ntohl(wc->imm_data);
        if (wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM) c->len = 0;
    }
    d->dev.n.receives++;
    d->dev.n.receive_bytes += c->len;
    return 1;
}

/* Bytes or a number, from an end that stands where its number says: in one go. The marks of release.c are neither,
 * since what they belong to is silenced. */
static inline __attribute__((always_inline)) unsigned convert(struct verbs_dev *d, const struct ibv_wc *wc, unsigned n,
                                                              struct msgdev_completion *out)
{
    const struct ibv_wc *end = wc + n;
    const struct end_slot *slots = d->slots;
    const uint32_t mask = d->slot_mask;
    struct msgdev_completion *c = out;
    unsigned others = 0;
    uint64_t bytes = 0;
    for (; wc < end; wc++) {
        const struct end_slot *slot = &slots[wc->qp_num & mask];
        if (likely(slot->live == wc->qp_num && !wc->status && wc->opcode == IBV_WC_RECV)) {
            c->word = wc->wr_id;
            c->of = slot->of;
            c->kind = MSGDEV_MESSAGE;
            c->len = wc->byte_len;
            c++;
            bytes += wc->byte_len;
        } else if (likely(slot->live == wc->qp_num && !wc->status && wc->opcode == IBV_WC_RECV_RDMA_WITH_IMM)) {
            c->word = wc->wr_id;
            c->of = slot->of;
            c->kind = MSGDEV_MESSAGE;
            c->flags = MSGDEV_HAS_IMMEDIATE;
            c->len = 0;
            c->immediate = ntohl(wc->imm_data);
            c++;
        } else {
            others++;
            c += convert_other(d, wc, c);
        }
    }
    d->dev.n.receives += n - others;
    d->dev.n.receive_bytes += bytes;
    return (unsigned)(c - out);
}

__attribute__((noinline)) static unsigned take_stash(struct verbs_dev *d, struct msgdev_completion *out, unsigned max)
{
    const unsigned take = d->stash_count < max ? d->stash_count : max;
    const unsigned n = convert(d, &d->stash[d->stash_at], take, out);
    d->stash_at += take;
    d->stash_count -= take;
    d->polled += take;
    return n;
}

/* As many as fit in out. *empty: the queue has been seen so. */
static inline __attribute__((always_inline)) unsigned
take_completions(struct verbs_dev *d, struct msgdev_completion *out, unsigned max, bool *empty)
{
    unsigned n = unlikely(d->stash_count) ? take_stash(d, out, max) : 0;
    while (n < max) {
        struct ibv_wc wcs[MSGDEV_BURST];
        const unsigned want = max - n < MSGDEV_BURST ? max - n : MSGDEV_BURST;
        const int got = ibv_poll_cq(d->cq, (int)want, wcs);
        if (unlikely(got < 0)) { /* the queue has run over, or the device is broken */
            life_gone(d);
            *empty = true;
            return n;
        }
        n += convert(d, wcs, (unsigned)got, &out[n]);
        d->polled += (unsigned)got;
        if ((unsigned)got < want) {
            *empty = true;
            return n;
        }
    }
    return n;
}

/* --- news --- */

static void describe(struct msgdev_end *end, enum end_news news, struct msgdev_completion *c)
{
    static const uint8_t events[] = {MSGDEV_REQUESTED, MSGDEV_ESTABLISHED,  MSGDEV_FAILED,
                                     MSGDEV_BROKEN,    MSGDEV_DISCONNECTED, MSGDEV_RELEASED};
    *c = (struct msgdev_completion){.of = end->word, .event = events[__builtin_ctz(news)]};
    if (news == NEWS_REQUESTED) {
        c->of = end->listener->word;
        c->end = end;
        end->listener->waiting--;
        end->listener = NULL;
    }
    if (news & (NEWS_FAILED | NEWS_BROKEN)) {
        c->status = end->status;
        c->err = end->err;
    }
    if (news == NEWS_REQUESTED || news == NEWS_ESTABLISHED || (news == NEWS_FAILED && end->status == MSGDEV_REJECTED)) {
        c->private_data = end->private_data;
        c->private_len = end->private_len;
    }
}

static unsigned tell_failed_requests(struct verbs_dev *d, struct msgdev_completion *out, unsigned max)
{
    unsigned n = 0;
    for (; n < max && d->failed_count; n++) {
        const struct failed_request *f = &d->failed[d->failed_at];
        out[n] = (struct msgdev_completion){
            .word = f->word, .of = f->of, .event = f->event, .status = f->status, .err = f->err};
        d->failed_at = (d->failed_at + 1) % VERBS_FAILED_MAX;
        d->failed_count--;
    }
    return n;
}

__attribute__((noinline, cold)) static unsigned tell_news(struct verbs_dev *d, struct msgdev_completion *out,
                                                          unsigned max, bool empty)
{
    unsigned n = empty ? tell_failed_requests(d, out, max) : 0;
    for (struct list *l = d->news.next, *next = l->next; n < max && l != &d->news; l = next, next = l->next) {
        struct msgdev_end *end = container_of(l, struct msgdev_end, link);
        if (!empty && d->polled < end->news_after) continue;
        while (n < max && end->news) {
            const enum end_news first = end->news & -end->news;
            end->news &= (uint8_t)~first;
            describe(end, first, &out[n++]);
        }
        if (end->news) break;
        list_remove(&end->link);
        if (end->state == END_GONE) list_push_back(&d->dead, &end->all);
    }
    return n;
}

__attribute__((noinline, cold)) static void free_dead(struct verbs_dev *d)
{
    for (struct list *l = list_pop_front(&d->dead); l; l = list_pop_front(&d->dead))
        free(container_of(l, struct msgdev_end, all));
}

unsigned verbs_poll(struct msgdev *m, struct msgdev_completion *out, unsigned max)
{
    struct verbs_dev *d = verbs_of(m);
    bool empty = false;
    if (unlikely(!list_is_empty(&d->dead))) free_dead(d);
    if (unlikely(d->look_at_cm)) cm_take_events(d);
    if (unlikely(atomic_load_explicit(&d->is_fatal, memory_order_relaxed))) life_gone(d);
    unsigned n = take_completions(d, out, max, &empty);
    if (unlikely(d->draining_now) && empty) release_step(d);
    if (unlikely(!list_is_empty(&d->news) || d->failed_count)) n += tell_news(d, out + n, max - n, empty);
    if (++d->idle_polls >= (n ? CM_BUSY_POLLS : CM_IDLE_POLLS)) d->look_at_cm = true;
    return n;
}

/* --- sleeping --- */

int verbs_fd(struct msgdev *m) { return verbs_of(m)->epoll_fd; }

static void take_channel_events(struct verbs_dev *d)
{
    struct ibv_cq *cq;
    void *context;
    while (!ibv_get_cq_event(d->channel, &cq, &context)) {
        d->dev.n.interrupts++;
        if (++d->unacked < VERBS_ACK_BATCH) continue;
        ibv_ack_cq_events(d->cq, d->unacked);
        d->unacked = 0;
    }
}

int verbs_arm(struct msgdev *m)
{
    struct verbs_dev *d = verbs_of(m);
    /* Nothing is left unread in any descriptor: who waits for edges would not hear of it again. */
    cm_take_events(d);
    if (d->look_at_cm || d->stash_count || d->failed_count || !list_is_empty(&d->news)) return -EAGAIN;
    if (d->is_armed) take_channel_events(d);
    if (ibv_req_notify_cq(d->cq, 0)) return -EOPNOTSUPP;
    d->is_armed = true;
    d->look_at_cm = true; /* whoever wakes asks it: it may be what has woken him */
    const int got = ibv_poll_cq(d->cq, MSGDEV_BURST, d->stash);
    if (got < 0) {
        atomic_store(&d->is_fatal, true);
        return -EAGAIN;
    }
    d->stash_at = 0;
    d->stash_count = (uint32_t)got;
    return got ? -EAGAIN : 0;
}
