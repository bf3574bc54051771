/* SPDX-License-Identifier: MIT */
#include "server/repl/pace.h"

#include "server/server.h"
#include "server/worker.h"

#define PART_NS  UINT64_C(4000000000) /* what is left lasts at least so long, at each moment */
#define WAIT_MAX UINT64_C(100000000)

uint64_t pace_wakes_ns(const struct pace *p) { return p->until_ns ? p->until_ns : UINT64_MAX; }

static void release_writers(struct worker *w, struct pace *p)
{
    if (!p->until_ns) return;
    p->until_ns = 0;
    w->srv->unusual &= ~(unsigned)SERVER_HISTORY_FULL;
    worker_let_go(w);
}

static uint64_t to_wait_ns(uint64_t grown, uint64_t lag, uint64_t limit)
{
    uint64_t left = lag < limit ? limit - lag : 1;
    double ns = (double)grown / (double)left * (double)PART_NS;
    return ns < (double)WAIT_MAX ? (uint64_t)ns : WAIT_MAX;
}

void pace_turn(struct worker *w, struct pace *p, uint64_t lag, uint64_t limit)
{
    uint64_t end = w->srv->history.journal.text.end, grown = end - p->end;
    uint64_t hold_ns = (uint64_t)w->conf.cfg->repl_sync_write_hold * 1000000;
    p->end = end;
    if (p->until_ns && w->turn_ns < p->until_ns) return;
    release_writers(w, p);
    if (!lag) p->held_ns = 0;
    if (!limit || lag <= limit / 2 || !grown || p->held_ns >= hold_ns) return;
    uint64_t wait_ns = to_wait_ns(grown, lag, limit);
    p->held_ns += wait_ns;
    p->until_ns = w->turn_ns + wait_ns + 1;
    w->srv->unusual |= SERVER_HISTORY_FULL;
}
