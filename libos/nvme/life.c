/* SPDX-License-Identifier: MIT
 *
 * See nvme.h: a controller from its reset to its shutdown (7.6.1, 7.6.2).
 */
#include "libos/nvme/nvme.h"

#include "alloc/base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- memory ------------------------------------------------------------------------------------------------------- */

static int map_region(void *dev, void *base, size_t len, void **cookie)
{
    struct nvme *v = dev;
    uint64_t iova;
    int err = v->port->ops->map(v->port, base, len, &iova);
    if (err) return err;
    *cookie = (void *)(uintptr_t)(iova - (uintptr_t)base);
    if (*cookie) return 0;
    v->port->ops->unmap(v->port, base, len, iova); /* it would read as "not there" */
    return -EADDRINUSE;
}

static void unmap_region(void *dev, void *base, size_t len, void *cookie)
{
    struct nvme *v = dev;
    v->port->ops->unmap(v->port, base, len, (uintptr_t)base + (uintptr_t)cookie);
}

static const struct region_registrar registrar = {.map = map_region, .unmap = unmap_region, .pins_pages = true};

/* A forked child has none of it: what it wrote there the controller would not see, nor should it. */
static int new_memory(struct nvme *v, char *why)
{
    void *p = mmap(NULL, sizeof *v->memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) return -ENOMEM;
    madvise(p, sizeof *v->memory, MADV_DONTFORK);
    int err = v->port->ops->map(v->port, p, sizeof *v->memory, &v->iova);
    if (err) {
        munmap(p, sizeof *v->memory);
        snprintf(why, NVME_WHY_SIZE, "its queues' memory cannot be mapped: %s%s", strerror(-err),
                 err == -ENOMEM ? " (ulimit -l?)" : "");
        return err;
    }
    v->memory = p;
    return 0;
}

/* --- queues ------------------------------------------------------------------------------------------------------- */

static volatile uint32_t *doorbell(const struct nvme *v, unsigned number)
{
    return (volatile uint32_t *)(v->port->bar + NVME_DOORBELLS + (size_t)number * (4u << nvme_cap_dstrd(v->cap)));
}

static void begin_rings(struct nvme *v)
{
    struct nvme_memory *m = v->memory;
    uint32_t size = nvme_cap_mqes(v->cap);
    while (size & (size - 1)) size &= size - 1;
    if (size > NVME_RING_SIZE) size = NVME_RING_SIZE;
    memset(m->admin_cq, 0, sizeof m->admin_cq);
    memset(m->io_cq, 0, sizeof m->io_cq);
    v->admin = (struct nvme_ring){.sq = m->admin_sq,
                                  .cq = m->admin_cq,
                                  .sq_doorbell = doorbell(v, 0),
                                  .cq_doorbell = doorbell(v, 1),
                                  .mask = NVME_ADMIN_SIZE - 1,
                                  .phase = 1};
    v->io = (struct nvme_ring){.sq = m->io_sq,
                               .cq = m->io_cq,
                               .sq_doorbell = doorbell(v, 2),
                               .cq_doorbell = doorbell(v, 3),
                               .mask = size - 1,
                               .phase = 1};
    v->admin_busy = 0;
    v->depth = size - 1 < NVME_DEPTH ? size - 1 : NVME_DEPTH;
}

/* --- states ------------------------------------------------------------------------------------------------------- */

/* CAP.TO is for either direction. */
static uint64_t ready_deadline(const struct nvme *v)
{
    uint64_t units = nvme_cap_to(v->cap);
    return v->now + (units ? units : 1) * 500000000u;
}

void nvme_stop(struct nvme *v)
{
    v->state = NVME_STOPPING;
    v->issued = 0;
    v->deadline = ready_deadline(v);
    v->next_look = v->now;
    nvme_write32(v, NVME_CC, 0);
}

static void enable(struct nvme *v)
{
    begin_rings(v);
    nvme_write32(v, NVME_INTMS, UINT32_MAX); /* of pins, which nobody listens to */
    nvme_write32(v, NVME_AQA, (NVME_ADMIN_SIZE - 1) << 16 | (NVME_ADMIN_SIZE - 1));
    nvme_write64(v, NVME_ASQ, v->iova + offsetof(struct nvme_memory, admin_sq));
    nvme_write64(v, NVME_ACQ, v->iova + offsetof(struct nvme_memory, admin_cq));
    nvme_write32(v, NVME_CC, NVME_CC_ENTRIES | NVME_CC_EN);
    v->state = NVME_ENABLING;
    v->deadline = ready_deadline(v);
}

static void shutdown_ended(struct nvme *v, bool clean)
{
    if (!clean) {
        v->counters->unclean++;
        nvme_tell(v, "its shutdown did not end in time");
    }
    nvme_write32(v, NVME_CC, 0);
    v->port->ops->cut(v->port);
    v->state = NVME_OFF;
}

/* Where a state waits for CSTS, or for an admin command that does not end. */
static void look_at_status(struct nvme *v)
{
    uint32_t status = nvme_read32(v, NVME_CSTS);
    bool late = v->now >= v->deadline;
    v->next_look = v->now + NVME_STEP_NS;
    if (status == NVME_GONE) {
        nvme_gone(v);
        return;
    }
    switch (v->state) {
    case NVME_STOPPING:
        if (!(status & NVME_CSTS_RDY)) enable(v);
        else if (late) nvme_die(v, EIO, "it does not stop (CSTS.RDY stays 1)");
        break;
    case NVME_ENABLING:
        if (status & NVME_CSTS_RDY) nvme_ask(v);
        else if (status & NVME_CSTS_CFS) nvme_reset(v, "it cannot be enabled (CSTS.CFS)");
        else if (late) nvme_reset(v, "it is not ready in time (CSTS.RDY stays 0)");
        break;
    case NVME_ASKING:
        if (status & NVME_CSTS_CFS) nvme_reset(v, "it tells of a fatal error (CSTS.CFS)");
        else if (late) nvme_reset(v, "an admin command is not answered");
        break;
    case NVME_LEAVING:
        if (late) shutdown_ended(v, false);
        break;
    case NVME_SHUTTING:
        if ((status & NVME_CSTS_SHST_MASK) == NVME_CSTS_SHST_DONE) shutdown_ended(v, true);
        else if (late) shutdown_ended(v, false);
        break;
    default: break;
    }
}

/* Nobody has looked for so long: the program worked, and what it issued after that has the moment of the turn before.
 * It is no time in which the controller did not answer. */
__attribute__((cold, noinline)) static void was_away(struct nvme *v, uint64_t ns)
{
    for (uint64_t left = v->issued; left; left &= left - 1) v->slots[__builtin_ctzll(left)].since += ns;
    v->deadline += ns;
}

unsigned nvme_turn(struct nvme *v, uint64_t now)
{
    uint32_t before = v->done_count;
    if (unlikely(now - v->now > NVME_AWAY_NS)) was_away(v, now - v->now);
    v->now = now;
    if (likely(v->state == NVME_LIVE)) {
        nvme_io_reap(v);
        if (unlikely(now >= v->next_look) && v->state == NVME_LIVE) nvme_look(v);
    } else if (v->state < NVME_OFF) {
        if (v->state == NVME_ASKING || v->state == NVME_LEAVING) nvme_admin_reap(v);
        if (now >= v->next_look && v->state < NVME_OFF && v->state != NVME_LIVE) look_at_status(v);
    }
    return v->done_count - before;
}

uint64_t nvme_deadline(const struct nvme *v)
{
    if (v->done_count) return 0;
    if (v->state >= NVME_OFF || (v->state == NVME_LIVE && !v->busy_count && !v->has_event)) return UINT64_MAX;
    return v->next_look;
}

void nvme_interrupted(struct nvme *v)
{
    v->counters->interrupts++;
    if (v->state == NVME_LIVE) nvme_admin_reap(v);
}

void nvme_shut(struct nvme *v)
{
    ASSERT(!v->busy_count);
    if (v->state == NVME_LIVE) nvme_leave(v);
    else if (v->state < NVME_LEAVING) shutdown_ended(v, !v->was_live);
}

/* --- begin and end ------------------------------------------------------------------------------------------------ */

/* What it is able to, before anything is written to it. */
static int look_at_capabilities(struct nvme *v, char *why)
{
    v->cap = nvme_read64(v, NVME_CAP);
    size_t bells = NVME_DOORBELLS + (size_t)4 * (4u << nvme_cap_dstrd(v->cap));
    const char *text = NULL;
    if (v->cap == UINT64_MAX) text = "it does not answer";
    else if (!nvme_cap_has_nvm(v->cap)) text = "it has no NVM command set (CAP.CSS)";
    else if (nvme_cap_mpsmin(v->cap)) text = "it has no pages of 4 KiB (CAP.MPSMIN)";
    else if (nvme_cap_mqes(v->cap) < 2) text = "its queues have no room (CAP.MQES)";
    else if (v->port->bar_size < bells) text = "its registers end before its doorbells";
    if (!text) return 0;
    snprintf(why, NVME_WHY_SIZE, "%s", text);
    return v->cap == UINT64_MAX ? -ENODEV : -ENOTSUP;
}

int nvme_new(struct nvme **out, struct nvme_port *port, uint32_t nsid, const char *name, struct nvme_counters *counters,
             uint64_t now, char why[NVME_WHY_SIZE])
{
    ASSERT(nsid > 0);
    struct nvme *v = aligned_alloc(_Alignof(struct nvme), sizeof *v);
    if (!v) return -ENOMEM;
    memset(v, 0, sizeof *v);
    v->base.ops = &nvme_blockdev_ops;
    v->port = port;
    v->nsid = nsid;
    v->now = now;
    v->counters = counters;
    v->timeout_ns = NVME_TIMEOUT_NS;
    v->resets_left = NVME_RESETS;
    v->bounce_free = (1u << NVME_BOUNCES) - 1;
    snprintf(v->name, sizeof v->name, "%s", name);
    int err = look_at_capabilities(v, why);
    if (!err) err = new_memory(v, why);
    if (err) goto free_it;
    v->registry = registry_add_device(&registrar, v);
    if (v->registry < 0) {
        err = v->registry;
        snprintf(why, NVME_WHY_SIZE, "there are %d devices in this process already", REGISTRY_DEVICES_MAX);
        goto unmap;
    }
    nvme_stop(v);
    *out = v;
    return 0;
unmap:
    v->port->ops->unmap(v->port, v->memory, sizeof *v->memory, v->iova);
    munmap(v->memory, sizeof *v->memory);
free_it:
    free(v);
    return err;
}

void nvme_free(struct nvme *v)
{
    v->port->ops->cut(v->port);
    registry_remove_device(v->registry);
    v->port->ops->unmap(v->port, v->memory, sizeof *v->memory, v->iova);
    v->port->ops->close(v->port);
    munmap(v->memory, sizeof *v->memory);
    free(v);
}
