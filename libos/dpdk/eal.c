/* SPDX-License-Identifier: MIT
 *
 * The EAL can be started once a process and not stopped and started again. The first device to open starts it with its arguments and
 * what those leave open: the CPU the thread is on, memory without set-up, no telemetry, errors only. A later device may bring `--vdev` or `-a`
 * for devices that are not there yet, which are plugged in; its other arguments come too late and are not looked at.
 *
 * What is filled in:
 *   memory    --in-memory when enough huge pages are free, else --no-huge --no-shconf; -m as the pools want
 *   CPU       -l of the CPU the thread runs on. EAL pins the thread there; its affinity is put back afterwards
 *   devices   --no-pci when only virtual ones are named; --iova-mode=va with it (root would get physical addresses)
 *   noise     --no-telemetry, --log-level=*:error. The first complaint is kept: it is what a failing open() can say.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "libos/plugin.h"
#include "libos/dpdk/dpdk.h"

#define MBUF_BYTES  2560u /* of a pool: mbuf, private area, 2,176 bytes of room, header, alignment */
#define EXTRA_BYTES (24u << 20) /* rings, drivers, the heap's own: 8,191 mbufs want 45 MiB in all with EAL 22.11 */

static struct { /* under port.c's mutex */
    bool tried;
    int error; /* of the start */
    char complaint[200];
    char log[4096];
    FILE *stream;
} eal;

static __thread struct {
    unsigned nested;
    bool registered; /* by us */
} thread;

/* --- what it complains of --- */

static void listen_begin(void)
{
    memset(eal.log, 0, sizeof eal.log);
    eal.complaint[0] = 0;
    if (!eal.stream) eal.stream = fmemopen(eal.log, sizeof eal.log - 1, "w");
    if (!eal.stream) return;
    setvbuf(eal.stream, NULL, _IONBF, 0);
    rewind(eal.stream);
    rte_openlog_stream(eal.stream);
}

/* The first line that says more than that something failed. */
static void listen_end(void)
{
    rte_openlog_stream(NULL);
    char *rest = NULL;
    for (char *line = strtok_r(eal.log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, "mp action") || strstr(line, "hot plug") || strstr(line, "hotplug")) continue; /* harmless without processes */
        if (!strncmp(line, "EAL: ", 5)) line += 5;
        snprintf(eal.complaint, sizeof eal.complaint, "%.*s", (int)sizeof eal.complaint - 1, line);
        break;
    }
}

const char *eal_complaint(void) { return eal.complaint; }

/* --- arguments --- */

static bool starts_with(const char *text, const char *start) { return !strncmp(text, start, strlen(start)); }

static bool has(const struct dpdk_config *c, const char *const *options)
{
    for (int i = 1; i < c->argc; i++)
        for (const char *const *o = options; *o; o++) {
            size_t n = strlen(*o);
            bool is_long = (*o)[1] == '-';
            if (!strncmp(c->argv[i], *o, n) && (!is_long || !c->argv[i][n] || c->argv[i][n] == '=')) return true;
        }
    return false;
}

/* The i-th argument as a device to plug: "net_memif0,role=..." of --vdev, an address of -a. NULL: it is something else. */
static const char *device_of(const struct dpdk_config *c, int *i, bool *virtual)
{
    const char *arg = c->argv[*i], *next = *i + 1 < c->argc ? c->argv[*i + 1] : NULL;
    *virtual = starts_with(arg, "--vdev");
    if (starts_with(arg, "--vdev=")) return arg + 7;
    if (starts_with(arg, "--allow=")) return arg + 8;
    if (starts_with(arg, "-a") && arg[2] && arg[1] != '-') return arg + 2;
    if (next && (!strcmp(arg, "--vdev") || !strcmp(arg, "--allow") || !strcmp(arg, "-a"))) {
        ++*i;
        return next;
    }
    return NULL;
}

bool eal_first_device(const struct dpdk_config *c, char *name, size_t size)
{
    for (int i = 1; i < c->argc; i++) {
        bool virtual;
        const char *device = device_of(c, &i, &virtual);
        if (!device) continue;
        snprintf(name, size, "%.*s", (int)strcspn(device, ","), device);
        return true;
    }
    return false;
}

/* Free huge pages of 2 MiB, in MiB. */
static unsigned long huge_mib(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
    if (!f) return 0;
    if (fscanf(f, "%lu", &pages) != 1) pages = 0;
    fclose(f);
    return 2 * pages;
}

static unsigned long want_mib(const struct dpdk_config *c)
{
    unsigned long room = RTE_MAX(c->mtu, 1500L) > 1500 ? (unsigned long)c->mtu : 0;
    unsigned long count = (unsigned long)c->queues * (unsigned long)(c->mbufs + c->tx_ring + 4096);
    unsigned long mib = (count * (MBUF_BYTES + room) + EXTRA_BYTES) >> 20;
    return RTE_MAX(mib, 64ul);
}

struct extra { /* arguments of our own, with room for their texts */
    char cpu[16], memory[16];
};

static void fill_in(struct dpdk_config *c, struct extra *extra)
{
    static const char *const cpu[] = {"-l", "-c", "--lcores", NULL};
    static const char *const memory[] = {"-m", "--socket-mem", "--no-huge", "--in-memory", "--huge-dir", "--legacy-mem", "--proc-type", NULL};
    static const char *const devices[] = {"-a", "--allow", "-b", "--block", "--no-pci", NULL};
    static const char *const vdev[] = {"--vdev", NULL};
    static const char *const iova[] = {"--iova-mode", NULL}, *const level[] = {"--log-level", NULL};
    static const char *const telemetry[] = {"--telemetry", "--no-telemetry", NULL};
    static char no_pci[] = "--no-pci", no_telemetry[] = "--no-telemetry", va[] = "--iova-mode=va", quiet[] = "--log-level=*:error";
    static char in_memory[] = "--in-memory", no_huge[] = "--no-huge", no_shconf[] = "--no-shconf", dash_l[] = "-l", dash_m[] = "-m";
    bool only_virtual = has(c, vdev) && !has(c, devices);
    bool has_cpu = has(c, cpu), has_memory = has(c, memory), has_iova = has(c, iova), has_level = has(c, level);
    static const char *const size[] = {"-m", "--socket-mem", NULL}, *const plain[] = {"--no-huge", NULL}, *const shconf[] = {"--no-shconf", "--in-memory", NULL};
    bool has_size = has(c, size), is_plain = has(c, plain), has_shconf = has(c, shconf), has_telemetry = has(c, telemetry);
    int n = c->argc;
    if (!has_cpu) {
        int at = sched_getcpu();
        snprintf(extra->cpu, sizeof extra->cpu, "%d", at < 0 ? 0 : at);
        c->argv[n++] = dash_l;
        c->argv[n++] = extra->cpu;
    }
    unsigned long mib = want_mib(c);
    snprintf(extra->memory, sizeof extra->memory, "%lu", mib);
    if (!has_memory) {
        bool huge = huge_mib() >= mib + 2;
        if (huge) c->argv[n++] = in_memory;
        else {
            c->argv[n++] = no_huge;
            c->argv[n++] = no_shconf;
        }
    } else if (is_plain && !has_shconf) c->argv[n++] = no_shconf;
    if (!has_memory || (is_plain && !has_size)) {
        c->argv[n++] = dash_m;
        c->argv[n++] = extra->memory;
    }
    if (only_virtual) c->argv[n++] = no_pci;
    if (only_virtual && !has_iova) c->argv[n++] = va;
    if (!has_telemetry) c->argv[n++] = no_telemetry;
    if (!has_level) c->argv[n++] = quiet;
    c->argc = n;
    c->argv[n] = NULL;
}

/* --- why it does not start --- */

static int explain(const struct netdev_env *env)
{
    const char *said = eal.complaint;
    if (strcasestr(said, "hugepage") || strcasestr(said, "huge page") || strcasestr(said, "hugetlbfs"))
        return plugin_refuse(env, ENOMEM,
                             "no huge pages for DPDK (%.90s): echo 512 > /proc/sys/vm/nr_hugepages, or leave memory options out for --no-huge",
                             said);
    if (strcasestr(said, "permission") || strcasestr(said, "not permitted"))
        return plugin_refuse(env, EPERM, "DPDK lacks a right (%.140s): run as root or with --no-huge --no-shconf", said);
    return plugin_refuse(env, eal.error, "DPDK's EAL does not start: %.180s", *said ? said : rte_strerror(eal.error));
}

static int start(const struct netdev_env *env, const struct dpdk_config *given)
{
    static struct dpdk_config c; /* EAL keeps pointers into its arguments */
    static struct extra extra;
    char *argv[sizeof c.argv / sizeof *c.argv + 1];
    cpu_set_t before;
    c = *given;
    for (int i = 1; i < c.argc; i++) c.argv[i] = c.text + (given->argv[i] - given->text);
    fill_in(&c, &extra);
    memcpy(argv, c.argv, sizeof c.argv); /* EAL permutes it */
    bool had = !pthread_getaffinity_np(pthread_self(), sizeof before, &before);
    listen_begin();
    int got = rte_eal_init(c.argc, argv);
    int err = rte_errno;
    listen_end();
    if (had) pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    eal.tried = true;
    eal.error = got < 0 ? (err ? err : EIO) : 0;
    return eal.error ? explain(env) : 0;
}

/* Which device the EAL has none of: its driver may not be installed. */
static int plug(const struct netdev_env *env, const char *device, bool virtual)
{
    char name[RTE_ETH_NAME_MAX_LEN];
    uint16_t port;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(device, ","), device);
    if (!rte_eth_dev_get_port_by_name(name, &port)) return 0;
    listen_begin();
    int err = rte_eal_hotplug_add(virtual ? "vdev" : "pci", name, device[strcspn(device, ",")] ? strchr(device, ',') + 1 : "");
    listen_end();
    if (err && err != -EEXIST)
        return plugin_refuse(env, -err, "DPDK cannot add %.60s: %.120s", name, eal.complaint[0] ? eal.complaint : rte_strerror(-err));
    return 0;
}

int eal_start(const struct netdev_env *env, const struct dpdk_config *c)
{
    if (!eal.tried) return start(env, c);
    if (eal.error) return explain(env);
    for (int i = 1; i < c->argc; i++) {
        bool virtual;
        const char *device = device_of(c, &i, &virtual);
        int err = device ? plug(env, device, virtual) : 0;
        if (err) return err;
    }
    return 0;
}

/* --- threads --- */

void eal_thread_enter(void)
{
    if (thread.nested++) return;
    /* Without an id (more threads than EAL has) pools work, uncached. */
    if (rte_lcore_id() == LCORE_ID_ANY) thread.registered = !rte_thread_register();
}

void eal_thread_leave(void)
{
    if (!thread.nested || --thread.nested) return;
    if (thread.registered) rte_thread_unregister();
    thread.registered = false;
}
