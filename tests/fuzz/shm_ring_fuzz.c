/* SPDX-License-Identifier: MIT
 *
 * A peer of libos/shm who writes what he likes into the memory that both have: into either ring, into the headers where
 * the reader looks, into the word that says how far he has read. Our side reads and writes on. Nothing is read or
 * written outside of its ring, and our own words stay what they were (ring_*_check).
 *
 * The input is a list of steps: one byte what, four bytes of what kind, eight bytes of value.
 */
#include <stdlib.h>

#include "libos/shm/ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { SIZE = RING_SIZE_MIN, STEP = 13 };

static uint8_t out[RING_GATHER_SIZE];

static void read_some(struct ring_reader *r, uint32_t most)
{
    struct ring_batch b;
    if (ring_look_in(r, &b, most) || (!b.count && !b.fin)) return;
    ASSERT(b.bytes <= r->size);
    ASSERT(b.bytes <= most || b.count == 1);
    ring_take(r, &b, out);
    ring_reader_check(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t *in = aligned_alloc(RING_LINE, SIZE), *from = aligned_alloc(RING_LINE, SIZE);
    _Atomic uint64_t heads[2] = {0, 0};
    struct ring_reader r;
    struct ring_writer w;
    if (!in || !from) abort();
    memset(in, 0, SIZE);
    memset(from, 0, SIZE);
    ring_reader_init(&r, in, SIZE, &heads[0]);
    ring_writer_init(&w, from, SIZE, &heads[1]);
    for (; n >= STEP; data += STEP, n -= STEP) {
        uint32_t where;
        uint64_t value;
        memcpy(&where, data + 1, sizeof where);
        memcpy(&value, data + 5, sizeof value);
        switch (data[0] % 6) {
        case 0: memcpy(in + where % (SIZE - 7), &value, sizeof value); break;
        case 1: atomic_store(ring_next(&r), value); break;
        case 2: atomic_store(&heads[1], value); break;
        case 3: read_some(&r, where % sizeof out); break;
        case 4:
            ring_write(&w, out, where % (2 * SIZE));
            ring_writer_check(&w);
            ring_clear_ahead(&w);
            ring_writer_check(&w);
            break;
        case 5:
            ring_write_fin(&w);
            ring_writer_check(&w);
            break;
        }
    }
    free(in);
    free(from);
    return 0;
}
