/* SPDX-License-Identifier: MIT
 *
 * Who hears of what when a stream ends or breaks: a table of states, and what pops and pushes see.
 */
#include "libos/runtime/stream.h"

#include "alloc/base/assert_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define END (-1)

struct fixture {
    struct op_table ops;
    struct stream st;
};

static int set_up(void **state)
{
    static struct fixture f;
    f = (struct fixture){0};
    *state = &f;
    return op_table_init(&f.ops, 1);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    stream_check(&f->st, false);
    op_table_check(&f->ops);
    op_table_free(&f->ops);
    return 0;
}

static struct op *pop(struct fixture *f)
{
    struct op *op = op_new(&f->ops, DEMI_OPC_POP, NULL, 500);
    assert_non_null(op);
    op_list_append(&f->st.pops, op);
    return op;
}

static struct op *push(struct fixture *f, uint64_t end)
{
    struct op *op = op_new(&f->ops, DEMI_OPC_PUSH, NULL, 500);
    assert_non_null(op);
    stream_await(&f->st, op, end);
    return op;
}

/* 0, END or an errno; the operation must be over. */
static int came_to(struct fixture *f, struct op *op)
{
    demi_qresult_t qr;
    assert_int_equal(op->state, OP_DONE);
    op_take(&f->ops, op, &qr);
    if (qr.qr_opcode == DEMI_OPC_FAILED) return (int)qr.qr_ret;
    if (qr.qr_opcode == DEMI_OPC_PUSH) return 0;
    assert_int_equal(qr.qr_value.sga.sga_numsegs, 1);
    uint32_t n = qr.qr_value.sga.sga_segs[0].sgaseg_len;
    buf_unref(qr.qr_value.sga.sga_buf);
    return n ? (int)n : END;
}

/* A pop that comes now, when there are no bytes. */
static int pop_now(struct fixture *f)
{
    struct op *op = pop(f);
    assert_true(stream_is_at_end(&f->st));
    stream_give_ends(&f->ops, &f->st);
    return came_to(f, op);
}

static void test_pushes_end_up_to_where_the_stream_is(void **state)
{
    struct fixture *f = *state;
    struct op *a = push(f, 10), *b = push(f, 10), *c = push(f, 25);
    stream_passed(&f->ops, &f->st, 9);
    assert_int_equal(a->state, OP_PENDING);
    stream_passed(&f->ops, &f->st, 24);
    assert_int_equal(came_to(f, a), 0);
    assert_int_equal(came_to(f, b), 0);
    assert_int_equal(c->state, OP_PENDING);
    stream_check(&f->st, false);
    stream_passed(&f->ops, &f->st, 25);
    assert_int_equal(came_to(f, c), 0);
}

static const struct {
    const char *name;
    uint8_t flags;
    unsigned pops;
    int err, told, push, next, push_after; /* told: to waiting pops; push: to a waiting one; next: to the pop after */
} breaks[] = {
    {"reset, pops wait", 0, 2, ECONNRESET, ECONNRESET, ECONNRESET, END, -EPIPE},
    {"reset, nobody reads", 0, 0, ECONNRESET, 0, ECONNRESET, ECONNRESET, -EPIPE},
    {"timeout, pops wait", 0, 3, ETIMEDOUT, ETIMEDOUT, ETIMEDOUT, END, -EPIPE},
    {"reset behind the peer's FIN", STREAM_ENDED, 2, ECONNRESET, END, EPIPE, END, -EPIPE},
    {"timeout behind the peer's FIN", STREAM_ENDED, 0, ETIMEDOUT, 0, ETIMEDOUT, END, -EPIPE},
    {"reset, shut down for writing", STREAM_WRITE_SHUT, 1, ECONNRESET, ECONNRESET, ECONNRESET, END, -EPIPE},
};

static void test_who_hears_of_a_break(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        struct op *pops[3], *waits = NULL;
        f->st = (struct stream){.flags = breaks[i].flags};
        for (unsigned k = 0; k < breaks[i].pops; k++) pops[k] = pop(f);
        waits = push(f, 100);
        assert_int_equal(stream_may_push(&f->st), breaks[i].flags & STREAM_WRITE_SHUT ? -EPIPE : 0);
        stream_fail(&f->ops, &f->st, breaks[i].err, false);
        stream_fail(&f->ops, &f->st, EIO, false); /* once is enough */
        stream_check(&f->st, false);
        for (unsigned k = 0; k < breaks[i].pops; k++) assert_int_equal(came_to(f, pops[k]), breaks[i].told);
        assert_int_equal(came_to(f, waits), breaks[i].push);
        if (breaks[i].next != END) assert_int_equal(stream_may_push(&f->st), -breaks[i].next);
        assert_int_equal(pop_now(f), breaks[i].next);
        assert_int_equal(pop_now(f), END);
        assert_int_equal(stream_may_push(&f->st), breaks[i].push_after);
    }
}

static void test_the_end_is_told_to_every_pop(void **state)
{
    struct fixture *f = *state;
    struct op *a = pop(f), *b = pop(f);
    assert_false(stream_is_at_end(&f->st));
    f->st.flags |= STREAM_ENDED;
    stream_give_ends(&f->ops, &f->st);
    assert_int_equal(came_to(f, a), END);
    assert_int_equal(came_to(f, b), END);
    assert_int_equal(pop_now(f), END);
    assert_int_equal(stream_may_push(&f->st), 0); /* the other direction is open */
}

static void test_pops_can_be_cancelled_pushes_not(void **state)
{
    struct fixture *f = *state;
    struct op *a = pop(f), *b = push(f, 5), *c = pop(f);
    assert_int_equal(stream_cancel(&f->ops, &f->st, b), -EBUSY);
    assert_int_equal(stream_cancel(&f->ops, &f->st, a), 0);
    assert_int_equal(came_to(f, a), ECANCELED);
    stream_close(&f->ops, &f->st);
    assert_int_equal(came_to(f, b), ECANCELED);
    assert_int_equal(came_to(f, c), ECANCELED);
}

static void check(void *st) { stream_check(st, false); }
static void check_readable(void *st) { stream_check(st, true); }

static void test_a_spoilt_stream_is_seen(void **state)
{
    struct fixture *f = *state;
    struct stream *st = &f->st;
    struct op *a = push(f, 5), *b = push(f, 9), *c = pop(f);
    check(st);
    assert_is_seen(check_readable, st, "bytes that a pop waits for", "!readable || !st->pops.head", __LINE__);
    SEEN(check, st, st->pops.tail, NULL, "!st->pops.head == !st->pops.tail");
    SEEN(check, st, st->pops.head, NULL, "!st->pops.head == !st->pops.tail");
    SEEN(check, st, st->pushes.tail, NULL, "!st->pushes.head == !st->pushes.tail");
    SEEN(check, st, b->arg, 4, "op->arg >= end");
    SEEN(check, st, a->state, OP_DONE, "op->state == OP_PENDING");
    SEEN(check, st, st->error, -ECONNRESET, "st->error >= 0");
    SEEN(check, st, st->error, ECONNRESET, "!st->error || st->flags & STREAM_FAILED");
    SEEN(check, st, st->flags, STREAM_FAILED, "!st->pushes.head");
    stream_passed(&f->ops, st, 9);
    SEEN(check, st, st->flags, STREAM_FAILED, "!st->pops.head");
    stream_close(&f->ops, st);
    assert_int_equal(came_to(f, a), 0);
    assert_int_equal(came_to(f, b), 0);
    assert_int_equal(came_to(f, c), ECANCELED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pushes_end_up_to_where_the_stream_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_hears_of_a_break, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_end_is_told_to_every_pop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pops_can_be_cancelled_pushes_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_spoilt_stream_is_seen, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
