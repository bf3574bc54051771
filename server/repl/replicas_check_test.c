/* SPDX-License-Identifier: MIT
 *
 * What replicas_check() sees: a replica and its payload whose fields are spoilt one after the other.
 */
#include "server/repl/replicas.c" /* its struct is nobody else's */

#include "alloc/base/assert_test.h"
#include "server/exec/session_fixture.h"

static void appended(struct journal *j) { (void)j; }
static void check(void *w) { replicas_check(w); }

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    static struct fixture f;
    static struct client cl;
    fixture_init(&f, 1);
    history_init(&f.srv.history, &f.srv, appended);
    cl.w = &f.w;
    reply_init(&cl.out, 2);
    session_init(&cl.s, &f.w, &cl.out);
    cl.s.client = &cl;
    f.w.copy = (struct full_copy *)(uintptr_t)&cl; /* not looked into: there are no replicas */
    assert_is_seen(check, &f.w, "a copy for nobody", "!w->copy", __LINE__);
    f.w.copy = NULL;

    struct replica *me = replica_of(&cl);
    history_keep(&f.srv.history);
    replicas_add(&cl, true);
    struct payload *p = payload_new(&f.w, 10, true);
    p->maker = p; /* somebody */
    feed_start(&cl, p);
    replicas_check(&f.w);
    SEEN(check, &f.w, cl.s.flags, cl.s.flags & ~(uint32_t)SESSION_REPLICA, "cl->s.flags & SESSION_REPLICA");
    SEEN(check, &f.w, cl.replica, NULL, "me != NULL");
    SEEN(check, &f.w, me->state, REPLICA_ONLINE, "!p == (me->state == REPLICA_ONLINE)");
    SEEN(check, &f.w, p->reader_count, 0, "p->reader_count >= 1");
    SEEN(check, &f.w, p->stage, PAYLOAD_FLOWS, "!cl->feed->in_payload.of == (p->stage == PAYLOAD_GATHERS)");
    struct broadcast *of = p->since.of;
    p->since.of = NULL;
    assert_is_seen(check, &f.w, "since", "!p->since.of == (p->stage != PAYLOAD_GATHERS)", __LINE__);
    p->since.of = of;
    payload_flow(p, 0);
    feed_flow(&cl);
    replicas_check(&f.w);

    p->maker = NULL;
    replicas_forget(&cl);
    replica_free(&cl);
    replicas_fini(&f.w);
    history_forget(&f.srv.history);
    session_fini(&cl.s);
    reply_fini(&cl.out);
    history_fini(&f.srv.history);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_check_sees_each_spoilt_field)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
