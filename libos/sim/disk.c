/* SPDX-License-Identifier: MIT
 *
 * See disk.h: the disk, and the libOS by which a host has it. demi_open() finds that as the first one that has files;
 * libos/disk, which would be started without it, knows nothing of simulated time.
 */
#include "libos/sim/disk.h"

#include "alloc/base/assert.h"
#include "libos/sim/disk_line.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define MICROSECOND ((uint64_t)1000)
#define MILLISECOND ((uint64_t)1000000)

static const struct sim_disk_settings usual = {.delay_ns = 10 * MICROSECOND,
                                               .jitter_ns = 50 * MICROSECOND,
                                               .sync_ns = 100 * MICROSECOND,
                                               .sync_jitter_ns = MILLISECOND};

struct sim_disk *sim_disk_new(struct sim *s, const struct sim_disk_settings *settings)
{
    struct sim_disk *d = calloc(1, sizeof *d);
    ASSERT(d);
    d->sim = s;
    d->settings = settings ? *settings : usual;
    list_init(&d->lines);
    disk_tree_init(&d->tree);
    list_push_back(&s->disks, &d->all);
    return d;
}

void sim_disk_free(struct sim_disk *d)
{
    ASSERT(!d->mount);
    list_for_each_safe(it, &d->lines) disk_line_free(list_entry(it, struct disk_line, all));
    disk_tree_fini(&d->tree);
    list_remove(&d->all);
    free(d);
}

struct sim_disk_settings sim_disk_random(struct sim *s)
{
    static const uint64_t delays[] = {0, MICROSECOND, 50 * MICROSECOND, MILLISECOND};
    static const uint64_t syncs[] = {0, 100 * MICROSECOND, 2 * MILLISECOND, 20 * MILLISECOND};
    static const uint64_t rates[] = {0, 1000000, 30000000, 500000000};
    struct rng *r = &s->rng;
    struct sim_disk_settings set = {.delay_ns = delays[rng_below(r, 4)],
                                    .jitter_ns = delays[rng_below(r, 4)],
                                    .sync_ns = syncs[rng_below(r, 4)],
                                    .sync_jitter_ns = syncs[rng_below(r, 4)],
                                    .bytes_per_s = rates[rng_below(r, 4)],
                                    .any_sectors = rng_below(r, 2),
                                    .any_names = rng_below(r, 2)};
    if (rng_below(r, 2)) set.pieces_ppm = (uint32_t)rng_below(r, 1000000);
    if (rng_below(r, 4) == 0) set.stall_ns = 200 * MILLISECOND, set.stall_ppm = (uint32_t)rng_below(r, 20000);
    return set;
}

void sim_disk_set(struct sim_disk *d, const struct sim_disk_settings *settings) { d->settings = *settings; }

void sim_disk_fail_nth(struct sim_disk *d, uint64_t n, int error)
{
    ASSERT(n > 0 && error > 0);
    d->fail_at = d->stats.operations + n;
    d->fail_with = error;
}

void sim_disk_when(struct sim_disk *d, uint64_t n, void (*fn)(void *arg), void *arg)
{
    d->call_at = n ? d->stats.operations + n : 0;
    d->call = fn;
    d->call_arg = arg;
}

/* --- the libOS ---------------------------------------------------------------------------------------------------- */

static int mount_open(struct libos *l, const char *path, int flags, unsigned mode, struct op *op, struct queue **out)
{
    return sim_file_open((struct disk_mount *)l, path, flags, op, out);
}

static int change_names(struct libos *l, enum disk_job_kind kind, struct op *op, const char *path, const char *to)
{
    struct disk_mount *m = (struct disk_mount *)l;
    if (strnlen(path, PATH_MAX) == PATH_MAX || (to && strnlen(to, PATH_MAX) == PATH_MAX)) return -ENAMETOOLONG;
    int err;
    struct sim_disk_job *j = disk_job_new(m, kind, 0, &err);
    if (!j) return err;
    j->op = op;
    j->path = strdup(path);
    j->to = to ? strdup(to) : NULL;
    if (!j->path || (to && !j->to)) {
        disk_job_free(j);
        return -ENOMEM;
    }
    disk_line_add(m->names, j);
    return 0;
}

static int mount_rename(struct libos *l, struct op *op, const char *from, const char *to)
{
    return change_names(l, DISK_RENAME, op, from, to);
}

static int mount_unlink(struct libos *l, struct op *op, const char *path)
{
    return change_names(l, DISK_UNLINK, op, path, NULL);
}

static int mount_mkdir(struct libos *l, struct op *op, const char *path, unsigned mode)
{
    return change_names(l, DISK_MKDIR, op, path, NULL);
}

static uint64_t mount_undrained(struct libos *l) { return ((struct disk_mount *)l)->waiting; }

static int mount_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    struct disk_mount *m = calloc(1, sizeof *m);
    if (!m) return -ENOMEM;
    *out = &m->base;
    return 0;
}

/* The runtime has waited for what was started (undrained), unless the simulation has ended first: then nothing of it
 * happens any more. */
static void drop_line(struct disk_line *l)
{
    for (struct sim_disk_job *j; (j = l->jobs);) {
        l->jobs = j->next;
        disk_job_free(j);
    }
    l->last = &l->jobs;
    if (l->file) sim_file_free(l->file);
    l->file = NULL;
    l->mount = NULL;
    if (!l->busy) disk_line_free(l);
}

static void mount_stop(struct libos *l)
{
    struct disk_mount *m = (struct disk_mount *)l;
    struct sim_disk *d = m->disk;
    list_for_each_safe(it, &d->lines)
    {
        struct disk_line *line = list_entry(it, struct disk_line, all);
        if (line->mount == m) drop_line(line);
    }
    if (d->mount == m) d->mount = NULL;
    m->host->disk = NULL;
    free(m);
}

static const struct libos_ops mount_ops = {
    .name = "sim disk",
    .start = mount_start,
    .stop = mount_stop,
    .open = mount_open,
    .rename = mount_rename,
    .unlink = mount_unlink,
    .mkdir = mount_mkdir,
    .undrained = mount_undrained,
};

void sim_host_mount(struct sim_host *h, struct sim_disk *d)
{
    ASSERT(h->rt && !h->disk && !d->mount);
    int err = runtime_add_libos(h->rt, &mount_ops, NULL);
    ASSERT(!err);
    struct disk_mount *m = (struct disk_mount *)h->rt->libos[h->rt->libos_count - 1];
    m->disk = d;
    m->host = h;
    m->names = disk_line_new(m, NULL);
    ASSERT(m->names);
    d->mount = h->disk = m;
}

/* --- a crash ------------------------------------------------------------------------------------------------------ */

void sim_disk_crash(struct disk_mount *m)
{
    struct sim_disk *d = m->disk;
    struct disk_crash how = {.any_sectors = d->settings.any_sectors, .any_names = d->settings.any_names};
    m->dead = true;
    d->mount = NULL;
    list_for_each(it, &d->lines)
    {
        struct disk_line *l = list_entry(it, struct disk_line, all);
        if (l->mount == m && l->file) sim_file_lose(l->file);
    }
    disk_tree_crash(&d->tree, &d->sim->rng, &how);
    d->stats.crashes++;
    d->stats.sectors_lost += how.sectors_lost;
    d->stats.names_lost += how.names_lost;
    sim_tell(d->sim, "disk dies", how.sectors_lost, how.names_lost);
}

/* --- looking on --------------------------------------------------------------------------------------------------- */

const char *sim_disk_bytes(const struct sim_disk *d, const char *path, size_t *n)
{
    const struct disk_node *node = disk_tree_find(&d->tree, path);
    if (!node || node->is_folder) return NULL;
    *n = (size_t)node->now_size;
    return node->now ? node->now : "";
}

int sim_disk_put(struct sim_disk *d, const char *path, const void *bytes, size_t n)
{
    struct disk_node *node;
    int err = disk_tree_open(&d->tree, path, O_WRONLY | O_CREAT | O_TRUNC, &node);
    if (err) return err;
    disk_node_write(node, 0, bytes, n);
    disk_node_sync(node);
    disk_tree_close(node);
    disk_tree_sync_all(&d->tree);
    return 0;
}

void sim_disk_visit(const struct sim_disk *d, void (*fn)(void *arg, const char *path), void *arg)
{
    disk_tree_visit(&d->tree, fn, arg);
}

uint64_t sim_disk_used(const struct sim_disk *d) { return disk_tree_bytes(&d->tree); }
const struct sim_disk_stats *sim_disk_stats(const struct sim_disk *d) { return &d->stats; }
