/* SPDX-License-Identifier: MIT
 *
 * What servers need beyond Demikernel's calls: waiting in batches, memory a device can reach, several segments a push,
 * timers, coroutines, a wake-up that other threads may ring, other event loops, in-memory queues, pipes, files, and
 * statistics.
 * Conventions are those of demi/libos.h: 0 or a positive errno, nothing aborts.
 */
#ifndef DEMI_EXT_H
#define DEMI_EXT_H

#include "demi/types.h"
#include "demi/version.h"
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct timespec; /* strict C99 leaves it out of time.h */

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* --- start and end -------------------------------------------------------------------------------------------- */

/* demi_init() for programs that have the choice in their own configuration. NULL: as the environment says. Several,
 * with commas ("dpdk,shm", as LIBOS may have them, too), run side by side: sockets come from the first one that has
 * the kind. */
int demi_init_with(const char *libos, const char *config_path);

/* The same with settings of the program's own, which beat file and environment: keys of demikernel.conf(5)
 * ("interface", "address", …). Of a failure `why` (if wanted) gets one line: what is missing, and which command
 * provides it; empty where the errno says all. Without a place for it that line goes to stderr, as it does with
 * demi_init() and demi_init_with(). */
struct demi_setting {
    const char *key, *value;
};
struct demi_init_options {
    const char *libos, *config_path; /* NULL: as the environment says */
    const struct demi_setting *settings;
    size_t setting_count;
    char *why; /* why_size bytes, or NULL */
    size_t why_size;
};
int demi_init_options(const struct demi_init_options *o);

/* Where the library's lines go from now on, from all threads of the process: what was started, warnings, the life of a
 * device. level: 0 debug, 1 verbose, 2 notice, 3 warning; text is one line without its end. NULL: notices and warnings
 * to stderr, as at first. Any thread may call it: each line comes with the arg of its fn, and a thread that is in the
 * fn before may be in it still when this returns. Always 0. */
typedef void (*demi_log_fn)(void *arg, int level, const char *text);
int demi_set_log(demi_log_fn fn, void *arg);

/* A knob of the running libOS, by its configuration name: "spin-us" (a number or "auto"), … ENOPROTOOPT: no such
 * knob. EINVAL: bad value. */
int demi_set_option(const char *name, const char *value);

/* Closes every queue of this thread, sends what was pushed (bounded by its linger time), gives all memory back. */
int demi_exit(void);

/* --- waiting ----------------------------------------------------------------------------------------------------- */

/* What demi_wait_next_n() should have been: waits until at least one operation has completed, takes up to num_qrs
 * that are there without waiting further, flushes what was pushed. 0: *num_qrs_out >= 1. ETIMEDOUT: none came. */
int demi_wait_batch(demi_qresult_t *qr_out, int num_qrs, int *num_qrs_out, const struct timespec *timeout);

/* Waits for all; qr_out[i] belongs to qts[i]. On ETIMEDOUT the tokens that have completed stay valid too. */
int demi_wait_all(demi_qresult_t qr_out[], const demi_qtoken_t qts[], int num_qts, const struct timespec *timeout);

/* Gives an operation up. It completes, as DEMI_OPC_FAILED with ECANCELED unless it had completed already, and is
 * waited for as before. A connection on its way is taken back, from the peer, too; its socket is then what it was, and
 * may connect again. EINVAL: unknown token. EBUSY: it cannot be taken back: a push, a task, a file operation. Closing
 * the queue ends those. */
int demi_cancel(demi_qtoken_t qt);

/* A token may carry a word of the caller's, set after the call that made it: read it from a result without a table of
 * tokens. demi_result_data() takes the word of a result just waited for: it is valid until the next wait. */
int demi_set_data(demi_qtoken_t qt, void *data);
void *demi_result_data(const demi_qresult_t *qr); /* only for results of the last wait of this thread */

/* The runtime's clock, nanoseconds, monotonic, as it was read last: at the start of this turn of its loop, or since.
 * Costs nothing. */
uint64_t demi_now_ns(void);
/* The same clock, read now. Without a runtime: the machine's monotonic clock. */
uint64_t demi_clock_ns(void);
/* Microseconds since 1970, UTC; may jump. Simulated where the clock above is. */
int64_t demi_wall_us(void);

/* --- between threads ---------------------------------------------------------------------------------------------- */

/* A library OS is one thread's at a time, and not for ever: one thread detaches it, and whichever attaches it next has
 * its queues, tokens, arrays and heap. Who does so sees to it that the one comes after the other (a lock), and leaves
 * what demi_detach() wrote alone; *out is all zeros before the first time. A thread may end when it has detached.
 * Attached, it is ended by demi_exit() as ever. ENOSYS: this thread has none. EBUSY: called by a task. EEXIST: this
 * thread has one. */
struct demi_detached {
    void *runtime, *heap; /* the library's */
};
int demi_detach(struct demi_detached *out);
int demi_attach(const struct demi_detached *d);

/* Sends what was pushed, as each wait does before all else. */
int demi_flush(void);

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* A heap every byte of which the devices of the process can reach. demi_free() at any time: a pinned object is reused
 * only when the last holder lets go. Other threads may free; only the owner allocates. NULL: out of memory. size 0
 * gives a valid pointer. */
void *demi_malloc(size_t size);
void *demi_calloc(size_t count, size_t size);
void *demi_realloc(void *p, size_t size);
void demi_free(void *p);                    /* NULL is allowed */
void demi_free_sized(void *p, size_t size); /* size as it was asked for: saves a look-up */
size_t demi_malloc_size(const void *p);     /* usable bytes */
size_t demi_good_size(size_t size);         /* what demi_malloc(size) would really take */

/* Whether a device still holds the object (from a push of it or of part of it): its bytes must not change yet. */
bool demi_is_pinned(const void *p);

struct demi_mem_stats {
    size_t used;     /* bytes in live objects, rounded up to their size class */
    size_t active;   /* bytes in pages that hold any */
    size_t resident; /* bytes of regions that are backed by memory */
    size_t peak;     /* highest `used` so far */
    size_t pinned;   /* objects a device holds now */
    size_t held;     /* bytes of those among them that the program has freed */
};
void demi_mem_stats(struct demi_mem_stats *out);  /* asks the system for `resident`: up to half a millisecond */
void demi_mem_counts(struct demi_mem_stats *out); /* the same without `resident`, which stays 0: no system call */
size_t demi_mem_used(void);                       /* `used` alone: a few instructions */
size_t demi_mem_active(void);
/* What each size class has taken; 0 is what is larger, up to 2 MiB. */
#define DEMI_MEM_CLASSES 177
struct demi_mem_class {
    size_t size;    /* of an object */
    size_t blocks;  /* of memory (slabs) that hold them */
    size_t objects; /* in them, those at hand for the next allocations included */
    size_t places;  /* for objects */
    size_t bytes;
};
void demi_mem_class_stats(struct demi_mem_class out[DEMI_MEM_CLASSES]);
/* A bounded step of giving free memory back to the system; true while there is more. The loop does one a turn. */
bool demi_mem_collect(void);
/* All of it at once, partly used chunks and caches included, however long that takes: what an operator asks for. */
void demi_mem_purge(void);

/* Defragmentation, which takes a program that knows where its pointers are. begin() looks at some blocks of one
 * size class (1 to DEMI_MEM_CLASSES - 1), and chooses hardly used ones to be emptied; true: it has more, to be
 * looked at by the next call. move() gives an object in one of them another place with its bytes, and returns
 * that, NULL where it stays: what is not in the way, held by a device, or another thread's. end() makes some of
 * what is left ordinary again, then gives at most 2 MiB a call for each of `chunks` back to the system; true:
 * there is more of either. */
bool demi_mem_defrag_begin(unsigned size_class);
void *demi_mem_defrag_move(void *p);
bool demi_mem_defrag_end(size_t chunks);

/* Segments for pops and pushes larger than one page of API-24's limit: as demi_sgaalloc(), any size up to 1 GiB. */
demi_sgarray_t demi_sgaalloc_large(size_t size);

/* Memory of the program's own (a mapped file, an arena, a static array) in whole pages: from here on every device of
 * the process knows it, those that come later too, and pieces of it larger than 2,048 bytes are pushed as they lie
 * instead of being copied. It stays the program's: the library neither frees nor moves it, and must not lose it, so it
 * is unregistered before it is unmapped. Any thread, with or without a library OS. EINVAL: not whole pages, or none.
 * EFAULT: not all of it is mapped. EEXIST: some of it is registered, or demi_malloc()'s. E2BIG, ENOSPC: more than 64
 * TiB, than 64 pieces. What a device says that cannot have it: ENOMEM… */
int demi_mem_register(void *base, size_t size);
/* EBUSY: the bytes of a push that has not completed, or of an array, lie in it. ENOENT: nothing registered begins at
 * base. */
int demi_mem_unregister(void *base);
/* An array over registered memory, for demi_push(): `size` bytes, 1 to 1 GiB, at p, and not a copy of them.
 * demi_sgafree() gives the array back, and the bytes are the program's. All zeros: the memory is not registered, or
 * there is none for the array. */
demi_sgarray_t demi_sgawrap(void *p, size_t size);

/* --- pushing ------------------------------------------------------------------------------------------------------ */

/* Pushes several segments as one operation, at most DEMI_PUSHV_MAX. Each lies in memory of demi_malloc(), of
 * demi_mem_register() or in an array of demi_sgaalloc(), and is held until the operation completes; what is not
 * registered memory may be freed by the caller at once. Small ones, and memory of any other kind, are copied before the
 * call returns. Empty segments are left out. EBUSY: too much waits to be sent. */
#define DEMI_PUSHV_MAX        1024
#define DEMI_PUSH_HANDED_OVER 1u /* complete when the device has the bytes, not when the peer has acknowledged them */
#define DEMI_PUSH_NO_TOKEN                                                                                             \
    2u /* no result on success (*qt_out is 0); a failure shows at the next pop, a file's at sync or close */
/* More follows at once: what does not fill a segment may wait for the next push, at most 200 ms (MSG_MORE). */
#define DEMI_PUSH_MORE 4u
/* A file's: complete when these bytes are on the disk, and what it takes to read them again (RWF_DSYNC). What was
 * pushed before without it is not meant. When it fails some of them may be in the file. ENOTSUP: the queue keeps
 * nothing. */
#define DEMI_PUSH_DURABLE 8u
int demi_pushv(demi_qtoken_t *qt_out, int qd, const struct iovec *iov, int iovcnt, unsigned flags);

/* Bytes pushed on qd that the device has not taken yet. */
int demi_unsent(int qd, size_t *bytes_out);

/* Ends one direction: SHUT_WR sends what was pushed, then FIN. */
int demi_shutdown(int qd, int how);

/* An accepted queue's result holds the peer's address: ares.addr for IPv4, ares6.addr for IPv6 (sin_family tells
 * which), the family alone for a Unix socket. */

/* --- timers, tasks, wake-ups -------------------------------------------------------------------------------------- */

/* Completes (DEMI_OPC_TIMER) once `ns` nanoseconds have passed. */
int demi_timer(demi_qtoken_t *qt_out, uint64_t ns);

/* Runs fn on a coroutine of this thread; completes (DEMI_OPC_TASK) with its result in qr_ret. Inside, demi_wait*()
 * suspends the coroutine and nothing else. stack_bytes 0: the default (64 KiB). */
typedef int64_t (*demi_task_fn)(void *arg);
int demi_spawn(demi_qtoken_t *qt_out, demi_task_fn fn, void *arg, size_t stack_bytes);
int demi_yield(void); /* lets other ready tasks run; EINVAL outside of a task */

/* A wake-up: any thread and any signal's handler may ring it, and one outstanding demi_wake_wait() of the owner
 * completes (DEMI_OPC_WAKE). Rings before that are remembered as one. */
typedef struct demi_wake demi_wake_t;
int demi_wake_new(demi_wake_t **out);
int demi_wake_wait(demi_qtoken_t *qt_out, demi_wake_t *w);
void demi_wake_ring(demi_wake_t *w);
void demi_wake_free(demi_wake_t *w); /* the owner, before its demi_exit(), when nobody rings any more */

/* --- with another event loop ------------------------------------------------------------------------------------- */

/* The thread's library OS in somebody else's poll() or epoll: a descriptor that is readable (level-triggered) as soon
 * as there is something to do: a result that nobody has taken, what a device brings, a timer, a wake-up. The rule:
 *
 *     demi_event_fd(&fd)                  the last call before each sleep: sends what was pushed, and arms
 *     poll() or epoll_wait()              on fd, and whatever else there is
 *     demi_wait_batch(…, {0, 0})          if fd is readable, until it says ETIMEDOUT; as any other wait it disarms
 *
 * fd is the library's own, the same each time, and ends with demi_exit(). A result that the program leaves untaken
 * keeps it readable. EOPNOTSUPP: this device can only be polled. EBUSY: called by a task. EMFILE… */
int demi_event_fd(int *fd_out);

/* Somebody's descriptor in our wait. Completes once (DEMI_OPC_POLL), as soon as one of `events` is there (POLLIN,
 * POLLPRI, POLLOUT, POLLRDHUP of poll.h, or epoll's, which are the same bits), or POLLERR or POLLHUP, asked for or not;
 * qr_ret says which, qr_qd is fd. demi_cancel() takes it back. fd stays the caller's: cancel before closing it. Several
 * operations may wait for one fd. EBADF: not open, at once or as it turns out. EPERM: what is always ready: a file, a
 * directory. EEXIST: it is a queue's (demi_queue_fd()). EINVAL: other events. */
int demi_poll_fd(demi_qtoken_t *qt_out, int fd, uint32_t events);

/* demi_socket() on the libOS of that name, which is started if it does not run yet: a second door beside the main one,
 * for a program that listens on a network card and, for its neighbours, on "shm". ENOTSUP: there is no such libOS here,
 * or it has no such sockets. */
int demi_socket_on(int *qd_out, const char *libos, int domain, int type, int protocol);

/* demi_setsockopt() on "rdma": Valkey's framing, with a buffer of so many bytes lent to each peer (int, 65,536 to
 * 16,777,216; 0, as at first: none of it). A listener takes clients of it beside those of our own, a socket that is yet
 * to connect speaks it. To the program they are connections as others are, but they have no half-close: demi_shutdown()
 * of the writing half ends them when all that was pushed is through. EOPNOTSUPP: the device has no immediates
 * (iWARP). */
#define DEMI_SOL_RDMA    0x7244
#define DEMI_RDMA_VALKEY 1
/* What the buffers may come to, in bytes (int), of all clients of a listener that the program does not trust yet; 0, as
 * at first: no bound. Who finds no room is refused, and the oldest that has been there for a second goes. */
#define DEMI_RDMA_STRANGERS 2
/* Of an accepted connection, once: the program knows who it is (int 1), and it counts no more. */
#define DEMI_RDMA_TRUSTED 3

/* --- queues without a device -------------------------------------------------------------------------------------- */

/* A queue in memory: a pop takes the oldest array that was pushed, whole. */
int demi_queue(int *qd_out);
/* Two ends of a byte stream inside this thread; what is pushed on either is popped from the other. */
int demi_pipe(int qd_out[2]);

/* --- files -------------------------------------------------------------------------------------------------------- */

/* A file as a queue: push writes at the cursor (or the end, O_APPEND), pop reads up to demi_sgaalloc()'s limit from
 * it. What may block on a disk has a token and is done elsewhere, but for demi_open(), which opens before it returns,
 * and demi_lseek() from the end, which asks for the length: demi_async_open() and demi_file_size() are for who may
 * not block. */
/* "log:PATH#NAME" is the append log NAME ("main" without it) of the file or block device at PATH: a push appends a
 * record (qr_ret: its offset), complete when it has its place or, with O_DSYNC or DEMI_PUSH_DURABLE, when it is
 * durable; a pop gives the record at the cursor, an empty array at the end; demi_truncate() drops what lies BEFORE
 * the offset. demi_open(3), demikernel-log(5). */
int demi_open(int *qd_out, const char *path, int flags, mode_t mode);
/* demi_getsockopt() on an append log: how much its device still takes. */
#define DEMI_SOL_LOG   0x6c67
#define DEMI_LOG_SPACE 1
struct demi_log_space {
    uint64_t free_bytes;    /* in segments that no log has: for records of all logs of the device, with their heads */
    uint32_t segment_bytes; /* of records, with their heads, that one has room for */
    uint32_t record_max;    /* bytes of a record */
};
int demi_creat(int *qd_out, const char *path, mode_t mode);
/* The queue is there at once; DEMI_OPC_SYNC when the file is open. What is started before waits for that, and fails as
 * it does; a queue whose file could not be opened is to be closed, too. */
int demi_async_open(demi_qtoken_t *qt_out, int *qd_out, const char *path, int flags, mode_t mode);
/* demi_close() of any queue, and DEMI_OPC_CLOSE when a file's writes have ended and it is closed, or an error of that:
 * some file systems tell only then that a write failed. Of other queues it completes at once. */
int demi_async_close(demi_qtoken_t *qt_out, int qd);
int demi_file_size(demi_qtoken_t *qt_out, int qd); /* DEMI_OPC_SYNC, qr_ret is the length in bytes */
int demi_lseek(int qd, off_t offset, int whence, off_t *offset_out);
int demi_truncate(demi_qtoken_t *qt_out, int qd, off_t length);
int demi_sync(demi_qtoken_t *qt_out, int qd, bool data_only); /* DEMI_OPC_SYNC */
/* rename(), unlink() and mkdir() off the thread, completing as DEMI_OPC_SYNC; in the order of the calls among
 * themselves, in no order with operations of queues: wait for those first. Paths are copied. ENAMETOOLONG; EBUSY: too
 * much waits. */
int demi_rename(demi_qtoken_t *qt_out, const char *from, const char *to);
int demi_unlink(demi_qtoken_t *qt_out, const char *path);
int demi_mkdir(demi_qtoken_t *qt_out, const char *path, mode_t mode);

/* --- seeing inside ------------------------------------------------------------------------------------------------ */

/* Calls fn for each counter of this thread: "libos.turns", "posix.rx_bytes", "libos.spin_ns"… One list, nothing else
 * to read. */
typedef void (*demi_counter_fn)(void *arg, const char *name, uint64_t value);
void demi_counters(demi_counter_fn fn, void *arg);
const char *demi_libos_name(void); /* "posix", … or NULL before demi_init() */
/* the kernel's descriptor behind a queue, or -1: for SO_ options of other programs, debugging */
int demi_queue_fd(int qd);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
