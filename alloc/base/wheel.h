/* SPDX-License-Identifier: MIT
 *
 * Timers: a hierarchical wheel. Time is cut into ticks of 1,024 ns, and a tick number into digits
 * of six bits. A timer lies at the level of the highest digit in which its tick differs from the
 * wheel's, in the slot of its digit there; as the wheel's time passes a slot of a higher level, the
 * timers in it fall to lower ones.
 *
 *      wheel at tick   ...  03 17 05        level 0: ticks 03.17.06 to 03.17.63, a slot each
 *                                           level 1: 03.18.xx to 03.63.xx, a slot for 64 ticks
 *                                           level 2: 04.xx.xx …
 *
 * A lower level is always due before a higher one and within a level a lower slot before a higher
 * one, so the next thing to do is found with ctz. Start and stop are O(1), a timer falls at most
 * WHEEL_LEVELS times, and no deadline is too far. A timer never fires early; it may fire up to one
 * tick late. Reads no clock.
 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_BITS 10
#define WHEEL_LEVELS    9 /* 9 * 6 bits hold every tick of 64-bit nanoseconds */

struct timer {
    struct timer *next, **link; /* link is NULL while it does not run */
    uint64_t tick;
    void (*fn)(struct timer *t);
    uint8_t level, slot;
};

struct wheel {
    uint64_t tick;   /* everything up to and with it has fired */
    uint16_t levels; /* bit l: slots[l] is not empty */
    uint64_t count;
    uint64_t slots[WHEEL_LEVELS];
    struct timer *lists[WHEEL_LEVELS][64];
};

void wheel_init(struct wheel *w, uint64_t now_ns);

/* Starts (or moves) a timer. t->fn is called from wheel_advance(); the timer has stopped by then
 * and may be started again. */
void wheel_start(struct wheel *w, struct timer *t, uint64_t at_ns, void (*fn)(struct timer *));
void wheel_stop(struct wheel *w, struct timer *t);
static inline bool timer_runs(const struct timer *t) { return t->link; }

/* Fires what is due; returns how many did. Timers started with a deadline that has passed fire at
 * the next call. */
unsigned wheel_advance(struct wheel *w, uint64_t now_ns);

/* When to call wheel_advance() next, in ns: exact, or (many timers in one far slot) somewhat early.
 * UINT64_MAX: no timer. */
uint64_t wheel_next(const struct wheel *w);

#endif
