/* SPDX-License-Identifier: MIT
 *
 * DEBUG RESTART and CRASH-AND-RECOVER: the process executes its program again.
 */
#include <string.h>
#include <unistd.h>

#include "server/cmd/debug_parts.h"
#include "server/conf/conf.h"
#include "server/observe/log.h"
#include "server/restart.h"
#include "server/server.h"
#include "server/shutdown.h"
#include "server/worker.h"

static bool read_delay(struct call *c, int64_t *delay_ms)
{
    *delay_ms = 0;
    if (c->argc > 2 && !call_int(c, c->argv[2], delay_ms)) return false;
    if (*delay_ms < 0) *delay_ms = 0;
    if (*delay_ms > RESTART_DELAY_MS_MAX) *delay_ms = RESTART_DELAY_MS_MAX;
    return true;
}

/* In the simulator there is no program. */
static bool may_execute(struct call *c)
{
    if (c->srv->in_a_process && access(c->srv->executable, X_OK) == 0) return true;
    server_log(c->srv, LOG_WARNING_LEVEL, "Can't restart: this process has no permissions to execute %s",
               c->srv->executable);
    return false;
}

static bool rewrite_config(struct call *c)
{
    struct conf_text users = {0};
    if (!c->srv->config_file[0]) return true;
    if (!c->cfg->aclfile || !*c->cfg->aclfile) acl_describe(&c->srv->acl, &users);
    int err = conf_rewrite(c->cfg, conf_text_bytes(&users), false);
    conf_text_free(&users);
    if (err < 0)
        server_log(c->srv, LOG_WARNING_LEVEL, "Can't restart: configuration rewrite process failed: %s",
                   strerror(-err));
    return err >= 0;
}

void debug_restart(struct call *c)
{
    int64_t delay_ms;
    if (!read_delay(c, &delay_ms)) return;
    if (!may_execute(c) || !rewrite_config(c) || shutdown_begin(c->w, SHUTDOWN_ON_SIG_NOW) != SHUTDOWN_GOES) {
        call_error(c, "ERR failed to restart the server. Check server logs.");
        return;
    }
    c->srv->restarts = true;
    c->srv->restart_delay_ms = delay_ms;
    if (c->client) client_close_soon(c->client);
}

void debug_crash_and_recover(struct call *c)
{
    int64_t delay_ms;
    if (!read_delay(c, &delay_ms)) return;
    if (may_execute(c)) restart_execute(c->srv, delay_ms);
    call_error(c, "ERR failed to restart the server. Check server logs.");
}
