/* SPDX-License-Identifier: MIT
 *
 * See disk_line.h. One event stands for the first job of a line; who frees a line that an event refers to leaves that
 * to the event, or to the end of the disk.
 */
#include "libos/sim/disk_line.h"

#include "alloc/base/assert.h"
#include "alloc/buf.h"

#include <errno.h>
#include <stdlib.h>

struct disk_line *disk_line_new(struct disk_mount *m, struct sim_file *f)
{
    struct disk_line *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->disk = m->disk;
    l->mount = m;
    l->last = &l->jobs;
    l->file = f;
    list_push_back(&m->disk->lines, &l->all);
    return l;
}

void disk_line_free(struct disk_line *l)
{
    ASSERT(!l->jobs);
    list_remove(&l->all);
    free(l);
}

struct sim_disk_job *disk_job_new(struct disk_mount *m, enum disk_job_kind kind, size_t more, int *err)
{
    *err = -EBUSY;
    if (m->waiting >= DISK_LINE_WAITING_MAX) return NULL;
    struct sim_disk_job *j = calloc(1, sizeof *j + more);
    *err = j ? 0 : -ENOMEM;
    if (j) j->kind = kind;
    return j;
}

void disk_job_free(struct sim_disk_job *j)
{
    for (unsigned i = 0; i < j->count; i++) seg_release(&j->segs[i]);
    if (j->buf) buf_unref(j->buf);
    free(j->path);
    free(j->to);
    free(j);
}

/* --- chance ------------------------------------------------------------------------------------------------------- */

static uint32_t eio_ppm(const struct sim_disk_settings *set, enum disk_job_kind kind)
{
    switch (kind) {
    case DISK_OPEN: return set->open_eio_ppm;
    case DISK_PUSH:
    case DISK_TRUNCATE: return set->write_eio_ppm;
    case DISK_POP: return set->read_eio_ppm;
    case DISK_SYNC: return set->sync_eio_ppm;
    case DISK_RENAME:
    case DISK_UNLINK:
    case DISK_MKDIR: return set->name_eio_ppm;
    default: return 0;
    }
}

int disk_fault(struct sim_disk *d, enum disk_job_kind kind)
{
    d->stats.operations++;
    d->stats.writes += kind == DISK_PUSH;
    d->stats.reads += kind == DISK_POP;
    d->stats.syncs += kind == DISK_SYNC;
    int err = 0;
    if (d->stats.operations == d->fail_at) err = d->fail_with;
    else if (sim_chance(d->sim, eio_ppm(&d->settings, kind))) err = EIO;
    d->stats.failed += err != 0;
    return err;
}

static uint64_t up_to(struct sim_disk *d, uint64_t ns) { return rng_below(&d->sim->rng, ns + 1); }

static uint64_t work_ns(struct sim_disk *d, enum disk_job_kind kind, size_t bytes)
{
    const struct sim_disk_settings *set = &d->settings;
    uint64_t ns = set->delay_ns + up_to(d, set->jitter_ns);
    if (kind == DISK_SYNC) ns += set->sync_ns + up_to(d, set->sync_jitter_ns);
    if (set->bytes_per_s) ns += bytes * UINT64_C(1000000000) / set->bytes_per_s;
    if (sim_chance(d->sim, set->stall_ppm)) ns += up_to(d, set->stall_ns);
    return ns;
}

/* --- names -------------------------------------------------------------------------------------------------------- */

static void change_names(struct sim_disk *d, struct sim_disk_job *j)
{
    int err = 0;
    switch (j->kind) {
    case DISK_RENAME: err = disk_tree_rename(&d->tree, j->path, j->to); break;
    case DISK_UNLINK: err = disk_tree_unlink(&d->tree, j->path); break;
    default: err = disk_tree_mkdir(&d->tree, j->path); break;
    }
    j->err = -err;
}

static void names_finish(struct disk_line *l, struct sim_disk_job *j)
{
    struct op_table *ops = &l->mount->base.rt->ops;
    if (j->err) op_fail(ops, j->op, j->err);
    else op_complete_plain(ops, j->op, 0);
}

/* --- one after the other ------------------------------------------------------------------------------------------ */

static void work_ends(void *arg);

/* On the first job, or on what is left of it. */
static void work(struct disk_line *l)
{
    struct sim_disk_job *j = l->jobs;
    struct sim_disk *d = l->disk;
    bool dead = l->mount->dead;
    size_t bytes = 0;
    int fault = dead ? EIO : disk_fault(d, j->kind);
    if (l->file) sim_file_begin(l->file, j, fault, &bytes);
    else if (fault) j->err = fault;
    else change_names(d, j);
    sim_tell(d->sim, "disk", j->kind, (uint64_t)j->err << 32 | bytes);
    uint64_t ns = dead ? 0 : work_ns(d, j->kind, bytes);
    l->busy = true;
    if (!dead && d->stats.operations == d->call_at)
        sim_events_add(&d->sim->events, d->sim->now + up_to(d, ns), d->call, d->call_arg);
    sim_events_add(&d->sim->events, d->sim->now + ns, work_ends, l);
}

/* What was at work when the host crashed has come to nothing. */
static bool is_over(struct disk_line *l, struct sim_disk_job *j)
{
    if (l->mount->dead && j->kind != DISK_CLOSE) j->err = EIO;
    return !l->file || sim_file_end(l->file, j);
}

static void work_ends(void *arg)
{
    struct disk_line *l = arg;
    struct disk_mount *m = l->mount;
    l->busy = false;
    if (!m) {
        disk_line_free(l);
        return;
    }
    struct sim_disk_job *j = l->jobs;
    if (!is_over(l, j)) {
        work(l);
        return;
    }
    l->jobs = j->next;
    if (!l->jobs) l->last = &l->jobs;
    m->waiting--;
    sim_tell(l->disk->sim, "disk done", j->kind, (uint64_t)j->err << 32 | j->done);
    bool gone = false;
    if (l->file) gone = sim_file_finish(l->file, j);
    else names_finish(l, j);
    disk_job_free(j);
    sim_host_wake(m->host);
    if (gone) disk_line_free(l);
    else if (l->jobs) work(l);
}

void disk_line_add(struct disk_line *l, struct sim_disk_job *j)
{
    j->next = NULL;
    *l->last = j;
    l->last = &j->next;
    l->mount->waiting++;
    if (!l->busy) work(l);
}
