/* SPDX-License-Identifier: MIT
 *
 * The end of an end. Its memory is the library's again when its queue pair is destroyed, and that waits until
 * everything posted has come back, so that no completion of it is left in the queue when its number is given to
 * another:
 *
 *     release()   disconnect; queue pair to the error state; a marked request into each of its own queues
 *     poll()      the marks come back flushed: everything before them has been reported
 *     then        queue pair, id, RELEASED
 *
 * iWARP in software takes no request in the error state, but has flushed everything when it enters it: a tick is waited
 * for, so that what was under way ends, and the completion queue seen empty. What a device owes after VERBS_DRAIN_MS is
 * not waited for. LAST_WQE_REACHED would say when the shared queue's receives are through, but neither rxe nor siw
 * sends it.
 */
#include "libos/verbs/verbs.h"

#include <errno.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void set_timer(struct verbs_dev *d, bool on)
{
    struct itimerspec t = {0};
    if (on) t.it_value.tv_nsec = t.it_interval.tv_nsec = VERBS_DRAIN_TICK_MS * (long)(NSEC_PER_SEC / 1000);
    timerfd_settime(d->timer_fd, 0, &t, NULL);
    d->draining_now = on;
}

static void begin_draining(struct msgdev_end *end)
{
    struct verbs_dev *d = end->dev;
    const nsec now = clock_mono_ns();
    end->deadline_ns = now + VERBS_DRAIN_MS * (NSEC_PER_SEC / 1000);
    struct ibv_qp_attr error = {.qp_state = IBV_QPS_ERR};
    ibv_modify_qp(end->qp, &error, IBV_QP_STATE); /* fails where it is there already */
    struct ibv_send_wr last = {.wr_id = VERBS_SENT, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_SIGNALED},
                       *bad = NULL;
    end->send_drained = ibv_post_send(end->qp, &last, &bad) != 0;
    struct ibv_recv_wr last_recv = {.wr_id = 0}, *bad_recv = NULL;
    end->recv_drained = !end->own_receives || ibv_post_recv(end->qp, &last_recv, &bad_recv) != 0;
    const bool all_marked = !end->send_drained && end->recv_drained == !end->own_receives;
    end->earliest_ns = all_marked ? now : now + VERBS_DRAIN_TICK_MS * (NSEC_PER_SEC / 1000);
    list_push_back(&d->draining, &end->draining);
    if (!d->draining_now) set_timer(d, true);
}

/* Requests that the library has not heard of go with their listener. */
static void refuse_waiting(struct msgdev_end *listener)
{
    struct verbs_dev *d = listener->dev;
    for (struct list *l = d->ends.next, *next = l->next; l != &d->ends; l = next, next = l->next) {
        struct msgdev_end *end = container_of(l, struct msgdev_end, all);
        if (end->listener != listener) continue;
        list_remove(&end->link);
        end->news = 0;
        end->listener = NULL;
        verbs_reject(&d->dev, end, NULL, 0);
    }
    listener->waiting = 0;
}

void verbs_release(struct msgdev *n, struct msgdev_end *end)
{
    ASSERT(end->state < END_DRAINING);
    if (end->state == END_LISTENING) refuse_waiting(end);
    if (end->state == END_UP) rdma_disconnect(end->id);
    if (end->state == END_REQUESTED) rdma_reject(end->id, NULL, 0);
    /* Nothing but its release is news of it any more. */
    list_remove(&end->link);
    end->news = 0;
    end->told = (uint8_t)~NEWS_RELEASED;
    end->state = END_DRAINING;
    if (end->qp) {
        table_silence(end->dev, end);
        begin_draining(end);
        return;
    }
    end_tell(end, NEWS_RELEASED);
    end_destroy(end);
}

void release_step(struct verbs_dev *d)
{
    const nsec now = clock_mono_ns();
    for (struct list *l = d->draining.next, *next = l->next; l != &d->draining; l = next, next = l->next) {
        struct msgdev_end *end = container_of(l, struct msgdev_end, draining);
        const bool is_empty = end->send_drained && end->recv_drained;
        if (now < end->deadline_ns && (!is_empty || now < end->earliest_ns)) continue;
        if (!is_empty) d->dev.n.release_cut++;
        end_tell(end, NEWS_RELEASED);
        end_destroy(end);
    }
    uint64_t ticks;
    if (list_is_empty(&d->draining)) set_timer(d, false);
    else if (read(d->timer_fd, &ticks, sizeof ticks) < 0) return; /* it has not ticked */
}
