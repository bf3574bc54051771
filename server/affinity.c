/* SPDX-License-Identifier: MIT
 *
 * A new thread begins where its creator may run, so a loop that is bound to one CPU would have all its helpers there.
 * Who has no list of its own keeps off the loop's CPUs instead, where the process has others. (The kernel's threads of
 * io_uring have to, if they are not to stay there: they inherit the loop's set, and what is asked for them is cut down
 * to its part in that, unless it has none. Linux 6.18)
 *
 * Where redis-server has children (snapshots, rewrites of the log) there is a thread that packs what is written; the
 * walk over the data is the loop's.
 */
#include "server/affinity.h"

#include <errno.h>

#include "alloc/base/thread.h"
#include "server/conf/config.h"
#include "server/conf/cpu_list.h"
#include "server/observe/log.h"
#include "server/server.h"

enum { SHOWN_SIZE = 128 };

const cpu_set_t *affinity_of(const char *list, cpu_set_t *set)
{
    return list && *list && cpu_list_parse(list, set) ? set : NULL;
}

static void tell_missing(struct server *srv, const char *option, const char *list, const cpu_set_t *has)
{
    cpu_set_t named, there, missing;
    char shown[SHOWN_SIZE], own[SHOWN_SIZE];
    if (!affinity_of(list, &named)) return;
    CPU_AND(&there, &named, has);
    CPU_XOR(&missing, &named, &there);
    if (!CPU_COUNT(&missing)) return;
    cpu_list_format(shown, sizeof shown, &missing);
    cpu_list_format(own, sizeof own, has);
    server_log(srv, LOG_WARNING_LEVEL, "%s names CPUs that are not there for this process: %s (it has %s)%s", option,
               shown, own, CPU_COUNT(&there) ? "" : ". It has no effect.");
}

/* A filter of system calls lets nobody choose: helpers then start where the loop runs. */
static void tell_refused(struct server *srv, const cpu_set_t *has)
{
    const struct config *cfg = srv->config;
    const char *const lists[] = {cfg->server_cpulist, cfg->bio_cpulist, cfg->bgsave_cpulist, cfg->aof_rewrite_cpulist};
    bool any = false;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) any |= lists[i] && *lists[i];
    if (!any || sched_setaffinity(0, sizeof *has, has) == 0) return;
    server_log(srv, LOG_WARNING_LEVEL, "CPUs cannot be chosen here: %s. server_cpulist and its kin have no effect.",
               strerror(errno));
}

void affinity_begin(struct server *srv)
{
    const struct config *cfg = srv->config;
    cpu_set_t has, bio, own;
    if (sched_getaffinity(0, sizeof has, &has) != 0) return;
    srv->start_cpus = has;
    tell_missing(srv, "server_cpulist", cfg->server_cpulist, &has);
    tell_missing(srv, "bio_cpulist", cfg->bio_cpulist, &has);
    tell_missing(srv, "bgsave_cpulist", cfg->bgsave_cpulist, &has);
    tell_missing(srv, "aof_rewrite_cpulist", cfg->aof_rewrite_cpulist, &has);
    tell_refused(srv, &has);
    const cpu_set_t *asked = affinity_of(cfg->bio_cpulist, &bio), *loop = affinity_of(cfg->server_cpulist, &own);
    if (!asked && !loop) return;
    if (asked) {
        CPU_AND(&bio, &bio, &has);
    } else {
        CPU_AND(&bio, &own, &has);
        CPU_XOR(&bio, &has, &bio);
    }
    thread_use_cpus(CPU_COUNT(&bio) ? &bio : &has);
}

void affinity_pin_loop(struct server *srv)
{
    cpu_set_t set;
    const cpu_set_t *own = affinity_of(srv->config->server_cpulist, &set);
    if (!own || sched_setaffinity(0, sizeof *own, own) == 0 || errno == EINVAL) return; /* EINVAL: was told */
    server_log(srv, LOG_WARNING_LEVEL, "server_cpulist '%s': %s. The server runs where it may.",
               srv->config->server_cpulist, strerror(errno));
}

void affinity_unpin_loop(struct server *srv)
{
    if (CPU_COUNT(&srv->start_cpus)) sched_setaffinity(0, sizeof srv->start_cpus, &srv->start_cpus);
}

int affinity_cores(void)
{
    cpu_set_t all;
    const cpu_set_t *helpers = thread_cpus();
    if (sched_getaffinity(0, sizeof all, &all) != 0) return 1;
    if (helpers) CPU_OR(&all, &all, helpers);
    return CPU_COUNT(&all);
}
