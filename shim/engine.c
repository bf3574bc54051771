/* SPDX-License-Identifier: MIT
 *
 * See engine.h.
 *
 * The runtime belongs to whoever has the lock: attaching and detaching are two pointers of the thread each. A driver
 * that sleeps has armed the runtime (demi_event_fd()); whoever turns or flushes it meanwhile disarms it, and arms it
 * again on its way out.
 *
 * A device that can only be polled is polled by the driver with the lock, which it gives up whenever somebody wants it.
 * Signals are held back then but for a moment in each round, since nothing else would tell of a handler that has run.
 */
#include "shim/engine.h"

#include "shim/care.h"
#include "shim/fds.h"
#include "shim/log.h"
#include "shim/real.h"
#include "shim/route.h"
#include "shim/sock.h"

#include "demi/ext.h"
#include "demi/libos.h"
#include "demi/wait.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define RESULTS   64
#define ROUND_NS  50000 /* of polling, before signals, kernel descriptors and the deadline are looked at */
#define SECOND_NS 1000000000u

static struct {
    pthread_mutex_t lock;
    unsigned wanted; /* threads that wait for the lock; atomic */
    bool started, disarmed;
    int error; /* why it did not start */
    struct demi_detached runtime;
    struct shim_sleeper *driver;
    uint64_t turns;
    struct list sleepers; /* asleep now */
    struct list no_room;  /* files that wait for room */
} engine = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .sleepers = {&engine.sleepers, &engine.sleepers},
            .no_room = {&engine.no_room, &engine.no_room}};

static __thread bool inside __attribute__((tls_model("initial-exec")));
static __thread struct shim_sleeper my_sleeper __attribute__((tls_model("initial-exec")));

/* --- the lock --- */

bool shim_lock(void)
{
    if (unlikely(inside)) return false;
    inside = true;
    if (unlikely(pthread_mutex_trylock(&engine.lock))) {
        __atomic_fetch_add(&engine.wanted, 1, __ATOMIC_RELAXED);
        pthread_mutex_lock(&engine.lock);
        __atomic_fetch_sub(&engine.wanted, 1, __ATOMIC_RELAXED);
    }
    if (engine.started) demi_attach(&engine.runtime);
    return true;
}

static void arm(void)
{
    int fd;
    if (!engine.driver || !engine.driver->asleep || !engine.disarmed) return;
    engine.disarmed = demi_event_fd(&fd);
}

void shim_unlock(void)
{
    if (engine.started) {
        arm();
        demi_detach(&engine.runtime);
    }
    pthread_mutex_unlock(&engine.lock);
    inside = false;
}

struct shim_file *shim_enter(int fd)
{
    if (likely(!shim_file_at(fd)) || !shim_lock()) return NULL;
    struct shim_file *f = shim_file_at(fd);
    if (!f) shim_unlock();
    return f;
}

/* --- start --- */

static void told(void *arg, int level, const char *text) { shim_log("%s", text); }

static int start(void)
{
    char why[256] = "";
    demi_set_log(told, NULL);
    int err = demi_init_options(&(struct demi_init_options){.why = why, .why_size = sizeof why});
    if (err) {
        shim_complain("the library OS does not start, sockets are the kernel's: %s", *why ? why : strerror(err));
        return -err;
    }
    if (!strcmp(demi_libos_name(), "uring")) {
        demi_exit();
        shim_complain("uring belongs to one thread, sockets are the kernel's");
        return -ENOTSUP;
    }
    engine.started = true;
    demi_free(demi_malloc(1)); /* its heap is there, and has its handlers for fork() */
    shim_fork_started();
    if (shim_has_wire()) shim_care_start();
    shim_log("started: %s", demi_libos_name());
    return 0;
}

int shim_start(void)
{
    if (likely(engine.started)) return 0;
    if (!engine.error) engine.error = start();
    return engine.error;
}

bool shim_started(void) { return engine.started; }
bool shim_is_driven(void) { return engine.driver; }
uint64_t shim_turns(void) { return engine.turns; }

uint64_t shim_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* What has been handed to the library leaves, as by the kernel after a program has ended. */
__attribute__((destructor)) static void end(void)
{
    if (!engine.started || !shim_lock()) return;
    shim_stats_write();
    demi_exit();
    engine.started = false;
    shim_unlock();
}

/* --- turning --- */

static void take(const struct timespec *timeout)
{
    static const struct timespec none = {0, 0};
    demi_qresult_t qr[RESULTS];
    int n;
    engine.disarmed = true;
    engine.turns++;
    do {
        n = 0;
        demi_wait_batch(qr, RESULTS, &n, timeout);
        for (int i = 0; i < n; i++) shim_completed(demi_result_data(&qr[i]), &qr[i]);
        timeout = &none;
    } while (n == RESULTS);
    list_for_each_safe(it, &engine.no_room)
    {
        struct shim_file *f = list_entry(it, struct shim_file, blocked_link);
        if (!shim_has_room(f)) continue;
        list_remove(&f->blocked_link);
        shim_notify(f, EPOLLOUT);
    }
}

void shim_turn(void)
{
    static const struct timespec none = {0, 0};
    if (engine.started) take(&none);
}

void shim_flush(void)
{
    engine.disarmed = true;
    demi_flush();
}

void shim_watch_room(struct shim_file *f)
{
    if (list_is_empty(&f->blocked_link)) list_push_back(&engine.no_room, &f->blocked_link);
}

/* --- sleeping --- */

void shim_wake(struct shim_sleeper *s)
{
    if (s->woken) return;
    s->woken = true;
    if (s->asleep) eventfd_write(s->fd, 1);
}

void shim_notify(struct shim_file *f, uint32_t events)
{
    list_for_each(it, &f->links) shim_wake(list_entry(it, struct shim_link, link)->sleeper);
    shim_items_notify(f, events);
}

struct shim_sleeper *shim_sleeper(void)
{
    my_sleeper.woken = false;
    return &my_sleeper;
}

void shim_link_add(struct list *head, struct shim_link *l, struct shim_sleeper *s)
{
    l->sleeper = s;
    list_push_back(head, &l->link);
}

/* The eventfd of a thread ends with it. */
static pthread_key_t sleeper_key;
static pthread_once_t sleeper_once = PTHREAD_ONCE_INIT;
static void close_sleeper(void *arg)
{
    struct shim_sleeper *s = arg;
    fds_close_hidden(s->fd);
    s->fd = 0;
}
static void make_sleeper_key(void) { pthread_key_create(&sleeper_key, close_sleeper); }

/* 0 stands for none: a thread's first sleep. */
static bool has_fd(struct shim_sleeper *s)
{
    if (likely(s->fd > 0)) return true;
    pthread_once(&sleeper_once, make_sleeper_key);
    s->fd = fds_hide(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (s->fd <= 0) return false;
    list_init(&s->link);
    pthread_setspecific(sleeper_key, s);
    return true;
}

static void forget_sleeper(void) { my_sleeper = (struct shim_sleeper){0}; }

static struct timespec *until(uint64_t deadline_ns, uint64_t now, struct timespec *t)
{
    if (deadline_ns == SHIM_FOREVER) return NULL;
    uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    *t = (struct timespec){(time_t)(left / SECOND_NS), (long)(left % SECOND_NS)};
    return t;
}

/* Without the lock, and without being cancelled: a thread that ended here would leave its links behind. */
static int poll_kernel(struct pollfd *fds, unsigned n, const struct timespec *timeout, const sigset_t *mask)
{
    int before, r;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    r = (int)asked(REAL(ppoll)(fds, n, timeout, mask));
    pthread_setcancelstate(before, NULL);
    return r;
}

/* The driver of a device that can only be polled. */
static int poll_device(struct shim_sleeper *s, struct pollfd *kfds, unsigned n, uint64_t deadline, const sigset_t *mask)
{
    static const struct timespec round = {0, ROUND_NS}, none = {0, 0};
    sigset_t all, before;
    int r = 0;
    bool held = false;
    engine.driver = s;
    for (;;) {
        take(list_is_empty(&engine.no_room) ? &round : &none);
        if (s->woken || r) break;
        if (!held) {
            sigfillset(&all);
            pthread_sigmask(SIG_SETMASK, &all, &before);
            held = true;
        }
        bool wanted = __atomic_load_n(&engine.wanted, __ATOMIC_RELAXED);
        shim_unlock();
        r = poll_kernel(kfds, n, &none, mask ? mask : &before);
        if (wanted) sched_yield();
        shim_lock();
        if (!r && shim_now_ns() >= deadline) r = -ETIMEDOUT;
    }
    if (held) pthread_sigmask(SIG_SETMASK, &before, NULL);
    engine.driver = NULL;
    return r;
}

int shim_sleep(struct shim_sleeper *s, struct pollfd *kfds, unsigned n, uint64_t deadline_ns, const sigset_t *mask)
{
    int fd = -1, err = 0, r;
    struct timespec t;
    unsigned total = n;
    if (s->woken) {
        s->woken = false;
        return 0;
    }
    if (!has_fd(s)) return -ENOMEM;
    bool drives = engine.started && !engine.driver;
    if (drives) err = demi_event_fd(&fd);
    if (drives && err == EOPNOTSUPP) {
        r = poll_device(s, kfds, n, deadline_ns, mask);
        s->woken = false;
        return r > 0 ? 0 : r;
    }
    if (drives) engine.disarmed = err != 0;
    kfds[total++] = (struct pollfd){.fd = s->fd, .events = POLLIN};
    if (fd >= 0) kfds[total++] = (struct pollfd){.fd = fd, .events = POLLIN};
    if (drives) engine.driver = s;
    s->asleep = true;
    list_push_back(&engine.sleepers, &s->link);
    shim_unlock();
    r = poll_kernel(kfds, total, until(deadline_ns, shim_now_ns(), &t), mask);
    shim_lock();
    s->asleep = false;
    list_remove(&s->link);
    if (engine.driver == s) engine.driver = NULL;
    eventfd_t rang;
    if (r > 0 && kfds[n].revents) eventfd_read(s->fd, &rang);
    if (drives) shim_turn();
    bool woken = s->woken;
    s->woken = false;
    if (r < 0) return r;
    return r || woken ? 0 : -ETIMEDOUT;
}

void shim_awake(struct shim_sleeper *s)
{
    struct list *l = list_first(&engine.sleepers);
    if (!engine.driver && l && engine.started) shim_wake(list_entry(l, struct shim_sleeper, link));
}

int shim_wait_file(struct shim_file *f, uint64_t deadline_ns)
{
    struct pollfd fds[2];
    struct shim_link l;
    struct shim_sleeper *s = shim_sleeper();
    shim_link_add(&f->links, &l, s);
    shim_file_hold(f);
    int r = shim_sleep(s, fds, 0, deadline_ns, NULL);
    list_remove(&l.link);
    shim_awake(s);
    if (r == -EINTR && deadline_ns == SHIM_FOREVER && shim_restarts()) r = 0;
    shim_file_unhold(f);
    return r;
}

/* Which signal it was that was handled nobody can tell afterwards. If all of the program's handlers want calls to go on
 * (SA_RESTART), it did. */
bool shim_restarts(void)
{
    for (int sig = 1; sig < NSIG; sig++) {
        struct sigaction a;
        if (sigaction(sig, NULL, &a)) continue;
        bool handled = (a.sa_flags & SA_SIGINFO) || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN);
        if (handled && !(a.sa_flags & SA_RESTART)) return false;
    }
    return true;
}

/* --- fork --- */

void shim_engine_fork_prepare(void)
{
    bool mine = inside;
    if (!mine) pthread_mutex_lock(&engine.lock);
}
void shim_engine_fork_parent(void)
{
    if (!inside) pthread_mutex_unlock(&engine.lock);
}
/* The library has forgotten its runtimes; a new one starts when one is needed. */
void shim_engine_fork_child(void)
{
    pthread_mutex_init(&engine.lock, NULL);
    engine.wanted = 0;
    engine.started = engine.disarmed = false;
    engine.error = 0;
    engine.runtime = (struct demi_detached){0};
    engine.driver = NULL;
    list_init(&engine.sleepers);
    list_init(&engine.no_room);
    forget_sleeper();
    inside = false;
}
