/* SPDX-License-Identifier: MIT
 *
 * See fds.h.
 *
 * What the library keeps for itself lies from the program's soft limit of descriptors on, which is raised for it: so
 * the program's numbers stay the lowest free ones and as many as it may have had. Those numbers are marked, and the
 * program cannot close them by closing everything.
 *
 * A child of vfork() runs in our memory: what it closes or doubles is its own, and nothing here changes for it.
 */
#include "shim/fds.h"

#include "shim/engine.h"
#include "shim/epoll.h"
#include "shim/log.h"
#include "shim/real.h"
#include "shim/sock.h"

#include "demi/ext.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define ROOM_MORE 4096u /* descriptors of the library beside one for each of the program's */

static uint8_t hidden[SHIM_FDS]; /* atomic */
static unsigned lowest_hidden;   /* 0: not known yet; atomic */
static unsigned highest_hidden;  /* atomic */
static pid_t process;            /* whose memory this is */

static uint8_t shared[SHIM_FDS];

static bool is_hidden(int fd) { return (unsigned)fd < SHIM_FDS && __atomic_load_n(&hidden[fd], __ATOMIC_RELAXED); }

static bool is_vfork(void) { return unlikely(process && getpid() != process); }
void shim_fds_fork_child(void) { process = getpid(); }

static unsigned first_hidden(void)
{
    unsigned first = __atomic_load_n(&lowest_hidden, __ATOMIC_RELAXED);
    if (likely(first)) return first;
    struct rlimit r;
    process = getpid();
    if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur == RLIM_INFINITY || r.rlim_cur > SHIM_FDS / 2) {
        first = SHIM_FDS / 2;
    } else {
        rlim_t more = r.rlim_cur * 2 + ROOM_MORE;
        first = (unsigned)r.rlim_cur;
        r.rlim_cur = more < r.rlim_max ? more : r.rlim_max;
        if (r.rlim_cur < first + first / 2 || setrlimit(RLIMIT_NOFILE, &r)) first = first / 2;
    }
    __atomic_store_n(&lowest_hidden, first, __ATOMIC_RELAXED);
    return first;
}

int fds_hide(int fd)
{
    if (fd < 0) return fd;
    int before = errno, high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, (long)first_hidden());
    errno = before;
    if (high < 0) high = fd;
    else REAL(close)(fd);
    if ((unsigned)high >= SHIM_FDS) return high;
    __atomic_store_n(&hidden[high], 1, __ATOMIC_RELAXED);
    unsigned top = __atomic_load_n(&highest_hidden, __ATOMIC_RELAXED);
    if ((unsigned)high > top) __atomic_store_n(&highest_hidden, (unsigned)high, __ATOMIC_RELAXED);
    return high;
}

void fds_close_hidden(int fd)
{
    if (fd < 0) return;
    if ((unsigned)fd < SHIM_FDS) __atomic_store_n(&hidden[fd], 0, __ATOMIC_RELAXED);
    REAL(close)(fd);
}

/* The library's close(). */
int own_new_close(int fd);
int own_new_close(int fd)
{
    if ((unsigned)fd < SHIM_FDS) __atomic_store_n(&hidden[fd], 0, __ATOMIC_RELAXED);
    return REAL(close)(fd);
}

/* --- shared with the parent --- */

void fds_share(int fd) { __atomic_store_n(&shared[fd], 1, __ATOMIC_RELAXED); }
static bool is_shared(int fd) { return (unsigned)fd < SHIM_FDS && __atomic_load_n(&shared[fd], __ATOMIC_RELAXED); }
static void unshare_number(int fd)
{
    if (unlikely(is_shared(fd))) __atomic_store_n(&shared[fd], 0, __ATOMIC_RELAXED);
}

bool fds_wait_shared(int fd, short events, int flags)
{
    if (errno != EAGAIN || !is_shared(fd) || flags & MSG_DONTWAIT) return false;
    struct timeval t = {0};
    socklen_t size = sizeof t;
    struct pollfd p = {.fd = fd, .events = events};
    REAL(getsockopt)(fd, SOL_SOCKET, events == POLLIN ? SO_RCVTIMEO : SO_SNDTIMEO, &t, &size);
    int ms = t.tv_sec || t.tv_usec ? (int)(t.tv_sec * 1000 + t.tv_usec / 1000) : -1;
    int r = REAL(poll)(&p, 1, ms);
    if (r == 0) errno = EAGAIN;
    return r > 0 || (r < 0 && errno == EINTR && ms < 0 && shim_restarts());
}

/* --- closing --- */

WRAP(int, close, (int fd))
{
    if (unlikely(is_hidden(fd))) return (int)answer(-EBADF);
    shim_epoll_forget(fd);
    unshare_number(fd);
    if (likely(!shim_file_at(fd)) || is_vfork()) return REAL(close)(fd);
    struct shim_file *f = shim_enter(fd);
    if (f) shim_file_unname(fd);
    int r = REAL(close)(fd);
    if (f) shim_unlock();
    return r;
}
WRAP(int, __close, (int fd)) { return call_close(fd); }

/* Closes first to last but for what is hidden. */
static int close_around(unsigned first, unsigned last, int flags)
{
    unsigned top = __atomic_load_n(&highest_hidden, __ATOMIC_RELAXED), from = first;
    int r = 0;
    for (unsigned fd = first; fd <= last && fd <= top; fd++) {
        if (!is_hidden((int)fd)) continue;
        if (from < fd) r = REAL(close_range)(from, fd - 1, flags);
        from = fd + 1;
    }
    return from <= last ? REAL(close_range)(from, last, flags) : r;
}

WRAP(int, close_range, (unsigned first, unsigned last, int flags))
{
    if (first > last) return (int)answer(-EINVAL);
    if (flags & (int)CLOSE_RANGE_CLOEXEC || is_vfork()) return close_around(first, last, flags);
    for (unsigned fd = first; fd <= last && fd < SHIM_FDS; fd++) {
        shim_epoll_forget((int)fd);
        unshare_number((int)fd);
        if (shim_file_at((int)fd)) call_close((int)fd);
    }
    return close_around(first, last, flags);
}

WRAP(void, closefrom, (int first)) { call_close_range((unsigned)(first < 0 ? 0 : first), ~0u, 0); }

/* --- doubling --- */

/* f, locked, has a new name if fd is one. */
static int name_copy(struct shim_file *f, int fd)
{
    int before = errno;
    if (fd >= 0) shim_file_name(f, fd);
    shim_unlock();
    errno = before;
    return fd;
}

WRAP(int, dup, (int fd))
{
    struct shim_file *f = is_vfork() ? NULL : shim_enter(fd);
    if (f) return name_copy(f, REAL(dup)(fd));
    int copy = REAL(dup)(fd);
    if (unlikely(is_shared(fd)) && copy >= 0) fds_share(copy);
    return copy;
}

static int dup_over(int fd, int to, int flags)
{
    if (is_hidden(to)) return (int)answer(-EBADF);
    if ((!shim_file_at(fd) && !shim_file_at(to)) || is_vfork() || !shim_lock()) {
        int copy = REAL(dup3)(fd, to, flags);
        if (copy >= 0 && is_shared(fd)) fds_share(to);
        else if (copy >= 0) unshare_number(to);
        return copy;
    }
    struct shim_file *f = shim_file_at(fd);
    if (f) shim_file_hold(f);
    int r = REAL(dup3)(fd, to, flags), err = errno;
    if (r >= 0) shim_file_unname(to);
    if (r >= 0 && f) shim_file_name(f, to);
    if (f) shim_file_unhold(f);
    shim_unlock();
    errno = err;
    return r;
}

WRAP(int, dup3, (int fd, int to, int flags)) { return fd == to ? (int)answer(-EINVAL) : dup_over(fd, to, flags); }
WRAP(int, dup2, (int fd, int to))
{
    if (fd == to) return REAL(dup2)(fd, to);
    shim_epoll_forget(to);
    return dup_over(fd, to, 0);
}

/* --- flags --- */

static int get_flags(struct shim_file *f, int fd)
{
    int flags = REAL(fcntl)(fd, F_GETFL, 0);
    return flags < 0 ? -errno : (flags & ~O_NONBLOCK) | (f->nonblock ? O_NONBLOCK : 0);
}

static int set_flags(struct shim_file *f, int fd, long flags)
{
    f->nonblock = flags & O_NONBLOCK;
    return REAL(fcntl)(fd, F_SETFL, f->shadow_is_real ? flags | O_NONBLOCK : flags) < 0 ? -errno : 0;
}

static int control_ours(struct shim_file *f, int fd, int cmd, long arg)
{
    int r;
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        r = REAL(fcntl)(fd, cmd, arg);
        if (r < 0) return -errno;
        shim_file_name(f, r);
        return r;
    case F_GETFL: return get_flags(f, fd);
    case F_SETFL: return set_flags(f, fd, arg);
    default: r = REAL(fcntl)(fd, cmd, arg); return r < 0 ? -errno : r;
    }
}

static int control_shared(int fd, int cmd, long arg)
{
    int r;
    switch (cmd) {
    case F_GETFL: return (r = REAL(fcntl)(fd, cmd, 0)) < 0 ? r : r & ~O_NONBLOCK;
    case F_SETFL:
        if (arg & O_NONBLOCK) unshare_number(fd);
        return REAL(fcntl)(fd, cmd, arg | O_NONBLOCK);
    default: return REAL(fcntl)(fd, cmd, arg);
    }
}

static int control(int fd, int cmd, long arg)
{
    if (unlikely(is_shared(fd))) return control_shared(fd, cmd, arg);
    if (likely(!shim_file_at(fd)) || is_vfork()) return REAL(fcntl)(fd, cmd, arg);
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(fcntl)(fd, cmd, arg);
    int r = f->set && cmd != F_DUPFD && cmd != F_DUPFD_CLOEXEC ? (int)asked(REAL(fcntl)(fd, cmd, arg))
                                                               : control_ours(f, fd, cmd, arg);
    shim_unlock();
    return (int)answer(r);
}

#define LAST_ARGUMENT(type, after, arg)                                                                                \
    va_list args;                                                                                                      \
    va_start(args, after);                                                                                             \
    type arg = va_arg(args, type);                                                                                     \
    va_end(args)

WRAP(int, fcntl, (int fd, int cmd, ...))
{
    LAST_ARGUMENT(long, cmd, arg);
    return control(fd, cmd, arg);
}
WRAP(int, fcntl64, (int fd, int cmd, ...))
{
    LAST_ARGUMENT(long, cmd, arg);
    return control(fd, cmd, arg);
}

static int unsent_of(const struct shim_file *f)
{
    size_t n = 0;
    if (f->qd >= 0) demi_unsent(f->qd, &n);
    return (int)n;
}

/* 1: the shadow's business. */
static int io_control(struct shim_file *f, unsigned long request, void *arg)
{
    switch (request) {
    case FIONBIO: f->nonblock = *(int *)arg; return f->shadow_is_real ? 0 : 1;
    case FIONREAD:
        if (f->kind == SHIM_LISTENER) return -EINVAL;
        if (f->kind == SHIM_NEW) return 1;
        shim_turn();
        *(int *)arg = (int)(f->type == SOCK_DGRAM && f->in_count ? f->in[f->in_head].left : f->in_bytes);
        return 0;
    case SIOCOUTQ:
        if (f->kind != SHIM_STREAM || f->shadow_is_real) return 1;
        *(int *)arg = unsent_of(f);
        return 0;
    default: return 1;
    }
}

WRAP(int, ioctl, (int fd, unsigned long request, ...))
{
    LAST_ARGUMENT(void *, request, arg);
    if (request == FIONBIO && unlikely(is_shared(fd))) return control_shared(fd, F_SETFL, *(int *)arg ? O_NONBLOCK : 0);
    struct shim_file *f = shim_enter(fd);
    if (!f) return REAL(ioctl)(fd, request, arg);
    shim_file_hold(f);
    int r = f->set ? 1 : io_control(f, request, arg);
    shim_file_unhold(f);
    shim_unlock();
    return r == 1 ? REAL(ioctl)(fd, request, arg) : (int)answer(r);
}
