/* SPDX-License-Identifier: MIT
 *
 * What blocked_check() sees: clients that wait, with and without a deadline, whose fields are spoilt one after the
 * other.
 */
#include "server/exec/blocked.c" /* its structs are nobody else's */

#include "alloc/base/assert_test.h"
#include "server/exec/session_fixture.h"

enum { CLIENTS = 4 };

static void check(void *w) { blocked_check(w); }
static bool answer(struct client *cl, const struct request *r, struct reply *out, bool last) { return false; }

static void test_the_check_sees_each_spoilt_field(void **state)
{
    (void)state;
    static struct fixture f;
    static struct client cl[CLIENTS];
    static const char *const asks[CLIENTS] = {"BLPOP a 30", "BLPOP b 10", "BLPOP c 20", "BLPOP d 0"};
    fixture_init(&f, 1);
    for (int i = 0; i < CLIENTS; i++) {
        cl[i].w = &f.w;
        reply_init(&cl[i].out, 2);
        session_init(&cl[i].s, &f.w, &cl[i].out);
        cl[i].s.client = &cl[i];
        list_push_back(&f.w.clients, &cl[i].all);
        fixture_ask(&f, &cl[i].s, asks[i]);
        assert_non_null(cl[i].blocked);
    }
    struct blocked_worker *bw = f.w.blocked;
    assert_int_equal(bw->heap_count, CLIENTS - 1);
    blocked_check(&f.w);

    struct blocked *first = bw->heap[0], *second = bw->heap[1], *untimed = cl[3].blocked;
    assert_ptr_equal(first->cl, &cl[1]);
    SEEN(check, &f.w, bw->heap_count, bw->heap_cap + 1, "bw->heap_count <= bw->heap_cap");
    SEEN(check, &f.w, bw->heap_count, 0, "b->heap_index < w->blocked->heap_count");
    SEEN(check, &f.w, bw->heap[1], first, "b->heap_index == i");
    SEEN(check, &f.w, second->heap_index, 0, "b->heap_index == i");
    SEEN(check, &f.w, first->deadline_ms, 0, "b->deadline_ms > 0");
    SEEN(check, &f.w, first->deadline_ms, second->deadline_ms + 1, "->deadline_ms <= b->deadline_ms");
    SEEN(check, &f.w, second->deadline_ms, first->deadline_ms - 1, "->deadline_ms <= b->deadline_ms");
    SEEN(check, &f.w, first->cl, &cl[3], "b->cl->blocked == b");
    SEEN(check, &f.w, untimed->cl, &cl[1], "b->cl == cl");
    SEEN(check, &f.w, untimed->deadline_ms, 5, "w->blocked->heap[b->heap_index] == b");
    SEEN(check, &f.w, untimed->req, NULL, "b->req != NULL");
    SEEN(check, &f.w, untimed->count, 0, "b->count > 0");
    SEEN(check, &f.w, untimed->answer, answer, "b->count == 0");
    SEEN(check, &f.w, untimed->waiters[0].b, first, "b->waiters[i].b == b");
    SEEN(check, &f.w, untimed->waiters[0].link.key, NULL, "b->waiters[i].link.key");

    for (int i = 0; i < CLIENTS; i++) {
        blocked_forget(&cl[i]);
        session_fini(&cl[i].s);
        reply_fini(&cl[i].out);
    }
    list_init(&f.w.clients);
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_check_sees_each_spoilt_field)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
