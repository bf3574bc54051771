/* SPDX-License-Identifier: MIT
 *
 * A stream of bytes that is written once and read by any number of readers, each at its own pace: blocks of memory that
 * devices know, counted by those who still need them.
 *
 *                 reader A           reader B                       tail: what is appended to
 *                    v                  v                             v
 *     (freed)   +---------+ next +---------+ next +---------+ next +-------+
 *               |  block  |----->|  block  |----->|  block  |----->| block |     offsets are absolute: those of the
 *               +---------+      +---------+      +---------+      +-------+     first byte ever written and on
 *               begin                                          end
 *
 * A block lives while a reader stands in it or before it, or while it is the tail. So the memory of a stream is what its
 * slowest reader has not read, once, whatever their number. Who reads decides how far behind he may be: a stream has no
 * bound of its own.
 *
 * What was handed to a device may still be on its way when a block is freed: pins of the heap keep it (demi_pushv()).
 */
#ifndef SERVER_JOURNAL_STREAM_H
#define SERVER_JOURNAL_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

struct stream_block;

struct stream {                /* private; all zero is empty */
    struct stream_block *tail; /* NULL: nobody reads, and what is appended is counted only */
    uint64_t end;              /* offset behind the last byte */
    size_t bytes;              /* of memory in its blocks */
};

struct stream_reader { /* all zero: reads nothing */
    struct stream *stream;
    struct stream_block *block;
    uint64_t offset; /* of the next byte to read */
};

/* No reader may be left. */
void stream_fini(struct stream *s);
void stream_append(struct stream *s, struct bytes b);

/* Reads from the end on. */
void stream_read(struct stream *s, struct stream_reader *r);
/* From where `from` stands. */
void stream_read_from(const struct stream_reader *from, struct stream_reader *r);
void stream_reader_end(struct stream_reader *r); /* harmless when it reads nothing */
/* Bytes it has not read. */
uint64_t stream_unread(const struct stream_reader *r);
/* Whole pieces of what comes next, as they lie, at most `pieces` of them and `bytes_max` bytes; their number. They stay
 * valid until the reader has passed them. */
unsigned stream_peek(const struct stream_reader *r, struct bytes *out, unsigned pieces, size_t bytes_max);
void stream_advance(struct stream_reader *r, size_t n); /* n <= stream_unread() */

#endif
