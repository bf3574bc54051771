/* SPDX-License-Identifier: MIT
 *
 * Finding a command by its name without a call: for the loop that does it once a request. Everybody
 * else uses command_find(), which is this very function.
 *
 * A name becomes two words and its length: the first eight letters and the last eight, which
 * overlap in names shorter than 16 and so hold all of them. Both are folded to lower case eight
 * letters at a time, mixed with one multiplication into a slot number, and compared as words: a hit
 * reads half a cache line. Only names longer than 16 letters are compared letter by letter, behind
 * a matching slot. Collisions go to the next slot; the table is at most half full.
 */
#ifndef SERVER_COMMAND_LOOKUP_H
#define SERVER_COMMAND_LOOKUP_H

#include "alloc/base/assert.h"
#include "server/command/command.h"

enum { COMMAND_SLOT_BITS = 10, COMMAND_SLOTS = 1 << COMMAND_SLOT_BITS };

struct command_slot {
    uint64_t head, tail;       /* folded letters */
    const struct command *cmd; /* NULL: free */
    uint64_t size;             /* letters */
};
_Static_assert(sizeof(struct command_slot) == 32, "two slots a cache line");

/* Private to this header and command.c, which fills it before it is read. */
extern struct command_slot command_slots[COMMAND_SLOTS];
bool command_slot_is(const struct command_slot *s, struct bytes name);

/* Eight letters to lower case; other bytes, also those above 127, stay as they are. */
static inline uint64_t command_fold(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t low7 = x & (0x7f * ones);
    uint64_t from_a = low7 + (0x80 - 'A') * ones;     /* bit 7: 'A' or above */
    uint64_t past_z = low7 + (0x80 - 'Z' - 1) * ones; /* bit 7: above 'Z' */
    uint64_t upper = from_a & ~past_z & ~x & (0x80 * ones);
    return x | upper >> 2;
}

static inline struct command_slot command_slot_key(struct bytes name)
{
    uint64_t head = 0, tail = 0;
    const char *p = name.p;
    size_t n = name.n;
    if (n >= 8) {
        head = load_u64(p);
        tail = load_u64(p + n - 8);
    } else if (n >= 4) {
        head = load_u32(p);
        tail = load_u32(p + n - 4);
    } else if (n > 0) {
        head = (uint64_t)(uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << 8 | (uint64_t)(uint8_t)p[n - 1] << 16;
    }
    return (struct command_slot){.head = command_fold(head), .tail = command_fold(tail), .size = n};
}

static inline unsigned command_slot_first(const struct command_slot *key)
{
    uint64_t mixed = key->head ^ (key->tail << 23 | key->tail >> 41) ^ key->size << 56;
    return (unsigned)((mixed * 0x9e3779b97f4a7c15u) >> (64 - COMMAND_SLOT_BITS));
}

static inline const struct command *command_lookup(struct bytes name)
{
    struct command_slot key = command_slot_key(name);
    for (unsigned i = command_slot_first(&key);; i = (i + 1) & (COMMAND_SLOTS - 1)) {
        const struct command_slot *s = &command_slots[i];
        if (likely(s->head == key.head && s->tail == key.tail && s->size == key.size)) {
            if (likely(key.size <= 16 || command_slot_is(s, name))) return s->cmd;
        }
        if (!s->cmd) return NULL;
    }
}

#endif
