/* SPDX-License-Identifier: MIT
 *
 * The double (double.h): its controls, devices and memory. Queues are in double_qp.c, connections in double_cm.c.
 */
#include "tests/rdma/double_parts.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct dbl_ctx dbl_devices[2];

static pthread_mutex_t lock;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *fail_name;
static unsigned fail_nth, live_count;
static int fail_err;
static bool failed;

void dbl_wrong(const char *what)
{
    fprintf(stderr, "double of verbs: %s\n", what);
    abort();
}

void dbl_count_object(int by) { live_count += (unsigned)by; }

void dbl_raise(int fd)
{
    const uint64_t one = 1;
    if (write(fd, &one, sizeof one) < 0) dbl_wrong("eventfd");
}

void dbl_calm(int fd)
{
    uint64_t n;
    if (read(fd, &n, sizeof n) < 0 && errno != EAGAIN) dbl_wrong("eventfd");
}

bool dbl_fails(const char *name)
{
    if (!fail_name || strcmp(name, fail_name) || --fail_nth) return false;
    fail_name = NULL;
    failed = true;
    errno = fail_err;
    return true;
}

static void make_devices(void)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&lock, &attr);
    for (unsigned i = 0; i < 2; i++) {
        struct dbl_ctx *c = &dbl_devices[i];
        c->is_iwarp = i == 1;
        c->is_up = true;
        snprintf(c->device.name, sizeof c->device.name, "%s", i ? "double_siw0" : "double_rxe0");
        c->device.transport_type = i ? IBV_TRANSPORT_IWARP : IBV_TRANSPORT_IB;
        c->ctx.device = &c->device;
        c->ctx.async_fd = eventfd(0, EFD_CLOEXEC);
        dbl_qp_ops(&c->ctx);
    }
}

void dbl_lock(void)
{
    pthread_once(&once, make_devices);
    pthread_mutex_lock(&lock);
}
void dbl_unlock(void) { pthread_mutex_unlock(&lock); }

/* --- devices --- */

struct ibv_context **rdma_get_devices(int *n)
{
    dbl_lock();
    struct ibv_context **all = dbl_fails("rdma_get_devices") ? NULL : calloc(3, sizeof *all);
    if (all) {
        all[0] = &dbl_devices[0].ctx;
        all[1] = &dbl_devices[1].ctx;
    }
    *n = all ? 2 : 0;
    dbl_unlock();
    return all;
}
void rdma_free_devices(struct ibv_context **list) { free(list); }

const char *ibv_get_device_name(struct ibv_device *device) { return device->name; }

int ibv_query_device(struct ibv_context *ctx, struct ibv_device_attr *attr)
{
    if (dbl_fails("ibv_query_device")) return errno;
    const bool is_iwarp = ((struct dbl_ctx *)ctx)->is_iwarp;
    *attr = (struct ibv_device_attr){
        .max_qp = 4096,
        .max_qp_wr = 32768,
        .max_sge = is_iwarp ? 6 : 32,
        .max_cqe = is_iwarp ? 3276800 : 32767,
        .max_srq = 64,
        .max_srq_wr = 32768,
    };
    return 0;
}

#undef ibv_query_port
int ibv_query_port(struct ibv_context *ctx, uint8_t port, struct _compat_ibv_port_attr *compat)
{
    if (dbl_fails("ibv_query_port")) return errno;
    const struct dbl_ctx *c = (const struct dbl_ctx *)ctx;
    struct ibv_port_attr *attr = (struct ibv_port_attr *)compat;
    attr->state = c->is_up ? IBV_PORT_ACTIVE : IBV_PORT_DOWN;
    attr->max_msg_sz = 8u << 20;
    attr->link_layer = IBV_LINK_LAYER_ETHERNET;
    return port == 1 ? 0 : EINVAL;
}

void dbl_async(struct dbl_ctx *dev, const struct ibv_async_event *e)
{
    if (dev->event_count == 64) dbl_wrong("nobody takes asynchronous events");
    dev->events[dev->event_count++] = *e;
    dbl_raise(dev->ctx.async_fd);
}

int ibv_get_async_event(struct ibv_context *ctx, struct ibv_async_event *e)
{
    struct dbl_ctx *c = (struct dbl_ctx *)ctx;
    int err = -1;
    dbl_lock();
    errno = EAGAIN;
    if (c->event_count) {
        *e = c->events[0];
        memmove(c->events, c->events + 1, --c->event_count * sizeof *c->events);
        c->async_got++;
        if (!c->event_count) dbl_calm(ctx->async_fd);
        err = 0;
    }
    dbl_unlock();
    return err;
}

void ibv_ack_async_event(struct ibv_async_event *e)
{
    dbl_lock();
    struct dbl_ctx *c = &dbl_devices[dbl_devices[0].async_got ? 0 : 1];
    if (!c->async_got) dbl_wrong("an asynchronous event acknowledged twice");
    c->async_got--;
    dbl_unlock();
}

/* --- memory --- */

struct dbl_pd {
    struct ibv_pd pd;
    unsigned users;
};
struct dbl_mr {
    struct ibv_mr mr;
    struct list all;
    int access;
};
static struct list regions = {&regions, &regions};
static uint32_t next_key = 0x1000;

struct ibv_pd *ibv_alloc_pd(struct ibv_context *ctx)
{
    if (dbl_fails("ibv_alloc_pd")) return NULL;
    struct dbl_pd *pd = calloc(1, sizeof *pd);
    pd->pd.context = ctx;
    dbl_count_object(1);
    return &pd->pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
    dbl_lock();
    for (struct list *l = regions.next; l != &regions; l = l->next)
        if (container_of(l, struct dbl_mr, all)->mr.pd == pd)
            dbl_wrong("a protection domain goes, a region of it stays");
    free(pd);
    dbl_count_object(-1);
    dbl_unlock();
    return 0;
}

#undef ibv_reg_mr
struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t len, int access)
{
    struct dbl_mr *m = NULL;
    dbl_lock();
    if (access & IBV_ACCESS_REMOTE_WRITE && !(access & IBV_ACCESS_LOCAL_WRITE)) errno = EINVAL;
    else if (!dbl_fails("ibv_reg_mr")) m = calloc(1, sizeof *m);
    if (m) {
        m->mr = (struct ibv_mr){.context = pd->context, .pd = pd, .addr = addr, .length = len};
        m->mr.lkey = m->mr.rkey = next_key += 0x11;
        m->access = access;
        list_push_back(&regions, &m->all);
        dbl_count_object(1);
    }
    dbl_unlock();
    return m ? &m->mr : NULL;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t len, uint64_t iova, unsigned access)
{
    return ibv_reg_mr(pd, addr, len, (int)access);
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
    dbl_lock();
    list_remove(&container_of(mr, struct dbl_mr, mr)->all);
    free(mr);
    dbl_count_object(-1);
    dbl_unlock();
    return 0;
}

bool dbl_covers(struct ibv_pd *pd, uint32_t key, uint64_t addr, uint64_t len, int access)
{
    for (struct list *l = regions.next; l != &regions; l = l->next) {
        const struct dbl_mr *m = container_of(l, struct dbl_mr, all);
        const uint64_t base = (uintptr_t)m->mr.addr;
        if (m->mr.lkey == key && m->mr.pd == pd && (m->access & access) == access && addr >= base &&
            addr + len <= base + m->mr.length)
            return true;
    }
    return false;
}

/* --- controls --- */

static void control_fail(const char *name, unsigned nth, int err)
{
    dbl_lock();
    fail_name = name;
    fail_nth = nth;
    fail_err = err;
    failed = false;
    dbl_unlock();
}
static bool control_has_failed(void) { return failed; }

static void control_port(bool up)
{
    dbl_lock();
    for (int i = 0; i < 2; i++) {
        dbl_devices[i].is_up = up;
        dbl_async(&dbl_devices[i],
                  &(struct ibv_async_event){.event_type = up ? IBV_EVENT_PORT_ACTIVE : IBV_EVENT_PORT_ERR});
    }
    dbl_unlock();
}
static unsigned control_live(void) { return live_count; }

DOUBLE_EXPORT const struct double_controls *double_controls(void)
{
    static const struct double_controls controls = {
        .fail_call = control_fail,
        .has_failed = control_has_failed,
        .next_status = dbl_next_status,
        .hold = dbl_hold,
        .event = dbl_event,
        .port = control_port,
        .remove = dbl_cm_remove,
        .live = control_live,
        .notified = dbl_notified,
        .rnr_timer = dbl_rnr_timer,
    };
    return &controls;
}
