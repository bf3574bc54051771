/* SPDX-License-Identifier: MIT
 *
 * What clients have to do with the configuration of their worker.
 */
#include "server/net/client.h"

#include "server/exec/blocked.h"
#include "server/exec/session_fixture.h"
#include "server/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* Clients of a worker that have no connection. */
static void add_client(struct worker *w, struct client *cl, uint32_t flags)
{
    *cl = (struct client){.w = w, .s = {.w = w, .flags = flags}};
    list_push_back(&w->clients, &cl->all);
}

static bool is_in(const struct client *cl) { return cl->s.flags & SESSION_AUTHENTICATED; }

static void set_password(struct fixture *f, const char *password)
{
    const struct bytes pair[2] = {BYTES("requirepass"), bytes_of_str(password)};
    struct conf_text err = {0};
    assert_int_equal(conf_store_set(&f->srv.conf, pair, 1, false, false, &err), 0);
    conf_text_free(&err);
}

/* A client is touched by its own worker only, and that goes by the configuration it has taken. */
static void test_each_worker_lets_in_its_own_clients_when_it_takes_the_configuration(void **state)
{
    (void)state;
    static struct fixture f;
    static struct worker other;
    struct client here, there, knows;
    fixture_init(&f, 1);
    struct worker *a = &f.w, *b = &other;
    *b = (struct worker){.srv = &f.srv};
    list_init(&b->clients);
    blocked_init(b);
    conf_store_join(&f.srv.conf, &b->conf);
    set_password(&f, "secret");
    worker_take_config(a);
    worker_take_config(b);
    add_client(a, &here, 0);
    add_client(b, &there, 0);
    add_client(b, &knows, SESSION_AUTHENTICATED);

    set_password(&f, "");
    assert_false(is_in(&here));
    worker_take_config(a);
    assert_true(is_in(&here));
    assert_false(is_in(&there));
    worker_take_config(b);
    assert_true(is_in(&there));

    set_password(&f, "another");
    worker_take_config(b);
    assert_false(is_in(&there));
    assert_true(is_in(&knows)); /* it gave the password itself */
    assert_true(is_in(&here));
    worker_take_config(a);
    assert_false(is_in(&here));

    list_init(&a->clients);
    conf_store_leave(&f.srv.conf, &b->conf);
    blocked_fini(b);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_worker_lets_in_its_own_clients_when_it_takes_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
