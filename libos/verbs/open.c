/* SPDX-License-Identifier: MIT
 *
 * Opening and closing. What a device grants differs (inline bytes, pieces, depths) and is found out here once, by
 * making a queue pair as those of connections will be; it is also where too little lockable memory shows, and is said.
 *
 * Released in the order that verbs wants: queue pairs, shared receive queue, completion queue (all of its events
 * acknowledged: destroying waits for that), channel, memory regions, protection domain, event channel.
 */
#include "libos/verbs/verbs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "libos/plugin.h"

#define CQ_SIZE       8192u  /* to begin with; grows with connections where the device can */
#define CQ_SIZE_FIXED 65536u /* iWARP in software cannot */

const struct msgdev_host *verbs_host;

const struct msgdev_ops verbs_ops = {
    .name = "rdma",
    .poll = verbs_poll,
    .post = verbs_post,
    .post_short = verbs_post_short,
    .again = verbs_again,
    .make = verbs_make,
    .listen = verbs_listen,
    .connect = verbs_connect,
    .accept = verbs_accept,
    .reject = verbs_reject,
    .disconnect = verbs_disconnect,
    .release = verbs_release,
    .addresses = verbs_addresses,
    .lend = verbs_lend,
    .take_back = verbs_take_back,
    .fd = verbs_fd,
    .arm = verbs_arm,
    .look = verbs_look,
    .news_fd = verbs_news_fd,
    .close = verbs_close,
};

#define MAKE_ONE "a device in software: rdma link add rxe0 type rxe netdev eth0"

/* --- which device --- */

static int by_name(const struct netdev_env *env, struct verbs_dev *d, struct ibv_context **all, int n, const char *name)
{
    char there[128] = "";
    for (int i = 0; i < n; i++) {
        const char *has = ibv_get_device_name(all[i]->device);
        if (name && !strcmp(has, name)) {
            d->ctx = all[i];
            return 0;
        }
        const size_t len = strlen(there);
        snprintf(there + len, sizeof there - len, "%s%s", i ? ", " : "", has);
    }
    if (name) return plugin_refuse(env, ENODEV, "no RDMA device \"%.40s\"; there are: %s", name, there);
    if (n > 1) return plugin_refuse(env, EINVAL, "which RDMA device? device or address says it; there are: %s", there);
    d->ctx = all[0];
    return 0;
}

static int by_address(const struct netdev_env *env, struct verbs_dev *d, const char *text)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } a;
    char host[64];
    memset(&a, 0, sizeof a);
    snprintf(host, sizeof host, "%.*s", (int)strcspn(text, "/"), text);
    if (inet_pton(AF_INET, host, &a.in.sin_addr) == 1) a.sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &a.in6.sin6_addr) == 1) a.sa.sa_family = AF_INET6;
    else return plugin_refuse(env, EINVAL, "address: \"%.60s\" is no address", text);
    struct rdma_cm_id *id = NULL;
    if (rdma_create_id(d->events, &id, NULL, RDMA_PS_TCP))
        return plugin_refuse(env, errno, "rdma_create_id: %s", strerror(errno));
    if (!rdma_bind_addr(id, &a.sa) && id->verbs) {
        d->ctx = id->verbs;
        d->port = id->port_num ? id->port_num : 1;
    }
    rdma_destroy_id(id);
    if (d->ctx) return 0;
    return plugin_refuse(env, ENODEV, "no RDMA device has the address %.60s (rdma link; ip addr); %s", host, MAKE_ONE);
}

static int choose(const struct netdev_env *env, struct verbs_dev *d)
{
    const char *name = plugin_text(env, "device"), *address = plugin_text(env, "address");
    d->events = rdma_create_event_channel();
    if (!d->events)
        return plugin_refuse(env, ENODEV, "no connection manager of RDMA here (%s): modprobe rdma_ucm; %s",
                             strerror(errno), MAKE_ONE);
    int n = 0;
    struct ibv_context **all = rdma_get_devices(&n);
    if (!all || n < 1) {
        if (all) rdma_free_devices(all);
        return plugin_refuse(env, ENODEV, "no RDMA device here (ibv_devices; package ibverbs-providers); %s", MAKE_ONE);
    }
    d->port = 1;
    int err = name || !address ? by_name(env, d, all, n, name) : by_address(env, d, address);
    rdma_free_devices(all);
    return err;
}

/* --- what it can --- */

static uint32_t least(uint64_t a, uint64_t b) { return (uint32_t)(a < b ? a : b); }

static int refuse_memory(const struct netdev_env *env, const char *what, int err)
{
    char remedy[128];
    verbs_memlock_remedy(remedy, sizeof remedy);
    if (err == ENOMEM || err == EAGAIN) return plugin_refuse(env, ENOMEM, "%s: no memory: %s", what, remedy);
    return plugin_refuse(env, err ? err : EIO, "%s: %s", what, strerror(err ? err : EIO));
}

/* A queue pair as those of connections: as many inline bytes as it takes, halved until it does. */
static int try_queue_pair(const struct netdev_env *env, struct verbs_dev *d, uint32_t inline_wanted)
{
    struct ibv_qp *qp = NULL;
    for (;; inline_wanted /= 2) {
        struct ibv_qp_init_attr attr = {
            .send_cq = d->cq,
            .recv_cq = d->cq,
            .srq = d->srq,
            .qp_type = IBV_QPT_RC,
            .cap = {.max_send_wr = 16,
                    .max_recv_wr = 1,
                    .max_send_sge = d->pieces_max,
                    .max_recv_sge = 1,
                    .max_inline_data = inline_wanted},
        };
        qp = ibv_create_qp(d->pd, &attr);
        if (qp) {
            d->inline_max = least(attr.cap.max_inline_data, inline_wanted);
            break;
        }
        if (!inline_wanted) return refuse_memory(env, "queue pair", errno);
    }
    ibv_destroy_qp(qp);
    return 0;
}

static int make_queues(const struct netdev_env *env, const struct msgdev_wants *wants, struct verbs_dev *d)
{
    struct ibv_device_attr attr;
    struct ibv_port_attr port;
    int err = ibv_query_device(d->ctx, &attr);
    if (!err) err = ibv_query_port(d->ctx, d->port, &port);
    if (err) return plugin_refuse(env, EIO, "the device does not answer: %s", strerror(abs(err)));
    d->is_iwarp = d->ctx->device->transport_type == IBV_TRANSPORT_IWARP;
    d->pieces_max = least(least(wants->pieces_max, MSGDEV_PIECES_MAX), (uint64_t)attr.max_sge);
    if (!d->pieces_max) d->pieces_max = 1;
    if (!(d->pd = ibv_alloc_pd(d->ctx))) return refuse_memory(env, "protection domain", errno);
    if (!(d->channel = ibv_create_comp_channel(d->ctx))) return refuse_memory(env, "completion channel", errno);
    const uint32_t cq_size = least(d->is_iwarp ? CQ_SIZE_FIXED : CQ_SIZE, (uint64_t)attr.max_cqe);
    if (!(d->cq = ibv_create_cq(d->ctx, (int)cq_size, NULL, d->channel, 0)))
        return refuse_memory(env, "completion queue", errno);
    d->cq_size = (uint32_t)d->cq->cqe;
    d->cq_max = least(INT32_MAX, (uint64_t)attr.max_cqe);
    d->shared_depth = attr.max_srq > 0 ? least(wants->shared_depth, (uint64_t)attr.max_srq_wr) : 0;
    /* Half of the completion queue at most is the shared queue's. */
    d->shared_depth = least(d->shared_depth, d->cq_size / 2);
    if (d->shared_depth) {
        struct ibv_srq_init_attr srq = {.attr = {.max_wr = d->shared_depth, .max_sge = 1}};
        if (!(d->srq = ibv_create_srq(d->pd, &srq))) return refuse_memory(env, "shared receive queue", errno);
        const size_t size = (d->shared_depth + 1) * sizeof *d->shared;
        d->shared = aligned_alloc(_Alignof(struct shared_receive), size);
        if (!d->shared) return plugin_refuse(env, ENOMEM, "no memory");
        memset(d->shared, 0, size);
    }
    d->cq_used = d->shared_depth;
    err = try_queue_pair(env, d, wants->inline_max);
    if (err) return err;
    d->dev.caps = (struct msgdev_caps){
        .pieces_max = (uint16_t)d->pieces_max,
        .inline_max = (uint16_t)d->inline_max,
        .message_max = port.max_msg_sz,
        .depth_max = least((uint64_t)attr.max_qp_wr - 1, d->cq_size / 2),
        .shared_depth = d->shared_depth,
        .immediate = !d->is_iwarp,
        .rnr = !d->is_iwarp,
        .sent_is_delivered = !d->is_iwarp,
    };
    d->dev.link = port.state == IBV_PORT_ACTIVE ? NETDEV_UP : NETDEV_NO_CARRIER;
    snprintf(d->dev.what, sizeof d->dev.what, "%s port %u (%s)", ibv_get_device_name(d->ctx->device), d->port,
             d->is_iwarp                                  ? "iWARP"
             : port.link_layer == IBV_LINK_LAYER_ETHERNET ? "RoCE"
                                                          : "InfiniBand");
    return 0;
}

/* --- waiting --- */

static int unblock(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC) ? -errno : 0;
}

static int make_waiting(const struct netdev_env *env, struct verbs_dev *d)
{
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int err = d->epoll_fd < 0 || d->timer_fd < 0 ? -errno : 0;
    const int fds[] = {d->events->fd, d->channel->fd, d->timer_fd};
    for (unsigned i = 0; !err && i < sizeof fds / sizeof *fds; i++) {
        struct epoll_event e = {.events = EPOLLIN};
        err = unblock(fds[i]);
        if (!err && epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fds[i], &e)) err = -errno;
    }
    if (!err) err = unblock(d->ctx->async_fd);
    return err ? plugin_refuse(env, -err, "descriptors to wait on: %s", strerror(-err)) : 0;
}

/* --- open and close --- */

static void close_all(struct verbs_dev *d)
{
    while (!list_is_empty(&d->ends)) end_destroy(container_of(list_first(&d->ends), struct msgdev_end, all));
    for (struct list *l = list_pop_front(&d->news); l; l = list_pop_front(&d->news))
        list_push_back(&d->dead, &container_of(l, struct msgdev_end, link)->all);
    for (struct list *l = list_pop_front(&d->dead); l; l = list_pop_front(&d->dead))
        free(container_of(l, struct msgdev_end, all));
    if (d->srq) ibv_destroy_srq(d->srq);
    if (d->cq) {
        if (d->unacked) ibv_ack_cq_events(d->cq, d->unacked);
        ibv_destroy_cq(d->cq);
    }
    if (d->channel) ibv_destroy_comp_channel(d->channel);
    if (d->dev.registry >= 0) verbs_host->registry_remove_device(d->dev.registry);
    if (d->pd) ibv_dealloc_pd(d->pd);
    if (d->events) rdma_destroy_event_channel(d->events);
    if (d->epoll_fd >= 0) close(d->epoll_fd);
    if (d->timer_fd >= 0) close(d->timer_fd);
    free(d->slots);
    free(d->shared);
    free(d);
}

void verbs_close(struct msgdev *m)
{
    life_remove(verbs_of(m));
    close_all(verbs_of(m));
}

static int register_memory(const struct netdev_env *env, struct verbs_dev *d)
{
    d->dev.registry = verbs_host->registry_add_device(&verbs_registrar, d);
    if (d->dev.registry < 0) return plugin_refuse(env, -d->dev.registry, "too many devices in this process");
    /* Later regions that are refused cost a copy; but with none at all there is nothing to receive into. */
    if (!d->map_refused) return 0;
    d->dev.n.map_refused = d->map_refused;
    return refuse_memory(env, "registering memory", d->map_err);
}

int verbs_open(const struct netdev_env *env, const struct msgdev_wants *wants, struct msgdev **out)
{
    struct verbs_dev *d = calloc(1, sizeof *d);
    if (!d) return plugin_refuse(env, ENOMEM, "no memory");
    d->one = (struct ibv_send_wr){.sg_list = &d->one_piece, .num_sge = 1};
    d->brief = (struct ibv_send_wr){.wr_id = VERBS_SENT | 1, /* only a failure shows it, and then it does not matter */
                                    .sg_list = &d->brief_piece,
                                    .num_sge = 1,
                                    .opcode = IBV_WR_SEND,
                                    .send_flags = IBV_SEND_INLINE};
    d->dev.ops = &verbs_ops;
    d->dev.registry = d->epoll_fd = d->timer_fd = -1;
    list_init(&d->news);
    list_init(&d->draining);
    list_init(&d->ends);
    list_init(&d->dead);
    list_init(&d->of_process);
    int err = choose(env, d);
    if (!err) err = make_queues(env, wants, d);
    if (!err) err = make_waiting(env, d);
    if (!err && table_add(d, NULL)) err = plugin_refuse(env, ENOMEM, "no memory");
    if (!err) err = register_memory(env, d);
    if (err) {
        close_all(d);
        return err;
    }
    d->look_at_cm = true;
    life_add(d);
    *out = &d->dev;
    return 0;
}

PLUGIN_EXPORT const struct msgdev_plugin *demi_msgdev_plugin(const struct msgdev_host *host);
const struct msgdev_plugin *demi_msgdev_plugin(const struct msgdev_host *host)
{
    static const struct msgdev_plugin plugin = {.abi = MSGDEV_ABI, .name = "rdma", .open = verbs_open};
    verbs_host = host;
    return &plugin;
}
