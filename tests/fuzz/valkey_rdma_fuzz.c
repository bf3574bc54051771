/* SPDX-License-Identifier: MIT
 *
 * A peer of Valkey's framing over RDMA that says what it likes, and gives its writes any number; our side reads, writes
 * and answers on. What is read lies in our buffer, what is written in the peer's, whatever it says of either; and a
 * connection that has broken the rules is at its end.
 *
 * The input is a list of steps: one byte what, four bytes of how much, a message of 32 bytes.
 */
#include "libos/rdma/valkey_wire.h"

#include <stdlib.h>

#include "alloc/base/assert.h"
#include "alloc/base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { SIZE = VALKEY_BUFFER_MIN, STEP = 5 + VALKEY_MESSAGE_SIZE };

/* Bytes of the buffer, as the library copies them out. */
static void read_some(struct valkey_wire *w, const uint8_t *buffer, uint32_t most)
{
    static volatile uint8_t sum;
    uint32_t there = valkey_wire_readable(w);
    if (there > most) there = most;
    for (uint32_t i = 0; i < there; i++) sum = (uint8_t)(sum + buffer[w->read + i]);
    if (there) valkey_wire_took(w, there);
}

static void write_some(struct valkey_wire *w, uint32_t most)
{
    uint32_t room = valkey_wire_room(w);
    w->out_at += most < room ? most : room;
    ASSERT(w->out_at <= w->out_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint8_t *buffer = calloc(1, SIZE), said[VALKEY_MESSAGE_SIZE];
    struct valkey_wire w;
    const char *why = NULL;
    if (!buffer) abort();
    valkey_wire_init(&w, SIZE);
    for (; n >= STEP && !why; data += STEP, n -= STEP) {
        uint32_t much = load_u32(data + 1);
        switch (data[0] % 5) {
        case 0: why = valkey_wire_heard(&w, data + 5, much & 1 ? VALKEY_MESSAGE_SIZE : much % 64); break;
        case 1: why = valkey_wire_written(&w, much & 1 ? much >> 1 : (much >> 1) % (SIZE + 2)); break;
        case 2: read_some(&w, buffer, much); break;
        case 3: write_some(&w, much); break;
        default:
            if (valkey_wire_has_to_say(&w)) valkey_wire_say(&w, (uintptr_t)buffer, 1, said);
        }
        valkey_wire_check(&w);
    }
    free(buffer);
    return 0;
}
