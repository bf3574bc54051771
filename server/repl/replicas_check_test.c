/* SPDX-License-Identifier: MIT
 *
 * What replicas_check() sees: a replica and its snapshot whose fields are spoilt one after the other.
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
    assert_true(replicas_attach(&cl));
    struct replicas *r = f.w.replicas;
    struct snapshot *s = r->snapshots[0];
    replicas_check(&f.w);
    SEEN(check, &f.w, s->refs, 0, "s->refs >= 1");
    SEEN(check, &f.w, s->refs, s->refs + 1, "readers == refs");
    SEEN(check, &f.w, s->is_whole, true, "s->is_whole == (s != full_copy_of(w))");
    SEEN(check, &f.w, r->snapshot_count, 0, "parts == (w->copy != NULL)");
    SEEN(check, &f.w, r->count, 0, "readers == refs");
    SEEN(check, &f.w, cl.s.flags, cl.s.flags & ~(uint32_t)SESSION_REPLICA, "cl->s.flags & SESSION_REPLICA");
    SEEN(check, &f.w, cl.feed, NULL, "readers == refs");
    /* As it stands when the copy has ended: nobody may be left without something to read. */
    struct full_copy *copy = f.w.copy;
    struct walk *walk = f.srv.walks.under_way;
    f.w.copy = NULL;
    f.srv.walks.under_way = NULL;
    s->is_whole = true;
    replicas_check(&f.w);
    SEEN(check, &f.w, cl.feed, NULL, "cl->feed || !may_begin(w)");
    SEEN(check, &f.w, s->is_whole, false, "s->is_whole == (s != full_copy_of(w))");
    s->is_whole = false;
    f.w.copy = copy;
    f.srv.walks.under_way = walk;
    f.w.replicas = NULL;
    assert_is_seen(check, &f.w, "a copy for nobody", "!w->copy", __LINE__);
    f.w.replicas = r;

    replicas_forget(&cl);
    assert_null(f.w.copy);
    replicas_fini(&f.w);
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
