/* SPDX-License-Identifier: MIT
 *
 * Two coroutines and a queue in memory, no device: one pushes COUNT numbers, a breath apart, the other adds them up.
 *
 *     producer --push--> queue --pop--> consumer
 *
 * Inside a task demi_wait() suspends the task and nothing else. Usage: queue-tasks [COUNT]
 */
#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>

struct job {
    int qd;
    long count;
};

static int64_t produce(void *arg)
{
    const struct job *job = arg;
    demi_qtoken_t qt;
    for (long i = 1; i <= job->count; i++) {
        demi_sgarray_t sga = demi_sgaalloc(sizeof i);
        if (sga.sga_numsegs == 0) return -ENOMEM;
        memcpy(sga.sga_segs[0].sgaseg_buf, &i, sizeof i);
        MUST(demi_push(&qt, job->qd, &sga));
        await(qt);
        demi_sgafree(&sga);
        MUST(demi_timer(&qt, 100 * 1000));
        await(qt);
    }
    return 0;
}

static int64_t consume(void *arg)
{
    const struct job *job = arg;
    int64_t sum = 0;
    demi_qtoken_t qt;
    for (long i = 0; i < job->count; i++) {
        long number;
        MUST(demi_pop(&qt, job->qd));
        demi_qresult_t qr = await(qt);
        memcpy(&number, qr.qr_value.sga.sga_segs[0].sgaseg_buf, sizeof number);
        demi_sgafree(&qr.qr_value.sga);
        sum += number;
    }
    return sum;
}

int main(int argc, char *const argv[])
{
    struct demi_args args = {argc, argv, NULL};
    struct job job = {-1, argc > 1 ? strtol(argv[1], NULL, 10) : 100};
    demi_qtoken_t tasks[2];
    demi_qresult_t results[2];
    MUST(demi_init(&args));
    MUST(demi_queue(&job.qd));
    MUST(demi_spawn(&tasks[0], produce, &job, 0));
    MUST(demi_spawn(&tasks[1], consume, &job, 0));
    MUST(demi_wait_all(results, tasks, 2, NULL));
    MUST(results[0].qr_ret == 0 ? 0 : ENOMEM);
    printf("the sum of 1 to %ld is %lld\n", job.count, (long long)results[1].qr_ret);
    MUST(results[1].qr_ret == job.count * (job.count + 1) / 2 ? 0 : EBADMSG);
    MUST(demi_close(job.qd));
    return 0;
}
