/* SPDX-License-Identifier: MIT
 *
 * Waiting: on the thread's own stack by turning the loop, inside of a task by suspending it.
 * Deadlines are absolute, in the runtime's nanoseconds: WAIT_FOREVER, or WAIT_POLL for one full
 * pass over the devices without sleeping.
 *
 * All return 0 or -errno; -EINVAL: a token that is not outstanding here; -EBUSY: another task waits
 * for it; -ETIMEDOUT: tokens as they were.
 */
#ifndef RUNTIME_WAIT_H
#define RUNTIME_WAIT_H

#include "libos/runtime/runtime.h"

#define WAIT_FOREVER UINT64_MAX
#define WAIT_POLL    0

int wait_one(struct runtime *rt, demi_qtoken_t qt, uint64_t deadline, demi_qresult_t *out);
int wait_any(struct runtime *rt, const demi_qtoken_t *qts, uint32_t count, uint64_t deadline, demi_qresult_t *out,
             uint32_t *offset);
/* Returns when all have completed; out[i] is qts[i]'s. */
int wait_all(struct runtime *rt, const demi_qtoken_t *qts, uint32_t count, uint64_t deadline, demi_qresult_t *out);
/* Takes what is there, up to room, as soon as there is anything: *count >= 1 on 0. */
int wait_batch(struct runtime *rt, demi_qresult_t *out, uint32_t room, uint32_t *count, uint64_t deadline);
/* Goes on until out is full; -ETIMEDOUT with *count results otherwise. */
int wait_next_n(struct runtime *rt, demi_qresult_t *out, uint32_t room, uint32_t *count, uint64_t deadline);

/* Ends an operation with ECANCELED; -EBUSY: it cannot be any more. */
int wait_cancel(struct runtime *rt, demi_qtoken_t qt);

/* A relative time as the API gives it (NULL: forever) as a deadline of rt's clock. */
struct timespec;
int wait_deadline(struct runtime *rt, const struct timespec *timeout, uint64_t *out);

#endif
