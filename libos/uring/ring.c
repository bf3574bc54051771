/* SPDX-License-Identifier: MIT
 *
 * The ring itself: set-up, requests, submission, completions.
 *
 * Its completions are worked out inside of our own calls and nowhere else (IORING_SETUP_DEFER_TASKRUN, one issuer), so
 * that none interrupts the program; a flag in the mapped ring says that there is work, and looking at it costs no call.
 * A sleeper is told by an eventfd, which the runtime's epoll instance watches beside everything else: the ring's own
 * descriptor does not become readable while work is deferred (Linux 6.18, seen Nov 2026). The eventfd is switched off
 * while the thread is awake.
 */
#include "libos/uring/sock.h"

#include "alloc/base/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define KIND_SHIFT 56 /* addresses of programs are shorter */

static const int needed[] = {IORING_OP_RECV,   IORING_OP_RECVMSG,  IORING_OP_SEND,    IORING_OP_SENDMSG,
                             IORING_OP_ACCEPT, IORING_OP_POLL_ADD, IORING_OP_SEND_ZC, IORING_OP_ASYNC_CANCEL};

static int disabled_by_administrator(void)
{
    int level = 0;
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (!f) return 0;
    if (fscanf(f, "%d", &level) != 1) level = 0;
    fclose(f);
    return level;
}

#define OR_POSIX "or LIBOS=posix"

/* One line: what is missing, and what to do. */
static int explain(struct uring *u, int err)
{
    char *why = u->base.rt->why;
    const size_t size = sizeof u->base.rt->why;
    int level = err == -EPERM ? disabled_by_administrator() : 0;
    if (level)
        snprintf(why, size,
                 "uring: io_uring is switched off (kernel.io_uring_disabled is %d); sysctl -w "
                 "kernel.io_uring_disabled=0, " OR_POSIX,
                 level);
    else if (err == -EPERM || err == -EACCES)
        snprintf(why, size,
                 "uring: io_uring is refused (%s); allow io_uring_setup, io_uring_enter and io_uring_register "
                 "there, " OR_POSIX,
                 sandbox_filters_calls() ? "a filter of system calls, seccomp" : strerror(-err));
    else if (err == -ENOSYS || err == -EINVAL || err == -ENOTSUP)
        snprintf(why, size,
                 "uring: this kernel's io_uring is too old, or a filter hides it; Linux 6.1 or later, " OR_POSIX);
    else if (err == -ENOMEM)
        snprintf(why, size,
                 "uring: no memory for a ring; raise the limit of locked memory (ulimit -l, LimitMEMLOCK=), " OR_POSIX);
    else if (err == -EMFILE || err == -ENFILE)
        snprintf(why, size, "uring: no descriptors left for a ring; raise their limit (ulimit -n, LimitNOFILE=)");
    else snprintf(why, size, "uring: no ring: %s", strerror(-err));
    return err;
}

static bool knows_requests(struct io_uring *ring, const struct io_uring_params *p)
{
    const unsigned features =
        IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL | IORING_FEAT_CQE_SKIP;
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (!probe) return false;
    bool all = (p->features & features) == features;
    for (unsigned i = 0; i < sizeof needed / sizeof needed[0]; i++) all &= io_uring_opcode_supported(probe, needed[i]);
    io_uring_free_probe(probe);
    return all;
}

static void on_news(struct fd_watch *w, uint32_t events)
{ /* It has ended the sleep; poll() does the rest. */
}

static int watch_news(struct uring *u)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return -errno;
    u->news = (struct fd_watch){.fn = on_news, .fd = fd};
    int err = io_uring_register_eventfd(&u->ring, fd);
    if (!err) err = io_uring_cq_eventfd_toggle(&u->ring, false);
    /* Edge-triggered and never read: each write is an edge. */
    if (!err) err = runtime_watch(u->base.rt, &u->news, EPOLLIN | EPOLLET);
    if (err) close(fd);
    return err;
}

int uring_open(struct uring *u)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
                                .cq_entries = URING_CQ_ENTRIES};
    int err = io_uring_queue_init_params(URING_SQ_ENTRIES, &u->ring, &p);
    if (err) return explain(u, err);
    err = -ENOTSUP;
    if (!knows_requests(&u->ring, &p)) goto exit_ring;
    io_uring_ring_dontfork(&u->ring);    /* what a child has must not turn its parent's ring */
    io_uring_register_ring_fd(&u->ring); /* a wish: each call is a little cheaper */
    err = provided_open(&u->groups[GROUP_SMALL], &u->ring, GROUP_SMALL, u->small_buffers, BUF_SMALL_SIZE);
    if (!err) err = watch_news(u);
    if (!err) return 0;
exit_ring:
    io_uring_queue_exit(&u->ring);
    provided_close(&u->groups[GROUP_SMALL]);
    return explain(u, err);
}

void uring_close(struct uring *u)
{
    runtime_unwatch(u->base.rt, &u->news);
    close(u->news.fd);
    io_uring_queue_exit(&u->ring);
    for (unsigned i = 0; i < URING_GROUPS; i++) provided_close(&u->groups[i]);
}

void uring_hand_over(struct uring *u)
{
    if (!io_uring_sq_ready(&u->ring)) return;
    u->enters++;
    io_uring_submit(&u->ring); /* what it does not take stays in the queue */
    if (likely(!io_uring_sq_ready(&u->ring))) u->iov_count = u->msg_count = 0;
}

struct io_uring_sqe *uring_sqe(struct uring *u, enum uring_kind kind, void *of)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (unlikely(!sqe)) {
        uring_hand_over(u);
        sqe = io_uring_get_sqe(&u->ring);
        if (!sqe) return NULL;
    }
    DASSERT(!((uintptr_t)of >> KIND_SHIFT));
    /* Functions that fill a request in leave this word alone. */
    io_uring_sqe_set_data64(sqe, (uint64_t)kind << KIND_SHIFT | (uintptr_t)of);
    return sqe;
}

struct msghdr *uring_msg(struct uring *u, unsigned count)
{
    /* The request that follows must not be what makes the others leave. */
    if (unlikely(u->msg_count == URING_MSGS || u->iov_count + count > URING_IOVS ||
                 !io_uring_sq_space_left(&u->ring))) {
        uring_hand_over(u);
        if (io_uring_sq_ready(&u->ring)) return NULL; /* somebody's pieces lie there still */
    }
    struct msghdr *m = &u->msgs[u->msg_count++];
    *m = (struct msghdr){.msg_iov = &u->iovs[u->iov_count]};
    u->iov_count += count;
    return m;
}

void uring_submit(struct uring *u)
{
    if (!io_uring_sq_ready(&u->ring) &&
        !(IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)))
        return;
    u->enters++;
    io_uring_submit_and_get_events(&u->ring); /* what it does not take stays in the queue */
    if (likely(!io_uring_sq_ready(&u->ring))) u->iov_count = u->msg_count = 0;
}

unsigned uring_reap(struct uring *u)
{
    unsigned count = 0, ready = io_uring_cq_ready(&u->ring);
    if (unlikely(u->reaping)) return 0;
    u->reaping = true;
    for (; count < ready; count++) {
        struct io_uring_cqe *cqe;
        if (io_uring_peek_cqe(&u->ring, &cqe)) break;
        uint64_t word = cqe->user_data;
        int32_t res = cqe->res;
        uint32_t flags = cqe->flags;
        io_uring_cq_advance(&u->ring, 1);
        if (likely(word)) sock_completed(u, word, res, flags);
    }
    u->reaping = false;
    u->completions += count;
    return count;
}

/* Whose a completion is; NULL: nobody's any more. */
static const struct uring_sock *owner_of(uint64_t word)
{
    void *of = (void *)(uintptr_t)(word & (((uint64_t)1 << KIND_SHIFT) - 1));
    switch ((enum uring_kind)(word >> KIND_SHIFT)) {
    case URING_CANCEL: return NULL;
    case URING_HELD: return uring_held_sock(of);
    case URING_DGRAM: return uring_dgram_sock(of);
    default: return of;
    }
}

/* The queue of completions is ours to write to: what was looked at out of turn becomes nobody's. */
void uring_reap_of(struct uring *u, const struct uring_sock *s)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        uint64_t word = cqe->user_data;
        if (!word || owner_of(word) != s) continue;
        cqe->user_data = 0;
        sock_completed(u, word, cqe->res, cqe->flags);
    }
}
