/* SPDX-License-Identifier: MIT
 *
 * The joint: completions of the device into events of connections and tokens, requests to the device.
 *
 *     turn:   poll:  completions, a burst at a time; what peers have written into words of those that wait for room;
 *                    receives are posted again before the program works with what has come
 *             program works, pushes
 *             flush: requests (send.c)
 */
#include "libos/rdma/sock.h"

#include "alloc/base/log.h"
#include "alloc/heap.h"
#include "libos/runtime/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define BURSTS_MAX 4
#define STUCK_NS   20000u  /* a device without room is asked again so soon */
#define WORDS_NS   200000u /* and so are words, whose being written nobody tells */
#define LOOK_NS    1000000000u
#define STOP_TRIES (MSGDEV_RELEASE_MS * 10) /* 100 us each */

/* --- completions -------------------------------------------------------------------------------------------------- */

/* A receive has come back. Its buffer is posted again as it is, but for one that was given to the program. */
static inline void received(struct rdma *r, const struct msgdev_completion *m)
{
    uint32_t place = (uint32_t)m->word;
    ASSERT(place <= r->depth);
    struct buf *b = r->receives[place];
    ASSERT(b);
    bool given = false;
    struct rdma_conn *c = m->of ? conn_of(m->of) : NULL;
    if (likely(m->status == MSGDEV_OK && c)) {
        if (likely(!c->v)) given = rdma_recv_message(c, b, m->len);
        else valkey_received(c, b, m);
        rdma_conn_debug(c);
    } else if (c && m->status != MSGDEV_FLUSHED) {
        rdma_conn_broken(c, m->status, m->err);
    }
    r->posted--;
    if (unlikely(given)) {
        r->receives[place] = NULL;
        r->places[r->place_count++] = place;
    } else {
        r->again[r->again_count++] = place;
    }
}

static void sent(struct rdma_conn *c, const struct msgdev_completion *m)
{
    if (unlikely(m->status != MSGDEV_OK)) {
        if (m->status != MSGDEV_FLUSHED) rdma_conn_broken(c, m->status, m->err);
        return;
    }
    c->is_silent = c->probe_out = false;
    rdma_send_reported(c, (uint32_t)m->word);
    rdma_conn_debug(c);
}

__attribute__((noinline)) static void event_of_end(struct rdma *r, const struct msgdev_completion *m)
{
    struct rdma_conn *c = conn_of(m->of);
    switch (m->event) {
    case MSGDEV_REQUESTED:
        if (c->state == CONN_LISTENING && c->sock) rdma_setup_requested(c->sock, m);
        else r->dev->ops->reject(r->dev, m->end, NULL, 0);
        break;
    case MSGDEV_ESTABLISHED: rdma_setup_established(c, m); break;
    case MSGDEV_FAILED: rdma_setup_failed(c, m); break;
    case MSGDEV_DISCONNECTED:
        if (c->state == CONN_OPENING) rdma_setup_abandon(c, ECONNRESET);
        else rdma_conn_disconnected(c);
        break;
    case MSGDEV_BROKEN: rdma_conn_broken(c, m->status, m->err); break;
    case MSGDEV_RELEASED: rdma_conn_released(c); break;
    default: break;
    }
}

void rdma_event(struct rdma *r, const struct msgdev_completion *m)
{
    if (likely(m->event == MSGDEV_RECEIVED)) received(r, m);
    else if (likely(m->event == MSGDEV_SENT)) sent(conn_of(m->of), m);
    else event_of_end(r, m);
}

static unsigned poll_bursts(struct rdma *r)
{
    struct msgdev_completion m[MSGDEV_BURST + 1];
    unsigned total = 0;
    for (unsigned i = 0; i < BURSTS_MAX; i++) {
        unsigned n = r->dev->ops->poll(r->dev, m, MSGDEV_BURST);
        if (!n) break;
        ASSERT(n <= MSGDEV_BURST);
        if (!total) runtime_now(r->base.rt);
        rdma_recv_burst(r, m, n);
        rdma_recv_post(r);
        total += n;
        if (n < MSGDEV_BURST) break;
    }
    return total;
}

unsigned rdma_poll(struct libos *l)
{
    struct rdma *r = (struct rdma *)l;
    unsigned n = poll_bursts(r);
    if (unlikely(!list_is_empty(&r->waiting))) n += rdma_send_look_at_words(r);
    if (unlikely(!n && r->posted < r->depth)) rdma_recv_post(r);
    return n;
}

void rdma_flush(struct libos *l) { rdma_send_flush((struct rdma *)l); }

uint64_t rdma_next_deadline(struct libos *l)
{
    const struct rdma *r = (const struct rdma *)l;
    if (r->stuck || r->posted < r->depth) return l->rt->now + STUCK_NS;
    return list_is_empty(&r->waiting) ? UINT64_MAX : l->rt->now + WORDS_NS;
}

int rdma_arm(struct libos *l)
{
    struct rdma *r = (struct rdma *)l;
    if (!r->watched) return r->dev->link == NETDEV_GONE && r->news_watched ? 0 : -EOPNOTSUPP;
    return r->dev->ops->arm ? r->dev->ops->arm(r->dev) : 0;
}

/* --- the life of the device --------------------------------------------------------------------------------------- */

static void watch_device(struct rdma *r);
static void unwatch_device(struct rdma *r);

static void tell_link(struct rdma *r)
{
    const char *what = r->dev->what;
    switch (r->dev->link) {
    case NETDEV_UP:
        r->device_returned += r->link == NETDEV_GONE;
        log_notice(NULL, r->link == NETDEV_GONE ? "rdma: %s: is there again" : "rdma: %s: its port is active", what);
        break;
    case NETDEV_NO_CARRIER:
    case NETDEV_DOWN:
        r->link_lost++;
        log_warning(NULL, "rdma: %s: its port is down: rdma link show tells why", what);
        break;
    case NETDEV_GONE:
        r->device_gone++;
        log_warning(NULL, "rdma: %s: has gone, and its connections with it", what);
        break;
    }
    r->link = (uint8_t)r->dev->link;
    r->link_up = r->link == NETDEV_UP;
}

static void look(struct rdma *r)
{
    char why[NETDEV_WHY_SIZE] = "";
    r->dev->ops->look(r->dev, why);
    if (*why) log_notice(NULL, "rdma: %s", why);
    if (r->dev->link == r->link) return;
    tell_link(r);
    unwatch_device(r);
    watch_device(r);
}

static void on_look(struct timer *t)
{
    struct rdma *r = container_of(t, struct rdma, look);
    look(r);
    wheel_start(&r->base.rt->wheel, &r->look, runtime_later(r->base.rt, LOOK_NS), on_look);
}

static void on_news(struct fd_watch *w, uint32_t events) { look(container_of(w, struct rdma, news)); }

static void on_completions(struct fd_watch *w, uint32_t events)
{
    /* It has ended the sleep; the turn's poll takes what there is. */
}

static void watch_device(struct rdma *r)
{
    struct runtime *rt = r->base.rt;
    const struct msgdev_ops *ops = r->dev->ops;
    r->watch = (struct fd_watch){.fn = on_completions, .fd = ops->fd ? ops->fd(r->dev) : -1};
    r->news = (struct fd_watch){.fn = on_news, .fd = ops->look && ops->news_fd ? ops->news_fd(r->dev) : -1};
    if (r->watch.fd >= 0 && !rt->time.idle) r->watched = !runtime_watch(rt, &r->watch, EPOLLIN | EPOLLET);
    if (r->news.fd >= 0 && !rt->time.idle) r->news_watched = !runtime_watch(rt, &r->news, EPOLLIN);
    if (ops->look && !r->news_watched) wheel_start(&rt->wheel, &r->look, runtime_later(rt, LOOK_NS), on_look);
    r->base.must_poll = !r->watched && !rt->time.idle;
}

static void unwatch_device(struct rdma *r)
{
    struct runtime *rt = r->base.rt;
    if (r->watched) runtime_unwatch(rt, &r->watch);
    if (r->news_watched) runtime_unwatch(rt, &r->news);
    r->watched = r->news_watched = false;
    wheel_stop(&rt->wheel, &r->look);
}

/* --- start and stop ----------------------------------------------------------------------------------------------- */

static int add_counters(struct rdma *r)
{
    struct counters *c = &r->base.rt->counters;
    const struct msgdev_counters *d = &r->dev->n;
    const struct counter all[] = {
        {"rdma.accepted", &r->accepted},
        {"rdma.connected", &r->connected},
        {"rdma.rejected", &r->rejected},
        {"rdma.foreign", &r->foreign},
        {"rdma.accept_backoff", &r->accept_backoff},
        {"rdma.open_failed", &r->open_failed},
        {"rdma.resets", &r->resets},
        {"rdma.push_busy", &r->push_busy},
        {"rdma.rx_bytes", &r->rx_bytes},
        {"rdma.tx_bytes", &r->tx_bytes},
        {"rdma.rx_messages", &r->rx_messages},
        {"rdma.tx_messages", &r->tx_messages},
        {"rdma.tx_inline", &r->tx_inline},
        {"rdma.tx_copied", &r->tx_copied},
        {"rdma.tx_stalled", &r->tx_stalled},
        {"rdma.counts_written", &r->counts_written},
        {"rdma.count_messages", &r->count_messages},
        {"rdma.protocol_errors", &r->protocol_errors},
        {"rdma.keepalives", &r->keepalives},
        {"rdma.peers_silent", &r->peers_silent},
        {"rdma.close_drained", &r->close_drained},
        {"rdma.close_cut", &r->close_cut},
        {"rdma.no_buffer", &r->no_buffer},
        {"rdma.receives_short", &r->receives_short},
        {"rdma.words", &r->words.used},
        {"rdma.valkey_accepted", &r->valkey_accepted},
        {"rdma.valkey_lent", &r->valkey_lent},
        {"rdma.strangers_lent", &r->strangers.bytes},
        {"rdma.strangers_refused", &r->strangers.refused},
        {"rdma.strangers_cut", &r->strangers.cut},
        {"rdma.ended_flushed", &r->status[MSGDEV_FLUSHED]},
        {"rdma.ended_peer_silent", &r->status[MSGDEV_PEER_SILENT]},
        {"rdma.ended_peer_unready", &r->status[MSGDEV_PEER_UNREADY]},
        {"rdma.ended_too_long", &r->status[MSGDEV_TOO_LONG]},
        {"rdma.ended_bad_access", &r->status[MSGDEV_BAD_ACCESS]},
        {"rdma.ended_bad_request", &r->status[MSGDEV_BAD_REQUEST]},
        {"rdma.ended_peer_broken", &r->status[MSGDEV_PEER_BROKEN]},
        {"rdma.ended_local_access", &r->status[MSGDEV_LOCAL_ACCESS]},
        {"rdma.ended_local_broken", &r->status[MSGDEV_LOCAL_BROKEN]},
        {"rdma.ended_refused", &r->status[MSGDEV_REFUSED]},
        {"rdma.ended_rejected", &r->status[MSGDEV_REJECTED]},
        {"rdma.ended_unreachable", &r->status[MSGDEV_UNREACHABLE]},
        {"rdma.ended_no_room", &r->status[MSGDEV_NO_ROOM]},
        {"rdma.ended_device_gone", &r->status[MSGDEV_GONE]},
        {"rdma.ended_otherwise", &r->status[MSGDEV_FAILED_OTHERWISE]},
        {"dev.up", &r->link_up},
        {"dev.carrier_lost", &r->link_lost},
        {"dev.gone", &r->device_gone},
        {"dev.returned", &r->device_returned},
        {"dev.sends", &d->sends},
        {"dev.send_bytes", &d->send_bytes},
        {"dev.receives", &d->receives},
        {"dev.receive_bytes", &d->receive_bytes},
        {"dev.writes", &d->writes},
        {"dev.errors", &d->errors},
        {"dev.flushed", &d->flushed},
        {"dev.post_full", &d->post_full},
        {"dev.stale", &d->stale},
        {"dev.map_refused", &d->map_refused},
        {"dev.interrupts", &d->interrupts},
        {"dev.release_cut", &d->release_cut},
    };
    return counters_add_all(c, all, sizeof all / sizeof *all);
}

static void remove_counters(struct rdma *r)
{
    struct counters *c = &r->base.rt->counters;
    counters_remove(c, r, sizeof *r);
    counters_remove(c, &r->dev->n, sizeof r->dev->n);
}

static void check_device(const struct msgdev *dev)
{
    const struct msgdev_ops *ops = dev->ops;
    ASSERT(ops->name && ops->poll && ops->post && ops->post_short && ops->again && ops->close);
    ASSERT(ops->make && ops->listen && ops->connect && ops->accept && ops->reject && ops->disconnect && ops->release);
    ASSERT(ops->addresses && ops->lend && ops->take_back);
    ASSERT(dev->caps.pieces_max >= 1 && dev->caps.pieces_max <= MSGDEV_PIECES_MAX);
    ASSERT(dev->caps.message_max >= WIRE_RECEIVE_MIN);
}

/* Where the device copies nothing at once, there are none. */
static int make_cells(struct rdma *r)
{
    uint32_t most = r->dev->caps.inline_max;
    if (most <= WIRE_HEAD_SIZE) return 0;
    r->cells = calloc(RDMA_CELLS, sizeof *r->cells);
    if (!r->cells) return -ENOMEM;
    for (unsigned i = RDMA_CELLS; i-- > 0;) rdma_cell_give(r, &r->cells[i]);
    r->cell_room = most - WIRE_HEAD_SIZE < RDMA_CELL_BYTES ? most - WIRE_HEAD_SIZE : RDMA_CELL_BYTES;
    return 0;
}

static bool is_power_of_two(uint32_t n) { return n && !(n & (n - 1)); }

int rdma_start_on(struct runtime *rt, const struct libos_ops *ops, struct msgdev *dev, const struct rdma_options *o,
                  struct libos **out)
{
    check_device(dev);
    ASSERT(is_power_of_two(o->send_depth) && o->send_depth >= 8 && o->send_depth <= RDMA_DEPTH_MAX);
    ASSERT(o->window >= WIRE_WINDOW_MIN && o->window <= WIRE_WINDOW_MAX);
    ASSERT(o->receive_size >= WIRE_RECEIVE_MIN && o->receive_size <= WIRE_RECEIVE_MAX);
    struct rdma *r = calloc(1, sizeof *r);
    if (!r) return -ENOMEM;
    r->base.ops = ops;
    r->base.rt = rt;
    r->dev = dev;
    r->o = *o;
    r->depth = dev->caps.shared_depth;
    r->link = (uint8_t)dev->link;
    r->link_up = dev->link == NETDEV_UP;
    list_init(&r->conns);
    list_init(&r->dirty);
    list_init(&r->waiting);
    list_init(&r->hungry);
    list_init(&r->strangers.all);
    words_init(&r->words, dev);
    int err = make_cells(r);
    if (!err) err = rdma_prompt_init(r);
    if (!err) err = rdma_recv_init(r);
    if (!err) err = add_counters(r);
    if (err) goto free_rdma;
    rdma_recv_post(r);
    if (!r->posted && r->no_buffer) {
        snprintf(rt->why, sizeof rt->why,
                 "rdma: %s: no receive could be posted: the device does not take the memory; ulimit -l must be above "
                 "%u KiB and what the program uses",
                 dev->what, o->receives * o->receive_size / 1024);
        err = -ENOMEM;
        goto free_rdma;
    }
    watch_device(r);
    *out = &r->base;
    return 0;

free_rdma:
    remove_counters(r);
    rdma_recv_fini(r);
    rdma_prompt_fini(r);
    free(r->cells);
    free(r);
    return err;
}

uint64_t rdma_undrained(struct libos *l)
{
    const struct rdma *r = (const struct rdma *)l;
    uint64_t n = 0;
    list_for_each(it, &r->conns)
    {
        const struct rdma_conn *c = list_entry(it, struct rdma_conn, all);
        if (!c->sock && (c->state == CONN_UP || c->state == CONN_ENDING))
            n += 1 + (c->queued - c->passed) + c->cell_bytes;
    }
    return n;
}

/* Connections that are left are cut off, and the device is waited for: it may still write into what they hold. */
static void release_all(struct rdma *r)
{
    list_for_each_safe(it, &r->conns)
    {
        struct rdma_conn *c = list_entry(it, struct rdma_conn, all);
        ASSERT(!c->sock);
        ASSERT(!c->listener);
        rdma_conn_release(c);
    }
    for (unsigned i = 0; i < STOP_TRIES && !list_is_empty(&r->conns); i++)
        if (!poll_bursts(r)) usleep(100);
}

void rdma_stop(struct libos *l)
{
    struct rdma *r = (struct rdma *)l;
    wheel_stop(&l->rt->wheel, &r->retry);
    release_all(r);
    unwatch_device(r);
    remove_counters(r);
    words_fini(&r->words);
    list_for_each(it, &r->conns)
    {
        struct rdma_conn *c = list_entry(it, struct rdma_conn, all);
        if (c->v) valkey_take_back(r, c->v);
    }
    r->dev->ops->close(r->dev);
    r->dev = NULL;
    for (struct list *it; (it = list_first(&r->conns));) { /* the device is closed: nobody has them any more */
        struct rdma_conn *c = list_entry(it, struct rdma_conn, all);
        c->state = CONN_RELEASING;
        c->word.in = NULL;
        rdma_conn_released(c);
    }
    rdma_recv_fini(r);
    rdma_prompt_fini(r);
    free(r->cells);
    free(r);
}

void rdma_forget(struct libos *l)
{
    struct rdma *r = (struct rdma *)l;
    if (r->watched) close(r->watch.fd);
    if (r->news_watched && r->news.fd != r->watch.fd) close(r->news.fd);
}
