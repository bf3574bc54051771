/* SPDX-License-Identifier: MIT
 *
 * Clients with caches of their own (CLIENT TRACKING), over networks that split, delay and break. Counters are raised by
 * one client each; the others keep what they have read until they are told that it changed.
 *
 * What must hold: who asks PING and has the reply has been told, before it, of every change whose reply its writer had
 * when PING was sent. So nothing older than these is in the cache then. And what is read is never older than what was
 * read before.
 */
#include "tests/sim/redis.h"

#define KEYS   6
#define ROUNDS 60

enum way { WAY_PLAIN, WAY_NOLOOP, WAY_BCAST, WAY_OPTIN, WAY_OPTOUT, WAY_COUNT };

struct counters {
    int64_t confirmed[KEYS]; /* as far as the writer knows */
    int writers, writers_left;
    unsigned told, hits, breaks;
    bool may_break;
};

struct reader {
    struct counters *x;
    struct link link;
    struct rng rng;
    enum way way;
    bool ended;
    int64_t cached[KEYS]; /* -1: not in the cache */
    int64_t seen[KEYS];   /* the newest that was read */
};

static void forget_all(struct reader *r)
{
    for (int k = 0; k < KEYS; k++) r->cached[k] = -1;
}

/* ">2 invalidate", and an array of names or null. */
static void take_message(struct reader *r, struct bytes m)
{
    static const char head[] = ">2\r\n$10\r\ninvalidate\r\n";
    struct world *w = r->link.w;
    if (!check(w, m.n > sizeof head && !memcmp(m.p, head, sizeof head - 1), "'%.*s'", (int)m.n, m.p)) return;
    r->x->told++;
    if (m.p[sizeof head - 1] == '_') {
        forget_all(r);
        return;
    }
    for (int k = 0; k < KEYS; k++) {
        char name[16];
        int n = snprintf(name, sizeof name, "\r\nkey:%d\r\n", k);
        if (memmem(m.p, m.n, name, (size_t)n)) r->cached[k] = -1;
    }
}

/* The next reply; messages before it are taken. */
static struct bytes reader_reply(struct reader *r)
{
    for (;;) {
        struct bytes reply = link_reply(&r->link);
        if (!reply.p) r->ended = true;
        if (!reply.p || reply.p[0] != '>') return reply;
        take_message(r, reply);
    }
}

static void ask_and_drop(struct reader *r, const char *a, const char *b, const char *c, const char *d)
{
    if (!r->ended && !link_send(&r->link, a, b, c, d, NULL)) reader_reply(r);
    else r->ended = true;
}

static void reader_begin(struct reader *r, struct world *w)
{
    static const char *const words[] = {NULL, "NOLOOP", "BCAST", "OPTIN", "OPTOUT"};
    r->ended = link_open(&r->link, w) != 0;
    forget_all(r);
    ask_and_drop(r, "HELLO", "3", NULL, NULL);
    ask_and_drop(r, "CLIENT", "TRACKING", "ON", words[r->way]);
}

static void take_value(struct reader *r, int k, struct bytes reply)
{
    const char *digits = reply.p && reply.p[0] == '$' ? memchr(reply.p, '\n', reply.n) : NULL;
    if (!reply.p) return;
    int64_t v = digits ? strtoll(digits + 1, NULL, 10) : 0;
    check(r->link.w, v >= r->seen[k], "key:%d was %lld and is %lld", k, (long long)r->seen[k], (long long)v);
    r->seen[k] = r->cached[k] = v;
}

static void read_key(struct reader *r, int k)
{
    char name[16];
    if (r->cached[k] >= 0) {
        r->x->hits++;
        return;
    }
    snprintf(name, sizeof name, "key:%d", k);
    if (r->way == WAY_OPTIN) ask_and_drop(r, "CLIENT", "CACHING", "YES", NULL);
    if (r->ended) return;
    if (link_send(&r->link, "GET", name, NULL)) r->ended = true;
    else take_value(r, k, reader_reply(r));
}

/* Two in a pipeline: what is told between their replies is of the first. */
static void read_two(struct reader *r, int k, int other)
{
    char name[16], name2[16];
    if (r->way == WAY_OPTIN || k == other || r->ended) return;
    snprintf(name, sizeof name, "key:%d", k);
    snprintf(name2, sizeof name2, "key:%d", other);
    if (link_send(&r->link, "GET", name, NULL) || link_send(&r->link, "GET", name2, NULL)) {
        r->ended = true;
        return;
    }
    take_value(r, k, reader_reply(r));
    if (!r->ended) take_value(r, other, reader_reply(r));
}

static void check_cache(struct reader *r)
{
    int64_t confirmed[KEYS];
    memcpy(confirmed, r->x->confirmed, sizeof confirmed);
    ask_and_drop(r, "PING", NULL, NULL, NULL);
    for (int k = 0; k < KEYS && !r->ended; k++)
        check(r->link.w, r->cached[k] < 0 || r->cached[k] >= confirmed[k],
              "key:%d is kept as %lld, and somebody was told that it is %lld", k, (long long)r->cached[k],
              (long long)confirmed[k]);
}

static int be_reader(struct cast *c, int number)
{
    struct reader r = {.x = c->data, .way = (enum way)(number % WAY_COUNT)};
    rng_seed(&r.rng, c->w->seed * 100 + (uint64_t)number);
    reader_begin(&r, c->w);
    for (int quiet = 0; quiet < 2 && !c->w->failure[0];) {
        if (!r.x->writers_left) quiet++; /* once more, when all is done */
        for (int i = (int)rng_below(&r.rng, 8); i >= 0; i--) read_key(&r, (int)rng_below(&r.rng, KEYS));
        if (!rng_below(&r.rng, 3)) read_two(&r, (int)rng_below(&r.rng, KEYS), (int)rng_below(&r.rng, KEYS));
        check_cache(&r);
        if (r.ended) {
            check(c->w, r.x->may_break, "a reader's connection ended");
            r.x->breaks++;
            link_close(&r.link);
            reader_begin(&r, c->w);
            quiet = 0;
        }
        sleep_ns(rng_below(&r.rng, MS(3)));
    }
    link_close(&r.link);
    return 0;
}

/* Raises its keys; now and then in a transaction, by a script, or among others of another name. */
static int64_t raise_key(struct link *l, struct rng *rng, const char *name)
{
    switch (rng_below(rng, 4)) {
    case 0: {
        if (!link_ask(l, "MULTI", NULL).p || !link_ask(l, "INCR", name, NULL).p) return -1;
        struct bytes r = link_ask(l, "EXEC", NULL);
        const char *at = r.p ? memchr(r.p, ':', r.n) : NULL;
        return at ? strtoll(at + 1, NULL, 10) : -1;
    }
    case 1:
        if (!link_ask(l, "MSET", "other:1", "x", "other:2", "y", NULL).p) return -1;
        return reply_number(link_ask(l, "INCR", name, NULL));
    default: return reply_number(link_ask(l, "INCR", name, NULL));
    }
}

static int be_writer(struct cast *c, int number, int which)
{
    struct counters *x = c->data;
    struct link l;
    struct rng rng;
    rng_seed(&rng, c->w->seed * 100 + (uint64_t)number);
    if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) return -1;
    for (int i = 0; i < ROUNDS && !c->w->failure[0]; i++) {
        char name[16];
        int k = which + x->writers * (int)rng_below(&rng, (uint64_t)(KEYS / x->writers));
        snprintf(name, sizeof name, "key:%d", k);
        int64_t v = raise_key(&l, &rng, name);
        if (v < 0) { /* whether it came to anything is not known */
            check(c->w, x->may_break, "a writer's connection ended");
            link_close(&l);
            if (!CHECK_EQUAL(c->w, link_open(&l, c->w), 0)) break;
            continue;
        }
        check(c->w, v > x->confirmed[k], "key:%d fell to %lld", k, (long long)v);
        x->confirmed[k] = v;
        sleep_ns(rng_below(&rng, MS(2)));
    }
    x->writers_left--;
    link_close(&l);
    return 0;
}

static int play_part(struct cast *c, int number)
{
    const struct counters *x = c->data;
    return number < x->writers ? be_writer(c, number, number) : be_reader(c, number - x->writers);
}

static struct cast *set_the_stage(struct world *w, bool may_break)
{
    static const char *const confs[] = {"", "tracking-table-max-keys 2\n", "maxmemory-clients 100mb\n"};
    struct counters *x = calloc(1, sizeof *x);
    x->writers = x->writers_left = 1 + (int)rng_below(sim_rng(w->sim), 3);
    x->may_break = may_break;
    struct cast *c = cast_add(w, confs[rng_below(sim_rng(w->sim), 3)], x->writers + WAY_COUNT, play_part, x);
    for (int i = 0; i < c->count; i++) {
        struct sim_link l = sim_link_random(w->sim);
        sim_link_set(w->sim, c->host, c->clients[i], &l);
    }
    return c;
}

static void set_up_calm(struct world *w) { set_the_stage(w, false); }

static void draw_links(struct cast *c, uint32_t ppm)
{
    for (int i = 0; i < c->count; i++) {
        struct sim_link l = sim_link_random(c->w->sim);
        l.reset_ppm = l.segment_max < 100 ? ppm / 50 : ppm;
        sim_link_set(c->w->sim, c->host, c->clients[i], &l);
    }
}

static void begin_to_break(void *arg) { draw_links(arg, 10000); }
static void break_no_more(void *arg) { draw_links(arg, 0); }

static void set_up_breaking(struct world *w)
{
    struct cast *c = set_the_stage(w, true);
    sim_at(w->sim, SIM_START_NS + MS(30), begin_to_break, c);
    sim_at(w->sim, SIM_START_NS + SEC(10), break_no_more, c);
}

static unsigned told_in_all, hits_in_all, breaks_in_all;

static void end_play(struct world *w)
{
    struct cast *c = w->state;
    struct counters *x = c->data;
    told_in_all += x->told;
    hits_in_all += x->hits;
    breaks_in_all += x->breaks;
    free(x);
    c->data = NULL;
}

static void test_a_cache_never_keeps_what_changed(void **state)
{
    (void)state;
    run_seeds(&(struct scenario){"caches", set_up_calm, end_play, SEC(36000)}, 25);
    assert_true(told_in_all > 0 && hits_in_all > 0);
}

static void test_nor_over_a_network_that_breaks(void **state)
{
    (void)state;
    run_seeds(&(struct scenario){"caches, resets", set_up_breaking, end_play, SEC(36000)}, 25);
    assert_true(breaks_in_all > 0 || getenv("SIM_SEED"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cache_never_keeps_what_changed),
        cmocka_unit_test(test_nor_over_a_network_that_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
