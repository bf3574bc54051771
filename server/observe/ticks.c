/* SPDX-License-Identifier: MIT */
#include "server/observe/ticks.h"

#include "alloc/base/clock.h"

void ticks_calibrate(struct ticks_rate *r)
{
    uint64_t ns = clock_mono_ns() - r->ns0, t = ticks_now() - r->ticks0;
    if (t == 0 || ns == 0) return;
    r->factor = (uint64_t)(((unsigned __int128)ns << 32) / t);
}

void ticks_init(struct ticks_rate *r)
{
    r->factor = (uint64_t)1 << 32;
    r->ns0 = clock_mono_ns();
    r->ticks0 = ticks_now();
    while (clock_mono_ns() - r->ns0 < NSEC_PER_MSEC) {
    }
    ticks_calibrate(r);
}
