/* SPDX-License-Identifier: MIT
 *
 * The double's queues: what is posted is carried out at once where the peer has room for it, else when it has. A slot
 * of a send queue is free again when a completion of it or of a later request has been polled, as on siw, to the
 * number.
 */
#include "tests/rdma/double_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct list all_qps = {&all_qps, &all_qps};
static uint32_t next_qp_num = 17;
static int forced_status;
static bool held;
static unsigned notified, last_rnr_timer;

/* --- completion queues --- */

struct dbl_channel {
    struct ibv_comp_channel channel; /* first */
    struct dbl_cq *raised[64];
    unsigned count;
};

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *ctx)
{
    if (dbl_fails("ibv_create_comp_channel")) return NULL;
    struct dbl_channel *c = calloc(1, sizeof *c);
    c->channel.context = ctx;
    c->channel.fd = eventfd(0, EFD_CLOEXEC);
    dbl_count_object(1);
    return &c->channel;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *c)
{
    close(c->fd);
    free(c);
    dbl_count_object(-1);
    return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *ctx, int cqe, void *context, struct ibv_comp_channel *channel, int vec)
{
    if (dbl_fails("ibv_create_cq")) return NULL;
    struct dbl_cq *c = calloc(1, sizeof *c);
    c->cq = (struct ibv_cq){.context = ctx, .channel = channel, .cq_context = context, .cqe = cqe};
    c->size = (unsigned)cqe;
    c->ring = calloc(c->size, sizeof *c->ring);
    dbl_count_object(1);
    return &c->cq;
}

int ibv_resize_cq(struct ibv_cq *cq, int cqe)
{
    struct dbl_cq *c = (struct dbl_cq *)cq;
    if (((struct dbl_ctx *)cq->context)->is_iwarp) return ENOSYS;
    if (cqe > 32767) return EINVAL;
    if (dbl_fails("ibv_resize_cq")) return errno;
    dbl_lock();
    struct ibv_wc *ring = calloc((size_t)cqe, sizeof *ring);
    for (unsigned i = 0; i < c->count; i++) ring[i] = c->ring[(c->at + i) % c->size];
    free(c->ring);
    c->ring = ring;
    c->at = 0;
    c->size = (unsigned)cqe;
    cq->cqe = cqe;
    dbl_unlock();
    return 0;
}

int ibv_destroy_cq(struct ibv_cq *cq)
{
    struct dbl_cq *c = (struct dbl_cq *)cq;
    if (c->users) dbl_wrong("a completion queue goes before its queue pairs");
    if (c->events_given != c->events_acked) dbl_wrong("a completion queue with events that are not acknowledged");
    free(c->ring);
    free(c);
    dbl_count_object(-1);
    return 0;
}

static void complete(struct dbl_cq *c, const struct ibv_wc *wc)
{
    if (c->count == c->size) {
        c->is_broken = true; /* it has run over */
        return;
    }
    c->ring[(c->at + c->count++) % c->size] = *wc;
    struct dbl_channel *ch = (struct dbl_channel *)c->cq.channel;
    if (!c->armed || !ch) return;
    c->armed = false;
    if (ch->count == 64) dbl_wrong("nobody takes completion events");
    ch->raised[ch->count++] = c;
    notified++;
    dbl_raise(ch->channel.fd);
}

static int poll_cq(struct ibv_cq *cq, int max, struct ibv_wc *wc)
{
    struct dbl_cq *c = (struct dbl_cq *)cq;
    dbl_lock();
    int n = 0;
    while (n < max && c->count) {
        wc[n] = c->ring[c->at];
        c->at = (c->at + 1) % c->size;
        c->count--;
        /* The slots that go with it were noted in slid, where no caller looks. */
        for (struct list *l = all_qps.next; wc[n].slid && l != &all_qps; l = l->next) {
            struct dbl_qp *q = container_of(l, struct dbl_qp, all);
            if (q->qp.qp_num == wc[n].qp_num) q->used -= wc[n].slid;
        }
        n++;
    }
    const bool is_broken = c->is_broken;
    dbl_unlock();
    return is_broken ? -1 : n;
}

static int req_notify_cq(struct ibv_cq *cq, int solicited)
{
    dbl_lock();
    int err = dbl_fails("ibv_req_notify_cq") ? errno : 0;
    if (!err) ((struct dbl_cq *)cq)->armed = true;
    dbl_unlock();
    return err;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **context)
{
    struct dbl_channel *ch = (struct dbl_channel *)channel;
    int err = -1;
    dbl_lock();
    errno = EAGAIN;
    if (ch->count) {
        struct dbl_cq *c = ch->raised[0];
        memmove(ch->raised, ch->raised + 1, --ch->count * sizeof *ch->raised);
        if (!ch->count) dbl_calm(channel->fd);
        c->events_given++;
        *cq = &c->cq;
        *context = c->cq.cq_context;
        err = 0;
    }
    dbl_unlock();
    return err;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned n)
{
    struct dbl_cq *c = (struct dbl_cq *)cq;
    c->events_acked += n;
    if (c->events_acked > c->events_given) dbl_wrong("more completion events acknowledged than given");
}

/* --- receives --- */

static void make_recvs(struct dbl_recv_queue *q, unsigned size)
{
    *q = (struct dbl_recv_queue){.size = size, .ring = calloc(size, sizeof *q->ring)};
}

static int add_recvs(struct ibv_pd *pd, struct dbl_recv_queue *q, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    for (; wr; wr = wr->next) {
        if (q->count == q->size) {
            *bad = wr;
            return ENOMEM;
        }
        struct dbl_recv *r = &q->ring[(q->at + q->count++) % q->size];
        *r = (struct dbl_recv){.wr_id = wr->wr_id, .has_sge = wr->num_sge > 0};
        if (!wr->num_sge) continue;
        r->sge = wr->sg_list[0];
        if (!dbl_covers(pd, r->sge.lkey, r->sge.addr, r->sge.length, IBV_ACCESS_LOCAL_WRITE))
            dbl_wrong("a receive into memory that its key does not cover");
    }
    return 0;
}

static struct dbl_recv *take_recv(struct dbl_recv_queue *q)
{
    if (!q->count) return NULL;
    struct dbl_recv *r = &q->ring[q->at];
    q->at = (q->at + 1) % q->size;
    q->count--;
    return r;
}

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
    if (dbl_fails("ibv_create_srq")) return NULL;
    struct dbl_srq *s = calloc(1, sizeof *s);
    s->srq = (struct ibv_srq){.context = pd->context, .pd = pd};
    make_recvs(&s->q, attr->attr.max_wr);
    dbl_count_object(1);
    return &s->srq;
}

int ibv_destroy_srq(struct ibv_srq *srq)
{
    struct dbl_srq *s = (struct dbl_srq *)srq;
    if (s->users) dbl_wrong("a shared receive queue goes before its queue pairs");
    free(s->q.ring);
    free(s);
    dbl_count_object(-1);
    return 0;
}

static void progress_all(void)
{
    for (struct list *l = all_qps.next; l != &all_qps; l = l->next)
        dbl_qp_progress(container_of(l, struct dbl_qp, all));
}

static int post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    dbl_lock();
    *bad = wr;
    int err = dbl_fails("ibv_post_srq_recv") ? errno : add_recvs(srq->pd, &((struct dbl_srq *)srq)->q, wr, bad);
    bool waits = false;
    for (struct list *l = all_qps.next; l != &all_qps; l = l->next) waits |= container_of(l, struct dbl_qp, all)->count;
    if (waits) progress_all();
    dbl_unlock();
    return err;
}

/* --- queue pairs --- */

static bool is_taken(uint32_t qp_num)
{
    for (struct list *l = all_qps.next; l != &all_qps; l = l->next)
        if (container_of(l, struct dbl_qp, all)->qp.qp_num == qp_num) return true;
    return false;
}

struct dbl_qp *dbl_qp_new(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
    struct dbl_ctx *dev = (struct dbl_ctx *)pd->context;
    const unsigned inline_top = dev->is_iwarp ? 64 : 512;
    if (attr->cap.max_inline_data > inline_top || attr->cap.max_send_sge > DBL_SGES) {
        errno = EINVAL;
        return NULL;
    }
    struct dbl_qp *q = calloc(1, sizeof *q);
    q->dev = dev;
    q->cq = (struct dbl_cq *)attr->send_cq;
    q->srq = (struct dbl_srq *)attr->srq;
    q->cq->users++;
    if (q->srq) q->srq->users++;
    else make_recvs(&q->recvs, attr->cap.max_recv_wr);
    q->size = attr->cap.max_send_wr;
    q->sends = calloc(q->size, sizeof *q->sends);
    q->sge_max = attr->cap.max_send_sge;
    q->inline_max = attr->cap.max_inline_data;
    q->qp = (struct ibv_qp){.context = pd->context,
                            .qp_context = attr->qp_context,
                            .pd = pd,
                            .send_cq = attr->send_cq,
                            .recv_cq = attr->recv_cq,
                            .srq = attr->srq,
                            .qp_type = IBV_QPT_RC};
    while (is_taken(next_qp_num)) next_qp_num++;
    q->qp.qp_num = next_qp_num++;
    if (next_qp_num > 80) next_qp_num = 17; /* numbers are used again, and soon */
    list_push_back(&all_qps, &q->all);
    dbl_count_object(1);
    return q;
}

#undef ibv_create_qp
struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
    dbl_lock();
    struct dbl_qp *q = dbl_fails("ibv_create_qp") ? NULL : dbl_qp_new(pd, attr);
    dbl_unlock();
    return q ? &q->qp : NULL;
}

void dbl_qp_free(struct dbl_qp *q)
{
    if (q->peer) q->peer->peer = NULL;
    for (unsigned i = 0; i < q->count; i++) free(q->sends[(q->at + i) % q->size].inlined);
    q->cq->users--;
    if (q->srq) q->srq->users--;
    /* What of it is still in the completion queue stays there, as with rxe. */
    list_remove(&q->all);
    free(q->recvs.ring);
    free(q->sends);
    free(q);
    dbl_count_object(-1);
}

int ibv_destroy_qp(struct ibv_qp *qp)
{
    dbl_lock();
    dbl_qp_free((struct dbl_qp *)qp);
    dbl_unlock();
    return 0;
}

static void report_send(struct dbl_qp *q, const struct dbl_send *s, enum ibv_wc_status status)
{
    if (!status && !(s->wr.send_flags & IBV_SEND_SIGNALED)) {
        q->unreported++;
        return;
    }
    struct ibv_wc wc = {.wr_id = s->wr.wr_id,
                        .status = status,
                        .vendor_err = status ? 77 : 0,
                        .qp_num = q->qp.qp_num,
                        .opcode = status ? IBV_WC_BIND_MW : IBV_WC_SEND};
    wc.slid = (uint16_t)(q->unreported + 1); /* how many slots are free when it is polled */
    q->unreported = 0;
    complete(q->cq, &wc);
}

static void report_recv(struct dbl_qp *q, const struct dbl_recv *r, enum ibv_wc_status status, uint32_t len,
                        const uint32_t *imm)
{
    struct ibv_wc wc = {.wr_id = r->wr_id,
                        .status = status,
                        .vendor_err = status ? 78 : 0,
                        .byte_len = status ? 0xdeadbeef : len,
                        .qp_num = q->qp.qp_num,
                        .opcode = status ? IBV_WC_BIND_MW
                                  : imm  ? IBV_WC_RECV_RDMA_WITH_IMM
                                         : IBV_WC_RECV};
    if (imm) {
        wc.wc_flags = IBV_WC_WITH_IMM;
        wc.imm_data = *imm;
    }
    complete(q->cq, &wc);
}

static struct dbl_send *pop_send(struct dbl_qp *q)
{
    struct dbl_send *s = &q->sends[q->at];
    q->at = (q->at + 1) % q->size;
    q->count--;
    return s;
}

void dbl_qp_error(struct dbl_qp *q)
{
    q->is_error = true;
    while (q->count) {
        struct dbl_send *s = pop_send(q);
        report_send(q, s, IBV_WC_WR_FLUSH_ERR);
        free(s->inlined);
    }
    for (struct dbl_recv *r = q->srq ? NULL : take_recv(&q->recvs); r; r = take_recv(&q->recvs))
        report_recv(q, r, IBV_WC_WR_FLUSH_ERR, 0, NULL);
}

static void gather(struct dbl_qp *q, const struct dbl_send *s, uint8_t *to)
{
    if (s->inlined) {
        memcpy(to, s->inlined, s->inlined_len);
        return;
    }
    for (int i = 0; i < s->wr.num_sge; i++) {
        if (!dbl_covers(q->qp.pd, s->sges[i].lkey, s->sges[i].addr, s->sges[i].length, 0))
            dbl_wrong("a request of memory that its key does not cover");
        memcpy(to, (void *)(uintptr_t)s->sges[i].addr, s->sges[i].length);
        to += s->sges[i].length;
    }
}

static uint32_t length_of(const struct dbl_send *s)
{
    uint32_t n = s->inlined ? s->inlined_len : 0;
    for (int i = 0; !s->inlined && i < s->wr.num_sge; i++) n += s->sges[i].length;
    return n;
}

/* The statuses of both ends; false: the peer has no receive. */
static bool carry_out(struct dbl_qp *q, struct dbl_send *s, enum ibv_wc_status *mine)
{
    struct dbl_qp *p = q->peer;
    const uint32_t len = length_of(s);
    const bool is_write = s->wr.opcode != IBV_WR_SEND;
    *mine = IBV_WC_SUCCESS;
    if (is_write && len &&
        !dbl_covers(p->qp.pd, s->wr.wr.rdma.rkey, s->wr.wr.rdma.remote_addr, len, IBV_ACCESS_REMOTE_WRITE)) {
        *mine = IBV_WC_REM_ACCESS_ERR;
        return true;
    }
    struct dbl_recv *r = NULL;
    if (s->wr.opcode != IBV_WR_RDMA_WRITE && !(r = take_recv(p->srq ? &p->srq->q : &p->recvs))) return false;
    if (is_write) {
        gather(q, s, (uint8_t *)(uintptr_t)s->wr.wr.rdma.remote_addr);
        const uint32_t imm = s->wr.imm_data;
        if (r) report_recv(p, r, IBV_WC_SUCCESS, len, &imm);
        return true;
    }
    if (len > (r->has_sge ? r->sge.length : 0)) {
        report_recv(p, r, q->dev->is_iwarp ? IBV_WC_LOC_LEN_ERR : IBV_WC_LOC_QP_OP_ERR, 0, NULL);
        dbl_qp_error(p);
        *mine = IBV_WC_REM_OP_ERR;
        return true;
    }
    if (r->has_sge) gather(q, s, (uint8_t *)(uintptr_t)r->sge.addr);
    report_recv(p, r, IBV_WC_SUCCESS, len, NULL);
    return true;
}

void dbl_qp_progress(struct dbl_qp *q)
{
    while (q->count && q->is_connected && !held && !q->is_error) {
        struct dbl_send *s = &q->sends[q->at];
        enum ibv_wc_status mine = IBV_WC_SUCCESS;
        const bool is_forced = forced_status;
        if (is_forced) {
            mine = (enum ibv_wc_status)forced_status;
            forced_status = 0;
        } else if (!q->peer || q->peer->is_error) {
            if (!q->dev->is_iwarp) return; /* nobody answers: retries go on until somebody ends it */
        } else if (!carry_out(q, s, &mine)) {
            if (!q->dev->is_iwarp) return;
            struct dbl_qp *p = q->peer;
            pop_send(q);
            report_send(q, s, IBV_WC_SUCCESS);
            free(s->inlined);
            dbl_cm_torn(q);
            dbl_cm_torn(p);
            return;
        }
        pop_send(q);
        report_send(q, s,
                    q->dev->is_iwarp && !is_forced && (mine == IBV_WC_REM_OP_ERR || mine == IBV_WC_REM_ACCESS_ERR)
                        ? IBV_WC_SUCCESS
                        : mine);
        free(s->inlined);
        if (mine) {
            dbl_qp_error(q);
            if (q->dev->is_iwarp) dbl_cm_torn(q);
        }
    }
}

static int add_send(struct dbl_qp *q, const struct ibv_send_wr *wr)
{
    if (q->used == q->size) return ENOMEM;
    if ((unsigned)wr->num_sge > q->sge_max) return EINVAL;
    if (wr->opcode == IBV_WR_RDMA_WRITE_WITH_IMM && q->dev->is_iwarp) return EINVAL;
    struct dbl_send *s = &q->sends[(q->at + q->count) % q->size];
    *s = (struct dbl_send){.wr = *wr};
    if (wr->num_sge) memcpy(s->sges, wr->sg_list, (size_t)wr->num_sge * sizeof *s->sges);
    if (wr->send_flags & IBV_SEND_INLINE) {
        const uint32_t n = length_of(s);
        if (n > q->inline_max) return EINVAL;
        uint8_t *to = s->inlined = malloc(n + 1);
        s->inlined_len = n;
        for (int i = 0; i < wr->num_sge; i++) {
            memcpy(to, (void *)(uintptr_t)s->sges[i].addr, s->sges[i].length);
            to += s->sges[i].length;
        }
    }
    q->count++;
    q->used++;
    return 0;
}

static int post_send(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    struct dbl_qp *q = (struct dbl_qp *)qp;
    int err = 0;
    dbl_lock();
    for (; wr && !err; wr = wr->next) {
        *bad = wr;
        if (dbl_fails("ibv_post_send")) err = errno;
        else if (q->is_error && q->dev->is_iwarp) err = ENOTCONN;
        else err = add_send(q, wr);
        if (!err && q->is_error) dbl_qp_error(q);
    }
    dbl_qp_progress(q);
    dbl_unlock();
    return q->dev->is_iwarp ? -err : err;
}

static int post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
    struct dbl_qp *q = (struct dbl_qp *)qp;
    dbl_lock();
    *bad = wr;
    int err = q->srq ? EINVAL : dbl_fails("ibv_post_recv") ? errno : 0;
    if (!err && q->is_error && q->dev->is_iwarp) err = ENOTCONN;
    if (!err) err = add_recvs(qp->pd, &q->recvs, wr, bad);
    if (q->is_error) dbl_qp_error(q);
    if (q->peer) dbl_qp_progress(q->peer);
    dbl_unlock();
    return q->dev->is_iwarp ? -err : err;
}

int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
    struct dbl_qp *q = (struct dbl_qp *)qp;
    dbl_lock();
    if (mask & IBV_QP_STATE && attr->qp_state == IBV_QPS_ERR) dbl_qp_error(q);
    if (mask & IBV_QP_MIN_RNR_TIMER) last_rnr_timer = attr->min_rnr_timer;
    dbl_unlock();
    return 0;
}

void dbl_qp_ops(struct ibv_context *ctx)
{
    ctx->ops.poll_cq = poll_cq;
    ctx->ops.req_notify_cq = req_notify_cq;
    ctx->ops.post_send = post_send;
    ctx->ops.post_recv = post_recv;
    ctx->ops.post_srq_recv = post_srq_recv;
}

/* --- controls --- */

void dbl_next_status(int status) { forced_status = status; }

void dbl_hold(bool on)
{
    dbl_lock();
    held = on;
    if (!on) progress_all();
    dbl_unlock();
}

void dbl_event(int type)
{
    dbl_lock();
    struct ibv_async_event e = {.event_type = (enum ibv_event_type)type};
    struct dbl_ctx *dev = &dbl_devices[0];
    if (type == IBV_EVENT_QP_FATAL) {
        struct dbl_qp *q = container_of(list_last(&all_qps), struct dbl_qp, all);
        e.element.qp = &q->qp;
        dev = q->dev;
        dbl_qp_error(q);
    }
    dbl_async(dev, &e);
    dbl_unlock();
}

unsigned dbl_notified(void) { return notified; }
unsigned dbl_rnr_timer(void) { return last_rnr_timer; }
