/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tcp/lossy_test.h"
#include "tcp/play_test.h"

#define SECOND NSEC_PER_SEC

static void test_a_connection_opens_carries_bytes_both_ways_and_closes(void **state)
{
    struct pair p;
    size_t used = heap_used();
    pair_defaults(&p, 1);
    pair_init(&p);
    pair_connect(&p, NULL);
    pair_run(&p, SECOND);
    struct side *client = &p.side[0], *server = &p.side[1];
    assert_int_equal(client->c->state, CONN_ESTABLISHED);
    assert_int_equal(server->c->state, CONN_ESTABLISHED);
    client->to_send = 1000;
    server->to_send = 300000;
    side_push(client);
    side_push(server);
    pair_run(&p, 2 * SECOND);
    assert_int_equal(server->received, 1000);
    assert_int_equal(client->received, 300000);
    assert_int_equal(conn_acked(server->c), 300000);
    assert_int_equal(conn_shutdown(client->c), 0);
    pair_run(&p, SECOND);
    assert_true(server->ended && !server->closed);
    server->to_send += 5000; /* half-closed */
    side_push(server);
    pair_run(&p, SECOND);
    assert_int_equal(client->received, 305000);
    assert_int_equal(conn_shutdown(server->c), 0);
    pair_run(&p, SECOND);
    assert_true(client->closed && server->closed);
    assert_int_equal(client->error, 0);
    assert_int_equal(server->error, 0);
    pair_close(&p);
    pair_fini(&p);
    assert_int_equal(heap_used(), used);
}

/* The in-order side of SegmentSmack (CVE-2018-5390): a program that does not read, a peer that sends byte by byte in
 * bufs of 2 KiB. */
static void test_tiny_segments_nobody_reads_hold_little_memory(void **state)
{
    struct pair p;
    size_t used = heap_used();
    pair_defaults(&p, 3);
    pair_init(&p);
    pair_connect(&p, &(struct conn_opts){.rcv_buffer = 60000});
    pair_run(&p, SECOND);
    struct side *client = &p.side[0], *server = &p.side[1];
    server->hold = true;
    client->push_max = 1;
    size_t before = heap_used();
    for (unsigned i = 0; i < 60000; i += 10) { /* a segment each 10 bytes */
        client->push_max = 10;
        client->to_send += 10;
        side_push(client);
        pair_run(&p, 3 * NSEC_PER_MSEC);
    }
    uint32_t queued = server->c->rcvq_bytes;
    assert_true(queued >= 55000 && queued <= 60000);
    assert_true(p.s[1]->n.tcp_compacted > 1000);
    assert_true(heap_used() - before < 4 * 60000);
    server->hold = false;
    side_pop(server);
    pair_run(&p, 5 * SECOND);
    assert_int_equal(server->received, 60000);
    assert_false(server->wrong);
    pair_close(&p);
    pair_fini(&p);
    assert_int_equal(heap_used(), used);
}

/* Plays of random bytes; PLAYS=n PLAY=first for more of them. */
static void test_whatever_comes_the_invariants_hold(void **state)
{
    uint64_t first = getenv("PLAY") ? strtoull(getenv("PLAY"), NULL, 0) : 1,
             n = getenv("PLAYS") ? strtoull(getenv("PLAYS"), NULL, 0) : 300;
    static uint8_t bytes[6000];
    for (uint64_t seed = first; seed < first + n; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        if (getenv("PLAY")) print_message("play %llu\n", (unsigned long long)seed);
        for (size_t i = 0; i < sizeof bytes; i += 8) store_u64(bytes + i, rng_u64(&r));
        play(bytes, sizeof bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_opens_carries_bytes_both_ways_and_closes),
        cmocka_unit_test(test_tiny_segments_nobody_reads_hold_little_memory),
        cmocka_unit_test(test_whatever_comes_the_invariants_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
