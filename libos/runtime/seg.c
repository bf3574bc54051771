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
#include "alloc/extmem.h"
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
    if (n <= SEG_COPY_MAX) return copy(s, p, n);
    *s = (struct seg){.p = p, .n = n, .kind = SEG_PIN, .hold = (void *)(uintptr_t)p};
    if (!heap_pin(p)) return 0;
    struct extmem *m = extmem_hold(p, n);
    if (!m) return copy(s, p, n);
    s->kind = SEG_EXTMEM;
    s->hold = m;
    return 0;
}

static void unpin(void *p) { heap_unpin(p); }

struct buf *seg_take_view(struct seg *s)
{
    DASSERT(s->kind == SEG_PIN || s->kind == SEG_EXTMEM);
    buf_release_fn release = s->kind == SEG_PIN ? unpin : extmem_release;
    struct buf *view = buf_wrap((void *)(uintptr_t)s->p, s->n, release, s->hold);
    if (view) s->kind = SEG_NONE;
    return view;
}

void seg_release(struct seg *s)
{
    if (s->kind == SEG_BUF) buf_unref(s->hold);
    else if (s->kind == SEG_PIN) heap_unpin(s->hold);
    else if (s->kind == SEG_EXTMEM) extmem_release(s->hold);
    s->kind = SEG_NONE;
}
