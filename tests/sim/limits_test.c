/* SPDX-License-Identifier: MIT
 *
 * Clients that ask for more than they take: bounded, closed, and no burden to others.
 */
#include "tests/sim/redis.h"

#define VALUE_BYTES 100000
#define LIMIT_BYTES (4u << 20)

struct flood {
    size_t used_before, used_peak;
    unsigned pings;
    bool greedy_ended;
};

static void note_memory(struct flood *x)
{
    size_t used = demi_mem_used();
    if (used > x->used_peak) x->used_peak = used;
}

/* Asks for 100 MB and reads none of it, until it hears that it is closed. */
static void ask_and_never_read(struct cast *c, struct link *l)
{
    struct flood *x = c->data;
    char *value = malloc(VALUE_BYTES + 1);
    memset(value, 'v', VALUE_BYTES);
    value[VALUE_BYTES] = 0;
    EXPECT(l, "+OK\r\n", "SET", "large", value);
    free(value);
    x->used_before = demi_mem_used();
    for (int i = 0; i < 1000; i++) {
        if (link_send(l, "GET", "large", NULL)) break;
        if (i % 10 == 0) sleep_ns(MS(1));
        note_memory(x);
    }
    sleep_ns(SEC(60));
    size_t got = 0;
    int n;
    char *part = malloc(POP_MAX);
    while ((n = pop_bytes(l->qd, part, POP_MAX)) > 0) got += (size_t)n;
    free(part);
    CHECK(c->w, got < 100 * (size_t)VALUE_BYTES);
    x->greedy_ended = true;
}

/* Meanwhile everybody else is served. */
static void go_on_as_usual(struct cast *c, struct link *l)
{
    struct flood *x = c->data;
    while (!x->greedy_ended && !c->w->failure[0]) {
        uint64_t before = demi_clock_ns();
        EXPECT(l, "+PONG\r\n", "PING");
        CHECK(c->w, demi_clock_ns() - before < SEC(1));
        x->pings++;
        note_memory(x);
        sleep_ns(MS(200));
    }
    EXPECT(l, ":1\r\n", "DEL", "large");
}

static int floods(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    if (number) go_on_as_usual(c, &l);
    else ask_and_never_read(c, &l);
    link_close(&l);
    return 0;
}

static void set_up_flood(struct world *w)
{
    struct cast *c =
        cast_add(w, "client-output-buffer-limit normal 4mb 0 0\n", 2, floods, calloc(1, sizeof(struct flood)));
    struct sim_link l = sim_link_random(w->sim);
    if (l.segment_max < 1448) l.segment_max = 1448;
    sim_link_set(w->sim, c->host, c->clients[0], &l);
}

static void verify_flood(struct world *w)
{
    struct cast *c = w->state;
    struct flood *x = c->data;
    CHECK(w, x->pings > 100);
    CHECK(w, x->used_peak > x->used_before);
    check(w, x->used_peak < x->used_before + 4 * (size_t)LIMIT_BYTES, "%zu bytes of memory for a client limited to %u",
          x->used_peak - x->used_before, LIMIT_BYTES);
    free(x);
    c->data = NULL;
}

static void test_a_client_that_never_reads_is_closed(void **state)
{
    run_seeds(&(struct scenario){"never reads", set_up_flood, verify_flood, SEC(1000)}, 40);
}

/* --- too many ----------------------------------------------------------------------------------------------------- */

static int comes_along(struct cast *c, int number)
{
    struct link l;
    sleep_ns(SEC((uint64_t)(number + 1)));
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    if (number < 4) {
        EXPECT(&l, "+PONG\r\n", "PING");
    } else {
        EXPECT_NEXT(&l, "-ERR max number of clients reached\r\n");
        CHECK(c->w, !link_reply(&l).p);
    }
    sleep_ns(SEC(20));
    link_close(&l);
    sleep_ns(SEC(20)); /* before the server is asked to stop: by a client that has to get in */
    return 0;
}

static void set_up_crowd(struct world *w) { cast_add(w, "maxclients 4\n", 7, comes_along, NULL); }

static void test_who_is_one_too_many_is_told_so(void **state)
{
    run_seeds(&(struct scenario){"crowd", set_up_crowd, NULL, SEC(1000)}, 10);
}

/* --- a query without end ------------------------------------------------------------------------------------------ */

static int never_ends(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    static const char head[] = "*2\r\n$4\r\nECHO\r\n$100000000\r\n";
    char *part = malloc(65536);
    memset(part, 'x', 65536);
    push_bytes(l.qd, head, sizeof head - 1);
    size_t sent = 0, before = demi_mem_used(), peak = before;
    while (sent < 20u << 20 && !push_bytes(l.qd, part, 65536)) {
        sent += 65536;
        sleep_ns(MS(5));
        if (demi_mem_used() > peak) peak = demi_mem_used();
    }
    free(part);
    CHECK(c->w, !link_reply(&l).p);
    CHECK(c->w, peak < before + (8u << 20));
    link_close(&l);
    return 0;
}

static void set_up_endless(struct world *w) { cast_add(w, "client-query-buffer-limit 1mb\n", 1, never_ends, NULL); }

static void test_a_query_over_its_limit_ends_its_client(void **state)
{
    run_seeds(&(struct scenario){"query limit", set_up_endless, NULL, SEC(1000)}, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_that_never_reads_is_closed),
        cmocka_unit_test(test_who_is_one_too_many_is_told_so),
        cmocka_unit_test(test_a_query_over_its_limit_ends_its_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
