/* SPDX-License-Identifier: MIT
 *
 * What a descriptor of the program's stands for when it is ours, and the table that finds it.
 *
 *     number --table--> struct shim_file <--items-- sets (epoll)         NULL in the table: the kernel's, for good
 *        |                     |   ^------ links -- threads that sleep for it
 *        v                     v
 *     shadow: a kernel      the queue of the library OS (qd; -1: not decided yet, or an epoll set)
 *     socket of that number
 *
 * Every number is a kernel descriptor as well, the shadow: fstat(), unknown options and the loader of another program
 * find one there. On kernel sockets (posix) the shadow of a connection is the libOS's own socket under another
 * number, so what we do not know the kernel answers about the real one.
 *
 *     NEW --bind--> NEW (bound) --listen--> LISTENER
 *      |               |
 *      `---connect-----+--> STREAM (connecting, then connected)    each may be the kernel's instead (route.h)
 *     NEW of datagrams: DGRAM at bind, connect, or the first send
 *
 * Numbers count; a file ends with its last number, as soon as no thread sleeps for it (holds) and no operation is
 * outstanding (ops). All of this is under the engine's lock but the look whether a number is in the table at all.
 */
#ifndef SHIM_FILE_H
#define SHIM_FILE_H

#include "alloc/base/assert.h"
#include "alloc/base/list.h"
#include "demi/types.h"

#include <stdint.h>
#include <sys/socket.h>

#define SHIM_FDS      (1u << 20) /* numbers from here on are the kernel's */
#define SHIM_PIECES   16u        /* popped arrays that may wait for the program, and their bytes: */
#define SHIM_IN_BYTES 262144u
#define SHIM_OPTIONS  24u /* set before there is a queue */

enum shim_kind { SHIM_NEW, SHIM_STREAM, SHIM_LISTENER, SHIM_DGRAM, SHIM_SET, SHIM_DEAD /* the parent's, in a child */ };

/* What of a popped array has not been read. */
struct shim_piece {
    demi_sgarray_t sga;
    uint32_t at, left;
};

struct shim_option {
    int level, name;
    socklen_t size;
    uint8_t value[16];
};

struct shim_accepted {
    int qd;
    struct sockaddr_in6 addr;
};

struct shim_file {
    uint8_t kind; /* enum shim_kind */
    bool nonblock;
    bool bound, bind_waits; /* waits: an address that does not tell yet whose it is */
    bool connecting, connected;
    bool eof, in_shut, out_shut;
    bool blocked;        /* too much waits to be sent */
    bool popping;        /* a pop (or accept) is outstanding */
    bool connect_told;   /* connect() has told how it went */
    bool shadow_is_real; /* the shadow is the queue's own socket */
    bool ended;          /* nobody names it any more, and its queue is closed */
    int domain, type, protocol;
    unsigned numbers, holds, ops;
    int qd;
    int error; /* SO_ERROR */
    int backlog;
    uint64_t rcvtimeo_ns, sndtimeo_ns; /* 0: none */
    uint32_t sndbuf;
    /* in */
    struct shim_piece *in; /* SHIM_PIECES, a ring */
    unsigned in_head, in_count;
    uint32_t in_bytes;
    struct shim_accepted *accepted; /* of a listener, a ring */
    unsigned accepted_head, accepted_count, accepted_room;
    /* who waits */
    struct list links, items;
    struct list blocked_link;
    struct list all; /* among all files */
    /* before the queue */
    struct sockaddr_storage bind_addr, peer;
    socklen_t bind_size, peer_size;
    struct shim_option *options;
    unsigned option_count;
    struct shim_set *set; /* of SHIM_SET */
};

extern struct shim_file *shim_table[SHIM_FDS];
extern struct list shim_files;

/* Whether fd may be ours; who has the lock knows. */
static inline struct shim_file *shim_file_at(int fd)
{
    return likely((unsigned)fd < SHIM_FDS) ? __atomic_load_n(&shim_table[fd], __ATOMIC_ACQUIRE) : NULL;
}

/* A file with no number yet. NULL: no memory. */
struct shim_file *shim_file_new(enum shim_kind kind, int domain, int type, int protocol);
/* fd is a name of f from here on; it must not be another's. */
void shim_file_name(struct shim_file *f, int fd);
/* fd is none any more; the last one ends the queue. The kernel's descriptor is left to the caller. */
void shim_file_unname(int fd);
/* f is the kernel's from now on under all its numbers. */
void shim_file_leave(struct shim_file *f);
/* The same in a forked child, where there is no runtime to ask. */
void shim_file_forget(struct shim_file *f);
void shim_file_hold(struct shim_file *f);
void shim_file_unhold(struct shim_file *f);
/* Frees f if nobody needs it any more. */
void shim_file_settle(struct shim_file *f);

/* What poll() would say now: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR. */
uint32_t shim_file_events(struct shim_file *f);

#endif
