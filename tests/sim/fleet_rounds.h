/* SPDX-License-Identifier: MIT
 *
 * The director of a fleet: rounds of faults, or of one change of primary, each of which ends at a quiet point: no fault
 * any more, nobody writes, and all come to one offset of one id with the same data, what was promised is there, and no
 * more snapshots were made than were needed.
 *
 *     round                what must be there then
 *     faults               whatever was answered: the primary lived
 *     primary dies         what WAIT had told: one failure, and the most advanced replica was promoted
 *     failover             whatever was answered, and there was never a second who took writes
 *     restart              whatever was answered: SHUTDOWN has waited for the replicas and saved
 *     power fails          what WAITAOF had told: all of them die, and come back from their logs
 *     deposed, promotions,
 *     restored             nothing in particular: two lived, or it came back with files of the past
 */
#ifndef TESTS_SIM_FLEET_ROUNDS_H
#define TESTS_SIM_FLEET_ROUNDS_H

#include "tests/sim/fleet_cast.h"
#include "tests/sim/fleet_faults.h"

static const int64_t nothing = 0; /* is promised */

/* --- quiet points ------------------------------------------------------------------------------------------------- */

static inline bool in_step(const struct fleet *f, int i, const struct server *primary)
{
    const struct server *srv = running(&f->nodes[i]);
    if (!srv || srv->persist.loading || f->nodes[i].off) return false;
    if (i == f->primary) return !srv->upstream && history_is_kept(&srv->history);
    return srv->upstream && srv->upstream->state == UPSTREAM_CONNECTED &&
           history_offset(&srv->history) == history_offset(&primary->history) &&
           !strcmp(srv->history.id, primary->history.id);
}

static inline bool all_in_step(const struct fleet *f)
{
    const struct server *primary = running(&f->nodes[f->primary]);
    for (int i = 0; i < f->count; i++)
        if (!primary || !in_step(f, i, primary)) return false;
    return true;
}

static inline void describe(struct fleet *f, const struct fleet_facts facts[FLEET_MAX], char *out, size_t room)
{
    size_t n = 0;
    for (int i = 0; i < f->count; i++)
        n += (size_t)snprintf(out + n, room - n, " %d%s%s: %s %s %.8s %lld %.8s;", i, f->nodes[i].off ? " off" : "",
                              sim_host_ended(f->nodes[i].host) ? " ended" : "", facts[i].role, facts[i].link,
                              facts[i].id, (long long)facts[i].offset, facts[i].digest);
}

/* S2 as a client sees it. last: it has to be so. A PING may come between two questions. */
static inline bool ask_all(struct fleet *f, bool last)
{
    struct fleet_facts facts[FLEET_MAX] = {0};
    char text[512];
    bool fine = true;
    for (int i = 0; i < f->count; i++) fine = facts_of(f, i, &facts[i]) && fine;
    const struct fleet_facts *p = &facts[f->primary];
    for (int i = 0; i < f->count; i++) {
        fine =
            fine && !strcmp(facts[i].digest, p->digest) && !strcmp(facts[i].id, p->id) && facts[i].offset == p->offset;
        fine = fine && !strcmp(facts[i].link, i == f->primary ? "none" : "up");
    }
    if (!fine && !last) return false;
    describe(f, facts, text, sizeof text);
    return check(f->w, fine, "round %d: not the same:%s", f->round, text);
}

static inline void look_at_all(void *arg)
{
    struct fleet *f = arg;
    for (int i = 0; i < f->count; i++)
        if (running(&f->nodes[i])) ledger_look(&f->ledger, &f->nodes[i].eye, running(&f->nodes[i]));
}

/* What was promised is there: S6, S7. */
static inline void look_at_floor(struct fleet *f, int64_t floor)
{
    struct link l;
    if (!CHECK(f->w, open_at(&l, f->w, &f->nodes[f->primary]))) return;
    int64_t n = bulk_or_zero(ask(&l, "GET n"));
    check(f->w, n >= floor, "round %d: %lld was promised, %lld is there", f->round, (long long)floor, (long long)n);
    f->told = f->waited = n;
    if (f->logged > n) f->logged = n;
    link_close(&l);
}

/* Nothing moves the offset while they are compared: no PING. */
static inline bool come_to_rest(struct fleet *f)
{
    char text[512];
    struct fleet_facts facts[FLEET_MAX] = {0};
    uint64_t until = sim_now(f->w->sim) + CALM_NS;
    bool fine;
    while (!(fine = all_in_step(f)) && sim_now(f->w->sim) < until && !f->w->failure[0]) {
        sleep_ns(MS(50));
        revive(f);
    }
    if (fine) return true;
    for (int i = 0; i < f->count; i++) facts_of(f, i, &facts[i]);
    describe(f, facts, text, sizeof text);
    return check(f->w, false, "round %d: not in step:%s", f->round, text);
}

/* fulls: how many there were when the round began. */
static inline void quiet_point(struct fleet *f, const int64_t *floor, int64_t fulls)
{
    f->rest = true;
    while (f->resting < f->actors) sleep_ns(STEP_NS);
    heal_disks(f);
    heal(f);
    int64_t before = fulls_of(f);
    bool strict = f->strict && !f->may_full && f->round > 0;
    if (!come_to_rest(f)) return;
    now(f, look_at_all, f);
    sleep_ns(STEP_NS);
    for (int i = 1; i <= 20 && !ask_all(f, i == 20); i++) sleep_ns(MS(30));
    check(f->w, fulls_of(f) - before < f->count + (int64_t)f->ends, "round %d: %lld snapshots after the last fault",
          f->round, (long long)(fulls_of(f) - before));
    check(f->w, !strict || fulls_of(f) == fulls, "round %d: %lld snapshots, and none was needed", f->round,
          (long long)(fulls_of(f) - fulls));
    f->strict_rounds += strict;
    look_at_floor(f, *floor);
    for (int i = 0; i < f->count; i++) f->nodes[i].bad_disk = false;
    f->quiets++;
    f->may_full = f->rest = false;
}

/* --- changes of primary. Each says what has to be there at its end ------------------------------------------------ */

static inline bool promote(struct fleet *f, int i)
{
    if (!tell(f, i, "REPLICAOF NO ONE")) return false;
    now(f, meet_primaries, f);
    sleep_ns(STEP_NS);
    f->nodes[i].follows = NO_PRIMARY;
    f->promotions++;
    return true;
}

/* All but one that does not run; some of a chain stay where they are. */
static inline void all_follow(struct fleet *f, int best, int but)
{
    for (int i = 0; i < f->count; i++)
        if (i != but && i != best && !f->nodes[i].off && !sim_host_ended(f->nodes[i].host))
            CHECK(f->w, follow(f, i, best));
}

/* The primary dies; who has most of its history follows it, the others him; it comes back as a replica. */
static inline const int64_t *primary_dies(struct fleet *f)
{
    int old = f->primary, best = NO_PRIMARY;
    struct fleet_facts facts[FLEET_MAX] = {0};
    char id[41];
    f->may_full = true;
    if (!CHECK(f->w, facts_of(f, old, &facts[old]))) return &nothing;
    strcpy(id, facts[old].id);
    if (rng_below(&f->rng, 2)) some_link(f, (int)rng_below(&f->rng, 4)); /* somebody is behind */
    sleep_ns(rng_below(&f->rng, SEC(1)));
    crash(f, old);
    for (int i = 0; i < f->count; i++) {
        if (i == old || !CHECK(f->w, facts_of(f, i, &facts[i])) || strcmp(facts[i].id, id) != 0) continue;
        if (best == NO_PRIMARY || facts[i].offset > facts[best].offset) best = i;
    }
    if (!check(f->w, best != NO_PRIMARY && promote(f, best), "nobody to promote")) return &nothing;
    all_follow(f, best, old);
    f->primary = best;
    reboot(f, old, best);
    return &f->waited;
}

/* Another is promoted while the primary lives and is written to: what it alone has taken vanishes when it follows.
 * Somebody follows the one and the other meanwhile. */
static inline const int64_t *primary_is_deposed(struct fleet *f)
{
    int old = f->primary, best = some_replica(f), turncoat = some_replica(f);
    f->may_full = true;
    if (!promote(f, best)) return &nothing;
    f->other = old;
    sleep_ns(rng_below(&f->rng, SEC(1)));
    f->primary = best;
    for (uint64_t n = rng_below(&f->rng, 5); n && turncoat != best && turncoat != old; n--) {
        follow(f, turncoat, rng_below(&f->rng, 2) ? best : old);
        sleep_ns(rng_below(&f->rng, MS(600)));
    }
    sleep_ns(rng_below(&f->rng, SEC(1)));
    f->other = NO_PRIMARY;
    all_follow(f, best, NO_PRIMARY);
    return &nothing;
}

/* Several, each before the one before it is known to all. */
static inline const int64_t *promotions(struct fleet *f)
{
    f->may_full = true;
    for (uint64_t n = 2 + rng_below(&f->rng, 2); n; n--) {
        int best = some_replica(f), old = f->primary;
        if (!promote(f, best)) continue;
        f->primary = best;
        follow(f, old, best);
        for (int i = 0; i < f->count; i++)
            if (i != best && rng_below(&f->rng, 2)) follow(f, i, best);
        sleep_ns(rng_below(&f->rng, MS(500)));
    }
    all_follow(f, f->primary, NO_PRIMARY);
    return &nothing;
}

static inline bool fails_over(struct fleet *f, int old)
{
    const struct server *srv = running(&f->nodes[old]);
    return srv && srv->failover.state != FAILOVER_NONE;
}

/* FAILOVER TO one of those that follow it. S7. */
static inline const int64_t *failover(struct fleet *f)
{
    int old = f->primary, to = some_replica(f);
    char line[96];
    if (f->nodes[to].follows != old) return &f->told;
    f->one_primary = true;
    snprintf(line, sizeof line, "FAILOVER TO %s %d TIMEOUT 3000", f->nodes[to].addr, SERVER_PORT);
    if (rng_below(&f->rng, 4) == 0) trouble_link(f, old, to, (int)rng_below(&f->rng, 4));
    if (tell(f, old, line)) {
        if (rng_below(&f->rng, 4) == 0) trouble_link(f, to, old, (int)rng_below(&f->rng, 4));
        for (int i = 0; i < 1200 && fails_over(f, old); i++) sleep_ns(STEP_NS);
        heal(f);
        while (fails_over(f, old) && !f->w->failure[0]) sleep_ns(STEP_NS);
    }
    const struct server *srv = running(&f->nodes[old]), *new = running(&f->nodes[to]);
    if (!CHECK(f->w, srv && new)) return &f->told;
    f->one_primary = false;
    if (!srv->upstream) return &f->told; /* it was refused, or took too long */
    check(f->w, !new->upstream, "%s: it was handed over to, and follows", f->nodes[to].addr);
    f->failovers++;
    f->nodes[old].follows = to;
    f->nodes[to].follows = NO_PRIMARY;
    f->primary = to;
    for (int i = 0; i < f->count; i++)
        if (f->nodes[i].follows == old && rng_below(&f->rng, 4)) CHECK(f->w, follow(f, i, to)); /* or a chain */
    return &f->told;
}

/* The primary is stopped and started. */
static inline const int64_t *restart(struct fleet *f)
{
    if (f->has_log) f->may_full = true;
    for (int i = 0; i < f->count; i++) /* who is behind another may be behind the file */
        if (f->nodes[i].follows != f->primary && i != f->primary) f->may_full = true;
    shut_down(f, f->primary);
    sleep_ns(rng_below(&f->rng, SEC(2)));
    reboot(f, f->primary, NO_PRIMARY);
    f->restarts++;
    return &f->told;
}

/* The primary comes back with files of the past, as a primary. */
static inline const int64_t *restored(struct fleet *f)
{
    f->may_full = true;
    crash(f, f->primary);
    exchange_disk(f, &f->nodes[f->primary], true);
    reboot(f, f->primary, NO_PRIMARY);
    return &nothing;
}

static inline const int64_t *power_fails(struct fleet *f)
{
    f->may_full = true;
    sleep_ns(rng_below(&f->rng, SEC(1)));
    for (int i = 0; i < f->count; i++) now(f, node_power_off, &f->nodes[i]);
    sleep_ns(STEP_NS);
    for (int i = 0; i < f->count; i++) crash(f, i);
    for (int i = 0; i < f->count; i++) reboot(f, i, f->nodes[i].follows);
    return f->has_log ? &f->logged : &nothing;
}

/* --- the director ------------------------------------------------------------------------------------------------- */

static inline const int64_t *faults_round(struct fleet *f)
{
    for (uint64_t n = 1 + rng_below(&f->rng, 4); n && !f->w->failure[0]; n--) {
        some_fault(f);
        sleep_ns(rng_below(&f->rng, rng_below(&f->rng, 4) ? MS(1500) : SEC(8)));
        revive(f);
    }
    return &f->told;
}

static inline void one_round(struct fleet *f)
{
    int64_t fulls = fulls_of(f);
    const int64_t *floor;
    sleep_ns(rng_below(&f->rng, MS(1500)));
    switch (rng_below(&f->rng, 16)) {
    case 0:
    case 1:
    case 2: floor = primary_dies(f); break;
    case 3:
    case 4: floor = primary_is_deposed(f); break;
    case 5: floor = promotions(f); break;
    case 6:
    case 7: floor = failover(f); break;
    case 8: floor = restart(f); break;
    case 9: floor = restored(f); break;
    case 10: floor = power_fails(f); break;
    default: floor = faults_round(f); break;
    }
    sleep_ns(rng_below(&f->rng, MS(1000)));
    quiet_point(f, floor, fulls);
}

static inline void stop_node(struct fleet *f, int i)
{
    while (!sim_host_ended(f->nodes[i].host)) {
        struct link l;
        if (open_at(&l, f->w, &f->nodes[i])) ask(&l, "SHUTDOWN NOSAVE NOW FORCE");
        link_close(&l);
        sleep_ns(MS(50));
    }
}

static inline int fleet_director_main(void *arg)
{
    struct fleet *f = arg;
    quiet_point(f, &nothing, 0);
    for (f->round = 1; f->round <= f->rounds && !f->w->failure[0]; f->round++) one_round(f);
    f->over = true;
    heal_disks(f);
    heal(f);
    for (int i = 0; i < f->count; i++) stop_node(f, i);
    return 0;
}

/* --- a scenario's end --------------------------------------------------------------------------------------------- */

static struct {
    unsigned promotions, crashes, failovers;
} fleet_did; /* in all seeds */

static inline void tell_fleet(const struct fleet *f)
{
    fprintf(
        stderr,
        "# seed %llu: %d servers, %u quiet, %u strict, %u faults, %u promotions, %u failovers, %u restarts, %u ended, "
        "%u crashes, %llu writes, %llu looks, %llu examined, %u of %u points compared, %llu bytes, %zu in memory, %.1f "
        "s\n",
        (unsigned long long)f->w->seed, f->count, f->quiets, f->strict_rounds, f->faults, f->promotions, f->failovers,
        f->restarts, f->ends, f->crashes, (unsigned long long)f->writes, (unsigned long long)f->looks,
        (unsigned long long)f->examined, f->ledger.compared, f->ledger.point_count,
        (unsigned long long)f->ledger.bytes_compared, f->memory_seen, (double)sim_now(f->w->sim) / 1e9);
}

static inline void fleet_verify(struct world *w)
{
    struct fleet *f = w->state;
    if (getenv("SIM_TELL")) tell_fleet(f);
    fleet_did.promotions += f->promotions;
    fleet_did.crashes += f->crashes;
    fleet_did.failovers += f->failovers;
    CHECK(w, f->quiets > (unsigned)f->rounds && f->writes > 0 && f->looks > 0);
    CHECK(w, f->ledger.compared > 0 && f->ledger.bytes_compared > 0);
    fleet_fini(f);
}

#endif
