/* SPDX-License-Identifier: MIT
 *
 * Words that peers write into: of each connection 8 bytes that the peer's device fills with a count, and 8 from which
 * ours fills the peer's. This is all the memory that peers may write to.
 *
 * A word lies alone in its cache line and is written by the device as a whole; the count in it, big-endian, never
 * shrinks.
 */
#ifndef RDMA_WORDS_H
#define RDMA_WORDS_H

#include "alloc/base/bytes.h"
#include "libos/msgdev.h"

#define WORDS_CHUNK 65536 /* bytes lent at once */
#define WORD_LINE   64
#define WORD_CELL   (2 * WORD_LINE) /* in, and out */

struct words_chunk;

struct words {
    struct msgdev *dev;
    struct words_chunk *chunks;
    void *free; /* cells, each with the address of the next in its first bytes */
    uint64_t used;
};

struct rdma_word {
    uint8_t *in;  /* NULL: none */
    uint8_t *out; /* in memory that the device knows, for one that cannot copy 8 bytes */
    void *cookie; /* of both */
    uint32_t key; /* for the peer */
};

void words_init(struct words *w, struct msgdev *dev);
void words_fini(struct words *w);
/* Both words are 0. -ENOMEM, or why the device takes no more memory. */
int words_take(struct words *w, struct rdma_word *out);
/* The peer must not be able to write any more. */
void words_give(struct words *w, struct rdma_word *word);

/* What the peer's device has written. It is read before anything that the count allows is done. */
static inline uint64_t word_read(const struct rdma_word *w)
{
    return __builtin_bswap64(__atomic_load_n((const uint64_t *)(const void *)w->in, __ATOMIC_ACQUIRE));
}

#endif
