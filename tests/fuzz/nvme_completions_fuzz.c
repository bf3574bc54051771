/* SPDX-License-Identifier: MIT
 *
 * A controller of NVMe that writes what it likes into its queues, its status and its answers, while requests go on.
 * Each request ends once, with 0 or an errno, whatever the controller says; and the driver is in one of its states.
 *
 * The input is a list of steps: one byte what, three bytes of how, 16 bytes of a completion or of a page.
 */
#include "libos/nvme/nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"
#include "alloc/base/log.h"
#include "alloc/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { STEP = 20, WORDS = 256, BUF_BYTES = 3 * 4096, STEPS_MAX = 2000 };

static uint8_t bar[65536] __attribute__((aligned(4096)));
static struct nvme *v;
static bool out[WORDS];
static unsigned next_word;
static struct buf *bytes;

static int fuzz_map(struct nvme_port *p, void *base, size_t len, uint64_t *iova)
{
    *iova = (uintptr_t)base + 4096;
    return 0;
}
static void fuzz_unmap(struct nvme_port *p, void *base, size_t len, uint64_t iova) {}
static void fuzz_nothing(struct nvme_port *p) {}
static const struct nvme_port_ops ops = {
    .map = fuzz_map, .unmap = fuzz_unmap, .cut = fuzz_nothing, .close = fuzz_nothing, .forget = fuzz_nothing};

static void nothing(void *arg, int level, const char *text) {}

static void put(uint32_t at, uint32_t value) { memcpy(bar + at, &value, 4); }

/* Where nobody lies: ready as soon as it is enabled. */
static void follow(void)
{
    uint32_t cc = load_u32(bar + NVME_CC);
    put(NVME_CSTS, (cc & NVME_CC_EN ? NVME_CSTS_RDY : 0) | (cc & NVME_CC_SHN ? NVME_CSTS_SHST_DONE : 0));
}

static void complete(struct nvme_ring *r, struct nvme_cqe c)
{
    if (!r->cq) return; /* it has not been enabled */
    c.status = (uint16_t)((c.status & ~1u) | r->phase);
    r->cq[r->head] = c;
}

/* What a decent one answers, so that most inputs get somewhere. */
static void answer_admin(const uint8_t *how)
{
    uint8_t *page = v->memory->page;
    if (v->state != NVME_ASKING && v->state != NVME_LEAVING) return;
    memset(page, 0, NVME_PAGE);
    page[0] = 0;
    page[1] = 16; /* 4096 blocks */
    page[512] = 0x66;
    page[513] = 0x44;
    page[516] = 1;
    page[525] = 1;
    page[130] = how[0] & 1 ? 9 : 12;
    if (how[0] & 2) memcpy(page + load_u16(how + 1) % (NVME_PAGE - 16), how + 3, 16);
    complete(&v->admin, (struct nvme_cqe){.cid = NVME_ADMIN_STEP, .sq_head = (uint16_t)v->admin.tail});
}

static void answer_io(void)
{
    if (v->state != NVME_LIVE || !v->issued) return;
    complete(&v->io, (struct nvme_cqe){
                         .cid = (uint16_t)__builtin_ctzll(v->issued), .sq_id = 1, .sq_head = (uint16_t)v->io.tail});
}

static void take(void)
{
    struct blockdev_completion done[BLOCKDEV_BURST];
    for (unsigned n; (n = v->base.ops->poll(&v->base, done, BLOCKDEV_BURST));)
        for (unsigned i = 0; i < n; i++) {
            ASSERT(done[i].word < WORDS);
            ASSERT(out[done[i].word]);
            ASSERT(done[i].err >= 0);
            out[done[i].word] = false;
        }
}

static void post(const uint8_t *how)
{
    struct blockdev_request r = {.word = next_word % WORDS, .verb = how[0] % 4, .flags = how[0] >> 7, .buf = bytes};
    uint32_t block = v->base.caps.block;
    if (!block || out[r.word]) return;
    r.n = (how[1] % 2 + 1) * 4096;
    if (r.verb <= BLOCKDEV_WRITE && r.n > v->base.caps.request_max) return;
    r.at = (uint64_t)load_u16(how + 1) * 4096;
    unsigned taken = v->base.ops->post(&v->base, &r, 1);
    ASSERT(taken <= 1);
    if (!taken) return;
    out[r.word] = true;
    next_word++;
}

static void step(const uint8_t *s, uint64_t *now)
{
    struct nvme_cqe c;
    memcpy(&c, s + 4, sizeof c);
    switch (s[0] % 10) {
    case 0: *now += (uint64_t)load_u16(s + 1) << 20; break; /* up to a minute */
    case 1: answer_admin(s + 1); break;
    case 2: answer_io(); break;
    case 3: complete(&v->io, c); break;
    case 4: complete(&v->admin, c); break;
    case 5: put(NVME_CSTS, s[1] == 255 ? UINT32_MAX : s[1]); break;
    case 6: memcpy((uint8_t *)v->memory->io_cq + load_u16(s + 1) % (NVME_PAGE - 16), s + 4, 16); break;
    case 7: memcpy((uint8_t *)v->memory->admin_cq + load_u16(s + 1) % (NVME_PAGE - 16), s + 4, 16); break;
    case 8: nvme_interrupted(v); break;
    default: post(s + 1);
    }
    if (s[0] % 10 != 5) follow();
    nvme_turn(v, *now);
    if (s[0] & 128) take();
    ASSERT(v->state <= NVME_DEAD);
    ASSERT(v->busy_count <= NVME_DEPTH && v->done_count <= NVME_DEPTH);
    ASSERT(v->busy_count == (unsigned)__builtin_popcountll(v->busy) && !(v->issued & ~v->busy));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct nvme_port port = {.ops = &ops, .bar = bar, .bar_size = sizeof bar, .event_fd = -1};
    struct nvme_counters counters = {0};
    char why[NVME_WHY_SIZE];
    uint64_t now = 1;
    log_set_default(&(struct log){.sink = nothing});
    memset(bar, 0, sizeof bar);
    memset(out, 0, sizeof out);
    put(NVME_CAP, 255 | 1u << 16 | 1u << 24);
    put(NVME_CAP + 4, 1u << 5);
    bytes = buf_take(BUF_BYTES);
    if (!bytes || nvme_new(&v, &port, 1, "fuzz", &counters, now, why)) abort();
    buf_put_back(bytes, BUF_BYTES);
    buf_trim_front(bytes, -(uintptr_t)bytes->data & 4095);
    for (unsigned k = 0; n >= STEP && k < STEPS_MAX; k++, data += STEP, n -= STEP) {
        now += NVME_STEP_NS;
        step(data, &now);
    }
    take();
    nvme_die(v, EIO, "the end");
    take();
    for (unsigned i = 0; i < WORDS; i++) ASSERT(!out[i]);
    nvme_free(v);
    buf_unref(bytes);
    return 0;
}
