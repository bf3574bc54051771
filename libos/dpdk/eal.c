/* SPDX-License-Identifier: MIT
 *
 * The EAL can be started once a process and not stopped and started again. The first device to open starts it with its
 * arguments and what those leave open: the CPU the thread is on, memory without set-up, no telemetry, errors only. A
 * later device may bring `--vdev` or `-a` for devices that are not there yet, which are plugged in; its other arguments
 * come too late and are not looked at.
 *
 * What is filled in:
 *   memory    --in-memory when enough huge pages are free, else --no-huge --no-shconf; -m as the pools want
 *   CPU       -l of the CPU the thread runs on. EAL pins the thread there; its affinity is put back afterwards
 *   devices   --no-pci when only virtual ones are named; --iova-mode=va with it (root would get physical addresses)
 *   noise     --no-telemetry, --log-level=*:error. The first complaint is kept: it is what a failing open() can say.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <getopt.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "libos/plugin.h"
#include "libos/dpdk/dpdk.h"

#define MBUF_BYTES  2560u       /* of a pool: mbuf, private area, 2,176 bytes of room, header, alignment */
#define PAIR_SPARE  4096u       /* mbufs of a pair beyond what is configured */
#define EXTRA_BYTES (24u << 20) /* rings, drivers, the heap's own: 8,191 mbufs want 45 MiB in all with EAL 22.11 */

static_assert(DPDK_TX_SPARE <= PAIR_SPARE, "memory is asked for what pools take");

static struct { /* under port.c's mutex */
    bool up;
    int error; /* of a start that failed: EAL allows no second one */
    char complaint[200];
    char log[4096]; /* under log_lock, as `used` */
    size_t used;
    bool listening;
    bool is_quiet; /* eal's arguments ask for no more than errors */
    FILE *stream;  /* of all of DPDK's words */
} eal;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static __thread struct {
    unsigned nested;
    bool registered; /* by us */
} thread;

static bool starts_with(const char *text, const char *start) { return !strncmp(text, start, strlen(start)); }

/* --- what it complains of --- */

/* Of a message of DPDK's, on the thread that has it. */
static ssize_t hear(void *cookie, const char *text, size_t n)
{
    if (rte_log_cur_msg_loglevel() > (int)RTE_LOG_ERR) { /* it is as likely memif.c that asked for this */
        memif_heard();
        if (eal.is_quiet) return (ssize_t)n;
    }
    pthread_mutex_lock(&log_lock);
    size_t part = RTE_MIN(n, sizeof eal.log - 1 - eal.used);
    if (eal.listening) {
        memcpy(eal.log + eal.used, text, part);
        eal.used += part;
    } else fwrite(text, 1, n, stderr);
    pthread_mutex_unlock(&log_lock);
    return (ssize_t)n;
}

void eal_listen(void)
{
    pthread_mutex_lock(&log_lock);
    memset(eal.log, 0, sizeof eal.log);
    eal.used = 0;
    eal.complaint[0] = 0;
    eal.listening = true;
    pthread_mutex_unlock(&log_lock);
    if (!eal.stream) eal.stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = hear});
    if (!eal.stream) return;
    setvbuf(eal.stream, NULL, _IONBF, 0);
    rte_openlog_stream(eal.stream);
}

static bool is_chatter(const char *line)
{
    static const char *const chatter[] = {"mp action",    "Detected ", "VHOST_CONFIG: (", "Invalid 'command line'",
                                          "No available", NULL};
    for (const char *const *c = chatter; *c; c++)
        if (strstr(line, *c) && !strstr(line, "fail")) return true;
    return false;
}

void eal_listen_end(void)
{
    pthread_mutex_lock(&log_lock);
    eal.listening = false;
    pthread_mutex_unlock(&log_lock);
    char *rest = NULL;
    for (char *line = strtok_r(eal.log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (is_chatter(line)) continue;
        if (!strncmp(line, "EAL: ", 5)) line += 5;
        snprintf(eal.complaint, sizeof eal.complaint, "%.*s", (int)sizeof eal.complaint - 1, line);
        break;
    }
}

const char *eal_complaint(void) { return eal.complaint; }

const char *eal_reason(int err) { return eal.complaint[0] ? eal.complaint : rte_strerror(err); }

bool eal_has_driver(const char *device, char *package, size_t size)
{
    char family[40], path[256];
    snprintf(family, sizeof family, "%.*s", (int)strcspn(device, "0123456789"), device);
    if (strstr(family, "virtio_user")) snprintf(family, sizeof family, "net_virtio");
    snprintf(package, size, "librte-%s23", family);
    for (char *p = package; *p; p++)
        if (*p == '_') *p = '-';
    for (int versioned = 0; versioned < 2; versioned++) {
        snprintf(path, sizeof path, RTE_EAL_PMD_PATH "/librte_%s.so%s", family, versioned ? ".23" : "");
        if (!access(path, F_OK)) return true;
    }
    /* DPDK may have been built with it inside. */
    return access(RTE_EAL_PMD_PATH, F_OK);
}

/* --- what a dead process left --- */

/* The value of a key in "net_x0,key=value,...". */
bool eal_device_value(const char *device, const char *key, char *out, size_t size)
{
    size_t n = strlen(key);
    for (const char *p = strchr(device, ','); p; p = strchr(p, ',')) {
        if (strncmp(++p, key, n) || p[n] != '=') continue;
        snprintf(out, size, "%.*s", (int)strcspn(p + n + 1, ","), p + n + 1);
        return true;
    }
    return false;
}

/* A socket file as everybody names it, whatever folder he is in. */
static void put_path(const char *path, char *out, size_t size)
{
    char folder[PATH_MAX], full[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    const char *found = realpath(folder, full) ? full : folder;
    int n = snprintf(out, size, "%s/%s", found, slash ? slash + 1 : path);
    if (n < 0 || (size_t)n >= size) snprintf(out, size, "%s", path);
}

/* The socket files that devices join their two ends by. */
struct eal_end {
    char path[108]; /* empty: it is not a file */
    char name[PATH_MAX + 64];
    bool serves;
};

static void find_memif_end(const char *device, struct eal_end *e)
{
    char role[16] = "client", abstract[16] = "yes", id[16] = "0", full[PATH_MAX];
    eal_device_value(device, "role", role, sizeof role);
    eal_device_value(device, "socket-abstract", abstract, sizeof abstract);
    eal_device_value(device, "id", id, sizeof id);
    if (!eal_device_value(device, "socket", e->path, sizeof e->path))
        strcpy(e->path, "/run/memif.sock"); /* DPDK's own */
    e->serves = !strcmp(role, "server") || !strcmp(role, "master");
    put_path(e->path, full, sizeof full);
    bool is_abstract = strcmp(abstract, "no") != 0;
    /* A server is one for all ids of its socket. */
    snprintf(e->name, sizeof e->name, "memif/%s%s/%s", is_abstract ? "@" : "", is_abstract ? e->path : full,
             e->serves ? "server" : id);
    if (is_abstract) e->path[0] = 0;
}

static void find_vhost_end(const char *device, const char *key, const char *other_way, bool serves, struct eal_end *e)
{
    char word[16] = "0", full[PATH_MAX];
    if (!eal_device_value(device, key, e->path, sizeof e->path)) return;
    eal_device_value(device, other_way, word, sizeof word);
    e->serves = serves == !strcmp(word, "0");
    put_path(e->path, full, sizeof full);
    snprintf(e->name, sizeof e->name, "vhost/%s/%s", full, serves ? "vhost" : "virtio");
}

/* What of this machine the device is; e->name is empty where nobody else could mean the same. */
static void find_end(const char *device, bool virtual, struct eal_end *e)
{
    char word[64];
    memset(e, 0, sizeof *e);
    if (!virtual) snprintf(e->name, sizeof e->name, "pci/%.*s", (int)strcspn(device, ","), device);
    else if (starts_with(device, "net_memif")) find_memif_end(device, e);
    else if (starts_with(device, "net_vhost") || starts_with(device, "eth_vhost"))
        find_vhost_end(device, "iface", "client", true, e);
    else if (starts_with(device, "net_virtio_user")) find_vhost_end(device, "path", "server", false, e);
    else if (eal_device_value(device, "iface", word, sizeof word))
        snprintf(e->name, sizeof e->name, "interface/%s", word);
}

/* A server's socket file outlives a process that was killed, and its driver would refuse to listen: a socket that
 * nobody has goes. One that somebody has stays, and is not talked to: DPDK's memif server dies of a peer that goes at
 * once (22.11), and a driver that finds the name taken removes the file on its way out. A connect() of another type of
 * socket is enough to tell: EPROTOTYPE, somebody has it; ECONNREFUSED, nobody. */
static bool is_file_served(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct stat st;
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    if (lstat(path, &st) || !S_ISSOCK(st.st_mode)) return false;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return true;
    int err = connect(fd, (struct sockaddr *)&to, sizeof to) ? errno : 0;
    close(fd);
    if (err == ECONNREFUSED) unlink(path);
    return err == EPROTOTYPE || !err;
}

/* An abstract name is one of its type only, and cannot be asked so; but all of them are listed, with an @. */
static bool is_name_served(const char *name)
{
    char line[512], at[192];
    bool found = false;
    FILE *f = fopen("/proc/net/unix", "re");
    if (!f) return true;
    while (!found && fgets(line, sizeof line, f))
        found =
            sscanf(line, "%*s %*s %*s 00010000 %*s %*s %*s %191s", at) == 1 && at[0] == '@' && !strcmp(at + 1, name);
    fclose(f);
    return found;
}

bool eal_is_served(const char *path, bool abstract) { return abstract ? is_name_served(path) : is_file_served(path); }

/* Takes the device for this process, for as long as that lives: EAL gives nothing back before its end. */
static int own(const struct netdev_env *env, const char *device, bool virtual)
{
    struct eal_end e;
    char who[64];
    if (!virtual && eal_is_nvme(device))
        return plugin_refuse(env, EINVAL, "dpdk: %.40s is an NVMe controller, which libos/nvme drives", device);
    find_end(device, virtual, &e);
    int name = (int)strcspn(device, ",");
    if (!e.name[0]) return 0;
    if (dpdk_host->owner_take(e.name, who, sizeof who) == -EADDRINUSE)
        return plugin_refuse(env, EBUSY, "dpdk: %.*s%s%.80s is in use by %s", name, device, e.path[0] ? " at " : "",
                             e.path, who);
    if (!e.serves || !e.path[0] || !eal_is_served(e.path, false)) return 0;
    dpdk_host->owner_give(e.name);
    return plugin_refuse(env, EBUSY, "dpdk: %.*s: another process serves at %.100s", name, device, e.path);
}

/* --- arguments --- */

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

/* The i-th argument as a device to plug: "net_memif0,role=..." of --vdev, an address of -a. NULL: it is something
 * else. */
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
    unsigned long count = (unsigned long)c->queues * (unsigned long)(c->mbufs + c->tx_ring + PAIR_SPARE);
    unsigned long mib = (count * (MBUF_BYTES + room) + EXTRA_BYTES) >> 20;
    return RTE_MAX(mib, 64ul);
}

struct extra { /* arguments of our own, with room for their texts */
    char cpu[16], memory[16];
    char blocked[EAL_BLOCKS_MAX][EAL_BLOCK_SIZE];
};

static void fill_in(struct dpdk_config *c, struct extra *extra)
{
    static const char *const cpu[] = {"-l", "-c", "--lcores", NULL};
    static const char *const memory[] = {"--socket-mem", "--no-huge",   "--in-memory", "--huge-dir",
                                         "--legacy-mem", "--proc-type", NULL};
    static const char *const devices[] = {"-a", "--allow", "-b", "--block", "--no-pci", NULL};
    static const char *const vdev[] = {"--vdev", NULL}, *const named[] = {"-a", "--allow", "--no-pci", NULL};
    static const char *const iova[] = {"--iova-mode", NULL}, *const level[] = {"--log-level", NULL};
    static const char *const telemetry[] = {"--telemetry", "--no-telemetry", NULL};
    static char no_pci[] = "--no-pci", no_telemetry[] = "--no-telemetry", va[] = "--iova-mode=va",
                quiet[] = "--log-level=*:error";
    static char in_memory[] = "--in-memory", no_huge[] = "--no-huge", no_shconf[] = "--no-shconf", dash_l[] = "-l",
                dash_m[] = "-m";
    eal.is_quiet = !has(c, level);
    bool only_virtual = has(c, vdev) && !has(c, devices);
    bool has_cpu = has(c, cpu), has_memory = has(c, memory), has_iova = has(c, iova);
    static const char *const size[] = {"-m", "--socket-mem", NULL}, *const plain[] = {"--no-huge", NULL},
                             *const shconf[] = {"--no-shconf", "--in-memory", NULL};
    bool has_size = has(c, size), is_plain = has(c, plain), has_shconf = has(c, shconf),
         has_telemetry = has(c, telemetry);
    int n = c->argc;
    if (!has_cpu) {
        int at = sched_getcpu();
        snprintf(extra->cpu, sizeof extra->cpu, "%d", at < 0 ? 0 : at);
        c->argv[n++] = dash_l;
        c->argv[n++] = extra->cpu;
    }
    unsigned long mib = want_mib(c);
    if (!has_memory) {
        is_plain = huge_mib() < mib + 2;
        c->argv[n++] = is_plain ? no_huge : in_memory;
    }
    if (is_plain && !has_shconf) c->argv[n++] = no_shconf;
    if (!has_size && (is_plain || !has_memory)) {
        /* Small pages cost addresses until they are touched, and there is no second helping. */
        snprintf(extra->memory, sizeof extra->memory, "%lu", is_plain ? RTE_MAX(2 * mib, 256ul) : mib);
        c->argv[n++] = dash_m;
        c->argv[n++] = extra->memory;
    }
    if (only_virtual) c->argv[n++] = no_pci;
    else if (!has(c, named)) { /* EAL would look at all there are */
        unsigned blocked = eal_block_nvme(extra->blocked, EAL_BLOCKS_MAX);
        for (unsigned i = 0; i < blocked; i++) c->argv[n++] = extra->blocked[i];
    }
    if (only_virtual && !has_iova) c->argv[n++] = va;
    if (!has_telemetry) c->argv[n++] = no_telemetry;
    if (eal.is_quiet) c->argv[n++] = quiet;
    c->argc = n;
    c->argv[n] = NULL;
}

/* --- why it does not start --- */

static int explain(const struct netdev_env *env)
{
    const char *said = eal.complaint;
    if (strcasestr(said, "hugepage") || strcasestr(said, "huge page") || strcasestr(said, "hugetlbfs"))
        return plugin_refuse(env, ENOMEM,
                             "no huge pages for DPDK (%.90s): echo 512 > /proc/sys/vm/nr_hugepages, or leave memory "
                             "options out for --no-huge",
                             said);
    if (strcasestr(said, "permission") || strcasestr(said, "not permitted"))
        return plugin_refuse(env, EPERM, "DPDK lacks a right (%.140s): run as root or with --no-huge --no-shconf",
                             said);
    return plugin_refuse(env, eal.error, "DPDK's EAL does not start: %.180s", eal_reason(eal.error));
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
    for (int i = 1; i < given->argc; i++) {
        bool virtual;
        const char *device = device_of(given, &i, &virtual);
        int busy = device ? own(env, device, virtual) : 0;
        if (busy) return busy;
    }
    int complain = opterr;
    bool had = !pthread_getaffinity_np(pthread_self(), sizeof before, &before);
    eal_listen();
    opterr = 0; /* getopt's words would not go into the log */
    int got = rte_eal_init(c.argc, argv);
    int err = rte_errno;
    opterr = complain;
    eal_listen_end();
    if (had) pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    eal.up = got >= 0;
    eal.error = eal.up ? 0 : err ? err : EIO;
    return eal.up ? 0 : explain(env);
}

/* Which device the EAL has none of: its driver may not be installed. */
static int plug(const struct netdev_env *env, const char *device, bool virtual)
{
    char name[RTE_ETH_NAME_MAX_LEN];
    uint16_t port;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(device, ","), device);
    if (!rte_eth_dev_get_port_by_name(name, &port)) return 0;
    int err = own(env, device, virtual);
    if (err) return err;
    eal_listen();
    err = rte_eal_hotplug_add(virtual ? "vdev" : "pci", name,
                              device[strcspn(device, ",")] ? strchr(device, ',') + 1 : "");
    eal_listen_end();
    if (err && err != -EEXIST) return plugin_refuse(env, -err, "DPDK cannot add %.60s: %.120s", name, eal_reason(-err));
    return 0;
}

/* EAL takes an unknown driver for a mistake in its arguments, prints how it wants to be used, and cannot be started
 * again. */
static int check_drivers(const struct netdev_env *env, const struct dpdk_config *c)
{
    for (int i = 1; i < c->argc; i++) {
        bool virtual;
        char package[64];
        const char *device = device_of(c, &i, &virtual);
        if (!device || !virtual || strncmp(device, "net_", 4) || eal_has_driver(device, package, sizeof package))
            continue;
        return plugin_refuse(env, ENODEV, "DPDK's driver for %.*s is not installed: apt-get install %.60s",
                             (int)strcspn(device, ","), device, package);
    }
    return 0;
}

int eal_start(const struct netdev_env *env, const struct dpdk_config *c)
{
    int bad = check_drivers(env, c);
    if (bad) return bad;
    if (eal.error) return explain(env);
    if (!eal.up) return start(env, c);
    for (int i = 1; i < c->argc; i++) {
        bool virtual;
        const char *device = device_of(c, &i, &virtual);
        int err = device ? plug(env, device, virtual) : 0;
        if (err) return err;
    }
    return 0;
}

void eal_pipe_enter(struct quiet_pipe *q)
{
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    q->was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe, &q->before);
}

void eal_pipe_leave(const struct quiet_pipe *q)
{
    static const struct timespec at_once = {0, 0};
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    /* One that came meanwhile is not the program's. */
    if (!q->was_pending) sigtimedwait(&pipe, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &q->before, NULL);
}

bool eal_is_up(void) { return eal.up; }

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
