/* SPDX-License-Identifier: MIT
 *
 * One direction of a connection: records in a ring of cache lines that one process writes and another one reads. The
 * reader looks at the very word in which the next record begins, so that a small record crosses from one core to the
 * other with the lines that hold it, and no index beside them.
 *
 *     line 0          line 1          line 2          line 3          line 4
 *     | h | bytes ... | ... bytes     | h | bytes     | 0             | what an older lap left
 *     ^ reader.pos                                    ^ writer.pos
 *
 *     h   64 bits: length (32) | kind (32); 0: nothing is here yet
 *
 * The writer puts down the bytes, then 0 where the next record will begin, then h with release: whoever sees h sees the
 * bytes, and behind them nothing that only looks like a record. So one line of the ring is never used. A record does
 * not wrap: it ends with the ring at the latest, and what is left begins the next one at its start.
 *
 * A store to a line that the other core has looked at waits for that core, so what can be done before is not done while
 * somebody waits for h: some lines ahead begin with 0 already (`clear`), which ring_clear_ahead() sees to when all is
 * sent; and the line that h stands in, which is the one the reader looks at, is written last.
 *
 * How far the reader has got stands in a word of his (`head`, bytes since the beginning of the connection), which the
 * writer looks at only when he has run out of room.
 *
 * Trust: the other side may write anything anywhere in this memory at any moment. Each word of his is read once, into a
 * local, checked, and a wrong one ends the connection (-EPROTO); bytes are copied out before anybody looks at them.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include "alloc/base/assert.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define RING_LINE        64u
#define RING_HEADER      8u
#define RING_SIZE_MIN    4096u
#define RING_SIZE_MAX    (16u << 20)
#define RING_RECORD_MAX  16384u /* bytes of a record's lines: the reader has the first while the second is written */
#define RING_GATHER_MAX  16u    /* records that one read takes */
#define RING_GATHER_SIZE 65536u /* and their bytes */
#define RING_AHEAD       512u   /* bytes of lines that begin with 0: so many that the reader has fetched some of them */

enum record_kind { RING_DATA = 1, RING_FIN = 2 };

struct ring_writer {
    uint8_t *base;
    uint32_t size;  /* a multiple of RING_LINE */
    uint32_t at;    /* pos in the ring: pos % size, which would be a division a step */
    uint64_t pos;   /* bytes of lines written */
    uint64_t head;  /* … and read, when we last looked */
    uint64_t clear; /* from pos to here each line begins with 0 */
    const _Atomic uint64_t *peer_head;
};

struct ring_reader {
    uint8_t *base;
    uint32_t size, at;
    uint64_t pos; /* bytes of lines read */
    _Atomic uint64_t *head;
    bool ended; /* RING_FIN has been read: nothing is behind it */
};

static inline _Atomic uint64_t *ring_word(uint8_t *base, uint32_t at)
{
    return (_Atomic uint64_t *)(void *)(base + at);
}

/* n bytes on, n at most size. */
static inline uint32_t ring_step(uint32_t at, uint32_t n, uint32_t size)
{
    uint32_t to_end = size - at;
    return n < to_end ? at + n : n - to_end;
}

static inline uint32_t ring_lines(uint32_t n) { return (n + RING_HEADER + RING_LINE - 1) & ~(RING_LINE - 1); }

/* --- writing ------------------------------------------------------------------------------------------------------ */

void ring_writer_init(struct ring_writer *w, uint8_t *base, uint32_t size, const _Atomic uint64_t *peer_head);

/* Looks how far the reader has got. -EPROTO: to where it cannot be. */
int ring_look(struct ring_writer *w);

/* How many bytes the next record can have; 0: none. */
static inline uint32_t ring_room(const struct ring_writer *w)
{
    uint32_t free = w->size - (uint32_t)(w->pos - w->head), to_end = w->size - w->at;
    uint32_t lines = free - RING_LINE < to_end ? free - RING_LINE : to_end;
    if (lines > RING_RECORD_MAX) lines = RING_RECORD_MAX;
    return lines ? lines - RING_HEADER : 0;
}

/* The record is there: its bytes have been put behind its header. */
static inline void ring_publish(struct ring_writer *w, uint32_t n, enum record_kind kind)
{
    uint32_t lines = ring_lines(n), next = ring_step(w->at, lines, w->size);
    DASSERT(n <= ring_room(w));
    if (unlikely(w->pos + lines >= w->clear)) {
        atomic_store_explicit(ring_word(w->base, next), 0, memory_order_relaxed);
        w->clear = w->pos + lines + RING_LINE;
    }
    atomic_store_explicit(ring_word(w->base, w->at), (uint64_t)kind << 32 | n, memory_order_release);
    w->pos += lines;
    w->at = next;
}

/* Puts n bytes where the next record's are, ring_room() permitting. */
static inline void ring_put(const struct ring_writer *w, const void *p, uint32_t n)
{
    const uint32_t first = RING_LINE - RING_HEADER;
    uint8_t *at = w->base + w->at + RING_HEADER;
    if (n > first) {
        memcpy(at + first, (const uint8_t *)p + first, n - first);
        atomic_signal_fence(memory_order_seq_cst); /* the compiler keeps the order, which is for speed alone */
        memcpy(at, p, first);
    } else {
        memcpy(at, p, n);
    }
}

/* Nobody waits for the writer now: the lines ahead are made to begin with 0. */
void ring_clear_ahead(struct ring_writer *w);

/* Writes up to n bytes and returns how many; fewer: the ring is full. -EPROTO. */
int64_t ring_write(struct ring_writer *w, const void *p, uint32_t n);
/* The end. -EAGAIN: no room. -EPROTO. */
int ring_write_fin(struct ring_writer *w);

/* --- reading ------------------------------------------------------------------------------------------------------ */

void ring_reader_init(struct ring_reader *r, uint8_t *base, uint32_t size, _Atomic uint64_t *head);

static inline _Atomic uint64_t *ring_next(const struct ring_reader *r) { return ring_word(r->base, r->at); }

static inline bool ring_has_record(const struct ring_reader *r)
{
    return atomic_load_explicit(ring_next(r), memory_order_relaxed) != 0;
}

/* What stands in the ring, as read once: to be taken with ring_take(). */
struct ring_batch {
    uint32_t count, bytes;
    bool fin;
    uint32_t lines, at; /* bytes of their lines, and where they end */
    uint32_t n[RING_GATHER_MAX];
};

/* Looks at the records that are there: up to `most` bytes of them, but at least one, and no further than it takes to
 * have that many. 0, with count 0 and no fin: nothing. -EPROTO: what no writer of ours writes. */
int ring_look_in(const struct ring_reader *r, struct ring_batch *b, uint32_t most);
/* Copies b's bytes to `out` (NULL: nowhere) and gives their lines back to the writer. */
void ring_take(struct ring_reader *r, const struct ring_batch *b, void *out);

/* Invariants of this side; its own words only. */
void ring_writer_check(const struct ring_writer *w);
void ring_reader_check(const struct ring_reader *r);

#endif
