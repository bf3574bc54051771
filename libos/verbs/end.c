/* SPDX-License-Identifier: MIT
 *
 * Ends of connections: the library's calls about them. None of them waits: what takes time is asked of rdma_cm, and its
 * answer comes as an event (cm.c). Two exceptions are the kernel's: on iWARP in software (siw) connect() waits for
 * TCP's handshake, and destroying a queue pair waits for its device.
 */
#include "libos/verbs/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int errno_or(int otherwise) { return errno ? errno : otherwise; }

/* --- what is to be told --- */

void end_tell(struct msgdev_end *end, enum end_news news)
{
    struct verbs_dev *d = end->dev;
    if (end->told & news) return;
    end->told |= news;
    if (!end->news) list_push_back(&d->news, &end->link);
    end->news |= news;
    /* All that is in the completion queue by now comes first. */
    end->news_after = d->polled + d->cq_size;
}

void end_fail(struct msgdev_end *end, enum msgdev_status status, int err)
{
    if (end->state == END_DOWN) return;
    end->state = END_DOWN;
    end->status = (uint8_t)status;
    end->err = err;
    end_tell(end, NEWS_FAILED);
}

void end_break(struct msgdev_end *end, enum msgdev_status status, int err)
{
    if (end->state != END_UP) {
        if (end->state > END_NEW && end->state < END_UP && end->state != END_LISTENING && end->state != END_REQUESTED)
            end_fail(end, status, err);
        return;
    }
    end->state = END_DOWN;
    end->status = (uint8_t)status;
    end->err = err;
    end_tell(end, NEWS_BROKEN);
}

/* --- coming and going --- */

struct msgdev_end *end_new(struct verbs_dev *d, struct rdma_cm_id *id, uint64_t word)
{
    struct msgdev_end *end = calloc(1, sizeof *end);
    if (!end) return NULL;
    end->dev = d;
    end->word = word;
    end->id = id;
    id->context = end;
    list_push_back(&d->ends, &end->all);
    list_init(&end->link);
    list_init(&end->draining);
    return end;
}

static uint32_t cq_share(const struct msgdev_end *end)
{
    return end->send_depth + 1 + (end->own_receives ? end->recv_depth + 1 : 0);
}

static void drop_queues(struct msgdev_end *end)
{
    if (!end->qp) return;
    table_remove(end->dev, end);
    rdma_destroy_qp(end->id);
    end->qp = NULL;
    end->dev->cq_used -= cq_share(end);
}

void end_destroy(struct msgdev_end *end)
{
    struct verbs_dev *d = end->dev;
    ASSERT(end->state != END_GONE);
    drop_queues(end);
    rdma_destroy_id(end->id);
    end->id = NULL;
    end->state = END_GONE;
    free(end->receives);
    end->receives = NULL;
    list_remove(&end->draining);
    list_remove(&end->all);
    if (!end->news) list_push_back(&d->dead, &end->all);
}

int verbs_make(struct msgdev *n, uint64_t word, const struct sockaddr *local, socklen_t size, struct msgdev_end **out)
{
    struct verbs_dev *d = verbs_of(n);
    struct rdma_cm_id *id = NULL;
    ASSERT(word);
    if (n->link == NETDEV_GONE) return -ENODEV;
    if (rdma_create_id(d->events, &id, NULL, RDMA_PS_TCP)) return -errno_or(ENOMEM);
    int err = 0, yes = 1;
    /* Each family has its listener, as it has its sockets. */
    if (local && local->sa_family == AF_INET6)
        rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_AFONLY, &yes, sizeof yes);
    if (local && rdma_bind_addr(id, (struct sockaddr *)(uintptr_t)local)) err = -errno_or(EADDRNOTAVAIL);
    /* An address of another device; that of all addresses has none. */
    if (!err && id->verbs && id->verbs != d->ctx) err = -ENODEV;
    struct msgdev_end *end = err ? NULL : end_new(d, id, word);
    if (!end) {
        rdma_destroy_id(id);
        return err ? err : -ENOMEM;
    }
    *out = end;
    return 0;
}

int verbs_listen(struct msgdev *n, struct msgdev_end *end, int backlog)
{
    if (end->state != END_NEW) return -EINVAL;
    if (backlog < 1) backlog = 1;
    if (rdma_listen(end->id, backlog)) return -errno_or(EINVAL);
    end->backlog = (uint32_t)backlog;
    end->state = END_LISTENING;
    return 0;
}

/* --- queues --- */

static int take_cq_share(struct verbs_dev *d, uint32_t share)
{
    if (d->cq_used + share > d->cq_size) {
        uint64_t size = d->cq_size;
        while (size < (uint64_t)d->cq_used + share) size *= 2;
        if (size > d->cq_max) size = d->cq_max; /* the last step is a shorter one */
        if (size < (uint64_t)d->cq_used + share) return -ENOSPC;
        /* A queue that is too small breaks every connection on it: without room no connection. */
        int err = ibv_resize_cq(d->cq, (int)size);
        if (err) return -abs(err);
        d->cq_size = (uint32_t)d->cq->cqe;
        if (d->cq_used + share > d->cq_size) return -ENOSPC;
    }
    d->cq_used += share;
    return 0;
}

static int post_receives(struct msgdev_end *end)
{
    struct ibv_recv_wr *bad = NULL;
    int err = end->receive_count ? ibv_post_recv(end->qp, end->receives, &bad) : 0;
    free(end->receives);
    end->receives = NULL;
    end->receive_count = 0;
    return -abs(err);
}

int end_make_queues(struct msgdev_end *end)
{
    struct verbs_dev *d = end->dev;
    int err = take_cq_share(d, cq_share(end));
    if (err) return err;
    struct ibv_qp_init_attr attr = {
        .qp_context = end,
        .send_cq = d->cq,
        .recv_cq = d->cq,
        .srq = end->own_receives ? NULL : d->srq,
        .qp_type = IBV_QPT_RC,
        /* One more than the library counts, for what marks the end when the queue is emptied (release.c). */
        .cap = {.max_send_wr = end->send_depth + 1,
                .max_recv_wr = end->own_receives ? end->recv_depth + 1 : 1,
                .max_send_sge = d->pieces_max,
                .max_recv_sge = 1,
                .max_inline_data = d->inline_max},
    };
    if (rdma_create_qp(end->id, d->pd, &attr)) {
        err = -errno_or(ENOMEM);
        d->cq_used -= cq_share(end);
        return err;
    }
    end->qp = end->id->qp;
    err = table_add(d, end);
    if (err) {
        rdma_destroy_qp(end->id);
        end->qp = NULL;
        d->cq_used -= cq_share(end);
        return err;
    }
    err = post_receives(end);
    if (err) drop_queues(end);
    return err;
}

/* The requests' words, pieces and order; what they point at need not stay. */
static int copy_receives(struct msgdev_end *end, const struct msgdev_params *params)
{
    const uint32_t n = params->receive_count;
    if (!n) return 0;
    if (!end->own_receives || n > end->recv_depth) return -EINVAL;
    end->receives = calloc(n, sizeof *end->receives + sizeof(struct ibv_sge));
    if (!end->receives) return -ENOMEM;
    struct ibv_sge *sges = (struct ibv_sge *)(end->receives + n);
    for (uint32_t i = 0; i < n; i++) {
        const struct msgdev_request *r = &params->receives[i];
        const struct ibv_mr *mr = r->pieces[0].cookie;
        ASSERT(r->verb == MSGDEV_RECEIVE);
        ASSERT(r->piece_count == 1);
        sges[i] = (struct ibv_sge){(uintptr_t)r->pieces[0].p, r->pieces[0].n, mr->lkey};
        end->receives[i] = (struct ibv_recv_wr){
            .wr_id = r->word, .sg_list = &sges[i], .num_sge = 1, .next = i + 1 < n ? &end->receives[i + 1] : NULL};
    }
    end->receive_count = n;
    return 0;
}

static int take_params(struct msgdev_end *end, const struct msgdev_params *params, uint32_t private_max)
{
    const struct verbs_dev *d = end->dev;
    if (!params->send_depth || params->send_depth > d->dev.caps.depth_max) return -EINVAL;
    if (params->recv_depth > d->dev.caps.depth_max || params->private_len > private_max) return -EINVAL;
    if (!params->recv_depth && !d->srq) return -EINVAL;
    end->send_depth = params->send_depth;
    end->recv_depth = params->recv_depth;
    end->own_receives = params->recv_depth > 0;
    return copy_receives(end, params);
}

struct rdma_conn_param end_conn_param(const struct msgdev_end *end, const void *private_data, uint8_t private_len)
{
    return (struct rdma_conn_param){
        .private_data = private_len ? private_data : NULL,
        .private_data_len = private_len,
        /* Nobody reads, but a device may refuse 0. */
        .responder_resources = 1,
        .initiator_depth = 1,
        .retry_count = VERBS_RETRIES,
        /* On InfiniBand and RoCE the value of accept() becomes the connecting side's. */
        .rnr_retry_count = VERBS_RNR_RETRIES,
    };
}

void end_set_rnr_timer(struct msgdev_end *end)
{
    struct ibv_qp_attr attr = {.min_rnr_timer = VERBS_RNR_TIMER};
    /* Where it fails the connection works, and a missing receive costs more. */
    if (!end->dev->is_iwarp) ibv_modify_qp(end->qp, &attr, IBV_QP_MIN_RNR_TIMER);
}

/* --- connections --- */

int verbs_connect(struct msgdev *n, struct msgdev_end *end, const struct sockaddr *peer, socklen_t size,
                  const struct msgdev_params *params)
{
    if (end->state != END_NEW) return -EINVAL;
    if (n->link == NETDEV_GONE) return -ENODEV;
    int err = take_params(end, params, MSGDEV_PRIVATE);
    if (err) return err;
    if (rdma_resolve_addr(end->id, NULL, (struct sockaddr *)(uintptr_t)peer, VERBS_RESOLVE_MS)) {
        err = -errno_or(EHOSTUNREACH);
        free(end->receives);
        end->receives = NULL;
        end->receive_count = 0;
        return err;
    }
    end->private_len = params->private_len;
    if (params->private_len) memcpy(end->private_data, params->private_data, params->private_len);
    end->state = END_RESOLVING;
    return 0;
}

int verbs_accept(struct msgdev *n, struct msgdev_end *end, uint64_t word, const struct msgdev_params *params)
{
    ASSERT(end->state == END_REQUESTED);
    ASSERT(word);
    end->word = word;
    int err = take_params(end, params, MSGDEV_ANSWER);
    if (!err) err = end_make_queues(end);
    if (!err) {
        struct rdma_conn_param p = end_conn_param(end, params->private_data, params->private_len);
        if (rdma_accept(end->id, &p)) err = -errno_or(ECONNRESET);
    }
    if (err) {
        verbs_reject(n, end, NULL, 0);
        return err;
    }
    end_set_rnr_timer(end);
    end->state = END_ACCEPTING;
    return 0;
}

void verbs_reject(struct msgdev *n, struct msgdev_end *end, const void *private_data, uint8_t private_len)
{
    ASSERT(end->state == END_REQUESTED);
    rdma_reject(end->id, private_len ? private_data : NULL, private_len); /* the peer may be gone: all the same */
    end_destroy(end);
}

void verbs_disconnect(struct msgdev *n, struct msgdev_end *end)
{
    if (end->state == END_UP) rdma_disconnect(end->id); /* an error: it has been already */
}

static void copy_address(struct sockaddr_storage *to, const struct sockaddr *from)
{
    memset(to, 0, sizeof *to);
    if (!from) return;
    if (from->sa_family == AF_INET) memcpy(to, from, sizeof(struct sockaddr_in));
    if (from->sa_family == AF_INET6) memcpy(to, from, sizeof(struct sockaddr_in6));
}

void verbs_addresses(struct msgdev *n, struct msgdev_end *end, struct sockaddr_storage *local,
                     struct sockaddr_storage *peer)
{
    if (local) copy_address(local, end->id ? rdma_get_local_addr(end->id) : NULL);
    if (peer) copy_address(peer, end->id ? rdma_get_peer_addr(end->id) : NULL);
}
