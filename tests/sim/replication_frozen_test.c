/* SPDX-License-Identifier: MIT
 *
 * Somebody who says he is a replica and stops to read, at any byte of the handshake, the snapshot or the stream, for
 * ever; he may go on to acknowledge what he has not read, so that no silence gives him away. The primary's memory stays
 * below what its configuration says, nobody else notices, and he is closed when he is too far behind (S9).
 */
#include "tests/sim/fleet_rounds.h"

#define LIMIT      ((size_t)150 << 10)
#define BLOCKS     ((size_t)2 * 256 << 10) /* the block that is being filled, and the one in which the slowest reads */
#define FROZEN_MAX 3

#define FREEZES                                                                                                        \
    "repl-timeout " REPL_TIMEOUT "\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\nhz 10\ndatabases 4\n"      \
    "repl-backlog-size 16384\nclient-output-buffer-limit replica 150kb 0 0\n"

static unsigned lives; /* of all of them, in all seeds */

static bool says(int qd, const char *line) { return qd >= 0 && push_bytes(qd, line, strlen(line)) == 0; }

/* What comes next, unless the round is over before: how much it was. 0: nothing comes any more. */
static size_t take(struct fleet *f, int qd)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    struct timespec patience = {.tv_nsec = 100000000};
    if (demi_pop(&qt, qd)) return 0;
    while (demi_wait(&qr, qt, &patience) == ETIMEDOUT) {
        if (!f->rest && !f->over) continue;
        demi_cancel(qt);
        wait_for(qt);
        return 0;
    }
    if (qr.qr_opcode != DEMI_OPC_POP) return 0;
    size_t n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
    demi_sgafree(&qr.qr_value.sga);
    return n;
}

/* Reads so many bytes, and no more. */
static bool reads(struct fleet *f, int qd, uint64_t bytes)
{
    while (bytes) {
        size_t n = take(f, qd);
        if (!n) return false;
        bytes -= n < bytes ? n : bytes;
        if (rng_below(&f->rng, 50) == 0 && !says(qd, "REPLCONF ACK 0\r\n")) return false;
    }
    return true;
}

static void freeze(struct fleet *f, int qd)
{
    bool lies = rng_below(&f->rng, 2);
    if (!says(qd, "REPLCONF listening-port 1 capa eof capa psync2\r\n")) return;
    if (!says(qd, rng_below(&f->rng, 4) ? "PSYNC ? -1\r\n" : "SYNC\r\n")) return;
    if (!reads(f, qd, rng_below(&f->rng, rng_below(&f->rng, 2) ? 300 : 60000))) return;
    for (uint64_t n = 5 + rng_below(&f->rng, 40); n && !f->over && !f->rest; n--) {
        if (lies && !says(qd, "REPLCONF ACK 99999999\r\n")) return;
        sleep_ns(MS(500));
    }
}

static int frozen_main(void *arg)
{
    struct fleet *f = arg;
    while (!f->over) {
        if (rests(f)) continue;
        int qd = f->primary == NO_PRIMARY ? -1 : connect_to(f->nodes[f->primary].addr, SERVER_PORT);
        freeze(f, qd);
        if (qd >= 0) demi_close(qd);
        sleep_ns(rng_below(&f->rng, SEC(1)));
        lives++;
    }
    return 0;
}

/* More than the limit, quickly. */
static void write_much(struct fleet *f)
{
    struct link l;
    struct text cmd = {0};
    if (open_at(&l, f->w, &f->nodes[f->primary])) {
        for (unsigned i = 0; i < 60; i++) {
            struct made v = {(uint32_t)rng_u64(&f->rng), 2000 + (uint32_t)rng_below(&f->rng, 6000)};
            cmd.n = 0;
            command_head(&cmd, 3, "SET");
            text_add(&cmd, "$4\r\nmuch\r\n");
            text_bulk(&cmd, v);
            if (push_bytes(l.qd, cmd.p, cmd.n) || !link_reply(&l).p) break;
            sleep_ns(MS(2));
        }
    }
    free(cmd.p);
    link_close(&l);
}

static void look_at_payloads(void *arg)
{
    struct fleet *f = arg;
    for (int i = 0; i < f->count; i++) {
        const struct server *srv = running(&f->nodes[i]);
        size_t n = srv ? replicas_memory(&srv->workers[0]) : 0;
        check(f->w, n <= 2 * f->memory_max, "%s: %zu bytes for replicas", f->nodes[i].addr, n);
    }
}

static int frozen_director_main(void *arg)
{
    struct fleet *f = arg;
    quiet_point(f, &nothing, 0);
    for (f->round = 1; f->round <= f->rounds && !f->w->failure[0]; f->round++) {
        int64_t fulls = fulls_of(f);
        for (uint64_t n = 2 + rng_below(&f->rng, 3); n; n--) {
            sleep_ns(rng_below(&f->rng, SEC(2)));
            write_much(f);
            now(f, look_at_payloads, f);
            sleep_ns(STEP_NS);
        }
        f->may_full = true;
        quiet_point(f, &f->told, fulls);
    }
    f->over = true;
    for (int i = 0; i < f->count; i++) stop_node(f, i);
    return 0;
}

static void set_up_frozen(struct world *w)
{
    struct fleet *f = fleet_new(w, w->seed & 1 ? FREEZES : FREEZES "repl-diskless-sync no\n", 3, 2);
    f->memory_max = LIMIT + BLOCKS;
    fleet_add(w, f);
    actor_add(f, writer_main);
    actor_add(f, observer_main);
    for (int i = 0; i < FROZEN_MAX; i++) actor_add(f, frozen_main);
    sim_host_add(w->sim, "10.0.2.1", frozen_director_main, f);
}

static void test_who_stops_reading_costs_bounded_memory(void **state)
{
    rolls_dice = true; /* a snapshot says how much memory the process has */
    run_seeds(&(struct scenario){"frozen", set_up_frozen, fleet_verify, SEC(36000)}, 8);
    if (!getenv("SIM_SEED") && !getenv("SIM_SEEDS")) assert_true(lives > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_stops_reading_costs_bounded_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
