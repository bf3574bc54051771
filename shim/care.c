/* SPDX-License-Identifier: MIT
 *
 * See care.h.
 */
#include "shim/care.h"

#include "shim/engine.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

#define EVERY_NS    10000000
#define STACK_BYTES 262144

static bool runs; /* under the engine's lock */

static void *care(void *arg)
{
    uint64_t turns = 0;
    for (bool more = true; more;) {
        nanosleep(&(struct timespec){0, EVERY_NS}, NULL);
        if (!shim_lock()) continue;
        more = shim_started();
        if (more && turns == shim_turns() && !shim_is_driven()) {
            shim_turn();
            shim_flush();
        }
        turns = shim_turns();
        runs = more;
        shim_unlock();
    }
    return NULL;
}

/* Signals are for the program's threads. Without the thread the program goes on, and peers wait for its next call. */
void shim_care_start(void)
{
    pthread_t thread;
    pthread_attr_t a;
    sigset_t all, before;
    if (runs) return;
    sigfillset(&all);
    pthread_attr_init(&a);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&a, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    runs = !pthread_create(&thread, &a, care, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&a);
}

void shim_care_fork_child(void) { runs = false; }
