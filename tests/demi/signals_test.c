/* SPDX-License-Identifier: MIT
 *
 * Signals: a handler interrupts a wait and the wait goes on; a wake-up may be rung from it; a peer that has gone is an
 * error of a push and no signal; threads of the library's own get none.
 */
#include "tests/demi/demi_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

static demi_wake_t *rung;
static atomic_int handled, elsewhere;
static pthread_t owner;

static void on_signal(int number)
{
    atomic_fetch_add(&handled, 1);
    if (!pthread_equal(pthread_self(), owner)) atomic_fetch_add(&elsewhere, 1);
    int before = errno; /* of what was interrupted */
    errno = E2BIG;
    demi_wake_ring(rung);
    if (errno != E2BIG) abort();
    errno = before;
}

/* SIGALRM every millisecond, without SA_RESTART. */
static void signals_begin(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct itimerval every = {{0, 1000}, {0, 1000}};
    owner = pthread_self();
    atomic_store(&handled, 0);
    atomic_store(&elsewhere, 0);
    OK(sigaction(SIGALRM, &action, NULL));
    OK(setitimer(ITIMER_REAL, &every, NULL));
}

static void signals_end(void)
{
    struct itimerval none = {{0, 0}, {0, 0}};
    OK(setitimer(ITIMER_REAL, &none, NULL));
    signal(SIGALRM, SIG_IGN);
}

static void test_a_wait_goes_on_after_a_handler(void **state)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    struct timespec short_time = {0, 20000000};
    int qd;
    signals_begin();
    OK(demi_timer(&qt, 30000000));
    wait_ok(qt, DEMI_OPC_TIMER);
    assert_true(atomic_load(&handled) > 0);
    OK(demi_queue(&qd));
    OK(demi_pop(&qt, qd));
    uint64_t from = demi_clock_ns();
    FAILS(ETIMEDOUT, demi_wait(&qr, qt, &short_time)); /* not earlier, and not as anything else */
    assert_true(demi_clock_ns() - from >= 20000000);
    signals_end();
}

static void test_a_handler_rings_a_wake_up(void **state)
{
    demi_qtoken_t qt;
    OK(demi_wake_new(&rung));
    signals_begin();
    for (int i = 0; i < 20; i++) {
        OK(demi_wake_wait(&qt, rung));
        wait_ok(qt, DEMI_OPC_WAKE);
    }
    signals_end();
    demi_wake_t *w = rung;
    rung = NULL;
    demi_wake_free(w);
}

static void test_a_peer_that_has_gone_is_no_signal(void **state)
{
    struct linger reset = {1, 0};
    struct pair p = pair_new();
    demi_qtoken_t qt;
    signal(SIGPIPE, SIG_DFL);
    OK(demi_setsockopt(p.client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
    OK(demi_close(p.client));
    OK(demi_pop(&qt, p.server));
    assert_int_equal(wait_failed(qt), ECONNRESET);
    for (int i = 0; i < 3; i++) { /* refused at once or failed: the process lives */
        demi_sgarray_t sga = sga_pattern(100, 0);
        if (demi_push(&qt, p.server, &sga) == 0) wait_for(qt);
        OK(demi_sgafree(&sga));
    }
    OK(demi_close(p.server));
    OK(demi_close(p.listener));
}

static void test_threads_of_the_library_get_no_signals(void **state)
{
    char path[] = "/tmp/demi_signals_XXXXXX";
    int fd = mkstemp(path), qd;
    assert_true(fd >= 0);
    close(fd);
    OK(demi_open(&qd, path, O_RDWR, 0));
    signals_begin();
    for (int i = 0; i < 50; i++) wait_ok(push_pattern(qd, 4000, 0), DEMI_OPC_PUSH);
    sigset_t alarm, before;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    OK(pthread_sigmask(SIG_BLOCK, &alarm, &before)); /* nobody else takes it meanwhile */
    int count = atomic_load(&handled);
    demi_qtoken_t qt;
    OK(demi_timer(&qt, 10000000));
    wait_ok(qt, DEMI_OPC_TIMER);
    assert_int_equal(atomic_load(&handled), count);
    OK(pthread_sigmask(SIG_SETMASK, &before, NULL));
    signals_end();
    assert_int_equal(atomic_load(&elsewhere), 0);
    OK(demi_close(qd));
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        demi_unit_test(test_a_wait_goes_on_after_a_handler),
        demi_unit_test(test_a_handler_rings_a_wake_up),
        demi_unit_test(test_a_peer_that_has_gone_is_no_signal),
        demi_unit_test(test_threads_of_the_library_get_no_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
