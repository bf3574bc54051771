/* SPDX-License-Identifier: MIT
 *
 *   cron -> feed: a timer of one shot, a period from now -> SIGALRM if no cron comes before -> the stack, in the log
 *
 * The signal may arrive on any thread and is handed on to the loop's, whose stack is asked for. Its handler takes no
 * memory and no lock of ours: the report has a buffer of its own, and names of functions come from the program's file.
 * crash.c owns the signal, because a crash has the same clock.
 */
#include "server/observe/watchdog.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/observe/crash_parts.h"
#include "server/server.h"

#define RUNS_MIN                                                                                                       \
    2 /* a shorter period than so many of cron would find every turn late: it is taken as that, as in Redis */

/* A handler of a signal gets no argument. */
static struct {
    struct server *srv;
    pid_t loop;
    _Atomic bool armed; /* a timer runs; the handler takes it, once */
    struct report out;
} watchdog;

static void set_timer(int64_t ms)
{
    struct itimerval t = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    setitimer(ITIMER_REAL, &t, NULL);
}

void watchdog_init(struct server *srv)
{
    watchdog.srv = srv;
    watchdog.loop = (pid_t)syscall(SYS_gettid);
    watchdog.armed = false;
    report_prepare(&watchdog.out);
}

void watchdog_fini(void)
{
    if (atomic_exchange(&watchdog.armed, false)) set_timer(0);
    watchdog.srv = NULL;
}

void watchdog_feed(const struct config *cfg)
{
    int64_t least = RUNS_MIN * 1000 / cfg->hz;
    atomic_store(&watchdog.armed, true);
    set_timer(cfg->watchdog_period > least ? cfg->watchdog_period : least);
}

void watchdog_apply(const struct config *cfg)
{
    if (cfg->watchdog_period) watchdog_feed(cfg);
    else if (atomic_exchange(&watchdog.armed, false)) set_timer(0);
}

void watchdog_alarm(void *context)
{
    int before = errno;
    if (!atomic_load(&watchdog.armed)) return;
    if ((pid_t)syscall(SYS_gettid) != watchdog.loop) {
        syscall(SYS_tgkill, getpid(), watchdog.loop, SIGALRM);
    } else if (atomic_exchange(&watchdog.armed, false)) {
        struct crash_parts parts;
        memset(&parts, 0, sizeof parts);
        parts.out = &watchdog.out;
        parts.srv = watchdog.srv;
        parts.context = context;
        report_open(&watchdog.out, watchdog.srv->config->logfile);
        report_as(&watchdog.out, watchdog.srv->config->log_format, watchdog.srv->config->log_timestamp_format,
                  watchdog.srv->upstream);
        report_line(&watchdog.out, "\n--- WATCHDOG TIMER EXPIRED ---");
        crash_stack(&parts);
        report_line(&watchdog.out, "--------\n");
        report_close(&watchdog.out);
    }
    errno = before;
}
