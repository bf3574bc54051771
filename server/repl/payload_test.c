/* SPDX-License-Identifier: MIT */
#include "server/repl/payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "server/exec/session_fixture.h"

#define HISTORY (&f.srv.history)

static struct fixture f;
static unsigned told;

static void appended(struct journal *j) { (void)j; }
static void go_on(struct payload *p) { told += p->maker != NULL; }

static int set_up(void **state)
{
    (void)state;
    fixture_init(&f, 1);
    history_init(HISTORY, &f.srv, appended);
    history_keep(HISTORY);
    told = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    history_fini(HISTORY);
    fixture_fini(&f);
    return 0;
}

static size_t everything(const struct broadcast_reader *r, char *out, size_t size)
{
    struct bytes pieces[8];
    size_t used = 0;
    unsigned n = broadcast_peek(r, pieces, 8, size);
    for (unsigned i = 0; i < n; i++) {
        memcpy(out + used, pieces[i].p, pieces[i].n);
        used += pieces[i].n;
    }
    return used;
}

static struct payload *one(bool by_mark)
{
    struct payload *p = payload_new(&f.w, 10, by_mark);
    p->maker = &f;
    p->go_on = go_on;
    return p;
}

static void test_a_mark_stands_behind_the_bytes(void **state)
{
    (void)state;
    char text[128];
    struct broadcast_reader r;
    struct payload *p = one(true);
    payload_add_reader(p);
    payload_flow(p, 0);
    broadcast_read(&p->text, &r);
    payload_put(p, BYTES("REDIS"));
    payload_end(p);
    size_t n = everything(&r, text, sizeof text);
    assert_int_equal(n, 5 + PAYLOAD_MARK_SIZE);
    assert_memory_equal(text, "REDIS", 5);
    assert_memory_equal(text + 5, p->mark, PAYLOAD_MARK_SIZE);
    assert_int_equal(strspn(p->mark, "0123456789abcdef"), PAYLOAD_MARK_SIZE);
    broadcast_reader_end(&r);
    payload_let_go(p);
    payload_drop_reader(p); /* the last one frees it */
    assert_int_equal(told, 0);
}

static void test_a_length_has_nothing_behind_it(void **state)
{
    (void)state;
    char text[128];
    struct broadcast_reader r;
    struct payload *p = one(false);
    payload_add_reader(p);
    payload_flow(p, 5);
    assert_int_equal(p->bytes, 5);
    broadcast_read(&p->text, &r);
    payload_put(p, BYTES("REDIS"));
    payload_end(p);
    assert_int_equal(everything(&r, text, sizeof text), 5);
    broadcast_reader_end(&r);
    payload_drop_reader(p);
    assert_int_equal(told, 1); /* its maker is there, and hears of it */
    payload_let_go(p);
}

static void test_marks_differ(void **state)
{
    (void)state;
    struct payload *a = one(true), *b = one(true);
    assert_memory_not_equal(a->mark, b->mark, PAYLOAD_MARK_SIZE);
    payload_let_go(a);
    payload_let_go(b);
}

static void test_the_history_is_kept_for_who_may_join(void **state)
{
    (void)state;
    history_follow(HISTORY, true); /* so that bytes can be put into it */
    struct payload *p = one(true);
    assert_int_equal(p->offset, 0);
    history_append(HISTORY, BYTES("behind it"));
    assert_int_equal(broadcast_unread(&p->since), 9);
    assert_int_equal(history_offset(HISTORY), 9);
    payload_flow(p, 0);
    assert_null(p->since.of);
    payload_let_go(p);
}

static void test_what_nobody_reads_takes_no_memory(void **state)
{
    (void)state;
    static char lot[100000];
    struct payload *p = one(true);
    payload_flow(p, 0);
    for (int i = 0; i < 100; i++) payload_put(p, bytes_of(lot, sizeof lot));
    assert_true(payload_memory(p) < 2 * sizeof *p);
    payload_let_go(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_mark_stands_behind_the_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_length_has_nothing_behind_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_marks_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_history_is_kept_for_who_may_join, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_nobody_reads_takes_no_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
