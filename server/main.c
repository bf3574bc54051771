/* SPDX-License-Identifier: MIT
 *
 * The server as a process: command line and configuration, daemon, pid file, limits, supervision. Its parts are put
 * together by server/start.h. Only this file exits.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/affinity.h"
#include "server/check_conf/check_conf.h"
#include "server/conf/conf.h"
#include "server/conf_apply.h"
#include "server/observe/log.h"
#include "server/observe/memtest.h"
#include "server/observe/proc_title.h"
#include "server/observe/supervisor.h"
#include "server/observe/syscheck.h"
#include "server/mem.h"
#include "server/persist/check_aof.h"
#include "server/persist/check_rdb.h"
#include "server/repl/upstream.h"
#include "server/restart.h"
#include "server/start.h"

#define SPARE_FDS 32 /* beside the clients: log, libOS, listeners */

static void print_version(void)
{
    printf("Redis server v=%s sha=00000000:0 malloc=demikv bits=%d build=demikv-%s\n", REDIS_VERSION,
           (int)(sizeof(long) * 8), DEMIKV_VERSION);
}

static void print_usage(void)
{
    fputs("Usage: demikv-server [/path/to/redis.conf] [options] [-]\n"
          "       demikv-server - (read config from stdin)\n"
          "       demikv-server -v or --version\n"
          "       demikv-server -h or --help\n"
          "       demikv-server --test-memory <megabytes>\n"
          "       demikv-server --check-system\n"
          "\n"
          "Every directive of redis.conf is an option: --name value.\n"
          "\n"
          "Examples:\n"
          "       demikv-server (run the server with default conf)\n"
          "       echo 'maxclients 128' | demikv-server -\n"
          "       demikv-server /etc/redis/6379.conf\n"
          "       demikv-server --port 7777\n"
          "       demikv-server --unixsocket /tmp/demikv.sock --libos posix\n"
          "       demikv-server /etc/myredis.conf --loglevel verbose -\n",
          stderr);
}

static int test_memory(int argc, char **argv)
{
    char *end = NULL;
    long megabytes = argc == 3 ? strtol(argv[2], &end, 10) : 0;
    if (argc == 3 && !*end && megabytes > 0 && megabytes <= MEMTEST_MEGABYTES_MAX)
        return memtest_run(stdout, (size_t)megabytes, MEMTEST_PASSES);
    fprintf(stderr,
            "Please specify the amount of memory to test in megabytes.\n"
            "Example: %s --test-memory 4096\n\n",
            argv[0]);
    return 1;
}

/* By --sentinel or by the program's name, as redis-server is. */
static bool is_asked_to_watch(int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    if (!strcmp(slash ? slash + 1 : argv[0], "redis-sentinel")) return true;
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--sentinel")) return true;
    return false;
}

static int refuse_to_watch(void)
{
    fputs("demikv-server is no Sentinel: run redis-sentinel, which watches demikv-servers as it does redis-servers.\n",
          stderr);
    return 1;
}

/* What is asked for in the place of a server; the exit status is redis-server's. */
static bool answer_and_exit(int argc, char **argv, int *code)
{
    const char *word = argc >= 2 ? argv[1] : "";
    *code = 0;
    if (!strcmp(word, "-v") || !strcmp(word, "--version")) print_version();
    else if (!strcmp(word, "--test-memory")) *code = test_memory(argc, argv);
    else if (!strcmp(word, "--check-system")) *code = syscheck_run(stdout, "") ? 0 : 1;
    else if (!strcmp(word, "-h") || !strcmp(word, "--help")) {
        print_usage();
        *code = 1;
    } else return false;
    return true;
}

/* A link's name makes a tool of the server, as with redis-server. */
static bool is_tool(const char *argv0, int (**run)(int argc, char **argv))
{
    const char *slash = strrchr(argv0, '/'), *name = slash ? slash + 1 : argv0;
    if (!strcmp(name, "demikv-check-rdb") || !strcmp(name, "redis-check-rdb")) *run = check_rdb_main;
    else if (!strcmp(name, "demikv-check-aof") || !strcmp(name, "redis-check-aof")) *run = check_aof_main;
    else if (!strcmp(name, "demikv-check-conf")) *run = check_conf_main;
    else return false;
    return true;
}

static void random_bytes(void *out, size_t n)
{
    char *p = out;
    while (n) {
        ssize_t k = getrandom(p, n, 0);
        if (k <= 0) continue;
        p += k;
        n -= (size_t)k;
    }
}

static void make_run_id(char out[41])
{
    unsigned char raw[20];
    random_bytes(raw, sizeof raw);
    for (int i = 0; i < 20; i++) snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

/* --- the process -------------------------------------------------------------------------------------------------- */

/* Before anything has threads or descriptors: the child goes on, the parent leaves. */
static void become_daemon(void)
{
    if (fork() != 0) exit(0);
    setsid();
    int fd = open("/dev/null", O_RDWR);
    if (fd < 0) return;
    dup2(fd, STDIN_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    if (fd > STDERR_FILENO) close(fd);
}

static void write_pidfile(struct server *srv)
{
    const char *path = srv->config->pidfile;
    if (!path || !*path) return;
    FILE *f = fopen(path, "we");
    if (!f) {
        server_log(srv, LOG_WARNING_LEVEL, "Failed to write PID file: %s", strerror(errno));
        return;
    }
    fprintf(f, "%d\n", (int)getpid());
    fclose(f);
}

/* maxclients is what the limit of descriptors allows. Nobody reads cfg yet. */
static void raise_fd_limit(struct server *srv, struct config *cfg)
{
    rlim_t want = (rlim_t)cfg->maxclients + SPARE_FDS;
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) != 0 || lim.rlim_cur >= want) return;
    rlim_t had = lim.rlim_cur;
    struct rlimit more = {want, lim.rlim_max < want ? want : lim.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) return;
    more = (struct rlimit){lim.rlim_max < want ? lim.rlim_max : want, lim.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &more) != 0) more.rlim_cur = had;
    if (more.rlim_cur >= want) return;
    int64_t fits = more.rlim_cur > SPARE_FDS ? (int64_t)more.rlim_cur - SPARE_FDS : 1;
    server_log(srv, LOG_WARNING_LEVEL,
               "You requested maxclients of %lld requiring at least %llu max file descriptors; the limit is %llu. "
               "maxclients has been "
               "reduced to %lld.",
               (long long)cfg->maxclients, (unsigned long long)want, (unsigned long long)more.rlim_cur,
               (long long)fits);
    cfg->maxclients = fits;
}

/* --- the server --------------------------------------------------------------------------------------------------- */

/* Where redis-server paints its logo: launchers read the PID in it. */
static bool shows_logo(const struct config *cfg)
{
    bool to_terminal = !cfg->syslog_enabled && !(cfg->logfile && *cfg->logfile) && isatty(STDOUT_FILENO);
    return cfg->log_format == LOG_FORMAT_LEGACY && (to_terminal || cfg->always_show_logo);
}

static void banner(struct server *srv, int argc)
{
    server_log(srv, LOG_NOTICE_LEVEL, "oO0OoO0OoO0Oo demikv is starting oO0OoO0OoO0Oo");
    server_log(srv, LOG_NOTICE_LEVEL, "demikv version=%s, redis_version=%s, bits=%d, pid=%d, just started",
               DEMIKV_VERSION, REDIS_VERSION, (int)(sizeof(long) * 8), (int)getpid());
    if (argc == 1)
        server_log(srv, LOG_WARNING_LEVEL,
                   "Warning: no config file specified, using the default config. In order to specify a config file use "
                   "%s /path/to/redis.conf",
                   srv->exec_argv0);
    else server_log(srv, LOG_NOTICE_LEVEL, "Configuration loaded");
}

/* Behind the opening of the ports: launchers of redis-server 7.0 connect as soon as they see the pid. */
static void say_mode(struct server *srv)
{
    long long port = (long long)srv->config->port;
    if (shows_logo(srv->config)) {
        char mode[256];
        snprintf(mode, sizeof mode, "demikv %s (%d bit)\nRunning in standalone mode\nPort: %lld\n PID: %d\n\n",
                 DEMIKV_VERSION, (int)(sizeof(long) * 8), port, (int)getpid());
        server_log_raw(srv, mode);
    } else {
        server_log(srv, LOG_NOTICE_LEVEL, "Running mode=standalone, port=%lld.", port);
    }
}

static int start(struct server *srv)
{
    struct server_options o = {.in_a_process = true};
    uint8_t secret[16];
    random_bytes(secret, sizeof secret);
    hash_key_set(secret);
    random_bytes(&o.hash_seed, sizeof o.hash_seed);
    random_bytes(&o.dice_seed, sizeof o.dice_seed);
    return server_start(srv, &o);
}

static void stop(struct server *srv)
{
    const char *pidfile = srv->config->pidfile;
    upstream_fini(&srv->workers[0]);
    persist_fini(&srv->workers[0]);
    if (pidfile && *pidfile) {
        if (srv->exit_code == 0) server_log(srv, LOG_NOTICE_LEVEL, "Removing the pid file.");
        unlink(pidfile);
    }
    listen_close(srv);
    if (srv->exit_code == 0) /* otherwise the last line is the reason */
        server_log(srv, LOG_WARNING_LEVEL, "demikv is now ready to exit, bye bye...");
    supervisor_tell(srv, "STOPPING=1\n");
    server_stop(srv);
}

static bool has_data(const struct server *srv)
{
    for (int i = 0; i < srv->db_count; i++)
        if (db_size(&srv->dbs[i])) return true;
    return false;
}

/* The data are there. */
static void ready(struct server *srv)
{
    const struct config *cfg = srv->config;
    srv->began_void = !has_data(srv);
    if (cfg->port) server_log(srv, LOG_NOTICE_LEVEL, "Ready to accept connections tcp");
    if (cfg->tls_port) server_log(srv, LOG_NOTICE_LEVEL, "Ready to accept connections tls");
    if (cfg->rdma_port) server_log(srv, LOG_NOTICE_LEVEL, "Ready to accept connections rdma");
    if (cfg->unixsocket && *cfg->unixsocket)
        server_log(srv, LOG_NOTICE_LEVEL, "Ready to accept connections unix (%s)", cfg->unixsocket);
    if (cfg->shm_path && *cfg->shm_path)
        server_log(srv, LOG_NOTICE_LEVEL, "Ready to accept connections shm (%s)", cfg->shm_path);
    supervisor_ready(srv);
}

int main(int argc, char **argv)
{
    int code, (*tool)(int argc, char **argv);
    if (argc && is_tool(argv[0], &tool)) return tool(argc, argv);
    if (argc && is_asked_to_watch(argc, argv)) return refuse_to_watch();
    if (answer_and_exit(argc, argv, &code)) return code;
    static struct config config;
    static struct server server;
    struct server *srv = &server;
    restart_remember(srv, argc, argv);
    proc_title_take(argc, argv);
    conf_init(&config);
    server_init(srv, &config);
    command_table_init();
    struct conf_failure failure;
    if (conf_load(&config, argc, argv, conf_apply_rename, &failure) != 0) {
        printf("demikv %s could not start, PID: %d\n", DEMIKV_VERSION, (int)getpid()); /* launchers look for the pid */
        fflush(stdout);
        conf_failure_print(&failure, stderr);
        return 1;
    }
    if (config.file) snprintf(srv->config_file, sizeof srv->config_file, "%s", config.file);
    if (!realpath("/proc/self/exe", srv->executable)) snprintf(srv->executable, sizeof srv->executable, "%s", argv[0]);
    supervisor_find(srv, &config);
    if (config.daemonize && !srv->supervised) become_daemon();
    srv->pid = (int)getpid();
    server_log_open(srv);
    make_run_id(srv->run_id);
    banner(srv, argc);
    if (config.supervised == SUPERVISED_UPSTART && !srv->supervised)
        server_log(srv, LOG_WARNING_LEVEL, "upstart supervision requested, but UPSTART_JOB not found!");
    raise_fd_limit(srv, &config);
    if (conf_apply_locale(&config) != 0) {
        server_log(srv, LOG_WARNING_LEVEL, "Failed to configure LOCALE for invalid locale name.");
        return 1;
    }
    affinity_begin(srv);
    if (start(srv) != 0) return 1;
    say_mode(srv);
    proc_title_show(srv, &config);
    write_pidfile(srv); /* not before: the file may be that of the server that has our port */
    server_log(srv, LOG_NOTICE_LEVEL, "Server initialized");
    affinity_pin_loop(srv);
    persist_load_begin(&srv->workers[0], ready);
    int err = worker_run(&srv->workers[0]);
    if (err) server_log(srv, LOG_WARNING_LEVEL, "The loop ended: %s", strerror(-err));
    code = err ? 1 : srv->exit_code;
    stop(srv);
    conf_fini(&config);
    if (srv->restarts && code == 0) {
        restart_execute(srv, srv->restart_delay_ms);
        code = 1; /* it could not be */
    }
    return code;
}
