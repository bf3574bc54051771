/* SPDX-License-Identifier: MIT
 *
 * The handlers only note the signal and ring the loop's wake-up (both allowed in a handler); the loop stops at the end
 * of its turn, with replies pushed and sockets closed. A second SIGINT ends the process at once, as redis-server does.
 */
#include "server/shutdown.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "server/observe/log.h"
#include "server/server.h"
#include "server/worker.h"

static struct server *signalled; /* a handler gets no argument */

static void on_signal(int sig)
{
    struct server *srv = signalled;
    if (sig == SIGINT && srv->signal == SIGINT) _exit(1);
    srv->signal = sig;
    demi_wake_ring(srv->workers[0].wake);
}

void shutdown_handle_signals(struct server *srv)
{
    signalled = srv;
    struct sigaction sa;
    memset(&sa, 0, sizeof sa);
    sigemptyset(&sa.sa_mask);
    sa.sa_handler = on_signal;
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    sa.sa_handler = SIG_IGN;
    sigaction(SIGHUP, &sa, NULL);
    sigaction(SIGPIPE, &sa, NULL);
}

void shutdown_begin(struct worker *w, const char *why)
{
    struct server *srv = w->srv;
    server_log(srv, LOG_NOTICE_LEVEL, "%s", why);
    srv->stopping = true;
}

void shutdown_by_signal(struct worker *w)
{
    int sig = w->srv->signal;
    server_log(w->srv, LOG_WARNING_LEVEL, "Received %s scheduling shutdown...", sig == SIGINT ? "SIGINT" : "SIGTERM");
    shutdown_begin(w, "User requested shutdown...");
}
