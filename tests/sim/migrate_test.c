/* SPDX-License-Identifier: MIT
 *
 * Two servers, between which keys go over networks of every kind: a counter that is written all the time loses no
 * increment on its way, and a key is where the reply said it is, however the connection ended.
 */
#include "tests/sim/redis.h"

#define OTHER_ADDR "10.0.0.2"

struct journey {
    struct server_host other;
    struct sim_host *other_host;
    int rounds;
    bool may_break;
    int64_t written, moved; /* increments that were answered, and what came out at the other end */
    int writers_left, arrived, refused;
};

/* To the server behind the migrations. */
static bool open_other(struct link *l, struct world *w)
{
    *l = (struct link){.w = w};
    while ((l->qd = connect_to(OTHER_ADDR, SERVER_PORT)) == -ECONNREFUSED) sleep_ns(MS(1));
    return l->qd >= 0;
}

static void stop_other(struct world *w, const struct journey *j)
{
    while (!sim_host_ended(j->other_host)) {
        struct link l;
        if (open_other(&l, w)) {
            link_send(&l, "SHUTDOWN", "NOSAVE", NULL);
            CHECK(w, !link_reply(&l).p);
            link_close(&l);
        }
        sleep_ns(SEC(1));
    }
}

static bool is(struct bytes got, const char *want) { return got.p && bytes_equal(got, bytes_of_str(want)); }

/* The number that a bulk reply holds; 0: none. */
static int64_t number_in(struct bytes got)
{
    size_t at = got.p && got.p[0] == '$' && got.p[1] != '-' ? line_end(got.p, got.n) : 0;
    return at ? strtoll(got.p + at, NULL, 10) : 0;
}

/* --- a counter that is written on its way ------------------------------------------------------------------------- */

static void write_counter(struct cast *c, struct journey *j)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return;
    for (int i = 0; i < j->rounds * 4; i++) {
        if (!CHECK(c->w, reply_number(link_ask(&l, "INCR", "c", NULL)) > 0)) break;
        j->written++;
        sleep_ns(rng_below(sim_rng(c->w->sim), MS(3)));
    }
    link_close(&l);
    j->writers_left--;
}

static void move_counter(struct cast *c, struct journey *j)
{
    struct link here, there;
    if (!CHECK_EQUAL(c->w, link_open(&here, c->w), 0) || !CHECK(c->w, open_other(&there, c->w))) return;
    for (bool last = false; !last && !c->w->failure[0];) {
        last = !j->writers_left;
        struct bytes got = link_ask(&here, "MIGRATE", OTHER_ADDR, "6379", "c", "0", "100000000", "REPLACE", NULL);
        if (is(got, "+OK\r\n")) {
            int64_t n = number_in(link_ask(&there, "GETDEL", "c", NULL));
            CHECK(c->w, n > 0);
            j->moved += n;
            j->arrived++;
        } else {
            check(c->w, is(got, "+NOKEY\r\n"), "%.*s", (int)got.n, got.p ? got.p : "(the end)");
        }
        sleep_ns(rng_below(sim_rng(c->w->sim), MS(5)));
    }
    CHECK(c->w, is(link_ask(&here, "GET", "c", NULL), "$-1\r\n"));
    link_close(&here);
    link_close(&there);
}

/* --- keys over a link that breaks --------------------------------------------------------------------------------- */

static void move_key(struct world *w, struct journey *j, struct link *here, struct link *there, int i)
{
    char key[16], value[32], bulk[64];
    snprintf(key, sizeof key, "k%d", i);
    snprintf(value, sizeof value, "value of %d", i);
    snprintf(bulk, sizeof bulk, "$%zu\r\n%s\r\n", strlen(value), value);
    EXPECT(here, "+OK\r\n", "SET", key, value);
    struct bytes got = link_ask(here, "MIGRATE", OTHER_ADDR, "6379", key, "0", "2000", NULL);
    if (is(got, "+OK\r\n")) {
        EXPECT(here, "$-1\r\n", "GET", key);
        EXPECT(there, bulk, "GET", key);
        j->arrived++;
        return;
    }
    check(w, got.p && got.n > 7 && (!memcmp(got.p, "-IOERR ", 7) || !memcmp(got.p, "-ERR Target", 11)), "%.*s",
          (int)got.n, got.p ? got.p : "(the end)");
    EXPECT(here, bulk, "GET", key); /* it may be there, too */
    j->refused++;
}

static void move_keys(struct cast *c, struct journey *j)
{
    struct link here, there;
    if (!CHECK_EQUAL(c->w, link_open(&here, c->w), 0) || !CHECK(c->w, open_other(&there, c->w))) return;
    for (int i = 0; i < j->rounds && !c->w->failure[0]; i++) {
        move_key(c->w, j, &here, &there, i);
        sleep_ns(rng_below(sim_rng(c->w->sim), MS(500)));
    }
    link_close(&here);
    link_close(&there);
}

/* --- scenarios ---------------------------------------------------------------------------------------------------- */

static int act(struct cast *c, int number)
{
    struct journey *j = c->data;
    if (number) {
        write_counter(c, j);
        return 0;
    }
    if (j->may_break) move_keys(c, j);
    else move_counter(c, j);
    stop_other(c->w, j);
    return 0;
}

static struct journey *set_the_stage(struct world *w, int clients, int rounds)
{
    struct journey *j = calloc(1, sizeof *j);
    *j = (struct journey){.other = {.w = w}, .rounds = rounds, .writers_left = clients - 1};
    struct cast *c = cast_add(w, NULL, clients, act, j);
    j->other_host = sim_host_add(w->sim, OTHER_ADDR, server_main, &j->other);
    struct sim_link l = sim_link_random(w->sim);
    sim_link_set(w->sim, c->host, j->other_host, &l);
    return j;
}

static void set_up_counter(struct world *w) { set_the_stage(w, 2 + (int)rng_below(sim_rng(w->sim), 3), 30); }

static void no_increment_is_lost(struct world *w)
{
    struct cast *c = w->state;
    struct journey *j = c->data;
    CHECK(w, j->arrived > 0);
    CHECK_EQUAL(w, j->moved, j->written);
    free(j);
}

static void test_a_counter_loses_no_increment(void **state)
{
    (void)state;
    run_seeds(&(struct scenario){"counter", set_up_counter, no_increment_is_lost, SEC(36000)}, 60);
}

static void set_up_breaking(struct world *w)
{
    struct journey *j = set_the_stage(w, 1, 25);
    const struct cast *c = w->state;
    struct sim_link l = sim_link_random(w->sim);
    l.reset_ppm = 1 + (uint32_t)rng_below(sim_rng(w->sim), 300000);
    j->may_break = true;
    sim_link_set(w->sim, c->host, j->other_host, &l);
}

static unsigned arrived_in_all, refused_in_all;

static void it_is_where_it_was_said(struct world *w)
{
    const struct cast *c = w->state;
    struct journey *j = c->data;
    arrived_in_all += (unsigned)j->arrived;
    refused_in_all += (unsigned)j->refused;
    free(j);
}

static void test_a_key_is_where_the_reply_says(void **state)
{
    (void)state;
    run_seeds(&(struct scenario){"breaking", set_up_breaking, it_is_where_it_was_said, SEC(36000)}, 60);
    if (!getenv("SIM_SEED")) assert_true(arrived_in_all > 0 && refused_in_all > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_counter_loses_no_increment),
        cmocka_unit_test(test_a_key_is_where_the_reply_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
