/* SPDX-License-Identifier: MIT
 *
 * See nvme.h: requests become commands, completions become what the library takes. The hot path of the driver: a
 * request is built in the ring where the device reads it, one doorbell is for a burst.
 *
 * A request's bytes are named by pages (PRP, 4.3): the first may begin anywhere, the second stands beside it, more of
 * them in a list that each slot has a page for. Addresses follow each other within a region, so a list is counted up.
 *
 * Bytes that the device cannot reach (it had no room for their region) are copied through pieces of its own memory.
 *
 * A status without DNR may be tried again, and a request that was out at a reset is: the same bytes to the same blocks,
 * which nobody else writes to meanwhile (blockdev.h), so twice is as good as once.
 */
#include "libos/nvme/nvme.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "alloc/region.h"

#include <errno.h>
#include <string.h>

#define SLOT_BIT(i) ((uint64_t)1 << (i))

/* Kept out of the hot path's way: what is inlined there costs it registers, which are saved at each call. */
#define RARE __attribute__((cold, noinline)) static

/* --- a request ends ----------------------------------------------------------------------------------------------- */

RARE void give_bounce(struct nvme *v, struct nvme_slot *s, int err)
{
    unsigned piece = s->bounce - 1u;
    if (!err && s->r.verb == BLOCKDEV_READ) memcpy(s->r.buf->data, v->memory->bounces[piece], s->r.n);
    v->bounce_free |= (uint8_t)(1u << piece);
    s->bounce = 0;
}

void nvme_io_end(struct nvme *v, unsigned i, int err)
{
    struct nvme_slot *s = &v->slots[i];
    DASSERT(v->busy & SLOT_BIT(i));
    ASSERT(v->done_count < NVME_DEPTH);
    if (unlikely(s->bounce)) give_bounce(v, s, err);
    v->done[v->done_count++] = (struct blockdev_completion){.word = s->r.word, .err = err};
    v->busy &= ~SLOT_BIT(i);
    v->busy_count--;
    v->issued &= ~SLOT_BIT(i);
}

static int errno_of(unsigned status)
{
    switch (status & NVME_STATUS_MASK) {
    case NVME_SC_INVALID_OPCODE: return EOPNOTSUPP;
    case NVME_SC_INVALID_FIELD: return EINVAL;
    case NVME_SC_INVALID_NAMESPACE: return ENODEV;
    case NVME_SC_LBA_RANGE: return EINVAL;
    case NVME_SC_CAPACITY: return ENOSPC;
    case NVME_SC_WRITE_PROTECTED: return EROFS;
    case NVME_SC_READ_ONLY: return EROFS;
    default: return EIO;
    }
}

static const char *name_of(unsigned verb)
{
    static const char *const names[] = {"read", "write", "flush", "deallocate"};
    return names[verb & 3];
}

RARE void failed(struct nvme *v, unsigned i, unsigned status)
{
    struct nvme_slot *s = &v->slots[i];
    if (!(status & NVME_DNR) && s->tries < NVME_TRIES) {
        v->issued &= ~SLOT_BIT(i);
        v->counters->retries++;
        return; /* nvme_io_reap() issues it again */
    }
    v->counters->errors++;
    nvme_tell(v, "a %s of %u bytes at %llu failed: status type %u, code 0x%02x%s", name_of(s->r.verb), s->r.n,
              (unsigned long long)s->r.at, status >> 8 & 7, status & 0xff, status & NVME_DNR ? "" : ", each time");
    nvme_io_end(v, i, errno_of(status));
}

/* false: what the completion says cannot be. */
static bool ended_well(struct nvme *v, const struct nvme_cqe *c)
{
    unsigned i = c->cid;
    if (unlikely(i >= NVME_DEPTH || !(v->issued & SLOT_BIT(i)))) return false;
    v->io.out--;
    if (unlikely(c->sq_id != 1 || !nvme_ring_head_is_good(&v->io, c->sq_head))) return false;
    unsigned status = c->status >> 1;
    if (unlikely(status & NVME_STATUS_MASK)) {
        failed(v, i, status);
        return true;
    }
    const struct nvme_slot *s = &v->slots[i];
    if (s->r.verb == BLOCKDEV_WRITE && !(s->r.flags & BLOCKDEV_DURABLE)) v->written++;
    else if (s->r.verb == BLOCKDEV_FLUSH) v->flushed = s->address;
    v->resets_left = NVME_RESETS;
    nvme_io_end(v, i, 0);
    return true;
}

RARE void has_lied(struct nvme *v, struct nvme_cqe c)
{
    v->counters->lies++;
    nvme_tell(v, "it completed what is not out: command %u of queue %u, head %u, status 0x%04x", c.cid, c.sq_id,
              c.sq_head, c.status);
    nvme_reset(v, "its completions cannot be believed");
}

unsigned nvme_io_reap(struct nvme *v)
{
    struct nvme_cqe c;
    unsigned n = 0;
    while (n < NVME_RING_SIZE && nvme_ring_take(&v->io, &c)) {
        n++;
        if (likely(ended_well(v, &c))) continue;
        has_lied(v, c);
        return n;
    }
    if (!n) return 0;
    nvme_ring_taken(&v->io);
    if (unlikely(v->busy & ~v->issued)) nvme_io_issue_all(v);
    return n;
}

/* --- a request begins --------------------------------------------------------------------------------------------- */

RARE bool take_bounce(struct nvme *v, struct nvme_slot *s)
{
    if (!v->bounce_free) return false;
    unsigned piece = (unsigned)__builtin_ctz(v->bounce_free);
    v->bounce_free &= (uint8_t) ~(1u << piece);
    s->bounce = (uint8_t)(piece + 1);
    if (s->r.verb == BLOCKDEV_WRITE) memcpy(v->memory->bounces[piece], s->r.buf->data, s->r.n);
    s->address = v->iova + offsetof(struct nvme_memory, bounces) + (uint64_t)piece * NVME_REQUEST_MAX;
    v->counters->bounced++;
    return true;
}

/* What a region's cookie is: how far its addresses are for the device from what they are here. */
static bool find_bytes(struct nvme *v, struct nvme_slot *s)
{
    uint8_t *p = s->r.buf->data;
    uintptr_t cookie = (uintptr_t)region_cookie(v->registry, p);
    if (unlikely(!cookie)) return take_bounce(v, s);
    s->address = (uintptr_t)p + cookie;
    return true;
}

/* From the second on. */
__attribute__((noinline)) static void name_more_pages(struct nvme *v, unsigned i, struct nvme_sqe *e, uint64_t second,
                                                      uint64_t end)
{
    if (end - second <= NVME_PAGE) {
        e->prp2 = second;
        return;
    }
    uint64_t *list = v->memory->lists[i];
    for (unsigned k = 0; second < end; k++, second += NVME_PAGE) list[k] = second;
    e->prp2 = v->iova + offsetof(struct nvme_memory, lists) + i * NVME_PAGE;
}

static inline void name_pages(struct nvme *v, unsigned i, struct nvme_sqe *e, uint64_t at, uint32_t n)
{
    uint64_t second = (at | (NVME_PAGE - 1)) + 1, end = at + n;
    e->prp1 = at;
    if (end > second) name_more_pages(v, i, e, second, end);
}

/* One range, which stands in the slot's page. */
RARE void name_range(struct nvme *v, unsigned i, struct nvme_sqe *e, const struct blockdev_request *r)
{
    uint64_t *range = v->memory->lists[i];
    range[0] = (uint64_t)(r->n >> v->shift) << 32;
    range[1] = r->at >> v->shift;
    e->prp1 = v->iova + offsetof(struct nvme_memory, lists) + i * NVME_PAGE;
    e->cdw11 = NVME_DATASET_DISCARD;
}

__attribute__((always_inline)) static inline void issue(struct nvme *v, struct nvme_slot *s, unsigned i)
{
    static const uint8_t opcodes[] = {NVME_READ, NVME_WRITE, NVME_FLUSH, NVME_DATASET};
    struct nvme_sqe *e = nvme_ring_next(&v->io);
    *e = (struct nvme_sqe){.opcode = opcodes[s->r.verb], .cid = (uint16_t)i, .nsid = v->nsid};
    if (likely(s->r.verb <= BLOCKDEV_WRITE)) {
        uint64_t block = s->r.at >> v->shift;
        name_pages(v, i, e, s->address, s->r.n);
        e->cdw10 = (uint32_t)block;
        e->cdw11 = (uint32_t)(block >> 32);
        e->cdw12 = ((s->r.n >> v->shift) - 1) | (s->r.flags & BLOCKDEV_DURABLE ? NVME_FUA : 0);
    } else if (s->r.verb == BLOCKDEV_DEALLOCATE) name_range(v, i, e, &s->r);
    else s->address = v->written; /* what a FLUSH is of */
    s->since = v->now;
    s->aborted = false;
    s->tries++;
    v->issued |= SLOT_BIT(i);
}

/* It was out at too many resets: it may be why. */
static void give_up(struct nvme *v, unsigned i)
{
    const struct blockdev_request *r = &v->slots[i].r;
    v->counters->errors++;
    nvme_tell(v, "a %s of %u bytes at %llu is given up after %u resets", name_of(r->verb), r->n,
              (unsigned long long)r->at, NVME_TRIES);
    nvme_io_end(v, i, EIO);
}

void nvme_io_issue_all(struct nvme *v)
{
    uint64_t left = v->busy & ~v->issued;
    if (!left || v->state != NVME_LIVE) return;
    for (; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (v->slots[i].tries < NVME_TRIES) issue(v, &v->slots[i], i);
        else give_up(v, i);
    }
    nvme_ring_submit(&v->io);
}

static void count(struct nvme_counters *c, const struct blockdev_request *r)
{
    switch (r->verb) {
    case BLOCKDEV_READ:
        c->reads++;
        c->read_bytes += r->n;
        break;
    case BLOCKDEV_WRITE:
        c->writes++;
        c->write_bytes += r->n;
        break;
    case BLOCKDEV_FLUSH: c->flushes++; break;
    default: c->deallocates++;
    }
}

RARE int refused_flush(struct nvme *v)
{
    v->doubtful = false;
    v->counters->cache_lost++;
    nvme_tell(v, "what was in its cache when it had a fatal error may be lost");
    return EIO;
}

/* What need not go to the device to be known: 0, it must. */
static int refused(struct nvme *v, const struct blockdev_request *r)
{
    if (unlikely(v->state == NVME_DEAD)) return v->error;
    if (unlikely(r->verb == BLOCKDEV_FLUSH)) return v->doubtful ? refused_flush(v) : 0;
    uint64_t size = v->base.caps.size;
    if (unlikely(!r->n || r->at > size || r->n > size - r->at)) return EINVAL;
    return likely(r->verb <= BLOCKDEV_WRITE) || v->base.caps.deallocate ? 0 : EOPNOTSUPP;
}

/* false: not now. */
static bool post_one(struct nvme *v, const struct blockdev_request *r)
{
    DASSERT(!((r->at | r->n) & (v->base.caps.block - 1)));
    DASSERT(r->verb > BLOCKDEV_WRITE || r->n <= v->base.caps.request_max);
    unsigned i = (unsigned)__builtin_ctzll(~v->busy);
    struct nvme_slot *s = &v->slots[i];
    s->r = *r;
    s->tries = 0;
    int err = refused(v, r);
    if (likely(!err && r->verb <= BLOCKDEV_WRITE) && !find_bytes(v, s)) return false;
    v->busy |= SLOT_BIT(i);
    v->busy_count++;
    count(v->counters, r);
    if (unlikely(err)) nvme_io_end(v, i, err);
    else if (likely(v->state == NVME_LIVE)) issue(v, s, i);
    return true;
}

/* Until the controller is live its slots keep what is posted. */
static unsigned nvme_post(struct blockdev *d, const struct blockdev_request *in, unsigned n)
{
    struct nvme *v = (struct nvme *)d;
    unsigned taken = 0;
    uint32_t tail = v->io.tail, room = v->depth - v->busy_count - v->done_count;
    if (n > room) n = room;
    while (taken < n && post_one(v, &in[taken])) taken++;
    if (v->io.tail != tail) nvme_ring_submit(&v->io);
    return taken;
}

static unsigned nvme_poll(struct blockdev *d, struct blockdev_completion *out, unsigned max)
{
    struct nvme *v = (struct nvme *)d;
    if (!v->done_count) return 0;
    unsigned n = v->done_count - v->done_taken;
    if (n > max) n = max;
    for (unsigned i = 0; i < n; i++) out[i] = v->done[v->done_taken + i];
    v->done_taken += n;
    if (v->done_taken == v->done_count) v->done_taken = v->done_count = 0;
    return n;
}

static void nvme_keep(struct blockdev *d) {}

const struct blockdev_ops nvme_blockdev_ops = {.post = nvme_post, .poll = nvme_poll, .close = nvme_keep};
