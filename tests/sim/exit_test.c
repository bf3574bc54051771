/* SPDX-License-Identifier: MIT
 *
 * A simulated host that calls demi_exit() ends its own runtime, and touches nothing of the thread that runs all hosts.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "demi/ext.h"
#include "libos/sim/sim.h"

static int ends(void *arg)
{
    (void)arg;
    return demi_exit();
}

/* The first key of a process has the number that a key which was never made has, too. */
static void test_thread_data_of_others_stay(void **state)
{
    pthread_key_t first;
    (void)state;
    assert_int_equal(pthread_key_create(&first, NULL), 0);
    assert_int_equal(pthread_setspecific(first, state), 0);
    struct sim *s = sim_new(1);
    sim_host_add(s, "10.0.0.1", ends, NULL);
    assert_int_equal(sim_run(s, SIM_START_NS + 1000000000), 0);
    sim_free(s);
    assert_ptr_equal(pthread_getspecific(first), state);
    pthread_key_delete(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_thread_data_of_others_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
