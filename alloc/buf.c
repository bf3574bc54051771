/* SPDX-License-Identifier: MIT
 *
 * A buffer that owns its storage is one object of the heap, the view in front of the bytes:
 *
 *     | struct buf, 64 | headroom, 128 | room ... |       data is aligned to 64
 *
 * The heap's caches are the pools: they hand out last in, first out, so that the 16 KiB buffer of
 * the next request is the one whose lines are still in the cache. Take and unref cost 7 ns.
 *
 * Two counters: `refs` are the holders of one view, `views` the views of one storage, the owner's
 * own among them. An owner whose view has gone stays as a mere storage until its last slice goes.
 */
#include "alloc/buf.h"

#include <string.h>

#include "alloc/base/assert.h"
#include "alloc/heap.h"

enum { BUF_OWNER, BUF_SLICE, BUF_WRAPPED, BUF_PLACED };

static_assert(sizeof(struct buf) == 64, "one cache line, and data keeps its alignment");

static inline struct buf *owner_new(size_t size)
{
    struct buf *b = heap_alloc(sizeof *b + BUF_HEADROOM + size);
    if (unlikely(!b)) return NULL;
    uint8_t *base = (uint8_t *)(b + 1);
    *b = (struct buf){.data = base + BUF_HEADROOM,
                      .refs = 1,
                      .store = b,
                      .base = base,
                      .cap = (uint32_t)(BUF_HEADROOM + size),
                      .views = 1,
                      .kind = BUF_OWNER};
    return b;
}

struct buf *buf_take(size_t size)
{
    if (unlikely(size > BUF_SIZE_MAX)) return NULL;
    if (size <= BUF_SMALL_SIZE) size = BUF_SMALL_SIZE;
    else if (size <= BUF_LARGE_SIZE) size = BUF_LARGE_SIZE;
    return owner_new(size);
}

struct buf *buf_take_exact(size_t size) { return unlikely(size > BUF_SIZE_MAX) ? NULL : owner_new(size); }

static struct buf *view_new(uint8_t *p, size_t n, uint32_t kind)
{
    if (n > BUF_SIZE_MAX) return NULL;
    struct buf *b = heap_alloc(sizeof *b);
    if (unlikely(!b)) return NULL;
    *b = (struct buf){
        .data = p, .len = (uint32_t)n, .refs = 1, .store = b, .base = p, .cap = (uint32_t)n, .views = 1, .kind = kind};
    return b;
}

struct buf *buf_wrap(void *p, size_t n, buf_release_fn release, void *arg)
{
    struct buf *b = view_new(p, n, BUF_WRAPPED);
    if (unlikely(!b)) return NULL;
    b->u.release = release;
    b->arg = arg;
    return b;
}

void buf_place(struct buf *at, void *base, uint32_t cap, void *p, uint32_t n, buf_release_fn release, void *arg)
{
    *at = (struct buf){.data = p,
                       .len = n,
                       .refs = 1,
                       .store = at,
                       .base = base,
                       .cap = cap,
                       .views = 1,
                       .kind = BUF_PLACED,
                       .u.release = release,
                       .arg = arg};
}

struct buf *buf_slice(struct buf *b, size_t offset, size_t n)
{
    if (offset > b->len || n > b->len - offset) return NULL;
    struct buf *s = view_new(b->data + offset, n, BUF_SLICE);
    if (unlikely(!s)) return NULL;
    s->store = b->store;
    s->store->views++;
    return s;
}

/* One view of a storage has gone. */
static inline void store_unref(struct buf *b)
{
    DASSERT(b->views > 0);
    if (--b->views) return;
    if (b->kind == BUF_PLACED) {
        b->u.release(b->arg); /* b is his from here on */
        return;
    }
    if (b->kind == BUF_WRAPPED && b->u.release) b->u.release(b->arg);
    heap_free(b);
}

void buf_unref(struct buf *b)
{
    while (b) {
        DASSERT(b->refs > 0);
        if (--b->refs) return;
        struct buf *next = b->next, *store = b->store;
        if (store != b) heap_free(b);
        store_unref(store);
        b = next;
    }
}

void buf_chain_append(struct buf *head, struct buf *tail)
{
    while (head->next) head = head->next;
    head->next = tail;
}

size_t buf_chain_len(const struct buf *head)
{
    size_t n = 0;
    for (; head; head = head->next) n += head->len;
    return n;
}

size_t buf_chain_copy(const struct buf *head, size_t offset, void *out, size_t n)
{
    size_t done = 0;
    for (; head && done < n; head = head->next) {
        if (offset >= head->len) {
            offset -= head->len;
            continue;
        }
        size_t part = head->len - offset;
        if (part > n - done) part = n - done;
        memcpy((char *)out + done, head->data + offset, part);
        done += part;
        offset = 0;
    }
    return done;
}

struct buf *buf_chain_drop(struct buf *head, size_t n)
{
    while (head && n >= head->len) {
        struct buf *next = head->next;
        n -= head->len;
        head->next = NULL;
        buf_unref(head);
        head = next;
    }
    if (head) buf_trim_front(head, n);
    return head;
}

void buf_chain_trim(struct buf *head, size_t n)
{
    while (head->len < n) {
        n -= head->len;
        head = head->next;
    }
    head->len = (uint32_t)n;
    buf_unref(head->next);
    head->next = NULL;
}
