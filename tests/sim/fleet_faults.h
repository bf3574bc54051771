/* SPDX-License-Identifier: MIT
 *
 * What goes wrong in a fleet: links that are cut, in both directions or in one, that break or become slow; replicas
 * that die, are restarted, come back with files of the past, follow another; disks that fill up and fail; clocks that
 * are set; settings that change. What may leave a replica no other way than a snapshot says so (fleet->may_full).
 */
#ifndef TESTS_SIM_FLEET_FAULTS_H
#define TESTS_SIM_FLEET_FAULTS_H

#include "tests/sim/fleet.h"

static inline int some_node(struct fleet *f) { return (int)rng_below(&f->rng, (uint64_t)f->count); }

static inline int some_replica(struct fleet *f)
{
    int i = some_node(f);
    return i == f->primary ? (i + 1) % f->count : i;
}

static inline bool has_followers(const struct fleet *f, int i)
{
    for (int k = 0; k < f->count; k++)
        if (f->nodes[k].follows == i) return true;
    return false;
}

/* i is above `to` already, or is it. */
static inline bool would_be_a_ring(const struct fleet *f, int i, int to)
{
    for (int k = 0; to != NO_PRIMARY && k <= f->count; k++, to = f->nodes[to].follows)
        if (to == i) return true;
    return false;
}

/* REPLICAOF: who loads refuses it. */
static inline bool follow(struct fleet *f, int i, int to)
{
    char line[64];
    snprintf(line, sizeof line, "REPLICAOF %s %d", f->nodes[to].addr, SERVER_PORT);
    for (int k = 0; k < 1000; k++) {
        if (tell(f, i, line)) {
            f->nodes[i].follows = to;
            return true;
        }
        sleep_ns(STEP_NS);
    }
    return false;
}

/* --- links -------------------------------------------------------------------------------------------------------- */

struct pair {
    struct fleet *f;
    int a, b, how;
};

static inline struct sim_host *host_of(const struct pair *p, int i) { return p->f->nodes[i].host; }

enum { CUT_BOTH, CUT_ONEWAY, CUT_BREAK, CUT_SLOW };

static inline void change_link(void *arg)
{
    const struct pair *p = arg;
    struct sim *s = p->f->w->sim;
    struct sim_link slow = p->f->usual;
    slow.delay_ns = MS(20);
    slow.segment_max = 1448;
    slow.window = 4000;
    slow.pause_ns = MS(300);
    slow.pause_ppm = 20000;
    switch (p->how) {
    case CUT_BOTH: sim_cut(s, host_of(p, p->a), host_of(p, p->b)); break;
    case CUT_ONEWAY: sim_cut_oneway(s, host_of(p, p->a), host_of(p, p->b)); break;
    case CUT_SLOW: sim_link_set(s, host_of(p, p->a), host_of(p, p->b), &slow); break;
    default: sim_reset(s, host_of(p, p->a), host_of(p, p->b)); break;
    }
}

static inline void trouble_link(struct fleet *f, int a, int b, int how)
{
    struct pair p = {f, a, b, how};
    if (a == b || f->nodes[a].off || f->nodes[b].off) return;
    if (how != CUT_BREAK) {
        if (f->cut_count == CUTS_MAX) return;
        f->cuts[f->cut_count][0] = a;
        f->cuts[f->cut_count++][1] = b;
    }
    now(f, change_link, &p);
    sleep_ns(STEP_NS); /* p is read until then */
}

/* A host that was booted meanwhile is another: nothing is cut of it. */
static inline void heal_links(void *arg)
{
    struct fleet *f = arg;
    for (int i = 0; i < f->cut_count; i++) {
        struct sim_host *a = f->nodes[f->cuts[i][0]].host, *b = f->nodes[f->cuts[i][1]].host;
        sim_heal(f->w->sim, a, b);
        sim_link_set(f->w->sim, a, b, &f->usual);
    }
    f->cut_count = 0;
}

static inline void heal(struct fleet *f)
{
    now(f, heal_links, f);
    sleep_ns(STEP_NS);
}

/* Mostly one that carries something. */
static inline void some_link(struct fleet *f, int how)
{
    int b = some_replica(f),
        a = rng_below(&f->rng, 3) && f->nodes[b].follows != NO_PRIMARY ? f->nodes[b].follows : some_node(f);
    bool turned = rng_below(&f->rng, 2);
    trouble_link(f, turned ? b : a, turned ? a : b, how);
}

/* --- disks and files ---------------------------------------------------------------------------------------------- */

static inline void disk_goes_bad(struct fleet *f)
{
    struct fleet_node *n = &f->nodes[some_replica(f)];
    struct sim_disk_settings bad = n->good;
    n->bad_disk = f->may_full = true;
    switch (rng_below(&f->rng, 4)) {
    case 0: bad.space = sim_disk_used(n->disk) + 1 + rng_below(&f->rng, 3000); break;
    case 1: bad.write_eio_ppm = 300000; break;
    case 2: bad.sync_eio_ppm = 300000; break;
    default: bad.open_eio_ppm = bad.name_eio_ppm = 300000; break;
    }
    sim_disk_set(n->disk, &bad);
}

static inline void heal_disks(struct fleet *f)
{
    for (int i = 0; i < f->count; i++) sim_disk_set(f->nodes[i].disk, &f->nodes[i].good);
}

static inline void files_are_kept(struct fleet *f)
{
    int i = some_node(f);
    tell(f, i, rng_below(&f->rng, 2) ? "SAVE" : "BGSAVE");
    sleep_ns(rng_below(&f->rng, MS(200)));
    if (rng_below(&f->rng, 2)) now(f, keep_files, &f->nodes[i]);
    sleep_ns(STEP_NS);
}

/* --- hosts -------------------------------------------------------------------------------------------------------- */

static inline void replica_dies(struct fleet *f, bool old_files)
{
    int i = some_replica(f);
    f->may_full = true;
    crash(f, i);
    sleep_ns(rng_below(&f->rng, SEC(2)));
    if (old_files) exchange_disk(f, &f->nodes[i], true);
    reboot(f, i, f->nodes[i].follows);
}

static inline void replica_restarts(struct fleet *f)
{
    int i = some_replica(f);
    if (f->has_log || has_followers(f, i)) f->may_full = true;
    shut_down(f, i);
    sleep_ns(rng_below(&f->rng, SEC(1)));
    reboot(f, i, f->nodes[i].follows);
    f->restarts++;
}

/* One that has ended by itself, as its disk made it: again, and at last with another disk. */
static inline void revive(struct fleet *f)
{
    for (int i = 0; i < f->count; i++) {
        struct fleet_node *n = &f->nodes[i];
        if (n->off || !sim_host_ended(n->host)) continue;
        if (!check(f->w, n->bad_disk, "%s: it ended by itself", n->addr)) return;
        f->ends++;
        n->off = f->may_full = true;
        if (rng_below(&f->rng, 2)) exchange_disk(f, n, false);
        sim_disk_set(n->disk, &n->good);
        reboot(f, i, n->follows);
    }
}

/* Behind another, or behind the primary again; never in a ring. */
static inline void follows_another(struct fleet *f)
{
    int i = some_replica(f), to = some_node(f);
    if (would_be_a_ring(f, i, to)) to = f->primary;
    if (to != f->primary || f->nodes[i].follows == NO_PRIMARY) f->may_full = true; /* it may be ahead of it */
    follow(f, i, to);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static inline void set_clock(void *arg)
{
    const struct fleet_node *n = arg;
    sim_host_skew(n->host, n->skew_us);
}

static inline void clock_is_set(struct fleet *f)
{
    struct fleet_node *n = &f->nodes[some_node(f)];
    n->skew_us = (int64_t)rng_below(&f->rng, 6000000) - 3000000;
    if (n->skew_us > f->skew_max_us) f->skew_max_us = n->skew_us;
    now(f, set_clock, n);
    sleep_ns(STEP_NS);
}

static inline void other_settings(struct fleet *f)
{
    static const char *const settings[] = {"CONFIG SET repl-diskless-sync no",
                                           "CONFIG SET repl-diskless-sync yes",
                                           "CONFIG SET repl-diskless-load swapdb",
                                           "CONFIG SET repl-diskless-load disabled",
                                           "CONFIG SET repl-diskless-load on-empty-db",
                                           "CONFIG SET repl-ping-replica-period 2",
                                           "CONFIG SET repl-timeout 3",
                                           ("CONFIG SET repl-timeout " REPL_TIMEOUT),
                                           "CONFIG SET repl-backlog-size 16384",
                                           "CONFIG SET repl-backlog-size 1000000"};
    size_t count = sizeof settings / sizeof settings[0];
    const char *one = settings[rng_below(&f->rng, f->strict ? count - 2 : count)];
    if (strstr(one, "swapdb")) f->has_swapdb = true;
    tell(f, some_node(f), one);
}

static inline void writes_are_paused(struct fleet *f)
{
    char line[40];
    snprintf(line, sizeof line, "CLIENT PAUSE %u WRITE", 1 + (unsigned)rng_below(&f->rng, 900));
    tell(f, f->primary, line);
}

static inline void some_fault(struct fleet *f)
{
    f->faults++;
    switch (rng_below(&f->rng, 16)) {
    case 0:
    case 1: some_link(f, CUT_BOTH); break;
    case 2:
    case 3: some_link(f, CUT_ONEWAY); break;
    case 4:
    case 5: some_link(f, CUT_BREAK); break;
    case 6: some_link(f, CUT_SLOW); break;
    case 7: replica_dies(f, false); break;
    case 8: replica_dies(f, true); break;
    case 9: replica_restarts(f); break;
    case 10: follows_another(f); break;
    case 11: disk_goes_bad(f); break;
    case 12: files_are_kept(f); break;
    case 13: clock_is_set(f); break;
    case 14: writes_are_paused(f); break;
    default: other_settings(f); break;
    }
}

#endif
