/* SPDX-License-Identifier: MIT
 *
 * See seg.h. A buffer's storage is an object of the heap, so pinning it works on both.
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

/* TODO(heap): pin instead of copying once alloc/heap.c has pins. */
int seg_of_memory(struct seg *s, const void *p, uint32_t n)
{
    struct buf *b = buf_take(n);
    if (!b) return -ENOMEM;
    memcpy(b->data, p, n);
    b->len = n;
    *s = (struct seg){.p = (const char *)b->data, .n = n, .kind = SEG_BUF, .hold = b};
    return 0;
}

void seg_release(struct seg *s)
{
    if (s->kind == SEG_BUF) buf_unref(s->hold);
    else if (s->kind == SEG_PIN) mem_unpin(s->hold);
    s->kind = SEG_NONE;
}
