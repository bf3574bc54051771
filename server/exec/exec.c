/* SPDX-License-Identifier: MIT
 *
 * A request from its name to its reply: looked up, admitted (server/exec/admit.h), then refused, kept for later, or run
 * (server/exec/run.h). A refused command inside MULTI dooms the transaction.
 */
#include "server/exec/exec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/acl/acl.h"
#include "server/command/missing.h"
#include "server/evict.h"
#include "server/exec/admit.h"
#include "server/exec/multi.h"
#include "server/exec/run.h"
#include "server/net/monitor.h"
#include "server/net/tracking.h"
#include "server/observe/log.h"
#include "server/server.h"
#include "server/worker.h"

#define PRIMARY_LOG_MS 10000 /* between two lines that say the same */

/* --- names -------------------------------------------------------------------------------------------------------- */

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

/* A program that asks for something that is not here may go on without it and misbehave later: the first refusal of
 * each name is told to who runs the server. The names are the table's, so nobody can make the log grow. */
static void tell_missing(struct server *srv, const struct bytes *argv, int argc)
{
    int index = missing_find(argv, argc);
    if (index < 0) return;
    uint64_t bit = (uint64_t)1 << index;
    if (atomic_fetch_or(&srv->missing_told, bit) & bit) return;
    server_log(srv, LOG_WARNING_LEVEL,
               "A client wants the command '%s', which Redis 7.2.4 has and demikv has not: it was refused (README.md, "
               "What is missing). Further refusals of it are not logged.",
               missing_name(index));
}

/* HTTP spoken to us is somebody's browser being abused: no reply that could be read as one, and no second chance. */
static bool is_cross_protocol(struct session *s, struct bytes name)
{
    if (!s->client || (!bytes_is_word(name, "host:") && !bytes_is_word(name, "post"))) return false;
    server_log(
        s->w->srv, LOG_WARNING_LEVEL,
        "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to the "
        "server. This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your "
        "instance. Connection from %s aborted.",
        s->client->peer);
    client_close_soon(s->client);
    return true;
}

/* --- refused ------------------------------------------------------------------------------------------------------ */

/* cmd NULL: there is none of this name. */
static void refuse(struct session *s, const struct command *cmd, const struct request *r, const char *text)
{
    struct worker *w = s->w;
    if (cmd) w->cmd_stats[cmd->index].rejected++;
    bool is_exec = cmd && (cmd->flags & CMD_RUNS_QUEUE);
    if (is_exec) multi_end(s);
    else if (s->flags & SESSION_MULTI) s->flags |= SESSION_DIRTY_EXEC;
    struct reply *out = session_reply(s);
    if (is_exec)
        reply_errorf(out, "-EXECABORT Transaction discarded because of: %s",
                     text + (strncmp(text, "ERR ", 4) == 0 ? 4 : 0));
    else reply_errorf(out, "-%s", text);
    /* Who monitors saw MULTI and is to see that this is its end. */
    if (unlikely(w->monitor_count) && is_exec && s->client) monitor_feed(w, s->client, cmd, r->argv, r->argc);
}

bool exec_over_memory(struct worker *w)
{
    return w->srv->config->maxmemory && !(w->srv->unusual & SERVER_LOADING) && evict_run(w) == EVICT_FAILED;
}

/* But for what only some commands ask. */
static struct admit_state state_of(struct worker *w)
{
    const struct server *srv = w->srv;
    static const enum admit_protected allowed[] = {[PROTECTED_ACTION_NO] = ADMIT_PROTECTED_NO,
                                                   [PROTECTED_ACTION_LOCAL] = ADMIT_PROTECTED_LOCAL,
                                                   [PROTECTED_ACTION_YES] = ADMIT_PROTECTED_YES};
    struct admit_state st = {.debug = allowed[srv->config->enable_debug_command],
                             .module = allowed[srv->config->enable_module_command],
                             .loading = srv->unusual & SERVER_LOADING,
                             .disk_error = srv->unusual & SERVER_DISK_ERROR,
                             .loading_beside = srv->unusual & SERVER_LOADING_BESIDE,
                             .few_replicas = (srv->unusual & SERVER_FEW_REPLICAS) && !srv->upstream,
                             .read_only = srv->unusual & SERVER_READ_ONLY,
                             .stale = srv->unusual & SERVER_STALE,
                             .replaying = srv->persist.replaying,
                             .aof_error = srv->aof.error};
    st.deny_nothing = srv->scripts_deny_nothing;
    if (srv->unusual & SERVER_BUSY_SCRIPT) st.busy = ADMIT_BUSY_SCRIPT;
    if (srv->unusual & SERVER_BUSY_FUNCTION) st.busy = ADMIT_BUSY_FUNCTION;
    if (srv->pause_until_ms && w->now_ms < srv->pause_until_ms)
        st.pause = srv->pause_writes_only ? ADMIT_PAUSE_WRITES : ADMIT_PAUSE_ALL;
    else if (srv->stands_still) st.pause = ADMIT_PAUSE_WRITES;
    return st;
}

/* --- not permitted ------------------------------------------------------------------------------------------------ */

static void note_denied(struct session *s, struct bytes user, enum acl_denied why, enum acl_context where,
                        struct bytes object)
{
    char line[1024] = "";
    struct worker *w = s->w;
    const struct client *cl = session_origin(s);
    if (cl) {
        /* What the device still holds is left out: to know it all clients would be looked at, at each refusal. */
        client_describe(cl, &(struct output_held){0}, line, sizeof line);
    }
    w->stats.acl_denied[why]++;
    const struct acl_refusal what = {
        .reason = why, .context = where, .object = object, .user = user, .client = bytes_of_str(line)};
    acl_log_add(&w->srv->acl.log, &what, w->now_ms, w->conf.cfg->acllog_max_len);
}

void exec_note_denied(struct session *s, const struct request *r, struct admission a)
{
    enum acl_denied why = a.reason == ADMIT_NOPERM_COMMAND   ? ACL_DENIED_COMMAND
                          : a.reason == ADMIT_NOPERM_KEY     ? ACL_DENIED_KEY
                          : a.reason == ADMIT_NOPERM_CHANNEL ? ACL_DENIED_CHANNEL
                                                             : ACL_ALLOWED;
    if (why == ACL_ALLOWED) return;
    enum acl_context where = s->flags & SESSION_SCRIPT  ? ACL_IN_LUA
                             : s->flags & SESSION_MULTI ? ACL_IN_MULTI
                                                        : ACL_TOP_LEVEL;
    note_denied(s, s->user->name, why, where,
                why == ACL_DENIED_COMMAND ? bytes_of_str(r->cmd->full_name) : r->argv[a.arg]);
}

void exec_note_not_authenticated(struct session *s, struct bytes user, struct bytes command)
{
    note_denied(s, user, ACL_DENIED_AUTH, s->flags & SESSION_MULTI ? ACL_IN_MULTI : ACL_TOP_LEVEL, command);
}

bool exec_permits_queued(struct session *s, const struct request *r)
{
    static const char *const reasons[] = {[ACL_DENIED_COMMAND] = "no permission to execute the command or subcommand",
                                          [ACL_DENIED_KEY] = "no permission to touch the specified keys",
                                          [ACL_DENIED_CHANNEL] =
                                              "no permission to access one of the channels used as arguments"};
    int at;
    if (!(s->flags & SESSION_RESTRICTED)) return true;
    enum acl_denied why = acl_user_check(s->user, r->cmd, r->argv, r->argc, &at);
    if (why == ACL_ALLOWED) return true;
    note_denied(s, s->user->name, why, ACL_IN_MULTI,
                why == ACL_DENIED_COMMAND ? bytes_of_str(r->cmd->full_name) : r->argv[at]);
    reply_errorf(
        session_reply(s),
        "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This "
        "command is no longer allowed for the following reason: %s",
        reasons[why]);
    return false;
}

/* --- executed ----------------------------------------------------------------------------------------------------- */

/* --- from our primary --------------------------------------------------------------------------------------------- */

/* What our own disk would refuse to any other. Going on without it is what `replica-ignore-disk-write-errors` says;
 * refusing it would leave this replica another than its primary, so that otherwise the server stops. */
static bool disk_lets_primary(struct worker *w, const struct request *r)
{
    struct server *srv = w->srv;
    bool writes = (r->cmd->flags & CMD_WRITE) || (r->cmd->flags & CMD_RUNS_QUEUE);
    if (!writes && !(r->cmd->flags & CMD_TELLS_DISK_ERROR)) return true;
    if (writes && !srv->config->replica_ignore_disk_write_errors) {
        server_log(srv, LOG_WARNING_LEVEL, "Replica was unable to write command to disk.");
        srv->exit_code = 1;
        srv->stopping = true;
        return false;
    }
    if (w->now_ms < w->primary_log_ms) return true;
    w->primary_log_ms = w->now_ms + PRIMARY_LOG_MS;
    server_log(srv, LOG_WARNING_LEVEL, "Replica is applying a command even though it is unable to write to disk.");
    return true;
}

/* What may keep the primary's command from running at once. */
#define HOLDS_PRIMARY                                                                                                  \
    (SERVER_PAUSED | SERVER_BUSY | SERVER_DISK_ERROR | SERVER_AOF_ERROR | SERVER_SAVING | SERVER_AOF_FULL |            \
     SERVER_MIGRATING)

/* Nothing it sends waits for a key: nobody else could give it one. */
static void run_for_primary(struct session *s, const struct request *r)
{
    run_request(s, r, (struct run_how){.deny_blocking = true});
}

/* Every check there is. */
static enum exec_verdict exec_checked(struct session *s, const struct request *r)
{
    char text[512];
    struct worker *w = s->w;
    bool is_primary = s->flags & SESSION_PRIMARY;
    struct admit_state st = state_of(w);
    st.over_memory = exec_over_memory(w);
    if (w->srv->script_flags) st.flags = w->srv->script_flags(w->srv, r);
    struct admission a = admit(s, r, &st);
    switch (a.verdict) {
    case ADMIT_HOLD: return EXEC_HOLD;
    case ADMIT_QUEUE:
        multi_queue(s, r, st.flags ? st.flags : r->cmd->flags);
        reply_status(session_reply(s), "QUEUED");
        return EXEC_DONE;
    case ADMIT_REFUSE:
        exec_note_denied(s, r, a);
        admit_text(a.reason, s, r, &st, text, sizeof text);
        refuse(s, r->cmd, r, text);
        return EXEC_DONE;
    case ADMIT_RUN:
        if (unlikely(w->srv->unusual & (SERVER_SAVING | SERVER_AOF_FULL | SERVER_HISTORY_FULL)) && persist_holds(s, r))
            return EXEC_HOLD;
        if (unlikely(w->srv->unusual & SERVER_MIGRATING) && migrate_holds(s, r)) return EXEC_HOLD;
        if (is_primary && (w->srv->unusual & (SERVER_DISK_ERROR | SERVER_AOF_ERROR)) && !disk_lets_primary(w, r))
            return EXEC_HOLD;
        if (is_primary) run_for_primary(s, r);
        else run_plain(s, r);
        if (unlikely(s->flags & SESSION_TRACKING)) tracking_remember(s, r);
        return EXEC_DONE;
    }
    return EXEC_DONE;
}

bool exec_permits_again(struct session *s, const struct request *r)
{
    char text[512];
    if (likely(!(s->flags & SESSION_RESTRICTED))) return true;
    struct admit_state st = {0};
    struct admission a = admit(s, r, &st);
    bool denied = a.reason == ADMIT_NOPERM_COMMAND || a.reason == ADMIT_NOPERM_KEY || a.reason == ADMIT_NOPERM_CHANNEL;
    if (!denied) return true;
    s->waited_ticks = 0;
    exec_note_denied(s, r, a);
    admit_text(a.reason, s, r, &st, text, sizeof text);
    refuse(s, r->cmd, r, text);
    return false;
}

/* The batch found no command, or one with subcommands. */
static enum exec_verdict exec_unresolved(struct session *s, const struct request *r)
{
    char text[512];
    struct worker *w = s->w;
    if (is_cross_protocol(s, r->argv[0])) return EXEC_DONE;
    struct request found = {.argv = r->argv, .argc = r->argc, .cmd = exec_lookup(r->argv, r->argc, text, sizeof text)};
    if (!found.cmd) {
        tell_missing(w->srv, r->argv, r->argc);
        refuse(s, NULL, r, text);
        return EXEC_DONE;
    }
    s->last_cmd = found.cmd;
    key_refs_reset(&w->keys);
    found.key_count = request_find_keys(s->db, found.cmd, r->argv, r->argc, &w->keys);
    found.keys = w->keys.v;
    return exec_checked(s, &found);
}

void exec_step_reply_skip(struct session *s)
{
    if (!(s->flags & (SESSION_REPLY_ANY | SESSION_REPLICA | SESSION_PRIMARY))) return;
    s->flags &= ~(uint32_t)SESSION_REPLY_SKIP;
    if (s->flags & SESSION_REPLY_SKIP_NEXT) {
        s->flags &= ~(uint32_t)SESSION_REPLY_SKIP_NEXT;
        s->flags |= SESSION_REPLY_SKIP;
    }
    reply_reset(&s->w->nowhere);
}

/* --- a script's --------------------------------------------------------------------------------------------------- */

bool exec_user_may(const struct session *s, const struct command *cmd, const struct bytes *argv, int argc)
{
    int at;
    return !(s->flags & SESSION_RESTRICTED) || acl_user_check(s->user, cmd, argv, argc, &at) == ACL_ALLOWED;
}

static bool may_for_script(struct session *s, const struct request *r, bool over_memory)
{
    char text[512];
    struct admit_state st = state_of(s->w);
    st.over_memory = over_memory;
    struct admission a = admit(s, r, &st);
    if (a.verdict == ADMIT_RUN) return true;
    ASSERT(a.verdict == ADMIT_REFUSE);
    exec_note_denied(s, r, a);
    s->w->cmd_stats[r->cmd->index].rejected++;
    admit_text(a.reason, s, r, &st, text, sizeof text);
    reply_errorf(s->out, "-%s", text);
    return false;
}

#define SCRIPT_LOOKED_AT (CMD_NOSCRIPT | CMD_NEEDS_CLIENT)

bool exec_for_script(struct session *s, const struct request *r, bool over_memory)
{
    const struct server *srv = s->w->srv;
    const struct command *cmd = r->cmd;
    if (unlikely(!cmd)) {
        tell_missing(s->w->srv, r->argv, r->argc);
        reply_error(s->out, "-ERR Unknown Redis command called from script");
        return false;
    }
    bool plain = !(s->flags & (SESSION_READ_ONLY | SESSION_RESTRICTED | SESSION_TRACKING)) && !over_memory &&
                 !srv->unusual && !(cmd->flags & SCRIPT_LOOKED_AT) &&
                 (cmd->arity >= 0 ? r->argc == cmd->arity : r->argc >= -cmd->arity);
    if (unlikely(!plain) && !may_for_script(s, r, over_memory)) return false;
    if (cmd->flags & CMD_WRITE) s->flags |= SESSION_WROTE;
    run_for_script(s, r);
    if (unlikely(!plain) && (s->flags & SESSION_TRACKING)) tracking_remember(s, r);
    return true;
}

/* What a session may be that no check stops: nothing but authenticated. */
#define UNUSUAL                                                                                                        \
    (SESSION_AUTHENTICATED | SESSION_MULTI | SESSION_PUBSUB | SESSION_REPLICA | SESSION_MONITOR | SESSION_REPLY_ANY |  \
     SESSION_RESTRICTED | SESSION_TRACKING | SESSION_PRIMARY)

/* What the server and the request may be for a session that is nothing but authenticated. */
static inline bool is_plain(const struct server *srv, const struct request *r)
{
    const struct command *cmd = r->cmd;
    return !(cmd->flags & (CMD_PROTECTED | CMD_NEEDS_CLIENT)) && !srv->config->maxmemory && !srv->unusual &&
           (cmd->arity >= 0 ? r->argc == cmd->arity : r->argc >= -cmd->arity);
}

/* A user with rules is seen to be allowed it: a command on one key, of the kind that was allowed last. */
static bool is_allowed_at_a_glance(const struct session *s, const struct request *r)
{
    struct acl_selector *root = &s->user->selectors[0];
    if (!acl_selector_has_command(root, r->cmd) || (r->cmd->flags & CMD_PUBSUB)) return false;
    if (root->all_keys) return true;
    if (r->key_count != 1) return false;
    if (!r->cmd->getkeys) return acl_selector_has_key(root, r->keys->name, r->keys->flags);
    int arg[2];
    uint16_t flags[2];
    return r->cmd->getkeys(r->argv, r->argc, arg, flags, 2) == 1 && acl_selector_has_key(root, r->keys->name, flags[0]);
}

/* CLIENT CACHING is of the next command, or of the next transaction. */
static void step_caching(struct session *s, const struct request *r)
{
    if ((s->flags & SESSION_MULTI) || bytes_is_word(r->argv[0], "client")) return;
    tracking_forget_caching(s->client);
}

/* On a replica that serves what it has: what does not write is served as by any other server. A program may write, even
 * if the command that runs it does not. */
static inline bool is_plain_read(const struct server *srv, const struct request *r)
{
    const struct command *cmd = r->cmd;
    const uint32_t asked =
        CMD_PROTECTED | CMD_NEEDS_CLIENT | CMD_WRITE | CMD_MAY_REPLICATE | CMD_RUNS_QUEUE | CMD_NOSCRIPT;
    return !(cmd->flags & asked) && !srv->config->maxmemory && srv->unusual == SERVER_READ_ONLY &&
           (cmd->arity >= 0 ? r->argc == cmd->arity : r->argc >= -cmd->arity);
}

/* And what our primary sends. */
static inline bool is_plain_of_primary(const struct session *s, const struct request *r)
{
    const struct server *srv = s->w->srv;
    const struct command *cmd = r->cmd;
    return !(srv->unusual & HOLDS_PRIMARY) && !(s->flags & SESSION_MULTI) &&
           !(cmd->flags & (CMD_PROTECTED | CMD_NEEDS_CLIENT)) &&
           (!srv->config->maxmemory || srv->config->replica_ignore_maxmemory) &&
           (cmd->arity >= 0 ? r->argc == cmd->arity : r->argc >= -cmd->arity);
}

/* Out of line, so that the other way is as short as it can be. */
__attribute__((noinline)) static enum exec_verdict exec_unusual(struct session *s, const struct request *r)
{
    if ((s->flags & UNUSUAL) == SESSION_AUTHENTICATED && r->cmd && is_plain_read(s->w->srv, r)) {
        run_plain(s, r);
        return EXEC_DONE;
    }
    if ((s->flags & SESSION_PRIMARY) && r->cmd && is_plain_of_primary(s, r)) {
        run_for_primary(s, r);
        reply_reset(&s->w->nowhere);
        return EXEC_APPLIED;
    }
    if (r->cmd && (s->flags & UNUSUAL) == (SESSION_AUTHENTICATED | SESSION_TRACKING) && is_plain(s->w->srv, r)) {
        tracking_prefetch(s, r);
        run_plain(s, r);
        tracking_remember(s, r);
        if (unlikely(tracking_has_caching(s->client))) step_caching(s, r);
        return EXEC_DONE;
    }
    if (r->cmd && (s->flags & UNUSUAL) == (SESSION_AUTHENTICATED | SESSION_RESTRICTED) && is_plain(s->w->srv, r) &&
        is_allowed_at_a_glance(s, r)) {
        run_plain(s, r);
        return EXEC_DONE;
    }
    enum exec_verdict v = r->cmd ? exec_checked(s, r) : exec_unresolved(s, r);
    bool waits = s->client && (s->client->flags & CLIENT_BLOCKED);
    if (v == EXEC_DONE && !waits) exec_step_reply_skip(s);
    if (v == EXEC_DONE && unlikely(s->flags & SESSION_TRACKING)) step_caching(s, r);
    return v == EXEC_DONE && (s->flags & SESSION_PRIMARY) ? EXEC_APPLIED : v;
}

/* Of a user with rules, and nothing else about him: a plain command whose key begins like the last one. */
__attribute__((noinline)) static enum exec_verdict exec_with_rules(struct session *s, const struct request *r)
{
    const struct acl_selector *root = &s->user->selectors[0];
    const struct command *cmd = r->cmd;
    if (likely(is_plain(s->w->srv, r) && acl_selector_has_command(root, cmd) && !(cmd->flags & CMD_PUBSUB) &&
               !cmd->getkeys && r->key_count == 1 && acl_selector_has_key_again(root, r->keys->name, r->keys->flags))) {
        run_plain(s, r);
        return EXEC_DONE;
    }
    return exec_unusual(s, r);
}

enum exec_verdict exec_request(struct session *s, const struct request *r)
{
    const struct command *cmd = r->cmd;
    if (likely(cmd != NULL)) {
        uint32_t is = s->flags & UNUSUAL;
        s->last_cmd = cmd;
        /* A plain command of an ordinary session passes every check of admit() at a glance. */
        if (likely(is == SESSION_AUTHENTICATED && is_plain(s->w->srv, r))) {
            run_plain(s, r);
            return EXEC_DONE;
        }
        if (is == (SESSION_AUTHENTICATED | SESSION_RESTRICTED)) return exec_with_rules(s, r);
    }
    return exec_unusual(s, r);
}

enum exec_verdict exec_argv(struct session *s, const struct bytes *argv, int argc)
{
    return exec_request(s, &(struct request){.argv = argv, .argc = argc});
}

int exec_replay(struct session *s, const struct bytes *argv, int argc, char *why, size_t size)
{
    struct worker *w = s->w;
    struct request r = {.argv = argv, .argc = argc, .cmd = exec_lookup(argv, argc, why, size)};
    bool fits = r.cmd && (r.cmd->arity >= 0 ? argc == r.cmd->arity : argc >= -r.cmd->arity);
    if (!fits || (r.cmd->flags & CMD_NEEDS_CLIENT)) {
        int shown = argv[0].n < 64 ? (int)argv[0].n : 64;
        snprintf(why, size, r.cmd ? "Command '%.*s' that no log has" : "Unknown command '%.*s'", shown, argv[0].p);
        return r.cmd ? -EINVAL : -ENOENT;
    }
    key_refs_reset(&w->keys);
    r.key_count = request_find_keys(s->db, r.cmd, argv, argc, &w->keys);
    r.keys = w->keys.v;
    if ((s->flags & SESSION_MULTI) && !(r.cmd->flags & CMD_RUNS_IN_MULTI)) multi_queue(s, &r, r.cmd->flags);
    else run_request(s, &r, (struct run_how){.deny_blocking = true, .replayed = true});
    return 0;
}
