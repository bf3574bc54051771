/* SPDX-License-Identifier: MIT
 *
 * A server whose disk fails a sync, and that is started again: the kernel shows what it has not written, so what a
 * start reads is not what a power cut leaves, unless somebody sees to it.
 */
#include "tests/sim/disk.h"
#include "tests/sim/redis.h"

struct sync_world {
    struct world *w;
    struct sim_disk *disk;
    struct sim_disk_settings good;
    struct server_host server;
    struct sim_host *host;
    const char *conf;
    int (*fn)(struct sync_world *s);
    unsigned boots;
};

static void boot(void *arg)
{
    struct sync_world *s = arg;
    s->server = (struct server_host){.w = s->w, .conf = s->conf, .has_files = true};
    s->host = sim_host_add(s->w->sim, SERVER_ADDR, server_main, &s->server);
    sim_host_mount(s->host, s->disk);
    s->boots++;
}

static void power_fails(void *arg)
{
    struct sync_world *s = arg;
    server_crash(&s->server, s->host);
}

/* A connection to a server that has loaded. */
static void start_server(struct sync_world *s, struct link *l)
{
    unsigned boots = s->boots;
    sim_at(s->w->sim, sim_now(s->w->sim), boot, s);
    while (s->boots == boots) sleep_ns(MS(1));
    CHECK_EQUAL(s->w, link_open(l, s->w), 0);
    for (int i = 0; i < 1000; i++) {
        struct bytes r = link_ask(l, "PING", NULL);
        if (r.p && r.p[0] == '+') return;
        sleep_ns(MS(10));
    }
    CHECK(s->w, !"it has loaded");
}

static void wait_ended(struct sync_world *s)
{
    for (int i = 0; i < 10000 && !sim_host_ended(s->host); i++) sleep_ns(MS(10));
    CHECK(s->w, sim_host_ended(s->host));
}

static void syncs_fail(struct sync_world *s, bool fail)
{
    struct sim_disk_settings set = s->good;
    set.sync_eio_ppm = fail ? 1000000 : 0;
    sim_disk_set(s->disk, &set);
}

/* Nobody was told of what was not synced: it may be there or not, but what was read of it is what stays. */
static int end_under_always(struct sync_world *s)
{
    struct link l;
    char seen[64];
    start_server(s, &l);
    EXPECT(&l, "+OK\r\n", "SET", "x", "before");
    syncs_fail(s, true);
    CHECK(s->w, !link_ask(&l, "SET", "x", "behind", NULL).p);
    link_close(&l);
    wait_ended(s);
    CHECK_EQUAL(s->w, s->server.exit_code, 1);
    syncs_fail(s, false);
    start_server(s, &l);
    struct bytes r = link_ask(&l, "GET", "x", NULL);
    CHECK(s->w, r.p && r.n < sizeof seen);
    snprintf(seen, sizeof seen, "%.*s", (int)r.n, r.p ? r.p : "");
    link_close(&l);
    sim_at(s->w->sim, sim_now(s->w->sim), power_fails, s);
    wait_ended(s);
    start_server(s, &l);
    EXPECT(&l, seen, "GET", "x");
    EXPECT(&l, "+OK\r\n", "SET", "x", "last");
    CHECK(s->w, !link_ask(&l, "SHUTDOWN", "NOSAVE", NULL).p);
    link_close(&l);
    wait_ended(s);
    return 0;
}

/* SHUTDOWN says that all is safe, or it stays. */
static int stay_under_everysec(struct sync_world *s)
{
    struct link l;
    start_server(s, &l);
    EXPECT(&l, "+OK\r\n", "SET", "x", "1");
    syncs_fail(s, true);
    struct bytes r = link_ask(&l, "SHUTDOWN", "NOSAVE", NULL);
    CHECK(s->w, r.p && r.p[0] == '-');
    r = link_ask(&l, "SET", "x", "2", NULL);
    CHECK(s->w, r.p && r.n > 8 && !memcmp(r.p, "-MISCONF", 8));
    EXPECT(&l, "$1\r\n1\r\n", "GET", "x");
    syncs_fail(s, false);
    for (int i = 0; i < 1000; i++) { /* until a rewrite has made the log good */
        r = link_ask(&l, "SET", "x", "3", NULL);
        if (r.p && r.p[0] == '+') break;
        sleep_ns(SEC(1));
    }
    EXPECT(&l, "$1\r\n3\r\n", "GET", "x");
    CHECK(s->w, !link_ask(&l, "SHUTDOWN", "NOSAVE", NULL).p);
    link_close(&l);
    wait_ended(s);
    CHECK_EQUAL(s->w, s->server.exit_code, 0);
    start_server(s, &l);
    EXPECT(&l, "$1\r\n3\r\n", "GET", "x");
    CHECK(s->w, !link_ask(&l, "SHUTDOWN", "NOSAVE", NULL).p);
    link_close(&l);
    wait_ended(s);
    return 0;
}

static int director(void *arg)
{
    struct sync_world *s = arg;
    return s->fn(s);
}

static void set_up(struct world *w, const char *conf, int (*fn)(struct sync_world *s))
{
    struct sync_world *s = w->state = calloc(1, sizeof *s);
    *s = (struct sync_world){.w = w, .conf = conf, .fn = fn, .good = sim_disk_random(w->sim)};
    s->good.any_sectors = false;
    s->disk = sim_disk_new(w->sim, &s->good);
    w->lossy = true; /* a server that is not there yet is tried again */
    sim_host_add(w->sim, "10.0.2.2", director, s);
}

static void set_up_always(struct world *w) { set_up(w, "appendonly yes\nappendfsync always\n", end_under_always); }

static void set_up_everysec(struct world *w)
{
    set_up(w, "appendonly yes\nappendfsync everysec\n", stay_under_everysec);
}

static void test_what_is_read_after_a_sync_that_failed_stays(void **state)
{
    run_seeds(&(struct scenario){"read after a failed sync", set_up_always, NULL, SEC(36000)}, 60);
}

static void test_shutdown_is_refused_while_the_log_is_not_synced(void **state)
{
    run_seeds(&(struct scenario){"shutdown without a sync", set_up_everysec, NULL, SEC(36000)}, 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_read_after_a_sync_that_failed_stays),
        cmocka_unit_test(test_shutdown_is_refused_while_the_log_is_not_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
