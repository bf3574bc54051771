/* SPDX-License-Identifier: MIT
 *
 * A device of messages as the library wants it: whole messages between the two ends of a reliable connection, and
 * writes of one end into memory that the other has lent it. Whoever has one (the plug-in over libibverbs, the
 * simulated one of the tests) fills these ops; libos/rdma calls them. Framing, credits, queues and tokens stay on the
 * library's side.
 *
 * One struct msgdev serves one thread, nothing here is called from another, and it stands for one RDMA device. Whatever
 * goes wrong on the way is a completion with a status. What a call refuses at once it refuses with -errno and has
 * changed nothing.
 *
 *     an end   make --> listen --> (REQUESTED with a new end)...             --> release --> RELEASED
 *              make --> connect --> ESTABLISHED --> ... --> DISCONNECTED     --> release --> RELEASED
 *                                   FAILED                                   --> release --> RELEASED
 *              REQUESTED --> accept --> ESTABLISHED, or FAILED: as above
 *                        --> reject: gone at once, no RELEASED
 *
 * - An end is the device's struct; the library gives it a 64-bit word of its own, which every completion about it
 *   carries. Words are not 0, those of requests are below 2^63, and the device never looks behind them.
 * - Each poll takes what the event channel and the completion queue have, in this order for one end: RECEIVED may come
 *   before ESTABLISHED (the data may overtake the event), nothing comes before REQUESTED or behind RELEASED.
 * - Between release() and RELEASED the device gives back what was posted: receives of the shared queue that this end
 *   has used come as RECEIVED with a status; requests of the end's own queues may come as completions with a status, or
 *   not at all. With RELEASED, and not before, all memory that they named is the library's again. It comes within
 *   MSGDEV_RELEASE_MS although the peer is silent: the device waits for what is in its completion queue, then destroys.
 *   At once where the end had no queues yet. From inside of release() itself nothing is reported.
 * - DISCONNECTED comes at most once: the peer has disconnected, or its machine's kernel has for it, or our own
 *   disconnect() is through (where the device learns of that). What had come before it was reported before it. FAILED
 *   and BROKEN come at most once, too: the first error of an end is reported with its reason, flushed requests are no
 *   news. After DISCONNECTED, FAILED and BROKEN requests of that end are still taken, and flushed.
 * - A send that is not MSGDEV_SIGNALLED is reported only when it has failed. Its slot, and the memory that it named,
 *   are free again with the next reported one of the same end, which is why every end needs one now and then. The
 *   library counts slots: no more than send_depth requests of an end are out, no more than recv_depth receives are
 *   posted to it, and shared_depth to the shared queue; the device has room for so many, whatever its own rounding.
 * - INLINE requests' bytes have been copied when post() returns.
 * - Order: requests of one end are carried out, and reported, in the order of posting; between ends there is none.
 *   A message or a write with a number is reported to the peer after the bytes of all earlier writes of that end are in
 *   its memory.
 * - Where caps.sent_is_delivered is not set (iWARP), SENT says only that the transport has the bytes.
 * - The device does what libos/rdma/README.md says of time-outs: RNR retries for ever (7) with a timer of 0.64 ms,
 *   transport retries at most 6, so that a peer that is gone is found out.
 */
#ifndef LIBOS_MSGDEV_H
#define LIBOS_MSGDEV_H

#include "alloc/registry.h"
#include "tcp/netdev.h"

#include <sys/socket.h>

#define MSGDEV_BURST      32 /* completions or requests a call, at most */
#define MSGDEV_PIECES_MAX 16
#define MSGDEV_PRIVATE    56   /* bytes that may go with connect; zeros behind them may come along */
#define MSGDEV_ANSWER     196  /* ... with accept and reject */
#define MSGDEV_RELEASE_MS 2000 /* RELEASED at the latest */

struct msgdev;
struct msgdev_end; /* the device's */

/* n bytes at p, which lie in memory that the device knows by this cookie: region_cookie(d->registry, p), or that of
 * what was lent. The library copies what has none. Of INLINE requests the cookie is not looked at. */
struct msgdev_piece {
    const void *p;
    uint32_t n;
    void *cookie;
};

enum msgdev_verb {
    MSGDEV_RECEIVE,   /* end NULL: to the shared queue; else to the end's own. One piece */
    MSGDEV_SEND,      /* takes one receive of the peer, whose room it must fit in */
    MSGDEV_WRITE,     /* into the peer's memory; the peer hears nothing */
    MSGDEV_WRITE_IMM, /* ... and takes one receive of the peer, whose bytes stay as they are. Where caps.immediate is */
};

enum msgdev_request_flags {
    MSGDEV_SIGNALLED = 1 << 0, /* report it when it is done */
    MSGDEV_INLINE = 1 << 1,    /* no more than caps.inline_max bytes */
};

struct msgdev_request {
    struct msgdev_end *end;
    uint64_t word; /* of this request */
    const struct msgdev_piece *pieces;
    uint16_t piece_count; /* 0 to caps.pieces_max; a RECEIVE has 1 */
    uint8_t verb;         /* enum msgdev_verb */
    uint8_t flags;        /* enum msgdev_request_flags */
    uint32_t immediate;   /* in host order: the device turns it */
    uint32_t remote_key;  /* WRITE*: as the peer's lend() gave it */
    uint64_t remote_addr;
};

/* A SEND of n bytes at p, inline, and what more there is to say of most: the library keeps these, each with its p. */
struct msgdev_short {
    struct msgdev_end *end;
    const void *p;
    uint64_t word; /* not 0: SIGNALLED, and the request's. The device sets it back to 0 */
    uint32_t n;
    void *owner; /* the library's */
};

enum msgdev_event {
    /* of requests: word is the request's */
    MSGDEV_RECEIVED, /* len bytes are there; with MSGDEV_HAS_IMMEDIATE: immediate, and no bytes */
    MSGDEV_SENT,     /* SEND, WRITE or WRITE_IMM; len is not set */
    /* of ends: word is 0 */
    MSGDEV_REQUESTED,    /* of is the listener's word, end a new one, whose only use is accept, reject, addresses */
    MSGDEV_ESTABLISHED,  /* of one who connected with what the peer's accept gave in private_data */
    MSGDEV_FAILED,       /* connect() or accept() has not led to a connection; REJECTED: private_data is the peer's */
    MSGDEV_DISCONNECTED, /* the connection has ended */
    MSGDEV_BROKEN,       /* ... by an error: of a request, of the queue pair, of the device */
    MSGDEV_RELEASED,     /* the end is no more */
};

enum msgdev_status {
    MSGDEV_OK,
    MSGDEV_FLUSHED,          /* behind an error or disconnect: no news */
    MSGDEV_PEER_SILENT,      /* transport retries exhausted: the peer's machine is gone, or the way to it */
    MSGDEV_PEER_UNREADY,     /* RNR retries exhausted: it has no receive posted */
    MSGDEV_TOO_LONG,         /* a message longer than the receive (here, or the peer's), or than the device takes */
    MSGDEV_BAD_ACCESS,       /* the peer's memory was not lent for that: address, length or key */
    MSGDEV_BAD_REQUEST,      /* the peer's device did not understand it */
    MSGDEV_PEER_BROKEN,      /* the peer's device could not carry it out */
    MSGDEV_LOCAL_ACCESS,     /* a piece's cookie does not cover it */
    MSGDEV_LOCAL_BROKEN,     /* this device could not carry it out */
    MSGDEV_REFUSED,          /* connect: nobody listens there */
    MSGDEV_REJECTED,         /* connect: the peer's reject() */
    MSGDEV_UNREACHABLE,      /* connect: no answer, no route, no address */
    MSGDEV_NO_ROOM,          /* no memory, descriptors, locked memory or queues for it; err says which */
    MSGDEV_GONE,             /* the device has been removed */
    MSGDEV_FAILED_OTHERWISE, /* err is what there is to say */
    MSGDEV_STATUS_COUNT
};

#define MSGDEV_HAS_IMMEDIATE 1
#define MSGDEV_MESSAGE       0u /* kind: RECEIVED, OK, bytes */

static_assert(MSGDEV_RECEIVED == 0 && MSGDEV_OK == 0, "a message has a kind of zeros");

/* Of RECEIVED and SENT with MSGDEV_OK: word, of, kind, and with RECEIVED len or immediate. The others are not set,
 * since each message has one of these. */
struct msgdev_completion {
    uint64_t word;          /* of the request */
    uint64_t of;            /* of the end. RECEIVED of the shared queue for an end that is no more: 0, FLUSHED */
    struct msgdev_end *end; /* REQUESTED */
    union {
        struct {
            uint8_t event;       /* enum msgdev_event */
            uint8_t status;      /* enum msgdev_status */
            uint8_t flags;       /* MSGDEV_HAS_IMMEDIATE */
            uint8_t private_len; /* REQUESTED, ESTABLISHED, FAILED: of private_data; zeros may follow what was given */
        };
        uint32_t kind; /* the four together: MSGDEV_MESSAGE is what nearly all completions are */
    };
    uint32_t len; /* RECEIVED: set only with MSGDEV_OK */
    uint32_t immediate;
    int32_t err;              /* errno or the device's own number, for the log; 0: none */
    const void *private_data; /* until the next poll() */
};

struct msgdev_caps {
    uint16_t pieces_max;    /* of a SEND or WRITE, 1 to MSGDEV_PIECES_MAX */
    uint16_t inline_max;    /* bytes, as granted; 0: none */
    uint32_t message_max;   /* bytes */
    uint32_t depth_max;     /* of one queue */
    uint32_t shared_depth;  /* of the shared receive queue, as granted: 0, there is none */
    bool immediate;         /* WRITE_IMM (not on iWARP) */
    bool rnr;               /* a message without a receive waits; else it breaks the connection */
    bool sent_is_delivered; /* SENT: the peer's device has it */
};

/* Queues of a connection, and what its connect() or accept() tells the peer. */
struct msgdev_params {
    uint32_t send_depth, recv_depth; /* recv_depth 0: receives are those of the shared queue */
    /* Receives for the own queue, in place before the peer hears of it. The requests are copied; their end is not
     * looked at. */
    const struct msgdev_request *receives;
    uint32_t receive_count;
    const void *private_data;
    uint8_t private_len; /* up to MSGDEV_PRIVATE with connect, MSGDEV_ANSWER with accept */
};

/* What the peer may write into. */
struct msgdev_lent {
    void *cookie; /* for pieces that lie in it, and for take_back() */
    uint32_t key; /* for the peer; that it is guessable goes without saying */
};

struct msgdev_ops {
    const char *name; /* "rdma" */
    /* Up to max completions. 0: the device is idle. */
    unsigned (*poll)(struct msgdev *d, struct msgdev_completion *out, unsigned max);
    /* Takes the first n' <= n requests; the rest is asked again in the next turn (the device's queue is full for
     * reasons of its own). What it takes and cannot do is reported. */
    unsigned (*post)(struct msgdev *d, const struct msgdev_request *in, unsigned n);

    /* The same of short ones, any number of them. */
    unsigned (*post_short)(struct msgdev *d, struct msgdev_short *in, unsigned n);

    /* Posts receives of the shared queue once more, as post() had them last: their words, of which each is 1 to
     * caps.shared_depth. Takes the first n' <= n, as post() does. */
    unsigned (*again)(struct msgdev *d, const uint32_t *words, unsigned n);

    /* A new end. local: NULL, or what it is bound to: port 0 is some free one. -EADDRINUSE, -EADDRNOTAVAIL, -ENODEV,
     * -EACCES, -ENOMEM, -EMFILE. */
    int (*make)(struct msgdev *d, uint64_t word, const struct sockaddr *local, socklen_t size, struct msgdev_end **out);
    /* REQUESTED from here on. Up to backlog requests wait in the device; more are refused to the peer. */
    int (*listen)(struct msgdev *d, struct msgdev_end *end, int backlog);
    int (*connect)(struct msgdev *d, struct msgdev_end *end, const struct sockaddr *peer, socklen_t size,
                   const struct msgdev_params *params);
    /* An error: the end is gone as by reject(). A peer that has vanished meanwhile is one of those, or a FAILED. */
    int (*accept)(struct msgdev *d, struct msgdev_end *end, uint64_t word, const struct msgdev_params *params);
    void (*reject)(struct msgdev *d, struct msgdev_end *end, const void *private_data, uint8_t private_len);
    /* Of a connection. What was not SENT yet is lost; afterwards nothing is. */
    void (*disconnect)(struct msgdev *d, struct msgdev_end *end);
    /* The library is done with the end, whatever its state: a connection is cut off, a listener's waiting requests are
     * refused. */
    void (*release)(struct msgdev *d, struct msgdev_end *end);
    /* Either may be NULL. family AF_UNSPEC: not known (any more). */
    void (*addresses)(struct msgdev *d, struct msgdev_end *end, struct sockaddr_storage *local,
                      struct sockaddr_storage *peer);

    /* The peers of all ends may write into [base, base + len), page-aligned, until take_back(). -ENOMEM, -EAGAIN... */
    int (*lend)(struct msgdev *d, void *base, size_t len, struct msgdev_lent *out);
    void (*take_back)(struct msgdev *d, struct msgdev_lent *lent);

    /* As those of struct netdev_ops: readable when poll() would give something, after arm(); -EAGAIN: it would already;
     * -EOPNOTSUPP: must be polled. */
    int (*fd)(struct msgdev *d);
    int (*arm)(struct msgdev *d);
    /* Ports up and down, the device gone and back: link. One that is GONE has reported BROKEN (with MSGDEV_GONE) for
     * each of its ends, and takes no new ones until it is back. why: WHY_SIZE bytes, empty. */
    void (*look)(struct msgdev *d, char *why);
    int (*news_fd)(struct msgdev *d);
    /* Every end is released and gone by then, or the library has given up waiting for it: whatever is left goes. */
    void (*close)(struct msgdev *d);
};

struct msgdev_counters {
    uint64_t sends, send_bytes, receives, receive_bytes, writes;
    uint64_t errors;      /* requests that failed, flushed ones left out */
    uint64_t flushed;     /* those */
    uint64_t post_full;   /* post() took fewer than it was given */
    uint64_t stale;       /* completions of ends that were no more */
    uint64_t map_refused; /* regions that could not be registered: what lies there is copied */
    uint64_t interrupts;  /* sleepers woken */
    uint64_t release_cut; /* ends destroyed before everything posted had come back */
};

struct msgdev { /* the first member of the device's own struct */
    const struct msgdev_ops *ops;
    struct msgdev_caps caps;
    struct msgdev_counters n;
    enum netdev_link link;
    int registry;                /* its number among the devices that know memory (alloc/registry.h) */
    char what[NETDEV_WHAT_SIZE]; /* for people: "rxe0 port 1 (RoCE)" */
};

/* What open() is given besides keys: how much of it the library means to use. */
struct msgdev_wants {
    uint32_t shared_depth; /* of the shared receive queue */
    uint16_t pieces_max, inline_max;
};

/* env->why says what is missing when it fails. env->get: "device" (its name; none: the one whose interface has the
 * address, or the only one), "address". Fewer than is wanted may be granted: caps. */
typedef int (*msgdev_open_fn)(const struct netdev_env *env, const struct msgdev_wants *wants, struct msgdev **out);

#endif
