/* SPDX-License-Identifier: MIT
 *
 * The protocol is that of sd_notify(3): one datagram of lines "NAME=value" to the socket in $NOTIFY_SOCKET, a path or,
 * behind '@', an abstract name. Written here: libsystemd would bring four libraries along for it.
 *
 * With WatchdogSec= in the unit there is $WATCHDOG_USEC, and $WATCHDOG_PID says whom it means
 * (sd_watchdog_enabled(3)): a sign of life is sent three times in that time, from the loop's cron and from the turns
 * that it has inside of a script that runs for long, so that a loop that hangs sends none. A save or a load in the
 * foreground (SAVE, the one at the end, DEBUG RELOAD) is no hang and takes as long as the data are many: before it
 * systemd is told of a day instead (WATCHDOG_USEC=), behind it of the old time.
 */
#include "server/observe/supervisor.h"

#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/observe/log.h"
#include "server/server.h"

#define SIGNS_A_PERIOD 3 /* sd_watchdog_enabled(3) wants two or more */
#define HELD_US        (UINT64_C(86400) * 1000000)

static uint64_t watchdog_us(void)
{
    const char *period = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    if (!period || (pid && strtoll(pid, NULL, 10) != (long long)getpid())) return 0;
    char *end;
    unsigned long long us = strtoull(period, &end, 10);
    return *end || end == period || us > HELD_US ? 0 : us;
}

void supervisor_find(struct server *srv, const struct config *cfg)
{
    bool any = cfg->supervised == SUPERVISED_AUTO;
    srv->stops_when_ready = (any || cfg->supervised == SUPERVISED_UPSTART) && getenv("UPSTART_JOB");
    srv->supervised =
        srv->stops_when_ready || cfg->supervised == SUPERVISED_SYSTEMD || (any && getenv("NOTIFY_SOCKET"));
    if (srv->supervised && getenv("NOTIFY_SOCKET")) srv->watchdog.period_us = watchdog_us();
}

void supervisor_tell(const struct server *srv, const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    if (!srv->supervised || !path || (path[0] != '/' && path[0] != '@')) return;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n >= sizeof un.sun_path) return;
    memcpy(un.sun_path, path, n);
    if (path[0] == '@') un.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&un,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

/* upstart ("expect stop") takes a process that stops itself for one that is ready, and wakes it. */
static void stop_for_upstart(struct server *srv)
{
    if (!srv->stops_when_ready) return;
    server_log(srv, LOG_NOTICE_LEVEL, "supervised by upstart, will stop to signal readiness.");
    raise(SIGSTOP);
}

void supervisor_ready(struct server *srv)
{
    supervisor_tell(srv, "STATUS=Ready to accept connections\nREADY=1\n");
    stop_for_upstart(srv);
}

void supervisor_feed(struct server *srv)
{
    if (!srv->watchdog.period_us) return;
    uint64_t now_us = demi_clock_ns() / 1000;
    if (now_us < srv->watchdog.next_us) return;
    srv->watchdog.next_us = now_us + srv->watchdog.period_us / SIGNS_A_PERIOD;
    supervisor_tell(srv, "WATCHDOG=1\n");
}

static void tell_period(struct server *srv, uint64_t us)
{
    char state[64];
    if (!srv->watchdog.period_us) return;
    snprintf(state, sizeof state, "WATCHDOG_USEC=%llu\nWATCHDOG=1\n", (unsigned long long)us);
    supervisor_tell(srv, state);
}

void supervisor_hold(struct server *srv) { tell_period(srv, HELD_US); }
void supervisor_release(struct server *srv) { tell_period(srv, srv->watchdog.period_us); }
