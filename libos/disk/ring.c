/* SPDX-License-Identifier: MIT
 *
 * See ring.h. The ring's descriptor is readable while there are results, so that the runtime watches it like a socket.
 *
 * started (list) --submit--> in flight (the kernel's) --result--> done(). The completion queue has twice the entries of
 * the submission queue, and no more than those are in flight: it cannot overflow.
 */
#include "libos/disk/ring.h"

#include <errno.h>

#ifdef DISK_URING

#include "alloc/base/assert.h"
#include "alloc/base/sandbox.h"
#include "alloc/base/thread.h"
#include "libos/runtime/runtime.h"

#include <liburing.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct disk_ring {
    struct fd_watch watch;
    struct runtime *rt;
    void (*more)(void *arg);
    void *arg;
    struct io_uring uring;
    struct ring_io *first, **last; /* started, not submitted; in the order of the submission queue */
    unsigned started, in_flight;
    bool retired;
};

static void ring_check(const struct disk_ring *r)
{
#ifdef DEMI_DEBUG
    struct ring_io *const *at = &r->first;
    unsigned count = 0;
    ASSERT(r->started + r->in_flight <= RING_ENTRIES);
    for (; *at && count <= r->started; at = &(*at)->next) count++;
    ASSERT(count == r->started);
    ASSERT(r->last == at);
#endif
}

/* Takes what results there are; done() may start more. */
static void reap(struct disk_ring *r)
{
    struct io_uring_cqe *cqe;
    unsigned taken = 0;
    for (; io_uring_peek_cqe(&r->uring, &cqe) == 0; taken++) {
        struct ring_io *io = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&r->uring, cqe);
        ASSERT(io);
        ASSERT(r->in_flight > 0);
        r->in_flight--;
        r->rt->elsewhere--;
        io->done(io, result);
    }
    if (taken && !r->retired) r->more(r->arg);
    ring_check(r);
}

static void on_results(struct fd_watch *w, uint32_t events)
{
    (void)events;
    reap((struct disk_ring *)((char *)w - offsetof(struct disk_ring, watch)));
}

/* Every request this file makes, and features without which its rules do not hold. */
static bool knows_all(struct io_uring *u, const struct io_uring_params *p)
{
    static const int needed[] = {IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC};
    const unsigned features = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE;
    struct io_uring_probe *probe = io_uring_get_probe_ring(u);
    if (!probe) return false;
    bool all = (p->features & features) == features;
    for (unsigned i = 0; i < sizeof needed / sizeof needed[0]; i++) all &= io_uring_opcode_supported(probe, needed[i]);
    io_uring_free_probe(probe);
    return all;
}

int ring_new(struct disk_ring **out, struct runtime *rt, void (*more)(void *arg), void *arg)
{
    if (sandbox_filters_calls()) return -EPERM;
    struct disk_ring *r = calloc(1, sizeof *r);
    if (!r) return -ENOMEM;
    struct io_uring_params params = {0};
    int err = io_uring_queue_init_params(RING_ENTRIES, &r->uring, &params);
    if (err) goto free_ring;
    err = -ENOTSUP;
    if (!knows_all(&r->uring, &params)) goto exit_uring;
    unsigned workers[2] = {RING_WORKERS, RING_WORKERS};
    io_uring_register_iowq_max_workers(&r->uring, workers); /* a wish: Linux 5.15 knows it */
    const cpu_set_t *cpus = thread_cpus();
    if (cpus) io_uring_register_iowq_aff(&r->uring, sizeof *cpus, cpus); /* 5.14 knows it */
    r->rt = rt;
    r->more = more;
    r->arg = arg;
    r->last = &r->first;
    r->watch = (struct fd_watch){.fn = on_results, .fd = r->uring.ring_fd};
    err = runtime_watch(rt, &r->watch, EPOLLIN);
    if (err) goto exit_uring;
    *out = r;
    return 0;
exit_uring:
    io_uring_queue_exit(&r->uring);
free_ring:
    free(r);
    return err;
}

void ring_free(struct disk_ring *r)
{
    ASSERT(r->in_flight == 0 && r->started == 0);
    runtime_unwatch(r->rt, &r->watch);
    io_uring_queue_exit(&r->uring);
    free(r);
}

void ring_forget(struct disk_ring *r) { close(r->uring.ring_fd); }

bool ring_is_retired(const struct disk_ring *r) { return r->retired; }
unsigned ring_room(const struct disk_ring *r) { return RING_ENTRIES - r->started - r->in_flight; }

static void prepare(struct io_uring_sqe *sqe, const struct ring_io *io)
{
    switch (io->kind) {
    case RING_WRITE:
        io_uring_prep_writev(sqe, io->fd, io->iov, io->iov_count, (uint64_t)io->offset);
        if (io->durable) sqe->rw_flags = RWF_DSYNC;
        return;
    case RING_READ: io_uring_prep_readv(sqe, io->fd, io->iov, io->iov_count, (uint64_t)io->offset); return;
    case RING_SYNC: io_uring_prep_fsync(sqe, io->fd, 0); return;
    case RING_DATASYNC: io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC); return;
    }
}

void ring_start(struct disk_ring *r, struct ring_io *io, bool linked)
{
    ASSERT(!r->retired && ring_room(r) > 0);
    ASSERT(io->done);
    ASSERT(io->fd >= 0);
    ASSERT(io->offset >= 0);
    ASSERT(io->iov_count <= UIO_MAXIOV);
    ASSERT(io->iov_count > 0 || (io->kind != RING_READ && io->kind != RING_WRITE));
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
    ASSERT(sqe); /* the queue has RING_ENTRIES */
    prepare(sqe, io);
    io_uring_sqe_set_data(sqe, io);
    io_uring_sqe_set_flags(sqe, IOSQE_ASYNC | (linked ? IOSQE_IO_LINK : 0u));
    io->next = NULL;
    *r->last = io;
    r->last = &io->next;
    r->started++;
    runtime_need_flush(r->rt);
    ring_check(r);
}

/* The oldest that was started; NULL: none. */
static struct ring_io *take_started(struct disk_ring *r)
{
    struct ring_io *io = r->first;
    if (!io) return NULL;
    r->first = io->next;
    if (!r->first) r->last = &r->first;
    r->started--;
    return io;
}

void ring_retire(struct disk_ring *r)
{
    r->retired = true;
    for (struct ring_io *io; (io = take_started(r));) io->done(io, -ECANCELED);
}

void ring_flush(struct disk_ring *r)
{
    if (!r->started || r->retired) return;
    unsigned wanted = r->started;
    int taken = io_uring_submit(&r->uring);
    for (int i = 0; i < taken; i++) {
        take_started(r);
        r->in_flight++;
        r->rt->elsewhere++;
    }
    if (taken != (int)wanted) ring_retire(r);
    ring_check(r);
}

void ring_drain(struct disk_ring *r)
{
    ASSERT(r->retired);
    struct io_uring_cqe *cqe;
    while (r->in_flight) {
        io_uring_wait_cqe(&r->uring, &cqe); /* a signal is no reason to stop */
        reap(r);
    }
}

#else /* there never is a ring, and nobody calls the rest */

int ring_new(struct disk_ring **out, struct runtime *rt, void (*more)(void *arg), void *arg) { return -ENOTSUP; }
void ring_free(struct disk_ring *r) {}
void ring_forget(struct disk_ring *r) {}
bool ring_is_retired(const struct disk_ring *r) { return true; }
unsigned ring_room(const struct disk_ring *r) { return 0; }
void ring_start(struct disk_ring *r, struct ring_io *io, bool linked) {}
void ring_flush(struct disk_ring *r) {}
void ring_retire(struct disk_ring *r) {}
void ring_drain(struct disk_ring *r) {}

#endif
