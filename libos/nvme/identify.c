/* SPDX-License-Identifier: MIT
 *
 * See identify.h. Base Specification 1.4, 5.15.2 (figures 247 and 245): offsets are named beside each.
 */
#include "libos/nvme/identify.h"

#include "alloc/base/bytes.h"
#include "libos/nvme/spec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_SHIFT_MIN 9 /* LBADS: smaller ones the specification does not have */
#define BLOCK_SHIFT_MAX NVME_PAGE_SHIFT

__attribute__((format(printf, 3, 4))) static int misfit(char *why, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, NVME_WHY_SIZE, fmt, args);
    va_end(args);
    return -err;
}

/* Text of n bytes, filled up with blanks, that may go into a log. */
static void read_text(char *out, const uint8_t *p, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        out[i] = p[i] >= ' ' && p[i] < 127 ? (char)p[i] : '?';
        if (out[i] != ' ' && p[i]) used = i + 1;
    }
    out[used] = 0;
}

int nvme_read_controller(const uint8_t *page, struct nvme_facts *f, char why[NVME_WHY_SIZE])
{
    read_text(f->serial, page + 4, 20);   /* SN */
    read_text(f->model, page + 24, 40);   /* MN */
    read_text(f->firmware, page + 64, 8); /* FR */
    uint8_t mdts = page[77], kind = page[111];
    uint8_t sqes = page[512], cqes = page[513]; /* the least in bits 0 to 3, the most in 4 to 7 */
    if (kind > 1) return misfit(why, ENOTSUP, "it is a controller without namespaces (CNTRLTYPE %u)", kind);
    if ((sqes & 15) > 6 || sqes >> 4 < 6 || (cqes & 15) > 4 || cqes >> 4 < 4)
        return misfit(why, EINVAL, "its queues' entries are not of 64 and 16 bytes (SQES 0x%02x, CQES 0x%02x)", sqes,
                      cqes);
    f->transfer_max = !mdts || mdts >= 32 - NVME_PAGE_SHIFT ? UINT32_MAX : NVME_PAGE << mdts;
    f->shutdown_ns = (uint64_t)load_u32(page + 88) * 1000; /* RTD3E, us */
    f->namespaces = load_u32(page + 516);                  /* NN */
    f->deallocate = load_u16(page + 520) >> 2 & 1;         /* ONCS: Dataset Management */
    f->volatile_cache = page[525] & 1;                     /* VWC */
    f->atomic_blocks = (uint32_t)load_u16(page + 528) + 1; /* AWUPF */
    return 0;
}

static uint32_t power_of_two_in(uint32_t n) { return n ? 1u << (31 - __builtin_clz(n)) : 0; }

/* The largest power of two of blocks that is atomic wherever it is aligned. */
static uint32_t atomic_bytes(const uint8_t *page, const struct nvme_facts *f)
{
    uint32_t blocks = f->atomic_blocks;
    if (page[24] >> 1 & 1) { /* NSFEAT: the namespace has figures of its own */
        uint32_t offset = load_u16(page + 42), boundary = load_u16(page + 44); /* NABO, NABSPF */
        uint32_t fits = offset ? 1 : (boundary + 1) & -(boundary + 1);
        blocks = (uint32_t)load_u16(page + 36) + 1; /* NAWUPF */
        if (boundary && blocks > fits) blocks = fits;
    }
    return power_of_two_in(blocks) << f->shift;
}

int nvme_read_namespace(const uint8_t *page, struct nvme_facts *f, char why[NVME_WHY_SIZE])
{
    uint64_t blocks = load_u64(page);                           /* NSZE */
    unsigned format = (page[26] & 15u) | (page[26] >> 1 & 48u); /* FLBAS: bits 0 to 3, and 5 and 6 */
    if (!blocks) return misfit(why, ENODEV, "there is no such namespace, or it is not attached");
    if (format > page[25] || format > 63) /* NLBAF */
        return misfit(why, EINVAL, "its format is number %u of %u", format, page[25] + 1u);
    const uint8_t *lbaf = page + 128 + 4 * format;
    if (load_u16(lbaf))
        return misfit(why, ENOTSUP, "its blocks have %u bytes of metadata: format it without", load_u16(lbaf));
    if (page[29] & 7) return misfit(why, ENOTSUP, "its blocks have protection information: format it without");
    if (lbaf[2] < BLOCK_SHIFT_MIN || lbaf[2] > BLOCK_SHIFT_MAX)
        return misfit(why, ENOTSUP, "its blocks are of 2^%u bytes, not 512 to 4096", lbaf[2]);
    if (blocks > (uint64_t)INT64_MAX >> lbaf[2])
        return misfit(why, EINVAL, "its size cannot be: 0x%llx blocks", (unsigned long long)blocks);
    if (page[99] & 1) return misfit(why, EROFS, "it is write protected"); /* NSATTR */
    f->shift = lbaf[2];
    f->block = 1u << f->shift;
    f->size = blocks << f->shift;
    f->atomic_max = atomic_bytes(page, f);
    return 0;
}
