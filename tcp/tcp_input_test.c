/* SPDX-License-Identifier: MIT */
#include "tcp/pair_test.h"

static void test_a_connection_opens_carries_bytes_both_ways_and_closes(void **state)
{
    static struct pair p;
    struct pair_stream *server, *client;
    pair_init(&p, 1);
    client = pair_connect(&p, &server);
    assert_int_equal(client->c->state, CONN_ESTABLISHED);
    assert_int_equal(server->c->state, CONN_ESTABLISHED);
    pair_write(client, 1000);
    pair_write(server, 300000);
    pair_run(&p, 2 * SECOND);
    assert_int_equal(server->read, 1000);
    assert_int_equal(client->read, 300000);
    assert_int_equal(conn_acked(server->c), 300000);
    assert_int_equal(conn_shutdown(client->c), 0);
    pair_run(&p, SECOND);
    assert_true(server->ended && !server->closed);
    pair_write(server, 5000); /* half-closed */
    pair_run(&p, SECOND);
    assert_int_equal(client->read, 305000);
    assert_int_equal(conn_shutdown(server->c), 0);
    pair_run(&p, SECOND);
    assert_true(client->closed && server->closed);
    assert_int_equal(client->err, 0);
    assert_int_equal(server->err, 0);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_opens_carries_bytes_both_ways_and_closes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
