/* SPDX-License-Identifier: MIT
 *
 * See nvme.h: the admin queue. A start and a leaving are lists of commands, one out at a time; beside them are ABORT,
 * the wait for an asynchronous event, and the log page that has to be read after one so that the next may come.
 */
#include "libos/nvme/nvme.h"

#include "alloc/base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static_assert(NVME_ADMIN_COUNT < NVME_ADMIN_SIZE, "one of each, and the ring is not full");

struct nvme_sqe *nvme_admin_begin(struct nvme *v, enum nvme_admin what, uint8_t opcode)
{
    ASSERT(!(v->admin_busy & 1u << what));
    v->admin_busy |= 1u << what;
    struct nvme_sqe *e = nvme_ring_next(&v->admin);
    *e = (struct nvme_sqe){.opcode = opcode, .cid = (uint16_t)what};
    return e;
}

void nvme_admin_send(struct nvme *v) { nvme_ring_submit(&v->admin); }

static uint64_t page_iova(const struct nvme *v) { return v->iova + offsetof(struct nvme_memory, page); }

/* --- a start ------------------------------------------------------------------------------------------------------ */

/* A command of a list: what it asks, and what is made of the answer (0, or -errno with v->why). */
struct nvme_step {
    const char *name;
    void (*ask)(struct nvme *v, struct nvme_sqe *e);
    int (*heard)(struct nvme *v);
    uint8_t opcode;
};

static void ask_controller(struct nvme *v, struct nvme_sqe *e)
{
    memset(v->memory->page, 0, NVME_PAGE);
    e->prp1 = page_iova(v);
    e->cdw10 = NVME_CNS_CONTROLLER;
}

static void ask_namespace(struct nvme *v, struct nvme_sqe *e)
{
    memset(v->memory->page, 0, NVME_PAGE);
    e->prp1 = page_iova(v);
    e->nsid = v->nsid;
    e->cdw10 = NVME_CNS_NAMESPACE;
}

/* A device may change the page while it is read. */
static void copy_page(const struct nvme *v, uint8_t *out) { memcpy(out, v->memory->page, NVME_PAGE); }

static int hear_controller(struct nvme *v)
{
    uint8_t page[NVME_PAGE];
    struct nvme_facts f = {.size = 0};
    copy_page(v, page);
    int err = nvme_read_controller(page, &f, v->why);
    if (err) return err;
    if (v->nsid > f.namespaces) {
        snprintf(v->why, sizeof v->why, "it has %u namespaces, and none is number %u", f.namespaces, v->nsid);
        return -ENODEV;
    }
    if (v->was_live && (strcmp(f.serial, v->facts.serial) || strcmp(f.model, v->facts.model))) {
        snprintf(v->why, sizeof v->why, "after a reset it is another one: %s %s", f.model, f.serial);
        return -ENODEV;
    }
    f.size = v->facts.size;
    f.block = v->facts.block;
    v->facts = f;
    return 0;
}

static int hear_namespace(struct nvme *v)
{
    uint8_t page[NVME_PAGE];
    struct nvme_facts f = v->facts;
    copy_page(v, page);
    int err = nvme_read_namespace(page, &f, v->why);
    if (err) return err;
    if (v->was_live && (f.size != v->facts.size || f.block != v->facts.block)) {
        snprintf(v->why, sizeof v->why, "after a reset its size or format is another");
        return -EIO;
    }
    v->facts = f;
    return 0;
}

static void ask_queues(struct nvme *v, struct nvme_sqe *e)
{
    e->cdw10 = NVME_FEATURE_QUEUES; /* cdw11: one of each, counted from 0 */
}

static void ask_cq(struct nvme *v, struct nvme_sqe *e)
{
    e->prp1 = v->iova + offsetof(struct nvme_memory, io_cq);
    e->cdw10 = v->io.mask << 16 | 1;
    e->cdw11 = NVME_QUEUE_CONTIGUOUS | (v->port->event_fd >= 0 ? NVME_QUEUE_INTERRUPTS : 0);
}

static void ask_sq(struct nvme *v, struct nvme_sqe *e)
{
    e->prp1 = v->iova + offsetof(struct nvme_memory, io_sq);
    e->cdw10 = v->io.mask << 16 | 1;
    e->cdw11 = NVME_QUEUE_CONTIGUOUS | 1u << 16; /* its completions go to queue 1 */
}

static void take_caps(struct nvme *v)
{
    const struct nvme_facts *f = &v->facts;
    v->shift = f->shift;
    v->base.caps = (struct blockdev_caps){
        .size = f->size,
        .block = f->block,
        .request_max = f->transfer_max < NVME_REQUEST_MAX ? f->transfer_max : NVME_REQUEST_MAX,
        .atomic_max = f->atomic_max,
        .volatile_cache = f->volatile_cache,
        .durable_writes = true,
        .deallocate = f->deallocate,
    };
}

void nvme_wait_for_event(struct nvme *v)
{
    v->has_event = false;
    nvme_admin_begin(v, NVME_ADMIN_EVENT, NVME_ASYNC_EVENT);
    nvme_admin_send(v);
}

static int hear_sq(struct nvme *v)
{
    if (!v->was_live) take_caps(v);
    v->was_live = true;
    v->state = NVME_LIVE;
    v->next_look = v->now + NVME_LOOK_NS;
    nvme_wait_for_event(v);
    nvme_io_issue_all(v);
    return 0;
}

static const struct nvme_step start_steps[] = {
    {"IDENTIFY of the controller", ask_controller, hear_controller, NVME_IDENTIFY},
    {"IDENTIFY of the namespace", ask_namespace, hear_namespace, NVME_IDENTIFY},
    {"SET FEATURES, number of queues", ask_queues, NULL, NVME_SET_FEATURES},
    {"CREATE COMPLETION QUEUE", ask_cq, NULL, NVME_CREATE_CQ},
    {"CREATE SUBMISSION QUEUE", ask_sq, hear_sq, NVME_CREATE_SQ},
    {NULL, NULL, NULL, 0},
};

/* --- leaving ------------------------------------------------------------------------------------------------------ */

static void ask_delete(struct nvme *v, struct nvme_sqe *e) { e->cdw10 = 1; }

static int hear_deleted(struct nvme *v)
{
    uint64_t wait = v->facts.shutdown_ns ? v->facts.shutdown_ns + NVME_LOOK_NS : NVME_SHUTDOWN_NS;
    v->state = NVME_SHUTTING;
    v->next_look = v->now;
    v->deadline = v->now + (wait < NVME_SHUTDOWN_MOST ? wait : NVME_SHUTDOWN_MOST);
    nvme_write32(v, NVME_CC, (nvme_read32(v, NVME_CC) & ~NVME_CC_SHN_MASK) | NVME_CC_SHN);
    return 0;
}

static const struct nvme_step leave_steps[] = {
    {"DELETE SUBMISSION QUEUE", ask_delete, NULL, NVME_DELETE_SQ},
    {"DELETE COMPLETION QUEUE", ask_delete, hear_deleted, NVME_DELETE_CQ},
    {NULL, NULL, NULL, 0},
};

/* --- both --------------------------------------------------------------------------------------------------------- */

static void ask_step(struct nvme *v)
{
    struct nvme_sqe *e = nvme_admin_begin(v, NVME_ADMIN_STEP, v->step->opcode);
    v->step->ask(v, e);
    v->deadline = v->now + v->timeout_ns;
    nvme_admin_send(v);
}

void nvme_ask(struct nvme *v)
{
    v->state = NVME_ASKING;
    v->step = start_steps;
    ask_step(v);
}

void nvme_leave(struct nvme *v)
{
    v->state = NVME_LEAVING;
    v->next_look = v->now;
    v->step = leave_steps;
    ask_step(v);
}

static void step_ended(struct nvme *v, unsigned status)
{
    const struct nvme_step *step = v->step;
    bool starts = v->state == NVME_ASKING;
    if (!starts && v->state != NVME_LEAVING) return;
    if (status & NVME_STATUS_MASK) {
        char why[NVME_WHY_SIZE];
        snprintf(why, sizeof why, "%s failed: status type %u, code 0x%02x", step->name, status >> 8 & 7, status & 0xff);
        if (starts) nvme_die(v, step->heard == hear_namespace ? ENODEV : EIO, why);
        else hear_deleted(v); /* the shutdown itself does without */
        return;
    }
    int err = step->heard ? step->heard(v) : 0;
    if (err) {
        char why[NVME_WHY_SIZE];
        memcpy(why, v->why, sizeof why);
        nvme_die(v, -err, why);
        return;
    }
    v->step = step + 1;
    if (v->step->name) ask_step(v);
}

/* --- events and aborts -------------------------------------------------------------------------------------------- */

void nvme_abort(struct nvme *v, unsigned slot)
{
    struct nvme_sqe *e = nvme_admin_begin(v, NVME_ADMIN_ABORT, NVME_ABORT);
    e->cdw10 = slot << 16 | 1; /* of queue 1 */
    v->counters->aborts++;
    nvme_admin_send(v);
}

/* 5.2: an event is of one kind, and no other of that kind comes until its log page has been read. */
static void event_came(struct nvme *v, unsigned status, uint32_t what)
{
    static const char *const kinds[] = {"an error", "its health", "a notice"};
    if (status & NVME_STATUS_MASK) return; /* it has none to tell, or is being reset; it is not asked again */
    unsigned kind = what & 7;
    v->counters->events++;
    nvme_tell(v, "tells of %s: type %u, information 0x%02x, log page 0x%02x", kind < 3 ? kinds[kind] : "something",
              kind, what >> 8 & 0xff, what >> 16 & 0xff);
    struct nvme_sqe *e = nvme_admin_begin(v, NVME_ADMIN_LOG, NVME_GET_LOG_PAGE);
    e->nsid = UINT32_MAX;
    e->prp1 = page_iova(v);
    e->cdw10 = (what >> 16 & 0xff) | (512 / 4 - 1) << 16; /* so many words, counted from 0 */
    nvme_admin_send(v);
}

/* What ends is taken, and what follows an event waits until the next look: a device that tells of events without end
 * gets one a second. */
static bool end_admin(struct nvme *v, const struct nvme_cqe *c)
{
    unsigned what = c->cid;
    if (what >= NVME_ADMIN_COUNT || !(v->admin_busy & 1u << what)) return false;
    v->admin_busy &= ~(1u << what);
    v->admin.out--;
    if (c->sq_id != 0 || !nvme_ring_head_is_good(&v->admin, c->sq_head)) return false;
    if (what == NVME_ADMIN_STEP) step_ended(v, c->status >> 1);
    else if (what == NVME_ADMIN_EVENT && v->state == NVME_LIVE) event_came(v, c->status >> 1, c->result);
    else if (what == NVME_ADMIN_LOG) v->has_event = true;
    return true;
}

void nvme_admin_reap(struct nvme *v)
{
    struct nvme_cqe c;
    uint32_t n = 0;
    while (n <= v->admin.mask && v->state != NVME_DEAD && v->state != NVME_STOPPING && nvme_ring_take(&v->admin, &c)) {
        n++;
        if (end_admin(v, &c)) continue;
        v->counters->lies++;
        nvme_tell(v, "it completed what is not out: admin command %u of queue %u, head %u", c.cid, c.sq_id, c.sq_head);
        nvme_reset(v, "its completions cannot be believed");
        return;
    }
    if (n && v->state != NVME_DEAD && v->state != NVME_STOPPING) nvme_ring_taken(&v->admin);
}
