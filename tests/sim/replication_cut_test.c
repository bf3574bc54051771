/* SPDX-License-Identifier: MIT
 *
 * A replica that loses its primary at one certain byte: of the handshake, of the snapshot, of the stream, in either
 * direction. The link breaks there, or is silent for longer than repl-timeout, or the replica dies and comes back. It
 * keeps the data it had until a whole snapshot is there, nobody behind it is told a half, and in the end all are in
 * step (S4, S5, S8, S13).
 *
 * A seed is one such case, no chance: POINTS bytes, both directions, three ways of the snapshot, three ends. Seeds 1 to
 * ALL are all of them; so many together as a test has time for are spread over them.
 */
#include "tests/sim/fleet_rounds.h"

#define POINTS 1201 /* bytes; prime to WAYS, so that seeds in line meet all combinations. More are not sent. */
#define WAYS   18
#define ALL    ((unsigned)POINTS * WAYS)
#define SPREAD 37
#define CUT_CONF                                                                                                       \
    "repl-timeout " REPL_TIMEOUT "\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\nhz 10\ndatabases 4\n"

enum { END_BREAKS, END_IS_SILENT, END_REPLICA_DIES };

struct cut_case {
    uint64_t bytes;
    bool upwards, partial; /* from the replica to the primary; it has nothing of its own */
    int how;
};

static unsigned reached; /* cases in which so many bytes were sent at all, in all seeds */
static unsigned cuts;    /* cases */

static struct cut_case case_of(uint64_t seed)
{
    uint64_t way = seed % WAYS;
    struct cut_case c = {.bytes = seed * SPREAD % POINTS, .upwards = way & 1, .how = (int)(way / 2 % 3)};
    c.partial = c.bytes % 4 == 3;
    return c;
}

static void set_gate(void *arg)
{
    struct fleet *f = arg;
    struct cut_case c = case_of(f->w->seed);
    sim_gate(f->w->sim, f->nodes[c.upwards].host, f->nodes[!c.upwards].host, c.bytes);
}

static void open_gate(void *arg)
{
    struct fleet *f = arg;
    sim_gate(f->w->sim, f->nodes[0].host, f->nodes[1].host, SIM_NEVER);
    sim_gate(f->w->sim, f->nodes[1].host, f->nodes[0].host, SIM_NEVER);
}

static bool gate_is_reached(const struct fleet *f)
{
    bool upwards = case_of(f->w->seed).upwards;
    return sim_gate_left(f->w->sim, f->nodes[upwards].host, f->nodes[!upwards].host) == 0;
}

static void write_some(struct fleet *f, int i, const char *key)
{
    struct link l;
    if (open_at(&l, f->w, &f->nodes[i])) {
        char line[300];
        snprintf(line, sizeof line,
                 "MULTI\r\nINCR n\r\nRPUSH log 1\r\nSELECT 1\r\nSET %s 1\r\nEXEC\r\nHSET h f v\r\nXADD x * f v", key);
        struct bytes r = ask(&l, line);
        for (int k = 0; k < 7 && r.p; k++) r = link_reply(&l);
        f->writes++;
    }
    link_close(&l);
}

/* A whole snapshot has taken the place of what it had, though its file may be on its way to its name. */
static bool has_come_whole(const struct fleet *f)
{
    const struct server *primary = running(&f->nodes[0]), *srv = running(&f->nodes[1]);
    return !primary || !srv || strcmp(primary->history.id, srv->history.id) == 0;
}

/* S13: what it had is there as long as nothing whole has come in its place. */
static void look_at_mine(struct fleet *f)
{
    const struct server *srv = running(&f->nodes[1]);
    struct link l;
    if (case_of(f->w->seed).partial || !srv || !srv->upstream || srv->upstream->state == UPSTREAM_CONNECTED) return;
    if (srv->persist.loading || !open_at(&l, f->w, &f->nodes[1])) return;
    bool may_be_loaded = srv->upstream->state == UPSTREAM_CONNECT; /* it was, and the link is gone again */
    struct bytes r = ask(&l, "SELECT 1");
    r = ask(&l, "GET mine");
    check(f->w, may_be_loaded || has_come_whole(f) || !r.p || r.p[0] == '-' || bulk_or_zero(r) == 1,
          "its own data are gone");
    link_close(&l);
    f->looks++;
}

static void end_here(struct fleet *f, int how)
{
    sleep_ns(MS(30));
    look_at_mine(f);
    write_some(f, 0, "during");
    if (how == END_IS_SILENT) sleep_ns(SEC(6));
    if (how == END_REPLICA_DIES) crash(f, 1);
    trouble_link(f, 0, 1, CUT_BREAK);
    now(f, open_gate, f);
    sleep_ns(STEP_NS);
    if (how == END_REPLICA_DIES) reboot(f, 1, 0);
}

static int cut_director_main(void *arg)
{
    struct fleet *f = arg;
    struct cut_case c = case_of(f->w->seed);
    quiet_point(f, &nothing, 0);
    write_some(f, 0, "before");
    CHECK(f->w, come_to_rest(f) && promote(f, 1));
    if (!c.partial) write_some(f, 1, "mine");
    write_some(f, 0, "theirs");
    now(f, set_gate, f);
    sleep_ns(STEP_NS);
    CHECK(f->w, follow(f, 1, 0));
    for (int i = 0; i < 30 && !gate_is_reached(f); i++) {
        if (i % 10 == 9) write_some(f, 0, "stream");
        sleep_ns(MS(10));
    }
    reached += gate_is_reached(f);
    if (gate_is_reached(f)) end_here(f, c.how);
    now(f, open_gate, f);
    sleep_ns(STEP_NS);
    f->round = 1;
    f->may_full = true;
    quiet_point(f, &f->told, 0);
    check(f->w, fulls_of(f) <= 8, "%lld snapshots", (long long)fulls_of(f));
    f->over = true;
    for (int i = 0; i < f->count; i++) stop_node(f, i);
    return 0;
}

static void set_up_cut(struct world *w)
{
    static const char *const confs[] = {CUT_CONF, CUT_CONF "repl-diskless-sync no\n",
                                        CUT_CONF "repl-diskless-load swapdb\n"};
    struct fleet *f = fleet_new(w, confs[w->seed % WAYS / 6], 2 + (int)(case_of(w->seed).bytes & 1), 1);
    f->strict = false;
    cuts++;
    fleet_add_line(w, f);
    sim_host_add(w->sim, "10.0.2.1", cut_director_main, f);
}

static void cut_verify(struct world *w)
{
    struct fleet *f = w->state;
    if (getenv("SIM_TELL")) tell_fleet(f);
    CHECK(w, f->quiets == 2);
    fleet_fini(f);
}

static void test_a_link_may_end_at_any_byte(void **state)
{
    rolls_dice = true; /* a snapshot says how much memory the process has */
    run_seeds(&(struct scenario){"cut", set_up_cut, cut_verify, SEC(36000)}, 120);
    /* Not all of them lie behind the end. */
    if (!getenv("SIM_SEED") && !getenv("SIM_SEEDS")) assert_true(reached * 6 > cuts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_link_may_end_at_any_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
