/* SPDX-License-Identifier: MIT */
#include "tcp/lossy_test.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECOND NSEC_PER_SEC

/* Also with a controller that samples rates, whose own block stays. */
static void test_an_idle_connection_gives_up_its_rings_and_sends_again(void **state)
{
    static const char *const controllers[] = {"cubic", "bbr"};
    for (unsigned i = 0; i < 2; i++) {
        struct pair p;
        size_t used = heap_used();
        pair_defaults(&p, 3 + i);
        pair_init(&p);
        pair_connect(&p, &(struct conn_opts){.cc = controllers[i]});
        pair_run(&p, SECOND / 4);
        struct side *client = &p.side[0], *server = &p.side[1];
        for (unsigned again = 1; again <= 3; again++) {
            client->to_send += 100;
            side_push(client);
            pair_run(&p, SECOND / 4);
            assert_int_equal(server->received, again * 100);
            assert_int_not_equal(client->c->inflight.room, 0); /* not for every request */
            assert_int_not_equal(client->c->sndq.room, 0);
            pair_run(&p, 2 * SECOND);
            assert_int_equal(client->c->inflight.room, 0);
            assert_int_equal(client->c->sndq.room, 0);
            assert_int_equal(!client->c->rate, i == 0);
        }
        pair_close(&p);
        pair_fini(&p);
        assert_int_equal(heap_used(), used);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_an_idle_connection_gives_up_its_rings_and_sends_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
