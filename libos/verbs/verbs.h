/* SPDX-License-Identifier: MIT
 *
 * The inside of the RDMA device: libibverbs and rdma_cm behind the ops of libos/msgdev.h. One struct verbs_dev is one
 * thread's use of one RDMA device: a protection domain, a completion queue with its channel, a shared receive queue and
 * an event channel of rdma_cm of its own. Only the device's context belongs to the process (librdmacm has it), and with
 * it the descriptor of asynchronous events (life.c).
 *
 * An end's states, and who moves between them (end.c: the library's calls; cm.c: what rdma_cm tells; release.c):
 *
 *     NEW -----listen---> LISTENING
 *      '-connect-> RESOLVING -cm-> ROUTING -cm-> CONNECTING -cm-.
 *     REQUESTED --accept--------------------> ACCEPTING ----cm--+-> UP --cm--> DOWN
 *                                     failure of any of these --'------------> DOWN
 *     any --release--> DRAINING -(queue pair is empty, or time is up)-> GONE, told, freed
 *
 * What is to be told of an end is a bit in `news`, so that nothing is allocated for it and it is told once. It is told
 * behind all completions that were in the queue when it was learnt (poll.c).
 */
#ifndef LIBOS_VERBS_H
#define LIBOS_VERBS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "alloc/base/list.h"
#include "libos/border.h"

#define VERBS_PRIVATE_SIZE 256 /* of rdma_cm: its length is a byte */
#define VERBS_FAILED_MAX   64  /* requests that could not be posted, until they are told */
#define VERBS_ACK_BATCH    32  /* completion events that are acknowledged together */

/* rdma_cm's and the queue pair's settings (facts: libos/verbs/README.md). */
#define VERBS_RETRIES       6  /* of the transport; 7 is for ever with rxe */
#define VERBS_RNR_RETRIES   7  /* for ever: credits bound what is out */
#define VERBS_RNR_TIMER     12 /* 0.64 ms; left alone it is 655 ms */
#define VERBS_RESOLVE_MS    2000
#define VERBS_DRAIN_MS      1500 /* of the MSGDEV_RELEASE_MS that the library is promised */
#define VERBS_DRAIN_TICK_MS 10

/* A work request's id is the library's word. A failed completion does not say what it was of (only wr_id, status,
 * qp_num and vendor_err are valid then), so the top bit, which words leave clear, marks what is sent. Words are not 0:
 * that marks the end of a queue that is emptied. */
#define VERBS_SENT (UINT64_C(1) << 63)

enum end_state {
    END_NEW,
    END_LISTENING,
    END_RESOLVING,
    END_ROUTING,
    END_CONNECTING,
    END_REQUESTED,
    END_ACCEPTING,
    END_UP,
    END_DOWN,
    END_DRAINING,
    END_GONE,
};

/* In this order they are told. */
enum end_news {
    NEWS_REQUESTED = 1 << 0,
    NEWS_ESTABLISHED = 1 << 1,
    NEWS_FAILED = 1 << 2,
    NEWS_BROKEN = 1 << 3,
    NEWS_DISCONNECTED = 1 << 4,
    NEWS_RELEASED = 1 << 5,
};

struct msgdev_end {
    struct verbs_dev *dev;
    uint64_t word;
    struct rdma_cm_id *id;
    struct ibv_qp *qp; /* the id's, once there is one */
    uint8_t state;     /* enum end_state */
    uint8_t news;      /* enum end_news: to be told */
    uint8_t told;      /* those that were, or will not be */
    uint8_t status;    /* enum msgdev_status, of FAILED and BROKEN */
    uint8_t private_len;
    bool send_drained, recv_drained;
    bool own_receives;     /* not the shared queue's */
    _Atomic bool is_fatal; /* an asynchronous event said so, perhaps to another thread */
    int32_t err;
    uint32_t send_depth, recv_depth;
    uint64_t news_after;               /* the device's count of completions at which news may be told at the latest */
    uint64_t earliest_ns, deadline_ns; /* DRAINING: when it may be destroyed, if it is empty; if it is not */
    struct msgdev_end *listener;       /* REQUESTED and not told yet */
    uint32_t waiting, backlog;         /* LISTENING */
    struct list all;                   /* in verbs_dev.ends */
    struct list link;                  /* in verbs_dev.news, if there are any */
    struct list draining;              /* in verbs_dev.draining */
    struct ibv_recv_wr *receives;      /* connect(): to be posted when there are queues; each has one sge behind them */
    uint32_t receive_count;
    uint8_t private_data[VERBS_PRIVATE_SIZE]; /* ours until the peer's has come */
};

/* A receive of the shared queue as it was posted last, ready to be posted again. */
struct shared_receive {
    struct ibv_recv_wr wr;
    struct ibv_sge sge;
} __attribute__((aligned(64)));

struct failed_request {
    uint64_t word, of;
    int32_t err;
    uint8_t event, status;
};

#define SLOT_MUTE UINT32_MAX /* numbers have 24 bits */
struct end_slot {
    uint32_t live; /* qp_num too, as long as the end is not let go of; else SLOT_MUTE: nothing of it is told any more */
    uint32_t qp_num;
    struct msgdev_end *end; /* NULL: free */
    uint64_t of;            /* its word */
};

struct verbs_dev {
    struct msgdev dev; /* first */
    /* What a poll looks at. */
    struct ibv_cq *cq;
    struct end_slot *slots; /* by the number of the queue pair: open addressing, at most half full */
    uint32_t slot_mask;
    uint32_t end_count; /* in slots */
    struct ibv_srq *srq;
    struct shared_receive *shared; /* by their words, 1 to shared_depth */
    struct ibv_send_wr one;        /* a request alone in its queue: what all such have in common stays in it */
    struct ibv_sge one_piece;
    struct ibv_send_wr brief; /* the same of short messages: its flags and number stay, too */
    struct ibv_sge brief_piece;
    uint32_t stash_at, stash_count; /* completions that arm() found */
    uint32_t idle_polls;            /* in a row; rdma_cm is asked every now and then, since that is a system call */
    bool look_at_cm;
    bool draining_now;
    struct list news, draining;
    uint64_t polled; /* completions, since the beginning */
    /* The rest. */
    struct ibv_context *ctx;
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct rdma_event_channel *events;
    struct list ends, dead;
    uint32_t cq_size, cq_used, cq_max;
    uint32_t shared_depth, inline_max, pieces_max;
    uint32_t unacked;
    uint32_t failed_at, failed_count;
    struct failed_request failed[VERBS_FAILED_MAX]; /* a ring */
    int epoll_fd, timer_fd;
    uint8_t port;
    bool is_iwarp;
    bool is_armed;
    _Atomic bool port_news, is_fatal; /* by whichever thread has read the event */
    _Atomic uint64_t map_refused;
    _Atomic int map_err;    /* the first refusal's, until look() has told */
    struct list of_process; /* life.c */
    struct ibv_wc stash[MSGDEV_BURST];
};

extern const struct msgdev_host *verbs_host;
extern const struct msgdev_ops verbs_ops;

static inline struct verbs_dev *verbs_of(struct msgdev *d) { return (struct verbs_dev *)d; }

/* --- open.c --- */
int verbs_open(const struct netdev_env *env, const struct msgdev_wants *wants, struct msgdev **out);
void verbs_close(struct msgdev *d);

/* --- memory.c --- */
extern const struct region_registrar verbs_registrar;
int verbs_lend(struct msgdev *d, void *base, size_t len, struct msgdev_lent *out);
void verbs_take_back(struct msgdev *d, struct msgdev_lent *lent);
/* In one line: how much memory may be locked, and how that is changed. */
void verbs_memlock_remedy(char *out, size_t size);

/* --- table.c: ends by the number of their queue pair --- */
static inline struct msgdev_end *table_find(const struct verbs_dev *d, uint32_t qp_num)
{
    for (uint32_t i = qp_num & d->slot_mask;; i = (i + 1) & d->slot_mask) {
        if (d->slots[i].qp_num == qp_num && d->slots[i].end) return d->slots[i].end;
        if (!d->slots[i].end) return NULL;
    }
}
int table_add(struct verbs_dev *d, struct msgdev_end *end);
void table_silence(struct verbs_dev *d, struct msgdev_end *end);
void table_remove(struct verbs_dev *d, struct msgdev_end *end);

/* --- end.c --- */
int verbs_make(struct msgdev *d, uint64_t word, const struct sockaddr *local, socklen_t size, struct msgdev_end **out);
int verbs_listen(struct msgdev *d, struct msgdev_end *end, int backlog);
int verbs_connect(struct msgdev *d, struct msgdev_end *end, const struct sockaddr *peer, socklen_t size,
                  const struct msgdev_params *params);
int verbs_accept(struct msgdev *d, struct msgdev_end *end, uint64_t word, const struct msgdev_params *params);
void verbs_reject(struct msgdev *d, struct msgdev_end *end, const void *private_data, uint8_t private_len);
void verbs_disconnect(struct msgdev *d, struct msgdev_end *end);
void verbs_addresses(struct msgdev *d, struct msgdev_end *end, struct sockaddr_storage *local,
                     struct sockaddr_storage *peer);
/* An end around an id of rdma_cm's. NULL: no memory. */
struct msgdev_end *end_new(struct verbs_dev *d, struct rdma_cm_id *id, uint64_t word);
/* Destroys queue pair and id; the memory goes at the next poll, since what was told of it may point there. */
void end_destroy(struct msgdev_end *end);
/* Queues as the end's depths say, and what was to be received. -errno: nothing is left of them. */
int end_make_queues(struct msgdev_end *end);
/* What connect() and accept() tell rdma_cm. */
struct rdma_conn_param end_conn_param(const struct msgdev_end *end, const void *private_data, uint8_t private_len);
/* The timer of a peer that has no receive: as short as it is useful. */
void end_set_rnr_timer(struct msgdev_end *end);
/* To be told once. FAILED and BROKEN with why. */
void end_tell(struct msgdev_end *end, enum end_news news);
void end_fail(struct msgdev_end *end, enum msgdev_status status, int err);
void end_break(struct msgdev_end *end, enum msgdev_status status, int err);

/* --- cm.c --- */
void cm_take_events(struct verbs_dev *d);

/* --- release.c --- */
void verbs_release(struct msgdev *d, struct msgdev_end *end);
/* Those whose queues are empty, or whose time is up, go. The completion queue has just been seen empty. */
void release_step(struct verbs_dev *d);

/* --- post.c --- */
unsigned verbs_post(struct msgdev *d, const struct msgdev_request *in, unsigned n);
unsigned verbs_post_short(struct msgdev *d, struct msgdev_short *in, unsigned n);
unsigned verbs_again(struct msgdev *d, const uint32_t *words, unsigned n);

/* --- poll.c --- */
unsigned verbs_poll(struct msgdev *d, struct msgdev_completion *out, unsigned max);
int verbs_fd(struct msgdev *d);
int verbs_arm(struct msgdev *d);

/* --- life.c --- */
void life_add(struct verbs_dev *d);
void life_remove(struct verbs_dev *d);
/* The device has gone: every end is told. */
void life_gone(struct verbs_dev *d);
void verbs_look(struct msgdev *d, char *why);
int verbs_news_fd(struct msgdev *d);

#endif
