/* SPDX-License-Identifier: MIT
 *
 * A device over a device that loses, doubles, reorders and spoils frames, for tests on real interfaces (the simulator
 * has its own wires). All chance comes from one seed, so that the same frames in the same order suffer the same fate.
 *
 * Keys (struct netdev_env's get), each a number of frames in a million:
 *     fault.loss_ppm        gone; fault.loss_burst says how many in a row, default 1
 *     fault.duplicate_ppm   come twice
 *     fault.reorder_ppm     come up to 8 frames later
 *     fault.corrupt_ppm     one bit of them is another
 * and:
 *     fault.direction       in, out or both; default both
 *     fault.seed            default 1
 */
#ifndef FAULT_FAULT_H
#define FAULT_FAULT_H

#include "tcp/netdev.h"

/* *out is inner where no key asks for a fault, else a device over it, whose close() closes inner. -EINVAL, said in
 * env->why, and
 * -ENOMEM leave inner to the caller. */
int fault_wrap(const struct netdev_env *env, struct netdev *inner, struct netdev **out);

struct fault_counters {
    uint64_t lost, duplicated, reordered, corrupted;
};
/* NULL: no device of this kind. */
const struct fault_counters *fault_counted(const struct netdev *d);

#endif
