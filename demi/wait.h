/* SPDX-License-Identifier: MIT
 *
 * Waiting for operations. Each completion is delivered to exactly one wait, with its data; a delivered token is gone.
 *
 * Timeouts are relative. NULL waits forever; {0, 0} polls every device once and does not sleep. ETIMEDOUT
 * leaves the tokens as they were. A failed operation is not a failed wait: the call returns 0 and the result's opcode
 * is DEMI_OPC_FAILED with the errno in qr_ret.
 */
#ifndef DEMI_WAIT_H
#define DEMI_WAIT_H

#include "demi/cc.h"
#include "demi/types.h"
#include <time.h>

struct timespec; /* strict C99 leaves it out of time.h */

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Waits for one operation. EINVAL: qr_out is NULL, or the token is not outstanding on this thread. */
ATTR_NONNULL(1)
extern int demi_wait(_Out_ demi_qresult_t *qr_out, _In_ demi_qtoken_t qt, _In_ const struct timespec *timeout);

/* Waits for the first of several; *ready_offset says which. With none (num_qts 0) it works the loop until the timeout.
 * EINVAL: a NULL argument, num_qts < 0, or an unknown token met before any that has completed. */
ATTR_NONNULL(1, 2, 3)
extern int demi_wait_any(_Out_ demi_qresult_t *qr_out, _Out_ int *ready_offset,
                         _In_reads_(num_qts) const demi_qtoken_t qts[], _In_ int num_qts,
                         _In_ const struct timespec *timeout);

/* Waits for up to num_qrs completions of whatever operations this thread has outstanding, in the order in which they
 * completed, and stores how many came in *num_qrs_out. Upstream's rule: 0 only when the array is full;
 * ETIMEDOUT with *num_qrs_out valid results (perhaps none) otherwise. Servers use demi_wait_batch() of demi/ext.h,
 * which returns as soon as there is anything. EINVAL: a NULL argument or num_qrs <= 0. */
ATTR_NONNULL(1, 3)
extern int demi_wait_next_n(_Out_writes_to_(num_qrs, *num_qrs_out) demi_qresult_t *qr_out, _In_ int num_qrs,
                            _Out_ int *num_qrs_out, _In_ const struct timespec *timeout);

/* demi_wait() of Demikernel before 2024: until a moment of the system's clock (CLOCK_REALTIME). NULL: forever; one that
 * has passed polls once. */
ATTR_NONNULL(1)
extern int demi_timedwait(_Out_ demi_qresult_t *qr_out, _In_ demi_qtoken_t qt, _In_ const struct timespec *abstime);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
