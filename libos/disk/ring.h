/* SPDX-License-Identifier: MIT
 *
 * Reads, writes and syncs by io_uring: requests are handed to the kernel many at once, whose workers do them.
 *
 *      ring_start() ... ring_flush() --> kernel: one after the other where they are linked --> io->done()
 *
 * Never on the caller's thread: each request is sent to a worker at once (IOSQE_ASYNC). What the kernel could do at
 * once it would do inside of the call, and a file that grows beyond RLIMIT_FSIZE would send SIGXFSZ to who makes it.
 *
 * A ring that the kernel did not take everything from is retired: a chain of linked requests that was cut would not be
 * in order any more. Its user goes on without.
 */
#ifndef DISK_RING_H
#define DISK_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define RING_ENTRIES 128 /* requests in flight */
#define RING_WORKERS 4   /* threads of the kernel's, as many as there are helpers */

struct disk_ring;
struct runtime;

enum ring_kind { RING_WRITE, RING_READ, RING_SYNC, RING_DATASYNC };

struct ring_io {
    enum ring_kind kind;
    int fd;
    const struct iovec *iov; /* stays until done(), like what it points at */
    unsigned iov_count;      /* UIO_MAXIOV at most */
    off_t offset;
    bool durable; /* RING_WRITE: done() when the bytes are on the disk */
    /* From ring_flush(), the runtime's turn or ring_drain(). result: bytes or -errno; -ECANCELED: it was not tried,
     * since one before it in its chain failed or came out short, or the ring is retired. */
    void (*done)(struct ring_io *io, int result);
    struct ring_io *next; /* the ring's */
};

/* Asks the kernel. more() is called when there is room again. -ENOTSUP: built without liburing, or a kernel without one
 * of the requests; -EPERM: a filter of system calls, with which nothing is asked (alloc/base/sandbox.h), or an
 * administrator's will; -ENOMEM and what else io_uring_setup(2) says. */
int ring_new(struct disk_ring **out, struct runtime *rt, void (*more)(void *arg), void *arg);
/* After ring_drain(). */
void ring_free(struct disk_ring *r);
/* In a forked child: closes its copy of the descriptor. */
void ring_forget(struct disk_ring *r);

bool ring_is_retired(const struct disk_ring *r);
/* How many may be started now. */
unsigned ring_room(const struct disk_ring *r);
/* There must be room, and the ring not be retired. linked: the next one begins when this one has ended well and whole,
 * or is not tried. */
void ring_start(struct disk_ring *r, struct ring_io *io, bool linked);
/* What was started leaves. */
void ring_flush(struct disk_ring *r);
/* Nothing is started any more. */
void ring_retire(struct disk_ring *r);
/* Waits for all that is in flight; a retired ring's only. */
void ring_drain(struct disk_ring *r);

#endif
