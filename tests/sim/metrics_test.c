/* SPDX-License-Identifier: MIT
 *
 * /metrics over networks that split and delay: each scrape is whole, and who dawdles is gone when his time is up,
 * however he does it.
 */
#include "tests/sim/net.h"
#include "tests/sim/redis.h"

#define METRICS_PORT 9121
#define METRICS_CONF "metrics-port 9121\nmetrics-bind *\n"
#define GET          "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
#define SLACK_NS     SEC(3) /* cron, and the way there and back */
#define TEXT_MAX     (1u << 20)

struct reader {
    struct world *w;
    int qd;
    char *text;
    size_t n;
};

static int reader_open(struct reader *r, struct world *w)
{
    *r = (struct reader){.w = w, .text = malloc(TEXT_MAX + POP_MAX)};
    while ((r->qd = connect_to(SERVER_ADDR, METRICS_PORT)) == -ECONNREFUSED) sleep_ns(MS(1));
    return r->qd;
}

static void reader_close(struct reader *r)
{
    if (r->qd >= 0) demi_close(r->qd);
    free(r->text);
}

/* More bytes; false: there are none any more. */
static bool reader_fill(struct reader *r)
{
    int n = r->n < TEXT_MAX ? pop_bytes(r->qd, r->text + r->n, POP_MAX) : 0;
    if (n > 0) r->n += (size_t)n;
    return n > 0;
}

/* Takes the first n bytes of what has come. */
static void reader_drop(struct reader *r, size_t n)
{
    r->n -= n;
    memmove(r->text, r->text + n, r->n);
}

static size_t line_of(struct reader *r, const char *end)
{
    for (;;) {
        const char *at = r->n ? memmem(r->text, r->n, end, strlen(end)) : NULL;
        if (at) return (size_t)(at - r->text) + strlen(end);
        if (!reader_fill(r)) return 0;
    }
}

/* Reads one answer with its chunks; how many bytes of text it has, 0: it does not come, or is not as it should be. */
static size_t read_answer(struct reader *r)
{
    size_t all = 0, head = line_of(r, "\r\n\r\n");
    bool is_first = true, ends_a_line = false;
    if (!head || memcmp(r->text, "HTTP/1.1 200 OK\r\n", 17) != 0) return 0;
    reader_drop(r, head);
    for (;;) {
        size_t line = line_of(r, "\r\n"), n = line ? strtoul(r->text, NULL, 16) : 0;
        if (!line) return 0;
        while (r->n < line + n + 2)
            if (!reader_fill(r)) return 0;
        if (!CHECK(r->w, memcmp(r->text + line + n, "\r\n", 2) == 0)) return 0;
        if (is_first && !CHECK(r->w, n && memcmp(r->text + line, "# HELP demikv_info ", 19) == 0)) return 0;
        if (n) ends_a_line = r->text[line + n - 1] == '\n';
        is_first = false;
        all += n;
        reader_drop(r, line + n + 2);
        if (!n) return CHECK(r->w, ends_a_line) ? all : 0;
    }
}

/* Until the server has closed. */
static void await_end(struct reader *r)
{
    while (reader_fill(r)) r->n = 0;
}

/* --- who is served ------------------------------------------------------------------------------------------------ */

static int scrapes(struct cast *c, int number)
{
    struct reader r;
    if (!CHECK(c->w, reader_open(&r, c->w) >= 0)) return -1;
    for (int i = 0; i < 20; i++) {
        unsigned ahead = 1 + (unsigned)(i % 3); /* pipelined */
        for (unsigned k = 0; k < ahead; k++) push_bytes(r.qd, GET, sizeof GET - 1);
        for (unsigned k = 0; k < ahead; k++)
            if (!CHECK(c->w, read_answer(&r) > 10000)) break;
        sleep_ns(SEC((uint64_t)(i % 7) * 5)); /* less than it may be idle */
    }
    reader_close(&r);
    return 0;
}

static void draw_network(struct cast *c)
{
    for (int i = 0; i < c->count; i++) {
        struct sim_link l = sim_link_random(c->w->sim);
        if (l.segment_max < 100) l.segment_max = 100;
        if (l.window < 4096) l.window = 4096;
        sim_link_set(c->w->sim, c->host, c->clients[i], &l);
    }
}

static void set_up_scrapes(struct world *w) { draw_network(cast_add(w, METRICS_CONF, 5, scrapes, NULL)); }

static void test_each_scrape_is_whole(void **state)
{
    run_seeds(&(struct scenario){"scrapes", set_up_scrapes, NULL, SEC(36000)}, 20);
}

/* --- who dawdles -------------------------------------------------------------------------------------------------- */

static void say_nothing(struct reader *r) { await_end(r); }

/* A byte a second, a line without end. */
static void drip(struct reader *r)
{
    static const char text[] = "GET /metrics HTTP/1.1\r\nHost: x\r\nA: ";
    for (size_t i = 0; i < 1000; i++)
        if (push_bytes(r->qd, i < sizeof text - 1 ? text + i : "x", 1)) return;
        else sleep_ns(SEC(1));
    CHECK(r->w, false);
}

static void ask_once(struct reader *r)
{
    push_bytes(r->qd, GET, sizeof GET - 1);
    CHECK(r->w, read_answer(r) > 10000);
    await_end(r);
}

/* Goes on when it has been told that something is wrong, and never closes. */
static void never_close(struct reader *r)
{
    push_bytes(r->qd, "GET / HTTP/9.9\r\n", 16);
    for (int i = 0; i < 100; i++) {
        sleep_ns(MS(500));
        if (push_bytes(r->qd, "more\r\n", 6)) return;
    }
    CHECK(r->w, false);
}

/* Asks for more than fits anywhere, and reads nothing until it must be over. */
static void never_read(struct reader *r)
{
    size_t got = 0;
    for (int i = 0; i < 200; i++) push_bytes(r->qd, GET, sizeof GET - 1);
    sleep_ns(SEC(100));
    for (; reader_fill(r); r->n = 0) got += r->n;
    CHECK(r->w, got < 200 * 10000);
}

static const struct dawdler {
    void (*act)(struct reader *r);
    uint64_t seconds, at_least; /* until it is gone */
} dawdlers[] = {{say_nothing, 10, 9}, {drip, 10, 9}, {ask_once, 120, 119}, {never_close, 2, 0}, {never_read, 100, 0}};
enum { DAWDLERS = sizeof dawdlers / sizeof *dawdlers };

static int dawdles(struct cast *c, int number)
{
    const struct dawdler *d = &dawdlers[number];
    struct reader r;
    if (!CHECK(c->w, reader_open(&r, c->w) >= 0)) return -1;
    uint64_t begin = demi_clock_ns();
    d->act(&r);
    uint64_t took = demi_clock_ns() - begin;
    check(c->w, took <= SEC(d->seconds) + SLACK_NS && took >= SEC(d->at_least), "dawdler %d was there for %llu ms",
          number, (unsigned long long)(took / 1000000));
    reader_close(&r);
    return 0;
}

static void set_up_dawdlers(struct world *w)
{
    struct cast *c = cast_add(w, METRICS_CONF, DAWDLERS, dawdles, NULL);
    for (int i = 0; i < c->count; i++) {
        uint64_t delay = rng_below(sim_rng(w->sim), MS(2));
        struct sim_link l = {.delay_ns = 1000 + delay, .jitter_ns = delay, .segment_max = 16384, .window = 65536};
        sim_link_set(w->sim, c->host, c->clients[i], &l);
    }
}

static void test_who_dawdles_is_gone_in_time(void **state)
{
    run_seeds(&(struct scenario){"dawdlers", set_up_dawdlers, NULL, SEC(36000)}, 40);
}

/* --- on our own stack --------------------------------------------------------------------------------------------- */

static void lay_wires(struct cast *c, uint32_t loss_ppm)
{
    for (int i = 0; i < c->count; i++) {
        struct sim_wire wire = {.delay_ns = 1000 + rng_below(sim_rng(c->w->sim), MS(5)), .loss_ppm = loss_ppm};
        sim_wire_set(c->w->sim, c->host, c->clients[i], &wire);
    }
}

static void set_up_frames(struct world *w)
{
    w->lossy = true;
    lay_wires(cast_add_on(add_usual_net_host, w, METRICS_CONF, 4, scrapes, NULL), 10000);
}

static void test_each_scrape_is_whole_whatever_is_lost(void **state)
{
    run_seeds(&(struct scenario){"scrapes over lossy wires", set_up_frames, NULL, SEC(36000)}, 10);
}

static void set_up_frame_dawdlers(struct world *w)
{
    lay_wires(cast_add_on(add_usual_net_host, w, METRICS_CONF, DAWDLERS, dawdles, NULL), 0);
}

static void test_who_dawdles_over_frames_is_gone_in_time(void **state)
{
    run_seeds(&(struct scenario){"dawdlers over frames", set_up_frame_dawdlers, NULL, SEC(36000)}, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_scrape_is_whole),
        cmocka_unit_test(test_who_dawdles_is_gone_in_time),
        cmocka_unit_test(test_each_scrape_is_whole_whatever_is_lost),
        cmocka_unit_test(test_who_dawdles_over_frames_is_gone_in_time),
    };
    rolls_dice = true; /* processor time and the like are shown */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
