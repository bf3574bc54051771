/* SPDX-License-Identifier: MIT
 *
 * See double.h.
 */
#include "tests/nvme/double.h"

#include "alloc/base/assert.h"
#include "alloc/base/clock.h"
#include "alloc/base/rng.h"
#include "libos/nvme/spec.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define BAR_SIZE   (4u << 20)
#define PIECES_MAX 4096
#define WAITS_MAX  256

struct piece {
    uint8_t *base;
    size_t len;
    uint64_t iova;
};

struct side { /* a pair of queues */
    uint64_t sq, cq;
    uint32_t size, head, cq_tail, phase, out;
    bool is_there, interrupts;
};

struct waiting { /* a completion that is due later */
    uint64_t at;
    struct nvme_cqe c;
};

struct nvme_double {
    struct nvme_port port;
    struct double_shape shape;
    struct double_faults faults;
    struct double_said said;
    struct side admin, io;
    struct piece pieces[PIECES_MAX];
    unsigned piece_count;
    uint64_t next_iova;
    uint8_t *medium, *cache;
    bool *cached; /* by block */
    uint32_t cc;
    bool event_wanted, refuses, is_cut;
    uint16_t event_cid;
    uint64_t delay_ns;
    struct waiting waits[WAITS_MAX]; /* a ring: delays are equal */
    unsigned waits_head, waits_count;
    pthread_t thread;
    pthread_mutex_t lock; /* of pieces, while a thread runs it */
    bool has_thread, ends;
};

/* --- memory ------------------------------------------------------------------------------------------------------- */

static uint8_t *find(struct nvme_double *d, uint64_t iova, size_t n)
{
    uint8_t *p = NULL;
    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < d->piece_count && !p; i++) {
        const struct piece *m = &d->pieces[i];
        if (iova >= m->iova && iova - m->iova < m->len && n <= m->len - (iova - m->iova))
            p = m->base + (iova - m->iova);
    }
    if (d->is_cut) p = NULL;
    pthread_mutex_unlock(&d->lock);
    if (!p) d->said.strays++;
    return p;
}

static struct nvme_double *of(struct nvme_port *p) { return (struct nvme_double *)p; }

static int double_map(struct nvme_port *p, void *base, size_t len, uint64_t *iova)
{
    struct nvme_double *d = of(p);
    if (d->refuses || d->piece_count == PIECES_MAX || ((uintptr_t)base | len) & 4095) return -ENOMEM;
    pthread_mutex_lock(&d->lock);
    *iova = d->next_iova;
    d->next_iova += len + (1 << 20);
    d->pieces[d->piece_count++] = (struct piece){base, len, *iova};
    pthread_mutex_unlock(&d->lock);
    return 0;
}

static void double_unmap(struct nvme_port *p, void *base, size_t len, uint64_t iova)
{
    struct nvme_double *d = of(p);
    unsigned i = 0;
    pthread_mutex_lock(&d->lock);
    while (i < d->piece_count && d->pieces[i].iova != iova) i++;
    ASSERT(i < d->piece_count && d->pieces[i].base == base && d->pieces[i].len == len);
    d->pieces[i] = d->pieces[--d->piece_count];
    pthread_mutex_unlock(&d->lock);
}

static void double_cut(struct nvme_port *p)
{
    struct nvme_double *d = of(p);
    pthread_mutex_lock(&d->lock);
    d->said.cuts++;
    d->is_cut = true;
    pthread_mutex_unlock(&d->lock);
}

static void double_close(struct nvme_port *p) { double_cut(p); }
static void double_forget(struct nvme_port *p) {}

static const struct nvme_port_ops double_ops = {
    .map = double_map, .unmap = double_unmap, .cut = double_cut, .close = double_close, .forget = double_forget};

/* --- registers ---------------------------------------------------------------------------------------------------- */

static volatile uint32_t *reg(struct nvme_double *d, uint32_t at) { return (volatile uint32_t *)(d->port.bar + at); }
static uint32_t get(struct nvme_double *d, uint32_t at) { return __atomic_load_n(reg(d, at), __ATOMIC_ACQUIRE); }
static void put(struct nvme_double *d, uint32_t at, uint32_t value)
{
    __atomic_store_n(reg(d, at), value, __ATOMIC_RELEASE);
}
static uint64_t get64(struct nvme_double *d, uint32_t at) { return get(d, at) | (uint64_t)get(d, at + 4) << 32; }
static uint32_t bell(const struct nvme_double *d, unsigned n) { return NVME_DOORBELLS + n * (4u << d->shape.dstrd); }

/* --- completions -------------------------------------------------------------------------------------------------- */

static void complete(struct nvme_double *d, struct side *s, struct nvme_cqe c)
{
    struct nvme_cqe *at = (struct nvme_cqe *)find(d, s->cq + s->cq_tail * sizeof c, sizeof c);
    if (!at) return;
    at->result = c.result;
    at->sq_head = c.sq_head;
    at->sq_id = c.sq_id;
    at->cid = c.cid;
    __atomic_store_n(&at->status, (uint16_t)(c.status << 1 | s->phase), __ATOMIC_RELEASE);
    if (++s->cq_tail == s->size) {
        s->cq_tail = 0;
        s->phase ^= 1;
    }
    if (s->out) s->out--;
    if (s->interrupts && d->port.event_fd >= 0) {
        uint64_t one = 1;
        ssize_t n = write(d->port.event_fd, &one, sizeof one);
        (void)n;
    }
}

static bool happens(unsigned *fault)
{
    if (!*fault) return false;
    --*fault;
    return true;
}

static void answer_io(struct nvme_double *d, uint16_t cid, unsigned status)
{
    struct nvme_cqe c = {.sq_head = (uint16_t)d->io.head, .sq_id = 1, .cid = cid, .status = (uint16_t)status};
    if (happens(&d->faults.wrong_cid)) c.cid = 0xfff0;
    if (happens(&d->faults.wrong_queue)) c.sq_id = 7;
    if (happens(&d->faults.wrong_head)) c.sq_head = 0x7fff;
    for (unsigned n = happens(&d->faults.twice) ? 2 : 1; n; n--) {
        if (!d->delay_ns) complete(d, &d->io, c);
        else {
            ASSERT(d->waits_count < WAITS_MAX);
            d->waits[(d->waits_head + d->waits_count++) % WAITS_MAX] =
                (struct waiting){clock_mono_ns() + d->delay_ns, c};
        }
    }
}

static void complete_what_is_due(struct nvme_double *d)
{
    while (d->waits_count && d->waits[d->waits_head].at <= clock_mono_ns()) {
        complete(d, &d->io, d->waits[d->waits_head].c);
        d->waits_head = (d->waits_head + 1) % WAITS_MAX;
        d->waits_count--;
    }
}

/* --- I/O ---------------------------------------------------------------------------------------------------------- */

static void store_block(struct nvme_double *d, uint64_t block, const uint8_t *p, bool durable)
{
    size_t n = (size_t)1 << d->shape.shift;
    bool cached = d->shape.volatile_cache && !durable;
    memcpy((cached ? d->cache : d->medium) + block * n, p, n);
    d->cached[block] = cached;
}

static const uint8_t *load_block(const struct nvme_double *d, uint64_t block)
{
    return (d->cached[block] ? d->cache : d->medium) + (block << d->shape.shift);
}

static void flush(struct nvme_double *d)
{
    size_t n = (size_t)1 << d->shape.shift;
    for (uint64_t i = 0; i < d->shape.size >> d->shape.shift; i++)
        if (d->cached[i]) memcpy(d->medium + i * n, d->cache + i * n, n);
    memset(d->cached, 0, (d->shape.size >> d->shape.shift) * sizeof *d->cached);
}

/* Where byte `at` of a request's bytes lies, and how many follow there. */
static uint8_t *place(struct nvme_double *d, const struct nvme_sqe *e, uint32_t total, uint32_t at, uint32_t *n)
{
    uint32_t in_first = 4096 - (uint32_t)(e->prp1 & 4095);
    uint64_t where;
    if (at < in_first) where = e->prp1 + at;
    else if (total - in_first <= 4096) where = e->prp2 + (at - in_first);
    else {
        const uint64_t *list = (const uint64_t *)find(d, e->prp2 + (at - in_first) / 4096 * 8, 8);
        if (!list) return NULL;
        if (*list & 4095) d->said.misuses++;
        where = *list + (at - in_first) % 4096;
    }
    if (at >= in_first && total - in_first <= 4096 && e->prp2 & 4095) d->said.misuses++;
    *n = 4096 - (uint32_t)(where & 4095);
    if (*n > total - at) *n = total - at;
    return find(d, where, *n);
}

static unsigned transfer(struct nvme_double *d, const struct nvme_sqe *e, bool is_write)
{
    uint64_t block = e->cdw10 | (uint64_t)e->cdw11 << 32, count = (e->cdw12 & 0xffff) + 1;
    uint64_t blocks = d->shape.size >> d->shape.shift;
    uint32_t size = 1u << d->shape.shift, total = (uint32_t)count * size;
    if (block >= blocks || count > blocks - block) return NVME_SC_LBA_RANGE | NVME_DNR;
    if (d->shape.mdts && total > 4096u << d->shape.mdts) return NVME_SC_INVALID_FIELD | NVME_DNR;
    if (e->prp1 & 3) return NVME_SC_INVALID_FIELD | NVME_DNR;
    uint8_t *bytes = malloc(total);
    ASSERT(bytes);
    unsigned status = 0;
    for (uint32_t i = 0; !is_write && i < count; i++) memcpy(bytes + i * size, load_block(d, block + i), size);
    for (uint32_t at = 0, n; at < total && !status; at += n) {
        uint8_t *p = place(d, e, total, at, &n);
        if (!p) status = NVME_SC_DATA_TRANSFER | NVME_DNR;
        else if (is_write) memcpy(bytes + at, p, n);
        else memcpy(p, bytes + at, n);
    }
    for (uint32_t i = 0; is_write && !status && i < count; i++)
        store_block(d, block + i, bytes + i * size, e->cdw12 & NVME_FUA);
    free(bytes);
    return status;
}

static unsigned discard(struct nvme_double *d, const struct nvme_sqe *e)
{
    const uint32_t *range = (const uint32_t *)find(d, e->prp1, 16);
    if (!range || e->cdw10 || !(e->cdw11 & NVME_DATASET_DISCARD)) return NVME_SC_INVALID_FIELD | NVME_DNR;
    uint64_t first = range[2] | (uint64_t)range[3] << 32, blocks = d->shape.size >> d->shape.shift;
    if (first >= blocks || range[1] > blocks - first) return NVME_SC_LBA_RANGE | NVME_DNR;
    memset(d->medium + (first << d->shape.shift), 0xdd, (size_t)range[1] << d->shape.shift);
    memset(d->cached + first, 0, range[1] * sizeof *d->cached);
    return 0;
}

static void do_io(struct nvme_double *d, const struct nvme_sqe *e)
{
    if (happens(&d->faults.ignored)) return;
    if (e->nsid != 1) d->said.misuses++;
    if (happens(&d->faults.failing)) {
        answer_io(d, e->cid, d->faults.status);
        return;
    }
    unsigned status = 0;
    d->said.fua += e->opcode == NVME_WRITE && e->cdw12 & NVME_FUA;
    switch (e->opcode) {
    case NVME_READ: d->said.reads++, status = transfer(d, e, false); break;
    case NVME_WRITE: d->said.writes++, status = transfer(d, e, true); break;
    case NVME_FLUSH: d->said.flushes++, flush(d); break;
    case NVME_DATASET: d->said.discards++, status = discard(d, e); break;
    default: status = NVME_SC_INVALID_OPCODE | NVME_DNR;
    }
    answer_io(d, e->cid, status);
}

/* --- admin -------------------------------------------------------------------------------------------------------- */

static void put16(uint8_t *p, unsigned v) { memcpy(p, &(uint16_t){(uint16_t)v}, 2); }
static void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }

static unsigned identify(struct nvme_double *d, const struct nvme_sqe *e)
{
    uint8_t page[4096] = {0}, *to = find(d, e->prp1, sizeof page);
    unsigned cns = e->cdw10 & 0xff;
    d->said.identifies++;
    if (!to) return NVME_SC_DATA_TRANSFER | NVME_DNR;
    if (cns == NVME_CNS_CONTROLLER) {
        memcpy(page + 4, "DOUBLE0001          ", 20);
        memcpy(page + 24, "a double of a controller                ", 40);
        memcpy(page + 64, "1.0     ", 8);
        page[77] = d->shape.mdts;
        put32(page + 88, 2000000); /* RTD3E */
        page[512] = 0x66;
        page[513] = 0x44;
        put32(page + 516, 1);
        put16(page + 520, d->shape.deallocate ? 4 : 0);
        page[525] = d->shape.volatile_cache;
        put16(page + 528, d->shape.awupf);
    } else if (e->nsid == 1) {
        uint64_t blocks = d->shape.size >> d->shape.shift;
        memcpy(page, &blocks, 8);
        page[25] = 1; /* two formats */
        page[26] = 1;
        page[128 + 2] = 9;
        page[132 + 2] = (uint8_t)d->shape.shift;
    }
    if (d->faults.identify) d->faults.identify(page, cns);
    memcpy(to, page, sizeof page);
    return 0;
}

static unsigned create(struct nvme_double *d, const struct nvme_sqe *e, bool is_sq)
{
    uint32_t size = (e->cdw10 >> 16) + 1, most = d->shape.mqes ? d->shape.mqes : 2048;
    d->said.creates++;
    if ((e->cdw10 & 0xffff) != 1 || size < 2 || size > most || !(e->cdw11 & NVME_QUEUE_CONTIGUOUS) || e->prp1 & 4095)
        return NVME_SC_INVALID_FIELD | NVME_DNR;
    if (is_sq && (!d->io.cq || e->cdw11 >> 16 != 1 || size != d->io.size)) return NVME_SC_INVALID_FIELD | NVME_DNR;
    if (is_sq) {
        d->io.sq = e->prp1;
        d->io.is_there = true;
    } else
        d->io = (struct side){.cq = e->prp1, .size = size, .phase = 1, .interrupts = e->cdw11 & NVME_QUEUE_INTERRUPTS};
    return 0;
}

static void do_admin(struct nvme_double *d, const struct nvme_sqe *e)
{
    struct nvme_cqe c = {.sq_head = (uint16_t)d->admin.head, .cid = e->cid};
    if (happens(&d->faults.ignored_admin)) return;
    switch (e->opcode) {
    case NVME_IDENTIFY: c.status = (uint16_t)identify(d, e); break;
    case NVME_SET_FEATURES:
        if (e->cdw10 != NVME_FEATURE_QUEUES) d->said.misuses++;
        c.result = 3 | 3 << 16;
        break;
    case NVME_CREATE_CQ: c.status = (uint16_t)create(d, e, false); break;
    case NVME_CREATE_SQ: c.status = (uint16_t)create(d, e, true); break;
    case NVME_DELETE_SQ:
        d->said.deletes++;
        d->io.is_there = false;
        break;
    case NVME_DELETE_CQ:
        d->said.deletes++;
        if (d->io.is_there) d->said.misuses++;
        d->io.cq = 0;
        break;
    case NVME_ABORT:
        d->said.aborts++;
        c.result = 0;
        if (happens(&d->faults.no_abort)) c.result = 1;
        else answer_io(d, (uint16_t)(e->cdw10 >> 16), NVME_SC_ABORTED);
        break;
    case NVME_ASYNC_EVENT:
        d->said.events_wanted++;
        d->event_wanted = true;
        d->event_cid = e->cid;
        return;
    case NVME_GET_LOG_PAGE: d->said.log_pages++; break;
    default: c.status = NVME_SC_INVALID_OPCODE | NVME_DNR;
    }
    complete(d, &d->admin, c);
}

void double_tell(struct nvme_double *d, uint32_t what)
{
    if (!d->event_wanted) return;
    d->event_wanted = false;
    complete(d, &d->admin, (struct nvme_cqe){.result = what, .sq_head = (uint16_t)d->admin.head, .cid = d->event_cid});
}

/* --- its life ----------------------------------------------------------------------------------------------------- */

static void fetch(struct nvme_double *d, struct side *s, unsigned number,
                  void (*fn)(struct nvme_double *, const struct nvme_sqe *))
{
    uint32_t tail = get(d, bell(d, number));
    if (!s->is_there) return;
    if (tail >= s->size) {
        d->said.misuses++;
        return;
    }
    if (tail != s->head) d->said.doorbells++;
    while (s->is_there && s->head != tail) {
        const struct nvme_sqe *at = (const struct nvme_sqe *)find(d, s->sq + s->head * sizeof *at, sizeof *at);
        if (!at) return;
        struct nvme_sqe e = *at;
        s->head = (s->head + 1) % s->size;
        if (++s->out > d->said.most_out && number == 2) d->said.most_out = s->out;
        fn(d, &e);
    }
}

static void stop(struct nvme_double *d)
{
    d->io.is_there = d->admin.is_there = false;
    d->io.cq = 0;
    d->event_wanted = false;
    d->waits_count = 0;
    for (unsigned n = 0; n < 4; n++) put(d, bell(d, n), 0);
    put(d, NVME_CSTS, 0);
}

static void start(struct nvme_double *d)
{
    uint32_t aqa = get(d, NVME_AQA);
    d->said.enables++;
    for (unsigned n = 0; n < 4; n++) put(d, bell(d, n), 0);
    if ((d->cc & ~(NVME_CC_EN | NVME_CC_SHN_MASK)) != NVME_CC_ENTRIES || (aqa & 0xfff) != aqa >> 16) d->said.misuses++;
    pthread_mutex_lock(&d->lock);
    d->is_cut = false;
    pthread_mutex_unlock(&d->lock);
    d->admin = (struct side){.sq = get64(d, NVME_ASQ),
                             .cq = get64(d, NVME_ACQ),
                             .size = (aqa & 0xfff) + 1,
                             .phase = 1,
                             .is_there = true,
                             .interrupts = true};
    put(d, NVME_CSTS, NVME_CSTS_RDY);
}

void double_run(struct nvme_double *d)
{
    if (d->faults.gone) {
        put(d, NVME_CSTS, NVME_GONE);
        return;
    }
    if (d->faults.fatal) put(d, NVME_CSTS, get(d, NVME_CSTS) | NVME_CSTS_CFS);
    uint32_t cc = get(d, NVME_CC), changed = cc ^ d->cc;
    d->cc = cc;
    if (changed & NVME_CC_EN && !(cc & NVME_CC_EN) && !d->faults.never_stops) {
        d->faults.fatal = false;
        stop(d);
    }
    if (changed & NVME_CC_EN && cc & NVME_CC_EN && !d->faults.never_ready) start(d);
    if (changed & NVME_CC_SHN_MASK && cc & NVME_CC_SHN) {
        d->said.shutdowns++;
        flush(d);
        if (!d->faults.never_shuts) put(d, NVME_CSTS, get(d, NVME_CSTS) | NVME_CSTS_SHST_DONE);
    }
    if (!(get(d, NVME_CSTS) & NVME_CSTS_RDY)) return;
    fetch(d, &d->admin, 0, do_admin);
    if (!d->faults.holds) fetch(d, &d->io, 2, do_io);
    complete_what_is_due(d);
}

void double_cut_power(struct nvme_double *d, uint64_t seed)
{
    struct rng r;
    size_t n = (size_t)1 << d->shape.shift;
    rng_seed(&r, seed);
    for (uint64_t i = 0; i < d->shape.size >> d->shape.shift; i++)
        if (d->cached[i] && rng_u64(&r) & 1) memcpy(d->medium + i * n, d->cache + i * n, n);
    memset(d->cached, 0, (d->shape.size >> d->shape.shift) * sizeof *d->cached);
    stop(d);
    d->cc = 0;
    put(d, NVME_CC, 0);
}

static void *run_thread(void *arg)
{
    struct nvme_double *d = arg;
    while (!__atomic_load_n(&d->ends, __ATOMIC_ACQUIRE)) {
        double_run(d);
        sched_yield();
    }
    return NULL;
}

void double_thread_begin(struct nvme_double *d, uint64_t ns)
{
    d->delay_ns = ns;
    d->ends = false;
    ASSERT(!pthread_create(&d->thread, NULL, run_thread, d));
    d->has_thread = true;
}

void double_thread_end(struct nvme_double *d)
{
    if (!d->has_thread) return;
    __atomic_store_n(&d->ends, true, __ATOMIC_RELEASE);
    pthread_join(d->thread, NULL);
    d->has_thread = false;
}

static void *zeroes(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(p != MAP_FAILED);
    return p;
}

struct nvme_double *double_new(const struct double_shape *shape)
{
    struct nvme_double *d = calloc(1, sizeof *d);
    ASSERT(d);
    d->shape = *shape;
    d->medium = zeroes(shape->size);
    d->cache = zeroes(shape->size);
    d->cached = calloc(shape->size >> shape->shift, sizeof *d->cached);
    ASSERT(d->cached);
    d->next_iova = 1 << 24;
    pthread_mutex_init(&d->lock, NULL);
    d->port = (struct nvme_port){.ops = &double_ops,
                                 .bar = zeroes(BAR_SIZE),
                                 .bar_size = BAR_SIZE,
                                 .event_fd = shape->no_interrupts ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    uint32_t mqes = (shape->mqes ? shape->mqes : 2048) - 1;
    put(d, NVME_CAP, mqes | 1u << 16 | 2u << 24); /* CQR, TO: 1 s */
    put(d, NVME_CAP + 4, shape->dstrd | 1u << 5);
    put(d, NVME_VS, 0x10400);
    return d;
}

void double_free(struct nvme_double *d)
{
    double_thread_end(d);
    if (d->port.event_fd >= 0) close(d->port.event_fd);
    munmap(d->medium, d->shape.size);
    munmap(d->cache, d->shape.size);
    munmap((void *)(uintptr_t)d->port.bar, BAR_SIZE);
    pthread_mutex_destroy(&d->lock);
    free(d->cached);
    free(d);
}

struct nvme_port *double_port(struct nvme_double *d) { return &d->port; }
struct double_faults *double_faults(struct nvme_double *d) { return &d->faults; }
struct double_said *double_said(struct nvme_double *d) { return &d->said; }
uint8_t *double_medium(struct nvme_double *d) { return d->medium; }
void double_refuse_maps(struct nvme_double *d, bool refuse) { d->refuses = refuse; }
