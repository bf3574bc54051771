/* SPDX-License-Identifier: MIT
 *
 * What clients have to do with the users of their server.
 */
#include "server/net/client.h"

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

/* A client is touched by its own worker only, and that goes by the users there are. */
static void test_each_worker_lets_in_its_own_clients(void **state)
{
    (void)state;
    static struct fixture f;
    static struct worker other;
    struct client here, there, knows;
    fixture_init(&f, 1);
    struct worker *a = &f.w, *b = &other;
    *b = (struct worker){.srv = &f.srv};
    list_init(&b->clients);
    acl_set_default_password(&f.srv.acl, BYTES("secret"));
    add_client(a, &here, 0);
    add_client(b, &there, 0);
    add_client(b, &knows, SESSION_AUTHENTICATED);

    acl_set_default_password(&f.srv.acl, BYTES(""));
    client_users_changed(a);
    assert_true(is_in(&here));
    assert_false(is_in(&there));
    client_users_changed(b);
    assert_true(is_in(&there));

    acl_set_default_password(&f.srv.acl, BYTES("another"));
    client_users_changed(b);
    assert_false(is_in(&there));
    assert_true(is_in(&knows)); /* it gave the password itself */
    assert_true(is_in(&here));
    client_users_changed(a);
    assert_false(is_in(&here));

    list_init(&a->clients);
    fixture_fini(&f);
}

/* Whether anything needs to be asked of it is seen in its flags. */
static void test_a_session_knows_whether_its_user_is_restricted(void **state)
{
    (void)state;
    static struct fixture f;
    struct client cl;
    fixture_init(&f, 1);
    add_client(&f.w, &cl, SESSION_AUTHENTICATED);
    session_set_user(&cl.s, f.srv.acl.default_user);
    assert_false(cl.s.flags & SESSION_RESTRICTED);
    assert_int_equal(acl_user_set(f.srv.acl.default_user, BYTES("-get"), false), 0);
    client_users_changed(&f.w);
    assert_true(cl.s.flags & SESSION_RESTRICTED);
    assert_int_equal(acl_user_set(f.srv.acl.default_user, BYTES("+@all"), false), 0);
    client_users_changed(&f.w);
    assert_false(cl.s.flags & SESSION_RESTRICTED);
    list_init(&f.w.clients);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_worker_lets_in_its_own_clients),
        cmocka_unit_test(test_a_session_knows_whether_its_user_is_restricted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
