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
#include <sys/stat.h>
#include <unistd.h>

struct name_job {
    struct disk_job job;
    struct op_table *ops;
    struct op *op;
    uint64_t *errors;
    int err;
    struct name_change change;
    char paths[];
};

static void name_job_run(struct disk_job *j)
{
    struct name_job *nj = (struct name_job *)j;
    const struct name_change *c = &nj->change;
    int failed = -1;
    switch (c->what) {
    case NAME_RENAME: failed = rename(c->path, c->to); break;
    case NAME_UNLINK: failed = unlink(c->path); break;
    case NAME_MKDIR: failed = mkdir(c->path, c->mode); break;
    }
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

int name_submit(struct helper *h, struct op_table *ops, struct op *op, const struct name_change *change,
                uint64_t *errors)
{
    const char *to = change->to;
    size_t size = strnlen(change->path, PATH_MAX) + 1, to_size = to ? strnlen(to, PATH_MAX) + 1 : 0;
    if (size > PATH_MAX || to_size > PATH_MAX) return -ENAMETOOLONG;
    struct name_job *nj = heap_calloc(1, sizeof *nj + size + to_size);
    if (!nj) return -ENOMEM;
    nj->change = *change;
    nj->change.path = memcpy(nj->paths, change->path, size);
    if (to) nj->change.to = memcpy(nj->paths + size, to, to_size);
    nj->job.run = name_job_run;
    nj->job.finish = finish;
    nj->ops = ops;
    nj->op = op;
    nj->errors = errors;
    helper_submit(h, &nj->job);
    return 0;
}
