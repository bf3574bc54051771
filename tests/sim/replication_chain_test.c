/* SPDX-License-Identifier: MIT
 *
 * A fleet in a line, each behind the one before it. The link at the top is cut, broken or silent for a while, again and
 * again: below it nobody loses his own (S11), and all get the same bytes. Then the top dies, and the second takes over:
 * the id changes, and everybody goes on without a snapshot.
 */
#include "tests/sim/fleet_rounds.h"

#define LINE                                                                                                           \
    "repl-timeout " REPL_TIMEOUT "\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\nhz 10\ndatabases 4\n"
#define SHORT MS(2000) /* less than repl-timeout less a PING, so that the leaf does not think its own link dead */

static uint64_t attachments(struct fleet *f, int i)
{
    struct replicas_figures n = replicas_figures(&running(&f->nodes[i])->workers[0]);
    return n.full + n.partial_ok + n.partial_err;
}

static void trouble_at_the_top(struct fleet *f)
{
    bool turned = rng_below(&f->rng, 2);
    trouble_link(f, turned, !turned, (int)rng_below(&f->rng, 4));
    sleep_ns(rng_below(&f->rng, SHORT));
    heal(f);
    sleep_ns(SEC(1) + rng_below(&f->rng, MS(500))); /* an attempt that failed is made again after a second */
    f->faults++;
}

static int chain_director_main(void *arg)
{
    struct fleet *f = arg;
    uint64_t before[FLEET_MAX];
    quiet_point(f, &nothing, 0);
    for (int i = 1; i < f->count; i++) before[i] = attachments(f, i);
    int64_t fulls = fulls_of(f);
    for (f->round = 1; f->round <= f->rounds && !f->w->failure[0]; f->round++) {
        for (uint64_t n = 1 + rng_below(&f->rng, 3); n; n--) trouble_at_the_top(f);
        quiet_point(f, &f->told, fulls);
        for (int i = 1; i < f->count && !f->w->failure[0]; i++)
            check(f->w, attachments(f, i) == before[i], "%s: who follows it has come again", f->nodes[i].addr);
    }
    crash(f, 0);
    CHECK(f->w, promote(f, 1));
    f->primary = 1;
    sleep_ns(rng_below(&f->rng, SEC(1)));
    f->may_full = true; /* it comes back with nothing */
    for (int i = 2; i < f->count; i++) fulls = attachments(f, i) == before[i] ? fulls : -1;
    reboot(f, 0, f->count - 1);
    quiet_point(f, &nothing, 0);
    check(f->w, fulls_of(f) <= f->count, "%lld snapshots: more than one each", (long long)fulls_of(f));
    f->over = true;
    for (int i = 0; i < f->count; i++) stop_node(f, i);
    return 0;
}

static void set_up_chain(struct world *w)
{
    static const char *const confs[] = {LINE, LINE "repl-diskless-load swapdb\n", LINE "repl-diskless-sync no\n"};
    struct fleet *f = fleet_new(w, confs[w->seed % 3], 3 + (int)rng_below(sim_rng(w->sim), 3), 2);
    fleet_add_line(w, f);
    actor_add(f, writer_main);
    actor_add(f, filler_main);
    actor_add(f, observer_main);
    sim_host_add(w->sim, "10.0.2.1", chain_director_main, f);
}

static void test_a_cut_above_does_not_cut_below(void **state)
{
    rolls_dice = true; /* a snapshot says how much memory the process has */
    run_seeds(&(struct scenario){"chain", set_up_chain, fleet_verify, SEC(36000)}, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cut_above_does_not_cut_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
