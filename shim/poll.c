/* SPDX-License-Identifier: MIT
 *
 * poll, ppoll, select and pselect over both worlds, in one sleep.
 *
 * A call without a socket of ours goes to the kernel as it came. Otherwise ours are asked, the kernel's are polled
 * beside them, and the thread sleeps for all at once (shim_sleep()). select() is turned into poll(); what it calls
 * readable and writable are the kernel's own sets of poll's bits.
 */
#include "shim/engine.h"
#include "shim/epoll.h"
#include "shim/real.h"
#include "shim/sock.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define FEW        32 /* on the stack */
#define SPARE      2  /* that shim_sleep() wants */
#define SELECT_IN  (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_PRI POLLPRI
#define SELECT_MAX 1048576
#define SECOND_NS  1000000000u

void __chk_fail(void) __attribute__((noreturn)); /* libc's */

struct ours {
    struct shim_file *file;
    struct shim_link link;
    unsigned index; /* in the program's array */
};

struct polling {
    struct pollfd *fds;
    nfds_t n;
    struct pollfd *kernel; /* with SPARE */
    unsigned *kernel_index;
    unsigned kernel_count;
    struct ours *ours;
    unsigned ours_count;
};

static bool any_ours(const struct pollfd *fds, nfds_t n)
{
    bool any = false;
    for (nfds_t i = 0; i < n; i++) {
        if (fds[i].fd < 0) continue;
        shim_epoll_look_from_outside(fds[i].fd);
        any |= shim_file_at(fds[i].fd) != NULL;
    }
    return any;
}

static void sort(struct polling *p)
{
    for (nfds_t i = 0; i < p->n; i++) {
        struct shim_file *f = p->fds[i].fd >= 0 ? shim_file_at(p->fds[i].fd) : NULL;
        p->fds[i].revents = 0;
        if (f && !f->set) {
            shim_file_hold(f);
            p->ours[p->ours_count++] = (struct ours){.file = f, .index = (unsigned)i};
        } else if (p->fds[i].fd >= 0) {
            p->kernel_index[p->kernel_count] = (unsigned)i;
            p->kernel[p->kernel_count++] = p->fds[i];
        }
    }
}

static int look_at_ours(struct polling *p)
{
    int ready = 0;
    for (unsigned i = 0; i < p->ours_count; i++) {
        struct pollfd *fd = &p->fds[p->ours[i].index];
        uint32_t want = (uint16_t)fd->events | POLLERR | POLLHUP;
        fd->revents = (short)(shim_file_events(p->ours[i].file) & want);
        ready += fd->revents != 0;
    }
    return ready;
}

static int count_kernel(struct polling *p)
{
    int ready = 0;
    for (unsigned i = 0; i < p->kernel_count; i++) {
        p->fds[p->kernel_index[i]].revents = p->kernel[i].revents;
        ready += p->kernel[i].revents != 0;
    }
    return ready;
}

static int look_at_kernel(struct polling *p, const sigset_t *mask)
{
    static const struct timespec none = {0, 0};
    if (!p->kernel_count) return 0;
    int r = REAL(ppoll)(p->kernel, p->kernel_count, &none, mask);
    return r < 0 ? -errno : count_kernel(p);
}

static int sleep_for(struct polling *p, uint64_t deadline, const sigset_t *mask)
{
    struct shim_sleeper *me = shim_sleeper();
    int ready = 0, r = 0;
    for (unsigned i = 0; i < p->ours_count; i++) shim_link_add(&p->ours[i].file->links, &p->ours[i].link, me);
    while (!ready && !r) {
        for (unsigned i = 0; i < p->kernel_count; i++) p->kernel[i].revents = 0;
        r = shim_sleep(me, p->kernel, p->kernel_count, deadline, mask);
        ready = look_at_ours(p) + (r < 0 ? 0 : count_kernel(p));
    }
    for (unsigned i = 0; i < p->ours_count; i++) list_remove(&p->ours[i].link.link);
    shim_awake(me);
    return ready ? ready : r == -ETIMEDOUT ? 0 : r;
}

static int poll_sorted(struct polling *p, uint64_t deadline, const sigset_t *mask)
{
    sort(p);
    shim_turn();
    int ready = look_at_ours(p), r = look_at_kernel(p, mask);
    if (r >= 0) r += ready;
    if (!r && deadline) r = sleep_for(p, deadline, mask);
    for (unsigned i = 0; i < p->ours_count; i++) shim_file_unhold(p->ours[i].file);
    return r;
}

/* deadline 0: do not wait. */
static int poll_both(struct pollfd *fds, nfds_t n, uint64_t deadline, const sigset_t *mask)
{
    struct pollfd kernel[FEW + SPARE];
    unsigned index[FEW];
    struct ours ours[FEW];
    struct polling p = {.fds = fds, .n = n, .kernel = kernel, .kernel_index = index, .ours = ours};
    char *many = NULL;
    if (n > SELECT_MAX) return -EINVAL;
    if (n > FEW) {
        many = malloc((n + SPARE) * sizeof *p.kernel + n * (sizeof *p.ours + sizeof *p.kernel_index));
        if (!many) return -ENOMEM;
        p.ours = (struct ours *)many;
        p.kernel = (struct pollfd *)(many + n * sizeof *p.ours);
        p.kernel_index = (unsigned *)(many + n * sizeof *p.ours + (n + SPARE) * sizeof *p.kernel);
    }
    int r = -EINTR;
    if (shim_lock()) {
        r = poll_sorted(&p, deadline, mask);
        shim_unlock();
    }
    free(many);
    return r;
}

static uint64_t deadline_in(const struct timespec *t)
{
    if (!t) return SHIM_FOREVER;
    if (!t->tv_sec && !t->tv_nsec) return 0;
    if (t->tv_sec > 1000000000) return SHIM_FOREVER;
    return shim_now_ns() + (uint64_t)t->tv_sec * SECOND_NS + (uint64_t)t->tv_nsec;
}

WRAP(int, poll, (struct pollfd * fds, nfds_t n, int timeout))
{
    if (likely(!any_ours(fds, n))) return REAL(poll)(fds, n, timeout);
    struct timespec t = {timeout / 1000, timeout % 1000 * 1000000L};
    return (int)answer(poll_both(fds, n, deadline_in(timeout < 0 ? NULL : &t), NULL));
}

static bool is_time(const struct timespec *t) { return t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1000000000; }

WRAP(int, ppoll, (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask))
{
    if (likely(!any_ours(fds, n))) return REAL(ppoll)(fds, n, timeout, mask);
    if (timeout && !is_time(timeout)) return (int)answer(-EINVAL);
    return (int)answer(poll_both(fds, n, deadline_in(timeout), mask));
}

/* --- select --- */

static bool is_in(const fd_set *set, int fd)
{
    return set && (((const unsigned long *)(const void *)set)[fd / 64] >> (fd % 64) & 1);
}

static void put_in(fd_set *set, int fd)
{
    if (set) ((unsigned long *)(void *)set)[fd / 64] |= 1ul << (fd % 64);
}

static void clear(fd_set *set, int n)
{
    if (set) memset(set, 0, (size_t)(n + 63) / 64 * 8);
}

static bool any_ours_in(int n, const fd_set *in, const fd_set *out, const fd_set *pri)
{
    bool any = false;
    for (int fd = 0; fd < n; fd++) {
        if (likely(!shim_file_at(fd))) continue;
        shim_epoll_look_from_outside(fd);
        any |= is_in(in, fd) || is_in(out, fd) || is_in(pri, fd);
    }
    return any;
}

static nfds_t to_poll(struct pollfd *fds, int n, const fd_set *in, const fd_set *out, const fd_set *pri)
{
    nfds_t count = 0;
    for (int fd = 0; fd < n; fd++) {
        short events =
            (short)((is_in(in, fd) ? POLLIN | POLLRDNORM | POLLRDBAND : 0) |
                    (is_in(out, fd) ? POLLOUT | POLLWRNORM | POLLWRBAND : 0) | (is_in(pri, fd) ? POLLPRI : 0));
        if (events) fds[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    return count;
}

static int from_poll(const struct pollfd *fds, nfds_t count, int n, fd_set *in, fd_set *out, fd_set *pri)
{
    int bits = 0;
    for (nfds_t i = 0; i < count; i++)
        if (fds[i].revents & POLLNVAL) return -EBADF;
    clear(in, n);
    clear(out, n);
    clear(pri, n);
    for (nfds_t i = 0; i < count; i++) {
        bool reads = fds[i].events & POLLIN && fds[i].revents & SELECT_IN;
        bool writes = fds[i].events & POLLOUT && fds[i].revents & SELECT_OUT;
        bool urgent = fds[i].events & POLLPRI && fds[i].revents & SELECT_PRI;
        if (reads) put_in(in, fds[i].fd);
        if (writes) put_in(out, fds[i].fd);
        if (urgent) put_in(pri, fds[i].fd);
        bits += reads + writes + urgent;
    }
    return bits;
}

static int select_both(int n, fd_set *in, fd_set *out, fd_set *pri, const struct timespec *timeout,
                       const sigset_t *mask)
{
    struct pollfd *fds = calloc((size_t)n + 1, sizeof *fds);
    if (!fds) return -ENOMEM;
    nfds_t count = to_poll(fds, n, in, out, pri);
    uint64_t deadline = deadline_in(timeout);
    int r = poll_both(fds, count, deadline, mask);
    if (r >= 0) r = from_poll(fds, count, n, in, out, pri);
    free(fds);
    return r;
}

WRAP(int, pselect, (int n, fd_set *in, fd_set *out, fd_set *pri, const struct timespec *timeout, const sigset_t *mask))
{
    if (n < 0 || n > SELECT_MAX || likely(!any_ours_in(n, in, out, pri)))
        return REAL(pselect)(n, in, out, pri, timeout, mask);
    if (timeout && !is_time(timeout)) return (int)answer(-EINVAL);
    return (int)answer(select_both(n, in, out, pri, timeout, mask));
}

/* Linux tells how much of the time was left. */
WRAP(int, select, (int n, fd_set *in, fd_set *out, fd_set *pri, struct timeval *timeout))
{
    if (n < 0 || n > SELECT_MAX || likely(!any_ours_in(n, in, out, pri))) return REAL(select)(n, in, out, pri, timeout);
    if (!timeout) return (int)answer(select_both(n, in, out, pri, NULL, NULL));
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0) return (int)answer(-EINVAL);
    struct timespec t = {timeout->tv_sec + timeout->tv_usec / 1000000, timeout->tv_usec % 1000000 * 1000};
    uint64_t start = shim_now_ns(), whole = (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
    int r = select_both(n, in, out, pri, &t, NULL);
    uint64_t used = shim_now_ns() - start, left = used < whole ? (whole - used) / 1000 : 0;
    *timeout = (struct timeval){(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
    return (int)answer(r);
}

/* --- fortified --- */

WRAP(int, __poll_chk, (struct pollfd * fds, nfds_t n, int timeout, size_t room))
{
    if (unlikely(room / sizeof *fds < n)) __chk_fail();
    return call_poll(fds, n, timeout);
}
WRAP(int, __ppoll_chk,
     (struct pollfd * fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t room))
{
    if (unlikely(room / sizeof *fds < n)) __chk_fail();
    return call_ppoll(fds, n, timeout, mask);
}
