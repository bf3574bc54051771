/* SPDX-License-Identifier: MIT
 *
 * A broadcast: bytes that are written once and read by any number of readers, each at its own pace: blocks of memory
 * that devices know, counted by those who still need them.
 *
 *                 reader A           reader B                       tail: what is appended to
 *                    v                  v                             v
 *     (freed)   +---------+ next +---------+ next +---------+ next +-------+
 *               |  block  |----->|  block  |----->|  block  |----->| block |     offsets are absolute: those of the
 *               +---------+      +---------+      +---------+      +-------+     first byte ever written and on
 *               begin                                          end
 *
 * A block lives while a reader stands in it or before it, or while it is the tail. So the memory of a broadcast is what
 * its slowest reader has not read, once, whatever their number. Who reads decides how far behind he may be: a broadcast
 * has no bound of its own.
 *
 * What was handed to a device may still be on its way when a block is freed: pins of the heap keep it (demi_pushv()).
 */
#ifndef SERVER_JOURNAL_BROADCAST_H
#define SERVER_JOURNAL_BROADCAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/base/bytes.h"

struct broadcast_block;

struct broadcast {                /* private; all zero is empty */
    struct broadcast_block *tail; /* NULL: nobody reads, and what is appended is counted only */
    uint64_t end;                 /* offset behind the last byte */
    size_t bytes;                 /* of memory in its blocks */
};

struct broadcast_reader { /* all zero: reads nothing */
    struct broadcast *of;
    struct broadcast_block *block;
    uint64_t offset; /* of the next byte to read */
};

/* No reader may be left. */
void broadcast_fini(struct broadcast *s);
void broadcast_append(struct broadcast *s, struct bytes b);
/* Where the next bytes go, if there is room for so many in one piece: who has filled in some says how many, before
 * anything else is appended. NULL: there is none. */
char *broadcast_room(struct broadcast *s, size_t n);
void broadcast_filled(struct broadcast *s, size_t n);

/* Reads from the end on. */
void broadcast_read(struct broadcast *s, struct broadcast_reader *r);
/* From where `from` stands. */
void broadcast_read_from(const struct broadcast_reader *from, struct broadcast_reader *r);
void broadcast_reader_end(struct broadcast_reader *r); /* harmless when it reads nothing */
/* Bytes it has not read. */
uint64_t broadcast_unread(const struct broadcast_reader *r);
/* Whole pieces of what comes next, as they lie, at most `pieces` of them and `bytes_max` bytes; their number. They stay
 * valid until the reader has passed them. */
unsigned broadcast_peek(const struct broadcast_reader *r, struct bytes *out, unsigned pieces, size_t bytes_max);
void broadcast_advance(struct broadcast_reader *r, size_t n); /* n <= broadcast_unread() */
/* The same, but not in a block that somebody else needs, too: its memory and that of all behind it would not come back,
 * so that one may as well go on reading there. */
void broadcast_let_go(struct broadcast_reader *r, uint64_t n);

#ifdef DEMI_DEBUG
/* Asserts that the reader stands in a block, and that those from there to the tail follow each other without a gap. */
void broadcast_reader_check(const struct broadcast_reader *r);
#endif

#endif
