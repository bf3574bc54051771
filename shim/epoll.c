/* SPDX-License-Identifier: MIT
 *
 * epoll over both worlds.
 *
 * A set is the kernel's until a socket of ours comes in. From then on it has two halves under its one number: the
 * kernel's set, with the kernel's descriptors and their data as they were, and ours:
 *
 *     shim_set --items--> shim_item --> shim_file       all sockets of ours in it
 *              --ready--> shim_item                     those to be looked at by the next wait
 *
 * An item is put on the ready list when something happens to its file and it asked for that, and by ADD and MOD when it
 * is there already. A wait takes from the front, asks the file what is true now, and leaves out what is no longer.
 * Level: it goes to the back of the list as long as it is true. Edge: it leaves. Oneshot: it leaves and is deaf until
 * MOD.
 *
 * Who looks at a set from outside (another set, poll(), a thread that was in the kernel's wait when the first socket of
 * ours came) sees the kernel's half only. For them there is a ring: an eventfd in that half, raised as long as the
 * ready list is not empty. A wait of ours leaves it out.
 */
#include "shim/epoll.h"

#include "shim/engine.h"
#include "shim/fds.h"
#include "shim/log.h"
#include "shim/real.h"
#include "shim/sock.h"

#include "demi/ext.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define MARK_EPOLL   1u
#define MARK_OUTSIDE 2u /* asked by other means */
#define EVENTS_KNOWN (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLERR | EPOLLHUP | EPOLLRDNORM | EPOLLWRNORM)
#define SLEEP_FDS    3

struct shim_item {
    struct list of_file, of_set, ready;
    struct shim_file *file;
    struct shim_set *set;
    int fd;
    struct epoll_event event;
    bool deaf;
};

struct shim_set {
    int fd; /* the kernel's set, under a number of our own */
    struct list items, ready, links;
    unsigned kernel_count; /* that were added and not taken out; closed ones count on */
    unsigned waits;
    int ring; /* 0: none */
    bool raised;
    bool kicked;       /* raised for whoever was in the kernel's wait when the set became ours */
    bool watched;      /* the runtime tells when the kernel's half has something: */
    bool unwatched;    /* it cannot */
    bool kernel_ready; /* it has, or may have */
    demi_qtoken_t watch;
};

static uint8_t marks[SHIM_FDS]; /* atomic */
static unsigned in_kernel;      /* threads in the kernel's wait; atomic */
static char ring_mark;          /* its address marks the ring's event */

static void set_mark(int fd, uint8_t mark)
{
    if ((unsigned)fd < SHIM_FDS) __atomic_fetch_or(&marks[fd], mark, __ATOMIC_RELAXED);
}
static bool has_mark(int fd, uint8_t mark)
{
    return (unsigned)fd < SHIM_FDS && __atomic_load_n(&marks[fd], __ATOMIC_RELAXED) & mark;
}
void shim_epoll_forget(int fd)
{
    if (unlikely(has_mark(fd, MARK_EPOLL))) __atomic_store_n(&marks[fd], 0, __ATOMIC_RELAXED);
}

/* --- the ring --- */

static void show(struct shim_set *s)
{
    bool up = !list_is_empty(&s->ready) || s->kicked;
    eventfd_t n;
    if (likely(!s->ring) || up == s->raised) return;
    s->raised = up;
    if (up) eventfd_write(s->ring, 1);
    else eventfd_read(s->ring, &n);
}

static void add_ring(struct shim_set *s)
{
    if (s->ring) return;
    s->ring = fds_hide(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &ring_mark};
    if (s->ring <= 0 || REAL(epoll_ctl)(s->fd, EPOLL_CTL_ADD, s->ring, &ev)) s->ring = 0;
    show(s);
}

void shim_set_ring(struct shim_file *f) { add_ring(f->set); }

bool shim_epoll_look_from_outside(int fd)
{
    if (likely(!has_mark(fd, MARK_EPOLL))) return false;
    if (has_mark(fd, MARK_OUTSIDE)) return true;
    set_mark(fd, MARK_OUTSIDE);
    struct shim_file *f = shim_enter(fd);
    if (!f) return true;
    if (f->set) add_ring(f->set);
    shim_unlock();
    return true;
}

/* --- items --- */

static void make_ready(struct shim_item *i)
{
    if (list_is_empty(&i->ready)) list_push_back(&i->set->ready, &i->ready);
    show(i->set);
    list_for_each(it, &i->set->links)
    {
        shim_wake(list_entry(it, struct shim_link, link)->sleeper);
        break; /* one thread of those that wait for the set */
    }
}

void shim_items_notify(struct shim_file *f, uint32_t events)
{
    bool exclusive_done = false;
    list_for_each(it, &f->items)
    {
        struct shim_item *i = list_entry(it, struct shim_item, of_file);
        if (i->deaf || !(events & (i->event.events | EPOLLERR | EPOLLHUP))) continue;
        bool exclusive = i->event.events & EPOLLEXCLUSIVE;
        if (exclusive && exclusive_done && list_is_empty(&i->set->links)) continue;
        make_ready(i);
        exclusive_done |= exclusive;
    }
}

void shim_items_quiet(struct shim_file *f)
{
    list_for_each(it, &f->items)
    {
        struct shim_item *i = list_entry(it, struct shim_item, of_file);
        if (likely(!i->set->raised) || shim_file_events(f) & (i->event.events | EPOLLERR | EPOLLHUP)) continue;
        list_remove(&i->ready);
        show(i->set);
    }
}

static void item_free(struct shim_item *i)
{
    list_remove(&i->of_file);
    list_remove(&i->of_set);
    list_remove(&i->ready);
    show(i->set);
    free(i);
}

void shim_items_leave(struct shim_file *f, bool kernel)
{
    list_for_each_safe(it, &f->items)
    {
        struct shim_item *i = list_entry(it, struct shim_item, of_file);
        if (kernel && !REAL(epoll_ctl)(i->set->fd, EPOLL_CTL_ADD, i->fd, &i->event)) i->set->kernel_count++;
        item_free(i);
    }
}

static struct shim_item *find_item(struct shim_file *f, struct shim_set *s, int fd)
{
    list_for_each(it, &f->items)
    {
        struct shim_item *i = list_entry(it, struct shim_item, of_file);
        if (i->set == s && i->fd == fd) return i;
    }
    return NULL;
}

static void look_at(struct shim_item *i)
{
    if (shim_file_events(i->file) & (i->event.events | EPOLLERR | EPOLLHUP)) make_ready(i);
}

/* --- sets --- */

void shim_set_free(struct shim_file *f)
{
    struct shim_set *s = f->set;
    list_for_each_safe(it, &s->items) item_free(list_entry(it, struct shim_item, of_set));
    if (s->watched) demi_cancel(s->watch);
    f->set = NULL;
    if (s->ring) fds_close_hidden(s->ring);
    fds_close_hidden(s->fd);
    free(s);
}

/* The set at fd has a half of ours from here on. */
static struct shim_file *promote(int fd)
{
    struct shim_file *f = shim_file_at(fd);
    if (f) return f;
    struct shim_set *s = calloc(1, sizeof *s);
    f = s ? shim_file_new(SHIM_SET, 0, 0, 0) : NULL;
    if (!f) {
        free(s);
        return NULL;
    }
    s->fd = fds_hide(REAL(dup)(fd));
    if (s->fd < 0) {
        shim_file_hold(f); /* and nobody names it */
        free(s);
        shim_file_unhold(f);
        return NULL;
    }
    s->kernel_count = 1; /* there may be some */
    list_init(&s->items);
    list_init(&s->ready);
    list_init(&s->links);
    f->set = s;
    shim_file_name(f, fd);
    shim_count(COUNT_SETS);
    s->kicked = __atomic_load_n(&in_kernel, __ATOMIC_SEQ_CST);
    if (has_mark(fd, MARK_OUTSIDE) || s->kicked) add_ring(s);
    return f;
}

static int add_item(struct shim_file *set, struct shim_file *f, int fd, const struct epoll_event *ev)
{
    if (find_item(f, set->set, fd)) return -EEXIST;
    struct shim_item *i = calloc(1, sizeof *i);
    if (!i) return -ENOMEM;
    i->file = f;
    i->set = set->set;
    i->fd = fd;
    i->event = *ev;
    list_push_back(&f->items, &i->of_file);
    list_push_back(&set->set->items, &i->of_set);
    list_init(&i->ready);
    look_at(i);
    return 0;
}

static int change_item(struct shim_file *set, struct shim_file *f, int fd, const struct epoll_event *ev)
{
    struct shim_item *i = find_item(f, set->set, fd);
    if (!i) return -ENOENT;
    if ((i->event.events | ev->events) & EPOLLEXCLUSIVE) return -EINVAL;
    i->event = *ev;
    i->deaf = false;
    list_remove(&i->ready);
    show(i->set);
    look_at(i);
    return 0;
}

static int control(int ep, int op, struct shim_file *f, int fd, const struct epoll_event *ev)
{
    const uint32_t with_exclusive = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
    if (!has_mark(ep, MARK_EPOLL) || ep == fd) return -EINVAL;
    if (op != EPOLL_CTL_DEL && !ev) return -EFAULT;
    if (op == EPOLL_CTL_ADD && ev->events & EPOLLEXCLUSIVE && ev->events & ~with_exclusive) return -EINVAL;
    struct shim_file *set = op == EPOLL_CTL_ADD ? promote(ep) : shim_file_at(ep);
    if (!set) return op == EPOLL_CTL_ADD ? -ENOMEM : -ENOENT;
    if (!set->set) return -EINVAL;
    struct shim_item *i;
    switch (op) {
    case EPOLL_CTL_ADD: return add_item(set, f, fd, ev);
    case EPOLL_CTL_MOD: return change_item(set, f, fd, ev);
    case EPOLL_CTL_DEL:
        i = find_item(f, set->set, fd);
        if (!i) return -ENOENT;
        item_free(i);
        return 0;
    default: return -EINVAL;
    }
}

WRAP(int, epoll_create1, (int flags))
{
    int fd = REAL(epoll_create1)(flags);
    if (fd >= 0) set_mark(fd, MARK_EPOLL);
    return fd;
}

WRAP(int, epoll_create, (int size))
{
    int fd = REAL(epoll_create)(size);
    if (fd >= 0) set_mark(fd, MARK_EPOLL);
    return fd;
}

static int control_kernel(int ep, int op, int fd, struct epoll_event *ev)
{
    /* Whoever waits for a set in a set works for what is in both. */
    bool nested = op == EPOLL_CTL_ADD && shim_epoll_look_from_outside(fd) && has_mark(ep, MARK_EPOLL);
    int r = REAL(epoll_ctl)(ep, op, fd, ev);
    if (r || op == EPOLL_CTL_DEL || (!nested && !shim_file_at(ep)) || !shim_lock()) return r;
    struct shim_file *set = nested ? promote(ep) : shim_file_at(ep);
    if (set && set->set) {
        set->set->kernel_count += op == EPOLL_CTL_ADD;
        set->set->kernel_ready = true;
    }
    shim_unlock();
    return r;
}

WRAP(int, epoll_ctl, (int ep, int op, int fd, struct epoll_event *ev))
{
    struct shim_file *f = shim_enter(fd);
    if (!f) return control_kernel(ep, op, fd, ev);
    int r = f->set ? 1 : control(ep, op, f, fd, ev);
    shim_unlock();
    return r == 1 ? control_kernel(ep, op, fd, ev) : (int)answer(r);
}

/* --- waiting --- */

/* Events of ours, at most max. */
static int take_ready(struct shim_set *s, struct epoll_event *evs, int max)
{
    int n = 0;
    struct list again; /* level-triggered ones, which come after those that were not asked now */
    list_init(&again);
    while (n < max && !list_is_empty(&s->ready)) {
        struct shim_item *i = list_entry(list_pop_front(&s->ready), struct shim_item, ready);
        uint32_t ev = shim_file_events(i->file) & (i->event.events | EPOLLERR | EPOLLHUP) & EVENTS_KNOWN;
        if (!ev || i->deaf) continue;
        evs[n].events = ev;
        evs[n++].data = i->event.data;
        if (i->event.events & EPOLLONESHOT) i->deaf = true;
        else if (!(i->event.events & EPOLLET)) list_push_back(&again, &i->ready);
    }
    list_splice_back(&s->ready, &again);
    show(s);
    return n;
}

/* The kernel's half, without the ring. */
static int take_kernel(struct shim_set *s, struct epoll_event *evs, int max)
{
    int n = REAL(epoll_wait)(s->fd, evs, max, 0), kept = 0;
    if (n < 0) return n == -1 && errno != EINTR ? -errno : 0;
    for (int i = 0; i < n; i++)
        if (evs[i].data.ptr != &ring_mark) evs[kept++] = evs[i];
    return kept;
}

/* The runtime looks at the kernel's half where it looks at all descriptors, and tells. */
static void watch_kernel(struct shim_file *f)
{
    struct shim_set *s = f->set;
    if (s->watched || s->unwatched || !s->kernel_count || !shim_started()) return;
    if (demi_poll_fd(&s->watch, s->fd, POLLIN)) {
        s->unwatched = true;
        return;
    }
    demi_set_data(s->watch, f);
    f->ops++;
    s->watched = true;
}

void shim_set_kernel_ready(struct shim_file *f)
{
    if (!f->set) return;
    f->set->watched = false;
    f->set->kernel_ready = true;
    list_for_each(it, &f->set->links) shim_wake(list_entry(it, struct shim_link, link)->sleeper);
}

/* Ours come first, so many at most that the kernel's get their turn. */
static int take_both(struct shim_file *f, struct epoll_event *evs, int max)
{
    struct shim_set *s = f->set;
    bool kernel_first = max == 1 && s->kernel_ready && ++s->waits % 2;
    int n = kernel_first ? 0 : take_ready(s, evs, max > 1 ? max - (s->kernel_ready ? 1 : 0) : max);
    if (!s->kernel_count || (s->watched && !s->kernel_ready)) return n;
    if (n == max) return n;
    int m = take_kernel(s, evs + n, max - n);
    s->kernel_ready = m > 0 || s->unwatched;
    if (m <= 0) watch_kernel(f);
    if (kernel_first && m <= 0) return take_ready(s, evs, max);
    return m < 0 && !n ? m : n + (m > 0 ? m : 0);
}

static int wait_set(struct shim_file *f, struct epoll_event *evs, int max, uint64_t deadline, const sigset_t *mask)
{
    struct shim_set *s = f->set;
    if (unlikely(s->kicked)) {
        s->kicked = false;
        show(s);
    }
    shim_turn();
    int n = take_both(f, evs, max);
    if (n || !deadline) return n;
    struct pollfd fds[SLEEP_FDS] = {{.fd = s->fd, .events = POLLIN}};
    struct shim_sleeper *me = shim_sleeper();
    struct shim_link l;
    shim_link_add(&s->links, &l, me);
    int r = 0;
    while (!n && !r) {
        r = shim_sleep(me, fds, s->kernel_count && !s->watched ? 1 : 0, deadline, mask);
        s->kernel_ready |= fds[0].revents != 0;
        n = take_both(f, evs, max);
    }
    list_remove(&l.link);
    /* One was woken for all: what is left is for the next. */
    if (!list_is_empty(&s->ready) && !list_is_empty(&s->links))
        shim_wake(list_entry(list_first(&s->links), struct shim_link, link)->sleeper);
    shim_awake(me);
    return n ? n : r == -ETIMEDOUT ? 0 : r;
}

/* deadline 0: do not wait. *kernel: no set of ours, after all. */
static int wait_ours(int ep, struct epoll_event *evs, int max, uint64_t deadline, const sigset_t *mask, bool *kernel)
{
    struct shim_file *f = shim_enter(ep);
    *kernel = !f;
    if (!f) return 0;
    int r = -EINVAL;
    if (f->set && max > 0) {
        shim_file_hold(f);
        r = wait_set(f, evs, max, deadline, mask);
        shim_file_unhold(f);
    }
    shim_unlock();
    return (int)answer(r);
}

static uint64_t deadline_in(const struct timespec *t)
{
    if (!t) return SHIM_FOREVER;
    if (!t->tv_sec && !t->tv_nsec) return 0;
    if (t->tv_sec > 1000000000) return SHIM_FOREVER;
    return shim_now_ns() + (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

/* While a thread is in the kernel's wait the set may become one of ours: it hears of it by the ring. */
static int wait_kernel(int ep, struct epoll_event *evs, int max, const struct timespec *t, const sigset_t *mask,
                       bool *ours)
{
    __atomic_fetch_add(&in_kernel, 1, __ATOMIC_SEQ_CST);
    int n =
        shim_file_at(ep)
            ? 0
            : REAL(epoll_pwait)(ep, evs, max, t ? (int)(t->tv_sec * 1000 + (t->tv_nsec + 999999) / 1000000) : -1, mask);
    __atomic_fetch_sub(&in_kernel, 1, __ATOMIC_SEQ_CST);
    *ours = n >= 0 && shim_file_at(ep);
    if (!*ours) return n;
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (evs[i].data.ptr != &ring_mark) evs[kept++] = evs[i];
    *ours = !kept;
    return kept;
}

static int wait_any(int ep, struct epoll_event *evs, int max, const struct timespec *t, const sigset_t *mask)
{
    uint64_t deadline = deadline_in(t);
    bool other = true;
    int n = 0;
    while (other) {
        n = shim_file_at(ep) ? wait_ours(ep, evs, max, deadline, mask, &other)
                             : wait_kernel(ep, evs, max, t, mask, &other);
        if (other && n == 0 && deadline && deadline != SHIM_FOREVER && shim_now_ns() >= deadline) return 0;
    }
    return n;
}

static const struct timespec *of_ms(int ms, struct timespec *t)
{
    if (ms < 0) return NULL;
    *t = (struct timespec){ms / 1000, ms % 1000 * 1000000L};
    return t;
}

WRAP(int, epoll_wait, (int ep, struct epoll_event *evs, int max, int timeout))
{
    struct timespec t;
    return wait_any(ep, evs, max, of_ms(timeout, &t), NULL);
}

WRAP(int, epoll_pwait, (int ep, struct epoll_event *evs, int max, int timeout, const sigset_t *mask))
{
    struct timespec t;
    return wait_any(ep, evs, max, of_ms(timeout, &t), mask);
}

WRAP(int, epoll_pwait2,
     (int ep, struct epoll_event *evs, int max, const struct timespec *timeout, const sigset_t *mask))
{
    if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec > 999999999))
        return (int)answer(-EINVAL);
    if (!shim_file_at(ep) && REAL(epoll_pwait2)) return REAL(epoll_pwait2)(ep, evs, max, timeout, mask);
    return wait_any(ep, evs, max, timeout, mask);
}
