/* SPDX-License-Identifier: MIT
 *
 * The LFU counter is Morris's: the higher it is, the less likely another use raises it, so that 8 bits count a million
 * uses (lfu-log-factor 10). It falls by one for each lfu-decay-time minutes without use.
 */
#include "server/db/use.h"

#include "alloc/base/rng.h"

static uint32_t minutes_now(const struct call *c) { return (uint32_t)((uint64_t)c->now_ms / 60000) & 0xffff; }

static uint32_t minutes_since(uint32_t now, uint32_t then) { return now >= then ? now - then : 0xffff - then + now; }

unsigned db_lfu_counter(const struct call *c, const struct entry *e)
{
    unsigned counter = e->lru & 0xff;
    if (c->cfg->lfu_decay_time <= 0) return counter;
    unsigned periods = minutes_since(minutes_now(c), e->lru >> 8) / (unsigned)c->cfg->lfu_decay_time;
    return periods > counter ? 0 : counter - periods;
}

void use_touch_lfu(struct call *c, struct entry *e)
{
    unsigned counter = db_lfu_counter(c, e);
    if (counter < 255) {
        double base = counter > USE_LFU_INIT ? counter - USE_LFU_INIT : 0;
        double chance = 1.0 / (base * (double)c->cfg->lfu_log_factor + 1);
        if ((double)(call_random(c) >> 11) * 0x1p-53 < chance) counter++;
    }
    e->lru = minutes_now(c) << 8 | counter;
}

uint32_t use_initial_lfu(const struct call *c) { return minutes_now(c) << 8 | USE_LFU_INIT; }

int64_t db_idle_seconds(const struct call *c, const struct entry *e)
{
    uint32_t now = use_clock(c);
    return now >= e->lru ? now - e->lru : USE_CLOCK_MAX - e->lru + now;
}

void db_set_use(const struct call *c, struct entry *e, int64_t idle_s, int freq)
{
    if (use_is_lfu(c->cfg)) {
        if (freq >= 0) e->lru = minutes_now(c) << 8 | ((unsigned)freq & 0xff);
    } else if (idle_s >= 0) {
        e->lru = (use_clock(c) - (uint32_t)(idle_s & USE_CLOCK_MAX)) & USE_CLOCK_MAX;
    }
}
