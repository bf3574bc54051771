/* SPDX-License-Identifier: MIT
 *
 *   a signal, an assertion, ... -> begin: one thread reports, others stop
 *     -> header -> part after part -> end: the default action of the first signal
 *
 * The report is made by the thread that crashed, on a stack of its own where there is one, so that a stack that is used
 * up can be told of, too. Each part runs behind sigsetjmp(): if it crashes or takes longer than PART_SECONDS (the lock
 * it waits for may be held by the code that crashed) it ends there, its place in the report says so, and the next part
 * begins. What is safest and says most comes first; REPORT_SECONDS bounds the whole. A signal outside of a part ends
 * the process at once.
 *
 * SIGALRM is the clock, and before a crash the watchdog's (watchdog.c). It may arrive on any thread and is handed on to
 * the one that reports. FREEZE_SIGNAL stops the others for the test of the memory.
 *
 * Programs built with a sanitizer keep its handlers, which know more of their memory.
 */
#include "server/observe/crash.h"

#include <dirent.h>
#include <execinfo.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/sanitize.h"
#include "server/mem.h"
#include "server/observe/crash_parts.h"
#include "server/observe/log.h"
#include "server/observe/watchdog.h"
#include "server/server.h"

#define PART_SECONDS     2
#define REPORT_SECONDS   8
#define MEMCHECK_SECONDS 3
#define STACK_BYTES      262144
#define GUARD_BYTES      65536  /* at least a page of any size */
#define INFO_BYTES       131072 /* INFO all of a server that has seen every command */
#define FREEZE_SIGNAL    (SIGRTMIN + 8)

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#define FATAL_COUNT (sizeof fatal / sizeof *fatal)

/* A handler of a signal gets no argument. */
static struct {
    struct server *srv;
    _Atomic pid_t reporter; /* its thread; 0: nobody crashed yet */
    volatile sig_atomic_t in_part;
    sigjmp_buf part_end;
    uint64_t until_ns;
    int signal; /* the first; 0: it ends by abort() */
    struct report out;
    struct crash_parts parts;
} crash;

static pid_t this_thread(void) { return (pid_t)syscall(SYS_gettid); }

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void take_default(int sig)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    sigset_t only;
    sigaction(sig, &sa, NULL);
    sigemptyset(&only);
    sigaddset(&only, sig);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
}

_Noreturn static void end(void)
{
    const struct config *cfg = crash.srv->config;
    int sig = crash.signal ? crash.signal : SIGABRT;
    alarm(0);
    report_close(&crash.out);
    if (cfg->daemonize && !crash.srv->supervised && cfg->pidfile && *cfg->pidfile) unlink(cfg->pidfile);
    if (!crash.signal && cfg->use_exit_on_panic) _exit(1);
    take_default(sig);
    syscall(SYS_tgkill, getpid(), this_thread(), sig);
    _exit(128 + sig); /* not reached: its default action ends us */
}

/* --- parts -------------------------------------------------------------------------------------------------------- */

/* The reporter itself was hit: its part ends, or if there is none the process. */
static void hit_while_reporting(int sig)
{
    if (!crash.in_part) end();
    crash.in_part = 0;
    siglongjmp(crash.part_end, sig);
}

static void on_alarm(int sig, siginfo_t *info, void *context)
{
    (void)info;
    pid_t reporter = atomic_load(&crash.reporter);
    if (!reporter) watchdog_alarm(context);
    else if (reporter == this_thread()) hit_while_reporting(sig);
    else syscall(SYS_tgkill, getpid(), reporter, sig);
}

static void run_part(crash_part *part, unsigned seconds)
{
    if (clock_mono_ns() > crash.until_ns) return;
    int sig = sigsetjmp(crash.part_end, 0);
    if (!sig) {
        crash.in_part = 1;
        alarm(seconds);
        part(&crash.parts);
    }
    crash.in_part = 0;
    alarm(0);
    if (sig == SIGALRM) report_text(&crash.out, "\n(this part of the report took too long and was ended)\n");
    else if (sig) report_text(&crash.out, "\n(this part of the report was ended by signal %d)\n", sig);
    report_flush(&crash.out);
}

static void on_freeze(int sig)
{
    for (;;) pause();
}

/* Threads that block every signal go on; they work on buffers of their own. */
static void freeze_others(void)
{
    char text[2048];
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    for (long n; (n = syscall(SYS_getdents64, fd, text, sizeof text)) > 0;) {
        for (long at = 0; at < n;) {
            const struct dirent64 *d = (const struct dirent64 *)(text + at);
            pid_t tid = (pid_t)strtol(d->d_name, NULL, 10);
            if (tid > 0 && tid != this_thread()) syscall(SYS_tgkill, getpid(), tid, FREEZE_SIGNAL);
            at += d->d_reclen;
        }
    }
    close(fd);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

static void run_parts(void)
{
    run_part(crash_stack, PART_SECONDS);
    run_part(crash_registers, PART_SECONDS);
    run_part(crash_command, PART_SECONDS);
    run_part(crash_info_collect, PART_SECONDS);
    run_part(crash_info, PART_SECONDS);
    run_part(crash_clients, PART_SECONDS);
    run_part(crash_config, PART_SECONDS);
    if (SANITIZED || !crash.srv->config->crash_memcheck_enabled) return; /* its shadow is no memory to test */
    freeze_others();
    crash.parts.memcheck_until = clock_mono_ns() + MEMCHECK_SECONDS * NSEC_PER_SEC;
    run_part(crash_memory, 2 * MEMCHECK_SECONDS);
}

/* --- the beginning ------------------------------------------------------------------------------------------------ */

/* One thread reports. Returns for it, the first time. */
static void report_begin(int sig)
{
    pid_t me = this_thread(), nobody = 0;
    if (!atomic_compare_exchange_strong(&crash.reporter, &nobody, me)) {
        if (nobody == me) hit_while_reporting(sig);
        for (;;) pause();
    }
    crash.until_ns = clock_mono_ns() + REPORT_SECONDS * NSEC_PER_SEC;
    report_open(&crash.out, crash.srv->config->logfile);
    report_as(&crash.out, crash.srv->config->log_format, crash.srv->config->log_timestamp_format, crash.srv->upstream);
    report_text(&crash.out, "\n\n=== REDIS BUG REPORT START: Cut & paste starting from here ===\n");
}

_Noreturn static void finish(bool in_full)
{
    if (in_full) run_parts();
    report_text(&crash.out,
                "\n=== REDIS BUG REPORT END. Make sure to include from START to END. ===\n\n"
                "       This is demikv %s, not redis-server: please report the crash to its authors.\n\n"
                "  Suspect RAM error? Use demikv-server --test-memory to verify it.\n\n"
                "  Some other issues could be detected by demikv-server --check-system\n",
                DEMIKV_VERSION);
    end();
}

static void on_fatal(int sig, siginfo_t *info, void *context)
{
    report_begin(sig);
    crash.signal = sig;
    crash.parts.context = context;
    report_line(&crash.out, "Redis %s crashed by signal: %d, si_code: %d", REDIS_VERSION, sig, info->si_code);
    if (sig == SIGSEGV || sig == SIGBUS) report_line(&crash.out, "Accessing address: %p", info->si_addr);
    if (info->si_code == SI_USER)
        report_line(&crash.out, "Killed by PID: %ld, UID: %ld", (long)info->si_pid, (long)info->si_uid);
    if (context)
        report_line(&crash.out, "Crashed running the instruction at: %p", (void *)crash_instruction(&crash.parts));
    finish(true);
}

/* The memory is out, or we found ourselves wrong: told even when crash-log-enabled is no, as redis-server does. */
static void on_assertion(const char *cond, const char *file, int line, const char *func)
{
    report_begin(SIGABRT);
    report_line(&crash.out, "=== ASSERTION FAILED ===");
    report_line(&crash.out, "==> %s:%d '%s' is not true (%s)", file, line, cond, func);
    finish(crash.srv->config->crash_log_enabled);
}

_Noreturn static void panic(const char *file, int line, const char *text)
{
    report_begin(SIGABRT);
    report_line(&crash.out, "------------------------------------------------");
    report_line(&crash.out, "!!! Software Failure. Press left mouse button to continue");
    report_line(&crash.out, "Guru Meditation: %s #%s:%d", text, file, line);
    finish(crash.srv->config->crash_log_enabled);
}

void crash_panic(const char *file, int line, const char *format, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (crash.srv) panic(file, line, text);
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
    abort();
}

static void on_exhausted(size_t size)
{
    crash_panic(__FILE__, __LINE__, "Redis aborting for OUT OF MEMORY. Allocating %zu bytes!", size);
}

/* --- set-up ------------------------------------------------------------------------------------------------------- */

/* Below it lies a page that is none, so that it cannot run over into anything. */
static void use_own_stack(void)
{
    char *p = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return;
    mprotect(p, GUARD_BYTES, PROT_NONE);
    stack_t own = {.ss_sp = p + GUARD_BYTES, .ss_size = STACK_BYTES};
    sigaltstack(&own, NULL);
}

void crash_apply(struct server *srv, const struct config *cfg)
{
    struct sigaction sa;
    if (SANITIZED) return;
    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask); /* a second one must get through, or the kernel ends us without a word */
    sa.sa_flags = SA_NODEFER | SA_ONSTACK | SA_SIGINFO;
    sa.sa_sigaction = on_fatal;
    if (!cfg->crash_log_enabled) {
        sa.sa_flags = 0;
        sa.sa_handler = SIG_DFL;
    }
    for (size_t i = 0; i < FATAL_COUNT; i++) sigaction(fatal[i], &sa, NULL);
}

void crash_init(struct server *srv)
{
    void *frame;
    struct sigaction sa;
    crash.srv = srv;
    watchdog_init(srv);
    report_prepare(&crash.out);
    crash.parts = (struct crash_parts){.out = &crash.out, .srv = srv};
    reply_init(&crash.parts.info, 2);
    reply_reserve(&crash.parts.info, INFO_BYTES);
    backtrace(&frame, 1); /* loads what it needs, which it could not do later */
    use_own_stack();
    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask);
    sa.sa_flags = SA_NODEFER | SA_ONSTACK | SA_SIGINFO | SA_RESTART;
    sa.sa_sigaction = on_alarm;
    sigaction(SIGALRM, &sa, NULL);
    sa.sa_flags = SA_NODEFER | SA_ONSTACK;
    sa.sa_handler = on_freeze;
    sigaction(FREEZE_SIGNAL, &sa, NULL);
    crash_apply(srv, srv->config);
    assert_on_failure(on_assertion);
    mem_on_exhausted(on_exhausted);
}

void crash_fini(void)
{
    if (!crash.srv) return;
    watchdog_fini();
    assert_on_failure(NULL);
    mem_on_exhausted(NULL);
    for (size_t i = 0; !SANITIZED && i < FATAL_COUNT; i++) signal(fatal[i], SIG_DFL);
    reply_fini(&crash.parts.info);
    crash.srv = NULL;
}
