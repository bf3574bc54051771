/* SPDX-License-Identifier: MIT
 *
 * See name.h. There is no queue behind such a job, so nothing but its end ends its operation.
 */
#include "libos/disk/name.h"

#include "alloc/heap.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct name_job {
    struct disk_job job;
    struct op_table *ops;
    struct op *op;
    uint64_t *errors;
    int err;
    const char *to; /* behind `from`, or NULL */
    char from[];
};

static void name_job_run(struct disk_job *j)
{
    struct name_job *nj = (struct name_job *)j;
    int failed = nj->to ? rename(nj->from, nj->to) : unlink(nj->from);
    nj->err = failed ? errno : 0;
}

static void finish(struct disk_job *j)
{
    struct name_job *nj = (struct name_job *)j;
    *nj->errors += nj->err != 0;
    if (nj->err) op_fail(nj->ops, nj->op, nj->err);
    else op_complete_plain(nj->ops, nj->op, 0);
    heap_free(nj);
}

int name_submit(struct helper *h, struct op_table *ops, struct op *op, const char *from, const char *to,
                uint64_t *errors)
{
    size_t from_size = strnlen(from, PATH_MAX) + 1, to_size = to ? strnlen(to, PATH_MAX) + 1 : 0;
    if (from_size > PATH_MAX || to_size > PATH_MAX) return -ENAMETOOLONG;
    struct name_job *nj = heap_calloc(1, sizeof *nj + from_size + to_size);
    if (!nj) return -ENOMEM;
    memcpy(nj->from, from, from_size);
    if (to) nj->to = memcpy(nj->from + from_size, to, to_size);
    nj->job.run = name_job_run;
    nj->job.finish = finish;
    nj->ops = ops;
    nj->op = op;
    nj->errors = errors;
    helper_submit(h, &nj->job);
    return 0;
}
