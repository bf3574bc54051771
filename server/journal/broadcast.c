/* SPDX-License-Identifier: MIT */
#include "server/journal/broadcast.h"

#include <string.h>

#include "alloc/base/assert.h"
#include "server/mem.h"

#define BLOCK_MIN ((size_t)16 << 10) /* allocations, headers included */
#define BLOCK_MAX ((size_t)256 << 10)

struct broadcast_block {
    struct broadcast_block *next; /* counted in its refs */
    uint64_t offset;              /* of data[0] */
    size_t used, cap;
    unsigned refs;
    char data[];
};

/* --- blocks ------------------------------------------------------------------------------------------------------- */

/* One that has grown gets larger ones: fewer of them, and longer pieces. */
static struct broadcast_block *block_new(struct broadcast *s)
{
    size_t size = s->bytes < BLOCK_MIN ? BLOCK_MIN : s->bytes < BLOCK_MAX ? s->bytes : BLOCK_MAX;
    struct broadcast_block *b = mem_alloc(size);
    b->next = NULL;
    b->offset = s->end;
    b->used = 0;
    b->cap = size - sizeof *b;
    b->refs = 1;
    s->bytes += size;
    return b;
}

static void block_unref(struct broadcast *s, struct broadcast_block *b)
{
    while (b) {
        ASSERT(b->refs > 0);
        if (--b->refs) return;
        struct broadcast_block *next = b->next;
        s->bytes -= b->cap + sizeof *b;
        mem_free(b);
        b = next;
    }
}

void broadcast_fini(struct broadcast *s)
{
    block_unref(s, s->tail);
    s->tail = NULL;
    ASSERT(s->bytes == 0);
}

void broadcast_append(struct broadcast *s, struct bytes b)
{
    if (!s->tail) {
        s->end += b.n;
        return;
    }
    while (b.n) {
        struct broadcast_block *tail = s->tail;
        ASSERT(tail->next == NULL);
        ASSERT(tail->offset + tail->used == s->end);
        if (tail->used == tail->cap) {
            struct broadcast_block *next = block_new(s);
            next->refs++; /* as the tail, and as the next of the last one */
            tail->next = next;
            s->tail = next;
            block_unref(s, tail);
            continue;
        }
        size_t room = tail->cap - tail->used, n = b.n < room ? b.n : room;
        memcpy(tail->data + tail->used, b.p, n);
        tail->used += n;
        s->end += n;
        b.p += n;
        b.n -= n;
    }
}

char *broadcast_room(struct broadcast *s, size_t n)
{
    struct broadcast_block *b = s->tail;
    return b && b->cap - b->used >= n ? b->data + b->used : NULL;
}

void broadcast_filled(struct broadcast *s, size_t n)
{
    ASSERT(n <= s->tail->cap - s->tail->used);
    s->tail->used += n;
    s->end += n;
}

/* --- readers ------------------------------------------------------------------------------------------------------ */

static void stand(struct broadcast_reader *r, struct broadcast *s, struct broadcast_block *b, uint64_t offset)
{
    ASSERT(offset >= b->offset);
    ASSERT(offset <= b->offset + b->used);
    b->refs++;
    *r = (struct broadcast_reader){.of = s, .block = b, .offset = offset};
}

void broadcast_read(struct broadcast *s, struct broadcast_reader *r)
{
    if (!s->tail) s->tail = block_new(s);
    stand(r, s, s->tail, s->end);
}

void broadcast_read_from(const struct broadcast_reader *from, struct broadcast_reader *r)
{
    ASSERT(from->of != NULL);
    stand(r, from->of, from->block, from->offset);
}

void broadcast_reader_end(struct broadcast_reader *r)
{
    struct broadcast *s = r->of;
    if (!s) return;
    block_unref(s, r->block);
    *r = (struct broadcast_reader){0};
    /* The last reader of all: only the broadcast itself holds its tail now, and nobody stands before it. */
    if (s->tail && s->tail->refs == 1 && s->bytes == s->tail->cap + sizeof *s->tail) {
        block_unref(s, s->tail);
        s->tail = NULL;
    }
}

uint64_t broadcast_unread(const struct broadcast_reader *r) { return r->of ? r->of->end - r->offset : 0; }

unsigned broadcast_peek(const struct broadcast_reader *r, struct bytes *out, unsigned pieces, size_t bytes_max)
{
    unsigned n = 0;
    uint64_t at = r->offset;
    for (const struct broadcast_block *b = r->block; b && n < pieces && bytes_max; b = b->next) {
        ASSERT(at >= b->offset);
        ASSERT(at <= b->offset + b->used);
        size_t skip = (size_t)(at - b->offset), left = b->used - skip;
        if (left == 0) continue;
        if (left > bytes_max) left = bytes_max;
        out[n++] = bytes_of(b->data + skip, left);
        at += left;
        bytes_max -= left;
    }
    return n;
}

void broadcast_advance(struct broadcast_reader *r, size_t n)
{
    ASSERT(n <= broadcast_unread(r));
    r->offset += n;
    while (r->offset >= r->block->offset + r->block->used && r->block->next) {
        struct broadcast_block *b = r->block, *next = b->next;
        ASSERT(next->offset == b->offset + b->used);
        next->refs++;
        r->block = next;
        block_unref(r->of, b);
    }
}

void broadcast_let_go(struct broadcast_reader *r, uint64_t n)
{
    ASSERT(n <= broadcast_unread(r));
    for (uint64_t step; n; n -= step) {
        const struct broadcast_block *b = r->block;
        uint64_t left = b->offset + b->used - r->offset;
        if (b->refs > 1u + (b == r->of->tail)) return; /* somebody else stands in it */
        step = n < left ? n : left;
        broadcast_advance(r, (size_t)step);
    }
}

#ifdef DEMI_DEBUG
void broadcast_reader_check(const struct broadcast_reader *r)
{
    if (!r->of) return;
    const struct broadcast_block *b = r->block;
    size_t bytes = 0;
    ASSERT(r->offset <= r->of->end);
    ASSERT(r->offset >= b->offset);
    ASSERT(r->offset <= b->offset + b->used);
    for (;; b = b->next) {
        /* This reader or the block before it, and the broadcast itself its tail. */
        ASSERT(b->refs >= 1u + (b == r->of->tail));
        ASSERT(b->used <= b->cap);
        bytes += b->cap + sizeof *b;
        if (!b->next) break;
        ASSERT(b->used == b->cap); /* none is left before it is full */
        ASSERT(b->next->offset == b->offset + b->used);
    }
    ASSERT(b == r->of->tail);
    ASSERT(b->offset + b->used == r->of->end);
    ASSERT(bytes <= r->of->bytes);
}
#endif
