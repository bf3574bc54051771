/* SPDX-License-Identifier: MIT
 *
 * Waiting, cancelling, and the user's word of a token.
 */
#include "demi/wait.h"

#include "demi/here.h"

/* What was pushed leaves before anything else is done, the look at the clock for the deadline included. */
static int deadline_of(struct runtime *rt, const struct timespec *timeout, uint64_t *out)
{
    rt->now_is_old = true;
    if (runtime_flush_is_due(rt)) runtime_flush(rt);
    return wait_deadline(rt, timeout, out);
}

int demi_wait(demi_qresult_t *qr_out, demi_qtoken_t qt, const struct timespec *timeout)
{
    if (!qr_out) return EINVAL;
    HERE(rt);
    uint64_t deadline;
    int err = deadline_of(rt, timeout, &deadline);
    return err ? -err : -wait_one(rt, qt, deadline, qr_out);
}

int demi_timedwait(demi_qresult_t *qr_out, demi_qtoken_t qt, const struct timespec *abstime)
{
    if (!abstime) return demi_wait(qr_out, qt, NULL);
    if (abstime->tv_nsec < 0 || abstime->tv_nsec >= 1000000000) return EINVAL;
    int64_t now_us = demi_wall_us();
    struct timespec left = {abstime->tv_sec, abstime->tv_nsec};
    if (abstime->tv_sec < now_us / 1000000) left = (struct timespec){0, 0}; /* also before 1970 */
    else left.tv_sec -= (time_t)(now_us / 1000000);
    left.tv_nsec -= (long)(now_us % 1000000 * 1000);
    if (left.tv_nsec < 0) {
        left.tv_nsec += 1000000000;
        left.tv_sec--;
    }
    if (left.tv_sec < 0) left = (struct timespec){0, 0};
    return demi_wait(qr_out, qt, &left);
}

int demi_wait_any(demi_qresult_t *qr_out, int *ready_offset, const demi_qtoken_t qts[], int num_qts,
                  const struct timespec *timeout)
{
    if (!qr_out || !ready_offset || (!qts && num_qts) || num_qts < 0) return EINVAL;
    HERE(rt);
    uint64_t deadline;
    uint32_t offset;
    int err = deadline_of(rt, timeout, &deadline);
    if (!err) err = wait_any(rt, qts, (uint32_t)num_qts, deadline, qr_out, &offset);
    if (!err) DASSERT(offset < (uint32_t)num_qts);
    if (!err) *ready_offset = (int)offset;
    return -err;
}

int demi_wait_all(demi_qresult_t qr_out[], const demi_qtoken_t qts[], int num_qts, const struct timespec *timeout)
{
    if (num_qts < 0 || (num_qts && (!qr_out || !qts))) return EINVAL;
    HERE(rt);
    uint64_t deadline;
    int err = deadline_of(rt, timeout, &deadline);
    return err ? -err : -wait_all(rt, qts, (uint32_t)num_qts, deadline, qr_out);
}

int demi_wait_next_n(demi_qresult_t *qr_out, int num_qrs, int *num_qrs_out, const struct timespec *timeout)
{
    if (!qr_out || !num_qrs_out || num_qrs <= 0) return EINVAL;
    HERE(rt);
    uint64_t deadline;
    uint32_t count = 0;
    int err = deadline_of(rt, timeout, &deadline);
    if (!err) err = wait_next_n(rt, qr_out, (uint32_t)num_qrs, &count, deadline);
    DASSERT(is_result(err));
    DASSERT(count <= (uint32_t)num_qrs);
    *num_qrs_out = (int)count;
    return -err;
}

int demi_wait_batch(demi_qresult_t *qr_out, int num_qrs, int *num_qrs_out, const struct timespec *timeout)
{
    if (!qr_out || !num_qrs_out || num_qrs <= 0) return EINVAL;
    HERE(rt);
    uint64_t deadline;
    uint32_t count = 0;
    int err = deadline_of(rt, timeout, &deadline);
    if (!err) err = wait_batch(rt, qr_out, (uint32_t)num_qrs, &count, deadline);
    DASSERT(is_result(err));
    DASSERT(count <= (uint32_t)num_qrs);
    DASSERT(!err == (count > 0));
    *num_qrs_out = (int)count;
    return -err;
}

int demi_cancel(demi_qtoken_t qt)
{
    HERE(rt);
    return -wait_cancel(rt, qt);
}

int demi_set_data(demi_qtoken_t qt, void *data)
{
    HERE(rt);
    struct op *op = op_find(&rt->ops, qt);
    if (!op) return EINVAL;
    op->data = data;
    return 0;
}

void *demi_result_data(const demi_qresult_t *qr)
{
    struct runtime *rt = runtime_current();
    return rt && qr ? op_taken_data(&rt->ops, qr->qr_qt) : NULL;
}
