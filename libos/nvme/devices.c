/* SPDX-License-Identifier: MIT
 *
 * See devices.h.
 *
 * Sleeping without a race. The controller interrupts for each completion, and VFIO writes the eventfd that the runtime
 * watches; nothing switches that on or off. So whatever is completed after arm() has looked at the queue makes the
 * descriptor readable, and ends the sleep. It is watched by its edges and never read.
 */
#include "libos/nvme/devices.h"

#include "alloc/base/assert.h"
#include "alloc/base/log.h"
#include "libos/inet/owner.h"
#include "libos/nvme/nvme.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define STOP_NS ((uint64_t)5000000000) /* that a runtime's end waits for a shutdown */

struct nvme_libos {
    struct libos base;
    struct list devices;
    uint64_t open;
    struct nvme_counters counters;
};

struct nvme_device {
    struct list link; /* in nvme_libos.devices */
    struct nvme_libos *home;
    struct nvme *v;
    struct op *op; /* of its opening, or closing */
    bool closing;
    char *why; /* the opener's */
    struct fd_watch watch;
    char owned[32]; /* "pci/0000:01:00.0", as libos/dpdk calls it */
};

static int nvme_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct nvme_libos *l = calloc(1, sizeof *l);
    if (!l) return -ENOMEM;
    list_init(&l->devices);
    struct nvme_counters *c = &l->counters;
    const struct counter all[] = {
        {"nvme.devices", &l->open},
        {"nvme.reads", &c->reads},
        {"nvme.writes", &c->writes},
        {"nvme.flushes", &c->flushes},
        {"nvme.deallocates", &c->deallocates},
        {"nvme.read_bytes", &c->read_bytes},
        {"nvme.write_bytes", &c->write_bytes},
        {"nvme.errors", &c->errors},
        {"nvme.retries", &c->retries},
        {"nvme.bounced", &c->bounced},
        {"nvme.timeouts", &c->timeouts},
        {"nvme.aborts", &c->aborts},
        {"nvme.resets", &c->resets},
        {"nvme.lies", &c->lies},
        {"nvme.events", &c->events},
        {"nvme.gone", &c->gone},
        {"nvme.unclean", &c->unclean},
        {"nvme.cache_lost", &c->cache_lost},
        {"nvme.interrupts", &c->interrupts},
    };
    int err = counters_add_all(&rt->counters, all, sizeof all / sizeof *all);
    if (err) {
        counters_remove(&rt->counters, l, sizeof *l);
        free(l);
        return err;
    }
    *out = &l->base;
    return 0;
}

/* --- a device's beginning and end --------------------------------------------------------------------------------- */

static void device_free(struct nvme_device *d)
{
    struct runtime *rt = d->home->base.rt;
    if (d->watch.fd >= 0) runtime_unwatch(rt, &d->watch);
    if (d->v) nvme_free(d->v);
    if (d->owned[0]) owner_give(d->owned);
    list_remove(&d->link);
    d->home->open--;
    free(d);
}

static void on_interrupt(struct fd_watch *w, uint32_t events)
{
    nvme_interrupted(container_of(w, struct nvme_device, watch)->v);
}

int nvme_split_where(const char *where, char address[NVME_ADDRESS_SIZE], uint32_t *nsid, char *why)
{
    const char *slash = strchr(where, '/');
    size_t n = slash ? (size_t)(slash - where) : strlen(where);
    char *end = NULL;
    unsigned long number = 1;
    errno = 0;
    if (slash) number = strtoul(slash + 1, &end, 10);
    if (n && n < NVME_ADDRESS_SIZE && (!slash || (slash[1] >= '0' && slash[1] <= '9' && !*end && !errno)) &&
        number > 0 && number < UINT32_MAX) {
        snprintf(address, NVME_ADDRESS_SIZE, "%.*s", (int)n, where);
        *nsid = (uint32_t)number;
        return 0;
    }
    snprintf(why, NVME_WHY_SIZE, "\"%.60s\" is not ADDRESS or ADDRESS/NAMESPACE, as 0000:01:00.0/1", where);
    return -EINVAL;
}

static int take_owner(struct nvme_device *d, const char *address, char *why)
{
    char who[OWNER_WHO_SIZE], name[sizeof d->owned];
    snprintf(name, sizeof name, "pci/%s", address);
    int err = owner_take(name, who, sizeof who);
    if (!err) strcpy(d->owned, name);
    else if (err == -EADDRINUSE) {
        snprintf(why, NVME_WHY_SIZE, "it is in use by %s", who);
        err = -EBUSY;
    }
    return err;
}

static int device_begin(struct nvme_device *d, const char *address, uint32_t nsid, char *why)
{
    struct runtime *rt = d->home->base.rt;
    struct nvme_port *port;
    int err = take_owner(d, address, why);
    if (!err) err = nvme_port_open(address, &port, why);
    if (err) return err;
    err = nvme_new(&d->v, port, nsid, address, &d->home->counters, rt->now, why);
    if (err) {
        port->ops->close(port);
        return err;
    }
    if (port->event_fd < 0) return 0;
    d->watch = (struct fd_watch){.fn = on_interrupt, .fd = port->event_fd};
    err = runtime_watch(rt, &d->watch, EPOLLIN | EPOLLET);
    if (err) d->watch.fd = -1;
    return err;
}

int nvme_open(struct libos *base, const char *where, struct op *op, struct nvme_device **out, char *why)
{
    struct nvme_libos *l = (struct nvme_libos *)base;
    char address[NVME_ADDRESS_SIZE];
    uint32_t nsid;
    why[0] = 0;
    int err = nvme_split_where(where, address, &nsid, why);
    if (err) return err;
    struct nvme_device *d = calloc(1, sizeof *d);
    if (!d) return -ENOMEM;
    d->home = l;
    d->watch.fd = -1;
    list_push_back(&l->devices, &d->link);
    l->open++;
    err = device_begin(d, address, nsid, why);
    if (err) {
        device_free(d);
        return err;
    }
    d->op = op;
    d->why = why;
    *out = d;
    return 0;
}

struct blockdev *nvme_blockdev(const struct nvme_device *d) { return &d->v->base; }

void nvme_close(struct nvme_device *d, struct op *op)
{
    ASSERT(!d->op && !d->closing);
    d->op = op;
    d->closing = true;
    nvme_shut(d->v);
}

static void tell_open(const struct nvme *v)
{
    const struct nvme_facts *f = &v->facts;
    log_notice(
        NULL,
        "nvme %s: %s, serial %s: namespace %u has %llu MiB in blocks of %u, %s, %u bytes whole after a power cut, %s",
        v->name, f->model, f->serial, v->nsid, (unsigned long long)(f->size >> 20), f->block,
        f->volatile_cache ? "a volatile cache" : "no volatile cache", f->atomic_max,
        v->port->event_fd >= 0 ? "interrupts" : "no interrupts: it is polled");
}

/* What waits for a state that is there now. */
static void look_at_state(struct nvme_device *d)
{
    struct op_table *ops = &d->home->base.rt->ops;
    struct op *op = d->op;
    const struct nvme *v = d->v;
    if (!d->closing && v->state == NVME_LIVE) {
        d->op = NULL;
        tell_open(v);
        op_complete_plain(ops, op, 0);
    } else if (!d->closing && v->state == NVME_DEAD) {
        d->op = NULL;
        memcpy(d->why, v->why, NVME_WHY_SIZE);
        op_fail(ops, op, v->error);
    } else if (d->closing && v->state >= NVME_OFF) {
        int err = v->state == NVME_DEAD ? v->error : 0;
        device_free(d);
        if (err) op_fail(ops, op, err);
        else op_complete_plain(ops, op, 0);
    }
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

static unsigned nvme_poll_all(struct libos *base)
{
    struct nvme_libos *l = (struct nvme_libos *)base;
    unsigned n = 0;
    list_for_each_safe(it, &l->devices)
    {
        struct nvme_device *d = list_entry(it, struct nvme_device, link);
        n += nvme_turn(d->v, base->rt->now);
        if (d->v->done_count && d->v->base.news) d->v->base.news(d->v->base.arg);
        if (unlikely(d->op != NULL)) look_at_state(d);
    }
    return n;
}

static uint64_t nvme_next_deadline(struct libos *base)
{
    uint64_t at = UINT64_MAX;
    list_for_each(it, &((struct nvme_libos *)base)->devices)
    {
        const struct nvme_device *d = list_entry(it, struct nvme_device, link);
        uint64_t due = d->op && d->v->state >= NVME_OFF ? 0 : nvme_deadline(d->v);
        if (due < at) at = due;
    }
    return at;
}

static int nvme_arm(struct libos *base)
{
    list_for_each(it, &((struct nvme_libos *)base)->devices)
    {
        const struct nvme *v = list_entry(it, struct nvme_device, link)->v;
        if (v->state != NVME_LIVE || !v->busy_count) continue; /* by deadlines */
        if (v->port->event_fd < 0) return -EOPNOTSUPP;
        if (nvme_ring_has_news(&v->io)) return -EAGAIN;
    }
    return 0;
}

static uint64_t nvme_undrained(struct libos *base)
{
    uint64_t left = 0;
    list_for_each(it, &((struct nvme_libos *)base)->devices) left += list_entry(it, struct nvme_device, link)->closing;
    return left;
}

/* Whoever had it is not there to close it; or it is closing still. */
static void shut_now(struct nvme_device *d)
{
    struct runtime *rt = d->home->base.rt;
    struct nvme *v = d->v;
    if (!d->closing && !v->busy_count) nvme_shut(v);
    uint64_t now = rt->time.now_ns(rt->time.arg), end = now + STOP_NS;
    while (!v->busy_count && v->state < NVME_OFF && now < end) {
        nvme_turn(v, now);
        nanosleep(&(struct timespec){.tv_nsec = NVME_STEP_NS}, NULL);
        now = rt->time.now_ns(rt->time.arg);
    }
    if (v->state < NVME_OFF) v->counters->unclean++;
}

static void nvme_stop_all(struct libos *base)
{
    struct nvme_libos *l = (struct nvme_libos *)base;
    list_for_each_safe(it, &l->devices)
    {
        struct nvme_device *d = list_entry(it, struct nvme_device, link);
        shut_now(d);
        device_free(d);
    }
    counters_remove(&base->rt->counters, l, sizeof *l);
    free(l);
}

static void nvme_forget(struct libos *base)
{
    list_for_each(it, &((struct nvme_libos *)base)->devices)
    {
        struct nvme_port *port = list_entry(it, struct nvme_device, link)->v->port;
        port->ops->forget(port);
    }
}

const struct libos_ops nvme_libos_ops = {
    .name = "nvme",
    .start = nvme_start,
    .stop = nvme_stop_all,
    .forget = nvme_forget,
    .poll = nvme_poll_all,
    .next_deadline = nvme_next_deadline,
    .arm = nvme_arm,
    .undrained = nvme_undrained,
};
