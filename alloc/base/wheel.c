/* SPDX-License-Identifier: MIT
 *
 * See wheel.h. The level of a tick is that of the highest bit in which it differs from the wheel's
 * tick, so "how far" never has to be compared and nothing wraps.
 */
#include "alloc/base/wheel.h"

#include "alloc/base/assert.h"

#include <stddef.h>
#include <string.h>

static_assert(WHEEL_LEVELS * 6 + WHEEL_TICK_BITS >= 64, "every tick has a level");

#define TICK_MAX (UINT64_MAX >> WHEEL_TICK_BITS)

/* How many timers of one far slot wheel_next() looks at before it settles for the slot's
 * beginning. */
#define LOOK_MAX 32

void wheel_init(struct wheel *w, uint64_t now_ns)
{
    memset(w, 0, sizeof *w);
    w->tick = now_ns >> WHEEL_TICK_BITS;
}

static void place(struct wheel *w, struct timer *t)
{
    uint64_t differs = t->tick ^ w->tick;
    unsigned level = (63 - (unsigned)__builtin_clzll(differs | 1)) / 6;
    unsigned slot = t->tick >> (6 * level) & 63;
    struct timer **head = &w->lists[level][slot];
    t->level = (uint8_t)level;
    t->slot = (uint8_t)slot;
    t->next = *head;
    t->link = head;
    if (*head) (*head)->link = &t->next;
    *head = t;
    w->slots[level] |= 1ull << slot;
    w->levels |= (uint16_t)(1u << level);
}

static void unplace(struct wheel *w, struct timer *t)
{
    *t->link = t->next;
    if (t->next) t->next->link = t->link;
    t->link = NULL;
    if (w->lists[t->level][t->slot]) return;
    w->slots[t->level] &= ~(1ull << t->slot);
    if (!w->slots[t->level]) w->levels &= (uint16_t) ~(1u << t->level);
}

void wheel_start(struct wheel *w, struct timer *t, uint64_t at_ns, void (*fn)(struct timer *))
{
    if (t->link) wheel_stop(w, t);
    /* Rounded up: not early. The tick that has passed already is over, and the end of time has none behind it. */
    uint64_t tick = (at_ns >> WHEEL_TICK_BITS) + ((at_ns & ((1u << WHEEL_TICK_BITS) - 1)) != 0);
    if (tick > TICK_MAX) tick = TICK_MAX;
    t->tick = tick > w->tick ? tick : w->tick + 1;
    t->fn = fn;
    place(w, t);
    w->count++;
}

void wheel_stop(struct wheel *w, struct timer *t)
{
    if (!t->link) return;
    unplace(w, t);
    w->count--;
}

/* The lists are last in, first out; timers of one tick fire in the order in which they fell to
 * it. */
static unsigned fire(struct wheel *w, unsigned slot)
{
    unsigned fired = 0;
    for (struct timer *t; (t = w->lists[0][slot]); fired++) {
        wheel_stop(w, t);
        t->fn(t);
    }
    return fired;
}

static void fall(struct wheel *w, unsigned level, unsigned slot)
{
    struct timer *t = w->lists[level][slot];
    w->lists[level][slot] = NULL;
    w->slots[level] &= ~(1ull << slot);
    if (!w->slots[level]) w->levels &= (uint16_t) ~(1u << level);
    for (struct timer *next; t; t = next) {
        next = t->next;
        place(w, t);
    }
}

unsigned wheel_advance(struct wheel *w, uint64_t now_ns)
{
    uint64_t now = now_ns >> WHEEL_TICK_BITS;
    unsigned fired = 0;
    while (w->levels && w->tick < now) {
        unsigned level = (unsigned)__builtin_ctz(w->levels);
        unsigned slot = (unsigned)__builtin_ctzll(w->slots[level]);
        uint64_t low = (1ull << (6 * level)) - 1;
        uint64_t digit_mask = 63ull << (6 * level);
        uint64_t at = (w->tick & ~low & ~digit_mask) | (uint64_t)slot << (6 * level);
        if (at > now) break;
        w->tick = at;
        if (level) fall(w, level, slot);
        /* What fell may be due at this very tick; it lies in level 0 in the slot of the tick
         * itself. */
        fired += fire(w, at & 63);
    }
    if (w->tick < now) w->tick = now;
    return fired;
}

uint64_t wheel_next(const struct wheel *w)
{
    if (!w->levels) return UINT64_MAX;
    unsigned level = (unsigned)__builtin_ctz(w->levels);
    unsigned slot = (unsigned)__builtin_ctzll(w->slots[level]);
    uint64_t least = UINT64_MAX;
    unsigned looked = 0;
    for (const struct timer *t = w->lists[level][slot]; t; t = t->next) {
        if (t->tick < least) least = t->tick;
        if (level == 0) break; /* one slot, one tick */
        if (++looked == LOOK_MAX) {
            uint64_t low = (1ull << (6 * level)) - 1;
            least = t->tick & ~low;
            break;
        }
    }
    return least << WHEEL_TICK_BITS;
}
