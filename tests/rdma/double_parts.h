/* SPDX-License-Identifier: MIT
 *
 * The inside of the double (double.h): what its three files see of each other. All state stands under one lock, taken
 * by whatever the plug-in calls.
 */
#ifndef TESTS_RDMA_DOUBLE_PARTS_H
#define TESTS_RDMA_DOUBLE_PARTS_H

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include "alloc/base/list.h"
#include "tests/rdma/double.h"

#define DOUBLE_EXPORT __attribute__((visibility("default")))

struct dbl_ctx {
    struct ibv_context ctx; /* first */
    struct ibv_device device;
    bool is_iwarp, is_up;
    unsigned async_got;
    unsigned event_count;
    struct ibv_async_event events[64];
};
extern struct dbl_ctx dbl_devices[2];

struct dbl_cq {
    struct ibv_cq cq; /* first */
    struct ibv_wc *ring;
    unsigned at, count, size;
    bool armed, is_broken;
    unsigned events_given, events_acked; /* of the channel's */
    unsigned users;
};

struct dbl_recv {
    uint64_t wr_id;
    struct ibv_sge sge;
    bool has_sge;
};
struct dbl_recv_queue {
    struct dbl_recv *ring;
    unsigned at, count, size;
};
struct dbl_srq {
    struct ibv_srq srq; /* first */
    struct dbl_recv_queue q;
    unsigned users;
};

#define DBL_SGES 32
struct dbl_send {
    struct ibv_send_wr wr;
    struct ibv_sge sges[DBL_SGES];
    uint8_t *inlined; /* its bytes */
    uint32_t inlined_len;
};

struct dbl_qp {
    struct ibv_qp qp; /* first */
    struct list all;
    struct dbl_ctx *dev;
    struct dbl_qp *peer;
    struct dbl_cq *cq;
    struct dbl_srq *srq;
    struct dbl_recv_queue recvs;
    struct dbl_send *sends;
    unsigned at, count, size;  /* requests that are not carried out yet */
    unsigned unreported, used; /* slots: carried out unsignalled; all that are not free */
    unsigned sge_max, inline_max, rnr_timer;
    bool is_connected, is_error;
    struct rdma_cm_id *id;
};

void dbl_lock(void);
void dbl_unlock(void);
_Noreturn void dbl_wrong(const char *what);
bool dbl_fails(const char *name); /* and errno is set */
void dbl_count_object(int by);
void dbl_raise(int fd);
void dbl_calm(int fd);

const struct double_controls *double_controls(void);
bool dbl_covers(struct ibv_pd *pd, uint32_t key, uint64_t addr, uint64_t len, int access);

/* double_qp.c */
void dbl_next_status(int status);
void dbl_hold(bool on);
void dbl_event(int type);
unsigned dbl_notified(void);
unsigned dbl_rnr_timer(void);
void dbl_qp_ops(struct ibv_context *ctx);
struct dbl_qp *dbl_qp_new(struct ibv_pd *pd, struct ibv_qp_init_attr *attr);
void dbl_qp_free(struct dbl_qp *qp);
void dbl_qp_error(struct dbl_qp *qp);
void dbl_qp_progress(struct dbl_qp *qp);
void dbl_async(struct dbl_ctx *dev, const struct ibv_async_event *e);
/* double_cm.c */
void dbl_cm_torn(struct dbl_qp *qp); /* iWARP has ended the connection */
void dbl_cm_remove(void);

#endif
