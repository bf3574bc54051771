/* SPDX-License-Identifier: MIT
 *
 * See store.h: blocks of a controller of NVMe for programs that have nothing else to do than to wait for it.
 */
#include "alloc/base/assert.h"
#include "alloc/base/clock.h"
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

/* A controller that does not answer is reset, and declared dead in the end: so this ends. */
static int run_on_nvme(struct alog_store *s, const struct blockdev_request *r, unsigned n)
{
    struct nvme *v = ((struct alog_plain *)s)->nvme->v;
    const struct blockdev_ops *ops = v->base.ops;
    struct blockdev_completion done[BLOCKDEV_BURST];
    unsigned posted = 0, ended = 0, turns = 0;
    int err = 0;
    while (ended < n) {
        if (posted < n) posted += ops->post(&v->base, r + posted, n - posted);
        turn_on(v, turns++);
        for (unsigned k; (k = ops->poll(&v->base, done, BLOCKDEV_BURST)); ended += k, turns = 0)
            for (unsigned i = 0; i < k; i++)
                if (!err) err = -done[i].err;
    }
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
