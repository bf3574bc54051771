/* SPDX-License-Identifier: MIT
 *
 * See nvme.h: controllers that do not answer, lie, have a fatal error, or have gone.
 *
 *      a request is not answered in time --> ABORT of it --> not answered for as long again --> reset
 *      a completion of nothing that is out, CSTS.CFS, CSTS.RDY = 0                          --> reset
 *      NVME_RESETS resets without a request that succeeds, a start that fails               --> dead: EIO
 *      all ones are read                                                                    --> dead: ENODEV
 *
 * Before what is out fails, the controller is kept from memory (nvme_port_ops.cut): the bytes are somebody else's
 * from then on, whatever it still does.
 *
 * A reset by CC.EN is no loss of power, and what has completed is in a volatile cache as before (7.3.2 says nothing of
 * it, Linux's driver counts on it, too). A fatal error is another thing: it may be the firmware's crash; and who is not
 * ready any more without having been told so may have been without power. So after CSTS.CFS or CSTS.RDY = 0, with
 * writes that were not flushed, the next FLUSH fails, and whoever wanted it knows.
 */
#include "libos/nvme/nvme.h"

#include "alloc/base/assert.h"
#include "alloc/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void nvme_tell(struct nvme *v, const char *fmt, ...)
{
    char text[NVME_WHY_SIZE + 64];
    if (!log_may(&v->lines, v->now)) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    log_warning(NULL, "nvme %s: %s", v->name, text);
}

void nvme_die(struct nvme *v, int err, const char *why)
{
    ASSERT(err > 0);
    if (v->state == NVME_DEAD) return;
    v->port->ops->cut(v->port);
    v->state = NVME_DEAD;
    v->error = err;
    snprintf(v->why, sizeof v->why, "%s", why);
    nvme_tell(v, "%s: %s", why, v->was_live ? "nothing is read or written any more" : "it is not used");
    for (uint64_t left = v->busy; left; left &= left - 1) {
        v->counters->errors++;
        nvme_io_end(v, (unsigned)__builtin_ctzll(left), err);
    }
}

void nvme_gone(struct nvme *v)
{
    v->counters->gone++;
    nvme_die(v, ENODEV, "it has gone");
}

void nvme_reset(struct nvme *v, const char *why)
{
    if (v->state == NVME_DEAD) return;
    uint32_t status = nvme_read32(v, NVME_CSTS);
    if (status == NVME_GONE) {
        nvme_gone(v);
        return;
    }
    if (!v->resets_left) {
        char text[NVME_WHY_SIZE];
        snprintf(text, sizeof text, "%.120s, and resets did not help", why);
        nvme_die(v, EIO, text);
        return;
    }
    v->resets_left--;
    v->counters->resets++;
    nvme_tell(v, "%s: it is reset, %u requests go on after that", why, v->busy_count);
    bool by_itself = v->state == NVME_LIVE && (status & (NVME_CSTS_CFS | NVME_CSTS_RDY)) != NVME_CSTS_RDY;
    if (by_itself && v->base.caps.volatile_cache && v->written != v->flushed) v->doubtful = true;
    nvme_stop(v);
}

/* What is not answered. */
static void look_at_slots(struct nvme *v)
{
    for (uint64_t left = v->issued; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        struct nvme_slot *s = &v->slots[i];
        uint64_t age = v->now - s->since;
        if (age < v->timeout_ns) continue;
        if (s->aborted || age >= 2 * v->timeout_ns) {
            nvme_reset(v, "a request is not answered, nor its ABORT");
            return;
        }
        if (v->admin_busy & 1u << NVME_ADMIN_ABORT) continue; /* one at a time: ACL may allow no more */
        v->counters->timeouts++;
        nvme_tell(v, "request %u is not answered in %llu ms: ABORT", i, (unsigned long long)(age / 1000000));
        s->aborted = true;
        s->since = v->now;
        nvme_abort(v, i);
    }
}

void nvme_look(struct nvme *v)
{
    uint32_t status = nvme_read32(v, NVME_CSTS);
    v->next_look = v->now + NVME_LOOK_NS;
    if (status == NVME_GONE) nvme_gone(v);
    else if (status & NVME_CSTS_CFS) nvme_reset(v, "it tells of a fatal error (CSTS.CFS)");
    else if (!(status & NVME_CSTS_RDY)) nvme_reset(v, "it is not ready any more");
    else {
        nvme_admin_reap(v);
        if (v->state != NVME_LIVE) return;
        if (v->has_event) nvme_wait_for_event(v);
        look_at_slots(v);
    }
}
