/* SPDX-License-Identifier: MIT
 *
 * The life of a device: asynchronous events, ports that go down, a device that is taken away.
 *
 * The context of a device is librdmacm's, one for the whole process, and so is its descriptor of asynchronous events:
 * which thread reads an event is chance. So all devices of the process stand in one list, and an event that is somebody
 * else's is left as a flag with him. An event that names a queue pair holds it: destroying waits until it is
 * acknowledged, so the end it points to is there until then.
 *
 * A device that is gone does not come back under the same open(): its memory, queues and keys went with it.
 */
#include "libos/verbs/verbs.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER; /* of the list; on the control path only */
static struct list all_devices = {&all_devices, &all_devices};

void life_add(struct verbs_dev *d)
{
    pthread_mutex_lock(&all_lock);
    list_push_back(&all_devices, &d->of_process);
    pthread_mutex_unlock(&all_lock);
}

void life_remove(struct verbs_dev *d)
{
    pthread_mutex_lock(&all_lock);
    list_remove(&d->of_process);
    pthread_mutex_unlock(&all_lock);
}

void life_gone(struct verbs_dev *d)
{
    atomic_store(&d->is_fatal, false);
    if (d->dev.link == NETDEV_GONE) return;
    d->dev.link = NETDEV_GONE;
    for (struct list *l = d->ends.next; l != &d->ends; l = l->next) {
        struct msgdev_end *end = container_of(l, struct msgdev_end, all);
        if (end->state == END_NEW || end->state == END_LISTENING || end->state == END_REQUESTED) {
            end->status = MSGDEV_GONE;
            if (end->state != END_REQUESTED) end_tell(end, NEWS_BROKEN);
        } else {
            end_break(end, MSGDEV_GONE, ENODEV);
        }
    }
}

/* all_lock is held. */
static void note_event(struct ibv_context *ctx, const struct ibv_async_event *e)
{
    switch (e->event_type) {
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR: {
        struct msgdev_end *end = e->element.qp->qp_context;
        if (!end) return;
        atomic_store(&end->is_fatal, true);
        atomic_store(&end->dev->port_news, true);
        return;
    }
    default: break;
    }
    for (struct list *l = all_devices.next; l != &all_devices; l = l->next) {
        struct verbs_dev *d = container_of(l, struct verbs_dev, of_process);
        if (d->ctx != ctx) continue;
        if (e->event_type == IBV_EVENT_DEVICE_FATAL) atomic_store(&d->is_fatal, true);
        if (e->event_type == IBV_EVENT_CQ_ERR && e->element.cq == d->cq) atomic_store(&d->is_fatal, true);
        atomic_store(&d->port_news, true);
    }
}

static void take_events(struct ibv_context *ctx)
{
    struct ibv_async_event e;
    while (!ibv_get_async_event(ctx, &e)) {
        pthread_mutex_lock(&all_lock);
        note_event(ctx, &e);
        pthread_mutex_unlock(&all_lock);
        ibv_ack_async_event(&e);
    }
}

static void break_fatal_ends(struct verbs_dev *d)
{
    for (struct list *l = d->ends.next; l != &d->ends; l = l->next) {
        struct msgdev_end *end = container_of(l, struct msgdev_end, all);
        if (atomic_exchange(&end->is_fatal, false)) end_break(end, MSGDEV_LOCAL_BROKEN, 0);
    }
}

void verbs_look(struct msgdev *m, char *why)
{
    struct verbs_dev *d = verbs_of(m);
    take_events(d->ctx);
    d->look_at_cm = true; /* for who spins: a removal is told there */
    m->n.map_refused = atomic_load(&d->map_refused);
    if (d->map_err && why) {
        int n = snprintf(why, NETDEV_WHY_SIZE, "memory could not be registered (%s): ", strerror(d->map_err));
        if (n > 0 && n < NETDEV_WHY_SIZE) verbs_memlock_remedy(why + n, NETDEV_WHY_SIZE - (size_t)n);
        d->map_err = 0;
    }
    if (m->link == NETDEV_GONE || !atomic_exchange(&d->port_news, false)) return;
    break_fatal_ends(d);
    struct ibv_port_attr port;
    if (ibv_query_port(d->ctx, d->port, &port)) return; /* a device that has just gone says so */
    m->link = port.state == IBV_PORT_ACTIVE ? NETDEV_UP : NETDEV_NO_CARRIER;
}

int verbs_news_fd(struct msgdev *m) { return verbs_of(m)->ctx->async_fd; }
