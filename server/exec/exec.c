/* SPDX-License-Identifier: MIT
 *
 * One command: the checks in the order in which Redis makes them (an order clients can see, in which error they get),
 * then the call itself with its statistics, its effects and the clients it wakes.
 *
 * A refused command inside MULTI dooms the transaction. Statistics are by command: calls, time, refused before the
 * call, failed during it.
 */
#include "server/exec/exec.h"

#include <stdio.h>
#include <string.h>

#include "server/command/handlers.h"
#include "server/evict.h"
#include "server/exec/check_waist.h"
#include "server/exec/multi.h"
#include "server/net/monitor.h"
#include "server/observe/latency.h"
#include "server/observe/log.h"
#include "server/observe/slowlog.h"
#include "server/observe/ticks.h"
#include "server/server.h"
#include "server/worker.h"

#define SLOW_US_MAX (INT64_C(1) << 40) /* 12 days: more is no other threshold, and its ticks would not fit */

/* Printable prefix of an argument for error texts: at most max bytes. */
static int shown(struct bytes arg, size_t max) { return (int)(arg.n < max ? arg.n : max); }

static void describe_unknown(const struct bytes *argv, int argc, char *err, size_t size)
{
    char args[160];
    size_t used = 0;
    for (int i = 1; i < argc && used < 128; i++) {
        int n = snprintf(args + used, sizeof args - used, "'%.*s' ", shown(argv[i], 128 - used), argv[i].p);
        if (n < 0) break;
        used += (size_t)n;
        if (used >= sizeof args) used = sizeof args - 1;
    }
    args[used] = 0;
    snprintf(err, size, "ERR unknown command '%.*s', with args beginning with: %s", shown(argv[0], 128), argv[0].p,
             args);
}

static bool arity_fits(const struct command *cmd, int argc)
{
    return cmd->arity >= 0 ? argc == cmd->arity : argc >= -cmd->arity;
}

const struct command *exec_lookup(const struct bytes *argv, int argc, char *err, size_t size)
{
    const struct command *cmd = command_find(argv[0]);
    if (!cmd) {
        describe_unknown(argv, argc, err, size);
        return NULL;
    }
    if (cmd->sub_count && (argc > 1 || !cmd->handler)) {
        const struct command *sub = argc > 1 ? command_find_sub(cmd, argv[1]) : NULL;
        if (sub) return sub;
        if (argc > 1) {
            char upper[64];
            snprintf(upper, sizeof upper, "%s", cmd->name);
            snprintf(err, size, "ERR unknown subcommand '%.*s'. Try %s HELP.", shown(argv[1], 128), argv[1].p, upper);
            return NULL;
        }
    }
    return cmd;
}

static void refuse(struct worker *w, struct client *cl, const struct command *cmd, const struct bytes *argv, int argc,
                   const char *text)
{
    if (cmd) w->cmd_stats[cmd->index].rejected++;
    bool is_exec = cmd && cmd->handler == cmd_exec;
    if (is_exec) {
        multi_free(cl);
        cl->flags &= ~(uint32_t)(CLIENT_MULTI | CLIENT_DIRTY_EXEC | CLIENT_DIRTY_CAS);
    } else if (cl->flags & CLIENT_MULTI) {
        cl->flags |= CLIENT_DIRTY_EXEC;
    }
    struct reply *out = client_reply(cl);
    if (is_exec)
        reply_errorf(out, "-EXECABORT Transaction discarded because of: %s",
                     text + (strncmp(text, "ERR ", 4) == 0 ? 4 : 0));
    else reply_errorf(out, "-%s", text);
    /* Who watches saw MULTI and is to see that this is its end. */
    if (unlikely(w->monitor_count) && is_exec) monitor_feed(w, cl, cmd, argv, argc);
}

static bool debug_is_allowed(const struct config *cfg, const struct client *cl)
{
    return cfg->enable_debug_command == PROTECTED_ACTION_YES ||
           (cfg->enable_debug_command == PROTECTED_ACTION_LOCAL && (cl->flags & CLIENT_LOCAL));
}

static bool allowed_while_subscribed(const struct command *cmd)
{
    cmd_handler *h = cmd->handler;
    return h == cmd_ping || h == cmd_subscribe || h == cmd_unsubscribe || h == cmd_psubscribe ||
           h == cmd_punsubscribe || h == cmd_quit || h == cmd_reset;
}

static bool runs_in_multi(const struct command *cmd)
{
    cmd_handler *h = cmd->handler;
    return h == cmd_exec || h == cmd_discard || h == cmd_multi || h == cmd_watch || h == cmd_quit || h == cmd_reset;
}

/* Over maxmemory these are refused: commands that may need more, and inside MULTI whatever would be queued. */
static bool needs_memory(const struct client *cl, const struct command *cmd)
{
    if (cmd->flags & CMD_DENYOOM) return true;
    if (!(cl->flags & CLIENT_MULTI)) return false;
    cmd_handler *h = cmd->handler;
    if (h == cmd_exec) return multi_needs_memory(cl);
    return h != cmd_discard && h != cmd_quit && h != cmd_reset;
}

/* The checks that a plain command of an authenticated client outside of MULTI passes at a glance. NULL: go on. */
static const char *why_refused(struct worker *w, struct client *cl, const struct command *cmd, char *text, size_t size)
{
    const struct config *cfg = w->srv->config;
    if ((cmd->flags & CMD_PROTECTED) && !debug_is_allowed(cfg, cl)) {
        snprintf(
            text, size,
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it "
            "from a "
            "local connection, otherwise you need to set this option in the configuration file, and then restart the "
            "server.");
        return text;
    }
    if (!(cl->flags & CLIENT_AUTHENTICATED) && !(cmd->flags & CMD_NO_AUTH)) return "NOAUTH Authentication required.";
    if ((cl->flags & CLIENT_MULTI) && (cmd->flags & CMD_NO_MULTI))
        return "ERR Command not allowed inside a transaction";
    if (cfg->maxmemory && evict_run(w) == EVICT_FAILED && needs_memory(cl, cmd))
        return "OOM command not allowed when used memory > 'maxmemory'.";
    if ((cl->flags & CLIENT_PUBSUB) && cl->out.proto == 2 && !allowed_while_subscribed(cmd)) {
        snprintf(text, size,
                 "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
                 "this context",
                 cmd->full_name);
        return text;
    }
    return NULL;
}

/* HTTP spoken to us is somebody's browser being abused: no reply that could be read as one, and no second chance. */
static bool is_cross_protocol(struct worker *w, struct client *cl, struct bytes name)
{
    if (!bytes_is_word(name, "host:") && !bytes_is_word(name, "post")) return false;
    server_log(w->srv, LOG_WARNING_LEVEL,
               "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to the "
               "server. This is "
               "likely due to an attacker attempting to use Cross Protocol Scripting to compromise your instance. "
               "Connection from "
               "%s aborted.",
               cl->peer);
    client_close_soon(cl);
    return true;
}

/* CLIENT REPLY SKIP swallows the reply of one command, the next one. */
static void step_reply_skip(struct worker *w, struct client *cl)
{
    cl->flags &= ~(uint32_t)CLIENT_REPLY_SKIP;
    if (cl->flags & CLIENT_REPLY_SKIP_NEXT) {
        cl->flags &= ~(uint32_t)CLIENT_REPLY_SKIP_NEXT;
        cl->flags |= CLIENT_REPLY_SKIP;
    }
    reply_reset(&w->nowhere);
}

struct call exec_internal(struct worker *w, struct db *db)
{
    return (struct call){
        .srv = w->srv, .w = w, .cfg = w->srv->config, .db = db, .now_ms = w->now_ms, .held = UINT64_MAX};
}

static inline __attribute__((always_inline)) void account(struct worker *w, struct client *cl,
                                                          const struct command *cmd, const struct bytes *argv, int argc,
                                                          uint64_t ticks, bool failed, bool blocked)
{
    struct command_stats *s = &w->cmd_stats[cmd->index];
    s->ticks += ticks;
    if (blocked) return;
    s->calls++;
    if (failed) s->failed++;
    if (w->srv->config->latency_tracking) {
        if (unlikely(!s->histogram)) s->histogram = histogram_new();
        s->histogram[histogram_bucket(ticks)]++;
    }
    if (unlikely(ticks >= w->slow_ticks)) exec_slow(w, cl, cmd, argv, argc, ticks);
}

/* Kept out of line: at most a few a second. */
void exec_slow(struct worker *w, struct client *cl, const struct command *cmd, const struct bytes *argv, int argc,
               uint64_t ticks)
{
    int64_t us = (int64_t)(ticks_to_ns(&w->ticks, ticks) / 1000);
    int64_t slower_than = w->srv->config->slowlog_log_slower_than;
    if (slower_than >= 0 && us >= slower_than && !(cmd->flags & CMD_SKIP_SLOWLOG))
        slowlog_push(w->srv, cl, cmd, argv, argc, us);
    int64_t threshold = w->srv->config->latency_monitor_threshold;
    if (threshold && us / 1000 >= threshold)
        latency_sample(w->srv, (cmd->flags & CMD_FAST) ? "fast-command" : "command", us / 1000);
}

void exec_update_slow_ticks(struct worker *w)
{
    const struct config *cfg = w->srv->config;
    int64_t us = cfg->slowlog_log_slower_than, monitor_ms = cfg->latency_monitor_threshold;
    if (us > SLOW_US_MAX) us = SLOW_US_MAX;
    int64_t monitor_us = monitor_ms > SLOW_US_MAX / 1000 ? SLOW_US_MAX : monitor_ms * 1000;
    if (monitor_us > 0 && (us < 0 || monitor_us < us)) us = monitor_us;
    if (us < 0) {
        w->slow_ticks = UINT64_MAX;
        return;
    }
    w->slow_ticks = w->ticks.factor ? (uint64_t)(((unsigned __int128)us * 1000 << 32) / w->ticks.factor) : 0;
}

/* Debug builds have several. EXEC holds what its queue holds together. */
static uint64_t slices_of(const struct client *cl, const struct request *r)
{
    return r->cmd->handler == cmd_exec ? multi_held(cl) : request_held(r, cl->db);
}

/* Inlined twice: for a plain command `how` folds away. */
static inline __attribute__((always_inline)) bool run(struct worker *w, struct client *cl, const struct request *r,
                                                      struct exec_how how)
{
    const struct command *cmd = r->cmd;
    const struct bytes *argv = r->argv;
    int argc = r->argc;
    struct call *c = &w->call, outer;
    bool nested = how.in_exec || how.unblocking;
    if (unlikely(nested)) outer = *c;
    c->client = cl;
    c->db = cl->db;
    c->cmd = cmd;
    c->argv = argv;
    c->argc = argc;
    c->out = client_reply(cl);
    /* cppcheck-suppress uninitvar ; in_exec is nested */
    c->now_ms = how.in_exec ? outer.now_ms : w->now_ms;
    c->keys = r->keys;
    c->key_count = r->key_count;
    c->key_at = 0;
    if (unlikely(w->srv->slices > 1)) c->held = slices_of(cl, r);
    c->dirty = 0;
#ifdef DEMI_DEBUG
    c->befores = 0;
#endif
    c->in_exec = how.in_exec;
    c->deny_blocking = how.deny_blocking;
    c->unblocking = how.unblocking;
    c->no_touch = (cl->flags & CLIENT_NO_TOUCH) && cmd->handler != cmd_touch;
    c->ready_key = how.ready_key;
    c->blocked = c->failed = c->effects_given = false;

    uint32_t errors = c->out->error_count;
    struct check_waist waist;
    check_waist_before(&waist, c);
    uint64_t start = ticks_now();
    cmd->handler(c);
    uint64_t spent = ticks_now() - start;
    check_waist_after(&waist, c);

    bool blocked = c->blocked;
    account(w, cl, cmd, argv, argc, spent, c->out->error_count != errors, blocked);
    if (unlikely(c->dirty)) {
        w->srv->dirty += c->dirty;
        if (!c->effects_given && effect_wanted(c)) {
            if (how.in_exec || effects_pending(&w->effects)) effect_as(c, argc, argv);
            else effects_hand_over(w->srv, c->db->id, argv, argc);
        }
    }
    /* What touches keys nobody named (SCAN, RANDOMKEY) finds dead ones by chance: they do not belong together. */
    if (unlikely(effects_pending(&w->effects)) && !how.in_exec)
        effects_flush(w, !(cmd->flags & CMD_TOUCHES_ARBITRARY_KEYS));
    /* After the call: EXEC is shown behind the commands it ran, SELECT in the database it selected. */
    if (unlikely(w->monitor_count) && !how.unblocking && !(cmd->flags & (CMD_SKIP_MONITOR | CMD_ADMIN)))
        monitor_feed(w, cl, cmd, argv, argc);
    w->stats.commands++;
    if (unlikely(nested)) {
        *c = outer;
    }
    return !blocked;
}

bool exec_call(struct worker *w, struct client *cl, const struct request *r, struct exec_how how)
{
    return run(w, cl, r, how);
}

static enum exec_verdict run_command(struct worker *w, struct client *cl, const struct request *r)
{
    char text[512];
    const struct command *cmd = r->cmd;
    const struct bytes *argv = r->argv;
    int argc = r->argc;
    struct request found;
    if (unlikely(!cmd)) {
        if (is_cross_protocol(w, cl, argv[0])) return EXEC_DONE;
        cmd = exec_lookup(argv, argc, text, sizeof text);
        if (!cmd) {
            refuse(w, cl, NULL, argv, argc, text);
            return EXEC_DONE;
        }
    }
    cl->last_cmd = cmd;
    if (unlikely(!arity_fits(cmd, argc))) {
        snprintf(text, sizeof text, "ERR wrong number of arguments for '%s' command", cmd->full_name);
        refuse(w, cl, cmd, argv, argc, text);
        return EXEC_DONE;
    }
    const uint32_t plain = CLIENT_AUTHENTICATED;
    if (unlikely((cl->flags & (CLIENT_AUTHENTICATED | CLIENT_MULTI | CLIENT_PUBSUB)) != plain ||
                 (cmd->flags & CMD_PROTECTED) || w->srv->config->maxmemory)) {
        const char *why = why_refused(w, cl, cmd, text, sizeof text);
        if (why) {
            refuse(w, cl, cmd, argv, argc, why);
            return EXEC_DONE;
        }
    }
    if (unlikely(w->srv->pause_until_ms)) {
        bool writes = (cmd->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) || (cmd->handler == cmd_exec && multi_writes(cl));
        if (w->now_ms < w->srv->pause_until_ms && (!w->srv->pause_writes_only || writes)) return EXEC_HOLD;
    }
    if (unlikely(!r->cmd)) {
        key_refs_reset(&w->keys);
        int keys = request_find_keys(cl->db, cmd, argv, argc, &w->keys);
        found = (struct request){.cmd = cmd, .argv = argv, .argc = argc, .keys = w->keys.v, .key_count = keys};
        r = &found;
    }
    if (unlikely((cl->flags & CLIENT_MULTI) && !runs_in_multi(cmd))) {
        multi_queue(cl, r);
        reply_status(client_reply(cl), "QUEUED");
        return EXEC_DONE;
    }
    run(w, cl, r, (struct exec_how){0});
    return EXEC_DONE;
}

enum exec_verdict exec_command(struct worker *w, struct client *cl, const struct request *r)
{
    enum exec_verdict v = run_command(w, cl, r);
    if (unlikely(cl->flags & (CLIENT_ANY_REPLY | CLIENT_REPLICA)) && v == EXEC_DONE) step_reply_skip(w, cl);
    return v;
}
