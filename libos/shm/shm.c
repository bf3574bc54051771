/* SPDX-License-Identifier: MIT
 *
 * The libOS itself: start, stop, new sockets, the poll, the flush, and falling asleep.
 */
#include "libos/shm/shm.h"

#include "alloc/heap.h"
#include "libos/runtime/config.h"
#include "libos/shm/sock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_DEFAULT 65536u
#define COOL_NS      1000000u /* idle for so long, an end is rung instead of looked at, … */
#define HOT_FEW      32u      /* … where there are more than these: looking at a few costs less than a ring */
#define COOL_EVERY   16u      /* polls between two ends that are looked at for that */
#define FETCH_AHEAD  8u       /* ends whose words are on their way from other cores while one is looked at */
#define RINGS_MAX    16       /* messages of one event that are taken in one go */

/* --- ends --------------------------------------------------------------------------------------------------------- */

/* Rings that came; they say no more than that it is time to look. */
static void take_rings(struct shm_sock *s)
{
    char bytes[RINGS_MAX][8];
    struct iovec iov[RINGS_MAX];
    struct mmsghdr msgs[RINGS_MAX] = {0};
    for (int i = 0; i < RINGS_MAX; i++) {
        iov[i] = (struct iovec){bytes[i], sizeof bytes[i]};
        msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    for (int round = 0; round < RINGS_MAX; round++) { /* who floods us is read on when it floods on */
        int n = recvmmsg(s->watch.fd, msgs, RINGS_MAX, MSG_DONTWAIT, NULL);
        if (n > 0) s->shm->rings_got += (unsigned)n;
        if (n < RINGS_MAX) return;
    }
}

static void on_event(struct fd_watch *w, uint32_t events)
{
    struct shm_sock *s = container_of(w, struct shm_sock, watch);
    switch (s->state) {
    case SHM_LISTENING:
        s->readable = true;
        shm_accept_ready(s);
        return;
    case SHM_MEETING: shm_pipe_event(s); return;
    case SHM_GREETING: {
        struct shm_sock *l = s->listener;
        shm_greet(s, events);
        shm_accept_ready(l);
        return;
    }
    default: break;
    }
    if (!s->area && !s->gone && events & EPOLLIN && !shm_pipe_opened(s)) return;
    if (events & EPOLLIN) take_rings(s);
    s->armed = 0;
    if (s->area && s->state != SHM_WAITING) {
        atomic_store_explicit(&s->area->side[s->side].waits, 0, memory_order_relaxed);
        shm_heat(s); /* the poll that follows looks into the ring */
    }
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        if (s->state == SHM_CLOSING) shm_close_end(s, true);
        else shm_gone(s);
    }
}

struct shm_sock *shm_sock_new(struct shm *p, int domain)
{
    struct shm_sock *s = heap_calloc(1, sizeof *s);
    if (!s) return NULL;
    s->shm = p;
    s->q.rt = p->base.rt;
    s->q.qd = s->watch.fd = s->name_fd = s->mark_fd = s->area_fd = -1;
    s->watch.fn = on_event;
    s->domain = (uint16_t)domain;
    s->ring_size = p->ring_size;
    s->linger_s = -1;
    s->rest_tail = &s->rest;
    list_init(&s->work);
    list_init(&s->dirty);
    list_init(&s->greeting);
    list_push_back(&p->socks, &s->link);
    return s;
}

int shm_sock_watch(struct shm_sock *s, uint32_t events)
{
    if (s->watched) return runtime_rewatch(s->q.rt, &s->watch, events | EPOLLET);
    int err = runtime_watch(s->q.rt, &s->watch, events | EPOLLET);
    s->watched = !err;
    return err;
}

void shm_close_fd(struct shm_sock *s)
{
    if (s->watched) runtime_unwatch(s->q.rt, &s->watch);
    s->watched = false;
    if (s->watch.fd >= 0) close(s->watch.fd);
    s->watch.fd = -1;
}

void shm_attach(struct shm_sock *s, struct area *a, uint32_t ring_size, int side)
{
    ASSERT(!s->area);
    s->area = a;
    s->ring_size = ring_size;
    s->side = (uint8_t)side;
    ring_writer_init(&s->tx, area_ring(a, ring_size, side), ring_size, &a->side[!side].head);
    ring_reader_init(&s->in, area_ring(a, ring_size, !side), ring_size, &a->side[side].head);
}

void shm_detach(struct shm_sock *s)
{
    shm_cool(s);
    if (s->dirty_bits) list_remove(&s->dirty);
    s->dirty_bits = s->armed = 0;
    area_unmap(s->area, s->ring_size);
    s->area = NULL;
}

int shm_heat(struct shm_sock *s)
{
    struct shm *p = s->shm;
    if (s->hot_at || !s->area) return 0;
    if (p->hot_count == p->hot_room) {
        uint32_t room = p->hot_room ? p->hot_room * 2 : 64;
        struct shm_hot *more = heap_realloc(p->hot, room * sizeof *more);
        if (!more) return -ENOMEM;
        p->hot = more;
        p->hot_room = room;
    }
    s->news_ns = s->q.rt->now;
    p->hot[p->hot_count] =
        (struct shm_hot){ring_next(&s->in), (const char *)ring_next(&s->in), s, s->out.count || s->fin_due};
    s->hot_at = ++p->hot_count;
    return 0;
}

void shm_cool(struct shm_sock *s)
{
    struct shm *p = s->shm;
    if (!s->hot_at) return;
    struct shm_hot *last = &p->hot[--p->hot_count];
    p->hot[s->hot_at - 1] = *last;
    last->s->hot_at = s->hot_at;
    s->hot_at = 0;
}

void shm_sock_free(struct shm_sock *s)
{
    wheel_stop(&s->q.rt->wheel, &s->timer);
    shm_drop(s);
    shm_detach(s);
    shm_close_fd(s);
    if (s->mark_fd >= 0) close(s->mark_fd);
    if (s->name_fd >= 0) close(s->name_fd);
    if (s->area_fd >= 0) close(s->area_fd);
    for (struct buf *b; (b = s->rest);) {
        s->rest = b->next;
        b->next = NULL;
        buf_unref(b);
    }
    list_remove(&s->link);
    list_remove(&s->work);
    heap_free(s);
}

void shm_sock_check(const struct shm_sock *s)
{
    stream_check(&s->st, s->rest != NULL);
    ASSERT(s->hot_at <= s->shm->hot_count);
    ASSERT(!s->hot_at || s->shm->hot[s->hot_at - 1].s == s);
    ASSERT(!s->hot_at || s->area);
    ASSERT(!s->area || !s->gone);
    ASSERT(list_is_empty(&s->dirty) == !s->dirty_bits);
    ASSERT(!s->connecting == (s->state != SHM_CONNECTING));
    ASSERT(!s->fin_due || s->st.flags & STREAM_WRITE_SHUT || s->state == SHM_CLOSING);
    /* What waits will be put into the ring by a poll, or when the memory comes. */
    ASSERT(!s->out.count || !s->area || s->hot_at);
    ASSERT(s->sent <= s->queued);
    if (!s->area) return;
    ring_writer_check(&s->tx);
    ring_reader_check(&s->in);
}

/* --- a turn ------------------------------------------------------------------------------------------------------- */

static void disarm(struct shm_sock *s)
{
    s->armed = 0;
    atomic_store_explicit(&s->area->side[s->side].waits, 0, memory_order_relaxed);
}

static uint8_t wanted(const struct shm_sock *s)
{
    bool reads = s->st.pops.head || s->st.flags & STREAM_READ_SHUT || s->state == SHM_CLOSING;
    return (reads ? WAITS_DATA : 0) | (s->out.count || s->fin_due ? WAITS_ROOM : 0);
}

/* Asks to be rung. The barrier is the caller's, and so is the look that follows. */
static void ask_for_ring(struct shm_sock *s)
{
    s->armed = wanted(s);
    atomic_store_explicit(&s->area->side[s->side].waits, s->armed, memory_order_relaxed);
}

/* One of many, now and then. */
static void cool_one(struct shm *p)
{
    if (p->cursor >= p->hot_count) p->cursor = 0;
    struct shm_sock *s = p->hot[p->cursor++].s;
    if (p->base.rt->now - s->news_ns < COOL_NS) return;
    ask_for_ring(s);
    wait_barrier(p);
    if (shm_has_news(s)) return; /* which the next poll finds */
    p->cooled++;
    if (!s->out.count && !s->fin_due) shm_cool(s);
}

static unsigned shm_poll(struct libos *l)
{
    struct shm *p = (struct shm *)l;
    unsigned found = 0;
    for (uint32_t i = p->hot_count; i--;) {
        const struct shm_hot *h = &p->hot[i];
        if (i >= FETCH_AHEAD) __builtin_prefetch((const void *)p->hot[i - FETCH_AHEAD].word);
        __builtin_prefetch(h->beside);
        bool came = atomic_load_explicit(h->word, memory_order_relaxed) != 0;
        if (likely(!came && !h->blocked)) continue;
        struct shm_sock *s = h->s;
        if (!(came && s->st.pops.head) && !shm_has_news(s)) continue;
        found++;
        s->news_ns = runtime_now(l->rt);
        if (s->armed) disarm(s);
        if (s->state == SHM_CLOSING) {
            shm_closing_go_on(s);
            continue;
        }
        if (came) shm_receive(s);
        if (s->area && (s->out.count || s->fin_due)) shm_send(s);
        shm_debug(s);
    }
    if (unlikely(p->hot_count > HOT_FEW && ++p->polls % COOL_EVERY == 0)) cool_one(p);
    return found;
}

/* The peer has asked for it, maybe: then it sleeps, or is about to. One of us takes the request away. */
static void ring_peer(struct shm_sock *s, uint32_t bits)
{
    _Atomic uint32_t *waits = &s->area->side[!s->side].waits;
    if (likely(!(atomic_load_explicit(waits, memory_order_relaxed) & bits))) return;
    if (!(atomic_fetch_and(waits, ~bits) & bits)) return;
    s->shm->rings_sent++;
    ssize_t n = send(s->watch.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)n; /* full: it has rings to read already; hung up: we shall hear of it */
}

static void shm_flush(struct libos *l)
{
    struct shm *p = (struct shm *)l;
    list_for_each_safe(it, &p->connecting) shm_connect_done(list_entry(it, struct shm_sock, work));
    if (list_is_empty(&p->dirty)) return;
    wait_barrier(p);
    for (struct list *it; (it = list_pop_front(&p->dirty));) {
        struct shm_sock *s = list_entry(it, struct shm_sock, dirty);
        uint8_t bits = s->dirty_bits;
        s->dirty_bits = 0;
        ring_peer(s, bits);
        if (bits & WAITS_DATA) ring_clear_ahead(&s->tx);
    }
}

static int shm_arm(struct libos *l)
{
    struct shm *p = (struct shm *)l;
    for (uint32_t i = 0; i < p->hot_count; i++) ask_for_ring(p->hot[i].s);
    wait_barrier(p);
    for (uint32_t i = 0; i < p->hot_count; i++)
        if (shm_has_news(p->hot[i].s)) return -EAGAIN;
    return 0;
}

/* --- start and end ------------------------------------------------------------------------------------------------ */

static int shm_socket(struct libos *l, int domain, int type, int protocol, struct queue **out)
{
    struct shm *p = (struct shm *)l;
    if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX) return -EAFNOSUPPORT;
    if (type != SOCK_STREAM) return -ESOCKTNOSUPPORT;
    struct shm_sock *s = shm_sock_new(p, domain);
    if (!s) return -ENOMEM;
    int err = queue_add(l->rt, &s->q, &shm_stream_ops);
    if (err) {
        shm_sock_free(s);
        return err;
    }
    *out = &s->q;
    return 0;
}

static int configure(struct shm *p, struct runtime *rt, const struct demi_config *conf)
{
    int64_t kib = config_int(conf, "shm.ring_kib", RING_DEFAULT / 1024);
    const char *peers = config_get(conf, "shm.peers");
    if (kib < RING_SIZE_MIN / 1024 || kib > RING_SIZE_MAX / 1024 || kib % 4) {
        snprintf(rt->why, sizeof rt->why, "shm: ring_kib is a multiple of 4, from 4 to %u", RING_SIZE_MAX / 1024);
        return -EINVAL;
    }
    if (peers && strcmp(peers, "user") != 0 && strcmp(peers, "any") != 0) {
        snprintf(rt->why, sizeof rt->why, "shm: peers is \"user\" or \"any\"");
        return -EINVAL;
    }
    p->ring_size = (uint32_t)kib * 1024;
    p->any_peer = peers && *peers == 'a';
    return 0;
}

static int shm_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct shm *p = calloc(1, sizeof *p);
    if (!p) return -ENOMEM;
    p->base.rt = rt;
    p->base.kernel_beside = true;
    list_init(&p->socks);
    list_init(&p->connecting);
    list_init(&p->dirty);
    list_init(&p->closing);
    const struct counter all[] = {
        {"shm.rx_bytes", &p->rx_bytes},     {"shm.rx_records", &p->rx_records},
        {"shm.tx_bytes", &p->tx_bytes},     {"shm.tx_blocked", &p->tx_blocked},
        {"shm.rings_sent", &p->rings_sent}, {"shm.rings_got", &p->rings_got},
        {"shm.cooled", &p->cooled},         {"shm.accepted", &p->accepted},
        {"shm.connected", &p->connected},   {"shm.refused", &p->refused},
        {"shm.resets", &p->resets},         {"shm.push_busy", &p->push_busy},
        {"shm.broken", &p->broken},         {"shm.close_drained", &p->close_drained},
        {"shm.close_cut", &p->close_cut},
    };
    int err = configure(p, rt, conf);
    if (!err) err = runtime_open_fds(rt);
    if (!err) err = counters_add_all(&rt->counters, all, sizeof all / sizeof *all);
    if (err) {
        counters_remove(&rt->counters, p, sizeof *p);
        free(p);
        return err;
    }
    *out = &p->base;
    return 0;
}

static uint64_t shm_undrained(struct libos *l) { return shm_undrained_bytes((struct shm *)l); }

static void shm_forget(struct libos *l)
{
    struct shm *p = (struct shm *)l;
    list_for_each(it, &p->socks)
    {
        const struct shm_sock *s = list_entry(it, struct shm_sock, link);
        if (s->watch.fd >= 0) close(s->watch.fd);
        if (s->mark_fd >= 0) close(s->mark_fd);
        if (s->name_fd >= 0) close(s->name_fd);
        if (s->area_fd >= 0) close(s->area_fd);
    }
}

static void shm_stop(struct libos *l)
{
    struct shm *p = (struct shm *)l;
    list_for_each_safe(it, &p->closing) shm_close_end(list_entry(it, struct shm_sock, work), true);
    ASSERT(list_is_empty(&p->socks));
    counters_remove(&l->rt->counters, p, sizeof *p);
    heap_free(p->hot);
    free(p);
}

const struct libos_ops shm_libos = {
    .name = "shm",
    .start = shm_start,
    .stop = shm_stop,
    .forget = shm_forget,
    .socket = shm_socket,
    .pipe = shm_pipe,
    .poll = shm_poll,
    .flush = shm_flush,
    .arm = shm_arm,
    .undrained = shm_undrained,
};
