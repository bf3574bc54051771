/* SPDX-License-Identifier: MIT
 *
 * A pause of a port: its pairs' threads are out of DPDK's calls, without a lock around each call.
 *
 *     who wants it:  pause |= why ──> waits for all: parked ──> ... ──> pause &= ~why
 *     each thread:   in recv: pause? parked = true, and nothing of DPDK is called until pause is 0
 *
 * A thread comes to recv after whatever it sent, so one that is parked is in neither.
 */
#include "libos/dpdk/dpdk.h"

#include <rte_cycles.h>

#define PARK_MS 50

static bool all_parked(const struct dpdk_port *port, const struct dpdk_dev *me)
{
    for (uint16_t q = 0; q < port->queue_count; q++) {
        struct dpdk_dev *d = port->pairs[q].dev;
        if (d && d != me && !atomic_load(&d->parked)) return false;
    }
    return true;
}

bool pause_begin(struct dpdk_port *port, enum dpdk_pause why, const struct dpdk_dev *me)
{
    for (uint16_t q = 0; q < port->queue_count; q++) {
        struct dpdk_dev *d = port->pairs[q].dev;
        if (!d) continue;
        atomic_store(&d->parked, false);
        atomic_fetch_or(&d->pause, why);
    }
    for (int turn = 0; turn < PARK_MS * 10 && !all_parked(port, me); turn++) rte_delay_us_sleep(100);
    return all_parked(port, me);
}

void pause_end(struct dpdk_port *port, enum dpdk_pause why)
{
    for (uint16_t q = 0; q < port->queue_count; q++) {
        struct dpdk_dev *d = port->pairs[q].dev;
        if (d) atomic_fetch_and(&d->pause, ~(unsigned)why);
    }
}
