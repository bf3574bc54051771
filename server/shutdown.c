/* SPDX-License-Identifier: MIT
 *
 * The handlers only note the signal and ring the loop's wake-up (both allowed in a handler); the loop stops at the end
 * of its turn, with replies pushed and sockets closed. SIGINT behind another signal ends the process at once, whether
 * replicas are waited for or data saved, as with redis-server.
 *
 * Replicas are waited for first, with writes held: shutdown-timeout says how long. What is to be saved is saved then,
 * with nobody served; if that fails the server stays, unless it is forced to go.
 */
#include "server/shutdown.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "server/exec/blocked.h"
#include "server/observe/log.h"
#include "server/persist/save.h"
#include "server/repl/replica.h"
#include "server/repl/replicas.h"
#include "server/server.h"
#include "server/worker.h"

static struct server *signalled; /* a handler gets no argument */

static void on_signal(int sig)
{
    struct server *srv = signalled;
    if (sig == SIGINT && (srv->signal || srv->leaving.by)) {
        save_remove_temporary();
        _exit(1);
    }
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

/* What is half loaded is no more than half of what the file has. */
static bool has_to_save(const struct worker *w, unsigned flags)
{
    if (w->srv->persist.loading || (flags & SHUTDOWN_ON_SIG_NOSAVE)) return false;
    return (flags & SHUTDOWN_ON_SIG_SAVE) || w->conf.cfg->save_count;
}

/* False: it cannot be saved, and the server stays. */
static bool save(struct worker *w, unsigned flags)
{
    struct server *srv = w->srv;
    server_log(srv, LOG_NOTICE_LEVEL, "Saving the final RDB snapshot before exiting.");
    if (persist_save(w) == 0) return true;
    bool forced = flags & SHUTDOWN_ON_SIG_FORCE;
    server_log(srv, LOG_WARNING_LEVEL, "Error trying to save the DB, %s.", forced ? "Exit anyway" : "can't exit");
    return forced;
}

/* What was acknowledged is in the log, or (false) the server stays. */
static bool log_is_safe(struct worker *w, unsigned flags)
{
    struct server *srv = w->srv;
    bool begins = srv->aof.state == AOF_WAIT_REWRITE;
    /* A script that does not end keeps the log from beginning, and this is the only way out. */
    bool forced = (flags & SHUTDOWN_ON_SIG_FORCE) || (begins && (srv->unusual & SERVER_BUSY));
    if (begins) {
        server_log(srv, LOG_WARNING_LEVEL,
                   forced ? "Writing initial AOF. Exit anyway." : "Writing initial AOF, can't exit.");
    } else if (!aof_settle(w)) {
        server_log(srv, LOG_WARNING_LEVEL, "The AOF cannot be written: %s. %s", strerror(-srv->aof.error),
                   forced ? "Exit anyway." : "Can't exit.");
    } else {
        return true;
    }
    if (forced) return true;
    server_log(srv, LOG_WARNING_LEVEL, "Errors trying to shut down the server. Check the logs for more information.");
    return false;
}

/* Who of them has everything, for whoever asks later what the data of a replica are worth. */
static void log_replicas(struct worker *w)
{
    size_t count = replicas_count(w), lagging = 0;
    uint64_t at = history_offset(&w->srv->history);
    for (size_t i = 0; i < count; i++) {
        const struct client *cl = replicas_at(w, i);
        uint64_t has = (uint64_t)cl->replica->ack_offset;
        if (has >= at) continue;
        lagging++;
        server_log(w->srv, LOG_NOTICE_LEVEL,
                   "Lagging replica %s reported offset %llu behind master, lag=%lld, state=%s.", cl->peer,
                   (unsigned long long)(at - has), (long long)replica_lag_s(cl->replica, w->now_ms),
                   replica_state_word(cl->replica));
    }
    if (count)
        server_log(w->srv, LOG_NOTICE_LEVEL, "%zu of %zu replicas are in sync when shutting down.", count - lagging,
                   count);
}

static bool go_down(struct worker *w, unsigned flags)
{
    struct server *srv = w->srv;
    log_replicas(w);
    persist_save_cancel(w);
    if (!log_is_safe(w, flags)) return false;
    if (has_to_save(w, flags) && !save(w, flags)) {
        server_log(srv, LOG_WARNING_LEVEL,
                   "Errors trying to shut down the server. Check the logs for more information.");
        return false;
    }
    srv->stopping = true;
    return true;
}

/* Nobody wants it to stop any more: who waited for that is told, and writes go on. */
static void stay(struct worker *w)
{
    w->srv->leaving.until_ms = 0;
    w->srv->signal = 0;
    w->srv->leaving.by = 0;
    worker_go_on(w, STANDSTILL_SHUTDOWN);
    blocked_log_moved(w);
}

enum shutdown_result shutdown_begin(struct worker *w, unsigned flags)
{
    struct server *srv = w->srv;
    int64_t timeout_ms = w->conf.cfg->shutdown_timeout * 1000;
    bool waits = !(flags & SHUTDOWN_ON_SIG_NOW) && timeout_ms && !srv->persist.loading && !replicas_have_everything(w);
    if (srv->leaving.until_ms && waits) return SHUTDOWN_WAITS;
    server_log(srv, LOG_NOTICE_LEVEL, "User requested shutdown...");
    if (!waits) {
        if (go_down(w, flags)) return SHUTDOWN_GOES;
        stay(w);
        return SHUTDOWN_FAILS;
    }
    server_log(srv, LOG_NOTICE_LEVEL, "Waiting for replicas before shutting down.");
    srv->leaving.until_ms = w->now_ms + timeout_ms;
    srv->leaving.flags = flags;
    worker_stand_still(w, STANDSTILL_SHUTDOWN);
    return SHUTDOWN_WAITS;
}

bool shutdown_is_awaited(const struct server *srv) { return srv->leaving.until_ms != 0; }
int64_t shutdown_left_ms(const struct worker *w) { return w->srv->leaving.until_ms - w->now_ms; }

void shutdown_look(struct worker *w)
{
    struct server *srv = w->srv;
    if (!srv->leaving.until_ms) return;
    bool late = w->now_ms >= srv->leaving.until_ms;
    if (!late && !replicas_have_everything(w)) return;
    if (!go_down(w, srv->leaving.flags)) stay(w);
}

bool shutdown_abort(struct worker *w)
{
    struct server *srv = w->srv;
    if ((!srv->signal && !srv->leaving.until_ms) || srv->stopping) return false;
    server_log(srv, LOG_NOTICE_LEVEL, "Shutdown manually aborted.");
    stay(w);
    return true;
}

void shutdown_by_signal(struct worker *w)
{
    struct server *srv = w->srv;
    const struct config *cfg = w->conf.cfg;
    bool interrupt = srv->signal == SIGINT;
    server_log(srv, LOG_WARNING_LEVEL, "Received %s scheduling shutdown...", interrupt ? "SIGINT" : "SIGTERM");
    srv->leaving.by = srv->signal;
    srv->signal = 0;
    shutdown_begin(w, (unsigned)(interrupt ? cfg->shutdown_on_sigint : cfg->shutdown_on_sigterm));
}
