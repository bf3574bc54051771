/* SPDX-License-Identifier: MIT
 *
 * See words.h. Chunks are lent as long as the device is open: giving a chunk back would make a word's key die under
 * the others' hands.
 */
#include "libos/rdma/words.h"

#include <errno.h>
#include <stdlib.h>

#define CELLS (WORDS_CHUNK / WORD_CELL)

struct words_chunk {
    struct words_chunk *next;
    uint8_t *base;
    struct msgdev_lent lent;
};

void words_init(struct words *w, struct msgdev *dev) { *w = (struct words){.dev = dev}; }

void words_fini(struct words *w)
{
    for (struct words_chunk *k; (k = w->chunks);) {
        w->chunks = k->next;
        w->dev->ops->take_back(w->dev, &k->lent);
        free(k->base);
        free(k);
    }
    w->free = NULL;
}

static int add_chunk(struct words *w)
{
    struct words_chunk *k = calloc(1, sizeof *k);
    if (!k) return -ENOMEM;
    k->base = aligned_alloc(4096, WORDS_CHUNK);
    int err = k->base ? w->dev->ops->lend(w->dev, k->base, WORDS_CHUNK, &k->lent) : -ENOMEM;
    if (err) {
        free(k->base);
        free(k);
        return err;
    }
    k->next = w->chunks;
    w->chunks = k;
    for (unsigned i = CELLS; i-- > 0;) {
        void *cell = k->base + i * WORD_CELL;
        memcpy(cell, &w->free, sizeof w->free);
        w->free = cell;
    }
    return 0;
}

static const struct words_chunk *chunk_of(const struct words *w, const uint8_t *cell)
{
    const struct words_chunk *k = w->chunks;
    while ((uintptr_t)cell - (uintptr_t)k->base >= WORDS_CHUNK) k = k->next;
    return k;
}

int words_take(struct words *w, struct rdma_word *out)
{
    int err = w->free ? 0 : add_chunk(w);
    if (err) return err;
    uint8_t *cell = w->free;
    const struct words_chunk *k = chunk_of(w, cell);
    memcpy(&w->free, cell, sizeof w->free);
    memset(cell, 0, WORD_CELL);
    *out = (struct rdma_word){.in = cell, .out = cell + WORD_LINE, .cookie = k->lent.cookie, .key = k->lent.key};
    w->used++;
    return 0;
}

void words_give(struct words *w, struct rdma_word *word)
{
    if (!word->in) return;
    memcpy(word->in, &w->free, sizeof w->free);
    w->free = word->in;
    w->used--;
    *word = (struct rdma_word){0};
}
