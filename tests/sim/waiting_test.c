/* SPDX-License-Identifier: MIT
 *
 * What clients of one server do to each other: who waits is served in order and once, transactions see what came
 * between, messages reach everybody in order, and time passes on the simulated clock alone.
 */
#include "tests/sim/redis.h"

static void free_data(struct world *w)
{
    struct cast *c = w->state;
    free(c->data);
    c->data = NULL;
}

static void draw_links(struct cast *c)
{
    for (int i = 0; i < c->count; i++) {
        struct sim_link l = sim_link_random(c->w->sim);
        sim_link_set(c->w->sim, c->host, c->clients[i], &l);
    }
}

/* The n-th bulk string of an array reply; .p NULL: there is none. */
static struct bytes element(struct bytes r, int n)
{
    if (!r.p || r.p[0] != '*' || n >= atoi(r.p + 1)) return bytes_of(NULL, 0);
    size_t at = line_end(r.p, r.n);
    while (n--) at += reply_size(r.p + at, r.n - at);
    size_t head = line_end(r.p + at, r.n - at);
    return bytes_of(r.p + at + head, (size_t)atol(r.p + at + 1));
}

/* The n-th element of an array reply as the reply it is. */
static struct bytes part(struct bytes r, int n)
{
    if (!r.p || r.p[0] != '*' || n >= atoi(r.p + 1)) return bytes_of(NULL, 0);
    size_t at = line_end(r.p, r.n);
    while (n--) at += reply_size(r.p + at, r.n - at);
    return bytes_of(r.p + at, reply_size(r.p + at, r.n - at));
}

static unsigned number_of(struct bytes b) { return b.p ? (unsigned)atoi(b.p) : UINT32_MAX; }

/* --- waiting in line ---------------------------------------------------------------------------------------------- */

#define IN_LINE_MAX 10
#define STEP        SEC(5) /* longer than any link takes for a command: they come in the order of their numbers */

enum waits { STAYS, LEAVES, TIMES_OUT, WAITS_FOR_TWO };

struct line {
    enum waits how[IN_LINE_MAX];
    bool at_once, in_multi;
};

static void stand_in_line(struct cast *c, struct link *l, int number)
{
    struct line *x = c->data;
    unsigned place = 0;
    char want[64], text[16];
    for (int i = 0; i < number; i++) place += x->how[i] == STAYS || x->how[i] == WAITS_FOR_TWO;
    sleep_ns(STEP * (uint64_t)(number + 1));
    snprintf(text, sizeof text, "%u", place);
    snprintf(want, sizeof want, "*2\r\n$1\r\nq\r\n$%zu\r\n%s\r\n", strlen(text), text);
    switch (x->how[number]) {
    case STAYS: EXPECT(l, want, "BLPOP", "q", "0"); break;
    case WAITS_FOR_TWO: EXPECT(l, want, "BLPOP", "other", "q", "q", "0"); break;
    case TIMES_OUT: EXPECT(l, "*-1\r\n", "BLPOP", "q", "0.5"); break;
    case LEAVES:
        link_send(l, "BLPOP", "q", "0", NULL);
        sleep_ns(STEP);
        break;
    }
}

static void push_for_all(struct cast *c, struct link *l)
{
    struct line *x = c->data;
    int stay = 0;
    char text[16], queued[16];
    sleep_ns(STEP * (IN_LINE_MAX + 3));
    for (int i = 0; i < c->count - 1; i++) stay += x->how[i] == STAYS || x->how[i] == WAITS_FOR_TWO;
    if (x->in_multi) EXPECT(l, "+OK\r\n", "MULTI");
    for (int i = 0; i < stay; i++) {
        snprintf(text, sizeof text, "%d", i);
        link_send(l, "RPUSH", "q", text, NULL);
        if (!x->at_once) link_reply(l);
        if (!x->at_once && !x->in_multi) sleep_ns(MS(100));
    }
    for (int i = 0; x->at_once && i < stay; i++) link_reply(l);
    snprintf(queued, sizeof queued, "*%d\r\n", stay);
    if (x->in_multi) CHECK(c->w, !strncmp(link_ask(l, "EXEC", NULL).p, queued, strlen(queued)));
    sleep_ns(STEP);
    EXPECT(l, ":0\r\n", "LLEN", "q");
}

static int in_line(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    if (number < c->count - 1) stand_in_line(c, &l, number);
    else push_for_all(c, &l);
    link_close(&l);
    return 0;
}

static void set_up_line(struct world *w)
{
    struct rng *r = sim_rng(w->sim);
    struct line *x = calloc(1, sizeof *x);
    for (int i = 0; i < IN_LINE_MAX; i++) x->how[i] = (enum waits)rng_below(r, 4);
    x->at_once = rng_below(r, 2);
    x->in_multi = rng_below(r, 2);
    draw_links(cast_add(w, NULL, 2 + (int)rng_below(r, IN_LINE_MAX), in_line, x));
}

static void test_who_waits_is_served_in_the_order_of_coming(void **state)
{
    run_seeds(&(struct scenario){"in line", set_up_line, free_data, SEC(1000)}, 100);
}

/* --- a queue of work ---------------------------------------------------------------------------------------------- */

#define PRODUCERS 3
#define WORKERS   4
#define JOBS      40

struct jobs {
    unsigned done[PRODUCERS][JOBS], producers_ended;
};

static void produce(struct cast *c, struct link *l, int number)
{
    struct jobs *x = c->data;
    char text[16];
    struct rng rng;
    rng_seed(&rng, hash_u64((uint64_t)number, c->w->seed));
    for (int i = 0; i < JOBS; i++) {
        snprintf(text, sizeof text, "%d", number * JOBS + i);
        link_send(l, "LPUSH", "jobs", text, NULL);
        if (!rng_below(&rng, 4)) sleep_ns(rng_below(&rng, MS(10)));
    }
    for (int i = 0; i < JOBS; i++) CHECK(c->w, reply_number(link_reply(l)) > 0);
    if (++x->producers_ended < PRODUCERS) return;
    for (int i = 0; i < WORKERS; i++) CHECK(c->w, reply_number(link_ask(l, "LPUSH", "jobs", "99999", NULL)) > 0);
}

static void work(struct cast *c, struct link *l, int number)
{
    struct jobs *x = c->data;
    unsigned last[PRODUCERS] = {0};
    while (!c->w->failure[0]) {
        struct bytes r =
            number % 2 ? link_ask(l, "BRPOP", "jobs", "0", NULL) : link_ask(l, "BRPOP", "jobs", "0.01", NULL);
        if (r.p && r.n == 5) continue; /* *-1: nothing in time */
        unsigned job = number_of(element(r, 1));
        if (job == 99999) return;
        if (!CHECK(c->w, job < PRODUCERS * JOBS)) return;
        unsigned from = job / JOBS, i = job % JOBS;
        x->done[from][i]++;
        CHECK(c->w, i >= last[from]); /* a list keeps the order of each producer */
        last[from] = i;
    }
}

static int at_the_queue(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    if (number < PRODUCERS) produce(c, &l, number);
    else work(c, &l, number);
    link_close(&l);
    return 0;
}

static void set_up_jobs(struct world *w)
{
    draw_links(cast_add(w, NULL, PRODUCERS + WORKERS, at_the_queue, calloc(1, sizeof(struct jobs))));
}

static void verify_jobs(struct world *w)
{
    struct cast *c = w->state;
    struct jobs *x = c->data;
    for (int p = 0; p < PRODUCERS; p++)
        for (int i = 0; i < JOBS; i++) CHECK_EQUAL(w, x->done[p][i], 1);
    free_data(w);
}

static void test_every_job_is_done_once(void **state)
{
    run_seeds(&(struct scenario){"jobs", set_up_jobs, verify_jobs, SEC(1000)}, 100);
}

/* --- a group of workers ------------------------------------------------------------------------------------------- */

static void produce_entries(struct cast *c, struct link *l, int number)
{
    struct jobs *x = c->data;
    char text[16];
    struct rng rng;
    rng_seed(&rng, hash_u64((uint64_t)number, c->w->seed));
    for (int i = 0; i < JOBS; i++) {
        snprintf(text, sizeof text, "%d", number * JOBS + i);
        link_send(l, "XADD", "jobs", "*", "n", text, NULL);
        if (!rng_below(&rng, 4)) sleep_ns(rng_below(&rng, MS(10)));
    }
    for (int i = 0; i < JOBS; i++) CHECK(c->w, link_reply(l).p != NULL);
    if (++x->producers_ended < PRODUCERS) return;
    for (int i = 0; i < WORKERS; i++) link_ask(l, "XADD", "jobs", "*", "n", "99999", NULL);
}

static void work_in_group(struct cast *c, struct link *l, int number)
{
    struct jobs *x = c->data;
    unsigned last[PRODUCERS] = {0};
    char name[32], id[64];
    snprintf(name, sizeof name, "worker %d", number);
    while (!c->w->failure[0]) {
        struct bytes r = link_ask(l, "XREADGROUP", "GROUP", "g", name, "COUNT", "1", "BLOCK", number % 2 ? "0" : "10",
                                  "STREAMS", "jobs", ">", NULL);
        if (r.p && r.n == 5) continue; /* *-1: nothing in time */
        struct bytes entry = part(part(part(r, 0), 1), 0), text = element(entry, 0);
        unsigned job = number_of(element(part(entry, 1), 1));
        if (!CHECK(c->w, text.n && text.n < sizeof id)) return;
        snprintf(id, sizeof id, "%.*s", (int)text.n, text.p);
        EXPECT(l, ":1\r\n", "XACK", "jobs", "g", id);
        if (job == 99999) return;
        if (!CHECK(c->w, job < PRODUCERS * JOBS)) return;
        unsigned from = job / JOBS, i = job % JOBS;
        x->done[from][i]++;
        CHECK(c->w, i >= last[from]); /* a stream keeps the order of each producer */
        last[from] = i;
    }
}

static int at_the_stream(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    link_ask(&l, "XGROUP", "CREATE", "jobs", "g", "0", "MKSTREAM", NULL); /* BUSYGROUP: another was first */
    if (number < PRODUCERS) produce_entries(c, &l, number);
    else work_in_group(c, &l, number);
    if (c->ended == c->count - 1) EXPECT(&l, "*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n", "XPENDING", "jobs", "g");
    link_close(&l);
    return 0;
}

static void set_up_group(struct world *w)
{
    draw_links(cast_add(w, NULL, PRODUCERS + WORKERS, at_the_stream, calloc(1, sizeof(struct jobs))));
}

static void test_every_entry_is_one_consumers(void **state)
{
    run_seeds(&(struct scenario){"group", set_up_group, verify_jobs, SEC(1000)}, 60);
}

/* --- WATCH -------------------------------------------------------------------------------------------------------- */

#define ADDERS 5
#define ADDS   10

struct sum {
    unsigned conflicts;
};

/* The sum's next value, if nobody came between. */
static bool add_one(struct link *l, struct sum *x)
{
    EXPECT(l, "+OK\r\n", "WATCH", "sum");
    struct bytes r = link_ask(l, "GET", "sum", NULL);
    long before = r.p && r.p[1] != '-' ? strtol(r.p + line_end(r.p, r.n), NULL, 10) : 0;
    char text[32];
    snprintf(text, sizeof text, "%ld", before + 1);
    EXPECT(l, "+OK\r\n", "MULTI");
    EXPECT(l, "+QUEUED\r\n", "SET", "sum", text);
    r = link_ask(l, "EXEC", NULL);
    if (r.p && r.n == 5) { /* *-1 */
        x->conflicts++;
        return false;
    }
    expect_reply(l->w, r, "*1\r\n+OK\r\n", __FILE__, __LINE__);
    return true;
}

static int adds(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    for (int done = 0; done < ADDS && !c->w->failure[0];) done += add_one(&l, c->data);
    if (c->ended == c->count - 1) EXPECT(&l, "$2\r\n50\r\n", "GET", "sum");
    link_close(&l);
    return 0;
}

static void set_up_sum(struct world *w) { draw_links(cast_add(w, NULL, ADDERS, adds, calloc(1, sizeof(struct sum)))); }

static void verify_sum(struct world *w)
{
    struct cast *c = w->state;
    CHECK(w, ((struct sum *)c->data)->conflicts > 0);
    free_data(w);
}

static void test_exec_sees_what_came_between(void **state)
{
    run_seeds(&(struct scenario){"watch", set_up_sum, verify_sum, SEC(1000)}, 60);
}

/* --- messages ----------------------------------------------------------------------------------------------------- */

#define MESSAGES 50

static void listen_to_all(struct cast *c, struct link *l, int number)
{
    bool pattern = number % 2;
    if (pattern) EXPECT(l, "*3\r\n$10\r\npsubscribe\r\n$3\r\nne*\r\n:1\r\n", "PSUBSCRIBE", "ne*");
    else EXPECT(l, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n", "SUBSCRIBE", "news");
    for (unsigned i = 0; i < MESSAGES; i++) CHECK_EQUAL(c->w, number_of(element(link_reply(l), pattern ? 3 : 2)), i);
}

static void tell_all(struct cast *c, struct link *l)
{
    char text[16];
    sleep_ns(SEC(30));
    for (int i = 0; i < MESSAGES; i++) {
        snprintf(text, sizeof text, "%d", i);
        CHECK_EQUAL(c->w, reply_number(link_ask(l, "PUBLISH", "news", text, NULL)), c->count - 1);
    }
}

static int at_the_radio(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    if (number) listen_to_all(c, &l, number);
    else tell_all(c, &l);
    link_close(&l);
    return 0;
}

static void set_up_radio(struct world *w) { draw_links(cast_add(w, NULL, 6, at_the_radio, NULL)); }

static void test_messages_reach_all_in_order(void **state)
{
    run_seeds(&(struct scenario){"messages", set_up_radio, NULL, SEC(1000)}, 40);
}

/* --- time --------------------------------------------------------------------------------------------------------- */

/* How long a blocking command takes. */
static void waits_for(struct link *l, uint64_t ns, const char *timeout)
{
    uint64_t before = demi_clock_ns();
    EXPECT(l, "*-1\r\n", "BLPOP", "none", timeout);
    uint64_t took = demi_clock_ns() - before;
    CHECK(l->w, took >= ns && took < ns + MS(5));
}

static int waits_often(struct cast *c, int number)
{
    struct link l;
    struct rng rng;
    char text[32];
    rng_seed(&rng, c->w->seed + (uint64_t)number);
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    for (int i = 0; i < 30 && !c->w->failure[0]; i++) {
        uint64_t ms = 1 + rng_below(&rng, 30);
        snprintf(text, sizeof text, "0.%03u", (unsigned)ms);
        waits_for(&l, MS(ms), text);
        sleep_ns(rng_below(&rng, MS(2)));
    }
    link_close(&l);
    return 0;
}

static void set_up_often(struct world *w) { cast_add(w, NULL, 3, waits_often, NULL); }

static void test_nobody_waits_less_than_asked_for(void **state)
{
    run_seeds(&(struct scenario){"timeouts", set_up_often, NULL, SEC(100)}, 50);
}

static int lives_long(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    waits_for(&l, SEC(10000), "10000");
    waits_for(&l, MS(250), "0.25");
    EXPECT(&l, "+OK\r\n", "SET", "a", "x", "EX", "604800");
    EXPECT(&l, "+OK\r\n", "SET", "b", "x", "EX", "604900");
    sleep_ns(DAYS(7) - SEC(10));
    EXPECT(&l, "$1\r\nx\r\n", "GET", "a");
    sleep_ns(SEC(11));
    EXPECT(&l, "$-1\r\n", "GET", "a");
    EXPECT(&l, ":1\r\n", "EXISTS", "b");
    sleep_ns(SEC(120));
    EXPECT(&l, ":0\r\n", "DBSIZE"); /* nobody asked for it: the server looked */
    link_close(&l);
    return 0;
}

static void set_up_long(struct world *w) { cast_add(w, "hz 1\n", 1, lives_long, NULL); }

static void test_days_pass_in_a_moment(void **state)
{
    run_seeds(&(struct scenario){"days", set_up_long, NULL, DAYS(30)}, 1);
}

static int idles(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    EXPECT(&l, "+PONG\r\n", "PING");
    uint64_t before = demi_clock_ns();
    CHECK(c->w, !link_reply(&l).p); /* closed by the server */
    uint64_t took = demi_clock_ns() - before;
    CHECK(c->w, took >= SEC(300) && took < SEC(303));
    link_close(&l);
    return 0;
}

static void set_up_idle(struct world *w) { cast_add(w, "timeout 300\n", 3, idles, NULL); }

static void test_idle_clients_are_closed_when_their_time_is_over(void **state)
{
    run_seeds(&(struct scenario){"idle", set_up_idle, NULL, SEC(1000)}, 5);
}

static int pauses(struct cast *c, int number)
{
    struct link l;
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    if (!number) EXPECT(&l, "+OK\r\n", "CLIENT", "PAUSE", "60000", "WRITE");
    else sleep_ns(SEC(1));
    uint64_t before = demi_clock_ns();
    EXPECT(&l, "$-1\r\n", "GET", "nothing");
    CHECK(c->w, demi_clock_ns() - before < SEC(1));
    CHECK(c->w, reply_number(link_ask(&l, "INCR", "n", NULL)) > 0);
    CHECK(c->w, demi_clock_ns() - before > SEC(58) && demi_clock_ns() - before < SEC(62));
    link_close(&l);
    return 0;
}

static void set_up_pause(struct world *w) { cast_add(w, NULL, 4, pauses, NULL); }

static void test_paused_writers_go_on_together(void **state)
{
    run_seeds(&(struct scenario){"pause", set_up_pause, NULL, SEC(1000)}, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_waits_is_served_in_the_order_of_coming),
        cmocka_unit_test(test_every_job_is_done_once),
        cmocka_unit_test(test_every_entry_is_one_consumers),
        cmocka_unit_test(test_exec_sees_what_came_between),
        cmocka_unit_test(test_messages_reach_all_in_order),
        cmocka_unit_test(test_nobody_waits_less_than_asked_for),
        cmocka_unit_test(test_days_pass_in_a_moment),
        cmocka_unit_test(test_idle_clients_are_closed_when_their_time_is_over),
        cmocka_unit_test(test_paused_writers_go_on_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
