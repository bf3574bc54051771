/* SPDX-License-Identifier: MIT
 *
 * What sim_sock_check() sees: a connected socket with bytes on their way, whose fields are spoilt one after the other.
 */
#include "alloc/base/assert_test.h"
#include "libos/sim/world.h"
#include "tests/sim/sim_test.h"

static void check_sock(void *s) { sim_sock_check(s); }

static int listens(void *arg)
{
    struct world *w = arg;
    int qd = accept_on(listen_at("10.0.0.1", 7000, 4));
    char got[8];
    CHECK_EQUAL(w, pop_bytes(qd, got, sizeof got), 5);
    CHECK_EQUAL(w, demi_close(qd), 0);
    return 0;
}

static int connects(void *arg)
{
    struct world *w = arg;
    static char hello[] = "hello";
    struct iovec iov = {hello, 5};
    demi_qtoken_t push;
    int qd = connect_to("10.0.0.1", 7000);
    if (!CHECK(w, qd >= 0)) return -1;
    struct sim_sock *s = sock_of(queue_find(&runtime_current()->queues, qd));
    CHECK_EQUAL(w, demi_pushv(&push, qd, &iov, 1, 0), 0);
    struct sim_end *e = s->end;
    sim_sock_check(s);
    SEEN(check_sock, s, e->sock, NULL, "e->sock == s");
    SEEN(check_sock, s, e->closed, true, "!e->closed");
    SEEN(check_sock, s, e->sent, e->queued + 1, "e->sent <= e->queued");
    SEEN(check_sock, s, e->queued, e->sent, "(e->queued == e->sent) == !e->out.count");
    SEEN(check_sock, s, e->out.count, SIM_UNSENT_MAX + 1, "e->out.count <= SIM_UNSENT_MAX");
    SEEN(check_sock, s, e->out.count, 0, "(e->queued == e->sent) == !e->out.count");
    SEEN(check_sock, s, s->st.pushes.tail->arg, e->queued + 1, "s->st.pushes.tail->arg <= e->queued");
    SEEN(check_sock, s, s->st.pushes.head->arg, e->sent, "s->st.pushes.head->arg > e->sent");
    SEEN(check_sock, s, e->shut, true, "!e->shut == !(s->st.flags & STREAM_WRITE_SHUT)");
    SEEN(check_sock, s, s->st.flags, s->st.flags | STREAM_WRITE_SHUT, "!e->shut == !(s->st.flags & STREAM_WRITE_SHUT)");
    demi_qresult_t qr;
    CHECK_EQUAL(w, demi_wait(&qr, push, NULL), 0);
    CHECK_EQUAL(w, demi_close(qd), 0);
    return 0;
}

static void set_up(struct world *w)
{
    sim_host_add(w->sim, "10.0.0.1", listens, w);
    sim_host_add(w->sim, "10.0.0.2", connects, w);
}

static void test_the_check_sees_each_spoilt_field(void **state)
{
    run_seeds(&(struct scenario){"spoilt", set_up, NULL, SEC(100)}, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_check_sees_each_spoilt_field)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
