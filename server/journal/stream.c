/* SPDX-License-Identifier: MIT */
#include "server/journal/stream.h"

#include <string.h>

#include "alloc/base/assert.h"
#include "server/mem.h"

#define BLOCK_MIN ((size_t)16 << 10) /* allocations, headers included */
#define BLOCK_MAX ((size_t)256 << 10)

struct stream_block {
    struct stream_block *next; /* counted in its refs */
    uint64_t offset;           /* of data[0] */
    size_t used, cap;
    unsigned refs;
    char data[];
};

/* --- blocks ------------------------------------------------------------------------------------------------------- */

/* A stream that has grown gets larger ones: fewer of them, and longer pieces. */
static struct stream_block *block_new(struct stream *s)
{
    size_t size = s->bytes < BLOCK_MIN ? BLOCK_MIN : s->bytes < BLOCK_MAX ? s->bytes : BLOCK_MAX;
    struct stream_block *b = mem_alloc(size);
    b->next = NULL;
    b->offset = s->end;
    b->used = 0;
    b->cap = size - sizeof *b;
    b->refs = 1;
    s->bytes += size;
    return b;
}

static void block_unref(struct stream *s, struct stream_block *b)
{
    while (b) {
        ASSERT(b->refs > 0);
        if (--b->refs) return;
        struct stream_block *next = b->next;
        s->bytes -= b->cap + sizeof *b;
        mem_free(b);
        b = next;
    }
}

void stream_fini(struct stream *s)
{
    block_unref(s, s->tail);
    s->tail = NULL;
    ASSERT(s->bytes == 0);
}

void stream_append(struct stream *s, struct bytes b)
{
    if (!s->tail) {
        s->end += b.n;
        return;
    }
    while (b.n) {
        struct stream_block *tail = s->tail;
        if (tail->used == tail->cap) {
            struct stream_block *next = block_new(s);
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

/* --- readers ------------------------------------------------------------------------------------------------------ */

static void stand(struct stream_reader *r, struct stream *s, struct stream_block *b, uint64_t offset)
{
    b->refs++;
    *r = (struct stream_reader){.stream = s, .block = b, .offset = offset};
}

void stream_read(struct stream *s, struct stream_reader *r)
{
    if (!s->tail) s->tail = block_new(s);
    stand(r, s, s->tail, s->end);
}

void stream_read_from(const struct stream_reader *from, struct stream_reader *r)
{
    ASSERT(from->stream != NULL);
    stand(r, from->stream, from->block, from->offset);
}

void stream_reader_end(struct stream_reader *r)
{
    struct stream *s = r->stream;
    if (!s) return;
    block_unref(s, r->block);
    *r = (struct stream_reader){0};
    /* The last reader of all: only the stream itself holds its tail now, and nobody stands before it. */
    if (s->tail && s->tail->refs == 1 && s->bytes == s->tail->cap + sizeof *s->tail) {
        block_unref(s, s->tail);
        s->tail = NULL;
    }
}

uint64_t stream_unread(const struct stream_reader *r) { return r->stream ? r->stream->end - r->offset : 0; }

unsigned stream_peek(const struct stream_reader *r, struct bytes *out, unsigned pieces, size_t bytes_max)
{
    unsigned n = 0;
    uint64_t at = r->offset;
    for (const struct stream_block *b = r->block; b && n < pieces && bytes_max; b = b->next) {
        size_t skip = (size_t)(at - b->offset), left = b->used - skip;
        if (left == 0) continue;
        if (left > bytes_max) left = bytes_max;
        out[n++] = bytes_of(b->data + skip, left);
        at += left;
        bytes_max -= left;
    }
    return n;
}

void stream_advance(struct stream_reader *r, size_t n)
{
    ASSERT(n <= stream_unread(r));
    r->offset += n;
    while (r->offset >= r->block->offset + r->block->used && r->block->next) {
        struct stream_block *b = r->block, *next = b->next;
        next->refs++;
        r->block = next;
        block_unref(r->stream, b);
    }
}
