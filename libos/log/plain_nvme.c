/* SPDX-License-Identifier: MIT
 *
 * See store.h: blocks of a controller of NVMe for programs that have nothing else to do than to wait for it.
 */
#include "alloc/base/clock.h"
#include "alloc/buf.h"
#include "libos/log/store.h"
#include "libos/nvme/devices.h"
#include "libos/nvme/nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SPINS 2000 /* turns before the thread sleeps for a moment between them */

struct alog_nvme {
    struct nvme *v;
    struct nvme_counters counters;
};

static void turn_on(struct nvme *v, unsigned turns)
{
    if (turns > SPINS) nanosleep(&(struct timespec){.tv_nsec = NVME_STEP_NS}, NULL);
    nvme_turn(v, clock_mono_ns());
}

/* One request of at most request_max. A controller that does not answer is reset, and declared dead in the end: so this
 * ends. */
static int run_piece(struct nvme *v, const struct blockdev_request *r)
{
    struct blockdev_completion done;
    unsigned turns = 0;
    while (!v->base.ops->post(&v->base, r, 1)) turn_on(v, turns++);
    while (!v->base.ops->poll(&v->base, &done, 1)) turn_on(v, turns++);
    return -done.err;
}

static int run_long(struct nvme *v, struct blockdev_request r)
{
    uint32_t most = v->base.caps.request_max, left = r.n;
    struct buf *whole = r.buf;
    int err = 0;
    for (uint32_t at = 0; left && !err; at += r.n, left -= r.n) {
        r.n = left < most ? left : most;
        r.buf = buf_slice(whole, at, r.n);
        if (!r.buf) return -ENOMEM;
        err = run_piece(v, &r);
        buf_unref(r.buf);
        r.at += r.n;
    }
    return err;
}

static int run_on_nvme(struct alog_store *s, const struct blockdev_request *r, unsigned n)
{
    struct nvme *v = ((struct alog_plain *)s)->nvme->v;
    int err = 0;
    for (; n && !err; n--, r++) err = r->n > v->base.caps.request_max ? run_long(v, *r) : run_piece(v, r);
    return err;
}

int alog_plain_open_nvme(struct alog_plain *p, const char *where, char *why)
{
    char address[NVME_ADDRESS_SIZE];
    struct nvme_port *port;
    uint32_t nsid;
    int err = nvme_split_where(where, address, &nsid, why);
    if (err) return err;
    struct alog_nvme *o = calloc(1, sizeof *o);
    if (!o) return -ENOMEM;
    err = nvme_port_open(address, &port, why);
    if (err) goto free_it;
    err = nvme_new(&o->v, port, nsid, address, &o->counters, clock_mono_ns(), why);
    if (err) {
        port->ops->close(port);
        goto free_it;
    }
    for (unsigned i = 0; o->v->state < NVME_LIVE; i++) turn_on(o->v, i);
    if (o->v->state == NVME_LIVE) {
        const struct blockdev_caps *caps = &o->v->base.caps;
        *p = (struct alog_plain){.fd = -1, .nvme = o};
        p->store = (struct alog_store){.run = run_on_nvme, .request_max = caps->request_max, .may_wait = true};
        p->store.size = caps->size & ~(uint64_t)(ALOG_BLOCK - 1);
        if (caps->block <= ALOG_BLOCK && caps->request_max >= ALOG_BLOCK) return 0;
        err = -EINVAL;
    } else {
        err = -o->v->error;
        memcpy(why, o->v->why, NVME_WHY_SIZE);
    }
    p->nvme = NULL;
    nvme_free(o->v);
free_it:
    free(o);
    return err;
}

void alog_plain_close_nvme(struct alog_plain *p)
{
    struct nvme *v = p->nvme->v;
    nvme_shut(v);
    for (unsigned i = 0; v->state < NVME_OFF; i++) turn_on(v, i);
    nvme_free(v);
    free(p->nvme);
    p->nvme = NULL;
}
