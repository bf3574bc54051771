/* SPDX-License-Identifier: MIT
 *
 * The end of a memif's connection. When its peer has gone, DPDK (22.11) unmaps the rings on EAL's interrupt thread,
 * whoever is in them at that moment: a thread that was in the middle of a burst dies of it. The driver has no event
 * that comes before; but it writes into its log when something has come over the connection's socket, an end too,
 * before it does what follows from it. So its log is opened to the last word, nothing of that is shown, and a word
 * that is written on the interrupt thread begins a pause of all memif ports. It ends by an alarm, which that thread
 * comes to when it is done with the socket.
 *
 *     interrupt thread:  reads the socket -> "Invalid message size" -> pause_begin -> unmaps ... -> alarm: pause_end
 *
 * Whoever sleeps in the kernel, or waits for dpdk_control, is in no burst, and is not waited for long.
 */
#include "libos/dpdk/dpdk.h"

#include <rte_alarm.h>
#include <rte_cycles.h>
#include <rte_log.h>

#define CONTROL_MS 50 /* somebody opens, closes or restarts a port: then the threads of that one are out of the way */
#define AGAIN_US   1000

static struct { /* EAL's interrupt thread's */
    pthread_t id;
    atomic_bool known; /* which it is */
    bool stops;        /* it stops a port for us */
    bool paused;
} thread;

static bool take_control(void)
{
    for (int turn = 0; turn < CONTROL_MS * 10; turn++) {
        if (!pthread_mutex_trylock(&dpdk_control)) return true;
        rte_delay_us_sleep(100);
    }
    return false;
}

/* On the interrupt thread, which does not wait for the mutex: its holder may wait for this thread, five seconds long.
 * That is still better than a pause without an end, where there is no memory for another alarm. */
static void end_pauses(void *arg)
{
    if (pthread_mutex_trylock(&dpdk_control)) {
        if (!rte_eal_alarm_set(AGAIN_US, end_pauses, NULL)) return;
        pthread_mutex_lock(&dpdk_control);
    }
    thread.paused = false;
    for (struct dpdk_port *port = port_next(NULL); port; port = port_next(port)) pause_end(port, PAUSE_MEMIF);
    pthread_mutex_unlock(&dpdk_control);
}

void memif_heard(void)
{
    if (!atomic_load(&thread.known) || !pthread_equal(pthread_self(), thread.id)) return;
    if (thread.stops || thread.paused) return;
    if (!take_control()) return;
    thread.paused = !rte_eal_alarm_set(1, end_pauses, NULL);
    for (struct dpdk_port *port = port_next(NULL); thread.paused && port; port = port_next(port))
        if (port_is_memif(&port->info)) pause_begin(port, PAUSE_MEMIF, NULL);
    pthread_mutex_unlock(&dpdk_control);
}

void memif_stop_begin(void) { thread.stops = true; }
void memif_stop_end(void) { thread.stops = false; }

static void mark_thread(void *arg)
{
    thread.id = pthread_self();
    atomic_store(&thread.known, true);
}

void memif_guard(void)
{
    static bool guarded; /* under dpdk_control */
    if (guarded || rte_log_set_level_pattern("pmd.net.memif", RTE_LOG_DEBUG)) return;
    guarded = !rte_eal_alarm_set(1, mark_thread, NULL);
}
