/* SPDX-License-Identifier: MIT */
#include "server/exec/admit.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "server/acl/user.h"
#include "server/exec/multi.h"

static bool arity_fits(const struct command *cmd, int argc)
{
    return cmd->arity >= 0 ? argc == cmd->arity : argc >= -cmd->arity;
}

/* DEBUG, or MODULE's subcommands that change something: there are no others. */
static enum admit_reason why_protected(const struct session *s, const struct command *cmd, const struct admit_state *st)
{
    if (!(cmd->flags & CMD_PROTECTED)) return ADMIT_OK;
    enum admit_protected allowed = cmd->parent ? st->module : st->debug;
    if (allowed == ADMIT_PROTECTED_YES || (allowed == ADMIT_PROTECTED_LOCAL && (s->flags & SESSION_LOCAL)))
        return ADMIT_OK;
    return cmd->parent ? ADMIT_MODULE : ADMIT_DEBUG;
}

/* Over maxmemory these are refused: commands that may need more, and inside MULTI whatever would be queued. */
static bool needs_memory(const struct session *s, uint32_t flags)
{
    if (flags & CMD_DENYOOM) return true;
    if (!(s->flags & SESSION_MULTI)) return false;
    if (flags & CMD_RUNS_QUEUE) return multi_needs_memory(s);
    return !(flags & CMD_ENDS_MULTI);
}

static bool touches_keys(const struct command *cmd)
{
    return cmd->flags & (CMD_WRITE | CMD_READONLY | CMD_MAY_REPLICATE);
}

static bool may_write(const struct session *s, uint32_t flags)
{
    return (flags & (CMD_WRITE | CMD_MAY_REPLICATE)) || ((flags & CMD_RUNS_QUEUE) && multi_writes(s));
}

/* The queue of EXEC counts as EXEC. */
static bool changes_data(const struct session *s, uint32_t flags)
{
    return (flags & (CMD_WRITE | CMD_TELLS_DISK_ERROR)) || ((flags & CMD_RUNS_QUEUE) && multi_changes(s));
}

/* Of them those that write by their flags. */
static bool writes_data(const struct session *s, uint32_t flags)
{
    return (flags & CMD_WRITE) || ((flags & CMD_RUNS_QUEUE) && multi_changes(s));
}

static bool runs_while_loading(const struct session *s, const struct command *cmd)
{
    return (cmd->flags & CMD_LOADING) && !((cmd->flags & CMD_RUNS_QUEUE) && multi_needs_data(s));
}

static bool runs_beside_loading(const struct session *s, const struct command *cmd)
{
    return !(cmd->flags & CMD_NO_ASYNC_LOADING) && !((cmd->flags & CMD_RUNS_QUEUE) && multi_replaces_data(s));
}

static bool runs_while_stale(const struct session *s, uint32_t flags)
{
    return (flags & CMD_STALE) && !((flags & CMD_RUNS_QUEUE) && multi_needs_fresh(s));
}

/* *arg: what the user may not touch. */
static enum admit_reason why_not_permitted(const struct session *s, const struct request *r, int *arg)
{
    if (!(s->flags & SESSION_RESTRICTED)) return ADMIT_OK;
    switch (acl_user_check(s->user, r->cmd, r->argv, r->argc, arg)) {
    case ACL_ALLOWED: return ADMIT_OK;
    case ACL_DENIED_KEY: return ADMIT_NOPERM_KEY;
    case ACL_DENIED_CHANNEL: return ADMIT_NOPERM_CHANNEL;
    default: return ADMIT_NOPERM_COMMAND;
    }
}

/* A script's command: what its caller was asked it is not asked again. One that has written is not stopped half way. */
static enum admit_reason why_script_refused(const struct session *s, const struct request *r,
                                            const struct admit_state *st, int *arg)
{
    uint32_t flags = r->cmd->flags;
    if (!arity_fits(r->cmd, r->argc)) return ADMIT_SCRIPT_ARITY;
    if ((flags & CMD_NOSCRIPT) && (!st->deny_nothing || (r->cmd->acl & (ACL_SCRIPTING | ACL_TRANSACTION))))
        return ADMIT_NO_SCRIPT;
    if (flags & CMD_NEEDS_CLIENT) return ADMIT_NO_CLIENT;
    if (st->stale && !st->replaying && !(flags & CMD_STALE)) return ADMIT_SCRIPT_STALE;
    enum admit_reason why = why_not_permitted(s, r, arg);
    if (why != ADMIT_OK) return why;
    if ((s->flags & SESSION_READ_ONLY) && (flags & (CMD_WRITE | CMD_MAY_REPLICATE))) return ADMIT_SCRIPT_READ_ONLY;
    if ((s->flags & SESSION_WROTE) || st->replaying || session_is_primary(s)) return ADMIT_OK;
    if (st->read_only && (flags & CMD_WRITE)) return ADMIT_READ_ONLY;
    if (st->disk_error && (flags & CMD_WRITE)) return ADMIT_DISK_ERROR;
    if (st->aof_error && (flags & CMD_WRITE)) return ADMIT_AOF_ERROR;
    if (st->few_replicas && (flags & CMD_WRITE)) return ADMIT_FEW_REPLICAS;
    if (st->over_memory && (flags & CMD_DENYOOM) && !(s->flags & SESSION_ALLOW_OOM)) return ADMIT_OOM;
    return ADMIT_OK;
}

static bool changes_connection(const struct command *cmd)
{
    return (cmd->flags & CMD_NEEDS_CLIENT) && strcasecmp(cmd->name, "replconf") != 0;
}

/* What comes from our primary was allowed there. What cannot be run is no command, and what would make another of the
 * connection itself (MONITOR, SYNC, RESET, SUBSCRIBE) is no write that it passes on. */
static enum admit_reason why_primary_refused(const struct session *s, const struct request *r,
                                             const struct admit_state *st)
{
    if (!arity_fits(r->cmd, r->argc)) return ADMIT_ARITY;
    if (changes_connection(r->cmd)) return ADMIT_NO_CLIENT;
    enum admit_reason why = why_protected(s, r->cmd, st);
    if (why != ADMIT_OK) return why;
    return (s->flags & SESSION_MULTI) && (r->cmd->flags & CMD_NO_MULTI) ? ADMIT_NO_MULTI : ADMIT_OK;
}

static enum admit_reason why_refused(const struct session *s, const struct request *r, const struct admit_state *st,
                                     int *arg)
{
    const struct command *cmd = r->cmd;
    ASSERT(cmd != NULL);
    ASSERT(r->argc > 0);
    if (s->flags & SESSION_SCRIPT) return why_script_refused(s, r, st, arg);
    if (s->flags & SESSION_PRIMARY) return why_primary_refused(s, r, st);
    uint32_t flags = st->flags ? st->flags : cmd->flags;
    if (!arity_fits(cmd, r->argc)) return ADMIT_ARITY;
    if ((cmd->flags & CMD_NEEDS_CLIENT) && !s->client) return ADMIT_NO_CLIENT;
    enum admit_reason why = why_protected(s, cmd, st);
    if (why != ADMIT_OK) return why;
    if (!(s->flags & SESSION_AUTHENTICATED) && !(cmd->flags & CMD_NO_AUTH)) return ADMIT_NOAUTH;
    if ((s->flags & SESSION_MULTI) && (cmd->flags & CMD_NO_MULTI)) return ADMIT_NO_MULTI;
    why = why_not_permitted(s, r, arg);
    if (why != ADMIT_OK) return why;
    if (st->over_memory && needs_memory(s, flags)) return ADMIT_OOM;
    if (st->disk_error && changes_data(s, flags)) return ADMIT_DISK_ERROR;
    if (st->aof_error && changes_data(s, flags)) return ADMIT_AOF_ERROR;
    if (st->few_replicas && writes_data(s, flags)) return ADMIT_FEW_REPLICAS;
    if (st->read_only && writes_data(s, flags)) return ADMIT_READ_ONLY;
    if ((s->flags & SESSION_PUBSUB) && s->out->proto == 2 && !(cmd->flags & CMD_SUBSCRIBED)) return ADMIT_SUBSCRIBED;
    if (st->stale && !runs_while_stale(s, flags)) return ADMIT_STALE;
    if (st->loading && !runs_while_loading(s, cmd)) return ADMIT_LOADING;
    if (st->loading_beside && !runs_beside_loading(s, cmd)) return ADMIT_LOADING;
    if (st->busy && !(cmd->flags & CMD_ALLOW_BUSY))
        return st->busy == ADMIT_BUSY_SCRIPT ? ADMIT_SCRIPT_BUSY : ADMIT_FUNCTION_BUSY;
    if ((s->flags & (SESSION_REPLICA | SESSION_MONITOR)) && touches_keys(cmd)) return ADMIT_REPLICA;
    return ADMIT_OK;
}

struct admission admit(const struct session *s, const struct request *r, const struct admit_state *st)
{
    uint32_t flags = st->flags ? st->flags : r->cmd->flags;
    int arg = 0;
    enum admit_reason why = why_refused(s, r, st, &arg);
    if (why != ADMIT_OK) return (struct admission){ADMIT_REFUSE, why, arg};
    if (s->flags & SESSION_SCRIPT) return (struct admission){ADMIT_RUN, ADMIT_OK, 0};
    if (st->busy && (s->flags & SESSION_PRIMARY)) return (struct admission){ADMIT_HOLD, ADMIT_OK, 0};
    if (s->flags & SESSION_REPLICA) return (struct admission){ADMIT_RUN, ADMIT_OK, 0}; /* it says how far it is */
    if (st->pause == ADMIT_PAUSE_ALL || (st->pause == ADMIT_PAUSE_WRITES && may_write(s, flags)))
        return (struct admission){ADMIT_HOLD, ADMIT_OK, 0};
    if ((s->flags & SESSION_MULTI) && !(r->cmd->flags & CMD_RUNS_IN_MULTI))
        return (struct admission){ADMIT_QUEUE, ADMIT_OK, 0};
    return (struct admission){ADMIT_RUN, ADMIT_OK, 0};
}

static void not_permitted_text(enum acl_denied why, const struct session *s, const struct request *r, char *text,
                               size_t size)
{
    struct conf_text told = {0};
    acl_user_denied_text(s->user, why, r->cmd, BYTES(""), false, &told);
    snprintf(text, size, "%s %s", s->flags & SESSION_SCRIPT ? "ERR ACL failure in script:" : "NOPERM", told.p);
    conf_text_free(&told);
}

void admit_text(enum admit_reason why, const struct session *s, const struct request *r, const struct admit_state *st,
                char *text, size_t size)
{
    static const char *const fixed[ADMIT_REASONS] = {
        [ADMIT_DEBUG] =
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can "
            "run it from a local connection, otherwise you need to set this option in the configuration "
            "file, and then restart the server.",
        [ADMIT_MODULE] =
            "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can "
            "run it from a local connection, otherwise you need to set this option in the configuration "
            "file, and then restart the server.",
        [ADMIT_NOAUTH] = "NOAUTH Authentication required.",
        [ADMIT_NO_MULTI] = "ERR Command not allowed inside a transaction",
        [ADMIT_OOM] = "OOM command not allowed when used memory > 'maxmemory'.",
        [ADMIT_DISK_ERROR] =
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands "
            "that may modify the data set are disabled, because this instance is configured to report errors during "
            "writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for "
            "details about the RDB error.",
        [ADMIT_FEW_REPLICAS] = "NOREPLICAS Not enough good replicas to write.",
        [ADMIT_READ_ONLY] = "READONLY You can't write against a read only replica.",
        [ADMIT_STALE] = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        [ADMIT_LOADING] = "LOADING Redis is loading the dataset in memory",
        [ADMIT_REPLICA] = "ERR Replica can't interact with the keyspace",
        [ADMIT_SCRIPT_BUSY] = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        [ADMIT_FUNCTION_BUSY] =
            "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
        [ADMIT_SCRIPT_ARITY] = "ERR Wrong number of args calling Redis command from script",
        [ADMIT_NO_SCRIPT] = "ERR This Redis command is not allowed from script",
        [ADMIT_SCRIPT_READ_ONLY] = "ERR Write commands are not allowed from read-only scripts.",
        [ADMIT_SCRIPT_STALE] = "ERR Can not execute the command on a stale replica",
    };
    const char *name = r->cmd->full_name;
    switch (why) {
    case ADMIT_ARITY: snprintf(text, size, "ERR wrong number of arguments for '%s' command", name); return;
    case ADMIT_NO_CLIENT: snprintf(text, size, "ERR '%s' works on a connection, and there is none", name); return;
    case ADMIT_SUBSCRIBED:
        snprintf(text, size,
                 "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
                 "this context",
                 name);
        return;
    case ADMIT_NOPERM_COMMAND: not_permitted_text(ACL_DENIED_COMMAND, s, r, text, size); return;
    case ADMIT_NOPERM_KEY: not_permitted_text(ACL_DENIED_KEY, s, r, text, size); return;
    case ADMIT_NOPERM_CHANNEL: not_permitted_text(ACL_DENIED_CHANNEL, s, r, text, size); return;
    case ADMIT_AOF_ERROR:
        snprintf(text, size, "MISCONF Errors writing to the AOF file: %s", strerror(-st->aof_error));
        return;
    default: snprintf(text, size, "%s", fixed[why] ? fixed[why] : "ERR"); return;
    }
}
